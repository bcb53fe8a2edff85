/* SPDX-License-Identifier: Apache-2.0
 * gen.h - random policies that are well typed, and random records for them.
 *
 * A rule is made from a seed of its own, so that it stays the same when others are left out.
 * Values of records come from the same small sets as the literals of rules, and from their
 * neighbours: borders are where executors differ.
 */
#ifndef MP_TEST_GEN_H
#define MP_TEST_GEN_H

#include "base/hash.h"
#include "check/typed.h"
#include "slow.h"

struct gen_batch {
    uint64_t seed;
    uint32_t rules;      /* r0 .. r(rules-1) */
    const uint8_t *out;  /* rules that are left out; NULL: none */
    bool slots;          /* what is published every 100 ms may be read: events come apart */
};

/* Writes the whole policy; offsets[i] is where rule i begins, offsets[rules] the end. */
void gen_policy(const struct gen_batch *b, struct mp_buf *text, uint32_t *offsets);

/* One moment of a trace. */
struct gen_event {
    int64_t at_ns;           /* now */
    bool tick;               /* no record: time has passed, all keys are judged */
    struct slow_record record;
    uint64_t id;             /* 0: none; equal ones are duplicates */
};

/* `count` events for the signals of `typed`, and what the inventory says (all before the first). */
void gen_trace(uint64_t seed, bool slots, const struct mp_typed *typed, struct mp_arena *arena,
               uint32_t count, struct gen_event *events);
uint32_t gen_attrs(uint64_t seed, const struct mp_typed *typed, struct mp_arena *arena,
                   struct slow_attr *out, uint32_t room);

/* Numbers below n; n > 0. */
static inline uint32_t gen_below(uint64_t *rng, uint32_t n)
{
    return (uint32_t)(mp_rng_next(rng) >> 33) % n;
}

#endif
