/* SPDX-License-Identifier: Apache-2.0
 * verify_state.c - what is kept for a key: columns and their order, aggregates, holds, groupings;
 * and the signals that feed them.
 */
#include "program/verify_priv.h"

/* ---- columns, aggregates, holds ---- */

static bool windowless(uint32_t agg) { return agg == MP_AGG_LAST || agg == MP_AGG_SEEN; }

/* LIMIT: panes of a window, and of its lateness. */
#define PANES_MAX 65536u

static enum mp_err verify_agg(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_agg_row *a = &p->agg[i];
    uint32_t unit = p->signal[a->signal].unit;
    bool truth_value = a->kind == MP_AGG_RATIO;
    bool asks = a->where != MP_NONE || a->value != MP_NONE;
    MUST(!asks || unit != MP_NONE, agg, i, "the signal computes nothing for it");
    uint32_t fn = asks ? p->unit[unit].fn : 0, outs = asks ? p->fn[fn].outs_count : 0;
    if (a->where != MP_NONE) {
        MUST(a->where < outs && rep_of(out_type(p, fn, a->where)) == MP_REP_B, agg, i,
             "where is no truth");
    }
    MUST(a->value != MP_NONE || !mp_agg_needs_value((enum mp_agg)a->kind), agg, i,
         "of what value?");
    if (a->value != MP_NONE) {
        MUST(a->value < outs, agg, i, "a value that is not computed");
        enum mp_rep rep = rep_of(out_type(p, fn, a->value));
        MUST(truth_value ? rep == MP_REP_B : rep == rep_of(a->value_type), agg, i,
             "of another value");
        bool number = rep == MP_REP_I || rep == MP_REP_F;
        bool any = truth_value || a->kind == MP_AGG_DISTINCT || a->kind == MP_AGG_LAST;
        MUST(any || number, agg, i, "a value that is no number");
    }
    MUST(a->window_ns >= 0 && a->pane_ns >= 0, agg, i, "a time below 0");
    if (!windowless(a->kind)) {
        MUST(a->window_ns > 0 && a->pane_ns > 0, agg, i, "no window");
        MUST(a->panes > 0 && a->panes <= PANES_MAX && a->late_panes <= PANES_MAX, agg, i,
             "too many panes");
        MUST((a->window_ns - 1) / a->panes + 1 == a->pane_ns, agg, i,
             "panes that are not its window's");
    }
    MUST(a->kind != MP_AGG_QUANTILE || (a->quantile > 0 && a->quantile < 1000), agg, i,
         "no quantile");
    MUST(a->layers <= MP_LAYER_ALL, agg, i, "layers that are not there");
    return MP_OK;
}

struct owner {
    uint32_t grouping, signal, keys, fields;
};

static bool agg_at(const struct mp_program *p, const struct mp_column_row *col)
{
    return col->agg != MP_NONE &&
           col->walks_count == p->grouping[p->agg[col->agg].grouping].keys_count;
}

static bool is_event(const struct mp_program *p, const struct mp_column_row *col)
{
    if (col->signal == MP_NONE || p->signal[col->signal].unit == MP_NONE) return false;
    uint32_t fn = p->unit[p->signal[col->signal].unit].fn;
    return col->index < p->fn[fn].outs_count &&
           rep_of(out_type(p, fn, col->index)) == mp_column_rep(col);
}

static bool column_holds(const struct mp_program *p, const struct mp_column_row *col,
                         const struct owner *o)
{
    bool walk = col->walks_count > 0;
    switch (col->kind) {
    case MP_COL_AGG:
    case MP_COL_SAMPLES: return col->agg != MP_NONE && p->agg[col->agg].grouping == o->grouping;
    case MP_COL_REACHED:
    case MP_COL_PUBLISHED: return agg_at(p, col);
    case MP_COL_POOLED: return col->agg != MP_NONE && walk;
    case MP_COL_MEMBERS:
        return walk && col->fn != MP_NONE && is_condition(p, col->fn) &&
               p->fn[col->fn].grouping != MP_NONE;
    case MP_COL_SET_SIZE:
    case MP_COL_ATTR: return walk;
    case MP_COL_KEY: return col->index < o->keys;
    case MP_COL_EVENT: return is_event(p, col);
    case MP_COL_HOLD:
        return o->grouping != MP_NONE && col->index < p->grouping[o->grouping].holds_count;
    case MP_COL_STALE: return col->signal != MP_NONE;
    case MP_COL_OVERRIDE: return col->index < p->def_count;
    default: return true;
    }
}

