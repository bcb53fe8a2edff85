/* SPDX-License-Identifier: Apache-2.0
 * Access logs as people have them, and what inspect tells of telemetry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/hash.h"
#include "ingest/import.h"
#include "ingest/inspect.h"

static struct mp_arena arena;
static struct mp_buf out;
static const char *why;

static int make(void **state)
{
    mp_arena_init(&arena, NULL, 0);
    mp_buf_init(&out, &arena);
    return 0;
}

static int drop(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

struct pair {
    enum mp_import_format format;
    const char *log, *line; /* line: NULL: refused */
};

static const struct pair pairs[] = {
    {MP_IMPORT_COMBINED,
     "127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] \"GET /a.gif?x=1 HTTP/1.0\" 200 2326 "
     "\"http://www.example.com/start.html\" \"Mozilla/4.08 [en] (Win98; I ;Nav)\"",
     "{\"time\":\"2000-10-10T13:55:36-07:00\",\"service\":\"web\","
     "\"client\":{\"ip\":\"127.0.0.1\"},"
     "\"method\":\"GET\",\"path\":\"/a.gif\",\"raw_path\":\"/a.gif\",\"query\":\"x=1\","
     "\"http_version\":\"1.0\","
     "\"status\":200,\"bytes_out\":2326,\"user\":\"frank\",\"user_agent\":\"Mozilla/4.08 [en] "
     "(Win98; I ;Nav)\","
     "\"headers\":{\"referer\":\"http://www.example.com/start.html\"}}"},
    {MP_IMPORT_COMBINED, /* common, a virtual host, escapes, the time it took */
     "Shop.example:443 10.0.0.9 - - [23/Nov/2026:10:00:00 +0000] \"POST /login "
     "HTTP/1.1\" 401 12 \"-\" "
     "\"curl \\\"x\\\" \\x22\" 0.012",
     "{\"time\":\"2026-11-23T10:00:00+00:00\",\"service\":\"shop.example\","
     "\"client\":{\"ip\":\"10.0.0.9\"},"
     "\"method\":\"POST\",\"path\":\"/login\",\"raw_path\":\"/login\","
     "\"http_version\":\"1.1\",\"status\":401,"
     "\"latency\":\"0.012s\",\"bytes_out\":12,\"user_agent\":\"curl \\\"x\\\" \\\"\"}"},
    {MP_IMPORT_COMBINED,
     "2001:db8::1 - - [23/Nov/2026:10:00:01 +0000] \"\\x16\\x03\\x01\" 400 157 \"-\" \"-\"",
     "{\"time\":\"2026-11-23T10:00:01+00:00\",\"service\":\"web\","
     "\"client\":{\"ip\":\"2001:db8::1\"},"
     "\"status\":400,\"bytes_out\":157}"},
    {MP_IMPORT_COMBINED, /* a list of addresses: who asks is the first */
     "10.0.0.1, 172.16.0.1, 172.16.0.2 - - [23/Nov/2026:10:00:02 +0000] \"GET / HTTP/1.1\" 200 0",
     "{\"time\":\"2026-11-23T10:00:02+00:00\",\"service\":\"web\",\"client\":{\"ip\":\"10.0.0.1\"},"
     "\"method\":\"GET\",\"path\":\"/\",\"raw_path\":\"/\",\"http_version\":\"1.1\",\"status\":200,"
     "\"bytes_out\":0}"},
    {MP_IMPORT_ENVOY_JSON, /* no answer was sent: there is no status */
     "{\"start_time\":\"2026-11-23T10:00:02Z\",\"method\":\"GET\",\"response_code\":0,"
     "\"authority\":\"shop\"}",
     "{\"time\":\"2026-11-23T10:00:02Z\",\"service\":\"shop\",\"method\":\"GET\","
     "\"host\":\"shop\"}"},
    {MP_IMPORT_COMBINED,
     "10.0.0.1 - john doe [23/Nov/2026:10:00:02 +0000] \"GET / HTTP/1.1\" 304 -",
     "{\"time\":\"2026-11-23T10:00:02+00:00\",\"service\":\"web\",\"client\":{\"ip\":\"10.0.0.1\"},"
     "\"method\":\"GET\",\"path\":\"/\",\"raw_path\":\"/\",\"http_version\":\"1.1\",\"status\":304,"
     "\"user\":\"john doe\"}"},
    {MP_IMPORT_COMBINED,
     "10.0.0.1 - - [23/Nov/2026:10:00:02 +0000] \"GET /\\xff\\xe9 HTTP/1.1\" 404 1 \"-\" \"-\"",
     "{\"time\":\"2026-11-23T10:00:02+00:00\",\"service\":\"web\",\"client\":{\"ip\":\"10.0.0.1\"},"
     "\"method\":\"GET\",\"path\":\"/\xef\xbf\xbd\xef\xbf\xbd\","
     "\"raw_path\":\"/\xef\xbf\xbd\xef\xbf\xbd\","
     "\"http_version\":\"1.1\",\"status\":404,\"bytes_out\":1}"},
    {MP_IMPORT_COMBINED, "garbage", NULL},
    {MP_IMPORT_COMBINED, "10.0.0.1 - - [yesterday] \"GET / HTTP/1.1\" 200 1", NULL},
    {MP_IMPORT_COMBINED, "10.0.0.1 - - [23/Nov/2026:10:00:02 +0000] \"GET / HTTP/1.1", NULL},
    {MP_IMPORT_COMBINED, "10.0.0.1 - - [23/Nov/2026:10:00:02 +0000] \"GET / HTTP/1.1\"", NULL},
    {MP_IMPORT_NGINX_JSON,
     "{\"time_local\":\"23/Nov/2026:10:00:00 +0000\",\"remote_addr\":\"10.0.0.9\","
     "\"remote_user\":\"-\","
     "\"request\":\"GET /x?y=1 HTTP/1.1\",\"status\": \"200\",\"body_bytes_sent\":\"5\","
     "\"request_time\":\"0.004\","
     "\"http_user_agent\":\"a\\\"b\",\"upstream_addr\":\"10.1.1.1:80, 10.1.1.2:80\","
     "\"host\":\"Shop.example\"}",
     "{\"time\":\"2026-11-23T10:00:00+00:00\",\"service\":\"shop.example\","
     "\"instance\":\"10.1.1.2:80\","
     "\"client\":{\"ip\":\"10.0.0.9\"},\"method\":\"GET\","
     "\"host\":\"Shop.example\",\"path\":\"/x\","
     "\"raw_path\":\"/x\",\"query\":\"y=1\",\"http_version\":\"1.1\",\"status\":200,"
     "\"latency\":\"0.004s\","
     "\"bytes_out\":5,\"user_agent\":\"a\\\"b\"}"},
    {MP_IMPORT_NGINX_JSON,
     "{\"msec\":1795428000.123,\"status\":503,\"request_uri\":\"/\",\"request_method\":\"GET\"}",
     "{\"time\":\"1795428000.123\",\"service\":\"web\",\"method\":\"GET\",\"path\":\"/\","
     "\"raw_path\":\"/\",\"status\":503}"},
    {MP_IMPORT_NGINX_JSON, "{\"status\":503}", NULL},
    {MP_IMPORT_NGINX_JSON, "{\"bad", NULL},
    {MP_IMPORT_ENVOY_JSON,
     "{\"start_time\":\"2026-11-23T10:00:00.123Z\",\"method\":\"GET\",\"path\":\"/r/0?x\","
     "\"protocol\":\"HTTP/1.1\","
     "\"response_code\":200,\"response_code_details\":\"via_upstream\","
     "\"bytes_sent\":325,\"duration\":12,"
     "\"x_forwarded_for\":\"-\",\"request_id\":\"abc-1\",\"authority\":\"reviews:9080\","
     "\"upstream_host\":\"10.44.0.9:9080\","
     "\"upstream_cluster\":\"outbound|9080||reviews.shop.svc.cluster.local\","
     "\"downstream_remote_address\":\"10.44.0.5:5555\",\"requested_server_name\":null}",
     "{\"time\":\"2026-11-23T10:00:00.123Z\",\"service\":\"shop/reviews\","
     "\"instance\":\"10.44.0.9:9080\","
     "\"client\":{\"ip\":\"10.44.0.5\"},\"method\":\"GET\",\"host\":\"reviews:9080\","
     "\"path\":\"/r/0\","
     "\"raw_path\":\"/r/0\",\"query\":\"x\",\"http_version\":\"1.1\",\"status\":200,"
     "\"latency\":\"12ms\","
     "\"bytes_out\":325}"},
    {MP_IMPORT_ENVOY_JSON,
     "{\"start_time\":\"2026-11-23T10:00:01Z\",\"method\":\"GET\",\"path\":\"/x\","
     "\"response_code\":403,"
     "\"response_code_details\":\"mpol:block_abusive\",\"authority\":\"reviews:9080\","
     "\"upstream_cluster\":\"inbound|9080||\",\"downstream_remote_address\":\"[2001:db8::1]:5555\","
     "\"downstream_peer_uri_san\":\"spiffe://c/ns/a/sa/b\",\"downstream_tls_version\":\"TLSv1.3\"}",
     "{\"time\":\"2026-11-23T10:00:01Z\",\"service\":\"reviews\","
     "\"client\":{\"ip\":\"2001:db8::1\"},"
     "\"layer\":\"service\",\"method\":\"GET\",\"host\":\"reviews:9080\",\"path\":\"/x\","
     "\"raw_path\":\"/x\","
     "\"status\":403,\"peer\":\"spiffe://c/ns/a/sa/b\","
     "\"refused_by\":\"block_abusive\",\"mtls\":true}"},
    /* as docs/ENVOY.md wants it: who speaks, when it was over, refused by an RBAC */
    {MP_IMPORT_ENVOY_JSON,
     "{\"layer\":\"service\",\"service\":\"checkout\",\"instance\":\"checkout-2\","
     "\"version\":\"v1\","
     "\"emit_time\":\"2026-11-23T10:00:03.5Z\",\"start_time\":\"2026-11-23T10:00:00Z\","
     "\"method\":\"GET\","
     "\"path\":\"/pay\",\"response_code\":403,\"upstream_host\":\"127.0.0.1:9002\","
     "\"upstream_cluster\":\"app\","
     "\"response_code_details\":\"rbac_access_denied_matched_policy[mpol:shop.contain/20001]\"}",
     "{\"time\":\"2026-11-23T10:00:03.5Z\",\"service\":\"checkout\",\"instance\":\"checkout-2\","
     "\"layer\":\"service\",\"version\":\"v1\",\"method\":\"GET\",\"path\":\"/pay\","
     "\"raw_path\":\"/pay\","
     "\"status\":403,\"refused_by\":\"shop.contain\"}"},
    {MP_IMPORT_ENVOY_JSON, /* a gateway's route to one version */
     "{\"start_time\":\"2026-11-23T10:00:00Z\",\"layer\":\"ingress\","
     "\"upstream_cluster\":\"checkout@v2\"}",
     "{\"time\":\"2026-11-23T10:00:00Z\",\"service\":\"checkout\",\"layer\":\"ingress\"}"},
    {MP_IMPORT_ENVOY_JSON, /* a probe of our own */
     "{\"start_time\":\"2026-11-23T10:00:00Z\",\"method\":\"GET\",\"path\":\"/.mpol/probe/12\"}",
     NULL},
    {MP_IMPORT_ENVOY_JSON, "", NULL},
    {MP_IMPORT_COMBINED, "# a comment", NULL},
};

