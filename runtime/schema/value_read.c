/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/decimal.h"
#include "schema/value.h"

/* What may stand behind a number, and what it makes of it: × 10^shift × factor ÷ divisor. */
struct suffix {
    mp_str text;
    int shift;
    int64_t factor;
    uint32_t divisor;
};

#define SUFFIX(text, shift, factor, divisor) {MP_STR_INIT(text), shift, factor, divisor}

static const struct suffix rates[] = {
    SUFFIX("/s", 0, 1, 1), SUFFIX("/min", 0, 1, 60), SUFFIX("/h", 0, 1, 3600),
    SUFFIX("/d", 0, 1, 86400), {{0}}};
static const struct suffix sizes[] = {SUFFIX("B", 0, 1, 1),         SUFFIX("KB", 3, 1, 1),
                                      SUFFIX("MB", 6, 1, 1),        SUFFIX("GB", 9, 1, 1),
                                      SUFFIX("KiB", 0, 1 << 10, 1), SUFFIX("MiB", 0, 1 << 20, 1),
                                      SUFFIX("GiB", 0, 1 << 30, 1), {{0}}};
static const struct suffix times[] = {
    SUFFIX("ns", 0, 1, 1), SUFFIX("us", 0, 1000, 1), SUFFIX("ms", 0, 1000000, 1),
    SUFFIX("s", 0, 1000000000, 1), SUFFIX("m", 0, 60000000000, 1), SUFFIX("h", 0, 3600000000000, 1),
    SUFFIX("d", 0, 86400000000000, 1), SUFFIX("w", 0, 604800000000000, 1), {{0}}};
static const struct suffix powers[] = {
    SUFFIX("", 0, 1, 1), SUFFIX("k", 3, 1, 1), SUFFIX("M", 6, 1, 1), {{0}}};

/* The bytes of s from `at` on that can belong to a number. */
static size_t number_end(mp_str s, size_t at)
{
    if (at < s.len && (s.ptr[at] == '-' || s.ptr[at] == '+')) at++;
    while (at < s.len && ((s.ptr[at] >= '0' && s.ptr[at] <= '9') || s.ptr[at] == '.')) at++;
    return at;
}

static const struct suffix *suffix_of(const struct suffix *table, mp_str text)
{
    for (const struct suffix *s = table; s->text.ptr != NULL; s++) {
        if (mp_str_eq(s->text, text)) return s;
    }
    return NULL;
}

bool mp_value_number(mp_str text, double *out) { return mp_decimal(text, 0, 1, out); }

static bool read_int(mp_str text, int64_t low, int64_t high, struct mp_value *out)
{
    size_t end = number_end(text, 0);
    const struct suffix *power = suffix_of(powers, mp_str_sub(text, end, text.len));
    int64_t n;
    if (power == NULL || !mp_decimal_int(mp_str_sub(text, 0, end), power->shift, 1, &n))
        return false;
    if (n < low || n > high) return false;
    *out = mp_value_int(n);
    return true;
}

static bool read_number(mp_str text, struct mp_value *out)
{
    double f;
    size_t end = number_end(text, 0);
    const struct suffix *power = suffix_of(powers, mp_str_sub(text, end, text.len));
    bool plain = power == NULL; /* maybe with an exponent */
    if (!mp_decimal(plain ? text : mp_str_sub(text, 0, end), plain ? 0 : power->shift, 1, &f)) {
        return false;
    }
    *out = mp_value_num(f);
    return true;
}

static bool read_percent(mp_str text, struct mp_value *out)
{
    double f;
    if (text.len == 0 || text.ptr[text.len - 1] != '%') return false;
    if (!mp_decimal(mp_str_sub(text, 0, text.len - 1), -2, 1, &f)) return false;
    *out = mp_value_num(f);
    return true;
}

/* A sum of numbers with units, all of one sign: `1h30m`. */
static bool read_duration(mp_str text, struct mp_value *out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t at = negative;
    int64_t sum = 0;
    if (at == text.len) return false;
    while (at < text.len) {
        size_t end = number_end(text, at), unit_end = end;
        while (unit_end < text.len && text.ptr[unit_end] >= 'a' && text.ptr[unit_end] <= 'z')
            unit_end++;
        const struct suffix *unit = suffix_of(times, mp_str_sub(text, end, unit_end - end));
        int64_t part;
        if (unit == NULL || text.ptr[at] == '-' || text.ptr[at] == '+') return false;
        /* Negative from the start, so that the smallest int64 can be read. */
        if (!mp_decimal_int(mp_str_sub(text, at, end - at), 0,
                            negative ? -unit->factor : unit->factor, &part)) {
            return false;
        }
        if (__builtin_add_overflow(sum, part, &sum)) return false;
        at = unit_end;
    }
    *out = mp_value_int(sum);
    return true;
}

