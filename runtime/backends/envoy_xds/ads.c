/* SPDX-License-Identifier: Apache-2.0
 * One stream of discovery: what the proxy asks for. Source: xDS protocol, "Incremental xDS", and
 * for the state of the world "How the client specifies what resources to return"
 * (envoyproxy.io/docs/envoy/v1.39/api-docs/xds_protocol).
 */
#include "base/assert.h"
#include "envoy_xds/envoy_xds_priv.h"

static const struct {
    const char *word, *url;
} types[MP_ENVOY_TYPES] = {
    [MP_ENVOY_ECDS] = {"ecds", MP_ENVOY_TYPE_EXTENSION},
    [MP_ENVOY_RTDS] = {"rtds", MP_ENVOY_TYPE_RUNTIME},
    [MP_ENVOY_EDS] = {"eds", MP_ENVOY_TYPE_ENDPOINTS},
    [MP_ENVOY_RDS] = {"rds", MP_ENVOY_TYPE_ROUTES},
    [MP_ENVOY_SDS] = {"sds", MP_ENVOY_TYPE_SECRET},
};

mp_str mp_envoy_type_word(enum mp_envoy_type type)
{
    MP_ASSERT(type < MP_ENVOY_TYPES);
    return mp_str_of(types[type].word);
}

/* Before anything was sent of a type its URL is needed too, for an answer with nothing in it. */
mp_str type_url(enum mp_envoy_type type) { return mp_str_of(types[type].url); }

static bool type_read(mp_str url, enum mp_envoy_type *out)
{
    for (int i = 0; i < MP_ENVOY_TYPES; i++) {
        if (!mp_str_eq(url, mp_str_of(types[i].url))) continue;
        *out = (enum mp_envoy_type)i;
        return true;
    }
    return false;
}

/* In the state of the world an answer lists what is wanted too, so one to an older response would
 * list what is old: there is one response on its way at a time. */
static const struct variant delta = {
    .wire = MP_DISCOVERY_DELTA, .window = WINDOW, .removes = true};
static const struct variant sotw = {
    .wire = MP_DISCOVERY_SOTW, .window = 1, .lists = true, .versions = true,
    /* An Envoy with `unified_mux` takes what is missing for gone, and refuses the response for it;
     * but for endpoints, of which there can be many. */
    .whole = ~(1u << MP_ENVOY_EDS)};

static bool refuse(struct mp_envoy_stream *s, uint64_t *count, const char *why, mp_str what)
{
    s->why_len = xd_print(s->why, sizeof s->why, "%s%s%.*s", why, what.len > 0 ? ": " : "",
                          (int)(what.len < 128 ? what.len : 128), what.len > 0 ? what.ptr : "");
    if (count != NULL) (*count)++;
    s->ended = true;
    xd_log(s->e, MP_ENVOY_WARNING, "stream of %.*s ends: %.*s", MP_STR_ARG(s->address),
           (int)s->why_len, s->why);
    return false;
}

/* ---- subscriptions ---- */

static struct sub *sub_find(struct typed *t, mp_str name, uint64_t hash)
{
    for (struct sub *x = t->bucket[hash % BUCKETS]; x != NULL; x = x->in_bucket) {
        if (x->hash == hash && mp_str_eq(x->name, name)) return x;
    }
    return NULL;
}

static struct content key_of(const struct mp_envoy_stream *s, enum mp_envoy_type type, mp_str name)
{
    struct content like = {.type = type, .baseline = !s->proxy->known};
    if (type == MP_ENVOY_EDS) {
        like.name = name; /* the same for everybody */
    } else {
        like.audience = s->proxy->audience;
    }
    return like;
}

