/* SPDX-License-Identifier: Apache-2.0
 * folder.h - where a test makes the folder, or the socket, that is its own.
 */
#ifndef TEST_LOOPBACK_FOLDER_H
#define TEST_LOOPBACK_FOLDER_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TMP_BYTES_MAX 64 /* LIMIT: what is made in it must fit the 107 bytes of a socket's path */

/* $TMPDIR, or /tmp where there is none, or one that is too long. */
static inline const char *tmp_folder(void)
{
    const char *named = getenv("TMPDIR");
    bool fits = named != NULL && named[0] == '/' && strlen(named) <= TMP_BYTES_MAX;
    return fits ? named : "/tmp";
}

/* Makes a folder of one's own, `out`; whoever asked removes it. False: errno says why. */
static inline bool tmp_folder_make(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/mpol-%s-XXXXXX", tmp_folder(), name);
    return mkdtemp(out) != NULL;
}

#endif
