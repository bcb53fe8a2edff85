/* SPDX-License-Identifier: Apache-2.0
 * Quantiles: counts in buckets whose bounds grow by 4.1%, so that a value is off by 2% at most
 * (Masson, Rim and Lee, "DDSketch", VLDB 2019). Bounds are a table that multiplications make, the
 * same on every machine; no logarithm. A total keeps for every quantile the bucket where it stands:
 * a record moves it by a bucket or two, so reading it costs next to nothing.
 */
#include "window/window_priv.h"

#define GROWTH 0x1.0a7fe7f61a4abp+0 /* 600,000 to the power 1/331: 100 us .. 60 s in 331 steps */

struct scale_row {
    uint32_t steps;
    double low, under;
};

/* Durations in ns; other ints; numbers. */
static const struct scale_row rows[] = {
    {331, 1e5, 5e4},
    {690, 1, 0},
    {860, 1e-6, 0},
};

static const struct scale_row *row_of(enum mp_type type)
{
    if (type == MP_TYPE_DURATION) return &rows[0];
    return mp_type_rep(type) == MP_REP_F ? &rows[2] : &rows[1];
}

uint32_t mp_hist_bins(enum mp_type type) { return row_of(type)->steps + 2; }

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* A cell is 1/32 of an octave: the top bits of a double. */
static uint32_t cell_of(const struct hist_scale *s, double v)
{
    return (uint32_t)(bits_of(v) >> 47) - s->first_cell;
}

static double cell_low(const struct hist_scale *s, uint32_t cell)
{
    uint64_t bits = (uint64_t)(cell + s->first_cell) << 47;
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

struct hist_scale *mp_hist_make(struct mp_arena *arena, enum mp_type type)
{
    const struct scale_row *row = row_of(type);
    struct hist_scale *s = MP_NEW(arena, struct hist_scale, 1);
    double *bound = MP_NEW(arena, double, row->steps + 1);
    if (s == NULL || bound == NULL) return NULL;
    bound[0] = row->low;
    for (uint32_t i = 1; i <= row->steps; i++) bound[i] = bound[i - 1] * GROWTH;
    *s = (struct hist_scale){.bins = row->steps + 2, .steps = row->steps, .bound = bound,
                             .under = row->under, .over = bound[row->steps],
                             .first_cell = (uint32_t)(bits_of(row->low) >> 47)};
    uint32_t cells = cell_of(s, s->over) + 1;
    uint16_t *guess = MP_NEW(arena, uint16_t, cells);
    if (guess == NULL) return NULL;
    uint32_t bin = 0;
    for (uint32_t i = 0; i < cells; i++) {
        while (bin <= s->steps && bound[bin] <= cell_low(s, i)) bin++;
        guess[i] = (uint16_t)bin;
    }
    s->guess = guess;
    return s;
}

uint32_t mp_hist_bin(const struct hist_scale *s, double v)
{
    if (!(v >= s->bound[0])) return 0;
    if (v >= s->over) return s->bins - 1;
    uint32_t bin = s->guess[cell_of(s, v)];
    while (s->bound[bin] <= v) bin++; /* once or twice: a cell is about as wide as a bucket */
    return bin;
}

double mp_hist_value(const struct hist_scale *s, uint32_t bin)
{
    if (bin == 0) return s->under;
    if (bin == s->bins - 1) return s->over;
    double low = s->bound[bin - 1], high = s->bound[bin];
    return 2 * low * high / (low + high); /* the same relative distance to both ends */
}

void mp_hist_total_add(const struct acc *a, unsigned char *total, uint32_t bin, int64_t weight)
{
    struct hist_total *t = (void *)total;
    t->n++;
    t->weight += weight;
    hist_total_bins(total)[bin] += weight;
    for (uint32_t i = 0; i < a->cursor_count; i++) {
        if (bin < t->cursor[i].bin) t->cursor[i].below += weight;
    }
}

/* The cursors stay where they are; what lies under them is counted again. */
void mp_hist_recount(const struct acc *a, unsigned char *total)
{
    struct hist_total *t = (void *)total;
    const int64_t *bins = hist_total_bins(total);
    for (uint32_t i = 0; i < a->cursor_count; i++) {
        int64_t below = 0;
        for (uint32_t k = 0; k < t->cursor[i].bin; k++) below += bins[k];
        t->cursor[i].below = below;
    }
}

void mp_hist_total_sub(const struct acc *a, unsigned char *total, unsigned char *pane)
{
    struct hist_total *t = (void *)total;
    const struct hist_cell *c = (const void *)pane;
    int64_t *sum = hist_total_bins(total);
    const uint32_t *bins = hist_bins(pane);
    t->n -= c->n;
    t->weight -= c->weight;
    for (uint32_t i = 0; i < a->bins; i++) sum[i] -= bins[i];
    mp_hist_recount(a, total);
}

void mp_hist_total_merge(const struct acc *a, unsigned char *total, unsigned char *pane)
{
    struct hist_total *t = (void *)total;
    const struct hist_cell *c = (const void *)pane;
    int64_t *sum = hist_total_bins(total);
    const uint32_t *bins = hist_bins(pane);
    t->n += c->n;
    t->weight += c->weight;
    for (uint32_t i = 0; i < a->bins; i++) sum[i] += bins[i];
    mp_hist_recount(a, total);
}

double mp_hist_quantile(const struct acc *a, unsigned char *total, uint32_t cursor)
{
    struct hist_total *t = (void *)total;
    const int64_t *bins = hist_total_bins(total);
    struct cursor *c = &t->cursor[cursor];
    int128 scaled = (int128)t->weight * a->cursor_permille[cursor];
    int64_t rank = (int64_t)((scaled + 999) / 1000);
    if (rank < 1) rank = 1;
    while (c->below >= rank && c->bin > 0) c->below -= bins[--c->bin];
    while (c->below + bins[c->bin] < rank && c->bin < a->bins - 1) c->below += bins[c->bin++];
    return mp_hist_value(a->scale, c->bin);
}
