/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/assert.h"
#include "schema/decimal.h"
#include "schema/value.h"

size_t mp_value_number_text(double f, char out[32])
{
    char digits[20], plain[48];
    size_t len = 0;
    for (int precision = 1; precision <= 17; precision++) {
        int point;
        double back;
        uint32_t count = mp_decimal_digits(f, precision, digits, &point);
        len = mp_decimal_write(digits, count, point, plain);
        if (precision == 17) break;
        if (mp_decimal((mp_str){plain, len}, 0, 1, &back) && back == (f < 0 ? -f : f)) break;
    }
    MP_ASSERT(len < 31);
    uint64_t word;
    memcpy(&word, &f, sizeof word);
    size_t sign = word >> 63; /* also of -0, which reads back as such */
    if (sign) out[0] = '-';
    memcpy(out + sign, plain, len);
    return sign + len;
}

/* ---- doubles with a unit ---- */

struct unit {
    const char *text;
    /* the value in this unit is f × scale, or about that: it is read back to be sure */
    double scale;
};

static const struct unit rate_units[] = {
    {"/s", 1}, {"/min", 60}, {"/h", 3600}, {"/d", 86400}, {NULL, 0}};
static const struct unit bandwidth_units[] = {
    {"B/s", 1}, {"KiB/s", 1.0 / 1024}, {"MiB/s", 1.0 / 1048576}, {"GiB/s", 1.0 / 1073741824},
    {"KB/s", 1e-3}, {"MB/s", 1e-6}, {"GB/s", 1e-9}, {NULL, 0}};

#define UNIT_TEXT_MAX 64

/* The shortest text of f in one unit that reads back as f and is shorter than `best`; 0: none. */
static size_t in_unit(enum mp_type type, double f, const struct unit *u, size_t best,
                      char out[UNIT_TEXT_MAX])
{
    size_t unit_len = strlen(u->text);
    for (int precision = 1; precision <= 17; precision++) {
        char digits[20], text[UNIT_TEXT_MAX];
        int point;
        double scaled = f * u->scale;
        if (scaled - scaled != 0) return 0;
        uint32_t count = mp_decimal_digits(scaled, precision, digits, &point);
        size_t len = mp_decimal_write(digits, count, point, text);
        memcpy(text + len, u->text, unit_len);
        len += unit_len;
        struct mp_value back;
        bool same = mp_value_read(type, (mp_str){text, len}, &back) && mp_value_as_num(back) == f;
        if (same && (best == 0 || len < best)) {
            memcpy(out, text, len);
            return len;
        }
        if (same) return 0;
    }
    return 0;
}

/* Writes |f| in the unit that makes the shortest text, the first of equals. */
static void print_units(struct mp_buf *out, enum mp_type type, double f, const struct unit *units)
{
    char text[UNIT_TEXT_MAX], best[UNIT_TEXT_MAX];
    size_t best_len = 0;
    bool negative = f < 0;
    double size = negative ? -f : f;
    for (const struct unit *u = units; u->text != NULL; u++) {
        size_t len = in_unit(type, size, u, best_len, text);
        if (len == 0) continue;
        memcpy(best, text, len);
        best_len = len;
    }
    if (negative) mp_buf_putc(out, '-');
    if (best_len == 0) { /* so large or small that it needs an exponent */
        mp_buf_put(out, (mp_str){best, mp_value_number_text(size, best)});
        mp_buf_puts(out, units[0].text);
        return;
    }
    mp_buf_put(out, (mp_str){best, best_len});
}

/* The digits of a percent are those of its fraction, moved by two places: f × 100 would round
 * twice. */
static void print_percent(struct mp_buf *out, double f)
{
    char digits[20], text[48];
    double size = f < 0 ? -f : f;
    size_t len = 0;
    for (int precision = 1; precision <= 17; precision++) {
        int point;
        double back;
        uint32_t count = mp_decimal_digits(size, precision, digits, &point);
        len = mp_decimal_write(digits, count, point + (size != 0 ? 2 : 0), text);
        if (mp_decimal((mp_str){text, len}, -2, 1, &back) && back == size) break;
    }
    if (f < 0) mp_buf_putc(out, '-');
    mp_buf_put(out, (mp_str){text, len});
    mp_buf_putc(out, '%');
}

/* ---- integers with a unit ---- */

struct step {
    const char *text;
    uint64_t size;
};

static const struct step time_steps[] = {
    {"d", 86400000000000}, {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000},
    {"ms", 1000000}, {"us", 1000}, {"ns", 1}, {NULL, 0}};
static const struct step size_steps[] = {
    {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1000}, {"MB", 1000000},
    {"GB", 1000000000}, {NULL, 0}};

static uint64_t magnitude(int64_t n) { return n < 0 ? 0 - (uint64_t)n : (uint64_t)n; }

static void print_duration(struct mp_buf *out, int64_t ns)
{
    uint64_t left = magnitude(ns);
    if (ns < 0) mp_buf_putc(out, '-');
    if (left == 0) mp_buf_puts(out, "0s");
    for (const struct step *s = time_steps; s->text != NULL; s++) {
        uint64_t n = left / s->size;
        left %= s->size;
        if (n != 0) mp_buf_printf(out, "%llu%s", (unsigned long long)n, s->text);
    }
}

