/* SPDX-License-Identifier: Apache-2.0
 * Accumulators: one record added, panes that leave, panes put together.
 */
#include "window/window_priv.h"

#define FIXED_BITS 32      /* doubles are summed as round(v * 2^32) */
#define FIXED_MAX 0x1p62
#define DEV_BITS 24
#define DEV_INT_MAX (INT64_C(1) << 47)
#define DEV_NUM_MAX 0x1p23

bool mp_acc_has_panes(const struct acc *a) { return a->panes != 0; }

uint32_t mp_acc_total_bytes(const struct acc *a)
{
    switch (a->family) {
    case FAM_HIST: return (uint32_t)(sizeof(struct hist_total) + a->bins * sizeof(int64_t));
    default: return mp_acc_pane_bytes(a);
    }
}

uint32_t mp_acc_pane_bytes(const struct acc *a)
{
    switch (a->family) {
    case FAM_COUNT: return sizeof(struct count_cell);
    case FAM_RATIO: return sizeof(struct ratio_cell);
    case FAM_SUM: return sizeof(struct sum_cell);
    case FAM_MIN:
    case FAM_MAX: return sizeof(struct edge_cell);
    case FAM_STDDEV: return sizeof(struct dev_cell);
    case FAM_DISTINCT: return sizeof(struct mp_distinct);
    case FAM_LAST: return sizeof(struct last_cell);
    case FAM_SEEN: return sizeof(struct seen_cell);
    case FAM_HIST:
        return (uint32_t)((sizeof(struct hist_cell) + a->bins * sizeof(uint32_t) + 15) & ~15u);
    }
    MP_UNREACHABLE("a family of accumulators");
}

static void clear_pane(const struct acc *a, unsigned char *pane)
{
    if (a->family == FAM_DISTINCT) {
        mp_distinct_clear((struct mp_distinct *)(void *)pane);
    } else {
        memset(pane, 0, a->pane_bytes);
    }
}

void mp_acc_clear_total(const struct acc *a, unsigned char *total)
{
    if (a->family == FAM_DISTINCT) {
        mp_distinct_clear((struct mp_distinct *)(void *)total);
    } else {
        memset(total, 0, a->total_bytes);
    }
}

void mp_acc_open(const struct acc *a, unsigned char *block)
{
    *acc_ring(a, block) = (struct ring){.head = NEVER, .tail = NEVER};
    mp_acc_clear_total(a, acc_total(a, block));
}

void mp_acc_reset(const struct acc *a, unsigned char *block, int64_t head, int64_t tail)
{
    *acc_ring(a, block) = (struct ring){.head = head, .tail = tail};
    for (uint32_t i = 0; i < a->panes; i++) clear_pane(a, acc_pane(a, block, i));
}

void mp_acc_now(struct acc *a, int64_t now_ns)
{
    if (now_ns < a->moves_ns || a->panes == 0) return;
    a->now_pane = floor_div(now_ns, a->pane_ns);
    a->now_tail = floor_div(now_ns - a->window_ns, a->pane_ns);
    a->now_slot = pane_slot(a, a->now_pane);
    int64_t right = (a->now_pane + 1) * a->pane_ns;
    int64_t left = (a->now_tail + 1) * a->pane_ns + a->window_ns;
    a->moves_ns = right < left ? right : left;
}

/* ---- putting together ---- */

static bool edge_before(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    if (rep == MP_REP_F) return mp_value_as_num(a) < mp_value_as_num(b);
    return mp_value_as_int(a) < mp_value_as_int(b);
}

static void edge_take(const struct acc *a, struct edge_cell *into, struct mp_value v)
{
    bool better = a->family == FAM_MIN ? edge_before(a->rep, v, into->v)
                                       : edge_before(a->rep, into->v, v);
    if (into->n == 0 || better) into->v = v;
}

/* Cells whose parts are sums: into += sign * from. */
static void sums_add(enum family family, unsigned char *into, const unsigned char *from, int sign)
{
    if (family == FAM_COUNT) {
        struct count_cell *t = (void *)into;
        const struct count_cell *f = (const void *)from;
        t->n += (uint64_t)sign * f->n;
        t->weight += sign * f->weight;
    } else if (family == FAM_RATIO) {
        struct ratio_cell *t = (void *)into;
        const struct ratio_cell *f = (const void *)from;
        t->n += (uint64_t)sign * f->n;
        t->all += sign * f->all;
        t->yes += sign * f->yes;
    } else if (family == FAM_SUM) {
        struct sum_cell *t = (void *)into;
        const struct sum_cell *f = (const void *)from;
        t->n += (uint64_t)sign * f->n;
        t->weight += sign * f->weight;
        t->sum += sign * f->sum;
    } else {
        struct dev_cell *t = (void *)into;
        const struct dev_cell *f = (const void *)from;
        t->n += (uint64_t)sign * f->n;
        t->weight += sign * f->weight;
        t->sum += sign * f->sum;
        t->square += sign * f->square;
    }
}

