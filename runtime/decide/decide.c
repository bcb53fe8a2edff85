/* SPDX-License-Identifier: Apache-2.0
 * Guards and limits. A quota looks at the state after the action: the leases in force, and those of
 * the step that asks. Counting is exact or the step is withheld.
 */
#include "decide/decide.h"

#include "base/assert.h"

/* A set of hashes, emptied by raising `round`. */
struct hashes {
    uint64_t *slots;
    uint32_t *rounds;
    uint32_t size, round; /* size is a power of two */
    uint32_t count;
    uint64_t more; /* that are counted and not told apart: the rest of ranges of addresses */
    bool full;
};

struct mp_decide {
    struct mp_hash_key key;
    struct mp_admitted *log; /* a ring */
    uint32_t log_size;
    uint64_t noted; /* number n lies at n % log_size */
    struct hashes seen;
};

enum mp_err mp_decide_create(struct mp_arena *a, uint32_t admissions, uint32_t leases,
                             struct mp_hash_key key, struct mp_decide **out)
{
    struct mp_decide *d = MP_NEW(a, struct mp_decide, 1);
    if (d == NULL) return MP_ENOMEM;
    d->key = key;
    d->log_size = admissions;
    d->log = MP_NEW(a, struct mp_admitted, admissions);
    uint32_t size = 1024;
    while (size < 2 * (admissions + leases) && size < (1u << 24)) size *= 2;
    d->seen.size = size;
    d->seen.slots = MP_NEW(a, uint64_t, size);
    d->seen.rounds = MP_NEW(a, uint32_t, size);
    if (d->log == NULL || d->seen.slots == NULL || d->seen.rounds == NULL) return MP_ENOMEM;
    *out = d;
    return MP_OK;
}

static void empty(struct hashes *h)
{
    if (++h->round == 0) {
        memset(h->rounds, 0, h->size * sizeof *h->rounds);
        h->round = 1;
    }
    h->count = 0;
    h->more = 0;
    h->full = false;
}

static void add(struct hashes *h, uint64_t hash)
{
    uint32_t mask = h->size - 1;
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        if (h->rounds[i] == h->round && h->slots[i] == hash) return;
        if (h->rounds[i] == h->round) continue;
        if (h->count >= h->size / 2) {
            h->full = true;
            return;
        }
        h->slots[i] = hash;
        h->rounds[i] = h->round;
        h->count++;
        return;
    }
}

static uint64_t value_hash(const struct mp_decide *d, uint32_t type, struct mp_value v)
{
    if (mp_type_rep(type) == MP_REP_T) {
        mp_str s = mp_value_as_text(&v);
        return mp_siphash(d->key, s.ptr, s.len);
    }
    return mp_siphash(d->key, &v, sizeof v);
}

static uint64_t target_hash(const struct mp_decide *d, uint32_t entity, uint32_t type,
                            struct mp_value v)
{
    uint64_t words[2] = {entity != MP_NONE ? entity : (uint64_t)type << 32, value_hash(d, type, v)};
    return mp_siphash_words(d->key, words, 2);
}

/* ---- who asks ---- */

/* A quota as it is asked: whose leases it counts, and about which target. */
struct ask {
    const struct mp_program *p;
    const struct mp_decide_world *world;
    const struct mp_quota_row *quota;
    uint32_t rule;           /* `limit`: only this rule's leases; MP_NONE: everybody's */
    mp_str verb;             /* `never VERB`; empty: any */
    uint32_t entity, type;   /* kind of target that is counted; entity and type NONE: any */
    bool shadow;
    uint64_t hash;           /* of owner and text: the same over a reload */
    bool per_known;
    struct mp_value per;     /* the group that is counted, where the quota has one */
};

static bool same_verb(const struct ask *q, const struct mp_lease *l)
{
    if (q->verb.len == 0) return true;
    return mp_str_eq(mp_program_text(q->p, q->p->action[l->action].name), q->verb);
}

static bool same_kind(const struct ask *q, const struct mp_lease *l)
{
    if (q->entity != MP_NONE) return l->target.entity == q->entity;
    if (q->type != MP_TYPE_NONE) return l->target.entity == MP_NONE && l->target.type == q->type;
    return true;
}

static bool counts(const struct ask *q, const struct mp_lease *l)
{
    if (l->shadow != q->shadow || !same_verb(q, l)) return false;
    return q->rule == MP_NONE || l->rule == q->rule;
}

/* The attribute of `entity` that holds its members of kind `member`: a lease on a service counts as
 * all its instances (R44). */
