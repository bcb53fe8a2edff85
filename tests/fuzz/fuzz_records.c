/* SPDX-License-Identifier: Apache-2.0
 * Access logs → records → engine, under a policy that reads every field. The first byte says who
 * is at the other end; what follows is one message, given twice, the second time without its
 * stream's first.
 */
#include <stdlib.h>

#include "daemon/daemon_priv.h"
#include "daemon/records.h"
#include "driver/driver.h"
#include "envoy_xds/envoy_xds.h"
#include "grpc/grpc.h"
#include "os/std.h"
#include "records_policy.h"

#define NOW (INT64_C(1795650000) * 1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dm d;
static struct mp_daemon_options options;
static struct mp_arena arena;
static struct dm_records *records;

static int64_t wall(void *ctx) { return NOW; }

static void no_instances(void *ctx, mp_str service, mp_envoy_instance_fn each, void *each_ctx) {}
static bool no_instance(void *ctx, mp_str name, struct mp_envoy_instance *out) { return false; }
static bool an_instance_at(void *ctx, mp_str ip, uint16_t port, struct mp_envoy_instance *out)
{
    *out = (struct mp_envoy_instance){MP_STR("checkout-2"), MP_STR("checkout"), MP_STR("v2"), ip,
                                      port};
    return port % 2 == 0;
}
static void no_identities(void *ctx, mp_str service, mp_envoy_text_fn each, void *each_ctx) {}
static mp_str service_of(void *ctx, mp_str identity) { return mp_str_sub(identity, 0, 8); }
static void no_services(void *ctx, mp_envoy_text_fn each, void *each_ctx) {}
static enum mp_err send_nothing(void *ctx, void *wire, mp_str bytes) { return MP_OK; }
static void end_nothing(void *ctx, void *wire, mp_str why) {}

static struct mp_program *compile(void)
{
    struct mp_compile_text text = {MP_STR("p.mpol"), mp_str_of(records_policy), MP_CHECK_GIVEN};
    struct mp_compile_options how = {.goal = MP_COMPILE_IMAGE, .os = &d.os};
    struct mp_compilation *c;
    struct mp_program *p;
    const char *why = "";
    if (mp_compile(&text, 1, &how, &c) != MP_OK) abort();
    mp_str image = mp_compilation_image(c);
    if (mp_program_load(image.ptr, image.len, &d.os, &p, &why) != MP_OK) abort();
    mp_compilation_free(c);
    return p;
}

static void begin(void)
{
    struct mp_engine_options how = {
        .clock = MP_ENGINE_LIVE, .hash_key = {1, 2}, .now_ns = NOW, .mono_ns = NOW};
    struct mp_envoy_world world = {NULL,          no_instances, no_instance, an_instance_at,
                                   no_identities, service_of,   no_services};
    struct mp_envoy_host host = {.send = send_nothing, .end = end_nothing, .now_ns = wall};
    struct mp_envoy *envoy;
    d = (struct dm){.options = &options, .started = true};
    mp_std_os(&d.os);
    d.os.wall_ns = wall;
    mp_arena_init(&arena, NULL, 0);
    d.now = (struct dm_generation){.program = compile(), .number = 1};
    how.limits.keys = 64;
    if (mp_ingest_create(&arena, d.now.program, how.hash_key, &d.now.ingest) != MP_OK ||
        mp_engine_create(d.now.program, &d.os, &how, NULL, &d.engine) != MP_OK ||
        mp_envoy_create(NULL, NULL, &world, &host, &envoy) != MP_OK) {
        abort();
    }
    records = dm_records_open(&d, envoy, &world);
    if (records == NULL) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mp_grpc_peer peers[] = {
        {MP_STR_INIT("127.0.0.1:1"), MP_STR_INIT(""), 1, false},
        {MP_STR_INIT("127.0.0.1:1"), MP_STR_INIT("spiffe://shop/ns/default/sa/server"), 2, true}};
    struct dm_records_counts before, after;
    if (records == NULL) begin();
    if (size == 0) return 0;
    mp_str message = {(const char *)data + 1, size - 1};
    dm_records_counts_get(records, &before);
    void *stream = dm_records_stream(records, &peers[data[0] & 1]);
    if (stream == NULL) abort();
    bool good = dm_records_message(stream, message);
    /* what was read once is read again */
    if (good && !dm_records_message(stream, message)) abort();
    dm_records_stream_closed(stream);
    dm_records_counts_get(records, &after);
    if (after.streams_now != 0 || (after.malformed > before.malformed) == good) abort();
    return 0;
}
