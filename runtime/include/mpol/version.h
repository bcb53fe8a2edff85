/* SPDX-License-Identifier: Apache-2.0
 * mpol/version.h - which mpol this is. The language's edition and the image format have numbers of
 * their own.
 */
#ifndef MPOL_VERSION_H
#define MPOL_VERSION_H

#include "mpol/types.h"

#define MPOL_VERSION_MAJOR 0
#define MPOL_VERSION_MINOR 1
#define MPOL_VERSION_PATCH 0
#define MPOL_VERSION_TEXT "0.1.0"
#define MPOL_LANGUAGE_EDITION 1

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library at run time, as "0.1.0"; static. Any thread. */
MPOL_API const char *mpol_version(void);

#ifdef __cplusplus
}
#endif

#endif
