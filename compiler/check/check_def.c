/* SPDX-License-Identifier: Apache-2.0
 * Definitions and where they are read: expansion, `over` and `of` (language.md 4.3, R13, R15, R16).
 */
#include "check/check_expr_priv.h"

/* ---- declaring ---- */

/* What stands for an argument while a definition is checked by itself. */
static struct mp_t_expr *stand_in(struct ck *ck, struct mp_t_type type, struct mp_span span)
{
    if (ck_is_poison(type)) return ck_poison(ck, span);
    if (type.base == MP_TYPE_DURATION && ck_is_scalar(type)) {
        return ck_const_int(ck, MP_TYPE_DURATION, 1000000000, span); /* it may be a window */
    }
    if (type.base == MP_TYPE_ENTITY && ck_is_scalar(type)) {
        return ck_walk_expr(ck, ck_walk_const(ck, type.entity, MP_STR("?")), span);
    }
    struct mp_t_expr *e = ck_expr(ck, MP_TX_PARAM, type, span);
    e->may_be_unknown = true;
    return e;
}

static struct ck_bind *stand_ins(struct ck *ck, struct ck_sym *sym)
{
    const struct mp_ast_item *item = sym->item;
    struct ck_bind *binds = CK_NEW(ck, struct ck_bind, item->u.def.param_count);
    sym->param_types = CK_NEW(ck, struct mp_t_type, item->u.def.param_count);
    for (uint32_t i = 0; i < item->u.def.param_count; i++) {
        const struct mp_ast_field *p = &item->u.def.params[i];
        sym->param_types[i] = ck_type_of(ck, sym->file, &p->type);
        binds[i] = (struct ck_bind){p->name.text, stand_in(ck, sym->param_types[i], p->span), 1};
        for (uint32_t j = 0; j < i; j++) {
            if (!mp_str_eq(binds[j].name, binds[i].name)) continue;
            ck_error(ck, "E0103", p->name.span, "`%.*s` stands twice", MP_STR_ARG(p->name.text));
        }
    }
    return binds;
}

static bool has_open_window(const struct mp_t_expr *e)
{
    if (e == NULL) return false;
    if (e->kind == MP_TX_AGG) {
        enum mp_agg kind = e->agg->kind;
        return e->agg->window_ns == 0 && kind != MP_AGG_LAST && kind != MP_AGG_SEEN;
    }
    return has_open_window(e->kid[0]) || has_open_window(e->kid[1]) || has_open_window(e->kid[2]);
}

/* Checks the body by itself, with the definition's own keys where it has some. */
static struct mp_t_expr *check_body(struct ck *ck, struct ck_sym *sym, const struct ck_bind *binds)
{
    const struct mp_ast_item *item = sym->item;
    struct mp_t_def *def = sym->u.def;
    struct ck_survey survey = {.record = NULL};
    if (!sym->has_per) ck_survey(ck, sym->file, item->u.def.body, &survey);
    struct ck_scope s = ck_scope_of(sym->file, CK_IN_DEF, def->keys, survey.record,
                                    MP_LAYER_SERVICE);
    s.lenient = !sym->has_per || def->keys->broken;
    s.open_window = true;
    s.binds = binds;
    s.bind_count = item->u.def.param_count;
    s.min_samples = sym->min_samples;
    s.panes = sym->panes;
    const struct mp_t_type *want = ck_is_poison(def->type) ? NULL : &def->type;
    struct mp_t_expr *body = ck_check(ck, &s, item->u.def.body, want);
    return want == NULL ? body : ck_coerce(ck, body, *want, "this definition");
}

static bool begin_def(struct ck *ck, struct ck_sym *sym)
{
    if (sym->state == CK_FRESH) return true;
    if (sym->state == CK_BUSY && !sym->broken) {
        struct mp_diag *d = ck_error(ck, "E0104", sym->span, "`%.*s` uses itself",
                                     MP_STR_ARG(sym->name));
        ck_note(d, "definitions are expanded where they stand, and this one would never end");
        sym->broken = true;
    }
    return false;
}

