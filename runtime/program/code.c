/* SPDX-License-Identifier: Apache-2.0 */
#include "program/code.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/vec.h"
#include "program/program_priv.h"

/* An op of the function as it will run: of the IR, or one of enum mp_code_op. */
struct op {
    uint32_t code, rep;
    uint32_t operand[3]; /* numbers of ops before it, or what ops.def says */
    uint32_t place;      /* LOWER: which of the function's */
    uint64_t low, span;  /* RANGE */
};

struct sorted;

/* One function while it is scheduled. Arrays are indexed by the number of an op; they are made
 * once, for the longest function of the program, and used for one after the other. */
struct work {
    const struct mp_program *p;
    const struct mp_fn_row *fn;
    struct mp_arena *keep, *scratch;
    struct op *ops;
    uint32_t count;
    uint32_t *of_ir; /* op of the IR → op here */
    uint32_t *key;   /* of a leaf: its KEY, MP_NONE: none yet */
    uint32_t *stamp; /* of the chunk that needs the op; 0: none yet */
    uint32_t *level;
    uint32_t *order; /* MP_NONE: not yet */
    uint32_t *reg;
    uint32_t *used; /* ops of this chunk */
    struct sorted *sorted;
    uint32_t used_count, now; /* now: the stamp of this chunk */
    MP_VEC(struct mp_run) runs;
    MP_VEC(uint32_t) args;
    MP_VEC(uint64_t) words;
    MP_VEC(struct mp_code_out) outs;
    MP_VEC(struct mp_chunk) chunks;
    bool failed;
};

static bool is_value(uint32_t code, int k)
{
    if (code >= MP_OP_COUNT) return k == 0;
    return mp_op_kind_is_value(mp_op_layout(code)->kind[k]);
}

static bool has_operand(uint32_t code, int k)
{
    return code >= MP_OP_COUNT ? k == 0 : mp_op_layout(code)->kind[k] != '-';
}

static enum mp_space leaf_space(uint32_t code)
{
    switch (code) {
    case MP_OP_FIELD: return MP_SPACE_RECORD;
    case MP_OP_COL: return MP_SPACE_ROW;
    case MP_OP_CONST: return MP_SPACE_CONST;
    default: return MP_SPACE_REG;
    }
}

/* ---- from the ops of the IR ---- */

/* A number as a word whose unsigned order is that of the numbers; the zeros of doubles are one. */
static uint64_t key_of(enum mp_rep rep, struct mp_value v)
{
    const uint64_t sign = (uint64_t)1 << 63;
    if (rep == MP_REP_I) return v.w[0] ^ sign;
    uint64_t w = v.w[0] == sign ? 0 : v.w[0];
    return (w & sign) != 0 ? ~w : w | sign;
}

/* The keys for which a comparison with a constant is true, from `low` to `high`; false: none at
 * all. `left`: the constant is its left side. */
static bool range_of(uint32_t code, bool left, uint64_t key, uint64_t *low, uint64_t *high)
{
    bool strict = code == MP_OP_LT_I || code == MP_OP_LT_F;
    bool equal = code == MP_OP_EQ_I || code == MP_OP_EQ_F;
    if (strict && key == (left ? UINT64_MAX : 0)) return false;
    *low = equal || left ? key + (strict && left) : 0;
    *high = equal || !left ? key - (strict && !left) : UINT64_MAX;
    return true;
}

static bool compares_numbers(uint32_t code)
{
    return code == MP_OP_EQ_I || code == MP_OP_LT_I || code == MP_OP_LE_I || code == MP_OP_EQ_F ||
           code == MP_OP_LT_F || code == MP_OP_LE_F;
}

/* The KEY of a leaf, made once. */
static uint32_t take_key(struct work *w, uint32_t leaf)
{
    if (w->key[leaf] == MP_NONE) {
        w->key[leaf] = w->count;
        w->ops[w->count++] =
            (struct op){.code = MP_CODE_KEY, .rep = w->ops[leaf].rep, .operand = {leaf, 0, 0}};
    }
    return w->key[leaf];
}

