/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/fleet_cut.h"

#include <stdlib.h>

#include "inproc/inproc.h"

static mp_str str_of(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }

/* ---- cuts ---- */

bool mp_fleet_is_cut(const struct mpol_lease *lease)
{
    return mp_str_eq(str_of(lease->verb), mp_inproc_verb_word(MP_INPROC_CUT));
}

static bool keep(void *ctx, const struct mpol_lease *lease)
{
    (void)ctx;
    return mp_fleet_is_cut(lease);
}

enum mp_err mp_fleet_cuts_take(struct mp_fleet_cuts *c, const struct mpol_desired *set)
{
    struct mp_fleet_cuts fresh = {.rows = NULL};
    mp_frame_put_leases(&fresh.frame, set, keep, NULL);
    if (fresh.frame.failed) {
        mp_fleet_cuts_free(&fresh);
        return MP_ENOMEM;
    }
    mp_str body = {fresh.frame.ptr + MP_FRAME_HEAD, fresh.frame.len - MP_FRAME_HEAD};
    enum mp_err err = mp_frame_get_leases(body, &fresh.set, &fresh.rows);
    if (err != MP_OK) {
        mp_fleet_cuts_free(&fresh);
        return err;
    }
    mp_fleet_cuts_free(c);
    *c = fresh;
    return MP_OK;
}

void mp_fleet_cuts_free(struct mp_fleet_cuts *c)
{
    mp_frame_out_free(&c->frame);
    free(c->rows);
    *c = (struct mp_fleet_cuts){.rows = NULL};
}

static uint32_t layer_of(mp_str word)
{
    if (mp_str_eq(word, MP_STR("ingress"))) return MPOL_INGRESS;
    return mp_str_eq(word, MP_STR("edge")) ? MPOL_EDGE : MPOL_SERVICE;
}

/* As a module reads its streams: a gateway's are of the service that it asks and of no instance,
 * those of the others are their own. */
bool mp_fleet_cut_concerns(const struct mpol_lease *lease, const struct mp_fleet_info *proxy)
{
    uint32_t layer = layer_of(proxy->layer);
    mp_str kind = str_of(lease->target_kind), key = str_of(lease->target);
    if ((lease->hooks & layer) == 0) return false;
    if (mp_str_eq(kind, MP_STR("service")))
        return layer == MPOL_INGRESS || mp_str_eq(key, proxy->service);
    if (mp_str_eq(kind, MP_STR("instance")))
        return layer != MPOL_INGRESS && mp_str_eq(key, proxy->instance);
    return true;
}

/* ---- what the backend behind is asked and told ---- */

struct mpol_lease *mp_fleet_without_cuts(const struct mpol_desired *set, size_t *count)
{
    struct mpol_lease *rest = malloc((set->lease_count + 1) * sizeof *rest);
    *count = 0;
    for (size_t i = 0; rest != NULL && i < set->lease_count; i++) {
        if (!mp_fleet_is_cut(&set->leases[i])) rest[(*count)++] = set->leases[i];
    }
    return rest;
}

struct mpol_lease mp_fleet_without_status(const struct mpol_lease *lease,
                                          struct mpol_arg args[MP_FRAME_ARGS_MAX])
{
    struct mpol_lease l = *lease;
    bool deny = mp_str_eq(str_of(l.verb), mp_inproc_verb_word(MP_INPROC_DENY));
    if (!deny || l.arg_count > MP_FRAME_ARGS_MAX) return l;
    l.args = args;
    l.arg_count = 0;
    for (uint32_t i = 0; i < lease->arg_count; i++) {
        if (mp_str_eq(str_of(lease->args[i].name), MP_STR("status"))) continue;
        args[l.arg_count++] = lease->args[i];
    }
    return l;
}
