/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "envoy_xds/names.h"

/* ---- the world ---- */

static void instances(void *ctx, mp_str service, mp_envoy_instance_fn each, void *each_ctx)
{
    struct fake_mesh *m = ctx;
    for (uint32_t i = 0; i < m->instance_count; i++) {
        if (!mp_str_eq(m->instances[i].service, service)) continue;
        if (!each(each_ctx, &m->instances[i])) return;
    }
}

static bool instance(void *ctx, mp_str name, struct mp_envoy_instance *out)
{
    struct fake_mesh *m = ctx;
    for (uint32_t i = 0; i < m->instance_count; i++) {
        if (!mp_str_eq(m->instances[i].name, name)) continue;
        *out = m->instances[i];
        return true;
    }
    return false;
}

static bool instance_at(void *ctx, mp_str ip, uint16_t port, struct mp_envoy_instance *out)
{
    struct fake_mesh *m = ctx;
    for (uint32_t i = 0; i < m->instance_count; i++) {
        if (!mp_str_eq(m->instances[i].ip, ip) || m->instances[i].port != port) continue;
        *out = m->instances[i];
        return true;
    }
    return false;
}

static void identities(void *ctx, mp_str service, mp_envoy_text_fn each, void *each_ctx)
{
    struct fake_mesh *m = ctx;
    for (uint32_t i = 0; i < m->identity_count; i++) {
        if (!mp_str_eq(mp_str_of(m->identities[i][0]), service)) continue;
        if (!each(each_ctx, mp_str_of(m->identities[i][1]))) return;
    }
}

static mp_str service_of(void *ctx, mp_str identity)
{
    struct fake_mesh *m = ctx;
    for (uint32_t i = 0; i < m->identity_count; i++) {
        if (mp_str_eq(mp_str_of(m->identities[i][1]), identity))
            return mp_str_of(m->identities[i][0]);
    }
    return MP_STR("");
}

static void services(void *ctx, mp_envoy_text_fn each, void *each_ctx)
{
    struct fake_mesh *m = ctx;
    for (uint32_t i = 0; i < m->instance_count; i++) {
        if (!each(each_ctx, m->instances[i].service)) return;
    }
}

static mp_str secret(void *ctx, enum mp_envoy_secret which, mp_str service)
{
    struct fake_mesh *m = ctx;
    (void)service;
    switch (which) {
    case MP_ENVOY_SECRET_TRUST: return mp_str_of(m->trust);
    case MP_ENVOY_SECRET_CHAIN: return mp_str_of(m->chain);
    case MP_ENVOY_SECRET_KEY: return MP_STR("KEY");
    case MP_ENVOY_SECRET_REVOKED: break;
    }
    return MP_STR("");
}

void fake_instance(struct fake_mesh *m, const char *name, const char *service, const char *version,
                   const char *ip, uint16_t port)
{
    if (m->instance_count == FAKE_INSTANCES_MAX) abort();
    m->instances[m->instance_count++] = (struct mp_envoy_instance){
        mp_str_of(name), mp_str_of(service), mp_str_of(version), mp_str_of(ip), port};
}

/* ---- the host ---- */

static enum mp_err host_send(void *ctx, void *wire, mp_str bytes)
{
    struct fake_proxy *p = wire;
    (void)ctx;
    if (p->room == 0) return MP_ELIMIT;
    if (p->inbox_count == FAKE_INBOX_MAX) abort();
    if (p->room != SIZE_MAX) p->room--;
    char *copy = malloc(bytes.len + 1);
    if (copy == NULL) abort();
    memcpy(copy, bytes.ptr, bytes.len);
    p->inbox[p->inbox_count].bytes = copy;
    p->inbox[p->inbox_count++].len = bytes.len;
    return MP_OK;
}

static void host_end(void *ctx, void *wire, mp_str why)
{
    (void)ctx;
    (void)why;
    ((struct fake_proxy *)wire)->ended = true;
}

static void put(char *out, size_t size, mp_str s)
{
    size_t n = s.len < size - 1 ? s.len : size - 1;
    if (n > 0) memcpy(out, s.ptr, n);
    out[n] = 0;
}

static void host_cancel(void *ctx, uint64_t ticket)
{
    struct fake_mesh *m = ctx;
    for (uint32_t i = 0; i < m->ask_count; i++) {
        if (m->asks[i].ticket != ticket) continue;
        m->asks[i] = m->asks[--m->ask_count];
        return;
    }
}

