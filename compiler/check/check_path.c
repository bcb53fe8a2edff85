/* SPDX-License-Identifier: Apache-2.0
 * Names and the paths that begin with them: what stands at hand, and what a package declares
 * (language.md 4.3, R14).
 */
#include "check/check_expr_priv.h"

/* LIMIT: parts of one path, `a.b["c"].d`. */
#define PARTS_MAX 8

/* ---- paths ---- */

struct part {
    mp_str name;
    const struct mp_ast_expr *index; /* NULL: a name */
    struct mp_span span;
};

struct path {
    const struct mp_ast_expr *base;
    struct part parts[PARTS_MAX];
    uint32_t count;
    struct mp_span span;
};

static bool flatten(struct ck *ck, const struct mp_ast_expr *ast, struct path *out)
{
    uint32_t n = 0;
    out->span = ast->span;
    const struct mp_ast_expr *at = ast;
    while ((at->kind == MP_AST_DOT || at->kind == MP_AST_INDEX) && (at == ast || !at->paren)) {
        n++;
        at = at->kid[0];
    }
    if (n > PARTS_MAX) {
        ck_error(ck, "E0302", ast->span, "a path of more than %d parts", PARTS_MAX);
        return false;
    }
    out->base = at;
    out->count = n;
    for (at = ast; n > 0; at = at->kid[0]) {
        struct part *p = &out->parts[--n];
        *p = at->kind == MP_AST_DOT ? (struct part){at->u.name.text, NULL, at->u.name.span}
                                    : (struct part){MP_STR(""), at->kid[1], at->kid[1]->span};
    }
    return true;
}

/* The text of an index; ptr NULL with E0308 where it is no string literal. */
static mp_str index_text(struct ck *ck, const struct part *part)
{
    const struct mp_ast_expr *e = part->index;
    if (e->kind == MP_AST_STRING && e->u.str.value.ptr != NULL) return e->u.str.value;
    if (e->kind == MP_AST_BAD) return (mp_str){NULL, 0};
    struct mp_diag *d = ck_error(ck, "E0308", part->span,
                                 "the entry of a map is named by a string literal");
    ck_note(d, "so it is known which headers, cookies and labels the policies read");
    return (mp_str){NULL, 0};
}

static struct mp_t_expr *id_part(struct ck *ck, struct mp_t_expr *of, mp_str name,
                                 struct mp_span span)
{
    static const char *const parts[] = {"trust_domain", "namespace", "account"};
    for (uint32_t i = 0; i < 3; i++) {
        if (!mp_str_eq(name, mp_str_of(parts[i]))) continue;
        struct mp_t_expr *e = ck_expr(ck, MP_TX_CALL, ck_type(MP_TYPE_STRING), span);
        e->op.call = MP_T_ID_PART;
        e->part = i;
        e->kid[0] = of;
        e->may_be_unknown = true;
        return e;
    }
    return NULL;
}

static struct mp_t_expr *has_no_part(struct ck *ck, const struct mp_t_expr *e,
                                     const struct part *part)
{
    mp_str noun = ck_type_noun(ck, e->type);
    struct mp_diag *d;
    if (part->index != NULL) {
        d = ck_error(ck, "E0302", part->span, "%.*s has no entries", MP_STR_ARG(noun));
    } else {
        d = ck_error(ck, "E0101", part->span, "%.*s has no `%.*s`", MP_STR_ARG(noun),
                     MP_STR_ARG(part->name));
    }
    ck_label(d, e->span, "%.*s", MP_STR_ARG(noun));
    if (e->type.is_set) ck_help(d, "`count(m of SET where ...)` looks at every member");
    return ck_poison(ck, part->span);
}

static struct mp_t_expr *follow_part(struct ck *ck, struct mp_t_expr *e, const struct part *part,
                                     struct mp_span span)
{
    if (e->type.is_map && part->index != NULL && e->kind == MP_TX_WALK) {
        mp_str entry = index_text(ck, part);
        if (entry.ptr == NULL) return ck_poison(ck, span);
        struct mp_t_walk *w = CK_NEW(ck, struct mp_t_walk, 1);
        *w = *e->walk;
        w->entry = entry;
        w->type.is_map = false;
        w->text = ck_source(ck, span);
        return ck_walk_expr(ck, w, span);
    }
    if (part->index != NULL || !ck_is_scalar(e->type)) return has_no_part(ck, e, part);
    if (e->type.base == MP_TYPE_IDENTITY) {
        struct mp_t_expr *id = id_part(ck, e, part->name, span);
        return id != NULL ? id : has_no_part(ck, e, part);
    }
    if (e->type.base != MP_TYPE_ENTITY) return has_no_part(ck, e, part);
    const struct mp_t_attr *attr = ck_attr(e->type.entity, part->name);
    if (attr == NULL) {
        ck_unknown_attr(ck, e->type.entity, part->name, part->span);
        return ck_poison(ck, span);
    }
    if (ck_is_poison(attr->type)) return ck_poison(ck, span);
    const struct mp_t_walk *walk = ck_walk_of(ck, e);
    return ck_walk_expr(ck, ck_hop(ck, walk, attr), span);
}

