/* SPDX-License-Identifier: Apache-2.0
 * Numbers of fields are those of the .proto files named in als.h. One function a message, one
 * switch a function; what is in a message that is read twice is the later one's.
 */
#include "envoy_wire/als.h"

/* A message within, whose fault is that of the one around it. */
static void leave(struct pb_in *outer, const struct pb_in *in)
{
    if (in->why != NULL) pb_fail(outer, in->why);
}

/* ---- addresses, certificates ---- */

static void read_socket(struct pb_in *outer, mp_str message, struct mp_als_address *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->udp = pb_uint_of(&in, &f) == 1; break;
        case 2: out->ip = pb_text_of(&in, &f); break;
        case 3: out->port = (uint32_t)pb_uint_of(&in, &f); break;
        }
    }
    leave(outer, &in);
}

static void read_address(struct pb_in *outer, const struct pb_field *field,
                         struct mp_als_address *out)
{
    struct pb_in in = pb_read(pb_bytes_of(outer, field));
    struct pb_field f;
    while (pb_next(&in, &f)) {
        if (f.number == 1) read_socket(&in, pb_bytes_of(&in, &f), out);
    }
    leave(outer, &in);
}

static void read_name(struct pb_in *outer, mp_str message, struct mp_als_tls *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        if (f.number == 1) {
            mp_str uri = pb_text_of(&in, &f);
            if (out->peer_uris++ == 0) out->peer_uri = uri;
        } else if (f.number == 2) {
            mp_str dns = pb_text_of(&in, &f);
            if (out->peer_dns.len == 0) out->peer_dns = dns;
        }
    }
    leave(outer, &in);
}

static void read_peer(struct pb_in *outer, mp_str message, struct mp_als_tls *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: read_name(&in, pb_bytes_of(&in, &f), out); break;
        case 2: out->peer_subject = pb_text_of(&in, &f); break;
        }
    }
    leave(outer, &in);
    /* A proxy that had none to show writes the message all the same, empty. */
    out->peer_shown = message.len > 0;
}

static void read_tls(struct pb_in *outer, mp_str message, struct mp_als_tls *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    out->present = true;
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->version = (uint32_t)pb_uint_of(&in, &f); break;
        case 3: out->sni = pb_text_of(&in, &f); break;
        case 5: read_peer(&in, pb_bytes_of(&in, &f), out); break;
        case 7: out->ja3 = pb_text_of(&in, &f); break;
        }
    }
    leave(outer, &in);
}

/* ---- what requests and connections have in common ---- */

static int64_t read_time(struct pb_in *in, const struct pb_field *f)
{
    int64_t ns = MP_ALS_ABSENT_NS;
    if (!pb_time_of(pb_bytes_of(in, f), &ns)) pb_fail(in, "a time is out of range");
    return ns;
}

/* Every field but 13, which is a message, is a truth: one bit each. */
static uint32_t read_flags(struct pb_in *outer, mp_str message)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    uint32_t flags = 0;
    while (pb_next(&in, &f)) {
        if (f.number > 31) continue;
        bool set = f.number == MP_ALS_UNAUTHORIZED ? pb_bytes_of(&in, &f).ptr != NULL
                                                   : pb_bool_of(&in, &f);
        if (set) flags |= UINT32_C(1) << f.number;
    }
    leave(outer, &in);
    return flags;
}

/* False: no field of those below. */
static bool read_times(struct pb_in *in, const struct pb_field *f, struct mp_als_common *out)
{
    switch (f->number) {
    case 5: out->start_ns = read_time(in, f); return true;
    case 6: out->last_rx_ns = read_time(in, f); return true;
    case 10: out->last_upstream_rx_ns = read_time(in, f); return true;
    case 12: out->last_downstream_tx_ns = read_time(in, f); return true;
    case 23: out->duration_ns = read_time(in, f); return true;
    default: return false;
    }
}

static bool read_places(struct pb_in *in, const struct pb_field *f, struct mp_als_common *out)
{
    switch (f->number) {
    case 2: read_address(in, f, &out->downstream_remote); return true;
    case 3: read_address(in, f, &out->downstream_local); return true;
    case 13: read_address(in, f, &out->upstream_remote); return true;
    case 15: out->upstream_cluster = pb_text_of(in, f); return true;
    case 19: out->route = pb_text_of(in, f); return true;
    case 20: read_address(in, f, &out->downstream_direct); return true;
    default: return false;
    }
}

