/* SPDX-License-Identifier: Apache-2.0
 * mpol/backend.h - what carries actions out: one table of functions a kind of mesh.
 *
 * A backend is never told to do something. It is told, again and again, which leases are to be in
 * force: all of them, in one call. It compares that with what is there and changes only the
 * difference, and only what carries its owner tag. The same call twice does nothing the second
 * time, the order of the leases means nothing, and a backend that starts with leftovers of an
 * earlier life removes them. The suite in tests/conformance holds every backend to these
 * sentences.
 *
 * Threads: the engine calls every function from the thread that steps it. None may block for longer
 * than a few microseconds: a backend with a wire behind it hands the set to a thread of its own and
 * answers later through `progress`.
 */
#ifndef MPOL_BACKEND_H
#define MPOL_BACKEND_H

#include "mpol/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a backend can do: this verb, to this kind of target, at these hooks (MPOL_INGRESS ...).
 * `target` is an entity or a type by its name in the vocabulary: "service", "client", "identity",
 * "asn". */
struct mpol_capability {
    const char *verb;
    const char *target;
    uint32_t hooks;
    /* MPOL_CAN_PARTIAL: a part of it can be taken back (a `ramp`). */
    uint32_t flags;
};
#define MPOL_CAN_PARTIAL 1u
/* The target may be a range of addresses: its type is "cidr" then, its text "10.0.0.0/24". Only
 * an operator asks for that; a narrower exception inside it holds (R31). */
#define MPOL_CAN_RANGE 2u

enum mpol_arg_kind { MPOL_ARG_TEXT = 0, MPOL_ARG_INT = 1, MPOL_ARG_NUMBER = 2 };

/* An argument of an action. `type` is the language's word for it: "percent" (1.0 is 100%), "rate"
 * (per second), "status", "duration" (nanoseconds), "int", "string". */
struct mpol_arg {
    struct mpol_text name; /* "to", "burst", "status" */
    struct mpol_text type;
    enum mpol_arg_kind kind;
    int64_t integer;
    double number;
    struct mpol_text text;
};

/* One change of the mesh that is to be in force.
 * What it points to is valid during the call only. */
struct mpol_lease {
    size_t size;
    uint64_t id;       /* of the lease: the same in every set, never used again */
    uint64_t incident; /* that holds it */
    struct mpol_text rule;
    struct mpol_text verb;
    struct mpol_text target_kind; /* as in struct mpol_capability */
    /* what the key is: "string", "ip", "identity", "asn"; "cidr": a range */
    struct mpol_text target_type;
    struct mpol_text target;      /* its key: "checkout", "10.0.0.7", "64500" */
    uint32_t hooks;               /* where it holds */
    uint32_t arg_count;
    const struct mpol_arg *args;
    /* Wall time at which the engine will take it back at the latest, ramp included: for backends
     * that can forget by themselves. */
    int64_t ends_wall_ns;
    /* The part that a ramp has taken back so far: 0 full strength, 0.75 three quarters given
     * back. A throttle to share q admits q + (1-q)*given_back; to a rate r, r/(1-given_back); a
     * deny or quarantine lets that part of the requests pass, chosen by client and incident. */
    double given_back;
    /* Wall time at which the engine admitted it, the same in every set and over restarts: a `cut`
     * ends what began before. 0: unknown, nothing did. */
    int64_t begins_wall_ns;
};

/* What is to be in force from now on, and nothing else of ours. */
struct mpol_desired {
    size_t size;
    uint64_t revision;      /* grows with every change; the same revision is the same set */
    struct mpol_text owner; /* tag of everything that this engine owns in the mesh */
    int64_t now_wall_ns;
    const struct mpol_lease *leases;
    size_t lease_count;
};

/* A lease that nothing in the mesh can carry at present, though the set is taken. */
struct mpol_lease_trouble {
    uint64_t lease; /* its id */
    enum mpol_err trouble;
    struct mpol_text text;
};

/* How far a backend has come. Every revision up to `accepted` was taken by the mesh's control,
 * every one up to `effective` is obeyed by its data plane. */
