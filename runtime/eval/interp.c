/* SPDX-License-Identifier: Apache-2.0
 * interp.c - the interpreter: the meaning of the ops, a run of equal ops at a time
 * (program/code.h).
 *
 * A truth in a register is one byte: bit 0 true, bit 1 false, none unknown. So Kleene's and, or
 * and not are three operations on bits each, and nothing branches on what a request says.
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
    uint8_t truth[MP_FN_REGS_MAX + 8]; /* of ops that answer a truth, instead of v and known */
};

static inline uint8_t truth_of(bool b) { return b ? T : F; }

static inline struct mp_value masked(struct mp_value v, bool known)
{
    uint64_t mask = 0 - (uint64_t)known;
    return (struct mp_value){{v.w[0] & mask, v.w[1] & mask}};
}

static inline void put(struct frame *f, size_t reg, struct mp_value v, bool known)
{
    f->v[reg] = masked(v, known);
    f->known[reg] = known;
}

static inline bool bit(const uint64_t *words, uint32_t i)
{
    return (words[i >> 6] >> (i & 63) & 1) != 0;
}

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
static void mask_unknown(const struct frame *f, uint8_t where, const uint32_t *args, size_t count,
                         uint8_t *truth)
{
    const uint64_t *words = where == MP_SPACE_RECORD ? f->in->record_known : f->in->row_known;
    switch (where) {
    case MP_SPACE_CONST: return;
    case MP_SPACE_REG:
        for (size_t i = 0; i < count; i++) truth[i] &= (uint8_t)(0u - f->known[args[i]]);
        return;
    default:
        for (size_t i = 0; i < count; i++) truth[i] &= (uint8_t)(0u - bit(words, args[i]));
        return;
    }
}

/* A key is kept in v[].w[0]; zeros where unknown, as all of v. */
static void keys(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint64_t sign = (uint64_t)1 << 63;
    const struct mp_value *from = space(f, r->a_space);
    const uint64_t *known = r->a_space == MP_SPACE_RECORD ? f->in->record_known : f->in->row_known;
    const bool is_double = r->a_rep == MP_REP_F;
    const size_t count = r->count, first = r->first;
    for (size_t i = 0; i < count; i++) {
        uint64_t w = from[a[i]].w[0];
        if (is_double) {
            w = w == sign ? 0 : w;
            w ^= sign | (0 - (w >> 63)); /* negative: all bits turn, else the first one */
        } else {
            w ^= sign;
        }
        f->v[first + i].w[0] = w;
        f->known[first + i] = bit(known, a[i]);
    }
}

/* The inner loop of units whose rules compare with constants. */
static void ranges(struct frame *f, const struct mp_run *r, const uint32_t *a, const uint64_t *low)
{
    const size_t count = r->count;
    const uint64_t *span = low + count;
    uint8_t *truth = f->truth + r->first;
    for (size_t i = 0; i < count; i++) {
        bool inside = f->v[a[i]].w[0] - low[i] <= span[i];
        truth[i] = (uint8_t)((F - inside) & (0u - f->known[a[i]]));
    }
}

#define EACH(expression)                                                                           \
    for (size_t i = 0; i < count; i++) {                                                           \
        struct mp_value x = left[a[i]], y = right[b[i]];                                           \
        truth[i] = truth_of(expression);                                                           \
    }                                                                                              \
    break

