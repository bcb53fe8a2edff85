/* SPDX-License-Identifier: Apache-2.0
 * The HTTP filter: every request is asked about when its headers are there.
 */
#include <stdio.h>
#include <stdlib.h>

#include "envoy_mod/mod.h"
#include "envoy_mod/mod_read.h"
#include "envoy_mod/mod_table.h"

#define OUR_PATHS MP_STR("/.mpol/")

/* One configuration of the filter in the proxy. */
struct mod_filter {
    struct mod *m;
    size_t refused_id;
    bool counts;
};

/* What a hook gets of us for a stream. */
struct request {
    struct mod_stream stream; /* first: streams are found by it */
    struct mod_filter *filter;
};

/* ---- fields of the request at hand ---- */

struct asking {
    struct mod *m;
    void *envoy;
    struct mod_stream *stream;
    bool knows_peer;
    mp_str peer;
    struct mod_room *room; /* texts that are made, not found */
    struct mod_table table;
};

/* The table is not cleared: most of it is never used. */
static void asking_begin(struct asking *a, struct mod *m, struct mod_stream *s, uint32_t worker)
{
    a->m = m;
    a->envoy = s->envoy;
    a->stream = s;
    a->knows_peer = false;
    a->room = m->workers[worker].room;
    mod_room_clear(a->room);
    mod_table_read(&a->table, s->envoy);
}

static mp_str header(const struct asking *a, mp_str name)
{
    mp_str value = MP_STR("");
    mod_table_next(&a->table, name, 0, &value);
    return value;
}

static bool next_header(void *table, int map, mp_str name, size_t i, mp_str *out)
{
    (void)map;
    return mod_table_next(table, name, i, out);
}

static mp_str attribute(void *envoy, int which)
{
    struct abi_text value = {NULL, 0};
    if (!ABI_CALLBACK(http_filter_get_attribute_string)(envoy, which, &value)) return MP_STR("");
    return mod_str(value);
}

static bool get_int(void *envoy, int which, struct mp_field_in *out)
{
    uint64_t value = 0;
    if (!ABI_CALLBACK(http_filter_get_attribute_int)(envoy, which, &value)) return false;
    out->kind = MP_FIELD_INT;
    out->integer = (int64_t)value;
    return true;
}

static bool get_mtls(void *envoy, struct mp_field_in *out)
{
    bool value = false;
    if (ABI_CALLBACK(http_filter_get_attribute_bool) == NULL) return false;
    if (!ABI_CALLBACK(http_filter_get_attribute_bool)(envoy, ABI_CONNECTION_MTLS, &value))
        return false;
    out->kind = MP_FIELD_INT;
    out->integer = value;
    return true;
}

static bool is_grpc(const struct asking *a)
{
    return mp_str_starts(header(a, MP_STR("content-type")), MP_STR("application/grpc"));
}

static bool get_connection(struct asking *a, struct mp_field_in *out)
{
    struct mp_field_in id;
    if (!get_int(a->envoy, ABI_CONNECTION_ID, &id)) return false;
    out->text = mod_room_number(a->room, (uint64_t)id.integer);
    return out->text.len > 0;
}

/* Several fields have it, and several leases look for it. */
static mp_str peer_of(struct asking *a)
{
    if (!a->knows_peer) a->peer = mod_read_first(attribute(a->envoy, ABI_URI_SAN_PEER));
    a->knows_peer = true;
    return a->peer;
}

static mp_str own_service(const struct mod *m) { return mp_str_of(m->config.service); }

/* A sidecar and an edge speak of themselves, a gateway of whom it asks: that is kept, since the
 * proxy may choose anew while the stream is open. */
static void keep_service(struct mod *m, struct mod_stream *s)
{
    struct abi_text cluster = {NULL, 0};
    mp_str service = MP_STR("");
    s->service_len = 0;
    if (m->config.layer_bit != MPOL_INGRESS) return;
    if (ABI_CALLBACK(http_get_cluster_name) != NULL &&
        ABI_CALLBACK(http_get_cluster_name)(s->envoy, &cluster)) {
        service = mod_read_cluster(mod_str(cluster));
    }
    if (service.len == 0) service = own_service(m);
    if (service.len > sizeof s->service) return; /* a text that is cut is another text */
    s->service_len = (uint16_t)service.len;
    if (service.len > 0) memcpy(s->service, service.ptr, service.len);
}

