/* SPDX-License-Identifier: Apache-2.0
 * Values that are known before anything runs: let, param, list, and times.
 */
#include "check/check_priv.h"

/* ---- constants ---- */

static struct mp_t_expr *not_constant(struct ck *ck, const struct mp_ast_expr *ast,
                                      const char *what)
{
    ck_error(ck, "E0302", ast->span,
             "%s is a constant: literals, `let` names and arithmetic on them",
             what);
    return ck_poison(ck, ast->span);
}

static struct mp_t_expr *constant_set(struct ck *ck, const struct ck_file *file,
                                      const struct mp_ast_expr *ast, struct mp_t_type want,
                                      const char *what);

/* A constant of whatever type it has; `want` only says what bare names may be. */
static struct mp_t_expr *any_constant(struct ck *ck, const struct ck_file *file,
                                      const struct mp_ast_expr *ast, const struct mp_t_type *want,
                                      const char *what)
{
    struct ck_scope s = ck_scope_of(file, CK_IN_CONSTANT, NULL, NULL, 0);
    struct mp_t_expr *e = ck_check(ck, &s, ast, want);
    if (ck_bad(e) || e->kind == MP_TX_CONST) return e;
    return not_constant(ck, ast, what);
}

struct mp_t_expr *ck_constant(struct ck *ck, const struct ck_file *file,
                              const struct mp_ast_expr *ast,
                              struct mp_t_type want, const char *what)
{
    if (want.is_set && ast->kind == MP_AST_SET) return constant_set(ck, file, ast, want, what);
    struct mp_t_expr *e = any_constant(ck, file, ast, &want, what);
    return ck_coerce(ck, e, want, what);
}

/* A set in place becomes one value; its members live as long as the program is compiled. */
static struct mp_t_expr *constant_set(struct ck *ck, const struct ck_file *file,
                                      const struct mp_ast_expr *ast, struct mp_t_type want,
                                      const char *what)
{
    struct mp_t_type member = want;
    member.is_set = false;
    uint32_t n = ast->u.set.count;
    struct mp_value *values = CK_NEW(ck, struct mp_value, n);
    for (uint32_t i = 0; i < n; i++) {
        struct mp_t_expr *e = ck_constant(ck, file, ast->u.set.items[i], member, what);
        if (ck_bad(e)) return ck_poison(ck, ast->span);
        values[i] = e->value;
    }
    struct mp_t_expr *set = ck_expr(ck, MP_TX_CONST, want, ast->span);
    set->value = (struct mp_value){{(uint64_t)(uintptr_t)values, n}};
    return set;
}

int64_t ck_duration(struct ck *ck, const struct ck_scope *s, const struct mp_ast_dur *ast)
{
    if (ast->span.file == 0) return 0;
    int64_t ns = ast->ns;
    if (ast->name.ptr != NULL) {
        struct mp_ast_expr name = {.kind = MP_AST_NAME, .depth = 1, .span = ast->span};
        name.u.name = (struct mp_ast_name){ast->name, ast->span};
        struct ck_scope constant = ck_scope_of(s->file, CK_IN_CONSTANT, NULL, NULL, 0);
        constant.binds = s->binds;
        constant.bind_count = s->bind_count;
        struct mp_t_expr *e = ck_check(ck, &constant, &name, NULL);
        if (ck_bad(e)) return 0;
        if (e->kind != MP_TX_CONST || e->type.base != MP_TYPE_DURATION) {
            struct mp_diag *d = ck_error(ck, "E0302", ast->span, "`%.*s` is no fixed duration",
                                         MP_STR_ARG(ast->name));
            ck_help(d, "write it out, or give it a name with `let %.*s = 30s`",
                    MP_STR_ARG(ast->name));
            return 0;
        }
        ns = mp_value_as_int(e->value);
    }
    if (ns > 0) return ck_wait(ck, ns, ast->span);
    ck_error(ck, "E0302", ast->span, "a time of nothing");
    return 0;
}

int64_t ck_wait(struct ck *ck, int64_t ns, struct mp_span span)
{
    if (ns <= MP_WAIT_MAX_NS) return ns;
    ck_error(ck, "E0306", span, "a time of more than ten years");
    return 0;
}

/* ---- let ---- */

static bool enter(struct ck *ck, struct ck_sym *sym)
{
    if (sym->state == CK_FRESH) {
        sym->state = CK_BUSY;
        return true;
    }
    if (sym->state == CK_BUSY && !sym->broken) {
        ck_error(ck, "E0104", sym->span, "`%.*s` uses itself", MP_STR_ARG(sym->name));
        sym->broken = true;
    }
    return false;
}

struct mp_t_expr *ck_let_of(struct ck *ck, struct ck_sym *sym)
{
    if (!enter(ck, sym)) {
        return sym->u.let != NULL ? sym->u.let : ck_poison(ck, sym->span);
    }
    const struct mp_ast_item *item = sym->item;
    struct mp_t_expr *e;
    if (item->u.let.type.count > 0) {
        struct mp_t_type type = ck_type_of(ck, sym->file, &item->u.let.type);
        e = ck_is_poison(type) ? ck_poison(ck, sym->span)
                               : ck_constant(ck, sym->file, item->u.let.value, type, "a `let`");
    } else {
        e = any_constant(ck, sym->file, item->u.let.value, NULL, "a `let`");
    }
    sym->u.let = sym->broken ? ck_poison(ck, sym->span) : e;
    sym->state = CK_DONE;
    return sym->u.let;
}

