/* SPDX-License-Identifier: Apache-2.0
 * The whole loop on one core, decoded records in: windows, holds, rules, incidents, ledger;
 * against a C program written by hand for the same aggregates and rules (loop_c.c), in turns, on
 * the same records. Both must find the same truths as often.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "bench.h"
#include "loop_rules.h"
#include "schema/decimal.h"

#define T0 1764000000000000000LL
#define STEP_NS 10000 /* event time between two records: 100,000 requests a second */
enum { RECORDS = 1 << 17, ROUNDS_MAX = 31, BAD_SERVICES = 2 };

/* ---- rules ---- */

static const char *const agg_text[LOOP_AGG_COUNT] = {
#define TEXT(n, text, unit) text,
    LOOP_AGGS(TEXT)
#undef TEXT
};
static const char *const agg_unit[LOOP_AGG_COUNT] = {
#define UNIT(n, text, unit) unit,
    LOOP_AGGS(UNIT)
#undef UNIT
};
/* What a healthy service stays under, and a bad one goes over. */
static const double agg_limit[LOOP_AGG_COUNT] = {1600, 40,  6.1,  60,   900e6,  4700,
                                                 3900, 130, 1500, 1400, 270000, 1450};

void loop_rules_make(struct loop_rule rules[LOOP_RULE_COUNT])
{
    for (int i = 0; i < LOOP_RULE_COUNT; i++) {
        int a = i % LOOP_AGG_COUNT, b = (i / LOOP_AGG_COUNT + 1 + a) % LOOP_AGG_COUNT;
        double spread = 1 + (i % 23) / 100.0;
        rules[i].agg[0] = a;
        rules[i].agg[1] = b;
        rules[i].limit[0] = (double)(long long)(agg_limit[a] * spread * 10) / 10;
        rules[i].limit[1] = (double)(long long)(agg_limit[b] * 0.9 * spread * 10) / 10;
        if (agg_unit[a][0] == 'B' || agg_unit[a][0] == 0)
            rules[i].limit[0] = (double)(long long)rules[i].limit[0];
        if (agg_unit[b][0] == 'B' || agg_unit[b][0] == 0)
            rules[i].limit[1] = (double)(long long)rules[i].limit[1];
    }
}

static const char *const inline_text[LOOP_INLINE_COUNT] = {
    "request.service == \"svc-0\" and request.method == \"POST\" and request.bytes_in > 4000B",
    "request.service == \"svc-7\" and request.method == \"POST\" and request.bytes_in > 4100B",
    "request.service == \"svc-77\" and request.method == \"POST\" and request.bytes_in > 4200B",
    "request.service == \"svc-123\" and request.method == \"POST\" and request.bytes_in > 4300B",
    "request.service == \"svc-200\" and request.method == \"POST\" and request.bytes_in > 4400B",
    "request.service == \"svc-301\" and request.method == \"POST\" and request.bytes_in > 4500B",
    "request.service == \"svc-404\" and request.method == \"POST\" and request.bytes_in > 4600B",
    "request.service == \"svc-555\" and request.method == \"POST\" and request.bytes_in > 4700B",
    "request.service == \"svc-808\" and request.method == \"POST\" and request.bytes_in > 4800B",
    "request.service == \"svc-999\" and request.method == \"POST\" and request.bytes_in > 4900B",
    "request.path starts with \"/admin\" and request.mtls is false",
    "request.path starts with \"/internal\" and client.ip not in 10.20.0.0/16",
    "request.path == \"/debug\"",
    "request.path == \"/metrics\" and request.mtls is false",
    "request.method == \"POST\" and request.bytes_in > 8000B",
    "client.ip in 192.0.0.0/16 and request.method == \"POST\"",
    "client.ip in 198.51.0.0/16",
    "client.ip in 203.0.0.0/16 and request.bytes_in > 5000B",
    "request.mtls is false and request.bytes_in > 7900B and request.path starts with \"/api\"",
    "request.path starts with \"/.git\"",
};

