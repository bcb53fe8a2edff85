/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_priv.h"

#include "base/assert.h"
#include "program/layout.h"

/* ---- what the core tells ---- */

static void on_entry(void *ctx, const struct mp_entry *x, mp_str json)
{
    struct mpol_engine *e = ctx;
    if (e->watch == NULL) return;
    struct mpol_entry out = {
        .size = sizeof out, .seq = x->seq, .wall_ns = x->time_ns,
        .machine = mpol_text(x->machine == MP_MACHINE_LEASE ? "lease" : "incident"),
        .rule = api_text(x->rule), .key = api_text(x->key), .incident = x->incident,
        .lease = x->lease, .rung = x->rung, .verb = api_text(x->verb),
        .target = api_text(x->target), .from = api_text(x->from), .to = api_text(x->to),
        .why = api_text(x->why), .json = api_text(json)};
    e->watch(e->watch_ctx, &out);
}

static enum mp_err on_message(void *ctx, const struct mp_message *m)
{
    struct mpol_engine *e = ctx;
    char key[64];
    struct mp_arena arena;
    mp_arena_init_fixed(&arena, key, sizeof key);
    mp_str idempotency = mp_arena_printf(&arena, "mpol-%llu", (unsigned long long)m->id);
    struct mpol_message out = {
        .size = sizeof out, .id = m->id, .idempotency_key = api_text(idempotency),
        .channel = api_text(m->channel), .verb = api_text(m->verb),
        .rule = api_text(m->rule_name), .incident = m->incident, .text = api_text(m->text),
        .wall_ns = m->time_ns};
    mp_str to = m->channel.len > 0 ? m->channel : m->verb; /* `audit` and `page` have no `via` */
    uint32_t fallback = e->channel_count;
    for (uint32_t i = 0; i < e->channel_count; i++) {
        mp_str name = mp_str_of(e->channels[i].name);
        if (name.len == 0) fallback = i;
        if (!mp_str_eq(name, to) || name.len == 0) continue;
        return (enum mp_err)e->channels[i].send(e->channels[i].ctx, &out);
    }
    if (fallback == e->channel_count) return MP_OK; /* nobody listens; the ledger has it */
    return (enum mp_err)e->channels[fallback].send(e->channels[fallback].ctx, &out);
}

/* ---- life ---- */

static void limits_default(const struct mpol_limits *from, struct mpol_limits *out)
{
    memset(out, 0, sizeof *out);
    if (from->size > 0) memcpy(out, from, from->size < sizeof *out ? from->size : sizeof *out);
#define OR(member, value)                                                                          \
    if (out->member == 0) out->member = (value)
    OR(memory_bytes, (size_t)256 << 20);
    OR(keys_max, 100000);
    OR(incidents_max, 4096);
    OR(leases_max, 2048);
    OR(readers_max, 64);
    OR(ring_records, 64);
    OR(record_bytes, 1024);
    OR(ledger_bytes, (size_t)4 << 20);
    OR(inventory_items, 4096);
    OR(buckets_max, 65536);
#undef OR
    /* Counters of a ring run over: only a power of two then goes on where it was. */
    uint32_t ring = 1;
    while (ring < out->ring_records && ring < UINT32_C(1) << 31) ring *= 2;
    out->ring_records = ring;
}

static bool is_time(int64_t wall_ns) { return wall_ns >= 0 && wall_ns <= MP_LINE_TIME_MAX_NS; }

static enum mp_err draw_key(struct mpol_engine *e, uint64_t seed)
{
    uint64_t state = seed * 2 + 1;
    e->key = (struct mp_hash_key){mp_rng_next(&state), mp_rng_next(&state)};
    if (e->world.os.random == NULL) return MP_OK;
    return e->world.os.random(e->world.os.ctx, &e->key, sizeof e->key);
}

