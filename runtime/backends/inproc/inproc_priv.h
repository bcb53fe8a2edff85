/* SPDX-License-Identifier: Apache-2.0
 * inproc_priv.h - how tables and readers lie in memory; this folder only.
 */
#ifndef MP_INPROC_PRIV_H
#define MP_INPROC_PRIV_H

#include <stdatomic.h>

#include "inproc/inproc.h"

/* One in force, one being built, and two that slow readers may still hold. */
#define TABLES 4
#define KINDS_MAX 64
#define KIND_TEXT_MAX 48
#define CACHE_LINE 64
/* LIMIT: texts of a lease, on average over all of a table. */
#define LEASE_TEXT_BYTES 192

struct slot {
    uint64_t hash; /* 0: empty */
    uint32_t first; /* lease + 1 */
};

/* `view` is first: a reader has a view, find has the table. */
struct table {
    struct mp_inproc_view view;
    struct mp_hash_key key;
    uint64_t replaced_by; /* number of the table that came after; 0: in force or never used */
    struct mp_inproc_lease *leases;
    uint32_t lease_cap;
    struct slot *slots;
    uint32_t slot_mask;
    char *texts;
    size_t text_cap, text_len;
};

struct mp_inproc_reader {
    _Alignas(CACHE_LINE) _Atomic uint64_t epoch; /* number of a table, 0: between two requests */
    struct mp_inproc *backend;
    bool open;
};

/* A throttle's bucket outlives the table that first named it, and is used again when no table
 * does. */
struct limbo {
    uint32_t bucket;
    uint64_t number; /* free when this table has passed */
};

struct mp_inproc {
    _Atomic(struct table *) current;
    _Atomic uint64_t newest; /* number of *current, stored after it */
    struct mp_inproc_limits limits;
    struct mp_hash_key key;
    struct table tables[TABLES];
    struct mp_inproc_reader *readers;
    struct mp_bucket *buckets;
    uint32_t *free_buckets;
    uint32_t free_count;
    struct limbo *limbo;
    uint32_t limbo_count, bucket_count;
    struct {
        char text[KIND_TEXT_MAX];
        uint32_t len;
    } kinds[KINDS_MAX];
    uint32_t kind_count;
    uint64_t revision;         /* of the set that was applied last */
    uint64_t revision_number;  /* the table that carries it */
    uint64_t effective;        /* the newest revision whose table has passed */
};

/* inproc_build.c: fills `t` with the foreign leases of `old` and all of `set`. */
enum mp_err mp_inproc_build(struct mp_inproc *b, const struct table *old, struct table *t,
                            const struct mpol_desired *set);
/* inproc_build.c: all of `old`, as it is. */
enum mp_err mp_inproc_copy(const struct table *old, struct table *t);
/* inproc_build.c: the order of leases in a table; 0: the same lease. */
int mp_inproc_order(const struct mp_inproc_lease *a, const struct mp_inproc_lease *b);
/* inproc_build.c: would a reader see any difference? */
bool mp_inproc_same(const struct table *a, const struct table *b);
/* inproc_table.c: hashes the leases of t by target. */
void mp_inproc_index(struct table *t);

#endif
