/* SPDX-License-Identifier: Apache-2.0
 * Resources by content: what many proxies get is there once, and is built once for each audience.
 */
#include "envoy_xds/envoy_xds_priv.h"

#include "base/assert.h"

/* Names come from proxies too, but a chain that is made long costs its maker a subscription each,
 * and those are bounded. */
static const struct mp_hash_key hash_key = {0x6d706f6c2d656e76ULL, 0x6f792d7864732d31ULL};

struct res xd_unsent = {.refs = 1};

uint64_t name_hash(mp_str name) { return mp_siphash(hash_key, name.ptr, name.len); }

/* ---- one resource ---- */

struct res *res_hold(struct res *r)
{
    if (r != NULL && r != &xd_unsent) r->refs++;
    return r;
}

static uint64_t res_hash(enum mp_envoy_type type, mp_str name, mp_str version)
{
    uint64_t words[3] = {type, name_hash(name), name_hash(version)};
    return mp_siphash_words(hash_key, words, 3);
}

uint64_t res_chain(uint64_t before, const struct res *r)
{
    uint64_t words[2] = {before, r != NULL ? r->hash : 0};
    return mp_siphash_words(hash_key, words, 2);
}

void res_drop(struct mp_envoy *e, struct res *r)
{
    if (r == NULL || r == &xd_unsent) return;
    MP_ASSERT(r->refs > 0);
    if (--r->refs > 0) return;
    struct res **at = &e->res[r->hash % RES_BUCKETS];
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    xd_free(e, r, r->size);
}

void res_put(struct mp_envoy *e, struct res **at, struct res *r)
{
    struct res *old = *at;
    *at = res_hold(r);
    res_drop(e, old);
}

/* Copies texts one behind the other. */
static mp_str lay(char **at, mp_str s)
{
    char *to = *at;
    if (s.len > 0) memcpy(to, s.ptr, s.len);
    *at += s.len;
    return (mp_str){to, s.len};
}

static size_t proof_texts(const struct mp_envoy_proof *p)
{
    size_t n = p->path.len + p->key.len + p->value.len + p->cluster.len;
    for (uint32_t i = 0; i < p->endpoint_count; i++) n += p->endpoints[i].ip.len;
    return n;
}

static struct res *res_make(struct mp_envoy *e, enum mp_envoy_type type,
                            const struct mp_envoy_resource *from)
{
    size_t points = from->proof.endpoint_count * sizeof(struct mp_envoy_endpoint);
    size_t size = sizeof(struct res) + points + from->name.len + from->version.len +
                  from->type_url.len + from->bytes.len + proof_texts(&from->proof);
    struct res *r = xd_alloc(e, size);
    if (r == NULL) return NULL;
    struct mp_envoy_endpoint *endpoints = (struct mp_envoy_endpoint *)(r + 1);
    char *at = (char *)(r + 1) + points;
    *r = (struct res){.size = size, .type = type, .proof = from->proof};
    r->name = lay(&at, from->name);
    r->version = lay(&at, from->version);
    r->type_url = lay(&at, from->type_url);
    r->bytes = lay(&at, from->bytes);
    r->proof.path = lay(&at, from->proof.path);
    r->proof.key = lay(&at, from->proof.key);
    r->proof.value = lay(&at, from->proof.value);
    r->proof.cluster = lay(&at, from->proof.cluster);
    for (uint32_t i = 0; i < from->proof.endpoint_count; i++) {
        endpoints[i] = from->proof.endpoints[i];
        endpoints[i].ip = lay(&at, from->proof.endpoints[i].ip);
    }
    r->proof.endpoints = endpoints;
    return r;
}

/* The one of this type, name and version, with one more reference. A version is a hash of the
 * bytes. */
