/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdlib.h>

static int read_all(const struct cli_args *args, size_t first, struct cli_policies *p,
                    size_t *given)
{
    size_t count, folders;
    const char *const *paths = cli_operands(args, &count);
    const char *stdin_name = cli_value(args, "stdin-filename", "<stdin>");
    if (first >= count)
        return cli_complain(args, "say which policies: files, folders, or - for standard input");
    for (size_t i = first; i < count; i++) {
        int code = cli_read_policies(args, paths[i], stdin_name, &p->arena, &p->files);
        if (code != CLI_OK) return code;
    }
    *given = p->files.len;
    const char *const *includes = cli_values(args, "include", &folders);
    for (size_t i = 0; i < folders; i++) {
        int code = cli_read_policies(args, includes[i], stdin_name, &p->arena, &p->files);
        if (code != CLI_OK) return code;
    }
    return CLI_OK;
}

static const mp_str *channels_of(const struct cli_args *args, struct mp_arena *arena,
                                 uint32_t *count)
{
    size_t given;
    const char *const *values = cli_values(args, "channels", &given);
    *count = 0;
    if (given == 0) return NULL;
    mp_str *names = MP_NEW(arena, mp_str, given);
    for (size_t i = 0; names != NULL && i < given; i++) names[(*count)++] = mp_str_of(values[i]);
    return names;
}

/* `mpol run` has the backend that its mesh is: what that cannot do is refused before it starts. */
static int backend_of_mesh(const struct cli_args *args, struct mp_arena *arena,
                           struct mp_compile_options *options)
{
    bool module = cli_value(args, "module-socket", NULL) != NULL;
    bool xds = cli_value(args, "xds", NULL) != NULL;
    if (!module && !xds) return CLI_OK;
    const struct mp_backend_table **table = MP_NEW(arena, const struct mp_backend_table *, 1);
    if (table == NULL) return cli_no_memory(args);
    table[0] = mp_backend_table_named(!xds ? MP_STR("module")
                                      : module ? MP_STR("envoy-module")
                                               : MP_STR("envoy"));
    options->backends = table;
    options->backend_count = 1;
    return CLI_OK;
}

static int backends_of(const struct cli_args *args, struct mp_arena *arena,
                       struct mp_compile_options *options)
{
    size_t given;
    const char *const *values = cli_values(args, "backend", &given);
    if (given == 0) return backend_of_mesh(args, arena, options);
    const struct mp_backend_table **tables = MP_NEW(arena, const struct mp_backend_table *, given);
    if (tables == NULL) return cli_no_memory(args);
    for (size_t i = 0; i < given; i++) {
        tables[i] = mp_backend_table_named(mp_str_of(values[i]));
        if (tables[i] == NULL) {
            return cli_complain(
                args, "--backend=%s: there are inproc, envoy, envoy-module and module", values[i]);
        }
    }
    options->backends = tables;
    options->backend_count = (uint32_t)given;
    return CLI_OK;
}

int cli_compile(const struct cli_args *args, size_t first_operand, enum mp_compile_goal goal,
                bool with_tests, struct cli_policies *out)
{
    *out = (struct cli_policies){0};
    mp_arena_init(&out->arena, NULL, 0);
    size_t given = 0;
    int code = read_all(args, first_operand, out, &given);
    if (code != CLI_OK) return code;
    size_t count = out->files.len;
    struct mp_compile_text *texts = MP_NEW(&out->arena, struct mp_compile_text, count);
    if (texts == NULL) return cli_no_memory(args);
    for (size_t i = 0; i < count; i++) {
        texts[i] = (struct mp_compile_text){
            .name = out->files.ptr[i].name,
            .text = out->files.ptr[i].text,
            .origin = i < given ? MP_CHECK_GIVEN : MP_CHECK_INCLUDE,
        };
    }
    struct mp_compile_options options = {
        .goal = goal, .with_tests = with_tests, .os = cli_world()};
    options.channels = channels_of(args, &out->arena, &options.channel_count);
    code = backends_of(args, &out->arena, &options);
    if (code != CLI_OK) return code;
    enum mp_err err = mp_compile(texts, (uint32_t)count, &options, &out->compilation);
    if (err == MP_ECORRUPT) {
        fprintf(stderr, "mpol: a bug in mpol: %s. Please report it with the policy.\n",
                mp_compilation_fault(out->compilation));
        return CLI_INTERNAL;
    }
    if (err == MP_OK) return CLI_OK;
    cli_complain(args, "%s", mp_err_text(err));
    return err == MP_ENOMEM ? CLI_USAGE : CLI_INTERNAL;
}

void cli_policies_free(struct cli_policies *p)
{
    mp_compilation_free(p->compilation);
    mp_arena_free(&p->arena);
}

void cli_print_messages(const struct cli_args *args, struct cli_policies *p)
{
    struct mp_buf text;
    mp_buf_init(&text, &p->arena);
    struct mp_diag_style style = {.color = cli_colour(args, stderr)};
    mp_diags_print_text(mp_compilation_diags(p->compilation),
                        mp_compilation_sources(p->compilation), style, &text);
    if (text.len > 0) fwrite(text.ptr, 1, text.len, stderr);
}

int cli_load(const struct cli_args *args, size_t first_operand, bool with_tests,
             struct cli_policies *p, struct mp_program **out)
{
    int code = cli_compile(args, first_operand, MP_COMPILE_IMAGE, with_tests, p);
    if (code != CLI_OK) return code;
    if (mp_compilation_errors(p->compilation) > 0) {
        cli_print_messages(args, p);
        return CLI_USAGE;
    }
    mp_str image = mp_compilation_image(p->compilation);
    const char *why = "";
    enum mp_err err = mp_program_load(image.ptr, image.len, cli_world(), out, &why);
    if (err == MP_OK) return CLI_OK;
    cli_complain(args, "the program does not load: %s (%s)", mp_err_text(err), why);
    return err == MP_ECORRUPT ? CLI_INTERNAL : CLI_USAGE;
}
