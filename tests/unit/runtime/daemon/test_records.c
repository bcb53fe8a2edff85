/* SPDX-License-Identifier: Apache-2.0
 * Access logs → records, over a real engine's program and a real backend: what an Envoy 1.39 wrote
 * (tests/fuzz/seeds/als), and what is made here.
 */
#include "daemon/daemon_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/records_priv.h"
#include "driver/driver.h"
#include "envoy_wire/als.h"
#include "envoy_xds/envoy_xds.h"
#include "grpc/grpc.h"
#include "os/std.h"
#include "records_policy.h"

#define SEC 1000000000LL
#define NOW (1795650000LL * SEC) /* after what the Envoy wrote */
#define SHOWN_MAX 16

static struct dm d;
static struct mp_daemon_options options;
static struct mp_arena arena;
static struct mp_envoy *envoy;
static struct dm_records *records;
static int64_t wall_now;

static int64_t wall(void *ctx) { return wall_now; }
static int64_t mono(void *ctx) { return wall_now; }

/* ---- what the engine is given ---- */

static char shown[SHOWN_MAX][4096];
static struct mp_record last;
static uint32_t shown_count;

void __wrap_mp_engine_record(struct mp_engine *e, struct mp_record *r);
void __real_mp_engine_record(struct mp_engine *e, struct mp_record *r);

/* `signal field=value|field=value|`, in the order of the program. */
static void show(const struct mp_record *r, struct mp_buf *out)
{
    const struct mp_program *p = d.now.program;
    const struct mp_signal_row *s = &p->signal[r->signal];
    mp_buf_put(out, mp_program_text(p, s->name));
    mp_buf_putc(out, '|');
    for (uint32_t i = 0; i < s->fields_count; i++) {
        const struct mp_field_row *f = &p->field[s->fields_at + i];
        if ((r->known[i / 64] >> (i % 64) & 1) == 0) continue;
        mp_buf_put(out, mp_program_text(p, f->path));
        mp_buf_putc(out, '=');
        enum mp_type type = f->type;
        if (type == MP_TYPE_ENTITY) type = p->entity[f->entity].key_type;
        mp_value_print(out, type, r->field[i]);
        mp_buf_putc(out, '|');
    }
}

void __wrap_mp_engine_record(struct mp_engine *e, struct mp_record *r)
{
    struct mp_buf out;
    assert_true(shown_count < SHOWN_MAX);
    mp_buf_init(&out, &arena);
    show(r, &out);
    snprintf(shown[shown_count++], sizeof shown[0], "%.*s", (int)out.len, out.ptr);
    last = *r;
    __real_mp_engine_record(e, r);
}

static uint32_t alive_count, closed_count;

void __wrap_mp_engine_alive(struct mp_engine *e, uint32_t source, uint32_t signal, int64_t time_ns);
void __wrap_mp_engine_source_closed(struct mp_engine *e, uint32_t source);

void __wrap_mp_engine_alive(struct mp_engine *e, uint32_t source, uint32_t signal, int64_t time_ns)
{
    alive_count++;
}

void __wrap_mp_engine_source_closed(struct mp_engine *e, uint32_t source) { closed_count++; }

static void has(uint32_t record, const char *part)
{
    assert_true(record < shown_count);
    if (strstr(shown[record], part) != NULL) return;
    fprintf(stderr, "`%s` is not in `%s`\n", part, shown[record]);
    fail();
}

static void lacks(uint32_t record, const char *part)
{
    assert_true(record < shown_count);
    if (strstr(shown[record], part) == NULL) return;
    fprintf(stderr, "`%s` is in `%s`\n", part, shown[record]);
    fail();
}

/* ---- the world ---- */

static const struct mp_envoy_instance instances[] = {
    {MP_STR_INIT("checkout-1"), MP_STR_INIT("checkout"), MP_STR_INIT("v1"),
     MP_STR_INIT("127.0.0.1"), 22003},
    {MP_STR_INIT("checkout-2"), MP_STR_INIT("checkout"), MP_STR_INIT("v2"),
     MP_STR_INIT("127.0.0.1"), 22002},
};

static void each_instance(void *ctx, mp_str service, mp_envoy_instance_fn each, void *each_ctx)
{
    for (size_t i = 0; i < 2; i++) {
        if (mp_str_eq(service, instances[i].service) && !each(each_ctx, &instances[i])) return;
    }
}

