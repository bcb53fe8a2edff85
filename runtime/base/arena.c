/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define BLOCK_BYTES (64u * 1024u)
#define ALIGN_MAX 4096u

struct mp_arena_block {
    struct mp_arena_block *next;
    size_t size;
};

static void *block_take(const struct mp_alloc *from, size_t size, bool zeroed)
{
    if (from->alloc == NULL) return zeroed ? calloc(1, size) : malloc(size);
    return zeroed ? from->alloc_zeroed(from->ctx, size) : from->alloc(from->ctx, size);
}

static void block_give(const struct mp_alloc *from, struct mp_arena_block *b)
{
    if (from->free != NULL) {
        from->free(from->ctx, b, b->size);
    } else {
        free(b);
    }
}

void mp_arena_init(struct mp_arena *a, const struct mp_alloc *from, size_t limit_bytes)
{
    static const struct mp_alloc from_libc = {0};
    *a = (struct mp_arena){.from = from != NULL ? from : &from_libc, .limit_bytes = limit_bytes};
}

void mp_arena_init_fixed(struct mp_arena *a, void *buffer, size_t size_bytes)
{
    *a = (struct mp_arena){.at = buffer, .end = (char *)buffer + size_bytes};
}

void mp_arena_free(struct mp_arena *a)
{
    struct mp_arena_block *b = a->blocks;
    while (b != NULL) {
        struct mp_arena_block *next = b->next;
        block_give(a->from, b);
        b = next;
    }
    const struct mp_alloc *from = a->from;
    *a = (struct mp_arena){.from = from, .limit_bytes = a->limit_bytes};
}

static bool block_add(struct mp_arena *a, size_t wanted, bool zeroed)
{
    if (a->from == NULL) return false;
    size_t head = sizeof(struct mp_arena_block);
    size_t size = wanted > BLOCK_BYTES - head ? wanted + head : BLOCK_BYTES;
    if (size < wanted) return false;
    if (a->limit_bytes != 0 && a->used_bytes + wanted > a->limit_bytes) return false;
    struct mp_arena_block *b = block_take(a->from, size, zeroed);
    if (b == NULL) return false;
    *b = (struct mp_arena_block){.next = a->blocks, .size = size};
    a->blocks = b;
    a->at = (char *)b + head;
    a->end = (char *)b + size;
    return true;
}

static char *align_up(char *p, size_t align)
{
    return (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
}

static void *alloc(struct mp_arena *a, size_t size, size_t align, bool *zeroed);

void *mp_arena_alloc(struct mp_arena *a, size_t size, size_t align)
{
    bool zeroed = false;
    void *p = alloc(a, size, align, &zeroed);
    if (p != NULL && !zeroed) memset(p, 0, size);
    return p;
}

void *mp_arena_alloc_raw(struct mp_arena *a, size_t size, size_t align)
{
    return alloc(a, size, align, NULL);
}

/* *zeroed, if it is asked for: is it a block of its own, fresh and all zeros? Such pages are not
 * touched before they are used. */
static void *alloc(struct mp_arena *a, size_t size, size_t align, bool *zeroed)
{
    MP_ASSERT(align != 0 && (align & (align - 1)) == 0 && align <= ALIGN_MAX);
    if (size == 0) size = 1;
    if (size > SIZE_MAX / 2) return NULL;
    char *p = a->at != NULL ? align_up(a->at, align) : NULL;
    if (p == NULL || p > a->end || (size_t)(a->end - p) < size) {
        bool own = zeroed != NULL && size >= BLOCK_BYTES && a->from != NULL &&
                   (a->from->alloc == NULL || a->from->alloc_zeroed != NULL);
        if (!block_add(a, size + align, own)) return NULL;
        if (zeroed != NULL) *zeroed = own;
        p = align_up(a->at, align);
    }
    a->used_bytes += (size_t)(p + size - a->at);
    a->at = p + size;
    return p;
}

void *mp_arena_alloc_array(struct mp_arena *a, size_t count, size_t size, size_t align)
{
    if (size != 0 && count > SIZE_MAX / 2 / size) return NULL;
    return mp_arena_alloc(a, count * size, align);
}

void *mp_arena_grow(struct mp_arena *a, void *old, size_t old_size, size_t new_size, size_t align)
{
    MP_ASSERT(new_size >= old_size);
    char *end_of_old = old == NULL ? NULL : (char *)old + old_size;
    bool newest = old_size != 0 && end_of_old != NULL && end_of_old == a->at;
    if (newest && (size_t)(a->end - a->at) >= new_size - old_size) {
        a->used_bytes += new_size - old_size;
        a->at += new_size - old_size;
        memset(end_of_old, 0, new_size - old_size);
        return old;
    }
    void *fresh = mp_arena_alloc(a, new_size, align);
    if (fresh != NULL && old_size != 0) memcpy(fresh, old, old_size);
    return fresh;
}

mp_str mp_arena_str(struct mp_arena *a, mp_str s)
{
    char *copy = mp_arena_alloc(a, s.len + 1, 1);
    if (copy == NULL) return (mp_str){NULL, 0};
    if (s.len != 0) memcpy(copy, s.ptr, s.len);
    return (mp_str){copy, s.len};
}

mp_str mp_arena_printf(struct mp_arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) return (mp_str){NULL, 0};
    char *text = mp_arena_alloc(a, (size_t)len + 1, 1);
    if (text == NULL) return (mp_str){NULL, 0};
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return (mp_str){text, (size_t)len};
}
