/* SPDX-License-Identifier: Apache-2.0
 * Hostile program images: the loader refuses them, or what it accepts can be evaluated.
 *
 * The first byte of the input says how the rest is meant. 0: an image, whose magic, layout and
 * size are put right first, since nothing is found behind a wrong one. Else: changes to a good
 * image, 8 bytes each, a place and the word to write there; such seeds do not age when tables
 * change.
 */
#include <stdint.h>
#include <stdlib.h>

#include "emit/emit.h"
#include "os/std.h"
#include "run_all.h"
#include "sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The sample with a pattern in it, so that regular expressions are loaded too. */
static mp_str sample_image(struct mp_arena *arena)
{
    struct mp_ir ir;
    struct mp_ir_parse_error e;
    struct mp_fault fault;
    mp_str image = {NULL, 0};
    if (mp_ir_init(&ir, arena) != MP_OK || mp_ir_parse(&ir, mp_str_of(ir_sample), &e) != MP_OK ||
        mp_emit(&ir, arena, &image, &fault) != MP_OK) {
        abort();
    }
    return image;
}

static void put_right(char *image, size_t size)
{
    struct mp_image_header h;
    if (size < sizeof h) return;
    memcpy(&h, image, sizeof h);
    memcpy(h.magic, MP_IMAGE_MAGIC, sizeof h.magic);
    h.layout = mp_layout_mark();
    h.size_bytes = size;
    memcpy(image, &h, sizeof h);
}

static void change(char *image, size_t size, const uint8_t *changes, size_t len)
{
    for (; len >= 8; changes += 8, len -= 8) {
        uint32_t at;
        memcpy(&at, changes, sizeof at);
        memcpy(image + at % (size - 4), changes + 4, 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct mp_arena arena;
    struct mp_os os;
    mp_arena_init(&arena, NULL, 0);
    mp_std_os(&os);
    mp_str image = data[0] == 0 ? (mp_str){(const char *)data + 1, size - 1} : sample_image(&arena);
    /* as long as it is: a read beyond is seen */
    char *bytes = malloc(image.len + (image.len == 0));
    if (bytes == NULL) abort();
    if (image.len != 0) memcpy(bytes, image.ptr, image.len);
    if (data[0] == 0) {
        put_right(bytes, image.len);
    } else {
        change(bytes, image.len, data + 1, size - 1);
    }
    struct mp_program *p = NULL;
    const char *why = NULL;
    if (mp_program_load(bytes, image.len, &os, &p, &why) == MP_OK) {
        run_all(p);
        mp_program_free(p);
    } else if (why == NULL) {
        abort();
    }
    free(bytes);
    mp_arena_free(&arena);
    return 0;
}
