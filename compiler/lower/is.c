/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* ---- what an expression reads ---- */

static void reads_of_walk(const struct mp_t_walk *w, struct lw_reads *r)
{
    switch (w->base) {
    case MP_T_BASE_RECORD_KEY:
    case MP_T_BASE_RECORD_FIELD:
        r->record = true;
        r->signal = w->signal != NULL ? w->signal : w->field->signal;
        break;
    case MP_T_BASE_ROW_KEY:
    case MP_T_BASE_MEMBER: r->row = true; break;
    case MP_T_BASE_EXPR: {
        struct lw_reads inner = lw_reads(w->expr);
        r->record |= inner.record;
        r->row |= inner.row;
        if (inner.signal != NULL) r->signal = inner.signal;
        break;
    }
    case MP_T_BASE_CONST: break;
    }
}

/* `error_rate of request.caller` is read where the record leads to, and so with the record. */
static void reads_of_agg(const struct mp_t_agg *agg, struct lw_reads *r)
{
    struct lw_reads at = {0};
    uint32_t count = agg->of_set != NULL ? 1 : agg->keys == NULL ? 0 : agg->keys->count;
    const struct mp_t_walk *walks = agg->of_set != NULL ? agg->of_set : agg->at;
    for (uint32_t i = 0; i < count; i++) reads_of_walk(&walks[i], &at);
    r->state = true;
    if (at.record) {
        r->record = true;
        r->signal = at.signal;
        r->row |= at.row;
    } else {
        r->aggs = r->row = true;
    }
}

static void collect(const struct mp_t_expr *e, struct lw_reads *r)
{
    if (e == NULL) return;
    switch (e->kind) {
    case MP_TX_WALK: reads_of_walk(e->walk, r); break;
    case MP_TX_AGG:
        reads_of_agg(e->agg, r);
        return;
    case MP_TX_MEMBERS:
        r->row = r->state = true;
        return; /* the condition is over a member */
    case MP_TX_HELD:
    case MP_TX_AT_TRIGGER:
    case MP_TX_INCIDENTS: r->row = r->state = true; break;
    case MP_TX_IS:
        if (e->signal != NULL) r->row = r->state = true;
        break;
    case MP_TX_TEXT:
        for (uint32_t i = 0; i < e->piece_count; i++) collect(e->pieces[i].hole, r);
        break;
    default: break;
    }
    for (int i = 0; i < 3; i++) collect(e->kid[i], r);
}

struct lw_reads lw_reads(const struct mp_t_expr *e)
{
    struct lw_reads r = {0};
    collect(e, &r);
    return r;
}

/* ---- known, unknown, absent, stale: always true or false ---- */

static uint32_t known(struct lw_ctx *c, const struct mp_t_expr *e)
{
    return lw_op(c, MP_OP_KNOWN, lw_expr(c, e), 0, 0);
}

static uint32_t not_known(struct lw_ctx *c, const struct mp_t_expr *e)
{
    return lw_op(c, MP_OP_NOT, known(c, e), 0, 0);
}

static uint32_t int_const(struct lw_ctx *c, int64_t i)
{
    return lw_op_const(c, mp_ir_const(c->lw->ir, MP_TYPE_INT, mp_value_int(i), 0));
}

static uint32_t no_samples(struct lw_ctx *c, const struct mp_t_expr *e)
{
    if (e->agg->kind == MP_AGG_LAST) return not_known(c, e);
    uint32_t samples = lw_read_agg(c, e, true);
    uint32_t none = lw_op(c, MP_OP_LE_I, samples, int_const(c, 0), 0);
    /* A set of members that nobody knows has no samples either. */
    return lw_op(c, MP_OP_DEFAULT, none, lw_op_bool(c, true), 0);
}

static uint32_t absent(struct lw_ctx *c, const struct mp_t_expr *e);

/* MP_NONE: it reads nothing that could be absent. */
static uint32_t absent_kids(struct lw_ctx *c, const struct mp_t_expr *e)
{
    uint32_t all = MP_NONE;
    for (int i = 0; i < 3 && e->kid[i] != NULL; i++) {
        const struct mp_t_expr *kid = e->kid[i];
        if (kid->kind == MP_TX_CONST || kid->kind == MP_TX_PARAM) continue;
        uint32_t one = absent(c, kid);
        all = all == MP_NONE ? one : lw_op(c, MP_OP_AND, all, one, 0);
    }
    return all;
}

/* Absent: no value in this record, no sample for this key. What combines several is absent where
 * none of them has anything. */
static uint32_t absent(struct lw_ctx *c, const struct mp_t_expr *e)
{
    uint32_t of_kids;
    switch (e->kind) {
    case MP_TX_WALK:
    case MP_TX_MEMBERS: /* of a set that nobody knows */
    case MP_TX_AT_TRIGGER:
    case MP_TX_INCIDENTS:
    case MP_TX_IS: return not_known(c, e);
    case MP_TX_AGG: return no_samples(c, e);
    case MP_TX_DEF: {
        uint32_t computed = absent(c, e->kid[0]);
        if (!lw_overridable(c->lw, e)) return computed;
        uint32_t state = lw_read_override(c, e, true);
        uint32_t set = lw_op(c, MP_OP_EQ_I, state, int_const(c, 2), 0);
        uint32_t untouched = lw_op(c, MP_OP_EQ_I, state, int_const(c, 0), 0);
        return lw_op(c, MP_OP_PICK, untouched, computed, set);
    }
    default: break;
    }
    if (lw_reads(e).record && !c->record && !lw_reads(e).row) return not_known(c, e);
    of_kids = absent_kids(c, e);
    return of_kids == MP_NONE ? not_known(c, e) : of_kids;
}

static void stale_signals(const struct mp_t_expr *e, bool *signals)
{
    if (e == NULL) return;
    if (e->kind == MP_TX_AGG) signals[e->agg->signal->index] = true;
    if (e->kind == MP_TX_DEF && e->def->signal != NULL) signals[e->def->signal->index] = true;
    for (int i = 0; i < 3; i++) stale_signals(e->kid[i], signals);
}

static uint32_t stale(struct lw_ctx *c, const struct mp_t_expr *e)
{
    if (e->signal != NULL) return lw_read_stale(c, e->signal);
    bool *signals = LW_NEW(c->lw, bool, c->lw->t->signals.len);
    stale_signals(e->kid[0], signals);
    uint32_t any = MP_NONE;
    for (uint32_t i = 0; i < c->lw->t->signals.len; i++) {
        if (!signals[i]) continue;
        uint32_t one = lw_read_stale(c, c->lw->t->signals.ptr[i]);
        any = any == MP_NONE ? one : lw_op(c, MP_OP_OR, any, one, 0);
    }
    return any == MP_NONE ? lw_op_bool(c, false) : any;
}

uint32_t lw_is(struct lw_ctx *c, const struct mp_t_expr *e)
{
    switch (e->op.is) {
    case MP_T_KNOWN: return known(c, e->kid[0]);
    case MP_T_UNKNOWN: return not_known(c, e->kid[0]);
    case MP_T_ABSENT: return absent(c, e->kid[0]);
    case MP_T_STALE: return stale(c, e);
    }
    MP_UNREACHABLE("a state without a row");
}
