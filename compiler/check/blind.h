/* SPDX-License-Identifier: Apache-2.0
 * blind.h - what an action itself removes from what a condition reads (language.md 4.7, `blinds`).
 *
 * Callers: compiler/check (E0403), compiler/lint (L151, L152). Pure functions over the typed tree.
 */
#ifndef MP_CHECK_BLIND_H
#define MP_CHECK_BLIND_H

#include "check/typed.h"

/* The part that keeps `e` unknown for as long as the lease `act` is in force: an average over, or a
 * gauge of, what it silences on its target. NULL: e may have a value. */
const struct mp_t_expr *mp_blinded(const struct mp_t_expr *e, const struct mp_t_act *act);
/* The silenced signal that the part found above reads. */
const struct mp_t_signal *mp_blinded_signal(const struct mp_t_expr *e, const struct mp_t_act *act);
/* A count in `e` over what the lease `act` silences: it stays known, and falls to 0. NULL: none. */
const struct mp_t_expr *mp_counted_though_silenced(const struct mp_t_expr *e,
                                                   const struct mp_t_act *act);

#endif
