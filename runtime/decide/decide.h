/* SPDX-License-Identifier: Apache-2.0
 * decide.h - may it be done, and who wins: guards, limits (R44), and the order of leases on one
 * target (R32).
 *
 * Owns:    the admissions of the last minutes, for quotas with a time.
 * Callers: engine. Threads: one at a time.
 * Memory:  from the arena given to create; full fails safe: what can no longer be counted is
 *          withheld.
 */
#ifndef MP_DECIDE_DECIDE_H
#define MP_DECIDE_DECIDE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "program/program.h"
#include "schema/flow.h"

struct mp_decide;

/* What decide asks of the world around. */
struct mp_decide_world {
    void *ctx;
    /* Where row `walk` leads from a target (KEY 0); false: unknown. */
    bool (*walk)(void *ctx, uint32_t walk, struct mp_value target, struct mp_value *out);
    /* Attribute of an entity's key; false: unknown. */
    bool (*attr)(void *ctx, uint32_t attr, struct mp_value key, struct mp_value *out);
    /* How many members of an entity are known. */
    uint64_t (*members)(void *ctx, uint32_t entity);
    /* Truth of the clause of a `never ... where` for a target. */
    enum mp_truth (*guard)(void *ctx, uint32_t guard, const struct mp_lease_target *target);
    /* The leases that are in force (superseded ones are not), shadow ones apart. *cursor begins
     * at 0; NULL after the last. */
    const struct mp_lease *(*live)(void *ctx, bool shadow, uint32_t *cursor);
    /* Is the guard alive (tests switch some off)? */
    bool (*alive)(void *ctx, uint32_t guard);
};

enum mp_decide_why {
    MP_DECIDE_ADMITTED,
    MP_DECIDE_WHERE,     /* a `never ... where` forbids it, or could not be answered */
    MP_DECIDE_MORE_THAN, /* a `never ... more than` */
    MP_DECIDE_LIMIT,     /* the rule's own `limit` */
    MP_DECIDE_FULL       /* more admissions than can be remembered */
};

struct mp_admission {
    enum mp_decide_why why;
    uint32_t guard; /* row, for WHERE and MORE_THAN; else MP_NONE */
    uint32_t lease; /* which of the step */
    uint64_t count, allowed; /* what would be, and what may be; for quotas */
};

enum mp_err mp_decide_create(struct mp_arena *a, uint32_t admissions, uint32_t leases,
                             struct mp_hash_key key, struct mp_decide **out);

/* Asks every guard and the rule's limit about the leases of one step together, as if all were in
 * force (R33). True: all are admitted. */
bool mp_decide_admit(struct mp_decide *d, const struct mp_program *p,
                     const struct mp_decide_world *world, const struct mp_lease *const *step,
                     uint32_t count, int64_t now_ns, struct mp_admission *out);

/* What guards are asked about a lease that they admitted once. */
enum mp_decide_ask {
    MP_DECIDE_ASK_ALL,   /* of one in force, when the program has changed */
    MP_DECIDE_ASK_WHERE, /* of a superseded one: quotas count what is in force */
    MP_DECIDE_ASK_TRUE   /* only a `where` that is true forbids it: not all is known yet */
};

/* Does a guard of the program forbid it now? A rule's `limit` is not asked. `out` tells which. */
bool mp_decide_forbids(struct mp_decide *d, const struct mp_program *p,
                       const struct mp_decide_world *world, const struct mp_lease *l,
                       enum mp_decide_ask ask, int64_t now_ns, struct mp_admission *out);
/* Remembers the leases of an admitted step for quotas with a time. */
void mp_decide_note(struct mp_decide *d, const struct mp_program *p,
                    const struct mp_decide_world *world, const struct mp_lease *const *step,
                    uint32_t count, int64_t now_ns);

/* One remembered admission, for keeping over a restart. All numbers but the time are hashes under
 * the key given to create. */
struct mp_admitted {
    int64_t time_ns;
    uint64_t quota, target, per;
    bool shadow;
};
/* How many were ever remembered, and number n of them, from 0: false where it is forgotten. */
uint64_t mp_decide_noted(const struct mp_decide *d);
bool mp_decide_admitted(const struct mp_decide *d, uint64_t n, struct mp_admitted *out);
/* Puts one back, at the number it had; in any order, before the first note. */
void mp_decide_restore(struct mp_decide *d, uint64_t n, const struct mp_admitted *a);

/* ⌊members * percent⌋, exact for every percent that was written with at most six digits; a double
 * never rounds it up. */
uint64_t mp_decide_share(uint64_t members, double percent);

/* What becomes of a lease beside the others of its (class, target). */
enum mp_standing {
    MP_STANDING_CARRIED,   /* it is in the desired set */
    MP_STANDING_JOINED,    /* another one that is as strict or stricter stands for it */
    MP_STANDING_SUPERSEDED /* another one wins */
};

/* `leases` are all that want to be in force on one (class, target). An idle one beats nobody and
 * stands for nobody. The answer does not depend on their order. */
void mp_decide_arbitrate(const struct mp_program *p, const struct mp_lease *const *leases,
                         uint32_t count, enum mp_standing *standing);

/* Do two leases concern one (class, target)? */
bool mp_decide_same_target(const struct mp_program *p, const struct mp_lease *a,
                           const struct mp_lease *b);

/* An argument after a ramp has given a part back (R27): percent q → q + (1-q)g, rate r → r/(1-g),
 * and in class routing a percent w → w(1-g). */
double mp_decide_given_back(const struct mp_lease *l, const struct mp_lease_arg *arg);

#endif
