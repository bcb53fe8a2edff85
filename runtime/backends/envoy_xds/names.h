/* SPDX-License-Identifier: Apache-2.0
 * names.h - every name that a proxy's bootstrap and this control plane must agree on.
 *
 * A proxy that was configured by hand obeys when it uses these names (docs/ENVOY.md). None may
 * change without a new number in MP_ENVOY_METADATA_VERSION: proxies in the field keep their
 * bootstrap.
 */
#ifndef MP_ENVOY_XDS_NAMES_H
#define MP_ENVOY_XDS_NAMES_H

#define MP_ENVOY_TYPE_PREFIX "type.googleapis.com/"

/* Resource types, as a subscription names them. */
#define MP_ENVOY_TYPE_EXTENSION MP_ENVOY_TYPE_PREFIX "envoy.config.core.v3.TypedExtensionConfig"
#define MP_ENVOY_TYPE_RUNTIME MP_ENVOY_TYPE_PREFIX "envoy.service.runtime.v3.Runtime"
#define MP_ENVOY_TYPE_ENDPOINTS \
    MP_ENVOY_TYPE_PREFIX "envoy.config.endpoint.v3.ClusterLoadAssignment"
#define MP_ENVOY_TYPE_ROUTES MP_ENVOY_TYPE_PREFIX "envoy.config.route.v3.RouteConfiguration"
#define MP_ENVOY_TYPE_SECRET MP_ENVOY_TYPE_PREFIX "envoy.extensions.transport_sockets.tls.v3.Secret"
/* Asked for by proxies whose bootstrap has lds/cds over ADS. Known, and answered with nothing. */
#define MP_ENVOY_TYPE_LISTENER MP_ENVOY_TYPE_PREFIX "envoy.config.listener.v3.Listener"
#define MP_ENVOY_TYPE_CLUSTER MP_ENVOY_TYPE_PREFIX "envoy.config.cluster.v3.Cluster"

/* Types inside of an extension's config. */
/* Around any of them: some requests pass it over (`exempt`), or each gets its own. */
#define MP_ENVOY_TYPE_WITH_MATCHER \
    MP_ENVOY_TYPE_PREFIX "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
#define MP_ENVOY_TYPE_HTTP_RBAC MP_ENVOY_TYPE_PREFIX "envoy.extensions.filters.http.rbac.v3.RBAC"
#define MP_ENVOY_TYPE_LOCAL_RATE_LIMIT \
    MP_ENVOY_TYPE_PREFIX "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
#define MP_ENVOY_TYPE_FAULT MP_ENVOY_TYPE_PREFIX "envoy.extensions.filters.http.fault.v3.HTTPFault"

/* Around any of them: some requests pass the filter over (`exempt`),
 * or each gets one of its own. */
#define MP_ENVOY_TYPE_WITH_MATCHER \
    MP_ENVOY_TYPE_PREFIX "envoy.extensions.common.matching.v3.ExtensionWithMatcher"

/* HTTP filters of a connection manager, in this order, each found by the resource of the same name
 * (ECDS): denials by address and of who answers; denials by identity and what must be shown;
 * throttles to a rate; throttles to a share. */
#define MP_ENVOY_DENY "mpol-deny"
#define MP_ENVOY_ALLOW "mpol-allow"
#define MP_ENVOY_THROTTLE "mpol-throttle"
#define MP_ENVOY_SHARE "mpol-share"
/* The dynamic module's filter, between MP_ENVOY_SHARE and the router; not one of ours by ECDS. */
#define MP_ENVOY_MODULE_FILTER "mpol"

/* The layer in `layered_runtime`, the resource it asks for, and the key of the refused share: a
 * fraction of a million. */
#define MP_ENVOY_RUNTIME_LAYER "mpol"
#define MP_ENVOY_RUNTIME "mpol-runtime"
#define MP_ENVOY_KEY_SHARE "mpol.share"
/* Says which version of the layer is obeyed, for who reads it back. */
#define MP_ENVOY_KEY_VERSION "mpol.version"

/* In the metadata `envoy.lb` of endpoints: the version, which a cluster may choose by. */
#define MP_ENVOY_KEY_SUBSET "version"

#define MP_ENVOY_ROUTES "mpol-routes"
#define MP_ENVOY_CERTIFICATE "mpol-cert"
#define MP_ENVOY_TRUST "mpol-trust"
#define MP_ENVOY_ACCESS_LOG "mpol"
/* The cluster of this control plane in a proxy's bootstrap. */
#define MP_ENVOY_CONTROL_CLUSTER "mpol-xds"

/* Between a service and a version in the name of a cluster: `checkout@v2`. */
#define MP_ENVOY_VERSION_MARK '@'

/* Every connection manager answers this prefix itself (404), so that a probe reaches no service. */
#define MP_ENVOY_OWN_PATH "/.mpol/"
/* Followed by the version of MP_ENVOY_DENY: refused with 403 by who has that version in force. */
#define MP_ENVOY_PROBE_PATH "/.mpol/probe/"
/* Followed by the version of MP_ENVOY_ROUTES: answered with 204 by who has it in force. */
#define MP_ENVOY_ROUTES_PATH "/.mpol/routes/"

/* Policies in the RBAC filters; they appear in response_code_details as
 * MP_ENVOY_DETAILS_RBAC "mpol:RULE/LEASE" "]". */
#define MP_ENVOY_POLICY_PREFIX "mpol:"
#define MP_ENVOY_POLICY_MANUAL "mpol:manual/"
#define MP_ENVOY_POLICY_PROBE "mpol:probe"
#define MP_ENVOY_DETAILS_RBAC "rbac_access_denied_matched_policy["
#define MP_ENVOY_DETAILS_THROTTLE "local_rate_limited"
#define MP_ENVOY_DETAILS_SHARE "fault_filter_abort"

/* Members of the Struct `mpol` in Node.metadata. */
#define MP_ENVOY_METADATA "mpol"
#define MP_ENVOY_METADATA_VERSION 1

/* Of a LocalRateLimit and of a fault, as a proxy counts them. */
#define MP_ENVOY_STAT_PREFIX "mpol"

#endif
