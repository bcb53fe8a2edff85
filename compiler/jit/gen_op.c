/* SPDX-License-Identifier: Apache-2.0
 * Ops that are generated inline. No op contracts, reassociates, or calls libm: results are the
 * interpreter's, bit for bit.
 */
#include "jit/jit_priv.h"

#define AND(a, b) LLVMBuildAnd(g->builder, (a), (b), "")
#define OR(a, b) LLVMBuildOr(g->builder, (a), (b), "")
#define NOT(a) LLVMBuildNot(g->builder, (a), "")
#define SELECT(c, a, b) LLVMBuildSelect(g->builder, (c), (a), (b), "")

static struct jit_reg *reg(struct jit_gen *g, uint32_t op) { return &g->regs[op]; }

void jit_set_truth(struct jit_gen *g, LLVMValueRef known, LLVMValueRef truth, struct jit_reg *out)
{
    out->truth = AND(known, truth);
    out->is_false = AND(known, NOT(truth));
}

/* ---- leaves ---- */

static LLVMValueRef load_bit(struct jit_gen *g, LLVMValueRef words, uint32_t index)
{
    LLVMValueRef word = jit_load_word(g, words, index / 64);
    LLVMValueRef bit = LLVMBuildAnd(g->builder, word, jit_int(g, UINT64_C(1) << (index % 64)), "");
    return LLVMBuildICmp(g->builder, LLVMIntNE, bit, jit_int(g, 0), "");
}

static void leaf(struct jit_gen *g, const struct mp_op_row *op, LLVMValueRef values,
                 LLVMValueRef known, struct jit_reg *out)
{
    LLVMValueRef word = jit_load_value(g, values, op->a, 0);
    LLVMValueRef is_known = known == NULL ? jit_true(g) : load_bit(g, known, op->a);
    if (op->rep == MP_REP_B) {
        jit_set_truth(g, is_known, LLVMBuildICmp(g->builder, LLVMIntNE, word, jit_int(g, 0), ""),
                      out);
        return;
    }
    out->known = is_known;
    switch ((enum mp_rep)op->rep) {
    case MP_REP_F: out->num = LLVMBuildBitCast(g->builder, word, g->f64, ""); return;
    case MP_REP_I: out->w[0] = word; return;
    default:
        out->w[0] = word;
        out->w[1] = jit_load_value(g, values, op->a, 1);
        return;
    }
}

static void unknown(struct jit_gen *g, struct jit_reg *out)
{
    out->known = out->truth = out->is_false = jit_false(g);
    out->num = LLVMConstReal(g->f64, 0);
    out->w[0] = out->w[1] = jit_int(g, 0);
}

static bool leaves(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    switch (op->code) {
    case MP_OP_CONST: leaf(g, op, g->consts, NULL, out); return true;
    case MP_OP_PARAM: leaf(g, op, g->params, NULL, out); return true;
    case MP_OP_FIELD: leaf(g, op, g->record, g->record_known, out); return true;
    case MP_OP_COL: leaf(g, op, g->row, g->row_known, out); return true;
    case MP_OP_UNKNOWN: unknown(g, out); return true;
    default: return false;
    }
}

/* ---- logic: Kleene's three values ---- */

static bool logic(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    const struct jit_reg *a = reg(g, op->a), *b = reg(g, op->b);
    switch (op->code) {
    case MP_OP_NOT:
        out->truth = a->is_false;
        out->is_false = a->truth;
        return true;
    case MP_OP_AND:
        out->truth = AND(a->truth, b->truth);
        out->is_false = OR(a->is_false, b->is_false);
        return true;
    case MP_OP_OR:
        out->truth = OR(a->truth, b->truth);
        out->is_false = AND(a->is_false, b->is_false);
        return true;
    case MP_OP_KNOWN:
        out->truth = jit_known(g, op->a);
        out->is_false = NOT(out->truth);
        return true;
    case MP_OP_IS_TRUE:
        out->truth = a->truth;
        out->is_false = NOT(a->truth);
        return true;
    case MP_OP_EQ_B:
        out->truth = OR(AND(a->truth, b->truth), AND(a->is_false, b->is_false));
        out->is_false = OR(AND(a->truth, b->is_false), AND(a->is_false, b->truth));
        return true;
    default: return false;
    }
}

/* ---- one of two registers ---- */

static LLVMValueRef pick(struct jit_gen *g, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    return a == NULL || b == NULL ? NULL : SELECT(c, a, b);
}

static void choose_reg(struct jit_gen *g, LLVMValueRef c, const struct jit_reg *a,
                       const struct jit_reg *b, struct jit_reg *out)
{
    out->known = pick(g, c, a->known, b->known);
    out->truth = pick(g, c, a->truth, b->truth);
    out->is_false = pick(g, c, a->is_false, b->is_false);
    out->num = pick(g, c, a->num, b->num);
    out->w[0] = pick(g, c, a->w[0], b->w[0]);
    out->w[1] = pick(g, c, a->w[1], b->w[1]);
}

static bool choices(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    const struct jit_reg *a = reg(g, op->a), *b = reg(g, op->b), *c;
    switch (op->code) {
    case MP_OP_DEFAULT: choose_reg(g, jit_known(g, op->a), a, b, out); return true;
    case MP_OP_PICK: choose_reg(g, a->truth, b, reg(g, op->c), out); return true;
    case MP_OP_OVERRIDE: {
        c = reg(g, op->c);
        LLVMValueRef is_0 = LLVMBuildICmp(g->builder, LLVMIntEQ, a->w[0], jit_int(g, 0), "");
        LLVMValueRef is_1 = LLVMBuildICmp(g->builder, LLVMIntEQ, a->w[0], jit_int(g, 1), "");
        LLVMValueRef either = AND(a->known, OR(is_0, is_1));
        choose_reg(g, is_0, c, b, out);
        if (out->known != NULL) out->known = AND(either, out->known);
        if (out->truth != NULL) out->truth = AND(either, out->truth);
        if (out->is_false != NULL) out->is_false = AND(either, out->is_false);
        return true;
    }
    default: return false;
    }
}

