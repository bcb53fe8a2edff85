/* SPDX-License-Identifier: Apache-2.0
 * err.h - the world's failures, as one small enum.
 *
 * An author's mistake is a diagnostic (compiler/diag), our own mistake is MP_ASSERT; only what the
 * world does to us (memory, peers, limits, bytes from outside) comes back as an mp_err. Outputs are
 * the last parameters and are untouched when a call fails.
 */
#ifndef MP_BASE_ERR_H
#define MP_BASE_ERR_H

#define MP_ERRORS(X)                                                                               \
    X(OK, "ok")                                                                                    \
    X(ENOMEM, "out of memory")                                                                     \
    X(ELIMIT, "a declared limit is reached")                                                       \
    X(EINVAL, "invalid input")                                                                     \
    X(ENOTFOUND, "not found")                                                                      \
    X(EEXIST, "exists already")                                                                    \
    X(EIO, "input or output failed")                                                               \
    X(EAGAIN, "not now, try again")                                                                \
    X(EUNSUPPORTED, "not supported")                                                               \
    X(ESTALE, "made for another program")                                                          \
    X(ECORRUPT, "damaged data")                                                                    \
    X(EDENIED, "not permitted")                                                                    \
    X(ETIMEDOUT, "timed out")

enum mp_err {
#define X(name, text) MP_##name,
    MP_ERRORS(X)
#undef X
    MP_ERR_COUNT
};

/* The text of an error, lower case, no full stop; never NULL, static. */
const char *mp_err_text(enum mp_err err);

/* Leaves the function with the error of `call`, if there is one. */
#define MP_TRY(call)                                                                               \
    do {                                                                                           \
        enum mp_err mp_try_err_ = (call);                                                          \
        if (mp_try_err_ != MP_OK) return mp_try_err_;                                              \
    } while (0)

#endif
