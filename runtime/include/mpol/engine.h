/* SPDX-License-Identifier: Apache-2.0
 * mpol/engine.h - one closed loop inside a process.
 *
 *   create(program, limits) ── feed records, step to now ──▶ incidents, leases, ledger
 *                              verdicts, from any thread ◀── what is in force
 *
 * Threads: one thread at a time calls the functions that take a struct mpol_engine; which one it
 *          is may
 * change, under a lock of yours. A struct mpol_reader belongs to one thread, which asks it for
 * verdicts and reports records through it: wait-free, no lock, no allocation, at the same time as
 * everything else. Only mpol_reader_open and mpol_reader_close are calls on the engine. Fork: a
 * child may destroy an engine and nothing else. Signals: no handler is installed, and nothing
 * here may be called from one, mpol_verdict() included. Memory: all of it is taken in
 * mpol_engine_create() within the limits; a reload takes that of the new program. Nothing is
 * taken or freed while records pass. Clocks: the engine lives on the time that it is stepped to.
 * It is made monotone: a clock set back stands still until it is caught up with; a jump forward
 * ends what was to end in between.
 */
#ifndef MPOL_ENGINE_H
#define MPOL_ENGINE_H

#include "mpol/backend.h"
#include "mpol/error.h"
#include "mpol/world.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- life ---- */

/* Upper bounds, 0: the default that stands beside it. What is full refuses and counts, never
 * fails. */
struct mpol_limits {
    size_t size;
    size_t memory_bytes;      /* 256 MiB; creation fails beyond it: MPOL_ELIMIT, MPOL_ENOMEM */
    uint32_t keys_max;        /* per grouping: what the policy says, at most 100,000 */
    uint32_t incidents_max;   /* open at one time: 4,096 */
    uint32_t leases_max;      /* 2,048 */
    uint32_t readers_max;     /* 64 */
    /* reported and not yet taken, per reader; rounded up to a power of two: 64 */
    uint32_t ring_records;
    uint32_t record_bytes;    /* the texts of one record: 1,024 */
    size_t ledger_bytes;      /* kept in memory for mpol_engine_ledger(): 4 MiB */
    uint32_t inventory_items; /* entities with attributes: 4,096 */
    uint32_t buckets_max;     /* inline throttles, keys of all rules: 65,536 */
};

/* Live: records more than 2 s ahead of the clock are taken as now. Replay: the time is that of the
 * newest record. */
enum mpol_clock { MPOL_CLOCK_LIVE = 0, MPOL_CLOCK_REPLAY = 1 };

struct mpol_engine_options {
    size_t size;
    const struct mpol_world *world; /* NULL: libc only */
    struct mpol_limits limits;
    enum mpol_clock clock;
    int64_t start_wall_ns;  /* the first `now` */
    /* of hash keys where world.random is NULL; the same seed, the same ledger */
    uint64_t seed;
    struct mpol_text owner; /* tag on everything in the mesh; empty: "mpol" */
};

/* Takes `program` in every case, also when it fails. The backend `inproc`, which mpol_verdict()
 * reads, is always there. MPOL_ENOMEM, MPOL_ELIMIT; MPOL_EINVAL: no program, or a time before
 * 1970 or after
 * 2115. */
MPOL_API enum mpol_err mpol_engine_create(const struct mpol_engine_options *options,
                                          struct mpol_program *program, struct mpol_engine **out);

/* Ends it. Readers must be closed: one would go on reading freed memory, so the process is aborted.
 * What other backends have in force stays there. NULL is nothing. */
MPOL_API void mpol_engine_destroy(struct mpol_engine *engine);

/* Puts another program in force, between two records; windows, incidents and leases go on as far as
 * the texts agree. Takes `program` in every case; on failure the old one stays in force. A program
 * keeps of the inventory what its rules read: feed the inventory again, for what only the new one
 * reads. `why` receives a static text on failure, may be NULL. */
MPOL_API enum mpol_err mpol_engine_reload(struct mpol_engine *engine, struct mpol_program *program,
                                          const char **why);

/* Sets a `param` of the program in force; as mpol_program_param(). */
MPOL_API enum mpol_err mpol_engine_param(struct mpol_engine *engine, struct mpol_text name,
                                         struct mpol_text value);

/* Native code: `jit` is what the function `mpol_jit` of libmpol-jit.so has answered, found by
 * dlopen and dlsym; that library stays open as long as the engine lives. This program and all
 * later ones are compiled on a thread of their own; nothing waits for it, and the results are the
 * same without. MPOL_ESTALE: made by another build. */
MPOL_API enum mpol_err mpol_engine_native(struct mpol_engine *engine, const void *jit);

/* ---- what happened: records ---- */

/* A name of a field as telemetry has it: "service", "client.ip", "status", "headers.x-api-key". The
 * answer is good for this engine, over reloads, whether a policy reads it or not. At most 256
 * names. MPOL_ELIMIT, MPOL_EINVAL. */