/* ---- param ---- */

static bool may_be_param(struct mp_t_type t)
{
    return ck_is_scalar(t) && (ck_is_number(t) || ck_is_text(t) || t.base == MP_TYPE_BOOL ||
                               t.base == MP_TYPE_IP || t.base == MP_TYPE_ENUM);
}

static void check_param_range(struct ck *ck, struct ck_sym *sym, struct mp_t_param *p)
{
    const struct mp_ast_item *item = sym->item;
    if (item->u.param.low == NULL) return;
    const struct mp_ast_expr *high =
        item->u.param.high != NULL ? item->u.param.high : item->u.param.low;
    struct mp_t_expr *low = ck_constant(ck, sym->file, item->u.param.low, p->type, "the range");
    struct mp_t_expr *top = ck_constant(ck, sym->file, high, p->type, "the range");
    if (ck_bad(low) || ck_bad(top)) return;
    if (!ck_is_number(p->type)) {
        mp_str noun = ck_type_noun(ck, p->type);
        ck_error(ck, "E0302", item->u.param.low->span, "%.*s has no range", MP_STR_ARG(noun));
        return;
    }
    p->low = low;
    p->high = top;
    double v = ck_const_double(p->value), from = ck_const_double(low), to = ck_const_double(top);
    struct mp_span range = mp_span_join(low->span, top->span);
    if (from > to) {
        ck_error(ck, "E0306", range, "the range is empty");
    } else if (v < from || v > to) {
        mp_str text = ck_source(ck, p->value->span);
        struct mp_diag *d = ck_error(ck, "E0306", p->value->span,
                                     "`%.*s` is outside of its own range",
                                     MP_STR_ARG(text));
        ck_label(d, range, "the range");
    }
}

const struct mp_t_param *ck_param_of(struct ck *ck, struct ck_sym *sym)
{
    if (!enter(ck, sym)) return sym->broken ? NULL : sym->u.param;
    const struct mp_ast_item *item = sym->item;
    struct mp_t_type type = ck_type(MP_TYPE_NONE);
    bool declared = item->u.param.type.count > 0;
    if (declared) type = ck_type_of(ck, sym->file, &item->u.param.type);
    struct mp_t_expr *value = ck_poison(ck, sym->span);
    if (!declared) {
        value = any_constant(ck, sym->file, item->u.param.value, NULL, "the value of a `param`");
        type = value->type;
    } else if (!ck_is_poison(type)) {
        value = ck_constant(ck, sym->file, item->u.param.value, type, "this `param`");
    }
    sym->state = CK_DONE;
    sym->broken = sym->broken || ck_is_poison(type);
    if (!sym->broken && !may_be_param(type)) {
        mp_str word = ck_type_word(ck, type);
        ck_error(ck, "E0302", sym->span, "a `param` cannot be of type `%.*s`", MP_STR_ARG(word));
        sym->broken = true;
    }
    if (sym->broken) return NULL;
    struct mp_t_param *p = CK_NEW(ck, struct mp_t_param, 1);
    p->package = sym->file->package->name;
    p->name = sym->name;
    p->type = type;
    p->span = sym->span;
    p->value = value;
    p->index = ck->out->params.len;
    *CK_PUSH(ck, &ck->out->params) = p;
    sym->u.param = p;
    if (ck_bad(value)) return p; /* the type is known, so its uses are checked */
    check_param_range(ck, sym, p);
    return p;
}

/* ---- lists ---- */

/* One element; 5xx stands for its hundred statuses. */
static void add_item(struct ck *ck, struct mp_t_list *list, struct mp_t_expr *e, uint32_t *cap)
{
    if (list->item_count == *cap) {
        uint32_t more = *cap < 8 ? 8 : *cap * 2;
        struct mp_t_expr **items = CK_NEW(ck, struct mp_t_expr *, more);
        for (uint32_t i = 0; i < list->item_count; i++) items[i] = list->items[i];
        list->items = items;
        *cap = more;
    }
    list->items[list->item_count++] = e;
}

static struct mp_t_type item_type(struct mp_t_type t)
{
    return t.base == MP_TYPE_PATTERN ? ck_type(MP_TYPE_IDENTITY) : t;
}

/* Of identities a list may hold patterns, too. */
static struct mp_t_type wanted(const struct mp_t_expr *e, struct mp_t_type type)
{
    bool pattern = type.base == MP_TYPE_IDENTITY && e->kind == MP_TX_CONST && ck_is_text(e->type) &&
                   ck_has_wildcard(e->text);
    return pattern ? ck_type(MP_TYPE_PATTERN) : type;
}

