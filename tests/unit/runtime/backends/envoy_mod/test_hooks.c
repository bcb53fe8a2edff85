/* SPDX-License-Identifier: Apache-2.0
 * The hooks of the module in a process that stands for a proxy (host.h), and a control plane
 * beside it.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../../envoy_mod/bed.h"
#include "../../../../envoy_mod/plane.h"
#include "../../../../loopback/folder.h"
#include "envoy_mod/ring.h"
#include "envoy_mod/mod_read.h"
#include "envoy_mod/mod_table.h"
#include "host.h"

#define POLICY                                                                                     \
    "mpol 1\nuse std.mesh\n"                                                                       \
    "rule no_admin when request.path starts with \"/admin\" then deny request\n"                   \
    "rule slow_down when request.path starts with \"/slow\" per client max 100 "                   \
    "then throttle request to 1/h with burst = 2\n"                                                \
    "rule args when request.args[\"q\"] == \"a b\" or request.cookies[\"c\"] == \"2\" "            \
    "then deny request\n"                                                                          \
    "rule many when request.headers[\"x-many\"] == \"1, 2, 3\" then deny request "                 \
    "with status = 400\n"                                                                          \
    "rule words when request.query contains \"union\" and request.raw_path starts with \"/w\" "    \
    "then deny request\n"                                                                          \
    "rule calls when request.grpc_service == \"pay.Pay\" and request.grpc_method == \"Take\" "     \
    "then deny request\n"                                                                          \
    "rule who when request.peer == spiffe://a/b and request.mtls is true "                         \
    "and request.bytes_in > 10B then deny request\n"                                               \
    "rule re when request.user_agent matches \"^bot[0-9]+$\" then deny request\n"

static char socket_path[108];

struct setting {
    struct plane *plane;
    const void *filter, *logger, *bootstrap;
    bool ready; /* the proxy may take requests */
};

static struct abi_text config_text(const char *layer)
{
    static char text[512];
    int len = snprintf(
        text, sizeof text,
        "{\"socket\":\"%s\",\"layer\":\"%s\",\"service\":\"checkout\",\"instance\":\"checkout-1\"}",
        socket_path, layer);
    return (struct abi_text){text, (size_t)len};
}

static void set_up(struct setting *s, const char *layer)
{
    struct abi_text name = {"mpol", 4};
    *s = (struct setting){.plane = plane_start(socket_path)};
    s->bootstrap =
        envoy_dynamic_module_on_bootstrap_extension_config_new(&s->ready, name, config_text(layer));
    assert_non_null(s->bootstrap);
    assert_true(s->ready);
    s->filter = envoy_dynamic_module_on_http_filter_config_new(NULL, name, config_text(layer));
    s->logger = envoy_dynamic_module_on_access_logger_config_new(NULL, name, config_text(layer));
    assert_non_null(s->filter);
    assert_non_null(s->logger);
    assert_true(plane_wait_connected(s->plane));
}

static void on_done(void *ctx) { *(bool *)ctx = true; }

static void tear_down(struct setting *s)
{
    bool done = false;
    const void *extension = envoy_dynamic_module_on_bootstrap_extension_new(s->bootstrap, NULL);
    envoy_dynamic_module_on_bootstrap_extension_shutdown(NULL, extension, on_done, &done);
    assert_true(done);
    envoy_dynamic_module_on_bootstrap_extension_destroy(extension);
    envoy_dynamic_module_on_http_filter_config_destroy(s->filter);
    envoy_dynamic_module_on_access_logger_config_destroy(s->logger);
    envoy_dynamic_module_on_bootstrap_extension_config_destroy(s->bootstrap);
    plane_kill(s->plane);
}

static void enforce(struct setting *s, const char *policy)
{
    assert_true(plane_wait_program(s->plane, plane_policy(s->plane, policy)));
}

