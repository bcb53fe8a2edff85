/* SPDX-License-Identifier: Apache-2.0
 * Our reader and writer against a generated one, on random messages; then the same bytes cut and
 * bent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "envoy.pb-c.h"
#include "envoy_wire/als.h"
#include "random.h"

#define SEED UINT64_C(20261125)
#define ROUNDS 2000

static struct chance chance;
static struct mp_arena arena;

static void begin(uint64_t round)
{
    mp_arena_free(&arena);
    mp_arena_init(&arena, NULL, 0);
    chance = (struct chance){(SEED + round) * UINT64_C(0x9E3779B97F4A7C15) | 1, &arena};
}

/* ---- sameness ---- */

static void same_text(mp_str ours, const char *theirs)
{
    assert_int_equal(ours.len, theirs != NULL ? strlen(theirs) : 0);
    if (ours.len > 0) assert_memory_equal(ours.ptr, theirs, ours.len);
}

static void same_time(int64_t ours, const Oracle__Time *theirs)
{
    if (theirs == NULL) {
        assert_true(ours == MP_ALS_ABSENT_NS);
    } else {
        assert_true(ours == theirs->seconds * 1000000000 + theirs->nanos);
    }
}

static void same_names(struct pb_many ours, char **theirs, size_t count)
{
    mp_str name;
    assert_int_equal(ours.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(pb_many_next(&ours, &name));
        same_text(name, theirs[i]);
    }
    assert_false(pb_many_next(&ours, &name));
}

static void same_entries(struct pb_many ours, Oracle__TextEntry **theirs, size_t count)
{
    mp_str key, value;
    assert_int_equal(ours.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(pb_many_next_entry(&ours, &key, &value));
        same_text(key, theirs[i]->key);
        same_text(value, theirs[i]->value);
    }
}

/* A message of theirs under its bytes: what we keep as bytes means the same when they read it. */
static void same_message(mp_str ours, const ProtobufCMessage *theirs)
{
    if (theirs == NULL) {
        assert_int_equal(ours.len, 0);
        return;
    }
    mp_str packed = chance_pack(&chance, theirs);
    assert_true(mp_str_eq(ours, packed));
}

static void same_node(const struct mp_discovery_node *ours, const Oracle__Node *theirs)
{
    const Oracle__Locality *l = theirs->locality;
    const Oracle__BuildVersion *b = theirs->user_agent_build_version;
    const Oracle__SemanticVersion *v = b != NULL ? b->version : NULL;
    same_text(ours->id, theirs->id);
    same_text(ours->cluster, theirs->cluster);
    same_message(ours->metadata, (const ProtobufCMessage *)theirs->metadata);
    same_text(ours->region, l != NULL ? l->region : NULL);
    same_text(ours->zone, l != NULL ? l->zone : NULL);
    same_text(ours->sub_zone, l != NULL ? l->sub_zone : NULL);
    same_text(ours->user_agent, theirs->user_agent_name);
    assert_int_equal(ours->major, v != NULL ? v->major_number : 0);
    assert_int_equal(ours->minor, v != NULL ? v->minor_number : 0);
    assert_int_equal(ours->patch, v != NULL ? v->patch : 0);
}

/* ---- discovery ---- */

static void a_request_is_read_as_it_was_written(void **state)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        begin(round);
        Oracle__DeltaDiscoveryRequest *m = (Oracle__DeltaDiscoveryRequest *)chance_message(
            &chance, &oracle__delta_discovery_request__descriptor, 6);
        mp_str bytes = chance_pack(&chance, &m->base);
        struct mp_discovery_request r;
        const char *why;
        assert_int_equal(mp_discovery_read_request(MP_DISCOVERY_DELTA, bytes, &r, &why), MP_OK);
        assert_int_equal(r.has_node, m->node != NULL);
        if (m->node != NULL) same_node(&r.node, m->node);
        same_text(r.type_url, m->type_url);
        same_text(r.nonce, m->response_nonce);
        same_names(r.subscribe, m->resource_names_subscribe, m->n_resource_names_subscribe);
        same_names(r.unsubscribe, m->resource_names_unsubscribe, m->n_resource_names_unsubscribe);
        same_entries(r.versions, m->initial_resource_versions, m->n_initial_resource_versions);
        assert_int_equal(r.has_error, m->error_detail != NULL);
        if (!r.has_error) continue;
        assert_int_equal(r.error_code, m->error_detail->code);
        same_text(r.error_text, m->error_detail->message);
    }
}

