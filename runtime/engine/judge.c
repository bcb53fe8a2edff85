/* SPDX-License-Identifier: Apache-2.0
 * Rows → truths of rules → cases. A rule that is neither true nor has a case for the key costs a
 * bit.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

static uint64_t rules_mask(const struct mp_unit_row *u)
{
    return u->rules_count >= 64 ? ~0ull : (1ull << u->rules_count) - 1;
}

static bool across(const struct mp_program *p, const struct mp_grouping_row *g)
{
    for (uint32_t i = g->columns_at; i < g->columns_at + g->columns_count; i++) {
        switch (p->column[i].kind) {
        case MP_COL_POOLED:
        case MP_COL_MEMBERS:
        case MP_COL_PUBLISHED:
        case MP_COL_SET_SIZE: return true;
        default: break;
        }
    }
    return false;
}

static bool reads_attributes(const struct mp_program *p, const struct mp_grouping_row *g)
{
    for (uint32_t i = g->columns_at; i < g->columns_at + g->columns_count; i++) {
        const struct mp_column_row *c = &p->column[i];
        if (c->kind == MP_COL_ATTR || c->kind == MP_COL_SET_SIZE) return true;
    }
    return false;
}

static enum mp_err prepare_unit(struct mp_engine *e, uint32_t unit)
{
    const struct mp_unit_row *u = &e->p->unit[unit];
    struct en_unit *out = &e->units[unit];
    out->alive = rules_mask(u);
    for (uint32_t i = 0; i < u->rules_count; i++) {
        for (uint32_t layer = 0; layer < 3; layer++) {
            uint32_t layers = e->p->rule[u->rules_at + i].layers;
            if ((layers >> layer & 1) != 0) out->at_layer[layer] |= 1ull << i;
        }
    }
    if (u->kind != MP_UNIT_GROUP) return MP_OK;
    out->active = MP_NEW(&e->made, uint64_t, mp_window_key_cap(e->window, u->grouping) + 1);
    if (out->active == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < u->rules_count; i++) {
        const struct mp_rule_row *r = &e->p->rule[u->rules_at + i];
        uint64_t bit = 1ull << i;
        if ((r->flags & MP_RULE_INSTANT) != 0) out->instant |= bit;
        if (r->no_data == MP_NODATA_FIRE) out->on_unknown |= bit;
        if (r->unless != MP_NONE && e->p->clause[r->unless].hold_ns > 0) out->unless_held |= bit;
        if ((r->flags & MP_RULE_ON_SILENCE) != 0 || r->no_data == MP_NODATA_FIRE) {
            e->groupings[u->grouping].on_silence = true;
        }
    }
    return MP_OK;
}

/* Does a record leave the clause's value as it is, until a pane ends? */
static bool still(const struct mp_program *p, const struct mp_clause_row *c)
{
    for (uint32_t i = c->inputs_at; i < c->inputs_at + c->inputs_count; i++) {
        const struct mp_column_row *col = &p->column[p->input[i].column];
        switch (col->kind) {
        case MP_COL_KEY:
        case MP_COL_AT_TRIGGER:
        case MP_COL_POOLED:
        case MP_COL_PUBLISHED: continue;
        case MP_COL_AGG:
        case MP_COL_SAMPLES:
        case MP_COL_REACHED:
            if (col->agg != MP_NONE && p->agg[col->agg].window_ns > 0) continue;
            return false;
        default: return false;
        }
    }
    return true;
}

