/* SPDX-License-Identifier: Apache-2.0
 * Who is there: proxies by the id of their node, and who may be whom.
 */
#include "base/assert.h"
#include "envoy_xds/envoy_xds_priv.h"

/* ---- names of nodes ---- */

static const struct {
    mp_str word;
    uint32_t bit;
} layers[] = {
    {MP_STR_INIT("ingress"), MPOL_INGRESS},
    {MP_STR_INIT("service"), MPOL_SERVICE},
    {MP_STR_INIT("edge"), MPOL_EDGE},
};

/* The part up to the next slash or the end. */
static bool has_empty_part(mp_str id)
{
    char before = '/';
    for (size_t i = 0; i < id.len; before = id.ptr[i++]) {
        if (id.ptr[i] == '/' && before == '/') return true;
    }
    return before == '/';
}

bool mp_envoy_node_read(mp_str id, struct mp_envoy_node *out)
{
    if (id.len > NODE_MAX || has_empty_part(id)) return false;
    for (size_t i = 0; i < id.len; i++) {
        if (mp_str_control(id, i) != 0) return false;
    }
    size_t first = 0, last = id.len - 1;
    while (first < id.len && id.ptr[first] != '/') first++;
    while (last > 0 && id.ptr[last] != '/') last--;
    if (first >= last) return false;
    struct mp_envoy_node n = {.layer_word = mp_str_sub(id, 0, first),
                              .service = mp_str_sub(id, first + 1, last - first - 1),
                              .instance = mp_str_sub(id, last + 1, SIZE_MAX)};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        if (mp_str_eq(n.layer_word, layers[i].word)) n.layer = layers[i].bit;
    }
    if (n.layer == 0) return false;
    *out = n;
    return true;
}

struct search {
    mp_str wanted;
    bool any, found;
};

static bool search_identity(void *ctx, mp_str identity)
{
    struct search *s = ctx;
    s->any = true;
    s->found = mp_str_eq(identity, s->wanted);
    return !s->found;
}

bool mp_envoy_may_speak(const struct mp_envoy *e, const struct mp_envoy_node *node,
                        const struct mp_envoy_peer *peer)
{
    if (!peer->authenticated) return true;
    if (peer->identity.len == 0) return false;
    struct search s = {.wanted = peer->identity};
    e->world.identities(e->world.ctx, node->service, search_identity, &s);
    if (s.any) return s.found;
    mp_str other = e->world.service_of(e->world.ctx, peer->identity);
    return other.len == 0 || mp_str_eq(other, node->service);
}

/* ---- what a node tells about itself ---- */

#define PANIC_PERCENT 50u /* Envoy's default */

struct told {
    struct mp_envoy_node node;
    bool known;
    mp_str id, identity, address, agent, listen, admin;
    char agent_text[48], id_text[NODE_MAX], name_text[MP_ENVOY_NODE_MAX];
    bool tls, module, by_version;
    int64_t merge_ns;
    uint32_t panic_percent;
    struct mp_envoy_route routes[ROUTES_MAX];
    uint32_t route_count;
};

static mp_str member_text(mp_str metadata, const char *key)
{
    struct pb_value v;
    bool is =
        pb_struct_get(metadata, mp_str_of(key), &v) && v.kind == PB_JSON_TEXT && v.text.len <= 256;
    return is ? v.text : MP_STR("");
}

static bool member_bool(mp_str metadata, const char *key)
{
    struct pb_value v;
    return pb_struct_get(metadata, mp_str_of(key), &v) && v.kind == PB_JSON_BOOL && v.truth;
}

/* How long the proxy gathers changes of endpoints before its workers see them
 * (`update_merge_window`, by default 1 s). Its own admin port shows them at once, so no read-back
 * can tell. */
static int64_t member_merge_ns(const struct mp_envoy *e, mp_str metadata)
{
    struct pb_value v;
    bool is = pb_struct_get(metadata, MP_STR("merge_ms"), &v) && v.kind == PB_JSON_NUMBER;
    return is && v.number >= 0 && v.number <= 60000 ? (int64_t)(v.number * 1e6)
                                                    : e->limits.merge_ns;
}

