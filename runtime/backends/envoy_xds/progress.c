/* SPDX-License-Identifier: Apache-2.0
 * How far the mesh has come: what every proxy that counts has acknowledged, and what it obeys.
 *
 * Who counts: known proxies that are connected and answer. One that is gone holds nothing up,
 * since it gets the state in the first answer when it comes back; one that does not answer for
 * limits.silent_ns neither.
 */
#include "base/assert.h"
#include "envoy_xds/envoy_xds_priv.h"

#define LOOK_NS INT64_C(50000000) /* between two looks at clocks when nothing happened */
#define GRACE_NS INT64_C(2000000000) /* subscriptions come one by one */
/* other contents refused in a row: it is the proxy, not the set */
#define REFUSALS_MAX 3

/* ---- one proxy ---- */

struct standing {
    uint64_t pending, unobeyed; /* first revisions; 0: none */
    const struct sub *refused;
    const struct sub *late; /* the first that is neither */
};

static void first(uint64_t *at, uint64_t revision)
{
    if (revision != 0 && (*at == 0 || revision < *at)) *at = revision;
}

static bool refuses(const struct sub *x) { return x->refused != NULL && x->refused == x->desired; }

/* It never had a good version, or refuses whatever it is given: no set is to blame for that. */
static bool is_hopeless(const struct sub *x)
{
    return refuses(x) && (x->acked == &xd_unsent || x->refusals >= REFUSALS_MAX);
}

static void stand_on(const struct mp_envoy_stream *s, struct standing *out)
{
    for (int type = 0; type < MP_ENVOY_TYPES; type++) {
        for (const struct sub *x = s->types[type].first; x != NULL; x = x->next) {
            if (is_hopeless(x)) continue;
            first(&out->pending, sub_pending(x));
            first(&out->unobeyed, x->unobeyed_revision);
            if (refuses(x) && out->refused == NULL) out->refused = x;
            bool late = sub_pending(x) != 0 || x->unobeyed_revision != 0;
            if (late && out->late == NULL) out->late = x;
        }
    }
}

static struct standing stand(const struct proxy *p)
{
    struct standing out = {0, 0, NULL, NULL};
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) stand_on(s, &out);
    return out;
}

static void look_silent(struct mp_envoy *e, struct proxy *p, int64_t now_ns)
{
    bool silent = false;
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) {
        for (int type = 0; type < MP_ENVOY_TYPES; type++) {
            const struct typed *t = &s->types[type];
            silent |= t->sents > 0 && now_ns - t->sent[0].at_ns >= e->limits.silent_ns;
        }
    }
    if (silent && !p->silent) {
        xd_log(e, MP_ENVOY_WARNING, "proxy %.*s does not answer: nothing waits for it",
               MP_STR_ARG(p->id));
    }
    e->regroup |= p->silent != silent;
    p->silent = silent;
}

/* ---- who carries a lease ---- */

static bool is_endpoint_verb(struct mpol_text verb)
{
    static const mp_str verbs[] = {MP_STR_INIT("quarantine"), MP_STR_INIT("drain"),
                                   MP_STR_INIT("route")};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (mp_str_eq((mp_str){verb.ptr, verb.len}, verbs[i])) return true;
    }
    return false;
}

/* The service whose endpoints it changes; empty: none. */
static mp_str cluster_of(const struct mp_envoy *e, const struct mpol_lease *l)
{
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, target = {l->target.ptr, l->target.len};
    struct mp_envoy_instance instance;
    if (!is_endpoint_verb(l->verb)) return MP_STR("");
    if (mp_str_eq(kind, MP_STR("service"))) return target;
    if (!mp_str_eq(kind, MP_STR("instance"))) return MP_STR("");
    return e->world.instance(e->world.ctx, target, &instance) ? instance.service : MP_STR("");
}

