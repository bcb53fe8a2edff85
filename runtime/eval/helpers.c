/* SPDX-License-Identifier: Apache-2.0
 * helpers.c - every op whose operands must be known, one function each: what generated code calls
 * where it has nothing better, and what the interpreter calls for all that is not arithmetic.
 */
#include "base/assert.h"
#include "eval/exec.h"
#include "eval/ops_priv.h"
#include "program/list.h"

#define HELPER(name)                                                                               \
    static bool name(const struct mp_inputs *in, uint32_t k, const struct mp_value *a,             \
                     const struct mp_value *b, const struct mp_value *c, struct mp_value *out)

#define IGNORE(x) (void)(x)

static bool put(struct mp_value *out, struct mp_value v, bool known)
{
    *out = known ? v : mp_value_int(0);
    return known;
}

static bool put_bool(struct mp_value *out, bool b) { return put(out, mp_value_bool(b), true); }

/* ---- numbers ---- */

#define COMPARE(name, op, as)                                                                      \
    HELPER(name)                                                                                   \
    {                                                                                              \
        IGNORE(in), IGNORE(k), IGNORE(c);                                                          \
        return put_bool(out, as(*a) op as(*b));                                                    \
    }
COMPARE(eq_b, ==, mp_value_as_int)
COMPARE(eq_i, ==, mp_value_as_int)
COMPARE(lt_i, <, mp_value_as_int)
COMPARE(le_i, <=, mp_value_as_int)
COMPARE(eq_f, ==, mp_value_as_num)
COMPARE(lt_f, <, mp_value_as_num)
COMPARE(le_f, <=, mp_value_as_num)

#define INT_OP(name, call)                                                                         \
    HELPER(name)                                                                                   \
    {                                                                                              \
        IGNORE(in), IGNORE(k), IGNORE(b), IGNORE(c);                                               \
        int64_t n = 0;                                                                             \
        bool known = call;                                                                         \
        return put(out, mp_value_int(n), known);                                                   \
    }
#define A_INT mp_value_as_int(*a)
#define B_INT mp_value_as_int(*b)
INT_OP(add_i, mp_op_add(A_INT, B_INT, &n))
INT_OP(sub_i, mp_op_sub(A_INT, B_INT, &n))
INT_OP(mul_i, mp_op_mul(A_INT, B_INT, &n))
INT_OP(neg_i, mp_op_sub(0, A_INT, &n))
INT_OP(abs_i, mp_op_abs(A_INT, &n))
INT_OP(pow_i, mp_op_pow_int(A_INT, B_INT, &n))
INT_OP(clamp_i, mp_op_clamp_int(A_INT, B_INT, mp_value_as_int(*c), &n))
INT_OP(f2i, mp_op_nearest(mp_value_as_num(*a), &n))

#define NUM_OP(name, value)                                                                        \
    HELPER(name)                                                                                   \
    {                                                                                              \
        IGNORE(in), IGNORE(k), IGNORE(b), IGNORE(c);                                               \
        double f = value;                                                                          \
        return put(out, mp_value_num(f), mp_op_finite(f));                                         \
    }
#define A_NUM mp_value_as_num(*a)
#define B_NUM mp_value_as_num(*b)
NUM_OP(add_f, A_NUM + B_NUM)
NUM_OP(sub_f, A_NUM - B_NUM)
NUM_OP(mul_f, A_NUM * B_NUM)
NUM_OP(div_f, A_NUM / B_NUM)
NUM_OP(neg_f, -A_NUM)
NUM_OP(abs_f, mp_op_abs_num(A_NUM))
NUM_OP(i2f, (double)A_INT)

HELPER(pow_f)
{
    IGNORE(in), IGNORE(k), IGNORE(c);
    double f = 0;
    bool known = mp_op_pow_num(A_NUM, B_INT, &f);
    return put(out, mp_value_num(f), known);
}

HELPER(clamp_f)
{
    IGNORE(in), IGNORE(k);
    double f = 0;
    bool known = mp_op_clamp_num(A_NUM, B_NUM, mp_value_as_num(*c), &f);
    return put(out, mp_value_num(f), known);
}

/* ---- equality, membership ---- */

HELPER(eq_t)
{
    IGNORE(in), IGNORE(k), IGNORE(c);
    return put_bool(out, mp_value_text_eq(*a, *b));
}

HELPER(eq_a)
{
    IGNORE(in), IGNORE(k), IGNORE(c);
    return put_bool(out, a->w[0] == b->w[0] && a->w[1] == b->w[1]);
}

