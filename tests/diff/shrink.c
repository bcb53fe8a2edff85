/* SPDX-License-Identifier: Apache-2.0
 * shrink.c - a difference made small: one rule, as few events as will do.
 */
#include "diff.h"

#include <string.h>

static bool still_differs(const struct diff_options *o, uint32_t batch, const uint8_t *out,
                          const uint8_t *events_out, bool no_native)
{
    static struct diff_run small;
    static uint8_t copy[DIFF_RULES_MAX];
    struct diff_totals ignored = {0};
    memcpy(copy, out, sizeof copy);
    bool differs =
        !diff_batch(&small, o, batch, copy, events_out, no_native, &ignored) && small.p != NULL;
    if (small.p != NULL) diff_batch_end(&small);
    return differs;
}

/* Leaves out as many as can be spared, halves first. */
static void spare(const struct diff_options *o, uint32_t batch, uint8_t *out, uint8_t *events_out,
                  bool no_native, uint8_t *of, uint32_t count)
{
    for (uint32_t size = (count + 1) / 2; size > 0; size /= 2) {
        for (uint32_t at = 0; at < count; at += size) {
            uint8_t before[DIFF_RULES_MAX + DIFF_EVENTS_MAX];
            bool any = false;
            memcpy(before, of, count);
            for (uint32_t i = at; i < at + size && i < count; i++) {
                any |= !of[i];
                of[i] = 1;
            }
            if (any && !still_differs(o, batch, out, events_out, no_native))
                memcpy(of, before, count);
        }
    }
}

void diff_shrink(const struct diff_options *o, uint32_t batch, uint8_t *out, uint8_t *events_out,
                 uint32_t last_event, mp_str rule, bool no_native)
{
    uint8_t alone[DIFF_RULES_MAX];
    memset(alone, 1, sizeof alone);
    alone[diff_rule_number(rule)] = 0;
    for (uint32_t i = last_event + 1; i < o->events; i++) events_out[i] = 1;
    if (still_differs(o, batch, alone, events_out, no_native)) memcpy(out, alone, sizeof alone);
    else spare(o, batch, out, events_out, no_native, out, o->rules);
    spare(o, batch, out, events_out, no_native, events_out, o->events);
}
