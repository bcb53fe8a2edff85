/* SPDX-License-Identifier: Apache-2.0
 * A live closed loop on loopback: a small shop, four things that go wrong in it, and a policy that
 * answers. Ends by itself in under a minute; exits with 0 if every loop closed as the policy says.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guard.h"
#include "mesh.h"
#include "story.h"

#define LIMIT_NS (240 * NS_PER_S)
#define PATIENCE 4 /* how much slower a machine may be than ours */
#define WARM_UP_NS (3 * NS_PER_S)
#define WHY_BYTES 4096

static int64_t last_ns; /* nothing waits for longer */
static pthread_t status_thread;
static atomic_bool running;

const struct sockaddr *shop_loopback(void)
{
    static struct sockaddr_in address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return (const struct sockaddr *)(const void *)&address;
}

/* ---- what goes wrong ---- */

static int64_t limit(int64_t ns)
{
    int64_t until = tell_now_ns() + PATIENCE * ns;
    return until < last_ns ? until : last_ns;
}

struct why {
    char text[WHY_BYTES];
    size_t len;
};

static void why_write(void *ctx, const char *bytes, size_t len)
{
    struct why *why = ctx;
    if (len > sizeof why->text - why->len) len = sizeof why->text - why->len;
    memcpy(why->text + why->len, bytes, len);
    why->len += len;
}

/* Throttling does not help, quarantine does; when the fault ends, the service comes back in
 * steps. */
static void checkout_fails(struct why *why)
{
    tell_begin(TALE_CHECKOUT, "checkout answers 70% of its requests with 503");
    shop_fault(CHECKOUT, 700);
    if (tell_wait(TALE_CHECKOUT, DECIDED, limit(6 * NS_PER_S))) {
        guard_why("checkout_errors", "checkout", why_write, why);
    }
    if (tell_wait(TALE_CHECKOUT, CONFIRMED, limit(14 * NS_PER_S))) tell_sleep_ns(NS_PER_S);
    shop_fault(CHECKOUT, 0);
    tell_cause_gone(TALE_CHECKOUT, "checkout is well again");
    tell_wait(TALE_CHECKOUT, RELEASED, limit(12 * NS_PER_S));
}

static void login_is_flooded(void)
{
    tell_begin(TALE_LOGIN, "127.0.66.1 tries passwords at /login, 50 a second");
    shop_load_set(INTRUDER, 50);
    tell_wait(TALE_LOGIN, CONFIRMED, limit(8 * NS_PER_S));
    shop_load_set(INTRUDER, 0);
    tell_cause_gone(TALE_LOGIN, "127.0.66.1 gives up");
    tell_wait(TALE_LOGIN, RELEASED, limit(10 * NS_PER_S));
}

static void a_stranger_at_the_door(void)
{
    tell_begin(TALE_ADMIN, "127.0.77.1 asks for /admin/users without an identity");
    shop_load_set(STRANGER, 5);
    tell_wait(TALE_ADMIN, EFFECTIVE, limit(2 * NS_PER_S));
    tell_sleep_ns(NS_PER_S);
    shop_load_set(STRANGER, 0);
    tell_cause_gone(TALE_ADMIN, "127.0.77.1 goes away");
}

static void a_sale_looks_like_an_attack(void)
{
    tell_begin(TALE_SEARCH, "a sale begins: ten good clients search, 150 times a second");
    shop_load_set(SHOPPER, 150);
    tell_wait(TALE_SEARCH, ROLLED_BACK, limit(8 * NS_PER_S));
    tell_sleep_ns(NS_PER_S);
    shop_load_set(SHOPPER, 10);
    tell_cause_gone(TALE_SEARCH, "the sale is over");
    tell_sleep_ns(NS_PER_S / 2);
}

/* ---- the frame ---- */

