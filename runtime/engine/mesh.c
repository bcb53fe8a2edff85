/* SPDX-License-Identifier: Apache-2.0
 * Backends: the desired set of each, and what its progress means for the leases in it.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

#define RETRY_SOON_NS 10000000LL
#define RETRY_MAX_NS 60000000000LL
#define ROUNDS_MAX 64

static struct mpol_text text_of(mp_str s) { return (struct mpol_text){s.ptr, s.len}; }

/* ---- who can do what ---- */

mp_str en_target_word(const struct mp_program *p, uint32_t entity, uint32_t type)
{
    return entity != MP_NONE ? mp_program_text(p, p->entity[entity].name)
                             : mp_type_word((enum mp_type)type);
}

static const struct mpol_capability *capability(const struct mpol_backend_ops *ops, mp_str verb,
                                                mp_str target)
{
    for (size_t i = 0; i < ops->capability_count; i++) {
        const struct mpol_capability *c = &ops->capabilities[i];
        if (!mp_str_eq(mp_str_of(c->verb), verb)) continue;
        if (mp_str_eq(mp_str_of(c->target), target)) return c;
    }
    return NULL;
}

bool en_backend_can(const struct mpol_backend_ops *ops, mp_str verb, mp_str target)
{
    return capability(ops, verb, target) != NULL;
}

uint32_t en_backend_for(const struct mp_engine *e, uint32_t action, uint32_t entity, uint32_t type)
{
    mp_str verb = mp_program_text(e->p, e->p->action[action].name);
    mp_str target = en_target_word(e->p, entity, type);
    for (uint32_t i = 0; i < e->backend_count; i++) {
        const struct mpol_backend_ops *ops = e->backends[i].ops;
        if (ops == &en_prompt_ops) return i;
        const struct mpol_capability *c = capability(ops, verb, target);
        if (c != NULL && (type != MP_TYPE_CIDR || (c->flags & MPOL_CAN_RANGE) != 0)) return i;
    }
    return EN_NONE;
}

uint32_t en_backend_hooks(const struct mp_engine *e, uint32_t backend, uint32_t action,
                          uint32_t entity, uint32_t type)
{
    mp_str verb = mp_program_text(e->p, e->p->action[action].name);
    const struct mpol_backend_ops *ops = e->backends[backend].ops;
    const struct mpol_capability *c = capability(ops, verb, en_target_word(e->p, entity, type));
    return c == NULL ? MPOL_ANY_LAYER : c->hooks;
}

uint32_t mp_engine_unsupported(const struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->p->act_count; i++) {
        const struct mp_act_row *a = &e->p->act[i];
        if (a->target_kind != MP_TARGET_LEASE) continue;
        if (en_backend_for(e, a->action, a->entity, a->type) == EN_NONE) return a->action;
    }
    return MP_NONE;
}

/* A mesh outlives engines: what it took from the one before must not look like ours. Sets of that
 * one may still be under way, so the clock is asked too. And it is told what is to be in force
 * even if that is nothing: it may hold leftovers. */
static uint64_t first_revision(const struct mp_engine *e, const struct mpol_backend_ops *ops,
                               void *ctx)
{
    struct mpol_progress was = {.size = sizeof was};
    uint64_t from = e->now_ns > 0 ? (uint64_t)e->now_ns : 0;
    if (ops->progress(ctx, &was) != MPOL_OK) return from;
    if (was.accepted > from) from = was.accepted;
    return was.effective > from ? was.effective : from;
}

enum mp_err mp_engine_backend(struct mp_engine *e, const struct mpol_backend_ops *ops, void *ctx)
{
    if (e->backend_count == 1 && e->backends[0].ops == &en_prompt_ops) {
        if (e->lease_used > 0) return MP_EINVAL;
        e->backend_count = 0;
    }
    if (e->backend_count == EN_BACKENDS_MAX) return MP_ELIMIT;
    e->backends[e->backend_count++] = (struct en_backend){
        .ops = ops, .ctx = ctx, .dirty = true, .revision = first_revision(e, ops, ctx)};
    return MP_OK;
}

