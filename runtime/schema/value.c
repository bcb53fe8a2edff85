/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/value.h"

#include "base/assert.h"

struct type_row {
    mp_str word, noun;
    enum mp_rep rep;
};

static const struct type_row types[MP_TYPE_COUNT] = {
#define TYPE(name, word, rep, noun) {MP_STR_INIT(word), MP_STR_INIT(noun), MP_REP_##rep},
#include "schema/types.def"
#undef TYPE
};

enum mp_rep mp_type_rep(enum mp_type type)
{
    MP_ASSERT((unsigned)type < MP_TYPE_COUNT);
    return types[type].rep;
}

mp_str mp_type_word(enum mp_type type)
{
    MP_ASSERT((unsigned)type < MP_TYPE_COUNT);
    return types[type].word;
}

mp_str mp_type_noun(enum mp_type type)
{
    MP_ASSERT((unsigned)type < MP_TYPE_COUNT);
    return types[type].noun;
}

/* ---- text ---- */

/* The first bytes lie behind the length, so that short text is bytes 4 to 15 of the value. */
#define TEXT_AT 4

struct mp_value mp_value_text(mp_str bytes)
{
    MP_ASSERT(bytes.len <= UINT32_MAX);
    struct mp_value v = {{bytes.len, 0}};
    char *at = (char *)&v + TEXT_AT;
    if (bytes.len <= MP_TEXT_INLINE) {
        if (bytes.len != 0) memcpy(at, bytes.ptr, bytes.len);
        return v;
    }
    memcpy(at, bytes.ptr, 4);
    v.w[1] = (uint64_t)(uintptr_t)bytes.ptr;
    return v;
}

mp_str mp_value_as_text(const struct mp_value *v)
{
    uint32_t len = mp_value_text_len(*v);
    if (len <= MP_TEXT_INLINE) return (mp_str){(const char *)v + TEXT_AT, len};
    return (mp_str){(const char *)(uintptr_t)v->w[1], len};
}

bool mp_value_text_eq(struct mp_value a, struct mp_value b)
{
    if (a.w[0] != b.w[0]) return false; /* length, or one of the first four bytes */
    if (a.w[1] == b.w[1]) return true;
    if (mp_value_text_len(a) <= MP_TEXT_INLINE) return false;
    return mp_str_eq(mp_value_as_text(&a), mp_value_as_text(&b));
}

/* ---- order ---- */

static uint64_t network_word(uint64_t w) { return __builtin_bswap64(w); }

bool mp_value_eq(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    switch (rep) {
    case MP_REP_N: return true;
    case MP_REP_B:
    case MP_REP_I: return a.w[0] == b.w[0];
    case MP_REP_F: return mp_value_as_num(a) == mp_value_as_num(b);
    case MP_REP_T: return mp_value_text_eq(a, b);
    case MP_REP_A: return a.w[0] == b.w[0] && a.w[1] == b.w[1];
    case MP_REP_S: break;
    }
    MP_UNREACHABLE("sets are not compared");
}

