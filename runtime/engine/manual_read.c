/* SPDX-License-Identifier: Apache-2.0
 * What an operator writes → a lease: the verb, KIND=KEY, and arguments by name, read by what the
 * vocabulary declares. Nothing here is changed but the lease that is being written.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

#define KINDS_HELP                                                                                 \
    "a target is KIND=KEY: client.ip=10.0.0.7, service=checkout, identity=spiffe://..."
#define NEAR_MAX 3u /* edits within which a word is taken for a slip of another */

static mp_str text(const struct mp_engine *e, mp_text_ref ref)
{
    return mp_program_text(e->p, ref);
}

/* ---- did you mean ---- */

struct near {
    mp_str word, best;
    unsigned distance;
};

static struct near near_to(mp_str word)
{
    return (struct near){.word = word, .distance = NEAR_MAX};
}

static void consider(struct near *n, mp_str candidate)
{
    unsigned d = mp_str_distance(n->word, candidate, n->distance);
    if (d >= n->distance) return;
    n->distance = d;
    n->best = candidate;
}

static mp_str help_of(struct mp_engine *e, const struct near *n)
{
    if (n->best.len == 0) return MP_STR("");
    return en_manual_say(e, "did you mean `%.*s`?", MP_STR_ARG(n->best));
}

/* ---- targets ---- */

/* Kinds of target by which a lease of some action can be held. */
static bool is_target(const struct mp_program *p, uint32_t entity, uint32_t type)
{
    for (uint32_t i = 0; i < p->action_target_count; i++) {
        const struct mp_action_target_row *t = &p->action_target[i];
        if (entity != MP_NONE ? t->entity == entity : t->entity == MP_NONE && t->type == type)
            return true;
    }
    return false;
}

static uint32_t entity_named(const struct mp_engine *e, mp_str name)
{
    for (uint32_t i = 0; i < e->p->entity_count; i++) {
        const struct mp_entity_row *row = &e->p->entity[i];
        if (mp_str_eq(text(e, row->name), name) || mp_str_eq(text(e, row->alias), name)) return i;
    }
    return MP_NONE;
}

/* `client.ip`: the entity by its key; `client.asn`: what its attribute is. */
static bool kind_of_attr(struct mp_engine *e, mp_str owner, mp_str name,
                         struct mp_lease_target *out)
{
    uint32_t entity = entity_named(e, owner);
    if (entity == MP_NONE) return false;
    const struct mp_entity_row *row = &e->p->entity[entity];
    *out = (struct mp_lease_target){.entity = entity, .type = row->key_type};
    if (mp_str_eq(text(e, row->key_name), name)) return true;
    for (uint32_t i = row->attrs_at; i < row->attrs_at + row->attrs_count; i++) {
        const struct mp_attr_row *attr = &e->p->attr[i];
        if (attr->is_set || attr->is_map || !mp_str_eq(text(e, attr->name), name)) continue;
        *out = (struct mp_lease_target){.entity = attr->target, .type = attr->type};
        return true;
    }
    return false;
}

static bool kind_of(struct mp_engine *e, mp_str kind, struct mp_lease_target *out)
{
    const char *dot = memchr(kind.ptr, '.', kind.len);
    if (dot != NULL) {
        size_t at = (size_t)(dot - kind.ptr);
        return kind_of_attr(e, mp_str_sub(kind, 0, at), mp_str_sub(kind, at + 1, SIZE_MAX), out);
    }
    uint32_t entity = entity_named(e, kind);
    if (entity != MP_NONE) {
        *out = (struct mp_lease_target){.entity = entity, .type = e->p->entity[entity].key_type};
        return true;
    }
    for (uint32_t t = 0; t < MP_TYPE_COUNT; t++) {
        if (kind.len == 0 || !mp_str_eq(mp_type_word((enum mp_type)t), kind)) continue;
        *out = (struct mp_lease_target){.entity = MP_NONE, .type = t};
        return true;
    }
    return false;
}

