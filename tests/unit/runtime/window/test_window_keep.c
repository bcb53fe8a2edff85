/* SPDX-License-Identifier: Apache-2.0
 * Windows that outlive a restart and a reload, and the bound on their memory.
 */
#include "bed.h"

#include <stdio.h>
#include <stdlib.h>

#include "window/window_priv.h"

/* ---- keeping ---- */

static char saved[1 << 20];
static size_t saved_size;

static bool save_piece(void *ctx, const void *bytes, size_t size)
{
    if (saved_size + size > sizeof saved) return false;
    memcpy(saved + saved_size, bytes, size);
    saved_size += size;
    return true;
}

static void fill_some(void)
{
    char name[16];
    for (uint32_t i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "user-%u", i % 130);
        struct request q =
            {.at_ns = i * 4 * MS, .service = i % 3 ? "web" : "a-service-with-a-long-name",
                            .bad = i % 7 == 0, .latency = (i % 50 + 1) * MS, .user = name};
        send_at(i * 4 * MS, &q);
    }
}

static void compare_windows(struct mp_window *a, struct mp_window *b, const char *name)
{
    for (uint32_t i = 0; i < A_SEEN; i++) {
        struct mp_value x, y, key = text(name);
        struct mp_read how = {0};
        bool p =
            mp_window_read(a, &how, by_service, mp_window_find(a, by_service, &key), col[i], &x);
        bool q =
            mp_window_read(b, &how, by_service, mp_window_find(b, by_service, &key), col[i], &y);
        assert_int_equal(p, q);
        if (p) assert_memory_equal(&x, &y, sizeof x);
    }
}

static void windows_outlive_a_restart(void **state)
{
    fill_some();
    saved_size = 0;
    assert_int_equal(mp_window_save(window, NULL, save_piece), MP_OK);
    struct mp_window *again;
    struct mp_window_limits limits = {.keys_max = 5000, .always_alive = true};
    assert_int_equal(mp_window_create(&arena, &world.p, &limits, hash_key, inventory, NULL,
                                      &again), MP_OK);
    assert_int_equal(mp_window_restore(again, saved, saved_size), MP_OK);
    compare_windows(window, again, "web");
    compare_windows(window, again, "a-service-with-a-long-name");
    mp_window_advance(window, 12 * S);
    mp_window_advance(again, 12 * S);
    compare_windows(window, again, "web");
}

static void different_values_are_not_counted_on_under_another_hash_key(void **state)
{
    fill_some();
    saved_size = 0;
    assert_int_equal(mp_window_save(window, NULL, save_piece), MP_OK);
    struct mp_window *again;
    struct mp_window_limits limits = {.keys_max = 5000, .always_alive = true};
    struct mp_hash_key other = {3, 4};
    assert_int_equal(mp_window_create(&arena, &world.p, &limits, other, inventory, NULL, &again),
                     MP_OK);
    assert_int_equal(mp_window_restore(again, saved, saved_size), MP_OK);
    struct mp_value v, key = text("web");
    uint32_t at = mp_window_find(again, by_service, &key);
    assert_true(mp_window_read(again, &now, by_service, at, col[A_COUNT], &v));
    assert_true(mp_value_as_int(v) > 0);
    assert_true(mp_window_read(again, &now, by_service, at, col[A_DISTINCT], &v));
    assert_int_equal(mp_value_as_int(v), 0);
}

static void damaged_bytes_are_refused_and_harm_nothing(void **state)
{
    fill_some();
    saved_size = 0;
    assert_int_equal(mp_window_save(window, NULL, save_piece), MP_OK);
    uint64_t seed = 20261125;
    printf("seed %llu\n", (unsigned long long)seed);
    struct mp_window_limits limits = {.keys_max = 100, .always_alive = true};
    for (int i = 0; i < 200; i++) {
        struct mp_arena a;
        mp_arena_init(&a, NULL, 0);
        struct mp_window *again;
        assert_int_equal(mp_window_create(&a, &world.p, &limits, hash_key, inventory, NULL,
                                          &again), MP_OK);
        size_t cut = i % 2 ? saved_size : mp_rng_next(&seed) % saved_size;
        for (int k = 0; k < 20; k++) {
            saved[mp_rng_next(&seed) % saved_size] ^= (char)mp_rng_next(&seed);
        }
        mp_window_restore(again, saved, cut);
        mp_window_advance(again, 10 * S);
        struct mp_row row = {.known = (uint64_t[8]){0}, .cell = (struct mp_value[64]){{{0, 0}}}};
        uint32_t key = mp_window_next_key(again, by_service, 0);
        if (key != MP_NONE) mp_window_fill(again, &now, by_service, key, &row);
        mp_arena_free(&a);
    }
}

static void windows_survive_a_reload_with_their_keys_and_pins(void **state)
{
    fill_some();
    uint32_t was = key_of(by_service, "web");
    mp_window_pin(window, by_service, was);
    struct mp_window *next;
    struct mp_window_limits limits = {.keys_max = 5000, .always_alive = true};
    assert_int_equal(mp_window_create(&arena, &world.p, &limits, hash_key, inventory, NULL, &next),
                     MP_OK);
    mp_window_adopt(next, window, NULL, NULL);
    compare_windows(window, next, "web");
    struct mp_value name = text("web");
    mp_window_unpin(next, by_service, mp_window_find(next, by_service, &name));
    mp_window_advance(window, 9 * S);
    mp_window_advance(next, 9 * S);
    compare_windows(window, next, "a-service-with-a-long-name");
}

static void the_memory_bound_takes_keys_from_the_largest_groupings(void **state)
{
    make_program(10 * S, 60, 6, 1000000);
    struct mp_window_limits limits = {.keys_max = 1000000, .memory_bytes = 64u << 20};
    size_t bytes = mp_window_bytes(&world.p, &limits);
    assert_true(bytes < (size_t)96 << 20);
    limits.memory_bytes = 1000;
    assert_true(mp_window_bytes(&world.p, &limits) == SIZE_MAX);
}

int main(void)
{
#define ALIVE(name) cmocka_unit_test_setup_teardown(name, standard_alive, teardown)
    const struct CMUnitTest tests[] = {
        ALIVE(windows_outlive_a_restart),
        ALIVE(different_values_are_not_counted_on_under_another_hash_key),
        ALIVE(damaged_bytes_are_refused_and_harm_nothing),
        ALIVE(windows_survive_a_reload_with_their_keys_and_pins),
        cmocka_unit_test(the_memory_bound_takes_keys_from_the_largest_groupings),
    };
    return cmocka_run_group_tests_name("window_keep", tests, NULL, NULL);
}
