/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "inproc/inproc.h"
#include "suite.h"

/* The mesh is the table, so it lives on while backends come and go. */
static struct mp_arena arena;
static struct mp_inproc_reader *reader;

static void *start(void)
{
    struct mp_inproc *b = NULL;
    mp_arena_init(&arena, NULL, 0);
    struct mp_inproc_limits limits = {.leases = 64, .readers = 4};
    if (mp_inproc_create(&arena, limits, (struct mp_hash_key){1, 2}, &b) != MP_OK) abort();
    if (mp_inproc_reader_open(b, &reader) != MP_OK) abort();
    return b;
}

static void *restart(void *backend) { return backend; }

static void stop(void *backend)
{
    (void)backend;
    mp_inproc_reader_close(reader);
    mp_arena_free(&arena);
}

static void hold(void *backend)
{
    (void)backend;
    mp_inproc_enter(reader);
}

static void let_go(void *backend)
{
    (void)backend;
    mp_inproc_leave(reader);
}

static bool denies(const struct mp_inproc_lease *l)
{
    return l != NULL && (l->verb == MP_INPROC_DENY || l->verb == MP_INPROC_QUARANTINE);
}

static bool passes(void *backend, const char *client, const char *service)
{
    uint32_t kind, bits;
    struct mp_value address;
    const struct mp_inproc_view *view = mp_inproc_enter(reader);
    bool pass = mp_value_address(mp_str_of(client), &address, &bits) &&
                mp_inproc_kind(backend, MP_STR("client"), &kind) == MP_OK &&
                !denies(mp_inproc_find(view, kind, MP_REP_A, address)) &&
                mp_inproc_kind(backend, MP_STR("service"), &kind) == MP_OK &&
                !denies(mp_inproc_find(view, kind, MP_REP_T, mp_value_text(mp_str_of(service))));
    mp_inproc_leave(reader);
    return pass;
}

int main(void)
{
    static const struct conformance_peer inproc = {
        .name = "inproc", .ops = &mp_inproc_ops, .start = start, .restart = restart, .stop = stop,
        .hold = hold, .let_go = let_go, .passes = passes,
    };
    return conformance_run(&inproc);
}