/* ---- the desired set ---- */

static bool in_set(const struct en_lease *l, uint32_t backend)
{
    return l->backend == backend && !l->excluded && l->standing == MP_STANDING_CARRIED &&
           l->state >= MP_LEASE_APPLYING && l->state <= MP_LEASE_STUCK;
}

static void put_arg(const struct mp_lease_arg *in, struct mpol_arg *out)
{
    *out = (struct mpol_arg){.name = text_of(in->name),
                             .type = text_of(mp_type_word((enum mp_type)in->type))};
    switch (mp_type_rep((enum mp_type)in->type)) {
    case MP_REP_T:
        out->kind = MPOL_ARG_TEXT;
        out->text = text_of(mp_value_as_text(&in->value));
        break;
    case MP_REP_F:
        out->kind = MPOL_ARG_NUMBER;
        out->number = mp_value_as_num(in->value);
        break;
    default:
        out->kind = MPOL_ARG_INT;
        out->integer = mp_value_as_int(in->value);
        break;
    }
}

static int64_t ramp_ns(const struct mp_engine *e, const struct mp_lease *l)
{
    if (l->rule == EN_MANUAL) return 0;
    const struct mp_rule_row *r = &e->p->rule[l->rule];
    int64_t steps = en_ramp_intervals(r);
    return steps < MP_WAIT_MAX_NS / (r->ramp_every_ns + 1) ? steps * r->ramp_every_ns
                                                           : MP_WAIT_MAX_NS;
}

static void put_lease(struct mp_engine *e, const struct en_lease *l, struct mpol_lease *out,
                      struct mpol_arg *args)
{
    int64_t rest = l->ends_mono_ns > 0 ? l->ends_mono_ns - e->mono_ns : 0;
    *out = (struct mpol_lease){
        .size = sizeof *out, .id = l->l.id, .incident = l->l.incident,
        .rule = text_of(en_rule_name(e, l->l.rule)),
        .verb = text_of(mp_program_text(e->p, e->p->action[l->l.action].name)),
        .target_kind = text_of(en_target_word(e->p, l->l.target.entity, l->l.target.type)),
        .target_type = text_of(mp_type_word((enum mp_type)l->l.target.type)),
        .target = {l->target_text, l->target_len},
        .hooks = l->l.hooks, .arg_count = l->l.arg_count, .args = args,
        .ends_wall_ns = e->now_ns + rest + ramp_ns(e, &l->l), .given_back = l->l.given_back,
        .begins_wall_ns = l->begins_ns};
    for (uint32_t i = 0; i < l->l.arg_count; i++) put_arg(&l->l.args[i], &args[i]);
}

typedef enum mpol_err (*question)(void *backend, const struct mpol_lease *lease, char *why,
                                  size_t size);

/* The questions that a backend may leave out, as those made before there were any do. */
static question question_at(const struct mpol_backend_ops *ops, size_t offset)
{
    question ask = NULL;
    if (ops->size >= offset + sizeof ask)
        memcpy(&ask, (const char *)ops + offset, sizeof ask);
    return ask;
}

static bool says_yes(struct mp_engine *e, const struct en_lease *l, size_t offset, char *why,
                     size_t size)
{
    const struct en_backend *b = &e->backends[l->backend];
    question ask = question_at(b->ops, offset);
    struct mpol_lease lease;
    why[0] = '\0';
    if (ask == NULL) return true;
    put_lease(e, l, &lease, e->set_args);
    return ask(b->ctx, &lease, why, size) == MPOL_OK;
}

bool en_backend_carries(struct mp_engine *e, const struct en_lease *l, char *why, size_t size)
{
    return says_yes(e, l, offsetof(struct mpol_backend_ops, carries), why, size);
}

