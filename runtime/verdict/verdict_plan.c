/* SPDX-License-Identifier: Apache-2.0
 * From the program's tables to what a verdict reads: which leases concern a record, which rules are
 * judged at which layer, and what each of them does.
 */
#include "base/assert.h"
#include "program/layout.h"
#include "verdict/verdict_priv.h"

/* What the verbs of class access do; the words are those of the vocabulary. */
static const struct {
    mp_str word;
    bool passes;
    int status;
} access_verbs[] = {
    {MP_STR_INIT("refuse"), false, 403},    {MP_STR_INIT("allow"), true, 0},
    {MP_STR_INIT("challenge"), false, 401}, {MP_STR_INIT("deny"), false, 403},
    {MP_STR_INIT("reset"), false, 403},
};

#define ACCESS_VERBS (sizeof access_verbs / sizeof *access_verbs)

/* What a plan is made with. */
struct making {
    struct mp_arena *arena;
    const struct mp_program *p;
    struct mp_inproc *backend;
    struct mp_eval_scratch *eval;
    struct mp_verdict_plan *plan;
    const char **why;
};

#define NO_NUMBER                                                                                  \
    "older programs, which requests still read, have with this one more than 16384 inline "  \
    "rules with a throttle; reload again when those requests have been answered"
_Static_assert(OWNERS_MAX == 16384, "the text above says so");
#define NO_KIND "more than 64 kinds of targets (entities and types) since the start; restart it"

/* Reads nothing that differs from request to request. */
static bool is_fixed(const struct mp_program *p, uint32_t fn)
{
    const struct mp_fn_row *f = &p->fn[fn];
    for (uint32_t i = 0; i < f->ops_count; i++) {
        uint32_t code = p->op[f->ops_at + i].code;
        if (code == MP_OP_FIELD || code == MP_OP_COL) return false;
    }
    return true;
}

/* A value as a number, of whatever numeric type. */
static double as_number(enum mp_type type, struct mp_value v)
{
    return mp_type_rep(type) == MP_REP_F ? mp_value_as_num(v) : (double)mp_value_as_int(v);
}

static struct number number_of(const struct mp_program *p, const struct mp_act_row *act,
                               mp_str name, struct mp_eval_scratch *eval)
{
    for (uint32_t i = 0; i < act->args_count; i++) {
        const struct mp_arg_row *arg = &p->arg[act->args_at + i];
        if (!mp_str_eq(mp_program_text(p, arg->name), name)) continue;
        struct number n = {.present = true, .fn = arg->fn, .fixed = is_fixed(p, arg->fn)};
        struct mp_inputs in;
        mp_inputs_init(&in, p, eval);
        struct mp_value v;
        if (n.fixed && mp_eval_value(p, arg->fn, &in, &v)) {
            n.value = as_number((enum mp_type)arg->type, v);
        }
        return n;
    }
    return (struct number){.fixed = true};
}

static void plan_access(const struct mp_program *p, const struct mp_act_row *act,
                        struct mp_eval_scratch *eval, struct access_plan *out)
{
    const struct mp_action_row *action = &p->action[act->action];
    *out = (struct access_plan){.present = true, .strength = action->strength,
                                .verb = mp_program_text(p, action->name),
                                .status = number_of(p, act, MP_STR("status"), eval)};
    int status = 403;
    for (size_t i = 0; i < ACCESS_VERBS; i++) {
        if (!mp_str_eq(out->verb, access_verbs[i].word)) continue;
        out->passes = access_verbs[i].passes;
        status = access_verbs[i].status;
    }
    if (!out->status.present) {
        out->status = (struct number){.present = true, .fixed = true, .value = status};
    }
}

/* The same over reloads. */
static uint64_t rule_mark(const struct mp_program *p, const struct mp_rule_row *rule)
{
    struct mp_hash_key fixed = {0, 0};
    mp_str package = mp_program_text(p, rule->package), name = mp_program_text(p, rule->name);
    return mp_siphash(fixed, package.ptr, package.len) * 31 + mp_siphash(fixed, name.ptr, name.len);
}

