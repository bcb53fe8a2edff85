/* SPDX-License-Identifier: Apache-2.0
 * Conditions that are always true or always false, contradict themselves, or forget about absence.
 */
#include "check/bounds.h"
#include "lint/lint_priv.h"

/* ---- L101: what no traffic can change ---- */

/* What a value can be whatever happens: counts are not negative, shares are in 0..1. */
static bool possible_range(const struct mp_t_expr *e, double *low, double *high)
{
    while (e->kind == MP_TX_CONVERT || e->kind == MP_TX_DEF) {
        e = e->kid[0];
        if (e == NULL) return false;
    }
    *low = 0;
    *high = __builtin_inf();
    if (e->kind == MP_TX_MEMBERS) return true;
    if (e->kind != MP_TX_AGG) return false;
    if (e->agg->kind == MP_AGG_RATIO) *high = 1;
    return e->agg->kind == MP_AGG_COUNT || e->agg->kind == MP_AGG_DISTINCT ||
           e->agg->kind == MP_AGG_RATIO || e->agg->kind == MP_AGG_RATE;
}

static bool side_range(const struct mp_t_expr *e, double *low, double *high)
{
    return mp_constant_range(e, false, low, high) || possible_range(e, low, high);
}

/* 1: always true, 0: always false, -1: it depends. */
static int verdict(enum mp_t_cmp cmp, const double a[2], const double b[2])
{
    switch (cmp) {
    case MP_T_LT: return a[1] < b[0] ? 1 : a[0] >= b[1] ? 0 : -1;
    case MP_T_LE: return a[1] <= b[0] ? 1 : a[0] > b[1] ? 0 : -1;
    case MP_T_GT: return a[0] > b[1] ? 1 : a[1] <= b[0] ? 0 : -1;
    case MP_T_GE: return a[0] >= b[1] ? 1 : a[1] < b[0] ? 0 : -1;
    case MP_T_EQ: return a[0] == a[1] && b[0] == b[1] && a[0] == b[0] ? 1
                         : a[1] < b[0] || b[1] < a[0]                 ? 0
                                                                      : -1;
    case MP_T_NE: return a[1] < b[0] || b[1] < a[0] ? 1 : -1;
    }
    return -1;
}

static void constant_truths(struct lint *l, const struct mp_t_expr *e)
{
    if (e == NULL || e->kind == MP_TX_AGG || e->kind == MP_TX_DEF ||
        e->kind == MP_TX_MEMBERS) return;
    double a[2], b[2];
    if (e->kind == MP_TX_CMP && side_range(e->kid[0], &a[0], &a[1]) &&
        side_range(e->kid[1], &b[0], &b[1])) {
        int truth = verdict(e->op.cmp, a, b);
        if (truth < 0) return;
        mp_str text = lint_text(l, e->span);
        lint_say(l, MP_DIAG_L101, e->span, "`%.*s` is always %s", MP_STR_ARG(text),
                 truth ? "true" : "false");
        return;
    }
    for (int i = 0; i < 3; i++) constant_truths(l, e->kid[i]);
}

/* ---- L102: two parts that no value satisfies ---- */

static void contradiction(struct lint *l, const struct mp_t_expr *cond)
{
    struct mp_bounds all = {.count = 0};
    mp_bounds_gather(cond, false, &all);
    for (uint32_t i = 0; i < all.count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            const struct mp_bound *a = &all.at[j], *b = &all.at[i];
            if (!mp_bound_excludes(a, b) || !mp_same_value(a->about, b->about)) continue;
            mp_str text = lint_text(l, a->span);
            struct mp_diag *d = lint_say(l, MP_DIAG_L102, b->span,
                                         "this is never true together with `%.*s`",
                                         MP_STR_ARG(text));
            if (d != NULL) mp_diag_label(d, a->span, "the other part");
            return;
        }
    }
}

/* ---- L110, L111: absence ---- */

static bool asks_about(const struct mp_t_expr *e, const struct mp_t_expr *value)
{
    if (e == NULL) return false;
    if (e->kind == MP_TX_IS && e->kid[0] != NULL && mp_same_value(e->kid[0], value)) return true;
    for (int i = 0; i < 3; i++) {
        if (asks_about(e->kid[i], value)) return true;
    }
    return false;
}

