/* SPDX-License-Identifier: Apache-2.0
 * Keeping and restoring: a row a case, a lease, a message, a clock, and an admission. The same rows
 * carry the state over a restart and over a change of program (R50): names and values, no row
 * numbers of a program, no pointers. A row's id is its slot, and it comes back into that slot.
 *
 * Moments on the monotonic clock are kept as their rest and as wall-clock time, and come back as
 * the smaller one (R25).
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

#define VERSION 1
#define ROW_MAX 8192
#define META_ADMISSIONS 16 /* META rows from this id on are admissions, by number */

/* ---- bytes ---- */

struct out {
    char *at, *end;
};

static void put(struct out *o, const void *bytes, size_t len)
{
    MP_ASSERT((size_t)(o->end - o->at) >= len);
    memcpy(o->at, bytes, len);
    o->at += len;
}

static void put_u64(struct out *o, uint64_t n)
{
    unsigned char b[8];
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)(n >> (8 * i));
    put(o, b, 8);
}

static void put_i64(struct out *o, int64_t n) { put_u64(o, (uint64_t)n); }
static void put_u8(struct out *o, uint8_t n) { put(o, &n, 1); }

static void put_text(struct out *o, mp_str s)
{
    put_u64(o, s.len);
    put(o, s.ptr, s.len);
}

static void put_value(struct out *o, uint32_t type, struct mp_value v)
{
    put_u8(o, (uint8_t)mp_type_rep((enum mp_type)type));
    if (mp_type_rep((enum mp_type)type) == MP_REP_T) {
        put_text(o, mp_value_as_text(&v));
    } else {
        put(o, v.w, sizeof v.w);
    }
}

struct in {
    const char *at, *end;
    bool bad;
};

static void get(struct in *i, void *bytes, size_t len)
{
    if (i->bad || (size_t)(i->end - i->at) < len) {
        i->bad = true;
        memset(bytes, 0, len);
        return;
    }
    memcpy(bytes, i->at, len);
    i->at += len;
}

static uint64_t get_u64(struct in *i)
{
    unsigned char b[8];
    uint64_t n = 0;
    get(i, b, 8);
    for (int k = 0; k < 8; k++) n |= (uint64_t)b[k] << (8 * k);
    return n;
}

static int64_t get_i64(struct in *i) { return (int64_t)get_u64(i); }

/* A moment or a length of time: what is beyond two centuries would overflow where it is added to
 * another, and was never written by us. */
#define TIME_MAX (INT64_C(1) << 62)

static int64_t get_time(struct in *i)
{
    int64_t t = get_i64(i);
    if (t == MP_NEVER_NS || (t > -TIME_MAX && t < TIME_MAX)) return t;
    i->bad = true;
    return 0;
}

static int64_t get_span(struct in *i)
{
    int64_t t = get_time(i);
    if (t < 0 || t == MP_NEVER_NS) i->bad = true;
    return i->bad ? 0 : t;
}

static uint8_t get_u8(struct in *i)
{
    uint8_t n;
    get(i, &n, 1);
    return n;
}

/* Borrows the row. */
static mp_str get_text(struct in *i, size_t max)
{
    uint64_t len = get_u64(i);
    if (i->bad || len > max || len > (uint64_t)(i->end - i->at)) {
        i->bad = true;
        return (mp_str){"", 0};
    }
    mp_str s = {i->at, (size_t)len};
    i->at += len;
    return s;
}

static struct mp_value get_value(struct in *i, enum mp_rep *rep)
{
    struct mp_value v = {{0, 0}};
    *rep = (enum mp_rep)get_u8(i);
    if (*rep == MP_REP_T) return mp_value_text(get_text(i, ROW_MAX));
    get(i, v.w, sizeof v.w);
    return v;
}

/* ---- clocks ---- */

static void put_hold(struct out *o, const struct mp_hold *h)
{
    put_i64(o, h->held_ns);
    put_i64(o, h->at_ns);
    put_i64(o, h->unknown_ns);
    put_u8(o, h->last);
}

static struct mp_hold get_hold(struct in *i)
{
    struct mp_hold h;
    h.held_ns = get_span(i);
    h.at_ns = get_span(i);
    h.unknown_ns = get_span(i);
    h.last = get_u8(i);
    if (h.last > MP_UNKNOWN) i->bad = true;
    return h;
}

