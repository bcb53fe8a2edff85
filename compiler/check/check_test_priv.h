/* SPDX-License-Identifier: Apache-2.0
 * check_test_priv.h - a test while it is checked: what check_test.c and check_expect.c share.
 */
#ifndef MP_CHECK_CHECK_TEST_PRIV_H
#define MP_CHECK_CHECK_TEST_PRIV_H

#include "check/check_items_priv.h"

struct ck_test {
    struct ck *ck;
    struct ck_file *file;
    const struct mp_ast_item *item;
    struct mp_t_test *out;
    struct ck_scope scope; /* no keys, no record: constants and names */
};

/* Names the nearest of `names` in a help of d, and answers it; empty where none is near. */
mp_str ck_test_nearest(mp_str word, const mp_str *names, uint32_t count, struct mp_diag *d);
/* The names of all symbols of some kinds (1u << ck_sym_kind). */
uint32_t ck_test_names(struct ck_test *t, uint32_t kinds, mp_str **out);
/* The entity that `svc "web"` says; NULL where something else stands, or E0101 was reported. */
const struct mp_t_entity *ck_test_entity(struct ck_test *t, const struct mp_ast_expr *of);

/* ---- check_expect.c ---- */
/* Fills *line from an `expect`; false with an error reported. */
bool ck_test_expect(struct ck_test *t, const struct mp_ast_line *ast, struct mp_t_test_line *line);

#endif
