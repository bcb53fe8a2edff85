/* SPDX-License-Identifier: Apache-2.0
 * interp.c - the interpreter: the meaning of the ops, a run of equal ops at a time (program/code.h).
 *
 * A truth in a register is one byte: bit 0 true, bit 1 false, none unknown. So Kleene's and, or and not
 * are three operations on bits each, and nothing branches on what a request says.
 */
#include "base/assert.h"
#include "eval/eval.h"
#include "eval/ops_priv.h"
#include "program/code.h"
#include "program/layout.h"

#define T 1u
#define F 2u

struct frame {
    const struct mp_inputs *in;
    struct mp_value v[MP_FN_REGS_MAX]; /* zeros where unknown */
    uint8_t known[MP_FN_REGS_MAX];     /* of v: 0 or 1 */
    uint8_t truth[MP_FN_REGS_MAX];     /* of ops that answer a truth, instead of v and known */
};

static inline uint8_t truth_of(bool b) { return b ? T : F; }

static inline struct mp_value masked(struct mp_value v, bool known)
{
    uint64_t mask = 0 - (uint64_t)known;
    return (struct mp_value){{v.w[0] & mask, v.w[1] & mask}};
}

static inline void put(struct frame *f, uint32_t reg, struct mp_value v, bool known)
{
    f->v[reg] = masked(v, known);
    f->known[reg] = known;
}

static inline bool bit(const uint64_t *words, uint32_t i) { return (words[i >> 6] >> (i & 63) & 1) != 0; }

/* ---- leaves ---- */

static void leaf(struct frame *f, const struct mp_run *r, const uint32_t *a,
                 const struct mp_value *from, const uint64_t *known)
{
    if (r->rep == MP_REP_B) {
        for (uint32_t i = 0; i < r->count; i++) {
            bool k = known == NULL || bit(known, a[i]);
            f->truth[r->first + i] = (uint8_t)((0u - k) & truth_of(from[a[i]].w[0] != 0));
        }
        return;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        put(f, r->first + i, from[a[i]], known == NULL || bit(known, a[i]));
    }
}

static void unknown(struct frame *f, const struct mp_run *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        f->truth[r->first + i] = 0;
        put(f, r->first + i, mp_value_int(0), false);
    }
}

/* ---- comparisons ---- */

static const struct mp_value *space(const struct frame *f, uint8_t where)
{
    switch (where) {
    case MP_SPACE_RECORD: return f->in->record;
    case MP_SPACE_ROW: return f->in->row;
    case MP_SPACE_CONST: return f->in->consts;
    default: return f->v;
    }
}

/* Takes back what was judged of unknown operands; those held zeros, so judging them did no harm. */
static void mask_unknown(const struct frame *f, uint8_t where, const uint32_t *args, uint32_t count,
                         uint8_t *truth)
{
    const uint64_t *words = where == MP_SPACE_RECORD ? f->in->record_known : f->in->row_known;
    switch (where) {
    case MP_SPACE_CONST: return;
    case MP_SPACE_REG:
        for (uint32_t i = 0; i < count; i++) truth[i] &= (uint8_t)(0u - f->known[args[i]]);
        return;
    default:
        for (uint32_t i = 0; i < count; i++) truth[i] &= (uint8_t)(0u - bit(words, args[i]));
        return;
    }
}

#define EACH(expression)                                                                           \
    for (uint32_t i = 0; i < r->count; i++) {                                                      \
        struct mp_value x = left[a[i]], y = right[b[i]];                                           \
        truth[i] = truth_of(expression);                                                           \
    }                                                                                              \
    break

static void compare(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint32_t *b = a + r->count;
    const struct mp_value *left = space(f, r->a_space), *right = space(f, r->b_space);
    uint8_t *truth = f->truth + r->first;
    switch (r->op) {
    case MP_OP_EQ_I: EACH(x.w[0] == y.w[0]);
    case MP_OP_LT_I: EACH(mp_value_as_int(x) < mp_value_as_int(y));
    case MP_OP_LE_I: EACH(mp_value_as_int(x) <= mp_value_as_int(y));
    case MP_OP_EQ_F: EACH(mp_value_as_num(x) == mp_value_as_num(y));
    case MP_OP_LT_F: EACH(mp_value_as_num(x) < mp_value_as_num(y));
    case MP_OP_LE_F: EACH(mp_value_as_num(x) <= mp_value_as_num(y));
    case MP_OP_EQ_A: EACH(x.w[0] == y.w[0] && x.w[1] == y.w[1]);
    case MP_OP_EQ_T: EACH(mp_value_text_eq(x, y));
    default: MP_UNREACHABLE("no comparison");
    }
    mask_unknown(f, r->a_space, a, r->count, truth);
    mask_unknown(f, r->b_space, b, r->count, truth);
}
#undef EACH

