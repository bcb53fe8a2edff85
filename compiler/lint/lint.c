/* SPDX-License-Identifier: Apache-2.0 */
#include "lint/lint.h"

#include <stdarg.h>
#include <stdio.h>

#include "lint/lint_priv.h"

static void (*const of_a_rule[])(struct lint *) = {
    lint_conditions, lint_ladder, lint_checks, lint_until, lint_sent_twice,
};
static void (*const of_the_program[])(struct lint *) = {
    lint_unused, lint_lists, lint_twice, lint_shadowed, lint_buckets,
};

bool lint_wants(const struct lint *l, enum mp_diag_code code)
{
    enum mp_severity severity = mp_diag_row(code)->severity;
    return severity == MP_SEV_ERROR || l->options->level == MP_LINT_ALL ||
           (severity == MP_SEV_WARNING && l->options->level == MP_LINT_WARNINGS);
}

struct mp_diag *lint_say(struct lint *l, enum mp_diag_code code, struct mp_span span,
                         const char *format, ...)
{
    if (!lint_wants(l, code)) return NULL;
    enum lint_allowance allowance = lint_allowance(l, code, span);
    if (allowance == LINT_ALLOWED) return NULL;
    va_list args;
    va_start(args, format);
    char text[400];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct mp_diag *d = mp_diag_add(l->diags, code, span, "%s", text);
    if (allowance == LINT_ENDED) mp_diag_note(d, "the comment that allowed it has ended");
    if (allowance == LINT_WITHOUT_END) {
        mp_diag_note(d, "a comment allows it without an end: `until 2027-01-31` is missing");
    }
    return d;
}

mp_str lint_text(const struct lint *l, struct mp_span span)
{
    return mp_source_text(l->sources, span);
}

const struct mp_t_act *lint_lease(const struct mp_t_step *step)
{
    for (uint32_t i = 0; i < step->act_count; i++) {
        if (step->acts[i].target_kind == MP_TARGET_LEASE) return &step->acts[i];
    }
    return NULL;
}

mp_str lint_duration(struct lint *l, int64_t ns)
{
    struct mp_buf b;
    mp_buf_init(&b, l->diags->arena);
    mp_value_print(&b, MP_TYPE_DURATION, mp_value_int(ns));
    return mp_buf_view(&b);
}

static bool is_ours(mp_str package) { return !mp_str_starts(package, MP_STR("std.")); }

enum mp_err mp_lint(const struct mp_typed *program, const struct mp_sources *sources,
                    const struct mp_lint_options *options, struct mp_diags *diags)
{
    struct lint l = {.program = program, .sources = sources, .options = options, .diags = diags};
    for (uint32_t r = 0; r < program->rules.len; r++) {
        l.rule = program->rules.ptr[r];
        if (!is_ours(l.rule->package)) continue;
        for (size_t i = 0; i < sizeof of_a_rule / sizeof *of_a_rule; i++) of_a_rule[i](&l);
    }
    l.rule = NULL;
    for (size_t i = 0; i < sizeof of_the_program / sizeof *of_the_program; i++) {
        of_the_program[i](&l);
    }
    return mp_diags_err(diags);
}
