/* SPDX-License-Identifier: Apache-2.0
 * check.h - from syntax trees to a checked policy: names, packages, types, units, keys, kinds of
 * rule.
 *
 * Owns:    nothing; what it makes lives in the caller's perm arena (typed.h).
 * Callers: compiler (the driver), which has read and parsed every file that may matter; tests.
 * Threads: one check, one thread. No I/O, no clock.
 * Errors:  an author's mistakes go to the sink, all independent ones of all files in one run;
 *          what is not in this version (E0900) comes after all others. The typed tree is fit for
 *          lowering only if the sink holds no error.
 */
#ifndef MP_CHECK_CHECK_H
#define MP_CHECK_CHECK_H

#include "ast/ast.h"
#include "base/os.h"
#include "check/typed.h"
#include "diag/diag.h"

/* Where a file comes from. A package comes whole from the best origin that has it, the lowest here;
 * include folders may be told apart by adding their number. */
#define MP_CHECK_GIVEN 0u   /* named on the command line: its rules, guards and tests are alive */
/* found in an include folder: read where a `use` asks for its package */
#define MP_CHECK_INCLUDE 1u
#define MP_CHECK_STDLIB 1000u

struct mp_check_input {
    const struct mp_ast_file *file;
    uint32_t origin;
};

struct mp_check_options {
    const mp_str *channels; /* where messages may go; NULL: any word (E0106) */
    uint32_t channel_count;
    bool with_tests;        /* check the tests, and keep the rules of the packages that they use */
    /* digest: names of rules; regex_compile: E0307. NULL members: not asked */
    const struct mp_os *os;
};

/* Checks all files as one program. *out is complete also where the sink got errors, but for the
 * items that have them. MP_ENOMEM if the arena is full; outputs are then untouched. */
enum mp_err mp_check(const struct mp_check_input *inputs, uint32_t count,
                     const struct mp_check_options *options, struct mp_arena *perm,
                     struct mp_diags *sink, struct mp_typed **out);

struct mp_backend_table;

/* Says where the policy asks for what none of these meshes can do, or one of them must do and
 * cannot (E0701, E0407). For a typed tree without errors. */
void mp_check_backends(const struct mp_typed *typed, const struct mp_backend_table *const *tables,
                       uint32_t count, struct mp_diags *sink);

#endif
