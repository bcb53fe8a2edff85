/* SPDX-License-Identifier: Apache-2.0
 * Which rules can send one target to two places (R32, R45: E0601).
 */
#include <stdlib.h>

#include "check/bounds.h"
#include "check/check_priv.h"

/* One lease that a rule can take. */
struct lease {
    const struct mp_t_rule *rule;
    const struct mp_t_act *act;
    const struct mp_bounds *bounds; /* of the rule's trigger; NULL until somebody asks */
    mp_str others; /* the verb, and the arguments that join only where they are equal */
    uint32_t order;
};

struct leases {
    struct lease *at;
    uint32_t count;
};

/* What the trigger implies, and that `unless` does not hold. */
static const struct mp_bounds *bounds_of(struct ck *ck, const struct mp_t_rule *rule)
{
    struct mp_bounds *all = CK_NEW(ck, struct mp_bounds, 1);
    mp_bounds_gather(rule->when.cond, false, all);
    /* An unknown `unless` stops every rule but a denying one, so only there it says nothing. */
    if (rule->has_unless && !(rule->flags & MP_RULE_DENIES_FIRST)) {
        mp_bounds_gather(rule->unless.cond, true, all);
    }
    return all;
}

/* Can both triggers not hold of one target? Only what is a function of the target counts. */
static bool disjoint(struct ck *ck, struct lease *a, struct lease *b)
{
    if (a->bounds == NULL) a->bounds = bounds_of(ck, a->rule);
    if (b->bounds == NULL) b->bounds = bounds_of(ck, b->rule);
    const struct mp_t_expr *of_a = a->act->target, *of_b = b->act->target;
    if (of_a == NULL || of_b == NULL || of_a->kind != MP_TX_WALK || of_b->kind != MP_TX_WALK) {
        return false;
    }
    for (uint32_t i = 0; i < a->bounds->count; i++) {
        for (uint32_t j = 0; j < b->bounds->count; j++) {
            const struct mp_bound *x = &a->bounds->at[i], *y = &b->bounds->at[j];
            if (mp_bound_excludes(x, y) &&
                mp_same_of_target(x->about, of_a->walk, y->about, of_b->walk)) {
                return true;
            }
        }
    }
    return false;
}

/* ---- which leases meet ---- */

static bool joins_by_value(struct mp_t_type t)
{
    return t.base == MP_TYPE_PERCENT || t.base == MP_TYPE_RATE || t.base == MP_TYPE_DURATION;
}

static void print_argument(struct ck *ck, struct mp_buf *b, const struct mp_t_arg *arg)
{
    const struct mp_t_expr *v = arg->value;
    if (v == NULL || joins_by_value(v->type) || ck_bad(v)) return;
    mp_buf_printf(b, ";%.*s=", MP_STR_ARG(arg->name));
    if (v->kind == MP_TX_CONST) {
        mp_value_print(b, ck_key_type(v->type).base, v->value);
    } else {
        mp_buf_put(b, ck_source(ck, v->span));
    }
}

static mp_str other_arguments(struct ck *ck, const struct mp_t_act *act)
{
    struct mp_buf b;
    mp_buf_init(&b, ck->perm);
    mp_buf_put(&b, act->action->name);
    for (uint32_t i = 0; i < act->arg_count; i++) print_argument(ck, &b, &act->args[i]);
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
    int by = compare_place(a, b);
    if (by == 0) by = mp_str_cmp(a->others, b->others);
    if (by != 0) return by;
    return a->order < b->order ? -1 : a->order > b->order;
}

static const struct mp_t_expr *argument(const struct mp_t_act *act, mp_str name)
{
    for (uint32_t i = 0; i < act->arg_count; i++) {
        if (mp_str_eq(act->args[i].name, name)) return act->args[i].value;
    }
    return NULL;
}

static bool constants_differ(const struct mp_t_expr *x, const struct mp_t_expr *y)
{
    if (x == NULL || y == NULL || x->kind != MP_TX_CONST || y->kind != MP_TX_CONST) return false;
    return ck_rep(x->type) != ck_rep(y->type) || !mp_value_eq(ck_rep(x->type), x->value, y->value);
}

/* `from` belongs to the target where an action has one (language.md 4.7). */
static bool may_fight(const struct lease *a, const struct lease *b)
{
    if (a->rule == b->rule || a->rule->priority != b->rule->priority) return false;
    if ((a->act->hooks & b->act->hooks) == 0) return false;
    if (constants_differ(a->act->target, b->act->target)) return false;
    mp_str from = MP_STR("from");
    return !constants_differ(argument(a->act, from), argument(b->act, from));
}

static void print_bounds(struct ck *ck, struct mp_buf *b, const struct mp_bounds *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        mp_str text = ck_source(ck, all->at[i].span);
        if (mp_str_contains(mp_buf_view(b), text)) continue; /* both rules may say the same */
        const char *no = all->at[i].denied ? "not " : "";
        mp_buf_printf(b, "%s%s`%.*s`", b->len > 0 ? " and " : "", no, MP_STR_ARG(text));
    }
}

/* When both hold, where single comparisons are all that the conditions say. */
static void note_witness(struct ck *ck, struct mp_diag *d, const struct lease *a,
                         const struct lease *b)
{
    struct mp_buf text;
    mp_buf_init(&text, ck->perm);
    if (!a->bounds->partial && !b->bounds->partial) {
        print_bounds(ck, &text, a->bounds);
        print_bounds(ck, &text, b->bounds);
    }
    mp_str both = ck_buf_text(ck, &text);
    if (both.len > 0) {
        mp_diag_note(d, "both hold when %.*s", MP_STR_ARG(both));
    } else {
        mp_diag_note(d, "nothing in their conditions keeps them apart");
    }
}

