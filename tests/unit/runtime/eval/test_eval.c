/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/eval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/hash.h"
#include "emit/emit.h"
#include "ir/ir.h"
#include "os/std.h"

/* ---- a program of one signal, with fields of every representation ---- */

enum { PER_REP = 4 };
static const enum mp_type field_types[] = {MP_TYPE_BOOL, MP_TYPE_INT, MP_TYPE_NUMBER,
                                           MP_TYPE_STRING, MP_TYPE_IP};
enum { SET_SLOT = 5 * PER_REP, FIELDS };

static uint32_t slot_of(enum mp_rep rep, uint32_t i)
{
    return rep == MP_REP_S ? SET_SLOT : (uint32_t)(rep - MP_REP_B) * PER_REP + i;
}

struct fixture {
    struct mp_arena arena;
    struct mp_ir ir;
    struct mp_os os;
    struct mp_program *program;
    struct mp_eval_scratch scratch;
    struct mp_value record[FIELDS];
    uint64_t known[1];
    uint32_t net, regex, slow_regex, list[5], patterns, regexes;
};

static struct fixture fx;

static uint32_t text_list(const char *name, enum mp_type type, const char *const *items)
{
    struct mp_ir *ir = &fx.ir;
    uint32_t from = ir->item.len;
    for (; *items != NULL; items++) {
        bool pattern = memchr(*items, '*', strlen(*items)) != NULL && type == MP_TYPE_STRING;
        uint32_t c = mp_ir_const_text(ir, pattern ? MP_TYPE_PATTERN : type, mp_str_of(*items));
        mp_ir_add_item(ir)->value = c;
    }
    struct mp_list_row *l = mp_ir_add_list(ir);
    l->name = mp_ir_text(ir, mp_str_of(name));
    l->type = type;
    MP_IR_SPAN(ir, list, ir->list.len - 1, items, item, from);
    return ir->list.len - 1;
}

static uint32_t value_list(const char *name, enum mp_type type, const struct mp_value *v,
                           uint32_t count)
{
    struct mp_ir *ir = &fx.ir;
    uint32_t from = ir->item.len;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t c = mp_ir_const(ir, type, v[i], 0);
        mp_ir_add_item(ir)->value = c;
    }
    struct mp_list_row *l = mp_ir_add_list(ir);
    l->name = mp_ir_text(ir, mp_str_of(name));
    l->type = type;
    MP_IR_SPAN(ir, list, ir->list.len - 1, items, item, from);
    return ir->list.len - 1;
}

static uint32_t net_list(const char *const *items)
{
    struct mp_ir *ir = &fx.ir;
    uint32_t from = ir->item.len;
    for (; *items != NULL; items++) {
        struct mp_value v;
        uint32_t bits;
        assert_true(mp_value_address(mp_str_of(*items), &v, &bits));
        bool net = memchr(*items, '/', strlen(*items)) != NULL;
        uint32_t c = mp_ir_const(ir, net ? MP_TYPE_CIDR : MP_TYPE_IP, v, net ? bits : 0);
        mp_ir_add_item(ir)->value = c;
    }
    struct mp_list_row *l = mp_ir_add_list(ir);
    l->name = mp_ir_text(ir, MP_STR("nets"));
    l->type = MP_TYPE_IP;
    MP_IR_SPAN(ir, list, ir->list.len - 1, items, item, from);
    return ir->list.len - 1;
}

