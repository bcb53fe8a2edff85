/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/decimal.h"

#include <stdio.h>

#include "base/assert.h"

/* LIMIT: significant digits that are looked at. A double's rounding is decided by at most 767 of
 * them (Clinger, PLDI 1990); of the rest only matters whether any is not 0. */
#define DIGITS_MAX 800
#define LIMBS 140 /* 10^1145 × 2^32, shifted by 64: below 4,000 bits */

/* digits as an integer × 10^exponent */
struct parts {
    bool negative, more; /* more: a digit that is not 0 was cut off */
    uint8_t digits[DIGITS_MAX];
    uint32_t count; /* without zeros in front */
    int32_t exponent;
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void take_digit(struct parts *p, char c, bool fraction)
{
    if (p->count == 0 && c == '0') {
        p->exponent -= fraction;
        return;
    }
    if (p->count < DIGITS_MAX) {
        p->digits[p->count++] = (uint8_t)(c - '0');
        p->exponent -= fraction;
    } else {
        p->more |= c != '0';
        p->exponent += !fraction;
    }
}

static bool read_exponent(mp_str text, size_t at, int32_t *out)
{
    bool negative = at < text.len && text.ptr[at] == '-';
    if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+')) at++;
    if (at == text.len) return false;
    int32_t e = 0;
    for (; at < text.len; at++) {
        if (!is_digit(text.ptr[at])) return false;
        if (e < 100000) e = e * 10 + (text.ptr[at] - '0');
    }
    *out = negative ? -e : e;
    return true;
}

static bool read_parts(mp_str text, struct parts *p)
{
    p->negative = p->more = false;
    p->count = 0;
    p->exponent = 0;
    if (text.len > 1u << 20) return false; /* LIMIT: keeps exponents small */
    size_t at = 0;
    if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+')) {
        p->negative = text.ptr[at] == '-';
        at++;
    }
    size_t from = at;
    for (; at < text.len && is_digit(text.ptr[at]); at++) take_digit(p, text.ptr[at], false);
    if (at == from) return false;
    if (at < text.len && text.ptr[at] == '.') {
        from = ++at;
        for (; at < text.len && is_digit(text.ptr[at]); at++) take_digit(p, text.ptr[at], true);
        if (at == from) return false;
    }
    if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        int32_t e;
        if (!read_exponent(text, at + 1, &e)) return false;
        p->exponent += e;
        at = text.len;
    }
    return at == text.len;
}

/* ---- numbers of many limbs, least first ---- */
struct big {
    uint32_t limb[LIMBS];
    uint32_t len;
};

static void big_mul_add(struct big *b, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;
    for (uint32_t i = 0; i < b->len; i++) {
        carry += (uint64_t)b->limb[i] * factor;
        b->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0) {
        MP_ASSERT(b->len < LIMBS);
        b->limb[b->len++] = (uint32_t)carry;
    }
}

static void big_pow10(struct big *b, uint32_t exponent)
{
    for (; exponent >= 9; exponent -= 9) big_mul_add(b, 1000000000u, 0);
    for (; exponent > 0; exponent--) big_mul_add(b, 10, 0);
}

static uint32_t big_bits(const struct big *b)
{
    if (b->len == 0) return 0;
    return 32 * b->len - (uint32_t)__builtin_clz(b->limb[b->len - 1]);
}

static void big_shift_left(struct big *b, uint32_t bits)
{
    uint32_t limbs = bits / 32, rest = bits % 32;
    MP_ASSERT(b->len + limbs + 1 <= LIMBS);
    uint32_t len = b->len + limbs + 1;
    for (uint32_t i = len; i-- > 0;) {
        uint64_t high = i >= limbs && i - limbs < b->len ? b->limb[i - limbs] : 0;
        uint64_t low = i >= limbs + 1 && i - limbs - 1 < b->len ? b->limb[i - limbs - 1] : 0;
        b->limb[i] = (uint32_t)((((high << 32) | low) << rest) >> 32);
    }
    b->len = len;
    while (b->len > 0 && b->limb[b->len - 1] == 0) b->len--;
}

