/* SPDX-License-Identifier: Apache-2.0
 * The engine's own backend, for replay and tests: it can do everything, accepts and obeys at once;
 * told to, it refuses, or accepts after 1 s and obeys 2 s later.
 */
#include "engine/engine_priv.h"

#define ACCEPT_NS 1000000000LL
#define OBEY_NS 3000000000LL

enum mp_err en_prompt_create(struct mp_engine *e)
{
    /* Live, leases go to a backend of its own, whose verdicts are asked elsewhere. */
    bool live = e->options.clock == MP_ENGINE_LIVE;
    struct mp_inproc_limits limits = {.leases = live ? 1 : e->limits.leases, .readers = 1};
    e->prompt.e = e;
    e->prompt.set = MP_NEW(&e->arena, struct mpol_lease, limits.leases);
    if (e->prompt.set == NULL) return MP_ENOMEM;
    MP_TRY(mp_inproc_create(&e->arena, limits, e->options.hash_key, &e->prompt.inproc));
    MP_TRY(mp_inproc_reader_open(e->prompt.inproc, &e->reader));
    e->backends[0] = (struct en_backend){.ops = &en_prompt_ops, .ctx = &e->prompt};
    e->backend_count = 1;
    if (e->options.buckets == NULL)
        return mp_verdict_buckets_create(&e->arena, EN_BUCKETS, e->options.hash_key, &e->buckets);
    return mp_verdict_buckets_beside(&e->arena, EN_BUCKETS, e->options.hash_key,
                                     e->options.buckets, &e->buckets);
}

/* What inproc can do of the set; verdicts on records then see it. */
static void show(struct en_prompt *p, const struct mpol_desired *set)
{
    struct mpol_desired shown = *set;
    shown.leases = p->set;
    shown.lease_count = 0;
    if (p->e->options.clock == MP_ENGINE_LIVE) return;
    for (size_t i = 0; i < set->lease_count; i++) {
        const struct mpol_lease *l = &set->leases[i];
        if (!en_backend_can(&mp_inproc_ops, (mp_str){l->verb.ptr, l->verb.len},
                            (mp_str){l->target_kind.ptr, l->target_kind.len})) {
            continue;
        }
        p->set[shown.lease_count++] = *l;
    }
    /* What it will not have is not seen by verdicts on records; the leases themselves go on. */
    (void)mp_inproc_ops.apply(p->inproc, &shown);
}

static enum mpol_err prompt_apply(void *backend, const struct mpol_desired *set)
{
    struct en_prompt *p = backend;
    if (p->mode == MP_BACKEND_REFUSE && set->lease_count > 0) return MPOL_EDENIED;
    /* A slow mesh takes sets one after another, each with its own delay. */
    if (p->mode == MP_BACKEND_SLOW && p->effective < p->taken) return MPOL_EAGAIN;
    p->taken = set->revision;
    p->taken_mono_ns = p->e->mono_ns;
    show(p, set);
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

void mp_engine_backend_mode(struct mp_engine *e, enum mp_backend_mode mode)
{
    e->prompt.mode = mode;
}
