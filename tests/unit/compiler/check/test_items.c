/* SPDX-License-Identifier: Apache-2.0
 * Rules, actions, guards and tests, as the checker reads them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "checked.h"

#define MESH "use std.mesh\n"

static const struct mp_t_act *act(const struct mp_t_rule *r, uint32_t step, uint32_t i)
{
    assert_true(step < r->step_count && i < r->steps[step].act_count);
    return &r->steps[step].acts[i];
}

static void assert_text(mp_str got, const char *wanted)
{
    if (!mp_str_eq(got, mp_str_of(wanted))) {
        print_error("wanted \"%s\", got \"%.*s\"\n", wanted, MP_STR_ARG(got));
        fail();
    }
}

static const struct mp_t_expr *argument(const struct mp_t_act *a, const char *name)
{
    for (uint32_t i = 0; i < a->arg_count; i++) {
        if (mp_str_eq(a->args[i].name, mp_str_of(name))) return a->args[i].value;
    }
    return NULL;
}

/* ---- kinds and keys ---- */

static void the_smallest_rule_runs_per_service_and_is_named_by_its_condition(void **state)
{
    struct checked c;
    checked_open(&c, MESH
                 "param x: percent = 5% in 1%..50%\nwhen error_rate > x then quarantine svc\n");
    assert_string_equal(checked_codes(&c), "");
    assert_int_equal(c.typed->rules.len, 1);
    const struct mp_t_rule *r = c.typed->rules.ptr[0];
    assert_int_equal(r->kind, MP_RULE_LOOP);
    assert_true(r->flags & MP_RULE_ANONYMOUS);
    assert_int_equal(r->name.len, 13);
    assert_true(mp_str_starts(r->name, MP_STR("when_")));
    assert_int_equal(r->keys->count, 1);
    assert_text(r->keys->keys[0].name, "svc");
    assert_int_equal(r->layers, MP_LAYER_SERVICE);
    const struct mp_t_act *a = act(r, 0, 0);
    assert_text(a->action->name, "quarantine");
    assert_int_equal(a->target_kind, MP_TARGET_LEASE);
    assert_int_equal(a->duration_ns, 600000000000);
    assert_int_equal(a->hooks, MP_LAYER_ALL); /* it has no `on` */
    checked_close(&c);
    (void)state;
}

static void the_name_of_an_unnamed_rule_does_not_depend_on_layout(void **state)
{
    struct checked a, b;
    checked_open(&a, MESH "when error_rate > 5% then quarantine svc\n");
    checked_open(&b, MESH "when   error_rate>5%  # so\n then notify \"{svc}\"\n");
    assert_string_equal(checked_codes(&a), "");
    assert_string_equal(checked_codes(&b), "");
    assert_true(mp_str_eq(a.typed->rules.ptr[0]->name, b.typed->rules.ptr[0]->name));
    checked_close(&a);
    checked_close(&b);
    assert_codes(
        MESH "when error_rate > 5% then quarantine svc\nwhen error_rate > 5% then notify \"x\"\n",
        "E0103");
    (void)state;
}

static void a_rule_on_the_request_alone_is_inline(void **state)
{
    struct checked c;
    checked_open(&c, MESH "rule r at edge when request.method == \"POST\" then deny request\n"
                          "rule m when request.bytes_in > 1MiB then notify \"big\"\n"
                          "rule e when request.status == 500 then notify \"{request.path}\"\n");
    assert_string_equal(checked_codes(&c), "");
    const struct mp_t_rule *r = checked_rule(&c, "r");
    assert_int_equal(r->kind, MP_RULE_INLINE);
    assert_text(r->signal->name, "requests");
    assert_int_equal(r->layers, MP_LAYER_EDGE);
    assert_null(r->keys);
    assert_int_equal(act(r, 0, 0)->target_kind, MP_TARGET_RECORD);
    assert_int_equal(mp_value_as_int(argument(act(r, 0, 0), "status")->value), 403);
    assert_int_equal(checked_rule(&c, "m")->kind, MP_RULE_INLINE);
    assert_int_equal(checked_rule(&c, "m")->layers, MP_LAYER_ALL);
    assert_int_equal(checked_rule(&c, "e")->kind, MP_RULE_EVENT);
    checked_close(&c);
    (void)state;
}

