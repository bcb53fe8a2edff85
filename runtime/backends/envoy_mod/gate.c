/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/gate.h"

#include <stdlib.h>

#include "base/assert.h"
#include "envoy_mod/gate_priv.h"

/* ---- life ---- */

static void *memory_get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

/* Fresh pages are clear and not there yet: a table for many leases costs what is used of it. */
static void *memory_zeroed(void *ctx, size_t size)
{
    (void)ctx;
    return calloc(1, size);
}

static void memory_free(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    (void)size;
    free(ptr);
}

static enum mp_err open_workers(struct mp_gate *g)
{
    g->workers = MP_NEW(&g->arena, struct worker, g->worker_count);
    if (g->workers == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < g->worker_count; i++) {
        MP_TRY(mp_inproc_reader_open(g->table, &g->workers[i].epoch));
    }
    return MP_OK;
}

static enum mp_err fill(struct mp_gate *g, const struct mp_gate_options *options)
{
    struct mp_inproc_limits limits = {
        .leases = options->leases, .readers = options->workers, .cuts = options->cuts};
    MP_TRY(mp_inproc_create(&g->arena, limits, g->key, &g->table));
    MP_TRY(mp_verdict_buckets_create(&g->arena, BUCKET_KEYS, g->key, &g->buckets));
    return open_workers(g);
}

enum mp_err mp_gate_create(const struct mp_gate_options *options, struct mp_gate **out)
{
    if (options->workers == 0) return MP_EINVAL;
    struct mp_gate *g = calloc(1, sizeof *g);
    if (g == NULL) return MP_ENOMEM;
    g->os = *options->os;
    g->key = options->key;
    g->worker_count = options->workers;
    g->memory = (struct mp_alloc){memory_get, memory_free, NULL, memory_zeroed};
    mp_arena_init(&g->arena, &g->memory, 0);
    enum mp_err err = fill(g, options);
    if (err != MP_OK) {
        mp_gate_destroy(g);
        return err;
    }
    *out = g;
    return MP_OK;
}

void mp_gate_destroy(struct mp_gate *g)
{
    if (g == NULL) return;
    while (g->current != NULL) {
        struct world *w = g->current;
        g->current = w->older;
        gate_world_destroy(g, w);
    }
    free(g->lines);
    mp_arena_free(&g->arena);
    free(g);
}

/* ---- the publisher ---- */

/* Readers find the new world from now on; the old one goes when they all have passed. */
static enum mp_err publish(struct mp_gate *g, struct world *w, uint64_t *number)
{
    MP_TRY(mp_inproc_set_context(g->table, w, number));
    if (g->current != NULL) g->current->retired_by = *number;
    w->older = g->current;
    g->current = w;
    return MP_OK;
}

static enum mp_err put_world(struct mp_gate *g, struct generation *gen, mp_str lines,
                             uint64_t *number, const char **why)
{
    struct world *w = NULL;
    *why = "no room for the inventory";
    MP_TRY(gate_world_create(g, gen, lines, &w));
    enum mp_err err = publish(g, w, number);
    if (err == MP_OK) return MP_OK;
    *why = "workers still hold older programs";
    gen->uses++; /* the caller's, who frees a program that is in no world */
    gate_world_destroy(g, w);
    gen->uses--;
    return err;
}

enum mp_err mp_gate_program(struct mp_gate *g, struct mp_frame_program *program, const char **why)
{
    struct generation *gen = NULL;
    uint64_t number;
    MP_TRY(gate_generation_create(g, program, &gen, why));
    enum mp_err err = put_world(g, gen, (mp_str){g->lines, g->lines_len}, &number, why);
    if (err != MP_OK) {
        gate_generation_destroy(g, gen);
        return err;
    }
    g->program_number = number;
    return MP_OK;
}

enum mp_err mp_gate_inventory(struct mp_gate *g, mp_str lines, const char **why)
{
    uint64_t number;
    *why = "no room for the inventory";
    char *kept = malloc(lines.len + 1);
    if (kept == NULL) return MP_ENOMEM;
    if (lines.len > 0) memcpy(kept, lines.ptr, lines.len);
    /* Without a program nobody knows what a line says; with the first one they are read. */
    enum mp_err err =
        g->current != NULL ? put_world(g, g->current->gen, lines, &number, why) : MP_OK;
    if (err != MP_OK) {
        free(kept);
        return err;
    }
    free(g->lines);
    g->lines = kept;
    g->lines_len = lines.len;
    return MP_OK;
}

static bool ends_streams(const struct mpol_lease *l)
{
    static const enum mp_inproc_verb which[] = {MP_INPROC_DENY, MP_INPROC_QUARANTINE,
                                                MP_INPROC_CUT};
    mp_str verb = {l->verb.ptr, l->verb.len};
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
        if (mp_str_eq(verb, mp_inproc_verb_word(which[i]))) return true;
    }
    return false;
}

