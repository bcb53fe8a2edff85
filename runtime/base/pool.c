/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include "base/assert.h"

void mp_pool_init(struct mp_pool *p, void *memory, size_t size)
{
    MP_ASSERT(((uintptr_t)memory & (MP_POOL_MIN - 1)) == 0);
    *p = (struct mp_pool){.at = memory, .end = (char *)memory + size};
}

static uint32_t class_of(size_t size)
{
    uint32_t c = 0;
    while (c < MP_POOL_CLASSES && ((size_t)MP_POOL_MIN << c) < size) c++;
    return c;
}

static void push(struct mp_pool *p, uint32_t c, void *block)
{
    memcpy(block, &p->free[c], sizeof(void *));
    p->free[c] = block;
}

static void *pop(struct mp_pool *p, uint32_t c)
{
    void *block = p->free[c];
    if (block != NULL) memcpy(&p->free[c], block, sizeof(void *));
    return block;
}

void *mp_pool_take(struct mp_pool *p, size_t size)
{
    uint32_t c = class_of(size);
    if (c == MP_POOL_CLASSES) return NULL;
    size_t bytes = (size_t)MP_POOL_MIN << c;
    void *block = pop(p, c);
    if (block == NULL && (size_t)(p->end - p->at) >= bytes) {
        block = p->at;
        p->at += bytes;
    }
    for (uint32_t larger = c + 1; block == NULL && larger < MP_POOL_CLASSES; larger++) {
        block = pop(p, larger);
        for (uint32_t half = larger; block != NULL && half > c; half--) {
            push(p, half - 1, (char *)block + ((size_t)MP_POOL_MIN << (half - 1)));
        }
    }
    if (block != NULL) p->used_bytes += bytes;
    return block;
}

void mp_pool_give(struct mp_pool *p, void *block, size_t size)
{
    if (block == NULL) return;
    uint32_t c = class_of(size);
    MP_ASSERT(c < MP_POOL_CLASSES);
    size_t bytes = (size_t)MP_POOL_MIN << c;
    MP_ASSERT(p->used_bytes >= bytes);
    p->used_bytes -= bytes;
    push(p, c, block);
}
