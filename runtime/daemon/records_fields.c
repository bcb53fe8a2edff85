/* SPDX-License-Identifier: Apache-2.0
 * Entries → fields by name. The tables say which word of stdlib/mesh.mpol is which part of an
 * entry; a word that is missing here is one that a proxy cannot tell.
 */
#include "daemon/records_priv.h"

#include <stddef.h>
#include <stdio.h>

struct word {
    mp_str name;
    enum seen_from from;
    size_t at;
};

#define TEXT(name, member) {MP_STR_INIT(name), SEEN_TEXT, offsetof(struct seen, member)}
#define NUMBER(name, member) {MP_STR_INIT(name), SEEN_INT, offsetof(struct seen, member)}

static const struct word request_words[] = {
    TEXT("layer", layer),
    TEXT("service", service),
    TEXT("instance", instance),
    TEXT("client.ip", client),
    TEXT("client.identity", peer),
    TEXT("method", method),
    TEXT("scheme", scheme),
    TEXT("host", host),
    NUMBER("port", port),
    TEXT("path", path),
    TEXT("raw_path", raw_path),
    TEXT("query", query),
    TEXT("principal", principal),
    TEXT("user_agent", user_agent),
    TEXT("peer", peer),
    TEXT("caller", caller),
    TEXT("route", route),
    TEXT("http_version", http_version),
    TEXT("grpc_service", grpc_service),
    TEXT("grpc_method", grpc_method),
    TEXT("version", version),
    TEXT("ja3", ja3),
    NUMBER("mtls", mtls),
    NUMBER("bytes_in", bytes_in),
    NUMBER("status", status),
    NUMBER("grpc_status", grpc_status),
    NUMBER("success", success),
    NUMBER("latency", latency_ns),
    NUMBER("bytes_out", bytes_out),
    NUMBER("reset", reset),
    NUMBER("timeout", timeout),
    NUMBER("weight", weight),
};

static const struct word refusal_words[] = {
    TEXT("layer", layer),   TEXT("service", service),      TEXT("instance", instance),
    TEXT("verb", verb),     TEXT("client.ip", client),     TEXT("client.identity", peer),
    TEXT("peer", peer),     TEXT("path", path),            TEXT("refused_by", policy),
    NUMBER("weight", weight),
};

static const struct word connection_words[] = {
    TEXT("layer", layer),         TEXT("service", service),   TEXT("instance", instance),
    TEXT("client.ip", client),    TEXT("client.identity", peer),
    TEXT("direction", direction), TEXT("protocol", protocol), TEXT("dst", dst),
    NUMBER("dst_port", dst_port), TEXT("caller", caller),     TEXT("callee", callee),
    TEXT("sni", sni),             TEXT("peer", peer),         NUMBER("refused", refused),
    NUMBER("bytes", bytes),       NUMBER("weight", weight),
};

static const struct {
    mp_str signal;
    const struct word *words;
    size_t count;
} signals[SEEN_SIGNALS] = {
    [SEEN_REQUESTS] = {MP_STR_INIT("requests"), request_words,
                       sizeof request_words / sizeof *request_words},
    [SEEN_REFUSALS] = {MP_STR_INIT("refusals"), refusal_words,
                       sizeof refusal_words / sizeof *refusal_words},
    [SEEN_CONNECTIONS] = {MP_STR_INIT("connections"), connection_words,
                          sizeof connection_words / sizeof *connection_words},
};

/* Entries of maps: the part of the path behind the dot is the key. */
static const struct {
    mp_str prefix;
    enum seen_from from;
} maps[] = {
    {MP_STR_INIT("headers."), SEEN_HEADER},
    {MP_STR_INIT("response_headers."), SEEN_RESPONSE_HEADER},
    {MP_STR_INIT("cookies."), SEEN_COOKIE},
    {MP_STR_INIT("args."), SEEN_ARG},
};

/* ---- names, once for a program ---- */

static void add_name(struct seen_names *names, const struct seen_name *n)
{
    if (n->name == MP_NONE) return;
    if (names->count == SEEN_NAMES_MAX) {
        names->passed_over++;
        return;
    }
    names->rows[names->count++] = *n;
}

