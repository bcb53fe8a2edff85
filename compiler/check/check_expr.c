/* SPDX-License-Identifier: Apache-2.0
 * Expressions: literals, operators, names and paths. Comparisons are in check_rel.c, aggregates in
 * check_agg.c, functions in check_call.c, definitions, `of` and `over` in check_def.c.
 */
#include "check/check_expr_priv.h"

/* LIMIT: parts of one path, `a.b["c"].d`. */
#define PARTS_MAX 8

struct ck_scope ck_scope_of(const struct ck_file *file, enum ck_place place,
                            const struct mp_t_keys *keys,
                            const struct mp_t_signal *record, uint32_t layers)
{
    return (struct ck_scope){.file = file,
                             .place = place,
                             .keys = keys,
                             .record = record,
                             .lenient = keys != NULL && keys->broken,
                             .layers = layers != 0 ? layers : MP_LAYER_SERVICE};
}

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

/* Does the path from part `from` begin with this key of a row? Answers how many parts it is long. */
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

static const struct ck_bind *find_bind(const struct ck_scope *s, mp_str name)
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
    const struct ck_bind *bind = find_bind(s, name);
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

static struct mp_t_expr *check_path(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast,
                                    const struct mp_t_type *want)
{
    struct path path;
    if (!flatten(ck, ast, &path)) return ck_poison(ck, ast->span);
    if (path.base->kind == MP_AST_NAME) return name_path(ck, s, &path, want);
    return follow_parts(ck, ck_check(ck, s, path.base, NULL), &path, 0);
}

/* ---- literals ---- */

static struct mp_t_expr *check_address(struct ck *ck, const struct mp_ast_expr *ast)
{
    bool range = ast->kind == MP_AST_CIDR;
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CONST, ck_type(range ? MP_TYPE_CIDR : MP_TYPE_IP),
                                  ast->span);
    memcpy(&e->value, ast->u.addr.bytes, sizeof e->value);
    e->bits = ast->u.addr.bits;
    e->text = ast->u.addr.text;
    return e;
}

static struct mp_t_expr *check_named(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_ast_expr *ast)
{
    const struct mp_ast_name *name = &ast->u.named.name;
    struct ck_sym *sym = ck_need(ck, s->file, name->text, name->span, 1u << CK_ENTITY, "an entity");
    if (sym == NULL) return ck_poison(ck, ast->span);
    struct mp_t_expr *text =
        ck_const_text(ck, ck_type(MP_TYPE_STRING), ast->u.named.text.text, ast->u.named.text.span);
    struct mp_t_expr *e = ck_coerce(ck, text, ck_entity_type(sym->u.entity), "this");
    if (!ck_bad(e)) e->span = ast->span;
    return e;
}

static struct mp_t_expr *check_hole(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast)
{
    if (ast->kind == MP_AST_NAME) {
        struct ck_sym *sym = find_bind(s, ast->u.name.text) != NULL
                                 ? NULL
                                 : ck_find(ck, s->file, ast->u.name.text, (struct mp_span){0});
        bool named = sym != NULL && (sym->kind == CK_LIST || sym->kind == CK_FEED);
        if (named) return ck_const_text(ck, ck_type(MP_TYPE_STRING), sym->name, ast->span);
    }
    struct mp_t_expr *e = ck_check(ck, s, ast, NULL);
    if (ck_bad(e)) return e;
    if (ck_is_poison(ck_key_type(e->type))) return ck_poison(ck, ast->span); /* a broken entity */
    if (ck_is_scalar(e->type) && ck_rep(e->type) != MP_REP_N) return e;
    mp_str noun = ck_type_noun(ck, e->type);
    ck_error(ck, "E0302", ast->span, "a message shows single values, and this is %.*s",
             MP_STR_ARG(noun));
    return ck_poison(ck, ast->span);
}

struct mp_t_expr *ck_check_text(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast)
{
    MP_ASSERT(ast->kind == MP_AST_STRING);
    struct mp_t_type type = ck_type(MP_TYPE_STRING);
    if (ast->u.str.piece_count == 0) return ck_const_text(ck, type, ast->u.str.value, ast->span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_TEXT, type, ast->span);
    e->text = ck_source(ck, ast->span);
    e->piece_count = ast->u.str.piece_count;
    e->pieces = CK_NEW(ck, struct mp_t_piece, e->piece_count);
    bool bad = false;
    for (uint32_t i = 0; i < e->piece_count; i++) {
        const struct mp_ast_piece *piece = &ast->u.str.pieces[i];
        if (piece->hole == NULL) {
            e->pieces[i].literal = piece->text;
            continue;
        }
        struct mp_t_expr *hole = check_hole(ck, s, piece->hole);
        bad |= ck_bad(hole);
        e->pieces[i].hole = hole;
    }
    return bad ? ck_poison(ck, ast->span) : e;
}

