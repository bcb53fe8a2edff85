/* SPDX-License-Identifier: Apache-2.0
 * Keys: a fixed open-addressing table per grouping, idle keys in order of activity, birth and death
 * (R12).
 */
#include "window/window_priv.h"

uint64_t mp_window_hash(const struct mp_window *w, enum mp_rep rep, struct mp_value v)
{
    if (rep == MP_REP_T && mp_value_text_len(v) > MP_TEXT_INLINE) {
        mp_str s = mp_value_as_text(&v);
        return mp_siphash(w->hash_key, s.ptr, s.len);
    }
    return mp_siphash_words(w->hash_key, v.w, 2);
}

static uint32_t hash_keys(const struct mp_window *w, const struct group *g,
                          const struct mp_value *values)
{
    uint64_t words[KEYS_MAX];
    for (uint32_t i = 0; i < g->key_count; i++) words[i] = mp_window_hash(w, g->rep[i], values[i]);
    if (g->key_count == 1) return (uint32_t)(words[0] >> 32);
    return (uint32_t)(mp_siphash_words(w->hash_key, words, g->key_count) >> 32);
}

/* mp_value_eq, with the common case in place: equal words are equal values of every representation
 * but long text. */
static inline bool same_value(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    if (a.w[0] != b.w[0]) return rep == MP_REP_F && mp_value_eq(rep, a, b);
    if (a.w[1] == b.w[1]) return true;
    return rep == MP_REP_T && mp_value_text_len(a) > MP_TEXT_INLINE && mp_value_eq(rep, a, b);
}

static bool same_keys(const struct group *g, uint32_t key, const struct mp_value *values)
{
    const struct mp_value *mine = key_values(g, key);
    for (uint32_t i = 0; i < g->key_count; i++) {
        if (!same_value(g->rep[i], mine[i], values[i])) return false;
    }
    return true;
}

bool mp_window_key_is(const struct group *g, uint32_t key, const struct mp_value *values)
{
    return g->heads[key].alive && same_keys(g, key, values);
}

uint32_t mp_window_find_hashed(const struct group *g, uint32_t hash, const struct mp_value *values)
{
    uint32_t i = hash & g->index_mask;
    for (; g->index[i] != 0; i = (i + 1) & g->index_mask) {
        if ((uint32_t)(g->index[i] >> 32) != hash) continue;
        uint32_t key = (uint32_t)g->index[i] - 1;
        __builtin_prefetch(&g->heads[key], 1); /* it is nearly always this one */
        if (same_keys(g, key, values)) return key;
    }
    return MP_NONE;
}

uint32_t mp_window_expect_hash(const struct mp_window *w, const struct group *g,
                               const struct mp_value *values)
{
    uint32_t hash = g->key_count != 0 ? hash_keys(w, g, values) : 0;
    __builtin_prefetch(&g->index[hash & g->index_mask]);
    return hash;
}

uint32_t mp_window_find(const struct mp_window *w, uint32_t grouping, const struct mp_value *values)
{
    const struct group *g = &w->groups[grouping];
    if (g->key_count == 0) return 0;
    return mp_window_find_hashed(g, hash_keys(w, g, values), values);
}

/* ---- order of activity ---- */

static struct age_list *list_of(struct group *g, uint32_t key)
{
    return g->heads[key].listed ? &g->entries : &g->idle;
}

static void age_unlink(struct group *g, uint32_t key)
{
    struct age_list *l = list_of(g, key);
    struct key_head *h = &g->heads[key];
    if (h->older != MP_NONE) g->heads[h->older].newer = h->newer;
    else l->oldest = h->newer;
    if (h->newer != MP_NONE) g->heads[h->newer].older = h->older;
    else l->newest = h->older;
}

static void age_append(struct group *g, uint32_t key)
{
    struct age_list *l = list_of(g, key);
    struct key_head *h = &g->heads[key];
    h->newer = MP_NONE;
    h->older = l->newest;
    if (l->newest != MP_NONE) g->heads[l->newest].newer = key;
    else l->oldest = key;
    l->newest = key;
}

