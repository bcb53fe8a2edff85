/* SPDX-License-Identifier: Apache-2.0
 * The life of a case: what happens on each arrow of incident_fsm.def, and what makes it happen.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

static void take_rung(struct mp_engine *e, struct en_case *c);
static void start_release(struct mp_engine *e, struct en_case *c);
static void start_cooldown(struct mp_engine *e, struct en_case *c);

mp_str en_cause_word(enum en_cause cause)
{
    static const mp_str words[] = {
        [EN_CAUSE_NONE] = MP_STR_INIT(""),
        [EN_CAUSE_CALM] = MP_STR_INIT("calm"),
        [EN_CAUSE_EXPIRED] = MP_STR_INIT("expired"),
        [EN_CAUSE_CANCELLED] = MP_STR_INIT("cancelled"),
        [EN_CAUSE_REMOVED] = MP_STR_INIT("removed"),
        [EN_CAUSE_FORBIDDEN] = MP_STR_INIT("forbidden"),
        [EN_CAUSE_WITHHELD] = MP_STR_INIT("withheld"),
        [EN_CAUSE_DONE] = MP_STR_INIT("done"),
        [EN_CAUSE_ACCEPTED] = MP_STR_INIT("accepted"),
    };
    return words[cause];
}

bool en_case_is_open(const struct en_case *c)
{
    return c->state >= MP_INCIDENT_OPEN && c->state <= MP_INCIDENT_RELEASING;
}

/* ---- the machine ---- */

/* Nothing of it is pending, open or cooling: its key may be forgotten, which arms it (R12). */
static void wait_false(struct mp_engine *e, struct en_case *c)
{
    c->armed = false;
    en_case_pin(e, c, false);
}

static void do_effect(struct mp_engine *e, struct en_case *c, enum mp_incident_effect effect)
{
    switch (effect) {
    case MP_INCIDENT_DO_WAIT_FALSE: wait_false(e, c); break;
    case MP_INCIDENT_DO_TAKE_RUNG: take_rung(e, c); break;
    case MP_INCIDENT_DO_START_CHECK: {
        const struct mp_clause_row *v = &e->p->clause[en_step_of(e, c)->verify];
        mp_check_start(&c->check, c->effective_ns, v->settle_ns, v->within_ns, v->hold_ns);
        break;
    }
    case MP_INCIDENT_DO_UNDO:
        en_messages_send(e, c, MP_STR("failed"));
        en_case_end_leases(e, c, MP_STR("rolled_back"));
        break;
    case MP_INCIDENT_DO_START_RELEASE: start_release(e, c); break;
    case MP_INCIDENT_DO_REAPPLY: en_lease_revive(e, c); break;
    case MP_INCIDENT_DO_START_COOLDOWN: start_cooldown(e, c); break;
    case MP_INCIDENT_DO_START_HOLDING:
        /* R20: nothing in force and nothing to wait for. */
        if (en_case_wanted(e, c) == 0 && en_rule_of(e, c)->until == MP_NONE) {
            en_case_release(e, c, EN_CAUSE_DONE);
        }
        break;
    case MP_INCIDENT_DO_START_HOLD:
    case MP_INCIDENT_DO_FORGET:
    case MP_INCIDENT_DO_NONE: break;
    case MP_INCIDENT_EFFECT_COUNT: MP_UNREACHABLE("no effect");
    }
}

static bool is_told(const struct mp_engine *e, const struct mp_fsm_edge *edge)
{
    /* Idle to pending and back are as many as a signal likes to make; a ledger that had to keep
     * them all would let telemetry fill the store. */
    if (edge->next == MP_INCIDENT_PENDING) return e->options.pending;
    if (edge->state != MP_INCIDENT_PENDING || edge->next != MP_INCIDENT_IDLE) return true;
    return e->options.pending || edge->event == MP_INCIDENT_ON_STOPPED;
}

