/* SPDX-License-Identifier: Apache-2.0
 * Rules on the record alone: native code, the interpreter, and the same rules written by hand in
 * C at
 * -O3, in turns on the same 65,536 distinct records. All three must answer the same for each of
 * them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "bench.h"
#include "eval/eval.h"
#include "rules.h"

enum { RECORDS = 1 << 16, ROUNDS_MAX = 41, RULES_MAX = 100 };

static const char *const policy_text[RULES_MAX] = {
#define RULE(n, policy, c) policy,
#include "rules.def"
#undef RULE
};

static struct rules_event *events;
static uint64_t (*answers)[2]; /* by hand, per record */

static struct mp_program *compile(int count)
{
    static char text[64 << 10];
    size_t len = (size_t)snprintf(text, sizeof text, "mpol 1\npackage bench.rules\nuse std.mesh\n");
    for (int i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len,
                                "rule r%03d when %s then deny request\n", i, policy_text[i]);
    }
    return bench_compile(text);
}

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    return (uint32_t)(mp_rng_next(seed) >> 33) % below;
}

static size_t line(uint32_t number, char *out, size_t size)
{
    static const char *const paths[] = {"/",
                                        "/api/v1/cart",
                                        "/api/v1/orders",
                                        "/login",
                                        "/static/app.js",
                                        "/admin/users",
                                        "/internal/sync",
                                        "/api/v2/pay"};
    static const unsigned char nets[5][2] = {{10, 20}, {10, 3}, {172, 16}, {192, 0}, {10, 7}};
    static const int ports[] = {80, 443, 8080, 8443, 9090};
    uint64_t seed = number * 2654435761u + 99;
    struct rules_event *e = &events[number];
    *e = (struct rules_event){.mtls = draw(&seed, 10) != 0, .bytes_in = draw(&seed, 8100)};
    snprintf(e->service, sizeof e->service, "svc-%u", draw(&seed, 25));
    snprintf(e->method, sizeof e->method, "%s", draw(&seed, 10) < 3 ? "POST" : "GET");
    snprintf(e->path, sizeof e->path, "%s", paths[draw(&seed, 8)]);
    e->bot_score = draw(&seed, 100);
    e->attack_score = draw(&seed, 100);
    e->port = ports[draw(&seed, 5)];
    e->cert_ns = (int64_t)draw(&seed, 90 * 60) * 60 * 1000000000;
    const unsigned char *net = nets[draw(&seed, 5)];
    memcpy(e->ip,
           (unsigned char[16]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, net[0], net[1],
                               (unsigned char)draw(&seed, 256), (unsigned char)draw(&seed, 256)},
           16);
    return (size_t)snprintf(
        out, size,
        "{\"time\":1764000000,\"service\":\"%s\",\"client\":{\"ip\":\"%d.%d.%d.%d\"},"
        "\"method\":\"%s\","
        "\"path\":\"%s\",\"mtls\":%s,\"bytes_in\":%lld,\"bot_score\":%lld,\"attack_score\":%lld,"
        "\"port\":%lld,\"peer_cert_expires_in\":\"%lldns\"}",
        e->service, e->ip[12], e->ip[13], e->ip[14], e->ip[15], e->method, e->path,
        e->mtls ? "true" : "false", (long long)e->bytes_in, (long long)e->bot_score,
        (long long)e->attack_score, (long long)e->port, (long long)e->cert_ns);
}

/* ---- the three ---- */

static double by_hand(int count)
{
    void (*rules)(const struct rules_event *e, uint64_t truth[2]) =
        count == 10 ? rules_c_10 : rules_c_100;
    double from = bench_cpu_ns();
    for (uint32_t i = 0; i < RECORDS; i++) rules(&events[i], answers[i]);
    return (bench_cpu_ns() - from) / RECORDS;
}

