/* SPDX-License-Identifier: Apache-2.0
 * Aggregates, each counted anew over the list of all records (language.md §5, R2, R3, R5, R6, R8,
 * R9, R10, R16, R39; where those leave room, the comment on top of window.h).
 */
#include <math.h>
#include <stdlib.h>

#include "base/assert.h"
#include "slow.h"

typedef __int128 int128;

static const struct slow_value unknown = {false, {{0, 0}}};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* A record ahead of now counts in the pane of now. */
static int64_t counted_at(const struct slow_record *r)
{
    return r->time_ns < r->heard_ns ? r->time_ns : r->heard_ns;
}

/* ---- sources ---- */

/* R6: every source of the tests is one input. */
bool slow_silent(const struct slow_world *w, const struct mp_t_signal *signal)
{
    if (w->always_alive) return false;
    for (uint32_t i = 0; i < w->record_count; i++) {
        const struct slow_record *r = &w->records[i];
        if (r->signal == signal && r->heard &&
            w->now_ns <= r->heard_ns + signal->every_ns + signal->lateness_ns)
            return false;
    }
    return true;
}

static bool observed_since(const struct slow_world *w, const struct mp_t_signal *signal,
                           int64_t *out)
{
    for (uint32_t i = 0; i < w->record_count; i++) {
        if (w->records[i].signal != signal || !w->records[i].heard) continue;
        *out = w->records[i].heard_ns;
        return true;
    }
    return false;
}

/* ---- which records ---- */

/* The tuples of keys whose records count: one, or those of all members of a set. */
struct whose {
    const struct slow_value *tuples;
    uint32_t count, width;
};

static bool find_keys(struct slow_world *w, const struct slow_at *at, const struct mp_t_agg *agg,
                      struct whose *out)
{
    if (agg->of_set != NULL) {
        struct slow_value set = slow_way(w, at, agg->of_set);
        if (!set.known) return false;
        const struct mp_value *all = (const struct mp_value *)(uintptr_t)set.v.w[0];
        struct slow_value *members = MP_NEW(w->arena, struct slow_value, set.v.w[1] + 1);
        MP_ASSERT(members != NULL);
        for (uint64_t i = 0; i < set.v.w[1]; i++) members[i] = (struct slow_value){true, all[i]};
        *out = (struct whose){members, (uint32_t)set.v.w[1], 1};
        return true;
    }
    struct slow_value *tuple = MP_NEW(w->arena, struct slow_value, agg->keys->count + 1);
    MP_ASSERT(tuple != NULL);
    for (uint32_t i = 0; i < agg->keys->count; i++) {
        tuple[i] = slow_way(w, at, &agg->at[i]);
        if (!tuple[i].known) return false;
    }
    *out = (struct whose){tuple, 1, agg->keys->count};
    return true;
}

static bool has_keys(struct slow_world *w, const struct mp_t_agg *agg, const struct whose *whose,
                     const struct slow_record *r)
{
    for (uint32_t t = 0; t < whose->count; t++) {
        bool all = true;
        for (uint32_t k = 0; k < whose->width && all; k++) {
            const struct mp_t_key *key = &agg->keys->keys[k];
            struct slow_value v = slow_record_key(w, r, key);
            all = v.known &&
                  slow_same(slow_rep(key->type), v.v, whose->tuples[t * whose->width + k].v);
        }
        if (all) return true;
    }
    return false;
}

static bool in_window(const struct slow_world *w, const struct slow_ask *ask,
                      const struct mp_t_agg *agg, const struct slow_record *r)
{
    if (agg->kind == MP_AGG_LAST) return counted_at(r) >= ask->since_ns;
    int64_t time = counted_at(r), d = agg->window_ns, pane = (d + agg->panes - 1) / agg->panes,
            mine = floor_div(time, pane);
    if (ask->since_ns > 0 && mine * pane < ask->since_ns) return false;
    if (!ask->settled) return mine >= floor_div(w->now_ns - d, pane);
    int64_t ended = floor_div(w->now_ns - agg->signal->lateness_ns, pane);
    return mine < ended && mine >= floor_div(ended * pane - d, pane);
}

