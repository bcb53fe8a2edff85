/* SPDX-License-Identifier: Apache-2.0
 * What the backend wants to see with its own eyes → the prover, and what that saw back to the
 * backend.
 */
#include "daemon/mesh_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "envoy_xds/names.h"

#define NODE_BYTES 256
#define AGAIN_MS 5 /* until what the prover had no room for is asked again */

struct mesh_proof {
    struct mesh_proof *next;
    struct dm_mesh *m;
    uint64_t ticket; /* the backend's */
    uint64_t running; /* the prover's; 0: it did not take it */
    enum mp_envoy_proven answer; /* of one that is not running: told by the timer */
    const char *why; /* UNPROVABLE; else nothing was seen */
    bool due;
    char node[NODE_BYTES]; /* for the log */
};

static struct mesh_proof **place_of(struct dm_mesh *m, uint64_t ticket)
{
    struct mesh_proof **at = &m->proofs;
    while (*at != NULL && (*at)->ticket != ticket) at = &(*at)->next;
    return at;
}

static void take_out(struct dm_mesh *m, struct mesh_proof *proof)
{
    struct mesh_proof **at = place_of(m, proof->ticket);
    if (*at != NULL) *at = proof->next;
    free(proof);
}

static void answer(struct mesh_proof *proof, enum mp_envoy_proven how, mp_str seen)
{
    struct dm_mesh *m = proof->m;
    uint64_t ticket = proof->ticket;
    take_out(m, proof);
    if (m->d->ending) return;
    dm_clock(m->d);
    mp_envoy_proven(m->envoy, ticket, how, seen);
    dm_turn(m->d); /* a lease may have become effective */
}

static void on_proof(void *ctx, const struct mp_proof *proof)
{
    static const enum mp_envoy_proven answers[] = {[MP_PROVE_PROVEN] = MP_ENVOY_PROVEN,
                                                   [MP_PROVE_NOT_YET] = MP_ENVOY_NOT_YET,
                                                   [MP_PROVE_PANIC] = MP_ENVOY_UNPROVABLE,
                                                   [MP_PROVE_UNREACHABLE] = MP_ENVOY_UNPROVABLE};
    struct mesh_proof *asked = ctx;
    if (proof->result == MP_PROVE_PANIC && !asked->m->d->ending) {
        dm_log(asked->m->d, "warn", "proxy %s: %.*s", asked->node, MP_STR_ARG(proof->text));
    }
    answer(asked, answers[proof->result], proof->text);
}

static struct mesh_proof *first_due(struct dm_mesh *m)
{
    struct mesh_proof *p = m->proofs;
    while (p != NULL && !p->due) p = p->next;
    return p;
}

/* What the backend must not be told from within its own call. An answer may begin or end others,
 * and those that it begins are told at the next turn: else one that is asked again at once never
 * ends. */
static void on_prove_timer(uv_timer_t *timer)
{
    struct dm_mesh *m = timer->data;
    for (struct mesh_proof *p = m->proofs; p != NULL; p = p->next) p->due = p->running == 0;
    for (struct mesh_proof *p; (p = first_due(m)) != NULL;) answer(p, p->answer, mp_str_of(p->why));
}

/* ---- a question as the prover takes it ---- */

static mp_str part_after(mp_str s, mp_str prefix)
{
    return mp_str_starts(s, prefix) ? mp_str_sub(s, prefix.len, SIZE_MAX) : MP_STR("");
}

/* Every address of the proxy's machine is also the one that its stream comes from. */
static mp_str reachable(struct mp_arena *arena, mp_str address, mp_str peer)
{
    static const char *const any[] = {"0.0.0.0:", "[::]:"};
    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
        mp_str port = part_after(address, mp_str_of(any[i]));
        if (port.len == 0) continue;
        size_t host = peer.len;
        while (host > 0 && peer.ptr[host - 1] != ':') host--;
        /* a unix socket */
        if (host == 0) return mp_arena_printf(arena, "127.0.0.1:%.*s", MP_STR_ARG(port));
        return mp_arena_printf(arena, "%.*s%.*s", (int)host, peer.ptr, MP_STR_ARG(port));
    }
    return address;
}

static void put_listener(const struct mp_envoy_ask *ask, struct mp_prove_task *task)
{
    task->kind = MP_PROVE_LISTENER;
    task->address = ask->listen;
    task->tls = ask->tls;
    task->path = ask->what->path;
    task->status = (unsigned)ask->what->status;
}

static void put_runtime(const struct mp_envoy_ask *ask, struct mp_prove_task *task,
                        struct mp_prove_value *value)
{
    *value = (struct mp_prove_value){ask->what->key, ask->what->value};
    task->kind = MP_PROVE_RUNTIME;
    task->address = ask->admin;
    task->values = value;
    task->value_count = 1;
}

static bool put_clusters(const struct mp_envoy_ask *ask, struct mp_prove_task *task,
                         struct mp_arena *arena)
{
    const struct mp_envoy_proof *what = ask->what;
    struct mp_prove_endpoint *rows =
        MP_NEW(arena, struct mp_prove_endpoint, what->endpoint_count + 1);
    if (rows == NULL) return false;
    for (uint32_t i = 0; i < what->endpoint_count; i++) {
        const struct mp_envoy_endpoint *e = &what->endpoints[i];
        bool v6 = mp_str_contains(e->ip, MP_STR(":"));
        rows[i] = (struct mp_prove_endpoint){
            .address =
                mp_arena_printf(arena, v6 ? "[%.*s]:%u" : "%.*s:%u", MP_STR_ARG(e->ip), e->port),
            .state = e->health == MP_ENVOY_HEALTHY ? MP_PROVE_IN : MP_PROVE_OUT,
            .weight = e->weight};
        if (rows[i].address.ptr == NULL) return false;
    }
    task->kind = MP_PROVE_CLUSTERS;
    task->address = ask->admin;
    task->cluster = what->cluster;
    task->panic_percent = ask->panic_percent;
    task->endpoints = rows;
    task->endpoint_count = what->endpoint_count;
    return true;
}

