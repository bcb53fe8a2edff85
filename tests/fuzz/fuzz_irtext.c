/* SPDX-License-Identifier: Apache-2.0
 * The text form of the IR: any bytes are read or refused with a place; what is read is printed
 * and read back as the same; what passes the verifier is emitted, loaded and evaluated.
 */
#include <stdint.h>
#include <stdlib.h>

#include "emit/emit.h"
#include "os/std.h"
#include "run_all.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mp_str print(const struct mp_ir *ir, struct mp_arena *arena)
{
    struct mp_buf out;
    mp_buf_init(&out, arena);
    mp_ir_print(ir, &out);
    return mp_buf_view(&out);
}

static void run_image(mp_str image)
{
    struct mp_os os;
    struct mp_program *p = NULL;
    const char *why = NULL;
    mp_std_os(&os);
    enum mp_err err = mp_program_load(image.ptr, image.len, &os, &p, &why);
    if (err == MP_OK) {
        run_all(p);
        mp_program_free(p);
    } else if (err != MP_ECORRUPT && err != MP_ELIMIT) {
        abort(); /* only a pattern may be wrong in what verifies */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mp_arena arena;
    struct mp_ir first, second;
    struct mp_ir_parse_error e = {0};
    struct mp_fault fault;
    mp_str image;
    mp_arena_init(&arena, NULL, 0);
    if (mp_ir_init(&first, &arena) != MP_OK || mp_ir_init(&second, &arena) != MP_OK) abort();
    if (mp_ir_parse(&first, (mp_str){(const char *)data, size}, &e) == MP_OK) {
        mp_str text = print(&first, &arena);
        if (mp_ir_parse(&second, text, &e) != MP_OK) abort();
        if (!mp_str_eq(text, print(&second, &arena))) abort();
        if (mp_emit(&first, &arena, &image, &fault) == MP_OK) run_image(image);
    } else if (e.why == NULL || e.line == 0 || e.column == 0) {
        abort();
    }
    mp_arena_free(&arena);
    return 0;
}
