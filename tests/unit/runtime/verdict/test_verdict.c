/* SPDX-License-Identifier: Apache-2.0
 * What one request meets, tried with policies as authors write them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "driver/driver.h"
#include "ingest/ingest.h"
#include "verdict/verdict.h"

#define S INT64_C(1000000000)
#define NOW (INT64_C(1700000000) * S)

/* Rules that make the program know the targets; they do nothing here. */
#define TARGETS                                                                                    \
    "mpol 1\npackage t\nuse std.mesh\n"                                                            \
    "rule t1 when error_rate > 50% per svc then quarantine svc for 1m\n"                           \
    "rule t2 when error_rate > 60% per svc then throttle svc to 50% for 1m\n"                      \
    "rule t3 when count(requests) over 1s > 100 per client.ip max 1k then deny client.ip\n"        \
    "rule t4 when count(requests) over 1s > 200 per client.ip max 1k then exempt client\n"

static struct {
    struct mp_arena arena;
    struct mp_os os;
    struct mp_compilation *compilation;
    struct mp_program *program;
    struct mp_inproc *inproc;
    struct mp_inproc_reader *reader;
    struct mp_verdict_buckets *buckets;
    struct mp_verdict_plan *plan;
    struct mp_verdict_scratch *scratch;
    struct mp_ingest *ingest;
    struct mp_inventory *inventory;
    struct mp_verdict_answer answer;
    struct mpol_lease leases[8];
    struct mpol_arg args[8];
    size_t lease_count;
    uint64_t revision;
} f;

static void begin(const char *policy)
{
    memset(&f, 0, sizeof f);
    mp_arena_init(&f.arena, NULL, 0);
    struct mp_compile_text text = {MP_STR("t.mpol"), mp_str_of(policy), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &f.os};
    enum mp_err err = mp_compile(&text, 1, &options, &f.compilation);
    if (f.compilation != NULL && mp_compilation_errors(f.compilation) > 0) {
        struct mp_buf out;
        mp_buf_init(&out, &f.arena);
        mp_diags_print_text(mp_compilation_diags(f.compilation),
                            mp_compilation_sources(f.compilation), (struct mp_diag_style){0}, &out);
        fail_msg("%.*s", MP_STR_ARG(mp_buf_view(&out)));
    }
    assert_int_equal(err, MP_OK);
    mp_str image = mp_compilation_image(f.compilation);
    const char *why = "";
    if (mp_program_load(image.ptr, image.len, &f.os, &f.program, &why) != MP_OK)
        fail_msg("%s", why);

    struct mp_hash_key key = {7, 8};
    struct mp_inproc_limits limits = {.leases = 16, .readers = 2, .cuts = true};
    assert_int_equal(mp_inproc_create(&f.arena, limits, key, &f.inproc), MP_OK);
    assert_int_equal(mp_inproc_reader_open(f.inproc, &f.reader), MP_OK);
    assert_int_equal(mp_verdict_buckets_create(&f.arena, 1024, key, &f.buckets), MP_OK);
    assert_int_equal(mp_verdict_plan_create(&f.arena, f.program, f.inproc, f.buckets, &f.plan,
                                            NULL),
                     MP_OK);
    assert_int_equal(mp_verdict_scratch_create(&f.arena, f.plan, &f.scratch), MP_OK);
    assert_int_equal(mp_ingest_create(&f.arena, f.program, key, &f.ingest), MP_OK);
    struct mp_inventory_limits small = {.members = 64, .relations = 64, .text_bytes = 65536};
    assert_int_equal(mp_inventory_create(&f.arena, f.program, &small, key, &f.inventory), MP_OK);
}

static void end(void)
{
    mp_program_free(f.program);
    mp_compilation_free(f.compilation);
    mp_arena_free(&f.arena);
}

static void put_in_force(void)
{
    struct mpol_desired set = {.size = sizeof set,
                               .revision = ++f.revision,
                               .owner = mpol_text("t"),
                               .leases = f.leases,
                               .lease_count = f.lease_count};
    assert_int_equal(mp_inproc_ops.apply(f.inproc, &set), MPOL_OK);
}

