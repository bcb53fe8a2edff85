/* SPDX-License-Identifier: Apache-2.0
 * The life of a lease: made from an action, admitted, arbitrated, sent, taken back.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

/* ---- slots ---- */

static bool is_outstanding(uint8_t state)
{
    return state == MP_LEASE_APPLYING || state == MP_LEASE_ACCEPTED || state == MP_LEASE_STUCK ||
           state == MP_LEASE_WITHDRAWING;
}

/* A slot that was in use before, or the first that never was; EN_NONE: all are taken. */
static uint32_t take_slot(struct mp_engine *e)
{
    uint32_t i = e->lease_free;
    if (i != EN_NONE) {
        e->lease_free = e->leases[i].next;
    } else if (e->lease_end < e->limits.leases) {
        i = e->lease_end++;
    }
    return i;
}

struct en_lease *en_lease_take(struct mp_engine *e, uint32_t rule)
{
    uint32_t most = e->limits.leases - e->limits.leases / 4;
    uint32_t i = e->rule_leases[en_rule_slot(e, rule)] < most ? take_slot(e) : EN_NONE;
    if (i == EN_NONE) {
        e->refused_leases++;
        en_full(e, rule, false, e->rule_leases[en_rule_slot(e, rule)], most);
        return NULL;
    }
    struct en_lease *l = &e->leases[i];
    memset(l, 0, offsetof(struct en_lease, target_text));
    l->used = true;
    l->dirty = true;
    l->next = l->next_live = EN_NONE;
    l->backend = EN_NONE;
    return l;
}

static uint32_t index_of(const struct mp_engine *e, const struct en_lease *l)
{
    return (uint32_t)(l - e->leases);
}

void en_lease_give(struct mp_engine *e, struct en_lease *l)
{
    l->used = false;
    l->dirty = true;
    l->next = e->lease_free;
    e->lease_free = index_of(e, l);
}

/* The leases that may be on one target: those of mp_decide_same_target are in one chain. */
static uint32_t *same_target(struct mp_engine *e, const struct mp_lease *l)
{
    const struct mp_lease_target *t = &l->target;
    struct mp_value v = t->value;
    if (mp_type_rep((enum mp_type)t->type) == MP_REP_T && mp_value_text_len(v) > MP_TEXT_INLINE) {
        mp_str text = mp_value_as_text(&v);
        v.w[1] = mp_siphash(e->options.hash_key, text.ptr, text.len);
    }
    uint64_t words[5] = {(uint64_t)l->class << 32 | t->kind, (uint64_t)t->entity << 32 | t->type,
                         t->bits, v.w[0], v.w[1]};
    uint64_t hash = mp_siphash_words(e->options.hash_key, words, 5);
    return &e->lease_heads[hash & e->lease_mask];
}

/* Into its case, among the living, and among those on its target, all in order of decision. */
static void link_lease(struct mp_engine *e, struct en_case *c, struct en_lease *l)
{
    uint32_t i = index_of(e, l), *end = same_target(e, &l->l);
    while (*end != EN_NONE) end = &e->leases[*end].next_same;
    *end = i;
    l->next_same = EN_NONE;
    if (c->last_lease == EN_NONE) {
        c->leases = i;
    } else {
        e->leases[c->last_lease].next = i;
    }
    c->last_lease = i;
    if (e->lease_live_last == EN_NONE) {
        e->lease_live = i;
    } else {
        e->leases[e->lease_live_last].next_live = i;
    }
    l->prev_live = e->lease_live_last;
    e->lease_live_last = i;
    e->lease_used++;
    e->rule_leases[en_rule_slot(e, l->l.rule)]++;
}

static void unlink_lease(struct mp_engine *e, struct en_lease *l)
{
    struct en_case *c = &e->cases[l->owner];
    uint32_t i = index_of(e, l), before = EN_NONE, *at = &c->leases;
    while (*at != i) {
        before = *at;
        at = &e->leases[*at].next;
    }
    *at = l->next;
    if (c->last_lease == i) c->last_lease = before;
    uint32_t *prev = l->next_live == EN_NONE ? &e->lease_live_last
                                             : &e->leases[l->next_live].prev_live;
    *prev = l->prev_live;
    *(l->prev_live == EN_NONE ? &e->lease_live : &e->leases[l->prev_live].next_live) = l->next_live;
    at = same_target(e, &l->l);
    while (*at != i) at = &e->leases[*at].next_same;
    *at = l->next_same;
    e->lease_used--;
    e->rule_leases[en_rule_slot(e, l->l.rule)]--;
}

