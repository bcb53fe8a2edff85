/* SPDX-License-Identifier: Apache-2.0
 * Going on: after a restart, and with another program. Both read the same rows (state.c); what is
 * here makes them live again.
 */
#include "engine/engine_priv.h"

#include <stdlib.h>

#include "base/assert.h"

/* ---- leases find their case ---- */

static bool belongs(const struct mp_engine *e, const struct en_lease *l)
{
    const struct en_case *c = &e->cases[l->owner];
    return c->used && c->id == l->l.incident && l->l.action != MP_NONE;
}

static void bind_lease(struct mp_engine *e, struct en_lease *l)
{
    struct en_case *c = &e->cases[l->owner];
    l->l.rule = c->rule;
    l->l.class = e->p->action[l->l.action].class;
    l->backend = l->l.shadow ? EN_NONE
                             : en_backend_for(e, l->l.action, l->l.target.entity, l->l.target.type);
    if (l->accepted_mono_ns != 0) l->accepted_mono_ns = e->mono_ns > 0 ? e->mono_ns : 1;
    l->obey_mono_ns = e->mono_ns;
    en_lease_link(e, c, l);
    if (l->backend != EN_NONE) {
        e->backends[l->backend].dirty = true;
        l->revision = e->backends[l->backend].revision + 1;
    }
}

static int by_id(const void *left, const void *right)
{
    const struct en_order *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

/* In order of decision: lists of leases are kept so. */
static void bind_leases(struct mp_engine *e)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->lease_end; i++) {
        if (e->leases[i].used) e->order[count++] = (struct en_order){e->leases[i].l.id, i};
    }
    qsort(e->order, count, sizeof *e->order, by_id);
    for (uint32_t i = 0; i < count; i++) {
        struct en_lease *l = &e->leases[e->order[i].slot];
        if (belongs(e, l)) {
            bind_lease(e, l);
        } else {
            l->used = false;
            l->dirty = true;
        }
    }
}

/* ---- what belongs to rules that are gone ---- */

static void tell_gone(struct mp_engine *e, const struct en_gone *g, mp_str key, const char *from,
                      const char *to)
{
    e->entry.machine = g->lease != 0 ? MP_MACHINE_LEASE : MP_MACHINE_INCIDENT;
    e->entry.rule = g->rule;
    e->entry.key = key;
    e->entry.incident = g->incident;
    e->entry.rung = g->rung;
    e->entry.lease = g->lease;
    e->entry.verb = g->verb;
    e->entry.target = g->target;
    e->entry.from = mp_str_of(from);
    e->entry.to = mp_str_of(to);
    e->entry.why = MP_STR("removed");
    en_entry_put(e);
}

static bool was_open(uint8_t state)
{
    return state >= MP_INCIDENT_OPEN && state <= MP_INCIDENT_RELEASING;
}

static const struct en_gone *gone_incident(const struct mp_engine *e, uint64_t incident)
{
    for (uint32_t i = 0; i < e->gone_count; i++) {
        if (e->gone[i].lease == 0 && e->gone[i].incident == incident) return &e->gone[i];
    }
    return NULL;
}

static void end_gone_leases(struct mp_engine *e, const struct en_gone *incident)
{
    for (uint32_t i = 0; i < e->gone_count; i++) {
        const struct en_gone *g = &e->gone[i];
        if (g->lease == 0 || g->incident != incident->incident) continue;
        if (e->leases[g->slot - 1].used) continue;
        mp_str state = mp_lease_state_word(g->state);
        if (g->state != MP_LEASE_WITHDRAWING) {
            tell_gone(e, g, incident->key, state.ptr, "withdrawing");
        }
        tell_gone(e, g, incident->key, "withdrawing", "withdrawn");
    }
}

/* The rest of the way of one incident, from where it stood to idle. */
static void end_gone_incident(struct mp_engine *e, const struct en_gone *g)
{
    mp_str state = mp_incident_state_word(g->state);
    if (was_open(g->state)) {
        if (g->state != MP_INCIDENT_RELEASING) tell_gone(e, g, g->key, state.ptr, "releasing");
        end_gone_leases(e, g);
        tell_gone(e, g, g->key, "releasing", "released");
        state = mp_incident_state_word(MP_INCIDENT_RELEASED);
    } else {
        end_gone_leases(e, g);
    }
    if (g->state != MP_INCIDENT_COOLDOWN) tell_gone(e, g, g->key, state.ptr, "cooldown");
    tell_gone(e, g, g->key, "cooldown", "idle");
}

