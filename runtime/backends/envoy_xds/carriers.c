/* SPDX-License-Identifier: Apache-2.0
 * Who carries a lease: which proxies have a part in it, what each must have asked for, and who
 * does not.
 */
#include "envoy_xds/envoy_xds_priv.h"

#define GRACE_NS INT64_C(2000000000) /* subscriptions come one by one */

/* ---- the part of one proxy ---- */

static bool is_endpoint_verb(struct mpol_text verb)
{
    static const mp_str verbs[] = {MP_STR_INIT("quarantine"), MP_STR_INIT("drain"),
                                   MP_STR_INIT("route")};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (mp_str_eq((mp_str){verb.ptr, verb.len}, verbs[i])) return true;
    }
    return false;
}

mp_str lease_cluster(const struct mp_envoy *e, const struct mpol_lease *l)
{
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, target = {l->target.ptr, l->target.len};
    struct mp_envoy_instance instance;
    if (!is_endpoint_verb(l->verb)) return MP_STR("");
    if (mp_str_eq(kind, MP_STR("service"))) return target;
    if (!mp_str_eq(kind, MP_STR("instance"))) return MP_STR("");
    return e->world.instance(e->world.ctx, target, &instance) ? instance.service : MP_STR("");
}

bool is_cluster_of(mp_str name, mp_str service)
{
    return mp_str_starts(name, service) &&
           (name.len == service.len || name.ptr[service.len] == MP_ENVOY_VERSION_MARK);
}

static enum part part_of_sub(const struct sub *x)
{
    if (sub_is_hopeless(x)) return REFUSES;
    if (x->disobeys) return x->shown ? DISOBEYS : UNSEEN;
    return CARRIES;
}

/* By the endpoints of the service, all of them or a version's. */
static enum part part_by_endpoints(const struct mp_envoy_stream *s, mp_str service)
{
    if (s == NULL) return NO_PART;
    enum part part = part_by_endpoints(s->sibling, service);
    for (const struct sub *x = s->types[MP_ENVOY_EDS].first; x != NULL; x = x->next) {
        if (is_cluster_of(x->name, service) && part < part_of_sub(x)) part = part_of_sub(x);
    }
    return part;
}

static bool has_endpoints(const struct mp_envoy_stream *s, mp_str service)
{
    return part_by_endpoints(s, service) != NO_PART;
}

/* What a proxy must have asked for to carry its part of a lease; `whose`: of its own service or
 * instance, of others, or whoever's it is. Endpoints and routes are for whoever asks for them. */
enum whose { ANY, OWN, OTHERS };
static const struct need {
    mp_str verb, kind;
    enum whose whose;
    enum mp_envoy_type type;
    mp_str name;
} needs[] = {
    {MP_STR_INIT("deny"), MP_STR_INIT("client"), ANY, MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_DENY)},
    {MP_STR_INIT("deny"), MP_STR_INIT("identity"), ANY, MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_ALLOW)},
    {MP_STR_INIT("quarantine"), MP_STR_INIT("service"), OWN, MP_ENVOY_ECDS,
     MP_STR_INIT(MP_ENVOY_DENY)},
    {MP_STR_INIT("quarantine"), MP_STR_INIT("service"), OTHERS, MP_ENVOY_ECDS,
     MP_STR_INIT(MP_ENVOY_ALLOW)},
    {MP_STR_INIT("quarantine"), MP_STR_INIT("instance"), OWN, MP_ENVOY_ECDS,
     MP_STR_INIT(MP_ENVOY_DENY)},
    {MP_STR_INIT("quarantine"), MP_STR_INIT("identity"), ANY, MP_ENVOY_ECDS,
     MP_STR_INIT(MP_ENVOY_ALLOW)},
    {MP_STR_INIT("require"), MP_STR_INIT("service"), OWN, MP_ENVOY_ECDS,
     MP_STR_INIT(MP_ENVOY_ALLOW)},
    {MP_STR_INIT("rate"), MP_STR_INIT(""), ANY, MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_THROTTLE)},
    {MP_STR_INIT("share"), MP_STR_INIT(""), ANY, MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_SHARE)},
    {MP_STR_INIT("share"), MP_STR_INIT("service"), OWN, MP_ENVOY_RTDS,
     MP_STR_INIT(MP_ENVOY_RUNTIME)},
    {MP_STR_INIT("share"), MP_STR_INIT("instance"), OWN, MP_ENVOY_RTDS,
     MP_STR_INIT(MP_ENVOY_RUNTIME)},
};