void en_lease_link(struct mp_engine *e, struct en_case *c, struct en_lease *l)
{
    link_lease(e, c, l);
    e->outstanding += is_outstanding(l->state);
}

/* ---- what it is ---- */

bool en_lease_wanted(const struct en_lease *l)
{
    return l->state >= MP_LEASE_ADMITTED && l->state <= MP_LEASE_SUPERSEDED;
}

bool en_lease_in_force(const struct en_lease *l)
{
    return l->state >= MP_LEASE_ADMITTED && l->state <= MP_LEASE_STUCK;
}

bool en_lease_lost(const struct en_lease *l)
{
    return l->state == MP_LEASE_STUCK && l->held && l->accepted_mono_ns != 0;
}

const struct mp_lease *en_live(void *ctx, bool shadow, uint32_t *cursor)
{
    struct mp_engine *e = ctx;
    /* The cursor is 1 + the slot told last; 0 begins, and the end is where no next one is. */
    uint32_t i = *cursor == 0 ? e->lease_live : e->leases[*cursor - 1].next_live;
    for (; i != EN_NONE; i = e->leases[i].next_live) {
        const struct en_lease *l = &e->leases[i];
        if (!en_lease_in_force(l) || l->l.shadow != shadow) continue;
        *cursor = i + 1;
        return &l->l;
    }
    return NULL;
}

struct en_step_state en_step_state(const struct mp_engine *e, const struct en_case *c)
{
    struct en_step_state s = {0, 0, 0};
    /* A step of messages alone has replaced nothing: what is in force is that of the steps
     * before. */
    bool any = c->step != MP_NONE && (e->p->step[c->step].flags & MP_STEP_MESSAGES_ONLY) != 0;
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        const struct en_lease *l = &e->leases[i];
        if ((!any && l->l.rung != c->rung) || !en_lease_wanted(l)) continue;
        s.leases++;
        s.accepted += l->accepted_mono_ns != 0;
        s.effective += l->state == MP_LEASE_EFFECTIVE;
    }
    return s;
}

uint32_t en_case_wanted(const struct mp_engine *e, const struct en_case *c)
{
    uint32_t n = 0;
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        n += en_lease_wanted(&e->leases[i]);
    }
    return n;
}

/* ---- the machine ---- */

/* The desired set of its backend changes: its next revision is the first to show that. */
static void change_set(struct mp_engine *e, struct en_lease *l)
{
    if (l->backend == EN_NONE) return;
    struct en_backend *b = &e->backends[l->backend];
    b->dirty = true;
    l->revision = b->revision + 1;
}

static void start_ttl(struct mp_engine *e, struct en_lease *l)
{
    if (l->accepted_mono_ns != 0) return;
    l->accepted_mono_ns = e->mono_ns > 0 ? e->mono_ns : 1;
    l->ends_mono_ns = l->ttl_runs ? l->ends_mono_ns : e->mono_ns + l->l.ttl_ns;
    struct en_case *c = &e->cases[l->owner];
    if (l->state != MP_LEASE_SUPERSEDED) {
        en_case_lease_accepted(e, c);
    } else if (!c->told) {
        en_messages_send(e, c, MP_STR("superseded"));
    }
}

/* A superseded one has left the set already, but the mesh may not have taken that set yet. */
static void take_back(struct mp_engine *e, struct en_lease *l, uint8_t before)
{
    bool carried = l->backend != EN_NONE;
    if (carried && before != MP_LEASE_SUPERSEDED) change_set(e, l);
    bool gone = !carried || e->backends[l->backend].effective >= l->revision;
    l->ends_mono_ns = 0;
    en_lease_arbitrate(e, &l->l);
    if (gone) en_lease_event(e, l, MP_LEASE_ON_GONE, MP_STR(""));
}

