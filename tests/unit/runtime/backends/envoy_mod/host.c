/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORKERS 8
#define EVENTS 4096

struct host host = {.concurrency = 1};

/* ---- what is scheduled ---- */

struct scheduler {
    struct host_stream *stream; /* NULL: it has ended */
    uint32_t worker, uses;
    struct scheduler *next; /* of all that live */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct scheduler *schedulers;
static struct {
    struct scheduler *of;
    uint64_t event;
} events[WORKERS][EVENTS];
static uint32_t event_count[WORKERS];

void *ABI_CALLBACK(http_filter_scheduler_new)(void *filter)
{
    struct host_stream *s = filter;
    struct scheduler *made = calloc(1, sizeof *made);
    if (made == NULL) abort();
    *made = (struct scheduler){.stream = s, .worker = s->worker, .uses = 1};
    pthread_mutex_lock(&lock);
    made->next = schedulers;
    schedulers = made;
    pthread_mutex_unlock(&lock);
    return made;
}

/* With the lock. */
static void let_go(struct scheduler *s)
{
    if (--s->uses > 0) return;
    struct scheduler **at = &schedulers;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    free(s);
}

void ABI_CALLBACK(http_filter_scheduler_commit)(void *scheduler, uint64_t event)
{
    struct scheduler *s = scheduler;
    pthread_mutex_lock(&lock);
    if (event_count[s->worker] == EVENTS) abort();
    events[s->worker][event_count[s->worker]].of = s;
    events[s->worker][event_count[s->worker]++].event = event;
    s->uses++;
    pthread_mutex_unlock(&lock);
}

void ABI_CALLBACK(http_filter_scheduler_delete)(void *scheduler)
{
    pthread_mutex_lock(&lock);
    let_go(scheduler);
    pthread_mutex_unlock(&lock);
}

static void forget(const struct host_stream *s)
{
    pthread_mutex_lock(&lock);
    for (struct scheduler *at = schedulers; at != NULL; at = at->next) {
        if (at->stream == s) at->stream = NULL;
    }
    pthread_mutex_unlock(&lock);
}

uint32_t host_run_scheduled(uint32_t worker)
{
    uint32_t ran = 0;
    for (;;) {
        pthread_mutex_lock(&lock);
        if (event_count[worker] == 0) {
            pthread_mutex_unlock(&lock);
            return ran;
        }
        struct scheduler *of = events[worker][0].of;
        uint64_t event = events[worker][0].event;
        event_count[worker]--;
        memmove(events[worker], events[worker] + 1, event_count[worker] * sizeof events[worker][0]);
        struct host_stream *stream = of->stream;
        let_go(of);
        pthread_mutex_unlock(&lock);
        if (stream != NULL)
            envoy_dynamic_module_on_http_filter_scheduled(stream, stream->filter, event);
        ran++;
    }
}

/* ---- streams ---- */

void host_stream_init(struct host_stream *s, uint32_t worker, const char *client)
{
    memset(s, 0, sizeof *s);
    s->worker = worker;
    s->client = client;
}

void host_header(struct host_stream *s, const char *name, const char *value)
{
    if (s->header_count == HOST_HEADERS) abort();
    s->headers[s->header_count++] = (struct host_header){name, value};
}

bool host_begin(struct host_stream *s, const void *config)
{
    s->filter = envoy_dynamic_module_on_http_filter_new(config, s);
    return envoy_dynamic_module_on_http_filter_request_headers(s, s->filter, true) == ABI_CONTINUE;
}

void host_end(struct host_stream *s, const void *logger)
{
    if (s->filter == NULL) return;
    const void *filter = s->filter;
    envoy_dynamic_module_on_http_filter_stream_complete(s, filter);
    if (logger != NULL) envoy_dynamic_module_on_access_logger_log(s, logger, ABI_DOWNSTREAM_END);
    forget(s);
    s->filter = NULL;
    envoy_dynamic_module_on_http_filter_destroy(filter);
}

/* ---- callbacks: common ---- */

void ABI_CALLBACK(log)(int level, struct abi_text message)
{
    if (level < ABI_LOG_WARN) return;
    pthread_mutex_lock(&lock);
    snprintf(host.last_log, sizeof host.last_log, "%.*s", (int)message.len, message.ptr);
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&host.warnings, 1);
}

