/* SPDX-License-Identifier: Apache-2.0
 * abi.h - the functions of Envoy's dynamic modules that this module uses, declared by ourselves.
 *
 * Source: envoyproxy/envoy, source/extensions/dynamic_modules/abi/abi.h (Apache-2.0), as of 1.38,
 * 1.39 and 1.40: names, parameters and numbers agree in all three. Layouts are two words for a
 * buffer, four for a header; handles are pointers; enums are int.
 *
 * All are weak, so that every proxy can load the module and it can say what is missing. Those that
 * are asked for with ABI_MAY may be: that part is left out. Of the others mod_abi.c has a table,
 * and a proxy without one of them is refused.
 *
 * Buffers that a callback fills in belong to the proxy and live until the hook returns.
 */
#ifndef MP_ENVOY_MOD_ABI_H
#define MP_ENVOY_MOD_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of 1.39; another version is a warning in the proxy's log, nothing more. */
#define ABI_VERSION "v0.1.0"

struct abi_text {
    const char *ptr;
    size_t len;
};

struct abi_header {
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_len;
};

struct abi_timing {
    int64_t start_unix_ns, request_complete_ns;
    int64_t first_upstream_tx_ns, last_upstream_tx_ns, first_upstream_rx_ns, last_upstream_rx_ns;
    int64_t first_downstream_tx_ns, last_downstream_tx_ns; /* -1: it did not happen */
};

struct abi_bytes {
    uint64_t received, sent, wire_received, wire_sent;
};

enum abi_headers { ABI_REQUEST_HEADERS = 0, ABI_RESPONSE_HEADERS = 2, ABI_RESPONSE_TRAILERS = 3 };
enum abi_status { ABI_CONTINUE = 0, ABI_STOP = 1 };
enum abi_log { ABI_LOG_INFO = 2, ABI_LOG_WARN = 3 };
enum abi_log_type { ABI_TCP_CONNECTION_END = 3, ABI_DOWNSTREAM_END = 6 };
enum abi_reset { ABI_LOCAL_RESET = 0 };

/* envoy_dynamic_module_type_attribute_id; the first 42 are the same in all three versions. */
enum abi_attribute {
    ABI_REQUEST_PROTOCOL = 10,
    ABI_RESPONSE_CODE = 15,
    ABI_RESPONSE_CODE_DETAILS = 16,
    ABI_SOURCE_ADDRESS = 24,
    ABI_DESTINATION_PORT = 27,
    ABI_CONNECTION_ID = 28,
    ABI_CONNECTION_MTLS = 29,
    ABI_URI_SAN_PEER = 37,
    ABI_UPSTREAM_ADDRESS = 41
};

/* envoy_dynamic_module_type_response_flag, as bits of get_response_flags. */
enum abi_flag {
    ABI_FLAG_UPSTREAM_TIMEOUT = 2,
    ABI_FLAG_LOCAL_RESET = 3,
    ABI_FLAG_UPSTREAM_REMOTE_RESET = 4,
    ABI_FLAG_UPSTREAM_CONNECTION_TERMINATION = 6,
    ABI_FLAG_DOWNSTREAM_CONNECTION_TERMINATION = 14,
    ABI_FLAG_STREAM_IDLE_TIMEOUT = 16,
    ABI_FLAG_MAX_STREAM_DURATION = 19,
    ABI_FLAG_DURATION_TIMEOUT = 22,
    ABI_FLAG_DOWNSTREAM_REMOTE_RESET = 28
};

#define ABI_CALLBACK(name) envoy_dynamic_module_callback_##name
#define ABI_MUST __attribute__((weak)) /* a row of mod_abi.c */
#define ABI_MAY __attribute__((weak))  /* look whether it is there */
#define ABI_HOOK __attribute__((visibility("default")))

/* ---- any thread ---- */
void ABI_CALLBACK(log)(int level, struct abi_text message) ABI_MUST;
/* ---- main thread ---- */
uint32_t ABI_CALLBACK(get_concurrency)(void) ABI_MUST;
bool ABI_CALLBACK(is_validation_mode)(void) ABI_MAY;

/* ---- HTTP filter ---- */
int ABI_CALLBACK(http_filter_config_define_counter)(void *config, struct abi_text name,
                                                    struct abi_text *labels, size_t label_count,
                                                    size_t *id) ABI_MAY;
int ABI_CALLBACK(http_filter_increment_counter)(void *filter, size_t id, struct abi_text *labels,
                                                size_t label_count, uint64_t value) ABI_MAY;