mp_str lease_verb(const struct mpol_lease *l)
{
    double share;
    mp_str verb = {l->verb.ptr, l->verb.len};
    if (!mp_str_eq(verb, MP_STR("throttle"))) return verb;
    return mp_envoy_lease_share(l, &share) ? MP_STR("share") : MP_STR("rate");
}

bool lease_is_of(const struct mpol_lease *l, const struct proxy *p)
{
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, target = {l->target.ptr, l->target.len};
    return (mp_str_eq(kind, MP_STR("service")) && mp_str_eq(target, p->audience.service)) ||
           (mp_str_eq(kind, MP_STR("instance")) && mp_str_eq(target, p->audience.instance));
}

static bool is_any_text(void *ctx, mp_str text)
{
    (void)text;
    *(bool *)ctx = true;
    return false;
}

/* Others refuse a service by its identities: without any there is nothing that they could do. */
static bool has_identities(const struct mp_envoy *e, const struct mpol_lease *l)
{
    bool any = false;
    e->world.identities(e->world.ctx, (mp_str){l->target.ptr, l->target.len}, is_any_text, &any);
    return any;
}

static bool is_needed(const struct mp_envoy *e, const struct need *n, const struct mpol_lease *l,
                      const struct proxy *p)
{
    if (!mp_str_eq(n->verb, lease_verb(l))) return false;
    if (n->kind.len > 0 && !mp_str_eq(n->kind, (mp_str){l->target_kind.ptr, l->target_kind.len}))
        return false;
    if (n->whose == ANY) return true;
    return lease_is_of(l, p) ? n->whose == OWN : n->whose == OTHERS && has_identities(e, l);
}

/* Has it asked for the resource, and does it obey it? */
static enum part part_by(const struct mp_envoy_stream *s, enum mp_envoy_type type, mp_str name)
{
    if (s == NULL) return LACKS;
    const struct typed *t = &s->types[type];
    for (const struct sub *x = t->first; x != NULL; x = x->next) {
        if (mp_str_eq(x->name, name)) return part_of_sub(x);
    }
    return t->wildcard ? CARRIES : part_by(s->sibling, type, name);
}

bool proxy_asks_for(const struct proxy *p, enum mp_envoy_type type, mp_str name)
{
    return part_by(p->stream, type, name) != LACKS;
}

#define LACKS_VERSIONS "endpoints by version (lb_subset_config)"

/* Has it a route to the service, or to one of its versions? */
static bool routes_to(const struct proxy *p, mp_str service)
{
    for (uint32_t i = 0; i < p->audience.route_count; i++) {
        if (is_cluster_of(p->audience.routes[i].service, service)) return true;
    }
    return false;
}

/* What a proxy has to do with a lease that is a matter of routes. One that knows the endpoints and
 * takes its routes from elsewhere would lead requests past the lease. */
static enum part part_of_routes(const struct mp_envoy_aim *aim, mp_str service,
                                const struct proxy *p, mp_str *lack)
{
    enum part part = part_by(p->stream, MP_ENVOY_RDS, MP_STR(MP_ENVOY_ROUTES));
    *lack = MP_STR(MP_ENVOY_ROUTES);
    if (part == LACKS) return has_endpoints(p->stream, service) ? LACKS : NO_PART;
    if (!routes_to(p, service)) return NO_PART;
    if (!aim->by_version || p->audience.by_version) return part;
    *lack = MP_STR(LACKS_VERSIONS);
    return LACKS;
}

static bool is_young(const struct mp_envoy *e, const struct proxy *p)
{
    return e->looked_ns - p->since_ns < GRACE_NS;
}

static enum part part_of_filters(const struct mp_envoy *e, const struct mpol_lease *l,
                                 const struct proxy *p, enum part part, mp_str *lack)
{
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if (!is_needed(e, &needs[i], l, p)) continue;
        mp_str lacks = needs[i].name;
        enum part by = part_by(p->stream, needs[i].type, needs[i].name);
        if (by != LACKS && filters_lacking(e, p, needs[i].name, is_young(e, p), &lacks)) by = LACKS;
        if (by <= part) continue;
        part = by;
        *lack = lacks;
    }
    return part;
}

