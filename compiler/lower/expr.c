/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* ---- comparisons ---- */

/* An operand for which larger values can only confirm (1), only refute (-1), or neither (0): R5. */
static uint32_t signed_expr(struct lw_ctx *c, const struct mp_t_expr *e, int sign)
{
    int outer = c->sign;
    c->sign = sign;
    uint32_t value = lw_expr(c, e);
    c->sign = outer;
    return value;
}

static uint32_t negated(struct lw_ctx *c, uint32_t value)
{
    return lw_op(c, MP_OP_NOT, value, 0, 0);
}

static uint32_t equal(struct lw_ctx *c, uint32_t a, uint32_t b, struct mp_span span)
{
    switch (mp_ir_rep(c->fn, a)) {
    case MP_REP_B: return lw_op(c, MP_OP_EQ_B, a, b, 0);
    case MP_REP_I: return lw_op(c, MP_OP_EQ_I, a, b, 0);
    case MP_REP_F: return lw_op(c, MP_OP_EQ_F, a, b, 0);
    case MP_REP_T: return lw_op(c, MP_OP_EQ_T, a, b, 0);
    case MP_REP_A: return lw_op(c, MP_OP_EQ_A, a, b, 0);
    default: lw_refuse(c->lw, span, "a comparison of sets");
    }
}

static uint32_t less(struct lw_ctx *c, uint32_t a, uint32_t b, bool or_equal, struct mp_span span)
{
    enum mp_rep rep = mp_ir_rep(c->fn, a);
    if (rep == MP_REP_I) return lw_op(c, or_equal ? MP_OP_LE_I : MP_OP_LT_I, a, b, 0);
    if (rep == MP_REP_F) return lw_op(c, or_equal ? MP_OP_LE_F : MP_OP_LT_F, a, b, 0);
    lw_refuse(c->lw, span, "an order of values that are no numbers");
}

static bool is_pattern(const struct mp_t_expr *e)
{
    return e->type.base == MP_TYPE_PATTERN;
}

int lw_cmp_sign(const struct mp_t_expr *e)
{
    enum mp_t_cmp cmp = e->op.cmp;
    if (cmp == MP_T_EQ || cmp == MP_T_NE) return 0;
    return cmp == MP_T_GT || cmp == MP_T_GE ? 1 : -1;
}

static uint32_t compare(struct lw_ctx *c, const struct mp_t_expr *e)
{
    enum mp_t_cmp cmp = e->op.cmp;
    int sign = lw_cmp_sign(e);
    uint32_t a = signed_expr(c, e->kid[0], sign);
    uint32_t b = signed_expr(c, e->kid[1], -sign);
    switch (cmp) {
    case MP_T_LT: return less(c, a, b, false, e->span);
    case MP_T_LE: return less(c, a, b, true, e->span);
    case MP_T_GT: return less(c, b, a, false, e->span);
    case MP_T_GE: return less(c, b, a, true, e->span);
    default: break;
    }
    uint32_t same = is_pattern(e->kid[1]) ? lw_op(c, MP_OP_LIKE, a, b, 0)
                                          : equal(c, a, b, e->span);
    return cmp == MP_T_NE ? negated(c, same) : same;
}

static uint32_t in_range(struct lw_ctx *c, const struct mp_t_expr *e)
{
    uint32_t x = signed_expr(c, e->kid[0], 0);
    uint32_t low = signed_expr(c, e->kid[1], 0), high = signed_expr(c, e->kid[2], 0);
    uint32_t above = less(c, low, x, true, e->span), below = less(c, x, high, true, e->span);
    return lw_op(c, MP_OP_AND, above, below, 0);
}

static uint32_t member_of(struct lw_ctx *c, const struct mp_t_expr *e)
{
    uint32_t x = signed_expr(c, e->kid[0], 0);
    if (e->list != NULL) return lw_op(c, MP_OP_IN_LIST, x, e->list->index, 0);
    const struct mp_t_expr *where = e->kid[1];
    if (where->type.base == MP_TYPE_CIDR && !where->type.is_set) {
        return lw_op(c, MP_OP_IN_NET, x, lw_const(c->lw, where), 0);
    }
    uint32_t set = signed_expr(c, where, 0);
    if (where->type.is_set) return lw_op(c, MP_OP_IN_SET, x, set, 0);
    return is_pattern(where) ? lw_op(c, MP_OP_LIKE, x, set, 0) : equal(c, x, set, e->span);
}

