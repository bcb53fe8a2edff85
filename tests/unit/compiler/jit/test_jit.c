/* SPDX-License-Identifier: Apache-2.0
 * Native code against the interpreter, on borders of all values and with unknowns; units whose
 * rules are skipped together; a thousand compilations.
 */
#include "jit/jit.h"
#include "jit/jit_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "emit/emit.h"
#include "eval/eval.h"
#include "ir/ir.h"
#include "os/std.h"
#include "program/layout.h"

/* ---- a program of one signal, with three fields of every representation ---- */

enum { PER_REP = 3, REPS = 6, FIELDS = PER_REP * REPS, SAMPLES = 18, OUTS_MAX = 128 };

static const enum mp_type types[REPS] = {MP_TYPE_BOOL,   MP_TYPE_INT, MP_TYPE_NUMBER,
                                         MP_TYPE_STRING, MP_TYPE_IP,  MP_TYPE_STRING};

static uint32_t slot_of(enum mp_rep rep, uint32_t i)
{
    return (uint32_t)(rep - MP_REP_B) * PER_REP + i;
}
static enum mp_type type_of(enum mp_rep rep) { return types[rep - MP_REP_B]; }

static struct {
    struct mp_arena arena;
    struct mp_ir ir;
    struct mp_os os;
    struct mp_program *program;
    struct mp_jit_job *job;
    const mp_native_fn *native[2]; /* as fast as it can be compiled, and optimised */
    struct jit_code *optimised;
    struct mp_eval_scratch scratch[2];
    struct mp_value record[FIELDS];
    uint64_t known[1];
    uint32_t regex, patterns, members[REPS];
    struct mp_value sample[REPS][SAMPLES];
    uint32_t sample_count[REPS];
} fx;

static struct mp_value address(const char *text)
{
    struct mp_value v;
    uint32_t bits;
    assert_true(mp_value_address(mp_str_of(text), &v, &bits));
    return v;
}

static void add_sample(enum mp_rep rep, struct mp_value v)
{
    uint32_t i = rep - MP_REP_B;
    assert_true(fx.sample_count[i] < SAMPLES);
    fx.sample[i][fx.sample_count[i]++] = v;
}

static void make_samples(void)
{
    static const int64_t ints[] = {
        0, 1, -1, 2, 63, 1024, 1025, INT64_MAX, INT64_MAX - 1, INT64_MIN, INT64_MIN + 1};
    static const double nums[] = {0.0, -0.0,  1,      -1,     0.5,
                                  2.5, 1e308, -1e308, 5e-324, 9223372036854775808.0};
    static const char *const texts[] = {"",
                                        "a",
                                        "/adm",
                                        "/admi",
                                        "/admin",
                                        "/admin/users",
                                        "/admin/users/",
                                        "/admin/user",
                                        "a text of more than twelve",
                                        "a text of more than twelfth",
                                        "a text of more than twelv",
                                        "spiffe://prod/ns/pay/sa/api",
                                        "A Text Of More"};
    static const char *const addresses[] = {"10.1.2.3", "10.1.2.4",     "11.0.0.0",
                                            "::",       "2001:db8:1::", "2001:db8::"};
    static struct mp_value set[2];
    memset(fx.sample_count, 0, sizeof fx.sample_count);
    add_sample(MP_REP_B, mp_value_bool(false));
    add_sample(MP_REP_B, mp_value_bool(true));
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        add_sample(MP_REP_I, mp_value_int(ints[i]));
    for (size_t i = 0; i < sizeof nums / sizeof nums[0]; i++)
        add_sample(MP_REP_F, mp_value_num(nums[i]));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        add_sample(MP_REP_T, mp_value_text(mp_str_of(texts[i])));
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        add_sample(MP_REP_A, address(addresses[i]));
    set[0] = mp_value_text(MP_STR("/admin"));
    set[1] = mp_value_text(MP_STR("a text of more than twelve"));
    add_sample(MP_REP_S, (struct mp_value){{0, 0}});
    add_sample(MP_REP_S, (struct mp_value){{(uint64_t)(uintptr_t)set, 2}});
}

static uint32_t constant(enum mp_rep rep, uint32_t i)
{
    struct mp_value v = fx.sample[rep - MP_REP_B][i];
    if (rep == MP_REP_T) return mp_ir_const_text(&fx.ir, MP_TYPE_STRING, mp_value_as_text(&v));
    return mp_ir_const(&fx.ir, type_of(rep), v, 0);
}

