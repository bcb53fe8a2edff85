/* SPDX-License-Identifier: Apache-2.0
 * Decisions of an operator. Each is an incident of its own, of the rule `manual`: one rung, no
 * condition, no check, so everything that holds for a lease of a rule holds for it without a word
 * here. What is here is how it begins: read (manual_read.c), admitted like any step, entered with
 * who and why.
 */
#include "engine/engine_priv.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

const struct mp_rule_row en_manual_rule = {
    .kind = MP_RULE_LOOP, .flags = MP_RULE_INSTANT, .unit = MP_NONE, .signal = MP_NONE,
    .grouping = MP_NONE, .trigger = MP_NONE, .unless = MP_NONE, .until = MP_NONE, .limit = MP_NONE};
const struct mp_step_row en_manual_step = {.verify = MP_NONE, .harm = MP_NONE};

/* ---- texts of an answer ---- */

enum mp_err en_manual_create(struct mp_engine *e)
{
    e->manuals = MP_NEW(&e->arena, struct en_manual, EN_MANUALS_MAX + EN_NACKS_MAX);
    e->manual_words = MP_NEW(&e->arena, char, EN_MANUAL_WORDS);
    return e->manuals == NULL || e->manual_words == NULL ? MP_ENOMEM : MP_OK;
}

void en_manual_begin(struct mp_engine *e)
{
    mp_arena_init_fixed(&e->manual_arena, e->manual_words, EN_MANUAL_WORDS);
}

mp_str en_manual_say(struct mp_engine *e, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (len < 0) return MP_STR("");
    size_t room = sizeof line - 1;
    mp_str kept =
        mp_arena_str(&e->manual_arena, (mp_str){line, (size_t)len < room ? (size_t)len : room});
    return kept.ptr == NULL ? MP_STR("...") : kept; /* LIMIT: an answer is no book */
}

mp_str en_manual_value(struct mp_engine *e, enum mp_type type, struct mp_value v)
{
    struct mp_buf b;
    mp_buf_init(&b, &e->manual_arena);
    mp_value_print(&b, type, v);
    return b.failed ? MP_STR("...") : mp_buf_view(&b);
}

void en_manual_fact(struct mp_manual_answer *out, mp_str name, mp_str value)
{
    if (out->fact_count == MP_MANUAL_FACTS_MAX) return;
    out->facts[out->fact_count++] = (struct mp_note){name, value};
}

/* ---- who and why ---- */

static uint32_t keep_text(char *to, mp_str s, uint32_t room)
{
    size_t len = s.len;
    while (len > room) len = room;
    /* Not in the middle of a character. */
    while (len < s.len && len > 0 && ((unsigned char)s.ptr[len] & 0xC0) == 0x80) len--;
    if (len > 0) memcpy(to, s.ptr, len);
    return (uint32_t)len;
}

uint32_t en_manual_put(struct mp_engine *e, mp_str who, mp_str reason)
{
    for (uint32_t i = 0; i < EN_MANUALS_MAX + EN_NACKS_MAX; i++) {
        struct en_manual *m = &e->manuals[i];
        if (m->used) continue;
        m->used = true;
        m->who_len = keep_text(m->who, who, MP_MANUAL_WHO_MAX);
        m->reason_len = keep_text(m->reason, reason, MP_MANUAL_REASON_MAX);
        return i;
    }
    return EN_NONE;
}

static const struct en_manual *manual_of(const struct mp_engine *e, const struct en_case *c)
{
    return !en_has_rule(c) && c->manual != EN_NONE ? &e->manuals[c->manual] : NULL;
}

mp_str en_manual_who(const struct mp_engine *e, const struct en_case *c)
{
    const struct en_manual *m = manual_of(e, c);
    return m == NULL ? MP_STR("") : (mp_str){m->who, m->who_len};
}

mp_str en_manual_reason(const struct mp_engine *e, const struct en_case *c)
{
    const struct en_manual *m = manual_of(e, c);
    return m == NULL ? MP_STR("") : (mp_str){m->reason, m->reason_len};
}

void en_cause_who(struct mp_engine *e, mp_str who, mp_str reason)
{
    if (who.len > 0) en_cause(e, MP_STR("who"), who);
    if (reason.len > 0) en_cause(e, MP_STR("reason"), reason);
}

/* ---- may it be ---- */