MPOL_API enum mpol_err mpol_field(struct mpol_engine *engine, const char *name, uint32_t *field);
/* Does the program in force read it? 0: it need not be filled in. */
MPOL_API int mpol_field_wanted(const struct mpol_engine *engine, uint32_t field);

/* A record to fill in, again and again; it belongs to one thread, and to this engine: others answer
 * MPOL_EINVAL to it. */
MPOL_API enum mpol_err mpol_record_create(struct mpol_engine *engine, struct mpol_record **out);
MPOL_API void mpol_record_destroy(struct mpol_record *record);
/* Empties it for an event of `signal` ("requests") at `wall_ns`, seen at one layer (MPOL_INGRESS
 * ...). MPOL_EINVAL: no such layer, or a time before 1970 or after 2115; the record is as it
 * was. */
MPOL_API enum mpol_err mpol_record_begin(struct mpol_record *record, const char *signal,
                                         int64_t wall_ns, uint32_t layer);
/* A field not set is absent. Setting it again replaces it. Text is copied; MPOL_ELIMIT beyond
 * record_bytes. The value is read as the type that the field has in the vocabulary: text also as an
 * address, identity, path (put into canonical form), duration ("12.5ms") or number. */
MPOL_API enum mpol_err mpol_record_text(struct mpol_record *record, uint32_t field,
                                        struct mpol_text value);
/* Counts, statuses, sizes in bytes, durations in nanoseconds, truths as 0 and 1. */
MPOL_API enum mpol_err mpol_record_int(struct mpol_record *record, uint32_t field, int64_t value);
/* Numbers, shares, scores, rates per second. */
MPOL_API enum mpol_err mpol_record_number(struct mpol_record *record, uint32_t field, double value);
/* The rule that refused this request (struct mpol_verdict): it counts among `refusals` then, not
 * among `requests`. */
MPOL_API enum mpol_err mpol_record_refused(struct mpol_record *record, struct mpol_text rule);

/* Takes a record in now, and judges what it changes, before it returns. */
MPOL_API enum mpol_err mpol_engine_feed(struct mpol_engine *engine,
                                        const struct mpol_record *record);
/* The same for one line of telemetry as JSON (without its line end); a line about an entity is
 * inventory. MPOL_EINVAL: not a record; it is counted, and nothing has happened. */
MPOL_API enum mpol_err mpol_engine_feed_line(struct mpol_engine *engine, const char *line,
                                             size_t len);
/* Takes what readers have reported, fires every deadline up to `wall_ns`, and looks how far
 * backends have come. MPOL_EINVAL: a time before 1970 or after 2115; nothing has happened. */
MPOL_API enum mpol_err mpol_engine_step(struct mpol_engine *engine, int64_t wall_ns);
/* When the next deadline falls due, wall time; INT64_MAX: none. Stepping every 10 ms is right
 * too. */
MPOL_API int64_t mpol_engine_next(const struct mpol_engine *engine);

/* ---- what is allowed: verdicts ---- */

MPOL_API enum mpol_err mpol_reader_open(struct mpol_engine *engine, struct mpol_reader **out);
MPOL_API void mpol_reader_close(struct mpol_reader *reader);

enum mpol_reason {
    MPOL_REASON_NONE = 0,     /* nothing concerns it */
    MPOL_REASON_LEASE = 1,    /* an action in force */
    MPOL_REASON_INLINE = 2,   /* a rule that looked at this request */
    MPOL_REASON_GUARD = 3,    /* passes, because `never ...` protects it */
    MPOL_REASON_EXEMPT = 4    /* passes, because it is exempt for a time */
};

struct mpol_verdict {
    size_t size;
    int allow;                /* 0: refuse it with `status` */
    int status;               /* 403, 429, ...; 0 where it passes */
    enum mpol_reason reason;
    struct mpol_text rule;    /* that decided; valid until this reader's next verdict */
    struct mpol_text verb;    /* "deny", "quarantine", "throttle", "refuse", ... ; the same */
    uint64_t incident;        /* that holds the lease; 0 for an inline rule */
    int64_t retry_after_ns;   /* when asking again may help; 0: not known */
    uint64_t revision;        /* of what was in force */
    /* where a rule sends a request that passes; empty: where it was to go */
    struct mpol_text send_to;
};

/* Answers one request, whose record has what is known before it goes on. Wait-free: never blocks,
 * never allocates. The record remembers that its inline rules have been judged: fill in what the
 * end of the request brings, and hand it to the engine. The thread that owns `reader` only. */
MPOL_API enum mpol_err mpol_verdict(struct mpol_reader *reader, struct mpol_record *request,
                                    struct mpol_verdict *out);
/* Hands a finished record to the engine, which takes it at its next step. MPOL_ELIMIT: the ring is
 * full, the record is dropped and counted. The thread that owns `reader` only. */
MPOL_API enum mpol_err mpol_reader_report(struct mpol_reader *reader,
                                          const struct mpol_record *record);

/* ---- backends and channels ---- */

