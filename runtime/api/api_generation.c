/* SPDX-License-Identifier: Apache-2.0
 * One program in force, as its readers see it.
 */
#include "api/api_priv.h"

/* Attributes reach verdicts a moment later than the loop, as published values do (language.md
 * R16). */
#define REPLICA_EVERY_NS INT64_C(100000000)
/* LIMIT: texts of attributes and sets, an entity on average. */
#define REPLICA_TEXT_BYTES 256

static enum mp_err decoder_create(struct mpol_engine *e, struct generation *g, bool asks,
                                  struct decoder *d)
{
    MP_TRY(mp_ingest_create(&g->arena, g->program->p, e->key, &d->ingest));
    if (asks) MP_TRY(mp_verdict_scratch_create(&g->arena, g->plan, &d->scratch));
    d->refused_name = mp_ingest_name(d->ingest, MP_STR("refused_by"));
    for (uint32_t i = 0; i < FIELD_NAMES_MAX; i++) {
        d->name_of[i] =
            i < e->name_count ? mp_ingest_name(d->ingest, mp_str_of(e->names[i])) : MP_NONE;
    }
    return MP_OK;
}

enum mp_err api_generation_reader(struct mpol_engine *e, struct generation *g, uint32_t reader)
{
    if (g->readers[reader] != NULL) return MP_OK;
    struct decoder *d = MP_NEW(&g->arena, struct decoder, 1);
    if (d == NULL) return MP_ENOMEM;
    MP_TRY(decoder_create(e, g, true, d));
    g->readers[reader] = d;
    return MP_OK;
}

void api_generation_name(struct mpol_engine *e, struct generation *g, uint32_t field)
{
    mp_str name = mp_str_of(e->names[field]);
    g->own.name_of[field] = mp_ingest_name(g->own.ingest, name);
    for (uint32_t i = 0; i < e->limits.readers_max; i++) {
        struct decoder *d = g->readers[i];
        if (d != NULL) d->name_of[field] = mp_ingest_name(d->ingest, name);
    }
}

/* ---- attributes for verdicts ---- */

static struct mp_inventory_limits replica_limits(const struct mpol_engine *e)
{
    uint32_t items = e->limits.inventory_items;
    return (struct mp_inventory_limits){
        .members = items, .relations = 2 * items, .text_bytes = (size_t)items * REPLICA_TEXT_BYTES};
}

static enum mp_err replicas_create(struct mpol_engine *e, struct generation *g)
{
    struct mp_inventory_limits limits = replica_limits(e);
    g->replica_size = mp_inventory_bytes(g->program->p, &limits);
    for (int i = 0; i < REPLICAS; i++) {
        g->replicas[i].generation = g;
        if (!mp_verdict_reads_inventory(g->plan)) continue;
        g->replicas[i].memory = mp_arena_alloc_raw(&g->arena, g->replica_size, 64);
        if (g->replicas[i].memory == NULL) return MP_ENOMEM;
    }
    return MP_OK;
}

static enum mp_err replica_fill(struct mpol_engine *e, struct replica *r)
{
    struct generation *g = r->generation;
    struct mp_inventory_limits limits = replica_limits(e);
    mp_arena_init_fixed(&r->arena, r->memory, g->replica_size);
    MP_TRY(mp_inventory_create(&r->arena, g->program->p, &limits, e->key, &r->inventory));
    mp_inventory_adopt(r->inventory, mp_engine_inventory(e->core));
    return MP_OK;
}

static struct replica *replica_free(struct mpol_engine *e, struct generation *g)
{
    for (int i = 0; i < REPLICAS; i++) {
        struct replica *r = &g->replicas[i];
        if (r == g->current) continue;
        if (r->replaced_by == 0 || mp_inproc_passed(e->inproc, r->replaced_by)) return r;
    }
    return NULL;
}

static enum mp_err replica_publish(struct mpol_engine *e, struct generation *g, uint64_t *number)
{
    struct replica *r = replica_free(e, g);
    if (r == NULL) return MP_EAGAIN;
    uint64_t version = mp_inventory_version(mp_engine_inventory(e->core));
    if (mp_verdict_reads_inventory(g->plan)) MP_TRY(replica_fill(e, r));
    MP_TRY(mp_inproc_set_context(e->inproc, r, number));
    if (g->current != NULL) g->current->replaced_by = *number;
    r->replaced_by = 0;
    g->current = r;
    g->inventory_version = version;
    g->inventory_at_ns = e->now_wall_ns;
    return MP_OK;
}

static void replica_refresh(struct mpol_engine *e, struct generation *g)
{
    if (!mp_verdict_reads_inventory(g->plan)) return;
    if (mp_inventory_version(mp_engine_inventory(e->core)) == g->inventory_version) return;
    if (e->now_wall_ns - g->inventory_at_ns < REPLICA_EVERY_NS) return;
    uint64_t number;
    replica_publish(e, g, &number); /* MP_EAGAIN: at the next step */
}

/* ---- life ---- */

