/* SPDX-License-Identifier: Apache-2.0
 * mpol-deny: who asks by address, and who answers. mpol-allow: who asks by certificate.
 *
 * Two filters, because in a tree of matchers the look at a certificate ends the tree on a
 * connection without TLS, and because a thousand principals of plain RBAC cost 17 ms a push and a
 * comparison each a request, where a table of addresses costs nearly nothing. So addresses are
 * looked up in a matcher, and identities, of which there are few, are principals.
 *
 * Each carries one policy more, MP_ENVOY_POLICY_PROBE, that refuses one path made of the version
 * of the rest; other paths of that shape pass, so that a refusal proves that this version is in
 * force.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "envoy_xds/resources_priv.h"

/* RBAC{rules 1, matcher 4}; config.rbac.v3: RBAC{action 1, policies 2}, Policy{permissions 1,
 * principals 2}, Permission{any 3, not_rule 8, url_path 10}, Principal{any 3, authenticated 4,
 * not_id 8}, Authenticated{principal_name 2}, PathMatcher{path 1}, StringMatcher{exact 1,
 * safe_regex 5}. */

struct filter {
    mp_str name;
    /* Writes the config; `probe` is the path that is refused, empty: none. */
    void (*put)(struct pb_out *out, const void *what, mp_str probe);
    const void *what;
    bool idle; /* refuses the probe alone */
    struct envoy_pass pass;
};

static bool has_exempt(const struct envoy_build *b)
{
    return mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, ENVOY_CLIENT).count > 0 ||
           mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, ENVOY_RANGE).count > 0 ||
           mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, ENVOY_IDENTITY).count > 0;
}

static enum mp_err config_of(struct envoy_build *b, const struct filter *f, mp_str probe,
                             struct envoy_config *out)
{
    struct pb_out o = pb_out_arena(b->arena);
    f->put(&o, f->what, probe);
    if (o.failed) return MP_ENOMEM;
    struct envoy_config plain = {MP_STR(MP_ENVOY_TYPE_HTTP_RBAC), pb_view(&o)};
    /* What guards protect is written where there is something to protect it from. */
    if (!f->idle || has_exempt(b)) return mp_envoy_exempting(b, f->name, plain, &f->pass, out);
    *out = plain;
    return MP_OK;
}

/* The version is that of the config without the probe, and the probe is made of it. */
static enum mp_err filter_build(struct envoy_build *b, const struct filter *f,
                                struct mp_envoy_resource *out)
{
    struct envoy_config config;
    MP_TRY(config_of(b, f, MP_STR(""), &config));
    mp_str version = mp_envoy_version(b->arena, config.value);
    mp_str path = mp_arena_printf(b->arena, MP_ENVOY_PROBE_PATH "%.*s", MP_STR_ARG(version));
    if (version.ptr == NULL || path.ptr == NULL) return MP_ENOMEM;
    MP_TRY(config_of(b, f, path, &config));
    MP_TRY(mp_envoy_extension(b, f->name, &config, version, out));
    out->proof =
        (struct mp_envoy_proof){.kind = MP_ENVOY_PROOF_REQUEST, .path = path, .status = 403};
    return MP_OK;
}

/* ---- mpol-deny: a matcher ---- */

/* More addresses than these of one rule are one list with one policy, which is named after the
 * oldest of their leases: 2 us an address in the proxy, against 10 us for a row with a policy of
 * its own. To a module that holds them they are left altogether. */
#define ROWS_MAX 32

struct denial {
    const struct envoy_lease *lease;
    mp_str policy;
};

struct addresses {
    const struct denial *rows; /* in order of key, each key once */
    size_t row_count;
    const struct envoy_lease *const *listed; /* in order of rule, then key */
    size_t listed_count;
    struct mp_arena *arena;
    struct envoy_leases ranges;
    const mp_str *range_policies; /* of each */
    const struct envoy_lease *own; /* quarantine of who answers; NULL: none */
    mp_str own_policy;
};

static void put_pass(struct pb_out *out) { mp_envoy_put_decision(out, MP_STR("mpol:none"), false); }