bool en_backend_check(struct mp_engine *e, const struct en_lease *l, mp_str *why)
{
    char line[256];
    if (says_yes(e, l, offsetof(struct mpol_backend_ops, check), line, sizeof line)) return true;
    *why = en_manual_say(e, "%s",
                         line[0] != '\0' ? line : "no backend can do it with these arguments");
    return false;
}

static enum mpol_err apply(struct mp_engine *e, uint32_t backend)
{
    struct en_backend *b = &e->backends[backend];
    size_t count = 0;
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        if (!in_set(&e->leases[i], backend)) continue;
        put_lease(e, &e->leases[i], &e->set[count], &e->set_args[count * MP_LEASE_ARGS_MAX]);
        count++;
    }
    struct mpol_desired set = {.size = sizeof set, .revision = b->revision + 1,
                               .owner = e->owner_tag,
                               .now_wall_ns = e->now_ns, .leases = e->set, .lease_count = count};
    return b->ops->apply(b->ctx, &set);
}

/* ---- trouble ---- */

static uint32_t retry_id(const struct mp_engine *e, uint32_t backend)
{
    return e->limits.incidents + backend;
}

/* Both clocks of a backend are one moment. */
static void arm(struct mp_engine *e, uint32_t backend)
{
    const struct en_backend *b = &e->backends[backend];
    int64_t at = b->retry_mono_ns != 0 ? b->retry_mono_ns : MP_NEVER_NS;
    if (b->refused_mono_ns != 0 && b->refused_mono_ns < at) at = b->refused_mono_ns;
    en_heap_set(e, &e->monos, retry_id(e, backend), at);
}

static void retry_at(struct mp_engine *e, uint32_t backend, int64_t pause_ns)
{
    e->backends[backend].retry_mono_ns = e->mono_ns + pause_ns;
    arm(e, backend);
}

static int64_t pause_ns(uint32_t attempts)
{
    int64_t pause = 1000000000LL;
    for (uint32_t i = 1; i < attempts && pause < RETRY_MAX_NS; i++) pause *= 2;
    return pause < RETRY_MAX_NS ? pause : RETRY_MAX_NS;
}

static struct en_trouble *trouble_slot(const struct mp_engine *e, const struct en_lease *l)
{
    for (uint32_t i = 0; i < EN_TROUBLES_MAX; i++) {
        if (e->troubles[i].lease == l->l.id) return &e->troubles[i];
    }
    return NULL;
}

mp_str en_trouble_of(const struct mp_engine *e, const struct en_lease *l)
{
    const struct en_trouble *t = l->state == MP_LEASE_STUCK ? trouble_slot(e, l) : NULL;
    return t != NULL ? (mp_str){t->text, t->len} : MP_STR("");
}

void en_trouble_put(struct mp_engine *e, const struct en_lease *l, mp_str text)
{
    struct en_trouble *t = trouble_slot(e, l);
    if (t == NULL) t = &e->troubles[e->trouble_at++ % EN_TROUBLES_MAX];
    t->lease = l->l.id;
    t->len = 0;
    /* Whole characters: it is shown. */
    for (size_t n; t->len < text.len && (n = mp_str_utf8(text, t->len)) != 0;) {
        if (n > sizeof t->text - t->len) break;
        memcpy(t->text + t->len, text.ptr + t->len, n);
        t->len += (uint32_t)n;
    }
}

/* What the mesh said goes into the entry of the lease, and is kept for `why`. */
static void stuck(struct mp_engine *e, struct en_lease *l, enum mpol_err err, struct mpol_text text)
{
    mp_str what = mp_str_of(mp_err_text((enum mp_err)err)), words = {text.ptr, text.len};
    if (words.len > 0) en_cause(e, MP_STR("trouble"), words);
    en_lease_event(e, l, MP_LEASE_ON_TROUBLE, what);
    en_trouble_put(e, l, words.len > 0 ? words : what);
}

