/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/verify.h"

#include "base/assert.h"

/* What the time since the last call adds, if the condition stayed as it was. */
static int64_t elapsed(const struct mp_hold *h, int64_t t)
{
    return h->last == MP_TRUE && t > h->at_ns ? t - h->at_ns : 0;
}

/* Was it unknown for too long by the time t? */
static bool broken(const struct mp_hold *h, int64_t t)
{
    return h->last == MP_UNKNOWN && t - h->unknown_ns >= MP_UNKNOWN_BREAK_NS;
}

bool mp_hold_step(struct mp_hold *h, int64_t t, enum mp_truth truth, int64_t hold_ns)
{
    if (h->last == MP_TRUE) h->held_ns += elapsed(h, t);
    if (broken(h, t) || truth == MP_FALSE) h->held_ns = 0;
    if (truth == MP_UNKNOWN && h->last != MP_UNKNOWN) h->unknown_ns = t;
    h->at_ns = t;
    h->last = (uint8_t)truth;
    return truth == MP_TRUE && h->held_ns >= hold_ns;
}

int64_t mp_hold_due(const struct mp_hold *h, int64_t hold_ns)
{
    if (h->last == MP_TRUE) {
        return h->held_ns >= hold_ns ? h->at_ns : h->at_ns + (hold_ns - h->held_ns);
    }
    if (h->last == MP_UNKNOWN && h->held_ns > 0) return h->unknown_ns + MP_UNKNOWN_BREAK_NS;
    return MP_NEVER_NS;
}

int64_t mp_hold_progress(const struct mp_hold *h, int64_t t)
{
    return broken(h, t) ? 0 : h->held_ns + elapsed(h, t);
}

bool mp_run_step(struct mp_run *r, int64_t t, enum mp_truth truth, int64_t hold_ns)
{
    if (truth != MP_TRUE) {
        r->on = false;
        return false;
    }
    if (!r->on) r->since_ns = t;
    r->on = true;
    return t - r->since_ns >= hold_ns;
}

int64_t mp_run_due(const struct mp_run *r, int64_t hold_ns)
{
    return r->on ? r->since_ns + hold_ns : MP_NEVER_NS;
}

void mp_check_start(struct mp_check *c, int64_t a_ns, int64_t settle_ns, int64_t within_ns,
                    int64_t hold_ns)
{
    MP_ASSERT(settle_ns >= 0 && hold_ns >= 0 && within_ns >= settle_ns);
    *c = (struct mp_check){
        .from_ns = a_ns + settle_ns, .to_ns = a_ns + within_ns, .hold_ns = hold_ns};
}

enum mp_verdict_kind mp_check_step(struct mp_check *c, int64_t w, enum mp_truth truth)
{
    if (w < c->from_ns) return MP_VERDICT_NONE;
    MP_ASSERT(w <= c->to_ns);
    /* The run up to now counts first: it may have been long enough before it broke at w. */
    if (c->truth.on && w - c->truth.since_ns > c->hold_ns) return MP_VERDICT_CONFIRMED;
    c->begun = true;
    if (mp_run_step(&c->truth, w, truth, c->hold_ns)) return MP_VERDICT_CONFIRMED;
    bool known = mp_run_step(&c->known, w, truth == MP_UNKNOWN ? MP_UNKNOWN : MP_TRUE, c->hold_ns);
    if (w < c->to_ns) return MP_VERDICT_NONE;
    return known ? MP_VERDICT_FAILED : MP_VERDICT_INCONCLUSIVE;
}

int64_t mp_check_due(const struct mp_check *c)
{
    int64_t held = mp_run_due(&c->truth, c->hold_ns);
    if (!c->begun) held = c->from_ns;
    return held < c->to_ns ? held : c->to_ns;
}
