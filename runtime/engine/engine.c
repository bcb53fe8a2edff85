/* SPDX-License-Identifier: Apache-2.0
 * Life, time and records. The way of one record is en_take, from top to bottom.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

/* ---- memory ---- */

static void defaults(struct mp_engine_limits *l)
{
#define OR(member, value)                                                                          \
    if (l->member == 0) l->member = (value)
    OR(keys, 100000);
    OR(incidents, 32768);
    OR(leases, 16384);
    OR(holds, 8192);
    OR(messages, 1024);
    OR(admissions, 16384);
    OR(truths, 65536);
    OR(ledger_bytes, 4u << 20);
#undef OR
}

static uint32_t power_of_two(uint32_t n)
{
    uint32_t size = 16;
    while (size < n && size < UINT32_C(1) << 31) size *= 2;
    return size;
}

static uint32_t *heads(struct mp_arena *a, uint32_t count, uint32_t *mask)
{
    uint32_t size = power_of_two(count), *out = MP_NEW(a, uint32_t, size);
    for (uint32_t i = 0; out != NULL && i < size; i++) out[i] = EN_NONE;
    *mask = size - 1;
    return out;
}

static enum mp_err create_tables(struct mp_engine *e)
{
    struct mp_arena *a = &e->arena;
    const struct mp_engine_limits *l = &e->limits;
    e->cases = MP_NEW(a, struct en_case, l->incidents);
    e->case_heads = heads(a, l->incidents, &e->case_mask);
    e->case_list = MP_NEW(a, uint32_t, l->incidents);
    e->clocks = MP_NEW(a, struct en_clock, l->holds);
    e->clock_heads = heads(a, l->holds, &e->clock_mask);
    e->leases = MP_NEW(a, struct en_lease, l->leases);
    e->lease_heads = heads(a, l->leases, &e->lease_mask);
    e->order = MP_NEW(a, struct en_order, l->leases);
    e->troubles = MP_NEW(a, struct en_trouble, EN_TROUBLES_MAX);
    e->messages = MP_NEW(a, struct en_message, l->messages);
    e->openings = MP_NEW(a, struct en_opening, l->admissions);
    e->truths = MP_NEW(a, struct en_truth, l->truths);
    e->told = MP_NEW(a, struct en_told, EN_TOLD_MAX);
    e->set = MP_NEW(a, struct mpol_lease, l->leases);
    e->set_args = MP_NEW(a, struct mpol_arg, (size_t)l->leases * MP_LEASE_ARGS_MAX);
    e->words = MP_NEW(a, char, EN_WORDS_BYTES);
    e->gone = MP_NEW(a, struct en_gone, EN_GONE_MAX);
    if (e->cases == NULL || e->case_heads == NULL || e->clocks == NULL || e->clock_heads == NULL ||
        e->leases == NULL || e->messages == NULL || e->openings == NULL || e->truths == NULL ||
        e->told == NULL || e->set == NULL || e->set_args == NULL || e->troubles == NULL ||
        e->words == NULL || e->gone == NULL || e->order == NULL || e->lease_heads == NULL ||
        e->case_list == NULL) {
        return MP_ENOMEM;
    }
    en_relist(e);
    e->lease_live = e->lease_live_last = EN_NONE;
    MP_TRY(en_manual_create(e));
    MP_TRY(en_heap_create(a, l->incidents + EN_BACKENDS_MAX + l->messages, &e->monos));
    MP_TRY(mp_decide_create(a, l->admissions, l->leases, e->options.hash_key, &e->decide));
    return mp_ledger_create(a, e->os, l->ledger_bytes, &e->ledger);
}

/* ---- what is made for a program ---- */

static void key_forgotten(void *ctx, uint32_t grouping, uint32_t key)
{
    struct mp_engine *e = ctx;
    if (e->groupings == NULL) return;
    en_cases_forget(e, grouping, key);
    uint32_t at = e->groupings[grouping].timer_at;
    if (at != EN_NONE) en_heap_set(e, &e->events, at + key, MP_NEVER_NS);
}

