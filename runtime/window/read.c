/* SPDX-License-Identifier: Apache-2.0
 * Reading an aggregate for a key: which panes (R2, R3, R39), and whether the answer is known (R5,
 * R6).
 */
#include "window/window_priv.h"

int64_t mp_window_watermark(const struct mp_window *w, uint32_t signal)
{
    return w->now_ns - w->signals[signal].lateness_ns;
}

int64_t mp_read_end(const struct mp_window *w, const struct mp_read *how, uint32_t signal)
{
    return how->settled ? mp_window_watermark(w, signal) : w->now_ns;
}

/* The panes of a read that is not the whole window of now. */
static void pane_range(const struct mp_window *w, const struct mp_read *how, const struct acc *a,
                       int64_t *first, int64_t *last)
{
    if (how->settled) {
        int64_t ended = floor_div(mp_read_end(w, how, a->signal), a->pane_ns);
        *last = ended - 1;
        *first = floor_div(ended * a->pane_ns - a->window_ns, a->pane_ns);
    } else {
        *last = INT64_MAX;
        *first = floor_div(w->now_ns - a->window_ns, a->pane_ns);
    }
    if (how->since_ns > 0) {
        int64_t whole = floor_div(how->since_ns + a->pane_ns - 1, a->pane_ns);
        if (whole > *first) *first = whole;
    }
}

unsigned char *mp_agg_total(struct mp_window *w, const struct mp_read *how, uint32_t agg,
                            uint32_t key)
{
    struct acc *a = &w->accs[w->agg_acc[agg]];
    const struct group *g = &w->groups[a->grouping];
    if (key == MP_NONE) {
        mp_acc_clear_total(a, w->gather);
        return w->gather;
    }
    unsigned char *block = key_block(g, key);
    if (!mp_acc_has_panes(a)) return acc_total(a, block);
    if (!how->settled && how->since_ns <= 0) {
        mp_acc_roll(w, a, block);
        return acc_total(a, block);
    }
    int64_t first, last;
    pane_range(w, how, a, &first, &last);
    mp_acc_clear_total(a, w->gather);
    mp_acc_gather(a, block, first, last, w->gather);
    return w->gather;
}

static bool seen_now(const struct mp_read *how, uint32_t signal, const unsigned char *total)
{
    const struct seen_cell *c = (const void *)total;
    return how->record != NULL && how->record->signal == signal &&
        c->number == how->record->number &&
           c->number != 0;
}

static bool last_known(const struct mp_window *w, const struct mp_read *how, uint32_t signal,
                       const unsigned char *total)
{
    const struct last_cell *c = (const void *)total;
    return c->n != 0 && c->time_ns >= how->since_ns &&
           w->now_ns < add_sat(c->time_ns, w->signals[signal].hold_ns);
}

/* Has the whole window been observed? */
static bool whole(const struct mp_window *w, const struct mp_read *how, const struct acc *a)
{
    int64_t end = mp_read_end(w, how, a->signal);
    if (how->since_ns > 0) return add_sat(how->since_ns, a->window_ns) <= end;
    if (w->limits.always_alive) return true;
    return add_sat(w->signals[a->signal].observed_ns, a->window_ns) <= end;
}

bool mp_agg_answer(struct mp_window *w, const struct mp_read *how, uint32_t agg, uint32_t flags,
                   uint32_t key, unsigned char *total, struct mp_value *out)
{
    const struct mp_agg_row *row = &w->p->agg[agg];
    const struct acc *a = &w->accs[w->agg_acc[agg]];
    if (a->family == FAM_SEEN) {
        *out = mp_value_bool(key != MP_NONE && seen_now(how, a->signal, total));
        return true;
    }
    if (mp_window_silent(w, a->signal)) return false;
    if (a->family == FAM_LAST) {
        return last_known(w, how, a->signal, total) && mp_agg_value(w, agg, total, out);
    }
    if (mp_agg_counting(row->kind)) {
        bool verifying = how->settled && how->since_ns > 0; /* R39: no lower bounds there */
        bool enough = whole(w, how, a) || ((flags & MP_COL_LOWER_BOUND) != 0 && !verifying);
        return enough && mp_agg_value(w, agg, total, out);
    }
    uint64_t least = row->min_samples != 0 ? row->min_samples : 1;
    return mp_acc_samples(total) >= least && mp_agg_value(w, agg, total, out);
}

uint64_t mp_window_samples(struct mp_window *w, const struct mp_read *how, uint32_t agg,
                           uint32_t key)
{
    const struct acc *a = &w->accs[w->agg_acc[agg]];
    unsigned char *total = mp_agg_total(w, how, agg, key);
    if (a->family == FAM_SEEN) return key != MP_NONE && seen_now(how, a->signal, total);
    if (mp_window_silent(w, a->signal)) return 0;
    if (a->family == FAM_LAST) return last_known(w, how, a->signal, total);
    return mp_acc_samples(total);
}
