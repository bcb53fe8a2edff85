/* SPDX-License-Identifier: Apache-2.0
 * Discovery as a conversation: the bytes are a program of what proxies, the engine, the prover
 * and the allocator do to the Envoy backend, one letter a step. Nothing they do may break it, and
 * what it says about revisions stays in order.
 */
#include <stdlib.h>
#include <string.h>

#include "envoy_wire/discovery.h"
#include "envoy_xds/envoy_xds.h"
#include "envoy_xds/names.h"

#define STREAMS 4u
#define STEPS_MAX 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at, *end;
};

static struct mp_envoy *envoy;
static struct mp_envoy_stream *streams[STREAMS];
static bool full[STREAMS], closing[STREAMS];
static enum mp_discovery_variant speaks[STREAMS];
static uint64_t revision, tickets;
static int64_t now_ns;
static size_t allocations, fail_at;

static uint8_t next(struct input *in) { return in->at < in->end ? *in->at++ : 0; }

/* ---- the host ---- */

static void *get_memory(void *ctx, size_t size)
{
    (void)ctx;
    return ++allocations == fail_at ? NULL : malloc(size);
}

static void put_memory(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    (void)size;
    free(ptr);
}

/* Of the last response. */
static char newest[STREAMS], versions[STREAMS][32];

static void put_version(uint8_t n, mp_str version)
{
    if (version.len >= sizeof versions[n]) abort();
    memcpy(versions[n], version.ptr, version.len);
    versions[n][version.len] = 0;
}

static enum mp_err take(void *ctx, void *wire, mp_str bytes)
{
    struct mp_discovery_answer answer;
    const char *why;
    (void)ctx;
    uint8_t n = *(uint8_t *)wire;
    if (mp_discovery_read_response(speaks[n], bytes, &answer, &why) != MP_OK) abort();
    newest[n] = answer.nonce.len == 1 ? answer.nonce.ptr[0] : 0;
    put_version(n, answer.system_version);
    return full[n] ? MP_ELIMIT : MP_OK;
}

static void end(void *ctx, void *wire, mp_str why)
{
    (void)ctx;
    (void)why;
    closing[*(uint8_t *)wire] = true;
}

static void prove(void *ctx, const struct mp_envoy_ask *ask)
{
    (void)ctx;
    tickets = ask->ticket;
}

static void cancel(void *ctx, uint64_t ticket)
{
    (void)ctx;
    (void)ticket;
}

static int64_t now(void *ctx)
{
    (void)ctx;
    return now_ns;
}

/* ---- the world: shop, of two instances ---- */

static const struct mp_envoy_instance shops[] = {
    {MP_STR_INIT("shop-1"), MP_STR_INIT("shop"), MP_STR_INIT("v1"), MP_STR_INIT("10.0.0.1"), 80},
    {MP_STR_INIT("shop-2"), MP_STR_INIT("shop"), MP_STR_INIT("v2"), MP_STR_INIT("10.0.0.2"), 80},
};

static void instances(void *ctx, mp_str service, mp_envoy_instance_fn each, void *each_ctx)
{
    (void)ctx;
    for (int i = 0; i < 2 && mp_str_eq(service, MP_STR("shop")); i++) {
        if (!each(each_ctx, &shops[i])) return;
    }
}

static bool instance(void *ctx, mp_str name, struct mp_envoy_instance *out)
{
    (void)ctx;
    for (int i = 0; i < 2; i++) {
        if (!mp_str_eq(name, shops[i].name)) continue;
        *out = shops[i];
        return true;
    }
    return false;
}

static bool instance_at(void *ctx, mp_str ip, uint16_t port, struct mp_envoy_instance *out)
{
    (void)ctx;
    (void)ip;
    (void)port;
    (void)out;
    return false;
}

static void identities(void *ctx, mp_str service, mp_envoy_text_fn each, void *each_ctx)
{
    (void)ctx;
    if (mp_str_eq(service, MP_STR("shop"))) each(each_ctx, MP_STR("spiffe://shop"));
}