static enum mp_err create_row(struct mp_arena *a, uint32_t columns, struct mp_row *row)
{
    row->known = MP_NEW(a, uint64_t, columns / 64 + 1);
    row->cell = MP_NEW(a, struct mp_value, columns + 1);
    return row->known == NULL || row->cell == NULL ? MP_ENOMEM : MP_OK;
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

static enum mp_err create_work(struct mp_engine *e)
{
    const struct mp_program *p = e->p;
    uint32_t columns = 0, outs = 0, feeds = 0, record_columns = 0;
    for (uint32_t i = 0; i < p->grouping_count; i++) {
        columns = larger(columns, p->grouping[i].columns_count);
    }
    for (uint32_t i = 0; i < p->signal_count; i++) {
        const struct mp_signal_row *s = &p->signal[i];
        record_columns = larger(record_columns, s->columns_count);
        feeds = larger(feeds, s->feeds_count);
        if (s->unit != MP_NONE) outs = larger(outs, p->fn[p->unit[s->unit].fn].outs_count);
    }
    MP_TRY(create_row(&e->made, columns, &e->row));
    MP_TRY(create_row(&e->made, larger(columns, record_columns), &e->clause_row));
    MP_TRY(create_row(&e->made, record_columns, &e->record_row));
    e->outputs.known = MP_NEW(&e->made, uint64_t, outs / 64 + 1);
    e->outputs.truth = MP_NEW(&e->made, uint64_t, outs / 64 + 1);
    e->outputs.value = MP_NEW(&e->made, struct mp_value, outs + 1);
    e->touched = MP_NEW(&e->made, struct mp_touch, feeds + 1);
    if (e->outputs.known == NULL || e->outputs.truth == NULL || e->outputs.value == NULL ||
        e->touched == NULL) {
        return MP_ENOMEM;
    }
    return MP_OK;
}

static enum mp_err create_timers(struct mp_engine *e)
{
    uint32_t ids = e->limits.incidents;
    e->hold_ids = ids;
    ids += e->limits.holds;
    e->key_ids = ids;
    for (uint32_t g = 0; g < e->p->grouping_count; g++) {
        if (!e->groupings[g].on_silence) continue;
        e->groupings[g].timer_at = ids;
        ids += mp_window_key_cap(e->window, g);
    }
    return en_heap_create(&e->made, ids, &e->events);
}

static enum mp_err plan_verdicts(struct mp_engine *e, struct mp_verdict_plan *given,
                                 const char **why)
{
    if (given == NULL) {
        MP_TRY(mp_verdict_plan_create(&e->made, e->p, e->prompt.inproc, e->buckets, &e->own_plan,
                                      why));
    }
    e->plan = given != NULL ? given : e->own_plan;
    return mp_verdict_scratch_create(&e->made, e->plan, &e->verdict_scratch);
}

/* Everything whose shape depends on the program, in its own arena: a swap replaces it whole. */
enum mp_err en_make(struct mp_engine *e, struct mp_verdict_plan *plan, const char **why)
{
    struct mp_window_hooks hooks = {e, key_forgotten, en_hold_truth, en_incident_value,
                                    en_member_truth};
    struct mp_window_limits limits = {.keys_max = e->limits.keys,
                                      .memory_bytes = e->limits.memory_bytes,
                                      .always_alive = e->options.clock == MP_ENGINE_TEST,
                                      .live = e->options.clock == MP_ENGINE_LIVE};
    struct mp_inventory_limits inventory = {0};
    e->groupings = NULL;
    e->full = (struct mp_engine_full){0};
    MP_TRY(mp_inventory_create(&e->made, e->p, &inventory, e->options.hash_key, &e->inventory));
    MP_TRY(mp_window_create(&e->made, e->p, &limits, e->options.hash_key, e->inventory, &hooks,
                            &e->window));
    MP_TRY(en_judge_prepare(e));
    MP_TRY(create_work(e));
    MP_TRY(en_feedback_prepare(e));
    MP_TRY(plan_verdicts(e, plan, why));
    return create_timers(e);
}

void en_unmake(struct mp_engine *e)
{
    mp_verdict_plan_release(e->own_plan);
    mp_arena_free(&e->made);
}

/* ---- life ---- */

enum mp_err mp_engine_create(struct mp_program *p, const struct mp_os *os,
                             const struct mp_engine_options *options,
                             const struct mp_engine_sinks *sinks, struct mp_engine **out)
{
    struct mp_alloc from = {os->alloc, os->free, os->ctx, os->alloc_zeroed};
    struct mp_arena first;
    mp_arena_init(&first, os->alloc != NULL ? &from : NULL, options->limits.memory_bytes);
    struct mp_engine *e = MP_NEW(&first, struct mp_engine, 1);
    if (e == NULL) return MP_ENOMEM;
    /* The engine lies in its own arena, and so does the allocator that the arena came from. */
    e->alloc = from;
    e->arena = first;
    if (e->arena.from == &from) e->arena.from = &e->alloc;
    mp_arena_init(&e->made, e->arena.from, options->limits.memory_bytes);
    mp_arena_init(&e->gone_arena, e->arena.from, 0);
    e->p = p;
    e->os = os;
    e->options = *options;
    e->limits = options->limits;
    defaults(&e->limits);
    if (sinks != NULL) e->sinks = *sinks;
    e->now_ns = options->now_ns;
    e->mono_ns = options->mono_ns;
    e->told_mark = UINT64_MAX;
    e->owner_tag = (struct mpol_text){"mpol", 4};

    enum mp_err err = create_tables(e);
    if (err == MP_OK) err = en_prompt_create(e);
    if (err == MP_OK) err = en_make(e, options->plan, NULL);
    if (err != MP_OK) {
        mp_engine_destroy(e);
        return err;
    }
    en_entry_begin(e);
    mp_window_advance(e->window, e->now_ns);
    *out = e;
    return MP_OK;
}

void mp_engine_destroy(struct mp_engine *e)
{
    if (e == NULL) return;
    for (uint32_t i = 0; i < e->backend_count; i++) {
        if (e->backends[i].ops->close != NULL) e->backends[i].ops->close(e->backends[i].ctx);
    }
    en_unmake(e);
    mp_arena_free(&e->gone_arena);
    struct mp_alloc alloc = e->alloc;
    struct mp_arena arena = e->arena; /* the engine goes with it */
    if (arena.from == &e->alloc) arena.from = &alloc;
    mp_arena_free(&arena);
}

/* ---- records ---- */

static void judge_touched(struct mp_engine *e, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) en_collect(e, e->touched[i].grouping, e->touched[i].key);
    en_do_hits(e);
}

