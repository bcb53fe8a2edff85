/* SPDX-License-Identifier: Apache-2.0
 * What must hold after every step, whatever happens.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "sim.h"

/* Nothing of the policies here lasts longer than this: TTL and ramp. */
#define LONGEST_NS (120 * SIM_S)
/* With all sources silent for so long every window is unknown, and a check that ended did so
 * before. */
#define SILENCE_NS (20 * SIM_S)

void sim_fail(struct sim *s, const char *format, ...)
{
    if (s->failure[0] != '\0') return;
    va_list args;
    va_start(args, format);
    int at = snprintf(s->failure, sizeof s->failure,
                      "at %.3f s: ", (double)(s->now_ns - SIM_START) / 1e9);
    vsnprintf(s->failure + at, sizeof s->failure - (size_t)at, format, args);
    va_end(args);
}

/* ---- the tables of states ---- */

static const char *const incident_words[] = {
#define INCIDENT_STATE(name, word) word,
#include "act/incident_fsm.def"
};
enum incident_state {
#define INCIDENT_STATE(name, word) IS_##name,
#include "act/incident_fsm.def"
};
static const int incident_edges[][2] = {
#define INCIDENT_EDGE(state, event, next, effect) {IS_##state, IS_##next},
#include "act/incident_fsm.def"
};
static const char *const lease_words[] = {
#define LEASE_STATE(name, word) word,
#include "act/lease_fsm.def"
};
enum lease_state {
#define LEASE_STATE(name, word) LS_##name,
#include "act/lease_fsm.def"
};
static const int lease_edges[][2] = {
#define LEASE_EDGE(state, event, next, effect) {LS_##state, LS_##next},
#include "act/lease_fsm.def"
};

static bool is_edge(const char *const *words, const int (*edges)[2], size_t count, mp_str from,
                    mp_str to)
{
    for (size_t i = 0; i < count; i++) {
        if (mp_str_eq(from, mp_str_of(words[edges[i][0]])) &&
            mp_str_eq(to, mp_str_of(words[edges[i][1]])))
            return true;
    }
    return false;
}

static bool is(mp_str s, const char *word) { return mp_str_eq(s, mp_str_of(word)); }

static void step_life(struct sim *s, struct sim_life *lives, uint32_t *count, uint64_t id,
                      const struct mp_entry *e, const char *what)
{
    uint32_t i = *count;
    if (id == 0) return;
    while (i > 0 && lives[i - 1].id != id) i--;
    if (i == 0 && *count == SIM_IDS_MAX) {
        sim_fail(s, "more %ss than the simulation follows", what);
        return;
    }
    struct sim_life *l = &lives[i > 0 ? i - 1 : (*count)++];
    if (i > 0 && !mp_str_eq(mp_str_of(l->state), e->from)) {
        sim_fail(s, "%s %llu was %s, and an entry takes it from %.*s to %.*s", what,
                 (unsigned long long)id, l->state, MP_STR_ARG(e->from), MP_STR_ARG(e->to));
    }
    l->id = id;
    l->removed = is(e->why, "removed");
    snprintf(l->state, sizeof l->state, "%.*s", MP_STR_ARG(e->to));
}

static void count(struct sim_check *c, const struct mp_entry *e)
{
    if (e->machine == MP_MACHINE_LEASE) {
        c->effective += is(e->to, "effective");
        c->withheld += is(e->to, "withheld");
        return;
    }
    c->opened += is(e->to, "open");
    c->confirmed += is(e->to, "confirmed");
    c->failed += is(e->to, "failed");
    c->rolled_back += is(e->to, "rolled_back");
    c->inconclusive += is(e->to, "inconclusive");
    c->harmful += is(e->to, "harmful");
}

