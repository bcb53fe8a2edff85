/* SPDX-License-Identifier: Apache-2.0
 * Which rules can send one target to two places (R32, R45: E0601).
 */
#include <stdlib.h>

#include "check/check_priv.h"

/* LIMIT: bounds taken from one trigger; more are ignored, which can only miss that two are disjoint. */
#define BOUNDS_MAX 32

/* One lease that a rule can take. */
struct lease {
    const struct mp_t_rule *rule;
    const struct mp_t_act *act;
    mp_str others; /* the arguments that join only where they are equal, as text */
    uint32_t order;
};

/* What a trigger says about one value: a range, or one text that it is or is not. */
struct bound {
    mp_str about;
    bool is_text, negated;
    mp_str text;
    double low, high;
    bool low_open, high_open;
};

struct bounds {
    struct bound at[BOUNDS_MAX];
    uint32_t count;
};

/* ---- what a trigger implies ---- */

static void print_about(struct mp_buf *b, const struct mp_t_expr *e)
{
    if (e->kind == MP_TX_WALK) {
        mp_buf_put(b, e->walk->text);
    } else if (e->kind == MP_TX_DEF) {
        mp_buf_printf(b, "%.*s.%.*s", MP_STR_ARG(e->def->package), MP_STR_ARG(e->def->name));
        for (uint32_t i = 0; e->def->keys != NULL && i < e->def->keys->count; i++) {
            mp_buf_printf(b, "@%.*s", MP_STR_ARG(e->def_at[i].text));
        }
    }
}

/* The smallest and largest that a constant side can be: a parameter moves in its range. */
static bool constant_range(const struct mp_t_expr *e, double *low, double *high)
{
    const struct mp_t_expr *from = e, *to = e;
    if (e->kind == MP_TX_CONVERT) return constant_range(e->kid[0], low, high);
    if (e->kind == MP_TX_PARAM) {
        from = e->param->low;
        to = e->param->high;
        if (from == NULL || to == NULL) return false;
    }
    if (from->kind != MP_TX_CONST || !ck_is_number(from->type)) return false;
    *low = ck_const_double(from);
    *high = ck_const_double(to);
    return true;
}

static struct bound *new_bound(struct ck *ck, struct bounds *all, const struct mp_t_expr *about)
{
    while (about->kind == MP_TX_CONVERT) about = about->kid[0];
    if (all->count == BOUNDS_MAX) return NULL;
    if (about->kind != MP_TX_WALK && about->kind != MP_TX_DEF) return NULL;
    struct mp_buf b;
    mp_buf_init(&b, ck->perm);
    print_about(&b, about);
    struct bound *fresh = &all->at[all->count++];
    *fresh = (struct bound){.about = ck_buf_text(ck, &b), .low = -__builtin_inf(),
                            .high = __builtin_inf()};
    return fresh;
}

static enum mp_t_cmp mirrored(enum mp_t_cmp cmp)
{
    switch (cmp) {
    case MP_T_LT: return MP_T_GT;
    case MP_T_LE: return MP_T_GE;
    case MP_T_GT: return MP_T_LT;
    case MP_T_GE: return MP_T_LE;
    default: return cmp;
    }
}

static enum mp_t_cmp negation(enum mp_t_cmp cmp)
{
    static const enum mp_t_cmp opposite[] = {
        [MP_T_LT] = MP_T_GE, [MP_T_LE] = MP_T_GT, [MP_T_GT] = MP_T_LE,
        [MP_T_GE] = MP_T_LT, [MP_T_EQ] = MP_T_NE, [MP_T_NE] = MP_T_EQ,
    };
    return opposite[cmp];
}

static void bound_of_numbers(struct bound *b, enum mp_t_cmp cmp, double low, double high)
{
    switch (cmp) {
    case MP_T_GT: b->low_open = true; /* fall through */
    case MP_T_GE: b->low = low; break;
    case MP_T_LT: b->high_open = true; /* fall through */
    case MP_T_LE: b->high = high; break;
    case MP_T_EQ:
        b->low = low;
        b->high = high;
        break;
    case MP_T_NE: break;
    }
}

