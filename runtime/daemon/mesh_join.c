/* SPDX-License-Identifier: Apache-2.0
 * An Envoy that has another control plane over ADS (Istio's, say) can ask for single filters from us: by a
 * stream for each of them, of a service of the type. Here all such streams of one connection become one
 * stream of discovery, as ADS would be:
 *
 *   request   what is subscribed goes on as it is. An acknowledgement goes on when the last stream that
 *             got a part of the response has sent it, a refusal at once
 *   response  each stream gets those resources that it has subscribed to, under the response's nonce
 *
 * A connection is one peer, so nobody can join the streams of another.
 */
#include "daemon/mesh_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "envoy_wire/discovery.h"

#define NAMES_MAX 256 /* LIMIT: subscriptions of one of these streams */
#define NONCE_MAX 64
#define TYPE_MAX 128
#define OWED_MAX 64   /* LIMIT: responses that one stream has not answered */

/* A response on its way: how many streams owe an answer to it. */
struct sent {
    struct sent *next;
    uint32_t owed;
    size_t nonce_len, type_len;
    char nonce[NONCE_MAX], type[TYPE_MAX];
};

struct part {
    struct part *next;
    struct join *join;
    struct mp_grpc_stream *grpc;
    char *type;
    char *names[NAMES_MAX];
    uint32_t name_count;
    struct sent *owes[OWED_MAX];
    uint32_t owe_count;
};

struct join {
    struct mesh_wire wire; /* first: what the backend has */
    struct join *next;
    struct dm_mesh *m;
    uint64_t connection;
    struct mp_envoy_stream *stream;
    struct part *parts;
    struct sent *sent;
    bool over; /* nothing goes on any more */
};

/* ---- the backend → streams ---- */

static bool subscribed(const struct part *p, mp_str name)
{
    for (uint32_t i = 0; i < p->name_count; i++) {
        if (mp_str_eq(mp_str_of(p->names[i]), name)) return true;
    }
    return false;
}

static void finish_all(struct join *j, enum mp_grpc_status status, mp_str why)
{
    j->over = true;
    for (struct part *p = j->parts; p != NULL; p = p->next) mp_grpc_finish(p->grpc, status, why);
}

/* What of a response is for one stream. False: nothing. */
static bool part_response(const struct mp_discovery_answer *all, const struct part *p, struct mp_arena *arena,
                          struct mp_discovery_response *out)
{
    struct mp_discovery_resource *resources = MP_NEW(arena, struct mp_discovery_resource, NAMES_MAX);
    mp_str *removed = MP_NEW(arena, mp_str, NAMES_MAX), name;
    struct pb_many some = all->resources, gone = all->removed;
    struct mp_discovery_resource r;
    if (resources == NULL || removed == NULL) return false;
    *out = (struct mp_discovery_response){.system_version = all->system_version, .type_url = all->type_url,
                                          .nonce = all->nonce, .control_plane = all->control_plane,
                                          .resources = resources, .removed = removed};
    while (mp_discovery_next_resource(&some, &r) && out->resource_count < NAMES_MAX) {
        if (subscribed(p, r.name)) resources[out->resource_count++] = r;
    }
    while (pb_many_next(&gone, &name) && out->removed_count < NAMES_MAX) {
        if (subscribed(p, name)) removed[out->removed_count++] = name;
    }
    return out->resource_count + out->removed_count > 0;
}

static bool send_part(struct part *p, const struct mp_discovery_response *r, struct mp_arena *arena,
                      struct sent *sent)
{
    struct pb_out out = pb_out_arena(arena);
    mp_discovery_write_response(&out, r);
    bool room = p->owe_count < OWED_MAX && !out.failed;
    if (room && mp_grpc_send(p->grpc, pb_view(&out)) == MP_OK) {
        p->owes[p->owe_count++] = sent;
        sent->owed++;
        return true;
    }
    mp_grpc_finish(p->grpc, MP_GRPC_RESOURCE_EXHAUSTED, MP_STR("it takes too long to read"));
    return false;
}

