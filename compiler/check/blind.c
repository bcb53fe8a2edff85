/* SPDX-License-Identifier: Apache-2.0 */
#include "check/blind.h"

static bool averages(enum mp_agg kind) { return !mp_agg_counting(kind); }

static bool blinds(const struct mp_t_action *action, const struct mp_t_signal *signal)
{
    for (uint32_t i = 0; i < action->blind_count; i++) {
        if (action->blinds[i] == signal) return true;
    }
    return false;
}

/* Is what is read at `at` all on the target, or on a part of it? So it is if the way to the target
 * begins with the way to what is read. */
static bool leads_to(const struct mp_t_walk *at, const struct mp_t_walk *target)
{
    if (at->base != target->base || at->index != target->index || at->field != target->field ||
        !mp_str_eq(at->constant, target->constant) || at->hop_count > target->hop_count) {
        return false;
    }
    for (uint32_t i = 0; i < at->hop_count; i++) {
        if (at->hops[i] != target->hops[i]) return false;
    }
    return true;
}

static bool is_silenced(const struct mp_t_agg *agg, const struct mp_t_act *act)
{
    if (agg->of_set != NULL || !blinds(act->action, agg->signal)) return false;
    if (act->target == NULL || act->target->kind != MP_TX_WALK) return false;
    for (uint32_t i = 0; i < agg->keys->count; i++) {
        if (leads_to(&agg->at[i], act->target->walk)) return true;
    }
    return false;
}

static bool is_blinded(const struct mp_t_agg *agg, const struct mp_t_act *act)
{
    return averages(agg->kind) && is_silenced(agg, act);
}

const struct mp_t_expr *mp_blinded(const struct mp_t_expr *e, const struct mp_t_act *act)
{
    if (e == NULL) return NULL;
    const struct mp_t_expr *left;
    switch (e->kind) {
    case MP_TX_AGG: return is_blinded(e->agg, act) ? e : NULL;
    case MP_TX_DEF: return mp_blinded(e->kid[0], act) != NULL ? e : NULL;
    case MP_TX_IS:
    case MP_TX_DEFAULT:
    case MP_TX_MEMBERS:
    case MP_TX_AT_TRIGGER: return NULL;
    case MP_TX_CALL: return e->op.call == MP_T_POINTS ? NULL : mp_blinded(e->kid[0], act);
    case MP_TX_OR:
        left = mp_blinded(e->kid[0], act);
        return left != NULL && mp_blinded(e->kid[1], act) != NULL ? left : NULL;
    default: break;
    }
    for (int i = 0; i < 3; i++) {
        const struct mp_t_expr *found = mp_blinded(e->kid[i], act);
        if (found != NULL) return found;
    }
    return NULL;
}

const struct mp_t_signal *mp_blinded_signal(const struct mp_t_expr *e, const struct mp_t_act *act)
{
    if (e == NULL) return NULL;
    if (e->kind == MP_TX_AGG) return is_blinded(e->agg, act) ? e->agg->signal : NULL;
    for (int i = 0; i < 3; i++) {
        const struct mp_t_signal *found = mp_blinded_signal(e->kid[i], act);
        if (found != NULL) return found;
    }
    return NULL;
}

const struct mp_t_expr *mp_counted_though_silenced(const struct mp_t_expr *e,
                                                   const struct mp_t_act *act)
{
    if (e == NULL) return NULL;
    if (e->kind == MP_TX_AGG) return mp_agg_counting(e->agg->kind) && is_silenced(e->agg,
                                                                                  act) ? e : NULL;
    for (int i = 0; i < 3; i++) {
        const struct mp_t_expr *found = mp_counted_though_silenced(e->kid[i], act);
        if (found != NULL) return found;
    }
    return NULL;
}
