/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <string.h>

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1; s->v1 = ROTL(s->v1, 13); s->v1 ^= s->v0; s->v0 = ROTL(s->v0, 32);
    s->v2 += s->v3; s->v3 = ROTL(s->v3, 16); s->v3 ^= s->v2;
    s->v0 += s->v3; s->v3 = ROTL(s->v3, 21); s->v3 ^= s->v0;
    s->v2 += s->v1; s->v1 = ROTL(s->v1, 17); s->v1 ^= s->v2; s->v2 = ROTL(s->v2, 32);
}

static inline struct sip sip_begin(struct mp_hash_key key)
{
    return (struct sip){
        key.k0 ^ 0x736f6d6570736575ULL, key.k1 ^ 0x646f72616e646f6dULL,
        key.k0 ^ 0x6c7967656e657261ULL, key.k1 ^ 0x7465646279746573ULL,
    };
}

static inline void sip_word(struct sip *s, uint64_t m, int rounds)
{
    s->v3 ^= m;
    for (int i = 0; i < rounds; i++) sip_round(s);
    s->v0 ^= m;
}

static inline uint64_t sip_end(struct sip *s, int rounds)
{
    s->v2 ^= 0xff;
    for (int i = 0; i < rounds; i++) sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t mp_siphash(struct mp_hash_key key, const void *bytes, size_t len)
{
    struct sip s = sip_begin(key);
    const unsigned char *at = bytes;
    size_t left = len;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t m;
        memcpy(&m, at, 8); /* little-endian hosts only; runtime/program/ refuses the others */
        sip_word(&s, m, 2);
    }
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++) {
        last |= (uint64_t)at[i] << (8 * i);
    }
    sip_word(&s, last, 2);
    return sip_end(&s, 4);
}

uint64_t mp_siphash_words(struct mp_hash_key key, const uint64_t *words, size_t count)
{
    struct sip s = sip_begin(key);
    for (size_t i = 0; i < count; i++) {
        sip_word(&s, words[i], 1);
    }
    sip_word(&s, (uint64_t)count << 59, 1);
    return sip_end(&s, 3);
}
