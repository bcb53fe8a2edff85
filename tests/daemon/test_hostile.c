/* SPDX-License-Identifier: Apache-2.0
 * The port for proxies, met by those who mean no good, while a good proxy is on it too: what they
 * do is refused and counted, and she hears of the next decision all the same.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "../grpc/certs.h"
#include "../grpc/client.h"
#include "envoy_wire/discovery.h"

#define DISCOVERY(service, method) "/envoy.service." service "DiscoveryService/" method
#define ADS DISCOVERY("discovery.v3.Aggregated", "DeltaAggregatedResources")
#define ADS_SOTW DISCOVERY("discovery.v3.Aggregated", "StreamAggregatedResources")
#define ALS "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
#define ECDS "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
#define CHECKOUT "service/checkout/checkout-1"
#define ROOM (8u << 20)

static const char policy[] =
    "use std.mesh\n"
    "rule flood\n"
    "  when count(requests where status == 401) over 5m >= 3 per client.ip max 1k\n"
    "  then deny client.ip for 10m\n";

static const char inventory[] =
    "{\"entity\":\"service\",\"name\":\"checkout\",\"identities\":[\"spiffe://shop/checkout\"]}\n"
    "{\"entity\":\"service\",\"name\":\"account\",\"identities\":[\"spiffe://shop/account\"]}\n";

static char room[ROOM];
static uv_loop_t loop;
static struct run r;

/* ---- a proxy, good or not ---- */

struct proxy {
    struct grpc_client *client;
    struct grpc_call *ads, *als;
    const char *node;
    enum mp_discovery_variant variant;
    bool deaf; /* takes no answer notice of */
    bool ads_over, als_over, closed;
    int ads_status, als_status;
    uint32_t answers;
    char last[16384]; /* the newest answer, as far as it fits */
    size_t last_len;
};

static void on_closed(void *ctx, const char *why) { ((struct proxy *)ctx)->closed = true; }

static void on_ads_ended(void *ctx, int status, mp_str text)
{
    struct proxy *p = ctx;
    p->ads_over = true;
    p->ads_status = status;
}

static void on_als_ended(void *ctx, int status, mp_str text)
{
    struct proxy *p = ctx;
    p->als_over = true;
    p->als_status = status;
}

static const mp_str filters[] = {MP_STR_INIT("mpol-deny"), MP_STR_INIT("mpol-allow"),
                                 MP_STR_INIT("mpol-throttle"), MP_STR_INIT("mpol-share")};

static void acknowledge(struct proxy *p, const struct mp_discovery_answer *answer)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    struct mp_discovery_ask ask = {.variant = p->variant, .type_url = MP_STR(ECDS),
                                   .nonce = answer->nonce};
    if (p->variant == MP_DISCOVERY_SOTW) {
        ask.version = answer->system_version;
        ask.subscribe = filters;
        ask.subscribe_count = 4;
    }
    mp_discovery_write_request(&out, &ask);
    grpc_call_send(p->ads, pb_view(&out));
}

static void on_answer(void *ctx, mp_str message)
{
    struct proxy *p = ctx;
    struct mp_discovery_answer answer;
    const char *why;
    if (mp_discovery_read_response(p->variant, message, &answer, &why) != MP_OK) return;
    p->answers++;
    p->last_len = message.len < sizeof p->last ? message.len : sizeof p->last;
    memcpy(p->last, message.ptr, p->last_len);
    if (!p->deaf) acknowledge(p, &answer);
}

static void connect_as(struct proxy *p, const char *node, const struct grpc_client_options *how)
{
    struct grpc_client_options o = how != NULL ? *how : (struct grpc_client_options){0};
    if (o.target == NULL) o.target = "unix:xds";
    o.closed = on_closed;
    o.ctx = p;
    p->node = node;
    p->client = grpc_client_open(&loop, &o);
    assert_non_null(p->client);
    struct grpc_call_options ads = {p->variant == MP_DISCOVERY_DELTA ? ADS : ADS_SOTW, on_answer,
                                    on_ads_ended, p},
                             als = {ALS, NULL, on_als_ended, p};
    p->ads = grpc_call_open(p->client, &ads);
    p->als = grpc_call_open(p->client, &als);
    assert_true(p->ads != NULL && p->als != NULL);
}

