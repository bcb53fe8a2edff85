/* SPDX-License-Identifier: Apache-2.0
 * Promises (`never`), and quotas, which `limit` has too (R43, R44): E0602, E0603.
 */
#include "check/check_items_priv.h"

/* ---- the target as a row ---- */

const struct mp_t_keys *ck_keys_target(struct ck *ck, struct mp_t_type target)
{
    if (target.base == MP_TYPE_ENTITY) return ck_keys_entity(ck, target.entity);
    struct mp_t_keys *keys = CK_NEW(ck, struct mp_t_keys, 1);
    if (target.base == MP_TYPE_NONE) return keys;
    keys->keys = CK_NEW(ck, struct mp_t_key, 1);
    keys->keys[0] = (struct mp_t_key){.name = mp_type_word(target.base), .type = target};
    keys->count = 1;
    keys->cap = CK_CAP_DEFAULT;
    return keys;
}

/* ---- words for sets ---- */

static const struct mp_t_entity *entity_named(struct ck *ck, const struct ck_file *file,
                                              mp_str word)
{
    struct ck_sym *sym = ck_find(ck, file, word, (struct mp_span){0});
    if (sym == NULL || sym->kind != CK_ENTITY) return NULL;
    return ck_entity_of(ck, sym);
}

/* `service`, `services`, `policies`. */
static const struct mp_t_entity *entity_of_word(struct ck *ck, const struct ck_file *file,
                                                mp_str word)
{
    const struct mp_t_entity *e = entity_named(ck, file, word);
    if (e == NULL && mp_str_ends(word, MP_STR("ies"))) {
        e = entity_named(ck, file, ck_printf(ck, "%.*sy", (int)word.len - 3, word.ptr));
    }
    if (e == NULL && mp_str_ends(word, MP_STR("s"))) {
        e = entity_named(ck, file, mp_str_sub(word, 0, word.len - 1));
    }
    return e;
}

static const struct mp_t_attr *set_of(const struct mp_t_entity *owner,
                                      const struct mp_t_entity *member)
{
    for (uint32_t i = 0; i < owner->attr_count; i++) {
        const struct mp_t_attr *a = &owner->attrs[i];
        if (a->type.is_set && a->type.base == MP_TYPE_ENTITY && a->type.entity == member) return a;
    }
    return NULL;
}

/* ---- quotas ---- */

struct quota {
    struct ck *ck;
    const struct ck_file *file;
    const struct mp_ast_quota *ast;
    struct mp_t_type target;  /* NONE: any */
    struct ck_scope scope;    /* over the target as the one key */
    struct mp_t_quota *out;
};

static void unknown_set(struct quota *q, struct mp_span span, mp_str word)
{
    struct mp_diag *d = ck_error(q->ck, "E0603", span, "`%.*s` is no set of anything",
                                 MP_STR_ARG(word));
    mp_diag_help(d, "a set is an entity, `services`, or an attribute that is one, `instances`");
}

/* The way from the target to one `per`. */
static bool find_per(struct quota *q)
{
    const struct mp_ast_path *path = &q->ast->per;
    if (path->count == 0) return true;
    mp_str word = path->parts[0].text;
    const struct mp_t_entity *per = path->count == 1 ? entity_named(q->ck, q->file, word) : NULL;
    if (per == NULL) {
        struct mp_diag *d = ck_error(q->ck, "E0603", path->span, "`%.*s` is no entity to count per",
                                     MP_STR_ARG(ck_source(q->ck, path->span)));
        mp_diag_help(d, "`per svc`, or a time: `per 10m`");
        return false;
    }
    q->out->per = per;
    q->out->per_walk = ck_reach(q->ck, &q->scope, per, path->span, false);
    if (q->out->per_walk != NULL) return true;
    mp_str noun = ck_type_noun(q->ck, q->target);
    struct mp_diag *d = ck_error(q->ck, "E0603", path->span, "%.*s is not of one `%.*s`",
                                 MP_STR_ARG(noun), MP_STR_ARG(word));
    mp_diag_note(d, "so nothing could be counted per %.*s", MP_STR_ARG(word));
    return false;
}

/* `20% of instances per svc`: the set is the service's; without `per`, all that are known. */
static bool find_members(struct quota *q)
{
    const struct mp_t_quota *out = q->out;
    if (!q->ast->is_percent || out->per == NULL) return true;
    const struct mp_t_attr *set = set_of(out->per, out->entity);
    if (set != NULL) {
        q->out->members = ck_hop(q->ck, out->per_walk, set);
        return true;
    }
    struct mp_diag *d = ck_error(q->ck, "E0603", q->ast->span, "a `%.*s` has no set of `%.*s`",
                                 MP_STR_ARG(out->per->name), MP_STR_ARG(out->entity->name));
    mp_diag_help(d, "a share needs a set that is known: `20%% of instances per svc`");
    return false;
}