void en_case_event(struct mp_engine *e, struct en_case *c, enum mp_incident_event ev, mp_str why)
{
    const struct mp_fsm_edge *edge = mp_incident_edge(c->state, ev);
    MP_ASSERT(edge != NULL);
    c->state = edge->next;
    c->since_ns = e->now_ns;
    en_case_touch(c);
    if (is_told(e, edge)) {
        en_entry_incident(e, c, mp_incident_state_word(edge->state),
                          mp_incident_state_word(edge->next), why);
    } else {
        en_entry_begin(e);
    }
    do_effect(e, c, edge->effect);
}

/* ---- trigger ---- */

static struct mp_read read_now(const struct mp_engine *e, const struct en_case *c)
{
    return (struct mp_read){.record = e->record, .outputs = e->record_outputs, .asker = c};
}

static void keep_text(struct en_case *c, struct mp_value *v)
{
    mp_str text = mp_value_as_text(v);
    if (text.len <= MP_TEXT_INLINE) return;
    uint32_t room = EN_TRIGGER_TEXT_MAX - c->text_len;
    uint32_t len = text.len < room ? (uint32_t)text.len : room;
    memcpy(c->text + c->text_len, text.ptr, len);
    *v = mp_value_text((mp_str){c->text + c->text_len, len});
    c->text_len += len;
}

/* R38: stored now, never computed again. */
static void keep_triggers(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    struct mp_read how = read_now(e, c);
    c->at_trigger_count = r->at_triggers_count;
    if (c->at_trigger_count > EN_TRIGGERS_MAX) c->at_trigger_count = EN_TRIGGERS_MAX;
    c->at_trigger_known = 0;
    c->text_len = 0;
    for (uint32_t i = 0; i < c->at_trigger_count; i++) {
        const struct mp_clause_row *row = &e->p->clause[r->at_triggers_at + i];
        mp_window_fill_inputs(e->window, &how, c->grouping, c->key, row->inputs_at,
                              row->inputs_count, &e->clause_row);
        struct mp_value v;
        if (!mp_eval_value(e->p, row->fn, en_row_inputs(e, &e->clause_row), &v)) continue;
        enum mp_type type = (enum mp_type)e->p->out[e->p->fn[row->fn].outs_at].type;
        if (mp_type_rep(type) == MP_REP_T) keep_text(c, &v);
        c->at_trigger[i] = v;
        c->at_trigger_known |= 1u << i;
    }
}

/* R18. Unknown stops a rule, but not one that denies first: an attacker could hide behind it. */
static bool unless_stops(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    if (r->unless == MP_NONE) return false;
    struct mp_read how = read_now(e, c);
    const struct mp_clause_row *row = &e->p->clause[r->unless];
    enum mp_truth truth = en_clause_truth(e, r->unless, &how, c->key);
    if (truth == MP_TRUE && row->hold_ns > 0 &&
        mp_hold_progress(&c->unless, e->now_ns) < row->hold_ns) {
        truth = MP_FALSE;
    }
    en_truth_changed(e, c, MP_CLAUSE_UNLESS, truth, &how);
    bool stops = truth == MP_TRUE ||
                 (truth == MP_UNKNOWN && (r->flags & MP_RULE_DENIES_FIRST) == 0);
    if (!stops) return false;
    en_cause(e, MP_STR("unless"), mp_program_text(e->p, row->text));
    if (truth == MP_UNKNOWN) en_cause(e, MP_STR("truth"), MP_STR("unknown"));
    return true;
}

static void remember_opening(struct mp_engine *e, struct en_case *c)
{
    uint64_t key = en_rule_key(e, c->rule, en_case_key(e, c));
    e->openings[e->opening_at] = (struct en_opening){e->now_ns, key};
    e->opening_at = (e->opening_at + 1) % e->limits.admissions;
    if (e->opening_count < e->limits.admissions) e->opening_count++;
}

