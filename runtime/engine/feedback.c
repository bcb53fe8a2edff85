/* SPDX-License-Identifier: Apache-2.0
 * What the loop itself did, as records of the signal `ledger`: a rule may count the acts and
 * outcomes of other rules. Entries are kept in a small queue while something is being judged, and
 * fed when that is over, in order; so a decision never judges in the middle of another.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

/* The fields that an entry fills in, by their names in the vocabulary. */
enum field { POLICY, VERB, OUTCOME, FIELDS };
static const mp_str field_names[FIELDS] = {MP_STR_INIT("policy"), MP_STR_INIT("verb"),
                                           MP_STR_INIT("outcome")};

#define SOURCE 0xFFFFu /* one of its own: the last there is (window.h) */
#define PUMP_MAX 4096  /* records in one go: rules that feed each other pause here */

enum mp_err en_feedback_prepare(struct mp_engine *e)
{
    const struct mp_program *p = e->p;
    e->feedback = (struct en_feedback){.signal = MP_NONE};
    for (uint32_t s = 0; s < p->signal_count; s++) {
        const struct mp_signal_row *row = &p->signal[s];
        bool read = row->feeds_count > 0 || row->rule_units_count > 0;
        bool named = mp_str_eq(mp_program_text(p, row->name), MP_STR("ledger"));
        if (read && named) e->feedback.signal = s;
    }
    if (e->feedback.signal == MP_NONE) return MP_OK;
    mp_window_always(e->window, e->feedback.signal);
    const struct mp_signal_row *s = &p->signal[e->feedback.signal];
    e->feedback.known = MP_NEW(&e->made, uint64_t, s->fields_count / 64 + 1);
    e->feedback.field = MP_NEW(&e->made, struct mp_value, s->fields_count + 1);
    e->feedback.queue = MP_NEW(&e->made, struct en_told_entry, EN_FEEDBACK_MAX);
    if (e->feedback.known == NULL || e->feedback.field == NULL) return MP_ENOMEM;
    return e->feedback.queue == NULL ? MP_ENOMEM : MP_OK;
}

static bool is_outcome(const struct mp_entry *entry)
{
    static const mp_str lease[] = {MP_STR_INIT("effective"), MP_STR_INIT("withheld")};
    static const mp_str incident[] = {MP_STR_INIT("confirmed"),    MP_STR_INIT("failed"),
                                      MP_STR_INIT("harmful"),      MP_STR_INIT("inconclusive"),
                                      MP_STR_INIT("released"),     MP_STR_INIT("rolled_back")};
    bool of_lease = entry->machine == MP_MACHINE_LEASE;
    const mp_str *words = of_lease ? lease : incident;
    size_t count = of_lease ? sizeof lease / sizeof *lease : sizeof incident / sizeof *incident;
    for (size_t i = 0; i < count; i++) {
        if (mp_str_eq(words[i], entry->to)) return true;
    }
    return false;
}

/* The entity's key in what is told; text is copied, for its owner may be gone by then. */
static void add_key(struct en_told_entry *t, uint32_t entity, uint32_t type, struct mp_value v)
{
    if (entity == MP_NONE || t->key_count == EN_FEEDBACK_KEYS) return;
    for (uint32_t i = 0; i < t->key_count; i++) {
        if (t->entity[i] == entity) return;
    }
    if (mp_type_rep((enum mp_type)type) == MP_REP_T) {
        mp_str text = mp_value_as_text(&v);
        if (text.len > MP_TEXT_INLINE) {
            if (text.len > sizeof t->text - t->text_len) return;
            memcpy(t->text + t->text_len, text.ptr, text.len);
            v = mp_value_text((mp_str){t->text + t->text_len, text.len});
            t->text_len += (uint32_t)text.len;
        }
    }
    t->entity[t->key_count] = entity;
    t->key[t->key_count++] = v;
}