/* A row is written when a truth changes, so what was true stayed so until the last thing that was
 * kept. What happened after that, while nobody looked, is unknown: that pauses a clock. */
void en_hold_pause(struct mp_hold *h, int64_t stopped_ns)
{
    if (h->last != MP_TRUE) return;
    h->held_ns += stopped_ns > h->at_ns ? stopped_ns - h->at_ns : 0;
    h->at_ns = h->unknown_ns = stopped_ns;
    h->last = MP_UNKNOWN;
}

static void put_run(struct out *o, const struct mp_run *r)
{
    put_i64(o, r->since_ns);
    put_u8(o, r->on);
}

static struct mp_run get_run(struct in *i)
{
    struct mp_run r;
    r.since_ns = get_span(i);
    r.on = get_u8(i) != 0;
    return r;
}

static void put_mono(struct mp_engine *e, struct out *o, int64_t at)
{
    put_u8(o, at != 0);
    put_i64(o, at == 0 ? 0 : at - e->mono_ns);
    put_i64(o, at == 0 ? 0 : e->now_ns + (at - e->mono_ns));
}

static int64_t get_mono(struct mp_engine *e, struct in *i)
{
    bool runs = get_u8(i) != 0;
    int64_t rest = get_time(i), wall_rest = get_time(i) - e->now_ns;
    if (!runs || i->bad) return 0;
    if (wall_rest < rest) rest = wall_rest;
    if (rest < 0) rest = 0;
    return e->mono_ns + rest > 0 ? e->mono_ns + rest : 1;
}

/* ---- whose ---- */

#define BY_HAND "@operator" /* in place of a package: none can be called so */

static void put_rule(struct mp_engine *e, struct out *o, uint32_t rule)
{
    if (rule == EN_MANUAL) {
        put_text(o, MP_STR(BY_HAND));
        put_text(o, en_rule_name(e, rule));
        for (int i = 0; i < 4; i++) put_i64(o, 0);
        return;
    }
    const struct mp_rule_row *r = &e->p->rule[rule];
    put_text(o, mp_program_text(e->p, r->package));
    put_text(o, mp_program_text(e->p, r->name));
    put_i64(o, r->mark_trigger);
    put_i64(o, r->mark_trigger_shape);
    put_i64(o, r->mark_ladder);
    put_i64(o, r->mark_until);
}

struct whose {
    mp_str package, name;
    int64_t trigger, shape, ladder, until;
    uint32_t rule; /* MP_NONE: gone, or an operator's */
    bool manual;
};

static int compare_rule(const struct mp_program *p, uint32_t rule, mp_str package, mp_str name)
{
    int order = mp_str_cmp(mp_program_text(p, p->rule[rule].package), package);
    return order != 0 ? order : mp_str_cmp(mp_program_text(p, p->rule[rule].name), name);
}

