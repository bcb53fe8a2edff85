/* SPDX-License-Identifier: Apache-2.0
 * The bootstrap extension: brings what was in force last before a listener opens, and ends the
 * link's thread before workers go.
 */
#include "envoy_mod/mod.h"

static struct mod *ours(const void *p) { return (struct mod *)(uintptr_t)p; }

ABI_HOOK const void *envoy_dynamic_module_on_bootstrap_extension_config_new(void *envoy,
                                                                            struct abi_text name,
                                                                            struct abi_text config);
const void *envoy_dynamic_module_on_bootstrap_extension_config_new(void *envoy,
                                                                   struct abi_text name,
                                                                   struct abi_text config)
{
    (void)name;
    struct mod *m = mod_open(config);
    /* The proxy accepts no traffic before this is said, and waits silently. A control plane that
     * is away must not hold it up. */
    if (m != NULL && ABI_CALLBACK(bootstrap_extension_config_signal_init_complete) != NULL) {
        ABI_CALLBACK(bootstrap_extension_config_signal_init_complete)(envoy);
    }
    return m;
}

ABI_HOOK void envoy_dynamic_module_on_bootstrap_extension_config_destroy(const void *config);
void envoy_dynamic_module_on_bootstrap_extension_config_destroy(const void *config)
{
    mod_close(ours(config));
}

ABI_HOOK const void *envoy_dynamic_module_on_bootstrap_extension_new(const void *config,
                                                                     void *envoy);
const void *envoy_dynamic_module_on_bootstrap_extension_new(const void *config, void *envoy)
{
    (void)envoy;
    return config;
}

ABI_HOOK void envoy_dynamic_module_on_bootstrap_extension_shutdown(void *envoy,
                                                                   const void *extension,
                                                                   void (*done)(void *ctx),
                                                                   void *ctx);
void envoy_dynamic_module_on_bootstrap_extension_shutdown(void *envoy, const void *extension,
                                                          void (*done)(void *ctx), void *ctx)
{
    (void)envoy;
    mod_stop(ours(extension));
    done(ctx);
}

ABI_HOOK void envoy_dynamic_module_on_bootstrap_extension_destroy(const void *extension);
void envoy_dynamic_module_on_bootstrap_extension_destroy(const void *extension) { (void)extension; }

#define QUIET_HOOK(name)                                                                           \
    ABI_HOOK void envoy_dynamic_module_on_bootstrap_extension_##name(void *envoy, const void *extension);\
    void envoy_dynamic_module_on_bootstrap_extension_##name(void *envoy, const void *extension)    \
    {                                                                                              \
        (void)envoy;                                                                               \
        (void)extension;                                                                           \
    }
QUIET_HOOK(server_initialized)
QUIET_HOOK(worker_thread_initialized)
QUIET_HOOK(drain_started)
/* For events that we never ask for; further parameters are nobody's here. */
QUIET_HOOK(config_scheduled)
QUIET_HOOK(timer_fired)
QUIET_HOOK(file_changed)
QUIET_HOOK(http_callout_done)
QUIET_HOOK(cluster_add_or_update)
QUIET_HOOK(cluster_removal)
QUIET_HOOK(listener_add_or_update)
QUIET_HOOK(listener_removal)

ABI_HOOK uint32_t envoy_dynamic_module_on_bootstrap_extension_admin_request(void *envoy,
                                                                            const void *extension);
uint32_t envoy_dynamic_module_on_bootstrap_extension_admin_request(void *envoy,
                                                                   const void *extension)
{
    (void)envoy;
    (void)extension;
    return 404; /* no path of the admin's is ours */
}
