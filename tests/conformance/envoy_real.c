/* SPDX-License-Identifier: Apache-2.0
 * The suite against real Envoys: a sidecar, which is asked for requests, and a gateway, which routes to it.
 * Sidecars of the many other services that the suite names are proxies in memory on the same backend.
 *
 * Clients have the addresses that the suite gives them by x-forwarded-for, which these two trust.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include <uv.h>

#include "../envoy/proxy.h"
#include "envoy_kept.h"
#include "envoy_prove/prove.h"
#include "envoy_xds/names.h"
#include "fake.h"
#include "grpc/grpc.h"
#include "suite.h"

#define SERVICES 40
#define REALS 2
#define BOUND_MS 20000 /* LIMIT: of one wait */
#define ADS_PATH "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

static struct fake_mesh mesh;
static struct mp_envoy_host fakes;
static struct mpol_backend_ops ops;

static struct proxy shop, gate;
static char xds[32];

static uv_loop_t loop;
static uv_timer_t ticks; /* so that a wait looks again */
static struct mp_grpc_server *server;
static struct mp_prover *prover;
static bool ending, held;

/* ---- streams ---- */

static void *ads_open(void *ctx, struct mp_grpc_stream *wire)
{
    struct mp_envoy_peer peer = {.address = mp_grpc_stream_peer(wire)->address};
    (void)ctx;
    return mp_envoy_stream_open(mesh.envoy, wire, &peer);
}

static bool ads_message(void *state, mp_str bytes) { return mp_envoy_stream_message(state, bytes); }
static void ads_drained(void *state) { mp_envoy_stream_drained(state); }
static void ads_closed(void *state) { mp_envoy_stream_closed(state); }

static enum mp_err send_bytes(void *ctx, void *wire, mp_str bytes)
{
    return fake_is(&mesh, wire) ? fakes.send(ctx, wire, bytes) : mp_grpc_send(wire, bytes);
}

static void end_stream(void *ctx, void *wire, mp_str why)
{
    if (fake_is(&mesh, wire)) {
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
    bool of_shop;
    enum mp_envoy_proof_kind kind;
    int status;
    char listen[64], admin[64], path[64], key[64], value[64], cluster[64], ips[16][48];
    struct mp_prove_endpoint endpoints[16];
    size_t endpoint_count;
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
                                                   [MP_PROVE_UNREACHABLE] = MP_ENVOY_UNPROVABLE};
    struct question *q = ctx, **at = &questions;
    uint64_t ticket = q->ticket;
    while (*at != q) at = &(*at)->next;
    *at = q->next;
    free(q);
    if (!ending) mp_envoy_proven(mesh.envoy, ticket, answers[proof->result]);
}