static void plan_throttle(const struct making *m, const struct mp_rule_row *rule,
                                 const struct mp_act_row *act, struct throttle_plan *out)
{
    const struct mp_program *p = m->p;
    struct mp_eval_scratch *eval = m->eval;
    *out = (struct throttle_plan){.present = true,
                                  .rate = number_of(p, act, MP_STR("to"), eval),
                                  .burst = number_of(p, act, MP_STR("burst"), eval),
                                  .status = number_of(p, act, MP_STR("status"), eval)};
    if (!out->status.present)
        out->status = (struct number){.present = true, .fixed = true, .value = 429};
    out->limit_fixed = out->rate.fixed && out->burst.fixed;
    if (out->limit_fixed) out->limit = mp_bucket_of_rate(out->rate.value, out->burst.value, 0);
    out->cap = rule->bucket_cap > 0 ? rule->bucket_cap : UINT32_MAX;
}

/* What was taken is noted at once: a plan that fails on the way gives it back. */
static enum mp_err plan_owner(const struct making *m, const struct mp_rule_row *rule, uint32_t *out)
{
    struct mp_verdict_plan *plan = m->plan;
    enum mp_err err = mp_verdict_owner_take(plan->buckets, rule_mark(m->p, rule), out);
    if (err != MP_OK) {
        *m->why = NO_NUMBER;
        return err;
    }
    plan->owners[plan->owner_count++] = *out;
    return MP_OK;
}

static void plan_send(const struct mp_program *p, const struct mp_act_row *act,
                      struct send_plan *out)
{
    for (uint32_t i = 0; i < act->args_count; i++) {
        const struct mp_arg_row *arg = &p->arg[act->args_at + i];
        if (!mp_str_eq(mp_program_text(p, arg->name), MP_STR("to"))) continue;
        *out = (struct send_plan){true, p->action[act->action].strength, arg->fn};
    }
}

static enum mp_err plan_rule(const struct making *m, uint32_t row, struct rule_plan *out)
{
    const struct mp_program *p = m->p;
    const struct mp_rule_row *rule = &p->rule[row];
    *out = (struct rule_plan){.row = row, .enforced = rule->mode == MP_MODE_ENFORCE};
    for (uint32_t i = 0; i < rule->steps_count; i++) {
        const struct mp_step_row *step = &p->step[rule->steps_at + i];
        for (uint32_t j = 0; j < step->acts_count; j++) {
            const struct mp_act_row *act = &p->act[step->acts_at + j];
            uint32_t class = p->action[act->action].class;
            if (class == MP_CLASS_ROUTING) plan_send(p, act, &out->send);
            if (class == MP_CLASS_ACCESS) plan_access(p, act, m->eval, &out->access);
            if (class == MP_CLASS_RATE) plan_throttle(m, rule, act, &out->throttle);
        }
    }
    return out->throttle.present ? plan_owner(m, rule, &out->throttle.owner) : MP_OK;
}

static bool is_inline(const struct mp_program *p, const struct mp_unit_row *unit)
{
    return unit->rules_count > 0 && p->rule[unit->rules_at].kind == MP_RULE_INLINE;
}

static enum mp_err plan_unit(const struct making *m, uint32_t row, struct unit_plan *out)
{
    const struct mp_program *p = m->p;
    const struct mp_unit_row *unit = &p->unit[row];
    struct rule_plan *rules = MP_NEW(m->arena, struct rule_plan, unit->rules_count);
    if (rules == NULL) return MP_ENOMEM;
    *out = (struct unit_plan){.unit = row, .rule_count = unit->rules_count, .rules = rules};
    for (uint32_t i = 0; i < unit->rules_count; i++) {
        MP_TRY(plan_rule(m, unit->rules_at + i, &rules[i]));
        uint32_t layers = p->rule[unit->rules_at + i].layers;
        for (uint32_t set = 0; set < LAYER_SETS; set++) {
            if ((layers & set) != 0) out->mask[set] |= UINT64_C(1) << i;
        }
    }
    return MP_OK;
}

static void mark(uint64_t *bits, uint32_t i) { bits[i / 64] |= UINT64_C(1) << (i % 64); }

/* The slots of fields and columns that what is `used` of a function depends on: operands come
 * before what uses them, so one walk backwards sees all. */
