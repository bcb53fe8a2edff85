/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/driver.h"

#include <stdio.h>
#include <stdlib.h>

#include "emit/emit.h"
#include "lower/lower.h"
#include "parse/parse.h"
#include "stdlib/stdlib.h"

struct mp_compilation {
    struct mp_arena perm;
    struct mp_alloc alloc;
    struct mp_compile_options options;
    struct mp_sources sources;
    struct mp_diags diags;
    struct mp_check_input *inputs;
    uint32_t input_count, text_count;
    struct mp_typed *typed;
    struct mp_ir ir;
    bool has_ir;
    mp_str image;
    char fault[200];
};

/* ---- passes ---- */

static enum mp_err parse_text(struct mp_compilation *c, mp_str name, mp_str text, uint32_t origin)
{
    const struct mp_source *source;
    struct mp_ast_file *file;
    MP_TRY(mp_sources_add(&c->sources, name, text, &source));
    MP_TRY(mp_parse(source, &c->perm, &c->diags, &file));
    c->inputs[c->input_count++] = (struct mp_check_input){file, origin};
    return MP_OK;
}

static enum mp_err pass_parse(struct mp_compilation *c, const struct mp_compile_text *texts,
                              uint32_t count)
{
    c->text_count = count;
    c->inputs = MP_NEW(&c->perm, struct mp_check_input, count + mp_stdlib_files_count);
    if (c->inputs == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        MP_TRY(parse_text(c, texts[i].name, texts[i].text, texts[i].origin));
    }
    for (size_t i = 0; i < mp_stdlib_files_count; i++) {
        const struct mp_stdlib_file *f = &mp_stdlib_files[i];
        mp_str name = mp_arena_printf(&c->perm, "stdlib/%s", f->name);
        if (name.ptr == NULL) return MP_ENOMEM;
        MP_TRY(parse_text(c, name, (mp_str){f->text, f->len}, MP_CHECK_STDLIB));
    }
    return MP_OK;
}

static enum mp_err pass_check(struct mp_compilation *c)
{
    struct mp_check_options options = {
        .channels = c->options.channels,
        .channel_count = c->options.channel_count,
        .with_tests = c->options.with_tests,
        .os = c->options.os,
    };
    MP_TRY(mp_check(c->inputs, c->input_count, &options, &c->perm, &c->diags, &c->typed));
    if (!mp_diags_has_errors(&c->diags)) {
        mp_check_backends(c->typed, c->options.backends, c->options.backend_count, &c->diags);
    }
    return MP_OK;
}

#define DAY_NS (24 * 3600 * INT64_C(1000000000))

static enum mp_err lint(struct mp_compilation *c, enum mp_lint_level level)
{
    const struct mp_os *os = c->options.os;
    const struct mp_ast_file **files = MP_NEW(&c->perm, const struct mp_ast_file *, c->input_count);
    if (files == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < c->input_count; i++) files[i] = c->inputs[i].file;
    const struct mp_lint_options options = {
        .level = level,
        .files = files,
        .file_count = c->text_count,
        .today_days = os->wall_ns == NULL ? 0 : os->wall_ns(os->ctx) / DAY_NS,
    };
    return mp_lint(c->typed, &c->sources, &options, &c->diags);
}

/* Legal, and certainly not meant: a check that cannot succeed, a step that is never reached. */
static enum mp_err pass_lint(struct mp_compilation *c)
{
    return mp_diags_has_errors(&c->diags) ? MP_OK : lint(c, MP_LINT_ERRORS);
}

static enum mp_err pass_lower(struct mp_compilation *c)
{
    struct mp_lower_refusal refusal = {0};
    struct mp_lower_options options = {.with_tests = c->options.with_tests,
                                       .sources = &c->sources,
                                       .refusal = &refusal};
    MP_TRY(mp_ir_init(&c->ir, &c->perm));
    enum mp_err err = mp_lower(c->typed, &options, &c->ir);
    if (err == MP_EUNSUPPORTED) {
        mp_diag_add(&c->diags, MP_DIAG_E0900, refusal.span, "%.*s is not in this version",
                    MP_STR_ARG(refusal.text));
        return MP_OK;
    }
    c->has_ir = err == MP_OK;
    return err;
}

