/* SPDX-License-Identifier: Apache-2.0
 * engine.h - the closed loop, wired: records in, incidents, leases and their proofs out.
 *
 * Owns:    the clock, the deadlines, every incident and lease, the outbox of messages, the ledger.
 *          Stages (window, eval, decide, act, verify, ledger) do not know each other; they meet
 *          here.
 * Callers: the public interface, the command, the daemon, tests.
 * Threads: one thread at a time. Verdicts are asked of the backend, not of the engine.
 * Memory:  all of it is taken by create (and by swap, for the new program) within the limits;
 *          nothing is taken or freed while records pass.
 * Time:    nanoseconds since the epoch for everything called `now` and `time`; the monotonic clock
 *          has any origin. In replay and in tests both are the same virtual clock.
 * Order:   the meaning is sequential. Same program, same calls, same hash key: same ledger bytes.
 */
#ifndef MP_ENGINE_ENGINE_H
#define MP_ENGINE_ENGINE_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/os.h"
#include "mpol/backend.h"
#include "program/program.h"
#include "schema/flow.h"

struct mp_engine;
struct mp_window;
struct mp_inventory;
struct mp_verdict_plan;
struct mp_verdict_buckets;

/* ---- life ---- */

enum mp_engine_clock {
    MP_ENGINE_LIVE,   /* now is what advance says; a record over 2 s ahead is taken as now (R1) */
    MP_ENGINE_REPLAY, /* now is the highest event time so far; time stands still at the end (R48) */
    MP_ENGINE_TEST    /* now is what advance says; sources are alive and empty for ever (R46) */
};

/* Upper bounds; 0 takes the default beside it. What is full refuses and counts, never fails. */
struct mp_engine_limits {
    size_t memory_bytes;   /* 0: no bound; create fails with MP_ELIMIT beyond it */
    uint32_t keys;         /* per grouping, on top of the policy's own caps: 100,000 */
    uint32_t incidents;    /* pending, open, cooling or not yet armed: 32,768 */
    uint32_t leases;       /* live: 16,384 */
    uint32_t holds;        /* clocks of nested `for` that run: 8,192 */
    uint32_t messages;     /* not yet delivered: 1,024 */
    uint32_t admissions;   /* remembered for quotas with a time: 16,384 */
    uint32_t truths;       /* changes of truth kept for `why`: 65,536 */
    size_t ledger_bytes;   /* the newest entries, kept for readers: 4 MiB */
};

struct mp_engine_options {
    enum mp_engine_clock clock;
    struct mp_engine_limits limits;
    struct mp_hash_key hash_key; /* keys of clients: draw it; the same one repeats a run */
    int64_t now_ns;              /* the first now; in replay 0 (the first record decides) */
    int64_t mono_ns;             /* the monotonic clock at that moment */
    /* Of an embedder that answers requests itself (verdict/verdict.h): the plan that it has made of
     * the program is used for the records that nobody has judged, with buckets beside its own.
     * NULL: the engine makes both. */
    struct mp_verdict_plan *plan;
    struct mp_verdict_buckets *buckets;
    bool store;                  /* a store commits entries: see mp_engine_committed */
    bool pending;                /* transitions idle ⇄ pending are entries too (tests and replay) */
};

/* What the engine tells. Every member may be NULL. Called from within the calls below, in order. */
struct mp_engine_sinks {
    void *ctx;
    /* A transition, with its canonical JSON text (one line, without the line end). */
    void (*entry)(void *ctx, const struct mp_entry *entry, mp_str json);
    /* A message that may go out now (it is committed). Answer MP_OK: delivered; MP_EAGAIN: in hand,
     * mp_engine_message_done will tell; anything else: asked again after 1 s, 2 s, 4 s, ...
     * 60 s. */
    enum mp_err (*message)(void *ctx, const struct mp_message *message);
    /* An inline rule's action on a record that the engine judged itself; carried_out: neither a
     * guard (R43) nor a stronger verdict passed it over, and a throttle had no token. */
    void (*inline_hit)(void *ctx, uint32_t rule, uint32_t act, const struct mp_record *record,
                       bool shadow, bool carried_out);
};

/* `p` stays the caller's and must outlive the engine or the swap to another one. MP_ENOMEM,
 * MP_ELIMIT. MP_EUNSUPPORTED is not answered here: mp_engine_backend tells what no backend can
 * do. */