/* Representations that follow from the kind: window and engine write cells without asking. */
static bool column_rep_holds(const struct mp_program *p, const struct mp_column_row *col)
{
    enum mp_rep rep = mp_column_rep(col);
    bool records = (col->flags & MP_COL_RECORDS) != 0 || col->kind == MP_COL_SAMPLES;
    bool count = records || col->kind == MP_COL_MEMBERS || col->kind == MP_COL_SET_SIZE ||
                 col->kind == MP_COL_INCIDENTS ||
                 (col->kind == MP_COL_OVERRIDE && (col->flags & MP_COL_STATE) != 0);
    if (count) return rep == MP_REP_I;
    if (col->kind == MP_COL_HOLD || col->kind == MP_COL_STALE) return rep == MP_REP_B;
    bool of_agg = col->kind == MP_COL_AGG || col->kind == MP_COL_REACHED ||
                  col->kind == MP_COL_POOLED || col->kind == MP_COL_PUBLISHED;
    if (of_agg) return rep == rep_of(p->agg[col->agg].type);
    if (col->kind == MP_COL_OVERRIDE) return rep == rep_of(p->def[col->index].type);
    return rep != MP_REP_N;
}

static enum mp_err verify_columns(struct check *c, uint32_t at, uint32_t count,
                                  const struct owner *o, uint8_t *owned)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = at; i < at + count; i++) {
        const struct mp_column_row *col = &p->column[i];
        MUST(!owned[i], column, i, "a column of two owners");
        owned[i] = 1;
        MUST(column_holds(p, col, o), column, i, "a column without what it is made of");
        MUST(column_rep_holds(p, col), column, i, "a column of another kind than its type");
        MUST(walks_begin(p, col->walks_at, col->walks_count, o->fields, o->keys), column, i,
             "a walk that begins nowhere");
    }
    return MP_OK;
}

static enum mp_err verify_owned_columns(struct check *c, uint8_t *owned)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->grouping_count; i++) {
        const struct mp_grouping_row *g = &p->grouping[i];
        struct owner o = {i, MP_NONE, g->keys_count, 0};
        MUST(g->columns_count <= MP_SLOTS_MAX, grouping, i, "too long");
        MP_TRY(verify_columns(c, g->columns_at, g->columns_count, &o, owned));
    }
    for (uint32_t i = 0; i < p->signal_count; i++) {
        const struct mp_signal_row *s = &p->signal[i];
        struct owner o = {MP_NONE, i, 0, s->fields_count};
        MP_TRY(verify_columns(c, s->columns_at, s->columns_count, &o, owned));
    }
    for (uint32_t i = 0; i < p->column_count; i++) MUST(owned[i], column, i, "a column of nobody");
    return MP_OK;
}

/* LIMIT: how deep `count(m of SET where count(n of SET where …))` may go. */
#define MEMBERS_DEPTH 8

/* What a column is computed from must end: the longest chain of MEMBERS columns, each over the
 * columns that its function reads. A grouping may well count members of its own kind. */
static enum mp_err verify_depth(struct check *c, uint32_t column, uint32_t depth, uint8_t *settled)
{
    const struct mp_program *p = c->p;
    const struct mp_column_row *col = &p->column[column];
    if (col->kind != MP_COL_MEMBERS || settled[column] > depth) return MP_OK; /* as deep before */
    MUST(depth < MEMBERS_DEPTH, column, column, "columns that need each other");
    const struct mp_fn_row *fn = &p->fn[col->fn];
    for (uint32_t i = 0; i < fn->ops_count; i++) {
        const struct mp_op_row *op = &p->op[fn->ops_at + i];
        if (op->code != MP_OP_COL) continue;
        MP_TRY(verify_depth(c, p->grouping[fn->grouping].columns_at + op->a, depth + 1, settled));
    }
    settled[column] = (uint8_t)(depth + 1);
    return MP_OK;
}

static enum mp_err verify_hold(struct check *c, uint32_t grouping, uint32_t number)
{
    const struct mp_program *p = c->p;
    const struct mp_grouping_row *g = &p->grouping[grouping];
    uint32_t row = g->holds_at + number;
    const struct mp_hold_row *h = &p->hold[row];
    MUST(h->grouping == grouping && h->hold_ns >= 0, hold, row, "a hold of another grouping");
    MUST(is_condition(p, h->fn) && p->fn[h->fn].grouping == grouping, hold, row, "not a condition");
    MUST(h->column >= g->columns_at && h->column - g->columns_at < g->columns_count, hold, row,
         "a column of another grouping");
    MUST(p->column[h->column].kind == MP_COL_HOLD && p->column[h->column].index == number, hold,
         row, "a column of another hold");
    const struct mp_fn_row *fn = &p->fn[h->fn];
    for (uint32_t i = 0; i < fn->ops_count; i++) {
        const struct mp_op_row *op = &p->op[fn->ops_at + i];
        if (op->code != MP_OP_COL) continue;
        const struct mp_column_row *col = &p->column[g->columns_at + op->a];
        MUST(col->kind != MP_COL_HOLD || col->index < number, hold, row,
             "a hold that needs itself");
    }
    return MP_OK;
}

