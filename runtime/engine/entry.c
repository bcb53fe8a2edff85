/* SPDX-License-Identifier: Apache-2.0
 * Transitions → ledger. The texts of an entry are written into one buffer that is emptied for the
 * next.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

void en_entry_begin(struct mp_engine *e)
{
    mp_arena_init_fixed(&e->words_arena, e->words, EN_WORDS_BYTES);
    e->entry = (struct mp_entry){.seq = 0};
}

struct mp_buf *en_words(struct mp_engine *e, struct mp_buf *b)
{
    mp_buf_init(b, &e->words_arena);
    return b;
}

void en_cause(struct mp_engine *e, mp_str name, mp_str value)
{
    if (e->entry.cause_count == MP_ENTRY_NOTES_MAX) return;
    e->entry.cause[e->entry.cause_count++] = (struct mp_note){name, value};
}

void en_cause_value(struct mp_engine *e, mp_str name, enum mp_type type, struct mp_value v)
{
    struct mp_buf b;
    mp_value_show(en_words(e, &b), type, v);
    en_cause(e, name, mp_buf_view(&b));
}

void en_cause_number(struct mp_engine *e, mp_str name, uint64_t n)
{
    struct mp_buf b;
    mp_buf_printf(en_words(e, &b), "%llu", (unsigned long long)n);
    en_cause(e, name, mp_buf_view(&b));
}

mp_str en_rule_name(const struct mp_engine *e, uint32_t rule)
{
    if (rule == EN_MANUAL) return MP_STR("manual");
    return rule == EN_NACK ? MP_STR("nack") : mp_program_text(e->p, e->p->rule[rule].name);
}

uint64_t en_entry_put(struct mp_engine *e)
{
    mp_str json;
    e->entry.time_ns = e->now_ns;
    mp_ledger_append(e->ledger, &e->entry, &json);
    if (!e->options.store) e->committed = e->entry.seq;
    if (e->sinks.entry != NULL) e->sinks.entry(e->sinks.ctx, &e->entry, json);
    en_entry_begin(e);
    return mp_ledger_seq(e->ledger);
}

uint64_t en_entry_incident(struct mp_engine *e, struct en_case *c, mp_str from, mp_str to,
                           mp_str why)
{
    e->entry.machine = MP_MACHINE_INCIDENT;
    e->entry.rule = en_rule_name(e, c->rule);
    e->entry.key = en_case_key(e, c);
    e->entry.incident = c->id;
    e->entry.rung = c->rung;
    e->entry.shadow = c->shadow;
    e->entry.from = from;
    e->entry.to = to;
    e->entry.why = why;
    en_feedback_entry(e, c, NULL);
    return en_entry_put(e);
}

static void add_arg(struct mp_engine *e, mp_str name, mp_str value)
{
    if (e->entry.arg_count == MP_LEASE_ARGS_MAX) return;
    e->entry.args[e->entry.arg_count++] = (struct mp_note){name, value};
}

static void lease_args(struct mp_engine *e, const struct mp_lease *l)
{
    struct mp_buf b;
    bool told = false;
    for (uint32_t i = 0; i < l->arg_count; i++) {
        const struct mp_lease_arg *arg = &l->args[i];
        if (!arg->known) continue;
        told |= mp_str_eq(arg->name, MP_STR("for"));
        mp_value_print(en_words(e, &b), (enum mp_type)arg->type, arg->value);
        add_arg(e, arg->name, mp_buf_view(&b));
    }
    if (l->ttl_ns > 0 && !told) {
        mp_value_print(en_words(e, &b), MP_TYPE_DURATION, mp_value_int(l->ttl_ns));
        add_arg(e, MP_STR("for"), mp_buf_view(&b));
    }
}

mp_str en_target_text(struct mp_engine *e, const struct mp_lease *l)
{
    struct mp_buf b;
    en_words(e, &b);
    if (l->target.bits != 0) {
        mp_value_print_net(&b, l->target.value, l->target.bits);
    } else {
        mp_value_print(&b, (enum mp_type)l->target.type, l->target.value);
    }
    return mp_buf_view(&b);
}

uint64_t en_entry_lease(struct mp_engine *e, struct en_lease *l, mp_str from, mp_str to, mp_str why)
{
    struct en_case *c = &e->cases[l->owner];
    e->entry.machine = MP_MACHINE_LEASE;
    e->entry.rule = en_rule_name(e, l->l.rule);
    e->entry.key = en_case_key(e, c);
    e->entry.incident = l->l.incident;
    e->entry.rung = l->l.rung;
    e->entry.lease = l->l.id;
    e->entry.verb = mp_program_text(e->p, e->p->action[l->l.action].name);
    e->entry.target = en_target_text(e, &l->l);
    e->entry.shadow = l->l.shadow;
    e->entry.from = from;
    e->entry.to = to;
    e->entry.why = why;
    lease_args(e, &l->l);
    en_feedback_entry(e, c, &l->l);
    return en_entry_put(e);
}

uint64_t en_entry_message(struct mp_engine *e, struct en_message *m, mp_str from, mp_str to,
                          mp_str why)
{
    const struct mp_act_row *act = &e->p->act[m->act];
    e->entry.machine = MP_MACHINE_LEASE;
    e->entry.rule = en_rule_name(e, m->rule);
    e->entry.key = (mp_str){m->key_text, m->key_len};
    e->entry.incident = m->incident;
    e->entry.rung = m->rung;
    e->entry.lease = m->id;
    e->entry.verb = mp_program_text(e->p, e->p->action[act->action].name);
    e->entry.target = mp_program_text(e->p, act->via);
    e->entry.from = from;
    e->entry.to = to;
    e->entry.why = why;
    add_arg(e, MP_STR("text"), (mp_str){m->text, m->text_len});
    return en_entry_put(e);
}

static uint32_t clause_of(const struct mp_engine *e, const struct en_case *c, enum mp_clause kind)
{
    const struct mp_rule_row *r = &e->p->rule[c->rule];
    switch (kind) {
    case MP_CLAUSE_TRIGGER: return r->trigger;
    case MP_CLAUSE_UNLESS: return r->unless;
    case MP_CLAUSE_UNTIL: return r->until;
    case MP_CLAUSE_VERIFY: return c->step == MP_NONE ? MP_NONE : e->p->step[c->step].verify;
    case MP_CLAUSE_HARM: return en_case_harm(e, c);
    default: return MP_NONE;
    }
}

/* Texts are left out: they may belong to the record at hand, which goes. */
static void keep_values(struct mp_engine *e, const struct en_case *c, uint32_t clause,
                        const struct mp_read *how, struct en_truth *t)
{
    const struct mp_clause_row *row = &e->p->clause[clause];
    en_clause_truth(e, clause, how, c->key); /* fills the row that the parts read */
    for (uint32_t i = row->parts_at; i < row->parts_at + row->parts_count; i++) {
        const struct mp_part_row *part = &e->p->part[i];
        if (part->shown == MP_NONE || t->value_count == MP_TRUTH_VALUES_MAX) continue;
        enum mp_rep rep = mp_type_rep((enum mp_type)part->type);
        if (rep == MP_REP_T || rep == MP_REP_S) continue;
        uint32_t n = t->value_count++;
        t->part[n] = i;
        if (mp_eval_value(e->p, part->shown, en_row_inputs(e, &e->clause_row), &t->value[n])) {
            t->known |= (uint8_t)(1u << n);
        }
    }
}

void en_truth_changed(struct mp_engine *e, struct en_case *c, enum mp_clause kind,
                      enum mp_truth truth, const struct mp_read *how)
{
    if (c->seen[kind] == truth + 1) return;
    c->seen[kind] = (uint8_t)(truth + 1);
    en_case_touch(c);
    uint64_t key = en_rule_key(e, c->rule, en_case_key(e, c));
    struct en_truth *t = &e->truths[e->truth_at];
    *t = (struct en_truth){.time_ns = e->now_ns, .rule_key = key, .clause = (uint8_t)kind,
                           .truth = (uint8_t)truth};
    uint32_t clause = clause_of(e, c, kind);
    if (clause != MP_NONE) keep_values(e, c, clause, how, t);
    e->truth_at = (e->truth_at + 1) % e->limits.truths;
    e->truth_total++;
    if (e->truth_count < e->limits.truths) e->truth_count++;
}

void en_truths_forget_values(struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->truth_count; i++) e->truths[i].value_count = 0;
}
