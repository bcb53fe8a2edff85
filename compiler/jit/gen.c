/* SPDX-License-Identifier: Apache-2.0
 * Program → module: every function of the program as one function, and a table of their addresses.
 * Constants and parameters stay data, so a changed threshold needs no new code. Generated code calls
 * nothing by name: helpers come through the inputs.
 */
#include "jit/jit_priv.h"

#include <stdio.h>
#include <stdlib.h>

LLVMValueRef jit_true(struct jit_gen *g) { return LLVMConstInt(g->i1, 1, 0); }
LLVMValueRef jit_false(struct jit_gen *g) { return LLVMConstInt(g->i1, 0, 0); }
LLVMValueRef jit_int(struct jit_gen *g, uint64_t n) { return LLVMConstInt(g->i64, n, 0); }

enum mp_rep jit_rep(const struct jit_gen *g, uint32_t op) { return (enum mp_rep)g->ops[op].rep; }

static void init_types(struct jit_gen *g)
{
    LLVMContextRef c = g->context;
    g->i1 = LLVMInt1TypeInContext(c);
    g->i8 = LLVMInt8TypeInContext(c);
    g->i32 = LLVMInt32TypeInContext(c);
    g->i64 = LLVMInt64TypeInContext(c);
    g->f64 = LLVMDoubleTypeInContext(c);
    g->ptr = LLVMPointerTypeInContext(c, 0);
    LLVMTypeRef params[] = {g->ptr, g->ptr};
    g->fn_type = LLVMFunctionType(LLVMVoidTypeInContext(c), params, 2, 0);
    LLVMTypeRef helper[] = {g->ptr, g->i32, g->ptr, g->ptr, g->ptr, g->ptr};
    g->helper_type = LLVMFunctionType(g->i8, helper, 6, 0);
}

/* ---- memory ---- */

static LLVMValueRef load_at(struct jit_gen *g, LLVMTypeRef type, LLVMValueRef base, uint64_t offset)
{
    LLVMValueRef at = jit_int(g, offset);
    return LLVMBuildLoad2(g->builder, type, LLVMBuildGEP2(g->builder, g->i8, base, &at, 1, ""), "");
}

static void store_at(struct jit_gen *g, LLVMValueRef value, LLVMValueRef base, uint64_t offset)
{
    LLVMValueRef at = jit_int(g, offset);
    LLVMBuildStore(g->builder, value, LLVMBuildGEP2(g->builder, g->i8, base, &at, 1, ""));
}

LLVMValueRef jit_load_word(struct jit_gen *g, LLVMValueRef words, uint32_t index)
{
    return load_at(g, g->i64, words, (uint64_t)index * 8);
}

LLVMValueRef jit_load_value(struct jit_gen *g, LLVMValueRef values, uint32_t index, uint32_t word)
{
    return load_at(g, g->i64, values, (uint64_t)index * 16 + word * 8);
}

/* ---- outputs ---- */

static LLVMValueRef as_word(struct jit_gen *g, enum mp_rep rep, const struct jit_reg *r, uint32_t word)
{
    LLVMValueRef zero = jit_int(g, 0), value = zero;
    if (rep == MP_REP_F) {
        if (word == 0) value = LLVMBuildBitCast(g->builder, r->num, g->i64, "");
    } else if (rep == MP_REP_I) {
        if (word == 0) value = r->w[0];
    } else {
        value = r->w[word];
    }
    return value == zero ? zero : LLVMBuildSelect(g->builder, r->known, value, zero, "");
}

static LLVMValueRef add_bit(struct jit_gen *g, LLVMValueRef word, LLVMValueRef bit, uint32_t at)
{
    LLVMValueRef wide = LLVMBuildZExt(g->builder, bit, g->i64, "");
    if (at > 0) wide = LLVMBuildShl(g->builder, wide, jit_int(g, at), "");
    return LLVMBuildOr(g->builder, word, wide, "");
}

