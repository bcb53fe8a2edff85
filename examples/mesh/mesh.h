/* SPDX-License-Identifier: Apache-2.0
 * mesh.h - the little shop mesh of the live example: who is where, and how its parts call each
 * other.
 *
 *   load.c      clients on many loopback addresses ──▶ the gate
 *   proxy.c     a reverse proxy: the gate to the outside, and one in front of every service
 *   guard.c     what the proxy does with libmpol: the part that an embedder copies
 *   services.c  six small HTTP services that call each other through their proxies
 *   story.c     which of it belongs to which tale; ../telling prints the lines and the closing
 *               table
 *   shop.c      starts and stops all of it, and lets things go wrong
 *
 * Everything listens and calls on loopback, on ports that the kernel chooses.
 */
#ifndef SHOP_MESH_H
#define SHOP_MESH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telling.h"

/* 127.0.0.1, any port: where everything listens. */
struct sockaddr;
const struct sockaddr *shop_loopback(void);

/* ---- services.c ---- */
enum shop_service { WEB, CART, CHECKOUT, ACCOUNT, CATALOG, ADMIN, SERVICES };

struct shop_place {
    const char *name;     /* of the service */
    const char *instance; /* its one instance */
    const char *identity; /* SPIFFE ID that it shows when it calls others */
    const char *address;  /* where it calls from */
    uint16_t service_port;
    uint16_t proxy_port;  /* of the proxy in front of it */
};

extern struct shop_place shop_places[SERVICES];

/* Answers this share of the requests to `service` with 503, from now on. 0 heals it. */
void shop_fault(enum shop_service service, unsigned permille);
bool shop_services_start(uint64_t seed);
void shop_services_stop(void);

/* ---- proxy.c ---- */
extern uint16_t shop_gate_port;
extern const char shop_gate_address[];

bool shop_proxies_start(void);
void shop_proxies_stop(void);

/* ---- http.c: one blocking request, on a connection that the calling thread keeps ---- */
struct shop_answer {
    int status;    /* 0: no answer at all */
    char rule[64]; /* the rule that refused it on the way, if one did */
};

/* `from` is the address to call from. `headers` are lines `Name: value`, ended by NULL; may be
 * NULL. */
struct shop_answer shop_get(const char *from, uint16_t port, const char *path,
                            const char *const *headers);

/* ---- load.c ---- */
enum shop_client { CUSTOMER, SHOPPER, INTRUDER, STRANGER, CONSOLE, CLIENTS };

struct shop_counts {
    atomic_ulong sent, good, failed, refused; /* as these clients saw it */
};
extern struct shop_counts shop_counts[CLIENTS];

bool shop_load_start(uint64_t seed);
void shop_load_stop(void);
/* How many requests a second all clients of a kind send together; 0 is silence. */
void shop_load_set(enum shop_client kind, unsigned per_second);
enum shop_client shop_client_of(const char *address);
/* The identity in the certificate of a client, NULL: it shows none. */
const char *shop_client_identity(const char *address);

#endif