static void do_effect(struct mp_engine *e, struct en_lease *l, enum mp_lease_effect effect,
                      uint8_t before)
{
    struct en_case *c = &e->cases[l->owner];
    switch (effect) {
    case MP_LEASE_DO_SEND:
        l->excluded = false;
        change_set(e, l);
        /* Until it is accepted its time is counted from here, so that it ends in any case. */
        if (l->ends_mono_ns == 0) l->ends_mono_ns = e->mono_ns + l->l.ttl_ns;
        break;
    case MP_LEASE_DO_START_TTL:
        start_ttl(e, l);
        if (l->state == MP_LEASE_SUPERSEDED) change_set(e, l);
        if (l->state == MP_LEASE_EFFECTIVE) en_case_lease_effective(e, c);
        break;
    case MP_LEASE_DO_COUNT_IN: en_case_lease_effective(e, c); break;
    case MP_LEASE_DO_STOP_CHECK:
        change_set(e, l);
        en_case_lease_superseded(e, c, l);
        break;
    case MP_LEASE_DO_LOSE: en_case_lease_lost(e, c, l); break;
    case MP_LEASE_DO_TAKE_BACK: take_back(e, l, before); break;
    case MP_LEASE_DO_FREE:
        unlink_lease(e, l);
        en_lease_give(e, l);
        en_case_lease_gone(e, c);
        break;
    case MP_LEASE_DO_BACK_OFF:
    case MP_LEASE_DO_NONE: break;
    case MP_LEASE_EFFECT_COUNT: MP_UNREACHABLE("no effect");
    }
}

void en_lease_event(struct mp_engine *e, struct en_lease *l, enum mp_lease_event ev, mp_str why)
{
    const struct mp_fsm_edge *edge = mp_lease_edge(l->state, ev);
    MP_ASSERT(edge != NULL);
    uint8_t before = l->state;
    e->outstanding += is_outstanding(edge->next);
    e->outstanding -= is_outstanding(before);
    l->state = edge->next;
    en_lease_touch(l);
    uint64_t seq = en_entry_lease(e, l, mp_lease_state_word(before),
                                  mp_lease_state_word(edge->next), why);
    if (edge->next == MP_LEASE_APPLYING) l->applied_seq = seq;
    if (edge->next == MP_LEASE_ACCEPTED) l->obey_mono_ns = e->mono_ns;
    uint32_t owner = l->owner;
    do_effect(e, l, edge->effect, before);
    en_case_schedule(e, &e->cases[owner]); /* its times are moments of its case */
}

void en_lease_end(struct mp_engine *e, struct en_lease *l, mp_str why)
{
    if (en_lease_wanted(l)) en_lease_event(e, l, MP_LEASE_ON_END, why);
}

void en_case_end_leases(struct mp_engine *e, struct en_case *c, mp_str why)
{
    uint32_t i = c->leases;
    while (i != EN_NONE) {
        struct en_lease *l = &e->leases[i];
        i = l->next;
        en_lease_end(e, l, why);
    }
}

/* ---- ramps ---- */

void en_lease_share(struct mp_engine *e, struct en_case *c, double share)
{
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        struct en_lease *l = &e->leases[i];
        if (!en_lease_wanted(l)) continue;
        l->l.given_back = share;
        l->ends_mono_ns = 0; /* the ramp has an end of its own (R25) */
        en_lease_touch(l);
        if (l->backend != EN_NONE) e->backends[l->backend].dirty = true;
        en_lease_arbitrate(e, &l->l);
    }
}

/* A release is taken back: full strength, time and check anew (R27). */
void en_lease_revive(struct mp_engine *e, struct en_case *c)
{
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        struct en_lease *l = &e->leases[i];
        if (!en_lease_wanted(l)) continue;
        l->l.given_back = 0;
        l->ttl_runs = false;
        if (l->state == MP_LEASE_EFFECTIVE) {
            l->accepted_mono_ns = 0;
            l->ends_mono_ns = 0;
            en_lease_event(e, l, MP_LEASE_ON_REVISE, MP_STR("again"));
        } else {
            l->ends_mono_ns = e->mono_ns + l->l.ttl_ns;
        }
        en_lease_arbitrate(e, &l->l);
    }
}

/* ---- arbitration ---- */

/* The leases that compete with `about`. A rung that is being replaced does not compete with the new
 * one: it stays as it is until that is in force. */
uint32_t en_lease_rivals(struct mp_engine *e, const struct mp_lease *about, struct en_lease **out)
{
    uint32_t n = 0;
    for (uint32_t i = *same_target(e, about); i != EN_NONE; i = e->leases[i].next_same) {
        struct en_lease *l = &e->leases[i];
        if (!en_lease_wanted(l) || l->l.shadow) continue;
        if (!mp_decide_same_target(e->p, &l->l, about)) continue;
        const struct en_case *c = &e->cases[l->owner];
        if (l->l.rung < c->rung && c->state == MP_INCIDENT_OPEN) continue;
        if (n == EN_TARGET_LEASES_MAX) break; /* LIMIT: older ones decide */
        out[n++] = l;
    }
    return n;
}

