/* SPDX-License-Identifier: Apache-2.0
 * Program → module: every function of the program as one function, and a table of their addresses.
 * Constants and parameters stay data, so a changed threshold needs no new code. Generated code
 * calls nothing by name: helpers come through the inputs.
 */
#include "jit/jit_priv.h"

#include <stdio.h>
#include <stdlib.h>

LLVMValueRef jit_true(struct jit_gen *g) { return LLVMConstInt(g->i1, 1, 0); }
LLVMValueRef jit_false(struct jit_gen *g) { return LLVMConstInt(g->i1, 0, 0); }
LLVMValueRef jit_int(struct jit_gen *g, uint64_t n) { return LLVMConstInt(g->i64, n, 0); }

enum mp_rep jit_rep(const struct jit_gen *g, uint32_t op) { return (enum mp_rep)g->ops[op].rep; }

LLVMValueRef jit_known(struct jit_gen *g, uint32_t op)
{
    const struct jit_reg *r = &g->regs[op];
    return jit_rep(g, op) != MP_REP_B ? r->known
                                      : LLVMBuildOr(g->builder, r->truth, r->is_false, "");
}

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

static LLVMValueRef as_word(struct jit_gen *g, enum mp_rep rep, const struct jit_reg *r,
                            uint32_t word)
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

/* A word of `known` or `truth` while it is put together. */
struct word {
    uint64_t mask; /* bits that this block computes */
    LLVMValueRef known, truth;
};

static void add_out(struct jit_gen *g, const struct mp_fn_row *fn, uint32_t out, struct word *w)
{
    uint32_t value = g->p->out[fn->outs_at + out].value;
    const struct jit_reg *r = &g->regs[value];
    enum mp_rep rep = jit_rep(g, value);
    w->mask |= UINT64_C(1) << (out % 64);
    w->known = add_bit(g, w->known, jit_known(g, value), out % 64);
    if (rep == MP_REP_B) {
        w->truth = add_bit(g, w->truth, r->truth, out % 64);
        return;
    }
    LLVMValueRef values = load_at(g, g->ptr, g->out, offsetof(struct mp_outputs, value));
    store_at(g, as_word(g, rep, r, 0), values, (uint64_t)out * 16);
    store_at(g, as_word(g, rep, r, 1), values, (uint64_t)out * 16 + 8);
}

/* ---- one function ---- */

static void load_inputs(struct jit_gen *g)
{
    LLVMValueRef *const members[] = {&g->record_known, &g->record, &g->row_known,
                                     &g->row,          &g->consts, &g->params};
    for (uint32_t i = 0; i < 6; i++) *members[i] = load_at(g, g->ptr, g->in, (uint64_t)i * 8);
    g->helpers = load_at(g, g->ptr, g->in, offsetof(struct mp_inputs, helpers));
    LLVMTypeRef value = LLVMArrayType2(g->i64, 2);
    for (int i = 0; i < 4; i++) g->slots[i] = LLVMBuildAlloca(g->builder, value, "");
}

/* Generates what `value` needs and is not there yet. Operands have smaller numbers. */
static void make(struct jit_gen *g, uint32_t value)
{
    g->wanted[value] = g->scope;
    for (uint32_t i = value + 1; i-- > 0;) {
        if (g->wanted[i] != g->scope || g->made[i] == JIT_SPINE || g->made[i] == g->scope) continue;
        const uint32_t operands[] = {g->ops[i].a, g->ops[i].b, g->ops[i].c};
        for (int k = 0; k < 3; k++) {
            if (mp_op_kind_is_value(mp_op_layout(g->ops[i].code)->kind[k]))
                g->wanted[operands[k]] = g->scope;
        }
    }
    for (uint32_t i = 0; i <= value; i++) {
        if (g->wanted[i] != g->scope || g->made[i] == JIT_SPINE || g->made[i] == g->scope) continue;
        if (!jit_op_inline(g, &g->ops[i], &g->regs[i]))
            jit_op_call(g, &g->ops[i], NULL, &g->regs[i]);
        g->made[i] = g->scope;
    }
}

static void generate_all(struct jit_gen *g, const struct mp_fn_row *f)
{
    LLVMValueRef known = load_at(g, g->ptr, g->out, 0), truth = load_at(g, g->ptr, g->out, 8);
    for (uint32_t i = 0; i < f->ops_count; i++) {
        if (!jit_op_inline(g, &g->ops[i], &g->regs[i]))
            jit_op_call(g, &g->ops[i], NULL, &g->regs[i]);
    }
    for (uint32_t from = 0; from < f->outs_count; from += 64) {
        struct word w = {0, jit_int(g, 0), jit_int(g, 0)};
        for (uint32_t i = from; i < f->outs_count && i < from + 64; i++) add_out(g, f, i, &w);
        store_at(g, w.known, known, from / 8);
        store_at(g, w.truth, truth, from / 8);
    }
}

/* ---- in groups ---- */

/* The words of the outputs, in memory that becomes registers. */
struct words {
    LLVMValueRef known[JIT_PLAN_OUTS_MAX / 64], truth[JIT_PLAN_OUTS_MAX / 64];
};

/* The outputs of one group (JIT_NO_GROUP: of none) in word `at`. */
static struct word group_word(struct jit_gen *g, const struct mp_fn_row *f,
                              const struct jit_plan *plan, uint32_t group, uint32_t at)
{
    struct word w = {0, jit_int(g, 0), jit_int(g, 0)};
    for (uint32_t i = at * 64; i < f->outs_count && i < at * 64 + 64; i++) {
        if (plan->group_of[i] != group) continue;
        make(g, g->p->out[f->outs_at + i].value);
        add_out(g, f, i, &w);
    }
    return w;
}

