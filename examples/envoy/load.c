/* SPDX-License-Identifier: Apache-2.0
 * A bounded load generator: a fixed set of threads, each one client on an address of its own that
 * keeps its connection.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shop.h"

#define CLIENTS_MAX 96
#define PATHS 6
#define PAUSE_NS (20 * NS_PER_MS)

struct counts load_counts[KINDS];

/* What each kind of client asks for; a path is drawn from its list. */
static const struct habit {
    unsigned clients;
    unsigned block;    /* addresses 127.0.<block>.1 and up */
    const char *paths[PATHS];
    const char *headers;
    enum identity id;
    const uint16_t *port; /* NULL: the gateway's */
} habits[KINDS] = {
    [CUSTOMER] = {8, 10, {"/pay", "/pay", "/pay", "/search"}, NULL, ID_NONE, NULL},
    [SHOPPER] = {10, 11, {"/search"}, NULL, ID_NONE, NULL},
    [LOGGER_IN] = {6, 12, {"/login"}, "x-password: right\r\n", ID_NONE, NULL},
    [CART] = {2, 1, {"/pay"}, NULL, ID_CART, &shop_apps[CHECKOUT_1].proxy_port},
    [GUESSER] = {32, 66, {"/login"}, "x-password: guess\r\n", ID_NONE, NULL},
    [OFFENDER] = {8, 67, {"/login"}, "x-password: guess\r\n", ID_NONE, NULL},
};

static struct client {
    pthread_t thread;
    enum kind kind;
    unsigned number;
    uint64_t dice;
} clients[CLIENTS_MAX];
static unsigned client_count;
static atomic_uint per_second[KINDS];
static atomic_bool running;
static _Atomic(load_fn) watcher;

void load_watch(load_fn fn) { atomic_store(&watcher, fn); }

void load_reset(enum kind kind)
{
    struct counts *c = &load_counts[kind];
    atomic_store(&c->sent, 0);
    atomic_store(&c->good, 0);
    atomic_store(&c->failed, 0);
    atomic_store(&c->refused, 0);
}

static void note(enum kind kind, const char *from, const struct wire_answer *answer)
{
    struct counts *c = &load_counts[kind];
    load_fn fn = atomic_load(&watcher);
    atomic_fetch_add(&c->sent, 1);
    if (answer->status == 403 || answer->status == 429) {
        atomic_fetch_add(&c->refused, 1);
    } else if (answer->status == 0 || answer->status >= 500) {
        atomic_fetch_add(&c->failed, 1);
    } else {
        atomic_fetch_add(&c->good, 1);
    }
    if (fn != NULL) fn(kind, from, answer);
}

static unsigned path_count(const struct habit *h)
{
    unsigned n = 0;
    while (n < PATHS && h->paths[n] != NULL) n++;
    return n;
}

/* Waits until it is this client's turn; false: not yet. */
static bool turn(struct client *c, int64_t *next)
{
    unsigned rate = atomic_load(&per_second[c->kind]);
    int64_t now = tell_now_ns();
    if (rate == 0) {
        *next = now + (int64_t)(tell_dice(&c->dice) % 50) * NS_PER_MS;
        tell_sleep_ns(PAUSE_NS);
        return false;
    }
    if (now < *next) {
        tell_sleep_ns(*next - now > PAUSE_NS ? PAUSE_NS : *next - now);
        return false;
    }
    /* A jitter of ±25% keeps the clients from marching in step. */
    int64_t step = NS_PER_S * habits[c->kind].clients / rate;
    *next += step * 3 / 4 + (int64_t)(tell_dice(&c->dice) % (uint64_t)(step / 2 + 1));
    if (*next < now - NS_PER_S) *next = now;
    return true;
}

static void *client_run(void *ctx)
{
    struct client *c = ctx;
    const struct habit *h = &habits[c->kind];
    char from[32];
    snprintf(from, sizeof from, "127.0.%u.%u", h->block, c->number + 1);
    uint16_t port = h->port != NULL ? *h->port : shop_gateway_port;
    struct wire *wire = wire_create(&(struct wire_place){from, port, ca_client(h->id)});
    int64_t next = tell_now_ns();
    while (wire != NULL && atomic_load(&running)) {
        if (!turn(c, &next)) continue;
        const char *path = h->paths[tell_dice(&c->dice) % path_count(h)];
        struct wire_answer answer =
            wire_get(wire, &(struct wire_ask){.path = path, .headers = h->headers});
        note(c->kind, from, &answer);
    }
    wire_destroy(wire);
    return NULL;
}

bool load_start(uint64_t seed)
{
    atomic_store(&running, true);
    for (int kind = 0; kind < KINDS; kind++) {
        ca_client(habits[kind].id); /* made here, used there */
        for (unsigned i = 0; i < habits[kind].clients; i++) {
            struct client *c = &clients[client_count];
            *c = (struct client){.kind = (enum kind)kind,
                                 .number = i,
                                 .dice =
                                     (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) + client_count + 1};
            if (pthread_create(&c->thread, NULL, client_run, c) != 0) return false;
            client_count++;
        }
    }
    return true;
}

void load_stop(void)
{
    atomic_store(&running, false);
    for (unsigned i = 0; i < client_count; i++) pthread_join(clients[i].thread, NULL);
    client_count = 0;
}

void load_set(enum kind kind, unsigned rate) { atomic_store(&per_second[kind], rate); }
