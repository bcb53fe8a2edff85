/* SPDX-License-Identifier: Apache-2.0
 * What records show about entities, in order of age (language.md 4.1).
 */
#include "base/assert.h"
#include "inventory/inventory_priv.h"

#define RENEW_NS INT64_C(1000000000)
#define EVICT_TRIES 8

/* ---- what a record is asked ---- */

static uint32_t key_slot(const struct mp_program *p, uint32_t signal, uint32_t entity)
{
    const struct mp_signal_row *s = &p->signal[signal];
    for (uint32_t i = 0; i < s->keys_count; i++) {
        const struct mp_signal_key_row *k = &p->signal_key[s->keys_at + i];
        if (k->entity == entity) return k->field - s->fields_at;
    }
    return MP_NONE;
}

static bool attr_used(const struct mp_program *p, uint32_t attr)
{
    for (uint32_t i = 0; i < p->hop_count; i++) {
        if (p->hop[i].attr == attr) return true;
    }
    return false;
}

/* BELONGS and CALLERS of one signal; false: the signal does not show it. */
static bool observed(const struct mp_inventory *inv, uint32_t signal,
                     const struct mp_observe_row *o, struct watch *out)
{
    const struct mp_program *p = inv->p;
    const struct mp_attr_row *a = &p->attr[o->attr];
    if (o->kind == MP_OBSERVE_MEMBERS) return false;
    if (o->signal != MP_NONE && o->signal != signal) return false;
    uint32_t inverse = o->kind == MP_OBSERVE_BELONGS ? inv->inverse_of[o->attr] : MP_NONE;
    if (!attr_used(p, o->attr) && (inverse == MP_NONE || !attr_used(p, inverse))) return false;
    uint32_t from = key_slot(p, signal, a->entity), to = MP_NONE;
    if (o->field != MP_NONE && p->field[o->field].signal == signal) {
        to = o->field - p->signal[signal].fields_at;
    } else if (o->kind == MP_OBSERVE_BELONGS && a->target != MP_NONE) {
        to = key_slot(p, signal, a->target);
    }
    if (from == MP_NONE || to == MP_NONE || a->target == MP_NONE) return false;
    *out = (struct watch){.signal = signal, .kind = o->kind, .attr = o->attr, .from_slot = from,
                          .to_slot = to, .inverse = inverse, .via = o->via};
    return o->kind != MP_OBSERVE_CALLERS || o->via != MP_NONE;
}

/* A field such as `client.asn` that policies also reach through the key. */
static bool brought(const struct mp_inventory *inv, uint32_t signal, uint32_t slot,
                    struct watch *out)
{
    const struct mp_program *p = inv->p;
    const struct mp_field_row *f = &p->field[p->signal[signal].fields_at + slot];
    if (f->attr == MP_NONE || (f->flags & MP_FIELD_KEY) != 0) return false;
    if (!attr_used(p, f->attr) || p->attr[f->attr].is_set != 0) return false;
    uint32_t from = key_slot(p, signal, p->attr[f->attr].entity);
    if (from == MP_NONE) return false;
    *out = (struct watch){.signal = signal, .kind = MP_OBSERVE_COUNT, .attr = f->attr,
                          .from_slot = from, .to_slot = slot, .inverse = MP_NONE, .via = MP_NONE};
    return true;
}

static void find_inverses(struct mp_inventory *inv)
{
    const struct mp_program *p = inv->p;
    for (uint32_t i = 0; i < p->attr_count; i++) inv->inverse_of[i] = MP_NONE;
    for (uint32_t i = 0; i < p->observe_count; i++) {
        const struct mp_observe_row *o = &p->observe[i];
        if (o->kind != MP_OBSERVE_MEMBERS) continue;
        const struct mp_attr_row *set = &p->attr[o->attr];
        for (uint32_t b = 0; b < p->attr_count; b++) {
            const struct mp_attr_row *a = &p->attr[b];
            bool named = o->via == MP_NONE || o->via == b;
            if (named && a->is_set == 0 && a->entity == set->target && a->target == set->entity) {
                inv->inverse_of[b] = o->attr;
            }
        }
    }
}

static size_t watch_room(const struct mp_program *p)
{
    return (size_t)p->signal_count * p->observe_count + p->field_count;
}

