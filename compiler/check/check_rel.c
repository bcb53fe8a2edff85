/* SPDX-License-Identifier: Apache-2.0
 * What two values are to each other: comparisons, `in`, `is`, and the asking for patterns.
 */
#include "check/check_expr_priv.h"

static struct mp_t_expr *truth(struct ck *ck, enum mp_t_kind kind, struct mp_t_expr *a,
                               struct mp_t_expr *b,
                               struct mp_span span)
{
    struct mp_t_expr *e = ck_expr(ck, kind, ck_type(MP_TYPE_BOOL), span);
    e->kid[0] = a;
    e->kid[1] = b;
    e->may_be_unknown = (a != NULL && a->may_be_unknown) || (b != NULL && b->may_be_unknown);
    return e;
}

/* An identity literal with a wildcard, or a text with one beside an identity. */
static bool is_identity_pattern(const struct mp_t_expr *e, const struct mp_t_expr *beside)
{
    if (e->kind != MP_TX_CONST || ck_bad(beside)) return false;
    if (e->type.base == MP_TYPE_PATTERN) return true;
    bool of_identity = ck_is_scalar(beside->type) && beside->type.base == MP_TYPE_IDENTITY;
    return of_identity && ck_is_scalar(e->type) && e->type.base == MP_TYPE_STRING &&
           ck_has_wildcard(e->text);
}

static struct mp_t_expr *like_identity(struct ck *ck, struct mp_t_expr *a,
                                       struct mp_t_expr *pattern,
                                       struct mp_span span)
{
    a = ck_coerce(ck, a, ck_type(MP_TYPE_IDENTITY), "what is compared with an identity");
    if (ck_bad(a)) return a;
    struct mp_t_expr *e = truth(ck, MP_TX_MATCH, a, ck_try_coerce(ck, pattern,
                                                                  ck_type(MP_TYPE_PATTERN)), span);
    e->op.match = MP_T_LIKE;
    return e;
}

/* A bare name may be a member of an enum that the other side gives, whichever side it stands on. */
static bool is_bare_name(const struct mp_ast_expr *ast) { return ast->kind == MP_AST_NAME; }

static void check_sides(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *left,
                        const struct mp_ast_expr *right, struct mp_t_expr **a, struct mp_t_expr **b)
{
    if (is_bare_name(left) && !is_bare_name(right)) {
        *b = ck_check(ck, s, right, NULL);
        *a = ck_check(ck, s, left, ck_bad(*b) ? NULL : &(*b)->type);
        return;
    }
    *a = ck_check(ck, s, left, NULL);
    *b = ck_check(ck, s, right, ck_bad(*a) ? NULL : &(*a)->type);
}

struct mp_t_expr *ck_check_cmp(struct ck *ck, const struct ck_scope *s,
                               const struct mp_ast_expr *ast)
{
    static const enum mp_t_cmp cmps[] = {
        [MP_AST_LT] = MP_T_LT, [MP_AST_LE] = MP_T_LE, [MP_AST_GT] = MP_T_GT,
        [MP_AST_GE] = MP_T_GE, [MP_AST_EQ] = MP_T_EQ, [MP_AST_NE] = MP_T_NE,
    };
    struct mp_t_expr *a, *b;
    check_sides(ck, s, ast->kid[0], ast->kid[1], &a, &b);
    enum mp_t_cmp cmp = cmps[ast->u.cmp];
    bool equality = cmp == MP_T_EQ || cmp == MP_T_NE;
    bool left = equality && !ck_bad(a) && is_identity_pattern(a, b);
    if (left || (equality && !ck_bad(b) && is_identity_pattern(b, a))) {
        struct mp_t_expr *e = like_identity(ck, left ? b : a, left ? a : b, ast->span);
        return cmp == MP_T_EQ ? e : ck_not(ck, e, ast->span);
    }
    return ck_compare(ck, cmp, a, b, ast->span);
}

/* ---- in ---- */