static void arm_slot(struct mp_engine *e)
{
    if (e->slot_ns != 0 || e->now_ns <= 0) return;
    e->slot_ns = e->now_ns - e->now_ns % MP_WINDOW_SLOT_NS + MP_WINDOW_SLOT_NS;
}

/* The time that a record makes it: live a record never moves the clock. */
static void move_clock(struct mp_engine *e, struct mp_record *r)
{
    if (e->options.clock == MP_ENGINE_REPLAY) {
        if (r->time_ns > e->now_ns) en_run_deadlines(e, r->time_ns, r->time_ns);
    } else if (r->time_ns > e->now_ns + EN_AHEAD_NS) {
        e->ahead++;
        r->time_ns = e->now_ns;
    }
}

static void judge_record_unit(struct mp_engine *e, const struct mp_record *r)
{
    const struct mp_signal_row *s = &e->p->signal[r->signal];
    mp_window_fill_record(e->window, r, &e->record_row);
    if (s->unit == MP_NONE) return;
    mp_inputs_init(&e->in, e->p, &e->scratch);
    e->in.record_known = r->known;
    e->in.record = r->field;
    e->in.row_known = e->record_row.known;
    e->in.row = e->record_row.cell;
    mp_eval_fn(e->p, e->p->unit[s->unit].fn, &e->in, &e->outputs);
}

