/* SPDX-License-Identifier: Apache-2.0 */
#include "verdict/verdict.h"

#include "base/assert.h"
#include "verdict/verdict_priv.h"

/* Strength of a `challenge` lease in class access, as the vocabulary has it for the verb. */
#define CHALLENGE_STRENGTH 20

/* ---- leases ---- */

/* The leases that decide, of all that concern the request. */
struct leases {
    const struct mp_inproc_lease *exempt;
    const struct mp_inproc_lease *denial; /* deny before quarantine, then the oldest */
    const struct mp_inproc_lease *cut;    /* the oldest that the stream began before */
    int64_t began_ns;                     /* of the stream */
};

/* Of a request that begins now no lease says that it be cut. */
#define BEGINS_NOW INT64_MAX

static bool value_of(struct mp_verdict_scratch *s, uint32_t walk, struct mp_value *out)
{
    const struct mp_walk_row *w = &s->plan->p->walk[walk];
    if (w->base == MP_WALK_FIELD && w->hops_count == 0) {
        if ((s->known[w->index / 64] >> (w->index % 64) & 1) == 0) return false;
        *out = s->record.field[w->index];
        return true;
    }
    return s->inventory != NULL && mp_walk_resolve(s->inventory, walk, &s->record, NULL, out);
}

static struct mp_value who_asks(const struct signal_plan *sp, const struct mp_verdict_scratch *s,
                                enum mp_rep *rep)
{
    *rep = MP_REP_A;
    if (sp->client == MP_NONE || (s->known[sp->client / 64] >> (sp->client % 64) & 1) == 0) {
        return (struct mp_value){{0, 0}};
    }
    return s->record.field[sp->client];
}

static bool outranks(const struct mp_inproc_lease *a, const struct mp_inproc_lease *b)
{
    if (b == NULL) return true;
    if (a->verb != b->verb) return a->verb == MP_INPROC_DENY;
    return a->id < b->id;
}

static bool stricter(const struct mp_bucket_limit *a, const struct mp_bucket_limit *b)
{
    return a->share != b->share ? a->share < b->share : a->interval_ns > b->interval_ns;
}

/* Percent with percent and rate with rate on one target: the stricter one holds, not both (R32).
 * `from` is where the throttles of this target begin. */
static void meet_lease_throttle(const struct mp_inproc_view *view, const struct mp_inproc_lease *l,
                                uint32_t from, struct met *met)
{
    struct met_throttle t = {.bucket = &view->buckets[l->bucket], .limit = l->limit,
                             .rule = l->rule, .incident = l->incident, .status = l->status};
    for (uint32_t i = from; i < met->throttle_count; i++) {
        struct met_throttle *other = &met->throttles[i];
        if ((other->limit.interval_ns != 0) != l->is_rate) continue;
        if (stricter(&t.limit, &other->limit)) *other = t;
        return;
    }
    if (met->throttle_count < THROTTLES_MAX) met->throttles[met->throttle_count++] = t;
}

static void meet_lease(const struct signal_plan *sp, const struct mp_inproc_view *view,
                       const struct mp_inproc_lease *l, uint32_t from, struct mp_verdict_scratch *s,
                       struct leases *out, struct met *met)
{
    enum mp_rep rep;
    struct mp_value who;
    switch (l->verb) {
    case MP_INPROC_EXEMPT:
        out->exempt = l;
        return;
    case MP_INPROC_DENY:
    case MP_INPROC_QUARANTINE:
        who = who_asks(sp, s, &rep);
        if (mp_inproc_given_back(view, l, rep, who)) return;
        if (outranks(l, out->denial)) out->denial = l;
        return;
    case MP_INPROC_THROTTLE:
        meet_lease_throttle(view, l, from, met);
        return;
    case MP_INPROC_CHALLENGE:
        mp_verdict_access(met, CHALLENGE_STRENGTH, false, l->status,
                          mp_inproc_verb_word(l->verb), l->rule, l->incident, MP_NONE);
        return;
    case MP_INPROC_CUT:
        if (out->began_ns >= l->begins_wall_ns) return;
        if (out->cut == NULL || l->id < out->cut->id) out->cut = l;
        return;
    case MP_INPROC_VERB_COUNT:
        MP_UNREACHABLE("no such verb");
    }
}

