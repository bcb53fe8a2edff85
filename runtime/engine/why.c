/* SPDX-License-Identifier: Apache-2.0
 * Questions: what is going on, and why a rule does or does not fire.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"
#include "base/date.h"

struct mp_rule_counts mp_engine_rule_counts(const struct mp_engine *e, uint32_t rule)
{
    MP_ASSERT(rule < e->p->rule_count);
    /* Emptying the bit-sliced counters changes nothing that anybody can see. */
    struct mp_engine *own = (struct mp_engine *)(uintptr_t)e;
    uint32_t unit = e->p->rule[rule].unit;
    en_count_flush(own, unit);
    return e->counts[rule];
}

static uint32_t open_count(const struct mp_engine *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->case_end; i++) {
        n += e->cases[i].used && en_case_is_open(&e->cases[i]);
    }
    return n;
}

void mp_engine_status(const struct mp_engine *e, struct mp_engine_status *out)
{
    struct mp_window_counts w;
    mp_window_counts(e->window, &w);
    *out = (struct mp_engine_status){
        .now_ns = e->now_ns, .records = e->records, .late = w.late, .ahead = e->ahead,
        .refused_keys = w.keys_refused, .refused_incidents = e->refused_incidents,
        .refused_leases = e->refused_leases, .entries = mp_ledger_seq(e->ledger),
        .committed = e->committed, .incidents_open = open_count(e), .leases_live = e->lease_used,
        .messages_waiting = e->message_used, .braked = e->braked, .store_failed = e->store_failed,
        .memory_bytes = e->arena.used_bytes + e->made.used_bytes};
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        out->leases_in_force += en_lease_in_force(&e->leases[i]);
    }
}

void mp_engine_full(const struct mp_engine *e, struct mp_engine_full *out)
{
    *out = e->full;
    if (e->full.time_ns != 0) out->rule = en_rule_name(e, e->full_rule);
}

/* ---- lists ---- */

static int64_t as_event_time(const struct mp_engine *e, int64_t mono_ns)
{
    return mono_ns == 0 ? 0 : e->now_ns + (mono_ns - e->mono_ns);
}

static int64_t last_end(const struct mp_engine *e, const struct en_case *c)
{
    int64_t end = c->ends_mono_ns, ramp = en_case_ramp_end(e, c);
    if (ramp != 0) return as_event_time(e, ramp);
    for (uint32_t i = c->leases; i != EN_NONE; i = e->leases[i].next) {
        if (e->leases[i].ends_mono_ns > end) end = e->leases[i].ends_mono_ns;
    }
    return as_event_time(e, end);
}

static int64_t lease_end(const struct mp_engine *e, const struct en_lease *l)
{
    int64_t ramp = l->l.given_back > 0 ? en_case_ramp_end(e, &e->cases[l->owner]) : 0;
    if (ramp != 0) return as_event_time(e, ramp);
    return l->accepted_mono_ns == 0 ? 0 : as_event_time(e, l->ends_mono_ns);
}

static bool before(const struct mp_engine *e, const struct en_case *a, const struct en_case *b)
{
    if (a->rule != b->rule) return a->rule < b->rule;
    if (!en_has_rule(a)) return a->id < b->id;
    return mp_window_key_cmp(e->window, a->grouping, a->key, b->key) < 0;
}

/* A heap of cases, the first of them in front: whoever asks for the first hundred of ten thousand
 * does not wait for all of them to be sorted. */
static void sink(const struct mp_engine *e, uint32_t count, uint32_t at)
{
    uint32_t *heap = e->case_list, moved = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        bool right = child + 1 < count &&
                     before(e, &e->cases[heap[child + 1]], &e->cases[heap[child]]);
        if (right) child++;
        if (!before(e, &e->cases[heap[child]], &e->cases[moved])) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static uint32_t heap_cases(const struct mp_engine *e)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->case_end; i++) {
        const struct en_case *c = &e->cases[i];
        if (c->used && c->state != MP_INCIDENT_IDLE) e->case_list[count++] = i;
    }
    for (uint32_t i = count / 2; i-- > 0;) sink(e, count, i);
    return count;
}