static struct mp_t_expr *check_string(struct ck *ck, const struct ck_scope *s,
                                      const struct mp_ast_expr *ast)
{
    if (ast->u.str.piece_count == 0 || s->place == CK_IN_ACTION) return ck_check_text(ck, s, ast);
    struct mp_diag *d = ck_error(ck, "E0302", ast->span, "only the texts of actions have holes");
    ck_help(d, "a brace is written `\\{`; single quotes take everything as it stands");
    return ck_poison(ck, ast->span);
}

/* ---- operators ---- */

static struct mp_t_expr *beside(struct ck *ck, const struct mp_ast_expr *ast,
                                const struct mp_ast_expr *inner)
{
    bool left = inner == ast->kid[0];
    mp_str outer_word = ast->kind == MP_AST_AND ? MP_STR("and") : MP_STR("or");
    mp_str inner_word = ast->kind == MP_AST_AND ? MP_STR("or") : MP_STR("and");
    mp_str a = ck_source(ck, left ? inner->kid[0]->span : ast->kid[0]->span);
    mp_str b = ck_source(ck, left ? inner->kid[1]->span : inner->kid[0]->span);
    mp_str c = ck_source(ck, left ? ast->kid[1]->span : inner->kid[1]->span);
    struct mp_diag *d = ck_error(ck, "E0107", ast->span, "`and` and `or` side by side");
    mp_str first = left ? inner_word : outer_word, second = left ? outer_word : inner_word;
    ck_help(d, "`(%.*s %.*s %.*s) %.*s %.*s`, or `%.*s %.*s (%.*s %.*s %.*s)`", MP_STR_ARG(a),
            MP_STR_ARG(first), MP_STR_ARG(b), MP_STR_ARG(second), MP_STR_ARG(c), MP_STR_ARG(a),
            MP_STR_ARG(first), MP_STR_ARG(b), MP_STR_ARG(second), MP_STR_ARG(c));
    return ck_poison(ck, ast->span);
}

static bool is_other_junction(const struct mp_ast_expr *ast, const struct mp_ast_expr *kid)
{
    enum mp_ast_kind other = ast->kind == MP_AST_AND ? MP_AST_OR : MP_AST_AND;
    return kid->kind == other && !kid->paren;
}

static struct mp_t_expr *check_junction(struct ck *ck, const struct ck_scope *s,
                                        const struct mp_ast_expr *ast)
{
    bool mixed = false;
    for (int i = 0; i < 2 && !mixed; i++) {
        mixed = is_other_junction(ast, ast->kid[i]);
        if (mixed) beside(ck, ast, ast->kid[i]);
    }
    struct mp_t_expr *a = ck_check_cond(ck, s, ast->kid[0]);
    struct mp_t_expr *b = ck_check_cond(ck, s, ast->kid[1]);
    if (mixed || ck_bad(a) || ck_bad(b)) return ck_poison(ck, ast->span);
    enum mp_t_kind kind = ast->kind == MP_AST_AND ? MP_TX_AND : MP_TX_OR;
    struct mp_t_expr *e = ck_expr(ck, kind, ck_type(MP_TYPE_BOOL), ast->span);
    e->kid[0] = a;
    e->kid[1] = b;
    e->may_be_unknown = a->may_be_unknown || b->may_be_unknown;
    return e;
}

struct mp_t_expr *ck_not(struct ck *ck, struct mp_t_expr *a, struct mp_span span)
{
    if (ck_bad(a)) return ck_poison(ck, span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_NOT, ck_type(MP_TYPE_BOOL), span);
    e->kid[0] = a;
    e->may_be_unknown = a->may_be_unknown;
    return e;
}

static struct mp_t_expr *check_arith(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_ast_expr *ast)
{
    static const enum mp_t_arith ops[] = {MP_T_ADD, MP_T_SUB, MP_T_MUL, MP_T_DIV};
    struct mp_t_expr *a = ck_check(ck, s, ast->kid[0], NULL);
    struct mp_t_expr *b = ck_check(ck, s, ast->kid[1], NULL);
    return ck_arith(ck, ops[ast->kind - MP_AST_ADD], a, b, ast->span);
}

