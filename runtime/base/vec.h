/* SPDX-License-Identifier: Apache-2.0
 * vec.h - growing arrays of one type, in an arena.
 *
 *   MP_VEC(struct mp_rule) rules;           a struct {ptr, len, cap}
 *   struct mp_rule *r = MP_VEC_PUSH(arena, &rules);   a zeroed new last element, or NULL
 */
#ifndef MP_BASE_VEC_H
#define MP_BASE_VEC_H

#include "base/arena.h"

#define MP_VEC(type)                                                                               \
    struct {                                                                                       \
        type *ptr;                                                                                 \
        uint32_t len, cap;                                                                         \
    }

#define MP_VEC_PUSH(arena, v)                                                                      \
    ((__typeof__((v)->ptr))mp_vec_push((arena), (void **)&(v)->ptr, &(v)->len, &(v)->cap,          \
                                       sizeof(*(v)->ptr)))

#define MP_VEC_LAST(v) (&(v)->ptr[(v)->len - 1])

void *mp_vec_push(struct mp_arena *a, void **ptr, uint32_t *len, uint32_t *cap, size_t size);

#endif