/* A key whose last activity lies back, put where it belongs. */
static void age_insert(struct group *g, uint32_t key)
{
    struct age_list *l = list_of(g, key);
    struct key_head *h = &g->heads[key];
    uint32_t before = l->newest;
    while (before != MP_NONE && g->heads[before].active > h->active) {
        before = g->heads[before].older;
    }
    h->older = before;
    h->newer = before != MP_NONE ? g->heads[before].newer : l->oldest;
    if (h->newer != MP_NONE) g->heads[h->newer].older = key;
    else l->newest = key;
    if (before != MP_NONE) g->heads[before].newer = key;
    else l->oldest = key;
}

void mp_window_active(struct mp_window *w, struct group *g, uint32_t key)
{
    struct key_head *h = &g->heads[key];
    h->active = ++w->activity;
    if (h->pins != 0 || h->newer == MP_NONE) return; /* pinned, or the newest already */
    age_unlink(g, key);
    age_append(g, key);
}

void mp_window_pin(struct mp_window *w, uint32_t grouping, uint32_t key)
{
    struct group *g = &w->groups[grouping];
    MP_ASSERT(g->heads[key].alive);
    if (g->heads[key].pins++ == 0) age_unlink(g, key);
}

void mp_window_unpin(struct mp_window *w, uint32_t grouping, uint32_t key)
{
    struct group *g = &w->groups[grouping];
    MP_ASSERT(g->heads[key].alive && g->heads[key].pins > 0);
    if (--g->heads[key].pins == 0) age_insert(g, key);
}

/* ---- death ---- */

static void index_drop(struct group *g, uint32_t key)
{
    uint32_t mask = g->index_mask, i = g->heads[key].hash & mask;
    while ((uint32_t)g->index[i] != key + 1) i = (i + 1) & mask;
    for (uint32_t j = (i + 1) & mask; g->index[j] != 0; j = (j + 1) & mask) {
        uint32_t home = (uint32_t)(g->index[j] >> 32) & mask;
        if (((j - home) & mask) < ((j - i) & mask)) continue;
        g->index[i] = g->index[j];
        i = j;
    }
    g->index[i] = 0;
}

static void free_texts(struct mp_window *w, const struct group *g, struct mp_value *values,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (g->rep[i] != MP_REP_T || mp_value_text_len(values[i]) <= MP_TEXT_INLINE) continue;
        mp_str s = mp_value_as_text(&values[i]);
        mp_pool_give(&w->texts, (void *)(uintptr_t)s.ptr, s.len);
    }
}

void mp_window_forget(struct mp_window *w, uint32_t grouping, uint32_t key)
{
    struct group *g = &w->groups[grouping];
    struct key_head *h = &g->heads[key];
    MP_ASSERT(h->alive && h->pins == 0);
    if (w->hooks.forget != NULL) w->hooks.forget(w->hooks.ctx, grouping, key);
    age_unlink(g, key);
    index_drop(g, key);
    free_texts(w, g, key_values(g, key), g->key_count);
    h->alive = false;
    h->older = g->free;
    g->free = key;
    g->alive--;
    w->counts.keys_alive--;
}

/* The least recently active idle key gives way; false: all are pinned. */
static bool evict(struct mp_window *w, uint32_t grouping)
{
    struct group *g = &w->groups[grouping];
    uint32_t a = g->idle.oldest, b = g->entries.oldest;
    if (a == MP_NONE && b == MP_NONE) return false;
    if (a == MP_NONE || (b != MP_NONE && g->heads[b].active < g->heads[a].active)) a = b;
    mp_window_forget(w, grouping, a);
    w->counts.keys_evicted++;
    return true;
}

/* Keys whose windows are empty go, a few at a time. What the inventory lists stays. */
void mp_window_forget_idle(struct mp_window *w)
{
    for (uint32_t i = 0; i < w->p->grouping_count; i++) {
        struct group *g = &w->groups[i];
        for (int k = 0; k < FORGET_A_TIME && g->idle.oldest != MP_NONE; k++) {
            if (w->now_ns - g->heads[g->idle.oldest].last_ns < g->keep_ns) break;
            mp_window_forget(w, i, g->idle.oldest);
            w->counts.keys_forgotten++;
        }
    }
}