const struct mp_t_def *ck_def_of(struct ck *ck, struct ck_sym *sym)
{
    if (!begin_def(ck, sym)) return sym->broken ? NULL : sym->u.def;
    sym->state = CK_BUSY;
    const struct mp_ast_item *item = sym->item;
    struct mp_t_def *def = CK_NEW(ck, struct mp_t_def, 1);
    sym->u.def = def;
    sym->has_per = item->u.def.per.count > 0;
    sym->min_samples = ck_min_samples(ck, item);
    sym->panes = ck_panes(ck, item);
    *def = (struct mp_t_def){
        .package = sym->file->package->name, .name = sym->name, .span = sym->span};
    def->kind = MP_DEF_DEF;
    def->keys = ck_keys_of(ck, sym->file, &item->u.def.per);
    bool declared = item->u.def.type.count > 0;
    if (declared) def->type = ck_type_of(ck, sym->file, &item->u.def.type);
    const struct ck_bind *binds = stand_ins(ck, sym);
    struct mp_t_expr *body = check_body(ck, sym, binds);
    if (!declared) def->type = body->type;
    sym->state = CK_DONE;
    sym->broken = sym->broken || ck_is_poison(def->type) || ck->too_large;
    if (sym->broken) return NULL;
    bool whole = item->u.def.param_count == 0 && sym->has_per && !ck_bad(body);
    if (whole && !has_open_window(body)) def->body = body;
    def->index = ck->out->defs.len;
    *CK_PUSH(ck, &ck->out->defs) = def;
    return def;
}

/* ---- arguments ---- */

static struct ck_bind *bind_arguments(struct ck *ck, const struct ck_scope *s, struct ck_sym *sym,
                                      const struct mp_ast_expr *ast)
{
    const struct mp_ast_item *item = sym->item;
    uint32_t given = ast->kind == MP_AST_CALL ? ast->u.call.arg_count : 0,
        n = item->u.def.param_count;
    struct ck_bind *binds = CK_NEW(ck, struct ck_bind, n);
    if (given > n) {
        ck_error(ck, "E0305", ast->span, "`%.*s` takes %u arguments, not %u", MP_STR_ARG(sym->name),
                 n, given);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct mp_ast_field *p = &item->u.def.params[i];
        mp_str what = ck_printf(ck, "`%.*s`", MP_STR_ARG(p->name.text));
        uint32_t before = ck->nodes;
        binds[i].name = p->name.text;
        if (i < given && ast->u.call.args[i].where != NULL) {
            ck_error(ck, "E0305", ast->u.call.args[i].span, "only aggregates have a `where`");
            return NULL;
        }
        if (i < given) {
            binds[i].value = ck_check_as(ck, s, ast->u.call.args[i].value, sym->param_types[i],
                                         what.ptr);
        } else if (p->preset != NULL) {
            binds[i].value = ck_constant(ck, sym->file, p->preset, sym->param_types[i], what.ptr);
        } else {
            struct mp_diag *d = ck_error(ck, "E0305", ast->span,
                                         "`%.*s` takes %u arguments, not %u",
                                         MP_STR_ARG(sym->name), n, given);
            ck_label(d, p->span, "this one is missing");
            return NULL;
        }
        binds[i].nodes = ck->nodes - before;
    }
    return binds;
}

/* ---- expanding ---- */

static struct mp_t_expr *not_for_records(struct ck *ck, const struct ck_sym *sym,
                                         struct mp_span span)
{
    mp_str keys = ck_keys_text(ck, sym->u.def->keys);
    struct mp_diag *d = ck_error(ck, "E0302", span,
                                 "`%.*s` is per %.*s, and is not looked up for every record",
                                 MP_STR_ARG(sym->name), MP_STR_ARG(keys));
    ck_help(d, "compare it outside of the aggregate");
    return ck_poison(ck, span);
}