static struct mp_t_expr *in_range(struct ck *ck, struct mp_t_expr *a, struct mp_t_expr *low,
                                  struct mp_t_expr *high, struct mp_span span)
{
    struct mp_t_expr *x = a, *y = a;
    bool ok = ck_same_side(ck, &x, &low, span, "compared with") && ck_same_side(ck, &y, &high, span,
                                                                                "compared with");
    if (!ok || ck_bad(a) || ck_bad(low) || ck_bad(high)) return ck_poison(ck, span);
    if (!ck_is_number(x->type)) {
        mp_str noun = ck_type_noun(ck, x->type);
        ck_error(ck, "E0301", span, "%.*s has no order, so no range", MP_STR_ARG(noun));
        return ck_poison(ck, span);
    }
    if (x->type.base != y->type.base) { /* int..number: all three as numbers */
        x = ck_convert(ck, a, MP_TYPE_NUMBER);
        low = ck_convert(ck, low, MP_TYPE_NUMBER);
        high = ck_convert(ck, high, MP_TYPE_NUMBER);
    }
    if (low->kind == MP_TX_CONST && high->kind == MP_TX_CONST &&
        ck_const_double(low) > ck_const_double(high)) {
        ck_error(ck, "E0306", mp_span_join(low->span, high->span), "the range is empty");
        return ck_poison(ck, span);
    }
    struct mp_t_expr *e = truth(ck, MP_TX_RANGE, x, low, span);
    e->kid[2] = high;
    e->may_be_unknown |= high->may_be_unknown;
    return e;
}

/* Does a value of type t fit the elements of a list? Answers the value, converted, or NULL. */
static struct mp_t_expr *fit_list(struct ck *ck, struct mp_t_expr *a, const struct mp_t_list *list,
                                  bool untyped)
{
    struct mp_t_type t = list->type;
    if (ck_bad(a)) return a;
    if (t.is_set || t.is_map) return NULL;
    if (t.base == MP_TYPE_CIDR && ck_is_scalar(a->type)) {
        struct mp_t_type key = ck_key_type(a->type);
        return key.base == MP_TYPE_IP ? a : NULL;
    }
    if (untyped && t.base == MP_TYPE_STRING && ck_rep(a->type) == MP_REP_T) return a;
    struct mp_t_expr *fit = ck_try_coerce(ck, a, t);
    if (fit != NULL) return fit;
    /* An entity in a list of what its key is. */
    return a->type.base == MP_TYPE_ENTITY && ck_is_scalar(a->type) &&
                   ck_type_eq(ck_key_type(a->type), t)
               ? a
               : NULL;
}

static struct mp_t_expr *in_list(struct ck *ck, struct mp_t_expr *a, const struct mp_t_list *list,
                                 bool untyped,
                                 const struct mp_ast_expr *ast)
{
    struct mp_t_expr *fit = fit_list(ck, a, list, untyped);
    if (fit == NULL) {
        mp_str noun = ck_type_noun(ck, a->type), word = ck_type_word(ck, list->type);
        struct mp_diag *d = ck_error(ck, "E0301", ast->span, "%.*s cannot be in a list of %.*s",
                                     MP_STR_ARG(noun), MP_STR_ARG(word));
        ck_label(d, ast->kid[1]->span, "list of %.*s", MP_STR_ARG(word));
        ck_label(d, a->span, "%.*s", MP_STR_ARG(noun));
        return ck_poison(ck, ast->span);
    }
    if (ck_bad(fit)) return ck_poison(ck, ast->span);
    struct mp_t_expr *e = truth(ck, MP_TX_IN, fit, NULL, ast->span);
    e->list = list;
    return e;
}

/* The list that an expression names or is; NULL where it is none. *broken: it is one, with
 * errors. */