/* ---- comparisons ---- */

static bool comparisons(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    const struct jit_reg *a = reg(g, op->a), *b = reg(g, op->b);
    LLVMBuilderRef k = g->builder;
    LLVMValueRef t;
    switch (op->code) {
    case MP_OP_EQ_I: t = LLVMBuildICmp(k, LLVMIntEQ, a->w[0], b->w[0], ""); break;
    case MP_OP_LT_I: t = LLVMBuildICmp(k, LLVMIntSLT, a->w[0], b->w[0], ""); break;
    case MP_OP_LE_I: t = LLVMBuildICmp(k, LLVMIntSLE, a->w[0], b->w[0], ""); break;
    case MP_OP_EQ_F: t = LLVMBuildFCmp(k, LLVMRealOEQ, a->num, b->num, ""); break;
    case MP_OP_LT_F: t = LLVMBuildFCmp(k, LLVMRealOLT, a->num, b->num, ""); break;
    case MP_OP_LE_F: t = LLVMBuildFCmp(k, LLVMRealOLE, a->num, b->num, ""); break;
    case MP_OP_EQ_A:
        t = AND(LLVMBuildICmp(k, LLVMIntEQ, a->w[0], b->w[0], ""),
                LLVMBuildICmp(k, LLVMIntEQ, a->w[1], b->w[1], ""));
        break;
    default: return false;
    }
    jit_set_truth(g, AND(a->known, b->known), t, out);
    return true;
}

/* ---- arithmetic ---- */

static void checked(struct jit_gen *g, const char *intrinsic, LLVMValueRef x, LLVMValueRef y,
                    LLVMValueRef known, struct jit_reg *out)
{
    unsigned id = LLVMLookupIntrinsicID(intrinsic, strlen(intrinsic));
    LLVMTypeRef types[] = {g->i64};
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, id, types, 1);
    LLVMValueRef args[] = {x, y};
    LLVMTypeRef type = LLVMIntrinsicGetType(g->context, id, types, 1);
    LLVMValueRef pair = LLVMBuildCall2(g->builder, type, fn, args, 2, "");
    out->w[0] = LLVMBuildExtractValue(g->builder, pair, 0, "");
    out->known = AND(known, NOT(LLVMBuildExtractValue(g->builder, pair, 1, "")));
}

/* x - x is 0 for every finite x, and no number for the others. */
static void finite(struct jit_gen *g, LLVMValueRef x, LLVMValueRef known, struct jit_reg *out)
{
    LLVMValueRef zero = LLVMBuildFSub(g->builder, x, x, "");
    out->num = x;
    out->known =
        AND(known, LLVMBuildFCmp(g->builder, LLVMRealOEQ, zero, LLVMConstReal(g->f64, 0), ""));
}

static bool int_arithmetic(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    const struct jit_reg *a = reg(g, op->a), *b = reg(g, op->b);
    switch (op->code) {
    case MP_OP_ADD_I:
        checked(g, "llvm.sadd.with.overflow", a->w[0], b->w[0], AND(a->known, b->known), out);
        return true;
    case MP_OP_SUB_I:
        checked(g, "llvm.ssub.with.overflow", a->w[0], b->w[0], AND(a->known, b->known), out);
        return true;
    case MP_OP_MUL_I:
        checked(g, "llvm.smul.with.overflow", a->w[0], b->w[0], AND(a->known, b->known), out);
        return true;
    case MP_OP_NEG_I:
        checked(g, "llvm.ssub.with.overflow", jit_int(g, 0), a->w[0], a->known, out);
        return true;
    default: return false;
    }
}

static bool num_arithmetic(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    const struct jit_reg *a = reg(g, op->a), *b = reg(g, op->b);
    LLVMBuilderRef k = g->builder;
    switch (op->code) {
    case MP_OP_ADD_F:
        finite(g, LLVMBuildFAdd(k, a->num, b->num, ""), AND(a->known, b->known), out);
        return true;
    case MP_OP_SUB_F:
        finite(g, LLVMBuildFSub(k, a->num, b->num, ""), AND(a->known, b->known), out);
        return true;
    case MP_OP_MUL_F:
        finite(g, LLVMBuildFMul(k, a->num, b->num, ""), AND(a->known, b->known), out);
        return true;
    case MP_OP_DIV_F:
        finite(g, LLVMBuildFDiv(k, a->num, b->num, ""), AND(a->known, b->known), out);
        return true;
    case MP_OP_NEG_F:
        out->num = LLVMBuildFNeg(k, a->num, "");
        out->known = a->known;
        return true;
    case MP_OP_I_TO_F:
        out->num = LLVMBuildSIToFP(k, a->w[0], g->f64, "");
        out->known = a->known;
        return true;
    default: return false;
    }
}

bool jit_op_inline(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    *out = (struct jit_reg){0};
    return leaves(g, op, out) || logic(g, op, out) || choices(g, op, out) ||
           comparisons(g, op, out) || int_arithmetic(g, op, out) || num_arithmetic(g, op, out) ||
           jit_op_text(g, op, out);
}
