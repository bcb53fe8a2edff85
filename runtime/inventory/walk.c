/* SPDX-License-Identifier: Apache-2.0
 * Walks, and what is told of a whole inventory: dump and adopt.
 */
#include "base/assert.h"
#include "base/quote.h"
#include "inventory/inventory_priv.h"

bool mp_walk_is_set(const struct mp_program *p, uint32_t walk)
{
    const struct mp_walk_row *w = &p->walk[walk];
    for (uint32_t i = 0; i < w->hops_count; i++) {
        if (p->attr[p->hop[w->hops_at + i].attr].is_set != 0) return true;
    }
    return false;
}

static bool walk_base(const struct mp_program *p, const struct mp_walk_row *w,
                      const struct mp_record *r, const struct mp_value *keys, struct mp_value *out)
{
    switch (w->base) {
    case MP_WALK_FIELD:
        if (r == NULL || (r->known[w->index / 64] >> (w->index % 64) & 1) == 0) return false;
        *out = r->field[w->index];
        return true;
    case MP_WALK_KEY:
        if (keys == NULL) return false;
        *out = keys[w->index];
        return true;
    default:
        *out = p->consts[w->index];
        return true;
    }
}

/* An attribute of every member of a set, together; unknown members bring nothing. */
static bool hop_set(struct mp_inventory *inv, uint32_t attr, struct mp_value set,
                    struct mp_value *out)
{
    const struct mp_value *from = (const struct mp_value *)(uintptr_t)set.w[0];
    MP_ASSERT(from != inv->gather);
    bool is_set = inv->p->attr[attr].is_set != 0;
    enum mp_rep rep = mp_inventory_attr_rep(inv, attr);
    uint32_t count = 0;
    for (uint64_t i = 0; i < set.w[1]; i++) {
        struct mp_value v;
        if (!mp_inventory_attr(inv, attr, from[i], &v)) continue;
        const struct mp_value *list = is_set ? (const struct mp_value *)(uintptr_t)v.w[0] : &v;
        uint64_t n = is_set ? v.w[1] : 1;
        for (uint64_t k = 0; k < n && count < MP_WALK_SET_MAX; k++) {
            uint32_t at = 0;
            while (at < count && !mp_value_eq(rep, inv->gather[at], list[k])) at++;
            if (at == count) inv->gather[count++] = list[k];
        }
    }
    *out = (struct mp_value){{(uint64_t)(uintptr_t)inv->gather, count}};
    return true;
}

bool mp_walk_resolve(struct mp_inventory *inv, uint32_t walk, const struct mp_record *r,
                     const struct mp_value *keys, struct mp_value *out)
{
    const struct mp_program *p = inv->p;
    const struct mp_walk_row *w = &p->walk[walk];
    struct mp_value v;
    if (!walk_base(p, w, r, keys, &v)) return false;
    bool set = false;
    for (uint32_t i = 0; i < w->hops_count; i++) {
        uint32_t attr = p->hop[w->hops_at + i].attr;
        /* LIMIT: one hop from a set; its answer lies in the one gathering place. */
        if (set && (const struct mp_value *)(uintptr_t)v.w[0] == inv->gather) return false;
        if (set ? !hop_set(inv, attr, v, &v) : !mp_inventory_attr(inv, attr, v, &v)) return false;
        set = set || p->attr[attr].is_set != 0;
    }
    *out = v;
    return true;
}

/* ---- keeping ---- */

static void put_json_value(struct mp_buf *out, enum mp_type type, enum mp_rep rep,
                           struct mp_value v)
{
    if (rep == MP_REP_T) {
        mp_quote(out, mp_value_as_text(&v));
    } else if (rep == MP_REP_B) {
        mp_buf_puts(out, v.w[0] != 0 ? "true" : "false");
    } else {
        mp_buf_putc(out, '"');
        mp_value_print(out, type, v);
        mp_buf_putc(out, '"');
    }
}

static void put_attr(struct mp_inventory *inv, struct mp_buf *out, uint32_t attr, struct mp_value v)
{
    const struct mp_attr_row *a = &inv->p->attr[attr];
    enum mp_rep rep = mp_inventory_attr_rep(inv, attr);
    enum mp_type type = a->target != MP_NONE ? inv->p->entity[a->target].key_type : a->type;
    mp_buf_putc(out, ',');
    mp_quote(out, mp_program_text(inv->p, a->name));
    mp_buf_putc(out, ':');
    if (a->is_set == 0) {
        put_json_value(out, type, rep, v);
        return;
    }
    const struct mp_value *list = (const struct mp_value *)(uintptr_t)v.w[0];
    mp_buf_putc(out, '[');
    for (uint64_t i = 0; i < v.w[1]; i++) {
        if (i != 0) mp_buf_putc(out, ',');
        put_json_value(out, type, rep, list[i]);
    }
    mp_buf_putc(out, ']');
}

