/* SPDX-License-Identifier: Apache-2.0
 * Where a type is expected: the implicit conversions of language.md 4.5, and comparison.
 */
#include "check/check_priv.h"

/* ---- literals ---- */

static bool is_literal_text(const struct mp_t_expr *e)
{
    return e->kind == MP_TX_CONST && ck_is_scalar(e->type) && e->type.base == MP_TYPE_STRING;
}

static struct mp_t_expr *retyped(struct ck *ck, const struct mp_t_expr *e, struct mp_t_type type)
{
    struct mp_t_expr *same = CK_NEW(ck, struct mp_t_expr, 1);
    *same = *e;
    same->type = type;
    return same;
}

static mp_str lowered(struct ck *ck, mp_str text)
{
    char *out = CK_NEW(ck, char, text.len);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return (mp_str){out, text.len};
}

static bool is_member(struct mp_t_type t, mp_str word)
{
    for (uint32_t i = 0; i < t.member_count; i++) {
        if (mp_str_eq(t.members[i], word)) return true;
    }
    return false;
}

static const char *const hook_words[] = {"ingress", "service", "edge"};

static bool is_hook(mp_str word)
{
    for (size_t i = 0; i < sizeof hook_words / sizeof *hook_words; i++) {
        if (mp_str_eq(word, mp_str_of(hook_words[i]))) return true;
    }
    return false;
}

/* A literal text as a value of `want`, or NULL. */
static struct mp_t_expr *literal_text_as(struct ck *ck, struct mp_t_expr *e, struct mp_t_type want)
{
    switch (want.base) {
    case MP_TYPE_HOST: return ck_const_text(ck, want, lowered(ck, e->text), e->span);
    case MP_TYPE_METHOD:
    case MP_TYPE_PATH:
    case MP_TYPE_PATTERN:
    case MP_TYPE_CHANNEL: return retyped(ck, e, want);
    case MP_TYPE_IDENTITY: return ck_has_wildcard(e->text) ? NULL : retyped(ck, e, want);
    case MP_TYPE_HOOK: return is_hook(e->text) ? retyped(ck, e, want) : NULL;
    case MP_TYPE_ENUM: return is_member(want, e->text) ? retyped(ck, e, want) : NULL;
    default: return NULL;
    }
}

/* A name of an entity: a text, or a literal of its key's type. */
static struct mp_t_expr *entity_named(struct ck *ck, struct mp_t_expr *e, struct mp_t_type want)
{
    struct mp_t_type key = ck_key_type(want);
    if (e->kind == MP_TX_CONST && e->type.base == MP_TYPE_STRING && key.base == MP_TYPE_IP) {
        struct mp_value v;
        uint32_t bits;
        if (!mp_value_address(e->text, &v, &bits) || bits != 128) return NULL;
        struct mp_t_expr *c = ck_expr(ck, MP_TX_CONST, want, e->span);
        c->value = v;
        c->text = e->text;
        return c;
    }
    if (e->kind == MP_TX_CONST) {
        struct mp_t_expr *c = ck_type_eq(e->type, key) ? e : ck_try_coerce(ck, e, key);
        return c == NULL ? NULL : retyped(ck, c, want);
    }
    if (e->kind == MP_TX_WALK && e->walk->names == want.entity) return retyped(ck, e, want);
    /* A parameter of a definition, or a text that was computed: it names what has this key. */
    if (key.base == MP_TYPE_STRING && ck_is_text(e->type) && e->kind != MP_TX_WALK) {
        return retyped(ck, e, want);
    }
    return NULL;
}

static bool in_range(const struct mp_t_expr *e, double low, double high)
{
    double v = ck_const_double(e);
    return v >= low && v <= high;
}

/* Ints that are literals are values of these, within their range. */
static const struct {
    enum mp_type type;
    double low, high;
} narrow[] = {
    {MP_TYPE_STATUS, 100, 599},
    {MP_TYPE_PORT, 0, 65535},
    {MP_TYPE_ASN, 0, 4294967295.0},
    {MP_TYPE_COUNTER, 0, 0x1p62},
};

static bool is_narrow(enum mp_type t)
{
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        if (narrow[i].type == t) return true;
    }
    return false;
}

static struct mp_t_expr *narrow_as(struct ck *ck, struct mp_t_expr *e, enum mp_type want)
{
    if (!ck_is_literal_number(e) || e->type.base != MP_TYPE_INT) return NULL;
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        bool fits = narrow[i].type == want && in_range(e, narrow[i].low, narrow[i].high);
        if (fits) return ck_convert(ck, e, want);
    }
    return NULL;
}

static struct mp_t_expr *score_as(struct ck *ck, struct mp_t_expr *e)
{
    bool percent = e->type.base == MP_TYPE_PERCENT;
    if (percent && e->kind != MP_TX_CONST) return ck_convert(ck, e, MP_TYPE_SCORE);
    if (!percent && !ck_is_literal_number(e)) return NULL;
    return in_range(e, 0, 1) ? ck_convert(ck, e, MP_TYPE_SCORE) : NULL;
}