static const struct mp_t_list *list_of(struct ck *ck, const struct ck_scope *s,
                                       const struct mp_ast_expr *ast,
                                       const struct mp_t_type *want, bool *untyped, bool *broken)
{
    *untyped = *broken = false;
    if (ast->kind == MP_AST_SET) {
        *untyped = true;
        return ck_list_in_place(ck, s, ast, want);
    }
    struct ck_sym *sym = NULL;
    if (ast->kind == MP_AST_NAME) {
        for (uint32_t i = 0; i < s->bind_count; i++) {
            if (mp_str_eq(s->binds[i].name, ast->u.name.text)) return NULL;
        }
        if (s->bare && s->record != NULL && ck_field(s->record,
                                                     ast->u.name.text) != NULL) return NULL;
        sym = ck_find(ck, s->file, ast->u.name.text, ast->span);
    } else if (ast->kind == MP_AST_DOT && ast->kid[0]->kind == MP_AST_NAME &&
               ck_find(ck, s->file, ast->kid[0]->u.name.text, (struct mp_span){0}) == NULL) {
        const struct ck_package *p = ck_find_alias(s->file, ast->kid[0]->u.name.text);
        if (p != NULL) sym = ck_find_in(ck, p, ast->u.name.text);
    }
    if (sym == NULL || (sym->kind != CK_LIST && sym->kind != CK_FEED)) return NULL;
    const struct mp_t_list *list = ck_list_of(ck, sym);
    *broken = list == NULL;
    *untyped = sym->untyped;
    return list;
}

static struct mp_t_expr *in_set(struct ck *ck, struct mp_t_expr *a, struct mp_t_expr *set,
                                struct mp_span span)
{
    struct mp_t_type member = set->type;
    member.is_set = false;
    struct mp_t_expr *fit = ck_try_coerce(ck, a, member);
    if (fit == NULL) {
        mp_str noun = ck_type_noun(ck, a->type), word = ck_type_noun(ck, set->type);
        struct mp_diag *d = ck_error(ck, "E0301", span, "%.*s cannot be in %.*s", MP_STR_ARG(noun),
                                     MP_STR_ARG(word));
        ck_label(d, set->span, "%.*s", MP_STR_ARG(word));
        ck_label(d, a->span, "%.*s", MP_STR_ARG(noun));
        return ck_poison(ck, span);
    }
    return ck_bad(fit) ? ck_poison(ck, span) : truth(ck, MP_TX_IN, fit, set, span);
}

static struct mp_t_expr *in_one(struct ck *ck, struct mp_t_expr *a, struct mp_t_expr *b,
                                const struct mp_ast_expr *ast)
{
    if (ck_bad(a) || ck_bad(b)) return ck_poison(ck, ast->span);
    if (b->type.is_set && !b->type.is_map) return in_set(ck, a, b, ast->span);
    if (b->type.base == MP_TYPE_CIDR && b->kind == MP_TX_CONST) {
        if (ck_is_scalar(a->type) && ck_key_type(a->type).base == MP_TYPE_IP) {
            return truth(ck, MP_TX_IN, a, b, ast->span);
        }
    }
    if (is_identity_pattern(b, a)) return like_identity(ck, a, b, ast->span);
    return ck_compare(ck, MP_T_EQ, a, b, ast->span);
}

/* 5xx: the hundred statuses from 500. */
static struct mp_t_expr *in_class(struct ck *ck, struct mp_t_expr *a,
                                  const struct mp_ast_expr *class,
                                  struct mp_span span)
{
    if (!ck_bad(a) && a->type.base != MP_TYPE_STATUS && a->type.base != MP_TYPE_INT) {
        mp_str noun = ck_type_noun(ck, a->type);
        struct mp_diag *d = ck_error(ck, "E0301", span, "%.*s is compared with a class of status",
                                     MP_STR_ARG(noun));
        ck_label(d, a->span, "%.*s", MP_STR_ARG(noun));
        return ck_poison(ck, span);
    }
    int64_t first = class->u.num.i * 100;
    return in_range(ck, a, ck_const_int(ck, MP_TYPE_STATUS, first, class->span),
                    ck_const_int(ck, MP_TYPE_STATUS, first + 99, class->span), span);
}

struct mp_t_expr *ck_check_in(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast)
{
    struct mp_t_expr *a = ck_check(ck, s, ast->kid[0], NULL), *e;
    const struct mp_t_type *want = ck_bad(a) ? NULL : &a->type;
    bool untyped, broken;
    const struct mp_t_list *list;
    if (ast->kid[2] != NULL) {
        e = in_range(ck, a, ck_check(ck, s, ast->kid[1], want), ck_check(ck, s, ast->kid[2], want),
                     ast->span);
    } else if (ast->kid[1]->kind == MP_AST_STATUS) {
        e = in_class(ck, a, ast->kid[1], ast->span);
    } else if ((list = list_of(ck, s, ast->kid[1], want, &untyped, &broken)) != NULL) {
        e = in_list(ck, a, list, untyped, ast);
    } else if (broken) {
        e = ck_poison(ck, ast->span);
    } else {
        e = in_one(ck, a, ck_check(ck, s, ast->kid[1], want), ast);
    }
    return ast->negated ? ck_not(ck, e, ast->span) : e;
}