void en_lease_late(struct mp_engine *e, struct en_lease *l)
{
    struct mpol_progress now = {.size = sizeof now};
    mp_str what = MP_STR("not effective in time"), words = {NULL, 0};
    const struct en_backend *b = &e->backends[l->backend];
    if (b->ops->progress(b->ctx, &now) == MPOL_OK)
        words = (mp_str){now.trouble_text.ptr, now.trouble_text.len};
    if (words.len > 0) en_cause(e, MP_STR("trouble"), words);
    en_lease_event(e, l, MP_LEASE_ON_TROUBLE, what);
    en_trouble_put(e, l, words.len > 0 ? words : what);
}

#define OFFERS_MAX 64 /* LIMIT: leases that are offered one by one at one time */

/* There may be room again, so it is offered more often than a mesh that is away is asked. */
static int64_t refused_pause_ns(const struct en_backend *b)
{
    return pause_ns(b->refusals < 4 ? b->refusals : 4);
}

static bool in_flight(const struct en_backend *b, const struct en_lease *l, uint32_t backend)
{
    return l->backend == backend && l->state == MP_LEASE_APPLYING && l->revision > b->accepted;
}

static bool taken(struct mp_engine *e, uint32_t backend)
{
    struct en_backend *b = &e->backends[backend];
    if (apply(e, backend) != MPOL_OK) return false;
    b->revision++;
    b->dirty = false;
    return true;
}

/* The set was refused at once: each lease in it that is new is offered by itself, so that only
 * those stay out that are at fault. */
static void offer_each(struct mp_engine *e, uint32_t backend)
{
    int offers = 0;
    for (uint32_t i = e->lease_live; i != EN_NONE && offers < OFFERS_MAX;
         i = e->leases[i].next_live) {
        struct en_lease *l = &e->leases[i];
        if (!l->excluded || !in_flight(&e->backends[backend], l, backend)) continue;
        offers++;
        l->excluded = false;
        if (taken(e, backend)) {
            l->revision = e->backends[backend].revision;
            l->refused = false;
            en_lease_arbitrate(e, &l->l);
        } else {
            l->excluded = true;
        }
    }
}

/* What is new in the set is left out of it, so that the rest goes on, and with it what would have
 * had to make room. False: not even that is taken. */
static bool leave_out(struct mp_engine *e, uint32_t backend, bool at_once)
{
    struct en_backend *b = &e->backends[backend];
    bool any = false;
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        struct en_lease *l = &e->leases[i];
        if (!in_flight(b, l, backend) || !in_set(l, backend)) continue;
        l->excluded = l->refused = any = true;
        en_lease_arbitrate(e, &l->l);
    }
    if (!any || !taken(e, backend)) return false;
    if (at_once) offer_each(e, backend);
    b->refusals++;
    b->refused_mono_ns = e->mono_ns + refused_pause_ns(b);
    b->without = b->revision;
    b->settles_mono_ns = at_once ? 0 : e->mono_ns + pause_ns(1);
    arm(e, backend);
    return true;
}

void en_lease_leave_out(struct mp_engine *e, struct en_lease *l)
{
    struct en_backend *b = &e->backends[l->backend];
    l->excluded = true;
    if (b->refused_mono_ns == 0) b->refused_mono_ns = e->mono_ns + refused_pause_ns(b);
    arm(e, l->backend);
    stuck(e, l, MPOL_EAGAIN, mpol_text("it was refused before"));
}

/* The mesh is away, or will not have the set: told at once by `apply`, or later. What was not yet
 * accepted is stuck. Where the set itself is what is wrong, only what is at fault waits. */
