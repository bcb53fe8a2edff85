/* SPDX-License-Identifier: Apache-2.0
 * Messages out: to the log, to a file, to a program's standard input, to a URL. The engine
 * repeats what failed, with growing pauses and always with the same key; a channel only tries
 * once, within a time.
 *
 *   NAME=log · NAME=file:PATH · NAME=exec:PROGRAM · NAME=https://URL
 *
 * The key names the ledger and the message: it is the same for every try, over restarts too, and no
 * other daemon has it. A URL is sent to with `Idempotency-Key`, and with `X-Mpol-Signature:
 * sha256=HEX`, the HMAC of "TIMESTAMP.BODY" under $MPOL_SECRET_NAME where that is set
 * (`X-Mpol-Timestamp` carries the time).
 */
#include "daemon/daemon_priv.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/date.h"
#include "crypto/crypto.h"

#define TIMEOUT_S 10       /* LIMIT: of one try */
#define IN_FLIGHT_MAX 32   /* LIMIT: tries at a time; more are asked for again by the engine */

enum kind { KIND_LOG, KIND_FILE, KIND_EXEC, KIND_URL };

struct dm_channel {
    const char *name;
    enum kind kind;
    const char *where;
    mp_str secret;
};

/* One try on its way. */
struct try {
    struct dm *d;
    const struct dm_channel *channel;
    uint64_t id;
    char key[64];
    struct dm_bytes body;
    enum mp_err result;
    char why[CURL_ERROR_SIZE]; /* where it failed and more is known than the result; else empty */
    uv_work_t work;
    uv_process_t process;
    uv_pipe_t pipe;
    uv_write_t write;
    uv_timer_t timer;
    int handles; /* that are still open */
};

static uint32_t in_flight;

/* ---- what is sent ---- */

static void add_member(struct dm_bytes *b, const char *name, mp_str text)
{
    dm_bytes_printf(b, ",\"%s\":", name);
    dm_json_text(b, text);
}

static void write_body(const struct mp_message *m, const char *key, struct dm_bytes *b)
{
    char time[MP_DATE_TEXT];
    mp_date_text(m->time_ns, time);
    dm_bytes_printf(b, "{\"idempotency_key\":\"%s\",\"time\":\"%.*s\",\"incident\":%llu", key,
                    (int)sizeof time, time, (unsigned long long)m->incident);
    add_member(b, "rule", m->rule_name);
    add_member(b, "key", m->key);
    add_member(b, "verb", m->verb);
    add_member(b, "channel", m->channel);
    add_member(b, "text", m->text);
    dm_bytes_add(b, "}\n", 2);
}

/* ---- the end of a try ---- */

static void finish(struct try *t)
{
    struct dm *d = t->d;
    if (t->result == MP_OK) {
        d->counts.messages_sent++;
    } else {
        d->counts.messages_failed++;
        dm_log(d, "warn", "channel %s: message %llu was not taken: %s", t->channel->name,
               (unsigned long long)t->id, t->why[0] != '\0' ? t->why : mp_err_text(t->result));
    }
    if (d->engine != NULL) mp_engine_message_done(d->engine, t->id, t->result);
    dm_bytes_free(&t->body);
    free(t);
    in_flight--;
    dm_turn(d);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct try *t = handle->data;
    if (--t->handles == 0) finish(t);
}

static void close_all(struct try *t)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&t->process, (uv_handle_t *)&t->pipe,
                              (uv_handle_t *)&t->timer};
    for (size_t i = 0; i < 3; i++) {
        if (!uv_is_closing(handles[i])) uv_close(handles[i], on_handle_closed);
    }
}

/* ---- a program ---- */

static void on_exit_status(uv_process_t *process, int64_t status, int signal)
{
    struct try *t = process->data;
    t->result = status == 0 && signal == 0  ? MP_OK
                : t->result == MP_ETIMEDOUT ? MP_ETIMEDOUT
                                            : MP_EIO;
    if (t->result == MP_EIO && signal != 0)
        snprintf(t->why, sizeof t->why, "ended by signal %d", signal);
    if (t->result == MP_EIO && signal == 0)
        snprintf(t->why, sizeof t->why, "exit status %d", (int)status);
    close_all(t);
}

static void on_timeout(uv_timer_t *timer)
{
    struct try *t = timer->data;
    t->result = MP_ETIMEDOUT;
    kill(-t->process.pid, SIGKILL); /* and what it has started: it leads a group of its own */
}

static void on_written(uv_write_t *write, int status)
{
    struct try *t = write->data;
    if (!uv_is_closing((uv_handle_t *)&t->pipe))
        uv_close((uv_handle_t *)&t->pipe, on_handle_closed);
}

