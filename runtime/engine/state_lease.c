/* SPDX-License-Identifier: Apache-2.0
 * The row of a lease: what is in force, at what, with which arguments, and until when.
 */
#include "engine/state_priv.h"

/* The byte in front of the rule's name; rows of earlier versions know the first only. */
enum { SHADOW = 1, HELD = 2, REFUSED = 4 };

void en_put_lease(struct mp_engine *e, struct en_out *o, const struct en_lease *l)
{
    const struct mp_action_row *action = &e->p->action[l->l.action];
    en_put_u8(o, EN_ROW_VERSION);
    en_put_u64(o, l->owner);
    en_put_u64(o, l->l.id);
    en_put_u64(o, l->l.incident);
    en_put_u64(o, l->l.rung);
    en_put_u8(o, l->state);
    en_put_u8(o, (uint8_t)((l->l.shadow ? SHADOW : 0) | (l->held ? HELD : 0) |
                           (l->refused ? REFUSED : 0)));
    en_put_text(o, en_rule_name(e, l->l.rule));
    en_put_text(o, mp_program_text(e->p, action->name));
    en_put_text(o, (mp_str){l->target_text, l->target_len});
    en_put_u64(o, l->l.strength);
    en_put_i64(o, l->l.priority);
    en_put_u64(o, l->l.hooks);
    en_put_i64(o, l->l.ttl_ns);
    en_put_u64(o, (uint64_t)(l->l.given_back * 1e9));
    en_put_u8(o, l->accepted_mono_ns != 0);
    en_put_mono(e, o, l->ends_mono_ns);
    en_put_text(o, l->l.target.entity == MP_NONE
                       ? (mp_str){"", 0}
                       : mp_program_text(e->p, e->p->entity[l->l.target.entity].name));
    en_put_u8(o, (uint8_t)l->l.target.type);
    en_put_value(o, l->l.target.type, l->l.target.value);
    en_put_u8(o, (uint8_t)l->l.arg_count);
    for (uint32_t i = 0; i < l->l.arg_count; i++) {
        en_put_text(o, l->l.args[i].name);
        en_put_u8(o, (uint8_t)l->l.args[i].type);
        en_put_value(o, l->l.args[i].type, l->l.args[i].value);
    }
    if (l->l.target.type == MP_TYPE_CIDR) en_put_u64(o, l->l.target.bits);
    en_put_i64(o, l->begins_ns);
}

static uint32_t find_entity(const struct mp_program *p, mp_str name)
{
    for (uint32_t i = 0; i < p->entity_count && name.len > 0; i++) {
        if (mp_str_eq(mp_program_text(p, p->entity[i].name), name)) return i;
    }
    return MP_NONE;
}

static bool acts_on(const struct mp_program *p, const struct mp_action_row *a, uint32_t entity,
                    uint32_t type)
{
    for (uint32_t i = a->targets_at; i < a->targets_at + a->targets_count; i++) {
        const struct mp_action_target_row *t = &p->action_target[i];
        if (entity != MP_NONE && t->entity == entity) return true;
        if (entity == MP_NONE && t->entity == MP_NONE && t->type == type) return true;
    }
    return false;
}

static uint32_t find_action(const struct mp_program *p, mp_str verb, uint32_t entity, uint32_t type)
{
    for (uint32_t i = 0; i < p->action_count; i++) {
        if (!mp_str_eq(mp_program_text(p, p->action[i].name), verb)) continue;
        if (acts_on(p, &p->action[i], entity, type)) return i;
    }
    return MP_NONE;
}

static bool get_typed(struct en_in *i, struct mp_lease *l, uint32_t *type, struct mp_value *v)
{
    enum mp_rep rep;
    *type = en_get_u8(i);
    *v = en_get_value(i, &rep);
    if (i->bad || *type >= MP_TYPE_COUNT || rep != mp_type_rep((enum mp_type)*type)) return false;
    return en_lease_own_text(l, (enum mp_type)*type, v);
}