static void walk_reads(const struct mp_program *p, const struct mp_fn_row *f, bool *used,
                       uint64_t *fields, uint64_t *columns)
{
    for (uint32_t i = f->ops_count; i-- > 0;) {
        const struct mp_op_row *op = &p->op[f->ops_at + i];
        if (!used[i]) continue;
        if (op->code == MP_OP_FIELD) mark(fields, op->a);
        if (op->code == MP_OP_COL && columns != NULL) mark(columns, op->a);
        const struct mp_op_layout *layout = mp_op_layout(op->code);
        const uint32_t operands[3] = {op->a, op->b, op->c};
        for (int j = 0; j < 3; j++) {
            if (mp_op_kind_is_value(layout->kind[j])) used[operands[j]] = true;
        }
    }
}

/* ---- what inline rules look at ---- */

static bool refuses(const struct rule_plan *r)
{
    return r->enforced && ((r->access.present && !r->access.passes) || r->throttle.present);
}

static enum mp_err mark_judged(const struct making *m, const struct unit_plan *u, uint64_t *judged)
{
    const struct mp_program *p = m->p;
    const struct mp_unit_row *unit = &p->unit[u->unit];
    const struct mp_fn_row *f = &p->fn[unit->fn];
    bool *used = MP_NEW(m->arena, bool, f->ops_count + 1);
    if (used == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < u->rule_count; i++) {
        if (!refuses(&u->rules[i])) continue;
        const struct mp_rule_row *rule = &p->rule[u->rules[i].row];
        used[p->out[f->outs_at + unit->first_out + i].value] = true;
        for (uint32_t k = 0; k < rule->bucket_walks_count; k++) {
            const struct mp_walk_row *w = &p->walk[rule->bucket_walks_at + k];
            if (w->base == MP_WALK_FIELD) mark(judged, w->index);
        }
    }
    walk_reads(p, f, used, judged, NULL);
    return MP_OK;
}

bool mp_verdict_reads(const struct mp_verdict_plan *plan, uint32_t signal, uint32_t slot)
{
    return (plan->signals[signal].judged[slot / 64] >> (slot % 64) & 1) != 0;
}

static enum mp_err plan_units(const struct making *m, const struct mp_signal_row *signal,
                              struct signal_plan *out)
{
    struct unit_plan *units = MP_NEW(m->arena, struct unit_plan, signal->rule_units_count);
    if (units == NULL) return MP_ENOMEM;
    out->units = units;
    MP_TRY(mp_sieve_words_create(m->arena, &out->words));
    out->sieved = true;
    for (uint32_t i = 0; i < signal->rule_units_count; i++) {
        uint32_t row = signal->rule_units_at + i;
        if (!is_inline(m->p, &m->p->unit[row])) continue;
        struct mp_sieve *sieve;
        MP_TRY(plan_unit(m, row, &units[out->unit_count]));
        MP_TRY(mark_judged(m, &units[out->unit_count], out->judged));
        MP_TRY(mp_sieve_create(m->arena, m->p, row, &out->words, &sieve));
        units[out->unit_count++].sieve = sieve;
        out->sieved = out->sieved && sieve != NULL;
    }
    for (uint32_t i = 0; i < out->words.count && out->sieved; i++) {
        const struct mp_field_row *f = &m->p->field[signal->fields_at + out->words.word[i].slot];
        out->sieved = f->preset == MP_NONE;
    }
    return MP_OK;
}

static enum mp_err plan_reads(struct mp_arena *a, const struct mp_program *p, uint32_t fn,
                              uint32_t out, uint64_t *fields, uint64_t *columns)
{
    const struct mp_fn_row *f = &p->fn[fn];
    bool *used = MP_NEW(a, bool, f->ops_count + 1);
    if (used == NULL) return MP_ENOMEM;
    used[p->out[f->outs_at + out].value] = true;
    walk_reads(p, f, used, fields, columns);
    return MP_OK;
}

/* An attribute is reached from a field: of a request without that field it is the request that
 * lacks. */
static void mark_bases(const struct mp_program *p, const struct signal_plan *sp,
                       const uint64_t *columns, uint64_t *fields)
{
    for (uint32_t i = 0; i < sp->column_count; i++) {
        if ((columns[i / 64] >> (i % 64) & 1) == 0) continue;
        const struct mp_column_row *c = &p->column[sp->columns_at + i];
        for (uint32_t w = c->walks_at; w < c->walks_at + c->walks_count; w++) {
            if (p->walk[w].base == MP_WALK_FIELD) mark(fields, p->walk[w].index);
        }
    }
}