static enum mp_err readers_create(struct mpol_engine *e)
{
    e->readers = MP_NEW(&e->arena, struct mpol_reader, e->limits.readers_max);
    if (e->readers == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < e->limits.readers_max; i++) {
        struct mpol_reader *r = &e->readers[i];
        r->engine = e;
        r->index = i;
        r->notes = MP_NEW(&e->arena, struct note, NOTES);
        r->records = mp_arena_alloc(&e->arena, e->limits.ring_records * api_record_size(e), 64);
        if (r->notes == NULL || r->records == NULL) return MP_ENOMEM;
        for (uint32_t j = 0; j < e->limits.ring_records; j++) {
            struct mpol_record *slot = (struct mpol_record *)(r->records + j * api_record_size(e));
            slot->byte_cap = e->limits.record_bytes;
        }
    }
    return MP_OK;
}

static enum mp_err core_create(struct mpol_engine *e, struct mp_program *p,
                               const struct mpol_engine_options *options)
{
    struct mp_engine_options o = {
        .clock = e->clock == MPOL_CLOCK_REPLAY ? MP_ENGINE_REPLAY : MP_ENGINE_LIVE,
        .limits = {.memory_bytes = e->limits.memory_bytes, .keys = e->limits.keys_max,
                   .incidents = e->limits.incidents_max, .leases = e->limits.leases_max,
                   .ledger_bytes = e->limits.ledger_bytes},
        .hash_key = e->key,
        .plan = e->current->plan,
        .buckets = e->buckets,
        .now_ns = options->start_wall_ns,
        .mono_ns = e->world.os.mono_ns != NULL ? e->world.os.mono_ns(e->world.os.ctx)
                                               : options->start_wall_ns};
    struct mp_engine_sinks sinks = {.ctx = e, .entry = on_entry, .message = on_message};
    MP_TRY(mp_engine_create(p, &e->world.os, &o, &sinks, &e->core));
    return mp_engine_backend(e->core, &mp_inproc_ops, e->inproc);
}

static enum mp_err engine_fill(struct mpol_engine *e, struct mpol_program *program,
                               const struct mpol_engine_options *options)
{
    struct mp_inproc_limits inproc = {.leases = e->limits.leases_max,
                                      .readers = e->limits.readers_max};
    MP_TRY(draw_key(e, options->seed));
    MP_TRY(mp_inproc_create(&e->arena, inproc, e->key, &e->inproc));
    MP_TRY(mp_verdict_buckets_create(&e->arena, e->limits.buckets_max, e->key, &e->buckets));
    MP_TRY(readers_create(e));
    MP_TRY(api_generation_create(e, program, &e->current, NULL));
    MP_TRY(core_create(e, program->p, options));
    return api_generation_publish(e, e->current);
}

static void engine_free(struct mpol_engine *e)
{
    if (e->core != NULL) mp_engine_destroy(e->core);
    for (struct generation *g = e->current; g != NULL;) {
        struct generation *older = g->older;
        api_generation_destroy(g);
        g = older;
    }
    mp_arena_free(&e->arena);
    struct api_world w = e->world;
    w.alloc.free(&w, e, sizeof *e);
}

enum mpol_err mpol_engine_create(const struct mpol_engine_options *options,
                                 struct mpol_program *program, struct mpol_engine **out)
{
    struct api_world w;
    if (options == NULL || program == NULL) { /* as after a policy that did not compile */
        mpol_program_free(program);
        return MPOL_EINVAL;
    }
    api_world_init(&w, options->world);
    bool timely = is_time(options->start_wall_ns);
    struct mpol_engine *e = timely ? w.alloc.alloc(&w, sizeof *e) : NULL;
    if (e == NULL) {
        mpol_program_free(program);
        return timely ? MPOL_ENOMEM : MPOL_EINVAL;
    }
    memset(e, 0, sizeof *e);
    api_world_init(&e->world, options->world);
    limits_default(&options->limits, &e->limits);
    mp_arena_init(&e->arena, &e->world.alloc, e->limits.memory_bytes);
    e->clock = options->clock;
    e->now_wall_ns = options->start_wall_ns;
    e->generation_number = 1;
    enum mp_err err = engine_fill(e, program, options);
    if (err == MP_OK) {
        *out = e;
        return MPOL_OK;
    }
    if (e->current == NULL) mpol_program_free(program);
    engine_free(e);
    return (enum mpol_err)err;
}

