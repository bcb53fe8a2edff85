/* SPDX-License-Identifier: Apache-2.0
 * prove_priv.h - what prove.c and link.c share.
 */
#ifndef MP_ENVOY_PROVE_PROVE_PRIV_H
#define MP_ENVOY_PROVE_PROVE_PRIV_H

#include "envoy_prove/http1.h"
#include "envoy_prove/prove.h"
#include "tls/tls.h"

#define HOST_BYTES 64
#define ROOM_BYTES (64u << 10)

struct prove_link;

/* What becomes of a question; called from within the loop. The link may be closed inside. */
struct prove_owner {
    void *ctx;
    void (*answered)(void *ctx, const struct mp_http1 *answer);
    void (*broken)(void *ctx, const char *why, bool bad_reply);
};

struct prove_proxy {
    struct prove_proxy *next;
    uint64_t id;
    uint32_t tasks;
    struct prove_link *kept; /* idle, to its listener */
};

/* Where a connection of ours comes from. */
#define MADE_MAX 1024u
struct prove_made {
    char ip[48];
    uint32_t port; /* 0: none */
};

struct mp_prover {
    uv_loop_t *loop;
    struct mp_prover_options o;
    struct mp_prover_counts counts;
    struct mp_tls_context *tls;
    struct prove_task *tasks;
    struct prove_proxy *proxies;
    uint64_t next_ticket;
    uint32_t handles; /* that are not closed yet */
    bool closing;
    struct prove_made made[MADE_MAX];
    uint32_t made_next;
    char read_room[ROOM_BYTES], plain_room[ROOM_BYTES];
};

void prove_gone(struct mp_prover *prover); /* after each handle that has closed */

/* link.c: one connection to a proxy. */
struct prove_where {
    struct sockaddr_storage to;
    char host[HOST_BYTES]; /* "127.0.0.1:80" */
    bool tls;
};

/* Connects in the background. NULL: no memory, no socket, or too many connections. */
struct prove_link *prove_link_open(struct mp_prover *prover, const struct prove_where *where);
/* Who is told from now on; NULL: nobody, it is idle. */
void prove_link_owner(struct prove_link *link, const struct prove_owner *owner);
/* Asks; one question at a time. */
void prove_link_ask(struct prove_link *link, const char *path);
bool prove_link_usable(const struct prove_link *link); /* it may be asked (again) */
bool prove_link_is_to(const struct prove_link *link, const struct prove_where *where);
/* Nobody is told any more. NULL is allowed. */
void prove_link_close(struct prove_link *link);

#endif
