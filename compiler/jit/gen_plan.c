/* SPDX-License-Identifier: Apache-2.0
 * Index before code (design.md 6): most rules ask first for one service, or for a limit that is
 * seldom crossed. Outputs that need the same comparison to be true stand in one group behind it,
 * so a record that fails it touches none of them:
 *
 *   x == c    one group for every c, where one field is compared with several
 *   x > c     one group for all c: the loosest comes first; if that is false, so are the stricter
 *
 * A comparison that is known to be false makes false every `and` that it stands in, whatever is
 * unknown beside it; so this changes no answer. All other outputs are computed without a branch.
 */
#include "jit/jit_priv.h"

/* LIMIT: comparisons that are looked at; more are not worth the time of a compilation. */
#define TESTS_MAX 512
/* Fewer constants of one field are not selective: a method is POST, or it is not. */
#define CONSTANTS_MIN 4
/* Fewer outputs cost less than a branch that traffic decides. */
#define OUTPUTS_MIN 4

/* A comparison of a field or cell with a constant, that one output needs. */
struct test {
    uint32_t out, op;
    uint64_t of;       /* what is compared, and from which side */
    uint32_t constant; /* row of cnst */
    bool equal;
};

struct tests {
    const struct mp_program *p;
    const struct mp_op_row *ops;
    struct test test[TESTS_MAX];
    uint32_t count;
};

/* ---- which comparisons an output needs ---- */

static bool is_leaf(uint32_t code) { return code == MP_OP_FIELD || code == MP_OP_COL; }

static void add_test(struct tests *t, uint32_t out, uint32_t op)
{
    const struct mp_op_row *row = &t->ops[op];
    bool equal = row->code == MP_OP_EQ_T || row->code == MP_OP_EQ_I || row->code == MP_OP_EQ_A;
    bool less = row->code == MP_OP_LT_I || row->code == MP_OP_LE_I || row->code == MP_OP_LT_F ||
                row->code == MP_OP_LE_F;
    if ((!equal && !less) || t->count == TESTS_MAX) return;
    const struct mp_op_row *a = &t->ops[row->a], *b = &t->ops[row->b];
    bool left = is_leaf(a->code) && b->code == MP_OP_CONST;
    if (!left && !(is_leaf(b->code) && a->code == MP_OP_CONST)) return;
    const struct mp_op_row *leaf = left ? a : b, *constant = left ? b : a;
    t->test[t->count++] = (struct test){.out = out,
                                        .op = op,
                                        .constant = constant->a,
                                        .equal = equal,
                                        .of = (uint64_t)leaf->a << 8 | (uint64_t)leaf->code << 2 |
                                              (uint64_t)equal << 1 | (left && less)};
}

/* Everything that stands under nothing but `and`. */
static void find_tests(struct tests *t, uint32_t out, uint32_t value)
{
    uint32_t todo[64], count = 0;
    todo[count++] = value;
    while (count > 0) {
        uint32_t op = todo[--count];
        if (t->ops[op].code != MP_OP_AND) {
            add_test(t, out, op);
            continue;
        }
        if (count + 2 > 64) return; /* deeper ones are not looked at */
        todo[count++] = t->ops[op].a;
        todo[count++] = t->ops[op].b;
    }
}

/* ---- groups ---- */

static bool equal_constants(const struct tests *t, const struct test *a, const struct test *b)
{
    return a->of == b->of && a->constant == b->constant;
}

/* How many constants of which it can be only one. */
static uint32_t constants_of(const struct tests *t, uint64_t of)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        bool first = t->test[i].of == of;
        for (uint32_t k = 0; k < i && first; k++)
            first = !equal_constants(t, &t->test[i], &t->test[k]);
        count += first;
    }
    return count;
}

static void group_equal(const struct tests *t, struct jit_plan *plan)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct test *test = &t->test[i];
        if (!test->equal || plan->group_of[test->out] != JIT_NO_GROUP) continue;
        if (constants_of(t, test->of) < CONSTANTS_MIN || plan->count == JIT_GROUPS_MAX) continue;
        for (uint32_t k = i; k < t->count; k++) {
            const struct test *other = &t->test[k];
            if (equal_constants(t, test, other) && plan->group_of[other->out] == JIT_NO_GROUP) {
                plan->group_of[other->out] = (uint8_t)plan->count;
            }
        }
        plan->guard[plan->count++] = test->op;
    }
}

static bool is_strict(const struct tests *t, const struct test *test)
{
    uint32_t code = t->ops[test->op].code;
    return code == MP_OP_LT_I || code == MP_OP_LT_F;
}

/* Is `a` true wherever `b` is? Both compare the same thing from the same side. */
static bool is_looser(const struct tests *t, const struct test *a, const struct test *b)
{
    struct mp_value x = t->p->consts[a->constant], y = t->p->consts[b->constant];
    bool is_num = t->ops[a->op].code == MP_OP_LT_F || t->ops[a->op].code == MP_OP_LE_F;
    int order = mp_value_cmp(is_num ? MP_REP_F : MP_REP_I, x, y);
    if (order == 0) return !is_strict(t, a) && is_strict(t, b);
    return (order > 0) == ((a->of & 1) != 0); /* x < c: the larger c; x > c: the smaller */
}

/* Outputs without a group that would be in that of `of`. */
static uint32_t outputs_of(const struct tests *t, const struct jit_plan *plan, uint64_t of)
{
    uint64_t seen[JIT_PLAN_OUTS_MAX / 64] = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t out = t->test[i].out;
        if (t->test[i].of != of || plan->group_of[out] != JIT_NO_GROUP ||
            (seen[out / 64] >> (out % 64) & 1) != 0)
            continue;
        seen[out / 64] |= UINT64_C(1) << (out % 64);
        count++;
    }
    return count;
}

static void group_limits_of(const struct tests *t, struct jit_plan *plan, uint64_t of)
{
    const struct test *loosest = NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct test *test = &t->test[i];
        if (test->of != of) continue;
        if (plan->group_of[test->out] != JIT_NO_GROUP && plan->group_of[test->out] != plan->count)
            continue;
        plan->group_of[test->out] = (uint8_t)plan->count;
        if (loosest == NULL || is_looser(t, test, loosest)) loosest = test;
    }
    plan->guard[plan->count++] = loosest->op;
}

/* The largest group first, so that there are few. */
static void group_limits(const struct tests *t, struct jit_plan *plan)
{
    while (plan->count < JIT_GROUPS_MAX) {
        uint32_t most = 0;
        uint64_t of = 0;
        for (uint32_t i = 0; i < t->count; i++) {
            bool done = t->test[i].equal || plan->group_of[t->test[i].out] != JIT_NO_GROUP;
            if (done || t->test[i].of == of) continue;
            uint32_t count = outputs_of(t, plan, t->test[i].of);
            if (count <= most) continue;
            most = count;
            of = t->test[i].of;
        }
        if (most < OUTPUTS_MIN) return;
        group_limits_of(t, plan, of);
    }
}

void jit_plan(const struct mp_program *p, const struct mp_fn_row *fn, struct jit_plan *out)
{
    struct tests t = {.p = p, .ops = p->op + fn->ops_at};
    out->count = 0;
    memset(out->group_of, JIT_NO_GROUP, sizeof out->group_of);
    for (uint32_t i = 0; i < fn->outs_count; i++) {
        uint32_t value = p->out[fn->outs_at + i].value;
        if (t.ops[value].rep == MP_REP_B) find_tests(&t, i, value);
    }
    group_equal(&t, out);
    group_limits(&t, out);
}
