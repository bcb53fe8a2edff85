/* SPDX-License-Identifier: Apache-2.0
 * Access logs from whoever may open a connection: every text that is handed over lies within the
 * message and is UTF-8, and its lists can be walked.
 */
#include <stdlib.h>

#include "envoy_wire/als.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(mp_str whole, mp_str s)
{
    if (s.len == 0) return;
    if (s.ptr < whole.ptr || s.ptr + s.len > whole.ptr + whole.len) abort();
    for (size_t at = 0, n; at < s.len; at += n) {
        n = mp_str_utf8(s, at);
        if (n == 0) abort();
    }
}

static void check_list(mp_str whole, struct pb_many list)
{
    mp_str key, value;
    uint32_t count = list.count, walked = 0;
    for (; pb_many_next_entry(&list, &key, &value); walked++) {
        check_text(whole, key);
        check_text(whole, value);
    }
    /* A message within that comes twice begins its lists anew. */
    if (walked != count) abort();
}

static void check_common(mp_str whole, const struct mp_als_common *c)
{
    check_text(whole, c->downstream_remote.ip);
    check_text(whole, c->downstream_direct.ip);
    check_text(whole, c->downstream_local.ip);
    check_text(whole, c->upstream_remote.ip);
    check_text(whole, c->tls.peer_uri);
    check_text(whole, c->tls.peer_dns);
    check_text(whole, c->tls.peer_subject);
    check_text(whole, c->tls.sni);
    check_text(whole, c->upstream_cluster);
    check_text(whole, c->termination_details);
    check_list(whole, c->tags);
    if (c->tls.peer_uris == 0 && c->tls.peer_uri.len != 0) abort();
}

static bool on_http(void *ctx, const struct mp_als_http *e)
{
    const mp_str *whole = ctx;
    check_common(*whole, &e->common);
    check_text(*whole, e->path);
    check_text(*whole, e->authority);
    check_text(*whole, e->details);
    check_list(*whole, e->request_headers);
    check_list(*whole, e->response_headers);
    check_list(*whole, e->response_trailers);
    return true;
}

static bool on_tcp(void *ctx, const struct mp_als_tcp *e)
{
    check_common(*(const mp_str *)ctx, &e->common);
    return true;
}

static bool on_identifier(void *ctx, const struct mp_discovery_node *node, mp_str log_name)
{
    check_text(*(const mp_str *)ctx, node->id);
    check_text(*(const mp_str *)ctx, log_name);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mp_str whole = {(const char *)data, size};
    struct mp_als_sink sink = {&whole, on_identifier, on_http, on_tcp};
    const char *why;
    enum mp_err err = mp_als_read(whole, &sink, &why);
    if ((err == MP_OK) != (why == NULL)) abort();
    return 0;
}