struct mp_value en_every_v4(void)
{
    struct mp_value any = {{0, 0}};
    uint32_t bits;
    bool read = mp_value_address(MP_STR("0.0.0.0"), &any, &bits);
    MP_ASSERT(read);
    return any;
}

bool en_is_v4(struct mp_value v, uint32_t bits)
{
    return bits >= 96 && mp_value_in_net(v, en_every_v4(), 96);
}

/* A range that is wider than somebody who is in a hurry can mean. */
static bool too_wide(struct mp_engine *e, const struct mp_manual *ask, const struct mp_lease *l,
                     struct mp_manual_answer *out)
{
    uint32_t bits = l->target.bits;
    bool v4 = en_is_v4(l->target.value, bits);
    uint32_t prefix = v4 ? bits - 96 : bits, least = v4 ? MP_MANUAL_RANGE_V4 : MP_MANUAL_RANGE_V6;
    if (bits == 0 || prefix >= least) return false;
    if (ask->wide) return false;
    out->why = en_manual_say(e, "a /%u is wider than /%u", prefix, least);
    out->help = MP_STR("say --force if all of it is meant");
    return true;
}

static bool find_backend(struct mp_engine *e, struct en_lease *l, struct mp_manual_answer *out)
{
    l->backend = en_backend_for(e, l->l.action, l->l.target.entity, l->l.target.type);
    if (l->backend == EN_NONE) {
        mp_str verb = mp_program_text(e->p, e->p->action[l->l.action].name);
        mp_str kind = en_target_word(e->p, l->l.target.entity, l->l.target.type);
        out->why = en_manual_say(e, "no backend here can carry out `%.*s` on %s`%.*s`",
                                 MP_STR_ARG(verb), l->l.target.bits != 0 ? "a range of " : "",
                                 MP_STR_ARG(kind));
        return false;
    }
    uint32_t hooks = en_backend_hooks(e, l->backend, l->l.action, l->l.target.entity,
                                      l->l.target.type);
    if ((l->l.hooks & ~hooks) == 0) return en_backend_check(e, l, &out->why);
    out->why = MP_STR("no backend can do it at this hook");
    out->help = MP_STR("--on=ingress, --on=service or --on=edge says where");
    return false;
}

static bool read_ask(struct mp_engine *e, const struct mp_manual *ask, struct en_lease *l,
                     struct mp_manual_answer *out)
{
    if (!en_manual_read(e, ask, &l->l, out)) return false;
    en_lease_print_target(l);
    out->verb = mp_program_text(e->p, e->p->action[l->l.action].name);
    out->kind = en_target_word(e->p, l->l.target.entity, l->l.target.type);
    out->target = (mp_str){l->target_text, l->target_len};
    out->where = l->l.target;
    out->hooks = l->l.hooks;
    out->ttl_ns = l->l.ttl_ns;
    return !too_wide(e, ask, &l->l, out) && find_backend(e, l, out);
}

/* What stands in the way now; an empty text: nothing. */
static mp_str in_the_way(struct mp_engine *e, struct en_lease *l, struct mp_admission *admission)
{
    *admission = (struct mp_admission){.guard = MP_NONE};
    if (e->braked) return MP_STR("brake");
    if (e->store_failed) return MP_STR("store");
    if (!en_leases_admit(e, &l, 1, admission)) return en_admission_word(admission->why);
    return MP_STR("");
}

static mp_str withheld_text(struct mp_engine *e, const struct en_lease *l, mp_str why,
                            const struct mp_admission *a)
{
    if (mp_str_eq(why, MP_STR("brake"))) return MP_STR("the brake is on: nothing new is enforced");
    if (mp_str_eq(why, MP_STR("store")))
        return MP_STR("the store cannot write: nothing new is decided");
    if (a->guard == MP_NONE) return why;
    mp_str guard = mp_program_text(e->p, e->p->guard[a->guard].text);
    if (a->why == MP_DECIDE_MORE_THAN) {
        return en_manual_say(e, "%.*s: it would be %llu, %llu may be", MP_STR_ARG(guard),
                             (unsigned long long)a->count, (unsigned long long)a->allowed);
    }
    if (l->l.target.bits != 0 && a->why == MP_DECIDE_WHERE) {
        return en_manual_say(e, "%.*s: that cannot be answered for a range", MP_STR_ARG(guard));
    }
    return guard;
}

/* ---- looking ---- */