static void put_node(struct pb_out *out, const char *node)
{
    struct mp_discovery_node n = {
        .id = mp_str_of(node), .cluster = MP_STR("checkout"), .major = 1, .minor = 39};
    mp_discovery_write_node(out, 1, &n);
}

static void subscribe(struct proxy *p)
{
    struct mp_discovery_node node = {.id = mp_str_of(p->node), .cluster = MP_STR("checkout")};
    struct mp_discovery_ask ask = {.variant = p->variant, .node = &node, .type_url = MP_STR(ECDS),
                                   .subscribe = filters, .subscribe_count = 4};
    struct pb_out out = pb_out_fixed(room, sizeof room);
    mp_discovery_write_request(&out, &ask);
    grpc_call_send(p->ads, pb_view(&out));
}

/* What an entry says; zero: as it usually is. */
struct entry {
    const char *node; /* of the identifier; NULL: none is sent */
    const char *client;
    int64_t start_s, took_s;
    uint64_t bytes;
};

static void put_entry(struct pb_out *out, const struct entry *e)
{
    struct pb_pair log = pb_within(out, 2, 1);
    size_t common = pb_begin(out, 1);
    struct pb_pair address = pb_within(out, 2, 1);
    pb_text(out, 2, mp_str_of(e->client));
    pb_uint(out, 3, 5000);
    pb_pair_end(out, address);
    if (e->start_s != 0) {
        size_t start = pb_begin(out, 5);
        pb_int(out, 1, e->start_s);
        pb_end(out, start);
        size_t took = pb_begin(out, 23);
        pb_int(out, 1, e->took_s);
        pb_end(out, took);
    }
    pb_end(out, common);
    size_t request = pb_begin(out, 3);
    pb_uint(out, 1, 1);
    pb_text(out, 5, MP_STR("/login"));
    pb_uint(out, 12, e->bytes);
    pb_end(out, request);
    size_t response = pb_begin(out, 4);
    pb_wrapped_uint(out, 1, 401);
    pb_uint(out, 3, e->bytes);
    pb_end(out, response);
    pb_pair_end(out, log);
}

static void tell(struct proxy *p, const struct entry *e)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    if (e->node != NULL) {
        size_t identifier = pb_begin(&out, 1);
        put_node(&out, e->node);
        pb_text(&out, 2, MP_STR("mpol"));
        pb_end(&out, identifier);
    }
    put_entry(&out, e);
    grpc_call_send(p->als, pb_view(&out));
}

/* ---- waiting ---- */