static int begin(void **state)
{
    memset(&fx, 0, sizeof fx);
    mp_std_os(&fx.os);
    mp_arena_init(&fx.arena, NULL, 0);
    assert_int_equal(mp_ir_init(&fx.ir, &fx.arena), MP_OK);
    struct mp_ir *ir = &fx.ir;
    for (uint32_t i = 0; i < FIELDS; i++) {
        struct mp_field_row *f = mp_ir_add_field(ir);
        f->signal = 0;
        f->type = i == SET_SLOT ? MP_TYPE_STRING : field_types[i / PER_REP];
        f->flags = i == SET_SLOT ? MP_FIELD_SET : 0;
    }
    struct mp_signal_row *s = mp_ir_add_signal(ir);
    s->name = mp_ir_text(ir, MP_STR("requests"));
    MP_IR_SPAN(ir, signal, 0, fields, field, 0);

    struct mp_value net;
    uint32_t bits;
    assert_true(mp_value_address(MP_STR("10.0.0.0/8"), &net, &bits));
    fx.net = mp_ir_const(ir, MP_TYPE_CIDR, net, bits);
    fx.regex = mp_ir_const_text(ir, MP_TYPE_STRING, MP_STR("wp-(login|admin)"));
    fx.slow_regex = mp_ir_const_text(ir, MP_TYPE_STRING, MP_STR("^(a+)+$"));
    struct mp_value bools[] = {mp_value_bool(true)};
    struct mp_value ints[] = {mp_value_int(7), mp_value_int(-3), mp_value_int(INT64_MIN),
                              mp_value_int(7)};
    struct mp_value nums[] = {mp_value_num(-0.0), mp_value_num(1.5), mp_value_num(-2)};
    fx.list[0] = value_list("bools", MP_TYPE_BOOL, bools, 1);
    fx.list[1] = value_list("ints", MP_TYPE_INT, ints, 4);
    fx.list[2] = value_list("nums", MP_TYPE_NUMBER, nums, 3);
    fx.list[3] = text_list("texts", MP_TYPE_STRING,
                           (const char *const[]){"checkout", "a text of more than twelve",
                                                 "spiffe://prod/*", "", NULL});
    fx.list[4] = net_list(
        (const char *const[]){"10.1.0.0/16", "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", NULL});
    fx.patterns =
        text_list("patterns", MP_TYPE_PATTERN, (const char *const[]){"/admin*", "check", NULL});
    fx.regexes =
        text_list("regexes", MP_TYPE_PATTERN, (const char *const[]){"^(a+)+$", "login$", NULL});
    return 0;
}

static int end(void **state)
{
    mp_program_free(fx.program);
    mp_arena_free(&fx.arena);
    return 0;
}

static void load(void)
{
    mp_str image;
    struct mp_fault fault;
    const char *why = "";
    enum mp_err err = mp_emit(&fx.ir, &fx.arena, &image, &fault);
    if (err != MP_OK)
        fail_msg("%s: %s, table %u row %u", mp_err_text(err), fault.why, fault.table, fault.row);
    mp_program_free(fx.program);
    fx.program = NULL;
    if (mp_program_load(image.ptr, image.len, &fx.os, &fx.program, &why) != MP_OK)
        fail_msg("%s", why);
}

static struct mp_inputs inputs(void)
{
    struct mp_inputs in;
    mp_inputs_init(&in, fx.program, &fx.scratch);
    in.record = fx.record;
    in.record_known = fx.known;
    return in;
}

static void set(uint32_t slot, struct mp_value v, bool known)
{
    fx.record[slot] = known ? v : mp_value_int(0);
    fx.known[0] = (fx.known[0] & ~((uint64_t)1 << slot)) | (uint64_t)known << slot;
}

/* ---- samples ---- */

static struct mp_value address(const char *text)
{
    struct mp_value v;
    uint32_t bits;
    assert_true(mp_value_address(mp_str_of(text), &v, &bits));
    return v;
}

