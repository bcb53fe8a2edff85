/* SPDX-License-Identifier: Apache-2.0
 * A flood of clients: how many of them one rule can hold, and what is told where there is no room
 * for more.
 */
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What only pretends takes the same room, and no backend has to be told each time. */
static const char flood[] =
    "use std.mesh\nrule flood mode shadow\n"
    "when count(requests where status == 404) over 30s >= 2 for 5s per client.ip max 100k\n"
    "then deny client.ip for 10m\n";

/* No transition is written down: there are many. */
static void open_flood(struct loop *l, const struct mp_engine_limits *limits)
{
    struct mp_engine_options options = {
        .clock = MP_ENGINE_TEST, .hash_key = {1, 2}, .now_ns = T0, .mono_ns = T0};
    if (limits != NULL) options.limits = *limits;
    loop_open(l, flood, true, MP_ENGINE_TEST);
    mp_engine_destroy(l->engine);
    struct mp_engine_sinks none = {0};
    assert_int_equal(mp_engine_create(l->program, &l->os, &options, &none, &l->engine), MP_OK);
}

/* Clients `from` to `to` probe, and `hold` seconds later it is now. */
static void probe(struct loop *l, uint32_t from, uint32_t to, double hold)
{
    for (uint32_t i = from; i < to; i++) {
        char json[256];
        snprintf(json, sizeof json,
                 "{\"signal\":\"requests\",\"service\":\"a\",\"instance\":\"a-1\","
                 "\"client\":\"10.%u.%u.%u\",\"method\":\"GET\",\"path\":\"/\","
                 "\"status\":404}",
                 i >> 16, i >> 8 & 255, i & 255);
        loop_line(l, json);
        loop_line(l, json);
    }
    loop_at(l, (double)(l->t - T0) / SEC + hold);
}

static struct mp_engine_status status_of(const struct loop *l)
{
    struct mp_engine_status s;
    mp_engine_status(l->engine, &s);
    return s;
}

static void one_rule_denies_ten_thousand_clients(void **state)
{
    (void)state;
    struct loop l;
    open_flood(&l, NULL);
    loop_at(&l, 0);
    probe(&l, 0, 10000, 6);
    struct mp_engine_status s = status_of(&l);
    assert_int_equal(s.leases_live, 10000);
    assert_int_equal(s.incidents_open, 10000);
    assert_int_equal(s.refused_leases + s.refused_incidents, 0);
    /* They go again, in whatever order. */
    assert_int_equal(mp_engine_release_all(l.engine), 10000);
    assert_int_equal(status_of(&l).leases_live, 0);
    loop_close(&l);
}

static bool has(mp_str in, const char *text)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%.*s", MP_STR_ARG(in));
    return strstr(copy, text) != NULL;
}

static void told(void *ctx, const struct mp_why_line *line)
{
    bool *seen = ctx;
    *seen |= has(line->text, "no room for more than 192 leases of one rule");
}

static bool says_room(void *ctx, uint64_t seq, mp_str json)
{
    uint32_t *count = ctx;
    (void)seq;
    *count += has(json, "\"room\":\"no room for more than 192 leases of one rule\"");
    return true;
}

static void who_is_over_the_room_is_told_why(void **state)
{
    (void)state;
    struct loop l;
    struct mp_engine_full full;
    struct mp_engine_limits limits = {.leases = 256};
    bool last = false, first = false;
    open_flood(&l, &limits);
    loop_at(&l, 0);
    probe(&l, 0, 192, 6);
    mp_engine_full(l.engine, &full);
    assert_int_equal(full.time_ns, 0);
    probe(&l, 192, 193, 6);
    mp_engine_full(l.engine, &full);
    assert_int_equal(full.most, 192);
    assert_true(full.of_one && !full.incidents && mp_str_eq(full.rule, MP_STR("flood")));
    mp_engine_why(l.engine, MP_STR("flood"), MP_STR("10.0.0.192"), &last, told);
    mp_engine_why(l.engine, MP_STR("flood"), MP_STR("10.0.0.1"), &first, told);
    assert_true(last);
    assert_false(first);
    uint32_t entries = 0;
    mp_engine_entries(l.engine, 0, &entries, says_room);
    assert_int_equal(entries, 1);
    loop_close(&l);
}

struct order {
    uint32_t count, most;
    char last[64];
    size_t last_len;
};

static bool in_order(void *ctx, const struct mp_incident_view *i)
{
    struct order *o = ctx;
    struct mp_value a, b;
    assert_true(mp_value_read(MP_TYPE_IP, i->key, &b));
    if (o->count > 0) {
        assert_true(mp_value_read(MP_TYPE_IP, (mp_str){o->last, o->last_len}, &a));
        assert_true(mp_value_cmp(MP_REP_A, a, b) < 0);
    }
    memcpy(o->last, i->key.ptr, i->key.len);
    o->last_len = i->key.len;
    return ++o->count < o->most;
}

static void incidents_are_told_in_order_and_as_many_as_are_asked_for(void **state)
{
    (void)state;
    struct loop l;
    struct order all = {.most = UINT32_MAX}, some = {.most = 7};
    open_flood(&l, NULL);
    loop_at(&l, 0);
    probe(&l, 500, 1000, 1);
    probe(&l, 0, 500, 6);
    mp_engine_incidents(l.engine, &all, in_order);
    assert_int_equal(all.count, 1000);
    mp_engine_incidents(l.engine, &some, in_order);
    assert_int_equal(some.count, 7);
    loop_close(&l);
}

static void beyond_1024_decisions_by_hand_the_answer_names_the_limit_and_a_way_out(void **state)
{
    (void)state;
    struct loop l;
    struct mp_manual_answer a;
    open_flood(&l, NULL);
    for (uint32_t i = 0; i <= 1024; i++) {
        char target[64];
        int len = snprintf(target, sizeof target, "client.ip=10.0.%u.%u", i >> 8, i & 255);
        struct mp_manual ask = {.verb = MP_STR("deny"), .target = {target, (size_t)len},
                                .who = MP_STR("me"), .reason = MP_STR("many")};
        mp_engine_decide(l.engine, &ask, &a);
        assert_int_equal(a.how, i < 1024 ? MP_MANUAL_DONE : MP_MANUAL_WITHHELD);
    }
    assert_true(has(a.why, "1024 decisions by hand"));
    assert_true(has(a.why, "a rule with a list"));
    assert_int_equal(a.lease, 0);
    loop_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rule_denies_ten_thousand_clients),
        cmocka_unit_test(who_is_over_the_room_is_told_why),
        cmocka_unit_test(beyond_1024_decisions_by_hand_the_answer_names_the_limit_and_a_way_out),
        cmocka_unit_test(incidents_are_told_in_order_and_as_many_as_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
