/* SPDX-License-Identifier: Apache-2.0 */
#include "trap.h"

#include <stdio.h>
#include <stdlib.h>

struct trap trap;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void __real_free(void *ptr);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void __wrap_free(void *ptr);

static bool denied(void)
{
    if (trap.forbidden) {
        trap.forbidden = false; /* abort may ask for memory */
        fprintf(stderr, "memory was asked for where none may be\n");
        abort();
    }
    trap.calls++;
    if (trap.fail_at == 0) return false;
    return trap.calls == trap.fail_at || (trap.persistent && trap.calls > trap.fail_at);
}

static void *given(void *ptr)
{
    if (ptr != NULL) trap.live++;
    return ptr;
}

void *__wrap_malloc(size_t size) { return denied() ? NULL : given(__real_malloc(size)); }
void *__wrap_calloc(size_t count, size_t size)
{
    return denied() ? NULL : given(__real_calloc(count, size));
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return denied() ? NULL : given(__real_aligned_alloc(align, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (denied()) return NULL;
    void *ptr = __real_realloc(old, size);
    return old == NULL ? given(ptr) : ptr;
}

void __wrap_free(void *ptr)
{
    if (ptr != NULL && trap.forbidden) denied();
    if (ptr != NULL) trap.live--;
    __real_free(ptr);
}
