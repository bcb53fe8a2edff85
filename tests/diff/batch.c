/* SPDX-License-Identifier: Apache-2.0
 * batch.c - a batch of random rules becomes a program in force: compiled until no rule is refused,
 * loaded, with a window, an inventory and parameters; then the events are played.
 */
#include "diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "os/std.h"
#ifdef MP_DIFF_JIT
#include "jit/jit.h"
#endif

#define ATTRS_MAX 64

mp_str diff_rule_name(const struct diff_run *r, uint32_t rule)
{
    return r->typed->rules.ptr[rule]->name;
}

uint32_t diff_rule_number(mp_str name)
{
    return (uint32_t)strtoul(name.ptr + 1, NULL, 10);
}

struct gen_batch diff_rules(const struct diff_options *o, uint32_t batch, const uint8_t *out)
{
    return (struct gen_batch){o->seed + batch, o->rules, out, batch % 2 == 0};
}

static int64_t no_clock(void *ctx)
{
    (void)ctx;
    return 0;
}

/* Regular expressions, and no clock. */
static struct mp_os diff_os;

void diff_world(void)
{
    mp_std_os(&diff_os);
    diff_os.wall_ns = diff_os.mono_ns = no_clock;
}

/* The slow evaluator asks the same library, one pattern at a time. */
static enum mp_match match_regex(void *ctx, mp_str pattern, mp_str subject)
{
    void *handle = NULL;
    const char *why = NULL;
    (void)ctx;
    enum mp_err err = diff_os.regex_compile(diff_os.ctx, pattern, &handle, &why);
    MP_ASSERT(err == MP_OK);
    enum mp_match m = diff_os.regex_match(diff_os.ctx, handle, subject);
    diff_os.regex_free(diff_os.ctx, handle);
    return m;
}

static uint32_t rule_at(const uint32_t *offsets, uint32_t rules, uint32_t at)
{
    for (uint32_t i = 0; i < rules; i++) {
        if (at >= offsets[i] && at < offsets[i + 1]) return i;
    }
    return rules;
}

static void print_diags(struct mp_compilation *c)
{
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    struct mp_buf b;
    mp_buf_init(&b, &arena);
    mp_diags_print_text(mp_compilation_diags(c), mp_compilation_sources(c),
                        (struct mp_diag_style){.limit = 3}, &b);
    fprintf(stderr, "%.*s\n", MP_STR_ARG(mp_buf_view(&b)));
    mp_arena_free(&arena);
}

/* Compiles until no rule is refused; refused ones are marked in `out`. */
static bool compile(struct diff_run *r, const struct diff_options *o, uint32_t batch, uint8_t *out)
{
    static uint32_t offsets[DIFF_RULES_MAX + 1];
    for (int round = 0; round < 12; round++) {
        struct mp_buf text;
        mp_buf_init(&text, &r->arena);
        struct gen_batch b = diff_rules(o, batch, out);
        gen_policy(&b, &text, offsets);
        MP_ASSERT(!text.failed);
        struct mp_compile_text file = {MP_STR("diff.mpol"), mp_buf_view(&text), MP_CHECK_GIVEN};
        struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &diff_os};
        enum mp_err err = mp_compile(&file, 1, &options, &r->compilation);
        if (err != MP_OK) {
            fprintf(stderr, "compile: %s: %s\n", mp_err_text(err),
                    r->compilation != NULL ? mp_compilation_fault(r->compilation) : "");
            return false;
        }
        if (mp_compilation_errors(r->compilation) == 0) return true;
        struct mp_diags *d = mp_compilation_diags(r->compilation);
        bool progress = false;
        for (uint32_t i = 0; i < d->all.len; i++) {
            if (d->all.ptr[i]->severity != MP_SEV_ERROR) continue;
            uint32_t rule = rule_at(offsets, o->rules, d->all.ptr[i]->span.from);
            if (rule == o->rules || out[rule]) continue;
            out[rule] = 1;
            progress = true;
        }
        if (!progress || o->verbose) print_diags(r->compilation);
        if (!progress) return false;
        mp_compilation_free(r->compilation);
        r->compilation = NULL;
    }
    return false;
}

/* ---- the system under test ---- */

static enum mp_truth member_truth(void *ctx, uint32_t fn, const struct mp_row *row)
{
    struct diff_run *r = ctx;
    struct mp_inputs in;
    mp_inputs_init(&in, r->p, &r->scratch);
    in.row_known = row->known;
    in.row = row->cell;
    return mp_eval_truth(r->p, fn, &in);
}

static uint32_t attr_row(const struct diff_run *r, const struct slow_attr *a)
{
    for (uint32_t i = 0; i < r->p->attr_count; i++) {
        const struct mp_attr_row *row = &r->p->attr[i];
        mp_str name = mp_program_text(r->p, row->name),
               entity = mp_program_text(r->p, r->p->entity[row->entity].name);
        if (!mp_str_eq(entity, a->attr->owner->name)) continue;
        if (a->entry.len == 0 && mp_str_eq(name, a->attr->name)) return i;
        if (a->entry.len > 0 && name.len == a->attr->name.len + 1 + a->entry.len &&
            mp_str_starts(name, a->attr->name) && mp_str_ends(name, a->entry)) {
            return i;
        }
    }
    return MP_NONE;
}

static void put_inventory(struct diff_run *r)
{
    for (uint32_t i = 0; i < r->world.attr_count; i++) {
        const struct slow_attr *a = &r->world.attrs[i];
        uint32_t row = attr_row(r, a);
        if (row == MP_NONE) continue;
        struct mp_entity_line line = {
            .entity = r->p->attr[row].entity, .key = a->key, .attr_count = 1};
        line.attrs[0] = (struct mp_entity_attr){row, true, a->value.v};
        enum mp_err err = mp_inventory_put(r->inventory, &line);
        MP_ASSERT(err == MP_OK);
    }
}

