/* SPDX-License-Identifier: Apache-2.0
 * What the tables say about policies that are written as text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "driver/driver.h"
#include "eval/eval.h"
#include "os/std.h"

static struct mp_os os;

/* ---- compiling ---- */

static struct mp_compilation *compiled(const char *policy, bool with_tests)
{
    struct mp_compile_text text = {MP_STR("t.mpol"), mp_str_of(policy), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &os,
                                         .with_tests = with_tests};
    struct mp_compilation *c = NULL;
    enum mp_err err = mp_compile(&text, 1, &options, &c);
    assert_non_null(c);
    if (err != MP_OK) fail_msg("%s\n%s", mp_compilation_fault(c), policy);
    return c;
}

static void must_be_right(struct mp_compilation *c, const char *policy)
{
    if (mp_compilation_errors(c) == 0) return;
    struct mp_arena arena;
    struct mp_buf said;
    mp_arena_init(&arena, NULL, 0);
    mp_buf_init(&said, &arena);
    struct mp_diag_style style = {false, 0};
    mp_diags_print_text(mp_compilation_diags(c), mp_compilation_sources(c), style, &said);
    print_message("%.*s", MP_STR_ARG(mp_buf_view(&said)));
    mp_arena_free(&arena);
    fail_msg("does not compile: %s", policy);
}

static struct mp_compilation *made(const char *policy)
{
    struct mp_compilation *c = compiled(policy, false);
    must_be_right(c, policy);
    return c;
}

static const struct mp_ir *ir_of(struct mp_compilation *c)
{
    return mp_compilation_ir(c);
}

/* One rule with this condition, in the vocabulary of the standard library. */
static struct mp_compilation *rule_when(const char *when)
{
    char policy[1024];
    snprintf(policy, sizeof policy, "use std.mesh\nrule r when %s then notify \"x\"\n", when);
    return made(policy);
}

static struct mp_program *loaded(struct mp_compilation *c)
{
    mp_str image = mp_compilation_image(c);
    struct mp_program *p = NULL;
    const char *why = "";
    enum mp_err err = mp_program_load(image.ptr, image.len, &os, &p, &why);
    if (err != MP_OK) fail_msg("does not load: %s", why);
    return p;
}

static uint32_t count_columns(const struct mp_ir *ir, uint32_t kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ir->column.len; i++) n += ir->column.ptr[i].kind == kind;
    return n;
}

static bool is_text(const struct mp_ir *ir, mp_text_ref ref, const char *text)
{
    return mp_str_eq(mp_ir_str(ir, ref), mp_str_of(text));
}

/* ---- R5: windows that are not full ---- */