static enum mp_err join_send(struct mesh_wire *wire, mp_str bytes)
{
    struct join *j = (struct join *)wire;
    struct mp_discovery_answer all;
    struct mp_arena arena;
    const char *why;
    struct sent *sent = calloc(1, sizeof *sent);
    if (sent == NULL) return MP_ENOMEM;
    enum mp_err err = mp_discovery_read_response(bytes, &all, &why);
    MP_ASSERT(err == MP_OK && all.nonce.len <= NONCE_MAX && all.type_url.len <= TYPE_MAX); /* it is ours */
    memcpy(sent->nonce, all.nonce.ptr, sent->nonce_len = all.nonce.len);
    memcpy(sent->type, all.type_url.ptr, sent->type_len = all.type_url.len);
    for (struct part *p = j->parts; p != NULL; p = p->next) {
        struct mp_discovery_response r;
        mp_arena_init(&arena, NULL, 0);
        bool same = p->type != NULL && mp_str_eq(mp_str_of(p->type), all.type_url);
        if (same && part_response(&all, p, &arena, &r)) send_part(p, &r, &arena, sent);
        mp_arena_free(&arena);
    }
    sent->next = j->sent;
    j->sent = sent;
    return MP_OK;
}

static void join_end(struct mesh_wire *wire, mp_str why)
{
    finish_all((struct join *)wire, MP_GRPC_ABORTED, why);
}

/* ---- streams → the backend ---- */

static bool forward(struct join *j, mp_str bytes)
{
    if (j->over) return true;
    if (mp_envoy_stream_message(j->stream, bytes)) return true;
    finish_all(j, MP_GRPC_INVALID_ARGUMENT, mp_envoy_stream_why(j->stream));
    return false;
}

static void forward_ask(struct join *j, const struct mp_discovery_ask *ask)
{
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    struct pb_out out = pb_out_arena(&arena);
    mp_discovery_write_request(&out, ask);
    if (!out.failed) (void)forward(j, pb_view(&out));
    mp_arena_free(&arena);
}

static struct sent *sent_of(struct join *j, mp_str nonce)
{
    struct sent *s = j->sent;
    while (s != NULL && !mp_str_eq((mp_str){s->nonce, s->nonce_len}, nonce)) s = s->next;
    return s;
}

static void forget(struct join *j, struct sent *sent)
{
    struct sent **at = &j->sent;
    while (*at != sent) at = &(*at)->next;
    *at = sent->next;
    free(sent);
}

/* One stream has answered, or will not any more. True: it did owe an answer to this. */
static bool settle(struct part *p, struct sent *sent)
{
    for (uint32_t i = 0; i < p->owe_count; i++) {
        if (p->owes[i] != sent) continue;
        p->owes[i] = p->owes[--p->owe_count];
        sent->owed--;
        return true;
    }
    return false;
}

/* Nobody owes an answer to this any more: it is acknowledged. */
static void acknowledge(struct join *j, struct sent *sent)
{
    struct mp_discovery_ask ask = {.type_url = {sent->type, sent->type_len},
                                   .nonce = {sent->nonce, sent->nonce_len}};
    forward_ask(j, &ask);
    forget(j, sent);
}

static bool keep_name(struct part *p, mp_str name)
{
    if (subscribed(p, name)) return true;
    if (p->name_count == NAMES_MAX || (p->names[p->name_count] = strndup(name.ptr, name.len)) == NULL) return false;
    p->name_count++;
    return true;
}

static void drop_name(struct part *p, mp_str name)
{
    for (uint32_t i = 0; i < p->name_count; i++) {
        if (!mp_str_eq(mp_str_of(p->names[i]), name)) continue;
        free(p->names[i]);
        p->names[i] = p->names[--p->name_count];
        return;
    }
}

/* False: it asks for too much, or for another type than before. */
static bool keep_subscriptions(struct part *p, const struct mp_discovery_request *r)
{
    struct pb_many more = r->subscribe, less = r->unsubscribe;
    mp_str name;
    if (p->type == NULL) p->type = strndup(r->type_url.ptr, r->type_url.len);
    if (p->type == NULL || !mp_str_eq(mp_str_of(p->type), r->type_url)) return false;
    while (pb_many_next(&more, &name)) {
        if (!keep_name(p, name)) return false;
    }
    while (pb_many_next(&less, &name)) drop_name(p, name);
    return true;
}

/* An answer may change what is subscribed, too; that does not wait for other answers. */
static void forward_changes(struct part *p, const struct mp_discovery_request *r)
{
    mp_str more[NAMES_MAX], less[NAMES_MAX];
    struct mp_discovery_ask ask = {.type_url = r->type_url, .subscribe = more, .unsubscribe = less};
    struct pb_many some = r->subscribe, gone = r->unsubscribe;
    while (ask.subscribe_count < NAMES_MAX && pb_many_next(&some, &more[ask.subscribe_count])) ask.subscribe_count++;
    while (ask.unsubscribe_count < NAMES_MAX && pb_many_next(&gone, &less[ask.unsubscribe_count])) {
        ask.unsubscribe_count++;
    }
    if (ask.subscribe_count + ask.unsubscribe_count > 0) forward_ask(p->join, &ask);
}