static void merge_pane(const struct acc *a, unsigned char *total, unsigned char *pane)
{
    if (mp_acc_samples(pane) == 0) return;
    switch (a->family) {
    case FAM_MIN:
    case FAM_MAX: {
        struct edge_cell *t = (void *)total;
        const struct edge_cell *f = (const void *)pane;
        edge_take(a, t, f->v);
        t->n += f->n;
        return;
    }
    case FAM_HIST: mp_hist_total_merge(a, total, pane); return;
    case FAM_DISTINCT: mp_distinct_merge((void *)total, (const void *)pane); return;
    default: sums_add(a->family, total, pane, 1); return;
    }
}

void mp_acc_merge_total(const struct acc *a, unsigned char *into, const unsigned char *from)
{
    if (a->family != FAM_HIST) {
        /* Totals have the shape of panes; merge_pane only reads. */
        merge_pane(a, into, (unsigned char *)(uintptr_t)from);
        return;
    }
    struct hist_total *t = (void *)into;
    const struct hist_total *f = (const void *)from;
    const int64_t *bins = (const int64_t *)(const void *)(from + sizeof *f);
    int64_t *sum = hist_total_bins(into);
    t->n += f->n;
    t->weight += f->weight;
    for (uint32_t i = 0; i < a->bins; i++) sum[i] += bins[i];
    mp_hist_recount(a, into);
}

void mp_acc_gather(const struct acc *a, unsigned char *block, int64_t first, int64_t last,
                   unsigned char *total)
{
    const struct ring *ring = acc_ring(a, block);
    if (ring->head == NEVER) return;
    int64_t oldest = ring->head - a->panes + 1;
    if (first < oldest) first = oldest;
    if (last > ring->head) last = ring->head;
    for (int64_t pane = first; pane <= last; pane++) {
        merge_pane(a, total, acc_pane(a, block, pane_slot(a, pane)));
    }
}

void mp_acc_rebuild(const struct acc *a, unsigned char *block)
{
    const struct ring *ring = acc_ring(a, block);
    mp_acc_clear_total(a, acc_total(a, block));
    if (ring->head != NEVER) mp_acc_gather(a, block, ring->tail, ring->head, acc_total(a, block));
}

/* ---- moving on ---- */

/* Takes a pane out of the total; true: the total must be made anew. */
static bool leave(const struct acc *a, unsigned char *total, unsigned char *pane)
{
    if (mp_acc_samples(pane) == 0) return false;
    switch (a->family) {
    case FAM_MIN:
    case FAM_MAX: {
        struct edge_cell *t = (void *)total;
        const struct edge_cell *f = (const void *)pane;
        t->n -= f->n;
        return t->n != 0 && f->v.w[0] == t->v.w[0];
    }
    case FAM_HIST: mp_hist_total_sub(a, total, pane); return false;
    case FAM_DISTINCT: return true;
    default: sums_add(a->family, total, pane, -1); return false;
    }
}

static void roll_tail(const struct acc *a, unsigned char *block, struct ring *ring)
{
    if (a->now_tail > ring->head) {
        ring->tail = a->now_tail;
        if (mp_acc_samples(acc_total(a, block)) != 0) mp_acc_clear_total(a, acc_total(a, block));
        return;
    }
    bool anew = false;
    for (; ring->tail < a->now_tail; ring->tail++) {
        anew |= leave(a, acc_total(a, block), acc_pane(a, block, pane_slot(a, ring->tail)));
    }
    if (anew) mp_acc_rebuild(a, block);
}

static void roll_head(const struct acc *a, unsigned char *block, struct ring *ring)
{
    int64_t from = ring->head == NEVER ? a->now_pane - a->panes : ring->head;
    if (a->now_pane - from > a->panes) from = a->now_pane - a->panes;
    for (int64_t pane = from + 1; pane <= a->now_pane; pane++) {
        clear_pane(a, acc_pane(a, block, pane_slot(a, pane)));
    }
    ring->head = a->now_pane;
}