static void start(struct mesh_proof *proof, const struct mp_envoy_ask *ask)
{
    struct mp_prove_value value;
    struct mp_arena arena;
    struct mp_hash_key key = {1, 2};
    struct mp_prove_task task = {.proxy = mp_siphash(key, ask->node.ptr, ask->node.len),
                                 .done = on_proof, .ctx = proof};
    bool made = true;
    mp_arena_init(&arena, NULL, 0);
    switch (ask->what->kind) {
    case MP_ENVOY_PROOF_REQUEST: put_listener(ask, &task); break;
    case MP_ENVOY_PROOF_RUNTIME: put_runtime(ask, &task, &value); break;
    case MP_ENVOY_PROOF_CLUSTERS: made = put_clusters(ask, &task, &arena); break;
    case MP_ENVOY_PROOF_NONE: break;
    }
    enum mp_err err = MP_ENOMEM;
    task.address = reachable(&arena, task.address, ask->peer);
    if (task.address.len == 0) {
        err = MP_EINVAL; /* it has not told where it can be asked */
    } else if (made) {
        err = mp_prove(proof->m->prover, &task, &proof->running);
    }
    proof->answer = err == MP_EINVAL ? MP_ENVOY_UNPROVABLE : MP_ENVOY_NOT_YET;
    /* Otherwise there was no room for the question: nothing was seen. */
    proof->why = err == MP_EINVAL ? "its bootstrap names no address to ask at" : "";
    mp_arena_free(&arena);
}

/* ---- from the backend ---- */

void mesh_prove(void *ctx, const struct mp_envoy_ask *ask)
{
    struct dm_mesh *m = ctx;
    if (ask->replaces != 0) mesh_prove_cancel(m, ask->replaces);
    if (m->d->ending) return;
    struct mesh_proof *proof = calloc(1, sizeof *proof);
    if (proof == NULL) return; /* never proven: the lease is told as stuck */
    *proof = (struct mesh_proof){
        .m = m, .ticket = ask->ticket, .next = m->proofs, .why = "nobody asks"};
    snprintf(proof->node, sizeof proof->node, "%.*s", MP_STR_ARG(ask->node));
    m->proofs = proof;
    if (m->prover != NULL) start(proof, ask);
    if (proof->running != 0) return;
    uv_timer_start(&m->prove_timer, on_prove_timer,
                   proof->answer == MP_ENVOY_NOT_YET ? AGAIN_MS : 0, 0);
}

void mesh_prove_cancel(void *ctx, uint64_t ticket)
{
    struct dm_mesh *m = ctx;
    struct mesh_proof *proof = *place_of(m, ticket);
    if (proof == NULL) return;
    if (proof->running != 0) mp_prove_cancel(m->prover, proof->running);
    take_out(m, proof);
}

/* ---- looks at listeners ---- */

struct look {
    struct dm_mesh *m;
    uint64_t ticket;
};

static void on_look(void *ctx, const struct mp_proof *proof)
{
    struct look *look = ctx;
    struct look was = *look;
    struct mp_envoy_looked seen = {.seen = proof->result == MP_PROVE_PROVEN ||
                                           proof->result == MP_PROVE_NOT_YET,
                                   .missing = proof->missing};
    if (proof->result == MP_PROVE_NOT_YET) seen.text = proof->text;
    free(look);
    if (was.m->d->ending) return;
    dm_clock(was.m->d);
    mp_envoy_looked(was.m->envoy, was.ticket, &seen);
    dm_turn(was.m->d); /* a lease may be known to be carried, or not to be */
}

/* What cannot be asked now is not answered, and asked again with what the proxy asks for next: it
 * holds nothing up for longer than a proxy is new. */
void mesh_look(void *ctx, const struct mp_envoy_look *what)
{
    struct dm_mesh *m = ctx;
    struct mp_arena arena;
    struct mp_hash_key key = {1, 2};
    struct look *look = m->prover != NULL && !m->d->ending ? malloc(sizeof *look) : NULL;
    if (look == NULL) return;
    *look = (struct look){m, what->ticket};
    mp_arena_init(&arena, NULL, 0);
    struct mp_prove_task task = {.kind = MP_PROVE_FILTERS,
                                 .proxy = mp_siphash(key, what->node.ptr, what->node.len),
                                 .address = reachable(&arena, what->admin, what->peer),
                                 .filters = what->filters, .filter_count = what->filter_count,
                                 .listen = what->listen, .done = on_look, .ctx = look};
    if (mp_prove(m->prover, &task, NULL) != MP_OK) free(look);
    mp_arena_free(&arena);
}

bool mesh_prove_open(struct dm_mesh *m)
{
    uv_timer_init(&m->d->loop, &m->prove_timer);
    m->prove_timer.data = m;
    m->timers_open = true;
    const struct mp_daemon_options *o = m->d->options;
    struct mp_prover_options options = {.cert = o->xds_cert, .key = o->xds_key};
    return mp_prover_open(&m->d->loop, &options, &m->prover) == MP_OK;
}

void mesh_prove_close(struct dm_mesh *m)
{
    mp_prover_close(m->prover); /* answers what is left */
    m->prover = NULL;
    while (m->proofs != NULL) take_out(m, m->proofs);
    if (m->timers_open) uv_close((uv_handle_t *)&m->prove_timer, NULL);
    m->timers_open = false;
}
