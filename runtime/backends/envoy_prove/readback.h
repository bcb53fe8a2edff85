/* SPDX-License-Identifier: Apache-2.0
 * readback.h - what an admin port says, against what is wanted. Pure.
 */
#ifndef MP_ENVOY_PROVE_READBACK_H
#define MP_ENVOY_PROVE_READBACK_H

#include "envoy_prove/prove.h"

enum mp_readback {
    MP_READBACK_AS_WANTED,
    MP_READBACK_OTHERWISE,
    MP_READBACK_PANIC, /* as wanted, but so few hosts are left that Envoy leads to all of them */
    MP_READBACK_BAD
};

/* Compares the body of /clusters?format=json or /runtime?format=json (by the task's kind) with
 * the task. `seen` gets what was found otherwise, NUL-terminated, bytes of any kind. BAD: no such
 * JSON. */
enum mp_readback mp_readback(const struct mp_prove_task *task, mp_str body, char *seen,
                             size_t seen_size);
/* The same of /config_dump with the listeners in it, for MP_PROVE_FILTERS. `missing` gets what the
 * task's own listener lacks, a bit for each of its filters; OTHERWISE: some listener lacks one,
 * or has routes (in its own configuration) with one of their own, or none, in its place, or
 * passes TCP on, of which no filter sees a request. */
enum mp_readback mp_readback_listeners(const struct mp_prove_task *task, mp_str body,
                                       uint32_t *missing, char *seen, size_t seen_size);

#endif
