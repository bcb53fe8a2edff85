/* SPDX-License-Identifier: Apache-2.0
 * The row of a message that is in the outbox.
 */
#include "engine/state_priv.h"

void en_put_message(struct mp_engine *e, struct en_out *o, const struct en_message *m)
{
    en_put_u8(o, EN_ROW_VERSION);
    en_put_u8(o, m->state);
    en_put_u64(o, m->id);
    en_put_u64(o, m->incident);
    en_put_u64(o, m->rung);
    en_put_u64(o, m->owner);
    en_put_i64(o, m->time_ns);
    en_put_u8(o, m->stuck);
    en_put_text(o, mp_program_text(e->p, e->p->rule[m->rule].package));
    en_put_text(o, en_rule_name(e, m->rule));
    en_put_text(o, mp_program_text(e->p, e->p->action[e->p->act[m->act].action].name));
    en_put_text(o, mp_program_text(e->p, e->p->act[m->act].via));
    en_put_text(o, (mp_str){m->key_text, m->key_len});
    en_put_text(o, (mp_str){m->text, m->text_len});
}

/* An act of the program with this verb and channel, first of the rule itself. */
static uint32_t find_act(const struct mp_program *p, mp_str verb, mp_str via)
{
    for (uint32_t i = 0; i < p->act_count; i++) {
        if (mp_str_eq(mp_program_text(p, p->action[p->act[i].action].name), verb) &&
            mp_str_eq(mp_program_text(p, p->act[i].via), via)) {
            return i;
        }
    }
    return MP_NONE;
}

enum mp_err en_restore_message(struct mp_engine *e, uint64_t id, struct en_in *i)
{
    if (id == 0 || id > e->limits.messages) return MP_ELIMIT;
    struct en_message *m = &e->messages[id - 1];
    if (m->state != EN_MAIL_FREE) return MP_ECORRUPT;
    struct en_message out = {.dirty = true};
    out.state = en_get_u8(i);
    out.id = en_get_u64(i);
    out.incident = en_get_u64(i);
    out.rung = (uint32_t)en_get_u64(i);
    out.owner = (uint32_t)en_get_u64(i);
    out.time_ns = en_get_span(i);
    out.stuck = en_get_u8(i) != 0;
    mp_str package = en_get_text(i, 1024), name = en_get_text(i, 1024), verb = en_get_text(i, 1024);
    mp_str via = en_get_text(i, 1024), key = en_get_text(i, EN_KEY_TEXT_MAX);
    mp_str text = en_get_text(i, EN_MESSAGE_TEXT_MAX);
    if (i->bad || out.state > EN_MAIL_SENT || out.state == EN_MAIL_FREE) return MP_ECORRUPT;
    if (out.state == EN_MAIL_SENT && !e->swapping) out.state = EN_MAIL_QUEUED; /* at least once */
    out.seq = en_durable_with(e);
    out.rule = en_find_rule(e->p, package, name);
    out.act = find_act(e->p, verb, via);
    m->dirty = true;
    /* LIMIT: a message of a rule and a channel that are both gone goes with them. */
    if (out.rule == MP_NONE || out.act == MP_NONE) return MP_OK;
    out.key_len = (uint32_t)key.len;
    memcpy(out.key_text, key.ptr, key.len);
    out.text_len = (uint32_t)text.len;
    memcpy(out.text, text.ptr, text.len);
    *m = out;
    e->message_used++;
    return MP_OK;
}