static void host_prove(void *ctx, const struct mp_envoy_ask *ask)
{
    struct fake_mesh *m = ctx;
    if (ask->replaces != 0) host_cancel(m, ask->replaces);
    if (m->ask_count == FAKE_ASKS_MAX) abort();
    struct fake_ask *a = &m->asks[m->ask_count++];
    *a = (struct fake_ask){
        .ticket = ask->ticket, .kind = ask->what->kind, .status = ask->what->status};
    put(a->node, sizeof a->node, ask->node);
    put(a->resource, sizeof a->resource, ask->resource);
    put(a->path, sizeof a->path, ask->what->path);
    put(a->value, sizeof a->value, ask->what->value);
}

static void host_log(void *ctx, enum mp_envoy_note note, mp_str line)
{
    struct fake_mesh *m = ctx;
    size_t at = strlen(m->log);
    (void)note;
    snprintf(m->log + at, sizeof m->log - at, "%.*s\n", MP_STR_ARG(line));
}

static void host_refused(void *ctx, const struct mp_envoy_refusal *r)
{
    struct fake_mesh *m = ctx;
    m->refusals++;
    snprintf(m->refused, sizeof m->refused, "%.*s %.*s %.*s: %.*s", MP_STR_ARG(r->node),
             MP_STR_ARG(r->type), MP_STR_ARG(r->resource), MP_STR_ARG(r->text));
}

static int64_t host_now(void *ctx) { return ((struct fake_mesh *)ctx)->now_ns; }

/* ---- life ---- */

struct mp_envoy_world fake_world(struct fake_mesh *m)
{
    return (struct mp_envoy_world){m,          instances,  instance, instance_at,
                                   identities, service_of, services, secret};
}

static bool host_carries(void *ctx, const struct mp_envoy_node *node)
{
    (void)node;
    return ((struct fake_mesh *)ctx)->modules_carry;
}

static void host_look(void *ctx, const struct mp_envoy_look *look)
{
    struct fake_mesh *m = ctx;
    for (uint32_t i = 0; i < m->proxy_count; i++) {
        struct fake_proxy *p = &m->proxies[i];
        if (!mp_str_eq(mp_str_of(p->id), look->node)) continue;
        p->look = look->ticket;
        p->looks++;
    }
}

struct mp_envoy_host fake_host(struct fake_mesh *m)
{
    return (struct mp_envoy_host){
        .ctx = m,
        .send = host_send,
        .end = host_end,
        .prove = host_prove,
        .prove_cancel = host_cancel,
        .log = host_log,
        .now_ns = host_now,
        .module_carries = host_carries,
        .look = m->looks ? host_look : NULL,
        .refused = host_refused};
}

bool fake_look(struct fake_mesh *m)
{
    bool any = false;
    for (uint32_t i = 0; i < m->proxy_count; i++) {
        struct fake_proxy *p = &m->proxies[i];
        struct mp_envoy_looked seen = {.seen = !p->hidden, .missing = p->bare_missing,
                                       .text = mp_str_of(p->bare)};
        uint64_t ticket = p->look;
        if (ticket == 0) continue;
        p->look = 0;
        any = true;
        mp_envoy_looked(m->envoy, ticket, &seen);
    }
    return any;
}

bool fake_is(const struct fake_mesh *m, const void *wire)
{
    const struct fake_proxy *p = wire;
    return p >= m->proxies && p < m->proxies + FAKE_PROXIES_MAX;
}

void fake_start_on(struct fake_mesh *m, const struct mp_envoy_limits *limits,
                   const struct mp_envoy_host *host)
{
    struct mp_envoy_world world = fake_world(m);
    if (m->now_ns == 0) m->now_ns = 1000000000;
    if (mp_envoy_create(NULL, limits, &world, host, &m->envoy) != MP_OK) abort();
}

void fake_start(struct fake_mesh *m, const struct mp_envoy_limits *limits)
{
    struct mp_envoy_host host = fake_host(m);
    if (m->nobody_proves) host.prove = NULL;
    fake_start_on(m, limits, &host);
}

void fake_crash(struct fake_mesh *m)
{
    for (uint32_t i = 0; i < m->proxy_count; i++) fake_close(&m->proxies[i]);
    mp_envoy_destroy(m->envoy);
    m->envoy = NULL;
    m->ask_count = 0;
}

static void forget(struct fake_resource *r)
{
    free(r->bytes);
    *r = (struct fake_resource){.used = false};
}

void fake_stop(struct fake_mesh *m)
{
    fake_crash(m);
    for (uint32_t i = 0; i < m->proxy_count; i++) {
        for (int k = 0; k < FAKE_RESOURCES_MAX; k++) forget(&m->proxies[i].has[k]);
    }
    memset(m, 0, sizeof *m);
}

