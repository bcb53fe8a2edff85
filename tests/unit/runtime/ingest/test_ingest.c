/* SPDX-License-Identifier: Apache-2.0
 * Lines of telemetry in every form, hostile ones, and jansson as the judge of what is JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "ingest/ingest.h"
#include "ingest/ingest_priv.h"
#include "ingest/json.h"
#include "world.h"

#define MS INT64_C(1000000)
#define S INT64_C(1000000000)

static struct world world;
static struct mp_arena arena;
static struct mp_ingest *ingest;
static struct mp_ingested out;
static uint32_t service, client, requests, cpu;

enum {
    F_SERVICE, F_CLIENT, F_LAYER, F_METHOD, F_PATH, F_HOST, F_STATUS, F_LATENCY, F_BYTES, F_PEER,
        F_MTLS,
    F_API_KEY, F_ROLES, F_ASN, F_SHARE, F_SCORE, F_CALLER, F_GREETING, F_ARG
};

static int make(void **state)
{
    struct world *w = &world;
    world_init(w);
    service = world_entity(w, "service", "name", MP_TYPE_STRING);
    w->entity[service].alias = world_text(w, "svc");
    world_attr(w, "tier", MP_TYPE_ENUM, MP_NONE, false);
    world_attr(w, "callers", MP_TYPE_ENTITY, service, true);
    world_attr(w, "labels.team", MP_TYPE_STRING, MP_NONE, false);
    client = world_entity(w, "client", "ip", MP_TYPE_IP);
    requests = world_signal(w, "requests", MP_SIGNAL_EVENT, 0, 2 * S);
    world_key_field(w, "service", service);
    world_key_field(w, "client.ip", client);
    world_field(w, "layer", MP_TYPE_HOOK, 0);
    w->signal[requests].layer = w->p.field_count - 1;
    world_field(w, "method", MP_TYPE_METHOD, MP_FIELD_ALWAYS);
    world_field(w, "path", MP_TYPE_PATH, 0);
    world_field(w, "host", MP_TYPE_HOST, 0);
    world_field(w, "status", MP_TYPE_STATUS, MP_FIELD_AT_END);
    world_field(w, "latency", MP_TYPE_DURATION, MP_FIELD_AT_END);
    world_field(w, "bytes_in", MP_TYPE_SIZE, 0);
    world_field(w, "peer", MP_TYPE_IDENTITY, 0);
    world_field(w, "mtls", MP_TYPE_BOOL, 0);
    world_field(w, "headers.x-api-key", MP_TYPE_STRING, MP_FIELD_ENTRY);
    world_field(w, "claims.roles", MP_TYPE_STRING, MP_FIELD_ENTRY | MP_FIELD_SET);
    world_field(w, "client.asn", MP_TYPE_ASN, 0);
    world_field(w, "share", MP_TYPE_PERCENT, 0);
    world_field(w, "score", MP_TYPE_SCORE, 0);
    world_field(w, "caller", MP_TYPE_ENTITY, 0);
    w->field[w->p.field_count - 1].entity = service;
    world_field(w, "greeting", MP_TYPE_STRING, 0);
    w->field[w->p.field_count - 1].preset =
        world_const(w, MP_TYPE_STRING, mp_value_text(MP_STR("hello")));
    world_field(w, "args.a", MP_TYPE_STRING, MP_FIELD_ENTRY);
    uint32_t refusals = world_signal(w, "refusals", MP_SIGNAL_EVENT, 0, 2 * S);
    world_key_field(w, "service", service);
    world_field(w, "policy", MP_TYPE_STRING, 0);
    (void)refusals;
    cpu = world_signal(w, "cpu", MP_SIGNAL_GAUGE, 5 * S, 0);
    world_key_field(w, "service", service);
    world_field(w, "value", MP_TYPE_PERCENT, 0);
    mp_arena_init(&arena, NULL, 0);
    assert_int_equal(mp_ingest_create(&arena, &w->p, (struct mp_hash_key){1, 2}, &ingest), MP_OK);
    assert_true(arena.used_bytes <= mp_ingest_bytes(&w->p) + 65536);
    return 0;
}

static int drop(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static enum mp_ingest_kind line_of(const char *text)
{
    return mp_ingest_line(ingest, mp_str_of(text), 3, 0, &out);
}

static bool known(uint32_t slot) { return (out.record.known[slot / 64] >> (slot % 64) & 1) != 0; }

static const char *text_of(uint32_t slot)
{
    static char copy[512];
    assert_true(known(slot));
    mp_str s = mp_value_as_text(&out.record.field[slot]);
    snprintf(copy, sizeof copy, "%.*s", MP_STR_ARG(s));
    return copy;
}

static int64_t int_of(uint32_t slot)
{
    assert_true(known(slot));
    return mp_value_as_int(out.record.field[slot]);
}

static const char *address_of(uint32_t slot)
{
    static char copy[64];
    assert_true(known(slot));
    copy[mp_value_address_text(out.record.field[slot], copy)] = 0;
    return copy;
}

/* The rest of a record of `requests`, with `extra` in it. */
static enum mp_ingest_kind with(const char *extra)
{
    static char line[8192];
    int len = snprintf(
        line, sizeof line,
        "{\"time\":\"2026-11-23T10:00:00Z\",\"service\":\"checkout\",\"method\":\"GET\"%s%s}",
        extra[0] != 0 ? "," : "", extra);
    assert_true(len > 0 && (size_t)len < sizeof line);
    return mp_ingest_line(ingest, (mp_str){line, (size_t)len}, 3, 0, &out);
}

/* ---- what a line can say ---- */

