/* SPDX-License-Identifier: Apache-2.0
 * A sale looks like an attack: the throttle of a false positive refuses good clients, the rule
 * sees it, and what it did is taken back.
 */
#include "shop.h"

#define BOUND_NS (5 * NS_PER_S)

static void on_answer(enum kind kind, const char *from, const struct wire_answer *answer)
{
    if (kind != SHOPPER) return;
    int64_t now = tell_now_ns();
    tell_bad(SURGE, now, "the first: /search by %s, status %d", from, answer->status);
    if (answer->status == 429) {
        tell_refused(SURGE);
        tell_harmed(SURGE);
    }
}

void story_surge(void)
{
    tell_begin(SURGE, "a sale begins: ten good clients search, 160 times a second");
    load_watch(on_answer);
    load_set(SHOPPER, 160);
    tell_wait(SURGE, ROLLED_BACK, shop_until(12));
    int64_t effective = tell_mark_ns(SURGE, EFFECTIVE), back = tell_mark_ns(SURGE, ROLLED_BACK);
    tell_check(SURGE, effective != 0 && back != 0 && back - effective <= BOUND_NS,
               "taken back %.2f s after it was in force", (double)(back - effective) / 1e9);
    /* What was on its way may still be refused; then nothing is. */
    tell_sleep_ns(NS_PER_S / 5);
    load_reset(SHOPPER);
    tell_sleep_ns(NS_PER_S);
    unsigned long sent = atomic_load(&load_counts[SHOPPER].sent);
    unsigned long refused = atomic_load(&load_counts[SHOPPER].refused);
    tell_check(SURGE, sent > 0 && refused == 0, "the second after: %lu good requests, %lu refused",
               sent, refused);
    load_set(SHOPPER, 60);
    tell_cause_gone(SURGE, "the sale is over");
    load_watch(NULL);
}