static bool has_endpoints(const struct mp_envoy_stream *s, mp_str service)
{
    if (s == NULL) return false;
    for (const struct sub *x = s->types[MP_ENVOY_EDS].first; x != NULL; x = x->next) {
        if (!mp_str_starts(x->name, service)) continue;
        if (x->name.len == service.len || x->name.ptr[service.len] == MP_ENVOY_VERSION_MARK)
            return true;
    }
    return has_endpoints(s->sibling, service);
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
    {MP_STR_INIT("require"), MP_STR_INIT("service"), OWN, MP_ENVOY_ECDS,
     MP_STR_INIT(MP_ENVOY_ALLOW)},
    {MP_STR_INIT("rate"), MP_STR_INIT(""), ANY, MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_THROTTLE)},
    {MP_STR_INIT("share"), MP_STR_INIT(""), ANY, MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_SHARE)},
    {MP_STR_INIT("share"), MP_STR_INIT("service"), OWN, MP_ENVOY_RTDS,
     MP_STR_INIT(MP_ENVOY_RUNTIME)},
    {MP_STR_INIT("share"), MP_STR_INIT("instance"), OWN, MP_ENVOY_RTDS,
     MP_STR_INIT(MP_ENVOY_RUNTIME)},
};

static mp_str verb_of(const struct mpol_lease *l)
{
    double share;
    mp_str verb = {l->verb.ptr, l->verb.len};
    if (!mp_str_eq(verb, MP_STR("throttle"))) return verb;
    return mp_envoy_lease_share(l, &share) ? MP_STR("share") : MP_STR("rate");
}

static bool is_own(const struct mpol_lease *l, const struct proxy *p)
{
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, target = {l->target.ptr, l->target.len};
    return (mp_str_eq(kind, MP_STR("service")) && mp_str_eq(target, p->audience.service)) ||
           (mp_str_eq(kind, MP_STR("instance")) && mp_str_eq(target, p->audience.instance));
}

static bool is_needed(const struct need *n, const struct mpol_lease *l, const struct proxy *p)
{
    if (!mp_str_eq(n->verb, verb_of(l))) return false;
    if (n->kind.len > 0 && !mp_str_eq(n->kind, (mp_str){l->target_kind.ptr, l->target_kind.len}))
        return false;
    return n->whose == ANY || (n->whose == OWN) == is_own(l, p);
}

static bool asks_for(const struct mp_envoy_stream *s, enum mp_envoy_type type, mp_str name)
{
    if (s == NULL) return false;
    const struct typed *t = &s->types[type];
    if (t->wildcard) return true;
    for (const struct sub *x = t->first; x != NULL; x = x->next) {
        if (mp_str_eq(x->name, name)) return true;
    }
    return asks_for(s->sibling, type, name);
}

enum part { NO_PART, CARRIES, LACKS };

#define LACKS_VERSIONS "endpoints by version (lb_subset_config)"

/* Has it a route to the service, or to one of its versions? */
static bool routes_to(const struct proxy *p, mp_str service)
{
    for (uint32_t i = 0; i < p->audience.route_count; i++) {
        mp_str to = p->audience.routes[i].service;
        if (!mp_str_starts(to, service)) continue;
        if (to.len == service.len || to.ptr[service.len] == MP_ENVOY_VERSION_MARK) return true;
    }
    return false;
}

/* What a proxy has to do with a lease that is a matter of routes. One that knows the endpoints and
 * takes its routes from elsewhere would lead requests past the lease. */
static enum part part_of_routes(const struct mp_envoy_aim *aim, mp_str service,
                                const struct proxy *p, mp_str *lack)
{
    if (asks_for(p->stream, MP_ENVOY_RDS, MP_STR(MP_ENVOY_ROUTES))) {
        *lack = MP_STR(LACKS_VERSIONS);
        if (!routes_to(p, service)) return NO_PART;
        return aim->by_version && !p->audience.by_version ? LACKS : CARRIES;
    }
    *lack = MP_STR(MP_ENVOY_ROUTES);
    return has_endpoints(p->stream, service) ? LACKS : NO_PART;
}