static void open_case(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    struct mp_read how = read_now(e, c);
    if (unless_stops(e, c)) {
        en_case_event(e, c, MP_INCIDENT_ON_STOPPED, MP_STR("unless"));
        return;
    }
    e->counts[c->rule].matched++;
    c->id = ++e->next_incident;
    c->opened_ns = e->now_ns;
    c->was_false = false;
    c->cause = EN_CAUSE_NONE;
    c->until_from_ns = MP_NEVER_NS;
    c->until = (struct mp_run){0};
    c->ends_mono_ns = 0;
    keep_triggers(e, c);
    remember_opening(e, c);
    c->rung = 1;
    c->step = r->steps_at;
    if (r->trigger != MP_NONE) en_cause_clause(e, r->trigger, &how, c->key);
    if (r->hold_ns > 0) {
        en_cause_value(e, MP_STR("held"), MP_TYPE_DURATION, mp_value_int(r->hold_ns));
    }
    en_case_event(e, c, MP_INCIDENT_ON_FIRES, MP_STR(""));
}

static enum mp_truth no_data(const struct mp_rule_row *r, enum mp_truth truth, enum mp_clause kind)
{
    if (truth != MP_UNKNOWN || r->no_data == MP_NODATA_HOLD) return truth;
    if (r->no_data == MP_NODATA_CLEAR) return kind == MP_CLAUSE_UNTIL ? MP_TRUE : MP_FALSE;
    return kind == MP_CLAUSE_UNTIL ? MP_UNKNOWN : MP_TRUE;
}

static void step_unless(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    if (r->unless == MP_NONE || e->p->clause[r->unless].hold_ns == 0) return;
    struct mp_read how = read_now(e, c);
    enum mp_truth truth = en_clause_truth(e, r->unless, &how, c->key);
    mp_hold_step(&c->unless, e->now_ns, truth, e->p->clause[r->unless].hold_ns);
}

/* Gives the case back if there is nothing left to remember of it. */
static void free_if_idle(struct mp_engine *e, struct en_case *c)
{
    if (c->state != MP_INCIDENT_IDLE || !c->armed) return;
    if (!mp_hold_runs(&c->trigger) && !mp_hold_runs(&c->unless)) en_case_free(e, c);
}

static void while_pending(struct mp_engine *e, struct en_case *c, enum mp_truth truth)
{
    bool held = mp_hold_step(&c->trigger, e->now_ns, truth, en_rule_of(e, c)->hold_ns);
    if (c->state == MP_INCIDENT_IDLE) {
        if (truth != MP_TRUE) return;
        en_case_event(e, c, MP_INCIDENT_ON_TRUE, MP_STR(""));
    }
    if (held) {
        /* Nothing can be kept: it stays pending, and opens when the store writes again. */
        if (!e->store_failed) open_case(e, c);
    } else if (!mp_hold_runs(&c->trigger)) {
        en_case_event(e, c, MP_INCIDENT_ON_BROKEN, MP_STR(""));
    }
}

/* R27: the trigger, its `for` cut to one step of the ramp, takes a release back, as long as
 * something of it is in force. What is on its way out goes, and the trigger may then open another
 * (R19). */
static void while_releasing(struct mp_engine *e, struct en_case *c, enum mp_truth truth)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    c->was_false |= truth == MP_FALSE;
    if (!c->by_until || en_case_wanted(e, c) == 0) return;
    int64_t hold = r->hold_ns < r->ramp_every_ns ? r->hold_ns : r->ramp_every_ns;
    if (!mp_hold_step(&c->trigger, e->now_ns, truth, hold)) return;
    c->ramp_mono_ns = 0;
    c->until_from_ns = MP_NEVER_NS;
    c->until = (struct mp_run){0};
    c->was_false = false;
    struct mp_read how = read_now(e, c);
    if (r->trigger != MP_NONE) en_cause_clause(e, r->trigger, &how, c->key);
    en_case_event(e, c, MP_INCIDENT_ON_AGAIN, MP_STR("again"));
}

