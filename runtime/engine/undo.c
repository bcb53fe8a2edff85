/* SPDX-License-Identifier: Apache-2.0
 * An operator takes back what is in force on a target, whoever decided it, and is told what the
 * rule will do then: a ban that comes back a minute later, without a word, is what people hate
 * most.
 */
#include "engine/engine_priv.h"

/* ---- what the rule will do ---- */

static mp_str span(struct mp_engine *e, int64_t ns)
{
    return en_manual_value(e, MP_TYPE_DURATION, mp_value_int(ns));
}

/* A rule on records by themselves has no state to ask: only the next record tells. */
static bool holds_now(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    if (r->trigger == MP_NONE || (r->flags & MP_RULE_INSTANT) != 0) return false;
    struct mp_read how = {.asker = c};
    return en_clause_truth(e, r->trigger, &how, c->key) == MP_TRUE;
}

static mp_str next_of_rule(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    bool now = holds_now(e, c);
    mp_str ramp = MP_STR(""), hold = MP_STR("");
    if (r->ramp > 0 && c->state != MP_INCIDENT_RELEASING) {
        mp_str every = span(e, r->ramp_every_ns);
        ramp = en_manual_say(e, "it is given back in steps, one every %.*s; ", MP_STR_ARG(every));
    }
    if (r->hold_ns > 0) {
        mp_str held = span(e, r->hold_ns);
        hold = en_manual_say(e, " for %.*s", MP_STR_ARG(held));
    }
    if (r->cooldown_ns > 0) {
        mp_str pause = span(e, r->cooldown_ns);
        return en_manual_say(
            e,
            "%.*sthe rule pauses for %.*s, then fires again once its condition has held%.*s"
            " (it %s now)",
            MP_STR_ARG(ramp), MP_STR_ARG(pause), MP_STR_ARG(hold), now ? "does" : "does not");
    }
    if (c->was_false || !now) {
        return en_manual_say(e, "%.*sthe rule fires again as soon as its condition has held%.*s",
                             MP_STR_ARG(ramp), MP_STR_ARG(hold));
    }
    return en_manual_say(e, "%.*sthe rule fires again only after its condition was false once"
                            " (it is true now)", MP_STR_ARG(ramp));
}

/* ---- whom it meets ---- */

struct undoing {
    struct mp_engine *e;
    const struct mp_undo *undo;
    struct mp_lease wanted; /* its target alone */
};

static bool same_target(const struct mp_lease *a, const struct mp_lease *b)
{
    const struct mp_lease_target *x = &a->target, *y = &b->target;
    if (x->entity != y->entity || x->type != y->type || x->bits != y->bits) return false;
    return mp_value_eq(mp_type_rep((enum mp_type)x->type), x->value, y->value);
}

static bool is_meant(const struct undoing *u, const struct en_lease *l)
{
    const struct en_case *c = &u->e->cases[l->owner];
    if (!en_lease_wanted(l) || l->l.shadow) return false;
    bool releasing = mp_incident_edge(c->state, MP_INCIDENT_ON_RELEASE) == NULL;
    if (releasing) return false;
    return u->undo->target.len > 0 ? same_target(&l->l, &u->wanted) : l->l.id == u->undo->lease;
}

/* ---- what comes in its place ---- */

static mp_str named(struct mp_engine *e, const struct en_lease *l)
{
    mp_str verb = mp_program_text(e->p, e->p->action[l->l.action].name);
    mp_str rule = en_rule_name(e, l->l.rule);
    return en_manual_say(e, "#%llu %.*s by %.*s", (unsigned long long)l->l.id, MP_STR_ARG(verb),
                         MP_STR_ARG(rule));
}

/* The question that will decide, asked of those that stay: what carries no effect now and would. */
static mp_str waits_for(const struct undoing *u, const struct en_lease *l)
{
    struct mp_engine *e = u->e;
    struct en_lease *rival[EN_TARGET_LEASES_MAX];
    const struct mp_lease *leases[EN_TARGET_LEASES_MAX];
    enum mp_standing standing[EN_TARGET_LEASES_MAX];
    uint32_t all = en_lease_rivals(e, &l->l, rival), n = 0;
    for (uint32_t i = 0; i < all; i++) {
        if (rival[i] == l || is_meant(u, rival[i])) continue;
        en_lease_weigh(e, rival[i]);
        leases[n] = &rival[i]->l;
        rival[n++] = rival[i];
    }
    mp_decide_arbitrate(e->p, leases, n, standing);
    mp_str told = MP_STR("");
    for (uint32_t i = 0; i < n; i++) {
        if (standing[i] != MP_STANDING_CARRIED || rival[i]->standing == standing[i]) continue;
        bool joined = rival[i]->standing == MP_STANDING_JOINED;
        mp_str name = named(e, rival[i]);
        told = en_manual_say(e, "%.*s%s%.*s %s", MP_STR_ARG(told), told.len > 0 ? ", " : "",
                             MP_STR_ARG(name), joined ? "goes on" : "comes back in force");
    }
    return told;
}

