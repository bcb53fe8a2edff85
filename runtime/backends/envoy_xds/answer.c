/* SPDX-License-Identifier: Apache-2.0
 * Responses: a proxy is sent what differs from what it has, and nothing that it refused.
 */
#include <stdio.h>

#include "base/assert.h"
#include "envoy_xds/envoy_xds_priv.h"

/* LIMIT: resources and names in one response. */
#define MOST 256

/* ---- what is to be sent ---- */

/* Refused content goes out again only when it has changed: the proxy would refuse it again. */
static bool is_due(const struct sub *x)
{
    if (x->flights == WINDOW || x->desired == &xd_unsent) return false;
    if (x->desired == NULL && !x->stream->variant->removes) return false;
    if (x->refused != NULL && x->refused == x->desired) return false;
    if (x->turn_ns != 0 && !x->again) return false;
    return x->again || x->desired != x->sent;
}

struct batch {
    struct sub *subs[MOST];
    uint32_t count;
    bool more;
};

/* What was in a response that was refused goes alone,
 * so that the next refusal names the culprit. */
static void gather(struct typed *t, struct batch *b)
{
    b->count = 0;
    b->more = false;
    for (struct sub *x = t->first; x != NULL; x = x->next) {
        if (!is_due(x)) continue;
        if (b->count == MOST || (b->count > 0 && (x->alone || b->subs[0]->alone))) {
            b->more = true;
            continue;
        }
        b->subs[b->count++] = x;
    }
}

/* Where a response has no word for "there is none", nothing is waited for: the proxy keeps what it
 * has. */
static void settle_absent(struct mp_envoy *e, struct typed *t)
{
    for (struct sub *x = t->first; x != NULL; x = x->next) {
        if (x->desired != NULL || x->flights > 0) continue;
        e->touched |= x->unsent_revision != 0;
        x->unsent_revision = 0;
        x->again = x->alone = false;
        if (x->acked != &xd_unsent) continue;
        res_put(e, &x->sent, NULL);
        res_put(e, &x->acked, NULL);
        x->acked_ns = xd_now(e);
        proof_ask(x);
    }
}

/* ---- writing ---- */

static size_t size_of(const struct mp_discovery_response *r)
{
    enum { OVERHEAD = 64 }; /* tags and lengths, generously */
    size_t n =
        OVERHEAD + r->type_url.len + r->nonce.len + r->system_version.len + r->control_plane.len;
    for (size_t i = 0; i < r->resource_count; i++) {
        const struct mp_discovery_resource *x = &r->resources[i];
        n += OVERHEAD + x->name.len + x->version.len + x->type_url.len + x->value.len;
    }
    for (size_t i = 0; i < r->removed_count; i++) n += OVERHEAD + r->removed[i].len;
    return n;
}

static bool room_for(struct mp_envoy *e, size_t size)
{
    if (size <= e->wire_size) return true;
    size_t wanted = e->wire_size != 0 ? e->wire_size : 4096;
    while (wanted < size) wanted *= 2;
    char *bytes = xd_alloc(e, wanted);
    if (bytes == NULL) return false;
    xd_free(e, e->wire_bytes, e->wire_size);
    e->wire_bytes = bytes;
    e->wire_size = wanted;
    return true;
}

#define VERSION_TEXT 32

static mp_str version_text(const struct variant *variant, uint64_t version, char room[VERSION_TEXT])
{
    int n = snprintf(room, VERSION_TEXT, variant->versions ? "%016llx" : "%llu",
                     (unsigned long long)version);
    return (mp_str){room, (size_t)n};
}

static enum mp_err send(struct mp_envoy_stream *s, struct mp_discovery_response *r,
                        uint64_t version, const char *kind)
{
    struct mp_envoy *e = s->e;
    char nonce[32], text[VERSION_TEXT];
    int n = snprintf(nonce, sizeof nonce, "%s%llu", kind, (unsigned long long)(s->nonces + 1));
    r->variant = s->variant->wire;
    r->nonce = (mp_str){nonce, (size_t)n};
    r->system_version = version_text(s->variant, version, text);
    r->control_plane = MP_STR("mpol");
    if (!room_for(e, size_of(r))) return MP_ENOMEM;
    struct pb_out out = pb_out_fixed(e->wire_bytes, e->wire_size);
    mp_discovery_write_response(&out, r);
    MP_ASSERT(!out.failed);
    enum mp_err err = e->host.send(e->host.ctx, s->wire, pb_view(&out));
    if (err != MP_OK) return err;
    s->nonces++;
    e->counts.responses++;
    e->counts.resources += r->resource_count;
    e->counts.removed += r->removed_count;
    e->counts.bytes += out.len;
    return MP_OK;
}

void stream_say_none(struct mp_envoy_stream *s, mp_str url, const mp_str *names, size_t count)
{
    struct mp_discovery_response r = {.type_url = url, .removed = names};
    if (s->variant->removes) r.removed_count = count;
    (void)send(s, &r, s->e->revision, "x"); /* nobody waits for the answer to it */
}

