/* SPDX-License-Identifier: Apache-2.0
 * code.h - functions made ready for the interpreter, once, when a program is loaded.
 *
 * A function has no branch and no loop, so its ops may run in any order that computes operands first.
 * They are sorted by level (1 + the highest level of an operand) and then by op, so that equal ops
 * stand in *runs* and one dispatch serves a whole run: a loop over plain arrays, without a branch that
 * traffic decides (performance.md 12). What no output needs is left out.
 *
 * Operands of comparisons are read where they lie: in a register, the record, the row, or the table of
 * constants. For every other op the leaves are copied into registers first.
 *
 * A long function is cut into *chunks* by its outputs, so that registers are few and stay in cache;
 * what two chunks need is computed in both.
 *
 * Threads: immutable. Memory: the program's arena.
 */
#ifndef MP_PROGRAM_CODE_H
#define MP_PROGRAM_CODE_H

#include "program/program.h"

/* Where an operand lies. */
enum mp_space { MP_SPACE_REG, MP_SPACE_RECORD, MP_SPACE_ROW, MP_SPACE_CONST };

/* `count` ops of one code. Register first + i is the result of the i-th; its operands are
 * args[at + i], args[at + count + i], args[at + 2 * count + i], as many as the op has; LOWER has its
 * place in the scratch as a second one. */
struct mp_run {
    uint8_t op;  /* enum mp_op */
    uint8_t rep; /* of the result */
    uint8_t a_space, b_space;
    uint8_t a_rep; /* of operand a, if it is a value */
    uint32_t count, first, at;
};

/* An output: register, number, and whether it is a truth. */
struct mp_code_out {
    uint32_t reg, out;
    bool truth;
};

struct mp_chunk {
    uint32_t runs_at, runs_count;
    uint32_t outs_at, outs_count;
};

/* LIMIT: registers that a chunk is filled up to; one output alone may need up to MP_FN_REGS_MAX. */
#define MP_CHUNK_REGS 512u

struct mp_code {
    const struct mp_chunk *chunks;
    uint32_t chunk_count;
    const struct mp_run *runs;
    const uint32_t *args;
    const struct mp_code_out *outs;
    uint32_t outs_count; /* of the function */
};

#endif
