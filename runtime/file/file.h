/* SPDX-License-Identifier: Apache-2.0
 * file.h - a file of an operator, opened for reading by one who must not stop: a loop.
 *
 * Owns:    nothing. Callers: daemon, tls, the command. Threads: any.
 * LIMIT: a file system that hangs stops whoever reads from it.
 */
#ifndef MP_FILE_FILE_H
#define MP_FILE_FILE_H

#include <stdbool.h>
#include <stdio.h>

/* Opens a regular file; children do not inherit it. NULL, with *why (static, or of strerror): it
 * cannot be opened, or is something else: a FIFO would wait for who writes it. */
FILE *mp_file_open(const char *path, const char **why);
/* Would it be read? False with *why, as above. */
bool mp_file_is(const char *path, const char **why);

#endif
