/* SPDX-License-Identifier: Apache-2.0
 * story.h - the four tales of the shop, and which of the requests that its proxies see belong to
 * them.
 */
#ifndef SHOP_STORY_H
#define SHOP_STORY_H

#include "mesh.h"

enum tale { TALE_CHECKOUT, TALE_LOGIN, TALE_ADMIN, TALE_SEARCH, TALES };

/* One request at one proxy, when it has ended. */
struct story_seen {
    bool gate;
    enum shop_service service;
    const char *path;
    enum shop_client client;
    const char *rule; /* that refused it here, or "" */
    int status;
    int64_t asked_ns; /* the proxy had not yet asked for a verdict */
    int64_t wall_ns;  /* it was answered */
};

void story_open(bool tty);
/* From every proxy thread. */
void story_see(const struct story_seen *seen);
/* From every client thread: one of its requests was refused by `rule`, somewhere on the way. */
void story_client_refused(enum shop_client client, const char *rule);
/* An edited policy has taken the place of the one before. */
void story_policy(unsigned reloads);

#endif
