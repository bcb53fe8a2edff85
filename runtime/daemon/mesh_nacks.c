/* SPDX-License-Identifier: Apache-2.0
 * What proxies refuse (NACK) -> an incident of the rule `nack` each, and its end. It begins with
 * the refusal and its end is looked for twice a second: a proxy that takes and refuses in turns
 * cannot fill the ledger.
 */
#include "daemon/mesh_priv.h"

void mesh_nack(void *ctx, const struct mp_envoy_refusal *refusal)
{
    const struct dm_mesh *m = ctx;
    mp_engine_nack(m->d->engine, &(struct mp_nack){refusal->node, refusal->type, refusal->resource,
                                                   refusal->text});
}

/* One that has not come back since the start may refuse still. */
static enum mp_nack_end end_of(void *ctx, mp_str part, mp_str type)
{
    const struct dm *d = ctx;
    if (d->mesh == NULL) return MP_NACK_GONE; /* of a life that had one */
    switch (mp_envoy_refuses(d->mesh->envoy, part, type)) {
    case MP_ENVOY_TAKES: return MP_NACK_ACCEPTED;
    case MP_ENVOY_NO_MORE: return MP_NACK_GONE;
    case MP_ENVOY_REFUSES:
    case MP_ENVOY_OWES: break;
    }
    return MP_NACK_STAYS;
}

void dm_mesh_nacks(struct dm *d) { mp_engine_nacks(d->engine, d, end_of); }
