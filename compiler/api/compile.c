/* SPDX-License-Identifier: Apache-2.0
 * mpol/compile.h: policy text → program, for embedders. In libmpol only; libmpol-rt has no front
 * end.
 */
#include "mpol/compile.h"

#include <stdlib.h>

#include "base/arena.h"
#include "driver/driver.h"

struct job {
    const struct mpol_compile_options *options;
    struct mpol_compile_options defaults;
    struct mp_os os;
    struct mp_arena arena;
    struct mp_compilation *compilation;
};

static mp_str str_of(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }
static struct mpol_text text_of(mp_str s) { return (struct mpol_text){s.ptr, s.len}; }

/* ---- the world, seen from the compiler ---- */

static enum mp_err digest(void *ctx, const void *bytes, size_t len, uint8_t out[32])
{
    const struct mpol_world *w = ctx;
    return (enum mp_err)w->digest(w->ctx, bytes, len, out);
}

static enum mp_err regex_compile(void *ctx, mp_str pattern, void **handle, const char **error)
{
    const struct mpol_world *w = ctx;
    return (enum mp_err)w->regex_compile(w->ctx, text_of(pattern), handle, error);
}

static void regex_free(void *ctx, void *handle)
{
    const struct mpol_world *w = ctx;
    w->regex_free(w->ctx, handle);
}

static void *alloc_bytes(void *ctx, size_t size)
{
    const struct mpol_world *w = ctx;
    return w->alloc(w->ctx, size);
}

static void free_bytes(void *ctx, void *ptr, size_t size)
{
    const struct mpol_world *w = ctx;
    w->free(w->ctx, ptr, size);
}

static struct mp_os os_of(const struct mpol_world *w)
{
    struct mp_os os = {.ctx = (void *)w};
    if (w == NULL) return os;
    if (w->digest != NULL) os.digest = digest;
    if (w->regex_compile != NULL && w->regex_free != NULL) {
        os.regex_compile = regex_compile;
        os.regex_free = regex_free;
    }
    if (w->alloc != NULL && w->free != NULL) {
        os.alloc = alloc_bytes;
        os.free = free_bytes;
    }
    return os;
}

/* ---- messages ---- */

static const enum mpol_severity severities[] = {
    [MP_SEV_ERROR] = MPOL_ERROR, [MP_SEV_WARNING] = MPOL_WARNING, [MP_SEV_INFO] = MPOL_NOTE};

static mp_str render(struct job *j, struct mp_diag *d)
{
    struct mp_diags one;
    struct mp_buf text;
    mp_diags_init(&one, &j->arena);
    one.all.ptr = &d;
    one.all.len = one.all.cap = 1;
    mp_buf_init(&text, &j->arena);
    mp_diags_print_text(&one, mp_compilation_sources(j->compilation), (struct mp_diag_style){0},
                        &text);
    return mp_buf_view(&text);
}

static void tell_one(struct job *j, struct mp_diag *d)
{
    const struct mp_sources *sources = mp_compilation_sources(j->compilation);
    const struct mp_source *source = mp_source_of(sources, d->span);
    struct mp_position at = mp_source_begin(sources, d->span);
    struct mpol_diagnostic told;
    MPOL_INIT(&told);
    told.severity = severities[d->severity];
    told.code = mp_diag_row(d->code)->code.ptr;
    told.message = text_of(d->message);
    told.file = text_of(source != NULL ? source->name : MP_STR(""));
    told.line = at.line;
    told.column = at.line == 0 ? 0 : d->span.from - mp_source_line_start(source, at.line) + 1;
    told.rendered = text_of(render(j, d));
    j->options->diagnostic(j->options->ctx, &told);
}

static void tell(struct job *j)
{
    struct mp_diags *diags = mp_compilation_diags(j->compilation);
    if (j->options->diagnostic == NULL) return;
    mp_diags_sort(diags);
    for (uint32_t i = 0; i < diags->all.len; i++) tell_one(j, diags->all.ptr[i]);
}

/* ---- compiling ---- */

static enum mp_err run(struct job *j, const struct mpol_source *sources, size_t count)
{
    size_t packages = j->options->package_count;
    if (count > UINT32_MAX / 2 || packages > UINT32_MAX / 2) return MP_ELIMIT;
    struct mp_compile_text *texts = MP_NEW(&j->arena, struct mp_compile_text, count + packages);
    if (texts == NULL) return MP_ENOMEM;
    for (size_t i = 0; i < count + packages; i++) {
        bool given = i < count;
        const struct mpol_source *s = given ? &sources[i] : &j->options->packages[i - count];
        texts[i] = (struct mp_compile_text){.name = str_of(s->name),
                                            .text = str_of(s->text),
                                            .origin = given ? MP_CHECK_GIVEN : MP_CHECK_INCLUDE};
    }
    struct mp_compile_options options = {
        .goal = MP_COMPILE_IMAGE, .with_tests = j->options->with_tests != 0, .os = &j->os};
    return mp_compile(texts, (uint32_t)(count + packages), &options, &j->compilation);
}

static enum mpol_err load(struct job *j, struct mpol_program **out)
{
    tell(j);
    if (mp_compilation_errors(j->compilation) > 0) return MPOL_EINVAL;
    mp_str image = mp_compilation_image(j->compilation);
    const char *why;
    return mpol_program_load(image.ptr, image.len, j->options->world, out, &why);
}

enum mpol_err mpol_compile(const struct mpol_source *sources, size_t count,
                           const struct mpol_compile_options *options, struct mpol_program **out)
{
    struct job j = {0};
    if (options != NULL) {
        /* A smaller struct comes from a program that was built against an older header. */
        size_t known = options->size < sizeof j.defaults ? options->size : sizeof j.defaults;
        memcpy(&j.defaults, options, known);
    }
    j.options = &j.defaults;
    j.os = os_of(j.defaults.world);
    mp_arena_init(&j.arena, NULL, 0);
    enum mp_err err = run(&j, sources, count);
    enum mpol_err answer = err == MP_OK ? load(&j, out) : (enum mpol_err)err;
    mp_compilation_free(j.compilation);
    mp_arena_free(&j.arena);
    return answer;
}