const struct mp_t_walk *ck_walk_of(struct ck *ck, struct mp_t_expr *e)
{
    MP_ASSERT(e->type.base == MP_TYPE_ENTITY);
    if (e->kind == MP_TX_WALK) return e->walk;
    if (e->kind == MP_TX_CONST) return ck_walk_const(ck, e->type.entity, e->text);
    return ck_walk_of_expr(ck, e->type.entity, e);
}

static struct mp_t_expr *follow_parts(struct ck *ck, struct mp_t_expr *e, const struct path *path,
                                      uint32_t from)
{
    for (uint32_t i = from; i < path->count && !ck_bad(e); i++) {
        struct mp_span span = mp_span_join(path->base->span, path->parts[i].span);
        if (i + 1 == path->count) span = path->span;
        e = follow_part(ck, e, &path->parts[i], span);
    }
    return e;
}

/* ---- the record at hand ---- */

static struct mp_t_expr *field_expr(struct ck *ck, const struct mp_t_field *field,
                                    const struct path *path,
                                    uint32_t from)
{
    if (ck_is_poison(field->type)) return ck_poison(ck, path->span);
    struct mp_span span = from == path->count ? path->span : path->base->span;
    struct mp_t_expr *e = ck_walk_expr(ck, ck_walk_field(ck, field, (mp_str){NULL, 0}), span);
    return follow_parts(ck, e, path, from);
}

static bool part_is(const struct path *path, uint32_t i, mp_str name)
{
    return i < path->count && path->parts[i].index == NULL && mp_str_eq(path->parts[i].name, name);
}

/* Does the path from part `from` begin with this key of a row? Answers how
 * many parts it is long. */
static bool begins_with_key(const struct path *path, uint32_t from, const struct mp_t_key *key,
                            uint32_t *len)
{
    uint32_t i = from;
    if (key->field != NULL) {
        if (!part_is(path, i++, key->field->name)) return false;
        if (key->entry.ptr != NULL) {
            if (i >= path->count || path->parts[i].index == NULL) return false;
            const struct mp_ast_expr *index = path->parts[i++].index;
            if (index->kind != MP_AST_STRING || !mp_str_eq(index->u.str.value,
                                                           key->entry)) return false;
        }
    }
    for (uint32_t h = 0; h < key->hop_count; h++) {
        if (!part_is(path, i++, key->hops[h]->name)) return false;
    }
    *len = i - from;
    return true;
}

static struct mp_t_expr *row_key(struct ck *ck, const struct ck_scope *s,
                                 const struct mp_t_signal *signal,
                                 const struct mp_t_entity *root, const struct path *path,
                                     bool *found)
{
    *found = false;
    if (s->keys == NULL || s->bare || s->member != NULL) return NULL;
    uint32_t best = 0, best_len = 0, len;
    for (uint32_t i = 0; i < s->keys->count; i++) {
        const struct mp_t_key *k = &s->keys->keys[i];
        if (signal != NULL ? k->signal != signal : (k->root != root || k->field != NULL)) continue;
        if (!begins_with_key(path, 0, k, &len) || (*found && len <= best_len)) continue;
        *found = true;
        best = i;
        best_len = len;
    }
    if (!*found) return NULL;
    struct mp_span span = best_len == path->count ? path->span : path->base->span;
    struct mp_t_expr *e = ck_walk_expr(ck, ck_walk_key_at(ck, s, best), span);
    return follow_parts(ck, e, path, best_len);
}