/* Rules are sorted by package and name. */
uint32_t en_find_rule(const struct mp_program *p, mp_str package, mp_str name)
{
    uint32_t from = 0, to = p->rule_count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int order = compare_rule(p, middle, package, name);
        if (order == 0) return middle;
        if (order < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return MP_NONE;
}

static struct whose get_rule(struct mp_engine *e, struct in *i)
{
    struct whose w;
    w.package = get_text(i, 1024);
    w.name = get_text(i, 1024);
    w.trigger = get_i64(i);
    w.shape = get_i64(i);
    w.ladder = get_i64(i);
    w.until = get_i64(i);
    w.manual = mp_str_eq(w.package, MP_STR(BY_HAND));
    w.rule = w.manual ? EN_MANUAL : en_find_rule(e->p, w.package, w.name);
    return w;
}

static void put_key(struct mp_engine *e, struct out *o, uint32_t grouping, uint32_t key)
{
    if (grouping == MP_NONE) { /* of an operator's decision: its text is its key */
        put_u8(o, 0);
        return;
    }
    const struct mp_grouping_row *g = &e->p->grouping[grouping];
    const struct mp_value *values = mp_window_key(e->window, grouping, key);
    put_u8(o, (uint8_t)g->keys_count);
    for (uint32_t i = 0; i < g->keys_count; i++) {
        put_value(o, e->p->group_key[g->keys_at + i].type, values[i]);
    }
}

#define KEYS_MAX 16

/* The slot of the key in a grouping, born if need be; MP_NONE: it is no key of this grouping. */
static uint32_t get_key(struct mp_engine *e, struct in *i, uint32_t grouping)
{
    struct mp_value values[KEYS_MAX];
    uint32_t count = get_u8(i);
    bool fits = grouping != MP_NONE && count <= KEYS_MAX;
    fits = fits && count == e->p->grouping[grouping].keys_count;
    for (uint32_t k = 0; k < count && !i->bad; k++) {
        enum mp_rep rep;
        struct mp_value v = get_value(i, &rep);
        if (k < KEYS_MAX) values[k] = v;
        if (!fits) continue;
        uint32_t type = e->p->group_key[e->p->grouping[grouping].keys_at + k].type;
        fits = rep == mp_type_rep((enum mp_type)type);
    }
    bool fresh;
    if (i->bad || !fits) return MP_NONE;
    return mp_window_birth(e->window, grouping, values, &fresh);
}

/* ---- cases ---- */

static void put_case(struct mp_engine *e, struct out *o, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    put_u8(o, VERSION);
    put_rule(e, o, c->rule);
    put_text(o, en_case_key(e, c));
    put_u8(o, c->state);
    put_u64(o, c->id);
    put_u64(o, c->rung);
    put_key(e, o, c->grouping, c->key);
    put_u8(o, c->shadow);
    put_u8(o, c->armed);
    put_u8(o, c->was_false);
    put_u8(o, c->by_until);
    put_u8(o, c->told);
    put_u8(o, c->cause);
    put_u64(o, c->step == MP_NONE ? 0 : c->step - r->steps_at + 1);
    put_i64(o, e->now_ns);
    put_i64(o, c->since_ns);
    put_i64(o, c->opened_ns);
    put_hold(o, &c->trigger);
    put_hold(o, &c->unless);
    put_hold(o, &c->harm);
    put_run(o, &c->until);
    put_i64(o, c->until_from_ns);
    put_i64(o, c->check.from_ns);
    put_i64(o, c->check.to_ns);
    put_i64(o, c->check.hold_ns);
    put_i64(o, c->effective_ns);
    put_mono(e, o, c->ends_mono_ns);
    put_mono(e, o, c->cool_mono_ns);
    put_u64(o, c->ramp_step);
    put_mono(e, o, c->ramp_mono_ns);
    put_u8(o, (uint8_t)c->at_trigger_count);
    for (uint32_t i = 0; i < c->at_trigger_count; i++) {
        uint32_t fn = e->p->clause[r->at_triggers_at + i].fn;
        bool known = ((c->at_trigger_known >> i) & 1) != 0;
        put_u8(o, known);
        if (known) put_value(o, e->p->out[e->p->fn[fn].outs_at].type, c->at_trigger[i]);
    }
    if (!en_is_manual(c)) return;
    put_text(o, en_manual_who(e, c));
    put_text(o, en_manual_reason(e, c));
}

/* What is left of a rule that is gone: it is told once, when everything is back. */
static void remember_gone(struct mp_engine *e, const struct en_gone *gone, mp_str rule, mp_str key,
                          mp_str verb, mp_str target)
{
    if (e->gone_count == EN_GONE_MAX) return;
    struct en_gone *g = &e->gone[e->gone_count++];
    *g = *gone;
    g->rule = mp_arena_str(&e->gone_arena, rule);
    g->key = mp_arena_str(&e->gone_arena, key);
    g->verb = mp_arena_str(&e->gone_arena, verb);
    g->target = mp_arena_str(&e->gone_arena, target);
}

/* How the rule reads expression `k` of its at_triggers; N: it has none. */
static enum mp_rep trigger_rep(const struct mp_program *p, const struct mp_rule_row *r, uint32_t k)
{
    if (k >= r->at_triggers_count) return MP_REP_N;
    const struct mp_fn_row *fn = &p->fn[p->clause[r->at_triggers_at + k].fn];
    return mp_type_rep((enum mp_type)p->out[fn->outs_at].type);
}

static void restore_triggers(struct mp_engine *e, struct in *i, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    uint32_t count = get_u8(i);
    if (count > EN_TRIGGERS_MAX) i->bad = true;
    for (uint32_t k = 0; k < count && !i->bad; k++) {
        enum mp_rep rep;
        if (get_u8(i) == 0) continue;
        struct mp_value v = get_value(i, &rep);
        if (rep != trigger_rep(e->p, r, k)) continue; /* a changed rule remembers something else */
        mp_str text = rep == MP_REP_T ? mp_value_as_text(&v) : (mp_str){"", 0};
        if (text.len > MP_TEXT_INLINE) {
            if (text.len > EN_TRIGGER_TEXT_MAX - c->text_len) continue;
            memcpy(c->text + c->text_len, text.ptr, text.len);
            v = mp_value_text((mp_str){c->text + c->text_len, text.len});
            c->text_len += (uint32_t)text.len;
        }
        c->at_trigger[k] = v;
        c->at_trigger_known |= 1u << k;
    }
    c->at_trigger_count = count < r->at_triggers_count ? count : r->at_triggers_count;
}

/* R50: what a change of the rule's parts does to a case of it. */
static void apply_marks(struct mp_engine *e, struct en_case *c, const struct whose *w,
                        uint64_t step)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    if (w->trigger != r->mark_trigger && w->shape != r->mark_trigger_shape) {
        c->trigger = (struct mp_hold){.last = c->trigger.last == MP_TRUE ? MP_UNKNOWN : MP_FALSE,
                                      .unknown_ns = e->now_ns};
    }
    c->marked = w->trigger != r->mark_trigger;
    c->step = step == 0 ? MP_NONE : r->steps_at + (uint32_t)step - 1;
    if (step > r->steps_count) c->step = r->steps_at + r->steps_count - 1;
    c->ladder_changed = w->ladder != r->mark_ladder || step > r->steps_count;
    if (w->until != r->mark_until && c->until_from_ns != MP_NEVER_NS) {
        c->until = (struct mp_run){0};
        c->until_from_ns = e->now_ns;
    }
}

