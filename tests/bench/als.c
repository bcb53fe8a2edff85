/* SPDX-License-Identifier: Apache-2.0
 * Access logs of proxies, without a proxy: what it costs to read them, how many `mpol run` takes,
 * and how soon what they lead to comes back.
 *
 *   bench_als MPOL       in a folder of its own
 *
 * als.read      one message with one request (some 550 bytes, as an Envoy 1.39 writes it) → struct
 * als.records   such messages on one stream, through `mpol run`, a rule counting them per client;
 *               with the client that sends them on the same machine. als.lost: those that never
 *               became records
 * als.push      the entry of a request on the wire → the denial that it led to is back at the
 *               proxy; als.push_400 with 400 denials in force, all of which each push carries
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "../daemon/harness.h"
#include "../grpc/client.h"
#include "bench.h"
#include "envoy_wire/als.h"

#define ADS "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
#define ALS "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
#define ECDS "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
#define NODE "service/checkout/checkout-1"
#define PUSHES_MAX 500
#define PUSHES_SHOWN 100 /* the first and the last ones */
#define AHEAD 20000 /* messages that are sent before it is asked how many have come */

static const char policy[] =
    "use std.mesh\n"
    "rule crowd when count(requests where status == 500) over 10s >= 1000000 "
    "per client.ip max 10k\n"
    "  then deny client.ip for 1m\n"
    "rule guess when count(requests where status == 401) over 10s >= 1 per client.ip max 10k\n"
    "  then deny client.ip for 1m\n";

static uv_loop_t loop;
static char room[4096];

/* ---- an entry ---- */

static void put_address(struct pb_out *out, uint32_t field, const char *ip, uint32_t port)
{
    struct pb_pair address = pb_within(out, field, 1);
    pb_text(out, 2, mp_str_of(ip));
    pb_uint(out, 3, port);
    pb_pair_end(out, address);
}

static void put_tls(struct pb_out *out)
{
    size_t tls = pb_begin(out, 4);
    pb_uint(out, 1, 4);
    pb_wrapped_uint(out, 2, 4866);
    struct pb_pair own = pb_within(out, 4, 1), peer;
    pb_text(out, 1, MP_STR("spiffe://shop/ns/default/sa/checkout"));
    pb_pair_end(out, own);
    peer = pb_within(out, 5, 1);
    pb_text(out, 1, MP_STR("spiffe://shop/ns/default/sa/web"));
    pb_pair_end(out, peer);
    pb_end(out, tls);
}

static void put_common(struct pb_out *out, const char *client)
{
    size_t common = pb_begin(out, 1);
    put_address(out, 2, client, 53164);
    put_address(out, 3, "127.0.0.1", 22003);
    put_tls(out);
    for (uint32_t field = 6; field <= 12; field++) pb_duration(out, field, 600000 * (int64_t)field);
    put_address(out, 13, "127.0.0.1", 22002);
    put_address(out, 14, "127.0.0.1", 49296);
    pb_text(out, 15, MP_STR("upstream"));
    put_address(out, 20, client, 53164);
    pb_duration(out, 23, 3633834);
    pb_uint(out, 24, 1);
    pb_text(out, 26, MP_STR("eeca4123-ee38-4a46-a5a9-39a93f3f4c16"));
    for (uint32_t field = 29; field <= 32; field++) pb_uint(out, field, 140);
    pb_uint(out, 33, MP_ALS_DOWNSTREAM_END);
    pb_end(out, common);
}

