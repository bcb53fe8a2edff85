/* SPDX-License-Identifier: Apache-2.0
 * A long list of addresses, with xDS and the module together before a real Envoy: the backend and
 * the fleet of modules in this process, without an engine.
 *
 *   bench_addresses MPOL MODULES     in a folder of its own; the Envoy is $MPOL_ENVOY or in the
 *                                    build folder
 *
 * both.addresses    10,000 denied addresses of one rule: push → the proxy's filters and its module
 *                   have both been seen to obey. The list is left to the module.
 * both.apply        of this, the time of the control plane's own thread until it is sent
 * both.listed       the same where the filters are given the list too, as they are while the
 *                   module is not known to hold it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "../envoy/direct.h"
#include "../envoy/proxy.h"
#include "../envoy_mod/plane.h"
#include "bench.h"

#define ADDRESSES 10000
#define ROUNDS_MAX 100
#define DENIED "127.0.0.9"

static struct fake_mesh mesh;
static struct mp_fleet *fleet;
static bool may_leave; /* lists are left to the module */
static uv_pipe_t listener, connection;
static struct mp_fleet_peer *peer;
static uint64_t revision;

/* ---- the module's connection ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char room[65536];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(room, sizeof room);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    (void)stream;
    if (got < 0) bench_fail("the module is gone");
    if (got > 0 && !mp_fleet_take(peer, (mp_str){buf->base, (size_t)got}))
        bench_fail("the module says what no module says");
}

static void on_connection(uv_stream_t *server, int status)
{
    if (status != 0 || peer != NULL) bench_fail("more than one module");
    uv_pipe_init(server->loop, &connection, 0);
    if (uv_accept(server, (uv_stream_t *)&connection) != 0) bench_fail("no connection");
    peer = mp_fleet_open(fleet, &connection);
    if (peer == NULL || uv_read_start((uv_stream_t *)&connection, on_alloc, on_read) != 0)
        bench_fail("no memory");
}

struct sending {
    uv_write_t request;
    char bytes[];
};

static void on_sent(uv_write_t *request, int status)
{
    if (status != 0) bench_fail("the module does not take what it is told");
    free(request->data);
}

static void send_bytes(void *ctx, void *to, mp_str bytes)
{
    struct sending *s = malloc(sizeof *s + bytes.len);
    (void)ctx;
    if (s == NULL) bench_fail("no memory");
    memcpy(s->bytes, bytes.ptr, bytes.len);
    s->request.data = s;
    uv_buf_t buf = uv_buf_init(s->bytes, (unsigned)bytes.len);
    if (uv_write(&s->request, to, &buf, 1, on_sent) != 0) bench_fail("no connection");
}

static int64_t now_ns(void *ctx)
{
    (void)ctx;
    return (int64_t)uv_hrtime();
}

static void on_carriers(void *ctx)
{
    (void)ctx;
    mesh.modules_carry = may_leave && mp_fleet_carries(fleet, MP_STR("service"), MP_STR("shop"),
                                                       MP_STR("shop-1"));
    mp_envoy_modules_changed(mesh.envoy);
}

/* ---- what is in force ---- */

static uint64_t progress(void)
{
    struct mpol_progress p = {.size = sizeof p};
    if (mp_fleet_ops(fleet)->progress(fleet, &p) != MPOL_OK) bench_fail("no progress");
    return p.effective;
}

static void apply(const struct mpol_lease *leases, size_t count)
{
    struct mpol_desired set = {.size = sizeof set, .revision = ++revision,
                               .owner = mpol_text("mpol-bench"), .leases = leases,
                               .lease_count = count};
    if (mp_fleet_ops(fleet)->apply(fleet, &set) != MPOL_OK) bench_fail("refused");
}

static void wait_effective(void)
{
    uint64_t until = uv_hrtime() + UINT64_C(20000000000);
    while (progress() < revision) {
        if (uv_hrtime() > until) bench_fail("never effective\n%s", mesh.log);
        direct_turn();
    }
}