/* One request with up to two more headers: 0 where it went on, else the status. */
static uint32_t ask(struct setting *s, const char *path, const char *name, const char *value)
{
    struct host_stream r;
    host_stream_init(&r, 0, "127.0.0.2:5000");
    host_header(&r, ":method", "GET");
    host_header(&r, ":path", path);
    host_header(&r, ":authority", "checkout");
    if (name != NULL) host_header(&r, name, value);
    host_begin(&r, s->filter);
    host_end(&r, s->logger);
    return r.status;
}

/* ---- tests ---- */

static void a_wrong_configuration_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "/run/mpol.sock",
        "[]",
        "{\"layer\":\"service\",\"service\":\"a\"}",
        "{\"layer\":\"roof\",\"service\":\"a\",\"instance\":\"b\"}",
        "{\"layer\":\"service\",\"service\":\"a\",\"instance\":\"b\",\"colour\":\"red\"}",
        "{\"layer\":\"service\",\"service\":\"a\",\"instance\":1}",
        "{\"layer\":\"service\",\"service\":\"a\",\"instance\":\"b\",\"socket\":\""
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789\"}"};
    struct abi_text name = {"mpol", 4};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t before = atomic_load(&host.warnings);
        struct abi_text config = {wrong[i], strlen(wrong[i])};
        assert_null(envoy_dynamic_module_on_http_filter_config_new(NULL, name, config));
        assert_int_equal(atomic_load(&host.warnings), before + 1);
    }
}

static void validation_starts_nothing(void **state)
{
    (void)state;
    struct abi_text name = {"mpol", 4};
    bool ready = false;
    host.validation = true;
    const void *c =
        envoy_dynamic_module_on_bootstrap_extension_config_new(&ready, name, config_text("edge"));
    const void *f =
        envoy_dynamic_module_on_http_filter_config_new(NULL, name, config_text("service"));
    assert_non_null(c);
    assert_non_null(f);
    struct host_stream r;
    host_stream_init(&r, 0, "127.0.0.2:5000");
    assert_true(host_begin(&r, f));
    host_end(&r, NULL);
    envoy_dynamic_module_on_http_filter_config_destroy(f);
    envoy_dynamic_module_on_bootstrap_extension_config_destroy(c);
    host.validation = false;
}

static void a_proxy_is_one_reporter(void **state)
{
    (void)state;
    struct setting s;
    struct abi_text name = {"mpol", 4};
    set_up(&s, "service");
    assert_null(envoy_dynamic_module_on_http_filter_config_new(NULL, name, config_text("edge")));
    tear_down(&s);
}

/* HTTP/2 may bring a cookie a header: nobody hides behind many of them, neither behind as many as
 * are read at one go nor behind more. */
static void the_last_of_many_headers_is_seen(void **state)
{
    static const int before[] = {0, 30, MOD_TABLE_ROWS - 4, MOD_TABLE_ROWS - 3, HOST_HEADERS - 4};
    (void)state;
    struct setting s;
    struct host_stream r;
    set_up(&s, "service");
    enforce(&s, POLICY);
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        host_stream_init(&r, 0, "127.0.0.2:5000");
        host_header(&r, ":method", "GET");
        host_header(&r, ":path", "/x");
        host_header(&r, ":authority", "checkout");
        for (int k = 0; k < before[i]; k++) host_header(&r, "cookie", "a=1");
        host_header(&r, "cookie", "c=2");
        host_begin(&r, s.filter);
        host_end(&r, s.logger);
        assert_int_equal(r.status, 403);
    }
    tear_down(&s);
}

/* The proxy has only `:authority`, whatever the client has sent. */
static void a_host_is_an_authority(void **state)
{
    (void)state;
    struct setting s;
    set_up(&s, "service");
    enforce(&s, "mpol 1\nuse std.mesh\n"
                "rule host when request.headers[\"Host\"] == \"checkout\" then deny request\n");
    assert_int_equal(ask(&s, "/", NULL, NULL), 403);
    enforce(&s, "mpol 1\nuse std.mesh\n"
                "rule host when request.headers[\"Host\"] == \"other\" then deny request\n");
    assert_int_equal(ask(&s, "/", NULL, NULL), 0);
    tear_down(&s);
}