static mp_str kinds_help(struct mp_engine *e, mp_str kind)
{
    struct near n = near_to(kind);
    for (uint32_t i = 0; i < e->p->action_target_count; i++) {
        const struct mp_action_target_row *t = &e->p->action_target[i];
        if (t->type == MP_TYPE_EVENT) continue;
        consider(&n, en_target_word(e->p, t->entity, t->type));
        if (t->entity == MP_NONE) continue;
        const struct mp_entity_row *row = &e->p->entity[t->entity];
        consider(&n, en_manual_say(e, "%.*s.%.*s", MP_STR_ARG(text(e, row->name)),
                                   MP_STR_ARG(text(e, row->key_name))));
    }
    if (n.best.len > 0) return help_of(e, &n);
    return MP_STR(KINDS_HELP);
}

/* What no --force makes a decision about somebody. However it is written: ::ffff:0:0/96 is
 * 0.0.0.0/0, and what is around it has all of that in it. */
static bool is_everybody(struct mp_engine *e, struct mp_value v, uint32_t bits, mp_str *why)
{
    bool v4 = en_is_v4(v, bits);
    uint32_t prefix = v4 ? bits - 96 : bits;
    uint32_t least = v4 ? MP_MANUAL_WIDEST_V4 : MP_MANUAL_WIDEST_V6;
    if (bits <= 96 && mp_value_in_net(en_every_v4(), v, bits)) {
        *why = MP_STR("that is every address there is");
        return true;
    }
    if (prefix >= least) return false;
    *why = en_manual_say(e, "a /%u is wider than /%u, and that is as wide as a decision can be",
                         prefix, least);
    return true;
}

/* 10.0.0.0/24. The bits behind the prefix must be clear: who writes others means something else. */
static bool read_range(struct mp_engine *e, mp_str key, struct mp_lease_target *t, mp_str *why,
                       mp_str *help)
{
    uint32_t bits;
    struct mp_value v;
    char net[48];
    if (!mp_value_address(key, &v, &bits)) return false;
    if (bits == 128) { /* 10.0.0.7/32 */
        t->value = v;
        return true;
    }
    if (is_everybody(e, v, bits, why)) {
        *help = MP_STR("what concerns everybody is a rule: write it into a policy");
        return false;
    }
    struct mp_value clear = mp_value_net(v, bits);
    if (!mp_value_eq(MP_REP_A, clear, v)) {
        size_t len = mp_value_address_text(clear, net);
        const char *prefix = memchr(key.ptr, '/', key.len);
        *why = en_manual_say(e, "`%.*s` has bits behind its prefix; the range is %.*s%.*s",
                             MP_STR_ARG(key), (int)len, net, (int)(key.ptr + key.len - prefix),
                             prefix);
        return false;
    }
    t->value = v;
    t->bits = bits;
    t->type = MP_TYPE_CIDR;
    return true;
}

/* False without *why: it is not of the type. */
static bool read_key(struct mp_engine *e, mp_str key, struct mp_lease *l, mp_str *why, mp_str *help)
{
    struct mp_lease_target *t = &l->target;
    if (key.len == 0 || key.len >= EN_KEY_TEXT_MAX) return false;
    if (t->type == MP_TYPE_IP) return read_range(e, key, t, why, help);
    if (t->type == MP_TYPE_IDENTITY && !mp_str_starts(key, MP_STR("spiffe://"))) return false;
    if (!mp_value_read((enum mp_type)t->type, key, &t->value)) return false;
    return en_lease_own_text(l, (enum mp_type)t->type, &t->value);
}

static bool read_kind(struct mp_engine *e, mp_str target, struct mp_lease *l, mp_str *key,
                      mp_str *why, mp_str *help)
{
    const char *equals = target.len == 0 ? NULL : memchr(target.ptr, '=', target.len);
    size_t at = equals == NULL ? target.len : (size_t)(equals - target.ptr);
    mp_str kind = mp_str_sub(target, 0, at);
    *key = mp_str_sub(target, at + 1, SIZE_MAX);
    if (equals == NULL) {
        *why = en_manual_say(e, "`%.*s` is no target", MP_STR_ARG(target));
        *help = MP_STR(KINDS_HELP);
        return false;
    }
    if (!kind_of(e, kind, &l->target)) {
        *why = en_manual_say(e, "nothing is called `%.*s`", MP_STR_ARG(kind));
    } else if (!is_target(e->p, l->target.entity, l->target.type)) {
        *why = en_manual_say(e, "no action is done to `%.*s`", MP_STR_ARG(kind));
    } else {
        l->target.kind = MP_TARGET_LEASE;
        return true;
    }
    *help = kinds_help(e, kind);
    return false;
}

