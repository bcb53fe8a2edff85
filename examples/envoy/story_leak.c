/* SPDX-License-Identifier: Apache-2.0
 * Data leaves through the edge connector: at once it leaves slowly; when it goes to several
 * places, not at all.
 */
#include "shop.h"

#define PIECE (64 * 1024)

static struct watch *send_data(const char *from, unsigned per_second, int tale,
                               const char *const hosts[3])
{
    struct watch_plan plan = {.from = from, .port = shop_apps[OUTSIDE].proxy_port, .id = ID_EXPORT,
                              .method = "POST", .path = "/upload", .body_bytes = PIECE,
                              .per_second = per_second, .tale = tale, .role = BAD};
    for (int i = 0; i < 3; i++) plan.hosts[i] = hosts[i];
    return watch_start(&plan);
}

void story_leak(void)
{
    static const char *const one[3] = {"backup.example"};
    static const char *const many[3] = {"backup.example", "paste.example", "drop.example"};
    struct watch *cart = watch_start(&(struct watch_plan){.from = "127.0.1.11",
                                                          .port = shop_apps[OUTSIDE].proxy_port,
                                                          .id = ID_CART,
                                                          .method = "POST",
                                                          .path = "/bank",
                                                          .body_bytes = 512,
                                                          .per_second = 5,
                                                          .tale = LEAK,
                                                          .role = GOOD});
    tell_begin(LEAK, "`export` sends 64 KiB to backup.example, eight times a second");
    struct watch *fast = send_data("127.0.2.9", 8, LEAK, one);
    if (tell_wait(LEAK, EFFECTIVE, shop_until(8))) {
        unsigned long before = watch_look(fast).passed;
        int64_t begun = tell_now_ns();
        watch_more(fast, 12, shop_until(4));
        double took = (double)(tell_now_ns() - begun) / 1e9;
        unsigned long passed = watch_look(fast).passed - before;
        tell_check(LEAK, (double)passed <= took + 2,
                   "slowed down at once: %lu of 12 passed in %.1f s", passed, took);
    }
    watch_stop(fast);
    tell_begin(LEAK_STOPPED, "`export` sends to paste.example and drop.example as well");
    struct watch *wide = send_data("127.0.2.10", 10, LEAK_STOPPED, many);
    bool stopped = tell_wait(LEAK_STOPPED, EFFECTIVE, shop_until(12));
    if (stopped) {
        watch_more(wide, 10, shop_until(4));
        tell_wait(LEAK_STOPPED, CONFIRMED, shop_until(10));
    }
    struct watch_seen seen = watch_stop(wide);
    tell_check(LEAK_STOPPED, seen.passed_after == 0 && seen.refused > 0,
               "nothing left after the denial was in force: %lu refused, %lu passed", seen.refused,
               seen.passed_after);
    tell_cause_gone(LEAK, "`export` is stopped");
    tell_cause_gone(LEAK_STOPPED, "`export` is stopped");
    if (stopped) tell_wait(LEAK_STOPPED, RELEASED, shop_until(14));
    seen = watch_stop(cart);
    tell_check(LEAK, seen.passed == seen.sent, "others: cart %lu of %lu through the edge",
               seen.passed, seen.sent);
}
