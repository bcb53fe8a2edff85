/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <string.h>

void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
#define TABLE(name, doc) w->p.name = w->name;
#define STR(name)
#define U32(name)
#define OUT(name)
#define I64(name)
#define F64(name)
#define ENUM(name, e)
#define REF(name, table)
#define NEED(name, table)
#define SPAN(name, table)
#define END(name)
#include "program/tables.def"
#undef TABLE
#undef STR
#undef U32
#undef OUT
#undef I64
#undef F64
#undef ENUM
#undef REF
#undef NEED
#undef SPAN
#undef END
    w->p.texts = w->text;
    w->p.texts_size = 4; /* the empty text */
    w->p.consts = w->consts;
}

#define TABLE(name, doc)                                                                           \
    struct mp_##name##_row *world_add_##name(struct world *w)                                      \
    {                                                                                              \
        struct mp_##name##_row *row = &w->name[w->p.name##_count++];
#define STR(name) row->name.at = 0;
#define U32(name) row->name = 0;
#define OUT(name) row->name = MP_NONE;
#define I64(name) row->name = 0;
#define F64(name) row->name = 0;
#define ENUM(name, e) row->name = 0;
#define REF(name, table) row->name = MP_NONE;
#define NEED(name, table) row->name = MP_NONE;
#define SPAN(name, table) row->name##_at = w->p.table##_count;
#define END(name)                                                                                  \
        return row;                                                                                \
    }
#include "program/tables.def"
#undef TABLE
#undef STR
#undef U32
#undef OUT
#undef I64
#undef F64
#undef ENUM
#undef REF
#undef NEED
#undef SPAN
#undef END

mp_text_ref world_text(struct world *w, const char *text)
{
    uint32_t len = (uint32_t)strlen(text), at = (uint32_t)w->p.texts_size;
    memcpy(w->text + at, &len, sizeof len);
    memcpy(w->text + at + sizeof len, text, len);
    w->p.texts_size += sizeof len + len;
    return (mp_text_ref){at};
}

uint32_t world_const(struct world *w, enum mp_type type, struct mp_value v)
{
    world_add_cnst(w)->type = type;
    w->consts[w->p.cnst_count - 1] = v;
    return w->p.cnst_count - 1;
}

uint32_t world_entity(struct world *w, const char *name, const char *key, enum mp_type type)
{
    struct mp_entity_row *e = world_add_entity(w);
    e->name = world_text(w, name);
    e->key_name = world_text(w, key);
    e->key_type = type;
    return w->p.entity_count - 1;
}

uint32_t world_attr(struct world *w, const char *name, enum mp_type type, uint32_t target, bool set)
{
    struct mp_attr_row *a = world_add_attr(w);
    a->entity = w->p.entity_count - 1;
    w->entity[a->entity].attrs_count++;
    a->name = world_text(w, name);
    a->type = type;
    a->target = target;
    a->is_set = set;
    return w->p.attr_count - 1;
}

uint32_t world_signal(struct world *w, const char *name, enum mp_signal_kind kind, int64_t every_ns,
                      int64_t lateness_ns)
{
    struct mp_signal_row *s = world_add_signal(w);
    s->name = world_text(w, name);
    s->kind = kind;
    s->every_ns = every_ns;
    s->lateness_ns = lateness_ns;
    return w->p.signal_count - 1;
}

uint32_t world_field(struct world *w, const char *path, enum mp_type type, uint32_t flags)
{
    struct mp_field_row *f = world_add_field(w);
    f->signal = w->p.signal_count - 1;
    w->signal[f->signal].fields_count++;
    f->path = world_text(w, path);
    f->type = type;
    f->flags = flags;
    return w->p.field_count - 1 - w->signal[f->signal].fields_at;
}

void world_key_field(struct world *w, const char *path, uint32_t entity)
{
    world_field(w, path, w->entity[entity].key_type, MP_FIELD_KEY);
    w->field[w->p.field_count - 1].entity = entity;
    struct mp_signal_key_row *k = world_add_signal_key(w);
    k->entity = entity;
    k->field = w->p.field_count - 1;
    w->signal[w->p.signal_count - 1].keys_count++;
}

uint32_t world_grouping(struct world *w, const char *name, uint32_t cap)
{
    struct mp_grouping_row *g = world_add_grouping(w);
    g->name = world_text(w, name);
    g->cap = cap;
    return w->p.grouping_count - 1;
}

uint32_t world_group_key(struct world *w, const char *name, enum mp_type type, uint32_t entity)
{
    struct mp_group_key_row *k = world_add_group_key(w);
    k->name = world_text(w, name);
    k->type = type;
    k->entity = entity;
    w->grouping[w->p.grouping_count - 1].keys_count++;
    return w->p.group_key_count - 1;
}

uint32_t world_walk(struct world *w, enum mp_walk_base base, uint32_t index, uint32_t hop1,
                    uint32_t hop2)
{
    struct mp_walk_row *walk = world_add_walk(w);
    walk->base = base;
    walk->index = index;
    const uint32_t hops[2] = {hop1, hop2};
    for (int i = 0; i < 2 && hops[i] != MP_NONE; i++) {
        world_add_hop(w)->attr = hops[i];
        walk->hops_count++;
    }
    return w->p.walk_count - 1;
}