static enum mp_err plan_guard(struct mp_arena *a, const struct mp_program *p, uint32_t row,
                              const struct signal_plan *sp, struct guard_plan *out)
{
    const struct mp_guard_row *g = &p->guard[row];
    uint64_t *fields = MP_NEW(a, uint64_t, sp->known_words + 1);
    uint64_t *columns = MP_NEW(a, uint64_t, sp->column_count / 64 + 1);
    if (fields == NULL || columns == NULL) return MP_ENOMEM;
    MP_TRY(plan_reads(a, p, p->unit[g->unit].fn, g->out, fields, columns));
    mark_bases(p, sp, columns, fields);
    *out =
        (struct guard_plan){.guard = row,
                            .unit = g->unit,
                            .fields = fields,
                            .columns = columns,
                            .bit = g->out - p->unit[g->unit].first_out,
                            .throttles_only = mp_str_eq(mp_program_text(p, g->verb),
                                                        mp_inproc_verb_word(MP_INPROC_THROTTLE))};
    return MP_OK;
}

static enum mp_err plan_guards(struct mp_arena *a, const struct mp_program *p, uint32_t signal,
                               struct signal_plan *out)
{
    struct guard_plan *guards = MP_NEW(a, struct guard_plan, p->guard_count);
    if (guards == NULL) return MP_ENOMEM;
    out->guards = guards;
    for (uint32_t i = 0; i < p->guard_count; i++) {
        const struct mp_guard_row *g = &p->guard[i];
        if (g->kind != MP_GUARD_WHERE_RECORD || g->signal != signal) continue;
        MP_TRY(plan_guard(a, p, i, out, &guards[out->guard_count++]));
    }
    return MP_OK;
}

static enum mp_err plan_reaches(const struct making *m, const struct mp_signal_row *signal,
                                struct signal_plan *out)
{
    const struct mp_program *p = m->p;
    struct reach_plan *reaches = MP_NEW(m->arena, struct reach_plan, signal->reaches_count);
    if (reaches == NULL) return MP_ENOMEM;
    out->reaches = reaches;
    out->reach_count = signal->reaches_count;
    for (uint32_t i = 0; i < signal->reaches_count; i++) {
        const struct mp_reach_row *r = &p->reach[signal->reaches_at + i];
        mp_str kind = r->entity != MP_NONE ? mp_program_text(p, p->entity[r->entity].name)
                                           : mp_type_word((enum mp_type)r->type);
        enum mp_type type = r->entity != MP_NONE ? (enum mp_type)p->entity[r->entity].key_type
                                                 : (enum mp_type)r->type;
        reaches[i] = (struct reach_plan){.walk = r->walk, .rep = mp_type_rep(type),
                                         .outbound = r->outbound != 0};
        enum mp_err err = mp_inproc_kind(m->backend, kind, &reaches[i].kind);
        if (err != MP_OK) {
            *m->why = NO_KIND;
            return err;
        }
        if (p->walk[r->walk].hops_count > 0) m->plan->reads_inventory = true;
    }
    return MP_OK;
}

static enum mp_err plan_fields(struct mp_arena *a, const struct mp_program *p,
                               const struct mp_signal_row *signal, struct signal_plan *out)
{
    out->known_words = (signal->fields_count + 63) / 64;
    uint64_t *at_start = MP_NEW(a, uint64_t, out->known_words + 1);
    out->judged = MP_NEW(a, uint64_t, out->known_words + 1);
    if (at_start == NULL || out->judged == NULL) return MP_ENOMEM;
    out->at_start = at_start;
    for (uint32_t i = 0; i < signal->fields_count; i++) {
        if ((p->field[signal->fields_at + i].flags & MP_FIELD_AT_END) == 0) {
            at_start[i / 64] |= UINT64_C(1) << (i % 64);
        }
    }
    out->client = MP_NONE;
    for (uint32_t i = 0; i < signal->keys_count; i++) {
        const struct mp_signal_key_row *key = &p->signal_key[signal->keys_at + i];
        if (p->entity[key->entity].key_type == MP_TYPE_IP) {
            out->client = key->field - signal->fields_at;
        }
    }
    return MP_OK;
}

