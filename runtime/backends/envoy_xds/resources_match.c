/* SPDX-License-Identifier: Apache-2.0
 * Matchers: xds/type/matcher/v3/matcher.proto of github.com/cncf/xds, inputs and actions of Envoy.
 * Evaluated from the top; a tree is one look into a hash table, so a thousand addresses cost as
 * much as one. What they mean was tried on 1.38, 1.39 and 1.40 (tests/envoy).
 */
#include "envoy_xds/resources_priv.h"

#include <stdio.h>

#include "base/assert.h"

/* Matcher{matcher_list 1, matcher_tree 2, on_no_match 3}, MatcherTree{input 1, exact_match_map 2},
 * MatchMap{map 1}, OnMatch{matcher 1, action 2}, TypedExtensionConfig{name 1, typed_config 2},
 * MatcherList{matchers 1{predicate 1, on_match 2}}, Predicate{single 1, or 2, and 3, not 4},
 * SinglePredicate{input 1, value_match 2, custom_match 3}, StringMatcher{exact 1, safe_regex 5}. */

static const struct {
    mp_str name, type_url;
} inputs[] = {
    [ENVOY_INPUT_CLIENT] = {MP_STR_INIT("client"), MP_STR_INIT(MP_ENVOY_TYPE_PREFIX
        "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput")},
    [ENVOY_INPUT_IDENTITY] = {MP_STR_INIT("identity"), MP_STR_INIT(MP_ENVOY_TYPE_PREFIX
        "envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput")},
    [ENVOY_INPUT_PATH] = {MP_STR_INIT("path"), MP_STR_INIT(MP_ENVOY_TYPE_PREFIX
        "envoy.type.matcher.v3.HttpRequestHeaderMatchInput")},
};

void mp_envoy_put_input(struct pb_out *out, uint32_t field, enum envoy_input input)
{
    size_t extension = pb_begin(out, field);
    pb_text(out, 1, inputs[input].name);
    struct pb_pair any = pb_any_begin(out, 2, inputs[input].type_url);
    if (input == ENVOY_INPUT_PATH) pb_text(out, 1, MP_STR(":path"));
    pb_pair_end(out, any);
    pb_end(out, extension);
}

struct envoy_tree mp_envoy_tree_begin(struct pb_out *out, enum envoy_input input)
{
    struct envoy_tree mark;
    mark.tree = pb_begin(out, 2);
    mp_envoy_put_input(out, 1, input);
    mark.map = pb_begin(out, 2);
    return mark;
}

void mp_envoy_tree_end(struct pb_out *out, struct envoy_tree mark)
{
    pb_end(out, mark.map);
    pb_end(out, mark.tree);
}

struct pb_pair mp_envoy_row_begin(struct pb_out *out, mp_str key)
{
    return pb_map_begin(out, 1, key);
}

/* ---- actions ---- */

struct action {
    size_t extension;
    struct pb_pair any;
};

static struct action action_begin(struct pb_out *out, mp_str type_url)
{
    struct action a;
    a.extension = pb_begin(out, 2);
    pb_text(out, 1, MP_STR("mpol"));
    a.any = pb_any_begin(out, 2, type_url);
    return a;
}

static void action_end(struct pb_out *out, struct action a)
{
    pb_pair_end(out, a.any);
    pb_end(out, a.extension);
}

void mp_envoy_put_decision(struct pb_out *out, mp_str policy, bool deny)
{
    struct action a = action_begin(out, MP_STR(MP_ENVOY_TYPE_PREFIX "envoy.config.rbac.v3.Action"));
    pb_text(out, 1, policy);
    if (deny) pb_uint(out, 2, 1);
    action_end(out, a);
}

void mp_envoy_put_skip(struct pb_out *out)
{
    action_end(
        out,
        action_begin(out, MP_STR(MP_ENVOY_TYPE_PREFIX
                                 "envoy.extensions.filters.common.matcher.action.v3.SkipFilter")));
}