static void big_halve(struct big *b)
{
    for (uint32_t i = 0; i < b->len; i++) {
        uint32_t above = i + 1 < b->len ? b->limb[i + 1] : 0;
        b->limb[i] = (b->limb[i] >> 1) | (above << 31);
    }
    if (b->len > 0 && b->limb[b->len - 1] == 0) b->len--;
}

static bool big_less(const struct big *a, const struct big *b)
{
    if (a->len != b->len) return a->len < b->len;
    for (uint32_t i = a->len; i-- > 0;) {
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i];
    }
    return false;
}

static void big_sub(struct big *a, const struct big *b)
{
    int64_t borrow = 0;
    for (uint32_t i = 0; i < a->len; i++) {
        borrow += (int64_t)a->limb[i] - (i < b->len ? (int64_t)b->limb[i] : 0);
        a->limb[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    while (a->len > 0 && a->limb[a->len - 1] == 0) a->len--;
}

/* q × 2^exponent, with q of `bits` bits and maybe more below it, to the nearest double. */
static bool round_to_double(uint64_t q, bool more, int32_t exponent, double *out)
{
    int32_t bits = 64 - __builtin_clzll(q);
    int32_t top = bits - 1 + exponent; /* the value lies in [2^top, 2^(top+1)) */
    if (top > 1023) return false;
    int32_t precision = top >= -1022 ? 53 : 53 - (-1022 - top);
    if (precision < 0) {
        *out = 0;
        return true;
    }
    int32_t drop = bits - precision; /* 10 to 64: q has at least 63 bits */
    uint64_t m = drop == 64 ? 0 : q >> drop;
    uint64_t rest = drop == 64 ? q : q & (((uint64_t)1 << drop) - 1);
    uint64_t half = (uint64_t)1 << (drop - 1);
    m += rest > half || (rest == half && (more || (m & 1) != 0));
    uint64_t word = m; /* below the normal range a carry makes the smallest normal by itself */
    if (top >= -1022) {
        if (m == (uint64_t)1 << 53) {
            m >>= 1;
            top += 1;
        }
        if (top > 1023) return false;
        word = ((uint64_t)(top + 1023) << 52) | (m & (((uint64_t)1 << 52) - 1));
    }
    memcpy(out, &word, sizeof word);
    return true;
}

static bool divide_exactly(const struct parts *p, int32_t exponent, uint32_t divisor, double *out)
{
    struct big n = {{0}, 0}, d = {{1}, 1};
    for (uint32_t i = 0; i < p->count; i++) big_mul_add(&n, 10, p->digits[i]);
    if (p->more) { /* a last digit that stands for all that was cut off */
        big_mul_add(&n, 10, 1);
        exponent -= 1;
    }
    if (exponent > 0) big_pow10(&n, (uint32_t)exponent);
    if (exponent < 0) big_pow10(&d, (uint32_t)-exponent);
    big_mul_add(&d, divisor, 0);

    /* Shift until the quotient has 63 or 64 bits. */
    int32_t shift = 63 - ((int32_t)big_bits(&n) - (int32_t)big_bits(&d));
    if (shift > 0) big_shift_left(&n, (uint32_t)shift);
    if (shift < 0) big_shift_left(&d, (uint32_t)-shift);
    big_shift_left(&d, 63);
    uint64_t q = 0;
    for (int i = 0; i < 64; i++) {
        q <<= 1;
        if (!big_less(&n, &d)) {
            big_sub(&n, &d);
            q |= 1;
        }
        big_halve(&d);
    }
    return round_to_double(q, n.len != 0, -shift, out);
}

/* Up to 2^53 and 10^22 integers and powers are exact doubles, so one division rounds once. */
static bool divide_fast(const struct parts *p, int32_t exponent, uint32_t divisor, double *out)
{
    if (p->count > 15 || exponent < -15 || exponent > 15) return false;
    uint64_t m = 0, scale = 1;
    for (uint32_t i = 0; i < p->count; i++) m = m * 10 + p->digits[i];
    for (int32_t e = exponent < 0 ? -exponent : exponent; e > 0; e--) scale *= 10;
    uint64_t n = m, d = divisor;
    if (exponent >= 0 && __builtin_mul_overflow(m, scale, &n)) return false;
    if (exponent < 0 && __builtin_mul_overflow(scale, (uint64_t)divisor, &d)) return false;
    if (n > (uint64_t)1 << 53 || d > (uint64_t)1 << 53) return false;
    *out = (double)n / (double)d;
    return true;
}

bool mp_decimal(mp_str text, int shift, uint32_t divisor, double *out)
{
    MP_ASSERT(divisor != 0 && shift >= -400 && shift <= 400);
    struct parts p;
    if (!read_parts(text, &p)) return false;
    double f = 0;
    int32_t exponent = p.exponent + shift;
    int32_t magnitude = exponent + (int32_t)p.count; /* the value is below 10^magnitude */
    if (p.count != 0 && magnitude > 330) return false;
    if (p.count != 0 && magnitude > -345 && !divide_fast(&p, exponent, divisor, &f)) {
        if (!divide_exactly(&p, exponent, divisor, &f)) return false;
    }
    *out = p.negative ? -f : f;
    return true;
}

bool mp_decimal_int(mp_str text, int shift, int64_t factor, int64_t *out)
{
    struct parts p;
    if (!read_parts(text, &p) || p.more) return false;
    /* Zeros at the end say nothing, and would make an exact fraction look like one too fine. */
    int32_t exponent = p.exponent + shift;
    while (p.count > 0 && p.digits[p.count - 1] == 0) {
        p.count--;
        exponent++;
    }
    if (p.count > 38 || exponent < -38 || (p.count != 0 && exponent > 38)) return false;
    __int128 n = 0;
    for (uint32_t i = 0; i < p.count; i++) n = n * 10 + p.digits[i];
    if (n == 0) {
        *out = 0;
        return true;
    }
    if (__builtin_mul_overflow(n, (__int128)factor, &n)) return false;
    for (; exponent > 0; exponent--) {
        if (__builtin_mul_overflow(n, (__int128)10, &n)) return false;
    }
    for (; exponent < 0; exponent++) {
        if (n % 10 != 0) return false;
        n /= 10;
    }
    if (p.negative) n = -n;
    if (n < INT64_MIN || n > INT64_MAX) return false;
    *out = (int64_t)n;
    return true;
}

uint32_t mp_decimal_digits(double f, int precision, char digits[20], int *point)
{
    MP_ASSERT(precision >= 1 && precision <= 17);
    /* The C library rounds correctly; its separator depends on the locale, so only digits are
     * read. */
    char text[48];
    snprintf(text, sizeof text, "%.*e", precision - 1, f < 0 ? -f : f);
    uint32_t count = 0;
    const char *at = text;
    for (; *at != 'e' && *at != '\0'; at++) {
        if (is_digit(*at)) digits[count++] = *at;
    }
    int exponent = 0;
    bool negative = at[0] == 'e' && at[1] == '-';
    for (at += at[0] == 'e' ? 2 : 0; is_digit(*at); at++) exponent = exponent * 10 + (*at - '0');
    while (count > 1 && digits[count - 1] == '0') count--;
    *point = (negative ? -exponent : exponent) + 1;
    return count;
}

size_t mp_decimal_write(const char *digits, uint32_t count, int point, char out[48])
{
    MP_ASSERT(count >= 1 && count <= 20);
    size_t n = 0;
    if (count == 1 && digits[0] == '0') {
        out[n++] = '0';
    } else if (point > 21 || point < -5) {
        out[n++] = digits[0];
        if (count > 1) out[n++] = '.';
        for (uint32_t i = 1; i < count; i++) out[n++] = digits[i];
        n += (size_t)snprintf(out + n, 48 - n, "e%d", point - 1);
    } else {
        int lead = point > 0 ? point : 1; /* digits before the point, at least a 0 */
        for (int i = 0; i < lead; i++) {
            int at = point > 0 ? i : -1;
            out[n++] = at >= 0 && at < (int)count ? digits[at] : '0';
        }
        if ((int)count > point) out[n++] = '.';
        for (int i = point; i < 0; i++) out[n++] = '0';
        for (int i = point > 0 ? point : 0; i < (int)count; i++) out[n++] = digits[i];
    }
    return n;
}