/* The time of judging all records; *sum: of the answers, so that none is left out. */
static double judge(const struct mp_program *p, const struct bench_records *r, uint64_t *sum)
{
    const struct mp_signal_row *s = &p->signal[r->record[0].signal];
    struct mp_inputs in;
    struct mp_hits hits;
    mp_inputs_init(&in, p, NULL);
    *sum = 0;
    double from = bench_cpu_ns();
    for (uint32_t i = 0; i < RECORDS; i++) {
        in.record = r->record[i].field;
        in.record_known = r->record[i].known;
        for (uint32_t u = s->rule_units_at; u < s->rule_units_at + s->rule_units_count; u++) {
            mp_eval_unit(p, u, &in, &hits);
            *sum += hits.truth;
        }
    }
    return (bench_cpu_ns() - from) / RECORDS;
}

/* Every rule of every record, one by one. */
static void check(const struct mp_program *p, const struct bench_records *r, const char *who)
{
    const struct mp_signal_row *s = &p->signal[r->record[0].signal];
    struct mp_inputs in;
    struct mp_hits hits;
    mp_inputs_init(&in, p, NULL);
    for (uint32_t i = 0; i < RECORDS; i++) {
        in.record = r->record[i].field;
        in.record_known = r->record[i].known;
        uint64_t truth[2] = {0, 0};
        for (uint32_t u = s->rule_units_at; u < s->rule_units_at + s->rule_units_count; u++) {
            mp_eval_unit(p, u, &in, &hits);
            for (uint32_t k = 0; k < p->unit[u].rules_count; k++) {
                uint32_t rule = p->unit[u].rules_at + k; /* rows are sorted by name: the number */
                truth[rule / 64] |= (hits.truth >> k & 1) << (rule % 64);
            }
        }
        if (truth[0] != answers[i][0] || truth[1] != answers[i][1]) {
            bench_fail("%s and the program by hand differ on record %u", who, i);
        }
    }
}

static void measure(int count)
{
    struct mp_program *slow = compile(count), *fast = compile(count);
    struct bench_records records;
    bench_decode(&records, slow, RECORDS, line);
    bool native = bench_native(fast);
    double hand[ROUNDS_MAX], interpreter[ROUNDS_MAX], ns[ROUNDS_MAX], to_hand[ROUNDS_MAX],
        to_native[ROUNDS_MAX];
    int rounds = bench_quick() ? 3 : ROUNDS_MAX;
    uint64_t sums[2];
    by_hand(count);
    check(slow, &records, "the interpreter");
    check(fast, &records, "native code");
    for (int i = 0; i < rounds; i++) {
        hand[i] = by_hand(count);
        interpreter[i] = judge(slow, &records, &sums[0]);
        ns[i] = judge(fast, &records, &sums[1]);
        to_hand[i] = ns[i] / hand[i];
        to_native[i] = interpreter[i] / ns[i];
        if (sums[0] != sums[1]) bench_fail("the executors differ");
    }
    char name[64];
    snprintf(name, sizeof name, "rules.%d.by_hand", count);
    bench_say(name, bench_median(hand, rounds), "ns/record", NULL, 0);
    if (native) {
        snprintf(name, sizeof name, "rules.%d.native", count);
        bench_say(name, bench_median(ns, rounds), "ns/record", "the same by hand in C",
                  bench_median(to_hand, rounds));
        snprintf(name, sizeof name, "rules.%d.interpreter", count);
        bench_say(name, bench_median(interpreter, rounds), "ns/record", "native code",
                  bench_median(to_native, rounds));
        bench_native_end(fast);
    }
    bench_records_free(&records);
    mp_program_free(slow);
    mp_program_free(fast);
}

int main(void)
{
    events = malloc(RECORDS * sizeof *events);
    answers = malloc(RECORDS * sizeof *answers);
    if (events == NULL || answers == NULL) bench_fail("out of memory");
    measure(10);
    measure(100);
    free(events);
    free(answers);
    return 0;
}
