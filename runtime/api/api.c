/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_priv.h"

const char *mpol_error_text(enum mpol_err err)
{
    return (unsigned)err < MP_ERR_COUNT ? mp_err_text((enum mp_err)err)
                                        : "an error of a newer version";
}

const char *mpol_version(void) { return MPOL_VERSION_TEXT; }

/* The public numbers are those of base/err.h; a header of its own keeps the two apart. */
_Static_assert((int)MPOL_OK == (int)MP_OK && (int)MPOL_ETIMEDOUT == (int)MP_ETIMEDOUT &&
                   (int)MPOL_EUNSUPPORTED == (int)MP_EUNSUPPORTED,
               "mpol/error.h and base/err.h count alike");
