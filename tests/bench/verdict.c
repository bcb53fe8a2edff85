/* SPDX-License-Identifier: Apache-2.0
 * What an embedder pays: a verdict with its record, and the time from the record that trips a rule to
 * the verdict that denies, in one process through the public interface.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "mpol/mpol.h"

#define S INT64_C(1000000000)
#define START (INT64_C(1700000000) * S)
#define TRIES 5

static const char policy[] =
    "mpol 1\npackage bench\nuse std.mesh\n"
    "rule guesses when count(requests where status == 401) over 10s >= 5 per client.ip max 10k\n"
    "  then deny client.ip for 1s\n"
    "rule failing when error_rate > 20% per svc then throttle svc to 50% for 1m\n"
    "rule door when request.path like \"/admin*\" and request.peer is absent then deny request\n"
    "rule api when request.path starts with \"/api\" and request.method == \"TRACE\" then deny request\n"
    "rule upload when request.bytes_in > 64MiB then deny request\n"
    "never deny request where request.path == \"/healthz\"\n";

static struct mpol_engine *engine;
static struct mpol_reader *reader;
static struct mpol_record *record;
static uint32_t field[7];
enum { SERVICE, CLIENT, PEER, METHOD, PATH, HOST, STATUS };

static void must(enum mpol_err err, const char *what)
{
    if (err != MPOL_OK) bench_fail("%s: %s", what, mpol_error_text(err));
}

static void begin(void)
{
    static const char *const names[] = {"service", "client.ip", "peer", "method", "path", "host", "status"};
    struct mpol_source source = {mpol_text("bench.mpol"), mpol_text(policy)};
    struct mpol_program *program = NULL;
    struct mpol_engine_options options;
    must(mpol_compile(&source, 1, NULL, &program), "compile");
    MPOL_INIT(&options);
    options.start_wall_ns = START;
    must(mpol_engine_create(&options, program, &engine), "create");
    for (int i = 0; i < 7; i++) must(mpol_field(engine, names[i], &field[i]), names[i]);
    must(mpol_reader_open(engine, &reader), "reader");
    must(mpol_record_create(engine, &record), "record");
}

static int ask(const char *client, const char *path, int64_t now)
{
    struct mpol_verdict verdict;
    MPOL_INIT(&verdict);
    mpol_record_begin(record, "requests", now, MPOL_SERVICE);
    mpol_record_text(record, field[SERVICE], mpol_text("account"));
    mpol_record_text(record, field[CLIENT], mpol_text(client));
    mpol_record_text(record, field[PEER], mpol_text("spiffe://shop/ns/default/sa/web"));
    mpol_record_text(record, field[METHOD], mpol_text("GET"));
    mpol_record_text(record, field[PATH], mpol_text(path));
    mpol_record_text(record, field[HOST], mpol_text("shop"));
    must(mpol_verdict(reader, record, &verdict), "verdict");
    return verdict.allow;
}

static void name_client(unsigned i, char out[32])
{
    snprintf(out, 32, "10.%u.%u.%u", i / 62500 % 250, i / 250 % 250, i % 250 + 1);
}

static void verdicts(void)
{
    unsigned count = bench_quick() ? 20000 : 2000000, passed = 0;
    static char clients[4096][32];
    for (unsigned i = 0; i < 4096; i++) name_client(i, clients[i]);
    double before = bench_cpu_ns();
    for (unsigned i = 0; i < count; i++) {
        passed += (unsigned)ask(clients[i % 4096], i % 3 == 0 ? "/api/orders" : "/cart", START);
    }
    double ns = (bench_cpu_ns() - before) / count;
    if (passed != count) bench_fail("%u of %u requests were refused", count - passed, count);
    bench_say("verdict.ns", ns, "ns", NULL, 0);
}

/* Five failures of one client; the fifth is timed until the sixth request is refused. */
static void trips(void)
{
    static double took[20000];
    unsigned count = bench_quick() ? 200 : 20000;
    int64_t now = START;
    for (unsigned i = 0; i < count; i++) {
        char client[32];
        name_client(i, client);
        double before = 0;
        for (int j = 0; j < TRIES; j++) {
            now += S / 100;
            if (!ask(client, "/login", now)) bench_fail("client %u was refused too early", i);
            mpol_record_int(record, field[STATUS], 401);
            if (j == TRIES - 1) before = bench_wall_ns();
            must(mpol_engine_feed(engine, record), "feed");
        }
        if (ask(client, "/login", now)) bench_fail("client %u was not refused", i);
        took[i] = bench_wall_ns() - before;
        must(mpol_engine_step(engine, now), "step");
    }
    bench_sort(took, count);
    bench_say("trip_to_deny.p50", bench_percentile(took, count, 0.5) / 1000, "us", NULL, 0);
    bench_say("trip_to_deny.p99", bench_percentile(took, count, 0.99) / 1000, "us", NULL, 0);
}

int main(void)
{
    begin();
    verdicts();
    trips();
    mpol_record_destroy(record);
    mpol_reader_close(reader);
    mpol_engine_destroy(engine);
    return 0;
}
