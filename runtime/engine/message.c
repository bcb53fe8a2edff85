/* SPDX-License-Identifier: Apache-2.0
 * The outbox: what notify, page and audit say. A message is written when its step is taken, goes
 * out when the step is accepted, failed or withheld (R33), and is sent at least once, with one
 * id.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

#define TOLD_SECOND_NS 1000000000LL

static uint32_t moment_of(const struct mp_engine *e, const struct en_message *m)
{
    return e->limits.incidents + EN_BACKENDS_MAX + (uint32_t)(m - e->messages);
}

static bool is_message(const struct mp_engine *e, const struct mp_act_row *act)
{
    return e->p->action[act->action].class == MP_CLASS_MESSAGE;
}

static struct en_message *take_message(struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->limits.messages; i++) {
        struct en_message *m = &e->messages[i];
        if (m->state != EN_MAIL_FREE) continue;
        e->message_used++;
        *m = (struct en_message){.state = EN_MAIL_STEP, .owner = EN_NONE, .dirty = true,
                                 .id = ++e->next_lease, .time_ns = e->now_ns};
        return m;
    }
    e->lost_messages++;
    return NULL;
}

static void free_message(struct mp_engine *e, struct en_message *m)
{
    en_heap_set(e, &e->monos, moment_of(e, m), MP_NEVER_NS);
    m->state = EN_MAIL_FREE;
    m->dirty = true;
    e->message_used--;
}

static void add_text(struct en_message *m, mp_str s)
{
    uint32_t room = EN_MESSAGE_TEXT_MAX - m->text_len;
    uint32_t len = s.len < room ? (uint32_t)s.len : room;
    memcpy(m->text + m->text_len, s.ptr, len);
    m->text_len += len;
}

static void set_key(struct en_message *m, mp_str key)
{
    m->key_len = key.len < EN_KEY_TEXT_MAX ? (uint32_t)key.len : EN_KEY_TEXT_MAX;
    if (m->key_len > 0) memcpy(m->key_text, key.ptr, m->key_len);
}

static void compose(struct mp_engine *e, struct en_message *m, uint32_t act, struct mp_inputs *in)
{
    m->text_len = (uint32_t)mp_verdict_compose(e->p, act, in, m->text, EN_MESSAGE_TEXT_MAX);
    en_entry_begin(e);
}

void en_messages_write(struct mp_engine *e, struct en_case *c)
{
    const struct mp_step_row *step = &e->p->step[c->step];
    bool filled = false;
    if (c->shadow) return;
    for (uint32_t a = step->acts_at; a < step->acts_at + step->acts_count; a++) {
        const struct mp_act_row *act = &e->p->act[a];
        if (!is_message(e, act)) continue;
        struct en_message *m = take_message(e);
        if (m == NULL) return;
        if (!filled) en_fill(e, c->grouping, c->key, c);
        filled = true;
        m->rule = c->rule;
        m->act = a;
        m->rung = c->rung;
        m->incident = c->id;
        m->owner = en_case_index(e, c);
        set_key(m, en_case_key(e, c));
        compose(e, m, a, en_row_inputs(e, &e->row));
    }
}

static void post(struct mp_engine *e, struct en_message *m, mp_str why)
{
    m->state = EN_MAIL_QUEUED;
    m->owner = EN_NONE;
    m->dirty = true;
    m->time_ns = e->now_ns;
    m->seq = en_entry_message(e, m, MP_STR("proposed"), MP_STR("admitted"), why);
}

void en_messages_send(struct mp_engine *e, struct en_case *c, mp_str suffix)
{
    c->told = true;
    if (e->message_used == 0) return;
    for (uint32_t i = 0; i < e->limits.messages; i++) {
        struct en_message *m = &e->messages[i];
        if (m->state != EN_MAIL_STEP || m->owner != en_case_index(e, c)) continue;
        if (suffix.len > 0) {
            add_text(m, MP_STR(" ("));
            add_text(m, suffix);
            add_text(m, MP_STR(")"));
        }
        post(e, m, suffix);
    }
}

void en_messages_drop(struct mp_engine *e, struct en_case *c)
{
    if (e->message_used == 0) return;
    for (uint32_t i = 0; i < e->limits.messages; i++) {
        struct en_message *m = &e->messages[i];
        if (m->state == EN_MAIL_STEP && m->owner == en_case_index(e, c)) free_message(e, m);
    }
}

void en_messages_drop_orphans(struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->limits.messages; i++) {
        struct en_message *m = &e->messages[i];
        if (m->state != EN_MAIL_STEP) continue;
        const struct en_case *c = m->owner < e->limits.incidents ? &e->cases[m->owner] : NULL;
        if (c == NULL || !c->used || c->id != m->incident) free_message(e, m);
    }
}

/* R20: one a rule and text in a second; the rest is counted in the next. */
static bool too_soon(struct mp_engine *e, uint32_t rule, mp_str text, uint64_t *missed)
{
    uint64_t words[2] = {rule, mp_siphash(e->options.hash_key, text.ptr, text.len)};
    uint64_t key = mp_siphash_words(e->options.hash_key, words, 2);
    struct en_told *t = &e->told[key % EN_TOLD_MAX];
    bool same = t->key == key && e->now_ns - t->since_ns < TOLD_SECOND_NS;
    if (same || !en_pace(e, &e->text_pace, EN_TEXT_PACE)) {
        t->count++;
        return true;
    }
    *missed = t->key == key ? t->count : 0;
    *t = (struct en_told){key, e->now_ns, 0};
    return false;
}