void mp_acc_roll(struct mp_window *w, struct acc *a, unsigned char *block)
{
    mp_acc_now(a, w->now_ns);
    struct ring *ring = acc_ring(a, block);
    if (ring->head == NEVER) return;
    if (ring->tail < a->now_tail) roll_tail(a, block, ring);
}

/* The pane of a record, ready to take it. */
static unsigned char *pane_for(struct mp_window *w, struct acc *a, unsigned char *block,
                               int64_t time_ns, bool *in_total)
{
    mp_acc_now(a, w->now_ns);
    struct ring *ring = acc_ring(a, block);
    if (ring->head == NEVER) {
        ring->tail = a->now_tail;
    } else if (ring->tail < a->now_tail) {
        roll_tail(a, block, ring);
    }
    if (ring->head != a->now_pane) roll_head(a, block, ring);
    int64_t back = 0;
    if (time_ns < a->now_pane * a->pane_ns) back = a->now_pane - floor_div(time_ns, a->pane_ns);
    if (back >= a->panes) return NULL;
    *in_total = a->now_pane - back >= ring->tail;
    uint32_t slot = back <= a->now_slot ? a->now_slot - (uint32_t)back
                                        : a->now_slot + a->panes - (uint32_t)back;
    return acc_pane(a, block, slot);
}

/* ---- one record ---- */

static bool fixed_point(double v, int bits, double limit, int128 *out)
{
    if (!(v > -limit && v < limit)) return false;
    double scaled = v * (double)(INT64_C(1) << bits);
    if (scaled > -0x1p52 && scaled < 0x1p52) {
        /* Adding and taking away 2^52 rounds to nearest, ties to even. */
        double magic = scaled < 0 ? -0x1p52 : 0x1p52, rounded = scaled + magic;
        *out = (int128)(rounded - magic);
    } else {
        *out = (int128)scaled; /* no fraction is left */
    }
    return true;
}

static bool sum_sample(const struct acc *a, struct acc_sample *s)
{
    if (a->rep == MP_REP_F) {
        return fixed_point(mp_value_as_num(s->v), FIXED_BITS, FIXED_MAX, &s->fixed);
    }
    s->fixed = mp_value_as_int(s->v);
    return true;
}

static bool dev_sample(const struct acc *a, struct acc_sample *s)
{
    if (a->rep == MP_REP_F) {
        if (!fixed_point(mp_value_as_num(s->v), DEV_BITS, DEV_NUM_MAX, &s->fixed)) return false;
    } else {
        int64_t v = mp_value_as_int(s->v);
        if (v <= -DEV_INT_MAX || v >= DEV_INT_MAX) return false;
        s->fixed = v;
    }
    s->square = s->fixed * s->fixed;
    return true;
}

static double as_double(enum mp_rep rep, struct mp_value v)
{
    return rep == MP_REP_F ? mp_value_as_num(v) : (double)mp_value_as_int(v);
}

/* What the family needs of the value; false: it cannot take it. */
static bool prepare(const struct mp_window *w, const struct acc *a, struct acc_sample *s)
{
    switch (a->family) {
    case FAM_SUM: return sum_sample(a, s);
    case FAM_STDDEV: return dev_sample(a, s);
    case FAM_HIST: s->bin = mp_hist_bin(a->scale, as_double(a->rep, s->v)); return true;
    case FAM_DISTINCT: s->hash = mp_window_hash(w, a->rep, s->v); return true;
    default: return true;
    }
}

static void take(const struct acc *a, unsigned char *cell, const struct acc_sample *s)
{
    switch (a->family) {
    case FAM_COUNT: {
        struct count_cell *c = (void *)cell;
        c->n++;
        c->weight += s->weight;
        return;
    }
    case FAM_RATIO: {
        struct ratio_cell *c = (void *)cell;
        c->n++;
        c->all += s->weight;
        c->yes += s->yes ? s->weight : 0;
        return;
    }
    case FAM_SUM: {
        struct sum_cell *c = (void *)cell;
        c->n++;
        c->weight += s->weight;
        c->sum += s->fixed * s->weight;
        return;
    }
    case FAM_STDDEV: {
        struct dev_cell *c = (void *)cell;
        c->n++;
        c->weight += s->weight;
        c->sum += s->fixed * s->weight;
        c->square += s->square * s->weight;
        return;
    }
    case FAM_MIN:
    case FAM_MAX: {
        struct edge_cell *c = (void *)cell;
        edge_take(a, c, s->v);
        c->n++;
        return;
    }
    case FAM_DISTINCT: {
        struct mp_distinct *c = (void *)cell;
        c->n++;
        mp_distinct_add(c, s->hash);
        return;
    }
    default: MP_UNREACHABLE("a family without panes");
    }
}