static enum mp_err sub_make(struct mp_envoy_stream *s, enum mp_envoy_type type, mp_str name,
                            uint64_t hash, struct sub **out)
{
    struct mp_envoy *e = s->e;
    struct typed *t = &s->types[type];
    if (s->subs == e->limits.subscriptions) return MP_ELIMIT;
    struct sub *x = xd_alloc(e, sizeof *x + name.len);
    if (x == NULL) return MP_ENOMEM;
    char *text = (char *)(x + 1);
    memcpy(text, name.ptr, name.len);
    *x = (struct sub){.stream = s, .type = type, .name = {text, name.len}, .hash = hash,
                      .desired = &xd_unsent, .sent = &xd_unsent, .acked = &xd_unsent,
                      .obeyed = &xd_unsent};
    if (type == MP_ENVOY_EDS) {
        struct content like = key_of(s, type, name);
        enum mp_err err = content_get(e, &like, &x->content);
        if (err != MP_OK) {
            xd_free(e, x, sizeof *x + name.len);
            return err;
        }
    }
    x->in_bucket = t->bucket[hash % BUCKETS];
    t->bucket[hash % BUCKETS] = x;
    x->at = t->last;
    *t->last = x;
    t->last = &x->next;
    t->count++;
    t->changes++;
    s->subs++;
    if (type == MP_ENVOY_ECDS) s->proxy->view.due = true;
    *out = x;
    return MP_OK;
}

static void sub_free(struct mp_envoy *e, struct sub *x)
{
    proof_cancel(x);
    for (uint32_t i = 0; i < x->flights; i++) res_drop(e, x->flight[i].res);
    struct res **held[] = {&x->desired, &x->sent, &x->acked, &x->obeyed, &x->refused, &x->asked};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) res_put(e, held[i], NULL);
    if (x->merge_ns != 0) e->merging--;
    turn_end(x);
    content_leave(e, x->content);
    xd_free(e, x, sizeof *x + x->name.len);
}

static void sub_remove(struct mp_envoy_stream *s, enum mp_envoy_type type, struct sub *x)
{
    struct typed *t = &s->types[type];
    *x->at = x->next;
    *(x->next != NULL ? &x->next->at : &t->last) = x->at;
    struct sub **at = &t->bucket[x->hash % BUCKETS];
    while (*at != x) at = &(*at)->in_bucket;
    *at = x->in_bucket;
    t->count--;
    t->changes++;
    s->subs--;
    if (type == MP_ENVOY_ECDS) s->proxy->view.due = true;
    sub_free(s->e, x);
}

static enum mp_err sub_get(struct mp_envoy_stream *s, enum mp_envoy_type type, mp_str name,
                           struct sub **out)
{
    uint64_t hash = name_hash(name);
    *out = sub_find(&s->types[type], name, hash);
    return *out != NULL ? MP_OK : sub_make(s, type, name, hash, out);
}

/* ---- what is wanted ---- */

void sub_want(struct sub *x)
{
    struct mp_envoy *e = x->stream->e;
    const struct content *c = x->content != NULL ? x->content : x->stream->types[x->type].content;
    struct res *now = content_find(c, x->name);
    if (x->desired == now) return;
    bool was_sent = x->desired == x->sent;
    res_put(e, &x->desired, now);
    turn_end(x); /* what is new may be urgent */
    /* The refusal was of what is no longer wanted. */
    if (x->refused != NULL && x->refused != now) res_put(e, &x->refused, NULL);
    if (now == x->sent) {
        x->unsent_revision = 0;
    } else if (was_sent || x->unsent_revision == 0) {
        x->unsent_revision = e->revision;
    }
    e->touched = true;
}

/* Under a wildcard everything that there is, is wanted; what is gone stays until that was sent. */
static enum mp_err wildcard_want(struct mp_envoy_stream *s, enum mp_envoy_type type)
{
    struct typed *t = &s->types[type];
    if (!t->wildcard || t->content == NULL) return MP_OK;
    for (uint32_t i = 0; i < t->content->count; i++) {
        struct sub *x;
        MP_TRY(sub_get(s, type, t->content->list[i]->name, &x));
    }
    return MP_OK;
}

static enum mp_err typed_want(struct mp_envoy_stream *s, enum mp_envoy_type type)
{
    struct typed *t = &s->types[type];
    if (!t->seen) return MP_OK;
    if (t->content == NULL && type != MP_ENVOY_EDS) {
        struct content like = key_of(s, type, MP_STR(""));
        MP_TRY(content_get(s->e, &like, &t->content));
    }
    MP_TRY(wildcard_want(s, type));
    for (struct sub *x = t->first; x != NULL; x = x->next) sub_want(x);
    return MP_OK;
}

void stream_want(struct mp_envoy_stream *s)
{
    if (s->ended || s->proxy == NULL) return;
    for (int type = 0; type < MP_ENVOY_TYPES; type++) {
        enum mp_err err = typed_want(s, (enum mp_envoy_type)type);
        if (err != MP_OK) {
            stream_end(s, mp_str_of(mp_err_text(err)));
            return;
        }
    }
}