static bool find_set(struct quota *q)
{
    const struct mp_ast_path *path = &q->ast->of;
    if (path->count == 0) return true;
    mp_str word = path->parts[path->count - 1].text;
    q->out->entity = entity_of_word(q->ck, q->file, word);
    if (q->out->entity != NULL && path->count == 1) return true;
    unknown_set(q, path->span, ck_source(q->ck, path->span));
    return false;
}

/* Are leases on the target members of the set, or do they stand for members of it? */
static bool counts_target(struct quota *q)
{
    const struct mp_t_entity *member = q->out->entity;
    if (member == NULL || q->target.base == MP_TYPE_NONE) return true;
    const struct mp_t_entity *target = q->target.base == MP_TYPE_ENTITY ? q->target.entity : NULL;
    if (target == member) return true;
    mp_str noun = ck_type_noun(q->ck, q->target);
    if (target == NULL || set_of(target, member) == NULL) {
        struct mp_diag *d = ck_error(q->ck, "E0603", q->ast->of.span, "%.*s is never one of `%.*s`",
                                     MP_STR_ARG(noun), MP_STR_ARG(ck_source(q->ck,
                                                                            q->ast->of.span)));
        mp_diag_note(d, "so the quota would never count anything");
        return false;
    }
    if (q->out->per != target || !q->ast->is_percent || q->ast->percent >= 1) return true;
    struct mp_diag *d = ck_error(q->ck, "E0602", q->ast->span,
                                 "an action on %.*s always takes all of its %.*s", MP_STR_ARG(noun),
                                 MP_STR_ARG(ck_source(q->ck, q->ast->of.span)));
    mp_diag_label(d, q->ast->span, "less than that is allowed, so it could never act");
    mp_diag_help(d, "count the actions instead: `1 %.*s per 10m`, or leave out `per %.*s`",
                 MP_STR_ARG(target->name), MP_STR_ARG(ck_source(q->ck, q->ast->per.span)));
    return false;
}

static bool read_amount(struct quota *q)
{
    const struct mp_ast_quota *ast = q->ast;
    if (ast->is_percent) {
        q->out->percent = ast->percent;
        if (ast->percent > 0 && ast->percent <= 1) return true;
    } else {
        if (ast->count > 0 && ast->count <= UINT32_MAX) {
            q->out->count = (uint32_t)ast->count;
            return true;
        }
    }
    struct mp_diag *d = ck_error(q->ck, "E0602", ast->span, "a quota that nothing can meet");
    mp_diag_help(d, "at least 1, or more than 0%% and at most 100%%");
    return false;
}

const struct mp_t_quota *ck_check_quota(struct ck *ck, const struct ck_file *file,
                                        const struct mp_ast_quota *ast, struct mp_t_type target)
{
    struct quota q = {.ck = ck, .file = file, .ast = ast, .target = target};
    q.out = CK_NEW(ck, struct mp_t_quota, 1);
    q.out->text = ck_source(ck, ast->span);
    q.out->per_ns = ast->has_per_dur ? ck_wait(ck, ast->per_ns, ast->span) : 0;
    if (!read_amount(&q) || !find_set(&q)) return NULL;
    /* Without a named target the members of the set are what is counted. */
    if (target.base == MP_TYPE_NONE &&
        q.out->entity != NULL) q.target = ck_entity_type(q.out->entity);
    q.scope = ck_scope_of(file, CK_IN_GUARD, ck_keys_target(ck, q.target), NULL, 0);
    if (!find_per(&q) || !counts_target(&q) || !find_members(&q)) return NULL;
    return q.out;
}

/* ---- guards ---- */

struct guard {
    struct ck *ck;
    struct ck_file *file;
    const struct mp_ast_guard *ast;
    struct mp_t_guard *out;
};

/* `identity` and `asn` are types without an entity of their own. */
static bool type_named(mp_str word, struct mp_t_type *out)
{
    if (mp_str_eq(word, MP_STR("identity"))) *out = ck_type(MP_TYPE_IDENTITY);
    else if (mp_str_eq(word, MP_STR("asn"))) *out = ck_type(MP_TYPE_ASN);
    else return false;
    return true;
}

static bool read_target(struct guard *g)
{
    const struct mp_ast_expr *target = g->ast->act.target;
    if (target == NULL) return true;
    g->out->signal = ck_record_at_hand(g->ck, g->file, target);
    if (g->out->signal != NULL) {
        g->out->target = ck_type(MP_TYPE_EVENT);
        return true;
    }
    if (target->kind != MP_AST_NAME) {
        struct mp_diag *d = ck_error(g->ck, "E0302", target->span,
                                     "a promise is about a kind of target, not about one of them");
        mp_diag_help(d, "name the kind, and say which with `where`: `where svc == \"web\"`");
        return false;
    }
    if (type_named(target->u.name.text, &g->out->target)) return true;
    struct ck_sym *sym = ck_need(g->ck, g->file, target->u.name.text, target->span, 1u << CK_ENTITY,
                                 "entity");
    const struct mp_t_entity *entity = sym == NULL ? NULL : ck_entity_of(g->ck, sym);
    if (entity != NULL) g->out->target = ck_entity_type(entity);
    return entity != NULL;
}