/* Of what is in its set a backend tells by itself whether it is carried (mesh.c). */
void en_lease_weigh(struct mp_engine *e, struct en_lease *l)
{
    char why[256];
    bool outside = l->state <= MP_LEASE_ADMITTED || l->state == MP_LEASE_SUPERSEDED;
    if (outside) l->held = !en_backend_carries(e, l, why, sizeof why);
    if (l->held) e->backends[l->backend].holds = true;
    l->l.idle = l->held || l->refused;
}

static void stand(struct mp_engine *e, struct en_lease *l, enum mp_standing standing)
{
    uint8_t was = l->standing;
    l->standing = (uint8_t)standing;
    if (standing == MP_STANDING_SUPERSEDED) {
        l->held = l->worded = false;
        if (l->state != MP_LEASE_SUPERSEDED) {
            en_lease_event(e, l, MP_LEASE_ON_SUPERSEDE, MP_STR("superseded"));
        }
    } else if (l->state == MP_LEASE_SUPERSEDED) {
        en_lease_event(e, l, MP_LEASE_ON_RESTORE, MP_STR("restored"));
        if (l->refused) en_lease_leave_out(e, l);
    } else if (l->state == MP_LEASE_ADMITTED) {
        en_lease_event(e, l, MP_LEASE_ON_APPLY, MP_STR(""));
    } else if (was != standing && l->backend != EN_NONE) {
        e->backends[l->backend].dirty = true;
    }
}

void en_lease_arbitrate(struct mp_engine *e, const struct mp_lease *about)
{
    if (about->shadow) return;
    struct en_lease *rival[EN_TARGET_LEASES_MAX];
    const struct mp_lease *leases[EN_TARGET_LEASES_MAX];
    enum mp_standing standing[EN_TARGET_LEASES_MAX];
    uint32_t n = en_lease_rivals(e, about, rival);
    if (n == 0) return;
    for (uint32_t i = 0; i < n; i++) {
        if (n > 1) en_lease_weigh(e, rival[i]);
        leases[i] = &rival[i]->l;
    }
    mp_decide_arbitrate(e->p, leases, n, standing);
    for (uint32_t i = 0; i < n; i++) stand(e, rival[i], standing[i]);
}

/* ---- making ---- */

/* Text of a value is copied: what it borrows may be gone at the next record. */
bool en_lease_own_text(struct mp_lease *l, enum mp_type type, struct mp_value *v)
{
    if (mp_type_rep(type) != MP_REP_T) return true;
    mp_str text = mp_value_as_text(v);
    if (text.len <= MP_TEXT_INLINE) return true;
    if (text.len > MP_LEASE_TEXT_MAX - l->text_len) return false;
    char *at = l->text + l->text_len;
    memcpy(at, text.ptr, text.len);
    l->text_len += (uint32_t)text.len;
    *v = mp_value_text((mp_str){at, text.len});
    return true;
}

static bool value_of(struct mp_engine *e, uint32_t fn, struct mp_value *out)
{
    struct mp_inputs *in = en_row_inputs(e, &e->row);
    if (e->record != NULL && e->p->fn[fn].signal != MP_NONE && e->p->fn[fn].grouping == MP_NONE) {
        in->record_known = e->record->known;
        in->record = e->record->field;
        in->row_known = e->record_row.known;
        in->row = e->record_row.cell;
    }
    return mp_eval_value(e->p, fn, in, out);
}

static bool fill_args(struct mp_engine *e, const struct mp_act_row *act, struct mp_lease *l,
                      const char **why)
{
    for (uint32_t i = act->args_at; i < act->args_at + act->args_count; i++) {
        const struct mp_arg_row *row = &e->p->arg[i];
        if (l->arg_count == MP_LEASE_ARGS_MAX) break;
        struct mp_lease_arg *arg = &l->args[l->arg_count++];
        *arg = (struct mp_lease_arg){.name = mp_program_text(e->p, row->name), .type = row->type};
        arg->known = value_of(e, row->fn, &arg->value);
        if (!arg->known) {
            *why = "an argument is unknown";
            return false;
        }
        if (!en_lease_own_text(l, (enum mp_type)row->type, &arg->value)) {
            *why = "an argument is too long";
            return false;
        }
    }
    return true;
}