void mp_engine_incidents(const struct mp_engine *e, void *ctx,
                         bool (*each)(void *ctx, const struct mp_incident_view *i))
{
    struct mp_engine *own = (struct mp_engine *)(uintptr_t)e; /* prints keys where none has yet */
    for (uint32_t left = heap_cases(e); left > 0; sink(e, left, 0)) {
        struct en_case *c = &own->cases[e->case_list[0]];
        struct mp_incident_view view = {
            .id = c->id, .rule = en_has_rule(c) ? c->rule : MP_NONE,
            .rule_name = en_rule_name(e, c->rule), .key = en_case_key(own, c),
            .state = mp_incident_state_word(c->state), .rung = c->rung,
            .since_ns = c->since_ns, .opened_ns = c->opened_ns, .ends_ns = last_end(e, c),
            .shadow = c->shadow};
        if (!each(ctx, &view)) return;
        e->case_list[0] = e->case_list[--left];
    }
}

void mp_engine_leases(const struct mp_engine *e, void *ctx,
                      bool (*each)(void *ctx, const struct mp_lease_view *l))
{
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        const struct en_lease *l = &e->leases[i];
        struct mp_lease_view view = {
            .lease = &l->l, .state = mp_lease_state_word(l->state),
            .rule_name = en_rule_name(e, l->l.rule), .manual = l->l.rule == EN_MANUAL,
            .who = en_manual_who(e, &e->cases[l->owner]),
            .reason = en_manual_reason(e, &e->cases[l->owner]),
            .kind = en_target_word(e->p, l->l.target.entity, l->l.target.type),
            .verb = mp_program_text(e->p, e->p->action[l->l.action].name),
            .target = {l->target_text, l->target_len},
            .ends_ns = lease_end(e, l), .in_force = en_lease_in_force(l),
            .trouble = en_trouble_of(e, l)};
        if (!each(ctx, &view)) return;
    }
}

enum mp_err mp_engine_entries(const struct mp_engine *e, uint64_t after, void *ctx,
                              bool (*each)(void *ctx, uint64_t seq, mp_str json))
{
    return mp_ledger_read(e->ledger, after, ctx, each);
}

void mp_engine_chain(const struct mp_engine *e, uint8_t out[32]) { mp_ledger_hash(e->ledger, out); }

static struct mp_truth_view truth_view(const struct mp_engine *e, const struct en_truth *t)
{
    struct mp_truth_view view = {.time_ns = t->time_ns, .clause = t->clause,
                                 .truth = (enum mp_truth)t->truth, .value_count = t->value_count};
    for (uint32_t i = 0; i < t->value_count; i++) {
        const struct mp_part_row *part = &e->p->part[t->part[i]];
        view.value[i] = (struct mp_truth_value){mp_program_text(e->p, part->shown_text),
                                                (enum mp_type)part->type,
                                                ((t->known >> i) & 1) != 0, t->value[i]};
    }
    return view;
}

void mp_engine_truths(const struct mp_engine *e, mp_str rule, mp_str key, int64_t from_ns,
                      void *ctx, bool (*each)(void *ctx, const struct mp_truth_view *t))
{
    for (uint32_t r = 0; r < e->p->rule_count; r++) {
        if (!en_rule_named(e, r, rule)) continue;
        uint64_t rule_key = en_rule_key(e, r, key);
        for (uint32_t i = 0; i < e->truth_count; i++) {
            uint32_t at = (e->truth_at + e->limits.truths - e->truth_count + i) % e->limits.truths;
            const struct en_truth *t = &e->truths[at];
            if (t->rule_key != rule_key || t->time_ns < from_ns) continue;
            struct mp_truth_view view = truth_view(e, t);
            if (!each(ctx, &view)) return;
        }
        return;
    }
}

/* ---- why ---- */

struct why {
    struct mp_engine *e;
    void *ctx;
    void (*line)(void *ctx, const struct mp_why_line *line);
    uint32_t rule, key;
    struct en_case *c;
};

static void tell(const struct why *w, struct mp_why_line line)
{
    w->line(w->ctx, &line);
    en_entry_begin(w->e); /* values were printed into the words of an entry */
}

static void note(const struct why *w, const char *text)
{
    tell(w, (struct mp_why_line){.kind = MP_WHY_NOTE, .text = mp_str_of(text)});
}