static bool read_bytes(struct pb_in *in, const struct pb_field *f, struct mp_als_common *out)
{
    switch (f->number) {
    case 29: out->downstream_sent = pb_uint_of(in, f); return true;
    case 30: out->downstream_received = pb_uint_of(in, f); return true;
    case 31: out->upstream_sent = pb_uint_of(in, f); return true;
    case 32: out->upstream_received = pb_uint_of(in, f); return true;
    default: return false;
    }
}

static void read_rest(struct pb_in *in, const struct pb_field *f, struct mp_als_common *out)
{
    switch (f->number) {
    case 1: out->sample_rate = pb_double_of(in, f); break;
    case 4: read_tls(in, pb_bytes_of(in, f), &out->tls); break;
    case 16: out->flags = read_flags(in, pb_bytes_of(in, f)); break;
    case 18: out->upstream_failure = pb_text_of(in, f); break;
    case 22: pb_many_add_entry(&out->tags, in, f); break;
    case 24: out->attempts = (uint32_t)pb_uint_of(in, f); break;
    case 25: out->termination_details = pb_text_of(in, f); break;
    case 26: out->stream_id = pb_text_of(in, f); break;
    case 27: out->intermediate = pb_bool_of(in, f); break;
    case 28: out->downstream_failure = pb_text_of(in, f); break;
    case 33: out->type = (enum mp_als_type)pb_uint_of(in, f); break;
    }
}

static void read_common(struct pb_in *outer, mp_str message, struct mp_als_common *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    out->tags = (struct pb_many){.count = 0};
    while (pb_next(&in, &f)) {
        if (read_places(&in, &f, out) || read_times(&in, &f, out) || read_bytes(&in, &f, out))
            continue;
        read_rest(&in, &f, out);
    }
    leave(outer, &in);
}

static void begin_common(struct mp_als_common *c)
{
    c->start_ns = c->duration_ns = c->last_downstream_tx_ns = MP_ALS_ABSENT_NS;
    c->last_upstream_rx_ns = c->last_rx_ns = MP_ALS_ABSENT_NS;
}

/* ---- requests ---- */

/* Those of the enumeration; a newer proxy's others are not told apart. */
static mp_str name_of(uint64_t number, const mp_str *names, size_t count)
{
    return number < count ? names[number] : MP_STR("");
}

static mp_str method_of(uint64_t number)
{
    static const mp_str names[] = {
        MP_STR_INIT(""),      MP_STR_INIT("GET"),    MP_STR_INIT("HEAD"),    MP_STR_INIT("POST"),
        MP_STR_INIT("PUT"),   MP_STR_INIT("DELETE"), MP_STR_INIT("CONNECT"), MP_STR_INIT("OPTIONS"),
        MP_STR_INIT("TRACE"), MP_STR_INIT("PATCH")};
    return name_of(number, names, sizeof names / sizeof names[0]);
}

static mp_str version_of(uint64_t number)
{
    static const mp_str names[] = {MP_STR_INIT(""), MP_STR_INIT("1.0"), MP_STR_INIT("1.1"),
                                   MP_STR_INIT("2"), MP_STR_INIT("3")};
    return name_of(number, names, sizeof names / sizeof names[0]);
}

static uint32_t read_wrapped(struct pb_in *in, const struct pb_field *f)
{
    uint64_t v = 0;
    if (!pb_wrapped_uint_of(pb_bytes_of(in, f), &v)) pb_fail(in, "a number is malformed");
    return (uint32_t)v;
}

static void read_request(struct pb_in *outer, mp_str message, struct mp_als_http *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    out->request_headers = (struct pb_many){.count = 0};
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->method = method_of(pb_uint_of(&in, &f)); break;
        case 2: out->scheme = pb_text_of(&in, &f); break;
        case 3: out->authority = pb_text_of(&in, &f); break;
        case 4: out->port = read_wrapped(&in, &f); break;
        case 5: out->path = pb_text_of(&in, &f); break;
        case 6: out->user_agent = pb_text_of(&in, &f); break;
        case 7: out->referer = pb_text_of(&in, &f); break;
        case 8: out->forwarded_for = pb_text_of(&in, &f); break;
        case 9: out->request_id = pb_text_of(&in, &f); break;
        case 10: out->original_path = pb_text_of(&in, &f); break;
        case 11: out->request_header_bytes = pb_uint_of(&in, &f); break;
        case 12: out->request_body_bytes = pb_uint_of(&in, &f); break;
        case 13: pb_many_add_entry(&out->request_headers, &in, &f); break;
        }
    }
    leave(outer, &in);
}