static struct mp_t_expr *no_record(struct ck *ck, const struct ck_scope *s,
                                   const struct mp_t_signal *signal,
                                   const struct path *path)
{
    if (s->lenient) return ck_poison(ck, path->span);
    mp_str word = ck_signal_record_word(signal), text = ck_source(ck, path->span);
    if (s->record != NULL) {
        struct mp_diag *d = ck_error(ck, "E0402", path->base->span,
                                     "`%.*s` is not the record at hand",
                                     MP_STR_ARG(word));
        ck_note(d, "this speaks of a record of `%.*s`", MP_STR_ARG(s->record->name));
        return ck_poison(ck, path->span);
    }
    if (s->place == CK_IN_ACTION) {
        struct mp_diag *d = ck_error(ck, "E0213", path->span, "`%.*s` is no key of the rule",
                                     MP_STR_ARG(text));
        ck_help(d, "add it to `per`, or act on what is");
    } else if (s->place == CK_IN_VERIFY || s->place == CK_IN_HARM || s->place == CK_IN_UNTIL) {
        struct mp_diag *d = ck_error(ck, "E0402", path->span, "there is no `%.*s` at hand here",
                                     MP_STR_ARG(word));
        ck_note(d, "a check looks at what many records say, `count(%.*s where ...) over 1m`",
                MP_STR_ARG(signal->name));
    } else {
        ck_error(ck, "E0205", path->span, "there is no `%.*s` at hand here", MP_STR_ARG(word));
    }
    return ck_poison(ck, path->span);
}

/* `request`, `request.path`, `request.client.ip`. */
static struct mp_t_expr *record_path(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_t_signal *signal, const struct path *path)
{
    bool found;
    struct mp_t_expr *key = row_key(ck, s, signal, NULL, path, &found);
    if (found) return key;
    if (path->count > 0 && path->parts[0].index == NULL) {
        for (uint32_t i = 0; i < signal->key_count; i++) {
            const struct mp_t_entity *e = signal->keys[i];
            if (!part_is(path, 0, e->name) && !part_is(path, 0, e->alias)) continue;
            if (ck_field(signal, path->parts[0].name) != NULL) break;
            const struct mp_t_walk *w = s->record == signal ? ck_walk_record_key(ck, signal, i)
                                                            : ck_reach(ck, s, e, path->span, true);
            if (w == NULL) return ck_poison(ck, path->span);
            return follow_parts(ck, ck_walk_expr(ck, w, path->span), path, 1);
        }
    }
    if (path->count == 0) {
        struct mp_t_expr *e = ck_expr(ck, MP_TX_CONST, ck_type(MP_TYPE_EVENT), path->span);
        e->signal = signal;
        return e;
    }
    if (path->parts[0].index != NULL) {
        ck_error(ck, "E0302", path->parts[0].span, "a record has fields, `%.*s.name`",
                 MP_STR_ARG(ck_signal_record_word(signal)));
        return ck_poison(ck, path->span);
    }
    const struct mp_t_field *field = ck_field(signal, path->parts[0].name);
    if (field == NULL) {
        ck_unknown_field(ck, signal, path->parts[0].name, path->parts[0].span);
        return ck_poison(ck, path->span);
    }
    if (s->record != signal) return no_record(ck, s, signal, path);
    return field_expr(ck, field, path, 1);
}

/* ---- names ---- */

static struct mp_t_expr *wanted_word(struct ck *ck, mp_str name, const struct mp_t_type *want,
                                     struct mp_span span)
{
    if (want == NULL || !ck_is_scalar(*want)) return NULL;
    if (want->base == MP_TYPE_CHANNEL) return ck_const_text(ck, *want, name, span);
    if (want->base != MP_TYPE_ENUM && want->base != MP_TYPE_HOOK) return NULL;
    struct mp_t_expr *word = ck_const_text(ck, ck_type(MP_TYPE_STRING), name, span);
    return ck_try_coerce(ck, word, *want);
}

static struct mp_t_expr *not_a_value(struct ck *ck, const struct ck_sym *sym, struct mp_span span)
{
    static const char *const why[] = {
        [CK_LIST] = "a list: it stands on the right of `in`, `like`, `contains` and their kin",
        [CK_FEED] = "a feed: it stands on the right of `in`, `like`, `contains` and their kin",
        [CK_CALENDAR] = "a calendar: it stands after `during`",
        [CK_RULE] = "a rule, and no value",
    };
    ck_error(ck, "E0302", span, "`%.*s` is %s", MP_STR_ARG(sym->name), why[sym->kind]);
    return ck_poison(ck, span);
}

