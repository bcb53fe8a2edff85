/* SPDX-License-Identifier: Apache-2.0
 * The access logger: one record of every request that has ended, into the worker's ring.
 */
#include <stdlib.h>

#include "envoy_mod/mod.h"
#include "envoy_mod/mod_read.h"
#include "envoy_mod/record.h"

#define OUR_PATHS MP_STR("/.mpol/")
#define OUR_DETAILS MP_STR("mpol:")
#define RBAC_DETAILS MP_STR("rbac_access_denied_matched_policy[mpol:")
#define PROBE MP_STR("probe")
/* What the proxy's own filters say when they throttle: whose rule it was is known to the control
 * plane. */
#define RATE_DETAILS MP_STR("local_rate_limited")
#define SHARE_DETAILS MP_STR("fault_filter_abort")

/* What is noted of every request, whether the program in force reads it or not. */
struct noting {
    struct mod *m;
    void *envoy;
    uint32_t worker;
    struct mp_record_out out;
    struct mod_room *room;
    struct abi_timing timing;
    struct abi_bytes bytes;
    uint64_t flags, status;
};

/* ---- what the proxy says ---- */

static mp_str attribute(void *envoy, int which)
{
    struct abi_text value = {NULL, 0};
    if (!ABI_CALLBACK(access_logger_get_attribute_string)(envoy, which, &value)) return MP_STR("");
    return mod_str(value);
}

static bool next_header(void *envoy, int map, mp_str name, size_t i, mp_str *out)
{
    struct abi_text value = {NULL, 0};
    size_t count = 0;
    if (!ABI_CALLBACK(access_logger_get_header_value)(envoy, map, mod_text(name), &value, i,
                                                      &count)) {
        return false;
    }
    *out = mod_str(value);
    return value.ptr != NULL && i < count;
}

static mp_str header(void *envoy, mp_str name)
{
    mp_str value = MP_STR("");
    next_header(envoy, ABI_REQUEST_HEADERS, name, 0, &value);
    return value;
}

static mp_str client_of(void *envoy)
{
    struct abi_text address = {NULL, 0};
    uint32_t port;
    if (!ABI_CALLBACK(access_logger_get_downstream_remote_address)(envoy, &address, &port)) {
        return MP_STR("");
    }
    return mod_str(address);
}

static mp_str peer_of(void *envoy) { return mod_read_first(attribute(envoy, ABI_URI_SAN_PEER)); }

static mp_str note_of(const struct noting *n, mp_str name)
{
    struct abi_text value = {NULL, 0};
    if (ABI_CALLBACK(access_logger_get_dynamic_metadata) == NULL) return MP_STR("");
    if (!ABI_CALLBACK(access_logger_get_dynamic_metadata)(n->envoy, mod_text(MOD_SPACE),
                                                          mod_text(name), &value)) {
        return MP_STR("");
    }
    return mod_str(value);
}

/* Of a sidecar and an edge the control plane knows it. */
static mp_str service_of(const struct noting *n)
{
    struct abi_text cluster = {NULL, 0};
    if (n->m->config.layer_bit != MPOL_INGRESS) return MP_STR("");
    mp_str asked = note_of(n, MOD_NOTE_SERVICE);
    if (asked.len > 0) return asked;
    if (ABI_CALLBACK(access_logger_get_upstream_cluster)(n->envoy, &cluster)) {
        asked = mod_read_cluster(mod_str(cluster));
    }
    return asked.len > 0 ? asked : mp_str_of(n->m->config.service);
}

static bool has_flag(const struct noting *n, int flag) { return (n->flags >> flag & 1) != 0; }

static bool was_reset(const struct noting *n)
{
    return has_flag(n, ABI_FLAG_LOCAL_RESET) || has_flag(n, ABI_FLAG_UPSTREAM_REMOTE_RESET) ||
           has_flag(n, ABI_FLAG_UPSTREAM_CONNECTION_TERMINATION) ||
           has_flag(n, ABI_FLAG_DOWNSTREAM_REMOTE_RESET) ||
           has_flag(n, ABI_FLAG_DOWNSTREAM_CONNECTION_TERMINATION);
}

