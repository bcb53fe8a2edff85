/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/ring.h"

#include <stdlib.h>

#include "base/assert.h"

#define SLOT_BYTES (MP_RING_RECORD_MAX + 4u)
_Static_assert((MP_RING_SLOTS & (MP_RING_SLOTS - 1)) == 0, "numbers of slots run over");

enum mp_err mp_ring_open(struct mp_ring *r)
{
    memset(r, 0, sizeof *r);
    r->slots = calloc(MP_RING_SLOTS, SLOT_BYTES);
    return r->slots != NULL ? MP_OK : MP_ENOMEM;
}

void mp_ring_close(struct mp_ring *r)
{
    free(r->slots);
    r->slots = NULL;
}

static char *slot(const struct mp_ring *r, uint32_t number)
{
    return r->slots + (size_t)(number % MP_RING_SLOTS) * SLOT_BYTES;
}

static void count_up(_Atomic uint64_t *counter)
{
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

char *mp_ring_slot(struct mp_ring *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    if (head - tail == MP_RING_SLOTS) {
        count_up(&r->dropped);
        return NULL;
    }
    return slot(r, head) + 4;
}

void mp_ring_push(struct mp_ring *r, uint32_t len)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    MP_ASSERT(len <= MP_RING_RECORD_MAX);
    memcpy(slot(r, head), &len, sizeof len);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    count_up(&r->pushed);
}

bool mp_ring_front(struct mp_ring *r, mp_str *out)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&r->head, memory_order_acquire)) return false;
    uint32_t len;
    memcpy(&len, slot(r, tail), sizeof len);
    *out = (mp_str){slot(r, tail) + 4, len};
    return true;
}

void mp_ring_pop(struct mp_ring *r)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

bool mp_ring_is_empty(const struct mp_ring *r)
{
    return atomic_load_explicit(&r->tail, memory_order_relaxed) ==
           atomic_load_explicit(&r->head, memory_order_acquire);
}
