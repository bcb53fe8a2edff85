/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int by_target(const void *a, const void *b)
{
    const struct mpol_lease *x = *(const struct mpol_lease *const *)a,
                            *y = *(const struct mpol_lease *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void lease_text(const struct mpol_lease *l, char *out, size_t size)
{
    char to[32] = "0";
    for (uint32_t k = 0; k < l->arg_count; k++) {
        const struct mpol_arg *a = &l->args[k];
        bool is_to = a->name.len == 2 && memcmp(a->name.ptr, "to", 2) == 0;
        if (is_to && a->kind == MPOL_ARG_NUMBER) snprintf(to, sizeof to, "%g", a->number);
        if (is_to && a->kind == MPOL_ARG_TEXT)
            snprintf(to, sizeof to, "%.*s", (int)a->text.len, a->text.ptr);
    }
    snprintf(out, size, "%.*s %.*s %.*s to=%s back=%g", (int)l->verb.len, l->verb.ptr,
             (int)l->target_kind.len, l->target_kind.ptr, (int)l->target.len, l->target.ptr, to,
             l->given_back);
}

/* A lease on a target of this name, or, for what has a `=` in it, whose text has it. */
static bool has(const struct mpol_desired *set, const char *what)
{
    for (size_t i = 0; i < set->lease_count; i++) {
        char text[MESH_TEXT_MAX];
        const struct mpol_text *t = &set->leases[i].target;
        lease_text(&set->leases[i], text, sizeof text);
        if (t->len == strlen(what) && memcmp(t->ptr, what, t->len) == 0) return true;
        if (strchr(what, '=') != NULL && strstr(text, what) != NULL) return true;
    }
    return false;
}

static enum mpol_err apply(void *backend, const struct mpol_desired *set)
{
    struct mesh *m = backend;
    if (m->answer != MPOL_OK) return m->answer;
    if (m->room > 0 && set->lease_count > m->room) return MPOL_ELIMIT;
    if (m->hates != NULL && has(set, m->hates)) return MPOL_EUNSUPPORTED;
    m->nacked = m->nacks != NULL && has(set, m->nacks);
    const struct mpol_lease *sorted[64];
    assert_true(set->lease_count <= 64);
    assert_true(set->revision > m->revision);
    for (size_t i = 0; i < set->lease_count; i++) sorted[i] = &set->leases[i];
    qsort(sorted, set->lease_count, sizeof *sorted, by_target);
    size_t at = 0;
    m->set[0] = 0;
    m->count = set->lease_count;
    for (size_t i = 0; i < set->lease_count; i++) {
        m->last[i].id = sorted[i]->id;
        lease_text(sorted[i], m->last[i].text, sizeof m->last[i].text);
        at += (size_t)snprintf(m->set + at, sizeof m->set - at, "%s; ", m->last[i].text);
    }
    m->begins_ns = set->lease_count > 0 ? sorted[0]->begins_wall_ns : 0;
    m->revision = set->revision;
    m->applied++;
    return MPOL_OK;
}

static enum mpol_err progress(void *backend, struct mpol_progress *out)
{
    struct mesh *m = backend;
    bool accepts = m->accepts && !m->nacked;
    if (accepts) m->accepted = m->revision;
    if (accepts && m->obeys) m->effective = m->revision;
    out->accepted = m->accepted;
    out->effective = m->effective;
    out->trouble = m->nacked ? MPOL_EINVAL : m->trouble;
    out->trouble_text = mpol_text(m->nacked ? "no such thing" : m->trouble_text);
    size_t held = 0;
    if (m->held.lease != 0) m->all_held[held++] = m->held;
    for (size_t i = 0; i < m->count; i++) {
        if (m->nobody == NULL || strstr(m->last[i].text, m->nobody) == NULL) continue;
        m->all_held[held++] = (struct mpol_lease_trouble){
            m->last[i].id, m->nobody_is != MPOL_OK ? m->nobody_is : MPOL_EIO,
            mpol_text("nobody is there")};
    }
    out->held = m->all_held;
    out->held_count = held;
    return MPOL_OK;
}

static enum mpol_err carries(void *backend, const struct mpol_lease *lease, char *why,
                             size_t why_size)
{
    struct mesh *m = backend;
    char text[MESH_TEXT_MAX];
    lease_text(lease, text, sizeof text);
    m->asked++;
    if (m->nobody == NULL || strstr(text, m->nobody) == NULL) return MPOL_OK;
    snprintf(why, why_size, "nobody is there");
    return MPOL_EIO;
}

static void close_mesh(void *backend) { ((struct mesh *)backend)->closed++; }

static const struct mpol_capability all[] = {
    {"throttle", "service", MPOL_ANY_LAYER, MPOL_CAN_PARTIAL},
    {"quarantine", "service", MPOL_ANY_LAYER, MPOL_CAN_PARTIAL},
    {"cap", "service", MPOL_ANY_LAYER, 0},
    {"cut", "service", MPOL_ANY_LAYER, 0},
    {"route", "service", MPOL_ANY_LAYER, MPOL_CAN_PARTIAL},
};

static enum mpol_err check(void *backend, const struct mpol_lease *lease, char *why,
                           size_t why_size)
{
    const struct mesh *m = backend;
    struct mpol_desired one = {.leases = lease, .lease_count = 1};
    if (m->hates == NULL || !has(&one, m->hates)) return MPOL_OK;
    snprintf(why, why_size, "%s is not liked here", m->hates);
    return MPOL_EUNSUPPORTED;
}

#define OPS                                                                                        \
    .size = sizeof mesh_ops, .name = "mesh", .capabilities = all,                                  \
    .capability_count = sizeof all / sizeof *all, .apply = apply, .progress = progress,            \
    .close = close_mesh, .check = check

const struct mpol_backend_ops mesh_ops = {OPS};
const struct mpol_backend_ops mesh_asked_ops = {OPS, .carries = carries};

void mesh_init(struct mesh *m) { *m = (struct mesh){.accepts = true, .obeys = true}; }

void mesh_open_with(struct loop *l, struct mesh *m, const char *policy,
                    const struct mpol_backend_ops *ops)
{
    mesh_init(m);
    loop_open(l, policy, true, MP_ENGINE_TEST);
    assert_int_equal(mp_engine_backend(l->engine, ops, m), MP_OK);
}

void mesh_open(struct loop *l, struct mesh *m, const char *policy)
{
    mesh_open_with(l, m, policy, &mesh_ops);
}