static uint32_t samples(enum mp_rep rep, struct mp_value out[16])
{
    static const int64_t ints[] = {
        0, 1, -1, 2, 7, 63, 64, -2, 1024, 1025, INT64_MAX, INT64_MIN, INT64_MIN + 1, 4294967296};
    static const double nums[] = {0.0,
                                  -0.0,
                                  1,
                                  -1,
                                  0.5,
                                  1.5,
                                  2.5,
                                  -2.5,
                                  1e308,
                                  -1e308,
                                  5e-324,
                                  9223372036854775807.0,
                                  -9223372036854775808.0,
                                  4503599627370497.5};
    static const char *const texts[] = {"",
                                        "checkout",
                                        "CHECKOUT",
                                        "/admin/x",
                                        "a text of more than twelve",
                                        "12",
                                        "-1.5e3",
                                        "1e999",
                                        "spiffe://prod/ns/pay/sa/api",
                                        "spiffe://prod/ns/",
                                        "wp-login",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaX",
                                        "A Text Of More Than Twelve"};
    static struct mp_value members[2];
    members[0] = mp_value_text(MP_STR("checkout"));
    members[1] = mp_value_text(MP_STR("a text of more than twelve"));
    switch (rep) {
    case MP_REP_B: out[0] = mp_value_bool(false); out[1] = mp_value_bool(true); return 2;
    case MP_REP_I: for (int i = 0; i < 14; i++) out[i] = mp_value_int(ints[i]); return 14;
    case MP_REP_F: for (int i = 0; i < 14; i++) out[i] = mp_value_num(nums[i]); return 14;
    case MP_REP_T:
        for (int i = 0; i < 13; i++) out[i] = mp_value_text(mp_str_of(texts[i]));
        return 13;
    case MP_REP_A:
        out[0] = address("10.1.2.3"); out[1] = address("11.0.0.0"); out[2] = address("192.0.2.7");
        out[3] = address("2001:db8:1::"); out[4] = address("::"); return 5;
    default:
        out[0] = (struct mp_value){{0, 0}};
        out[1] = (struct mp_value){{(uint64_t)(uintptr_t)members, 2}};
        return 2;
    }
}

static enum mp_rep letter_rep(char letter)
{
    const char *letters = "-bifta";
    const char *at = memchr(letters, letter, 6);
    return letter == 's' ? MP_REP_S : at == NULL ? MP_REP_N : (enum mp_rep)(at - letters);
}

static enum mp_type type_of_rep(enum mp_rep rep) { return field_types[rep - MP_REP_B]; }

/* A row for an operand that is none of the values. */
static uint32_t row_for(enum mp_op op, char kind, enum mp_rep rep)
{
    if (kind == 'M') return 1;
    if (kind == 'L') {
        if (op == MP_OP_IN_LIST) return fx.list[rep - MP_REP_B];
        return op == MP_OP_LIST_MATCHES ? fx.regexes : fx.patterns;
    }
    return op == MP_OP_IN_NET ? fx.net : op == MP_OP_MATCHES_LIMIT ? fx.slow_regex : fx.regex;
}

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