static void every_field_of_a_request_is_asked_about(void **state)
{
    (void)state;
    struct setting s;
    set_up(&s, "service");
    assert_int_equal(ask(&s, "/admin", NULL, NULL), 0);
    enforce(&s, POLICY);
    assert_int_equal(ask(&s, "/", NULL, NULL), 0);
    assert_int_equal(ask(&s, "/admin", NULL, NULL), 403);
    assert_int_equal(ask(&s, "/x?q=a+b", NULL, NULL), 403);
    assert_int_equal(ask(&s, "/x?r=1&q=a%20b", NULL, NULL), 403);
    assert_int_equal(ask(&s, "/x?%71=a+b", NULL, NULL), 403);
    assert_int_equal(ask(&s, "/x?q=a", NULL, NULL), 0);
    assert_int_equal(ask(&s, "/x?q=c&q=a+b", NULL, NULL), 0); /* it is `c, a b` */
    assert_int_equal(ask(&s, "/x", "cookie", "a=1; c=2"), 403);
    assert_int_equal(ask(&s, "/x", "cookie", "ac=2"), 0);
    assert_int_equal(ask(&s, "/w?a=union", NULL, NULL), 403);
    assert_int_equal(ask(&s, "/pay.Pay/Take", "content-type", "application/grpc+proto"), 403);
    assert_int_equal(ask(&s, "/pay.Pay/Take", "content-type", "text/plain"), 0);
    assert_int_equal(ask(&s, "/x", "user-agent", "bot12"), 403);
    assert_int_equal(ask(&s, "/x", "user-agent", "robot12"), 0);
    assert_int_equal(ask(&s, "/.mpol/probe", NULL, NULL), 0);
    tear_down(&s);
}

static void headers_of_one_name_are_joined(void **state)
{
    (void)state;
    struct setting s;
    struct host_stream r;
    set_up(&s, "service");
    enforce(&s, POLICY);
    host_stream_init(&r, 0, "127.0.0.2:5000");
    host_header(&r, ":path", "/");
    for (int i = 0; i < 3; i++) host_header(&r, "x-many", i == 0 ? "1" : i == 1 ? "2" : "3");
    assert_false(host_begin(&r, s.filter));
    assert_int_equal(r.status, 400);
    assert_string_equal(r.details, "mpol:many");
    host_end(&r, s.logger);

    host_stream_init(&r, 0, "[2001:db8::1]:5000");
    r.peer = "spiffe://a/b,spiffe://c/d";
    host_header(&r, ":path", "/");
    host_header(&r, "content-length", "11");
    assert_false(host_begin(&r, s.filter));
    assert_string_equal(r.details, "mpol:who");
    host_end(&r, s.logger);
    assert_true(plane_wait_record(s.plane, "\"client.ip\":\"2001:db8::1\"",
                                  "\"peer\":\"spiffe://a/b\"", "\"refused_by\":\"who\"", NULL));
    tear_down(&s);
}

/* Whoever pads what a rule looks at must not pass it: what a proxy takes of headers fits, and what
 * does not is no absence. */
static void padding_passes_no_rule(void **state)
{
    (void)state;
    static char pad[61440], text[sizeof pad + 4096], more[MOD_ROOM_BYTES];
    struct setting s;
    set_up(&s, "service");
    enforce(&s, "mpol 1\nuse std.mesh\n"
                "rule a when request.args[\"a\"] contains \"evil\" then deny request\n"
                "rule c when request.cookies[\"c\"] contains \"evil\" then deny request\n"
                "rule h when request.headers[\"x-h\"] contains \"evil\" then deny request\n");
    memset(pad, 'p', sizeof pad - 1);
    memset(more, 'q', sizeof more - 1);
    snprintf(text, sizeof text, "/?a=evil&a=%s", pad);
    assert_int_equal(ask(&s, text, NULL, NULL), 403);
    snprintf(text, sizeof text, "/?a=%sevil", pad);
    assert_int_equal(ask(&s, text, NULL, NULL), 403);
    snprintf(text, sizeof text, "c=evil; c=%s", pad);
    assert_int_equal(ask(&s, "/", "cookie", text), 403);
    snprintf(text, sizeof text, "/?a=%s", pad);
    assert_int_equal(ask(&s, text, "cookie", "c=evil"), 403);
    assert_int_equal(ask(&s, text, "cookie", "c=good"), 0);

    struct host_stream r;
    const char *values[] = {"evil", pad, more};
    for (int last = 1; last <= 2; last++) {
        host_stream_init(&r, 0, "127.0.0.2:5000");
        host_header(&r, ":path", "/");
        for (int i = 0; i <= last; i++) host_header(&r, "x-h", values[i]);
        assert_false(host_begin(&r, s.filter));
        assert_int_equal(r.status, last == 1 ? 403 : 431);
        assert_string_equal(r.details, last == 1 ? "mpol:h" : "mpol:too-long");
        host_end(&r, s.logger);
    }
    tear_down(&s);
}

