/* SPDX-License-Identifier: Apache-2.0
 * inventory.h - what is known about entities: attributes from inventory lines, observed relations,
 * sets.
 *
 * Owns:    (entity, key) → attributes; relations seen in records; the order of what wins: an
 *          inventory line, else what a record brought or showed (gone after 10 min of silence),
 *          else the default. And who said a line: files are the truth about what they name, so
 *          what they no longer name goes.
 * Callers: engine (lines, records), window (walks), backends' set-up. One thread.
 * Memory:  all from the arena given to create, bounded by limits; what is full refuses and counts.
 * Values that are read borrow from the inventory until the next call that changes it.
 */
#ifndef MP_INVENTORY_INVENTORY_H
#define MP_INVENTORY_INVENTORY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "program/program.h"
#include "schema/flow.h"

struct mp_inventory;

#define MP_INVENTORY_SEEN_NS (INT64_C(600) * 1000000000) /* how long an observation holds (4.1) */
#define MP_WALK_SET_MAX 4096 /* members that a walk over several sets may gather */

/* 0 takes the default beside it. */
struct mp_inventory_limits {
    uint32_t members;   /* entities with a line or a relation: 65,536 */
    uint32_t relations; /* observed: 131,072 */
    size_t text_bytes;  /* texts and sets: 16 MiB */
};

/* One line of inventory, decoded: attributes by row of `attr`; a set's members are in value. What
 * is not in the line stays as it is; a known bit of false clears what an earlier line said. */
struct mp_entity_attr {
    uint32_t attr;
    bool known;
    struct mp_value value;
};
#define MP_ENTITY_ATTRS_MAX 64
struct mp_entity_line {
    uint32_t entity; /* row of entity */
    struct mp_value key;
    uint32_t attr_count;
    struct mp_entity_attr attrs[MP_ENTITY_ATTRS_MAX];
};

/* Who said it: a line that came by itself, a file, or both of them the same. */
enum { MP_INVENTORY_BY_LINE = 1, MP_INVENTORY_BY_FILE = 2 };

size_t mp_inventory_bytes(const struct mp_program *p, const struct mp_inventory_limits *limits);
enum mp_err mp_inventory_create(struct mp_arena *arena, const struct mp_program *p,
                                const struct mp_inventory_limits *limits,
                                struct mp_hash_key hash_key, struct mp_inventory **out);

/* The last line wins. MP_ELIMIT: full, and nothing has changed but the count of refusals. */
enum mp_err mp_inventory_put(struct mp_inventory *inv, const struct mp_entity_line *line);

/* What reading the files anew has led to, an entity once. */
struct mp_inventory_news {
    void *ctx;
    /* May be NULL. `what`: came, changed, gone. */
    void (*tell)(void *ctx, const char *what, uint32_t entity, struct mp_value key);
};
/* Files are read anew in three strokes: all their lines are named, what files said and name no
 * more goes, and the lines are put. Before the second nothing has changed. */
void mp_inventory_files_begin(struct mp_inventory *inv);
void mp_inventory_files_name(struct mp_inventory *inv, const struct mp_entity_line *line);
void mp_inventory_files_sweep(struct mp_inventory *inv, const struct mp_inventory_news *news);
/* As mp_inventory_put. `news` may be NULL: what was kept is given back. */
enum mp_err mp_inventory_files_put(struct mp_inventory *inv, const struct mp_entity_line *line,
                                   const struct mp_inventory_news *news);
/* Learns from a record at `now_ns`: attributes that its fields bring, and observed relations. */
void mp_inventory_observe(struct mp_inventory *inv, const struct mp_record *r, int64_t now_ns);
/* Ends observations that are older than 10 min. Cheap when there is none. */
void mp_inventory_advance(struct mp_inventory *inv, int64_t now_ns);

/* Grows with every change that a reader could see. */
uint64_t mp_inventory_version(const struct mp_inventory *inv);

/* Value of an attribute of an entity's key; false: unknown. */
bool mp_inventory_attr(struct mp_inventory *inv, uint32_t attr, struct mp_value key,
                       struct mp_value *out);
/* Where row `walk` leads: a FIELD of `r`, a KEY of `keys` (NULL where there is none), or a
 * constant, and then its attributes. A set is a set value, ordered by its members. False:
 * unknown. */
bool mp_walk_resolve(struct mp_inventory *inv, uint32_t walk, const struct mp_record *r,
                     const struct mp_value *keys, struct mp_value *out);
/* Is the end of the walk a set? */
bool mp_walk_is_set(const struct mp_program *p, uint32_t walk);

/* Entities that an inventory line named, in order of their first line: entry `i` of an entity. */
uint32_t mp_inventory_count(const struct mp_inventory *inv, uint32_t entity);
struct mp_value mp_inventory_entry(const struct mp_inventory *inv, uint32_t entity, uint32_t i);
bool mp_inventory_has(const struct mp_inventory *inv, uint32_t entity, struct mp_value key);

/* Makes every observed set now. Until the inventory is changed again, mp_inventory_attr and walks
 * of at most one set write nothing: any number of threads may ask at once. */
void mp_inventory_settle(struct mp_inventory *inv);
/* Takes over lines and relations from the inventory of the program before, by names of entities and
 * attributes (R50), or a copy of one of the same program; settled. `old` is not changed. */
void mp_inventory_adopt(struct mp_inventory *inv, const struct mp_inventory *old);

/* Everything that lines said, as such lines again, one call for each of who said it (`by`, no line
 * end), for the store. The longest line stays in `scratch`. */
enum mp_err mp_inventory_dump(struct mp_inventory *inv, struct mp_arena *scratch, void *ctx,
                              enum mp_err (*line)(void *ctx, uint32_t by, mp_str json));

struct mp_inventory_counts {
    uint32_t members, relations;
    uint64_t lines;
    uint64_t refused; /* lines and observations for which there was no room, or which gave way */
};
void mp_inventory_counts(const struct mp_inventory *inv, struct mp_inventory_counts *out);

#endif