bool en_manual_target(struct mp_engine *e, mp_str target, struct mp_lease *l, mp_str *why,
                      mp_str *help)
{
    mp_str key;
    *why = *help = MP_STR("");
    if (!read_kind(e, target, l, &key, why, help)) return false;
    if (read_key(e, key, l, why, help)) return true;
    if (why->len > 0) return false;
    mp_str noun = mp_type_noun((enum mp_type)l->target.type);
    *why = en_manual_say(e, "`%.*s` is not %.*s", MP_STR_ARG(key), MP_STR_ARG(noun));
    return false;
}

/* ---- verbs ---- */

/* Is it held for a time on something that is named? */
static bool is_lease(const struct mp_program *p, const struct mp_action_row *a)
{
    if ((a->flags & MP_ACTION_REVERSIBLE) == 0) return false;
    for (uint32_t i = a->targets_at; i < a->targets_at + a->targets_count; i++) {
        if (p->action_target[i].type != MP_TYPE_EVENT) return true;
    }
    return false;
}

static bool acts_on(const struct mp_program *p, const struct mp_action_row *a,
                    const struct mp_lease_target *t)
{
    for (uint32_t i = a->targets_at; i < a->targets_at + a->targets_count; i++) {
        const struct mp_action_target_row *row = &p->action_target[i];
        if (t->entity != MP_NONE ? row->entity == t->entity
                                 : row->entity == MP_NONE && row->type == t->type) {
            return true;
        }
    }
    return false;
}

static mp_str verb_targets(struct mp_engine *e, mp_str verb)
{
    mp_str all = MP_STR("");
    for (uint32_t i = 0; i < e->p->action_count; i++) {
        const struct mp_action_row *a = &e->p->action[i];
        if (!mp_str_eq(text(e, a->name), verb) || !is_lease(e->p, a)) continue;
        for (uint32_t k = a->targets_at; k < a->targets_at + a->targets_count; k++) {
            const struct mp_action_target_row *t = &e->p->action_target[k];
            mp_str word = en_target_word(e->p, t->entity, t->type);
            all = en_manual_say(e, "%.*s%s%.*s", MP_STR_ARG(all), all.len > 0 ? ", " : "",
                                MP_STR_ARG(word));
        }
    }
    return all;
}

static bool no_verb(struct mp_engine *e, mp_str verb, struct mp_manual_answer *out)
{
    struct near n = near_to(verb);
    bool known = false;
    for (uint32_t i = 0; i < e->p->action_count; i++) {
        const struct mp_action_row *a = &e->p->action[i];
        known |= mp_str_eq(text(e, a->name), verb);
        if (is_lease(e->p, a)) consider(&n, text(e, a->name));
    }
    out->why = known ? en_manual_say(e, "`%.*s` leaves nothing in force: no person can decide it",
                                     MP_STR_ARG(verb))
                     : en_manual_say(e, "no action is called `%.*s`", MP_STR_ARG(verb));
    out->help = help_of(e, &n);
    return false;
}

static bool is_verb(const struct mp_engine *e, mp_str verb)
{
    for (uint32_t i = 0; i < e->p->action_count; i++) {
        const struct mp_action_row *a = &e->p->action[i];
        if (mp_str_eq(text(e, a->name), verb) && is_lease(e->p, a)) return true;
    }
    return false;
}

static bool find_action(struct mp_engine *e, mp_str verb, struct mp_lease *l,
                        struct mp_manual_answer *out)
{
    for (uint32_t i = 0; i < e->p->action_count; i++) {
        const struct mp_action_row *a = &e->p->action[i];
        if (!mp_str_eq(text(e, a->name), verb) || !is_lease(e->p, a)) continue;
        if (!acts_on(e->p, a, &l->target)) continue;
        l->action = i;
        l->class = a->class;
        l->strength = a->strength;
        return true;
    }
    mp_str kind = en_target_word(e->p, l->target.entity, l->target.type);
    out->why =
        en_manual_say(e, "`%.*s` cannot be done to %.*s", MP_STR_ARG(verb), MP_STR_ARG(kind));
    out->help = en_manual_say(e, "it takes %.*s", MP_STR_ARG(verb_targets(e, verb)));
    return false;
}

/* ---- arguments ---- */