static void texts(mp_str *to, size_t count)
{
    for (size_t i = 0; i < count; i++) to[i] = chance_text(&chance);
}

static void a_request_of_ours_is_read_by_them(void **state)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        begin(round);
        mp_str t[9];
        texts(t, 9);
        struct mp_discovery_node node = {.id = t[0],
                                         .cluster = t[1],
                                         .user_agent = t[2],
                                         .major = 1,
                                         .minor = 39,
                                         .patch = 300,
                                         .zone = t[3]};
        struct mp_discovery_pair versions[2] = {{t[4], t[5]}, {t[6], t[7]}};
        struct mp_discovery_ask ask = {.node = &node,
                                       .type_url = t[8],
                                       .nonce = t[0],
                                       .subscribe = t,
                                       .subscribe_count = chance_below(&chance, 9),
                                       .unsubscribe = t + 1,
                                       .unsubscribe_count = chance_below(&chance, 3),
                                       .versions = versions,
                                       .version_count = 2,
                                       .has_error = true,
                                       .error_code = 13,
                                       .error_text = t[2]};
        struct pb_out out = pb_out_arena(&arena);
        mp_discovery_write_request(&out, &ask);
        assert_false(out.failed);
        Oracle__DeltaDiscoveryRequest *m =
            oracle__delta_discovery_request__unpack(NULL, out.len, (const uint8_t *)out.ptr);
        assert_non_null(m);
        same_node(&node, m->node);
        same_text(ask.type_url, m->type_url);
        same_text(ask.nonce, m->response_nonce);
        assert_int_equal(m->n_resource_names_subscribe, ask.subscribe_count);
        for (size_t i = 0; i < ask.subscribe_count; i++)
            same_text(t[i], m->resource_names_subscribe[i]);
        assert_int_equal(m->n_resource_names_unsubscribe, ask.unsubscribe_count);
        assert_int_equal(m->n_initial_resource_versions, 2);
        same_text(t[6], m->initial_resource_versions[1]->key);
        same_text(t[7], m->initial_resource_versions[1]->value);
        assert_int_equal(m->error_detail->code, 13);
        same_text(t[2], m->error_detail->message);
        oracle__delta_discovery_request__free_unpacked(m, NULL);
    }
}

static void a_response_of_ours_is_read_by_them_and_by_us(void **state)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        begin(round);
        mp_str t[8];
        texts(t, 8);
        struct mp_discovery_resource resources[4];
        for (size_t i = 0; i < 4; i++)
            resources[i] = (struct mp_discovery_resource){t[i], t[i + 1], t[i + 2], t[i + 3]};
        struct mp_discovery_response response = {.system_version = t[0],
                                                 .type_url = t[1],
                                                 .nonce = t[2],
                                                 .control_plane = t[3],
                                                 .resources = resources,
                                                 .resource_count = chance_below(&chance, 5),
                                                 .removed = t,
                                                 .removed_count = chance_below(&chance, 9)};
        struct pb_out out = pb_out_arena(&arena);
        mp_discovery_write_response(&out, &response);
        Oracle__DeltaDiscoveryResponse *m =
            oracle__delta_discovery_response__unpack(NULL, out.len, (const uint8_t *)out.ptr);
        assert_non_null(m);
        same_text(t[0], m->system_version_info);
        same_text(t[1], m->type_url);
        same_text(t[2], m->nonce);
        same_text(t[3], m->control_plane != NULL ? m->control_plane->identifier : NULL);
        assert_int_equal(m->n_resources, response.resource_count);
        struct mp_discovery_answer answer;
        struct mp_discovery_resource r;
        const char *why;
        assert_int_equal(
            mp_discovery_read_response(MP_DISCOVERY_DELTA, pb_view(&out), &answer, &why), MP_OK);
        same_names(answer.removed, m->removed_resources, m->n_removed_resources);
        assert_int_equal(m->n_removed_resources, response.removed_count);
        for (size_t i = 0; i < response.resource_count; i++) {
            same_text(resources[i].name, m->resources[i]->name);
            same_text(resources[i].version, m->resources[i]->version);
            same_text(resources[i].type_url, m->resources[i]->resource->type_url);
            assert_int_equal(resources[i].value.len, m->resources[i]->resource->value.len);
            assert_true(mp_discovery_next_resource(&answer, &r));
            assert_true(mp_str_eq(r.name, resources[i].name) &&
                        mp_str_eq(r.version, resources[i].version));
            assert_true(mp_str_eq(r.type_url, resources[i].type_url) &&
                        mp_str_eq(r.value, resources[i].value));
        }
        assert_false(mp_discovery_next_resource(&answer, &r));
        oracle__delta_discovery_response__free_unpacked(m, NULL);
    }
}