static uint32_t members_attr(const struct mp_program *p, uint32_t entity, uint32_t member)
{
    if (entity == MP_NONE || member == MP_NONE || entity == member) return MP_NONE;
    for (uint32_t i = 0; i < p->observe_count; i++) {
        const struct mp_observe_row *o = &p->observe[i];
        const struct mp_attr_row *a = &p->attr[o->attr];
        if (o->kind != MP_OBSERVE_MEMBERS) continue;
        if (a->entity == entity && a->target == member) return o->attr;
    }
    return MP_NONE;
}

static bool group_of(const struct ask *q, struct mp_value target, struct mp_value *out)
{
    return q->quota->per_walk != MP_NONE &&
           q->world->walk(q->world->ctx, q->quota->per_walk, target, out);
}

static enum mp_rep per_rep(const struct ask *q)
{
    return mp_type_rep(q->p->walk[q->quota->per_walk].type);
}

/* Is this target in the group that is asked about? */
static bool in_group(const struct ask *q, struct mp_value target)
{
    if (q->quota->per_walk == MP_NONE) return true;
    struct mp_value per;
    if (!q->per_known || !group_of(q, target, &per)) return false;
    return mp_value_eq(per_rep(q), per, q->per);
}

static void add_target(struct mp_decide *d, const struct ask *q, uint32_t entity, uint32_t type,
                       struct mp_value v)
{
    if (in_group(q, v)) add(&d->seen, target_hash(d, entity, type, v));
}

/* Adds what a lease counts as. */
static void add_lease(struct mp_decide *d, const struct ask *q, const struct mp_lease *l)
{
    if (!counts(q, l)) return;
    if (same_kind(q, l) && l->target.bits != 0) {
        uint32_t host_bits = 128 - l->target.bits;
        d->seen.more += (host_bits < 48 ? UINT64_C(1) << host_bits : UINT64_C(1) << 48) - 1;
    }
    if (same_kind(q, l)) {
        add_target(d, q, l->target.entity, l->target.type, l->target.value);
        return;
    }
    uint32_t attr = members_attr(q->p, l->target.entity, q->entity);
    struct mp_value set;
    if (attr == MP_NONE || !q->world->attr(q->world->ctx, attr, l->target.value, &set)) return;
    const struct mp_value *members = (const struct mp_value *)(uintptr_t)set.w[0];
    for (uint64_t i = 0; i < set.w[1]; i++) {
        add_target(d, q, q->entity, q->p->attr[attr].type, members[i]);
    }
}

static void add_live(struct mp_decide *d, const struct ask *q)
{
    uint32_t cursor = 0;
    const struct mp_lease *l;
    while ((l = q->world->live(q->world->ctx, q->shadow, &cursor)) != NULL) add_lease(d, q, l);
}

static uint64_t oldest(const struct mp_decide *d)
{
    return d->noted > d->log_size ? d->noted - d->log_size : 0;
}

static uint64_t per_hash(const struct mp_decide *d, const struct ask *q)
{
    return q->per_known ? value_hash(d, q->p->walk[q->quota->per_walk].type, q->per) : 0;
}

/* Adds the admissions of the quota's time. False: some of them may have been forgotten. */
static bool add_logged(struct mp_decide *d, const struct ask *q, int64_t now_ns)
{
    int64_t from = now_ns - q->quota->per_ns;
    uint64_t per = per_hash(d, q);
    for (uint64_t n = oldest(d); n < d->noted; n++) {
        const struct mp_admitted *a = &d->log[n % d->log_size];
        if (a->time_ns <= from || a->quota != q->hash || a->shadow != q->shadow) continue;
        if (a->per == per) add(&d->seen, a->target);
    }
    return oldest(d) == 0 || d->log[oldest(d) % d->log_size].time_ns <= from;
}

/* ---- the arithmetic ---- */

uint64_t mp_decide_share(uint64_t members, double percent)
{
    if (!(percent > 0)) return 0;
    double scaled = percent * 1e6 + 0.5;
    if (scaled < 9e12) {
        uint64_t millionths = (uint64_t)scaled;
        bool exact = (double)millionths / 1e6 == percent;
        if (exact && members < (1ull << 32) && millionths < (1ull << 31)) {
            return members * millionths / 1000000;
        }
    }
    double share = (double)members * percent;
    return share < 9e18 ? (uint64_t)share : UINT64_MAX;
}

