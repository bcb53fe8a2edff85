/* SPDX-License-Identifier: Apache-2.0
 * verify.h - the clocks of `for`, and what a `verify` concludes.
 *
 * Owns:    nothing; each clock is a few words inside whoever runs it.
 * Callers: engine, which judges the condition and hands in (time, truth). A condition keeps its
 *          truth until the next call; the engine calls at every change, and at due().
 * Threads: pure functions. Memory: none. Times: event time in ns.
 */
#ifndef MP_VERIFY_VERIFY_H
#define MP_VERIFY_VERIFY_H

#include "schema/flow.h"

/* R17: unknown for so long resets a clock that it pauses */
#define MP_UNKNOWN_BREAK_NS 60000000000LL
#define MP_NEVER_NS INT64_MAX

/* `for` in `when`, `unless` and `harm` (R17): the time the condition was true since it was last
 * false, or unknown for 1m without a break. All zeros is a clock that has not begun. */
struct mp_hold {
    int64_t held_ns;
    int64_t at_ns;      /* of the last call */
    int64_t unknown_ns; /* since when unknown, while it is */
    uint8_t last;       /* enum mp_truth */
};

/* The condition is `truth` from `t` on. True if it holds now and has held for `hold_ns`. */
bool mp_hold_step(struct mp_hold *h, int64_t t, enum mp_truth truth, int64_t hold_ns);
/* When it will have held, or be reset, if nothing changes; MP_NEVER_NS: never. */
int64_t mp_hold_due(const struct mp_hold *h, int64_t hold_ns);
/* How much of the hold had passed at t. */
int64_t mp_hold_progress(const struct mp_hold *h, int64_t t);
/* Does it run: is anything of it worth remembering? */
static inline bool mp_hold_runs(const struct mp_hold *h)
{
    return h->held_ns > 0 || h->last == MP_TRUE;
}

/* `for` in `verify` and `until`: true throughout; unknown resets it like false. */
struct mp_run {
    int64_t since_ns; /* since when true without a break */
    bool on;
};

bool mp_run_step(struct mp_run *r, int64_t t, enum mp_truth truth, int64_t hold_ns);
int64_t mp_run_due(const struct mp_run *r, int64_t hold_ns);

/* A `verify φ for h within d settle s`: is there a t in [a+s+h, a+d] with φ true all through
 * [t-h, t]? Asked on the time of the watermark. */
struct mp_check {
    int64_t from_ns; /* a + s: its windows begin here */
    int64_t to_ns;   /* a + d */
    int64_t hold_ns;
    struct mp_run truth; /* φ is true */
    struct mp_run known; /* φ is known */
    bool begun;          /* it was asked at from_ns or later */
};

void mp_check_start(struct mp_check *c, int64_t a_ns, int64_t settle_ns, int64_t within_ns,
                    int64_t hold_ns);
/* φ is `truth` when the watermark is at `w`, which the engine cuts at to_ns. MP_VERDICT_NONE: go
 * on. */
enum mp_verdict_kind mp_check_step(struct mp_check *c, int64_t w, enum mp_truth truth);
/* The watermark at which it must be asked again, whatever comes. */
int64_t mp_check_due(const struct mp_check *c);

#endif
