/* SPDX-License-Identifier: Apache-2.0
 * Streams of access logs: who speaks, of whom, and what became of each entry.
 */
#include "daemon/records_priv.h"

#include <stdlib.h>

#include "base/assert.h"
#include "daemon/daemon_priv.h"
#include "envoy_prove/prove.h"
#include "envoy_xds/envoy_xds.h"
#include "envoy_xds/names.h"
#include "grpc/grpc.h"
#include "ingest/import.h"

#define NODE_BYTES_MAX 256 /* as mp_envoy_node_read has it */
#define SERVICE_BYTES_MAX 512
#define ROUTES_MAX 64u /* LIMIT: routes of a gateway that are kept, the first ones */
#define ROUTE_BYTES_MAX 4096u
/* The cluster of a bootstrap that leads to one place only, which is the proxy's own service. */
#define OWN_UPSTREAM MP_STR("upstream")
#define MEMO_SLOTS 64u
#define WORD_BYTES 32
#define COMPLAINTS_MAX 10 /* LIMIT: lines of the log about streams; all are counted */

/* The verb of a lease, found once: leases are many, and the id in an entry never means another
 * one. */
struct verb_memo {
    uint64_t lease; /* 0: empty */
    uint32_t len;
    char word[WORD_BYTES];
};

struct dm_records {
    struct dm *d;
    struct mp_envoy *envoy;
    struct mp_envoy_world world;
    struct mp_prover *prover;
    uint64_t generation; /* whose names these are; 0: none yet */
    struct seen_names names[SEEN_SIGNALS];
    struct mp_field_in fields[SEEN_NAMES_MAX];
    struct seen_room room;
    char service[SERVICE_BYTES_MAX]; /* of a cluster's name that had to be put together */
    struct verb_memo memo[MEMO_SLOTS];
    uint32_t source;
    bool alive; /* a known proxy is connected */
    uint32_t complaints;
    struct dm_records_counts counts;
};

/* One stream. */
struct reporter {
    struct dm_records *records;
    struct mp_envoy_peer peer;
    bool named;  /* it has said who it is */
    bool known;  /* and may be that */
    bool ours;   /* the log at hand is the one that we ask for */
    bool foreign; /* this message is of another node than the first was */
    bool doubled; /* the module of this proxy tells of requests too */
    struct mp_envoy_node node; /* in id */
    mp_str layer;
    size_t id_len;
    char id[NODE_BYTES_MAX];
    /* A gateway's routes, in route_bytes: what it refuses itself names no cluster. */
    uint32_t route_count;
    struct {
        mp_str prefix, service;
    } routes[ROUTES_MAX];
    size_t route_used;
    char route_bytes[ROUTE_BYTES_MAX];
};

/* ---- life ---- */

struct dm_records *dm_records_open(struct dm *d, struct mp_envoy *envoy,
                                   const struct mp_envoy_world *world)
{
    struct dm_records *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->d = d;
    r->envoy = envoy;
    r->world = *world;
    r->source = dm_source_take();
    return r;
}

void dm_records_prover(struct dm_records *r, struct mp_prover *prover) { r->prover = prover; }

void dm_records_close(struct dm_records *r)
{
    if (r == NULL) return;
    MP_ASSERT(r->counts.streams_now == 0);
    dm_source_give(r->d, r->source);
    free(r);
}

void *dm_records_stream(struct dm_records *r, const struct mp_grpc_peer *peer)
{
    struct reporter *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->records = r;
    s->peer = (struct mp_envoy_peer){peer->address, peer->identity, peer->tls};
    r->counts.streams++;
    r->counts.streams_now++;
    return s;
}

void dm_records_stream_closed(void *stream)
{
    struct reporter *s = stream;
    s->records->counts.streams_now--;
    free(s);
}

void dm_records_counts_get(const struct dm_records *r, struct dm_records_counts *out)
{
    *out = r->counts;
}

