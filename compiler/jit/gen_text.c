/* SPDX-License-Identifier: Apache-2.0
 * Texts and addresses against constants, without a call: short texts are their words
 * (schema/value.h), and longer ones begin with them. What is left to the helper is what needs
 * more bytes than that.
 */
#include "jit/jit_priv.h"

#define AND(a, b) LLVMBuildAnd(g->builder, (a), (b), "")
#define OR(a, b) LLVMBuildOr(g->builder, (a), (b), "")
#define NOT(a) LLVMBuildNot(g->builder, (a), "")
#define EQUAL(a, b) LLVMBuildICmp(g->builder, LLVMIntEQ, (a), (b), "")

/* The constant that an op is, or NULL. */
static const struct mp_value *constant(const struct jit_gen *g, uint32_t op)
{
    return g->ops[op].code == MP_OP_CONST ? &g->p->consts[g->ops[op].a] : NULL;
}

static bool is_short(const struct jit_gen *g, uint32_t op)
{
    const struct mp_value *v = constant(g, op);
    return v != NULL && mp_value_text_len(*v) <= MP_TEXT_INLINE;
}

static LLVMValueRef length_of(struct jit_gen *g, const struct jit_reg *r)
{
    return LLVMBuildTrunc(g->builder, r->w[0], g->i32, "");
}

/* Is the text longer than its two words hold? */
static LLVMValueRef is_long(struct jit_gen *g, const struct jit_reg *r)
{
    return LLVMBuildICmp(g->builder, LLVMIntUGT, length_of(g, r),
                         LLVMConstInt(g->i32, MP_TEXT_INLINE, 0), "");
}

static void equal_text(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    const struct jit_reg *a = &g->regs[op->a], *b = &g->regs[op->b];
    LLVMValueRef both = AND(a->known, b->known);
    LLVMValueRef differ = OR(LLVMBuildXor(g->builder, a->w[0], b->w[0], ""),
                             LLVMBuildXor(g->builder, a->w[1], b->w[1], ""));
    LLVMValueRef words = EQUAL(differ, jit_int(g, 0));
    if (!is_short(g, op->a) && !is_short(g, op->b)) {
        /* Only equal lengths and beginnings of long texts need a look at their bytes. */
        struct jit_reg slow;
        LLVMValueRef same_0 = EQUAL(a->w[0], b->w[0]), same_1 = EQUAL(a->w[1], b->w[1]);
        jit_op_call(g, op, AND(both, AND(same_0, AND(is_long(g, a), NOT(same_1)))), &slow);
        words = OR(words, slow.truth);
    }
    jit_set_truth(g, both, words, out);
}

/* A mask over the first `bits` bits of 16 bytes in network order, as word `word` of a value. */
static uint64_t mask_of(uint32_t bits, uint32_t word)
{
    unsigned char bytes[16];
    uint64_t words[2];
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t in = bits <= i * 8 ? 0 : bits - i * 8;
        bytes[i] = in >= 8 ? 0xff : (unsigned char)(0xff00u >> in);
    }
    memcpy(words, bytes, sizeof words);
    return words[word];
}

static void in_net(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    const struct jit_reg *a = &g->regs[op->a];
    const struct mp_cnst_row *net = &g->p->cnst[op->b];
    uint32_t bits = net->type == MP_TYPE_CIDR ? net->bits : 128;
    LLVMValueRef differ = jit_int(g, 0);
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t mask = mask_of(bits, i);
        LLVMValueRef other =
            LLVMBuildXor(g->builder, a->w[i], jit_load_value(g, g->consts, op->b, i), "");
        if (mask != 0) differ = OR(differ, AND(other, jit_int(g, mask)));
    }
    jit_set_truth(g, a->known, EQUAL(differ, jit_int(g, 0)), out);
}

/* ---- starts ---- */

/* Bytes 4 to 11 of a text of more than four bytes: in its second word, or where that points to. */
static LLVMValueRef bytes_behind_four(struct jit_gen *g, const struct jit_reg *r)
{
    LLVMValueRef four = jit_int(g, 4);
    LLVMBuildStore(g->builder, r->w[1], g->slots[0]);
    LLVMValueRef far = LLVMBuildIntToPtr(g->builder, r->w[1], g->ptr, "");
    far = LLVMBuildGEP2(g->builder, g->i8, far, &four, 1, "");
    LLVMValueRef at = LLVMBuildSelect(g->builder, is_long(g, r), far, g->slots[0], "");
    LLVMValueRef word = LLVMBuildLoad2(g->builder, g->i64, at, "");
    LLVMSetAlignment(word, 1);
    return word;
}

/* The first words of a long constant are its length and first four bytes too. */
static LLVMValueRef begins(struct jit_gen *g, const struct jit_reg *a, struct mp_value prefix)
{
    uint32_t len = mp_value_text_len(prefix), bytes = len < 4 ? len : 4;
    uint64_t mask = ((UINT64_C(1) << (bytes * 8)) - 1) << 32;
    LLVMValueRef enough =
        LLVMBuildICmp(g->builder, LLVMIntUGE, length_of(g, a), LLVMConstInt(g->i32, len, 0), "");
    return AND(enough, EQUAL(AND(a->w[0], jit_int(g, mask)), jit_int(g, prefix.w[0] & mask)));
}

/* `first` and, where that holds, the rest of the prefix. */
static LLVMValueRef and_rest(struct jit_gen *g, const struct jit_reg *a, LLVMValueRef first,
                             struct mp_value prefix)
{
    uint32_t bytes = mp_value_text_len(prefix) - 4;
    uint64_t mask = bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (bytes * 8)) - 1;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->builder);
    LLVMBasicBlockRef look = LLVMAppendBasicBlockInContext(g->context, g->fn, "");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(g->context, g->fn, "");
    LLVMBuildCondBr(g->builder, first, look, after);
    LLVMPositionBuilderAtEnd(g->builder, look);
    LLVMValueRef same =
        EQUAL(AND(bytes_behind_four(g, a), jit_int(g, mask)), jit_int(g, prefix.w[1] & mask));
    LLVMBuildBr(g->builder, after);
    LLVMPositionBuilderAtEnd(g->builder, after);
    LLVMValueRef phi = LLVMBuildPhi(g->builder, g->i1, ""), values[] = {jit_false(g), same};
    LLVMBasicBlockRef blocks[] = {before, look};
    LLVMAddIncoming(phi, values, blocks, 2);
    return phi;
}

static bool starts(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    const struct mp_value *prefix = constant(g, op->b);
    if (prefix == NULL) return false;
    const struct jit_reg *a = &g->regs[op->a];
    uint32_t len = mp_value_text_len(*prefix);
    LLVMValueRef truth = begins(g, a, *prefix), first = AND(a->known, truth);
    if (len > MP_TEXT_INLINE) {
        struct jit_reg slow;
        jit_op_call(g, op, first, &slow);
        truth = slow.truth;
    } else if (len > 4) {
        truth = and_rest(g, a, first, *prefix);
    }
    jit_set_truth(g, a->known, truth, out);
    return true;
}

bool jit_op_text(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out)
{
    switch (op->code) {
    case MP_OP_EQ_T: equal_text(g, op, out); return true;
    case MP_OP_IN_NET: in_net(g, op, out); return true;
    case MP_OP_STARTS: return starts(g, op, out);
    default: return false;
    }
}
