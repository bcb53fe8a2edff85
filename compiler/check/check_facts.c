/* SPDX-License-Identifier: Apache-2.0
 * What a checked expression reads: this decides the kind of a rule (language.md 4.6).
 */
#include "check/check_priv.h"

static void first(const struct mp_t_expr **slot, const struct mp_t_expr *e)
{
    if (*slot == NULL) *slot = e;
}

static void facts_of_walk(const struct mp_t_walk *w, const struct mp_t_expr *e,
                          struct ck_facts *facts)
{
    switch (w->base) {
    case MP_T_BASE_RECORD_FIELD:
        first(&facts->record, e);
        if (w->field->at_end) first(&facts->at_end, e);
        break;
    case MP_T_BASE_RECORD_KEY: first(&facts->record, e); break;
    case MP_T_BASE_ROW_KEY: first(&facts->row, e); break;
    case MP_T_BASE_EXPR: ck_gather_facts(w->expr, facts); break;
    case MP_T_BASE_CONST:
    case MP_T_BASE_MEMBER: break;
    }
}

static void facts_of_agg(const struct mp_t_expr *e, struct ck_facts *facts)
{
    const struct mp_t_agg *agg = e->agg;
    if (agg->kind == MP_AGG_SEEN) {
        first(&facts->seen, e);
    } else if (agg->published || agg->of_set != NULL) {
        facts->published = true;
    } else {
        first(&facts->window, e);
    }
    const struct mp_t_walk *ways = agg->of_set != NULL ? agg->of_set : agg->at;
    uint32_t n = agg->of_set != NULL ? 1 : agg->keys->count;
    for (uint32_t i = 0; i < n; i++) {
        if (ways[i].base == MP_T_BASE_RECORD_FIELD || ways[i].base == MP_T_BASE_RECORD_KEY ||
            ways[i].base == MP_T_BASE_EXPR) {
            facts_of_walk(&ways[i], e, facts);
        }
    }
}

/* Comparisons that a shrinking value makes true: `count < 5` once the last sample has left. */
static bool may_rise_by_silence(const struct mp_t_expr *e)
{
    switch (e->kind) {
    case MP_TX_IS: return e->op.is == MP_T_STALE || e->op.is == MP_T_ABSENT ||
        e->op.is == MP_T_UNKNOWN;
    case MP_TX_CMP: return e->op.cmp != MP_T_NE;
    case MP_TX_NOT:
    case MP_TX_RANGE: return true;
    default: return false;
    }
}

void ck_gather_facts(const struct mp_t_expr *e, struct ck_facts *facts)
{
    if (e == NULL) return;
    if (may_rise_by_silence(e)) first(&facts->silence, e);
    switch (e->kind) {
    case MP_TX_WALK: facts_of_walk(e->walk, e, facts); break;
    case MP_TX_AGG: facts_of_agg(e, facts); return;
    case MP_TX_HELD: first(&facts->held, e); break;
    case MP_TX_INCIDENTS: first(&facts->window, e); break;
    case MP_TX_MEMBERS:
        /* The condition is over the member's row, and its value is published every 100 ms. */
        facts->published = true;
        facts_of_walk(e->walk, e, facts);
        return;
    case MP_TX_TEXT:
        for (uint32_t i = 0; i < e->piece_count; i++) ck_gather_facts(e->pieces[i].hole, facts);
        break;
    default: break;
    }
    for (int i = 0; i < 3; i++) ck_gather_facts(e->kid[i], facts);
}