enum mp_err en_judge_prepare(struct mp_engine *e)
{
    const struct mp_program *p = e->p;
    e->units = MP_NEW(&e->made, struct en_unit, p->unit_count + 1);
    e->groupings = MP_NEW(&e->made, struct en_grouping, p->grouping_count + 1);
    e->clause_still = MP_NEW(&e->made, uint8_t, p->clause_count + 1);
    e->counts = MP_NEW(&e->made, struct mp_rule_counts, p->rule_count + 1);
    e->rule_cases = MP_NEW(&e->made, uint32_t, p->rule_count + 2); /* en_rule_slot */
    e->rule_leases = MP_NEW(&e->made, uint32_t, p->rule_count + 2);
    e->rule_alive = MP_NEW(&e->made, uint8_t, p->rule_count + 1);
    e->guard_alive = MP_NEW(&e->made, uint8_t, p->guard_count + 1);
    e->hit_max = p->rule_count + 1;
    e->hits = MP_NEW(&e->made, struct en_hit, e->hit_max);
    if (e->units == NULL || e->groupings == NULL || e->clause_still == NULL || e->counts == NULL ||
        e->rule_cases == NULL || e->rule_leases == NULL || e->rule_alive == NULL ||
        e->guard_alive == NULL || e->hits == NULL) {
        return MP_ENOMEM;
    }
    memset(e->rule_alive, 1, p->rule_count);
    memset(e->guard_alive, 1, p->guard_count);
    for (uint32_t g = 0; g < p->grouping_count; g++) {
        e->groupings[g] = (struct en_grouping){.across = across(p, &p->grouping[g]),
                                               .inventory = reads_attributes(p, &p->grouping[g]),
                                               .timer_at = EN_NONE};
    }
    for (uint32_t u = 0; u < p->unit_count; u++) MP_TRY(prepare_unit(e, u));
    for (uint32_t c = 0; c < p->clause_count; c++) e->clause_still[c] = still(p, &p->clause[c]);
    return MP_OK;
}

/* ---- counting ---- */

static void count_word(uint64_t bits[8], uint64_t word)
{
    for (int i = 0; word != 0 && i < 8; i++) {
        uint64_t carry = bits[i] & word;
        bits[i] ^= word;
        word = carry;
    }
}

static uint64_t counted(uint64_t bits[8], uint32_t rule)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++) n |= ((bits[i] >> rule) & 1) << i;
    return n;
}

/* How often rule i of the unit was asked. */
static uint64_t asked(const struct en_unit *u, const struct mp_unit_row *row, uint32_t i)
{
    if (row->kind == MP_UNIT_GROUP) return u->pending_counts;
    uint64_t n = 0;
    for (int layer = 0; layer < 3; layer++) {
        if (((u->at_layer[layer] >> i) & 1) != 0) n += u->pending_layers[layer];
    }
    return n;
}

void en_count_flush(struct mp_engine *e, uint32_t unit)
{
    struct en_unit *u = &e->units[unit];
    const struct mp_unit_row *row = &e->p->unit[unit];
    for (uint32_t i = 0; i < row->rules_count; i++) {
        struct mp_rule_counts *c = &e->counts[row->rules_at + i];
        uint64_t unknown = counted(u->unknown_bits, i), is_true = counted(u->true_bits, i);
        uint64_t judged = asked(u, row, i);
        c->unknown += unknown;
        c->false_ += judged - unknown - is_true;
        c->judged += judged;
        if (row->kind == MP_UNIT_RECORD) c->matched += is_true;
    }
    memset(u->true_bits, 0, sizeof u->true_bits);
    memset(u->unknown_bits, 0, sizeof u->unknown_bits);
    memset(u->pending_layers, 0, sizeof u->pending_layers);
    u->pending_counts = 0;
}

void en_count(struct mp_engine *e, uint32_t unit, uint32_t layer, uint64_t truth, uint64_t unknown)
{
    struct en_unit *u = &e->units[unit];
    count_word(u->true_bits, truth);
    count_word(u->unknown_bits, unknown);
    u->judged++;
    u->pending_layers[layer]++;
    if (++u->pending_counts == 255) en_count_flush(e, unit);
}

/* ---- nested holds ---- */