enum mp_err mp_engine_create(struct mp_program *p, const struct mp_os *os,
                             const struct mp_engine_options *options,
                             const struct mp_engine_sinks *sinks, struct mp_engine **out);
void mp_engine_destroy(struct mp_engine *e);

/* Puts another program in force between two records (R50). On failure the old one stays in force.
 * The old program may be freed by the caller after MP_OK, once its verdict readers have passed. */
enum mp_err mp_engine_swap(struct mp_engine *e, struct mp_program *p, const char **why);
/* The same with the plan that was made of it, where options.plan was given. It outlives the
 * engine's use of `p`. */
enum mp_err mp_engine_swap_planned(struct mp_engine *e, struct mp_program *p,
                                   struct mp_verdict_plan *plan, const char **why);

/* A backend (mpol/backend.h); `ops` and `ctx` must outlive the engine. The first one that can do an
 * action carries it. Without any, the engine has one of its own that accepts and obeys at once: the
 * backend of replay and of tests. */
enum mp_err mp_engine_backend(struct mp_engine *e, const struct mpol_backend_ops *ops, void *ctx);
/* The first action row that no backend can do, or MP_NONE (E0701). */
uint32_t mp_engine_unsupported(const struct mp_engine *e);

/* ---- what happens ---- */

/* Takes a record in: fires the deadlines up to now, feeds the windows, judges what it changes.
 * `r` is what ingest decoded for this program; number is given here, and in live time_ns may be
 * corrected. */
void mp_engine_record(struct mp_engine *e, struct mp_record *r);
/* The time is at least now_ns; fires every deadline up to it, ordered by (time, rule, key), and
 * asks the backends how far they have come. In replay both arguments are the same virtual time. */
void mp_engine_advance(struct mp_engine *e, int64_t now_ns, int64_t mono_ns);
/* Replay: time runs on for `for_ns` after the last record (R48). */
void mp_engine_drain(struct mp_engine *e, int64_t for_ns);
/* When the next deadline falls due, as event time; INT64_MAX: none. */
int64_t mp_engine_next(const struct mp_engine *e);
int64_t mp_engine_now(const struct mp_engine *e);

/* Sources (R6): one is a signal on one input. A line that says a signal is alive; an input that has
 * closed and is silent at once. */
void mp_engine_alive(struct mp_engine *e, uint32_t source, uint32_t signal, int64_t time_ns);
void mp_engine_source_closed(struct mp_engine *e, uint32_t source);

/* Where inventory lines go (inventory/inventory.h), and what must be told after one: attributes are
 * inputs of rules. The window is for reading. */
struct mp_inventory *mp_engine_inventory(struct mp_engine *e);
void mp_engine_inventory_changed(struct mp_engine *e);
struct mp_window *mp_engine_window(struct mp_engine *e);
const struct mp_program *mp_engine_program(const struct mp_engine *e);

/* ---- inline rules ---- */

/* The program's inline rules are judged on a record either by an embedder before it goes on
 * (verdict), or here from the record itself. An embedder's records set `judged`, so that none
 * counts twice. */
void mp_engine_record_judged(struct mp_engine *e, struct mp_record *r);

/* What inline rules decided at a verdict. `count`: how often since the last note of this (rule,
 * key), 0 for a message alone. `act` is a message action of the rule with its text, MP_NONE for
 * none. */
struct mp_inline_note {
    uint32_t rule, act;
    int64_t time_ns;
    uint64_t count;
    bool refused; /* a request was refused for it */
    mp_str key, text;
};
/* Counts it, makes the ledger entry of R49 and sends the message, at most one a second (R20). */
void mp_engine_inline(struct mp_engine *e, const struct mp_inline_note *note);

/* ---- the store ---- */

/* With options.store, entries up to seq are durable: what waited for it goes on (`accepted` is
 * entered, messages go out). Without, everything counts as committed at once. */
void mp_engine_committed(struct mp_engine *e, uint64_t seq);
/* The store is full or failed: decide nothing new, keep what is in force. Triggers that hold
 * meanwhile stay pending, and open when it writes again. */
void mp_engine_store_failed(struct mp_engine *e, bool failed);

enum mp_row_kind { MP_ROW_META, MP_ROW_INCIDENT, MP_ROW_LEASE, MP_ROW_MESSAGE, MP_ROW_HOLD };

/* One row of the engine's state: `id` is unique in its kind; no bytes: the row is gone. */
struct mp_state_row {
    enum mp_row_kind kind;
    uint64_t id;
    mp_str bytes;
};