/* `ops` and what it points to must outlive the engine. A backend that is added later takes what
 * can be done by it and not by one that was there before. MPOL_EINVAL: `ops` lacks what all must
 * have. */
MPOL_API enum mpol_err mpol_engine_backend(struct mpol_engine *engine,
                                           const struct mpol_backend_ops *ops, void *backend);
/* MPOL_OK: everything that the program in force may do can be done by some backend.
 * MPOL_EUNSUPPORTED:
 * *verb is an action that none can do; it would be withheld, each time, and recorded. Ask it when
 * all backends are there, and after a reload. */
MPOL_API enum mpol_err mpol_engine_unsupported(const struct mpol_engine *engine,
                                               struct mpol_text *verb);
/* Messages `via name` go to `send`. What has no `via` goes to the channel that is called as
 * its verb (audit, page). The name "" takes all that have no channel of their own.
 * MPOL_EINVAL: no name or no function. */
MPOL_API enum mpol_err mpol_engine_channel(struct mpol_engine *engine, const char *name,
                                           mpol_send_fn send, void *ctx);
MPOL_API enum mpol_err mpol_engine_message_done(struct mpol_engine *engine, uint64_t message_id,
                                                enum mpol_err how);

/* ---- the operator ---- */

/* Lets go of one incident, of the incident of `rule` for `key`, or of all: the release begins,
 * with its ramp. MPOL_ENOTFOUND. */
MPOL_API enum mpol_err mpol_engine_release(struct mpol_engine *engine, uint64_t incident);
MPOL_API enum mpol_err mpol_engine_release_rule(struct mpol_engine *engine, struct mpol_text rule,
                                                struct mpol_text key);
MPOL_API enum mpol_err mpol_engine_release_all(struct mpol_engine *engine);
/* On: nothing new is enforced, what is in force keeps its end. */
MPOL_API enum mpol_err mpol_engine_brake(struct mpol_engine *engine, int on);

/* ---- what it did, and why ---- */

/* One transition of an incident or a lease, as it happens. */
struct mpol_entry {
    size_t size;
    uint64_t seq; /* from 1 */
    int64_t wall_ns;
    struct mpol_text machine; /* "incident", "lease" */
    struct mpol_text rule, key;
    uint64_t incident, lease; /* lease 0: an incident's */
    uint32_t rung;            /* from 1; 0: none */
    struct mpol_text verb, target;
    struct mpol_text from, to; /* states */
    struct mpol_text why;      /* the cause in a word, or empty */
    struct mpol_text json;     /* the whole of it, one object, as `mpol ledger show` prints it */
};
/* Called from within calls on the engine; must not call it. One watcher; NULL ends it. */
typedef void (*mpol_entry_fn)(void *ctx, const struct mpol_entry *entry);
MPOL_API enum mpol_err mpol_engine_watch(struct mpol_engine *engine, mpol_entry_fn entry,
                                         void *ctx);

/* Tells the entries after `after_seq` in order as JSON, until `line` answers other than 0.
 * MPOL_ELIMIT: some after it have left memory; the ones that are left have been told. */
MPOL_API enum mpol_err mpol_engine_ledger(const struct mpol_engine *engine, uint64_t after_seq,
                                          int (*line)(void *ctx, uint64_t seq,
                                                      struct mpol_text json),
                                          void *ctx);

/* Writes why `rule` does or does not fire for `key`, clause by clause with values, as text. */
typedef void (*mpol_write_fn)(void *ctx, const char *bytes, size_t len);
MPOL_API enum mpol_err mpol_engine_why(struct mpol_engine *engine, struct mpol_text rule,
                                       struct mpol_text key, mpol_write_fn write, void *ctx);

struct mpol_status {
    size_t size;
    int64_t now_wall_ns;
    uint64_t generation;          /* of the program in force: 1, 2, ... */
    uint64_t records, late, bad_lines;
    uint64_t dropped;             /* records reported, and decisions noted, to a full ring */
    uint64_t verdicts, refusals, protected_requests;
    uint64_t native, interpreted; /* verdicts and records, by what judged them */
    int64_t native_compile_ns;    /* of the program in force; 0: no native code (yet) */
    uint64_t entries;             /* in the ledger */
    uint32_t incidents_open, leases_in_force;
    int braked;
    size_t memory_bytes;
};
MPOL_API enum mpol_err mpol_engine_status(const struct mpol_engine *engine,
                                          struct mpol_status *out);

struct mpol_incident {
    size_t size;
    uint64_t id;
    struct mpol_text rule, key, state;
    uint32_t rung;
    int64_t opened_wall_ns;
};
/* Tells the incidents that are not idle, by id, until `incident` answers other than 0. */
MPOL_API enum mpol_err mpol_engine_incidents(const struct mpol_engine *engine,
                                             int (*incident)(void *ctx,
                                                             const struct mpol_incident *i),
                                             void *ctx);

#ifdef __cplusplus
}
#endif

#endif