/* ---- discovery, the state of the world ---- */

static void a_request_for_the_state_is_read_as_it_was_written(void **state)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        begin(round);
        Oracle__DiscoveryRequest *m = (Oracle__DiscoveryRequest *)chance_message(
            &chance, &oracle__discovery_request__descriptor, 6);
        mp_str bytes = chance_pack(&chance, &m->base);
        struct mp_discovery_request r;
        const char *why;
        assert_int_equal(mp_discovery_read_request(MP_DISCOVERY_SOTW, bytes, &r, &why), MP_OK);
        assert_int_equal(r.has_node, m->node != NULL);
        if (m->node != NULL) same_node(&r.node, m->node);
        same_text(r.version, m->version_info);
        same_text(r.type_url, m->type_url);
        same_text(r.nonce, m->response_nonce);
        same_names(r.subscribe, m->resource_names, m->n_resource_names);
        assert_int_equal(r.unsubscribe.count + r.versions.count, 0);
        assert_int_equal(r.has_error, m->error_detail != NULL);
        if (!r.has_error) continue;
        assert_int_equal(r.error_code, m->error_detail->code);
        same_text(r.error_text, m->error_detail->message);
    }
}

static void a_request_of_ours_for_the_state_is_read_by_them(void **state)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        begin(round);
        mp_str t[6];
        texts(t, 6);
        struct mp_discovery_node node = {.id = t[0], .cluster = t[1]};
        struct mp_discovery_ask ask = {.variant = MP_DISCOVERY_SOTW,
                                       .node = &node,
                                       .type_url = t[2],
                                       .nonce = t[3],
                                       .version = t[4],
                                       .subscribe = t,
                                       .subscribe_count = chance_below(&chance, 7),
                                       .has_error = chance_below(&chance, 2) == 0,
                                       .error_code = 13,
                                       .error_text = t[5]};
        struct pb_out out = pb_out_arena(&arena);
        mp_discovery_write_request(&out, &ask);
        assert_false(out.failed);
        Oracle__DiscoveryRequest *m =
            oracle__discovery_request__unpack(NULL, out.len, (const uint8_t *)out.ptr);
        assert_non_null(m);
        same_node(&node, m->node);
        same_text(t[2], m->type_url);
        same_text(t[3], m->response_nonce);
        same_text(t[4], m->version_info);
        assert_int_equal(m->n_resource_names, ask.subscribe_count);
        for (size_t i = 0; i < ask.subscribe_count; i++) same_text(t[i], m->resource_names[i]);
        assert_int_equal(m->error_detail != NULL, ask.has_error);
        if (ask.has_error) same_text(t[5], m->error_detail->message);
        oracle__discovery_request__free_unpacked(m, NULL);
    }
}

/* A message that is a name, and whatever the chance brings. */
static mp_str named(mp_str name)
{
    struct pb_out out = pb_out_arena(&arena);
    pb_text(&out, 1, name);
    if (chance_below(&chance, 2) == 0) pb_text(&out, 2, chance_text(&chance));
    assert_false(out.failed);
    return pb_view(&out);
}