static mp_str service_of(const struct asking *a)
{
    if (a->m->config.layer_bit != MPOL_INGRESS) return own_service(a->m);
    return (mp_str){a->stream->service, a->stream->service_len};
}

static mp_str read_text(struct asking *a, const struct mp_gate_want *want)
{
    struct mod_headers headers = {&a->table, ABI_REQUEST_HEADERS, next_header, a->room};
    mp_str path;
    switch (want->source) {
    case MP_GATE_LAYER: return mp_str_of(a->m->config.layer);
    case MP_GATE_CLIENT: return mod_read_address(attribute(a->envoy, ABI_SOURCE_ADDRESS));
    case MP_GATE_PEER:
    case MP_GATE_PRINCIPAL:
    case MP_GATE_CLIENT_IDENTITY: return peer_of(a);
    case MP_GATE_SERVICE: return service_of(a);
    case MP_GATE_INSTANCE:
        return a->m->config.layer_bit != MPOL_INGRESS ? mp_str_of(a->m->config.instance)
                                                      : MP_STR("");
    case MP_GATE_METHOD: return header(a, MP_STR(":method"));
    case MP_GATE_SCHEME: return header(a, MP_STR(":scheme"));
    case MP_GATE_HOST: return header(a, MP_STR(":authority"));
    case MP_GATE_PATH: return header(a, MP_STR(":path"));
    case MP_GATE_RAW_PATH: return mod_read_raw_path(header(a, MP_STR(":path")));
    case MP_GATE_QUERY: return mod_read_query(header(a, MP_STR(":path")));
    case MP_GATE_USER_AGENT: return header(a, MP_STR("user-agent"));
    case MP_GATE_HTTP_VERSION: return mod_read_version(attribute(a->envoy, ABI_REQUEST_PROTOCOL));
    case MP_GATE_HEADER: return mod_read_header(&headers, want->entry);
    case MP_GATE_COOKIE: return mod_read_cookie(&headers, want->entry);
    case MP_GATE_ARG:
        path = header(a, MP_STR(":path"));
        return mod_read_arg(mod_read_query(path), want->entry, a->room);
    case MP_GATE_GRPC_SERVICE:
        return is_grpc(a) ? mod_read_grpc_service(header(a, MP_STR(":path")))
                                 : MP_STR("");
    case MP_GATE_GRPC_METHOD:
        return is_grpc(a) ? mod_read_grpc_method(header(a, MP_STR(":path")))
                                 : MP_STR("");
    default: return MP_STR("");
    }
}

static enum mp_gate_got get_text(struct asking *a, const struct mp_gate_want *want,
                                 struct mp_field_in *out)
{
    a->room->full = false;
    out->text = read_text(a, want);
    if (out->text.ptr != NULL && out->text.len > 0) return MP_GATE_IS;
    return a->room->full ? MP_GATE_TOO_LONG : MP_GATE_ABSENT;
}

static enum mp_gate_got get_field(void *ctx, const struct mp_gate_want *want,
                                  struct mp_field_in *out)
{
    struct asking *a = ctx;
    bool is;
    out->kind = MP_FIELD_TEXT;
    switch (want->source) {
    case MP_GATE_PORT: is = get_int(a->envoy, ABI_DESTINATION_PORT, out); break;
    case MP_GATE_MTLS: is = get_mtls(a->envoy, out); break;
    case MP_GATE_CONNECTION_ID: is = get_connection(a, out); break;
    case MP_GATE_BYTES_IN:
        out->text = header(a, MP_STR("content-length"));
        out->kind = MP_FIELD_INT;
        is = mod_read_int(out->text, &out->integer);
        break;
    default: return get_text(a, want, out);
    }
    return is ? MP_GATE_IS : MP_GATE_ABSENT;
}

/* ---- the answer ---- */

/* The proxy has no cluster and no key for a request that never went on. */
static void leave_note(struct request *r, mp_str name, mp_str value)
{
    if (value.len == 0 || ABI_CALLBACK(http_set_dynamic_metadata_string) == NULL) return;
    ABI_CALLBACK(http_set_dynamic_metadata_string)(r->stream.envoy, mod_text(MOD_SPACE),
                                                   mod_text(name), mod_text(value));
}

