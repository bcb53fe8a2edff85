/* SPDX-License-Identifier: Apache-2.0
 * A reader: verdicts out, records and notes in. Nothing here locks or allocates after open.
 */
#include "api/api_priv.h"

#include "base/assert.h"

#define NS_PER_S INT64_C(1000000000)

/* ---- open and close: the engine's thread ---- */

enum mpol_err mpol_reader_open(struct mpol_engine *e, struct mpol_reader **out)
{
    for (uint32_t i = 0; i < e->limits.readers_max; i++) {
        struct mpol_reader *r = &e->readers[i];
        if (r->epoch != NULL) continue;
        for (struct generation *g = e->current; g != NULL; g = g->older) {
            API_TRY(api_generation_reader(e, g, i));
        }
        API_TRY(mp_inproc_reader_open(e->inproc, &r->epoch));
        *out = r;
        return MPOL_OK;
    }
    return MPOL_ELIMIT;
}

void mpol_reader_close(struct mpol_reader *r)
{
    if (r == NULL) return;
    struct mpol_engine *e = r->engine;
    api_readers_drain(e);
    mp_inproc_reader_close(r->epoch);
    r->epoch = NULL;
    e->closed.verdicts += atomic_exchange(&r->verdicts, 0);
    e->closed.refusals += atomic_exchange(&r->refusals, 0);
    e->closed.guarded += atomic_exchange(&r->guarded, 0);
    e->closed.dropped += atomic_exchange(&r->dropped, 0) + atomic_exchange(&r->notes_dropped, 0);
    e->closed.native += atomic_exchange(&r->native, 0);
    memset(r->tallies, 0, sizeof r->tallies);
}

/* ---- verdicts: the reader's thread ---- */

