/* SPDX-License-Identifier: Apache-2.0 */
#include "check/bounds.h"

/* LIMIT: how deep two expressions are compared; deeper ones count as different. */
#define SAME_DEPTH_MAX 64

/* ---- the same value ---- */

/* What two values are compared relative to: nothing (one row), or a target each. */
struct meeting {
    const struct mp_t_walk *a, *b;
};

static bool same_start(const struct mp_t_walk *x, const struct mp_t_walk *y)
{
    return x->base == y->base && x->index == y->index && x->signal == y->signal &&
           x->field == y->field && x->expr == y->expr && mp_str_eq(x->entry, y->entry) &&
           mp_str_eq(x->constant, y->constant);
}

static bool same_hops(const struct mp_t_walk *x, uint32_t from_x, const struct mp_t_walk *y,
                      uint32_t from_y)
{
    if (x->hop_count - from_x != y->hop_count - from_y) return false;
    for (uint32_t i = 0; from_x + i < x->hop_count; i++) {
        if (x->hops[from_x + i] != y->hops[from_y + i]) return false;
    }
    return true;
}

/* Does the way to x begin with the way to the target? Then x is a function of the target. */
static bool goes_through(const struct mp_t_walk *x, const struct mp_t_walk *target)
{
    if (!same_start(x, target) || x->hop_count < target->hop_count) return false;
    for (uint32_t i = 0; i < target->hop_count; i++) {
        if (x->hops[i] != target->hops[i]) return false;
    }
    return true;
}

static bool same_walk(const struct mp_t_walk *x, const struct mp_t_walk *y,
                      const struct meeting *at)
{
    if (x->base == MP_T_BASE_CONST && y->base == MP_T_BASE_CONST) {
        return mp_str_eq(x->constant, y->constant) && same_hops(x, 0, y, 0);
    }
    if (x->base == MP_T_BASE_MEMBER && y->base == MP_T_BASE_MEMBER) return same_hops(x, 0, y, 0);
    if (at->a == NULL) return same_start(x, y) && same_hops(x, 0, y, 0);
    if (!goes_through(x, at->a) || !goes_through(y, at->b)) return false;
    return same_hops(x, at->a->hop_count, y, at->b->hop_count);
}

static bool same_walks(const struct mp_t_walk *x, const struct mp_t_walk *y, uint32_t count,
                       const struct meeting *at)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!same_walk(&x[i], &y[i], at)) return false;
    }
    return true;
}

static bool same(const struct mp_t_expr *x, const struct mp_t_expr *y, const struct meeting *at,
                 int depth);

static bool same_keys(const struct mp_t_keys *x, const struct mp_t_keys *y)
{
    if (x == y) return true;
    if (x == NULL || y == NULL || x->count != y->count) return false;
    for (uint32_t i = 0; i < x->count; i++) {
        if (!mp_str_eq(x->keys[i].name, y->keys[i].name)) return false;
    }
    return true;
}

/* Inside an aggregate everything is about its own records. */
static bool same_agg(const struct mp_t_agg *x, const struct mp_t_agg *y, const struct meeting *at,
                     int depth)
{
    static const struct meeting records = {NULL, NULL};
    if (x->kind != y->kind || x->signal != y->signal || x->layers != y->layers ||
        x->window_ns != y->window_ns || x->quantile != y->quantile ||
        x->min_samples != y->min_samples || x->published != y->published ||
        !same_keys(x->keys, y->keys) || (x->of_set == NULL) != (y->of_set == NULL)) {
        return false;
    }
    if (!same(x->where, y->where, &records, depth) || !same(x->value, y->value, &records, depth)) {
        return false;
    }
    if (x->of_set != NULL) return same_walk(x->of_set, y->of_set, at);
    return x->keys == NULL || same_walks(x->at, y->at, x->keys->count, at);
}

static bool same_const(const struct mp_t_expr *x, const struct mp_t_expr *y)
{
    if (mp_type_rep(x->type.base) == MP_REP_T || x->type.base == MP_TYPE_ENTITY) {
        return mp_str_eq(x->text, y->text);
    }
    return x->bits == y->bits && x->value.w[0] == y->value.w[0] && x->value.w[1] == y->value.w[1];
}

static bool same_of_kind(const struct mp_t_expr *x, const struct mp_t_expr *y,
                         const struct meeting *at, int depth)
{
    switch (x->kind) {
    case MP_TX_CONST: return same_const(x, y);
    case MP_TX_PARAM: return x->param == y->param;
    case MP_TX_WALK: return same_walk(x->walk, y->walk, at);
    case MP_TX_AGG: return same_agg(x->agg, y->agg, at, depth);
    case MP_TX_DEF:
        if (x->def != y->def || x->def_at == NULL || y->def_at == NULL) break;
        if (x->def->keys != NULL && !same_walks(x->def_at, y->def_at, x->def->keys->count, at)) {
            return false;
        }
        break; /* `over` at the use may have changed it: the expansion decides */
    case MP_TX_MEMBERS: return same_walk(x->walk, y->walk, at) && same(x->kid[0], y->kid[0], at,
                                                                       depth);
    case MP_TX_INCIDENTS:
    case MP_TX_TEXT:
    case MP_TX_AT_TRIGGER: return false;
    case MP_TX_IN:
    case MP_TX_MATCH:
        if (x->list != y->list) return false;
        break;
    default: break;
    }
    return x->hold_ns == y->hold_ns && x->signal == y->signal && x->part == y->part;
}

