/* SPDX-License-Identifier: Apache-2.0
 * Leases as resources see them: words as numbers, addresses as Envoy writes them, in an order
 * that does not depend on the set's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "capability/capability.h"
#include "envoy_xds/resources_priv.h"
#include "schema/value.h"

static const mp_str verb_words[ENVOY_VERBS] = {
    [ENVOY_EXEMPT] = MP_STR_INIT("exempt"),     [ENVOY_DENY] = MP_STR_INIT("deny"),
    [ENVOY_QUARANTINE] = MP_STR_INIT("quarantine"), [ENVOY_THROTTLE] = MP_STR_INIT("throttle"),
    [ENVOY_DRAIN] = MP_STR_INIT("drain"),       [ENVOY_ROUTE] = MP_STR_INIT("route"),
    [ENVOY_MIRROR] = MP_STR_INIT("mirror"),         [ENVOY_REQUIRE] = MP_STR_INIT("require"),
};
static const mp_str kind_words[ENVOY_KINDS] = {
    [ENVOY_CLIENT] = MP_STR_INIT("client"),   [ENVOY_IDENTITY] = MP_STR_INIT("identity"),
    [ENVOY_SERVICE] = MP_STR_INIT("service"), [ENVOY_INSTANCE] = MP_STR_INIT("instance"),
    [ENVOY_RANGE] = MP_STR_INIT(""), /* is `client` with a key of another type */
};

static mp_str str_of(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }

static int word_of(const mp_str *words, int count, mp_str word)
{
    for (int i = 0; i < count; i++) {
        if (mp_str_eq(words[i], word)) return i;
    }
    return -1;
}

/* ---- arguments ---- */

static const struct mpol_arg *arg_named(const struct mpol_lease *l, const char *name)
{
    for (uint32_t i = 0; i < l->arg_count; i++) {
        if (mp_str_eq(str_of(l->args[i].name), mp_str_of(name))) return &l->args[i];
    }
    return NULL;
}

static double number_of(const struct mpol_arg *a, double without)
{
    if (a == NULL || a->kind == MPOL_ARG_TEXT) return without;
    return a->kind == MPOL_ARG_INT ? (double)a->integer : a->number;
}

static mp_str text_of(const struct mpol_arg *a, mp_str without)
{
    return a == NULL || a->kind != MPOL_ARG_TEXT ? without : str_of(a->text);
}

static enum mp_err refuse(enum mp_err err, const char *text, const char **why)
{
    *why = text;
    return err;
}

static enum mp_err read_throttle(const struct mpol_lease *l, struct envoy_lease *out,
                                 const char **why)
{
    const struct mpol_arg *to = arg_named(l, "to");
    if (to == NULL || to->kind == MPOL_ARG_TEXT)
        return refuse(MP_EINVAL, "a throttle to nothing", why);
    out->to = number_of(to, 0);
    out->burst = number_of(arg_named(l, "burst"), 0);
    out->is_rate = mp_str_eq(str_of(to->type), MP_STR("rate"));
    if (!out->is_rate && !mp_str_eq(str_of(to->type), MP_STR("percent"))) {
        return refuse(MP_EUNSUPPORTED, "a throttle is to a share or to a rate", why);
    }
    if (!isfinite(out->to) || out->to < 0)
        return refuse(MP_EINVAL, "a throttle to less than nothing", why);
    if (out->is_rate && out->to <= 0) {
        return refuse(MP_EUNSUPPORTED, "an Envoy's bucket has at least one token: write `deny`",
                      why);
    }
    return MP_OK;
}

#define HEADER_MAX 128 /* bytes of its name */

/* Texts go into messages whose strings must be UTF-8, and into access logs. */
static bool is_clean(mp_str s)
{
    for (size_t at = 0; at < s.len;) {
        unsigned char c = (unsigned char)s.ptr[at];
        if (c >= ' ' && c < 0x7f) {
            at++; /* nearly all */
            continue;
        }
        size_t n = mp_str_utf8(s, at);
        if (n == 0 || mp_str_control(s, at) != 0) return false;
        at += n;
    }
    return true;
}