/* What a proxy has to do with a lease; LACKS: it has not asked for `lack`. */
static enum part part_of(const struct mp_envoy *e, const struct mpol_lease *l, mp_str cluster,
                         const struct proxy *p, mp_str *lack)
{
    struct mp_envoy_aim aim;
    if (p->stream == NULL || !p->known) return NO_PART;
    if (mp_envoy_lease_aim(l, &e->world, &aim) && (aim.by_routes || aim.nowhere)) {
        mp_str service = {l->target.ptr, l->target.len};
        return aim.nowhere ? NO_PART : part_of_routes(&aim, service, p, lack);
    }
    bool some = cluster.len > 0 && has_endpoints(p->stream, cluster);
    if (!mp_envoy_concerns(l, &e->world, &p->audience)) return some ? CARRIES : NO_PART;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if (!is_needed(&needs[i], l, p)) continue;
        *lack = needs[i].name;
        if (!asks_for(p->stream, needs[i].type, needs[i].name)) return LACKS;
        some = true;
    }
    if (mp_str_eq(verb_of(l), MP_STR("exempt"))) some |= proxy_counts(p);
    return some ? CARRIES : NO_PART;
}

bool proxy_carries(const struct mp_envoy *e, const struct mpol_lease *l, const struct proxy *p)
{
    mp_str lack;
    return part_of(e, l, cluster_of(e, l), p, &lack) == CARRIES;
}

static bool is_refused_at(const struct mp_envoy *e, const struct mpol_lease *l,
                          const struct proxy *p)
{
    if (p->stream == NULL || !p->known || !mp_envoy_concerns(l, &e->world, &p->audience))
        return false;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if (needs[i].type == MP_ENVOY_ECDS && is_needed(&needs[i], l, p)) return true;
    }
    return false;
}

void mp_envoy_refusers(const struct mp_envoy *e, const struct mpol_lease *lease,
                       mp_envoy_refuser_fn each, void *ctx)
{
    static const mp_str refusing[] = {MP_STR_INIT("deny"), MP_STR_INIT("quarantine"),
                                      MP_STR_INIT("require")};
    size_t i = 0, count = sizeof refusing / sizeof *refusing;
    while (i < count && !mp_str_eq(refusing[i], (mp_str){lease->verb.ptr, lease->verb.len})) i++;
    for (const struct proxy *p = e->proxies; i < count && p != NULL; p = p->next) {
        if (is_refused_at(e, lease, p)) each(ctx, p->id, p->module);
    }
}

static bool is_refusing(const struct proxy *p)
{
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) {
        for (int type = 0; type < MP_ENVOY_TYPES; type++) {
            for (const struct sub *x = s->types[type].first; x != NULL; x = x->next) {
                if (refuses(x)) return true;
            }
        }
    }
    return false;
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

/* A service or an instance that no inventory and no proxy speaks of: an action on it would change
 * nothing, and must not be told as if it did. */
static bool is_nobody(const struct mp_envoy *e, const struct mpol_lease *l)
{
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, name = {l->target.ptr, l->target.len};
    bool service = mp_str_eq(kind, MP_STR("service"));
    if ((!service && !mp_str_eq(kind, MP_STR("instance"))) || is_in_world(e, l)) return false;
    for (const struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->stream == NULL || !p->known) continue;
        if (is_own(l, p) || (service && has_endpoints(p->stream, name))) return false;
    }
    return true;
}

/* Why a lease is not carried: who would have to and does not, and what it has not asked for. */
struct gap {
    const struct proxy *proxy; /* NULL: there is nobody */
    mp_str lack;               /* empty: it refuses, or does not answer */
    /* how many lack something; do not; and of those, have been seen to obey */
    uint32_t lacking, carriers, obeying;
    bool graced; /* one that has just come lacks something, and may still ask for it */
};

/* Is the lease carried? One proxy that must carry a part and cannot is enough for no; one that
 * has just come may ask for more. */
static bool is_carried(struct mp_envoy *e, const struct mpol_lease *l, struct gap *gap)
{
    mp_str cluster = cluster_of(e, l), lack;
    bool carried = false;
    *gap = (struct gap){.proxy = NULL};
    if (is_nobody(e, l)) return false;
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) {
        enum part part = part_of(e, l, cluster, p, &lack);
        if (part == LACKS && e->looked_ns - p->since_ns < GRACE_NS) {
            e->graced = gap->graced = true;
        } else if (part == LACKS) {
            p->lacks = lack;
            if (gap->lacking++ == 0) {
                gap->proxy = p;
                gap->lack = lack;
            }
        } else if (part == CARRIES) {
            bool able = !p->silent && !is_refusing(p);
            if (!able && gap->lacking == 0) gap->proxy = p;
            carried |= able;
            gap->carriers++;
            gap->obeying += able && p->effective >= e->revision;
        }
    }
    return (carried || gap->graced) && gap->lacking == 0;
}