/* The outputs that are always computed;
 * all others are known to be false until a group says more. */
static void begin_words(struct jit_gen *g, const struct mp_fn_row *f, const struct jit_plan *plan,
                        const struct words *words)
{
    for (uint32_t at = 0; at * 64 < f->outs_count; at++) {
        struct word w = group_word(g, f, plan, JIT_NO_GROUP, at);
        uint32_t outs = f->outs_count - at * 64;
        uint64_t all = outs >= 64 ? UINT64_MAX : (UINT64_C(1) << outs) - 1;
        LLVMBuildStore(g->builder, LLVMBuildOr(g->builder, w.known, jit_int(g, all & ~w.mask), ""),
                       words->known[at]);
        LLVMBuildStore(g->builder, w.truth, words->truth[at]);
    }
}

static void add_word(struct jit_gen *g, const struct word *w, LLVMValueRef known,
                     LLVMValueRef truth)
{
    LLVMValueRef k = LLVMBuildLoad2(g->builder, g->i64, known, ""),
                 t = LLVMBuildLoad2(g->builder, g->i64, truth, "");
    k = LLVMBuildAnd(g->builder, k, jit_int(g, ~w->mask), "");
    LLVMBuildStore(g->builder, LLVMBuildOr(g->builder, k, w->known, ""), known);
    LLVMBuildStore(g->builder, LLVMBuildOr(g->builder, t, w->truth, ""), truth);
}

static void generate_group(struct jit_gen *g, const struct mp_fn_row *f,
                           const struct jit_plan *plan, uint32_t group, const struct words *words)
{
    g->scope = JIT_SPINE;
    make(g, plan->guard[group]);
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(g->context, g->fn, "");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(g->context, g->fn, "");
    LLVMBuildCondBr(g->builder, g->regs[plan->guard[group]].is_false, after, body);
    LLVMPositionBuilderAtEnd(g->builder, body);
    g->scope = JIT_SPINE + 1 + group;
    for (uint32_t at = 0; at * 64 < f->outs_count; at++) {
        struct word w = group_word(g, f, plan, group, at);
        if (w.mask != 0) add_word(g, &w, words->known[at], words->truth[at]);
    }
    LLVMBuildBr(g->builder, after);
    LLVMPositionBuilderAtEnd(g->builder, after);
}

static void generate_planned(struct jit_gen *g, const struct mp_fn_row *f,
                             const struct jit_plan *plan)
{
    struct words words;
    memset(g->made, 0, f->ops_count * sizeof *g->made);
    memset(g->wanted, 0, f->ops_count * sizeof *g->wanted);
    for (uint32_t at = 0; at * 64 < f->outs_count; at++) {
        words.known[at] = LLVMBuildAlloca(g->builder, g->i64, "");
        words.truth[at] = LLVMBuildAlloca(g->builder, g->i64, "");
    }
    g->scope = JIT_SPINE;
    begin_words(g, f, plan, &words);
    for (uint32_t i = 0; i < plan->count; i++) generate_group(g, f, plan, i, &words);
    LLVMValueRef known = load_at(g, g->ptr, g->out, 0), truth = load_at(g, g->ptr, g->out, 8);
    for (uint32_t at = 0; at * 64 < f->outs_count; at++) {
        store_at(g, LLVMBuildLoad2(g->builder, g->i64, words.known[at], ""), known,
                 (uint64_t)at * 8);
        store_at(g, LLVMBuildLoad2(g->builder, g->i64, words.truth[at], ""), truth,
                 (uint64_t)at * 8);
    }
}

static void generate_fn(struct jit_gen *g, uint32_t row, LLVMValueRef fn)
{
    const struct mp_fn_row *f = &g->p->fn[row];
    struct jit_plan plan = {0};
    g->fn = fn;
    g->in = LLVMGetParam(fn, 0);
    g->out = LLVMGetParam(fn, 1);
    g->ops = g->p->op + f->ops_at;
    LLVMPositionBuilderAtEnd(g->builder, LLVMAppendBasicBlockInContext(g->context, fn, ""));
    load_inputs(g);
    if (f->outs_count <= JIT_PLAN_OUTS_MAX) jit_plan(g->p, f, &plan);
    if (plan.count > 0) {
        generate_planned(g, f, &plan);
    } else {
        generate_all(g, f);
    }
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
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(g->context, kind, 0));
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

LLVMModuleRef jit_generate(const struct mp_program *p, const bool *wanted, LLVMContextRef context)
{
    struct jit_gen g = {.p = p, .context = context};
    LLVMValueRef *fns = calloc(p->fn_count + 1, sizeof *fns);
    g.regs = calloc(most_ops(p), sizeof *g.regs);
    g.made = calloc(most_ops(p), sizeof *g.made);
    g.wanted = calloc(most_ops(p), sizeof *g.wanted);
    if (fns != NULL && g.regs != NULL && g.made != NULL && g.wanted != NULL) {
        g.module = LLVMModuleCreateWithNameInContext("mpol", context);
        g.builder = LLVMCreateBuilderInContext(context);
        init_types(&g);
        for (uint32_t i = 0; i < p->fn_count; i++) {
            fns[i] = LLVMConstNull(g.ptr);
            if (!wanted[i]) continue;
            fns[i] = declare_fn(&g, i);
            generate_fn(&g, i, fns[i]);
        }
        add_table(&g, fns);
        LLVMDisposeBuilder(g.builder);
    }
    free(g.wanted);
    free(g.made);
    free(g.regs);
    free(fns);
    return g.module;
}
