/* SPDX-License-Identifier: Apache-2.0
 * Readers ask while the loop is fed, stepped and reloaded; a bounded number of turns. Run it under
 * ThreadSanitizer, too.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mpol/mpol.h"

#define S INT64_C(1000000000)
#define START (INT64_C(1700000000) * S)
#define CONNECTIONS 4
#define TRIES 5

#define POLICY                                                                                     \
    "mpol 1\npackage t\nuse std.mesh\n"                                                            \
    "rule guesses when count(requests where status == 401) over 10s >= 5 per client.ip max 1k\n"   \
    "  then deny client.ip for 50s\n"
#define DOOR "rule door when request.path == \"/x\" and svc.tier is batch then deny request\n"

static struct mpol_engine *engine;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t service, client, path, status;
static atomic_uint reached, wrong;
static atomic_bool running;
static _Atomic int64_t now = START;

static struct mpol_program *compile(const char *text)
{
    struct mpol_source source = {mpol_text("t.mpol"), mpol_text(text)};
    struct mpol_program *program = NULL;
    assert_int_equal(mpol_compile(&source, 1, NULL, &program), MPOL_OK);
    return program;
}

/* A program keeps of the inventory what it reads, so it is told again after a reload. */
static void tell_inventory(void)
{
    static const char line[] = "{\"entity\":\"service\",\"name\":\"nightly\",\"tier\":\"batch\"}";
    assert_int_equal(mpol_engine_feed_line(engine, line, sizeof line - 1), MPOL_OK);
}

static void begin(const char *text)
{
    struct mpol_engine_options options;
    MPOL_INIT(&options);
    options.start_wall_ns = START;
    assert_int_equal(mpol_engine_create(&options, compile(text), &engine), MPOL_OK);
    mpol_field(engine, "service", &service);
    mpol_field(engine, "client.ip", &client);
    mpol_field(engine, "path", &path);
    mpol_field(engine, "status", &status);
    tell_inventory();
    atomic_store(&reached, 0);
    atomic_store(&wrong, 0);
    atomic_store(&running, true);
}

struct seat {
    pthread_t thread;
    struct mpol_reader *reader;
    struct mpol_record *record;
};

static void seats_open(struct seat *seats, void *(*run)(void *))
{
    for (int i = 0; i < CONNECTIONS; i++) {
        assert_int_equal(mpol_reader_open(engine, &seats[i].reader), MPOL_OK);
        assert_int_equal(mpol_record_create(engine, &seats[i].record), MPOL_OK);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        assert_int_equal(pthread_create(&seats[i].thread, NULL, run, &seats[i]), 0);
    }
}

/* The engine's thread closes readers, which is us: nobody may step the engine any more. */
static void seats_close(struct seat *seats)
{
    for (int i = 0; i < CONNECTIONS; i++) pthread_join(seats[i].thread, NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        mpol_reader_close(seats[i].reader);
        mpol_record_destroy(seats[i].record);
    }
    mpol_engine_destroy(engine);
}

static int ask(struct seat *s, const char *to, const char *what)
{
    struct mpol_verdict verdict;
    MPOL_INIT(&verdict);
    mpol_record_begin(s->record, "requests", atomic_load(&now), MPOL_SERVICE);
    mpol_record_text(s->record, service, mpol_text(to));
    mpol_record_text(s->record, client, mpol_text("10.0.0.7"));
    mpol_record_text(s->record, path, mpol_text(what));
    mpol_verdict(s->reader, s->record, &verdict);
    return verdict.allow;
}

/* Guesses one after the other, on a connection of its own: the next one goes out when the last
 * one was answered, and it was reported before that. */
static void *guess(void *ctx)
{
    struct seat *s = ctx;
    for (int i = 0; i < 200; i++) {
        if (!ask(s, "account", "/login")) continue;
        atomic_fetch_add(&reached, 1);
        mpol_record_int(s->record, status, 401);
        pthread_mutex_lock(&lock);
        mpol_engine_feed(engine, s->record);
        mpol_engine_step(engine, atomic_fetch_add(&now, S / 1000));
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void with_c_connections_at_most_c_less_one_more_get_through(void **state)
{
    (void)state;
    struct seat seats[CONNECTIONS];
    begin(POLICY);
    seats_open(seats, guess);
    seats_close(seats);
    assert_in_range(atomic_load(&reached), TRIES, TRIES + CONNECTIONS - 1);
}

/* The batch service has its door in one program and not in the other; the rest is the same in
 * both. */
static void *look(void *ctx)
{
    struct seat *s = ctx;
    while (atomic_load(&running)) {
        if (!ask(s, "nightly", "/y")) atomic_fetch_add(&wrong, 1);
        if (!ask(s, "account", "/x")) atomic_fetch_add(&wrong, 1);
        if (!ask(s, "nightly", "/x")) atomic_fetch_add(&reached, 1);
        mpol_reader_report(s->reader, s->record);
        sched_yield(); /* on few cores the engine wants its turn */
    }
    return NULL;
}

static void programs_come_and_go_under_the_readers(void **state)
{
    (void)state;
    struct seat seats[CONNECTIONS];
    begin(POLICY DOOR);
    seats_open(seats, look);
    for (int i = 0; i < 60; i++) {
        struct mpol_program *next = compile(i % 2 == 0 ? POLICY : POLICY DOOR);
        assert_int_equal(mpol_engine_reload(engine, next, NULL), MPOL_OK);
        tell_inventory();
        for (int j = 0; j < 20; j++) {
            char line[96];
            int len =
                snprintf(line, sizeof line,
                         "{\"entity\":\"service\",\"name\":\"s%d\",\"tier\":\"batch\"}", i % 8);
            mpol_engine_feed_line(engine, line, (size_t)len);
            mpol_engine_step(engine, atomic_fetch_add(&now, S / 50));
        }
    }
    while (atomic_load(&reached) == 0) sched_yield(); /* the door is in the last program */
    atomic_store(&running, false);
    seats_close(seats);
    assert_int_equal(atomic_load(&wrong), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_c_connections_at_most_c_less_one_more_get_through),
        cmocka_unit_test(programs_come_and_go_under_the_readers),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