static bool is_inside(const struct mp_lease *l, const struct mp_lease *range)
{
    const struct mp_lease_target *in = &l->target, *out = &range->target;
    if (l->class != range->class || (l->hooks & range->hooks) == 0) return false;
    if (in->entity != out->entity || out->bits == 0) return false;
    if (in->bits == 0 ? in->type != MP_TYPE_IP : in->bits <= out->bits) return false;
    return mp_value_in_net(in->value, out->value, out->bits);
}

/* The strongest that holds for a range around the target. */
static mp_str around(const struct undoing *u, const struct en_lease *l)
{
    struct mp_engine *e = u->e;
    const struct en_lease *best = NULL;
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        const struct en_lease *r = &e->leases[i];
        if (!en_lease_in_force(r) || r->l.shadow || is_meant(u, r)) continue;
        if (!is_inside(&l->l, &r->l)) continue;
        if (best == NULL || r->l.strength > best->l.strength) best = r;
    }
    if (best == NULL) return MP_STR("");
    mp_str name = named(e, best);
    return en_manual_say(e, "%.*s holds for it (%.*s)", MP_STR_ARG(name), (int)best->target_len,
                         best->target_text);
}

static mp_str next_of_manual(const struct undoing *u, const struct en_lease *l)
{
    mp_str waits = waits_for(u, l);
    if (waits.len > 0) return waits;
    mp_str wider = around(u, l);
    return wider.len > 0 ? wider : MP_STR("nothing comes in its place");
}

static void tell(struct undoing *u, struct en_lease *l, void *ctx,
                 void (*each)(void *ctx, const struct mp_undo_view *view))
{
    struct mp_engine *e = u->e;
    struct en_case *c = &e->cases[l->owner];
    struct mp_undo_view view = {
        .lease = l->l.id, .incident = l->l.incident, .manual = en_is_manual(c),
        .rule = en_rule_name(e, l->l.rule),
        .verb = mp_program_text(e->p, e->p->action[l->l.action].name),
        .kind = en_target_word(e->p, l->l.target.entity, l->l.target.type),
        .target = {l->target_text, l->target_len},
        .next = en_is_manual(c) ? next_of_manual(u, l) : next_of_rule(e, c)};
    if (each != NULL) each(ctx, &view);
}

/* The next one that is meant, after the lease `after`: what is released may take others with it. */
static struct en_lease *next_meant(const struct undoing *u, uint64_t after)
{
    for (uint32_t i = u->e->lease_live; i != EN_NONE; i = u->e->leases[i].next_live) {
        struct en_lease *l = &u->e->leases[i];
        if (l->l.id > after && is_meant(u, l)) return l;
    }
    return NULL;
}

uint32_t mp_engine_undo(struct mp_engine *e, const struct mp_undo *undo, void *ctx,
                        void (*each)(void *ctx, const struct mp_undo_view *view), mp_str *why)
{
    struct undoing u = {.e = e, .undo = undo};
    mp_str help;
    uint32_t count = 0;
    *why = MP_STR("");
    en_manual_begin(e);
    if (undo->target.len > 0 && !en_manual_target(e, undo->target, &u.wanted, why, &help)) {
        if (help.len > 0) {
            mp_str what = *why;
            *why = en_manual_say(e, "%.*s; %.*s", MP_STR_ARG(what), MP_STR_ARG(help));
        }
        return 0;
    }
    struct en_lease *l;
    for (uint64_t after = 0; (l = next_meant(&u, after)) != NULL; count++) {
        after = l->l.id;
        tell(&u, l, ctx, each);
        if (undo->look) continue;
        en_entry_begin(e);
        en_cause_who(e, undo->who, undo->reason);
        en_case_cancel(e, &e->cases[l->owner]);
    }
    en_entry_begin(e);
    if (count > 0 && !undo->look) en_settle(e);
    return count;
}
