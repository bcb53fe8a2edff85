/* SPDX-License-Identifier: Apache-2.0
 * The module inside a real Envoy (`--concurrency 1`, loopback): what it adds to a request, how
 * soon it obeys, how soon it tells. The program stands for the control plane, with the fleet that
 * `mpol run` has.
 *
 *   bench_module MODULES EMPTY    folders of libmpol_envoy.so: ours, and one that does nothing
 *
 * module.added, module.over_empty, module.rbac_added
 *                   what 100 inline rules add to a request over no filter and over an empty module,
 *                   and what RBAC adds: the median of the differences within a round, of the
 *                   quieter quarter of the rounds; module.over_empty_all of all rounds
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../envoy_mod/bed.h"
#include "../envoy_mod/plane.h"
#include "../loopback/folder.h"
#include "bench.h"

#define RULES 100
#define ADDRESSES 10000

static char socket_path[108];
static const char *envoy;

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double at(int64_t *ns, int count, double share)
{
    qsort(ns, (size_t)count, sizeof *ns, compare);
    return (double)ns[(int)((count - 1) * share)] / 1000;
}

/* ---- policies ---- */

/* Rules of the kinds that inline rules are: paths, headers, methods, addresses. */
static char *hundred_rules(void)
{
    size_t size = 64 * 1024, len = 0;
    char *text = malloc(size);
    if (text == NULL) bench_fail("no memory");
    len += (size_t)snprintf(text, size, "mpol 1\nuse std.mesh\n");
    for (int i = 0; i < RULES; i++) {
        char when[128];
        switch (i % 4) {
        case 0: snprintf(when, sizeof when, "request.path starts with \"/denied/%d/\"", i); break;
        case 1: snprintf(when, sizeof when, "request.path == \"/denied/%d\"", i); break;
        case 2: snprintf(when, sizeof when, "request.user_agent contains \"scanner-%d\"", i); break;
        default:
            snprintf(when, sizeof when,
                     "client.ip in 198.51.%d.0/24 and request.method == \"POST\"", i);
        }
        len += (size_t)snprintf(text + len, size - len, "rule r%d when %s then deny request\n", i,
                                when);
    }
    return text;
}

/* ---- what it adds to a request ---- */

enum { NO_FILTER, EMPTY, RBAC, OURS, WAYS };
/* Every set of processes lies elsewhere in memory and in the caches, which makes up to two
 * microseconds: several are started, one after the other. */
#define SETS 6
#define SET_ROUNDS 48
#define ROUNDS (SETS * SET_ROUNDS)
#define FIRST_ROUNDS 8 /* not counted: the youngest Envoy is still starting */

struct way {
    const char *name;
    enum bed_filter filter;
    struct bed bed;
    struct bed_client client;
    double us[ROUNDS]; /* of each round the median */
};

static double median_us(struct way *w, int requests)
{
    static int64_t ns[4096];
    for (int i = 0; i < requests; i++) {
        int64_t began = bed_now_ns();
        if (bed_get(&w->client, "/x", "user-agent: curl/8\r\n") != 200)
            bench_fail("%s: no 200", w->name);
        ns[i] = bed_now_ns() - began;
    }
    return at(ns, requests, 0.5);
}

static void start(struct way *w, struct bed_options *o)
{
    o->filter = w->filter;
    if (!bed_start(&w->bed, o)) bench_fail("%s: no Envoy", w->name);
    w->client = (struct bed_client){.fd = -1, .from = "127.0.0.1", .port = w->bed.port};
}

/* In turns, and each round begins with another one: the machine's speed changes from one moment to
 * the next, and must meet all of them alike. */
static void measure_rounds(struct way *ways, int first, int rounds, int requests)
{
    for (int r = -FIRST_ROUNDS; r < rounds; r++) {
        for (int i = 0; i < WAYS; i++) {
            struct way *w = &ways[(r + FIRST_ROUNDS + i) % WAYS];
            double us = median_us(w, requests);
            if (r >= 0) w->us[first + r] = us;
        }
    }
}

/* Puts the rounds in which the four together took least first, and answers how many of them count:
 * a quarter. What a machine does beside costs a proxy its caches, and is not of the filters. */
static int quiet_rounds(struct way *ways, int rounds)
{
    for (int done = 0; done < rounds; done++) {
        int least = done;
        double least_us = 1e9;
        for (int r = done; r < rounds; r++) {
            double us = 0;
            for (int i = 0; i < WAYS; i++) us += ways[i].us[r];
            if (us < least_us) {
                least_us = us;
                least = r;
            }
        }
        for (int i = 0; i < WAYS; i++) {
            double us = ways[i].us[done];
            ways[i].us[done] = ways[i].us[least];
            ways[i].us[least] = us;
        }
    }
    return rounds / 4;
}