static void bound_of_cmp(struct ck *ck, const struct mp_t_expr *e, bool negated, struct bounds *all)
{
    const struct mp_t_expr *about = e->kid[0], *other = e->kid[1];
    enum mp_t_cmp cmp = negated ? negation(e->op.cmp) : e->op.cmp;
    if (about->kind == MP_TX_CONST) {
        about = e->kid[1];
        other = e->kid[0];
        cmp = mirrored(cmp);
    }
    double low, high;
    if (constant_range(other, &low, &high)) {
        struct bound *b = new_bound(ck, all, about);
        if (b != NULL) bound_of_numbers(b, cmp, low, high);
    } else if (other->kind == MP_TX_CONST && (cmp == MP_T_EQ || cmp == MP_T_NE)) {
        bool truth = other->type.base == MP_TYPE_BOOL;
        if (!truth && ck_rep(other->type) != MP_REP_T) return;
        struct bound *b = new_bound(ck, all, about);
        if (b == NULL) return;
        b->is_text = true;
        b->negated = cmp == MP_T_NE;
        b->text = !truth                ? other->text
                  : other->value.w[0] != 0 ? MP_STR("true")
                                           : MP_STR("false");
    }
}

/* Adds what must hold where e is true (or, negated, not true and not unknown). */
static void gather(struct ck *ck, const struct mp_t_expr *e, bool negated, struct bounds *all)
{
    switch (e->kind) {
    case MP_TX_NOT: gather(ck, e->kid[0], !negated, all); break;
    case MP_TX_HELD: gather(ck, e->kid[0], negated, all); break;
    case MP_TX_AND:
    case MP_TX_OR:
        if ((e->kind == MP_TX_AND) == negated) break; /* a choice implies neither side */
        gather(ck, e->kid[0], negated, all);
        gather(ck, e->kid[1], negated, all);
        break;
    case MP_TX_CMP: bound_of_cmp(ck, e, negated, all); break;
    default: break;
    }
}

static bool excludes(const struct bound *a, const struct bound *b)
{
    if (!mp_str_eq(a->about, b->about) || a->is_text != b->is_text) return false;
    if (a->is_text) {
        if (a->negated && b->negated) return false;
        bool same = mp_str_eq(a->text, b->text);
        return a->negated == b->negated ? !same : same;
    }
    if (a->low > b->high || b->low > a->high) return true;
    return (a->low == b->high && (a->low_open || b->high_open)) ||
           (b->low == a->high && (b->low_open || a->high_open));
}

static void gather_rule(struct ck *ck, const struct mp_t_rule *rule, struct bounds *all)
{
    all->count = 0;
    gather(ck, rule->when.cond, false, all);
    /* An unknown `unless` stops every rule but a denying one, so only there it says nothing. */
    if (rule->has_unless && !(rule->flags & MP_RULE_DENIES_FIRST)) {
        gather(ck, rule->unless.cond, true, all);
    }
}

static bool disjoint(struct ck *ck, const struct mp_t_rule *a, const struct mp_t_rule *b)
{
    struct bounds of_a, of_b;
    gather_rule(ck, a, &of_a);
    gather_rule(ck, b, &of_b);
    for (uint32_t i = 0; i < of_a.count; i++) {
        for (uint32_t j = 0; j < of_b.count; j++) {
            if (excludes(&of_a.at[i], &of_b.at[j])) return true;
        }
    }
    return false;
}

/* ---- which leases meet ---- */

static bool joins_by_value(struct mp_t_type t)
{
    return t.base == MP_TYPE_PERCENT || t.base == MP_TYPE_RATE || t.base == MP_TYPE_DURATION;
}

static mp_str other_arguments(struct ck *ck, const struct mp_t_act *act)
{
    struct mp_buf b;
    mp_buf_init(&b, ck->perm);
    for (uint32_t i = 0; i < act->arg_count; i++) {
        const struct mp_t_expr *v = act->args[i].value;
        if (v == NULL || joins_by_value(v->type)) continue;
        mp_buf_printf(&b, "%.*s=", MP_STR_ARG(act->args[i].name));
        if (v->kind == MP_TX_CONST && v->type.base != MP_TYPE_NONE) {
            mp_value_print(&b, ck_key_type(v->type).base, v->value);
        } else {
            mp_buf_put(&b, ck_source(ck, v->span));
        }
        mp_buf_putc(&b, ';');
    }
    return ck_buf_text(ck, &b);
}