/* Tells every row that has changed since the last call, and forgets that it did: the state that
 * belongs to the entries told so far, for one transaction with them. */
void mp_engine_changes(struct mp_engine *e, void *ctx,
                       void (*row)(void *ctx, const struct mp_state_row *row));
/* Puts a kept row back; before the first record, META first, in any order else. MP_ECORRUPT: the
 * row is damaged or of an unknown version, and nothing has been changed. Rows of rules that are
 * gone are taken, and released as removed when resume is called. */
enum mp_err mp_engine_restore(struct mp_engine *e, const struct mp_state_row *row);
/* All rows are back: leases that are left are given to the backends, deadlines run (R25).
 * `stopped_ns` is the wall time of the last thing that was kept. The chain goes on after seq with
 * hash. */
enum mp_err mp_engine_resume(struct mp_engine *e, uint64_t seq, const uint8_t hash[32]);

/* ---- the operator ---- */

/* Begins the release, with its ramp; cause `cancelled`. MP_ENOTFOUND. */
enum mp_err mp_engine_release(struct mp_engine *e, uint64_t incident);
enum mp_err mp_engine_release_rule(struct mp_engine *e, mp_str rule, mp_str key);
uint32_t mp_engine_release_all(struct mp_engine *e); /* how many */
/* Frozen: nothing new is enforced, what is in force keeps its end. */
void mp_engine_brake(struct mp_engine *e, bool on);
bool mp_engine_braked(const struct mp_engine *e);

/* ---- decisions of an operator ---- */

/* A lease that a person asks for. It is an incident of its own, of the rule `manual`, and lives
 * like every other: guards and the brake hold, it competes on its target, it has an end, it is
 * kept over restarts and reloads. Between equals an operator's word goes before a rule's, and the
 * newer one before the older. */
struct mp_manual {
    mp_str verb; /* `deny` */
    /* KIND=KEY: `client.ip=10.0.0.7`, `service=checkout`, `identity=spiffe://...`; a range of
     * addresses where the backend can do that: `client.ip=10.0.0.0/24` */
    mp_str target;
    /* as a policy writes them: `to` `50%`, `on` `ingress`, `for` `5m` */
    const struct mp_note *args;
    uint32_t arg_count;
    /* kept in the ledger; cut at MP_MANUAL_WHO_MAX, MP_MANUAL_REASON_MAX bytes */
    mp_str who, reason;
    bool wide;          /* a range beyond the limit is meant */
    bool look;          /* say what it would do, and do nothing */
};
#define MP_MANUAL_WHO_MAX 64u
#define MP_MANUAL_REASON_MAX 256u
#define MP_MANUAL_TTL_MIN_NS INT64_C(1000000000) /* LIMIT */
#define MP_MANUAL_TTL_MAX_NS (INT64_C(31) * 86400 * 1000000000) /* LIMIT */
#define MP_MANUAL_RANGE_V4 24u /* LIMIT: prefix of the widest range without `wide` */
#define MP_MANUAL_RANGE_V6 48u
#define MP_MANUAL_WIDEST_V4 8u /* LIMIT: and with it */
#define MP_MANUAL_WIDEST_V6 16u
#define MP_MANUAL_FACTS_MAX 32u

enum mp_manual_how {
    /* it cannot be understood, or not be done at all; `why` says what is wrong */
    MP_MANUAL_BAD,
    MP_MANUAL_WITHHELD, /* a guard, the brake or the store forbids it now */
    MP_MANUAL_DONE      /* admitted; with `look`: it would be */
};

/* The answer. Texts are good until the next call of the engine. */
struct mp_manual_answer {
    enum mp_manual_how how;
    mp_str why, help;         /* help: how to mend it; may be empty */
    uint64_t lease, incident; /* 0 with `look`, and where it is bad */
    mp_str verb, kind, target;
    struct mp_lease_target where; /* the same target, as records have it */
    uint32_t hooks;
    int64_t ttl_ns;
    struct mp_note facts[MP_MANUAL_FACTS_MAX]; /* whom it touches, and what is known of that */
    uint32_t fact_count;
};
void mp_engine_decide(struct mp_engine *e, const struct mp_manual *ask,
                      struct mp_manual_answer *out);

