/* SPDX-License-Identifier: Apache-2.0
 * From the bytes of an image to what workers judge with.
 */
#include "envoy_mod/gate_priv.h"

static const struct {
    mp_str path;
} source_words[MP_GATE_SOURCE_COUNT] = {
#define X(name, word, kind) {MP_STR_INIT(word)},
    MP_GATE_FIELDS(X)
#undef X
};

/* `client` and `client.ip` are one, and so are `service` and `service.name`: an entity by its
 * key. */
static bool names_entity(mp_str word, mp_str path)
{
    return word.len > path.len && word.ptr[path.len] == '.' && mp_str_starts(word, path);
}

static bool source_of(mp_str path, bool entity, struct mp_gate_want *out)
{
    for (int i = 0; i < MP_GATE_SOURCE_COUNT; i++) {
        mp_str word = source_words[i].path;
        bool map = word.ptr[word.len - 1] == '.';
        bool is = map ? mp_str_starts(path, word) : mp_str_eq(path, word);
        if (!is && !(entity && !map && names_entity(word, path))) continue;
        out->source = (enum mp_gate_source)i;
        out->entry = map ? mp_str_sub(path, word.len, path.len) : MP_STR("");
        return true;
    }
    return false;
}

/* Brings the newest want to those that come first. */
static void put_first(struct generation *gen)
{
    struct mp_gate_want newest = gen->wants[gen->want_count];
    gen->wants[gen->want_count] = gen->wants[gen->first_count];
    gen->wants[gen->first_count++] = newest;
}

/* What the program reads of a request, as far as a proxy can tell it. */
static enum mp_err find_wants(struct generation *gen)
{
    const struct mp_program *p = gen->p;
    if (gen->signal == MP_NONE) return MP_OK;
    const struct mp_signal_row *s = &p->signal[gen->signal];
    gen->wants = MP_NEW(&gen->arena, struct mp_gate_want, s->fields_count);
    if (gen->wants == NULL) return MP_ENOMEM;
    for (uint32_t i = s->fields_at; i < s->fields_at + s->fields_count; i++) {
        const struct mp_field_row *f = &p->field[i];
        struct mp_gate_want want = {.path = mp_program_text(p, f->path),
                                    .at_end = (f->flags & MP_FIELD_AT_END) != 0};
        bool entity = f->entity != MP_NONE && f->attr == MP_NONE;
        if (gen->want_count == WANTS_MAX || !source_of(want.path, entity, &want)) continue;
        want.slot = i - s->fields_at;
        want.judged = mp_verdict_reads(gen->plan, gen->signal, want.slot);
        gen->wants[gen->want_count] = want;
        if (mp_verdict_looks(gen->plan, gen->signal, want.slot)) put_first(gen);
        gen->want_count++;
    }
    return MP_OK;
}

static enum mp_err make_decoders(struct mp_gate *g, struct generation *gen)
{
    gen->decoders = MP_NEW(&gen->arena, struct decoder, g->worker_count);
    if (gen->decoders == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < g->worker_count; i++) {
        struct decoder *d = &gen->decoders[i];
        MP_TRY(mp_ingest_create(&gen->arena, gen->p, g->key, &d->ingest));
        MP_TRY(mp_verdict_scratch_create(&gen->arena, gen->plan, &d->scratch));
    }
    return MP_OK;
}

static enum mp_err set_params(struct generation *gen, struct mp_frame_program *from,
                              const char **why)
{
    struct mp_frame_param param;
    while (mp_frame_get_param(from, &param)) {
        enum mp_err err = mp_program_set_param(gen->p, param.name, param.value);
        if (err == MP_OK) continue;
        *why = "a parameter that the program does not have, or not a value of it";
        return err;
    }
    return MP_OK;
}

static enum mp_err fill(struct mp_gate *g, struct generation *gen, struct mp_frame_program *from,
                        const char **why)
{
    MP_TRY(mp_program_load(from->image.ptr, from->image.len, &g->os, &gen->p, why));
    MP_TRY(set_params(gen, from, why));
    *why = "no room for the program";
    MP_TRY(mp_ingest_create(&gen->arena, gen->p, g->key, &gen->own));
    MP_TRY(mp_verdict_plan_create(&gen->arena, gen->p, g->table, g->buckets, &gen->plan, why));
    *why = "no room for the program";
    gen->signal = mp_ingest_signal(gen->own, MP_STR("requests"));
    MP_TRY(find_wants(gen));
    return make_decoders(g, gen);
}

enum mp_err gate_generation_create(struct mp_gate *g, struct mp_frame_program *from,
                                   struct generation **out, const char **why)
{
    *why = "no room for the program";
    struct generation *gen = g->memory.alloc(g->memory.ctx, sizeof *gen);
    if (gen == NULL) return MP_ENOMEM;
    *gen = (struct generation){.revision = from->revision, .signal = MP_NONE};
    mp_arena_init(&gen->arena, &g->memory, 0);
    enum mp_err err = fill(g, gen, from, why);
    if (err != MP_OK) {
        gate_generation_destroy(g, gen);
        return err;
    }
    *out = gen;
    return MP_OK;
}

void gate_generation_destroy(struct mp_gate *g, struct generation *gen)
{
    if (gen == NULL) return;
    mp_verdict_plan_release(gen->plan);
    mp_arena_free(&gen->arena);
    if (gen->p != NULL) mp_program_free(gen->p);
    g->memory.free(g->memory.ctx, gen, sizeof *gen);
}