/* A rule on what no proxy tells is false for ever, and says nothing. */
static void tell_asked(const struct dm_records *r, enum seen_signal which)
{
    static const char *const signals[SEEN_SIGNALS] = {"requests", "refusals", "connections"};
    static const char *const words[SEEN_ASKED_KINDS][2] = {
        [SEEN_ASKED_HEADER] = {"headers", "--log-header (additional_request_headers_to_log)"},
        [SEEN_ASKED_RESPONSE_HEADER] = {"response headers", "additional_response_headers_to_log"},
        [SEEN_ASKED_RESPONSE_TRAILER] = {"trailers", "additional_response_trailers_to_log"},
        [SEEN_ASKED_TAG] = {"fields", "custom_tags of these names"},
    };
    char list[256];
    for (int i = 0; i < SEEN_ASKED_KINDS; i++) {
        enum seen_asked kind = (enum seen_asked)i;
        if (seen_names_asked(&r->names[which], which, kind, list, sizeof list) == 0) continue;
        const char *but = kind == SEEN_ASKED_TAG ? "" : " without the module";
        dm_log(r->d, "warn",
               "policies read %s of %s: %s; a proxy%s tells them only where its access log has %s",
               words[i][0], signals[which], list, but, words[i][1]);
    }
}

/* Names belong to a program: after a reload they are looked for again. */
static void use_generation(struct dm_records *r)
{
    const struct dm_generation *now = &r->d->now;
    if (r->generation == now->number && r->generation != 0) return;
    r->generation = now->number;
    for (int i = 0; i < SEEN_SIGNALS; i++) {
        seen_names_find(&r->names[i], (enum seen_signal)i, now->ingest, now->program);
        tell_asked(r, (enum seen_signal)i);
        if (r->names[i].passed_over == 0) continue;
        dm_log(r->d, "warn",
               "policies read more than %u fields of one signal; %u are not taken from proxies",
               SEEN_NAMES_MAX, r->names[i].passed_over);
    }
}

/* ---- alive ---- */

static bool is_there(void *ctx, const struct mp_envoy_proxy *proxy)
{
    bool *found = ctx;
    *found |= proxy->connected && proxy->known;
    return !*found;
}

void dm_records_tick(struct dm_records *r)
{
    struct dm *d = r->d;
    bool there = false, was = r->alive;
    if (!d->started || d->ending) return;
    use_generation(r);
    mp_envoy_proxies(r->envoy, is_there, &there);
    r->alive = there;
    if (was && !there) mp_engine_source_closed(d->engine, r->source);
    for (int i = 0; there && i < SEEN_SIGNALS; i++) {
        if (r->names[i].signal == MP_NONE) continue;
        mp_engine_alive(d->engine, r->source, r->names[i].signal, mp_engine_now(d->engine));
    }
}

/* ---- who speaks ---- */

static mp_str layer_word(uint32_t layer)
{
    if (layer == MPOL_INGRESS) return MP_STR("ingress");
    return layer == MPOL_EDGE ? MP_STR("edge") : MP_STR("service");
}

/* The node id may hold anything: it is shown only where it was read as one. */
static void complain(struct reporter *s, const char *what)
{
    struct dm_records *r = s->records;
    struct mp_envoy_node node;
    mp_str id = {s->id, s->id_len};
    if (r->complaints == COMPLAINTS_MAX) return;
    if (!mp_envoy_node_read(id, &node)) id = MP_STR("no proper node id");
    dm_log(r->d, "warn", "access logs of %.*s (%.*s) %s%s", MP_STR_ARG(s->peer.address),
           MP_STR_ARG(id), what,
           ++r->complaints == COMPLAINTS_MAX ? " (more are only counted)" : "");
}

static bool keep_text(struct reporter *s, mp_str text, mp_str *out)
{
    if (text.len > sizeof s->route_bytes - s->route_used) return false;
    char *to = s->route_bytes + s->route_used;
    if (text.len > 0) memcpy(to, text.ptr, text.len);
    s->route_used += text.len;
    *out = (mp_str){to, text.len};
    return true;
}