static struct res *res_get(struct mp_envoy *e, enum mp_envoy_type type,
                           const struct mp_envoy_resource *from)
{
    uint64_t hash = res_hash(type, from->name, from->version);
    struct res **bucket = &e->res[hash % RES_BUCKETS];
    for (struct res *r = *bucket; r != NULL; r = r->next) {
        if (r->hash == hash && r->type == type && mp_str_eq(r->name, from->name) &&
            mp_str_eq(r->version, from->version) && r->bytes.len == from->bytes.len) {
            return res_hold(r);
        }
    }
    struct res *r = res_make(e, type, from);
    if (r == NULL) return NULL;
    r->hash = hash;
    r->refs = 1;
    r->next = *bucket;
    *bucket = r;
    return r;
}

/* ---- one list ---- */

static void list_free(struct mp_envoy *e, struct res **list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) res_drop(e, list[i]);
    xd_free(e, list, count * sizeof *list);
}

static enum mp_err list_of(struct mp_envoy *e, enum mp_envoy_type type,
                           const struct mp_envoy_resource *built, uint32_t count, struct res ***out)
{
    *out = NULL;
    if (count == 0) return MP_OK;
    struct res **list = xd_alloc(e, count * sizeof *list);
    if (list == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        enum mp_err err = built[i].bytes.len > e->limits.resource_bytes ? MP_ELIMIT : MP_OK;
        if (err == MP_OK && (list[i] = res_get(e, type, &built[i])) == NULL) err = MP_ENOMEM;
        if (err == MP_OK) continue;
        for (uint32_t k = 0; k < i; k++) res_drop(e, list[k]);
        xd_free(e, list, count * sizeof *list);
        return err;
    }
    *out = list;
    return MP_OK;
}

/* Leases about a service or an instance; of those alone it matters whose proxy it is. */
static bool is_place(const struct mpol_lease *l)
{
    mp_str kind = {l->target_kind.ptr, l->target_kind.len};
    return mp_str_eq(kind, MP_STR("service")) || mp_str_eq(kind, MP_STR("instance"));
}

void plan_places(struct plan *p)
{
    p->place_count = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (is_place(&p->leases[i])) p->places[p->place_count++] = p->leases[i];
    }
}

/* Nothing in force is about this very service or instance, so it gets what others of its layer
 * get. */
static bool is_one_of_many(const struct plan *plan, const struct content *c)
{
    if (c->type != MP_ENVOY_ECDS && c->type != MP_ENVOY_RTDS) return false;
    for (uint32_t i = 0; !c->baseline && i < plan->place_count; i++) {
        mp_str target = {plan->places[i].target.ptr, plan->places[i].target.len};
        if (mp_str_eq(target, c->audience.service) || mp_str_eq(target, c->audience.instance))
            return false;
    }
    return true;
}

static enum mp_err build(struct mp_envoy *e, const struct plan *plan, struct content *c)
{
    struct mp_arena scratch;
    struct mp_envoy_resource *built = NULL;
    struct mp_envoy_plan what = {
        .leases = plan->leases, .lease_count = plan->count, .world = &e->world, .read = plan->read};
    if (c->baseline) {
        what.lease_count = 0;
        what.read = NULL;
    }
    what.no_secrets = c->baseline;
    mp_arena_init(&scratch, &e->alloc, 0);
    e->counts.builds++;
    uint32_t count = 0;
    enum mp_err err =
        mp_envoy_build(&what, &c->audience, c->type, c->name, &scratch, &built, &count);
    if (err == MP_OK) err = list_of(e, c->type, built, count, &c->fresh);
    if (err == MP_OK) c->fresh_count = count;
    mp_arena_free(&scratch);
    c->built = err == MP_OK;
    return err;
}

static void take(struct mp_envoy *e, struct content *c)
{
    list_free(e, c->list, c->count);
    c->list = c->fresh;
    c->count = c->fresh_count;
    c->fresh = NULL;
    c->fresh_count = 0;
    c->built = false;
}