/* What `way` adds to `base`: the median of what it added in each of these rounds, in which both
 * were asked within a moment of each other. */
static void say_added(const char *name, const struct way *way, const struct way *base, int rounds)
{
    double added[ROUNDS], ratio[ROUNDS];
    for (int r = 0; r < rounds; r++) {
        added[r] = way->us[r] - base->us[r];
        ratio[r] = way->us[r] / base->us[r];
    }
    bench_say(name, bench_median(added, rounds), "us", base->name, bench_median(ratio, rounds));
}

static void say_cost(struct way *ways, int rounds)
{
    int quiet = quiet_rounds(ways, rounds);
    say_added("module.added", &ways[OURS], &ways[NO_FILTER], quiet);
    say_added("module.over_empty", &ways[OURS], &ways[EMPTY], quiet);
    say_added("module.rbac_added", &ways[RBAC], &ways[NO_FILTER], quiet);
    say_added("module.over_empty_all", &ways[OURS], &ways[EMPTY], rounds);
    for (int i = 0; i < WAYS; i++) {
        char name[64];
        snprintf(name, sizeof name, "module.request.%s", ways[i].name);
        bench_say(name, bench_median(ways[i].us, quiet), "us", NULL, 0);
    }
}

/* One set of processes: rounds `first` and those behind. */
static void measure_set(struct plane *p, struct bed_options *o, struct way *ways, int first,
                        int rounds, int requests)
{
    for (int i = 0; i < WAYS; i++) start(&ways[i], o);
    char *policy = hundred_rules();
    if (!plane_wait_program(p, plane_policy(p, policy))) bench_fail("the program was not taken");
    if (bed_get(&ways[OURS].client, "/denied/1", "") != 403)
        bench_fail("the program does not deny");
    measure_rounds(ways, first, rounds, requests);
    for (int i = 0; i < WAYS; i++) {
        bed_disconnect(&ways[i].client);
        bed_stop(&ways[i].bed);
    }
    free(policy);
}

static void cost_of_a_request(struct plane *p, struct bed_options *o)
{
    static struct way ways[WAYS] = {
        [NO_FILTER] = {.name = "no_filter", .filter = BED_NO_FILTER},
        [EMPTY] = {.name = "empty", .filter = BED_EMPTY_MODULE},
        [RBAC] = {.name = "rbac", .filter = BED_RBAC},
        [OURS] = {.name = "ours", .filter = BED_MODULE}};
    bool quick = bench_quick();
    int sets = quick ? 1 : SETS, rounds = quick ? 8 : SET_ROUNDS, requests = quick ? 60 : 120;
    o->logger = false;
    o->quiet = true;
    for (int i = 0; i < sets; i++) measure_set(p, o, ways, i * rounds, rounds, requests);
    say_cost(ways, sets * rounds);
}

/* ---- how soon it obeys ---- */

static void say_both(const char *name, int64_t *ns, int count)
{
    char full[64];
    snprintf(full, sizeof full, "%s.p50", name);
    bench_say(full, at(ns, count, 0.5), "us", NULL, 0);
    snprintf(full, sizeof full, "%s.p99", name);
    bench_say(full, at(ns, count, 0.99), "us", NULL, 0);
}

static void decision_to_refusal(struct plane *p, struct bed *b)
{
    static int64_t ns[1000];
    int turns = bench_quick() ? 20 : 400, leaks = 0;
    struct mpol_lease deny = plane_lease(1, "deny", "client", "ip", "127.0.0.9");
    struct bed_client c = {.fd = -1, .from = "127.0.0.9", .port = b->port};
    for (int i = 0; i < turns; i++) {
        if (bed_get(&c, "/x", "") != 200) bench_fail("not let in before");
        int64_t began = bed_now_ns();
        uint64_t revision = plane_leases(p, &deny, 1);
        while (bed_get(&c, "/x", "") != 403) {}
        ns[i] = bed_now_ns() - began;
        if (!plane_wait_effective(p, revision)) bench_fail("never effective");
        for (int k = 0; k < 5; k++) leaks += bed_get(&c, "/x", "") == 200;
        if (!plane_wait_effective(p, plane_leases(p, NULL, 0))) bench_fail("never lifted");
    }
    bed_disconnect(&c);
    say_both("module.deny", ns, turns);
    bench_say("module.leaks", leaks, "requests", NULL, 0);
}