static struct mp_t_expr *check_times(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_ast_expr *ast)
{
    struct mp_t_expr *factor = ck_const_num(ck, MP_TYPE_NUMBER, ast->u.num.f, ast->span);
    return ck_arith(ck, MP_T_MUL, factor, ck_check(ck, s, ast->kid[0], NULL), ast->span);
}

static struct mp_t_expr *check_default(struct ck *ck, const struct ck_scope *s,
                                       const struct mp_ast_expr *ast,
                                       const struct mp_t_type *want)
{
    struct mp_t_expr *a = ck_check(ck, s, ast->kid[0], want);
    const struct mp_t_type *hint = ck_bad(a) ? want : &a->type;
    struct mp_t_expr *b = ck_check(ck, s, ast->kid[1], hint);
    if (!ck_same_side(ck, &a, &b, ast->span, "replaced by")) return ck_poison(ck, ast->span);
    if (ck_bad(a) || ck_bad(b)) return ck_poison(ck, ast->span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_DEFAULT, a->type, ast->span);
    e->kid[0] = a;
    e->kid[1] = b;
    e->may_be_unknown = b->may_be_unknown;
    return e;
}

static struct mp_t_expr *check_nested_held(struct ck *ck, const struct ck_scope *s,
                                           const struct mp_ast_expr *ast)
{
    struct mp_t_expr *cond = ck_check_cond(ck, s, ast->kid[0]);
    int64_t ns = ck_duration(ck, s, &ast->u.dur);
    if (ck_bad(cond) || ns == 0) return ck_poison(ck, ast->span);
    ck_refuse_seen(ck, cond, "it is true for an instant, so it cannot hold `for` a time");
    struct mp_t_expr *e = ck_expr(ck, MP_TX_HELD, ck_type(MP_TYPE_BOOL), ast->span);
    e->kid[0] = cond;
    e->hold_ns = ns;
    e->may_be_unknown = cond->may_be_unknown;
    return e;
}

void ck_refuse_seen(struct ck *ck, const struct mp_t_expr *cond, const char *why)
{
    struct ck_facts facts = {.seen = NULL};
    ck_gather_facts(cond, &facts);
    if (facts.seen == NULL) return;
    struct mp_diag *d = ck_error(ck, "E0408", facts.seen->span, "`seen` is no state");
    ck_note(d, "%s", why);
}

static struct mp_t_expr *status_class(struct ck *ck, const struct mp_ast_expr *ast)
{
    struct mp_diag *d = ck_error(ck, "E0301", ast->span,
                                 "`%.*s` is a set of statuses, and no value",
                                 MP_STR_ARG(ast->u.num.text));
    ck_help(d, "`in %.*s` asks whether a status is one of them", MP_STR_ARG(ast->u.num.text));
    return ck_poison(ck, ast->span);
}

/* ---- the switch ---- */