static void the_line_of_the_issue_becomes_a_record(void **state)
{
    assert_int_equal(
        line_of(
            "{\"signal\":\"requests\",\"time\":\"2026-11-23T10:00:00.123456Z\","
            "\"service\":\"checkout\","
            "\"instance\":\"checkout-1\",\"client\":{\"ip\":\"10.0.0.7\"},\"method\":\"POST\","
            "\"path\":\"/pay\",\"host\":\"shop\",\"status\":503,\"latency\":\"12.5ms\","
            "\"bytes_in\":512,"
            "\"bytes_out\":0,\"peer\":\"spiffe://shop/ns/web/sa/web\",\"mtls\":true}"),
        MP_INGEST_RECORD);
    assert_int_equal(out.record.time_ns, INT64_C(1795428000123456000));
    assert_int_equal(out.record.signal, requests);
    assert_int_equal(out.record.layer, MP_LAYER_SERVICE);
    assert_int_equal(out.record.source, 3);
    assert_int_equal(out.record.weight, 1);
    assert_int_equal(out.record.id, 0);
    assert_string_equal(text_of(F_SERVICE), "checkout");
    assert_string_equal(address_of(F_CLIENT), "10.0.0.7");
    assert_string_equal(text_of(F_METHOD), "POST");
    assert_string_equal(text_of(F_PATH), "/pay");
    assert_int_equal(int_of(F_STATUS), 503);
    assert_int_equal(int_of(F_LATENCY), 12500000);
    assert_int_equal(int_of(F_BYTES), 512);
    assert_string_equal(text_of(F_PEER), "spiffe://shop/ns/web/sa/web");
    assert_int_equal(int_of(F_MTLS), 1);
    assert_false(known(F_API_KEY));
    assert_string_equal(text_of(F_GREETING), "hello"); /* its default */
    struct mp_ingest_counts c;
    mp_ingest_counts(ingest, &c);
    assert_int_equal(c.unknown_fields, 2); /* instance, bytes_out */
}

static void names_are_nested_or_dotted(void **state)
{
    with("\"client.ip\":\"10.0.0.1\",\"client.asn\":64500");
    assert_string_equal(address_of(F_CLIENT), "10.0.0.1");
    assert_int_equal(int_of(F_ASN), 64500);
    with("\"client\":{\"ip\":\"10.0.0.2\",\"asn\":\"AS64501\"}");
    assert_string_equal(address_of(F_CLIENT), "10.0.0.2");
    assert_int_equal(int_of(F_ASN), 64501);
    with("\"client\":\"2001:db8::1\""); /* an entity by its key */
    assert_string_equal(address_of(F_CLIENT), "2001:db8::1");
    with("\"caller\":{\"name\":\"web\"}");
    assert_string_equal(text_of(F_CALLER), "web");
    with("\"caller\":\"cart\"");
    assert_string_equal(text_of(F_CALLER), "cart");
    with("\"service\":{\"name\":\"pay\",\"namespace\":\"prod\"}");
    assert_string_equal(text_of(F_SERVICE), "prod/pay"); /* the last of two wins */
    line_of("{\"time\":1,\"service\":{\"namespace\":\"prod\",\"name\":\"pay\"}}");
    assert_string_equal(text_of(F_SERVICE), "prod/pay");
    line_of("{\"time\":1,\"service\":{\"namespace\":\"default\",\"name\":\"pay\"}}");
    assert_string_equal(text_of(F_SERVICE), "pay");
}

static void headers_are_found_in_any_case_and_joined(void **state)
{
    with("\"headers\":{\"X-Api-Key\":\"abc\"}");
    assert_string_equal(text_of(F_API_KEY), "abc");
    with("\"headers.x-api-key\":\"abd\"");
    assert_string_equal(text_of(F_API_KEY), "abd");
    with("\"headers\":{\"x-api-key\":[\"a\",\"b\\u00e9\"]}");
    assert_string_equal(text_of(F_API_KEY), "a, b\xc3\xa9");
}

static void joined_is(enum mp_pairs kind, const char *text, const char *name, const char *value)
{
    char room[16];
    struct mp_joined j = {.at = room, .size = sizeof room};
    mp_pairs_join(kind, mp_str_of(text), mp_str_of(name), &j);
    bool there = j.count > 0 && !j.full;
    if (value == NULL && !there) return;
    if (value != NULL && there && mp_str_eq((mp_str){room, j.len}, mp_str_of(value))) return;
    fail_msg("%s of %s: %u, %.*s", name, text, j.count, (int)j.len, room);
}

static void arguments_and_cookies_are_all_their_values(void **state)
{
    with("\"args\":{\"a\":[\"1\",\"2\"]}");
    assert_string_equal(text_of(F_ARG), "1, 2");
    joined_is(MP_PAIRS_QUERY, "a=1", "a", "1");
    joined_is(MP_PAIRS_QUERY, "b=1&a=%31+%2", "a", "1 %2");
    joined_is(MP_PAIRS_QUERY, "%61=1&a%3D=2", "a", "1");
    joined_is(MP_PAIRS_QUERY, "a%3D=2", "a=", "2");
    joined_is(MP_PAIRS_QUERY, "%6=1&%=2", "%", "2");
    joined_is(MP_PAIRS_QUERY, "x+y=1&x%20y=2&xy=3", "x y", "1, 2");
    joined_is(MP_PAIRS_QUERY, "a=2&a=1&aa=3", "a", "2, 1");
    joined_is(MP_PAIRS_QUERY, "a&a=&b=1", "a", ", ");
    joined_is(MP_PAIRS_QUERY, "aa=1&A=2", "a", NULL);
    joined_is(MP_PAIRS_QUERY, "", "a", NULL);
    joined_is(MP_PAIRS_QUERY, "a=0123456789abcdef", "a", "0123456789abcdef");
    joined_is(MP_PAIRS_QUERY, "a=0123456789abcdefg", "a", NULL); /* no room */
    joined_is(MP_PAIRS_QUERY, "a=0123456789abcd&a=", "a", "0123456789abcd, ");
    joined_is(MP_PAIRS_QUERY, "a=0123456789abcd&a=1", "a", NULL);
    joined_is(MP_PAIRS_COOKIES, "a=1; b=%31+; a=2", "a", "1, 2");
    joined_is(MP_PAIRS_COOKIES, "a=1;b=%31+", "b", "%31+");
    joined_is(MP_PAIRS_COOKIES, "%61=1", "a", NULL);
}

