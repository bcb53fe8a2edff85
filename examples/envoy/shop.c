/* SPDX-License-Identifier: Apache-2.0
 * A live closed loop over unmodified Envoys: a mesh on loopback, seven things that go wrong in
 * it, and a policy that answers. Ends by itself; exits with 0 if every loop closed as the policy
 * says.
 */
#include "shop.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ftw.h>

#define LIMIT_S 600.0
#define PATIENCE 4 /* how much slower a machine may be than ours */
#define WARM_UP_NS (2 * NS_PER_S)
#define WARM_ANSWERS 100
#define STATUS_NS (NS_PER_S / 4)
#define NO_ENVOY 77 /* exit code: what ctest calls skipped */

#define MET(mark) (1u << (mark))

static const struct plot plots[TALES] = {
    [SICK] = {.rule = "sick_instance",
              .title = "1 one sick copy",
              .key = "checkout-2",
              .marks =
                  MET(DECIDED) | MET(EFFECTIVE) | MET(CONFIRMED) | MET(RELEASING) | MET(RELEASED),
              .harmless = true},
    [STUFFING] = {.rule = "guessing",
                  .title = "2 passwords are tried",
                  .key = "127.0.67.1",
                  .lines = 3,
                  .marks = MET(DECIDED) | MET(EFFECTIVE) | MET(FAILED) | MET(ESCALATED) |
                           MET(CONFIRMED) | MET(RELEASED),
                  .harmless = true},
    [STRAY] = {.rule = "stray",
               .title = "3 a stolen identity",
               .key = SHOP_ID("report"),
               .marks = MET(DECIDED) | MET(EFFECTIVE) | MET(CONFIRMED) | MET(RELEASED),
               .harmless = true},
    [LEAK] = {.rule = "data_leaves",
              .title = "4 data leaves",
              .key = SHOP_ID("export"),
              .marks = MET(DECIDED) | MET(EFFECTIVE),
              .harmless = true},
    [LEAK_STOPPED] = {.rule = "data_leaves_to_many",
                      .title = "4 ... to several places",
                      .key = SHOP_ID("export"),
                      .marks = MET(DECIDED) | MET(EFFECTIVE) | MET(CONFIRMED) | MET(RELEASED),
                      .harmless = true},
    [SLOW] = {.rule = "slow_candidate",
              .title = "5 a slow version",
              .key = "catalog",
              .marks =
                  MET(DECIDED) | MET(EFFECTIVE) | MET(CONFIRMED) | MET(RELEASING) | MET(RELEASED),
              .harmless = true},
    [SURGE] = {.rule = "search_surge",
               .title = "6 a false positive",
               .key = "catalog",
               .marks = MET(DECIDED) | MET(EFFECTIVE) | MET(HARMFUL) | MET(ROLLED_BACK)},
    [KILLED] = {.rule = "stray",
                .title = "7 mpol is killed",
                .key = SHOP_ID("batch"),
                .marks = MET(DECIDED) | MET(EFFECTIVE) | MET(CONFIRMED) | MET(RELEASED),
                .harmless = true},
};

/* In the order in which they are told. */
static const struct chapter {
    int number;
    void (*tell)(void);
} chapters[] = {{3, story_stray}, {7, story_killed}, {1, story_sick}, {2, story_stuffing},
                {6, story_surge}, {4, story_leak},   {5, story_slow}};
#define CHAPTERS (sizeof chapters / sizeof *chapters)

char shop_dir[SHOP_PATH];
static atomic_bool running;
static int64_t last_ns; /* nothing waits for longer */

const char *shop_path(char out[SHOP_PATH], const char *format, ...)
{
    int len = snprintf(out, SHOP_PATH, "%s/", shop_dir);
    va_list args;
    va_start(args, format);
    vsnprintf(out + len, SHOP_PATH - (size_t)len, format, args);
    va_end(args);
    return out;
}

int64_t shop_until(double seconds)
{
    int64_t until = tell_now_ns() + (int64_t)(PATIENCE * seconds * 1e9);
    return until < last_ns ? until : last_ns;
}

const struct sockaddr *shop_loopback(void)
{
    static struct sockaddr_in address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return (const struct sockaddr *)(const void *)&address;
}

/* ---- the folder of a run ---- */

