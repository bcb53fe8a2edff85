/* SPDX-License-Identifier: Apache-2.0
 * After it has started, the loop takes no memory: not from the allocator that it was lent, and not
 * behind its back from libc, whose functions this program replaces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mpol/mpol.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void __libc_free(void *ptr);

static bool forbidden;
static unsigned taken;

void *malloc(size_t size)
{
    taken += forbidden;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    taken += forbidden;
    return __libc_calloc(count, size);
}

void *realloc(void *ptr, size_t size)
{
    taken += forbidden;
    return __libc_realloc(ptr, size);
}

void free(void *ptr) { __libc_free(ptr); }

#define S INT64_C(1000000000)
#define START (INT64_C(1700000000) * S)

static const char policy[] =
    "mpol 1\npackage t\nuse std.mesh\n"
    "rule errors when error_rate over 5s > 20% for 1s per svc unless svc.tier is batch\n"
    "  then throttle svc to 50% for 30s and notify \"{svc} at {error_rate}\"\n"
    "    verify error_rate over 5s < 1% for 1s within 5s settle 1s\n"
    "  else quarantine svc for 30s\n"
    "    verify error_rate of svc.callers < 1% for 1s within 10s\n"
    "  else rollback and page \"x\"\n"
    "  until error_rate of svc.callers < 1% for 5s\n"
    "  ramp 25% every 1s\n"
    "  cooldown 5s\n"
    "rule guesses when count(requests where status == 401) over 10s >= 5 per client.ip max 200\n"
    "  then deny client.ip for 20s\n"
    "rule slow when p99(requests.latency) over 10s > 10s per instance "
    "then throttle instance to 10/s for 1m\n"
    "rule many when distinct(requests.path) over 10s > 1000 per client.ip max 1k "
    "then deny client.ip for 20s\n"
    "rule door when request.path like \"/admin*\" and svc.tier is critical then deny request\n"
    "rule calm when request.path == \"/x0\" per client.ip max 100 then throttle request to 5/s\n"
    "never deny request where request.path == \"/healthz\"\n"
    "never quarantine svc more than 3 services per 10m\n";

static unsigned entries;

static void on_entry(void *ctx, const struct mpol_entry *e)
{
    (void)ctx, (void)e;
    entries++;
}

__attribute__((format(printf, 3, 4))) static void set(struct mpol_record *r, uint32_t field,
                                                      const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mpol_record_text(r, field, mpol_text(text));
}

static const char *path(unsigned i) { return i % 7 == 0 ? "/x" : i % 11 == 0 ? "/admin/" : "/a/"; }

static void nothing_is_allocated_while_records_pass(void **state)
{
    (void)state;
    struct mpol_source source = {mpol_text("t.mpol"), mpol_text(policy)};
    struct mpol_program *program = NULL;
    struct mpol_engine *engine = NULL;
    struct mpol_engine_options options;
    struct mpol_reader *reader = NULL;
    struct mpol_record *record = NULL;
    MPOL_INIT(&options);
    options.start_wall_ns = START;
    assert_int_equal(mpol_compile(&source, 1, NULL, &program), MPOL_OK);
    assert_int_equal(mpol_engine_create(&options, program, &engine), MPOL_OK);
    static const char *const names[] = {"service", "instance", "client.ip", "peer",
                                        "path",    "status",   "latency"};
    uint32_t f[7];
    for (int i = 0; i < 7; i++) assert_int_equal(mpol_field(engine, names[i], &f[i]), MPOL_OK);
    assert_int_equal(mpol_reader_open(engine, &reader), MPOL_OK);
    assert_int_equal(mpol_record_create(engine, &record), MPOL_OK);
    mpol_engine_watch(engine, on_entry, NULL);

    forbidden = true;
    for (unsigned i = 0; i < 60000; i++) {
        struct mpol_verdict verdict;
        int64_t now = START + i * (S / 1000);
        MPOL_INIT(&verdict);
        if (i % 500 == 0) {
            char line[160];
            int len = snprintf(
                line, sizeof line,
                "{\"entity\":\"service\",\"name\":\"s%u\",\"tier\":\"critical\","
                "\"callers\":[\"s%u\"]}",
                i / 500 % 20, (i / 500 + 1) % 20);
            mpol_engine_feed_line(engine, line, (size_t)len);
        }
        mpol_record_begin(record, "requests", now, MPOL_SERVICE);
        set(record, f[0], "s%u", i % 20);
        set(record, f[1], "instance-number-%u", i % 60);
        set(record, f[2], "10.0.7.%u", i % 251);
        set(record, f[3], "spiffe://shop/ns/default/sa/s%u", i % 20);
        set(record, f[4], "%s%u", path(i), i % 7 == 0 ? 0 : i);
        mpol_verdict(reader, record, &verdict);
        if (verdict.allow) {
            bool fails = i % 20 == 3 && i > 5000 && i < 30000;
            mpol_record_int(record, f[5], fails ? 503 : i % 251 == 9 ? 401 : 200);
            mpol_record_int(record, f[6], (int64_t)(i % 997) * 100000);
        } else {
            mpol_record_refused(record, verdict.rule);
        }
        if (i % 2 == 0) {
            mpol_engine_feed(engine, record);
        } else {
            mpol_reader_report(reader, record);
        }
        mpol_engine_step(engine, now);
    }
    forbidden = false;
    assert_int_equal(taken, 0);
    assert_true(entries > 20); /* much has happened in that time */
    mpol_record_destroy(record);
    mpol_reader_close(reader);
    mpol_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allocated_while_records_pass),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