/* What only counts, is in shadow or lets through is no reason to refuse. */
static void what_no_rule_judges_may_be_as_long_as_it_is(void **state)
{
    (void)state;
    static char more[MOD_ROOM_BYTES];
    struct setting s;
    struct host_stream r;
    memset(more, 'q', sizeof more - 1);
    set_up(&s, "service");
    enforce(&s, "mpol 1\nuse std.mesh\n"
                "rule w when count(requests where headers[\"x-h\"] == \"a\") over 1m > 5 "
                "per client then deny client\n"
                "rule h mode shadow when request.headers[\"x-h\"] == \"b\" then deny request\n"
                "rule c when request.cookies[\"c\"] == \"evil\" then deny request\n");
    host_stream_init(&r, 0, "127.0.0.2:5000");
    host_header(&r, ":path", "/");
    host_header(&r, "x-h", "b");
    host_header(&r, "x-h", more);
    assert_true(host_begin(&r, s.filter));
    host_end(&r, s.logger);
    tear_down(&s);
}

static void a_rate_says_when_to_come_again(void **state)
{
    (void)state;
    struct setting s;
    struct host_stream r;
    set_up(&s, "service");
    enforce(&s, POLICY);
    assert_int_equal(ask(&s, "/slow", NULL, NULL), 0);
    assert_int_equal(ask(&s, "/slow", NULL, NULL), 0);
    host_stream_init(&r, 0, "127.0.0.2:5000");
    host_header(&r, ":path", "/slow");
    assert_false(host_begin(&r, s.filter));
    assert_int_equal(r.status, 429);
    assert_in_range(strtol(r.retry_after, NULL, 10), 1, 3600);
    assert_string_equal(r.note_key, "127.0.0.2");
    host_end(&r, s.logger);
    tear_down(&s);
}

static void a_gateway_speaks_of_whom_it_asks(void **state)
{
    (void)state;
    struct setting s;
    struct host_stream r;
    struct mpol_lease leases[] = {plane_lease(1, "quarantine", "service", "string", "pay")};
    set_up(&s, "ingress");
    enforce(&s, POLICY);
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, leases, 1)));
    host_stream_init(&r, 0, "127.0.0.2:5000");
    r.cluster = "pay@v2";
    host_header(&r, ":path", "/");
    assert_false(host_begin(&r, s.filter));
    assert_int_equal(r.status, 403);
    host_end(&r, s.logger);
    assert_true(
        plane_wait_record(s.plane, "\"service.name\":\"pay\"", "\"refused_by\":\"a_rule\"", NULL));
    host_stream_init(&r, 0, "127.0.0.2:5000");
    r.cluster = "upstream";
    host_header(&r, ":path", "/");
    assert_true(host_begin(&r, s.filter));
    host_end(&r, s.logger);
    tear_down(&s);
}

#define KNOWS                                                                                      \
    "mpol 1\nuse std.mesh\n"                                                                       \
    "rule tiers when request.path starts with \"/t\" and svc.tier == critical then deny request\n" \
    "rule calls when request.path starts with \"/c\" and request.caller == \"web\" "               \
    "then deny request\n"                                                                          \
    "rule errors when error_rate > 50% per svc then quarantine svc\n"

