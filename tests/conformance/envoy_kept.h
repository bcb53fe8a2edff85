/* SPDX-License-Identifier: Apache-2.0
 * envoy_kept.h - what the engine's store does for a backend that keeps nothing: the set that was
 * taken last is given to its next life.
 */
#ifndef MP_CONFORMANCE_ENVOY_KEPT_H
#define MP_CONFORMANCE_ENVOY_KEPT_H

#include "mpol/backend.h"

void kept_put(const struct mpol_desired *set);
const struct mpol_desired *kept_get(void);

#endif
