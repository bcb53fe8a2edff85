/* SPDX-License-Identifier: Apache-2.0
 * A backend that compares the set with what is there and changes the difference, one lease at a
 * time, as a mesh with a wire would: a kill may leave half of it done.
 */
#include "kill.h"

#include <string.h>

static uint64_t mix(uint64_t h, struct mpol_text t)
{
    struct mp_hash_key key = {h, 7};
    return mp_siphash(key, t.ptr, t.len);
}

static uint64_t content_of(const struct mpol_lease *l)
{
    uint64_t h = mix(mix(mix(mix(1, l->rule), l->verb), l->target_kind), l->target);
    for (uint32_t i = 0; i < l->arg_count; i++) h = mix(mix(h, l->args[i].name), l->args[i].text);
    return h;
}

static struct seen_lease *seen(struct life *l, uint64_t id, uint64_t content)
{
    struct shared *s = l->shared;
    for (uint32_t i = s->seen_count; i-- > 0;) {
        if (s->seen[i].id == id) return &s->seen[i];
    }
    if (s->seen_count == SEEN_MAX) wrong(l, "the test's list of leases is full");
    s->seen[s->seen_count] = (struct seen_lease){id, content, 0};
    return &s->seen[s->seen_count++];
}

static void put(struct life *l, uint64_t id, uint64_t content)
{
    struct seen_lease *s = seen(l, id, content);
    if (s->content != content) wrong(l, "lease %llu stands for two things", (unsigned long long)id);
    const struct model_lease *told = model_lease(l->model, id);
    if (told == NULL) wrong(l, "lease %llu is in no ledger", (unsigned long long)id);
    if (!model_lease_live(told) || strcmp(told->state, "withdrawing") == 0) {
        wrong(l, "lease %llu was put in force after its end", (unsigned long long)id);
    }
    /* A life that took it back may have died before that was kept: then it is put back, once. */
    if (s->life == l->shared->life)
        wrong(l, "lease %llu was put in force twice", (unsigned long long)id);
    s->life = l->shared->life;
    if (l->shared->mesh_count == MESH_MAX) wrong(l, "the test's mesh is full");
    l->shared->mesh[l->shared->mesh_count] = (struct mesh_lease){id, content, true};
    l->shared->mesh_count++;
}

static void drop(struct life *l, uint32_t at)
{
    struct shared *s = l->shared;
    s->mesh[at] = s->mesh[s->mesh_count - 1];
    s->mesh_count--;
}

static const struct mpol_lease *wanted(const struct mpol_desired *set, const struct mesh_lease *m)
{
    for (size_t i = 0; i < set->lease_count; i++) {
        if (set->leases[i].id == m->id && content_of(&set->leases[i]) == m->content)
            return &set->leases[i];
    }
    return NULL;
}

static bool is_there(const struct shared *s, const struct mpol_lease *l)
{
    for (uint32_t i = 0; i < s->mesh_count; i++) {
        if (s->mesh[i].ours && s->mesh[i].id == l->id) return true;
    }
    return false;
}

static enum mpol_err apply(void *backend, const struct mpol_desired *set)
{
    struct life *l = backend;
    struct shared *s = l->shared;
    at(l, AT_APPLY_BEGINS);
    if (draw(&l->random, 8) == 0) return MPOL_EAGAIN;
    for (uint32_t i = s->mesh_count; i-- > 0;) {
        if (s->mesh[i].ours && wanted(set, &s->mesh[i]) == NULL) drop(l, i);
    }
    for (size_t i = 0; i < set->lease_count; i++) {
        at(l, AT_APPLY_HALF);
        if (is_there(s, &set->leases[i])) continue;
        put(l, set->leases[i].id, content_of(&set->leases[i]));
        at(l, AT_PUT_IN_FORCE);
    }
    l->mesh_taken = set->revision;
    at(l, AT_APPLY_ENDS);
    return MPOL_OK;
}

/* Accepted and effective now and then, so that all states between are met. */
static enum mpol_err progress(void *backend, struct mpol_progress *out)
{
    struct life *l = backend;
    if (draw(&l->random, 2) == 0) l->mesh_accepted = l->mesh_taken;
    if (draw(&l->random, 2) == 0) l->mesh_effective = l->mesh_accepted;
    out->accepted = l->mesh_accepted;
    out->effective = l->mesh_effective;
    at(l, AT_PROGRESS);
    return MPOL_OK;
}

static enum mpol_err read_back(void *backend, struct mpol_text owner, mpol_read_back_fn found,
                               void *ctx)
{
    return MPOL_EUNSUPPORTED;
}

static const struct mpol_capability capabilities[] = {
    {"deny", "client", MPOL_INGRESS | MPOL_SERVICE | MPOL_EDGE, MPOL_CAN_PARTIAL},
    {"throttle", "service", MPOL_INGRESS | MPOL_SERVICE | MPOL_EDGE, MPOL_CAN_PARTIAL},
    {"quarantine", "service", MPOL_INGRESS | MPOL_SERVICE | MPOL_EDGE, MPOL_CAN_PARTIAL},
    {"deny", "ip", MPOL_INGRESS | MPOL_SERVICE | MPOL_EDGE, MPOL_CAN_PARTIAL},
};

const struct mpol_backend_ops mesh_ops = {.size = sizeof mesh_ops,
                                          .name = "mesh",
                                          .flags = MPOL_BACKEND_CARVES_OUT,
                                          .capabilities = capabilities,
                                          .capability_count =
                                              sizeof capabilities / sizeof capabilities[0],
                                          .apply = apply,
                                          .progress = progress,
                                          .read_back = read_back};

/* ---- what must hold ---- */

struct owned {
    struct life *l;
    uint32_t count;
};

/* Also one that is being withdrawn has an owner: the mesh may have asked to be asked again. */
static bool see_lease(void *ctx, const struct mp_lease_view *v)
{
    struct owned *o = ctx;
    const struct shared *s = o->l->shared;
    for (uint32_t i = 0; i < s->mesh_count; i++)
        o->count += s->mesh[i].ours && s->mesh[i].id == v->lease->id;
    return true;
}

void mesh_check(struct life *l)
{
    struct owned o = {l, 0};
    uint32_t ours = 0;
    mp_engine_leases(l->engine, &o, see_lease);
    for (uint32_t i = 0; i < l->shared->mesh_count; i++) ours += l->shared->mesh[i].ours;
    if (l->shared->mesh_count - ours != 1) wrong(l, "what belongs to somebody else was touched");
    if (o.count != ours) {
        wrong(l, "%u leases are in force and the engine owns %u of them", ours, o.count);
    }
}