static bool folder_make(void)
{
    const char *tmp = getenv("TMPDIR");
    /* The paths of sockets in it are at most 107 bytes long. */
    bool fits = tmp != NULL && *tmp == '/' && strlen(tmp) <= 64;
    snprintf(shop_dir, sizeof shop_dir, "%s/mpol-shop-XXXXXX", fits ? tmp : "/tmp");
    return mkdtemp(shop_dir) != NULL;
}

static int forget(const char *path, const struct stat *s, int flag, struct FTW *ftw)
{
    (void)s, (void)flag, (void)ftw;
    return remove(path);
}

static void folder_end(bool keep)
{
    if (keep) {
        printf("logs, bootstraps and mpol's state are in %s\n", shop_dir);
    } else {
        nftw(shop_dir, forget, 16, FTW_DEPTH | FTW_PHYS);
    }
}

/* Somebody has had enough: what was started ends with us, what was written goes. */
static void *wait_for_end(void *ctx)
{
    int signal_number = 0;
    sigwait(ctx, &signal_number);
    mesh_abandon();
    folder_end(false);
    _exit(128 + signal_number);
}

static bool end_on_signals(void)
{
    static sigset_t ends;
    pthread_t thread;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    return pthread_sigmask(SIG_BLOCK, &ends, NULL) == 0 &&
           pthread_create(&thread, NULL, wait_for_end, &ends) == 0 && pthread_detach(thread) == 0;
}

/* ---- the frame ---- */

static bool warm_up(void)
{
    load_set(CUSTOMER, 40);
    load_set(SHOPPER, 10);
    load_set(LOGGER_IN, 12);
    load_set(CART, 10);
    int64_t until = shop_until(15), settled = tell_now_ns() + WARM_UP_NS;
    struct counts *c = load_counts;
    while (atomic_load(&c[CUSTOMER].good) < WARM_ANSWERS / 2 ||
           atomic_load(&c[LOGGER_IN].good) < 10 || atomic_load(&c[CART].good) < 5 ||
           tell_now_ns() < settled) {
        if (tell_now_ns() > until) {
            fprintf(stderr,
                    "shop: the mesh does not answer: customers %lu good, %lu failed, %lu refused; "
                    "logins %lu good; cart %lu good\n",
                    atomic_load(&c[CUSTOMER].good), atomic_load(&c[CUSTOMER].failed),
                    atomic_load(&c[CUSTOMER].refused), atomic_load(&c[LOGGER_IN].good),
                    atomic_load(&c[CART].good));
            return false;
        }
        tell_sleep_ns(10 * NS_PER_MS);
    }
    return true;
}

static void *show_status(void *ctx)
{
    (void)ctx;
    for (unsigned long before = 0; atomic_load(&running); tell_sleep_ns(STATUS_NS)) {
        unsigned long sent = 0, good = 0, refused = 0;
        for (int i = 0; i < KINDS; i++) {
            sent += atomic_load(&load_counts[i].sent);
            good += atomic_load(&load_counts[i].good);
            refused += atomic_load(&load_counts[i].refused);
        }
        tell_status("%6.1fs  %lu requests (%lu/s), %lu good, %lu refused",
                    tell_seconds(tell_now_ns()), sent,
                    (sent - before) * (unsigned long)(NS_PER_S / STATUS_NS), good, refused);
        before = sent;
    }
    return NULL;
}

static bool tell_chapters(int only)
{
    for (size_t i = 0; i < CHAPTERS; i++) {
        const char *dead = NULL;
        if (only != 0 && chapters[i].number != only) continue;
        chapters[i].tell();
        if (!mesh_alive(&dead)) tell_line(RED, "died", "the Envoy %s", dead);
        if (!control_alive()) tell_line(RED, "died", "mpol");
        if (dead != NULL && !mesh_alive(&dead)) return false;
        if (!control_alive()) return false;
    }
    return true;
}

static void print_traffic(void)
{
    static const char *const names[KINDS] = {"customers", "shoppers", "logins",
                                              "cart",      "guessers", "offenders"};
    printf("\n%-12s %9s %9s %9s %9s\n", "as they saw it", "sent", "good", "failed", "refused");
    for (int i = 0; i < KINDS; i++) {
        printf("%-14s %9lu %9lu %9lu %9lu\n", names[i], atomic_load(&load_counts[i].sent),
               atomic_load(&load_counts[i].good), atomic_load(&load_counts[i].failed),
               atomic_load(&load_counts[i].refused));
    }
}

