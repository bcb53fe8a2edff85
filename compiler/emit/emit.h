/* SPDX-License-Identifier: Apache-2.0
 * emit.h - IR tables → the bytes of a program image, which mp_program_load reads.
 *
 * Callers: the driver, and tests. Threads: none of its own. Memory: the image lies in `arena`.
 */
#ifndef MP_EMIT_EMIT_H
#define MP_EMIT_EMIT_H

#include "ir/ir.h"

/* Verifies `ir` and writes it as an image: little-endian, offsets only, texts once each in the
 * order in which the tables name them, so equal programs are equal bytes. The fault says what
 * does not hold (our own mistake, not an author's: compiler/lower should not have written it),
 * MP_ENOMEM apart. */
enum mp_err mp_emit(struct mp_ir *ir, struct mp_arena *arena, mp_str *image,
                    struct mp_fault *fault);

#endif