static enum mp_err plan_signal(const struct making *m, uint32_t row, struct mp_verdict_plan *plan)
{
    const struct mp_program *p = m->p;
    const struct mp_signal_row *signal = &p->signal[row];
    struct signal_plan *out = &plan->signals[row];
    out->columns_at = signal->columns_at;
    out->column_count = signal->columns_count;
    MP_TRY(plan_fields(m->arena, p, signal, out));
    MP_TRY(plan_reaches(m, signal, out));
    MP_TRY(plan_units(m, signal, out));
    MP_TRY(plan_guards(m->arena, p, row, out));
    if (out->column_count > 0 && out->unit_count + out->guard_count > 0)
        plan->reads_inventory = true;
    if (signal->fields_count > plan->fields_max) plan->fields_max = signal->fields_count;
    if (signal->columns_count > plan->columns_max) plan->columns_max = signal->columns_count;
    if (out->words.count > plan->words_max) plan->words_max = out->words.count;
    return MP_OK;
}

enum mp_err mp_verdict_plan_create(struct mp_arena *arena, const struct mp_program *p,
                                   struct mp_inproc *backend, struct mp_verdict_buckets *buckets,
                                   struct mp_verdict_plan **out, const char **why)
{
    const char *unread;
    struct mp_verdict_plan *plan = MP_NEW(arena, struct mp_verdict_plan, 1);
    struct making m = {arena, p, backend, MP_NEW(arena, struct mp_eval_scratch, 1), plan,
                       why != NULL ? why : &unread};
    *m.why = mp_err_text(MP_ENOMEM);
    if (plan == NULL || m.eval == NULL) return MP_ENOMEM;
    plan->p = p;
    plan->buckets = buckets;
    plan->signals = MP_NEW(arena, struct signal_plan, p->signal_count);
    plan->owners = MP_NEW(arena, uint32_t, p->rule_count);
    if (plan->signals == NULL || plan->owners == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < p->signal_count; i++) {
        enum mp_err err = plan_signal(&m, i, plan);
        if (err == MP_OK) continue;
        mp_verdict_plan_release(plan);
        return err;
    }
    *out = plan;
    return MP_OK;
}

void mp_verdict_plan_release(struct mp_verdict_plan *plan)
{
    if (plan == NULL) return;
    while (plan->owner_count > 0) {
        mp_verdict_owner_give(plan->buckets, plan->owners[--plan->owner_count]);
    }
}

/* The plan is immutable for its readers; nobody reads it yet. */
static void only_rules(const struct signal_plan *sp, const uint8_t *rules)
{
    for (uint32_t i = 0; i < sp->unit_count; i++) {
        struct unit_plan *u = (struct unit_plan *)(uintptr_t)&sp->units[i];
        for (uint32_t k = 0; k < u->rule_count; k++) {
            if (rules[u->rules[k].row] != 0) continue;
            for (uint32_t layer = 0; layer < LAYER_SETS; layer++)
                u->mask[layer] &= ~(UINT64_C(1) << k);
        }
    }
}

static void only_guards(struct signal_plan *sp, const uint8_t *guards)
{
    struct guard_plan *all = (struct guard_plan *)(uintptr_t)sp->guards;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sp->guard_count; i++) {
        if (guards[all[i].guard] != 0) all[kept++] = all[i];
    }
    sp->guard_count = kept;
}

void mp_verdict_plan_only(struct mp_verdict_plan *plan, const uint8_t *rules, const uint8_t *guards)
{
    for (uint32_t i = 0; i < plan->p->signal_count; i++) {
        only_rules(&plan->signals[i], rules);
        only_guards(&plan->signals[i], guards);
    }
}

bool mp_verdict_reads_inventory(const struct mp_verdict_plan *plan)
{
    return plan->reads_inventory;
}

enum mp_err mp_verdict_scratch_create(struct mp_arena *arena, const struct mp_verdict_plan *plan,
                                      struct mp_verdict_scratch **out)
{
    struct mp_verdict_scratch *s = MP_NEW(arena, struct mp_verdict_scratch, 1);
    if (s == NULL) return MP_ENOMEM;
    s->plan = plan;
    s->known = MP_NEW(arena, uint64_t, plan->fields_max / 64 + 1);
    s->row_known = MP_NEW(arena, uint64_t, plan->columns_max / 64 + 1);
    s->row = MP_NEW(arena, struct mp_value, plan->columns_max + 1);
    s->words = MP_NEW(arena, uint64_t, 2 * plan->words_max + 1);
    if (s->known == NULL || s->row_known == NULL || s->row == NULL || s->words == NULL)
        return MP_ENOMEM;
    *out = s;
    return MP_OK;
}
