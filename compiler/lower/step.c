/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* ---- messages ---- */

static void add_piece(struct lw *lw, mp_str literal, uint32_t fn, enum mp_type type)
{
    mp_text_ref text = lw_text(lw, literal);
    *LW_ADD(lw, piece) = (struct mp_piece_row){text, fn, type};
}

static mp_str printed(struct lw *lw, const struct mp_t_expr *e)
{
    if (lw_rep(e->type) == MP_REP_T) return e->text;
    struct mp_buf text;
    mp_buf_init(&text, lw->scratch);
    mp_value_print(&text, lw_type(e->type), e->value);
    return lw_view(lw, &text);
}

static void message(struct lw_ctx *c, const struct mp_t_act *t, mp_str name, struct mp_act_row *row)
{
    const struct mp_t_expr *m = t->message != NULL ? t->message : lw_audit(c, t);
    uint32_t count = m == NULL ? 0 : m->kind == MP_TX_TEXT ? m->piece_count : 1;
    struct mp_t_piece whole = {.hole = m};
    const struct mp_t_piece *pieces = m != NULL && m->kind == MP_TX_TEXT ? m->pieces : &whole;
    uint32_t *fns = LW_NEW(c->lw, uint32_t, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_t_expr *hole = pieces[i].hole;
        if (hole != NULL && hole->type.is_set) lw_refuse(c->lw, hole->span, "a set in a message");
        fns[i] = hole == NULL || hole->kind == MP_TX_CONST ? MP_NONE : lw_fn(c, name, hole, 0);
    }
    row->pieces_at = c->lw->ir->piece.len;
    row->pieces_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_t_expr *hole = pieces[i].hole;
        if (hole == NULL) {
            add_piece(c->lw, pieces[i].literal, MP_NONE, MP_TYPE_NONE);
        } else if (fns[i] == MP_NONE) {
            add_piece(c->lw, printed(c->lw, hole), MP_NONE, MP_TYPE_NONE);
        } else {
            add_piece(c->lw, (mp_str){0}, fns[i], lw_type(hole->type));
        }
    }
}

/* ---- acts ---- */

static void args(struct lw_ctx *c, const struct mp_t_act *t, mp_str name, struct mp_act_row *row)
{
    struct mp_arg_row *made = LW_NEW(c->lw, struct mp_arg_row, t->arg_count);
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->arg_count; i++) {
        const struct mp_t_expr *value = t->args[i].value;
        if (value == NULL || value == t->message) continue;
        if (value->type.is_set) lw_refuse(c->lw, value->span, "a set as an argument of an action");
        made[count].name = lw_text(c->lw, t->args[i].name);
        made[count].type = lw_type(value->type);
        made[count++].fn = lw_fn(c, name, value, 0);
    }
    row->args_at = c->lw->ir->arg.len;
    row->args_count = count;
    for (uint32_t i = 0; i < count; i++) *LW_ADD(c->lw, arg) = made[i];
}

static struct mp_act_row make_act(struct lw_ctx *c, const struct mp_t_act *t)
{
    mp_str name = lw_printf(c->lw, "%.*s %.*s", MP_STR_ARG(c->rule->name),
                            MP_STR_ARG(t->action->name));
    struct mp_act_row row = {.action = lw_action(c->lw, t->action), .target_kind = t->target_kind,
                             .entity = MP_NONE, .target = MP_NONE, .duration_ns = t->duration_ns,
                             .hooks = t->hooks};
    if (t->target != NULL) {
        row.target = lw_fn(c, name, t->target, 0);
        row.type = lw_type(t->target->type);
        if (t->target_type.base == MP_TYPE_ENTITY) row.entity = t->target_type.entity->index;
    }
    args(c, t, name, &row);
    message(c, t, name, &row);
    row.via = lw_text(c->lw, t->via);
    row.text = lw_text(c->lw, t->text);
    lw_set_place(c->lw, t->span, NULL, &row.line, NULL);
    return row;
}

static void acts(struct lw_ctx *c, const struct mp_t_step *t, struct mp_step_row *row)
{
    struct mp_act_row *made = LW_NEW(c->lw, struct mp_act_row, t->act_count);
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->act_count; i++) {
        if (t->acts[i].action != NULL) made[count++] = make_act(c, &t->acts[i]);
    }
    row->acts_at = c->lw->ir->act.len;
    row->acts_count = count;
    for (uint32_t i = 0; i < count; i++) *LW_ADD(c->lw, act) = made[i];
}

/* ---- steps ---- */

static uint32_t check(struct lw_ctx *c, const struct mp_t_step *t, enum mp_clause kind,
                      uint32_t rule)
{
    const struct mp_t_held *held = kind == MP_CLAUSE_VERIFY ? &t->verify : &t->harm;
    struct lw_clause clause = {.kind = kind, .rule = rule, .cond = held->cond,
                               .hold_ns = held->hold_ns,
                               .text = held->cond->text};
    if (kind == MP_CLAUSE_VERIFY) {
        clause.within_ns = t->within_ns;
        clause.settle_ns = t->settle_ns;
    }
    clause.name = lw_printf(c->lw, "%.*s %.*s", MP_STR_ARG(c->rule->name),
                            MP_STR_ARG(mp_clause_word(kind)));
    return lw_clause(c, &clause);
}

static struct mp_step_row make_step(struct lw_ctx *c, const struct mp_t_step *t, uint32_t rule)
{
    struct mp_step_row row = {.verify = MP_NONE, .harm = MP_NONE};
    row.flags = (t->rollback ? MP_STEP_ROLLBACK : 0) | (t->messages_only ? MP_STEP_MESSAGES_ONLY
                                                        : 0);
    acts(c, t, &row);
    if (t->has_verify) row.verify = check(c, t, MP_CLAUSE_VERIFY, rule);
    if (t->has_harm) row.harm = check(c, t, MP_CLAUSE_HARM, rule);
    return row;
}

uint32_t lw_steps(struct lw_ctx *c, uint32_t rule)
{
    const struct mp_t_rule *t = c->rule;
    uint32_t from = c->lw->ir->step.len;
    for (uint32_t i = 0; i < t->step_count; i++) {
        struct mp_step_row row = make_step(c, &t->steps[i], rule);
        *LW_ADD(c->lw, step) = row;
    }
    return from;
}