size_t mp_relation_bytes(const struct mp_program *p)
{
    return watch_room(p) * sizeof(struct watch) +
           ((size_t)p->signal_count + 1 + p->attr_count) * sizeof(uint32_t);
}

bool mp_relation_prepare(struct mp_inventory *inv, struct mp_arena *arena)
{
    const struct mp_program *p = inv->p;
    inv->watches = MP_NEW(arena, struct watch, watch_room(p));
    inv->watch_at = MP_NEW(arena, uint32_t, p->signal_count + 1);
    inv->inverse_of = MP_NEW(arena, uint32_t, p->attr_count);
    if (inv->watches == NULL || inv->watch_at == NULL || inv->inverse_of == NULL) return false;
    find_inverses(inv);
    for (uint32_t s = 0; s < p->signal_count; s++) {
        inv->watch_at[s] = inv->watch_count;
        for (uint32_t i = 0; i < p->observe_count; i++) {
            if (observed(inv, s, &p->observe[i], &inv->watches[inv->watch_count])) {
                inv->watch_count++;
            }
        }
        for (uint32_t i = 0; i < p->signal[s].fields_count; i++) {
            if (brought(inv, s, i, &inv->watches[inv->watch_count])) inv->watch_count++;
        }
    }
    inv->watch_at[p->signal_count] = inv->watch_count;
    return true;
}

/* ---- sights ---- */

static void age_unlink(struct mp_inventory *inv, uint32_t at)
{
    struct sight *s = &inv->sights[at];
    if (s->older != MP_NONE) inv->sights[s->older].newer = s->newer;
    else inv->oldest = s->newer;
    if (s->newer != MP_NONE) inv->sights[s->newer].older = s->older;
    else inv->newest = s->older;
}

static void age_append(struct mp_inventory *inv, uint32_t at)
{
    struct sight *s = &inv->sights[at];
    s->newer = MP_NONE;
    s->older = inv->newest;
    if (inv->newest != MP_NONE) inv->sights[inv->newest].newer = at;
    else inv->oldest = at;
    inv->newest = at;
}

static void sight_drop(struct mp_inventory *inv, uint32_t at)
{
    struct sight *s = &inv->sights[at];
    struct cell *c = mp_inventory_cell(inv, s->from, s->attr);
    uint32_t *link = &c->first;
    while (*link != at) {
        MP_ASSERT(*link != MP_NONE);
        link = &inv->sights[*link].next;
    }
    *link = s->next;
    c->dirty = true;
    if (s->to == MP_NONE) mp_inventory_disown(inv, &c->seen);
    if (s->filed_ns != INT64_MAX) age_unlink(inv, at);
    uint32_t from = s->from, to = s->to;
    s->next = inv->sight_free;
    inv->sight_free = at;
    inv->sight_count--;
    inv->version++;
    inv->members[from].uses--;
    if (to != MP_NONE) {
        inv->members[to].uses--;
        mp_inventory_release(inv, to);
    }
    if (to != from) mp_inventory_release(inv, from);
}

static uint32_t sight_slot(struct mp_inventory *inv)
{
    if (inv->sight_free == MP_NONE && inv->sight_top == inv->limits.relations &&
        inv->oldest != MP_NONE) {
        sight_drop(inv, inv->oldest);
        inv->refused++;
    }
    if (inv->sight_free != MP_NONE) {
        uint32_t at = inv->sight_free;
        inv->sight_free = inv->sights[at].next;
        return at;
    }
    return inv->sight_top < inv->limits.relations ? inv->sight_top++ : MP_NONE;
}

static uint32_t sight_find(const struct mp_inventory *inv, uint32_t from, uint32_t attr,
                           uint32_t to)
{
    uint32_t at = mp_inventory_cell(inv, from, attr)->first;
    while (at != MP_NONE && inv->sights[at].to != to) at = inv->sights[at].next;
    return at;
}

