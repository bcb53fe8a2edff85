/* SPDX-License-Identifier: Apache-2.0
 * The suite against proxies in memory, which know what a resource means by a decoder of their
 * own: it shares nothing with who writes them but protobuf's wire format.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy_xds/names.h"
#include "envoy_kept.h"
#include "fake.h"
#include "suite.h"

#define SERVICES 40

static struct fake_mesh mesh;
static struct mpol_backend_ops ops;
static bool sotw; /* proxies speak the state of the world, not delta */

/* ---- what a resource means: Matcher of xds.type.matcher.v3, RBAC of envoy.extensions ---- */

struct asked {
    mp_str client, path;
};

static bool field(mp_str message, uint32_t number, mp_str *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    bool found = false;
    while (pb_next(&in, &f)) {
        if (f.number != number || f.wire != PB_BYTES) continue;
        *out = f.bytes;
        found = true;
    }
    return found;
}

static uint64_t number(mp_str message, uint32_t which)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    uint64_t n = 0;
    while (pb_next(&in, &f)) {
        if (f.number == which && f.wire == PB_VARINT) n = f.word;
    }
    return n;
}

/* Name of the message in an Any within a TypedExtensionConfig, and its value. */
static bool extension(mp_str message, mp_str *type, mp_str *value)
{
    mp_str any;
    if (!field(message, 2, &any) || !field(any, 1, type)) return false;
    if (!field(any, 2, value)) *value = MP_STR("");
    return true;
}

/* False: this input has no value here, or is none that this decoder knows. */
static bool input_of(mp_str message, const struct asked *q, mp_str *out)
{
    mp_str type, value;
    if (!extension(message, &type, &value)) abort();
    if (mp_str_ends(type, MP_STR("network.v3.SourceIPInput"))) {
        *out = q->client;
    } else if (mp_str_ends(type, MP_STR("HttpRequestHeaderMatchInput"))) {
        *out = q->path;
    } else {
        return false;
    }
    return true;
}

static bool predicate(mp_str message, const struct asked *q)
{
    mp_str part, input, match, value, exact;
    if (field(message, 4, &part)) return !predicate(part, q);
    if (!field(message, 1, &part) || !field(part, 1, &input)) return false;
    if (!input_of(input, q, &value) || !field(part, 2, &match)) return false;
    if (field(match, 1, &exact)) return mp_str_eq(exact, value);
    /* The one regular expression that is used is the shape of the probe's path. */
    return mp_str_starts(value, MP_STR(MP_ENVOY_PROBE_PATH));
}

static bool matcher(mp_str message, const struct asked *q, mp_str *action);

static bool on_match(mp_str message, const struct asked *q, mp_str *action)
{
    mp_str inner;
    if (field(message, 1, &inner)) return matcher(inner, q, action);
    return field(message, 2, action);
}

static bool list(mp_str message, const struct asked *q, mp_str *action)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        mp_str when, then;
        if (f.number != 1 || !field(f.bytes, 1, &when) || !field(f.bytes, 2, &then)) continue;
        if (predicate(when, q) && on_match(then, q, action)) return true;
    }
    return false;
}

static bool tree(mp_str message, const struct asked *q, mp_str *action)
{
    mp_str input, map, value;
    if (!field(message, 1, &input) || !field(message, 2, &map)) return false;
    if (!input_of(input, q, &value)) return false;
    struct pb_in in = pb_read(map);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        mp_str key, then;
        if (f.number != 1 || !field(f.bytes, 1, &key) || !field(f.bytes, 2, &then)) continue;
        if (mp_str_eq(key, value)) return on_match(then, q, action);
    }
    return false;
}

static bool matcher(mp_str message, const struct asked *q, mp_str *action)
{
    mp_str part;
    if (field(message, 1, &part) && list(part, q, action)) return true;
    if (field(message, 2, &part) && tree(part, q, action)) return true;
    return field(message, 3, &part) && on_match(part, q, action);
}

/* Does the filter's config refuse the request? */
static bool refuses(mp_str config, const struct asked *q)
{
    mp_str type, value, part, action, inner;
    if (!extension(config, &type, &value)) abort();
    if (mp_str_ends(type, MP_STR("ExtensionWithMatcher"))) {
        if (field(value, 3, &part) && matcher(part, q, &action)) return false; /* skipped */
        return field(value, 2, &part) && refuses(part, q);
    }
    if (!mp_str_ends(type, MP_STR("http.rbac.v3.RBAC"))) return false;
    if (!field(value, 4, &part)) return false;
    if (!matcher(part, q, &action)) return true; /* without an answer an RBAC matcher denies */
    return extension(action, &type, &inner) && number(inner, 2) == 1;
}

