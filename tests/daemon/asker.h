/* SPDX-License-Identifier: Apache-2.0
 * asker.h - a proxy of which no more is needed than that it asks `mpol run --xds=unix:xds` for one
 * resource and takes or refuses what it is given.
 */
#ifndef TEST_DAEMON_ASKER_H
#define TEST_DAEMON_ASKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define ASKER_EDS "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
#define ASKER_ECDS "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"

struct asker {
    const char *type;
    struct grpc_client *client;
    struct grpc_call *ads;
    bool closed;
    const char *refuses; /* with these words; NULL: it takes what it is given */
    uint32_t answers;    /* that it was given */
    char last[4096];  /* the newest, as it came */
    size_t last_len;
};

/* Set-up and teardown of a case: a folder, and the loop that all askers run in. */
int asker_begin(void **state);
int asker_finish(void **state);

/* Connects as this node and asks; what is answered comes while the loop runs. */
void asker_comes(struct asker *a, const char *node, const char *type, const char *name);
void asker_goes(struct asker *a);
/* Runs the loop until it has taken an answer. */
void asker_hears(struct asker *a);
/* Runs the loop a little: what is there to be read and sent is. */
void askers_run(void);

#endif
