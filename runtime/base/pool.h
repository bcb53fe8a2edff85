/* SPDX-License-Identifier: Apache-2.0
 * pool.h - blocks of changing sizes from one fixed piece of memory, for what must not allocate.
 *
 * Size classes of powers of two, one free list each; a larger free block is split, blocks are not
 * merged again. Taking and giving are O(number of classes). Not thread-safe.
 */
#ifndef MP_BASE_POOL_H
#define MP_BASE_POOL_H

#include "base/str.h"

#define MP_POOL_MIN 16u
#define MP_POOL_CLASSES 20u /* 16 bytes to 8 MiB */

struct mp_pool {
    char *at, *end;
    void *free[MP_POOL_CLASSES];
    size_t used_bytes; /* taken, rounded up to the class */
};

/* `memory` is aligned to 16 and outlives the pool. */
void mp_pool_init(struct mp_pool *p, void *memory, size_t size);
/* A block of at least `size` bytes, aligned to 16, with anything in it; NULL: the pool is full,
 * or size is over the largest class. Size 0 is a block too. */
void *mp_pool_take(struct mp_pool *p, size_t size);
/* Gives a block back; `size` is what it was taken with. NULL is nothing. */
void mp_pool_give(struct mp_pool *p, void *block, size_t size);

#endif
