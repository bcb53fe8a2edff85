/* SPDX-License-Identifier: Apache-2.0
 * One of three copies of checkout fails. That one is taken out of the balancing and cut off; the
 * other two are not touched; well again, it comes back in steps.
 */
#include <string.h>

#include "shop.h"

#define KEPT 256
/* mpol waits for the gateway for so long before checkout-2 itself refuses (docs/ENVOY.md). */
#define TURN_NS (100 * NS_PER_MS)

static atomic_ulong good, bad, sick_again, meanwhile;
/* When requests began that checkout-2 answered after *effective*. */
static _Atomic int64_t at_sick[KEPT];
static atomic_ulong at_sick_count;

/* Who begins while checkout-2 is taken out; nobody else may be refused for it, nor when it comes
 * back: it opens before the gateway leads there again. */
static bool is_meanwhile(int64_t begun_ns)
{
    int64_t decided = tell_mark_ns(SICK, DECIDED), effective = tell_mark_ns(SICK, EFFECTIVE);
    return decided != 0 && (effective == 0 || begun_ns <= effective);
}

/* The gateway is told first. Only one that takes its time, or a module in the sidecar, which is
 * told by itself, may refuse somebody whom it still leads there. */
static void look_meanwhile(void)
{
    int64_t took = tell_said_ns(SICK, EFFECTIVE) - tell_said_ns(SICK, DECIDED);
    unsigned long refused = atomic_load(&meanwhile);
    bool in_order = took < TURN_NS && mesh_modules() != MODULES_ALL;
    tell_check(SICK, !in_order || refused == 0,
               "customers refused in the %.0f ms until checkout-2 was taken out: %lu%s",
               (double)took / NS_PER_MS, refused, in_order ? "" : " (any number is allowed)");
}

/* What customers got from checkout. */
static void on_answer(enum kind kind, const char *from, const struct wire_answer *answer)
{
    (void)from;
    if (kind != CUSTOMER) return;
    int64_t now = tell_now_ns(), begun = now - answer->took_ns;
    bool failed = answer->status == 0 || answer->status >= 500, refused = answer->status == 403;
    bool sick = strcmp(answer->instance, shop_apps[CHECKOUT_2].instance) == 0;
    int64_t decided = tell_mark_ns(SICK, DECIDED), effective = tell_mark_ns(SICK, EFFECTIVE);
    atomic_fetch_add(failed ? &bad : &good, 1);
    if (failed && tell_begun(SICK, begun)) {
        tell_bad(SICK, now, "the first: a customer gets %d from %s", answer->status,
                 answer->instance);
        if (decided != 0 && begun > decided) tell_leaked(SICK);
    }
    if (refused && is_meanwhile(begun)) {
        atomic_fetch_add(&meanwhile, 1);
    } else if (refused) {
        tell_harmed(SICK);
    }
    if (sick && effective != 0 && begun > effective) {
        unsigned long n = atomic_fetch_add(&at_sick_count, 1);
        if (n < KEPT) atomic_store(&at_sick[n], begun);
    }
    if (sick && tell_mark_ns(SICK, RELEASED) != 0) atomic_fetch_add(&sick_again, 1);
}

static struct watch *watch(enum app app, enum role role)
{
    return watch_start(&(struct watch_plan){.from = "127.0.1.10",
                                            .port = shop_apps[app].proxy_port,
                                            .id = ID_CART,
                                            .path = "/pay",
                                            .per_second = 10,
                                            .tale = SICK,
                                            .role = role});
}

/* Of those how many began before it was given back; that is known by when it was said, for we may
 * hear of it later than the gateway. */
static unsigned long at_sick_after(void)
{
    int64_t releasing = tell_said_ns(SICK, RELEASING);
    unsigned long count = atomic_load(&at_sick_count), before = 0;
    for (unsigned long i = 0; i < count && i < KEPT; i++)
        before += releasing == 0 || atomic_load(&at_sick[i]) < releasing;
    return before;
}

static bool comes_back(int64_t until_ns)
{
    while (atomic_load(&sick_again) == 0 && tell_now_ns() < until_ns) tell_sleep_ns(5 * NS_PER_MS);
    return atomic_load(&sick_again) > 0;
}

void story_sick(void)
{
    struct watch *sick = watch(CHECKOUT_2, SUSPECT);
    struct watch *replicas[] = {watch(CHECKOUT_1, GOOD), watch(CHECKOUT_3, GOOD)};
    load_watch(on_answer);
    tell_begin(SICK, "checkout-2, one of three copies, answers 80% of its requests with 503");
    app_fault(CHECKOUT_2, 800, 0);
    bool acted = tell_wait(SICK, EFFECTIVE, shop_until(8));
    if (acted) {
        watch_more(sick, 5, shop_until(3));
        tell_check(SICK, watch_look(sick).passed_after == 0 && watch_look(sick).refused > 0,
                   "checkout-2 itself refuses everybody: %lu refused, %lu passed after *effective*",
                   watch_look(sick).refused, watch_look(sick).passed_after);
        tell_wait(SICK, CONFIRMED, shop_until(10));
    }
    app_fault(CHECKOUT_2, 0, 0);
    tell_cause_gone(SICK, "checkout-2 is well again");
    if (acted) tell_wait(SICK, RELEASED, shop_until(16));
    if (acted) look_meanwhile();
    unsigned long after = at_sick_after();
    tell_check(SICK, after == 0,
               "the gateway sent nothing to checkout-2 from *effective* to *releasing*: %lu",
               after);
    tell_check(SICK, comes_back(shop_until(3)), "checkout-2 answers customers again");
    load_watch(NULL);
    watch_stop(sick);
    struct watch_seen seen[] = {watch_stop(replicas[0]), watch_stop(replicas[1])};
    tell_check(SICK, seen[0].passed == seen[0].sent && seen[1].passed == seen[1].sent,
               "replicas: checkout-1 answered %lu of %lu, checkout-3 %lu of %lu", seen[0].passed,
               seen[0].sent, seen[1].passed, seen[1].sent);
}
