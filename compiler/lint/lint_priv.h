/* SPDX-License-Identifier: Apache-2.0
 * lint_priv.h - what the lints share. Only this folder includes it.
 */
#ifndef MP_LINT_LINT_PRIV_H
#define MP_LINT_LINT_PRIV_H

#include "lint/lint.h"

struct lint {
    const struct mp_typed *program;
    const struct mp_sources *sources;
    const struct mp_lint_options *options;
    struct mp_diags *diags;
    const struct mp_t_rule *rule; /* the one that is looked at */
};

/* Starts a message; NULL where its level is not asked for, or a comment allows it. */
struct mp_diag *lint_say(struct lint *l, enum mp_diag_code code, struct mp_span span,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));
bool lint_wants(const struct lint *l, enum mp_diag_code code);
/* ---- lint_allow.c ---- */
enum lint_allowance { LINT_NOT_ALLOWED, LINT_ALLOWED, LINT_ENDED, LINT_WITHOUT_END };
/* What a comment above or inside the item at `span` says about `code`. */
enum lint_allowance lint_allowance(const struct lint *l, enum mp_diag_code code,
                                   struct mp_span span);

/* What the author wrote there. */
mp_str lint_text(const struct lint *l, struct mp_span span);
/* The first lease of a step; NULL: it has none. */
const struct mp_t_act *lint_lease(const struct mp_t_step *step);
/* A value as an author would write it; in the sink's arena. */
mp_str lint_duration(struct lint *l, int64_t ns);

/* One function a topic; each looks at l->rule. */
void lint_conditions(struct lint *l); /* L101 L102 L110 L111 L120 L121 L122 L160 L162 L203 */
void lint_ladder(struct lint *l);     /* L105 L134 L135 L140 L141 L142 L180 */
void lint_checks(struct lint *l);     /* L133 L152 */
void lint_until(struct lint *l);      /* L130 L131 L132 L151 */
void lint_sent_twice(struct lint *l); /* L143 */
/* Of the whole program. */
void lint_unused(struct lint *l);     /* L106 */
void lint_lists(struct lint *l);      /* L107 L108 */
void lint_twice(struct lint *l);      /* L104 */
void lint_shadowed(struct lint *l);   /* L103 */
void lint_buckets(struct lint *l);    /* L144 */

#endif