static enum mp_err pass_emit(struct mp_compilation *c)
{
    struct mp_fault fault = {0};
    enum mp_err err = mp_emit(&c->ir, &c->perm, &c->image, &fault);
    if (err != MP_OK && err != MP_ENOMEM) {
        const char *table = fault.table == MP_NONE ? "none" : mp_table_layout(fault.table)->name;
        snprintf(c->fault, sizeof c->fault, "table %s, row %u: %s", table, fault.row, fault.why);
        return MP_ECORRUPT;
    }
    return err;
}

/* ---- the list of passes ---- */

static enum mp_err run_passes(struct mp_compilation *c, const struct mp_compile_text *texts,
                              uint32_t count)
{
    enum mp_compile_goal goal = c->options.goal;
    MP_TRY(pass_parse(c, texts, count));
    if (goal >= MP_COMPILE_CHECK) MP_TRY(pass_check(c));
    if (goal >= MP_COMPILE_CHECK) MP_TRY(pass_lint(c));
    if (goal >= MP_COMPILE_IR && !mp_diags_has_errors(&c->diags)) MP_TRY(pass_lower(c));
    if (goal >= MP_COMPILE_IMAGE && c->has_ir) MP_TRY(pass_emit(c));
    return mp_diags_err(&c->diags);
}

static const struct mp_os no_os = {0};

static struct mp_alloc alloc_of(const struct mp_os *os)
{
    if (os->alloc == NULL) return (struct mp_alloc){0};
    return (struct mp_alloc){os->alloc, os->free, os->ctx, os->alloc_zeroed};
}

static void *take(struct mp_alloc a, size_t size)
{
    return a.alloc != NULL ? a.alloc(a.ctx, size) : malloc(size);
}

static void give(struct mp_alloc a, void *ptr, size_t size)
{
    if (a.free != NULL) {
        a.free(a.ctx, ptr, size);
    } else {
        free(ptr);
    }
}

enum mp_err mp_compile(const struct mp_compile_text *texts, uint32_t count,
                       const struct mp_compile_options *options, struct mp_compilation **out)
{
    const struct mp_os *os = options->os != NULL ? options->os : &no_os;
    struct mp_alloc alloc = alloc_of(os);
    struct mp_compilation *c = take(alloc, sizeof *c);
    if (c == NULL) return MP_ENOMEM;
    *c = (struct mp_compilation){.alloc = alloc, .options = *options};
    c->options.os = os;
    mp_arena_init(&c->perm, &c->alloc, options->memory_max_bytes);
    mp_sources_init(&c->sources, &c->perm);
    mp_diags_init(&c->diags, &c->perm);
    enum mp_err err = run_passes(c, texts, count);
    if (err != MP_OK && err != MP_ECORRUPT) {
        mp_compilation_free(c);
        return err;
    }
    *out = c;
    return err;
}

void mp_compilation_free(struct mp_compilation *c)
{
    if (c == NULL) return;
    struct mp_alloc alloc = c->alloc;
    mp_arena_free(&c->perm);
    give(alloc, c, sizeof *c);
}

/* ---- what came of it ---- */

enum mp_err mp_compilation_lint(struct mp_compilation *c, enum mp_lint_level level)
{
    if (c->typed == NULL || mp_diags_has_errors(&c->diags)) return MP_OK;
    return lint(c, level);
}

uint32_t mp_compilation_errors(const struct mp_compilation *c) { return c->diags.error_count; }
struct mp_diags *mp_compilation_diags(struct mp_compilation *c) { return &c->diags; }
const struct mp_sources *mp_compilation_sources(const struct mp_compilation *c)
{
    return &c->sources;
}
const struct mp_typed *mp_compilation_typed(const struct mp_compilation *c) { return c->typed; }
struct mp_ir *mp_compilation_ir(struct mp_compilation *c) { return c->has_ir ? &c->ir : NULL; }
mp_str mp_compilation_image(const struct mp_compilation *c) { return c->image; }
const char *mp_compilation_fault(const struct mp_compilation *c) { return c->fault; }

const struct mp_ast_file *mp_compilation_ast(const struct mp_compilation *c, uint32_t text)
{
    return text < c->text_count ? c->inputs[text].file : NULL;
}
