/* SPDX-License-Identifier: Apache-2.0
 * mpol-throttle: rates, a token bucket a lease in every proxy. mpol-share: shares, refused by
 * chance. The share of who answers changes fastest and goes by RTDS, so that no filter is made
 * anew for it.
 *
 * Every proxy counts for itself. A rate of a service is divided among its instances; one of a
 * client or an identity holds at each proxy. A bucket begins full when the list of rates changes.
 */
#include <math.h>

#include "base/assert.h"
#include "envoy_xds/resources_priv.h"

#define MILLION 1000000.0
#define REFUSED_STATUS 429

/* ---- mpol-throttle ----
 * LocalRateLimit{stat_prefix 1, status 2, token_bucket 3, filter_enabled 4, filter_enforced 5,
 * descriptors 8, rate_limits 17}, LocalRateLimitDescriptor{entries 1, token_bucket 2}, Entry{key 1,
 * value 2}, RateLimit{actions 3}, Action{remote_address 4, extension 9}. */

#define KEY_CLIENT MP_STR("remote_address")
#define KEY_IDENTITY MP_STR("identity")

struct rate {
    double per_second, burst;
};

static bool slower(struct rate a, struct rate b)
{
    if (a.per_second < b.per_second || a.per_second > b.per_second)
        return a.per_second < b.per_second;
    return a.burst < b.burst;
}

static struct rate rate_of(const struct envoy_lease *l)
{
    return (struct rate){mp_envoy_rate_now(l), l->burst};
}

/* TokenBucket{max_tokens 1, tokens_per_fill 2, fill_interval 3}. Envoy refills without steps, and
 * wants whole tokens and milliseconds, 50 at least: so as many tokens as flow in about a second. */
static void put_bucket(struct pb_out *out, uint32_t field, struct rate r)
{
    double burst = r.burst >= 1 ? r.burst : r.per_second > 1 ? r.per_second : 1;
    double tokens = ceil(r.per_second), max = 4e9;
    if (tokens > max) tokens = max;
    double ms = ceil(tokens * 1000 / r.per_second);
    if (ms < 50) ms = 50;
    if (ms > 1e12) ms = 1e12; /* a token in thirty years */
    size_t bucket = pb_begin(out, field);
    pb_uint(out, 1, (uint64_t)(burst < max ? burst : max));
    pb_wrapped_uint(out, 2, (uint64_t)tokens);
    pb_duration(out, 3, (int64_t)ms * 1000000);
    pb_end(out, bucket);
}

/* A probe takes no token and falls to no chance. */
static const struct envoy_pass probe_passes = {{NULL, 0}, true};

static void put_always(struct pb_out *out, uint32_t field)
{
    struct pb_pair fraction = pb_within(out, field, 1);
    pb_uint(out, 1, 100);
    pb_pair_end(out, fraction);
}

/* One bucket a key, the slowest of its leases. The number of them. */
static size_t put_descriptors(struct pb_out *out, struct envoy_leases of, mp_str key)
{
    size_t count = 0;
    for (size_t i = 0; i < of.count;) {
        struct rate slowest = {0, 0};
        struct envoy_forms forms;
        bool any = false;
        mp_str value = of.ptr[i].key;
        mp_envoy_forms_of(&of.ptr[i], &forms);
        for (; i < of.count && mp_str_eq(of.ptr[i].key, value); i++) {
            struct rate r = rate_of(&of.ptr[i]);
            if (!of.ptr[i].is_rate || r.per_second <= 0) continue;
            if (!any || slower(r, slowest)) slowest = r;
            any = true;
        }
        if (!any) continue;
        for (size_t k = 0; k < forms.count; k++) {
            size_t descriptor = pb_begin(out, 8), entry = pb_begin(out, 1);
            pb_text(out, 1, key);
            pb_text(out, 2, forms.text[k]);
            pb_end(out, entry);
            put_bucket(out, 2, slowest);
            pb_end(out, descriptor);
            count++;
        }
    }
    return count;
}