static void trouble(struct mp_engine *e, uint32_t backend, enum mpol_err err, struct mpol_text text,
                    bool at_once)
{
    struct en_backend *b = &e->backends[backend];
    bool the_set = err == MPOL_EUNSUPPORTED || err == MPOL_ELIMIT || err == MPOL_EINVAL;
    bool goes_on = the_set && leave_out(e, backend, at_once);
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        struct en_lease *l = &e->leases[i];
        if (in_flight(b, l, backend) && (!goes_on || l->excluded)) stuck(e, l, err, text);
    }
    if (goes_on) return;
    b->attempts++;
    retry_at(e, backend, pause_ns(b->attempts));
}

/* The next one of those that are left out, in order of decision, and then from the start again. */
static struct en_lease *next_left_out(struct mp_engine *e, uint32_t backend, uint32_t *count)
{
    struct en_backend *b = &e->backends[backend];
    struct en_lease *first = NULL, *next = NULL;
    *count = 0;
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        struct en_lease *l = &e->leases[i];
        if (l->backend != backend || !l->excluded || l->state != MP_LEASE_STUCK) continue;
        ++*count;
        if (first == NULL || l->l.id < first->l.id) first = l;
        if (l->l.id > b->offered && (next == NULL || l->l.id < next->l.id)) next = l;
    }
    return next != NULL ? next : first;
}

/* One at a time: which of several was at fault is not known where the mesh said so later. */
static void offer_next(struct mp_engine *e, uint32_t backend)
{
    struct en_backend *b = &e->backends[backend];
    uint32_t count;
    struct en_lease *l = next_left_out(e, backend, &count);
    b->refused_mono_ns = count > 1 ? e->mono_ns + refused_pause_ns(b) : 0;
    if (l == NULL) return;
    b->offered = l->l.id;
    l->excluded = false;
    en_lease_event(e, l, MP_LEASE_ON_RETRY, MP_STR("retry"));
}

void en_backend_due(struct mp_engine *e, uint32_t backend)
{
    struct en_backend *b = &e->backends[backend];
    if (b->refused_mono_ns != 0 && b->refused_mono_ns <= e->mono_ns) offer_next(e, backend);
    if (b->retry_mono_ns > e->mono_ns) {
        arm(e, backend);
        return;
    }
    b->retry_mono_ns = 0;
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        struct en_lease *l = &e->leases[i];
        if (l->backend != backend || l->state != MP_LEASE_STUCK) continue;
        if (l->held || l->excluded || l->revision <= b->accepted) continue;
        en_lease_event(e, l, MP_LEASE_ON_RETRY, MP_STR("retry"));
    }
    arm(e, backend);
}

/* ---- progress ---- */

static bool send(struct mp_engine *e, uint32_t backend)
{
    struct en_backend *b = &e->backends[backend];
    if (!b->dirty || b->retry_mono_ns != 0) return false;
    enum mpol_err err = apply(e, backend);
    if (err == MPOL_EAGAIN) {
        retry_at(e, backend, RETRY_SOON_NS);
        return false;
    }
    if (err != MPOL_OK) {
        trouble(e, backend, err, (struct mpol_text){0}, true);
        return false;
    }
    b->revision++;
    b->dirty = false;
    return true;
}

/* They are in order of their ids. */
static const struct mpol_lease_trouble *held_of(const struct mpol_progress *now, uint64_t lease)
{
    size_t from = 0, to = now->held_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (now->held[middle].lease < lease) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from < now->held_count && now->held[from].lease == lease ? &now->held[from] : NULL;
}

/* Does it stop what is in force, or wait for what was never so? Where nobody is left nobody lets
 * anything through, so what was accepted stays what it is. */
static bool holds_up(const struct en_lease *l, const struct mpol_lease_trouble *t)
{
    switch (l->state) {
    case MP_LEASE_APPLYING: return true;
    case MP_LEASE_STUCK: return l->accepted_mono_ns == 0 || t->trouble != MPOL_EIO;
    case MP_LEASE_ACCEPTED:
    case MP_LEASE_EFFECTIVE: return t->trouble != MPOL_EIO;
    default: return false;
    }
}

