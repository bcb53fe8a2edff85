/* SPDX-License-Identifier: Apache-2.0
 * checked.h - a policy text, parsed and checked with the standard library, for tests.
 */
#ifndef MP_TESTS_CHECKED_H
#define MP_TESTS_CHECKED_H

#include "check/check.h"

struct checked {
    struct mp_arena arena;
    struct mp_sources sources;
    struct mp_diags diags;
    const struct mp_ast_file *file;
    struct mp_typed *typed;
};

/* Checks `text` as a file called `a.mpol`; tests are checked too. Ends the test where memory
 * fails. */
void checked_open(struct checked *c, const char *text);
void checked_close(struct checked *c);
/* The codes of all messages in order, joined by blanks: "E0101 E0402"; valid until close. */
const char *checked_codes(struct checked *c);
/* All messages as text, for looking at a failure. */
const char *checked_text(struct checked *c);
/* The rule of that name; the test fails where there is none. */
const struct mp_t_rule *checked_rule(struct checked *c, const char *name);
/* Opens, compares the codes, closes. */
void assert_codes_(const char *text, const char *codes, const char *file, int line);
#define assert_codes(text, codes) assert_codes_((text), (codes), __FILE__, __LINE__)

#endif
