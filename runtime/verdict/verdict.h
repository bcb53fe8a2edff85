/* SPDX-License-Identifier: Apache-2.0
 * verdict.h - what one request meets (language.md R31), in this order:
 *
 *   exempt → deny, quarantine → throttles of leases and of inline rules → class access of inline
 *   rules
 *
 * and, before anything would refuse it or take a token for it, the guards on requests (R43).
 *
 * Owns:    a plan a program, one block of working memory a reader, the buckets of inline throttles.
 * Callers: the public interface, on the reader's thread.
 * Threads: a plan is immutable; the buckets are atomics; a scratch belongs to one reader. Nothing
 *          here locks, allocates or waits.
 * Memory:  arenas given to the create functions.
 */
#ifndef MP_VERDICT_VERDICT_H
#define MP_VERDICT_VERDICT_H

#include "inproc/inproc.h"
#include "inventory/inventory.h"
#include "program/program.h"
#include "schema/flow.h"

struct mp_inputs; /* eval/eval.h */
struct mp_verdict_plan;
struct mp_verdict_buckets;
struct mp_verdict_scratch;

/* Buckets of `inline` throttles, for keys of all rules together; they outlive programs. */
enum mp_err mp_verdict_buckets_create(struct mp_arena *arena, uint32_t keys, struct mp_hash_key key,
                                      struct mp_verdict_buckets **out);
/* Others for the same plans: what readers of one have taken is not missing in the other. It lives
 * as long as `first`. */
enum mp_err mp_verdict_buckets_beside(struct mp_arena *arena, uint32_t keys, struct mp_hash_key key,
                                      struct mp_verdict_buckets *first,
                                      struct mp_verdict_buckets **out);
/* What can be computed once for a program. `p` must outlive it. The publisher's thread.
 * MP_ENOMEM; MP_ELIMIT, and `why` (may be NULL) receives a static text: programs that are not
 * released have so many inline throttles that there is no number left for one of this program's (a
 * few of the largest programs fit), or kinds of targets. */
enum mp_err mp_verdict_plan_create(struct mp_arena *arena, const struct mp_program *p,
                                   struct mp_inproc *backend, struct mp_verdict_buckets *buckets,
                                   struct mp_verdict_plan **out, const char **why);
/* No reader has it any more: its throttling rules may be forgotten. Those that a later program has
 * too keep their buckets. The publisher's thread; its memory goes with its arena. NULL is
 * nothing. */
void mp_verdict_plan_release(struct mp_verdict_plan *plan);
enum mp_err mp_verdict_scratch_create(struct mp_arena *arena, const struct mp_verdict_plan *plan,
                                      struct mp_verdict_scratch **out);
/* Only these rules and guards are alive (a byte a row), as in a test of a policy. Before the
 * first verdict; what has been left out does not come back. */
void mp_verdict_plan_only(struct mp_verdict_plan *plan, const uint8_t *rules,
                          const uint8_t *guards);
/* Do its verdicts read attributes? Else mp_verdict_ask needs no inventory. */
bool mp_verdict_reads_inventory(const struct mp_verdict_plan *plan);

enum mp_verdict_reason {
    MP_VERDICT_REASON_NONE,
    MP_VERDICT_REASON_LEASE,
    MP_VERDICT_REASON_INLINE,
    MP_VERDICT_REASON_GUARD,
    MP_VERDICT_REASON_EXEMPT
};

/* An inline rule that was true. */
struct mp_verdict_fired {
    uint32_t rule;  /* row of rule */
    bool refused;   /* it is the one for which the request was refused */
};
#define MP_VERDICT_FIRED_MAX 64

struct mp_verdict_answer {
    bool allow;
    int status; /* 0 where it passes */
    enum mp_verdict_reason reason;
    mp_str rule, verb; /* borrow the view or the program: until mp_inproc_leave */
    uint64_t incident;
    int64_t retry_after_ns;
    mp_str send_to; /* where an inline rule sends it; empty: where it goes anyway */
    struct mp_value send_value; /* behind send_to */
    uint32_t judged;   /* units of rules that were evaluated */
    uint32_t fired_count;
    struct mp_verdict_fired fired[MP_VERDICT_FIRED_MAX];
};

