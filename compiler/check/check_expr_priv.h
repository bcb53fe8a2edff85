/* SPDX-License-Identifier: Apache-2.0
 * check_expr_priv.h - what the files of expressions share among themselves.
 */
#ifndef MP_CHECK_CHECK_EXPR_PRIV_H
#define MP_CHECK_CHECK_EXPR_PRIV_H

#include "check/check_priv.h"

/* ---- check_path.c ---- */
/* NAME, DOT and INDEX. */
struct mp_t_expr *ck_check_path(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast, const struct mp_t_type *want);
/* The parameter of that name of the definition that is expanded, or NULL. */
const struct ck_bind *ck_find_bind(const struct ck_scope *s, mp_str name);

/* ---- check_expr.c ---- */
/* The way to the entity that e is. */
const struct mp_t_walk *ck_walk_of(struct ck *ck, struct mp_t_expr *e);
/* E0703, once a clause: definitions made it too large. */
struct mp_t_expr *ck_too_large(struct ck *ck, struct mp_span span);
struct mp_t_expr *ck_not(struct ck *ck, struct mp_t_expr *a, struct mp_span span);
/* E0408 where the condition asks for `seen`. */
void ck_refuse_seen(struct ck *ck, const struct mp_t_expr *cond, const char *why);

/* ---- check_rel.c ---- */
struct mp_t_expr *ck_check_cmp(struct ck *ck, const struct ck_scope *s,
                               const struct mp_ast_expr *ast);
struct mp_t_expr *ck_check_in(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast);
struct mp_t_expr *ck_check_is(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast);
struct mp_t_expr *ck_check_match(struct ck *ck, const struct ck_scope *s,
                                 const struct mp_ast_expr *ast);

/* ---- check_agg.c ---- */
/* The signal whose records an argument of an aggregate speaks of, by names alone; NULL: none. */
const struct mp_t_signal *ck_signal_in(struct ck *ck, const struct ck_file *file,
                                       const struct mp_ast_expr *ast, uint32_t depth);
struct mp_t_expr *ck_aggregate(struct ck *ck, const struct ck_scope *s,
                               const struct mp_ast_expr *ast, enum mp_agg kind, uint32_t quantile);
/* Records of a signal with a condition, for functions without a window: bucket, streak. */
struct mp_t_expr *ck_events(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *ast,
                            const struct mp_ast_arg *arg, enum mp_agg kind, bool wants_value);
/* The set that `m of SET`, `instances of svc` or `svc.instances` is; *name is `m`. NULL with an
 * error. */
const struct mp_t_walk *ck_set_of(struct ck *ck, const struct ck_scope *s,
                                  const struct mp_ast_expr *ast, mp_str *name);
/* A scope inside count(m of SET where ...). */
struct ck_scope ck_member_scope(struct ck *ck, const struct ck_scope *s,
                                const struct mp_t_walk *set, mp_str name);

/* ---- check_def.c ---- */
struct mp_t_expr *ck_check_over(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast);
struct mp_t_expr *ck_check_of(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast);
struct mp_t_expr *ck_expand_call(struct ck *ck, const struct ck_scope *s, struct ck_sym *sym,
                                 const struct mp_ast_expr *ast);

#endif