void mp_envoy_put_execute(struct pb_out *out, mp_str type_url, mp_str config)
{
    struct action a =
        action_begin(out, MP_STR(MP_ENVOY_TYPE_PREFIX
                                 "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction"));
    size_t extension = pb_begin(out, 1);
    pb_text(out, 1, MP_STR("mpol"));
    struct pb_pair any = pb_any_begin(out, 2, type_url);
    pb_raw(out, config);
    pb_pair_end(out, any);
    pb_end(out, extension);
    action_end(out, a);
}

/* ---- predicates ---- */

void mp_envoy_put_exactly(struct pb_out *out, enum envoy_input input, mp_str text)
{
    size_t single = pb_begin(out, 1);
    mp_envoy_put_input(out, 1, input);
    size_t match = pb_begin(out, 2);
    pb_text(out, 1, text);
    pb_end(out, match);
    pb_end(out, single);
}

void mp_envoy_put_probe_shape(struct pb_out *out)
{
    size_t single = pb_begin(out, 1);
    mp_envoy_put_input(out, 1, ENVOY_INPUT_PATH);
    struct pb_pair regex = pb_within(out, 2, 5);
    pb_empty(out, 1); /* the engine, RE2: it must be named here */
    pb_text(out, 2, MP_STR(ENVOY_PROBE_SHAPE));
    pb_pair_end(out, regex);
    pb_end(out, single);
}

void mp_envoy_put_no_probe_shape(struct pb_out *out)
{
    size_t not = pb_begin(out, 4);
    mp_envoy_put_probe_shape(out);
    pb_end(out, not);
}

/* CelMatcher{expr_match 1{cel_expr_parsed 3{expr 2}}}, Expr{id 2, ident 4{name 1},
 * select 5{operand 1, field 2}}: `connection.mtls`, the one input that says no where there is no
 * TLS, and goes on. */
void mp_envoy_put_has_certificate(struct pb_out *out)
{
    size_t single = pb_begin(out, 1), input = pb_begin(out, 1);
    pb_text(out, 1, MP_STR("connection"));
    pb_pair_end(out, pb_any_begin(out, 2, MP_STR(MP_ENVOY_TYPE_PREFIX
        "xds.type.matcher.v3.HttpAttributesCelMatchInput")));
    pb_end(out, input);
    size_t custom = pb_begin(out, 3);
    pb_text(out, 1, MP_STR("certificate"));
    struct pb_pair any = pb_any_begin(out, 2, MP_STR(MP_ENVOY_TYPE_PREFIX
        "xds.type.matcher.v3.CelMatcher"));
    struct pb_pair parsed = pb_within(out, 1, 3);
    size_t expr = pb_begin(out, 2);
    pb_uint(out, 2, 1);
    size_t select = pb_begin(out, 5), operand = pb_begin(out, 1);
    pb_uint(out, 2, 2);
    size_t ident = pb_begin(out, 4);
    pb_text(out, 1, MP_STR("connection"));
    pb_end(out, ident);
    pb_end(out, operand);
    pb_text(out, 2, MP_STR("mtls"));
    pb_end(out, select);
    pb_end(out, expr);
    pb_pair_end(out, parsed);
    pb_pair_end(out, any);
    pb_end(out, custom);
    pb_end(out, single);
}

/* ConsistentHashing{threshold 1, modulo 2, seed 3} matches where hash(input, seed) % modulo is at
 * least the threshold: the same clients at every proxy, others for another incident (R27). */
#define PARTS 1000000u