static void note_time(const struct why *w, const char *text, int64_t at_ns)
{
    char time[MP_DATE_TEXT];
    struct mp_buf b;
    mp_date_text(at_ns, time);
    mp_buf_printf(en_words(w->e, &b), "%s %.19sZ", text, time);
    tell(w, (struct mp_why_line){.kind = MP_WHY_NOTE, .text = mp_buf_view(&b)});
}

static void note_value(const struct why *w, const char *text, enum mp_type type, int64_t value)
{
    struct mp_buf b;
    mp_buf_puts(en_words(w->e, &b), text);
    mp_value_show(&b, type, mp_value_int(value));
    tell(w, (struct mp_why_line){.kind = MP_WHY_NOTE, .text = mp_buf_view(&b)});
}

/* Which aggregate a part looks at, for its samples. */
static uint32_t measured(const struct mp_engine *e, const struct mp_part_row *part)
{
    if (part->column == MP_NONE) return MP_NONE;
    const struct mp_column_row *col = &e->p->column[part->column];
    return col->kind == MP_COL_AGG || col->kind == MP_COL_SAMPLES ? col->agg : MP_NONE;
}

static void part_line(const struct why *w, const struct mp_read *how, uint32_t clause, uint32_t row)
{
    struct mp_engine *e = w->e;
    const struct mp_part_row *part = &e->p->part[row];
    struct mp_why_line line = {.kind = MP_WHY_PART, .clause = e->p->clause[clause].kind,
                               .text = mp_program_text(e->p, part->text)};
    struct mp_value v;
    struct mp_buf b;
    line.truth = mp_eval_truth(e->p, part->fn, en_row_inputs(e, &e->clause_row));
    if (part->shown != MP_NONE) {
        line.shown = mp_program_text(e->p, part->shown_text);
        en_words(e, &b);
        if (mp_eval_value(e->p, part->shown, en_row_inputs(e, &e->clause_row), &v)) {
            mp_value_show(&b, (enum mp_type)part->type, v);
        } else {
            mp_buf_puts(&b, "unknown");
        }
        line.value = mp_buf_view(&b);
    }
    uint32_t agg = measured(e, part);
    if (agg != MP_NONE) {
        line.samples_known = true;
        line.samples = (int64_t)mp_window_samples(e->window, how, agg, w->key);
        line.hold_ns = e->p->agg[agg].window_ns;
    }
    tell(w, line);
    if (agg != MP_NONE && line.truth == MP_UNKNOWN && line.samples < e->p->agg[agg].min_samples) {
        note_value(w, "it takes at least so many samples: ", MP_TYPE_INT,
                   e->p->agg[agg].min_samples);
    }
}

static enum mp_truth clause_lines(const struct why *w, uint32_t clause, const struct mp_read *how,
                                  int64_t held_ns, int64_t hold_ns)
{
    struct mp_engine *e = w->e;
    const struct mp_clause_row *row = &e->p->clause[clause];
    enum mp_truth truth = en_clause_truth(e, clause, how, w->key);
    tell(w, (struct mp_why_line){.kind = MP_WHY_CLAUSE, .clause = row->kind, .truth = truth,
                                 .text = mp_program_text(e->p, row->text), .held_ns = held_ns,
                                 .hold_ns = hold_ns});
    for (uint32_t i = row->parts_at; i < row->parts_at + row->parts_count; i++) {
        en_clause_truth(e, clause, how, w->key); /* a note may have used the row meanwhile */
        part_line(w, how, clause, i);
    }
    return truth;
}

static void note_withheld(const struct why *w)
{
    mp_str why = en_full_text(w->e, w->rule, w->c->opened_ns);
    struct mp_buf b;
    if (why.len == 0) why = MP_STR("the ledger says why");
    mp_buf_printf(en_words(w->e, &b), "what it would have done was withheld: %.*s",
                  MP_STR_ARG(why));
    tell(w, (struct mp_why_line){.kind = MP_WHY_NOTE, .text = mp_buf_view(&b)});
}