/* The rate of what the audience itself answers; false: none. */
static enum mp_err own_rate(struct envoy_build *b, struct rate *out, bool *any)
{
    struct envoy_instances instances;
    MP_TRY(mp_envoy_instances_of(b, b->audience->service, &instances));
    double shares = instances.count > 0 ? (double)instances.count : 1;
    for (int kind = ENVOY_SERVICE; kind <= ENVOY_INSTANCE; kind++) {
        struct envoy_leases of =
            mp_envoy_leases_of(b->leases, ENVOY_THROTTLE, (enum envoy_kind)kind);
        for (size_t i = 0; i < of.count; i++) {
            struct rate r = rate_of(&of.ptr[i]);
            if (!of.ptr[i].is_rate || r.per_second <= 0) continue;
            if (!mp_envoy_lease_own(&of.ptr[i], b->audience)) continue;
            if (kind == ENVOY_SERVICE) {
                /* What it may hold when the rate says nothing is one second of the whole rate. */
                if (r.burst < 1) r.burst = r.per_second;
                r = (struct rate){r.per_second / shares, fmax(r.burst / shares, 1)};
            }
            if (!*any || slower(r, *out)) *out = r;
            *any = true;
        }
    }
    return MP_OK;
}

static void put_by_client(struct pb_out *out)
{
    struct pb_pair action = pb_within(out, 17, 3);
    pb_empty(out, 4);
    pb_pair_end(out, action);
}

/* A matcher's input makes a descriptor whose key is the extension's name. */
static void put_by_identity(struct pb_out *out)
{
    struct pb_pair action = pb_within(out, 17, 3);
    mp_envoy_put_input(out, 9, ENVOY_INPUT_IDENTITY);
    pb_pair_end(out, action);
}

static void put_rates(struct envoy_build *b, struct pb_out *out, const struct rate *own)
{
    struct pb_out rows = pb_out_arena(b->arena);
    size_t clients = put_descriptors(
        &rows, mp_envoy_leases_of(b->leases, ENVOY_THROTTLE, ENVOY_CLIENT), KEY_CLIENT);
    size_t identities = put_descriptors(
        &rows, mp_envoy_leases_of(b->leases, ENVOY_THROTTLE, ENVOY_IDENTITY), KEY_IDENTITY);
    if (rows.failed) out->failed = true;
    if (own == NULL && clients + identities == 0) return;
    size_t status = pb_begin(out, 2);
    pb_uint(out, 1, REFUSED_STATUS);
    pb_end(out, status);
    if (own != NULL) put_bucket(out, 3, *own);
    put_always(out, 4);
    put_always(out, 5);
    pb_raw(out, pb_view(&rows));
    if (clients > 0) put_by_client(out);
    if (identities > 0) put_by_identity(out);
}

enum mp_err mp_envoy_build_throttle(struct envoy_build *b, struct mp_envoy_resource *out)
{
    struct pb_out o = pb_out_arena(b->arena);
    struct rate own = {0, 0};
    bool any = false;
    pb_text(&o, 1, MP_STR(MP_ENVOY_STAT_PREFIX));
    size_t empty = o.len;
    if (!mp_envoy_all_exempt(b)) {
        MP_TRY(own_rate(b, &own, &any));
        put_rates(b, &o, any ? &own : NULL);
    }
    if (o.failed) return MP_ENOMEM;
    struct envoy_config config = {MP_STR(MP_ENVOY_TYPE_LOCAL_RATE_LIMIT), pb_view(&o)};
    if (o.len > empty) {
        MP_TRY(mp_envoy_exempting(b, MP_STR(MP_ENVOY_THROTTLE), config, &probe_passes, &config));
    }
    return mp_envoy_extension(b, MP_STR(MP_ENVOY_THROTTLE), &config, MP_STR(""), out);
}

/* ---- mpol-share ----
 * HTTPFault{abort 2, abort_percent_runtime 9}, FaultAbort{http_status 2, percentage 3},
 * FractionalPercent{numerator 1, denominator 2: MILLION is 2}. */

static double clamp(double share) { return share < 0 ? 0 : share > 1 ? 1 : share; }

static uint64_t refused_of(double admitted)
{
    return (uint64_t)((1 - clamp(admitted)) * MILLION + 0.5);
}

static void put_fault(struct pb_out *out, double admitted, mp_str key)
{
    size_t abort = pb_begin(out, 2);
    pb_uint(out, 2, REFUSED_STATUS);
    size_t percentage = pb_begin(out, 3);
    if (refused_of(admitted) > 0) pb_uint(out, 1, refused_of(admitted));
    pb_uint(out, 2, 2);
    pb_end(out, percentage);
    pb_end(out, abort);
    pb_text(out, 9, key);
}