/* Fields of an OnMatch: what becomes of who is not denied by address. */
static void put_own(struct pb_out *out, const struct addresses *a)
{
    if (a->own == NULL) {
        put_pass(out);
        return;
    }
    if (a->own->given_back <= 0) {
        mp_envoy_put_decision(out, a->own_policy, true);
        return;
    }
    size_t matcher = pb_begin(out, 1);
    struct pb_pair list = pb_within(out, 1, 1);
    size_t predicate = pb_begin(out, 1);
    mp_envoy_put_still_refused(out, a->own);
    pb_end(out, predicate);
    size_t on_match = pb_begin(out, 2);
    mp_envoy_put_decision(out, a->own_policy, true);
    pb_end(out, on_match);
    pb_pair_end(out, list);
    size_t else_pass = pb_begin(out, 3);
    put_pass(out);
    pb_end(out, else_pass);
    pb_end(out, matcher);
}

/* A FieldMatcher: refused by this policy; its predicate comes between the two. */
static struct pb_pair refusal_begin(struct pb_out *out) { return pb_within(out, 1, 1); }

static void refusal_end(struct pb_out *out, struct pb_pair mark, mp_str policy)
{
    pb_end(out, mark.inner);
    size_t on_match = pb_begin(out, 2);
    mp_envoy_put_decision(out, policy, true);
    pb_end(out, on_match);
    pb_end(out, mark.outer);
}

static void put_lists(struct pb_out *out, const struct addresses *a)
{
    for (size_t i = 0; i < a->listed_count;) {
        const struct envoy_lease *oldest = a->listed[i];
        size_t to = i;
        for (; to < a->listed_count && mp_str_eq(a->listed[to]->rule, oldest->rule); to++) {
            if (a->listed[to]->lease->id < oldest->lease->id) oldest = a->listed[to];
        }
        mp_str policy = mp_envoy_policy_name(a->arena, oldest);
        if (policy.ptr == NULL) out->failed = true;
        struct pb_pair mark = refusal_begin(out);
        mp_envoy_put_in_list(out, a->listed + i, to - i);
        refusal_end(out, mark, policy);
        i = to;
    }
}

/* Fields of an OnMatch: lists and ranges, one after the other, then the quarantine. */
static void put_ranges(struct pb_out *out, const struct addresses *a)
{
    if (a->ranges.count + a->listed_count == 0) {
        put_own(out, a);
        return;
    }
    size_t matcher = pb_begin(out, 1), list = pb_begin(out, 1);
    put_lists(out, a);
    for (size_t i = 0; i < a->ranges.count; i++) {
        struct pb_pair mark = refusal_begin(out);
        mp_envoy_put_in_range(out, &a->ranges.ptr[i]);
        refusal_end(out, mark, a->range_policies[i]);
    }
    pb_end(out, list);
    size_t no_match = pb_begin(out, 3);
    put_own(out, a);
    pb_end(out, no_match);
    pb_end(out, matcher);
}

/* Fields of an OnMatch: addresses, then ranges. */
static void put_addresses(struct pb_out *out, const struct addresses *a)
{
    if (a->row_count == 0) {
        put_ranges(out, a);
        return;
    }
    size_t matcher = pb_begin(out, 1);
    struct envoy_tree tree = mp_envoy_tree_begin(out, ENVOY_INPUT_CLIENT);
    for (size_t i = 0; i < a->row_count; i++) {
        struct envoy_forms forms;
        mp_envoy_forms_of(a->rows[i].lease, &forms);
        for (size_t k = 0; k < forms.count; k++) {
            struct pb_pair row = mp_envoy_row_begin(out, forms.text[k]);
            mp_envoy_put_decision(out, a->rows[i].policy, true);
            pb_pair_end(out, row);
        }
    }
    mp_envoy_tree_end(out, tree);
    size_t no_match = pb_begin(out, 3);
    put_ranges(out, a);
    pb_end(out, no_match);
    pb_end(out, matcher);
}

static void put_matcher(struct pb_out *out, const void *what, mp_str probe)
{
    size_t matcher = pb_begin(out, 4), list = pb_begin(out, 1);
    if (probe.len > 0) {
        struct pb_pair mark = refusal_begin(out);
        mp_envoy_put_exactly(out, ENVOY_INPUT_PATH, probe);
        refusal_end(out, mark, MP_STR(MP_ENVOY_POLICY_PROBE));
    }
    struct pb_pair shape = pb_within(out, 1, 1);
    mp_envoy_put_probe_shape(out);
    pb_end(out, shape.inner);
    size_t on_match = pb_begin(out, 2);
    put_pass(out);
    pb_end(out, on_match);
    pb_end(out, shape.outer);
    pb_end(out, list);
    size_t others = pb_begin(out, 3);
    put_addresses(out, what);
    pb_end(out, others);
    pb_end(out, matcher);
}

