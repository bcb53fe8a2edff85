/* SPDX-License-Identifier: Apache-2.0
 * Different values: up to 64 hashes as they are, above that 1,024 registers of HyperLogLog (Flajolet et
 * al. 2007) with the estimator of Ertl ("New cardinality estimation algorithms for HyperLogLog
 * sketches", 2017): no tables of corrections, no logarithm; 3.3% standard error. What the estimator sums is
 * kept as an integer while values arrive, so reading is a few multiplications.
 */
#include "window/window_priv.h"

#define INDEX_BITS 10
#define RANK_MAX 40 /* a register above it stands for 2^50 values; it is held there */

void mp_distinct_clear(struct distinct_cell *c)
{
    c->n = 0;
    c->exact = 0;
    c->zeros = DISTINCT_REGISTERS;
    c->inverse = 0;
}

static uint64_t inverse_of(uint8_t reg) { return reg == 0 ? 0 : UINT64_C(1) << (RANK_MAX - reg); }

static void raise(struct distinct_cell *c, uint32_t at, uint8_t rank)
{
    uint8_t was = c->u.reg[at];
    if (rank <= was) return;
    c->u.reg[at] = rank;
    c->zeros -= was == 0;
    c->inverse += inverse_of(rank) - inverse_of(was);
}

static void raise_hash(struct distinct_cell *c, uint64_t hash)
{
    uint64_t rest = hash << INDEX_BITS | UINT64_C(1) << (INDEX_BITS - 1);
    uint32_t rank = (uint32_t)__builtin_clzll(rest) + 1;
    raise(c, (uint32_t)(hash >> (64 - INDEX_BITS)), (uint8_t)(rank < RANK_MAX ? rank : RANK_MAX));
}

static void to_registers(struct distinct_cell *c)
{
    uint64_t hash[DISTINCT_EXACT];
    memcpy(hash, c->u.hash, sizeof hash);
    memset(c->u.reg, 0, sizeof c->u.reg);
    c->zeros = DISTINCT_REGISTERS;
    c->inverse = 0;
    for (uint32_t i = 0; i < c->exact; i++) raise_hash(c, hash[i]);
    c->exact = DISTINCT_EXACT + 1;
}

void mp_distinct_add(struct distinct_cell *c, uint64_t hash)
{
    if (c->exact <= DISTINCT_EXACT) {
        for (uint32_t i = 0; i < c->exact; i++) {
            if (c->u.hash[i] == hash) return;
        }
        if (c->exact < DISTINCT_EXACT) {
            c->u.hash[c->exact++] = hash;
            return;
        }
        to_registers(c);
    }
    raise_hash(c, hash);
}

void mp_distinct_merge(struct distinct_cell *into, const struct distinct_cell *from)
{
    into->n += from->n;
    if (from->exact <= DISTINCT_EXACT) {
        for (uint32_t i = 0; i < from->exact; i++) mp_distinct_add(into, from->u.hash[i]);
        return;
    }
    if (into->exact <= DISTINCT_EXACT) to_registers(into);
    for (uint32_t i = 0; i < DISTINCT_REGISTERS; i++) raise(into, i, from->u.reg[i]);
}

bool mp_distinct_repair(struct distinct_cell *c)
{
    if (c->exact > DISTINCT_EXACT + 1) return false;
    if (c->exact <= DISTINCT_EXACT) return true;
    c->zeros = DISTINCT_REGISTERS;
    c->inverse = 0;
    for (uint32_t i = 0; i < DISTINCT_REGISTERS; i++) {
        if (c->u.reg[i] > RANK_MAX) return false;
        c->zeros -= c->u.reg[i] != 0;
        c->inverse += inverse_of(c->u.reg[i]);
    }
    return c->zeros < DISTINCT_REGISTERS;
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

double mp_distinct_estimate(const struct distinct_cell *c)
{
    if (c->exact <= DISTINCT_EXACT) return c->exact;
    const double m = DISTINCT_REGISTERS;
    const double alpha = 0.7213475204444817; /* 1 / (2 ln 2) */
    MP_ASSERT(c->zeros < DISTINCT_REGISTERS);
    double sum = (double)c->inverse / (double)(UINT64_C(1) << RANK_MAX);
    return alpha * m * m / (m * sigma((double)c->zeros / m) + sum);
}