static bool was_late(const struct noting *n)
{
    return has_flag(n, ABI_FLAG_UPSTREAM_TIMEOUT) || has_flag(n, ABI_FLAG_STREAM_IDLE_TIMEOUT) ||
           has_flag(n, ABI_FLAG_DURATION_TIMEOUT) || has_flag(n, ABI_FLAG_MAX_STREAM_DURATION);
}

static int64_t took_ns(const struct noting *n)
{
    int64_t took = n->timing.last_downstream_tx_ns;
    if (took < 0) took = mod_wall_ns() - n->timing.start_unix_ns;
    return took > 0 ? took : 0;
}

/* ---- fields ---- */

static mp_str read_text(struct noting *n, const struct mp_gate_want *want)
{
    struct mod_headers request = {n->envoy, ABI_REQUEST_HEADERS, next_header, n->room};
    struct mod_headers response = {n->envoy, ABI_RESPONSE_HEADERS, next_header, n->room};
    struct abi_text text = {NULL, 0};
    mp_str path;
    switch (want->source) {
    case MP_GATE_SERVICE: return service_of(n);
    case MP_GATE_CLIENT: return client_of(n->envoy);
    case MP_GATE_PEER:
    case MP_GATE_PRINCIPAL:
    case MP_GATE_CLIENT_IDENTITY: return peer_of(n->envoy);
    case MP_GATE_CALLER: return mp_gate_caller(n->m->gate, n->worker, peer_of(n->envoy));
    case MP_GATE_METHOD: return header(n->envoy, MP_STR(":method"));
    case MP_GATE_SCHEME: return header(n->envoy, MP_STR(":scheme"));
    case MP_GATE_HOST: return header(n->envoy, MP_STR(":authority"));
    case MP_GATE_PATH:
    case MP_GATE_RAW_PATH: return mod_read_raw_path(header(n->envoy, MP_STR(":path")));
    case MP_GATE_QUERY: return mod_read_query(header(n->envoy, MP_STR(":path")));
    case MP_GATE_USER_AGENT: return header(n->envoy, MP_STR("user-agent"));
    case MP_GATE_HTTP_VERSION: return mod_read_version(attribute(n->envoy, ABI_REQUEST_PROTOCOL));
    case MP_GATE_ROUTE:
        ABI_CALLBACK(access_logger_get_route_name)(n->envoy, &text);
        return mod_str(text);
    case MP_GATE_HEADER: return mod_read_header(&request, want->entry);
    case MP_GATE_RESPONSE_HEADER: return mod_read_header(&response, want->entry);
    case MP_GATE_COOKIE: return mod_read_cookie(&request, want->entry);
    case MP_GATE_ARG:
        path = header(n->envoy, MP_STR(":path"));
        return mod_read_arg(mod_read_query(path), want->entry, n->room);
    default: return MP_STR("");
    }
}

static bool is_grpc(struct noting *n)
{
    return mp_str_starts(header(n->envoy, MP_STR("content-type")), MP_STR("application/grpc"));
}

static bool grpc_status(struct noting *n, int64_t *out)
{
    mp_str text = MP_STR("");
    if (!next_header(n->envoy, ABI_RESPONSE_TRAILERS, MP_STR("grpc-status"), 0, &text)) {
        next_header(n->envoy, ABI_RESPONSE_HEADERS, MP_STR("grpc-status"), 0, &text);
    }
    return mod_read_int(text, out);
}

static bool read_number(struct noting *n, enum mp_gate_source source, int64_t *out)
{
    uint64_t value = 0;
    bool truth = false;
    switch (source) {
    case MP_GATE_STATUS: *out = (int64_t)n->status; return n->status != 0;
    case MP_GATE_LATENCY: *out = took_ns(n); return true;
    case MP_GATE_BYTES_IN: *out = (int64_t)n->bytes.received; return true;
    case MP_GATE_BYTES_OUT: *out = (int64_t)n->bytes.sent; return true;
    case MP_GATE_RESET: *out = was_reset(n); return true;
    case MP_GATE_TIMEOUT: *out = was_late(n); return true;
    case MP_GATE_SUCCESS:
        *out = n->status != 0 && n->status < 500 && !was_reset(n) && !was_late(n);
        return true;
    case MP_GATE_GRPC_STATUS: return grpc_status(n, out);
    case MP_GATE_PORT:
        if (!ABI_CALLBACK(access_logger_get_attribute_int)(n->envoy, ABI_DESTINATION_PORT,
                                                           &value)) {
            return false;
        }
        *out = (int64_t)value;
        return true;
    case MP_GATE_MTLS:
        if (ABI_CALLBACK(access_logger_get_attribute_bool) == NULL ||
            !ABI_CALLBACK(access_logger_get_attribute_bool)(n->envoy, ABI_CONNECTION_MTLS,
                                                            &truth)) {
            return false;
        }
        *out = truth;
        return true;
    default: return false;
    }
}

