/* SPDX-License-Identifier: Apache-2.0
 * guard.h - what a proxy asks of mpol.
 */
#ifndef SHOP_GUARD_H
#define SHOP_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "mpol/mpol.h"

/* What is known of a request before it goes on; texts may be NULL. */
struct guard_request {
    uint32_t layer; /* MPOL_INGRESS or MPOL_SERVICE */
    const char *service, *instance, *client, *peer, *caller, *method, *path, *host;
};

struct guard_answer {
    bool allow;
    int status;
    int64_t retry_after_ns;
    char rule[64];
};

/* Compiles `files` (ended by NULL), tells what is wrong with them on standard error, reads the
 * inventory, and starts the loop. Edited files take effect while it runs; one with errors changes
 * nothing. `entry` hears every transition. */
bool guard_start(const char *const *files, const char *inventory, mpol_entry_fn entry);
void guard_stop(void);

/* May this request pass? Never blocks. */
struct guard_answer guard_ask(const struct guard_request *request);
/* How the request that this thread asked about last has ended. */
void guard_report(int status, int64_t latency_ns);

/* What the loop knows; under its lock. */
void guard_why(const char *rule, const char *key, mpol_write_fn write, void *ctx);
struct mpol_status guard_status(void);
unsigned guard_reloads(void);
/* What a verdict has cost, with filling in the record: a share of them (0.5, 0.99) took at most
 * this. */
uint64_t guard_cost_ns(double share);

#endif
