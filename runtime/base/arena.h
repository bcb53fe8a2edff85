/* SPDX-License-Identifier: Apache-2.0
 * arena.h - memory that is freed all at once.
 *
 * An arena grows by blocks from its allocator, or is fixed to a caller's buffer. The compiler has a
 * `perm` arena (lives as long as the program) and scratch arenas; the runtime carves all its memory
 * from one arena when an engine is created. Not thread-safe: one arena, one thread at a time.
 */
#ifndef MP_BASE_ARENA_H
#define MP_BASE_ARENA_H

#include "base/str.h"

/* Where blocks come from; `alloc` answers NULL when there is none. */
struct mp_alloc {
    void *(*alloc)(void *ctx, size_t size);
    void (*free)(void *ctx, void *ptr, size_t size);
    void *ctx;
    void *(*alloc_zeroed)(void *ctx, size_t size); /* NULL: blocks of `alloc` are cleared by hand */
};

struct mp_arena_block;

struct mp_arena {
    const struct mp_alloc *from; /* NULL: fixed, never grows */
    struct mp_arena_block *blocks;
    char *at, *end;
    size_t used_bytes; /* handed out, padding included */
    size_t limit_bytes; /* 0: none */
};

/* An arena that grows from `from` (NULL: malloc) up to limit_bytes in all (0: no limit). */
void mp_arena_init(struct mp_arena *a, const struct mp_alloc *from, size_t limit_bytes);
/* An arena inside the caller's buffer. */
void mp_arena_init_fixed(struct mp_arena *a, void *buffer, size_t size_bytes);
/* Gives every block back; the arena is empty and may be used again. */
void mp_arena_free(struct mp_arena *a);
/* Zeroed memory, or NULL. `align` is a power of two, at most 4096. */
void *mp_arena_alloc(struct mp_arena *a, size_t size, size_t align);
/* Memory with anything in it: for large pieces whose owner clears each part when it is first
 * used, so that pages nobody needs are never touched. NULL on failure. */
void *mp_arena_alloc_raw(struct mp_arena *a, size_t size, size_t align);
/* Grows the newest piece in place where possible, else copies.
 * NULL on failure, old piece intact. */
void *mp_arena_grow(struct mp_arena *a, void *old, size_t old_size, size_t new_size, size_t align);
/* A copy of s in the arena, with a NUL behind it that is not counted; ptr NULL on failure. */
mp_str mp_arena_str(struct mp_arena *a, mp_str s);
mp_str mp_arena_printf(struct mp_arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define MP_NEW(arena, type, count)                                                                 \
    ((type *)mp_arena_alloc_array((arena), (count), sizeof(type), _Alignof(type)))

void *mp_arena_alloc_array(struct mp_arena *a, size_t count, size_t size, size_t align);

#endif