void mp_envoy_put_still_refused(struct pb_out *out, const struct envoy_lease *l)
{
    size_t single = pb_begin(out, 1);
    mp_envoy_put_input(out, 1, ENVOY_INPUT_CLIENT);
    size_t custom = pb_begin(out, 3);
    pb_text(out, 1, MP_STR("given-back"));
    struct pb_pair any = pb_any_begin(out, 2, MP_STR(MP_ENVOY_TYPE_PREFIX
        "envoy.extensions.matching.input_matchers.consistent_hashing.v3.ConsistentHashing"));
    uint32_t threshold = (uint32_t)(l->given_back * PARTS);
    if (threshold > 0) pb_uint(out, 1, threshold);
    pb_uint(out, 2, PARTS);
    pb_uint(out, 3, l->lease->incident);
    pb_pair_end(out, any);
    pb_end(out, custom);
    pb_end(out, single);
}

void mp_envoy_forms_of(const struct envoy_lease *l, struct envoy_forms *out)
{
    bool address = l->kind == ENVOY_CLIENT || l->kind == ENVOY_RANGE;
    out->count = 1;
    out->text[0] = l->key;
    out->prefix_len[0] = l->prefix_len;
    if (!address || mp_str_contains(l->key, MP_STR(":"))) return;
    int len = snprintf(out->room, sizeof out->room, "::ffff:%.*s", MP_STR_ARG(l->key));
    MP_ASSERT(len > 0 && (size_t)len < sizeof out->room);
    out->text[1] = (mp_str){out->room, (size_t)len};
    out->prefix_len[1] = 96 + l->prefix_len;
    out->count = 2;
}

/* Ip{cidr_ranges 1, stat_prefix 2}, CidrRange{address_prefix 1, prefix_len 2}: a trie. */
void mp_envoy_put_in_list(struct pb_out *out, const struct envoy_lease *const *of, size_t count)
{
    size_t single = pb_begin(out, 1);
    mp_envoy_put_input(out, 1, ENVOY_INPUT_CLIENT);
    size_t custom = pb_begin(out, 3);
    pb_text(out, 1, MP_STR("addresses"));
    struct pb_pair any = pb_any_begin(
        out, 2, MP_STR(MP_ENVOY_TYPE_PREFIX "envoy.extensions.matching.input_matchers.ip.v3.Ip"));
    for (size_t i = 0; i < count; i++) {
        struct envoy_forms forms;
        mp_envoy_forms_of(of[i], &forms);
        for (size_t k = 0; k < forms.count; k++) {
            size_t range = pb_begin(out, 1);
            pb_text(out, 1, forms.text[k]);
            pb_wrapped_uint(out, 2, forms.prefix_len[k]);
            pb_end(out, range);
        }
    }
    pb_text(out, 2, MP_STR(MP_ENVOY_STAT_PREFIX));
    pb_pair_end(out, any);
    pb_end(out, custom);
    pb_end(out, single);
}

void mp_envoy_put_in_range(struct pb_out *out, const struct envoy_lease *l)
{
    if (l->given_back <= 0) {
        mp_envoy_put_in_list(out, &l, 1);
        return;
    }
    size_t both = pb_begin(out, 3), first = pb_begin(out, 1);
    mp_envoy_put_in_list(out, &l, 1);
    pb_end(out, first);
    size_t second = pb_begin(out, 1);
    mp_envoy_put_still_refused(out, l);
    pb_end(out, second);
    pb_end(out, both);
}

/* ---- exemptions: ExtensionWithMatcher{extension_config 2, xds_matcher 3} with SkipFilter ---- */

bool mp_envoy_all_exempt(const struct envoy_build *b)
{
    return mp_envoy_lease_strongest(mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, ENVOY_SERVICE),
                                    b->audience) != NULL ||
           mp_envoy_lease_strongest(mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, ENVOY_INSTANCE),
                                    b->audience) != NULL;
}

void mp_envoy_put_skip_rows(struct pb_out *out, const struct envoy_lease *l)
{
    struct envoy_forms forms;
    mp_envoy_forms_of(l, &forms);
    for (size_t k = 0; k < forms.count; k++) {
        struct pb_pair row = mp_envoy_row_begin(out, forms.text[k]);
        mp_envoy_put_skip(out);
        pb_pair_end(out, row);
    }
}

