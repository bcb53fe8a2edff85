/* SPDX-License-Identifier: Apache-2.0
 * A dynamic module of Envoy's that does nothing: what any module costs.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOOK(name) envoy_dynamic_module_on_##name

struct text {
    const char *ptr;
    size_t len;
};

static const char here;

#pragma GCC visibility push(default) /* the proxy finds what it looks for */

const char *HOOK(program_init)(void);
const char *HOOK(program_init)(void) { return "v0.1.0"; }

const void *HOOK(http_filter_config_new)(void *envoy, struct text name, struct text config);
const void *HOOK(http_filter_config_new)(void *envoy, struct text name, struct text config)
{
    return &here;
}
const void *HOOK(http_filter_new)(const void *config, void *envoy);
const void *HOOK(http_filter_new)(const void *config, void *envoy) { return &here; }

#define PASS(name)                                                                                 \
    int HOOK(http_filter_##name)(void *envoy, const void *filter, bool end);                       \
    int HOOK(http_filter_##name)(void *envoy, const void *filter, bool end) { return 0; }
PASS(request_headers)
PASS(request_body)
PASS(request_trailers)
PASS(response_headers)
PASS(response_body)
PASS(response_trailers)
PASS(local_reply)

#define QUIET(name)                                                                                \
    void HOOK(http_filter_##name)(const void *what);                                               \
    void HOOK(http_filter_##name)(const void *what) {}
QUIET(config_destroy)
QUIET(destroy)
QUIET(stream_complete)
QUIET(scheduled)
QUIET(http_callout_done)
QUIET(http_stream_headers)
QUIET(http_stream_data)
QUIET(http_stream_trailers)
QUIET(http_stream_complete)
QUIET(http_stream_reset)
QUIET(downstream_above_write_buffer_high_watermark)
QUIET(downstream_below_write_buffer_low_watermark)

#pragma GCC visibility pop
