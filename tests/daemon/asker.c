/* SPDX-License-Identifier: Apache-2.0 */
#include "asker.h"

#include <string.h>
#include <uv.h>

#include "harness.h"

#include "../grpc/client.h"
#include "envoy_wire/discovery.h"

#define ADS "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

static uv_loop_t loop;

int asker_begin(void **state)
{
    uv_loop_init(&loop);
    return folder_make(state);
}

int asker_finish(void **state)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_loop_close(&loop);
    return folder_drop(state);
}

void askers_run(void)
{
    for (int i = 0; i < 50; i++) uv_run(&loop, UV_RUN_NOWAIT);
}

static void speak(struct asker *a, struct mp_discovery_ask ask)
{
    static char room[4096];
    struct pb_out out = pb_out_fixed(room, sizeof room);
    ask.variant = MP_DISCOVERY_DELTA;
    ask.type_url = mp_str_of(a->type);
    mp_discovery_write_request(&out, &ask);
    grpc_call_send(a->ads, pb_view(&out));
}

static void on_answer(void *ctx, mp_str message)
{
    struct asker *a = ctx;
    struct mp_discovery_answer answer;
    const char *why;
    assert_int_equal(mp_discovery_read_response(MP_DISCOVERY_DELTA, message, &answer, &why), MP_OK);
    a->answers++;
    assert_true(message.len <= sizeof a->last);
    a->last_len = message.len;
    memcpy(a->last, message.ptr, message.len);
    struct mp_discovery_ask said = {.nonce = answer.nonce, .has_error = a->refuses != NULL};
    if (a->refuses != NULL) said.error_text = mp_str_of(a->refuses);
    speak(a, said);
}

static void on_ended(void *ctx, int status, mp_str text) { ((struct asker *)ctx)->closed = true; }
static void on_closed(void *ctx, const char *why) { ((struct asker *)ctx)->closed = true; }

void asker_comes(struct asker *a, const char *node, const char *type, const char *name)
{
    *a = (struct asker){.type = type};
    struct grpc_client_options o = {.target = "unix:xds", .closed = on_closed, .ctx = a};
    struct grpc_call_options call = {ADS, on_answer, on_ended, a};
    a->client = grpc_client_open(&loop, &o);
    assert_non_null(a->client);
    a->ads = grpc_call_open(a->client, &call);
    assert_non_null(a->ads);
    struct mp_discovery_node who = {.id = mp_str_of(node), .cluster = MP_STR("a"), .major = 1,
                                    .minor = 39};
    mp_str wanted = mp_str_of(name);
    speak(a, (struct mp_discovery_ask){.node = &who, .subscribe = &wanted, .subscribe_count = 1});
}

void asker_goes(struct asker *a)
{
    if (!a->closed) grpc_client_close(a->client);
    askers_run();
    a->client = NULL;
}

void asker_hears(struct asker *a)
{
    for (int waited = 0; a->answers == 0; pause_between(&waited, "an answer to a proxy"))
        askers_run();
}
