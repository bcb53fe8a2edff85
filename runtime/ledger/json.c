/* SPDX-License-Identifier: Apache-2.0
 * The canonical text of an entry. Bounded: every text is cut at MP_LEDGER_TEXT_MAX bytes, and a byte
 * takes at most six, so a line always fits.
 */
#include "ledger/ledger.h"

#include "base/assert.h"

_Static_assert((size_t)MP_LEDGER_LINE_MAX / 6 / MP_LEDGER_TEXT_MAX >= 20, "most lines fit whole");

struct line {
    char *at, *end;
};

static void put(struct line *o, const char *bytes, size_t len)
{
    MP_ASSERT((size_t)(o->end - o->at) >= len);
    memcpy(o->at, bytes, len);
    o->at += len;
}

static void puts_(struct line *o, const char *text) { put(o, text, strlen(text)); }

static void put_number(struct line *o, uint64_t n)
{
    char digits[20];
    size_t len = 0;
    do {
        digits[sizeof digits - ++len] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    put(o, digits + sizeof digits - len, len);
}

/* Length of the UTF-8 sequence at s (RFC 3629), 0 where there is none. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80) return 1;
    size_t len = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || len > left) return 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
    }
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0;
    if (s[0] == 0xED && s[1] > 0x9F) return 0; /* surrogates */
    if (s[0] == 0xF0 && s[1] < 0x90) return 0;
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0;
    return len;
}

static void put_escaped(struct line *o, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    if (c == '"' || c == '\\') {
        put(o, "\\", 1);
        put(o, (const char *)&c, 1);
    } else if (c == '\n') {
        puts_(o, "\\n");
    } else if (c == '\t') {
        puts_(o, "\\t");
    } else {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        put(o, text, sizeof text);
    }
}

/* Bytes that are no UTF-8 become U+FFFD: keys come from outside. */
static void put_text(struct line *o, mp_str s)
{
    size_t stop = s.len < MP_LEDGER_TEXT_MAX ? s.len : MP_LEDGER_TEXT_MAX;
    put(o, "\"", 1);
    for (size_t i = 0; i < stop;) {
        const unsigned char *at = (const unsigned char *)s.ptr + i;
        size_t len = utf8_len(at, s.len - i);
        if (len == 0) {
            puts_(o, "\xEF\xBF\xBD");
            len = 1;
        } else if (len == 1 && (*at < 0x20 || *at == '"' || *at == '\\' || *at == 0x7F)) {
            put_escaped(o, *at);
        } else {
            put(o, (const char *)at, len);
        }
        i += len;
    }
    put(o, "\"", 1);
}

static void put_text_or_null(struct line *o, mp_str s)
{
    if (s.len == 0) {
        puts_(o, "null");
    } else {
        put_text(o, s);
    }
}

/* Leaves out what does not fit beside the rest of the line, so that a line is never cut. */
static void put_note(struct line *o, mp_str name, mp_str value, bool *first)
{
    size_t worst = 6 * (2 * (size_t)MP_LEDGER_TEXT_MAX) + 64;
    if ((size_t)(o->end - o->at) < worst) return;
    if (!*first) put(o, ",", 1);
    *first = false;
    put_text(o, name);
    put(o, ":", 1);
    put_text(o, value);
}

size_t mp_ledger_line(const struct mp_entry *e, char *out)
{
    /* The last texts of a line need their room whatever the notes took. */
    size_t tail = 4 * 6 * (size_t)MP_LEDGER_TEXT_MAX;
    struct line o = {out, out + MP_LEDGER_LINE_MAX - tail};
    char time[27];
    mp_ledger_time(e->time_ns, time);

    puts_(&o, "{\"seq\":");
    put_number(&o, e->seq);
    puts_(&o, ",\"time\":");
    put_text(&o, (mp_str){time, sizeof time});
    puts_(&o, ",\"machine\":");
    put_text(&o, e->machine == MP_MACHINE_LEASE ? MP_STR("lease") : MP_STR("incident"));
    puts_(&o, ",\"rule\":");
    put_text(&o, e->rule);
    puts_(&o, ",\"key\":");
    put_text(&o, e->key);
    puts_(&o, ",\"incident\":");
    put_number(&o, e->incident);
    puts_(&o, ",\"rung\":");
    put_number(&o, e->rung);
    puts_(&o, ",\"lease\":");
    if (e->lease != 0) {
        put_number(&o, e->lease);
    } else {
        puts_(&o, "null");
    }
    puts_(&o, ",\"verb\":");
    put_text_or_null(&o, e->verb);
    puts_(&o, ",\"target\":");
    put_text_or_null(&o, e->target);

    bool first = true;
    puts_(&o, ",\"args\":{");
    for (uint32_t i = 0; i < e->arg_count; i++) {
        put_note(&o, e->args[i].name, e->args[i].value, &first);
    }
    o.end = out + MP_LEDGER_LINE_MAX - 16; /* of the closing brackets */
    puts_(&o, "},\"from\":");
    put_text(&o, e->from);
    puts_(&o, ",\"to\":");
    put_text(&o, e->to);
    puts_(&o, ",\"cause\":{");
    first = true;
    if (e->shadow) put_note(&o, MP_STR("mode"), MP_STR("shadow"), &first);
    if (e->why.len > 0) put_note(&o, MP_STR("why"), e->why, &first);
    for (uint32_t i = 0; i < e->cause_count; i++) {
        put_note(&o, e->cause[i].name, e->cause[i].value, &first);
    }
    o.end = out + MP_LEDGER_LINE_MAX;
    puts_(&o, "}}");
    return (size_t)(o.at - out);
}

static void put_digits(char *at, int64_t n, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + n % 10);
        n /= 10;
    }
}

void mp_ledger_time(int64_t time_ns, char out[27])
{
    const int64_t last_us = 253402300799999999; /* 9999-12-31T23:59:59.999999Z */
    int64_t us = time_ns / 1000;
    if (us < 0) us = 0;
    if (us > last_us) us = last_us;
    int64_t seconds = us / 1000000, days = seconds / 86400, rest = seconds % 86400;

    /* Days to a date in the proleptic Gregorian calendar, counted from 0000-03-01 in eras of 400
     * years (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
    int64_t z = days + 719468, era = z / 146097, of_era = z % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;
    int64_t day = of_year - (153 * m + 2) / 5 + 1, month = m < 10 ? m + 3 : m - 9;
    year += era * 400 + (month <= 2);

    memcpy(out, "0000-00-00T00:00:00.000000Z", 27);
    put_digits(out, year, 4);
    put_digits(out + 5, month, 2);
    put_digits(out + 8, day, 2);
    put_digits(out + 11, rest / 3600, 2);
    put_digits(out + 14, rest / 60 % 60, 2);
    put_digits(out + 17, rest % 60, 2);
    put_digits(out + 20, us % 1000000, 6);
}