static void a_lease_on_a_condition_of_the_record_is_a_loop_rule_of_the_instant(void **state)
{
    struct checked c;
    checked_open(
        &c,
        MESH "list bad: cidr = [ 192.0.2.0/24 ]\n"
             "rule r at edge, ingress when client.ip in bad then deny client.ip on edge for 1h\n");
    assert_string_equal(checked_codes(&c), "");
    const struct mp_t_rule *r = checked_rule(&c, "r");
    assert_int_equal(r->kind, MP_RULE_LOOP);
    assert_true(r->flags & MP_RULE_INSTANT);
    assert_true(r->flags & MP_RULE_DENIES_FIRST);
    assert_text(r->signal->name, "requests");
    assert_int_equal(r->keys->count, 1);
    assert_text(r->keys->keys[0].name, "client");
    assert_int_equal(r->layers, MP_LAYER_EDGE | MP_LAYER_INGRESS);
    const struct mp_t_act *a = act(r, 0, 0);
    assert_int_equal(a->hooks, MP_LAYER_EDGE);
    assert_int_equal(a->duration_ns, 3600000000000);
    assert_int_equal(a->target_type.base, MP_TYPE_ENTITY);
    assert_text(a->target_type.entity->name, "client");
    checked_close(&c);
    (void)state;
}

static void a_rule_that_reads_no_record_runs_for_the_mesh(void **state)
{
    struct checked c;
    checked_open(&c, MESH "rule r when requests is stale for 1m then notify \"nothing is seen\"\n");
    assert_string_equal(checked_codes(&c), "");
    const struct mp_t_rule *r = checked_rule(&c, "r");
    assert_int_equal(r->kind, MP_RULE_LOOP);
    assert_int_equal(r->keys->count, 0);
    assert_true(r->flags & MP_RULE_ON_SILENCE);
    assert_false(r->flags & MP_RULE_INSTANT);
    checked_close(&c);
    (void)state;
}

static void what_an_inline_rule_cannot_have_is_refused_with_the_reason(void **state)
{
    assert_codes(MESH "rule r when request.path == \"/x\" for 30s then deny request\n", "E0402");
    assert_codes(MESH "rule r when request.path == \"/x\" then deny request cooldown 5m\n",
                 "E0402");
    assert_codes(MESH "rule r when error_rate > 5% per svc then deny request\n", "E0402");
    assert_codes(MESH "rule r when request.path == \"/x\" per client then deny request\n", "E0402");
    assert_codes(MESH "rule r when request.status == 500 then deny request\n", "E0404");
    assert_codes(MESH "rule r when request.path == \"/x\" for 10s then deny client for 10m\n",
                 "E0402");
    (void)state;
}

static void an_inline_throttle_has_buckets(void **state)
{
    struct checked c;
    checked_open(&c, MESH
                 "rule a when request.path like \"/api/*\" then throttle request to 100/min\n"
                 "rule b when request.path like \"/api/*\" per client max 5k "
                 "then throttle request to 5/s with burst = 9\n");
    assert_string_equal(checked_codes(&c), "");
    const struct mp_t_rule *a = checked_rule(&c, "a"), *b = checked_rule(&c, "b");
    assert_int_equal(a->kind, MP_RULE_INLINE);
    assert_text(a->keys->keys[0].name, "svc");
    assert_int_equal(mp_value_as_int(argument(act(a, 0, 0), "burst")->value), 100);
    assert_text(b->keys->keys[0].name, "client");
    assert_int_equal(b->keys->cap, 5000);
    assert_int_equal(mp_value_as_int(argument(act(b, 0, 0), "burst")->value), 9);
    checked_close(&c);
    (void)state;
}

/* ---- the whole loop ---- */