static int words_cmp(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

int mp_value_cmp(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    switch (rep) {
    case MP_REP_N: return 0;
    case MP_REP_B: return words_cmp(a.w[0], b.w[0]);
    case MP_REP_I: {
        int64_t x = mp_value_as_int(a), y = mp_value_as_int(b);
        return (x > y) - (x < y);
    }
    case MP_REP_F: {
        double x = mp_value_as_num(a), y = mp_value_as_num(b);
        return (x > y) - (x < y);
    }
    case MP_REP_T: return mp_str_cmp(mp_value_as_text(&a), mp_value_as_text(&b));
    case MP_REP_A: {
        int high = words_cmp(network_word(a.w[0]), network_word(b.w[0]));
        return high != 0 ? high : words_cmp(network_word(a.w[1]), network_word(b.w[1]));
    }
    case MP_REP_S: break;
    }
    MP_UNREACHABLE("sets are not compared");
}

/* ---- addresses ---- */

static uint64_t mask_of(uint32_t bits)
{
    return bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : UINT64_MAX << (64 - bits);
}

bool mp_value_in_net(struct mp_value v, struct mp_value net, uint32_t bits)
{
    uint64_t high = network_word(v.w[0] ^ net.w[0]) & mask_of(bits);
    uint64_t low = network_word(v.w[1] ^ net.w[1]) & mask_of(bits > 64 ? bits - 64 : 0);
    return (high | low) == 0;
}

struct mp_value mp_value_net(struct mp_value v, uint32_t bits)
{
    uint64_t high = network_word(mask_of(bits)),
             low = network_word(mask_of(bits > 64 ? bits - 64 : 0));
    return (struct mp_value){{v.w[0] & high, v.w[1] & low}};
}

static bool take_decimal(mp_str s, size_t *at, uint32_t max, uint32_t *out)
{
    size_t from = *at;
    uint32_t n = 0;
    while (*at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9') {
        n = n * 10 + (uint32_t)(s.ptr[*at] - '0');
        *at += 1;
        if (n > max || *at - from > 3) return false;
    }
    /* No zeros in front: some readers take `010` as octal, and two readings of one address are one
     * too many (RFC 6943 §3.1.1). */
    if (*at == from || (s.ptr[from] == '0' && *at - from > 1)) return false;
    *out = n;
    return true;
}

static bool take_v4(mp_str s, size_t *at, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        uint32_t part;
        if (i > 0) {
            if (*at >= s.len || s.ptr[*at] != '.') return false;
            *at += 1;
        }
        if (!take_decimal(s, at, 255, &part)) return false;
        out[i] = (uint8_t)part;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One group of up to four hexadecimal digits; 0 digits is no group. */
static uint32_t take_group(mp_str s, size_t *at, uint32_t *out)
{
    uint32_t digits = 0;
    *out = 0;
    while (digits < 4 && *at < s.len && hex_value(s.ptr[*at]) >= 0) {
        *out = *out << 4 | (uint32_t)hex_value(s.ptr[*at]);
        *at += 1;
        digits++;
    }
    return digits;
}

/* Does dotted decimal begin here? Only the last 32 bits may be written so (RFC 4291 §2.2). */
static bool dotted_ahead(mp_str s, size_t at)
{
    while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9') at++;
    return at < s.len && s.ptr[at] == '.';
}

static bool take_v6(mp_str s, size_t *at, uint8_t out[16])
{
    uint8_t bytes[16] = {0};
    uint32_t len = 0, gap = UINT32_MAX;
    if (s.len - *at >= 2 && s.ptr[*at] == ':' && s.ptr[*at + 1] == ':') {
        gap = 0;
        *at += 2;
    }
    while (len < 16 && *at < s.len && hex_value(s.ptr[*at]) >= 0) {
        if (len <= 12 && dotted_ahead(s, *at)) {
            if (!take_v4(s, at, bytes + len)) return false;
            len += 4;
            break;
        }
        uint32_t group;
        if (take_group(s, at, &group) == 0) return false;
        bytes[len++] = (uint8_t)(group >> 8);
        bytes[len++] = (uint8_t)group;
        if (*at >= s.len || s.ptr[*at] != ':') break;
        if (*at + 1 < s.len && s.ptr[*at + 1] == ':') {
            if (gap != UINT32_MAX) return false;
            gap = len;
            *at += 2;
        } else {
            *at += 1;
            if (len == 16 || *at >= s.len || hex_value(s.ptr[*at]) < 0) return false;
        }
    }
    if (gap == UINT32_MAX) {
        if (len != 16) return false;
        memcpy(out, bytes, 16);
        return true;
    }
    if (len >= 16) return false; /* `::` stands for at least one group */
    memset(out, 0, 16);
    memcpy(out, bytes, gap);
    memcpy(out + 16 - (len - gap), bytes + gap, len - gap);
    return true;
}

bool mp_value_address(mp_str text, struct mp_value *out, uint32_t *bits)
{
    uint8_t bytes[16] = {0};
    size_t at = 0;
    bool v4 = memchr(text.ptr == NULL ? "" : text.ptr, ':', text.len) == NULL;
    if (v4) {
        bytes[10] = bytes[11] = 0xff;
        if (!take_v4(text, &at, bytes + 12)) return false;
    } else if (!take_v6(text, &at, bytes)) {
        return false;
    }
    uint32_t prefix = v4 ? 32 : 128;
    if (at < text.len) {
        if (text.ptr[at++] != '/' || !take_decimal(text, &at, v4 ? 32 : 128, &prefix)) return false;
    }
    if (at != text.len) return false;
    memcpy(out, bytes, sizeof bytes);
    *bits = v4 ? prefix + 96 : prefix;
    return true;
}

static size_t put_decimal(char *out, uint32_t n)
{
    char digits[10];
    size_t count = 0, len = 0;
    do {
        digits[count++] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    while (count > 0) out[len++] = digits[--count];
    return len;
}

static size_t put_v4(char *out, const uint8_t *bytes)
{
    size_t len = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0) out[len++] = '.';
        len += put_decimal(out + len, bytes[i]);
    }
    return len;
}

static size_t put_group(char *out, uint32_t group)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = 0;
    for (int shift = 12; shift >= 0; shift -= 4) {
        uint32_t digit = group >> shift & 15;
        if (len > 0 || digit != 0 || shift == 0) out[len++] = hex[digit];
    }
    return len;
}

/* RFC 5952: lower case, no zeros in front, `::` for the longest run of two or more zero groups, the
 * first of equals; IPv4 in its own way of writing. */
size_t mp_value_address_text(struct mp_value v, char out[48])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    uint8_t bytes[16];
    memcpy(bytes, &v, sizeof bytes);
    if (memcmp(bytes, mapped, sizeof mapped) == 0) return put_v4(out, bytes + 12);

    uint32_t group[8], gap = 8, gap_len = 1, run = 0;
    for (uint32_t i = 0; i < 8; i++) {
        group[i] = (uint32_t)bytes[2 * i] << 8 | bytes[2 * i + 1];
        run = group[i] == 0 ? run + 1 : 0;
        if (run > gap_len) {
            gap = i + 1 - run;
            gap_len = run;
        }
    }
    size_t len = 0;
    for (uint32_t i = 0; i < 8; i++) {
        if (i == gap) {
            out[len++] = ':';
            out[len++] = ':';
            i += gap_len - 1;
            continue;
        }
        if (len > 0 && out[len - 1] != ':') out[len++] = ':';
        len += put_group(out + len, group[i]);
    }
    return len;
}

/* ---- patterns ---- */

/* One character of UTF-8; a byte that begins none is a character of its own. */
static size_t char_bytes(mp_str s, size_t at)
{
    uint8_t lead = (uint8_t)s.ptr[at];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    size_t len = 1;
    while (len < want && at + len < s.len && ((uint8_t)s.ptr[at + len] & 0xc0) == 0x80) len++;
    return len;
}

/* The last `*` is the only one that needs another try, so there is no recursion. */
bool mp_value_like(mp_str text, mp_str pattern)
{
    size_t t = 0, p = 0, star = SIZE_MAX, retry = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            retry = t;
        } else if (p < pattern.len && pattern.ptr[p] == '?') {
            t += char_bytes(text, t);
            p += 1;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            t += 1;
            p += 1;
        } else if (star != SIZE_MAX) {
            retry += char_bytes(text, retry);
            t = retry;
            p = star;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') p++;
    return p == pattern.len;
}