void en_trigger(struct mp_engine *e, uint32_t rule, uint32_t key, struct en_case *c,
                enum mp_truth truth, bool now_only)
{
    truth = no_data(&e->p->rule[rule], truth, MP_CLAUSE_TRIGGER);
    if (c == NULL) {
        if (truth != MP_TRUE) return;
        c = en_case_make(e, rule, key);
        if (c == NULL) return;
    }
    struct mp_read how = read_now(e, c);
    en_truth_changed(e, c, MP_CLAUSE_TRIGGER, truth, &how);
    step_unless(e, c);
    switch (c->state) {
    case MP_INCIDENT_IDLE:
        if (!c->armed) {
            c->armed = truth == MP_FALSE;
            c->trigger = (struct mp_hold){0};
            break;
        }
        while_pending(e, c, truth);
        break;
    case MP_INCIDENT_PENDING: while_pending(e, c, truth); break;
    case MP_INCIDENT_RELEASING: while_releasing(e, c, truth); break;
    default: c->was_false |= truth == MP_FALSE; break;
    }
    if (now_only) c->was_false = true; /* right after its record it is false again */
    if (now_only && c->state == MP_INCIDENT_IDLE) c->armed = true;
    if (c->used) en_case_pin(e, c, c->state != MP_INCIDENT_IDLE || c->armed);
    if (c->used) free_if_idle(e, c);
}

/* ---- taking a rung ---- */

static bool has_later(struct mp_engine *e, const struct en_case *c, uint32_t flags, uint32_t *step)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    for (uint32_t s = c->step + 1; s < r->steps_at + r->steps_count; s++) {
        if ((e->p->step[s].flags & flags) == 0) continue;
        *step = s;
        return true;
    }
    return false;
}

static void go_to_step(struct mp_engine *e, struct en_case *c, uint32_t step)
{
    c->step = step;
    c->rung = step - en_rule_of(e, c)->steps_at + 1;
    en_case_touch(c);
}

static void roll_back_with(struct mp_engine *e, struct en_case *c, uint32_t step, mp_str why)
{
    go_to_step(e, c, step);
    en_messages_write(e, c);
    en_messages_send(e, c, MP_STR(""));
    en_case_event(e, c, MP_INCIDENT_ON_UNDONE, why);
    en_case_finish(e, c);
}

/* R36: a withheld step is not replaced by a stronger one. */
static void step_withheld(struct mp_engine *e, struct en_case *c)
{
    uint32_t step;
    mp_str why = MP_STR("withheld");
    e->counts[c->rule].withheld++;
    en_messages_send(e, c, why);
    if (en_case_wanted(e, c) == 0) c->cause = EN_CAUSE_WITHHELD;
    if (has_later(e, c, MP_STEP_ROLLBACK | MP_STEP_MESSAGES_ONLY, &step)) {
        if ((e->p->step[step].flags & MP_STEP_ROLLBACK) != 0) {
            roll_back_with(e, c, step, why);
            return;
        }
        go_to_step(e, c, step);
        en_messages_write(e, c);
        en_messages_send(e, c, MP_STR(""));
    }
    bool kept = en_case_wanted(e, c) > 0;
    mp_str room = en_full_text(e, c->rule, e->now_ns); /* such a lease has no entry of its own */
    if (room.len > 0) en_cause(e, MP_STR("room"), room);
    en_case_event(e, c, kept ? MP_INCIDENT_ON_KEPT : MP_INCIDENT_ON_WITHHELD, why);
    if (!kept) en_case_finish(e, c);
}

static void step_effective(struct mp_engine *e, struct en_case *c);

static void step_without_leases(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    en_messages_send(e, c, MP_STR(""));
    if (en_case_wanted(e, c) > 0) {
        en_case_event(e, c, MP_INCIDENT_ON_KEPT, MP_STR("messages"));
    } else if (r->until == MP_NONE && (en_step_of(e, c)->verify == MP_NONE || c->shadow)) {
        c->cause = EN_CAUSE_DONE;
        en_case_event(e, c, MP_INCIDENT_ON_DONE, MP_STR("done"));
        en_case_finish(e, c);
    } else {
        if (c->ends_mono_ns == 0) c->ends_mono_ns = e->mono_ns + EN_UNTIL_MAX_NS;
        step_effective(e, c);
    }
}