/* Below which part of hosts that can take requests it leads to all of them
 * (`healthy_panic_threshold`, by default 50 %). */
static uint32_t member_panic(mp_str metadata)
{
    struct pb_value v;
    bool is = pb_struct_get(metadata, MP_STR("panic_percent"), &v) && v.kind == PB_JSON_NUMBER;
    return is && v.number >= 0 && v.number <= 100 ? (uint32_t)v.number : PANIC_PERCENT;
}

static void tell_routes(mp_str metadata, struct told *t)
{
    struct pb_value list, route;
    if (!pb_struct_get(metadata, MP_STR("routes"), &list) || list.kind != PB_JSON_LIST) return;
    for (uint32_t i = 0; i < ROUTES_MAX && pb_list_get(list.text, i, &route); i++) {
        if (route.kind != PB_JSON_STRUCT) continue;
        struct mp_envoy_route r = {member_text(route.text, "prefix"),
                                   member_text(route.text, "service")};
        if (r.prefix.len > 0 && r.service.len > 0) t->routes[t->route_count++] = r;
    }
}

static void tell(const struct mp_envoy_stream *s, const struct mp_discovery_node *node,
                 struct told *t)
{
    struct mp_envoy_peer peer = {.address = s->address, .identity = s->identity,
                                 .authenticated = s->authenticated};
    struct pb_value mpol;
    *t = (struct told){.identity = s->identity, .address = s->address,
                       .merge_ns = s->e->limits.merge_ns, .panic_percent = PANIC_PERCENT};
    t->id = mp_envoy_node_name(node, t->name_text);
    t->known = mp_envoy_node_read(t->id, &t->node) && mp_envoy_may_speak(s->e, &t->node, &peer);
    if (!t->known) t->id = (mp_str){t->id_text, xd_clean(t->id, t->id_text, sizeof t->id_text)};
    struct mp_arena a;
    mp_arena_init_fixed(&a, t->agent_text, sizeof t->agent_text);
    t->agent = mp_arena_printf(&a, "%u.%u.%u", node->major, node->minor, node->patch);
    if (t->agent.ptr == NULL) t->agent = MP_STR("");
    if (!pb_struct_get(node->metadata, MP_STR(MP_ENVOY_METADATA), &mpol)) return;
    if (mpol.kind != PB_JSON_STRUCT) return;
    t->listen = member_text(mpol.text, "listen");
    t->admin = member_text(mpol.text, "admin");
    t->tls = member_bool(mpol.text, "tls");
    t->module = member_bool(mpol.text, "module");
    t->by_version = member_bool(mpol.text, "versions");
    t->merge_ns = member_merge_ns(s->e, mpol.text);
    t->panic_percent = member_panic(mpol.text);
    tell_routes(mpol.text, t);
}

/* ---- the table ---- */

static int proxy_order(const struct proxy *p, mp_str id, bool known)
{
    int o = mp_str_cmp(p->id, id);
    return o != 0 ? o : (p->known > known) - (p->known < known);
}

static void proxy_free(struct mp_envoy *e, struct proxy *p)
{
    struct proxy **at = &e->proxies;
    while (*at != p) at = &(*at)->next;
    *at = p->next;
    e->proxy_count--;
    xd_free(e, p->texts, p->texts_size);
    xd_free(e, p, sizeof *p);
}

static void proxy_forget(struct mp_envoy *e, struct proxy *p)
{
    if (p->known && e->host.forget != NULL) e->host.forget(e->host.ctx, p->id);
    proxy_free(e, p);
}

/* Makes room by forgetting who has been gone for longest. */
static bool make_room(struct mp_envoy *e)
{
    if (e->proxy_count < e->limits.proxies) return true;
    struct proxy *oldest = NULL;
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->stream == NULL && (oldest == NULL || p->since_ns < oldest->since_ns)) oldest = p;
    }
    if (oldest == NULL) return false;
    proxy_forget(e, oldest);
    return true;
}