static const char full_loop[] = MESH
    "param trip: percent = 5% in 1%..20%\n"
    "@owner \"payments\" @severity high\n"
    "rule checkout_errors \"Contain it\"\n"
    "  at service\n"
    "  when error_rate > trip for 30s per svc\n"
    "    unless svc.tier is batch\n"
    "  then throttle svc to 50% for 5m and notify \"{svc} at {error_rate}\" via slack\n"
    "    verify error_rate < 1% for 20s within 1m settle 5s\n"
    "  else quarantine svc for 15m\n"
    "    verify error_rate of svc.callers < 1% for 20s within 90s\n"
    "  else rollback and page \"payments-oncall\"\n"
    "  until error_rate < 0.5% for 5m\n"
    "  ramp 25% every 1m\n"
    "  cooldown 5m\n"
    "  limit 2 services per 10m\n"
    "  if no data hold\n";

static void the_full_loop_keeps_every_clause(void **state)
{
    struct checked c;
    checked_open(&c, full_loop);
    assert_string_equal(checked_codes(&c), "");
    const struct mp_t_rule *r = checked_rule(&c, "checkout_errors");
    assert_text(r->doc, "Contain it");
    assert_int_equal(r->when.hold_ns, 30000000000);
    assert_true(r->has_unless && r->has_until);
    assert_int_equal(r->until.hold_ns, 300000000000);
    assert_int_equal(r->cooldown_ns, 300000000000);
    assert_true(r->ramp == 0.25);
    assert_int_equal(r->ramp_every_ns, 60000000000);
    assert_int_equal(r->step_count, 3);
    assert_int_equal(r->label_count, 2);
    assert_text(r->labels[1].value, "high");
    checked_close(&c);
    (void)state;
}

static void the_steps_of_the_full_loop_keep_their_actions_and_checks(void **state)
{
    struct checked c;
    checked_open(&c, full_loop);
    const struct mp_t_rule *r = checked_rule(&c, "checkout_errors");
    const struct mp_t_step *first = &r->steps[0], *last = &r->steps[2];
    assert_int_equal(first->act_count, 2);
    assert_true(first->has_verify);
    assert_false(first->messages_only);
    assert_int_equal(first->within_ns, 60000000000);
    assert_int_equal(first->settle_ns, 5000000000);
    assert_text(act(r, 0, 1)->via, "slack");
    assert_int_equal(act(r, 0, 1)->message->kind, MP_TX_TEXT);
    assert_int_equal(act(r, 0, 1)->target_kind, MP_TARGET_NONE);
    assert_true(mp_value_as_num(argument(act(r, 0, 0), "to")->value) == 0.5);
    assert_true(last->rollback);
    assert_false(last->has_verify);
    assert_int_equal(last->act_count, 1);
    assert_text(act(r, 2, 0)->message->text, "payments-oncall");
    assert_int_equal(r->limit->count, 2);
    assert_text(r->limit->entity->name, "service");
    assert_int_equal(r->limit->per_ns, 600000000000);
    checked_close(&c);
    (void)state;
}

static void times_to_live_and_ramps_are_checked(void **state)
{
    assert_codes(MESH "rule r when error_rate > 5% then throttle svc to 50% for 1m\n"
                      " verify error_rate < 1% for 20s within 1m settle 5s\n", "E0604");
    assert_codes(MESH "rule r when error_rate > 5% then cap svc to 10 ramp 25% every 1m\n",
                 "E0407");
    assert_codes(MESH "rule r when error_rate > 5% then notify \"x\" ramp 25% every 1m\n", "E0402");
    assert_codes(MESH
                 "rule r when error_rate > 5% then notify \"x\" verify error_rate < 1% within 1m\n",
                 "E0402");
    assert_codes(MESH "rule r when error_rate > 5% then quarantine svc for p99_latency * 10\n",
                 "E0405");
    (void)state;
}

static void a_clause_that_stands_twice_is_refused(void **state)
{
    assert_codes(MESH "rule r mode shadow mode enforce when error_rate > 5% then notify \"x\"\n",
                 "E0105");
    assert_codes(MESH "rule r when error_rate > 5% then quarantine svc cooldown 1m cooldown 2m\n",
                 "E0105");
    assert_codes(MESH "rule r mode enforce 10% when error_rate > 5% then notify \"x\"\n", "E0105");
    (void)state;
}

