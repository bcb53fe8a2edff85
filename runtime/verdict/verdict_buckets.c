/* SPDX-License-Identifier: Apache-2.0
 * Buckets of inline throttles: a fixed table that readers fill themselves, with atomics. A bucket
 * whose time has come is full again, so it says nothing that a new one would not: its place may
 * be taken.
 */
#include "base/assert.h"
#include "verdict/verdict_priv.h"

/* LIMIT: places that a key may have; so a search is short even in a full table. */
#define PLACES 16
#define CLAIMS 4

/* How many idle places one request looks over when a rule has used up its keys. */
#define SWEEP 64

/* `key` is the number of the rule in its first 14 bits, then a fingerprint of (rule, key); 0:
 * free. In one word, so that whoever takes a place or gives it up counts for the rule that it
 * really had. */
struct place {
    _Atomic uint64_t key;
    struct mp_bucket bucket;
};

#define FINGERPRINT_BITS 50
_Static_assert(OWNERS_MAX <= UINT64_C(1) << (64 - FINGERPRINT_BITS),
               "a rule's number fits into its keys");

struct mp_verdict_buckets {
    struct mp_hash_key key;
    uint32_t mask;
    struct place *places;
    struct owners *owners;           /* shared by tables beside each other */
    struct mp_verdict_buckets *next; /* of these; in a ring */
    _Atomic uint32_t *used;  /* places, an owner */
    _Atomic uint32_t cursor; /* of the sweep */
};

static enum mp_err create(struct mp_arena *arena, uint32_t keys, struct mp_hash_key key,
                          struct mp_verdict_buckets **out)
{
    uint32_t size = 2 * PLACES;
    while (size < keys && size < (UINT32_C(1) << 30)) size *= 2;
    struct mp_verdict_buckets *b = MP_NEW(arena, struct mp_verdict_buckets, 1);
    if (b == NULL) return MP_ENOMEM;
    b->key = key;
    b->mask = size - 1;
    b->places = MP_NEW(arena, struct place, size);
    b->used = MP_NEW(arena, _Atomic uint32_t, OWNERS_MAX);
    if (b->places == NULL || b->used == NULL) return MP_ENOMEM;
    b->next = b;
    *out = b;
    return MP_OK;
}

enum mp_err mp_verdict_buckets_create(struct mp_arena *arena, uint32_t keys, struct mp_hash_key key,
                                      struct mp_verdict_buckets **out)
{
    struct mp_verdict_buckets *b = NULL;
    MP_TRY(create(arena, keys, key, &b));
    b->owners = MP_NEW(arena, struct owners, 1);
    if (b->owners == NULL) return MP_ENOMEM;
    MP_TRY(mp_owners_create(arena, b->owners));
    *out = b;
    return MP_OK;
}

enum mp_err mp_verdict_buckets_beside(struct mp_arena *arena, uint32_t keys, struct mp_hash_key key,
                                      struct mp_verdict_buckets *first,
                                      struct mp_verdict_buckets **out)
{
    struct mp_verdict_buckets *b = NULL;
    MP_TRY(create(arena, keys, key, &b));
    b->owners = first->owners;
    b->next = first->next;
    first->next = b;
    *out = b;
    return MP_OK;
}

static uint64_t key_of(const struct mp_verdict_buckets *b, uint32_t rule, const enum mp_rep *reps,
                       const struct mp_value *keys, uint32_t count)
{
    uint64_t words[1 + 2 * BUCKET_KEYS_MAX];
    MP_ASSERT(count <= BUCKET_KEYS_MAX);
    words[0] = mp_owner_mark(b->owners, rule);
    for (uint32_t i = 0; i < count; i++) {
        struct mp_value v = keys[i];
        if (reps[i] == MP_REP_T && mp_value_text_len(v) > MP_TEXT_INLINE) {
            mp_str text = mp_value_as_text(&v);
            v.w[1] = mp_siphash(b->key, text.ptr, text.len);
        }
        words[1 + 2 * i] = v.w[0];
        words[2 + 2 * i] = v.w[1];
    }
    uint64_t hash = mp_siphash_words(b->key, words, 1 + 2 * count) >> (64 - FINGERPRINT_BITS);
    return (uint64_t)rule << FINGERPRINT_BITS | (hash != 0 ? hash : 1);
}

static uint32_t rule_of(uint64_t key) { return (uint32_t)(key >> FINGERPRINT_BITS); }

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