static uint32_t ask_as(struct setting *s, const char *path, const char *peer)
{
    struct host_stream r;
    host_stream_init(&r, 0, "127.0.0.2:5000");
    r.peer = peer;
    host_header(&r, ":path", path);
    host_begin(&r, s->filter);
    host_end(&r, s->logger);
    return r.status;
}

static void inventory_is_known_to_rules_and_leases(void **state)
{
    (void)state;
    struct setting s;
    struct mpol_lease lease = plane_lease(1, "quarantine", "service", "string", "web");
    set_up(&s, "service");
    enforce(&s, KNOWS);
    assert_int_equal(ask_as(&s, "/t", NULL), 0);
    assert_int_equal(ask_as(&s, "/c", "spiffe://a/web"), 0);
    plane_inventory(
        s.plane,
        "{\"entity\":\"service\",\"name\":\"checkout\",\"tier\":\"critical\"}\nno line\n"
        "{\"entity\":\"service\",\"name\":\"web\",\"identities\":[\"spiffe://a/web\","
        "\"spiffe://a/x\"]}\n"
        "{\"entity\":\"service\",\"name\":\"api\",\"identities\":[\"spiffe://a/api\","
        "\"spiffe://a/x\"]}\n");
    /* and what came before it */
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, NULL, 0)));
    assert_int_equal(ask_as(&s, "/t", NULL), 403);
    assert_int_equal(ask_as(&s, "/c", "spiffe://a/web"), 403);
    assert_int_equal(ask_as(&s, "/", "spiffe://a/web"), 0);
    assert_true(plane_wait_record(s.plane, "\"path\":\"/\"", "\"caller\":\"web\"", NULL));
    assert_int_equal(ask_as(&s, "/c", "spiffe://a/x"), 0); /* two have it: nobody is meant */
    assert_int_equal(ask_as(&s, "/", "spiffe://a/web"), 0);
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, &lease, 1)));
    assert_int_equal(ask_as(&s, "/", "spiffe://a/web"), 403); /* both directions */
    assert_int_equal(ask_as(&s, "/", "spiffe://a/api"), 0);
    enforce(&s, KNOWS "rule extra when request.path == \"/m\" then deny request\n");
    assert_int_equal(ask_as(&s, "/t", NULL), 403); /* the next program knows it too */
    plane_inventory(s.plane, "");
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, NULL, 0)));
    assert_int_equal(ask_as(&s, "/t", NULL), 0);
    tear_down(&s);
}

static void a_full_ring_counts_what_it_drops(void **state)
{
    (void)state;
    struct setting s;
    struct host_stream r;
    set_up(&s, "service");
    enforce(&s, POLICY);
    plane_kill(s.plane);
    host_stream_init(&r, 0, "127.0.0.2:5000");
    host_header(&r, ":path", "/");
    for (uint32_t i = 0; i < MP_RING_SLOTS + 100; i++) {
        envoy_dynamic_module_on_access_logger_log(&r, s.logger, ABI_DOWNSTREAM_END);
    }
    s.plane = plane_start(socket_path);
    assert_true(plane_wait_connected(s.plane));
    /* The counts come with the connection; some of the first records may have gone out before. */
    int64_t until = bed_now_ns() + BED_WAIT_NS;
    while (plane_info(s.plane).counts.dropped == 0 && bed_now_ns() < until) poll(NULL, 0, 1);
    struct mp_fleet_info info = plane_info(s.plane);
    assert_in_range(info.counts.dropped, 1, 100);
    assert_int_equal(info.counts.records + info.counts.dropped, MP_RING_SLOTS + 100);
    tear_down(&s);
}

/* ---- open streams ---- */

static void open_stream(struct setting *s, struct host_stream *r, const char *client,
                        const char *path)
{
    host_stream_init(r, 0, client);
    host_header(r, ":path", path);
    assert_true(host_begin(r, s->filter));
}

