/* SPDX-License-Identifier: Apache-2.0
 * Telemetry → engine: a file that grows (followed over truncation and rotation), a FIFO, a socket that
 * many may connect to, standard input. Lines are bounded; a bad one is counted, told, and skipped.
 */
#include "daemon/daemon_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (256u * 1024)
#define READS_A_TURN 16 /* LIMIT: of one file before others have their turn: 4 MiB */
#define COMPLAINTS_MAX 10
#define CONNECTIONS_MAX 256 /* LIMIT: writers on one socket at a time */

enum kind { KIND_FILE, KIND_FIFO, KIND_STDIN, KIND_SOCKET };

/* One stream of lines: a file, a FIFO, or one connection. */
struct stream {
    struct dm *d;
    const char *name;
    uint32_t source;
    struct dm_bytes rest; /* the beginning of a line that has not ended */
    bool skipping;        /* the line at hand is too long */
    uint64_t line;
};

struct dm_input {
    struct dm *d;
    const char *name;
    enum kind kind;
    struct stream stream;
    int fd;
    ino_t inode;
    off_t read_to;
    bool at_end; /* standard input ends, a file waits for more */
    uv_pipe_t listener;
    uv_poll_t poll;
    bool has_listener, has_poll;
};

struct connection {
    uv_pipe_t pipe;
    struct stream stream;
};

static uint32_t connections;
static uint32_t next_source;

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

static void take_line(struct stream *s, mp_str line)
{
    struct dm *d = s->d;
    struct mp_ingested in;
    s->line++;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
    int64_t now = d->os.wall_ns(d->os.ctx);
    switch (mp_ingest_line(d->now.ingest, line, s->source, now, &in)) {
    case MP_INGEST_RECORD:
        d->counts.records++;
        mp_engine_record(d->engine, &in.record);
        break;
    case MP_INGEST_ALIVE: mp_engine_alive(d->engine, s->source, in.signal, in.record.time_ns); break;
    case MP_INGEST_ENTITY:
        if (mp_inventory_put(mp_engine_inventory(d->engine), in.entity) != MP_OK) {
            bad_line(s, "the inventory is full");
        }
        mp_engine_inventory_changed(d->engine);
        break;
    case MP_INGEST_OTHER: d->counts.other++; break;
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
    if (s->skipping) {
        too_long(s);
    } else if (s->rest.len == 0) {
        take_line(s, tail);
    } else if (dm_bytes_add(&s->rest, tail.ptr, tail.len)) {
        take_line(s, (mp_str){s->rest.ptr, s->rest.len});
        s->rest.len = 0;
    }
}

static void take_bytes(struct stream *s, mp_str bytes)
{
    while (bytes.len > 0) {
        const char *end = memchr(bytes.ptr, '\n', bytes.len);
        if (end == NULL) break;
        size_t len = (size_t)(end - bytes.ptr);
        end_line(s, (mp_str){bytes.ptr, len});
        bytes.ptr += len + 1;
        bytes.len -= len + 1;
    }
    if (bytes.len == 0 || s->skipping) return;
    if (s->rest.len + bytes.len > MP_LINE_MAX) {
        s->skipping = true;
        s->rest.len = 0;
    } else {
        (void)dm_bytes_add(&s->rest, bytes.ptr, bytes.len);
    }
}

/* A stream that ends may end without a line end. */
static void end_stream(struct stream *s)
{
    if (s->skipping) {
        too_long(s);
    } else if (s->rest.len > 0) {
        take_line(s, (mp_str){s->rest.ptr, s->rest.len});
    }
    dm_bytes_free(&s->rest);
    mp_engine_source_closed(s->d->engine, s->source);
}

/* ---- files ---- */

static char read_buffer[READ_BYTES];

/* A new file behind the old name, or one that was cut: begin again at its start. */
static void look_for_rotation(struct dm_input *in)
{
    struct stat st;
    if (stat(in->name, &st) != 0) return;
    if (in->fd >= 0 && st.st_ino == in->inode && st.st_size >= in->read_to) return;
    int fd = open(in->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    if (in->fd >= 0) {
        close(in->fd);
        dm_log(in->d, "info", "%s: begins anew", in->name);
    }
    in->fd = fd;
    in->inode = st.st_ino;
    in->read_to = 0;
    in->stream.rest.len = 0;
    in->stream.line = 0;
}

static void read_file(struct dm_input *in)
{
    for (int i = 0; i < READS_A_TURN && in->fd >= 0; i++) {
        ssize_t got = read(in->fd, read_buffer, sizeof read_buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            look_for_rotation(in);
            return;
        }
        in->read_to += got;
        take_bytes(&in->stream, (mp_str){read_buffer, (size_t)got});
    }
}

static bool open_file(struct dm_input *in)
{
    struct stat st;
    in->fd = open(in->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in->fd < 0 && errno != ENOENT) {
        fprintf(stderr, "mpol run: %s: %s\n", in->name, strerror(errno));
        return false;
    }
    if (in->fd < 0) {
        dm_log(in->d, "info", "%s is not there yet; waiting for it", in->name);
        return true;
    }
    if (fstat(in->fd, &st) == 0) in->inode = st.st_ino;
    return true;
}

/* ---- FIFOs and standard input ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct dm_input *in = poll->data;
    ssize_t got = read(in->fd, read_buffer, sizeof read_buffer);
    if (got > 0) take_bytes(&in->stream, (mp_str){read_buffer, (size_t)got});
    if (got == 0) {
        uv_poll_stop(&in->poll);
        in->at_end = true;
        end_stream(&in->stream);
        dm_log(in->d, "info", "%s has ended", in->name);
    }
    dm_turn(in->d);
}

static bool open_fifo(struct dm_input *in)
{
    /* Opened for writing as well, so that a writer that goes away is not the end. */
    int flags = in->kind == KIND_FIFO ? O_RDWR : O_RDONLY;
    in->fd = in->kind == KIND_FIFO ? open(in->name, flags | O_CLOEXEC | O_NONBLOCK) : 0;
    if (in->fd < 0) {
        fprintf(stderr, "mpol run: %s: %s\n", in->name, strerror(errno));
        return false;
    }
    if (uv_poll_init(&in->d->loop, &in->poll, in->fd) != 0) {
        in->kind = KIND_FILE; /* standard input is a plain file: read like one */
        return true;
    }
    in->poll.data = in;
    in->has_poll = true;
    return uv_poll_start(&in->poll, UV_READABLE, on_readable) == 0;
}

/* ---- sockets ---- */

static void on_closed(uv_handle_t *handle)
{
    connections--;
    free(handle->data);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    *buf = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void on_read(uv_stream_t *pipe, ssize_t got, const uv_buf_t *buf)
{
    struct connection *c = pipe->data;
    struct dm *d = c->stream.d;
    if (got > 0) take_bytes(&c->stream, (mp_str){buf->base, (size_t)got});
    if (got < 0) {
        end_stream(&c->stream);
        uv_close((uv_handle_t *)pipe, on_closed);
    }
    if (got != 0) dm_turn(d);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dm_input *in = listener->data;
    struct connection *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) return;
    uv_pipe_init(&in->d->loop, &c->pipe, 0);
    connections++;
    c->pipe.data = c;
    c->stream = (struct stream){.d = in->d, .name = in->name, .source = next_source++};
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) != 0 || connections > CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0) {
        uv_close((uv_handle_t *)&c->pipe, on_closed);
    }
}