static void sets_have_members(void **state)
{
    with("\"claims\":{\"roles\":[\"admin\",\"a role with a long name\"]}");
    assert_true(known(F_ROLES));
    struct mp_value set = out.record.field[F_ROLES];
    assert_int_equal(set.w[1], 2);
    const struct mp_value *m = (const struct mp_value *)(uintptr_t)set.w[0];
    assert_true(mp_value_text_eq(m[0], mp_value_text(MP_STR("admin"))));
    assert_true(mp_value_text_eq(m[1], mp_value_text(MP_STR("a role with a long name"))));
    with("\"claims\":{\"roles\":\"one\"}");
    assert_int_equal(out.record.field[F_ROLES].w[1], 1);
    with("\"claims\":{\"roles\":[]}");
    assert_int_equal(out.record.field[F_ROLES].w[1], 0);
    assert_true(known(F_ROLES));
    with("\"claims\":{\"roles\":[\"a\",{}]}");
    assert_false(known(F_ROLES));
}

struct form {
    const char *json;
    uint32_t slot;
    bool known;
    int64_t integer;
    double number;
};

static const struct form forms[] = {
    {"\"latency\":0.0125", F_LATENCY, true, 12500000, 0},
    {"\"latency\":1e-3", F_LATENCY, true, 1000000, 0},
    {"\"latency\":\"1h30m\"", F_LATENCY, true, 5400 * S, 0},
    {"\"latency\":\"1m2.5s\"", F_LATENCY, true, 62500 * MS, 0},
    {"\"latency\":\"250us\"", F_LATENCY, true, 250000, 0},
    {"\"latency\":\"250\xc2\xb5s\"", F_LATENCY, true, 250000, 0},
    {"\"latency\":\"0.0012345678912ms\"", F_LATENCY, true, 1235, 0},
    {"\"latency\":\"12.5\"", F_LATENCY, true, 12500 * MS, 0},
    {"\"latency\":\"12.5 parsecs\"", F_LATENCY, false, 0, 0},
    {"\"latency\":\"\"", F_LATENCY, false, 0, 0},
    {"\"latency\":1e300", F_LATENCY, false, 0, 0},
    {"\"latency\":true", F_LATENCY, false, 0, 0},
    {"\"latency\":null", F_LATENCY, false, 0, 0},
    {"\"latency\":{}", F_LATENCY, false, 0, 0},
    {"\"latency\":[1]", F_LATENCY, false, 0, 0},
    {"\"bytes_in\":0", F_BYTES, true, 0, 0},
    {"\"bytes_in\":\"64MiB\"", F_BYTES, true, 67108864, 0},
    {"\"bytes_in\":\"512\"", F_BYTES, true, 512, 0},
    {"\"bytes_in\":1e3", F_BYTES, true, 1000, 0},
    {"\"bytes_in\":-1", F_BYTES, false, 0, 0},
    {"\"bytes_in\":1.5", F_BYTES, false, 0, 0},
    {"\"bytes_in\":99999999999999999999", F_BYTES, false, 0, 0},
    {"\"status\":\"404\"", F_STATUS, true, 404, 0},
    {"\"status\":404.0", F_STATUS, true, 404, 0},
    {"\"status\":4040", F_STATUS, false, 0, 0},
    {"\"status\":\"ok\"", F_STATUS, false, 0, 0},
    {"\"mtls\":\"false\"", F_MTLS, true, 0, 0},
    {"\"mtls\":1", F_MTLS, true, 1, 0},
    {"\"mtls\":2", F_MTLS, false, 0, 0},
    {"\"share\":\"5%\"", F_SHARE, true, 0, 0.05},
    {"\"share\":\"0.7%\"", F_SHARE, true, 0, 0.007},
    {"\"share\":0.93", F_SHARE, true, 0, 0.93},
    {"\"share\":1", F_SHARE, true, 0, 1},
    {"\"share\":-0.0", F_SHARE, true, 0, 0},
    {"\"share\":\"many\"", F_SHARE, false, 0, 0},
    {"\"score\":0.5", F_SCORE, true, 0, 0.5},
    {"\"score\":1.5", F_SCORE, false, 0, 0},
    {"\"client\":\"10.0.0.0/8\"", F_CLIENT, false, 0, 0},
    {"\"client\":\"here\"", F_CLIENT, false, 0, 0},
    {"\"client\":7", F_CLIENT, false, 0, 0},
};

static void every_form_of_a_value_is_read_as_its_type_says(void **state)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const struct form *f = &forms[i];
        assert_int_equal(with(f->json), MP_INGEST_RECORD);
        if (known(f->slot) != f->known) {
            printf("%s: %s\n", f->json, f->known ? "unknown" : "known");
            fail();
        }
        if (!f->known) continue;
        struct mp_value v = out.record.field[f->slot];
        bool same = f->slot == F_SHARE || f->slot == F_SCORE
                        ? memcmp(&v.w[0], &f->number, sizeof f->number) == 0
                        : mp_value_as_int(v) == f->integer;
        if (!same) {
            printf("%s: %lld\n", f->json, (long long)mp_value_as_int(v));
            fail();
        }
    }
}

