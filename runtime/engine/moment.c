/* SPDX-License-Identifier: Apache-2.0
 * When a case is looked at again, and what is done then: on event time for conditions, on the
 * monotonic clock for ends, ramps, pauses and bounds.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"


void en_case_due(struct mp_engine *e, struct en_case *c)
{
    if (!en_has_rule(c)) { /* nothing to ask */
        en_case_schedule(e, c);
        return;
    }
    const struct mp_rule_row *r = en_rule_of(e, c);
    enum mp_truth truth = MP_FALSE;
    uint32_t rule = c->rule, key = c->key;
    c->begun = false;
    if ((r->flags & MP_RULE_INSTANT) == 0 && r->trigger != MP_NONE) {
        struct mp_read how = {.asker = c};
        truth = en_clause_truth(e, r->trigger, &how, c->key);
    }
    en_trigger(e, rule, key, c, truth, false);
    if (!c->used || c->rule != rule || c->key != key) return;
    en_case_checks(e, c, false);
    if (c->used && c->rule == rule && c->key == key) en_case_schedule(e, c);
}

/* The leases whose time is over. The last one ends the incident (R25). */
static void expire(struct mp_engine *e, struct en_case *c)
{
    if (c->state != MP_INCIDENT_OPEN && c->state != MP_INCIDENT_VERIFYING &&
        c->state != MP_INCIDENT_HOLDING) {
        return;
    }
    if (c->ends_mono_ns != 0 && c->ends_mono_ns <= e->mono_ns) {
        en_case_release(e, c, EN_CAUSE_EXPIRED);
        return;
    }
    uint32_t i = c->leases;
    while (i != EN_NONE) {
        struct en_lease *l = &e->leases[i];
        i = l->next;
        if (!en_lease_wanted(l) || l->ends_mono_ns == 0 || l->ends_mono_ns > e->mono_ns) continue;
        if (en_case_wanted(e, c) == 1) {
            en_case_release(e, c, EN_CAUSE_EXPIRED);
            return;
        }
        en_lease_end(e, l, MP_STR("expired"));
    }
}

/* R35: accepted, but the data plane has not been seen to obey within the backend's bound. */
static int64_t stuck_at(const struct mp_engine *e, const struct en_lease *l)
{
    if (l->state != MP_LEASE_ACCEPTED || l->backend == EN_NONE) return MP_NEVER_NS;
    int64_t bound = e->backends[l->backend].ops->effective_bound_ns;
    return l->obey_mono_ns + (bound > 0 ? bound : EN_STUCK_NS);
}

static void find_stuck(struct mp_engine *e, struct en_case *c)
{
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        struct en_lease *l = &e->leases[i];
        if (stuck_at(e, l) <= e->mono_ns) en_lease_late(e, l);
    }
}

void en_case_mono_due(struct mp_engine *e, struct en_case *c)
{
    uint32_t rule = c->rule, key = c->key;
    if (c->state == MP_INCIDENT_COOLDOWN && c->cool_mono_ns <= e->mono_ns) {
        en_case_cooled(e, c);
    } else if (c->state == MP_INCIDENT_RELEASING && c->ramp_mono_ns != 0 &&
               c->ramp_mono_ns <= e->mono_ns) {
        en_case_ramp(e, c);
        en_case_finish(e, c);
    } else {
        expire(e, c);
    }
    if (!c->used || c->rule != rule || c->key != key) return;
    find_stuck(e, c);
    en_case_schedule(e, c);
}

static void sooner(int64_t *due, int64_t at)
{
    if (at < *due) *due = at;
}

/* A moment that the window names for a change; never now again, or time would stand still. */
static int64_t change(struct mp_engine *e, const struct en_case *c, const struct mp_read *how)
{
    int64_t at = mp_window_next_change(e->window, how, c->grouping, c->key);
    return at > e->now_ns ? at : e->now_ns + EN_RESOLUTION_NS;
}