static bool same_value(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    if (rep == MP_REP_T) return mp_value_text_eq(a, b);
    return a.w[0] == b.w[0] && a.w[1] == b.w[1];
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

/* ---- functions against an evaluator that takes op after op ---- */

static uint32_t random_value(const struct mp_ir_fn *f, enum mp_rep rep, uint64_t *seed)
{
    for (;;) { /* ends: a function begins with leaves of every representation */
        uint32_t v = (uint32_t)(mp_rng_next(seed) % f->ops.len);
        /* deep ones too */
        if (mp_rng_next(seed) % 4 == 0 && f->ops.len > 40) v = f->ops.len - 1 - v % 40;
        if ((enum mp_rep)f->ops.ptr[v].rep == rep) return v;
    }
}

static void add_leaves(struct mp_ir_fn *f)
{
    for (enum mp_rep rep = MP_REP_B; rep <= MP_REP_A; rep++) {
        struct mp_value s[16];
        uint32_t n = samples(rep, s);
        for (uint32_t i = 0; i < PER_REP; i++) {
            mp_ir_op_field(f, slot_of(rep, i), rep);
            mp_ir_op_const(f, mp_ir_const(f->ir, type_of_rep(rep), s[i % n], 0));
        }
        mp_ir_op_unknown(f, rep);
    }
    mp_ir_op_field(f, SET_SLOT, MP_REP_S);
}

static void add_random_op(struct mp_ir_fn *f, uint64_t *seed, uint32_t *lowers)
{
    uint32_t op = (uint32_t)(mp_rng_next(seed) % MP_OP_COUNT);
    if (mp_rng_next(seed) % 2 == 0)
        op = MP_OP_NOT + (uint32_t)(mp_rng_next(seed) % (MP_OP_LE_F - MP_OP_NOT));
    if (op <= MP_OP_UNKNOWN || op == MP_OP_MATCHES_LIMIT || op == MP_OP_LIST_MATCHES) return;
    if (op == MP_OP_LOWER && ++*lowers > MP_FN_LOWER_MAX) return;
    enum mp_rep any = MP_REP_B + (enum mp_rep)(mp_rng_next(seed) % 5);
    if (op == MP_OP_IN_SET) any = MP_REP_T;
    uint32_t operand[3] = {0, 0, 0};
    for (int i = 0; i < 3; i++) {
        char kind = mp_op_layout(op)->kind[i];
        if (kind == '-') continue;
        enum mp_rep rep = kind == '*' || kind == 'v' ? any : letter_rep(kind);
        operand[i] = mp_op_kind_is_value(kind) ? random_value(f, rep, seed)
                                               : row_for((enum mp_op)op, kind, any);
    }
    mp_ir_op(f, (enum mp_op)op, operand[0], operand[1], operand[2]);
}

struct slow {
    struct mp_value v;
    bool known;
};

static struct slow slow_op(const struct mp_inputs *in, const struct mp_op_row *op,
                           const struct slow *done, uint32_t *lowers)
{
    const struct mp_op_layout *layout = mp_op_layout(op->code);
    const struct slow none = {mp_value_int(0), false};
    struct slow a = mp_op_kind_is_value(layout->kind[0]) ? done[op->a] : none;
    struct slow b = mp_op_kind_is_value(layout->kind[1]) ? done[op->b] : none;
    struct slow c = mp_op_kind_is_value(layout->kind[2]) ? done[op->c] : none;
    bool at = a.known && a.v.w[0] != 0, bt = b.known && b.v.w[0] != 0;
    bool af = a.known && a.v.w[0] == 0, bf = b.known && b.v.w[0] == 0;
    struct slow out = none;
    switch (op->code) {
    case MP_OP_CONST: return (struct slow){in->consts[op->a], true};
    case MP_OP_PARAM: return (struct slow){in->params[op->a], true};
    case MP_OP_FIELD:
        return (struct slow){in->record[op->a], (in->record_known[0] >> op->a & 1) != 0};
    case MP_OP_UNKNOWN: return none;
    case MP_OP_NOT: return (struct slow){mp_value_bool(af), a.known};
    case MP_OP_AND: return (struct slow){mp_value_bool(at && bt), af || bf || (at && bt)};
    case MP_OP_OR: return (struct slow){mp_value_bool(at || bt), at || bt || (af && bf)};
    case MP_OP_KNOWN: return (struct slow){mp_value_bool(a.known), true};
    case MP_OP_IS_TRUE: return (struct slow){mp_value_bool(at), true};
    case MP_OP_DEFAULT: return a.known ? a : b;
    case MP_OP_PICK: return at ? b : c;
    case MP_OP_OVERRIDE: return !a.known ? none : a.v.w[0] == 0 ? c : a.v.w[0] == 1 ? b : none;
    default: break;
    }
    uint32_t k = layout->kind[1] != '-' && !mp_op_kind_is_value(layout->kind[1]) ? op->b
                 : op->code == MP_OP_IN_SET                                      ? MP_REP_T
                                                                                 : 0;
    if (op->code == MP_OP_LOWER) k = (*lowers)++;
    for (int i = 0; i < 3; i++) {
        if (mp_op_kind_is_value(layout->kind[i]) && !(i == 0 ? a : i == 1 ? b : c).known)
            return none;
    }
    out.known = mp_exec_helpers[op->code](in, k, &a.v, &b.v, &c.v, &out.v);
    return out;
}

static void randomize_record(uint64_t *seed)
{
    for (enum mp_rep rep = MP_REP_B; rep <= MP_REP_S; rep++) {
        struct mp_value s[16];
        uint32_t n = samples(rep, s);
        for (uint32_t i = 0; i < (rep == MP_REP_S ? 1 : PER_REP); i++) {
            set(slot_of(rep, i), s[mp_rng_next(seed) % n], mp_rng_next(seed) % 4 != 0);
        }
    }
}

static void check_fn(uint32_t fn, uint64_t *seed)
{
    static uint64_t known[MP_FN_OUTS_MAX / 64], truth[MP_FN_OUTS_MAX / 64];
    static struct mp_value value[MP_FN_OUTS_MAX];
    static struct slow done[MP_FN_OPS_MAX];
    const struct mp_program *p = fx.program;
    const struct mp_fn_row *row = &p->fn[fn];
    struct mp_outputs out = {known, truth, value};
    for (int round = 0; round < 20; round++) {
        randomize_record(seed);
        struct mp_inputs in = inputs();
        memset(known, 0xaa, sizeof known); /* what was there must not matter */
        memset(truth, 0x55, sizeof truth);
        static struct mp_eval_scratch other;
        mp_eval_fn(p, fn, &in, &out);
        in.scratch = &other;
        uint32_t lowers = 0;
        for (uint32_t i = 0; i < row->ops_count; i++)
            done[i] = slow_op(&in, &p->op[row->ops_at + i], done, &lowers);
        for (uint32_t i = 0; i < row->outs_count; i++) {
            const struct mp_out_row *o = &p->out[row->outs_at + i];
            struct slow want = done[o->value];
            enum mp_rep rep = mp_type_rep((enum mp_type)o->type);
            assert_int_equal(known[i / 64] >> i % 64 & 1, want.known);
            if (rep == MP_REP_B) {
                assert_int_equal(truth[i / 64] >> i % 64 & 1, want.known && want.v.w[0] != 0);
            } else {
                assert_true(same_value(rep, value[i], want.v));
            }
        }
    }
}

static void random_functions_give_what_op_after_op_gives(void **state)
{
    uint64_t seed = 20261125;
    uint32_t fns[40];
    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint32_t n = 0; n < 40; n++) {
        struct mp_ir_fn f;
        uint32_t lowers = 0, length = n < 30 ? 60 + n * 10 : 3000 + n * 100;
        mp_ir_fn_begin(&f, &fx.ir, MP_STR("random"), 0, MP_NONE);
        add_leaves(&f);
        for (uint32_t i = 0; i < length; i++) add_random_op(&f, &seed, &lowers);
        uint32_t outs = n < 30 ? 20 : 700;
        for (uint32_t i = 0; i < outs; i++) {
            uint32_t v = (uint32_t)(mp_rng_next(&seed) % f.ops.len);
            enum mp_rep rep = mp_ir_rep(&f, v);
            if (rep == MP_REP_S) continue;
            mp_ir_out(&f, v, type_of_rep(rep));
        }
        fns[n] = mp_ir_fn_end(&f);
    }
    load();
    for (uint32_t n = 0; n < 40; n++) check_fn(fns[n], &seed);
}