static void a_value_that_fits_not_is_counted_and_unknown(void **state)
{
    struct mp_ingest_counts before, after;
    mp_ingest_counts(ingest, &before);
    assert_int_equal(with("\"status\":\"ok\",\"latency\":\"soon\",\"peer\":null"),
                     MP_INGEST_RECORD);
    mp_ingest_counts(ingest, &after);
    assert_int_equal(after.bad_values - before.bad_values, 2);
    line_of("{\"time\":1,\"service\":\"a\"}"); /* without the @always method */
    mp_ingest_counts(ingest, &after);
    assert_int_equal(after.missing_always - before.missing_always, 1);
}

struct spelling { const char *from, *to; };

static void a_path_has_one_spelling(void **state)
{
    const struct spelling paths[] = {
        {"/pay", "/pay"}, {"/pay?x=1", "/pay"}, {"/pay#top", "/pay"}, {"//pay///now/", "/pay/now/"},
        {"/a/./b/../c", "/a/c"}, {"/../../etc/passwd", "/etc/passwd"}, {"/a/..", "/"},
            {"/a/.", "/a/"},
        {"/%61dmin", "/admin"}, {"/%2561dmin", "/%61dmin"}, {"/a%2fb", "/a/b"},
            {"/%2e%2e/admin", "/admin"},
        {"/100%", "/100%"}, {"/%zz", "/%zz"}, {"/%4", "/%4"}, {"", ""}, {"/", "/"}, {"*", "*"},
        {"http://shop/admin?x", "/admin"}, {"http://shop", "/"}, {"?q", "/"}, {"/a/../../b", "/b"},
        {"/%3Fadmin", "/?admin"}, {"/a/b/..//../admin", "/admin"}, {"/admin%2f%2e%2e", "/"},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char got[64];
        size_t len = mp_canonical_path(mp_str_of(paths[i].from), got);
        assert_true(len <= strlen(paths[i].from) || len == 1);
        got[len] = 0;
        if (strcmp(got, paths[i].to) != 0) printf("%s\n", paths[i].from);
        assert_string_equal(got, paths[i].to);
        /* Once is enough: nothing changes the second time, but what was decoded. */
        if (strchr(paths[i].to, '%') == NULL && strchr(paths[i].to, '?') == NULL) {
            char again[64];
            again[mp_canonical_path(mp_str_of(got), again)] = 0;
            assert_string_equal(again, got);
        }
    }
    with("\"path\":\"/a\\u002fb/%2E./Admin?x\"");
    assert_string_equal(text_of(F_PATH), "/a/Admin");
}

static void a_host_has_one_spelling(void **state)
{
    const struct spelling hosts[] =
        {{"Shop.Example", "shop.example"}, {"shop:8080", "shop"}, {"shop.", "shop"},
                                     {"SHOP.:80", "shop"}, {"[::1]:80", "[::1]"}, {"::1", "::1"},
                                         {"", ""},
                                     {"shop:", "shop:"}, {":80", ""}};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        char got[64];
        got[mp_canonical_host(mp_str_of(hosts[i].from), got)] = 0;
        assert_string_equal(got, hosts[i].to);
    }
}

struct moment { const char *text; bool ok; int64_t ns; };