static void note_sent(struct mp_envoy *e, struct sub *x, uint64_t nonce)
{
    MP_ASSERT(x->flights < WINDOW);
    uint64_t since = x->unsent_revision != 0 ? x->unsent_revision : e->revision;
    x->flight[x->flights++] = (struct flight){nonce, res_hold(x->desired), since};
    res_put(e, &x->sent, x->desired);
    x->unsent_revision = 0;
    x->again = false;
    turn_end(x);
}

static void add_resource(struct mp_discovery_response *r, struct mp_discovery_resource *resources,
                         const struct res *d)
{
    resources[r->resource_count++] =
        (struct mp_discovery_resource){d->name, d->version, d->type_url, d->bytes};
}

/* What the proxy is known to have besides. Of these types there are a few. */
static void add_others(const struct typed *t, const struct batch *b,
                       struct mp_discovery_response *r, struct mp_discovery_resource *resources)
{
    for (const struct sub *x = t->first; x != NULL && r->resource_count < MOST; x = x->next) {
        uint32_t i = 0;
        while (i < b->count && b->subs[i] != x) i++;
        bool has = x->acked != NULL && x->acked != &xd_unsent && x->sent == x->acked;
        if (i == b->count && has) add_resource(r, resources, x->acked);
    }
}

static enum mp_err send_batch(struct mp_envoy_stream *s, enum mp_envoy_type type,
                              const struct batch *b)
{
    struct mp_envoy *e = s->e;
    struct typed *t = &s->types[type];
    struct mp_discovery_resource resources[MOST];
    mp_str removed[MOST];
    struct mp_discovery_response r = {.type_url = type_url(type), .resources = resources,
                                      .removed = removed};
    uint64_t version = s->variant->versions ? res_chain(t->version, NULL) : e->revision;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct res *d = b->subs[i]->desired;
        version = s->variant->versions ? res_chain(version, d) : version;
        if (d == NULL) {
            removed[r.removed_count++] = b->subs[i]->name;
        } else {
            add_resource(&r, resources, d);
        }
    }
    if ((s->variant->whole >> type & 1) != 0) add_others(t, b, &r, resources);
    MP_TRY(send(s, &r, version, ""));
    t->nonce = s->nonces;
    t->version = version;
    for (uint32_t i = 0; i < b->count; i++) note_sent(e, b->subs[i], s->nonces);
    t->sent[t->sents++] = (struct sent){s->nonces, xd_awake(e), b->count};
    t->responses++;
    t->owes = false;
    return MP_OK;
}

static enum mp_err push_type(struct mp_envoy_stream *s, enum mp_envoy_type type)
{
    struct typed *t = &s->types[type];
    struct batch b = {.more = true};
    if (!s->variant->removes) settle_absent(s->e, t);
    while (b.more && t->sents < s->variant->window) {
        gather(t, &b);
        if (b.count == 0 && !t->owes) break;
        MP_TRY(send_batch(s, type, &b));
    }
    return MP_OK;
}

void stream_push(struct mp_envoy_stream *s)
{
    if (s->ended || s->blocked || s->proxy == NULL) return;
    for (int type = 0; type < MP_ENVOY_TYPES; type++) {
        enum mp_err err = push_type(s, (enum mp_envoy_type)type);
        if (err == MP_ELIMIT) {
            s->blocked = true;
            return;
        }
        if (err != MP_OK) {
            stream_end(s, mp_str_of(mp_err_text(err)));
            return;
        }
    }
}

void mp_envoy_stream_drained(struct mp_envoy_stream *s)
{
    s->blocked = false;
    stream_push(s);
}

/* ---- what was answered ---- */

uint64_t sub_pending(const struct sub *x)
{
    if (x->flights > 0) return x->flight[0].revision;
    return x->desired != x->sent ? x->unsent_revision : 0;
}

/* Forgets flights up to `index`: an answer to a later one makes those before it old. */
static void forget(struct mp_envoy *e, struct sub *x, uint32_t index)
{
    for (uint32_t i = 0; i <= index; i++) res_drop(e, x->flight[i].res);
    x->flights -= index + 1;
    memmove(x->flight, x->flight + index + 1, x->flights * sizeof *x->flight);
}

static void sub_acked(struct sub *x, uint32_t index)
{
    struct mp_envoy *e = x->stream->e;
    struct flight f = x->flight[index];
    res_put(e, &x->acked, f.res);
    x->acked_ns = xd_now(e);
    if (x->unobeyed_revision == 0) {
        x->unobeyed_revision = x->flight[0].revision;
        x->unobeyed_ns = xd_awake(e);
    }
    x->alone = false;
    x->refusals = 0;
    forget(e, x, index);
    proof_ask(x);
}