/* The truth of a `(x for d)` inside a condition: true when x has held, unknown while x is. */
static enum mp_truth held_truth(const struct en_clock *c, const struct mp_read *how, int64_t now_ns,
                                int64_t hold_ns)
{
    if (c->h.last == MP_UNKNOWN) return MP_UNKNOWN;
    if (c->h.last != MP_TRUE) return MP_FALSE;
    int64_t held_ns = !how->settled ? mp_hold_progress(&c->h, now_ns)
                      : c->run.on   ? now_ns - c->run.since_ns
                                    : 0;
    /* Nothing from before the action may vote (R39). */
    if (how->since_ns > 0 && now_ns - how->since_ns < held_ns) held_ns = now_ns - how->since_ns;
    return held_ns >= hold_ns ? MP_TRUE : MP_FALSE;
}

enum mp_truth en_hold_truth(void *ctx, const struct mp_read *how, uint32_t hold, uint32_t key)
{
    struct mp_engine *e = ctx;
    struct en_clock *c = en_clock_find(e, hold, key);
    return c == NULL ? MP_FALSE : held_truth(c, how, e->now_ns, e->p->hold[hold].hold_ns);
}

/* A clause with a start of its own (R39) comes later than the clock itself. */
int64_t en_holds_due(struct mp_engine *e, uint32_t clause, const struct mp_read *how, uint32_t key)
{
    const struct mp_clause_row *row = &e->p->clause[clause];
    uint32_t grouping = e->p->fn[row->fn].grouping;
    int64_t due = MP_NEVER_NS;
    for (uint32_t i = row->inputs_at; i < row->inputs_at + row->inputs_count; i++) {
        const struct mp_column_row *col = &e->p->column[e->p->input[i].column];
        if (col->kind != MP_COL_HOLD || grouping == MP_NONE) continue;
        uint32_t hold = e->p->grouping[grouping].holds_at + col->index;
        const struct en_clock *c = en_clock_find(e, hold, key);
        if (c == NULL || c->h.last != MP_TRUE || !c->run.on) continue;
        int64_t from = how->settled ? c->run.since_ns
                                    : e->now_ns - mp_hold_progress(&c->h, e->now_ns);
        if (how->since_ns > from) from = how->since_ns;
        int64_t at = from + e->p->hold[hold].hold_ns;
        if (at > e->now_ns && at < due) due = at;
    }
    return due;
}

static void schedule_clock(struct mp_engine *e, struct en_clock *c)
{
    int64_t due = mp_hold_due(&c->h, e->p->hold[c->hold].hold_ns);
    int64_t change = mp_window_next_change(e->window, &(struct mp_read){0},
                                           e->p->hold[c->hold].grouping, c->key);
    if (due <= e->now_ns) due = MP_NEVER_NS;
    if (change <= e->now_ns) change = e->now_ns + 10000000;
    uint32_t id = e->hold_ids + (uint32_t)(c - e->clocks);
    en_heap_set(e, &e->events, id, due < change ? due : change);
}

/* Has some rule a case for the key? Then it matters whether x is false or unknown. */
static bool has_cases(const struct mp_engine *e, uint32_t grouping, uint32_t key)
{
    const struct mp_grouping_row *g = &e->p->grouping[grouping];
    for (uint32_t u = g->units_at; u < g->units_at + g->units_count; u++) {
        if (e->p->unit[u].kind == MP_UNIT_GROUP && e->units[u].active[key] != 0) return true;
    }
    return false;
}