static struct proxy *proxy_get(struct mp_envoy *e, mp_str id, bool known)
{
    struct proxy **at = &e->proxies;
    while (*at != NULL && proxy_order(*at, id, known) < 0) at = &(*at)->next;
    if (*at != NULL && proxy_order(*at, id, known) == 0) return *at;
    if (!make_room(e)) return NULL;
    at = &e->proxies;
    while (*at != NULL && proxy_order(*at, id, known) < 0) at = &(*at)->next;
    struct proxy *p = xd_alloc(e, sizeof *p);
    if (p == NULL) return NULL;
    p->next = *at;
    *at = p;
    e->proxy_count++;
    return p;
}

static mp_str lay(char **at, mp_str s)
{
    char *to = *at;
    if (s.len > 0) memcpy(to, s.ptr, s.len);
    *at += s.len;
    return (mp_str){to, s.len};
}

static bool module_carries(const struct mp_envoy *e, const struct proxy *p)
{
    struct mp_envoy_node node;
    if (e->host.module_carries == NULL || !p->known) return false;
    return mp_envoy_node_read(p->id, &node) && e->host.module_carries(e->host.ctx, &node);
}

static bool proxy_fill(struct mp_envoy *e, struct proxy *p, const struct told *t)
{
    size_t size = t->id.len + t->identity.len + t->address.len + t->agent.len + t->listen.len +
                  t->admin.len + t->node.service.len + t->node.instance.len + 1;
    for (uint32_t i = 0; i < t->route_count; i++)
        size += t->routes[i].prefix.len + t->routes[i].service.len;
    char *texts = xd_alloc(e, size), *at = texts;
    if (texts == NULL) return false;
    char *old = p->texts;
    size_t old_size = p->texts_size;
    p->texts = texts;
    p->texts_size = size;
    p->id = lay(&at, t->id);
    p->identity = lay(&at, t->identity);
    p->address = lay(&at, t->address);
    p->agent = lay(&at, t->agent);
    p->listen = lay(&at, t->listen);
    p->admin = lay(&at, t->admin);
    p->tls = t->tls;
    p->merge_ns = t->merge_ns;
    p->panic_percent = t->panic_percent;
    p->known = t->known;
    p->module = t->module;
    p->audience = (struct mp_envoy_audience){.layer = t->node.layer,
                                             .by_version = t->by_version,
                                             .service = lay(&at, t->node.service),
                                             .instance = lay(&at, t->node.instance),
                                             .routes = p->routes, .route_count = t->route_count};
    for (uint32_t i = 0; i < t->route_count; i++) {
        p->routes[i].prefix = lay(&at, t->routes[i].prefix);
        p->routes[i].service = lay(&at, t->routes[i].service);
    }
    p->audience.module = module_carries(e, p);
    xd_free(e, old, old_size);
    return true;
}

/* ---- several streams of one node ---- */

#define OLDER_MAX 3 /* LIMIT: of one name, beside the newest */
#define DOUBT_NS INT64_C(500000000) /* until an older stream without an answer is taken for dead */

static void end_replaced(struct mp_envoy_stream *s)
{
    s->e->counts.replaced_streams++;
    proxy_detach(s);
    stream_end(s, MP_STR("the same node has opened another stream"));
}

/* Either the proxy has come back, and its older stream is dead without anybody having said so; or
 * it is another one of that name, as while Envoy restarts itself and the old process serves on. So
 * an older stream goes on as long as it answers. Those of one type live beside each other. */
static void doubt_older(struct proxy *p)
{
    int kept = 0;
    for (struct mp_envoy_stream *s = p->stream, *next; s != NULL; s = next) {
        next = s->sibling;
        if (s->single) continue;
        s->doubted = true;
        if (++kept > OLDER_MAX) end_replaced(s);
    }
}

static bool owes_answer(const struct mp_envoy_stream *s, int64_t awake_ns)
{
    for (int type = 0; type < MP_ENVOY_TYPES; type++) {
        const struct typed *t = &s->types[type];
        if (t->sents > 0 && awake_ns - t->sent[0].at_ns >= DOUBT_NS) return true;
    }
    return false;
}

