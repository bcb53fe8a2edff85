/* SPDX-License-Identifier: Apache-2.0
 * jit.h - a program's functions as native code, through LLVM ORC.
 *
 * Owns:    the only code of mpol that knows LLVM; built as libmpol-jit.so, opened on first use.
 * Callers: whoever loaded the program. Nothing waits for native code: the interpreter judges until it
 *          is there, and gives the same bits (eval/exec.h).
 * Threads: a job compiles on a thread of its own and puts its code in force by one atomic store.
 * Memory:  LLVM's; all of a program's code is given back with its job.
 */
#ifndef MP_JIT_JIT_H
#define MP_JIT_JIT_H

#include "program/program.h"

struct mp_jit_job;

struct mp_jit_ops {
    uint64_t layout; /* mp_layout_mark() of the build; another one must not be called */
    /* Begins to compile all functions of `p`, which must outlive the job. NULL: no memory, no thread. */
    struct mp_jit_job *(*start)(const struct mp_program *p);
    /* Waits for the end. MP_OK: native code is in force. Else *why says what LLVM said; it lives as long
     * as the job, and the interpreter goes on. */
    enum mp_err (*wait)(struct mp_jit_job *job, const char **why);
    /* Has it ended? *compile_ns: how long it took; 0 where it failed. Any thread. */
    bool (*ended)(struct mp_jit_job *job, int64_t *compile_ns);
    /* Takes the code out of force and frees it: once every thread that evaluates has passed. Waits for a
     * compilation that still runs. NULL is nothing. */
    void (*end)(struct mp_jit_job *job);
};

/* The one entry point of libmpol-jit.so; its name in it is "mpol_jit". */
__attribute__((visibility("default"))) const struct mp_jit_ops *mpol_jit(void);

#endif