static void take_hist(const struct acc *a, unsigned char *pane, unsigned char *total,
                      const struct acc_sample *s)
{
    struct hist_cell *c = (void *)pane;
    uint32_t *bins = hist_bins(pane);
    int64_t weight = s->weight < UINT32_MAX - (int64_t)bins[s->bin] ? s->weight : 0;
    c->n++;
    c->weight += weight;
    bins[s->bin] += (uint32_t)weight;
    if (total != NULL) mp_hist_total_add(a, total, s->bin, weight);
}

static void take_last(const struct mp_window *w, const struct acc *a, unsigned char *block,
                      const struct mp_record *r, const struct acc_sample *s)
{
    struct last_cell *c = (void *)acc_total(a, block);
    int64_t time_ns = r->time_ns < w->now_ns ? r->time_ns : w->now_ns;
    if (c->n != 0 && time_ns < c->time_ns) return;
    c->n++;
    c->time_ns = time_ns;
    c->v = s->v;
}

/* Does the record fit, and what does it bring? RATIO: `where` is what is counted, `value` selects.
 */
static bool fits(struct mp_window *w, const struct acc *a, const struct mp_record *r,
                 const struct mp_outputs *o, struct acc_sample *s)
{
    if ((a->layers & r->layer) == 0) return false;
    s->weight = r->weight > 0 ? r->weight : 1;
    if (a->family == FAM_RATIO) {
        if (a->value != MP_NONE && !(bit(o->known, a->value) && bit(o->truth, a->value))) {
            return false;
        }
        if (!bit(o->known, a->where)) {
            w->counts.undecided++;
            return false;
        }
        s->yes = bit(o->truth, a->where);
        return true;
    }
    if (a->where != MP_NONE && !(bit(o->known, a->where) && bit(o->truth, a->where))) return false;
    if (a->growth != MP_NONE) {
        s->v = w->growths[a->growth].delta;
        return w->growths[a->growth].known;
    }
    if (a->value == MP_NONE) return true;
    if (!bit(o->known, a->value)) return false;
    s->v = a->rep == MP_REP_B ? mp_value_bool(bit(o->truth, a->value)) : o->value[a->value];
    return true;
}

bool mp_acc_sample(struct mp_window *w, const struct acc *a, const struct mp_record *r,
                   const struct mp_outputs *outputs, struct acc_sample *out)
{
    if (!fits(w, a, r, outputs, out)) return false;
    if (prepare(w, a, out)) return true;
    w->counts.unusable++;
    return false;
}

void mp_acc_expect(struct mp_window *w, struct acc *a, unsigned char *block)
{
    mp_acc_now(a, w->now_ns);
    __builtin_prefetch(acc_ring(a, block), 1);
    __builtin_prefetch(acc_total(a, block) + 16, 1); /* often the line behind */
    if (a->panes != 0) __builtin_prefetch(acc_pane(a, block, a->now_slot), 1);
}

void mp_acc_expect_sample(const struct acc *a, unsigned char *block, const struct acc_sample *s)
{
    if (a->family != FAM_HIST) return;
    unsigned char *total = acc_total(a, block);
    __builtin_prefetch(&hist_bins(acc_pane(a, block, a->now_slot))[s->bin], 1);
    __builtin_prefetch(&hist_total_bins(total)[s->bin], 1);
    const struct hist_total *t = (const void *)total;
    for (uint32_t i = 0; i < a->cursor_count; i++) {
        __builtin_prefetch(&hist_total_bins(total)[t->cursor[i].bin]);
    }
}

void mp_acc_add(struct mp_window *w, struct acc *a, unsigned char *block, const struct mp_record *r,
                const struct acc_sample *s)
{
    if (a->family == FAM_SEEN) {
        ((struct seen_cell *)(void *)acc_total(a, block))->number = r->number;
        return;
    }
    if (a->family == FAM_LAST) {
        take_last(w, a, block, r, s);
        return;
    }
    bool in_total = false;
    unsigned char *pane = pane_for(w, a, block, r->time_ns, &in_total);
    if (pane == NULL) return;
    unsigned char *total = in_total ? acc_total(a, block) : NULL;
    if (a->family == FAM_HIST) {
        take_hist(a, pane, total, s);
        return;
    }
    take(a, pane, s);
    if (total != NULL) take(a, total, s);
}
