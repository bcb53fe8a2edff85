/* SPDX-License-Identifier: Apache-2.0
 * os.h - everything the core asks of the world, handed in by whoever creates it.
 *
 * No stage reads a clock, a socket, a file or a random number by itself. Live, runtime/os fills
 * this in; in tests and in replay a virtual clock and memory do. A member may be NULL where a
 * comment says so. `ctx` is passed back as the first argument of every call.
 */
#ifndef MP_BASE_OS_H
#define MP_BASE_OS_H

#include "base/err.h"
#include "base/str.h"

struct mp_os_store; /* runtime/store/store.h: transactions of rows; NULL: nothing is kept */
struct mp_os_net;   /* runtime/os: sockets; used by the daemon only */

/* What a regular expression said. */
enum mp_match { MP_MATCH_NO = 0, MP_MATCH_YES = 1, MP_MATCH_LIMIT = 2 };

struct mp_os {
    void *ctx;

    /* Nanoseconds since the epoch, UTC; may jump. */
    int64_t (*wall_ns)(void *ctx);
    /* Nanoseconds that never go back; the origin means nothing. */
    int64_t (*mono_ns)(void *ctx);
    /* Fills `bytes` with unpredictable ones. */
    enum mp_err (*random)(void *ctx, void *bytes, size_t len);
    /* Memory for arenas; NULL members: malloc and free. */
    void *(*alloc)(void *ctx, size_t size);
    void (*free)(void *ctx, void *ptr, size_t size);
    void *(*alloc_zeroed)(void *ctx, size_t size); /* NULL: what `alloc` gives is cleared */

    /* SHA-256 of text; NULL: no digest at hand, and what needs one is refused. */
    enum mp_err (*digest)(void *ctx, const void *bytes, size_t len, uint8_t out[32]);
    /* Ed25519 (RFC 8032); NULL: signatures cannot be checked. */
    enum mp_err (*verify_signature)(void *ctx, mp_str key, mp_str message, mp_str signature);

    /* Compiles a pattern once; the handle lives until regex_free. NULL: `matches` is refused when a
     * program is loaded. `error` receives a static text. */
    enum mp_err (*regex_compile)(void *ctx, mp_str pattern, void **handle, const char **error);
    /* Search, not anchored, bounded to 10,000 match steps and 8 KiB of subject; thread-safe. */
    enum mp_match (*regex_match)(void *ctx, const void *handle, mp_str subject);
    void (*regex_free)(void *ctx, void *handle);

    const struct mp_os_store *store;
    const struct mp_os_net *net;
};

#endif
