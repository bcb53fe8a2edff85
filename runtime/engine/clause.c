/* SPDX-License-Identifier: Apache-2.0
 * Conditions that are judged outside of the units: unless, verify, harm, until, guards, and the
 * trigger of a case at a moment without a record.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

struct mp_inputs *en_row_inputs(struct mp_engine *e, const struct mp_row *row)
{
    mp_inputs_init(&e->in, e->p, &e->scratch);
    e->in.row_known = row->known;
    e->in.row = row->cell;
    return &e->in;
}

void en_fill(struct mp_engine *e, uint32_t grouping, uint32_t key, const struct en_case *c)
{
    struct mp_read how = {.record = e->record, .outputs = e->record_outputs, .asker = c};
    mp_window_fill(e->window, &how, grouping, key, &e->row);
}

enum mp_truth en_clause_truth(struct mp_engine *e, uint32_t clause, const struct mp_read *how,
                              uint32_t key)
{
    const struct mp_clause_row *row = &e->p->clause[clause];
    uint32_t grouping = e->p->fn[row->fn].grouping;
    if (grouping == MP_NONE && row->rule != MP_NONE) grouping = e->p->rule[row->rule].grouping;
    if (grouping == MP_NONE) return mp_eval_truth(e->p, row->fn, en_row_inputs(e, &e->clause_row));
    mp_window_fill_inputs(e->window, how, grouping, key, row->inputs_at, row->inputs_count,
                          &e->clause_row);
    return mp_eval_truth(e->p, row->fn, en_row_inputs(e, &e->clause_row));
}

static int64_t agg_lateness(const struct mp_program *p, uint32_t agg)
{
    return agg == MP_NONE ? 0 : p->signal[p->agg[agg].signal].lateness_ns;
}

/* A member is judged by columns of its own grouping. */
static int64_t members_lateness(const struct mp_program *p, const struct mp_column_row *col)
{
    const struct mp_fn_row *fn = &p->fn[col->fn];
    int64_t most = 0;
    for (uint32_t i = fn->ops_at; i < fn->ops_at + fn->ops_count; i++) {
        if (p->op[i].code != MP_OP_COL) continue;
        uint32_t agg = p->column[p->grouping[col->grouping].columns_at + p->op[i].a].agg;
        int64_t lateness = agg_lateness(p, agg);
        if (lateness > most) most = lateness;
    }
    return most;
}

int64_t en_clause_lateness(struct mp_engine *e, uint32_t clause, uint32_t key)
{
    const struct mp_clause_row *row = &e->p->clause[clause];
    int64_t most = 0;
    for (uint32_t i = row->inputs_at; i < row->inputs_at + row->inputs_count; i++) {
        uint32_t column = e->p->input[i].column;
        const struct mp_column_row *col = &e->p->column[column];
        if (col->kind == MP_COL_OVERRIDE && (col->flags & MP_COL_STATE) != 0) {
            /* What a test has set has no lateness (R46). */
            struct mp_value state;
            bool known = mp_window_read(e->window, &(struct mp_read){0}, e->p->fn[row->fn].grouping,
                                        key, column, &state);
            if (known && mp_value_as_int(state) != 0) return 0;
        }
        int64_t lateness = col->kind == MP_COL_MEMBERS ? members_lateness(e->p, col)
                                                       : agg_lateness(e->p, col->agg);
        if (lateness > most) most = lateness;
    }
    return most;
}

/* ---- what hooks of the window ask ---- */

bool en_incident_value(void *ctx, uint32_t column, uint32_t key, const void *asker,
                       struct mp_value *out)
{
    struct mp_engine *e = ctx;
    const struct en_case *c = asker;
    const struct mp_column_row *col = &e->p->column[column];
    (void)key;
    if (c == NULL) return false;
    if (col->kind == MP_COL_AT_TRIGGER) {
        if (col->index >= c->at_trigger_count || ((c->at_trigger_known >> col->index) & 1) == 0) {
            return false;
        }
        *out = c->at_trigger[col->index];
        return true;
    }
    uint64_t rule_key = en_rule_key(e, c->rule, en_case_key(e, &e->cases[en_case_index(e, c)]));
    uint64_t count = 0;
    for (uint32_t i = 0; i < e->opening_count; i++) {
        const struct en_opening *o = &e->openings[i];
        if (o->rule_key == rule_key && o->time_ns > e->now_ns - col->window_ns &&
            o->time_ns < c->opened_ns) {
            count++;
        }
    }
    *out = mp_value_int((int64_t)count);
    return true;
}

enum mp_truth en_member_truth(void *ctx, uint32_t fn, const struct mp_row *row)
{
    struct mp_engine *e = ctx;
    struct mp_inputs in; /* the row around it is being filled meanwhile, with e->in in use */
    mp_inputs_init(&in, e->p, &e->member_scratch);
    in.row_known = row->known;
    in.row = row->cell;
    return mp_eval_truth(e->p, fn, &in);
}

/* ---- causes ---- */

static void cause_window(struct mp_engine *e, const struct mp_read *how, uint32_t column,
                         uint32_t key, bool *told)
{
    if (column == MP_NONE || *told) return;
    const struct mp_column_row *col = &e->p->column[column];
    if (col->kind != MP_COL_AGG || col->agg == MP_NONE) return;
    const struct mp_agg_row *agg = &e->p->agg[col->agg];
    if (agg->window_ns <= 0) return;
    *told = true;
    en_cause_value(e, MP_STR("window"), MP_TYPE_DURATION, mp_value_int(agg->window_ns));
    en_cause_number(e, MP_STR("samples"), mp_window_samples(e->window, how, col->agg, key));
}

void en_cause_clause(struct mp_engine *e, uint32_t clause, const struct mp_read *how, uint32_t key)
{
    const struct mp_clause_row *row = &e->p->clause[clause];
    bool told = false;
    en_clause_truth(e, clause, how, key); /* fills the row that the parts read */
    for (uint32_t i = row->parts_at; i < row->parts_at + row->parts_count; i++) {
        const struct mp_part_row *part = &e->p->part[i];
        struct mp_value v;
        if (part->shown == MP_NONE) continue;
        mp_str name = mp_program_text(e->p, part->shown_text);
        if (mp_eval_value(e->p, part->shown, en_row_inputs(e, &e->clause_row), &v)) {
            en_cause_value(e, name, (enum mp_type)part->type, v);
        } else {
            en_cause(e, name, MP_STR("unknown"));
        }
        cause_window(e, how, part->column, key, &told);
    }
}
