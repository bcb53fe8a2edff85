/* SPDX-License-Identifier: Apache-2.0
 * Each op against its helper, on values at the borders of its types.
 */
#include "bed.h"

#include <stdlib.h>

#include "base/hash.h"

/* ---- one op, all samples, each operand known and unknown ---- */

struct op_case {
    enum mp_op op;
    enum mp_rep rep[3]; /* N: no value */
    uint32_t k, fn;
    enum mp_rep result;
};

static struct op_case make_case(enum mp_op op, enum mp_rep any)
{
    struct op_case c = {.op = op};
    const struct mp_op_layout *layout = mp_op_layout(op);
    struct mp_ir_fn f;
    uint32_t operand[3] = {0, 0, 0};
    mp_ir_fn_begin(&f, &fx.ir, mp_op_word(op), 0, MP_NONE);
    for (int i = 0; i < 3; i++) {
        char kind = layout->kind[i];
        if (kind == '-') continue;
        if (!mp_op_kind_is_value(kind)) {
            operand[i] = c.k = row_for(op, kind, any);
            continue;
        }
        c.rep[i] = kind == '*' ? any : letter_rep(kind);
        operand[i] = mp_ir_op_field(&f, slot_of(c.rep[i], (uint32_t)i), c.rep[i]);
    }
    if (op == MP_OP_IN_SET) c.k = MP_REP_T;
    uint32_t v = mp_ir_op(&f, op, operand[0], operand[1], operand[2]);
    c.result = mp_ir_rep(&f, v);
    mp_ir_out(&f, v, type_of_rep(c.result));
    c.fn = mp_ir_fn_end(&f);
    return c;
}

static void check_case(const struct op_case *c, const struct mp_value v[3], uint32_t known)
{
    const struct mp_value *operand[3] = {NULL, NULL, NULL};
    bool all_known = true;
    for (uint32_t i = 0; i < 3; i++) {
        if (c->rep[i] == MP_REP_N) continue;
        set(slot_of(c->rep[i], i), v[i], (known >> i & 1) != 0);
        operand[i] = &v[i];
        all_known &= (known >> i & 1) != 0;
    }
    struct mp_inputs in = inputs();
    struct mp_value got, want = mp_value_int(0);
    bool got_known = mp_eval_value(fx.program, c->fn, &in, &got);
    struct mp_value copy = got; /* `lower` would overwrite the text of got */
    char bytes[64] = "";
    if (c->result == MP_REP_T && got_known) {
        mp_str s = mp_value_as_text(&got);
        memcpy(bytes, s.ptr, s.len);
        copy = mp_value_text((mp_str){bytes, s.len});
    }
    bool want_known =
        all_known && mp_exec_helpers[c->op](&in, c->k, operand[0], operand[1], operand[2], &want);
    if (got_known != want_known || !same_value(c->result, copy, want)) {
        fail_msg("%.*s: known %d, expected %d, word %llx, expected %llx",
                 MP_STR_ARG(mp_op_word(c->op)), got_known, want_known, (unsigned long long)got.w[0],
                 (unsigned long long)want.w[0]);
    }
    if (!got_known) assert_true(got.w[0] == 0 && got.w[1] == 0);
}

static void check_samples(const struct op_case *c)
{
    struct mp_value s[3][16], v[3];
    uint32_t n[3];
    for (int i = 0; i < 3; i++) n[i] = c->rep[i] == MP_REP_N ? 1 : samples(c->rep[i], s[i]);
    for (uint32_t a = 0; a < n[0]; a++) {
        for (uint32_t b = 0; b < n[1]; b++) {
            for (uint32_t d = 0; d < n[2]; d++) {
                v[0] = s[0][a], v[1] = s[1][b], v[2] = s[2][d];
                for (uint32_t known = 0; known < 8; known++) check_case(c, v, known);
            }
        }
    }
}

static void every_op_is_unknown_where_an_operand_is_and_else_what_its_helper_says(void **state)
{
    struct op_case cases[128];
    uint32_t count = 0;
    for (uint32_t op = 0; op < MP_OP_COUNT; op++) {
        if (mp_exec_helpers[op] == NULL) continue;
        bool any = mp_op_layout(op)->kind[0] == '*' && op == MP_OP_IN_LIST;
        for (enum mp_rep rep = MP_REP_B; rep <= MP_REP_A; rep++) {
            if (!any && rep != MP_REP_T) continue;
            cases[count++] = make_case((enum mp_op)op, rep);
        }
    }
    load();
    for (uint32_t i = 0; i < count; i++) check_samples(&cases[i]);
}