/* The same list once more. */
static enum mp_err share(struct mp_envoy *e, struct res **list, uint32_t count, struct content *c)
{
    struct res **copy = count > 0 ? xd_alloc(e, count * sizeof *copy) : NULL;
    if (count > 0 && copy == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < count; i++) copy[i] = res_hold(list[i]);
    c->fresh = copy;
    c->fresh_count = count;
    c->built = true;
    return MP_OK;
}

static bool is_alike(const struct content *a, const struct content *b)
{
    return a->one_of_many && b->one_of_many && a->type == b->type && a->baseline == b->baseline &&
           a->audience.layer == b->audience.layer && a->audience.module == b->audience.module;
}

struct res *content_find(const struct content *c, mp_str name)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (mp_str_eq(c->list[i]->name, name)) return c->list[i];
    }
    return NULL;
}

/* ---- who shares one ---- */

static bool same_routes(const struct mp_envoy_audience *a, const struct mp_envoy_audience *b)
{
    if (a->route_count != b->route_count || a->by_version != b->by_version) return false;
    for (uint32_t i = 0; i < a->route_count; i++) {
        if (!mp_str_eq(a->routes[i].prefix, b->routes[i].prefix)) return false;
        if (!mp_str_eq(a->routes[i].service, b->routes[i].service)) return false;
    }
    return true;
}

static bool same_audience(const struct content *a, const struct content *b)
{
    if (a->type != b->type || a->baseline != b->baseline || !mp_str_eq(a->name, b->name))
        return false;
    const struct mp_envoy_audience *x = &a->audience, *y = &b->audience;
    return x->layer == y->layer && x->module == y->module && mp_str_eq(x->service, y->service) &&
           mp_str_eq(x->instance, y->instance) && same_routes(x, y);
}

static uint64_t audience_hash(const struct content *c)
{
    uint64_t words[5] = {c->type, c->audience.layer, name_hash(c->audience.service),
                         name_hash(c->audience.instance), name_hash(c->name)};
    return mp_siphash_words(hash_key, words, 5);
}

static size_t audience_texts(const struct content *c)
{
    size_t n = c->audience.service.len + c->audience.instance.len + c->name.len;
    for (uint32_t i = 0; i < c->audience.route_count; i++) {
        n += c->audience.routes[i].prefix.len + c->audience.routes[i].service.len;
    }
    return n;
}

/* A copy that owns its texts. */
static struct content *content_copy(struct mp_envoy *e, const struct content *like)
{
    size_t routes = like->audience.route_count * sizeof(struct mp_envoy_route);
    size_t size = sizeof *like + routes + audience_texts(like);
    struct content *c = xd_alloc(e, size);
    if (c == NULL) return NULL;
    *c = *like;
    c->size = size;
    struct mp_envoy_route *to = (struct mp_envoy_route *)(c + 1);
    char *at = (char *)(c + 1) + routes;
    c->audience.service = lay(&at, like->audience.service);
    c->audience.instance = lay(&at, like->audience.instance);
    c->name = lay(&at, like->name);
    for (uint32_t i = 0; i < like->audience.route_count; i++) {
        to[i].prefix = lay(&at, like->audience.routes[i].prefix);
        to[i].service = lay(&at, like->audience.routes[i].service);
    }
    c->audience.routes = to;
    return c;
}

static struct content *content_known(const struct mp_envoy *e, const struct content *like,
                                     uint64_t hash)
{
    struct content *c = e->content_of[hash % CONTENT_BUCKETS];
    while (c != NULL && (c->hash != hash || !same_audience(c, like))) c = c->in_bucket;
    return c;
}

static void content_enter(struct mp_envoy *e, struct content *c)
{
    struct content **bucket = &e->content_of[c->hash % CONTENT_BUCKETS];
    c->in_bucket = *bucket;
    *bucket = c;
    c->next = e->contents;
    c->at = &e->contents;
    if (c->next != NULL) c->next->at = &c->next;
    e->contents = c;
}