static uint32_t list(enum mp_rep rep, enum mp_type type)
{
    uint32_t from = fx.ir.item.len, count = fx.sample_count[rep - MP_REP_B];
    for (uint32_t i = 0; i < count; i += 2) {
        struct mp_value v = fx.sample[rep - MP_REP_B][i];
        uint32_t c = type == MP_TYPE_PATTERN ? mp_ir_const_text(&fx.ir, type, mp_value_as_text(&v))
                                             : constant(rep, i);
        mp_ir_add_item(&fx.ir)->value = c;
    }
    mp_ir_add_list(&fx.ir)->type = type;
    MP_IR_SPAN(&fx.ir, list, fx.ir.list.len - 1, items, item, from);
    return fx.ir.list.len - 1;
}

static int begin(void **state)
{
    memset(&fx, 0, sizeof fx);
    mp_std_os(&fx.os);
    mp_arena_init(&fx.arena, NULL, 0);
    assert_int_equal(mp_ir_init(&fx.ir, &fx.arena), MP_OK);
    make_samples();
    for (uint32_t i = 0; i < FIELDS; i++) {
        struct mp_field_row *f = mp_ir_add_field(&fx.ir);
        f->signal = 0;
        f->type = types[i / PER_REP];
        f->flags = i / PER_REP == MP_REP_S - MP_REP_B ? MP_FIELD_SET : 0;
    }
    mp_ir_add_signal(&fx.ir)->name = mp_ir_text(&fx.ir, MP_STR("requests"));
    MP_IR_SPAN(&fx.ir, signal, 0, fields, field, 0);
    fx.regex = mp_ir_const_text(&fx.ir, MP_TYPE_STRING, MP_STR("^/adm(in)?$"));
    for (enum mp_rep rep = MP_REP_B; rep <= MP_REP_A; rep++)
        fx.members[rep - MP_REP_B] = list(rep, type_of(rep));
    fx.patterns = list(MP_REP_T, MP_TYPE_PATTERN);
    return 0;
}

static void compile(void)
{
    mp_str image;
    struct mp_fault fault;
    const char *why = "";
    enum mp_err err = mp_emit(&fx.ir, &fx.arena, &image, &fault);
    if (err != MP_OK)
        fail_msg("%s: %s, table %u row %u", mp_err_text(err), fault.why, fault.table, fault.row);
    if (mp_program_load(image.ptr, image.len, &fx.os, &fx.program, &why) != MP_OK)
        fail_msg("%s", why);
    fx.job = mpol_jit()->start(fx.program);
    assert_non_null(fx.job);
    if (mpol_jit()->wait(fx.job, &why) != MP_OK) fail_msg("%s", why);
    const struct mp_native *native = atomic_load(&fx.program->exec->native);
    assert_non_null(native);
    assert_int_equal(native->fn_count, fx.program->fn_count);
    bool *all = mp_arena_alloc(&fx.arena, fx.program->fn_count, 1);
    char *failed = NULL;
    memset(all, 1, fx.program->fn_count);
    fx.native[0] = native->fns;
    fx.optimised = jit_native(fx.program, all, true, &fx.native[1], &failed);
    if (fx.optimised == NULL) fail_msg("%s", failed);
    for (uint32_t i = 0; i < native->fn_count; i++) { /* none is left out */
        assert_non_null(fx.native[0][i]);
        assert_non_null(fx.native[1][i]);
    }
}

static int end(void **state)
{
    jit_native_free(fx.optimised);
    if (fx.job != NULL) mpol_jit()->end(fx.job);
    mp_program_free(fx.program);
    mp_arena_free(&fx.arena);
    return 0;
}

/* ---- both executors on the record at hand ---- */

struct answer {
    uint64_t known[OUTS_MAX / 64], truth[OUTS_MAX / 64];
    struct mp_value value[OUTS_MAX];
};

static void set(uint32_t slot, struct mp_value v, bool known)
{
    fx.record[slot] = known ? v : mp_value_int(0);
    fx.known[0] = (fx.known[0] & ~((uint64_t)1 << slot)) | (uint64_t)known << slot;
}

static struct mp_outputs outputs(struct answer *a)
{
    memset(a, 0xaa, sizeof *a); /* what is not written is seen */
    return (struct mp_outputs){a->known, a->truth, a->value};
}

