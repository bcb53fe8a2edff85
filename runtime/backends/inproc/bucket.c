/* SPDX-License-Identifier: Apache-2.0 */
#include "inproc/bucket.h"

#define NS_PER_S 1e9
/* LIMIT: a century between two requests; beyond it the arithmetic of times would overflow. */
#define INTERVAL_MAX_NS (INT64_C(100) * 365 * 86400 * 1000000000 / 4)
#define TAKE_TRIES 64

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

struct mp_bucket_limit mp_bucket_of_share(double share, double given_back)
{
    double q = clamp(share, 0, 1), k = clamp(given_back, 0, 1);
    return (struct mp_bucket_limit){.share =
                                        (int64_t)((q + (1 - q) * k) * (double)MP_BUCKET_ONE + 0.5)};
}

struct mp_bucket_limit mp_bucket_of_rate(double rate, double burst, double given_back)
{
    struct mp_bucket_limit l = {.share = MP_BUCKET_ONE};
    double k = clamp(given_back, 0, 1);
    if (k >= 1) return l;
    double now = rate / (1 - k);
    double interval = now > 0 ? NS_PER_S / now : (double)INTERVAL_MAX_NS;
    l.interval_ns = (int64_t)clamp(interval, 1, (double)INTERVAL_MAX_NS);
    if (burst < 1) burst = now > 1 ? now : 1;
    /* A rate of nothing admits nothing, not even a first one. */
    double depth = now > 0 ? burst * (double)l.interval_ns : 0;
    l.burst_ns = (int64_t)clamp(depth, 0, (double)INTERVAL_MAX_NS);
    return l;
}

static bool shares(const struct mp_bucket_limit *l) { return l->share < MP_BUCKET_ONE; }

/* Error diffusion: every offer leaves its share behind, and every whole one admits a request. */
static bool offer_share(struct mp_bucket *b, const struct mp_bucket_limit *l)
{
    int64_t credit =
        atomic_fetch_add_explicit(&b->credit, l->share, memory_order_relaxed) + l->share;
    if (credit >= 2 * MP_BUCKET_ONE) {
        /* Another throttle refused for a while; what it refused is not saved up for a burst. */
        atomic_fetch_sub_explicit(&b->credit, l->share, memory_order_relaxed);
    }
    return credit >= MP_BUCKET_ONE;
}

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

bool mp_bucket_offer(struct mp_bucket *b, const struct mp_bucket_limit *l, int64_t now_ns)
{
    if (shares(l)) return offer_share(b, l);
    if (l->interval_ns == 0) return true;
    int64_t arrival = atomic_load_explicit(&b->arrival_ns, memory_order_relaxed);
    return later(arrival, now_ns) + l->interval_ns - now_ns <= l->burst_ns;
}

bool mp_bucket_take(struct mp_bucket *b, const struct mp_bucket_limit *l, int64_t now_ns)
{
    if (shares(l)) {
        int64_t had = atomic_fetch_sub_explicit(&b->credit, MP_BUCKET_ONE, memory_order_relaxed);
        if (had >= MP_BUCKET_ONE) return true;
        atomic_fetch_add_explicit(&b->credit, MP_BUCKET_ONE, memory_order_relaxed);
        return false;
    }
    if (l->interval_ns == 0) return true;
    int64_t arrival = atomic_load_explicit(&b->arrival_ns, memory_order_relaxed);
    for (int i = 0; i < TAKE_TRIES; i++) {
        int64_t next = later(arrival, now_ns) + l->interval_ns;
        if (next - now_ns > l->burst_ns) return false;
        if (atomic_compare_exchange_weak_explicit(&b->arrival_ns, &arrival, next,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void mp_bucket_undo(struct mp_bucket *b, const struct mp_bucket_limit *l)
{
    if (shares(l)) {
        atomic_fetch_add_explicit(&b->credit, MP_BUCKET_ONE, memory_order_relaxed);
    } else if (l->interval_ns != 0) {
        atomic_fetch_sub_explicit(&b->arrival_ns, l->interval_ns, memory_order_relaxed);
    }
}

int64_t mp_bucket_wait(const struct mp_bucket *b, const struct mp_bucket_limit *l, int64_t now_ns)
{
    if (shares(l) || l->interval_ns == 0 || l->burst_ns < l->interval_ns) return 0;
    int64_t arrival = atomic_load_explicit(&b->arrival_ns, memory_order_relaxed);
    int64_t wait = later(arrival, now_ns) + l->interval_ns - l->burst_ns - now_ns;
    return wait > 0 ? wait : 0;
}