static struct mp_program *compile(const struct loop_rule *rules)
{
    static char text[64 << 10];
    size_t len = (size_t)snprintf(text, sizeof text, "mpol 1\npackage bench.loop\nuse std.mesh\n");
    for (int i = 0; i < LOOP_RULE_COUNT; i++) {
        const struct loop_rule *r = &rules[i];
        len += (size_t)snprintf(
            text + len, sizeof text - len,
            "rule r%03d when %s > %.10g%s and %s > %.10g%s per svc "
            "then throttle svc to 50%% for 1m\n",
            i, agg_text[r->agg[0]], r->limit[0], agg_unit[r->agg[0]], agg_text[r->agg[1]],
            r->limit[1], agg_unit[r->agg[1]]);
    }
    for (int i = 0; i < LOOP_INLINE_COUNT; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len,
                                "rule i%02d when %s then deny request\n", i, inline_text[i]);
    }
    return bench_compile(text);
}

/* ---- traffic ---- */

static const char *const paths[] = {
    "/",        "/api/v1/cart",   "/api/v1/orders", "/login",
    "/search",  "/static/app.js", "/admin/users",   "/internal/sync",
    "/metrics", "/healthz",       "/api/v2/pay",    "/checkout"};

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    return (uint32_t)(mp_rng_next(seed) >> 33) % below;
}

static struct loop_event *events;

static size_t line(uint32_t number, char *out, size_t size)
{
    uint64_t seed = number * 2654435761u + 17;
    struct loop_event *e = &events[number];
    *e = (struct loop_event){.layer_is_service = 1};
    int service = (int)draw(&seed, LOOP_SERVICES);
    bool bad = service < BAD_SERVICES;
    const char *path = paths[draw(&seed, draw(&seed, 16) == 0 ? 12 : 6)];
    snprintf(e->service, sizeof e->service, "svc-%d", service);
    snprintf(e->path, sizeof e->path, "%s", path);
    e->is_post = draw(&seed, 10) < 3;
    e->is_mtls = draw(&seed, 20) != 0;
    e->status = draw(&seed, bad ? 8 : 150) == 0 ? 503 : draw(&seed, 10) == 0 ? 404 : 200;
    uint32_t micros = 500 + draw(&seed, 30000);
    if (draw(&seed, 40) == 0) micros *= bad ? 120 : 12;
    e->latency_ns = (long long)micros * 1000 + draw(&seed, 1000);
    e->bytes_in = draw(&seed, 8100);
    e->bytes_out = 200 + draw(&seed, draw(&seed, 30) == 0 ? 260000 : 16000);
    static const unsigned char nets[4][2] = {{10, 20}, {10, 3}, {172, 16}, {192, 0}};
    const unsigned char *net = nets[draw(&seed, 64) == 0 ? 3 : draw(&seed, 3)];
    memcpy(e->ip,
           (unsigned char[16]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, net[0], net[1],
                               (unsigned char)draw(&seed, 256), (unsigned char)draw(&seed, 256)},
           16);
    return (size_t)snprintf(
        out, size,
        "{\"time\":1764000000,\"service\":\"%s\",\"instance\":\"%s-%u\","
        "\"client\":{\"ip\":\"%d.%d.%d.%d\"},"
        "\"method\":\"%s\",\"path\":\"%s\",\"mtls\":%s,\"status\":%d,\"latency\":\"%lldns\","
        "\"bytes_in\":%lld,\"bytes_out\":%lld}",
        e->service, e->service, draw(&seed, 4), e->ip[12], e->ip[13], e->ip[14], e->ip[15],
        e->is_post ? "POST" : "GET", e->path, e->is_mtls ? "true" : "false", e->status,
        e->latency_ns, e->bytes_in, e->bytes_out);
}

/* ---- the two ---- */

static void run_engine(struct mp_engine *e, struct bench_records *r, uint32_t from, uint32_t to,
                       uint64_t at)
{
    for (uint32_t i = from; i < to; i++) {
        r->record[i].time_ns = T0 + (int64_t)(at++ * STEP_NS);
        mp_engine_record(e, &r->record[i]);
    }
}

static void run_c(struct loop_c *c, uint32_t from, uint32_t to, uint64_t at)
{
    for (uint32_t i = from; i < to; i++) {
        events[i].time_ns = T0 + (long long)(at++ * STEP_NS);
        loop_c_event(c, &events[i]);
    }
}