static void turn(int *waited, const char *what)
{
    for (int i = 0; i < 50; i++) uv_run(&loop, UV_RUN_NOWAIT);
    pause_between(waited, what);
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        int waited_ = 0;                                                                           \
        while (!(condition)) turn(&waited_, #condition);                                           \
    } while (0)

static unsigned long long metric(const char *name)
{
    const char *body, *at;
    char line[128];
    assert_int_equal(get(r.port, "/metrics", &body), 200);
    snprintf(line, sizeof line, "\n%s ", name);
    at = strstr(body, line);
    if (at == NULL) fail_msg("no metric %s", name);
    return strtoull(at + strlen(line), NULL, 10);
}

/* ---- the good one ---- */

static struct proxy good;
static int decisions;

static bool says(const struct proxy *p, const char *text)
{
    mp_str all = {p->last, p->last_len};
    return mp_str_contains(all, mp_str_of(text));
}

static void start(const char *xds, const char *more1, const char *more2, const char *more3)
{
    put_file("p.mpol", policy);
    put_file("inventory", inventory);
    run_start(&r, "p.mpol", "--state=state", xds, "--listen=127.0.0.1:0", "--inventory=inventory",
              more1, more2, more3, NULL);
}

static void good_comes(const struct grpc_client_options *how)
{
    good = (struct proxy){0};
    decisions = 0;
    connect_as(&good, CHECKOUT, how);
    subscribe(&good);
    tell(&good, &(struct entry){.node = CHECKOUT, .client = "10.9.9.9"});
    UNTIL(good.answers > 0);
}

/* A further client fails three times at the good proxy: she is told to refuse it. */
static void good_is_undisturbed(void)
{
    char client[32], policy_name[16];
    decisions++;
    snprintf(client, sizeof client, "10.0.0.%d", decisions);
    snprintf(policy_name, sizeof policy_name, "flood/");
    uint32_t before = good.answers;
    for (int i = 0; i < 3; i++) tell(&good, &(struct entry){.client = client});
    UNTIL(good.answers > before && says(&good, policy_name));
    wait_status(client);
    assert_false(good.ads_over || good.als_over || good.closed);
}

/* Whom the other side has closed is gone by itself. */
static void leave(struct proxy *p)
{
    if (!p->closed) grpc_client_close(p->client);
    p->client = NULL;
}

static int begin(void **state)
{
    if (folder_make(state) != 0) return -1;
    return uv_loop_init(&loop);
}

/* A case that failed has left clients behind, which would keep the loop for ever. */
static void close_left(uv_handle_t *handle, void *ctx)
{
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static void give_up(uv_timer_t *timer) { uv_walk(&loop, close_left, NULL); }

static int finish(void **state)
{
    if (good.client != NULL) leave(&good);
    uv_timer_t limit;
    uv_timer_init(&loop, &limit);
    uv_timer_start(&limit, give_up, WAIT_MS, 0);
    uv_unref((uv_handle_t *)&limit);
    uv_run(&loop, UV_RUN_DEFAULT);
    close_left((uv_handle_t *)&limit, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return folder_drop(state);
}

static void stop(void)
{
    assert_int_equal(run_stop(&r), 0);
    run_free(&r);
}

static void start_plain(void)
{
    start("--xds=unix:xds", NULL, NULL, NULL);
    good_comes(NULL);
    good_is_undisturbed();
}

/* ---- who lies ---- */

static void a_node_id_that_is_none_gets_the_baseline_and_no_ear(void **state)
{
    static const char *const ids[] = {"",
                                      "checkout-1",
                                      "nowhere/checkout/checkout-1",
                                      "service//checkout-1",
                                      "service/checkout/",
                                      "service/checkout//b",
                                      "service/\x01/x",
                                      "a b c"};
    struct proxy p[sizeof ids / sizeof *ids] = {{0}};
    start_plain();
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        connect_as(&p[i], ids[i], NULL);
        subscribe(&p[i]);
        for (int k = 0; k < 3; k++)
            tell(&p[i], &(struct entry){.node = ids[i], .client = "10.6.6.6"});
        UNTIL(metric("mpol_als_unknown_total") == 3 * (i + 1));
    }
    good_is_undisturbed();
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) assert_false(says(&p[i], "flood/"));
    assert_false(status_says("10.6.6.6"));
    assert_true(status_says("UNKNOWN: gets the baseline"));
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) leave(&p[i]);
    stop();
}

static void who_speaks_of_another_instance_is_not_heard(void **state)
{
    struct proxy p = {0};
    start_plain();
    connect_as(&p, "service/account/account-1", NULL);
    tell(&p, &(struct entry){.node = "service/account/account-1", .client = "10.6.6.1"});
    for (int k = 0; k < 3; k++) tell(&p, &(struct entry){.node = CHECKOUT, .client = "10.6.6.6"});
    /* goes on with the last name */
    for (int k = 0; k < 3; k++) tell(&p, &(struct entry){.client = "10.6.6.7"});
    UNTIL(metric("mpol_als_foreign_total") == 6);
    tell(&p, &(struct entry){.node = "service/account/account-1", .client = "10.6.6.1"});
    good_is_undisturbed();
    assert_false(status_says("10.6.6.6"));
    assert_false(status_says("10.6.6.7"));
    leave(&p);
    stop();
}