/* `limit 2 services per 1m`: different targets admitted in the sliding minute (R44). */
static void check_limit(struct sim *s, const struct mp_entry *e)
{
    struct sim_check *c = &s->check;
    bool asks = e->machine == MP_MACHINE_LEASE && is(e->to, "admitted") &&
                is(e->rule, "failing_service") && !e->shadow;
    if (!asks || is(e->verb, "notify") || is(e->verb, "page")) return;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->limited_count; i++) {
        bool same = is(e->target, c->limited[i].target);
        if (!same && c->limited[i].at_ns > s->now_ns - 60 * SIM_S)
            c->limited[kept++] = c->limited[i];
    }
    c->limited[kept].at_ns = s->now_ns;
    snprintf(c->limited[kept].target, sizeof c->limited[kept].target, "%.*s",
             MP_STR_ARG(e->target));
    c->limited_count = kept + 1;
    if (c->limited_count > 2)
        sim_fail(s, "failing_service got %u services within a minute", c->limited_count);
}

static void check_silence(struct sim *s, const struct mp_entry *e)
{
    if (e->machine != MP_MACHINE_INCIDENT || s->now_ns - SILENCE_NS < s->check.silent_since_ns)
        return;
    if (is(e->rule, "manual")) return; /* a person asks no telemetry */
    /* The same rung, taken back before, or whose check has to wait. */
    bool again = is(e->from, "releasing") || is(e->from, "verifying");
    if ((is(e->to, "open") && !again) || is(e->to, "failed")) {
        sim_fail(s, "%.*s %.*s went from %.*s to %.*s in silence", MP_STR_ARG(e->rule),
                 MP_STR_ARG(e->key), MP_STR_ARG(e->from), MP_STR_ARG(e->to));
    }
}

void sim_check_entry(struct sim *s, const struct mp_entry *e, mp_str json)
{
    struct sim_check *c = &s->check;
    c->entries++;
    if (e->seq != c->entries)
        sim_fail(s, "entry %llu comes after %llu", (unsigned long long)e->seq,
                 (unsigned long long)c->entries - 1);
    enum mp_err err = mp_ledger_link(&s->os, json, c->hash);
    if (err != MP_OK) sim_fail(s, "the chain cannot be followed: %s", mp_err_text(err));
    count(c, e);
    check_limit(s, e);
    check_silence(s, e);
    if (is(e->why, "inline")) return; /* a verdict of an inline rule is no lease of an incident */
    if (e->machine == MP_MACHINE_INCIDENT) {
        bool ramp = mp_str_eq(e->from, e->to) && is(e->why, "ramp");
        if (!ramp && !is_edge(incident_words, incident_edges,
                              sizeof incident_edges / sizeof *incident_edges, e->from, e->to)) {
            sim_fail(s, "no incident goes from %.*s to %.*s", MP_STR_ARG(e->from),
                     MP_STR_ARG(e->to));
        }
        step_life(s, c->incident, &c->incident_count, e->incident, e, "incident");
        return;
    }
    if (!is_edge(lease_words, lease_edges, sizeof lease_edges / sizeof *lease_edges, e->from,
                 e->to)) {
        sim_fail(s, "no lease goes from %.*s to %.*s", MP_STR_ARG(e->from), MP_STR_ARG(e->to));
    }
    if (is(e->verb, "notify") || is(e->verb, "page")) return;
    step_life(s, c->lease, &c->lease_count, e->lease, e, "lease");
    if (e->incident == 0) sim_fail(s, "lease %llu has no incident", (unsigned long long)e->lease);
}

/* ---- after every step ---- */

struct views {
    struct sim *s;
    uint64_t incidents[SIM_LEASES_MAX], leases[SIM_LEASES_MAX];
    bool releasing[SIM_LEASES_MAX];
    uint32_t incident_count, lease_count;
};

static bool see_incident(void *ctx, const struct mp_incident_view *i)
{
    struct views *v = ctx;
    for (uint32_t k = 0; k < v->incident_count; k++) {
        if (i->id != 0 && v->incidents[k] == i->id)
            sim_fail(v->s, "incident %llu is there twice", (unsigned long long)i->id);
    }
    MP_ASSERT(v->incident_count < SIM_LEASES_MAX);
    v->releasing[v->incident_count] = mp_str_eq(i->state, MP_STR("releasing"));
    v->incidents[v->incident_count++] = i->id;
    return true;
}

