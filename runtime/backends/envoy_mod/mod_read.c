/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/mod_read.h"

#include <stdio.h>

#include "ingest/ingest.h"

static const mp_str none = {NULL, 0};

/* ---- room ---- */

void mod_room_clear(struct mod_room *room)
{
    room->used = 0;
    room->full = false;
}

static char *room_get(struct mod_room *room, size_t len)
{
    if (len > sizeof room->bytes - room->used) {
        room->full = true;
        return NULL;
    }
    char *at = room->bytes + room->used;
    room->used += len;
    return at;
}

mp_str mod_room_number(struct mod_room *room, uint64_t number)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    char *at = room_get(room, (size_t)len);
    if (at == NULL) return none;
    memcpy(at, text, (size_t)len);
    return (mp_str){at, (size_t)len};
}

/* ---- headers ---- */

static bool add(struct mod_room *room, mp_str s)
{
    char *at = room_get(room, s.len);
    if (at != NULL && s.len > 0) memcpy(at, s.ptr, s.len);
    return at != NULL;
}

mp_str mod_read_header(const struct mod_headers *h, mp_str name)
{
    mp_str first = none, value;
    if (!h->next(h->envoy, h->map, name, 0, &first)) return none;
    if (!h->next(h->envoy, h->map, name, 1, &value)) return first;
    const char *from = h->room->bytes + h->room->used;
    bool fits = add(h->room, first);
    for (size_t i = 1; fits && h->next(h->envoy, h->map, name, i, &value); i++) {
        fits = add(h->room, MP_STR(", ")) && add(h->room, value);
    }
    return fits ? (mp_str){from, (size_t)(h->room->bytes + h->room->used - from)} : none;
}

/* The piece before `stop`; *rest is what is behind it. */
static mp_str piece(mp_str *rest, char stop)
{
    if (rest->len == 0) return *rest;
    const char *end = memchr(rest->ptr, stop, rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    mp_str before = mp_str_sub(*rest, 0, len);
    *rest = mp_str_sub(*rest, end != NULL ? len + 1 : len, rest->len);
    return before;
}

/* What was joined in the rest of the room; nothing and too much are absent. */
static struct mp_joined joining(struct mod_room *room)
{
    return (struct mp_joined){.at = room->bytes + room->used,
                              .size = sizeof room->bytes - room->used};
}

static mp_str joined(struct mod_room *room, const struct mp_joined *j)
{
    room->full |= j->full;
    if (j->count == 0 || j->full) return none;
    return (mp_str){room_get(room, j->len), j->len};
}

/* HTTP/2 may bring a cookie a header (RFC 9113, 8.2.3). */
mp_str mod_read_cookie(const struct mod_headers *h, mp_str name)
{
    mp_str value;
    struct mp_joined j = joining(h->room);
    for (size_t i = 0; !j.full && h->next(h->envoy, h->map, MP_STR("cookie"), i, &value); i++) {
        mp_pairs_join(MP_PAIRS_COOKIES, value, name, &j);
    }
    return joined(h->room, &j);
}

mp_str mod_read_arg(mp_str query, mp_str name, struct mod_room *room)
{
    struct mp_joined j = joining(room);
    mp_pairs_join(MP_PAIRS_QUERY, query, name, &j);
    return joined(room, &j);
}

/* ---- paths ---- */

mp_str mod_read_raw_path(mp_str path) { return piece(&path, '?'); }

mp_str mod_read_query(mp_str path)
{
    piece(&path, '?');
    return path;
}

static mp_str without_slash(mp_str path)
{
    return path.len > 1 && path.ptr[0] == '/' ? mp_str_sub(path, 1, path.len) : none;
}

mp_str mod_read_grpc_service(mp_str path)
{
    mp_str rest = without_slash(mod_read_raw_path(path));
    mp_str service = piece(&rest, '/');
    return rest.len > 0 ? service : none;
}

mp_str mod_read_grpc_method(mp_str path)
{
    mp_str rest = without_slash(mod_read_raw_path(path));
    piece(&rest, '/');
    return rest;
}

/* ---- other texts ---- */

mp_str mod_read_address(mp_str a)
{
    if (a.len > 0 && a.ptr[0] == '[') {
        mp_str rest = mp_str_sub(a, 1, a.len);
        return piece(&rest, ']');
    }
    size_t at = a.len;
    while (at > 0 && a.ptr[at - 1] != ':') at--;
    return at > 0 ? mp_str_sub(a, 0, at - 1) : a;
}

mp_str mod_read_first(mp_str list) { return piece(&list, ','); }
mp_str mod_read_cluster(mp_str cluster)
{
    mp_str service = piece(&cluster, '@');
    return mp_str_eq(service, MP_STR("upstream")) ? none : service;
}

mp_str mod_read_version(mp_str protocol)
{
    return mp_str_starts(protocol, MP_STR("HTTP/")) ? mp_str_sub(protocol, 5, protocol.len) : none;
}

bool mod_read_int(mp_str text, int64_t *out)
{
    int64_t n = 0;
    if (text.len == 0 || text.len > 18) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
        n = n * 10 + (text.ptr[i] - '0');
    }
    *out = n;
    return true;
}