static bool takes(const struct mp_t_action *a, struct mp_t_type target)
{
    if (a->target < 0) return target.base == MP_TYPE_NONE;
    if (target.base == MP_TYPE_NONE) return true;
    const struct mp_t_action_param *p = &a->params[a->target];
    for (uint32_t i = 0; i < p->type_count; i++) {
        if (ck_type_eq(p->types[i], target)) return true;
    }
    return false;
}

/* On a record any verb that refuses may stand, also those that only exist as leases (R43). */
static bool read_verb(struct guard *g)
{
    const struct mp_ast_act *act = &g->ast->act;
    struct ck_verb *verbs = ck_need_verb(g->ck, g->file, act->verb.text, act->verb.span);
    if (verbs == NULL) return false;
    g->out->verb = act->verb.text;
    if (act->prep_count > 0) {
        struct mp_diag *d = ck_error(g->ck, "E0401", act->preps[0].span,
                                     "a promise is about a verb and its target, not about `%s`",
                                     ck_prep_word(act->preps[0].kind));
        mp_diag_help(d, "say it with `where`");
        return false;
    }
    if (g->out->target.base == MP_TYPE_EVENT) return true;
    for (const struct ck_verb *v = verbs; v != NULL; v = v->next) {
        if (v->action != NULL && takes(v->action, g->out->target)) return true;
    }
    mp_str noun = ck_type_noun(g->ck, g->out->target);
    ck_error(g->ck, "E0302", act->span, "`%.*s` cannot be done to %.*s", MP_STR_ARG(act->verb.text),
             MP_STR_ARG(noun));
    return false;
}

static bool check_share(struct guard *g)
{
    g->out->kind = MP_GUARD_MORE_THAN;
    if (g->out->signal != NULL) {
        struct mp_diag *d = ck_error(g->ck, "E0603", g->ast->act.target->span,
                                     "nobody counts the %.*s that are turned away",
                                     MP_STR_ARG(g->out->signal->name));
        mp_diag_help(d,
                     "a quota is about leases: `never deny client more than 100 clients per 10m`");
        return false;
    }
    g->out->quota = ck_check_quota(g->ck, g->file, g->ast->quota, g->out->target);
    return g->out->quota != NULL;
}

static bool check_where(struct guard *g)
{
    struct ck_scope s;
    if (g->out->signal != NULL) {
        g->out->kind = MP_GUARD_WHERE_RECORD;
        s = ck_scope_of(g->file, CK_IN_GUARD, NULL, g->out->signal, MP_LAYER_ALL);
    } else {
        g->out->kind = MP_GUARD_WHERE_LEASE;
        s = ck_scope_of(g->file, CK_IN_GUARD, ck_keys_target(g->ck, g->out->target), NULL, 0);
    }
    g->out->where = ck_check_cond(g->ck, &s, g->ast->where);
    if (ck_bad(g->out->where)) return false;
    struct ck_facts facts = {0};
    ck_gather_facts(g->out->where, &facts);
    const struct mp_t_expr *late = g->out->signal == NULL ? NULL : facts.at_end;
    const struct mp_t_expr *window = g->out->signal == NULL ? NULL : facts.window;
    if (late == NULL && window == NULL) return true;
    if (late != NULL) {
        ck_error(g->ck, "E0404", late->span, "this is known when the %.*s has been answered",
                 MP_STR_ARG(ck_signal_record_word(g->out->signal)));
    } else {
        struct mp_diag *d = ck_error(g->ck, "E0402", window->span,
                                     "a promise about a %.*s cannot read a window",
                                     MP_STR_ARG(ck_signal_record_word(g->out->signal)));
        mp_diag_note(d, "it is asked for each one, before it goes on");
    }
    return false;
}

void ck_check_guard(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item)
{
    struct guard g = {ck, file, &item->u.guard, CK_NEW(ck, struct mp_t_guard, 1)};
    g.out->package = file->package->name;
    g.out->span = item->span;
    g.out->text = ck_source(ck, item->span);
    if (g.ast->prove) ck_refuse(ck, "prove", item->span);
    if (!read_target(&g) || !read_verb(&g)) return;
    bool fine = g.ast->where != NULL ? check_where(&g) : check_share(&g);
    if (fine) *CK_PUSH(ck, &ck->out->guards) = g.out;
}