/* ---- patterns ---- */

/* R11: for an inline deny, a subject at which the search gave up counts as one that matches. */
static uint32_t or_gave_up(struct lw_ctx *c, uint32_t subject, uint32_t found)
{
    uint32_t there = lw_op(c, MP_OP_KNOWN, subject, 0, 0);
    uint32_t lost = negated(c, lw_op(c, MP_OP_KNOWN, found, 0, 0));
    return lw_op(c, MP_OP_OR, found, lw_op(c, MP_OP_AND, there, lost, 0), 0);
}

static uint32_t match_list(struct lw_ctx *c, const struct mp_t_expr *e, uint32_t x)
{
    static const enum mp_op op_of[] = {
        [MP_T_LIKE] = MP_OP_LIST_LIKE, [MP_T_MATCHES] = MP_OP_LIST_MATCHES,
        [MP_T_STARTS] = MP_OP_LIST_STARTS, [MP_T_ENDS] = MP_OP_LIST_ENDS,
        [MP_T_CONTAINS] = MP_OP_LIST_CONTAINS};
    uint32_t found = lw_op(c, op_of[e->op.match], x, e->list->index, 0);
    return e->op.match == MP_T_MATCHES && c->limit_is_true ? or_gave_up(c, x, found) : found;
}

static uint32_t match(struct lw_ctx *c, const struct mp_t_expr *e)
{
    static const enum mp_op op_of[] = {[MP_T_LIKE] = MP_OP_LIKE, [MP_T_STARTS] = MP_OP_STARTS,
                                       [MP_T_ENDS] = MP_OP_ENDS, [MP_T_CONTAINS] = MP_OP_CONTAINS};
    uint32_t x = signed_expr(c, e->kid[0], 0);
    if (e->list != NULL && e->kid[0]->type.is_set) {
        lw_refuse(c->lw, e->span, "a set that contains a member of a list");
    }
    if (e->list != NULL) return match_list(c, e, x);
    if (e->op.match == MP_T_MATCHES) {
        enum mp_op op = c->limit_is_true ? MP_OP_MATCHES_LIMIT : MP_OP_MATCHES;
        return lw_op(c, op, x, lw_const(c->lw, e->kid[1]), 0);
    }
    uint32_t with = signed_expr(c, e->kid[1], 0);
    if (e->kid[0]->type.is_set) return lw_op(c, MP_OP_IN_SET, with, x, 0);
    return lw_op(c, op_of[e->op.match], x, with, 0);
}

/* ---- numbers ---- */

static int sign_of_factor(const struct mp_t_expr *e)
{
    if (e->kind == MP_TX_CONVERT) return sign_of_factor(e->kid[0]);
    if (e->kind != MP_TX_CONST) return 0;
    if (lw_rep(e->type) == MP_REP_F) {
        double x = mp_value_as_num(e->value);
        return (x > 0) - (x < 0);
    }
    int64_t x = mp_value_as_int(e->value);
    return (x > 0) - (x < 0);
}

static uint32_t arith(struct lw_ctx *c, const struct mp_t_expr *e)
{
    static const enum mp_op ints[] = {[MP_T_ADD] = MP_OP_ADD_I, [MP_T_SUB] = MP_OP_SUB_I,
                                      [MP_T_MUL] = MP_OP_MUL_I};
    static const enum mp_op doubles[] = {[MP_T_ADD] = MP_OP_ADD_F, [MP_T_SUB] = MP_OP_SUB_F,
                                         [MP_T_MUL] = MP_OP_MUL_F, [MP_T_DIV] = MP_OP_DIV_F};
    int left = c->sign, right = c->sign;
    if (e->op.arith == MP_T_SUB) right = -right;
    if (e->op.arith == MP_T_MUL) right *= sign_of_factor(e->kid[0]);
    if (e->op.arith == MP_T_MUL || e->op.arith == MP_T_DIV) left *= sign_of_factor(e->kid[1]);
    if (e->op.arith == MP_T_DIV) right = 0;
    uint32_t a = signed_expr(c, e->kid[0], left), b = signed_expr(c, e->kid[1], right);
    if (lw_rep(e->kid[0]->type) == MP_REP_F) return lw_op(c, doubles[e->op.arith], a, b, 0);
    MP_ASSERT(e->op.arith != MP_T_DIV);
    return lw_op(c, ints[e->op.arith], a, b, 0);
}

