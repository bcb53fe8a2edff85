/* SPDX-License-Identifier: Apache-2.0
 * Preloaded: while the file $MPOL_FAIL_SYNC is there, nothing can be synced.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sync_with(long number, int fd)
{
    const char *file = getenv("MPOL_FAIL_SYNC");
    if (file != NULL && access(file, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    errno = 0;
    return (int)syscall(number, fd);
}

#define SEEN __attribute__((visibility("default")))

SEEN int fsync(int fd) { return sync_with(SYS_fsync, fd); }
SEEN int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }
