/* SPDX-License-Identifier: Apache-2.0 */
#include "check/check_priv.h"

/* What UNIT's `how` says; see check_units.def. */
enum how { HOW_II, HOW_FF, HOW_FI, HOW_PER, HOW_TIMES };

struct unit_row {
    enum mp_t_arith op;
    enum mp_type left, right, result;
    enum how how;
};

static const struct unit_row unit_rows[] = {
#define UNIT(op, left, right, result, how)                                                         \
    {MP_T_##op, MP_TYPE_##left, MP_TYPE_##right, MP_TYPE_##result, HOW_##how},
#include "check/check_units.def"
#undef UNIT
};

bool ck_type_eq(struct mp_t_type a, struct mp_t_type b)
{
    if (a.base != b.base || a.is_set != b.is_set || a.is_map != b.is_map) return false;
    if (a.base == MP_TYPE_ENTITY) return a.entity == b.entity;
    if (a.base != MP_TYPE_ENUM) return true;
    if (a.member_count != b.member_count) return false;
    for (uint32_t i = 0; i < a.member_count; i++) {
        if (!mp_str_eq(a.members[i], b.members[i])) return false;
    }
    return true;
}

bool ck_is_scalar(struct mp_t_type t) { return !t.is_set && !t.is_map; }

bool ck_is_poison(struct mp_t_type t) { return t.base == MP_TYPE_NONE; }

static bool is_widening(enum mp_type t)
{
    return t == MP_TYPE_STATUS || t == MP_TYPE_PORT || t == MP_TYPE_ASN || t == MP_TYPE_COUNTER;
}

bool ck_is_number(struct mp_t_type t)
{
    if (!ck_is_scalar(t)) return false;
    return (t.base >= MP_TYPE_INT && t.base <= MP_TYPE_SCORE) || is_widening(t.base);
}

bool ck_is_text(struct mp_t_type t)
{
    return ck_is_scalar(t) && mp_type_rep(t.base) == MP_REP_T && t.base != MP_TYPE_ENUM;
}

/* The type an entity's key has: its value is the key. */
struct mp_t_type ck_key_type(struct mp_t_type t)
{
    if (t.base != MP_TYPE_ENTITY || t.is_map) return t;
    struct mp_t_type key = t.entity->attrs[0].type;
    key.is_set = t.is_set;
    return key;
}

enum mp_rep ck_rep(struct mp_t_type t)
{
    if (t.is_set) return MP_REP_S;
    return mp_type_rep(ck_key_type(t).base);
}

mp_str ck_type_word(struct ck *ck, struct mp_t_type t)
{
    mp_str word = t.base == MP_TYPE_ENTITY ? t.entity->name : mp_type_word(t.base);
    if (t.is_map && t.is_set) return ck_printf(ck, "map of set of %.*s", MP_STR_ARG(word));
    if (t.is_map) return ck_printf(ck, "map of %.*s", MP_STR_ARG(word));
    if (t.is_set) return ck_printf(ck, "set of %.*s", MP_STR_ARG(word));
    return word;
}

mp_str ck_type_noun(struct ck *ck, struct mp_t_type t)
{
    if (t.is_set || t.is_map) return ck_printf(ck, "a %.*s", MP_STR_ARG(ck_type_word(ck, t)));
    if (t.base == MP_TYPE_ENTITY) {
        bool vowel = t.entity->name.len > 0 && strchr("aeiou", t.entity->name.ptr[0]) != NULL;
        return ck_printf(ck, "%s %.*s", vowel ? "an" : "a", MP_STR_ARG(t.entity->name));
    }
    if (t.base == MP_TYPE_ENUM && t.member_count > 0) {
        struct mp_buf b;
        mp_buf_init(&b, ck->perm);
        mp_buf_puts(&b, "one of ");
        for (uint32_t i = 0; i < t.member_count; i++) {
            if (i > 0) mp_buf_puts(&b, ", ");
            mp_buf_put(&b, t.members[i]);
        }
        return ck_buf_text(ck, &b);
    }
    return mp_type_noun(t.base);
}

/* ---- nodes ---- */

struct mp_t_expr *ck_expr(struct ck *ck, enum mp_t_kind kind, struct mp_t_type type,
                          struct mp_span span)
{
    struct mp_t_expr *e = CK_NEW(ck, struct mp_t_expr, 1);
    ck->nodes++;
    e->kind = kind;
    e->type = type;
    e->span = span;
    return e;
}

struct mp_t_expr *ck_poison(struct ck *ck, struct mp_span span)
{
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CONST, ck_type(MP_TYPE_NONE), span);
    e->may_be_unknown = true;
    return e;
}