bool mp_window_key_over(const struct mp_window *w, uint32_t grouping, uint32_t key)
{
    const struct group *g = &w->groups[grouping];
    const struct key_head *h = &g->heads[key];
    return g->key_count != 0 && !h->listed && w->now_ns - h->last_ns >= g->keep_ns;
}

/* ---- birth ---- */

static bool own_keys(struct mp_window *w, const struct group *g, const struct mp_value *values,
                     struct mp_value *own)
{
    for (uint32_t i = 0; i < g->key_count; i++) {
        own[i] = values[i];
        if (g->rep[i] != MP_REP_T || mp_value_text_len(values[i]) <= MP_TEXT_INLINE) continue;
        mp_str s = mp_value_as_text(&values[i]);
        char *text = s.len <= KEY_TEXT_MAX ? mp_pool_take(&w->texts, s.len) : NULL;
        if (text == NULL) {
            free_texts(w, g, own, i);
            return false;
        }
        memcpy(text, s.ptr, s.len);
        own[i] = mp_value_text((mp_str){text, s.len});
    }
    return true;
}

static uint32_t slot_take(struct mp_window *w, uint32_t grouping)
{
    struct group *g = &w->groups[grouping];
    if (g->free == MP_NONE && g->top == g->cap && !evict(w, grouping)) return MP_NONE;
    if (g->free == MP_NONE) {
        g->heads[g->top].generation = 0;
        return g->top++;
    }
    uint32_t key = g->free;
    g->free = g->heads[key].older;
    return key;
}

static void open_key(struct mp_window *w, struct group *g, uint32_t key)
{
    unsigned char *block = key_block(g, key);
    for (uint32_t i = 0; i < g->acc_count; i++) mp_acc_open(&w->accs[g->acc_at + i], block);
    struct published *published = g->published + (size_t)key * g->published_count;
    for (uint32_t i = 0; i < g->published_count; i++) {
        published[i] = (struct published){.slot = NEVER};
    }
}

uint32_t mp_window_birth(struct mp_window *w, uint32_t grouping, const struct mp_value *values,
                         bool *fresh)
{
    const struct group *g = &w->groups[grouping];
    uint32_t hash = g->key_count != 0 ? hash_keys(w, g, values) : 0;
    return mp_window_birth_hashed(w, grouping, values, hash, fresh);
}

uint32_t mp_window_birth_hashed(struct mp_window *w, uint32_t grouping,
                                const struct mp_value *values, uint32_t hash, bool *fresh)
{
    struct group *g = &w->groups[grouping];
    *fresh = false;
    if (g->key_count == 0) return 0;
    uint32_t key = mp_window_find_hashed(g, hash, values);
    if (key != MP_NONE) return key;
    struct mp_value own[KEYS_MAX];
    key = slot_take(w, grouping);
    if (key != MP_NONE && !own_keys(w, g, values, own)) {
        g->heads[key].older = g->free;
        g->heads[key].alive = false;
        g->free = key;
        key = MP_NONE;
    }
    if (key == MP_NONE) {
        w->counts.keys_refused++;
        return MP_NONE;
    }
    g->heads[key] = (struct key_head){.hash = hash, .generation = g->heads[key].generation + 1,
                                      .alive = true, .last_ns = w->now_ns, .active = ++w->activity};
    memcpy(key_values(g, key), own, g->key_count * sizeof *own);
    g->heads[key].listed = g->entity != MP_NONE &&
        mp_inventory_has(w->inventory, g->entity, values[0]);
    age_append(g, key);
    uint32_t i = hash & g->index_mask;
    while (g->index[i] != 0) i = (i + 1) & g->index_mask;
    g->index[i] = (uint64_t)hash << 32 | (key + 1);
    open_key(w, g, key);
    g->alive++;
    w->counts.keys_alive++;
    *fresh = true;
    return key;
}

