/* SPDX-License-Identifier: Apache-2.0
 * The suite against real Envoys: a sidecar, which is asked for requests, and a gateway, which
 * routes to it. Sidecars of the many other services that the suite names are proxies in memory on
 * the same backend.
 *
 * Clients have the addresses that the suite gives them by x-forwarded-for, which these two trust.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../envoy/proxy.h"
#include "direct.h"
#include "envoy_kept.h"
#include "suite.h"

#define SERVICES 40
#define REALS 2

static struct fake_mesh mesh;
static struct mpol_backend_ops ops;
static struct proxy shop, gate;
static char xds[32];
static const char *clusters[SERVICES + 1]; /* an edge in memory leads to every service */

static enum mpol_err apply(void *backend, const struct mpol_desired *set)
{
    enum mpol_err err = mp_envoy_ops.apply(backend, set);
    if (err != MPOL_OK) return err;
    kept_put(set);
    direct_listen(xds);
    direct_connect_fakes(clusters);
    direct_wait(set->revision, false);
    return MPOL_OK;
}

/* ---- the peer ---- */

static char names[4 * SERVICES][48];

static const char *numbered(int at, const char *before, int n)
{
    snprintf(names[at], sizeof names[at], "%s%d", before, n);
    return names[at];
}

static void *start(void)
{
    memset(&mesh, 0, sizeof mesh);
    fake_proxy(&mesh, "edge/out/out-1");
    fake_instance(&mesh, "shop-1", "shop", "v1", "127.0.0.1", (uint16_t)shop.port);
    for (int i = 0; i < SERVICES; i++) {
        char id[64];
        snprintf(id, sizeof id, "service/service-%d/instance-%d", i, i);
        fake_proxy(&mesh, id);
        fake_instance(&mesh, numbered(3 * i, "instance-", i), numbered(3 * i + 1, "service-", i),
                      "v1", numbered(3 * i + 2, "10.1.0.", i + 1), 9000);
        clusters[i] = names[3 * i + 1];
    }
    direct_begin(&mesh, NULL, REALS);
    return mesh.envoy;
}

static void *restart(void *backend)
{
    (void)backend;
    direct_crash();
    direct_begin(&mesh, NULL, REALS);
    if (mp_envoy_ops.apply(mesh.envoy, kept_get()) != MPOL_OK) abort();
    direct_listen(xds);
    direct_connect_fakes(clusters);
    direct_wait(kept_get()->revision, true);
    return mesh.envoy;
}

static void stop(void *backend)
{
    (void)backend;
    direct_stop();
}

static void settle(void *backend)
{
    (void)backend;
    direct_wait(kept_get()->revision, true);
}

static void hold(void *backend)
{
    (void)backend;
    direct_hold("service/shop/shop-1");
}

static void let_go(void *backend)
{
    (void)backend;
    direct_hold(NULL);
}

static bool passes(void *backend, const char *client, const char *service)
{
    (void)backend;
    if (strcmp(service, "shop") != 0) abort();
    int direct = get_for(client, shop.port), routed = get_for(client, gate.port);
    if ((direct != 200 && direct != 403) || direct != routed) {
        fprintf(stderr, "the sidecar answers %s with %d, the gateway with %d\n", client, direct,
                routed);
        abort();
    }
    return direct == 200;
}

int main(int argc, char **argv)
{
    static const struct conformance_peer envoy = {
        .name = "envoy, on real ones",
        .ops = &ops,
        .start = start,
        .restart = restart,
        .stop = stop,
        .settle = settle,
        .hold = hold,
        .let_go = let_go,
        .passes = passes,
    };
    struct upstream app;
    void *state = NULL;
    if (argc < 2) return 1;
    if (proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    if (folder_make(&state) != 0) return 1;
    int port = port_hold();
    snprintf(xds, sizeof xds, "127.0.0.1:%d", port);
    upstream_start(&app);
    struct proxy_is at_shop = {"service", "shop", "shop-1", app.port, port};
    struct proxy_is at_gate = {"ingress", "gate", "gate-1", 0, port};
    proxy_start(&shop, &at_shop, "--xff-hops=1", NULL);
    proxy_start(&gate, &at_gate, "--route=/=shop", "--xff-hops=1", NULL);
    ops = mp_envoy_ops;
    ops.apply = apply;
    int failed = conformance_run(&envoy);
    mesh_drop(&state);
    return failed;
}
