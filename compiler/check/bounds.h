/* SPDX-License-Identifier: Apache-2.0
 * bounds.h - what must hold of single values wherever a condition is true: intervals and words.
 *
 * The small solver behind E0601 (R45) and the interval lints. It knows only what is certain:
 * where it says that two conditions exclude each other, they do; where it does not, nobody knows.
 *
 * Callers: compiler/check, compiler/lint. Memory: none; a struct mp_bounds is the caller's.
 */
#ifndef MP_CHECK_BOUNDS_H
#define MP_CHECK_BOUNDS_H

#include "check/typed.h"

/* LIMIT: bounds taken from one condition; more are ignored, which can only miss an exclusion. */
#define MP_BOUNDS_MAX 32

/* One value, and what is known of it: a range of numbers, or one text that it is or is not. */
struct mp_bound {
    const struct mp_t_expr *about; /* conversions taken off */
    struct mp_span span;           /* the comparison that says so */
    bool denied;                   /* ... by being false */
    bool is_text, negated;
    mp_str text;
    double low, high;
    bool low_open, high_open;
};

struct mp_bounds {
    struct mp_bound at[MP_BOUNDS_MAX];
    uint32_t count;
    bool at_values; /* set before gathering: a parameter is its value, not anything in its range */
    bool partial;   /* something was said that no bound holds */
};

/* Adds what must hold where e is true (negated: where e is false). A parameter counts as anything
 * in its range. Bounds of one value stay apart. */
void mp_bounds_gather(const struct mp_t_expr *e, bool negated, struct mp_bounds *all);
/* Can one value not satisfy both? Both are about the same value. */
bool mp_bound_excludes(const struct mp_bound *a, const struct mp_bound *b);
/* Does a value that satisfies `a` always satisfy `b`? Both are about the same value. */
bool mp_bound_implies(const struct mp_bound *a, const struct mp_bound *b);
/* Do two expressions of one row (or record) always have the same value? */
bool mp_same_value(const struct mp_t_expr *a, const struct mp_t_expr *b);
/* The same for two rules that meet on one target: both values are functions of it. The walks lead
 * to the targets, each from the row of its rule. */
bool mp_same_of_target(const struct mp_t_expr *a, const struct mp_t_walk *target_a,
                       const struct mp_t_expr *b, const struct mp_t_walk *target_b);
/* The range of numbers that a constant or a parameter can have; at_values as above. */
bool mp_constant_range(const struct mp_t_expr *e, bool at_values, double *low, double *high);

#endif
