/* SPDX-License-Identifier: Apache-2.0
 * verify.c - what the runtime relies on without looking again. First what tables.def says by itself
 * (every text, enum, reference and span), then what only the words of its comments say.
 */
#include "program/program_priv.h"

struct check {
    const struct mp_program *p;
    struct mp_fault *fault;
};

#define BAD(table, row, why)                                                                       \
    return mp_fault_set(c->fault, MP_ECORRUPT, MP_TABLE_##table, row, why)
#define MUST(cond, table, row, why)                                                                \
    do {                                                                                           \
        if (!(cond)) BAD(table, row, why);                                                         \
    } while (0)

/* ---- from the layout alone ---- */

static bool text_fits(const struct mp_program *p, uint32_t at)
{
    uint32_t len;
    if (p->texts_size < sizeof len || at > p->texts_size - sizeof len) return false;
    memcpy(&len, p->texts + at, sizeof len);
    return len <= p->texts_size - sizeof len - at;
}

static const char *member_fault(const struct mp_program *p, const struct mp_member *m,
                                const char *row)
{
    uint32_t word[2], rows = 0;
    memcpy(&word[0], row + m->offset_bytes, sizeof word[0]);
    switch (m->kind) {
    case MP_MEMBER_STR: return text_fits(p, word[0]) ? NULL : "a text outside of the image";
    case MP_MEMBER_ENUM: return word[0] < mp_enum_count(m->of) ? NULL : "a word that is not there";
    case MP_MEMBER_REF:
    case MP_MEMBER_NEED:
        (void)mp_program_rows(p, m->of, &rows);
        if (word[0] == MP_NONE) return m->kind == MP_MEMBER_REF ? NULL : "a reference is missing";
        return word[0] < rows ? NULL : "a reference to no row";
    case MP_MEMBER_SPAN:
        (void)mp_program_rows(p, m->of, &rows);
        memcpy(&word[1], row + m->offset_bytes + 4, sizeof word[1]);
        return word[0] <= rows && word[1] <= rows - word[0] ? NULL : "a span outside of its table";
    case MP_MEMBER_F64: {
        double f;
        memcpy(&f, row + m->offset_bytes, sizeof f);
        return f - f == 0 ? NULL : "a number that is none";
    }
    case MP_MEMBER_I64: {
        int64_t n;
        memcpy(&n, row + m->offset_bytes, sizeof n);
        bool time = mp_str_ends(mp_str_of(m->name), MP_STR("_ns"));
        return !time || n <= MP_WAIT_MAX_NS ? NULL : "a time of more than ten years";
    }
    case MP_MEMBER_U32:
    case MP_MEMBER_OUT: return NULL;
    }
    return "a member of no kind";
}

static enum mp_err verify_table(struct check *c, uint32_t table)
{
    uint32_t rows, count;
    const char *row = mp_program_rows(c->p, table, &rows);
    const struct mp_member *m = mp_table_members(table, &count);
    for (uint32_t i = 0; i < rows; i++, row += mp_table_layout(table)->row_bytes) {
        for (uint32_t k = 0; k < count; k++) {
            const char *why = member_fault(c->p, &m[k], row);
            if (why != NULL) return mp_fault_set(c->fault, MP_ECORRUPT, table, i, why);
        }
    }
    return MP_OK;
}

/* ---- constants, parameters, lists ---- */

static enum mp_rep rep_of(uint32_t type) { return mp_type_rep((enum mp_type)type); }

static enum mp_rep const_rep(const struct mp_program *p, uint32_t cnst)
{
    return rep_of(p->cnst[cnst].type);
}

static enum mp_err verify_data(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->cnst_count; i++) {
        const struct mp_cnst_row *k = &p->cnst[i];
        enum mp_rep rep = rep_of(k->type);
        struct mp_value v = {{(uint64_t)k->word0, (uint64_t)k->word1}};
        MUST(rep != MP_REP_N && rep != MP_REP_S, cnst, i, "a constant of a type that has none");
        MUST(k->bits <= 128, cnst, i, "a prefix of more than 128 bits");
        MUST(rep == MP_REP_A || k->bits == 0, cnst, i, "a prefix of what is no address");
        MUST(rep != MP_REP_B || v.w[0] <= 1, cnst, i, "a truth that is none");
        MUST(rep != MP_REP_T || (v.w[0] | v.w[1]) == 0, cnst, i, "a text with words");
        MUST(rep == MP_REP_T || rep == MP_REP_A || v.w[1] == 0, cnst, i, "a second word of one");
        if (rep != MP_REP_F) continue;
        double f = mp_value_as_num(v);
        MUST(f - f == 0, cnst, i, "a number that is none");
    }
    for (uint32_t i = 0; i < p->param_count; i++) {
        const struct mp_param_row *r = &p->param[i];
        enum mp_rep rep = rep_of(r->type);
        MUST(r->value != MP_NONE && const_rep(p, r->value) == rep, param, i,
             "a value of another kind");
        MUST(r->low == MP_NONE || const_rep(p, r->low) == rep, param, i, "a bound of another kind");
        MUST(r->high == MP_NONE || const_rep(p, r->high) == rep, param, i,
             "a bound of another kind");
    }
    for (uint32_t i = 0; i < p->list_count; i++) {
        const struct mp_list_row *l = &p->list[i];
        enum mp_rep rep = rep_of(l->type);
        MUST(rep != MP_REP_N && rep != MP_REP_S, list, i, "a list of what has no values");
        for (uint32_t k = 0; k < l->items_count; k++) {
            uint32_t value = p->item[l->items_at + k].value;
            MUST(const_rep(p, value) == rep, list, i, "a member of another kind than its list");
        }
    }
    return MP_OK;
}