/* Is something in `e` perhaps unknown that `whole` does not ask about? */
static bool has_unasked(const struct mp_t_expr *e, const struct mp_t_expr *whole)
{
    if (e == NULL || !e->may_be_unknown || e->kind == MP_TX_IS) return false;
    if (asks_about(whole, e)) return false;
    bool is_value = e->kind == MP_TX_WALK || e->kind == MP_TX_DEF || e->kind == MP_TX_AGG;
    bool any_kid = false;
    for (int i = 0; i < 3 && !is_value; i++) {
        if (has_unasked(e->kid[i], whole)) return true;
        any_kid = any_kid || (e->kid[i] != NULL && e->kid[i]->may_be_unknown);
    }
    return !any_kid; /* a value, or an operation that is unknown by itself: a division */
}

static void unknown_unless(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    if (!r->has_unless || r->kind != MP_RULE_LOOP || !r->unless.cond->may_be_unknown) return;
    if (!has_unasked(r->unless.cond, r->unless.cond)) return;
    bool denies = r->flags & MP_RULE_DENIES_FIRST;
    struct mp_diag *d = lint_say(l, MP_DIAG_L110, r->unless.span, "`unless` may be unknown");
    if (d == NULL) return;
    mp_diag_note(d, denies ? "the rule then acts as if it were false"
                           : "the rule is then stopped as if it were true");
    mp_diag_help(d, "`... default ...` or `is known` says what is meant");
}

static const struct mp_t_expr *optional_field(const struct mp_t_expr *e)
{
    while (e->kind == MP_TX_CONVERT) e = e->kid[0];
    if (e->kind != MP_TX_WALK || e->walk->base != MP_T_BASE_RECORD_FIELD) return NULL;
    const struct mp_t_walk *w = e->walk;
    bool there = w->entry.ptr == NULL && (w->field->always || w->field->preset != NULL);
    return there ? NULL : e;
}

static bool is_inequality(const struct mp_t_expr *e, bool negated)
{
    if (e->kind == MP_TX_CMP) return e->op.cmp == (negated ? MP_T_EQ : MP_T_NE);
    return negated && (e->kind == MP_TX_IN || e->kind == MP_TX_RANGE);
}

static void unequal_to_absent(struct lint *l, const struct mp_t_expr *e, bool negated)
{
    if (e->kind == MP_TX_NOT) {
        unequal_to_absent(l, e->kid[0], !negated);
    } else if (e->kind == MP_TX_AND || e->kind == MP_TX_OR) {
        unequal_to_absent(l, e->kid[0], negated);
        unequal_to_absent(l, e->kid[1], negated);
    } else if (is_inequality(e, negated)) {
        const struct mp_t_expr *field = optional_field(e->kid[0]);
        if (field == NULL || asks_about(l->rule->when.cond, field)) return;
        mp_str text = lint_text(l, field->span);
        struct mp_diag *d = lint_say(l, MP_DIAG_L111, e->span, "unknown where there is no `%.*s`",
                                     MP_STR_ARG(text));
        if (d != NULL) mp_diag_help(d, "`%.*s is absent or ...` includes those", MP_STR_ARG(text));
    }
}

/* ---- L120, L121: windows ---- */

static void weigh_window(struct lint *l, const struct mp_t_expr *e)
{
    const struct mp_t_agg *a = e->agg;
    bool share = a->kind == MP_AGG_RATIO || a->kind == MP_AGG_QUANTILE;
    if (share && a->min_samples <= 1) {
        struct mp_diag *d = lint_say(l, MP_DIAG_L120, e->span,
                                     "one record is enough to decide this");
        if (d != NULL) mp_diag_help(d,
                                    "a `def` with `@min_samples 20` in front of it asks for more");
    }
    if (a->window_ns == 0) return;
    bool gauge = a->signal->kind != MP_SIGNAL_EVENT;
    int64_t least = gauge ? 3 * a->signal->every_ns : a->signal->lateness_ns;
    if (a->window_ns >= least) return;
    mp_str needed = lint_duration(l, least);
    lint_say(l, MP_DIAG_L121, e->span,
             gauge ? "a window below %.*s may hold fewer than three samples"
                   : "a window below %.*s may be over before its records arrive",
             MP_STR_ARG(needed));
}