static const struct mp_note *given(const struct mp_manual *ask, mp_str name)
{
    for (uint32_t i = 0; i < ask->arg_count; i++) {
        if (mp_str_eq(ask->args[i].name, name)) return &ask->args[i];
    }
    return NULL;
}

static mp_str params_of(struct mp_engine *e, const struct mp_action_row *a)
{
    mp_str all = MP_STR("");
    for (uint32_t i = a->params_at; i < a->params_at + a->params_count; i++) {
        const struct mp_action_param_row *row = &e->p->action_param[i];
        if ((row->flags & MP_PARAM_TARGET) != 0) continue;
        all = en_manual_say(e, "%.*s%s`%.*s`", MP_STR_ARG(all), all.len > 0 ? ", " : "",
                            MP_STR_ARG(text(e, row->name)));
    }
    return all;
}

static bool has_on(const struct mp_engine *e, const struct mp_action_row *a)
{
    for (uint32_t i = a->params_at; i < a->params_at + a->params_count; i++) {
        const struct mp_action_param_row *row = &e->p->action_param[i];
        if (row->types_count > 0 && e->p->action_type[row->types_at].type == MP_TYPE_HOOK)
            return true;
    }
    return false;
}

static bool refuse_unknown(struct mp_engine *e, const struct mp_manual *ask,
                           const struct mp_action_row *a, struct mp_manual_answer *out)
{
    for (uint32_t k = 0; k < ask->arg_count; k++) {
        mp_str name = ask->args[k].name;
        struct near n = near_to(name);
        bool known = false;
        for (uint32_t i = a->params_at; i < a->params_at + a->params_count; i++) {
            const struct mp_action_param_row *row = &e->p->action_param[i];
            if ((row->flags & MP_PARAM_TARGET) != 0) continue;
            known |= mp_str_eq(text(e, row->name), name);
            consider(&n, text(e, row->name));
        }
        if (known && given(ask, name) == &ask->args[k]) continue;
        out->why = known ? en_manual_say(e, "`%.*s` is given twice", MP_STR_ARG(name))
                         : en_manual_say(e, "`%.*s` takes no `%.*s`", MP_STR_ARG(ask->verb),
                                         MP_STR_ARG(name));
        mp_str takes = params_of(e, a);
        if (known) return false;
        if (mp_str_eq(name, MP_STR("on")) && !has_on(e, a)) {
            out->help = MP_STR("it is done at every layer");
            return false;
        }
        out->help = n.best.len > 0 ? help_of(e, &n)
                                   : en_manual_say(e, "it takes %.*s", MP_STR_ARG(takes));
        return false;
    }
    return true;
}

static mp_str nouns_of(struct mp_engine *e, const struct mp_action_param_row *row)
{
    mp_str all = MP_STR("");
    for (uint32_t i = row->types_at; i < row->types_at + row->types_count; i++) {
        const struct mp_action_type_row *t = &e->p->action_type[i];
        mp_str noun = t->words_count > 0 ? MP_STR("") : mp_type_noun((enum mp_type)t->type);
        for (uint32_t w = t->words_at; w < t->words_at + t->words_count; w++) {
            noun = en_manual_say(e, "%.*s%s%.*s", MP_STR_ARG(noun), noun.len > 0 ? " or " : "",
                                 MP_STR_ARG(text(e, e->p->action_word[w].word)));
        }
        all = en_manual_say(e, "%.*s%s%.*s", MP_STR_ARG(all), all.len > 0 ? " or " : "",
                            MP_STR_ARG(noun));
    }
    return all;
}

static bool is_word_of(const struct mp_engine *e, const struct mp_action_type_row *t, mp_str word)
{
    for (uint32_t w = t->words_at; w < t->words_at + t->words_count; w++) {
        if (mp_str_eq(text(e, e->p->action_word[w].word), word)) return true;
    }
    return t->words_count == 0;
}

/* A percent is of something: none below nothing or above all of it makes sense here. */
static bool in_range(uint32_t type, struct mp_value v)
{
    switch (type) {
    case MP_TYPE_PERCENT: return mp_is_share(mp_value_as_num(v));
    case MP_TYPE_RATE: return mp_value_as_num(v) >= 0;
    case MP_TYPE_STATUS: return mp_value_as_int(v) >= 100 && mp_value_as_int(v) <= 599;
    case MP_TYPE_INT:
    case MP_TYPE_SIZE: return mp_value_as_int(v) >= 0;
    default: return true;
    }
}