static void state_line(const struct why *w)
{
    mp_str state = w->c == NULL ? mp_incident_state_word(MP_INCIDENT_IDLE)
                                : mp_incident_state_word(w->c->state);
    tell(w, (struct mp_why_line){.kind = MP_WHY_STATE, .text = state});
    if (w->c != NULL && w->c->state == MP_INCIDENT_IDLE && !w->c->armed) {
        note(w, "it has fired: the trigger must be false once before it may fire again");
    }
    if (w->c != NULL && w->c->cause == EN_CAUSE_WITHHELD &&
        w->c->state == MP_INCIDENT_COOLDOWN) {
        note_withheld(w);
    }
    if (w->c != NULL && w->c->state == MP_INCIDENT_COOLDOWN) {
        note_time(w, "the cooldown ends at", as_event_time(w->e, w->c->cool_mono_ns));
    }
}

static void trigger_lines(const struct why *w)
{
    struct mp_engine *e = w->e;
    const struct mp_rule_row *r = &e->p->rule[w->rule];
    struct mp_read how = {.asker = w->c};
    if (r->trigger == MP_NONE) return;
    bool running = w->c != NULL && w->c->state <= MP_INCIDENT_PENDING;
    int64_t held = running ? mp_hold_progress(&w->c->trigger, e->now_ns) : 0;
    enum mp_truth truth = clause_lines(w, r->trigger, &how, held, r->hold_ns);
    if (running && truth == MP_TRUE && held < r->hold_ns && w->c->armed) {
        note_time(w, "it would fire at", e->now_ns + (r->hold_ns - held));
    }
    if (r->unless != MP_NONE) {
        const struct mp_clause_row *u = &e->p->clause[r->unless];
        int64_t so_far = w->c == NULL ? 0 : mp_hold_progress(&w->c->unless, e->now_ns);
        clause_lines(w, r->unless, &how, so_far, u->hold_ns);
    }
}

static void check_lines(const struct why *w)
{
    struct mp_engine *e = w->e;
    struct en_case *c = w->c;
    const struct mp_rule_row *r = &e->p->rule[w->rule];
    if (c == NULL || c->step == MP_NONE) return;
    const struct mp_step_row *step = &e->p->step[c->step];
    if (c->state == MP_INCIDENT_VERIFYING) {
        struct mp_read how = {.settled = true, .since_ns = c->check.from_ns, .asker = c};
        int64_t held = c->check.truth.on ? e->now_ns - c->check.truth.since_ns : 0;
        clause_lines(w, step->verify, &how, held, c->check.hold_ns);
        note_time(w, "the verdict falls at the latest at",
                  c->check.to_ns + en_clause_lateness(e, step->verify, c->key));
    }
    bool acting = c->state == MP_INCIDENT_VERIFYING || c->state == MP_INCIDENT_HOLDING;
    if (step->harm != MP_NONE && acting) {
        struct mp_read how = {.since_ns = c->effective_ns, .asker = c};
        clause_lines(w, step->harm, &how, mp_hold_progress(&c->harm, e->now_ns),
                     e->p->clause[step->harm].hold_ns);
    }
    if (r->until != MP_NONE && c->until_from_ns != MP_NEVER_NS) {
        struct mp_read how = {.settled = true, .asker = c};
        int64_t held = c->until.on ? e->now_ns - c->until.since_ns : 0;
        clause_lines(w, r->until, &how, held, e->p->clause[r->until].hold_ns);
    }
    int64_t end = last_end(e, c);
    if (end != 0) note_time(w, "it ends at the latest at", end);
}

/* Leases that the mesh does not carry, in its own words. */
static void trouble_lines(const struct why *w)
{
    struct mp_engine *e = w->e;
    if (w->c == NULL) return;
    for (uint32_t i = w->c->leases; i != EN_NONE; i = e->leases[i].next) {
        const struct en_lease *l = &e->leases[i];
        struct mp_buf b;
        if (l->state != MP_LEASE_STUCK) continue;
        mp_str text = en_trouble_of(e, l);
        if (text.len == 0) text = MP_STR("the mesh has not said why");
        mp_str verb = mp_program_text(e->p, e->p->action[l->l.action].name);
        mp_buf_printf(en_words(e, &b), "%.*s %.*s is stuck: %.*s", MP_STR_ARG(verb),
                      (int)l->target_len, l->target_text, MP_STR_ARG(text));
        tell(w, (struct mp_why_line){.kind = MP_WHY_NOTE, .text = mp_buf_view(&b)});
    }
}

