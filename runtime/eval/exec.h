/* SPDX-License-Identifier: Apache-2.0
 * exec.h - what the two executors share, and the switch between them.
 *
 * Native code changes speed only. Both executors read the same inputs, call the same helpers for
 * what is too long to generate, and write the same outputs; so their results are the same bits.
 *
 * Threads: the switch is one atomic pointer, read once a call; whoever replaces the native code
 *          frees
 * the old one after every reader has passed.
 */
#ifndef MP_EVAL_EXEC_H
#define MP_EVAL_EXEC_H

#include <stdatomic.h>

#include "program/program.h"
#include "schema/flow.h"

/* Native code of one function. */
typedef void (*mp_native_fn)(const struct mp_inputs *in, struct mp_outputs *out);

/* Native code of a program: one pointer a row of fn, NULL where there is none (yet). */
struct mp_native {
    uint32_t fn_count;
    const mp_native_fn *fns;
    void *owner; /* for whoever made it */
};

/* Puts native code in force, or with NULL takes it away. The answer is what was there before: it
 * may be freed once every thread that evaluates has returned from its call. `native` stays the
 * caller's. */
const struct mp_native *mp_exec_switch(const struct mp_program *p, const struct mp_native *native);

/* Memory of `lower`, one a thread that evaluates: a place for each LOWER of a function, in order
 * of the ops. Text that an evaluation answered is good until the next one with the same scratch. */
struct mp_eval_scratch {
    char text[MP_FN_LOWER_MAX][MP_TEXT_LOWER_MAX];
};

/* One a row of ops.def; NULL for the ops that judge unknown themselves or read an input: CONST
 * PARAM FIELD COL UNKNOWN NOT AND OR KNOWN IS_TRUE DEFAULT PICK OVERRIDE. All others are unknown
 * where an operand is, and are asked only for known operands.
 *
 *   k   the row of cnst (IN_NET, MATCHES, MATCHES_LIMIT) or list (IN_LIST, LIST_*), the number M
 *       (ID_PART), for IN_SET the enum mp_rep of a, for LOWER how many LOWER ops
 *       the function has before it; else 0
 *   a b c  the operands that are values, by position; NULL where ops.def has none
 *   out may be one of the operands. */
extern const mp_op_helper mp_exec_helpers[MP_OP_COUNT];

/* Generated code reads these by offset. */
#if UINTPTR_MAX == UINT64_MAX
_Static_assert(sizeof(struct mp_value) == 16, "a register is two words");
_Static_assert(offsetof(struct mp_inputs, record_known) == 0, "jit");
_Static_assert(offsetof(struct mp_inputs, record) == 8, "jit");
_Static_assert(offsetof(struct mp_inputs, row_known) == 16, "jit");
_Static_assert(offsetof(struct mp_inputs, row) == 24, "jit");
_Static_assert(offsetof(struct mp_inputs, consts) == 32, "jit");
_Static_assert(offsetof(struct mp_inputs, params) == 40, "jit");
_Static_assert(offsetof(struct mp_inputs, program) == 48, "jit");
_Static_assert(offsetof(struct mp_inputs, scratch) == 56, "jit");
_Static_assert(offsetof(struct mp_inputs, helpers) == 64, "jit");
_Static_assert(offsetof(struct mp_outputs, known) == 0, "jit");
_Static_assert(offsetof(struct mp_outputs, truth) == 8, "jit");
_Static_assert(offsetof(struct mp_outputs, value) == 16, "jit");
#endif

#endif