static uint32_t negative(struct lw_ctx *c, const struct mp_t_expr *e)
{
    uint32_t x = signed_expr(c, e->kid[0], -c->sign);
    return lw_op(c, lw_rep(e->type) == MP_REP_F ? MP_OP_NEG_F : MP_OP_NEG_I, x, 0, 0);
}

static uint32_t convert_to(struct lw_ctx *c, uint32_t x, enum mp_rep to)
{
    enum mp_rep from = mp_ir_rep(c->fn, x);
    if (from == MP_REP_I && to == MP_REP_F) return lw_op(c, MP_OP_I_TO_F, x, 0, 0);
    if (from == MP_REP_F && to == MP_REP_I) return lw_op(c, MP_OP_F_TO_I, x, 0, 0);
    return x; /* another word for the same representation */
}

/* ---- plain functions ---- */

static uint32_t points(struct lw_ctx *c, const struct mp_t_expr *e)
{
    uint32_t truth = signed_expr(c, e->kid[0], 0);
    uint32_t n = signed_expr(c, e->kid[1], 0);
    bool f = lw_rep(e->kid[1]->type) == MP_REP_F;
    struct mp_value zero = f ? mp_value_num(0) : mp_value_int(0);
    uint32_t cnst = mp_ir_const(c->lw->ir, lw_type(e->kid[1]->type), zero, 0);
    uint32_t none = lw_op_const(c, cnst);
    return lw_op(c, MP_OP_PICK, truth, n, none);
}

static uint32_t call(struct lw_ctx *c, const struct mp_t_expr *e)
{
    if (e->op.call == MP_T_POINTS) return points(c, e);
    bool f = lw_rep(e->type) == MP_REP_F;
    int sign = e->op.call == MP_T_CLAMP ? c->sign : 0;
    uint32_t x = signed_expr(c, e->kid[0], sign);
    uint32_t y = e->kid[1] == NULL ? 0 : signed_expr(c, e->kid[1], 0);
    uint32_t z = e->kid[2] == NULL ? 0 : signed_expr(c, e->kid[2], 0);
    switch (e->op.call) {
    case MP_T_ABS: return lw_op(c, f ? MP_OP_ABS_F : MP_OP_ABS_I, x, 0, 0);
    case MP_T_LOWER: return lw_op(c, MP_OP_LOWER, x, 0, 0);
    case MP_T_LENGTH: return lw_op(c, MP_OP_LENGTH, x, 0, 0);
    case MP_T_TO_NUMBER: return lw_op(c, MP_OP_NUMBER, x, 0, 0);
    case MP_T_CLAMP: return lw_op(c, f ? MP_OP_CLAMP_F : MP_OP_CLAMP_I, x, y, z);
    case MP_T_POW: return lw_op(c, f ? MP_OP_POW_F : MP_OP_POW_I, x, y, 0);
    case MP_T_ID_PART: return lw_op(c, MP_OP_ID_PART, x, e->part, 0);
    case MP_T_POINTS: break;
    }
    MP_UNREACHABLE("a function without a row");
}

/* ---- the rest ---- */

static uint32_t constant(struct lw_ctx *c, const struct mp_t_expr *e)
{
    if (lw_rep(e->type) == MP_REP_B) return lw_op_bool(c, e->value.w[0] != 0);
    return lw_op_const(c, lw_const(c->lw, e));
}

static uint32_t both(struct lw_ctx *c, const struct mp_t_expr *e, enum mp_op op)
{
    uint32_t a = signed_expr(c, e->kid[0], 0), b = signed_expr(c, e->kid[1], 0);
    return lw_op(c, op, a, b, 0);
}

