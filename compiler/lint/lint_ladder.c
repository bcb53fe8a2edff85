/* SPDX-License-Identifier: Apache-2.0
 * Ladders: steps that are never reached, get weaker, or act hard without a check or a limit.
 */
#include "lint/lint_priv.h"

#define STRONG 30u /* strength from which an action wants a check and a limit (language.md 11) */

static void unreachable(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    for (uint32_t i = 0; i + 1 < r->step_count; i++) {
        const struct mp_t_step *s = &r->steps[i];
        if (s->has_verify && !s->rollback) continue;
        struct mp_diag *d = lint_say(l, MP_DIAG_L105, r->steps[i + 1].span,
                                     "this step is never reached");
        if (d == NULL) return;
        mp_diag_label(d, s->span,
                      s->rollback ? "`rollback` ends the incident"
                                  : "has no `verify` that could fail");
        if (!s->rollback) mp_diag_help(d, "give the step before it a `verify`");
        return;
    }
}

static bool comparable(const struct mp_t_act *a, const struct mp_t_act *b)
{
    return mp_str_eq(a->action->class_name, b->action->class_name) &&
           a->target_type.base == b->target_type.base &&
           a->target_type.entity == b->target_type.entity;
}

static void weaker(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    for (uint32_t i = 0; i + 1 < r->step_count; i++) {
        const struct mp_t_act *a = lint_lease(&r->steps[i]), *b = lint_lease(&r->steps[i + 1]);
        if (a == NULL || b == NULL || !comparable(a, b)) continue;
        if (b->action->strength >= a->action->strength) continue;
        struct mp_diag *d = lint_say(l, MP_DIAG_L134, b->span,
                                     "weaker than the step that has failed");
        if (d != NULL) mp_diag_label(d, a->span, "strength %u, then %u", a->action->strength,
                                     b->action->strength);
    }
}

static void irreversible(struct lint *l)
{
    const struct mp_t_step *s = &l->rule->steps[0];
    for (uint32_t i = 0; i < s->act_count; i++) {
        const struct mp_t_act *a = &s->acts[i];
        if (a->target_kind != MP_TARGET_LEASE || a->action->reversible) continue;
        lint_say(l, MP_DIAG_L135, a->span,
                 "`%.*s` cannot be undone, and nothing was checked before it",
                 MP_STR_ARG(a->action->name));
    }
}

/* ---- L140, L141: strong actions ---- */

static bool limits(const struct mp_t_guard *g, const struct mp_t_act *a)
{
    if (!mp_str_eq(g->verb, a->action->name)) return false;
    if (g->target.base == MP_TYPE_NONE || g->target.base == MP_TYPE_EVENT) return true;
    return g->target.base == a->target_type.base && g->target.entity == a->target_type.entity;
}

static bool is_limited(const struct lint *l, const struct mp_t_act *a)
{
    if (l->rule->limit != NULL) return true;
    for (uint32_t i = 0; i < l->program->guards.len; i++) {
        if (limits(l->program->guards.ptr[i], a)) return true;
    }
    return false;
}

static void strong(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    bool unlimited_said = false;
    if (r->mode == MP_MODE_SHADOW) return;
    for (uint32_t i = 0; i < r->step_count; i++) {
        const struct mp_t_act *a = lint_lease(&r->steps[i]);
        if (a == NULL || a->action->strength < STRONG ||
            a->action->class != MP_CLASS_TRAFFIC) continue;
        mp_str verb = a->action->name;
        if (!r->steps[i].has_verify && i == 0) {
            struct mp_diag *d = lint_say(l, MP_DIAG_L140, a->span,
                                         "nothing checks whether this `%.*s` helped",
                                         MP_STR_ARG(verb));
            if (d != NULL) mp_diag_help(d, "`verify ... for 20s within 1m` behind it");
        }
        if (unlimited_said || is_limited(l, a)) continue;
        unlimited_said = true;
        struct mp_diag *d = lint_say(l, MP_DIAG_L141, a->span,
                                     "nothing limits how often this `%.*s` may happen",
                                     MP_STR_ARG(verb));
        if (d != NULL)
            mp_diag_help(d, "`limit 2 per 10m` in the rule, or a `never %.*s ... more than ...`",
                         MP_STR_ARG(verb));
    }
}

static void chosen_target(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    for (uint32_t i = 0; i < r->step_count; i++) {
        const struct mp_t_act *a = lint_lease(&r->steps[i]);
        if (a == NULL || a->target->kind != MP_TX_WALK || r->keys == NULL) continue;
        const struct mp_t_walk *w = a->target->walk;
        if (w->base != MP_T_BASE_ROW_KEY || !r->keys->keys[w->index].client_chosen) continue;
        struct mp_diag *d = lint_say(l, MP_DIAG_L142, a->span,
                                     "whoever sends the request chooses whom this hits");
        if (d != NULL) mp_diag_note(d, "so it can be turned against others");
        return;
    }
}

static bool has_label(const struct mp_t_rule *r, mp_str name)
{
    for (uint32_t i = 0; i < r->label_count; i++) {
        if (mp_str_eq(r->labels[i].name, name)) return true;
    }
    return false;
}

static void nobodys(struct lint *l)
{
    bool owner = has_label(l->rule, MP_STR("owner")), severity = has_label(l->rule,
                                                                           MP_STR("severity"));
    if (owner && severity) return;
    lint_say(l, MP_DIAG_L180, l->rule->span, "the rule has no `@%s`", owner ? "severity" : "owner");
}

void lint_ladder(struct lint *l)
{
    nobodys(l);
    if (l->rule->kind != MP_RULE_LOOP) return;
    unreachable(l);
    weaker(l);
    irreversible(l);
    strong(l);
    chosen_target(l);
}