/* ---- logic ---- */

static void logic(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint32_t *b = a + r->count;
    const uint8_t *t = f->truth;
    uint8_t *out = f->truth + r->first;
    switch (r->op) {
    case MP_OP_NOT:
        for (uint32_t i = 0; i < r->count; i++) out[i] = (uint8_t)((t[a[i]] & T) << 1 | t[a[i]] >> 1);
        return;
    case MP_OP_AND:
        for (uint32_t i = 0; i < r->count; i++) {
            out[i] = (uint8_t)((t[a[i]] & t[b[i]] & T) | ((t[a[i]] | t[b[i]]) & F));
        }
        return;
    case MP_OP_OR:
        for (uint32_t i = 0; i < r->count; i++) {
            out[i] = (uint8_t)(((t[a[i]] | t[b[i]]) & T) | (t[a[i]] & t[b[i]] & F));
        }
        return;
    case MP_OP_IS_TRUE:
        for (uint32_t i = 0; i < r->count; i++) out[i] = truth_of(t[a[i]] == T);
        return;
    case MP_OP_EQ_B:
        for (uint32_t i = 0; i < r->count; i++) {
            bool known = t[a[i]] != 0 && t[b[i]] != 0;
            out[i] = (uint8_t)((0u - known) & truth_of(t[a[i]] == t[b[i]]));
        }
        return;
    default: MP_UNREACHABLE("no logic");
    }
}

static void is_known(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint8_t *from = r->a_rep == MP_REP_B ? f->truth : f->known;
    for (uint32_t i = 0; i < r->count; i++) f->truth[r->first + i] = truth_of(from[a[i]] != 0);
}

/* Register `from`, or nothing where it is MP_NONE, becomes register `to`. */
static inline void copy(struct frame *f, enum mp_rep rep, uint32_t from, uint32_t to)
{
    if (rep == MP_REP_B) {
        f->truth[to] = from == MP_NONE ? 0 : f->truth[from];
    } else if (from == MP_NONE) {
        put(f, to, mp_value_int(0), false);
    } else {
        put(f, to, f->v[from], f->known[from]);
    }
}

static void choose(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint32_t *b = a + r->count, *c = b + r->count;
    const uint8_t *known = r->a_rep == MP_REP_B ? f->truth : f->known;
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t from = MP_NONE;
        switch (r->op) {
        case MP_OP_DEFAULT: from = known[a[i]] != 0 ? a[i] : b[i]; break;
        case MP_OP_PICK: from = f->truth[a[i]] == T ? b[i] : c[i]; break;
        default: { /* OVERRIDE */
            int64_t state = mp_value_as_int(f->v[a[i]]);
            if (f->known[a[i]] && (state == 0 || state == 1)) from = state == 0 ? c[i] : b[i];
            break;
        }
        }
        copy(f, (enum mp_rep)r->rep, from, r->first + i);
    }
}

/* ---- arithmetic ---- */

#define EACH_INT(call)                                                                             \
    for (uint32_t i = 0; i < r->count; i++) {                                                      \
        int64_t x = mp_value_as_int(f->v[a[i]]), y = mp_value_as_int(f->v[b[i]]), n = 0;           \
        bool known = (call) & f->known[a[i]] & f->known[b[i]];                                     \
        put(f, r->first + i, mp_value_int(n), known);                                              \
    }                                                                                              \
    return

#define EACH_NUM(expression)                                                                       \
    for (uint32_t i = 0; i < r->count; i++) {                                                      \
        double x = mp_value_as_num(f->v[a[i]]), y = mp_value_as_num(f->v[b[i]]);                   \
        double n = expression;                                                                     \
        bool known = mp_op_finite(n) & f->known[a[i]] & f->known[b[i]];                            \
        put(f, r->first + i, mp_value_num(n), known);                                              \
    }                                                                                              \
    return

static void arithmetic(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint32_t *b = a + r->count;
    switch (r->op) {
    case MP_OP_ADD_I: EACH_INT(mp_op_add(x, y, &n));
    case MP_OP_SUB_I: EACH_INT(mp_op_sub(x, y, &n));
    case MP_OP_MUL_I: EACH_INT(mp_op_mul(x, y, &n));
    case MP_OP_ADD_F: EACH_NUM(x + y);
    case MP_OP_SUB_F: EACH_NUM(x - y);
    case MP_OP_MUL_F: EACH_NUM(x * y);
    case MP_OP_DIV_F: EACH_NUM(x / y);
    case MP_OP_I_TO_F:
        for (uint32_t i = 0; i < r->count; i++) {
            double n = (double)mp_value_as_int(f->v[a[i]]);
            put(f, r->first + i, mp_value_num(n), f->known[a[i]]);
        }
        return;
    default: MP_UNREACHABLE("no arithmetic");
    }
}

/* ---- all the rest ---- */