HELPER(in_net)
{
    IGNORE(b), IGNORE(c);
    const struct mp_cnst_row *net = &in->program->cnst[k];
    uint32_t bits = net->type == MP_TYPE_CIDR ? net->bits : 128;
    return put_bool(out, mp_value_in_net(*a, in->consts[k], bits));
}

HELPER(in_list)
{
    IGNORE(b), IGNORE(c);
    return put_bool(out, mp_list_has(in->program, k, a));
}

HELPER(in_set)
{
    IGNORE(in), IGNORE(c);
    const struct mp_value *member = (const struct mp_value *)(uintptr_t)b->w[0];
    uint64_t count = b->w[1];
    bool found = false;
    for (uint64_t i = 0; i < count && !found; i++)
        found = mp_value_eq((enum mp_rep)k, *a, member[i]);
    return put_bool(out, found);
}

/* ---- text ---- */

typedef bool (*text_test)(mp_str text, mp_str other);

static bool contains(mp_str s, mp_str part)
{
    if (part.len == 0) return true;
    while (s.len >= part.len) {
        const char *at = memchr(s.ptr, part.ptr[0], s.len - part.len + 1);
        if (at == NULL) return false;
        if (memcmp(at, part.ptr, part.len) == 0) return true;
        s = mp_str_sub(s, (size_t)(at - s.ptr) + 1, s.len);
    }
    return false;
}

#define TEXT_TEST(name, test)                                                                      \
    HELPER(name)                                                                                   \
    {                                                                                              \
        IGNORE(in), IGNORE(k), IGNORE(c);                                                          \
        return put_bool(out, test(mp_value_as_text(a), mp_value_as_text(b)));                      \
    }
TEXT_TEST(like, mp_value_like)
TEXT_TEST(starts, mp_str_starts)
TEXT_TEST(ends, mp_str_ends)
TEXT_TEST(contains_text, contains)

static bool any_member(const struct mp_inputs *in, uint32_t list, const struct mp_value *a,
                       text_test test)
{
    const struct mp_list_row *l = &in->program->list[list];
    mp_str text = mp_value_as_text(a);
    for (uint32_t i = 0; i < l->items_count; i++) {
        const struct mp_value *member = &in->consts[in->program->item[l->items_at + i].value];
        if (test(text, mp_value_as_text(member))) return true;
    }
    return false;
}

#define LIST_TEST(name, test)                                                                      \
    HELPER(name)                                                                                   \
    {                                                                                              \
        IGNORE(b), IGNORE(c);                                                                      \
        return put_bool(out, any_member(in, k, a, test));                                          \
    }
LIST_TEST(list_like, mp_value_like)
LIST_TEST(list_starts, mp_str_starts)
LIST_TEST(list_ends, mp_str_ends)
LIST_TEST(list_contains, contains)

static enum mp_match search(const struct mp_inputs *in, uint32_t cnst, const struct mp_value *a)
{
    const struct mp_program *p = in->program;
    return p->os->regex_match(p->os->ctx, p->regexes[cnst], mp_value_as_text(a));
}

HELPER(matches)
{
    IGNORE(b), IGNORE(c);
    enum mp_match m = search(in, k, a);
    return put(out, mp_value_bool(m == MP_MATCH_YES), m != MP_MATCH_LIMIT);
}

HELPER(matches_limit)
{
    IGNORE(b), IGNORE(c);
    return put_bool(out, search(in, k, a) != MP_MATCH_NO);
}

HELPER(list_matches)
{
    IGNORE(b), IGNORE(c);
    const struct mp_list_row *l = &in->program->list[k];
    bool limit = false;
    for (uint32_t i = 0; i < l->items_count; i++) {
        enum mp_match m = search(in, in->program->item[l->items_at + i].value, a);
        if (m == MP_MATCH_YES) return put_bool(out, true);
        limit |= m == MP_MATCH_LIMIT;
    }
    return put(out, mp_value_bool(false), !limit);
}

