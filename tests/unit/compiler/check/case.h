/* SPDX-License-Identifier: Apache-2.0
 * case.h - one policy text, parsed and checked, for the tests of check/.
 */
#ifndef MP_TESTS_CHECK_CASE_H
#define MP_TESTS_CHECK_CASE_H

#include "check/check.h"

struct case_file {
    const char *name, *text;
    uint32_t origin; /* MP_CHECK_ */
};

struct test_case {
    struct mp_arena arena;
    struct mp_sources sources;
    struct mp_diags diags;
    struct mp_typed *typed;
    mp_str report; /* all diagnostics as text */
};

/* Checks the files as one program. */
void case_check_files(struct test_case *c, const struct case_file *files, uint32_t count,
                      const struct mp_check_options *options);
/* Checks `text` with the words of case.c: a small mesh in the package `m`, which it uses. */
void case_check(struct test_case *c, const char *text);
void case_free(struct test_case *c);
/* The same with at most so many bytes for what the check makes; nothing is kept. */
enum mp_err case_check_within(const char *text, size_t limit_bytes);

/* How many diagnostics have this code. */
uint32_t case_count(const struct test_case *c, const char *code);
/* The rule of that name, or a failed test. */
const struct mp_t_rule *case_rule(const struct test_case *c, const char *name);
/* Fails with the whole report unless the codes are exactly these, in any order: "E0101 E0301"; ""
 * for none. Lints that are only warnings do not count. */
void case_expect(const struct test_case *c, const char *codes);
/* Fails unless the report holds this text. */
void case_says(const struct test_case *c, const char *text);
/* `text` checks with exactly these codes. */
void expect_codes(const char *text, const char *codes);

#endif