static struct mp_t_expr *not_reached(struct ck *ck, const struct ck_scope *s,
                                     const struct ck_sym *sym,
                                     struct mp_span span)
{
    if (s->lenient) return ck_poison(ck, span);
    mp_str own = ck_keys_text(ck, sym->u.def->keys);
    struct mp_diag *d = ck_error(ck, "E0212", span,
                                 "`%.*s` is per %.*s, which is not reached from here",
                                 MP_STR_ARG(sym->name), MP_STR_ARG(own));
    if (s->of != NULL) {
        ck_note(d, "the members of `%s` are of another kind", s->of_text);
    } else if (s->keys != NULL) {
        mp_str here = ck_keys_text(ck, s->keys);
        ck_note(d, "here everything is per %.*s", MP_STR_ARG(here));
        ck_help(d, "add `per %.*s`, or say which: `%.*s of ...`", MP_STR_ARG(own),
                MP_STR_ARG(sym->name));
    }
    return ck_poison(ck, span);
}

/* The ways to the keys of a definition; NULL: not reached. */
static const struct mp_t_walk *ways_to_keys(struct ck *ck, const struct ck_scope *s,
                                            const struct mp_t_def *def)
{
    if (s->of != NULL) {
        bool same = ck_keys_eq(def->keys, ck_keys_entity(ck, s->of->type.entity));
        return same ? s->of : NULL;
    }
    struct mp_t_walk *at = CK_NEW(ck, struct mp_t_walk, def->keys->count);
    for (uint32_t i = 0; i < def->keys->count; i++) {
        const struct mp_t_walk *w = ck_reach_key(ck, s, &def->keys->keys[i]);
        if (w == NULL) return s->lenient && s->keys == NULL ? ck_identity_walks(ck,
                                                                                def->keys) : NULL;
        at[i] = *w;
    }
    return at;
}

static struct ck_scope scope_of_body(const struct ck_scope *s, struct ck_sym *sym,
                                     const struct ck_bind *binds)
{
    struct ck_scope inner = *s;
    inner.file = sym->file;
    inner.binds = binds;
    inner.bind_count = sym->item->u.def.param_count;
    inner.window_forced = s->window_ns != 0;
    if (sym->min_samples > 0) inner.min_samples = sym->min_samples;
    if (sym->panes > 0) inner.panes = sym->panes;
    return inner;
}

/* A body that was expanded already, and for which scope: what differs in nothing is shared. */
struct ck_expansion {
    struct ck_expansion *next;
    struct ck_scope scope;
    struct mp_t_expr *body;
    /* of the body as a tree: whoever walks it meets them all, shared or not */
    uint32_t nodes, levels;
};

/* LIMIT: expansions of one definition that are remembered. */
#define EXPANSIONS_MAX 16

static bool same_ways(const struct mp_t_walk *a, const struct mp_t_walk *b, uint32_t count)
{
    if (a == NULL || b == NULL) return a == b;
    for (uint32_t i = 0; i < count; i++) {
        if (!ck_walk_eq(&a[i], &b[i])) return false;
    }
    return true;
}

static bool same_scope(const struct ck_scope *a, const struct ck_scope *b)
{
    return a->place == b->place && a->layers == b->layers && a->window_ns == b->window_ns &&
           a->window_forced == b->window_forced && a->min_samples == b->min_samples &&
           a->panes == b->panes && a->published == b->published && a->lenient == b->lenient &&
           a->open_window == b->open_window && same_ways(a->of, b->of, 1) &&
           same_ways(a->at, b->at, a->keys->count);
}

static struct mp_t_expr *expanded_body(struct ck *ck, struct ck_sym *sym,
                                       const struct ck_scope *inner)
{
    struct mp_t_def *def = sym->u.def;
    bool shared = sym->item->u.def.param_count == 0;
    uint32_t n = 0, before = ck->nodes, deepest = ck->deepest;
    for (struct ck_expansion *e = sym->expansions; shared && e != NULL; e = e->next) {
        n++;
        if (!same_scope(&e->scope, inner)) continue;
        ck->nodes += e->nodes;
        if (ck->depth + e->levels > ck->deepest) ck->deepest = ck->depth + e->levels;
        return ck->deepest < CK_DEPTH_MAX ? e->body : ck_too_large(ck, sym->span);
    }
    ck->deepest = ck->depth;
    struct mp_t_expr *body = ck_check(ck, inner, sym->item->u.def.body, &def->type);
    body = ck_coerce(ck, body, def->type, "this definition");
    uint32_t levels = ck->deepest - ck->depth;
    if (deepest > ck->deepest) ck->deepest = deepest;
    if (!shared || n >= EXPANSIONS_MAX || ck_bad(body)) return body;
    struct ck_expansion *fresh = CK_NEW(ck, struct ck_expansion, 1);
    *fresh = (struct ck_expansion){sym->expansions, *inner, body, ck->nodes - before,
                                   levels};
    sym->expansions = fresh;
    return body;
}