void mpol_engine_destroy(struct mpol_engine *e)
{
    if (e == NULL) return;
    for (uint32_t i = 0; i < e->limits.readers_max; i++) {
        MP_ASSERT(e->readers[i].epoch == NULL); /* a reader would go on reading freed memory */
    }
    engine_free(e);
}

enum mpol_err mpol_engine_reload(struct mpol_engine *e, struct mpol_program *program,
                                 const char **why)
{
    const char *reason = "out of memory";
    struct generation *g = NULL;
    if (program == NULL) {
        if (why != NULL) *why = "there is no program";
        return MPOL_EINVAL;
    }
    enum mp_err err = api_generation_create(e, program, &g, &reason);
    if (err == MP_OK) err = mp_engine_swap_planned(e->core, program->p, g->plan, &reason);
    if (err != MP_OK) {
        if (why != NULL) *why = reason;
        if (g != NULL) {
            api_generation_destroy(g);
        } else {
            mpol_program_free(program);
        }
        return (enum mpol_err)err;
    }
    g->older = e->current;
    e->current = g;
    e->generation_number++;
    api_generation_step(e);
    return MPOL_OK;
}

enum mpol_err mpol_engine_param(struct mpol_engine *e, struct mpol_text name,
                                struct mpol_text value)
{
    /* Readers use the program in force, so its parameters stay as they are: a copy takes its
     * place. */
    const struct mpol_program *old = e->current->program;
    struct mpol_program *fresh = NULL;
    enum mpol_err err =
        mpol_program_load(old->image.ptr, old->image.len, &e->world.theirs, &fresh, NULL);
    if (err != MPOL_OK) return err;
    err = (enum mpol_err)mp_program_copy_params(fresh->p, old->p);
    if (err == MPOL_OK) err = mpol_program_param(fresh, name, value);
    if (err != MPOL_OK) {
        mpol_program_free(fresh);
        return err;
    }
    return mpol_engine_reload(e, fresh, NULL);
}

enum mpol_err mpol_engine_native(struct mpol_engine *e, const void *jit)
{
    const struct mp_jit_ops *ops = jit;
    if (ops == NULL) return MPOL_EINVAL;
    if (ops->layout != mp_layout_mark()) return MPOL_ESTALE;
    e->jit = ops;
    api_generation_compile(e);
    return MPOL_OK;
}

/* ---- records in, time on ---- */

void api_engine_take(struct mpol_engine *e, const struct mpol_record *r)
{
    struct mp_record record;
    if (!api_decode(&e->current->own, r, &record)) return;
    e->records++;
    e->records_native += api_is_native(e->current);
    if (r->judged) {
        mp_engine_record_judged(e->core, &record);
    } else {
        mp_engine_record(e->core, &record);
    }
}

enum mpol_err mpol_engine_feed(struct mpol_engine *e, const struct mpol_record *record)
{
    if (record->engine != e) return MPOL_EINVAL;
    api_engine_take(e, record);
    return MPOL_OK;
}

