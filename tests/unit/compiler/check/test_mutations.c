/* SPDX-License-Identifier: Apache-2.0
 * Policies with one token removed, doubled, or exchanged with its neighbour: the front end
 * answers each with messages or with a program, and never ends or loses its way (language.md 15).
 *
 *   test_unit_check_mutations POLICY...
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "checked.h"
#include "lint/lint.h"

#define TEXT_MAX 65536
#define TOKENS_MAX 4000

static char **policies;
static int policy_count;

struct token {
    size_t from, to;
};

static size_t read_file(const char *path, char *text)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(text, 1, TEXT_MAX - 1, f);
    fclose(f);
    text[n] = '\0';
    return n;
}

static size_t token_end(const char *t, size_t at)
{
    if (t[at] == '"' || t[at] == '\'') {
        size_t end = at + 1;
        while (t[end] != '\0' && t[end] != t[at]) end++;
        return t[end] == '\0' ? end : end + 1;
    }
    size_t end = at;
    while (isalnum((unsigned char)t[end]) || t[end] == '_' || t[end] == '%') end++;
    return end > at ? end : at + 1;
}

static int split(const char *t, struct token *out)
{
    int n = 0;
    for (size_t at = 0; t[at] != '\0' && n < TOKENS_MAX;) {
        if (t[at] == '#') {
            while (t[at] != '\0' && t[at] != '\n') at++;
        } else if (isspace((unsigned char)t[at])) {
            at++;
        } else {
            out[n] = (struct token){at, token_end(t, at)};
            at = out[n++].to;
        }
    }
    return n;
}

/* What a checked program must be: no rule without its conditions and steps. */
static void assert_whole(const struct checked *c)
{
    for (uint32_t i = 0; i < c->typed->rules.len; i++) {
        const struct mp_t_rule *r = c->typed->rules.ptr[i];
        assert_non_null(r->when.cond);
        assert_int_equal(r->when.cond->type.base, MP_TYPE_BOOL);
        assert_true(r->step_count > 0);
        assert_true(r->kind != MP_RULE_LOOP || r->keys != NULL);
        assert_true(r->kind == MP_RULE_LOOP || r->signal != NULL);
        assert_true(r->name.len > 0);
    }
}

static void try_text(const char *text)
{
    const struct mp_lint_options all = {.level = MP_LINT_ALL};
    struct checked c;
    checked_open(&c, text);
    if (c.diags.error_count == 0) {
        assert_whole(&c);
        assert_int_equal(mp_lint(c.typed, &c.sources, &all, &c.diags), MP_OK);
    }
    checked_text(&c);
    checked_close(&c);
}

/* text with the bytes of [from, to) replaced. */
static void splice(char *out, const char *text, struct token cut, const char *with, size_t with_len)
{
    size_t rest = strlen(text + cut.to);
    assert_true(cut.from + with_len + rest < 2 * TEXT_MAX);
    memcpy(out, text, cut.from);
    memcpy(out + cut.from, with, with_len);
    memcpy(out + cut.from + with_len, text + cut.to, rest + 1);
}

static void mutate(const char *text)
{
    static char changed[2 * TEXT_MAX], piece[TEXT_MAX];
    static struct token tokens[TOKENS_MAX];
    int count = split(text, tokens);
    for (int i = 0; i < count; i++) {
        struct token t = tokens[i], nothing = {t.to, t.to};
        splice(changed, text, t, "", 0);
        try_text(changed);
        size_t len =
            (size_t)snprintf(piece, sizeof piece, " %.*s", (int)(t.to - t.from), text + t.from);
        splice(changed, text, nothing, piece, len);
        try_text(changed);
        if (i + 1 == count) break;
        struct token next = tokens[i + 1], both = {t.from, next.to};
        len = (size_t)snprintf(piece, sizeof piece, "%.*s %.*s", (int)(next.to - next.from),
                               text + next.from, (int)(t.to - t.from), text + t.from);
        splice(changed, text, both, piece, len);
        try_text(changed);
    }
}

static void a_policy_with_one_token_wrong_is_answered(void **state)
{
    static char text[TEXT_MAX];
    for (int i = 0; i < policy_count; i++) {
        read_file(policies[i], text);
        mutate(text);
    }
    (void)state;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_with_one_token_wrong_is_answered),
    };
    policies = argv + 1;
    policy_count = argc - 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
