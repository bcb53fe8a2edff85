/* SPDX-License-Identifier: Apache-2.0
 * Readers against one publisher, a bounded number of turns. Run it under ThreadSanitizer, too.
 *
 * Every set has the same lease id on all targets of its round and one on "all"; a reader that
 * sees two rounds in one table, or a round after it was told that a later one is effective, has
 * found a bug.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "inproc/inproc.h"

#define READERS 4
#define ROUNDS 2000
#define TARGETS 8

static struct mp_inproc *backend;
static _Atomic uint64_t effective;
static atomic_bool running;
static atomic_uint faults;
static uint32_t service;

static void *read_on(void *ctx)
{
    struct mp_inproc_reader *r = ctx;
    struct mp_value name = mp_value_text(MP_STR("a-service-with-a-long-name"));
    while (atomic_load(&running)) {
        uint64_t promised = atomic_load(&effective);
        const struct mp_inproc_view *view = mp_inproc_enter(r);
        uint64_t round = view->lease_count > 0 ? view->leases[0].incident : 0;
        for (uint32_t i = 0; i < view->lease_count; i++) {
            if (view->leases[i].incident != round) atomic_fetch_add(&faults, 1);
        }
        const struct mp_inproc_lease *l = mp_inproc_find(view, service, MP_REP_T, name);
        if (l != NULL && l->incident != round) atomic_fetch_add(&faults, 1);
        if (l != NULL) mp_bucket_offer(&view->buckets[l->bucket], &l->limit, 0);
        if (round < promised) atomic_fetch_add(&faults, 1);
        mp_inproc_leave(r);
        sched_yield(); /* on few cores the publisher wants its turn */
    }
    return NULL;
}

static void publish(uint64_t round)
{
    struct mpol_arg to = {.name = mpol_text("to"), .type = mpol_text("percent"),
                          .kind = MPOL_ARG_NUMBER, .number = 0.5};
    struct mpol_lease leases[TARGETS];
    char names[TARGETS][32];
    size_t count = 1 + round % TARGETS;
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], i == 0 ? "a-service-with-a-long-name" : "s%zu", i);
        leases[i] = (struct mpol_lease){
            .size = sizeof leases[i], .id = i + 1, .incident = round, .rule = mpol_text("r"),
            .verb = mpol_text("throttle"), .target_kind = mpol_text("service"),
            .target_type = mpol_text("string"), .target = mpol_text(names[i]),
            .hooks = MPOL_SERVICE, .args = &to, .arg_count = 1};
    }
    struct mpol_desired set = {.size = sizeof set, .revision = round, .owner = mpol_text("o"),
                               .leases = leases, .lease_count = count};
    enum mpol_err err;
    while ((err = mp_inproc_ops.apply(backend, &set)) == MPOL_EAGAIN) sched_yield();
    assert_int_equal(err, MPOL_OK);
}

static void readers_see_whole_tables_and_never_an_older_one_than_promised(void **state)
{
    (void)state;
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    struct mp_inproc_limits limits = {.leases = 16, .readers = READERS};
    assert_int_equal(mp_inproc_create(&arena, limits, (struct mp_hash_key){5, 6}, &backend), MP_OK);
    assert_int_equal(mp_inproc_kind(backend, MP_STR("service"), &service), MP_OK);

    pthread_t threads[READERS];
    struct mp_inproc_reader *readers[READERS];
    atomic_store(&running, true);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(mp_inproc_reader_open(backend, &readers[i]), MP_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, readers[i]), 0);
    }
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        publish(round);
        struct mpol_progress p = {.size = sizeof p};
        assert_int_equal(mp_inproc_ops.progress(backend, &p), MPOL_OK);
        atomic_store(&effective, p.effective);
    }
    atomic_store(&running, false);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        mp_inproc_reader_close(readers[i]);
    }
    assert_int_equal(atomic_load(&faults), 0);
    mp_arena_free(&arena);
}

/* ---- one bucket, many threads ---- */

#define OFFERS 20000

static struct mp_bucket shared;
static struct mp_bucket_limit limit;
static atomic_uint admitted;

static void *offer_on(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < OFFERS; i++) {
        if (mp_bucket_offer(&shared, &limit, 1) && mp_bucket_take(&shared, &limit, 1)) {
            atomic_fetch_add(&admitted, 1);
        }
    }
    return NULL;
}

static unsigned offer_from_all(struct mp_bucket_limit of)
{
    pthread_t threads[READERS];
    limit = of;
    atomic_store(&shared.credit, 0);
    atomic_store(&shared.arrival_ns, 0);
    atomic_store(&admitted, 0);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, offer_on, NULL), 0);
    }
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    return atomic_load(&admitted);
}

static void threads_together_get_what_one_would(void **state)
{
    (void)state;
    /* Never more than the share; a little less where two find the last credit at once. */
    assert_in_range(offer_from_all(mp_bucket_of_share(0.25, 0)), READERS * OFFERS / 4 / 2,
                    READERS * OFFERS / 4);
    assert_int_equal(offer_from_all(mp_bucket_of_rate(1, 100, 0)), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_tables_and_never_an_older_one_than_promised),
        cmocka_unit_test(threads_together_get_what_one_would),
    };
    return cmocka_run_group_tests_name("inproc_readers", tests, NULL, NULL);
}
