/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

static mp_panic_fn panic_hook;

void mp_panic_hook(mp_panic_fn hook) { panic_hook = hook; }

_Noreturn void mp_panic(const char *file, int line, const char *what)
{
    if (panic_hook != NULL) {
        panic_hook(file, line, what);
    } else {
        fprintf(stderr, "mpol: internal error at %s:%d: %s\n", file, line, what);
    }
    abort();
}