void en_message_now(struct mp_engine *e, uint32_t rule, uint32_t act, mp_str text, mp_str key)
{
    uint64_t missed;
    if (too_soon(e, rule, text, &missed)) return;
    struct en_message *m = take_message(e);
    if (m == NULL) return;
    m->rule = rule;
    m->act = act;
    set_key(m, key);
    add_text(m, text);
    if (missed > 0) {
        struct mp_buf b;
        mp_buf_printf(en_words(e, &b), " (and %llu more)", (unsigned long long)missed);
        add_text(m, mp_buf_view(&b));
        en_entry_begin(e);
    }
    post(e, m, MP_STR(""));
}

/* ---- sending ---- */

static void delivered(struct mp_engine *e, struct en_message *m)
{
    mp_str from = m->stuck ? MP_STR("stuck") : MP_STR("admitted");
    en_entry_message(e, m, from, MP_STR("accepted"), MP_STR("done"));
    free_message(e, m);
}

static void failed(struct mp_engine *e, struct en_message *m, enum mp_err err)
{
    int64_t pause = 1000000000LL << (m->attempts < 6 ? m->attempts : 6);
    if (pause > 60000000000LL) pause = 60000000000LL;
    m->attempts++;
    m->state = EN_MAIL_QUEUED;
    if (!m->stuck) {
        m->stuck = true;
        m->dirty = true;
        en_entry_message(e, m, MP_STR("admitted"), MP_STR("stuck"), mp_str_of(mp_err_text(err)));
    }
    en_heap_set(e, &e->monos, moment_of(e, m), e->mono_ns + pause);
}

static void send(struct mp_engine *e, struct en_message *m)
{
    struct mp_message out = {
        .id = m->id, .incident = m->incident, .rule = m->rule,
        .verb = mp_program_text(e->p, e->p->action[e->p->act[m->act].action].name),
        .channel = mp_program_text(e->p, e->p->act[m->act].via),
        .text = {m->text, m->text_len}, .key = {m->key_text, m->key_len},
        .rule_name = en_rule_name(e, m->rule), .time_ns = m->time_ns};
    m->state = EN_MAIL_SENT;
    enum mp_err err = e->sinks.message == NULL ? MP_OK : e->sinks.message(e->sinks.ctx, &out);
    if (err == MP_EAGAIN || m->state != EN_MAIL_SENT) return; /* in hand, or already answered */
    if (err == MP_OK) {
        delivered(e, m);
    } else {
        failed(e, m, err);
    }
}

void en_messages_pump(struct mp_engine *e)
{
    for (uint32_t i = 0, left = e->message_used; i < e->limits.messages && left > 0; i++) {
        struct en_message *m = &e->messages[i];
        if (m->state == EN_MAIL_FREE) continue;
        left--;
        if (m->state != EN_MAIL_QUEUED || m->seq > e->committed) continue;
        if (e->monos.pos[moment_of(e, m)] != EN_NONE) continue; /* waits for another attempt */
        send(e, m);
    }
}

void en_message_due(struct mp_engine *e, uint32_t message)
{
    /* Its moment has left the heap, which is what the pump looks for. */
    (void)e;
    (void)message;
}

enum mp_err mp_engine_message_done(struct mp_engine *e, uint64_t id, enum mp_err how)
{
    for (uint32_t i = 0; i < e->limits.messages; i++) {
        struct en_message *m = &e->messages[i];
        if (m->state != EN_MAIL_SENT || m->id != id) continue;
        if (how == MP_OK) {
            delivered(e, m);
        } else {
            failed(e, m, how);
        }
        return MP_OK;
    }
    return MP_ENOTFOUND;
}
