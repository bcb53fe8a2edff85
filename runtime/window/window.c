/* SPDX-License-Identifier: Apache-2.0
 * Creation, time, and the way of one record into its windows.
 */
#include "window/window.h"

#include "window/window_priv.h"

#define GROWTH_KEYS_MAX 65536u
#define TIME_MAX_NS (INT64_MAX / 2) /* the year 2116: sums with a window do not overflow */

/* ---- creation ---- */

static bool carve_group(struct mp_arena *arena, struct group *g)
{
    uint32_t slots = mp_window_power_above(g->cap * 2);
    size_t cap = g->cap;
    g->index = MP_NEW(arena, uint64_t, slots);
    g->index_mask = slots - 1;
    g->heads = mp_arena_alloc_raw(arena, cap * sizeof *g->heads, 64);
    g->values =
        mp_arena_alloc_raw(arena, g->key_count > 1 ? cap * g->key_count * sizeof *g->values : 0,
                           16);
    g->published = mp_arena_alloc_raw(arena, cap * g->published_count * sizeof *g->published, 16);
    g->blocks = mp_arena_alloc_raw(arena, cap * g->block_bytes, 64);
    return g->index != NULL && g->heads != NULL && g->values != NULL && g->published != NULL &&
           g->blocks != NULL;
}

static size_t text_bytes(const struct mp_window *w)
{
    size_t bytes = 4096;
    for (uint32_t i = 0; i < w->p->grouping_count; i++) {
        const struct group *g = &w->groups[i];
        for (uint32_t k = 0; k < g->key_count; k++) {
            bytes += g->rep[k] == MP_REP_T ? (size_t)g->cap * KEY_TEXT_SHARE : 0;
        }
    }
    return bytes;
}

static bool carve_growths(struct mp_window *w, struct mp_arena *arena)
{
    for (uint32_t i = 0; i < w->growth_count; i++) {
        uint32_t keys = w->limits.keys_max < GROWTH_KEYS_MAX ? w->limits.keys_max : GROWTH_KEYS_MAX;
        uint32_t sets = mp_window_power_above(keys / 2);
        w->growths[i].cells = MP_NEW(arena, struct growth_cell, (size_t)sets * 4);
        w->growths[i].set_mask = sets - 1;
        if (w->growths[i].cells == NULL) return false;
    }
    return true;
}

static bool carve_work(struct mp_window *w, struct mp_arena *arena)
{
    uint32_t ids = mp_window_power_above(w->limits.ids_max * 2);
    uint32_t overrides = mp_window_power_above(w->limits.overrides_max * 2);
    w->gather = mp_arena_alloc(arena, w->total_max, 64);
    w->gather2 = mp_arena_alloc(arena, w->total_max, 64);
    w->members = MP_NEW(arena, struct mp_value, MP_WALK_SET_MAX);
    w->ids[0] = MP_NEW(arena, uint64_t, ids);
    w->ids[1] = MP_NEW(arena, uint64_t, ids);
    w->id_mask = ids - 1;
    w->overrides = MP_NEW(arena, struct override, overrides);
    w->override_mask = overrides - 1;
    for (uint32_t i = 0; i < NEST_MAX; i++) {
        w->member_row[i].known = MP_NEW(arena, uint64_t, w->columns_max / 64 + 1);
        w->member_row[i].cell = MP_NEW(arena, struct mp_value, w->columns_max);
        if (w->member_row[i].known == NULL || w->member_row[i].cell == NULL) return false;
    }
    return w->gather != NULL && w->gather2 != NULL && w->members != NULL && w->ids[0] != NULL &&
           w->ids[1] != NULL && w->overrides != NULL && carve_growths(w, arena);
}

static enum mp_err carve(struct mp_window *w, struct mp_arena *arena)
{
    for (uint32_t i = 0; i < w->p->grouping_count; i++) {
        if (!carve_group(arena, &w->groups[i])) return MP_ENOMEM;
    }
    size_t bytes = text_bytes(w);
    void *texts = mp_arena_alloc_raw(arena, bytes, 16);
    if (texts == NULL || !carve_work(w, arena)) return MP_ENOMEM;
    mp_pool_init(&w->texts, texts, bytes);
    return MP_OK;
}

/* The mesh, a grouping without keys, lives for ever in slot 0. */
static void begin_mesh(struct mp_window *w)
{
    for (uint32_t i = 0; i < w->p->grouping_count; i++) {
        struct group *g = &w->groups[i];
        if (g->key_count != 0) continue;
        g->heads[0] =
            (struct key_head){.alive = true, .pins = 1, .generation = 1, .last_ns = NEVER};
        g->top = g->alive = 1;
        for (uint32_t k = 0; k < g->acc_count; k++) mp_acc_open(&w->accs[g->acc_at + k], g->blocks);
        for (uint32_t k = 0; k < g->published_count; k++) {
            g->published[k] = (struct published){.slot = NEVER};
        }
        w->counts.keys_alive++;
    }
}