/* ---- the records that count, with their values ---- */

struct sample {
    const struct slow_record *r;
    int64_t weight;
    struct mp_value v;
    bool yes; /* RATIO */
};

struct samples {
    struct sample *all;
    uint32_t count;
    enum mp_rep rep;
};

static enum mp_truth record_truth(struct slow_world *w, const struct slow_record *r,
                                  const struct mp_t_expr *e)
{
    struct slow_ask ask = {.record = r};
    return e == NULL ? MP_TRUE : slow_truth(w, &ask, e);
}

static bool same_things(const struct slow_record *a, const struct slow_record *b)
{
    for (uint32_t k = 0; k < a->signal->key_count; k++) {
        enum mp_rep rep = slow_rep(a->signal->keys[k]->attrs[0].type);
        if (!a->keys[k].known || !b->keys[k].known || !slow_same(rep, a->keys[k].v, b->keys[k].v))
            return false;
    }
    return true;
}

/* Growth of a counter at a record: against the value before it of the same things (§4.2). What a
 * newer value has overtaken says nothing: it is no new start. */
static struct slow_value growth(struct slow_world *w, const struct mp_t_agg *agg,
                                const struct slow_record *r, struct slow_value v)
{
    struct slow_value before = unknown;
    int64_t newest = INT64_MIN;
    for (const struct slow_record *q = w->records; q < r; q++) {
        int64_t time = counted_at(q);
        if (q->signal != r->signal || !q->admitted || !same_things(r, q) || time < newest) continue;
        struct slow_value was = slow_eval(w, &(struct slow_ask){.record = q}, agg->value);
        if (!was.known) continue;
        before = was;
        newest = time;
    }
    if (counted_at(r) < newest) return unknown;
    if (!before.known) return (struct slow_value){true, mp_value_int(0)};
    int64_t a = mp_value_as_int(before.v), b = mp_value_as_int(v.v);
    return (struct slow_value){true, mp_value_int(b < a ? b : b - a)};
}

static bool usable(const struct mp_t_agg *agg, enum mp_rep rep, struct mp_value v)
{
    double f = rep == MP_REP_F ? mp_value_as_num(v) : 0;
    int64_t i = rep == MP_REP_F ? 0 : mp_value_as_int(v);
    if (agg->kind == MP_AGG_STDDEV) {
        return rep == MP_REP_F ? fabs(f) < 0x1p23 : i > -(INT64_C(1) << 47) && i < INT64_C(1) << 47;
    }
    bool sums = agg->kind == MP_AGG_SUM || agg->kind == MP_AGG_RATE_SUM || agg->kind == MP_AGG_AVG;
    return !sums || rep != MP_REP_F || fabs(f) < 0x1p62;
}

static struct samples gather(struct slow_world *w, const struct slow_at *at,
                             const struct mp_t_agg *agg, const struct whose *whose)
{
    bool grows = agg->kind == MP_AGG_GROWTH || agg->kind == MP_AGG_RATE_GROWTH;
    struct samples s = {MP_NEW(w->arena, struct sample, w->record_count + 1), 0, MP_REP_N};
    MP_ASSERT(s.all != NULL);
    if (agg->value != NULL) s.rep = slow_rep(agg->value->type);
    for (uint32_t i = 0; i < w->record_count; i++) {
        const struct slow_record *r = &w->records[i];
        struct sample one = {.r = r, .weight = r->weight};
        bool counts = r->admitted || (r->last && agg->kind == MP_AGG_LAST);
        if (r->signal != agg->signal || !counts || (r->layer & agg->layers) == 0) continue;
        if (!in_window(w, at->ask, agg, r) || !has_keys(w, agg, whose, r)) continue;
        enum mp_truth where = record_truth(w, r, agg->where);
        if (agg->kind == MP_AGG_RATIO) {
            if (where == MP_UNKNOWN || record_truth(w, r, agg->value) != MP_TRUE) continue;
            one.yes = where == MP_TRUE;
        } else if (where != MP_TRUE) {
            continue;
        }
        if (agg->value != NULL && agg->kind != MP_AGG_RATIO) {
            struct slow_value v = slow_eval(w, &(struct slow_ask){.record = r}, agg->value);
            if (v.known && grows) v = growth(w, agg, r, v);
            if (!v.known || !usable(agg, s.rep, v.v)) continue;
            one.v = v.v;
        }
        s.all[s.count++] = one;
    }
    return s;
}