static bool take(struct part *p, mp_str bytes)
{
    struct join *j = p->join;
    struct mp_discovery_request r;
    const char *why;
    if (mp_discovery_read_request(bytes, &r, &why) != MP_OK) return false;
    if (!keep_subscriptions(p, &r)) return false;
    if (r.nonce.len == 0) return forward(j, bytes);
    struct sent *sent = sent_of(j, r.nonce);
    bool owed = sent != NULL && settle(p, sent);
    if (!owed || (!r.has_error && sent->owed > 0)) { /* it was refused already; others have not answered */
        forward_changes(p, &r);
        return true;
    }
    for (struct part *other = j->parts; other != NULL; other = other->next) (void)settle(other, sent);
    forget(j, sent);
    return forward(j, bytes);
}

/* ---- as methods ---- */

static struct join *join_of(struct dm_mesh *m, const struct mp_grpc_peer *from)
{
    struct join *j = m->joins;
    while (j != NULL && (j->connection != from->connection || j->over)) j = j->next;
    if (j != NULL) return j;
    struct mp_envoy_peer peer = {.address = from->address, .identity = from->identity, .authenticated = from->tls};
    j = calloc(1, sizeof *j);
    if (j == NULL) return NULL;
    *j = (struct join){.wire = {join_send, join_end}, .m = m, .connection = from->connection, .next = m->joins};
    j->stream = mp_envoy_stream_open(m->envoy, &j->wire, &peer);
    if (j->stream == NULL) {
        free(j);
        return NULL;
    }
    m->joins = j;
    return j;
}

void *mesh_join_open(void *ctx, struct mp_grpc_stream *grpc)
{
    struct dm_mesh *m = ctx;
    struct part *p = calloc(1, sizeof *p);
    struct join *j = p != NULL ? join_of(m, mp_grpc_stream_peer(grpc)) : NULL;
    if (j == NULL) {
        free(p);
        return NULL;
    }
    p->join = j;
    p->grpc = grpc;
    p->next = j->parts;
    j->parts = p;
    return p;
}

bool mesh_join_message(void *state, mp_str bytes)
{
    struct part *p = state;
    struct dm *d = p->join->m->d;
    if (d->ending) return true;
    dm_clock(d);
    bool good = take(p, bytes);
    dm_turn(d);
    return good;
}

static void free_part(struct part *p)
{
    for (uint32_t i = 0; i < p->name_count; i++) free(p->names[i]);
    free(p->type);
    free(p);
}

/* What it subscribed to is not wanted any more, and what it owed nobody will answer. */
static void leave(struct join *j, struct part *p)
{
    struct mp_discovery_ask ask = {.type_url = mp_str_of(p->type), .unsubscribe_count = p->name_count};
    mp_str names[NAMES_MAX];
    for (uint32_t i = 0; i < p->name_count; i++) names[i] = mp_str_of(p->names[i]);
    ask.unsubscribe = names;
    while (p->owe_count > 0) {
        struct sent *sent = p->owes[p->owe_count - 1];
        (void)settle(p, sent);
        if (sent->owed == 0) acknowledge(j, sent);
    }
    if (p->name_count > 0) forward_ask(j, &ask);
}

static void close_join(struct join *j)
{
    struct join **at = &j->m->joins;
    while (*at != j) at = &(*at)->next;
    *at = j->next;
    while (j->sent != NULL) forget(j, j->sent);
    mp_envoy_stream_closed(j->stream);
    free(j);
}

void mesh_join_closed(void *state)
{
    struct part *p = state, **at = &p->join->parts;
    struct join *j = p->join;
    struct dm_mesh *m = j->m;
    while (*at != p) at = &(*at)->next;
    *at = p->next;
    bool last = j->parts == NULL;
    if (!last && !m->d->ending) leave(j, p);
    free_part(p);
    if (last) close_join(j);
    if (m->d->ending) return;
    dm_records_tick(m->records);
    dm_turn(m->d);
}

/* Responses that no stream got: acknowledged from here, so that nothing waits for them. */
void mesh_join_settle(struct dm_mesh *m)
{
    for (struct join *j = m->joins; j != NULL; j = j->next) {
        for (struct sent *s = j->sent, *next; s != NULL; s = next) {
            next = s->next;
            if (s->owed == 0) acknowledge(j, s);
        }
    }
}