/* What the audience itself admits, as it stands in MP_ENVOY_RUNTIME. */
static double own_share(const struct envoy_build *b)
{
    double share = 1;
    if (mp_envoy_all_exempt(b)) return share;
    for (int kind = ENVOY_SERVICE; kind <= ENVOY_INSTANCE; kind++) {
        struct envoy_leases of =
            mp_envoy_leases_of(b->leases, ENVOY_THROTTLE, (enum envoy_kind)kind);
        for (size_t i = 0; i < of.count; i++) {
            if (of.ptr[i].is_rate || !mp_envoy_lease_own(&of.ptr[i], b->audience)) continue;
            share = fmin(share, mp_envoy_share_now(&of.ptr[i]));
        }
    }
    return share;
}

/* Fields of an OnMatch: a fault of its own for one client or identity. It stands in for the one
 * of who answers, so it refuses for both. */
static void put_execute_fault(struct envoy_build *b, struct pb_out *out, double admitted,
                              mp_str key)
{
    struct pb_out fault = pb_out_arena(b->arena);
    put_fault(&fault, admitted, key);
    if (fault.failed) out->failed = true;
    mp_envoy_put_execute(out, MP_STR(MP_ENVOY_TYPE_FAULT), pb_view(&fault));
}

static bool exempts(struct envoy_leases exempt, mp_str key)
{
    for (size_t i = 0; i < exempt.count; i++) {
        if (mp_str_eq(exempt.ptr[i].key, key)) return true;
    }
    return false;
}

/* A Matcher's tree: who is exempt passes, who has a share of its own gets it. */
static void put_share_tree(struct envoy_build *b, struct pb_out *out, enum envoy_kind kind)
{
    struct envoy_leases of = mp_envoy_leases_of(b->leases, ENVOY_THROTTLE, kind);
    struct envoy_leases exempt = mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, kind);
    double own = own_share(b);
    struct envoy_tree tree =
        mp_envoy_tree_begin(out, kind == ENVOY_CLIENT ? ENVOY_INPUT_CLIENT : ENVOY_INPUT_IDENTITY);
    for (size_t i = 0; i < exempt.count; i++) {
        if (i > 0 && mp_str_eq(exempt.ptr[i].key, exempt.ptr[i - 1].key)) continue;
        mp_envoy_put_skip_rows(out, &exempt.ptr[i]);
    }
    for (size_t i = 0; i < of.count;) {
        mp_str key = of.ptr[i].key;
        struct envoy_forms forms;
        double share = 1;
        mp_envoy_forms_of(&of.ptr[i], &forms);
        for (; i < of.count && mp_str_eq(of.ptr[i].key, key); i++) {
            if (!of.ptr[i].is_rate) share = fmin(share, mp_envoy_share_now(&of.ptr[i]));
        }
        if (share >= 1 || exempts(exempt, key)) continue;
        for (size_t k = 0; k < forms.count; k++) {
            struct pb_pair row = mp_envoy_row_begin(out, forms.text[k]);
            put_execute_fault(b, out, share * own, MP_STR("mpol.fixed"));
            pb_pair_end(out, row);
        }
    }
    mp_envoy_tree_end(out, tree);
}

static size_t share_count(const struct envoy_build *b, enum envoy_kind kind)
{
    struct envoy_leases of = mp_envoy_leases_of(b->leases, ENVOY_THROTTLE, kind);
    size_t count = 0;
    for (size_t i = 0; i < of.count; i++) {
        count += !of.ptr[i].is_rate && mp_envoy_share_now(&of.ptr[i]) < 1;
    }
    return count;
}

static size_t rows_of(const struct envoy_build *b, enum envoy_kind kind)
{
    return share_count(b, kind) + mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, kind).count;
}

/* The fault of who answers. */
static void put_else_own(struct envoy_build *b, struct pb_out *out)
{
    size_t else_own = pb_begin(out, 3);
    put_execute_fault(b, out, 1, MP_STR(MP_ENVOY_KEY_SHARE));
    pb_end(out, else_own);
}

/* A Matcher. Without TLS the look at an identity ends the tree, with no fault at all, so who has
 * shown no certificate is told apart before. */
static void put_identity_shares(struct envoy_build *b, struct pb_out *out)
{
    size_t list = pb_begin(out, 1), field = pb_begin(out, 1), predicate = pb_begin(out, 1);
    mp_envoy_put_has_certificate(out);
    pb_end(out, predicate);
    struct pb_pair tree = pb_within(out, 2, 1);
    put_share_tree(b, out, ENVOY_IDENTITY);
    put_else_own(b, out);
    pb_pair_end(out, tree);
    pb_end(out, field);
    pb_end(out, list);
    put_else_own(b, out);
}