/* What an operator may do: other values for some parameters. */
static void set_params(struct diff_run *r)
{
    static const struct { const char *name, *values[3];
    } rows[] = {
        {"t.pi1", {"0", "7", "-1"}},
        {"t.pn1", {"0.5", "2.25", "-0.5"}},
        {"t.pp1", {"5%", "100%", "0.7%"}},
        {"t.pd1", {"1s", "50ms", "0s"}},
        {"t.ps1", {"a", "Admin", "a rather long text 2"}},
    };
    struct slow_value *params = MP_NEW(&r->arena, struct slow_value, r->typed->params.len + 1);
    MP_ASSERT(params != NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mp_str value = mp_str_of(rows[i].values[gen_below(&r->rng, 3)]);
        if (gen_below(&r->rng, 2) == 0) continue;
        if (mp_program_set_param(r->p, mp_str_of(rows[i].name), value) != MP_OK) continue;
        for (uint32_t k = 0; k < r->typed->params.len; k++) {
            const struct mp_t_param *p = r->typed->params.ptr[k];
            struct slow_value *out = &params[p->index];
            if (!mp_str_eq(p->name, mp_str_of(rows[i].name + 2))) continue;
            if (mp_type_rep(p->type.base) == MP_REP_T)
                *out = (struct slow_value){true, mp_value_text(value)};
            else out->known = mp_value_read(p->type.base, value, &out->v);
            MP_ASSERT(out->known);
        }
    }
    r->world.params = params;
}

static void set_up(struct diff_run *r, const struct diff_options *o, uint32_t batch)
{
    const char *why = NULL;
    mp_str image = mp_compilation_image(r->compilation);
    enum mp_err err = mp_program_load(image.ptr, image.len, &diff_os, &r->p, &why);
    if (err != MP_OK) fprintf(stderr, "load: %s\n", why);
    MP_ASSERT(err == MP_OK);
    r->typed = mp_compilation_typed(r->compilation);
    MP_ASSERT(r->typed->rules.len == r->p->rule_count);
    struct mp_hash_key key = {o->seed, batch};
    struct mp_inventory_limits inventory_limits = {.text_bytes = 1 << 20};
    err = mp_inventory_create(&r->arena, r->p, &inventory_limits, key, &r->inventory);
    MP_ASSERT(err == MP_OK);
    struct mp_window_limits limits = {.keys_max = 64,
                                      .sources_max = 1,
                                      .ids_max = 256,
                                      .always_alive = batch % 3 == 0,
                                      .live = batch % 5 == 4};
    struct mp_window_hooks hooks = {.ctx = r, .member = member_truth};
    err = mp_window_create(&r->arena, r->p, &limits, key, r->inventory, &hooks, &r->window);
    MP_ASSERT(err == MP_OK);
    r->live = limits.live;
    r->world = (struct slow_world){.typed = r->typed, .always_alive = limits.always_alive,
                                    .regex = match_regex};
    r->world.records = MP_NEW(&r->arena, struct slow_record, o->events + 1);
    r->world.attrs = MP_NEW(&r->arena, struct slow_attr, ATTRS_MAX);
    r->events = MP_NEW(&r->arena, struct gen_event, o->events + 1);
    MP_ASSERT(r->world.records != NULL && r->world.attrs != NULL && r->events != NULL);
    r->world.attr_count =
        gen_attrs(o->seed + batch, r->typed, &r->arena, r->world.attrs, ATTRS_MAX);
    gen_trace(o->seed + batch, diff_rules(o, batch, NULL).slots, r->typed, &r->arena, o->events,
              r->events);
    r->rng = o->seed + batch + 99;
    set_params(r);
    put_inventory(r);
}

#ifdef MP_DIFF_JIT
static struct mp_jit_job *go_native(struct diff_run *r)
{
    const struct mp_jit_ops *ops = mpol_jit();
    struct mp_jit_job *job = ops->start(r->p);
    const char *why = "no memory";
    int64_t took = 0;
    if (job == NULL || ops->wait(job, &why) != MP_OK) {
        diff_found(r, 0, 0, "native code: %s", why);
        return job;
    }
    if (ops->ended(job, &took)) r->totals->native_ns += (uint64_t)took;
    r->totals->native_fns += r->p->fn_count;
    return job;
}
#endif

bool diff_batch(struct diff_run *r, const struct diff_options *o, uint32_t batch, uint8_t *out,
                const uint8_t *events_out, bool no_native, struct diff_totals *totals)
{
    memset(r, 0, sizeof *r);
    r->no_native = no_native;
    r->totals = totals;
    r->events_out = events_out;
    mp_arena_init(&r->arena, NULL, 0);
    if (!compile(r, o, batch, out)) {
        diff_found(r, 0, 0, "the batch does not compile");
        mp_compilation_free(r->compilation);
        mp_arena_free(&r->arena);
        return false;
    }
    set_up(r, o, batch);
#ifdef MP_DIFF_JIT
    struct mp_jit_job *job = no_native ? NULL : go_native(r);
#endif
    if (!r->differs) diff_play(r, o->events);
#ifdef MP_DIFF_JIT
    mpol_jit()->end(job);
#endif
    return !r->differs;
}

void diff_batch_end(struct diff_run *r)
{
    mp_program_free(r->p);
    mp_compilation_free(r->compilation);
    mp_arena_free(&r->arena);
}