static void check_list_items(struct ck *ck, const struct ck_file *file, struct mp_t_list *list,
                             struct mp_ast_expr *const *items, uint32_t count,
                             const struct mp_t_type *want)
{
    uint32_t cap = 0;
    bool declared = !ck_is_poison(list->type);
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_ast_expr *ast = items[i];
        if (ast->kind == MP_AST_STATUS) {
            if (ck_is_poison(list->type)) list->type = ck_type(MP_TYPE_STATUS);
            if (list->type.base != MP_TYPE_STATUS) {
                ck_error(ck, "E0302", ast->span, "a class of status in a list of %.*s",
                         MP_STR_ARG(ck_type_word(ck, list->type)));
                continue;
            }
            for (int64_t code = ast->u.num.i * 100; code < ast->u.num.i * 100 + 100; code++) {
                add_item(ck, list, ck_const_int(ck, MP_TYPE_STATUS, code, ast->span), &cap);
            }
            continue;
        }
        bool known = !ck_is_poison(list->type);
        struct mp_t_expr *e = any_constant(ck, file, ast, known ? &list->type : want, "a list");
        if (ck_bad(e)) continue;
        if (!known) {
            bool fits = want != NULL && ck_try_coerce(ck, e, wanted(e, *want)) != NULL;
            list->type = fits ? *want : item_type(e->type);
        }
        if (!declared && list->type.base == MP_TYPE_IP && e->type.base == MP_TYPE_CIDR) {
            list->type = e->type; /* `[ 10.0.0.1, 10.1.0.0/16 ]` is a list of ranges */
            for (uint32_t j = 0; j < list->item_count; j++) {
                list->items[j] = ck_coerce(ck, list->items[j], list->type, "a list element");
            }
        }
        e = ck_coerce(ck, e, wanted(e, list->type), "a list element");
        if (ck_bad(e)) continue;
        add_item(ck, list, e, &cap);
    }
}

static struct mp_t_list *new_list(struct ck *ck, mp_str package, mp_str name, struct mp_span span)
{
    struct mp_t_list *list = CK_NEW(ck, struct mp_t_list, 1);
    list->package = package;
    list->name = name;
    list->span = span;
    return list;
}

static void keep_list(struct ck *ck, struct mp_t_list *list)
{
    list->index = ck->out->lists.len;
    *CK_PUSH(ck, &ck->out->lists) = list;
}

const struct mp_t_list *ck_list_in_place(struct ck *ck, const struct ck_scope *s,
                                         const struct mp_ast_expr *ast,
                                             const struct mp_t_type *want)
{
    struct mp_t_list *list = new_list(ck, s->file->package->name, MP_STR(""), ast->span);
    check_list_items(ck, s->file, list, ast->u.set.items, ast->u.set.count, want);
    if (ck_is_poison(list->type) && want != NULL) list->type = *want;
    keep_list(ck, list);
    return list;
}

static void check_feed(struct ck *ck, struct ck_sym *sym)
{
    static const enum mp_ast_clause_kind kinds[] = {MP_AST_REFRESH, MP_AST_EXPIRE, MP_AST_MAX,
                                                    MP_AST_SIGNED_BY};
    const struct mp_ast_item *item = sym->item;
    struct ck_scope s = ck_scope_of(sym->file, CK_IN_CONSTANT, NULL, NULL, 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct mp_ast_clause *c =
            ck_clause(ck, item->u.feed.options, item->u.feed.option_count, kinds[i]);
        if (c != NULL && (kinds[i] == MP_AST_REFRESH || kinds[i] == MP_AST_EXPIRE)) {
            ck_duration(ck, &s, &c->dur);
        }
    }
    ck_refuse(ck, "feed", item->span);
}

const struct mp_t_list *ck_list_of(struct ck *ck, struct ck_sym *sym)
{
    if (!enter(ck, sym)) return sym->broken ? NULL : sym->u.list;
    const struct mp_ast_item *item = sym->item;
    const struct mp_ast_type *type = sym->kind == CK_FEED ? &item->u.feed.type : &item->u.list.type;
    struct mp_t_list *list = new_list(ck, sym->file->package->name, sym->name, sym->span);
    sym->u.list = list;
    sym->untyped = type->count == 0;
    if (!sym->untyped) {
        list->type = ck_type_of(ck, sym->file, type);
        sym->broken = ck_is_poison(list->type);
    } else if (sym->kind == CK_FEED || item->u.list.is_filled) {
        list->type = ck_type(MP_TYPE_STRING);
    }
    if (sym->kind == CK_FEED) {
        check_feed(ck, sym);
    } else if (item->u.list.is_filled) {
        ck_refuse(ck, "list that rules fill", item->span);
    } else if (!sym->broken) {
        check_list_items(ck, sym->file, list, item->u.list.items, item->u.list.count, NULL);
    }
    if (ck_is_poison(list->type)) {
        /* An empty list of no type is a list of strings; one whose elements are wrong is broken. */
        if (sym->untyped && item->u.list.count == 0) list->type = ck_type(MP_TYPE_STRING);
        else sym->broken = true;
    }
    sym->state = CK_DONE;
    if (sym->broken) return NULL;
    if (sym->kind == CK_LIST) keep_list(ck, list);
    return list;
}
