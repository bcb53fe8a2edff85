/* SPDX-License-Identifier: Apache-2.0
 * Where HTTP/2 was not found when this was built: no proxies, and a clear word about it.
 */
#include "daemon/daemon_priv.h"

bool dm_mesh_ready(struct dm *d)
{
    if (d->options->xds == NULL) return true;
    fprintf(stderr, "mpol run: --xds=%s: this mpol was built without nghttp2 and serves no proxies\n",
            d->options->xds);
    return false;
}

bool dm_mesh_open(struct dm *d) { return true; }
void dm_mesh_inventory(struct dm *d) {}
void dm_mesh_status(struct dm *d, struct dm_bytes *out) {}
void dm_mesh_metrics(struct dm *d, struct dm_bytes *out) {}
void dm_mesh_readiness(struct dm *d, struct dm_bytes *out) {}
void dm_mesh_watch(struct dm *d) {}
void dm_mesh_close(struct dm *d) {}
void dm_mesh_free(struct dm *d) {}