static void put_share_matcher(struct envoy_build *b, struct pb_out *out)
{
    bool clients = rows_of(b, ENVOY_CLIENT) > 0, identities = rows_of(b, ENVOY_IDENTITY) > 0;
    struct pb_pair next = {0, 0};
    if (clients) put_share_tree(b, out, ENVOY_CLIENT);
    if (clients && identities) next = pb_within(out, 3, 1);
    if (identities) {
        put_identity_shares(b, out);
    } else {
        put_else_own(b, out);
    }
    if (clients && identities) pb_pair_end(out, next);
}

/* Composite, which makes the filter that the matcher names. */
static enum mp_err shares_of_clients(struct envoy_build *b, struct envoy_config *out)
{
    struct pb_out o = pb_out_arena(b->arena);
    size_t extension = pb_begin(&o, 2);
    pb_text(&o, 1, MP_STR(MP_ENVOY_SHARE));
    pb_pair_end(&o, pb_any_begin(&o, 2,
                                 MP_STR(MP_ENVOY_TYPE_PREFIX
                                        "envoy.extensions.filters.http.composite.v3.Composite")));
    pb_end(&o, extension);
    size_t matcher = pb_begin(&o, 3), list = pb_begin(&o, 1);
    mp_envoy_put_probe_skips(&o, 1);
    mp_envoy_put_listed_skips(b, &o, true);
    pb_end(&o, list);
    struct pb_pair others = pb_within(&o, 3, 1);
    put_share_matcher(b, &o);
    pb_pair_end(&o, others);
    pb_end(&o, matcher);
    *out = (struct envoy_config){MP_STR(MP_ENVOY_TYPE_WITH_MATCHER), pb_view(&o)};
    return o.failed ? MP_ENOMEM : MP_OK;
}

enum mp_err mp_envoy_build_share(struct envoy_build *b, struct mp_envoy_resource *out)
{
    struct pb_out o = pb_out_arena(b->arena);
    put_fault(&o, 1, MP_STR(MP_ENVOY_KEY_SHARE));
    if (o.failed) return MP_ENOMEM;
    struct envoy_config config = {MP_STR(MP_ENVOY_TYPE_FAULT), pb_view(&o)};
    if (!mp_envoy_all_exempt(b)) {
        bool of_clients = share_count(b, ENVOY_CLIENT) + share_count(b, ENVOY_IDENTITY) > 0;
        if (of_clients) {
            MP_TRY(shares_of_clients(b, &config));
        } else if (own_share(b) < 1) {
            MP_TRY(mp_envoy_exempting(b, MP_STR(MP_ENVOY_SHARE), config, &probe_passes, &config));
        }
    }
    return mp_envoy_extension(b, MP_STR(MP_ENVOY_SHARE), &config, MP_STR(""), out);
}

/* ---- mpol-runtime: Runtime{name 1, layer 2} ---- */

static void put_layer(struct pb_out *out, uint64_t refused, mp_str version)
{
    pb_text(out, 1, MP_STR(MP_ENVOY_RUNTIME));
    size_t layer = pb_begin(out, 2);
    struct pb_struct_mark share = pb_struct_begin(out, MP_STR(MP_ENVOY_KEY_SHARE));
    pb_struct_text(out, MP_STR("denominator"), MP_STR("MILLION"));
    pb_struct_number(out, MP_STR("numerator"), (double)refused);
    pb_struct_end(out, share);
    if (version.len > 0) pb_struct_text(out, MP_STR(MP_ENVOY_KEY_VERSION), version);
    pb_end(out, layer);
}

enum mp_err mp_envoy_build_runtime(struct envoy_build *b, struct mp_envoy_resource *out)
{
    uint64_t refused = refused_of(own_share(b));
    struct pb_out o = pb_out_arena(b->arena);
    put_layer(&o, refused, MP_STR(""));
    mp_str version = mp_envoy_version(b->arena, pb_view(&o));
    o.len = 0;
    put_layer(&o, refused, version);
    if (o.failed || version.ptr == NULL) return MP_ENOMEM;
    *out = (struct mp_envoy_resource){.name = MP_STR(MP_ENVOY_RUNTIME),
                                      .version = version,
                                      .bytes = pb_view(&o),
                                      .type_url = MP_STR(MP_ENVOY_TYPE_RUNTIME),
                                      .proof = {.kind = MP_ENVOY_PROOF_RUNTIME,
                                                .key = MP_STR(MP_ENVOY_KEY_VERSION),
                                                .value = version}};
    return MP_OK;
}