struct mpol_progress {
    size_t size;
    uint64_t accepted;
    uint64_t effective;
    /* Not MPOL_OK: the mesh is away, or refused the set of revision `accepted` + 1 or later. The
     * engine tries again with growing pauses. */
    enum mpol_err trouble;
    /* Whose, and in whose words; one line; it reaches the ledger. Without trouble: what is waited
     * for. */
    struct mpol_text trouble_text;
    /* Leases of the set that nothing can carry now ("no proxy of service checkout is connected").
     * Each of them is stuck until it is not named here any more, and takes nothing from other
     * leases on its target; everything else goes on. One that was effective stays so where nobody
     * is left (MPOL_EIO), since then nobody lets anything through either; of any other trouble it
     * is stuck too. In order of their ids. Holds until the next call of the backend. */
    const struct mpol_lease_trouble *held;
    size_t held_count;
};

/* Receives what `read_back` found. `lease` has what the mesh can tell; id is 0 where it keeps none.
 * Answers 0 to go on. */
typedef int (*mpol_read_back_fn)(void *ctx, const struct mpol_lease *lease);

/* Accepted counts as effective, marked `unproven`, because nobody can look. */
#define MPOL_BACKEND_UNPROVEN 1u
/* Can let requests pass that a guard protects (`never deny request where ...`). */
#define MPOL_BACKEND_CARVES_OUT 2u
/* What it did cannot be undone or read back: it is told only what has been committed to the
 * store. */
#define MPOL_BACKEND_IRREVERSIBLE 4u

struct mpol_backend_ops {
    size_t size;
    const char *name;
    uint32_t flags;
    const struct mpol_capability *capabilities;
    size_t capability_count;
    /* How long from accepted to effective before the lease counts as `stuck`; 0: 5 s. */
    int64_t effective_bound_ns;
    /* Makes `set` the whole truth about what carries set->owner. Idempotent. Answers MPOL_OK when
     * the set has been taken in hand, MPOL_EUNSUPPORTED when a lease in it is outside of the
     * capabilities (nothing is changed then), MPOL_ELIMIT when there are too many, MPOL_EAGAIN to
     * be asked again. */
    enum mpol_err (*apply)(void *backend, const struct mpol_desired *set);
    /* Where it stands; called after every apply and at every step while something is
     * outstanding, or, of a backend with `carries`, in force. */
    enum mpol_err (*progress)(void *backend, struct mpol_progress *out);
    /* Tells everything in the mesh that carries `owner`. NULL with MPOL_BACKEND_UNPROVEN. */
    enum mpol_err (*read_back)(void *backend, struct mpol_text owner, mpol_read_back_fn found,
                               void *ctx);
    /* The engine ends, and will not call again. What is in force stays. May be NULL. */
    void (*close)(void *backend);
    /* Could it carry this lease, whatever the mesh is like now? Asked before one is admitted that
     * no compiler has looked at. Answers MPOL_OK, or MPOL_EUNSUPPORTED or MPOL_EINVAL with one
     * line in `why` (cut at `why_size`, with a NUL). May be NULL. */
    enum mpol_err (*check)(void *backend, const struct mpol_lease *lease, char *why,
                           size_t why_size);
    /* Could the mesh as it is now carry this lease, which is not in the set? Asked before one takes
     * the place of another that works. Answers MPOL_OK where it could, or nobody knows yet, else
     * what `held` would name, with one line in `why`. May be NULL: then it is tried, and the other
     * comes back when `held` names it. */
    enum mpol_err (*carries)(void *backend, const struct mpol_lease *lease, char *why,
                             size_t why_size);
};

/* A way for messages: `notify "..." via chat`. A message is sent at least once, always with the
 * same idempotency key; `send` is called from the thread that steps the engine, must not block,
 * and answers MPOL_OK (delivered), MPOL_EAGAIN (in hand: mpol_engine_message_done() will tell),
 * or an error, after which it is called again with growing pauses. */
struct mpol_message {
    size_t size;
    uint64_t id;
    struct mpol_text idempotency_key;
    struct mpol_text channel;
    struct mpol_text verb; /* "notify", "page", "audit" */
    struct mpol_text rule;
    uint64_t incident;
    struct mpol_text text;
    int64_t wall_ns;
};

typedef enum mpol_err (*mpol_send_fn)(void *ctx, const struct mpol_message *message);

#ifdef __cplusplus
}
#endif

#endif