/* Leases on different kinds of target never meet; within one kind the strongest is in force. */
static int compare_place(const struct lease *a, const struct lease *b)
{
    const struct mp_t_act *x = a->act, *y = b->act;
    int by_class = mp_str_cmp(x->action->class_name, y->action->class_name);
    if (by_class != 0) return by_class;
    if (x->action->strength != y->action->strength) {
        return x->action->strength < y->action->strength ? -1 : 1;
    }
    if (x->target_type.base != y->target_type.base) {
        return x->target_type.base < y->target_type.base ? -1 : 1;
    }
    if (x->target_type.base != MP_TYPE_ENTITY) return 0;
    uint32_t i = x->target_type.entity->index, j = y->target_type.entity->index;
    return i == j ? 0 : i < j ? -1 : 1;
}

static int compare_lease(const void *left, const void *right)
{
    const struct lease *a = left, *b = right;
    int by_place = compare_place(a, b);
    if (by_place != 0) return by_place;
    return a->order < b->order ? -1 : a->order > b->order;
}

static bool constant_targets_differ(const struct mp_t_act *a, const struct mp_t_act *b)
{
    const struct mp_t_expr *x = a->target, *y = b->target;
    if (x == NULL || y == NULL || x->kind != MP_TX_CONST || y->kind != MP_TX_CONST) return false;
    return !mp_value_eq(ck_rep(x->type), x->value, y->value);
}

static bool may_fight(const struct lease *a, const struct lease *b)
{
    if (a->rule == b->rule || a->rule->priority != b->rule->priority) return false;
    if ((a->act->hooks & b->act->hooks) == 0) return false;
    if (mp_str_eq(a->act->action->name, b->act->action->name) && mp_str_eq(a->others, b->others)) {
        return false;
    }
    return !constant_targets_differ(a->act, b->act);
}

static void report(struct ck *ck, const struct lease *a, const struct lease *b)
{
    mp_str noun = a->act->target_type.base == MP_TYPE_ENTITY ? a->act->target_type.entity->name
                                                             : mp_type_word(a->act->target_type.base);
    struct ck_diag *d = ck_error(ck, "E0601", a->act->span,
                                 "two rules can send one %.*s to two places", MP_STR_ARG(noun));
    ck_label(d, a->act->span, "%.*s: %.*s", MP_STR_ARG(a->rule->name), MP_STR_ARG(a->act->text));
    ck_label(d, b->act->span, "%.*s: %.*s", MP_STR_ARG(b->rule->name), MP_STR_ARG(b->act->text));
    ck_note(d, "both are of class %.*s and strength %u, and nothing in their conditions keeps them apart",
            MP_STR_ARG(a->act->action->class_name), a->act->action->strength);
    ck_help(d, "give one a `priority`, or add `unless` to one");
}

static uint32_t count_leases(const struct mp_typed *t)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < t->rules.len; r++) {
        for (uint32_t s = 0; s < t->rules.ptr[r]->step_count; s++) {
            n += t->rules.ptr[r]->steps[s].act_count;
        }
    }
    return n;
}

static struct lease *gather_leases(struct ck *ck, uint32_t *count)
{
    const struct mp_typed *t = ck->out;
    struct lease *leases = CK_NEW(ck, struct lease, count_leases(t) + 1);
    uint32_t n = 0;
    for (uint32_t r = 0; r < t->rules.len; r++) {
        const struct mp_t_rule *rule = t->rules.ptr[r];
        if (rule->mode == MP_MODE_SHADOW || rule->when.cond == NULL) continue;
        for (uint32_t s = 0; s < rule->step_count; s++) {
            for (uint32_t a = 0; a < rule->steps[s].act_count; a++) {
                const struct mp_t_act *act = &rule->steps[s].acts[a];
                if (act->action == NULL || act->target_kind != MP_TARGET_LEASE) continue;
                leases[n] = (struct lease){rule, act, other_arguments(ck, act), n};
                n++;
            }
        }
    }
    *count = n;
    return leases;
}

void ck_check_pairs(struct ck *ck)
{
    uint32_t count, looked_at = 0;
    struct lease *leases = gather_leases(ck, &count);
    qsort(leases, count, sizeof *leases, compare_lease);
    const struct mp_t_rule *last_a = NULL, *last_b = NULL;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = i + 1; j < count && compare_place(&leases[i], &leases[j]) == 0; j++) {
            if (++looked_at > CK_PAIRS_MAX) return;
            if (!may_fight(&leases[i], &leases[j])) continue;
            /* One message for a pair of rules, however many rungs meet. */
            if (leases[i].rule == last_a && leases[j].rule == last_b) continue;
            if (disjoint(ck, leases[i].rule, leases[j].rule)) continue;
            last_a = leases[i].rule;
            last_b = leases[j].rule;
            report(ck, &leases[i], &leases[j]);
        }
    }
}