static const char *why_not(enum mpol_err err)
{
    switch (err) {
    case MPOL_EAGAIN: return "workers still hold older tables";
    case MPOL_ELIMIT: return "more leases than there is room for";
    case MPOL_EUNSUPPORTED: return "a lease that the module cannot carry";
    default: return "a lease that is not well formed";
    }
}

enum mp_err mp_gate_leases(struct mp_gate *g, const struct mpol_desired *set, const char **why)
{
    enum mpol_err err = mp_inproc_ops.apply(g->table, set);
    if (err != MPOL_OK) {
        *why = why_not(err);
        return (enum mp_err)err;
    }
    g->may_cut = false;
    for (size_t i = 0; i < set->lease_count && !g->may_cut; i++)
        g->may_cut = ends_streams(&set->leases[i]);
    return MP_OK;
}

void mp_gate_step(struct mp_gate *g)
{
    if (g->current == NULL) return;
    for (struct world **at = &g->current->older; *at != NULL;) {
        struct world *w = *at;
        if (mp_inproc_passed(g->table, w->retired_by)) {
            *at = w->older;
            gate_world_destroy(g, w);
        } else {
            at = &w->older;
        }
    }
}

void mp_gate_passed(const struct mp_gate *g, uint64_t *program, uint64_t *leases)
{
    struct mpol_progress progress = {.size = sizeof progress};
    mp_inproc_ops.progress(g->table, &progress);
    *leases = progress.effective;
    bool passed = g->current != NULL && mp_inproc_passed(g->table, g->program_number);
    *program = passed ? g->current->gen->revision : 0;
}

bool mp_gate_may_cut(const struct mp_gate *g) { return g->may_cut; }

/* ---- workers ---- */

