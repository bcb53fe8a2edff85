/* SPDX-License-Identifier: Apache-2.0
 * inproc.h - the backend inside the process: a table of the leases in force, that verdicts read.
 *
 * Owns:    a few tables of fixed size, the admission state of throttles, one epoch a reader.
 * Callers: engine (through mp_inproc_ops), verdict (enter, find, leave).
 * Threads: one publisher, which is whoever steps the engine; every reader has a thread of its own.
 *          Readers are wait-free: one exchange and one load to enter, one store to leave.
 * Memory:  everything from the arena given to create; nothing to free.
 *
 * A table is built off-line in a free buffer and published by one atomic pointer. A reader
 * announces the number of the newest table before it takes the pointer and 0 when it has finished
 * (quiescent state based reclamation; McKenney and Slingwine, PDCS 1998). So a buffer is free,
 * and a lease `effective`, when every reader has finished what it began before: no request is
 * then answered by an older table, nor ever will be.
 */
#ifndef MP_INPROC_INPROC_H
#define MP_INPROC_INPROC_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "inproc/bucket.h"
#include "mpol/backend.h"
#include "schema/value.h"

struct mp_inproc;
struct mp_inproc_reader;

/* What a lease does to a request that it concerns; the words are those of the vocabulary. */
enum mp_inproc_verb {
    MP_INPROC_EXEMPT,
    MP_INPROC_DENY,
    MP_INPROC_QUARANTINE,
    MP_INPROC_THROTTLE,
    MP_INPROC_CHALLENGE,
    MP_INPROC_CUT, /* of a stream that began before the lease */
    MP_INPROC_VERB_COUNT
};

mp_str mp_inproc_verb_word(enum mp_inproc_verb verb);

struct mp_inproc_lease {
    uint64_t id, incident;
    enum mp_inproc_verb verb;
    uint32_t hooks;
    int status;             /* that a refusal answers with */
    uint32_t kind;          /* of the target: mp_inproc_kind */
    /* lease on the same target (of a range: the next range) + 1, 0: the last */
    uint32_t next;
    struct mp_value key;
    enum mp_rep rep;        /* of the key */
    uint32_t bits;          /* of a range of addresses: its prefix; 0: one key */
    mp_str owner, rule, target;
    mp_str target_kind, target_type;
    int64_t begins_wall_ns, ends_wall_ns;
    double given_back;
    uint64_t pass;          /* of 2^32: how many a ramp lets through of what is denied */
    /* throttle */
    bool is_rate;
    double to, burst;
    struct mp_bucket_limit limit;
    uint32_t bucket;        /* of the backend's; MP_INPROC_NO_BUCKET for other verbs */
};

#define MP_INPROC_NO_BUCKET UINT32_MAX
/* LIMIT: leases on ranges in one table; each is looked at in turn */
#define MP_INPROC_RANGES_MAX 256u

/* What a reader sees between enter and leave: immutable. */
struct mp_inproc_view {
    uint64_t number;   /* grows by one with each table */
    uint64_t revision; /* of the newest desired set in it */
    void *context;     /* what mp_inproc_set_context gave: the program in force */
    uint64_t kinds;    /* a bit a kind that has a lease */
    uint32_t ranges;   /* the first lease on a range + 1, 0: none */
    uint32_t lease_count;
    const struct mp_inproc_lease *leases; /* by owner and id */
    struct mp_bucket *buckets;
};

struct mp_inproc_limits {
    uint32_t leases;  /* in force at one time */
    uint32_t readers;
    bool cuts; /* the readers know their open streams: `cut` is taken too */
};

enum mp_err mp_inproc_create(struct mp_arena *arena, struct mp_inproc_limits limits,
                             struct mp_hash_key key, struct mp_inproc **out);

/* The backend's functions; the backend is the struct mp_inproc. `apply` answers MP_EAGAIN while
 * readers still hold all older tables. */
extern const struct mpol_backend_ops mp_inproc_ops;

/* A number for a kind of target ("service", "client"), the same as in the tables; at most 64.
 * Publisher only. MP_ELIMIT. */
enum mp_err mp_inproc_kind(struct mp_inproc *b, mp_str kind, uint32_t *out);

/* Publishes the same leases with another context. *number is that of the table: when it has passed
 * (mp_inproc_passed), no reader uses an older context. MP_EAGAIN as apply. */
enum mp_err mp_inproc_set_context(struct mp_inproc *b, void *context, uint64_t *number);
/* Has every reader let go of all tables before `number`? */
bool mp_inproc_passed(const struct mp_inproc *b, uint64_t number);

/* A reader for one thread; open and close by the publisher. MP_ELIMIT. */
enum mp_err mp_inproc_reader_open(struct mp_inproc *b, struct mp_inproc_reader **out);
void mp_inproc_reader_close(struct mp_inproc_reader *r);

/* The table in force, until leave. Not nested. */
const struct mp_inproc_view *mp_inproc_enter(struct mp_inproc_reader *r);
void mp_inproc_leave(struct mp_inproc_reader *r);

/* The first lease on the target, or NULL; then the next one. `rep` is that of the value. */
const struct mp_inproc_lease *mp_inproc_find(const struct mp_inproc_view *view, uint32_t kind,
                                             enum mp_rep rep, struct mp_value key);
static inline const struct mp_inproc_lease *mp_inproc_next(const struct mp_inproc_view *view,
                                                           const struct mp_inproc_lease *lease)
{
    return lease->next != 0 ? &view->leases[lease->next - 1] : NULL;
}

/* The first lease on a range, whatever its kind; mp_inproc_next goes on. NULL: there is none. */
static inline const struct mp_inproc_lease *mp_inproc_first_range(const struct mp_inproc_view *view)
{
    return view->ranges != 0 ? &view->leases[view->ranges - 1] : NULL;
}

/* Is this request among those that a ramp lets through already? `who` is the client's key. */
bool mp_inproc_given_back(const struct mp_inproc_view *view, const struct mp_inproc_lease *lease,
                          enum mp_rep rep, struct mp_value who);

#endif