/* ---- is ---- */

static struct mp_t_expr *stale_signal(struct ck *ck, const struct mp_t_signal *signal,
                                      struct mp_span span)
{
    struct mp_t_expr *e = ck_expr(ck, MP_TX_IS, ck_type(MP_TYPE_BOOL), span);
    e->op.is = MP_T_STALE;
    e->signal = signal;
    return e;
}

struct signals {
    const struct mp_t_signal *at[16]; /* LIMIT: more are not asked */
    uint32_t count;
};

static void add_signal(struct signals *all, const struct mp_t_signal *signal)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->at[i] == signal) return;
    }
    if (all->count < 16) all->at[all->count++] = signal;
}

static void signals_of(const struct mp_t_expr *e, struct signals *all)
{
    if (e == NULL) return;
    if (e->kind == MP_TX_AGG) add_signal(all, e->agg->signal);
    for (int i = 0; i < 3; i++) signals_of(e->kid[i], all);
}

/* A value is stale if one of the signals that it is computed from is silent. */
static struct mp_t_expr *stale_value(struct ck *ck, const struct mp_t_expr *value,
                                     struct mp_span span)
{
    struct signals all = {.count = 0};
    signals_of(value, &all);
    if (all.count == 0) {
        struct mp_diag *d = ck_error(ck, "E0302", value->span,
                                     "this is computed from no signal, so it cannot be stale");
        ck_help(d, "`is absent` asks for a value that is not there");
        return ck_poison(ck, span);
    }
    struct mp_t_expr *e = stale_signal(ck, all.at[0], span);
    for (uint32_t i = 1; i < all.count; i++) {
        e = truth(ck, MP_TX_OR, e, stale_signal(ck, all.at[i], span), span);
    }
    return e;
}

/* `requests is stale`, `abusive is stale`: the source itself; NULL: it is something else. */
static struct mp_t_expr *stale_source(struct ck *ck, const struct ck_scope *s,
                                      const struct mp_ast_expr *of,
                                      struct mp_span span)
{
    if (of->kind != MP_AST_NAME) return NULL;
    struct ck_sym *sym = ck_find(ck, s->file, of->u.name.text, of->span);
    if (sym == NULL) return NULL;
    if (sym->kind == CK_SIGNAL) return stale_signal(ck, sym->u.signal, span);
    if (sym->kind == CK_FEED) {
        ck_list_of(ck, sym); /* refuses feeds */
        return stale_signal(ck, NULL, span);
    }
    return NULL;
}

static struct mp_t_expr *question(struct ck *ck, enum mp_t_is is, struct mp_t_expr *of,
                                  struct mp_span span)
{
    if (ck_bad(of)) return ck_poison(ck, span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_IS, ck_type(MP_TYPE_BOOL), span);
    e->op.is = is;
    e->kid[0] = of;
    return e;
}

static const struct {
    const char *word;
    enum mp_t_is is;
} states[] = {
    {"known", MP_T_KNOWN}, {"unknown", MP_T_UNKNOWN}, {"absent", MP_T_ABSENT}, {"stale",
                                                                                MP_T_STALE},
};

static bool state_of(mp_str word, enum mp_t_is *out)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (!mp_str_eq(word, mp_str_of(states[i].word))) continue;
        *out = states[i].is;
        return true;
    }
    return false;
}

/* `cpu is known` in a rule that is coarser than cpu: of any. */
static struct mp_t_expr *question_subject(struct ck *ck, const struct ck_scope *s,
                                          const struct mp_ast_expr *ast)
{
    if (ast->kind == MP_AST_NAME) {
        struct ck_sym *sym = ck_find(ck, s->file, ast->u.name.text, (struct mp_span){0});
        bool gauge = sym != NULL && sym->kind == CK_SIGNAL &&
            sym->u.signal->kind != MP_SIGNAL_EVENT;
        if (gauge && !s->bare) return ck_gauge(ck, s, sym->u.signal, ast->span, true);
    }
    return ck_check(ck, s, ast, NULL);
}