static bool same_output(const struct mp_out_row *out, uint32_t i, const struct answer *a,
                        const struct answer *b)
{
    uint64_t bit = UINT64_C(1) << (i % 64);
    if (((a->known[i / 64] ^ b->known[i / 64]) & bit) != 0) return false;
    enum mp_rep rep = mp_type_rep((enum mp_type)out->type);
    if (rep == MP_REP_B) return ((a->truth[i / 64] ^ b->truth[i / 64]) & bit) == 0;
    if (rep == MP_REP_T && (a->known[i / 64] & bit) != 0)
        return mp_value_text_eq(a->value[i], b->value[i]);
    return a->value[i].w[0] == b->value[i].w[0] && a->value[i].w[1] == b->value[i].w[1];
}

static void check_native(uint32_t fn, int which, struct mp_inputs *in, const struct answer *want)
{
    const struct mp_fn_row *row = &fx.program->fn[fn];
    struct answer got;
    struct mp_outputs to = outputs(&got);
    in->scratch = &fx.scratch[0];
    fx.native[which][fn](in, &to);
    for (uint32_t i = 0; i < row->outs_count; i++) {
        if (same_output(&fx.program->out[row->outs_at + i], i, &got, want)) continue;
        fail_msg(
            "fn %u (%.*s) output %u of code %d: native known %d truth %d word %llx, "
            "interpreter %d %d %llx",
            fn, MP_STR_ARG(mp_program_text(fx.program, row->name)), i, which,
            (int)(got.known[i / 64] >> (i % 64) & 1), (int)(got.truth[i / 64] >> (i % 64) & 1),
            (unsigned long long)got.value[i].w[0], (int)(want->known[i / 64] >> (i % 64) & 1),
            (int)(want->truth[i / 64] >> (i % 64) & 1), (unsigned long long)want->value[i].w[0]);
    }
}

static void check_fn(uint32_t fn)
{
    struct answer interpreted;
    struct mp_outputs to = outputs(&interpreted);
    struct mp_inputs in;
    mp_inputs_init(&in, fx.program, &fx.scratch[1]);
    in.record = fx.record;
    in.record_known = fx.known;
    mp_eval_interpret(fx.program, fn, &in, &to);
    for (int which = 0; which < 2; which++) check_native(fn, which, &in, &interpreted);
}

/* ---- every op ---- */

static enum mp_rep rep_of(char kind, enum mp_rep any)
{
    static const char letters[] = "-bifta";
    if (kind == '*' || kind == 'v') return any;
    if (kind == 's') return MP_REP_S;
    const char *at = memchr(letters, kind, sizeof letters - 1);
    return at == NULL ? MP_REP_N : (enum mp_rep)(at - letters);
}

/* A row or small number that goes with an op; one of several for networks. */
static uint32_t row_for(uint32_t op, char kind, enum mp_rep any, uint32_t variant)
{
    static const uint32_t bits[] = {0, 1, 8, 31, 96, 104, 120, 127, 128};
    if (kind == 'M') return variant % 3;
    if (kind == 'L') return op == MP_OP_IN_LIST ? fx.members[any - MP_REP_B] : fx.patterns;
    if (op == MP_OP_IN_NET) {
        return mp_ir_const(&fx.ir, MP_TYPE_CIDR, fx.sample[MP_REP_A - MP_REP_B][variant % 2],
                           bits[variant % 9]);
    }
    return fx.regex;
}

struct op_case {
    uint32_t fn, op;
    enum mp_rep rep[3]; /* of operands that are fields; N: none, or a constant */
};

static struct op_case cases[4096];
static uint32_t case_count;

/* `fixed`: which operand is a constant, and which sample; 3: none is. */
static void add_case(uint32_t op, enum mp_rep any, uint32_t fixed, uint32_t variant)
{
    const struct mp_op_layout *layout = mp_op_layout(op);
    struct op_case *c = &cases[case_count++];
    struct mp_ir_fn f;
    uint32_t operand[3] = {0, 0, 0};
    assert_true(case_count < sizeof cases / sizeof cases[0]);
    *c = (struct op_case){.op = op};
    mp_ir_fn_begin(&f, &fx.ir, mp_op_word((enum mp_op)op), 0, MP_NONE);
    for (uint32_t i = 0; i < 3; i++) {
        char kind = layout->kind[i];
        if (kind == '-') continue;
        enum mp_rep rep = rep_of(kind, any);
        if (!mp_op_kind_is_value(kind)) {
            operand[i] = row_for(op, kind, any, variant);
        } else if (i == fixed) {
            operand[i] = mp_ir_op_const(&f, constant(rep, variant));
        } else {
            c->rep[i] = rep;
            operand[i] = mp_ir_op_field(&f, slot_of(rep, i), rep);
        }
    }
    uint32_t v = mp_ir_op(&f, (enum mp_op)op, operand[0], operand[1], operand[2]);
    mp_ir_out(&f, v, type_of(mp_ir_rep(&f, v)));
    c->fn = mp_ir_fn_end(&f);
}

