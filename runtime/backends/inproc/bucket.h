/* SPDX-License-Identifier: Apache-2.0
 * bucket.h - admission of a share or a rate, by atomics alone (language.md R28, R34).
 *
 * A request asks every throttle that concerns it (`offer`), and takes from them only if all have
 * something to give (`take`); what was taken too early is given back (`undo`). Between asking and
 * taking another thread may come first: then the take fails and the request counts as refused,
 * never as admitted beside the limit.
 *
 * Threads: any number. Every loop is bounded; the bound met counts as no.
 */
#ifndef MP_INPROC_BUCKET_H
#define MP_INPROC_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Credit of a share in 1/2^32 of a request, and the theoretical time of arrival of a rate (GCRA,
 * ITU-T I.371: one number where a token bucket keeps two). All zeros is a bucket that was never
 * used. */
struct mp_bucket {
    _Atomic int64_t credit;
    _Atomic int64_t arrival_ns;
};

/* What admission is measured against. */
struct mp_bucket_limit {
    int64_t share;       /* of 2^32; at or above it: no share throttles */
    int64_t interval_ns; /* between two requests at the rate; 0: no rate throttles */
    int64_t burst_ns;    /* the burst times the interval */
};

#define MP_BUCKET_ONE (INT64_C(1) << 32)

/* Limits from what a policy says. A share is a fraction of 1, a rate is per second; `burst` below 1
 * means one second's worth, at least 1. `given_back` is the part that a ramp has taken back. */
struct mp_bucket_limit mp_bucket_of_share(double share, double given_back);
struct mp_bucket_limit mp_bucket_of_rate(double rate, double burst, double given_back);

/* Could this request pass? Counts as an offer to a share. */
bool mp_bucket_offer(struct mp_bucket *b, const struct mp_bucket_limit *l, int64_t now_ns);
bool mp_bucket_take(struct mp_bucket *b, const struct mp_bucket_limit *l, int64_t now_ns);
void mp_bucket_undo(struct mp_bucket *b, const struct mp_bucket_limit *l);
/* How long until a rate admits again; 0: it does, or it is a share, which knows no time. */
int64_t mp_bucket_wait(const struct mp_bucket *b, const struct mp_bucket_limit *l, int64_t now_ns);

#endif