static void take_rung(struct mp_engine *e, struct en_case *c)
{
    if (!en_has_rule(c)) return; /* who decides by hand brings the lease (manual.c), a NACK none */
    c->told = false;
    en_messages_write(e, c);
    switch (en_step_leases(e, c)) {
    case EN_STEP_TAKEN: break;
    case EN_STEP_WITHHELD: step_withheld(e, c); break;
    case EN_STEP_NO_LEASES: step_without_leases(e, c); break;
    }
}

/* ---- effective ---- */

static void step_effective(struct mp_engine *e, struct en_case *c)
{
    const struct mp_step_row *step = en_step_of(e, c);
    bool verify = step->verify != MP_NONE && !c->shadow;
    int64_t settle = step->verify != MP_NONE ? e->p->clause[step->verify].settle_ns : 0;
    c->effective_ns = e->now_ns;
    c->begun = true;
    c->harm = (struct mp_hold){0};
    if (c->until_from_ns == MP_NEVER_NS) c->until_from_ns = e->now_ns + settle;
    /* Make before break: the new step is in force, so the old one may go. */
    uint32_t i = c->leases;
    while (i != EN_NONE) {
        struct en_lease *l = &e->leases[i];
        i = l->next;
        bool replaced = (step->flags & MP_STEP_MESSAGES_ONLY) == 0 && l->l.rung < c->rung;
        if (replaced) en_lease_end(e, l, MP_STR("replaced"));
    }
    en_case_event(e, c, verify ? MP_INCIDENT_ON_CHECKED : MP_INCIDENT_ON_UNCHECKED, MP_STR(""));
}

void en_case_lease_accepted(struct mp_engine *e, struct en_case *c)
{
    struct en_step_state s = en_step_state(e, c);
    if (s.accepted == s.leases && !c->told) en_messages_send(e, c, MP_STR(""));
}

void en_case_lease_effective(struct mp_engine *e, struct en_case *c)
{
    if (c->state != MP_INCIDENT_OPEN) return;
    struct en_step_state s = en_step_state(e, c);
    if (s.effective < s.leases) return;
    step_effective(e, c);
    en_case_schedule(e, c);
}

void en_case_lease_superseded(struct mp_engine *e, struct en_case *c, const struct en_lease *l)
{
    if (c->state != MP_INCIDENT_VERIFYING || l->l.rung != c->rung) return;
    en_case_event(e, c, MP_INCIDENT_ON_SUPERSEDED, MP_STR("superseded"));
}

void en_case_lease_lost(struct mp_engine *e, struct en_case *c, const struct en_lease *l)
{
    if (c->state != MP_INCIDENT_VERIFYING || l->l.rung != c->rung) return;
    en_case_event(e, c, MP_INCIDENT_ON_LOST, MP_STR("lost"));
}

void en_case_lease_gone(struct mp_engine *e, struct en_case *c)
{
    if (c->leases == EN_NONE) en_case_finish(e, c);
}

/* ---- verdicts ---- */

static void next_rung(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    uint32_t next = c->step + 1;
    if (next >= r->steps_at + r->steps_count) {
        en_case_event(e, c, MP_INCIDENT_ON_UNDONE, MP_STR("failed"));
        en_case_finish(e, c);
        return;
    }
    if ((e->p->step[next].flags & MP_STEP_ROLLBACK) != 0) {
        roll_back_with(e, c, next, MP_STR("failed"));
        return;
    }
    if (unless_stops(e, c)) {
        en_case_event(e, c, MP_INCIDENT_ON_KEPT, MP_STR("unless"));
        return;
    }
    go_to_step(e, c, next);
    en_case_event(e, c, MP_INCIDENT_ON_NEXT, MP_STR("failed"));
}

/* Silence never escalates. */
static void after_inconclusive(struct mp_engine *e, struct en_case *c)
{
    uint32_t step;
    if (has_later(e, c, MP_STEP_ROLLBACK, &step)) {
        roll_back_with(e, c, step, MP_STR("inconclusive"));
    } else {
        en_case_event(e, c, MP_INCIDENT_ON_KEPT, MP_STR("inconclusive"));
    }
}

