/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory/inventory.h"

#include "base/assert.h"
#include "inventory/inventory_priv.h"

#define MEMBERS_DEFAULT 65536u
#define RELATIONS_DEFAULT 131072u
#define TEXT_DEFAULT ((size_t)16 << 20)
#define MEMBERS_MIN 64u

static struct mp_inventory_limits whole(const struct mp_inventory_limits *given)
{
    struct mp_inventory_limits l = given != NULL ? *given : (struct mp_inventory_limits){0};
    if (l.members == 0) l.members = MEMBERS_DEFAULT;
    if (l.members < MEMBERS_MIN) l.members = MEMBERS_MIN;
    if (l.relations == 0) l.relations = RELATIONS_DEFAULT;
    if (l.text_bytes == 0) l.text_bytes = TEXT_DEFAULT;
    return l;
}

static uint32_t power_above(uint32_t n)
{
    uint32_t size = 16;
    while (size < n) size *= 2;
    return size;
}

size_t mp_inventory_bytes(const struct mp_program *p, const struct mp_inventory_limits *limits)
{
    struct mp_inventory_limits l = whole(limits);
    size_t index = (size_t)power_above(l.members * 2) * sizeof(uint32_t);
    return sizeof(struct mp_inventory) + (size_t)l.members * sizeof(struct member) + 2 * index +
           (size_t)l.relations * sizeof(struct sight) + l.text_bytes +
           (size_t)l.members * sizeof(uint32_t) * 2 + MP_WALK_SET_MAX * sizeof(struct mp_value) +
           mp_relation_bytes(p) + (size_t)p->entity_count * 32 + 4096;
}

static bool carve(struct mp_inventory *inv, struct mp_arena *arena)
{
    const struct mp_program *p = inv->p;
    const struct mp_inventory_limits *l = &inv->limits;
    uint32_t slots = power_above(l->members * 2);
    inv->members = mp_arena_alloc_raw(arena, (size_t)l->members * sizeof(struct member), 16);
    inv->sights = mp_arena_alloc_raw(arena, (size_t)l->relations * sizeof(struct sight), 16);
    void *text = mp_arena_alloc_raw(arena, l->text_bytes, 16);
    inv->index = MP_NEW(arena, uint32_t, slots);
    inv->identities = MP_NEW(arena, uint32_t, slots);
    inv->gather = MP_NEW(arena, struct mp_value, MP_WALK_SET_MAX);
    inv->entries = MP_NEW(arena, uint32_t *, p->entity_count);
    inv->entry_count = MP_NEW(arena, uint32_t, p->entity_count);
    inv->entry_cap = MP_NEW(arena, uint32_t, p->entity_count);
    if (inv->members == NULL || inv->sights == NULL || text == NULL || inv->index == NULL ||
        inv->identities == NULL || inv->gather == NULL || inv->entries == NULL ||
        inv->entry_count == NULL || inv->entry_cap == NULL) {
        return false;
    }
    inv->index_mask = inv->identity_mask = slots - 1;
    mp_pool_init(&inv->pool, text, l->text_bytes);
    return mp_relation_prepare(inv, arena);
}

enum mp_err mp_inventory_create(struct mp_arena *arena, const struct mp_program *p,
                                const struct mp_inventory_limits *limits,
                                struct mp_hash_key hash_key, struct mp_inventory **out)
{
    struct mp_inventory *inv = MP_NEW(arena, struct mp_inventory, 1);
    if (inv == NULL) return MP_ENOMEM;
    inv->p = p;
    inv->hash_key = hash_key;
    inv->limits = whole(limits);
    inv->member_free = inv->sight_free = inv->oldest = inv->newest = MP_NONE;
    inv->version = 1;
    if (!carve(inv, arena)) return MP_ENOMEM;
    *out = inv;
    return MP_OK;
}

/* ---- values that the inventory owns ---- */

uint64_t mp_inventory_hash(const struct mp_inventory *inv, enum mp_rep rep, struct mp_value v)
{
    if (rep == MP_REP_T && mp_value_text_len(v) > MP_TEXT_INLINE) {
        mp_str s = mp_value_as_text(&v);
        return mp_siphash(inv->hash_key, s.ptr, s.len);
    }
    return mp_siphash_words(inv->hash_key, v.w, 2);
}

enum mp_rep mp_inventory_key_rep(const struct mp_inventory *inv, uint32_t entity)
{
    return mp_type_rep(inv->p->entity[entity].key_type);
}

/* The representation of an attribute, or of its members where it is a set. */
enum mp_rep mp_inventory_attr_rep(const struct mp_inventory *inv, uint32_t attr)
{
    const struct mp_attr_row *a = &inv->p->attr[attr];
    if (a->target != MP_NONE) return mp_inventory_key_rep(inv, a->target);
    return mp_type_rep(a->type);
}

