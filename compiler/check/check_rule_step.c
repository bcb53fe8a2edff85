/* SPDX-License-Identifier: Apache-2.0
 * Ladders and trailers: actions, checks, and when a rule lets go.
 */
#include "check/check_rule_priv.h"

/* ---- steps ---- */

static bool check_act(struct ck_rule *r, const struct mp_ast_act *ast, struct mp_t_step *step)
{
    const struct ck_scope s = ck_rule_scope(r, CK_IN_ACTION);
    uint32_t layers = r->out->kind == MP_RULE_LOOP ? r->said_layers : r->out->layers;
    const struct ck_act_place place = {&s, layers, r->out->kind};
    return ck_check_act(r->ck, &place, ast, &step->acts[step->act_count]);
}

static void check_rollback(struct ck_rule *r, uint32_t i, const struct mp_ast_act *ast)
{
    struct ck *ck = r->ck;
    if (ast->target != NULL) {
        struct mp_diag *d = ck_error(ck, "E0401", ast->target->span, "`rollback` has no operand");
        mp_diag_note(d, "it undoes all that this rule did for the key");
    }
    ck_no_arguments(ck, ast, "`rollback`");
    if (i > 0) return;
    struct mp_diag *d = ck_error(ck, "E0402", ast->span, "there is nothing to roll back yet");
    mp_diag_help(d, "`rollback` stands behind an `else`");
}

static void check_acts(struct ck_rule *r, uint32_t i, struct mp_t_step *step)
{
    const struct mp_ast_step *ast = &r->ast->steps[i];
    step->acts = CK_NEW(r->ck, struct mp_t_act, ast->act_count);
    step->messages_only = true;
    for (uint32_t a = 0; a < ast->act_count; a++) {
        if (ck_is_rollback(&ast->acts[a])) {
            check_rollback(r, i, &ast->acts[a]);
            step->rollback = true;
            step->messages_only = false;
        } else if (check_act(r, &ast->acts[a], step)) {
            if (step->acts[step->act_count].target_kind == MP_TARGET_LEASE)
                step->messages_only = false;
            step->act_count++;
        } else {
            step->messages_only = false; /* nobody knows what it was meant to be */
        }
    }
}

static void check_time_to_live(struct ck_rule *r, const struct mp_t_step *step)
{
    int64_t needed = step->settle_ns + step->within_ns;
    for (uint32_t i = 0; i < step->act_count; i++) {
        const struct mp_t_act *a = &step->acts[i];
        if (a->target_kind != MP_TARGET_LEASE || a->duration_ns == 0) continue;
        if (a->duration_ns >= needed) continue;
        struct mp_buf has, wants;
        mp_buf_init(&has, r->ck->perm);
        mp_buf_init(&wants, r->ck->perm);
        mp_value_print(&has, MP_TYPE_DURATION, mp_value_int(a->duration_ns));
        mp_value_print(&wants, MP_TYPE_DURATION, mp_value_int(needed));
        mp_str ttl = ck_buf_text(r->ck, &has), need = ck_buf_text(r->ck, &wants);
        struct mp_diag *d = ck_error(r->ck, "E0604", a->span,
                                     "the action may end before its check is done");
        mp_diag_label(d, a->span, "lasts %.*s", MP_STR_ARG(ttl));
        mp_diag_label(d, step->verify.span, "takes up to %.*s, settle and within",
                      MP_STR_ARG(need));
        mp_diag_help(d, "`for %.*s` or longer", MP_STR_ARG(need));
        return;
    }
}

static void check_verify(struct ck_rule *r, const struct mp_ast_verify *ast, struct mp_t_step *step)
{
    struct ck_scope s = ck_rule_scope(r, CK_IN_VERIFY);
    step->has_verify = true;
    step->verify = ck_rule_held(r, CK_IN_VERIFY, &ast->held);
    step->within_ns = ck_duration(r->ck, &s, &ast->within);
    if (ast->settle.span.file != 0) step->settle_ns = ck_duration(r->ck, &s, &ast->settle);
    step->has_harm = ast->harm.cond != NULL;
    if (step->has_harm) step->harm = ck_rule_held(r, CK_IN_HARM, &ast->harm);
    if (step->rollback || step->messages_only) {
        struct mp_diag *d = ck_error(r->ck, "E0402", ast->span,
                                     "this step changes nothing that a `verify` "
                                                               "could look at");
        mp_diag_help(
            d, "a check begins when an action is in force; `rollback` and messages never are");
        return;
    }
    check_time_to_live(r, step);
    ck_check_answerable(r->ck, step);
}

