/* SPDX-License-Identifier: Apache-2.0
 * The fleet of modules as a backend: one proxy, which is a gate in this process; frames go to it
 * and back without a socket.
 */
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"
#include "envoy_mod/fleet.h"
#include "envoy_mod/gate.h"
#include "suite.h"

#define ASKING 0
#define HELD 1

/* The mesh lives on while fleets come and go. */
static struct mp_gate *gate;
static struct mp_frame_out held; /* the set that it was told last, as the link keeps it */
static struct mp_fleet *fleet;
static struct mp_fleet_peer *peer;
static uint64_t waits; /* a revision that workers have not passed; 0: none */
static bool has_set;

/* ---- the proxy ---- */

static void say(struct mp_frame_out *out)
{
    if (!mp_fleet_take(peer, (mp_str){out->ptr, out->len})) abort();
    mp_frame_out_free(out);
}

static void tell_passed(void)
{
    uint64_t program, leases;
    struct mp_frame_out out = {0};
    mp_gate_step(gate);
    mp_gate_passed(gate, &program, &leases);
    if (!has_set || leases != waits) return;
    size_t began = mp_frame_begin(&out, MP_FRAME_PASSED);
    mp_frame_put_u8(&out, MP_FRAME_LEASES);
    mp_frame_put_u64(&out, waits);
    mp_frame_end(&out, began);
    say(&out);
    has_set = false;
}

static void take_leases(mp_str frame, mp_str body)
{
    struct mpol_desired set;
    struct mp_frame_out out = {0};
    void *memory;
    const char *why = "";
    if (mp_frame_get_leases(body, &set, &memory) != MP_OK) abort();
    enum mp_err err = mp_gate_leases(gate, &set, &why);
    struct mp_frame_taken taken = {MP_FRAME_LEASES, set.revision, (uint8_t)err, mp_str_of(why)};
    waits = set.revision;
    has_set = err == MP_OK;
    free(memory);
    held.len = 0;
    mp_frame_put_bytes(&held, frame);
    mp_frame_put_taken(&out, &taken);
    say(&out);
    tell_passed();
}

static void on_send(void *ctx, void *connection, mp_str bytes)
{
    uint8_t type;
    mp_str body;
    size_t size;
    while (mp_frame_next(bytes, MP_FRAME_DOWN_MAX, &type, &body, &size) == MP_OK) {
        if (type == MP_FRAME_LEASES) take_leases((mp_str){bytes.ptr, size}, body);
        bytes = mp_str_sub(bytes, size, bytes.len);
    }
}

static int64_t on_now(void *ctx) { return 1; }

static void load_program(void)
{
    static const char text[] = "mpol 1\nuse std.mesh\n"
                               "rule r when error_rate > 50% per svc then quarantine svc\n";
    struct mp_compile_text source = {MP_STR("t.mpol"), MP_STR(text), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE};
    struct mp_compilation *c;
    struct mp_frame_out out = {0};
    struct mp_frame_program program;
    const char *why;
    if (mp_compile(&source, 1, &options, &c) != MP_OK || mp_compilation_errors(c) > 0) abort();
    mp_frame_put_program(&out, 1, mp_compilation_image(c), NULL, 0);
    if (!mp_frame_get_program((mp_str){out.ptr + MP_FRAME_HEAD, out.len - MP_FRAME_HEAD}, &program))
        abort();
    if (mp_gate_program(gate, &program, &why) != MP_OK) abort();
    mp_frame_out_free(&out);
    mp_compilation_free(c);
}

/* ---- the suite's peer ---- */

static void *join(void)
{
    struct mp_fleet_host host = {NULL, on_send, NULL, NULL, on_now};
    struct mp_frame_hello hello = {.protocol = MP_FRAME_PROTOCOL,
                                   .workers = 2,
                                   .layer = MP_STR("service"),
                                   .service = MP_STR("shop"),
                                   .instance = MP_STR("shop-1"),
                                   .version = MP_STR("1")};
    struct mp_frame_out out = {0};
    if (mp_fleet_create(&host, NULL, NULL, &fleet) != MP_OK) abort();
    peer = mp_fleet_open(fleet, NULL);
    mp_frame_put_hello(&out, &hello);
    mp_frame_put_bytes(&out, (mp_str){held.ptr, held.len});
    say(&out);
    return fleet;
}

static void *start(void)
{
    static const struct mp_os os;
    struct mp_gate_options options = {.workers = 2, .leases = 256, .cuts = true, .key = {3, 4},
                                      .os = &os};
    if (mp_gate_create(&options, &gate) != MP_OK) abort();
    load_program();
    return join();
}

static void *restart(void *backend)
{
    mp_fleet_destroy(backend);
    return join();
}

static void stop(void *backend)
{
    mp_fleet_destroy(backend);
    mp_gate_destroy(gate);
    mp_frame_out_free(&held);
}

static void settle(void *backend) { tell_passed(); }

static void hold(void *backend)
{
    uint32_t count;
    mp_gate_enter(gate, HELD, &count);
}

static void let_go(void *backend) { mp_gate_leave(gate, HELD); }

struct request {
    const char *client, *service;
};

static enum mp_gate_got get(void *ctx, const struct mp_gate_want *want, struct mp_field_in *out)
{
    const struct request *r = ctx;
    out->kind = MP_FIELD_TEXT;
    out->text = MP_STR("");
    if (want->source == MP_GATE_CLIENT) out->text = mp_str_of(r->client);
    if (want->source == MP_GATE_SERVICE) out->text = mp_str_of(r->service);
    return out->text.len > 0 ? MP_GATE_IS : MP_GATE_ABSENT;
}

static bool passes(void *backend, const char *client, const char *service)
{
    struct request r = {client, service};
    struct mp_gate_host host = {&r, get};
    struct mp_gate_answer answer;
    mp_gate_ask(gate, ASKING, &host, INT64_C(1764000000000000000), MPOL_SERVICE, &answer);
    return answer.allow;
}

int main(void)
{
    struct mp_fleet_host host = {NULL, on_send, NULL, NULL, on_now};
    struct mp_fleet *any;
    if (mp_fleet_create(&host, NULL, NULL, &any) != MP_OK) abort();
    struct conformance_peer module = {.name = "envoy-module",
                                      .ops = mp_fleet_ops(any),
                                      .start = start,
                                      .restart = restart,
                                      .stop = stop,
                                      .settle = settle,
                                      .hold = hold,
                                      .let_go = let_go,
                                      .passes = passes};
    int failed = conformance_run(&module);
    mp_fleet_destroy(any);
    return failed;
}
