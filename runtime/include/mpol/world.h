/* SPDX-License-Identifier: Apache-2.0
 * mpol/world.h - what the library asks of the world.
 *
 * The core reads no clock, file, socket or random number by itself. What a member is for stands
 * beside it; a member may be NULL where it says so. The struct is copied; `ctx` and what it
 * points to must outlive all that was made with it. Members must be callable from any thread.
 *
 * libmpol-std.so (in lib/mpol) brings one with OpenSSL and PCRE2: open it with dlopen, find
 * `mpol_world_std` with dlsym, call it, and leave the library open.
 */
#ifndef MPOL_WORLD_H
#define MPOL_WORLD_H

#include "mpol/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mpol_world {
    size_t size;
    void *ctx;
    /* Memory for arenas; both NULL: malloc and free. Never called between the creation and the
     * end of an engine, except while a program is compiled or loaded. */
    void *(*alloc)(void *ctx, size_t bytes);
    void (*free)(void *ctx, void *ptr, size_t bytes);
    /* Nanoseconds that never go back and never jump, from anywhere: the ends of leases are
     * measured on it. NULL: on the time that the engine is stepped to. */
    int64_t (*mono_ns)(void *ctx);
    /* Unpredictable bytes: keys of hash tables that clients can fill. NULL: the seed of
     * struct mpol_engine_options alone, which is right for tests and replay only. */
    enum mpol_err (*random)(void *ctx, void *bytes, size_t len);
    /* SHA-256, for the chain of the ledger; NULL: the chain is not kept. */
    enum mpol_err (*digest)(void *ctx, const void *bytes, size_t len, unsigned char out[32]);
    /* Regular expressions, searched, not anchored; `regex_match` answers 0 no, 1 yes, 2 when it
     * gave up after 10,000 steps. All NULL: `matches` is refused. */
    enum mpol_err (*regex_compile)(void *ctx, struct mpol_text pattern, void **handle,
                                   const char **error);
    int (*regex_match)(void *ctx, const void *handle, struct mpol_text subject);
    void (*regex_free)(void *ctx, void *handle);
};

/* The type of `mpol_world_std`: sets the whole struct. */
typedef void (*mpol_world_std_fn)(struct mpol_world *out);

#ifdef __cplusplus
}
#endif

#endif