static void every_op_has_a_helper_or_judges_unknown_itself(void **state)
{
    for (uint32_t op = 0; op < MP_OP_COUNT; op++) {
        switch (op) {
        case MP_OP_CONST: case MP_OP_PARAM: case MP_OP_FIELD: case MP_OP_COL: case MP_OP_UNKNOWN:
        case MP_OP_NOT: case MP_OP_AND: case MP_OP_OR: case MP_OP_KNOWN: case MP_OP_IS_TRUE:
        case MP_OP_DEFAULT: case MP_OP_PICK: case MP_OP_OVERRIDE:
            assert_null(mp_exec_helpers[op]);
            break;
        default: assert_non_null(mp_exec_helpers[op]); break;
        }
    }
}

/* ---- Kleene ---- */

static void set_truth(uint32_t slot, enum mp_truth t)
{
    set(slot, mp_value_bool(t == MP_TRUE), t != MP_UNKNOWN);
}

static void logic_is_kleenes(void **state)
{
    static const enum mp_truth F = MP_FALSE, T = MP_TRUE, U = MP_UNKNOWN;
    const enum mp_truth and_table[3][3] = {{F, F, F}, {F, T, U}, {F, U, U}};
    const enum mp_truth or_table[3][3] = {{F, T, U}, {T, T, T}, {U, T, U}};
    const enum mp_truth not_table[3] = {T, F, U}, known_table[3] = {T, T, F},
                        true_table[3] = {F, T, F};
    static const enum mp_op ops[] = {MP_OP_AND,     MP_OP_OR,      MP_OP_NOT, MP_OP_KNOWN,
                                     MP_OP_IS_TRUE, MP_OP_DEFAULT, MP_OP_EQ_B};
    uint32_t fn[7];
    for (int i = 0; i < 7; i++) {
        struct mp_ir_fn f;
        mp_ir_fn_begin(&f, &fx.ir, MP_STR("f"), 0, MP_NONE);
        uint32_t a = mp_ir_op_field(&f, 0, MP_REP_B), b = mp_ir_op_field(&f, 1, MP_REP_B);
        bool two = i == 0 || i == 1 || i >= 5;
        mp_ir_out(&f, mp_ir_op(&f, ops[i], a, two ? b : 0, 0), MP_TYPE_BOOL);
        fn[i] = mp_ir_fn_end(&f);
    }
    load();
    struct mp_inputs in = inputs();
    for (enum mp_truth a = F; a <= U; a++) {
        for (enum mp_truth b = F; b <= U; b++) {
            set_truth(0, a);
            set_truth(1, b);
            assert_int_equal(mp_eval_truth(fx.program, fn[0], &in), and_table[a][b]);
            assert_int_equal(mp_eval_truth(fx.program, fn[1], &in), or_table[a][b]);
            assert_int_equal(mp_eval_truth(fx.program, fn[2], &in), not_table[a]);
            assert_int_equal(mp_eval_truth(fx.program, fn[3], &in), known_table[a]);
            assert_int_equal(mp_eval_truth(fx.program, fn[4], &in), true_table[a]);
            assert_int_equal(mp_eval_truth(fx.program, fn[5], &in), a != U ? a : b);
            assert_int_equal(mp_eval_truth(fx.program, fn[6], &in), a == U || b == U ? U
                                                                    : a == b         ? T
                                                                                     : F);
        }
    }
}

