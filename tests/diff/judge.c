/* SPDX-License-Identifier: Apache-2.0
 * judge.c - what all executors are asked for a record and for a row: the rules, their clauses, and
 * the values in their messages.
 */
#include "diff.h"

#include "base/assert.h"

/* ---- messages: the values in them ---- */

static void holes(struct diff_run *r, uint32_t rule, uint32_t event, const struct slow_ask *ask,
                  const struct mp_inputs *in)
{
    const struct mp_t_rule *t = r->typed->rules.ptr[rule];
    const struct mp_rule_row *row = &r->p->rule[rule];
    const struct mp_step_row *step = &r->p->step[row->steps_at];
    for (uint32_t a = 0; a < t->steps[0].act_count && a < step->acts_count; a++) {
        const struct mp_t_expr *m = t->steps[0].acts[a].message;
        const struct mp_act_row *act = &r->p->act[step->acts_at + a];
        if (m == NULL || m->kind != MP_TX_TEXT || m->piece_count != act->pieces_count) continue;
        for (uint32_t i = 0; i < m->piece_count; i++) {
            uint32_t fn = r->p->piece[act->pieces_at + i].fn;
            if (m->pieces[i].hole == NULL || fn == MP_NONE || m->pieces[i].hole->type.is_set)
                continue;
            diff_both(r, fn, in, rule, event);
            diff_value(r, rule, event, m->pieces[i].hole,
                       slow_eval(&r->world, ask, m->pieces[i].hole));
        }
    }
}

/* ---- rules on the record ---- */

void diff_judge_record(struct diff_run *r, uint32_t event, const struct mp_record *record,
                       const struct slow_record *rec)
{
    const struct mp_signal_row *s = &r->p->signal[record->signal];
    struct slow_ask ask = {.record = rec};
    struct mp_inputs in;
    mp_inputs_init(&in, r->p, &r->scratch);
    in.record_known = record->known;
    in.record = record->field;
    in.row_known = r->with_record.known;
    in.row = r->with_record.cell;
    for (uint32_t u = s->rule_units_at; u < s->rule_units_at + s->rule_units_count; u++) {
        const struct mp_unit_row *unit = &r->p->unit[u];
        if (unit->rules_count == 0) continue;
        diff_both(r, unit->fn, &in, unit->rules_at, event);
        r->unit = r->interpreted;
        for (uint32_t i = 0; i < unit->rules_count; i++) {
            uint32_t rule = unit->rules_at + i;
            const struct mp_t_rule *t = r->typed->rules.ptr[rule];
            enum mp_truth slow = slow_truth(&r->world, &ask, t->when.cond);
            if (t->has_unless && slow_truth(&r->world, &ask, t->unless.cond) == MP_TRUE)
                slow = MP_FALSE;
            diff_truth(r, rule, event, "when", slow, &r->unit, unit->first_out + i);
            if (gen_below(&r->rng, 4) == 0) holes(r, rule, event, &ask, &in);
        }
    }
}

/* ---- rules on a row ---- */

/* The signal whose record at hand a condition asks; NULL: none. */
static const struct mp_t_signal *asks_record(const struct mp_t_expr *e)
{
    const struct mp_t_signal *found = NULL;
    if (e == NULL) return NULL;
    if (e->kind == MP_TX_WALK && e->walk->base == MP_T_BASE_RECORD_KEY) return e->walk->signal;
    if (e->kind == MP_TX_WALK && e->walk->base == MP_T_BASE_RECORD_FIELD)
        return e->walk->field->signal;
    for (int i = 0; i < 3 && found == NULL; i++) found = asks_record(e->kid[i]);
    return found;
}

/* The row's keys in the order in which the rule names them. */
static void row_keys(const struct diff_run *r, uint32_t rule, uint32_t grouping, uint32_t key,
                     struct slow_value *out)
{
    const struct mp_t_rule *t = r->typed->rules.ptr[rule];
    const struct mp_grouping_row *g = &r->p->grouping[grouping];
    const struct mp_value *values = mp_window_key(r->window, grouping, key);
    for (uint32_t i = 0; i < t->keys->count; i++) {
        uint32_t at = 0;
        while (!mp_str_eq(mp_program_text(r->p, r->p->group_key[g->keys_at + at].name),
                          t->keys->keys[i].name)) {
            at++;
            MP_ASSERT(at < g->keys_count);
        }
        out[i] = (struct slow_value){true, values[at]};
    }
}