static struct mpol_lease *lease(const char *verb, const char *kind, const char *type,
                                const char *target)
{
    size_t i = f.lease_count++;
    f.leases[i] = (struct mpol_lease){
        .size = sizeof f.leases[i], .id = i + 1, .incident = 100 + i, .rule = mpol_text("a_rule"),
        .verb = mpol_text(verb), .target_kind = mpol_text(kind), .target_type = mpol_text(type),
        .target = mpol_text(target), .hooks = MPOL_SERVICE, .begins_wall_ns = NOW,
        .ends_wall_ns = NOW + 30 * S};
    put_in_force();
    return &f.leases[i];
}

static void throttle(const char *target, const char *type, double to)
{
    size_t i = f.lease_count++;
    f.args[i] = (struct mpol_arg){.name = mpol_text("to"), .type = mpol_text(type),
                                  .kind = MPOL_ARG_NUMBER, .number = to};
    f.leases[i] = (struct mpol_lease){
        .size = sizeof f.leases[i], .id = i + 1, .incident = 100 + i, .rule = mpol_text("a_rule"),
        .verb = mpol_text("throttle"), .target_kind = mpol_text("service"),
        .target_type = mpol_text("string"), .target = mpol_text(target), .hooks = MPOL_SERVICE,
        .args = &f.args[i], .arg_count = 1};
    put_in_force();
}

static void inventory(const char *line)
{
    struct mp_ingested in;
    assert_int_equal(mp_ingest_line(f.ingest, mp_str_of(line), 0, NOW, &in), MP_INGEST_ENTITY);
    assert_int_equal(mp_inventory_put(f.inventory, in.entity), MP_OK);
}

/* Asks at `at_ns` after NOW about a request with these fields as JSON, without the braces. */
static bool ask_at(int64_t at_ns, const char *fields)
{
    char line[1024];
    struct mp_ingested in;
    snprintf(line, sizeof line, "{\"signal\":\"requests\",%s}", fields);
    assert_int_equal(mp_ingest_line(f.ingest, mp_str_of(line), 0, NOW + at_ns, &in),
                     MP_INGEST_RECORD);
    const struct mp_inproc_view *view = mp_inproc_enter(f.reader);
    mp_verdict_ask(f.plan, f.buckets, view, f.inventory, &in.record, f.scratch, &f.answer);
    mp_inproc_leave(f.reader);
    return f.answer.allow;
}

static bool ask(const char *fields) { return ask_at(0, fields); }

static bool decided_by(const char *rule) { return mp_str_eq(f.answer.rule, mp_str_of(rule)); }

#define WEB "\"service\":\"web\",\"instance\":\"web-1\",\"client\":{\"ip\":\"10.0.0.7\"}"
#define OTHER "\"service\":\"web\",\"instance\":\"web-1\",\"client\":{\"ip\":\"10.0.0.8\"}"

/* ---- leases ---- */

static void what_nothing_concerns_passes(void **state)
{
    (void)state;
    begin(TARGETS);
    assert_true(ask(WEB));
    assert_int_equal(f.answer.reason, MP_VERDICT_REASON_NONE);
    end();
}

static void a_denied_client_is_refused_and_no_other(void **state)
{
    (void)state;
    begin(TARGETS);
    lease("deny", "client", "ip", "10.0.0.7");
    assert_false(ask(WEB));
    assert_int_equal(f.answer.status, 403);
    assert_int_equal(f.answer.incident, 100);
    assert_int_equal(f.answer.retry_after_ns, 30 * S);
    assert_true(decided_by("a_rule"));
    assert_true(ask(OTHER));
    end();
}

static void a_lease_holds_where_it_says(void **state)
{
    (void)state;
    begin(TARGETS);
    lease("deny", "client", "ip", "10.0.0.7"); /* at the service */
    assert_true(ask(WEB ",\"layer\":\"ingress\""));
    assert_false(ask(WEB ",\"layer\":\"service\""));
    end();
}

static void quarantine_refuses_both_directions(void **state)
{
    (void)state;
    begin(TARGETS);
    lease("quarantine", "service", "string", "checkout");
    assert_false(
        ask("\"service\":\"checkout\",\"caller\":\"web\",\"client\":{\"ip\":\"10.0.0.7\"}"));
    assert_false(
        ask("\"service\":\"bank\",\"caller\":\"checkout\",\"client\":{\"ip\":\"10.0.0.7\"}"));
    assert_true(ask("\"service\":\"bank\",\"caller\":\"web\",\"client\":{\"ip\":\"10.0.0.7\"}"));
    end();
}