static struct mp_t_expr *expand_keyed(struct ck *ck, const struct ck_scope *s, struct ck_sym *sym,
                                      const struct ck_bind *binds, struct mp_span span)
{
    struct mp_t_def *def = sym->u.def;
    if (s->bare) return not_for_records(ck, sym, span);
    const struct mp_t_walk *at = ways_to_keys(ck, s, def);
    if (at == NULL) return not_reached(ck, s, sym, span);
    struct ck_scope inner = scope_of_body(s, sym, binds);
    inner.keys = def->keys;
    inner.at = s->of != NULL ? NULL : at;
    inner.record = NULL;
    inner.member = NULL;
    inner.member_name = MP_STR("");
    inner.lenient = def->keys->broken;
    struct mp_t_expr *body = expanded_body(ck, sym, &inner);
    if (ck_bad(body)) return ck_poison(ck, span);
    def->used = true;
    struct mp_t_expr *e = ck_expr(ck, MP_TX_DEF, def->type, span);
    e->def = def;
    e->def_at = at;
    e->kid[0] = body;
    e->may_be_unknown = body->may_be_unknown;
    return e;
}

/* A definition without keys is what it stands for, in the place where it stands. */
static struct mp_t_expr *expand_plain(struct ck *ck, const struct ck_scope *s, struct ck_sym *sym,
                                      const struct ck_bind *binds, struct mp_span span)
{
    struct mp_t_def *def = sym->u.def;
    struct ck_scope inner = scope_of_body(s, sym, binds);
    struct mp_t_expr *body = ck_check(ck, &inner, sym->item->u.def.body, &def->type);
    body = ck_coerce(ck, body, def->type, "this definition");
    if (ck_bad(body)) return ck_poison(ck, span);
    def->used = true;
    struct mp_t_expr *e = CK_NEW(ck, struct mp_t_expr, 1);
    *e = *body;
    e->span = span;
    if (e->kind != MP_TX_CONST) e->text = ck_source(ck, span);
    return e;
}

struct mp_t_expr *ck_expand_def(struct ck *ck, const struct ck_scope *s, struct ck_sym *sym,
                                const struct mp_ast_expr *ast)
{
    if (ck_def_of(ck, sym) == NULL) return ck_poison(ck, ast->span);
    const struct ck_bind *binds = bind_arguments(ck, s, sym, ast);
    if (binds == NULL) return ck_poison(ck, ast->span);
    return sym->has_per ? expand_keyed(ck, s, sym, binds, ast->span)
                        : expand_plain(ck, s, sym, binds, ast->span);
}

/* ---- over ---- */

/* Is there something for a window to be about? */
static bool has_window(const struct mp_t_expr *e)
{
    if (e == NULL) return false;
    if (e->kind == MP_TX_INCIDENTS) return true;
    if (e->kind == MP_TX_AGG) return e->agg->kind != MP_AGG_LAST && e->agg->kind != MP_AGG_SEEN;
    return has_window(e->kid[0]) || has_window(e->kid[1]) || has_window(e->kid[2]);
}

struct mp_t_expr *ck_check_over(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast)
{
    struct ck_scope inner = *s;
    int64_t ns = ck_duration(ck, s, &ast->u.dur);
    if (!s->window_forced) inner.window_ns = ns > 0 ? ns : 1000000000;
    struct mp_t_expr *e = ck_check(ck, &inner, ast->kid[0], NULL);
    if (ck_bad(e) || ns == 0) return ck_poison(ck, ast->span);
    if (!has_window(e)) {
        struct mp_diag *d = ck_error(ck, "E0302", ast->span, "nothing in here looks at a window");
        ck_label(d, e->span, "no aggregate over records");
        return ck_poison(ck, ast->span);
    }
    struct mp_t_expr *over = CK_NEW(ck, struct mp_t_expr, 1);
    *over = *e;
    over->span = ast->span;
    over->text = ck_source(ck, ast->span);
    return over;
}