/* ---- results ---- */

static struct slow_value of_int(int128 v)
{
    if (v < INT64_MIN || v > INT64_MAX) return unknown;
    return (struct slow_value){true, mp_value_int((int64_t)v)};
}

static struct slow_value of_num(double f)
{
    return isfinite(f) ? (struct slow_value){true, mp_value_num(f == 0 ? 0 : f)} : unknown;
}

/* A double as the type of the result wants it: as it is, or as the nearest int. */
static struct slow_value as_type(const struct mp_t_expr *e, double f)
{
    if (slow_rep(e->type) == MP_REP_F) return of_num(f);
    double near = nearbyint(f);
    return near > -0x1p63 && near < 0x1p63 ? of_int((int128)near) : unknown;
}

static double seconds(const struct mp_t_agg *agg) { return (double)agg->window_ns / 1e9; }

static int128 weight_of(const struct samples *s)
{
    int128 sum = 0;
    for (uint32_t i = 0; i < s->count; i++) sum += s->all[i].weight;
    return sum;
}

/* Sums are of integers: doubles as round(v * 2^32). */
static int128 sum_of(const struct samples *s)
{
    int128 sum = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        int128 v = s->rep == MP_REP_F ? (int128)nearbyint(mp_value_as_num(s->all[i].v) * 0x1p32)
                                      : mp_value_as_int(s->all[i].v);
        sum += v * s->all[i].weight;
    }
    return sum;
}

static double as_num(const struct samples *s, int128 sum)
{
    return s->rep == MP_REP_F ? (double)sum / 0x1p32 : (double)sum;
}

static int128 nearest_quotient(int128 a, int128 b)
{
    int128 q = a / b, r = a % b, twice = (r < 0 ? -r : r) * 2;
    if (twice > b || (twice == b && q % 2 != 0)) q += a < 0 ? -1 : 1;
    return q;
}

static struct slow_value average(const struct mp_t_expr *e, const struct samples *s)
{
    int128 weight = weight_of(s);
    if (weight <= 0) return unknown;
    if (slow_rep(e->type) != MP_REP_F && s->rep != MP_REP_F)
        return of_int(nearest_quotient(sum_of(s), weight));
    return as_type(e, as_num(s, sum_of(s)) / (double)weight);
}

static struct slow_value ratio(const struct samples *s)
{
    int128 yes = 0, all = weight_of(s);
    for (uint32_t i = 0; i < s->count; i++) yes += s->all[i].yes ? s->all[i].weight : 0;
    return all > 0 ? of_num((double)yes / (double)all) : unknown;
}

static struct slow_value edge(const struct mp_t_expr *e, const struct samples *s, bool largest)
{
    if (s->count == 0) return unknown;
    struct mp_value best = s->all[0].v;
    for (uint32_t i = 1; i < s->count; i++) {
        struct mp_value v = s->all[i].v;
        bool less = s->rep == MP_REP_F ? mp_value_as_num(v) < mp_value_as_num(best)
                                       : mp_value_as_int(v) < mp_value_as_int(best);
        bool more = s->rep == MP_REP_F ? mp_value_as_num(v) > mp_value_as_num(best)
                                       : mp_value_as_int(v) > mp_value_as_int(best);
        if (largest ? more : less) best = v;
    }
    if ((slow_rep(e->type) == MP_REP_F) == (s->rep == MP_REP_F))
        return (struct slow_value){true, best};
    return as_type(e, s->rep == MP_REP_F ? mp_value_as_num(best) : (double)mp_value_as_int(best));
}