static void tell_refused(struct mp_envoy *e, const struct proxy *p)
{
    if (e->host.refused == NULL || !p->known) return;
    e->host.refused(e->host.ctx, &(struct mp_envoy_refusal){
                                     p->id, mp_envoy_type_word(p->nack_type),
                                     {p->nack_name, p->nack_name_len},
                                     {p->nack_text, p->nack_text_len}});
}

static void note_refused(struct sub *x, mp_str text)
{
    struct proxy *p = x->stream->proxy;
    p->nack_type = x->type;
    p->nack_name_len = xd_clean(x->name, p->nack_name, sizeof p->nack_name);
    p->nack_text_len = xd_clean(text, p->nack_text, sizeof p->nack_text);
    tell_refused(x->stream->e, p);
    xd_log(x->stream->e, MP_ENVOY_WARNING, "proxy %.*s refused %.*s (%s): %.*s", MP_STR_ARG(p->id),
           (int)p->nack_name_len, p->nack_name, mp_envoy_type_word(x->type).ptr,
           (int)p->nack_text_len, p->nack_text);
}

/* An Envoy that refuses a secret goes on with what it made of the ones before, but holds the new
 * one: it refuses all others for its sake until it is given a good one, also the one before. */
static bool holds_what_it_refuses(const struct sub *x) { return x->type == MP_ENVOY_SDS; }

/* So one that was refused may have been good. An answer of yes to another cannot come of its own
 * being sent again, so this ends. */
static void try_refused_again(struct typed *t)
{
    for (struct sub *x = t->first; x != NULL; x = x->next) {
        if (holds_what_it_refuses(x)) res_put(x->stream->e, &x->refused, NULL);
    }
}

/* The proxy keeps the last good one. Of a response with several nobody can say which was bad:
 * each is sent again by itself. */
static void sub_nacked(struct sub *x, uint32_t index, uint32_t together, mp_str text)
{
    struct mp_envoy *e = x->stream->e;
    struct res *bad = res_hold(x->flight[index].res);
    uint64_t since = x->flight[0].revision;
    forget(e, x, index);
    if (x->flights == 0) {
        res_put(e, &x->sent, holds_what_it_refuses(x) ? &xd_unsent : x->acked);
        if (x->desired != x->sent) x->unsent_revision = since;
    } else {
        x->flight[0].revision = since;
    }
    if (together > 1) {
        x->alone = true;
    } else {
        x->refusals++;
        res_put(e, &x->refused, bad == x->desired ? bad : NULL);
        note_refused(x, text);
    }
    res_drop(e, bad);
}

static uint64_t nonce_read(mp_str text)
{
    uint64_t n = 0;
    if (text.len == 0 || text.len > 19) return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return 0;
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return n;
}

static bool take_sent(struct typed *t, uint64_t nonce, struct sent *out)
{
    for (uint32_t i = 0; i < t->sents; i++) {
        if (t->sent[i].nonce != nonce) continue;
        *out = t->sent[i];
        t->sents--;
        memmove(&t->sent[i], &t->sent[i + 1], (t->sents - i) * sizeof *t->sent);
        return true;
    }
    return false;
}

bool stream_is_settled(const struct typed *t, mp_str nonce)
{
    return t->nonce != 0 && t->sents == 0 && nonce_read(nonce) == t->nonce;
}

/* Has the proxy not taken it? Where it is to repeat the version, another one says so too: an Envoy
 * in which nothing asks for the type any more answers like that. */
static bool is_refusal(const struct mp_envoy_stream *s, const struct typed *t,
                       const struct mp_discovery_request *r, mp_str *words)
{
    char room[VERSION_TEXT];
    *words = r->error_text;
    if (r->has_error || !s->variant->versions) return r->has_error;
    *words = MP_STR("it has taken nothing of it, and keeps the version before");
    return !mp_str_eq(r->version, version_text(s->variant, t->version, room));
}

bool stream_answered(struct mp_envoy_stream *s, enum mp_envoy_type type,
                     const struct mp_discovery_request *r)
{
    struct mp_envoy *e = s->e;
    struct typed *t = &s->types[type];
    struct sent sent;
    mp_str words;
    uint64_t nonce = nonce_read(r->nonce);
    if (!take_sent(t, nonce, &sent)) return false;
    s->doubted = false;
    bool refusal = is_refusal(s, t, r, &words);
    *(refusal ? &e->counts.nacks : &e->counts.acks) += 1;
    *(refusal ? &t->nacks : &t->acks) += 1;
    *(refusal ? &s->proxy->nack_ns : &s->proxy->ack_ns) = xd_now(e);
    for (struct sub *x = t->first; x != NULL; x = x->next) {
        for (uint32_t i = 0; i < x->flights; i++) {
            if (x->flight[i].nonce != nonce) continue;
            if (refusal) {
                sub_nacked(x, i, sent.resources, words);
            } else {
                sub_acked(x, i);
            }
            break;
        }
    }
    if (!refusal) try_refused_again(t);
    e->touched = true;
    return true;
}
