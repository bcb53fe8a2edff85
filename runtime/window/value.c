/* SPDX-License-Identifier: Apache-2.0
 * From what a window holds to the value of an aggregate, in the representation that the program
 * asks.
 */
#include "window/window_priv.h"

#define NS_PER_S 1e9

static bool whole_int(int128 v, struct mp_value *out)
{
    if (v < INT64_MIN || v > INT64_MAX) return false;
    *out = mp_value_int((int64_t)v);
    return true;
}

/* Nearest, ties to even. */
static int128 divide_int(int128 a, int64_t b)
{
    int128 q = a / b, r = a % b;
    int128 twice = (r < 0 ? -r : r) * 2;
    int step = a < 0 ? -1 : 1;
    if (twice > b || (twice == b && (q & 1) != 0)) q += step;
    return q;
}

static bool finite_num(double v, struct mp_value *out)
{
    if (!(v - v == 0)) return false; /* NaN and infinities are no values */
    *out = mp_value_num(v == 0 ? 0 : v);
    return true;
}

/* A double as the type of the aggregate wants it. */
static bool as_type(enum mp_type type, double v, struct mp_value *out)
{
    if (mp_type_rep(type) == MP_REP_F) return finite_num(v, out);
    if (!(v > -0x1p63 && v < 0x1p63)) return false;
    int64_t whole = (int64_t)v; /* where v has a fraction, it is far from the borders */
    double part = v - (double)whole;
    if (part > 0.5 || (part == 0.5 && (whole & 1) != 0)) whole++;
    if (part < -0.5 || (part == -0.5 && (whole & 1) != 0)) whole--;
    *out = mp_value_int(whole);
    return true;
}

static double seconds(const struct acc *a) { return (double)a->window_ns / NS_PER_S; }

static double sum_num(const struct acc *a, int128 sum)
{
    return a->rep == MP_REP_F ? (double)sum / 0x1p32 : (double)sum;
}

static bool sum_value(const struct acc *a, const struct mp_agg_row *agg, const struct sum_cell *c,
                      struct mp_value *out)
{
    bool int_type = mp_type_rep(agg->type) != MP_REP_F;
    switch (agg->kind) {
    case MP_AGG_RATE_SUM:
    case MP_AGG_RATE_GROWTH: return as_type(agg->type, sum_num(a, c->sum) / seconds(a), out);
    case MP_AGG_AVG:
        if (c->weight <= 0) return false;
        if (int_type && a->rep != MP_REP_F) return whole_int(divide_int(c->sum, c->weight), out);
        return as_type(agg->type, sum_num(a, c->sum) / (double)c->weight, out);
    default:
        if (int_type && a->rep != MP_REP_F) return whole_int(c->sum, out);
        return as_type(agg->type, sum_num(a, c->sum), out);
    }
}

/* ---- standard deviation: sqrt(w Q - S^2) / w, the difference exact in 256 bits ---- */

struct wide { unsigned __int128 high, low; };

static struct wide wide_mul(unsigned __int128 a, unsigned __int128 b)
{
    const unsigned __int128 mask = UINT64_MAX;
    unsigned __int128 a0 = a & mask, a1 = a >> 64, b0 = b & mask, b1 = b >> 64;
    unsigned __int128 low = a0 * b0, mid1 = a0 * b1, mid2 = a1 * b0;
    unsigned __int128 mid = (low >> 64) + (mid1 & mask) + (mid2 & mask);
    return (struct wide){a1 * b1 + (mid1 >> 64) + (mid2 >> 64) + (mid >> 64),
                         (low & mask) | (mid << 64)};
}

static bool dev_value(const struct acc *a, const struct mp_agg_row *agg, const struct dev_cell *c,
                      struct mp_value *out)
{
    if (c->weight <= 0) return false;
    unsigned __int128 s = c->sum < 0 ? -(unsigned __int128)c->sum : (unsigned __int128)c->sum;
    struct wide wq = wide_mul((unsigned __int128)c->square, (unsigned __int128)c->weight);
    struct wide ss = wide_mul(s, s);
    struct wide d = {wq.high - ss.high - (wq.low < ss.low), wq.low - ss.low};
    double spread = (double)d.high * 0x1p128 + (double)d.low;
    double dev = __builtin_sqrt(spread) / (double)c->weight;
    if (a->rep == MP_REP_F) dev /= 0x1p24;
    return as_type(agg->type, dev, out);
}

static bool edge_value(const struct acc *a, const struct mp_agg_row *agg, const struct edge_cell *c,
                       struct mp_value *out)
{
    enum mp_rep want = mp_type_rep(agg->type);
    if ((want == MP_REP_F) == (a->rep == MP_REP_F)) {
        *out = c->v;
        return true;
    }
    return as_type(agg->type, a->rep == MP_REP_F ? mp_value_as_num(c->v)
                                                 : (double)mp_value_as_int(c->v), out);
}

bool mp_agg_value(const struct mp_window *w, uint32_t agg, unsigned char *total,
                  struct mp_value *out)
{
    const struct acc *a = &w->accs[w->agg_acc[agg]];
    const struct mp_agg_row *row = &w->p->agg[agg];
    switch (a->family) {
    case FAM_COUNT: {
        const struct count_cell *c = (const void *)total;
        if (row->kind == MP_AGG_RATE) {
            return as_type(row->type, (double)c->weight / seconds(a), out);
        }
        if (mp_type_rep(row->type) == MP_REP_F) return as_type(row->type, (double)c->weight, out);
        return whole_int(c->weight, out);
    }
    case FAM_RATIO: {
        const struct ratio_cell *c = (const void *)total;
        return c->all > 0 && as_type(row->type, (double)c->yes / (double)c->all, out);
    }
    case FAM_SUM: return sum_value(a, row, (const void *)total, out);
    case FAM_STDDEV: return dev_value(a, row, (const void *)total, out);
    case FAM_MIN:
    case FAM_MAX: return edge_value(a, row, (const void *)total, out);
    case FAM_HIST:
        return ((const struct hist_total *)(const void *)total)->weight > 0 &&
               as_type(row->type, mp_hist_quantile(a, total, w->agg_cursor[agg]), out);
    case FAM_DISTINCT: return as_type(row->type, mp_distinct_estimate((const void *)total), out);
    case FAM_LAST: {
        const struct last_cell *c = (const void *)total;
        return edge_value(a, row, &(struct edge_cell){1, c->v}, out);
    }
    case FAM_SEEN: return false; /* read.c answers it: it needs the record */
    }
    MP_UNREACHABLE("a family of accumulators");
}
