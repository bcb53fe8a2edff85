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

/* ---- what the backend behind is told ---- */

static bool is_status(const struct mpol_lease *l, uint32_t i)
{
    return mp_str_eq(str_of(l->verb), mp_inproc_verb_word(MP_INPROC_DENY)) &&
           mp_str_eq(str_of(l->args[i].name), MP_STR("status"));
}

static size_t count_args(const struct mpol_desired *set)
{
    size_t count = 0;
    for (size_t i = 0; i < set->lease_count; i++) {
        for (uint32_t k = 0; k < set->leases[i].arg_count; k++) {
            if (is_status(&set->leases[i], k)) count += set->leases[i].arg_count;
        }
    }
    return count;
}

/* Its arguments without a status: its own where it has none, else behind `args`. */
static void drop_status(struct mpol_lease *l, struct mpol_arg **args)
{
    struct mpol_arg *to = *args;
    uint32_t count = 0;
    bool has = false;
    for (uint32_t i = 0; i < l->arg_count && !has; i++) has = is_status(l, i);
    if (!has) return;
    for (uint32_t i = 0; i < l->arg_count; i++) {
        if (!is_status(l, i)) to[count++] = l->args[i];
    }
    l->args = to;
    l->arg_count = count;
    *args += count;
}

struct mpol_lease *mp_fleet_for_inner(const struct mpol_desired *set, size_t *count)
{
    size_t lease_bytes = (set->lease_count + 1) * sizeof(struct mpol_lease);
    struct mpol_lease *all = malloc(lease_bytes + count_args(set) * sizeof(struct mpol_arg));
    if (all == NULL) return NULL;
    struct mpol_arg *args = (struct mpol_arg *)(void *)((char *)all + lease_bytes);
    *count = 0;
    for (size_t i = 0; i < set->lease_count; i++) {
        if (mp_fleet_is_cut(&set->leases[i])) continue;
        all[*count] = set->leases[i];
        drop_status(&all[(*count)++], &args);
    }
    return all;
}
