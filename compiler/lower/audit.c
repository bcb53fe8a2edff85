/* SPDX-License-Identifier: Apache-2.0
 * What `audit request` says, as a message with holes: whom the record names, and the values that
 * the rule looked at. What became of the rule's action is said behind it (runtime/verdict).
 */
#include "lower/lower_priv.h"

/* LIMIT: values of one text; a rule that looks at more is told with the first of them. */
#define VALUES_MAX 16

struct audit {
    struct lw_ctx *c;
    const struct mp_t_expr *value[VALUES_MAX];
    mp_str name[VALUES_MAX];
    uint32_t count;
};

static void add(struct audit *a, mp_str name, const struct mp_t_expr *value)
{
    if (value->type.is_set || a->count == VALUES_MAX) return;
    for (uint32_t i = 0; i < a->count; i++) {
        if (mp_str_eq(a->name[i], name)) return;
    }
    a->name[a->count] = name;
    a->value[a->count++] = value;
}

static void add_keys(struct audit *a, const struct mp_t_signal *signal)
{
    for (uint32_t i = 0; i < signal->key_count; i++) {
        const struct mp_t_entity *entity = signal->keys[i];
        struct mp_t_walk *walk = LW_NEW(a->c->lw, struct mp_t_walk, 1);
        struct mp_t_expr *e = LW_NEW(a->c->lw, struct mp_t_expr, 1);
        struct mp_t_type type = {.base = MP_TYPE_ENTITY, .entity = entity};
        *walk = (struct mp_t_walk){.base = MP_T_BASE_RECORD_KEY, .index = i, .signal = signal,
                                   .type = type, .names = entity, .text = entity->name};
        *e = (struct mp_t_expr){.kind = MP_TX_WALK, .type = type, .may_be_unknown = true,
                                .walk = walk, .text = entity->name};
        add(a, entity->name, e);
    }
}

/* An entry of a map (a header, a cookie, a claim) may be a secret: who wants it in a text writes
 * a `notify` with it. A key by itself is there already. */
static bool is_told(const struct mp_t_walk *w)
{
    if (w->base == MP_T_BASE_RECORD_KEY) return w->hop_count > 0 && w->entry.ptr == NULL;
    return w->base == MP_T_BASE_RECORD_FIELD && w->entry.ptr == NULL;
}

static void add_values(struct audit *a, const struct mp_t_expr *e)
{
    if (e == NULL) return;
    if (e->kind == MP_TX_WALK && is_told(e->walk)) add(a, e->text, e);
    for (int i = 0; i < 3; i++) add_values(a, e->kid[i]);
}

const struct mp_t_expr *lw_audit(struct lw_ctx *c, const struct mp_t_act *act)
{
    const struct mp_t_rule *rule = c->rule;
    if (!act->action->message || act->target_kind != MP_TARGET_RECORD || rule->signal == NULL)
        return NULL;
    struct audit a = {.c = c};
    add_keys(&a, rule->signal);
    add_values(&a, rule->when.cond);
    if (rule->has_unless) add_values(&a, rule->unless.cond);
    struct mp_t_expr *text = LW_NEW(c->lw, struct mp_t_expr, 1);
    struct mp_t_piece *pieces = LW_NEW(c->lw, struct mp_t_piece, 2 * a.count);
    for (uint32_t i = 0; i < a.count; i++) {
        pieces[2 * i].literal =
            lw_printf(c->lw, "%s%.*s=", i > 0 ? " " : "", MP_STR_ARG(a.name[i]));
        pieces[2 * i + 1].hole = a.value[i];
    }
    *text = (struct mp_t_expr){.kind = MP_TX_TEXT, .type = {.base = MP_TYPE_STRING},
                               .span = act->span, .text = act->text, .pieces = pieces,
                               .piece_count = 2 * a.count};
    return text;
}
