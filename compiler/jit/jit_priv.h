/* SPDX-License-Identifier: Apache-2.0
 * jit_priv.h - what the files of jit share.
 *
 *   jit.c       the job: a thread, its result
 *   native.c    module → machine code: LLJIT, passes, addresses
 *   gen.c       program → module: one function each, inputs and outputs
 *   gen_op.c    what is generated inline: leaves, comparisons, logic, arithmetic
 *   gen_call.c  what calls a helper
 */
#ifndef MP_JIT_JIT_PRIV_H
#define MP_JIT_JIT_PRIV_H

#include <llvm-c/Core.h>

#include "eval/exec.h"
#include "jit/jit.h"
#include "program/layout.h"

#define JIT_TABLE "mpol_table" /* the one symbol of a module: addresses of all functions */

/* A register: `known` and `truth` are i1, w[0] and w[1] are i64; a double is kept as one. Which of them
 * are set follows from the representation. INVARIANT: truth implies known. Words of an unknown register
 * are anything: they are masked where somebody can see them. */
struct jit_reg {
    LLVMValueRef known;
    LLVMValueRef truth; /* B */
    LLVMValueRef num;   /* F */
    LLVMValueRef w[2];  /* I: w[0]; T, A, S: both */
};

struct jit_gen {
    const struct mp_program *p;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTypeRef i1, i8, i32, i64, f64, ptr, fn_type, helper_type, sadd_type;
    /* of the function at hand */
    LLVMValueRef fn, in, out;
    LLVMValueRef record_known, record, row_known, row, consts, params, helpers;
    LLVMValueRef slots[4]; /* operands a, b, c and the result of a helper, in memory */
    struct jit_reg *regs;
    const struct mp_op_row *ops;
    uint32_t lowers; /* how many LOWER ops came before: each has a place in the scratch */
};

/* gen.c. NULL: no memory. The module belongs to the context. */
LLVMModuleRef jit_generate(const struct mp_program *p, LLVMContextRef context);
/* Element `index` of an array of 64-bit words, and of values at word `word`. */
LLVMValueRef jit_load_word(struct jit_gen *g, LLVMValueRef words, uint32_t index);
LLVMValueRef jit_load_value(struct jit_gen *g, LLVMValueRef values, uint32_t index, uint32_t word);
LLVMValueRef jit_true(struct jit_gen *g);
LLVMValueRef jit_false(struct jit_gen *g);
LLVMValueRef jit_int(struct jit_gen *g, uint64_t n);
enum mp_rep jit_rep(const struct jit_gen *g, uint32_t op);

/* gen_op.c: false where the op is not generated inline. */
bool jit_op_inline(struct jit_gen *g, const struct mp_op_row *op, struct jit_reg *out);
/* gen_call.c */
void jit_op_call(struct jit_gen *g, const struct mp_op_row *op, LLVMValueRef when, struct jit_reg *out);

/* native.c */
struct jit_code;
/* Machine code of all functions of `p`; *fns has one address a row of fn. NULL with *why, which the
 * caller frees by free(). */
struct jit_code *jit_native(const struct mp_program *p, const mp_native_fn **fns, char **why);
void jit_native_free(struct jit_code *code);

#endif
