/* SPDX-License-Identifier: Apache-2.0 */
#include "os/std.h"

#include "crypto/crypto.h"
#include "os/memory.h"
#include "os/regex_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t wall_ns(void *ctx) { return clock_ns(CLOCK_REALTIME); }
static int64_t mono_ns(void *ctx) { return clock_ns(CLOCK_MONOTONIC); }

/* getrandom gives at most 256 bytes whole and may be interrupted by a signal, hence the loop. */
static enum mp_err random_bytes(void *ctx, void *bytes, size_t len)
{
    char *at = bytes;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return MP_EIO;
        at += got;
        len -= (size_t)got;
    }
    return MP_OK;
}

static enum mp_err digest(void *ctx, const void *bytes, size_t len, uint8_t out[32])
{
    return mp_crypto_sha256(bytes, len, out);
}

static enum mp_err verify_signature(void *ctx, mp_str key, mp_str message, mp_str signature)
{
    return mp_crypto_ed25519_verify(key, message, signature);
}

void mp_std_os(struct mp_os *out)
{
    *out = (struct mp_os){
        .wall_ns = wall_ns,
        .mono_ns = mono_ns,
        .random = random_bytes,
        .alloc = mp_memory_alloc,
        .free = mp_memory_free,
        .alloc_zeroed = mp_memory_zeroed,
        .digest = digest,
        .verify_signature = verify_signature,
        .regex_compile = mp_std_regex_compile,
        .regex_match = mp_std_regex_match,
        .regex_free = mp_std_regex_free,
    };
}

void mpol_std_os(struct mp_os *out) { mp_std_os(out); }