static size_t text_bytes(enum mp_rep rep, struct mp_value v)
{
    if (rep != MP_REP_T) return 0;
    uint32_t len = mp_value_text_len(v);
    return len > MP_TEXT_INLINE ? len : 0;
}

/* Copies a value; the bytes of long text go to *at. */
static struct mp_value copied(enum mp_rep rep, struct mp_value v, char **at)
{
    size_t bytes = text_bytes(rep, v);
    if (bytes == 0) return v;
    mp_str s = mp_value_as_text(&v);
    memcpy(*at, s.ptr, s.len);
    struct mp_value copy = mp_value_text((mp_str){*at, s.len});
    *at += bytes;
    return copy;
}

static bool own_set(struct mp_inventory *inv, enum mp_rep rep, struct mp_value v, struct owned *out)
{
    const struct mp_value *from = (const struct mp_value *)(uintptr_t)v.w[0];
    size_t count = (size_t)v.w[1], bytes = count * sizeof *from;
    for (size_t i = 0; i < count; i++) bytes += text_bytes(rep, from[i]);
    if (bytes > UINT32_MAX) return false;
    void *block = mp_pool_take(&inv->pool, bytes);
    if (block == NULL) return false;
    struct mp_value *to = block;
    char *at = (char *)(to + count);
    for (size_t i = 0; i < count; i++) to[i] = copied(rep, from[i], &at);
    *out = (struct owned){{{(uint64_t)(uintptr_t)to, count}}, block, (uint32_t)bytes, true};
    return true;
}

bool mp_inventory_own(struct mp_inventory *inv, enum mp_rep rep, bool is_set, struct mp_value v,
                      struct owned *out)
{
    if (is_set) return own_set(inv, rep, v, out);
    size_t bytes = text_bytes(rep, v);
    char *block = bytes != 0 ? mp_pool_take(&inv->pool, bytes) : NULL;
    if (bytes != 0 && block == NULL) return false;
    char *at = block;
    struct mp_value copy = copied(rep, v, &at);
    *out = (struct owned){copy, block, (uint32_t)bytes, true};
    return true;
}

void mp_inventory_disown(struct mp_inventory *inv, struct owned *o)
{
    mp_pool_give(&inv->pool, o->block, o->bytes);
    *o = (struct owned){0};
}

/* ---- members ---- */

static bool is_member(const struct mp_inventory *inv, uint32_t at, uint32_t entity, enum mp_rep rep,
                      uint32_t hash, struct mp_value key)
{
    const struct member *m = &inv->members[at];
    return m->hash == hash && m->entity == entity && mp_value_eq(rep, m->key, key);
}

static uint32_t member_hash(const struct mp_inventory *inv, uint32_t entity, enum mp_rep rep,
                            struct mp_value key)
{
    return (uint32_t)(mp_inventory_hash(inv, rep, key) >> 16) ^ (entity * 0x9E3779B1u);
}

uint32_t mp_inventory_find(const struct mp_inventory *inv, uint32_t entity, struct mp_value key)
{
    enum mp_rep rep = mp_inventory_key_rep(inv, entity);
    uint32_t hash = member_hash(inv, entity, rep, key);
    for (uint32_t i = hash & inv->index_mask; inv->index[i] != 0; i = (i + 1) & inv->index_mask) {
        uint32_t at = inv->index[i] - 1;
        if (is_member(inv, at, entity, rep, hash, key)) return at;
    }
    return MP_NONE;
}

static void index_put(struct mp_inventory *inv, uint32_t at)
{
    uint32_t i = inv->members[at].hash & inv->index_mask;
    while (inv->index[i] != 0) i = (i + 1) & inv->index_mask;
    inv->index[i] = at + 1;
}

/* Backward shift, so that no tombstones are left (Knuth, vol. 3, 6.4, algorithm R). */
static void index_drop(struct mp_inventory *inv, uint32_t at)
{
    uint32_t mask = inv->index_mask, i = inv->members[at].hash & mask;
    while (inv->index[i] != at + 1) i = (i + 1) & mask;
    for (uint32_t j = (i + 1) & mask; inv->index[j] != 0; j = (j + 1) & mask) {
        uint32_t home = inv->members[inv->index[j] - 1].hash & mask;
        if (((j - home) & mask) < ((j - i) & mask)) continue;
        inv->index[i] = inv->index[j];
        i = j;
    }
    inv->index[i] = 0;
}

static uint32_t member_slot(struct mp_inventory *inv)
{
    if (inv->member_free != MP_NONE) {
        uint32_t at = inv->member_free;
        inv->member_free = inv->members[at].next_free;
        return at;
    }
    return inv->member_top < inv->limits.members ? inv->member_top++ : MP_NONE;
}

