/* SPDX-License-Identifier: Apache-2.0
 * Functions by name (check_functions.def, language.md 4.5).
 */
#include "check/check_expr_priv.h"

enum family { WINDOW, QUANTILE, SEEN, CALL, TRIGGER, LATER, OVERSET };

struct fn_row {
    const char *word;
    enum family family;
    uint32_t least, most;
    int detail;
    const char *refused;
};

static const struct fn_row fn_rows[] = {
#define FN(word, family, least, most, detail, refused) {word, family, least, most, detail, refused},
#include "check/check_functions.def"
#undef FN
};

#define FN_COUNT (sizeof fn_rows / sizeof *fn_rows)

static const struct fn_row *find_fn(mp_str name)
{
    for (size_t i = 0; i < FN_COUNT; i++) {
        if (mp_str_eq(name, mp_str_of(fn_rows[i].word))) return &fn_rows[i];
    }
    return NULL;
}

static struct mp_t_expr *unknown_function(struct ck *ck, const struct mp_ast_expr *ast)
{
    mp_str words[FN_COUNT], name = ast->u.call.name.text;
    for (size_t i = 0; i < FN_COUNT; i++) words[i] = mp_str_of(fn_rows[i].word);
    struct mp_diag *d = ck_error(ck, "E0305", ast->u.call.name.span, "there is no function `%.*s`",
                                 MP_STR_ARG(name));
    mp_str near = ck_nearest(name, words, FN_COUNT);
    if (near.len > 0) mp_diag_fix(d, ast->u.call.name.span, near, "`%.*s` is close",
                                  MP_STR_ARG(near));
    return ck_poison(ck, ast->span);
}

static struct mp_t_expr *wrong_count(struct ck *ck, const struct fn_row *fn,
                                     const struct mp_ast_expr *ast)
{
    uint32_t n = ast->u.call.arg_count;
    const char *plural = fn->least == 1 ? "" : "s";
    ck_error(ck, "E0305", ast->span, "`%s` takes %u argument%s, not %u", fn->word, fn->least,
             plural, n);
    return ck_poison(ck, ast->span);
}

/* Which arguments may have a `where`. */
static bool may_have_where(const struct fn_row *fn, uint32_t arg)
{
    if (arg != 0) return false;
    if (fn->family == WINDOW || fn->family == QUANTILE || fn->family == SEEN) return true;
    mp_str word = mp_str_of(fn->word);
    return mp_str_eq(word, MP_STR("bucket")) || mp_str_eq(word, MP_STR("bucket_distinct")) ||
           mp_str_eq(word, MP_STR("streak")) || mp_str_eq(word, MP_STR("slope"));
}

static struct mp_t_expr *call_node(struct ck *ck, enum mp_t_call call, struct mp_t_type type,
                                   const struct mp_ast_expr *ast, struct mp_t_expr *a,
                                       struct mp_t_expr *b,
                                   struct mp_t_expr *c)
{
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CALL, type, ast->span);
    e->op.call = call;
    e->kid[0] = a;
    e->kid[1] = b;
    e->kid[2] = c;
    e->may_be_unknown =
        a->may_be_unknown || (b != NULL && b->may_be_unknown) || (c != NULL && c->may_be_unknown);
    return e;
}

static struct mp_t_expr *arg(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *ast,
                             uint32_t i)
{
    return ck_check(ck, s, ast->u.call.args[i].value, NULL);
}

static struct mp_t_expr *wrong_arg(struct ck *ck, const struct mp_ast_expr *ast,
                                   const struct mp_t_expr *a,
                                   const char *wanted)
{
    mp_str noun = ck_type_noun(ck, a->type), word = ast->u.call.name.text;
    struct mp_diag *d = ck_error(ck, "E0302", a->span, "`%.*s` takes %s, and this is %.*s",
                                 MP_STR_ARG(word), wanted,
                                 MP_STR_ARG(noun));
    ck_label(d, a->span, "%.*s", MP_STR_ARG(noun));
    return ck_poison(ck, ast->span);
}

/* ---- plain functions ---- */

static struct mp_t_expr *plain_number(struct ck *ck, struct mp_t_expr *e)
{
    struct mp_t_expr *i = ck_try_coerce(ck, e, ck_type(MP_TYPE_INT));
    return i != NULL ? i : e;
}

