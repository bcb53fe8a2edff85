/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/arena.h"

int mp_str_cmp(mp_str a, mp_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    if (order != 0) return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool mp_str_starts(mp_str s, mp_str prefix)
{
    return s.len >= prefix.len && mp_str_eq(mp_str_sub(s, 0, prefix.len), prefix);
}

bool mp_str_ends(mp_str s, mp_str suffix)
{
    return s.len >= suffix.len && mp_str_eq(mp_str_sub(s, s.len - suffix.len, suffix.len), suffix);
}

bool mp_str_contains(mp_str s, mp_str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++) {
        if (mp_str_eq(mp_str_sub(s, i, part.len), part)) return true;
    }
    return false;
}

mp_str mp_str_sub(mp_str s, size_t from, size_t len)
{
    if (from > s.len) from = s.len;
    if (len > s.len - from) len = s.len - from;
    return (mp_str){s.len != 0 ? s.ptr + from : s.ptr, len}; /* NULL + 0 is not C */
}

size_t mp_str_control(mp_str s, size_t at)
{
    unsigned char c[3] = {0};
    memcpy(c, s.ptr + at, s.len - at < 3 ? s.len - at : 3);
    if (c[0] < 0x20 || c[0] == 0x7f) return 1;
    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f) return 2;
    if (c[0] == 0xe2 && c[1] == 0x80 && c[2] >= 0xa8 && c[2] <= 0xae) return 3;
    if (c[0] == 0xe2 && c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9) return 3;
    return 0;
}

size_t mp_str_utf8(mp_str s, size_t at)
{
    unsigned char c[4] = {0}; /* zeros, which continue nothing, behind the end */
    memcpy(c, s.ptr + at, s.len - at < 4 ? s.len - at : 4);
    size_t len = c[0] < 0x80   ? 1
                 : c[0] < 0xc2 ? 0
                 : c[0] < 0xe0 ? 2
                 : c[0] < 0xf0 ? 3
                 : c[0] < 0xf5 ? 4
                               : 0;
    for (size_t i = 1; i < len; i++) {
        if ((c[i] & 0xc0) != 0x80) return 0;
    }
    bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
    bool surrogate = c[0] == 0xed && c[1] > 0x9f, beyond = c[0] == 0xf4 && c[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : len;
}

#define DISTANCE_MAX 64

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

unsigned mp_str_distance(mp_str a, mp_str b, unsigned limit)
{
    if (a.len > DISTANCE_MAX || b.len > DISTANCE_MAX) return limit + 1;
    unsigned rows[3][DISTANCE_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.len; j++) above[j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned swap = a.ptr[i - 1] != b.ptr[j - 1];
            now[j] = min3(above[j] + 1, now[j - 1] + 1, above[j - 1] + swap);
            bool twisted = i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] &&
                           a.ptr[i - 2] == b.ptr[j - 1];
            if (twisted && before[j - 2] + 1 < now[j]) now[j] = before[j - 2] + 1;
        }
        unsigned *spare = before;
        before = above;
        above = now;
        now = spare;
    }
    return above[b.len] > limit ? limit + 1 : above[b.len];
}

void mp_buf_init(struct mp_buf *b, struct mp_arena *arena) { *b = (struct mp_buf){.arena = arena}; }

static bool buf_room(struct mp_buf *b, size_t more)
{
    if (b->failed) return false;
    if (b->cap - b->len > more) return true;
    size_t cap = b->cap == 0 ? 128 : b->cap;
    while (cap - b->len <= more) cap *= 2;
    char *grown = mp_arena_grow(b->arena, b->ptr, b->cap, cap, 1);
    b->failed = grown == NULL;
    if (b->failed) return false;
    b->ptr = grown;
    b->cap = cap;
    return true;
}

void mp_buf_put(struct mp_buf *b, mp_str s)
{
    if (s.len == 0 || !buf_room(b, s.len)) return;
    memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
}

void mp_buf_puts(struct mp_buf *b, const char *nul_terminated)
{
    mp_buf_put(b, mp_str_of(nul_terminated));
}

void mp_buf_putc(struct mp_buf *b, char c) { mp_buf_put(b, (mp_str){&c, 1}); }

void mp_buf_printf(struct mp_buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        b->failed = true;
        return;
    }
    if (!buf_room(b, (size_t)len)) return;
    va_start(args, format);
    vsnprintf(b->ptr + b->len, b->cap - b->len, format, args);
    va_end(args);
    b->len += (size_t)len;
}
