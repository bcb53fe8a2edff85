/* SPDX-License-Identifier: Apache-2.0
 * suite.h - what every backend promises, as tests; the same for all of them.
 *
 * A backend is tried through its vtable alone (mpol/backend.h). What a vtable cannot say, its
 * peer does: how to come to a mesh, to let it obey, and to ask it for a request.
 */
#ifndef MP_CONFORMANCE_SUITE_H
#define MP_CONFORMANCE_SUITE_H

#include <stdbool.h>

#include "mpol/backend.h"

struct conformance_peer {
    const char *name;
    const struct mpol_backend_ops *ops;
    /* A backend on a mesh that has nothing of ours. */
    void *(*start)(void);
    /* Another backend on the same mesh, as after a crash: what was in force still is. */
    void *(*restart)(void *backend);
    void (*stop)(void *backend);
    /* Lets the mesh do all that it was told. NULL: it obeys at once. */
    void (*settle)(void *backend);
    /* Keeps one part of the data plane in the middle of a request, and lets it go. NULL: it has
     * none. */
    void (*hold)(void *backend);
    void (*let_go)(void *backend);
    /* Does a request of this client to this service pass at all, now? NULL: cannot be tried. */
    bool (*passes)(void *backend, const char *client, const char *service);
};

/* Runs all of it; the answer is the number of tests that failed. */
int conformance_run(const struct conformance_peer *peer);

#endif