static enum mp_err start_program(struct try *t)
{
    char *args[] = {(char *)t->channel->where, NULL};
    /* What it prints goes nowhere: it may repeat what a client sent, and our log is ours. */
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&t->pipe},
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
    };
    uv_process_options_t options = {.file = t->channel->where,
                                    .args = args,
                                    .exit_cb = on_exit_status,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio = stdio,
                                    .stdio_count = 3};
    uv_pipe_init(&t->d->loop, &t->pipe, 0);
    uv_timer_init(&t->d->loop, &t->timer);
    t->process.data = t->pipe.data = t->timer.data = t->write.data = t;
    t->handles = 3;
    t->result = MP_EAGAIN;
    int spawned = uv_spawn(&t->d->loop, &t->process, &options);
    if (spawned != 0) {
        t->result = MP_ENOTFOUND;
        if (spawned != UV_ENOENT) snprintf(t->why, sizeof t->why, "%s", uv_strerror(spawned));
        close_all(t);
        return MP_EAGAIN;
    }
    uv_buf_t buf = uv_buf_init(t->body.ptr, (unsigned)t->body.len);
    uv_timer_start(&t->timer, on_timeout, TIMEOUT_S * 1000, 0);
    if (uv_write(&t->write, (uv_stream_t *)&t->pipe, &buf, 1, on_written) != 0) {
        uv_close((uv_handle_t *)&t->pipe, on_handle_closed);
    }
    return MP_EAGAIN;
}

/* ---- a URL: on a thread of libuv's pool, because libcurl's easy interface waits ---- */

static void add_signature(struct try *t, struct curl_slist **headers)
{
    char line[200];
    uint8_t mac[MP_SHA256_BYTES];
    struct dm_bytes signed_text = {0};
    long long now = (long long)(t->d->os.wall_ns(t->d->os.ctx) / 1000000000);
    snprintf(line, sizeof line, "X-Mpol-Timestamp: %lld", now);
    *headers = curl_slist_append(*headers, line);
    dm_bytes_printf(&signed_text, "%lld.", now);
    dm_bytes_add(&signed_text, t->body.ptr, t->body.len);
    mp_str text = {signed_text.ptr, signed_text.len};
    if (mp_crypto_hmac_sha256(t->channel->secret, text, mac) == MP_OK) {
        int at = snprintf(line, sizeof line, "X-Mpol-Signature: sha256=");
        for (int i = 0; i < MP_SHA256_BYTES; i++)
            at += snprintf(line + at, sizeof line - (size_t)at, "%02x", mac[i]);
        *headers = curl_slist_append(*headers, line);
    }
    dm_bytes_free(&signed_text);
}

static size_t drop_answer(char *bytes, size_t size, size_t count, void *ctx)
{
    return size * count;
}

static void post(uv_work_t *work)
{
    struct try *t = work->data;
    CURL *curl = curl_easy_init();
    char key[128];
    long status = 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    snprintf(key, sizeof key, "Idempotency-Key: %s", t->key);
    headers = curl_slist_append(headers, key);
    if (t->channel->secret.len > 0) add_signature(t, &headers);
    t->result = MP_ENOMEM;
    if (curl != NULL) {
        curl_easy_setopt(curl, CURLOPT_URL, t->channel->where);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)t->body.len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, t->body.ptr);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_answer);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->why);
        if (getenv("SSL_CERT_FILE") != NULL)
            curl_easy_setopt(curl, CURLOPT_CAINFO, getenv("SSL_CERT_FILE"));
        CURLcode code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        t->result = code == CURLE_OPERATION_TIMEDOUT ? MP_ETIMEDOUT
                    : code == CURLE_OK && status >= 200 && status < 300 ? MP_OK
                                                                        : MP_EIO;
        curl_easy_cleanup(curl);
        if (code != CURLE_OK && t->why[0] == '\0') {
            snprintf(t->why, sizeof t->why, "%s", curl_easy_strerror(code));
        } else if (code == CURLE_OK && t->result != MP_OK) {
            snprintf(t->why, sizeof t->why, "HTTP status %ld", status);
        }
    }
    curl_slist_free_all(headers);
    mp_crypto_thread_end(); /* the pool's threads are nobody's: they never end by themselves */
}

static void on_posted(uv_work_t *work, int status) { finish(work->data); }

static enum mp_err start_post(struct try *t)
{
    t->work.data = t;
    if (uv_queue_work(&t->d->loop, &t->work, post, on_posted) == 0) return MP_EAGAIN;
    dm_bytes_free(&t->body);
    free(t);
    in_flight--;
    return MP_EIO;
}

/* ---- sending ---- */

/* A line that does not fit on the disk is taken back: what is in the file is whole. */
static bool append_line(int fd, const struct dm_bytes *b)
{
    off_t end = lseek(fd, 0, SEEK_END);
    ssize_t put = write(fd, b->ptr, b->len);
    if (put == (ssize_t)b->len) return true;
    int error = put >= 0 ? ENOSPC : errno;
    if (put > 0 && end >= 0 && ftruncate(fd, end) != 0) error = errno;
    errno = error;
    return false;
}