static void times_are_rfc3339_or_seconds(void **state)
{
    const struct moment times[] = {
        {"1970-01-01T00:00:00Z", true, 0},
        {"2026-11-23T10:00:00.123456Z", true, INT64_C(1795428000123456000)},
        {"2026-11-23T12:00:00.123456+02:00", true, INT64_C(1795428000123456000)},
        {"2026-11-23t10:00:00z", true, INT64_C(1795428000) * S},
        {"2026-11-23 10:00:00Z", true, INT64_C(1795428000) * S},
        {"2024-02-29T00:00:00Z", true, INT64_C(1709164800) * S},
        {"2099-12-31T23:59:59.999999999Z", true, INT64_C(4102444799999999999)},
        {"2026-11-23T10:00:00.1234567891234Z", true, INT64_C(1795428000123456789)},
        {"1795428000", true, INT64_C(1795428000) * S},
        {"1795428000.123456789", true, INT64_C(1795428000123456789)},
        {"0", true, 0},
        {"2023-02-29T00:00:00Z", false, 0},
        {"2026-13-01T00:00:00Z", false, 0},
        {"2026-11-23T24:00:00Z", false, 0},
        {"2026-11-23T10:00:00", false, 0},
        {"2026-11-23T10:00:00.Z", false, 0},
        {"2026-11-23T10:00:00+0200", false, 0},
        {"9999-01-01T00:00:00Z", false, 0},
        {"yesterday", false, 0},
        {"1e400", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        int64_t got = -1;
        bool ok = mp_read_time(mp_str_of(times[i].text), &got);
        if (ok != times[i].ok || (ok && got != times[i].ns)) {
            printf("%s: %d %lld\n", times[i].text, ok, (long long)got);
            fail();
        }
    }
}

static void the_frame_of_a_line_is_understood(void **state)
{
    assert_int_equal(line_of("{\"signal\":\"requests\",\"alive\":true}"), MP_INGEST_ALIVE);
    assert_int_equal(out.signal, requests);
    assert_int_equal(line_of("{\"signal\":\"dns\",\"time\":1}"), MP_INGEST_OTHER);
    assert_int_equal(line_of(" \t"), MP_INGEST_OTHER);
    assert_int_equal(line_of("{\"service\":\"a\"}"), MP_INGEST_BAD);
    assert_string_equal(out.why, "no `time`");
    assert_int_equal(mp_ingest_line(ingest, MP_STR("{\"service\":\"a\"}"), 0, 77, &out),
                     MP_INGEST_RECORD);
    assert_int_equal(out.record.time_ns, 77);
    assert_false(out.has_time);
    with("\"weight\":10,\"id\":\"abc\",\"layer\":\"edge\"");
    assert_int_equal(out.record.weight, 10);
    assert_int_equal(out.record.layer, MP_LAYER_EDGE);
    uint64_t id = out.record.id;
    assert_int_not_equal(id, 0);
    with("\"id\":\"abd\"");
    assert_int_not_equal(out.record.id, id);
    assert_int_equal(with("\"weight\":0"), MP_INGEST_BAD);
    assert_int_equal(with("\"weight\":\"x\""), MP_INGEST_BAD);
    assert_int_equal(line_of("{\"signal\":\"cpu\",\"time\":5,\"service\":\"a\",\"value\":\"93%\"}"),
                     MP_INGEST_RECORD);
    assert_int_equal(out.record.signal, cpu);
    assert_true(mp_value_as_num(out.record.field[1]) == 0.93);
    assert_int_equal(with("\"service\":\"last\",\"status\":1,\"status\":2"), MP_INGEST_RECORD);
    assert_string_equal(text_of(F_SERVICE), "last");
    assert_int_equal(int_of(F_STATUS), 2);
}

static void a_refused_request_is_a_record_of_refusals(void **state)
{
    assert_int_equal(with("\"refused_by\":\"block_abusive\""), MP_INGEST_RECORD);
    assert_int_equal(out.record.signal, requests + 1);
    assert_true(mp_str_eq(out.record.refused_by, MP_STR("block_abusive")));
    assert_string_equal(text_of(1), "block_abusive");
}

static void a_line_of_inventory_names_an_entity(void **state)
{
    assert_int_equal(
        line_of("{\"entity\":\"service\",\"name\":\"checkout\",\"tier\":\"critical\","
                "\"callers\":[\"web\",\"cart\"],\"labels\":{\"team\":\"pay\"},\"color\":\"red\"}"),
        MP_INGEST_ENTITY);
    assert_int_equal(out.entity->entity, service);
    assert_true(mp_value_text_eq(out.entity->key, mp_value_text(MP_STR("checkout"))));
    assert_int_equal(out.entity->attr_count, 3);
    assert_int_equal(out.entity->attrs[1].value.w[1], 2);
    assert_true(mp_value_text_eq(out.entity->attrs[2].value, mp_value_text(MP_STR("pay"))));
    assert_int_equal(
        line_of("{\"entity\":\"svc\",\"name\":\"a\",\"namespace\":\"prod\",\"tier\":null}"),
        MP_INGEST_ENTITY);
    assert_true(mp_value_text_eq(out.entity->key, mp_value_text(MP_STR("prod/a"))));
    assert_int_equal(out.entity->attr_count, 1);
    assert_false(out.entity->attrs[0].known);
    assert_int_equal(line_of("{\"entity\":\"service\",\"tier\":\"critical\"}"), MP_INGEST_BAD);
    assert_int_equal(line_of("{\"entity\":\"planet\",\"name\":\"x\"}"), MP_INGEST_OTHER);
}

static void an_attribute_of_another_type_is_left_out_and_told_once(void **state)
{
    struct mp_ingest_counts before, after;
    (void)state;
    mp_ingest_counts(ingest, &before);
    assert_int_equal(line_of("{\"entity\":\"service\",\"name\":\"a\",\"tier\":\"critical\"}"),
                     MP_INGEST_ENTITY);
    assert_int_equal(out.odd.len, 0);
    assert_int_equal(
        line_of("{\"entity\":\"service\",\"name\":\"a\",\"tier\":[1],\"callers\":\"web\"}"),
        MP_INGEST_ENTITY);
    assert_int_equal(out.entity->attr_count, 1);
    assert_true(mp_str_eq(out.odd, MP_STR("tier")));
    assert_int_equal(out.odd_type, MP_TYPE_ENUM);
    assert_int_equal(line_of("{\"entity\":\"service\",\"name\":\"b\",\"tier\":[2]}"),
                     MP_INGEST_ENTITY);
    assert_int_equal(out.odd.len, 0); /* it has been told */
    mp_ingest_counts(ingest, &after);
    assert_int_equal(after.bad_values, before.bad_values + 2);
}

static void a_record_can_be_made_field_by_field(void **state)
{
    struct mp_field_in fields[] = {
        {.name = mp_ingest_name(ingest, MP_STR("client")), .kind = MP_FIELD_TEXT,
         .text = MP_STR("10.1.2.3")},
        {.name = mp_ingest_name(ingest, MP_STR("status")), .kind = MP_FIELD_INT, .integer = 500},
        {.name = mp_ingest_name(ingest, MP_STR("latency")), .kind = MP_FIELD_INT,
         .integer = 7 * MS},
        {.name = mp_ingest_name(ingest, MP_STR("share")), .kind = MP_FIELD_NUMBER, .number = 0.5},
        {.name = mp_ingest_name(ingest, MP_STR("path")), .kind = MP_FIELD_TEXT,
         .text = MP_STR("/a/../b")},
        {.name = mp_ingest_name(ingest, MP_STR("weight")), .kind = MP_FIELD_INT, .integer = 4},
        {.name = mp_ingest_name(ingest, MP_STR("mtls")), .kind = MP_FIELD_TEXT,
         .text = MP_STR("maybe")},
    };
    assert_int_equal(mp_ingest_name(ingest, MP_STR("colour")), MP_NONE);
    mp_ingest_fields(ingest, requests, 9 * S, 2, fields, 7, &out.record);
    assert_string_equal(address_of(F_CLIENT), "10.1.2.3");
    assert_int_equal(int_of(F_STATUS), 500);
    assert_int_equal(int_of(F_LATENCY), 7 * MS);
    assert_string_equal(text_of(F_PATH), "/b");
    assert_int_equal(out.record.weight, 4);
    assert_int_equal(out.record.time_ns, 9 * S);
    assert_false(known(F_MTLS));
    assert_string_equal(text_of(F_GREETING), "hello");
}

/* The same values by their places as by their names, presets and canonical forms included. */
static void fields_by_place_are_those_by_name(void **state)
{
    (void)state;
    struct mp_ingest_counts before, after;
    struct mp_field_in fields[] = {
        {.name = F_PATH, .kind = MP_FIELD_TEXT, .text = MP_STR("/a/../b?c")},
        {.name = F_CLIENT, .kind = MP_FIELD_TEXT, .text = MP_STR("10.1.2.3")},
        {.name = F_STATUS, .kind = MP_FIELD_INT, .integer = 500},
        {.name = F_MTLS, .kind = MP_FIELD_TEXT, .text = MP_STR("maybe")},
    };
    mp_ingest_counts(ingest, &before);
    mp_ingest_begin(ingest, requests, 9 * S, &out.record);
    for (int i = 0; i < 4; i++) {
        assert_false(known(fields[i].name));
        mp_ingest_give(ingest, &out.record, &fields[i]);
        assert_int_equal(known(fields[i].name), fields[i].name != F_MTLS);
    }
    assert_false(known(F_GREETING));
    mp_ingest_finish(ingest, &out.record);
    mp_ingest_counts(ingest, &after);
    assert_string_equal(text_of(F_PATH), "/b");
    assert_string_equal(address_of(F_CLIENT), "10.1.2.3");
    assert_int_equal(int_of(F_STATUS), 500);
    assert_string_equal(text_of(F_GREETING), "hello");
    assert_false(known(F_MTLS));
    assert_false(known(F_LATENCY));
    assert_int_equal(out.record.time_ns, 9 * S);
    assert_int_equal(out.record.weight, 1);
    assert_int_equal(after.bad_values - before.bad_values, 1);
    mp_ingest_begin(ingest, requests, 9 * S, &out.record);
    assert_false(known(F_PATH)); /* nothing is left of the one before */
}

static void numbers_field_by_field_have_the_ranges_of_a_line(void **state)
{
    struct mp_ingest_counts before, after;
    struct mp_field_in fields[] = {
        {.name = mp_ingest_name(ingest, MP_STR("status")), .kind = MP_FIELD_INT, .integer = 1000},
        {.name = mp_ingest_name(ingest, MP_STR("weight")),
         .kind = MP_FIELD_INT,
         .integer = INT64_MAX},
        {.name = mp_ingest_name(ingest, MP_STR("share")),
         .kind = MP_FIELD_NUMBER,
         .number = __builtin_inf()},
    };
    mp_ingest_counts(ingest, &before);
    mp_ingest_fields(ingest, requests, 9 * S, 2, fields, 3, &out.record);
    mp_ingest_counts(ingest, &after);
    assert_false(known(F_STATUS));
    assert_int_equal(out.record.weight, 1);
    assert_int_equal(after.bad_values - before.bad_values, 3);
}

/* ---- hostile lines ---- */

static void what_is_no_record_is_bad_with_a_reason(void **state)
{
    const char *lines[] = {
        "garbage", "{", "}", "[]", "null", "{\"time\"}", "{\"time\":}", "{\"time\":1,}", "{,}",
            "{\"time\":1}x",
        "{\"time\":1}{}", "{\"a\":\"\\x\",\"time\":1}", "{\"a\":\"\\u12\",\"time\":1}",
            "{\"a\":\"\\ud800\",\"time\":1}",
        "{\"a\":\"\\u0000\",\"time\":1}", "{\"a\":\"\\udc00\\ud800\",\"time\":1}",
            "{\"a\":01,\"time\":1}",
        "{\"a\":1.,\"time\":1}", "{\"a\":+1,\"time\":1}", "{\"a\":nul,\"time\":1}",
            "{\"a\":\"\xff\",\"time\":1}",
        "{\"a\":\"\xc0\x80\",\"time\":1}", "{\"a\":\"\xed\xa0\x80\",\"time\":1}", "{\"a\":\"x",
            "{\"a\":\"x\\",
        "{\"\\ud800\":1,\"time\":1}", "{\"a\":[1,],\"time\":1}", "{\"a\":[1 2],\"time\":1}",
            "{\"a\" 1}",
        "{\"a\":\"tab\there\",\"time\":1}", "{\"time\":\"soon\"}", "{\"time\":-5}",
            "{\"signal\":7,\"time\":1}",
        "{'a':1}", "{\"time\":1}/*c*/", "\xef\xbb\xbf{\"time\":1}", "{\"a\":-,\"time\":1}",
            "{\"a\":1e,\"time\":1}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (line_of(lines[i]) != MP_INGEST_BAD) {
            printf("taken: %s\n", lines[i]);
            fail();
        }
        assert_non_null(out.why);
        assert_true(out.column <= strlen(lines[i]) + 1);
    }
    assert_int_equal(mp_ingest_line(ingest, (mp_str){"{\"time\":1,\0}", 12}, 0, 0, &out),
                     MP_INGEST_BAD);
    assert_string_equal(out.why, "a NUL byte");
    assert_int_equal(mp_ingest_line(ingest, (mp_str){"{\"a\":\"x\0y\"}", 11}, 0, 0, &out),
                     MP_INGEST_BAD);
    assert_string_equal(out.why, "a control character in a text");
}