static bool read_arg(const struct mp_engine *e, const struct mp_action_param_row *row, mp_str word,
                     uint32_t *type, struct mp_value *out)
{
    for (uint32_t i = row->types_at; i < row->types_at + row->types_count; i++) {
        const struct mp_action_type_row *t = &e->p->action_type[i];
        if (!mp_value_read((enum mp_type)t->type, word, out) || !in_range(t->type, *out)) continue;
        if (!is_word_of(e, t, word)) continue;
        *type = t->type;
        return true;
    }
    return false;
}

static uint32_t hook_of(mp_str word)
{
    static const struct {
        mp_str word;
        uint32_t bit;
    } hooks[] = {{MP_STR_INIT("ingress"), MP_LAYER_INGRESS},
                 {MP_STR_INIT("service"), MP_LAYER_SERVICE},
                 {MP_STR_INIT("edge"), MP_LAYER_EDGE}};
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        if (mp_str_eq(hooks[i].word, word)) return hooks[i].bit;
    }
    return 0;
}

static bool add_arg(struct mp_engine *e, const struct mp_action_param_row *row, uint32_t type,
                    struct mp_value v, struct mp_lease *l)
{
    if (l->arg_count == MP_LEASE_ARGS_MAX) return false;
    struct mp_lease_arg *arg = &l->args[l->arg_count++];
    *arg =
        (struct mp_lease_arg){.name = text(e, row->name), .type = type, .known = true, .value = v};
    return en_lease_own_text(l, (enum mp_type)type, &arg->value);
}

static bool wrong(struct mp_engine *e, const struct mp_action_param_row *row, mp_str word,
                  struct mp_manual_answer *out)
{
    mp_str name = text(e, row->name), takes = nouns_of(e, row);
    out->why = en_manual_say(e, "`%.*s` takes %.*s, not `%.*s`", MP_STR_ARG(name),
                             MP_STR_ARG(takes), MP_STR_ARG(word));
    if (row->types_count > 0 && e->p->action_type[row->types_at].type == MP_TYPE_HOOK) {
        out->help = MP_STR("hooks are ingress, service and edge");
    }
    if (mp_value_read(MP_TYPE_PERCENT, word, &(struct mp_value){{0, 0}})) {
        out->help = MP_STR("a percent is from 0% to 100% here");
    }
    return false;
}

/* Of a throttle. In policies a burst of 0 is "as much as the rate says": who writes it by hand means
 * none at all. */
static bool throttles(mp_str name, uint32_t type, struct mp_value v, struct mp_manual_answer *out)
{
    if (mp_str_eq(name, MP_STR("burst")) && mp_value_as_int(v) == 0) {
        out->why = MP_STR("a burst is one request at least");
        out->help = MP_STR("left out, it is what the rate lets through in a second");
        return false;
    }
    if (mp_str_eq(name, MP_STR("to")) && type == MP_TYPE_PERCENT && mp_value_as_num(v) >= 1) {
        out->why = MP_STR("a share is less than 100%, of the requests");
        out->help = MP_STR("with 100% it would do nothing");
        return false;
    }
    return true;
}

/* What the type alone would take. */
static bool is_of_use(struct mp_engine *e, mp_str name, uint32_t type, struct mp_value v,
                      struct mp_manual_answer *out)
{
    if (mp_str_eq(name, MP_STR("status")) && !mp_is_refusal((double)mp_value_as_int(v))) {
        out->why = en_manual_say(e, "a refusal is answered with a status from %d to %d",
                                 MP_REFUSAL_MIN, MP_REFUSAL_MAX);
        return false;
    }
    if (mp_str_eq(name, MP_STR("weight")) && type == MP_TYPE_PERCENT &&
        !mp_is_weight(mp_value_as_num(v))) {
        out->why = MP_STR("a weight is more than 0% and at most 100%, of the requests");
        out->help = MP_STR("with 0% it would do nothing");
        return false;
    }
    return true;
}

