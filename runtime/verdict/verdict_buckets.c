/* SPDX-License-Identifier: Apache-2.0
 * Buckets of inline throttles: a fixed table that readers fill themselves, with atomics. A bucket whose
 * time has come is full again, so it says nothing that a new one would not: its place may be taken.
 */
#include "base/assert.h"
#include "verdict/verdict_priv.h"

/* LIMIT: places that a key may have; so a search is short even in a full table. */
#define PLACES 16
#define CLAIMS 4
#define KEYS_MAX 8

struct place {
    _Atomic uint64_t key; /* fingerprint of (rule, key); 0: free */
    struct mp_bucket bucket;
};

struct mp_verdict_buckets {
    struct mp_hash_key key;
    uint32_t mask;
    struct place *places;
};

enum mp_err mp_verdict_buckets_create(struct mp_arena *arena, uint32_t keys, struct mp_hash_key key,
                                      struct mp_verdict_buckets **out)
{
    uint32_t size = 2 * PLACES;
    while (size < keys && size < (UINT32_C(1) << 30)) size *= 2;
    struct mp_verdict_buckets *b = MP_NEW(arena, struct mp_verdict_buckets, 1);
    if (b == NULL) return MP_ENOMEM;
    b->key = key;
    b->mask = size - 1;
    b->places = MP_NEW(arena, struct place, size);
    if (b->places == NULL) return MP_ENOMEM;
    *out = b;
    return MP_OK;
}

static uint64_t fingerprint(const struct mp_verdict_buckets *b, uint64_t mark,
                            const enum mp_rep *reps, const struct mp_value *keys, uint32_t count)
{
    uint64_t words[1 + 2 * KEYS_MAX];
    MP_ASSERT(count <= KEYS_MAX);
    words[0] = mark;
    for (uint32_t i = 0; i < count; i++) {
        struct mp_value v = keys[i];
        if (reps[i] == MP_REP_T && mp_value_text_len(v) > MP_TEXT_INLINE) {
            mp_str text = mp_value_as_text(&v);
            v.w[1] = mp_siphash(b->key, text.ptr, text.len);
        }
        words[1 + 2 * i] = v.w[0];
        words[2 + 2 * i] = v.w[1];
    }
    uint64_t hash = mp_siphash_words(b->key, words, 1 + 2 * count);
    return hash != 0 ? hash : 1;
}

static struct place *place_of(struct mp_verdict_buckets *b, uint64_t key, uint32_t i)
{
    return &b->places[(key + i) & b->mask];
}

static struct place *find(struct mp_verdict_buckets *b, uint64_t key)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        struct place *p = place_of(b, key, i);
        if (atomic_load_explicit(&p->key, memory_order_acquire) == key) return p;
    }
    return NULL;
}

/* Takes a free place, or one that is full again. */
static struct place *claim(struct mp_verdict_buckets *b, uint64_t key, int64_t now_ns)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        struct place *p = place_of(b, key, i);
        uint64_t had = atomic_load_explicit(&p->key, memory_order_acquire);
        int64_t arrival = atomic_load_explicit(&p->bucket.arrival_ns, memory_order_relaxed);
        if (had != 0 && arrival > now_ns) continue;
        if (!atomic_compare_exchange_strong(&p->key, &had, key)) continue;
        atomic_store_explicit(&p->bucket.arrival_ns, 0, memory_order_relaxed);
        return p;
    }
    return NULL;
}

struct mp_bucket *mp_verdict_bucket(struct mp_verdict_buckets *b, uint64_t mark,
                                    const enum mp_rep *reps, const struct mp_value *keys,
                                    uint32_t count, int64_t now_ns)
{
    uint64_t key = fingerprint(b, mark, reps, keys, count);
    for (int i = 0; i < CLAIMS; i++) {
        struct place *p = find(b, key);
        if (p != NULL) return &p->bucket;
        p = claim(b, key, now_ns);
        if (p == NULL) return NULL;
        /* Two threads may have claimed two places at once; the first place is the one that counts. */
        struct place *first = find(b, key);
        if (first == p || first == NULL) return &p->bucket;
        uint64_t mine = key;
        atomic_compare_exchange_strong(&p->key, &mine, 0);
    }
    return NULL;
}