struct fake_proxy *fake_proxy(struct fake_mesh *m, const char *id)
{
    for (uint32_t i = 0; i < m->proxy_count; i++) {
        if (strcmp(m->proxies[i].id, id) == 0) return &m->proxies[i];
    }
    if (m->proxy_count == FAKE_PROXIES_MAX) abort();
    struct fake_proxy *p = &m->proxies[m->proxy_count++];
    *p = (struct fake_proxy){.mesh = m, .room = SIZE_MAX, .sotw = m->sotw};
    snprintf(p->id, sizeof p->id, "%s", id);
    return p;
}

/* ---- requests ---- */

bool fake_open(struct fake_proxy *p)
{
    struct mp_envoy_peer peer = {.address = MP_STR("127.0.0.1:1"),
                                 .identity = mp_str_of(p->identity),
                                 .authenticated = p->mesh->authenticated,
                                 .single = p->single,
                                 .sotw = p->sotw};
    fake_close(p);
    p->nonce[0] = 0;
    for (int i = 0; i < FAKE_TYPES_MAX; i++) {
        p->lists[i].count = 0;
        p->lists[i].nonce[0] = 0;
    }
    p->ended = false;
    p->stream = mp_envoy_stream_open(p->mesh->envoy, p, &peer);
    return p->stream != NULL;
}

void fake_close(struct fake_proxy *p)
{
    if (p->stream != NULL) mp_envoy_stream_closed(p->stream);
    p->stream = NULL;
    for (uint32_t i = 0; i < p->inbox_count; i++) free(p->inbox[i].bytes);
    p->inbox_count = 0;
}

/* ListValue of Structs: Value.list_value 6, ListValue.values 1, Value.struct_value 5. */
static void put_routes(struct pb_out *out, const struct fake_proxy *p)
{
    struct pb_pair entry = pb_map_begin(out, 1, MP_STR("routes"));
    size_t list = pb_begin(out, 6);
    for (uint32_t i = 0; i < p->route_count; i++) {
        struct pb_pair route = pb_within(out, 1, 5);
        pb_struct_text(out, MP_STR("prefix"), MP_STR("/"));
        pb_struct_text(out, MP_STR("service"), mp_str_of(p->routes[i]));
        pb_pair_end(out, route);
    }
    pb_end(out, list);
    pb_pair_end(out, entry);
}

static mp_str write_metadata(struct fake_proxy *p, struct mp_arena *a)
{
    struct pb_out out = pb_out_arena(a);
    struct pb_struct_mark mark = pb_struct_begin(&out, MP_STR(MP_ENVOY_METADATA));
    pb_struct_number(&out, MP_STR("version"), MP_ENVOY_METADATA_VERSION);
    pb_struct_text(&out, MP_STR("listen"), MP_STR("127.0.0.1:9"));
    if (p->metadata_admin != NULL)
        pb_struct_text(&out, MP_STR("admin"), mp_str_of(p->metadata_admin));
    if (p->metadata_merge_ms >= 0) pb_struct_number(&out, MP_STR("merge_ms"), p->metadata_merge_ms);
    if (p->by_version) pb_struct_bool(&out, MP_STR("versions"), true);
    if (p->route_count > 0) put_routes(&out, p);
    pb_struct_end(&out, mark);
    return pb_view(&out);
}

/* ---- all names, instead of one more or less ---- */

static struct fake_list *list_of(struct fake_proxy *p, mp_str type)
{
    for (int i = 0; i < FAKE_TYPES_MAX; i++) {
        struct fake_list *l = &p->lists[i];
        if (l->type[0] == 0) put(l->type, sizeof l->type, type);
        if (mp_str_eq(mp_str_of(l->type), type)) return l;
    }
    abort();
}

static uint32_t index_of(const struct fake_list *l, mp_str name)
{
    uint32_t i = 0;
    while (i < l->count && !mp_str_eq(mp_str_of(l->names[i]), name)) i++;
    return i;
}

static bool is_watched(const struct fake_list *l, mp_str name)
{
    return l->count == 0 || index_of(l, name) < l->count || index_of(l, MP_STR("*")) < l->count;
}

