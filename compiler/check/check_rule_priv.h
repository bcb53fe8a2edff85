/* SPDX-License-Identifier: Apache-2.0
 * check_rule_priv.h - a rule while it is checked: what the files check_rule*.c share.
 *
 * Reading order: check_rule.c (the whole) · check_rule_head.c (headers, name) ·
 * check_rule_named.c (what its words name) · check_rule_kind.c (inline, event, loop) ·
 * check_rule_step.c (ladder, trailers).
 */
#ifndef MP_CHECK_CHECK_RULE_PRIV_H
#define MP_CHECK_CHECK_RULE_PRIV_H

#include "check/check_items_priv.h"

/* A rule while it is checked. */
struct ck_rule {
    struct ck *ck;
    struct ck_file *file;
    const struct mp_ast_item *item;
    const struct mp_ast_rule *ast;
    struct mp_t_rule *out;
    const struct mp_ast_clause *clause[MP_AST_IRREVERSIBLE + 1]; /* the first of each kind */
    uint32_t said_layers;              /* of `at`; 0: not said */
    struct ck_survey survey;           /* of `when` and `unless` */
    const struct mp_t_signal *answers; /* whose record an action answers; NULL: none does */
    const struct mp_ast_act *answer;   /* the first such action */
    const struct mp_ast_act *lease;    /* the first action that lasts */
    struct ck_facts facts;             /* of `when` and `unless` */
};

/* Entities, and fields of records, that some words name; as keys that a `per` could have. */
struct ck_named {
    struct mp_ast_key *keys;
    uint32_t count, room;
};

/* ---- check_rule_head.c ---- */
void ck_rule_headers(struct ck_rule *r); /* reads headers and labels, knows all trailers; E0105 */
void ck_rule_name(struct ck_rule *r);    /* canonical_when, and the name of a rule without one */
const char *ck_clause_word(enum mp_ast_clause_kind kind);

/* ---- check_rule_named.c ---- */
/* What e names outside of aggregates is added to *all. */
void ck_rule_name_all(struct ck *ck, struct ck_file *file, const struct mp_ast_expr *e,
                      struct ck_named *all);
struct ck_named ck_rule_named(struct ck_rule *r); /* in the actions of the rule */
/* As keys; the mesh where nothing is named. */
const struct mp_t_keys *ck_rule_keys_named(struct ck_rule *r, const struct ck_named *all);
const struct mp_t_signal *ck_rule_first_signal(struct ck_rule *r, const struct mp_t_keys *keys);

/* ---- check_rule.c ---- */
struct ck_scope ck_rule_scope(const struct ck_rule *r, enum ck_place place);
struct mp_t_held ck_rule_held(struct ck_rule *r, enum ck_place place,
                              const struct mp_ast_held *ast);
void ck_rule_conditions(struct ck_rule *r); /* `when`, `unless`, and what they read */

/* ---- check_rule_kind.c ---- */
/* The first clause that only a loop rule can have; *word says which. */
bool ck_rule_loop_clause(const struct ck_rule *r, struct mp_span *span, const char **word);
/* Whose record an inline rule looks at; NULL: it looks at none, and runs for the mesh. */
const struct mp_t_signal *ck_rule_record(struct ck_rule *r);
void ck_rule_inline(struct ck_rule *r); /* an event rule, too */
void ck_rule_loop(struct ck_rule *r);

/* ---- check_rule_step.c ---- */
void ck_rule_steps(struct ck_rule *r);
void ck_rule_trailers(struct ck_rule *r);

#endif
