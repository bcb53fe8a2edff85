/* SPDX-License-Identifier: Apache-2.0
 * liar.h - a proxy on loopback that answers whatever a test wants: the truth, a lie, nothing.
 */
#ifndef MP_TESTS_LIAR_H
#define MP_TESTS_LIAR_H

#include <uv.h>

#include "tls/tls.h"

struct liar;

/* One request. `connection` counts from 0, `request` from 0 on that connection. The answer is the
 * bytes to send; NULL: nothing; "": the connection is closed. */
typedef const char *(*liar_fn)(void *ctx, unsigned connection, unsigned request, const char *path);

struct liar *liar_open(uv_loop_t *loop, struct mp_tls_context *tls, liar_fn answer, void *ctx);
const char *liar_address(const struct liar *liar);
unsigned liar_connections(const struct liar *liar); /* ever */
uint16_t liar_peer_port(const struct liar *liar);  /* of who connected last */
unsigned liar_open_connections(const struct liar *liar);
void liar_hang_up(struct liar *liar); /* closes all connections */
void liar_close(struct liar *liar);

#endif