void ck_rule_steps(struct ck_rule *r)
{
    struct mp_t_rule *out = r->out;
    out->steps = CK_NEW(r->ck, struct mp_t_step, r->ast->step_count);
    out->step_count = r->ast->step_count;
    for (uint32_t i = 0; i < r->ast->step_count; i++) {
        struct mp_t_step *step = &out->steps[i];
        step->span = r->ast->steps[i].span;
        check_acts(r, i, step);
        if (r->ast->steps[i].verify == NULL) continue;
        if (out->kind == MP_RULE_LOOP) check_verify(r, r->ast->steps[i].verify, step);
    }
    for (uint32_t i = 0; i < out->steps[0].act_count; i++) {
        if (ck_denies(out->steps[0].acts[i].action)) out->flags |= MP_RULE_DENIES_FIRST;
    }
}

/* ---- trailers ---- */

static const struct mp_t_act *first_lease(const struct mp_t_rule *out)
{
    for (uint32_t s = 0; s < out->step_count; s++) {
        for (uint32_t a = 0; a < out->steps[s].act_count; a++) {
            if (out->steps[s].acts[a].target_kind == MP_TARGET_LEASE) return &out->steps[s].acts[a];
        }
    }
    return NULL;
}

static void need_lease(struct ck_rule *r, const struct mp_ast_clause *c)
{
    if (r->lease != NULL || first_lease(r->out) != NULL) return;
    struct mp_diag *d = ck_error(r->ck, "E0402", c->span,
                                 "`%s` is about actions that last; this rule has none",
                                 ck_clause_word(c->kind));
    mp_diag_note(d, "a message cannot be taken back, nor counted among what is in force");
}

static void check_until(struct ck_rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_UNTIL];
    if (c == NULL) return;
    r->out->has_until = true;
    r->out->until = ck_rule_held(r, CK_IN_UNTIL, c->held);
}

static void check_limit(struct ck_rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_LIMIT];
    if (c == NULL) return;
    const struct mp_t_act *lease = first_lease(r->out);
    need_lease(r, c);
    struct mp_t_type target = lease == NULL ? ck_type(MP_TYPE_NONE) : lease->target_type;
    r->out->limit = ck_check_quota(r->ck, r->file, c->quota, target);
}

static void refuse_ramp(struct ck_rule *r, const struct mp_ast_clause *c, const struct mp_t_act *a)
{
    struct mp_diag *d = ck_error(r->ck, "E0407", c->span,
                                 "`%.*s` cannot be taken back step by step",
                                 MP_STR_ARG(a->action->name));
    mp_diag_label(d, a->span, "is in force or is not");
    mp_diag_help(d, "leave out `ramp`: the action then ends at once");
}

static void check_ramp(struct ck_rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_RAMP];
    if (c == NULL) return;
    struct ck_scope s = ck_rule_scope(r, CK_IN_UNTIL);
    r->out->ramp = c->percent;
    r->out->ramp_every_ns = ck_duration(r->ck, &s, &c->dur);
    need_lease(r, c);
    if (!(c->percent > 0 && c->percent <= 1)) {
        ck_error(r->ck, "E0306", c->span,
                 "a ramp goes in steps of more than 0%% and at most 100%%");
    }
    for (uint32_t i = 0; i < r->out->step_count; i++) {
        for (uint32_t j = 0; j < r->out->steps[i].act_count; j++) {
            const struct mp_t_act *a = &r->out->steps[i].acts[j];
            if (a->target_kind != MP_TARGET_LEASE || a->action->partial) continue;
            refuse_ramp(r, c, a);
            return;
        }
    }
}

static void check_no_data(struct ck_rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_IF_NO_DATA];
    if (c == NULL) return;
    for (uint32_t i = 0; i < MP_NODATA_COUNT; i++) {
        if (!mp_str_eq(mp_no_data_word(i), c->name.text)) continue;
        r->out->no_data = (enum mp_no_data)i;
        return;
    }
    struct mp_diag *d = ck_error(r->ck, "E0101", c->name.span, "without data a rule cannot `%.*s`",
                                 MP_STR_ARG(c->name.text));
    mp_diag_help(d, "it can `hold`, `fire` or `clear`");
}

void ck_rule_trailers(struct ck_rule *r)
{
    struct ck_scope s = ck_rule_scope(r, CK_IN_UNTIL);
    check_until(r);
    if (r->clause[MP_AST_COOLDOWN] != NULL) {
        r->out->cooldown_ns = ck_duration(r->ck, &s, &r->clause[MP_AST_COOLDOWN]->dur);
    }
    check_limit(r);
    check_ramp(r);
    check_no_data(r);
}