/* filed_ns INT64_MAX: for ever. False: there is no room. */
static bool sight_add(struct mp_inventory *inv, uint32_t from, uint32_t attr, uint32_t to,
                      int64_t filed_ns)
{
    /* Held while making room, which may let go of members. */
    inv->members[from].uses++;
    if (to != MP_NONE) inv->members[to].uses++;
    uint32_t at = sight_slot(inv);
    if (at == MP_NONE) {
        inv->members[from].uses--;
        if (to != MP_NONE) inv->members[to].uses--;
        inv->refused++;
        return false;
    }
    struct cell *c = mp_inventory_cell(inv, from, attr);
    inv->sights[at] = (struct sight){.from = from, .attr = attr, .to = to, .next = c->first,
                                     .older = MP_NONE, .newer = MP_NONE, .filed_ns = filed_ns};
    c->first = at;
    c->dirty = true;
    inv->sight_count++;
    inv->version++;
    if (filed_ns != INT64_MAX) age_append(inv, at);
    return true;
}

static void sight_renew(struct mp_inventory *inv, uint32_t at, int64_t now_ns)
{
    struct sight *s = &inv->sights[at];
    if (s->filed_ns == INT64_MAX || now_ns - s->filed_ns < RENEW_NS) return;
    age_unlink(inv, at);
    s->filed_ns = now_ns;
    age_append(inv, at);
}

void mp_inventory_advance(struct mp_inventory *inv, int64_t now_ns)
{
    while (inv->oldest != MP_NONE &&
           now_ns - inv->sights[inv->oldest].filed_ns >= MP_INVENTORY_SEEN_NS) {
        sight_drop(inv, inv->oldest);
    }
}

/* ---- observing ---- */

static uint32_t member_or_room(struct mp_inventory *inv, uint32_t entity, struct mp_value key)
{
    uint32_t at = mp_inventory_member(inv, entity, key);
    for (int i = 0; at == MP_NONE && i < EVICT_TRIES && inv->oldest != MP_NONE; i++) {
        sight_drop(inv, inv->oldest);
        inv->refused++;
        at = mp_inventory_member(inv, entity, key);
    }
    if (at == MP_NONE) inv->refused++;
    return at;
}

/* The relation from → to was seen now. */
static void relate(struct mp_inventory *inv, uint32_t from, uint32_t attr, uint32_t to,
                   int64_t now_ns)
{
    uint32_t at = sight_find(inv, from, attr, to);
    if (at != MP_NONE) {
        sight_renew(inv, at, now_ns);
    } else {
        sight_add(inv, from, attr, to, now_ns);
    }
}

/* The attribute of `from` has this value now. True if it is another one than before. */
static bool learn(struct mp_inventory *inv, uint32_t from, uint32_t attr, struct mp_value v,
                  int64_t now_ns)
{
    enum mp_rep rep = mp_inventory_attr_rep(inv, attr);
    struct cell *c = mp_inventory_cell(inv, from, attr);
    if (c->first != MP_NONE && c->seen.is && mp_value_eq(rep, c->seen.value, v)) {
        sight_renew(inv, c->first, now_ns);
        return false;
    }
    struct owned fresh;
    if (!mp_inventory_own(inv, rep, false, v, &fresh)) {
        inv->refused++;
        return false;
    }
    if (c->first == MP_NONE && !sight_add(inv, from, attr, MP_NONE, now_ns)) {
        mp_inventory_disown(inv, &fresh);
        return false;
    }
    mp_inventory_disown(inv, &c->seen);
    c->seen = fresh;
    c->dirty = false;
    inv->version++;
    sight_renew(inv, c->first, now_ns);
    return true;
}

static void see_belongs(struct mp_inventory *inv, const struct watch *w, struct mp_value from_key,
                        struct mp_value to_key, int64_t now_ns)
{
    const struct mp_attr_row *a = &inv->p->attr[w->attr];
    uint32_t from = member_or_room(inv, a->entity, from_key);
    if (from == MP_NONE) return;
    inv->members[from].uses++;
    struct cell *c = mp_inventory_cell(inv, from, w->attr);
    if (w->inverse != MP_NONE && c->first != MP_NONE && c->seen.is &&
        !mp_value_eq(mp_inventory_attr_rep(inv, w->attr), c->seen.value, to_key)) {
        uint32_t left = mp_inventory_find(inv, a->target, c->seen.value);
        uint32_t at = left != MP_NONE ? sight_find(inv, left, w->inverse, from) : MP_NONE;
        if (at != MP_NONE && inv->sights[at].filed_ns != INT64_MAX) sight_drop(inv, at);
    }
    learn(inv, from, w->attr, to_key, now_ns);
    /* A line that says where it belongs has made the inverse itself. */
    if (w->inverse != MP_NONE && !c->said.is) {
        uint32_t to = member_or_room(inv, a->target, to_key);
        if (to != MP_NONE) {
            relate(inv, to, w->inverse, from, now_ns);
            mp_inventory_release(inv, to);
        }
    }
    inv->members[from].uses--;
    mp_inventory_release(inv, from);
}