/* sqrt(W Q - S^2) / W: values are small enough here for 128 bits. */
static struct slow_value deviation(const struct mp_t_expr *e, const struct samples *s)
{
    int128 weight = weight_of(s), sum = 0, square = 0;
    if (weight <= 0) return unknown;
    for (uint32_t i = 0; i < s->count; i++) {
        int128 v = s->rep == MP_REP_F ? (int128)nearbyint(mp_value_as_num(s->all[i].v) * 0x1p24)
                                      : mp_value_as_int(s->all[i].v);
        sum += v * s->all[i].weight;
        square += v * v * s->all[i].weight;
    }
    unsigned __int128 spread = (unsigned __int128)(weight * square - sum * sum);
    double dev = sqrt((double)spread) / (double)weight;
    return as_type(e, s->rep == MP_REP_F ? dev / 0x1p24 : dev);
}

static struct slow_value distinct(const struct mp_t_expr *e, const struct samples *s)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        bool fresh = true;
        for (uint32_t k = 0; k < i && fresh; k++)
            fresh = !slow_same(s->rep, s->all[k].v, s->all[i].v);
        count += fresh;
    }
    return as_type(e, (double)count);
}

/* ---- quantiles: the exact one by sorting, then the bucket that stands for it ---- */

struct weighted {
    double v;
    int64_t weight;
};

static int by_value(const void *a, const void *b)
{
    const struct weighted *x = a, *y = b;
    return (x->v > y->v) - (x->v < y->v);
}

/* Buckets grow by 4.1%: what stands for a value is within 2% of it. */
static double bucket_of(enum mp_type type, enum mp_rep rep, double v)
{
    bool duration = type == MP_TYPE_DURATION, number = rep == MP_REP_F;
    double low = duration ? 1e5 : number ? 1e-6 : 1, under = duration ? 5e4 : 0;
    int steps = duration ? 331 : number ? 860 : 690;
    if (!(v >= low)) return under;
    for (int i = 0; i < steps; i++) {
        double high = low * 0x1.0a7fe7f61a4abp+0;
        if (v < high) {
            double middle = 2 * low * high / (low + high);
            MP_ASSERT(fabs(middle - v) <= 0.0204 * v);
            return middle;
        }
        low = high;
    }
    return low;
}

static struct slow_value quantile(struct slow_world *w, const struct mp_t_expr *e,
                                  const struct samples *s)
{
    struct weighted *sorted = MP_NEW(w->arena, struct weighted, s->count + 1);
    int128 weight = weight_of(s), below = 0;
    if (weight <= 0) return unknown;
    MP_ASSERT(sorted != NULL);
    for (uint32_t i = 0; i < s->count; i++) {
        double v = s->rep == MP_REP_F ? mp_value_as_num(s->all[i].v)
                                      : (double)mp_value_as_int(s->all[i].v);
        sorted[i] = (struct weighted){v, s->all[i].weight};
    }
    qsort(sorted, s->count, sizeof *sorted, by_value);
    int128 rank = (weight * e->agg->quantile + 999) / 1000;
    uint32_t at = 0;
    while (at + 1 < s->count && below + sorted[at].weight < rank) below += sorted[at++].weight;
    return as_type(e, bucket_of(e->agg->value->type.base, s->rep, sorted[at].v));
}