/* ---- arguments ---- */

static void the_kind_of_target_chooses_the_declaration(void **state)
{
    struct checked c;
    checked_open(
        &c, MESH
        "rule a when request.path == \"/x\" then deny request with status = 404\n"
        "rule b when error_rate > 5% then throttle svc to 5/s\n"
        "rule c when error_rate > 5% then throttle svc to 30%\n"
        "rule d when count(requests) over 1m > 5 per request.peer max 5k "
        "then deny request.peer for 5m\n");
    assert_string_equal(checked_codes(&c), "");
    assert_int_equal(act(checked_rule(&c, "a"), 0, 0)->action->class, MP_CLASS_ACCESS);
    assert_int_equal(argument(act(checked_rule(&c, "b"), 0, 0), "to")->type.base, MP_TYPE_RATE);
    assert_int_equal(argument(act(checked_rule(&c, "c"), 0, 0), "to")->type.base, MP_TYPE_PERCENT);
    assert_int_equal(act(checked_rule(&c, "d"), 0, 0)->target_type.base, MP_TYPE_IDENTITY);
    checked_close(&c);
    (void)state;
}

static void wrong_arguments_are_refused_one_by_one(void **state)
{
    assert_codes(MESH "rule r when error_rate > 5% then quarantine svc via slack\n", "E0401");
    assert_codes(MESH "rule r when error_rate > 5% then throttle svc to 50% to 30%\n", "E0401");
    assert_codes(MESH "rule r when error_rate > 5% then throttle svc\n", "E0401");
    assert_codes(MESH "rule r when error_rate > 5% then quarantine\n", "E0401");
    assert_codes(MESH "rule r when error_rate > 5% then throttle svc to 50% with brust = 5\n",
                 "E0401");
    assert_codes(MESH "rule r when error_rate > 5% then throttle svc to 5m\n", "E0302");
    assert_codes(MESH "rule r when error_rate > 5% per svc then deny client.ip for 5m\n", "E0213");
    assert_codes(MESH "rule r when error_rate > 5% then quarantin svc\n", "E0101");
    assert_codes(MESH "rule r when error_rate > 5% then throttle svc to 50% on ingres\n", "E0306");
    (void)state;
}

static void a_reversible_action_needs_an_end(void **state)
{
    assert_codes(MESH "action isolate(target: service) class other strength 20 reversible\n",
                 "E0409");
    assert_codes(
        MESH "action isolate(target: service, for: duration) class other strength 20 reversible\n"
             "rule r when error_rate > 5% then isolate svc\n",
        "E0409");
    assert_codes(
        MESH "action isolate(target: service, for: duration) class other strength 20 reversible\n"
             "rule r when error_rate > 5% then isolate svc for 5m\n",
        "");
    (void)state;
}

static void an_action_is_declared_once_a_kind_of_target(void **state)
{
    assert_codes(MESH "action isolate(target: service|instance) class a strength 20 irreversible\n"
                      "action isolate(target: instance) class a strength 20 irreversible\n",
                          "E0410");
    assert_codes(MESH "action isolate(target: service) class a strength 20 irreversible\n"
                      "action isolate(target: instance) class a strength 20 irreversible\n", "");
    assert_codes(MESH "action isolate(target: service) irreversible\n", "E0410");
    (void)state;
}

/* ---- doors, blind checks, conflicts ---- */

static void a_missing_field_must_not_open_a_door(void **state)
{
    const char *open = MESH "list admins: identity = [ spiffe://prod/ns/ops/sa/* ]\n"
                            "rule r when request.peer not in admins then deny request\n";
    assert_codes(open, "E0406");
    assert_codes(MESH "rule r when request.user != \"root\" then deny request\n", "E0406");
    assert_codes(MESH "rule r when request.method != \"GET\" then deny request\n", "");
    assert_codes(
        MESH "rule r when request.user is absent or request.user != \"root\" then deny request\n",
        "");
    assert_codes(MESH "rule r when not request.token_valid then deny request\n", "E0406");
    (void)state;
}