static void list_all(struct fake_proxy *p, struct mp_discovery_ask *ask, mp_str *names)
{
    struct fake_list *l = list_of(p, ask->type_url);
    for (size_t i = 0; i < ask->subscribe_count; i++) {
        if (index_of(l, ask->subscribe[i]) < l->count) continue;
        if (l->count == FAKE_NAMES_MAX) abort();
        put(l->names[l->count++], sizeof l->names[0], ask->subscribe[i]);
    }
    for (size_t i = 0; i < ask->unsubscribe_count; i++) {
        uint32_t at = index_of(l, ask->unsubscribe[i]);
        if (at == l->count) continue;
        memmove(l->names[at], l->names[at + 1], (--l->count - at) * sizeof l->names[0]);
    }
    for (uint32_t i = 0; i < l->count; i++) names[i] = mp_str_of(l->names[i]);
    ask->variant = MP_DISCOVERY_SOTW;
    ask->subscribe = names;
    ask->subscribe_count = l->count;
    if (ask->nonce.len == 0) ask->nonce = mp_str_of(l->nonce);
    if (ask->version.len == 0) ask->version = mp_str_of(l->version);
    if (p->untyped) ask->type_url = MP_STR("");
}

bool fake_request(struct fake_proxy *p, struct mp_discovery_ask *ask)
{
    struct mp_arena a;
    mp_str names[FAKE_NAMES_MAX];
    if (p->sotw) list_all(p, ask, names);
    mp_arena_init(&a, NULL, 0);
    struct mp_discovery_node node = {.id = mp_str_of(p->id), .major = 1, .minor = 39, .patch = 3,
                                     .metadata = write_metadata(p, &a)};
    ask->node = &node;
    struct pb_out out = pb_out_arena(&a);
    mp_discovery_write_request(&out, ask);
    bool ok = !out.failed && p->stream != NULL && mp_envoy_stream_message(p->stream, pb_view(&out));
    mp_arena_free(&a);
    return ok;
}

bool fake_subscribe(struct fake_proxy *p, const char *type, const char *const *names)
{
    mp_str list[64];
    struct mp_discovery_pair versions[FAKE_RESOURCES_MAX];
    struct mp_discovery_ask ask = {
        .type_url = mp_str_of(type), .subscribe = list, .versions = versions};
    while (names != NULL && names[ask.subscribe_count] != NULL) {
        list[ask.subscribe_count] = mp_str_of(names[ask.subscribe_count]);
        ask.subscribe_count++;
    }
    for (int i = 0; i < FAKE_RESOURCES_MAX; i++) {
        struct fake_resource *r = &p->has[i];
        if (!r->used || strcmp(r->type, type) != 0) continue;
        versions[ask.version_count++] =
            (struct mp_discovery_pair){mp_str_of(r->name), mp_str_of(r->version)};
    }
    return fake_request(p, &ask);
}

bool fake_connect(struct fake_proxy *p, const char *const *clusters)
{
    static const char *const filters[] = {MP_ENVOY_DENY, MP_ENVOY_ALLOW, MP_ENVOY_THROTTLE,
                                          MP_ENVOY_SHARE, NULL};
    static const char *const runtime[] = {MP_ENVOY_RUNTIME, NULL};
    static const char *const routes[] = {MP_ENVOY_ROUTES, NULL};
    return fake_open(p) && fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, filters) &&
           fake_subscribe(p, MP_ENVOY_TYPE_RUNTIME, runtime) &&
           (p->route_count == 0 || fake_subscribe(p, MP_ENVOY_TYPE_ROUTES, routes)) &&
           (clusters == NULL || fake_subscribe(p, MP_ENVOY_TYPE_ENDPOINTS, clusters));
}

bool fake_answer(struct fake_proxy *p, const char *type, const char *nonce, const char *error)
{
    struct mp_discovery_ask ask = {.type_url = mp_str_of(type), .nonce = mp_str_of(nonce),
                                   .has_error = error != NULL, .error_code = 3,
                                   .error_text = mp_str_of(error != NULL ? error : "")};
    return fake_request(p, &ask);
}

/* ---- responses ---- */

static struct fake_resource *slot_of(struct fake_proxy *p, const char *type, mp_str name)
{
    struct fake_resource *empty = NULL;
    for (int i = 0; i < FAKE_RESOURCES_MAX; i++) {
        struct fake_resource *r = &p->has[i];
        if (r->used && strcmp(r->type, type) == 0 && mp_str_eq(mp_str_of(r->name), name)) return r;
        if (!r->used && empty == NULL) empty = r;
    }
    if (empty == NULL) abort();
    return empty;
}

static void take(struct fake_proxy *p, const struct mp_discovery_resource *from)
{
    struct fake_resource *r = slot_of(p, p->type, from->name);
    forget(r);
    r->used = true;
    snprintf(r->type, sizeof r->type, "%s", p->type);
    put(r->name, sizeof r->name, from->name);
    /* The version of a whole response says nothing about one resource: its bytes do. */
    static const struct mp_hash_key key = {1, 2};
    put(r->version, sizeof r->version, from->version);
    if (p->sotw) {
        snprintf(r->version, sizeof r->version, "%016llx",
                 (unsigned long long)mp_siphash(key, from->value.ptr, from->value.len));
    }
    r->bytes = malloc(from->value.len + 1);
    if (r->bytes == NULL) abort();
    memcpy(r->bytes, from->value.ptr, from->value.len);
    r->len = from->value.len;
}