/* Ranges that the address lies in. */
static void meet_ranges(const struct signal_plan *sp, const struct mp_inproc_view *view,
                        const struct reach_plan *reach, struct mp_value address,
                        struct mp_verdict_scratch *s, struct leases *out, struct met *met)
{
    const struct mp_inproc_lease *l = mp_inproc_first_range(view);
    for (; l != NULL; l = mp_inproc_next(view, l)) {
        if (l->kind != reach->kind || (l->hooks & s->record.layer) == 0) continue;
        if (!mp_value_in_net(address, l->key, l->bits)) continue;
        meet_lease(sp, view, l, met->throttle_count, s, out, met);
    }
}

static void meet_leases(const struct signal_plan *sp, const struct mp_inproc_view *view,
                        struct mp_verdict_scratch *s, struct leases *out, struct met *met)
{
    for (uint32_t i = 0; i < sp->reach_count; i++) {
        const struct reach_plan *reach = &sp->reaches[i];
        struct mp_value target;
        if ((view->kinds >> reach->kind & 1) == 0) continue;
        if (!value_of(s, reach->walk, &target)) continue;
        uint32_t from = met->throttle_count;
        const struct mp_inproc_lease *l = mp_inproc_find(view, reach->kind, reach->rep, target);
        for (; l != NULL; l = mp_inproc_next(view, l)) {
            if ((l->hooks & s->record.layer) == 0) continue;
            /* The caller's side is met by what concerns both directions alone (R30). */
            if (reach->outbound && l->verb != MP_INPROC_QUARANTINE) continue;
            meet_lease(sp, view, l, from, s, out, met);
        }
        if (view->ranges != 0 && reach->rep == MP_REP_A && !reach->outbound) {
            meet_ranges(sp, view, reach, target, s, out, met);
        }
    }
}

/* ---- answers ---- */

static void refuse_by_lease(const struct mp_inproc_lease *l, int64_t now_ns,
                            struct mp_verdict_answer *out)
{
    out->allow = false;
    out->status = l->status;
    out->reason = MP_VERDICT_REASON_LEASE;
    out->rule = l->rule;
    out->verb = mp_inproc_verb_word(l->verb);
    out->incident = l->incident;
    out->retry_after_ns = l->ends_wall_ns > now_ns ? l->ends_wall_ns - now_ns : 0;
}

static void mark_refused(const struct mp_verdict_plan *plan, mp_str rule,
                         struct mp_verdict_answer *out)
{
    for (uint32_t i = 0; i < out->fired_count; i++) {
        mp_str name = mp_program_text(plan->p, plan->p->rule[out->fired[i].rule].name);
        if (mp_str_eq(name, rule)) out->fired[i].refused = true;
    }
}

static void refuse_by_throttle(const struct mp_verdict_plan *plan, const struct met_throttle *t,
                               int64_t now_ns, struct mp_verdict_answer *out)
{
    out->allow = false;
    out->status = t->status;
    out->reason = t->inline_rule ? MP_VERDICT_REASON_INLINE : MP_VERDICT_REASON_LEASE;
    out->rule = t->rule;
    out->verb = mp_inproc_verb_word(MP_INPROC_THROTTLE);
    out->incident = t->incident;
    out->retry_after_ns = t->bucket != NULL ? mp_bucket_wait(t->bucket, &t->limit, now_ns) : 0;
    if (t->inline_rule) mark_refused(plan, t->rule, out);
}

/* No token is taken unless all have one (R31). The answer is the one that had none, or NULL. */
static const struct met_throttle *throttled(struct met *met, int64_t now_ns)
{
    const struct met_throttle *without = NULL;
    for (uint32_t i = 0; i < met->throttle_count; i++) {
        struct met_throttle *t = &met->throttles[i];
        bool has = t->bucket != NULL && mp_bucket_offer(t->bucket, &t->limit, now_ns);
        if (!has && without == NULL) without = t;
    }
    if (without != NULL) return without;
    for (uint32_t i = 0; i < met->throttle_count; i++) {
        struct met_throttle *t = &met->throttles[i];
        if (mp_bucket_take(t->bucket, &t->limit, now_ns)) continue;
        while (i-- > 0) {
            mp_bucket_undo(met->throttles[i].bucket, &met->throttles[i].limit);
        }
        return t;
    }
    return NULL;
}

