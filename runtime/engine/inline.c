/* SPDX-License-Identifier: Apache-2.0
 * Rules on the record itself: event rules, and inline rules where no embedder has judged them
 * before the request went on (replay, `run`, tests). Telemetry is not changed by what they say
 * (R48).
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

#define MINUTE_NS 60000000000LL
#define FIRED_MAX 64 /* LIMIT: rules on one record that are told one by one; the rest is counted */

struct fired {
    uint32_t rule, act; /* act MP_NONE: none on the record */
};

/* ---- the record's own row ---- */

static struct mp_inputs *inputs(struct mp_engine *e, const struct mp_record *r)
{
    mp_inputs_init(&e->in, e->p, &e->scratch);
    e->in.record_known = r->known;
    e->in.record = r->field;
    e->in.row_known = e->record_row.known;
    e->in.row = e->record_row.cell;
    return &e->in;
}

/* ---- who a rule ran for ---- */

/* The values of its `per`. */
static mp_str key_of(struct mp_engine *e, const struct mp_record *r, uint32_t rule)
{
    const struct mp_rule_row *row = &e->p->rule[rule];
    struct mp_buf b;
    en_words(e, &b);
    for (uint32_t i = 0; i < row->bucket_walks_count; i++) {
        uint32_t walk = row->bucket_walks_at + i;
        struct mp_value v;
        if (i > 0) mp_buf_puts(&b, ", ");
        if (mp_walk_resolve(e->inventory, walk, r, NULL, &v)) {
            mp_value_print(&b, (enum mp_type)e->p->walk[walk].type, v);
        } else {
            mp_buf_puts(&b, "unknown");
        }
    }
    return mp_buf_view(&b);
}

static void cause_record(struct mp_engine *e, const struct mp_record *r)
{
    const struct mp_signal_row *s = &e->p->signal[r->signal];
    for (uint32_t i = s->keys_at; i < s->keys_at + s->keys_count; i++) {
        const struct mp_signal_key_row *key = &e->p->signal_key[i];
        uint32_t slot = key->field - s->fields_at;
        if (((r->known[slot / 64] >> (slot % 64)) & 1) == 0) continue;
        en_cause_value(e, mp_program_text(e->p, e->p->entity[key->entity].name),
                       (enum mp_type)e->p->field[key->field].type, r->field[slot]);
    }
}

/* ---- R49 ---- */

/* The first of a (rule, key) in a minute is told, with the count of the minute before. */
static bool tell_now(struct mp_engine *e, uint32_t rule, mp_str key, uint64_t count,
                     uint64_t *before)
{
    uint64_t hash = en_rule_key(e, rule, key);
    struct en_told *t = &e->told[hash % EN_TOLD_MAX];
    int64_t minute = e->now_ns - e->now_ns % MINUTE_NS;
    if (t->key == hash && t->since_ns == minute) {
        t->count += count;
        return e->options.clock == MP_ENGINE_TEST; /* a test looks at every record */
    }
    bool test = e->options.clock == MP_ENGINE_TEST;
    if (!test && !en_pace(e, &e->inline_pace, EN_INLINE_PACE)) return false;
    *before = t->key == hash ? t->count : 0;
    *t = (struct en_told){hash, minute, count};
    return true;
}

static void tell(struct mp_engine *e, uint32_t rule, uint32_t act, mp_str key, bool carried_out,
                 uint64_t count, const struct mp_record *r)
{
    uint64_t before = 0;
    if (!tell_now(e, rule, key, count, &before)) return;
    if (r != NULL) cause_record(e, r);
    if (before > 0) en_cause_number(e, MP_STR("minute_before"), before);
    e->entry.machine = MP_MACHINE_LEASE;
    e->entry.rule = en_rule_name(e, rule);
    e->entry.key = key;
    e->entry.rung = 1;
    if (act != MP_NONE) {
        e->entry.verb = mp_program_text(e->p, e->p->action[e->p->act[act].action].name);
    }
    e->entry.target = MP_STR("request");
    if (r != NULL) e->entry.target = mp_program_text(e->p, e->p->signal[r->signal].alias);
    e->entry.shadow = e->p->rule[rule].mode == MP_MODE_SHADOW;
    e->entry.from = MP_STR("proposed");
    e->entry.to = carried_out ? MP_STR("effective") : MP_STR("withheld");
    e->entry.why = MP_STR("inline");
    en_entry_put(e);
}

/* ---- messages ---- */

