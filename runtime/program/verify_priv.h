/* SPDX-License-Identifier: Apache-2.0
 * verify_priv.h - how the steps of mp_program_verify say what is wrong, and what more than one of
 * them asks of a program. Each step relies on those before it.
 *
 *   verify.c        layout, values, vocabulary, tests; the order of the steps
 *   verify_fn.c     functions
 *   verify_state.c  what is kept a key, and what signals feed it
 *   verify_rules.c  units, rules, quotas, guards
 */
#ifndef MP_PROGRAM_VERIFY_PRIV_H
#define MP_PROGRAM_VERIFY_PRIV_H

#include "program/program_priv.h"

/* A step stops at the first thing that is wrong: MP_ECORRUPT, and where. */
struct check {
    const struct mp_program *p;
    struct mp_fault *fault;
};

/* In a function with a `c`. */
#define BAD(table, row, why)                                                                       \
    return mp_fault_set(c->fault, MP_ECORRUPT, MP_TABLE_##table, row, why)
#define MUST(cond, table, row, why)                                                                \
    do {                                                                                           \
        if (!(cond)) BAD(table, row, why);                                                         \
    } while (0)

/* What is kept for a key, and the signals. MP_ENOMEM too. */
enum mp_err mp_verify_state(struct check *c);
/* Units, rules, quotas, guards. */
enum mp_err mp_verify_rules(struct check *c);

static inline enum mp_rep rep_of(uint32_t type) { return mp_type_rep((enum mp_type)type); }

static inline enum mp_rep const_rep(const struct mp_program *p, uint32_t cnst)
{
    return rep_of(p->cnst[cnst].type);
}

/* Is every walk of the span one that can begin: at one of `fields` fields, of `keys` keys, or at a
 * constant? */
static inline bool walks_begin(const struct mp_program *p, uint32_t at, uint32_t count,
                               uint32_t fields, uint32_t keys)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_walk_row *w = &p->walk[at + i];
        uint32_t limit = w->base == MP_WALK_FIELD ? fields
                         : w->base == MP_WALK_KEY ? keys : p->cnst_count;
        if (w->index >= limit) return false;
    }
    return true;
}

static inline const struct mp_fn_row *unit_fn(const struct mp_program *p, uint32_t unit)
{
    return &p->fn[p->unit[unit].fn];
}

/* A unit that is judged as bits: nothing but truths, at most 64 from its first output on. */
static inline bool is_judged(const struct mp_program *p, uint32_t unit)
{
    const struct mp_unit_row *u = &p->unit[unit];
    const struct mp_fn_row *fn = &p->fn[u->fn];
    for (uint32_t i = 0; i < fn->outs_count; i++) {
        if (rep_of(p->out[fn->outs_at + i].type) != MP_REP_B) return false;
    }
    return u->first_out <= fn->outs_count && fn->outs_count - u->first_out <= 64;
}

static inline uint32_t out_type(const struct mp_program *p, uint32_t fn, uint32_t out)
{
    return p->out[p->fn[fn].outs_at + out].type;
}

/* Functions that are asked for output 0 have few (eval.c), so that a caller's buffers are small. */
static inline bool has_few_outs(const struct mp_program *p, uint32_t fn)
{
    return p->fn[fn].outs_count > 0 && p->fn[fn].outs_count <= 64;
}

/* Output 0 is a truth. */
static inline bool is_condition(const struct mp_program *p, uint32_t fn)
{
    return has_few_outs(p, fn) && rep_of(out_type(p, fn, 0)) == MP_REP_B;
}

static inline bool gives(const struct mp_program *p, uint32_t fn, uint32_t type)
{
    return has_few_outs(p, fn) && rep_of(out_type(p, fn, 0)) == rep_of(type);
}

#endif
