/* SPDX-License-Identifier: Apache-2.0
 * When checks can be answered, and when rules let go: L130 to L133, L151, L152.
 */
#include "check/blind.h"
#include "check/bounds.h"
#include "lint/lint_priv.h"

/* ---- L133 ---- */

/* How long e stays unknown at least because its counts begin empty (R39). */
static int64_t evidence_ns(const struct mp_t_expr *e)
{
    if (e == NULL || e->kind == MP_TX_IS || e->kind == MP_TX_DEFAULT || e->kind == MP_TX_MEMBERS ||
        e->kind == MP_TX_AT_TRIGGER) {
        return 0;
    }
    if (e->kind == MP_TX_AGG) return mp_agg_counting(e->agg->kind) ? e->agg->window_ns : 0;
    if (e->kind == MP_TX_CALL && e->op.call == MP_T_POINTS) return 0;
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 3; i++) {
        if (e->kid[i] == NULL) continue;
        int64_t ns = evidence_ns(e->kid[i]);
        if (ns > most) most = ns;
        if (ns < least) least = ns;
    }
    /* One side is enough for `or`, and for an `and` that turns out false inside a `not`. */
    return e->kind == MP_TX_OR || e->kind == MP_TX_NOT ? (least == INT64_MAX ? 0 : least) : most;
}

static bool has_not(const struct mp_t_expr *e)
{
    if (e == NULL) return false;
    if (e->kind == MP_TX_NOT) return true;
    return has_not(e->kid[0]) || has_not(e->kid[1]) || has_not(e->kid[2]);
}

static void short_within(struct lint *l, const struct mp_t_step *s)
{
    /* Under `not` either side may decide: there only settle and hold are certain. */
    int64_t window = has_not(s->verify.cond) ? 0 : evidence_ns(s->verify.cond);
    int64_t needed = s->settle_ns + s->verify.hold_ns + window;
    if (s->within_ns >= needed) return;
    mp_str has = lint_duration(l, s->within_ns), need = lint_duration(l, needed);
    struct mp_diag *d = lint_say(l, MP_DIAG_L133, s->verify.span,
                                 "a check within %.*s that needs %.*s can never succeed",
                                     MP_STR_ARG(has),
                                 MP_STR_ARG(need));
    if (d == NULL) return;
    mp_str settle = lint_duration(l, s->settle_ns), hold = lint_duration(l, s->verify.hold_ns);
    mp_str longest = lint_duration(l, window);
    mp_diag_note(d, "settle %.*s + for %.*s + the longest count %.*s", MP_STR_ARG(settle),
                 MP_STR_ARG(hold), MP_STR_ARG(longest));
    mp_diag_help(d, "`within %.*s` or longer", MP_STR_ARG(need));
}

static void counts_silence(struct lint *l, const struct mp_t_expr *cond, const struct mp_t_act *act)
{
    const struct mp_t_expr *e = mp_counted_though_silenced(cond, act);
    if (e == NULL) return;
    struct mp_diag *d = lint_say(l, MP_DIAG_L152, e->span, "the action itself brings this to 0");
    if (d == NULL) return;
    mp_diag_label(d, act->span, "silences what is counted");
    mp_diag_note(d, "it says that the action is in force, not that it helped");
}

void lint_checks(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    for (uint32_t i = 0; i < r->step_count; i++) {
        const struct mp_t_step *s = &r->steps[i];
        if (!s->has_verify) continue;
        short_within(l, s);
        for (uint32_t a = 0; a < s->act_count; a++) {
            if (s->acts[a].target_kind == MP_TARGET_LEASE) counts_silence(l, s->verify.cond,
                                                                          &s->acts[a]);
        }
    }
}

/* ---- L131 ---- */

/* Does `until` let go where the trigger still holds, or at its very edge? */
static bool overlaps(const struct mp_bound *trigger, const struct mp_bound *until, bool held)
{
    if (trigger->is_text || until->is_text) return false;
    if (!mp_bound_excludes(trigger, until)) return true;
    bool touch = trigger->low == until->high || until->low == trigger->high;
    return touch && !held;
}

static void dead_band(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    struct mp_bounds when = {.at_values = true}, until = {.at_values = true};
    mp_bounds_gather(r->when.cond, false, &when);
    mp_bounds_gather(r->until.cond, false, &until);
    if (until.count != 1 || until.partial || when.partial) return;
    const struct mp_bound *u = &until.at[0];
    for (uint32_t i = 0; i < when.count; i++) {
        const struct mp_bound *w = &when.at[i];
        if (!mp_same_value(w->about, u->about)) continue;
        if (!overlaps(w, u, r->until.hold_ns > 0)) return;
        bool inverted = !mp_bound_excludes(w, u);
        struct mp_diag *d = lint_say(l, MP_DIAG_L131, u->span,
                                     inverted ? "this lets go while the trigger still holds"
                                              : "there is nothing between the trigger and this");
        if (d == NULL) return;
        mp_diag_label(d, w->span, "the trigger");
        mp_diag_note(d, "the rule would let go and fire again, over and over");
        mp_diag_help(d, inverted ? "choose a limit on the other side of the trigger's"
                                 : "leave a gap, or add `for 5m`");
        return;
    }
}

/* ---- L151 ---- */

static void blind_until(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    const struct mp_t_act *act = NULL;
    const struct mp_t_expr *blind = NULL;
    for (uint32_t i = 0; i < r->step_count; i++) {
        const struct mp_t_act *a = lint_lease(&r->steps[i]);
        if (a == NULL) continue;
        const struct mp_t_expr *e = mp_blinded(r->until.cond, a);
        if (e == NULL) return; /* on this rung it can be answered */
        if (blind == NULL) {
            blind = e;
            act = a;
        }
    }
    if (blind == NULL) return;
    mp_str signal = mp_blinded_signal(blind, act)->name;
    struct mp_diag *d = lint_say(l, MP_DIAG_L151, blind->span,
                                 "this `until` can never be answered");
    if (d == NULL) return;
    mp_diag_label(d, act->span, "removes the `%.*s` that it averages", MP_STR_ARG(signal));
    mp_diag_help(d, "leave out `until`, or read what others still see");
}

void lint_until(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    bool lasts = false;
    for (uint32_t i = 0; i < r->step_count; i++) lasts |= lint_lease(&r->steps[i]) != NULL;
    if (r->kind != MP_RULE_LOOP || !lasts) return;
    if (!r->has_until) {
        lint_say(l, MP_DIAG_L130, r->span, "only the end of its time lets go of this");
        return;
    }
    dead_band(l);
    blind_until(l);
    if (r->cooldown_ns == 0 && r->until.hold_ns == 0) {
        struct mp_diag *d = lint_say(l, MP_DIAG_L132, r->until.span,
                                     "one good moment is enough to let go");
        if (d != NULL) mp_diag_help(d, "`for 5m` behind it, or a `cooldown`");
    }
    for (uint32_t i = 0; i < r->step_count; i++) {
        const struct mp_t_act *a = lint_lease(&r->steps[i]);
        if (a != NULL) counts_silence(l, r->until.cond, a);
    }
}