static struct mp_t_expr *check_kind(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast,
                                    const struct mp_t_type *want)
{
    struct mp_span span = ast->span;
    switch (ast->kind) {
    case MP_AST_INT: return ck_const_int(ck, MP_TYPE_INT, ast->u.num.i, span);
    case MP_AST_FLOAT: return ck_const_num(ck, MP_TYPE_NUMBER, ast->u.num.f, span);
    case MP_AST_PERCENT: return ck_const_num(ck, MP_TYPE_PERCENT, ast->u.num.f, span);
    case MP_AST_DURATION: return ck_const_int(ck, MP_TYPE_DURATION, ast->u.num.i, span);
    case MP_AST_RATE: return ck_const_num(ck, MP_TYPE_RATE, ast->u.num.f, span);
    case MP_AST_SIZE: return ck_const_int(ck, MP_TYPE_SIZE, ast->u.num.i, span);
    case MP_AST_BANDWIDTH: return ck_const_num(ck, MP_TYPE_BANDWIDTH, ast->u.num.f, span);
    case MP_AST_BOOL: return ck_const_bool(ck, ast->u.num.i != 0, span);
    case MP_AST_STATUS: return status_class(ck, ast);
    case MP_AST_IP:
    case MP_AST_CIDR: return check_address(ck, ast);
    case MP_AST_IDENTITY: return ck_const_text(ck, ck_type(MP_TYPE_IDENTITY), ast->u.num.text,
                                               span);
    case MP_AST_STRING: return check_string(ck, s, ast);
    case MP_AST_NAME:
    case MP_AST_DOT:
    case MP_AST_INDEX: return check_path(ck, s, ast, want);
    case MP_AST_NAMED: return check_named(ck, s, ast);
    case MP_AST_CALL: return ck_call(ck, s, ast, want);
    case MP_AST_SET:
        ck_error(ck, "E0302", span,
                 "a list stands on the right of `in`, `like`, `contains` and their kin");
        return ck_poison(ck, span);
    case MP_AST_OVER: return ck_check_over(ck, s, ast);
    case MP_AST_OF: return ck_check_of(ck, s, ast);
    case MP_AST_DEFAULT: return check_default(ck, s, ast, want);
    case MP_AST_NEG: return ck_negate(ck, ck_check(ck, s, ast->kid[0], NULL), span);
    case MP_AST_TIMES: return check_times(ck, s, ast);
    case MP_AST_ADD:
    case MP_AST_SUB:
    case MP_AST_MUL:
    case MP_AST_DIV: return check_arith(ck, s, ast);
    case MP_AST_CMP: return ck_check_cmp(ck, s, ast);
    case MP_AST_IN: return ck_check_in(ck, s, ast);
    case MP_AST_IS: return ck_check_is(ck, s, ast);
    case MP_AST_LIKE:
    case MP_AST_MATCHES:
    case MP_AST_CONTAINS:
    case MP_AST_STARTS:
    case MP_AST_ENDS: return ck_check_match(ck, s, ast);
    case MP_AST_NOT: return ck_not(ck, ck_check_cond(ck, s, ast->kid[0]), span);
    case MP_AST_AND:
    case MP_AST_OR: return check_junction(ck, s, ast);
    case MP_AST_HELD: return check_nested_held(ck, s, ast);
    case MP_AST_BAD:
    case MP_AST_KIND_COUNT: break;
    }
    return ck_poison(ck, span);
}

struct mp_t_expr *ck_too_large(struct ck *ck, struct mp_span span)
{
    if (!ck->too_large) {
        ck_error(ck, "E0703", span, "with its definitions this is larger than %d operations, or "
                 "nested deeper than %d levels", CK_NODES_MAX, CK_DEPTH_MAX);
    }
    ck->too_large = true;
    return ck_poison(ck, span);
}

struct mp_t_expr *ck_check(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *ast,
                           const struct mp_t_type *want)
{
    if (ast == NULL) return ck_poison(ck, (struct mp_span){0});
    if (ck->depth == 0) {
        ck->nodes = ck->deepest = 0;
        ck->too_large = false;
    }
    if (ck->nodes > CK_NODES_MAX || ck->depth >= CK_DEPTH_MAX) return ck_too_large(ck, ast->span);
    ck->depth++;
    if (ck->depth > ck->deepest) ck->deepest = ck->depth;
    struct mp_t_expr *e = check_kind(ck, s, ast, want);
    ck->depth--;
    if (e->text.ptr == NULL) e->text = ck_source(ck, ast->span);
    return e;
}

struct mp_t_expr *ck_check_as(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast,
                              struct mp_t_type want, const char *what)
{
    return ck_coerce(ck, ck_check(ck, s, ast, &want), want, what);
}

struct mp_t_expr *ck_check_cond(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast)
{
    struct mp_t_type want = ck_type(MP_TYPE_BOOL);
    struct mp_t_expr *e = ck_check(ck, s, ast, &want);
    if (ck_bad(e) || ck_type_eq(e->type, want)) return e;
    mp_str noun = ck_type_noun(ck, e->type);
    struct mp_diag *d = ck_error(ck, "E0302", e->span,
                                 "a condition is true or false, and this is %.*s",
                                 MP_STR_ARG(noun));
    ck_label(d, e->span, "%.*s", MP_STR_ARG(noun));
    return ck_poison(ck, e->span);
}

struct mp_t_held ck_check_held(struct ck *ck, const struct ck_scope *s,
                               const struct mp_ast_held *ast)
{
    struct mp_t_held held = {.span = ast->span};
    held.cond = ck_check_cond(ck, s, ast->cond);
    held.hold_ns = ck_duration(ck, s, &ast->hold);
    if (held.hold_ns > 0 && !ck_bad(held.cond)) {
        ck_refuse_seen(ck, held.cond, "it is true for an instant, so it cannot hold `for` a time");
    }
    return held;
}
