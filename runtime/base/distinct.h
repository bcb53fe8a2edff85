/* SPDX-License-Identifier: Apache-2.0
 * distinct.h - how many different values there were, in about 1 KiB.
 *
 * Up to 64 hashes as they are, above that 1,024 registers of HyperLogLog (Flajolet et al. 2007)
 * with the estimator of Ertl ("New cardinality estimation algorithms for HyperLogLog sketches",
 * 2017): no tables of corrections, no logarithm; 3.3% standard error. What the estimator sums is
 * kept as an integer while values arrive, so reading is a few multiplications.
 */
#ifndef MP_BASE_DISTINCT_H
#define MP_BASE_DISTINCT_H

#include <stdbool.h>
#include <stdint.h>

#define MP_DISTINCT_EXACT 64u
#define MP_DISTINCT_REGISTERS 1024u

struct mp_distinct {
    uint64_t n;     /* values added, counted by whoever adds them */
    uint32_t exact; /* hashes held; above MP_DISTINCT_EXACT: registers */
    uint32_t zeros; /* registers that are 0 */
    uint64_t inverse; /* the sum of 2^(40 - register) over the others */
    union {
        uint64_t hash[MP_DISTINCT_EXACT];
        uint8_t reg[MP_DISTINCT_REGISTERS];
    } u;
};

/* An empty one; memory need not be cleared. */
void mp_distinct_clear(struct mp_distinct *c);
/* A value by its hash, whose bits are all good ones (mp_siphash). */
void mp_distinct_add(struct mp_distinct *c, uint64_t hash);
/* Both together, n too. */
void mp_distinct_merge(struct mp_distinct *into, const struct mp_distinct *from);
/* Exact up to 64. */
double mp_distinct_estimate(const struct mp_distinct *c);
/* After bytes from outside: makes what follows from the registers anew; false: no such sketch can
 * be. */
bool mp_distinct_repair(struct mp_distinct *c);

#endif