static void put_skipped(struct pb_out *out, enum envoy_input input, struct envoy_leases of)
{
    struct envoy_tree tree = mp_envoy_tree_begin(out, input);
    for (size_t i = 0; i < of.count; i++) {
        if (i > 0 && mp_str_eq(of.ptr[i].key, of.ptr[i - 1].key)) continue;
        mp_envoy_put_skip_rows(out, &of.ptr[i]);
    }
    mp_envoy_tree_end(out, tree);
}

/* A FieldMatcher: this identity, and a client that has been given back. */
static void put_given_back(struct pb_out *out, const struct envoy_lease *l)
{
    size_t field = pb_begin(out, 1), predicate = pb_begin(out, 1), both = pb_begin(out, 3);
    size_t first = pb_begin(out, 1);
    mp_envoy_put_exactly(out, ENVOY_INPUT_IDENTITY, l->key);
    pb_end(out, first);
    struct pb_pair second = pb_within(out, 1, 4);
    mp_envoy_put_still_refused(out, l);
    pb_pair_end(out, second);
    pb_end(out, both);
    pb_end(out, predicate);
    size_t on_match = pb_begin(out, 2);
    mp_envoy_put_skip(out);
    pb_end(out, on_match);
    pb_end(out, field);
}

/* A Matcher: identities last, since without TLS the look at them ends the tree. */
static void put_skipped_identities(struct pb_out *out, struct envoy_leases exempt,
                                   struct envoy_leases partial)
{
    if (partial.count == 0) {
        put_skipped(out, ENVOY_INPUT_IDENTITY, exempt);
        return;
    }
    size_t list = pb_begin(out, 1);
    for (size_t i = 0; i < partial.count; i++) put_given_back(out, &partial.ptr[i]);
    pb_end(out, list);
    if (exempt.count == 0) return;
    struct pb_pair next = pb_within(out, 3, 1);
    put_skipped(out, ENVOY_INPUT_IDENTITY, exempt);
    pb_pair_end(out, next);
}

static size_t exempt_count(const struct envoy_build *b, enum envoy_kind kind)
{
    return mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, kind).count;
}

/* A Predicate's fields: the path begins with this. */
static void put_begins(struct pb_out *out, mp_str prefix)
{
    size_t single = pb_begin(out, 1);
    mp_envoy_put_input(out, 1, ENVOY_INPUT_PATH);
    size_t match = pb_begin(out, 2);
    pb_text(out, 2, prefix);
    pb_end(out, match);
    pb_end(out, single);
}

/* A Predicate's fields. A path is followed by nothing or by a query. */
static void put_carved(const struct envoy_build *b, struct pb_out *out,
                       const struct mp_envoy_carve *c)
{
    if (c->prefix) {
        put_begins(out, c->path);
        return;
    }
    mp_str with_query = mp_arena_printf(b->arena, "%.*s?", MP_STR_ARG(c->path));
    if (with_query.ptr == NULL) out->failed = true;
    size_t either = pb_begin(out, 2), first = pb_begin(out, 1);
    mp_envoy_put_exactly(out, ENVOY_INPUT_PATH, c->path);
    pb_end(out, first);
    size_t second = pb_begin(out, 1);
    put_begins(out, with_query);
    pb_end(out, second);
    pb_end(out, either);
}

static struct pb_pair skip_begin(struct pb_out *out) { return pb_within(out, 1, 1); }

static void skip_end(struct pb_out *out, struct pb_pair mark)
{
    pb_end(out, mark.inner);
    size_t on_match = pb_begin(out, 2);
    mp_envoy_put_skip(out);
    pb_end(out, on_match);
    pb_end(out, mark.outer);
}

