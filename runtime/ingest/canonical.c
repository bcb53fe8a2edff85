/* SPDX-License-Identifier: Apache-2.0
 * Texts with one spelling (language.md 4.5), and texts of time.
 */
#include "base/date.h"
#include "ingest/ingest.h"
#include "schema/decimal.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `http://host/path` → `/path`, as a request to a proxy has it. */
static mp_str without_origin(mp_str s)
{
    size_t i = 0;
    while (i < s.len && ((s.ptr[i] | 32) >= 'a' && (s.ptr[i] | 32) <= 'z')) i++;
    if (i == 0 || s.len - i < 3 || memcmp(s.ptr + i, "://", 3) != 0) return s;
    i += 3;
    while (i < s.len && s.ptr[i] != '/' && s.ptr[i] != '?' && s.ptr[i] != '#') i++;
    return (mp_str){s.ptr + i, s.len - i};
}

static size_t decode(mp_str s, char *out)
{
    size_t put = 0;
    for (size_t i = 0; i < s.len && s.ptr[i] != '?' && s.ptr[i] != '#'; i++) {
        bool pair = s.ptr[i] == '%' && s.len - i > 2 && hex(s.ptr[i + 1]) >= 0 &&
            hex(s.ptr[i + 2]) >= 0;
        out[put++] = pair ? (char)(hex(s.ptr[i + 1]) * 16 + hex(s.ptr[i + 2])) : s.ptr[i];
        if (pair) i += 2;
    }
    return put;
}

/* RFC 3986 5.2.4, and no empty segments. Works in place: the answer is never longer. */
static size_t segments(char *s, size_t len)
{
    size_t put = 0, at = 0;
    bool rooted = len > 0 && s[0] == '/';
    if (rooted) {
        put = 1;
        at = 1;
    }
    size_t floor = put;
    while (at < len) {
        size_t end = at;
        while (end < len && s[end] != '/') end++;
        size_t n = end - at;
        bool dot = n == 1 && s[at] == '.', dots = n == 2 && s[at] == '.' && s[at + 1] == '.';
        bool more = end < len;
        if (dots) { /* back over the last segment and its slash */
            while (put > floor && s[put - 1] == '/') put--;
            while (put > floor && s[put - 1] != '/') put--;
        } else if (n != 0 && !dot) {
            memmove(s + put, s + at, n);
            put += n;
            if (more) s[put++] = '/';
        }
        at = end + 1;
    }
    return put;
}

size_t mp_canonical_path(mp_str text, char *out)
{
    mp_str s = without_origin(text);
    size_t len = segments(out, decode(s, out));
    if (len == 0 && text.len > 0) out[len++] = '/';
    return len;
}

size_t mp_canonical_host(mp_str text, char *out)
{
    size_t len = text.len;
    bool bracket = len > 0 && text.ptr[0] == '[';
    size_t at = len;
    while (at > 0 && text.ptr[at - 1] >= '0' && text.ptr[at - 1] <= '9') at--;
    bool port = at > 0 && at < len && text.ptr[at - 1] == ':';
    /* `[::1]:80` and `shop:80` have a port, `::1` has none. */
    if (port && (bracket ? at > 1 && text.ptr[at - 2] == ']'
                         : memchr(text.ptr, ':', at - 1) == NULL)) {
        len = at - 1;
    }
    while (len > 1 && text.ptr[len - 1] == '.') len--;
    for (size_t i = 0; i < len; i++) {
        char c = text.ptr[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
    }
    return len;
}

/* ---- time ---- */

static bool digits(mp_str s, size_t at, size_t count, int *out)
{
    if (s.len < at + count) return false;
    int v = 0;
    for (size_t i = at; i < at + count; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        v = v * 10 + (s.ptr[i] - '0');
    }
    *out = v;
    return true;
}

static int month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* A fraction of any length; nanoseconds are kept. */
static size_t fraction(mp_str s, size_t at, int64_t *ns)
{
    int64_t scale = 100000000;
    *ns = 0;
    size_t i = at;
    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) {
        *ns += (s.ptr[i] - '0') * scale;
        scale /= 10;
    }
    return i;
}

static bool zone(mp_str s, size_t at, int64_t *seconds)
{
    *seconds = 0;
    if (s.len == at + 1 && (s.ptr[at] | 32) == 'z') return true;
    int hours, minutes;
    if (s.len != at + 6 || (s.ptr[at] != '+' && s.ptr[at] != '-') || s.ptr[at + 3] != ':') {
        return false;
    }
    if (!digits(s, at + 1, 2, &hours) || !digits(s, at + 4, 2, &minutes)) return false;
    if (hours > 23 || minutes > 59) return false;
    *seconds = (hours * 60 + minutes) * 60 * (s.ptr[at] == '-' ? -1 : 1);
    return true;
}