static bool open_socket(struct dm_input *in)
{
    const char *path = in->name + strlen("unix:");
    struct stat st;
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(path); /* of an earlier life */
    uv_pipe_init(&in->d->loop, &in->listener, 0);
    in->listener.data = in;
    in->has_listener = true;
    int code = uv_pipe_bind(&in->listener, path);
    if (code == 0) code = uv_listen((uv_stream_t *)&in->listener, 64, on_connection);
    if (code != 0) fprintf(stderr, "mpol run: %s: %s\n", in->name, uv_strerror(code));
    return code == 0;
}

/* ---- all of them ---- */

static enum kind kind_of(const char *name)
{
    struct stat st;
    if (strcmp(name, "-") == 0) return KIND_STDIN;
    if (strncmp(name, "unix:", 5) == 0) return KIND_SOCKET;
    if (stat(name, &st) == 0 && S_ISFIFO(st.st_mode)) return KIND_FIFO;
    return KIND_FILE;
}

static bool open_input(struct dm *d, struct dm_input *in, const char *name)
{
    in->d = d;
    in->name = name;
    in->kind = kind_of(name);
    in->fd = -1;
    in->stream = (struct stream){.d = d, .name = name, .source = next_source++};
    switch (in->kind) {
    case KIND_FILE: return open_file(in);
    case KIND_FIFO:
    case KIND_STDIN: return open_fifo(in);
    case KIND_SOCKET: return open_socket(in);
    }
    return false;
}

/* Inventory is read once, whole, before telemetry: rules then know the callers they ask about. */
static bool read_inventory(struct dm *d, const char *path)
{
    struct stream s = {.d = d, .name = path, .source = next_source++};
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "mpol run: %s: %s\n", path, strerror(errno));
        return false;
    }
    size_t got;
    while ((got = fread(read_buffer, 1, sizeof read_buffer, f)) > 0) {
        take_bytes(&s, (mp_str){read_buffer, got});
    }
    bool ok = !ferror(f);
    fclose(f);
    end_stream(&s);
    return ok;
}

bool dm_inputs_open(struct dm *d)
{
    for (size_t i = 0; i < d->options->inventory_count; i++) {
        if (!read_inventory(d, d->options->inventory[i])) return false;
    }
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
        struct dm_input *in = &d->inputs[i];
        if (in->kind != KIND_FILE) continue;
        if (in->fd < 0) look_for_rotation(in);
        read_file(in);
    }
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void dm_inputs_close(struct dm *d)
{
    for (uint32_t i = 0; i < d->input_count; i++) {
        struct dm_input *in = &d->inputs[i];
        if (in->has_poll) close_handle((uv_handle_t *)&in->poll);
        if (in->has_listener) close_handle((uv_handle_t *)&in->listener);
        if (in->fd > 0) close(in->fd);
        in->fd = -1;
        dm_bytes_free(&in->stream.rest);
    }
}
