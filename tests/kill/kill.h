/* SPDX-License-Identifier: Apache-2.0
 * kill.h - a loop that is killed again and again: what outlives it, and what is known of it.
 *
 *   test_kill.c  the parent: kills, looks, starts the next life
 *   life.c       one life, in a child: engine + store + mesh + messages
 *   world.c      policy and traffic
 *   mesh.c       a backend whose mesh lies in memory that outlives the child
 *   model.c      what the ledger says, replayed
 *
 * Time is virtual and lies in the shared memory too. Nothing that is checked depends on the speed
 * of the machine: only where a kill hits does.
 */
#ifndef TEST_KILL_H
#define TEST_KILL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "store/store.h"

#define MS 1000000LL
#define SEC 1000000000LL
#define T0 (1700000000LL * SEC)
#define STEP_NS (100 * MS)

/* ---- where a life can end on purpose ---- */

#define POINTS(X)                                                                                  \
    X(NONE) X(STORE_BEFORE_BEGIN) X(STORE_AFTER_ROWS) X(STORE_BEFORE_COMMIT) X(STORE_AFTER_COMMIT) \
    X(ROW_RESTORED) X(RESTORED) X(RESUMED) X(APPLY_BEGINS) X(APPLY_HALF) X(PUT_IN_FORCE)           \
    X(APPLY_ENDS) X(PROGRESS) X(ENTRY) X(ROWS_TOLD) X(BATCH_HALF) X(BATCH_GIVEN)                   \
    X(COMMITTED_BEGINS) X(COMMITTED_ENDS) X(SEND_BEGINS) X(SEND_ENDS) X(DELIVERED) X(SWAP_BEGINS)  \
    X(SWAP_ENDS)

enum point {
#define X(name) AT_##name,
    POINTS(X)
#undef X
        POINT_COUNT
};

/* ---- what outlives a life ---- */

#define MESH_MAX 512
#define SEEN_MAX 65536
#define SENT_MAX 65536

struct mesh_lease {
    uint64_t id, content; /* content: a hash of rule, verb, target and arguments */
    bool ours;
};

/* Every lease that the mesh ever had. */
struct seen_lease {
    uint64_t id, content;
    uint64_t life; /* in which it was last put in force */
};

/* Every message that somebody received. */
struct sent_message {
    uint64_t id, text;
};

struct shared {
    int64_t now_ns;        /* of the world: goes on while nobody lives */
    uint64_t step;         /* of traffic */
    _Atomic uint64_t ticks; /* something has happened in this life */
    _Atomic uint64_t acked; /* the newest entry that was told as committed */
    uint8_t acked_hash[32];
    _Atomic uint64_t acked_hash_of;
    struct mesh_lease mesh[MESH_MAX];
    uint32_t mesh_count;
    struct seen_lease seen[SEEN_MAX];
    uint32_t seen_count;
    struct sent_message sent[SENT_MAX];
    uint32_t sent_count;
    uint64_t life; /* number of the present one, from 1 */
    char problem[512]; /* of a life that found something wrong */
};

/* ---- model.c: what the ledger says ---- */

#define MODEL_MAX 65536

struct model_incident {
    uint64_t id;
    char state[16];
    int64_t releasing_ns; /* since when it is being released; 0: it is not */
};

struct model_lease {
    uint64_t id, incident, admitted_seq, applying_seq;
    uint32_t rung;
    bool message;
    char verb[16], target[64], state[16];
    int64_t accepted_ns, ttl_ns;
};

/* What a message is, and its id. */
struct model_message {
    uint64_t hash, id;
};

struct model {
    uint64_t seq;
    uint8_t hash[32];
    struct model_incident incidents[MODEL_MAX];
    struct model_lease leases[MODEL_MAX]; /* by id, messages too */
    struct model_message messages[MODEL_MAX];
    uint64_t incident_count, lease_top;
    char problem[512];
};

/* Takes an entry in; false: it contradicts what was said before, and problem says how. */
bool model_entry(struct model *m, uint64_t seq, mp_str json);
struct model_lease *model_lease(struct model *m, uint64_t id);
bool model_lease_live(const struct model_lease *l);

/* ---- mesh.c ---- */

struct life;
extern const struct mpol_backend_ops mesh_ops; /* ctx: the life */
/* The mesh as it is must be what the engine says is in force. */
void mesh_check(struct life *l);

/* ---- world.c ---- */

extern const char policy[];
/* The same with a rule more, which never fires and comes first. */
extern const char more_policy[];
/* The lines of step `n`, each with a NUL at its end, until an empty one. */
void traffic(uint64_t n, int64_t now_ns, char *out, size_t room);

/* ---- life.c ---- */

struct plan {
    enum point point; /* where to die; AT_NONE: nowhere */
    uint64_t hit;     /* at which time of passing it */
    uint64_t seed;
    uint64_t steps;   /* then it ends by itself */
    bool finish;      /* with everything settled and delivered */
};

struct life {
    struct shared *shared;
    struct plan plan;
    _Atomic uint64_t hits;
    uint64_t random;
    struct mp_os os;
    const mp_str *images; /* of the two policies */
    struct mp_program *program;
    struct mp_arena ingest_arena;
    struct mp_ingest *ingest;
    struct mp_engine *engine;
    struct mp_store *store;
    struct model *model; /* a copy of the parent's, continued */
    int64_t mono_origin_ns;
    /* What waits to be given to the store. */
    char *pending;
    size_t pending_len;
    uint64_t in_hand[64];
    uint32_t in_hand_count;
    uint64_t mesh_accepted, mesh_effective, mesh_taken;
};

/* Never comes back: 0 it ended by itself, 1 it found something wrong. */
_Noreturn void live(struct shared *shared, struct model *model, const struct plan *plan,
                    const char *dir, const mp_str images[2]);
/* Something happens here; the plan may end the life. */
void at(struct life *l, enum point point);
uint64_t draw(uint64_t *state, uint64_t below);
_Noreturn void wrong(struct life *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