bool ck_bad(const struct mp_t_expr *e) { return ck_is_poison(e->type); }

struct mp_t_expr *ck_const_int(struct ck *ck, enum mp_type type, int64_t value, struct mp_span span)
{
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CONST, ck_type(type), span);
    e->value = mp_value_int(value);
    return e;
}

struct mp_t_expr *ck_const_num(struct ck *ck, enum mp_type type, double value, struct mp_span span)
{
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CONST, ck_type(type), span);
    e->value = mp_value_num(value);
    return e;
}

struct mp_t_expr *ck_const_bool(struct ck *ck, bool value, struct mp_span span)
{
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CONST, ck_type(MP_TYPE_BOOL), span);
    e->value = mp_value_bool(value);
    return e;
}

struct mp_t_expr *ck_const_text(struct ck *ck, struct mp_t_type type, mp_str text,
                                struct mp_span span)
{
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CONST, type, span);
    e->value = mp_value_text(text);
    e->text = text;
    return e;
}

bool ck_has_wildcard(mp_str text)
{
    return memchr(text.ptr, '*', text.len) != NULL || memchr(text.ptr, '?', text.len) != NULL;
}

/* ---- conversions ---- */

static double as_double(const struct mp_t_expr *e)
{
    MP_ASSERT(e->kind == MP_TX_CONST);
    return mp_type_rep(e->type.base) == MP_REP_F ? mp_value_as_num(e->value)
                                                 : (double)mp_value_as_int(e->value);
}

double ck_const_double(const struct mp_t_expr *e) { return as_double(e); }

static bool fits_int(const struct mp_t_expr *e)
{
    double rounded = __builtin_rint(as_double(e));
    return rounded >= -0x1p63 && rounded < 0x1p63;
}

/* From `e` to `to`, both numbers: a node where the representation changes, else the same value
 * under another unit. A constant stays a constant, but for one that is too large to be an int:
 * that is unknown when it is evaluated (R10). */
struct mp_t_expr *ck_convert(struct ck *ck, struct mp_t_expr *e, enum mp_type to)
{
    if (e->type.base == to && ck_is_scalar(e->type)) return e;
    enum mp_rep from_rep = mp_type_rep(e->type.base), to_rep = mp_type_rep(to);
    if (e->kind == MP_TX_CONST && (from_rep == to_rep || to_rep == MP_REP_F || fits_int(e))) {
        struct mp_t_expr *c = ck_expr(ck, MP_TX_CONST, ck_type(to), e->span);
        if (from_rep == to_rep) {
            c->value = e->value;
        } else if (to_rep == MP_REP_F) {
            c->value = mp_value_num(as_double(e));
        } else {
            c->value = mp_value_int((int64_t)__builtin_rint(as_double(e)));
        }
        c->text = e->text;
        return c;
    }
    if (from_rep == to_rep) {
        /* The value is the same; only the word for it changes. */
        struct mp_t_expr *same = CK_NEW(ck, struct mp_t_expr, 1);
        *same = *e;
        same->type = ck_type(to);
        return same;
    }
    struct mp_t_expr *c = ck_expr(ck, MP_TX_CONVERT, ck_type(to), e->span);
    c->kid[0] = e;
    c->text = e->text;
    c->may_be_unknown = e->may_be_unknown || to_rep == MP_REP_I;
    return c;
}

/* status, port, asn and counter are ints in arithmetic. */
static struct mp_t_expr *widen(struct ck *ck, struct mp_t_expr *e)
{
    return is_widening(e->type.base) ? ck_convert(ck, e, MP_TYPE_INT) : e;
}

static bool is_plain_number(enum mp_type t) { return t == MP_TYPE_INT || t == MP_TYPE_NUMBER; }

bool ck_is_literal_number(const struct mp_t_expr *e)
{
    return e->kind == MP_TX_CONST && ck_is_scalar(e->type) && is_plain_number(e->type.base);
}

/* ---- arithmetic ---- */

