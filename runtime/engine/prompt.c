/* SPDX-License-Identifier: Apache-2.0
 * The engine's own backend, for replay and tests: it can do everything, accepts and obeys at once;
 * told to, it refuses, or accepts after 1 s and obeys 2 s later.
 */
#include "engine/engine_priv.h"

#define ACCEPT_NS 1000000000LL
#define OBEY_NS 3000000000LL

static enum mpol_err prompt_apply(void *backend, const struct mpol_desired *set)
{
    struct en_prompt *p = backend;
    if (p->mode == MP_BACKEND_REFUSE && set->lease_count > 0) return MPOL_EDENIED;
    /* A slow mesh takes sets one after another, each with its own delay. */
    if (p->mode == MP_BACKEND_SLOW && p->effective < p->taken) return MPOL_EAGAIN;
    p->taken = set->revision;
    p->taken_mono_ns = p->e->mono_ns;
    return MPOL_OK;
}

static enum mpol_err prompt_progress(void *backend, struct mpol_progress *out)
{
    struct en_prompt *p = backend;
    int64_t passed = p->e->mono_ns - p->taken_mono_ns;
    bool slow = p->mode == MP_BACKEND_SLOW;
    if (!slow || passed >= ACCEPT_NS) p->accepted = p->taken;
    if (!slow || passed >= OBEY_NS) p->effective = p->taken;
    out->accepted = p->accepted;
    out->effective = p->effective;
    return MPOL_OK;
}

const struct mpol_backend_ops en_prompt_ops = {
    .size = sizeof(struct mpol_backend_ops),
    .name = "prompt",
    .flags = MPOL_BACKEND_CARVES_OUT,
    .effective_bound_ns = EN_STUCK_NS,
    .apply = prompt_apply,
    .progress = prompt_progress,
};

void mp_engine_backend_mode(struct mp_engine *e, enum mp_backend_mode mode) { e->prompt.mode = mode; }
