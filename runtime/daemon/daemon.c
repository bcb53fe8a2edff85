/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/daemon_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/ledger.h"
#include "os/std.h"

#define STEP_MS_MAX 50    /* LIMIT: how long time may stand still */
#define POLL_MS 20        /* how often files and BRAKE are looked at */
#define WATCH_MS 500      /* changed policies, windows and inventory that want to be kept */

/* ---- bytes that grow ---- */

/* Room for `more` bytes behind those that are there. */
static bool dm_bytes_reserve(struct dm_bytes *b, size_t more)
{
    if (b->len + more <= b->cap) return true;
    size_t cap = b->cap == 0 ? 1024 : b->cap;
    while (cap < b->len + more) cap *= 2;
    char *grown = realloc(b->ptr, cap);
    if (grown == NULL) return false;
    b->ptr = grown;
    b->cap = cap;
    return true;
}

bool dm_bytes_add(struct dm_bytes *b, const void *bytes, size_t len)
{
    if (!dm_bytes_reserve(b, len)) return false;
    if (len > 0) memcpy(b->ptr + b->len, bytes, len);
    b->len += len;
    return true;
}

bool dm_bytes_printf(struct dm_bytes *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size_t from = b->len;
    if (len < 0 || !dm_bytes_reserve(b, (size_t)len + 1)) return false;
    va_start(args, format);
    vsnprintf(b->ptr + from, (size_t)len + 1, format, args);
    va_end(args);
    b->len = from + (size_t)len;
    return true;
}

void dm_bytes_free(struct dm_bytes *b)
{
    free(b->ptr);
    *b = (struct dm_bytes){0};
}

/* ---- what the engine tells ---- */

static void on_entry(void *ctx, const struct mp_entry *entry, mp_str json)
{
    struct dm *d = ctx;
    dm_keep_entry(d, entry, json);
    bool lease = entry->machine == MP_MACHINE_LEASE;
    dm_log_entry(d, json, "%.*s %.*s%s%.*s%s%.*s: %.*s -> %.*s%s%.*s", MP_STR_ARG(entry->rule),
                 MP_STR_ARG(entry->key), lease ? " " : "", MP_STR_ARG(entry->verb),
                 lease ? " " : "", MP_STR_ARG(entry->target), MP_STR_ARG(entry->from),
                 MP_STR_ARG(entry->to), entry->why.len > 0 ? " because " : "",
                 MP_STR_ARG(entry->why));
}

static enum mp_err on_message(void *ctx, const struct mp_message *m)
{
    return dm_channel_send(ctx, m);
}

/* ---- the brake ---- */

void dm_brake(struct dm *d, bool asked)
{
    if (asked != d->brake_asked) {
        d->brake_asked = asked;
        dm_own_brake(d);
    }
    mp_engine_brake(d->engine, d->brake_file || d->brake_asked);
}

static void look_for_brake(struct dm *d)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/BRAKE", d->options->state_dir);
    bool there = access(path, F_OK) == 0;
    if (there == d->brake_file) return;
    d->brake_file = there;
    dm_brake(d, d->brake_asked);
    dm_log(d, "warn", "the file BRAKE has %s: the brake is %s", there ? "come" : "gone",
           mp_engine_braked(d->engine) ? "on" : "off");
}

/* ---- time ---- */

static void on_step(uv_timer_t *timer) { dm_turn(timer->data); }

/* Files that grow tell nobody; a timer of their own, so that nothing else can hold it up. */
static void on_poll(uv_timer_t *timer)
{
    struct dm *d = timer->data;
    look_for_brake(d);
    dm_inputs_poll(d);
    dm_turn(d);
}

static void arm(struct dm *d, int64_t now_ns)
{
    int64_t next = mp_engine_next(d->engine);
    int64_t wait_ms = next == INT64_MAX ? STEP_MS_MAX : (next - now_ns) / 1000000 + 1;
    if (wait_ms < 1) wait_ms = 1;
    if (wait_ms > STEP_MS_MAX) wait_ms = STEP_MS_MAX;
    uv_timer_start(&d->step_timer, on_step, (uint64_t)wait_ms, 0);
}

void dm_clock(struct dm *d)
{
    if (d->engine == NULL || !d->started || d->ending) return;
    mp_engine_advance(d->engine, d->os.wall_ns(d->os.ctx), d->os.mono_ns(d->os.ctx));
}

void dm_turn(struct dm *d)
{
    if (d->engine == NULL || !d->started || d->ending) return;
    dm_clock(d);
    dm_keep(d);
    arm(d, mp_engine_now(d->engine));
}

