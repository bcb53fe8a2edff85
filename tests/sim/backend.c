/* SPDX-License-Identifier: Apache-2.0
 * The in-process backend behind a wire: slow, busy, refusing, or with a hole in the mesh behind it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sim.h"

static void copy(char *to, size_t size, struct mpol_text t)
{
    snprintf(to, size, "%.*s", (int)t.len, t.ptr);
}

static void note_set(struct sim_backend *b, const struct mpol_desired *set)
{
    MP_ASSERT(set->lease_count <= SIM_LEASES_MAX);
    b->held_count = (uint32_t)set->lease_count;
    b->leftovers = false;
    for (uint32_t i = 0; i < b->held_count; i++) {
        const struct mpol_lease *l = &set->leases[i];
        struct sim_held *h = &b->held[i];
        h->id = l->id;
        copy(h->verb, sizeof h->verb, l->verb);
        copy(h->kind, sizeof h->kind, l->target_kind);
        copy(h->target, sizeof h->target, l->target);
        copy(h->rule, sizeof h->rule, l->rule);
    }
    if (b->history_count == 64) {
        memmove(&b->history[0], &b->history[1], 63 * sizeof b->history[0]);
        b->history_count--;
    }
    int64_t late = b->wire == SIM_WIRE_SLOW ? 2 * SIM_S : 0;
    int64_t now = *b->now_ns;
    b->history[b->history_count].revision = set->revision;
    b->history[b->history_count].at_ns = now;
    b->history[b->history_count].accepted_ns = now + late / 2;
    b->history[b->history_count++].effective_ns = now + late;
}

static enum mpol_err apply(void *backend, const struct mpol_desired *set)
{
    struct sim_backend *b = backend;
    b->turns++;
    if (b->wire == SIM_WIRE_REFUSES) return MPOL_EIO;
    if (b->wire == SIM_WIRE_BUSY && b->turns % 3 != 0) return MPOL_EAGAIN;
    enum mpol_err err = mp_inproc_ops.apply(b->real, set);
    if (err == MPOL_OK) note_set(b, set);
    return err;
}

static bool is_lacked(const struct sim_backend *b, uint64_t lease)
{
    return b->wire == SIM_WIRE_LACKS && lease % 2 == 0;
}

static int by_lease(const void *a, const void *b)
{
    const struct mpol_lease_trouble *x = a, *y = b;
    return x->lease < y->lease ? -1 : x->lease > y->lease;
}

static void tell_lacked(struct sim_backend *b, struct mpol_progress *out)
{
    out->held = b->lacked;
    out->held_count = 0;
    for (uint32_t i = 0; i < b->held_count; i++) {
        if (!is_lacked(b, b->held[i].id)) continue;
        b->lacked[out->held_count++] = (struct mpol_lease_trouble){
            b->held[i].id, MPOL_EINVAL, mpol_text("one lets it through")};
    }
    qsort(b->lacked, out->held_count, sizeof *b->lacked, by_lease);
}

static enum mpol_err carries(void *backend, const struct mpol_lease *lease, char *why,
                             size_t why_size)
{
    if (!is_lacked(backend, lease->id)) return MPOL_OK;
    snprintf(why, why_size, "one lets it through");
    return MPOL_EINVAL;
}

static enum mpol_err progress(void *backend, struct mpol_progress *out)
{
    struct sim_backend *b = backend;
    enum mpol_err err = mp_inproc_ops.progress(b->real, out);
    uint64_t accepted = 0, effective = 0;
    for (uint32_t i = 0; i < b->history_count; i++) {
        if (b->history[i].accepted_ns <= *b->now_ns) accepted = b->history[i].revision;
        if (b->history[i].effective_ns <= *b->now_ns) effective = b->history[i].revision;
    }
    if (out->accepted > accepted) out->accepted = accepted;
    if (out->effective > effective) out->effective = effective;
    if (b->wire == SIM_WIRE_REFUSES) out->trouble = MPOL_EIO;
    tell_lacked(b, out);
    return err;
}

static enum mpol_err read_back(void *backend, struct mpol_text owner, mpol_read_back_fn found,
                               void *ctx)
{
    struct sim_backend *b = backend;
    return mp_inproc_ops.read_back(b->real, owner, found, ctx);
}

static void closed(void *backend)
{
    (void)backend; /* the mesh outlives the engine */
}

void sim_backend_init(struct sim_backend *b, struct mp_inproc *real, const int64_t *now_ns)
{
    memset(b, 0, sizeof *b);
    b->real = real;
    b->now_ns = now_ns;
    b->ops = mp_inproc_ops;
    b->ops.name = "wire";
    b->ops.apply = apply;
    b->ops.progress = progress;
    b->ops.read_back = read_back;
    b->ops.close = closed;
    b->ops.carries = carries;
}