static void print_size(struct mp_buf *out, int64_t bytes)
{
    char best[32] = "";
    uint64_t n = magnitude(bytes);
    for (const struct step *s = size_steps; s->text != NULL; s++) {
        char text[32];
        if (n % s->size != 0 || (n == 0 && s != size_steps)) continue;
        snprintf(text, sizeof text, "%llu%s", (unsigned long long)(n / s->size), s->text);
        if (best[0] == '\0' || strlen(text) < strlen(best)) memcpy(best, text, sizeof best);
    }
    if (bytes < 0) mp_buf_putc(out, '-');
    mp_buf_puts(out, best);
}

/* ---- all ---- */

static void print_address(struct mp_buf *out, struct mp_value v)
{
    char text[48];
    mp_buf_put(out, (mp_str){text, mp_value_address_text(v, text)});
}

static void print_number(struct mp_buf *out, double f)
{
    char text[32];
    mp_buf_put(out, (mp_str){text, mp_value_number_text(f, text)});
}

void mp_value_print(struct mp_buf *out, enum mp_type type, struct mp_value v)
{
    switch (type) {
    case MP_TYPE_PERCENT: print_percent(out, mp_value_as_num(v)); return;
    case MP_TYPE_RATE: print_units(out, type, mp_value_as_num(v), rate_units); return;
    case MP_TYPE_BANDWIDTH: print_units(out, type, mp_value_as_num(v), bandwidth_units); return;
    case MP_TYPE_DURATION: print_duration(out, mp_value_as_int(v)); return;
    case MP_TYPE_SIZE: print_size(out, mp_value_as_int(v)); return;
    default: break;
    }
    switch (mp_type_rep(type)) {
    case MP_REP_B: mp_buf_puts(out, v.w[0] != 0 ? "true" : "false"); return;
    case MP_REP_I: mp_buf_printf(out, "%lld", (long long)mp_value_as_int(v)); return;
    case MP_REP_F: print_number(out, mp_value_as_num(v)); return;
    case MP_REP_T: mp_buf_put(out, mp_value_as_text(&v)); return;
    case MP_REP_A: print_address(out, v); return;
    case MP_REP_N:
    case MP_REP_S: return;
    }
}

void mp_value_print_net(struct mp_buf *out, struct mp_value v, uint32_t bits)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    bool v4 = memcmp(&v, mapped, sizeof mapped) == 0 && bits >= 96;
    print_address(out, v);
    if (bits != 128) mp_buf_printf(out, "/%u", v4 ? bits - 96 : bits);
}

void mp_value_print_set(struct mp_buf *out, enum mp_type type, struct mp_value v)
{
    const struct mp_value *member = (const struct mp_value *)(uintptr_t)v.w[0];
    mp_buf_putc(out, '[');
    for (uint64_t i = 0; i < v.w[1]; i++) {
        if (i > 0) mp_buf_puts(out, ", ");
        mp_value_print(out, type, member[i]);
    }
    mp_buf_putc(out, ']');
}

/* ---- for people ---- */

/* f to four digits; `out` has room for 48. */
static size_t short_number(double f, char out[48])
{
    char digits[20];
    int point;
    size_t sign = f < 0;
    if (sign) out[0] = '-';
    uint32_t count = mp_decimal_digits(f, 4, digits, &point);
    char text[48];
    size_t len = mp_decimal_write(digits, count, point, text);
    if (len > 40) len = 40;
    memcpy(out + sign, text, len);
    return sign + len;
}

void mp_value_show(struct mp_buf *out, enum mp_type type, struct mp_value v)
{
    char text[48];
    if (mp_type_rep(type) == MP_REP_F) {
        double f = mp_value_as_num(v);
        double scaled = type == MP_TYPE_PERCENT ? f * 100 : f;
        const char *unit = type == MP_TYPE_PERCENT ? "%" : type == MP_TYPE_RATE ? "/s" : "";
        if (type == MP_TYPE_BANDWIDTH) {
            static const char *const names[] = {"B/s", "KiB/s", "MiB/s", "GiB/s"};
            int i = 0;
            for (; i < 3 && (scaled >= 1024 || scaled <= -1024); i++) scaled /= 1024;
            unit = names[i];
        }
        if (scaled - scaled != 0) {
            mp_value_print(out, type, v);
            return;
        }
        mp_buf_put(out, (mp_str){text, short_number(scaled, text)});
        mp_buf_puts(out, unit);
        return;
    }
    if (type == MP_TYPE_DURATION) {
        int64_t ns = mp_value_as_int(v);
        uint64_t size = magnitude(ns);
        for (const struct step *s = time_steps; s->text != NULL; s++) {
            bool fine = size < 60000000000; /* below a minute: `12.34ms`; above: `1h30m` */
            if (!fine || size < s->size || s->size == 1) continue;
            double f = (double)size / (double)s->size;
            if (ns < 0) mp_buf_putc(out, '-');
            mp_buf_put(out, (mp_str){text, short_number(f, text)});
            mp_buf_puts(out, s->text);
            return;
        }
    }
    mp_value_print(out, type, v);
}