/* ---- what is looked at now and then ---- */

/* An inventory that is just being written is left alone until it was the same for a look. */
static void watch_files(struct dm *d)
{
    bool settled = dm_inventory_settled(d), due = dm_inventory_changed(d);
    if (d->host->changed != NULL && d->host->changed(d->host->ctx)) {
        dm_log(d, "info", "policies have changed");
        dm_policies_reload(d);
        due = true; /* they may read more of it */
    }
    if (due && settled) dm_inventory_reload(d);
}

static void on_watch(uv_timer_t *timer)
{
    struct dm *d = timer->data;
    dm_own_inventory(d, false);
    dm_windows_due(d);
    dm_mesh_watch(d);
    dm_mesh_nacks(d);
    dm_modules_tick(d);
    watch_files(d);
    dm_turn(d);
    if (d->ending) return;
    dm_clock_look(d);
    dm_room_look(d);
}

static void on_hup_signal(uv_signal_t *handle, int number)
{
    dm_reload(handle->data);
    dm_turn(handle->data);
}

static void on_end_signal(uv_signal_t *handle, int number)
{
    struct dm *d = handle->data;
    if (d->ending) _exit(128 + number); /* asked twice: at once */
    dm_log(d, "info", "ending: what is in force keeps its end");
    dm_end(d, 0);
}

static void on_store_wake(uv_async_t *handle)
{
    struct dm *d = handle->data;
    dm_keep_committed(d);
    dm_turn(d);
}

/* ---- start ---- */

static enum mp_err make_engine(struct dm *d)
{
    struct mp_engine_options options = {.clock = MP_ENGINE_LIVE,
                                        .hash_key = d->identity.hash_key,
                                        .now_ns = d->os.wall_ns(d->os.ctx),
                                        .mono_ns = d->os.mono_ns(d->os.ctx),
                                        .store = true};
    struct mp_engine_sinks sinks = {.ctx = d, .entry = on_entry, .message = on_message};
    return mp_engine_create(d->now.program, &d->os, &options, &sinks, &d->engine);
}

static void open_signals(struct dm *d)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is a full disk, not an end */
    uv_signal_t *handles[] = {&d->on_hup, &d->on_term, &d->on_int};
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};
    static const uv_signal_cb callbacks[] = {on_hup_signal, on_end_signal, on_end_signal};
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&d->loop, handles[i]);
        handles[i]->data = d;
        uv_signal_start(handles[i], callbacks[i], numbers[i]);
    }
}

static bool load_first(struct dm *d)
{
    mp_str problem = MP_STR("");
    struct dm_generation first;
    if (!dm_generation_load(d, &first, &problem)) {
        if (problem.len > 0) fprintf(stderr, "mpol run: %.*s\n", MP_STR_ARG(problem));
        return false;
    }
    d->now = first;
    d->now.since_ns = d->os.wall_ns(d->os.ctx);
    return true;
}

/* Windows, inventory, then incidents and leases, which are judged by both. */
static enum mp_err restore(struct dm *d)
{
    dm_windows_load(d);
    dm_own_inventory_give(d);
    if (!dm_inventory_read(d)) return MP_EINVAL; /* it has said why */
    enum mp_err err = dm_keep_restore(d);
    if (err != MP_OK)
        fprintf(stderr, "mpol run: %s: %s\n", d->options->state_dir, mp_err_text(err));
    return err;
}

/* The first commit: who we are, and the engine's numbers, before anything is decided. */
static bool first_commit(struct dm *d)
{
    d->started = true;
    dm_inventory_told(d);
    dm_own_inventory(d, true);
    if (dm_keep_flush(d)) return true;
    fprintf(stderr, "mpol run: %s: %s\n", d->options->state_dir, mp_store_trouble(d->store));
    return false;
}

