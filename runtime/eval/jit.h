/* SPDX-License-Identifier: Apache-2.0
 * jit.h - what whoever evaluates may ask of a compiler to native code, without knowing it.
 *
 * The functions come from libmpol-jit.so (compiler/jit); the runtime is handed them and has no
 * other tie to it. Nothing waits for native code: the interpreter judges until it is there, and
 * gives the same bits (exec.h).
 */
#ifndef MP_EVAL_JIT_H
#define MP_EVAL_JIT_H

#include "program/program.h"

struct mp_jit_job;

struct mp_jit_ops {
    uint64_t layout; /* mp_layout_mark() of the build; another one must not be called */
    /* Begins to compile all functions of `p`, which must outlive the job. NULL: no memory, no
     * thread. */
    struct mp_jit_job *(*start)(const struct mp_program *p);
    /* Waits for the end. MP_OK: native code is in force. Else *why says what LLVM said; it lives
     * as long as the job, and the interpreter goes on. */
    enum mp_err (*wait)(struct mp_jit_job *job, const char **why);
    /* Has it ended? *compile_ns: how long it took; 0 where it failed. Any thread. */
    bool (*ended)(struct mp_jit_job *job, int64_t *compile_ns);
    /* Takes the code out of force and frees it: once every thread that evaluates has passed.
     * Waits for a compilation that still runs. NULL is nothing. */
    void (*end)(struct mp_jit_job *job);
};

#endif