static void a_response_of_the_state_is_read_by_them_and_by_us(void **state)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        begin(round);
        mp_str t[8];
        texts(t, 8);
        struct mp_discovery_resource resources[4], r;
        for (size_t i = 0; i < 4; i++)
            resources[i] = (struct mp_discovery_resource){t[i], t[i + 1], t[i + 2], named(t[i])};
        struct mp_discovery_response response = {.variant = MP_DISCOVERY_SOTW,
                                                 .system_version = t[4],
                                                 .type_url = t[5],
                                                 .nonce = t[6],
                                                 .control_plane = t[7],
                                                 .resources = resources,
                                                 .resource_count = chance_below(&chance, 5)};
        struct pb_out out = pb_out_arena(&arena);
        mp_discovery_write_response(&out, &response);
        Oracle__DiscoveryResponse *m =
            oracle__discovery_response__unpack(NULL, out.len, (const uint8_t *)out.ptr);
        struct mp_discovery_answer answer;
        const char *why;
        assert_non_null(m);
        same_text(t[4], m->version_info);
        same_text(t[5], m->type_url);
        same_text(t[6], m->nonce);
        same_text(t[7], m->control_plane != NULL ? m->control_plane->identifier : NULL);
        assert_int_equal(m->n_resources, response.resource_count);
        assert_int_equal(
            mp_discovery_read_response(MP_DISCOVERY_SOTW, pb_view(&out), &answer, &why), MP_OK);
        for (size_t i = 0; i < response.resource_count; i++) {
            const Oracle__Any *any = m->resources[i];
            Oracle__Named *inner = oracle__named__unpack(NULL, any->value.len, any->value.data);
            same_text(resources[i].type_url, any->type_url);
            assert_non_null(inner);
            same_text(t[i], inner->name);
            assert_true(mp_discovery_next_resource(&answer, &r));
            same_text(r.name, inner->name);
            assert_true(mp_str_eq(r.version, t[4]) && mp_str_eq(r.type_url, resources[i].type_url));
            assert_true(mp_str_eq(r.value, resources[i].value));
            oracle__named__free_unpacked(inner, NULL);
        }
        assert_false(mp_discovery_next_resource(&answer, &r));
        oracle__discovery_response__free_unpacked(m, NULL);
    }
}

/* ---- access logs ---- */

static void same_address(const struct mp_als_address *ours, const Oracle__Address *theirs)
{
    const Oracle__SocketAddress *s = NULL;
    if (theirs != NULL && theirs->address_case == ORACLE__ADDRESS__ADDRESS_SOCKET_ADDRESS)
        s = theirs->socket_address;
    same_text(ours->ip, s != NULL ? s->address : NULL);
    assert_int_equal(ours->port, s != NULL ? s->port_value : 0);
    assert_int_equal(ours->udp, s != NULL && s->protocol == 1);
}

static void same_tls(const struct mp_als_tls *ours, const Oracle__TLSProperties *theirs)
{
    const char *uri = NULL;
    uint32_t uris = 0;
    assert_int_equal(ours->present, theirs != NULL);
    if (theirs == NULL) return;
    const Oracle__Certificate *peer = theirs->peer_certificate_properties;
    for (size_t i = 0; peer != NULL && i < peer->n_subject_alt_name; i++) {
        const Oracle__SubjectAltName *n = peer->subject_alt_name[i];
        if (n->san_case != ORACLE__SUBJECT_ALT_NAME__SAN_URI) continue;
        if (uris++ == 0) uri = n->uri;
    }
    assert_int_equal(ours->version, theirs->tls_version);
    same_text(ours->sni, theirs->tls_sni_hostname);
    same_text(ours->ja3, theirs->ja3_fingerprint);
    same_text(ours->peer_uri, uri);
    assert_int_equal(ours->peer_uris, uris);
    same_text(ours->peer_subject, peer != NULL ? peer->subject : NULL);
    assert_int_equal(ours->peer_shown,
                     peer != NULL && protobuf_c_message_get_packed_size(&peer->base) > 0);
}

