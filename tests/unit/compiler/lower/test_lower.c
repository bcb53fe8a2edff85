/* SPDX-License-Identifier: Apache-2.0
 * The thin path on a tree made by hand: `when error_rate > x then quarantine svc`, with a verify
 * and an inline deny beside it. Everything else is tested on text, in test_lower_text.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lower/lower.h"

#define S(text) MP_STR_INIT(text)
#define TYPE_OF(b) {.base = MP_TYPE_##b}

/* ---- entity service as svc { name  tier = "standard" } ---- */
static const struct mp_t_expr standard = {.kind = MP_TX_CONST, .type = TYPE_OF(STRING),
                                          .text = S("standard")};
static struct mp_t_entity service;
static struct mp_t_attr service_attrs[] = {
    {.name = S("name"), .owner = &service, .type = TYPE_OF(STRING), .index = 0},
    {.name = S("tier"), .owner = &service, .type = TYPE_OF(STRING), .preset = &standard,
     .index = 1},
};
static struct mp_t_entity service = {.name = S("service"), .alias = S("svc"),
                                     .attrs = service_attrs,
                                     .attr_count = 2, .cap = 2000};

/* ---- signal requests as request: event per service lateness 2s { layer status path } ---- */
static struct mp_t_signal requests;
static struct mp_t_field fields[] = {
    {.name = S("layer"), .signal = &requests, .type = TYPE_OF(HOOK), .index = 0},
    {.name = S("status"), .signal = &requests, .type = TYPE_OF(STATUS), .at_end = true, .index = 1},
    {.name = S("path"), .signal = &requests, .type = TYPE_OF(PATH), .always = true, .index = 2},
};
static const struct mp_t_entity *request_keys[] = {&service};
static struct mp_t_signal requests = {.name = S("requests"), .alias = S("request"),
                                      .kind = MP_SIGNAL_EVENT,
                                      .keys = request_keys, .key_count = 1, .fields = fields,
                                      .field_count = 3, .every_ns = 10000000000, .lateness_ns =
                                          2000000000};

/* ---- error_rate: ratio(requests where status in 5xx) over 10s, 20 samples ---- */
static struct mp_t_key svc_key[] = {{.name = S("svc"),
                                     .type = {.base = MP_TYPE_ENTITY, .entity = &service},
                                     .root = &service}};
static const struct mp_t_keys per_svc = {svc_key, 1, 2000};
static const struct mp_t_walk at_svc = {.base = MP_T_BASE_ROW_KEY, .text = S("svc"),
                                        .type = {.base = MP_TYPE_ENTITY, .entity = &service}};
static const struct mp_t_walk to_status = {.base = MP_T_BASE_RECORD_FIELD, .signal = &requests,
                                           .field = &fields[1], .type = TYPE_OF(STATUS), .text =
                                               S("status")};
static struct mp_t_expr status = {.kind = MP_TX_WALK, .type = TYPE_OF(STATUS), .walk = &to_status};
static struct mp_t_expr s500 = {.kind = MP_TX_CONST, .type = TYPE_OF(STATUS), .value = {{500, 0}}};
static struct mp_t_expr s599 = {.kind = MP_TX_CONST, .type = TYPE_OF(STATUS), .value = {{599, 0}}};
static const struct mp_t_expr is_5xx = {.kind = MP_TX_RANGE, .type = TYPE_OF(BOOL),
                                        .kid = {&status, &s500, &s599}};
static const struct mp_t_agg ratio = {.kind = MP_AGG_RATIO, .signal = &requests,
                                      .layers = MP_LAYER_SERVICE,
                                      .where = &is_5xx, .window_ns = 10000000000, .min_samples = 20,
                                      .keys = &per_svc, .at = &at_svc};
static struct mp_t_expr ratio_expr = {.kind = MP_TX_AGG, .type = TYPE_OF(PERCENT), .agg = &ratio};
static const struct mp_t_def error_rate = {.name = S("error_rate"), .kind = MP_DEF_DEF,
                                           .type = TYPE_OF(PERCENT),
                                           .keys = &per_svc, .body = &ratio_expr};
static struct mp_t_expr rate = {.kind = MP_TX_DEF, .type = TYPE_OF(PERCENT), .def = &error_rate,
                                .def_at = &at_svc, .kid = {&ratio_expr}, .text = S("error_rate")};

/* ---- param x = 5% ---- */
static struct mp_t_expr five = {.kind = MP_TX_CONST, .type = TYPE_OF(PERCENT)};
static struct mp_t_param x = {.name = S("x"), .type = TYPE_OF(PERCENT), .value = &five};
static struct mp_t_expr use_x = {.kind = MP_TX_PARAM, .type = TYPE_OF(PERCENT), .param = &x,
                                 .text = S("x")};