static struct mp_t_expr *arith_node(struct ck *ck, enum mp_t_arith op, enum mp_type type,
                                    struct mp_t_expr *a, struct mp_t_expr *b, struct mp_span span)
{
    bool floating = mp_type_rep(type) == MP_REP_F;
    if (a->kind == MP_TX_CONST && b->kind == MP_TX_CONST) {
        if (floating) {
            double x = as_double(a), y = as_double(b), r = 0;
            switch (op) {
            case MP_T_ADD: r = x + y; break;
            case MP_T_SUB: r = x - y; break;
            case MP_T_MUL: r = x * y; break;
            case MP_T_DIV: r = x / y; break;
            }
            if (r - r == 0) return ck_const_num(ck, type, r, span); /* neither NaN nor infinite */
        } else {
            int64_t x = mp_value_as_int(a->value), y = mp_value_as_int(b->value), r = 0;
            bool over = op == MP_T_ADD   ? __builtin_add_overflow(x, y, &r)
                        : op == MP_T_SUB ? __builtin_sub_overflow(x, y, &r)
                                         : __builtin_mul_overflow(x, y, &r);
            if (!over) return ck_const_int(ck, type, r, span);
        }
    }
    struct mp_t_expr *e = ck_expr(ck, MP_TX_ARITH, ck_type(type), span);
    e->op.arith = op;
    e->kid[0] = a;
    e->kid[1] = b;
    e->may_be_unknown = true; /* overflow and division by zero are unknown (R10) */
    return e;
}

/* A duration as a number of seconds. */
static struct mp_t_expr *seconds(struct ck *ck, struct mp_t_expr *e)
{
    return arith_node(ck, MP_T_DIV, MP_TYPE_NUMBER, ck_convert(ck, e, MP_TYPE_NUMBER),
                      ck_const_num(ck, MP_TYPE_NUMBER, 1e9, e->span), e->span);
}

static const struct unit_row *find_row(enum mp_t_arith op, enum mp_type left, enum mp_type right)
{
    for (size_t i = 0; i < sizeof unit_rows / sizeof *unit_rows; i++) {
        const struct unit_row *r = &unit_rows[i];
        if (r->op == op && r->left == left && r->right == right) return r;
    }
    return NULL;
}

static struct mp_t_expr *apply_row(struct ck *ck, const struct unit_row *row, struct mp_t_expr *a,
                                   struct mp_t_expr *b, struct mp_span span)
{
    enum mp_type number = MP_TYPE_NUMBER;
    switch (row->how) {
    case HOW_II: return arith_node(ck, row->op, row->result, a, b, span);
    case HOW_PER:
        return arith_node(ck, row->op, row->result, ck_convert(ck, a, number), seconds(ck, b),
                          span);
    case HOW_TIMES:
        if (a->type.base == MP_TYPE_DURATION) {
            struct mp_t_expr *swap = a;
            a = b;
            b = swap;
        }
        return ck_convert(ck,
                          arith_node(ck, row->op, number, ck_convert(ck, a, number), seconds(ck, b),
                                     span),
                          row->result);
    case HOW_FI:
        return ck_convert(ck,
                          arith_node(ck, row->op, number, ck_convert(ck, a, number),
                                     ck_convert(ck, b, number), span),
                          row->result);
    case HOW_FF: break;
    }
    return arith_node(ck, row->op, row->result, ck_convert(ck, a, row->result),
                      ck_convert(ck, b, row->result), span);
}

static struct mp_t_expr *unit_error(struct ck *ck, enum mp_t_arith op, struct mp_t_expr *a,
                                    struct mp_t_expr *b, struct mp_span span)
{
    static const char *const verbs[] = {"added to", "subtracted from", "multiplied by",
                                        "divided by"};
    struct mp_str_pair { mp_str left, right; } noun = {ck_type_noun(ck, a->type),
                                                       ck_type_noun(ck, b->type)};
    struct mp_diag *d;
    if (op == MP_T_ADD || op == MP_T_SUB) {
        d = ck_error(ck, "E0301", b->span, "%.*s cannot be %s %.*s", MP_STR_ARG(noun.right),
                     verbs[op],
                     MP_STR_ARG(noun.left));
    } else {
        d = ck_error(ck, "E0301", b->span, "%.*s cannot be %s %.*s", MP_STR_ARG(noun.left),
                     verbs[op],
                     MP_STR_ARG(noun.right));
    }
    ck_label(d, a->span, "%.*s", MP_STR_ARG(noun.left));
    ck_label(d, b->span, "%.*s", MP_STR_ARG(noun.right));
    ck_literal_help(d, ck, a, b);
    return ck_poison(ck, span);
}