static void read_response(struct pb_in *outer, mp_str message, struct mp_als_http *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    out->response_headers = out->response_trailers = (struct pb_many){.count = 0};
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->status = read_wrapped(&in, &f); break;
        case 2: out->response_header_bytes = pb_uint_of(&in, &f); break;
        case 3: out->response_body_bytes = pb_uint_of(&in, &f); break;
        case 4: pb_many_add_entry(&out->response_headers, &in, &f); break;
        case 5: pb_many_add_entry(&out->response_trailers, &in, &f); break;
        case 6: out->details = pb_text_of(&in, &f); break;
        }
    }
    leave(outer, &in);
}

static void read_http(struct pb_in *outer, mp_str message, struct mp_als_http *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    *out = (struct mp_als_http){.status = 0};
    begin_common(&out->common);
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: read_common(&in, pb_bytes_of(&in, &f), &out->common); break;
        case 2: out->version = version_of(pb_uint_of(&in, &f)); break;
        case 3: read_request(&in, pb_bytes_of(&in, &f), out); break;
        case 4: read_response(&in, pb_bytes_of(&in, &f), out); break;
        }
    }
    leave(outer, &in);
}

/* ---- connections ---- */

static void read_connection(struct pb_in *outer, mp_str message, struct mp_als_tcp *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->received_bytes = pb_uint_of(&in, &f); break;
        case 2: out->sent_bytes = pb_uint_of(&in, &f); break;
        }
    }
    leave(outer, &in);
}

static void read_tcp(struct pb_in *outer, mp_str message, struct mp_als_tcp *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    *out = (struct mp_als_tcp){.sent_bytes = 0};
    begin_common(&out->common);
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: read_common(&in, pb_bytes_of(&in, &f), &out->common); break;
        case 2: read_connection(&in, pb_bytes_of(&in, &f), out); break;
        }
    }
    leave(outer, &in);
}

/* ---- the message ---- */

enum entry_kind { ENTRY_HTTP = 2, ENTRY_TCP = 3 };

/* One entry → sink; false: the sink has had enough. */
static bool give_entry(struct pb_in *in, enum entry_kind kind, mp_str entry,
                       const struct mp_als_sink *sink)
{
    if (kind == ENTRY_HTTP) {
        struct mp_als_http http;
        read_http(in, entry, &http);
        return in->why != NULL || sink->http == NULL || sink->http(sink->ctx, &http);
    }
    struct mp_als_tcp tcp;
    read_tcp(in, entry, &tcp);
    return in->why != NULL || sink->tcp == NULL || sink->tcp(sink->ctx, &tcp);
}

static bool read_entries(struct pb_in *outer, const struct pb_field *field,
                         const struct mp_als_sink *sink)
{
    struct pb_in in = pb_read(pb_bytes_of(outer, field));
    struct pb_field f;
    bool more = true;
    while (more && pb_next(&in, &f)) {
        if (f.number != 1) continue;
        mp_str entry = pb_bytes_of(&in, &f);
        if (in.why == NULL) more = give_entry(&in, (enum entry_kind)field->number, entry, sink);
    }
    leave(outer, &in);
    return more;
}

/* Identifier{node = 1, log_name = 2}. */
static bool read_identifier(struct pb_in *outer, mp_str message, const struct mp_als_sink *sink)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    struct mp_discovery_node node = {.id = MP_STR("")};
    mp_str log_name = MP_STR("");
    const char *why = NULL;
    while (pb_next(&in, &f)) {
        if (f.number == 2) log_name = pb_text_of(&in, &f);
        if (f.number == 1 && mp_discovery_read_node(pb_bytes_of(&in, &f), &node, &why) != MP_OK) {
            pb_fail(&in, why);
        }
    }
    leave(outer, &in);
    if (in.why != NULL || sink->identifier == NULL) return true;
    return sink->identifier(sink->ctx, &node, log_name);
}

enum mp_err mp_als_read(mp_str message, const struct mp_als_sink *sink, const char **why)
{
    struct pb_in in = pb_read(message), again = in;
    struct pb_field f;
    bool more = true;
    while (more && pb_next(&in, &f)) {
        if (f.number == 1) more = read_identifier(&in, pb_bytes_of(&in, &f), sink);
    }
    while (more && in.why == NULL && pb_next(&again, &f)) {
        if (f.number == ENTRY_HTTP || f.number == ENTRY_TCP) more = read_entries(&again, &f, sink);
    }
    *why = in.why != NULL ? in.why : again.why;
    return *why == NULL ? MP_OK : MP_EINVAL;
}