static bool in_table(enum seen_signal which, mp_str path)
{
    for (size_t i = 0; i < signals[which].count; i++) {
        mp_str name = signals[which].words[i].name;
        if (mp_str_eq(name, path)) return true;
        /* `client` is `client.ip`, `service.name` is `service`. */
        mp_str longer = name.len > path.len ? name : path,
               shorter = name.len > path.len ? path : name;
        if (mp_str_starts(longer, shorter) && longer.ptr[shorter.len] == '.') return true;
    }
    return false;
}

/* A field that no part of an entry is: a custom tag of the log may bring it, under its own name.
 * Who configures a proxy decides what a tag holds; so none can say who asks or who answers. */
static void add_field(struct seen_names *names, enum seen_signal which, const struct mp_ingest *in,
                      mp_str path)
{
    struct seen_name n = {.name = mp_ingest_name(in, path), .from = SEEN_TAG, .key = path};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        if (!mp_str_starts(path, maps[i].prefix)) continue;
        n.from = maps[i].from;
        n.key = mp_str_sub(path, maps[i].prefix.len, path.len);
    }
    if (n.from != SEEN_TAG || !in_table(which, path)) add_name(names, &n);
}

void seen_names_find(struct seen_names *names, enum seen_signal which, const struct mp_ingest *in,
                     const struct mp_program *p)
{
    names->count = names->passed_over = 0;
    names->signal = mp_ingest_signal(in, signals[which].signal);
    if (names->signal == MP_NONE) return;
    for (size_t i = 0; i < signals[which].count; i++) {
        const struct word *w = &signals[which].words[i];
        struct seen_name n = {.name = mp_ingest_name(in, w->name), .from = w->from, .at = w->at};
        add_name(names, &n);
    }
    const struct mp_signal_row *s = &p->signal[names->signal];
    for (uint32_t i = s->fields_at; i < s->fields_at + s->fields_count; i++) {
        if ((p->field[i].flags & MP_FIELD_SET) != 0) continue;
        add_field(names, which, in, mp_program_text(p, p->field[i].path));
    }
}

/* ---- what only some logs have ---- */

/* Request headers that an entry has a field of its own for. */
static const struct own {
    mp_str name;
    size_t at;
} own_headers[] = {
    {MP_STR_INIT("user-agent"), offsetof(struct mp_als_http, user_agent)},
    {MP_STR_INIT("referer"), offsetof(struct mp_als_http, referer)},
    {MP_STR_INIT("x-forwarded-for"), offsetof(struct mp_als_http, forwarded_for)},
    {MP_STR_INIT("x-request-id"), offsetof(struct mp_als_http, request_id)},
    {MP_STR_INIT("host"), offsetof(struct mp_als_http, authority)},
};

static const struct own *own_header(mp_str name)
{
    for (size_t i = 0; i < sizeof own_headers / sizeof *own_headers; i++) {
        if (mp_str_eq(own_headers[i].name, name)) return &own_headers[i];
    }
    return NULL;
}

/* take_grpc() finds them there. */
static const struct {
    size_t at;
    enum seen_asked kind;
    mp_str name;
} grpc_words[] = {
    {offsetof(struct seen, grpc_service), SEEN_ASKED_HEADER, MP_STR_INIT("content-type")},
    {offsetof(struct seen, grpc_method), SEEN_ASKED_HEADER, MP_STR_INIT("content-type")},
    {offsetof(struct seen, grpc_status), SEEN_ASKED_RESPONSE_TRAILER, MP_STR_INIT("grpc-status")},
};

/* `client.asn`: an inventory tells it, as it does of all who are told by name. */
static bool is_of_entity(enum seen_signal which, mp_str path)
{
    size_t dot = 0;
    while (dot < path.len && path.ptr[dot] != '.') dot++;
    return dot < path.len && in_table(which, mp_str_sub(path, 0, dot));
}