static void a_certificate_of_another_service_takes_nobodys_place(void **state)
{
    struct test_ca *ca = test_ca_create(".", "ca"), *other = test_ca_create(".", "other");
    test_cert_create(ca, ".", "server", "IP:127.0.0.1", false);
    test_cert_create(ca, ".", "checkout", "URI:spiffe://shop/checkout", false);
    test_cert_create(ca, ".", "account", "URI:spiffe://shop/account", false);
    test_cert_create(ca, ".", "nobody", NULL, false);
    test_cert_create(ca, ".", "both", "URI:spiffe://shop/checkout,URI:spiffe://shop/account",
                     false);
    test_cert_create(ca, ".", "old", "URI:spiffe://shop/checkout", true);
    test_cert_create(other, ".", "forged", "URI:spiffe://shop/checkout", false);
    start("--xds=unix:xds", "--xds-cert=server.pem", "--xds-key=server.key", "--xds-ca=ca.pem");
    struct grpc_client_options how = {.tls = true, .cert = "checkout.pem", .key = "checkout.key"};
    good_comes(&how);
    good_is_undisturbed();

    struct proxy p = {0};
    struct grpc_client_options as_account = {
        .tls = true, .cert = "account.pem", .key = "account.key"};
    connect_as(&p, CHECKOUT, &as_account);
    subscribe(&p);
    for (int k = 0; k < 3; k++) tell(&p, &(struct entry){.node = CHECKOUT, .client = "10.6.6.6"});
    UNTIL(metric("mpol_als_unknown_total") == 3);
    good_is_undisturbed();
    assert_false(says(&p, "flood/"));
    leave(&p);

    static const char *const refused[][2] = {{"nobody.pem", "nobody.key"},
                                             {"both.pem", "both.key"},
                                             {"old.pem", "old.key"},
                                             {"old.pem", "old.key"},
                                             {"forged.pem", "forged.key"},
                                             {NULL, NULL}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct proxy q = {0};
        struct grpc_client_options o = {.tls = true, .cert = refused[i][0], .key = refused[i][1]};
        connect_as(&q, CHECKOUT, &o);
        subscribe(&q);
        UNTIL(q.closed || (q.ads_over && q.als_over));
        assert_int_equal(q.answers, 0);
        leave(&q);
    }
    struct proxy plain = {0};
    connect_as(&plain, CHECKOUT, NULL);
    UNTIL(plain.closed || plain.ads_over);
    leave(&plain);
    assert_true(metric("mpol_xds_tls_refused_total") >= sizeof refused / sizeof *refused);
    static const char *const told[] = {
        "unix as spiffe://shop/checkout, the certificate: certificate has expired, 2 times, last ",
        "unix as /CN=nobody, the client's certificate does not have exactly one URI as "
        "alternative name, 1 time, last "};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        assert_true(status_says("  refused at the port: "));
        assert_true(status_says(told[i]));
    }
    assert_true(run_said(&r, "a proxy at unix, which shows spiffe://shop/checkout, is refused at "
                             "the port: the certificate: certificate has expired"));
    good_is_undisturbed();
    assert_false(status_says("10.6.6.6"));
    test_ca_free(ca);
    test_ca_free(other);
    stop();
}

/* It is served, and nobody comes: that is said when it starts. */
static void a_port_with_an_ended_certificate_says_so(void **state)
{
    struct test_ca *ca = test_ca_create(".", "ca");
    (void)state;
    test_cert_create(ca, ".", "server", "IP:127.0.0.1", true);
    start("--xds=unix:xds", "--xds-cert=server.pem", "--xds-key=server.key", "--xds-ca=ca.pem");
    assert_true(run_said(&r, "the certificate /CN=server ended at "));
    test_ca_free(ca);
    stop();
}

/* ---- who sends what is none ---- */

static void what_is_no_message_ends_its_stream_alone(void **state)
{
    static const mp_str bad[] = {MP_STR_INIT("\x0a\xff"), MP_STR_INIT("\x0b\x0c"),
                                 MP_STR_INIT("\x02\x00"), MP_STR_INIT("\x0a\x03\x0a\x01\xff"),
                                 MP_STR_INIT("GET / HTTP/1.1\r\n\r\n")};
    enum { BAD = sizeof bad / sizeof *bad };
    start_plain();
    for (size_t i = 0; i < 2 * BAD; i++) {
        struct proxy p = {.variant = i < BAD ? MP_DISCOVERY_DELTA : MP_DISCOVERY_SOTW};
        connect_as(&p, "service/account/account-1", NULL);
        grpc_call_send(p.ads, bad[i % BAD]);
        UNTIL(p.ads_over);
        assert_int_equal(p.ads_status, 3); /* INVALID_ARGUMENT */
        assert_false(p.als_over);
        grpc_call_send(p.als, bad[i % BAD]);
        UNTIL(p.als_over);
        assert_int_equal(p.als_status, 3);
        assert_false(p.closed);
        leave(&p);
    }
    assert_int_equal(metric("mpol_als_malformed_total"), 2 * BAD);
    assert_int_equal(metric("mpol_xds_garbage_total"), 2 * BAD);
    good_is_undisturbed();
    stop();
}

