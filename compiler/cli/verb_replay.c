/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/entries.h"
#include "cli/lines.h"
#include "engine/engine.h"
#include "ingest/ingest.h"

#define COMPLAINTS_MAX 10 /* LIMIT: bad lines that are told in words */
#define JUMP_NS (INT64_C(3600) * 1000000000) /* R1: a jump of more than an hour is told */

const struct cli_option cli_replay_options[] = {
    {"telemetry", "FILE", "one JSON object a line; - is standard input", true},
    {"inventory", "FILE", "lines about entities, read before the telemetry", true},
    {"executor", "interp|native", "what judges; native exits 2 where there is no LLVM"},
    {"set", "NAME=VALUE", "the value of a param; may be repeated", true},
    {"drain", "DURATION", "let time run on after the last record: 10m"},
    {"format", "text|json", "json: one object a transition, and a summary"},
    {"strict", NULL, "stop at the first bad line"},
    {"include", "DIR", "-I DIR: a folder in which `use` looks for packages", true},
    {NULL, NULL, NULL},
};

struct replay {
    const struct cli_args *args;
    struct cli_policies policies;
    struct mp_program *program;
    struct mp_engine *engine;
    struct mp_ingest *ingest;
    struct mp_arena arena;
    struct cli_entry_style style;
    uint64_t bad_lines, jumps;
    bool strict;
};

static void on_entry(void *ctx, const struct mp_entry *entry, mp_str json)
{
    struct replay *r = ctx;
    cli_print_entry(stdout, &r->style, entry, json);
}

static enum mp_err on_message(void *ctx, const struct mp_message *message)
{
    struct replay *r = ctx;
    cli_print_message(stdout, &r->style, message);
    return MP_OK;
}

/* ---- set-up ---- */

static int set_params(struct replay *r)
{
    size_t count;
    const char *const *values = cli_values(r->args, "set", &count);
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(values[i], '=');
        if (equals == NULL) return cli_complain(r->args, "--set=%s: write NAME=VALUE", values[i]);
        mp_str name = {values[i], (size_t)(equals - values[i])};
        enum mp_err err = mp_program_set_param(r->program, name, mp_str_of(equals + 1));
        if (err == MP_ENOTFOUND) {
            return cli_complain(r->args, "--set=%s: no param is called `%.*s`", values[i],
                                MP_STR_ARG(name));
        }
        if (err != MP_OK) {
            return cli_complain(r->args, "--set=%s: not a value of its type, or out of its range",
                                values[i]);
        }
    }
    return CLI_OK;
}

static int create(struct replay *r)
{
    struct mp_engine_options options = {
        .clock = MP_ENGINE_REPLAY, .hash_key = {0x6d706f6c, 0x7265706c6179}, .pending = true};
    struct mp_engine_sinks sinks = {.ctx = r, .entry = on_entry, .message = on_message};
    enum mp_err err = mp_engine_create(r->program, cli_world_open(), &options, &sinks, &r->engine);
    if (err == MP_OK) {
        err = mp_ingest_create(&r->arena, r->program, options.hash_key, &r->ingest);
    }
    return err == MP_OK ? CLI_OK : cli_complain(r->args, "%s", mp_err_text(err));
}

/* ---- lines ---- */

static int bad_line(struct replay *r, const char *file, uint64_t number, const char *why)
{
    r->bad_lines++;
    if (r->bad_lines <= COMPLAINTS_MAX) {
        fprintf(stderr, "mpol replay: %s:%llu: %s%s\n", file, (unsigned long long)number, why,
                r->strict ? "" : "; skipped");
    }
    return r->strict ? CLI_USAGE : CLI_OK;
}

static void tell_jump(struct replay *r, const char *file, uint64_t number, int64_t time_ns)
{
    int64_t now = mp_engine_now(r->engine);
    if (now == 0 || time_ns - now <= JUMP_NS) return;
    r->jumps++;
    if (r->jumps > COMPLAINTS_MAX) return;
    fprintf(stderr, "mpol replay: %s:%llu: time jumps ahead by %lld h\n", file,
            (unsigned long long)number, (long long)((time_ns - now) / JUMP_NS));
}

static int take_line(struct replay *r, const char *file, uint64_t number, mp_str line,
                     uint32_t source)
{
    struct mp_ingested in;
    switch (mp_ingest_line(r->ingest, line, source, 0, &in)) {
    case MP_INGEST_RECORD:
        tell_jump(r, file, number, in.record.time_ns);
        mp_engine_record(r->engine, &in.record);
        return CLI_OK;
    case MP_INGEST_ALIVE:
        mp_engine_alive(r->engine, source, in.signal, in.record.time_ns);
        return CLI_OK;
    case MP_INGEST_ENTITY:
        if (mp_inventory_put(mp_engine_inventory(r->engine), in.entity) != MP_OK) {
            return bad_line(r, file, number, "the inventory is full");
        }
        mp_engine_inventory_changed(r->engine);
        return CLI_OK;
    case MP_INGEST_OTHER: return CLI_OK;
    case MP_INGEST_BAD: break;
    }
    return bad_line(r, file, number, in.why);
}