void en_take(struct mp_engine *e, struct mp_record *r, bool judged)
{
    r->number = ++e->record_number;
    move_clock(e, r);
    mp_window_expect(e->window, r);
    mp_inventory_observe(e->inventory, r, e->now_ns);
    judge_record_unit(e, r);
    bool was_silent = mp_window_silent(e->window, r->signal);
    enum mp_admit admit = mp_window_admit(e->window, r);
    if (was_silent && !mp_window_silent(e->window, r->signal)) en_silence_changed(e);
    en_inline(e, r, judged);
    if (admit == MP_ADMIT_OK) {
        e->record = r;
        e->record_outputs = &e->outputs;
        uint32_t count = mp_window_apply(e->window, r, &e->outputs, e->touched);
        judge_touched(e, count);
        e->record = NULL;
        e->record_outputs = NULL;
    } else if (admit == MP_ADMIT_LAST) {
        judge_touched(e, mp_window_apply_last(e->window, r, &e->outputs, e->touched));
    }
    arm_slot(e);
    en_settle(e);
}

void en_settle(struct mp_engine *e)
{
    en_flush(e);
    en_feedback_pump(e);
}

void mp_engine_record(struct mp_engine *e, struct mp_record *r)
{
    e->records++;
    en_take(e, r, false);
}

void mp_engine_record_judged(struct mp_engine *e, struct mp_record *r)
{
    e->records++;
    en_take(e, r, true);
}

/* ---- time ---- */

void mp_engine_advance(struct mp_engine *e, int64_t now_ns, int64_t mono_ns)
{
    if (now_ns < e->now_ns) now_ns = e->now_ns; /* made monotone (R1) */
    if (mono_ns < e->mono_ns) mono_ns = e->mono_ns;
    en_run_deadlines(e, now_ns, mono_ns);
    en_watch(e);
    en_settle(e);
}

void mp_engine_drain(struct mp_engine *e, int64_t for_ns)
{
    mp_engine_advance(e, e->now_ns + for_ns, e->now_ns + for_ns);
}

int64_t mp_engine_next(const struct mp_engine *e) { return en_next_deadline(e); }
int64_t mp_engine_now(const struct mp_engine *e) { return e->now_ns; }

/* ---- sources and inventory ---- */

void mp_engine_alive(struct mp_engine *e, uint32_t source, uint32_t signal, int64_t time_ns)
{
    if (e->options.clock == MP_ENGINE_REPLAY && time_ns > e->now_ns) {
        en_run_deadlines(e, time_ns, time_ns);
    }
    bool was_silent = mp_window_silent(e->window, signal);
    mp_window_alive(e->window, signal, source);
    if (was_silent && !mp_window_silent(e->window, signal)) en_silence_changed(e);
    en_settle(e);
}

void mp_engine_source_closed(struct mp_engine *e, uint32_t source)
{
    mp_window_source_closed(e->window, source);
    en_silence_changed(e);
    en_settle(e);
}

struct mp_inventory *mp_engine_inventory(struct mp_engine *e) { return e->inventory; }
struct mp_window *mp_engine_window(struct mp_engine *e) { return e->window; }
const struct mp_program *mp_engine_program(const struct mp_engine *e) { return e->p; }

static void fresh_key(void *ctx, uint32_t grouping, uint32_t key)
{
    struct mp_engine *e = ctx;
    if (e->now_ns > 0) en_judge_key(e, grouping, key);
}

static bool any(const struct en_grouping *g)
{
    (void)g;
    return true;
}

void mp_engine_inventory_changed(struct mp_engine *e)
{
    mp_window_inventory_changed(e->window, e, fresh_key);
    if (e->options.clock == MP_ENGINE_TEST) {
        en_judge_all(e, any);
    } else {
        /* A file of ten thousand lines is looked at once, at the next slot. */
        e->inventory_dirty = true;
        arm_slot(e);
    }
    en_settle(e);
}

/* ---- tests of policies ---- */