static void report(struct ck *ck, const struct lease *a, const struct lease *b)
{
    if (b->act->span.file < a->act->span.file ||
        (b->act->span.file == a->act->span.file && b->act->span.from < a->act->span.from)) {
        const struct lease *first = b;
        b = a;
        a = first;
    }
    struct mp_t_type target = a->act->target_type;
    mp_str noun = target.base == MP_TYPE_ENTITY ? target.entity->name : mp_type_word(target.base);
    struct mp_diag *d = ck_error(ck, "E0601", a->act->span,
                                 "two rules can send one %.*s to two places", MP_STR_ARG(noun));
    mp_diag_label(d, a->act->span, "%.*s: %.*s", MP_STR_ARG(a->rule->name),
                  MP_STR_ARG(a->act->text));
    mp_diag_label(d, b->act->span, "%.*s: %.*s", MP_STR_ARG(b->rule->name),
                  MP_STR_ARG(b->act->text));
    note_witness(ck, d, a, b);
    mp_diag_help(d, "give one a `priority`, or add `unless` to one");
}

static uint32_t count_acts(const struct mp_typed *t)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < t->rules.len; r++) {
        for (uint32_t s = 0; s < t->rules.ptr[r]->step_count; s++) {
            n += t->rules.ptr[r]->steps[s].act_count;
        }
    }
    return n;
}

static void add_leases(struct ck *ck, const struct mp_t_rule *rule, struct leases *all)
{
    for (uint32_t s = 0; s < rule->step_count; s++) {
        for (uint32_t a = 0; a < rule->steps[s].act_count; a++) {
            const struct mp_t_act *act = &rule->steps[s].acts[a];
            if (act->action == NULL || act->target_kind != MP_TARGET_LEASE) continue;
            all->at[all->count] =
                (struct lease){rule, act, NULL, other_arguments(ck, act), all->count};
            all->count++;
        }
    }
}

static struct leases gather_leases(struct ck *ck)
{
    const struct mp_typed *t = ck->out;
    struct leases all = {CK_NEW(ck, struct lease, count_acts(t) + 1), 0};
    for (uint32_t r = 0; r < t->rules.len; r++) {
        const struct mp_t_rule *rule = t->rules.ptr[r];
        if (rule->mode != MP_MODE_SHADOW && rule->when.cond != NULL) add_leases(ck, rule, &all);
    }
    qsort(all.at, all.count, sizeof *all.at, compare_lease);
    return all;
}

/* The first lease behind `i` with other arguments; all from `i` up to it join. */
static uint32_t end_of_equals(const struct leases *all, uint32_t i)
{
    uint32_t j = i + 1;
    while (j < all->count && compare_place(&all->at[i], &all->at[j]) == 0 &&
           mp_str_eq(all->at[i].others, all->at[j].others)) {
        j++;
    }
    return j;
}

/* Rules without a name are called by their condition; the rules are sorted. */
static void refuse_same_names(struct ck *ck)
{
    for (uint32_t i = 1; i < ck->out->rules.len; i++) {
        const struct mp_t_rule *a = ck->out->rules.ptr[i - 1], *b = ck->out->rules.ptr[i];
        if (!(b->flags & MP_RULE_ANONYMOUS) || !mp_str_eq(a->name, b->name)) continue;
        if (!mp_str_eq(a->package, b->package)) continue;
        struct mp_diag *d = ck_error(ck, "E0103", b->span,
                                     "two rules without a name have the same condition");
        mp_diag_label(d, a->span, "the first");
        mp_diag_help(d, "`rule some_name` in front of one of them");
    }
}

/* All pairs that meet: those of one place but the ones that join anyway. */
static uint64_t count_pairs(const struct leases *all)
{
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < all->count;) {
        uint32_t behind = end_of_equals(all, i), end = behind;
        while (end < all->count && compare_place(&all->at[i], &all->at[end]) == 0) end++;
        pairs += (uint64_t)(behind - i) * (end - behind);
        i = behind;
    }
    return pairs;
}

static void say_what_is_left(struct ck *ck, const struct leases *all)
{
    uint64_t left = count_pairs(all) - CK_PAIRS_MAX;
    struct mp_diag *d = ck_error(ck, "L154", (struct mp_span){0},
                                 "%llu pairs of actions were not looked at",
                                     (unsigned long long)left);
    mp_diag_note(d, "conflicts (E0601) among them are not seen; the first %d pairs were",
                 CK_PAIRS_MAX);
}

void ck_check_pairs(struct ck *ck)
{
    refuse_same_names(ck);
    struct leases all = gather_leases(ck);
    const struct mp_t_rule *last_a = NULL, *last_b = NULL;
    uint32_t looked_at = 0, behind = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (behind <= i) behind = end_of_equals(&all, i);
        struct lease *a = &all.at[i];
        for (uint32_t j = behind; j < all.count && compare_place(a, &all.at[j]) == 0; j++) {
            struct lease *b = &all.at[j];
            if (++looked_at > CK_PAIRS_MAX) {
                say_what_is_left(ck, &all);
                return;
            }
            /* One message for a pair of rules, however many rungs meet. */
            if (!may_fight(a, b) || (a->rule == last_a && b->rule == last_b)) continue;
            if (disjoint(ck, a, b)) continue;
            last_a = a->rule;
            last_b = b->rule;
            report(ck, a, b);
        }
    }
}