/* `apply_us`: what the control plane itself did for it, by the clock of its thread. */
static double push_us(const struct mpol_lease *leases, const struct proxy *shop, double *apply_us)
{
    if (get_once(DENIED, shop->port, "/") != 200) bench_fail("not let in before");
    uint64_t began = uv_hrtime();
    double cpu = bench_cpu_ns();
    apply(leases, ADDRESSES);
    *apply_us = (bench_cpu_ns() - cpu) / 1000;
    wait_effective();
    double us = (double)(uv_hrtime() - began) / 1000;
    if (get_once(DENIED, shop->port, "/") != 403) bench_fail("not refused when effective");
    apply(NULL, 0);
    wait_effective();
    return us;
}

static void say(const char *name, double *us, int count, const char *vs, double other)
{
    char full[64];
    double p50 = bench_median(us, count);
    snprintf(full, sizeof full, "%s.p50", name);
    bench_say(full, p50, "us", vs, vs != NULL ? p50 / other : 0);
    snprintf(full, sizeof full, "%s.p99", name);
    bench_say(full, bench_percentile(us, (size_t)count, 0.99), "us", NULL, 0);
}

/* In turns, so that what else the machine does meets both alike. */
static void measure(const struct mpol_lease *leases, const struct proxy *shop)
{
    static double left[ROUNDS_MAX], listed[ROUNDS_MAX], own[ROUNDS_MAX], ignored;
    int rounds = bench_quick() ? 3 : 40;
    for (int i = 0; i < rounds; i++) {
        may_leave = true;
        on_carriers(NULL);
        wait_effective();
        left[i] = push_us(leases, shop, &own[i]);
        may_leave = false;
        on_carriers(NULL);
        wait_effective();
        listed[i] = push_us(leases, shop, &ignored);
    }
    say("both.apply", own, rounds, NULL, 0);
    say("both.listed", listed, rounds, NULL, 0);
    say("both.addresses", left, rounds, "both.listed", bench_median(listed, rounds));
}

static const struct mpol_lease *long_list(void)
{
    static char addresses[ADDRESSES][16];
    static struct mpol_lease leases[ADDRESSES];
    for (int i = 0; i < ADDRESSES; i++) {
        snprintf(addresses[i], sizeof addresses[i], "10.9.%d.%d", i / 256, i % 256);
        leases[i] = plane_lease((uint64_t)i + 10, "deny", "client", "ip",
                                i == ADDRESSES / 2 ? DENIED : addresses[i]);
    }
    return leases;
}

/* ---- the mesh: one sidecar ---- */

static void open_fleet(const char *socket)
{
    struct mp_fleet_host host = {.send = send_bytes, .now_ns = now_ns, .carriers = on_carriers};
    if (mp_fleet_create(&host, &mp_envoy_ops, mesh.envoy, &fleet) != MP_OK)
        bench_fail("no memory");
    mp_str image = plane_compile("mpol 1\nuse std.mesh\n");
    if (mp_fleet_program(fleet, image, NULL, 0) != MP_OK) bench_fail("no memory");
    free((void *)(uintptr_t)image.ptr);
    uv_pipe_init(direct_loop(), &listener, 0);
    if (uv_pipe_bind(&listener, socket) != 0 ||
        uv_listen((uv_stream_t *)&listener, 4, on_connection) != 0)
        bench_fail("%s: no socket", socket);
}

int main(int argc, char **argv)
{
    struct upstream app;
    struct proxy shop = {0};
    char folder[100], socket[160], xds[32], word[200];
    int port = port_hold();
    if (argc < 3 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    setenv("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", argv[2], 1);
    if (folder_make(NULL) != 0 || getcwd(folder, sizeof folder) == NULL) bench_fail("no folder");
    snprintf(socket, sizeof socket, "%s/m.sock", folder);
    snprintf(word, sizeof word, "--module-socket=%s", socket);
    snprintf(xds, sizeof xds, "127.0.0.1:%d", port);
    upstream_start(&app);
    direct_begin(&mesh, NULL, 1);
    open_fleet(socket);
    apply(NULL, 0);
    direct_listen(xds);
    struct proxy_is is = {"service", "shop", "shop-1", app.port, port};
    proxy_start(&shop, &is, word, NULL);
    direct_wait(revision, true);
    while (peer == NULL) direct_turn();
    wait_effective();
    measure(long_list(), &shop);
    return mesh_drop(NULL) == 0 ? 0 : 2;
}