static void end_gone(struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->gone_count; i++) {
        if (e->gone[i].lease == 0) end_gone_incident(e, &e->gone[i]);
    }
    /* Leases whose case is there, but whose action the program has no more. */
    for (uint32_t i = 0; i < e->gone_count; i++) {
        const struct en_gone *g = &e->gone[i];
        if (g->lease == 0 || e->leases[g->slot - 1].used) continue;
        if (gone_incident(e, g->incident) != NULL) continue;
        tell_gone(e, g, g->key, mp_lease_state_word(g->state).ptr, "withdrawing");
        tell_gone(e, g, g->key, "withdrawing", "withdrawn");
    }
    e->gone_count = 0;
    mp_arena_free(&e->gone_arena);
}

/* ---- the rest becomes live ---- */

void en_relist(struct mp_engine *e)
{
    e->case_free = e->clock_free = e->lease_free = EN_NONE;
    for (uint32_t i = e->case_end; i-- > 0;) {
        if (e->cases[i].used) continue;
        e->cases[i].next = e->case_free;
        e->case_free = i;
    }
    for (uint32_t i = e->limits.holds; i-- > 0;) {
        if (e->clocks[i].used) continue;
        e->clocks[i].next = e->clock_free;
        e->clock_free = i;
    }
    for (uint32_t i = e->lease_end; i-- > 0;) {
        if (e->leases[i].used) continue;
        e->leases[i].next = e->lease_free;
        e->lease_free = i;
    }
}

/* A case that cannot go on as it stood: its check has no place in the new ladder, or a lease that
 * it relied on is gone. */
static void settle_case(struct mp_engine *e, struct en_case *c)
{
    if (c->state == MP_INCIDENT_VERIFYING && e->p->step[c->step].verify == MP_NONE) {
        en_case_event(e, c, MP_INCIDENT_ON_INCONCLUSIVE, MP_STR("ladder changed"));
        en_case_event(e, c, MP_INCIDENT_ON_KEPT, MP_STR("ladder changed"));
    }
    if (c->marked && c->state == MP_INCIDENT_PENDING) {
        struct mp_read how = {.asker = c};
        uint32_t trigger = e->p->rule[c->rule].trigger;
        bool stays = trigger != MP_NONE && en_clause_truth(e, trigger, &how, c->key) == MP_TRUE;
        if (!stays) c->trigger = (struct mp_hold){0};
    }
    c->marked = c->ladder_changed = false;
    if (c->rule == EN_NACK) return; /* has none: who refused may say more */
    bool needs_leases = c->state == MP_INCIDENT_OPEN || c->state == MP_INCIDENT_VERIFYING ||
                        c->state == MP_INCIDENT_HOLDING;
    if (needs_leases && c->leases == EN_NONE && c->ends_mono_ns == 0) {
        en_case_release(e, c, EN_CAUSE_REMOVED);
    }
}

static void pause_clocks(struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        if (!c->used) continue;
        en_hold_pause(&c->trigger, e->kept_ns);
        en_hold_pause(&c->unless, e->kept_ns);
        en_hold_pause(&c->harm, e->kept_ns);
        c->until.on = false;
    }
    for (uint32_t i = 0; i < e->limits.holds; i++) {
        if (e->clocks[i].used) en_hold_pause(&e->clocks[i].h, e->kept_ns);
    }
}

static void wake_cases(struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->case_end; i++) {
        if (e->cases[i].used) settle_case(e, &e->cases[i]);
    }
    for (uint32_t i = 0; i < e->case_end; i++) {
        if (!e->cases[i].used) continue;
        en_case_due(e, &e->cases[i]);
        if (e->cases[i].used) en_case_finish(e, &e->cases[i]);
    }
    for (uint32_t i = 0; i < e->limits.holds; i++) {
        const struct en_clock *c = &e->clocks[i];
        if (c->used) en_judge_key(e, e->p->hold[c->hold].grouping, c->key);
    }
}

/* R50: leases that a guard of the new program forbids are released. A program may be new after a
 * restart too. */
static void forbid(struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        struct mp_admission by;
        if (!c->used || c->leases == EN_NONE || c->shadow) continue;
        if (en_case_forbidden(e, c, &by)) {
            en_cause_admission(e, &by);
            en_case_forbid(e, c);
        }
        if (c->used) en_case_schedule(e, c);
    }
}

#define IDS_APART 10000u /* LIMIT: ids that may have been given out since the last commit */

/* A backend may have seen ids that no commit followed. None of them is given to something else. The
 * first life tells its numbers before anything happens, so that a second one knows that it is
 * not. */
static void leave_ids_out(struct mp_engine *e)
{
    e->meta_told.next_incident = UINT64_MAX;
    if (!e->meta_restored) return;
    e->next_lease = (e->next_lease / IDS_APART + 2) * IDS_APART;
}

