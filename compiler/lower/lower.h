/* SPDX-License-Identifier: Apache-2.0
 * lower.h - the checked policy (check/typed.h) → the tables of a program (program/tables.def).
 *
 * Owns:    nothing; rows and texts lie in `out`, which mp_ir_init made and nobody filled.
 * Callers: compiler (the driver), tests. Threads: one lowering, one thread. No I/O, no clock.
 * Errors:  the tree is that of a check without errors, so only memory can fail (MP_ENOMEM), or what
 *          this version cannot express: MP_EUNSUPPORTED, with the refusal filled in (the driver
 *          makes E0900 of it). What comes out passes mp_ir_verify; anything else is our mistake.
 *
 * README.md here says what the tables promise to the runtime beyond tables.def.
 */
#ifndef MP_LOWER_LOWER_H
#define MP_LOWER_LOWER_H

#include "base/arena.h"
#include "base/err.h"
#include "check/typed.h"
#include "ir/ir.h"

/* What cannot be expressed, and where. */
struct mp_lower_refusal {
    struct mp_span span;
    mp_str text; /* "a condition on members that also asks their service"; static */
};

struct mp_lower_options {
    bool with_tests; /* tests, and a place to override every definition and gauge (R46) */
    const struct mp_sources *sources;  /* for file, line and column; NULL: rows have none */
    struct mp_lower_refusal *refusal; /* NULL: not asked for */
};

/* Lowers all of `t`. What is needed only meanwhile comes from the allocator of out's arena and is
 * given back before the call returns. */
enum mp_err mp_lower(const struct mp_typed *t, const struct mp_lower_options *options,
                     struct mp_ir *out);

#endif
