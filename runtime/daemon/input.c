/* SPDX-License-Identifier: Apache-2.0
 * Telemetry → engine: a file that grows (followed over truncation and rotation), a FIFO, a socket
 * that many may connect to, standard input; each of them also as an Envoy's access log, with
 * `envoy:` before its name. Lines are bounded; a bad one is counted, told, and skipped.
 */
#include "daemon/input_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/import.h"

#define COMPLAINTS_MAX 10
/* LIMIT: of a line of an access log as telemetry, all growth */
#define MADE_BYTES_MAX (32u * 1024 * 1024)
#define SOURCES_MAX 64 /* LIMIT: of a window (window.h); those beyond share the last */

char dm_read_room[READ_BYTES];

/* ---- sources: a number is used again when nobody has it any more ---- */

static uint32_t source_users[SOURCES_MAX];

uint32_t dm_source_take(void)
{
    uint32_t i = 0;
    while (i < SOURCES_MAX - 1 && source_users[i] > 0) i++;
    source_users[i]++;
    return i;
}

void dm_source_give(struct dm *d, uint32_t source)
{
    /* That we end says nothing about those who write. */
    if (--source_users[source] == 0 && d->started && !d->ending)
        mp_engine_source_closed(d->engine, source);
}

/* ---- lines ---- */

static void bad_line(struct stream *s, const char *why)
{
    struct dm *d = s->d;
    d->counts.bad_lines++;
    if (d->counts.bad_lines <= COMPLAINTS_MAX) {
        dm_log(d, "warn", "%s:%llu: %s; skipped%s", s->name, (unsigned long long)s->line, why,
               d->counts.bad_lines == COMPLAINTS_MAX ? " (more are only counted)" : "");
    }
}

void dm_inventory_told(struct dm *d)
{
    if (!d->inventory_news || !d->started) return;
    d->inventory_news = false;
    dm_mesh_inventory(d);
    dm_modules_inventory(d);
    mp_engine_inventory_changed(d->engine);
}

/* The line is taken without it. */
static void tell_odd(struct stream *s, const struct mp_ingested *in)
{
    if (in->odd.len == 0) return;
    dm_log(s->d, "warn", "%s:%llu: `%.*s` is not %.*s: left out (more of these are only counted)",
           s->name, (unsigned long long)s->line, MP_STR_ARG(in->odd),
           MP_STR_ARG(mp_type_noun(in->odd_type)));
}

static void take_entity(struct stream *s, const struct mp_ingested *in)
{
    tell_odd(s, in);
    if (mp_inventory_put(mp_engine_inventory(s->d->engine), in->entity) != MP_OK) {
        bad_line(s, "the inventory is full");
    }
    s->d->inventory_news = s->d->inventory_unkept = true;
}

/* A line of an access log becomes one of telemetry. False: there is nothing to take. */
static bool make_line(struct stream *s, mp_str *line)
{
    static const struct mp_import_options as_it_says = {.service = {NULL, 0}};
    const char *why;
    s->made.len = 0;
    bool made = mp_import_line(MP_IMPORT_ENVOY_JSON, &as_it_says, *line, &s->made, &why);
    if (s->made.failed) {
        why = "no memory for it";
        mp_arena_free(&s->arena);
        mp_buf_init(&s->made, &s->arena);
        made = false;
    }
    if (!made && why != NULL) bad_line(s, why);
    *line = mp_buf_view(&s->made);
    return made;
}

static void take_line(struct stream *s, mp_str line)
{
    struct dm *d = s->d;
    struct mp_ingested in;
    s->line++;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
    if (s->envoy && !make_line(s, &line)) return;
    enum mp_ingest_kind kind =
        mp_ingest_line(d->now.ingest, line, s->source, d->os.wall_ns(d->os.ctx), &in);
    /* many lines of inventory are looked at once */
    if (kind != MP_INGEST_ENTITY) dm_inventory_told(d);
    switch (kind) {
    case MP_INGEST_RECORD:
        dm_record(d, &in.record);
        break;
    case MP_INGEST_ALIVE:
        mp_engine_alive(d->engine, s->source, in.signal, in.record.time_ns);
        break;
    case MP_INGEST_ENTITY: take_entity(s, &in); break;
    case MP_INGEST_OTHER: break; /* counted by the ingest (dm_unread) */
    case MP_INGEST_BAD: bad_line(s, in.why); break;
    }
}

static void too_long(struct stream *s)
{
    s->line++;
    s->d->counts.long_lines++;
    bad_line(s, "longer than 1 MiB");
    s->skipping = false;
    s->rest.len = 0;
}

/* The end of a line that began in earlier bytes. */
static void end_line(struct stream *s, mp_str tail)
{
    if (s->skipping || s->rest.len + tail.len > MP_LINE_MAX) {
        too_long(s);
    } else if (s->rest.len == 0) {
        take_line(s, tail);
    } else {
        bool whole = dm_bytes_add(&s->rest, tail.ptr, tail.len);
        if (whole) take_line(s, (mp_str){s->rest.ptr, s->rest.len});
        if (!whole) bad_line(s, "no memory for it");
        s->rest.len = 0; /* the next line begins by itself in any case */
    }
}