/* Names of arguments borrow the program: they are found among those of its actions' acts. */
static mp_str arg_name(const struct mp_program *p, mp_str name)
{
    for (uint32_t i = 0; i < p->arg_count; i++) {
        mp_str own = mp_program_text(p, p->arg[i].name);
        if (mp_str_eq(own, name)) return own;
    }
    for (uint32_t i = 0; i < p->action_param_count; i++) {
        mp_str own = mp_program_text(p, p->action_param[i].name);
        if (mp_str_eq(own, name)) return own;
    }
    return (mp_str){"", 0};
}

static void get_args(struct mp_engine *e, struct en_in *i, struct mp_lease *l)
{
    uint32_t count = en_get_u8(i);
    if (count > MP_LEASE_ARGS_MAX) i->bad = true;
    for (uint32_t k = 0; k < count && !i->bad; k++) {
        struct mp_lease_arg arg = {.name = arg_name(e->p, en_get_text(i, 256)), .known = true};
        if (!get_typed(i, l, &arg.type, &arg.value)) i->bad = true;
        if (arg.name.len > 0) l->args[l->arg_count++] = arg;
    }
}

enum mp_err en_restore_lease(struct mp_engine *e, uint64_t id, struct en_in *i)
{
    if (id == 0 || id > e->limits.leases) return MP_ELIMIT;
    if (id > e->lease_end) e->lease_end = (uint32_t)id;
    struct en_lease *l = &e->leases[id - 1];
    if (l->used) return MP_ECORRUPT;
    memset(l, 0, sizeof *l);
    l->next = l->next_live = EN_NONE;
    l->dirty = true;
    l->owner = (uint32_t)en_get_u64(i);
    l->l.id = en_get_u64(i);
    l->l.incident = en_get_u64(i);
    l->l.rung = (uint32_t)en_get_u64(i);
    l->state = en_get_u8(i);
    uint8_t how = en_get_u8(i);
    l->l.shadow = (how & SHADOW) != 0;
    l->held = (how & HELD) != 0;
    l->refused = (how & REFUSED) != 0;
    mp_str rule = en_get_text(i, 1024), verb = en_get_text(i, 1024);
    mp_str target = en_get_text(i, EN_KEY_TEXT_MAX);
    l->l.strength = (uint32_t)en_get_u64(i);
    l->l.priority = en_get_i64(i);
    l->l.hooks = (uint32_t)en_get_u64(i);
    l->l.ttl_ns = en_get_span(i);
    l->l.given_back = (double)en_get_u64(i) / 1e9;
    bool accepted = en_get_u8(i) != 0;
    l->ends_mono_ns = en_get_mono(e, i);
    mp_str entity = en_get_text(i, 1024);
    l->l.target.kind = MP_TARGET_LEASE;
    l->l.target.entity = find_entity(e->p, entity);
    if (!get_typed(i, &l->l, &l->l.target.type, &l->l.target.value)) i->bad = true;
    get_args(e, i, &l->l);
    if (l->l.target.type == MP_TYPE_CIDR) l->l.target.bits = (uint32_t)en_get_u64(i);
    if (l->l.target.bits > 127) i->bad = true;
    if (i->at < i->end) l->begins_ns = en_get_span(i); /* rows of earlier versions end here */
    if (i->bad || l->state >= MP_LEASE_STATE_COUNT) return MP_ECORRUPT;
    if (l->owner >= e->limits.incidents) return MP_ECORRUPT;
    l->applied_seq = en_durable_with(e);
    l->accepted_mono_ns = accepted ? 1 : 0;
    l->ttl_runs = accepted;
    l->target_len = (uint32_t)target.len;
    memcpy(l->target_text, target.ptr, target.len);
    l->l.act = MP_NONE;
    l->l.action = find_action(e->p, verb, l->l.target.entity, l->l.target.type);
    l->used = true;
    /* The case may come later: rule and class are taken from it and from the action at resume. */
    struct en_gone gone = {.incident = l->l.incident, .rung = l->l.rung, .state = l->state,
                           .lease = l->l.id, .slot = (uint32_t)id};
    en_remember_gone(e, &gone, rule, (mp_str){0}, verb, target);
    return MP_OK;
}