static void exempt_passes_all_denials(void **state)
{
    (void)state;
    begin(TARGETS "rule no when request.path == \"/no\" then deny request\n");
    lease("quarantine", "service", "string", "web");
    lease("exempt", "client", "ip", "10.0.0.7");
    assert_true(ask(WEB ",\"path\":\"/no\""));
    assert_int_equal(f.answer.reason, MP_VERDICT_REASON_EXEMPT);
    assert_false(ask(OTHER ",\"path\":\"/yes\""));
    end();
}

static void half_of_the_requests_pass_a_throttle_to_half(void **state)
{
    (void)state;
    begin(TARGETS);
    throttle("web", "percent", 0.5);
    unsigned passed = 0;
    for (int i = 0; i < 100; i++) passed += ask(i % 2 == 0 ? WEB : OTHER);
    assert_int_equal(passed, 50);
    assert_int_equal(f.answer.status == 429 || f.answer.status == 0, 1);
    end();
}

static void of_two_throttles_on_one_target_the_stricter_holds(void **state)
{
    (void)state;
    begin(TARGETS);
    throttle("web", "percent", 0.5);
    throttle("web", "percent", 0.25);
    unsigned passed = 0;
    for (int i = 0; i < 100; i++) passed += ask(WEB);
    assert_int_equal(passed, 25); /* not an eighth: they join, they do not multiply */
    end();
}

static void percent_and_rate_on_one_target_hold_both(void **state)
{
    (void)state;
    begin(TARGETS);
    throttle("web", "percent", 0.5);
    throttle("web", "rate", 10);
    unsigned passed = 0;
    for (int i = 0; i < 100; i++) passed += ask(WEB);
    assert_int_equal(passed, 10);
    end();
}

/* ---- any leases, against what R31 says, word for word ---- */

struct picked {
    unsigned service, caller, client, layer;
};

static bool meets(const struct mpol_lease *l, const struct picked *q, bool *as_caller)
{
    char name[16];
    *as_caller = false;
    if ((l->hooks & q->layer) == 0) return false;
    bool client = l->target_kind.len == 6;
    snprintf(name, sizeof name, client ? "10.0.0.%u" : "s%u", client ? q->client : q->service);
    if (strcmp(l->target.ptr, name) == 0) return true;
    snprintf(name, sizeof name, "s%u", q->caller);
    *as_caller = !client && strcmp(l->target.ptr, name) == 0;
    return *as_caller;
}

static bool passes_by_the_book(const struct picked *q)
{
    bool denied = false;
    for (size_t i = 0; i < f.lease_count; i++) {
        const struct mpol_lease *l = &f.leases[i];
        bool as_caller;
        if (!meets(l, q, &as_caller)) continue;
        bool quarantine = l->verb.ptr[0] == 'q', exempt = l->verb.ptr[0] == 'e';
        if (as_caller && !quarantine) continue;
        if (exempt) return true;
        denied = true;
    }
    return !denied;
}

static void any_leases_answer_as_the_book_says(void **state)
{
    (void)state;
    static const struct { const char *verb, *kind, *type; } can[] = {
        {"deny", "client", "ip"}, {"quarantine", "service", "string"},
        {"exempt", "client", "ip"}, {"exempt", "service", "string"}};
    uint64_t dice = 20261125;
    unsigned refused = 0;
    char targets[8][16], fields[192];
    begin(TARGETS "rule t5 when error_rate > 70% per svc then exempt svc\n");
    for (int round = 0; round < 2000; round++) {
        f.lease_count = mp_rng_next(&dice) % 8;
        for (size_t i = 0; i < f.lease_count; i++) {
            unsigned c = (unsigned)(mp_rng_next(&dice) >> 33) % 4;
            snprintf(targets[i], sizeof targets[i], can[c].kind[0] == 'c' ? "10.0.0.%u" : "s%u",
                     (unsigned)(mp_rng_next(&dice) >> 33) % 4);
            f.leases[i] = (struct mpol_lease){
                .size = sizeof f.leases[i], .id = i + 1, .incident = i + 1, .rule = mpol_text("r"),
                .verb = mpol_text(can[c].verb), .target_kind = mpol_text(can[c].kind),
                .target_type = mpol_text(can[c].type), .target = mpol_text(targets[i]),
                .hooks = 1 + (unsigned)(mp_rng_next(&dice) >> 33) % 3};
        }
        put_in_force();
        for (int i = 0; i < 16; i++) {
            uint64_t r = mp_rng_next(&dice) >> 24;
            struct picked q = {r % 4, r / 4 % 4, r / 16 % 4,
                               r / 64 % 2 == 0 ? MPOL_INGRESS : MPOL_SERVICE};
            snprintf(
                fields, sizeof fields,
                "\"service\":\"s%u\",\"caller\":\"s%u\","
                "\"client\":{\"ip\":\"10.0.0.%u\"},\"layer\":\"%s\"",
                q.service, q.caller, q.client, q.layer == MPOL_INGRESS ? "ingress" : "service");
            bool allow = ask(fields);
            if (allow != passes_by_the_book(&q)) fail_msg("round %d: %s", round, fields);
            refused += !allow;
        }
    }
    assert_in_range(refused, 4000, 28000); /* the dice try both answers */
    end();
}