/* ---- a request ---- */

static bool is_wildcard(mp_str name) { return mp_str_eq(name, MP_STR("*")); }

/* One that asks for the same on another stream of its own has lost the older one. */
static void end_older(struct mp_envoy_stream *s, enum mp_envoy_type type, mp_str name)
{
    for (struct mp_envoy_stream *o = s->proxy->stream, *next; s->single && o != NULL; o = next) {
        next = o->sibling;
        if (o == s || !o->single || sub_find(&o->types[type], name, name_hash(name)) == NULL)
            continue;
        s->e->counts.replaced_streams++;
        proxy_detach(o);
        stream_end(o, MP_STR("the same node asks for it on another stream"));
    }
}

static void subscribe_all(struct typed *t)
{
    t->wildcard = t->owes = true;
    t->changes++;
}

/* `known`: also what is asked for already. */
static bool subscribe(struct mp_envoy_stream *s, enum mp_envoy_type type, struct pb_many names,
                      bool known)
{
    struct mp_envoy *e = s->e;
    struct typed *t = &s->types[type];
    mp_str name;
    while (pb_many_next(&names, &name)) {
        if (is_wildcard(name)) {
            if (known || !t->wildcard) subscribe_all(t);
            continue;
        }
        if (name.len == 0 || name.len > NAME_MAX_BYTES) {
            return refuse(s, &e->counts.garbage, "a resource's name is empty or too long",
                          MP_STR(""));
        }
        struct sub *x;
        enum mp_err err = sub_get(s, type, name, &x);
        if (err != MP_OK) {
            return refuse(s, &e->counts.too_many, "subscriptions", mp_str_of(mp_err_text(err)));
        }
        if (x->named && !known) continue;
        end_older(s, type, name);
        /* The proxy may have dropped it meanwhile, so it gets it even if it seems to have it. */
        x->again = x->named || x->acked != &xd_unsent;
        x->named = true;
        t->changes++;
        res_put(e, &x->refused, NULL);
    }
    return true;
}

static void drop_wildcard(struct mp_envoy_stream *s, enum mp_envoy_type type)
{
    struct typed *t = &s->types[type];
    t->wildcard = false;
    t->changes++;
    for (struct sub *x = t->first, *next; x != NULL; x = next) {
        next = x->next;
        if (!x->named) sub_remove(s, type, x);
    }
}

static void drop(struct mp_envoy_stream *s, enum mp_envoy_type type, struct sub *x)
{
    const struct typed *t = &s->types[type];
    x->named = false;
    s->types[type].changes++;
    if (!t->wildcard || t->content == NULL || content_find(t->content, x->name) == NULL) {
        sub_remove(s, type, x);
    }
}

static void unsubscribe(struct mp_envoy_stream *s, enum mp_envoy_type type, struct pb_many names)
{
    struct typed *t = &s->types[type];
    mp_str name;
    while (pb_many_next(&names, &name)) {
        struct sub *x = is_wildcard(name) ? NULL : sub_find(t, name, name_hash(name));
        if (is_wildcard(name)) drop_wildcard(s, type);
        if (x != NULL) drop(s, type, x);
    }
    s->e->touched = true;
}

/* ---- lists of all names ---- */

static void drop_unlisted(struct mp_envoy_stream *s, enum mp_envoy_type type, struct pb_many names)
{
    struct typed *t = &s->types[type];
    bool all = false;
    mp_str name;
    t->lists++;
    while (pb_many_next(&names, &name)) {
        struct sub *x = sub_find(t, name, name_hash(name));
        if (x != NULL) x->listed = t->lists;
        all |= is_wildcard(name);
    }
    if (t->wildcard && !all) drop_wildcard(s, type);
    for (struct sub *x = t->first, *next; x != NULL; x = next) {
        next = x->next;
        if (x->named && x->listed != t->lists) drop(s, type, x);
    }
}

static void send_again(struct mp_envoy *e, struct typed *t)
{
    t->changes++;
    for (struct sub *x = t->first; x != NULL; x = x->next) {
        x->again = true;
        res_put(e, &x->refused, NULL);
    }
}

