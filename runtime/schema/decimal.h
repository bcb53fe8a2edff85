/* SPDX-License-Identifier: Apache-2.0
 * decimal.h - decimal text ↔ double, exact and without locale.
 *
 * Callers: value_read.c, value_print.c, and the compiler for its literals (language.md R10: a
 *          literal is rounded once from its exact decimal value).
 * Threads: pure functions. Memory: stack only.
 */
#ifndef MP_SCHEMA_DECIMAL_H
#define MP_SCHEMA_DECIMAL_H

#include "base/str.h"

/* The double nearest to text × 10^shift ÷ divisor, rounded once, ties to even: `0.7%` is
 * mp_decimal("0.7", -2, 1), `5k/min` is mp_decimal("5", 3, 60). `text` is
 * [+-]? [0-9]+ ("." [0-9]+)? ([eE] [+-]? [0-9]+)?, whole. False for other text, and for what
 * overflows; what is too small is a zero. `divisor` is 1 to 2^32-1; shift within ±400. */
bool mp_decimal(mp_str text, int shift, uint32_t divisor, double *out);

/* An integer from text × 10^shift × factor, exact: `1.5` s is mp_decimal_int("1.5", 0, 1000000000).
 * False where it is none, or does not fit. */
bool mp_decimal_int(mp_str text, int shift, int64_t factor, int64_t *out);

/* The digits of |f|, correctly rounded to `precision` of them (1 to 17), with no zeros at their
 * end: the value is 0.d1d2d3… × 10^*point. */
uint32_t mp_decimal_digits(double f, int precision, char digits[20], int *point);

/* Writes 0.d1d2d3… × 10^point: plainly where that is at most 21 characters of digits, else with an
 * exponent. `out` has room for 48. */
size_t mp_decimal_write(const char *digits, uint32_t count, int point, char out[48]);

#endif