/* Where the tables by hand have a rule: r000 and on, then i00 and on. */
static uint32_t place(mp_str name)
{
    bool counted = name.ptr[0] == 'r';
    int64_t number = -1, count = counted ? LOOP_RULE_COUNT : LOOP_INLINE_COUNT;
    bool read = mp_decimal_int((mp_str){name.ptr + 1, name.len - 1}, 0, 1, &number);
    if (!read || number < 0 || number >= count) {
        bench_fail("`%.*s` is no rule of this bench", MP_STR_ARG(name));
    }
    return (uint32_t)(counted ? number : LOOP_RULE_COUNT + number);
}

static uint64_t compare(const struct mp_engine *e, const struct mp_program *p,
                        const unsigned long long *by_hand)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->rule_count; i++) {
        mp_str name = mp_program_text(p, p->rule[i].name);
        uint32_t at = place(name);
        struct mp_rule_counts n = mp_engine_rule_counts(e, i);
        uint64_t is_true = n.judged - n.false_ - n.unknown;
        if (is_true != by_hand[at]) {
            bench_fail("%.*s was true %llu times here, %llu times by hand", MP_STR_ARG(name),
                       (unsigned long long)is_true, by_hand[at]);
        }
        sum += is_true;
    }
    return sum;
}

static void say(const char *name, double *ns, double *ratio, int rounds)
{
    bench_say(name, 1e9 / bench_median(ns, rounds), "records/s", "the same by hand in C",
              bench_median(ratio, rounds));
}

/* Rounds of 32,768 records, the executors and the program by hand in turns. */
static void measure(struct mp_program *p, const struct loop_rule *rules,
                    struct bench_records *records, bool native)
{
    struct mp_engine_options options = {
        .clock = MP_ENGINE_REPLAY, .hash_key = {1, 2}, .limits.keys = 4096};
    struct mp_engine *e;
    const struct mp_os *os = bench_os();
    void *memory = os->alloc(os->ctx, loop_c_bytes()); /* the same memory for both */
    if (memory == NULL || mp_engine_create(p, os, &options, NULL, &e) != MP_OK)
        bench_fail("out of memory");
    struct loop_c *c = loop_c_make(memory, rules);
    double engine_ns[ROUNDS_MAX], ratio[ROUNDS_MAX];
    const uint32_t size = 1 << 15, warm = bench_quick() ? 2 : 60,
                   rounds = bench_quick() ? 3 : ROUNDS_MAX;
    for (uint32_t i = 0; i < warm + rounds; i++) {
        uint32_t from = i * size % RECORDS;
        double t0 = bench_cpu_ns();
        run_engine(e, records, from, from + size, (uint64_t)i * size);
        double t1 = bench_cpu_ns();
        run_c(c, from, from + size, (uint64_t)i * size);
        double t2 = bench_cpu_ns();
        if (i < warm) continue;
        engine_ns[i - warm] = (t1 - t0) / size;
        ratio[i - warm] = (t2 - t1) / (t1 - t0);
    }
    uint64_t is_true = compare(e, p, loop_c_true(c));
    if (getenv("BENCH_VERBOSE") != NULL)
        fprintf(stderr, "true %llu times\n", (unsigned long long)is_true);
    say(native ? "loop.native" : "loop.interpreter", engine_ns, ratio, (int)rounds);
    mp_engine_destroy(e);
    os->free(os->ctx, memory, loop_c_bytes());
}

int main(void)
{
    struct loop_rule rules[LOOP_RULE_COUNT];
    struct bench_records records;
    loop_rules_make(rules);
    struct mp_program *p = compile(rules);
    events = malloc(RECORDS * sizeof *events);
    if (events == NULL) bench_fail("out of memory");
    bench_decode(&records, p, RECORDS, line);
    measure(p, rules, &records, false);
    if (bench_native(p)) {
        measure(p, rules, &records, true);
        bench_native_end(p);
    }
    bench_records_free(&records);
    mp_program_free(p);
    free(events);
    return 0;
}