static bool instance(void *ctx, mp_str name, struct mp_envoy_instance *out)
{
    for (size_t i = 0; i < 2; i++) {
        if (!mp_str_eq(name, instances[i].name)) continue;
        *out = instances[i];
        return true;
    }
    return false;
}

static bool instance_at(void *ctx, mp_str ip, uint16_t port, struct mp_envoy_instance *out)
{
    for (size_t i = 0; i < 2; i++) {
        if (!mp_str_eq(ip, instances[i].ip) || port != instances[i].port) continue;
        *out = instances[i];
        return true;
    }
    return false;
}

static void each_identity(void *ctx, mp_str service, mp_envoy_text_fn each, void *each_ctx)
{
    if (mp_str_eq(service, MP_STR("checkout")))
        each(each_ctx, MP_STR("spiffe://shop/ns/default/sa/server"));
}

static mp_str service_of(void *ctx, mp_str identity)
{
    if (mp_str_eq(identity, MP_STR("spiffe://shop/ns/default/sa/client"))) return MP_STR("web");
    if (mp_str_eq(identity, MP_STR("spiffe://shop/ns/default/sa/server")))
        return MP_STR("checkout");
    return MP_STR("");
}

static void each_service(void *ctx, mp_envoy_text_fn each, void *each_ctx)
{
    each(each_ctx, MP_STR("checkout"));
}

static enum mp_err send_nothing(void *ctx, void *wire, mp_str bytes) { return MP_OK; }
static void end_nothing(void *ctx, void *wire, mp_str why) {}

/* ---- set-up ---- */

static struct mp_program *compile(void)
{
    struct mp_compile_text text = {MP_STR("p.mpol"), mp_str_of(records_policy), MP_CHECK_GIVEN};
    struct mp_compile_options how = {.goal = MP_COMPILE_IMAGE, .os = &d.os};
    struct mp_compilation *c;
    struct mp_program *p;
    const char *why = "";
    assert_int_equal(mp_compile(&text, 1, &how, &c), MP_OK);
    assert_int_equal(mp_compilation_errors(c), 0);
    mp_str image = mp_compilation_image(c);
    assert_int_equal(mp_program_load(image.ptr, image.len, &d.os, &p, &why), MP_OK);
    mp_compilation_free(c);
    return p;
}

static int begin(void **state)
{
    struct mp_engine_options how = {
        .clock = MP_ENGINE_LIVE, .hash_key = {1, 2}, .now_ns = NOW, .mono_ns = NOW};
    struct mp_envoy_world world = {NULL,          each_instance, instance,    instance_at,
                                   each_identity, service_of,    each_service};
    struct mp_envoy_host host = {.send = send_nothing, .end = end_nothing, .now_ns = mono};
    d = (struct dm){.options = &options, .started = true};
    mp_std_os(&d.os);
    d.os.wall_ns = wall;
    wall_now = NOW;
    shown_count = alive_count = closed_count = 0;
    mp_arena_init(&arena, NULL, 0);
    d.now = (struct dm_generation){.program = compile(), .number = 1};
    assert_int_equal(mp_ingest_create(&arena, d.now.program, how.hash_key, &d.now.ingest), MP_OK);
    how.limits.keys = 64;
    assert_int_equal(mp_engine_create(d.now.program, &d.os, &how, NULL, &d.engine), MP_OK);
    assert_int_equal(mp_envoy_create(NULL, NULL, &world, &host, &envoy), MP_OK);
    records = dm_records_open(&d, envoy, &world);
    assert_non_null(records);
    return 0;
}

static int end(void **state)
{
    d.started = false; /* nobody has to be told that it is silent */
    dm_records_close(records);
    dm_recent_free(&d);
    d.recent = NULL;
    mp_envoy_destroy(envoy);
    mp_engine_destroy(d.engine);
    mp_program_free(d.now.program);
    mp_arena_free(&arena);
    return 0;
}

static const struct mp_grpc_peer plain = {MP_STR_INIT("127.0.0.1:1"), MP_STR_INIT(""), 1, false};

/* ---- messages ---- */

