/* SPDX-License-Identifier: Apache-2.0
 * What it did, and why.
 */
#include "api/api_priv.h"

enum mpol_err mpol_engine_watch(struct mpol_engine *e, mpol_entry_fn entry, void *ctx)
{
    e->watch = entry;
    e->watch_ctx = ctx;
    return MPOL_OK;
}

struct line_to {
    int (*line)(void *ctx, uint64_t seq, struct mpol_text json);
    void *ctx;
};

static bool line_out(void *ctx, uint64_t seq, mp_str json)
{
    const struct line_to *to = ctx;
    return to->line(to->ctx, seq, api_text(json)) == 0;
}

enum mpol_err mpol_engine_ledger(const struct mpol_engine *e, uint64_t after_seq,
                                 int (*line)(void *ctx, uint64_t seq, struct mpol_text json),
                                 void *ctx)
{
    struct line_to to = {line, ctx};
    return (enum mpol_err)mp_engine_entries(e->core, after_seq, &to, line_out);
}

enum mpol_err mpol_engine_status(const struct mpol_engine *e, struct mpol_status *out)
{
    struct mp_engine_status s;
    mp_engine_status(e->core, &s);
    struct mpol_status full = {
        .size = sizeof full, .now_wall_ns = s.now_ns, .generation = e->generation_number,
        .records = s.records, .late = s.late, .bad_lines = e->bad_lines, .entries = s.entries,
        .dropped = e->closed.dropped, .verdicts = e->closed.verdicts,
        .refusals = e->closed.refusals, .protected_requests = e->closed.guarded,
        .native = e->closed.native + e->records_native,
        .incidents_open = s.incidents_open, .leases_in_force = s.leases_in_force,
        .braked = s.braked, .memory_bytes = s.memory_bytes + e->arena.used_bytes};
    for (uint32_t i = 0; i < e->limits.readers_max; i++) {
        const struct mpol_reader *r = &e->readers[i];
        full.verdicts += atomic_load_explicit(&r->verdicts, memory_order_relaxed);
        full.refusals += atomic_load_explicit(&r->refusals, memory_order_relaxed);
        full.protected_requests += atomic_load_explicit(&r->guarded, memory_order_relaxed);
        full.native += atomic_load_explicit(&r->native, memory_order_relaxed);
        full.dropped += atomic_load_explicit(&r->dropped, memory_order_relaxed) +
                        atomic_load_explicit(&r->notes_dropped, memory_order_relaxed);
    }
    full.interpreted = full.verdicts + e->records - full.native;
    struct generation *g = e->current;
    if (g->job == NULL || !g->jit->ended(g->job, &full.native_compile_ns))
        full.native_compile_ns = 0;
    size_t size = out->size < sizeof full ? out->size : sizeof full;
    full.size = out->size;
    memcpy(out, &full, size);
    return MPOL_OK;
}

struct incident_to {
    int (*incident)(void *ctx, const struct mpol_incident *i);
    void *ctx;
};

static bool incident_out(void *ctx, const struct mp_incident_view *v)
{
    const struct incident_to *to = ctx;
    struct mpol_incident i = {.size = sizeof i, .id = v->id, .rule = api_text(v->rule_name),
                              .key = api_text(v->key), .state = api_text(v->state),
                              .rung = v->rung, .opened_wall_ns = v->opened_ns};
    return to->incident(to->ctx, &i) == 0;
}

enum mpol_err mpol_engine_incidents(const struct mpol_engine *e,
                                    int (*incident)(void *ctx, const struct mpol_incident *i),
                                    void *ctx)
{
    struct incident_to to = {incident, ctx};
    mp_engine_incidents(e->core, &to, incident_out);
    return MPOL_OK;
}

/* ---- why ---- */

struct why_to {
    mpol_write_fn write;
    void *ctx;
    mp_str rule, key;
};

static void why_out(void *ctx, const struct mp_why_line *w)
{
    const struct why_to *to = ctx;
    char memory[8192];
    struct mp_arena arena;
    struct mp_buf b;
    mp_arena_init_fixed(&arena, memory, sizeof memory);
    mp_buf_init(&b, &arena);
    mp_why_print(&b, to->rule, to->key, w);
    mp_str line = mp_buf_view(&b);
    to->write(to->ctx, line.ptr, line.len);
}

enum mpol_err mpol_engine_why(struct mpol_engine *e, struct mpol_text rule, struct mpol_text key,
                              mpol_write_fn write, void *ctx)
{
    struct why_to to = {write, ctx, api_str(rule), api_str(key)};
    return (enum mpol_err)mp_engine_why(e->core, to.rule, to.key, &to, why_out);
}
