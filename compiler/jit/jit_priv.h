/* SPDX-License-Identifier: Apache-2.0
 * jit_priv.h - what the files of jit share.
 *
 *   jit.c       the job: a thread, its result
 *   native.c    module → machine code: LLJIT, passes, addresses
 *   gen.c       program → module: one function each, inputs and outputs
 *   gen_plan.c  which outputs one comparison shows to be false
 *   gen_op.c    what is generated inline: leaves, comparisons, logic, arithmetic
 *   gen_text.c  what is generated inline of texts and addresses
 *   gen_call.c  what calls a helper
 */
#ifndef MP_JIT_JIT_PRIV_H
#define MP_JIT_JIT_PRIV_H

#include <llvm-c/Core.h>

#include "eval/exec.h"
#include "jit/jit.h"
#include "program/layout.h"

#define JIT_TABLE "mpol_table" /* the one symbol of a module: addresses of all functions */

/* A register, in SSA values: i1, i64, double. Which of them are set follows from the
 * representation. A truth is two bits, is it true and is it false, neither: unknown; so Kleene's
 * logic is an operation on each. Words of an unknown register are anything: they are masked where
 * somebody can see them. */
struct jit_reg {
    LLVMValueRef truth, is_false; /* B. INVARIANT: never both */
    LLVMValueRef known;           /* all others */
    LLVMValueRef num;             /* F */
    LLVMValueRef w[2];            /* I: w[0]; T, A, S: both */
};

/* Outputs that one comparison shows to be false together. */
#define JIT_GROUPS_MAX 64
#define JIT_PLAN_OUTS_MAX 128u
struct jit_plan {
    uint32_t count;
    /* an op: known and false, so are all outputs of the group */
    uint32_t guard[JIT_GROUPS_MAX];
    uint8_t group_of[JIT_PLAN_OUTS_MAX];    /* by output; JIT_NO_GROUP: always computed */
};
#define JIT_NO_GROUP UINT8_MAX

/* What is generated on the spine is there for all that follows; else for its own block only. */
#define JIT_SPINE 1u

struct jit_gen {
    const struct mp_program *p;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTypeRef i1, i8, i32, i64, f64, ptr, fn_type, helper_type;
    /* of the function at hand */
    LLVMValueRef fn, in, out;
    LLVMValueRef record_known, record, row_known, row, consts, params, helpers;
    LLVMValueRef slots[4]; /* operands a, b, c and the result of a helper, in memory */
    struct jit_reg *regs;
    uint32_t *made;   /* by op: the scope in which it was generated; 0: not yet */
    uint32_t *wanted; /* by op: the last scope that asked for it */
    uint32_t scope;   /* JIT_SPINE, or that of a group's own block */
    const struct mp_op_row *ops;
};

/* gen.c: the functions that are `wanted`, one flag a row of fn; others are NULL in the table.
 * NULL: no memory. The module belongs to the context. */
LLVMModuleRef jit_generate(const struct mp_program *p, const bool *wanted, LLVMContextRef context);
/* Element `index` of an array of 64-bit words, and of values at word `word`. */
LLVMValueRef jit_load_word(struct jit_gen *g, LLVMValueRef words, uint32_t index);
LLVMValueRef jit_load_value(struct jit_gen *g, LLVMValueRef values, uint32_t index, uint32_t word);
LLVMValueRef jit_known(struct jit_gen *g, uint32_t op);
LLVMValueRef jit_true(struct jit_gen *g);
LLVMValueRef jit_false(struct jit_gen *g);
LLVMValueRef jit_int(struct jit_gen *g, uint64_t n);
enum mp_rep jit_rep(const struct jit_gen *g, uint32_t op);

/* gen_plan.c: only for functions of at most JIT_PLAN_OUTS_MAX outputs. */
void jit_plan(const struct mp_program *p, const struct mp_fn_row *fn, struct jit_plan *out);

/* gen_op.c: false where the op is not generated inline. */
bool jit_op_inline(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out);
void jit_set_truth(struct jit_gen *g, LLVMValueRef known, LLVMValueRef truth, struct jit_reg *out);
/* gen_text.c: the same for what looks into texts and addresses. */
bool jit_op_text(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out);
/* gen_call.c. `when` NULL: for known operands. */
void jit_op_call(struct jit_gen *g, const struct mp_op_row *op, LLVMValueRef when,
                 struct jit_reg *out);

/* native.c */
struct jit_code;
/* Machine code of the wanted functions of `p`; *fns has one address a row of fn, NULL for the
 * others. `optimise`: ten times as long for code that is a third faster. NULL with *why, which
 * the caller frees by free(); *why NULL: no memory. */
struct jit_code *jit_native(const struct mp_program *p, const bool *wanted, bool optimise,
                            const mp_native_fn **fns, char **why);
void jit_native_free(struct jit_code *code);

#endif
