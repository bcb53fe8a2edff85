/* SPDX-License-Identifier: Apache-2.0
 * From the engine's set to a plan of our own: checked whole, copied, put in order, compared.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "envoy_xds/envoy_xds_priv.h"

static mp_str str_of(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }

/* ---- copies ---- */

static bool text_copy(struct mp_arena *a, struct mpol_text *t)
{
    if (t->len == 0) {
        *t = (struct mpol_text){"", 0};
        return true;
    }
    mp_str s = mp_arena_str(a, str_of(*t));
    *t = (struct mpol_text){s.ptr, s.len};
    return s.ptr != NULL;
}

/* Of a long list most words are those of the lease before. */
static bool word_copy(struct mp_arena *a, const struct mpol_text *before, struct mpol_text *t)
{
    if (before == NULL || !mp_str_eq(str_of(*before), str_of(*t))) return text_copy(a, t);
    *t = *before;
    return true;
}

/* `before`: a lease whose texts live as long; NULL: there is none. */
static enum mp_err lease_copy(struct mp_arena *a, const struct mpol_lease *from,
                              const struct mpol_lease *before, struct mpol_lease *out)
{
    *out = *from;
    if (!word_copy(a, before != NULL ? &before->rule : NULL, &out->rule) ||
        !word_copy(a, before != NULL ? &before->verb : NULL, &out->verb) ||
        !word_copy(a, before != NULL ? &before->target_kind : NULL, &out->target_kind) ||
        !word_copy(a, before != NULL ? &before->target_type : NULL, &out->target_type) ||
        !text_copy(a, &out->target))
        return MP_ELIMIT;
    if (from->arg_count == 0) return MP_OK;
    struct mpol_arg *args = MP_NEW(a, struct mpol_arg, from->arg_count);
    if (args == NULL) return MP_ELIMIT;
    for (uint32_t i = 0; i < from->arg_count; i++) {
        args[i] = from->args[i];
        if (!text_copy(a, &args[i].name) || !text_copy(a, &args[i].type)) return MP_ELIMIT;
        if (args[i].kind == MPOL_ARG_TEXT && !text_copy(a, &args[i].text)) return MP_ELIMIT;
    }
    out->args = args;
    return MP_OK;
}

/* ---- order ---- */

/* The two lists are sorted as one. */
struct pair {
    struct mpol_lease lease;
    struct lease note;
};

/* Room that is written before it is read: of long lists, zeros cost more than what is in them. */
#define ROOM(arena, type, count)                                                                   \
    ((type *)mp_arena_alloc_raw((arena), (count) * sizeof(type), _Alignof(type)))

static int order(const struct lease *a, const struct mpol_lease *la, const struct lease *b,
                 const struct mpol_lease *lb)
{
    int owners = mp_str_cmp(a->owner, b->owner);
    if (owners != 0) return owners;
    return (la->id > lb->id) - (la->id < lb->id);
}

static int pair_order(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;
    return order(&a->note, &a->lease, &b->note, &b->lease);
}

/* Most sets come in order. */
static bool is_sorted(const struct plan *p)
{
    for (uint32_t i = 1; i < p->count; i++) {
        if (order(&p->notes[i - 1], &p->leases[i - 1], &p->notes[i], &p->leases[i]) >= 0)
            return false;
    }
    return true;
}

/* Ids are unique in a set: two of one id would make the answer depend on their order. */
static enum mp_err sort(struct plan *p)
{
    if (is_sorted(p)) return MP_OK;
    struct pair *pairs = ROOM(&p->arena, struct pair, p->count);
    if (pairs == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < p->count; i++) pairs[i] = (struct pair){p->leases[i], p->notes[i]};
    qsort(pairs, p->count, sizeof *pairs, pair_order);
    for (uint32_t i = 0; i < p->count; i++) {
        if (i > 0 && pair_order(&pairs[i - 1], &pairs[i]) == 0) return MP_EINVAL;
        p->leases[i] = pairs[i].lease;
        p->notes[i] = pairs[i].note;
    }
    return MP_OK;
}

/* ---- what is different ---- */

static bool text_eq(struct mpol_text a, struct mpol_text b)
{
    return mp_str_eq(str_of(a), str_of(b));
}

static bool number_eq(double a, double b) { return !(a < b) && !(a > b); }

static bool arg_eq(const struct mpol_arg *a, const struct mpol_arg *b)
{
    return text_eq(a->name, b->name) && text_eq(a->type, b->type) && a->kind == b->kind &&
           a->integer == b->integer && number_eq(a->number, b->number) &&
           (a->kind != MPOL_ARG_TEXT || text_eq(a->text, b->text));
}