static void take_all(struct fake_proxy *p, struct mp_discovery_answer answer)
{
    const struct fake_list *l = p->sotw ? list_of(p, answer.type_url) : NULL;
    struct mp_discovery_resource r;
    while (mp_discovery_next_resource(&answer, &r)) {
        if (l != NULL && !is_watched(l, r.name)) continue;
        take(p, &r);
        p->resources_in++;
    }
}

static bool has_exactly(const struct fake_proxy *p, const struct mp_discovery_resource *r)
{
    for (int i = 0; i < FAKE_RESOURCES_MAX; i++) {
        const struct fake_resource *h = &p->has[i];
        if (h->used && strcmp(h->type, p->type) == 0 && mp_str_eq(mp_str_of(h->name), r->name))
            return mp_str_eq((mp_str){h->bytes, h->len}, r->value);
    }
    return false;
}

static bool is_refused(const struct fake_proxy *p, struct mp_discovery_answer answer)
{
    struct mp_discovery_resource r;
    if (p->nacks == NULL) return false;
    while (mp_discovery_next_resource(&answer, &r)) {
        /* What it has it has taken before. */
        if (has_exactly(p, &r)) continue;
        if (strcmp(p->nacks, "*") == 0 || mp_str_eq(r.name, mp_str_of(p->nacks))) return true;
    }
    return false;
}

static void accept(struct fake_proxy *p, struct mp_discovery_answer answer)
{
    mp_str name;
    take_all(p, answer);
    if (p->sotw) {
        struct fake_list *l = list_of(p, answer.type_url);
        put(l->version, sizeof l->version, answer.system_version);
    }
    while (pb_many_next(&answer.removed, &name)) {
        forget(slot_of(p, p->type, name));
        p->removed_in++;
    }
}

bool fake_read(struct fake_proxy *p)
{
    if (p->stream == NULL || p->inbox_count == 0) return false;
    mp_str bytes = {p->inbox[0].bytes, p->inbox[0].len};
    struct mp_discovery_answer answer;
    const char *why;
    memmove(p->inbox, p->inbox + 1, --p->inbox_count * sizeof *p->inbox);
    enum mp_discovery_variant variant = p->sotw ? MP_DISCOVERY_SOTW : MP_DISCOVERY_DELTA;
    if (mp_discovery_read_response(variant, bytes, &answer, &why) != MP_OK) abort();
    put(p->nonce, sizeof p->nonce, answer.nonce);
    put(p->type, sizeof p->type, answer.type_url);
    put(p->version, sizeof p->version, answer.system_version);
    if (p->sotw) put(list_of(p, answer.type_url)->nonce, sizeof p->nonce, answer.nonce);
    p->responses++;
    bool refused = is_refused(p, answer);
    if (!refused) accept(p, answer);
    free((char *)bytes.ptr);
    if (p->silent) return true;
    char nonce[64], type[128];
    memcpy(nonce, p->nonce, sizeof nonce);
    memcpy(type, p->type, sizeof type);
    fake_answer(p, type, nonce, refused ? "no such thing\nunder the sun" : NULL);
    return true;
}

bool fake_prove(struct fake_mesh *m)
{
    for (uint32_t i = 0; i < m->ask_count; i++) {
        const struct fake_proxy *p = fake_proxy(m, m->asks[i].node);
        uint64_t ticket = m->asks[i].ticket;
        if (p->held) continue;
        m->asks[i] = m->asks[--m->ask_count];
        mp_envoy_proven(m->envoy, ticket, MP_ENVOY_PROVEN, MP_STR(""));
        return true;
    }
    return false;
}

void fake_pump(struct fake_mesh *m)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < m->proxy_count; i++) {
            struct fake_proxy *p = &m->proxies[i];
            if (p->ended) {
                fake_close(p);
                p->ended = false;
            }
            while (fake_read(p)) moved = true;
        }
        while (fake_prove(m)) moved = true;
        moved |= fake_look(m);
    }
}

const struct fake_resource *fake_has(const struct fake_proxy *p, const char *name)
{
    for (int i = 0; i < FAKE_RESOURCES_MAX; i++) {
        if (p->has[i].used && strcmp(p->has[i].name, name) == 0) return &p->has[i];
    }
    return NULL;
}