/* Of the node's metadata: `{"mpol":{"routes":[{"prefix":"/pay","service":"checkout"}]}}`. */
static void keep_routes(struct reporter *s, mp_str metadata)
{
    struct pb_value mpol, list, route, prefix, service;
    if (!pb_struct_get(metadata, MP_STR(MP_ENVOY_METADATA), &mpol) || mpol.kind != PB_JSON_STRUCT)
        return;
    if (!pb_struct_get(mpol.text, MP_STR("routes"), &list) || list.kind != PB_JSON_LIST) return;
    for (uint32_t i = 0; i < ROUTES_MAX && pb_list_get(list.text, i, &route); i++) {
        if (route.kind != PB_JSON_STRUCT) continue;
        if (!pb_struct_get(route.text, MP_STR("prefix"), &prefix) || prefix.kind != PB_JSON_TEXT)
            continue;
        if (!pb_struct_get(route.text, MP_STR("service"), &service) || service.kind != PB_JSON_TEXT)
            continue;
        if (!keep_text(s, prefix.text, &s->routes[s->route_count].prefix)) return;
        if (!keep_text(s, service.text, &s->routes[s->route_count].service)) return;
        s->route_count++;
    }
}

/* A bootstrap by hand may have both, and each request would count twice. */
static void look_for_module(struct reporter *s)
{
    const struct mp_envoy_node *n = &s->node;
    bool was = s->doubled;
    s->doubled = s->known && dm_modules_tell(s->records->d, s->layer, n->service, n->instance);
    if (s->doubled && !was)
        dm_log(s->records->d, "info",
               "access logs of %.*s are passed over: the proxy's module tells of its requests",
               (int)s->id_len, s->id);
}

static void first_name(struct reporter *s, mp_str id)
{
    struct dm_records *r = s->records;
    s->named = true;
    if (id.len > sizeof s->id) return;
    memcpy(s->id, id.ptr, id.len);
    s->id_len = id.len;
    s->known = mp_envoy_node_read((mp_str){s->id, s->id_len}, &s->node) &&
               mp_envoy_may_speak(r->envoy, &s->node, &s->peer);
    s->layer = layer_word(s->node.layer);
    if (!s->known) complain(s, "are not taken: the node id is not its own");
    look_for_module(s);
}

static bool on_identifier(void *ctx, const struct mp_discovery_node *node, mp_str log_name)
{
    struct reporter *s = ctx;
    char room[MP_ENVOY_NODE_MAX];
    mp_str name = mp_envoy_node_name(node, room);
    if (!s->named) {
        first_name(s, name);
        if (s->known && s->node.layer == MPOL_INGRESS) keep_routes(s, node->metadata);
    }
    s->ours = mp_str_eq(log_name, MP_STR(MP_ENVOY_ACCESS_LOG));
    s->foreign = !mp_str_eq(name, (mp_str){s->id, s->id_len});
    return true;
}

/* Is the entry one that counts? What is not is counted by why. */
static bool counts(struct reporter *s, const struct mp_als_common *c)
{
    struct dm_records_counts *n = &s->records->counts;
    bool over = c->type == MP_ALS_NOT_SET || c->type == MP_ALS_DOWNSTREAM_END ||
                c->type == MP_ALS_TCP_CONNECTION_END || c->type == MP_ALS_UDP_SESSION_END;
    uint64_t *why_not = s->foreign                   ? &n->foreign
                        : !s->known                  ? &n->unknown
                        : !s->ours                   ? &n->other_logs
                        : !over || c->intermediate ? &n->intermediate
                                                     : NULL;
    if (why_not != NULL) *why_not += 1;
    return why_not == NULL;
}

/* ---- of whom ---- */

