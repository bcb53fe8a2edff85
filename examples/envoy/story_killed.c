/* SPDX-License-Identifier: Apache-2.0
 * The control plane is killed in the middle of a quarantine. The Envoys go on refusing; mpol,
 * started again, knows what is in force before it answers the first of them, and the incident
 * goes on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shop.h"

#define FROM "127.0.2.8"
#define DEAD_NS NS_PER_S
#define PAGE (4 * 1024 * 1024)
#define LOOK_NS (20 * NS_PER_MS)

static const enum app callees[] = {ACCOUNT_1, CATALOG_1, CATALOG_2};
#define CALLEES (sizeof callees / sizeof *callees)

/* The value of the counter or gauge whose name ends so, at the Envoy of `app`;
 * -1: cannot be had. */
static long stat_of(enum app app, const char *name)
{
    char path[160], page[1024];
    snprintf(path, sizeof path, "/stats?filter=%s$", name);
    if (!mesh_admin(shop_apps[app].admin_port, path, page, sizeof page)) return -1;
    const char *at = strstr(page, ": ") != NULL ? strstr(page, name) : NULL;
    at = at != NULL ? strstr(at, ": ") : NULL;
    return at != NULL ? strtol(at + 2, NULL, 10) : -1;
}

/* Whether the configuration in force at an Envoy names this lease. */
static bool serves(enum app app, uint64_t lease)
{
    char name[64];
    char *page = malloc(PAGE);
    snprintf(name, sizeof name, "mpol:stray/%" PRIu64, lease);
    bool there = page != NULL &&
                 mesh_admin(shop_apps[app].admin_port, "/config_dump", page, PAGE) &&
                 strstr(page, name) != NULL;
    free(page);
    return there;
}

static bool reconnected(int64_t until_ns)
{
    for (size_t i = 0; i < CALLEES;) {
        if (stat_of(callees[i], "control_plane.connected_state") == 1) {
            i++;
        } else if (tell_now_ns() > until_ns) {
            return false;
        } else {
            tell_sleep_ns(LOOK_NS);
        }
    }
    return true;
}

/* False if the quarantine did not survive. */
static void kill_and_return(const struct watch *stray, const struct watch *allowed)
{
    uint64_t lease = follow_lease("stray", shop_identities[ID_BATCH]);
    long reloads = stat_of(ACCOUNT_1, "mpol-deny.config_reload");
    control_kill();
    tell_line(RED, "killed", "mpol, with kill -9, while lease %" PRIu64 " is in force", lease);
    struct watch_seen at = watch_look(stray);
    for (int64_t until = tell_now_ns() + DEAD_NS; tell_now_ns() < until;)
        watch_more(stray, 5, until);
    watch_more(stray, 6, shop_until(3)); /* one may have been under way */
    struct watch_seen dead = watch_look(stray);
    tell_check(KILLED, dead.refused - at.refused >= 5 && dead.passed == at.passed,
               "without mpol: %lu refused, %lu passed", dead.refused - at.refused,
               dead.passed - at.passed);

    int64_t started = tell_now_ns();
    bool listens = control_start();
    double took = (double)(tell_now_ns() - started) / 1e6;
    if (!tell_check(KILLED, listens, "mpol listens again after %.0f ms", took)) return;
    bool back = reconnected(shop_until(5));
    tell_check(KILLED, back, "the Envoys are connected again %.0f ms after the start",
               (double)(tell_now_ns() - started) / 1e6);
    watch_more(stray, 10, shop_until(3));
    watch_more(allowed, 10, shop_until(3));
    struct watch_seen after = watch_look(stray), own = watch_look(allowed);
    tell_check(KILLED, serves(ACCOUNT_1, lease) && serves(CATALOG_1, lease),
               "its first answer has the same lease, %" PRIu64
               ": the Envoys took %ld other filters since",
               lease, stat_of(ACCOUNT_1, "mpol-deny.config_reload") - reloads);
    tell_check(KILLED,
               after.passed_after == 0 && own.passed_after == 0 && after.refused > dead.refused,
               "not one request passed: %lu and %lu refused in all", after.refused, own.refused);
}

void story_killed(void)
{
    struct watch_plan plan = {.from = FROM, .port = shop_apps[CATALOG_1].proxy_port, .id = ID_BATCH,
                              .path = "/search", .per_second = 40, .tale = KILLED, .role = SUSPECT};
    struct watch *allowed = watch_start(&plan);
    watch_more(allowed, 5, shop_until(5));
    plan = (struct watch_plan){.from = "127.0.1.9",
                               .port = shop_apps[CHECKOUT_3].proxy_port,
                               .id = ID_CART,
                               .path = "/pay",
                               .per_second = 20,
                               .tale = KILLED,
                               .role = GOOD};
    struct watch *cart = watch_start(&plan);

    tell_begin(KILLED, "the workload `batch` is taken over: it calls account");
    plan = (struct watch_plan){.from = FROM,
                               .port = shop_apps[ACCOUNT_1].proxy_port,
                               .id = ID_BATCH,
                               .path = "/login",
                               .per_second = 40,
                               .tale = KILLED,
                               .role = BAD};
    struct watch *stray = watch_start(&plan);
    bool acted = tell_wait(KILLED, EFFECTIVE, shop_until(8));
    if (acted) {
        kill_and_return(stray, allowed);
        tell_wait(KILLED, CONFIRMED, shop_until(10));
    }
    watch_stop(stray);
    tell_cause_gone(KILLED, "`batch` is itself again");
    if (acted && tell_wait(KILLED, RELEASED, shop_until(16))) {
        unsigned long passed = watch_look(allowed).passed;
        watch_more(allowed, 10, shop_until(3));
        tell_check(KILLED, watch_look(allowed).passed > passed, "batch reads the catalog again");
    }
    watch_stop(allowed);
    struct watch_seen seen = watch_stop(cart);
    tell_check(KILLED, seen.passed == seen.sent, "others: cart %lu of %lu answered", seen.passed,
               seen.sent);
}