static void a_choice_takes_the_unknown_of_what_it_chose(void **state)
{
    struct mp_ir_fn f;
    mp_ir_fn_begin(&f, &fx.ir, MP_STR("f"), 0, MP_NONE);
    uint32_t b = mp_ir_op_field(&f, 0, MP_REP_B),
             n = mp_ir_op_field(&f, slot_of(MP_REP_I, 0), MP_REP_I);
    uint32_t x = mp_ir_op_field(&f, slot_of(MP_REP_I, 1), MP_REP_I),
             y = mp_ir_op_field(&f, slot_of(MP_REP_I, 2), MP_REP_I);
    mp_ir_out(&f, mp_ir_op(&f, MP_OP_PICK, b, x, y), MP_TYPE_INT);
    mp_ir_out(&f, mp_ir_op(&f, MP_OP_OVERRIDE, n, x, y), MP_TYPE_INT);
    mp_ir_out(&f, mp_ir_op(&f, MP_OP_DEFAULT, x, y, 0), MP_TYPE_INT);
    uint32_t fn = mp_ir_fn_end(&f);
    load();
    struct mp_inputs in = inputs();
    uint64_t known, truth;
    struct mp_value value[3];
    struct mp_outputs out = {&known, &truth, value};
    for (uint32_t bits = 0; bits < 4; bits++) {
        bool kx = (bits & 1) != 0, ky = (bits & 2) != 0;
        set(slot_of(MP_REP_I, 1), mp_value_int(10), kx);
        set(slot_of(MP_REP_I, 2), mp_value_int(20), ky);
        for (int64_t state_of = 0; state_of < 4; state_of++) {
            enum mp_truth t = state_of == 0 ? MP_FALSE : state_of == 1 ? MP_TRUE : MP_UNKNOWN;
            set_truth(0, t);
            set(slot_of(MP_REP_I, 0), mp_value_int(state_of), true);
            mp_eval_fn(fx.program, fn, &in, &out);
            bool pick = t == MP_TRUE ? kx : ky;
            assert_int_equal(known & 1, pick);
            assert_int_equal(mp_value_as_int(value[0]), !pick ? 0 : t == MP_TRUE ? 10 : 20);
            bool over = state_of == 0 ? ky : state_of == 1 ? kx : false;
            assert_int_equal(known >> 1 & 1, over);
            assert_int_equal(mp_value_as_int(value[1]), !over ? 0 : state_of == 0 ? 20 : 10);
            assert_int_equal(known >> 2 & 1, kx || ky);
            assert_int_equal(mp_value_as_int(value[2]), kx ? 10 : ky ? 20 : 0);
        }
    }
}

/* ---- borders ---- */

static bool ask(enum mp_op op, struct mp_value a, struct mp_value b, struct mp_value c,
                struct mp_value *out)
{
    struct mp_inputs in = {.program = fx.program};
    return mp_exec_helpers[op](&in, 0, &a, &b, &c, out);
}

static void expect_int(enum mp_op op, int64_t a, int64_t b, int64_t c, bool known, int64_t n)
{
    struct mp_value out;
    assert_int_equal(ask(op, mp_value_int(a), mp_value_int(b), mp_value_int(c), &out), known);
    assert_true(mp_value_as_int(out) == n);
}

static void expect_num(enum mp_op op, double a, double b, bool known, double n)
{
    struct mp_value out;
    assert_int_equal(ask(op, mp_value_num(a), mp_value_num(b), mp_value_num(0), &out), known);
    assert_true(mp_value_as_num(out) == n);
}

static void overflow_is_unknown(void **state)
{
    expect_int(MP_OP_ADD_I, INT64_MAX, 1, 0, false, 0);
    expect_int(MP_OP_ADD_I, INT64_MAX, 0, 0, true, INT64_MAX);
    expect_int(MP_OP_SUB_I, INT64_MIN, 1, 0, false, 0);
    expect_int(MP_OP_MUL_I, INT64_MIN, -1, 0, false, 0);
    expect_int(MP_OP_MUL_I, (int64_t)1 << 32, (int64_t)1 << 31, 0, false, 0);
    expect_int(MP_OP_NEG_I, INT64_MIN, 0, 0, false, 0);
    expect_int(MP_OP_ABS_I, INT64_MIN, 0, 0, false, 0);
    expect_int(MP_OP_ABS_I, INT64_MIN + 1, 0, 0, true, INT64_MAX);
    expect_num(MP_OP_ADD_F, 1e308, 1e308, false, 0);
    expect_num(MP_OP_MUL_F, 1e200, -1e200, false, 0);
    expect_num(MP_OP_DIV_F, 1, 0, false, 0);
    expect_num(MP_OP_DIV_F, 0, 0, false, 0);
    expect_num(MP_OP_DIV_F, 1, 5e-324, false, 0);
    expect_num(MP_OP_DIV_F, 0, -3, true, 0);
}