/* A header's name as HTTP/2 writes it (RFC 9113, 8.2.1);
 * none of the names that begin with a colon. */
static bool is_header(mp_str name)
{
    static const char others[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '\0' || strchr(others, name.ptr[i]) == NULL) return false;
    }
    return name.len <= HEADER_MAX;
}

static enum mp_err read_header(const struct mpol_lease *l, struct envoy_lease *out,
                               const char **why)
{
    out->header = text_of(arg_named(l, "header"), MP_STR(""));
    out->value = text_of(arg_named(l, "value"), MP_STR(""));
    if (!is_header(out->header))
        return refuse(MP_EINVAL, "a header's name is in lower case, like `x-canary`", why);
    if (!is_clean(out->value)) return refuse(MP_EINVAL, "a header's value that is no text", why);
    if (out->header.len == 0 && out->value.len > 0)
        return refuse(MP_EINVAL, "a value of no header: name it by `header`", why);
    if (out->header.len > 0 && out->from.len > 0)
        return refuse(MP_EUNSUPPORTED, "by header it is of all versions: leave `from` out", why);
    return MP_OK;
}

/* A `route` or a `mirror`. */
static enum mp_err read_route(const struct mpol_lease *l, struct envoy_lease *out, const char **why)
{
    out->from = text_of(arg_named(l, "from"), MP_STR(""));
    out->onto = text_of(arg_named(l, "to"), MP_STR(""));
    if (out->onto.len == 0 || !is_clean(out->onto))
        return refuse(MP_EINVAL, "it leads to nothing: `to` is a service or a version", why);
    if (out->verb == ENVOY_MIRROR && mp_str_eq(out->onto, out->key))
        return refuse(MP_EINVAL, "a copy goes to another service, not to the same one again", why);
    MP_TRY(read_header(l, out, why));
    /* One that is computed may be anything; `check` has seen to those that are written. */
    double weight = number_of(arg_named(l, "weight"), 1);
    out->weight = weight > 0 ? fmin(weight, 1) : 0;
    return MP_OK;
}

static enum mp_err read_require(const struct mpol_lease *l, struct envoy_lease *out,
                                const char **why)
{
    if (!mp_str_eq(text_of(arg_named(l, "what"), MP_STR("mtls")), MP_STR("mtls"))) {
        return refuse(MP_EUNSUPPORTED, "an Envoy verifies tokens by its own configuration alone",
                      why);
    }
    out->strict = mp_str_eq(text_of(arg_named(l, "mode"), MP_STR("strict")), MP_STR("strict"));
    return MP_OK;
}

/* ---- one lease ---- */

static enum mp_err read_key(const struct mpol_lease *l, char *address, struct envoy_lease *out,
                            const char **why)
{
    out->key = str_of(l->target);
    if (out->key.len == 0 || !is_clean(out->key))
        return refuse(MP_EINVAL, "a key that is no text", why);
    if (out->kind != ENVOY_CLIENT) return MP_OK;
    struct mp_value v;
    uint32_t bits = 0;
    bool range = mp_str_eq(str_of(l->target_type), MP_STR("cidr"));
    if (!mp_value_address(out->key, &v, &bits) || (bits != 128 && !range)) {
        return refuse(MP_EINVAL, "a client's key that is no address", why);
    }
    if (range) v = mp_value_net(v, bits);
    out->key = (mp_str){address, mp_value_address_text(v, address)};
    /* Bits count from the left of the 16 bytes, in which an IPv4 address has the last four. */
    bool v4 = memchr(address, ':', out->key.len) == NULL;
    if (v4 && bits < 96) return refuse(MP_EINVAL, "a range that is of no family", why);
    if (range) out->kind = ENVOY_RANGE;
    out->prefix_len = v4 ? bits - 96 : bits;
    return MP_OK;
}

static bool is_word(const char *text, mp_str word)
{
    return strncmp(text, word.ptr, word.len) == 0 && text[word.len] == '\0';
}

