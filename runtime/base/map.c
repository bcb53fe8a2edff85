/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/hash.h"

/* Fixed: the compiler's tables are filled by the author,
 * and a hostile author only slows himself. */
static const struct mp_hash_key map_key = {0x6d706f6c, 0x6d6170};

void mp_map_init(struct mp_map *m, struct mp_arena *arena) { *m = (struct mp_map){.arena = arena}; }

static uint32_t slot_of(const struct mp_map *m, mp_str key)
{
    uint32_t mask = m->slot_count - 1;
    uint32_t at = (uint32_t)mp_siphash(map_key, key.ptr, key.len) & mask;
    while (m->slots[at] != 0 && !mp_str_eq(m->entries[m->slots[at] - 1].key, key)) {
        at = (at + 1) & mask; /* ends: at most half of the slots are taken */
    }
    return at;
}

struct mp_map_entry *mp_map_get(const struct mp_map *m, mp_str key)
{
    if (m->slot_count == 0) return NULL;
    uint32_t found = m->slots[slot_of(m, key)];
    return found == 0 ? NULL : &m->entries[found - 1];
}

static enum mp_err grow(struct mp_map *m)
{
    uint32_t cap = m->cap == 0 ? 16 : m->cap * 2;
    if (cap < m->cap || cap > UINT32_MAX / 4) return MP_ELIMIT;
    struct mp_map_entry *entries = mp_arena_grow(m->arena, m->entries, m->cap * sizeof *entries,
                                                 cap * sizeof *entries, _Alignof(max_align_t));
    uint32_t *slots = MP_NEW(m->arena, uint32_t, cap * 2);
    if (entries == NULL || slots == NULL) return MP_ENOMEM;
    m->entries = entries;
    m->cap = cap;
    m->slots = slots;
    m->slot_count = cap * 2;
    for (uint32_t i = 0; i < m->len; i++) {
        slots[slot_of(m, entries[i].key)] = i + 1;
    }
    return MP_OK;
}

enum mp_err mp_map_put(struct mp_map *m, mp_str key, uint32_t value, struct mp_map_entry **out,
                       bool *fresh)
{
    struct mp_map_entry *found = mp_map_get(m, key);
    if (found == NULL && m->len == m->cap) MP_TRY(grow(m));
    if (fresh != NULL) *fresh = found == NULL;
    if (found == NULL) {
        uint32_t slot = slot_of(m, key);
        found = &m->entries[m->len];
        *found = (struct mp_map_entry){key, value};
        m->len += 1;
        m->slots[slot] = m->len;
    }
    if (out != NULL) *out = found;
    return MP_OK;
}