static void refuse_by_access(const struct mp_verdict_plan *plan, const struct met *met,
                             struct mp_verdict_answer *out)
{
    out->allow = false;
    out->status = met->access_status;
    out->reason = met->access_row == MP_NONE ? MP_VERDICT_REASON_LEASE : MP_VERDICT_REASON_INLINE;
    out->rule = met->access_rule;
    out->verb = met->access_verb;
    out->incident = met->access_incident;
    if (met->access_row != MP_NONE) mark_refused(plan, met->access_rule, out);
}

static void pass(enum mp_verdict_reason reason, mp_str rule, struct mp_verdict_answer *out)
{
    out->allow = true;
    out->reason = reason;
    out->rule = rule;
}

static void meet_nothing(struct met *met)
{
    memset(met, 0, offsetof(struct met, throttles));
}

void mp_verdict_ask(const struct mp_verdict_plan *plan, struct mp_verdict_buckets *buckets,
                    const struct mp_inproc_view *view, struct mp_inventory *inventory,
                    const struct mp_record *request, struct mp_verdict_scratch *s,
                    struct mp_verdict_answer *out)
{
    MP_ASSERT(request->signal < plan->p->signal_count);
    const struct signal_plan *sp = &plan->signals[request->signal];
    struct leases leases = {.began_ns = BEGINS_NOW};
    struct met met;
    mp_str guard = MP_STR("");

    meet_nothing(&met);
    memset(out, 0, offsetof(struct mp_verdict_answer, fired));
    out->allow = true;
    mp_verdict_prepare(plan, request, inventory, s);
    if (view->kinds != 0) meet_leases(sp, view, s, &leases, &met);
    if (leases.exempt != NULL) {
        pass(MP_VERDICT_REASON_EXEMPT, leases.exempt->rule, out);
        out->incident = leases.exempt->incident;
        return;
    }
    if (leases.denial == NULL) mp_verdict_inline(plan, buckets, s, &met, out);

    bool refusing = met.has_access && !met.access_passes;
    if (leases.denial == NULL && met.throttle_count == 0 && !refusing) return;
    enum protection protection = mp_verdict_protected(plan, s, &guard);
    if (protection == FROM_THROTTLES) met.throttle_count = 0;
    if (protection == FROM_ALL ||
        (protection == FROM_THROTTLES && leases.denial == NULL && !refusing)) {
        pass(MP_VERDICT_REASON_GUARD, guard, out);
        return;
    }
    if (leases.denial != NULL) {
        refuse_by_lease(leases.denial, request->time_ns, out);
        return;
    }
    const struct met_throttle *without = throttled(&met, request->time_ns);
    if (without != NULL) {
        refuse_by_throttle(plan, without, request->time_ns, out);
    } else if (refusing) {
        refuse_by_access(plan, &met, out);
    }
}

void mp_verdict_recheck(const struct mp_verdict_plan *plan, const struct mp_inproc_view *view,
                        struct mp_inventory *inventory, const struct mp_record *request,
                        int64_t began_ns, struct mp_verdict_scratch *s,
                        struct mp_verdict_answer *out)
{
    MP_ASSERT(request->signal < plan->p->signal_count);
    struct leases leases = {.began_ns = began_ns};
    struct met met;
    mp_str guard = MP_STR("");
    meet_nothing(&met);
    memset(out, 0, offsetof(struct mp_verdict_answer, fired));
    out->allow = true;
    if (view->kinds == 0) return;
    mp_verdict_prepare(plan, request, inventory, s);
    meet_leases(&plan->signals[request->signal], view, s, &leases, &met);
    const struct mp_inproc_lease *ends = leases.denial != NULL ? leases.denial : leases.cut;
    if (leases.exempt != NULL || ends == NULL) return;
    if (mp_verdict_protected(plan, s, &guard) == FROM_ALL) return;
    refuse_by_lease(ends, request->time_ns, out);
}