/* Workers look at their streams meanwhile. */
static void put_in_force(struct setting *s, const struct mpol_lease *leases, size_t count)
{
    uint64_t revision = plane_leases(s->plane, leases, count);
    int64_t until = bed_now_ns() + BED_WAIT_NS;
    while (plane_info(s->plane).leases_passed != revision) {
        assert_true(bed_now_ns() < until);
        host_run_scheduled(0);
        poll(NULL, 0, 1);
    }
}

static void a_cut_ends_what_began_before(void **state)
{
    (void)state;
    struct setting s;
    struct host_stream old, other, kept, late;
    struct mpol_lease exempt = plane_lease(9, "exempt", "client", "ip", "127.0.0.2");
    set_up(&s, "service");
    enforce(&s, "mpol 1\nuse std.mesh\nnever deny request where request.path == \"/kept\"\n");
    open_stream(&s, &old, "127.0.0.2:1", "/a");
    open_stream(&s, &other, "127.0.0.3:1", "/a");
    open_stream(&s, &kept, "127.0.0.2:2", "/kept");

    struct mpol_lease leases[] = {plane_lease(1, "cut", "client", "ip", "127.0.0.2"), exempt};
    put_in_force(&s, leases, 2);
    assert_false(atomic_load(&old.reset)); /* an exception is one from this too */
    put_in_force(&s, leases, 1);
    assert_true(atomic_load(&old.reset));
    assert_false(atomic_load(&other.reset));
    assert_false(atomic_load(&kept.reset)); /* a guard protects it */

    open_stream(&s, &late, "127.0.0.2:3", "/a");
    put_in_force(&s, leases, 1); /* told again, it cuts nothing new */
    assert_false(atomic_load(&late.reset));
    struct mpol_lease again = plane_lease(2, "cut", "service", "string", "checkout");
    put_in_force(&s, &again, 1);
    assert_true(atomic_load(&late.reset));
    assert_true(atomic_load(&other.reset));
    assert_false(atomic_load(&kept.reset));
    host_end(&kept, s.logger);
    tear_down(&s);
}

static void an_identity_is_cut_wherever_it_asks_from(void **state)
{
    (void)state;
    struct setting s;
    struct host_stream thief, other, plain;
    set_up(&s, "service");
    enforce(&s, "mpol 1\nuse std.mesh\n");
    host_stream_init(&thief, 0, "127.0.0.2:1");
    host_stream_init(&other, 0, "127.0.0.2:2");
    thief.peer = "spiffe://a/thief";
    other.peer = "spiffe://a/other";
    assert_true(host_begin(&thief, s.filter));
    assert_true(host_begin(&other, s.filter));
    open_stream(&s, &plain, "127.0.0.2:3", "/a");
    struct mpol_lease cut = plane_lease(1, "cut", "identity", "identity", "spiffe://a/thief");
    put_in_force(&s, &cut, 1);
    assert_true(atomic_load(&thief.reset));
    assert_false(atomic_load(&other.reset));
    assert_false(atomic_load(&plain.reset));
    host_end(&other, s.logger);
    host_end(&plain, s.logger);
    tear_down(&s);
}

static void a_guard_protects_an_open_stream(void **state)
{
    (void)state;
    struct setting s;
    struct host_stream kept, other;
    struct mpol_lease deny = plane_lease(1, "deny", "client", "ip", "127.0.0.2");
    set_up(&s, "service");
    enforce(&s, "mpol 1\nuse std.mesh\nnever deny request where request.path == \"/kept\"\n");
    open_stream(&s, &kept, "127.0.0.2:1", "/kept");
    open_stream(&s, &other, "127.0.0.2:2", "/other");
    put_in_force(&s, &deny, 1);
    assert_true(atomic_load(&other.reset));
    assert_false(atomic_load(&kept.reset)); /* its path is still known */
    host_end(&kept, s.logger);
    tear_down(&s);
}

/* ---- workers at once ---- */

#define THREADS 4
#define OPEN 8

struct work {
    struct setting *s;
    uint32_t worker;
    _Atomic bool stop;
    uint64_t asked, wrong, cut;
    pthread_t thread;
};

/* Streams are opened, live a little, are looked at, and end; every answer is one that some
 * program or some set gives. */