static void same_flags(uint32_t ours, const Oracle__ResponseFlags *f)
{
    uint32_t theirs = 0;
    if (f != NULL) {
        theirs = (uint32_t)(f->no_healthy_upstream != 0) << 2 |
                 (uint32_t)(f->upstream_request_timeout != 0) << 3 |
                 (uint32_t)(f->local_reset != 0) << 4 | (uint32_t)(f->fault_injected != 0) << 11 |
                 (uint32_t)(f->rate_limited != 0) << 12 |
                 (uint32_t)(f->unauthorized_details != NULL) << 13 |
                 (uint32_t)(f->downstream_connection_termination != 0) << 15 |
                 (uint32_t)(f->duration_timeout != 0) << 23 |
                 (uint32_t)(f->downstream_remote_reset != 0) << 28;
    }
    assert_int_equal(ours, theirs);
}

static void same_common(const struct mp_als_common *ours, const Oracle__AccessLogCommon *c)
{
    static const Oracle__AccessLogCommon none = ORACLE__ACCESS_LOG_COMMON__INIT;
    if (c == NULL) c = &none;
    assert_memory_equal(&ours->sample_rate, &c->sample_rate, sizeof c->sample_rate);
    same_address(&ours->downstream_remote, c->downstream_remote_address);
    same_address(&ours->downstream_local, c->downstream_local_address);
    same_address(&ours->downstream_direct, c->downstream_direct_remote_address);
    same_address(&ours->upstream_remote, c->upstream_remote_address);
    same_tls(&ours->tls, c->tls_properties);
    same_time(ours->start_ns, c->start_time);
    same_time(ours->duration_ns, c->duration);
    same_time(ours->last_downstream_tx_ns, c->time_to_last_downstream_tx_byte);
    same_time(ours->last_upstream_rx_ns, c->time_to_last_upstream_rx_byte);
    same_time(ours->last_rx_ns, c->time_to_last_rx_byte);
    same_text(ours->upstream_cluster, c->upstream_cluster);
    same_text(ours->route, c->route_name);
    same_text(ours->stream_id, c->stream_id);
    same_text(ours->termination_details, c->connection_termination_details);
    same_text(ours->upstream_failure, c->upstream_transport_failure_reason);
    same_text(ours->downstream_failure, c->downstream_transport_failure_reason);
    same_flags(ours->flags, c->response_flags);
    assert_true(ours->downstream_sent == c->downstream_wire_bytes_sent);
    assert_true(ours->downstream_received == c->downstream_wire_bytes_received);
    assert_true(ours->upstream_sent == c->upstream_wire_bytes_sent);
    assert_true(ours->upstream_received == c->upstream_wire_bytes_received);
    assert_int_equal(ours->attempts, c->upstream_request_attempt_count);
    assert_int_equal((uint32_t)ours->type, c->access_log_type);
    assert_int_equal(ours->intermediate, c->intermediate_log_entry);
    same_entries(ours->tags, c->custom_tags, c->n_custom_tags);
}