/* ---- of ---- */

static struct mp_t_expr *whose(struct ck *ck, const struct mp_ast_expr *x, mp_str what)
{
    struct mp_diag *d = ck_error(ck, "E0205", x->span, "whose `%.*s` is this?", MP_STR_ARG(what));
    ck_help(d, "say what the text names: `service \"web\"`");
    return NULL;
}

/* The entity that a text after `of` names: the one that has the attribute, or the one key of e. */
static const struct mp_t_entity *entity_of_left(struct ck *ck, const struct ck_scope *s,
                                                const struct mp_ast_expr *left, bool *many)
{
    const struct mp_t_entity *found = NULL;
    *many = false;
    struct ck_survey survey = {.record = NULL};
    ck_survey(ck, s->file, left, &survey);
    if (survey.keys != NULL && !survey.keys_differ && !survey.raw) {
        if (survey.keys->count == 1 && survey.keys->keys[0].type.base == MP_TYPE_ENTITY) {
            return survey.keys->keys[0].type.entity;
        }
        return NULL;
    }
    for (uint32_t i = 0; left->kind == MP_AST_NAME && i < ck->out->entities.len; i++) {
        const struct mp_t_entity *e = ck->out->entities.ptr[i];
        if (ck_attr(e, left->u.name.text) == NULL) continue;
        if (ck_find(ck, s->file, e->name, (struct mp_span){0}) == NULL) continue;
        *many |= found != NULL;
        found = e;
    }
    return *many ? NULL : found;
}

/* What stands after `of`, as an entity or a set of them; NULL with an error. */
static struct mp_t_expr *check_subject(struct ck *ck, const struct ck_scope *s,
                                       const struct mp_ast_expr *ast)
{
    const struct mp_ast_expr *left = ast->kid[0], *right = ast->kid[1];
    struct mp_t_expr *x = ck_check(ck, s, right, NULL);
    if (ck_bad(x)) return NULL;
    if (x->type.base == MP_TYPE_ENTITY && !x->type.is_map) return x;
    if (x->kind == MP_TX_WALK && x->walk->names != NULL) {
        return ck_coerce(ck, x, ck_entity_type(x->walk->names), "what stands after `of`");
    }
    mp_str word = ck_source(ck, left->span);
    bool many = false;
    const struct mp_t_entity *entity =
        ck_is_scalar(x->type) ? entity_of_left(ck, s, left, &many) : NULL;
    if (entity == NULL) {
        bool text = ck_is_scalar(x->type) && (ck_is_text(x->type) || x->type.base == MP_TYPE_IP);
        if (text && left->kind == MP_AST_NAME) {
            struct ck_sym *sym = ck_find(ck, s->file, left->u.name.text, (struct mp_span){0});
            if (sym == NULL && !many) {
                ck_unknown_name(ck, s->file, word, left->span, CK_ANY, NULL, 0);
                return NULL;
            }
        }
        if (text) return whose(ck, right, word);
        mp_str noun = ck_type_noun(ck, x->type);
        ck_error(ck, "E0302", right->span,
                 "`of` takes an entity, a set of them or a name, and this is %.*s",
                 MP_STR_ARG(noun));
        return NULL;
    }
    struct mp_t_expr *named = ck_try_coerce(ck, x, ck_entity_type(entity));
    if (named != NULL) return named;
    if (ck_type_eq(x->type,
                   ck_key_type(ck_entity_type(entity)))) { /* computed: a header names a service */
        return ck_walk_expr(ck, ck_walk_of_expr(ck, entity, x), right->span);
    }
    return ck_coerce(ck, x, ck_entity_type(entity), "what stands after `of`"), NULL;
}

