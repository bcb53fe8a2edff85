/* SPDX-License-Identifier: Apache-2.0 */
#include "base/quote.h"

static mp_str escaped(unsigned char c, char room[MP_QUOTE_MAX])
{
    static const char hex[] = "0123456789abcdef";
    const char letter = c == '\n' ? 'n' : c == '\t' ? 't' : c >= 0x20 && c != 0x7f ? (char)c : 0;
    memcpy(room, "\\u00", 4);
    if (letter != 0) {
        room[1] = letter;
        return (mp_str){room, 2};
    }
    room[4] = hex[c >> 4];
    room[5] = hex[c & 15];
    return (mp_str){room, 6};
}

mp_str mp_quote_next(mp_str s, size_t *at, char room[MP_QUOTE_MAX])
{
    size_t from = *at, len = mp_str_utf8(s, from);
    unsigned char c = (unsigned char)s.ptr[from];
    *at += len > 0 ? len : 1;
    if (len == 0) return MP_STR("\xef\xbf\xbd");
    if (c < 0x20 || c == 0x7f || c == '"' || c == '\\') return escaped(c, room);
    return (mp_str){s.ptr + from, len};
}

void mp_quote(struct mp_buf *out, mp_str s)
{
    char room[MP_QUOTE_MAX];
    mp_buf_putc(out, '"');
    for (size_t at = 0; at < s.len;) mp_buf_put(out, mp_quote_next(s, &at, room));
    mp_buf_putc(out, '"');
}