/* Why it is held may be another reason now. Of more than are remembered only the last have one. */
static void word(struct mp_engine *e, struct en_lease *l, mp_str text)
{
    const struct en_trouble *t = trouble_slot(e, l);
    bool forgotten = t == NULL && l->worded;
    if (!forgotten && (t == NULL || !mp_str_eq((mp_str){t->text, t->len}, text)))
        en_trouble_put(e, l, text);
    l->worded = true;
}

/* What it would take from others comes back to them. */
static void hold(struct mp_engine *e, struct en_lease *l, const struct mpol_lease_trouble *t)
{
    mp_str text = t->text.len > 0 ? (mp_str){t->text.ptr, t->text.len}
                                  : mp_str_of(mp_err_text((enum mp_err)t->trouble));
    bool was = l->held && l->state == MP_LEASE_STUCK;
    if (!was && !holds_up(l, t)) return;
    l->held = true;
    if (l->state != MP_LEASE_STUCK) stuck(e, l, t->trouble, t->text);
    word(e, l, text);
    if (!was) en_lease_arbitrate(e, &l->l);
}

static void let_go(struct mp_engine *e, struct en_lease *l)
{
    l->held = l->worded = false;
    if (l->state == MP_LEASE_STUCK) en_lease_event(e, l, MP_LEASE_ON_RETRY, MP_STR("retry"));
    en_lease_arbitrate(e, &l->l);
}

/* Leases that nothing in the mesh can carry now wait by themselves: the set keeps them, so that
 * who comes later gets them at once. True: some wait no more, which is a new revision. */
static bool look_held(struct mp_engine *e, uint32_t backend, const struct mpol_progress *now)
{
    struct en_backend *b = &e->backends[backend];
    bool freed = false;
    if (now->held_count == 0 && !b->holds) return false;
    b->holds = false;
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        struct en_lease *l = &e->leases[i];
        if (l->backend != backend || l->excluded) continue;
        const struct mpol_lease_trouble *t = held_of(now, l->l.id);
        if (t != NULL) {
            hold(e, l, t);
        } else if (l->held && l->revision <= b->revision) { /* else it has not seen it yet */
            let_go(e, l);
            freed = true;
        }
        b->holds |= l->held;
    }
    return freed;
}

/* Everything is taken: the next refusal is the first one. */
static void forgive(struct mp_engine *e, uint32_t backend)
{
    uint32_t count;
    if (next_left_out(e, backend, &count) == NULL) e->backends[backend].refusals = 0;
}

static bool look(struct mp_engine *e, uint32_t backend)
{
    struct en_backend *b = &e->backends[backend];
    struct mpol_progress now = {.size = sizeof now};
    if (b->ops->progress(b->ctx, &now) != MPOL_OK) return false;
    if (now.accepted > b->accepted) {
        b->accepted = now.accepted;
        b->attempts = 0;
        if (b->refusals > 0 && b->accepted >= b->revision) forgive(e, backend);
    }
    if (now.effective > b->effective) b->effective = now.effective;
    if ((b->ops->flags & MPOL_BACKEND_UNPROVEN) != 0) b->effective = b->accepted;
    /* A slow mesh of a test is looked at again; live, whoever steps the engine does so every 10
     * ms. */
    if (b->ops == &en_prompt_ops && b->effective < b->revision && b->retry_mono_ns == 0) {
        en_heap_set(e, &e->monos, retry_id(e, backend), e->mono_ns + RETRY_SOON_NS);
    }
    bool settling = b->accepted < b->without && e->mono_ns < b->settles_mono_ns;
    if (now.trouble != MPOL_OK && !settling && b->retry_mono_ns == 0 && b->accepted < b->revision) {
        b->dirty = true; /* the same set again, when the pause is over */
        trouble(e, backend, now.trouble, now.trouble_text, false);
    }
    return look_held(e, backend, &now);
}

