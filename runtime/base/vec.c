/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"

void *mp_vec_push(struct mp_arena *a, void **ptr, uint32_t *len, uint32_t *cap, size_t size)
{
    if (*len == *cap) {
        uint32_t wanted = *cap == 0 ? 8 : *cap * 2;
        if (wanted < *cap) return NULL;
        void *grown = mp_arena_grow(a, *ptr, *cap * size, wanted * size, _Alignof(max_align_t));
        if (grown == NULL) return NULL;
        *ptr = grown;
        *cap = wanted;
    }
    char *fresh = (char *)*ptr + (size_t)*len * size;
    memset(fresh, 0, size);
    *len += 1;
    return fresh;
}