static void write_outs(struct jit_gen *g, const struct mp_fn_row *fn)
{
    LLVMValueRef known = load_at(g, g->ptr, g->out, 0), truth = load_at(g, g->ptr, g->out, 8);
    LLVMValueRef values = NULL, known_word = jit_int(g, 0), truth_word = jit_int(g, 0);
    for (uint32_t i = 0; i < fn->outs_count; i++) {
        const struct jit_reg *r = &g->regs[g->p->out[fn->outs_at + i].value];
        enum mp_rep rep = jit_rep(g, g->p->out[fn->outs_at + i].value);
        known_word = add_bit(g, known_word, r->known, i % 64);
        if (rep == MP_REP_B) {
            truth_word = add_bit(g, truth_word, r->truth, i % 64);
        } else {
            if (values == NULL) values = load_at(g, g->ptr, g->out, 16);
            store_at(g, as_word(g, rep, r, 0), values, (uint64_t)i * 16);
            store_at(g, as_word(g, rep, r, 1), values, (uint64_t)i * 16 + 8);
        }
        if (i % 64 == 63 || i + 1 == fn->outs_count) {
            store_at(g, known_word, known, (uint64_t)(i / 64) * 8);
            store_at(g, truth_word, truth, (uint64_t)(i / 64) * 8);
            known_word = truth_word = jit_int(g, 0);
        }
    }
}

/* ---- one function ---- */

static void load_inputs(struct jit_gen *g)
{
    LLVMValueRef *const members[] = {&g->record_known, &g->record, &g->row_known, &g->row, &g->consts,
                                     &g->params};
    for (uint32_t i = 0; i < 6; i++) *members[i] = load_at(g, g->ptr, g->in, (uint64_t)i * 8);
    g->helpers = load_at(g, g->ptr, g->in, offsetof(struct mp_inputs, helpers));
    LLVMTypeRef value = LLVMArrayType2(g->i64, 2);
    for (int i = 0; i < 4; i++) g->slots[i] = LLVMBuildAlloca(g->builder, value, "");
}

static void generate_fn(struct jit_gen *g, uint32_t row, LLVMValueRef fn)
{
    const struct mp_fn_row *f = &g->p->fn[row];
    g->fn = fn;
    g->in = LLVMGetParam(fn, 0);
    g->out = LLVMGetParam(fn, 1);
    g->ops = g->p->op + f->ops_at;
    g->lowers = 0;
    LLVMPositionBuilderAtEnd(g->builder, LLVMAppendBasicBlockInContext(g->context, fn, ""));
    load_inputs(g);
    for (uint32_t i = 0; i < f->ops_count; i++) {
        const struct mp_op_row *op = &g->ops[i];
        if (!jit_op_inline(g, op, &g->regs[i])) jit_op_call(g, op, NULL, &g->regs[i]);
    }
    write_outs(g, f);
    LLVMBuildRetVoid(g->builder);
}

/* `nounwind`: without it every function costs unwind tables, whose linking grows faster than their
 * number. */
static LLVMValueRef declare_fn(struct jit_gen *g, uint32_t row)
{
    char name[16];
    snprintf(name, sizeof name, "f%u", row);
    LLVMValueRef fn = LLVMAddFunction(g->module, name, g->fn_type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    unsigned kind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(g->context, kind, 0));
    return fn;
}

static void add_table(struct jit_gen *g, LLVMValueRef *fns)
{
    LLVMValueRef table = LLVMConstArray2(g->ptr, fns, g->p->fn_count);
    LLVMValueRef global = LLVMAddGlobal(g->module, LLVMTypeOf(table), JIT_TABLE);
    LLVMSetInitializer(global, table);
    LLVMSetGlobalConstant(global, 1);
}

static uint32_t most_ops(const struct mp_program *p)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < p->fn_count; i++) {
        if (p->fn[i].ops_count > most) most = p->fn[i].ops_count;
    }
    return most;
}

LLVMModuleRef jit_generate(const struct mp_program *p, LLVMContextRef context)
{
    struct jit_gen g = {.p = p, .context = context};
    LLVMValueRef *fns = calloc(p->fn_count + 1, sizeof *fns);
    g.regs = calloc(most_ops(p), sizeof *g.regs);
    if (fns != NULL && g.regs != NULL) {
        g.module = LLVMModuleCreateWithNameInContext("mpol", context);
        g.builder = LLVMCreateBuilderInContext(context);
        init_types(&g);
        for (uint32_t i = 0; i < p->fn_count; i++) fns[i] = declare_fn(&g, i);
        for (uint32_t i = 0; i < p->fn_count; i++) generate_fn(&g, i, fns[i]);
        add_table(&g, fns);
        LLVMDisposeBuilder(g.builder);
    }
    free(g.regs);
    free(fns);
    return g.module;
}