/* ---- units, the switch ---- */

static uint32_t add_unit(uint32_t outs, uint32_t first_out)
{
    struct mp_ir *ir = &fx.ir;
    struct mp_ir_fn f;
    mp_ir_fn_begin(&f, ir, MP_STR("unit"), 0, MP_NONE);
    uint32_t x = mp_ir_op_field(&f, slot_of(MP_REP_I, 0), MP_REP_I);
    for (uint32_t i = 0; i < outs; i++) {
        uint32_t c = mp_ir_op_const(&f, mp_ir_const(ir, MP_TYPE_INT, mp_value_int(i), 0));
        mp_ir_out(&f, mp_ir_op(&f, MP_OP_LT_I, c, x, 0), MP_TYPE_BOOL); /* i < x */
    }
    uint32_t fn = mp_ir_fn_end(&f);
    struct mp_unit_row *u = mp_ir_add_unit(ir);
    u->kind = MP_UNIT_RECORD;
    u->signal = 0;
    u->fn = fn;
    u->first_out = first_out;
    return ir->unit.len - 1;
}

static void a_unit_answers_bits_from_its_first_output_on(void **state)
{
    uint32_t full = add_unit(64, 0), late = add_unit(100, 70);
    load();
    struct mp_inputs in = inputs();
    struct mp_hits hits;
    set(slot_of(MP_REP_I, 0), mp_value_int(5), true);
    mp_eval_unit(fx.program, full, &in, &hits);
    assert_true(hits.known == UINT64_MAX && hits.truth == 0x1f && hits.unit == full);
    set(slot_of(MP_REP_I, 0), mp_value_int(73), true);
    mp_eval_unit(fx.program, late, &in, &hits);
    assert_true(hits.known == 0x3fffffff && hits.truth == 7);
    assert_int_equal(mp_hits_truth(&hits, 2), MP_TRUE);
    assert_int_equal(mp_hits_truth(&hits, 3), MP_FALSE);
    set(slot_of(MP_REP_I, 0), mp_value_int(73), false);
    mp_eval_unit(fx.program, full, &in, &hits);
    assert_true(hits.known == 0 && hits.truth == 0);
    assert_int_equal(mp_hits_truth(&hits, 0), MP_UNKNOWN);
}