void mp_envoy_put_listed_skips(const struct envoy_build *b, struct pb_out *out, bool throttle)
{
    struct envoy_leases ranges = mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, ENVOY_RANGE);
    for (size_t i = 0; i < b->carve_count; i++) {
        if (b->carves[i].throttles && !throttle) continue;
        struct pb_pair mark = skip_begin(out);
        put_carved(b, out, &b->carves[i]);
        skip_end(out, mark);
    }
    for (size_t i = 0; i < ranges.count; i++) {
        struct pb_pair mark = skip_begin(out);
        mp_envoy_put_in_range(out, &ranges.ptr[i]);
        skip_end(out, mark);
    }
}

static size_t listed(const struct envoy_build *b, bool throttle)
{
    size_t count = exempt_count(b, ENVOY_RANGE);
    for (size_t i = 0; i < b->carve_count; i++) count += throttle || !b->carves[i].throttles;
    return count;
}

/* A Matcher, of those stages that have rows: paths and ranges, addresses, identities. */
static void put_who_skips(struct envoy_build *b, struct pb_out *out, const struct envoy_pass *pass)
{
    struct envoy_leases clients = mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, ENVOY_CLIENT);
    struct envoy_leases who = mp_envoy_leases_of(b->leases, ENVOY_EXEMPT, ENVOY_IDENTITY);
    bool lists = listed(b, pass->throttle) > 0, identities = who.count + pass->partial.count > 0;
    struct pb_pair after_list = {0, 0}, after_clients = {0, 0};
    size_t list = lists ? pb_begin(out, 1) : 0;
    mp_envoy_put_listed_skips(b, out, pass->throttle);
    if (lists) pb_end(out, list);
    bool deeper = lists && (clients.count > 0 || identities);
    if (deeper) after_list = pb_within(out, 3, 1);
    if (clients.count > 0) put_skipped(out, ENVOY_INPUT_CLIENT, clients);
    if (clients.count > 0 && identities) after_clients = pb_within(out, 3, 1);
    if (identities) put_skipped_identities(out, who, pass->partial);
    if (clients.count > 0 && identities) pb_pair_end(out, after_clients);
    if (deeper) pb_pair_end(out, after_list);
}

/* A FieldMatcher of all others. */
static void put_others(struct envoy_build *b, struct pb_out *out, const struct envoy_pass *pass)
{
    size_t field = pb_begin(out, 1), predicate = pb_begin(out, 1);
    mp_envoy_put_no_probe_shape(out);
    pb_end(out, predicate);
    struct pb_pair who = pb_within(out, 2, 1);
    put_who_skips(b, out, pass);
    pb_pair_end(out, who);
    pb_end(out, field);
}

void mp_envoy_put_probe_skips(struct pb_out *out, uint32_t field)
{
    struct pb_pair mark = pb_within(out, field, 1);
    mp_envoy_put_probe_shape(out);
    skip_end(out, mark);
}

enum mp_err mp_envoy_exempting(struct envoy_build *b, mp_str name, struct envoy_config config,
                               const struct envoy_pass *pass, struct envoy_config *out)
{
    size_t others = exempt_count(b, ENVOY_CLIENT) + exempt_count(b, ENVOY_IDENTITY) +
                    listed(b, pass->throttle) + pass->partial.count;
    if (others == 0 && !pass->throttle) {
        *out = config;
        return MP_OK;
    }
    struct pb_out o = pb_out_arena(b->arena);
    size_t extension = pb_begin(&o, 2);
    pb_text(&o, 1, name);
    struct pb_pair any = pb_any_begin(&o, 2, config.type_url);
    pb_raw(&o, config.value);
    pb_pair_end(&o, any);
    pb_end(&o, extension);
    struct pb_pair list = pb_within(&o, 3, 1);
    if (pass->throttle) mp_envoy_put_probe_skips(&o, 1);
    if (others > 0) put_others(b, &o, pass);
    pb_pair_end(&o, list);
    if (o.failed) return MP_ENOMEM;
    *out = (struct envoy_config){MP_STR(MP_ENVOY_TYPE_WITH_MATCHER), pb_view(&o)};
    return MP_OK;
}