/* Operand a as a value, out of a register of either kind. */
static bool operand_a(const struct frame *f, const struct mp_run *r, uint32_t reg, struct mp_value *out)
{
    if (r->a_rep == MP_REP_B) {
        *out = mp_value_bool(f->truth[reg] == T);
        return f->truth[reg] != 0;
    }
    *out = f->v[reg];
    return f->known[reg] != 0;
}

static void call(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const struct mp_op_layout *layout = mp_op_layout(r->op);
    bool two = mp_op_kind_is_value(layout->kind[1]), three = mp_op_kind_is_value(layout->kind[2]);
    bool row = (layout->kind[1] != '-' && !two) || r->op == MP_OP_LOWER;
    mp_op_helper helper = mp_exec_helpers[r->op];
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t to = r->first + i, b = a[two || row ? r->count + i : i];
        uint32_t c = a[three ? 2 * r->count + i : i];
        uint32_t k = row ? b : r->op == MP_OP_IN_SET ? r->a_rep : 0;
        struct mp_value x, out = mp_value_int(0);
        bool known = operand_a(f, r, a[i], &x) && (!two || f->known[b]) && (!three || f->known[c]);
        known = known && helper(f->in, k, &x, two ? &f->v[b] : NULL, three ? &f->v[c] : NULL, &out);
        if (r->rep == MP_REP_B) {
            f->truth[to] = known ? truth_of(out.w[0] != 0) : 0;
        } else {
            put(f, to, out, known);
        }
    }
}

static void run(struct frame *f, const struct mp_run *r, const uint32_t *args)
{
    const uint32_t *a = args + r->at;
    const struct mp_inputs *in = f->in;
    switch (r->op) {
    case MP_OP_CONST: leaf(f, r, a, in->consts, NULL); return;
    case MP_OP_PARAM: leaf(f, r, a, in->params, NULL); return;
    case MP_OP_FIELD: leaf(f, r, a, in->record, in->record_known); return;
    case MP_OP_COL: leaf(f, r, a, in->row, in->row_known); return;
    case MP_OP_UNKNOWN: unknown(f, r); return;
    case MP_OP_NOT: case MP_OP_AND: case MP_OP_OR: case MP_OP_IS_TRUE: case MP_OP_EQ_B:
        logic(f, r, a);
        return;
    case MP_OP_KNOWN: is_known(f, r, a); return;
    case MP_OP_DEFAULT: case MP_OP_PICK: case MP_OP_OVERRIDE: choose(f, r, a); return;
    case MP_OP_EQ_I: case MP_OP_LT_I: case MP_OP_LE_I: case MP_OP_EQ_F: case MP_OP_LT_F:
    case MP_OP_LE_F: case MP_OP_EQ_T: case MP_OP_EQ_A:
        compare(f, r, a);
        return;
    case MP_OP_ADD_I: case MP_OP_SUB_I: case MP_OP_MUL_I: case MP_OP_ADD_F: case MP_OP_SUB_F:
    case MP_OP_MUL_F: case MP_OP_DIV_F: case MP_OP_I_TO_F:
        arithmetic(f, r, a);
        return;
    default: call(f, r, a); return;
    }
}

/* Bits are gathered in registers and stored once a word: a store for each would wait for the last. */
static void write_outs(const struct frame *f, const struct mp_code_out *outs, uint32_t count,
                       struct mp_outputs *to)
{
    uint64_t known = 0, truth = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t reg = outs[i].reg, out = outs[i].out;
        if (outs[i].truth) {
            known |= (uint64_t)(f->truth[reg] != 0) << (out & 63);
            truth |= (uint64_t)(f->truth[reg] & T) << (out & 63);
        } else {
            known |= (uint64_t)f->known[reg] << (out & 63);
            to->value[out] = f->v[reg];
        }
        if (i + 1 < count && outs[i + 1].out >> 6 == out >> 6) continue;
        to->known[out >> 6] |= known;
        to->truth[out >> 6] |= truth;
        known = truth = 0;
    }
}

void mp_eval_interpret(const struct mp_program *p, uint32_t fn, const struct mp_inputs *in,
                       struct mp_outputs *out)
{
    const struct mp_code *code = &p->code[fn];
    struct frame f; /* every register is written before it is read */
    f.in = in;
    for (uint32_t i = 0; i < (code->outs_count + 63) / 64; i++) out->known[i] = out->truth[i] = 0;
    for (uint32_t i = 0; i < code->chunk_count; i++) {
        const struct mp_chunk *chunk = &code->chunks[i];
        const struct mp_run *r = code->runs + chunk->runs_at;
        for (uint32_t k = 0; k < chunk->runs_count; k++) run(&f, &r[k], code->args);
        write_outs(&f, code->outs + chunk->outs_at, chunk->outs_count, out);
    }
}
