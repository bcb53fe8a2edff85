/* SPDX-License-Identifier: Apache-2.0
 * Whole functions, units, and the switch to native code.
 */
#include "bed.h"

#include <stdlib.h>

#include "base/hash.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_functions_give_what_op_after_op_gives),
        TEST(a_unit_answers_bits_from_its_first_output_on),
        TEST(native_code_is_used_where_there_is_some),
        TEST(a_parameter_is_read_at_its_value_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
