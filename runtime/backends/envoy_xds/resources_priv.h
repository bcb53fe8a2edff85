/* SPDX-License-Identifier: Apache-2.0
 * resources_priv.h - leases as resources see them, and matchers in protobuf; this folder only.
 */
#ifndef MP_ENVOY_XDS_RESOURCES_PRIV_H
#define MP_ENVOY_XDS_RESOURCES_PRIV_H

#include "envoy_wire/pb.h"
#include "envoy_xds/names.h"
#include "envoy_xds/resources.h"

/* ---- leases, read ---- */

enum envoy_verb {
    ENVOY_EXEMPT,
    ENVOY_DENY,
    ENVOY_QUARANTINE,
    ENVOY_THROTTLE,
    ENVOY_DRAIN,
    ENVOY_ROUTE,
    ENVOY_MIRROR,
    ENVOY_REQUIRE,
    ENVOY_VERBS
};
/* RANGE: clients of a range, which an operator may name. */
enum envoy_kind {
    ENVOY_CLIENT,
    ENVOY_IDENTITY,
    ENVOY_SERVICE,
    ENVOY_INSTANCE,
    ENVOY_RANGE,
    ENVOY_KINDS
};

#define ADDRESS_TEXT_MAX 48

/* One lease with its words as numbers. */
struct envoy_lease {
    const struct mpol_lease *lease;
    enum envoy_verb verb;
    enum envoy_kind kind;
    mp_str key; /* an address as Envoy writes it; of a range its first one */
    uint32_t prefix_len; /* of an address all its bits, of a range fewer */
    mp_str rule;
    double given_back; /* 0 .. 1 */
    bool is_rate;      /* throttle */
    /* throttle: a share 0 .. 1 or a rate per second; what is given back is not in it */
    double to, burst;
    mp_str from, onto; /* route, mirror */
    double weight;
    mp_str header, value; /* route: only what carries it; empty: all, any value */
    bool strict; /* require */
};

/* Reads one; `address` has room for ADDRESS_TEXT_MAX and lives as long as `out`. MP_EUNSUPPORTED,
 * MP_EINVAL: then *why is a static text. */
enum mp_err mp_envoy_lease_read(const struct mpol_lease *lease, char *address,
                                struct envoy_lease *out, const char **why);

/* The leases that hold at a layer (0: at any), in an order of their own content. */
struct envoy_leases {
    const struct envoy_lease *ptr;
    size_t count;
};
enum mp_err mp_envoy_leases_at(const struct mp_envoy_read *read, uint32_t layer,
                               struct mp_arena *arena, struct envoy_leases *out);
/* Those of one verb and kind: they lie side by side, in order of key; of one key the oldest
 * first. */
struct envoy_leases mp_envoy_leases_of(struct envoy_leases all, enum envoy_verb verb,
                                       enum envoy_kind kind);
/* Where a `route` or a `mirror` leads, as the world is now. */
enum envoy_onto { ENVOY_ONTO_NOTHING, ENVOY_ONTO_VERSION, ENVOY_ONTO_SERVICE };
enum envoy_onto mp_envoy_leads_onto(const struct envoy_lease *l, const struct mp_envoy_world *w);
/* Is it about the audience's own service or instance? */
bool mp_envoy_lease_own(const struct envoy_lease *l, const struct mp_envoy_audience *audience);
/* Of those of one verb and kind about the audience itself, the one with the least given back;
 * NULL. */
const struct envoy_lease *mp_envoy_lease_strongest(struct envoy_leases of,
                                                   const struct mp_envoy_audience *audience);
/* Has a client been given back whole, chosen by client and incident (R27)? */
bool mp_envoy_passes(const struct envoy_lease *l, mp_str client);
/* What a throttle to a share admits now, and what one to a rate does (0: everything). */
double mp_envoy_share_now(const struct envoy_lease *l);
double mp_envoy_rate_now(const struct envoy_lease *l);

/* A key as an Envoy may write it. An IPv4 address that reaches it mapped into IPv6 (PROXY protocol,
 * a balancer of both families) is another text there, and of another family. */
struct envoy_forms {
    size_t count;
    mp_str text[2]; /* the second in room */
    uint32_t prefix_len[2];
    char room[ADDRESS_TEXT_MAX];
};
void mp_envoy_forms_of(const struct envoy_lease *l, struct envoy_forms *out);

/* ---- building ---- */

struct envoy_build {
    const struct mp_envoy_plan *plan;
    const struct mp_envoy_audience *audience;
    struct mp_arena *arena;
    struct envoy_leases leases; /* at the audience's layer */
    const struct mp_envoy_carve *carves; /* what guards protect, in order of path */
    size_t carve_count;
};

/* Each makes one resource; MP_ENOMEM. */
enum mp_err mp_envoy_build_deny(struct envoy_build *b, struct mp_envoy_resource *out);
enum mp_err mp_envoy_build_identities(struct envoy_build *b, struct mp_envoy_resource *out);
enum mp_err mp_envoy_build_throttle(struct envoy_build *b, struct mp_envoy_resource *out);
enum mp_err mp_envoy_build_share(struct envoy_build *b, struct mp_envoy_resource *out);
enum mp_err mp_envoy_build_runtime(struct envoy_build *b, struct mp_envoy_resource *out);
enum mp_err mp_envoy_build_endpoints(struct envoy_build *b, mp_str cluster,
                                     struct mp_envoy_resource *out);