static void the_details_of_an_envoy_name_our_rule(void **state)
{
    static const struct {
        const char *details, *rule;
        uint64_t lease;
    } rows[] = {
        {"mpol:contain", "contain", 0},
        {"mpol:contain/17", "contain", 17},
        {"rbac_access_denied_matched_policy[mpol:shop.contain/20001]", "shop.contain", 20001},
        {"rbac_access_denied_matched_policy[mpol:manual/3]", "manual", 3},
        {"mpol:a/b", "a/b", 0},
        {"mpol:/3", "/3", 0},
        {"mpol:a/99999999999999999999999", "a/99999999999999999999999", 0},
        {"mpol:", NULL, 0},
        {"rbac_access_denied_matched_policy[none]", NULL, 0},
        {"rbac_access_denied_matched_policy[mpol:x", NULL, 0},
        {"via_upstream", NULL, 0},
        {"", NULL, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mp_str rule;
        uint64_t lease = 99;
        bool ours = mp_import_refusal(mp_str_of(rows[i].details), &rule, &lease);
        assert_int_equal(ours, rows[i].rule != NULL);
        if (!ours) continue;
        assert_true(mp_str_eq(rule, mp_str_of(rows[i].rule)));
        assert_int_equal(lease, rows[i].lease);
    }
}

static void an_access_log_becomes_telemetry(void **state)
{
    const struct mp_import_options options = {0};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        out.len = 0;
        bool ok = mp_import_line(pairs[i].format, &options, mp_str_of(pairs[i].log), &out, &why);
        if (pairs[i].line == NULL) {
            assert_false(ok);
            assert_int_equal(out.len, 0);
            bool own = strstr(pairs[i].log, "/.mpol/") != NULL;
            assert_int_equal(why == NULL, own || pairs[i].log[0] == 0 || pairs[i].log[0] == '#');
            continue;
        }
        if (!ok) printf("%s: %s\n", pairs[i].log, why);
        assert_true(ok);
        mp_buf_putc(&out, 0);
        assert_string_equal(out.ptr, pairs[i].line);
        json_t *tree = json_loads(out.ptr, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(tree);
        json_decref(tree);
    }
}

static void what_the_log_does_not_say_is_said_once_for_all(void **state)
{
    const struct mp_import_options options = {MP_STR("pay"), MP_STR("pay-1")};
    assert_true(mp_import_line(
        MP_IMPORT_NGINX_JSON, &options,
        MP_STR("{\"msec\":1,\"host\":\"x\",\"upstream_addr\":\"10.0.0.1:1\"}"), &out, &why));
    mp_buf_putc(&out, 0);
    assert_string_equal(
        out.ptr, "{\"time\":\"1\",\"service\":\"pay\",\"instance\":\"pay-1\",\"host\":\"x\"}");
}

static void whatever_a_log_holds_the_line_is_json(void **state)
{
    uint64_t seed = 20261126;
    printf("seed %llu\n", (unsigned long long)seed);
    const struct mp_import_options options = {0};
    unsigned taken = 0;
    for (int i = 0; i < 40000; i++) {
        const struct pair *p = &pairs[mp_rng_next(&seed) % (sizeof pairs / sizeof pairs[0])];
        char log[1024];
        size_t len = strlen(p->log);
        if (len == 0) continue;
        memcpy(log, p->log, len);
        for (unsigned k = mp_rng_next(&seed) % 3; k > 0; k--) {
            log[mp_rng_next(&seed) % len] = (char)mp_rng_next(&seed);
        }
        out.len = 0;
        if (!mp_import_line(p->format, &options, (mp_str){log, len}, &out, &why)) continue;
        json_error_t error;
        json_t *tree = json_loadb(out.ptr, out.len, 0, &error);
        if (tree == NULL) {
            printf("%s in %.*s\nof %.*s\n", error.text, (int)out.len, out.ptr, (int)len, log);
            fail();
        }
        json_decref(tree);
        taken++;
    }
    assert_true(taken > 5000);
}

static void inspect_tells_signals_fields_gaps_and_order(void **state)
{
    struct mp_inspect *in;
    assert_int_equal(mp_inspect_create(&arena, &in), MP_OK);
    char line[512];
    for (int i = 0; i < 1000; i++) {
        double at = 1000 + i * 0.1 + (i > 500 ? 30 : 0) - (i % 100 == 99 ? 0.3 : 0);
        int len = snprintf(
            line, sizeof line,
            "{\"time\":%.3f,\"service\":\"s%d\",\"client\":{\"ip\":\"10.0.%d.%d\"},\"status\":%d,"
            "\"latency\":\"%dms\",\"share\":\"%d%%\",\"odd\":%s}",
            at, i % 5, i / 250, i % 250, 200 + i % 3, i % 40 + 1, i % 100,
            i % 2 ? "null" : "\"x\"");
        assert_true(mp_inspect_line(in, (mp_str){line, (size_t)len}, &why));
    }
    assert_true(mp_inspect_line(in, MP_STR("{\"signal\":\"cpu\",\"alive\":true}"), &why));
    assert_true(mp_inspect_line(in, MP_STR("{\"entity\":\"service\",\"name\":\"a\"}"), &why));
    assert_true(mp_inspect_line(in, MP_STR(""), &why));
    assert_false(mp_inspect_line(in, MP_STR("nonsense"), &why));
    assert_false(mp_inspect_line(in, MP_STR("{\"service\":\"a\"}"), &why));
    struct mp_inspect_counts counts;
    mp_inspect_counts(in, &counts);
    assert_int_equal(counts.records, 1000);
    assert_int_equal(counts.bad, 2);
    mp_inspect_json(in, &out);
    json_error_t error;
    json_t *tree = json_loadb(out.ptr, out.len, 0, &error);
    assert_non_null(tree);
    json_t *requests = json_array_get(json_object_get(tree, "signals"), 0);
    assert_string_equal(json_string_value(json_object_get(requests, "name")), "requests");
    assert_int_equal(json_integer_value(json_object_get(requests, "backwards")), 10);
    double gap = json_number_value(json_object_get(requests, "longest_gap_s"));
    assert_true(gap > 30 && gap < 30.2);
    const struct { const char *name, *kind; int low, high; } want[] = {
        {"service", "string", 5, 5}, {"client.ip", "ip", 900, 1100}, {"status", "int", 3, 3},
        {"latency", "duration", 40, 40}, {"share", "percent", 95, 105}, {"odd", "string", 1, 1}};
    json_t *fields = json_object_get(requests, "fields");
    assert_int_equal(json_array_size(fields), 6);
    for (size_t i = 0; i < 6; i++) {
        json_t *f = json_array_get(fields, i);
        assert_string_equal(json_string_value(json_object_get(f, "name")), want[i].name);
        assert_string_equal(json_string_value(json_object_get(f, "kind")), want[i].kind);
        int values = (int)json_integer_value(json_object_get(f, "values"));
        assert_true(values >= want[i].low && values <= want[i].high);
        assert_true(json_number_value(json_object_get(f, "present")) == (i == 5 ? 0.5 : 1));
    }
    json_decref(tree);
    out.len = 0;
    mp_inspect_text(in, &out);
    assert_true(mp_str_contains(mp_buf_view(&out),
                                MP_STR("1005 lines: 1000 records, 1 of inventory, 2 bad")));
    assert_true(mp_str_contains(mp_buf_view(&out), MP_STR("1ms .. 40ms")));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make, drop)
    const struct CMUnitTest tests[] = {
        CASE(an_access_log_becomes_telemetry),
        CASE(the_details_of_an_envoy_name_our_rule),
        CASE(what_the_log_does_not_say_is_said_once_for_all),
        CASE(whatever_a_log_holds_the_line_is_json),
        CASE(inspect_tells_signals_fields_gaps_and_order),
    };
    return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