uint32_t ABI_CALLBACK(get_concurrency)(void) { return host.concurrency; }
bool ABI_CALLBACK(is_validation_mode)(void) { return host.validation; }

/* ---- callbacks: filter ---- */

static bool text(const char *value, struct abi_text *out)
{
    if (value == NULL) return false;
    *out = (struct abi_text){value, strlen(value)};
    return true;
}

static bool find_header(const struct host_stream *s, struct abi_text key, struct abi_text *value,
                        size_t index, size_t *count)
{
    size_t found = 0;
    *value = (struct abi_text){NULL, 0};
    for (uint32_t i = 0; i < s->header_count; i++) {
        const struct host_header *h = &s->headers[i];
        if (strlen(h->name) != key.len || strncasecmp(h->name, key.ptr, key.len) != 0) continue;
        if (found++ == index) text(h->value, value);
    }
    if (count != NULL) *count = found;
    return index < found;
}

uint32_t ABI_CALLBACK(http_filter_get_worker_index)(void *filter)
{
    return ((struct host_stream *)filter)->worker;
}

bool ABI_CALLBACK(http_get_header)(void *filter, int headers, struct abi_text key,
                                   struct abi_text *value, size_t index, size_t *count)
{
    return headers == ABI_REQUEST_HEADERS && find_header(filter, key, value, index, count);
}

size_t ABI_CALLBACK(http_get_headers_size)(void *filter, int headers)
{
    return headers == ABI_REQUEST_HEADERS ? ((struct host_stream *)filter)->header_count : 0;
}

/* As the proxy has them: names in lower case. */
bool ABI_CALLBACK(http_get_headers)(void *filter, int headers, struct abi_header *out)
{
    const struct host_stream *s = filter;
    if (headers != ABI_REQUEST_HEADERS) return false;
    for (uint32_t i = 0; i < s->header_count; i++) {
        const struct host_header *h = &s->headers[i];
        out[i] = (struct abi_header){h->name, strlen(h->name), h->value, strlen(h->value)};
    }
    return true;
}

static bool attribute(const struct host_stream *s, int which, struct abi_text *value)
{
    switch (which) {
    case ABI_SOURCE_ADDRESS: return text(s->client, value);
    case ABI_URI_SAN_PEER: return text(s->peer, value);
    case ABI_REQUEST_PROTOCOL: return text("HTTP/1.1", value);
    case ABI_UPSTREAM_ADDRESS: return text("127.0.0.1:9000", value);
    case ABI_RESPONSE_CODE_DETAILS:
        return text(s->details[0] != '\0' ? s->details : "via_upstream", value);
    default: return false;
    }
}

bool ABI_CALLBACK(http_filter_get_attribute_string)(void *filter, int which, struct abi_text *value)
{
    return attribute(filter, which, value);
}

bool ABI_CALLBACK(http_filter_get_attribute_int)(void *filter, int which, uint64_t *value)
{
    (void)filter;
    *value = which == ABI_DESTINATION_PORT ? 8080 : 77;
    return which == ABI_DESTINATION_PORT || which == ABI_CONNECTION_ID;
}

bool ABI_CALLBACK(http_filter_get_attribute_bool)(void *filter, int which, bool *value)
{
    *value = ((struct host_stream *)filter)->peer != NULL;
    return which == ABI_CONNECTION_MTLS;
}

bool ABI_CALLBACK(http_get_cluster_name)(void *filter, struct abi_text *name)
{
    return text(((struct host_stream *)filter)->cluster, name);
}

void ABI_CALLBACK(http_send_response)(void *filter, uint32_t status, struct abi_header *headers,
                                      size_t header_count, struct abi_text body,
                                      struct abi_text details)
{
    struct host_stream *s = filter;
    (void)body;
    s->status = status;
    snprintf(s->details, sizeof s->details, "%.*s", (int)details.len, details.ptr);
    if (header_count > 0) {
        snprintf(s->retry_after, sizeof s->retry_after, "%.*s", (int)headers[0].value_len,
                 headers[0].value);
    }
}

void ABI_CALLBACK(http_set_dynamic_metadata_string)(void *filter, struct abi_text space,
                                                    struct abi_text key, struct abi_text value)
{
    struct host_stream *s = filter;
    (void)space;
    char *to = key.len == 3 ? s->note_key : s->note_service;
    snprintf(to, sizeof s->note_key, "%.*s", (int)value.len, value.ptr);
}