static struct mp_t_expr *call_abs(struct ck *ck, const struct ck_scope *s,
                                  const struct mp_ast_expr *ast)
{
    struct mp_t_expr *a = arg(ck, s, ast, 0);
    if (ck_bad(a)) return ck_poison(ck, ast->span);
    if (!ck_is_number(a->type)) return wrong_arg(ck, ast, a, "a number");
    a = plain_number(ck, a);
    struct mp_t_expr *e = call_node(ck, MP_T_ABS, a->type, ast, a, NULL, NULL);
    e->may_be_unknown = true; /* of the smallest int */
    return e;
}

static struct mp_t_expr *call_text(struct ck *ck, const struct ck_scope *s,
                                   const struct mp_ast_expr *ast,
                                   enum mp_t_call call, enum mp_type type)
{
    struct mp_t_expr *a = arg(ck, s, ast, 0);
    if (ck_bad(a)) return ck_poison(ck, ast->span);
    if (!ck_is_scalar(a->type) || ck_rep(a->type) != MP_REP_T) return wrong_arg(ck, ast, a,
                                                                                "a string");
    struct mp_t_expr *e = call_node(ck, call, ck_type(type), ast, a, NULL, NULL);
    e->may_be_unknown |= call != MP_T_LENGTH; /* a text that is no number, or too long */
    return e;
}

static struct mp_t_expr *call_points(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_ast_expr *ast)
{
    struct mp_t_expr *c = ck_check_cond(ck, s, ast->u.call.args[0].value);
    struct mp_t_expr *n = arg(ck, s, ast, 1);
    if (ck_bad(c) || ck_bad(n)) return ck_poison(ck, ast->span);
    if (!ck_is_number(n->type)) return wrong_arg(ck, ast, n, "a condition and a number");
    n = plain_number(ck, n);
    struct mp_t_expr *e = call_node(ck, MP_T_POINTS, n->type, ast, c, n, NULL);
    e->may_be_unknown = n->may_be_unknown;
    return e;
}

static struct mp_t_expr *call_clamp(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast)
{
    struct mp_t_expr *x = arg(ck, s, ast, 0), *low = arg(ck, s, ast, 1), *high = arg(ck, s, ast, 2);
    bool ok = ck_same_side(ck, &x, &low, ast->span, "clamped by") &&
              ck_same_side(ck, &x, &high, ast->span, "clamped by") &&
              ck_same_side(ck, &x, &low, ast->span, "clamped by");
    if (!ok || ck_bad(x) || ck_bad(low) || ck_bad(high)) return ck_poison(ck, ast->span);
    if (!ck_is_number(x->type)) return wrong_arg(ck, ast, x, "a number");
    bool fixed = low->kind == MP_TX_CONST && high->kind == MP_TX_CONST;
    if (fixed && ck_const_double(low) > ck_const_double(high)) {
        ck_error(ck, "E0306", mp_span_join(low->span, high->span), "the range is empty");
        return ck_poison(ck, ast->span);
    }
    return call_node(ck, MP_T_CLAMP, x->type, ast, x, low, high);
}

static struct mp_t_expr *call_pow(struct ck *ck, const struct ck_scope *s,
                                  const struct mp_ast_expr *ast)
{
    struct mp_t_expr *b = arg(ck, s, ast, 0), *n = arg(ck, s, ast, 1);
    if (ck_bad(b) || ck_bad(n)) return ck_poison(ck, ast->span);
    if (!ck_is_number(b->type)) return wrong_arg(ck, ast, b, "a number and an int of 0 or more");
    b = plain_number(ck, b);
    if (b->type.base != MP_TYPE_INT && b->type.base != MP_TYPE_NUMBER) {
        struct mp_t_expr *number = ck_try_coerce(ck, b, ck_type(MP_TYPE_NUMBER));
        if (number == NULL) return wrong_arg(ck, ast, b, "a number without a unit");
        b = number;
    }
    n = plain_number(ck, n);
    if (n->type.base != MP_TYPE_INT) return wrong_arg(ck, ast, n,
                                                      "a number and an int of 0 or more");
    if (n->kind == MP_TX_CONST && mp_value_as_int(n->value) < 0) {
        ck_error(ck, "E0306", n->span, "the exponent is an int of 0 or more");
        return ck_poison(ck, ast->span);
    }
    struct mp_t_expr *e = call_node(ck, MP_T_POW, b->type, ast, b, n, NULL);
    e->may_be_unknown = true; /* overflow */
    return e;
}