static mp_str service_of(void *ctx, mp_str identity)
{
    (void)ctx;
    return mp_str_eq(identity, MP_STR("spiffe://shop")) ? MP_STR("shop") : MP_STR("");
}

static void services(void *ctx, mp_envoy_text_fn each, void *each_ctx)
{
    (void)ctx;
    each(each_ctx, MP_STR("shop"));
}

/* ---- steps ---- */

static void close_stream(unsigned n)
{
    if (streams[n] != NULL) mp_envoy_stream_closed(streams[n]);
    streams[n] = NULL;
    closing[n] = full[n] = false;
}

static void open_stream(unsigned n, uint8_t how)
{
    static const uint8_t wires[STREAMS] = {0, 1, 2, 3};
    struct mp_envoy_peer peer = {.address = MP_STR("peer"), .authenticated = (how & 1) != 0,
                                 .single = (how & 4) != 0, .sotw = (how & 8) != 0,
                                 .type = (enum mp_envoy_type)((how >> 4) % MP_ENVOY_TYPES)};
    if ((how & 2) != 0) peer.identity = MP_STR("spiffe://shop");
    close_stream(n);
    speaks[n] = peer.sotw ? MP_DISCOVERY_SOTW : MP_DISCOVERY_DELTA;
    streams[n] = mp_envoy_stream_open(envoy, (void *)(uintptr_t)&wires[n], &peer);
}

static void say(unsigned n, mp_str bytes)
{
    if (streams[n] != NULL && !mp_envoy_stream_message(streams[n], bytes)) closing[n] = true;
}

static void say_bytes(struct input *in, unsigned n)
{
    size_t len = next(in), left = (size_t)(in->end - in->at);
    if (len > left) len = left;
    say(n, (mp_str){(const char *)in->at, len});
    in->at += len;
}

static void say_request(struct input *in, unsigned n)
{
    static const char *const types[] = {MP_ENVOY_TYPE_EXTENSION, MP_ENVOY_TYPE_RUNTIME,
                                        MP_ENVOY_TYPE_ENDPOINTS, MP_ENVOY_TYPE_ROUTES,
                                        MP_ENVOY_TYPE_SECRET,    MP_ENVOY_TYPE_CLUSTER};
    static const char *const names[] = {MP_ENVOY_DENY,
                                        MP_ENVOY_ALLOW,
                                        MP_ENVOY_SHARE,
                                        MP_ENVOY_RUNTIME,
                                        "shop",
                                        "shop@v1",
                                        "*",
                                        "x"};
    static const char *const nodes[] = {"service/shop/shop-1", "ingress/gate/g", "edge/out/o",
                                        "nobody"};
    uint8_t what = next(in), subscribe = next(in), unsubscribe = next(in), nonce = next(in);
    struct mp_discovery_node node = {.id = mp_str_of(nodes[what >> 3 & 3])};
    mp_str lists[2][8];
    struct mp_discovery_pair version = {MP_STR(MP_ENVOY_DENY), MP_STR("0123456789abcdef")};
    char digits[4] = {(char)('0' + nonce % 10), 0};
    if ((nonce & 128) != 0) digits[0] = newest[n]; /* and with its version, an ACK in SotW */
    struct mp_discovery_ask ask = {.variant = speaks[n],
                                   .node = &node,
                                   .version = mp_str_of((nonce & 64) != 0 ? versions[n] : ""),
                                   .type_url = mp_str_of(types[(what & 7) % 6]),
                                   .subscribe = lists[0],
                                   .unsubscribe = lists[1],
                                   .versions = &version,
                                   .version_count = what >> 5 & 1,
                                   .has_error = (what & 64) != 0,
                                   .error_text = MP_STR("no\n"),
                                   .nonce = {digits, (what & 128) != 0}};
    for (int i = 0; i < 8; i++) {
        if ((subscribe >> i & 1) != 0) lists[0][ask.subscribe_count++] = mp_str_of(names[i]);
        if ((unsubscribe >> i & 1) != 0) lists[1][ask.unsubscribe_count++] = mp_str_of(names[i]);
    }
    char bytes[2048];
    struct pb_out out = pb_out_fixed(bytes, sizeof bytes);
    mp_discovery_write_request(&out, &ask);
    if (!out.failed) say(n, pb_view(&out));
}

