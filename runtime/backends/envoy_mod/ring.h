/* SPDX-License-Identifier: Apache-2.0
 * ring.h - records on their way from a worker to the link: one writer, one reader, slots of fixed
 * size.
 *
 * Owns:    its slots. Callers: logger (slot, push), link (front, pop).
 * Threads: the writer never waits; a full ring refuses and counts.
 * Memory:  one block of malloc, touched as it is used.
 */
#ifndef MP_ENVOY_MOD_RING_H
#define MP_ENVOY_MOD_RING_H

#include <stdatomic.h>

#include "base/err.h"
#include "base/str.h"

/* LIMIT: of a record, and of records that wait for the link, per worker. */
#define MP_RING_RECORD_MAX 1020u
#define MP_RING_SLOTS 4096u

struct mp_ring {
    _Alignas(64) _Atomic uint32_t head;
    _Alignas(64) _Atomic uint32_t tail;
    _Atomic uint64_t pushed, dropped;
    char *slots;
};

enum mp_err mp_ring_open(struct mp_ring *r);
void mp_ring_close(struct mp_ring *r);

/* Room for MP_RING_RECORD_MAX bytes, or NULL: it is full, and the record is counted as dropped. */
char *mp_ring_slot(struct mp_ring *r);
void mp_ring_push(struct mp_ring *r, uint32_t len);

bool mp_ring_front(struct mp_ring *r, mp_str *out);
void mp_ring_pop(struct mp_ring *r);
bool mp_ring_is_empty(const struct mp_ring *r);

#endif