/* Answers a request. `request` was decoded for the plan's program; fields that are known only at
 * the end are taken as unknown. `inventory` may be NULL; it is not changed. `view` is between
 * enter and leave. */
void mp_verdict_ask(const struct mp_verdict_plan *plan, struct mp_verdict_buckets *buckets,
                    const struct mp_inproc_view *view, struct mp_inventory *inventory,
                    const struct mp_record *request, struct mp_verdict_scratch *scratch,
                    struct mp_verdict_answer *out);

/* The same for a stream that was let in and is still open since wall time `began_ns`: may leases
 * let it go on? One that began before a `cut` may not. No inline rule is asked, and nothing is
 * taken from any throttle. */
void mp_verdict_recheck(const struct mp_verdict_plan *plan, const struct mp_inproc_view *view,
                        struct mp_inventory *inventory, const struct mp_record *request,
                        int64_t began_ns, struct mp_verdict_scratch *scratch,
                        struct mp_verdict_answer *out);

/* ---- a first look ---- */

/* Does the first look need this field of a signal? */
bool mp_verdict_looks(const struct mp_verdict_plan *plan, uint32_t signal, uint32_t slot);
/* May a lease or an inline rule concern the request? Of its fields only those need to be known that
 * the first look needs; presets may be missing. false: mp_verdict_ask would let it through, and no
 * rule would fire. */
bool mp_verdict_first_look(const struct mp_verdict_plan *plan, const struct mp_inproc_view *view,
                           const struct mp_record *request, struct mp_verdict_scratch *scratch);

/* ---- words about it ---- */

/* The action of an inline rule on the request itself: a row of act. MP_NONE: it has none. */
uint32_t mp_verdict_act(const struct mp_program *p, uint32_t rule);

/* What became of that action. */
enum mp_verdict_outcome {
    MP_VERDICT_DONE,
    MP_VERDICT_SHADOW,    /* it would be done */
    MP_VERDICT_WITHIN,    /* a throttle that had a token */
    MP_VERDICT_OVERRULED, /* by a stronger inline rule that lets pass */
    MP_VERDICT_PROTECTED, /* by a guard or an exempt lease: a->rule */
    MP_VERDICT_OTHER      /* the request was refused for something else: a->rule */
};
/* Of a rule that was true of the request (see fired) and has such an action. */
enum mp_verdict_outcome mp_verdict_outcome(const struct mp_program *p,
                                           const struct mp_verdict_answer *a, uint32_t rule);

/* Is it a message about the record itself (`audit request`)? */
bool mp_verdict_audits(const struct mp_program *p, uint32_t act);
/* Does the rule send this action: a message, and in shadow nothing but an audit, which tells what
 * would be done? */
bool mp_verdict_sends(const struct mp_program *p, uint32_t rule, uint32_t act);
/* What a message says, with the values of `in` in its holes; the texts in that of an audit are in
 * quotes, so that none of them passes for something else. Cut at `size`; the answer is its
 * length. */
size_t mp_verdict_compose(const struct mp_program *p, uint32_t act, const struct mp_inputs *in,
                          char *out, size_t size);
/* Adds what became of the rule's action, if it has one, behind the `len` bytes of an audit. */
size_t mp_verdict_told(const struct mp_program *p, const struct mp_verdict_answer *a, uint32_t rule,
                       char *out, size_t size, size_t len);
/* Does an inline rule in force, not one in shadow, look at this field of a signal? `slot` is its
 * place among the signal's fields. */
bool mp_verdict_reads(const struct mp_verdict_plan *plan, uint32_t signal, uint32_t slot);
/* All that a message of an inline rule says, for the request asked last with this scratch. */
size_t mp_verdict_message(const struct mp_verdict_plan *plan, const struct mp_verdict_answer *a,
                          uint32_t rule, uint32_t act, struct mp_verdict_scratch *s, char *out,
                          size_t size);
/* The key of an inline rule for that request, as people read it: the values of its `per`, or "". */
size_t mp_verdict_key(const struct mp_verdict_plan *plan, uint32_t rule,
                      struct mp_verdict_scratch *scratch, char *out, size_t size);

#endif