static void start_question(struct question *q)
{
    struct mp_prove_value value = {mp_str_of(q->key), mp_str_of(q->value)};
    struct mp_prove_task task = {.proxy = q->of_shop ? 1 : 2, .done = answered, .ctx = q};
    if (q->running != 0 || (held && q->of_shop)) return;
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
    bool of_shop = mp_str_eq(ask->node, MP_STR("service/shop/shop-1"));
    if (!of_shop && !mp_str_eq(ask->node, MP_STR("ingress/gate/gate-1"))) {
        fakes.prove(ctx, ask);
        return;
    }
    if (ask->replaces != 0) cancel(ctx, ask->replaces);
    struct question *q = calloc(1, sizeof *q);
    if (q == NULL) abort();
    *q = (struct question){.next = questions, .ticket = ask->ticket, .of_shop = of_shop,
                           .kind = ask->what->kind, .status = ask->what->status};
    questions = q;
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

static void open_port(void)
{
    static const struct mp_grpc_method method = {.path = ADS_PATH, .open = ads_open, .message = ads_message,
                                                 .drained = ads_drained, .closed = ads_closed};
    struct mp_grpc_options options = {.listen = xds, .methods = &method, .method_count = 1};
    char why[256];
    if (mp_grpc_open(&loop, &options, &server, why, sizeof why) != MP_OK) {
        fprintf(stderr, "%s: %s\n", xds, why);
        abort();
    }
}

static bool count_real(void *ctx, const struct mp_envoy_proxy *p)
{
    bool real = mp_str_eq(p->service, MP_STR("shop")) || mp_str_eq(p->service, MP_STR("gate"));
    *(int *)ctx += real && p->connected && p->types[MP_ENVOY_ECDS].subscribed == 4 &&
                   p->types[MP_ENVOY_ECDS].acked == 4;
    return true;
}

static bool all_there(void)
{
    int n = 0;
    mp_envoy_proxies(mesh.envoy, count_real, &n);
    return n == REALS;
}

static bool came_to(uint64_t revision, bool effective)
{
    struct mpol_progress p = {.size = sizeof p};
    if (mp_envoy_ops.progress(mesh.envoy, &p) != MPOL_OK) abort();
    return all_there() && (effective ? p.effective : p.accepted) >= revision;
}

static void wait_for(uint64_t revision, bool effective)
{
    uint64_t until = uv_hrtime() / 1000000 + BOUND_MS;
    for (;;) {
        fake_pump(&mesh);
        if (came_to(revision, effective)) return;
        if (uv_hrtime() / 1000000 > until) break;
        uv_run(&loop, UV_RUN_ONCE);
    }
    fprintf(stderr, "revision %llu did not become %s\n%s", (unsigned long long)revision,
            effective ? "effective" : "accepted", mesh.log);
    abort();
}

static void connect_fakes(void)
{
    for (uint32_t i = 0; i < mesh.proxy_count; i++) {
        if (mesh.proxies[i].stream == NULL && !fake_connect(&mesh.proxies[i], NULL)) abort();
    }
}

static enum mpol_err apply(void *backend, const struct mpol_desired *set)
{
    enum mpol_err err = mp_envoy_ops.apply(backend, set);
    if (err != MPOL_OK) return err;
    kept_put(set);
    if (server == NULL) open_port();
    connect_fakes();
    wait_for(set->revision, false);
    return MPOL_OK;
}

static void begin(void)
{
    fakes = fake_host(&mesh);
    struct mp_envoy_host host = fakes;
    host.send = send_bytes;
    host.end = end_stream;
    host.prove = prove;
    host.prove_cancel = cancel;
    host.now_ns = now_ns;
    ending = held = false;
    if (mp_prover_open(&loop, NULL, &prover) != MP_OK) abort();
    fake_start_on(&mesh, NULL, &host);
}

/* As `kill -9` leaves it: connections end, and proxies go on with what they have. */
static void crash(void)
{
    ending = true;
    mp_grpc_close(server);
    server = NULL;
    mp_prover_close(prover);
    while (questions != NULL) {
        struct question *q = questions;
        questions = q->next;
        free(q);
    }
    uv_run(&loop, UV_RUN_NOWAIT);
    fake_crash(&mesh);
}

/* ---- the peer ---- */

static char names[4 * SERVICES][48];

static const char *numbered(int at, const char *before, int n)
{
    snprintf(names[at], sizeof names[at], "%s%d", before, n);
    return names[at];
}

static void *start(void)
{
    memset(&mesh, 0, sizeof mesh);
    fake_proxy(&mesh, "edge/out/out-1");
    fake_instance(&mesh, "shop-1", "shop", "v1", "127.0.0.1", (uint16_t)shop.port);
    for (int i = 0; i < SERVICES; i++) {
        char id[64];
        snprintf(id, sizeof id, "service/service-%d/instance-%d", i, i);
        fake_proxy(&mesh, id);
        fake_instance(&mesh, numbered(3 * i, "instance-", i), numbered(3 * i + 1, "service-", i), "v1",
                      numbered(3 * i + 2, "10.1.0.", i + 1), 9000);
    }
    begin();
    return mesh.envoy;
}

static void *restart(void *backend)
{
    (void)backend;
    crash();
    begin();
    if (mp_envoy_ops.apply(mesh.envoy, kept_get()) != MPOL_OK) abort();
    open_port();
    connect_fakes();
    wait_for(kept_get()->revision, true);
    return mesh.envoy;
}

static void stop(void *backend)
{
    (void)backend;
    crash();
    begin(); /* a control plane without streams, for fake_stop to end */
    mp_prover_close(prover);
    fake_stop(&mesh);
}

static void settle(void *backend)
{
    (void)backend;
    wait_for(kept_get()->revision, true);
}

static void hold(void *backend)
{
    (void)backend;
    held = true;
}

static void let_go(void *backend)
{
    (void)backend;
    held = false;
    for (struct question *q = questions; q != NULL; q = q->next) start_question(q);
}

static int ask_as(const char *client, int port)
{
    char request[256], reply[4096];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = -1;
    int n = snprintf(request, sizeof request,
                     "GET / HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: %s\r\nConnection: close\r\n\r\n", client);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) abort();
    if (write(fd, request, (size_t)n) != n) abort();
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t got = poll(&ready, 1, BOUND_MS) == 1 ? read(fd, reply, sizeof reply - 1) : -1;
    close(fd);
    if (got <= 0) return -1;
    reply[got] = 0;
    return sscanf(reply, "HTTP/1.1 %d", &status) == 1 ? status : -1;
}

static bool passes(void *backend, const char *client, const char *service)
{
    (void)backend;
    if (strcmp(service, "shop") != 0) abort();
    int direct = ask_as(client, shop.port), routed = ask_as(client, gate.port);
    if ((direct != 200 && direct != 403) || (direct == 200) != (routed == 200)) abort();
    return direct == 200;
}

int main(int argc, char **argv)
{
    static const struct conformance_peer envoy = {
        .name = "envoy, on real ones", .ops = &ops, .start = start, .restart = restart, .stop = stop,
        .settle = settle, .hold = hold, .let_go = let_go, .passes = passes,
    };
    struct upstream app;
    void *state = NULL;
    if (argc < 2) return 1;
    if (proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    if (folder_make(&state) != 0) return 1;
    int port = free_port();
    snprintf(xds, sizeof xds, "127.0.0.1:%d", port);
    upstream_start(&app);
    struct proxy_is at_shop = {"service", "shop", "shop-1", app.port, port};
    struct proxy_is at_gate = {"ingress", "gate", "gate-1", 0, port};
    proxy_start(&shop, &at_shop, "--xff-hops=1", NULL);
    proxy_start(&gate, &at_gate, "--route=/=shop", "--xff-hops=1", NULL);
    ops = mp_envoy_ops;
    ops.apply = apply;
    uv_loop_init(&loop);
    uv_timer_init(&loop, &ticks);
    uv_timer_start(&ticks, on_tick, 1, 1);
    int failed = conformance_run(&envoy);
    mesh_drop(&state);
    return failed;
}