/* Writes a comparison of a field or cell with a constant as a range test. Only leaves: a key of a
 * computed value would need one more register than mp_verify_fns has counted. */
static bool put_range(struct work *w, const struct op *op)
{
    if (!compares_numbers(op->code)) return false;
    const struct op *a = &w->ops[op->operand[0]], *b = &w->ops[op->operand[1]];
    bool left = a->code == MP_OP_CONST;
    const struct op *constant = left ? a : b, *other = left ? b : a;
    if (constant->code != MP_OP_CONST) return false;
    if (other->code != MP_OP_FIELD && other->code != MP_OP_COL) return false;
    uint64_t low, high,
        word = key_of((enum mp_rep)constant->rep, w->p->consts[constant->operand[0]]);
    if (!range_of(op->code, left, word, &low, &high)) return false;
    uint32_t leaf = (uint32_t)(other - w->ops), of = take_key(w, leaf);
    w->ops[w->count++] = (struct op){.code = MP_CODE_RANGE, .rep = MP_REP_B, .operand = {of, 0, 0},
                                     .low = low, .span = high - low};
    return true;
}

static void take_ops(struct work *w)
{
    uint32_t count = w->fn->ops_count, lowers = 0;
    w->count = 0;
    memset(w->key, 0xff, 2 * (size_t)count * sizeof *w->key);
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_op_row *row = &w->p->op[w->fn->ops_at + i];
        struct op op = {.code = row->code, .rep = row->rep, .operand = {row->a, row->b, row->c}};
        for (int k = 0; k < 3; k++) {
            if (is_value(op.code, k)) op.operand[k] = w->of_ir[op.operand[k]];
        }
        if (op.code == MP_OP_LOWER) op.place = lowers++;
        if (!put_range(w, &op)) w->ops[w->count++] = op;
        w->of_ir[i] = w->count - 1;
    }
}

/* ---- which ops a chunk needs ---- */

/* Comparisons read their operands in place. */
static bool reads_in_place(uint32_t code)
{
    return compares_numbers(code) || code == MP_OP_EQ_T || code == MP_OP_EQ_A ||
           code == MP_CODE_KEY;
}

/* Is operand k of `op` a value that must be in a register? */
static bool needs_reg(const struct work *w, const struct op *op, int k)
{
    if (!is_value(op->code, k)) return false;
    bool leaf = leaf_space(w->ops[op->operand[k]].code) != MP_SPACE_REG;
    return !(leaf && reads_in_place(op->code));
}

static bool take(struct work *w, uint32_t value)
{
    if (w->stamp[value] == w->now) return true;
    if (w->used_count == MP_FN_REGS_MAX) return false;
    w->stamp[value] = w->now;
    w->used[w->used_count++] = value;
    return true;
}

/* Adds what an output needs; false when that is more than MP_FN_REGS_MAX ops in all. `used` is
 * both the answer and the queue of what is still to be looked at. */
static bool take_out(struct work *w, uint32_t value)
{
    uint32_t at = w->used_count;
    if (!take(w, value)) return false;
    for (; at < w->used_count; at++) {
        const struct op *op = &w->ops[w->used[at]];
        for (int k = 0; k < 3; k++) {
            if (needs_reg(w, op, k) && !take(w, op->operand[k])) return false;
        }
    }
    return true;
}

/* ---- order ---- */

struct sorted {
    uint64_t key;
    uint32_t order, value;
};

/* Ops of one run are alike in all of this. Operand spaces are 0 where there is no operand. */
static uint64_t run_key(const struct work *w, uint32_t value)
{
    const struct op *op = &w->ops[value];
    uint64_t space[2] = {0, 0}, a_rep = 0;
    for (int k = 0; k < 2; k++) {
        if (!is_value(op->code, k)) continue;
        uint32_t v = op->operand[k];
        if (!needs_reg(w, op, k)) space[k] = leaf_space(w->ops[v].code);
        if (k == 0 && op->code != MP_CODE_RANGE) a_rep = w->ops[v].rep; /* keys are all alike */
    }
    return (uint64_t)w->level[value] << 32 | (uint64_t)op->code << 16 | (uint64_t)op->rep << 12 |
           space[0] << 8 | space[1] << 4 | a_rep;
}

