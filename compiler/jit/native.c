/* SPDX-License-Identifier: Apache-2.0
 * Module → machine code. Scalar code for the generic processor: host features cost compile time and
 * gain nothing on predicates. All of LLVM's version differences belong here.
 */
#include "jit/jit_priv.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Measured with tests/bench/rules.c, 100 rules: no passes and FastISel, 1.1 times the time of C;
 * these passes and `Less`, 0.83, for ten times the time to compile. Other passes and levels cost
 * more and bring nothing: what matters has been decided when the functions were generated. */
#define PASSES "sroa,early-cse"

struct jit_code {
    LLVMOrcLLJITRef jit;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_target(void)
{
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
}

/* Takes the error and answers its text, or NULL where there is none. */
static char *text_of(LLVMErrorRef err)
{
    if (err == NULL) return NULL;
    char *message = LLVMGetErrorMessage(err);
    char *copy = strdup(message);
    LLVMDisposeErrorMessage(message);
    return copy != NULL ? copy : strdup("an error of LLVM");
}

static LLVMTargetMachineRef make_machine(LLVMCodeGenOptLevel level, char **why)
{
    char *triple = LLVMGetDefaultTargetTriple(), *message = NULL;
    LLVMTargetRef target;
    LLVMTargetMachineRef machine = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &message) != 0) {
        *why = strdup(message);
        LLVMDisposeMessage(message);
    } else {
        const char *cpu = strncmp(triple, "x86_64", 6) == 0 ? "x86-64" : "generic";
        machine = LLVMCreateTargetMachine(target, triple, cpu, "", level, LLVMRelocDefault,
                                          LLVMCodeModelJITDefault);
    }
    LLVMDisposeMessage(triple);
    return machine;
}

static LLVMOrcLLJITRef make_jit(LLVMCodeGenOptLevel level, char **why)
{
    LLVMTargetMachineRef machine = make_machine(level, why);
    if (machine == NULL) return NULL;
    LLVMOrcLLJITBuilderRef builder = LLVMOrcCreateLLJITBuilder();
    LLVMOrcLLJITBuilderSetJITTargetMachineBuilder(
        builder, LLVMOrcJITTargetMachineBuilderCreateFromTargetMachine(machine));
    LLVMOrcLLJITRef jit = NULL;
    *why = text_of(LLVMOrcCreateLLJIT(&jit, builder));
    return *why == NULL ? jit : NULL;
}

static bool add_module(LLVMOrcLLJITRef jit, const struct mp_program *p, const bool *wanted,
                       bool optimise, char **why)
{
    LLVMOrcThreadSafeContextRef context = LLVMOrcCreateNewThreadSafeContext();
    LLVMModuleRef module = jit_generate(p, wanted, LLVMOrcThreadSafeContextGetContext(context));
    if (module == NULL) {
        *why = strdup("out of memory");
        LLVMOrcDisposeThreadSafeContext(context);
        return false;
    }
    LLVMSetDataLayout(module, LLVMOrcLLJITGetDataLayoutStr(jit));
    LLVMSetTarget(module, LLVMOrcLLJITGetTripleString(jit));
    if (optimise) {
        LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
        *why = text_of(LLVMRunPasses(module, PASSES, NULL, options));
        LLVMDisposePassBuilderOptions(options);
    }
    LLVMOrcThreadSafeModuleRef safe = LLVMOrcCreateNewThreadSafeModule(module, context);
    LLVMOrcDisposeThreadSafeContext(context);
    if (*why != NULL) {
        LLVMOrcDisposeThreadSafeModule(safe);
        return false;
    }
    /* Consumes the module even where it fails. */
    *why = text_of(LLVMOrcLLJITAddLLVMIRModule(jit, LLVMOrcLLJITGetMainJITDylib(jit), safe));
    return *why == NULL;
}

struct jit_code *jit_native(const struct mp_program *p, const bool *wanted, bool optimise,
                            const mp_native_fn **fns, char **why)
{
    pthread_once(&once, init_target);
    struct jit_code *code = calloc(1, sizeof *code);
    if (code == NULL) return NULL;
    code->jit = make_jit(optimise ? LLVMCodeGenLevelLess : LLVMCodeGenLevelNone, why);
    LLVMOrcExecutorAddress at = 0;
    bool ok = code->jit != NULL && add_module(code->jit, p, wanted, optimise, why);
    if (ok) {
        *why = text_of(LLVMOrcLLJITLookup(code->jit, &at, JIT_TABLE));
        ok = *why == NULL;
    }
    if (!ok) {
        jit_native_free(code);
        return NULL;
    }
    *fns = (const mp_native_fn *)(uintptr_t)at;
    return code;
}

void jit_native_free(struct jit_code *code)
{
    if (code == NULL) return;
    if (code->jit != NULL) LLVMConsumeError(LLVMOrcDisposeLLJIT(code->jit));
    free(code);
}