void proxy_look_for_twins(struct mp_envoy *e, struct proxy *p, int64_t awake_ns)
{
    const struct mp_envoy_stream *alive[2] = {NULL, NULL};
    for (struct mp_envoy_stream *s = p->stream, *next; s != NULL; s = next) {
        next = s->sibling;
        if (s->single) continue;
        if (s->doubted && owes_answer(s, awake_ns)) {
            end_replaced(s);
        } else if (!s->doubted) {
            alive[alive[0] != NULL] = s;
        }
    }
    bool twins = alive[1] != NULL;
    if (twins && !p->twins) {
        xd_log(e, MP_ENVOY_WARNING,
               "several proxies call themselves %.*s (from %.*s and %.*s): one of them is asked whether "
               "it obeys; unless one is about to end, give each a node id of its own",
               MP_STR_ARG(p->id), MP_STR_ARG(alive[0]->address), MP_STR_ARG(alive[1]->address));
    }
    p->twins = twins;
}

/* What is kept of it for the next life is to be kept anew. */
static void proxy_news(struct mp_envoy *e, struct proxy *p)
{
    if (p->known) e->news = p->news = true;
}

static void welcome(struct mp_envoy *e, struct proxy *p)
{
    p->silent = p->recalled = false;
    p->since_ns = xd_now(e);
    proxy_news(e, p);
    filters_forget(p);
    if (p->known) {
        xd_log(e, MP_ENVOY_INFO, "proxy %.*s is connected from %.*s (Envoy %.*s)",
               MP_STR_ARG(p->id), MP_STR_ARG(p->address), MP_STR_ARG(p->agent));
        return;
    }
    e->counts.unknown_proxies++;
    xd_log(e, MP_ENVOY_WARNING, "unknown proxy %.*s from %.*s (%.*s): it gets no leases",
           MP_STR_ARG(p->id), MP_STR_ARG(p->address), MP_STR_ARG(p->identity));
}

bool proxy_attach(struct mp_envoy_stream *s, const struct mp_discovery_node *node)
{
    struct mp_envoy *e = s->e;
    struct told t;
    tell(s, node, &t);
    struct proxy *p = proxy_get(e, t.id, t.known);
    if (p == NULL) return false;
    if (!proxy_fill(e, p, &t)) {
        if (p->texts == NULL) proxy_free(e, p);
        return false;
    }
    if (!s->single) doubt_older(p);
    if (!s->single || p->stream == NULL) welcome(e, p);
    s->sibling = p->stream;
    p->stream = s;
    s->proxy = p;
    e->touched = e->regroup = true;
    return true;
}

void proxy_detach(struct mp_envoy_stream *s)
{
    struct proxy *p = s->proxy;
    if (p == NULL) return;
    for (int type = 0; type < MP_ENVOY_TYPES; type++) {
        for (struct sub *x = s->types[type].first; x != NULL; x = x->next) proof_cancel(x);
    }
    struct mp_envoy_stream **at = &p->stream;
    while (*at != s) at = &(*at)->sibling;
    *at = s->sibling;
    s->sibling = NULL;
    s->proxy = NULL;
    if (p->stream == NULL) {
        p->since_ns = xd_now(s->e);
        proxy_news(s->e, p);
        xd_log(s->e, MP_ENVOY_INFO, "proxy %.*s is away", MP_STR_ARG(p->id));
    }
    s->e->touched = s->e->regroup = true;
}

bool proxy_counts(const struct proxy *p)
{
    uint32_t subs = 0;
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) subs += s->subs;
    return p->known && !p->silent && subs > 0;
}

/* It is of another audience now. */
static void change_audience(struct mp_envoy_stream *s)
{
    for (int type = 0; type < MP_ENVOY_TYPES; type++) {
        content_leave(s->e, s->types[type].content);
        s->types[type].content = NULL;
    }
    stream_want(s);
    stream_push(s);
}