void dm_stream_take(struct stream *s, mp_str bytes)
{
    while (bytes.len > 0) {
        const char *end = memchr(bytes.ptr, '\n', bytes.len);
        if (end == NULL) break;
        size_t len = (size_t)(end - bytes.ptr);
        end_line(s, (mp_str){bytes.ptr, len});
        bytes.ptr += len + 1;
        bytes.len -= len + 1;
    }
    dm_inventory_told(s->d);
    if (bytes.len == 0 || s->skipping) return;
    if (s->rest.len + bytes.len > MP_LINE_MAX) {
        s->skipping = true;
        s->rest.len = 0;
    } else {
        (void)dm_bytes_add(&s->rest, bytes.ptr, bytes.len);
    }
}

void dm_stream_rest(struct stream *s)
{
    if (s->skipping) {
        too_long(s);
    } else if (s->rest.len > 0) {
        take_line(s, (mp_str){s->rest.ptr, s->rest.len});
    }
    s->rest.len = 0;
    dm_inventory_told(s->d);
}

void dm_stream_open(struct stream *s, const struct dm_input *in)
{
    *s = (struct stream){
        .d = in->d, .name = in->name, .source = dm_source_take(), .envoy = in->envoy};
    mp_arena_init(&s->arena, NULL, MADE_BYTES_MAX);
    mp_buf_init(&s->made, &s->arena);
}

void dm_stream_end(struct stream *s)
{
    if (!s->d->ending) dm_stream_rest(s); /* else it is we who cut the line */
    dm_bytes_free(&s->rest);
    mp_arena_free(&s->arena);
    dm_source_give(s->d, s->source);
}

/* ---- inventory ---- */

bool dm_inventory_line(struct dm *d, mp_str line, bool of_file)
{
    struct mp_ingested in;
    struct mp_inventory *inv = mp_engine_inventory(d->engine);
    if (mp_ingest_line(d->now.ingest, line, 0, 1, &in) != MP_INGEST_ENTITY) return false;
    d->inventory_news = true;
    return (of_file ? mp_inventory_files_put(inv, in.entity, NULL)
                    : mp_inventory_put(inv, in.entity)) == MP_OK;
}

/* ---- all of them ---- */

static enum input_kind kind_of(const char *name)
{
    struct stat st;
    if (strcmp(name, "-") == 0) return INPUT_STDIN;
    if (strncmp(name, "unix:", 5) == 0) return INPUT_SOCKET;
    if (stat(name, &st) == 0 && S_ISFIFO(st.st_mode)) return INPUT_FIFO;
    return INPUT_FILE;
}

static bool open_input(struct dm *d, struct dm_input *in, const char *name)
{
    in->d = d;
    in->envoy = strncmp(name, "envoy:", 6) == 0;
    in->name = in->envoy ? name + 6 : name;
    in->kind = kind_of(in->name);
    in->fd = -1;
    if (in->kind != INPUT_SOCKET) dm_stream_open(&in->stream, in);
    switch (in->kind) {
    case INPUT_FILE: return dm_file_open(in);
    case INPUT_FIFO:
    case INPUT_STDIN: return dm_fifo_open(in);
    case INPUT_SOCKET: return dm_socket_open(in);
    }
    return false;
}

bool dm_inputs_open(struct dm *d)
{
    d->inputs = calloc(d->options->telemetry_count + 1, sizeof *d->inputs);
    if (d->inputs == NULL) return false;
    for (size_t i = 0; i < d->options->telemetry_count; i++) {
        if (!open_input(d, &d->inputs[d->input_count++], d->options->telemetry[i])) return false;
    }
    return true;
}

void dm_inputs_poll(struct dm *d)
{
    for (uint32_t i = 0; i < d->input_count; i++) {
        if (d->inputs[i].kind == INPUT_FILE && !d->inputs[i].ended) dm_file_read(&d->inputs[i]);
    }
}

bool dm_input_position(const struct dm *d, uint32_t i, struct dm_position *out)
{
    const struct dm_input *in = &d->inputs[i];
    if (in->kind != INPUT_FILE || in->inode == 0 || strcmp(in->name, "-") == 0) return false;
    uint64_t line_at = in->stream.skipping ? in->read_to : in->read_to - in->stream.rest.len;
    struct mp_hash_key key = {9, 10};
    *out = (struct dm_position){in->device, in->inode, line_at,
                                mp_siphash(key, in->name, strlen(in->name))};
    return true;
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void dm_inputs_close(struct dm *d)
{
    dm_socket_close_all(d);
    for (uint32_t i = 0; i < d->input_count; i++) {
        struct dm_input *in = &d->inputs[i];
        if (in->has_poll) close_handle((uv_handle_t *)&in->poll);
        if (in->has_listener) close_handle((uv_handle_t *)&in->listener);
        if (in->fd > 0) close(in->fd);
        in->fd = -1;
    }
}

void dm_inputs_free(struct dm *d)
{
    for (uint32_t i = 0; i < d->input_count; i++) {
        dm_bytes_free(&d->inputs[i].stream.rest);
        mp_arena_free(&d->inputs[i].stream.arena);
    }
    free(d->inputs);
}
