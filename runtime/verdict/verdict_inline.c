/* SPDX-License-Identifier: Apache-2.0
 * Inline rules and guards on the request at hand.
 */
#include "base/assert.h"
#include "verdict/verdict_priv.h"

/* ---- the request ---- */

static void set_bit(uint64_t *words, uint32_t i) { words[i / 64] |= UINT64_C(1) << (i % 64); }
static bool has_bit(const uint64_t *words, uint32_t i)
{
    return (words[i / 64] >> (i % 64) & 1) != 0;
}

/* The signal's columns: attributes. What only the engine's thread knows is unknown here. */
static void read_columns(const struct signal_plan *sp, struct mp_verdict_scratch *s)
{
    const struct mp_program *p = s->plan->p;
    memset(s->row_known, 0, (sp->column_count / 64 + 1) * sizeof *s->row_known);
    memset(s->row, 0, sp->column_count * sizeof *s->row);
    for (uint32_t i = 0; i < sp->column_count; i++) {
        const struct mp_column_row *c = &p->column[sp->columns_at + i];
        if (c->kind != MP_COL_ATTR || s->inventory == NULL || c->walks_count == 0) continue;
        struct mp_value v;
        if (!mp_walk_resolve(s->inventory, c->walks_at, &s->record, NULL, &v)) continue;
        s->row[i] = v;
        set_bit(s->row_known, i);
    }
}

static void read_known(const struct signal_plan *sp, const struct mp_record *request,
                       struct mp_verdict_scratch *s)
{
    for (uint32_t i = 0; i < sp->known_words; i++) {
        s->known[i] = request->known[i] & sp->at_start[i];
    }
}

void mp_verdict_prepare(const struct mp_verdict_plan *plan, const struct mp_record *request,
                        struct mp_inventory *inventory, struct mp_verdict_scratch *s)
{
    const struct signal_plan *sp = &plan->signals[request->signal];
    s->record = *request;
    s->record.known = s->known;
    s->inventory = inventory;
    read_known(sp, request, s);
    if (sp->column_count > 0) read_columns(sp, s);
    mp_inputs_init(&s->inputs, plan->p, &s->eval);
    s->inputs.record_known = s->known;
    s->inputs.record = request->field;
    s->inputs.row_known = s->row_known;
    s->inputs.row = s->row;
}

/* ---- a first look ---- */

bool mp_verdict_looks(const struct mp_verdict_plan *plan, uint32_t signal, uint32_t slot)
{
    const struct signal_plan *sp = &plan->signals[signal];
    for (uint32_t i = 0; sp->sieved && i < sp->words.count; i++) {
        if (sp->words.word[i].slot == slot) return true;
    }
    return false;
}

bool mp_verdict_first_look(const struct mp_verdict_plan *plan, const struct mp_inproc_view *view,
                           const struct mp_record *request, struct mp_verdict_scratch *s)
{
    const struct signal_plan *sp = &plan->signals[request->signal];
    uint32_t layer = request->layer & (LAYER_SETS - 1);
    if (view->kinds != 0 || !sp->sieved) return true;
    read_known(sp, request, s);
    mp_sieve_read(&sp->words, s->known, request->field, s->words);
    for (uint32_t i = 0; i < sp->unit_count; i++) {
        const struct unit_plan *u = &sp->units[i];
        if (u->mask[layer] != 0 && mp_sieve_passes(u->sieve, s->words)) return true;
    }
    return false;
}

/* ---- what a rule does ---- */

static double number_now(struct mp_verdict_scratch *s, const struct number *n, bool *known)
{
    *known = true;
    if (n->fixed) return n->value;
    struct mp_value v;
    *known = mp_eval_value(s->plan->p, n->fn, &s->inputs, &v);
    enum mp_type type = (enum mp_type)s->plan->p->out[s->plan->p->fn[n->fn].outs_at].type;
    if (!*known) return 0;
    return mp_type_rep(type) == MP_REP_F ? mp_value_as_num(v) : (double)mp_value_as_int(v);
}