static void long_and_deep_lines_are_bounded(void **state)
{
    size_t size = MP_LINE_MAX + 64;
    char *line = malloc(size);
    assert_non_null(line);
    memset(line, 'x', size);
    assert_int_equal(mp_ingest_line(ingest, (mp_str){line, size}, 0, 0, &out), MP_INGEST_BAD);
    assert_string_equal(out.why, "longer than 1 MiB");
    /* A megabyte that is a record, with one long text that has escapes all over. */
    size_t at = 0;
    memcpy(line, "{\"time\":1,\"path\":\"", 18);
    at = 18;
    while (at < MP_LINE_MAX - 8) {
        memcpy(line + at, "\\/", 2);
        at += 2;
    }
    memcpy(line + at, "\"}", 2);
    at += 2;
    assert_int_equal(mp_ingest_line(ingest, (mp_str){line, at}, 0, 0, &out), MP_INGEST_RECORD);
    assert_string_equal(text_of(F_PATH), "/");
    for (int depth = 60; depth < 70; depth++) {
        at = 0;
        memcpy(line, "{\"time\":1,\"a\":", 14);
        at = 14;
        for (int i = 0; i < depth; i++) line[at++] = '[';
        for (int i = 0; i < depth; i++) line[at++] = ']';
        line[at++] = '}';
        bool deep = depth + 1 > MP_LINE_DEPTH_MAX;
        assert_int_equal(mp_ingest_line(ingest, (mp_str){line, at}, 0, 0, &out),
                         deep ? MP_INGEST_BAD : MP_INGEST_RECORD);
    }
    /* A set with more members than a line may have. */
    memcpy(line, "{\"time\":1,\"claims.roles\":[1", 27);
    at = 27;
    for (int i = 0; i < 5000; i++) {
        memcpy(line + at, ",1", 2);
        at += 2;
    }
    memcpy(line + at, "]}", 2);
    assert_int_equal(mp_ingest_line(ingest, (mp_str){line, at + 2}, 0, 0, &out), MP_INGEST_RECORD);
    assert_false(known(F_ROLES));
    /* A name longer than any. */
    memset(line, 'n', 4096);
    memcpy(line, "{\"time\":1,\"", 11);
    memcpy(line + 4096, "\":{\"b\":1}}", 10);
    assert_int_equal(mp_ingest_line(ingest, (mp_str){line, 4106}, 0, 0, &out), MP_INGEST_RECORD);
    free(line);
}