static bool same(const struct mp_t_expr *x, const struct mp_t_expr *y, const struct meeting *at,
                 int depth)
{
    if (x == y && (x == NULL || at->a == at->b)) return true;
    if (x == NULL || y == NULL || x->kind != y->kind || depth > SAME_DEPTH_MAX) return false;
    if (x->type.base != y->type.base || x->type.is_set != y->type.is_set) return false;
    bool has_op = x->kind == MP_TX_CMP || x->kind == MP_TX_ARITH || x->kind == MP_TX_MATCH ||
                  x->kind == MP_TX_IS || x->kind == MP_TX_CALL;
    if (has_op && memcmp(&x->op, &y->op, sizeof x->op) != 0) return false;
    if (!same_of_kind(x, y, at, depth + 1)) return false;
    if (x->kind == MP_TX_MEMBERS) return true;
    for (int i = 0; i < 3; i++) {
        if (!same(x->kid[i], y->kid[i], at, depth + 1)) return false;
    }
    return true;
}

bool mp_same_value(const struct mp_t_expr *a, const struct mp_t_expr *b)
{
    const struct meeting row = {NULL, NULL};
    return same(a, b, &row, 0);
}

bool mp_same_of_target(const struct mp_t_expr *a, const struct mp_t_walk *target_a,
                       const struct mp_t_expr *b, const struct mp_t_walk *target_b)
{
    const struct meeting at = {target_a, target_b};
    return same(a, b, &at, 0);
}

/* ---- what a condition says ---- */

static double const_double(const struct mp_t_expr *e)
{
    return mp_type_rep(e->type.base) == MP_REP_F ? mp_value_as_num(e->value)
                                                 : (double)mp_value_as_int(e->value);
}

static bool is_number_const(const struct mp_t_expr *e)
{
    if (e == NULL || e->kind != MP_TX_CONST || e->type.is_set || e->type.is_map) return false;
    enum mp_rep rep = mp_type_rep(e->type.base);
    return rep == MP_REP_I || rep == MP_REP_F;
}

bool mp_constant_range(const struct mp_t_expr *e, bool at_values, double *low, double *high)
{
    const struct mp_t_expr *from = e, *to = e;
    while (e->kind == MP_TX_CONVERT) e = from = to = e->kid[0];
    if (e->kind == MP_TX_PARAM) {
        from = at_values ? e->param->value : e->param->low;
        to = at_values ? e->param->value : e->param->high;
    }
    if (!is_number_const(from) || !is_number_const(to)) return false;
    *low = const_double(from);
    *high = const_double(to);
    return true;
}

static struct mp_bound *new_bound(struct mp_bounds *all, const struct mp_t_expr *about,
                                  struct mp_span span)
{
    while (about->kind == MP_TX_CONVERT) about = about->kid[0];
    if (all->count == MP_BOUNDS_MAX || about->kind == MP_TX_CONST) return NULL;
    struct mp_bound *fresh = &all->at[all->count++];
    *fresh = (struct mp_bound){
        .about = about, .span = span, .low = -__builtin_inf(), .high = __builtin_inf()};
    return fresh;
}

static enum mp_t_cmp mirrored(enum mp_t_cmp cmp)
{
    switch (cmp) {
    case MP_T_LT: return MP_T_GT;
    case MP_T_LE: return MP_T_GE;
    case MP_T_GT: return MP_T_LT;
    case MP_T_GE: return MP_T_LE;
    default: return cmp;
    }
}

static enum mp_t_cmp negation(enum mp_t_cmp cmp)
{
    static const enum mp_t_cmp opposite[] = {
        [MP_T_LT] = MP_T_GE, [MP_T_LE] = MP_T_GT, [MP_T_GT] = MP_T_LE,
        [MP_T_GE] = MP_T_LT, [MP_T_EQ] = MP_T_NE, [MP_T_NE] = MP_T_EQ,
    };
    return opposite[cmp];
}

static void bound_of_numbers(struct mp_bound *b, enum mp_t_cmp cmp, double low, double high)
{
    switch (cmp) {
    case MP_T_GT: b->low_open = true; /* fall through */
    case MP_T_GE: b->low = low; break;
    case MP_T_LT: b->high_open = true; /* fall through */
    case MP_T_LE: b->high = high; break;
    case MP_T_EQ:
        b->low = low;
        b->high = high;
        break;
    case MP_T_NE: break;
    }
}

