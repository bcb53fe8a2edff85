/* SPDX-License-Identifier: Apache-2.0
 * mpol/error.h - what can go wrong in a call.
 *
 * Every function that can fail answers an enum mpol_err; outputs are the last parameters and are
 * untouched where the answer is not MPOL_OK. Mistakes in a policy are diagnostics (compile.h) and
 * one MPOL_EINVAL. The library never exits, and never aborts because of what it is given; it does
 * abort, after telling the panic hook, when it finds its own state broken.
 */
#ifndef MPOL_ERROR_H
#define MPOL_ERROR_H

#include "mpol/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* INVARIANT: the numbers are those of enum mp_err in runtime/base/err.h, and never change. */
enum mpol_err {
    MPOL_OK = 0,
    MPOL_ENOMEM = 1,       /* out of memory */
    MPOL_ELIMIT = 2,       /* a declared limit is reached */
    MPOL_EINVAL = 3,       /* the input is not valid */
    MPOL_ENOTFOUND = 4,    /* there is no such thing */
    MPOL_EEXIST = 5,       /* there is one already */
    MPOL_EIO = 6,          /* input or output failed */
    MPOL_EAGAIN = 7,       /* not now, try again */
    MPOL_EUNSUPPORTED = 8, /* this build or this backend cannot */
    MPOL_ESTALE = 9,       /* made for another program */
    MPOL_ECORRUPT = 10,    /* damaged data */
    MPOL_EDENIED = 11,     /* not permitted */
    MPOL_ETIMEDOUT = 12    /* timed out */
};

/* A text for the error: lower case, no full stop, static, never NULL. Any thread. */
MPOL_API const char *mpol_error_text(enum mpol_err err);

#ifdef __cplusplus
}
#endif

#endif