static struct mp_t_expr *is_state(struct ck *ck, const struct ck_scope *s,
                                  const struct mp_ast_expr *ast,
                                  enum mp_t_is is)
{
    if (is == MP_T_STALE) {
        struct mp_t_expr *source = stale_source(ck, s, ast->kid[0], ast->span);
        if (source != NULL) return source;
    }
    struct mp_t_expr *of = question_subject(ck, s, ast->kid[0]);
    if (ck_bad(of)) return ck_poison(ck, ast->span);
    if (is == MP_T_STALE) return stale_value(ck, of, ast->span);
    return question(ck, is, of, ast->span);
}

struct mp_t_expr *ck_check_is(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast)
{
    mp_str word = ast->u.name.text;
    enum mp_t_is is;
    struct mp_t_expr *e;
    if (state_of(word, &is)) {
        e = is_state(ck, s, ast, is);
        return ast->negated ? ck_not(ck, e, ast->span) : e;
    }
    struct mp_t_expr *a = ck_check(ck, s, ast->kid[0], NULL);
    if (ck_bad(a)) return ck_poison(ck, ast->span);
    bool yes = mp_str_eq(word, MP_STR("true")), no = mp_str_eq(word, MP_STR("false"));
    enum mp_t_cmp cmp = ast->negated ? MP_T_NE : MP_T_EQ;
    if ((yes || no) && a->type.base == MP_TYPE_BOOL) {
        return ck_compare(ck, cmp, a, ck_const_bool(ck, yes, ast->u.name.span), ast->span);
    }
    if (a->type.base == MP_TYPE_ENUM || a->type.base == MP_TYPE_HOOK) {
        struct mp_t_expr *member = ck_const_text(ck, ck_type(MP_TYPE_STRING), word,
                                                 ast->u.name.span);
        return ck_compare(ck, cmp, a, member, ast->span);
    }
    mp_str noun = ck_type_noun(ck, a->type);
    struct mp_diag *d = ck_error(ck, "E0306", ast->u.name.span, "%.*s is never `%.*s`",
                                 MP_STR_ARG(noun),
                                 MP_STR_ARG(word));
    ck_label(d, a->span, "%.*s", MP_STR_ARG(noun));
    ck_help(d, "`is` asks for known, unknown, absent, stale, true, false or a member of an enum");
    return ck_poison(ck, ast->span);
}

/* ---- like, matches, contains, starts with, ends with ---- */

static enum mp_t_match match_of(enum mp_ast_kind kind)
{
    switch (kind) {
    case MP_AST_LIKE: return MP_T_LIKE;
    case MP_AST_MATCHES: return MP_T_MATCHES;
    case MP_AST_STARTS: return MP_T_STARTS;
    case MP_AST_ENDS: return MP_T_ENDS;
    default: return MP_T_CONTAINS;
    }
}

static bool check_regex(struct ck *ck, mp_str pattern, struct mp_span span)
{
    const struct mp_os *os = ck->options->os;
    if (os == NULL || os->regex_compile == NULL) return true;
    void *handle = NULL;
    const char *why = "it is no regular expression";
    enum mp_err err = os->regex_compile(os->ctx, pattern, &handle, &why);
    if (err == MP_OK) {
        if (os->regex_free != NULL) os->regex_free(os->ctx, handle);
        return true;
    }
    if (err == MP_ENOMEM) longjmp(ck->no_memory, 1);
    struct mp_diag *d = ck_error(ck, "E0307", span, "this pattern does not compile");
    ck_note(d, "%s", why);
    return false;
}

static struct mp_t_expr *no_text(struct ck *ck, const struct mp_t_expr *e, struct mp_span span)
{
    mp_str noun = ck_type_noun(ck, e->type);
    struct mp_diag *d = ck_error(ck, "E0301", span, "%.*s is no text to look into",
                                 MP_STR_ARG(noun));
    ck_label(d, e->span, "%.*s", MP_STR_ARG(noun));
    return ck_poison(ck, span);
}

