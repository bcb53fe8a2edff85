/* SPDX-License-Identifier: Apache-2.0
 * Answers of a proxy that is not trusted, in pieces (the first byte says which), and what an
 * admin port would have said with them.
 */
#include <stdlib.h>

#include "envoy_prove/http1.h"
#include "envoy_prove/readback.h"

#define BODY_MAX 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(mp_str body, bool clusters)
{
    char seen[64];
    const struct mp_prove_endpoint e = {MP_STR("127.0.0.1:9001"), MP_PROVE_IN, 1};
    const struct mp_prove_value v = {MP_STR("a"), MP_STR("1")};
    const struct mp_prove_task task = {.kind = clusters ? MP_PROVE_CLUSTERS : MP_PROVE_RUNTIME,
                                       .cluster = MP_STR("c"), .endpoints = &e, .endpoint_count = 1,
                                       .values = &v, .value_count = 1};
    mp_readback(&task, body, seen, sizeof seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 3, 50, 1 << 20};
    static struct mp_http1 h;
    if (size == 0) return 0;
    size_t piece = pieces[data[0] & 3], at = 1;
    enum mp_http1_got got = MP_HTTP1_MORE;
    mp_http1_begin(&h, BODY_MAX);
    while (at < size && got == MP_HTTP1_MORE) {
        size_t len = piece < size - at ? piece : size - at, used = 0;
        char *copy = malloc(len); /* of its own, so that a byte read behind it is seen */
        if (copy == NULL) break;
        memcpy(copy, data + at, len);
        got = mp_http1_take(&h, (mp_str){copy, len}, &used);
        free(copy);
        if (used > len || (got == MP_HTTP1_MORE && used != len)) abort();
        at += used;
    }
    if (got == MP_HTTP1_MORE) got = mp_http1_end(&h);
    if (h.body_len > BODY_MAX) abort();
    if (got == MP_HTTP1_DONE) read_back((mp_str){h.body, h.body_len}, (data[0] & 4) != 0);
    mp_http1_free(&h);
    return 0;
}
