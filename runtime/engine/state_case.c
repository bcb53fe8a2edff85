/* SPDX-License-Identifier: Apache-2.0
 * The row of a case: whose it is, how far it has come, its clocks, and what it remembers of its
 * trigger.
 */
#include "engine/state_priv.h"

#include "base/assert.h"

/* ---- whose ---- */

/* In place of a package: none can be called so. */
#define BY_HAND "@operator"
#define BY_MESH "@mesh"

static void put_rule(struct mp_engine *e, struct en_out *o, uint32_t rule)
{
    if (rule >= EN_NACK) {
        en_put_text(o, rule == EN_MANUAL ? MP_STR(BY_HAND) : MP_STR(BY_MESH));
        en_put_text(o, en_rule_name(e, rule));
        for (int i = 0; i < 4; i++) en_put_i64(o, 0);
        return;
    }
    const struct mp_rule_row *r = &e->p->rule[rule];
    en_put_text(o, mp_program_text(e->p, r->package));
    en_put_text(o, mp_program_text(e->p, r->name));
    en_put_i64(o, r->mark_trigger);
    en_put_i64(o, r->mark_trigger_shape);
    en_put_i64(o, r->mark_ladder);
    en_put_i64(o, r->mark_until);
}

struct whose {
    mp_str package, name;
    int64_t trigger, shape, ladder, until;
    uint32_t rule;
    bool gone, ruleless;
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

static struct whose get_rule(struct mp_engine *e, struct en_in *i)
{
    struct whose w;
    w.package = en_get_text(i, 1024);
    w.name = en_get_text(i, 1024);
    w.trigger = en_get_i64(i);
    w.shape = en_get_i64(i);
    w.ladder = en_get_i64(i);
    w.until = en_get_i64(i);
    bool by_mesh = mp_str_eq(w.package, MP_STR(BY_MESH));
    w.ruleless = by_mesh || mp_str_eq(w.package, MP_STR(BY_HAND));
    w.rule = by_mesh      ? EN_NACK
             : w.ruleless ? EN_MANUAL
                          : en_find_rule(e->p, w.package, w.name);
    w.gone = w.rule == MP_NONE && !w.ruleless;
    return w;
}

/* ---- cases ---- */

void en_put_case(struct mp_engine *e, struct en_out *o, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    en_put_u8(o, EN_ROW_VERSION);
    put_rule(e, o, c->rule);
    en_put_text(o, en_case_key(e, c));
    en_put_u8(o, c->state);
    en_put_u64(o, c->id);
    en_put_u64(o, c->rung);
    en_put_key(e, o, c->grouping, c->key);
    en_put_u8(o, c->shadow);
    en_put_u8(o, c->armed);
    en_put_u8(o, c->was_false);
    en_put_u8(o, c->by_until);
    en_put_u8(o, c->told);
    en_put_u8(o, c->cause);
    en_put_u64(o, c->step == MP_NONE ? 0 : c->step - r->steps_at + 1);
    en_put_i64(o, e->now_ns);
    en_put_i64(o, c->since_ns);
    en_put_i64(o, c->opened_ns);
    en_put_hold(o, &c->trigger);
    en_put_hold(o, &c->unless);
    en_put_hold(o, &c->harm);
    en_put_run(o, &c->until);
    en_put_i64(o, c->until_from_ns);
    en_put_i64(o, c->check.from_ns);
    en_put_i64(o, c->check.to_ns);
    en_put_i64(o, c->check.hold_ns);
    en_put_i64(o, c->effective_ns);
    en_put_mono(e, o, c->ends_mono_ns);
    en_put_mono(e, o, c->cool_mono_ns);
    en_put_u64(o, c->ramp_step);
    en_put_mono(e, o, c->ramp_mono_ns);
    en_put_u8(o, (uint8_t)c->at_trigger_count);
    for (uint32_t i = 0; i < c->at_trigger_count; i++) {
        uint32_t fn = e->p->clause[r->at_triggers_at + i].fn;
        bool known = ((c->at_trigger_known >> i) & 1) != 0;
        en_put_u8(o, known);
        if (known) en_put_value(o, e->p->out[e->p->fn[fn].outs_at].type, c->at_trigger[i]);
    }
    if (en_has_rule(c)) return;
    en_put_text(o, en_manual_who(e, c));
    en_put_text(o, en_manual_reason(e, c));
}

static enum mp_rep trigger_rep(const struct mp_program *p, const struct mp_rule_row *r, uint32_t k)
{
    if (k >= r->at_triggers_count) return MP_REP_N;
    const struct mp_fn_row *fn = &p->fn[p->clause[r->at_triggers_at + k].fn];
    return mp_type_rep((enum mp_type)p->out[fn->outs_at].type);
}

static void restore_triggers(struct mp_engine *e, struct en_in *i, struct en_case *c)
{
    const struct mp_rule_row *r = en_rule_of(e, c);
    uint32_t count = en_get_u8(i);
    if (count > EN_TRIGGERS_MAX) i->bad = true;
    for (uint32_t k = 0; k < count && !i->bad; k++) {
        enum mp_rep rep;
        if (en_get_u8(i) == 0) continue;
        struct mp_value v = en_get_value(i, &rep);
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

static void restore_manual(struct mp_engine *e, struct en_in *i, struct en_case *c)
{
    mp_str who = en_get_text(i, MP_MANUAL_WHO_MAX), reason = en_get_text(i, MP_MANUAL_REASON_MAX);
    if (!i->bad) c->manual = en_manual_put(e, who, reason);
    if (!i->bad && c->manual == EN_NONE) i->bad = true; /* there are never so many */
}

/* What it is at, in the order of en_put_case; `step` counts from 1, `stopped_ns` is when the row
 * was written. */
static void get_course(struct mp_engine *e, struct en_in *i, struct en_case *c, uint64_t *step,
                       int64_t *stopped_ns)
{
    c->shadow = en_get_u8(i) != 0;
    c->armed = en_get_u8(i) != 0;
    c->was_false = en_get_u8(i) != 0;
    c->by_until = en_get_u8(i) != 0;
    c->told = en_get_u8(i) != 0;
    c->cause = en_get_u8(i);
    *step = en_get_u64(i);
    *stopped_ns = en_get_span(i);
    c->since_ns = en_get_span(i);
    c->opened_ns = en_get_span(i);
    c->trigger = en_get_hold(i);
    c->unless = en_get_hold(i);
    c->harm = en_get_hold(i);
    c->until = en_get_run(i);
    c->until_from_ns = en_get_time(i);
    c->check.from_ns = en_get_span(i);
    c->check.to_ns = en_get_span(i);
    c->check.hold_ns = en_get_span(i);
    c->effective_ns = en_get_span(i);
    c->ends_mono_ns = en_get_mono(e, i);
    c->cool_mono_ns = en_get_mono(e, i);
    c->ramp_step = (uint32_t)en_get_u64(i);
    c->ramp_mono_ns = en_get_mono(e, i);
}

static bool is_sound(const struct en_case *c, const struct whose *w, uint64_t step)
{
    bool needs_step = c->state >= MP_INCIDENT_OPEN && c->state <= MP_INCIDENT_RELEASING;
    if (c->cause > EN_CAUSE_ACCEPTED || c->check.from_ns > c->check.to_ns) return false;
    if (w->ruleless) return step == 0 && c->key_len > 0;
    return !needs_step || step != 0;
}

enum mp_err en_restore_case(struct mp_engine *e, uint64_t id, struct en_in *i)
{
    struct whose w = get_rule(e, i);
    mp_str key_text = en_get_text(i, EN_KEY_TEXT_MAX);
    uint8_t state = en_get_u8(i);
    uint64_t incident = en_get_u64(i), rung = en_get_u64(i);
    const struct mp_rule_row *row = w.gone || w.ruleless ? &en_manual_rule : &e->p->rule[w.rule];
    uint32_t grouping = row->grouping;
    uint32_t key = en_get_key(e, i, grouping);
    if (i->bad || state >= MP_INCIDENT_STATE_COUNT) return MP_ECORRUPT;
    if (id == 0 || id > e->limits.incidents) return MP_ELIMIT;
    if (id > e->case_end) e->case_end = (uint32_t)id;
    struct en_case *slot = &e->cases[id - 1];
    bool alive = !w.gone && key != MP_NONE && row->kind == MP_RULE_LOOP;
    if (!alive && !w.ruleless) {
        struct en_gone gone = {.incident = incident, .rung = (uint32_t)rung, .state = state};
        slot->dirty = true; /* the row goes */
        if (incident != 0) en_remember_gone(e, &gone, w.name, key_text, (mp_str){0}, (mp_str){0});
        return MP_OK;
    }
    if (slot->used) return MP_ECORRUPT;
    struct en_case c = {.rule = w.rule, .grouping = grouping, .key = key, .used = true,
                        .dirty = true, .state = state, .id = incident, .rung = (uint32_t)rung,
                        .leases = EN_NONE, .last_lease = EN_NONE, .manual = EN_NONE};
    uint64_t step;
    int64_t stopped_ns;
    get_course(e, i, &c, &step, &stopped_ns);
    c.key_len = (uint32_t)key_text.len;
    memcpy(c.key_text, key_text.ptr, key_text.len);
    if (i->bad || !is_sound(&c, &w, step)) return MP_ECORRUPT;
    apply_marks(e, &c, &w, step);
    if (stopped_ns > e->kept_ns) e->kept_ns = stopped_ns;
    *slot = c;
    restore_triggers(e, i, slot);
    if (w.ruleless) restore_manual(e, i, slot);
    if (i->bad) {
        slot->used = false;
        return MP_ECORRUPT;
    }
    en_case_adopt(e, slot);
    return MP_OK;
}