static const struct mp_t_expr above = {.kind = MP_TX_CMP, .type = TYPE_OF(BOOL), .op.cmp = MP_T_GT,
                                       .kid = {&rate, &use_x}, .text = S("error_rate > x")};
static const struct mp_t_expr below = {.kind = MP_TX_CMP, .type = TYPE_OF(BOOL), .op.cmp = MP_T_LT,
                                       .kid = {&rate, &use_x}, .text = S("error_rate < x")};

/* ---- then quarantine svc for 10m verify error_rate < x for 20s within 1m ---- */
static struct mp_t_type quarantine_types[] = {{.base = MP_TYPE_ENTITY, .entity = &service}};
static struct mp_t_action_param quarantine_params[] =
    {{.name = S("target"), .types = quarantine_types, .type_count = 1}};
static const struct mp_t_signal *blinds[] = {&requests};
static struct mp_t_action quarantine = {.name = S("quarantine"), .class = MP_CLASS_TRAFFIC,
                                        .strength = 30,
                                        .reversible = true, .params = quarantine_params,
                                            .param_count = 1,
                                        .blinds = blinds, .blind_count = 1};
static const struct mp_t_expr target = {.kind = MP_TX_WALK,
                                        .type = {.base = MP_TYPE_ENTITY, .entity = &service},
                                        .walk = &at_svc, .text = S("svc")};
static struct mp_t_act act = {.action = &quarantine, .target = &target,
                              .target_kind = MP_TARGET_LEASE,
                              .target_type = {.base = MP_TYPE_ENTITY, .entity = &service},
                              .duration_ns = 600000000000, .hooks = MP_LAYER_SERVICE, .text =
                                  S("quarantine svc")};
static struct mp_t_step step = {.acts = &act, .act_count = 1, .has_verify = true,
                                .verify = {.cond = &below, .hold_ns = 20000000000}, .within_ns =
                                    60000000000};
static struct mp_t_rule loop = {.package = S("p"), .name = S("contain"), .kind = MP_RULE_LOOP,
                                .layers = MP_LAYER_SERVICE, .keys = &per_svc, .when =
                                    {.cond = &above},
                                .steps = &step, .step_count = 1};

/* ---- when request.path == "/admin" then deny request ---- */
static struct mp_t_type deny_types[] = {{.base = MP_TYPE_EVENT}};
static struct mp_t_action_param deny_params[] = {{.name = S("target"), .types = deny_types,
                                                  .type_count = 1}};
static struct mp_t_action deny = {.name = S("deny"), .class = MP_CLASS_ACCESS, .strength = 40,
                                  .index = 1,
                                  .params = deny_params, .param_count = 1};
static const struct mp_t_walk to_path = {.base = MP_T_BASE_RECORD_FIELD, .signal = &requests,
                                         .field = &fields[2], .type = TYPE_OF(PATH), .text =
                                             S("request.path")};
static struct mp_t_expr path = {.kind = MP_TX_WALK, .type = TYPE_OF(PATH), .walk = &to_path,
                                .text = S("request.path")};
static struct mp_t_expr admin = {.kind = MP_TX_CONST, .type = TYPE_OF(PATH), .text = S("/admin")};
static const struct mp_t_expr at_admin = {.kind = MP_TX_CMP, .type = TYPE_OF(BOOL),
                                          .op.cmp = MP_T_EQ,
                                          .kid = {&path, &admin}, .text =
                                              S("request.path == \"/admin\"")};
static struct mp_t_act refuse_act = {.action = &deny, .target_kind = MP_TARGET_RECORD,
                                     .hooks = MP_LAYER_ALL,
                                     .target_type = {.base = MP_TYPE_EVENT}, .text =
                                         S("deny request")};
static struct mp_t_step refuse_step = {.acts = &refuse_act, .act_count = 1};
static struct mp_t_rule inline_rule = {.package = S("p"), .name = S("admin"),
                                       .kind = MP_RULE_INLINE,
                                       .layers = MP_LAYER_ALL, .signal = &requests, .when =
                                           {.cond = &at_admin},
                                       .steps = &refuse_step, .step_count = 1};

/* ---- lowering ---- */
struct made {
    struct mp_arena arena;
    struct mp_ir ir;
    enum mp_err err;
};

