/* SPDX-License-Identifier: Apache-2.0
 * A bounded load generator: a fixed set of threads, each one client on an address of its own.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "mesh.h"

#define CLIENTS_MAX 32

struct shop_counts shop_counts[STRANGER + 1];

/* What each kind of client asks for; a path is drawn from its list. */
static const struct habit {
    const char *name;
    unsigned clients;
    unsigned block; /* addresses 127.0.<block>.1 and up */
    const char *paths[8];
    const char *headers[2];
} habits[] = {
    [CUSTOMER] = {"customer", 12, 10, {"/", "/cart", "/buy", "/search", "/login", "/buy", "/cart"},
                  {"x-password: right"}},
    [SHOPPER] = {"shopper", 8, 11, {"/search"}, {NULL}},
    [INTRUDER] = {"intruder", 1, 66, {"/login"}, {"x-password: guess"}},
    [STRANGER] = {"stranger", 1, 77, {"/admin/users"}, {NULL}},
};

static struct client {
    pthread_t thread;
    enum shop_client kind;
    unsigned number;
    uint64_t dice;
} clients[CLIENTS_MAX];
static unsigned client_count;
static atomic_uint per_second[STRANGER + 1];
static atomic_bool running;

static void note(struct shop_counts *counts, struct shop_answer answer)
{
    atomic_fetch_add(&counts->sent, 1);
    if (answer.rule[0] != '\0') {
        atomic_fetch_add(&counts->refused, 1);
    } else if (answer.status == 0 || answer.status >= 500) {
        atomic_fetch_add(&counts->failed, 1);
    } else {
        atomic_fetch_add(&counts->good, 1);
    }
}

static void pause_ns(int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    nanosleep(&t, NULL);
}

static unsigned path_count(const struct habit *h)
{
    unsigned n = 0;
    while (n < 8 && h->paths[n] != NULL) n++;
    return n;
}

static void *client_run(void *ctx)
{
    struct client *c = ctx;
    const struct habit *h = &habits[c->kind];
    char from[32];
    snprintf(from, sizeof from, "127.0.%u.%u", h->block, c->number + 1);
    const char *headers[] = {h->headers[0], NULL};
    int64_t next = shop_now_ns();
    while (atomic_load(&running)) {
        unsigned rate = atomic_load(&per_second[c->kind]);
        int64_t now = shop_now_ns();
        if (rate == 0 || now < next) {
            int64_t wait = rate == 0 || next - now > 20000000 ? 20000000 : next - now;
            pause_ns(wait);
            if (rate == 0) next = shop_now_ns();
            continue;
        }
        const char *path = h->paths[(mp_rng_next(&c->dice) >> 32) % path_count(h)];
        note(&shop_counts[c->kind], shop_get(from, "127.0.0.1", shop_ingress_port, path, headers));
        int64_t step = 1000000000LL * h->clients / rate;
        /* A jitter of ±25% keeps the clients from marching in step. */
        next += step * 3 / 4 + (int64_t)((mp_rng_next(&c->dice) >> 32) % (uint64_t)(step / 2 + 1));
        if (next < now - 1000000000) next = now;
    }
    return NULL;
}

bool shop_load_start(uint64_t seed)
{
    atomic_store(&running, true);
    for (int kind = 0; kind <= STRANGER; kind++) {
        for (unsigned i = 0; i < habits[kind].clients; i++) {
            struct client *c = &clients[client_count];
            *c = (struct client){.kind = (enum shop_client)kind, .number = i,
                                 .dice = (seed + 1) * 0x9E3779B97F4A7C15ULL + client_count + 1};
            if (pthread_create(&c->thread, NULL, client_run, c) != 0) return false;
            client_count++;
        }
    }
    return true;
}

void shop_load_stop(void)
{
    atomic_store(&running, false);
    for (unsigned i = 0; i < client_count; i++) {
        pthread_join(clients[i].thread, NULL);
    }
    client_count = 0;
}

void shop_load_set(enum shop_client kind, unsigned rate) { atomic_store(&per_second[kind], rate); }