static struct mp_t_expr *not_pooled(struct ck *ck, const struct mp_ast_expr *ast, const char *why)
{
    mp_str left = ck_source(ck, ast->kid[0]->span), right = ck_source(ck, ast->kid[1]->span);
    struct mp_diag *d = ck_error(ck, "E0304", ast->span, "`%.*s` cannot be pooled over `%.*s`",
                                 MP_STR_ARG(left), MP_STR_ARG(right));
    ck_label(d, ast->span, "%s", why);
    ck_help(d, "`max_of(%.*s, %.*s)`, or `count(m of %.*s where not %.*s < ...) == 0`",
            MP_STR_ARG(left),
            MP_STR_ARG(right), MP_STR_ARG(right), MP_STR_ARG(left));
    return ck_poison(ck, ast->span);
}

static struct mp_t_expr *of_set(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast,
                                struct mp_t_expr *x)
{
    const struct mp_ast_expr *left = ast->kid[0];
    if (left->kind == MP_AST_NAME && ck_attr(x->type.entity, left->u.name.text) != NULL &&
        ck_find(ck, s->file, left->u.name.text, (struct mp_span){0}) == NULL) {
        return not_pooled(ck, ast, "an attribute of each member");
    }
    if (s->of != NULL || x->kind != MP_TX_WALK) return not_pooled(ck, ast, "a set of sets");
    struct ck_scope inner = *s;
    mp_str text = ck_source(ck, ast->kid[1]->span);
    inner.keys = ck_keys_entity(ck, x->type.entity);
    inner.at = NULL;
    inner.of = x->walk;
    inner.of_text = ck_printf(ck, "%.*s", MP_STR_ARG(text)).ptr;
    inner.record = NULL;
    inner.member = NULL;
    struct mp_t_expr *e = ck_check(ck, &inner, left, NULL);
    if (ck_bad(e)) return ck_poison(ck, ast->span);
    const struct mp_t_expr *core = e;
    while (core->kind == MP_TX_DEF) core = core->kid[0];
    if (core->kind != MP_TX_AGG) return not_pooled(ck, ast,
                                                   "computed from more than one aggregate");
    if (core->agg->of_set == NULL || core->agg->kind == MP_AGG_SEEN ||
        core->agg->kind == MP_AGG_LAST) {
        return not_pooled(ck, ast, "no aggregate over a window");
    }
    return e;
}

static struct mp_t_expr *of_one(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast,
                                struct mp_t_expr *x)
{
    const struct mp_t_entity *entity = x->type.entity;
    const struct mp_t_walk *walk = ck_walk_of(ck, x);
    struct ck_scope inner = *s;
    inner.keys = ck_keys_entity(ck, entity);
    inner.at = walk;
    inner.record = NULL;
    inner.member = NULL;
    inner.of = NULL;
    inner.lenient = false;
    /* `error_rate of svc` in a rule per service is the plain read. */
    const struct mp_t_walk *plain = s->keys == NULL ? NULL : ck_reach(ck, s, entity, x->span,
                                                                      false);
    inner.published = plain == NULL || !ck_walk_eq(plain, walk);
    return ck_check(ck, &inner, ast->kid[0], NULL);
}

struct mp_t_expr *ck_check_of(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast)
{
    struct mp_t_expr *x = check_subject(ck, s, ast), *e;
    if (x == NULL) return ck_poison(ck, ast->span);
    const struct mp_ast_expr *left = ast->kid[0];
    if (ck_is_scalar(x->type) && left->kind == MP_AST_NAME) {
        const struct mp_t_attr *attr = ck_attr(x->type.entity, left->u.name.text);
        if (attr != NULL && ck_is_poison(attr->type)) return ck_poison(ck, ast->span);
        if (attr != NULL) return ck_walk_expr(ck, ck_hop(ck, ck_walk_of(ck, x), attr), ast->span);
    }
    if (s->bare) {
        ck_error(ck, "E0302", ast->span, "an aggregate cannot stand inside of another");
        return ck_poison(ck, ast->span);
    }
    e = x->type.is_set ? of_set(ck, s, ast, x) : of_one(ck, s, ast, x);
    if (ck_bad(e)) return ck_poison(ck, ast->span);
    struct mp_t_expr *of = CK_NEW(ck, struct mp_t_expr, 1);
    *of = *e;
    of->span = ast->span;
    of->text = ck_source(ck, ast->span);
    return of;
}