static void apply(struct input *in)
{
    static const char *const targets[] = {"10.0.0.7", "10.0.0.8", "shop", "shop-1"};
    struct mpol_lease leases[4];
    struct mpol_arg to = {.name = mpol_text("to"), .type = mpol_text("percent"),
                          .kind = MPOL_ARG_NUMBER, .number = 0.25};
    uint8_t which = next(in);
    struct mpol_desired set = {
        .size = sizeof set, .revision = ++revision, .owner = mpol_text("fuzz"), .leases = leases};
    for (int i = 0; i < 4; i++) {
        if ((which >> i & 1) == 0) continue;
        bool client = i < 2;
        leases[set.lease_count++] = (struct mpol_lease){
            .size = sizeof *leases, .id = (uint64_t)i + 1, .incident = 1, .rule = mpol_text("r"),
            .verb = mpol_text(client ? "deny" : (which & 16) != 0 ? "throttle" : "quarantine"),
            .target_kind = mpol_text(client ? "client" : i == 2 ? "service" : "instance"),
            .target_type = mpol_text(client ? "ip" : "string"), .target = mpol_text(targets[i]),
            .hooks = MPOL_ANY_LAYER, .args = &to, .arg_count = !client && (which & 16) != 0,
            .given_back = (which & 32) != 0 ? 0.5 : 0};
    }
    if (mp_envoy_ops.apply(envoy, &set) != MPOL_OK) revision--;
}

static void check(void)
{
    struct mpol_progress p = {.size = sizeof p};
    if (mp_envoy_ops.progress(envoy, &p) != MPOL_OK) abort();
    if (p.effective > p.accepted || p.accepted > revision) abort();
    for (unsigned i = 0; i < STREAMS; i++) {
        if (closing[i]) close_stream(i);
    }
}

static void step(struct input *in)
{
    uint8_t letter = next(in);
    unsigned n = letter >> 6;
    switch (letter & 15) {
    case 0: open_stream(n, next(in)); break;
    case 1: close_stream(n); break;
    case 2: say_bytes(in, n); break;
    case 3: apply(in); break;
    case 4:
        mp_envoy_proven(envoy, tickets - next(in) % 4u, (enum mp_envoy_proven)(letter >> 4 & 1),
                        MP_STR(""));
        break;
    case 5: mp_envoy_proven(envoy, tickets, MP_ENVOY_UNPROVABLE, MP_STR("seen")); break;
    case 6: now_ns += (int64_t)next(in) * 100000000; break;
    case 7: mp_envoy_world_changed(envoy); break;
    case 8: full[n] = true; break;
    case 9:
        full[n] = false;
        if (streams[n] != NULL) mp_envoy_stream_drained(streams[n]);
        break;
    default: say_request(in, n); break;
    }
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct mp_alloc alloc = {.alloc = get_memory, .free = put_memory};
    struct mp_envoy_limits limits = {.streams = 3, .proxies = 3, .subscriptions = 10, .leases = 8};
    struct mp_envoy_world world = {.instances = instances,
                                   .instance = instance,
                                   .instance_at = instance_at,
                                   .identities = identities,
                                   .service_of = service_of,
                                   .services = services};
    struct mp_envoy_host host = {.send = take, .end = end, .prove = prove, .prove_cancel = cancel,
                                 .now_ns = now};
    allocations = 0;
    memset(newest, 0, sizeof newest);
    memset(versions, 0, sizeof versions);
    memset(speaks, 0, sizeof speaks);
    fail_at = next(&in); /* 0: never */
    fail_at += 256u * (next(&in) % 4u);
    revision = tickets = 0;
    now_ns = 1000000000;
    if (mp_envoy_create(&alloc, &limits, &world, &host, &envoy) != MP_OK) return 0;
    apply(&in);
    for (int i = 0; i < STEPS_MAX && in.at < in.end; i++) step(&in);
    for (unsigned i = 0; i < STREAMS; i++) close_stream(i);
    mp_envoy_destroy(envoy);
    return 0;
}
