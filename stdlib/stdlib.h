/* SPDX-License-Identifier: Apache-2.0
 * stdlib.h - the vocabulary, as the text that was there when mpol was built.
 *
 * Owns:    constant text; nothing to free.
 * Callers: compiler/driver.c hands the files to the checker as packages anybody may use.
 */
#ifndef MP_STDLIB_H
#define MP_STDLIB_H

#include <stddef.h>

struct mp_stdlib_file {
    const char *name; /* `mesh.mpol` */
    const char *text; /* a NUL stands behind it that `len` does not count */
    size_t len;
};

extern const struct mp_stdlib_file mp_stdlib_files[];
extern const size_t mp_stdlib_files_count;

#endif
