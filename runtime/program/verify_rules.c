/* SPDX-License-Identifier: Apache-2.0
 * verify_rules.c - units and what is judged in them: rules with their clauses, steps and acts;
 * quotas, guards.
 */
#include "program/verify_priv.h"

static enum mp_err verify_unit(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_unit_row *u = &p->unit[i];
    const struct mp_fn_row *fn = &p->fn[u->fn];
    MUST(fn->signal == u->signal || u->kind == MP_UNIT_GROUP, unit, i,
         "a function of another signal");
    MUST(fn->grouping == u->grouping, unit, i, "a function of another grouping");
    MUST(u->kind != MP_UNIT_RECORD || (u->signal != MP_NONE && u->grouping == MP_NONE), unit, i,
         "no record");
    MUST(u->kind != MP_UNIT_GROUP || u->grouping != MP_NONE, unit, i, "no row");
    MUST(u->rules_count <= MP_UNIT_RULES_MAX, unit, i, "more than 64 rules");
    MUST(u->first_out <= fn->outs_count && u->rules_count <= fn->outs_count - u->first_out, unit, i,
         "rules without an output");
    MUST(u->rules_count == 0 || is_judged(p, i), unit, i, "a unit that is not judged as bits");
    for (uint32_t k = 0; k < u->rules_count; k++) {
        MUST(rep_of(out_type(p, u->fn, u->first_out + k)) == MP_REP_B, unit, i,
             "a rule that is no truth");
        MUST(p->rule[u->rules_at + k].unit == i, unit, i, "a rule of another unit");
    }
    return MP_OK;
}

/* A function that is asked for a key of `grouping`, or for a record of `signal`. */
static bool reads_only(const struct mp_program *p, uint32_t fn, uint32_t signal, uint32_t grouping)
{
    const struct mp_fn_row *f = &p->fn[fn];
    return (f->grouping == MP_NONE || f->grouping == grouping) &&
           (f->signal == MP_NONE || f->signal == signal);
}

static enum mp_err verify_clause(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_clause_row *k = &p->clause[i];
    const struct mp_fn_row *fn = &p->fn[k->fn];
    bool value = k->kind == MP_CLAUSE_AT_TRIGGER || k->kind == MP_CLAUSE_VALUE;
    MUST(value ? has_few_outs(p, k->fn) : is_condition(p, k->fn), clause, i, "no condition");
    MUST(k->hold_ns >= 0 && k->within_ns >= 0 && k->settle_ns >= 0, clause, i, "a time below 0");
    for (uint32_t n = 0; n < k->parts_count; n++) {
        const struct mp_part_row *part = &p->part[k->parts_at + n];
        MUST(is_condition(p, part->fn) && reads_only(p, part->fn, fn->signal, fn->grouping), part,
             k->parts_at + n, "no condition of its clause");
        if (part->shown == MP_NONE) continue;
        MUST(gives(p, part->shown, part->type) &&
                 reads_only(p, part->shown, fn->signal, fn->grouping),
             part, k->parts_at + n, "no value of its clause");
    }
    uint32_t at = 0, count = 0;
    if (fn->grouping != MP_NONE) {
        at = p->grouping[fn->grouping].columns_at;
        count = p->grouping[fn->grouping].columns_count;
    } else if (fn->signal != MP_NONE) {
        at = p->signal[fn->signal].columns_at;
        count = p->signal[fn->signal].columns_count;
    }
    for (uint32_t n = 0; n < k->inputs_count; n++) {
        uint32_t column = p->input[k->inputs_at + n].column;
        MUST(column >= at && column - at < count, clause, i, "a column of another row");
    }
    return MP_OK;
}

static bool clause_is(const struct mp_program *p, const struct mp_rule_row *r, uint32_t clause,
                      uint32_t kind)
{
    if (clause == MP_NONE) return true;
    return p->clause[clause].kind == kind &&
           reads_only(p, p->clause[clause].fn, r->signal, r->grouping);
}

static enum mp_err verify_act(struct check *c, const struct mp_rule_row *r, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_act_row *a = &p->act[i];
    MUST(a->duration_ns >= 0 && a->hooks <= MP_LAYER_ALL, act, i, "a time or hook that is none");
    if (a->target != MP_NONE) {
        MUST(gives(p, a->target, a->type) && reads_only(p, a->target, r->signal, r->grouping), act,
             i, "a target of another kind");
    }
    MUST(a->target_kind != MP_TARGET_LEASE || a->target != MP_NONE, act, i, "no target");
    for (uint32_t k = 0; k < a->args_count; k++) {
        const struct mp_arg_row *arg = &p->arg[a->args_at + k];
        MUST(gives(p, arg->fn, arg->type) && reads_only(p, arg->fn, r->signal, r->grouping), arg,
             a->args_at + k, "an argument of another kind");
    }
    for (uint32_t k = 0; k < a->pieces_count; k++) {
        const struct mp_piece_row *piece = &p->piece[a->pieces_at + k];
        if (piece->fn == MP_NONE) continue;
        MUST(gives(p, piece->fn, piece->type) && reads_only(p, piece->fn, r->signal, r->grouping),
             piece, a->pieces_at + k, "a value of another kind");
    }
    return MP_OK;
}

static enum mp_err verify_steps(struct check *c, uint32_t rule)
{
    const struct mp_program *p = c->p;
    const struct mp_rule_row *r = &p->rule[rule];
    for (uint32_t i = 0; i < r->steps_count; i++) {
        const struct mp_step_row *s = &p->step[r->steps_at + i];
        MUST(clause_is(p, r, s->verify, MP_CLAUSE_VERIFY) &&
                 clause_is(p, r, s->harm, MP_CLAUSE_HARM),
             step, r->steps_at + i, "a clause of another kind");
        for (uint32_t k = 0; k < s->acts_count; k++) MP_TRY(verify_act(c, r, s->acts_at + k));
    }
    return MP_OK;
}