bool proxies_ask_modules(struct mp_envoy *e)
{
    bool lacking = false;
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) {
        bool carries = module_carries(e, p);
        if (carries == p->audience.module) continue;
        p->audience.module = carries;
        lacking |= !carries;
        for (struct mp_envoy_stream *s = p->stream, *next; s != NULL; s = next) {
            next = s->sibling;
            if (!s->ended) change_audience(s);
        }
    }
    return lacking;
}

static bool is_listed(const struct mp_envoy *e, const struct proxy *p)
{
    struct mp_envoy_instance instance;
    return p->known && e->world.instance(e->world.ctx, p->audience.instance, &instance) &&
           mp_str_eq(instance.service, p->audience.service);
}

void proxies_forget(struct mp_envoy *e)
{
    int64_t now_ns = xd_now(e);
    for (struct proxy *p = e->proxies, *next; p != NULL; p = next) {
        next = p->next;
        bool listed = is_listed(e, p), removed = p->listed && !listed;
        p->listed |= listed;
        if (p->stream != NULL) continue;
        if (removed || now_ns - p->since_ns >= e->limits.forget_ns) proxy_forget(e, p);
    }
}

void proxies_free(struct mp_envoy *e)
{
    while (e->proxies != NULL) proxy_free(e, e->proxies);
}

/* ---- over a restart ---- */

void mp_envoy_news(struct mp_envoy *e, mp_envoy_memory_fn each, void *ctx)
{
    int64_t now_ns = xd_now(e);
    for (struct proxy *p = e->proxies; e->news && p != NULL; p = p->next) {
        mp_str leads_to[ROUTES_MAX];
        if (!p->news) continue;
        p->news = false;
        uint32_t count = p->audience.route_count;
        for (uint32_t i = 0; i < count; i++) leads_to[i] = p->routes[i].service;
        each(ctx, &(struct mp_envoy_memory){.node = p->id, .leads_to = leads_to,
                                            .leads_to_count = count, .module = p->module,
                                            .connected = p->stream != NULL,
                                            .away_ns = now_ns - p->since_ns});
    }
    e->news = false;
}

enum mp_err mp_envoy_recall(struct mp_envoy *e, const struct mp_envoy_memory *memory)
{
    struct told t = {.known = true, .id = memory->node, .module = memory->module,
                     .merge_ns = e->limits.merge_ns, .panic_percent = PANIC_PERCENT,
                     .route_count = memory->leads_to_count};
    if (!mp_envoy_node_read(memory->node, &t.node) || memory->leads_to_count > ROUTES_MAX)
        return MP_EINVAL;
    for (uint32_t i = 0; i < t.route_count; i++) t.routes[i].service = memory->leads_to[i];
    struct proxy *p = proxy_get(e, t.id, true);
    if (p == NULL) return MP_ENOMEM;
    if (!proxy_fill(e, p, &t)) {
        if (p->texts == NULL) proxy_free(e, p);
        return MP_ENOMEM;
    }
    p->recalled = memory->connected;
    p->since_ns = xd_now(e) - (memory->connected ? 0 : memory->away_ns);
    if (p->recalled) proxy_news(e, p);
    return MP_OK;
}

/* ---- questions ---- */

static void tell_types(const struct mp_envoy_stream *s, struct mp_envoy_proxy_type *out)
{
    for (int i = 0; i < MP_ENVOY_TYPES; i++) {
        const struct typed *t = &s->types[i];
        out[i].subscribed += t->count;
        out[i].sent += t->responses;
        out[i].acks += t->acks;
        out[i].nacks += t->nacks;
        for (const struct sub *x = t->first; x != NULL; x = x->next)
            out[i].acked += x->acked == x->desired;
    }
}

static void tell_seen(const struct mp_envoy_stream *s, struct mp_envoy_proxy *out)
{
    bool late = false, proven = out->proven;
    for (int i = 0; i < MP_ENVOY_TYPES; i++) {
        for (const struct sub *x = s->types[i].first; x != NULL; x = x->next) {
            proven |= x->seen == SEEN_OBEYS;
            late |= x->unobeyed_revision != 0;
            out->unproven |= x->seen == SEEN_BY_NOBODY;
            if (x->disobeys && x->shown) out->disobeys = x->name;
            if (x->disobeys && !x->shown) out->unseen = x->name;
        }
    }
    out->proven = proven && !late && !out->unproven;
}

