/* SPDX-License-Identifier: Apache-2.0
 * lint.h - advice on a checked policy: what is legal, and hardly what somebody meant.
 *
 * Every lint is an L-code of diags.def. Only what is certain is said: a wrong lint is worse than
 * none.
 *
 * Callers: the driver, after check/ without errors. One thread. Memory: messages in the sink's
 *          arena;
 * nothing else is kept.
 */
#ifndef MP_LINT_LINT_H
#define MP_LINT_LINT_H

#include "check/typed.h"
#include "diag/diag.h"

enum mp_lint_level {
    MP_LINT_ERRORS, /* only lints that are errors by default: part of every compilation */
    MP_LINT_WARNINGS,
    MP_LINT_ALL     /* information too */
};

struct mp_lint_options {
    enum mp_lint_level level;
    /* Where `# mpol: allow L141 until 2027-01-31 "reason"` is looked for: above or inside an item
     * it silences the code for that item. NULL: nothing is silenced. */
    const struct mp_ast_file *const *files;
    uint32_t file_count;
    int64_t today_days; /* since 1970-01-01; an allowance ends with its day. 0: none has ended */
};

/* Looks at rules of all packages but `std.*`. MP_ENOMEM if a message could not be kept. */
enum mp_err mp_lint(const struct mp_typed *program, const struct mp_sources *sources,
                    const struct mp_lint_options *options, struct mp_diags *diags);

#endif
