/* SPDX-License-Identifier: Apache-2.0
 * check_items_priv.h - what the files of the items (rules, actions, guards, tests) share among
 * themselves.
 */
#ifndef MP_CHECK_CHECK_ITEMS_PRIV_H
#define MP_CHECK_CHECK_ITEMS_PRIV_H

#include "check/check_priv.h"

/* ---- check_act.c ---- */

/* Where an action of a rule stands. */
struct ck_act_place {
    const struct ck_scope *scope; /* what its target, arguments and messages may speak of */
    uint32_t layers;              /* of `at`; 0: nothing was said */
    enum mp_rule_kind kind;
};

/* Checks one action. False where it had an error: *out is then good for nothing. Not for
 * `rollback`. */
bool ck_check_act(struct ck *ck, const struct ck_act_place *place, const struct mp_ast_act *ast,
                  struct mp_t_act *out);
/* The event signal whose record at hand this names, `request`; NULL: it is something else. */
const struct mp_t_signal *ck_record_at_hand(struct ck *ck, const struct ck_file *file,
                                            const struct mp_ast_expr *ast);
/* What an action is by its words alone, before keys and kind of its rule are known. */
enum ck_act_sort {
    CK_ACT_UNKNOWN,
    CK_ACT_ROLLBACK,
    CK_ACT_MESSAGE,
    CK_ACT_LIST,
    CK_ACT_RECORD,
    CK_ACT_LEASE
};
enum ck_act_sort ck_act_sort(struct ck *ck, const struct ck_file *file,
                             const struct mp_ast_act *ast, const struct mp_t_signal **record);
bool ck_is_rollback(const struct mp_ast_act *ast);
/* Reports E0401 for arguments of something that takes none. */
void ck_no_arguments(struct ck *ck, const struct mp_ast_act *ast, const char *of_what);
/* The masks of `ingress`, `service`, `edge`; E0101. */
uint32_t ck_hook_bit(struct ck *ck, mp_str word, struct mp_span span);
/* What a parameter takes: `a rate or a percent`. */
mp_str ck_param_nouns(struct ck *ck, const struct mp_t_action_param *p);
/* `to`, `on`, `from`, `via`, `for`, `with`. */
const char *ck_prep_word(enum mp_ast_prep_kind kind);

/* ---- check_guard.c ---- */

/* A quota on actions whose target is `target` (NONE: of any kind). NULL with E0602 or E0603
 * reported. */
const struct mp_t_quota *ck_check_quota(struct ck *ck, const struct ck_file *file,
                                        const struct mp_ast_quota *ast, struct mp_t_type target);
/* Keys of one row whose only key is a target of that type. */
const struct mp_t_keys *ck_keys_target(struct ck *ck, struct mp_t_type target);

#endif