static enum mp_err verify_grouping(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_grouping_row *g = &p->grouping[i];
    MUST(g->keys_count <= 64, grouping, i, "more than 64 keys");
    for (uint32_t k = 0; k < g->keys_count; k++) {
        enum mp_rep rep = rep_of(p->group_key[g->keys_at + k].type);
        MUST(rep != MP_REP_N && rep != MP_REP_S, grouping, i, "a key without values");
    }
    for (uint32_t k = 0; k < g->aggs_count; k++) {
        MUST(p->agg[g->aggs_at + k].grouping == i, grouping, i, "an aggregate of another grouping");
    }
    for (uint32_t k = 0; k < g->units_count; k++) {
        const struct mp_unit_row *u = &p->unit[g->units_at + k];
        MUST(u->kind == MP_UNIT_GROUP && u->grouping == i, grouping, i,
             "a unit of another grouping");
        MUST(is_judged(p, g->units_at + k), grouping, i, "a unit that is not judged as bits");
    }
    for (uint32_t k = 0; k < g->holds_count; k++) MP_TRY(verify_hold(c, i, k));
    return MP_OK;
}

/* ---- signals ---- */

static enum mp_err verify_record_unit(struct check *c, uint32_t signal, uint32_t unit)
{
    const struct mp_program *p = c->p;
    MUST(p->unit[unit].kind == MP_UNIT_RECORD && p->unit[unit].signal == signal, signal, signal,
         "a unit of another signal");
    return MP_OK;
}

static enum mp_err verify_signal(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_signal_row *s = &p->signal[i];
    MUST(s->fields_count <= MP_SLOTS_MAX && s->columns_count <= MP_SLOTS_MAX, signal, i,
         "too long");
    MUST(s->every_ns >= 0 && s->lateness_ns >= 0, signal, i, "a time below 0");
    for (uint32_t k = 0; k < s->fields_count; k++) {
        MUST(p->field[s->fields_at + k].signal == i, signal, i, "a field of another signal");
    }
    MUST(s->layer == MP_NONE || p->field[s->layer].signal == i, signal, i,
         "a field of another signal");
    for (uint32_t k = 0; k < s->keys_count; k++) {
        uint32_t field = p->signal_key[s->keys_at + k].field;
        MUST(p->field[field].signal == i, signal, i, "a key of another signal");
    }
    for (uint32_t k = 0; k < s->feeds_count; k++) {
        const struct mp_feed_row *f = &p->feed[s->feeds_at + k];
        MUST(f->signal == i, signal, i, "a feed of another signal");
        MUST(f->walks_count == p->grouping[f->grouping].keys_count, feed, s->feeds_at + k,
             "one walk a key is needed");
        MUST(walks_begin(p, f->walks_at, f->walks_count, s->fields_count, 0), feed, s->feeds_at + k,
             "a walk that begins nowhere");
    }
    for (uint32_t k = 0; k < s->aggs_count; k++) {
        MUST(p->agg[p->agg_use[s->aggs_at + k].agg].signal == i, signal, i, "of another signal");
    }
    for (uint32_t k = 0; k < s->reaches_count; k++) {
        const struct mp_reach_row *r = &p->reach[s->reaches_at + k];
        MUST(r->signal == i && walks_begin(p, r->walk, 1, s->fields_count, 0), reach,
             s->reaches_at + k, "a walk that begins nowhere");
    }
    if (s->unit != MP_NONE) MP_TRY(verify_record_unit(c, i, s->unit));
    for (uint32_t k = 0; k < s->rule_units_count; k++) {
        MP_TRY(verify_record_unit(c, i, s->rule_units_at + k));
        MUST(is_judged(p, s->rule_units_at + k), signal, i, "a unit that is not judged as bits");
    }
    return MP_OK;
}

/* ---- all of it ---- */

/* Aggregates belong to exactly one grouping: their state is numbered by it. */
static enum mp_err verify_agg_owners(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->agg_count; i++) {
        const struct mp_grouping_row *g = &p->grouping[p->agg[i].grouping];
        MUST(i >= g->aggs_at && i - g->aggs_at < g->aggs_count, agg, i, "not among its grouping's");
        MP_TRY(verify_agg(c, i));
    }
    return MP_OK;
}

enum mp_err mp_verify_state(struct check *c)
{
    const struct mp_program *p = c->p;
    struct mp_arena scratch;
    mp_arena_init(&scratch, NULL, 0);
    uint8_t *owned = MP_NEW(&scratch, uint8_t, p->column_count);
    uint8_t *settled = MP_NEW(&scratch, uint8_t, p->column_count);
    enum mp_err err = mp_fault_set(c->fault, MP_ENOMEM, MP_NONE, MP_NONE, "out of memory");
    if (owned != NULL && settled != NULL) err = verify_owned_columns(c, owned);
    for (uint32_t i = 0; err == MP_OK && i < p->column_count; i++)
        err = verify_depth(c, i, 0, settled);
    mp_arena_free(&scratch);
    MP_TRY(err);
    for (uint32_t i = 0; i < p->grouping_count; i++) MP_TRY(verify_grouping(c, i));
    for (uint32_t i = 0; i < p->signal_count; i++) MP_TRY(verify_signal(c, i));
    return verify_agg_owners(c);
}