/* What a proxy has to do with a lease. LACKS: it has not asked for `lack`, or not at the listener
 * that is its own, and does not carry its part; UNSEEN, DISOBEYS, REFUSES: it was given `lack`. */
static enum part part_of(const struct mp_envoy *e, const struct mpol_lease *l, mp_str cluster,
                         const struct proxy *p, mp_str *lack)
{
    struct mp_envoy_aim aim;
    if (p->stream == NULL || !p->known) return NO_PART;
    if (mp_envoy_lease_aim(l, &e->world, &aim) && (aim.by_routes || aim.nowhere)) {
        mp_str service = {l->target.ptr, l->target.len};
        return aim.nowhere ? NO_PART : part_of_routes(&aim, service, p, lack);
    }
    *lack = cluster;
    enum part part = cluster.len > 0 ? part_by_endpoints(p->stream, cluster) : NO_PART;
    if (!mp_envoy_concerns(l, &e->world, &p->audience)) return part;
    part = part_of_filters(e, l, p, part, lack);
    bool exempts = mp_str_eq(lease_verb(l), MP_STR("exempt"));
    return part == NO_PART && exempts && proxy_counts(p) ? CARRIES : part;
}

bool proxy_carries(const struct mp_envoy *e, const struct mpol_lease *l, const struct proxy *p)
{
    mp_str lack;
    enum part part = part_of(e, l, lease_cluster(e, l), p, &lack);
    return part != NO_PART && part != LACKS;
}

/* ---- what is to be said of a lease ---- */

static bool refuses_by_itself(const struct mp_envoy *e, const struct mpol_lease *l,
                              const struct proxy *p)
{
    static const mp_str refusing[] = {MP_STR_INIT("deny"), MP_STR_INIT("quarantine"),
                                      MP_STR_INIT("require")};
    size_t verb = 0, count = sizeof refusing / sizeof *refusing;
    while (verb < count && !mp_str_eq(refusing[verb], (mp_str){l->verb.ptr, l->verb.len})) verb++;
    if (verb == count || !mp_envoy_concerns(l, &e->world, &p->audience)) return false;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if (needs[i].type == MP_ENVOY_ECDS && is_needed(e, &needs[i], l, p)) return true;
    }
    return false;
}

/* Is some of what it carries of the lease taken for obeyed only because nobody could look? */
static bool is_unproven(const struct mp_envoy *e, const struct mpol_lease *l,
                        const struct proxy *p)
{
    mp_str cluster = lease_cluster(e, l);
    bool concerned = mp_envoy_concerns(l, &e->world, &p->audience);
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) {
        for (const struct sub *x = s->types[MP_ENVOY_EDS].first; x != NULL; x = x->next) {
            if (x->seen == SEEN_BY_NOBODY && cluster.len > 0 && is_cluster_of(x->name, cluster))
                return true;
        }
        for (size_t i = 0; concerned && i < sizeof needs / sizeof *needs; i++) {
            if (!is_needed(e, &needs[i], l, p)) continue;
            for (const struct sub *x = s->types[needs[i].type].first; x != NULL; x = x->next) {
                if (x->seen == SEEN_BY_NOBODY && mp_str_eq(x->name, needs[i].name)) return true;
            }
        }
    }
    return false;
}

/* One that is away asks for nothing: whether it leads to a service its bootstrap has said. */
static bool would_have_part(const struct mp_envoy *e, const struct mpol_lease *l,
                            const struct proxy *p)
{
    mp_str cluster = lease_cluster(e, l);
    return mp_envoy_concerns(l, &e->world, &p->audience) ||
           (cluster.len > 0 && routes_to(p, cluster));
}

/* Does an exempt of its service or instance pass over what refuses there? */
static bool is_passed_over(const struct mp_envoy *e, const struct mpol_lease *l,
                           const struct proxy *p)
{
    if (mp_str_eq(lease_verb(l), MP_STR("exempt"))) return false;
    for (uint32_t i = 0; i < e->plan.place_count; i++) {
        const struct mpol_lease *x = &e->plan.places[i];
        if (mp_str_eq(lease_verb(x), MP_STR("exempt")) && lease_is_of(x, p) &&
            (x->hooks & p->audience.layer) != 0)
            return true;
    }
    return false;
}

