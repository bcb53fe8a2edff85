/* SPDX-License-Identifier: Apache-2.0 */
#include "base/distinct.h"

#include <string.h>

#include "base/assert.h"

#define INDEX_BITS 10
#define RANK_MAX 40 /* a register above it stands for 2^50 values; it is held there */

void mp_distinct_clear(struct mp_distinct *c)
{
    c->n = 0;
    c->exact = 0;
    c->zeros = MP_DISTINCT_REGISTERS;
    c->inverse = 0;
}

static uint64_t inverse_of(uint8_t reg) { return reg == 0 ? 0 : UINT64_C(1) << (RANK_MAX - reg); }

static void raise(struct mp_distinct *c, uint32_t at, uint8_t rank)
{
    uint8_t was = c->u.reg[at];
    if (rank <= was) return;
    c->u.reg[at] = rank;
    c->zeros -= was == 0;
    c->inverse += inverse_of(rank) - inverse_of(was);
}

static void raise_hash(struct mp_distinct *c, uint64_t hash)
{
    uint64_t rest = hash << INDEX_BITS | UINT64_C(1) << (INDEX_BITS - 1);
    uint32_t rank = (uint32_t)__builtin_clzll(rest) + 1;
    raise(c, (uint32_t)(hash >> (64 - INDEX_BITS)), (uint8_t)(rank < RANK_MAX ? rank : RANK_MAX));
}

static void to_registers(struct mp_distinct *c)
{
    uint64_t hash[MP_DISTINCT_EXACT];
    memcpy(hash, c->u.hash, sizeof hash);
    memset(c->u.reg, 0, sizeof c->u.reg);
    c->zeros = MP_DISTINCT_REGISTERS;
    c->inverse = 0;
    for (uint32_t i = 0; i < c->exact; i++) raise_hash(c, hash[i]);
    c->exact = MP_DISTINCT_EXACT + 1;
}

void mp_distinct_add(struct mp_distinct *c, uint64_t hash)
{
    if (c->exact <= MP_DISTINCT_EXACT) {
        for (uint32_t i = 0; i < c->exact; i++) {
            if (c->u.hash[i] == hash) return;
        }
        if (c->exact < MP_DISTINCT_EXACT) {
            c->u.hash[c->exact++] = hash;
            return;
        }
        to_registers(c);
    }
    raise_hash(c, hash);
}

void mp_distinct_merge(struct mp_distinct *into, const struct mp_distinct *from)
{
    into->n += from->n;
    if (from->exact <= MP_DISTINCT_EXACT) {
        for (uint32_t i = 0; i < from->exact; i++) mp_distinct_add(into, from->u.hash[i]);
        return;
    }
    if (into->exact <= MP_DISTINCT_EXACT) to_registers(into);
    for (uint32_t i = 0; i < MP_DISTINCT_REGISTERS; i++) raise(into, i, from->u.reg[i]);
}

bool mp_distinct_repair(struct mp_distinct *c)
{
    if (c->exact > MP_DISTINCT_EXACT + 1) return false;
    if (c->exact <= MP_DISTINCT_EXACT) return true;
    c->zeros = MP_DISTINCT_REGISTERS;
    c->inverse = 0;
    for (uint32_t i = 0; i < MP_DISTINCT_REGISTERS; i++) {
        if (c->u.reg[i] > RANK_MAX) return false;
        c->zeros -= c->u.reg[i] != 0;
        c->inverse += inverse_of(c->u.reg[i]);
    }
    return c->zeros < MP_DISTINCT_REGISTERS;
}

/* Ertl's sigma: the sum of x^(2^k) 2^(k-1), plus x. */
static double sigma(double x)
{
    double y = 1, z = x, before;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

double mp_distinct_estimate(const struct mp_distinct *c)
{
    if (c->exact <= MP_DISTINCT_EXACT) return c->exact;
    const double m = MP_DISTINCT_REGISTERS;
    const double alpha = 0.7213475204444817; /* 1 / (2 ln 2) */
    MP_ASSERT(c->zeros < MP_DISTINCT_REGISTERS);
    double sum = (double)c->inverse / (double)(UINT64_C(1) << RANK_MAX);
    return alpha * m * m / (m * sigma((double)c->zeros / m) + sum);
}
