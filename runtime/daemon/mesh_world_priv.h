/* SPDX-License-Identifier: Apache-2.0
 * mesh_world_priv.h - the inventory as the control plane of proxies asks for it: instances,
 * services and identities, in order, as texts.
 *
 * Owns:    a copy of what inventory lines name, made anew when a line or the program has changed.
 *          What only traffic has shown is not in it: whoever sends requests could write it.
 * Callers: mesh.c, records.c. Threads: one.
 * Memory:  malloc; texts hold until the copy is made anew.
 */
#ifndef MP_DAEMON_MESH_WORLD_PRIV_H
#define MP_DAEMON_MESH_WORLD_PRIV_H

#include "envoy_xds/world.h"

struct dm_mesh_world;
struct mp_inventory;
struct mp_program;
struct dm_secrets;

/* NULL: no memory. */
struct dm_mesh_world *dm_mesh_world_create(void);
void dm_mesh_world_destroy(struct dm_mesh_world *w);
/* Reads all of the inventory. False: no memory, the copy is empty. */
bool dm_mesh_world_read(struct dm_mesh_world *w, struct mp_inventory *inv,
                        const struct mp_program *p);
/* What is served by SDS; NULL: nothing. Borrowed. */
void dm_mesh_world_secrets(struct dm_mesh_world *w, const struct dm_secrets *secrets);
/* The functions over it. */
struct mp_envoy_world dm_mesh_world_view(struct dm_mesh_world *w);

#endif
