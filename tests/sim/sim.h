/* SPDX-License-Identifier: Apache-2.0
 * sim.h - the whole loop on a virtual clock: a mesh in memory whose services fail by script,
 * clients good and bad, a verdict before every request, a backend that is slow or refuses,
 * telemetry that is late, doubled or silent, reloads, restarts, operators and the brake. One seed
 * is one history.
 *
 * A run is judged after every step (check.c). Three runs of a seed, interpreted, native, and
 * switched in between, must leave the same ledger.
 */
#ifndef MP_TEST_SIM_H
#define MP_TEST_SIM_H

#include "base/hash.h"
#include "engine/engine.h"
#include "eval/exec.h"
#include "ingest/ingest.h"
#include "inproc/inproc.h"
#include "inventory/inventory.h"
#include "ledger/ledger.h"
#include "os/std.h"
#include "verdict/verdict.h"

#define SIM_S INT64_C(1000000000)
#define SIM_MS INT64_C(1000000)
#define SIM_START (INT64_C(1767225600) * SIM_S)
#define SIM_LEASES_MAX 256
#define SIM_IDS_MAX 2048
#define SIM_PENDING_MAX 64

enum sim_native { SIM_INTERPRETED, SIM_NATIVE, SIM_SWITCHED };

/* Two programs and what was made of them once for all seeds. */
struct sim_program {
    struct mp_program *p;
    const struct mp_native *native; /* NULL: built without */
    struct mp_jit_job *job;
};

/* ---- the backend: the real one, behind a wire that fails ---- */

/* LACKS: somebody in the mesh lets through what every second lease refuses. */
enum sim_wire { SIM_WIRE_GOOD, SIM_WIRE_SLOW, SIM_WIRE_REFUSES, SIM_WIRE_BUSY, SIM_WIRE_LACKS };

struct sim_held {
    uint64_t id;
    char verb[16], kind[16], target[64], rule[32];
};

struct sim_backend {
    struct mp_inproc *real;
    struct mpol_backend_ops ops;
    const int64_t *now_ns;
    enum sim_wire wire;
    uint32_t turns; /* calls, for a wire that is busy now and then */
    struct sim_held held[SIM_LEASES_MAX]; /* what the newest set that was taken holds */
    uint32_t held_count;
    struct mpol_lease_trouble lacked[SIM_LEASES_MAX];
    /* of an engine that crashed: what it holds may be unknown to the one that follows */
    bool leftovers;
    struct {
        uint64_t revision;
        int64_t at_ns, accepted_ns, effective_ns;
    } history[64];
    uint32_t history_count;
};

void sim_backend_init(struct sim_backend *b, struct mp_inproc *real, const int64_t *now_ns);

/* ---- what the ledger said ---- */

struct sim_life {
    uint64_t id; /* after a restart they go on far above: some may have been lost */
    char state[16];
    bool removed; /* with its rule, in a reload */
};

struct sim_check {
    struct sim_life incident[SIM_IDS_MAX], lease[SIM_IDS_MAX];
    uint32_t incident_count, lease_count;
    uint8_t hash[MP_LEDGER_HASH];
    uint64_t entries;
    int64_t silent_since_ns; /* no telemetry at all; INT64_MAX: there is some */
    struct {
        int64_t at_ns;
        char target[64];
    } limited[64]; /* services that failing_service got, for its limit */
    uint32_t limited_count;
    uint32_t opened, effective, withheld, confirmed, failed, rolled_back, inconclusive, harmful,
        messages;
};

/* ---- a run ---- */

struct sim_record {
    int64_t arrives_ns;
    int64_t time_ns;
    uint32_t signal_word; /* 0 requests, 1 refusals, 2 cpu */
    int service, instance, client;
    const char *path;
    int status, latency_ms;
    double value;
    char refused_by[48];
    uint64_t id;
};

struct sim {
    uint64_t seed, rng;
    struct sim_program *programs; /* [2] */
    int current;
    enum sim_native mode;
    uint64_t switch_rng;
    struct mp_os os;
    int64_t now_ns, mono_ns;
    struct mp_arena arena;
    struct mp_engine *engine;
    struct mp_ingest *ingest[2];
    struct mp_verdict_plan *plan[2];
    struct mp_verdict_scratch *scratch[2];
    struct mp_verdict_buckets *buckets;
    struct mp_inproc_reader *reader;
    struct sim_backend backend;
    struct mp_hash_key key;
    struct {
        struct mp_state_row *row;
        uint32_t count, cap;
        struct mp_arena arena;
    } rows;
    struct sim_record pending[SIM_PENDING_MAX]; /* telemetry under way */
    uint32_t pending_count;
    bool silent, braked;
    /* the mesh */
    int64_t fault_from[3], fault_to[3];
    int fault_kind[3];      /* 0 errors, 1 errors until it is spared, 2 slow, 3 one instance */
    int bad_client[2];
    int64_t bad_from[2], bad_to[2];
    int bad_kind[2];        /* 0 guesses, 1 floods, 2 scans */
    uint32_t allowed, refused;
    struct sim_check check;
    /* With a store: what was durable last. A crash loses everything after it. */
    bool store;
    struct {
        struct sim_check check;
        uint64_t entries;
        uint8_t hash[MP_LEDGER_HASH];
    } durable;
    char failure[512];      /* empty: all well */
};

void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* mesh.c: what happens in the mesh in one step of time; `calm`: every service is well and every
 * client polite. */
void sim_mesh_begin(struct sim *s);
void sim_mesh_step(struct sim *s, int64_t step_ns, bool calm);
void sim_inventory(struct sim *s);

/* check.c */
void sim_check_entry(struct sim *s, const struct mp_entry *entry, mp_str json);
void sim_check_step(struct sim *s);
void sim_check_end(struct sim *s);

static inline uint32_t sim_below(uint64_t *rng, uint32_t n)
{
    return (uint32_t)(mp_rng_next(rng) >> 33) % n;
}

#endif