static void refuse(struct request *r, const struct mp_gate_answer *a)
{
    char details[MP_GATE_RULE_MAX + 8] = "mpol:", after[24];
    struct abi_header retry = {"retry-after", 11, after, 0};
    memcpy(details + 5, a->rule, a->rule_len);
    if (a->status == 429 && a->retry_after_ns > 0) {
        long long seconds = (long long)((a->retry_after_ns + 999999999) / 1000000000);
        retry.value_len = (size_t)snprintf(after, sizeof after, "%lld", seconds);
    }
    leave_note(r, MOD_NOTE_KEY, (mp_str){a->key, a->key_len});
    if (r->filter->m->config.layer_bit == MPOL_INGRESS) {
        leave_note(r, MOD_NOTE_SERVICE, (mp_str){r->stream.service, r->stream.service_len});
    }
    if (r->filter->counts) {
        ABI_CALLBACK(http_filter_increment_counter)(r->stream.envoy, r->filter->refused_id, NULL, 0,
                                                    1);
    }
    ABI_CALLBACK(http_send_response)(r->stream.envoy, (uint32_t)a->status, &retry,
                                     retry.value_len > 0 ? 1 : 0, (struct abi_text){"", 0},
                                     (struct abi_text){details, 5 + (size_t)a->rule_len});
}

static int on_request(struct request *r)
{
    struct mod *m = r->filter->m;
    struct mod_stream *s = &r->stream;
    uint32_t worker = ABI_CALLBACK(http_filter_get_worker_index)(s->envoy);
    if (worker >= m->worker_count || m->gate == NULL) return ABI_CONTINUE;
    struct asking asking;
    asking_begin(&asking, m, s, worker);
    /* The control plane's own paths end before a service; they prove what others do. */
    if (mp_str_starts(header(&asking, MP_STR(":path")), OUR_PATHS)) return ABI_CONTINUE;
    keep_service(m, s);
    s->began_ns = mod_wall_ns();
    /* Among the open ones before it is judged: a set that comes in between finds it there. */
    mod_stream_add(m, worker, s);
    struct mp_gate_host host = {&asking, get_field};
    struct mp_gate_answer answer;
    mp_gate_ask(m->gate, worker, &host, s->began_ns, m->config.layer_bit, &answer);
    if (answer.allow) return ABI_CONTINUE;
    mod_stream_remove(s);
    refuse(r, &answer);
    return ABI_STOP;
}

/* The proxy keeps a request's headers as long as its stream. */
void mod_stream_recheck(struct mod *m, struct mod_stream *s, uint32_t worker,
                        struct mp_gate_answer *out)
{
    struct asking asking;
    asking_begin(&asking, m, s, worker);
    struct mp_gate_host host = {&asking, get_field};
    mp_gate_recheck(m->gate, worker, &host, mod_wall_ns(), s->began_ns, m->config.layer_bit, out);
}

/* ---- hooks: configuration, on the main thread ---- */

ABI_HOOK const void *envoy_dynamic_module_on_http_filter_config_new(void *envoy,
                                                                    struct abi_text name,
                                                                    struct abi_text config);
ABI_HOOK void envoy_dynamic_module_on_http_filter_config_destroy(const void *config);
ABI_HOOK const void *envoy_dynamic_module_on_http_filter_new(const void *config, void *envoy);
ABI_HOOK void envoy_dynamic_module_on_http_filter_destroy(const void *filter);

const void *envoy_dynamic_module_on_http_filter_config_new(void *envoy, struct abi_text name,
                                                           struct abi_text config)
{
    (void)name;
    struct mod *m = mod_open(config);
    struct mod_filter *f = m != NULL ? calloc(1, sizeof *f) : NULL;
    if (f == NULL) {
        if (m != NULL) mod_close(m);
        return NULL;
    }
    f->m = m;
    if (ABI_CALLBACK(http_filter_config_define_counter) != NULL &&
        ABI_CALLBACK(http_filter_increment_counter) != NULL) {
        struct abi_text refused = {"mpol_refused", 12};
        f->counts = ABI_CALLBACK(http_filter_config_define_counter)(envoy, refused, NULL, 0,
                                                                    &f->refused_id) == 0;
    }
    return f;
}

/* The proxy says const of what is ours. */
static void *ours(const void *p) { return (void *)(uintptr_t)p; }

