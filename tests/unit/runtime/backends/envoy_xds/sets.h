/* SPDX-License-Identifier: Apache-2.0
 * sets.h - desired sets for tests, one line a lease.
 */
#ifndef MP_TEST_ENVOY_SETS_H
#define MP_TEST_ENVOY_SETS_H

#include <stdio.h>
#include <string.h>

#include "mpol/backend.h"

#define SET_MAX 1200

struct set {
    struct mpol_lease leases[SET_MAX];
    char targets[SET_MAX][48];
    struct mpol_desired desired;
};

static inline void set_begin(struct set *s, uint64_t revision)
{
    s->desired = (struct mpol_desired){.size = sizeof s->desired, .revision = revision,
                                       .owner = mpol_text("mpol-test"), .leases = s->leases};
}

static inline struct mpol_lease *set_add(struct set *s, const char *verb, const char *kind,
                                         const char *target)
{
    size_t i = s->desired.lease_count++;
    snprintf(s->targets[i], sizeof s->targets[i], "%s", target);
    s->leases[i] = (struct mpol_lease){
        .size = sizeof *s->leases, .id = i + 1, .incident = i + 100, .rule = mpol_text("rule"),
        .verb = mpol_text(verb), .target_kind = mpol_text(kind),
        .target_type = mpol_text(strcmp(kind, "client") == 0 ? "ip" : "string"),
        .target = mpol_text(s->targets[i]), .hooks = MPOL_ANY_LAYER};
    return &s->leases[i];
}

#endif
