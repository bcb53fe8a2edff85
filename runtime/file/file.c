/* SPDX-License-Identifier: Apache-2.0 */
#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK: to open a FIFO waits otherwise, and what it is is known only when it is open. */
FILE *mp_file_open(const char *path, const char **why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    *why = NULL;
    if (fd < 0 || fstat(fd, &st) != 0) {
        *why = strerror(errno);
    } else if (!S_ISREG(st.st_mode)) {
        *why = S_ISDIR(st.st_mode) ? strerror(EISDIR) : "not a regular file";
    }
    FILE *f = *why == NULL ? fdopen(fd, "rb") : NULL;
    if (*why == NULL && f == NULL) *why = strerror(errno);
    if (f == NULL && fd >= 0) close(fd);
    return f;
}

bool mp_file_is(const char *path, const char **why)
{
    FILE *f = mp_file_open(path, why);
    if (f != NULL) fclose(f);
    return f != NULL;
}
