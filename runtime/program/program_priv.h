/* SPDX-License-Identifier: Apache-2.0
 * program_priv.h - the steps of checking and loading, for this folder only.
 */
#ifndef MP_PROGRAM_PRIV_H
#define MP_PROGRAM_PRIV_H

#include "program/layout.h"
#include "program/program.h"

/* Every function: operands, representations, outputs, limits (verify_fn.c). The generic checks have
 * passed. */
enum mp_err mp_verify_fns(const struct mp_program *p, struct mp_fault *fault);

/* Steps of mp_program_load; the program has been verified. */
enum mp_err mp_program_build_lists(struct mp_program *p); /* list.c */
enum mp_err mp_program_build_code(struct mp_program *p);  /* code.c */

static inline enum mp_err mp_fault_set(struct mp_fault *fault, enum mp_err err, uint32_t table,
                                       uint32_t row, const char *why)
{
    *fault = (struct mp_fault){why, table, row};
    return err;
}

#endif