static enum mp_truth step_hold(struct mp_engine *e, uint32_t hold, uint32_t key)
{
    static const struct mp_read now = {0};
    const struct mp_hold_row *row = &e->p->hold[hold];
    enum mp_truth truth = mp_eval_truth(e->p, row->fn, en_row_inputs(e, &e->row));
    struct en_clock *c = en_clock_find(e, hold, key);
    bool worth = truth == MP_TRUE || (truth == MP_UNKNOWN && has_cases(e, row->grouping, key));
    if (c == NULL) {
        if (!worth) return truth;
        c = en_clock_make(e, hold, key);
        if (c == NULL) return MP_UNKNOWN; /* no room to remember since when */
    }
    if (c->h.last != truth) {
        c->dirty = true;
        e->clock_total++;
    }
    mp_hold_step(&c->h, e->now_ns, truth, row->hold_ns);
    mp_run_step(&c->run, e->now_ns, truth, row->hold_ns);
    enum mp_truth out = held_truth(c, &now, e->now_ns, row->hold_ns);
    if (!mp_hold_runs(&c->h) && !worth) {
        en_clock_free(e, c);
    } else {
        schedule_clock(e, c);
    }
    return out;
}

static void set_truth(struct mp_row *row, uint32_t slot, enum mp_truth truth)
{
    uint64_t bit = 1ull << (slot % 64);
    row->known[slot / 64] &= ~bit;
    if (truth != MP_UNKNOWN) row->known[slot / 64] |= bit;
    row->cell[slot] = mp_value_bool(truth == MP_TRUE);
}

static void step_holds(struct mp_engine *e, uint32_t grouping, uint32_t key)
{
    const struct mp_grouping_row *g = &e->p->grouping[grouping];
    for (uint32_t h = g->holds_at; h < g->holds_at + g->holds_count; h++) {
        set_truth(&e->row, e->p->hold[h].column - g->columns_at, step_hold(e, h, key));
    }
}

/* ---- judging ---- */

/* Bits of the instant rules whose own record is at hand. */
static uint64_t own_record(const struct mp_engine *e, uint32_t unit)
{
    uint64_t left = e->units[unit].instant, own = 0;
    while (e->record != NULL && left != 0) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);
        const struct mp_rule_row *r = &e->p->rule[e->p->unit[unit].rules_at + i];
        left &= left - 1;
        if (r->signal != MP_NONE && r->signal != e->record->signal) continue;
        if ((r->layers & e->record->layer) != 0) own |= 1ull << i;
    }
    return own;
}

static void add_hit(struct mp_engine *e, uint32_t grouping, uint32_t key, uint32_t rule,
                    enum mp_truth truth, bool now_only)
{
    MP_ASSERT(e->hit_count < e->hit_max);
    e->hits[e->hit_count++] = (struct en_hit){rule, grouping, key, truth, now_only};
}

/* A rule whose `unless` has a `for` of its own needs its clock even while nothing else happens. */
static void watch_unless(struct mp_engine *e, uint32_t unit, uint32_t key)
{
    uint64_t left = e->units[unit].unless_held & ~e->units[unit].active[key] & e->units[unit].alive;
    for (; left != 0; left &= left - 1) {
        uint32_t rule = e->p->unit[unit].rules_at + (uint32_t)__builtin_ctzll(left);
        const struct mp_clause_row *c = &e->p->clause[e->p->rule[rule].unless];
        if (mp_eval_truth(e->p, c->fn, en_row_inputs(e, &e->row)) == MP_TRUE) {
            en_case_make(e, rule, key);
        }
    }
}

static void collect_unit(struct mp_engine *e, uint32_t unit, uint32_t grouping, uint32_t key)
{
    struct en_unit *u = &e->units[unit];
    const struct mp_unit_row *row = &e->p->unit[unit];
    struct mp_hits hits;
    if (u->unless_held != 0) watch_unless(e, unit, key);
    mp_eval_unit(e->p, unit, en_row_inputs(e, &e->row), &hits);

    uint64_t own = u->instant == 0 ? 0 : own_record(e, unit), not_own = u->instant & ~own;
    uint64_t known = (hits.known | not_own) & u->alive, truth = hits.truth & known & ~not_own;
    uint64_t unknown = u->alive & ~known;
    en_count(e, unit, 0, truth, unknown);
    truth |= unknown & u->on_unknown;

    uint64_t todo = truth | (u->active[key] & u->alive);
    for (; todo != 0; todo &= todo - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(todo);
        uint64_t bit = 1ull << i;
        enum mp_truth t = (truth & bit) != 0 ? MP_TRUE : (known & bit) != 0 ? MP_FALSE : MP_UNKNOWN;
        add_hit(e, grouping, key, row->rules_at + i, t, (u->instant & bit) != 0);
    }
}

