/* SPDX-License-Identifier: Apache-2.0
 * host.h - a process that stands for Envoy: it has the callbacks that the module calls, and calls
 * the module's hooks as workers do. So the hooks run under sanitizers, which no real proxy can
 * load.
 */
#ifndef TEST_ENVOY_MOD_HOST_H
#define TEST_ENVOY_MOD_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include "envoy_mod/abi.h"

#define HOST_HEADERS 100

/* One stream; its address is the proxy's filter, and the logger's context when it ends. */
struct host_stream {
    uint32_t worker;
    struct host_header {
        const char *name, *value;
    } headers[HOST_HEADERS];
    uint32_t header_count;
    const char *client, *peer, *cluster; /* "127.0.0.2:1234" */
    /* what the module did */
    uint32_t status;
    char details[160], retry_after[32], note_key[128], note_service[128];
    _Atomic bool reset;
    const void *filter; /* of the module */
};

struct host {
    uint32_t concurrency;
    bool validation;
    _Atomic uint32_t warnings; /* logged */
    char last_log[700];
};
extern struct host host;

void host_stream_init(struct host_stream *s, uint32_t worker, const char *client);
void host_header(struct host_stream *s, const char *name, const char *value);
/* Headers arrive: true: it may go on. The stream stays open. */
bool host_begin(struct host_stream *s, const void *config);
/* The stream ends; with a logger it is logged first. */
void host_end(struct host_stream *s, const void *logger);
/* Runs what was scheduled for a worker, on the caller's thread: how much it was. */
uint32_t host_run_scheduled(uint32_t worker);

/* The module's hooks, as the proxy finds them. */
const void *envoy_dynamic_module_on_http_filter_config_new(void *envoy, struct abi_text name,
                                                           struct abi_text config);
void envoy_dynamic_module_on_http_filter_config_destroy(const void *config);
const void *envoy_dynamic_module_on_http_filter_new(const void *config, void *envoy);
int envoy_dynamic_module_on_http_filter_request_headers(void *envoy, const void *filter, bool end);
void envoy_dynamic_module_on_http_filter_stream_complete(void *envoy, const void *filter);
void envoy_dynamic_module_on_http_filter_destroy(const void *filter);
void envoy_dynamic_module_on_http_filter_scheduled(void *envoy, const void *filter, uint64_t event);
const void *envoy_dynamic_module_on_access_logger_config_new(void *envoy, struct abi_text name,
                                                             struct abi_text config);
void envoy_dynamic_module_on_access_logger_config_destroy(const void *config);
const void *envoy_dynamic_module_on_access_logger_new(const void *config, void *envoy);
void envoy_dynamic_module_on_access_logger_log(void *envoy, const void *logger, int type);
void envoy_dynamic_module_on_access_logger_destroy(const void *logger);
const void *envoy_dynamic_module_on_bootstrap_extension_config_new(void *envoy,
                                                                   struct abi_text name,
                                                                   struct abi_text config);
void envoy_dynamic_module_on_bootstrap_extension_config_destroy(const void *config);
const void *envoy_dynamic_module_on_bootstrap_extension_new(const void *config, void *envoy);
void envoy_dynamic_module_on_bootstrap_extension_shutdown(void *envoy, const void *extension,
                                                          void (*done)(void *ctx), void *ctx);
void envoy_dynamic_module_on_bootstrap_extension_destroy(const void *extension);

#endif