/* How many the quota allows; false: not known, so nothing may be done. */
static bool allowed(const struct ask *q, struct mp_value target, uint64_t *out)
{
    if (q->quota->percent <= 0) {
        *out = q->quota->count;
        return true;
    }
    uint64_t members = 0;
    if (q->quota->members == MP_NONE) {
        if (q->quota->entity != MP_NONE) {
            members = q->world->members(q->world->ctx, q->quota->entity);
        }
    } else {
        struct mp_value set;
        if (!q->world->walk(q->world->ctx, q->quota->members, target, &set)) return false;
        members = set.w[1];
    }
    *out = mp_decide_share(members, q->quota->percent);
    return members > 0;
}

/* Would the step be within the quota, seen from its lease `l`? */
static bool within(struct mp_decide *d, struct ask *q, const struct mp_lease *l,
                   const struct mp_lease *const *step, uint32_t count, int64_t now_ns,
                   struct mp_admission *out)
{
    q->per_known = group_of(q, l->target.value, &q->per);
    if (q->quota->per_walk != MP_NONE && !q->per_known) return false;
    if (!allowed(q, l->target.value, &out->allowed)) return false;

    empty(&d->seen);
    for (uint32_t i = 0; i < count; i++) add_lease(d, q, step[i]);
    bool whole = true;
    if (q->quota->per_ns > 0) {
        whole = add_logged(d, q, now_ns);
    } else {
        add_live(d, q);
    }
    out->count = d->seen.count + d->seen.more;
    if (!whole || d->seen.full) {
        out->why = MP_DECIDE_FULL;
        return false;
    }
    return out->count <= out->allowed;
}

/* ---- every quota that concerns a lease ---- */

static uint64_t quota_hash(const struct mp_decide *d, const struct mp_program *p, mp_str owner,
                           const struct mp_quota_row *quota)
{
    mp_str text = mp_program_text(p, quota->text);
    uint64_t words[2] = {mp_siphash(d->key, owner.ptr, owner.len),
                         mp_siphash(d->key, text.ptr, text.len)};
    return mp_siphash_words(d->key, words, 2);
}

static struct ask ask_guard(const struct mp_decide *d, const struct mp_program *p,
                            const struct mp_decide_world *world, uint32_t guard, bool shadow)
{
    const struct mp_guard_row *g = &p->guard[guard];
    const struct mp_quota_row *quota = &p->quota[g->quota];
    /* What is counted is what the quota names:
     * `never quarantine svc more than 20% of instances`. */
    uint32_t entity = quota->entity != MP_NONE ? quota->entity : g->entity;
    return (struct ask){.p = p, .world = world, .quota = quota, .rule = MP_NONE,
                        .verb = mp_program_text(p, g->verb), .entity = entity, .type = g->type,
                        .shadow = shadow,
                        .hash = quota_hash(d, p, mp_program_text(p, g->text), quota)};
}

/* A rule's own `limit` is no matter of what an operator decides by hand (rule NONE). */
static bool has_limit(const struct mp_program *p, const struct mp_lease *l)
{
    return l->rule != MP_NONE && p->rule[l->rule].limit != MP_NONE;
}

static struct ask ask_limit(const struct mp_decide *d, const struct mp_program *p,
                            const struct mp_decide_world *world, const struct mp_lease *l)
{
    const struct mp_rule_row *r = &p->rule[l->rule];
    const struct mp_quota_row *quota = &p->quota[r->limit];
    return (struct ask){.p = p, .world = world, .quota = quota, .rule = l->rule,
                        .entity = quota->entity, .type = MP_TYPE_NONE, .shadow = l->shadow,
                        .hash = quota_hash(d, p, mp_program_text(p, r->name), quota)};
}

static bool guard_concerns(const struct mp_program *p, const struct mp_guard_row *g,
                           const struct mp_lease *l)
{
    if (!mp_str_eq(mp_program_text(p, g->verb), mp_program_text(p, p->action[l->action].name))) {
        return false;
    }
    if (g->entity != MP_NONE) return l->target.entity == g->entity;
    return g->type == MP_TYPE_NONE || (l->target.entity == MP_NONE && l->target.type == g->type);
}

static bool guard_admits(struct mp_decide *d, const struct mp_program *p,
                         const struct mp_decide_world *world, uint32_t guard,
                         const struct mp_lease *l, const struct mp_lease *const *step,
                         uint32_t count, int64_t now_ns, struct mp_admission *out)
{
    const struct mp_guard_row *g = &p->guard[guard];
    out->guard = guard;
    if (g->kind == MP_GUARD_WHERE_LEASE) {
        out->why = MP_DECIDE_WHERE;
        return world->guard(world->ctx, guard, &l->target) == MP_FALSE;
    }
    out->why = MP_DECIDE_MORE_THAN;
    struct ask q = ask_guard(d, p, world, guard, l->shadow);
    return within(d, &q, l, step, count, now_ns, out);
}