/* The answer is an exit code; what was opened is closed by the caller. */
static int start(struct dm *d)
{
    mp_str problem;
    if (!load_first(d) || dm_keep_open(d) != MP_OK || !dm_channels_open(d)) return 2;
    if (!dm_own_ready(d) || !dm_generation_ready(d, &d->now, &problem) || make_engine(d) != MP_OK) {
        fprintf(stderr, "mpol run: no memory or no randomness to begin with\n");
        return 3;
    }
    if (!dm_mesh_ready(d) || !dm_modules_ready(d) || restore(d) != MP_OK) return 2;
    mp_engine_brake(d->engine, d->brake_asked);
    if (!first_commit(d)) return 2;
    look_for_brake(d);
    if (!dm_control_open(d) || !dm_http_open(d) || !dm_inputs_open(d)) return 2;
    dm_turn(d); /* the first set is applied, so that the first answer to a proxy is whole */
    if (!dm_mesh_open(d) || !dm_modules_open(d)) return 2;
    if (d->host->native != NULL) d->host->native(d->host->ctx, d->now.program);
    uv_timer_start(&d->watch_timer, on_watch, WATCH_MS, WATCH_MS);
    uv_timer_start(&d->poll_timer, on_poll, POLL_MS, POLL_MS);
    d->ready = true;
    if (d->input_count == 0 && d->mesh == NULL && d->modules == NULL) {
        dm_log(d, "warn", "no --telemetry: nothing is seen, only rules about silence can fire");
    }
    dm_log(d, "info", "ready: %u rules, state in %s", d->now.program->rule_count,
           d->options->state_dir);
    dm_turn(d);
    dm_inputs_poll(d);
    dm_turn(d);
    return 0;
}

/* ---- end ---- */

static void close_if_open(uv_handle_t *handle)
{
    if (handle->loop != NULL && !uv_is_closing(handle)) uv_close(handle, NULL);
}

void dm_end(struct dm *d, int exit_code)
{
    if (d->leaving) return; /* also from within the turn below, where memory is short */
    d->leaving = true;
    dm_mesh_keep(d);
    dm_turn(d); /* what is known now is judged and kept */
    d->ending = true;
    d->ready = false;
    d->exit_code = exit_code;
    dm_inputs_close(d);
    dm_control_close(d);
    dm_http_close(d);
    dm_mesh_close(d);
    dm_modules_close(d);
    close_if_open((uv_handle_t *)&d->step_timer);
    close_if_open((uv_handle_t *)&d->watch_timer);
    close_if_open((uv_handle_t *)&d->poll_timer);
    close_if_open((uv_handle_t *)&d->on_hup);
}

/* The last handles: kept until messages on their way have come back, so that a second signal is
 * heard. */
static void close_last(struct dm *d)
{
    close_if_open((uv_handle_t *)&d->on_term);
    close_if_open((uv_handle_t *)&d->on_int);
    close_if_open((uv_handle_t *)&d->on_store);
}

static void write_what_waits(struct dm *d)
{
    if (d->store == NULL || d->engine == NULL || !d->started) return;
    bool ran = d->exit_code == 0;
    d->positions_due = ran;
    if (ran) dm_own_inventory(d, true);
    if (!dm_keep_flush(d)) {
        const char *trouble = mp_store_trouble(d->store);
        dm_log(d, "error", "not everything could be written: %s",
               trouble != NULL ? trouble : "no room");
        d->exit_code = 3;
    }
    if (ran) dm_windows_write(d);
}

static void give_back(struct dm *d)
{
    mp_engine_destroy(d->engine);
    d->engine = NULL;
    dm_modules_free(d);
    dm_mesh_free(d);
    mp_store_close(d->store);
    dm_roots_close(&d->roots);
    dm_generation_free(d, &d->now);
    dm_channels_close(d);
    dm_bytes_free(&d->pending);
    dm_own_free(d);
    dm_recent_free(d);
    dm_inputs_free(d);
}

int mpol_daemon_run(const struct mp_daemon_options *options, const struct mp_daemon_host *host)
{
    static struct dm d; /* large, and there is one daemon in a process */
    d = (struct dm){.options = options, .host = host};
    mp_std_os(&d.os);
    uv_loop_init(&d.loop);
    uv_timer_init(&d.loop, &d.step_timer);
    uv_timer_init(&d.loop, &d.watch_timer);
    uv_timer_init(&d.loop, &d.poll_timer);
    uv_async_init(&d.loop, &d.on_store, on_store_wake);
    d.step_timer.data = d.poll_timer.data = d.watch_timer.data = d.on_store.data = &d;
    open_signals(&d);
    int code = start(&d);
    if (code != 0) dm_end(&d, code);
    uv_unref((uv_handle_t *)&d.on_term);
    uv_unref((uv_handle_t *)&d.on_int);
    uv_unref((uv_handle_t *)&d.on_store);
    uv_run(&d.loop, UV_RUN_DEFAULT);
    write_what_waits(&d);
    close_last(&d);
    uv_run(&d.loop, UV_RUN_DEFAULT);
    give_back(&d);
    uv_loop_close(&d.loop);
    return d.exit_code;
}