static void count_up(_Atomic uint64_t *counter)
{
    /* One writer: no read-modify-write is needed. */
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

static struct mpol_text keep_text(mp_str s, char *out, size_t size)
{
    size_t len = s.len < size ? s.len : size;
    if (len > 0) memcpy(out, s.ptr, len);
    return (struct mpol_text){out, len};
}

static struct note *note_slot(struct mpol_reader *r)
{
    uint32_t head = atomic_load_explicit(&r->note_head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&r->note_tail, memory_order_acquire);
    if (head - tail == NOTES) {
        count_up(&r->notes_dropped);
        return NULL;
    }
    return &r->notes[head % NOTES];
}

static void note_push(struct mpol_reader *r)
{
    uint32_t head = atomic_load_explicit(&r->note_head, memory_order_relaxed);
    atomic_store_explicit(&r->note_head, head + 1, memory_order_release);
}

static void note_messages(struct mpol_reader *r, const struct generation *g,
                          const struct mp_verdict_fired *f, struct mp_verdict_scratch *scratch,
                          const struct note *like)
{
    const struct mp_program *p = g->program->p;
    const struct mp_rule_row *rule = &p->rule[f->rule];
    for (uint32_t i = 0; i < rule->steps_count; i++) {
        const struct mp_step_row *step = &p->step[rule->steps_at + i];
        for (uint32_t j = 0; j < step->acts_count; j++) {
            uint32_t act = step->acts_at + j;
            if (!mp_verdict_sends(p, f->rule, act)) continue;
            struct note *n = note_slot(r);
            if (n == NULL) return;
            *n = *like;
            n->act = act;
            n->count = 0;
            n->text_len = (uint32_t)mp_verdict_message(g->plan, &r->answer, f->rule, act, scratch,
                                                       n->text, sizeof n->text);
            note_push(r);
        }
    }
}

/* The first of each (rule, key) in a minute is told at once, with the count of what was not told
 * before; so a flood of requests is a trickle of notes (R49). */
static void note_fired(struct mpol_reader *r, const struct generation *g,
                       const struct mp_verdict_fired *f, struct mp_verdict_scratch *scratch,
                       int64_t wall_ns)
{
    struct note n = {.generation = g->number,
                     .rule = f->rule,
                     .act = MP_NONE,
                     .refused = f->refused,
                     .wall_ns = wall_ns};
    n.key_len = (uint32_t)mp_verdict_key(g->plan, f->rule, scratch, n.key, sizeof n.key);
    uint64_t hash = mp_siphash(r->engine->key, n.key, n.key_len);
    struct tally *t = &r->tallies[(hash + f->rule) % TALLIES];
    int64_t second = wall_ns / NS_PER_S, minute = second / 60;
    bool same = t->generation == g->number && t->rule == f->rule && t->key_hash == hash;
    if (!same) {
        *t = (struct tally){
            .generation = g->number, .rule = f->rule, .key_hash = hash, .minute = -1};
    }
    t->count++;
    if (t->minute != minute) {
        struct note *slot = note_slot(r);
        if (slot == NULL) return;
        n.count = t->count;
        *slot = n;
        note_push(r);
        t->minute = minute;
        t->count = 0;
    }
    if (t->message_second != second) {
        t->message_second = second;
        note_messages(r, g, f, scratch, &n);
    }
}

static void answer_out(struct mpol_reader *r, const struct mp_inproc_view *view,
                       struct mpol_verdict *out)
{
    const struct mp_verdict_answer *a = &r->answer;
    out->allow = a->allow;
    out->status = a->status;
    out->reason = (enum mpol_reason)a->reason;
    out->rule = keep_text(a->rule, r->rule, sizeof r->rule);
    out->verb = keep_text(a->verb, r->verb, sizeof r->verb);
    out->incident = a->incident;
    out->retry_after_ns = a->retry_after_ns;
    out->revision = view->revision;
    if (out->size < sizeof *out) return; /* made for a header that ends here */
    mp_str none = MP_STR("");
    out->send_to = keep_text(a->allow ? a->send_to : none, r->send_to, sizeof r->send_to);
}

enum mpol_err mpol_verdict(struct mpol_reader *r, struct mpol_record *request,
                           struct mpol_verdict *out)
{
    if (request->engine != r->engine) return MPOL_EINVAL;
    const struct mp_inproc_view *view = mp_inproc_enter(r->epoch);
    const struct replica *replica = view->context;
    const struct generation *g = replica->generation;
    struct decoder *d = g->readers[r->index];
    struct mp_record record;
    MP_ASSERT(d != NULL);

    if (api_decode(d, request, &record)) {
        mp_verdict_ask(g->plan, r->engine->buckets, view, replica->inventory, &record, d->scratch,
                       &r->answer);
        for (uint32_t i = 0; i < r->answer.fired_count; i++) {
            note_fired(r, g, &r->answer.fired[i], d->scratch, request->wall_ns);
        }
    } else {
        /* A signal that the program does not know is one that nothing in it concerns. */
        memset(&r->answer, 0, offsetof(struct mp_verdict_answer, fired));
        r->answer.allow = true;
    }
    request->judged = true;
    if (api_is_native(g)) count_up(&r->native);
    answer_out(r, view, out);
    mp_inproc_leave(r->epoch);

    count_up(&r->verdicts);
    if (!out->allow) count_up(&r->refusals);
    if (out->reason == MPOL_REASON_GUARD) count_up(&r->guarded);
    return MPOL_OK;
}

enum mpol_err mpol_reader_report(struct mpol_reader *r, const struct mpol_record *record)
{
    if (record->engine != r->engine) return MPOL_EINVAL; /* its records may be larger than ours */
    uint32_t head = atomic_load_explicit(&r->record_head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&r->record_tail, memory_order_acquire);
    uint32_t size = r->engine->limits.ring_records;
    if (head - tail == size) {
        count_up(&r->dropped);
        return MPOL_ELIMIT;
    }
    void *slot = r->records + (head % size) * api_record_size(r->engine);
    api_record_copy(slot, record);
    atomic_store_explicit(&r->record_head, head + 1, memory_order_release);
    return MPOL_OK;
}

/* ---- what they left: the engine's thread ---- */

static void take_records(struct mpol_engine *e, struct mpol_reader *r)
{
    uint32_t tail = atomic_load_explicit(&r->record_tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&r->record_head, memory_order_acquire);
    for (; tail != head; tail++) {
        size_t at = tail % e->limits.ring_records;
        api_engine_take(e, (const struct mpol_record *)(r->records + at * api_record_size(e)));
        atomic_store_explicit(&r->record_tail, tail + 1, memory_order_release);
    }
}

static void take_notes(struct mpol_engine *e, struct mpol_reader *r)
{
    uint32_t tail = atomic_load_explicit(&r->note_tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&r->note_head, memory_order_acquire);
    for (; tail != head; tail++) {
        const struct note *n = &r->notes[tail % NOTES];
        /* Rows are those of a program; what an older one decided at its very end is not told. */
        if (n->generation == e->current->number) {
            struct mp_inline_note note = {
                .rule = n->rule, .time_ns = n->wall_ns, .count = n->count, .refused = n->refused,
                .key = {n->key, n->key_len}, .act = n->act, .text = {n->text, n->text_len}};
            mp_engine_inline(e->core, &note);
        }
        atomic_store_explicit(&r->note_tail, tail + 1, memory_order_release);
    }
}

void api_readers_drain(struct mpol_engine *e)
{
    for (uint32_t i = 0; i < e->limits.readers_max; i++) {
        struct mpol_reader *r = &e->readers[i];
        if (r->epoch == NULL) continue;
        take_notes(e, r);
        take_records(e, r);
    }
}