static void note_field(struct noting *n, const struct mp_gate_want *want)
{
    uint64_t id = 0;
    int64_t number;
    mp_str text;
    switch (want->source) {
    case MP_GATE_GRPC_SERVICE:
    case MP_GATE_GRPC_METHOD:
        if (!is_grpc(n)) return;
        text = header(n->envoy, MP_STR(":path"));
        text = want->source == MP_GATE_GRPC_SERVICE ? mod_read_grpc_service(text)
                                                    : mod_read_grpc_method(text);
        break;
    case MP_GATE_CONNECTION_ID:
        if (!ABI_CALLBACK(access_logger_get_attribute_int)(n->envoy, ABI_CONNECTION_ID, &id))
            return;
        text = mod_room_number(n->room, id);
        break;
    default:
        if (read_number(n, want->source, &number)) {
            mp_record_int(&n->out, want->source, number);
            return;
        }
        text = read_text(n, want);
    }
    if (text.ptr != NULL && text.len > 0) mp_record_text(&n->out, want->source, want->entry, text);
}

/* ---- who refused it ---- */

static mp_str before(mp_str s, char stop)
{
    const char *end = s.len > 0 ? memchr(s.ptr, stop, s.len) : NULL;
    return end != NULL ? mp_str_sub(s, 0, (size_t)(end - s.ptr)) : s;
}

/* Ours, or a policy of ours that the proxy's own filter carries: `mpol:RULE`,
 * `...[mpol:RULE/LEASE]`. */
static mp_str refused_by(mp_str details)
{
    if (mp_str_starts(details, OUR_DETAILS))
        return mp_str_sub(details, OUR_DETAILS.len, details.len);
    if (!mp_str_starts(details, RBAC_DETAILS)) return MP_STR("");
    mp_str rest = before(mp_str_sub(details, RBAC_DETAILS.len, details.len), ']');
    size_t slash = rest.len;
    while (slash > 0 && rest.ptr[slash - 1] != '/') slash--;
    return slash > 0 ? mp_str_sub(rest, 0, slash - 1) : rest;
}

/* A stream that we cut has an answer already, so its details say nothing of us. */
static mp_str rule_of(const struct noting *n, uint32_t worker)
{
    const struct mp_gate_answer *cutting = n->m->workers[worker].cutting;
    if (cutting != NULL) return (mp_str){cutting->rule, cutting->rule_len};
    return refused_by(attribute(n->envoy, ABI_RESPONSE_CODE_DETAILS));
}

/* ---- one record ---- */

static void note_upstream(struct noting *n)
{
    if (n->m->config.layer_bit != MPOL_INGRESS) return; /* it is our own */
    mp_str upstream = attribute(n->envoy, ABI_UPSTREAM_ADDRESS);
    if (upstream.len > 0) mp_record_text(&n->out, MP_RECORD_UPSTREAM, MP_STR(""), upstream);
}

static void note_all(struct noting *n, uint32_t worker)
{
    uint32_t count;
    mp_str rule = rule_of(n, worker), peer = peer_of(n->envoy), from = client_of(n->envoy);
    mp_str details = attribute(n->envoy, ABI_RESPONSE_CODE_DETAILS);
    mp_record_int(&n->out, MP_RECORD_TIME, n->timing.start_unix_ns + took_ns(n));
    if (rule.len > 0) {
        mp_str key = note_of(n, MOD_NOTE_KEY);
        mp_record_text(&n->out, MP_RECORD_REFUSED_BY, MP_STR(""), rule);
        if (key.len > 0) mp_record_text(&n->out, MP_RECORD_KEY, MP_STR(""), key);
    }
    if (peer.len > 0) mp_record_text(&n->out, MP_RECORD_WHO, MP_STR(""), peer);
    if (mp_str_eq(details, RATE_DETAILS) || mp_str_eq(details, SHARE_DETAILS)) {
        mp_record_text(&n->out, MP_RECORD_DETAILS, MP_STR(""), details);
    }
    if (from.len > 0) mp_record_text(&n->out, MP_RECORD_FROM, MP_STR(""), from);
    note_upstream(n);
    const struct mp_gate_want *wants = mp_gate_enter(n->m->gate, worker, &count);
    for (uint32_t i = 0; i < count; i++) note_field(n, &wants[i]);
    mp_gate_leave(n->m->gate, worker);
}

