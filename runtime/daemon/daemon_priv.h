/* SPDX-License-Identifier: Apache-2.0
 * daemon_priv.h - what the files of daemon share.
 */
#ifndef MP_DAEMON_DAEMON_PRIV_H
#define MP_DAEMON_DAEMON_PRIV_H

#include <stdint.h>
#include <stdio.h>
#include <uv.h>

#include "base/arena.h"
#include "base/os.h"
#include "daemon/daemon.h"
#include "engine/engine.h"
#include "ingest/ingest.h"
#include "program/program.h"
#include "store/store.h"

/* Bytes that grow; the daemon may allocate, the engine's path does not. */
struct dm_bytes {
    char *ptr;
    size_t len, cap;
};

bool dm_bytes_add(struct dm_bytes *b, const void *bytes, size_t len);
bool dm_bytes_printf(struct dm_bytes *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void dm_bytes_free(struct dm_bytes *b);

/* One program in force, and what belongs to it. */
struct dm_generation {
    struct mp_program *program;
    struct mp_ingest *ingest;
    struct mp_arena arena;
    uint64_t number;
    int64_t since_ns;
};

struct dm_input;
struct dm_channel;
struct MHD_Daemon;

struct dm_counts {
    uint64_t bad_lines, long_lines, records, other;
    uint64_t reloads, reload_failures, messages_sent, messages_failed;
};

struct dm {
    const struct mp_daemon_options *options;
    const struct mp_daemon_host *host;
    struct mp_os os;
    uv_loop_t loop;
    uv_timer_t step_timer, poll_timer, watch_timer;
    uv_signal_t on_hup, on_term, on_int;
    uv_async_t on_store;
    struct mp_engine *engine;
    struct dm_generation now;
    struct mp_store *store;
    struct mp_hash_key hash_key;
    struct dm_input *inputs;
    uint32_t input_count;
    struct dm_channel *channels;
    uint32_t channel_count;
    uv_pipe_t control;
    bool control_open;
    struct MHD_Daemon *http;
    uv_poll_t http_poll;
    uv_timer_t http_timer;
    struct dm_bytes pending; /* of the store: entries and rows that wait for room */
    size_t pending_items;
    struct dm_counts counts;
    char problem[256];       /* of the last reload; empty: it went well */
    int64_t last_reload_ns;
    bool ready, ending, brake_file, brake_asked, started;
    int exit_code;
};

/* Logs one line: time, level, text. */
void dm_log(struct dm *d, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Lets time pass up to now, keeps what changed, arms the timer. After everything that happens. */
void dm_turn(struct dm *d);
/* Begins to end: inputs are closed, what waits is written, the loop stops. */
void dm_end(struct dm *d, int exit_code);

/* keep.c: engine → store */
void dm_keep_entry(struct dm *d, const struct mp_entry *entry, mp_str json);
void dm_keep(struct dm *d);
void dm_keep_committed(struct dm *d);
enum mp_err dm_keep_open(struct dm *d);    /* opens the store */
enum mp_err dm_keep_restore(struct dm *d); /* gives the engine its state back */

/* input.c: bytes → engine */
bool dm_inputs_open(struct dm *d);
void dm_inputs_poll(struct dm *d); /* files that grow */
void dm_inputs_close(struct dm *d);

/* reload.c: policies → generation */
bool dm_generation_load(struct dm *d, struct dm_generation *out, mp_str *problem);
void dm_generation_free(struct dm *d, struct dm_generation *g);
void dm_reload(struct dm *d);

/* control.c, answer.c: questions of an operator → text */
bool dm_control_open(struct dm *d);
void dm_control_close(struct dm *d);
/* Answers one request, words in words[0..count). The first line of *out is the exit code. */
void dm_answer(struct dm *d, char *const *words, size_t count, const char *who, struct dm_bytes *out);

/* http.c, metrics.c */
bool dm_http_open(struct dm *d);
void dm_http_close(struct dm *d);
void dm_metrics(struct dm *d, struct dm_bytes *out);
/* Ready: a program, a store that writes, inputs that are open. Writes a line for each. */
bool dm_ready(struct dm *d, struct dm_bytes *out);

/* channel.c */
bool dm_channels_open(struct dm *d);
void dm_channels_close(struct dm *d);
enum mp_err dm_channel_send(struct dm *d, const struct mp_message *m);

#endif