static struct mp_t_expr *many_records(struct ck *ck, const struct mp_t_signal *signal,
                                      const struct path *path)
{
    mp_str text = ck_source(ck, path->span);
    struct mp_diag *d = ck_error(ck, "E0303", path->span,
                                 "`%.*s` has many records, and this is about one value",
                                 MP_STR_ARG(signal->name));
    if (path->count == 0) {
        ck_help(d, "`count(%.*s) over 1m` counts them", MP_STR_ARG(text));
    } else if (signal->alias.len > 0) {
        ck_help(d, "`max(%.*s) over 1m`, or `%.*s` for the record at hand", MP_STR_ARG(text),
                MP_STR_ARG(signal->alias));
    } else {
        ck_help(d, "`max(%.*s) over 1m`", MP_STR_ARG(text));
    }
    return ck_poison(ck, path->span);
}

static struct mp_t_expr *signal_path(struct ck *ck, const struct ck_scope *s, struct ck_sym *sym,
                                     const struct path *path)
{
    const struct mp_t_signal *signal = sym->u.signal;
    if (signal->kind != MP_SIGNAL_EVENT && path->count == 0) {
        if (s->bare && s->record == signal) return field_expr(ck, &signal->fields[0], path, 0);
        return ck_gauge(ck, s, signal, path->span, false);
    }
    bool own = s->bare && s->record == signal;
    if (own || sym->is_alias) return record_path(ck, s, signal, path);
    bool found; /* `logins.user` is a key of a rule per logins.user */
    struct mp_t_expr *key = row_key(ck, s, signal, NULL, path, &found);
    if (found) return key;
    return many_records(ck, signal, path);
}

static struct mp_t_expr *entity_path(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_t_entity *entity,
                                     const struct path *path)
{
    bool found;
    struct mp_t_expr *e = row_key(ck, s, NULL, entity, path, &found);
    if (found) return e;
    struct mp_span span = path->count == 0 ? path->span : path->base->span;
    const struct mp_t_walk *walk = ck_reach(ck, s, entity, span, true);
    if (walk == NULL) return ck_poison(ck, path->span);
    return follow_parts(ck, ck_walk_expr(ck, walk, span), path, 0);
}

static struct mp_t_expr *only_constants(struct ck *ck, const struct ck_sym *sym,
                                        struct mp_span span)
{
    struct mp_diag *d = ck_error(ck, "E0302", span, "`%.*s` is no constant", MP_STR_ARG(sym->name));
    ck_label(d, sym->span, "declared here");
    return ck_poison(ck, span);
}

static struct mp_t_expr *sym_path(struct ck *ck, const struct ck_scope *s, struct ck_sym *sym,
                                  const struct path *path)
{
    struct mp_t_expr *e;
    const struct mp_t_param *param;
    if (s->place == CK_IN_CONSTANT && sym->kind != CK_LET && sym->kind != CK_LIST &&
        sym->kind != CK_FEED) {
        return only_constants(ck, sym, path->span);
    }
    switch (sym->kind) {
    case CK_ENTITY: return entity_path(ck, s, sym->u.entity, path);
    case CK_SIGNAL: return signal_path(ck, s, sym, path);
    case CK_LET: {
        struct mp_t_expr *copy = CK_NEW(ck, struct mp_t_expr, 1);
        *copy = *ck_let_of(ck, sym);
        copy->span = path->base->span;
        return follow_parts(ck, copy, path, 0);
    }
    case CK_PARAM:
        param = ck_param_of(ck, sym);
        if (param == NULL) return ck_poison(ck, path->span);
        e = ck_expr(ck, MP_TX_PARAM, param->type, path->base->span);
        e->param = param;
        return follow_parts(ck, e, path, 0);
    case CK_DEF: return follow_parts(ck, ck_expand_def(ck, s, sym, path->base), path, 0);
    default: return not_a_value(ck, sym, path->span);
    }
}

const struct ck_bind *ck_find_bind(const struct ck_scope *s, mp_str name)
{
    for (uint32_t i = 0; i < s->bind_count; i++) {
        if (mp_str_eq(s->binds[i].name, name)) return &s->binds[i];
    }
    return NULL;
}