/* ---- questions ---- */

const struct mp_value *mp_window_key(const struct mp_window *w, uint32_t grouping, uint32_t key)
{
    const struct group *g = &w->groups[grouping];
    MP_ASSERT(key < g->cap);
    return key_values(g, key);
}

uint32_t mp_window_generation(const struct mp_window *w, uint32_t grouping, uint32_t key)
{
    return w->groups[grouping].heads[key].generation;
}

int mp_window_key_cmp(const struct mp_window *w, uint32_t grouping, uint32_t a, uint32_t b)
{
    const struct group *g = &w->groups[grouping];
    const struct mp_value *x = mp_window_key(w, grouping, a), *y = mp_window_key(w, grouping, b);
    for (uint32_t i = 0; i < g->key_count; i++) {
        int order = mp_value_cmp(g->rep[i], x[i], y[i]);
        if (order != 0) return order;
    }
    return 0;
}

void mp_window_key_text(const struct mp_window *w, uint32_t grouping, uint32_t key,
                        struct mp_buf *out)
{
    const struct mp_grouping_row *row = &w->p->grouping[grouping];
    const struct mp_value *values = mp_window_key(w, grouping, key);
    if (row->keys_count == 0) mp_buf_puts(out, "mesh");
    for (uint32_t i = 0; i < row->keys_count; i++) {
        const struct mp_group_key_row *k = &w->p->group_key[row->keys_at + i];
        enum mp_type type = k->type;
        if (type == MP_TYPE_ENTITY && k->entity != MP_NONE) type = w->p->entity[k->entity].key_type;
        if (i != 0) mp_buf_puts(out, ", ");
        mp_value_print(out, type, values[i]);
    }
}

uint32_t mp_window_key_count(const struct mp_window *w, uint32_t grouping)
{
    return w->groups[grouping].alive;
}

uint32_t mp_window_key_cap(const struct mp_window *w, uint32_t grouping)
{
    return w->groups[grouping].cap;
}

uint32_t mp_window_next_key(const struct mp_window *w, uint32_t grouping, uint32_t from)
{
    const struct group *g = &w->groups[grouping];
    for (uint32_t key = from; key < g->top; key++) {
        if (g->heads[key].alive) return key;
    }
    return MP_NONE;
}

/* An entry of the inventory begins its keys, as long as nobody has to go for it. */
static void begin_entry(struct mp_window *w, uint32_t grouping, struct mp_value value, void *ctx,
                        void (*told)(void *ctx, uint32_t grouping, uint32_t key))
{
    struct group *g = &w->groups[grouping];
    if (g->alive == g->cap && mp_window_find(w, grouping, &value) == MP_NONE) return;
    bool fresh;
    uint32_t key = mp_window_birth(w, grouping, &value, &fresh);
    if (key == MP_NONE) return;
    if (!g->heads[key].listed) {
        if (g->heads[key].pins == 0) age_unlink(g, key);
        g->heads[key].listed = true;
        if (g->heads[key].pins == 0) age_insert(g, key);
    }
    if (fresh && told != NULL) told(ctx, grouping, key);
}

void mp_window_inventory_changed(struct mp_window *w, void *ctx,
                                 void (*fresh)(void *ctx, uint32_t grouping, uint32_t key))
{
    w->epoch++;
    for (uint32_t i = 0; i < w->p->grouping_count; i++) {
        const struct group *g = &w->groups[i];
        if (g->entity == MP_NONE) continue;
        uint32_t count = mp_inventory_count(w->inventory, g->entity);
        for (uint32_t k = w->entries_begun[g->entity]; k < count; k++) {
            begin_entry(w, i, mp_inventory_entry(w->inventory, g->entity, k), ctx, fresh);
        }
    }
    for (uint32_t e = 0; e < w->p->entity_count; e++) {
        w->entries_begun[e] = mp_inventory_count(w->inventory, e);
    }
}