static struct mp_t_expr *plain_call(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast,
                                    enum mp_t_call call)
{
    switch (call) {
    case MP_T_ABS: return call_abs(ck, s, ast);
    case MP_T_LOWER: return call_text(ck, s, ast, call, MP_TYPE_STRING);
    case MP_T_LENGTH: return call_text(ck, s, ast, call, MP_TYPE_INT);
    case MP_T_TO_NUMBER: return call_text(ck, s, ast, call, MP_TYPE_NUMBER);
    case MP_T_POINTS: return call_points(ck, s, ast);
    case MP_T_CLAMP: return call_clamp(ck, s, ast);
    case MP_T_POW: return call_pow(ck, s, ast);
    case MP_T_ID_PART: break;
    }
    MP_UNREACHABLE("no function of this name");
}

static struct mp_t_expr *at_trigger(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast)
{
    if (s->place == CK_IN_WHEN || s->place == CK_IN_UNLESS || s->place == CK_IN_GUARD) {
        struct mp_diag *d = ck_error(ck, "E0402", ast->span, "there is no incident yet");
        ck_note(d, "`at_trigger` is the value at the instant when the incident opened");
        return ck_poison(ck, ast->span);
    }
    struct mp_t_expr *of = arg(ck, s, ast, 0);
    if (ck_bad(of)) return ck_poison(ck, ast->span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_AT_TRIGGER, of->type, ast->span);
    e->kid[0] = of;
    e->may_be_unknown = true;
    return e;
}

static struct mp_t_expr *seen(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast)
{
    static const char *const places[] = {[CK_IN_UNLESS] = "unless", [CK_IN_VERIFY] = "verify",
                                         [CK_IN_HARM] = "harm", [CK_IN_UNTIL] = "until"};
    struct mp_t_expr *e = ck_events(ck, s, ast, &ast->u.call.args[0], MP_AGG_SEEN, false);
    bool state = s->place == CK_IN_UNLESS || s->place == CK_IN_VERIFY || s->place == CK_IN_HARM ||
                 s->place == CK_IN_UNTIL;
    if (!state || ck_bad(e)) return e;
    struct mp_diag *d = ck_error(ck, "E0408", ast->span, "`seen` is no state");
    ck_note(d, "it is true for an instant, and `%s` asks how things are", places[s->place]);
    ck_help(d, "`count(...) over 30s >= 1` stays true for a while");
    return ck_poison(ck, ast->span);
}

/* ---- what a later version carries out (language.md 4.9): checked like the rest ---- */

/* Stands for the value: never unknown by itself, and reads what its arguments read. */
static struct mp_t_expr *placeholder(struct ck *ck, const struct fn_row *fn, struct mp_t_type type,
                                     const struct mp_ast_expr *ast, struct mp_t_expr *of)
{
    ck_refuse(ck, fn->refused, ast->span);
    if (of == NULL || ck_bad(of)) return ck_poison(ck, ast->span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CALL, type, ast->span);
    e->op.call = MP_T_POINTS;
    e->kid[0] = of;
    e->may_be_unknown = true;
    return e;
}

static bool is_fn(const struct fn_row *fn, const char *word) { return strcmp(fn->word, word) == 0; }