/* What the log of a proxy must be told to have for this name; false: nothing. */
static bool asked_of(const struct seen_name *n, enum seen_signal which, enum seen_asked *kind,
                     mp_str *name)
{
    *name = n->key;
    switch (n->from) {
    case SEEN_HEADER: *kind = SEEN_ASKED_HEADER; return own_header(n->key) == NULL;
    case SEEN_RESPONSE_HEADER: *kind = SEEN_ASKED_RESPONSE_HEADER; return true;
    case SEEN_TAG: /* of a refusal everything is known: it was ours */
        *kind = SEEN_ASKED_TAG;
        return which != SEEN_REFUSALS && !is_of_entity(which, n->key);
    case SEEN_COOKIE:
        *kind = SEEN_ASKED_HEADER;
        *name = MP_STR("cookie");
        return true;
    case SEEN_ARG: return false;
    case SEEN_TEXT:
    case SEEN_INT: break;
    }
    for (size_t i = 0; i < sizeof grpc_words / sizeof *grpc_words; i++) {
        if (n->at != grpc_words[i].at) continue;
        *kind = grpc_words[i].kind;
        *name = grpc_words[i].name;
        return true;
    }
    return false;
}

uint32_t seen_names_asked(const struct seen_names *names, enum seen_signal which,
                          enum seen_asked kind, char *out, size_t size)
{
    mp_str before = MP_STR(""); /* `grpc_service` and `grpc_method`, or cookies, are one */
    uint32_t count = 0;
    size_t at = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < names->count; i++) {
        enum seen_asked is;
        mp_str name;
        if (!asked_of(&names->rows[i], which, &is, &name) || is != kind) continue;
        if (mp_str_eq(name, before)) continue;
        before = name;
        int len = snprintf(out + at, size - at, "%s%.*s", count > 0 ? ", " : "", MP_STR_ARG(name));
        at = at + (size_t)len < size ? at + (size_t)len : size - 1;
        count++;
    }
    return count;
}

/* ---- an entry ---- */

static mp_str given(mp_str s) { return s.len > 0 ? s : (mp_str){NULL, 0}; }

static int64_t amount(uint64_t v) { return v <= INT64_MAX ? (int64_t)v : INT64_MAX; }

/* One entry of a proxy that tells each tenth request stands for ten. */
static int64_t weight_of(double sample_rate)
{
    bool sampled = sample_rate > 0 && sample_rate < 1;
    double weight = sampled ? 1 / sample_rate + 0.5 : 1;
    return weight < (double)MP_LINE_WEIGHT_MAX ? (int64_t)weight : MP_LINE_WEIGHT_MAX;
}

/* When it was over; SEEN_ABSENT: the entry does not say. */
static int64_t end_of(const struct mp_als_common *c)
{
    int64_t took = c->duration_ns != MP_ALS_ABSENT_NS ? c->duration_ns : c->last_downstream_tx_ns;
    if (took == MP_ALS_ABSENT_NS || took < 0) took = 0;
    if (c->start_ns == MP_ALS_ABSENT_NS || c->start_ns < 0) return SEEN_ABSENT;
    return c->start_ns > MP_LINE_TIME_MAX_NS - took ? MP_LINE_TIME_MAX_NS : c->start_ns + took;
}

static void take_common(struct seen *s, const struct mp_als_common *c)
{
    const struct mp_als_address *client = &c->downstream_remote;
    if (client->ip.len == 0) client = &c->downstream_direct;
    int64_t took = c->duration_ns != MP_ALS_ABSENT_NS ? c->duration_ns : c->last_downstream_tx_ns;
    s->common = c;
    s->time_ns = end_of(c);
    s->weight = weight_of(c->sample_rate);
    s->client = given(client->ip);
    s->peer = given(c->tls.peer_uri);
    s->principal = s->peer.ptr != NULL ? s->peer : given(c->tls.peer_subject);
    s->mtls = c->tls.present && c->tls.peer_shown;
    s->ja3 = given(c->tls.ja3);
    s->sni = given(c->tls.sni);
    s->route = given(c->route);
    s->latency_ns = took != MP_ALS_ABSENT_NS && took >= 0 ? took : SEEN_ABSENT;
}