static int by_key(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static int by_order(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void set_levels(struct work *w)
{
    /* Operands have smaller numbers, so ascending order sees them first. */
    qsort(w->used, w->used_count, sizeof *w->used, by_value);
    for (uint32_t i = 0; i < w->used_count; i++) {
        const struct op *op = &w->ops[w->used[i]];
        uint32_t level = 0;
        for (int k = 0; k < 3; k++) {
            if (!needs_reg(w, op, k)) continue;
            uint32_t below = w->level[op->operand[k]] + 1;
            if (below > level) level = below;
        }
        w->level[w->used[i]] = level;
        w->order[w->used[i]] = MP_NONE;
    }
}

static uint32_t run_end(const struct sorted *s, uint32_t count, uint32_t from)
{
    uint32_t to = from + 1;
    while (to < count && s[to].key == s[from].key) to++;
    return to;
}

/* Puts the ops of each run in the order of what needs them: outputs first, then run after run
 * from the highest level down, all first operands and then all second ones. */
static void set_order(struct work *w, struct sorted *s, uint32_t out_from, uint32_t out_to)
{
    uint32_t next = 0, starts_count = 0;
    for (uint32_t i = out_from; i < out_to; i++) {
        uint32_t value = w->of_ir[w->p->out[w->fn->outs_at + i].value];
        if (w->order[value] == MP_NONE) w->order[value] = next++;
    }
    uint32_t *starts = w->reg; /* its use comes later, in put_run; a run has at least one op */
    for (uint32_t from = 0; from < w->used_count; from = run_end(s, w->used_count, from)) {
        starts[starts_count++] = from;
    }
    while (starts_count > 0) {
        uint32_t from = starts[--starts_count], to = run_end(s, w->used_count, from);
        for (uint32_t i = from; i < to; i++) s[i].order = w->order[s[i].value];
        qsort(s + from, to - from, sizeof *s, by_order);
        for (int k = 0; k < 3; k++) {
            for (uint32_t i = from; i < to; i++) {
                const struct op *op = &w->ops[s[i].value];
                if (!needs_reg(w, op, k)) break;
                if (w->order[op->operand[k]] == MP_NONE) w->order[op->operand[k]] = next++;
            }
        }
    }
}

/* ---- writing ---- */

static void put_arg(struct work *w, uint32_t arg)
{
    uint32_t *slot = MP_VEC_PUSH(w->scratch, &w->args);
    if (slot != NULL) *slot = arg;
    w->failed |= slot == NULL;
}

static void put_word(struct work *w, uint64_t word)
{
    uint64_t *slot = MP_VEC_PUSH(w->scratch, &w->words);
    if (slot != NULL) *slot = word;
    w->failed |= slot == NULL;
}

static uint32_t arg_of(const struct work *w, const struct op *op, int k)
{
    uint32_t v = op->operand[k];
    if (!is_value(op->code, k)) return v;
    return needs_reg(w, op, k) ? w->reg[v] : w->ops[v].operand[0]; /* else a leaf's slot or row */
}

static void put_operands(struct work *w, const struct sorted *s, uint32_t count)
{
    uint32_t code = w->ops[s[0].value].code;
    for (int k = 0; k < 3; k++) {
        if (!has_operand(code, k)) continue;
        for (uint32_t i = 0; i < count; i++) put_arg(w, arg_of(w, &w->ops[s[i].value], k));
    }
    for (uint32_t i = 0; i < count && code == MP_OP_LOWER; i++)
        put_arg(w, w->ops[s[i].value].place);
    for (uint32_t i = 0; i < count && code == MP_CODE_RANGE; i++)
        put_word(w, w->ops[s[i].value].low);
    for (uint32_t i = 0; i < count && code == MP_CODE_RANGE; i++)
        put_word(w, w->ops[s[i].value].span);
}

static void put_run(struct work *w, const struct sorted *s, uint32_t count, uint32_t first,
                    bool dense)
{
    const struct op *op = &w->ops[s[0].value];
    struct mp_run *run = MP_VEC_PUSH(w->scratch, &w->runs);
    if (run == NULL) {
        w->failed = true;
        return;
    }
    *run = (struct mp_run){
        .op = (uint8_t)op->code, .rep = (uint8_t)op->rep, .a_space = (uint8_t)(s[0].key >> 8 & 15),
        .b_space = (uint8_t)(s[0].key >> 4 & 15), .a_rep = (uint8_t)(s[0].key & 15), .dense = dense,
        .count = count, .first = first, .at = w->args.len, .words_at = w->words.len,
    };
    for (uint32_t i = 0; i < count; i++) w->reg[s[i].value] = first + i;
    put_operands(w, s, count);
}

/* Is every operand of s[1] the register behind that of s[0]? */
static bool side_by_side(const struct work *w, const struct sorted *s)
{
    const struct op *a = &w->ops[s[0].value], *b = &w->ops[s[1].value];
    for (int k = 0; k < 3; k++) {
        if (has_operand(a->code, k) && arg_of(w, b, k) != arg_of(w, a, k) + 1) return false;
    }
    return true;
}

/* LIMIT: as few ops are not worth a run of their own. */
#define DENSE_MIN 8

/* Stretches of and, or, not whose operands lie side by side become runs of their own. */
static void put_logic(struct work *w, const struct sorted *s, uint32_t count, uint32_t first)
{
    uint32_t done = 0;
    for (uint32_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && side_by_side(w, s + to - 1); to++) continue;
        if (to - from < DENSE_MIN) continue;
        if (from > done) put_run(w, s + done, from - done, first + done, false);
        put_run(w, s + from, to - from, first + from, true);
        done = to;
    }
    if (count > done) put_run(w, s + done, count - done, first + done, false);
}

static void put_runs(struct work *w, uint32_t out_from, uint32_t out_to)
{
    set_levels(w);
    struct sorted *s = w->sorted;
    for (uint32_t i = 0; i < w->used_count; i++) {
        s[i] = (struct sorted){run_key(w, w->used[i]), 0, w->used[i]};
    }
    qsort(s, w->used_count, sizeof *s, by_key);
    set_order(w, s, out_from, out_to);
    for (uint32_t from = 0, to; from < w->used_count; from = to) {
        to = run_end(s, w->used_count, from);
        uint32_t code = w->ops[s[from].value].code;
        if (code == MP_OP_AND || code == MP_OP_OR || code == MP_OP_NOT) {
            put_logic(w, s + from, to - from, from);
        } else {
            put_run(w, s + from, to - from, from, false);
        }
    }
}

static void put_outs(struct work *w, uint32_t from, uint32_t to)
{
    uint32_t chunk_at = w->outs.len;
    for (uint32_t i = from; i < to; i++) {
        uint32_t value = w->of_ir[w->p->out[w->fn->outs_at + i].value];
        bool truth = w->ops[value].rep == MP_REP_B;
        struct mp_code_out *last = w->outs.len > chunk_at ? MP_VEC_LAST(&w->outs) : NULL;
        if (last != NULL && truth && last->truth && w->reg[value] == last->reg + last->count) {
            last->count++;
            continue;
        }
        struct mp_code_out *out = MP_VEC_PUSH(w->scratch, &w->outs);
        if (out == NULL) {
            w->failed = true;
            return;
        }
        *out = (struct mp_code_out){w->reg[value], i, 1, truth};
    }
}

/* The outputs from `from` on that fit into one chunk; their end is the answer. */
static uint32_t put_chunk(struct work *w, uint32_t from)
{
    w->now += 1;
    w->used_count = 0;
    uint32_t to = from;
    while (to < w->fn->outs_count) {
        uint32_t before = w->used_count;
        bool fits = take_out(w, w->of_ir[w->p->out[w->fn->outs_at + to].value]);
        if (to > from && (!fits || w->used_count > MP_CHUNK_REGS)) {
            for (uint32_t i = before; i < w->used_count; i++) w->stamp[w->used[i]] = 0;
            w->used_count = before;
            break;
        }
        MP_ASSERT(fits); /* mp_verify_fns counted the ops of every single output */
        to++;
    }
    struct mp_chunk *chunk = MP_VEC_PUSH(w->scratch, &w->chunks);
    if (chunk == NULL) {
        w->failed = true;
        return to;
    }
    chunk->runs_at = w->runs.len;
    chunk->outs_at = w->outs.len;
    put_runs(w, from, to);
    if (!w->failed) put_outs(w, from, to);
    chunk->runs_count = w->runs.len - chunk->runs_at;
    chunk->outs_count = w->outs.len - chunk->outs_at;
    return to;
}

#define KEEP(w, vec) keep((w)->keep, (vec).ptr, (vec).len * sizeof *(vec).ptr)

static const void *keep(struct mp_arena *arena, const void *from, size_t bytes)
{
    void *to = mp_arena_alloc(arena, bytes, 8);
    if (to != NULL && bytes != 0) memcpy(to, from, bytes);
    return to;
}

static enum mp_err build(struct work *w, struct mp_code *code)
{
    take_ops(w);
    memset(w->stamp, 0, w->count * sizeof *w->stamp);
    w->now = w->runs.len = w->args.len = w->words.len = w->outs.len = w->chunks.len = 0;
    for (uint32_t at = 0; at < w->fn->outs_count && !w->failed;) at = put_chunk(w, at);
    if (w->failed) return MP_ENOMEM;
    code->chunk_count = w->chunks.len;
    code->outs_count = w->fn->outs_count;
    code->chunks = KEEP(w, w->chunks);
    code->runs = KEEP(w, w->runs);
    code->args = KEEP(w, w->args);
    code->words = KEEP(w, w->words);
    code->outs = KEEP(w, w->outs);
    bool kept =
        code->chunks != NULL && code->runs != NULL && code->args != NULL && code->words != NULL;
    return kept && code->outs != NULL ? MP_OK : MP_ENOMEM;
}

static enum mp_err make_room(struct work *w)
{
    size_t count = 0;
    for (uint32_t i = 0; i < w->p->fn_count; i++) {
        if (w->p->fn[i].ops_count > count) count = w->p->fn[i].ops_count;
    }
    w->of_ir = MP_NEW(w->scratch, uint32_t, count);
    w->used = MP_NEW(w->scratch, uint32_t, MP_FN_REGS_MAX);
    w->sorted = MP_NEW(w->scratch, struct sorted, MP_FN_REGS_MAX);
    count *= 2; /* a KEY for each leaf at most */
    w->ops = MP_NEW(w->scratch, struct op, count);
    w->key = MP_NEW(w->scratch, uint32_t, count);
    w->stamp = MP_NEW(w->scratch, uint32_t, count);
    w->level = MP_NEW(w->scratch, uint32_t, count);
    w->order = MP_NEW(w->scratch, uint32_t, count);
    w->reg = MP_NEW(w->scratch, uint32_t, count);
    bool room = w->of_ir != NULL && w->used != NULL && w->sorted != NULL && w->ops != NULL &&
                w->key != NULL && w->stamp != NULL && w->level != NULL && w->order != NULL;
    return room && w->reg != NULL ? MP_OK : MP_ENOMEM;
}

enum mp_err mp_program_build_code(struct mp_program *p)
{
    struct mp_code *codes = MP_NEW(&p->arena, struct mp_code, p->fn_count);
    if (codes == NULL) return MP_ENOMEM;
    struct mp_arena scratch;
    mp_arena_init(&scratch, NULL, 0);
    struct work w = {.p = p, .keep = &p->arena, .scratch = &scratch};
    enum mp_err err = make_room(&w);
    for (uint32_t i = 0; i < p->fn_count && err == MP_OK; i++) {
        w.fn = &p->fn[i];
        err = build(&w, &codes[i]);
    }
    mp_arena_free(&scratch);
    p->code = codes;
    return err;
}