void en_lease_print_target(struct en_lease *l)
{
    char bytes[1024];
    struct mp_arena arena;
    struct mp_buf b;
    mp_arena_init_fixed(&arena, bytes, sizeof bytes);
    mp_buf_init(&b, &arena);
    if (l->l.target.bits != 0) {
        mp_value_print_net(&b, l->l.target.value, l->l.target.bits);
    } else {
        mp_value_print(&b, (enum mp_type)l->l.target.type, l->l.target.value);
    }
    l->target_len = b.len < EN_KEY_TEXT_MAX ? (uint32_t)b.len : EN_KEY_TEXT_MAX;
    memcpy(l->target_text, b.ptr, l->target_len);
}

static bool fill_lease(struct mp_engine *e, struct en_case *c, uint32_t row, struct en_lease *l,
                       const char **why)
{
    const struct mp_act_row *act = &e->p->act[row];
    const struct mp_action_row *action = &e->p->action[act->action];
    l->owner = en_case_index(e, c);
    l->l = (struct mp_lease){
        .id = ++e->next_lease, .incident = c->id, .rule = c->rule, .rung = c->rung, .act = row,
        .action = act->action, .class = action->class, .strength = action->strength,
        .priority = e->p->rule[c->rule].priority, .hooks = act->hooks, .shadow = c->shadow,
        .ttl_ns = en_at_least_resolution(act->duration_ns),
        .target = {.kind = act->target_kind, .entity = act->entity, .type = act->type}};
    if (act->target == MP_NONE || !value_of(e, act->target, &l->l.target.value)) {
        *why = "the target is unknown";
        return false;
    }
    if (!en_lease_own_text(&l->l, (enum mp_type)act->type, &l->l.target.value)) {
        *why = "the target's name is too long";
        return false;
    }
    en_lease_print_target(l);
    if (!c->shadow) {
        l->backend = en_backend_for(e, act->action, act->entity, act->type);
        if (l->backend == EN_NONE) {
            *why = "no backend can do it";
            return false;
        }
    }
    return fill_args(e, act, &l->l, why);
}

/* ---- admission ---- */

static bool ask_walk(void *ctx, uint32_t walk, struct mp_value target, struct mp_value *out)
{
    struct mp_engine *e = ctx;
    return mp_walk_resolve(e->inventory, walk, NULL, &target, out);
}

static bool ask_attr(void *ctx, uint32_t attr, struct mp_value key, struct mp_value *out)
{
    struct mp_engine *e = ctx;
    return mp_inventory_attr(e->inventory, attr, key, out);
}

static uint64_t ask_members(void *ctx, uint32_t entity)
{
    struct mp_engine *e = ctx;
    return mp_inventory_count(e->inventory, entity);
}

/* A `never ... where` looks at the row of the target, which is born for it if need be. */
static enum mp_truth ask_guard(void *ctx, uint32_t guard, const struct mp_lease_target *target)
{
    struct mp_engine *e = ctx;
    uint32_t clause = e->p->guard[guard].clause;
    if (clause == MP_NONE || target->bits != 0) return MP_UNKNOWN;
    uint32_t grouping = e->p->fn[e->p->clause[clause].fn].grouping;
    bool fresh;
    if (grouping == MP_NONE) return en_clause_truth(e, clause, &(struct mp_read){0}, 0);
    uint32_t key = mp_window_birth(e->window, grouping, &target->value, &fresh);
    if (key == MP_NONE) return MP_UNKNOWN;
    return en_clause_truth(e, clause, &(struct mp_read){0}, key);
}

static bool ask_alive(void *ctx, uint32_t guard)
{
    struct mp_engine *e = ctx;
    return e->guard_alive[guard] != 0;
}

static struct mp_decide_world world_of(struct mp_engine *e)
{
    return (struct mp_decide_world){e,         ask_walk, ask_attr, ask_members,
                                    ask_guard, en_live,  ask_alive};
}

void en_cause_admission(struct mp_engine *e, const struct mp_admission *a)
{
    if (a->guard != MP_NONE) {
        en_cause(e, MP_STR("guard"), mp_program_text(e->p, e->p->guard[a->guard].text));
    }
    if (a->why == MP_DECIDE_MORE_THAN || a->why == MP_DECIDE_LIMIT) {
        en_cause_number(e, MP_STR("would_be"), a->count);
        en_cause_number(e, MP_STR("allowed"), a->allowed);
    }
}

mp_str en_admission_word(enum mp_decide_why why)
{
    switch (why) {
    case MP_DECIDE_LIMIT: return MP_STR("limit");
    case MP_DECIDE_FULL: return MP_STR("full");
    default: return MP_STR("guard");
    }
}