/* ---- trouble ---- */

static mp_str layer_name(uint32_t hooks)
{
    switch (hooks & MPOL_ANY_LAYER) {
    case MPOL_INGRESS: return MP_STR("ingress");
    case MPOL_SERVICE: return MP_STR("service");
    case MPOL_EDGE: return MP_STR("edge");
    default: return MP_STR("");
    }
}

static uint32_t say_refused(const struct proxy *p, char *out, size_t size)
{
    return xd_print(out, size, "proxy %.*s refused %.*s (%s): %.*s", MP_STR_ARG(p->id),
                    (int)p->nack_name_len, p->nack_name, mp_envoy_type_word(p->nack_type).ptr,
                    (int)p->nack_text_len, p->nack_text);
}

/* Where it is in force all the same comes first: a long name may be cut. */
static uint32_t say_lack(const struct gap *gap, char *out, size_t size)
{
    char where[64] = "", more[32] = "", others[48] = "";
    if (gap->obeying > 0) {
        xd_print(where, sizeof where - 1, "in force at %u of %u proxies; ", gap->obeying,
                 gap->carriers + gap->lacking);
    } else if (gap->carriers > 0) {
        xd_print(others, sizeof others - 1, "; %u other%s given it", gap->carriers,
                 gap->carriers == 1 ? " is" : "s are");
    }
    if (gap->lacking > 1) xd_print(more, sizeof more - 1, " and %u more do", gap->lacking - 1);
    return xd_print(out, size, "%sproxy %.*s%s not ask for %.*s%s", where,
                    MP_STR_ARG(gap->proxy->id), gap->lacking > 1 ? more : " does",
                    MP_STR_ARG(gap->lack), others);
}

static uint32_t say_nobody(const struct mpol_lease *l, char *out, size_t size)
{
    return xd_print(out, size, "no %.*s %.*s is in the inventory, and no proxy of it is connected",
                    (int)l->target_kind.len, l->target_kind.ptr, (int)l->target.len,
                    l->target.ptr);
}

static uint32_t say_aim(const struct mpol_lease *l, const struct mp_envoy_aim *aim, char *out,
                        size_t size)
{
    mp_str service = {l->target.ptr, l->target.len};
    if (!aim->nowhere) {
        return xd_print(out, size, "no proxy leads to service %.*s by " MP_ENVOY_ROUTES,
                        MP_STR_ARG(service));
    }
    if (aim->mirror) {
        return xd_print(out, size, "no service %.*s is in the inventory", MP_STR_ARG(aim->onto));
    }
    return xd_print(out, size, "no instance of %.*s has version %.*s, and no service is called so",
                    MP_STR_ARG(service), MP_STR_ARG(aim->onto));
}

/* A proxy of the target itself, at a layer where the lease does not hold. */
static const struct proxy *proxy_elsewhere(const struct mp_envoy *e, const struct mpol_lease *l)
{
    for (const struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->stream != NULL && p->known && is_own(l, p) && (l->hooks & p->audience.layer) == 0)
            return p;
    }
    return NULL;
}