static struct mp_t_expr *later(struct ck *ck, const struct ck_scope *s,
                               const struct mp_ast_expr *ast,
                               const struct fn_row *fn)
{
    const struct mp_ast_arg *args = ast->u.call.args;
    struct mp_t_expr *a, *b = NULL;
    struct mp_t_type type = ck_type((enum mp_type)fn->detail);
    if (is_fn(fn, "slope")) {
        a = ck_aggregate(ck, s, ast, MP_AGG_AVG, 0);
    } else if (is_fn(fn, "bucket") || is_fn(fn, "streak") || is_fn(fn, "bucket_distinct")) {
        struct ck_scope windowed = *s;
        windowed.window_ns = 1000000000; /* the records count, not for how long */
        a = ck_events(ck, &windowed, ast, &args[0], MP_AGG_COUNT, is_fn(fn, "bucket_distinct"));
        if (!is_fn(fn, "streak")) b = ck_check_as(ck, s, args[1].value, ck_type(MP_TYPE_RATE),
                                                  "the leak");
    } else if (is_fn(fn, "likely")) {
        a = ck_check_cond(ck, s, args[0].value);
        b = ck_check_as(ck, s, args[1].value, ck_type(MP_TYPE_PERCENT), "the certainty");
    } else {
        a = arg(ck, s, ast, 0);
        if (fn->most == 2) b = ck_check_as(ck, s, args[1].value, ck_type(MP_TYPE_DURATION),
                                           "the time to learn in");
        if (!ck_bad(a) && !is_fn(fn, "first_seen") && !ck_is_number(a->type)) {
            wrong_arg(ck, ast, a, "a number");
            a = ck_poison(ck, ast->span);
        }
    }
    if (ck_is_poison(type)) type = a->type;
    if (b != NULL && ck_bad(b)) a = b;
    return placeholder(ck, fn, type, ast, a);
}

/* f_of(e, g): e over the members of a set g, or over those keys of e that share g with the key at
 * hand. */
static struct mp_t_expr *over_set(struct ck *ck, const struct ck_scope *s,
                                  const struct mp_ast_expr *ast,
                                  const struct fn_row *fn)
{
    const struct mp_ast_arg *args = ast->u.call.args;
    struct mp_t_expr *g = ck_check(ck, s, args[1].value, NULL);
    if (ck_bad(g)) return placeholder(ck, fn, ck_type(MP_TYPE_NONE), ast, NULL);
    struct ck_scope inner = *s;
    bool set = g->type.is_set && g->type.base == MP_TYPE_ENTITY && g->kind == MP_TX_WALK;
    if (set) {
        inner = ck_member_scope(ck, s, g->walk, MP_STR(""));
    } else {
        inner.keys = NULL;
        inner.at = NULL;
        inner.record = NULL;
        inner.lenient = true;
    }
    struct mp_t_expr *e = ck_check(ck, &inner, args[0].value, NULL);
    if (!ck_bad(e) && !ck_is_number(e->type)) {
        wrong_arg(ck, ast, e, "a number");
        e = ck_poison(ck, ast->span);
    }
    return placeholder(ck, fn, e->type, ast, e);
}

/* ---- entry ---- */

struct mp_t_expr *ck_call(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *ast,
                          const struct mp_t_type *want)
{
    (void)want;
    const struct fn_row *fn = find_fn(ast->u.call.name.text);
    if (fn == NULL) {
        struct ck_sym *sym = ck_find(ck, s->file, ast->u.call.name.text, ast->u.call.name.span);
        if (sym != NULL && sym->kind == CK_DEF && s->place != CK_IN_CONSTANT) {
            return ck_expand_def(ck, s, sym, ast);
        }
        return unknown_function(ck, ast);
    }
    if (ast->u.call.arg_count < fn->least ||
        ast->u.call.arg_count > fn->most) return wrong_count(ck, fn, ast);
    for (uint32_t i = 0; i < ast->u.call.arg_count; i++) {
        if (ast->u.call.args[i].where == NULL || may_have_where(fn, i)) continue;
        ck_error(ck, "E0305", ast->u.call.args[i].span, "`%s` has no `where`", fn->word);
        return ck_poison(ck, ast->span);
    }
    if (s->place == CK_IN_CONSTANT && fn->family != CALL) {
        ck_error(ck, "E0302", ast->span, "`%s` is no constant", fn->word);
        return ck_poison(ck, ast->span);
    }
    switch (fn->family) {
    case WINDOW: return ck_aggregate(ck, s, ast, (enum mp_agg)fn->detail, 0);
    case QUANTILE: return ck_aggregate(ck, s, ast, MP_AGG_QUANTILE, (uint32_t)fn->detail);
    case SEEN: return seen(ck, s, ast);
    case CALL: return plain_call(ck, s, ast, (enum mp_t_call)fn->detail);
    case TRIGGER: return at_trigger(ck, s, ast);
    case LATER: return later(ck, s, ast, fn);
    case OVERSET: return over_set(ck, s, ast, fn);
    }
    MP_UNREACHABLE("no such family");
}
