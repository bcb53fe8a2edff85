/* SPDX-License-Identifier: Apache-2.0
 * run_all.h - evaluates every function of a program on a record and a row in which everything is
 * known: what a program that loads must stand, whoever wrote it.
 */
#ifndef MP_TESTS_RUN_ALL_H
#define MP_TESTS_RUN_ALL_H

#include <stdlib.h>

#include "eval/eval.h"

static struct mp_value run_all_value(enum mp_rep rep)
{
    static struct mp_value members[1];
    members[0] = mp_value_text(MP_STR("a text of more than twelve bytes"));
    switch (rep) {
    case MP_REP_B: return mp_value_bool(true);
    case MP_REP_I: return mp_value_int(INT64_MAX);
    case MP_REP_F: return mp_value_num(-1e300);
    case MP_REP_T: return members[0];
    case MP_REP_S: return (struct mp_value){{(uint64_t)(uintptr_t)members, 0}};
    default: return mp_value_int(0);
    }
}

static void run_all(const struct mp_program *p)
{
    static struct mp_eval_scratch scratch;
    static uint64_t known[MP_FN_OUTS_MAX / 64], truth[MP_FN_OUTS_MAX / 64];
    static struct mp_value value[MP_FN_OUTS_MAX];
    struct mp_value *record = calloc(MP_SLOTS_MAX, sizeof *record),
                    *row = calloc(MP_SLOTS_MAX, sizeof *row);
    uint64_t *all = malloc(MP_SLOTS_MAX / 8);
    if (record == NULL || row == NULL || all == NULL) abort();
    memset(all, 0xff, MP_SLOTS_MAX / 8);
    for (uint32_t fn = 0; fn < p->fn_count; fn++) {
        const struct mp_fn_row *f = &p->fn[fn];
        struct mp_inputs in;
        mp_inputs_init(&in, p, &scratch);
        if (f->signal != MP_NONE) {
            const struct mp_signal_row *s = &p->signal[f->signal];
            for (uint32_t i = 0; i < s->fields_count; i++) {
                record[i] = run_all_value(mp_field_rep(&p->field[s->fields_at + i]));
            }
            for (uint32_t i = 0; i < s->columns_count; i++) {
                row[i] = run_all_value(mp_column_rep(&p->column[s->columns_at + i]));
            }
        }
        if (f->grouping != MP_NONE) {
            const struct mp_grouping_row *g = &p->grouping[f->grouping];
            for (uint32_t i = 0; i < g->columns_count; i++) {
                row[i] = run_all_value(mp_column_rep(&p->column[g->columns_at + i]));
            }
        }
        in.record = record, in.row = row, in.record_known = in.row_known = all;
        struct mp_outputs out = {known, truth, value};
        mp_eval_fn(p, fn, &in, &out);
    }
    free(record);
    free(row);
    free(all);
}

#endif
