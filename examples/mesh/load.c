/* SPDX-License-Identifier: Apache-2.0
 * A bounded load generator: a fixed set of threads, each one client on an address of its own.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "mesh.h"
#include "story.h"

#define CLIENTS_MAX 40
#define PATHS 12

struct shop_counts shop_counts[CLIENTS];

/* What each kind of client asks for; a path is drawn from its list. */
static const struct habit {
    unsigned clients;
    unsigned block; /* addresses 127.0.<block>.1 and up */
    const char *paths[PATHS];
    const char *header;
    const char *identity;
} habits[CLIENTS] = {
    [CUSTOMER] = {12,
                  10,
                  {"/", "/", "/", "/", "/", "/cart", "/cart", "/buy", "/buy", "/search", "/login"},
                  "x-password: right",
                  NULL},
    [SHOPPER] = {10, 11, {"/search"}, NULL, NULL},
    [INTRUDER] = {1, 66, {"/login"}, "x-password: guess", NULL},
    [STRANGER] = {1, 77, {"/admin/users"}, NULL, NULL},
    [CONSOLE] = {1, 90, {"/admin/users"}, NULL, "spiffe://shop/ns/ops/sa/console"},
};

static struct client {
    pthread_t thread;
    enum shop_client kind;
    unsigned number;
    uint64_t dice;
} clients[CLIENTS_MAX];
static unsigned client_count;
static atomic_uint per_second[CLIENTS];
static atomic_bool running;

enum shop_client shop_client_of(const char *address)
{
    unsigned block = 0;
    if (sscanf(address, "127.0.%u.", &block) == 1) {
        for (int kind = 0; kind < CLIENTS; kind++) {
            if (habits[kind].block == block) return (enum shop_client)kind;
        }
    }
    return CLIENTS;
}

const char *shop_client_identity(const char *address)
{
    enum shop_client kind = shop_client_of(address);
    return kind < CLIENTS ? habits[kind].identity : NULL;
}

static void note(enum shop_client kind, const struct shop_answer *answer)
{
    struct shop_counts *counts = &shop_counts[kind];
    atomic_fetch_add(&counts->sent, 1);
    if (answer->rule[0] != '\0') {
        atomic_fetch_add(&counts->refused, 1);
        story_client_refused(kind, answer->rule);
    } else if (answer->status == 0 || answer->status >= 500) {
        atomic_fetch_add(&counts->failed, 1);
    } else {
        atomic_fetch_add(&counts->good, 1);
    }
}

static unsigned path_count(const struct habit *h)
{
    unsigned n = 0;
    while (n < PATHS && h->paths[n] != NULL) n++;
    return n;
}

static void *client_run(void *ctx)
{
    struct client *c = ctx;
    const struct habit *h = &habits[c->kind];
    const char *headers[] = {h->header, NULL};
    char from[32];
    snprintf(from, sizeof from, "127.0.%u.%u", h->block, c->number + 1);
    int64_t next = tell_now_ns();
    while (atomic_load(&running)) {
        unsigned rate = atomic_load(&per_second[c->kind]);
        int64_t now = tell_now_ns();
        if (rate == 0 || now < next) {
            if (rate == 0) next = now + (int64_t)(tell_dice(&c->dice) % 20) * NS_PER_MS;
            tell_sleep_ns(rate == 0 || next - now > 20 * NS_PER_MS ? 20 * NS_PER_MS : next - now);
            continue;
        }
        const char *path = h->paths[tell_dice(&c->dice) % path_count(h)];
        struct shop_answer answer = shop_get(from, shop_gate_port, path, headers);
        note(c->kind, &answer);
        /* A jitter of ±25% keeps the clients from marching in step. */
        int64_t step = NS_PER_S * h->clients / rate;
        next += step * 3 / 4 + (int64_t)(tell_dice(&c->dice) % (uint64_t)(step / 2 + 1));
        if (next < now - NS_PER_S) next = now;
    }
    return NULL;
}

bool shop_load_start(uint64_t seed)
{
    atomic_store(&running, true);
    for (int kind = 0; kind < CLIENTS; kind++) {
        for (unsigned i = 0; i < habits[kind].clients; i++) {
            struct client *c = &clients[client_count];
            *c = (struct client){.kind = (enum shop_client)kind,
                                 .number = i,
                                 .dice =
                                     (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) + client_count + 1};
            if (pthread_create(&c->thread, NULL, client_run, c) != 0) return false;
            client_count++;
        }
    }
    return true;
}

void shop_load_stop(void)
{
    atomic_store(&running, false);
    for (unsigned i = 0; i < client_count; i++) pthread_join(clients[i].thread, NULL);
    client_count = 0;
}

void shop_load_set(enum shop_client kind, unsigned rate) { atomic_store(&per_second[kind], rate); }