static const struct envoy_lease *own_quarantine(const struct envoy_build *b)
{
    struct envoy_leases services = mp_envoy_leases_of(b->leases, ENVOY_QUARANTINE, ENVOY_SERVICE);
    struct envoy_leases instances = mp_envoy_leases_of(b->leases, ENVOY_QUARANTINE, ENVOY_INSTANCE);
    const struct envoy_lease *l = mp_envoy_lease_strongest(instances, b->audience);
    /* What is given back of an instance is a matter of balancing: here it answers again. */
    if (l != NULL && l->given_back <= 0) return l;
    return mp_envoy_lease_strongest(services, b->audience);
}

static int by_rule(const void *x, const void *y)
{
    const struct envoy_lease *const *a = x, *const *b = y;
    int order = mp_str_cmp((*a)->rule, (*b)->rule);
    return order != 0 ? order : mp_str_cmp((*a)->key, (*b)->key);
}

/* A list of one rule, which long ones mostly are, comes in this order. */
static void sort_by_rule(const struct envoy_lease **all, size_t count)
{
    size_t i = 1;
    while (i < count && by_rule(&all[i - 1], &all[i]) <= 0) i++;
    if (i < count) qsort(all, count, sizeof *all, by_rule);
}

static int by_key(const void *x, const void *y)
{
    const struct denial *a = x, *b = y;
    return mp_str_cmp(a->lease->key, b->lease->key);
}

/* Of an address the oldest denial that has not let it pass. */
static size_t denied(struct envoy_leases of, const struct envoy_lease **out)
{
    size_t count = 0;
    for (size_t i = 0; i < of.count; i++) {
        if (count > 0 && mp_str_eq(out[count - 1]->key, of.ptr[i].key)) continue;
        if (!mp_envoy_passes(&of.ptr[i], of.ptr[i].key)) out[count++] = &of.ptr[i];
    }
    return count;
}

/* What is being given back a module leaves to the filters. */
static bool is_modules(const struct envoy_build *b, const struct envoy_lease *l)
{
    return b->audience->module && l->given_back <= 0;
}

static enum mp_err denied_addresses(struct envoy_build *b, struct addresses *a)
{
    struct envoy_leases of = mp_envoy_leases_of(b->leases, ENVOY_DENY, ENVOY_CLIENT);
    const struct envoy_lease **all = MP_NEW(b->arena, const struct envoy_lease *, of.count + 1);
    struct denial *rows = MP_NEW(b->arena, struct denial, of.count + 1);
    if (all == NULL || rows == NULL) return MP_ENOMEM;
    size_t count = denied(of, all);
    sort_by_rule(all, count);
    for (size_t i = 0; i < count;) {
        size_t to = i;
        while (to < count && mp_str_eq(all[to]->rule, all[i]->rule)) to++;
        bool listed = to - i > ROWS_MAX;
        for (; i < to; i++) {
            if (listed) {
                if (!is_modules(b, all[i])) all[a->listed_count++] = all[i];
                continue;
            }
            mp_str policy = mp_envoy_policy_name(b->arena, all[i]);
            if (policy.ptr == NULL) return MP_ENOMEM;
            rows[a->row_count++] = (struct denial){all[i], policy};
        }
    }
    qsort(rows, a->row_count, sizeof *rows, by_key);
    a->rows = rows;
    a->listed = all;
    return MP_OK;
}

static enum mp_err denied_ranges(struct envoy_build *b, struct addresses *a)
{
    a->ranges = mp_envoy_leases_of(b->leases, ENVOY_DENY, ENVOY_RANGE);
    mp_str *policies = MP_NEW(b->arena, mp_str, a->ranges.count + 1);
    if (policies == NULL) return MP_ENOMEM;
    for (size_t i = 0; i < a->ranges.count; i++) {
        policies[i] = mp_envoy_policy_name(b->arena, &a->ranges.ptr[i]);
        if (policies[i].ptr == NULL) return MP_ENOMEM;
    }
    a->range_policies = policies;
    return MP_OK;
}