static void native(const struct mp_inputs *in, struct mp_outputs *out)
{
    out->known[0] = 1;
    out->truth[0] = 1;
}

static void native_code_is_used_where_there_is_some(void **state)
{
    uint32_t a = add_unit(1, 0), b = add_unit(1, 0);
    load();
    struct mp_inputs in = inputs();
    set(slot_of(MP_REP_I, 0), mp_value_int(-1), true);
    mp_native_fn fns[2] = {native, NULL};
    struct mp_native code = {2, fns, NULL};
    assert_null(mp_exec_switch(fx.program, &code));
    assert_int_equal(mp_eval_truth(fx.program, fx.program->unit[a].fn, &in), MP_TRUE);
    assert_int_equal(mp_eval_truth(fx.program, fx.program->unit[b].fn, &in), MP_FALSE);
    assert_ptr_equal(mp_exec_switch(fx.program, NULL), &code);
    assert_int_equal(mp_eval_truth(fx.program, fx.program->unit[a].fn, &in), MP_FALSE);
}

static void a_parameter_is_read_at_its_value_in_force(void **state)
{
    struct mp_ir *ir = &fx.ir;
    uint32_t five = mp_ir_const(ir, MP_TYPE_PERCENT, mp_value_num(0.05), 0);
    uint32_t one = mp_ir_const(ir, MP_TYPE_PERCENT, mp_value_num(0.01), 0);
    uint32_t half = mp_ir_const(ir, MP_TYPE_PERCENT, mp_value_num(0.5), 0);
    struct mp_param_row *r = mp_ir_add_param(ir);
    r->package = mp_ir_text(ir, MP_STR("shop"));
    r->name = mp_ir_text(ir, MP_STR("x"));
    r->type = MP_TYPE_PERCENT;
    r->value = five, r->low = one, r->high = half;
    struct mp_ir_fn f;
    mp_ir_fn_begin(&f, ir, MP_STR("f"), MP_NONE, MP_NONE);
    mp_ir_out(&f, mp_ir_op_param(&f, 0), MP_TYPE_PERCENT);
    uint32_t fn = mp_ir_fn_end(&f);
    load();
    struct mp_inputs in = inputs();
    struct mp_value v;
    assert_true(mp_eval_value(fx.program, fn, &in, &v) && mp_value_as_num(v) == 0.05);
    assert_int_equal(mp_program_set_param(fx.program, MP_STR("shop.x"), MP_STR("7%")), MP_OK);
    assert_true(mp_eval_value(fx.program, fn, &in, &v) && mp_value_as_num(v) == 0.07);
    assert_int_equal(mp_program_set_param(fx.program, MP_STR("x"), MP_STR("51%")), MP_EINVAL);
    assert_int_equal(mp_program_set_param(fx.program, MP_STR("x"), MP_STR("0.9%")), MP_EINVAL);
    assert_int_equal(mp_program_set_param(fx.program, MP_STR("x"), MP_STR("7")), MP_EINVAL);
    assert_int_equal(mp_program_set_param(fx.program, MP_STR("y"), MP_STR("7%")), MP_ENOTFOUND);
    assert_int_equal(mp_program_set_param(fx.program, MP_STR("hop.x"), MP_STR("7%")), MP_ENOTFOUND);
    assert_true(mp_eval_value(fx.program, fn, &in, &v) && mp_value_as_num(v) == 0.07);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

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
        TEST(random_functions_give_what_op_after_op_gives),
        TEST(a_unit_answers_bits_from_its_first_output_on),
        TEST(native_code_is_used_where_there_is_some),
        TEST(a_parameter_is_read_at_its_value_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