static void *work(void *arg)
{
    struct work *w = arg;
    static const char *const clients[] = {"127.0.0.2:1", "127.0.0.3:1", "127.0.0.4:1"};
    struct host_stream open[OPEN];
    memset(open, 0, sizeof open);
    for (uint64_t i = 0; !atomic_load(&w->stop); i++) {
        struct host_stream *r = &open[i % OPEN];
        w->cut += atomic_load(&r->reset);
        host_end(r, w->s->logger);
        host_stream_init(r, w->worker, clients[i % 3]);
        host_header(r, ":path", i % 5 == 0 ? "/never" : "/free");
        bool passed = host_begin(r, w->s->filter);
        w->wrong += i % 5 == 0 && passed;
        w->wrong += i % 5 != 0 && !passed && i % 3 != 0; /* only the first client is ever denied */
        w->asked++;
        host_run_scheduled(w->worker);
    }
    for (int i = 0; i < OPEN; i++) host_end(&open[i], w->s->logger);
    host_run_scheduled(w->worker);
    return NULL;
}

#define NEVER(n)                                                                                   \
    "mpol 1\nuse std.mesh\nrule n when request.path == \"/never\" then deny request\n"             \
    "rule r when request.path == \"/rare" n "\" then deny request\n"

static void programs_and_leases_change_under_workers(void **state)
{
    (void)state;
    struct setting s;
    struct work works[THREADS];
    struct mpol_lease deny = plane_lease(1, "deny", "client", "ip", "127.0.0.2");
    uint64_t asked = 0, cut = 0;
    host.concurrency = THREADS;
    set_up(&s, "service");
    enforce(&s, NEVER("0"));
    for (uint32_t i = 0; i < THREADS; i++) {
        works[i] = (struct work){.s = &s, .worker = i};
        assert_int_equal(pthread_create(&works[i].thread, NULL, work, &works[i]), 0);
    }
    for (int i = 0; i < 15; i++) {
        enforce(&s, i % 2 == 0 ? NEVER("1") : NEVER("2"));
        plane_inventory(s.plane,
                        i % 2 == 0 ? "{\"entity\":\"service\",\"name\":\"checkout\"}\n" : "");
        assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, &deny, 1)));
        assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, NULL, 0)));
    }
    for (int i = 0; i < THREADS; i++) {
        atomic_store(&works[i].stop, true);
        pthread_join(works[i].thread, NULL);
        assert_int_equal(works[i].wrong, 0);
        asked += works[i].asked;
        cut += works[i].cut;
    }
    printf("%llu requests, %llu streams cut\n", (unsigned long long)asked, (unsigned long long)cut);
    assert_true(asked > 0);
    tear_down(&s);
    host.concurrency = 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_configuration_is_refused),
        cmocka_unit_test(validation_starts_nothing),
        cmocka_unit_test(a_proxy_is_one_reporter),
        cmocka_unit_test(every_field_of_a_request_is_asked_about),
        cmocka_unit_test(the_last_of_many_headers_is_seen),
        cmocka_unit_test(a_host_is_an_authority),
        cmocka_unit_test(headers_of_one_name_are_joined),
        cmocka_unit_test(padding_passes_no_rule),
        cmocka_unit_test(what_no_rule_judges_may_be_as_long_as_it_is),
        cmocka_unit_test(a_rate_says_when_to_come_again),
        cmocka_unit_test(a_gateway_speaks_of_whom_it_asks),
        cmocka_unit_test(inventory_is_known_to_rules_and_leases),
        cmocka_unit_test(a_full_ring_counts_what_it_drops),
        cmocka_unit_test(a_cut_ends_what_began_before),
        cmocka_unit_test(an_identity_is_cut_wherever_it_asks_from),
        cmocka_unit_test(a_guard_protects_an_open_stream),
        cmocka_unit_test(programs_and_leases_change_under_workers),
    };
    snprintf(socket_path, sizeof socket_path, "%s/mpol-hooks-%d.sock", tmp_folder(), (int)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(socket_path);
    return failed;
}