static void decision_to_cut(struct plane *p, struct bed *b)
{
    static int64_t ns[1000];
    int turns = bench_quick() ? 10 : 200;
    struct mpol_lease deny = plane_lease(1, "deny", "client", "ip", "127.0.0.9");
    for (int i = 0; i < turns; i++) {
        struct bed_client c = {.fd = -1};
        if (!bed_connect(&c, "127.0.0.9", b->port) || bed_stream(&c, "/stream") != 200)
            bench_fail("no stream");
        int64_t began = bed_now_ns();
        uint64_t revision = plane_leases(p, &deny, 1);
        while (bed_stream_goes_on(&c)) {}
        ns[i] = bed_now_ns() - began;
        bed_disconnect(&c);
        if (!plane_wait_effective(p, revision)) bench_fail("never effective");
        if (!plane_wait_effective(p, plane_leases(p, NULL, 0))) bench_fail("never lifted");
    }
    say_both("module.cut", ns, turns);
}

static void end_to_record(struct plane *p, struct bed *b)
{
    static int64_t ns[4000];
    int turns = bench_quick() ? 100 : 3000;
    struct bed_client c = {.fd = -1, .from = "127.0.0.10", .port = b->port};
    for (int i = 0; i < turns; i++) {
        uint64_t before = plane_records(p);
        if (bed_get(&c, "/x", "") != 200) bench_fail("no answer");
        int64_t answered = bed_now_ns();
        if (!plane_wait_records(p, before)) bench_fail("no record");
        ns[i] = plane_record_ns(p) - answered; /* the client may be later than the record */
        if (ns[i] < 0) ns[i] = 0;
    }
    bed_disconnect(&c);
    say_both("module.record", ns, turns);
}

/* ---- long lists ---- */

static void many_addresses(struct plane *p, struct bed *b)
{
    static int64_t ns[100];
    static char addresses[ADDRESSES + 1][16];
    struct mpol_lease *leases = calloc(ADDRESSES + 1, sizeof *leases);
    int turns = bench_quick() ? 3 : 20;
    if (leases == NULL) bench_fail("no memory");
    for (int i = 0; i < ADDRESSES; i++) {
        snprintf(addresses[i], sizeof addresses[i], "10.9.%d.%d", i / 256, i % 256);
        leases[i] = plane_lease((uint64_t)i + 10, "deny", "client", "ip", addresses[i]);
    }
    leases[ADDRESSES / 2] = plane_lease(ADDRESSES / 2 + 10, "deny", "client", "ip", "127.0.0.9");
    struct bed_client c = {.fd = -1, .from = "127.0.0.9", .port = b->port};
    for (int i = 0; i < turns; i++) {
        if (bed_get(&c, "/x", "") != 200) bench_fail("not let in before");
        int64_t began = bed_now_ns();
        uint64_t revision = plane_leases(p, leases, ADDRESSES);
        if (!plane_wait_effective(p, revision)) bench_fail("never effective");
        ns[i] = bed_now_ns() - began;
        if (bed_get(&c, "/x", "") != 403) bench_fail("not refused when effective");
        if (!plane_wait_effective(p, plane_leases(p, NULL, 0))) bench_fail("never lifted");
    }
    bed_disconnect(&c);
    say_both("module.addresses", ns, turns);
    free(leases);
}

int main(int argc, char **argv)
{
    char program[1024];
    const char *named = getenv("MPOL_ENVOY"), *folder = getenv("MPOL_BINARY_DIR");
    if (argc < 3) bench_fail("bench_module MODULES EMPTY");
    snprintf(program, sizeof program, "%s/envoy/envoy", folder != NULL ? folder : ".");
    if (named != NULL && named[0] != '\0') snprintf(program, sizeof program, "%s", named);
    if (access(program, X_OK) != 0) {
        printf("left out: there is no Envoy (%s)\n", program);
        return 77;
    }
    if (!bed_loads_modules(program)) return 77;
    envoy = program;
    snprintf(socket_path, sizeof socket_path, "%s/mpol-bench-%d.sock", tmp_folder(), (int)getpid());
    struct bed_service *service = bed_service_start();
    struct bed_options o = {.envoy = envoy,
                            .modules = argv[1],
                            .empty = argv[2],
                            .filter = BED_MODULE,
                            .layer = "service",
                            .socket = socket_path,
                            .service_port = bed_service_port(service)};
    struct plane *p = plane_start(socket_path);
    cost_of_a_request(p, &o);

    struct bed bed;
    char *policy = hundred_rules();
    o.filter = BED_MODULE;
    o.logger = true;
    if (!bed_start(&bed, &o)) bench_fail("no Envoy");
    if (!plane_wait_program(p, plane_policy(p, policy))) bench_fail("the program was not taken");
    decision_to_refusal(p, &bed);
    decision_to_cut(p, &bed);
    end_to_record(p, &bed);
    many_addresses(p, &bed);
    free(policy);
    bed_stop(&bed);
    plane_kill(p);
    bed_service_stop(service);
    unlink(socket_path);
    return 0;
}
