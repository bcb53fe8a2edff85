/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

#include <stdlib.h>

/* ---- clauses ---- */

/* Columns that functions read, by provisional row. */
struct inputs {
    MP_VEC(uint32_t) rows;
};

static void note_inputs(struct lw_ctx *c, uint32_t fn, struct inputs *in)
{
    const struct lw_owner *owner = &c->owner;
    const uint32_t *rows =
        owner->grouping != NULL ? owner->grouping->columns.ptr : owner->signal->columns.ptr;
    const struct mp_fn_row *row = &c->lw->ir->fn.ptr[fn];
    for (uint32_t i = 0; i < row->ops_count; i++) {
        const struct mp_op_row *op = &c->lw->ir->op.ptr[row->ops_at + i];
        if (op->code != MP_OP_COL) continue;
        uint32_t column = rows[op->a];
        if (c->lw->column_stamps.ptr[column] == c->lw->stamp) continue;
        c->lw->column_stamps.ptr[column] = c->lw->stamp;
        LW_PUSH(c->lw, &in->rows, column);
    }
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void add_inputs(struct lw *lw, struct inputs *in)
{
    if (in->rows.len > 1) qsort(in->rows.ptr, in->rows.len, sizeof *in->rows.ptr, by_number);
    for (uint32_t i = 0; i < in->rows.len; i++) LW_ADD(lw, input)->column = in->rows.ptr[i];
}

struct parts {
    MP_VEC(const struct mp_t_expr *) leaves;
};

static bool is_joined(const struct mp_t_expr *e)
{
    return e->kind == MP_TX_AND || e->kind == MP_TX_OR || e->kind == MP_TX_NOT;
}

/* `x not in y` is one comparison, `not (a and b)` is two. */
static void find_leaves(struct lw_ctx *c, const struct mp_t_expr *e, struct parts *parts)
{
    if (e->kind == MP_TX_AND || e->kind == MP_TX_OR) {
        find_leaves(c, e->kid[0], parts);
        find_leaves(c, e->kid[1], parts);
    } else if (e->kind == MP_TX_NOT && is_joined(e->kid[0])) {
        find_leaves(c, e->kid[0], parts);
    } else {
        LW_PUSH(c->lw, &parts->leaves, e);
    }
}

/* The side of a comparison that is measured; NULL: there is none worth showing. It is read as the
 * comparison reads it: *sign. */
static const struct mp_t_expr *measured(const struct mp_t_expr *e, int *sign)
{
    *sign = 0;
    if (e->kind == MP_TX_NOT) e = e->kid[0];
    switch (e->kind) {
    case MP_TX_CMP:
    case MP_TX_RANGE:
    case MP_TX_IN:
    case MP_TX_MATCH:
    case MP_TX_IS: break;
    default: return NULL;
    }
    const struct mp_t_expr *side = e->kid[0];
    if (e->kind == MP_TX_CMP) {
        bool swapped = side->kind == MP_TX_CONST;
        *sign = swapped ? -lw_cmp_sign(e) : lw_cmp_sign(e);
        if (swapped) side = e->kid[1];
    }
    while (side != NULL && side->kind == MP_TX_CONVERT) side = side->kid[0];
    bool shown = side != NULL && side->kind != MP_TX_CONST && side->kind != MP_TX_TEXT &&
        !side->type.is_set;
    return shown ? side : NULL;
}

/* `whole`: the function of the clause, for a leaf that is all of it; else MP_NONE. */
static void make_part(struct lw_ctx *c, const struct mp_t_expr *leaf, mp_str name, uint32_t whole,
                      struct mp_part_row *out)
{
    out->fn = whole == MP_NONE ? lw_fn(c, name, leaf, 0) : whole;
    out->shown = out->column = MP_NONE;
    out->type = MP_TYPE_BOOL;
    out->text = lw_text(c->lw, leaf->text);
    int sign;
    const struct mp_t_expr *side = measured(leaf, &sign);
    if (side == NULL) return;
    out->shown = lw_fn(c, name, side, sign);
    out->column = c->agg_column;
    out->type = lw_type(side->type);
    /* The side of `is` has no text of its own. */
    out->shown_text = lw_text(c->lw, side->text.len > 0 ? side->text : leaf->text);
}

static void add_parts(struct lw_ctx *c, const struct lw_clause *clause, uint32_t fn,
                      struct inputs *in, uint32_t *from)
{
    struct parts parts = {0};
    find_leaves(c, clause->cond, &parts);
    struct mp_part_row *made = LW_NEW(c->lw, struct mp_part_row, parts.leaves.len);
    mp_str name = lw_printf(c->lw, "%.*s part", MP_STR_ARG(clause->name));
    for (uint32_t i = 0; i < parts.leaves.len; i++) {
        const struct mp_t_expr *leaf = parts.leaves.ptr[i];
        make_part(c, leaf, name, leaf == clause->cond ? fn : MP_NONE, &made[i]);
    }
    *from = c->lw->ir->part.len;
    for (uint32_t i = 0; i < parts.leaves.len; i++) {
        note_inputs(c, made[i].fn, in);
        if (made[i].shown != MP_NONE) note_inputs(c, made[i].shown, in);
        *LW_ADD(c->lw, part) = made[i];
    }
}

uint32_t lw_clause(struct lw_ctx *c, const struct lw_clause *clause)
{
    struct mp_ir *ir = c->lw->ir;
    uint32_t fn = lw_fn(c, clause->name, clause->cond, 0);
    struct inputs in = {0};
    c->lw->stamp++;
    uint32_t parts = ir->part.len;
    if (lw_rep(clause->cond->type) == MP_REP_B && clause->kind != MP_CLAUSE_AT_TRIGGER) {
        add_parts(c, clause, fn, &in, &parts);
    }
    note_inputs(c, fn, &in);
    uint32_t inputs = ir->input.len;
    add_inputs(c->lw, &in);
    struct mp_clause_row *row = LW_ADD(c->lw, clause);
    row->kind = clause->kind;
    row->rule = clause->rule;
    row->fn = fn;
    row->hold_ns = clause->hold_ns;
    row->within_ns = clause->within_ns;
    row->settle_ns = clause->settle_ns;
    row->text = lw_text(c->lw, clause->text);
    uint32_t number = ir->clause.len - 1;
    MP_IR_SPAN(ir, clause, number, inputs, input, inputs);
    MP_IR_SPAN(ir, clause, number, parts, part, parts);
    return number;
}

static uint32_t held_clause(struct lw_ctx *c, enum mp_clause kind, uint32_t rule,
                            const struct mp_t_held *held)
{
    mp_str word = mp_clause_word(kind);
    struct lw_clause clause = {.kind = kind, .rule = rule, .cond = held->cond,
                               .hold_ns = held->hold_ns,
                               .text = held->cond->text};
    clause.name = lw_printf(c->lw, "%.*s %.*s", MP_STR_ARG(c->rule->name), MP_STR_ARG(word));
    return lw_clause(c, &clause);
}

/* ---- rules ---- */

void lw_set_place(struct lw *lw, struct mp_span span, mp_text_ref *file, uint32_t *line,
                  uint32_t *column)
{
    const struct mp_sources *sources = lw->options->sources;
    const struct mp_source *source = sources == NULL ? NULL : mp_source_of(sources, span);
    if (source == NULL) return;
    struct mp_position at = mp_source_begin(sources, span);
    if (file != NULL) *file = lw_text(lw, source->name);
    *line = at.line;
    if (column != NULL) *column = at.column;
}

static uint32_t flags_of(const struct mp_t_rule *t)
{
    uint32_t flags = t->flags & ~(uint32_t)(MP_RULE_INSTANT | MP_RULE_ON_SILENCE);
    for (uint32_t i = 0; t->step_count > 0 && i < t->steps[0].act_count; i++) {
        const struct mp_t_action *action = t->steps[0].acts[i].action;
        bool deny = action != NULL && mp_str_eq(action->name, MP_STR("deny"));
        if (deny) flags |= MP_RULE_DENIES_FIRST;
    }
    for (uint32_t i = 0; i < t->label_count; i++) {
        bool fail = mp_str_eq(t->labels[i].name, MP_STR("fail"));
        if (fail && mp_str_eq(t->labels[i].value, MP_STR("closed"))) flags |= MP_RULE_FAIL_CLOSED;
    }
    if (t->kind != MP_RULE_LOOP) return flags;
    bool instant = lw_instant(t->when.cond) || !lw_reads(t->when.cond).state;
    if (instant) flags |= MP_RULE_INSTANT;
    if (t->no_data == MP_NODATA_FIRE || lw_on_silence(t->when.cond)) flags |= MP_RULE_ON_SILENCE;
    return flags;
}

static bool throttles(const struct mp_t_rule *t)
{
    for (uint32_t i = 0; t->step_count > 0 && i < t->steps[0].act_count; i++) {
        const struct mp_t_action *action = t->steps[0].acts[i].action;
        if (action != NULL && action->class == MP_CLASS_RATE) return true;
    }
    return false;
}

/* R34: without `per` there is one bucket a service. */
static void bucket_per_service(struct lw *lw, struct lw_signal *s, struct mp_rule_row *row)
{
    if (s->t->key_count == 0) return;
    uint32_t key = 0;
    for (uint32_t i = 0; i < s->t->key_count; i++) {
        if (mp_str_eq(s->t->keys[i]->name, MP_STR("service"))) key = i;
    }
    const struct mp_t_entity *entity = s->t->keys[key];
    struct lw_way way = {.base = MP_WALK_FIELD, .index = lw_key_slot(lw, s, key), .entity = entity,
                         .type = {.base = MP_TYPE_ENTITY, .entity = entity}};
    row->bucket_walks_at = lw_walk_rows(lw, &way, 1);
    row->bucket_walks_count = 1;
    row->bucket_cap = entity->cap;
}

static void set_buckets(struct lw *lw, struct lw_ctx *c, const struct mp_t_rule *t,
                        struct mp_rule_row *row)
{
    if (t->kind != MP_RULE_INLINE) return;
    struct lw_signal *s = c->owner.signal;
    if (t->keys == NULL || t->keys->count == 0) {
        if (throttles(t)) bucket_per_service(lw, s, row);
        return;
    }
    struct lw_way *ways = LW_NEW(lw, struct lw_way, t->keys->count);
    for (uint32_t i = 0; i < t->keys->count; i++) {
        if (!lw_record_way(lw, s, &t->keys->keys[i], &ways[i])) {
            lw_refuse(lw, t->span, "a bucket per something that the record does not lead to");
        }
    }
    row->bucket_walks_at = lw_walk_rows(lw, ways, t->keys->count);
    row->bucket_walks_count = t->keys->count;
    row->bucket_cap = t->keys->cap;
}

static void set_triggers(struct lw_ctx *c, uint32_t rule, struct mp_rule_row *row)
{
    /* Bound by what the clauses above asked for; an at_trigger has none inside (check). */
    struct lw_triggers *found = c->triggers;
    c->triggers = NULL;
    row->at_triggers_at = c->lw->ir->clause.len;
    row->at_triggers_count = found->list.len;
    for (uint32_t i = 0; i < found->list.len; i++) {
        const struct mp_t_expr *e = found->list.ptr[i];
        struct lw_clause clause = {.kind = MP_CLAUSE_AT_TRIGGER, .rule = rule, .cond = e,
                                   .text = e->text};
        clause.name = lw_printf(c->lw, "%.*s at_trigger", MP_STR_ARG(c->rule->name));
        lw_clause(c, &clause);
    }
    c->triggers = found;
}

static void set_clauses(struct lw_ctx *c, const struct mp_t_rule *t, uint32_t number,
                        struct mp_rule_row *row)
{
    row->trigger = held_clause(c, MP_CLAUSE_TRIGGER, number, &t->when);
    row->unless = t->has_unless ? held_clause(c, MP_CLAUSE_UNLESS, number, &t->unless) : MP_NONE;
    row->steps_at = lw_steps(c, number);
    row->steps_count = t->step_count;
    row->until = t->has_until ? held_clause(c, MP_CLAUSE_UNTIL, number, &t->until) : MP_NONE;
    row->limit = lw_quota(c->lw, t->limit);
    set_triggers(c, number, row);
}

static void set_labels(struct lw *lw, const struct mp_t_rule *t, struct mp_rule_row *row)
{
    row->labels_at = lw->ir->label.len;
    row->labels_count = t->label_count;
    for (uint32_t i = 0; i < t->label_count; i++) {
        mp_text_ref name = lw_text(lw, t->labels[i].name), value = lw_text(lw, t->labels[i].value);
        *LW_ADD(lw, label) = (struct mp_label_row){name, value};
    }
}

static uint32_t signal_of(const struct mp_t_rule *t)
{
    const struct mp_t_signal *signal = t->signal;
    if (signal == NULL) signal = lw_reads(t->when.cond).signal;
    return signal == NULL ? MP_NONE : signal->index;
}

static void one_rule(struct lw *lw, const struct mp_t_rule *t, uint32_t number)
{
    struct lw_triggers triggers = {0};
    struct lw_ctx c = lw_rule_ctx(lw, t, &triggers);
    struct mp_rule_row row = {.kind = t->kind, .mode = t->mode, .priority = t->priority,
                              .layers = t->layers == 0 ? MP_LAYER_ALL : t->layers,
                              .flags = flags_of(t),
                              .unit = lw->rule_units[number].unit, .signal = signal_of(t),
                              .hold_ns = t->when.hold_ns, .cooldown_ns = t->cooldown_ns,
                              .ramp = t->ramp,
                              .ramp_every_ns = t->ramp_every_ns, .no_data = t->no_data};
    row.grouping = c.owner.grouping == NULL ? MP_NONE : c.owner.grouping->row;
    /* A rule that asks only what its key is becomes true with a record of that key. */
    bool of_record = row.grouping != MP_NONE && row.signal != MP_NONE;
    if (of_record) c.owner.grouping->reads[row.signal] = true;
    row.package = lw_text(lw, t->package);
    row.name = lw_text(lw, t->name);
    row.doc = lw_text(lw, t->doc);
    lw_set_place(lw, t->span, &row.file, &row.line, &row.column);
    set_buckets(lw, &c, t, &row);
    set_clauses(&c, t, number, &row);
    set_labels(lw, t, &row);
    lw_marks(lw, t, &row);
    *LW_ADD(lw, rule) = row;
}

void lw_rules(struct lw *lw)
{
    for (uint32_t i = 0; i < lw->t->rules.len; i++) one_rule(lw, lw->t->rules.ptr[i], i);
}