void en_feedback_entry(struct mp_engine *e, const struct en_case *c, const struct mp_lease *l)
{
    struct en_feedback *f = &e->feedback;
    if (f->signal == MP_NONE || e->restoring || e->entry.shadow || !is_outcome(&e->entry)) return;
    if (f->count == EN_FEEDBACK_MAX) {
        f->lost++;
        return;
    }
    struct en_told_entry *t = &f->queue[(f->at + f->count++) % EN_FEEDBACK_MAX];
    *t = (struct en_told_entry){.policy = e->entry.rule, .verb = e->entry.verb,
                                .outcome = e->entry.to, .time_ns = e->now_ns};
    if (l != NULL && l->target.bits == 0)
        add_key(t, l->target.entity, l->target.type, l->target.value);
    if (c == NULL || !en_has_rule(c)) return;
    if (t->verb.len == 0 && c->step != MP_NONE && e->p->step[c->step].acts_count > 0) {
        uint32_t action = e->p->act[e->p->step[c->step].acts_at].action;
        t->verb = mp_program_text(e->p, e->p->action[action].name);
    }
    const struct mp_grouping_row *g = &e->p->grouping[c->grouping];
    const struct mp_value *keys = mp_window_key(e->window, c->grouping, c->key);
    for (uint32_t i = 0; i < g->keys_count; i++) {
        const struct mp_group_key_row *k = &e->p->group_key[g->keys_at + i];
        add_key(t, k->entity, k->type, keys[i]);
    }
}

static void set(struct mp_engine *e, uint32_t row, struct mp_value v)
{
    uint32_t slot = row - e->p->signal[e->feedback.signal].fields_at;
    e->feedback.known[slot / 64] |= 1ull << (slot % 64);
    e->feedback.field[slot] = v;
}

static void fill(struct mp_engine *e, const struct en_told_entry *t)
{
    const struct mp_signal_row *s = &e->p->signal[e->feedback.signal];
    const mp_str values[FIELDS] = {t->policy, t->verb, t->outcome};
    memset(e->feedback.known, 0, (s->fields_count / 64 + 1) * sizeof *e->feedback.known);
    memset(e->feedback.field, 0, (s->fields_count + 1) * sizeof *e->feedback.field);
    for (uint32_t i = s->fields_at; i < s->fields_at + s->fields_count; i++) {
        mp_str path = mp_program_text(e->p, e->p->field[i].path);
        for (int n = 0; n < FIELDS; n++) {
            if (values[n].len == 0 || !mp_str_eq(path, field_names[n])) continue;
            set(e, i, mp_value_text(values[n]));
        }
    }
    for (uint32_t i = s->keys_at; i < s->keys_at + s->keys_count; i++) {
        const struct mp_signal_key_row *k = &e->p->signal_key[i];
        for (uint32_t n = 0; n < t->key_count; n++) {
            if (t->entity[n] == k->entity) set(e, k->field, t->key[n]);
        }
    }
}

void en_feedback_pump(struct mp_engine *e)
{
    struct en_feedback *f = &e->feedback;
    if (f->count == 0 || f->feeding) return;
    f->feeding = true;
    for (int n = 0; n < PUMP_MAX && f->count > 0; n++) {
        f->now = f->queue[f->at]; /* its place may be taken while it is judged */
        for (uint32_t i = 0; i < f->now.key_count; i++) {
            struct mp_value *v = &f->now.key[i];
            const char *text = (const char *)(uintptr_t)v->w[1];
            const struct en_told_entry *from = &f->queue[f->at];
            if (text >= from->text && text < from->text + sizeof from->text &&
                mp_value_text_len(*v) > MP_TEXT_INLINE) {
                v->w[1] = (uintptr_t)(f->now.text + (text - from->text));
            }
        }
        f->at = (f->at + 1) % EN_FEEDBACK_MAX;
        f->count--;
        fill(e, &f->now);
        struct mp_record r = {.time_ns = f->now.time_ns, .signal = f->signal,
                              .layer = MP_LAYER_SERVICE, .source = SOURCE, .weight = 1,
                              .known = f->known, .field = f->field};
        en_take(e, &r, true);
    }
    f->feeding = false;
}