static struct mp_t_expr *number_as(struct ck *ck, struct mp_t_expr *e, enum mp_type want)
{
    enum mp_type t = e->type.base;
    bool plain = t == MP_TYPE_INT || t == MP_TYPE_PERCENT || t == MP_TYPE_SCORE || is_narrow(t);
    switch (want) {
    case MP_TYPE_INT: return is_narrow(t) ? ck_convert(ck, e, want) : NULL;
    case MP_TYPE_NUMBER: return plain ? ck_convert(ck, e, want) : NULL;
    case MP_TYPE_SCORE: return score_as(ck, e);
    default: return narrow_as(ck, e, want);
    }
}

struct mp_t_expr *ck_try_coerce(struct ck *ck, struct mp_t_expr *e, struct mp_t_type want)
{
    if (ck_bad(e) || ck_is_poison(want) || ck_type_eq(e->type, want)) return e;
    if (!ck_is_scalar(e->type) || !ck_is_scalar(want)) return NULL;
    if (want.base == MP_TYPE_ANY) return e;
    if (want.base == MP_TYPE_ENTITY) return entity_named(ck, e, want);
    if (want.base == MP_TYPE_CIDR && e->kind == MP_TX_CONST && e->type.base == MP_TYPE_IP) {
        struct mp_t_expr *c = retyped(ck, e, want);
        c->bits = 128;
        return c;
    }
    if (want.base == MP_TYPE_PATTERN && e->kind == MP_TX_CONST &&
        e->type.base == MP_TYPE_IDENTITY) {
        return retyped(ck, e, want);
    }
    if (is_literal_text(e)) return literal_text_as(ck, e, want);
    return ck_is_number(e->type) ? number_as(ck, e, want.base) : NULL;
}

/* ---- with a message ---- */

/* Is it a literal that would fit if its value were another one? */
static bool is_out_of_range(const struct mp_t_expr *e, struct mp_t_type want)
{
    if (e->kind != MP_TX_CONST || !ck_is_scalar(e->type)) return false;
    if (is_literal_text(e)) return want.base == MP_TYPE_ENUM || want.base == MP_TYPE_HOOK;
    if (want.base == MP_TYPE_SCORE) {
        return e->type.base == MP_TYPE_INT || e->type.base == MP_TYPE_NUMBER ||
            e->type.base == MP_TYPE_PERCENT;
    }
    return e->type.base == MP_TYPE_INT && (want.base == MP_TYPE_STATUS ||
                                           want.base == MP_TYPE_PORT ||
                                           want.base == MP_TYPE_ASN ||
                                               want.base == MP_TYPE_COUNTER);
}

static void help_nearest_member(struct ck *ck, struct mp_diag *d, struct mp_span span, mp_str word,
                                struct mp_t_type want)
{
    mp_str near = MP_STR("");
    if (want.base == MP_TYPE_ENUM) {
        near = ck_nearest(word, want.members, want.member_count);
    } else if (want.base == MP_TYPE_HOOK) {
        mp_str hooks[] = {MP_STR("ingress"), MP_STR("service"), MP_STR("edge")};
        near = ck_nearest(word, hooks, 3);
    }
    (void)ck;
    if (near.len > 0) mp_diag_fix(d, span, near, "`%.*s` is close", MP_STR_ARG(near));
}

struct mp_t_expr *ck_not_a_member(struct ck *ck, struct mp_span span, mp_str word,
                                  struct mp_t_type want)
{
    mp_str noun = want.base == MP_TYPE_HOOK ? MP_STR("ingress, service, edge") : ck_type_noun(ck,
                                                                                              want);
    struct mp_diag *d = ck_error(ck, "E0306", span, "`%.*s` is not %s%.*s", MP_STR_ARG(word),
                                 want.base == MP_TYPE_HOOK ? "one of " : "", MP_STR_ARG(noun));
    help_nearest_member(ck, d, span, word, want);
    return ck_poison(ck, span);
}

struct mp_t_expr *ck_coerce(struct ck *ck, struct mp_t_expr *e, struct mp_t_type want,
                            const char *what)
{
    struct mp_t_expr *fit = ck_try_coerce(ck, e, want);
    if (fit != NULL) return fit;
    mp_str want_noun = ck_type_noun(ck, want), noun = ck_type_noun(ck, e->type);
    if (is_out_of_range(e, want)) {
        if (is_literal_text(e)) return ck_not_a_member(ck, e->span, e->text, want);
        mp_str text = ck_source(ck, e->span);
        ck_error(ck, "E0306", e->span, "`%.*s` is outside of what %.*s can be", MP_STR_ARG(text),
                 MP_STR_ARG(want_noun));
        return ck_poison(ck, e->span);
    }
    struct mp_diag *d = ck_error(ck, "E0302", e->span, "%s is %.*s, and this is %.*s", what,
                                 MP_STR_ARG(want_noun), MP_STR_ARG(noun));
    ck_label(d, e->span, "%.*s", MP_STR_ARG(noun));
    if (ck_is_number(want)) {
        struct mp_t_expr other = {.kind = MP_TX_WALK, .type = want};
        ck_literal_help(d, ck, e, &other);
    }
    return ck_poison(ck, e->span);
}

