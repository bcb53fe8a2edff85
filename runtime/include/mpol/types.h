/* SPDX-License-Identifier: Apache-2.0
 * mpol/types.h - what all of the public interface is written in.
 *
 * Ownership: what a function takes as `const` it does not keep, unless it says so. What a
 *            callback is
 * given is valid until the callback returns. Text is a pointer and a length and need not end in
 * NUL.
 *
 * Units: every time is in nanoseconds. `wall` times count from 1970-01-01 UTC, others from
 *        anywhere.
 * Shares are fractions: 1.0 is all.
 *
 * Sizes: a struct that begins with `size` is set to zero and then to `sizeof` of itself by the
 *        caller
 * (MPOL_INIT does both), so that a program built against an older header goes on working.
 */
#ifndef MPOL_TYPES_H
#define MPOL_TYPES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(MPOL_BUILD_STATIC)
#define MPOL_API
#elif defined(__GNUC__)
#define MPOL_API __attribute__((visibility("default")))
#else
#define MPOL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroes a sized struct and notes its size: `struct mpol_limits l; MPOL_INIT(&l);` */
#define MPOL_INIT(ptr) (memset((ptr), 0, sizeof *(ptr)), (void)((ptr)->size = sizeof *(ptr)))

/* Text, or bytes. `ptr` may be NULL where `len` is 0. */
struct mpol_text {
    const char *ptr;
    size_t len;
};

static inline struct mpol_text mpol_text(const char *nul_terminated)
{
    struct mpol_text t = {nul_terminated, nul_terminated != NULL ? strlen(nul_terminated) : 0};
    return t;
}

/* Where in the mesh a request was seen, and where an action holds; bits of a mask. */
#define MPOL_INGRESS 1u
#define MPOL_SERVICE 2u
#define MPOL_EDGE 4u
#define MPOL_ANY_LAYER 7u

/* A compiled policy: immutable, shared by nobody until an engine takes it. compile.h */
struct mpol_program;
/* One loop: windows, incidents, leases, ledger. engine.h */
struct mpol_engine;
/* One thread that asks for verdicts. engine.h */
struct mpol_reader;
/* One event on its way into an engine. engine.h */
struct mpol_record;

#ifdef __cplusplus
}
#endif

#endif