enum mp_err mp_envoy_build_deny(struct envoy_build *b, struct mp_envoy_resource *out)
{
    struct addresses a = {.arena = b->arena};
    if (!mp_envoy_all_exempt(b)) {
        MP_TRY(denied_addresses(b, &a));
        MP_TRY(denied_ranges(b, &a));
        a.own = own_quarantine(b);
    }
    if (a.own != NULL) {
        a.own_policy = mp_envoy_policy_name(b->arena, a.own);
        if (a.own_policy.ptr == NULL) return MP_ENOMEM;
    }
    bool idle = a.own == NULL && a.row_count + a.listed_count + a.ranges.count == 0;
    struct filter f = {MP_STR(MP_ENVOY_DENY), put_matcher, &a, idle, {{0}, false}};
    return filter_build(b, &f, out);
}

/* ---- mpol-allow: policies ---- */

/* A principal of a policy. */
struct principal {
    mp_str policy;
    mp_str identity; /* empty: whoever has none */
};

struct principals {
    struct principal *ptr;
    size_t count;
};

/* Everybody's business but the probe's. */
static void put_permission(struct pb_out *out)
{
    size_t permission = pb_begin(out, 1);
    struct pb_pair not = pb_within(out, 8, 10);
    struct pb_pair regex = pb_within(out, 1, 5);
    pb_text(out, 2, MP_STR(ENVOY_PROBE_SHAPE));
    pb_pair_end(out, regex);
    pb_pair_end(out, not);
    pb_end(out, permission);
}

static void put_principal(struct pb_out *out, mp_str identity)
{
    size_t principal = pb_begin(out, 2);
    if (identity.len == 0) {
        /* A principal without a name would be everybody with TLS, certificate or not. */
        struct pb_pair nobody = pb_within(out, 8, 4), name = pb_within(out, 2, 5);
        pb_text(out, 2, MP_STR(".+"));
        pb_pair_end(out, name);
        pb_pair_end(out, nobody);
    } else {
        struct pb_pair name = pb_within(out, 4, 2);
        pb_text(out, 1, identity);
        pb_pair_end(out, name);
    }
    pb_end(out, principal);
}

static void put_probe_policy(struct pb_out *out, mp_str probe)
{
    struct pb_pair policy = pb_map_begin(out, 2, MP_STR(MP_ENVOY_POLICY_PROBE));
    size_t permission = pb_begin(out, 1);
    struct pb_pair path = pb_within(out, 10, 1);
    pb_text(out, 1, probe);
    pb_pair_end(out, path);
    pb_end(out, permission);
    size_t principal = pb_begin(out, 2);
    pb_bool(out, 3, true);
    pb_end(out, principal);
    pb_pair_end(out, policy);
}

static void put_rules(struct pb_out *out, const void *what, mp_str probe)
{
    const struct principals *all = what;
    size_t rules = pb_begin(out, 1);
    pb_uint(out, 1, 1);
    if (probe.len > 0) put_probe_policy(out, probe);
    for (size_t i = 0; i < all->count;) {
        mp_str name = all->ptr[i].policy;
        struct pb_pair policy = pb_map_begin(out, 2, name);
        put_permission(out);
        for (; i < all->count && mp_str_eq(all->ptr[i].policy, name); i++) {
            put_principal(out, all->ptr[i].identity);
        }
        pb_pair_end(out, policy);
    }
    pb_end(out, rules);
}

/* ---- whom mpol-allow refuses ---- */

struct refused {
    struct mp_arena *arena;
    struct envoy_lease *rows; /* `key` is the identity */
    size_t count, cap;
    const struct envoy_lease *because;
    bool failed;
};

static bool refuse_identity(void *ctx, mp_str identity)
{
    struct refused *r = ctx;
    if (r->count == r->cap) {
        size_t cap = r->cap == 0 ? 64 : 2 * r->cap;
        struct envoy_lease *rows = mp_arena_grow(r->arena, r->rows, r->cap * sizeof *rows,
                                                 cap * sizeof *rows, _Alignof(struct envoy_lease));
        if (rows == NULL) {
            r->failed = true;
            return false;
        }
        r->rows = rows;
        r->cap = cap;
    }
    r->rows[r->count] = *r->because;
    r->rows[r->count++].key = identity;
    return true;
}