/* How long: never for ever, and not longer than anybody will remember. */
static bool set_time(struct mp_engine *e, const struct mp_action_param_row *row, mp_str word,
                     struct mp_value v, struct mp_lease *l, struct mp_manual_answer *out)
{
    l->ttl_ns = mp_value_as_int(v);
    if (l->ttl_ns <= 0) return wrong(e, row, word, out);
    if (l->ttl_ns < MP_MANUAL_TTL_MIN_NS) {
        out->why = MP_STR("a decision by hand lasts a second at least");
        out->help = MP_STR("it would be over before the mesh has it");
        return false;
    }
    if (l->ttl_ns <= MP_MANUAL_TTL_MAX_NS) return true;
    out->why = MP_STR("a decision by hand lasts 31 days at most");
    out->help = MP_STR("what must always be so is a rule: write it into a policy");
    return false;
}

static bool bind(struct mp_engine *e, const struct mp_manual *ask, uint32_t number,
                 struct mp_lease *l, struct mp_manual_answer *out)
{
    const struct mp_action_param_row *row = &e->p->action_param[number];
    mp_str name = text(e, row->name), verb = ask->verb;
    const struct mp_note *word = given(ask, name);
    uint32_t type = row->types_count > 0 ? e->p->action_type[row->types_at].type : MP_TYPE_NONE;
    bool hook = type == MP_TYPE_HOOK;
    struct mp_value v;
    if (word == NULL && row->preset == MP_NONE) {
        if (hook) return true; /* where nothing is said: en_manual_read */
        mp_str takes = nouns_of(e, row);
        out->why = en_manual_say(e, "`%.*s` needs `%.*s`: %.*s", MP_STR_ARG(verb), MP_STR_ARG(name),
                                 MP_STR_ARG(takes));
        return false;
    }
    if (word == NULL) {
        type = e->p->cnst[row->preset].type;
        v = e->p->consts[row->preset];
    } else if (!read_arg(e, row, word->value, &type, &v)) {
        return wrong(e, row, word->value, out);
    }
    if (mp_str_eq(name, MP_STR("for")) && type == MP_TYPE_DURATION) {
        return set_time(e, row, word != NULL ? word->value : MP_STR(""), v, l, out);
    }
    if (!is_of_use(e, name, type, v, out)) return false;
    bool throttle = word != NULL && mp_str_eq(verb, MP_STR("throttle"));
    if (throttle && !throttles(name, type, v, out)) return false;
    if (hook) {
        l->hooks = hook_of(mp_value_as_text(&v));
        if (l->hooks == 0) return wrong(e, row, mp_value_as_text(&v), out);
    }
    if (add_arg(e, row, type, v, l)) return true;
    out->why = en_manual_say(e, "`%.*s` is too long", MP_STR_ARG(name));
    return false;
}

/* In a policy an identity with a wildcard is a pattern; whoever writes it here means that, and a
 * lease is of one identity. (It may be taken back like any other.) */
static bool is_pattern(const struct mp_lease_target *t, struct mp_manual_answer *out)
{
    mp_str key = t->type == MP_TYPE_IDENTITY ? mp_value_as_text(&t->value) : MP_STR("");
    bool wild = key.len > 0 && (memchr(key.ptr, '*', key.len) || memchr(key.ptr, '?', key.len));
    if (!wild) return false;
    out->why = MP_STR("a decision is about one identity, and this is a pattern");
    out->help = MP_STR("in a policy: `when request.peer == spiffe://shop/* then deny request`");
    return true;
}

bool en_manual_read(struct mp_engine *e, const struct mp_manual *ask, struct mp_lease *l,
                    struct mp_manual_answer *out)
{
    l->rule = EN_MANUAL;
    l->act = MP_NONE;
    l->rung = 1;
    l->hooks = 0;
    if (!is_verb(e, ask->verb)) return no_verb(e, ask->verb, out);
    if (!en_manual_target(e, ask->target, l, &out->why, &out->help)) return false;
    if (is_pattern(&l->target, out) || !find_action(e, ask->verb, l, out)) return false;
    const struct mp_action_row *a = &e->p->action[l->action];
    if (!refuse_unknown(e, ask, a, out)) return false;
    for (uint32_t i = a->params_at; i < a->params_at + a->params_count; i++) {
        if ((e->p->action_param[i].flags & MP_PARAM_TARGET) != 0) continue;
        if (!bind(e, ask, i, l, out)) return false;
    }
    if (l->hooks == 0) l->hooks = has_on(e, a) ? MP_LAYER_SERVICE : MP_LAYER_ALL;
    MP_ASSERT(l->ttl_ns > 0); /* a reversible action has a `for` (E0409) */
    return true;
}
