/* SPDX-License-Identifier: Apache-2.0
 * ops_priv.h - arithmetic of the ops, shared by the interpreter and the helpers. A function answers
 * whether the result is known.
 */
#ifndef MP_EVAL_OPS_PRIV_H
#define MP_EVAL_OPS_PRIV_H

#include <stdbool.h>
#include <stdint.h>

/* LIMIT: the highest exponent of pow. */
#define MP_OP_POW_MAX 1024

static inline bool mp_op_finite(double f) { return f - f == 0; } /* inf - inf and NaN are NaN */

static inline bool mp_op_add(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool mp_op_sub(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_sub_overflow(a, b, out);
}

static inline bool mp_op_mul(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool mp_op_abs(int64_t a, int64_t *out)
{
    *out = a;
    return a >= 0 || mp_op_sub(0, a, out);
}

static inline double mp_op_abs_num(double a) { return __builtin_fabs(a); }

/* The nearest integer, ties to even: at 2^52 and above every double is one, below it the addition
 * leaves no room for a fraction. */
static inline bool mp_op_nearest(double f, int64_t *out)
{
    const double whole = 4503599627370496.0;
    if (!(f >= -9223372036854775808.0 && f < 9223372036854775808.0)) return false;
    double r = f;
    if (f >= 0 && f < whole) r = (f + whole) - whole;
    if (f < 0 && f > -whole) r = (f - whole) + whole;
    *out = (int64_t)r;
    return true;
}

static inline bool mp_op_pow_num(double base, int64_t exponent, double *out)
{
    if (exponent < 0 || exponent > MP_OP_POW_MAX) return false;
    double f = 1;
    for (int64_t e = exponent; e > 0; e >>= 1) {
        if ((e & 1) != 0) f *= base;
        if (e > 1) base *= base;
    }
    *out = f;
    return mp_op_finite(f);
}

static inline bool mp_op_pow_int(int64_t base, int64_t exponent, int64_t *out)
{
    if (exponent < 0 || exponent > MP_OP_POW_MAX) return false;
    int64_t n = 1;
    for (int64_t e = exponent; e > 0; e >>= 1) {
        if ((e & 1) != 0 && !mp_op_mul(n, base, &n)) return false;
        if (e > 1 && !mp_op_mul(base, base, &base)) return false;
    }
    *out = n;
    return true;
}

static inline bool mp_op_clamp_int(int64_t a, int64_t low, int64_t high, int64_t *out)
{
    *out = a < low ? low : a > high ? high : a;
    return low <= high;
}

static inline bool mp_op_clamp_num(double a, double low, double high, double *out)
{
    *out = a < low ? low : a > high ? high : a;
    return low <= high;
}

#endif