/* What an Envoy wrote: a message of tests/fuzz/seeds/als. */
static mp_str seed(const char *name)
{
    char path[512];
    const char *root = getenv("MPOL_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/tests/fuzz/seeds/als/%s", root != NULL ? root : ".", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("%s cannot be read: set MPOL_SOURCE_DIR", path);
    char *bytes = mp_arena_alloc(&arena, 65536, 1);
    size_t len = fread(bytes, 1, 65536, f);
    fclose(f);
    return (mp_str){bytes, len};
}

struct entry {
    const char *node, *log, *path, *details, *cluster, *client, *header, *header_value;
    const char *peer, *peer_too; /* names of the certificate */
    uint32_t status, type, port, flags_field;
    int64_t start_ns, duration_ns;
    double rate;
    bool routes;
};

static void put_address(struct pb_out *out, uint32_t field, const char *ip, uint32_t port)
{
    struct pb_pair address = pb_within(out, field, 1);
    pb_text(out, 2, mp_str_of(ip));
    pb_uint(out, 3, port);
    pb_pair_end(out, address);
}

static void put_node(struct pb_out *out, const struct entry *e)
{
    size_t identifier = pb_begin(out, 1), node = pb_begin(out, 1);
    pb_text(out, 1, mp_str_of(e->node));
    if (e->routes) {
        size_t metadata = pb_begin(out, 3);
        struct pb_struct_mark mpol = pb_struct_begin(out, MP_STR("mpol"));
        struct pb_pair list = pb_map_begin(out, 1, MP_STR("routes"));
        struct pb_pair value = pb_within(out, 6, 1);
        size_t route = pb_begin(out, 5);
        pb_struct_text(out, MP_STR("prefix"), MP_STR("/pay"));
        pb_struct_text(out, MP_STR("service"), MP_STR("checkout"));
        pb_end(out, route);
        pb_pair_end(out, value);
        pb_pair_end(out, list);
        pb_struct_end(out, mpol);
        pb_end(out, metadata);
    }
    pb_end(out, node);
    pb_text(out, 2, mp_str_of(e->log != NULL ? e->log : "mpol"));
    pb_end(out, identifier);
}

static void put_name(struct pb_out *out, const char *uri)
{
    size_t name = pb_begin(out, 1);
    pb_text(out, 1, mp_str_of(uri));
    pb_end(out, name);
}

static void put_common(struct pb_out *out, const struct entry *e)
{
    size_t common = pb_begin(out, 1);
    if (e->rate != 0) pb_double(out, 1, e->rate);
    put_address(out, 2, e->client != NULL ? e->client : "10.0.0.9", 5000);
    if (e->peer != NULL) {
        size_t tls = pb_begin(out, 4);
        size_t peer = pb_begin(out, 5);
        put_name(out, e->peer);
        if (e->peer_too != NULL) put_name(out, e->peer_too);
        pb_end(out, peer);
        pb_end(out, tls);
    }
    pb_duration(out, 5, e->start_ns != 0 ? e->start_ns : NOW - SEC);
    if (e->port != 0) put_address(out, 13, "127.0.0.1", e->port);
    if (e->cluster != NULL) pb_text(out, 15, mp_str_of(e->cluster));
    if (e->flags_field != 0) {
        size_t flags = pb_begin(out, 16);
        pb_bool(out, e->flags_field, true);
        pb_end(out, flags);
    }
    pb_duration(out, 23, e->duration_ns != 0 ? e->duration_ns : SEC / 100);
    pb_uint(out, 33, e->type != 0 ? e->type : MP_ALS_DOWNSTREAM_END);
    pb_end(out, common);
}

static mp_str message(const struct entry *e)
{
    struct pb_out out = pb_out_arena(&arena);
    if (e->node != NULL) put_node(&out, e);
    struct pb_pair log = pb_within(&out, 2, 1);
    put_common(&out, e);
    size_t request = pb_begin(&out, 3);
    pb_uint(&out, 1, 1);
    pb_text(&out, 3, MP_STR("Shop:80"));
    pb_text(&out, 5, mp_str_of(e->path != NULL ? e->path : "/pay/x"));
    if (e->header != NULL) pb_map_text(&out, 13, mp_str_of(e->header), mp_str_of(e->header_value));
    pb_end(&out, request);
    size_t response = pb_begin(&out, 4);
    if (e->status != 0) pb_wrapped_uint(&out, 1, e->status);
    pb_text(&out, 6, mp_str_of(e->details != NULL ? e->details : "via_upstream"));
    pb_end(&out, response);
    pb_pair_end(&out, log);
    assert_false(out.failed);
    return pb_view(&out);
}

static void one(const struct mp_grpc_peer *peer, const struct entry *e)
{
    void *stream = dm_records_stream(records, peer);
    assert_true(dm_records_message(stream, message(e)));
    dm_records_stream_closed(stream);
}

static struct dm_records_counts counted(void)
{
    struct dm_records_counts c;
    dm_records_counts_get(records, &c);
    return c;
}

/* ---- cases ---- */

static void a_request_is_what_the_sidecar_saw(void **state)
{
    void *stream = dm_records_stream(records, &plain);
    assert_true(dm_records_message(stream, seed("http-first")));
    assert_true(dm_records_message(stream, seed("http-anonymous")));
    assert_true(dm_records_message(stream, seed("http-refused")));
    dm_records_stream_closed(stream);
    assert_int_equal(shown_count, 3);
    static const char *const first[] = {"requests|",
                                        "|layer=service|",
                                        "|service.name=checkout|",
                                        "|instance.name=checkout-1|",
                                        "|client.ip=127.0.0.1|",
                                        "|method=POST|",
                                        "|scheme=https|",
                                        "|host=127.0.0.1|",
                                        "|port=22003|",
                                        "|path=/pay/x|",
                                        "|raw_path=/pay/x|",
                                        "|query=a=1&b=%41+c|",
                                        "|args.b=A c|",
                                        "|headers.x-api-key=k1|",
                                        "|cookies.t=2|",
                                        "|user=ann|",
                                        "|user_agent=curl/7.88.1|",
                                        "|peer=spiffe://shop/ns/default/sa/client|",
                                        "|caller=web|",
                                        "|http_version=1.1|",
                                        "|version=v1|",
                                        "|mtls=true|",
                                        "|bytes_in=10B|",
                                        "|status=200|",
                                        "|latency=3ms633us834ns|",
                                        "|bytes_out=5B|",
                                        "|success=true|",
                                        "|reset=false|",
                                        "|timeout=false|",
                                        "|response_headers.x-cost=7|",
                                        "|principal=spiffe://shop/ns/default/sa/client|",
                                        "|route=all|"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) has(0, first[i]);
    has(1, "|mtls=false|");
    lacks(1, "|peer=");
    lacks(1, "|caller=");
    lacks(1, "|args.b=");
    static const char *const refused[] = {"refusals|",
                                          "|service.name=checkout|",
                                          "|client.ip=127.0.0.1|",
                                          "|policy=shop_contain|",
                                          "|path=/secret/1|",
                                          "|layer=service|",
                                          "|peer=spiffe://shop/ns/default/sa/client|"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) has(2, refused[i]);
    lacks(2, "|verb="); /* lease 17 is none that the engine has */
    assert_true(mp_str_eq(last.refused_by, MP_STR("shop_contain")));
    struct dm_records_counts c = counted();
    assert_int_equal(c.requests, 2);
    assert_int_equal(c.refusals, 1);
    assert_int_equal(c.streams_now, 0);
}

static void a_connection_is_what_the_proxy_saw(void **state)
{
    void *stream = dm_records_stream(records, &plain);
    assert_true(dm_records_message(stream, seed("tcp-first")));
    dm_records_stream_closed(stream);
    static const char *const parts[] = {
        "connections|",    "|service.name=checkout|", "|direction=inbound|", "|protocol=tcp|",
        "|dst=127.0.0.1|", "|dst_port=22004|",        "|refused=false|",     "|bytes=209B|"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) has(0, parts[i]);
    assert_int_equal(counted().connections, 1);
}

static void a_gateway_speaks_of_whom_it_asked(void **state)
{
    one(&plain, &(struct entry){
                    .node = "ingress/gateway/gateway-1", .cluster = "checkout@v2", .port = 22002});
    has(0, "|layer=ingress|");
    has(0, "|service.name=checkout|");
    has(0, "|instance.name=checkout-2|");
    has(0, "|version=v2|");
    assert_int_equal(last.layer, MP_LAYER_INGRESS);
    one(&plain, &(struct entry){.node = "ingress/gateway/gateway-1", .port = 9,
                                .cluster = "outbound|80|v2|pay.shop.svc.cluster.local"});
    has(1, "|service.name=shop/pay|");
    lacks(1, "|instance.name=");
    one(&plain,
        &(struct entry){.node = "ingress/gateway/gateway-1", .cluster = "upstream", .port = 1});
    has(2, "|service.name=gateway|");
    has(2, "|instance.name=gateway-1|");
}

static void what_a_gateway_refused_is_of_whom_it_would_have_asked(void **state)
{
    struct entry e = {.node = "ingress/gateway/gateway-1",
                      .routes = true,
                      .path = "/pay/a",
                      .status = 403,
                      .details = "rbac_access_denied_matched_policy[mpol:shop.contain/20001]"};
    one(&plain, &e);
    has(0, "refusals|");
    has(0, "|service.name=checkout|");
    has(0, "|policy=shop.contain|");
    lacks(0, "|instance.name=");
    e.path = "/other";
    one(&plain, &e);
    has(1, "|service.name=gateway|");
}

static void an_edge_speaks_of_itself_and_of_who_asks(void **state)
{
    one(&plain, &(struct entry){.node = "edge/out/out-1", .cluster = "world", .port = 22002,
                                .peer = "spiffe://shop/ns/default/sa/server"});
    has(0, "|layer=edge|");
    has(0, "|service.name=out|");
    has(0, "|instance.name=out-1|");
    has(0, "|caller=checkout|");
    has(0, "|mtls=true|");
    assert_int_equal(last.layer, MP_LAYER_EDGE);
}

static void no_header_says_who_asks(void **state)
{
    one(&plain, &(struct entry){.node = "service/checkout/checkout-1",
                                .header = "x-forwarded-client-cert",
                                .header_value = "URI=spiffe://shop/ns/default/sa/server"});
    lacks(0, "|peer=");
    lacks(0, "|caller=");
    has(0, "|mtls=false|");
    has(0, "|client.ip=10.0.0.9|");
    has(0, "|host=shop|");
}

static void a_certificate_with_several_names_is_counted(void **state)
{
    struct entry e = {.node = "service/checkout/checkout-1",
                      .peer = "spiffe://shop/ns/default/sa/server"};
    one(&plain, &e);
    assert_int_equal(counted().many_names, 0);
    e.peer_too = "spiffe://shop/ns/default/sa/client";
    one(&plain, &e);
    one(&plain, &e);
    assert_int_equal(counted().many_names, 2);
    has(2, "|caller=checkout|"); /* the first is who it is */
}

static void probes_and_what_has_not_ended_are_no_records(void **state)
{
    struct entry e = {
        .node = "service/checkout/checkout-1", .path = "/.mpol/probe/12ab", .status = 404};
    one(&plain, &e);
    e.path = "/pay";
    e.type = MP_ALS_DOWNSTREAM_PERIODIC;
    one(&plain, &e);
    e.type = MP_ALS_DOWNSTREAM_START;
    one(&plain, &e);
    assert_int_equal(shown_count, 0);
    assert_int_equal(counted().probes, 1);
    assert_int_equal(counted().intermediate, 2);
}

static void who_may_not_speak_is_counted_and_dropped(void **state)
{
    struct mp_grpc_peer known = {MP_STR("127.0.0.1:1"),
                                 MP_STR("spiffe://shop/ns/default/sa/server"), 1, true};
    struct mp_grpc_peer other = {MP_STR("127.0.0.1:1"),
                                 MP_STR("spiffe://shop/ns/default/sa/client"), 2, true};
    one(&known, &(struct entry){.node = "service/checkout/checkout-1"});
    assert_int_equal(shown_count, 1);
    one(&other, &(struct entry){.node = "service/checkout/checkout-1"});
    one(&plain, &(struct entry){.node = "nowhere/checkout/checkout-1"});
    one(&plain, &(struct entry){.node = ""});
    one(&plain, &(struct entry){.node = NULL}); /* it never said who it is */
    assert_int_equal(shown_count, 1);
    assert_int_equal(counted().unknown, 4);
    one(&plain, &(struct entry){.node = "service/checkout/checkout-1", .log = "theirs"});
    assert_int_equal(counted().other_logs, 1);
}

static void a_stream_speaks_of_one_node(void **state)
{
    void *stream = dm_records_stream(records, &plain);
    assert_true(dm_records_message(
        stream, message(&(struct entry){.node = "service/checkout/checkout-1"})));
    assert_true(dm_records_message(
        stream, message(&(struct entry){.node = "service/checkout/checkout-2"})));
    assert_int_equal(shown_count, 1);
    assert_int_equal(counted().foreign, 1);
    assert_true(dm_records_message(
        stream, message(&(struct entry){.node = "service/checkout/checkout-1"})));
    assert_int_equal(shown_count, 2);
    assert_false(dm_records_message(stream, MP_STR("\x0a\xff")));
    assert_int_equal(counted().malformed, 1);
    dm_records_stream_closed(stream);
}

static void a_record_has_the_time_of_its_end_and_never_a_later_one(void **state)
{
    struct entry e = {
        .node = "service/checkout/checkout-1", .start_ns = NOW - 3 * SEC, .duration_ns = SEC};
    one(&plain, &e);
    assert_int_equal(last.time_ns, NOW - 2 * SEC);
    has(0, "|latency=1s|");
    e.start_ns = NOW + 3600 * SEC; /* its clock is wrong */
    one(&plain, &e);
    assert_int_equal(last.time_ns, NOW);
    e.start_ns = NOW - 5;
    e.duration_ns = INT64_MAX;
    one(&plain, &e);
    assert_int_equal(last.time_ns, NOW);
    e.duration_ns = -SEC;
    one(&plain, &e);
    assert_int_equal(last.time_ns, NOW - 5);
    lacks(3, "|latency=");
}

static void flags_tell_resets_and_timeouts(void **state)
{
    struct entry e = {.node = "service/checkout/checkout-1",
                      .flags_field = MP_ALS_UPSTREAM_REQUEST_TIMEOUT,
                      .status = 504};
    one(&plain, &e);
    has(0, "|timeout=true|");
    has(0, "|reset=false|");
    has(0, "|success=false|");
    has(0, "|status=504|");
    e.flags_field = MP_ALS_DOWNSTREAM_CONNECTION_TERMINATION;
    e.status = 0;
    one(&plain, &e);
    has(1, "|reset=true|");
    lacks(1, "|status=");
}

static void a_sampled_entry_stands_for_many(void **state)
{
    one(&plain, &(struct entry){.node = "service/checkout/checkout-1", .rate = 0.1});
    assert_int_equal(last.weight, 10);
    one(&plain, &(struct entry){.node = "service/checkout/checkout-1", .rate = 1});
    assert_int_equal(last.weight, 1);
    one(&plain, &(struct entry){.node = "service/checkout/checkout-1", .rate = 1e-300});
    assert_int_equal(last.weight, MP_LINE_WEIGHT_MAX);
}

static struct mpol_text text(const char *s) { return (struct mpol_text){s, strlen(s)}; }

/* A throttle names no policy; the backend knows whose it is, and whose it is not. */
static void a_throttle_of_ours_is_told_from_anothers(void **state)
{
    struct entry e = {
        .node = "service/checkout/checkout-1", .status = 429, .details = "local_rate_limited"};
    one(&plain, &e);
    has(0, "requests|");
    struct mpol_arg to = {
        .name = text("to"), .type = text("rate"), .kind = MPOL_ARG_NUMBER, .number = 10};
    struct mpol_lease lease = {.size = sizeof lease,
                               .id = 7,
                               .rule = text("slow_down"),
                               .verb = text("throttle"),
                               .target_kind = text("service"),
                               .target_type = text("string"),
                               .target = text("checkout"),
                               .hooks = MPOL_SERVICE,
                               .args = &to,
                               .arg_count = 1};
    struct mpol_desired set = {
        .size = sizeof set, .revision = 1, .owner = text("t"), .leases = &lease, .lease_count = 1};
    assert_int_equal(mp_envoy_ops.apply(envoy, &set), MPOL_OK);
    one(&plain, &e);
    has(1, "refusals|");
    has(1, "|policy=slow_down|");
    e.details = "fault_filter_abort"; /* a share: we have none in force */
    one(&plain, &e);
    has(2, "requests|");
}

static struct mp_envoy_stream *connected(const char *node)
{
    struct mp_envoy_peer peer = {MP_STR("127.0.0.1:1"), MP_STR(""), false};
    struct mp_discovery_node n = {.id = mp_str_of(node)};
    mp_str name = MP_STR("mpol-deny");
    struct mp_discovery_ask ask = {
        .node = &n,
        .subscribe = &name,
        .subscribe_count = 1,
        .type_url = MP_STR("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig")};
    struct pb_out out = pb_out_arena(&arena);
    mp_discovery_write_request(&out, &ask);
    struct mp_envoy_stream *s = mp_envoy_stream_open(envoy, &shown, &peer);
    assert_true(mp_envoy_stream_message(s, pb_view(&out)));
    return s;
}

/* R6: requests, refusals and connections are heard of as long as somebody is there to tell. */
static void signals_are_alive_while_a_known_proxy_is_connected(void **state)
{
    struct mpol_desired nothing = {.size = sizeof nothing, .revision = 1, .owner = text("t")};
    assert_int_equal(mp_envoy_ops.apply(envoy, &nothing), MPOL_OK);
    dm_records_tick(records);
    assert_int_equal(alive_count, 0);
    struct mp_envoy_stream *nobody = connected("who/knows");
    dm_records_tick(records);
    assert_int_equal(alive_count, 0); /* what it tells is not heard */
    struct mp_envoy_stream *a = connected("service/checkout/checkout-1");
    dm_records_tick(records);
    assert_int_equal(alive_count, 3);
    struct mp_envoy_stream *b = connected("service/checkout/checkout-2");
    mp_envoy_stream_closed(a);
    dm_records_tick(records);
    assert_int_equal(alive_count, 6);
    assert_int_equal(closed_count, 0);
    mp_envoy_stream_closed(b);
    dm_records_tick(records);
    dm_records_tick(records);
    assert_int_equal(alive_count, 6);
    assert_int_equal(closed_count, 1);
    mp_envoy_stream_closed(nobody);
}

static void after_a_reload_names_are_looked_for_again(void **state)
{
    one(&plain, &(struct entry){.node = "service/checkout/checkout-1"});
    struct mp_ingest *again;
    assert_int_equal(mp_ingest_create(&arena, d.now.program, (struct mp_hash_key){3, 4}, &again),
                     MP_OK);
    d.now.ingest = again;
    d.now.number = 2;
    one(&plain, &(struct entry){.node = "service/checkout/checkout-1"});
    assert_string_equal(shown[0], shown[1]);
}

/* ---- what a plain access log does not have ---- */

static void asked_are(enum seen_signal which, enum seen_asked kind, const char *expected)
{
    static struct seen_names names;
    char list[256];
    seen_names_find(&names, which, d.now.ingest, d.now.program);
    uint32_t count = seen_names_asked(&names, which, kind, list, sizeof list);
    assert_string_equal(list, expected);
    assert_int_equal(count > 0, expected[0] != 0);
}

static void what_only_some_logs_have_is_named(void **state)
{
    asked_are(SEEN_REQUESTS, SEEN_ASKED_HEADER, "content-type, x-api-key, cookie");
    asked_are(SEEN_REQUESTS, SEEN_ASKED_RESPONSE_HEADER, "x-cost");
    asked_are(SEEN_REQUESTS, SEEN_ASKED_RESPONSE_TRAILER, "grpc-status");
    asked_are(SEEN_REQUESTS, SEEN_ASKED_TAG, "user");
    asked_are(SEEN_REFUSALS, SEEN_ASKED_HEADER, "");
    asked_are(SEEN_REFUSALS, SEEN_ASKED_TAG, "");
    asked_are(SEEN_CONNECTIONS, SEEN_ASKED_TAG, "");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(a_request_is_what_the_sidecar_saw),
        CASE(a_connection_is_what_the_proxy_saw),
        CASE(a_gateway_speaks_of_whom_it_asked),
        CASE(what_a_gateway_refused_is_of_whom_it_would_have_asked),
        CASE(an_edge_speaks_of_itself_and_of_who_asks),
        CASE(no_header_says_who_asks),
        CASE(a_certificate_with_several_names_is_counted),
        CASE(probes_and_what_has_not_ended_are_no_records),
        CASE(who_may_not_speak_is_counted_and_dropped),
        CASE(a_stream_speaks_of_one_node),
        CASE(a_record_has_the_time_of_its_end_and_never_a_later_one),
        CASE(flags_tell_resets_and_timeouts),
        CASE(a_sampled_entry_stands_for_many),
        CASE(a_throttle_of_ours_is_told_from_anothers),
        CASE(signals_are_alive_while_a_known_proxy_is_connected),
        CASE(after_a_reload_names_are_looked_for_again),
        CASE(what_only_some_logs_have_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