static void restore_manual(struct mp_engine *e, struct in *i, struct en_case *c)
{
    mp_str who = get_text(i, MP_MANUAL_WHO_MAX), reason = get_text(i, MP_MANUAL_REASON_MAX);
    if (!i->bad) c->manual = en_manual_put(e, who, reason);
    if (!i->bad && c->manual == EN_NONE) i->bad = true; /* there are never so many */
}

static enum mp_err restore_case(struct mp_engine *e, uint64_t id, struct in *i)
{
    struct whose w = get_rule(e, i);
    mp_str key_text = get_text(i, EN_KEY_TEXT_MAX);
    uint8_t state = get_u8(i);
    uint64_t incident = get_u64(i), rung = get_u64(i);
    uint32_t grouping = w.rule == MP_NONE ? MP_NONE : e->p->rule[w.rule].grouping;
    uint32_t key = get_key(e, i, grouping);
    if (i->bad || state >= MP_INCIDENT_STATE_COUNT) return MP_ECORRUPT;
    if (id == 0 || id > e->limits.incidents) return MP_ELIMIT;
    struct en_case *slot = &e->cases[id - 1];
    bool alive = w.rule != MP_NONE && key != MP_NONE && e->p->rule[w.rule].kind == MP_RULE_LOOP;
    if (!alive && !w.manual) {
        slot->dirty = true; /* the row goes */
        struct en_gone gone = {.incident = incident, .rung = (uint32_t)rung, .state = state};
        if (incident != 0) remember_gone(e, &gone, w.name, key_text, (mp_str){0}, (mp_str){0});
        return MP_OK;
    }
    if (slot->used) return MP_ECORRUPT;
    struct en_case c = {.rule = w.rule,
                        .grouping = grouping,
                        .key = key,
                        .used = true,
                        .dirty = true,
                        .state = state,
                        .id = incident,
                        .rung = (uint32_t)rung,
                        .leases = EN_NONE,
                        .last_lease = EN_NONE,
                        .manual = EN_NONE};
    c.shadow = get_u8(i) != 0;
    c.armed = get_u8(i) != 0;
    c.was_false = get_u8(i) != 0;
    c.by_until = get_u8(i) != 0;
    c.told = get_u8(i) != 0;
    c.cause = get_u8(i);
    uint64_t step = get_u64(i);
    int64_t stopped_ns = get_span(i);
    c.since_ns = get_span(i);
    c.opened_ns = get_span(i);
    c.trigger = get_hold(i);
    c.unless = get_hold(i);
    c.harm = get_hold(i);
    c.until = get_run(i);
    c.until_from_ns = get_time(i);
    c.check.from_ns = get_span(i);
    c.check.to_ns = get_span(i);
    c.check.hold_ns = get_span(i);
    c.effective_ns = get_span(i);
    c.ends_mono_ns = get_mono(e, i);
    c.cool_mono_ns = get_mono(e, i);
    c.ramp_step = (uint32_t)get_u64(i);
    c.ramp_mono_ns = get_mono(e, i);
    c.key_len = (uint32_t)key_text.len;
    memcpy(c.key_text, key_text.ptr, key_text.len);
    if (c.cause > EN_CAUSE_DONE || c.check.from_ns > c.check.to_ns) i->bad = true;
    bool needs_step = state >= MP_INCIDENT_OPEN && state <= MP_INCIDENT_RELEASING;
    if (i->bad || (needs_step && step == 0 && !w.manual)) return MP_ECORRUPT;
    if (w.manual && (step != 0 || key_text.len == 0)) return MP_ECORRUPT;
    apply_marks(e, &c, &w, step);
    if (stopped_ns > e->kept_ns) e->kept_ns = stopped_ns;
    *slot = c;
    restore_triggers(e, i, slot);
    if (w.manual) restore_manual(e, i, slot);
    if (i->bad) {
        slot->used = false;
        return MP_ECORRUPT;
    }
    en_case_adopt(e, slot);
    return MP_OK;
}