static bool is_textual(struct mp_t_type t) { return ck_is_scalar(t) && ck_rep(t) == MP_REP_T; }

/* A set that contains an element, or any of a list. */
static struct mp_t_expr *set_contains(struct ck *ck, struct mp_t_expr *set,
                                      const struct mp_t_list *list,
                                      struct mp_t_expr *member, struct mp_span span)
{
    if (list == NULL) return in_set(ck, member, set, span);
    struct mp_t_expr *any = ck_const_bool(ck, false, span);
    for (uint32_t i = 0; i < list->item_count; i++) {
        struct mp_t_expr *one = in_set(ck, list->items[i], set, span);
        if (ck_bad(one)) return one;
        any = i == 0 ? one : truth(ck, MP_TX_OR, any, one, span);
    }
    return any;
}

static struct mp_t_expr *match_list(struct ck *ck, struct mp_t_expr *a,
                                    const struct mp_t_list *list,
                                    const struct mp_ast_expr *ast)
{
    if (!is_textual(list->type)) {
        mp_str word = ck_type_word(ck, list->type);
        ck_error(ck, "E0301", ast->kid[1]->span, "a list of %.*s holds no patterns",
                 MP_STR_ARG(word));
        return ck_poison(ck, ast->span);
    }
    bool ok = true;
    for (uint32_t i = 0; ast->kind == MP_AST_MATCHES && i < list->item_count; i++) {
        ok &= check_regex(ck, list->items[i]->text, list->items[i]->span);
    }
    if (!ok) return ck_poison(ck, ast->span);
    struct mp_t_expr *e = truth(ck, MP_TX_MATCH, a, NULL, ast->span);
    e->op.match = match_of(ast->kind);
    e->list = list;
    return e;
}

static struct mp_t_expr *match_text(struct ck *ck, const struct ck_scope *s, struct mp_t_expr *a,
                                    struct mp_t_expr *b, const struct mp_ast_expr *ast)
{
    if (ck_bad(b)) return ck_poison(ck, ast->span);
    if (!is_textual(b->type)) return no_text(ck, b, ast->span);
    if (ast->kind == MP_AST_MATCHES) {
        if (b->kind != MP_TX_CONST) {
            if (s->lenient) return ck_poison(ck, ast->span);
            ck_error(ck, "E0307", b->span,
                     "the right side of `matches` is a literal, a `let` or a list");
            return ck_poison(ck, ast->span);
        }
        if (!check_regex(ck, b->text, b->span)) return ck_poison(ck, ast->span);
    }
    if (b->kind == MP_TX_CONST && (ast->kind == MP_AST_LIKE || ast->kind == MP_AST_MATCHES)) {
        struct mp_t_expr *pattern = ck_try_coerce(ck, b, ck_type(MP_TYPE_PATTERN));
        if (pattern != NULL) b = pattern;
    }
    struct mp_t_expr *e = truth(ck, MP_TX_MATCH, a, b, ast->span);
    e->op.match = match_of(ast->kind);
    e->may_be_unknown |= ast->kind == MP_AST_MATCHES; /* the match limit (R11) */
    return e;
}

struct mp_t_expr *ck_check_match(struct ck *ck, const struct ck_scope *s,
                                 const struct mp_ast_expr *ast)
{
    struct mp_t_expr *a = ck_check(ck, s, ast->kid[0], NULL);
    struct mp_t_type member = a->type;
    member.is_set = false;
    bool of_set = a->type.is_set && !a->type.is_map && ast->kind == MP_AST_CONTAINS;
    const struct mp_t_type *want = of_set ? &member : NULL;
    bool untyped, broken;
    const struct mp_t_list *list = list_of(ck, s, ast->kid[1], want, &untyped, &broken);
    struct mp_t_expr *b = list == NULL && !broken ? ck_check(ck, s, ast->kid[1], want) : NULL;
    if (ck_bad(a) || broken || (b != NULL && ck_bad(b))) return ck_poison(ck, ast->span);
    if (of_set) return set_contains(ck, a, list, b, ast->span);
    if (!is_textual(a->type)) return no_text(ck, a, ast->span);
    return list != NULL ? match_list(ck, a, list, ast) : match_text(ck, s, a, b, ast);
}
