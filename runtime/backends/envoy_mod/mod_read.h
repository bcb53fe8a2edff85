/* SPDX-License-Identifier: Apache-2.0
 * mod_read.h - texts of a proxy → fields of a request. What is no such text is empty, which is
 * absent.
 *
 * Owns:    nothing; what is made, not found, goes into the caller's room. Threads: pure functions.
 */
#ifndef MP_ENVOY_MOD_MOD_READ_H
#define MP_ENVOY_MOD_MOD_READ_H

#include <stdbool.h>

#include "base/str.h"

/* LIMIT: texts that are put together for one request: twice what a proxy takes of headers unless
 * it is told otherwise (60 KiB), since a header may be read as a whole and as cookies. What does
 * not fit is absent, and `full` says so: who pads a request must not pass a rule by it. */
#define MOD_ROOM_BYTES (128u * 1024)

/* One a worker, touched as it is used. */
struct mod_room {
    size_t used;
    bool full; /* something did not fit */
    char bytes[MOD_ROOM_BYTES];
};
void mod_room_clear(struct mod_room *room);

/* One headers' map of the proxy: value number `i` of a name. False: there are no more. */
struct mod_headers {
    void *envoy;
    int map;
    bool (*next)(void *envoy, int map, mp_str name, size_t i, mp_str *out);
    struct mod_room *room;
};

/* The value of a header; several are joined by ", ". */
mp_str mod_read_header(const struct mod_headers *h, mp_str name);
/* The values of a cookie, and of an argument of a query (decoded), joined as those of a header. */
mp_str mod_read_cookie(const struct mod_headers *h, mp_str name);
mp_str mod_read_arg(mp_str query, mp_str name, struct mod_room *room);

mp_str mod_read_raw_path(mp_str path);
mp_str mod_read_query(mp_str path);
/* "/package.Service/Method" */
mp_str mod_read_grpc_service(mp_str path);
mp_str mod_read_grpc_method(mp_str path);
/* "10.0.0.7:1234", "[2001:db8::1]:1234" → the address. */
mp_str mod_read_address(mp_str address);
/* The first of a list that is joined by commas. */
mp_str mod_read_first(mp_str list);
/* "checkout@v2" → "checkout": the service that a cluster is named after; "upstream" is the
 * proxy's own. */
mp_str mod_read_cluster(mp_str cluster);
/* "HTTP/1.1" → "1.1" */
mp_str mod_read_version(mp_str protocol);
/* A number without a sign. */
bool mod_read_int(mp_str text, int64_t *out);
mp_str mod_room_number(struct mod_room *room, uint64_t number);

#endif
