/* SPDX-License-Identifier: Apache-2.0
 * map.h - text → 32-bit number, growing, in an arena; for the compiler and for start-up.
 *
 * Open addressing with linear probing; entries keep insertion order in `entries`. The runtime's
 * per-key tables are in runtime/window/ and do not grow.
 */
#ifndef MP_BASE_MAP_H
#define MP_BASE_MAP_H

#include "base/arena.h"
#include "base/err.h"

struct mp_map_entry {
    mp_str key;
    uint32_t value;
};

struct mp_map {
    struct mp_arena *arena;
    struct mp_map_entry *entries;
    uint32_t *slots; /* index + 1 into entries, 0 empty */
    uint32_t len, cap, slot_count;
};

void mp_map_init(struct mp_map *m, struct mp_arena *arena);
/* The entry of key, or NULL. */
struct mp_map_entry *mp_map_get(const struct mp_map *m, mp_str key);
/* Adds key, or finds it; *fresh says which. The key's bytes must outlive the map. */
enum mp_err mp_map_put(struct mp_map *m, mp_str key, uint32_t value, struct mp_map_entry **out,
                       bool *fresh);

#endif