static void put_member(struct mp_inventory *inv, struct mp_buf *out, uint32_t at, uint32_t by)
{
    const struct member *m = &inv->members[at];
    const struct mp_entity_row *e = &inv->p->entity[m->entity];
    mp_buf_puts(out, "{\"entity\":");
    mp_quote(out, mp_program_text(inv->p, e->name));
    mp_buf_putc(out, ',');
    mp_quote(out, mp_program_text(inv->p, e->key_name));
    mp_buf_putc(out, ':');
    put_json_value(out, e->key_type, mp_type_rep(e->key_type), m->key);
    for (uint32_t i = 0; i < e->attrs_count; i++) {
        const struct cell *c = &m->cells[i];
        if (c->said.is && (c->by & by) != 0) put_attr(inv, out, e->attrs_at + i, c->said.value);
    }
    mp_buf_putc(out, '}');
}

static const uint8_t sources[] = {MP_INVENTORY_BY_LINE, MP_INVENTORY_BY_FILE};
#define SOURCES (sizeof sources / sizeof *sources)

enum mp_err mp_inventory_dump(struct mp_inventory *inv, struct mp_arena *scratch, void *ctx,
                              enum mp_err (*line)(void *ctx, uint32_t by, mp_str json))
{
    struct mp_buf out;
    mp_buf_init(&out, scratch);
    for (uint32_t e = 0; e < inv->p->entity_count; e++) {
        for (size_t i = 0; i < inv->entry_count[e] * SOURCES; i++) {
            uint32_t at = inv->entries[e][i / SOURCES], by = sources[i % SOURCES];
            if ((inv->members[at].by & by) == 0) continue;
            out.len = 0;
            put_member(inv, &out, at, by);
            if (out.failed) return MP_ENOMEM;
            MP_TRY(line(ctx, by, mp_buf_view(&out)));
        }
    }
    return MP_OK;
}

uint32_t mp_inventory_same_entity(const struct mp_program *p, const struct mp_program *old,
                                  uint32_t e)
{
    mp_str name = mp_program_text(old, old->entity[e].name);
    for (uint32_t i = 0; i < p->entity_count; i++) {
        if (mp_str_eq(mp_program_text(p, p->entity[i].name), name) &&
            p->entity[i].key_type == old->entity[e].key_type) {
            return i;
        }
    }
    return MP_NONE;
}

uint32_t mp_inventory_same_attr(const struct mp_program *p, uint32_t entity,
                                const struct mp_program *old, uint32_t attr)
{
    const struct mp_attr_row *was = &old->attr[attr];
    const struct mp_entity_row *e = &p->entity[entity];
    for (uint32_t i = e->attrs_at; i < e->attrs_at + e->attrs_count; i++) {
        const struct mp_attr_row *a = &p->attr[i];
        if (mp_str_eq(mp_program_text(p, a->name), mp_program_text(old, was->name)) &&
            a->type == was->type && a->is_set == was->is_set) {
            return i;
        }
    }
    return MP_NONE;
}

/* What one of those who spoke of it said, as far as this program knows of it. */
static void adopt_member(struct mp_inventory *inv, const struct mp_inventory *old,
                         const struct member *m, uint32_t entity, uint8_t by)
{
    uint32_t at;
    bool came, changed;
    const struct mp_entity_row *was = &old->p->entity[m->entity];
    struct mp_entity_line line = {.entity = entity, .key = m->key};
    for (uint32_t a = 0; a < was->attrs_count; a++) {
        const struct cell *c = &m->cells[a];
        if (!c->said.is || (c->by & by) == 0 || line.attr_count == MP_ENTITY_ATTRS_MAX) continue;
        uint32_t attr = mp_inventory_same_attr(inv->p, entity, old->p, was->attrs_at + a);
        if (attr == MP_NONE) continue;
        line.attrs[line.attr_count++] = (struct mp_entity_attr){attr, true, c->said.value};
    }
    mp_inventory_put_by(inv, &line, by, &at, &came, &changed);
}

void mp_inventory_adopt(struct mp_inventory *inv, const struct mp_inventory *old)
{
    for (uint32_t e = 0; e < old->p->entity_count; e++) {
        uint32_t mine = mp_inventory_same_entity(inv->p, old->p, e);
        if (mine == MP_NONE) continue;
        for (size_t i = 0; i < old->entry_count[e] * SOURCES; i++) {
            const struct member *m = &old->members[old->entries[e][i / SOURCES]];
            uint8_t by = sources[i % SOURCES];
            if ((m->by & by) != 0) adopt_member(inv, old, m, mine, by);
        }
    }
    inv->lines = old->lines;
    mp_relation_adopt(inv, old);
    mp_inventory_settle(inv);
}
