/* SPDX-License-Identifier: Apache-2.0
 * code.h - functions made ready for the interpreter, once, when a program is loaded.
 *
 * A function has no branch and no loop, so its ops may run in any order that computes operands
 * first. They are sorted by level (1 + the highest level of an operand) and then by op, so that
 * equal ops stand in *runs* and one dispatch serves a whole run: a loop over plain arrays,
 * without a branch that traffic decides (performance.md 12). What no output needs is left out.
 *
 * Operands of comparisons are read where they lie: in a register, the record, the row, or the
 * table of constants. For every other op the leaves are copied into registers first.
 *
 * Within a run, ops stand in the order in which what needs them stands. So `a > 1 and b > 2` of 64
 * rules is one run of 64 + 64 range tests and one run of `and` whose operands lie side by side.
 *
 * A long function is cut into *chunks* by its outputs, so that registers are few and stay in cache;
 * what two chunks need is computed in both.
 *
 * Threads: immutable. Memory: the program's arena.
 */
#ifndef MP_PROGRAM_CODE_H
#define MP_PROGRAM_CODE_H

#include "program/program.h"

/* Ops that only code has, beside enum mp_op. A comparison of a field or cell with a constant
 * becomes a range test on a *key*, a word whose unsigned order is that of the numbers: int or
 * double, < or >= or ==, all of them are (key - low) <= span, and so are one run. */
enum mp_code_op {
    MP_CODE_KEY = MP_OP_COUNT, /* of an int or a double, by `a_rep` */
    MP_CODE_RANGE,             /* a: a KEY; low and span are words of the run */
    MP_CODE_OP_COUNT
};
_Static_assert(MP_CODE_OP_COUNT < 256, "struct mp_run keeps ops in a byte");

/* Where an operand lies. */
enum mp_space { MP_SPACE_REG, MP_SPACE_RECORD, MP_SPACE_ROW, MP_SPACE_CONST };

/* `count` ops of one code. Register first + i is the result of the i-th; its operands are
 * args[at + i], args[at + count + i], args[at + 2 * count + i], as many as the op has; LOWER has
 * its place in the scratch as a second one, and RANGE words[words_at + i] as its low and
 * words[words_at + count + i] as its span. */
struct mp_run {
    uint8_t op;  /* enum mp_op or mp_code_op */
    uint8_t rep; /* of the result */
    uint8_t a_space, b_space;
    uint8_t a_rep; /* of operand a, if it is a value */
    /* AND, OR, NOT: every operand is the register behind the one before: eight at once */
    bool dense;
    uint32_t count, first, at, words_at;
};

/* Outputs: `count` neighbours in neighbouring registers. More than one only of truths. */
struct mp_code_out {
    uint32_t reg, out, count;
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
    const uint64_t *words;
    const struct mp_code_out *outs;
    uint32_t outs_count; /* of the function */
};

#endif