static uint32_t say_held(const struct mp_envoy *e, const struct mpol_lease *l,
                         const struct gap *gap, char *out, size_t size)
{
    const struct proxy *p = gap->proxy;
    mp_str cluster = cluster_of(e, l);
    bool service = mp_str_eq((mp_str){l->target_kind.ptr, l->target_kind.len}, MP_STR("service"));
    struct mp_envoy_aim aim;
    mp_str of = service ? (mp_str){l->target.ptr, l->target.len} : cluster;
    if (gap->lack.len > 0) return say_lack(gap, out, size);
    if (p != NULL && p->silent)
        return xd_print(out, size, "proxy %.*s does not answer", MP_STR_ARG(p->id));
    if (p != NULL) return say_refused(p, out, size);
    if (is_nobody(e, l)) return say_nobody(l, out, size);
    if (mp_envoy_lease_aim(l, &e->world, &aim) && (aim.by_routes || aim.nowhere))
        return say_aim(l, &aim, out, size);
    const struct proxy *elsewhere = proxy_elsewhere(e, l);
    if (elsewhere != NULL) {
        return xd_print(out, size, "the proxies of %.*s %.*s are at layer %.*s: write `on %.*s`",
                        (int)l->target_kind.len, l->target_kind.ptr, (int)l->target.len,
                        l->target.ptr, MP_STR_ARG(layer_name(elsewhere->audience.layer)),
                        MP_STR_ARG(layer_name(elsewhere->audience.layer)));
    }
    if (of.len > 0)
        return xd_print(out, size, "no proxy of service %.*s is connected", MP_STR_ARG(of));
    mp_str layer = layer_name(l->hooks);
    if (layer.len == 0) return xd_print(out, size, "no proxy of these layers is connected");
    return xd_print(out, size, "no proxy of layer %.*s is connected", MP_STR_ARG(layer));
}

static bool room_for_held(struct mp_envoy *e)
{
    if (e->held_texts == NULL) e->held_texts = xd_alloc(e, (size_t)HELD_TEXTS * HELD_TEXT);
    if (e->held == NULL) e->held = xd_alloc(e, e->limits.leases * sizeof *e->held);
    return e->held_texts != NULL && e->held != NULL;
}

static void hold(struct mp_envoy *e, const struct mpol_lease *l, const struct gap *gap)
{
    uint32_t at = e->held_count < HELD_TEXTS ? e->held_count : HELD_TEXTS - 1;
    char *text = e->held_texts + (size_t)at * HELD_TEXT;
    size_t len = say_held(e, l, gap, text, HELD_TEXT);
    e->held[e->held_count++] = (struct mpol_lease_trouble){
        .lease = l->id,
        .trouble = gap->proxy == NULL || gap->proxy->silent ? MPOL_EIO : MPOL_EINVAL,
        .text = {text, len}};
}

/* Whoever a client or an identity is, the same proxies carry what is done to it: a thousand of
 * them are asked about once. */
struct asked {
    mp_str verb, kind;
    uint32_t hooks;
    bool can;
    struct gap gap;
};
#define ASKED_MAX 16u

struct memory {
    struct asked rows[ASKED_MAX];
    uint32_t count;
};

static bool is_anybody(mp_str kind)
{
    return mp_str_eq(kind, MP_STR("client")) || mp_str_eq(kind, MP_STR("identity"));
}

static bool ask_once(struct mp_envoy *e, const struct mpol_lease *l, struct memory *m,
                     struct gap *gap)
{
    struct asked q = {
        .verb = verb_of(l), .kind = {l->target_kind.ptr, l->target_kind.len}, .hooks = l->hooks};
    if (!is_anybody(q.kind)) return is_carried(e, l, gap);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct asked *a = &m->rows[i];
        if (a->hooks != q.hooks || !mp_str_eq(a->verb, q.verb) || !mp_str_eq(a->kind, q.kind))
            continue;
        *gap = a->gap;
        return a->can;
    }
    q.can = is_carried(e, l, gap);
    q.gap = *gap;
    if (m->count < ASKED_MAX) m->rows[m->count++] = q;
    return q.can;
}

/* A proxy that lacks something lets through what a lease refuses, also one that all others have
 * carried before it came. */
static void warn_of_lacks(const struct mp_envoy *e)
{
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->lacks.len > 0 && p->lacked.len == 0) {
            xd_log(e, MP_ENVOY_WARNING,
                   "proxy %.*s does not ask for %.*s: leases that need it are not in force there",
                   MP_STR_ARG(p->id), MP_STR_ARG(p->lacks));
        }
        p->lacked = p->lacks;
    }
}

/* Leases that no proxy ever had, and that none could have now. Asking that of each lease and each
 * proxy is much, so it is done when one of both has changed, and not at every ACK. */