struct mp_read en_read_check(const struct en_case *c)
{
    return (struct mp_read){.settled = true, .since_ns = c->check.from_ns, .asker = c};
}

static void verdict(struct mp_engine *e, struct en_case *c, enum mp_verdict_kind kind)
{
    struct mp_read how = en_read_check(c);
    en_cause_clause(e, en_step_of(e, c)->verify, &how, c->key);
    switch (kind) {
    case MP_VERDICT_CONFIRMED:
        en_case_event(e, c, MP_INCIDENT_ON_CONFIRMED, MP_STR(""));
        en_case_event(e, c, MP_INCIDENT_ON_REPORTED, MP_STR("confirmed"));
        break;
    case MP_VERDICT_FAILED:
        en_case_event(e, c, MP_INCIDENT_ON_FAILED, MP_STR(""));
        next_rung(e, c);
        break;
    case MP_VERDICT_INCONCLUSIVE:
        en_case_event(e, c, MP_INCIDENT_ON_INCONCLUSIVE, MP_STR(""));
        after_inconclusive(e, c);
        break;
    default: MP_UNREACHABLE("no verdict");
    }
}

/* The `harm` of the step that is in force: a step that was withheld, or only sent messages, has not
 * replaced it. MP_NONE: none. */
uint32_t en_case_harm(const struct mp_engine *e, const struct en_case *c)
{
    if (c->shadow) return MP_NONE;
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        const struct en_lease *l = &e->leases[i];
        uint32_t step = en_rule_of(e, c)->steps_at + l->l.rung - 1;
        if (en_lease_wanted(l) && step <= c->step) return e->p->step[step].harm;
    }
    return en_step_of(e, c)->harm;
}

/* R41. A step that was in force and is not everywhere any more may do it where it is. */
bool en_case_may_harm(const struct mp_engine *e, const struct en_case *c)
{
    if (c->state == MP_INCIDENT_VERIFYING || c->state == MP_INCIDENT_HOLDING) return true;
    if (c->state != MP_INCIDENT_OPEN) return false;
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        if (e->leases[i].l.rung == c->rung && en_lease_lost(&e->leases[i])) return true;
    }
    return false;
}

/* R41: before a verdict of the same instant. True: the case is over. */
static bool check_harm(struct mp_engine *e, struct en_case *c)
{
    uint32_t clause = en_case_harm(e, c);
    if (clause == MP_NONE) return false;
    struct mp_read how = {.since_ns = c->effective_ns, .record = e->record,
                          .outputs = e->record_outputs, .asker = c};
    enum mp_truth truth = en_clause_truth(e, clause, &how, c->key);
    en_truth_changed(e, c, MP_CLAUSE_HARM, truth, &how);
    if (!mp_hold_step(&c->harm, e->now_ns, truth, e->p->clause[clause].hold_ns)) return false;
    en_cause_clause(e, clause, &how, c->key);
    en_case_event(e, c, MP_INCIDENT_ON_HARMED, MP_STR(""));
    en_case_event(e, c, MP_INCIDENT_ON_UNDONE, MP_STR("harmful"));
    en_case_finish(e, c);
    return true;
}

static void check_verify(struct mp_engine *e, struct en_case *c)
{
    uint32_t clause = en_step_of(e, c)->verify;
    int64_t w = e->now_ns - en_clause_lateness(e, clause, c->key);
    if (w < c->check.from_ns) return;
    if (w > c->check.to_ns) w = c->check.to_ns;
    struct mp_read how = en_read_check(c);
    enum mp_truth truth = en_clause_truth(e, clause, &how, c->key);
    en_truth_changed(e, c, MP_CLAUSE_VERIFY, truth, &how);
    enum mp_verdict_kind kind = mp_check_step(&c->check, w, truth);
    if (kind != MP_VERDICT_NONE) verdict(e, c, kind);
}

