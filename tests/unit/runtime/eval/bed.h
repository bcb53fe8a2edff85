/* SPDX-License-Identifier: Apache-2.0
 * bed.h - a program of one signal, with fields, lists and constants of every representation, and a
 * record of it whose fields a test sets.
 */
#ifndef MP_TESTS_EVAL_BED_H
#define MP_TESTS_EVAL_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/eval.h"
#include "ir/ir.h"

enum { PER_REP = 4 };
enum { SET_SLOT = 5 * PER_REP, FIELDS };

struct fixture {
    struct mp_arena arena;
    struct mp_ir ir;
    struct mp_os os;
    struct mp_program *program;
    struct mp_eval_scratch scratch;
    struct mp_value record[FIELDS];
    uint64_t known[1];
    uint32_t net, regex, slow_regex, list[5], patterns, regexes;
};

extern struct fixture fx;

uint32_t slot_of(enum mp_rep rep, uint32_t i);
int begin(void **state);
int end(void **state);
/* Makes fx.program of fx.ir. */
void load(void);
struct mp_inputs inputs(void);
void set(uint32_t slot, struct mp_value v, bool known);
struct mp_value address(const char *text);
/* Values at the borders of a representation; how many. */
uint32_t samples(enum mp_rep rep, struct mp_value out[16]);
/* Of an operand as ops.def writes it. */
enum mp_rep letter_rep(char letter);
enum mp_type type_of_rep(enum mp_rep rep);
/* A row for an operand that is none of the values. */
uint32_t row_for(enum mp_op op, char kind, enum mp_rep rep);
bool same_value(enum mp_rep rep, struct mp_value a, struct mp_value b);

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