static mp_str rule_name(const struct mp_verdict_plan *plan, uint32_t row)
{
    return mp_program_text(plan->p, plan->p->rule[row].name);
}

void mp_verdict_access(struct met *met, uint32_t strength, bool passes, int status, mp_str verb,
                       mp_str rule, uint64_t incident, uint32_t row)
{
    if (met->has_access) {
        if (strength < met->access_strength) return;
        if (strength == met->access_strength && mp_str_cmp(rule, met->access_rule) >= 0) return;
    }
    met->has_access = true;
    met->access_strength = strength;
    met->access_passes = passes;
    met->access_status = status;
    met->access_verb = verb;
    met->access_rule = rule;
    met->access_incident = incident;
    met->access_row = row;
}

static void meet_access(const struct mp_verdict_plan *plan, const struct rule_plan *r,
                        struct mp_verdict_scratch *s, struct met *met)
{
    bool known;
    double status = number_now(s, &r->access.status, &known);
    /* One that is computed may be anything; `check` has seen to those that are written. */
    int answer = known && mp_is_refusal(status) ? (int)status : 403;
    mp_verdict_access(met, r->access.strength, r->access.passes, answer, r->access.verb,
                      rule_name(plan, r->row), 0, r->row);
}

bool mp_verdict_bucket_keys(const struct mp_verdict_plan *plan, uint32_t row,
                            struct mp_verdict_scratch *s, enum mp_rep *reps, struct mp_value *keys,
                            uint32_t *count)
{
    const struct mp_rule_row *rule = &plan->p->rule[row];
    if (rule->bucket_walks_count > BUCKET_KEYS_MAX) return false;
    for (uint32_t i = 0; i < rule->bucket_walks_count; i++) {
        uint32_t walk = rule->bucket_walks_at + i;
        reps[i] = mp_type_rep((enum mp_type)plan->p->walk[walk].type);
        const struct mp_walk_row *w = &plan->p->walk[walk];
        if (w->base == MP_WALK_FIELD && w->hops_count == 0) {
            if (!has_bit(s->known, w->index)) return false;
            keys[i] = s->record.field[w->index];
        } else if (s->inventory == NULL ||
                   !mp_walk_resolve(s->inventory, walk, &s->record, NULL, &keys[i])) {
            return false;
        }
    }
    *count = rule->bucket_walks_count;
    return true;
}

static void meet_throttle(const struct mp_verdict_plan *plan, struct mp_verdict_buckets *buckets,
                          const struct rule_plan *r, struct mp_verdict_scratch *s, struct met *met)
{
    enum mp_rep reps[BUCKET_KEYS_MAX];
    struct mp_value keys[BUCKET_KEYS_MAX];
    uint32_t count = 0;
    bool known;
    /* A record that lacks a key field belongs to no key of the rule (language.md 4.4). */
    if (!mp_verdict_bucket_keys(plan, r->row, s, reps, keys, &count)) return;
    if (met->throttle_count == THROTTLES_MAX) return;
    struct met_throttle t = {.rule = rule_name(plan, r->row), .inline_rule = true,
                             .limit = r->throttle.limit};
    if (!r->throttle.limit_fixed) {
        double rate = number_now(s, &r->throttle.rate, &known);
        if (!known) return;
        double burst = number_now(s, &r->throttle.burst, &known);
        t.limit = mp_bucket_of_rate(rate, known ? burst : 0, 0);
    }
    double status = number_now(s, &r->throttle.status, &known);
    t.status = known && mp_is_refusal(status) ? (int)status : 429;
    t.bucket = mp_verdict_bucket(buckets, r->throttle.owner, r->throttle.cap, reps, keys, count,
                                 s->record.time_ns);
    bool closed = (plan->p->rule[r->row].flags & MP_RULE_FAIL_CLOSED) != 0;
    if (t.bucket == NULL && !closed) return;
    met->throttles[met->throttle_count++] = t;
}