static bool any(uint32_t flags, const enum mp_als_flag *of, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (mp_als_has(flags, of[i])) return true;
    }
    return false;
}

static bool was_reset(uint32_t flags)
{
    static const enum mp_als_flag of[] = {
        MP_ALS_LOCAL_RESET,           MP_ALS_UPSTREAM_REMOTE_RESET,
        MP_ALS_DOWNSTREAM_REMOTE_RESET, MP_ALS_UPSTREAM_CONNECTION_TERMINATION,
        MP_ALS_DOWNSTREAM_CONNECTION_TERMINATION};
    return any(flags, of, sizeof of / sizeof *of);
}

static bool was_late(uint32_t flags)
{
    static const enum mp_als_flag of[] = {MP_ALS_UPSTREAM_REQUEST_TIMEOUT,
                                          MP_ALS_STREAM_IDLE_TIMEOUT, MP_ALS_DURATION_TIMEOUT,
                                          MP_ALS_UPSTREAM_MAX_STREAM_DURATION};
    return any(flags, of, sizeof of / sizeof *of);
}

/* The path as the client wrote it, without what was rewritten on the way. */
static void take_path(struct seen *s, const struct mp_als_http *e)
{
    mp_str whole = e->original_path.len > 0 ? e->original_path : e->path;
    if (whole.len == 0) return;
    const char *mark = memchr(whole.ptr, '?', whole.len);
    size_t len = mark != NULL ? (size_t)(mark - whole.ptr) : whole.len;
    s->path = s->raw_path = mp_str_sub(whole, 0, len);
    s->query = mark != NULL ? mp_str_sub(whole, len + 1, whole.len) : MP_STR("");
}

/* At most two digits. */
static int64_t small_number(mp_str s)
{
    int64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return SEEN_ABSENT;
        v = v * 10 + (s.ptr[i] - '0');
        if (v > 99) return SEEN_ABSENT;
    }
    return s.len > 0 ? v : SEEN_ABSENT;
}

/* `/package.Service/Method`, where the request is gRPC:
 * its content type, or its answer, says so. */
static void take_grpc(struct seen *s, const struct mp_als_http *e)
{
    mp_str text;
    bool grpc = pb_many_get(e->request_headers, MP_STR("content-type"), &text) &&
                mp_str_starts(text, MP_STR("application/grpc"));
    if (pb_many_get(e->response_trailers, MP_STR("grpc-status"), &text) ||
        pb_many_get(e->response_headers, MP_STR("grpc-status"), &text)) {
        grpc = true;
        s->grpc_status = small_number(text);
    }
    if (!grpc || s->path.len < 2 || s->path.ptr[0] != '/') return;
    const char *slash = memchr(s->path.ptr + 1, '/', s->path.len - 1);
    if (slash == NULL) return;
    size_t at = (size_t)(slash - s->path.ptr);
    s->grpc_service = mp_str_sub(s->path, 1, at - 1);
    s->grpc_method = mp_str_sub(s->path, at + 1, s->path.len);
}

void seen_of_http(struct seen *s, const struct mp_als_http *e)
{
    const struct mp_als_common *c = &e->common;
    *s = (struct seen){.http = e, .grpc_status = SEEN_ABSENT, .status = SEEN_ABSENT};
    take_common(s, c);
    take_path(s, e);
    s->method = given(e->method);
    s->scheme = e->scheme.len > 0 ? e->scheme : c->tls.present ? MP_STR("https") : MP_STR("http");
    s->host = given(e->authority);
    s->port = e->port != 0                    ? e->port
              : c->downstream_local.port != 0 ? c->downstream_local.port
                                              : SEEN_ABSENT;
    s->http_version = given(e->version);
    s->user_agent = given(e->user_agent);
    s->bytes_in = amount(e->request_body_bytes);
    s->bytes_out = amount(e->response_body_bytes);
    s->reset = was_reset(c->flags);
    s->timeout = was_late(c->flags);
    if (e->status != 0) s->status = e->status;
    s->success = e->status != 0 && e->status < 500 && !s->reset && !s->timeout;
    take_grpc(s, e);
}

