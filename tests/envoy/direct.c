/* SPDX-License-Identifier: Apache-2.0 */
#include "direct.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "envoy_prove/prove.h"
#include "grpc/grpc.h"

#define BOUND_MS 60000 /* LIMIT: of one wait, on a machine that is busy */
#define ADS_PATH "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

static struct fake_mesh *mesh;
static struct mp_envoy_host fakes;
static uint32_t reals;

static uv_loop_t loop;
static uv_timer_t ticks; /* so that a wait looks again */
static bool loop_made;
static struct mp_grpc_server *server;
static struct mp_prover *prover;
static bool ending;
static const char *held;

/* ---- streams ---- */

static void *ads_open(void *ctx, struct mp_grpc_stream *wire)
{
    struct mp_envoy_peer peer = {.address = mp_grpc_stream_peer(wire)->address};
    (void)ctx;
    return mp_envoy_stream_open(mesh->envoy, wire, &peer);
}

static bool ads_message(void *state, mp_str bytes) { return mp_envoy_stream_message(state, bytes); }
static void ads_drained(void *state) { mp_envoy_stream_drained(state); }
static void ads_closed(void *state) { mp_envoy_stream_closed(state); }

static enum mp_err send_bytes(void *ctx, void *wire, mp_str bytes)
{
    return fake_is(mesh, wire) ? fakes.send(ctx, wire, bytes) : mp_grpc_send(wire, bytes);
}

static void end_stream(void *ctx, void *wire, mp_str why)
{
    if (fake_is(mesh, wire)) {
        fakes.end(ctx, wire, why);
    } else {
        mp_grpc_finish(wire, MP_GRPC_ABORTED, why);
    }
}

static int64_t now_ns(void *ctx)
{
    (void)ctx;
    return (int64_t)uv_hrtime();
}

/* ---- proofs ---- */

struct question {
    struct question *next;
    uint64_t ticket, running;
    char node[128];
    enum mp_envoy_proof_kind kind;
    int status;
    char listen[64], admin[64], path[64], key[64], value[64], cluster[64], ips[16][48];
    struct mp_prove_endpoint endpoints[16];
    size_t endpoint_count;
    uint32_t panic_percent;
};

static struct question *questions;

static mp_str put(char *out, size_t size, mp_str s)
{
    if (s.len >= size) abort();
    if (s.len > 0) memcpy(out, s.ptr, s.len);
    out[s.len] = 0;
    return (mp_str){out, s.len};
}

static void answered(void *ctx, const struct mp_proof *proof)
{
    static const enum mp_envoy_proven answers[] = {[MP_PROVE_PROVEN] = MP_ENVOY_PROVEN,
                                                   [MP_PROVE_NOT_YET] = MP_ENVOY_NOT_YET,
                                                   [MP_PROVE_PANIC] = MP_ENVOY_UNPROVABLE,
                                                   [MP_PROVE_UNREACHABLE] = MP_ENVOY_UNPROVABLE};
    struct question *q = ctx, **at = &questions;
    uint64_t ticket = q->ticket;
    while (*at != q) at = &(*at)->next;
    *at = q->next;
    free(q);
    if (!ending) mp_envoy_proven(mesh->envoy, ticket, answers[proof->result], proof->text);
}

static bool is_held(const char *node) { return held != NULL && strcmp(node, held) == 0; }

/* Any number that is the same for the same node. */
static uint64_t number_of(const char *node)
{
    uint64_t n = 5381;
    while (*node != 0) n = n * 33 + (unsigned char)*node++;
    return n;
}

static bool is_fake(mp_str node)
{
    for (uint32_t i = 0; i < mesh->proxy_count; i++) {
        if (mp_str_eq(mp_str_of(mesh->proxies[i].id), node)) return true;
    }
    return false;
}

static void start_question(struct question *q)
{
    struct mp_prove_value value = {mp_str_of(q->key), mp_str_of(q->value)};
    struct mp_prove_task task = {.proxy = number_of(q->node), .done = answered, .ctx = q};
    if (q->running != 0 || is_held(q->node)) return;
    task.address = mp_str_of(q->kind == MP_ENVOY_PROOF_REQUEST ? q->listen : q->admin);
    if (q->kind == MP_ENVOY_PROOF_REQUEST) {
        task.path = mp_str_of(q->path);
        task.status = (unsigned)q->status;
    } else if (q->kind == MP_ENVOY_PROOF_RUNTIME) {
        task.kind = MP_PROVE_RUNTIME;
        task.values = &value;
        task.value_count = 1;
    } else {
        task.kind = MP_PROVE_CLUSTERS;
        task.cluster = mp_str_of(q->cluster);
        task.panic_percent = q->panic_percent;
        task.endpoints = q->endpoints;
        task.endpoint_count = q->endpoint_count;
    }
    if (mp_prove(prover, &task, &q->running) != MP_OK) abort();
}

static void cancel(void *ctx, uint64_t ticket)
{
    struct question **at = &questions;
    fakes.prove_cancel(ctx, ticket);
    while (*at != NULL && (*at)->ticket != ticket) at = &(*at)->next;
    if (*at == NULL) return;
    struct question *q = *at;
    if (q->running != 0) mp_prove_cancel(prover, q->running);
    *at = q->next;
    free(q);
}

static void copy_endpoints(struct question *q, const struct mp_envoy_proof *what)
{
    if (what->endpoint_count > 16) abort();
    for (uint32_t i = 0; i < what->endpoint_count; i++) {
        const struct mp_envoy_endpoint *e = &what->endpoints[i];
        snprintf(q->ips[i], sizeof q->ips[i], "%.*s:%u", MP_STR_ARG(e->ip), (unsigned)e->port);
        enum mp_prove_state state = e->health == MP_ENVOY_HEALTHY ? MP_PROVE_IN : MP_PROVE_OUT;
        q->endpoints[i] = (struct mp_prove_endpoint){mp_str_of(q->ips[i]), state, e->weight};
    }
    q->endpoint_count = what->endpoint_count;
}

