/* SPDX-License-Identifier: Apache-2.0
 * records_priv.h - an entry of an access log between what the proxy wrote and what a program reads.
 */
#ifndef MP_DAEMON_RECORDS_PRIV_H
#define MP_DAEMON_RECORDS_PRIV_H

#include "daemon/records.h"
#include "envoy_wire/als.h"
#include "ingest/ingest.h"

#define SEEN_ABSENT INT64_MIN
#define SEEN_NAMES_MAX 256u        /* LIMIT: fields of one signal that are read of an entry */
#define SEEN_ROOM_BYTES (128u * 1024) /* of texts that had to be decoded */

enum seen_signal { SEEN_REQUESTS, SEEN_REFUSALS, SEEN_CONNECTIONS, SEEN_SIGNALS };

/* All that an entry tells, each thing once. Texts are absent where ptr is NULL, numbers where
 * they are SEEN_ABSENT. */
struct seen {
    int64_t time_ns;
    mp_str layer, service, instance, version;
    mp_str client, peer, caller, callee, principal;
    mp_str method, scheme, host, path, raw_path, query, http_version, user_agent, route;
    mp_str grpc_service, grpc_method, ja3, sni;
    mp_str direction, protocol, dst;
    mp_str policy, verb; /* of a refusal */
    int64_t port, dst_port, status, grpc_status, latency_ns, bytes_in, bytes_out, bytes, weight;
    int64_t mtls, success, reset, timeout, refused;
    const struct mp_als_http *http; /* NULL: a connection */
    const struct mp_als_common *common;
};

/* Where the value of a name comes from. */
enum seen_from {
    SEEN_TEXT,
    SEEN_INT,
    SEEN_HEADER,
    SEEN_RESPONSE_HEADER,
    SEEN_COOKIE,
    SEEN_ARG,
    SEEN_TAG
};

/* A name of the program in force. */
struct seen_name {
    uint32_t name; /* of mp_ingest_name */
    enum seen_from from;
    size_t at;  /* TEXT, INT: offset in struct seen */
    mp_str key; /* the others: name of the header, cookie, ...; the program's text */
};

/* The names of one signal. */
struct seen_names {
    uint32_t signal; /* its row, or MP_NONE: the program has none */
    uint32_t count;
    uint32_t passed_over; /* names for which there was no room */
    struct seen_name rows[SEEN_NAMES_MAX];
};

/* Texts that had to be decoded, until the next entry. */
struct seen_room {
    size_t used;
    char bytes[SEEN_ROOM_BYTES];
};

/* Once for a program. */
void seen_names_find(struct seen_names *names, enum seen_signal which, const struct mp_ingest *in,
                     const struct mp_program *p);
/* What is read and is in an entry only where the proxy's log says so; as a bootstrap calls that. */
enum seen_asked {
    SEEN_ASKED_HEADER,
    SEEN_ASKED_RESPONSE_HEADER,
    SEEN_ASKED_RESPONSE_TRAILER,
    SEEN_ASKED_TAG,
    SEEN_ASKED_KINDS
};
/* Names of this kind, in order of the program, with commas, as far as there is room; how many. */
uint32_t seen_names_asked(const struct seen_names *names, enum seen_signal which,
                          enum seen_asked kind, char *out, size_t size);
/* Everything of an entry that does not depend on who speaks. */
void seen_of_http(struct seen *s, const struct mp_als_http *e);
void seen_of_tcp(struct seen *s, const struct mp_als_tcp *e);
/* The values of the names; the answer is how many of fields[SEEN_NAMES_MAX] are set. */
uint32_t seen_fields(const struct seen *s, const struct seen_names *names, struct seen_room *room,
                     struct mp_field_in *fields);

#endif