enum mp_err mp_engine_override(struct mp_engine *e, uint32_t def, const struct mp_value *keys,
                               uint32_t key_count, enum mp_override state, struct mp_value value)
{
    const struct mp_def_row *row = &e->p->def[def];
    if (row->grouping == MP_NONE) return MP_EINVAL;
    if (e->p->grouping[row->grouping].keys_count != key_count) return MP_EINVAL;
    return mp_window_set_override(e->window, def, keys, (enum mp_window_override)state, value);
}

void mp_engine_overridden(struct mp_engine *e)
{
    en_judge_all(e, any);
    arm_slot(e);
    en_settle(e);
}

void mp_engine_only(struct mp_engine *e, const uint8_t *rules, const uint8_t *guards)
{
    for (uint32_t i = 0; i < e->p->rule_count; i++) e->rule_alive[i] = rules == NULL || rules[i];
    for (uint32_t i = 0; i < e->p->guard_count; i++) {
        e->guard_alive[i] = guards == NULL || guards[i];
    }
    for (uint32_t u = 0; u < e->p->unit_count; u++) {
        const struct mp_unit_row *row = &e->p->unit[u];
        uint64_t alive = 0;
        for (uint32_t i = 0; i < row->rules_count; i++) {
            alive |= (uint64_t)(e->rule_alive[row->rules_at + i] != 0) << i;
        }
        e->units[u].alive = alive;
    }
    MP_ASSERT(e->plan == e->own_plan); /* another's readers have it */
    mp_verdict_plan_only(e->own_plan, e->rule_alive, e->guard_alive);
}

/* ---- the store and the operator ---- */

void mp_engine_committed(struct mp_engine *e, uint64_t seq)
{
    MP_ASSERT(seq <= mp_ledger_seq(e->ledger));
    if (seq > e->committed) e->committed = seq;
    en_settle(e);
}

void mp_engine_store_failed(struct mp_engine *e, bool failed)
{
    bool back = e->store_failed && !failed;
    e->store_failed = failed;
    for (uint32_t i = 0; back && i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        if (c->used && c->state == MP_INCIDENT_PENDING) en_case_due(e, c);
    }
    if (back) en_flush(e);
}

void mp_engine_brake(struct mp_engine *e, bool on) { e->braked = on; }
bool mp_engine_braked(const struct mp_engine *e) { return e->braked; }

bool en_case_cancel(struct mp_engine *e, struct en_case *c)
{
    if (mp_incident_edge(c->state, MP_INCIDENT_ON_RELEASE) == NULL) return false;
    en_case_release(e, c, EN_CAUSE_CANCELLED);
    if (c->used) en_case_schedule(e, c);
    return true;
}

enum mp_err mp_engine_release(struct mp_engine *e, uint64_t incident)
{
    for (uint32_t i = 0; i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        if (!c->used || c->id != incident || incident == 0) continue;
        bool done = en_case_cancel(e, c);
        en_settle(e);
        return done ? MP_OK : MP_ENOTFOUND;
    }
    return MP_ENOTFOUND;
}

bool en_rule_named(const struct mp_engine *e, uint32_t rule, mp_str name)
{
    mp_str own = en_rule_name(e, rule);
    if (mp_str_eq(own, name)) return true;
    if (rule >= EN_NACK) return false;
    mp_str package = mp_program_text(e->p, e->p->rule[rule].package);
    return name.len == package.len + 1 + own.len && mp_str_starts(name, package) &&
           name.ptr[package.len] == '.' && mp_str_ends(name, own);
}

enum mp_err mp_engine_release_rule(struct mp_engine *e, mp_str rule, mp_str key)
{
    uint32_t released = 0;
    for (uint32_t i = 0; i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        if (!c->used || !en_rule_named(e, c->rule, rule)) continue;
        if (!mp_str_eq(en_case_key(e, c), key)) continue;
        released += en_case_cancel(e, c);
    }
    en_settle(e);
    return released > 0 ? MP_OK : MP_ENOTFOUND;
}

uint32_t mp_engine_release_all(struct mp_engine *e)
{
    uint32_t released = 0;
    for (uint32_t i = 0; i < e->case_end; i++) {
        if (e->cases[i].used) released += en_case_cancel(e, &e->cases[i]);
    }
    en_settle(e);
    return released;
}
