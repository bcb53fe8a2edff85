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
#include "daemon/roots.h"
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
bool dm_bytes_printf(struct dm_bytes *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dm_bytes_free(struct dm_bytes *b);

/* One program in force, and what belongs to it. */
struct dm_generation {
    struct mp_program *program;
    struct mp_ingest *ingest;
    struct mp_arena arena;
    uint64_t number;
    int64_t since_ns;
    mp_str image; /* what the program was loaded from; until the next compilation */
};

/* Rows of the store that are the daemon's own; those of the engine are below. */
enum dm_row {
    DM_ROW_IDENTITY = 100,
    DM_ROW_BRAKE,
    DM_ROW_POSITION,
    DM_ROW_INVENTORY,
    DM_ROW_ROOT,
    DM_ROW_PROXY,
};

/* Drawn when the state folder is made, and the same ever after. */
struct dm_identity {
    struct mp_hash_key hash_key; /* of clients, records, quotas */
    uint64_t ledger;             /* which ledger: part of every idempotency key */
};

/* How far an input was read: goes into the store with what the records led to. */
struct dm_position {
    uint64_t device, inode, offset, name; /* name: its hash */
};

/* A line of inventory as the store has it. */
struct dm_kept_line {
    uint64_t hash;
    char *text; /* only between start and the moment it is given to the inventory */
    size_t len;
    bool of_file;
};

struct dm_input;
struct dm_connection;
struct dm_channel;
struct dm_mesh;
struct MHD_Daemon;

struct dm_counts {
    uint64_t bad_lines, long_lines, records;
    uint64_t unread_lines, unread_fields, bad_values; /* of generations that are gone */
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
    struct dm_identity identity;
    struct dm_roots roots;
    struct dm_input *inputs;
    uint32_t input_count;
    struct dm_connection *connections; /* on sockets of inputs */
    struct dm_position *kept_positions; /* of the life before, by input */
    uint32_t kept_position_count;
    struct dm_kept_line *kept_lines;
    uint32_t kept_line_count;
    bool inventory_news;    /* lines that the windows have not been told of */
    bool inventory_unkept;  /* lines that the store has not been told of */
    int64_t inventory_mono_ns; /* and will not be told of before */
    uint64_t inventory_mark, inventory_seen; /* its files when they were read, and looked at */
    char inventory_told[600];    /* what the last reload changed in it; empty: nothing */
    char inventory_problem[256]; /* of its last reload; empty: it went well */
    int64_t windows_at_ns;  /* when the windows are written next */
    uv_work_t windows_work;
    bool windows_busy;
    struct dm_recent *recent; /* what was seen lately; NULL: nothing was */
    struct dm_mesh *mesh; /* NULL without --xds */
    struct dm_modules *modules; /* NULL without --module-socket */
    struct dm_channel *channels;
    uint32_t channel_count;
    uv_pipe_t control;
    bool control_open;
    struct MHD_Daemon *http;
    uv_poll_t http_poll;
    uv_timer_t http_timer;
    struct dm_bytes pending; /* of the store: entries and rows that wait for room */
    size_t pending_items;
    bool positions_due; /* where inputs stand is kept even if nothing else has happened */
    size_t pending_before, pending_items_before; /* without the positions of inputs */
    struct dm_counts counts;
    uint64_t log_lost; /* lines since the last that was taken */
    char problem[DM_PROBLEM_MAX]; /* of the last reload; empty: it went well */
    int64_t last_reload_ns;
    bool clock_back, room_full; /* was told */
    bool ready, leaving, ending, brake_file, brake_asked, started;
    const char *store_trouble; /* that was told last */
    int exit_code;
};

/* Logs one line: time, level, text. */
void dm_log(struct dm *d, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A transition, level `loop`. In JSON the line also has `entry`, the ledger's object as it
 * stands. */
void dm_log_entry(struct dm *d, mp_str entry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A text of JSON with its quotes; what is no UTF-8 becomes U+FFFD. */
void dm_json_text(struct dm_bytes *b, mp_str s);
/* Lets time pass up to now: before anything is read, so that it is judged against the time that
 * it is, also where the loop was held up. */
void dm_clock(struct dm *d);
/* clock.c: is the clock behind the time that the engine has seen already, so that what is seen
 * counts as old? `out` gets the line that says so; untouched where it is not. */
bool dm_clock_back(const struct dm *d, struct dm_bytes *out);
/* Tells in the log when that begins and ends. After dm_clock(). */
void dm_clock_look(struct dm *d);
/* room.c: was something withheld in the last minute because it found no room? As above. */
bool dm_room_full(const struct dm *d, struct dm_bytes *out);
void dm_room_look(struct dm *d);
/* Lets time pass, keeps what changed, arms the timer. After everything that happens. */
void dm_turn(struct dm *d);
/* An operator holds the brake, or lets go of it; the file BRAKE holds it too. */
void dm_brake(struct dm *d, bool asked);
/* Begins to end: inputs are closed, what waits is written, the loop stops. */
void dm_end(struct dm *d, int exit_code);

/* keep.c: engine → store */
void dm_keep_entry(struct dm *d, const struct mp_entry *entry, mp_str json);
void dm_keep(struct dm *d);
void dm_keep_committed(struct dm *d);
void dm_keep_row(struct dm *d, uint32_t kind, uint64_t id, mp_str bytes);
enum mp_err dm_keep_open(struct dm *d);    /* opens the store, and reads what is the daemon's own */
enum mp_err dm_keep_restore(struct dm *d); /* gives the engine its state back */
/* Waits until everything said so far is durable; at the start and at the end only. */
bool dm_keep_flush(struct dm *d);

/* own.c: what the daemon itself keeps in the store */
enum mp_err dm_own_row(struct dm *d, uint32_t kind, uint64_t id, mp_str bytes);
bool dm_own_ready(struct dm *d); /* all rows are read: draws what is not there yet */
void dm_own_brake(struct dm *d);
/* Lines that are new, now or when it costs little. */
void dm_own_inventory(struct dm *d, bool now);
void dm_own_inventory_give(struct dm *d); /* kept lines → inventory */
void dm_own_free(struct dm *d);

/* windows.c: the windows file */
void dm_windows_load(struct dm *d);
void dm_windows_due(struct dm *d);  /* writes them in the background when it is time */
void dm_windows_write(struct dm *d); /* at the end: now */

/* inventory_read.c: the files of --inventory */
bool dm_inventory_read(struct dm *d);   /* at the start; false: it has said why */
void dm_inventory_reload(struct dm *d); /* inventory_told or inventory_problem says what it did */
/* A look at the files: are they as they were at the look before? And as they were read? */
bool dm_inventory_settled(struct dm *d);
bool dm_inventory_changed(const struct dm *d);

/* input.c: bytes → engine */
/* A number of a source (R6), used again when nobody has it any more: who is silent then. */
uint32_t dm_source_take(void);
void dm_source_give(struct dm *d, uint32_t source);
/* One line of inventory. */
bool dm_inventory_line(struct dm *d, mp_str line, bool of_file);
void dm_inventory_told(struct dm *d); /* attributes are inputs of rules */
bool dm_inputs_open(struct dm *d);
/* Where input `i` stands; false: it has no place to go back to. */
bool dm_input_position(const struct dm *d, uint32_t i, struct dm_position *out);
void dm_inputs_poll(struct dm *d); /* files that grow */
void dm_inputs_close(struct dm *d); /* where they stood is still known */
void dm_inputs_free(struct dm *d);

/* reload.c: policies → generation */
/* What was not read of telemetry since the start, by this generation and those before it. */
struct mp_ingest_counts dm_unread(const struct dm *d);
bool dm_generation_load(struct dm *d, struct dm_generation *out, mp_str *problem);
/* What needs the hash key, which is in the store. */
bool dm_generation_ready(struct dm *d, struct dm_generation *g, mp_str *problem);
void dm_generation_free(struct dm *d, struct dm_generation *g);
void dm_policies_reload(struct dm *d);
void dm_reload(struct dm *d); /* and the files of --inventory */

/* A longer one would be cut silently by the kernel's structure. */
bool dm_socket_path_fits(const char *path);
const char *dm_socket_trouble(int code); /* why a path cannot be listened on */
/* Does somebody listen there? What nobody serves is left over from an earlier life. */
bool dm_socket_is_served(const char *path);

/* control.c, answer.c: questions of an operator → text */
bool dm_control_open(struct dm *d);
void dm_control_close(struct dm *d);
/* A duration as people read it. */
void dm_duration(struct dm_bytes *out, int64_t ns);
/* While a ramp gives a lease back, what is left of it: `before` and `at 40%`. False: none does, and
 * nothing is put. */
bool dm_ramp_share(struct dm_bytes *out, const char *before, const struct mp_lease_view *v);
/* `given back in steps until 09:11:48`, or nothing. */
void dm_ramp_end(struct dm_bytes *out, const struct mp_lease_view *v);
/* Answers one request, words in words[0..count). The first line of *out is the exit code. */
void dm_answer(struct dm *d, char *const *words, size_t count, const char *who,
               struct dm_bytes *out);

/* recent.c: a record on its way to the engine, and what was seen in the last seconds */
void dm_record(struct dm *d, struct mp_record *r);
struct dm_recent_count {
    uint64_t met, all; /* records of the target, and of the signal */
    int64_t span_ns;   /* in so much time */
};
/* False: no record of the signal was seen. */
bool dm_recent_ask(const struct dm *d, uint32_t signal, const struct mp_lease_target *t,
                   struct dm_recent_count *out);
void dm_recent_free(struct dm *d);

/* decisions.c: decisions of an operator; the exit code. */
int dm_decisions(struct dm *d, char *const *words, size_t count, const char *who,
                 struct dm_bytes *out);

/* http.c, metrics.c */
bool dm_http_open(struct dm *d);
void dm_http_close(struct dm *d);
void dm_metrics(struct dm *d, struct dm_bytes *out);
/* One metric without labels. */
void dm_metric(struct dm_bytes *out, const char *name, const char *type, const char *help,
               const char *unit_suffix, double value);
/* The value of a label, without its quotes. */
void dm_label_text(struct dm_bytes *out, mp_str s);
/* Ready: a program, a store that writes, inputs that are open. Writes a line for each. */
bool dm_ready(struct dm *d, struct dm_bytes *out);

/* mesh.c: proxies. All do nothing without --xds. */
bool dm_mesh_ready(struct dm *d);     /* the backend, before the state is restored */
bool dm_mesh_open(struct dm *d);      /* the port, after the first set has been applied */
void dm_mesh_inventory(struct dm *d); /* it has changed */
void dm_mesh_watch(struct dm *d);     /* twice a second */
void dm_mesh_nacks(struct dm *d);     /* too: incidents of refusals that are over end */
/* A row of the life before: a proxy that it knew. MP_ECORRUPT, MP_ENOMEM. */
enum mp_err dm_mesh_recall(struct dm *d, mp_str row);
void dm_mesh_keep(struct dm *d);      /* what is news of proxies goes with the next batch */
/* Lines of status, metrics, a line of /readyz. */
void dm_mesh_status(struct dm *d, struct dm_bytes *out);
void dm_mesh_metrics(struct dm *d, struct dm_bytes *out);
void dm_mesh_readiness(struct dm *d, struct dm_bytes *out);
void dm_mesh_close(struct dm *d);
void dm_mesh_free(struct dm *d);
/* What is to be added to a lease that is in force: who is not told of it, where nobody could look,
 * and where streams that run go on. Else nothing. */
void dm_mesh_remarks(struct dm *d, const struct mp_lease_view *v, struct dm_bytes *out);
/* What the inventory of proxies says of whom a record names; texts until the inventory changes. */
struct dm_mesh_asked {
    mp_str peer;     /* identity */
    mp_str instance; /* that answered, or empty */
    mp_str upstream; /* "ADDR:PORT" that answered, or empty */
};
struct dm_mesh_place {
    mp_str caller, instance, version; /* empty: not known */
};
void dm_mesh_place(struct dm *d, const struct dm_mesh_asked *asked, struct dm_mesh_place *out);

/* modules.c: modules inside proxies. All do nothing without --module-socket. */
struct mpol_backend_ops;
/* Gives a backend to the engine, behind the modules where there may be some. */
enum mp_err dm_backend(struct dm *d, const struct mpol_backend_ops *ops, void *ctx);
bool dm_modules_ready(struct dm *d);   /* behind dm_mesh_ready, before the state is restored */
void dm_modules_program(struct dm *d); /* another generation is in force */
void dm_modules_inventory(struct dm *d); /* it has changed */
bool dm_modules_open(struct dm *d);
void dm_modules_watch(struct dm *d);   /* somebody came or went */
void dm_modules_tick(struct dm *d);    /* twice a second */
struct mp_fleet;
const struct mp_fleet *dm_modules_fleet(const struct dm *d); /* NULL: there is no such socket */
/* modules_tell.c: lines of status, and metrics. */
void dm_modules_status(struct dm *d, struct dm_bytes *out);
void dm_modules_metrics(struct dm *d, struct dm_bytes *out);
/* Is the module of this node (LAYER/SERVICE/INSTANCE) connected? */
bool dm_modules_has(const struct dm *d, mp_str node);
/* Does it hold all leases that modules can, so that the proxy's filters need not? */
bool dm_modules_carry(const struct dm *d, mp_str layer, mp_str service, mp_str instance);
/* Does it tell of requests, so that an access log of the same proxy tells of them again? */
bool dm_modules_tell(const struct dm *d, mp_str layer, mp_str service, mp_str instance);
void dm_modules_close(struct dm *d);
void dm_modules_free(struct dm *d);

/* channel.c */
bool dm_channels_open(struct dm *d);
void dm_channels_close(struct dm *d);
enum mp_err dm_channel_send(struct dm *d, const struct mp_message *m);

#endif