/* ---- vocabulary ---- */

/* Is every walk of the span one that can begin: at one of `fields` fields, of `keys` keys, or at a
 * constant? */
static bool walks_begin(const struct mp_program *p, uint32_t at, uint32_t count, uint32_t fields,
                        uint32_t keys)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_walk_row *w = &p->walk[at + i];
        uint32_t limit = w->base == MP_WALK_FIELD ? fields
                         : w->base == MP_WALK_KEY ? keys : p->cnst_count;
        if (w->index >= limit) return false;
    }
    return true;
}

static enum mp_err verify_vocabulary(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->entity_count; i++) {
        for (uint32_t k = 0; k < p->entity[i].attrs_count; k++) {
            MUST(p->attr[p->entity[i].attrs_at + k].entity == i, entity, i,
                 "an attribute of another");
        }
    }
    for (uint32_t i = 0; i < p->attr_count; i++) {
        const struct mp_attr_row *a = &p->attr[i];
        MUST(a->preset == MP_NONE || (const_rep(p, a->preset) == rep_of(a->type) && !a->is_set),
             attr, i, "a default of another kind");
    }
    for (uint32_t i = 0; i < p->observe_count; i++) {
        const struct mp_observe_row *o = &p->observe[i];
        MUST(o->kind != MP_OBSERVE_MEMBERS || o->via != MP_NONE, observe, i, "members of what?");
        bool whole = o->signal != MP_NONE && o->field != MP_NONE && o->via != MP_NONE;
        MUST(o->kind != MP_OBSERVE_CALLERS || whole, observe, i, "callers by what?");
        MUST(o->field == MP_NONE || o->signal == MP_NONE || p->field[o->field].signal == o->signal,
             observe, i, "a field of another signal");
    }
    for (uint32_t i = 0; i < p->field_count; i++) {
        const struct mp_field_row *f = &p->field[i];
        uint32_t at = p->signal[f->signal].fields_at;
        MUST(i >= at && i - at < p->signal[f->signal].fields_count, field, i,
             "not among its signal's");
        MUST(rep_of(f->type) != MP_REP_N, field, i, "a field without values");
        MUST(f->preset == MP_NONE || const_rep(p, f->preset) == mp_field_rep(f), field, i,
             "a default of another kind");
    }
    return MP_OK;
}

/* A unit that is judged as bits: nothing but truths, at most 64 from its first output on. */
static bool is_judged(const struct mp_program *p, uint32_t unit)
{
    const struct mp_unit_row *u = &p->unit[unit];
    const struct mp_fn_row *fn = &p->fn[u->fn];
    for (uint32_t i = 0; i < fn->outs_count; i++) {
        if (rep_of(p->out[fn->outs_at + i].type) != MP_REP_B) return false;
    }
    return u->first_out <= fn->outs_count && fn->outs_count - u->first_out <= 64;
}

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