/* As in the proxy: the end of the stream is inside the call. */
void ABI_CALLBACK(http_filter_reset_stream)(void *filter, int reason, struct abi_text details)
{
    struct host_stream *s = filter;
    (void)reason;
    (void)details;
    atomic_store(&s->reset, true);
    host_end(s, NULL);
}

int ABI_CALLBACK(http_filter_config_define_counter)(void *config, struct abi_text name,
                                                    struct abi_text *labels, size_t label_count,
                                                    size_t *id)
{
    (void)config;
    (void)name;
    (void)labels;
    *id = 5;
    return label_count == 0 ? 0 : 1;
}

int ABI_CALLBACK(http_filter_increment_counter)(void *filter, size_t id, struct abi_text *labels,
                                                size_t label_count, uint64_t value)
{
    (void)filter;
    (void)labels;
    if (id != 5 || label_count != 0 || value != 1) abort();
    return 0;
}

/* ---- callbacks: logger ---- */

uint32_t ABI_CALLBACK(access_logger_get_worker_index)(void *logger)
{
    return ((struct host_stream *)logger)->worker;
}

bool ABI_CALLBACK(access_logger_get_attribute_string)(void *logger, int which,
                                                      struct abi_text *value)
{
    return attribute(logger, which, value);
}

bool ABI_CALLBACK(access_logger_get_attribute_int)(void *logger, int which, uint64_t *value)
{
    const struct host_stream *s = logger;
    *value = which == ABI_RESPONSE_CODE ? (s->status != 0 ? s->status : 200) : 77;
    return true;
}

bool ABI_CALLBACK(access_logger_get_attribute_bool)(void *logger, int which, bool *value)
{
    return ABI_CALLBACK(http_filter_get_attribute_bool)(logger, which, value);
}

bool ABI_CALLBACK(access_logger_get_header_value)(void *logger, int headers, struct abi_text key,
                                                  struct abi_text *value, size_t index,
                                                  size_t *count)
{
    return ABI_CALLBACK(http_get_header)(logger, headers, key, value, index, count);
}

void ABI_CALLBACK(access_logger_get_timing_info)(void *logger, struct abi_timing *timing)
{
    (void)logger;
    *timing = (struct abi_timing){.start_unix_ns = INT64_C(1764000000000000000),
                                  .last_downstream_tx_ns = 1500000};
}

void ABI_CALLBACK(access_logger_get_bytes_info)(void *logger, struct abi_bytes *bytes)
{
    (void)logger;
    *bytes = (struct abi_bytes){.received = 10, .sent = 20};
}

uint64_t ABI_CALLBACK(access_logger_get_response_flags)(void *logger)
{
    (void)logger;
    return 0;
}

bool ABI_CALLBACK(access_logger_get_route_name)(void *logger, struct abi_text *name)
{
    (void)logger;
    return text("a_route", name);
}

bool ABI_CALLBACK(access_logger_get_upstream_cluster)(void *logger, struct abi_text *name)
{
    const struct host_stream *s = logger;
    return s->status == 0 && text(s->cluster, name);
}

bool ABI_CALLBACK(access_logger_get_downstream_remote_address)(void *logger,
                                                               struct abi_text *address,
                                                               uint32_t *port)
{
    const struct host_stream *s = logger;
    if (!text(s->client, address)) return false;
    const char *colon = strrchr(s->client, ':');
    if (colon != NULL) address->len = (size_t)(colon - s->client);
    if (s->client[0] == '[') *address = (struct abi_text){s->client + 1, address->len - 2};
    *port = 1234;
    return true;
}

bool ABI_CALLBACK(access_logger_get_dynamic_metadata)(void *logger, struct abi_text space,
                                                      struct abi_text key, struct abi_text *value)
{
    const struct host_stream *s = logger;
    (void)space;
    const char *note = key.len == 3 ? s->note_key : s->note_service;
    return note[0] != '\0' && text(note, value);
}

/* ---- callbacks: bootstrap ---- */

void ABI_CALLBACK(bootstrap_extension_config_signal_init_complete)(void *config)
{
    *(bool *)config = true;
}