static void bound_of_cmp(const struct mp_t_expr *e, bool negated, struct mp_bounds *all)
{
    const struct mp_t_expr *about = e->kid[0], *other = e->kid[1];
    enum mp_t_cmp cmp = negated ? negation(e->op.cmp) : e->op.cmp;
    double low, high;
    if (about->kind == MP_TX_CONST || about->kind == MP_TX_PARAM) {
        about = e->kid[1];
        other = e->kid[0];
        cmp = mirrored(cmp);
    }
    if (mp_constant_range(other, all->at_values, &low, &high)) {
        all->partial |= cmp == MP_T_NE;
        if (cmp == MP_T_NE) return;
        struct mp_bound *b = new_bound(all, about, e->span);
        if (b != NULL) bound_of_numbers(b, cmp, low, high);
    } else if (other->kind == MP_TX_CONST && (cmp == MP_T_EQ || cmp == MP_T_NE)) {
        bool truth = other->type.base == MP_TYPE_BOOL;
        if (!truth && other->text.ptr == NULL) return;
        struct mp_bound *b = new_bound(all, about, e->span);
        if (b == NULL) return;
        b->is_text = true;
        b->negated = cmp == MP_T_NE;
        b->text = !truth                   ? other->text
                  : other->value.w[0] != 0 ? MP_STR("true")
                                           : MP_STR("false");
        if (truth && b->negated) { /* of two truths, one is left */
            b->negated = false;
            b->text = other->value.w[0] != 0 ? MP_STR("false") : MP_STR("true");
        }
    }
}

static void bound_of_range(const struct mp_t_expr *e, struct mp_bounds *all)
{
    double low, high, ignored;
    if (!mp_constant_range(e->kid[1], all->at_values, &low, &ignored)) return;
    if (!mp_constant_range(e->kid[2], all->at_values, &ignored, &high)) return;
    struct mp_bound *b = new_bound(all, e->kid[0], e->span);
    if (b == NULL) return;
    b->low = low;
    b->high = high;
}

/* A truth that stands alone: `refused`, `not client.bot`. */
static void bound_of_truth(const struct mp_t_expr *e, bool negated, struct mp_bounds *all)
{
    struct mp_bound *b = new_bound(all, e, e->span);
    if (b == NULL) return;
    b->is_text = true;
    b->text = negated ? MP_STR("false") : MP_STR("true");
}

static void bound_of_leaf(const struct mp_t_expr *e, bool negated, struct mp_bounds *all)
{
    uint32_t before = all->count;
    switch (e->kind) {
    case MP_TX_CMP: bound_of_cmp(e, negated, all); break;
    case MP_TX_RANGE:
        if (!negated) bound_of_range(e, all);
        break;
    case MP_TX_WALK:
    case MP_TX_DEF:
        if (e->type.base == MP_TYPE_BOOL) bound_of_truth(e, negated, all);
        break;
    default: break;
    }
    all->partial |= all->count == before;
    if (all->count > before) all->at[before].denied = negated;
}

void mp_bounds_gather(const struct mp_t_expr *e, bool negated, struct mp_bounds *all)
{
    switch (e->kind) {
    case MP_TX_NOT: mp_bounds_gather(e->kid[0], !negated, all); break;
    case MP_TX_HELD: mp_bounds_gather(e->kid[0], negated, all); break;
    case MP_TX_AND:
    case MP_TX_OR:
        if ((e->kind == MP_TX_AND) == negated) { /* a choice implies neither side */
            all->partial = true;
            break;
        }
        mp_bounds_gather(e->kid[0], negated, all);
        mp_bounds_gather(e->kid[1], negated, all);
        break;
    default: bound_of_leaf(e, negated, all);
    }
}

bool mp_bound_excludes(const struct mp_bound *a, const struct mp_bound *b)
{
    if (a->is_text != b->is_text) return false;
    if (a->is_text) {
        if (a->negated && b->negated) return false;
        bool equal = mp_str_eq(a->text, b->text);
        return a->negated == b->negated ? !equal : equal;
    }
    if (a->low > b->high || b->low > a->high) return true;
    return (a->low == b->high && (a->low_open || b->high_open)) ||
           (b->low == a->high && (b->low_open || a->high_open));
}

bool mp_bound_implies(const struct mp_bound *a, const struct mp_bound *b)
{
    if (a->is_text != b->is_text) return false;
    if (a->is_text) {
        bool equal = mp_str_eq(a->text, b->text);
        if (b->negated) return a->negated ? equal : !equal;
        return !a->negated && equal;
    }
    bool low = a->low > b->low || (a->low == b->low && (a->low_open || !b->low_open));
    bool high = a->high < b->high || (a->high == b->high && (a->high_open || !b->high_open));
    return low && high;
}