/* ---- state per key ---- */

static const struct mp_fn_row *unit_fn(const struct mp_program *p, uint32_t unit)
{
    return &p->fn[p->unit[unit].fn];
}

static uint32_t out_type(const struct mp_program *p, uint32_t fn, uint32_t out)
{
    return p->out[p->fn[fn].outs_at + out].type;
}

/* Functions that are asked for output 0 have few (eval.c), so that a caller's buffers are small. */
static bool has_few_outs(const struct mp_program *p, uint32_t fn)
{
    return p->fn[fn].outs_count > 0 && p->fn[fn].outs_count <= 64;
}

/* Output 0 is a truth. */
static bool is_condition(const struct mp_program *p, uint32_t fn)
{
    return has_few_outs(p, fn) && rep_of(out_type(p, fn, 0)) == MP_REP_B;
}

static bool gives(const struct mp_program *p, uint32_t fn, uint32_t type)
{
    return has_few_outs(p, fn) && rep_of(out_type(p, fn, 0)) == rep_of(type);
}

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

static enum mp_err verify_state(struct check *c)
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

/* ---- rules ---- */

static enum mp_err verify_unit(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_unit_row *u = &p->unit[i];
    const struct mp_fn_row *fn = &p->fn[u->fn];
    MUST(fn->signal == u->signal || u->kind == MP_UNIT_GROUP, unit, i,
         "a function of another signal");
    MUST(fn->grouping == u->grouping, unit, i, "a function of another grouping");
    MUST(u->kind != MP_UNIT_RECORD || (u->signal != MP_NONE && u->grouping == MP_NONE), unit, i,
         "no record");
    MUST(u->kind != MP_UNIT_GROUP || u->grouping != MP_NONE, unit, i, "no row");
    MUST(u->rules_count <= MP_UNIT_RULES_MAX, unit, i, "more than 64 rules");
    MUST(u->first_out <= fn->outs_count && u->rules_count <= fn->outs_count - u->first_out, unit, i,
         "rules without an output");
    MUST(u->rules_count == 0 || is_judged(p, i), unit, i, "a unit that is not judged as bits");
    for (uint32_t k = 0; k < u->rules_count; k++) {
        MUST(rep_of(out_type(p, u->fn, u->first_out + k)) == MP_REP_B, unit, i,
             "a rule that is no truth");
        MUST(p->rule[u->rules_at + k].unit == i, unit, i, "a rule of another unit");
    }
    return MP_OK;
}

/* A function that is asked for a key of `grouping`, or for a record of `signal`. */
static bool reads_only(const struct mp_program *p, uint32_t fn, uint32_t signal, uint32_t grouping)
{
    const struct mp_fn_row *f = &p->fn[fn];
    return (f->grouping == MP_NONE || f->grouping == grouping) &&
           (f->signal == MP_NONE || f->signal == signal);
}

static enum mp_err verify_clause(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_clause_row *k = &p->clause[i];
    const struct mp_fn_row *fn = &p->fn[k->fn];
    bool value = k->kind == MP_CLAUSE_AT_TRIGGER || k->kind == MP_CLAUSE_VALUE;
    MUST(value ? has_few_outs(p, k->fn) : is_condition(p, k->fn), clause, i, "no condition");
    MUST(k->hold_ns >= 0 && k->within_ns >= 0 && k->settle_ns >= 0, clause, i, "a time below 0");
    for (uint32_t n = 0; n < k->parts_count; n++) {
        const struct mp_part_row *part = &p->part[k->parts_at + n];
        MUST(is_condition(p, part->fn) && reads_only(p, part->fn, fn->signal, fn->grouping), part,
             k->parts_at + n, "no condition of its clause");
        if (part->shown == MP_NONE) continue;
        MUST(gives(p, part->shown, part->type) &&
                 reads_only(p, part->shown, fn->signal, fn->grouping),
             part, k->parts_at + n, "no value of its clause");
    }
    uint32_t at = 0, count = 0;
    if (fn->grouping != MP_NONE) {
        at = p->grouping[fn->grouping].columns_at;
        count = p->grouping[fn->grouping].columns_count;
    } else if (fn->signal != MP_NONE) {
        at = p->signal[fn->signal].columns_at;
        count = p->signal[fn->signal].columns_count;
    }
    for (uint32_t n = 0; n < k->inputs_count; n++) {
        uint32_t column = p->input[k->inputs_at + n].column;
        MUST(column >= at && column - at < count, clause, i, "a column of another row");
    }
    return MP_OK;
}

