/* SPDX-License-Identifier: Apache-2.0
 * Several leases on one (class, target): strength, join, priority (R32). Pairs are compared, never
 * positions, so the answer is the same for every order.
 */
#include "decide/decide.h"

static mp_str name_of(const struct mp_program *p, const struct mp_lease *l)
{
    return mp_program_text(p, p->action[l->action].name);
}

bool mp_decide_same_target(const struct mp_program *p, const struct mp_lease *a,
                           const struct mp_lease *b)
{
    (void)p;
    if (a->class != b->class || a->target.kind != b->target.kind) return false;
    if (a->target.entity != b->target.entity || a->target.type != b->target.type) return false;
    if (a->target.bits != b->target.bits) return false;
    return mp_value_eq(mp_type_rep(a->target.type), a->target.value, b->target.value);
}

double mp_decide_given_back(const struct mp_lease *l, const struct mp_lease_arg *arg)
{
    double v = mp_value_as_num(arg->value), g = l->given_back;
    if (g <= 0) return v;
    if (arg->type == MP_TYPE_RATE) return g < 1 ? v / (1 - g) : v;
    if (l->class == MP_CLASS_ROUTING) return v * (1 - g);
    return v + (1 - v) * g;
}

static bool is_shared(uint32_t type) { return type == MP_TYPE_PERCENT || type == MP_TYPE_RATE; }

/* The argument that a ramp changes. */
static bool carries_share(const struct mp_program *p, const struct mp_lease *l, mp_str arg)
{
    mp_str share = mp_program_text(p, p->action[l->action].share);
    return share.len > 0 && mp_str_eq(share, arg);
}

static double amount(const struct mp_program *p, const struct mp_lease *l,
                     const struct mp_lease_arg *arg)
{
    if (carries_share(p, l, arg->name)) return mp_decide_given_back(l, arg);
    return mp_value_as_num(arg->value);
}

/* Smaller is stricter for what limits; where traffic is moved away, more is stricter. */
static int stricter(const struct mp_lease *l, double a, double b)
{
    int order = a < b ? -1 : a > b;
    return l->class == MP_CLASS_ROUTING ? -order : order;
}

enum pair { APART, EQUAL, FIRST, SECOND, BOTH };

/* How two arguments of one name stand to each other: FIRST is the stricter one. */
static enum pair compare_arg(const struct mp_program *p, const struct mp_lease *a,
                             const struct mp_lease_arg *x, const struct mp_lease *b,
                             const struct mp_lease_arg *y)
{
    if (!x->known || !y->known) return x->known == y->known ? EQUAL : APART;
    if (is_shared(x->type) && is_shared(y->type)) {
        if (x->type != y->type) return BOTH; /* a share and a rate hold side by side */
        int order = stricter(a, amount(p, a, x), amount(p, b, y));
        return order == 0 ? EQUAL : order < 0 ? FIRST : SECOND;
    }
    if (x->type != y->type) return APART;
    /* The later end comes by itself: each lease has its own. */
    if (x->type == MP_TYPE_DURATION) return EQUAL;
    return mp_value_eq(mp_type_rep(x->type), x->value, y->value) ? EQUAL : APART;
}

static enum pair both(enum pair a, enum pair b)
{
    if (a == APART || b == APART) return APART;
    if (a == EQUAL) return b;
    if (b == EQUAL || a == b) return a;
    return BOTH;
}

/* Can leases of equal strength stand together, and which one is the stricter? */
static enum pair join(const struct mp_program *p, const struct mp_lease *a,
                      const struct mp_lease *b)
{
    if (!mp_str_eq(name_of(p, a), name_of(p, b)) || a->arg_count != b->arg_count) return APART;
    enum pair all = EQUAL;
    if (mp_program_text(p, p->action[a->action].share).len == 0 && a->given_back != b->given_back) {
        all = a->given_back < b->given_back ? FIRST : SECOND;
    }
    for (uint32_t i = 0; i < a->arg_count; i++) {
        if (!mp_str_eq(a->args[i].name, b->args[i].name)) return APART;
        all = both(all, compare_arg(p, a, &a->args[i], b, &b->args[i]));
    }
    return all;
}

/* The compiler has refused pairs that nothing orders (E0601), but over two rules' parameters it may
 * have been wrong by then; so the order ends with the rule and the age. What an operator decided
 * by hand (rule NONE) goes before what rules did, and the later before the earlier. */
static bool comes_first(const struct mp_lease *a, const struct mp_lease *b)
{
    bool by_hand = a->rule == MP_NONE;
    if (a->rule == b->rule) return by_hand ? a->id > b->id : a->id < b->id; /* the later word */
    return by_hand || (b->rule != MP_NONE && a->rule < b->rule);
}

/* Does `a` put `b` out of force? Not while it has no effect itself: what works would be lost for
 * nothing. */
static bool beats(const struct mp_program *p, const struct mp_lease *a, const struct mp_lease *b)
{
    if (a->idle) return false;
    if ((b->hooks & ~a->hooks) != 0) return false;
    if (a->strength != b->strength) return a->strength > b->strength;
    if (join(p, a, b) != APART) return false;
    if ((a->rule == MP_NONE) != (b->rule == MP_NONE)) return a->rule == MP_NONE;
    if (a->priority != b->priority) return a->priority > b->priority;
    return comes_first(a, b);
}

/* Does `a` stand for `b`: in force where b is, and at least as strict? */
static bool covers(const struct mp_program *p, const struct mp_lease *a, const struct mp_lease *b)
{
    if (a->idle) return false;
    if ((b->hooks & ~a->hooks) != 0 || a->strength != b->strength) return false;
    enum pair pair = join(p, a, b);
    if (pair != EQUAL) return pair == FIRST;
    return a->hooks != b->hooks || comes_first(a, b);
}

void mp_decide_arbitrate(const struct mp_program *p, const struct mp_lease *const *leases,
                         uint32_t count, enum mp_standing *standing)
{
    for (uint32_t i = 0; i < count; i++) {
        standing[i] = MP_STANDING_CARRIED;
        for (uint32_t j = 0; j < count; j++) {
            if (j != i && beats(p, leases[j], leases[i])) standing[i] = MP_STANDING_SUPERSEDED;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < count && standing[i] == MP_STANDING_CARRIED; j++) {
            if (j == i || standing[j] == MP_STANDING_SUPERSEDED) continue;
            if (covers(p, leases[j], leases[i])) standing[i] = MP_STANDING_JOINED;
        }
    }
}