static void powers_stay_in_their_limits(void **state)
{
    struct mp_value out;
    expect_int(MP_OP_POW_I, 2, 62, 0, true, (int64_t)1 << 62);
    expect_int(MP_OP_POW_I, 2, 63, 0, false, 0);
    expect_int(MP_OP_POW_I, -2, 63, 0, true, INT64_MIN);
    expect_int(MP_OP_POW_I, 0, 0, 0, true, 1);
    expect_int(MP_OP_POW_I, 1, 1024, 0, true, 1);
    expect_int(MP_OP_POW_I, 1, 1025, 0, false, 0);
    expect_int(MP_OP_POW_I, 7, -1, 0, false, 0);
    expect_int(MP_OP_POW_I, 3037000499, 2, 0, true, 9223372030926249001);
    assert_true(ask(MP_OP_POW_F, mp_value_num(2), mp_value_int(1023), out, &out) &&
                mp_value_as_num(out) == 8.98846567431158e307);
    assert_false(ask(MP_OP_POW_F, mp_value_num(2), mp_value_int(1024), out, &out));
    assert_true(ask(MP_OP_POW_F, mp_value_num(0.5), mp_value_int(1024), out, &out));
    assert_false(ask(MP_OP_POW_F, mp_value_num(0.5), mp_value_int(1025), out, &out));
    assert_true(ask(MP_OP_POW_F, mp_value_num(1e200), mp_value_int(1), out, &out) &&
                mp_value_as_num(out) == 1e200);
}

static void a_clamp_with_its_ends_crossed_is_unknown(void **state)
{
    struct mp_value out;
    expect_int(MP_OP_CLAMP_I, 5, 1, 3, true, 3);
    expect_int(MP_OP_CLAMP_I, 0, 1, 3, true, 1);
    expect_int(MP_OP_CLAMP_I, 2, 3, 1, false, 0);
    expect_int(MP_OP_CLAMP_I, 2, 2, 2, true, 2);
    assert_false(ask(MP_OP_CLAMP_F, mp_value_num(2), mp_value_num(3), mp_value_num(1), &out));
    assert_true(ask(MP_OP_CLAMP_F, mp_value_num(2), mp_value_num(0), mp_value_num(1), &out) &&
                mp_value_as_num(out) == 1);
}