/* ---- the peer ---- */

static const char *numbered(const char *before, int n)
{
    static char texts[4 * SERVICES + 8][48];
    static int at;
    char *out = texts[at++ % (4 * SERVICES + 8)];
    snprintf(out, 48, "%s%d", before, n);
    return out;
}

/* The gateway leads to every service. */
static void connect_all(void)
{
    const char *clusters[SERVICES + 1];
    for (int i = 0; i < SERVICES; i++) clusters[i] = mesh.instances[i].service.ptr;
    clusters[SERVICES] = NULL;
    for (int i = 0; i < SERVICES; i++) mesh.proxies[0].routes[i] = clusters[i];
    mesh.proxies[0].route_count = SERVICES;
    for (uint32_t i = 0; i < mesh.proxy_count; i++) {
        if (mesh.proxies[i].stream != NULL) continue;
        if (!fake_connect(&mesh.proxies[i], i == 0 ? clusters : NULL)) abort();
    }
}

/* Proxies come when the port is open, and that is after the first set. */
static enum mpol_err apply(void *backend, const struct mpol_desired *set)
{
    enum mpol_err err = mp_envoy_ops.apply(backend, set);
    if (err != MPOL_OK) return err;
    kept_put(set);
    connect_all();
    fake_pump(&mesh);
    return MPOL_OK;
}

static void *start(void)
{
    ops = mp_envoy_ops;
    ops.apply = apply;
    memset(&mesh, 0, sizeof mesh);
    mesh.sotw = sotw;
    fake_proxy(&mesh, "ingress/gate/gate-1");
    fake_proxy(&mesh, "edge/out/out-1");
    fake_proxy(&mesh, "service/shop/shop-1");
    for (int i = 0; i < SERVICES; i++) {
        char id[64];
        snprintf(id, sizeof id, "service/service-%d/instance-%d", i, i);
        fake_proxy(&mesh, id);
        fake_instance(&mesh, numbered("instance-", i), numbered("service-", i), "v1",
                      numbered("10.1.0.", i + 1), 9000);
    }
    fake_start(&mesh, NULL);
    return mesh.envoy;
}

/* As after `kill -9`: the engine resumes from its store before the port opens, and the proxies,
 * which went on with what they had, come back and tell what that is. */
static void *restart(void *backend)
{
    (void)backend;
    fake_crash(&mesh);
    fake_start(&mesh, NULL);
    if (mp_envoy_ops.apply(mesh.envoy, kept_get()) != MPOL_OK) abort();
    connect_all();
    fake_pump(&mesh);
    return mesh.envoy;
}

static void stop(void *backend)
{
    (void)backend;
    fake_stop(&mesh);
}

static void settle(void *backend)
{
    (void)backend;
    fake_pump(&mesh);
}

static void hold(void *backend)
{
    (void)backend;
    fake_proxy(&mesh, "service/shop/shop-1")->held = true;
}

static void let_go(void *backend)
{
    (void)backend;
    fake_proxy(&mesh, "service/shop/shop-1")->held = false;
}

static bool passes(void *backend, const char *client, const char *service)
{
    char id[64];
    struct asked q = {mp_str_of(client), MP_STR("/")};
    (void)backend;
    snprintf(id, sizeof id, "service/%s/%s-1", service, service);
    const struct fake_resource *deny = fake_has(fake_proxy(&mesh, id), MP_ENVOY_DENY);
    if (deny == NULL) abort();
    return !refuses((mp_str){deny->bytes, deny->len}, &q);
}

int main(int argc, char **argv)
{
    sotw = argc > 1 && strcmp(argv[1], "sotw") == 0;
    const struct conformance_peer envoy = {
        .name = sotw ? "envoy, on proxies in memory that speak the state of the world"
                     : "envoy, on proxies in memory",
        .ops = &ops, .start = start, .restart = restart,
        .stop = stop, .settle = settle, .hold = hold, .let_go = let_go, .passes = passes,
    };
    ops = mp_envoy_ops;
    ops.apply = apply;
    return conformance_run(&envoy);
}