static bool clause_is(const struct mp_program *p, const struct mp_rule_row *r, uint32_t clause,
                      uint32_t kind)
{
    if (clause == MP_NONE) return true;
    return p->clause[clause].kind == kind &&
           reads_only(p, p->clause[clause].fn, r->signal, r->grouping);
}

static enum mp_err verify_act(struct check *c, const struct mp_rule_row *r, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_act_row *a = &p->act[i];
    MUST(a->duration_ns >= 0 && a->hooks <= MP_LAYER_ALL, act, i, "a time or hook that is none");
    if (a->target != MP_NONE) {
        MUST(gives(p, a->target, a->type) && reads_only(p, a->target, r->signal, r->grouping), act,
             i, "a target of another kind");
    }
    MUST(a->target_kind != MP_TARGET_LEASE || a->target != MP_NONE, act, i, "no target");
    for (uint32_t k = 0; k < a->args_count; k++) {
        const struct mp_arg_row *arg = &p->arg[a->args_at + k];
        MUST(gives(p, arg->fn, arg->type) && reads_only(p, arg->fn, r->signal, r->grouping), arg,
             a->args_at + k, "an argument of another kind");
    }
    for (uint32_t k = 0; k < a->pieces_count; k++) {
        const struct mp_piece_row *piece = &p->piece[a->pieces_at + k];
        if (piece->fn == MP_NONE) continue;
        MUST(gives(p, piece->fn, piece->type) && reads_only(p, piece->fn, r->signal, r->grouping),
             piece, a->pieces_at + k, "a value of another kind");
    }
    return MP_OK;
}

static enum mp_err verify_steps(struct check *c, uint32_t rule)
{
    const struct mp_program *p = c->p;
    const struct mp_rule_row *r = &p->rule[rule];
    for (uint32_t i = 0; i < r->steps_count; i++) {
        const struct mp_step_row *s = &p->step[r->steps_at + i];
        MUST(clause_is(p, r, s->verify, MP_CLAUSE_VERIFY) &&
                 clause_is(p, r, s->harm, MP_CLAUSE_HARM),
             step, r->steps_at + i, "a clause of another kind");
        for (uint32_t k = 0; k < s->acts_count; k++) MP_TRY(verify_act(c, r, s->acts_at + k));
    }
    return MP_OK;
}

static enum mp_err verify_rule(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_rule_row *r = &p->rule[i];
    const struct mp_unit_row *u = &p->unit[r->unit];
    MUST(i >= u->rules_at && i - u->rules_at < u->rules_count, rule, i, "not among its unit's");
    bool loop = r->kind == MP_RULE_LOOP;
    MUST(loop == (u->kind == MP_UNIT_GROUP), rule, i, "a unit of another kind");
    MUST(!loop || (r->grouping == u->grouping && r->trigger != MP_NONE), rule, i,
         "no key or no trigger");
    MUST(loop || r->signal == u->signal, rule, i, "a unit of another signal");
    MUST(r->hold_ns >= 0 && r->cooldown_ns >= 0 && r->ramp_every_ns >= 0, rule, i,
         "a time below 0");
    MUST(r->ramp >= 0 && r->ramp <= 1 && (r->ramp == 0 || r->ramp_every_ns > 0), rule, i,
         "no ramp");
    MUST(r->layers <= MP_LAYER_ALL, rule, i, "layers that are not there");
    MUST(clause_is(p, r, r->trigger, MP_CLAUSE_TRIGGER) &&
             clause_is(p, r, r->unless, MP_CLAUSE_UNLESS) &&
             clause_is(p, r, r->until, MP_CLAUSE_UNTIL),
         rule, i, "a clause of another kind");
    for (uint32_t k = 0; k < r->at_triggers_count; k++) {
        MUST(clause_is(p, r, r->at_triggers_at + k, MP_CLAUSE_AT_TRIGGER), rule, i,
             "a clause of another kind");
    }
    uint32_t fields = r->signal == MP_NONE ? 0 : p->signal[r->signal].fields_count;
    MUST(walks_begin(p, r->bucket_walks_at, r->bucket_walks_count, fields, 0), rule, i,
         "a walk that begins nowhere");
    return verify_steps(c, i);
}