static enum mp_err plan_and_carve(struct mp_window *w, struct mp_arena *arena)
{
    MP_TRY(mp_window_plan(w, arena));
    MP_TRY(mp_window_fit(w));
    return carve(w, arena);
}

enum mp_err mp_window_create(struct mp_arena *arena, const struct mp_program *p,
                             const struct mp_window_limits *limits, struct mp_hash_key hash_key,
                             struct mp_inventory *inventory, const struct mp_window_hooks *hooks,
                             struct mp_window **out)
{
    struct mp_window *w = MP_NEW(arena, struct mp_window, 1);
    if (w == NULL) return MP_ENOMEM;
    w->p = p;
    w->inventory = inventory;
    w->hash_key = hash_key;
    w->limits = mp_window_whole_limits(p, limits);
    w->now_ns = NEVER;
    w->id_keep_ns = MP_WINDOW_AHEAD_NS;
    w->id_from_ns = NEVER;
    w->epoch = 1;
    if (hooks != NULL) w->hooks = *hooks;
    MP_TRY(plan_and_carve(w, arena));
    begin_mesh(w);
    *out = w;
    return MP_OK;
}

size_t mp_window_bytes(const struct mp_program *p, const struct mp_window_limits *limits)
{
    /* The plan itself, on an arena of its own; the memory of keys is only added up. */
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    struct mp_window w = {.p = p, .limits = mp_window_whole_limits(p, limits)};
    size_t bytes = SIZE_MAX;
    if (mp_window_plan(&w, &arena) == MP_OK && mp_window_fit(&w) == MP_OK) {
        bytes = arena.used_bytes + sizeof w + 65536;
        for (uint32_t i = 0; i < p->grouping_count; i++) {
            const struct group *g = &w.groups[i];
            bytes += (size_t)g->cap * mp_window_key_bytes(g);
            bytes += (size_t)mp_window_power_above(g->cap * 2) * sizeof(uint64_t);
        }
        bytes += (size_t)mp_window_power_above(w.limits.ids_max * 2) * 2 * sizeof(uint64_t);
        bytes += (size_t)mp_window_power_above(w.limits.overrides_max * 2) *
            sizeof(struct override);
        bytes += (size_t)w.growth_count * GROWTH_KEYS_MAX * 4 * sizeof(struct growth_cell);
        bytes += MP_WALK_SET_MAX * sizeof(struct mp_value) + 2 * w.total_max;
        bytes += NEST_MAX * (size_t)(w.columns_max + 8) * (sizeof(struct mp_value) + 1);
    }
    mp_arena_free(&arena);
    return bytes;
}

/* ---- time ---- */

void mp_window_advance(struct mp_window *w, int64_t now_ns)
{
    if (now_ns > TIME_MAX_NS) now_ns = TIME_MAX_NS;
    if (now_ns <= w->now_ns) return;
    w->now_ns = now_ns;
    mp_inventory_advance(w->inventory, now_ns);
    mp_window_forget_idle(w);
}

/* ---- records ---- */

static bool feed_keys(struct mp_window *w, const struct feed_plan *f, const struct mp_record *r,
                      struct mp_value *out)
{
    for (uint32_t i = 0; i < f->walk_count; i++) {
        uint32_t slot = f->direct[i];
        if (slot == MP_NONE) {
            if (!mp_walk_resolve(w->inventory, f->walks_at + i, r, NULL, &out[i])) return false;
        } else {
            if (!bit(r->known, slot)) return false;
            out[i] = r->field[slot];
        }
    }
    return true;
}

/* The samples of a few accumulators first, then all of them are added: what they touch is on its
 * way from memory meanwhile. */
#define SAMPLES_AT_ONCE 16

static void add_samples(struct mp_window *w, const uint32_t *accs, uint32_t count, bool last_only,
                        unsigned char *block,
                        const struct mp_record *r, const struct mp_outputs *outputs)
{
    struct acc_sample samples[SAMPLES_AT_ONCE];
    uint32_t fit[SAMPLES_AT_ONCE], fit_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct acc_sample *s = &samples[fit_count];
        if (last_only && w->accs[accs[i]].family != FAM_LAST) continue;
        if (!mp_acc_sample(w, &w->accs[accs[i]], r, outputs, s)) continue;
        mp_acc_expect_sample(&w->accs[accs[i]], block, s);
        fit[fit_count++] = accs[i];
    }
    for (uint32_t i = 0; i < fit_count; i++) mp_acc_add(w, &w->accs[fit[i]], block, r, &samples[i]);
}

