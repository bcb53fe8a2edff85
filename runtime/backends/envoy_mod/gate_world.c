/* SPDX-License-Identifier: Apache-2.0
 * Inventory for verdicts: lines → attributes that any number of workers read at once.
 */
#include "envoy_mod/gate_priv.h"

/* What a service is called in the vocabulary, and what it is told by. */
#define SERVICE MP_STR("service")
#define IDENTITIES MP_STR("identities")

/* ---- lines ---- */

static uint32_t count_lines(mp_str lines)
{
    uint32_t count = 0;
    for (size_t i = 0; i < lines.len; i++) count += lines.ptr[i] == '\n';
    return count;
}

static enum mp_err put_lines(struct world *w, mp_str lines)
{
    while (lines.len > 0) {
        const char *end = memchr(lines.ptr, '\n', lines.len);
        size_t len = end != NULL ? (size_t)(end - lines.ptr) : lines.len;
        struct mp_ingested in;
        mp_str line = {lines.ptr, len};
        if (mp_ingest_line(w->gen->own, line, 0, 1, &in) == MP_INGEST_ENTITY) {
            MP_TRY(mp_inventory_put(w->inventory, in.entity));
        }
        if (end == NULL) break;
        lines = mp_str_sub(lines, len + 1, lines.len);
    }
    return MP_OK;
}

/* ---- who has which identity ---- */

static uint64_t hash_of(const struct mp_gate *g, mp_str identity)
{
    uint64_t hash = mp_siphash(g->key, identity.ptr, identity.len);
    return hash != 0 ? hash : 1;
}

static struct caller *find(const struct world *w, uint64_t hash, struct mp_value identity)
{
    for (uint64_t at = hash & w->caller_mask;; at = (at + 1) & w->caller_mask) {
        struct caller *c = &w->callers[at];
        if (c->hash == 0) return c;
        if (c->hash == hash && mp_value_text_eq(c->identity, identity)) return c;
    }
}

static void add(const struct mp_gate *g, struct world *w, struct mp_value identity,
                struct mp_value service)
{
    uint64_t hash = hash_of(g, mp_value_as_text(&identity));
    struct caller *c = find(w, hash, identity);
    if (c->hash != 0) {
        c->several |= !mp_value_text_eq(c->service, service);
        return;
    }
    *c = (struct caller){.hash = hash, .identity = identity, .service = service};
}

static uint32_t row_of_service(const struct mp_program *p)
{
    for (uint32_t i = 0; i < p->entity_count; i++) {
        if (mp_str_eq(mp_program_text(p, p->entity[i].name), SERVICE)) return i;
    }
    return MP_NONE;
}

static uint32_t row_of_identities(const struct mp_program *p, uint32_t service)
{
    const struct mp_entity_row *e = &p->entity[service];
    for (uint32_t i = e->attrs_at; i < e->attrs_at + e->attrs_count; i++) {
        if (mp_str_eq(mp_program_text(p, p->attr[i].name), IDENTITIES)) return i;
    }
    return MP_NONE;
}

static bool identities_of(struct world *w, uint32_t attr, struct mp_value service,
                          const struct mp_value **each, uint64_t *count)
{
    struct mp_value set;
    if (!mp_inventory_attr(w->inventory, attr, service, &set)) return false;
    *each = (const struct mp_value *)(uintptr_t)set.w[0];
    *count = set.w[1];
    return true;
}

static enum mp_err find_callers(struct mp_gate *g, struct world *w)
{
    const struct mp_program *p = w->gen->p;
    uint32_t service = row_of_service(p);
    uint32_t attr = service != MP_NONE ? row_of_identities(p, service) : MP_NONE;
    uint32_t members = service != MP_NONE ? mp_inventory_count(w->inventory, service) : 0;
    const struct mp_value *each;
    uint64_t count, all = 0, slots = 16;
    if (attr == MP_NONE) return MP_OK;
    for (uint32_t i = 0; i < members; i++) {
        if (identities_of(w, attr, mp_inventory_entry(w->inventory, service, i), &each, &count))
            all += count;
    }
    while (slots < 2 * all) slots *= 2;
    w->callers = MP_NEW(&w->arena, struct caller, slots);
    if (w->callers == NULL) return MP_ENOMEM;
    w->caller_mask = (uint32_t)slots - 1;
    for (uint32_t i = 0; i < members; i++) {
        struct mp_value key = mp_inventory_entry(w->inventory, service, i);
        if (!identities_of(w, attr, key, &each, &count)) continue;
        for (uint64_t k = 0; k < count; k++) add(g, w, each[k], key);
    }
    return MP_OK;
}

mp_str gate_caller(const struct mp_gate *g, const struct world *w, mp_str identity)
{
    if (w->callers == NULL || identity.len == 0) return MP_STR("");
    const struct caller *c = find(w, hash_of(g, identity), mp_value_text(identity));
    return c->hash != 0 && !c->several ? mp_value_as_text(&c->service) : MP_STR("");
}

/* ---- life ---- */

static enum mp_err fill(struct mp_gate *g, struct world *w, mp_str lines)
{
    struct mp_inventory_limits limits = {.members = 2 * count_lines(lines) + 64, .relations = 64,
                                         .text_bytes = 4 * lines.len + 65536};
    MP_TRY(mp_inventory_create(&w->arena, w->gen->p, &limits, g->key, &w->inventory));
    MP_TRY(put_lines(w, lines));
    mp_inventory_settle(w->inventory);
    return find_callers(g, w);
}

enum mp_err gate_world_create(struct mp_gate *g, struct generation *gen, mp_str lines,
                              struct world **out)
{
    struct world *w = g->memory.alloc(g->memory.ctx, sizeof *w);
    if (w == NULL) return MP_ENOMEM;
    *w = (struct world){.gen = gen};
    mp_arena_init(&w->arena, &g->memory, 0);
    enum mp_err err = fill(g, w, lines);
    if (err != MP_OK) {
        mp_arena_free(&w->arena);
        g->memory.free(g->memory.ctx, w, sizeof *w);
        return err;
    }
    gen->uses++;
    *out = w;
    return MP_OK;
}

void gate_world_destroy(struct mp_gate *g, struct world *w)
{
    if (--w->gen->uses == 0) gate_generation_destroy(g, w->gen);
    mp_arena_free(&w->arena);
    g->memory.free(g->memory.ctx, w, sizeof *w);
}