static void check_until(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    int64_t w = e->now_ns - en_clause_lateness(e, r->until, c->key);
    if (w < c->until_from_ns) return;
    struct mp_read how = {.settled = true, .asker = c};
    enum mp_truth truth = en_clause_truth(e, r->until, &how, c->key);
    en_truth_changed(e, c, MP_CLAUSE_UNTIL, truth, &how);
    truth = no_data(r, truth, MP_CLAUSE_UNTIL);
    bool calm = mp_run_step(&c->until, w, truth, e->p->clause[r->until].hold_ns);
    if (calm && c->state == MP_INCIDENT_HOLDING) {
        en_cause_clause(e, r->until, &how, c->key);
        en_case_release(e, c, EN_CAUSE_CALM);
    }
}

void en_case_checks(struct mp_engine *e, struct en_case *c, bool by_record)
{
    if (en_case_may_harm(e, c) && check_harm(e, c)) return;
    if (c->state == MP_INCIDENT_VERIFYING &&
        !(by_record && e->clause_still[en_step_of(e, c)->verify])) {
        check_verify(e, c);
    }
    uint32_t until = c->used ? en_rule_of(e, c)->until : MP_NONE;
    if (until == MP_NONE || c->until_from_ns == MP_NEVER_NS) return;
    bool acting = c->state == MP_INCIDENT_OPEN || c->state == MP_INCIDENT_VERIFYING ||
                  c->state == MP_INCIDENT_HOLDING;
    if (acting && !(by_record && e->clause_still[until])) check_until(e, c);
}

/* ---- release ---- */

void en_case_ramp(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    double share = r->ramp * ++c->ramp_step;
    en_case_touch(c);
    c->ramp_mono_ns = 0;
    /* A new program may have taken the ramp away in the middle of it. */
    if (share > 1 - 1e-9 || r->ramp <= 0 || r->ramp_every_ns <= 0) {
        en_case_end_leases(e, c, en_cause_word(c->cause));
        return;
    }
    en_lease_share(e, c, share);
    c->ramp_mono_ns = e->mono_ns + en_at_least_resolution(r->ramp_every_ns);
    en_cause_value(e, MP_STR("given_back"), MP_TYPE_PERCENT, mp_value_num(share));
    en_entry_incident(e, c, MP_STR("releasing"), MP_STR("releasing"), MP_STR("ramp"));
}

int64_t en_ramp_intervals(const struct mp_rule_row *r)
{
    int64_t n = 0;
    if (r->ramp <= 0) return 0;
    while (n < EN_RAMP_INTERVALS_MAX && r->ramp * (double)(n + 1) <= 1 - 1e-9) n++;
    return n;
}

int64_t en_case_ramp_end(const struct mp_engine *e, const struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    if (c->state != MP_INCIDENT_RELEASING || c->ramp_mono_ns == 0) return 0;
    /* One is under way. A new program may have made the ramp shorter in the middle of it. */
    int64_t left = en_ramp_intervals(r) - (int64_t)c->ramp_step;
    int64_t every_ns = en_at_least_resolution(r->ramp_every_ns);
    if (left <= 0) return c->ramp_mono_ns;
    return left < MP_WAIT_MAX_NS / every_ns ? c->ramp_mono_ns + left * every_ns : MP_NEVER_NS;
}

/* R27: the clock that may take a release back begins with the release. */
static void watch_release(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    c->trigger = (struct mp_hold){0};
    if (!c->by_until || r->trigger == MP_NONE || (r->flags & MP_RULE_INSTANT) != 0) return;
    struct mp_read how = read_now(e, c);
    enum mp_truth truth = en_clause_truth(e, r->trigger, &how, c->key);
    mp_hold_step(&c->trigger, e->now_ns, no_data(r, truth, MP_CLAUSE_TRIGGER), r->hold_ns);
}

/* Of whatever rung: one of messages alone has replaced nothing. */
static bool in_effect(const struct mp_engine *e, const struct en_case *c)
{
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        const struct en_lease *l = &e->leases[i];
        if (l->state == MP_LEASE_EFFECTIVE || en_lease_lost(l)) return true;
    }
    return false;
}

