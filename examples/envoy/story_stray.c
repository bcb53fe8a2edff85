/* SPDX-License-Identifier: Apache-2.0
 * A compromised workload: it goes on doing what it may do, and calls services that do not know
 * it. Its identity is turned away everywhere: on connections that are open, on resumed sessions,
 * on new ones, and its stream is cut. Nobody else notices.
 */
#include "shop.h"

#define FROM "127.0.2.7"

static struct watch *watch(const char *from, enum app app, enum identity id, const char *path,
                           enum role role)
{
    return watch_start(&(struct watch_plan){.from = from,
                                            .port = shop_apps[app].proxy_port,
                                            .id = id,
                                            .path = path,
                                            .per_second = 20,
                                            .tale = STRAY,
                                            .role = role});
}

/* A session from before the decision, and a handshake that starts from nothing. */
static void try_handshakes(struct wire *before)
{
    struct wire_ask ask = {.path = "/search"};
    wire_drop(before);
    wire_resume(before, true);
    struct wire_answer again = wire_get(before, &ask);
    tell_check(STRAY, again.status == 403 && again.resumed,
               "a resumed TLS session is refused: %s, status %d",
               again.resumed ? "resumed" : "NOT RESUMED", again.status);
    struct wire *fresh = wire_create(&(struct wire_place){FROM, shop_apps[CATALOG_2].proxy_port,
                                                          ca_client(ID_REPORT)});
    struct wire_answer first = wire_get(fresh, &ask);
    tell_check(STRAY, first.status == 403 && !first.resumed,
               "a new TLS session is refused: status %d", first.status);
    wire_destroy(fresh);
}

static void check_stream(struct stream *stream)
{
    if (mesh_modules() != MODULES_NONE) {
        int64_t end = stream_end_ns(stream, shop_until(2));
        tell_check(STRAY, end != 0, "the stream that it had open %s, %.1f ms after the decision",
                   end != 0 ? "is cut" : "GOES ON",
                   (double)((end != 0 ? end : tell_now_ns()) - tell_mark_ns(STRAY, DECIDED)) / 1e6);
    } else {
        tell_line(YELLOW, "not so yet",
                  "its open stream %s: to cut it takes mpol's module in the Envoy",
                  stream_flows(stream) ? "goes on" : "has ended");
    }
}

static void check_kept(const char *what, const struct watch_seen *seen)
{
    tell_check(STRAY, seen->refused_kept > 0 && seen->passed_after == 0,
               "%s: %lu refused on the connection that was open, %lu passed after *effective*",
               what, seen->refused_kept, seen->passed_after);
}

void story_stray(void)
{
    struct wire_place own = {FROM, shop_apps[CATALOG_2].proxy_port, ca_client(ID_REPORT)};
    struct watch *allowed = watch(FROM, CATALOG_1, ID_REPORT, "/search", SUSPECT);
    struct watch *cart = watch("127.0.1.7", CHECKOUT_1, ID_CART, "/pay", GOOD);
    struct watch *batch = watch("127.0.1.8", CATALOG_1, ID_BATCH, "/search", GOOD);
    struct stream *stream = stream_start(&own, "/feed");
    struct wire *before = wire_create(&own);
    bool ready = wire_get(before, &(struct wire_ask){.path = "/search"}).status == 200;
    ready = watch_more(allowed, 10, shop_until(5)) && ready;
    int64_t until = shop_until(5);
    while (!stream_flows(stream) && tell_now_ns() < until) tell_sleep_ns(NS_PER_MS);
    ready = stream_flows(stream) && ready;
    struct watch_seen well = watch_look(allowed);
    tell_check(STRAY, ready && well.passed == well.sent,
               "before: report reads the catalog, %lu of %lu answered", well.passed, well.sent);

    tell_begin(STRAY, "the workload `report` is taken over: it calls account and checkout");
    struct watch *account = watch(FROM, ACCOUNT_1, ID_REPORT, "/login", BAD);
    struct watch *checkout = watch(FROM, CHECKOUT_1, ID_REPORT, "/pay", BAD);
    bool acted = tell_wait(STRAY, EFFECTIVE, shop_until(8));
    if (acted) {
        try_handshakes(before);
        check_stream(stream);
        control_ask((const char *const[]){"why", "stray", shop_identities[ID_REPORT], NULL},
                    "why.txt");
        tell_wait(STRAY, CONFIRMED, shop_until(10));
    }
    struct watch_seen seen = watch_stop(account);
    check_kept("report at account", &seen);
    seen = watch_stop(checkout);
    check_kept("report at checkout", &seen);
    seen = watch_look(allowed);
    check_kept("report at its own catalog", &seen);
    tell_cause_gone(STRAY, "`report` is itself again");
    if (acted && tell_wait(STRAY, RELEASED, shop_until(16))) {
        unsigned long passed = watch_look(allowed).passed;
        watch_more(allowed, 10, shop_until(3));
        tell_check(STRAY, watch_look(allowed).passed > passed, "report reads the catalog again");
    }
    watch_stop(allowed);
    struct watch_seen others[] = {watch_stop(cart), watch_stop(batch)};
    tell_check(STRAY, others[0].passed == others[0].sent && others[1].passed == others[1].sent,
               "others: cart %lu of %lu, batch %lu of %lu answered", others[0].passed,
               others[0].sent, others[1].passed, others[1].sent);
    stream_stop(stream);
    wire_destroy(before);
}