enum mp_err mp_engine_resume(struct mp_engine *e, uint64_t seq, const uint8_t hash[32])
{
    if (!e->swapping) {
        mp_ledger_continue(e->ledger, seq, hash);
        e->committed = seq;
        leave_ids_out(e);
    }
    en_relist(e);
    bind_leases(e);
    en_relist(e);
    en_messages_drop_orphans(e);
    for (uint32_t i = 0; i < e->backend_count; i++) e->backends[i].dirty = true;
    e->restoring = false;
    e->told_mark = UINT64_MAX; /* rows that did not come back are to be told as gone */
    end_gone(e);
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        en_lease_arbitrate(e, &e->leases[i].l);
    }
    if (!e->swapping) pause_clocks(e);
    wake_cases(e);
    /* What is forbidden, or ended while nobody looked, is not put in force again for a moment. */
    forbid(e);
    if (!e->swapping) en_run_deadlines(e, e->now_ns, e->mono_ns);
    en_flush(e);
    return MP_OK;
}

/* ---- another program ---- */

struct kept_row {
    struct kept_row *next;
    struct mp_state_row row;
};

struct kept {
    struct mp_arena arena;
    struct kept_row *first, **last;
    bool failed;
};

static void keep_row(void *ctx, const struct mp_state_row *row)
{
    struct kept *k = ctx;
    if (row->kind == MP_ROW_META) return; /* numbers stay where they are */
    struct kept_row *r = MP_NEW(&k->arena, struct kept_row, 1);
    mp_str bytes = mp_arena_str(&k->arena, row->bytes);
    if (r == NULL || bytes.ptr == NULL) {
        k->failed = true;
        return;
    }
    r->row = *row;
    r->row.bytes = bytes;
    *k->last = r;
    k->last = &r->next;
}

/* Cases that fall due at one instant are ordered by their keys, which only the old window has: so
 * their moments are not taken out one by one. Those of backends and messages stay. */
static void clear_moments(struct mp_engine *e)
{
    struct en_heap *h = &e->monos;
    uint32_t count = h->count;
    h->count = 0;
    for (uint32_t slot = 0; slot < count; slot++) {
        uint32_t id = h->ids[slot]; /* INVARIANT: no more have been put back than have been read */
        h->pos[id] = EN_NONE;
        if (id >= e->limits.incidents) en_heap_set(e, h, id, h->at[id]);
    }
}

/* What was given back since rows were told last is still to be told as gone. */
static void clear_tables(struct mp_engine *e)
{
    clear_moments(e);
    for (uint32_t i = 0; i < e->case_end; i++) {
        e->cases[i] = (struct en_case){.dirty = e->cases[i].used || e->cases[i].dirty};
    }
    for (uint32_t i = 0; i <= e->case_mask; i++) e->case_heads[i] = EN_NONE;
    for (uint32_t i = 0; i <= e->clock_mask; i++) e->clock_heads[i] = EN_NONE;
    for (uint32_t i = 0; i <= e->lease_mask; i++) e->lease_heads[i] = EN_NONE;
    for (uint32_t i = 0; i < e->limits.holds; i++) {
        e->clocks[i] = (struct en_clock){.dirty = e->clocks[i].used || e->clocks[i].dirty};
    }
    memset(e->manuals, 0, (EN_MANUALS_MAX + EN_NACKS_MAX) * sizeof *e->manuals);
    for (uint32_t i = 0; i < e->lease_end; i++) {
        bool used = e->leases[i].used;
        e->leases[i].used = false;
        e->leases[i].dirty |= used;
    }
    for (uint32_t i = 0; i < e->limits.messages; i++) {
        e->messages[i].dirty |= e->messages[i].state != EN_MAIL_FREE;
        e->messages[i].state = EN_MAIL_FREE;
    }
    e->lease_live = e->lease_live_last = EN_NONE;
    e->case_used = e->lease_used = e->message_used = e->outstanding = 0;
}

/* What en_make fills in: enough to put the old program back where the new one cannot be made. */
struct made {
    struct mp_program *p;
    struct mp_arena arena;
    struct mp_window *window;
    struct mp_inventory *inventory;
    struct en_heap events;
    struct en_unit *units;
    struct en_grouping *groupings;
    uint8_t *rule_alive, *guard_alive, *clause_still;
    struct mp_rule_counts *counts;
    uint32_t *rule_cases, *rule_leases;
    struct mp_row row, clause_row, record_row;
    struct mp_outputs outputs;
    struct mp_touch *touched;
    struct en_hit *hits;
    uint32_t hit_max, hold_ids, key_ids;
    struct mp_verdict_plan *plan, *own_plan;
    struct mp_verdict_scratch *verdict_scratch;
    struct en_feedback feedback;
};