static void count_up(_Atomic uint64_t *counter)
{
    /* One writer: no read-modify-write is needed. */
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

/* A request at hand. */
struct asked {
    struct mp_gate *g;
    const struct world *w;
    struct decoder *d;
    const struct mp_gate_host *host;
    int64_t wall_ns;
    uint32_t layer;
};

static bool get_caller(const struct asked *a, struct mp_field_in *out)
{
    static const struct mp_gate_want who = {.source = MP_GATE_PEER};
    if (a->host->get(a->host->ctx, &who, out) != MP_GATE_IS) return false;
    out->text = gate_caller(a->g, a->w, out->text);
    return out->text.len > 0;
}

static enum mp_gate_got get_want(const struct asked *a, const struct mp_gate_want *want,
                                 struct mp_field_in *out)
{
    if (want->source != MP_GATE_CALLER) return a->host->get(a->host->ctx, want, out);
    return get_caller(a, out) ? MP_GATE_IS : MP_GATE_ABSENT;
}

/* Some of the fields. False: an inline rule looks at what is too long to be told. */
static bool decode(const struct asked *a, uint32_t from, uint32_t to, const struct mp_record *out)
{
    const struct generation *gen = a->w->gen;
    bool whole = true;
    for (uint32_t i = from; i < to; i++) {
        const struct mp_gate_want *want = &gen->wants[i];
        struct mp_field_in field;
        if (want->at_end) continue;
        field.name = want->slot;
        enum mp_gate_got got = get_want(a, want, &field);
        if (got == MP_GATE_IS) mp_ingest_give(a->d->ingest, out, &field);
        if (got == MP_GATE_TOO_LONG && want->judged) whole = false;
    }
    return whole;
}

static void begin(const struct asked *a, struct mp_record *out)
{
    mp_ingest_begin(a->d->ingest, a->w->gen->signal, a->wall_ns, out);
    out->layer = a->layer;
}

static void finish(const struct asked *a, struct mp_record *out)
{
    mp_ingest_finish(a->d->ingest, out);
    out->layer = a->layer;
}

static void too_long(struct mp_gate_answer *out)
{
    mp_str rule = MP_GATE_TOO_LONG_RULE;
    *out = (struct mp_gate_answer){.status = 431, .rule_len = (uint32_t)rule.len};
    memcpy(out->rule, rule.ptr, rule.len);
}

static void answer_out(const struct mp_verdict_answer *a, struct mp_gate_answer *out)
{
    out->allow = a->allow;
    out->by_lease = a->reason == MP_VERDICT_REASON_LEASE;
    out->status = a->status;
    out->retry_after_ns = a->retry_after_ns;
    out->rule_len = (uint32_t)(a->rule.len < MP_GATE_RULE_MAX ? a->rule.len : MP_GATE_RULE_MAX);
    if (out->rule_len > 0) memcpy(out->rule, a->rule.ptr, out->rule_len);
    out->key_len = 0;
}

/* Whom the inline rule was held for that refused the request. */
static void key_out(const struct generation *gen, struct decoder *d,
                    const struct mp_verdict_answer *a, struct mp_gate_answer *out)
{
    for (uint32_t i = 0; i < a->fired_count; i++) {
        if (!a->fired[i].refused) continue;
        size_t len =
            mp_verdict_key(gen->plan, a->fired[i].rule, d->scratch, out->key, sizeof out->key);
        out->key_len = (uint32_t)len;
        return;
    }
}

/* An exception or a guard lets it through, whatever the rules would say. */
static bool passes_all(const struct mp_verdict_answer *a)
{
    return a->reason == MP_VERDICT_REASON_EXEMPT || a->reason == MP_VERDICT_REASON_GUARD;
}

static const struct world *judged_by(const struct mp_inproc_view *view)
{
    const struct world *w = view->context;
    return w != NULL && w->gen->signal != MP_NONE ? w : NULL;
}

static void judge(const struct asked *a, struct worker *w, const struct mp_inproc_view *view,
                  struct mp_gate_answer *out)
{
    const struct generation *gen = a->w->gen;
    struct mp_record record;
    begin(a, &record);
    /* Most requests are let through after a few fields. */
    bool whole = decode(a, 0, gen->first_count, &record);
    if (whole && !mp_verdict_first_look(gen->plan, view, &record, a->d->scratch)) return;
    whole = decode(a, gen->first_count, gen->want_count, &record) && whole;
    finish(a, &record);
    mp_verdict_ask(gen->plan, a->g->buckets, view, a->w->inventory, &record, a->d->scratch,
                   &w->answer);
    if (!w->answer.allow) {
        answer_out(&w->answer, out);
        key_out(gen, a->d, &w->answer, out);
    } else if (!whole && !passes_all(&w->answer)) {
        too_long(out);
    }
}

void mp_gate_ask(struct mp_gate *g, uint32_t worker, const struct mp_gate_host *host,
                 int64_t wall_ns, uint32_t layer, struct mp_gate_answer *out)
{
    MP_ASSERT(worker < g->worker_count);
    struct worker *w = &g->workers[worker];
    const struct mp_inproc_view *view = mp_inproc_enter(w->epoch);
    const struct world *world = judged_by(view);
    out->allow = true;
    if (world != NULL) {
        struct asked asked = {g, world, &world->gen->decoders[worker], host, wall_ns, layer};
        judge(&asked, w, view, out);
    }
    mp_inproc_leave(w->epoch);
    count_up(&w->verdicts);
    if (!out->allow) count_up(&w->refusals);
}

void mp_gate_recheck(struct mp_gate *g, uint32_t worker, const struct mp_gate_host *host,
                     int64_t wall_ns, int64_t began_ns, uint32_t layer,
                     struct mp_gate_answer *out)
{
    MP_ASSERT(worker < g->worker_count);
    struct worker *w = &g->workers[worker];
    const struct mp_inproc_view *view = mp_inproc_enter(w->epoch);
    const struct world *world = judged_by(view);
    out->allow = true;
    if (world != NULL && view->lease_count > 0) {
        struct asked asked = {g, world, &world->gen->decoders[worker], host, wall_ns, layer};
        struct mp_record record;
        begin(&asked, &record);
        decode(&asked, 0, world->gen->want_count, &record);
        finish(&asked, &record);
        mp_verdict_recheck(world->gen->plan, view, world->inventory, &record, began_ns,
                           asked.d->scratch, &w->answer);
        if (!w->answer.allow) answer_out(&w->answer, out);
    }
    mp_inproc_leave(w->epoch);
}

const struct mp_gate_want *mp_gate_enter(struct mp_gate *g, uint32_t worker, uint32_t *count)
{
    MP_ASSERT(worker < g->worker_count);
    const struct mp_inproc_view *view = mp_inproc_enter(g->workers[worker].epoch);
    const struct world *world = judged_by(view);
    g->workers[worker].entered = world;
    *count = world != NULL ? world->gen->want_count : 0;
    return world != NULL ? world->gen->wants : NULL;
}

mp_str mp_gate_caller(struct mp_gate *g, uint32_t worker, mp_str identity)
{
    const struct world *world = g->workers[worker].entered;
    return world != NULL ? gate_caller(g, world, identity) : MP_STR("");
}

void mp_gate_leave(struct mp_gate *g, uint32_t worker)
{
    mp_inproc_leave(g->workers[worker].epoch);
}

void mp_gate_counts(const struct mp_gate *g, uint64_t *verdicts, uint64_t *refusals)
{
    *verdicts = *refusals = 0;
    for (uint32_t i = 0; i < g->worker_count; i++) {
        *verdicts += atomic_load_explicit(&g->workers[i].verdicts, memory_order_relaxed);
        *refusals += atomic_load_explicit(&g->workers[i].refusals, memory_order_relaxed);
    }
}
