/* SPDX-License-Identifier: Apache-2.0
 * When a value changes although nothing arrives (R4, R5, R8).
 */
#include "window/window_priv.h"

static int64_t sooner(int64_t a, int64_t b) { return a < b ? a : b; }

/* `at` if it lies ahead. */
static int64_t ahead(const struct mp_window *w, int64_t at)
{
    return at > w->now_ns ? at : INT64_MAX;
}

static int64_t next_slot(const struct mp_window *w)
{
    return (floor_div(w->now_ns, MP_WINDOW_SLOT_NS) + 1) * MP_WINDOW_SLOT_NS;
}

/* When the window becomes whole (R5, R39). */
static int64_t becomes_whole(const struct mp_window *w, const struct mp_read *how,
                             const struct acc *a)
{
    const struct signal_state *s = &w->signals[a->signal];
    int64_t from = how->since_ns > 0 ? how->since_ns : s->observed_ns;
    if (how->since_ns <= 0 && (w->limits.always_alive || from == INT64_MAX)) return INT64_MAX;
    int64_t at = add_sat(from, a->window_ns);
    return ahead(w, how->settled ? add_sat(at, s->lateness_ns) : at);
}

static const struct last_cell *last_of(const struct mp_window *w, const struct acc *a, uint32_t key)
{
    unsigned char *block = key_block(&w->groups[a->grouping], key);
    return (const struct last_cell *)(const void *)acc_total(a, block);
}

static int64_t last_ends(const struct mp_window *w, const struct acc *a, uint32_t key)
{
    const struct last_cell *c = last_of(w, a, key);
    return c->n == 0 ? INT64_MAX : ahead(w, add_sat(c->time_ns, w->signals[a->signal].hold_ns));
}

/* The next time that another set of panes is read. Nothing moves in an empty ring. */
static int64_t panes_move(const struct mp_window *w, const struct mp_read *how, const struct acc *a,
                          uint32_t key)
{
    const struct ring *ring = acc_ring(a, key_block(&w->groups[a->grouping], key));
    if (ring->head == NEVER) return INT64_MAX;
    int64_t end = mp_read_end(w, how, a->signal);
    int64_t first = floor_div(end - a->window_ns, a->pane_ns);
    if (first > ring->head) return INT64_MAX;
    if (!how->settled) return (first + 1) * a->pane_ns + a->window_ns;
    int64_t next = (floor_div(end, a->pane_ns) + 1) * a->pane_ns;
    return add_sat(next, w->signals[a->signal].lateness_ns);
}

/* When the newest pane with a sample leaves the window. */
static int64_t empties(const struct mp_window *w, const struct acc *a, uint32_t key)
{
    unsigned char *block = key_block(&w->groups[a->grouping], key);
    const struct ring *ring = acc_ring(a, block);
    if (ring->head == NEVER) return INT64_MAX;
    for (int64_t pane = ring->head; pane > ring->head - a->panes; pane--) {
        int64_t leaves = add_sat((pane + 1) * a->pane_ns, a->window_ns);
        if (leaves <= w->now_ns) return INT64_MAX;
        if (mp_acc_samples(acc_pane(a, block, pane_slot(a, pane))) != 0) return leaves;
    }
    return INT64_MAX;
}

/* The key whose aggregate a column reads, MP_NONE where none lives. */
static uint32_t key_read(const struct mp_window *w, const struct mp_column_row *c,
                         uint32_t grouping, uint32_t key)
{
    if (c->kind != MP_COL_REACHED) return key;
    struct mp_value values[KEYS_MAX];
    /* Reading the inventory changes nothing that anybody sees. */
    struct mp_window *mutable = (struct mp_window *)(uintptr_t)w;
    const struct mp_value *keys = mp_window_key(w, grouping, key);
    if (!mp_read_walks(mutable, NULL, keys, c->walks_at, c->walks_count, values)) return MP_NONE;
    return mp_window_find(w, w->p->agg[c->agg].grouping, values);
}

static bool of_others(uint32_t kind)
{
    return kind == MP_COL_POOLED || kind == MP_COL_MEMBERS || kind == MP_COL_PUBLISHED ||
           kind == MP_COL_SET_SIZE;
}

static bool of_agg(uint32_t kind)
{
    return kind == MP_COL_AGG || kind == MP_COL_SAMPLES || kind == MP_COL_REACHED;
}

int64_t mp_window_next_change(const struct mp_window *w, const struct mp_read *how,
                              uint32_t grouping, uint32_t key)
{
    const struct mp_grouping_row *g = &w->p->grouping[grouping];
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < g->columns_count; i++) {
        const struct mp_column_row *c = &w->p->column[g->columns_at + i];
        if (of_others(c->kind)) next = sooner(next, next_slot(w));
        if (!of_agg(c->kind)) continue;
        const struct acc *a = &w->accs[w->agg_acc[c->agg]];
        uint32_t of = key_read(w, c, grouping, key);
        if (a->family == FAM_SEEN) continue;
        if (a->family == FAM_LAST) {
            if (of != MP_NONE) next = sooner(next, last_ends(w, a, of));
            continue;
        }
        next = sooner(next, becomes_whole(w, how, a));
        if (of != MP_NONE) next = sooner(next, panes_move(w, how, a, of));
    }
    return next;
}

int64_t mp_window_next_shrink(const struct mp_window *w, uint32_t grouping, uint32_t key)
{
    static const struct mp_read now = {0};
    const struct mp_grouping_row *g = &w->p->grouping[grouping];
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < g->columns_count; i++) {
        const struct mp_column_row *c = &w->p->column[g->columns_at + i];
        if (of_others(c->kind)) next = sooner(next, next_slot(w));
        if (!of_agg(c->kind)) continue;
        const struct acc *a = &w->accs[w->agg_acc[c->agg]];
        uint32_t of = key_read(w, c, grouping, key);
        if (a->family == FAM_SEEN) continue;
        if (a->family != FAM_LAST) next = sooner(next, becomes_whole(w, &now, a));
        if (of == MP_NONE) continue;
        next = sooner(next, a->family == FAM_LAST ? last_ends(w, a, of) : empties(w, a, of));
    }
    return next;
}

int64_t mp_window_next_silence(const struct mp_window *w)
{
    int64_t next = INT64_MAX;
    if (w->limits.always_alive) return next;
    for (uint32_t i = 0; i < w->p->signal_count; i++) {
        next = sooner(next, ahead(w, w->signals[i].alive_until_ns));
    }
    return next;
}