static uint32_t feed_key(struct mp_window *w, const struct feed_plan *f, const struct mp_record *r,
                         const struct mp_value *keys, bool *fresh)
{
    const struct group *g = &w->groups[f->grouping];
    *fresh = false;
    bool expected = w->expected == r && w->expected_number == r->number && f->hashed;
    if (!expected) return mp_window_birth(w, f->grouping, keys, fresh);
    if (f->expected != MP_NONE && mp_window_key_is(g, f->expected, keys)) return f->expected;
    return mp_window_birth_hashed(w, f->grouping, keys, f->hash, fresh);
}

static bool feed_one(struct mp_window *w, const struct feed_plan *f, const struct mp_record *r,
                     const struct mp_outputs *outputs, bool last_only, struct mp_touch *out)
{
    struct group *g = &w->groups[f->grouping];
    struct mp_value keys[KEYS_MAX];
    if (!feed_keys(w, f, r, keys)) {
        w->counts.keyless++;
        return false;
    }
    bool fresh;
    uint32_t key = feed_key(w, f, r, keys, &fresh);
    if (key == MP_NONE) return false;
    struct key_head *h = &g->heads[key];
    int64_t at_ns = r->time_ns < w->now_ns ? r->time_ns : w->now_ns;
    if (at_ns > h->last_ns) h->last_ns = at_ns;
    if (g->key_count != 0) mp_window_active(w, g, key);
    for (uint32_t i = 0; i < f->acc_count; i += SAMPLES_AT_ONCE) {
        uint32_t rest = f->acc_count - i, count = rest < SAMPLES_AT_ONCE ? rest : SAMPLES_AT_ONCE;
        add_samples(w, w->feed_accs + f->acc_at + i, count, last_only, key_block(g, key), r,
                    outputs);
    }
    *out = (struct mp_touch){f->grouping, key, fresh};
    return true;
}

static bool direct_keys(const struct feed_plan *f, const struct mp_record *r, struct mp_value *keys)
{
    for (uint32_t i = 0; i < f->walk_count; i++) {
        uint32_t slot = f->direct[i];
        if (slot == MP_NONE || !bit(r->known, slot)) return false;
        keys[i] = r->field[slot];
    }
    return true;
}

/* Where the key stands in the index ... */
static void expect_index(struct mp_window *w, struct feed_plan *f, const struct mp_record *r)
{
    struct mp_value keys[KEYS_MAX];
    f->hashed = direct_keys(f, r, keys);
    if (f->hashed) f->hash = mp_window_expect_hash(w, &w->groups[f->grouping], keys);
}

/* ... then the key, and the windows it has. */
static void expect_key(struct mp_window *w, struct feed_plan *f, const struct mp_record *r)
{
    const struct group *g = &w->groups[f->grouping];
    struct mp_value keys[KEYS_MAX];
    f->expected = MP_NONE;
    if (!f->hashed || !direct_keys(f, r, keys)) return;
    f->expected = g->key_count == 0 ? 0 : mp_window_find_hashed(g, f->hash, keys);
    if (f->expected == MP_NONE) return;
    unsigned char *block = key_block(g, f->expected);
    for (uint32_t i = 0; i < f->acc_count; i++) {
        mp_acc_expect(w, &w->accs[w->feed_accs[f->acc_at + i]], block);
    }
}

void mp_window_expect(struct mp_window *w, const struct mp_record *r)
{
    const struct mp_signal_row *s = &w->p->signal[r->signal];
    w->expected = r;
    w->expected_number = r->number;
    for (uint32_t i = 0; i < s->feeds_count; i++) expect_index(w, &w->feeds[s->feeds_at + i], r);
    for (uint32_t i = 0; i < s->feeds_count; i++) expect_key(w, &w->feeds[s->feeds_at + i], r);
}

static uint32_t feed_all(struct mp_window *w, const struct mp_record *r,
                         const struct mp_outputs *outputs, bool last_only, struct mp_touch *touched)
{
    const struct mp_signal_row *s = &w->p->signal[r->signal];
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->feeds_count; i++) {
        const struct feed_plan *f = &w->feeds[s->feeds_at + i];
        if (feed_one(w, f, r, outputs, last_only, &touched[count])) count++;
    }
    return count;
}

uint32_t mp_window_apply(struct mp_window *w, const struct mp_record *r,
                         const struct mp_outputs *outputs, struct mp_touch *touched)
{
    if (w->growth_count != 0) mp_growth_take(w, r, outputs);
    return feed_all(w, r, outputs, false, touched);
}

uint32_t mp_window_apply_last(struct mp_window *w, const struct mp_record *r,
                              const struct mp_outputs *outputs, struct mp_touch *touched)
{
    return feed_all(w, r, outputs, true, touched);
}

void mp_window_counts(const struct mp_window *w, struct mp_window_counts *out) { *out = w->counts; }