static void prove(void *ctx, const struct mp_envoy_ask *ask)
{
    if (is_fake(ask->node)) {
        fakes.prove(ctx, ask);
        return;
    }
    if (ask->replaces != 0) cancel(ctx, ask->replaces);
    struct question *q = calloc(1, sizeof *q);
    if (q == NULL) abort();
    *q = (struct question){.next = questions, .ticket = ask->ticket,
                           .kind = ask->what->kind, .status = ask->what->status,
                           .panic_percent = ask->panic_percent};
    questions = q;
    put(q->node, sizeof q->node, ask->node);
    put(q->listen, sizeof q->listen, ask->listen);
    put(q->admin, sizeof q->admin, ask->admin);
    put(q->path, sizeof q->path, ask->what->path);
    put(q->key, sizeof q->key, ask->what->key);
    put(q->value, sizeof q->value, ask->what->value);
    put(q->cluster, sizeof q->cluster, ask->what->cluster);
    copy_endpoints(q, ask->what);
    start_question(q);
}

/* ---- the control plane ---- */

static void on_tick(uv_timer_t *timer) { (void)timer; }

void direct_listen(const char *address)
{
    static const struct mp_grpc_method method = {.path = ADS_PATH,
                                                 .open = ads_open,
                                                 .message = ads_message,
                                                 .drained = ads_drained,
                                                 .closed = ads_closed};
    struct mp_grpc_options options = {.listen = address, .methods = &method, .method_count = 1};
    char why[256];
    if (server != NULL) return;
    if (mp_grpc_open(&loop, &options, &server, why, sizeof why) != MP_OK) {
        fprintf(stderr, "%s: %s\n", address, why);
        abort();
    }
}

/* A revision may be effective before an Envoy has come (back): then it is asked of each. */
struct count {
    uint64_t revision;
    bool effective;
    uint32_t n;
};

static bool count_real(void *ctx, const struct mp_envoy_proxy *p)
{
    struct count *c = ctx;
    const struct mp_envoy_proxy_type *ecds = &p->types[MP_ENVOY_ECDS];
    if (is_fake(p->node) || !p->connected || ecds->subscribed < 4) return true;
    c->n += ecds->acked == ecds->subscribed &&
            (c->effective ? p->effective : p->accepted) >= c->revision;
    return true;
}

static bool all_there(uint64_t revision, bool effective)
{
    struct count c = {revision, effective, 0};
    mp_envoy_proxies(mesh->envoy, count_real, &c);
    return c.n == reals;
}

struct mpol_progress direct_progress(void)
{
    struct mpol_progress p = {.size = sizeof p};
    if (mp_envoy_ops.progress(mesh->envoy, &p) != MPOL_OK) abort();
    return p;
}

void direct_turn(void)
{
    fake_pump(mesh);
    uv_run(&loop, UV_RUN_ONCE);
}

void direct_wait(uint64_t revision, bool effective)
{
    uint64_t until = uv_hrtime() / 1000000 + BOUND_MS;
    for (;;) {
        fake_pump(mesh);
        struct mpol_progress p = direct_progress();
        if (all_there(revision, effective) && (effective ? p.effective : p.accepted) >= revision)
            return;
        if (uv_hrtime() / 1000000 > until) break;
        uv_run(&loop, UV_RUN_ONCE);
    }
    fprintf(stderr, "revision %llu did not become %s\n%s", (unsigned long long)revision,
            effective ? "effective" : "accepted", mesh->log);
    abort();
}

void direct_connect_fakes(const char *const *clusters)
{
    for (uint32_t i = 0; i < mesh->proxy_count; i++) {
        if (mesh->proxies[i].stream != NULL) continue;
        for (uint32_t n = 0; i == 0 && clusters != NULL && clusters[n] != NULL; n++) {
            mesh->proxies[i].routes[n] = clusters[n];
            mesh->proxies[i].route_count = n + 1;
        }
        if (!fake_connect(&mesh->proxies[i], i == 0 ? clusters : NULL)) abort();
    }
}

void direct_begin(struct fake_mesh *m, const struct mp_envoy_limits *limits, uint32_t real_count)
{
    mesh = m;
    reals = real_count;
    fakes = fake_host(mesh);
    struct mp_envoy_host host = fakes;
    host.send = send_bytes;
    host.end = end_stream;
    host.prove = prove;
    host.prove_cancel = cancel;
    host.now_ns = now_ns;
    ending = false;
    held = NULL;
    if (!loop_made) {
        uv_loop_init(&loop);
        uv_timer_init(&loop, &ticks);
        uv_timer_start(&ticks, on_tick, 1, 1);
        loop_made = true;
    }
    if (mp_prover_open(&loop, NULL, &prover) != MP_OK) abort();
    fake_start_on(mesh, limits, &host);
}

struct uv_loop_s *direct_loop(void) { return &loop; }

static void end_host(void)
{
    ending = true;
    mp_grpc_close(server);
    server = NULL;
    mp_prover_close(prover);
    prover = NULL;
    while (questions != NULL) {
        struct question *q = questions;
        questions = q->next;
        free(q);
    }
    uv_run(&loop, UV_RUN_NOWAIT);
}

void direct_crash(void)
{
    end_host();
    fake_crash(mesh);
}

void direct_stop(void)
{
    end_host();
    fake_stop(mesh);
}

void direct_hold(const char *node)
{
    held = node;
    for (struct question *q = questions; q != NULL; q = q->next) start_question(q);
}