static void a_check_of_what_the_action_removes_is_refused(void **state)
{
    assert_codes(MESH "rule r when error_rate > 5% then quarantine svc for 15m\n"
                      "  verify error_rate < 1% for 10s within 1m\n", "E0403");
    assert_codes(MESH "rule r when error_rate > 5% then quarantine svc for 15m\n"
                      "  verify error_rate of svc.callers < 1% for 10s within 1m\n", "");
    assert_codes(MESH "rule r when error_rate > 5% then throttle svc to 50%\n"
                      "  verify error_rate < 1% for 10s within 1m\n", "");
    assert_codes(MESH "rule r when error_rate > 5% then quarantine svc for 15m\n"
                      "  verify count(requests) over 10s == 0 within 1m\n", "");
    (void)state;
}

static void two_places_for_one_target_need_an_order(void **state)
{
    const char *conflict = MESH
        "rule a when error_rate > 5% then route svc to \"a\"\n"
        "rule b when p99_latency > 1s then route svc to \"b\"\n";
    assert_codes(conflict, "E0601");
    assert_codes(MESH "rule a priority 1 when error_rate > 5% then route svc to \"a\"\n"
                      "rule b when p99_latency > 1s then route svc to \"b\"\n", "");
    assert_codes(MESH "rule a when error_rate > 5% then route svc to \"a\"\n"
                      "rule b when error_rate < 5% then route svc to \"b\"\n", "");
    assert_codes(MESH "rule a when error_rate > 5% then route svc to \"a\"\n"
                      "rule b when p99_latency > 1s then route svc to \"a\" for 5m\n", "");
    assert_codes(MESH "rule a when error_rate > 5% then throttle svc to 50%\n"
                      "rule b when p99_latency > 1s then throttle svc to 5/s\n", "");
    assert_codes(MESH
                 "rule a when error_rate > 5% unless svc.tier is batch then route svc to \"a\"\n"
                 "rule b when p99_latency > 1s and svc.tier is batch then route svc to \"b\"\n",
                 "");
    assert_codes(MESH "rule a when error_rate > 5% then route svc from \"eu\" to \"a\"\n"
                      "rule b when p99_latency > 1s then route svc from \"us\" to \"b\"\n", "");
    assert_codes(MESH "rule a mode shadow when error_rate > 5% then route svc to \"a\"\n"
                      "rule b when p99_latency > 1s then route svc to \"b\"\n", "");
    (void)state;
}

/* A bound on something that is no function of the target keeps nobody apart. */
static void only_what_follows_from_the_target_keeps_rules_apart(void **state)
{
    assert_codes(MESH "rule a when cpu > 90% then route instance.service to \"a\"\n"
                      "rule b when cpu < 10% then route instance.service to \"b\"\n", "E0601");
    (void)state;
}

/* ---- guards ---- */

static void promises_know_their_target(void **state)
{
    struct checked c;
    checked_open(&c, MESH
                 "list core: service = [ \"dns\", \"identity\" ]\n"
                 "list glass: identity = [ spiffe://shop.example/ns/sre/sa/breakglass ]\n"
                 "never quarantine instance more than 20% of instances per svc\n"
                 "never quarantine svc more than 3 services per 10m\n"
                 "never quarantine svc where svc in core\n"
                 "never deny request where request.peer in glass\n");
    assert_string_equal(checked_codes(&c), "");
    assert_int_equal(c.typed->guards.len, 4);
    const struct mp_t_guard *g = c.typed->guards.ptr[0];
    assert_int_equal(g->kind, MP_GUARD_MORE_THAN);
    assert_true(g->quota->percent == 0.2);
    assert_int_equal(g->quota->members->hop_count, 2);
    assert_int_equal(g->quota->per_walk->hop_count, 1);
    assert_int_equal(c.typed->guards.ptr[1]->quota->count, 3);
    assert_int_equal(c.typed->guards.ptr[2]->kind, MP_GUARD_WHERE_LEASE);
    assert_int_equal(c.typed->guards.ptr[3]->kind, MP_GUARD_WHERE_RECORD);
    assert_text(c.typed->guards.ptr[3]->signal->name, "requests");
    checked_close(&c);
    (void)state;
}

static void quotas_that_nothing_meets_are_refused(void **state)
{
    assert_codes(MESH "never quarantine svc more than 20% of instances per svc\n", "E0602");
    assert_codes(MESH "never quarantine instance more than 20% of tiers per svc\n", "E0603");
    assert_codes(MESH "never quarantine svc more than 2 services per client\n", "E0603");
    assert_codes(MESH "never quarantine svc more than 2 clients per 10m\n", "E0603");
    assert_codes(MESH "never deny request more than 5 per 10m\n", "E0603");
    assert_codes(MESH "never quarantine client where client.bot is true\n", "E0302");
    (void)state;
}

static char *throttling_rules(unsigned count)
{
    size_t size = 64 + count * 100, len = 0;
    char *text = malloc(size);
    assert_non_null(text);
    len += (size_t)snprintf(text, size, MESH);
    for (unsigned i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, size - len, "rule n%u when request.path == \"/%u\" "
                                "then throttle request to 1/s\n", i, i);
    }
    return text;
}

static void more_throttles_than_there_are_numbers_are_refused_with_the_number(void **state)
{
    (void)state;
    struct checked c;
    char *text = throttling_rules(4096);
    assert_codes(text, "");
    free(text);
    text = throttling_rules(4097);
    checked_open(&c, text);
    assert_string_equal(checked_codes(&c), "E0704");
    assert_non_null(strstr(checked_text(&c), "4097 inline rules have a throttle; a program has "
                                             "room for 4096"));
    assert_non_null(strstr(checked_text(&c), "join rules of one rate"));
    checked_close(&c);
    free(text);
}

/* ---- what is not in this version ---- */

static void later_constructs_are_refused_once_after_all_errors(void **state)
{
    assert_codes(MESH "rule r mode canary 10% when error_rate > 5% then notify \"x\"\n", "E0900");
    assert_codes(MESH "rule r mode canary 10% when error_rate > 5% then notify \"x\"\n"
                      "rule s mode canary 10% when error_rate > 6% then notify \"x\"\n"
                      "rule t when eror_rate > 6% then notify \"x\"\n", "E0101 E0900");
    assert_codes(MESH "prove never deny request where request.path == \"/healthz\"\n", "E0900");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_rule_runs_per_service_and_is_named_by_its_condition),
        cmocka_unit_test(the_name_of_an_unnamed_rule_does_not_depend_on_layout),
        cmocka_unit_test(a_rule_on_the_request_alone_is_inline),
        cmocka_unit_test(a_lease_on_a_condition_of_the_record_is_a_loop_rule_of_the_instant),
        cmocka_unit_test(a_rule_that_reads_no_record_runs_for_the_mesh),
        cmocka_unit_test(what_an_inline_rule_cannot_have_is_refused_with_the_reason),
        cmocka_unit_test(an_inline_throttle_has_buckets),
        cmocka_unit_test(the_full_loop_keeps_every_clause),
        cmocka_unit_test(the_steps_of_the_full_loop_keep_their_actions_and_checks),
        cmocka_unit_test(times_to_live_and_ramps_are_checked),
        cmocka_unit_test(a_clause_that_stands_twice_is_refused),
        cmocka_unit_test(the_kind_of_target_chooses_the_declaration),
        cmocka_unit_test(wrong_arguments_are_refused_one_by_one),
        cmocka_unit_test(a_reversible_action_needs_an_end),
        cmocka_unit_test(an_action_is_declared_once_a_kind_of_target),
        cmocka_unit_test(a_missing_field_must_not_open_a_door),
        cmocka_unit_test(a_check_of_what_the_action_removes_is_refused),
        cmocka_unit_test(two_places_for_one_target_need_an_order),
        cmocka_unit_test(only_what_follows_from_the_target_keeps_rules_apart),
        cmocka_unit_test(promises_know_their_target),
        cmocka_unit_test(quotas_that_nothing_meets_are_refused),
        cmocka_unit_test(more_throttles_than_there_are_numbers_are_refused_with_the_number),
        cmocka_unit_test(later_constructs_are_refused_once_after_all_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