static void *show_status(void *ctx)
{
    (void)ctx;
    unsigned long before = 0;
    unsigned reloads = 0;
    while (atomic_load(&running)) {
        unsigned long sent = 0, good = 0, refused = 0;
        for (int i = 0; i < CLIENTS; i++) {
            sent += atomic_load(&shop_counts[i].sent);
            good += atomic_load(&shop_counts[i].good);
            refused += atomic_load(&shop_counts[i].refused);
        }
        if (guard_reloads() != reloads) story_policy(reloads = guard_reloads());
        struct mpol_status s = guard_status();
        tell_status("%6.1fs  %lu requests (%lu/s), %lu good, %lu refused · "
                    "%u incidents, %u leases in force",
                    tell_seconds(tell_now_ns()), sent, (sent - before) * 4, good, refused,
                    s.incidents_open, s.leases_in_force);
        before = sent;
        tell_sleep_ns(NS_PER_S / 4);
    }
    return NULL;
}

static void print_cost(void)
{
    struct mpol_status s = guard_status();
    printf(
        "\n%llu verdicts and %llu records: %llu judged by native code, %llu by the interpreter\n",
        (unsigned long long)s.verdicts, (unsigned long long)s.records, (unsigned long long)s.native,
        (unsigned long long)s.interpreted);
    if (s.native_compile_ns > 0) {
        printf("native code compiled in %.0f ms, on a thread of its own\n",
               (double)s.native_compile_ns / 1e6);
    } else {
        printf("no native code in this build: the interpreter judges, with the same results\n");
    }
    printf("a decision took %llu ns (p50), %llu ns (p99), with filling in the record; "
           "%llu ledger entries, %u reloads, %.0f MB\n",
           (unsigned long long)guard_cost_ns(0.5), (unsigned long long)guard_cost_ns(0.99),
           (unsigned long long)s.entries, guard_reloads(), (double)s.memory_bytes / 1e6);
}

static int run(uint64_t seed, const char *second)
{
    const char *files[] = {SHOP_DIR "/shop.mpol", second, NULL};
    static struct why why;
    if (!guard_start(files, SHOP_DIR "/inventory.ndjson", tell_entry)) return 2;
    if (!shop_services_start(seed) || !shop_proxies_start() || !shop_load_start(seed)) return 2;
    tell_say(
        "the shop is open: %d services, each behind a proxy, seed %llu; edit %s while it runs\n",
        SERVICES, (unsigned long long)seed, second);
    atomic_store(&running, true);
    pthread_create(&status_thread, NULL, show_status, NULL);
    shop_load_set(CUSTOMER, 120);
    shop_load_set(SHOPPER, 10);
    shop_load_set(CONSOLE, 2);
    tell_sleep_ns(WARM_UP_NS);

    checkout_fails(&why);
    login_is_flooded();
    a_stranger_at_the_door();
    a_sale_looks_like_an_attack();

    atomic_store(&running, false);
    pthread_join(status_thread, NULL);
    shop_load_stop();
    bool closed = tell_table();
    print_cost();
    printf("\nmpol why checkout_errors checkout, right after the decision:\n%.*s\n", (int)why.len,
           why.text);
    shop_proxies_stop();
    shop_services_stop();
    guard_stop();
    return closed ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'}, {"policy", required_argument, NULL, 'p'},
        {"plain", no_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *second = SHOP_DIR "/yours.mpol";
    bool tty = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    uint64_t seed = 1;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;
        switch (option) {
        case 's':
            seed = strtoull(optarg, &end, 10);
            if (*optarg == '\0' || *end != '\0') {
                fprintf(stderr, "mesh: --seed takes a number, not `%s`\n", optarg);
                return 2;
            }
            break;
        case 'p':
            second = optarg;
            break;
        case 'n':
            tty = false;
            break;
        default:
            fprintf(
                option == 'h' ? stdout : stderr,
                "usage: mesh [--seed N] [--policy FILE] [--plain]\n"
                "A shop on loopback, four things that go wrong, and the policy that answers.\n"
                "FILE is a second policy: edit it while the shop is open, "
                "it takes effect at once.\n");
            return option == 'h' ? 0 : 2;
        }
    }
    story_open(tty);
    last_ns = tell_now_ns() + LIMIT_NS;
    return run(seed, second);
}
