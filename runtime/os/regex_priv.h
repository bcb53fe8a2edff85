/* SPDX-License-Identifier: Apache-2.0
 * regex_priv.h - regular expressions: PCRE2, native where the machine allows it, always bounded.
 */
#ifndef MP_OS_REGEX_PRIV_H
#define MP_OS_REGEX_PRIV_H

#include "base/os.h"

enum mp_err mp_std_regex_compile(void *ctx, mp_str pattern, void **handle, const char **error);
enum mp_match mp_std_regex_match(void *ctx, const void *handle, mp_str subject);
void mp_std_regex_free(void *ctx, void *handle);

#endif