static bool unproven(const struct mp_engine *e, const struct en_lease *l)
{
    return (e->backends[l->backend].ops->flags & MPOL_BACKEND_UNPROVEN) != 0;
}

/* What its backend's progress means for one lease. True: it has moved. */
static bool move(struct mp_engine *e, struct en_lease *l)
{
    if (l->backend == EN_NONE) return false;
    const struct en_backend *b = &e->backends[l->backend];
    bool accepted = b->accepted >= l->revision, effective = b->effective >= l->revision;
    bool waits = l->state == MP_LEASE_STUCK && !l->excluded && !l->held;
    bool asked = l->state == MP_LEASE_APPLYING || (waits && l->accepted_mono_ns == 0);
    if (asked && accepted && e->committed >= l->applied_seq) {
        en_lease_event(e, l, MP_LEASE_ON_ACKNOWLEDGED, MP_STR(""));
        if (l->refused) {
            l->refused = false;
            en_lease_arbitrate(e, &l->l);
        }
        return true;
    }
    if (l->state == MP_LEASE_ACCEPTED && effective) {
        mp_str why = unproven(e, l) ? MP_STR("unproven") : MP_STR("");
        en_lease_event(e, l, MP_LEASE_ON_OBSERVED, why);
        return true;
    }
    if (waits && l->accepted_mono_ns != 0 && effective) {
        en_lease_event(e, l, MP_LEASE_ON_OBSERVED, MP_STR(""));
        return true;
    }
    if (l->state == MP_LEASE_WITHDRAWING && effective) {
        en_lease_event(e, l, MP_LEASE_ON_GONE, MP_STR(""));
        return true;
    }
    return false;
}

/* One lease that moves may free others, also the next one, and what comes before it may follow: it
 * is gone through until nothing moves. */
static bool move_all(struct mp_engine *e)
{
    bool moved = false;
    for (bool again = true; again && e->outstanding > 0;) {
        again = false;
        for (uint32_t i = e->lease_live; i != EN_NONE && e->outstanding > 0;) {
            struct en_lease *l = &e->leases[i];
            uint32_t next = l->next_live;
            if (move(e, l)) {
                moved = again = true;
                if (next != EN_NONE && !e->leases[next].used) next = e->lease_live;
            }
            i = next;
        }
    }
    return moved;
}

static bool is_dirty(const struct mp_engine *e)
{
    for (uint32_t i = 0; i < e->backend_count; i++) {
        if (e->backends[i].dirty && e->backends[i].retry_mono_ns == 0) return true;
    }
    return false;
}

void en_watch(struct mp_engine *e)
{
    size_t offset = offsetof(struct mpol_backend_ops, carries);
    for (uint32_t i = 0; i < e->backend_count && e->lease_used > 0; i++) {
        if (question_at(e->backends[i].ops, offset) != NULL) look(e, i);
    }
}

/* Every set is handed over whole, and every lease is looked at for it. Of many leases that is worth
 * a pause, or a flood of clients costs the square of their number: live, and beyond
 * EN_FLUSH_LEASES, it is done once in so long as it may take. */
static bool is_too_soon(struct mp_engine *e)
{
    if (e->options.clock != MP_ENGINE_LIVE || e->lease_used < EN_FLUSH_LEASES) return false;
    int64_t pause_ns = e->lease_used * EN_FLUSH_PAUSE_NS;
    if (e->flushed_mono_ns != 0 && e->mono_ns - e->flushed_mono_ns < pause_ns) return true;
    e->flushed_mono_ns = e->mono_ns;
    return false;
}

void en_flush(struct mp_engine *e)
{
    en_messages_pump(e);
    if ((e->outstanding == 0 && !is_dirty(e)) || is_too_soon(e)) return;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        bool moved = false;
        for (uint32_t i = 0; i < e->backend_count; i++) {
            moved |= send(e, i);
            moved |= look(e, i);
        }
        moved |= move_all(e);
        if (!moved) break;
    }
    en_messages_pump(e);
}