static void add_cases(uint32_t op, enum mp_rep any)
{
    const struct mp_op_layout *layout = mp_op_layout(op);
    bool rows = false;
    for (uint32_t i = 0; i < 3; i++) {
        char kind = layout->kind[i];
        rows |= kind != '-' && !mp_op_kind_is_value(kind);
        if (!mp_op_kind_is_value(kind)) continue;
        enum mp_rep rep = rep_of(kind, any);
        for (uint32_t k = 0; rep != MP_REP_S && k < fx.sample_count[rep - MP_REP_B]; k++)
            add_case(op, any, i, k);
    }
    for (uint32_t k = 0; k < (rows ? 18u : 1u); k++) add_case(op, any, 3, k);
}

static void check_case(const struct op_case *c)
{
    uint32_t count[3];
    for (int i = 0; i < 3; i++)
        count[i] = c->rep[i] == MP_REP_N ? 1 : fx.sample_count[c->rep[i] - MP_REP_B];
    for (uint32_t n = 0; n < count[0] * count[1] * count[2]; n++) {
        const uint32_t at[3] = {n % count[0], n / count[0] % count[1], n / count[0] / count[1]};
        for (uint32_t known = 0; known < 8; known++) {
            bool skip = false;
            for (uint32_t i = 0; i < 3; i++) {
                skip |= c->rep[i] == MP_REP_N && (known >> i & 1) != 0;
                if (c->rep[i] == MP_REP_N) continue;
                set(slot_of(c->rep[i], i), fx.sample[c->rep[i] - MP_REP_B][at[i]],
                    (known >> i & 1) != 0);
            }
            if (!skip) check_fn(c->fn);
        }
    }
}

static bool is_leaf(uint32_t op)
{
    return op == MP_OP_CONST || op == MP_OP_PARAM || op == MP_OP_FIELD || op == MP_OP_COL ||
           op == MP_OP_UNKNOWN;
}

static void every_op_is_the_interpreters_on_borders_and_unknowns(void **state)
{
    case_count = 0;
    for (uint32_t op = 0; op < MP_OP_COUNT; op++) {
        const struct mp_op_layout *layout = mp_op_layout(op);
        if (is_leaf(op)) continue;
        bool any = false;
        for (int i = 0; i < 3; i++) any |= layout->kind[i] == '*' || layout->kind[i] == 'v';
        if (op == MP_OP_IN_SET) any = false; /* the set is one of texts */
        if (!any) add_cases(op, MP_REP_T);
        for (enum mp_rep rep = MP_REP_B; any && rep <= MP_REP_A; rep++) add_cases(op, rep);
    }
    compile();
    for (uint32_t i = 0; i < case_count; i++) check_case(&cases[i]);
    printf("%u functions\n", case_count);
}

/* ---- units: rules that one comparison shows to be false ---- */

static uint64_t seed;
static uint32_t draw(uint32_t below) { return (uint32_t)(mp_rng_next(&seed) >> 33) % below; }

static uint32_t random_comparison(struct mp_ir_fn *f)
{
    static const enum mp_op ops[] = {MP_OP_EQ_I, MP_OP_LT_I,   MP_OP_LE_I, MP_OP_EQ_F,
                                     MP_OP_LT_F, MP_OP_LE_F,   MP_OP_EQ_T, MP_OP_EQ_T,
                                     MP_OP_EQ_A, MP_OP_STARTS, MP_OP_LT_F, MP_OP_LT_I};
    enum mp_op op = ops[draw(sizeof ops / sizeof ops[0])];
    enum mp_rep rep = rep_of(mp_op_layout(op)->kind[0], MP_REP_N);
    uint32_t leaf = mp_ir_op_field(f, slot_of(rep, draw(2)), rep);
    uint32_t fixed = mp_ir_op_const(f, constant(rep, draw(fx.sample_count[rep - MP_REP_B])));
    return op == MP_OP_STARTS || draw(2) == 0 ? mp_ir_op(f, op, leaf, fixed, 0)
                                              : mp_ir_op(f, op, fixed, leaf, 0);
}

