/* SPDX-License-Identifier: Apache-2.0
 * `mpol inspect` and `mpol import`: telemetry before there is a policy.
 */
#include "cli/verbs.h"

#include <errno.h>
#include <string.h>

#include "cli/lines.h"
#include "ingest/import.h"
#include "ingest/ingest.h"
#include "ingest/inspect.h"

#define COMPLAINTS_MAX 10 /* LIMIT: bad lines that are told in words */
#define OUT_KEPT_BYTES (1u << 20)

const struct cli_option cli_inspect_options[] = {
    {"telemetry", "FILE", "one JSON object a line; - is standard input; may be repeated", true},
    {"format", "text|json", "json: one object"},
    {NULL, NULL, NULL},
};

const struct cli_option cli_import_options[] = {
    {"from", "combined|nginx-json|envoy-json", "what the access log is"},
    {"service", "NAME", "the service of every line; else the upstream, or the host, or `web`"},
    {"instance", "NAME", "the instance of every line; else the upstream's address"},
    {"strict", NULL, "stop at the first bad line"},
    {NULL, NULL, NULL},
};

/* ---- what both do ---- */

struct reading {
    const struct cli_args *args;
    uint64_t bad;
    bool strict;
    void *ctx;
    /* False: a bad line, *why says why; NULL there: nothing to say about it. */
    bool (*line)(void *ctx, mp_str line, const char **why);
    void (*too_long)(void *ctx, const char *why); /* may be NULL */
};

static int tell_bad(struct reading *r, const char *file, uint64_t number, const char *why)
{
    r->bad++;
    if (r->bad <= COMPLAINTS_MAX) {
        fprintf(stderr, "mpol %s: %s:%llu: %s%s\n", cli_verb_name(r->args), file,
                (unsigned long long)number, why, r->strict ? "" : "; skipped");
    }
    return r->strict ? CLI_USAGE : CLI_OK;
}

static int read_stream(struct reading *r, FILE *stream, const char *file)
{
    struct cli_lines lines;
    mp_str line;
    bool too_long;
    int code = CLI_OK;
    if (!cli_lines_open(&lines, stream, MP_LINE_MAX)) return cli_no_memory(r->args);
    while (code == CLI_OK && cli_lines_next(&lines, &line, &too_long)) {
        const char *why = "longer than 1 MiB";
        if (too_long && r->too_long != NULL) r->too_long(r->ctx, why);
        if (!too_long && r->line(r->ctx, line, &why)) continue;
        if (why != NULL) code = tell_bad(r, file, lines.number, why);
    }
    if (lines.error != 0) code = cli_complain(r->args, "%s: %s", file, strerror(lines.error));
    cli_lines_close(&lines);
    return code;
}

static int read_file(struct reading *r, const char *path)
{
    if (strcmp(path, "-") == 0) return read_stream(r, stdin, "<stdin>");
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) return cli_complain(r->args, "%s: %s", path, strerror(errno));
    int code = read_stream(r, stream, path);
    fclose(stream);
    return code;
}

static void tell_more(const struct reading *r)
{
    if (r->bad <= COMPLAINTS_MAX) return;
    fprintf(stderr, "mpol %s: %llu more bad lines\n", cli_verb_name(r->args),
            (unsigned long long)(r->bad - COMPLAINTS_MAX));
}

/* ---- inspect ---- */

static bool inspect_line(void *ctx, mp_str line, const char **why)
{
    return mp_inspect_line(ctx, line, why);
}

static void inspect_too_long(void *ctx, const char *why) { mp_inspect_bad(ctx, why); }

int cli_inspect(const struct cli_args *args)
{
    static const char *const formats[] = {"text", "json", NULL};
    int format = cli_choice(args, "format", formats);
    size_t count;
    cli_values(args, "telemetry", &count);
    if (format < 0) return CLI_USAGE;
    if (count == 0) {
        return cli_complain(args, "say which --telemetry=FILE, or - for standard input");
    }
    struct mp_arena arena;
    struct mp_inspect *inspect;
    mp_arena_init(&arena, NULL, 0);
    if (mp_inspect_create(&arena, &inspect) != MP_OK) return cli_no_memory(args);
    struct reading r = {.args = args, .ctx = inspect, .line = inspect_line,
                        .too_long = inspect_too_long};
    int code = CLI_OK;
    for (size_t i = 0; i < count && code == CLI_OK; i++) {
        code = read_file(&r, cli_values(args, "telemetry", &count)[i]);
    }
    tell_more(&r);
    struct mp_buf out;
    mp_buf_init(&out, &arena);
    if (format == 1) mp_inspect_json(inspect, &out);
    else mp_inspect_text(inspect, &out);
    if (code == CLI_OK) printf("%.*s%s", MP_STR_ARG(mp_buf_view(&out)), format == 1 ? "\n" : "");
    mp_arena_free(&arena);
    return code;
}

/* ---- import ---- */

struct importing {
    enum mp_import_format format;
    struct mp_import_options options;
    struct mp_arena arena;
    struct mp_buf out;
};

static bool import_line(void *ctx, mp_str line, const char **why)
{
    struct importing *im = ctx;
    im->out.len = 0;
    if (!mp_import_line(im->format, &im->options, line, &im->out, why)) return false;
    mp_buf_putc(&im->out, '\n');
    *why = "out of memory";
    if (im->out.failed) return false;
    fwrite(im->out.ptr, 1, im->out.len, stdout);
    if (im->out.cap > OUT_KEPT_BYTES) { /* one huge line does not stay */
        mp_arena_free(&im->arena);
        mp_buf_init(&im->out, &im->arena);
    }
    return true;
}

int cli_import(const struct cli_args *args)
{
    struct importing im = {.options = {mp_str_of(cli_value(args, "service", "")),
                                       mp_str_of(cli_value(args, "instance", ""))}};
    const char *from = cli_value(args, "from", NULL);
    if (from == NULL || !mp_import_format_of(mp_str_of(from), &im.format)) {
        return cli_complain(args, "--from is combined, nginx-json or envoy-json");
    }
    mp_arena_init(&im.arena, NULL, 0);
    mp_buf_init(&im.out, &im.arena);
    struct reading r =
        {.args = args, .ctx = &im, .line = import_line, .strict = cli_flag(args, "strict")};
    size_t count;
    const char *const *paths = cli_operands(args, &count);
    int code = count == 0 ? read_file(&r, "-") : CLI_OK;
    for (size_t i = 0; i < count && code == CLI_OK; i++) code = read_file(&r, paths[i]);
    tell_more(&r);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        code = cli_complain(args, "standard output: %s", strerror(errno));
    }
    mp_arena_free(&im.arena);
    return code;
}
