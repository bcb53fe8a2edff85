/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* LIMIT: as far as check looks for an entity (check_walk.c). */
#define REACH_HOPS_MAX 4
#define REACH_WAYS_MAX 64

/* ---- from typed walks ---- */

static struct lw_way with_hops(struct lw *lw, struct lw_way way, const struct mp_t_attr **hops,
                               uint32_t count, struct mp_t_type type)
{
    if (count > 0) {
        const struct mp_t_attr **all = LW_NEW(lw, const struct mp_t_attr *, way.hop_count + count);
        for (uint32_t i = 0; i < way.hop_count; i++) all[i] = way.hops[i];
        for (uint32_t i = 0; i < count; i++) all[way.hop_count + i] = hops[i];
        way.hops = all;
        way.hop_count += count;
        if (way.hop_count == count && way.entity == NULL) way.entity = hops[0]->owner;
    }
    way.type = type;
    return way;
}

/* `e of x`: x is itself a way to an entity, or its name. */
static struct lw_way way_of_expr(struct lw_ctx *c, const struct mp_t_walk *walk,
                                 struct mp_span span)
{
    const struct mp_t_expr *e = walk->expr;
    while (e->kind == MP_TX_DEF) e = e->kid[0];
    if (e->kind == MP_TX_WALK) {
        struct lw_way start = lw_way_of(c, e->walk, span);
        start = with_hops(c->lw, start, walk->hops, walk->hop_count, walk->type);
        if (walk->hop_count > 0) start.entry = walk->entry;
        return start;
    }
    if (e->kind != MP_TX_CONST) lw_refuse(c->lw, span, "`of` with a name that is computed");
    const struct mp_t_entity *entity = walk->hop_count > 0 ? walk->hops[0]->owner
        : walk->type.entity;
    struct mp_t_type type = {.base = MP_TYPE_ENTITY, .entity = entity};
    struct lw_way start = {.base = MP_WALK_CONST, .entity = entity, .type = type};
    start.index = e->type.base == MP_TYPE_IP ? lw_const(c->lw, e)
                                             : lw_const_of(c->lw, type, e->text, span);
    return with_hops(c->lw, start, walk->hops, walk->hop_count, walk->type);
}

static struct lw_way record_way(struct lw_ctx *c, const struct mp_t_walk *walk, struct mp_span span)
{
    if (!c->record) lw_refuse(c->lw, span,
                              "a value of another key that the record leads to, in a loop rule");
    struct lw_signal *s = c->owner.signal;
    MP_ASSERT(walk->base != MP_T_BASE_RECORD_KEY || walk->index < s->t->key_count);
    struct lw_way way = {.base = MP_WALK_FIELD};
    if (walk->base == MP_T_BASE_RECORD_KEY) {
        way.entity = s->t->keys[walk->index];
        way.index = lw_key_slot(c->lw, s, walk->index);
    } else {
        way.entity = walk->field->type.base == MP_TYPE_ENTITY ? walk->field->type.entity : NULL;
        /* A field is a map, or leads to an entity with attributes; not both. */
        mp_str entry = walk->hop_count == 0 ? walk->entry : (mp_str){0};
        way.index = lw_field_slot(c->lw, s, walk->field, entry);
    }
    return way;
}

static const struct mp_t_entity *key_entity(const struct mp_t_key *key)
{
    return key->type.base == MP_TYPE_ENTITY ? key->type.entity : NULL;
}

static struct lw_way row_way(struct lw_ctx *c, const struct mp_t_walk *walk, struct mp_span span)
{
    if (c->member) lw_refuse(c->lw, span,
                             "a condition on members that also asks what they are members of");
    MP_ASSERT(c->keys != NULL && walk->index < c->keys->count);
    const struct mp_t_key *key = &c->keys->keys[walk->index];
    if (!c->record) return (struct lw_way){MP_WALK_KEY, walk->index, key_entity(key), NULL, 0,
                                           key->type, {0}};
    struct lw_way way;
    if (!lw_record_way(c->lw, c->owner.signal, key, &way)) {
        lw_refuse(c->lw, span, "a key that the record at hand does not lead to");
    }
    return way;
}

struct lw_way lw_way_of(struct lw_ctx *c, const struct mp_t_walk *walk, struct mp_span span)
{
    struct lw_way way = {0};
    switch (walk->base) {
    case MP_T_BASE_RECORD_KEY:
    case MP_T_BASE_RECORD_FIELD:
        way = record_way(c, walk, span);
        break;
    case MP_T_BASE_ROW_KEY:
        way = row_way(c, walk, span);
        break;
    case MP_T_BASE_MEMBER:
        MP_ASSERT(c->member);
        way.base = MP_WALK_KEY;
        way.entity = key_entity(&c->owner.grouping->keys->keys[0]);
        break;
    case MP_T_BASE_CONST:
        way.base = MP_WALK_CONST;
        way.entity = walk->hop_count > 0 ? walk->hops[0]->owner : walk->type.entity;
        MP_ASSERT(way.entity != NULL);
        way.index = lw_const_of(c->lw, (struct mp_t_type){.base = MP_TYPE_ENTITY,
                                                          .entity = way.entity},
                                walk->constant, span);
        break;
    case MP_T_BASE_EXPR:
        return way_of_expr(c, walk, span);
    }
    way = with_hops(c->lw, way, walk->hops, walk->hop_count, walk->type);
    if (walk->hop_count > 0) way.entry = walk->entry;
    return way;
}

