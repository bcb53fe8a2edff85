/* SPDX-License-Identifier: Apache-2.0
 * carve.h - promises about requests that a proxy can keep by itself: by the path alone.
 *
 * Callers: check_backend.c (E0701), lower (the image's table `carve`). Pure.
 */
#ifndef MP_CHECK_CARVE_H
#define MP_CHECK_CARVE_H

#include "check/typed.h"

#define MP_CARVES_MAX 64u /* LIMIT: paths of one guard */

/* A path, or all that begin with it. */
struct mp_carve {
    mp_str path;
    bool prefix;
};

/* Reads `never VERB request where` a path is one of a few, or begins with one: `==`, `in`,
 * `starts_with` and `or` over constants. False: it asks for anything else, for a path that does not
 * travel as it is written ("/a b" comes as /a%20b), or for more than MP_CARVES_MAX. */
bool mp_carve_read(const struct mp_t_guard *guard, struct mp_carve out[MP_CARVES_MAX],
                   uint32_t *count);

#endif