static void types_that_we_do_not_serve_are_not_answered(void **state)
{
    static const char *const types[] = {"", "x", "type.googleapis.com/",
                                        "type.googleapis.com/no.such.Type",
                                        "type.googleapis.com/envoy.config.listener.v3.Listener"};
    struct proxy p = {.deaf = true};
    start_plain();
    connect_as(&p, "service/account/account-1", NULL);
    subscribe(&p);
    UNTIL(p.answers == 1);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        mp_str name = MP_STR("*");
        struct mp_discovery_ask ask = {
            .type_url = mp_str_of(types[i]), .subscribe = &name, .subscribe_count = 1};
        struct pb_out out = pb_out_fixed(room, sizeof room);
        mp_discovery_write_request(&out, &ask);
        grpc_call_send(p.ads, pb_view(&out));
    }
    good_is_undisturbed();
    assert_false(p.ads_over);
    assert_false(says(&p, "no.such.Type"));
    leave(&p);
    stop();
}

/* ---- who asks in another way ---- */

/* Streams of one type, whose requests need not say it. */
static void every_path_is_served_as_it_is_called(void **state)
{
    static const struct {
        const char *path, *name, *answer; /* what is in the answer; NULL: the name */
        bool sotw;
    } paths[] = {
        {DISCOVERY("extension.v3.ExtensionConfig", "DeltaExtensionConfigs"), "mpol-deny", NULL, 0},
        {DISCOVERY("extension.v3.ExtensionConfig", "StreamExtensionConfigs"), "mpol-deny", NULL, 1},
        {DISCOVERY("runtime.v3.Runtime", "DeltaRuntime"), "mpol-runtime", NULL, 0},
        {DISCOVERY("runtime.v3.Runtime", "StreamRuntime"), "mpol-runtime", NULL, 1},
        {DISCOVERY("endpoint.v3.Endpoint", "DeltaEndpoints"), "checkout", NULL, 0},
        {DISCOVERY("endpoint.v3.Endpoint", "StreamEndpoints"), "checkout", NULL, 1},
        /* There is none, and that is an answer too. */
        {DISCOVERY("route.v3.Route", "DeltaRoutes"), "*", "v3.RouteConfiguration", 0},
        {DISCOVERY("route.v3.Route", "StreamRoutes"), "*", "v3.RouteConfiguration", 1},
        {DISCOVERY("secret.v3.Secret", "DeltaSecrets"), "*", "v3.Secret", 0},
        {DISCOVERY("secret.v3.Secret", "StreamSecrets"), "*", "v3.Secret", 1},
    };
    start_plain();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct proxy p = {.deaf = true, .variant = paths[i].sotw ? MP_DISCOVERY_SOTW
                                                                 : MP_DISCOVERY_DELTA};
        struct grpc_client_options o = {.target = "unix:xds", .closed = on_closed, .ctx = &p};
        struct grpc_call_options call = {paths[i].path, on_answer, on_ads_ended, &p};
        struct mp_discovery_node node = {.id = MP_STR("service/account/account-1")};
        mp_str name = mp_str_of(paths[i].name);
        struct mp_discovery_ask ask = {.variant = p.variant, .node = &node, .subscribe = &name,
                                       .subscribe_count = 1};
        struct pb_out out = pb_out_fixed(room, sizeof room);
        p.client = grpc_client_open(&loop, &o);
        p.ads = grpc_call_open(p.client, &call);
        assert_true(p.client != NULL && p.ads != NULL);
        mp_discovery_write_request(&out, &ask);
        grpc_call_send(p.ads, pb_view(&out));
        UNTIL(p.answers == 1);
        const char *answer = paths[i].answer != NULL ? paths[i].answer : paths[i].name;
        if (!says(&p, answer)) fail_msg("%s has no %s", paths[i].path, answer);
        assert_false(p.ads_over);
        leave(&p);
    }
    good_is_undisturbed();
    stop();
}