static struct mp_typed typed(struct mp_arena *a)
{
    struct mp_typed t = {0};
    five.value = mp_value_num(0.05);
    *MP_VEC_PUSH(a, &t.entities) = &service;
    *MP_VEC_PUSH(a, &t.signals) = &requests;
    *MP_VEC_PUSH(a, &t.actions) = &quarantine;
    *MP_VEC_PUSH(a, &t.actions) = &deny;
    *MP_VEC_PUSH(a, &t.params) = &x;
    *MP_VEC_PUSH(a, &t.defs) = (struct mp_t_def *)&error_rate;
    *MP_VEC_PUSH(a, &t.rules) = &inline_rule;
    *MP_VEC_PUSH(a, &t.rules) = &loop;
    return t;
}

static struct made *lowered(bool with_tests)
{
    static struct made m;
    memset(&m, 0, sizeof m);
    mp_arena_init(&m.arena, NULL, 0);
    struct mp_typed t = typed(&m.arena);
    assert_int_equal(mp_ir_init(&m.ir, &m.arena), MP_OK);
    struct mp_lower_options options = {.with_tests = with_tests};
    m.err = mp_lower(&t, &options, &m.ir);
    assert_int_equal(m.err, MP_OK);
    struct mp_fault fault = {0};
    enum mp_err err = mp_ir_verify(&m.ir, &fault);
    if (err != MP_OK) {
        struct mp_buf text;
        mp_buf_init(&text, &m.arena);
        mp_ir_print(&m.ir, &text);
        print_message("%s: table %u row %u\n%.*s\n", fault.why, fault.table, fault.row,
                      (int)text.len, text.ptr);
    }
    assert_int_equal(err, MP_OK);
    return &m;
}

static void done(struct made *m)
{
    mp_arena_free(&m->arena);
}

static bool is(const struct made *m, mp_text_ref ref, const char *text)
{
    return mp_str_eq(mp_ir_str(&m->ir, ref), mp_str_of(text));
}

static void only_fields_that_are_read_are_asked_for(void **state)
{
    struct made *m = lowered(false);
    assert_int_equal(m->ir.field.len, 4);
    assert_true(is(m, m->ir.field.ptr[0].path, "service.name"));
    assert_int_equal(m->ir.field.ptr[0].flags, MP_FIELD_KEY);
    assert_true(is(m, m->ir.field.ptr[1].path, "layer"));
    assert_int_equal(m->ir.signal.ptr[0].layer, 1);
    assert_int_equal(m->ir.attr.len, 1); /* nobody reads the tier, but an operator may ask */
    done(m);
}

static void a_ratio_is_one_aggregate_however_often_it_is_read(void **state)
{
    struct made *m = lowered(false);
    assert_int_equal(m->ir.agg.len, 1);
    const struct mp_agg_row *agg = m->ir.agg.ptr;
    assert_int_equal(agg->kind, MP_AGG_RATIO);
    assert_int_equal(agg->panes, 60);
    assert_int_equal(agg->late_panes, 12);
    assert_int_equal(agg->pane_ns, 166666667);
    assert_int_equal(agg->min_samples, 20);
    assert_int_equal(agg->layers, MP_LAYER_SERVICE);
    assert_int_equal(agg->where, 0);
    assert_true(
        is(m, agg->text,
           "ratio(requests where between(status, 500, 599)) over 10s per service at 2 min 20"));
    assert_int_equal(m->ir.grouping.len, 1);
    assert_int_equal(m->ir.grouping.ptr[0].cap, 2000);
    done(m);
}

static void rules_of_two_kinds_are_judged_apart(void **state)
{
    struct made *m = lowered(false);
    assert_int_equal(m->ir.rule.len, 2);
    const struct mp_signal_row *s = m->ir.signal.ptr;
    assert_int_equal(s->rule_units_count, 1);
    assert_int_equal(m->ir.rule.ptr[0].unit, s->rule_units_at);
    assert_int_equal(m->ir.grouping.ptr[0].units_count, 1);
    assert_int_equal(m->ir.rule.ptr[1].unit, m->ir.grouping.ptr[0].units_at);
    assert_int_not_equal(s->unit, MP_NONE);
    assert_int_equal(m->ir.rule.ptr[0].flags, MP_RULE_DENIES_FIRST);
    assert_int_equal(m->ir.rule.ptr[1].flags, 0);
    done(m);
}

