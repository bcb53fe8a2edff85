/* SPDX-License-Identifier: Apache-2.0 */
#include "program/code.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/vec.h"
#include "program/program_priv.h"

/* One function while it is scheduled. Arrays are indexed by the number of an op. */
struct work {
    const struct mp_program *p;
    const struct mp_fn_row *fn;
    const struct mp_op_row *ops;
    struct mp_arena *keep, *scratch;
    uint32_t *stamp; /* of the chunk that needs the op; 0: none yet */
    uint32_t *level;
    uint32_t *reg;
    uint32_t *used; /* ops of this chunk */
    uint32_t used_count, now; /* now: the stamp of this chunk */
    MP_VEC(struct mp_run) runs;
    MP_VEC(uint32_t) args;
    MP_VEC(struct mp_code_out) outs;
    MP_VEC(struct mp_chunk) chunks;
    bool failed;
};

/* ---- which ops a chunk needs ---- */

/* Comparisons read their operands in place. */
static bool reads_in_place(uint32_t code)
{
    switch (code) {
    case MP_OP_EQ_I: case MP_OP_LT_I: case MP_OP_LE_I:
    case MP_OP_EQ_F: case MP_OP_LT_F: case MP_OP_LE_F:
    case MP_OP_EQ_T: case MP_OP_EQ_A: return true;
    default: return false;
    }
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

static uint32_t operand(const struct mp_op_row *op, int k) { return k == 0 ? op->a : k == 1 ? op->b : op->c; }

/* Is operand k of `op` a value that must be in a register? */
static bool needs_reg(const struct work *w, const struct mp_op_row *op, int k)
{
    if (!mp_op_kind_is_value(mp_op_layout(op->code)->kind[k])) return false;
    bool leaf = leaf_space(w->ops[operand(op, k)].code) != MP_SPACE_REG;
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

/* Adds what an output needs; false when that is more than MP_FN_REGS_MAX ops in all. `used` is both the
 * answer and the queue of what is still to be looked at. */
static bool take_out(struct work *w, uint32_t value)
{
    uint32_t at = w->used_count;
    if (!take(w, value)) return false;
    for (; at < w->used_count; at++) {
        const struct mp_op_row *op = &w->ops[w->used[at]];
        for (int k = 0; k < 3; k++) {
            if (needs_reg(w, op, k) && !take(w, operand(op, k))) return false;
        }
    }
    return true;
}

/* ---- order ---- */

/* Ops of one run are alike in all of this. Operand spaces are 0 where there is no operand. */
static uint64_t run_key(const struct work *w, uint32_t value)
{
    const struct mp_op_row *op = &w->ops[value];
    uint64_t space[2] = {0, 0}, a_rep = 0;
    for (int k = 0; k < 2; k++) {
        if (!mp_op_kind_is_value(mp_op_layout(op->code)->kind[k])) continue;
        uint32_t v = operand(op, k);
        if (!needs_reg(w, op, k)) space[k] = leaf_space(w->ops[v].code);
        if (k == 0) a_rep = w->ops[v].rep;
    }
    return (uint64_t)w->level[value] << 32 | (uint64_t)op->code << 16 | (uint64_t)op->rep << 12 |
           space[0] << 8 | space[1] << 4 | a_rep;
}

struct sorted {
    uint64_t key;
    uint32_t value;
};

static int sorted_order(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static int value_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void set_levels(struct work *w)
{
    /* Operands have smaller numbers, so ascending order sees them first. */
    qsort(w->used, w->used_count, sizeof *w->used, value_order);
    for (uint32_t i = 0; i < w->used_count; i++) {
        const struct mp_op_row *op = &w->ops[w->used[i]];
        uint32_t level = 0;
        for (int k = 0; k < 3; k++) {
            if (!needs_reg(w, op, k)) continue;
            uint32_t below = w->level[operand(op, k)] + 1;
            if (below > level) level = below;
        }
        w->level[w->used[i]] = level;
    }
}

/* ---- writing ---- */

static void put_arg(struct work *w, uint32_t arg)
{
    uint32_t *slot = MP_VEC_PUSH(w->scratch, &w->args);
    if (slot == NULL) {
        w->failed = true;
    } else {
        *slot = arg;
    }
}

static uint32_t arg_of(const struct work *w, const struct mp_op_row *op, int k)
{
    uint32_t v = operand(op, k);
    if (!mp_op_kind_is_value(mp_op_layout(op->code)->kind[k])) return v;
    return needs_reg(w, op, k) ? w->reg[v] : w->ops[v].a; /* else a leaf's slot or row */
}

/* Which `lower` of the function it is: its place in the scratch, in whatever chunk it is computed. */
static uint32_t place_of(const struct work *w, uint32_t value)
{
    uint32_t place = 0;
    for (uint32_t i = 0; i < value; i++) place += w->ops[i].code == MP_OP_LOWER;
    return place;
}

static void put_run(struct work *w, const struct sorted *s, uint32_t count, uint32_t first)
{
    const struct mp_op_row *op = &w->ops[s[0].value];
    struct mp_run *run = MP_VEC_PUSH(w->scratch, &w->runs);
    if (run == NULL) {
        w->failed = true;
        return;
    }
    *run = (struct mp_run){
        .op = (uint8_t)op->code, .rep = (uint8_t)op->rep, .a_space = (uint8_t)(s[0].key >> 8 & 15),
        .b_space = (uint8_t)(s[0].key >> 4 & 15), .a_rep = (uint8_t)(s[0].key & 15),
        .count = count, .first = first, .at = w->args.len,
    };
    for (uint32_t i = 0; i < count; i++) w->reg[s[i].value] = first + i;
    for (int k = 0; k < 3; k++) {
        if (mp_op_layout(op->code)->kind[k] == '-') continue;
        for (uint32_t i = 0; i < count; i++) put_arg(w, arg_of(w, &w->ops[s[i].value], k));
    }
    for (uint32_t i = 0; i < count && op->code == MP_OP_LOWER; i++) put_arg(w, place_of(w, s[i].value));
}

static void put_runs(struct work *w)
{
    set_levels(w);
    struct sorted *s = MP_NEW(w->scratch, struct sorted, w->used_count);
    if (s == NULL) {
        w->failed = true;
        return;
    }
    for (uint32_t i = 0; i < w->used_count; i++) {
        s[i] = (struct sorted){run_key(w, w->used[i]), w->used[i]};
    }
    qsort(s, w->used_count, sizeof *s, sorted_order);
    for (uint32_t from = 0, to; from < w->used_count; from = to) {
        for (to = from + 1; to < w->used_count && s[to].key == s[from].key; to++) continue;
        put_run(w, s + from, to - from, from);
    }
}

static void put_outs(struct work *w, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        uint32_t value = w->p->out[w->fn->outs_at + i].value;
        struct mp_code_out *out = MP_VEC_PUSH(w->scratch, &w->outs);
        if (out == NULL) {
            w->failed = true;
            return;
        }
        *out = (struct mp_code_out){w->reg[value], i, w->ops[value].rep == MP_REP_B};
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
        bool fits = take_out(w, w->p->out[w->fn->outs_at + to].value);
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
    put_runs(w);
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
    uint32_t count = w->fn->ops_count;
    w->stamp = MP_NEW(w->scratch, uint32_t, count);
    w->level = MP_NEW(w->scratch, uint32_t, count);
    w->reg = MP_NEW(w->scratch, uint32_t, count);
    w->used = MP_NEW(w->scratch, uint32_t, MP_FN_REGS_MAX);
    if (w->stamp == NULL || w->level == NULL || w->reg == NULL || w->used == NULL) return MP_ENOMEM;
    for (uint32_t at = 0; at < w->fn->outs_count && !w->failed;) at = put_chunk(w, at);
    if (w->failed) return MP_ENOMEM;
    code->chunk_count = w->chunks.len;
    code->outs_count = w->fn->outs_count;
    code->chunks = KEEP(w, w->chunks);
    code->runs = KEEP(w, w->runs);
    code->args = KEEP(w, w->args);
    code->outs = KEEP(w, w->outs);
    bool kept = code->chunks != NULL && code->runs != NULL && code->args != NULL && code->outs != NULL;
    return kept ? MP_OK : MP_ENOMEM;
}

enum mp_err mp_program_build_code(struct mp_program *p)
{
    struct mp_code *codes = MP_NEW(&p->arena, struct mp_code, p->fn_count);
    if (codes == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < p->fn_count; i++) {
        struct mp_arena scratch;
        mp_arena_init(&scratch, NULL, 0);
        struct work w = {.p = p, .fn = &p->fn[i], .ops = p->op + p->fn[i].ops_at, .keep = &p->arena,
                         .scratch = &scratch};
        enum mp_err err = build(&w, &codes[i]);
        mp_arena_free(&scratch);
        MP_TRY(err);
    }
    p->code = codes;
    return MP_OK;
}
