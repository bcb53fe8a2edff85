/* SPDX-License-Identifier: Apache-2.0
 * als.h - what Envoy's access log service streams: requests and connections that have ended.
 *
 * Owns:    nothing. Callers: daemon/records (an entry becomes a record), tests, fuzz.
 * Threads: pure. Memory: all texts borrow the message; nothing is allocated.
 * Source:  envoy/service/accesslog/v3/als.proto, envoy/data/accesslog/v3/accesslog.proto.
 *
 * Texts are UTF-8 (a proxy makes them so); a message that has others is bad.
 */
#ifndef MP_ENVOY_WIRE_ALS_H
#define MP_ENVOY_WIRE_ALS_H

#include "base/err.h"
#include "envoy_wire/discovery.h"

#define MP_ALS_ABSENT_NS INT64_MIN /* of a time that the entry does not have */

/* An address of the internet; a pipe or a name within the proxy is no such address: ip is empty
 * then. */
struct mp_als_address {
    mp_str ip; /* as text, without brackets */
    uint32_t port;
    bool udp;
};

/* Bits of `flags`: the field numbers of ResponseFlags. */
enum mp_als_flag {
    MP_ALS_NO_HEALTHY_UPSTREAM = 2, MP_ALS_UPSTREAM_REQUEST_TIMEOUT = 3, MP_ALS_LOCAL_RESET = 4,
    MP_ALS_UPSTREAM_REMOTE_RESET = 5, MP_ALS_UPSTREAM_CONNECTION_FAILURE = 6,
    MP_ALS_UPSTREAM_CONNECTION_TERMINATION = 7, MP_ALS_UPSTREAM_OVERFLOW = 8, MP_ALS_NO_ROUTE = 9,
    MP_ALS_DELAY_INJECTED = 10, MP_ALS_FAULT_INJECTED = 11, MP_ALS_RATE_LIMITED = 12,
    MP_ALS_UNAUTHORIZED = 13, MP_ALS_DOWNSTREAM_CONNECTION_TERMINATION = 15,
    MP_ALS_STREAM_IDLE_TIMEOUT = 17, MP_ALS_DOWNSTREAM_PROTOCOL_ERROR = 19,
    MP_ALS_UPSTREAM_MAX_STREAM_DURATION = 20, MP_ALS_DURATION_TIMEOUT = 23,
    MP_ALS_UPSTREAM_PROTOCOL_ERROR = 24, MP_ALS_OVERLOAD = 26, MP_ALS_DOWNSTREAM_REMOTE_RESET = 28
};

static inline bool mp_als_has(uint32_t flags, enum mp_als_flag flag)
{
    return (flags >> flag & 1) != 0;
}

/* AccessLogType: when the entry was written. An entry at the end may also have 0. */
enum mp_als_type {
    MP_ALS_NOT_SET = 0, MP_ALS_TCP_UPSTREAM_CONNECTED = 1, MP_ALS_TCP_PERIODIC = 2,
    MP_ALS_TCP_CONNECTION_END = 3, MP_ALS_DOWNSTREAM_START = 4, MP_ALS_DOWNSTREAM_PERIODIC = 5,
    MP_ALS_DOWNSTREAM_END = 6, MP_ALS_UPSTREAM_POOL_READY = 7, MP_ALS_UPSTREAM_PERIODIC = 8,
    MP_ALS_UPSTREAM_END = 9, MP_ALS_UDP_PERIODIC = 12, MP_ALS_UDP_SESSION_END = 13
};

/* The certificates of a connection; sessions that were resumed show them too. */
struct mp_als_tls {
    bool present;      /* the connection is TLS */
    uint32_t version;  /* 1: TLS 1.0 .. 4: TLS 1.3; 0: not told */
    bool peer_shown;   /* the peer showed a certificate */
    mp_str peer_uri;   /* the first URI of its names (SPIFFE allows one) */
    mp_str peer_dns;   /* the first DNS name */
    mp_str peer_subject;
    uint32_t peer_uris; /* how many URIs it names: more than one is no SPIFFE identity */
    mp_str sni, ja3;
};

struct mp_als_common {
    double sample_rate; /* 0: not told, which is 1 */
    /* who asks, trusted hops of X-Forwarded-For included */
    struct mp_als_address downstream_remote;
    struct mp_als_address downstream_direct; /* who is connected */
    struct mp_als_address downstream_local;
    struct mp_als_address upstream_remote;
    struct mp_als_tls tls;
    int64_t start_ns; /* since 1970, or MP_ALS_ABSENT_NS */
    /* From start_ns, or MP_ALS_ABSENT_NS. */
    int64_t duration_ns, last_downstream_tx_ns, last_upstream_rx_ns, last_rx_ns;
    mp_str upstream_cluster, route, stream_id;
    uint32_t flags;
    mp_str termination_details; /* why the connection was cut, by network filters too */
    mp_str upstream_failure, downstream_failure; /* of the handshakes */
    /* on the wire */
    uint64_t downstream_sent, downstream_received, upstream_sent, upstream_received;
    uint32_t attempts;
    enum mp_als_type type;
    bool intermediate; /* not the end yet, as older proxies say it */
    struct pb_many tags; /* custom tags, by name: pb_many_get */
};

struct mp_als_http {
    struct mp_als_common common;
    mp_str version; /* `1.0` `1.1` `2` `3`, static; empty: not told */
    mp_str method;  /* `GET`, static; empty: none that the protocol has a number for */
    mp_str scheme, authority, path, original_path; /* paths with their query */
    mp_str user_agent, referer, forwarded_for, request_id;
    uint32_t port; /* 0: not told */
    uint64_t request_header_bytes, request_body_bytes;
    struct pb_many request_headers; /* those that the log is configured for, names in lower case */
    uint32_t status; /* 0: no answer was sent */
    mp_str details;  /* `via_upstream`, `rbac_access_denied_matched_policy[...]` */
    uint64_t response_header_bytes, response_body_bytes;
    struct pb_many response_headers, response_trailers;
};

struct mp_als_tcp {
    struct mp_als_common common;
    uint64_t received_bytes, sent_bytes;
};

/* Callbacks; each may be NULL. False ends the reading, without an error. */
struct mp_als_sink {
    void *ctx;
    /* The first message of a stream says who speaks and which log it is. */
    bool (*identifier)(void *ctx, const struct mp_discovery_node *node, mp_str log_name);
    bool (*http)(void *ctx, const struct mp_als_http *entry);
    bool (*tcp)(void *ctx, const struct mp_als_tcp *entry);
};

/* Reads a StreamAccessLogsMessage: the identifier first, wherever it stands, then the entries in
 * their order. MP_EINVAL: malformed, *why (static) says how; entries before the bad one were
 * handed over. */
enum mp_err mp_als_read(mp_str message, const struct mp_als_sink *sink, const char **why);

#endif
