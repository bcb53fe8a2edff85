/* SPDX-License-Identifier: Apache-2.0
 * Through the public interface, `inproc`: from the record that trips a rule to the verdict that
 * denies; how many failures of one client reach the service; and what a reload of 1,000 rules
 * does to those who ask meanwhile. Counts that are promised exactly are checked here and end the
 * program when they are wrong.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "mpol/mpol.h"

#define S INT64_C(1000000000)
#define START (INT64_C(1764000000) * S)
enum { TRIES = 20, CLIENTS_MAX = 2000, CONNECTIONS = 8, RULES = 1000, LEASES = 1500 };

struct loop {
    struct mpol_engine *engine;
    uint32_t service, client, path, status;
    int64_t now;
};

static void must(enum mpol_err err, const char *what)
{
    if (err != MPOL_OK) bench_fail("%s: error %d", what, (int)err);
}

static struct mpol_program *compile(const char *text)
{
    struct mpol_source source = {mpol_text("bench.mpol"), mpol_text(text)};
    struct mpol_program *program = NULL;
    must(mpol_compile(&source, 1, NULL, &program), "compile");
    return program;
}

static void open_loop(struct loop *l, const char *policy)
{
    struct mpol_engine_options options;
    MPOL_INIT(&options);
    MPOL_INIT(&options.limits);
    options.start_wall_ns = l->now = START;
    options.seed = 42;
    options.limits.memory_bytes = (size_t)1 << 30;
    must(mpol_engine_create(&options, compile(policy), &l->engine), "create");
    must(mpol_field(l->engine, "service", &l->service), "field");
    must(mpol_field(l->engine, "client.ip", &l->client), "field");
    must(mpol_field(l->engine, "path", &l->path), "field");
    must(mpol_field(l->engine, "status", &l->status), "field");
}

static int ask(struct loop *l, struct mpol_reader *reader, struct mpol_record *record,
               const char *client, const char *path, struct mpol_verdict *verdict)
{
    must(mpol_record_begin(record, "requests", l->now, MPOL_SERVICE), "record");
    must(mpol_record_text(record, l->service, mpol_text("account")), "service");
    must(mpol_record_text(record, l->client, mpol_text(client)), "client");
    must(mpol_record_text(record, l->path, mpol_text(path)), "path");
    MPOL_INIT(verdict);
    must(mpol_verdict(reader, record, verdict), "verdict");
    return verdict->allow;
}

/* ---- one client that fails ---- */

static const char *guesses(void)
{
    static char text[512];
    snprintf(
        text, sizeof text,
        "mpol 1\npackage bench\nuse std.mesh\n"
        "rule guesses when count(requests where status == 401) over 10s >= %d "
        "per client.ip max 5k\n"
        "  then deny client.ip for 20s\n",
        TRIES);
    return text;
}

/* Fails until it is refused; how often it reached the service. The time of the last record in
 * *trip_ns, until a verdict refuses; of one before it, until a verdict allows, in *plain_ns. */
static int fail_until_refused(struct loop *l, struct mpol_reader *reader,
                              struct mpol_record *record, const char *client, double *trip_ns,
                              double *plain_ns)
{
    struct mpol_verdict verdict;
    double from = 0;
    int reached = 0;
    while (ask(l, reader, record, client, "/login", &verdict)) {
        if (reached > 0) *plain_ns = bench_cpu_ns() - from;
        if (++reached > 10 * TRIES) bench_fail("a client is never refused");
        must(mpol_record_int(record, l->status, 401), "status");
        from = bench_cpu_ns();
        must(mpol_engine_feed(l->engine, record), "feed");
    }
    *trip_ns = bench_cpu_ns() - from;
    return reached;
}

static void measure_trip(void)
{
    struct loop l;
    struct mpol_reader *reader;
    struct mpol_record *record;
    static double trip[CLIENTS_MAX], plain[CLIENTS_MAX];
    int clients = bench_quick() ? 50 : CLIENTS_MAX;
    open_loop(&l, guesses());
    must(mpol_reader_open(l.engine, &reader), "reader");
    must(mpol_record_create(l.engine, &record), "record");
    for (int i = 0; i < clients; i++) {
        char client[32];
        snprintf(client, sizeof client, "192.0.%d.%d", i / 250, i % 250 + 1);
        l.now += S / 20; /* leases of earlier clients end meanwhile */
        must(mpol_engine_step(l.engine, l.now), "step");
        int reached = fail_until_refused(&l, reader, record, client, &trip[i], &plain[i]);
        if (reached != TRIES)
            bench_fail("%d failures one after another reached the service, not %d", reached, TRIES);
    }
    bench_sort(trip, (size_t)clients);
    bench_sort(plain, (size_t)clients);
    double usual = bench_percentile(plain, (size_t)clients, 0.5);
    bench_say("trip.p50", bench_percentile(trip, (size_t)clients, 0.5) / 1e3, "us",
              "a record that trips nothing", bench_percentile(trip, (size_t)clients, 0.5) / usual);
    bench_say("trip.p99", bench_percentile(trip, (size_t)clients, 0.99) / 1e3, "us",
              "a record that trips nothing", bench_percentile(trip, (size_t)clients, 0.99) / usual);
    bench_say("reached.one_connection", TRIES, "requests", "the limit of the rule", 1);
    mpol_record_destroy(record);
    mpol_reader_close(reader);
    mpol_engine_destroy(l.engine);
}