/* ---- identities → members ---- */

static void identities_make(struct mp_inventory *inv)
{
    const struct mp_program *p = inv->p;
    memset(inv->identities, 0, ((size_t)inv->identity_mask + 1) * sizeof *inv->identities);
    inv->identities_dirty = false;
    uint32_t used = 0;
    for (uint32_t o = 0; o < p->observe_count; o++) {
        uint32_t via = p->observe[o].via;
        if (p->observe[o].kind != MP_OBSERVE_CALLERS || via == MP_NONE) continue;
        uint32_t e = p->attr[via].entity;
        for (uint32_t i = 0; i < inv->entry_count[e]; i++) {
            uint32_t at = inv->entries[e][i];
            const struct owned *said = &mp_inventory_cell(inv, at, via)->said;
            const struct mp_value *list = (const struct mp_value *)(uintptr_t)said->value.w[0];
            for (uint64_t k = 0; said->is && k < said->value.w[1]; k++) {
                if (++used > inv->identity_mask / 2) return;
                uint32_t h =
                    (uint32_t)mp_inventory_hash(inv, MP_REP_T, list[k]) & inv->identity_mask;
                while (inv->identities[h] != 0) h = (h + 1) & inv->identity_mask;
                inv->identities[h] = at + 1;
            }
        }
    }
}

static bool shows(const struct mp_inventory *inv, uint32_t at, uint32_t via,
                  struct mp_value identity)
{
    const struct owned *said = &mp_inventory_cell(inv, at, via)->said;
    const struct mp_value *list = (const struct mp_value *)(uintptr_t)said->value.w[0];
    for (uint64_t k = 0; said->is && k < said->value.w[1]; k++) {
        if (mp_value_eq(MP_REP_T, list[k], identity)) return true;
    }
    return false;
}

static void see_caller(struct mp_inventory *inv, const struct watch *w, struct mp_value callee_key,
                       struct mp_value identity, int64_t now_ns)
{
    if (inv->identities_dirty) identities_make(inv);
    uint32_t h = (uint32_t)mp_inventory_hash(inv, MP_REP_T, identity) & inv->identity_mask;
    for (; inv->identities[h] != 0; h = (h + 1) & inv->identity_mask) {
        uint32_t caller = inv->identities[h] - 1;
        if (inv->members[caller].entity != inv->p->attr[w->via].entity) continue;
        if (!shows(inv, caller, w->via, identity)) continue;
        uint32_t callee = member_or_room(inv, inv->p->attr[w->attr].entity, callee_key);
        if (callee == MP_NONE) return;
        relate(inv, callee, w->attr, caller, now_ns);
        mp_inventory_release(inv, callee);
        return;
    }
}

void mp_inventory_observe(struct mp_inventory *inv, const struct mp_record *r, int64_t now_ns)
{
    for (uint32_t i = inv->watch_at[r->signal]; i < inv->watch_at[r->signal + 1]; i++) {
        const struct watch *w = &inv->watches[i];
        bool from_known = (r->known[w->from_slot / 64] >> (w->from_slot % 64) & 1) != 0;
        bool to_known = (r->known[w->to_slot / 64] >> (w->to_slot % 64) & 1) != 0;
        if (!from_known || !to_known) continue;
        struct mp_value from = r->field[w->from_slot], to = r->field[w->to_slot];
        if (w->kind == MP_OBSERVE_BELONGS) {
            see_belongs(inv, w, from, to, now_ns);
        } else if (w->kind == MP_OBSERVE_CALLERS) {
            see_caller(inv, w, from, to, now_ns);
        } else {
            uint32_t at = member_or_room(inv, inv->p->attr[w->attr].entity, from);
            if (at == MP_NONE) continue;
            learn(inv, at, w->attr, to, now_ns);
            mp_inventory_release(inv, at);
        }
    }
}