static bool read_rate(mp_str text, struct mp_value *out)
{
    double f;
    const char *slash = text.len == 0 ? NULL : memchr(text.ptr, '/', text.len);
    if (slash == NULL) return false;
    size_t at = (size_t)(slash - text.ptr), end = number_end(text, 0);
    const struct suffix *per = suffix_of(rates, mp_str_sub(text, at, text.len));
    const struct suffix *power = suffix_of(powers, mp_str_sub(text, end, at > end ? at - end : 0));
    if (per == NULL) return false;
    mp_str number = mp_str_sub(text, 0, power == NULL ? at : end); /* maybe with an exponent */
    if (!mp_decimal(number, power == NULL ? 0 : power->shift, per->divisor, &f)) return false;
    *out = mp_value_num(f);
    return true;
}

static const struct suffix *size_suffix(mp_str text, mp_str *number)
{
    size_t end = number_end(text, 0);
    *number = mp_str_sub(text, 0, end);
    return suffix_of(sizes, mp_str_sub(text, end, text.len));
}

static bool read_size(mp_str text, struct mp_value *out)
{
    mp_str number;
    int64_t n;
    const struct suffix *unit = size_suffix(text, &number);
    if (unit == NULL || !mp_decimal_int(number, unit->shift, unit->factor, &n)) return false;
    *out = mp_value_int(n);
    return true;
}

/* × 2^10 is exact for every double that does not overflow, so the factor is applied after
 * rounding. */
static bool read_bandwidth(mp_str text, struct mp_value *out)
{
    mp_str number;
    double f;
    if (!mp_str_ends(text, MP_STR("/s"))) return false;
    mp_str body = mp_str_sub(text, 0, text.len - 2);
    const struct suffix *unit = size_suffix(body, &number);
    if (unit == NULL && body.len > 0 && body.ptr[body.len - 1] == 'B') { /* with an exponent */
        unit = &sizes[0];
        number = mp_str_sub(body, 0, body.len - 1);
    }
    if (unit == NULL || !mp_decimal(number, unit->shift, 1, &f)) return false;
    f *= (double)unit->factor;
    if (f - f != 0) return false; /* infinite */
    *out = mp_value_num(f);
    return true;
}

static bool read_bool(mp_str text, struct mp_value *out)
{
    bool truth = mp_str_eq(text, MP_STR("true"));
    if (!truth && !mp_str_eq(text, MP_STR("false"))) return false;
    *out = mp_value_bool(truth);
    return true;
}

static bool read_address(mp_str text, bool net, struct mp_value *out)
{
    uint32_t bits;
    struct mp_value v;
    bool prefix = text.len != 0 && memchr(text.ptr, '/', text.len) != NULL;
    if ((prefix && !net) || !mp_value_address(text, &v, &bits)) return false;
    *out = v;
    return true;
}

bool mp_value_read(enum mp_type type, mp_str text, struct mp_value *out)
{
    struct mp_value v;
    switch (type) {
    case MP_TYPE_BOOL: return read_bool(text, out);
    case MP_TYPE_INT:
    case MP_TYPE_COUNTER: return read_int(text, INT64_MIN, INT64_MAX, out);
    case MP_TYPE_PORT: return read_int(text, 0, 65535, out);
    case MP_TYPE_STATUS: return read_int(text, 0, 999, out);
    case MP_TYPE_ASN: return read_int(text, 0, UINT32_MAX, out);
    case MP_TYPE_NUMBER: return read_number(text, out);
    case MP_TYPE_SCORE:
        if (!read_number(text, &v) || mp_value_as_num(v) < 0 || mp_value_as_num(v) > 1)
            return false;
        *out = v;
        return true;
    case MP_TYPE_PERCENT: return read_percent(text, out);
    case MP_TYPE_DURATION: return read_duration(text, out);
    case MP_TYPE_RATE: return read_rate(text, out);
    case MP_TYPE_SIZE: return read_size(text, out);
    case MP_TYPE_BANDWIDTH: return read_bandwidth(text, out);
    case MP_TYPE_IP: return read_address(text, false, out);
    case MP_TYPE_CIDR: return read_address(text, true, out);
    default:
        if (mp_type_rep(type) != MP_REP_T || text.len > UINT32_MAX) return false;
        *out = mp_value_text(text);
        return true;
    }
}