static uint32_t definition(struct lw_ctx *c, const struct mp_t_expr *e)
{
    uint32_t computed = lw_expr(c, e->kid[0]);
    computed = convert_to(c, computed, lw_rep(e->type));
    if (!lw_overridable(c->lw, e)) return computed;
    uint32_t state = lw_read_override(c, e, true), set = lw_read_override(c, e, false);
    return lw_op(c, MP_OP_OVERRIDE, state, set, computed);
}

/* What speaks only of the record at hand is computed from it, once, and is a cell of the row. */
static bool is_event(const struct lw_ctx *c, const struct mp_t_expr *e)
{
    if (c->record || e->kind == MP_TX_CONST || e->kind == MP_TX_PARAM) return false;
    struct lw_reads reads = lw_reads(e);
    return reads.record && !reads.row && !reads.aggs;
}

uint32_t lw_expr(struct lw_ctx *c, const struct mp_t_expr *e)
{
    if (is_event(c, e)) return lw_read_event(c, e);
    switch (e->kind) {
    case MP_TX_CONST: return constant(c, e);
    case MP_TX_PARAM: return lw_op_param(c, e->param->index);
    case MP_TX_WALK: return lw_read_walk(c, e->walk, e->span);
    case MP_TX_AGG: return lw_read_agg(c, e, false);
    case MP_TX_DEF: return definition(c, e);
    case MP_TX_NOT: return negated(c, signed_expr(c, e->kid[0], 0));
    case MP_TX_AND: return both(c, e, MP_OP_AND);
    case MP_TX_OR: return both(c, e, MP_OP_OR);
    case MP_TX_CMP: return compare(c, e);
    case MP_TX_ARITH: return arith(c, e);
    case MP_TX_NEG: return negative(c, e);
    case MP_TX_CONVERT: return convert_to(c, lw_expr(c, e->kid[0]), lw_rep(e->type));
    case MP_TX_IN: return member_of(c, e);
    case MP_TX_RANGE: return in_range(c, e);
    case MP_TX_MATCH: return match(c, e);
    case MP_TX_IS: return lw_is(c, e);
    case MP_TX_DEFAULT: {
        uint32_t a = lw_expr(c, e->kid[0]);
        return lw_op(c, MP_OP_DEFAULT, a, lw_expr(c, e->kid[1]), 0);
    }
    case MP_TX_CALL: return call(c, e);
    case MP_TX_MEMBERS: return lw_read_members(c, e);
    case MP_TX_AT_TRIGGER: return lw_read_trigger(c, e);
    case MP_TX_INCIDENTS: return lw_read_incidents(c, e);
    case MP_TX_HELD: return lw_read_held(c, e);
    case MP_TX_TEXT: lw_refuse(c->lw, e->span, "a text with holes that is not a message");
    }
    MP_UNREACHABLE("an expression without a row");
}

void lw_fn_begin(struct lw_ctx *c, struct mp_ir_fn *fn, mp_str name)
{
    uint32_t grouping = c->owner.grouping == NULL ? MP_NONE : c->owner.grouping->row;
    uint32_t signal = c->owner.signal == NULL ? MP_NONE : c->owner.signal->row;
    mp_ir_fn_begin(fn, c->lw->ir, name, signal, grouping);
    c->fn = fn;
    c->sign = 0;
    c->agg_column = MP_NONE;
}

/* Thousands of rules ask the same of their keys: equal functions are one. */
static uint32_t end_shared(struct lw *lw, struct mp_ir_fn *fn)
{
    uint32_t owner[2] = {fn->signal, fn->grouping};
    struct mp_buf key;
    mp_buf_init(&key, lw->scratch);
    mp_buf_putc(&key, 'F');
    mp_buf_put(&key, (mp_str){(const char *)owner, sizeof owner});
    mp_buf_put(&key, (mp_str){(const char *)fn->ops.ptr, fn->ops.len * sizeof *fn->ops.ptr});
    mp_buf_put(&key, (mp_str){(const char *)fn->outs.ptr, fn->outs.len * sizeof *fn->outs.ptr});
    bool fresh;
    uint32_t row = lw_intern(lw, lw_view(lw, &key), lw->ir->fn.len, &fresh);
    if (fresh) row = mp_ir_fn_end(fn);
    lw_ok(lw);
    return row;
}