uint32_t lw_target_walk(struct lw *lw, const struct mp_t_walk *walk)
{
    if (walk == NULL) return MP_NONE;
    MP_ASSERT(walk->base == MP_T_BASE_ROW_KEY && walk->index == 0);
    struct lw_way way = {.base = MP_WALK_KEY};
    way = with_hops(lw, way, walk->hops, walk->hop_count, walk->type);
    if (walk->hop_count == 0 && walk->type.base == MP_TYPE_ENTITY) way.entity = walk->type.entity;
    return lw_walk_rows(lw, &way, 1);
}

/* ---- from records to keys ---- */

struct ways {
    struct lw_way way[REACH_WAYS_MAX];
    uint32_t count;
};

static void add_way(struct ways *ways, struct lw_way way)
{
    if (ways->count < REACH_WAYS_MAX) ways->way[ways->count++] = way;
}

static bool is_scalar(struct mp_t_type t)
{
    return !t.is_set && !t.is_map;
}

/* root NULL: an identity, which is reached by its type. */
static bool arrives(const struct lw_way *w, const struct mp_t_entity *root)
{
    if (!is_scalar(w->type)) return false;
    if (root == NULL) return w->type.base == MP_TYPE_IDENTITY;
    return w->type.base == MP_TYPE_ENTITY && w->type.entity == root;
}

static struct ways next_level(struct lw *lw, const struct ways *from)
{
    struct ways to = {.count = 0};
    for (uint32_t i = 0; i < from->count; i++) {
        const struct lw_way *w = &from->way[i];
        if (w->type.base != MP_TYPE_ENTITY || !is_scalar(w->type)) continue;
        const struct mp_t_entity *at = w->type.entity;
        for (uint32_t a = 1; a < at->attr_count; a++) {
            const struct mp_t_attr *attr = &at->attrs[a];
            bool leads_on = attr->type.base == MP_TYPE_ENTITY ||
                attr->type.base == MP_TYPE_IDENTITY;
            if (leads_on && is_scalar(attr->type)) add_way(&to,
                                                           with_hops(lw, *w, &attr, 1, attr->type));
        }
    }
    return to;
}

static struct ways ways_of_record(struct lw *lw, struct lw_signal *s)
{
    struct ways ways = {.count = 0};
    for (uint32_t i = 0; i < s->t->key_count; i++) {
        struct mp_t_type type = {.base = MP_TYPE_ENTITY, .entity = s->t->keys[i]};
        add_way(&ways, (struct lw_way){MP_WALK_FIELD, lw_key_slot(lw, s, i), s->t->keys[i], NULL,
                                       0, type, {0}});
    }
    return ways;
}

/* The nearest way from the record's keys to an entity; false for none, or two of one length. */
static bool nearest(struct lw *lw, struct lw_signal *s, const struct mp_t_entity *root,
                    struct lw_way *out)
{
    struct ways level = ways_of_record(lw, s);
    for (uint32_t hops = 0; hops <= REACH_HOPS_MAX && level.count > 0; hops++) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < level.count; i++) {
            if (!arrives(&level.way[i], root)) continue;
            if (found++ == 0) *out = level.way[i];
        }
        if (found > 0) return found == 1;
        level = next_level(lw, &level);
    }
    return false;
}

bool lw_record_way(struct lw *lw, struct lw_signal *s, const struct mp_t_key *key,
                   struct lw_way *out)
{
    struct lw_way start = {0};
    if (key->field != NULL) {
        if (key->signal != s->t) return false;
        start.base = MP_WALK_FIELD;
        start.index = lw_field_slot(lw, s, key->field, key->entry);
        start.entity = key->field->type.base == MP_TYPE_ENTITY ? key->field->type.entity : NULL;
        start.type = key->field->type;
    } else if (key->root == NULL && key->type.base != MP_TYPE_IDENTITY) {
        return false; /* a bare target, such as an AS number: no key of a record */
    } else if (!nearest(lw, s, key->root, &start)) {
        return false;
    }
    *out = with_hops(lw, start, key->hops, key->hop_count, key->type);
    return true;
}

/* ---- rows ---- */

static void put_word(struct mp_buf *b, uint32_t word)
{
    mp_buf_put(b, (mp_str){(const char *)&word, sizeof word});
}

static uint32_t hop(struct lw *lw, const struct lw_way *way, uint32_t i)
{
    mp_str entry = i + 1 == way->hop_count ? way->entry : (mp_str){0};
    return lw_attr_entry(lw, way->hops[i], entry);
}

static void make_walk(struct lw *lw, const struct lw_way *way)
{
    uint32_t from = lw->ir->hop.len;
    for (uint32_t i = 0; i < way->hop_count; i++) {
        uint32_t attr = hop(lw, way, i);
        LW_ADD(lw, hop)->attr = attr;
    }
    struct mp_walk_row *row = LW_ADD(lw, walk);
    row->base = way->base;
    row->index = way->index;
    row->entity = lw_entity_row(way->entity);
    row->type = lw_type(way->type);
    MP_IR_SPAN(lw->ir, walk, lw->ir->walk.len - 1, hops, hop, from);
}

uint32_t lw_walk_rows(struct lw *lw, const struct lw_way *ways, uint32_t count)
{
    struct mp_buf key;
    mp_buf_init(&key, lw->scratch);
    mp_buf_putc(&key, 'W');
    for (uint32_t i = 0; i < count; i++) {
        put_word(&key, ways[i].base);
        put_word(&key, ways[i].index);
        put_word(&key, lw_entity_row(ways[i].entity));
        put_word(&key, lw_type(ways[i].type));
        put_word(&key, ways[i].hop_count);
        for (uint32_t h = 0; h < ways[i].hop_count; h++) put_word(&key, hop(lw, &ways[i], h));
    }
    bool fresh;
    uint32_t at = lw_intern(lw, lw_view(lw, &key), lw->ir->walk.len, &fresh);
    for (uint32_t i = 0; fresh && i < count; i++) make_walk(lw, &ways[i]);
    return at;
}
