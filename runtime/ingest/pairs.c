/* SPDX-License-Identifier: Apache-2.0
 * `a=1&b=2` of a query and `a=1; b=2` of cookies: the values of one name. All who take a request
 * apart do it here, so that none of them sees another value.
 */
#include "ingest/ingest.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The piece before `stop`; *rest is what is behind it. */
static mp_str piece(mp_str *rest, char stop)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, stop, rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    mp_str before = mp_str_sub(*rest, 0, len);
    *rest = mp_str_sub(*rest, end != NULL ? len + 1 : len, rest->len);
    return before;
}

/* The character at *at of a name or a value, and *at behind it: `%41` is A, `+` a blank. What is no
 * such escape stands for itself. */
static char character(mp_str s, enum mp_pairs kind, size_t *at)
{
    char c = s.ptr[(*at)++];
    if (kind != MP_PAIRS_QUERY) return c;
    if (c == '+') return ' ';
    bool escape = c == '%' && s.len - *at >= 2 && hex(s.ptr[*at]) >= 0 && hex(s.ptr[*at + 1]) >= 0;
    if (!escape) return c;
    *at += 2;
    return (char)(hex(s.ptr[*at - 2]) * 16 + hex(s.ptr[*at - 1]));
}

static bool is_name(mp_str raw, enum mp_pairs kind, mp_str name)
{
    size_t at = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (at == raw.len || character(raw, kind, &at) != name.ptr[i]) return false;
    }
    return at == raw.len;
}

static void put(struct mp_joined *to, char c)
{
    to->full |= to->len == to->size;
    if (!to->full) to->at[to->len++] = c;
}

void mp_pairs_join(enum mp_pairs kind, mp_str text, mp_str name, struct mp_joined *to)
{
    while (text.len > 0) {
        mp_str value = piece(&text, kind == MP_PAIRS_QUERY ? '&' : ';');
        while (value.len > 0 && value.ptr[0] == ' ') value = mp_str_sub(value, 1, value.len);
        if (!is_name(piece(&value, '='), kind, name)) continue;
        if (to->count++ > 0) {
            put(to, ',');
            put(to, ' ');
        }
        for (size_t at = 0; at < value.len;) put(to, character(value, kind, &at));
    }
}
