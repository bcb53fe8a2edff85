/* SPDX-License-Identifier: Apache-2.0 */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "emit/emit.h"
#include "sample.h"

static struct mp_arena arena;

static int setup(void **state)
{
    mp_arena_init(&arena, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static void parse(struct mp_ir *ir, mp_str text)
{
    struct mp_ir_parse_error e = {0};
    assert_int_equal(mp_ir_init(ir, &arena), MP_OK);
    enum mp_err err = mp_ir_parse(ir, text, &e);
    if (err != MP_OK) fail_msg("%u:%u: %s", e.line, e.column, e.why);
}

static mp_str print(const struct mp_ir *ir)
{
    struct mp_buf out;
    mp_buf_init(&out, &arena);
    mp_ir_print(ir, &out);
    assert_false(out.failed);
    return mp_buf_view(&out);
}

static mp_str emit(struct mp_ir *ir)
{
    mp_str image;
    struct mp_fault f;
    if (mp_emit(ir, &arena, &image, &f) != MP_OK) {
        fail_msg("%s[%u]: %s", f.table < MP_TABLE_COUNT ? mp_table_layout(f.table)->name : "",
                 f.row, f.why);
    }
    return image;
}

static void text_is_read_back_as_the_same_tables(void **state)
{
    struct mp_ir first, second;
    parse(&first, mp_str_of(ir_sample));
    mp_str text = print(&first);
    parse(&second, text);
    mp_str again = print(&second);
    assert_true(mp_str_eq(text, again));
    assert_true(mp_str_eq(emit(&first), emit(&second)));
    assert_int_equal(first.cnst.ptr[3].word0, -300000000000);
    assert_true(mp_str_eq(mp_ir_str(&first, first.cnst.ptr[2].text), MP_STR("/wp-login\n\"\\")));
    assert_int_equal(first.rule.ptr[0].until, MP_NONE);
}

static void texts_are_emitted_in_the_order_of_their_use(void **state)
{
    struct mp_ir first, second;
    parse(&first, mp_str_of(ir_sample));
    assert_int_equal(mp_ir_init(&second, &arena), MP_OK);
    struct mp_ir_parse_error e;
    mp_ir_text(&second, MP_STR("nobody names this"));
    mp_ir_text(&second, MP_STR("shop"));
    assert_int_equal(mp_ir_parse(&second, mp_str_of(ir_sample), &e), MP_OK);
    assert_true(mp_str_eq(emit(&first), emit(&second)));
}

static void equal_texts_and_constants_are_one(void **state)
{
    struct mp_ir ir;
    assert_int_equal(mp_ir_init(&ir, &arena), MP_OK);
    assert_int_equal(mp_ir_text(&ir, MP_STR("a")).at, mp_ir_text(&ir, MP_STR("a")).at);
    assert_int_not_equal(mp_ir_text(&ir, MP_STR("a")).at, mp_ir_text(&ir, MP_STR("b")).at);
    assert_int_equal(mp_ir_text(&ir, MP_STR("")).at, 0);
    uint32_t five = mp_ir_const(&ir, MP_TYPE_INT, mp_value_int(5), 0);
    assert_int_equal(mp_ir_const(&ir, MP_TYPE_INT, mp_value_int(5), 0), five);
    assert_int_not_equal(mp_ir_const(&ir, MP_TYPE_PORT, mp_value_int(5), 0), five);
    assert_int_not_equal(mp_ir_const(&ir, MP_TYPE_NUMBER, mp_value_num(0.0), 0),
                         mp_ir_const(&ir, MP_TYPE_NUMBER, mp_value_num(-0.0), 0));
    assert_int_equal(mp_ir_const_text(&ir, MP_TYPE_STRING, MP_STR("a text of more than twelve")),
                     mp_ir_const_text(&ir, MP_TYPE_STRING, MP_STR("a text of more than twelve")));
}

static void equal_ops_of_one_function_are_one(void **state)
{
    struct mp_ir ir;
    struct mp_ir_fn f;
    assert_int_equal(mp_ir_init(&ir, &arena), MP_OK);
    mp_ir_fn_begin(&f, &ir, MP_STR("f"), MP_NONE, MP_NONE);
    uint32_t first[200];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++) {
            uint32_t c = mp_ir_op_const(&f, mp_ir_const(&ir, MP_TYPE_INT, mp_value_int(i), 0));
            uint32_t v = mp_ir_op(&f, MP_OP_NEG_I, c, 0, 0);
            if (round == 0) first[i] = v;
            assert_int_equal(v, first[i]);
        }
    }
    assert_int_equal(f.ops.len, 400);
    mp_ir_out(&f, first[7], MP_TYPE_INT);
    assert_int_equal(mp_ir_fn_end(&f), 0);
    assert_int_equal(ir.op.len, 400);
}

