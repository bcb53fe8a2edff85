/* SPDX-License-Identifier: Apache-2.0
 * str.h - text and bytes as pointer and length; never NUL-terminated inside mpol.
 */
#ifndef MP_BASE_STR_H
#define MP_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct mp_str {
    const char *ptr;
    size_t len;
} mp_str;

#define MP_STR(literal) ((mp_str){(literal), sizeof(literal) - 1})
#define MP_STR_INIT(literal) {(literal), sizeof(literal) - 1}
/* For printf's "%.*s". */
#define MP_STR_ARG(s) (int)(s).len, (s).ptr

static inline mp_str mp_str_of(const char *nul_terminated)
{
    return (mp_str){nul_terminated, nul_terminated ? strlen(nul_terminated) : 0};
}

static inline bool mp_str_eq(mp_str a, mp_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Bytewise order; a prefix comes first. Result <0, 0, >0. */
int mp_str_cmp(mp_str a, mp_str b);
bool mp_str_starts(mp_str s, mp_str prefix);
bool mp_str_ends(mp_str s, mp_str suffix);
bool mp_str_contains(mp_str s, mp_str part);
/* The part of s from `from`, at most `len` bytes; clipped to s. */
mp_str mp_str_sub(mp_str s, size_t from, size_t len);
/* The bytes of the control character that begins at s.ptr[at], in ASCII or in UTF-8: C0, DEL, C1,
 * line and paragraph separators, and those that turn the direction of writing. 0: it is none. Text
 * from outside must neither end a line of a log nor speak to a terminal. */
size_t mp_str_control(mp_str s, size_t at);
/* The bytes of the well-formed character of UTF-8 (RFC 3629) that begins at s.ptr[at], below
 * s.len: 1 to
 * 4; 0 where none does. */
size_t mp_str_utf8(mp_str s, size_t at);
/* Edit distance (insert, delete, replace, swap of neighbours; Damerau-Levenshtein restricted, as in
 * Boytsov 2011), or `limit + 1` where it is larger. Texts over 64 bytes answer limit + 1. */
unsigned mp_str_distance(mp_str a, mp_str b, unsigned limit);

struct mp_arena;

/* A growing text in an arena. Memory failure is remembered in `failed` and
 * asked once at the end. */
struct mp_buf {
    struct mp_arena *arena;
    char *ptr;
    size_t len, cap;
    bool failed;
};

void mp_buf_init(struct mp_buf *b, struct mp_arena *arena);
void mp_buf_put(struct mp_buf *b, mp_str s);
void mp_buf_puts(struct mp_buf *b, const char *nul_terminated);
void mp_buf_putc(struct mp_buf *b, char c);
void mp_buf_printf(struct mp_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is in the buffer; valid until the next put. */
static inline mp_str mp_buf_view(const struct mp_buf *b) { return (mp_str){b->ptr, b->len}; }

#endif