static mp_str piece_of(mp_str *rest, char stop)
{
    const char *end = memchr(rest->ptr, stop, rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    mp_str piece = mp_str_sub(*rest, 0, len);
    *rest = mp_str_sub(*rest, end != NULL ? len + 1 : len, rest->len);
    return piece;
}

/* `checkout`, `checkout@v2`; Istio's `outbound|80|v2|checkout.shop.svc.cluster.local` is
 * `shop/checkout`, and in the namespace `default` it is `checkout`. */
static mp_str service_of_cluster(struct dm_records *r, mp_str cluster)
{
    if (cluster.len == 0) return (mp_str){NULL, 0};
    if (memchr(cluster.ptr, '|', cluster.len) == NULL)
        return piece_of(&cluster, MP_ENVOY_VERSION_MARK);
    for (int i = 0; i < 3; i++) piece_of(&cluster, '|');
    mp_str name = piece_of(&cluster, '.'), space = piece_of(&cluster, '.');
    if (space.len == 0 || mp_str_eq(space, MP_STR("default")) ||
        !mp_str_starts(cluster, MP_STR("svc"))) {
        return name.len > 0 ? name : (mp_str){NULL, 0};
    }
    if (space.len + 1 + name.len > sizeof r->service) return (mp_str){NULL, 0};
    memcpy(r->service, space.ptr, space.len);
    r->service[space.len] = '/';
    memcpy(r->service + space.len + 1, name.ptr, name.len);
    return (mp_str){r->service, space.len + 1 + name.len};
}

/* Whom a gateway would have asked: a proxy that refuses names no cluster. The first route that
 * fits is the one that counts. */
static mp_str service_of_path(const struct reporter *s, mp_str path)
{
    for (uint32_t i = 0; path.ptr != NULL && i < s->route_count; i++) {
        if (mp_str_starts(path, s->routes[i].prefix)) return s->routes[i].service;
    }
    return (mp_str){NULL, 0};
}

/* A gateway speaks of whom it asked. What it had no route for is its own. */
static void take_asked(struct reporter *s, const struct mp_als_common *c, struct seen *e)
{
    struct dm_records *r = s->records;
    struct mp_envoy_instance instance;
    const struct mp_als_address *at = &c->upstream_remote;
    mp_str service = service_of_cluster(r, c->upstream_cluster);
    if (service.ptr == NULL) service = service_of_path(s, e->path);
    if (service.ptr == NULL || mp_str_eq(service, OWN_UPSTREAM)) return;
    e->service = service;
    e->instance = (mp_str){NULL, 0};
    if (at->ip.len == 0 || at->port > UINT16_MAX) return;
    if (!r->world.instance_at(r->world.ctx, at->ip, (uint16_t)at->port, &instance)) return;
    e->instance = instance.name;
    if (instance.version.len > 0) e->version = instance.version;
}

static void take_places(struct reporter *s, const struct mp_als_common *c, struct seen *e)
{
    struct dm_records *r = s->records;
    struct mp_envoy_instance own;
    e->layer = s->layer;
    e->service = s->node.service;
    e->instance = s->node.instance;
    if (s->node.layer == MPOL_INGRESS) take_asked(s, c, e);
    if (s->node.layer == MPOL_SERVICE && r->world.instance(r->world.ctx, e->instance, &own) &&
        own.version.len > 0) {
        e->version = own.version;
    }
    mp_str caller = e->peer.ptr != NULL ? r->world.service_of(r->world.ctx, e->peer) : e->peer;
    if (caller.len > 0) e->caller = caller;
}

/* ---- refusals ---- */

struct verb_search {
    uint64_t lease;
    mp_str verb;
};

static bool is_lease(void *ctx, const struct mp_lease_view *view)
{
    struct verb_search *search = ctx;
    if (view->lease->id != search->lease) return true;
    search->verb = view->verb;
    return false;
}

static mp_str verb_of(struct dm_records *r, uint64_t lease)
{
    struct verb_memo *memo = &r->memo[lease % MEMO_SLOTS];
    if (lease == 0) return (mp_str){NULL, 0};
    if (memo->lease != lease) {
        struct verb_search search = {lease, {NULL, 0}};
        mp_engine_leases(r->d->engine, &search, is_lease);
        /* A lease that is over: what is looked for in vain is remembered too. */
        memo->lease = lease;
        memo->len = search.verb.len <= WORD_BYTES ? (uint32_t)search.verb.len : 0;
        if (memo->len > 0) memcpy(memo->word, search.verb.ptr, memo->len);
    }
    return (mp_str){memo->len > 0 ? memo->word : NULL, memo->len};
}

/* Throttles name no policy: the backend knows whose they are. One that none of ours is, is the
 * mesh's own and no concern of ours. */
static bool throttled_by(struct reporter *s, struct seen *e, uint64_t *lease)
{
    mp_str details = e->http->details;
    bool share = mp_str_eq(details, MP_STR(MP_ENVOY_DETAILS_SHARE));
    if (!share && !mp_str_eq(details, MP_STR(MP_ENVOY_DETAILS_THROTTLE))) return false;
    struct mp_envoy_refused what = {.layer = s->node.layer, .service = s->node.service,
                                    .instance = s->node.instance, .client = e->client,
                                    .identity = e->peer, .share = share};
    return mp_envoy_refused_by(s->records->envoy, &what, &e->policy, lease);
}

static bool refused_by_us(struct reporter *s, struct seen *e)
{
    uint64_t lease = 0;
    if (!mp_import_refusal(e->http->details, &e->policy, &lease) && !throttled_by(s, e, &lease))
        return false;
    e->verb = verb_of(s->records, lease);
    return true;
}

/* ---- records ---- */

static void give(struct dm_records *r, enum seen_signal which, struct seen *e)
{
    struct dm *d = r->d;
    const struct seen_names *names = &r->names[which];
    struct mp_record record;
    if (names->signal == MP_NONE) {
        r->counts.unread++;
        return;
    }
    int64_t now_ns = d->os.wall_ns(d->os.ctx);
    if (e->time_ns == SEEN_ABSENT || e->time_ns > now_ns) e->time_ns = now_ns;
    r->room.used = 0;
    uint32_t count = seen_fields(e, names, &r->room, r->fields);
    mp_ingest_fields(d->now.ingest, names->signal, e->time_ns, r->source, r->fields, count,
                     &record);
    dm_record(d, &record);
}

/* Envoy's matchers get all URIs of a certificate as one text, with commas between: that equals no
 * identity, and a part of it proves none, since a URI may have commas of its own. Told once. */
static void note_names(struct reporter *s, const struct mp_als_tls *tls)
{
    struct dm_records *r = s->records;
    if (tls->peer_uris < 2 || r->counts.many_names++ > 0) return;
    dm_log(r->d, "warn",
           "a certificate with several URIs is shown at %.*s (%.*s, and more): an exempt, a share, "
           "a rate and a ramp do not find it; deny, quarantine and require do",
           (int)s->id_len, s->id, MP_STR_ARG(tls->peer_uri));
}

static bool on_http(void *ctx, const struct mp_als_http *entry)
{
    struct reporter *s = ctx;
    struct dm_records *r = s->records;
    struct seen e;
    if (!counts(s, &entry->common)) return true;
    if (mp_str_starts(entry->path, MP_STR(MP_ENVOY_OWN_PATH))) {
        r->counts.probes++;
        return true;
    }
    if (s->doubled) {
        r->counts.doubled++;
        return true;
    }
    note_names(s, &entry->common.tls);
    seen_of_http(&e, entry);
    take_places(s, &entry->common, &e);
    bool refused = refused_by_us(s, &e);
    *(refused ? &r->counts.refusals : &r->counts.requests) += 1;
    give(r, refused ? SEEN_REFUSALS : SEEN_REQUESTS, &e);
    return true;
}

static bool on_tcp(void *ctx, const struct mp_als_tcp *entry)
{
    struct reporter *s = ctx;
    struct dm_records *r = s->records;
    struct seen e;
    const struct mp_als_address *from = &entry->common.downstream_remote;
    if (!counts(s, &entry->common)) return true;
    if (r->prover != NULL && mp_prover_made(r->prover, from->ip, from->port)) {
        r->counts.probes++;
        return true;
    }
    seen_of_tcp(&e, entry);
    take_places(s, &entry->common, &e);
    if (s->node.layer == MPOL_EDGE) { /* it leaves the mesh: what it leads to is what matters */
        const struct mp_als_address *to = &entry->common.upstream_remote;
        e.direction = MP_STR("outbound");
        e.callee = service_of_cluster(r, entry->common.upstream_cluster);
        e.dst = to->ip.len > 0 ? to->ip : e.dst;
        e.dst_port = to->ip.len > 0 ? to->port : e.dst_port;
    }
    r->counts.connections++;
    give(r, SEEN_CONNECTIONS, &e);
    return true;
}

bool dm_records_message(void *stream, mp_str bytes)
{
    struct reporter *s = stream;
    struct dm_records *r = s->records;
    struct mp_als_sink sink = {s, on_identifier, on_http, on_tcp};
    const char *why;
    if (!r->d->started || r->d->ending) return true; /* nobody is there to judge it */
    use_generation(r);
    r->counts.messages++;
    look_for_module(s);
    if (mp_als_read(bytes, &sink, &why) == MP_OK) return true;
    r->counts.malformed++;
    complain(s, why);
    return false;
}