static enum mp_err append_to_file(const struct dm_channel *c, const struct mp_message *m,
                                  const char *key)
{
    struct dm_bytes b = {0};
    write_body(m, key, &b);
    /* Not blocking: a FIFO without a reader is a channel that is away. */
    int fd = open(c->where, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
    bool ok = fd >= 0 && append_line(fd, &b);
    if (fd >= 0) ok = close(fd) == 0 && ok;
    dm_bytes_free(&b);
    return ok ? MP_OK : MP_EIO;
}

static enum mp_err start_try(struct dm *d, const struct dm_channel *c, const struct mp_message *m,
                             const char *key)
{
    if (in_flight >= IN_FLIGHT_MAX) return MP_EIO;
    struct try *t = calloc(1, sizeof *t);
    if (t == NULL) return MP_ENOMEM;
    t->d = d;
    t->channel = c;
    t->id = m->id;
    snprintf(t->key, sizeof t->key, "%s", key);
    write_body(m, key, &t->body);
    in_flight++;
    return c->kind == KIND_EXEC ? start_program(t) : start_post(t);
}

/* A name without a channel of its own goes to the log: nothing that a policy says is lost. */
static const struct dm_channel *channel_for(const struct dm *d, mp_str name)
{
    static const struct dm_channel to_log = {.name = "log", .kind = KIND_LOG};
    for (uint32_t i = 0; i < d->channel_count; i++) {
        if (mp_str_eq(name, mp_str_of(d->channels[i].name))) return &d->channels[i];
    }
    return &to_log;
}

enum mp_err dm_channel_send(struct dm *d, const struct mp_message *m)
{
    char key[64];
    mp_str name = m->channel.len > 0 ? m->channel : m->verb;
    const struct dm_channel *c = channel_for(d, name);
    snprintf(key, sizeof key, "mpol-%016llx-%llu", (unsigned long long)d->identity.ledger,
             (unsigned long long)m->id);
    enum mp_err err = MP_OK;
    switch (c->kind) {
    case KIND_LOG:
        dm_log(d, "message", "%.*s %.*s: %.*s: %.*s", MP_STR_ARG(m->rule_name), MP_STR_ARG(m->key),
               MP_STR_ARG(m->verb), MP_STR_ARG(m->text));
        break;
    case KIND_FILE: err = append_to_file(c, m, key); break;
    case KIND_EXEC:
    case KIND_URL: return start_try(d, c, m, key);
    }
    if (err == MP_OK) {
        d->counts.messages_sent++;
    } else {
        d->counts.messages_failed++;
        dm_log(d, "warn", "channel %s: message %llu was not taken: %s", c->name,
               (unsigned long long)m->id, strerror(errno));
    }
    return err;
}

/* ---- set-up ---- */

static mp_str secret_of(const char *name)
{
    char variable[128];
    size_t at = (size_t)snprintf(variable, sizeof variable, "MPOL_SECRET_");
    for (; *name != '\0' && at < sizeof variable - 1; name++) {
        variable[at++] = isalnum((unsigned char)*name) ? (char)toupper((unsigned char)*name) : '_';
    }
    variable[at] = '\0';
    return mp_str_of(getenv(variable));
}

static bool open_channel(struct dm_channel *c, const char *given)
{
    static const struct {
        const char *prefix;
        enum kind kind;
        bool whole; /* the prefix belongs to the place */
    } kinds[] = {{"file:", KIND_FILE, false},
                 {"exec:", KIND_EXEC, false},
                 {"https://", KIND_URL, true},
                 {"http://", KIND_URL, true}};
    const char *equals = strchr(given, '=');
    if (equals == NULL || equals == given) return false;
    c->name = strndup(given, (size_t)(equals - given));
    c->secret = secret_of(c->name);
    if (strcmp(equals + 1, "log") == 0) {
        c->kind = KIND_LOG;
        return c->name != NULL;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t len = strlen(kinds[i].prefix);
        if (strncmp(equals + 1, kinds[i].prefix, len) != 0) continue;
        c->kind = kinds[i].kind;
        c->where = kinds[i].whole ? equals + 1 : equals + 1 + len;
        return c->name != NULL && c->where[0] != '\0';
    }
    return false;
}

bool dm_channels_open(struct dm *d)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    d->channels = calloc(d->options->channel_count + 1, sizeof *d->channels);
    if (d->channels == NULL) return false;
    for (size_t i = 0; i < d->options->channel_count; i++) {
        if (!open_channel(&d->channels[d->channel_count++], d->options->channels[i])) {
            fprintf(stderr,
                    "mpol run: --channel=%s: write NAME=log, NAME=file:PATH, NAME=exec:PROGRAM or "
                    "NAME=https://URL\n",
                    d->options->channels[i]);
            return false;
        }
    }
    return true;
}

void dm_channels_close(struct dm *d)
{
    for (uint32_t i = 0; i < d->channel_count; i++) free((void *)d->channels[i].name);
    free(d->channels);
    curl_global_cleanup();
}