/* Takes back what is in force on a target, whoever decided it. */
struct mp_undo {
    mp_str target;  /* as above; empty: by `lease` */
    uint64_t lease;
    mp_str who, reason;
    bool look;
};
/* One lease that goes, and what its rule will do then. */
struct mp_undo_view {
    uint64_t lease, incident;
    bool manual;
    mp_str rule, verb, kind, target, next;
};
/* How many leases go; 0 with *why set where the target is not understood,
 * else nothing was there. */
uint32_t mp_engine_undo(struct mp_engine *e, const struct mp_undo *undo, void *ctx,
                        void (*each)(void *ctx, const struct mp_undo_view *view), mp_str *why);

/* ---- refusals of the mesh ---- */

/* A part of the mesh refuses something that it was sent, for a lease or not, and keeps what it had.
 * That is an incident of the rule `nack` for PART:TYPE, once, until mp_engine_nacks ends it. */
struct mp_nack {
    mp_str part;     /* `service/checkout/checkout-1` */
    mp_str type;     /* what it refuses, in a word without a colon: `ecds` */
    mp_str resource; /* cut at MP_MANUAL_WHO_MAX bytes; may be empty */
    mp_str text;     /* in its own words; `why` has MP_MANUAL_REASON_MAX bytes of them */
};
/* Beyond 256 of them at a time, or with names too long for a key (160 bytes), it is counted in
 * refused_incidents and not told. It asks no backend anything, so that one may call it. */
void mp_engine_nack(struct mp_engine *e, const struct mp_nack *nack);

enum mp_nack_end {
    MP_NACK_STAYS,
    MP_NACK_ACCEPTED, /* it has taken what it is to have */
    MP_NACK_GONE      /* there is no such part any more, or it asks for nothing of the type */
};
/* Asks `how` of every open one, and ends those that are over. It calls no function of the engine.
 * To be called when something may have ended, and after a restart. */
void mp_engine_nacks(struct mp_engine *e, void *ctx,
                     enum mp_nack_end (*how)(void *ctx, mp_str part, mp_str type));
uint32_t mp_engine_nack_count(const struct mp_engine *e); /* that are open */

/* A message that was in hand. MP_OK: delivered; else it is tried again. */
enum mp_err mp_engine_message_done(struct mp_engine *e, uint64_t id, enum mp_err how);

/* ---- questions ---- */

/* Per rule since the start (language.md 13, issue §4). An inline or event rule counts records, a
 * loop rule's `matched` its incidents, its `false_` and `unknown` judgements. */
struct mp_rule_counts {
    uint64_t matched, false_, unknown, withheld, judged;
};
struct mp_rule_counts mp_engine_rule_counts(const struct mp_engine *e, uint32_t rule);

struct mp_engine_status {
    int64_t now_ns;
    uint64_t records, late, ahead, refused_keys, refused_incidents, refused_leases;
    uint64_t entries; /* seq of the newest */
    uint64_t committed;
    uint32_t incidents_open, leases_live, leases_in_force, messages_waiting;
    bool braked, store_failed;
    size_t memory_bytes;
};
void mp_engine_status(const struct mp_engine *e, struct mp_engine_status *out);

/* What was withheld last because it found no room. */
struct mp_engine_full {
    int64_t time_ns; /* 0: nothing since the start, or since the program that is in force */
    mp_str rule;     /* whose it was */
    bool incidents;  /* no room to remember it; else no room for its lease */
    bool of_one;     /* `most` is what one rule may have; else what there is */
    uint32_t most;
};
void mp_engine_full(const struct mp_engine *e, struct mp_engine_full *out);

/* One incident that is not idle. */
struct mp_incident_view {
    uint64_t id; /* 0 while pending */
    uint32_t rule; /* MP_NONE: an operator's decision, or a refusal of the mesh */
    mp_str rule_name, key, state;
    uint32_t rung;
    int64_t since_ns;  /* of this state */
    int64_t opened_ns;
    int64_t ends_ns;   /* the last end of a lease, or of the ramp, as event time; 0: none runs */
    bool shadow;
};
/* In order of (rule, key), until `each` answers false. */
void mp_engine_incidents(const struct mp_engine *e, void *ctx,
                         bool (*each)(void *ctx, const struct mp_incident_view *i));

/* One live lease. */
struct mp_lease_view {
    const struct mp_lease *lease;
    mp_str state;
    mp_str rule_name, verb, target;
    mp_str kind;        /* of the target: an entity or a type by its name */
    mp_str who, reason; /* of an operator's decision; else empty */
    /* As event time; 0 before accepted. While a ramp runs: when it has given all of it back. */
    int64_t ends_ns;
    bool in_force;      /* the backend carries it, alone or joined */
    bool manual;        /* an operator decided it */
    mp_str trouble;     /* of one that is stuck, in the words of its backend; may be empty */
};
void mp_engine_leases(const struct mp_engine *e, void *ctx,
                      bool (*each)(void *ctx, const struct mp_lease_view *l));

