/* SPDX-License-Identifier: Apache-2.0
 * Who is told first when an instance goes into quarantine or comes back. Two resources say it: its
 * own sidecar refuses (mpol-deny), and all others lead no more to it (EDS). A request that is led
 * to a sidecar which refuses already is a 403 for somebody who has done nothing, so
 *
 *     into quarantine   endpoints first; the sidecar when all who lead there have taken them
 *     back              the sidecar first; endpoints when it has taken it
 *
 * What is second waits for TURN_NS at most: a proxy that is slow or dead delays a quarantine by no
 * more. Nothing waits where nobody leads to the instance, nor what has anything else to tell, as
 * a denial in the same set; and whoever asks is told everything at once, so that a first answer is
 * whole.
 */
#include "envoy_xds/envoy_xds_priv.h"

#define TURN_NS INT64_C(100000000)
#define FLIPS_MAX 16u /* LIMIT: instances of one set; where more change, nobody waits */

/* ---- one subscription ---- */

void turn_end(struct sub *x)
{
    if (x->turn_ns != 0) x->stream->e->waiting--;
    x->turn_ns = 0;
}

static void wait_for_turn(struct sub *x, int64_t now_ns)
{
    if (x->turn_ns == 0) x->stream->e->waiting++;
    x->turn_ns = now_ns + TURN_NS;
}

/* ---- who is ahead of whom ---- */

static mp_str service_of(const struct mp_envoy *e, mp_str instance)
{
    struct mp_envoy_instance found;
    return e->world.instance(e->world.ctx, instance, &found) ? found.service : MP_STR("");
}

/* Do these endpoints lead to the instance of which the other one is the own refusal? */
static bool is_pair(const struct mp_envoy *e, const struct sub *endpoints, const struct sub *deny)
{
    mp_str service = service_of(e, deny->stream->proxy->audience.instance);
    return service.len > 0 && is_cluster_of(endpoints->name, service);
}

static bool is_ahead(const struct mp_envoy *e, const struct sub *y, const struct sub *x)
{
    if (y->turn_ns != 0 || sub_pending(y) == 0 || sub_refuses(y)) return false;
    if (x->type != MP_ENVOY_EDS) return is_pair(e, y, x);
    return mp_str_eq(y->name, MP_STR(MP_ENVOY_DENY)) && is_pair(e, x, y);
}

static bool has_ahead(const struct mp_envoy *e, const struct sub *x)
{
    enum mp_envoy_type other = x->type == MP_ENVOY_EDS ? MP_ENVOY_ECDS : MP_ENVOY_EDS;
    for (const struct mp_envoy_stream *s = e->streams; s != NULL; s = s->next) {
        if (s->ended || s->proxy == NULL || !s->proxy->known || s->proxy->silent) continue;
        for (const struct sub *y = s->types[other].first; y != NULL; y = y->next) {
            if (is_ahead(e, y, x)) return true;
        }
    }
    return false;
}

/* ---- what a set changes ---- */

static bool is_own_quarantine(const struct mpol_lease *l)
{
    return mp_str_eq((mp_str){l->verb.ptr, l->verb.len}, MP_STR("quarantine")) &&
           mp_str_eq((mp_str){l->target_kind.ptr, l->target_kind.len}, MP_STR("instance"));
}

static bool is_closed(const struct plan *p, mp_str instance)
{
    for (uint32_t i = 0; i < p->place_count; i++) {
        const struct mpol_lease *l = &p->places[i];
        if (is_own_quarantine(l) && l->given_back <= 0 &&
            mp_str_eq((mp_str){l->target.ptr, l->target.len}, instance))
            return true;
    }
    return false;
}

struct change {
    struct mp_envoy *e;
    const struct plan *old;
    const struct mpol_lease *const *leases;
    size_t count;
};

struct flip {
    mp_str instance, service;
    bool closes;
};

static void add_flip(const struct change *c, mp_str instance, struct flip *flips, uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (mp_str_eq(flips[i].instance, instance)) return;
    }
    bool closes = is_closed(&c->e->plan, instance);
    if (closes == is_closed(c->old, instance)) return;
    flips[(*count)++] = (struct flip){instance, service_of(c->e, instance), closes};
}

/* Nothing but own quarantines changes what this audience is given. */
static bool tells_only_it(const struct change *c, const struct mp_envoy_audience *audience)
{
    for (size_t i = 0; i < c->count; i++) {
        if (is_own_quarantine(c->leases[i])) continue;
        if (mp_envoy_concerns(c->leases[i], &c->e->world, audience)) return false;
    }
    return true;
}

/* Nothing but instances that come back changes these endpoints. */
static bool only_opens(const struct change *c, mp_str service)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct mpol_lease *l = c->leases[i];
        if (!mp_str_eq(lease_cluster(c->e, l), service)) continue;
        if (!is_own_quarantine(l)) return false;
        if (is_closed(&c->e->plan, (mp_str){l->target.ptr, l->target.len})) return false;
    }
    return true;
}

/* ---- all of them ---- */

static bool is_second(const struct change *c, const struct flip *f, const struct sub *x)
{
    if (x->desired == x->sent) return false;
    if (!f->closes) return is_cluster_of(x->name, f->service);
    const struct mp_envoy_audience *audience = &x->stream->proxy->audience;
    return mp_str_eq(x->name, MP_STR(MP_ENVOY_DENY)) &&
           mp_str_eq(audience->instance, f->instance) && tells_only_it(c, audience);
}

static void set_turn(const struct change *c, const struct flip *f)
{
    struct mp_envoy *e = c->e;
    int64_t now_ns = xd_now(e);
    if (f->service.len == 0 || (!f->closes && !only_opens(c, f->service))) return;
    for (struct mp_envoy_stream *s = e->streams; s != NULL; s = s->next) {
        if (s->ended || s->proxy == NULL) continue;
        enum mp_envoy_type type = f->closes ? MP_ENVOY_ECDS : MP_ENVOY_EDS;
        for (struct sub *x = s->types[type].first; x != NULL; x = x->next) {
            if (is_second(c, f, x) && has_ahead(e, x)) wait_for_turn(x, now_ns);
        }
    }
}

void turns_set(struct mp_envoy *e, const struct plan *old, const struct mpol_lease *const *changed,
               size_t changed_count)
{
    struct change c = {e, old, changed, changed_count};
    struct flip flips[FLIPS_MAX + 1];
    uint32_t count = 0;
    for (size_t i = 0; i < changed_count && count <= FLIPS_MAX; i++) {
        if (!is_own_quarantine(changed[i])) continue;
        add_flip(&c, (mp_str){changed[i]->target.ptr, changed[i]->target.len}, flips, &count);
    }
    if (count > FLIPS_MAX) return;
    for (uint32_t i = 0; i < count; i++) set_turn(&c, &flips[i]);
}

static bool look(struct mp_envoy_stream *s, int64_t now_ns)
{
    bool free = false;
    for (int type = 0; type < MP_ENVOY_TYPES; type++) {
        for (struct sub *x = s->types[type].first; x != NULL; x = x->next) {
            if (x->turn_ns == 0 || (x->turn_ns > now_ns && has_ahead(s->e, x))) continue;
            turn_end(x);
            free = true;
        }
    }
    return free;
}

void turns_look(struct mp_envoy *e)
{
    if (e->waiting == 0) return;
    int64_t now_ns = xd_now(e);
    for (struct mp_envoy_stream *s = e->streams, *next; s != NULL; s = next) {
        next = s->next;
        if (s->ended || s->proxy == NULL) continue;
        if (look(s, now_ns)) stream_push(s);
    }
}