enum mp_err api_generation_create(struct mpol_engine *e, struct mpol_program *program,
                                  struct generation **out, const char **why)
{
    struct generation *g = e->world.alloc.alloc(&e->world, sizeof *g);
    if (g == NULL) return MP_ENOMEM;
    memset(g, 0, sizeof *g);
    g->number = ++e->generations_made;
    g->program = program;
    mp_arena_init(&g->arena, &e->world.alloc, 0);
    g->readers = MP_NEW(&g->arena, struct decoder *, e->limits.readers_max);
    enum mp_err err = g->readers != NULL ? MP_OK : MP_ENOMEM;
    if (err == MP_OK)
        err = mp_verdict_plan_create(&g->arena, program->p, e->inproc, e->buckets, &g->plan, why);
    if (err == MP_OK) err = replicas_create(e, g);
    if (err == MP_OK) err = decoder_create(e, g, false, &g->own);
    for (uint32_t i = 0; err == MP_OK && i < e->limits.readers_max; i++) {
        if (e->readers[i].epoch != NULL) err = api_generation_reader(e, g, i);
    }
    if (err == MP_OK) {
        *out = g;
        return MP_OK;
    }
    g->program = NULL; /* the caller's still */
    mp_verdict_plan_release(g->plan);
    mp_arena_free(&g->arena);
    e->world.alloc.free(&e->world, g, sizeof *g);
    return err;
}

/* One at a time: of programs that come faster than they compile only the last one is worth it. */
static bool is_compiling(const struct generation *g)
{
    int64_t ns;
    for (; g != NULL; g = g->older) {
        if (g->job != NULL && !g->jit->ended(g->job, &ns)) return true;
    }
    return false;
}

void api_generation_compile(struct mpol_engine *e)
{
    struct generation *g = e->current;
    if (e->jit == NULL || g->job != NULL || is_compiling(g->older)) return;
    g->jit = e->jit;
    g->job = e->jit->start(g->program->p);
}

void api_generation_destroy(struct generation *g)
{
    if (g->job != NULL) g->jit->end(g->job);
    struct mpol_program *program = g->program;
    struct api_world *world = g->arena.from->ctx;
    mp_verdict_plan_release(g->plan);
    mp_arena_free(&g->arena);
    world->alloc.free(world, g, sizeof *g);
    mpol_program_free(program);
}

enum mp_err api_generation_publish(struct mpol_engine *e, struct generation *g)
{
    uint64_t number;
    MP_TRY(replica_publish(e, g, &number));
    for (struct generation *old = g->older; old != NULL; old = old->older) {
        if (old->retired_by == 0) old->retired_by = number;
    }
    e->published = g;
    return MP_OK;
}

/* No reader has it, and no thread compiles it: freeing it would wait for that thread. */
static bool is_unused(const struct mpol_engine *e, const struct generation *g)
{
    int64_t ns;
    if (g->retired_by == 0 || !mp_inproc_passed(e->inproc, g->retired_by)) return false;
    return g->job == NULL || g->jit->ended(g->job, &ns);
}

void api_generation_step(struct mpol_engine *e)
{
    api_generation_compile(e);
    if (e->published != e->current) {
        api_generation_publish(e, e->current); /* MP_EAGAIN: at the next step */
    } else {
        replica_refresh(e, e->current);
    }
    for (struct generation **at = &e->current->older; *at != NULL;) {
        struct generation *g = *at;
        if (is_unused(e, g)) {
            *at = g->older;
            api_generation_destroy(g);
        } else {
            at = &g->older;
        }
    }
}

/* ---- decoding ---- */

/* A request that an action of ours refused is a record of `refusals` (language.md 4.2). */
static uint32_t signal_of(const struct decoder *d, const struct mpol_record *r)
{
    mp_str name = {r->signal, r->signal_len};
    if (r->refused_len > 0 && mp_str_eq(name, MP_STR("requests"))) name = MP_STR("refusals");
    return mp_ingest_signal(d->ingest, name);
}

bool api_decode(struct decoder *d, const struct mpol_record *r, struct mp_record *out)
{
    struct mp_field_in fields[RECORD_FIELDS_MAX + 1];
    uint32_t count = 0;
    uint32_t signal = signal_of(d, r);
    if (signal == MP_NONE) return false;
    for (uint32_t i = 0; i < r->value_count; i++) {
        const struct value *v = &r->values[i];
        struct mp_field_in f = {.name = d->name_of[v->field]};
        if (f.name == MP_NONE) continue;
        switch ((enum value_kind)v->kind) {
        case VALUE_TEXT:
            f.kind = MP_FIELD_TEXT;
            f.text = (mp_str){r->bytes + v->as.text.at, v->as.text.len};
            break;
        case VALUE_INT:
            f.kind = MP_FIELD_INT;
            f.integer = v->as.integer;
            break;
        case VALUE_NUMBER:
            f.kind = MP_FIELD_NUMBER;
            f.number = v->as.number;
            break;
        }
        fields[count++] = f;
    }
    if (r->refused_len > 0 && d->refused_name != MP_NONE) {
        fields[count++] = (struct mp_field_in){
            .name = d->refused_name, .kind = MP_FIELD_TEXT,
            .text = (mp_str){r->bytes + r->refused_at, r->refused_len}};
    }
    mp_ingest_fields(d->ingest, signal, r->wall_ns, 0, fields, count, out);
    out->layer = r->layer;
    return true;
}