static char lower_char(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

HELPER(lower)
{
    IGNORE(b), IGNORE(c);
    mp_str text = mp_value_as_text(a);
    if (text.len > MP_TEXT_LOWER_MAX) return put(out, *a, false);
    char inline_text[MP_TEXT_INLINE];
    char *to = inline_text;
    if (text.len > MP_TEXT_INLINE) {
        struct mp_eval_scratch *s = in->scratch;
        MP_ASSERT(s != NULL && k < MP_FN_LOWER_MAX);
        to = s->text[k];
    }
    for (size_t i = 0; i < text.len; i++) to[i] = lower_char(text.ptr[i]);
    return put(out, mp_value_text((mp_str){to, text.len}), true);
}

HELPER(length)
{
    IGNORE(in), IGNORE(k), IGNORE(b), IGNORE(c);
    return put(out, mp_value_int(mp_value_text_len(*a)), true);
}

HELPER(number)
{
    IGNORE(in), IGNORE(k), IGNORE(b), IGNORE(c);
    double f = 0;
    bool known = mp_value_number(mp_value_as_text(a), &f);
    return put(out, mp_value_num(f), known);
}

/* The segment of s that begins at `at`, up to the next `/`. */
static mp_str segment(mp_str s, size_t at)
{
    mp_str rest = mp_str_sub(s, at, s.len);
    const char *end = rest.len == 0 ? NULL : memchr(rest.ptr, '/', rest.len);
    return mp_str_sub(rest, 0, end == NULL ? rest.len : (size_t)(end - rest.ptr));
}

/* spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT, each part as far as the identity has that form. */
static mp_str id_part(mp_str id, uint32_t part)
{
    static const mp_str before[3] = {MP_STR_INIT("spiffe://"), MP_STR_INIT("/ns/"),
                                     MP_STR_INIT("/sa/")};
    size_t at = 0;
    mp_str found = {"", 0};
    for (uint32_t i = 0; i <= part; i++) {
        if (!mp_str_starts(mp_str_sub(id, at, id.len), before[i])) return (mp_str){"", 0};
        at += before[i].len;
        found = segment(id, at);
        if (found.len == 0) return found;
        at += found.len;
    }
    return found;
}

HELPER(id_part_of)
{
    IGNORE(in), IGNORE(b), IGNORE(c);
    struct mp_value id = *a; /* out may be a */
    mp_str part = id_part(mp_value_as_text(&id), k);
    return put(out, mp_value_text(part), part.len > 0);
}

HELPER(set_size)
{
    IGNORE(in), IGNORE(k), IGNORE(b), IGNORE(c);
    return put(out, mp_value_int((int64_t)a->w[1]), true);
}

const mp_op_helper mp_exec_helpers[MP_OP_COUNT] = {
    [MP_OP_EQ_B] = eq_b, [MP_OP_EQ_I] = eq_i, [MP_OP_LT_I] = lt_i, [MP_OP_LE_I] = le_i,
    [MP_OP_EQ_F] = eq_f, [MP_OP_LT_F] = lt_f, [MP_OP_LE_F] = le_f,
    [MP_OP_EQ_T] = eq_t, [MP_OP_EQ_A] = eq_a,
    [MP_OP_ADD_I] = add_i, [MP_OP_SUB_I] = sub_i, [MP_OP_MUL_I] = mul_i, [MP_OP_NEG_I] = neg_i,
    [MP_OP_ABS_I] = abs_i, [MP_OP_ADD_F] = add_f, [MP_OP_SUB_F] = sub_f, [MP_OP_MUL_F] = mul_f,
    [MP_OP_DIV_F] = div_f, [MP_OP_NEG_F] = neg_f, [MP_OP_ABS_F] = abs_f, [MP_OP_I_TO_F] = i2f,
    [MP_OP_F_TO_I] = f2i, [MP_OP_POW_F] = pow_f, [MP_OP_POW_I] = pow_i,
    [MP_OP_CLAMP_I] = clamp_i, [MP_OP_CLAMP_F] = clamp_f,
    [MP_OP_IN_NET] = in_net, [MP_OP_IN_LIST] = in_list, [MP_OP_IN_SET] = in_set,
    [MP_OP_LIKE] = like, [MP_OP_STARTS] = starts, [MP_OP_ENDS] = ends,
    [MP_OP_CONTAINS] = contains_text, [MP_OP_MATCHES] = matches,
    [MP_OP_LIST_LIKE] = list_like, [MP_OP_LIST_STARTS] = list_starts, [MP_OP_LIST_ENDS] = list_ends,
    [MP_OP_LIST_CONTAINS] = list_contains, [MP_OP_LIST_MATCHES] = list_matches,
    [MP_OP_MATCHES_LIMIT] = matches_limit,
    [MP_OP_LOWER] = lower, [MP_OP_LENGTH] = length, [MP_OP_NUMBER] = number,
    [MP_OP_ID_PART] = id_part_of, [MP_OP_SET_SIZE] = set_size,
};
