/* SPDX-License-Identifier: Apache-2.0
 * inventory_priv.h - members, their attribute cells, and observations in order of age.
 */
#ifndef MP_INVENTORY_INVENTORY_PRIV_H
#define MP_INVENTORY_INVENTORY_PRIV_H

#include "base/pool.h"
#include "inventory/inventory.h"

/* A value with the block that holds its bytes. */
struct owned {
    struct mp_value value;
    void *block;
    uint32_t bytes;
    bool is;
};

/* An attribute of a member. */
struct cell {
    struct owned said;  /* by a line */
    struct owned seen;  /* observed; of a set: made from the observations when it is read */
    uint32_t first;     /* observations of this cell, newest first; MP_NONE: none */
    bool dirty;         /* `seen` must be made anew */
    uint8_t by;         /* who said `said`: MP_INVENTORY_BY_… */
    bool named;         /* by the files as they are read now */
};

struct member {
    struct mp_value key;
    void *key_block;
    uint32_t key_bytes;
    uint32_t entity;
    uint32_t hash;
    uint32_t uses;      /* observations from and to it */
    uint32_t line_at;   /* place among the entity's entries, MP_NONE: no line named it */
    struct cell *cells; /* one an attribute of the entity */
    uint32_t next_free;
    uint8_t by;         /* who named it: MP_INVENTORY_BY_… */
    bool named;         /* by the files as they are read now */
    bool told;          /* among the news of this reading */
    bool trimmed;       /* the files say less of it than before */
};

/* `from` was seen with an attribute: a value of its own, or a relation to `to`. Renewed at most
 * once a second, so that a busy relation does not move for every record. */
struct sight {
    uint32_t from, attr, to; /* to: MP_NONE for a value */
    uint32_t next;           /* of the same cell */
    uint32_t older, newer;   /* by age */
    int64_t filed_ns;        /* INT64_MAX: from a line, never ends, not in the order of age */
};

/* What a record is asked: a row of `observe` for a signal, or a field that brings an attribute. */
struct watch {
    uint32_t signal, kind; /* kind: enum mp_observe, or MP_OBSERVE_COUNT for a field's attribute */
    uint32_t attr;
    uint32_t from_slot, to_slot; /* in the record */
    uint32_t inverse;            /* of a BELONGS: the set attribute of the other side, or MP_NONE */
    uint32_t via;                /* of CALLERS: identities */
};

struct mp_inventory {
    const struct mp_program *p;
    struct mp_hash_key hash_key;
    struct mp_inventory_limits limits;
    struct mp_pool pool;

    struct member *members;
    uint32_t member_top, member_free, member_count;
    uint32_t *index; /* member + 1 */
    uint32_t index_mask;

    struct sight *sights;
    uint32_t sight_top, sight_free, sight_count;
    uint32_t oldest, newest;

    uint32_t **entries; /* per entity: members that lines named */
    uint32_t *entry_count, *entry_cap;

    struct watch *watches;
    uint32_t watch_count;
    uint32_t *watch_at; /* first watch of a signal; one more than signals */
    uint32_t *inverse_of; /* per attr: the set on the other side, or MP_NONE */

    uint32_t *identities; /* hash of identity → member + 1, made from `via` attributes */
    uint32_t identity_mask;
    bool identities_dirty;

    struct mp_value *gather; /* MP_WALK_SET_MAX */
    uint64_t version, lines, refused;
};

/* ---- members (inventory.c) ---- */
uint64_t mp_inventory_hash(const struct mp_inventory *inv, enum mp_rep rep, struct mp_value v);
enum mp_rep mp_inventory_key_rep(const struct mp_inventory *inv, uint32_t entity);
uint32_t mp_inventory_find(const struct mp_inventory *inv, uint32_t entity, struct mp_value key);
uint32_t mp_inventory_member(struct mp_inventory *inv, uint32_t entity, struct mp_value key);
/* Frees a member that nobody speaks of any more. */
void mp_inventory_release(struct mp_inventory *inv, uint32_t member);
bool mp_inventory_own(struct mp_inventory *inv, enum mp_rep rep, bool is_set, struct mp_value v,
                      struct owned *out);
void mp_inventory_disown(struct mp_inventory *inv, struct owned *o);
enum mp_rep mp_inventory_attr_rep(const struct mp_inventory *inv, uint32_t attr);
struct cell *mp_inventory_cell(const struct mp_inventory *inv, uint32_t member, uint32_t attr);

/* An attribute gets another value, or none; relations follow. */
void mp_inventory_say(struct mp_inventory *inv, uint32_t at, uint32_t attr, struct owned fresh);
/* A line, by one of MP_INVENTORY_BY_…: of whom it is, and what became of that. */
enum mp_err mp_inventory_put_by(struct mp_inventory *inv, const struct mp_entity_line *line,
                                uint8_t by, uint32_t *member, bool *came, bool *changed);

/* ---- observations (relation.c) ---- */
bool mp_relation_prepare(struct mp_inventory *inv, struct mp_arena *arena);
size_t mp_relation_bytes(const struct mp_program *p);
/* A line says that `from` belongs to the member `to` names; inverse sets follow. */
void mp_relation_said(struct mp_inventory *inv, uint32_t from, uint32_t attr, struct mp_value was,
                      bool was_known);
/* Takes over what was observed, oldest first. */
void mp_relation_adopt(struct mp_inventory *inv, const struct mp_inventory *old);
/* Rows of the same name and shape in another program, or MP_NONE. */
uint32_t mp_inventory_same_entity(const struct mp_program *p, const struct mp_program *old,
                                  uint32_t e);
uint32_t mp_inventory_same_attr(const struct mp_program *p, uint32_t entity,
                                const struct mp_program *old, uint32_t attr);
/* Makes the set of a dirty cell. */
void mp_relation_build(struct mp_inventory *inv, uint32_t member, uint32_t attr);

#endif