/* Why a rule does or does not fire for a key, clause by clause. */
enum mp_why_kind {
    MP_WHY_STATE,  /* what the incident is; text: its state */
    MP_WHY_CLAUSE, /* a whole condition: text, truth, hold */
    MP_WHY_PART,   /* a comparison in it: text, truth, shown value, samples */
    MP_WHY_NOTE    /* what is missing, when it would fire, why it was stopped */
};
struct mp_why_line {
    enum mp_why_kind kind;
    uint32_t clause;     /* enum mp_clause, for CLAUSE and PART */
    mp_str text;         /* as the policy says it */
    enum mp_truth truth;
    mp_str shown, value; /* `error_rate` and `7.4%`; empty where nothing is measured */
    int64_t held_ns, hold_ns; /* how much of the `for` has passed; hold 0: none */
    bool samples_known;
    int64_t samples;
};
/* MP_ENOTFOUND: no such rule; a key that is not alive is told as a note. */
enum mp_err mp_engine_why(struct mp_engine *e, mp_str rule, mp_str key, void *ctx,
                          void (*line)(void *ctx, const struct mp_why_line *line));
/* Writes a line of the answer as people read it, with its line end. */
void mp_why_print(struct mp_buf *out, mp_str rule, mp_str key, const struct mp_why_line *line);
/* `true`, `false`, `unknown`. */
const char *mp_truth_word(enum mp_truth truth);
/* Changes of truth of clauses of the rule for the key, oldest first, from `from_ns` on. */
struct mp_truth_value {
    mp_str shown; /* `error_rate` */
    enum mp_type type;
    bool known;
    struct mp_value value;
};
#define MP_TRUTH_VALUES_MAX 3 /* LIMIT */
struct mp_truth_view {
    int64_t time_ns;
    uint32_t clause; /* enum mp_clause */
    enum mp_truth truth;
    /* What the first parts of the clause measured then; none after a reload. */
    uint32_t value_count;
    struct mp_truth_value value[MP_TRUTH_VALUES_MAX];
};
/* Writes one as people read it, without time and line end. */
void mp_truth_print(struct mp_buf *out, const struct mp_truth_view *t);
void mp_engine_truths(const struct mp_engine *e, mp_str rule, mp_str key, int64_t from_ns,
                      void *ctx, bool (*each)(void *ctx, const struct mp_truth_view *t));

/* The newest entries after seq `after`, oldest first, as JSON lines, until `each` answers false.
 * MP_ELIMIT: some after it have left memory. */
enum mp_err mp_engine_entries(const struct mp_engine *e, uint64_t after, void *ctx,
                              bool (*each)(void *ctx, uint64_t seq, mp_str json));
/* SHA-256 of the chain up to seq; all zeros where os has no digest. */
void mp_engine_chain(const struct mp_engine *e, uint8_t out[32]);

/* ---- tests of policies (R46) ---- */

/* From now on def `def` has `value` at the key `keys` (values of its grouping's keys, in order).
 * Nothing is judged before mp_engine_overridden: what is set at one instant is seen as one change.
 * UNKNOWN is what a span leaves behind. */
enum mp_override { MP_OVERRIDE_NONE, MP_OVERRIDE_SET, MP_OVERRIDE_ABSENT, MP_OVERRIDE_UNKNOWN };
enum mp_err mp_engine_override(struct mp_engine *e, uint32_t def, const struct mp_value *keys,
                               uint32_t key_count, enum mp_override state, struct mp_value value);
/* All of this instant has been set: everything that depends on it is judged. */
void mp_engine_overridden(struct mp_engine *e);
/* Only these rules and guards are alive; NULL: all. `rules` has one byte a row. */
void mp_engine_only(struct mp_engine *e, const uint8_t *rules, const uint8_t *guards);
/* How the engine's own backend behaves: at once; refusing everything; accepting after 1 s and
 * obeying
 * 2 s later. */
enum mp_backend_mode { MP_BACKEND_PROMPT, MP_BACKEND_REFUSE, MP_BACKEND_SLOW };
void mp_engine_backend_mode(struct mp_engine *e, enum mp_backend_mode mode);

#endif