static enum mp_err verify_guard(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_guard_row *g = &p->guard[i];
    switch (g->kind) {
    case MP_GUARD_MORE_THAN: MUST(g->quota != MP_NONE, guard, i, "more than what?"); break;
    case MP_GUARD_WHERE_LEASE: MUST(g->clause != MP_NONE, guard, i, "where what?"); break;
    default:
        MUST(g->unit != MP_NONE && g->signal != MP_NONE && p->unit[g->unit].signal == g->signal,
             guard, i, "a unit of another signal");
        MUST(g->out >= p->unit[g->unit].first_out && g->out < unit_fn(p, g->unit)->outs_count &&
                 g->out - p->unit[g->unit].first_out < 64 &&
                 is_judged(p, g->unit), guard, i, "no truth of its unit");
        break;
    }
    return MP_OK;
}

static enum mp_err verify_quota(struct check *c, uint32_t i)
{
    const struct mp_quota_row *q = &c->p->quota[i];
    MUST(q->percent >= 0 && q->percent <= 1 && q->per_ns >= 0, quota, i,
         "a share or time that is none");
    MUST(q->percent == 0 || q->count == 0, quota, i, "a share and a number");
    MUST(q->members == MP_NONE || walks_begin(c->p, q->members, 1, 0, 1), quota, i,
         "a walk from nowhere");
    MUST(q->per_walk == MP_NONE || walks_begin(c->p, q->per_walk, 1, 0, 1), quota, i,
         "a walk from nowhere");
    return MP_OK;
}

static enum mp_err verify_rules(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->unit_count; i++) MP_TRY(verify_unit(c, i));
    for (uint32_t i = 0; i < p->clause_count; i++) MP_TRY(verify_clause(c, i));
    for (uint32_t i = 0; i < p->rule_count; i++) MP_TRY(verify_rule(c, i));
    for (uint32_t i = 0; i < p->quota_count; i++) MP_TRY(verify_quota(c, i));
    for (uint32_t i = 0; i < p->guard_count; i++) MP_TRY(verify_guard(c, i));
    for (uint32_t i = 0; i < p->act_count; i++) {
        MUST(p->act[i].hooks <= MP_LAYER_ALL, act, i, "a hook that is not there");
    }
    return MP_OK;
}

/* ---- tests ---- */

static enum mp_err verify_tests(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->def_count; i++) {
        const struct mp_def_row *d = &p->def[i];
        MUST(d->kind != MP_DEF_ATTR || d->attr != MP_NONE, def, i, "which attribute?");
        MUST(d->kind != MP_DEF_GAUGE || d->signal != MP_NONE, def, i, "which gauge?");
    }
    for (uint32_t i = 0; i < p->test_line_count; i++) {
        const struct mp_test_line_row *l = &p->test_line[i];
        MUST(l->from_ns >= 0 && (l->to_ns == -1 || l->to_ns >= l->from_ns), test_line, i,
             "no time");
        bool of_def = l->kind == MP_TLINE_SET || l->kind == MP_TLINE_ABSENT;
        MUST(!of_def || l->def != MP_NONE, test_line, i, "what is set?");
        MUST(l->kind != MP_TLINE_EMIT || l->signal != MP_NONE, test_line, i, "what is emitted?");
        bool param = l->kind == MP_TLINE_PARAM;
        MUST(!param || (l->param != MP_NONE && l->value != MP_NONE), test_line, i,
             "which parameter?");
        MUST(!param || const_rep(p, l->value) == rep_of(p->param[l->param].type), test_line, i,
             "a value of another kind");
    }
    return MP_OK;
}

enum mp_err mp_program_verify(const struct mp_program *p, struct mp_fault *fault)
{
    struct check c = {p, fault};
    for (uint32_t table = 0; table < MP_TABLE_COUNT; table++) MP_TRY(verify_table(&c, table));
    MP_TRY(verify_data(&c));
    MP_TRY(verify_vocabulary(&c));
    MP_TRY(mp_verify_fns(p, fault));
    MP_TRY(verify_state(&c));
    MP_TRY(verify_rules(&c));
    return verify_tests(&c);
}