static void clause(struct diff_run *r, uint32_t rule, uint32_t event, uint32_t row,
                   const struct mp_read *how, uint32_t grouping, uint32_t key,
                   const struct slow_ask *ask, const struct mp_t_expr *cond, const char *word)
{
    if (row == MP_NONE || cond == NULL) return;
    const struct mp_clause_row *c = &r->p->clause[row];
    struct mp_row cells = {.known = r->row.known, .cell = r->row.cell};
    struct mp_inputs in;
    mp_window_fill_inputs(r->window, how, grouping, key, c->inputs_at, c->inputs_count, &cells);
    mp_inputs_init(&in, r->p, &r->scratch);
    in.row_known = r->row.known;
    in.row = r->row.cell;
    diff_both(r, c->fn, &in, rule, event);
    diff_truth(r, rule, event, word, slow_truth(&r->world, ask, cond), &r->interpreted, 0);
}

static void clauses(struct diff_run *r, uint32_t rule, uint32_t event, uint32_t grouping,
                    uint32_t key, const struct slow_ask *now)
{
    const struct mp_t_rule *t = r->typed->rules.ptr[rule];
    const struct mp_rule_row *row = &r->p->rule[rule];
    const struct mp_step_row *step = &r->p->step[row->steps_at];
    struct slow_ask ask = *now;
    ask.record = NULL;
    clause(r, rule, event, row->unless, &(struct mp_read){0}, grouping, key, &ask, t->unless.cond,
           "unless");
    struct mp_read how = {.settled = true};
    ask.settled = true;
    clause(r, rule, event, row->until, &how, grouping, key, &ask, t->until.cond, "until");
    how.since_ns = ask.since_ns = r->world.now_ns - (int64_t)gen_below(&r->rng, 20000) * 1000000;
    clause(r, rule, event, step->verify, &how, grouping, key, &ask, t->steps[0].verify.cond,
           "verify");
    how.settled = ask.settled = false;
    clause(r, rule, event, step->harm, &how, grouping, key, &ask, t->steps[0].harm.cond, "harm");
}

void diff_judge_row(struct diff_run *r, uint32_t event, uint32_t grouping, uint32_t key,
                    const struct mp_record *record, const struct mp_outputs *outputs,
                    const struct slow_record *rec)
{
    const struct mp_grouping_row *g = &r->p->grouping[grouping];
    struct mp_read how = {.record = record, .outputs = outputs};
    struct mp_row row = {.known = r->row.known, .cell = r->row.cell};
    MP_ASSERT(g->columns_count <= DIFF_CELLS_MAX);
    if (g->units_count == 0) return;
    for (uint32_t u = g->units_at; u < g->units_at + g->units_count; u++) {
        const struct mp_unit_row *unit = &r->p->unit[u];
        struct mp_inputs in;
        mp_window_fill(r->window, &how, grouping, key, &row);
        mp_inputs_init(&in, r->p, &r->scratch);
        in.row_known = r->row.known;
        in.row = r->row.cell;
        diff_both(r, unit->fn, &in, unit->rules_at, event);
        r->unit = r->interpreted;
        for (uint32_t i = 0; i < unit->rules_count; i++) {
            uint32_t rule = unit->rules_at + i;
            const struct mp_t_rule *t = r->typed->rules.ptr[rule];
            struct slow_value keys[8];
            row_keys(r, rule, grouping, key, keys);
            struct slow_ask ask = {.record = rec, .row = keys, .row_count = t->keys->count};
            /* Without a record of its own such a rule is false, which is the engine's to say. */
            const struct mp_t_signal *own = asks_record(t->when.cond);
            if (own == NULL || (rec != NULL && rec->signal == own)) {
                diff_truth(r, rule, event, "when", slow_truth(&r->world, &ask, t->when.cond),
                           &r->unit, unit->first_out + i);
            }
            uint32_t dice = gen_below(&r->rng, 8);
            if (dice < 2) holes(r, rule, event, &ask, &in);
            if (dice < 3) {
                clauses(r, rule, event, grouping, key, &ask);
                mp_window_fill(r->window, &how, grouping, key, &row);
            }
        }
    }
}