uint32_t mp_inventory_member(struct mp_inventory *inv, uint32_t entity, struct mp_value key)
{
    uint32_t at = mp_inventory_find(inv, entity, key);
    if (at != MP_NONE) return at;
    enum mp_rep rep = mp_inventory_key_rep(inv, entity);
    uint32_t attrs = inv->p->entity[entity].attrs_count;
    struct owned own = {0};
    struct cell *cells = mp_pool_take(&inv->pool, attrs * sizeof *cells);
    if (cells == NULL) return MP_NONE;
    at = mp_inventory_own(inv, rep, false, key, &own) ? member_slot(inv) : MP_NONE;
    if (at == MP_NONE) {
        mp_pool_give(&inv->pool, cells, attrs * sizeof *cells);
        mp_inventory_disown(inv, &own);
        return MP_NONE;
    }
    for (uint32_t i = 0; i < attrs; i++) cells[i] = (struct cell){.first = MP_NONE};
    inv->members[at] = (struct member){
        .key = own.value, .key_block = own.block, .key_bytes = own.bytes, .entity = entity,
        .hash = member_hash(inv, entity, rep, key), .line_at = MP_NONE, .cells = cells};
    index_put(inv, at);
    inv->member_count++;
    return at;
}

void mp_inventory_release(struct mp_inventory *inv, uint32_t at)
{
    struct member *m = &inv->members[at];
    if (m->uses != 0 || m->line_at != MP_NONE) return;
    uint32_t attrs = inv->p->entity[m->entity].attrs_count;
    for (uint32_t i = 0; i < attrs; i++) {
        mp_inventory_disown(inv, &m->cells[i].said);
        mp_inventory_disown(inv, &m->cells[i].seen);
    }
    index_drop(inv, at);
    mp_pool_give(&inv->pool, m->cells, attrs * sizeof *m->cells);
    mp_pool_give(&inv->pool, m->key_block, m->key_bytes);
    m->next_free = inv->member_free;
    inv->member_free = at;
    inv->member_count--;
}

struct cell *mp_inventory_cell(const struct mp_inventory *inv, uint32_t member, uint32_t attr)
{
    const struct member *m = &inv->members[member];
    uint32_t i = attr - inv->p->entity[m->entity].attrs_at;
    MP_ASSERT(i < inv->p->entity[m->entity].attrs_count);
    return &m->cells[i];
}

/* ---- lines ---- */

static bool entry_add(struct mp_inventory *inv, uint32_t at)
{
    struct member *m = &inv->members[at];
    if (m->line_at != MP_NONE) return true;
    uint32_t e = m->entity, count = inv->entry_count[e], cap = inv->entry_cap[e];
    if (count == cap) {
        uint32_t wider = cap == 0 ? 16 : cap * 2;
        uint32_t *list = mp_pool_take(&inv->pool, wider * sizeof *list);
        if (list == NULL) return false;
        if (count != 0) memcpy(list, inv->entries[e], count * sizeof *list);
        mp_pool_give(&inv->pool, inv->entries[e], cap * sizeof *list);
        inv->entries[e] = list;
        inv->entry_cap[e] = wider;
    }
    inv->entries[e][count] = at;
    inv->entry_count[e]++;
    m->line_at = count;
    return true;
}

static bool same_value(const struct mp_inventory *inv, uint32_t attr, struct mp_value a,
                       struct mp_value b)
{
    enum mp_rep rep = mp_inventory_attr_rep(inv, attr);
    if (inv->p->attr[attr].is_set == 0) return mp_value_eq(rep, a, b);
    const struct mp_value *x = (const struct mp_value *)(uintptr_t)a.w[0];
    const struct mp_value *y = (const struct mp_value *)(uintptr_t)b.w[0];
    bool same = a.w[1] == b.w[1];
    for (uint64_t i = 0; same && i < a.w[1]; i++) same = mp_value_eq(rep, x[i], y[i]);
    return same;
}

void mp_inventory_say(struct mp_inventory *inv, uint32_t at, uint32_t attr, struct owned fresh)
{
    struct cell *c = mp_inventory_cell(inv, at, attr);
    struct owned was = c->said;
    c->said = fresh;
    mp_relation_said(inv, at, attr, was.value, was.is);
    mp_inventory_disown(inv, &was);
}