void en_collect(struct mp_engine *e, uint32_t grouping, uint32_t key)
{
    const struct mp_grouping_row *g = &e->p->grouping[grouping];
    if (g->units_count == 0 && g->holds_count == 0) return;
    en_fill(e, grouping, key, NULL);
    if (g->holds_count > 0) step_holds(e, grouping, key);
    for (uint32_t u = g->units_at; u < g->units_at + g->units_count; u++) {
        if (e->p->unit[u].kind == MP_UNIT_GROUP) collect_unit(e, u, grouping, key);
    }
    en_key_timer(e, grouping, key);
}

/* Few and nearly in order: rules of one grouping come sorted. */
static void sort_hits(struct en_hit *hits, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct en_hit hit = hits[i];
        uint32_t at = i;
        for (; at > 0 && hits[at - 1].rule > hit.rule; at--) hits[at] = hits[at - 1];
        hits[at] = hit;
    }
}

void en_do_hits(struct mp_engine *e)
{
    sort_hits(e->hits, e->hit_count);
    for (uint32_t i = 0; i < e->hit_count; i++) {
        struct en_hit hit = e->hits[i];
        struct en_case *c = en_case_find(e, hit.rule, hit.key);
        en_trigger(e, hit.rule, hit.key, c, hit.truth, hit.now_only);
        c = en_case_find(e, hit.rule, hit.key);
        if (c == NULL) continue;
        en_case_checks(e, c, e->record != NULL);
        if (c->used) en_case_schedule(e, c);
    }
    e->hit_count = 0;
}

void en_judge_key(struct mp_engine *e, uint32_t grouping, uint32_t key)
{
    en_collect(e, grouping, key);
    en_do_hits(e);
}

void en_judge_all(struct mp_engine *e, bool (*which)(const struct en_grouping *g))
{
    for (uint32_t g = 0; g < e->p->grouping_count; g++) {
        if (!which(&e->groupings[g]) || e->p->grouping[g].units_count == 0) continue;
        uint32_t key = mp_window_next_key(e->window, g, 0);
        while (key != MP_NONE) {
            en_judge_key(e, g, key);
            key = mp_window_next_key(e->window, g, key + 1);
        }
    }
}

/* At most so many keys of a grouping; a larger one is gone through over several slots. */
static void judge_slot(struct mp_engine *e, uint32_t grouping)
{
    struct en_grouping *g = &e->groupings[grouping];
    uint32_t key = mp_window_next_key(e->window, grouping, g->slot_key), n = 0;
    for (; key != MP_NONE && n < EN_SLOT_KEYS_MAX; n++) {
        en_judge_key(e, grouping, key);
        g->slot_key = key + 1;
        key = mp_window_next_key(e->window, grouping, g->slot_key);
    }
    if (key == MP_NONE) g->slot_key = 0;
}

void en_judge_slot(struct mp_engine *e)
{
    for (uint32_t g = 0; g < e->p->grouping_count; g++) {
        if (e->groupings[g].across && e->p->grouping[g].units_count > 0) judge_slot(e, g);
    }
}

void en_key_timer(struct mp_engine *e, uint32_t grouping, uint32_t key)
{
    uint32_t at = e->groupings[grouping].timer_at;
    if (at == EN_NONE || e->events.pos[at + key] != EN_NONE) return;
    /* Set once and not at every record: too early it only finds a later moment. */
    int64_t due = mp_window_next_shrink(e->window, grouping, key);
    if (due > e->now_ns) en_heap_set(e, &e->events, at + key, due);
}
