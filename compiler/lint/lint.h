/* SPDX-License-Identifier: Apache-2.0
 * lint.h - advice on a checked policy: what is legal, and hardly what somebody meant.
 *
 * Every lint is an L-code of diags.def. Only what is certain is said: a wrong lint is worse than none.
 *
 * Callers: the driver, after check/ without errors. One thread. Memory: messages in the sink's arena;
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

/* Looks at rules of all packages but `std.*`. MP_ENOMEM if a message could not be kept. */
enum mp_err mp_lint(const struct mp_typed *program, const struct mp_sources *sources,
                    enum mp_lint_level level, struct mp_diags *diags);

#endif