/* ---- leases ---- */

static void put_lease(struct mp_engine *e, struct out *o, const struct en_lease *l)
{
    const struct mp_action_row *action = &e->p->action[l->l.action];
    put_u8(o, VERSION);
    put_u64(o, l->owner);
    put_u64(o, l->l.id);
    put_u64(o, l->l.incident);
    put_u64(o, l->l.rung);
    put_u8(o, l->state);
    put_u8(o, l->l.shadow);
    put_text(o, en_rule_name(e, l->l.rule));
    put_text(o, mp_program_text(e->p, action->name));
    put_text(o, (mp_str){l->target_text, l->target_len});
    put_u64(o, l->l.strength);
    put_i64(o, l->l.priority);
    put_u64(o, l->l.hooks);
    put_i64(o, l->l.ttl_ns);
    put_u64(o, (uint64_t)(l->l.given_back * 1e9));
    put_u8(o, l->accepted_mono_ns != 0);
    put_mono(e, o, l->ends_mono_ns);
    put_text(o, l->l.target.entity == MP_NONE
                    ? (mp_str){"", 0}
                    : mp_program_text(e->p, e->p->entity[l->l.target.entity].name));
    put_u8(o, (uint8_t)l->l.target.type);
    put_value(o, l->l.target.type, l->l.target.value);
    put_u8(o, (uint8_t)l->l.arg_count);
    for (uint32_t i = 0; i < l->l.arg_count; i++) {
        put_text(o, l->l.args[i].name);
        put_u8(o, (uint8_t)l->l.args[i].type);
        put_value(o, l->l.args[i].type, l->l.args[i].value);
    }
    if (l->l.target.type == MP_TYPE_CIDR) put_u64(o, l->l.target.bits);
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

static bool own_text(struct mp_lease *l, struct mp_value *v)
{
    mp_str text = mp_value_as_text(v);
    if (text.len <= MP_TEXT_INLINE) return true;
    if (text.len > MP_LEASE_TEXT_MAX - l->text_len) return false;
    char *at = l->text + l->text_len;
    memcpy(at, text.ptr, text.len);
    l->text_len += (uint32_t)text.len;
    *v = mp_value_text((mp_str){at, text.len});
    return true;
}

static bool get_typed(struct in *i, struct mp_lease *l, uint32_t *type, struct mp_value *v)
{
    enum mp_rep rep;
    *type = get_u8(i);
    *v = get_value(i, &rep);
    if (i->bad || *type >= MP_TYPE_COUNT || rep != mp_type_rep((enum mp_type)*type)) return false;
    return rep != MP_REP_T || own_text(l, v);
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

static void get_args(struct mp_engine *e, struct in *i, struct mp_lease *l)
{
    uint32_t count = get_u8(i);
    if (count > MP_LEASE_ARGS_MAX) i->bad = true;
    for (uint32_t k = 0; k < count && !i->bad; k++) {
        struct mp_lease_arg arg = {.name = arg_name(e->p, get_text(i, 256)), .known = true};
        if (!get_typed(i, l, &arg.type, &arg.value)) i->bad = true;
        if (arg.name.len > 0) l->args[l->arg_count++] = arg;
    }
}

/* What comes from the store is durable. What comes from the program before may be on its way
 * there: it is durable when all is that was entered so far. */
static uint64_t durable_with(const struct mp_engine *e)
{
    return e->swapping ? mp_ledger_seq(e->ledger) : 0;
}

static enum mp_err restore_lease(struct mp_engine *e, uint64_t id, struct in *i)
{
    if (id == 0 || id > e->limits.leases) return MP_ELIMIT;
    struct en_lease *l = &e->leases[id - 1];
    if (l->used) return MP_ECORRUPT;
    memset(l, 0, sizeof *l);
    l->next = l->next_live = EN_NONE;
    l->dirty = true;
    l->owner = (uint32_t)get_u64(i);
    l->l.id = get_u64(i);
    l->l.incident = get_u64(i);
    l->l.rung = (uint32_t)get_u64(i);
    l->state = get_u8(i);
    l->l.shadow = get_u8(i) != 0;
    mp_str rule = get_text(i, 1024), verb = get_text(i, 1024);
    mp_str target = get_text(i, EN_KEY_TEXT_MAX);
    l->l.strength = (uint32_t)get_u64(i);
    l->l.priority = get_i64(i);
    l->l.hooks = (uint32_t)get_u64(i);
    l->l.ttl_ns = get_span(i);
    l->l.given_back = (double)get_u64(i) / 1e9;
    bool accepted = get_u8(i) != 0;
    l->ends_mono_ns = get_mono(e, i);
    mp_str entity = get_text(i, 1024);
    l->l.target.kind = MP_TARGET_LEASE;
    l->l.target.entity = find_entity(e->p, entity);
    if (!get_typed(i, &l->l, &l->l.target.type, &l->l.target.value)) i->bad = true;
    get_args(e, i, &l->l);
    if (l->l.target.type == MP_TYPE_CIDR) l->l.target.bits = (uint32_t)get_u64(i);
    if (l->l.target.bits > 127) i->bad = true;
    if (i->bad || l->state >= MP_LEASE_STATE_COUNT) return MP_ECORRUPT;
    if (l->owner >= e->limits.incidents) return MP_ECORRUPT;
    l->applied_seq = durable_with(e);
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
    remember_gone(e, &gone, rule, (mp_str){0}, verb, target);
    return MP_OK;
}

/* ---- messages, nested holds, numbers ---- */

static void put_message(struct mp_engine *e, struct out *o, const struct en_message *m)
{
    put_u8(o, VERSION);
    put_u8(o, m->state);
    put_u64(o, m->id);
    put_u64(o, m->incident);
    put_u64(o, m->rung);
    put_u64(o, m->owner);
    put_i64(o, m->time_ns);
    put_u8(o, m->stuck);
    put_text(o, mp_program_text(e->p, e->p->rule[m->rule].package));
    put_text(o, en_rule_name(e, m->rule));
    put_text(o, mp_program_text(e->p, e->p->action[e->p->act[m->act].action].name));
    put_text(o, mp_program_text(e->p, e->p->act[m->act].via));
    put_text(o, (mp_str){m->key_text, m->key_len});
    put_text(o, (mp_str){m->text, m->text_len});
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

static enum mp_err restore_message(struct mp_engine *e, uint64_t id, struct in *i)
{
    if (id == 0 || id > e->limits.messages) return MP_ELIMIT;
    struct en_message *m = &e->messages[id - 1];
    if (m->state != EN_MAIL_FREE) return MP_ECORRUPT;
    struct en_message out = {.dirty = true};
    out.state = get_u8(i);
    out.id = get_u64(i);
    out.incident = get_u64(i);
    out.rung = (uint32_t)get_u64(i);
    out.owner = (uint32_t)get_u64(i);
    out.time_ns = get_span(i);
    out.stuck = get_u8(i) != 0;
    mp_str package = get_text(i, 1024), name = get_text(i, 1024), verb = get_text(i, 1024);
    mp_str via = get_text(i, 1024), key = get_text(i, EN_KEY_TEXT_MAX);
    mp_str text = get_text(i, EN_MESSAGE_TEXT_MAX);
    if (i->bad || out.state > EN_MAIL_SENT || out.state == EN_MAIL_FREE) return MP_ECORRUPT;
    if (out.state == EN_MAIL_SENT && !e->swapping) out.state = EN_MAIL_QUEUED; /* at least once */
    out.seq = durable_with(e);
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

static void put_clock(struct mp_engine *e, struct out *o, const struct en_clock *c)
{
    put_u8(o, VERSION);
    put_u64(o, e->p->digest);
    put_u64(o, c->hold);
    put_key(e, o, e->p->hold[c->hold].grouping, c->key);
    put_i64(o, e->now_ns);
    put_hold(o, &c->h);
}

/* A nested hold has no name: another program begins it anew. */
static enum mp_err restore_clock(struct mp_engine *e, uint64_t id, struct in *i)
{
    if (id == 0 || id > e->limits.holds) return MP_ELIMIT;
    e->clocks[id - 1].dirty = true;
    uint64_t digest = get_u64(i), hold = get_u64(i);
    if (i->bad) return MP_ECORRUPT;
    if (digest != e->p->digest || hold >= e->p->hold_count) return MP_OK;
    uint32_t key = get_key(e, i, e->p->hold[hold].grouping);
    int64_t stopped_ns = get_span(i);
    struct mp_hold h = get_hold(i);
    if (i->bad) return MP_ECORRUPT;
    if (key == MP_NONE) return MP_OK;
    if (stopped_ns > e->kept_ns) e->kept_ns = stopped_ns;
    e->clocks[id - 1] =
        (struct en_clock){.hold = (uint32_t)hold, .key = key, .used = true, .dirty = true, .h = h};
    en_clock_adopt(e, &e->clocks[id - 1]);
    return MP_OK;
}

static void put_meta(struct mp_engine *e, struct out *o)
{
    put_u8(o, VERSION);
    put_u64(o, e->next_incident);
    put_u64(o, e->next_lease);
    put_u8(o, e->braked);
}

/* An engine that is idle changes nothing, and then nothing may be written. */
static bool meta_changed(struct mp_engine *e)
{
    struct en_meta now = {e->next_incident, e->next_lease, e->braked};
    bool same = now.next_incident == e->meta_told.next_incident &&
                now.next_lease == e->meta_told.next_lease && now.braked == e->meta_told.braked;
    e->meta_told = now;
    return !same;
}

static void put_admitted(struct out *o, uint64_t n, const struct mp_admitted *a)
{
    put_u8(o, VERSION);
    put_u64(o, n);
    put_i64(o, a->time_ns);
    put_u64(o, a->quota);
    put_u64(o, a->target);
    put_u64(o, a->per);
    put_u8(o, a->shadow);
}

static enum mp_err restore_meta(struct mp_engine *e, uint64_t id, struct in *i)
{
    if (id >= META_ADMISSIONS) {
        uint64_t n = get_u64(i);
        struct mp_admitted a = {.time_ns = get_span(i)};
        a.quota = get_u64(i);
        a.target = get_u64(i);
        a.per = get_u64(i);
        a.shadow = get_u8(i) != 0;
        if (i->bad) return MP_ECORRUPT;
        mp_decide_restore(e->decide, n, &a);
        if (n >= e->admissions_told) e->admissions_told = n + 1;
        return MP_OK;
    }
    uint64_t incident = get_u64(i), lease = get_u64(i);
    bool braked = get_u8(i) != 0;
    if (i->bad) return MP_ECORRUPT;
    e->next_incident = incident;
    e->next_lease = lease;
    e->braked = braked;
    e->meta_restored = true;
    return MP_OK;
}

/* ---- telling ---- */

static void tell(struct mp_engine *e, enum mp_row_kind kind, uint64_t id, const struct out *o,
                 void *ctx, void (*row)(void *ctx, const struct mp_state_row *row))
{
    size_t len = o == NULL ? 0 : (size_t)(o->at - e->words);
    struct mp_state_row r = {kind, id, {e->words, len}};
    row(ctx, &r);
}

static struct out empty_row(struct mp_engine *e)
{
    return (struct out){e->words, e->words + EN_WORDS_BYTES};
}

static void tell_meta(struct mp_engine *e, void *ctx,
                      void (*row)(void *ctx, const struct mp_state_row *row))
{
    struct out o = empty_row(e);
    if (meta_changed(e)) {
        put_meta(e, &o);
        tell(e, MP_ROW_META, 1, &o, ctx, row);
    }
    for (; e->admissions_told < mp_decide_noted(e->decide); e->admissions_told++) {
        struct mp_admitted a;
        if (!mp_decide_admitted(e->decide, e->admissions_told, &a)) continue;
        o = empty_row(e);
        put_admitted(&o, e->admissions_told, &a);
        uint64_t id = META_ADMISSIONS + e->admissions_told % e->limits.admissions;
        tell(e, MP_ROW_META, id, &o, ctx, row);
    }
}

static void tell_all(struct mp_engine *e, bool everything, void *ctx,
                     void (*row)(void *ctx, const struct mp_state_row *row))
{
    struct out o;
    /* The brake is asked apart: taken off, it would cancel out one entry in a sum. */
    uint64_t mark = mp_ledger_seq(e->ledger) + e->truth_total + e->clock_total;
    if (!everything && mark == e->told_mark && e->braked == e->meta_told.braked) return;
    if (!everything) e->told_mark = mark;
    if (!everything) tell_meta(e, ctx, row); /* another program does not change the numbers */
#define TELL(array, limit, is_used, kind, write)                                                   \
    for (uint32_t i = 0; i < (limit); i++) {                                                       \
        if (!(array)[i].dirty && !(everything && (is_used))) continue;                             \
        if (!everything) (array)[i].dirty = false;                                                 \
        if (is_used) {                                                                             \
            o = empty_row(e);                                                                      \
            write(e, &o, &(array)[i]);                                                             \
            tell(e, kind, i + 1, &o, ctx, row);                                                    \
        } else if (!everything) {                                                                  \
            tell(e, kind, i + 1, NULL, ctx, row);                                                  \
        }                                                                                          \
    }
    TELL(e->cases, e->limits.incidents, e->cases[i].used, MP_ROW_INCIDENT, put_case)
    TELL(e->leases, e->limits.leases, e->leases[i].used, MP_ROW_LEASE, put_lease)
    TELL(e->messages, e->limits.messages, e->messages[i].state != EN_MAIL_FREE, MP_ROW_MESSAGE,
         put_message)
    TELL(e->clocks, e->limits.holds, e->clocks[i].used, MP_ROW_HOLD, put_clock)
#undef TELL
    en_entry_begin(e);
}

void mp_engine_changes(struct mp_engine *e, void *ctx,
                       void (*row)(void *ctx, const struct mp_state_row *row))
{
    tell_all(e, false, ctx, row);
}

void en_state_tell(struct mp_engine *e, void *ctx,
                   void (*row)(void *ctx, const struct mp_state_row *row))
{
    tell_all(e, true, ctx, row);
}

enum mp_err mp_engine_restore(struct mp_engine *e, const struct mp_state_row *row)
{
    struct in i = {row->bytes.ptr, row->bytes.ptr + row->bytes.len, false};
    e->restoring = true;
    if (get_u8(&i) != VERSION) return MP_ECORRUPT;
    switch (row->kind) {
    case MP_ROW_META: return restore_meta(e, row->id, &i);
    case MP_ROW_INCIDENT: return restore_case(e, row->id, &i);
    case MP_ROW_LEASE: return restore_lease(e, row->id, &i);
    case MP_ROW_MESSAGE: return restore_message(e, row->id, &i);
    case MP_ROW_HOLD: return restore_clock(e, row->id, &i);
    }
    return MP_ECORRUPT;
}
