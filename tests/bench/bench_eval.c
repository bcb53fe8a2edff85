/* SPDX-License-Identifier: Apache-2.0
 * The interpreter on a unit of rules, against a plain walk over the same rules that leaves each
 * at its first false comparison. 65,536 rows that differ, so that no branch is learnt. One line
 * of JSON a unit; `ratio` is what counts on a shared machine: time of the interpreter by time of
 * the walk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "emit/emit.h"
#include "eval/eval.h"

enum { COLUMNS = 32, ROWS = 65536, RULES_MAX = 64, TESTS_MAX = 4, ROUNDS = 5 };

struct comparison {
    uint32_t column;
    bool greater;
    double limit;
};

static struct comparison rules[RULES_MAX][TESTS_MAX];
static struct mp_value rows[ROWS][COLUMNS];
static uint64_t known[ROWS];
static uint64_t seed = 42;

static bool is_double(uint32_t column) { return (column & 1) != 0; }

static double cpu_ns(void) { return (double)clock() * (1e9 / CLOCKS_PER_SEC); }

static void make_rows(void)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        known[i] = 0;
        for (uint32_t c = 0; c < COLUMNS; c++) {
            int64_t n = (int64_t)(mp_rng_next(&seed) % 1000);
            bool is_known = mp_rng_next(&seed) % 16 != 0;
            known[i] |= (uint64_t)is_known << c;
            rows[i][c] = !is_known      ? mp_value_int(0)
                         : is_double(c) ? mp_value_num((double)n)
                                        : mp_value_int(n);
        }
    }
}

static uint32_t add_comparison(struct mp_ir_fn *f, struct comparison *t)
{
    t->column = (uint32_t)(mp_rng_next(&seed) % COLUMNS);
    t->limit = (double)(mp_rng_next(&seed) % 1000);
    t->greater = mp_rng_next(&seed) % 2 == 0;
    bool d = is_double(t->column);
    uint32_t cell = mp_ir_op_col(f, t->column, d ? MP_REP_F : MP_REP_I);
    struct mp_value v = d ? mp_value_num(t->limit) : mp_value_int((int64_t)t->limit);
    uint32_t limit = mp_ir_op_const(f, mp_ir_const(f->ir, d ? MP_TYPE_NUMBER : MP_TYPE_INT, v, 0));
    enum mp_op op = d ? MP_OP_LT_F : MP_OP_LT_I;
    return t->greater ? mp_ir_op(f, op, limit, cell, 0) : mp_ir_op(f, op, cell, limit, 0);
}

static struct mp_program *make_program(uint32_t count, uint32_t tests, struct mp_arena *arena)
{
    struct mp_ir ir;
    struct mp_ir_fn f;
    if (mp_ir_init(&ir, arena) != MP_OK) abort();
    mp_ir_add_grouping(&ir)->columns_count = COLUMNS;
    for (uint32_t c = 0; c < COLUMNS; c++) {
        struct mp_column_row *col = mp_ir_add_column(&ir);
        col->kind = MP_COL_AT_TRIGGER;
        col->type = is_double(c) ? MP_TYPE_NUMBER : MP_TYPE_INT;
    }
    mp_ir_fn_begin(&f, &ir, MP_STR("unit"), MP_NONE, 0);
    for (uint32_t r = 0; r < count; r++) {
        uint32_t all = add_comparison(&f, &rules[r][0]);
        for (uint32_t t = 1; t < tests; t++) {
            all = mp_ir_op(&f, MP_OP_AND, all, add_comparison(&f, &rules[r][t]), 0);
        }
        mp_ir_out(&f, all, MP_TYPE_BOOL);
    }
    uint32_t fn = mp_ir_fn_end(&f);
    struct mp_unit_row *u = mp_ir_add_unit(&ir);
    u->kind = MP_UNIT_GROUP;
    u->grouping = 0;
    u->fn = fn;
    mp_str image;
    struct mp_fault fault;
    struct mp_program *p = NULL;
    const char *why = "";
    if (mp_emit(&ir, arena, &image, &fault) != MP_OK) abort();
    if (mp_program_load(image.ptr, image.len, NULL, &p, &why) != MP_OK) abort();
    return p;
}

static uint64_t walk(uint32_t row, uint32_t count, uint32_t tests)
{
    uint64_t truth = 0;
    for (uint32_t r = 0; r < count; r++) {
        bool all = true;
        for (uint32_t t = 0; t < tests && all; t++) {
            const struct comparison *c = &rules[r][t];
            struct mp_value v = rows[row][c->column];
            double x = is_double(c->column) ? mp_value_as_num(v) : (double)mp_value_as_int(v);
            all = (known[row] >> c->column & 1) != 0 && (c->greater ? x > c->limit : x < c->limit);
        }
        truth |= (uint64_t)all << r;
    }
    return truth;
}

static double least(double a, double b) { return a < b ? a : b; }

static int measure(uint32_t count, uint32_t tests)
{
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    struct mp_program *p = make_program(count, tests, &arena);
    struct mp_inputs in;
    struct mp_hits hits;
    mp_inputs_init(&in, p, NULL);
    double fast = 1e18, slow = 1e18;
    int wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t sum[2] = {0, 0};
        double at = cpu_ns();
        for (uint32_t i = 0; i < ROWS; i++) {
            in.row = rows[i];
            in.row_known = &known[i];
            mp_eval_unit(p, 0, &in, &hits);
            sum[0] = sum[0] * 31 + hits.truth;
        }
        double middle = cpu_ns();
        for (uint32_t i = 0; i < ROWS; i++) sum[1] = sum[1] * 31 + walk(i, count, tests);
        fast = least(fast, middle - at);
        slow = least(slow, cpu_ns() - middle);
        wrong |= sum[0] != sum[1];
    }
    printf(
        "{\"bench\":\"eval.unit\",\"rules\":%u,\"comparisons\":%u,\"ns_per_row\":%.1f,"
        "\"walk_ns\":%.1f,"
        "\"ratio\":%.2f,\"same\":%s}\n",
        count, tests, fast / ROWS, slow / ROWS, fast / slow, wrong ? "false" : "true");
    mp_program_free(p);
    mp_arena_free(&arena);
    return wrong;
}

int main(void)
{
    static const uint32_t units[][2] = {{4, 2}, {16, 3}, {64, 2}, {64, 3}, {64, 4}};
    int wrong = 0;
    make_rows();
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        wrong |= measure(units[i][0], units[i][1]);
    return wrong;
}