static enum mp_err verify_rule(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_rule_row *r = &p->rule[i];
    const struct mp_unit_row *u = &p->unit[r->unit];
    MUST(i >= u->rules_at && i - u->rules_at < u->rules_count, rule, i, "not among its unit's");
    bool loop = r->kind == MP_RULE_LOOP;
    MUST(loop == (u->kind == MP_UNIT_GROUP), rule, i, "a unit of another kind");
    MUST(!loop || (r->grouping == u->grouping && r->trigger != MP_NONE), rule, i,
         "no key or no trigger");
    MUST(loop || r->signal == u->signal, rule, i, "a unit of another signal");
    MUST(r->hold_ns >= 0 && r->cooldown_ns >= 0 && r->ramp_every_ns >= 0, rule, i,
         "a time below 0");
    MUST(r->ramp >= 0 && r->ramp <= 1 && (r->ramp == 0 || r->ramp_every_ns > 0), rule, i,
         "no ramp");
    MUST(r->layers <= MP_LAYER_ALL, rule, i, "layers that are not there");
    MUST(clause_is(p, r, r->trigger, MP_CLAUSE_TRIGGER) &&
             clause_is(p, r, r->unless, MP_CLAUSE_UNLESS) &&
             clause_is(p, r, r->until, MP_CLAUSE_UNTIL),
         rule, i, "a clause of another kind");
    for (uint32_t k = 0; k < r->at_triggers_count; k++) {
        MUST(clause_is(p, r, r->at_triggers_at + k, MP_CLAUSE_AT_TRIGGER), rule, i,
             "a clause of another kind");
    }
    uint32_t fields = r->signal == MP_NONE ? 0 : p->signal[r->signal].fields_count;
    MUST(walks_begin(p, r->bucket_walks_at, r->bucket_walks_count, fields, 0), rule, i,
         "a walk that begins nowhere");
    return verify_steps(c, i);
}

static enum mp_err verify_guard(struct check *c, uint32_t i)
{
    const struct mp_program *p = c->p;
    const struct mp_guard_row *g = &p->guard[i];
    switch (g->kind) {
    case MP_GUARD_MORE_THAN: MUST(g->quota != MP_NONE, guard, i, "more than what?"); break;
    case MP_GUARD_WHERE_LEASE: MUST(g->clause != MP_NONE, guard, i, "where what?"); break;
    default:
        MUST(g->unit != MP_NONE && g->signal != MP_NONE && p->unit[g->unit].signal == g->signal,
             guard, i, "a unit of another signal");
        MUST(g->out >= p->unit[g->unit].first_out && g->out < unit_fn(p, g->unit)->outs_count &&
                 g->out - p->unit[g->unit].first_out < 64 &&
                 is_judged(p, g->unit), guard, i, "no truth of its unit");
        break;
    }
    return MP_OK;
}

static enum mp_err verify_quota(struct check *c, uint32_t i)
{
    const struct mp_quota_row *q = &c->p->quota[i];
    MUST(q->percent >= 0 && q->percent <= 1 && q->per_ns >= 0, quota, i,
         "a share or time that is none");
    MUST(q->percent == 0 || q->count == 0, quota, i, "a share and a number");
    MUST(q->members == MP_NONE || walks_begin(c->p, q->members, 1, 0, 1), quota, i,
         "a walk from nowhere");
    MUST(q->per_walk == MP_NONE || walks_begin(c->p, q->per_walk, 1, 0, 1), quota, i,
         "a walk from nowhere");
    return MP_OK;
}

static bool throttles_inline(const struct mp_program *p, const struct mp_rule_row *r)
{
    if (r->kind != MP_RULE_INLINE) return false;
    for (uint32_t s = r->steps_at; s < r->steps_at + r->steps_count; s++) {
        const struct mp_step_row *step = &p->step[s];
        for (uint32_t a = step->acts_at; a < step->acts_at + step->acts_count; a++) {
            if (p->action[p->act[a].action].class == MP_CLASS_RATE) return true;
        }
    }
    return false;
}

static enum mp_err verify_throttles(struct check *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->p->rule_count; i++) {
        if (!throttles_inline(c->p, &c->p->rule[i]) || ++count <= MP_INLINE_THROTTLES_MAX) continue;
        return mp_fault_set(c->fault, MP_ELIMIT, MP_TABLE_rule, i,
                            "more than 4096 inline rules with a throttle");
    }
    return MP_OK;
}

_Static_assert(MP_INLINE_THROTTLES_MAX == 4096, "the text above says so");

enum mp_err mp_verify_rules(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->unit_count; i++) MP_TRY(verify_unit(c, i));
    for (uint32_t i = 0; i < p->clause_count; i++) MP_TRY(verify_clause(c, i));
    for (uint32_t i = 0; i < p->rule_count; i++) MP_TRY(verify_rule(c, i));
    for (uint32_t i = 0; i < p->quota_count; i++) MP_TRY(verify_quota(c, i));
    for (uint32_t i = 0; i < p->guard_count; i++) MP_TRY(verify_guard(c, i));
    for (uint32_t i = 0; i < p->act_count; i++) {
        MUST(p->act[i].hooks <= MP_LAYER_ALL, act, i, "a hook that is not there");
    }
    return verify_throttles(c);
}
