/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* Neighbours in the table of rules that one function can judge. */
struct run {
    enum mp_rule_kind kind;
    struct lw_owner owner;
    uint32_t from, count;
};

struct runs {
    MP_VEC(struct run) list;
};

static bool denies(const struct mp_t_rule *rule)
{
    for (uint32_t i = 0; i < rule->steps[0].act_count; i++) {
        const struct mp_t_action *action = rule->steps[0].acts[i].action;
        if (action != NULL && mp_str_eq(action->name, MP_STR("deny"))) return true;
    }
    return false;
}

struct lw_ctx lw_rule_ctx(struct lw *lw, const struct mp_t_rule *rule, struct lw_triggers *triggers)
{
    struct lw_ctx c = {.lw = lw, .keys = rule->keys, .rule = rule, .triggers = triggers,
                       .agg_column = MP_NONE};
    if (rule->kind == MP_RULE_LOOP) {
        c.owner.grouping = lw_grouping(lw, rule->keys);
    } else {
        MP_ASSERT(rule->signal != NULL);
        c.owner.signal = lw_signal_of(lw, rule->signal);
        c.record = true;
        c.limit_is_true = rule->kind == MP_RULE_INLINE && denies(rule);
    }
    return c;
}

static bool same_owner(struct lw_owner a, struct lw_owner b)
{
    return a.grouping == b.grouping && a.signal == b.signal;
}

static struct runs find_runs(struct lw *lw)
{
    struct runs runs = {0};
    for (uint32_t i = 0; i < lw->t->rules.len; i++) {
        const struct mp_t_rule *rule = lw->t->rules.ptr[i];
        struct run run = {rule->kind, lw_rule_ctx(lw, rule, NULL).owner, i, 1};
        struct run *last = runs.list.len == 0 ? NULL : MP_VEC_LAST(&runs.list);
        if (last != NULL && last->kind == run.kind && same_owner(last->owner, run.owner) &&
            last->count < MP_UNIT_RULES_MAX) {
            last->count++;
        } else {
            LW_PUSH(lw, &runs.list, run);
        }
    }
    return runs;
}

/* Inline and event rules know at once whether `unless` stops them. */
static uint32_t trigger(struct lw_ctx *c, const struct mp_t_rule *rule)
{
    uint32_t when = lw_expr(c, rule->when.cond);
    if (rule->kind == MP_RULE_LOOP || !rule->has_unless) return when;
    uint32_t stops = lw_op(c, MP_OP_IS_TRUE, lw_expr(c, rule->unless.cond), 0, 0);
    return lw_op(c, MP_OP_AND, when, lw_op(c, MP_OP_NOT, stops, 0, 0), 0);
}

static mp_str unit_name(struct lw *lw, struct lw_owner owner, const char *what)
{
    mp_str name = owner.signal != NULL ? owner.signal->t->name
                                       : mp_ir_str(lw->ir,
                                                   lw->ir->grouping.ptr[owner.grouping->row].name);
    return lw_printf(lw, "%.*s %s", MP_STR_ARG(name), what);
}

static uint32_t add_unit(struct lw *lw, struct lw_owner owner, uint32_t fn, uint32_t rules_at,
                         uint32_t rules_count)
{
    struct mp_unit_row *row = LW_ADD(lw, unit);
    row->kind = owner.signal != NULL ? MP_UNIT_RECORD : MP_UNIT_GROUP;
    row->signal = owner.signal != NULL ? owner.signal->row : MP_NONE;
    row->grouping = owner.grouping != NULL ? owner.grouping->row : MP_NONE;
    row->fn = fn;
    row->rules_at = rules_at;
    row->rules_count = rules_count;
    return lw->ir->unit.len - 1;
}

static void rule_unit(struct lw *lw, const struct run *run)
{
    static const char *const words[] = {[MP_RULE_INLINE] = "inline rules",
                                        [MP_RULE_EVENT] = "event rules",
                                        [MP_RULE_LOOP] = "rules"};
    struct mp_ir_fn fn;
    struct lw_ctx first = lw_rule_ctx(lw, lw->t->rules.ptr[run->from], NULL);
    lw_fn_begin(&first, &fn, unit_name(lw, run->owner, words[run->kind]));
    for (uint32_t i = 0; i < run->count; i++) {
        const struct mp_t_rule *rule = lw->t->rules.ptr[run->from + i];
        struct lw_ctx c = lw_rule_ctx(lw, rule, NULL);
        c.fn = &fn;
        mp_ir_out(&fn, trigger(&c, rule), MP_TYPE_BOOL);
    }
    uint32_t row = add_unit(lw, run->owner, mp_ir_fn_end(&fn), run->from, run->count);
    for (uint32_t i = 0; i < run->count; i++) lw->rule_units[run->from + i] =
        (struct lw_place){row, i};
}

static void runs_of(struct lw *lw, const struct runs *runs, enum mp_rule_kind kind,
                    struct lw_owner owner)
{
    for (uint32_t i = 0; i < runs->list.len; i++) {
        const struct run *run = &runs->list.ptr[i];
        if (run->kind == kind && same_owner(run->owner, owner)) rule_unit(lw, run);
    }
}

/* Promises about requests, 64 a unit. */
static void guards_of(struct lw *lw, struct lw_signal *s)
{
    struct lw_owner owner = {.signal = s};
    struct mp_ir_fn fn;
    uint32_t outs = 0;
    for (uint32_t i = 0; i < lw->t->guards.len; i++) {
        const struct mp_t_guard *guard = lw->t->guards.ptr[i];
        if (guard->kind != MP_GUARD_WHERE_RECORD || guard->signal != s->t) continue;
        struct lw_ctx c = {.lw = lw, .owner = owner, .record = true, .agg_column = MP_NONE};
        if (outs == 0) lw_fn_begin(&c, &fn, unit_name(lw, owner, "guards"));
        c.fn = &fn;
        mp_ir_out(&fn, lw_protects(&c, guard->where), MP_TYPE_BOOL);
        lw->guard_units[i] = (struct lw_place){lw->ir->unit.len, outs++};
        if (outs < MP_UNIT_RULES_MAX) continue;
        add_unit(lw, owner, mp_ir_fn_end(&fn), 0, 0);
        outs = 0;
    }
    if (outs > 0) add_unit(lw, owner, mp_ir_fn_end(&fn), 0, 0);
}

void lw_units(struct lw *lw)
{
    lw->rule_units = LW_NEW(lw, struct lw_place, lw->t->rules.len);
    lw->guard_units = LW_NEW(lw, struct lw_place, lw->t->guards.len);
    struct runs runs = find_runs(lw);
    for (uint32_t i = 0; i < lw->t->signals.len; i++) {
        struct lw_signal *s = &lw->signals[i];
        uint32_t from = lw->ir->unit.len;
        guards_of(lw, s);
        runs_of(lw, &runs, MP_RULE_INLINE, (struct lw_owner){.signal = s});
        runs_of(lw, &runs, MP_RULE_EVENT, (struct lw_owner){.signal = s});
        MP_IR_SPAN(lw->ir, signal, s->row, rule_units, unit, from);
    }
    /* Rules may bring groupings of what they read; those have no units, so the list may grow. */
    for (uint32_t i = 0; i < lw->groupings.len; i++) {
        struct lw_grouping *g = lw->groupings.ptr[i];
        uint32_t from = lw->ir->unit.len;
        runs_of(lw, &runs, MP_RULE_LOOP, (struct lw_owner){.grouping = g});
        MP_IR_SPAN(lw->ir, grouping, g->row, units, unit, from);
    }
}