/* All that is wanted from now on. Who says the same again, and answers nothing with it, has
 * dropped it meanwhile: an Envoy does so when a cluster takes the place of another one of its
 * name. */
static bool take_list(struct mp_envoy_stream *s, enum mp_envoy_type type, struct pb_many names,
                      bool asks)
{
    struct typed *t = &s->types[type];
    uint64_t before = t->changes;
    t->unnamed &= names.count == 0;
    if (!t->unnamed) drop_unlisted(s, type, names);
    if (!subscribe(s, type, names, false)) return false;
    if (asks && t->changes == before) send_again(s->e, t);
    return true;
}

/* What the proxy had before the stream: at our version it is not sent again, and what only it has
 * is told to be gone. */
static bool had_before(struct mp_envoy_stream *s, enum mp_envoy_type type, struct pb_many versions)
{
    struct mp_envoy *e = s->e;
    struct typed *t = &s->types[type];
    mp_str name, version;
    while (pb_many_next_entry(&versions, &name, &version)) {
        if (name.len == 0 || name.len > NAME_MAX_BYTES) continue;
        struct sub *x = sub_find(t, name, name_hash(name));
        if (x == NULL && !t->wildcard) continue; /* it does not want it any more */
        if (x == NULL && sub_get(s, type, name, &x) != MP_OK) {
            return refuse(s, &e->counts.too_many, "more resources than are allowed", MP_STR(""));
        }
        const struct content *c = x->content != NULL ? x->content : t->content;
        struct res *r = c != NULL ? content_find(c, name) : NULL;
        if (r == NULL || !mp_str_eq(r->version, version)) continue;
        res_put(e, &x->desired, r);
        res_put(e, &x->sent, r);
        res_put(e, &x->acked, r);
        x->unsent_revision = 0;
        x->acked_ns = xd_now(e);
        x->unobeyed_ns = xd_awake(e);
        x->unobeyed_revision = e->revision; /* it has it; that it obeys is not known */
        proof_ask(x);
    }
    return true;
}

/* A type that nobody here serves is answered with "there is none", so that nothing waits for it. */
static void answer_unknown(struct mp_envoy_stream *s, const struct mp_discovery_request *r)
{
    enum { MOST = 64 };
    mp_str names[MOST];
    size_t count = 0;
    struct pb_many walk = r->subscribe;
    s->e->counts.unknown_types++;
    /* An answer to such an answer. */
    if (r->nonce.len > 0 && (s->variant->lists || r->subscribe.count == 0)) return;
    /* It has something, and in this variant "none" could mean that it has to throw that away. */
    if (r->version.len > 0) return;
    while (count < MOST && pb_many_next(&walk, &names[count])) {
        if (!is_wildcard(names[count])) count++;
    }
    stream_say_none(s, r->type_url, names, count);
}

static bool first_of_type(struct mp_envoy_stream *s, enum mp_envoy_type type,
                          const struct mp_discovery_request *r)
{
    struct typed *t = &s->types[type];
    t->seen = true;
    t->version = name_hash(r->version);
    /* Legacy: nothing named means everything. */
    t->unnamed = r->subscribe.count == 0 && r->unsubscribe.count == 0;
    if (t->unnamed) subscribe_all(t);
    if (!subscribe(s, type, r->subscribe, true)) return false;
    if (typed_want(s, type) != MP_OK) {
        return refuse(s, NULL, "no memory for its resources", MP_STR(""));
    }
    return had_before(s, type, r->versions);
}

static bool more_of_type(struct mp_envoy_stream *s, enum mp_envoy_type type,
                         const struct mp_discovery_request *r, bool asks)
{
    bool good;
    if (s->variant->lists) {
        good = take_list(s, type, r->subscribe, asks);
    } else {
        unsubscribe(s, type, r->unsubscribe);
        good = subscribe(s, type, r->subscribe, true);
    }
    if (!good) return false;
    if (typed_want(s, type) == MP_OK) return true;
    return refuse(s, NULL, "no memory for its resources", MP_STR(""));
}

