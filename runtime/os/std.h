/* SPDX-License-Identifier: Apache-2.0
 * std.h - the real world behind struct mp_os: clocks, randomness, memory, digests, regular
 * expressions.
 *
 * Owns:    nothing but one scratch per thread for regular expressions, freed when the thread ends.
 * Callers: the command and the daemon, through libmpol-std; never a stage of the runtime.
 * Threads: everything handed out may be called from any thread.
 */
#ifndef MP_OS_STD_H
#define MP_OS_STD_H

#include "base/os.h"

/* LIMIT: match steps of one search, and bytes of its subject (language.md R11). */
#define MP_STD_MATCH_STEPS 10000
#define MP_STD_SUBJECT_BYTES 8192
/* LIMIT: bytes of a pattern. */
#define MP_STD_PATTERN_BYTES 4096

/* Fills in everything but `store` and `net`, which stay NULL. */
void mp_std_os(struct mp_os *out);
/* The same, as the entry point of libmpol-std. */
__attribute__((visibility("default"))) void mpol_std_os(struct mp_os *out);

struct mpol_world;
/* world.c: the same for an embedder (mpol/world.h). */
__attribute__((visibility("default"))) void mpol_world_std(struct mpol_world *out);

#endif