static void more_samples_can_only_confirm_some_comparisons(void **state)
{
    static const struct {
        const char *when;
        bool enough;
    } cases[] = {
        {"count(requests) over 1m >= 3 per svc", true},
        {"count(requests) over 1m > 3 per svc", true},
        {"3 < count(requests) over 1m per svc", true},
        {"count(requests) over 1m < 3 per svc", false},
        {"3 > count(requests) over 1m per svc", false},
        {"count(requests) over 1m == 3 per svc", false},
        {"2 * count(requests) over 1m > 3 per svc", true},
        {"10 - count(requests) over 1m > 3 per svc", false},
        {"10 - count(requests) over 1m < 3 per svc", true},
        {"count(requests) over 1m + distinct(requests.path) over 1m > 3 per svc", true},
        {"ratio(requests where status in 5xx) over 1m > 3% per svc", false},
        {"rate(requests) over 1m > 3/s per svc", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mp_compilation *c = rule_when(cases[i].when);
        const struct mp_ir *ir = ir_of(c);
        bool enough = ir->column.len > 0;
        for (uint32_t k = 0; k < ir->column.len; k++) {
            enough = enough && (ir->column.ptr[k].flags & MP_COL_LOWER_BOUND) != 0;
        }
        if (enough != cases[i].enough) fail_msg("%s", cases[i].when);
        mp_compilation_free(c);
    }
}

/* ---- R4, and rules of an instant ---- */

static void rules_say_how_they_become_true(void **state)
{
    static const struct {
        const char *when;
        uint32_t flags;
    } cases[] = {
        {"error_rate > 5%", 0},
        {"error_rate < 5%", MP_RULE_ON_SILENCE},
        {"not (error_rate > 5%)", MP_RULE_ON_SILENCE},
        {"not (error_rate < 5%)", 0},
        {"5% > error_rate", MP_RULE_ON_SILENCE},
        {"100% - error_rate > 5%", MP_RULE_ON_SILENCE},
        {"count(requests) over 1m == 3 per svc", MP_RULE_ON_SILENCE},
        {"error_rate is absent", MP_RULE_ON_SILENCE},
        {"error_rate is known", 0},
        {"error_rate is not known", MP_RULE_ON_SILENCE},
        {"requests is stale", MP_RULE_ON_SILENCE},
        {"count(requests) over 1m in 3..5 per svc", MP_RULE_ON_SILENCE},
        {"seen(requests where status in 5xx) per svc", MP_RULE_INSTANT},
        {"seen(requests where status in 5xx) and error_rate > 5% per svc", MP_RULE_INSTANT},
        {"seen(requests where status in 5xx) or error_rate > 5% per svc", 0},
        {"count(instances of svc where cpu > 90%) >= 2 per svc", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mp_compilation *c = rule_when(cases[i].when);
        uint32_t flags = ir_of(c)->rule.ptr[0].flags;
        if (flags != cases[i].flags) fail_msg("%s: %u", cases[i].when, flags);
        mp_compilation_free(c);
    }
}

static void what_asks_the_record_is_a_cell_of_the_row(void **state)
{
    struct mp_compilation *c =
        made("use std.mesh\n"
             "rule r when request.path == \"/x\" and error_rate > 5% per svc\n"
             "then quarantine svc\n");
    const struct mp_ir *ir = ir_of(c);
    /* the comparison, and the path for `why` */
    assert_int_equal(count_columns(ir, MP_COL_EVENT), 2);
    assert_int_equal(ir->rule.ptr[0].flags, MP_RULE_INSTANT);
    assert_int_not_equal(ir->rule.ptr[0].signal, MP_NONE);
    mp_compilation_free(c);
}

/* ---- R2, R3: panes ---- */

static void panes_follow_from_kind_cap_and_annotation(void **state)
{
    static const struct {
        const char *def;
        uint32_t panes, late;
    } cases[] = {
        {"def d per service: rate = rate(requests) over 1m", 60, 2},
        {"def d per service: rate = rate(requests) over 10s", 60, 12},
        {"def d per client: rate = rate(requests) over 1m", 8, 1}, /* 100k clients */
        {"def d per service: duration = p99(requests.latency) over 10s", 6, 2},
        {"def d per service: int = distinct(requests.path) over 1m", 6, 1},
        {"@panes 20 def d per service: rate = rate(requests) over 1m", 20, 1},
        {"def d per service: percent = max(cpu) over 1m", 60, 0}, /* gauges are not late */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char policy[512];
        snprintf(policy, sizeof policy,
                 "use std.mesh\n%s\nrule r when d is known then notify \"x\"\n",
                 cases[i].def);
        struct mp_compilation *c = made(policy);
        const struct mp_agg_row *agg = ir_of(c)->agg.ptr;
        if (agg->panes != cases[i].panes || agg->late_panes != cases[i].late) {
            fail_msg("%s: %u + %u panes", cases[i].def, agg->panes, agg->late_panes);
        }
        assert_true(agg->pane_ns * agg->panes >= agg->window_ns);
        mp_compilation_free(c);
    }
}

/* ---- where values are read ---- */

static void an_aggregate_is_read_where_its_key_is(void **state)
{
    static const struct {
        const char *when;
        uint32_t kind;
    } cases[] = {
        {"error_rate > 5% per svc", MP_COL_AGG},
        {"error_rate > 5% per instance", MP_COL_REACHED},
        {"error_rate of \"web\" > 5% per svc", MP_COL_PUBLISHED},
        {"error_rate of svc.callers > 5% per svc", MP_COL_POOLED},
        {"count(requests) over 1m > 5 per mesh", MP_COL_AGG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mp_compilation *c = rule_when(cases[i].when);
        if (count_columns(ir_of(c), cases[i].kind) != 1) fail_msg("%s", cases[i].when);
        mp_compilation_free(c);
    }
}

static void an_inline_rule_reads_published_values(void **state)
{
    struct mp_compilation *c = made("use std.mesh\n"
                                    "rule r when request.path like \"/api/*\" "
                                    "and error_rate of svc > 50%\n"
                                    "then deny request\n");
    const struct mp_ir *ir = ir_of(c);
    assert_int_equal(ir->rule.ptr[0].kind, MP_RULE_INLINE);
    assert_int_equal(count_columns(ir, MP_COL_PUBLISHED), 1);
    mp_compilation_free(c);
}

static void rules_share_what_is_equal(void **state)
{
    struct mp_compilation *c = made(
        "use std.mesh\n"
        "def one per service: percent = ratio(requests where status in 5xx) over 10s\n"
        "def two per service: percent = ratio(requests where status in 5xx) over 10s\n"
        "rule a when one > 5% then quarantine svc\n"
        "rule b when two > 7% then throttle svc to 50%\n"
        "rule c when ratio(requests where status in 5xx) over 10s > 9% per svc "
        "then notify \"x\"\n");
    assert_int_equal(ir_of(c)->agg.len, 1);
    assert_int_equal(count_columns(ir_of(c), MP_COL_AGG), 1);
    assert_int_equal(ir_of(c)->grouping.len, 1);
    mp_compilation_free(c);
}

static void a_rule_at_a_hook_looks_at_records_of_that_hook(void **state)
{
    struct mp_compilation *c =
        made("use std.mesh\n"
             "rule r at ingress when count(requests) over 1m > 5 per client\n"
             "then deny client\n");
    const struct mp_ir *ir = ir_of(c);
    assert_int_equal(ir->agg.ptr[0].layers, MP_LAYER_INGRESS);
    assert_int_equal(ir->act.ptr[0].hooks, MP_LAYER_INGRESS);
    mp_compilation_free(c);
}

static void records_find_the_keys_of_a_rule(void **state)
{
    struct mp_compilation *c =
        made("use std.mesh\n"
             "rule r when count(requests) over 1m > 5 per svc, instance.zone max 1k\n"
             "then notify \"{instance.zone}\"\n");
    const struct mp_ir *ir = ir_of(c);
    assert_int_equal(ir->feed.len, 1);
    const struct mp_walk_row *walks = &ir->walk.ptr[ir->feed.ptr[0].walks_at];
    assert_int_equal(ir->feed.ptr[0].walks_count, 2);
    assert_int_equal(walks[0].hops_count, 0);
    assert_int_equal(walks[1].hops_count, 1);
    assert_int_equal(ir->grouping.ptr[0].cap, 1000);
    mp_compilation_free(c);
}

static void leases_on_a_service_meet_its_callers_too(void **state)
{
    struct mp_compilation *c = made("use std.mesh\nwhen error_rate > 5% then quarantine svc\n");
    const struct mp_ir *ir = ir_of(c);
    uint32_t inbound = 0, outbound = 0;
    for (uint32_t i = 0; i < ir->reach.len; i++) {
        bool requests = is_text(ir, ir->signal.ptr[ir->reach.ptr[i].signal].name, "requests");
        bool service = ir->reach.ptr[i].entity != MP_NONE &&
                       is_text(ir, ir->entity.ptr[ir->reach.ptr[i].entity].name, "service");
        if (!requests || !service) continue;
        inbound += ir->reach.ptr[i].outbound == 0;
        outbound += ir->reach.ptr[i].outbound != 0;
    }
    assert_int_equal(inbound, 1);
    assert_int_equal(outbound, 1);
    mp_compilation_free(c);
}

static void a_throttle_without_per_has_a_bucket_a_service(void **state)
{
    struct mp_compilation *c =
        made("use std.mesh\n"
             "rule r when request.path == \"/\" then throttle request to 5/s\n");
    const struct mp_ir *ir = ir_of(c);
    assert_int_equal(ir->rule.ptr[0].bucket_walks_count, 1);
    const struct mp_walk_row *walk = &ir->walk.ptr[ir->rule.ptr[0].bucket_walks_at];
    assert_true(is_text(ir, ir->entity.ptr[walk->entity].name, "service"));
    mp_compilation_free(c);
}

static void what_cannot_be_expressed_is_refused_at_its_place(void **state)
{
    struct mp_compilation *c = compiled("use std.mesh\n"
                                        "rule r when request.path == \"/\"\n"
                                        "then send request to \"pool-{svc}\"\n",
                                        false);
    assert_int_equal(mp_compilation_errors(c), 1);
    assert_int_equal(mp_compilation_image(c).len, 0);
    const struct mp_diags *diags = mp_compilation_diags(c);
    assert_int_equal(diags->all.ptr[0]->code, MP_DIAG_E0900);
    mp_str text = mp_source_text(mp_compilation_sources(c), diags->all.ptr[0]->span);
    assert_true(mp_str_eq(text, MP_STR("\"pool-{svc}\"")));
    mp_compilation_free(c);
}

/* ---- units ---- */

static void a_unit_holds_64_rules_of_one_kind(void **state)
{
    char policy[16384] = "use std.mesh\n";
    size_t at = strlen(policy);
    for (int i = 0; i < 70; i++) {
        at += (size_t)snprintf(policy + at, sizeof policy - at,
                               "rule r%02d when error_rate > %d%% then notify \"x\"\n", i, i + 1);
    }
    snprintf(policy + at, sizeof policy - at,
             "rule r05a when request.path == \"/\" then deny request\n");
    struct mp_compilation *c = made(policy);
    const struct mp_ir *ir = ir_of(c);
    assert_int_equal(ir->rule.len, 71);
    const struct mp_grouping_row *g = ir->grouping.ptr;
    assert_int_equal(g->units_count, 2); /* the inline rule between them parts them: 6 and 64 */
    assert_int_equal(ir->unit.ptr[g->units_at].rules_count, 6);
    assert_int_equal(ir->unit.ptr[g->units_at + 1].rules_count, 64);
    mp_compilation_free(c);
}

/* ---- marks (R50) ---- */

static struct mp_rule_row marked(const char *body)
{
    char policy[1024];
    snprintf(policy, sizeof policy,
             "use std.mesh\n"
             "@min_samples 20\n"
             "def same per service: percent = ratio(requests where status in 5xx) over 10s\n"
             "def fewer per service: percent = ratio(requests where status in 5xx) over 20s\n%s\n",
             body);
    struct mp_compilation *c = made(policy);
    struct mp_rule_row row = ir_of(c)->rule.ptr[0];
    mp_compilation_free(c);
    return row;
}

static struct mp_rule_row rule_of(const char *when, const char *then, const char *until)
{
    char body[512];
    snprintf(body, sizeof body,
             "rule r when %s for 30s then %s until %s of svc.callers < 1%% for 1m", when, then,
             until);
    return marked(body);
}

static void a_reload_sees_which_part_of_a_rule_changed(void **state)
{
    struct mp_rule_row was = rule_of("error_rate > 5%", "quarantine svc", "error_rate");
    struct mp_rule_row number = rule_of("error_rate > 6%", "quarantine svc", "error_rate");
    assert_int_not_equal(was.mark_trigger, number.mark_trigger);
    assert_int_equal(was.mark_trigger_shape, number.mark_trigger_shape);
    assert_int_equal(was.mark_ladder, number.mark_ladder);
    struct mp_rule_row shape = rule_of("p99_latency > 6s", "quarantine svc", "error_rate");
    assert_int_not_equal(was.mark_trigger_shape, shape.mark_trigger_shape);
    struct mp_rule_row ladder = rule_of("error_rate > 5%", "quarantine svc for 1h", "error_rate");
    assert_int_equal(was.mark_trigger, ladder.mark_trigger);
    assert_int_not_equal(was.mark_ladder, ladder.mark_ladder);
    struct mp_rule_row until = rule_of("error_rate > 5%", "quarantine svc", "fewer");
    assert_int_equal(was.mark_ladder, until.mark_ladder);
    assert_int_not_equal(was.mark_until, until.mark_until);
    struct mp_rule_row renamed = rule_of("same > 5%", "quarantine svc", "same");
    assert_int_equal(was.mark_trigger, renamed.mark_trigger);
    assert_int_equal(was.mark_until, renamed.mark_until);
}

/* ---- guards on requests (R43) ---- */

enum field { PATH, PEER, ASN, CLIENT, FIELDS };

static struct mp_hits judged(struct mp_program *p, const struct mp_value *values, const bool *known)
{
    static const char *const paths[FIELDS] = {"path", "peer", "client.asn", "client.ip"};
    struct mp_eval_scratch scratch;
    struct mp_inputs in;
    uint64_t row_known[4] = {0}, record_known[4] = {0};
    struct mp_value row[64] = {0}, record[64] = {0};
    const struct mp_guard_row *guard = p->guard;
    const struct mp_signal_row *s = &p->signal[guard->signal];
    for (uint32_t slot = 0; slot < s->fields_count; slot++) {
        mp_str path = mp_program_text(p, p->field[s->fields_at + slot].path);
        for (int f = 0; f < FIELDS; f++) {
            if (!mp_str_eq(path, mp_str_of(paths[f])) || !known[f]) continue;
            record[slot] = values[f];
            record_known[slot / 64] |= 1ull << (slot % 64);
        }
    }
    mp_inputs_init(&in, p, &scratch);
    in.record = record;
    in.record_known = record_known;
    in.row = row;
    in.row_known = row_known;
    struct mp_hits hits = {0};
    mp_eval_unit(p, guard->unit, &in, &hits);
    return hits;
}

static void what_a_request_leaves_out_never_protects_it(void **state)
{
    struct mp_compilation *c = made("use std.mesh\n"
                                    "list ops: identity = [ spiffe://x/ns/ops/sa/* ]\n"
                                    "never deny request where request.peer in ops\n"
                                    "never deny request where request.peer not in ops\n"
                                    "never deny request where client.asn == 64500\n");
    struct mp_program *p = loaded(c);
    struct mp_value values[FIELDS] = {{{0}}};
    bool known[FIELDS] = {false};
    values[PEER] = mp_value_text(MP_STR("spiffe://x/ns/ops/sa/deploy"));
    struct mp_hits hits = judged(p, values, known);
    assert_int_equal(hits.known & 7, 7);
    assert_int_equal(hits.truth & 7, 0); /* nor does what hangs on a client that it lacks */
    values[CLIENT] = (struct mp_value){{0x1234, 0x5678}};
    known[CLIENT] = true;
    hits = judged(p, values, known);
    assert_int_equal(hits.known & 7, 7);
    assert_int_equal(hits.truth & 7, 4); /* only what the inventory does not know protects */
    known[PEER] = true;
    hits = judged(p, values, known);
    assert_int_equal(hits.truth & 7, 5);
    known[ASN] = true;
    values[ASN] = mp_value_int(64501);
    hits = judged(p, values, known);
    assert_int_equal(hits.truth & 7, 1);
    mp_program_free(p);
    mp_compilation_free(c);
}

/* ---- tests ---- */

static void a_test_wakes_the_rules_of_its_packages(void **state)
{
    const char *policy =
        "package a\nuse std.mesh\nrule r when error_rate > 5% then quarantine svc\n"
        "never quarantine svc where svc.tier is critical\n"
        "test \"t\" {\n  0s..10s: error_rate of \"web\" = 12%\n  0s: tier of \"web\" = batch\n"
        "  expect quarantine \"web\" by 10s\n}\n";
    struct mp_compilation *c = compiled(policy, true);
    must_be_right(c, policy);
    const struct mp_ir *ir = ir_of(c);
    assert_int_equal(ir->test.len, 1);
    assert_int_equal(ir->test_rule.len, 2);
    assert_int_equal(ir->test_line.len, 3);
    assert_int_equal(count_columns(ir, MP_COL_OVERRIDE), 2);
    assert_int_equal(ir->test_line.ptr[1].kind, MP_TLINE_SET);
    assert_int_equal(ir->def.ptr[ir->test_line.ptr[1].def].kind, MP_DEF_ATTR);
    mp_compilation_free(c);
    c = made(policy);
    assert_int_equal(ir_of(c)->test.len, 0);
    assert_int_equal(count_columns(ir_of(c), MP_COL_OVERRIDE), 0);
    mp_compilation_free(c);
}

static void a_constant_too_large_for_its_unit_is_unknown(void **state)
{
    (void)state;
    mp_compilation_free(rule_when("179769313486231570000.0 * 7d > request.peer_cert_expires_in"));
}

int main(void)
{
    mp_std_os(&os);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_samples_can_only_confirm_some_comparisons),
        cmocka_unit_test(rules_say_how_they_become_true),
        cmocka_unit_test(what_asks_the_record_is_a_cell_of_the_row),
        cmocka_unit_test(panes_follow_from_kind_cap_and_annotation),
        cmocka_unit_test(an_aggregate_is_read_where_its_key_is),
        cmocka_unit_test(an_inline_rule_reads_published_values),
        cmocka_unit_test(rules_share_what_is_equal),
        cmocka_unit_test(a_rule_at_a_hook_looks_at_records_of_that_hook),
        cmocka_unit_test(records_find_the_keys_of_a_rule),
        cmocka_unit_test(leases_on_a_service_meet_its_callers_too),
        cmocka_unit_test(a_throttle_without_per_has_a_bucket_a_service),
        cmocka_unit_test(what_cannot_be_expressed_is_refused_at_its_place),
        cmocka_unit_test(a_constant_too_large_for_its_unit_is_unknown),
        cmocka_unit_test(a_unit_holds_64_rules_of_one_kind),
        cmocka_unit_test(a_reload_sees_which_part_of_a_rule_changed),
        cmocka_unit_test(what_a_request_leaves_out_never_protects_it),
        cmocka_unit_test(a_test_wakes_the_rules_of_its_packages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