void envoy_dynamic_module_on_http_filter_config_destroy(const void *config)
{
    struct mod_filter *f = ours(config);
    mod_close(f->m);
    free(f);
}

/* ---- hooks: streams, on a worker ---- */

const void *envoy_dynamic_module_on_http_filter_new(const void *config, void *envoy)
{
    struct request *r = malloc(sizeof *r);
    if (r == NULL) return NULL;
    r->stream.envoy = envoy;
    r->stream.worker = NULL;
    r->filter = ours(config);
    return r;
}

void envoy_dynamic_module_on_http_filter_destroy(const void *filter)
{
    struct request *r = ours(filter);
    mod_stream_remove(&r->stream);
    free(r);
}

ABI_HOOK int envoy_dynamic_module_on_http_filter_request_headers(void *envoy, const void *filter,
                                                                 bool end);
int envoy_dynamic_module_on_http_filter_request_headers(void *envoy, const void *filter, bool end)
{
    (void)envoy;
    (void)end;
    return on_request(ours(filter));
}

ABI_HOOK void envoy_dynamic_module_on_http_filter_stream_complete(void *envoy, const void *filter);
void envoy_dynamic_module_on_http_filter_stream_complete(void *envoy, const void *filter)
{
    (void)envoy;
    struct request *r = ours(filter);
    mod_stream_remove(&r->stream);
}

ABI_HOOK void envoy_dynamic_module_on_http_filter_scheduled(void *envoy, const void *filter,
                                                            uint64_t event);
void envoy_dynamic_module_on_http_filter_scheduled(void *envoy, const void *filter, uint64_t event)
{
    (void)envoy;
    (void)event;
    struct request *r = ours(filter);
    mod_streams_look(r->filter->m, &r->stream);
}

/* ---- hooks that the proxy looks for, and that have nothing to do ---- */

#define PASSING_HOOK(name)                                                                         \
    ABI_HOOK int envoy_dynamic_module_on_http_filter_##name(void *envoy, const void *filter, bool end);\
    int envoy_dynamic_module_on_http_filter_##name(void *envoy, const void *filter, bool end)      \
    {                                                                                              \
        (void)envoy;                                                                               \
        (void)filter;                                                                              \
        (void)end;                                                                                 \
        return ABI_CONTINUE;                                                                       \
    }
PASSING_HOOK(request_body)
PASSING_HOOK(response_headers)
PASSING_HOOK(response_body)

#define TRAILERS_HOOK(name)                                                                        \
    ABI_HOOK int envoy_dynamic_module_on_http_filter_##name(void *envoy, const void *filter);      \
    int envoy_dynamic_module_on_http_filter_##name(void *envoy, const void *filter)                \
    {                                                                                              \
        (void)envoy;                                                                               \
        (void)filter;                                                                              \
        return ABI_CONTINUE;                                                                       \
    }
TRAILERS_HOOK(request_trailers)
TRAILERS_HOOK(response_trailers)

#define QUIET_HOOK(name)                                                                           \
    ABI_HOOK void envoy_dynamic_module_on_http_filter_##name(void *envoy, const void *filter);     \
    void envoy_dynamic_module_on_http_filter_##name(void *envoy, const void *filter)               \
    {                                                                                              \
        (void)envoy;                                                                               \
        (void)filter;                                                                              \
    }
QUIET_HOOK(downstream_above_write_buffer_high_watermark)
QUIET_HOOK(downstream_below_write_buffer_low_watermark)

/* Callouts that we never make; their further parameters are nobody's here. */
QUIET_HOOK(http_callout_done)
QUIET_HOOK(http_stream_headers)
QUIET_HOOK(http_stream_data)
QUIET_HOOK(http_stream_trailers)
QUIET_HOOK(http_stream_complete)
QUIET_HOOK(http_stream_reset)

ABI_HOOK int envoy_dynamic_module_on_http_filter_local_reply(void *envoy, const void *filter,
                                                             uint32_t status,
                                                             struct abi_text details, bool reset);
int envoy_dynamic_module_on_http_filter_local_reply(void *envoy, const void *filter,
                                                    uint32_t status, struct abi_text details,
                                                    bool reset)
{
    (void)envoy;
    (void)filter;
    (void)status;
    (void)details;
    (void)reset;
    return ABI_CONTINUE;
}