/* ---- who sends too much ---- */

static void a_first_request_that_is_too_large_is_refused(void **state)
{
    struct proxy p = {0};
    start_plain();
    connect_as(&p, "service/account/account-1", NULL);
    static char name[5u << 20];
    memset(name, 'x', sizeof name);
    struct pb_out out = pb_out_fixed(room, sizeof room);
    size_t node = pb_begin(&out, 1);
    pb_text(&out, 1, (mp_str){name, sizeof name});
    pb_end(&out, node);
    assert_false(out.failed);
    grpc_call_send(p.ads, pb_view(&out));
    UNTIL(p.ads_over);
    assert_int_equal(p.ads_status, 8); /* RESOURCE_EXHAUSTED */
    assert_false(p.closed);
    /* and one that says it will be 4 GiB */
    grpc_call_send_raw(p.als, MP_STR("\x00\xff\xff\xff\xff"));
    UNTIL(p.als_over);
    assert_int_equal(p.als_status, 8);
    assert_int_equal(metric("mpol_xds_messages_refused_total"), 2);
    leave(&p);
    good_is_undisturbed();
    stop();
}

static void subscribe_ten_thousand(struct proxy *p)
{
    static char names[10000][16];
    static mp_str list[10000];
    struct mp_discovery_node node = {.id = mp_str_of(p->node), .cluster = MP_STR("checkout")};
    struct mp_discovery_ask ask = {
        .variant = p->variant, .node = &node, .subscribe = list, .subscribe_count = 10000,
        .type_url = MP_STR("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment")};
    struct pb_out out = pb_out_fixed(room, sizeof room);
    for (int i = 0; i < 10000; i++) {
        int len = snprintf(names[i], sizeof names[i], "cluster-%d", i);
        list[i] = (mp_str){names[i], (size_t)len};
    }
    mp_discovery_write_request(&out, &ask);
    assert_false(out.failed);
    grpc_call_send(p->ads, pb_view(&out));
}

static void ten_thousand_subscriptions_are_too_many(void **state)
{
    start_plain();
    for (int variant = 0; variant < 2; variant++) {
        struct proxy p = {.variant = (enum mp_discovery_variant)variant};
        connect_as(&p, "service/account/account-1", NULL);
        subscribe_ten_thousand(&p);
        UNTIL(p.ads_over);
        assert_true(p.ads_status == 3 || p.ads_status == 8);
        leave(&p);
    }
    good_is_undisturbed();
    stop();
}

static void streams_beyond_the_limit_are_refused(void **state)
{
    struct proxy p = {0}, more = {0};
    start_plain();
    connect_as(&p, "service/account/account-1", NULL);
    for (int i = 0; i < 300; i++) {
        struct grpc_call_options als = {ALS, NULL, on_als_ended, &more};
        assert_non_null(grpc_call_open(p.client, &als));
    }
    good_is_undisturbed();
    /* the good one's, and those of one connection */
    assert_true(metric("mpol_als_streams") <= 1 + 256);
    leave(&p);
    UNTIL(metric("mpol_als_streams") == 1);
    good_is_undisturbed();
    stop();
}

/* ---- who is slow, or nobody ---- */