static bool key_fits(const struct mpol_capability *c, const struct mpol_lease *l)
{
    bool range = mp_str_eq(str_of(l->target_type), MP_STR("cidr"));
    return !range || (c->flags & MPOL_CAN_RANGE) != 0;
}

static enum mp_err read_words(const struct mpol_lease *l, struct envoy_lease *out, const char **why)
{
    int verb = word_of(verb_words, ENVOY_VERBS, str_of(l->verb));
    int kind = word_of(kind_words, ENVOY_KINDS, str_of(l->target_kind));
    if (verb < 0 || kind < 0)
        return refuse(MP_EUNSUPPORTED, "not a verb or target of an Envoy", why);
    for (size_t i = 0; i < MP_ENVOY_CAPABILITY_COUNT; i++) {
        const struct mpol_capability *c = &mp_envoy_capabilities[i];
        if (!is_word(c->verb, verb_words[verb]) || !is_word(c->target, kind_words[kind])) continue;
        if (!key_fits(c, l)) return refuse(MP_EUNSUPPORTED, "not to a range of addresses", why);
        if ((l->hooks & ~c->hooks) != 0) return refuse(MP_EUNSUPPORTED, "not at this hook", why);
        out->verb = (enum envoy_verb)verb;
        out->kind = (enum envoy_kind)kind;
        return MP_OK;
    }
    return refuse(MP_EUNSUPPORTED, "an Envoy cannot do this to such a target", why);
}