/* ---- two sides ---- */

static bool sides_differ(struct ck *ck, struct mp_t_expr *a, struct mp_t_expr *b, const char *verb)
{
    mp_str left = ck_type_noun(ck, a->type), right = ck_type_noun(ck, b->type);
    bool left_literal = ck_is_literal_number(a) && !ck_is_literal_number(b);
    struct mp_span at = left_literal ? a->span : b->span;
    bool percent = a->type.base == MP_TYPE_PERCENT && ck_is_literal_number(b);
    struct mp_diag *d =
        percent ? ck_error(ck, "E0301", at, "a percent is %s a bare number", verb)
                : ck_error(ck, "E0301", at, "%.*s is %s %.*s", MP_STR_ARG(left), verb,
                           MP_STR_ARG(right));
    ck_label(d, b->span, "%.*s", MP_STR_ARG(right));
    ck_label(d, a->span, "%.*s", MP_STR_ARG(left));
    if (b->type.base == MP_TYPE_CIDR || a->type.base == MP_TYPE_CIDR)
        ck_help(d, "`in` asks for a range");
    ck_literal_help(d, ck, a, b);
    return false;
}

static struct mp_t_expr *widened(struct ck *ck, struct mp_t_expr *e)
{
    return is_narrow(e->type.base) ? ck_convert(ck, e, MP_TYPE_INT) : e;
}

static bool same_numbers(struct ck *ck, struct mp_t_expr **a, struct mp_t_expr **b)
{
    if ((*a)->type.base == (*b)->type.base) return true;
    ck_match_score(ck, a, b);
    if ((*a)->type.base == (*b)->type.base) return true;
    *a = widened(ck, *a);
    *b = widened(ck, *b);
    enum mp_type left = (*a)->type.base, right = (*b)->type.base;
    if (left == MP_TYPE_INT && right == MP_TYPE_NUMBER) *a = ck_convert(ck, *a, right);
    if (left == MP_TYPE_NUMBER && right == MP_TYPE_INT) *b = ck_convert(ck, *b, left);
    return (*a)->type.base == (*b)->type.base;
}

bool ck_same_side(struct ck *ck, struct mp_t_expr **a, struct mp_t_expr **b, struct mp_span span,
                  const char *verb)
{
    if (ck_bad(*a) || ck_bad(*b)) return true;
    if (ck_is_number((*a)->type) && ck_is_number((*b)->type)) {
        return same_numbers(ck, a, b) || sides_differ(ck, *a, *b, verb);
    }
    if (!ck_is_scalar((*a)->type) || !ck_is_scalar((*b)->type)) return sides_differ(ck, *a, *b,
                                                                                    verb);
    struct mp_t_expr *as_left = ck_try_coerce(ck, *b, (*a)->type);
    if (as_left != NULL) {
        *b = as_left;
        return true;
    }
    struct mp_t_expr *as_right = ck_try_coerce(ck, *a, (*b)->type);
    if (as_right != NULL) {
        *a = as_right;
        return true;
    }
    bool closed = (*a)->type.base == MP_TYPE_ENUM || (*a)->type.base == MP_TYPE_HOOK;
    if (closed && is_literal_text(*b)) {
        *b = ck_not_a_member(ck, (*b)->span, (*b)->text, (*a)->type);
        return true;
    }
    return sides_differ(ck, *a, *b, verb);
}

struct mp_t_expr *ck_compare(struct ck *ck, enum mp_t_cmp cmp, struct mp_t_expr *a,
                             struct mp_t_expr *b,
                             struct mp_span span)
{
    if (!ck_same_side(ck, &a, &b, span, "compared with")) return ck_poison(ck, span);
    if (ck_bad(a) || ck_bad(b)) return ck_poison(ck, span);
    bool equality = cmp == MP_T_EQ || cmp == MP_T_NE;
    if (!equality && !ck_is_number(a->type)) {
        mp_str noun = ck_type_noun(ck, a->type);
        struct mp_diag *d = ck_error(ck, "E0301", span, "%.*s has no order", MP_STR_ARG(noun));
        ck_label(d, a->span, "%.*s", MP_STR_ARG(noun));
        return ck_poison(ck, span);
    }
    if (mp_type_rep(a->type.base) == MP_REP_N || a->type.base == MP_TYPE_CIDR) {
        mp_str noun = ck_type_noun(ck, a->type);
        ck_error(ck, "E0301", span, "%.*s cannot be compared", MP_STR_ARG(noun));
        return ck_poison(ck, span);
    }
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CMP, ck_type(MP_TYPE_BOOL), span);
    e->op.cmp = cmp;
    e->kid[0] = a;
    e->kid[1] = b;
    e->may_be_unknown = a->may_be_unknown || b->may_be_unknown;
    return e;
}