static void compare(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint32_t *b = a + r->count;
    const struct mp_value *left = space(f, r->a_space), *right = space(f, r->b_space);
    uint8_t *truth = f->truth + r->first;
    const size_t count = r->count;
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

#define EIGHT_T 0x0101010101010101u
#define EIGHT_F 0x0202020202020202u

static inline uint64_t load8(const uint8_t *at)
{
    uint64_t w;
    memcpy(&w, at, sizeof w);
    return w;
}

static inline uint64_t logic8(uint8_t op, uint64_t x, uint64_t y)
{
    switch (op) {
    case MP_OP_AND: return (x & y & EIGHT_T) | ((x | y) & EIGHT_F);
    case MP_OP_OR: return ((x | y) & EIGHT_T) | (x & y & EIGHT_F);
    default: return (x & EIGHT_T) << 1 | (x & EIGHT_F) >> 1; /* NOT */
    }
}

/* Operands side by side, eight at a time. The last eight may reach behind the run: into registers
 * of later runs, or into the spare bytes behind them all, which are written before they are
 * read. */
static void logic_dense(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint8_t *x = f->truth + a[0];
    const uint8_t *y = r->op == MP_OP_NOT ? x : f->truth + a[r->count];
    uint8_t *out = f->truth + r->first;
    const uint8_t op = r->op;
    const size_t count = r->count;
    for (size_t i = 0; i < count; i += 8) {
        uint64_t w = logic8(op, load8(x + i), load8(y + i));
        memcpy(out + i, &w, sizeof w);
    }
}

static void logic(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint32_t *b = a + r->count;
    const uint8_t *t = f->truth;
    uint8_t *out = f->truth + r->first;
    const size_t count = r->count;
    switch (r->op) {
    case MP_OP_NOT:
        for (size_t i = 0; i < count; i++) out[i] = (uint8_t)((t[a[i]] & T) << 1 | t[a[i]] >> 1);
        return;
    case MP_OP_AND:
        for (size_t i = 0; i < count; i++) {
            out[i] = (uint8_t)((t[a[i]] & t[b[i]] & T) | ((t[a[i]] | t[b[i]]) & F));
        }
        return;
    case MP_OP_OR:
        for (size_t i = 0; i < count; i++) {
            out[i] = (uint8_t)(((t[a[i]] | t[b[i]]) & T) | (t[a[i]] & t[b[i]] & F));
        }
        return;
    case MP_OP_IS_TRUE:
        for (size_t i = 0; i < count; i++) out[i] = truth_of(t[a[i]] == T);
        return;
    case MP_OP_EQ_B:
        for (size_t i = 0; i < count; i++) {
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
    for (size_t i = 0; i < count; i++) {                                                           \
        int64_t x = mp_value_as_int(f->v[a[i]]), y = mp_value_as_int(f->v[b[i]]), n = 0;           \
        bool known = (call) & f->known[a[i]] & f->known[b[i]];                                     \
        put(f, first + i, mp_value_int(n), known);                                                 \
    }                                                                                              \
    return

#define EACH_NUM(expression)                                                                       \
    for (size_t i = 0; i < count; i++) {                                                           \
        double x = mp_value_as_num(f->v[a[i]]), y = mp_value_as_num(f->v[b[i]]);                   \
        double n = expression;                                                                     \
        bool known = mp_op_finite(n) & f->known[a[i]] & f->known[b[i]];                            \
        put(f, first + i, mp_value_num(n), known);                                                 \
    }                                                                                              \
    return

static void arithmetic(struct frame *f, const struct mp_run *r, const uint32_t *a)
{
    const uint32_t *b = a + r->count, first = r->first;
    const size_t count = r->count;
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
static bool operand_a(const struct frame *f, const struct mp_run *r, uint32_t reg,
                      struct mp_value *out)
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

static void run(struct frame *f, const struct mp_run *r, const struct mp_code *code)
{
    const uint32_t *a = code->args + r->at;
    const struct mp_inputs *in = f->in;
    switch (r->op) {
    case MP_OP_CONST: leaf(f, r, a, in->consts, NULL); return;
    case MP_OP_PARAM: leaf(f, r, a, in->params, NULL); return;
    case MP_OP_FIELD: leaf(f, r, a, in->record, in->record_known); return;
    case MP_OP_COL: leaf(f, r, a, in->row, in->row_known); return;
    case MP_OP_UNKNOWN: unknown(f, r); return;
    case MP_CODE_KEY: keys(f, r, a); return;
    case MP_CODE_RANGE: ranges(f, r, a, code->words + r->words_at); return;
    case MP_OP_NOT: case MP_OP_AND: case MP_OP_OR: case MP_OP_IS_TRUE: case MP_OP_EQ_B:
        if (r->dense) {
            logic_dense(f, r, a);
        } else {
            logic(f, r, a);
        }
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

/* Bit 0 of each of eight bytes, as the bits of one: byte i is moved to bit 56 + i. */
static inline uint64_t gather8(uint64_t w) { return (w & EIGHT_T) * 0x0102040810204080u >> 56; }

static inline void put_bits(uint64_t *words, uint32_t at, uint64_t bits, uint32_t count)
{
    words[at >> 6] |= bits << (at & 63);
    if ((at & 63) + count > 64) words[(at >> 6) + 1] |= bits >> (64 - (at & 63));
}

static void write_truths(const struct frame *f, const struct mp_code_out *o, struct mp_outputs *to)
{
    for (uint32_t i = 0; i < o->count; i += 8) {
        uint32_t count = o->count - i < 8 ? o->count - i : 8;
        uint64_t w = load8(f->truth + o->reg + i), mask = 0xff >> (8 - count);
        put_bits(to->truth, o->out + i, gather8(w) & mask, count);
        put_bits(to->known, o->out + i, gather8(w | w >> 1) & mask, count);
    }
}

static void write_outs(const struct frame *f, const struct mp_code_out *outs, uint32_t count,
                       struct mp_outputs *to)
{
    for (uint32_t i = 0; i < count; i++) {
        if (outs[i].truth) {
            write_truths(f, &outs[i], to);
            continue;
        }
        put_bits(to->known, outs[i].out, f->known[outs[i].reg], 1);
        to->value[outs[i].out] = f->v[outs[i].reg];
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
        for (uint32_t k = 0; k < chunk->runs_count; k++) run(&f, &r[k], code);
        write_outs(&f, code->outs + chunk->outs_at, chunk->outs_count, out);
    }
}
