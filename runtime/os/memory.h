/* SPDX-License-Identifier: Apache-2.0
 * memory.h - memory of the process for struct mp_os, where large blocks lie on huge pages:
 * windows of many keys are read all over the place, and with pages of 4 KiB most reads would wait
 * for the page table too.
 *
 * Here in a header, so that whoever must not open libmpol-std has it as well. Threads: any.
 */
#ifndef MP_OS_MEMORY_H
#define MP_OS_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* LIMIT: smaller blocks are not worth the rounding. */
#define MP_MEMORY_HUGE_FROM_BYTES ((size_t)8 << 20)
#define MP_MEMORY_HUGE_PAGE ((uintptr_t)2 << 20)

static inline void *mp_memory_huge(void *block, size_t size)
{
    uintptr_t at = (uintptr_t)block, mask = MP_MEMORY_HUGE_PAGE - 1;
    uintptr_t from = (at + mask) & ~mask, to = (at + size) & ~mask;
    if (block == NULL || size < MP_MEMORY_HUGE_FROM_BYTES || from >= to) return block;
    madvise((char *)block + (from - at), to - from, MADV_HUGEPAGE); /* advice: may fail */
    return block;
}

static inline void *mp_memory_alloc(void *ctx, size_t size)
{
    return mp_memory_huge(malloc(size), size);
}
static inline void *mp_memory_zeroed(void *ctx, size_t size)
{
    return mp_memory_huge(calloc(1, size), size);
}
static inline void mp_memory_free(void *ctx, void *ptr, size_t size) { free(ptr); }

#endif