static uint32_t random_condition(struct mp_ir_fn *f, uint32_t depth)
{
    if (depth == 0 || draw(5) == 0) return random_comparison(f);
    uint32_t a = random_condition(f, depth - 1);
    switch (draw(6)) {
    case 0: return mp_ir_op(f, MP_OP_OR, a, random_condition(f, depth - 1), 0);
    case 1: return mp_ir_op(f, MP_OP_NOT, a, 0, 0);
    case 2: return mp_ir_op(f, MP_OP_NOT, mp_ir_op(f, MP_OP_IS_TRUE, a, 0, 0), 0, 0);
    default: return mp_ir_op(f, MP_OP_AND, a, random_condition(f, depth - 1), 0);
    }
}

static void random_unit(uint32_t outs)
{
    struct mp_ir_fn f;
    mp_ir_fn_begin(&f, &fx.ir, MP_STR("unit"), 0, MP_NONE);
    for (uint32_t i = 0; i < outs; i++) {
        if (draw(20) == 0) {
            enum mp_rep rep = (enum mp_rep)(MP_REP_I + draw(4));
            mp_ir_out(&f, mp_ir_op_field(&f, slot_of(rep, 0), rep), type_of(rep));
            continue;
        }
        uint32_t first = random_comparison(&f), rest = random_condition(&f, 1 + draw(4));
        mp_ir_out(&f, mp_ir_op(&f, MP_OP_AND, first, rest, 0), MP_TYPE_BOOL);
    }
    mp_ir_fn_end(&f);
}

static void random_record(void)
{
    for (enum mp_rep rep = MP_REP_B; rep <= MP_REP_A; rep++) {
        for (uint32_t i = 0; i < PER_REP; i++) {
            set(slot_of(rep, i), fx.sample[rep - MP_REP_B][draw(fx.sample_count[rep - MP_REP_B])],
                draw(8) != 0);
        }
    }
}

static void rules_that_are_skipped_together_are_known_to_be_false(void **state)
{
    seed = 0x20261127;
    printf("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 30; i++) random_unit(i < 24 ? 64 : 1 + draw(OUTS_MAX));
    compile();
    for (int i = 0; i < 1000; i++) {
        random_record();
        for (uint32_t fn = 0; fn < fx.program->fn_count; fn++) check_fn(fn);
    }
}

/* ---- life ---- */

static long resident_pages(void)
{
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &total, &resident), 2);
    fclose(f);
    return resident;
}

static void compile_and_end(int times)
{
    for (int i = 0; i < times; i++) {
        const char *why = "";
        struct mp_jit_job *job = mpol_jit()->start(fx.program);
        assert_non_null(job);
        if (mpol_jit()->wait(job, &why) != MP_OK) fail_msg("%s", why);
        mpol_jit()->end(job);
    }
}

static void a_thousand_compilations_leave_nothing_behind(void **state)
{
    seed = 7;
    random_unit(8);
    compile();
    compile_and_end(50);
    long before = resident_pages();
    compile_and_end(1000);
    long grown_kib = (resident_pages() - before) * sysconf(_SC_PAGESIZE) / 1024;
    printf("grown by %ld KiB\n", grown_kib);
    assert_true(grown_kib < 4096); /* a module kept would be 8.8 KiB each, and more */
}

static void code_in_force_is_taken_out_with_its_job(void **state)
{
    random_unit(3);
    compile();
    int64_t ns = 0;
    assert_true(mpol_jit()->ended(fx.job, &ns));
    assert_true(ns > 0);
    assert_non_null(atomic_load(&fx.program->exec->native));
    mpol_jit()->end(fx.job);
    fx.job = NULL;
    assert_null(atomic_load(&fx.program->exec->native));
    mpol_jit()->end(NULL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(every_op_is_the_interpreters_on_borders_and_unknowns),
        CASE(rules_that_are_skipped_together_are_known_to_be_false),
        CASE(code_in_force_is_taken_out_with_its_job),
        CASE(a_thousand_compilations_leave_nothing_behind),
    };
    return cmocka_run_group_tests_name("jit", tests, NULL, NULL);
}
