/* SPDX-License-Identifier: Apache-2.0
 * mpol/mpol.h - the whole public interface.
 *
 *   compile.h   policy text or an image → program
 *   engine.h    program → engine: records in, verdicts out, ledger, operator
 *   backend.h   for whoever carries actions into another mesh, or messages to somewhere
 *   world.h     clock-free, libc-free services that the caller may hand in
 */
#ifndef MPOL_MPOL_H
#define MPOL_MPOL_H

#include "mpol/backend.h"
#include "mpol/compile.h"
#include "mpol/engine.h"
#include "mpol/error.h"
#include "mpol/types.h"
#include "mpol/version.h"
#include "mpol/world.h"

#endif