static void same_http(const struct mp_als_http *ours, const Oracle__HTTPAccessLogEntry *e)
{
    static const Oracle__HTTPRequestProperties no_request = ORACLE__HTTPREQUEST_PROPERTIES__INIT;
    static const Oracle__HTTPResponseProperties no_response = ORACLE__HTTPRESPONSE_PROPERTIES__INIT;
    static const char *const methods[] = {"",       "GET",     "HEAD",    "POST",  "PUT",
                                          "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    static const char *const versions[] = {"", "1.0", "1.1", "2", "3"};
    const Oracle__HTTPRequestProperties *q = e->request != NULL ? e->request : &no_request;
    const Oracle__HTTPResponseProperties *a = e->response != NULL ? e->response : &no_response;
    same_common(&ours->common, e->common_properties);
    same_text(ours->version, e->protocol_version < 5 ? versions[e->protocol_version] : "");
    same_text(ours->method, q->request_method < 10 ? methods[q->request_method] : "");
    same_text(ours->scheme, q->scheme);
    same_text(ours->authority, q->authority);
    same_text(ours->path, q->path);
    same_text(ours->original_path, q->original_path);
    same_text(ours->user_agent, q->user_agent);
    same_text(ours->referer, q->referer);
    same_text(ours->forwarded_for, q->forwarded_for);
    same_text(ours->request_id, q->request_id);
    assert_int_equal(ours->port, q->port != NULL ? q->port->value : 0);
    assert_true(ours->request_header_bytes == q->request_headers_bytes);
    assert_true(ours->request_body_bytes == q->request_body_bytes);
    same_entries(ours->request_headers, q->request_headers, q->n_request_headers);
    assert_int_equal(ours->status, a->response_code != NULL ? a->response_code->value : 0);
    same_text(ours->details, a->response_code_details);
    assert_true(ours->response_header_bytes == a->response_headers_bytes);
    assert_true(ours->response_body_bytes == a->response_body_bytes);
    same_entries(ours->response_headers, a->response_headers, a->n_response_headers);
    same_entries(ours->response_trailers, a->response_trailers, a->n_response_trailers);
}

struct expected {
    const Oracle__StreamAccessLogsMessage *m;
    size_t at; /* of the next entry */
    bool identified;
};

static bool on_identifier(void *ctx, const struct mp_discovery_node *node, mp_str log_name)
{
    static const Oracle__Node no_node = ORACLE__NODE__INIT;
    struct expected *x = ctx;
    assert_int_equal(x->at, 0);
    x->identified = true;
    same_node(node, x->m->identifier->node != NULL ? x->m->identifier->node : &no_node);
    same_text(log_name, x->m->identifier->log_name);
    return true;
}

static bool on_http(void *ctx, const struct mp_als_http *entry)
{
    struct expected *x = ctx;
    assert_int_equal(x->m->log_entries_case,
                     ORACLE__STREAM_ACCESS_LOGS_MESSAGE__LOG_ENTRIES_HTTP_LOGS);
    same_http(entry, x->m->http_logs->log_entry[x->at++]);
    return true;
}

static bool on_tcp(void *ctx, const struct mp_als_tcp *entry)
{
    struct expected *x = ctx;
    const Oracle__TCPAccessLogEntry *e = x->m->tcp_logs->log_entry[x->at++];
    const Oracle__ConnectionProperties *c = e->connection_properties;
    same_common(&entry->common, e->common_properties);
    assert_true(entry->received_bytes == (c != NULL ? c->received_bytes : 0));
    assert_true(entry->sent_bytes == (c != NULL ? c->sent_bytes : 0));
    return true;
}

static mp_str some_log(Oracle__StreamAccessLogsMessage **out)
{
    *out = (Oracle__StreamAccessLogsMessage *)chance_message(
        &chance, &oracle__stream_access_logs_message__descriptor, 8);
    return chance_pack(&chance, &(*out)->base);
}

static void an_access_log_is_read_as_it_was_written(void **state)
{
    size_t entries = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        begin(round);
        struct expected x = {0};
        Oracle__StreamAccessLogsMessage *m;
        mp_str bytes = some_log(&m);
        x.m = m;
        struct mp_als_sink sink = {&x, on_identifier, on_http, on_tcp};
        const char *why;
        assert_int_equal(mp_als_read(bytes, &sink, &why), MP_OK);
        assert_int_equal(x.identified, m->identifier != NULL);
        size_t count = 0;
        if (m->log_entries_case == ORACLE__STREAM_ACCESS_LOGS_MESSAGE__LOG_ENTRIES_HTTP_LOGS) {
            count = m->http_logs->n_log_entry;
        } else if (m->log_entries_case ==
                   ORACLE__STREAM_ACCESS_LOGS_MESSAGE__LOG_ENTRIES_TCP_LOGS) {
            count = m->tcp_logs->n_log_entry;
        }
        assert_int_equal(x.at, count);
        entries += count;
    }
    assert_true(entries > ROUNDS / 2);
}

/* ---- bytes that were cut or bent ---- */