static int take_stream(struct replay *r, FILE *stream, const char *file, uint32_t source)
{
    struct cli_lines lines;
    mp_str line;
    bool too_long;
    int code = CLI_OK;
    if (!cli_lines_open(&lines, stream, MP_LINE_MAX)) return cli_no_memory(r->args);
    while (code == CLI_OK && cli_lines_next(&lines, &line, &too_long)) {
        code = too_long ? bad_line(r, file, lines.number, "longer than 1 MiB")
                        : take_line(r, file, lines.number, line, source);
    }
    if (lines.error != 0) code = cli_complain(r->args, "%s: %s", file, strerror(lines.error));
    cli_lines_close(&lines);
    return code;
}

static int take_file(struct replay *r, const char *path, uint32_t source)
{
    if (strcmp(path, "-") == 0) return take_stream(r, stdin, "<stdin>", source);
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) return cli_complain(r->args, "%s: %s", path, strerror(errno));
    int code = take_stream(r, stream, path, source);
    fclose(stream);
    return code;
}

static int take_files(struct replay *r, const char *option, uint32_t *source)
{
    size_t count;
    const char *const *paths = cli_values(r->args, option, &count);
    int code = CLI_OK;
    for (size_t i = 0; i < count && code == CLI_OK; i++) {
        /* cli_values answers in memory that the next question takes again. */
        paths = cli_values(r->args, option, &count);
        code = take_file(r, paths[i], (*source)++);
    }
    return code;
}

static int drain(struct replay *r)
{
    const char *text = cli_value(r->args, "drain", NULL);
    int64_t for_ns;
    if (text == NULL) return CLI_OK;
    if (!mp_read_duration(mp_str_of(text), &for_ns) || for_ns < 0) {
        return cli_complain(r->args, "--drain=%s is no duration: 30s, 10m, 1h30m", text);
    }
    mp_engine_drain(r->engine, for_ns);
    return CLI_OK;
}

/* ---- what is told at the end ---- */

static void print_summary(struct replay *r)
{
    struct mp_engine_status status;
    struct cli_summary summary = {.bad_lines = r->bad_lines};
    mp_engine_status(r->engine, &status);
    summary.records = status.records;
    summary.late = status.late;
    struct mp_ingest_counts in;
    mp_ingest_counts(r->ingest, &in);
    summary.unread_lines = in.other;
    summary.unread_fields = in.unknown_fields;
    summary.bad_values = in.bad_values;
    cli_print_summary(stdout, &r->style, r->engine, &summary);
    if (r->bad_lines > COMPLAINTS_MAX) {
        fprintf(stderr, "mpol replay: %llu more bad lines\n",
                (unsigned long long)(r->bad_lines - COMPLAINTS_MAX));
    }
}

static int run(struct replay *r)
{
    uint32_t source = 0;
    int code = set_params(r);
    if (code == CLI_OK) code = create(r);
    if (code == CLI_OK) code = cli_use_executor(r->args, r->program, true);
    if (code == CLI_OK) code = take_files(r, "inventory", &source);
    if (code == CLI_OK) code = take_files(r, "telemetry", &source);
    if (code == CLI_OK) code = drain(r);
    if (code == CLI_OK) print_summary(r);
    return code;
}

int cli_replay(const struct cli_args *args)
{
    static const char *const formats[] = {"text", "json", NULL};
    struct replay r = {.args = args, .strict = cli_flag(args, "strict")};
    int format = cli_choice(args, "format", formats);
    if (format < 0) return CLI_USAGE;
    if (cli_value(args, "telemetry", NULL) == NULL) {
        return cli_complain(args, "say which --telemetry=FILE, or - for standard input");
    }
    r.style = (struct cli_entry_style){.json = format == 1, .color = cli_colour(args, stdout)};
    mp_arena_init(&r.arena, NULL, 0);
    int code = cli_load(args, 0, false, &r.policies, &r.program);
    if (code == CLI_OK) code = run(&r);
    mp_engine_destroy(r.engine);
    cli_drop_executor(r.program);
    mp_program_free(r.program);
    cli_policies_free(&r.policies);
    mp_arena_free(&r.arena);
    return code;
}