static void the_nearest_int_is_even_on_a_tie(void **state)
{
    struct mp_value out;
    static const struct {
        double f;
        bool known;
        int64_t n;
    } rows[] = {{0.5, true, 0},
                {1.5, true, 2},
                {2.5, true, 2},
                {-0.5, true, 0},
                {-1.5, true, -2},
                {-2.5, true, -2},
                {0.49999999999999994, true, 0},
                {4503599627370495.5, true, 4503599627370496},
                {4503599627370497.0, true, 4503599627370497},
                {-4503599627370495.5, true, -4503599627370496},
                {9223372036854775808.0, false, 0},
                {9223372036854774784.0, true, 9223372036854774784},
                {-9223372036854775808.0, true, INT64_MIN},
                {-9223372036854777856.0, false, 0},
                {1e300, false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(ask(MP_OP_F_TO_I, mp_value_num(rows[i].f), out, out, &out), rows[i].known);
        assert_true(mp_value_as_int(out) == rows[i].n);
    }
}

/* ---- lists, text ---- */

static enum mp_truth in_list(enum mp_rep rep, struct mp_value v)
{
    struct mp_inputs in = inputs();
    struct mp_value out;
    assert_true(mp_exec_helpers[MP_OP_IN_LIST](&in, fx.list[rep - MP_REP_B], &v, NULL, NULL, &out));
    return out.w[0] != 0 ? MP_TRUE : MP_FALSE;
}

static void members_of_lists_are_found(void **state)
{
    load();
    assert_int_equal(in_list(MP_REP_B, mp_value_bool(true)), MP_TRUE);
    assert_int_equal(in_list(MP_REP_B, mp_value_bool(false)), MP_FALSE);
    assert_int_equal(in_list(MP_REP_I, mp_value_int(7)), MP_TRUE);
    assert_int_equal(in_list(MP_REP_I, mp_value_int(INT64_MIN)), MP_TRUE);
    assert_int_equal(in_list(MP_REP_I, mp_value_int(3)), MP_FALSE);
    assert_int_equal(in_list(MP_REP_F, mp_value_num(0.0)), MP_TRUE);
    assert_int_equal(in_list(MP_REP_F, mp_value_num(-2)), MP_TRUE);
    assert_int_equal(in_list(MP_REP_F, mp_value_num(2)), MP_FALSE);
    assert_int_equal(in_list(MP_REP_T, mp_value_text(MP_STR("checkout"))), MP_TRUE);
    assert_int_equal(in_list(MP_REP_T, mp_value_text(MP_STR(""))), MP_TRUE);
    assert_int_equal(in_list(MP_REP_T, mp_value_text(MP_STR("a text of more than twelve"))),
                     MP_TRUE);
    assert_int_equal(in_list(MP_REP_T, mp_value_text(MP_STR("a text of more than twelvf"))),
                     MP_FALSE);
    assert_int_equal(in_list(MP_REP_T, mp_value_text(MP_STR("spiffe://prod/ns/x"))), MP_TRUE);
    assert_int_equal(in_list(MP_REP_T, mp_value_text(MP_STR("spiffe://test/ns/x"))), MP_FALSE);
    assert_int_equal(in_list(MP_REP_A, address("10.255.255.255")), MP_TRUE);
    assert_int_equal(in_list(MP_REP_A, address("9.255.255.255")), MP_FALSE);
    assert_int_equal(in_list(MP_REP_A, address("11.0.0.0")), MP_FALSE);
    assert_int_equal(in_list(MP_REP_A, address("192.0.2.7")), MP_TRUE);
    assert_int_equal(in_list(MP_REP_A, address("192.0.2.8")), MP_FALSE);
    assert_int_equal(in_list(MP_REP_A, address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")), MP_TRUE);
    assert_int_equal(in_list(MP_REP_A, address("2001:db9::")), MP_FALSE);
}

static void many_addresses_are_found_as_one_by_one(void **state)
{
    enum { NETS = 300 };
    uint64_t seed = 5;
    struct mp_value net[NETS];
    uint32_t bits[NETS], from = fx.ir.item.len;
    for (int i = 0; i < NETS; i++) {
        /* few first bytes: they meet */
        net[i] = (struct mp_value){{0, mp_rng_next(&seed) & 0xffff00000000u}};
        net[i].w[1] = 0xffff00000000u |
                      (uint64_t)((mp_rng_next(&seed) & 3) | (mp_rng_next(&seed) & 0xffff00));
        net[i].w[1] = net[i].w[1] << 16 | 0; /* keep it any address at all */
        bits[i] = (uint32_t)(mp_rng_next(&seed) % 129);
        if (bits[i] < 70) bits[i] += 50;
        uint32_t c = mp_ir_const(&fx.ir, MP_TYPE_CIDR, net[i], bits[i]);
        mp_ir_add_item(&fx.ir)->value = c;
    }
    mp_ir_add_list(&fx.ir)->type = MP_TYPE_IP;
    uint32_t list = fx.ir.list.len - 1;
    MP_IR_SPAN(&fx.ir, list, list, items, item, from);
    load();
    struct mp_inputs in = inputs();
    uint32_t inside = 0;
    for (int i = 0; i < 20000; i++) {
        struct mp_value v = net[mp_rng_next(&seed) % NETS], out;
        v.w[mp_rng_next(&seed) & 1] ^= (uint64_t)1 << (mp_rng_next(&seed) & 63);
        bool want = false;
        for (int k = 0; k < NETS; k++) want |= mp_value_in_net(v, net[k], bits[k]);
        assert_true(mp_exec_helpers[MP_OP_IN_LIST](&in, list, &v, NULL, NULL, &out));
        assert_int_equal(out.w[0], want);
        inside += want;
    }
    assert_true(inside > 100 && inside < 19900);
}

static void a_search_that_meets_its_limit_is_unknown_or_true_where_a_deny_asks(void **state)
{
    struct mp_ir_fn f;
    mp_ir_fn_begin(&f, &fx.ir, MP_STR("f"), 0, MP_NONE);
    uint32_t t = mp_ir_op_field(&f, slot_of(MP_REP_T, 0), MP_REP_T);
    mp_ir_out(&f, mp_ir_op(&f, MP_OP_MATCHES, t, fx.slow_regex, 0), MP_TYPE_BOOL);
    mp_ir_out(&f, mp_ir_op(&f, MP_OP_MATCHES_LIMIT, t, fx.slow_regex, 0), MP_TYPE_BOOL);
    mp_ir_out(&f, mp_ir_op(&f, MP_OP_LIST_MATCHES, t, fx.regexes, 0), MP_TYPE_BOOL);
    uint32_t fn = mp_ir_fn_end(&f);
    load();
    struct mp_inputs in = inputs();
    uint64_t known, truth;
    struct mp_outputs out = {&known, &truth, NULL};
    set(slot_of(MP_REP_T, 0), mp_value_text(MP_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaX")),
        true);
    mp_eval_fn(fx.program, fn, &in, &out);
    assert_int_equal(known, 2);
    assert_int_equal(truth, 2);
    set(slot_of(MP_REP_T, 0),
        mp_value_text(MP_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa login")), true);
    mp_eval_fn(fx.program, fn, &in, &out);
    assert_int_equal(known, 6);
    assert_int_equal(truth, 6);
}

static void parts_of_an_identity_are_told_apart(void **state)
{
    static const struct {
        const char *id, *part[3];
    } rows[] = {
        {"spiffe://prod/ns/pay/sa/api", {"prod", "pay", "api"}},
        {"spiffe://prod.example.org/ns/payments-of-all/sa/api",
         {"prod.example.org", "payments-of-all", "api"}},
        {"spiffe://prod", {"prod", NULL, NULL}},
        {"spiffe://prod/ns/pay", {"prod", "pay", NULL}},
        {"spiffe://prod/host/x", {"prod", NULL, NULL}},
        {"spiffe:///ns/pay/sa/api", {NULL, NULL, NULL}},
        {"spiffe://prod/ns//sa/api", {"prod", NULL, NULL}},
        {"http://prod/ns/pay", {NULL, NULL, NULL}},
        {"", {NULL, NULL, NULL}},
    };
    struct mp_inputs in = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            struct mp_value id = mp_value_text(mp_str_of(rows[i].id)), out;
            bool known = mp_exec_helpers[MP_OP_ID_PART](&in, k, &id, NULL, NULL, &out);
            assert_int_equal(known, rows[i].part[k] != NULL);
            if (known)
                assert_true(mp_value_text_eq(out, mp_value_text(mp_str_of(rows[i].part[k]))));
        }
    }
}

static void lower_case_has_room_for_as_many_long_texts_as_a_function_may_have(void **state)
{
    static char long_text[MP_TEXT_LOWER_MAX + 2];
    memset(long_text, 'A', sizeof long_text - 1);
    struct mp_ir_fn f;
    mp_ir_fn_begin(&f, &fx.ir, MP_STR("f"), 0, MP_NONE);
    uint32_t t = mp_ir_op_field(&f, slot_of(MP_REP_T, 0), MP_REP_T);
    for (uint32_t i = 0; i < MP_FN_LOWER_MAX; i++) t = mp_ir_op(&f, MP_OP_LOWER, t, 0, 0);
    mp_ir_out(&f, t, MP_TYPE_STRING);
    uint32_t fn = mp_ir_fn_end(&f);
    load();
    struct mp_inputs in = inputs();
    struct mp_value out;
    set(slot_of(MP_REP_T, 0), mp_value_text((mp_str){long_text, MP_TEXT_LOWER_MAX}), true);
    for (int i = 0; i < 3; i++) {
        assert_true(mp_eval_value(fx.program, fn, &in, &out));
        assert_int_equal(mp_value_as_text(&out).ptr[MP_TEXT_LOWER_MAX - 1], 'a');
    }
    set(slot_of(MP_REP_T, 0), mp_value_text((mp_str){long_text, MP_TEXT_LOWER_MAX + 1}), true);
    assert_false(mp_eval_value(fx.program, fn, &in, &out));
}

static void a_function_that_lowers_too_often_is_refused(void **state)
{
    struct mp_ir_fn f;
    struct mp_fault fault;
    mp_ir_fn_begin(&f, &fx.ir, MP_STR("f"), 0, MP_NONE);
    uint32_t t = mp_ir_op_field(&f, slot_of(MP_REP_T, 0), MP_REP_T);
    for (uint32_t i = 0; i < MP_FN_LOWER_MAX + 1; i++) t = mp_ir_op(&f, MP_OP_LOWER, t, 0, 0);
    mp_ir_out(&f, t, MP_TYPE_STRING);
    mp_ir_fn_end(&f);
    assert_int_equal(mp_ir_verify(&fx.ir, &fault), MP_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_op_is_unknown_where_an_operand_is_and_else_what_its_helper_says),
        TEST(every_op_has_a_helper_or_judges_unknown_itself),
        TEST(logic_is_kleenes),
        TEST(a_choice_takes_the_unknown_of_what_it_chose),
        TEST(overflow_is_unknown),
        TEST(powers_stay_in_their_limits),
        TEST(a_clamp_with_its_ends_crossed_is_unknown),
        TEST(the_nearest_int_is_even_on_a_tie),
        TEST(members_of_lists_are_found),
        TEST(many_addresses_are_found_as_one_by_one),
        TEST(a_search_that_meets_its_limit_is_unknown_or_true_where_a_deny_asks),
        TEST(parts_of_an_identity_are_told_apart),
        TEST(lower_case_has_room_for_as_many_long_texts_as_a_function_may_have),
        TEST(a_function_that_lowers_too_often_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