static int64_t sum(uint64_t a, uint64_t b)
{
    int64_t x = amount(a), y = amount(b);
    return x > INT64_MAX - y ? INT64_MAX : x + y;
}

/* Both ways. The log of a listener, other than that of a filter,
 * tells only what was on the wire. */
static int64_t bytes_of(const struct mp_als_tcp *e)
{
    int64_t bytes = sum(e->received_bytes, e->sent_bytes);
    return bytes > 0 ? bytes : sum(e->common.downstream_received, e->common.downstream_sent);
}

void seen_of_tcp(struct seen *s, const struct mp_als_tcp *e)
{
    const struct mp_als_common *c = &e->common;
    *s = (struct seen){.direction = MP_STR("inbound")};
    take_common(s, c);
    s->protocol = c->downstream_local.udp ? MP_STR("udp") : MP_STR("tcp");
    s->dst = given(c->downstream_local.ip);
    s->dst_port = c->downstream_local.ip.len > 0 ? c->downstream_local.port : SEEN_ABSENT;
    s->bytes = bytes_of(e);
    /* Any filter's refusal, ours or not: the connection was not served. */
    s->refused = mp_str_contains(c->termination_details, MP_STR("access_denied")) ||
                 mp_als_has(c->flags, MP_ALS_UNAUTHORIZED);
}

/* ---- values ---- */

/* Those that the log has a field of its own for are not among its headers. */
static bool header_of(const struct seen *s, mp_str key, mp_str *out)
{
    if (s->http == NULL) return false;
    const struct own *own = own_header(key);
    if (own != NULL) {
        memcpy(out, (const char *)s->http + own->at, sizeof *out);
        if (out->len > 0) return true;
    }
    return pb_many_get(s->http->request_headers, key, out);
}

/* All values of a name, decoded where it is an argument. False: there is none, no room, or it is no
 * text. */
static bool pairs_of(enum mp_pairs kind, mp_str from, mp_str name, struct seen_room *room,
                     mp_str *out)
{
    struct mp_joined j = {.at = room->bytes + room->used,
                          .size = sizeof room->bytes - room->used};
    mp_pairs_join(kind, from, name, &j);
    if (j.len == 0 || j.full) return false;
    *out = (mp_str){j.at, j.len};
    for (size_t at = 0, n; at < j.len; at += n) {
        n = mp_str_utf8(*out, at);
        if (n == 0) return false;
    }
    room->used += j.len;
    return true;
}

static bool text_of(const struct seen *s, const struct seen_name *n, struct seen_room *room,
                    mp_str *out)
{
    mp_str text;
    switch (n->from) {
    case SEEN_TEXT: memcpy(out, (const char *)s + n->at, sizeof *out); return out->ptr != NULL;
    case SEEN_HEADER: return header_of(s, n->key, out);
    case SEEN_RESPONSE_HEADER:
        return s->http != NULL && pb_many_get(s->http->response_headers, n->key, out);
    case SEEN_COOKIE:
        return header_of(s, MP_STR("cookie"), &text) &&
               pairs_of(MP_PAIRS_COOKIES, text, n->key, room, out);
    case SEEN_ARG: return pairs_of(MP_PAIRS_QUERY, s->query, n->key, room, out);
    case SEEN_TAG: return pb_many_get(s->common->tags, n->key, out);
    case SEEN_INT: break;
    }
    return false;
}

static bool value_of(const struct seen *s, const struct seen_name *n, struct seen_room *room,
                     struct mp_field_in *f)
{
    f->name = n->name;
    if (n->from == SEEN_INT) {
        f->kind = MP_FIELD_INT;
        memcpy(&f->integer, (const char *)s + n->at, sizeof f->integer);
        return f->integer != SEEN_ABSENT;
    }
    f->kind = MP_FIELD_TEXT;
    return text_of(s, n, room, &f->text);
}

uint32_t seen_fields(const struct seen *s, const struct seen_names *names, struct seen_room *room,
                     struct mp_field_in *fields)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < names->count; i++) {
        if (value_of(s, &names->rows[i], room, &fields[count])) count++;
    }
    return count;
}