/* ---- what lines say about the other side ---- */

void mp_relation_said(struct mp_inventory *inv, uint32_t from, uint32_t attr, struct mp_value was,
                      bool was_known)
{
    uint32_t inverse = inv->inverse_of[attr];
    if (inverse == MP_NONE) return;
    uint32_t entity = inv->p->attr[attr].target;
    if (was_known) {
        uint32_t to = mp_inventory_find(inv, entity, was);
        uint32_t at = to != MP_NONE ? sight_find(inv, to, inverse, from) : MP_NONE;
        if (at != MP_NONE) sight_drop(inv, at);
    }
    const struct cell *c = mp_inventory_cell(inv, from, attr);
    if (c->seen.is) { /* what was observed gives way */
        uint32_t to = mp_inventory_find(inv, entity, c->seen.value);
        uint32_t at = to != MP_NONE ? sight_find(inv, to, inverse, from) : MP_NONE;
        if (at != MP_NONE) sight_drop(inv, at);
    }
    if (!c->said.is) return;
    uint32_t to = mp_inventory_member(inv, entity, c->said.value);
    if (to == MP_NONE) {
        inv->refused++;
    } else if (sight_find(inv, to, inverse, from) == MP_NONE) {
        sight_add(inv, to, inverse, from, INT64_MAX);
    }
}

/* ---- sets ---- */

static void sort_values(enum mp_rep rep, struct mp_value *list, uint32_t count)
{
    /* Shell, CACM 2(7), 1959: in place, no heap */
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            struct mp_value v = list[i];
            uint32_t k = i;
            for (; k >= gap && mp_value_cmp(rep, list[k - gap], v) > 0; k -= gap) {
                list[k] = list[k - gap];
            }
            list[k] = v;
        }
    }
}

void mp_relation_build(struct mp_inventory *inv, uint32_t member, uint32_t attr)
{
    struct cell *c = mp_inventory_cell(inv, member, attr);
    c->dirty = false;
    if (inv->p->attr[attr].is_set == 0) return;
    mp_inventory_disown(inv, &c->seen);
    uint32_t count = 0;
    uint32_t at = c->first;
    for (; at != MP_NONE && count < MP_WALK_SET_MAX; at = inv->sights[at].next) {
        inv->gather[count++] = inv->members[inv->sights[at].to].key;
    }
    if (count == 0) return;
    enum mp_rep rep = mp_inventory_attr_rep(inv, attr);
    sort_values(rep, inv->gather, count);
    struct mp_value set = {{(uint64_t)(uintptr_t)inv->gather, count}};
    if (!mp_inventory_own(inv, rep, true, set, &c->seen)) inv->refused++;
}

/* ---- from one program to the next ---- */

static void adopt_one(struct mp_inventory *inv, const struct mp_inventory *old,
                      const struct sight *s)
{
    const struct member *from = &old->members[s->from];
    uint32_t entity = mp_inventory_same_entity(inv->p, old->p, from->entity);
    if (entity == MP_NONE) return;
    uint32_t attr = mp_inventory_same_attr(inv->p, entity, old->p, s->attr);
    if (attr == MP_NONE) return;
    if (s->to == MP_NONE) {
        uint32_t at = member_or_room(inv, entity, from->key);
        if (at != MP_NONE) {
            learn(inv, at, attr, mp_inventory_cell(old, s->from, s->attr)->seen.value, s->filed_ns);
            mp_inventory_release(inv, at);
        }
        return;
    }
    uint32_t target = inv->p->attr[attr].target;
    if (target != mp_inventory_same_entity(inv->p, old->p, old->members[s->to].entity)) return;
    uint32_t at = member_or_room(inv, entity, from->key);
    if (at == MP_NONE) return;
    inv->members[at].uses++;
    uint32_t to = member_or_room(inv, target, old->members[s->to].key);
    if (to != MP_NONE) relate(inv, at, attr, to, s->filed_ns);
    inv->members[at].uses--;
    mp_inventory_release(inv, at);
}

void mp_relation_adopt(struct mp_inventory *inv, const struct mp_inventory *old)
{
    for (uint32_t at = old->oldest; at != MP_NONE; at = old->sights[at].newer) {
        adopt_one(inv, old, &old->sights[at]);
    }
}