static bool is_full_again(const struct place *p, int64_t now_ns)
{
    return atomic_load_explicit(&p->bucket.arrival_ns, memory_order_relaxed) <= now_ns;
}

/* Gives a place up, unless somebody else was faster. */
static bool vacate(struct mp_verdict_buckets *b, struct place *p, uint64_t key)
{
    uint32_t rule = rule_of(key);
    if (!atomic_compare_exchange_strong(&p->key, &key, 0)) return false;
    atomic_fetch_sub_explicit(&b->used[rule], 1, memory_order_relaxed);
    return true;
}

/* Places of rules that no program has any more. Readers find none of them; but one may take such a
 * place for another rule meanwhile, which gives it up too. */
static void vacate_unused(struct mp_verdict_buckets *b)
{
    for (uint32_t i = 0; i <= b->mask; i++) {
        struct place *p = &b->places[i];
        uint64_t key = atomic_load_explicit(&p->key, memory_order_acquire);
        if (key != 0 && !mp_owner_lives(b->owners, rule_of(key))) vacate(b, p, key);
    }
}

enum mp_err mp_verdict_owner_take(struct mp_verdict_buckets *b, uint64_t mark, uint32_t *out)
{
    if (mp_owner_take(b->owners, mark, out)) return MP_OK;
    const struct mp_verdict_buckets *first = b;
    do {
        vacate_unused(b);
        b = b->next;
    } while (b != first);
    mp_owners_reclaim(b->owners);
    return mp_owner_take(b->owners, mark, out) ? MP_OK : MP_ELIMIT;
}

void mp_verdict_owner_give(struct mp_verdict_buckets *b, uint32_t owner)
{
    mp_owner_give(b->owners, owner);
}

static void sweep(struct mp_verdict_buckets *b, int64_t now_ns)
{
    uint32_t from = atomic_fetch_add_explicit(&b->cursor, SWEEP, memory_order_relaxed);
    for (uint32_t i = 0; i < SWEEP; i++) {
        struct place *p = &b->places[(from + i) & b->mask];
        uint64_t key = atomic_load_explicit(&p->key, memory_order_acquire);
        if (key != 0 && is_full_again(p, now_ns)) vacate(b, p, key);
    }
}

/* Takes a free place, or one that is full again, if the rule may have one more key. */
static struct place *claim(struct mp_verdict_buckets *b, uint64_t key, uint32_t cap, int64_t now_ns)
{
    _Atomic uint32_t *used = &b->used[rule_of(key)];
    if (atomic_load_explicit(used, memory_order_relaxed) >= cap) sweep(b, now_ns);
    if (atomic_fetch_add_explicit(used, 1, memory_order_relaxed) >= cap) {
        atomic_fetch_sub_explicit(used, 1, memory_order_relaxed);
        return NULL;
    }
    for (uint32_t i = 0; i < PLACES; i++) {
        struct place *p = place_of(b, key, i);
        uint64_t had = atomic_load_explicit(&p->key, memory_order_acquire);
        if (had != 0 && (!is_full_again(p, now_ns) || !vacate(b, p, had))) continue;
        had = 0;
        int64_t arrival = atomic_load_explicit(&p->bucket.arrival_ns, memory_order_relaxed);
        if (!atomic_compare_exchange_strong(&p->key, &had, key)) continue;
        /* Unless somebody has found the place meanwhile and taken from it. */
        atomic_compare_exchange_strong(&p->bucket.arrival_ns, &arrival, 0);
        return p;
    }
    atomic_fetch_sub_explicit(used, 1, memory_order_relaxed);
    return NULL;
}

struct mp_bucket *mp_verdict_bucket(struct mp_verdict_buckets *b, uint32_t rule, uint32_t cap,
                                    const enum mp_rep *reps, const struct mp_value *keys,
                                    uint32_t count, int64_t now_ns)
{
    uint64_t key = key_of(b, rule, reps, keys, count);
    for (int i = 0; i < CLAIMS; i++) {
        struct place *p = find(b, key);
        if (p != NULL) return &p->bucket;
        p = claim(b, key, cap, now_ns);
        if (p == NULL) return NULL;
        /* Two threads may have claimed two places at once; the first place is the one that
         * counts. */
        struct place *first = find(b, key);
        if (first == p || first == NULL) return &p->bucket;
        vacate(b, p, key);
    }
    return NULL;
}