uint32_t lw_fn(struct lw_ctx *c, mp_str name, const struct mp_t_expr *e, int sign)
{
    struct mp_ir_fn fn, *outer = c->fn;
    lw_fn_begin(c, &fn, e->text.len > 0 ? e->text : name);
    c->sign = sign;
    uint32_t value = lw_expr(c, e);
    mp_ir_out(&fn, value, lw_type(e->type));
    lw_ok(c->lw);
    uint32_t row = end_shared(c->lw, &fn);
    c->fn = outer;
    return row;
}

/* ---- guards on the record (R43) ---- */

struct missing {
    uint32_t value; /* a truth: the request lacks something; MP_NONE: it cannot */
};

static void add_missing(struct lw_ctx *c, uint32_t slot, struct mp_t_type type, struct missing *m)
{
    uint32_t field = lw_op_field(c, slot, lw_rep(type));
    uint32_t lacks = negated(c, lw_op(c, MP_OP_KNOWN, field, 0, 0));
    m->value = m->value == MP_NONE ? lacks : lw_op(c, MP_OP_OR, m->value, lacks, 0);
}

static void find_missing(struct lw_ctx *c, const struct mp_t_expr *e, struct missing *m)
{
    if (e == NULL) return;
    struct lw_signal *s = c->owner.signal;
    if (e->kind == MP_TX_WALK && e->walk->base == MP_T_BASE_RECORD_FIELD) {
        struct mp_t_type type = e->walk->field->type;
        if (e->walk->entry.ptr != NULL) type.is_map = false;
        add_missing(c, lw_field_slot(c->lw, s, e->walk->field, e->walk->entry), type, m);
    } else if (e->kind == MP_TX_WALK && e->walk->base == MP_T_BASE_RECORD_KEY) {
        /* Of a request without the entity it is the request that lacks its attributes. */
        struct mp_t_type type = {.base = MP_TYPE_ENTITY, .entity = s->t->keys[e->walk->index]};
        add_missing(c, lw_key_slot(c->lw, s, e->walk->index), type, m);
    }
    for (int i = 0; i < 3; i++) find_missing(c, e->kid[i], m);
}

/* A comparison as a truth that is never unknown: where the request itself lacks what is asked, it
 * does not help to protect; where we lack it (an attribute without a value), it does. */
static uint32_t protecting_leaf(struct lw_ctx *c, const struct mp_t_expr *e, bool helps)
{
    uint32_t truth = lw_expr(c, e);
    struct missing missing = {MP_NONE};
    find_missing(c, e, &missing);
    uint32_t otherwise = lw_op_bool(c, helps);
    if (missing.value != MP_NONE) {
        uint32_t against = lw_op_bool(c, !helps);
        otherwise = lw_op(c, MP_OP_PICK, missing.value, against, otherwise);
    }
    return lw_op(c, MP_OP_DEFAULT, truth, otherwise, 0);
}

static uint32_t protecting(struct lw_ctx *c, const struct mp_t_expr *e, bool helps)
{
    switch (e->kind) {
    case MP_TX_NOT: return negated(c, protecting(c, e->kid[0], !helps));
    case MP_TX_AND:
    case MP_TX_OR: {
        uint32_t a = protecting(c, e->kid[0], helps);
        enum mp_op op = e->kind == MP_TX_AND ? MP_OP_AND : MP_OP_OR;
        return lw_op(c, op, a, protecting(c, e->kid[1], helps), 0);
    }
    case MP_TX_DEF:
        if (!lw_overridable(c->lw, e)) return protecting(c, e->kid[0], helps);
        return protecting_leaf(c, e, helps);
    default: return protecting_leaf(c, e, helps);
    }
}

uint32_t lw_protects(struct lw_ctx *c, const struct mp_t_expr *e)
{
    return protecting(c, e, true);
}