static struct made take_made(const struct mp_engine *e)
{
    return (struct made){e->p, e->made, e->window, e->inventory, e->events, e->units, e->groupings,
                         e->rule_alive, e->guard_alive, e->clause_still, e->counts,
                         e->rule_cases, e->rule_leases, e->row,
                         e->clause_row, e->record_row, e->outputs, e->touched, e->hits, e->hit_max,
                         e->hold_ids, e->key_ids, e->plan, e->own_plan,
                         e->verdict_scratch, e->feedback};
}

static void put_made(struct mp_engine *e, const struct made *m)
{
    e->p = m->p;
    e->made = m->arena;
    e->window = m->window;
    e->inventory = m->inventory;
    e->events = m->events;
    e->units = m->units;
    e->groupings = m->groupings;
    e->rule_alive = m->rule_alive;
    e->guard_alive = m->guard_alive;
    e->clause_still = m->clause_still;
    e->counts = m->counts;
    e->rule_cases = m->rule_cases;
    e->rule_leases = m->rule_leases;
    e->row = m->row;
    e->clause_row = m->clause_row;
    e->record_row = m->record_row;
    e->outputs = m->outputs;
    e->touched = m->touched;
    e->hits = m->hits;
    e->hit_max = m->hit_max;
    e->hold_ids = m->hold_ids;
    e->key_ids = m->key_ids;
    e->plan = m->plan;
    e->own_plan = m->own_plan;
    e->verdict_scratch = m->verdict_scratch;
    e->feedback = m->feedback;
}

/* Pins are given back before the window is taken over, and taken anew by what comes back. */
static void unpin_old(struct mp_engine *e, const struct made *old)
{
    for (uint32_t i = 0; i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        if (c->used && c->pinned) mp_window_unpin(old->window, c->grouping, c->key);
    }
    for (uint32_t i = 0; i < e->limits.holds; i++) {
        const struct en_clock *c = &e->clocks[i];
        if (c->used) mp_window_unpin(old->window, old->p->hold[c->hold].grouping, c->key);
    }
}

/* Numbers of rules that live on under their name. */
static void carry_counts(struct mp_engine *e, const struct made *old)
{
    for (uint32_t i = 0; i < e->p->rule_count; i++) {
        mp_str package = mp_program_text(e->p, e->p->rule[i].package);
        uint32_t was = en_find_rule(old->p, package, mp_program_text(e->p, e->p->rule[i].name));
        if (was != MP_NONE) e->counts[i] = old->counts[was];
    }
}

enum mp_err mp_engine_swap(struct mp_engine *e, struct mp_program *p, const char **why)
{
    return mp_engine_swap_planned(e, p, NULL, why);
}

enum mp_err mp_engine_swap_planned(struct mp_engine *e, struct mp_program *p,
                                   struct mp_verdict_plan *plan, const char **why)
{
    struct kept kept = {.failed = false};
    struct made old;
    MP_ASSERT(!e->advancing && e->record == NULL);
    mp_arena_init(&kept.arena, e->arena.from, 0);
    kept.last = &kept.first;
    en_state_tell(e, &kept, keep_row);
    for (uint32_t u = 0; u < e->p->unit_count; u++) en_count_flush(e, u);
    old = take_made(e);
    mp_arena_init(&e->made, e->arena.from, e->options.limits.memory_bytes);
    e->p = p;
    e->plan = e->own_plan = NULL;
    const char *told = NULL;
    enum mp_err err = kept.failed ? MP_ENOMEM : en_make(e, plan, &told);
    if (err != MP_OK) {
        en_unmake(e);
        put_made(e, &old);
        mp_arena_free(&kept.arena);
        if (why != NULL) *why = told != NULL ? told : mp_err_text(err);
        return err;
    }
    en_truths_forget_values(e);
    unpin_old(e, &old);
    mp_inventory_adopt(e->inventory, old.inventory);
    mp_window_adopt(e->window, old.window, NULL, NULL);
    if (e->feedback.signal != MP_NONE) mp_window_always(e->window, e->feedback.signal);
    mp_window_advance(e->window, e->now_ns);
    carry_counts(e, &old);
    clear_tables(e);
    e->swapping = true;
    for (const struct kept_row *r = kept.first; r != NULL; r = r->next) {
        err = mp_engine_restore(e, &r->row);
        MP_ASSERT(err == MP_OK); /* we wrote it a moment ago */
    }
    uint8_t unused[32] = {0};
    mp_engine_resume(e, 0, unused);
    e->swapping = false;
    en_flush(e);
    mp_arena_free(&kept.arena);
    mp_verdict_plan_release(old.own_plan);
    mp_arena_free(&old.arena);
    return MP_OK;
}