static void look(struct mp_engine *e, const struct mp_manual *ask, struct mp_manual_answer *out)
{
    struct en_lease *l = &e->manual_draft;
    struct mp_admission admission;
    memset(l, 0, sizeof *l);
    l->l.id = UINT64_MAX; /* the newest that there could be */
    if (!read_ask(e, ask, l, out)) return;
    en_manual_facts(e, l, out);
    mp_str why = in_the_way(e, l, &admission);
    out->how = why.len > 0 ? MP_MANUAL_WITHHELD : MP_MANUAL_DONE;
    if (why.len > 0) out->why = withheld_text(e, l, why, &admission);
}

/* ---- doing ---- */

static void name_case(struct en_case *c, const struct en_lease *l)
{
    c->key_len = l->target_len;
    memcpy(c->key_text, l->target_text, l->target_len);
}

static void withhold(struct mp_engine *e, struct en_case *c, struct en_lease *l, mp_str why,
                     const struct mp_admission *admission, const struct mp_manual *ask)
{
    if (admission->guard != MP_NONE || admission->allowed > 0) en_cause_admission(e, admission);
    en_cause_who(e, ask->who, ask->reason);
    en_entry_lease(e, l, MP_STR("proposed"), MP_STR("withheld"), why);
    en_lease_give(e, l);
    en_case_free(e, c);
}

static void enforce(struct mp_engine *e, struct en_case *c, struct en_lease *l)
{
    c->opened_ns = e->now_ns;
    c->rung = 1;
    en_case_event(e, c, MP_INCIDENT_ON_TRUE, MP_STR(""));
    en_cause_who(e, en_manual_who(e, c), en_manual_reason(e, c));
    en_case_event(e, c, MP_INCIDENT_ON_FIRES, MP_STR("manual"));
    en_leases_enforce(e, c, &l, 1);
    en_case_schedule(e, c);
}

static void decide(struct mp_engine *e, const struct mp_manual *ask, struct en_case *c,
                   struct en_lease *l, struct mp_manual_answer *out)
{
    struct mp_admission admission;
    l->owner = en_case_index(e, c);
    if (!read_ask(e, ask, l, out)) {
        en_lease_give(e, l);
        en_case_free(e, c);
        return;
    }
    en_manual_facts(e, l, out);
    c->id = out->incident = l->l.incident = ++e->next_incident;
    l->l.id = out->lease = ++e->next_lease;
    name_case(c, l);
    /* The answer outlives the slot of a lease that is withheld. */
    out->target = en_manual_say(e, "%.*s", MP_STR_ARG(out->target));
    mp_str why = in_the_way(e, l, &admission);
    if (why.len > 0) {
        out->how = MP_MANUAL_WITHHELD;
        out->why = withheld_text(e, l, why, &admission);
        withhold(e, c, l, why, &admission, ask);
    } else {
        out->how = MP_MANUAL_DONE;
        enforce(e, c, l);
    }
}

/* What is full, and what leads on: the decision has no lease that could be told of. */
static mp_str no_room(struct mp_engine *e, const struct en_case *c)
{
    bool by_hand = c == NULL && e->rule_cases[en_rule_slot(e, EN_MANUAL)] >= EN_MANUALS_MAX;
    if (!by_hand) return MP_STR("no room for another lease: take back what need not be");
    return en_manual_say(e, "%u decisions by hand are in force, which is the most: take some back, "
                            "name a range of addresses, or write a rule with a list",
                         EN_MANUALS_MAX);
}

void mp_engine_decide(struct mp_engine *e, const struct mp_manual *ask,
                      struct mp_manual_answer *out)
{
    *out = (struct mp_manual_answer){.how = MP_MANUAL_BAD};
    en_manual_begin(e);
    if (ask->look) {
        look(e, ask, out);
        en_entry_begin(e);
        return;
    }
    struct en_case *c = en_case_make_ruleless(e, EN_MANUAL, EN_MANUALS_MAX);
    struct en_lease *l = c == NULL ? NULL : en_lease_take(e, EN_MANUAL);
    if (c != NULL) c->manual = en_manual_put(e, ask->who, ask->reason);
    if (l == NULL || c->manual == EN_NONE) {
        out->how = MP_MANUAL_WITHHELD;
        out->why = no_room(e, c);
        if (l != NULL) en_lease_give(e, l);
        if (c != NULL) en_case_free(e, c);
        return;
    }
    decide(e, ask, c, l, out);
    en_settle(e);
}