struct wish {
    uint64_t seed, only;
    const char *envoy;
    enum modules modules;
    bool keep;
};

static int run(const struct wish *wish)
{
    static const char *const in_words[] = {[MODULES_NONE] = "without any module",
                                           [MODULES_CATALOG] =
                                               "(those of catalog with mpol's module)",
                                           [MODULES_ALL] = "with mpol's module"};
    static const char *const verify[] = {"ledger", "verify", NULL}, *const status[] = {"status",
                                                                                       NULL};
    if (access(wish->envoy, X_OK) != 0) {
        fprintf(stderr, "envoy_shop: no Envoy at %s: all stories are left out\n", wish->envoy);
        return NO_ENVOY;
    }
    if (!mesh_check(wish->modules)) return 1;
    if (!ca_make() || !apps_start(wish->seed)) return 2;
    if (!mesh_start(wish->envoy) || !load_start(wish->seed)) return 2;
    tell_say(
        "the shop is open: a gateway, %d sidecars and an edge connector, Envoys %s; "
        "one mpol; seed %llu\n",
        APPS - 1, in_words[mesh_modules()], (unsigned long long)wish->seed);
    pthread_t status_thread;
    atomic_store(&running, true);
    if (pthread_create(&status_thread, NULL, show_status, NULL) != 0) return 2;
    bool told = warm_up() && tell_chapters((int)wish->only);
    atomic_store(&running, false);
    pthread_join(status_thread, NULL);
    load_stop();
    bool closed = tell_table();
    print_traffic();
    tell_say("\nthe ledger: ");
    control_ask(verify, "verify.txt");
    control_print("verify.txt");
    if (!closed || !told) {
        control_ask(status, "status.txt");
        control_print("status.txt");
    }
    tell_say("\n");
    control_print("why.txt");
    return closed && told ? 0 : 1;
}

static const char usage[] =
    "usage: envoy_shop [--seed N] [--story N] [--envoy FILE] [--no-module|--all-modules] "
    "[--keep] [--plain]\n"
    "A mesh of Envoys on loopback, seven things that go wrong, and the policy that answers.\n"
    "  --seed N      the same traffic again\n"
    "  --story N     only this one, 1 to 7\n"
    "  --envoy FILE  the Envoy; otherwise $MPOL_ENVOY, or the one in the build folder\n"
    "  --no-module, --all-modules\n"
    "                mpol's module in none or in all of the Envoys, not only in those "
    "that have streams\n"
    "  --keep        keep the folder with logs, bootstraps and state\n"
    "  --plain       no colour, no status line\n";

static bool number(const char *text, const char *option, uint64_t most, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    if (*text != '\0' && *end == '\0' && *out <= most) return true;
    fprintf(stderr, "envoy_shop: %s does not take `%s`\n", option, text);
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"story", required_argument, NULL, 'o'},
                                            {"envoy", required_argument, NULL, 'e'},
                                            {"keep", no_argument, NULL, 'k'},
                                            {"no-module", no_argument, NULL, 'm'},
                                            {"all-modules", no_argument, NULL, 'a'},
                                            {"plain", no_argument, NULL, 'n'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct wish wish = {.seed = 1, .modules = MODULES_CATALOG};
    wish.envoy = getenv("MPOL_ENVOY") != NULL ? getenv("MPOL_ENVOY") : SHOP_ENVOY;
    bool tty = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's' && !number(optarg, "--seed", UINT64_MAX, &wish.seed)) return 2;
        if (option == 'o' && !number(optarg, "--story", 7, &wish.only)) return 2;
        if (option == 'e') wish.envoy = optarg;
        if (option == 'm') wish.modules = MODULES_NONE;
        if (option == 'a') wish.modules = MODULES_ALL;
        if (option == 'k') wish.keep = true;
        if (option == 'n') tty = false;
        if (option == 'h' || option == '?') {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (!folder_make() || !end_on_signals()) {
        perror("envoy_shop: cannot make a folder for keys and state");
        return 2;
    }
    tell_open(plots, TALES, tty);
    last_ns = tell_now_ns() + (int64_t)(LIMIT_S * 1e9);
    int result = run(&wish);
    mesh_stop();
    apps_stop();
    folder_end(wish.keep);
    return result;
}
