/* SPDX-License-Identifier: Apache-2.0
 * What goes between the module in a proxy and the control plane, in both directions, and the
 * module's configuration. The first byte says which.
 */
#include <stdlib.h>

#include "envoy_mod/config.h"
#include "envoy_mod/fleet.h"
#include "envoy_mod/gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_send(void *ctx, void *connection, mp_str bytes) {}
static int64_t on_now(void *ctx) { return 1; }

/* Bytes from a module: one connection. */
static void up(mp_str bytes)
{
    struct mp_fleet_host host = {NULL, on_send, NULL, NULL, on_now};
    struct mp_fleet *f;
    if (mp_fleet_create(&host, NULL, NULL, &f) != MP_OK) abort();
    struct mp_fleet_peer *p = mp_fleet_open(f, NULL);
    mp_str half = mp_str_sub(bytes, 0, bytes.len / 2);
    if (p != NULL && mp_fleet_take(p, half))
        mp_fleet_take(p, mp_str_sub(bytes, half.len, bytes.len));
    mp_fleet_destroy(f);
}

/* A program or a set that cannot be read must not be in force. */
static void take(struct mp_gate *g, uint8_t type, mp_str body)
{
    const char *why;
    struct mp_frame_program program;
    struct mp_frame_inventory inventory;
    struct mpol_desired set;
    void *memory;
    if (type == MP_FRAME_PROGRAM && mp_frame_get_program(body, &program)) {
        mp_gate_program(g, &program, &why);
    } else if (type == MP_FRAME_INVENTORY && mp_frame_get_inventory(body, &inventory)) {
        mp_gate_inventory(g, inventory.lines, &why);
    } else if (type == MP_FRAME_LEASES && mp_frame_get_leases(body, &set, &memory) == MP_OK) {
        mp_gate_leases(g, &set, &why);
        free(memory);
    }
    mp_gate_step(g);
}

/* Bytes from a control plane: frames one behind the other. */
static void down(mp_str bytes)
{
    static struct mp_gate *g; /* what was taken before stays in force, as in a proxy */
    static const struct mp_os os;
    struct mp_gate_options options = {.workers = 1, .leases = 64, .cuts = true, .os = &os};
    uint8_t type;
    mp_str body;
    size_t len;
    if (g == NULL && mp_gate_create(&options, &g) != MP_OK) abort();
    while (mp_frame_next(bytes, MP_FRAME_DOWN_MAX, &type, &body, &len) == MP_OK) {
        take(g, type, body);
        bytes = mp_str_sub(bytes, len, bytes.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mp_mod_config config;
    char why[64];
    if (size == 0) return 0;
    char *copy = malloc(size); /* so that a byte read behind the input is seen */
    if (copy == NULL) abort();
    memcpy(copy, data + 1, size - 1);
    mp_str bytes = {copy, size - 1};
    switch (data[0] % 3) {
    case 0: up(bytes); break;
    case 1: down(bytes); break;
    default: mp_mod_config_read(bytes, &config, why, sizeof why);
    }
    free(copy);
    return 0;
}
