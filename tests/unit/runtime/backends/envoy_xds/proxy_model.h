/* SPDX-License-Identifier: Apache-2.0
 * proxy_model.h - what a proxy would do with the bytes of a filter: a small reader of matchers
 * and RBAC that knows nothing of leases. How it reads was compared with real ones (tests/envoy).
 */
#ifndef MP_TEST_PROXY_MODEL_H
#define MP_TEST_PROXY_MODEL_H

#include "envoy_xds/resources.h"

struct proxy_request {
    mp_str client;   /* "10.0.0.1" */
    bool tls;
    mp_str identity; /* URI SAN; empty: no certificate */
    mp_str path;
};

enum proxy_outcome {
    PROXY_NO_MATCH,
    PROXY_STUCK, /* the tree ends without an answer */
    PROXY_SKIP,
    PROXY_ALLOW,
    PROXY_DENY,
    PROXY_EXECUTE, /* a filter of its own */
};

/* What `mpol-deny` or `mpol-allow` does: PROXY_DENY with the policy's name, or PROXY_ALLOW. */
enum proxy_outcome proxy_decides(mp_str resource, const struct proxy_request *request,
                                 mp_str *policy);
/* A matcher alone; of PROXY_EXECUTE `policy` is the config that is executed. */
enum proxy_outcome proxy_matches(mp_str matcher, const struct proxy_request *request,
                                 mp_str *policy);

/* The first field of this number, as bytes or as a number; empty, 0 where there is none. */
mp_str proxy_bytes(mp_str message, uint32_t field);
uint64_t proxy_number(mp_str message, uint32_t field);
/* The field of this number that comes `index`th. False: there are not so many. */
bool proxy_nth(mp_str message, uint32_t field, uint32_t index, mp_str *out);
bool proxy_has(mp_str message, uint32_t field);
/* The type of an Any, behind its prefix, and its value. */
mp_str proxy_any(mp_str any, mp_str *value);

#endif