static bool rfc3339(mp_str s, int64_t *out)
{
    int year, month, day, hour, minute, second;
    if (!digits(s, 0, 4, &year) || !digits(s, 5, 2, &month) || !digits(s, 8, 2, &day) ||
        !digits(s, 11, 2, &hour) || !digits(s, 14, 2, &minute) || !digits(s, 17, 2, &second)) {
        return false;
    }
    char t = s.ptr[10];
    if (s.ptr[4] != '-' || s.ptr[7] != '-' || s.ptr[13] != ':' || s.ptr[16] != ':' ||
        ((t | 32) != 't' && t != ' ')) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > month_days(year, month) || hour > 23 ||
        minute > 59 || second > 60) {
        return false;
    }
    size_t at = 19;
    int64_t ns = 0, shift;
    if (at < s.len && s.ptr[at] == '.') {
        size_t end = fraction(s, at + 1, &ns);
        if (end == at + 1) return false;
        at = end;
    }
    if (at >= s.len || !zone(s, at, &shift)) return false;
    int64_t of_day = hour * 3600 + minute * 60 + second;
    int64_t seconds = mp_date_days((struct mp_date){year, month, day}) * 86400 + of_day - shift;
    int64_t whole;
    return !__builtin_mul_overflow(seconds, INT64_C(1000000000), &whole) &&
           !__builtin_add_overflow(whole, ns, out);
}

/* `12.5` × 10^6 and its like, as nearly all are; false: not so plain. */
static bool scaled_plain(mp_str text, int64_t factor, int64_t *out)
{
    int64_t whole = 0, part = 0, scale = factor;
    size_t i = 0;
    if (text.len == 0 || text.len > 20) return false;
    for (; i < text.len && i <= 10 && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
        whole = whole * 10 + (text.ptr[i] - '0');
    }
    if (i == 0 || i > 10 || whole > INT64_MAX / 4 / factor) return false;
    if (i < text.len) {
        if (text.ptr[i++] != '.' || i == text.len) return false;
        for (; i < text.len; i++) {
            if (text.ptr[i] < '0' || text.ptr[i] > '9' || scale % 10 != 0) return false;
            scale /= 10;
            part += (text.ptr[i] - '0') * scale;
        }
    }
    *out = whole * factor + part;
    return true;
}

/* text × factor, to the nearest integer. */
static bool scaled(mp_str text, int64_t factor, int64_t *out)
{
    if (scaled_plain(text, factor, out)) return true;
    if (mp_decimal_int(text, 0, factor, out)) return true;
    double v;
    if (!mp_decimal(text, 0, 1, &v)) return false;
    v *= (double)factor;
    if (!(v > -0x1p62 && v < 0x1p62)) return false;
    *out = (int64_t)(v < 0 ? v - 0.5 : v + 0.5);
    return true;
}

bool mp_read_time(mp_str text, int64_t *out_ns)
{
    if (text.len >= 20 && text.ptr[4] == '-') return rfc3339(text, out_ns);
    return scaled(text, 1000000000, out_ns);
}

static const struct {
    mp_str text;
    int64_t ns;
} units[] = {
    {MP_STR_INIT("ns"), 1},
    {MP_STR_INIT("us"), 1000},
    {MP_STR_INIT("\xc2\xb5s"), 1000}, /* the micro sign of other programs */
    {MP_STR_INIT("ms"), 1000000},
    {MP_STR_INIT("s"), 1000000000},
    {MP_STR_INIT("m"), INT64_C(60000000000)},
    {MP_STR_INIT("h"), INT64_C(3600000000000)},
    {MP_STR_INIT("d"), INT64_C(86400000000000)},
    {MP_STR_INIT("w"), INT64_C(604800000000000)},
};

static bool number_char(char c) { return (c >= '0' && c <= '9') || c == '.'; }

static int64_t unit_ns(mp_str unit)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (mp_str_eq(units[i].text, unit)) return units[i].ns;
    }
    return 0;
}

bool mp_read_duration(mp_str text, int64_t *out_ns)
{
    char last = text.len > 0 ? text.ptr[text.len - 1] : '0';
    if (number_char(last) && scaled(text, 1000000000, out_ns)) return true;
    int64_t sum = 0;
    size_t at = 0;
    bool minus = text.len > 0 && text.ptr[0] == '-';
    if (minus) at = 1;
    if (at == text.len) return false;
    while (at < text.len) {
        size_t from = at;
        while (at < text.len && number_char(text.ptr[at])) at++;
        size_t split = at;
        while (at < text.len && !number_char(text.ptr[at])) at++;
        int64_t unit = unit_ns(mp_str_sub(text, split, at - split)), part;
        if (unit == 0 || !scaled(mp_str_sub(text, from, split - from), unit, &part)) return false;
        if (__builtin_add_overflow(sum, part, &sum)) return false;
    }
    *out_ns = minus ? -sum : sum;
    return true;
}
