/* SPDX-License-Identifier: Apache-2.0
 * eval.h - a row or a record, and the program → truths and values. The interpreter here is the
 * meaning; native code, where there is some (exec.h), gives the same bits sooner.
 *
 * Owns:    nothing. Callers: engine, window (record units), verdict, tests.
 * Threads: any number at once, each with its own inputs, outputs and scratch.
 * Memory:  none is allocated. Stack: at most 48 KiB a call.
 */
#ifndef MP_EVAL_EVAL_H
#define MP_EVAL_EVAL_H

#include "eval/exec.h"
#include "schema/flow.h"

/* Inputs of `p` with neither record nor row; the caller sets those that the function reads:
 * record_known and record for a fn with a signal, row_known and row for one with a grouping (for a
 * record unit: the signal's columns). Cells whose bit is clear must be zeros. */
void mp_inputs_init(struct mp_inputs *in, const struct mp_program *p,
                    struct mp_eval_scratch *scratch);

/* Evaluates row `fn` of the table fn: all of its outputs (flow.h: mp_outputs). */
void mp_eval_fn(const struct mp_program *p, uint32_t fn, const struct mp_inputs *in,
                struct mp_outputs *out);

/* Judges a unit. Bit i of hits->truth and hits->known is output first_out + i: rule rules_at + i,
 * and after the rules the guards (output `out` of the guard's row is bit out - first_out). */
void mp_eval_unit(const struct mp_program *p, uint32_t unit, const struct mp_inputs *in,
                  struct mp_hits *hits);

/* Output 0 of a function, as a truth. */
enum mp_truth mp_eval_truth(const struct mp_program *p, uint32_t fn, const struct mp_inputs *in);
/* Output 0 of a function, as a value (a truth as B): false if it is unknown, and *out is zeros. */
bool mp_eval_value(const struct mp_program *p, uint32_t fn, const struct mp_inputs *in,
                   struct mp_value *out);

/* The interpreter itself, whatever native code there is. */
void mp_eval_interpret(const struct mp_program *p, uint32_t fn, const struct mp_inputs *in,
                       struct mp_outputs *out);

static inline enum mp_truth mp_hits_truth(const struct mp_hits *h, uint32_t bit)
{
    if (((h->known >> bit) & 1) == 0) return MP_UNKNOWN;
    return ((h->truth >> bit) & 1) != 0 ? MP_TRUE : MP_FALSE;
}

#endif