static int raw_connection(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "xds"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void who_reads_nothing_holds_nothing_up(void **state)
{
    struct proxy p = {.deaf = true};
    struct grpc_client_options narrow = {.window_bytes = 1024};
    start_plain();
    connect_as(&p, "service/account/account-1", &narrow);
    subscribe(&p);
    UNTIL(metric("mpol_xds_proxies_connected") == 2);
    grpc_client_pause(p.client, true);
    for (int i = 0; i < 20; i++) good_is_undisturbed();
    assert_true(metric("mpol_xds_queued_bytes") < 16u << 20);
    leave(&p);
    stop();
}

static void garbage_and_silence_on_the_port_are_nobodys_trouble(void **state)
{
    static const mp_str garbage[] = {
        MP_STR_INIT("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), MP_STR_INIT("\x16\x03\x01\x02\x00"),
        MP_STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        MP_STR_INIT("{\"service\":\"checkout\"}\n")};
    int fds[64];
    start_plain();
    for (int i = 0; i < 64; i++) {
        fds[i] = raw_connection();
        mp_str g = garbage[(size_t)i % (sizeof garbage / sizeof *garbage)];
        if (i % 8 != 0 && send(fds[i], g.ptr, g.len, MSG_NOSIGNAL) < 0) assert_true(i > 0);
    }
    good_is_undisturbed();
    UNTIL(metric("mpol_xds_protocol_errors_total") >= 48);
    for (int i = 0; i < 64; i++) close(fds[i]);
    good_is_undisturbed();
    UNTIL(metric("mpol_xds_connections") == 1);
    stop();
}

static void who_is_gone_without_a_word_is_forgotten(void **state)
{
    struct proxy p = {0};
    start_plain();
    connect_as(&p, "service/account/account-1", &(struct grpc_client_options){.deaf = true});
    subscribe(&p);
    tell(&p, &(struct entry){.node = p.node, .client = "10.6.6.1"});
    UNTIL(p.answers == 1);
    p.deaf = true;
    UNTIL(metric("mpol_xds_dead_peers_total") == 1); /* it answers no PING */
    UNTIL(metric("mpol_xds_proxies_away") == 1);
    good_is_undisturbed();
    leave(&p);
    stop();
}

/* ---- who tells what cannot be ---- */

static void absurd_times_and_sizes_are_records_within_bounds(void **state)
{
    static const struct entry absurd[] = {
        {.client = "10.7.0.1", .start_s = 9000000000, .took_s = 1},        /* the year 2255 */
        {.client = "10.7.0.1", .start_s = -9000000000, .took_s = 1},       /* before 1970 */
        {.client = "10.7.0.1", .start_s = 1795650000, .took_s = -9000000000},
        {.client = "10.7.0.1", .start_s = 9000000000, .took_s = 9000000000},
        {.client = "10.7.0.1", .start_s = 1, .took_s = 1},                 /* long ago: late */
        {.client = "10.7.0.1", .bytes = UINT64_MAX},
        {.client = "no address", .bytes = 1},
        {.client = "", .bytes = 1},
    };
    struct proxy p = {0};
    start_plain();
    connect_as(&p, "service/account/account-1", NULL);
    tell(&p, &(struct entry){.node = p.node, .client = "10.6.6.1"});
    unsigned long long before = metric("mpol_als_requests_total");
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) tell(&p, &absurd[i]);
    UNTIL(metric("mpol_als_requests_total") >= before + sizeof absurd / sizeof *absurd);
    assert_false(p.als_over);
    tell(&p, &(struct entry){.client = "10.7.0.1", .start_s = INT64_MAX}); /* no time at all */
    UNTIL(p.als_over);
    good_is_undisturbed();
    leave(&p);
    stop();
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, finish)
    const struct CMUnitTest tests[] = {
        CASE(a_node_id_that_is_none_gets_the_baseline_and_no_ear),
        CASE(who_speaks_of_another_instance_is_not_heard),
        CASE(a_certificate_of_another_service_takes_nobodys_place),
        CASE(a_port_with_an_ended_certificate_says_so),
        CASE(what_is_no_message_ends_its_stream_alone),
        CASE(types_that_we_do_not_serve_are_not_answered),
        CASE(every_path_is_served_as_it_is_called),
        CASE(a_first_request_that_is_too_large_is_refused),
        CASE(ten_thousand_subscriptions_are_too_many),
        CASE(streams_beyond_the_limit_are_refused),
        CASE(who_reads_nothing_holds_nothing_up),
        CASE(garbage_and_silence_on_the_port_are_nobodys_trouble),
        CASE(who_is_gone_without_a_word_is_forgotten),
        CASE(absurd_times_and_sizes_are_records_within_bounds),
    };
    if (argc < 2) return 2;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