uint32_t ABI_CALLBACK(http_filter_get_worker_index)(void *filter) ABI_MUST;
bool ABI_CALLBACK(http_get_header)(void *filter, int headers, struct abi_text key,
                                   struct abi_text *value, size_t index, size_t *count) ABI_MUST;
/* All of them: the array has room for as many as the first says. */
size_t ABI_CALLBACK(http_get_headers_size)(void *filter, int headers) ABI_MAY;
bool ABI_CALLBACK(http_get_headers)(void *filter, int headers, struct abi_header *out) ABI_MAY;
bool ABI_CALLBACK(http_filter_get_attribute_string)(void *filter, int attribute,
                                                    struct abi_text *value) ABI_MUST;
bool ABI_CALLBACK(http_filter_get_attribute_int)(void *filter, int attribute,
                                                 uint64_t *value) ABI_MUST;
bool ABI_CALLBACK(http_filter_get_attribute_bool)(void *filter, int attribute,
                                                  bool *value) ABI_MAY;
bool ABI_CALLBACK(http_get_cluster_name)(void *filter, struct abi_text *name) ABI_MAY;
void ABI_CALLBACK(http_send_response)(void *filter, uint32_t status, struct abi_header *headers,
                                      size_t header_count, struct abi_text body,
                                      struct abi_text details) ABI_MUST;
/* What a refusal leaves for the logger. */
void ABI_CALLBACK(http_set_dynamic_metadata_string)(void *filter, struct abi_text space,
                                                    struct abi_text key,
                                                    struct abi_text value) ABI_MAY;
/* A scheduler is deleted by whoever made it; a commit is safe on any thread, also when the stream
 * has gone. */
void *ABI_CALLBACK(http_filter_scheduler_new)(void *filter) ABI_MAY;
void ABI_CALLBACK(http_filter_scheduler_commit)(void *scheduler, uint64_t event) ABI_MAY;
void ABI_CALLBACK(http_filter_scheduler_delete)(void *scheduler) ABI_MAY;
void ABI_CALLBACK(http_filter_reset_stream)(void *filter, int reason,
                                            struct abi_text details) ABI_MAY;

/* ---- access logger ---- */
uint32_t ABI_CALLBACK(access_logger_get_worker_index)(void *logger) ABI_MAY;
bool ABI_CALLBACK(access_logger_get_attribute_string)(void *logger, int attribute,
                                                      struct abi_text *value) ABI_MAY;
bool ABI_CALLBACK(access_logger_get_attribute_int)(void *logger, int attribute,
                                                   uint64_t *value) ABI_MAY;
bool ABI_CALLBACK(access_logger_get_attribute_bool)(void *logger, int attribute,
                                                    bool *value) ABI_MAY;
bool ABI_CALLBACK(access_logger_get_header_value)(void *logger, int headers, struct abi_text key,
                                                  struct abi_text *value, size_t index,
                                                  size_t *count) ABI_MUST;
bool ABI_CALLBACK(access_logger_get_dynamic_metadata)(void *logger, struct abi_text space,
                                                      struct abi_text key,
                                                      struct abi_text *value) ABI_MAY;
void ABI_CALLBACK(access_logger_get_timing_info)(void *logger, struct abi_timing *timing) ABI_MUST;
void ABI_CALLBACK(access_logger_get_bytes_info)(void *logger, struct abi_bytes *bytes) ABI_MUST;
uint64_t ABI_CALLBACK(access_logger_get_response_flags)(void *logger) ABI_MUST;
bool ABI_CALLBACK(access_logger_get_route_name)(void *logger, struct abi_text *name) ABI_MUST;
bool ABI_CALLBACK(access_logger_get_upstream_cluster)(void *logger, struct abi_text *name) ABI_MUST;
bool ABI_CALLBACK(access_logger_get_downstream_remote_address)(void *logger,
                                                               struct abi_text *address,
                                                               uint32_t *port) ABI_MUST;

/* ---- bootstrap extension ---- */
void ABI_CALLBACK(bootstrap_extension_config_signal_init_complete)(void *config) ABI_MAY;

/* ---- what the proxy calls ---- */
/* The version that this module was written for, or NULL, which ends the proxy's load of it: the reason
 * is on standard error, since the proxy's own log may be what is missing. */
ABI_HOOK const char *envoy_dynamic_module_on_program_init(void);

#endif