static void a_verify_reads_the_cell_of_the_trigger(void **state)
{
    struct made *m = lowered(false);
    const struct mp_step_row *made = &m->ir.step.ptr[m->ir.rule.ptr[1].steps_at];
    const struct mp_clause_row *verify = &m->ir.clause.ptr[made->verify];
    const struct mp_clause_row *when = &m->ir.clause.ptr[m->ir.rule.ptr[1].trigger];
    assert_int_equal(verify->inputs_count, 1);
    assert_int_equal(when->inputs_count, 1);
    assert_int_equal(m->ir.input.ptr[verify->inputs_at].column,
                     m->ir.input.ptr[when->inputs_at].column);
    assert_int_equal(verify->within_ns, 60000000000);
    assert_int_equal(verify->hold_ns, 20000000000);
    const struct mp_part_row *part = &m->ir.part.ptr[when->parts_at];
    assert_true(is(m, part->text, "error_rate > x"));
    assert_true(is(m, part->shown_text, "error_rate"));
    assert_int_equal(part->column, m->ir.input.ptr[when->inputs_at].column);
    done(m);
}

static void a_request_meets_leases_on_its_service(void **state)
{
    struct made *m = lowered(false);
    assert_int_equal(m->ir.reach.len, 1);
    assert_int_equal(m->ir.reach.ptr[0].entity, 0);
    assert_int_equal(m->ir.walk.ptr[m->ir.reach.ptr[0].walk].base, MP_WALK_FIELD);
    assert_int_equal(m->ir.feed.len, 1);
    done(m);
}

static void only_tests_bring_a_place_to_override(void **state)
{
    struct made *m = lowered(false);
    assert_int_equal(m->ir.def.len, 0);
    uint32_t columns = m->ir.column.len;
    done(m);
    m = lowered(true);
    assert_int_equal(m->ir.def.len, 1);
    assert_int_equal(m->ir.column.len, columns + 2);
    done(m);
}

static void lowering_twice_gives_the_same_text(void **state)
{
    struct made *m = lowered(true);
    struct mp_buf first, second;
    struct mp_arena keep;
    mp_arena_init(&keep, NULL, 0);
    mp_buf_init(&first, &keep);
    mp_ir_print(&m->ir, &first);
    done(m);
    m = lowered(true);
    mp_buf_init(&second, &keep);
    mp_ir_print(&m->ir, &second);
    assert_true(first.len > 0 && mp_str_eq(mp_buf_view(&first), mp_buf_view(&second)));
    done(m);
    mp_arena_free(&keep);
}

/* ---- memory ---- */

/* Blocks of memory that are left: for the tables and for what lowering needs meanwhile. */
static void *short_alloc(void *ctx, size_t size)
{
    int *blocks = ctx;
    return (*blocks)-- > 0 ? malloc(size) : NULL;
}

static void short_free(void *ctx, void *ptr, size_t size)
{
    free(ptr);
}

static enum mp_err lowered_into(struct mp_arena *arena)
{
    struct mp_arena input;
    mp_arena_init(&input, NULL, 0);
    struct mp_typed t = typed(&input);
    static struct mp_ir ir;
    enum mp_err err = mp_ir_init(&ir, arena);
    struct mp_lower_options options = {.with_tests = true};
    if (err == MP_OK) err = mp_lower(&t, &options, &ir);
    mp_arena_free(&input);
    return err;
}

static void tables_that_find_no_room_are_told(void **state)
{
    static _Alignas(16) char room[256 * 1024];
    enum mp_err err = MP_ENOMEM;
    size_t bytes = 64;
    for (; err == MP_ENOMEM && bytes < sizeof room; bytes += 64) {
        struct mp_arena arena;
        mp_arena_init_fixed(&arena, room, bytes);
        err = lowered_into(&arena);
    }
    assert_int_equal(err, MP_OK);
    assert_in_range(bytes, 8 * 1024, sizeof room);
}

static void lowering_that_finds_no_memory_is_told(void **state)
{
    enum mp_err err = MP_ENOMEM;
    int count = 0;
    for (; err == MP_ENOMEM && count < 100; count++) {
        int blocks = count;
        struct mp_alloc from = {short_alloc, short_free, &blocks};
        struct mp_arena arena;
        mp_arena_init(&arena, &from, 0);
        err = lowered_into(&arena);
        mp_arena_free(&arena);
    }
    assert_int_equal(err, MP_OK);
    assert_in_range(count, 3, 10); /* at least one block for each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_fields_that_are_read_are_asked_for),
        cmocka_unit_test(a_ratio_is_one_aggregate_however_often_it_is_read),
        cmocka_unit_test(rules_of_two_kinds_are_judged_apart),
        cmocka_unit_test(a_verify_reads_the_cell_of_the_trigger),
        cmocka_unit_test(a_request_meets_leases_on_its_service),
        cmocka_unit_test(only_tests_bring_a_place_to_override),
        cmocka_unit_test(lowering_twice_gives_the_same_text),
        cmocka_unit_test(tables_that_find_no_room_are_told),
        cmocka_unit_test(lowering_that_finds_no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