/* ---- inline rules ---- */

static void an_inline_rule_answers_by_itself(void **state)
{
    (void)state;
    begin(TARGETS "rule no at service when request.path like \"/admin*\" then deny request\n");
    assert_false(ask(WEB ",\"path\":\"/admin/x\""));
    assert_true(decided_by("no"));
    assert_int_equal(f.answer.reason, MP_VERDICT_REASON_INLINE);
    assert_int_equal(f.answer.incident, 0);
    assert_int_equal(f.answer.fired_count, 1);
    assert_true(f.answer.fired[0].refused);
    assert_true(ask(WEB ",\"path\":\"/\""));
    assert_true(ask(WEB ",\"path\":\"/admin/x\",\"layer\":\"ingress\""));
    end();
}

static void of_equal_verbs_the_first_name_gives_the_status(void **state)
{
    (void)state;
    begin(TARGETS "rule b when request.path == \"/x\" then deny request with status = 410\n"
                  "rule a when request.method == \"GET\" then deny request with status = 451\n"
                  "rule c when request.path == \"/x\" then refuse request with status = 402\n");
    assert_false(ask(WEB ",\"path\":\"/x\",\"method\":\"GET\""));
    assert_int_equal(f.answer.status, 451);
    assert_false(ask(WEB ",\"path\":\"/x\",\"method\":\"PUT\""));
    assert_int_equal(f.answer.status, 410);
    end();
}

static void closed_unless_allowed_denied_whatever_is_allowed(void **state)
{
    (void)state;
    begin(TARGETS "rule closed when request.path starts with \"/api\" then refuse request\n"
                  "rule known when request.consumer == \"acme\" then allow request\n"
                  "rule never_ when request.method == \"TRACE\" then deny request\n");
    assert_false(ask(WEB ",\"path\":\"/api/1\",\"method\":\"GET\""));
    assert_true(ask(WEB ",\"path\":\"/api/1\",\"method\":\"GET\",\"consumer\":\"acme\""));
    assert_false(ask(WEB ",\"path\":\"/api/1\",\"method\":\"TRACE\",\"consumer\":\"acme\""));
    assert_true(ask(WEB ",\"path\":\"/other\",\"method\":\"GET\""));
    end();
}

static void an_inline_throttle_has_a_bucket_per_key(void **state)
{
    (void)state;
    begin(TARGETS "rule slow when request.path == \"/x\" per client.ip max 1k "
                  "then throttle request to 60/min with burst = 3\n");
    unsigned one = 0, other = 0;
    for (int i = 0; i < 10; i++) {
        one += ask(WEB ",\"path\":\"/x\"");
        other += ask(OTHER ",\"path\":\"/x\"");
    }
    assert_int_equal(one, 3);
    assert_int_equal(other, 3);
    assert_false(ask_at(S / 2, WEB ",\"path\":\"/x\""));
    assert_int_equal(f.answer.status, 429);
    assert_int_equal(f.answer.retry_after_ns, S / 2);
    assert_true(ask_at(S, WEB ",\"path\":\"/x\""));
    assert_true(ask(WEB ",\"path\":\"/y\""));
    end();
}

static void a_rule_has_no_more_buckets_than_it_says(void **state)
{
    (void)state;
    begin(TARGETS "rule slow when request.path == \"/x\" per client.ip max 3 "
                  "then throttle request to 60/min with burst = 1\n");
    char fields[128];
    for (int i = 0; i < 6; i++) {
        snprintf(fields, sizeof fields,
                 "\"service\":\"web\",\"client\":{\"ip\":\"10.0.1.%d\"},\"path\":\"/x\"", i);
        assert_true(ask(fields));
        /* who has no bucket is let through: @fail says nothing */
        assert_int_equal(ask(fields), i >= 3);
    }
    /* Buckets that are full again make room for others. */
    for (int i = 0; i < 40; i++) {
        snprintf(fields, sizeof fields,
                 "\"service\":\"web\",\"client\":{\"ip\":\"10.0.2.%d\"},\"path\":\"/x\"", i % 2);
        ask_at(10 * S, fields);
    }
    assert_false(ask_at(10 * S, fields));
    end();
}

