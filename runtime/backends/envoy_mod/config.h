/* SPDX-License-Identifier: Apache-2.0
 * config.h - what a proxy's configuration tells the module, as one JSON object of texts:
 *
 *   {"socket": "/run/mpol/module.sock",   where the control plane listens (`mpol run --module-socket`)
 *    "layer": "service",                  ingress, service or edge
 *    "service": "checkout", "instance": "checkout-2",
 *    "state": "/var/lib/mpol/checkout-2.bin"}   optional: the last program and leases are kept there
 *
 * `socket` may be left out: then nothing is told to anybody, and what is in the file `state` holds.
 */
#ifndef MP_ENVOY_MOD_CONFIG_H
#define MP_ENVOY_MOD_CONFIG_H

#include "base/str.h"

#define MP_MOD_PATH_MAX 1024
#define MP_MOD_NAME_MAX 256

/* Texts end in NUL. */
struct mp_mod_config {
    char socket[108]; /* as sun_path has it */
    char layer[16];
    char service[MP_MOD_NAME_MAX], instance[MP_MOD_NAME_MAX];
    char state[MP_MOD_PATH_MAX];
    uint32_t layer_bit; /* MPOL_INGRESS ... */
};

/* False: `why` receives a text. */
bool mp_mod_config_read(mp_str json, struct mp_mod_config *out, char *why, size_t why_size);
bool mp_mod_config_same(const struct mp_mod_config *a, const struct mp_mod_config *b);

#endif