static mp_str message(const char *client, uint32_t status, bool named)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    if (named) {
        struct mp_discovery_node node = {
            .id = MP_STR(NODE), .cluster = MP_STR("checkout"), .major = 1};
        size_t identifier = pb_begin(&out, 1);
        mp_discovery_write_node(&out, 1, &node);
        pb_text(&out, 2, MP_STR("mpol"));
        pb_end(&out, identifier);
    }
    struct pb_pair log = pb_within(&out, 2, 1);
    put_common(&out, client);
    pb_uint(&out, 2, 2);
    size_t request = pb_begin(&out, 3);
    pb_uint(&out, 1, 1);
    pb_text(&out, 2, MP_STR("https"));
    pb_text(&out, 3, MP_STR("shop.example"));
    pb_text(&out, 5, MP_STR("/pay/x?a=1"));
    pb_text(&out, 6, MP_STR("curl/7.88.1"));
    pb_text(&out, 9, MP_STR("eeca4123-ee38-4a46-a5a9-39a93f3f4c16"));
    pb_uint(&out, 11, 358);
    pb_uint(&out, 12, 10);
    pb_end(&out, request);
    size_t response = pb_begin(&out, 4);
    pb_wrapped_uint(&out, 1, status);
    pb_uint(&out, 2, 106);
    pb_uint(&out, 3, 5);
    pb_text(&out, 6, MP_STR("via_upstream"));
    pb_end(&out, response);
    pb_pair_end(&out, log);
    if (out.failed) bench_fail("the room for a message is too small");
    return pb_view(&out);
}

/* ---- reading alone ---- */

static bool on_http(void *ctx, const struct mp_als_http *e)
{
    *(uint64_t *)ctx += e->status + e->path.len;
    return true;
}

static void read_alone(void)
{
    mp_str m = message("10.0.0.1", 200, false);
    int rounds = bench_quick() ? 2000 : 200000;
    double best = INFINITY;
    uint64_t sum = 0;
    struct mp_als_sink sink = {&sum, NULL, on_http, NULL};
    const char *why;
    for (int k = 0; k < 5; k++) {
        double began = bench_cpu_ns();
        for (int i = 0; i < rounds; i++) {
            if (mp_als_read(m, &sink, &why) != MP_OK) bench_fail("not read: %s", why);
        }
        double ns = (bench_cpu_ns() - began) / rounds;
        if (ns < best) best = ns;
    }
    if (sum == 0) bench_fail("nothing was read");
    bench_say("als.message", (double)m.len, "B", NULL, NAN);
    bench_say("als.read", best, "ns", NULL, NAN);
}

/* ---- through mpol ---- */

struct proxy {
    struct grpc_client *client;
    struct grpc_call *ads, *als;
    uint32_t answers;
    bool over;
};

static void on_over(void *ctx, int status, mp_str text) { ((struct proxy *)ctx)->over = true; }

static void on_answer(void *ctx, mp_str bytes)
{
    struct proxy *p = ctx;
    struct mp_discovery_answer answer;
    const char *why;
    char ack[512];
    if (mp_discovery_read_response(MP_DISCOVERY_DELTA, bytes, &answer, &why) != MP_OK)
        bench_fail("an answer: %s", why);
    p->answers++;
    struct pb_out out = pb_out_fixed(ack, sizeof ack);
    struct mp_discovery_ask ask = {.type_url = answer.type_url, .nonce = answer.nonce};
    mp_discovery_write_request(&out, &ask);
    grpc_call_send(p->ads, pb_view(&out));
}

static void turn(struct proxy *p)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    if (p->over) bench_fail("mpol has ended a stream");
}

static void until_answers(struct proxy *p, uint32_t answers)
{
    double began = bench_wall_ns();
    while (p->answers < answers) {
        turn(p);
        if (bench_wall_ns() - began > 10e9) bench_fail("no answer within 10 s");
    }
}

static void come(struct proxy *p)
{
    static const mp_str names[] = {MP_STR_INIT("mpol-deny")};
    struct grpc_client_options o = {.target = "unix:xds"};
    p->client = grpc_client_open(&loop, &o);
    if (p->client == NULL) bench_fail("no client");
    struct grpc_call_options ads = {ADS, on_answer, on_over, p}, als = {ALS, NULL, on_over, p};
    p->ads = grpc_call_open(p->client, &ads);
    p->als = grpc_call_open(p->client, &als);
    struct mp_discovery_node node = {.id = MP_STR(NODE), .cluster = MP_STR("checkout"), .major = 1};
    struct mp_discovery_ask ask = {.node = &node, .type_url = MP_STR(ECDS), .subscribe = names,
                                   .subscribe_count = 1};
    struct pb_out out = pb_out_fixed(room, sizeof room);
    mp_discovery_write_request(&out, &ask);
    grpc_call_send(p->ads, pb_view(&out));
    until_answers(p, 1);
    grpc_call_send(p->als, message("10.1.0.1", 200, true));
}