static void two_functions_may_be_open_at_once(void **state)
{
    struct mp_ir ir;
    struct mp_ir_fn f, g;
    struct mp_fault fault;
    assert_int_equal(mp_ir_init(&ir, &arena), MP_OK);
    mp_ir_fn_begin(&f, &ir, MP_STR("f"), MP_NONE, MP_NONE);
    mp_ir_fn_begin(&g, &ir, MP_STR("g"), MP_NONE, MP_NONE);
    uint32_t a = mp_ir_op_bool(&f, true), b = mp_ir_op_bool(&g, false);
    mp_ir_out(&g, mp_ir_op(&g, MP_OP_NOT, b, 0, 0), MP_TYPE_BOOL);
    mp_ir_out(&f, a, MP_TYPE_BOOL);
    assert_int_equal(mp_ir_fn_end(&g), 0);
    assert_int_equal(mp_ir_fn_end(&f), 1);
    assert_int_equal(mp_ir_verify(&ir, &fault), MP_OK);
}

static void a_mistake_in_the_text_is_found_where_it_is(void **state)
{
    static const struct {
        const char *text;
        uint32_t line, column;
    } rows[] = {
        {"nothing[0]", 1, 1},
        {"\n  rule[1]", 2, 8},
        {"rule[0] nome=3", 1, 9},
        {"rule[0] line=x", 1, 14},
        {"rule[0] kind=lopp", 1, 14},
        {"rule[0] name=\"a", 1, 16},
        {"rule[0] name=\"\\q\"", 1, 17},
        {"rule[0] line=4294967296", 1, 24},
        {"rule[0] steps=1", 1, 16},
        {"rule[0] hold_ns=1.5", 1, 17},
        {"fn[0]\n  v1 = not b v0", 2, 3},
        {"fn[0]\n  v0 = nat b v0", 2, 8},
        {"fn[0]\n  v0 = not b 0", 2, 14},
        {"fn[0]\n  in bool v0", 2, 3},
        {"op[0] code=not", 1, 1},
        {"rule[0] line=1 2", 1, 16},
        {"fn[0] ops=0+1", 1, 7},
        {"quota[0] percent=1e999", 1, 18},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mp_ir ir;
        struct mp_ir_parse_error e = {0};
        assert_int_equal(mp_ir_init(&ir, &arena), MP_OK);
        assert_int_equal(mp_ir_parse(&ir, mp_str_of(rows[i].text), &e), MP_EINVAL);
        if (e.line != rows[i].line || e.column != rows[i].column) {
            fail_msg("`%s`: %u:%u %s, expected %u:%u", rows[i].text, e.line, e.column, e.why,
                     rows[i].line, rows[i].column);
        }
    }
}

/* An allocator that stops after so many blocks. */
static void *count_down(void *ctx, size_t size)
{
    int *left = ctx;
    return (*left)-- > 0 ? malloc(size) : NULL;
}

static void give_back(void *ctx, void *ptr, size_t size) { free(ptr); }

static void memory_that_runs_out_is_told_at_the_end(void **state)
{
    bool passed = false;
    for (int blocks = 0; blocks < 200 && !passed; blocks++) {
        int left = blocks;
        struct mp_alloc from = {count_down, give_back, &left};
        struct mp_arena small;
        struct mp_ir ir;
        struct mp_ir_parse_error e;
        struct mp_fault fault;
        mp_str image;
        mp_arena_init(&small, &from, 0);
        enum mp_err err = mp_ir_init(&ir, &small);
        if (err == MP_OK) err = mp_ir_parse(&ir, mp_str_of(ir_sample), &e);
        if (err == MP_OK) err = mp_emit(&ir, &small, &image, &fault);
        assert_true(err == MP_OK || err == MP_ENOMEM);
        passed = err == MP_OK;
        mp_arena_free(&small);
    }
    assert_true(passed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_read_back_as_the_same_tables),
        cmocka_unit_test(texts_are_emitted_in_the_order_of_their_use),
        cmocka_unit_test(equal_texts_and_constants_are_one),
        cmocka_unit_test(equal_ops_of_one_function_are_one),
        cmocka_unit_test(two_functions_may_be_open_at_once),
        cmocka_unit_test(a_mistake_in_the_text_is_found_where_it_is),
        cmocka_unit_test(memory_that_runs_out_is_told_at_the_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
