/* SPDX-License-Identifier: Apache-2.0
 * Moments: an indexed heap for event time and one for the monotonic clock. What is due fires at its
 * own time, in order of (time, rule, key), before whatever made the time pass (R1).
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

enum mp_err en_heap_create(struct mp_arena *a, uint32_t ids, struct en_heap *out)
{
    out->ids = MP_NEW(a, uint32_t, ids);
    out->pos = MP_NEW(a, uint32_t, ids);
    out->at = MP_NEW(a, int64_t, ids);
    if (out->ids == NULL || out->pos == NULL || out->at == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < ids; i++) out->pos[i] = EN_NONE;
    out->count = 0;
    return MP_OK;
}

/* Cases are ordered by rule and key, and come after the clocks and keys that they may read. */
static int compare_ids(const struct mp_engine *e, uint32_t a, uint32_t b)
{
    bool case_a = a < e->limits.incidents, case_b = b < e->limits.incidents;
    if (case_a != case_b) return case_a ? 1 : -1;
    if (!case_a) return a < b ? -1 : a > b;
    const struct en_case *x = &e->cases[a], *y = &e->cases[b];
    if (x->rule != y->rule) return x->rule < y->rule ? -1 : 1;
    if (x->key == y->key) return 0;
    if (!en_has_rule(x)) return x->id < y->id ? -1 : x->id > y->id;
    return mp_window_key_cmp(e->window, x->grouping, x->key, y->key);
}

static bool before(const struct mp_engine *e, const struct en_heap *h, uint32_t a, uint32_t b)
{
    if (h->at[a] != h->at[b]) return h->at[a] < h->at[b];
    return compare_ids(e, a, b) < 0;
}

static void place(struct en_heap *h, uint32_t slot, uint32_t id)
{
    h->ids[slot] = id;
    h->pos[id] = slot;
}

static void sift_up(const struct mp_engine *e, struct en_heap *h, uint32_t slot)
{
    uint32_t id = h->ids[slot];
    while (slot > 0) {
        uint32_t parent = (slot - 1) / 2;
        if (!before(e, h, id, h->ids[parent])) break;
        place(h, slot, h->ids[parent]);
        slot = parent;
    }
    place(h, slot, id);
}

static void sift_down(const struct mp_engine *e, struct en_heap *h, uint32_t slot)
{
    uint32_t id = h->ids[slot];
    for (;;) {
        uint32_t child = 2 * slot + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && before(e, h, h->ids[child + 1], h->ids[child])) child++;
        if (!before(e, h, h->ids[child], id)) break;
        place(h, slot, h->ids[child]);
        slot = child;
    }
    place(h, slot, id);
}

static void take_out(const struct mp_engine *e, struct en_heap *h, uint32_t id)
{
    uint32_t slot = h->pos[id], last = h->ids[--h->count];
    h->pos[id] = EN_NONE;
    if (last == id) return;
    place(h, slot, last);
    sift_up(e, h, slot);
    sift_down(e, h, h->pos[last]);
}

void en_heap_set(struct mp_engine *e, struct en_heap *h, uint32_t id, int64_t at)
{
    if (h->pos[id] != EN_NONE) {
        if (h->at[id] == at) return;
        take_out(e, h, id);
    }
    if (at == MP_NEVER_NS) return;
    h->at[id] = at;
    place(h, h->count, id);
    h->count++;
    sift_up(e, h, h->count - 1);
}

int64_t en_heap_first(const struct en_heap *h)
{
    return h->count > 0 ? h->at[h->ids[0]] : MP_NEVER_NS;
}

static bool pop_due(struct mp_engine *e, struct en_heap *h, int64_t at, uint32_t *id)
{
    if (en_heap_first(h) > at) return false;
    *id = h->ids[0];
    take_out(e, h, *id);
    return true;
}

/* ---- firing ---- */

static void fire_key(struct mp_engine *e, uint32_t id)
{
    for (uint32_t g = 0; g < e->p->grouping_count; g++) {
        uint32_t at = e->groupings[g].timer_at;
        if (at == EN_NONE || id < at || id - at >= mp_window_key_cap(e->window, g)) continue;
        uint32_t key = id - at;
        if (mp_window_next_key(e->window, g, key) == key) en_judge_key(e, g, key);
        return;
    }
}

static void fire_event(struct mp_engine *e, uint32_t id)
{
    if (id < e->limits.incidents) {
        en_case_due(e, &e->cases[id]);
    } else if (id < e->key_ids) {
        struct en_clock *c = &e->clocks[id - e->hold_ids];
        en_judge_key(e, e->p->hold[c->hold].grouping, c->key);
    } else {
        fire_key(e, id);
    }
}