static double records(const struct run *r)
{
    static const char name[] = "\nmpol_als_requests_total ";
    const char *body, *at;
    if (get(r->port, "/metrics", &body) != 200 || (at = strstr(body, name)) == NULL)
        bench_fail("no metrics");
    return strtod(at + strlen(name), NULL);
}

/* Sends, but never more than AHEAD that have not come. */
static void many(const struct run *r, struct proxy *p)
{
    uint32_t count = bench_quick() ? 5000 : 300000, sent = 0;
    double before, began, came = 0;
    while ((before = records(r)) < 1) turn(p);
    began = bench_wall_ns();
    while (came < count) {
        for (; sent < count && sent < came + AHEAD; sent++) {
            char client[32];
            snprintf(client, sizeof client, "10.2.%u.%u", sent / 200 % 10, sent % 200);
            grpc_call_send(p->als, message(client, 200, false));
            if (sent % 100 == 0) turn(p);
        }
        for (int i = 0; i < 200; i++) turn(p);
        came = records(r) - before;
        if (bench_wall_ns() - began > 120e9) break;
    }
    double took = bench_wall_ns() - began;
    bench_say("als.records", came / (took / 1e9), "/s", NULL, NAN);
    bench_say("als.lost", count - came, "records", NULL, NAN);
}

static void percentiles(const char *name, double *us, size_t count)
{
    char full[64];
    bench_sort(us, count);
    snprintf(full, sizeof full, "%s.p50", name);
    bench_say(full, bench_percentile(us, count, 0.50), "us", NULL, NAN);
    snprintf(full, sizeof full, "%s.p99", name);
    bench_say(full, bench_percentile(us, count, 0.99), "us", NULL, NAN);
}

static void pushes(struct run *r, struct proxy *p)
{
    static double us[PUSHES_MAX];
    uint32_t count = bench_quick() ? 20 : PUSHES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        char client[32];
        uint32_t before = p->answers;
        snprintf(client, sizeof client, "10.3.%u.%u", i / 200, i % 200);
        double began = bench_wall_ns();
        grpc_call_send(p->als, message(client, 401, false));
        until_answers(p, before + 1);
        us[i] = (bench_wall_ns() - began) / 1e3;
        for (int k = 0; k < 200; k++) turn(p); /* what comes after an acknowledgement */
        (void)run_said(r, ""); /* its log is read, so that it can go on writing */
    }
    if (bench_quick()) {
        percentiles("als.push", us, count);
        return;
    }
    percentiles("als.push", us, PUSHES_SHOWN);
    percentiles("als.push_400", us + PUSHES_MAX - PUSHES_SHOWN, PUSHES_SHOWN);
}

static void measure(void)
{
    struct run r;
    struct proxy p = {0};
    put_file("policy.mpol", policy);
    uv_loop_init(&loop);
    run_start(&r, "policy.mpol", "--state=state", "--listen=127.0.0.1:0", "--xds=unix:xds", NULL);
    come(&p);
    many(&r, &p);
    pushes(&r, &p);
    grpc_client_close(p.client);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    run_stop(&r);
    run_free(&r);
}

static void drop(void) { folder_drop(NULL); }

int main(int argc, char **argv)
{
    if (argc < 2) bench_fail("usage: bench_als MPOL");
    read_alone();
    harness_command(argv[1]);
    if (folder_make(NULL) != 0) bench_fail("no folder");
    atexit(drop); /* also when something goes wrong: mpol must not live on */
    measure();
    return 0;
}
