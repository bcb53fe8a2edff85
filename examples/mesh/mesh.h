/* SPDX-License-Identifier: Apache-2.0
 * mesh.h - the little shop mesh of the live demo: who is where, and how its parts call each other.
 *
 *   load.c      clients on many loopback addresses ──▶ ingress proxy
 *   proxy.c     a reverse proxy: one listener in front of every service, one for the outside
 *   guard.c     what the proxy does with libmpol: the part an embedder copies
 *   services.c  six small HTTP services that call each other through their proxies
 *   story.c     tells what happens, and keeps the figures of the closing table
 *   shop.c      starts and stops all of it, in order
 *
 * Everything listens on loopback, on ports that the kernel chooses.
 */
#ifndef SHOP_MESH_H
#define SHOP_MESH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum shop_service { WEB, CART, CHECKOUT, ACCOUNT, CATALOG, ADMIN, SERVICES };

struct shop_place {
    const char *name;     /* of the service */
    const char *instance; /* its one instance */
    const char *identity; /* SPIFFE ID that it shows when it calls others */
    const char *address;  /* where it listens and calls from */
    uint16_t service_port;
    uint16_t proxy_port; /* of the listener in front of it */
};

extern struct shop_place shop_places[SERVICES];
extern uint16_t shop_ingress_port;

/* Who calls from this address? NULL: somebody from outside the mesh. */
const struct shop_place *shop_place_of(const char *address);

/* Nanoseconds since the epoch, and since the demo began. */
int64_t shop_now_ns(void);
double shop_seconds(void);

/* ---- http.c: one blocking request, on a connection that the calling thread keeps ---- */
struct shop_answer {
    int status;      /* 0: no answer at all */
    char rule[64];   /* the rule that refused it, if one did */
};

/* `from` is the address to call from, NULL for any. Header lines are `Name: value`, may be NULL. */
struct shop_answer shop_get(const char *from, const char *to, uint16_t port, const char *path,
                            const char *const *headers);

/* ---- services.c ---- */
/* Answers this share of the requests to `service` with 503, from now on. 0 heals it. */
void shop_fault(enum shop_service service, unsigned permille);
bool shop_services_start(uint64_t seed);
void shop_services_stop(void);

/* ---- proxy.c ---- */
bool shop_proxies_start(void);
void shop_proxies_stop(void);

/* ---- load.c ---- */
enum shop_client { CUSTOMER, SHOPPER, INTRUDER, STRANGER };

struct shop_counts {
    atomic_ulong sent, good, failed, refused; /* as the clients saw it */
};
extern struct shop_counts shop_counts[STRANGER + 1];

bool shop_load_start(uint64_t seed);
void shop_load_stop(void);
/* How many requests a second each kind sends; 0 is silence. */
void shop_load_set(enum shop_client kind, unsigned per_second);

#endif