static struct slow_value result(struct slow_world *w, const struct mp_t_expr *e,
                                const struct samples *s)
{
    const struct mp_t_agg *agg = e->agg;
    switch (agg->kind) {
    case MP_AGG_COUNT:
        if (slow_rep(e->type) == MP_REP_F) return of_num((double)weight_of(s));
        return of_int(weight_of(s));
    case MP_AGG_RATE: return as_type(e, (double)weight_of(s) / seconds(agg));
    case MP_AGG_SUM:
    case MP_AGG_GROWTH:
        if (slow_rep(e->type) != MP_REP_F && s->rep != MP_REP_F) return of_int(sum_of(s));
        return as_type(e, as_num(s, sum_of(s)));
    case MP_AGG_RATE_SUM:
    case MP_AGG_RATE_GROWTH: return as_type(e, as_num(s, sum_of(s)) / seconds(agg));
    case MP_AGG_DISTINCT: return distinct(e, s);
    case MP_AGG_RATIO: return ratio(s);
    case MP_AGG_AVG: return average(e, s);
    case MP_AGG_MIN: return edge(e, s, false);
    case MP_AGG_MAX: return edge(e, s, true);
    case MP_AGG_QUANTILE: return quantile(w, e, s);
    case MP_AGG_STDDEV: return deviation(e, s);
    default: break;
    }
    w->unsure = true;
    return unknown;
}

/* ---- known or not ---- */

/* R8: known until every + lateness after it. */
static struct slow_value last(struct slow_world *w, const struct mp_t_agg *agg,
                              const struct samples *s)
{
    if (s->count == 0) return unknown;
    const struct sample *newest = &s->all[0];
    for (uint32_t i = 1; i < s->count; i++) {
        if (counted_at(s->all[i].r) >= counted_at(newest->r)) newest = &s->all[i];
    }
    int64_t until = counted_at(newest->r) + agg->signal->every_ns + agg->signal->lateness_ns;
    return w->now_ns <= until ? (struct slow_value){true, newest->v} : unknown;
}

static bool whole(const struct slow_world *w, const struct slow_ask *ask,
                  const struct mp_t_agg *agg)
{
    int64_t end = w->now_ns - (ask->settled ? agg->signal->lateness_ns : 0), since;
    if (ask->since_ns > 0) return ask->since_ns + agg->window_ns <= end;
    if (w->always_alive) return true;
    return observed_since(w, agg->signal, &since) && since + agg->window_ns <= end;
}

static bool seen_now(struct slow_world *w, const struct slow_at *at, const struct mp_t_agg *agg)
{
    const struct slow_record *r = at->ask->record;
    struct whose whose;
    if (r == NULL || r->signal != agg->signal || !r->admitted || (r->layer & agg->layers) == 0)
        return false;
    if (!find_keys(w, at, agg, &whose) || !has_keys(w, agg, &whose, r)) return false;
    return record_truth(w, r, agg->where) == MP_TRUE;
}

struct slow_value slow_agg(struct slow_world *w, const struct slow_at *at,
                           const struct mp_t_expr *e)
{
    const struct mp_t_agg *agg = e->agg;
    struct whose whose;
    if (agg->kind == MP_AGG_SEEN)
        return (struct slow_value){true, mp_value_bool(seen_now(w, at, agg))};
    if (slow_silent(w, agg->signal) || !find_keys(w, at, agg, &whose)) return unknown;
    struct samples s = gather(w, at, agg, &whose);
    if (agg->kind == MP_AGG_LAST) return last(w, agg, &s);
    if (mp_agg_counting(agg->kind)) {
        bool verifying = at->ask->settled && at->ask->since_ns > 0;
        bool bound = at->sign > 0 && !verifying; /* R5, R41: a lower bound is enough */
        return bound || whole(w, at->ask, agg) ? result(w, e, &s) : unknown;
    }
    return s.count >= (agg->min_samples > 0 ? agg->min_samples : 1) ? result(w, e, &s) : unknown;
}

bool slow_agg_absent(struct slow_world *w, const struct slow_at *at, const struct mp_t_expr *e)
{
    struct whose whose;
    if (e->agg->kind == MP_AGG_LAST) return !slow_agg(w, at, e).known;
    if (e->agg->kind == MP_AGG_SEEN) return !seen_now(w, at, e->agg);
    if (slow_silent(w, e->agg->signal) || !find_keys(w, at, e->agg, &whose)) return true;
    return gather(w, at, e->agg, &whose).count == 0;
}