bool mp_decide_admit(struct mp_decide *d, const struct mp_program *p,
                     const struct mp_decide_world *world, const struct mp_lease *const *step,
                     uint32_t count, int64_t now_ns, struct mp_admission *out)
{
    for (uint32_t i = 0; i < count; i++) {
        *out = (struct mp_admission){.guard = MP_NONE, .lease = i};
        for (uint32_t g = 0; g < p->guard_count; g++) {
            if (p->guard[g].kind == MP_GUARD_WHERE_RECORD) continue; /* at the verdict (R43) */
            if (!guard_concerns(p, &p->guard[g], step[i]) || !world->alive(world->ctx, g)) continue;
            if (!guard_admits(d, p, world, g, step[i], step, count, now_ns, out)) return false;
        }
        out->guard = MP_NONE;
        if (!has_limit(p, step[i])) continue;
        struct ask q = ask_limit(d, p, world, step[i]);
        out->why = MP_DECIDE_LIMIT;
        if (!within(d, &q, step[i], step, count, now_ns, out)) return false;
    }
    *out = (struct mp_admission){.why = MP_DECIDE_ADMITTED, .guard = MP_NONE};
    return true;
}

/* Silence forbids, but where only a yes does. */
static bool where_forbids(const struct mp_decide_world *world, uint32_t guard,
                          const struct mp_lease *l, enum mp_decide_ask ask)
{
    enum mp_truth truth = world->guard(world->ctx, guard, &l->target);
    return ask == MP_DECIDE_ASK_TRUE ? truth == MP_TRUE : truth != MP_FALSE;
}

bool mp_decide_forbids(struct mp_decide *d, const struct mp_program *p,
                       const struct mp_decide_world *world, const struct mp_lease *l,
                       enum mp_decide_ask ask, int64_t now_ns, struct mp_admission *out)
{
    for (uint32_t g = 0; g < p->guard_count; g++) {
        uint32_t kind = p->guard[g].kind;
        if (kind == MP_GUARD_WHERE_RECORD) continue; /* at the verdict (R43) */
        if (kind == MP_GUARD_MORE_THAN && ask != MP_DECIDE_ASK_ALL) continue;
        if (!guard_concerns(p, &p->guard[g], l) || !world->alive(world->ctx, g)) continue;
        *out = (struct mp_admission){.guard = g, .why = MP_DECIDE_WHERE};
        bool forbids = kind == MP_GUARD_WHERE_LEASE
                           ? where_forbids(world, g, l, ask)
                           : !guard_admits(d, p, world, g, l, &l, 1, now_ns, out);
        if (forbids) return true;
    }
    return false;
}

static void remember(struct mp_decide *d, struct ask *q, const struct mp_lease *l, int64_t now_ns)
{
    if (q->quota->per_ns <= 0) return;
    q->per_known = group_of(q, l->target.value, &q->per);
    uint64_t per = per_hash(d, q);
    empty(&d->seen);
    add_lease(d, q, l);
    for (uint32_t i = 0; i < d->seen.size; i++) {
        if (d->seen.rounds[i] != d->seen.round) continue;
        struct mp_admitted a = {now_ns, q->hash, d->seen.slots[i], per, l->shadow};
        d->log[d->noted++ % d->log_size] = a;
        if (--d->seen.count == 0) break;
    }
}

void mp_decide_note(struct mp_decide *d, const struct mp_program *p,
                    const struct mp_decide_world *world, const struct mp_lease *const *step,
                    uint32_t count, int64_t now_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t g = 0; g < p->guard_count; g++) {
            if (p->guard[g].kind != MP_GUARD_MORE_THAN) continue;
            if (!guard_concerns(p, &p->guard[g], step[i])) continue;
            struct ask q = ask_guard(d, p, world, g, step[i]->shadow);
            remember(d, &q, step[i], now_ns);
        }
        if (!has_limit(p, step[i])) continue;
        struct ask q = ask_limit(d, p, world, step[i]);
        remember(d, &q, step[i], now_ns);
    }
}

uint64_t mp_decide_noted(const struct mp_decide *d) { return d->noted; }

bool mp_decide_admitted(const struct mp_decide *d, uint64_t n, struct mp_admitted *out)
{
    if (n < oldest(d) || n >= d->noted) return false;
    *out = d->log[n % d->log_size];
    return true;
}

void mp_decide_restore(struct mp_decide *d, uint64_t n, const struct mp_admitted *a)
{
    d->log[n % d->log_size] = *a;
    if (n >= d->noted) d->noted = n + 1;
}
