/* SPDX-License-Identifier: Apache-2.0
 * What a proxy must have to run this module.
 */
#include <stdio.h>

#include "envoy_mod/abi.h"

#define NEED(name) {#name, (void (*)(void))ABI_CALLBACK(name)}

static const struct {
    const char *name;
    void (*callback)(void); /* NULL: this proxy does not have it */
} needs[] = {
    NEED(log),
    NEED(get_concurrency),
    NEED(http_filter_get_worker_index),
    NEED(http_get_header),
    NEED(http_filter_get_attribute_string),
    NEED(http_filter_get_attribute_int),
    NEED(http_send_response),
    NEED(access_logger_get_header_value),
    NEED(access_logger_get_timing_info),
    NEED(access_logger_get_bytes_info),
    NEED(access_logger_get_response_flags),
    NEED(access_logger_get_route_name),
    NEED(access_logger_get_upstream_cluster),
    NEED(access_logger_get_downstream_remote_address),
};

const char *envoy_dynamic_module_on_program_init(void)
{
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if (needs[i].callback != NULL) continue;
        fprintf(stderr,
                "mpol: this Envoy is too old for libmpol_envoy.so: it has no %s. Use 1.38 or newer, or"
                " a bootstrap without --module-socket\n",
                needs[i].name);
        return NULL;
    }
    return ABI_VERSION;
}