static bool see_lease(void *ctx, const struct mp_lease_view *l)
{
    struct views *v = ctx;
    struct sim *s = v->s;
    bool owned = false, releasing = false; /* what is being released ends by its ramp */
    for (uint32_t k = 0; k < v->incident_count; k++) {
        if (v->incidents[k] != l->lease->incident) continue;
        owned = true;
        releasing = v->releasing[k];
    }
    if (!owned) sim_fail(s, "lease %llu has no living incident", (unsigned long long)l->lease->id);
    bool runs = mp_str_eq(l->state, MP_STR("accepted")) || mp_str_eq(l->state, MP_STR("effective"));
    if (l->lease->ttl_ns <= 0)
        sim_fail(s, "lease %llu has no end", (unsigned long long)l->lease->id);
    if (runs && !releasing && (l->ends_ns <= 0 || l->ends_ns > s->now_ns + LONGEST_NS)) {
        sim_fail(s, "lease %llu ends at %lld", (unsigned long long)l->lease->id,
                 (long long)l->ends_ns);
    }
    if (v->lease_count < SIM_LEASES_MAX) v->leases[v->lease_count++] = l->lease->id;
    return true;
}

static bool was_removed(const struct sim *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->check.lease_count; i++) {
        if (s->check.lease[i].id == id) return s->check.lease[i].removed;
    }
    return false;
}

/* Is the same done to the target by one before it? Where one is not carried, both are there. */
static bool is_again(const struct sim_backend *b, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++) {
        if (strcmp(b->held[k].verb, b->held[i].verb) == 0 &&
            strcmp(b->held[k].target, b->held[i].target) == 0)
            return true;
    }
    return false;
}

static void check_held(struct sim *s, const struct views *v)
{
    const struct sim_backend *b = &s->backend;
    uint32_t instances[3] = {0}, clients = 0;
    bool guarded = s->programs[s->current].p->guard_count > 0;
    if (b->leftovers) return; /* until the next set is taken */
    for (uint32_t i = 0; i < b->held_count; i++) {
        const struct sim_held *h = &b->held[i];
        bool alive = false;
        for (uint32_t k = 0; k < v->lease_count; k++) alive |= v->leases[k] == h->id;
        /* A reload forgets leases of rules that are gone at once; the next set takes them out. */
        if (!alive && !was_removed(s, h->id)) {
            sim_fail(s, "the mesh holds %s %s of lease %llu, which is gone", h->verb, h->target,
                     (unsigned long long)h->id);
        }
        if (is_again(b, i)) continue;
        bool quarantine = strcmp(h->verb, "quarantine") == 0,
             instance = strcmp(h->kind, "instance") == 0;
        if (quarantine && instance)
            instances[h->target[0] == 'w' ? 0 : h->target[0] == 'p' ? 1 : 2]++;
        clients += strcmp(h->verb, "deny") == 0 && strcmp(h->kind, "client") == 0;
    }
    /* Of four instances one may be away, of clients three. */
    for (int i = 0; i < 3 && guarded; i++) {
        if (instances[i] > 1) sim_fail(s, "%u instances of one service are away", instances[i]);
    }
    if (guarded && clients > 3) sim_fail(s, "%u clients are denied", clients);
}

void sim_check_step(struct sim *s)
{
    struct views v = {.s = s};
    mp_engine_incidents(s->engine, &v, see_incident);
    mp_engine_leases(s->engine, &v, see_lease);
    check_held(s, &v);
}

void sim_check_end(struct sim *s)
{
    struct mp_engine_status status;
    uint8_t chain[MP_LEDGER_HASH];
    mp_engine_status(s->engine, &status);
    mp_engine_chain(s->engine, chain);
    if (memcmp(chain, s->check.hash, sizeof chain) != 0)
        sim_fail(s, "the ledger's chain does not verify");
    if (status.leases_live != 0) sim_fail(s, "%u leases are left", status.leases_live);
    if (status.incidents_open != 0) sim_fail(s, "%u incidents are left", status.incidents_open);
    if (s->backend.held_count != 0)
        sim_fail(s, "the mesh still holds %u leases", s->backend.held_count);
    if (status.messages_waiting != 0)
        sim_fail(s, "%u messages were never sent", status.messages_waiting);
    const struct mp_inproc_view *view = mp_inproc_enter(s->reader);
    if (view->lease_count != 0) sim_fail(s, "requests still meet %u leases", view->lease_count);
    mp_inproc_leave(s->reader);
}
