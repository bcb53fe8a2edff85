/* SPDX-License-Identifier: Apache-2.0
 * golden.h - what a stage of the compiler says about one text, for the golden runner.
 */
#ifndef MP_TESTS_GOLDEN_H
#define MP_TESTS_GOLDEN_H

#include "base/arena.h"

enum golden_kind { GOLDEN_DIAG, GOLDEN_AST, GOLDEN_JSON, GOLDEN_KINDS };

/* Runs the compiler over one file called `name`. False where it could not run at all. */
bool golden_run(struct mp_arena *arena, mp_str name, mp_str text, mp_str out[GOLDEN_KINDS]);

#endif