static void reckon_held(struct mp_envoy *e)
{
    struct memory memory = {.count = 0};
    if (!e->regroup && !e->graced) return;
    e->held_count = 0;
    e->regroup = e->graced = e->unsure = false;
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) p->lacks = MP_STR("");
    for (uint32_t i = 0; i < e->plan.count; i++) {
        struct lease *note = &e->plan.notes[i];
        struct gap gap;
        bool can = ask_once(e, &e->plan.leases[i], &memory, &gap);
        if (note->carried) continue;
        note->can = can;
        e->unsure |= can && gap.graced;
        if (!note->can && mp_str_eq(note->owner, e->owner) && room_for_held(e)) {
            hold(e, &e->plan.leases[i], &gap);
        }
    }
    warn_of_lacks(e);
}

static void note_carried(struct mp_envoy *e)
{
    if (e->accepted != e->revision || e->unsure) return;
    for (uint32_t i = 0; i < e->plan.count; i++) e->plan.notes[i].carried |= e->plan.notes[i].can;
}

/* ---- all of it ---- */

/* Not trouble yet: for whoever asks why it takes so long. */
static void set_waiting(struct mp_envoy *e, const struct sub *late)
{
    const struct proxy *p = late->stream->proxy;
    const char *what = sub_pending(late) != 0 ? "has not taken" : "has taken and does not obey";
    e->trouble_len = xd_print(e->trouble_text, sizeof e->trouble_text, "proxy %.*s %s %.*s",
                              MP_STR_ARG(p->id), what, MP_STR_ARG(late->name));
}

static void set_graced(struct mp_envoy *e)
{
    e->trouble_len = xd_print(e->trouble_text, sizeof e->trouble_text,
                              "a proxy that has just come has not asked for all filters yet");
}

static void set_trouble(struct mp_envoy *e, const struct proxy *p)
{
    e->trouble = MPOL_EINVAL;
    e->trouble_len = say_refused(p, e->trouble_text, sizeof e->trouble_text);
}

void progress_reckon(struct mp_envoy *e)
{
    int64_t now_ns = xd_now(e);
    uint64_t pending = 0, unobeyed = 0;
    const struct proxy *refusing = NULL;
    const struct sub *late = NULL;
    proof_merge(e, now_ns);
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->stream == NULL) continue;
        look_silent(e, p, now_ns);
        struct standing s = stand(p);
        uint64_t obeyed = p->effective;
        p->accepted = s.pending != 0 ? s.pending - 1 : e->revision;
        p->effective = s.unobeyed != 0 && s.unobeyed <= p->accepted ? s.unobeyed - 1 : p->accepted;
        e->regroup |= e->held_count > 0 && p->effective != obeyed; /* the text says where */
        if (!proxy_counts(p)) continue;
        first(&pending, s.pending);
        first(&unobeyed, s.unobeyed);
        if (s.refused != NULL && refusing == NULL) refusing = p;
        if (late == NULL) late = s.late;
    }
    uint64_t accepted = pending != 0 ? pending - 1 : e->revision;
    uint64_t effective = unobeyed != 0 && unobeyed <= accepted ? unobeyed - 1 : accepted;
    if (accepted > e->accepted) e->accepted = accepted;
    e->looked_ns = now_ns;
    reckon_held(e);
    /* A proxy that has just come and lacks what a new lease needs may still ask for it, or keep
     * letting through: until that is known nothing is told effective. */
    if (effective > e->effective && !e->unsure) e->effective = effective;
    e->trouble = MPOL_OK;
    e->trouble_len = 0;
    if (refusing != NULL && e->accepted < e->revision) {
        set_trouble(e, refusing);
    } else if (late != NULL && e->effective < e->revision) {
        set_waiting(e, late);
    } else if (e->unsure && e->effective < e->revision) {
        set_graced(e);
    }
    e->touched = false;
    note_carried(e);
}

enum mpol_err progress_tell(void *backend, struct mpol_progress *out)
{
    struct mp_envoy *e = backend;
    if (e->touched || xd_now(e) - e->looked_ns >= LOOK_NS) progress_reckon(e);
    *out = (struct mpol_progress){.size = sizeof *out, .accepted = e->accepted,
                                  .effective = e->effective, .trouble = e->trouble,
                                  .trouble_text = {e->trouble_text, e->trouble_len},
                                  .held = e->held, .held_count = e->held_count};
    return MPOL_OK;
}
