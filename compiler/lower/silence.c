/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

static bool reads_window(const struct mp_t_expr *e)
{
    struct lw_reads reads = lw_reads(e);
    return reads.aggs;
}

static bool any_kid_reads_window(const struct mp_t_expr *e)
{
    for (int i = 0; i < 3; i++) {
        if (e->kid[i] != NULL && reads_window(e->kid[i])) return true;
    }
    return false;
}

/* Does a comparison become true where this operand gets smaller (`down`) or larger? An operand
 * without a window does not move by itself; of one whose direction is unseen, both are assumed. */
static bool moves(const struct mp_t_expr *e, bool down)
{
    if (e == NULL || !reads_window(e)) return false;
    switch (e->kind) {
    case MP_TX_AGG: return down;
    case MP_TX_DEF:
    case MP_TX_CONVERT: return moves(e->kid[0], down);
    case MP_TX_NEG: return moves(e->kid[0], !down);
    case MP_TX_ARITH:
        if (e->op.arith == MP_T_ADD) return moves(e->kid[0], down) || moves(e->kid[1], down);
        if (e->op.arith == MP_T_SUB) return moves(e->kid[0], down) || moves(e->kid[1], !down);
        if (e->op.arith == MP_T_MUL && !(reads_window(e->kid[0]) && reads_window(e->kid[1]))) {
            return moves(e->kid[0], down) || moves(e->kid[1], down);
        }
        if (e->op.arith == MP_T_DIV && !reads_window(e->kid[1])) return moves(e->kid[0], down);
        return true;
    case MP_TX_DEFAULT: return true;
    default: return true;
    }
}

static bool compare(const struct mp_t_expr *e, bool positive)
{
    enum mp_t_cmp cmp = e->op.cmp;
    if (cmp == MP_T_EQ || cmp == MP_T_NE) return any_kid_reads_window(e);
    bool wants_small = (cmp == MP_T_LT || cmp == MP_T_LE) == positive;
    return moves(e->kid[0], wants_small) || moves(e->kid[1], !wants_small);
}

static bool silence(const struct mp_t_expr *e, bool positive)
{
    if (e == NULL) return false;
    switch (e->kind) {
    case MP_TX_NOT: return silence(e->kid[0], !positive);
    case MP_TX_AND:
    case MP_TX_OR: return silence(e->kid[0], positive) || silence(e->kid[1], positive);
    case MP_TX_DEF:
    case MP_TX_HELD: return silence(e->kid[0], positive);
    case MP_TX_CMP: return compare(e, positive);
    case MP_TX_IS:
        if (e->op.is == MP_T_STALE) return true;
        return (e->op.is == MP_T_KNOWN) != positive && any_kid_reads_window(e);
    case MP_TX_AGG: return !positive; /* `seen`: false right after */
    default: return any_kid_reads_window(e);
    }
}

bool lw_on_silence(const struct mp_t_expr *e)
{
    return silence(e, true);
}

bool lw_instant(const struct mp_t_expr *e)
{
    switch (e->kind) {
    case MP_TX_AND: return lw_instant(e->kid[0]) || lw_instant(e->kid[1]);
    case MP_TX_OR: return lw_instant(e->kid[0]) && lw_instant(e->kid[1]);
    case MP_TX_DEF: return lw_instant(e->kid[0]);
    case MP_TX_AGG: return e->agg->kind == MP_AGG_SEEN;
    default: break;
    }
    /* Any condition on the record is unknown without one. */
    return lw_reads(e).record;
}