/* What it refused before and has taken since is no matter any more. */
static void tell_refused(const struct proxy *p, struct mp_envoy_proxy *out)
{
    out->nack_type = mp_envoy_type_word(p->nack_type);
    out->nack_resource = (mp_str){p->nack_name, p->nack_name_len};
    out->nack_text = (mp_str){p->nack_text, p->nack_text_len};
}

#define ASKS_BY_NS INT64_C(60000000000) /* LIMIT: what an Envoy waits for, it has asked for then */

/* Of the resources of a type on one stream; how many there are is added. */
static enum mp_envoy_stand stand_of(const struct typed *t, uint32_t *count)
{
    enum mp_envoy_stand stand = MP_ENVOY_TAKES;
    for (const struct sub *x = t->first; x != NULL; x = x->next) {
        if (sub_refuses(x)) return MP_ENVOY_REFUSES;
        if (sub_pending(x) != 0) stand = MP_ENVOY_OWES;
    }
    *count += t->count;
    return stand;
}

static enum mp_envoy_stand stand_to(const struct mp_envoy *e, const struct proxy *p,
                                    enum mp_envoy_type type)
{
    enum mp_envoy_stand all = MP_ENVOY_TAKES;
    uint32_t count = 0;
    if (p->stream == NULL) return MP_ENVOY_OWES;
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) {
        enum mp_envoy_stand stand = stand_of(&s->types[type], &count);
        if (stand < all) all = stand;
    }
    if (all == MP_ENVOY_REFUSES || count > 0) return all;
    return xd_now(e) - p->since_ns < ASKS_BY_NS ? MP_ENVOY_OWES : MP_ENVOY_NO_MORE;
}

enum mp_envoy_stand mp_envoy_refuses(const struct mp_envoy *e, mp_str node, mp_str type)
{
    const struct proxy *p = e->proxies;
    int t = 0;
    while (p != NULL && !(p->known && mp_str_eq(p->id, node))) p = p->next;
    while (t < MP_ENVOY_TYPES && !mp_str_eq(mp_envoy_type_word((enum mp_envoy_type)t), type)) t++;
    if (p == NULL || t == MP_ENVOY_TYPES) return MP_ENVOY_NO_MORE;
    return stand_to(e, p, (enum mp_envoy_type)t);
}

static uint32_t leases_of(const struct mp_envoy *e, const struct proxy *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; p->known && i < e->plan.count; i++) {
        n += proxy_carries(e, &e->plan.leases[i], p);
    }
    return n;
}

void mp_envoy_proxies(const struct mp_envoy *e, mp_envoy_proxy_fn each, void *ctx)
{
    for (const struct proxy *p = e->proxies; p != NULL; p = p->next) {
        struct mp_envoy_proxy out = {
            .node = p->id, .layer = p->audience.layer, .service = p->audience.service,
            .instance = p->audience.instance, .identity = p->identity, .address = p->address,
            .agent = p->agent, .listen = p->listen, .admin = p->admin, .tls = p->tls,
            .module = p->module, .connected = p->stream != NULL, .recalled = p->recalled,
            .known = p->known,
            .silent = p->silent, .twins = p->twins, .seen = {p->seen, p->seen_len},
            .since_ns = p->since_ns,
            .ack_ns = p->ack_ns, .nack_ns = p->nack_ns, .accepted = p->accepted,
            .effective = p->effective,
            .lacks = p->stream != NULL ? p->lacks : MP_STR(""),
            .bare = {p->view.text, p->stream != NULL ? p->view.text_len : 0},
            .leases = leases_of(e, p),
        };
        if (proxy_refuses(p)) tell_refused(p, &out);
        for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) {
            tell_types(s, out.types);
            out.sotw |= s->variant->wire == MP_DISCOVERY_SOTW;
            tell_seen(s, &out);
        }
        if (!each(ctx, &out)) return;
    }
}
