/* SPDX-License-Identifier: Apache-2.0
 * The new version of catalog is slow. Most of its share goes to the old one; when it is fast
 * again it gets its share back in steps.
 */
#include <string.h>

#include "shop.h"

static atomic_ulong old_version, new_version;

static void on_answer(enum kind kind, const char *from, const struct wire_answer *answer)
{
    (void)kind, (void)from;
    int64_t now = tell_now_ns();
    if (strcmp(answer->instance, "catalog-2") == 0) {
        atomic_fetch_add(&new_version, 1);
        tell_bad(SLOW, now, "the first: catalog-2 answers after %.0f ms",
                 (double)answer->took_ns / 1e6);
    } else if (strcmp(answer->instance, "catalog-1") == 0) {
        atomic_fetch_add(&old_version, 1);
    }
    if (answer->status == 403 || answer->status == 429) tell_harmed(SLOW);
}

/* The share of the new version in the next `count` answers, in percent; -1: they did not come. */
static int share_of_next(unsigned long count, int64_t until_ns)
{
    atomic_store(&old_version, 0);
    atomic_store(&new_version, 0);
    while (atomic_load(&old_version) + atomic_load(&new_version) < count) {
        if (tell_now_ns() > until_ns) return -1;
        tell_sleep_ns(5 * NS_PER_MS);
    }
    unsigned long all = atomic_load(&old_version) + atomic_load(&new_version);
    return (int)(atomic_load(&new_version) * 100 / all);
}

void story_slow(void)
{
    load_watch(on_answer);
    load_set(SHOPPER, 60);
    int before = share_of_next(60, shop_until(4));
    tell_check(SLOW, before >= 30 && before <= 70, "before: the new version answers %d%%", before);
    tell_begin(SLOW, "version v2 of catalog takes 800 ms for every answer");
    app_fault(CATALOG_2, 0, 800);
    bool acted = tell_wait(SLOW, EFFECTIVE, shop_until(8));
    if (acted) {
        tell_sleep_ns(NS_PER_S); /* what was under way ends */
        int shifted = share_of_next(60, shop_until(4));
        tell_check(SLOW, shifted >= 0 && shifted <= 20, "shifted: the new version answers %d%%",
                   shifted);
        tell_wait(SLOW, CONFIRMED, shop_until(10));
    }
    app_fault(CATALOG_2, 0, 0);
    tell_cause_gone(SLOW, "v2 is fast again");
    if (acted && tell_wait(SLOW, RELEASED, shop_until(20))) {
        int after = share_of_next(60, shop_until(4));
        tell_check(SLOW, after >= 30 && after <= 70, "after: the new version answers %d%%", after);
    }
    load_set(SHOPPER, 10);
    load_watch(NULL);
}
