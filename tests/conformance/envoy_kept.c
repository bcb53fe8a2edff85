/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_kept.h"

#include <stdlib.h>
#include <string.h>

static struct mpol_desired kept;
static char kept_owner[64];
static struct mpol_lease kept_leases[64];
static char kept_texts[64][8][64];
static struct mpol_arg kept_args[64][4];

static struct mpol_text keep_text(struct mpol_text t, char *out)
{
    if (t.len >= 64) abort();
    if (t.len > 0) memcpy(out, t.ptr, t.len);
    return (struct mpol_text){out, t.len};
}

void kept_put(const struct mpol_desired *set)
{
    kept = *set;
    kept.leases = kept_leases;
    kept.owner = keep_text(set->owner, kept_owner);
    for (size_t i = 0; i < set->lease_count; i++) {
        struct mpol_lease *l = &kept_leases[i];
        *l = set->leases[i];
        struct mpol_text *texts[] = {&l->rule, &l->verb, &l->target_kind, &l->target_type,
                                     &l->target};
        for (int k = 0; k < 5; k++) *texts[k] = keep_text(*texts[k], kept_texts[i][k]);
        for (uint32_t k = 0; k < l->arg_count; k++) kept_args[i][k] = l->args[k];
        l->args = kept_args[i];
    }
}

const struct mpol_desired *kept_get(void) { return &kept; }