enum mpol_err mpol_engine_feed_line(struct mpol_engine *e, const char *line, size_t len)
{
    struct mp_ingested in;
    int64_t without_time = e->clock == MPOL_CLOCK_LIVE ? e->now_wall_ns : 0;
    switch (mp_ingest_line(e->current->own.ingest, (mp_str){line, len}, 0, without_time, &in)) {
    case MP_INGEST_RECORD:
        mp_engine_record(e->core, &in.record);
        return MPOL_OK;
    case MP_INGEST_ALIVE:
        mp_engine_alive(e->core, 0, in.signal, in.record.time_ns);
        return MPOL_OK;
    case MP_INGEST_ENTITY:
        API_TRY(mp_inventory_put(mp_engine_inventory(e->core), in.entity));
        mp_engine_inventory_changed(e->core);
        return MPOL_OK;
    case MP_INGEST_OTHER:
        return MPOL_OK;
    case MP_INGEST_BAD:
        break;
    }
    e->bad_lines++;
    return MPOL_EINVAL;
}

enum mpol_err mpol_engine_step(struct mpol_engine *e, int64_t wall_ns)
{
    if (!is_time(wall_ns)) return MPOL_EINVAL;
    if (wall_ns > e->now_wall_ns) e->now_wall_ns = wall_ns;
    int64_t mono =
        e->world.os.mono_ns != NULL ? e->world.os.mono_ns(e->world.os.ctx) : e->now_wall_ns;
    api_readers_drain(e);
    mp_engine_advance(e->core, e->now_wall_ns, mono);
    api_generation_step(e);
    return MPOL_OK;
}

int64_t mpol_engine_next(const struct mpol_engine *e) { return mp_engine_next(e->core); }

/* ---- backends, channels, the operator ---- */

enum mpol_err mpol_engine_backend(struct mpol_engine *e, const struct mpol_backend_ops *ops,
                                  void *backend)
{
    bool whole = ops != NULL && ops->size >= offsetof(struct mpol_backend_ops, close) &&
        ops->name != NULL && ops->apply != NULL && ops->progress != NULL &&
        (ops->read_back != NULL || (ops->flags & MPOL_BACKEND_UNPROVEN) != 0);
    return whole ? (enum mpol_err)mp_engine_backend(e->core, ops, backend) : MPOL_EINVAL;
}

enum mpol_err mpol_engine_unsupported(const struct mpol_engine *e, struct mpol_text *verb)
{
    uint32_t action = mp_engine_unsupported(e->core);
    if (action == MP_NONE) return MPOL_OK;
    const struct mp_program *p = e->current->program->p;
    *verb = api_text(mp_program_text(p, p->action[action].name));
    return MPOL_EUNSUPPORTED;
}

enum mpol_err mpol_engine_channel(struct mpol_engine *e, const char *name, mpol_send_fn send,
                                  void *ctx)
{
    size_t max = sizeof e->channels / sizeof *e->channels;
    if (name == NULL || send == NULL) return MPOL_EINVAL;
    if (e->channel_count == max || strlen(name) >= sizeof e->channels[0].name) return MPOL_ELIMIT;
    uint32_t i = e->channel_count++;
    memcpy(e->channels[i].name, name, strlen(name) + 1);
    e->channels[i].send = send;
    e->channels[i].ctx = ctx;
    return MPOL_OK;
}

enum mpol_err mpol_engine_message_done(struct mpol_engine *e, uint64_t message_id,
                                       enum mpol_err how)
{
    return (enum mpol_err)mp_engine_message_done(e->core, message_id, (enum mp_err)how);
}

enum mpol_err mpol_engine_release(struct mpol_engine *e, uint64_t incident)
{
    return (enum mpol_err)mp_engine_release(e->core, incident);
}

enum mpol_err mpol_engine_release_rule(struct mpol_engine *e, struct mpol_text rule,
                                       struct mpol_text key)
{
    return (enum mpol_err)mp_engine_release_rule(e->core, api_str(rule), api_str(key));
}

enum mpol_err mpol_engine_release_all(struct mpol_engine *e)
{
    return mp_engine_release_all(e->core) > 0 ? MPOL_OK : MPOL_ENOTFOUND;
}

enum mpol_err mpol_engine_brake(struct mpol_engine *e, int on)
{
    mp_engine_brake(e->core, on != 0);
    return MPOL_OK;
}
