/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include "base/assert.h"

const char *mp_err_text(enum mp_err err)
{
    static const char *const text[] = {
#define X(name, words) [MP_##name] = words,
        MP_ERRORS(X)
#undef X
    };
    MP_ASSERT(err >= 0 && err < MP_ERR_COUNT);
    return text[err];
}