static uint64_t read_all(mp_str bytes)
{
    struct mp_discovery_request request;
    struct mp_discovery_answer answer;
    struct mp_discovery_resource resource;
    struct mp_als_sink sink = {NULL, NULL, NULL, NULL};
    const char *why;
    uint64_t good = 0;
    mp_str name;
    for (int variant = MP_DISCOVERY_DELTA; variant <= MP_DISCOVERY_SOTW; variant++) {
        enum mp_discovery_variant v = (enum mp_discovery_variant)variant;
        if (mp_discovery_read_request(v, bytes, &request, &why) == MP_OK) {
            good |= 1;
            while (pb_many_next(&request.subscribe, &name)) good += name.len > bytes.len;
        }
        if (mp_discovery_read_response(v, bytes, &answer, &why) == MP_OK) {
            good |= 2;
            while (mp_discovery_next_resource(&answer, &resource))
                good += resource.name.len > bytes.len;
        }
    }
    if (mp_als_read(bytes, &sink, &why) == MP_OK) good |= 4;
    return good;
}

/* In a piece of memory of its own, so that a sanitizer sees a byte read behind the end. */
static uint64_t read_copy(mp_str bytes)
{
    char *copy = malloc(bytes.len != 0 ? bytes.len : 1);
    assert_non_null(copy);
    if (bytes.len != 0) memcpy(copy, bytes.ptr, bytes.len);
    uint64_t good = read_all((mp_str){copy, bytes.len});
    free(copy);
    return good;
}

/* An entry that is cut anywhere but between fields of the message is no message any more. */
static void a_message_that_is_cut_is_refused(void **state)
{
    for (uint64_t round = 0; round < 50; round++) {
        begin(round);
        Oracle__StreamAccessLogsMessage *m;
        mp_str bytes = some_log(&m);
        size_t identifier = 0;
        if (m->identifier != NULL) {
            Oracle__StreamAccessLogsMessage alone = ORACLE__STREAM_ACCESS_LOGS_MESSAGE__INIT;
            alone.identifier = m->identifier;
            identifier = protobuf_c_message_get_packed_size(&alone.base);
        }
        for (size_t len = 0; len < bytes.len; len++) {
            bool whole = len == 0 || len == identifier;
            assert_int_equal((read_copy((mp_str){bytes.ptr, len}) & 4) != 0, whole);
        }
    }
}

static void bent_messages_do_no_harm(void **state)
{
    uint64_t refused = 0, taken = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        begin(round);
        Oracle__StreamAccessLogsMessage *m;
        mp_str bytes = some_log(&m);
        char *bent = (char *)mp_arena_str(&arena, bytes).ptr;
        for (uint64_t i = 1 + chance_below(&chance, 4); i > 0 && bytes.len > 0; i--) {
            bent[chance_below(&chance, bytes.len)] = (char)mp_rng_next(&chance.state);
        }
        if ((read_copy((mp_str){bent, bytes.len}) & 4) != 0) {
            taken++;
        } else {
            refused++;
        }
        char noise[64];
        for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)mp_rng_next(&chance.state);
        (void)read_copy((mp_str){noise, chance_below(&chance, sizeof noise + 1)});
    }
    assert_true(refused > ROUNDS / 10 && taken > 0);
}

static void messages_within_messages_have_no_depth_of_their_own(void **state)
{
    begin(0);
    struct pb_out out = pb_out_arena(&arena);
    size_t marks[2000];
    for (size_t i = 0; i < 2000; i++) marks[i] = pb_begin(&out, 1 + (uint32_t)(i % 5));
    for (size_t i = 2000; i > 0; i--) pb_end(&out, marks[i - 1]);
    assert_false(out.failed);
    (void)read_copy(pb_view(&out));
}

int main(void)
{
    printf("seed %llu\n", (unsigned long long)SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_as_it_was_written),
        cmocka_unit_test(a_request_of_ours_is_read_by_them),
        cmocka_unit_test(a_response_of_ours_is_read_by_them_and_by_us),
        cmocka_unit_test(a_request_for_the_state_is_read_as_it_was_written),
        cmocka_unit_test(a_request_of_ours_for_the_state_is_read_by_them),
        cmocka_unit_test(a_response_of_the_state_is_read_by_them_and_by_us),
        cmocka_unit_test(an_access_log_is_read_as_it_was_written),
        cmocka_unit_test(a_message_that_is_cut_is_refused),
        cmocka_unit_test(bent_messages_do_no_harm),
        cmocka_unit_test(messages_within_messages_have_no_depth_of_their_own),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mp_arena_free(&arena);
    return failed;
}