static void start_release(struct mp_engine *e, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    watch_release(e, c);
    c->ends_mono_ns = 0;
    c->ramp_step = 0;
    en_messages_send(e, c, MP_STR("not in force"));
    bool at_once = c->cause == EN_CAUSE_REMOVED || c->cause == EN_CAUSE_FORBIDDEN;
    if (r->ramp > 0 && !c->shadow && !at_once && in_effect(e, c)) {
        en_case_ramp(e, c);
    } else {
        en_case_end_leases(e, c, en_cause_word(c->cause));
    }
}

void en_case_release(struct mp_engine *e, struct en_case *c, enum en_cause cause)
{
    if (mp_incident_edge(c->state, MP_INCIDENT_ON_RELEASE) == NULL) return;
    c->cause = (uint8_t)cause;
    c->by_until = cause == EN_CAUSE_CALM;
    en_case_event(e, c, MP_INCIDENT_ON_RELEASE, en_cause_word(cause));
    en_case_finish(e, c);
}

/* A guard holds at once: no ramp begins, and one that runs ends here. */
void en_case_forbid(struct mp_engine *e, struct en_case *c)
{
    mp_str why = en_cause_word(EN_CAUSE_FORBIDDEN);
    if (c->state != MP_INCIDENT_RELEASING) {
        en_case_release(e, c, EN_CAUSE_FORBIDDEN);
        return;
    }
    c->cause = EN_CAUSE_FORBIDDEN;
    c->by_until = false;
    c->ramp_mono_ns = 0;
    en_case_touch(c);
    en_entry_incident(e, c, MP_STR("releasing"), MP_STR("releasing"), why);
    en_case_end_leases(e, c, why);
    en_case_finish(e, c);
}

/* ---- the end ---- */

static void start_cooldown(struct mp_engine *e, struct en_case *c)
{
    int64_t cool = en_rule_of(e, c)->cooldown_ns;
    if (c->cause == EN_CAUSE_WITHHELD && cool < EN_WITHHELD_COOL_NS) cool = EN_WITHHELD_COOL_NS;
    c->cool_mono_ns = e->mono_ns + (cool > 0 ? en_at_least_resolution(cool) : 0);
    if (cool > 0) c->was_false = true; /* R19: with a pause the trigger need not have fallen */
}

void en_case_cooled(struct mp_engine *e, struct en_case *c)
{
    en_case_event(e, c, MP_INCIDENT_ON_COOLED, MP_STR(""));
    if (!en_has_rule(c)) {
        en_case_free(e, c);
        return;
    }
    c->trigger = (struct mp_hold){0};
    c->id = 0;
    c->rung = 0;
    c->step = MP_NONE;
    c->cause = EN_CAUSE_NONE;
    c->armed = c->was_false;
    /* A key that only its pause has kept goes, or what is absent would be told for ever (R12). In a
     * test everything is there for ever. */
    bool over = e->options.clock != MP_ENGINE_TEST &&
                mp_window_key_over(e->window, c->grouping, c->key);
    if (over) {
        en_case_free(e, c);
    } else if (c->armed) {
        en_case_due(e, c); /* a trigger that never fell begins its hold now */
    } else {
        wait_false(e, c);
        en_case_schedule(e, c);
    }
}

/* Goes on to the end once nothing of it is in force. */
void en_case_finish(struct mp_engine *e, struct en_case *c)
{
    if (!c->used || c->leases != EN_NONE) return;
    if (c->state == MP_INCIDENT_RELEASING && c->ramp_mono_ns == 0) {
        en_case_event(e, c, MP_INCIDENT_ON_FREED, en_cause_word(c->cause));
    }
    if (c->state == MP_INCIDENT_RELEASED || c->state == MP_INCIDENT_ROLLED_BACK) {
        en_messages_drop(e, c);
        en_case_event(e, c, MP_INCIDENT_ON_COOLS, MP_STR(""));
        if (c->cool_mono_ns <= e->mono_ns) {
            en_case_cooled(e, c);
        } else {
            en_case_schedule(e, c);
        }
    }
}