static bool is_ours(void *envoy)
{
    return mp_str_starts(header(envoy, MP_STR(":path")), OUR_PATHS) ||
           mp_str_eq(refused_by(attribute(envoy, ABI_RESPONSE_CODE_DETAILS)), PROBE);
}

static void on_request_end(struct mod *m, void *envoy)
{
    uint32_t worker = ABI_CALLBACK(access_logger_get_worker_index)(envoy);
    if (m->gate == NULL || worker >= m->worker_count || is_ours(envoy)) return;
    char *slot = mp_ring_slot(&m->rings[worker]);
    if (slot == NULL) return;
    struct noting n;
    n.m = m;
    n.envoy = envoy;
    n.worker = worker;
    n.room = m->workers[worker].room;
    mod_room_clear(n.room);
    n.status = 0;
    mp_record_begin(&n.out, slot, MP_RING_RECORD_MAX);
    ABI_CALLBACK(access_logger_get_timing_info)(envoy, &n.timing);
    ABI_CALLBACK(access_logger_get_bytes_info)(envoy, &n.bytes);
    ABI_CALLBACK(access_logger_get_attribute_int)(envoy, ABI_RESPONSE_CODE, &n.status);
    n.flags = ABI_CALLBACK(access_logger_get_response_flags)(envoy);
    note_all(&n, worker);
    mp_ring_push(&m->rings[worker], mp_record_size(&n.out));
    if (m->link != NULL) mp_link_wake(m->link);
}

/* ---- hooks ---- */

static struct mod *ours(const void *p) { return (struct mod *)(uintptr_t)p; }

/* On the main thread. */
ABI_HOOK const void *envoy_dynamic_module_on_access_logger_config_new(void *envoy,
                                                                      struct abi_text name,
                                                                      struct abi_text config);
const void *envoy_dynamic_module_on_access_logger_config_new(void *envoy, struct abi_text name,
                                                             struct abi_text config)
{
    (void)envoy;
    (void)name;
    /* A proxy that is too old to say these has no records of ours; better known now than at each
     * request. */
    bool can = ABI_CALLBACK(access_logger_get_worker_index) != NULL &&
               ABI_CALLBACK(access_logger_get_attribute_string) != NULL &&
               ABI_CALLBACK(access_logger_get_attribute_int) != NULL;
    return can ? mod_open(config) : NULL;
}

ABI_HOOK void envoy_dynamic_module_on_access_logger_config_destroy(const void *config);
void envoy_dynamic_module_on_access_logger_config_destroy(const void *config)
{
    mod_close(ours(config));
}

/* Once a thread: nothing of our own is needed there. */
ABI_HOOK const void *envoy_dynamic_module_on_access_logger_new(const void *config, void *envoy);
const void *envoy_dynamic_module_on_access_logger_new(const void *config, void *envoy)
{
    (void)envoy;
    return config;
}

ABI_HOOK void envoy_dynamic_module_on_access_logger_destroy(const void *logger);
void envoy_dynamic_module_on_access_logger_destroy(const void *logger) { (void)logger; }

ABI_HOOK void envoy_dynamic_module_on_access_logger_flush(const void *logger);
void envoy_dynamic_module_on_access_logger_flush(const void *logger) { (void)logger; }

ABI_HOOK void envoy_dynamic_module_on_access_logger_log(void *envoy, const void *logger, int type);
void envoy_dynamic_module_on_access_logger_log(void *envoy, const void *logger, int type)
{
    /* LIMIT: connections of tcp_proxy have no record of ours; ALS tells them. */
    if (type == ABI_DOWNSTREAM_END) on_request_end(ours(logger), envoy);
}