static void fire_mono(struct mp_engine *e, uint32_t id)
{
    uint32_t backends = e->limits.incidents, messages = backends + EN_BACKENDS_MAX;
    if (id < backends) {
        en_case_mono_due(e, &e->cases[id]);
    } else if (id < messages) {
        en_backend_due(e, id - backends);
    } else {
        en_message_due(e, id - messages);
    }
}

static bool reads_inventory(const struct en_grouping *g) { return g->inventory || g->on_silence; }
static bool minds_silence(const struct en_grouping *g) { return g->on_silence; }

/* Values of other keys are published at every slot (R16); inventory is looked at as often. */
static void fire_slot(struct mp_engine *e)
{
    e->slot_ns = 0;
    bool inventory = e->inventory_dirty;
    e->inventory_dirty = false;
    en_judge_slot(e);
    if (inventory) en_judge_all(e, reads_inventory);
}

void en_silence_changed(struct mp_engine *e)
{
    en_judge_all(e, minds_silence);
    for (uint32_t i = 0; i < e->case_end; i++) {
        if (e->cases[i].used) en_case_due(e, &e->cases[i]);
    }
}

struct next {
    enum { NOTHING, EVENT, MONO, SLOT, SILENCE } kind;
    int64_t at;
};

static void earlier(struct next *n, int kind, int64_t at)
{
    if (at < n->at) *n = (struct next){kind, at};
}

/* Of two cases that are due at one instant on two clocks, is it the turn of the monotonic one?
 * Clocks of holds and timers of keys come before cases, backends and messages after them. */
static bool mono_first(const struct mp_engine *e)
{
    uint32_t event = e->events.ids[0], mono = e->monos.ids[0];
    if (event >= e->limits.incidents || mono >= e->limits.incidents || event == mono) return false;
    return compare_ids(e, mono, event) < 0;
}

/* What is due first, as event time; moments of the monotonic clock are shifted by `offset`. */
static struct next find_next(const struct mp_engine *e, int64_t offset)
{
    struct next n = {NOTHING, MP_NEVER_NS};
    int64_t mono = en_heap_first(&e->monos);
    if (e->slot_ns != 0) earlier(&n, SLOT, e->slot_ns);
    if (e->options.clock != MP_ENGINE_TEST) earlier(&n, SILENCE, mp_window_next_silence(e->window));
    earlier(&n, EVENT, en_heap_first(&e->events));
    if (mono == MP_NEVER_NS) return n;
    if (n.kind == EVENT && n.at == mono + offset && mono_first(e)) n.kind = MONO;
    earlier(&n, MONO, mono + offset);
    return n;
}

static void set_time(struct mp_engine *e, int64_t now_ns, int64_t mono_ns)
{
    if (now_ns > e->now_ns) e->now_ns = now_ns;
    if (mono_ns > e->mono_ns) e->mono_ns = mono_ns;
    mp_window_advance(e->window, e->now_ns);
}

void en_run_deadlines(struct mp_engine *e, int64_t now_ns, int64_t mono_ns)
{
    int64_t offset = now_ns - mono_ns;
    MP_ASSERT(!e->advancing);
    e->advancing = true;
    for (;;) {
        struct next n = find_next(e, offset);
        if (n.kind == NOTHING || n.at > now_ns) break;
        set_time(e, n.at, n.at - offset);
        uint32_t id;
        switch (n.kind) {
        case EVENT: /* unless its key was forgotten just now, as time came to it */
            if (pop_due(e, &e->events, n.at, &id)) fire_event(e, id);
            break;
        case MONO:
            if (pop_due(e, &e->monos, n.at - offset, &id)) fire_mono(e, id);
            break;
        case SLOT: fire_slot(e); break;
        case SILENCE: en_silence_changed(e); break; /* the window has got there: it is told once */
        case NOTHING: break;
        }
        en_flush(e);
        en_feedback_pump(e);
    }
    set_time(e, now_ns, mono_ns);
    e->advancing = false;
}

bool en_pace(const struct mp_engine *e, struct en_pace *p, uint32_t limit)
{
    int64_t second = e->now_ns / 1000000000;
    if (p->second != second) *p = (struct en_pace){second, 0};
    return p->count++ < limit;
}

int64_t en_next_deadline(const struct mp_engine *e)
{
    return find_next(e, e->now_ns - e->mono_ns).at;
}