static void later_only(const struct mp_engine *e, int64_t *due, int64_t at)
{
    if (at != MP_NEVER_NS && at > e->now_ns) sooner(due, at);
}

static int64_t event_due(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    int64_t due = MP_NEVER_NS;
    if (!en_has_rule(c)) return due;
    if (c->begun) return e->now_ns;
    if (c->state == MP_INCIDENT_COOLDOWN && r->cooldown_ns > 0) return due;
    if ((r->flags & MP_RULE_INSTANT) == 0) {
        struct mp_read now = {.asker = c};
        sooner(&due, change(e, c, &now));
    }
    if (c->state == MP_INCIDENT_PENDING) later_only(e, &due, mp_hold_due(&c->trigger, r->hold_ns));
    if (c->state == MP_INCIDENT_RELEASING && c->by_until && en_case_wanted(e, c) > 0) {
        int64_t hold = r->hold_ns < r->ramp_every_ns ? r->hold_ns : r->ramp_every_ns;
        int64_t at = mp_hold_due(&c->trigger, hold);
        /* Not at once, or a release and its end could take turns for ever at one instant. */
        if (at != MP_NEVER_NS) sooner(&due, at > e->now_ns ? at : e->now_ns + EN_RESOLUTION_NS);
    }
    if (c->state != MP_INCIDENT_VERIFYING && c->state != MP_INCIDENT_HOLDING &&
        c->state != MP_INCIDENT_OPEN) {
        return due;
    }
    const struct mp_step_row *step = en_step_of(e, c);
    if (c->state == MP_INCIDENT_VERIFYING) {
        struct mp_read how = en_read_check(c);
        sooner(&due, change(e, c, &how));
        sooner(&due, en_holds_due(e, step->verify, &how, c->key));
        later_only(e, &due, mp_check_due(&c->check) + en_clause_lateness(e, step->verify, c->key));
    }
    uint32_t harm = en_case_may_harm(e, c) ? en_case_harm(e, c) : MP_NONE;
    if (harm != MP_NONE) {
        struct mp_read how = {.since_ns = c->effective_ns, .asker = c};
        sooner(&due, change(e, c, &how));
        sooner(&due, en_holds_due(e, harm, &how, c->key));
        later_only(e, &due, mp_hold_due(&c->harm, e->p->clause[harm].hold_ns));
    }
    if (r->until != MP_NONE && c->until_from_ns != MP_NEVER_NS) {
        struct mp_read how = {.settled = true, .asker = c};
        int64_t lateness = en_clause_lateness(e, r->until, c->key);
        sooner(&due, change(e, c, &how));
        sooner(&due, en_holds_due(e, r->until, &how, c->key));
        later_only(e, &due, c->until_from_ns + lateness);
        int64_t held = mp_run_due(&c->until, e->p->clause[r->until].hold_ns);
        if (held != MP_NEVER_NS) later_only(e, &due, held + lateness);
    }
    return due;
}

static int64_t mono_due(const struct mp_engine *e, const struct en_case *c)
{
    int64_t due = MP_NEVER_NS;
    if (c->state == MP_INCIDENT_COOLDOWN) return c->cool_mono_ns;
    if (c->state == MP_INCIDENT_RELEASING) return c->ramp_mono_ns != 0 ? c->ramp_mono_ns : due;
    if (!en_case_is_open(c)) return due;
    if (c->ends_mono_ns != 0) sooner(&due, c->ends_mono_ns);
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        const struct en_lease *l = &e->leases[i];
        if (en_lease_wanted(l) && l->ends_mono_ns != 0) sooner(&due, l->ends_mono_ns);
        sooner(&due, stuck_at(e, l));
    }
    return due;
}

void en_case_schedule(struct mp_engine *e, struct en_case *c)
{
    if (!c->used) return;
    uint32_t id = en_case_index(e, c);
    en_heap_set(e, &e->events, id, event_due(e, c));
    en_heap_set(e, &e->monos, id, mono_due(e, c));
}