/* Its end is not compared: a proxy forgets nothing by itself. */
static bool lease_eq(const struct mpol_lease *a, const struct mpol_lease *b)
{
    if (a->incident != b->incident || a->hooks != b->hooks || a->arg_count != b->arg_count)
        return false;
    if (!number_eq(a->given_back, b->given_back) || !text_eq(a->rule, b->rule)) return false;
    if (!text_eq(a->verb, b->verb) || !text_eq(a->target, b->target)) return false;
    if (!text_eq(a->target_kind, b->target_kind)) return false;
    if (!text_eq(a->target_type, b->target_type)) return false;
    for (uint32_t i = 0; i < a->arg_count; i++) {
        if (!arg_eq(&a->args[i], &b->args[i])) return false;
    }
    return true;
}

static size_t compare(const struct plan *old, struct plan *p, const struct mpol_lease **changed)
{
    size_t n = 0;
    uint32_t a = 0, b = 0;
    while (a < old->count || b < p->count) {
        int o = a == old->count ? 1
                : b == p->count
                    ? -1
                    : order(&old->notes[a], &old->leases[a], &p->notes[b], &p->leases[b]);
        if (o < 0) {
            changed[n++] = &old->leases[a++];
        } else if (o > 0) {
            changed[n++] = &p->leases[b++];
        } else {
            p->notes[b].carried = old->notes[a].carried;
            if (!lease_eq(&old->leases[a], &p->leases[b])) {
                changed[n++] = &old->leases[a];
                changed[n++] = &p->leases[b];
            }
            a++;
            b++;
        }
    }
    return n;
}

/* ---- a plan ---- */

static const struct mpol_lease *newest(const struct plan *p)
{
    return p->count > 0 ? &p->leases[p->count - 1] : NULL;
}

static enum mp_err take_others(struct mp_envoy *e, mp_str owner, struct plan *p)
{
    for (uint32_t i = 0; i < e->plan.count; i++) {
        const struct lease *note = &e->plan.notes[i];
        if (mp_str_eq(note->owner, owner)) continue;
        MP_TRY(lease_copy(&p->arena, &e->plan.leases[i], newest(p), &p->leases[p->count]));
        p->notes[p->count].owner = mp_arena_str(&p->arena, note->owner);
        if (p->notes[p->count++].owner.ptr == NULL) return MP_ELIMIT;
    }
    return MP_OK;
}

static enum mp_err take_set(const struct mpol_desired *set, struct plan *p)
{
    mp_str owner = mp_arena_str(&p->arena, str_of(set->owner));
    if (owner.ptr == NULL) return MP_ELIMIT;
    for (size_t i = 0; i < set->lease_count; i++) {
        MP_TRY(lease_copy(&p->arena, &set->leases[i], newest(p), &p->leases[p->count]));
        p->notes[p->count++].owner = owner;
    }
    return MP_OK;
}

/* All of them, once: whoever is told of them is told from what was read here. */
static enum mp_err read(const struct mp_envoy *e, struct plan *p)
{
    char why[WHY_MAX] = "";
    const struct mpol_lease *bad;
    enum mp_err err = mp_envoy_read(p->leases, p->count, &p->arena, &p->read, &bad);
    if (err == MP_OK || err == MP_ENOMEM) return err;
    mp_envoy_lease_fits(bad, why, sizeof why);
    xd_log(e, MP_ENVOY_WARNING, "lease %llu is refused: %s", (unsigned long long)bad->id, why);
    return err;
}

static enum mp_err fill(struct mp_envoy *e, const struct mpol_desired *set, struct plan *p,
                        const struct mpol_lease ***changed, size_t *changed_count)
{
    size_t most = set->lease_count + e->plan.count;
    p->leases = ROOM(&p->arena, struct mpol_lease, most + 1);
    p->notes = MP_NEW(&p->arena, struct lease, most + 1);
    p->places = ROOM(&p->arena, struct mpol_lease, most + 1);
    *changed = ROOM(&p->arena, const struct mpol_lease *, 2 * most + 1);
    if (p->leases == NULL || p->notes == NULL || p->places == NULL || *changed == NULL)
        return MP_ENOMEM;
    MP_TRY(take_others(e, str_of(set->owner), p));
    MP_TRY(take_set(set, p));
    if (p->count > e->limits.leases) return MP_ELIMIT;
    MP_TRY(sort(p));
    MP_TRY(read(e, p));
    plan_places(p);
    *changed_count = compare(&e->plan, p, *changed);
    return MP_OK;
}

enum mp_err plan_make(struct mp_envoy *e, const struct mpol_desired *set, struct plan *out,
                      const struct mpol_lease ***changed, size_t *changed_count)
{
    if (set->lease_count > e->limits.leases) return MP_ELIMIT;
    *out = (struct plan){.count = 0};
    /* Texts, and what a lease of `limits` many takes in all lists. */
    size_t lists = (set->lease_count + e->plan.count + 64) * 1024;
    mp_arena_init(&out->arena, &e->alloc, e->limits.lease_bytes + lists);
    enum mp_err err = fill(e, set, out, changed, changed_count);
    if (err != MP_OK) mp_arena_free(&out->arena);
    return err;
}