/* Of the last owner's set; NULL: it is not in force. */
static const struct mpol_lease *lease_by_id(const struct mp_envoy *e, uint64_t id)
{
    uint32_t from = 0, to = e->plan.count;
    while (from < to) {
        uint32_t at = from + (to - from) / 2;
        int order = mp_str_cmp(e->plan.notes[at].owner, e->owner);
        if (order < 0 || (order == 0 && e->plan.leases[at].id < id)) {
            from = at + 1;
        } else {
            to = at;
        }
    }
    const struct mpol_lease *l = &e->plan.leases[from];
    bool is = from < e->plan.count && l->id == id && mp_str_eq(e->plan.notes[from].owner, e->owner);
    return is ? l : NULL;
}

void mp_envoy_parts(const struct mp_envoy *e, uint64_t id, mp_envoy_part_fn each, void *ctx)
{
    const struct mpol_lease *lease = lease_by_id(e, id);
    for (const struct proxy *p = e->proxies; lease != NULL && p != NULL; p = p->next) {
        bool away = p->stream == NULL;
        struct mp_envoy_part part = {.node = p->id, .module = p->module, .away = away,
                                     .recalled = p->recalled, .silent = p->silent, .twins = p->twins,
                                     .since_ns = p->since_ns,
                                     .seen = {p->seen, p->seen_len}};
        if (!p->known) continue;
        if (away ? !would_have_part(e, lease, p) : !proxy_carries(e, lease, p)) continue;
        part.refuses = !away && refuses_by_itself(e, lease, p);
        part.unproven = !away && is_unproven(e, lease, p);
        part.passed_over = part.refuses && is_passed_over(e, lease, p);
        each(ctx, &part);
    }
}

/* ---- who is not there ---- */

static bool is_text(void *ctx, mp_str text)
{
    mp_str *wanted = ctx;
    if (!mp_str_eq(*wanted, text)) return true;
    wanted->ptr = NULL;
    return false;
}

static bool is_any(void *ctx, const struct mp_envoy_instance *instance)
{
    (void)instance;
    *(bool *)ctx = true;
    return false;
}

static bool is_in_world(const struct mp_envoy *e, const struct mpol_lease *l)
{
    const struct mp_envoy_world *w = &e->world;
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, name = {l->target.ptr, l->target.len};
    struct mp_envoy_instance instance;
    bool any = false;
    if (mp_str_eq(kind, MP_STR("instance"))) return w->instance(w->ctx, name, &instance);
    w->instances(w->ctx, name, is_any, &any);
    if (!any) w->services(w->ctx, is_text, &name);
    return any || name.ptr == NULL;
}

bool lease_is_of_nobody(const struct mp_envoy *e, const struct mpol_lease *l)
{
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, name = {l->target.ptr, l->target.len};
    bool service = mp_str_eq(kind, MP_STR("service"));
    if ((!service && !mp_str_eq(kind, MP_STR("instance"))) || is_in_world(e, l)) return false;
    for (const struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->stream == NULL || !p->known) continue;
        if (lease_is_of(l, p) || (service && has_endpoints(p->stream, name))) return false;
    }
    return true;
}

/* ---- all of them ---- */

bool proxy_refuses(const struct proxy *p)
{
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) {
        for (int type = 0; type < MP_ENVOY_TYPES; type++) {
            for (const struct sub *x = s->types[type].first; x != NULL; x = x->next) {
                if (sub_refuses(x)) return true;
            }
        }
    }
    return false;
}

bool lease_is_carried(struct mp_envoy *e, const struct mpol_lease *l, struct gap *gap, bool note)
{
    mp_str cluster = lease_cluster(e, l), lack;
    bool carried = false;
    *gap = (struct gap){.proxy = NULL};
    if (lease_is_of_nobody(e, l)) return false;
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) {
        enum part part = part_of(e, l, cluster, p, &lack);
        if (part == LACKS && is_young(e, p)) {
            gap->graced = true;
        } else if (part > CARRIES) {
            if (note && part == LACKS) p->lacks = lack;
            if (gap->lacking++ == 0) {
                gap->proxy = p;
                gap->lack = lack;
                gap->part = part;
            }
        } else if (part == CARRIES) {
            bool able = !p->silent && !proxy_refuses(p);
            if (!able && gap->lacking == 0) gap->proxy = p;
            carried |= able;
            gap->carriers++;
            gap->obeying += able && p->effective >= e->revision;
        }
    }
    if (note) e->graced |= gap->graced;
    return (carried || gap->graced) && gap->lacking == 0;
}

