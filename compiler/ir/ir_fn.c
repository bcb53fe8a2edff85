/* SPDX-License-Identifier: Apache-2.0
 * ir_fn.c - one function while it is written.
 */
#include "base/assert.h"
#include "ir/ir.h"

void mp_ir_fn_begin(struct mp_ir_fn *f, struct mp_ir *ir, mp_str name, uint32_t signal,
                    uint32_t grouping)
{
    memset(f, 0, sizeof *f);
    f->ir = ir;
    f->name = mp_ir_text(ir, name);
    f->signal = signal;
    f->grouping = grouping;
}

enum mp_rep mp_ir_rep(const struct mp_ir_fn *f, uint32_t value)
{
    if (f->ir->failed) return MP_REP_B;
    MP_ASSERT(value < f->ops.len);
    return (enum mp_rep)f->ops.ptr[value].rep;
}

static uint32_t slot_of(const struct mp_ir_fn *f, const struct mp_op_row *op)
{
    uint64_t h = op->code * 0x9e3779b97f4a7c15u;
    h = (h ^ op->a) * 0xff51afd7ed558ccdu;
    h = (h ^ op->b ^ h >> 32) * 0xc4ceb9fe1a85ec53u;
    h = (h ^ op->c ^ h >> 29) * 0x9e3779b97f4a7c15u;
    uint32_t mask = f->slot_count - 1, at = (uint32_t)(h >> 32) & mask;
    while (f->slots[at] != 0 && memcmp(&f->ops.ptr[f->slots[at] - 1], op, sizeof *op) != 0) {
        at = (at + 1) & mask; /* ends: at most half are taken */
    }
    return at;
}

static bool grow(struct mp_ir_fn *f)
{
    uint32_t count = f->slot_count == 0 ? 64 : f->slot_count * 2;
    uint32_t *slots = MP_NEW(f->ir->arena, uint32_t, count);
    if (slots == NULL) return false;
    f->slots = slots;
    f->slot_count = count;
    for (uint32_t i = 0; i < f->ops.len; i++) {
        slots[slot_of(f, &f->ops.ptr[i])] = i + 1;
    }
    return true;
}

static uint32_t add(struct mp_ir_fn *f, struct mp_op_row op)
{
    if (f->ops.len * 2 >= f->slot_count && !grow(f)) {
        f->ir->failed = true;
        return 0;
    }
    uint32_t slot = slot_of(f, &op);
    if (f->slots[slot] != 0) return f->slots[slot] - 1;
    struct mp_op_row *row = MP_VEC_PUSH(f->ir->arena, &f->ops);
    if (row == NULL) {
        f->ir->failed = true;
        return 0;
    }
    *row = op;
    f->slots[slot] = f->ops.len;
    return f->ops.len - 1;
}

/* The representation that a letter of ops.def asks for. */
static enum mp_rep letter_rep(char letter)
{
    switch (letter) {
    case 'b': return MP_REP_B;
    case 'i': return MP_REP_I;
    case 'f': return MP_REP_F;
    case 't': return MP_REP_T;
    case 'a': return MP_REP_A;
    case 's': return MP_REP_S;
    default: return MP_REP_N;
    }
}

uint32_t mp_ir_op(struct mp_ir_fn *f, enum mp_op code, uint32_t a, uint32_t b, uint32_t c)
{
    const struct mp_op_layout *layout = mp_op_layout(code);
    MP_ASSERT(layout->result != '=');
    if (f->ir->failed) return 0;
    uint32_t operand[3] = {a, b, c};
    enum mp_rep any = MP_REP_N;
    for (int i = 0; i < 3; i++) {
        char kind = layout->kind[i];
        MP_ASSERT(kind != '-' || operand[i] == 0);
        if (!mp_op_kind_is_value(kind)) continue;
        MP_ASSERT(operand[i] < f->ops.len);
        enum mp_rep rep = (enum mp_rep)f->ops.ptr[operand[i]].rep;
        MP_ASSERT(kind == 'v' || kind == '*' || rep == letter_rep(kind));
        MP_ASSERT(kind != '*' || any == MP_REP_N || any == rep);
        if (kind == '*') any = rep;
    }
    enum mp_rep result = layout->result == '*' ? any : letter_rep(layout->result);
    return add(f, (struct mp_op_row){.code = code, .rep = result, .a = a, .b = b, .c = c});
}

static uint32_t add_leaf(struct mp_ir_fn *f, enum mp_op code, enum mp_rep rep, uint32_t a)
{
    if (f->ir->failed) return 0;
    MP_ASSERT(rep != MP_REP_N);
    return add(f, (struct mp_op_row){.code = code, .rep = rep, .a = a});
}

uint32_t mp_ir_op_const(struct mp_ir_fn *f, uint32_t cnst)
{
    if (f->ir->failed) return 0;
    MP_ASSERT(cnst < f->ir->cnst.len);
    return add_leaf(f, MP_OP_CONST, mp_type_rep((enum mp_type)f->ir->cnst.ptr[cnst].type), cnst);
}

uint32_t mp_ir_op_param(struct mp_ir_fn *f, uint32_t param)
{
    if (f->ir->failed) return 0;
    MP_ASSERT(param < f->ir->param.len);
    return add_leaf(f, MP_OP_PARAM, mp_type_rep((enum mp_type)f->ir->param.ptr[param].type), param);
}

uint32_t mp_ir_op_field(struct mp_ir_fn *f, uint32_t slot, enum mp_rep rep)
{
    return add_leaf(f, MP_OP_FIELD, rep, slot);
}

uint32_t mp_ir_op_col(struct mp_ir_fn *f, uint32_t slot, enum mp_rep rep)
{
    return add_leaf(f, MP_OP_COL, rep, slot);
}

uint32_t mp_ir_op_unknown(struct mp_ir_fn *f, enum mp_rep rep)
{
    return add_leaf(f, MP_OP_UNKNOWN, rep, 0);
}

uint32_t mp_ir_op_bool(struct mp_ir_fn *f, bool truth)
{
    return mp_ir_op_const(f, mp_ir_const(f->ir, MP_TYPE_BOOL, mp_value_bool(truth), 0));
}

uint32_t mp_ir_out(struct mp_ir_fn *f, uint32_t value, enum mp_type type)
{
    MP_ASSERT(f->ir->failed || mp_ir_rep(f, value) == mp_type_rep(type));
    struct mp_out_row *out = MP_VEC_PUSH(f->ir->arena, &f->outs);
    if (out == NULL) {
        f->ir->failed = true;
        return 0;
    }
    *out = (struct mp_out_row){.value = value, .type = type};
    return f->outs.len - 1;
}

uint32_t mp_ir_fn_end(struct mp_ir_fn *f)
{
    struct mp_ir *ir = f->ir;
    uint32_t ops_at = ir->op.len, outs_at = ir->out.len;
    for (uint32_t i = 0; i < f->ops.len; i++) {
        struct mp_op_row *row = MP_VEC_PUSH(ir->arena, &ir->op);
        if (row != NULL) *row = f->ops.ptr[i];
        ir->failed |= row == NULL;
    }
    for (uint32_t i = 0; i < f->outs.len; i++) *mp_ir_add_out(ir) = f->outs.ptr[i];
    struct mp_fn_row *fn = mp_ir_add_fn(ir);
    fn->name = f->name;
    fn->signal = f->signal;
    fn->grouping = f->grouping;
    fn->ops_at = ops_at;
    fn->ops_count = f->ops.len;
    fn->outs_at = outs_at;
    fn->outs_count = f->outs.len;
    return ir->failed ? 0 : ir->fn.len - 1;
}