/* The highest strength, then the first name. */
static void meet_send(const struct mp_verdict_plan *plan, const struct rule_plan *r,
                      struct mp_verdict_scratch *s, struct met *met, struct mp_verdict_answer *out)
{
    mp_str rule = rule_name(plan, r->row);
    if (met->send_rule.len > 0) {
        if (r->send.strength < met->send_strength) return;
        bool equal = r->send.strength == met->send_strength;
        if (equal && mp_str_cmp(rule, met->send_rule) >= 0) return;
    }
    if (!mp_eval_value(plan->p, r->send.to, &s->inputs, &out->send_value)) return;
    out->send_to = mp_value_as_text(&out->send_value);
    met->send_strength = r->send.strength;
    met->send_rule = rule;
}

static void fire(const struct mp_verdict_plan *plan, struct mp_verdict_buckets *buckets,
                 const struct rule_plan *r, struct mp_verdict_scratch *s, struct met *met,
                 struct mp_verdict_answer *out)
{
    if (out->fired_count < MP_VERDICT_FIRED_MAX) {
        out->fired[out->fired_count++] = (struct mp_verdict_fired){.rule = r->row};
    }
    if (!r->enforced) return;
    if (r->access.present) meet_access(plan, r, s, met);
    if (r->send.present) meet_send(plan, r, s, met, out);
    if (r->throttle.present) meet_throttle(plan, buckets, r, s, met);
}

void mp_verdict_inline(const struct mp_verdict_plan *plan, struct mp_verdict_buckets *buckets,
                       struct mp_verdict_scratch *s, struct met *met,
                       struct mp_verdict_answer *out)
{
    const struct signal_plan *sp = &plan->signals[s->record.signal];
    uint32_t layer = s->record.layer & (LAYER_SETS - 1);
    if (sp->words.count > 0) mp_sieve_read(&sp->words, s->known, s->record.field, s->words);
    for (uint32_t i = 0; i < sp->unit_count; i++) {
        const struct unit_plan *u = &sp->units[i];
        if (u->mask[layer] == 0) continue;
        if (u->sieve != NULL && !mp_sieve_passes(u->sieve, s->words)) continue;
        struct mp_hits hits;
        mp_eval_unit(plan->p, u->unit, &s->inputs, &hits);
        out->judged++;
        uint64_t left = hits.truth & hits.known & u->mask[layer];
        while (left != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(left);
            left &= left - 1;
            fire(plan, buckets, &u->rules[bit], s, met, out);
        }
    }
}

/* ---- guards ---- */

/* Is what the guard asks unknown because of us: an attribute that nobody has told, and nothing
 * that the request left out? Else leaving out a header would be a pass (R43). */
static bool unknown_by_us(const struct signal_plan *sp, const struct guard_plan *g,
                          const struct mp_verdict_scratch *s)
{
    for (uint32_t i = 0; i < sp->known_words; i++) {
        if ((g->fields[i] & ~s->known[i]) != 0) return false;
    }
    for (uint32_t i = 0; i < sp->column_count; i++) {
        if (has_bit(g->columns, i) && !has_bit(s->row_known, i)) return true;
    }
    return false;
}

enum protection mp_verdict_protected(const struct mp_verdict_plan *plan,
                                     struct mp_verdict_scratch *s, mp_str *guard)
{
    enum protection best = UNPROTECTED;
    const struct signal_plan *sp = &plan->signals[s->record.signal];
    struct mp_hits hits = {.unit = MP_NONE};
    for (uint32_t i = 0; i < sp->guard_count; i++) {
        const struct guard_plan *g = &sp->guards[i];
        if (hits.unit != g->unit) {
            mp_eval_unit(plan->p, g->unit, &s->inputs, &hits);
            hits.unit = g->unit;
        }
        enum mp_truth truth = mp_hits_truth(&hits, g->bit);
        if (truth == MP_FALSE || (truth == MP_UNKNOWN && !unknown_by_us(sp, g, s))) continue;
        *guard = mp_program_text(plan->p, plan->p->guard[g->guard].text);
        if (!g->throttles_only) return FROM_ALL;
        best = FROM_THROTTLES;
    }
    return best;
}