/* One that is withheld withholds the step (R33). */
static void withhold_all(struct mp_engine *e, struct en_lease **made, uint32_t count, mp_str why,
                         const struct mp_admission *admission)
{
    for (uint32_t i = 0; i < count; i++) {
        if (admission != NULL) en_cause_admission(e, admission);
        mp_str word = admission != NULL && admission->lease != i ? MP_STR("joined") : why;
        en_entry_lease(e, made[i], MP_STR("proposed"), MP_STR("withheld"), word);
        en_lease_give(e, made[i]);
    }
}

static void put_in_force(struct mp_engine *e, struct en_case *c, struct en_lease **made,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        made[i]->state = MP_LEASE_PROPOSED;
        made[i]->begins_ns = e->now_ns;
        link_lease(e, c, made[i]);
    }
    for (uint32_t i = 0; i < count; i++) en_lease_event(e, made[i], MP_LEASE_ON_ADMIT, MP_STR(""));
    for (uint32_t i = 0; i < count; i++) {
        if (c->shadow) {
            en_lease_event(e, made[i], MP_LEASE_ON_PRETEND, MP_STR("shadow"));
        } else {
            en_lease_arbitrate(e, &made[i]->l);
        }
    }
}

bool en_leases_admit(struct mp_engine *e, struct en_lease **made, uint32_t count,
                     struct mp_admission *out)
{
    struct mp_decide_world world = world_of(e);
    for (uint32_t i = 0; i < count; i++) e->step_leases[i] = &made[i]->l;
    return mp_decide_admit(e->decide, e->p, &world, e->step_leases, count, e->now_ns, out);
}

void en_leases_enforce(struct mp_engine *e, struct en_case *c, struct en_lease **made,
                       uint32_t count)
{
    struct mp_decide_world world = world_of(e);
    for (uint32_t i = 0; i < count; i++) e->step_leases[i] = &made[i]->l;
    mp_decide_note(e->decide, e->p, &world, e->step_leases, count, e->now_ns);
    put_in_force(e, c, made, count);
}

static uint32_t make_all(struct mp_engine *e, struct en_case *c, struct en_lease **made,
                         const char **why)
{
    const struct mp_step_row *step = &e->p->step[c->step];
    uint32_t count = 0;
    for (uint32_t a = step->acts_at; a < step->acts_at + step->acts_count; a++) {
        if (e->p->act[a].target_kind != MP_TARGET_LEASE) continue;
        if (count == EN_STEP_ACTS_MAX) break;
        if (count == 0) en_fill(e, c->grouping, c->key, c);
        struct en_lease *l = en_lease_take(e, c->rule);
        if (l == NULL) {
            *why = "no room for another lease";
            break;
        }
        made[count++] = l;
        if (!fill_lease(e, c, a, l, why)) break;
    }
    return count;
}

enum en_step en_step_leases(struct mp_engine *e, struct en_case *c)
{
    struct en_lease *made[EN_STEP_ACTS_MAX];
    const char *why = NULL;
    uint32_t count = make_all(e, c, made, &why);
    if (count == 0) return why == NULL ? EN_STEP_NO_LEASES : EN_STEP_WITHHELD;
    if (why == NULL && e->braked && !c->shadow) why = "brake";
    if (why == NULL && e->store_failed) why = "store";
    if (why != NULL) {
        withhold_all(e, made, count, mp_str_of(why), NULL);
        return EN_STEP_WITHHELD;
    }
    struct mp_admission admission;
    if (!en_leases_admit(e, made, count, &admission)) {
        withhold_all(e, made, count, en_admission_word(admission.why), &admission);
        return EN_STEP_WITHHELD;
    }
    en_leases_enforce(e, c, made, count);
    return EN_STEP_TAKEN;
}

bool en_case_forbidden(struct mp_engine *e, const struct en_case *c, struct mp_admission *out)
{
    struct mp_decide_world world = world_of(e);
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        const struct en_lease *l = &e->leases[i];
        if (!en_lease_wanted(l)) continue;
        enum mp_decide_ask ask = en_lease_in_force(l) ? MP_DECIDE_ASK_ALL : MP_DECIDE_ASK_WHERE;
        if (!e->swapping) ask = MP_DECIDE_ASK_TRUE;
        if (mp_decide_forbids(e->decide, e->p, &world, &l->l, ask, e->now_ns, out)) return true;
    }
    return false;
}