/* A Metadata message as `field`: this version, for clusters that choose by it. */
void mp_envoy_put_version(struct pb_out *out, uint32_t field, mp_str version);
enum mp_err mp_envoy_build_routes(struct envoy_build *b, struct mp_envoy_resource *out);
enum mp_err mp_envoy_build_certificate(struct envoy_build *b, struct mp_envoy_resource *out);
enum mp_err mp_envoy_build_trust(struct envoy_build *b, struct mp_envoy_resource *out);
/* Is there such a secret for the audience? */
bool mp_envoy_has_secret(const struct envoy_build *b, mp_str name);

/* 16 hexadecimal digits of SipHash-2-4 of the bytes under a key that never changes. ptr NULL: no
 * memory. */
mp_str mp_envoy_version(struct mp_arena *arena, mp_str bytes);
/* An extension's resource with its config. `version` empty: of the bytes. */
struct envoy_config;
enum mp_err mp_envoy_extension(struct envoy_build *b, mp_str name,
                               const struct envoy_config *config, mp_str version,
                               struct mp_envoy_resource *out);
/* "mpol:RULE/LEASE" */
mp_str mp_envoy_policy_name(struct mp_arena *arena, const struct envoy_lease *l);
/* Instances of a service that could be endpoints, in order of address as text, then port. */
struct envoy_instances {
    struct mp_envoy_instance *ptr;
    uint32_t count, cap;
    struct mp_arena *arena;
    bool failed;
};
enum mp_err mp_envoy_instances_of(struct envoy_build *b, mp_str service,
                                  struct envoy_instances *out);

/* ---- matchers (xds.type.matcher.v3), resources_match.c ---- */

enum envoy_input {
    ENVOY_INPUT_CLIENT,   /* the client's address, as access logs have it */
    /* URI SANs of its certificate, joined by commas. On a connection without TLS this is no "no
     * match": it ends the whole tree without an answer. */
    ENVOY_INPUT_IDENTITY,
    ENVOY_INPUT_PATH,     /* :path, with its query */
};
void mp_envoy_put_input(struct pb_out *out, uint32_t field, enum envoy_input input);

/* A Matcher's tree over `input` whose keys are looked up in a hash table; the rows come between, as
 * map entries. Then, perhaps, on_no_match. */
struct envoy_tree {
    size_t tree, map;
};
struct envoy_tree mp_envoy_tree_begin(struct pb_out *out, enum envoy_input input);
void mp_envoy_tree_end(struct pb_out *out, struct envoy_tree mark);
/* A row of the tree; the fields of its OnMatch come between. */
struct pb_pair mp_envoy_row_begin(struct pb_out *out, mp_str key);

/* Fields of an OnMatch. */
void mp_envoy_put_decision(struct pb_out *out, mp_str policy, bool deny);
void mp_envoy_put_skip(struct pb_out *out);
/* The rows of a tree that do so to one client or identity. */
void mp_envoy_put_skip_rows(struct pb_out *out, const struct envoy_lease *l);
void mp_envoy_put_execute(struct pb_out *out, mp_str type_url, mp_str config);

/* Fields of a Predicate: the input is exactly this; the path has, or has not, the probe's shape;
 * the other side has shown a certificate, which may be asked without TLS too; the client is one of
 * those that are still refused after so much has been given back. */
void mp_envoy_put_exactly(struct pb_out *out, enum envoy_input input, mp_str text);
void mp_envoy_put_probe_shape(struct pb_out *out);
void mp_envoy_put_no_probe_shape(struct pb_out *out);
void mp_envoy_put_has_certificate(struct pb_out *out);
void mp_envoy_put_still_refused(struct pb_out *out, const struct envoy_lease *l);
/* A Predicate's fields: the client is one of these addresses, or in one of these ranges. */
void mp_envoy_put_in_list(struct pb_out *out, const struct envoy_lease *const *of, size_t count);
/* A Predicate's fields: the client is of that range, and still refused. */
void mp_envoy_put_in_range(struct pb_out *out, const struct envoy_lease *l);
/* The shape as a regular expression (RE2). */
#define ENVOY_PROBE_SHAPE "/\\.mpol/(probe|routes)/[0-9a-f]{16}"

/* The config of a filter, and around it those who pass it over: who is exempt, identities that
 * have been given back in part, and the probe. Where that is nobody, what was given comes back. */
struct envoy_config {
    mp_str type_url, value;
};
struct envoy_pass {
    struct envoy_leases partial; /* `key` is the identity */
    /* the filter throttles: the probe passes it; one that refuses it meets, whoever asks */
    bool throttle;
};
enum mp_err mp_envoy_exempting(struct envoy_build *b, mp_str name, struct envoy_config config,
                               const struct envoy_pass *pass, struct envoy_config *out);
/* Rows of a Matcher's list: what guards protect, and who is of an exempt range, passes the filter
 * over. */
void mp_envoy_put_listed_skips(const struct envoy_build *b, struct pb_out *out, bool throttle);
/* A FieldMatcher as `field`: the probe passes the filter over. */
void mp_envoy_put_probe_skips(struct pb_out *out, uint32_t field);
/* Is everything exempt that this audience answers? */
bool mp_envoy_all_exempt(const struct envoy_build *b);

#endif