/* Of one identity first what refuses most, then a denial before a quarantine, then the oldest. */
static int by_identity(const void *x, const void *y)
{
    const struct envoy_lease *a = x, *b = y;
    int order = mp_str_cmp(a->key, b->key);
    if (order != 0) return order;
    if (a->given_back < b->given_back || a->given_back > b->given_back) {
        return a->given_back < b->given_back ? -1 : 1;
    }
    if (a->verb != b->verb) return a->verb == ENVOY_DENY ? -1 : 1;
    if (a->lease->id != b->lease->id) return a->lease->id < b->lease->id ? -1 : 1;
    return mp_str_cmp(a->rule, b->rule);
}

static enum mp_err refused_identities(struct envoy_build *b, struct refused *r)
{
    static const enum envoy_verb by_name[] = {ENVOY_DENY, ENVOY_QUARANTINE};
    struct envoy_leases of;
    for (size_t v = 0; v < sizeof by_name / sizeof *by_name; v++) {
        of = mp_envoy_leases_of(b->leases, by_name[v], ENVOY_IDENTITY);
        for (size_t i = 0; i < of.count; i++) {
            r->because = &of.ptr[i];
            refuse_identity(r, of.ptr[i].key);
        }
    }
    of = mp_envoy_leases_of(b->leases, ENVOY_QUARANTINE, ENVOY_SERVICE);
    const struct mp_envoy_world *w = b->plan->world;
    for (size_t i = 0; i < of.count; i++) {
        /* Its own proxy refuses everybody already. */
        if (mp_envoy_lease_own(&of.ptr[i], b->audience)) continue;
        r->because = &of.ptr[i];
        w->identities(w->ctx, of.ptr[i].key, refuse_identity, r);
    }
    if (r->failed) return MP_ENOMEM;
    if (r->count > 0) qsort(r->rows, r->count, sizeof *r->rows, by_identity);
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (kept > 0 && mp_str_eq(r->rows[kept - 1].key, r->rows[i].key)) continue;
        r->rows[kept++] = r->rows[i];
    }
    r->count = kept;
    return MP_OK;
}

static int by_policy(const void *x, const void *y)
{
    const struct principal *a = x, *b = y;
    int order = mp_str_cmp(a->policy, b->policy);
    return order != 0 ? order : mp_str_cmp(a->identity, b->identity);
}

static enum mp_err add_principal(struct envoy_build *b, const struct envoy_lease *l,
                                 mp_str identity, struct principals *out)
{
    mp_str policy = mp_envoy_policy_name(b->arena, l);
    if (policy.ptr == NULL) return MP_ENOMEM;
    out->ptr[out->count++] = (struct principal){policy, identity};
    return MP_OK;
}

static enum mp_err list_principals(struct envoy_build *b, const struct refused *r,
                                   struct principals *out)
{
    struct envoy_leases require = mp_envoy_leases_of(b->leases, ENVOY_REQUIRE, ENVOY_SERVICE);
    out->ptr = MP_NEW(b->arena, struct principal, r->count + require.count + 1);
    if (out->ptr == NULL) return MP_ENOMEM;
    for (size_t i = 0; i < r->count; i++)
        MP_TRY(add_principal(b, &r->rows[i], r->rows[i].key, out));
    for (size_t i = 0; i < require.count; i++) {
        const struct envoy_lease *l = &require.ptr[i];
        if (!l->strict || !mp_envoy_lease_own(l, b->audience)) continue;
        MP_TRY(add_principal(b, l, MP_STR(""), out));
    }
    qsort(out->ptr, out->count, sizeof *out->ptr, by_policy);
    return MP_OK;
}

enum mp_err mp_envoy_build_identities(struct envoy_build *b, struct mp_envoy_resource *out)
{
    struct refused r = {.arena = b->arena};
    struct principals principals = {0};
    if (!mp_envoy_all_exempt(b)) {
        MP_TRY(refused_identities(b, &r));
        MP_TRY(list_principals(b, &r, &principals));
    }
    struct envoy_lease *partial = MP_NEW(b->arena, struct envoy_lease, r.count + 1);
    if (partial == NULL) return MP_ENOMEM;
    struct filter f = {MP_STR(MP_ENVOY_ALLOW), put_rules, &principals, principals.count == 0,
                       {{partial, 0}, false}};
    for (size_t i = 0; i < r.count; i++) {
        if (r.rows[i].given_back > 0) partial[f.pass.partial.count++] = r.rows[i];
    }
    return filter_build(b, &f, out);
}