static void no_token_is_taken_unless_all_have_one(void **state)
{
    (void)state;
    begin(TARGETS "rule slow when request.path == \"/x\" per client.ip max 1k "
                  "then throttle request to 60/min with burst = 2\n");
    throttle("web", "percent", 0);
    for (int i = 0; i < 5; i++) assert_false(ask(WEB ",\"path\":\"/x\""));
    f.lease_count = 0;
    put_in_force();
    assert_true(ask(WEB ",\"path\":\"/x\""));
    assert_true(ask(WEB ",\"path\":\"/x\""));
    assert_false(ask(WEB ",\"path\":\"/x\""));
    end();
}

static void a_shadow_rule_counts_and_refuses_nothing(void **state)
{
    (void)state;
    begin(TARGETS "rule no mode shadow when request.path == \"/x\" then deny request\n");
    assert_true(ask(WEB ",\"path\":\"/x\""));
    assert_int_equal(f.answer.fired_count, 1);
    assert_false(f.answer.fired[0].refused);
    end();
}

static void a_request_is_sent_elsewhere(void **state)
{
    (void)state;
    begin(
        TARGETS
        "rule b when request.path == \"/x\" then send request to \"decoy\"\n"
        "rule a when request.method == \"PUT\" then send request "
        "to \"a place with a long name\"\n");
    assert_true(ask(WEB ",\"path\":\"/x\""));
    assert_true(mp_str_eq(f.answer.send_to, MP_STR("decoy")));
    assert_true(ask(WEB ",\"path\":\"/x\",\"method\":\"PUT\""));
    assert_true(mp_str_eq(f.answer.send_to, MP_STR("a place with a long name")));
    assert_true(ask(WEB ",\"path\":\"/y\""));
    assert_int_equal(f.answer.send_to.len, 0);
    end();
}

static void an_attribute_from_the_inventory_decides(void **state)
{
    (void)state;
    begin(TARGETS "rule no when svc.tier is batch then deny request\n");
    inventory("{\"entity\":\"service\",\"name\":\"nightly\",\"tier\":\"batch\"}");
    assert_false(ask("\"service\":\"nightly\",\"client\":{\"ip\":\"10.0.0.7\"}"));
    assert_true(ask(WEB));
    end();
}

/* ---- guards ---- */

static void a_guard_passes_denials_and_throttles(void **state)
{
    (void)state;
    begin(TARGETS "rule no when request.method == \"GET\" then deny request\n"
                  "never deny request where request.path == \"/healthz\"\n");
    assert_true(ask(WEB ",\"path\":\"/healthz\",\"method\":\"GET\""));
    assert_int_equal(f.answer.reason, MP_VERDICT_REASON_GUARD);
    assert_false(ask(WEB ",\"path\":\"/\",\"method\":\"GET\""));
    lease("quarantine", "service", "string", "web");
    assert_true(ask(WEB ",\"path\":\"/healthz\",\"method\":\"GET\""));
    assert_false(ask(WEB ",\"path\":\"/\",\"method\":\"PUT\""));
    end();
}

static void a_promise_about_throttles_is_not_one_about_denials(void **state)
{
    (void)state;
    begin(TARGETS "rule no when request.path == \"/x\" then deny request\n"
                  "never throttle request where request.method == \"GET\"\n");
    throttle("web", "percent", 0);
    assert_true(ask(WEB ",\"path\":\"/y\",\"method\":\"GET\""));
    assert_false(ask(WEB ",\"path\":\"/x\",\"method\":\"GET\""));
    assert_int_equal(f.answer.status, 403);
    assert_false(ask(WEB ",\"path\":\"/y\",\"method\":\"PUT\""));
    end();
}