/* Those written in the rule; what a definition holds is its author's. */
static void windows(struct lint *l, const struct mp_t_expr *e)
{
    if (e == NULL || e->kind == MP_TX_DEF) return;
    if (e->kind == MP_TX_AGG) weigh_window(l, e);
    for (int i = 0; i < 3; i++) windows(l, e->kid[i]);
}

/* ---- L122, L203: holds and panes ---- */

static int64_t longest_window(const struct mp_t_expr *e)
{
    if (e == NULL) return 0;
    int64_t longest = e->kind == MP_TX_AGG ? e->agg->window_ns : 0;
    for (int i = 0; i < 3; i++) {
        int64_t ns = longest_window(e->kid[i]);
        if (ns > longest) longest = ns;
    }
    return longest;
}

static void short_hold(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    int64_t window = longest_window(r->when.cond);
    if (r->when.hold_ns == 0 || r->when.hold_ns >= window) return;
    mp_str text = lint_duration(l, window);
    lint_say(l, MP_DIAG_L122, r->when.span,
             "one burst stays in a window of %.*s longer than this `for`",
             MP_STR_ARG(text));
}

/* Keys up to this many have 60 panes a window, more have 8 (R3). */
#define FINE_KEYS_MAX 10000u

static void coarse_panes(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    if (r->kind != MP_RULE_LOOP || r->keys->cap <= FINE_KEYS_MAX) return;
    if (longest_window(r->when.cond) == 0) return;
    lint_say(l, MP_DIAG_L203, r->when.span, "windows have 8 panes here, for up to %u keys",
             r->keys->cap);
}

/* ---- L160, L162: patterns ---- */

static bool is_plain(mp_str pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        if (strchr("\\^$.|?*+()[]{}", pattern.ptr[i]) != NULL) return false;
    }
    return true;
}

static void weigh_pattern(struct lint *l, const struct mp_t_expr *e)
{
    const struct mp_t_expr *p = e->kid[1];
    if (p == NULL || p->kind != MP_TX_CONST || p->text.len == 0) return;
    if (e->op.match == MP_T_MATCHES && is_plain(p->text)) {
        struct mp_diag *d = lint_say(l, MP_DIAG_L160, e->span, "a pattern without patterns in it");
        if (d != NULL) mp_diag_help(d, "`contains \"%.*s\"` asks the same, and costs less",
                                    MP_STR_ARG(p->text));
    }
    bool folder = e->op.match == MP_T_LIKE && e->kid[0]->type.base == MP_TYPE_PATH &&
                  p->text.len > 2 && mp_str_ends(p->text, MP_STR("/*"));
    if (!folder) return;
    mp_str bare = mp_str_sub(p->text, 0, p->text.len - 2);
    struct mp_diag *d = lint_say(l, MP_DIAG_L162, p->span, "this does not fit `%.*s` itself",
                                 MP_STR_ARG(bare));
    if (d != NULL) mp_diag_help(d, "`\"%.*s*\"` fits it too, and `%.*sx`", MP_STR_ARG(bare),
                                MP_STR_ARG(bare));
}

static void patterns(struct lint *l, const struct mp_t_expr *e)
{
    if (e == NULL || e->kind == MP_TX_DEF) return;
    if (e->kind == MP_TX_MATCH) weigh_pattern(l, e);
    if (e->kind == MP_TX_AGG) patterns(l, e->agg->where);
    for (int i = 0; i < 3; i++) patterns(l, e->kid[i]);
}

void lint_conditions(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    const struct mp_t_expr *conds[] = {r->when.cond, r->has_unless ? r->unless.cond : NULL,
                                       r->has_until ? r->until.cond : NULL};
    for (int i = 0; i < 3; i++) {
        if (conds[i] == NULL) continue;
        constant_truths(l, conds[i]);
        contradiction(l, conds[i]);
        windows(l, conds[i]);
        patterns(l, conds[i]);
    }
    short_hold(l);
    coarse_panes(l);
    unknown_unless(l);
    unequal_to_absent(l, r->when.cond, false);
}
