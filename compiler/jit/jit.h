/* SPDX-License-Identifier: Apache-2.0
 * jit.h - a program's functions as native code, through LLVM ORC.
 *
 * Owns:    the only code of mpol that knows LLVM; built as libmpol-jit.so, opened on first use.
 * Callers: whoever loaded the program. Nothing waits for native code: the interpreter judges
 *          until it is there, and gives the same bits (eval/exec.h).
 * Threads: a job compiles on a thread of its own and puts its code in force by one atomic store.
 * Memory:  LLVM's; all of a program's code is given back with its job.
 */
#ifndef MP_JIT_JIT_H
#define MP_JIT_JIT_H

#include "eval/jit.h"

/* The one entry point of libmpol-jit.so; its name in it is "mpol_jit". */
__attribute__((visibility("default"))) const struct mp_jit_ops *mpol_jit(void);

#endif