static void leaving_a_field_out_is_no_pass(void **state)
{
    (void)state;
    begin(TARGETS "rule no when request.path == \"/x\" then deny request\n"
                  "list friends: identity = [ spiffe://shop/* ]\n"
                  "never deny request where request.peer in friends\n");
    assert_true(ask(WEB ",\"path\":\"/x\",\"peer\":\"spiffe://shop/ns/a/sa/b\""));
    assert_false(ask(WEB ",\"path\":\"/x\",\"peer\":\"spiffe://else/ns/a/sa/b\""));
    assert_false(ask(WEB ",\"path\":\"/x\""));
    end();
}

static void what_nobody_told_us_protects(void **state)
{
    (void)state;
    begin(TARGETS "rule no when request.path == \"/x\" then deny request\n"
                  "never deny request where client.country == \"CH\"\n");
    inventory("{\"entity\":\"client\",\"ip\":\"10.0.0.8\",\"country\":\"AT\"}");
    assert_true(ask(WEB ",\"path\":\"/x\"")); /* its country is not known: because of us */
    assert_false(ask(OTHER ",\"path\":\"/x\""));
    end();
}

/* ---- open streams ---- */

/* May a stream that is open since `began_ns` after NOW go on? */
static bool goes_on(int64_t began_ns, const char *fields)
{
    char line[1024];
    struct mp_ingested in;
    snprintf(line, sizeof line, "{\"signal\":\"requests\",%s}", fields);
    assert_int_equal(mp_ingest_line(f.ingest, mp_str_of(line), 0, NOW + 5 * S, &in),
                     MP_INGEST_RECORD);
    const struct mp_inproc_view *view = mp_inproc_enter(f.reader);
    mp_verdict_recheck(f.plan, view, f.inventory, &in.record, NOW + began_ns, f.scratch, &f.answer);
    mp_inproc_leave(f.reader);
    return f.answer.allow;
}

static void a_cut_ends_what_began_before_it(void **state)
{
    (void)state;
    begin(TARGETS "never deny request where request.path == \"/healthz\"\n");
    lease("cut", "service", "string", "web");
    assert_false(goes_on(-1, WEB ",\"path\":\"/x\""));
    assert_true(mp_str_eq(f.answer.verb, MP_STR("cut")));
    assert_true(mp_str_eq(f.answer.rule, MP_STR("a_rule")));
    assert_true(goes_on(0, WEB ",\"path\":\"/x\""));
    assert_true(goes_on(-1, WEB ",\"path\":\"/healthz\"")); /* the guard */
    assert_true(ask(WEB ",\"path\":\"/x\""));               /* what begins is not its matter */
    lease("exempt", "client", "ip", "10.0.0.7");
    assert_true(goes_on(-1, WEB ",\"path\":\"/x\""));
    lease("quarantine", "service", "string", "web");
    assert_false(goes_on(1, OTHER ",\"path\":\"/x\""));
    assert_true(mp_str_eq(f.answer.verb, MP_STR("quarantine")));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_ends_what_began_before_it),
        cmocka_unit_test(what_nothing_concerns_passes),
        cmocka_unit_test(a_denied_client_is_refused_and_no_other),
        cmocka_unit_test(a_lease_holds_where_it_says),
        cmocka_unit_test(quarantine_refuses_both_directions),
        cmocka_unit_test(exempt_passes_all_denials),
        cmocka_unit_test(half_of_the_requests_pass_a_throttle_to_half),
        cmocka_unit_test(of_two_throttles_on_one_target_the_stricter_holds),
        cmocka_unit_test(percent_and_rate_on_one_target_hold_both),
        cmocka_unit_test(any_leases_answer_as_the_book_says),
        cmocka_unit_test(an_inline_rule_answers_by_itself),
        cmocka_unit_test(of_equal_verbs_the_first_name_gives_the_status),
        cmocka_unit_test(closed_unless_allowed_denied_whatever_is_allowed),
        cmocka_unit_test(an_inline_throttle_has_a_bucket_per_key),
        cmocka_unit_test(a_rule_has_no_more_buckets_than_it_says),
        cmocka_unit_test(no_token_is_taken_unless_all_have_one),
        cmocka_unit_test(a_shadow_rule_counts_and_refuses_nothing),
        cmocka_unit_test(a_request_is_sent_elsewhere),
        cmocka_unit_test(an_attribute_from_the_inventory_decides),
        cmocka_unit_test(a_guard_passes_denials_and_throttles),
        cmocka_unit_test(a_promise_about_throttles_is_not_one_about_denials),
        cmocka_unit_test(leaving_a_field_out_is_no_pass),
        cmocka_unit_test(what_nobody_told_us_protects),
    };
    return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