/* ---- the same over several connections ---- */

struct shared {
    struct loop loop;
    pthread_mutex_t lock; /* of the engine */
    atomic_int reached, ready;
    char client[32];
};

static void *connection(void *arg)
{
    struct shared *s = arg;
    struct mpol_reader *reader;
    struct mpol_record *record;
    struct mpol_verdict verdict;
    pthread_mutex_lock(&s->lock);
    must(mpol_reader_open(s->loop.engine, &reader), "reader");
    must(mpol_record_create(s->loop.engine, &record), "record");
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_add(&s->ready, 1);
    while (atomic_load(&s->ready) < CONNECTIONS) continue;
    while (ask(&s->loop, reader, record, s->client, "/login", &verdict)) {
        if (atomic_fetch_add(&s->reached, 1) > 10 * TRIES) break;
        must(mpol_record_int(record, s->loop.status, 401), "status");
        pthread_mutex_lock(&s->lock);
        must(mpol_engine_feed(s->loop.engine, record), "feed");
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_lock(&s->lock);
    mpol_record_destroy(record);
    mpol_reader_close(reader);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void measure_connections(void)
{
    static struct shared s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int most = 0, rounds = bench_quick() ? 5 : 200;
    open_loop(&s.loop, guesses());
    for (int i = 0; i < rounds; i++) {
        pthread_t threads[CONNECTIONS];
        snprintf(s.client, sizeof s.client, "198.51.%d.%d", i / 250, i % 250 + 1);
        atomic_store(&s.reached, 0);
        atomic_store(&s.ready, 0);
        for (int k = 0; k < CONNECTIONS; k++) {
            if (pthread_create(&threads[k], NULL, connection, &s) != 0) bench_fail("no thread");
        }
        for (int k = 0; k < CONNECTIONS; k++) pthread_join(threads[k], NULL);
        int reached = atomic_load(&s.reached);
        if (reached > most) most = reached;
        if (reached < TRIES || reached > TRIES + CONNECTIONS - 1) {
            bench_fail("%d failures over %d connections reached the service", reached, CONNECTIONS);
        }
    }
    bench_say("reached.connections", most, "requests", "K + c - 1",
              (double)most / (TRIES + CONNECTIONS - 1));
    mpol_engine_destroy(s.loop.engine);
}

/* ---- reload ---- */

static const char *many_rules(int newest)
{
    static char text[512 << 10];
    size_t len = (size_t)snprintf(text, sizeof text, "mpol 1\npackage bench.many\nuse std.mesh\n");
    for (int i = 0; i < RULES; i++) {
        int a = 5 + i % 90, b = 1 + i % 50;
        len +=
            (size_t)(i % 2 == 0
                         ? snprintf(
                               text + len, sizeof text - len,
                               "rule r%04d when ratio(requests where status >= 500) over 1m > %d%% "
                               "for %ds per svc\n"
                               "  then throttle svc to 50%% for 1m\n",
                               i, a, b)
                         : snprintf(
                               text + len, sizeof text - len,
                               "rule r%04d at service when request.service == \"svc-%d\"\n"
                               "  and request.path starts with \"/private/%d\" then deny request\n",
                               i, a, b));
    }
    snprintf(text + len, sizeof text - len,
             "rule teapots when count(requests where status == 418) over 1m >= 1 per client.ip "
             "max 4k then deny client.ip for 10m\n"
             "rule newest at service when request.path == \"/new/%d\" then deny request\n", newest);
    return text;
}

struct asker {
    struct loop *loop;
    struct mpol_reader *reader;
    struct mpol_record *record;
    atomic_int newest;      /* the path that the newest rule denies; -1: end */
    atomic_int answered;    /* the newest one that was refused */
    atomic_llong longest_ns;
};

/* Asks as fast as it can; the longest time between two answers is what a reload
 * may not lengthen. */
static void *keep_asking(void *arg)
{
    struct asker *a = arg;
    struct mpol_verdict verdict;
    double last = bench_wall_ns();
    for (int newest; (newest = atomic_load(&a->newest)) >= 0;) {
        char path[32];
        snprintf(path, sizeof path, "/new/%d", newest);
        int allow = ask(a->loop, a->reader, a->record, "10.1.2.3", path, &verdict);
        double now = bench_wall_ns();
        if (now - last > (double)atomic_load(&a->longest_ns))
            atomic_store(&a->longest_ns, (long long)(now - last));
        last = now;
        if (!allow) atomic_store(&a->answered, newest);
    }
    return NULL;
}

static void wait_ns(double ns)
{
    struct timespec t = {.tv_nsec = (long)ns};
    nanosleep(&t, NULL);
}

static void measure_reload(void)
{
    struct loop l;
    struct asker a = {.loop = &l};
    pthread_t thread;
    int reloads = bench_quick() ? 2 : 9;
    double idle[16], busy[16], compile_ns[16], swap_ns[16], decides_ns[16];
    open_loop(&l, many_rules(0));
    must(mpol_reader_open(l.engine, &a.reader), "reader");
    must(mpol_record_create(l.engine, &a.record), "record");
    atomic_store(&a.answered, -1);
    if (pthread_create(&thread, NULL, keep_asking, &a) != 0) bench_fail("no thread");
    for (int i = 0; i < reloads; i++) {
        atomic_store(&a.longest_ns, 0);
        wait_ns(80e6);
        idle[i] = (double)atomic_exchange(&a.longest_ns, 0);
        const char *why = NULL, *text = many_rules(i + 1);
        double t0 = bench_wall_ns();
        struct mpol_program *program = compile(text);
        double t1 = bench_wall_ns();
        if (mpol_engine_reload(l.engine, program, &why) != MPOL_OK) bench_fail("reload: %s", why);
        double t2 = bench_wall_ns();
        atomic_store(&a.newest, i + 1);
        while (atomic_load(&a.answered) != i + 1) {
            if (bench_wall_ns() - t2 > 5e9) bench_fail("the new rule never decides");
            l.now += S / 100;
            must(mpol_engine_step(l.engine, l.now), "step");
        }
        decides_ns[i] = bench_wall_ns() - t0;
        busy[i] = (double)atomic_load(&a.longest_ns);
        compile_ns[i] = t1 - t0;
        swap_ns[i] = t2 - t1;
    }
    atomic_store(&a.newest, -1);
    pthread_join(thread, NULL);
    double gap = bench_median(busy, reloads), before = bench_median(idle, reloads);
    double swap = bench_median(swap_ns, reloads), compiled = bench_median(compile_ns, reloads);
    bench_say("reload.reader_gap", gap / 1e3, "us", "the longest gap without a reload",
              gap / before);
    bench_say("reload.swap", swap / 1e6, "ms", "compiling the same text", swap / compiled);
    double decides = bench_median(decides_ns, reloads);
    bench_say("reload.decides", decides / 1e6, "ms", "compiling the same text", decides / compiled);
    mpol_record_destroy(a.record);
    mpol_reader_close(a.reader);
    mpol_engine_destroy(l.engine);
}

/* What a reload takes of the engine's thread while it holds many leases, and nobody else runs. */
static void measure_reload_of_leases(void)
{
    struct loop l;
    struct mpol_record *record;
    struct mpol_status status;
    double swap_ns[16], compile_ns[16];
    int reloads = bench_quick() ? 3 : 9;
    open_loop(&l, many_rules(0));
    must(mpol_record_create(l.engine, &record), "record");
    for (int i = 0; i < LEASES; i++) {
        char client[32];
        snprintf(client, sizeof client, "192.0.%d.%d", i / 250, i % 250 + 1);
        must(mpol_record_begin(record, "requests", l.now, MPOL_SERVICE), "record");
        must(mpol_record_text(record, l.service, mpol_text("account")), "service");
        must(mpol_record_text(record, l.client, mpol_text(client)), "client");
        must(mpol_record_int(record, l.status, 418), "status");
        must(mpol_engine_feed(l.engine, record), "feed");
    }
    for (int i = 0; i < reloads; i++) {
        l.now += S / 100;
        must(mpol_engine_step(l.engine, l.now), "step");
        MPOL_INIT(&status);
        must(mpol_engine_status(l.engine, &status), "status");
        if (status.leases_in_force != LEASES)
            bench_fail("%u leases are in force", (unsigned)status.leases_in_force);
        double t0 = bench_cpu_ns();
        struct mpol_program *program = compile(many_rules(i + 1));
        double t1 = bench_cpu_ns();
        must(mpol_engine_reload(l.engine, program, NULL), "reload");
        compile_ns[i] = t1 - t0;
        swap_ns[i] = bench_cpu_ns() - t1;
    }
    double swap = bench_median(swap_ns, reloads), compiled = bench_median(compile_ns, reloads);
    bench_say("reload.leases", swap / 1e6, "ms", "compiling the same text", swap / compiled);
    mpol_record_destroy(record);
    mpol_engine_destroy(l.engine);
}

int main(void)
{
    measure_trip();
    measure_connections();
    measure_reload();
    measure_reload_of_leases();
    return 0;
}