/* Another audience that is given the same, whose list may be had. */
static const struct content *content_alike(const struct mp_envoy *e, const struct content *wanted)
{
    const struct content *c = wanted->one_of_many ? e->contents : NULL;
    while (c != NULL && !is_alike(c, wanted)) c = c->next;
    return c;
}

enum mp_err content_get(struct mp_envoy *e, const struct content *like, struct content **out)
{
    uint64_t hash = audience_hash(like);
    struct content wanted = *like, *c = content_known(e, like, hash);
    if (c != NULL) {
        c->users++;
        *out = c;
        return MP_OK;
    }
    wanted.one_of_many = is_one_of_many(&e->plan, like);
    const struct content *donor = content_alike(e, &wanted);
    c = content_copy(e, &wanted);
    if (c == NULL) return MP_ENOMEM;
    c->hash = hash;
    c->users = 1;
    enum mp_err err =
        donor != NULL ? share(e, donor->list, donor->count, c) : build(e, &e->plan, c);
    if (err != MP_OK) {
        xd_free(e, c, c->size);
        return err;
    }
    take(e, c);
    content_enter(e, c);
    *out = c;
    return MP_OK;
}

void content_leave(struct mp_envoy *e, struct content *c)
{
    if (c == NULL) return;
    MP_ASSERT(c->users > 0);
    if (--c->users > 0) return;
    struct content **in_bucket = &e->content_of[c->hash % CONTENT_BUCKETS];
    while (*in_bucket != c) in_bucket = &(*in_bucket)->in_bucket;
    *in_bucket = c->in_bucket;
    *c->at = c->next;
    if (c->next != NULL) c->next->at = c->at;
    list_free(e, c->list, c->count);
    xd_free(e, c, c->size);
}

/* ---- all of them ---- */

/* Endpoints are for whoever asks for the cluster, so every lease about a place may concern them.
 * Denials, of which there are many, are for filters alone. */
static bool concerns_type(const struct mp_envoy *e, const struct content *c,
                          const struct mpol_lease *l)
{
    if (c->type == MP_ENVOY_EDS) return is_place(l);
    if (c->type != MP_ENVOY_ECDS && mp_str_eq((mp_str){l->verb.ptr, l->verb.len}, MP_STR("deny")))
        return false;
    return mp_envoy_concerns(l, &e->world, &c->audience);
}

static bool concerned(const struct mp_envoy *e, const struct content *c,
                      const struct mpol_lease *const *changed, size_t count)
{
    if (changed == NULL) return true;
    if (c->baseline) return false;
    for (size_t i = 0; i < count; i++) {
        if (concerns_type(e, c, changed[i])) return true;
    }
    return false;
}

static const struct content *donor_of(const struct mp_envoy *e, const struct content *c)
{
    for (const struct content *d = e->contents; d != c; d = d->next) {
        if (d->built && is_alike(d, c)) return d;
    }
    return NULL;
}

enum mp_err contents_prepare(struct mp_envoy *e, const struct plan *plan,
                             const struct mpol_lease *const *changed, size_t changed_count)
{
    for (struct content *c = e->contents; c != NULL; c = c->next) {
        if (!concerned(e, c, changed, changed_count)) continue;
        c->one_of_many = is_one_of_many(plan, c);
        const struct content *donor = c->one_of_many ? donor_of(e, c) : NULL;
        enum mp_err err =
            donor != NULL ? share(e, donor->fresh, donor->fresh_count, c) : build(e, plan, c);
        if (err != MP_OK) {
            contents_commit(e, false);
            return err;
        }
    }
    return MP_OK;
}

void contents_commit(struct mp_envoy *e, bool taken)
{
    for (struct content *c = e->contents; c != NULL; c = c->next) {
        if (!taken) c->one_of_many = is_one_of_many(&e->plan, c);
        if (!c->built) continue;
        if (taken) {
            take(e, c);
        } else {
            list_free(e, c->fresh, c->fresh_count);
            c->fresh = NULL;
            c->fresh_count = 0;
            c->built = false;
        }
    }
}
