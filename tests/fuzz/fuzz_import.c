/* SPDX-License-Identifier: Apache-2.0
 * Access logs from outside: what comes out of one must be JSON, and inspect must take it.
 */
#include <stdlib.h>

#include "ingest/import.h"
#include "ingest/inspect.h"
#include "ingest/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(enum mp_import_format format, mp_str line, struct mp_buf *out,
                struct mp_inspect *in)
{
    const struct mp_import_options options = {0};
    const char *why;
    char path[64];
    struct mp_json j;
    out->len = 0;
    if (!mp_import_line(format, &options, line, out, &why)) return;
    mp_json_init(&j, mp_buf_view(out));
    if (!mp_json_object(&j, path, sizeof path, NULL, NULL)) abort();
    if (!mp_inspect_line(in, mp_buf_view(out), &why)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mp_arena arena; /* made once: counts are bounded, whatever has been counted */
    static struct mp_inspect *in;
    static struct mp_buf out;
    if (in == NULL) {
        mp_arena_init(&arena, NULL, 0);
        mp_buf_init(&out, &arena);
        if (mp_inspect_create(&arena, &in) != MP_OK) abort();
    }
    char *copy = malloc(size != 0 ? size : 1); /* so that a byte read behind the line is seen */
    if (copy == NULL) abort();
    if (size != 0) memcpy(copy, data, size);
    for (size_t at = 0; at < size;) {
        const char *end = memchr(copy + at, '\n', size - at);
        size_t len = end != NULL ? (size_t)(end - copy) - at : size - at;
        mp_str line = {copy + at, len};
        const char *why;
        one(MP_IMPORT_COMBINED, line, &out, in);
        one(MP_IMPORT_NGINX_JSON, line, &out, in);
        one(MP_IMPORT_ENVOY_JSON, line, &out, in);
        mp_inspect_line(in, line, &why);
        at += len + 1;
    }
    out.len = 0;
    mp_inspect_text(in, &out);
    mp_inspect_json(in, &out);
    free(copy);
    return 0;
}