static bool request(struct mp_envoy_stream *s, const struct mp_discovery_request *r)
{
    enum mp_envoy_type type = s->only;
    struct typed *t;
    bool implied = s->single && r->type_url.len == 0;
    if (!implied && !type_read(r->type_url, &type)) {
        answer_unknown(s, r);
        return true;
    }
    t = &s->types[type];
    uint64_t before = t->changes;
    bool asks = s->variant->lists && stream_is_settled(t, r->nonce);
    if (r->nonce.len > 0 && !asks && !stream_answered(s, type, r)) s->e->counts.stale_nonces++;
    bool good = t->seen ? more_of_type(s, type, r, asks) : first_of_type(s, type, r);
    /* Else it is an ACK, and changes nothing about who carries what. */
    s->e->regroup |= t->changes != before || r->has_error;
    if (!good) return false;
    stream_push(s);
    turns_look(s->e); /* it may be what others have waited for */
    return true;
}

bool mp_envoy_stream_message(struct mp_envoy_stream *s, mp_str bytes)
{
    struct mp_envoy *e = s->e;
    struct mp_discovery_request r;
    const char *why = "";
    if (s->ended) return false;
    e->counts.messages++;
    e->touched = true;
    if (bytes.len > e->limits.message_bytes) {
        return refuse(s, &e->counts.oversize, "a request is too long", MP_STR(""));
    }
    if (mp_discovery_read_request(s->variant->wire, bytes, &r, &why) != MP_OK) {
        return refuse(s, &e->counts.garbage, "no discovery request", mp_str_of(why));
    }
    if (s->proxy == NULL) {
        if (!r.has_node) {
            return refuse(s, &e->counts.garbage, "the first request names no node", MP_STR(""));
        }
        if (!proxy_attach(s, &r.node)) {
            return refuse(s, &e->counts.streams_refused, "too many proxies", MP_STR(""));
        }
    }
    if (!request(s, &r)) return false;
    if (s->proxy != NULL) filters_look(e, s->proxy);
    return true;
}

/* ---- life ---- */

struct mp_envoy_stream *mp_envoy_stream_open(struct mp_envoy *e, void *wire,
                                             const struct mp_envoy_peer *peer)
{
    size_t texts = peer->address.len + peer->identity.len;
    struct mp_envoy_stream *s = NULL;
    if (e->ready && e->stream_count < e->limits.streams) s = xd_alloc(e, sizeof *s + texts);
    if (s == NULL) {
        e->counts.streams_refused++;
        return NULL;
    }
    char *at = (char *)(s + 1);
    *s = (struct mp_envoy_stream){.e = e, .wire = wire, .next = e->streams,
                                  .authenticated = peer->authenticated, .single = peer->single,
                                  .only = peer->type,
                                  .variant = peer->sotw ? &sotw : &delta,
                                  .address = {at, peer->address.len},
                                  .identity = {at + peer->address.len, peer->identity.len}};
    if (peer->address.len > 0) memcpy(at, peer->address.ptr, peer->address.len);
    if (peer->identity.len > 0)
        memcpy(at + peer->address.len, peer->identity.ptr, peer->identity.len);
    for (int i = 0; i < MP_ENVOY_TYPES; i++) s->types[i].last = &s->types[i].first;
    if (e->streams != NULL) e->streams->before = s;
    e->streams = s;
    e->stream_count++;
    e->counts.streams++;
    return s;
}

mp_str mp_envoy_stream_why(const struct mp_envoy_stream *s) { return (mp_str){s->why, s->why_len}; }

void stream_end(struct mp_envoy_stream *s, mp_str why)
{
    if (s->ended) return;
    s->ended = true;
    s->why_len = xd_clean(why, s->why, sizeof s->why);
    s->e->host.end(s->e->host.ctx, s->wire, (mp_str){s->why, s->why_len});
}

void mp_envoy_stream_closed(struct mp_envoy_stream *s)
{
    struct mp_envoy *e = s->e;
    proxy_detach(s);
    for (int i = 0; i < MP_ENVOY_TYPES; i++) {
        for (struct sub *x = s->types[i].first, *next; x != NULL; x = next) {
            next = x->next;
            sub_free(e, x);
        }
        content_leave(e, s->types[i].content);
    }
    if (s->before != NULL) {
        s->before->next = s->next;
    } else {
        e->streams = s->next;
    }
    if (s->next != NULL) s->next->before = s->before;
    e->stream_count--;
    e->touched = true;
    xd_free(e, s, sizeof *s + s->address.len + s->identity.len);
}
