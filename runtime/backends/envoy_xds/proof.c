/* SPDX-License-Identifier: Apache-2.0
 * Questions to the prover: what was acknowledged counts as obeyed when somebody has seen it.
 *
 * LIMIT: one question at a time for each resource of a proxy, about the newest that it
 * acknowledged. While changes come faster than answers the older ones are proven by the answer to
 * the newest.
 */
#include "base/assert.h"
#include "envoy_xds/envoy_xds_priv.h"

static void unlink_ask(struct mp_envoy *e, struct sub *x)
{
    struct sub **at = &e->asks[x->ticket % ASK_BUCKETS];
    while (*at != x) at = &(*at)->in_asks;
    *at = x->in_asks;
    x->ticket = 0;
    x->in_asks = NULL;
    res_put(e, &x->asked, NULL);
}

static void stop_merge(struct mp_envoy *e, struct sub *x)
{
    if (x->merge_ns == 0) return;
    x->merge_ns = 0;
    e->merging--;
}

void proof_cancel(struct sub *x)
{
    struct mp_envoy *e = x->stream->e;
    stop_merge(e, x);
    if (x->ticket == 0) return;
    uint64_t ticket = x->ticket;
    unlink_ask(e, x);
    e->host.prove_cancel(e->host.ctx, ticket);
}

static void obey(struct sub *x, enum seen seen)
{
    struct mp_envoy *e = x->stream->e;
    stop_merge(e, x);
    res_put(e, &x->obeyed, x->acked);
    x->unobeyed_revision = 0;
    x->shown = false;
    x->seen = seen;
    e->regroup |= x->disobeys;
    x->disobeys = false;
    e->touched = true;
}

/* Nobody is accused without an answer that shows it: we may have been too busy to ask. */
static void say_unobeyed(const struct sub *x)
{
    const struct proxy *p = x->stream->proxy;
    if (x->shown) {
        xd_log(x->stream->e, MP_ENVOY_WARNING, "proxy %.*s has taken %.*s and does not obey it: %.*s",
               MP_STR_ARG(p->id), MP_STR_ARG(x->name), (int)p->seen_len, p->seen);
    } else {
        xd_log(x->stream->e, MP_ENVOY_WARNING,
               "proxy %.*s has taken %.*s, and nobody could see yet whether it obeys it",
               MP_STR_ARG(p->id), MP_STR_ARG(x->name));
    }
}

void proof_give_up(struct sub *x, int64_t awake_ns)
{
    struct mp_envoy *e = x->stream->e;
    if (x->disobeys || x->unobeyed_revision == 0 || x->ticket == 0 ||
        awake_ns - x->unobeyed_ns < e->limits.silent_ns)
        return;
    x->disobeys = e->regroup = true;
    say_unobeyed(x);
}

/* It answers, and shows something else. */
static void note_shown(struct sub *x)
{
    struct mp_envoy *e = x->stream->e;
    if (x->shown) return;
    x->shown = e->touched = true;
    if (!x->disobeys) return;
    e->regroup = true;
    say_unobeyed(x);
}

/* Endpoints count when the proxy has merged them too, which it does after its ACK, and after its
 * admin port shows them. */
static void obey_merged(struct sub *x, enum seen seen)
{
    struct mp_envoy *e = x->stream->e;
    int64_t at_ns = x->acked_ns + x->stream->proxy->merge_ns;
    if (x->type != MP_ENVOY_EDS || at_ns <= xd_now(e)) {
        obey(x, seen);
        return;
    }
    if (x->merge_ns == 0) e->merging++;
    x->merge_ns = at_ns;
    x->merge_seen = seen;
}

static void ask(struct sub *x, uint64_t replaces)
{
    struct mp_envoy *e = x->stream->e;
    const struct proxy *p = x->stream->proxy;
    x->ticket = ++e->tickets;
    x->in_asks = e->asks[x->ticket % ASK_BUCKETS];
    e->asks[x->ticket % ASK_BUCKETS] = x;
    res_put(e, &x->asked, x->acked);
    struct mp_envoy_ask what = {.ticket = x->ticket,
                                .replaces = replaces,
                                .node = p->id,
                                .peer = p->address,
                                .listen = p->listen,
                                .tls = p->tls,
                                .admin = p->admin,
                                .panic_percent = p->panic_percent,
                                .type = x->type,
                                .resource = x->name,
                                .what = &x->asked->proof};
    e->host.prove(e->host.ctx, &what);
}

void proof_ask(struct sub *x)
{
    struct mp_envoy *e = x->stream->e;
    uint64_t replaces = x->ticket;
    if (replaces != 0) unlink_ask(e, x);
    stop_merge(e, x);
    /* What came between counts: an older version that is back may not be in force again yet. */
    res_put(e, &x->obeyed, &xd_unsent);
    const struct res *r = x->acked;
    bool shown = r != NULL && r != &xd_unsent && r->proof.kind != MP_ENVOY_PROOF_NONE;
    if (!shown || !x->stream->proxy->known) {
        if (replaces != 0) e->host.prove_cancel(e->host.ctx, replaces);
        obey(x, SEEN_NOTHING);
    } else if (e->host.prove == NULL) {
        e->counts.unprovable++;
        obey_merged(x, SEEN_BY_NOBODY);
    } else {
        ask(x, replaces);
    }
}

void mp_envoy_proven(struct mp_envoy *e, uint64_t ticket, enum mp_envoy_proven answer, mp_str seen)
{
    struct sub *x = ticket != 0 ? e->asks[ticket % ASK_BUCKETS] : NULL;
    while (x != NULL && x->ticket != ticket) x = x->in_asks;
    if (x == NULL) return;
    MP_ASSERT(x->asked == x->acked); /* a newer ACK asks anew */
    unlink_ask(e, x);
    struct proxy *p = x->stream->proxy;
    if (answer != MP_ENVOY_PROVEN) p->seen_len = xd_clean(seen, p->seen, sizeof p->seen);
    if (answer == MP_ENVOY_NOT_YET && seen.len > 0) note_shown(x);
    switch (answer) {
    case MP_ENVOY_PROVEN:
        e->counts.proven++;
        obey_merged(x, SEEN_OBEYS);
        break;
    case MP_ENVOY_NOT_YET: ask(x, 0); break;
    case MP_ENVOY_UNPROVABLE:
        e->counts.unprovable++;
        obey_merged(x, SEEN_BY_NOBODY);
        break;
    }
}

void proof_merge(struct mp_envoy *e, int64_t now_ns)
{
    if (e->merging == 0) return;
    for (struct mp_envoy_stream *s = e->streams; s != NULL; s = s->next) {
        for (struct sub *x = s->types[MP_ENVOY_EDS].first; x != NULL; x = x->next) {
            if (x->merge_ns != 0 && x->merge_ns <= now_ns) obey(x, x->merge_seen);
        }
    }
}