static enum mp_err put_attr(struct mp_inventory *inv, uint32_t at, const struct mp_entity_attr *a,
                            uint8_t by, bool *changed)
{
    struct cell *c = mp_inventory_cell(inv, at, a->attr);
    struct owned fresh = {0};
    if (a->known && c->said.is && same_value(inv, a->attr, c->said.value, a->value)) {
        c->by |= by;
        return MP_OK;
    }
    if (a->known) {
        bool is_set = inv->p->attr[a->attr].is_set != 0;
        if (!mp_inventory_own(inv, mp_inventory_attr_rep(inv, a->attr), is_set, a->value, &fresh)) {
            return MP_ELIMIT;
        }
    }
    *changed |= a->known || c->said.is;
    c->by = a->known ? by : 0;
    mp_inventory_say(inv, at, a->attr, fresh);
    return MP_OK;
}

enum mp_err mp_inventory_put_by(struct mp_inventory *inv, const struct mp_entity_line *line,
                                uint8_t by, uint32_t *member, bool *came, bool *changed)
{
    MP_ASSERT(line->entity < inv->p->entity_count);
    uint32_t at = mp_inventory_member(inv, line->entity, line->key);
    *came = at != MP_NONE && inv->members[at].line_at == MP_NONE;
    *changed = false;
    *member = at;
    if (at == MP_NONE || !entry_add(inv, at)) {
        inv->refused++;
        if (at != MP_NONE) mp_inventory_release(inv, at);
        return MP_ELIMIT;
    }
    inv->lines++;
    inv->members[at].by |= by;
    for (uint32_t i = 0; i < line->attr_count; i++) {
        enum mp_err err = put_attr(inv, at, &line->attrs[i], by, changed);
        if (err == MP_OK) continue;
        inv->refused++;
        inv->version++;
        return err;
    }
    if (!*came && !*changed) return MP_OK;
    inv->version++;
    inv->identities_dirty = true;
    return MP_OK;
}

enum mp_err mp_inventory_put(struct mp_inventory *inv, const struct mp_entity_line *line)
{
    uint32_t at;
    bool came, changed;
    return mp_inventory_put_by(inv, line, MP_INVENTORY_BY_LINE, &at, &came, &changed);
}

/* ---- answers ---- */

static bool preset(const struct mp_inventory *inv, uint32_t attr, struct mp_value *out)
{
    uint32_t c = inv->p->attr[attr].preset;
    if (c == MP_NONE) return false;
    *out = inv->p->consts[c];
    return true;
}

bool mp_inventory_attr(struct mp_inventory *inv, uint32_t attr, struct mp_value key,
                       struct mp_value *out)
{
    const struct mp_program *p = inv->p;
    const struct mp_attr_row *a = &p->attr[attr];
    const struct mp_entity_row *e = &p->entity[a->entity];
    if (mp_str_eq(mp_program_text(p, a->name), mp_program_text(p, e->key_name))) {
        *out = key;
        return true;
    }
    uint32_t at = mp_inventory_find(inv, a->entity, key);
    if (at == MP_NONE) return preset(inv, attr, out);
    struct cell *c = mp_inventory_cell(inv, at, attr);
    if (!c->said.is && c->dirty) mp_relation_build(inv, at, attr);
    const struct owned *o = c->said.is ? &c->said : &c->seen;
    if (!o->is) return preset(inv, attr, out);
    *out = o->value;
    return true;
}

void mp_inventory_settle(struct mp_inventory *inv)
{
    for (uint32_t i = 0; i <= inv->index_mask; i++) {
        if (inv->index[i] == 0) continue;
        uint32_t at = inv->index[i] - 1;
        const struct mp_entity_row *e = &inv->p->entity[inv->members[at].entity];
        for (uint32_t a = e->attrs_at; a < e->attrs_at + e->attrs_count; a++) {
            struct cell *c = mp_inventory_cell(inv, at, a);
            if (c->dirty) mp_relation_build(inv, at, a);
        }
    }
}

uint64_t mp_inventory_version(const struct mp_inventory *inv) { return inv->version; }

uint32_t mp_inventory_count(const struct mp_inventory *inv, uint32_t entity)
{
    return inv->entry_count[entity];
}

struct mp_value mp_inventory_entry(const struct mp_inventory *inv, uint32_t entity, uint32_t i)
{
    MP_ASSERT(i < inv->entry_count[entity]);
    return inv->members[inv->entries[entity][i]].key;
}

bool mp_inventory_has(const struct mp_inventory *inv, uint32_t entity, struct mp_value key)
{
    if (inv->entry_count[entity] == 0) return false;
    uint32_t at = mp_inventory_find(inv, entity, key);
    return at != MP_NONE && inv->members[at].line_at != MP_NONE;
}

void mp_inventory_counts(const struct mp_inventory *inv, struct mp_inventory_counts *out)
{
    *out = (struct mp_inventory_counts){.members = inv->member_count, .relations = inv->sight_count,
                                        .lines = inv->lines, .refused = inv->refused};
}