/* The key whose text is this, by looking through all of them: a person waits, not a record. */
static uint32_t find_key(struct mp_engine *e, uint32_t grouping, mp_str text)
{
    uint32_t key = mp_window_next_key(e->window, grouping, 0);
    for (; key != MP_NONE; key = mp_window_next_key(e->window, grouping, key + 1)) {
        struct mp_buf b;
        mp_window_key_text(e->window, grouping, key, en_words(e, &b));
        bool same = mp_str_eq(mp_buf_view(&b), text);
        en_entry_begin(e);
        if (same) return key;
    }
    return MP_NONE;
}

/* Of what was decided by hand there is no condition to ask: who it was, why, and until when. */
static void why_manual(struct why *w, mp_str key)
{
    struct mp_engine *e = w->e;
    bool found = false;
    for (uint32_t i = 0; i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        struct mp_buf b;
        if (!c->used || !en_is_manual(c) || !mp_str_eq(en_case_key(e, c), key)) continue;
        found = true;
        w->c = c;
        state_line(w);
        mp_str reason = en_manual_reason(e, c);
        mp_buf_printf(en_words(e, &b), "decided by hand, by %.*s%s%.*s",
                      MP_STR_ARG(en_manual_who(e, c)), reason.len > 0 ? ": " : "",
                      MP_STR_ARG(reason));
        tell(w, (struct mp_why_line){.kind = MP_WHY_NOTE, .text = mp_buf_view(&b)});
        trouble_lines(w);
        int64_t end = last_end(e, c);
        if (end != 0) note_time(w, "it ends at the latest at", end);
    }
    if (!found) note(w, "nothing that was decided by hand holds for this key");
}

/* The key is PART:TYPE, or PART for all that it refuses. */
static void why_nack(struct why *w, mp_str key)
{
    struct mp_engine *e = w->e;
    for (uint32_t i = 0; i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        struct mp_buf b;
        if (!c->used || c->rule != EN_NACK) continue;
        mp_str own = en_case_key(e, c), part = en_nack_part(own);
        if (!mp_str_eq(own, key) && !mp_str_eq(part, key)) continue;
        if (w->c == NULL) {
            w->c = c;
            state_line(w);
        }
        mp_buf_printf(en_words(e, &b), "%.*s refused %.*s: %.*s", MP_STR_ARG(own),
                      MP_STR_ARG(en_manual_who(e, c)), MP_STR_ARG(en_manual_reason(e, c)));
        tell(w, (struct mp_why_line){.kind = MP_WHY_NOTE, .text = mp_buf_view(&b)});
        note_time(w, "it keeps what it had, since", c->opened_ns);
    }
    if (w->c == NULL) note(w, "it refuses nothing of what it was sent, as far as is known");
}

enum mp_err mp_engine_why(struct mp_engine *e, mp_str rule, mp_str key, void *ctx,
                          void (*line)(void *ctx, const struct mp_why_line *line))
{
    struct why w = {.e = e, .ctx = ctx, .line = line, .rule = MP_NONE};
    for (uint32_t r = 0; r < e->p->rule_count && w.rule == MP_NONE; r++) {
        if (en_rule_named(e, r, rule)) w.rule = r;
    }
    if (w.rule == MP_NONE && mp_str_eq(rule, en_rule_name(e, EN_MANUAL))) {
        why_manual(&w, key);
        return MP_OK;
    }
    if (w.rule == MP_NONE && mp_str_eq(rule, en_rule_name(e, EN_NACK))) {
        why_nack(&w, key);
        return MP_OK;
    }
    if (w.rule == MP_NONE) return MP_ENOTFOUND;
    const struct mp_rule_row *r = &e->p->rule[w.rule];
    if (r->kind != MP_RULE_LOOP) {
        note(&w, "it looks at each record by itself and keeps nothing per key");
        return MP_OK;
    }
    w.key = find_key(e, r->grouping, key);
    if (w.key == MP_NONE) {
        note(&w, "nothing is known of this key");
        return MP_OK;
    }
    w.c = en_case_find(e, w.rule, w.key);
    state_line(&w);
    trigger_lines(&w);
    check_lines(&w);
    trouble_lines(&w);
    if (e->braked) note(&w, "the brake is on: nothing new is enforced");
    return MP_OK;
}
