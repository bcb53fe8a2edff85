/* SPDX-License-Identifier: Apache-2.0
 * Ops that call a helper (eval/exec.h): for known operands only, through the table that comes
 * with the inputs.
 */
#include "jit/jit_priv.h"

static void spill(struct jit_gen *g, LLVMValueRef slot, LLVMValueRef value, uint64_t offset)
{
    LLVMValueRef at = jit_int(g, offset);
    LLVMBuildStore(g->builder, value, LLVMBuildGEP2(g->builder, g->i8, slot, &at, 1, ""));
}

static void spill_operand(struct jit_gen *g, int which, uint32_t op)
{
    const struct jit_reg *r = &g->regs[op];
    LLVMValueRef slot = g->slots[which], first = r->w[0], second = r->w[1];
    switch (jit_rep(g, op)) {
    case MP_REP_B: first = LLVMBuildZExt(g->builder, r->truth, g->i64, ""); break;
    case MP_REP_F: first = LLVMBuildBitCast(g->builder, r->num, g->i64, ""); break;
    default: break;
    }
    spill(g, slot, first, 0);
    spill(g, slot, second != NULL ? second : jit_int(g, 0), 8);
}

/* Each `lower` of a function has its own place in the scratch. */
static uint32_t lowers_before(const struct jit_gen *g, const struct mp_op_row *op)
{
    uint32_t count = 0;
    for (const struct mp_op_row *at = g->ops; at < op; at++) count += at->code == MP_OP_LOWER;
    return count;
}

/* The row or small number that goes with the op, as the interpreter passes it. */
static uint32_t number_of(struct jit_gen *g, const struct mp_op_row *op)
{
    char kind = mp_op_layout(op->code)->kind[1];
    if (kind != '-' && !mp_op_kind_is_value(kind)) return op->b;
    if (op->code == MP_OP_LOWER) return lowers_before(g, op);
    return op->code == MP_OP_IN_SET ? (uint32_t)jit_rep(g, op->a) : 0;
}

static LLVMValueRef operands_known(struct jit_gen *g, const struct mp_op_row *op)
{
    const struct mp_op_layout *layout = mp_op_layout(op->code);
    const uint32_t operands[] = {op->a, op->b, op->c};
    LLVMValueRef known = jit_true(g);
    for (int i = 0; i < 3; i++) {
        if (!mp_op_kind_is_value(layout->kind[i])) continue;
        known = LLVMBuildAnd(g->builder, known, jit_known(g, operands[i]), "");
    }
    return known;
}

/* Calls the helper and leaves its result in slot 3; the answer is i1: is it known? */
static LLVMValueRef call_helper(struct jit_gen *g, const struct mp_op_row *op)
{
    const struct mp_op_layout *layout = mp_op_layout(op->code);
    const uint32_t operands[] = {op->a, op->b, op->c};
    LLVMValueRef null = LLVMConstNull(g->ptr);
    LLVMValueRef args[6] = {g->in,      LLVMConstInt(g->i32, number_of(g, op), 0), null, null, null,
                            g->slots[3]};
    for (int i = 0; i < 3; i++) {
        if (!mp_op_kind_is_value(layout->kind[i])) continue;
        spill_operand(g, i, operands[i]);
        args[2 + i] = g->slots[i];
    }
    LLVMValueRef at = jit_int(g, (uint64_t)op->code * sizeof(void *));
    LLVMValueRef helper = LLVMBuildLoad2(
        g->builder, g->ptr, LLVMBuildGEP2(g->builder, g->i8, g->helpers, &at, 1, ""), "");
    LLVMValueRef known = LLVMBuildCall2(g->builder, g->helper_type, helper, args, 6, "");
    unsigned kind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddCallSiteAttribute(known, LLVMAttributeFunctionIndex,
                             LLVMCreateEnumAttribute(g->context, kind, 0));
    return LLVMBuildTrunc(g->builder, known, g->i1, "");
}

static LLVMValueRef join(struct jit_gen *g, LLVMTypeRef type, LLVMValueRef skipped,
                         LLVMBasicBlockRef from_skip, LLVMValueRef called,
                         LLVMBasicBlockRef from_call)
{
    LLVMValueRef phi = LLVMBuildPhi(g->builder, type, "");
    LLVMValueRef values[] = {skipped, called};
    LLVMBasicBlockRef blocks[] = {from_skip, from_call};
    LLVMAddIncoming(phi, values, blocks, 2);
    return phi;
}

void jit_op_call(struct jit_gen *g, const struct mp_op_row *op, LLVMValueRef when,
                 struct jit_reg *out)
{
    *out = (struct jit_reg){0};
    LLVMValueRef condition = when != NULL ? when : operands_known(g, op);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->builder);
    LLVMBasicBlockRef call = LLVMAppendBasicBlockInContext(g->context, g->fn, "");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(g->context, g->fn, "");
    LLVMBuildCondBr(g->builder, condition, call, after);

    LLVMPositionBuilderAtEnd(g->builder, call);
    LLVMValueRef known = call_helper(g, op);
    LLVMValueRef first = jit_load_value(g, g->slots[3], 0, 0),
                 second = jit_load_value(g, g->slots[3], 0, 1);
    LLVMBuildBr(g->builder, after);

    LLVMPositionBuilderAtEnd(g->builder, after);
    LLVMValueRef zero = jit_int(g, 0);
    known = join(g, g->i1, jit_false(g), before, known, call);
    first = join(g, g->i64, zero, before, first, call);
    second = join(g, g->i64, zero, before, second, call); /* all phis before anything else */
    if (op->rep == MP_REP_B) {
        jit_set_truth(g, known, LLVMBuildICmp(g->builder, LLVMIntNE, first, zero, ""), out);
        return;
    }
    out->known = known;
    switch ((enum mp_rep)op->rep) {
    case MP_REP_F: out->num = LLVMBuildBitCast(g->builder, first, g->f64, ""); return;
    case MP_REP_I: out->w[0] = first; return;
    default:
        out->w[0] = first;
        out->w[1] = second;
        return;
    }
}