/* For a bare number beside a percent, what was probably meant. */
void ck_literal_help(struct mp_diag *d, struct ck *ck, const struct mp_t_expr *a,
                     const struct mp_t_expr *b)
{
    const struct mp_t_expr *literal = ck_is_literal_number(a) ? a : b;
    const struct mp_t_expr *other = literal == a ? b : a;
    if (!ck_is_literal_number(literal)) return;
    mp_str text = ck_source(ck, literal->span);
    if (other->type.base == MP_TYPE_PERCENT) {
        ck_help(d, "write `%.*s%%`", MP_STR_ARG(text));
    } else if (other->type.base == MP_TYPE_DURATION) {
        ck_help(d, "a time needs a unit: `%.*ss`, `%.*sms`", MP_STR_ARG(text), MP_STR_ARG(text));
    } else if (other->type.base == MP_TYPE_RATE) {
        ck_help(d, "a rate needs a time: `%.*s/s`, `%.*s/min`", MP_STR_ARG(text), MP_STR_ARG(text));
    } else if (other->type.base == MP_TYPE_SIZE) {
        ck_help(d, "a size needs a unit: `%.*sMiB`, `%.*sB`", MP_STR_ARG(text), MP_STR_ARG(text));
    } else if (other->type.base == MP_TYPE_BANDWIDTH) {
        ck_help(d, "a bandwidth needs a unit: `%.*sMiB/s`", MP_STR_ARG(text));
    }
}

struct mp_t_expr *ck_arith(struct ck *ck, enum mp_t_arith op, struct mp_t_expr *a,
                           struct mp_t_expr *b, struct mp_span span)
{
    if (ck_bad(a) || ck_bad(b)) return ck_poison(ck, span);
    if (!ck_is_number(a->type) || !ck_is_number(b->type)) return unit_error(ck, op, a, b, span);
    a = widen(ck, a);
    b = widen(ck, b);
    if (op == MP_T_ADD || op == MP_T_SUB) ck_match_score(ck, &a, &b);
    enum mp_type left = a->type.base, right = b->type.base;
    /* `5% * count`: the literal is the factor. `x / 2`: a share of x, in its unit. */
    if (op == MP_T_MUL && left == MP_TYPE_PERCENT && a->kind == MP_TX_CONST &&
        is_plain_number(right) &&
        b->kind != MP_TX_CONST) {
        a = ck_convert(ck, a, left = MP_TYPE_NUMBER);
    } else if (op == MP_T_MUL && right == MP_TYPE_PERCENT && b->kind == MP_TX_CONST &&
               is_plain_number(left) && a->kind != MP_TX_CONST) {
        b = ck_convert(ck, b, right = MP_TYPE_NUMBER);
    } else if (op == MP_T_DIV && is_plain_number(left) && ck_is_literal_number(b)) {
        return arith_node(ck, op, MP_TYPE_NUMBER, ck_convert(ck, a, MP_TYPE_NUMBER),
                          ck_convert(ck, b, MP_TYPE_NUMBER), span);
    }
    const struct unit_row *row = find_row(op, left, right);
    if (row == NULL && (op == MP_T_ADD || op == MP_T_MUL)) row = find_row(op, right, left);
    if (row == NULL) return unit_error(ck, op, a, b, span);
    return apply_row(ck, row, a, b, span);
}

struct mp_t_expr *ck_negate(struct ck *ck, struct mp_t_expr *a, struct mp_span span)
{
    if (ck_bad(a)) return ck_poison(ck, span);
    if (!ck_is_number(a->type)) {
        mp_str noun = ck_type_noun(ck, a->type);
        ck_error(ck, "E0301", span, "%.*s has no negative", MP_STR_ARG(noun));
        return ck_poison(ck, span);
    }
    a = widen(ck, a);
    if (a->kind == MP_TX_CONST) {
        if (mp_type_rep(a->type.base) == MP_REP_F) {
            return ck_const_num(ck, a->type.base, -mp_value_as_num(a->value), span);
        }
        int64_t r;
        if (!__builtin_sub_overflow((int64_t)0, mp_value_as_int(a->value), &r)) {
            return ck_const_int(ck, a->type.base, r, span);
        }
    }
    struct mp_t_expr *e = ck_expr(ck, MP_TX_NEG, a->type, span);
    e->kid[0] = a;
    e->may_be_unknown = true;
    return e;
}

/* A literal number or percent in 0..1 beside a score is one. */
void ck_match_score(struct ck *ck, struct mp_t_expr **a, struct mp_t_expr **b)
{
    struct mp_t_expr **literal = (*a)->type.base == MP_TYPE_SCORE ? b : a;
    struct mp_t_expr *other = literal == a ? *b : *a;
    if (other->type.base != MP_TYPE_SCORE || (*literal)->kind != MP_TX_CONST) return;
    enum mp_type t = (*literal)->type.base;
    if (!is_plain_number(t) && t != MP_TYPE_PERCENT) return;
    double v = as_double(*literal);
    if (v >= 0 && v <= 1) *literal = ck_convert(ck, *literal, MP_TYPE_SCORE);
}
