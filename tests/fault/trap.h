/* SPDX-License-Identifier: Apache-2.0
 * trap.h - malloc and its kin, seen by the test: linked with --wrap, so that all of mpol's calls
 * come here and libc's own do not.
 */
#ifndef MP_TEST_TRAP_H
#define MP_TEST_TRAP_H

#include <stdbool.h>
#include <stdint.h>

struct trap {
    uint64_t calls;   /* that ask for memory, since the trap was set */
    uint64_t fail_at; /* this call and, if persistent, all later ones get nothing; 0: none */
    bool persistent;
    bool forbidden;   /* asking aborts */
    int64_t live;     /* pieces that were given and not taken back */
};
extern struct trap trap;

#endif