/* ---- jansson is the judge ---- */

static const char *const pieces[] = {
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0041", "\\ud83d\\ude00", "\\n", "1", "-0", "1.5",
        "1e9", "true",
    "false", "null", " ", "\"time\"", "\"a\"", "\"path\"", "\"service\"", "\"client\"",
        "\"claims\"", "\xc3\xa9",
    "\xff", "0", "e", ".", "-", "\"\"", "{\"time\":1,", "\"latency\":\"5ms\"", "}",
};

static void it_takes_what_jansson_takes(void **state)
{
    uint64_t seed = 0x20261125;
    printf("seed %llu\n", (unsigned long long)seed);
    const char *base =
        "{\"time\":1795428000.5,\"service\":\"check\\u006fut\",\"client\":{\"ip\":\"10.0.0.7\"},"
        "\"path\":\"/p\\/q\",\"status\":503,\"claims\":{\"roles\":[\"a\",\"b\"]},"
        "\"x\":[[],{\"y\":null}]}";
    unsigned taken = 0;
    for (int i = 0; i < 60000; i++) {
        char line[512];
        size_t len = strlen(base);
        memcpy(line, base, len);
        unsigned edits = mp_rng_next(&seed) % 4;
        for (unsigned k = 0; k < edits; k++) {
            size_t at = mp_rng_next(&seed) % len;
            const char *piece = pieces[mp_rng_next(&seed) % (sizeof pieces / sizeof pieces[0])];
            size_t n = strlen(piece), cut = mp_rng_next(&seed) % 4;
            if (at + cut > len) cut = len - at;
            memmove(line + at + n, line + at + cut, len - at - cut);
            memcpy(line + at, piece, n);
            len += n - cut;
        }
        json_error_t error;
        json_t *tree = json_loadb(line, len, 0, &error);
        bool object = json_is_object(tree);
        struct mp_json j;
        char path[256];
        mp_json_init(&j, (mp_str){line, len});
        bool mine = mp_json_object(&j, path, sizeof path, NULL, NULL);
        /* Numbers that no double holds are jansson's refusal, not ours. */
        bool range = tree == NULL &&
            (strstr(error.text, "overflow") || strstr(error.text, "too big"));
        if (mine != object && !range) {
            printf("jansson %s, we %s: %.*s\n", object ? "takes" : error.text,
                   mine ? "take" : j.why, (int)len, line);
            fail();
        }
        taken += mine;
        json_t *name = json_object_get(tree, "service");
        if (mine && json_is_string(name) && json_string_length(name) > 0 &&
            json_object_get(tree, "service.name") == NULL &&
            mp_ingest_line(ingest, (mp_str){line, len}, 0, 1, &out) == MP_INGEST_RECORD &&
                out.record.signal == requests) {
            mp_str got = mp_value_as_text(&out.record.field[F_SERVICE]);
            assert_true(known(F_SERVICE));
            assert_int_equal(got.len, json_string_length(name));
            assert_memory_equal(got.ptr, json_string_value(name), got.len);
        }
        json_decref(tree);
    }
    assert_true(taken > 10000);
}

/* ---- lines that look like one before ---- */

static size_t mutate(uint64_t *seed, const char *base, char *line)
{
    size_t len = strlen(base);
    memcpy(line, base, len);
    for (unsigned edits = mp_rng_next(seed) % 3; edits > 0; edits--) {
        size_t at = mp_rng_next(seed) % len;
        const char *piece = pieces[mp_rng_next(seed) % (sizeof pieces / sizeof pieces[0])];
        size_t n = strlen(piece), cut = mp_rng_next(seed) % 4;
        if (at + cut > len) cut = len - at;
        memmove(line + at + n, line + at + cut, len - at - cut);
        memcpy(line + at, piece, n);
        len += n - cut;
    }
    return len;
}

static void same_record(const struct mp_record *a, const struct mp_record *b)
{
    const struct mp_signal_row *signal = &world.p.signal[a->signal];
    assert_int_equal(a->signal, b->signal);
    assert_int_equal(a->time_ns, b->time_ns);
    assert_int_equal(a->weight, b->weight);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->layer, b->layer);
    assert_true(mp_str_eq(a->refused_by, b->refused_by));
    for (uint32_t i = 0; i < signal->fields_count; i++) {
        const struct mp_field_row *f = &world.p.field[signal->fields_at + i];
        bool is_known = (a->known[i / 64] >> (i % 64) & 1) != 0;
        assert_int_equal(is_known, (b->known[i / 64] >> (i % 64) & 1) != 0);
        if (!is_known || (f->flags & MP_FIELD_SET) != 0) continue;
        assert_true(mp_value_eq(mp_type_rep((enum mp_type)f->type), a->field[i], b->field[i]));
    }
}

/* The first remembers what lines look like, the second is made to forget before every line. */
static void a_line_means_the_same_whatever_came_before(void **state)
{
    static const char *const bases[] = {
        "{\"time\":1795428000.5,\"service\":\"checkout\","
        "\"client\":{\"ip\":\"10.0.0.7\",\"asn\":12},"
        "\"path\":\"/p/q\",\"status\":503,\"mtls\":true,\"weight\":2,\"other\":{\"x\":null}}",
        "{\"signal\":\"cpu\",\"time\":\"2026-11-23T10:00:00Z\",\"service\":\"pay\",\"value\":0.25}",
        "{\"time\":1795428001,\"service\":\"web\",\"path\":\"/\\u0061\","
        "\"claims\":{\"roles\":[\"a\"]},\"id\":\"7\"}",
        "{\"entity\":\"service\",\"name\":\"pay\",\"tier\":\"batch\"}",
        "{\"time\":1795428002,\"service\":\"web\",\"status\":200,\"refused_by\":\"r\","
        "\"latency\":-1.5e3} ",
    };
    struct mp_ingest *forgets;
    assert_int_equal(mp_ingest_create(&arena, &world.p, (struct mp_hash_key){1, 2}, &forgets),
                     MP_OK);
    uint64_t seed = 0x20261126;
    printf("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 60000; i++) {
        char line[512];
        size_t len =
            mutate(&seed, bases[mp_rng_next(&seed) % (sizeof bases / sizeof bases[0])], line);
        struct mp_ingested other;
        for (uint32_t k = 0; k < SHAPES; k++) forgets->shapes[k].whole = false;
        enum mp_ingest_kind kind = mp_ingest_line(ingest, (mp_str){line, len}, 0, 1, &out);
        enum mp_ingest_kind want = mp_ingest_line(forgets, (mp_str){line, len}, 0, 1, &other);
        if (kind != want) fail_msg("kind %d, not %d: %.*s", (int)kind, (int)want, (int)len, line);
        assert_int_equal(out.column, other.column);
        if (kind == MP_INGEST_BAD) assert_string_equal(out.why, other.why);
        if (kind == MP_INGEST_RECORD) same_record(&out.record, &other.record);
    }
    struct mp_ingest_counts a, b;
    mp_ingest_counts(ingest, &a);
    mp_ingest_counts(forgets, &b);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.records > 10000);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make, drop)
    const struct CMUnitTest tests[] = {
        CASE(the_line_of_the_issue_becomes_a_record),
        CASE(names_are_nested_or_dotted),
        CASE(headers_are_found_in_any_case_and_joined),
        CASE(arguments_and_cookies_are_all_their_values),
        CASE(sets_have_members),
        CASE(every_form_of_a_value_is_read_as_its_type_says),
        CASE(a_value_that_fits_not_is_counted_and_unknown),
        CASE(a_path_has_one_spelling),
        CASE(a_host_has_one_spelling),
        CASE(times_are_rfc3339_or_seconds),
        CASE(the_frame_of_a_line_is_understood),
        CASE(a_refused_request_is_a_record_of_refusals),
        CASE(a_line_of_inventory_names_an_entity),
        CASE(an_attribute_of_another_type_is_left_out_and_told_once),
        CASE(a_record_can_be_made_field_by_field),
        CASE(fields_by_place_are_those_by_name),
        CASE(numbers_field_by_field_have_the_ranges_of_a_line),
        CASE(what_is_no_record_is_bad_with_a_reason),
        CASE(long_and_deep_lines_are_bounded),
        CASE(it_takes_what_jansson_takes),
        CASE(a_line_means_the_same_whatever_came_before),
    };
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