static bool same_text(struct mpol_text a, struct mpol_text b)
{
    return a.len == b.len && (a.ptr == b.ptr || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Of a long list most words are those of the lease before, where they lie once. */
static bool same_words(const struct mpol_lease *a, const struct mpol_lease *b)
{
    return a->hooks == b->hooks && same_text(a->verb, b->verb) && same_text(a->rule, b->rule) &&
           same_text(a->target_kind, b->target_kind) && same_text(a->target_type, b->target_type);
}

/* `before`: one that was read; NULL: there is none. */
static enum mp_err read_after(const struct mpol_lease *lease, const struct envoy_lease *before,
                              char *address, struct envoy_lease *out, const char **why)
{
    struct envoy_lease l = {.lease = lease, .rule = str_of(lease->rule)};
    if (before != NULL && same_words(before->lease, lease)) {
        l.verb = before->verb;
        l.kind = before->kind == ENVOY_RANGE ? ENVOY_CLIENT : before->kind;
    } else {
        MP_TRY(read_words(lease, &l, why));
        if (!is_clean(l.rule)) return refuse(MP_EINVAL, "a rule's name that is no text", why);
    }
    MP_TRY(read_key(lease, address, &l, why));
    l.given_back = lease->given_back > 0 ? lease->given_back < 1 ? lease->given_back : 1 : 0;
    switch (l.verb) {
    case ENVOY_THROTTLE: MP_TRY(read_throttle(lease, &l, why)); break;
    case ENVOY_ROUTE:
    case ENVOY_MIRROR: MP_TRY(read_route(lease, &l, why)); break;
    case ENVOY_REQUIRE: MP_TRY(read_require(lease, &l, why)); break;
    default: break;
    }
    *out = l;
    return MP_OK;
}

enum mp_err mp_envoy_lease_read(const struct mpol_lease *lease, char *address,
                                struct envoy_lease *out, const char **why)
{
    return read_after(lease, NULL, address, out, why);
}

static enum mp_err say(enum mp_err err, const struct mpol_lease *l, const char *text, char *why,
                       size_t why_size)
{
    snprintf(why, why_size, "%.*s %.*s: %s", MP_STR_ARG(str_of(l->verb)),
             MP_STR_ARG(str_of(l->target_kind)), text);
    return err;
}

enum mp_err mp_envoy_lease_fits(const struct mpol_lease *lease, char *why, size_t why_size)
{
    char address[ADDRESS_TEXT_MAX];
    struct envoy_lease l;
    const char *text = "";
    enum mp_err err = mp_envoy_lease_read(lease, address, &l, &text);
    return err == MP_OK ? MP_OK : say(err, lease, text, why, why_size);
}

enum mp_err mp_envoy_lease_check(const struct mpol_lease *lease, char *why, size_t why_size)
{
    MP_TRY(mp_envoy_lease_fits(lease, why, why_size));
    bool deny = mp_str_eq(str_of(lease->verb), verb_words[ENVOY_DENY]);
    if (!deny || number_of(arg_named(lease, "status"), 403) == 403) return MP_OK;
    return say(MP_EUNSUPPORTED, lease, "an Envoy's access filter answers 403 and nothing else", why,
               why_size);
}

/* ---- all of them ---- */

static int compare_numbers(double a, double b) { return (a > b) - (a < b); }

static int by_place(const struct envoy_lease *a, const struct envoy_lease *b)
{
    if (a->verb != b->verb) return a->verb < b->verb ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->prefix_len != b->prefix_len) return a->prefix_len > b->prefix_len ? -1 : 1;
    return mp_str_cmp(a->key, b->key);
}

/* Two owners may have a lease of one id, so what it says decides too; equal in all of it is equal
 * bytes. */
static int by_content(const void *x, const void *y)
{
    const struct envoy_lease *a = x, *b = y;
    int order = by_place(a, b);
    if (order != 0) return order;
    if (a->lease->id != b->lease->id) return a->lease->id < b->lease->id ? -1 : 1;
    if ((order = mp_str_cmp(a->rule, b->rule)) != 0) return order;
    if (a->lease->incident != b->lease->incident)
        return a->lease->incident < b->lease->incident ? -1 : 1;
    if ((order = compare_numbers(a->given_back, b->given_back)) != 0) return order;
    if (a->is_rate != b->is_rate) return a->is_rate ? 1 : -1;
    if (a->strict != b->strict) return a->strict ? 1 : -1;
    if ((order = compare_numbers(a->to, b->to)) != 0) return order;
    if ((order = compare_numbers(a->burst, b->burst)) != 0) return order;
    if ((order = compare_numbers(a->weight, b->weight)) != 0) return order;
    if ((order = mp_str_cmp(a->from, b->from)) != 0) return order;
    if ((order = mp_str_cmp(a->onto, b->onto)) != 0) return order;
    if ((order = mp_str_cmp(a->header, b->header)) != 0) return order;
    return mp_str_cmp(a->value, b->value);
}

struct mp_envoy_read {
    struct envoy_leases all;
    uint32_t hooks; /* where every one of them holds */
};

/* Mostly an address is written as Envoy writes it already. */
static enum mp_err read_one(const struct mpol_lease *l, const struct envoy_lease *before,
                            struct mp_arena *arena, struct envoy_lease *out)
{
    char address[ADDRESS_TEXT_MAX];
    const char *why;
    MP_TRY(read_after(l, before, address, out, &why));
    if (out->key.ptr != address) return MP_OK;
    mp_str target = str_of(l->target);
    out->key = mp_str_eq(out->key, target) ? target : mp_arena_str(arena, out->key);
    return out->key.ptr != NULL ? MP_OK : MP_ENOMEM;
}

/* What decides first in by_content, as numbers that lie side by side: verb, kind, length of the
 * prefix, and the first bytes of the key. No key has a zero in it. */
struct place {
    uint64_t head, more;
    const struct envoy_lease *lease;
};
#define HEAD_KEY 5u /* bytes of the key that are in `head` */

static uint64_t bytes_of(mp_str key, size_t from, size_t count)
{
    uint64_t n = 0;
    for (size_t i = from; i < from + count; i++) {
        n = n << 8 | (i < key.len ? (uint64_t)(unsigned char)key.ptr[i] : 0);
    }
    return n;
}

static struct place place_of(const struct envoy_lease *l)
{
    uint64_t words = (uint64_t)l->verb << 16 | (uint64_t)l->kind << 8 | (255 - l->prefix_len);
    return (struct place){.head = words << 8 * HEAD_KEY | bytes_of(l->key, 0, HEAD_KEY),
                          .more = bytes_of(l->key, HEAD_KEY, 8),
                          .lease = l};
}

static int by_number(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    if (a->head != b->head) return a->head < b->head ? -1 : 1;
    if (a->more != b->more) return a->more < b->more ? -1 : 1;
    return by_content(a->lease, b->lease);
}

#define ROOM(arena, type, count)                                                                   \
    ((type *)mp_arena_alloc_raw((arena), (count) * sizeof(type), _Alignof(type)))

static enum mp_err read_all(const struct mpol_lease *leases, size_t count, struct mp_arena *arena,
                            struct mp_arena *scratch, struct mp_envoy_read *out,
                            const struct mpol_lease **bad)
{
    struct envoy_lease *as_given = ROOM(scratch, struct envoy_lease, count + 1);
    struct place *places = ROOM(scratch, struct place, count + 1);
    struct envoy_lease *all = ROOM(arena, struct envoy_lease, count + 1);
    if (as_given == NULL || places == NULL || all == NULL) return MP_ENOMEM;
    *out = (struct mp_envoy_read){.all = {all, count}, .hooks = UINT32_MAX};
    for (size_t i = 0; i < count; i++) {
        *bad = &leases[i];
        MP_TRY(read_one(&leases[i], i > 0 ? &as_given[i - 1] : NULL, arena, &as_given[i]));
        places[i] = place_of(&as_given[i]);
        out->hooks &= leases[i].hooks;
    }
    qsort(places, count, sizeof *places, by_number);
    for (size_t i = 0; i < count; i++) all[i] = *places[i].lease;
    return MP_OK;
}

enum mp_err mp_envoy_read(const struct mpol_lease *leases, size_t count, struct mp_arena *arena,
                          const struct mp_envoy_read **out, const struct mpol_lease **bad)
{
    struct mp_envoy_read *read = MP_NEW(arena, struct mp_envoy_read, 1);
    struct mp_arena scratch;
    if (read == NULL) return MP_ENOMEM;
    mp_arena_init(&scratch, arena->from, 0);
    enum mp_err err = read_all(leases, count, arena, &scratch, read, bad);
    mp_arena_free(&scratch);
    if (err == MP_OK) *out = read;
    return err;
}

enum mp_err mp_envoy_leases_at(const struct mp_envoy_read *read, uint32_t layer,
                               struct mp_arena *arena, struct envoy_leases *out)
{
    *out = read->all;
    if (layer == 0 || (read->hooks & layer) != 0) return MP_OK;
    struct envoy_lease *some = ROOM(arena, struct envoy_lease, read->all.count + 1);
    if (some == NULL) return MP_ENOMEM;
    *out = (struct envoy_leases){some, 0};
    for (size_t i = 0; i < read->all.count; i++) {
        const struct envoy_lease *l = &read->all.ptr[i];
        if ((l->lease->hooks & layer) != 0) some[out->count++] = *l;
    }
    return MP_OK;
}

/* The first that is of this verb and kind, or of a later one: they lie in this order. */
static size_t first_of(struct envoy_leases all, int verb, int kind)
{
    size_t from = 0, to = all.count;
    while (from < to) {
        size_t at = from + (to - from) / 2;
        const struct envoy_lease *l = &all.ptr[at];
        bool before = (int)l->verb < verb || ((int)l->verb == verb && (int)l->kind < kind);
        if (before) {
            from = at + 1;
        } else {
            to = at;
        }
    }
    return from;
}

struct envoy_leases mp_envoy_leases_of(struct envoy_leases all, enum envoy_verb verb,
                                       enum envoy_kind kind)
{
    size_t from = first_of(all, (int)verb, (int)kind), to = first_of(all, (int)verb, (int)kind + 1);
    return (struct envoy_leases){all.ptr + from, to - from};
}

bool mp_envoy_lease_own(const struct envoy_lease *l, const struct mp_envoy_audience *audience)
{
    if (l->kind == ENVOY_SERVICE) return mp_str_eq(l->key, audience->service);
    return l->kind == ENVOY_INSTANCE && mp_str_eq(l->key, audience->instance);
}

const struct envoy_lease *mp_envoy_lease_strongest(struct envoy_leases of,
                                                   const struct mp_envoy_audience *audience)
{
    const struct envoy_lease *best = NULL;
    for (size_t i = 0; i < of.count; i++) {
        if (!mp_envoy_lease_own(&of.ptr[i], audience)) continue;
        if (best == NULL || of.ptr[i].given_back < best->given_back) best = &of.ptr[i];
    }
    return best;
}

/* ---- what has been given back ---- */

/* Fixed: every run and every control plane chooses the same clients. */
static const struct mp_hash_key choice = {0x6d706f6c20656e76, 0x6f79206368656f73};

bool mp_envoy_passes(const struct envoy_lease *l, mp_str client)
{
    if (l->given_back <= 0) return false;
    uint64_t words[2] = {l->lease->incident, mp_siphash(choice, client.ptr, client.len)};
    uint64_t hash = mp_siphash(choice, words, sizeof words) & UINT32_MAX;
    return (double)hash < l->given_back * 4294967296.0;
}

double mp_envoy_share_now(const struct envoy_lease *l)
{
    double q = l->to < 1 ? l->to : 1;
    return q + (1 - q) * l->given_back;
}

double mp_envoy_rate_now(const struct envoy_lease *l)
{
    return l->given_back < 1 ? l->to / (1 - l->given_back) : 0;
}

static bool read_if(const struct mpol_lease *lease, bool is_rate, struct envoy_lease *out)
{
    char address[ADDRESS_TEXT_MAX];
    const char *why;
    return mp_envoy_lease_read(lease, address, out, &why) == MP_OK && out->verb == ENVOY_THROTTLE &&
           out->is_rate == is_rate;
}

bool mp_envoy_lease_share(const struct mpol_lease *lease, double *admitted)
{
    struct envoy_lease l;
    if (!read_if(lease, false, &l)) return false;
    *admitted = mp_envoy_share_now(&l);
    return true;
}

bool mp_envoy_lease_rate(const struct mpol_lease *lease, double *per_second, double *burst)
{
    struct envoy_lease l;
    if (!read_if(lease, true, &l)) return false;
    *per_second = mp_envoy_rate_now(&l);
    *burst = l.burst;
    return true;
}

/* ---- who must carry it ---- */

/* Endpoints and identities are everybody's business. */
static const bool everybody[ENVOY_VERBS] = {[ENVOY_QUARANTINE] = true, [ENVOY_DRAIN] = true,
                                            [ENVOY_ROUTE] = true, [ENVOY_MIRROR] = true};

/* Seen from its words alone: is it the business of one service or instance, which is another one? Of
 * a thousand leases and a hundred proxies that is nearly every pair. */
static bool is_of_others(const struct mpol_lease *l, const struct mp_envoy_audience *audience)
{
    int kind = word_of(kind_words, ENVOY_RANGE, str_of(l->target_kind));
    if (kind != ENVOY_SERVICE && kind != ENVOY_INSTANCE) return false;
    struct envoy_lease named = {.kind = (enum envoy_kind)kind, .key = str_of(l->target)};
    if (mp_envoy_lease_own(&named, audience)) return false;
    int verb = word_of(verb_words, ENVOY_VERBS, str_of(l->verb));
    return verb >= 0 && !everybody[verb];
}

bool mp_envoy_concerns(const struct mpol_lease *lease, const struct mp_envoy_world *world,
                       const struct mp_envoy_audience *audience)
{
    char address[ADDRESS_TEXT_MAX];
    struct envoy_lease l;
    const char *why;
    (void)world;
    if ((lease->hooks & audience->layer) == 0 || is_of_others(lease, audience)) return false;
    return mp_envoy_lease_read(lease, address, &l, &why) == MP_OK;
}