/* `a`: what was decided on the record, NULL where the rule has no action on it. */
static void send_message(struct mp_engine *e, const struct mp_record *r, uint32_t rule,
                         uint32_t act, const struct mp_verdict_answer *a)
{
    char text[EN_MESSAGE_TEXT_MAX], key[EN_KEY_TEXT_MAX];
    size_t len = mp_verdict_compose(e->p, act, inputs(e, r), text, sizeof text);
    if (a != NULL && mp_verdict_audits(e->p, act))
        len = mp_verdict_told(e->p, a, rule, text, sizeof text, len);
    mp_str k = key_of(e, r, rule);
    size_t key_len = k.len < sizeof key ? k.len : sizeof key;
    if (key_len > 0) memcpy(key, k.ptr, key_len);
    en_entry_begin(e);
    en_message_now(e, rule, act, (mp_str){text, len}, (mp_str){key, key_len});
}

static void send_messages(struct mp_engine *e, const struct mp_record *r, uint32_t rule,
                          const struct mp_verdict_answer *a)
{
    const struct mp_rule_row *row = &e->p->rule[rule];
    for (uint32_t s = row->steps_at; s < row->steps_at + row->steps_count; s++) {
        const struct mp_step_row *step = &e->p->step[s];
        for (uint32_t act = step->acts_at; act < step->acts_at + step->acts_count; act++) {
            if (mp_verdict_sends(e->p, rule, act)) send_message(e, r, rule, act, a);
        }
    }
}

/* ---- what is carried out ---- */

/* What was decided on the request, by the same code that answers an embedder (R31, R34, R43). */
static const struct mp_verdict_answer *verdict(struct mp_engine *e, const struct mp_record *r)
{
    const struct mp_inproc_view *view = mp_inproc_enter(e->reader);
    mp_verdict_ask(e->plan, e->buckets, view, e->inventory, r, e->verdict_scratch, &e->answer);
    mp_inproc_leave(e->reader);
    return &e->answer;
}

static void do_fired(struct mp_engine *e, const struct mp_record *r, const struct fired *f,
                     uint32_t count)
{
    const struct mp_verdict_answer *a = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (f[i].act != MP_NONE && a == NULL) a = verdict(e, r);
        send_messages(e, r, f[i].rule, f[i].act != MP_NONE ? a : NULL);
        if (f[i].act == MP_NONE) continue;
        bool guarded = a->reason == MP_VERDICT_REASON_GUARD ||
                       a->reason == MP_VERDICT_REASON_EXEMPT;
        enum mp_verdict_outcome outcome = mp_verdict_outcome(e->p, a, f[i].rule);
        bool shadow = outcome == MP_VERDICT_SHADOW, done = shadow || outcome == MP_VERDICT_DONE;
        if (!done && guarded) e->counts[f[i].rule].withheld++;
        if (done || guarded) tell(e, f[i].rule, f[i].act, key_of(e, r, f[i].rule), done, 1, r);
        en_entry_begin(e);
        if (e->sinks.inline_hit != NULL) {
            e->sinks.inline_hit(e->sinks.ctx, f[i].rule, f[i].act, r, shadow, done);
        }
    }
}

/* ---- judging ---- */

void en_inline(struct mp_engine *e, const struct mp_record *r, bool judged)
{
    const struct mp_signal_row *s = &e->p->signal[r->signal];
    struct fired fired[FIRED_MAX];
    uint32_t count = 0, layer = (uint32_t)__builtin_ctz(r->layer | 8u) % 3;
    for (uint32_t u = s->rule_units_at; u < s->rule_units_at + s->rule_units_count; u++) {
        const struct mp_unit_row *unit = &e->p->unit[u];
        if (unit->rules_count == 0) continue;
        if (judged && e->p->rule[unit->rules_at].kind == MP_RULE_INLINE) continue;
        struct mp_hits hits;
        uint64_t mask = e->units[u].at_layer[layer] & e->units[u].alive;
        if (mask == 0) continue;
        mp_eval_unit(e->p, u, inputs(e, r), &hits);
        uint64_t truth = hits.truth & hits.known & mask;
        en_count(e, u, layer, truth, mask & ~hits.known);
        for (uint64_t todo = truth; todo != 0; todo &= todo - 1) {
            uint32_t rule = unit->rules_at + (uint32_t)__builtin_ctzll(todo);
            if (count == FIRED_MAX) break;
            fired[count++] = (struct fired){rule, mp_verdict_act(e->p, rule)};
        }
    }
    if (count > 0) do_fired(e, r, fired, count);
}

void mp_engine_inline(struct mp_engine *e, const struct mp_inline_note *note)
{
    if (note->count > 0) {
        struct mp_rule_counts *c = &e->counts[note->rule];
        c->matched += note->count;
        c->judged += note->count;
        uint32_t act = mp_verdict_act(e->p, note->rule);
        tell(e, note->rule, act, note->key, note->refused, note->count, NULL);
    }
    if (note->act != MP_NONE) en_message_now(e, note->rule, note->act, note->text, note->key);
    en_flush(e);
}