/* A name found before the package's: a parameter, the member at hand, a bare field. */
static struct mp_t_expr *local_path(struct ck *ck, const struct ck_scope *s, mp_str name,
                                    const struct path *path, bool *found)
{
    *found = true;
    const struct ck_bind *bind = ck_find_bind(s, name);
    if (bind != NULL) {
        ck->nodes += bind->nodes; /* shared here, but met again by whoever walks the tree */
        return follow_parts(ck, bind->value, path, 0);
    }
    if (s->member != NULL) {
        const struct mp_t_walk *member = ck_walk_member(ck, s->member);
        if (s->member_name.len > 0 && mp_str_eq(name, s->member_name)) {
            return follow_parts(ck, ck_walk_expr(ck, member, path->base->span), path, 0);
        }
        const struct mp_t_attr *attr = ck_attr(s->member, name);
        if (attr != NULL && ck_is_poison(attr->type)) return ck_poison(ck, path->span);
        if (attr != NULL) {
            return follow_parts(ck, ck_walk_expr(ck, ck_hop(ck, member, attr), path->base->span),
                                path, 0);
        }
    }
    if (s->bare && s->record != NULL) {
        const struct mp_t_field *field = ck_field(s->record, name);
        if (field != NULL) return field_expr(ck, field, path, 0);
    }
    *found = false;
    return NULL;
}

static struct mp_t_expr *unknown_name(struct ck *ck, const struct ck_scope *s, mp_str name,
                                      const struct path *path, const struct mp_t_type *want)
{
    bool closed = want != NULL && (want->base == MP_TYPE_ENUM || want->base == MP_TYPE_HOOK);
    if (closed && path->count == 0) return ck_not_a_member(ck, path->span, name, *want);
    mp_str *more = NULL;
    uint32_t n = 0;
    if (s->bare && s->record != NULL) {
        more = CK_NEW(ck, mp_str, s->record->field_count);
        for (uint32_t i = 0; i < s->record->field_count; i++) more[n++] = s->record->fields[i].name;
    } else if (s->member != NULL) {
        more = CK_NEW(ck, mp_str, s->member->attr_count);
        for (uint32_t i = 0; i < s->member->attr_count; i++) more[n++] = s->member->attrs[i].name;
    }
    uint32_t kinds = CK_ANY & ~(1u << CK_RULE | 1u << CK_CALENDAR);
    ck_unknown_name(ck, s->file, name, path->base->span, kinds, more, n);
    return ck_poison(ck, path->span);
}

static struct mp_t_expr *name_path(struct ck *ck, const struct ck_scope *s, const struct path *path,
                                   const struct mp_t_type *want)
{
    mp_str name = path->base->u.name.text;
    bool found;
    struct mp_t_expr *local = local_path(ck, s, name, path, &found);
    if (found) return local;
    if (path->count == 0) {
        struct mp_t_expr *word = wanted_word(ck, name, want, path->span);
        if (word != NULL) return word;
    }
    struct ck_sym *sym = ck_find(ck, s->file, name, path->base->span);
    if (sym != NULL) return sym_path(ck, s, sym, path);
    const struct ck_package *package = ck_find_alias(s->file, name);
    if (package != NULL && path->count > 0 && path->parts[0].index == NULL) {
        sym = ck_find_in(ck, package, path->parts[0].name);
        if (sym == NULL) {
            ck_error(ck, "E0101", path->parts[0].span, "`%.*s` has nothing called `%.*s`",
                     MP_STR_ARG(package->name), MP_STR_ARG(path->parts[0].name));
            return ck_poison(ck, path->span);
        }
        struct mp_ast_expr base = *path->base;
        base.span = mp_span_join(path->base->span, path->parts[0].span);
        struct path rest = {.base = &base, .count = path->count - 1, .span = path->span};
        for (uint32_t i = 0; i < rest.count; i++) rest.parts[i] = path->parts[i + 1];
        return sym_path(ck, s, sym, &rest);
    }
    if (mp_str_eq(name, MP_STR("identity"))) { /* the type is an entity too (language.md 4.1) */
        const struct mp_t_walk *w = ck_reach(ck, s, NULL, path->base->span, true);
        if (w == NULL) return ck_poison(ck, path->span);
        return follow_parts(ck, ck_walk_expr(ck, w, path->base->span), path, 0);
    }
    return unknown_name(ck, s, name, path, want);
}

struct mp_t_expr *ck_check_path(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast,
                                    const struct mp_t_type *want)
{
    struct path path;
    if (!flatten(ck, ast, &path)) return ck_poison(ck, ast->span);
    if (path.base->kind == MP_AST_NAME) return name_path(ck, s, &path, want);
    return follow_parts(ck, ck_check(ck, s, path.base, NULL), &path, 0);
}
