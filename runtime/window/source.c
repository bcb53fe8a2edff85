/* SPDX-License-Identifier: Apache-2.0
 * Sources: who has been heard when (R6), what is late, ahead or twice (R1, R9), and counters.
 */
#include "window/window_priv.h"

static void heard(struct mp_window *w, uint32_t signal, uint32_t source)
{
    struct signal_state *s = &w->signals[signal];
    if (w->now_ns <= 0 && !w->limits.always_alive) return; /* a replay that has no time yet */
    uint32_t i = source < w->limits.sources_max ? source : w->limits.sources_max - 1;
    s->heard_ns[i] = w->now_ns;
    int64_t until = add_sat(w->now_ns, s->hold_ns);
    if (until > s->alive_until_ns) s->alive_until_ns = until;
    if (s->observed_ns == INT64_MAX) s->observed_ns = w->now_ns;
}

void mp_window_alive(struct mp_window *w, uint32_t signal, uint32_t source)
{
    heard(w, signal, source);
}

void mp_window_always(struct mp_window *w, uint32_t signal)
{
    w->signals[signal].alive_until_ns = INT64_MAX;
    w->signals[signal].observed_ns = 0;
}

void mp_window_source_closed(struct mp_window *w, uint32_t source)
{
    if (source >= w->limits.sources_max) return; /* one of many that share a place */
    for (uint32_t k = 0; k < w->p->signal_count; k++) {
        struct signal_state *s = &w->signals[k];
        s->heard_ns[source] = NEVER;
        s->alive_until_ns = NEVER;
        for (uint32_t i = 0; i < w->limits.sources_max; i++) {
            if (s->heard_ns[i] == NEVER) continue;
            int64_t until = add_sat(s->heard_ns[i], s->hold_ns);
            if (until > s->alive_until_ns) s->alive_until_ns = until;
        }
    }
}

bool mp_window_silent(const struct mp_window *w, uint32_t signal)
{
    return !w->limits.always_alive && w->now_ns >= w->signals[signal].alive_until_ns;
}

/* ---- ids ---- */

static bool id_in(const uint64_t *table, uint32_t mask, uint64_t id, uint32_t *at)
{
    uint32_t i = (uint32_t)(id >> 20) & mask;
    for (; table[i] != 0; i = (i + 1) & mask) {
        if (table[i] == id) return true;
    }
    *at = i;
    return false;
}

/* Ids are kept for one to two latenesses: older records are late anyway. */
static void ids_turn(struct mp_window *w)
{
    if (w->id_from_ns != NEVER && w->now_ns - w->id_from_ns < w->id_keep_ns) return;
    bool both = w->id_from_ns != NEVER && w->now_ns - w->id_from_ns >= 2 * w->id_keep_ns;
    uint64_t *elder = w->ids[1];
    if (w->id_count[1] != 0) memset(elder, 0, ((size_t)w->id_mask + 1) * sizeof *elder);
    w->ids[1] = w->ids[0];
    w->id_count[1] = w->id_count[0];
    w->ids[0] = elder;
    w->id_count[0] = 0;
    if (both && w->id_count[1] != 0) {
        memset(w->ids[1], 0, ((size_t)w->id_mask + 1) * sizeof *elder);
        w->id_count[1] = 0;
    }
    w->id_from_ns = w->now_ns;
}

static bool twice(struct mp_window *w, const struct mp_record *r)
{
    uint64_t words[2] = {r->id, r->signal};
    uint64_t id = mp_siphash_words(w->hash_key, words, 2) | 1;
    ids_turn(w);
    uint32_t at = 0;
    if (id_in(w->ids[1], w->id_mask, id, &at) || id_in(w->ids[0], w->id_mask, id, &at)) return true;
    if (w->id_count[0] < w->limits.ids_max) {
        w->ids[0][at] = id;
        w->id_count[0]++;
    }
    return false;
}

enum mp_admit mp_window_admit(struct mp_window *w, const struct mp_record *r)
{
    MP_ASSERT(r->signal < w->p->signal_count);
    heard(w, r->signal, r->source);
    if (r->time_ns > add_sat(w->now_ns, MP_WINDOW_AHEAD_NS)) w->counts.ahead++;
    const struct signal_state *s = &w->signals[r->signal];
    if (r->time_ns < w->now_ns - s->in_time_ns) {
        w->counts.late++;
        return s->gauge && r->time_ns > w->now_ns - s->hold_ns ? MP_ADMIT_LAST : MP_ADMIT_LATE;
    }
    if (r->id != 0 && twice(w, r)) {
        w->counts.duplicates++;
        return MP_ADMIT_DUPLICATE;
    }
    w->counts.records++;
    return MP_ADMIT_OK;
}

/* ---- counters ---- */

static bool signal_hash(const struct mp_window *w, const struct mp_record *r, uint64_t *out)
{
    const struct mp_signal_row *s = &w->p->signal[r->signal];
    uint64_t words[KEYS_MAX + 1] = {r->signal};
    uint32_t count = s->keys_count < KEYS_MAX ? s->keys_count : KEYS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_signal_key_row *k = &w->p->signal_key[s->keys_at + i];
        uint32_t slot = k->field - s->fields_at;
        if (!bit(r->known, slot)) return false;
        words[i + 1] =
            mp_window_hash(w, mp_type_rep(w->p->entity[k->entity].key_type), r->field[slot]);
    }
    *out = mp_siphash_words(w->hash_key, words, count + 1) | 1;
    return true;
}

static struct growth_cell *growth_cell(struct growth *g, uint64_t hash, bool *found)
{
    struct growth_cell *set = &g->cells[((hash >> 24) & g->set_mask) * 4], *oldest = set;
    *found = true;
    for (uint32_t i = 0; i < 4; i++) {
        if (set[i].hash == hash) return &set[i];
        if (set[i].hash == 0 || (oldest->hash != 0 && set[i].time_ns < oldest->time_ns)) {
            oldest = &set[i];
        }
    }
    *found = false;
    return oldest;
}

static bool growth_delta(const struct growth *g, struct mp_value was, struct mp_value v,
                         struct mp_value *out)
{
    if (g->rep == MP_REP_F) {
        double a = mp_value_as_num(was), b = mp_value_as_num(v);
        *out = mp_value_num(b < a ? b : b - a);
        return true;
    }
    int64_t a = mp_value_as_int(was), b = mp_value_as_int(v), delta = b;
    if (b >= a && __builtin_sub_overflow(b, a, &delta)) return false;
    *out = mp_value_int(delta);
    return true;
}

void mp_growth_take(struct mp_window *w, const struct mp_record *r,
                    const struct mp_outputs *outputs)
{
    for (uint32_t i = 0; i < w->growth_count; i++) {
        struct growth *g = &w->growths[i];
        uint64_t hash;
        g->known = false;
        if (g->signal != r->signal || !bit(outputs->known, g->value) || !signal_hash(w, r, &hash)) {
            continue;
        }
        bool found;
        struct growth_cell *c = growth_cell(g, hash, &found);
        struct mp_value v = outputs->value[g->value];
        int64_t time_ns = r->time_ns < w->now_ns ? r->time_ns : w->now_ns;
        if (found && time_ns < c->time_ns) continue; /* overtaken by a newer one */
        /* The first value is where growth is counted from. */
        g->known = found && growth_delta(g, c->v, v, &g->delta);
        if (!found) {
            g->delta = g->rep == MP_REP_F ? mp_value_num(0) : mp_value_int(0);
            g->known = true;
        }
        *c = (struct growth_cell){hash, time_ns, v};
    }
}
