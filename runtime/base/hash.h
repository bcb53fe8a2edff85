/* SPDX-License-Identifier: Apache-2.0
 * hash.h - SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012) for every table whose keys come
 * from outside; a process or engine draws the key once, tests fix it.
 */
#ifndef MP_BASE_HASH_H
#define MP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct mp_hash_key {
    uint64_t k0, k1;
};

uint64_t mp_siphash(struct mp_hash_key key, const void *bytes, size_t len);

/* SipHash-1-3 over at most a few words: the keys of the runtime's own tables. */
uint64_t mp_siphash_words(struct mp_hash_key key, const uint64_t *words, size_t count);

/* xorshift64* (Vigna 2016): reproducible test data and jitter; never a secret. State must not be
 * 0. */
static inline uint64_t mp_rng_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1DULL;
}

#endif
