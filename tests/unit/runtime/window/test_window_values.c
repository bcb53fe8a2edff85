/* SPDX-License-Identifier: Apache-2.0
 * Every aggregate against a recomputation from the list of records; when a value moves; values
 * that are set.
 */
#include "bed.h"

#include <stdio.h>
#include <stdlib.h>

#include "window/window_priv.h"

/* ---- against a recomputation ---- */

#define MANY 3000

static struct request history[MANY];
static char users[MANY][16];

/* Records of a service in the panes that the read covers, straight from the list. */
static bool covered(const struct request *q, int64_t from_pane, int64_t to_pane, int64_t pane_ns)
{
    int64_t pane = q->at_ns / pane_ns;
    return pane >= from_pane && pane <= to_pane;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void close_to(double got, double want, double share)
{
    double bound = (want < 0 ? -want : want) * share + 1e-9;
    if (got < want - bound || got > want + bound) {
        printf("got %.9g, wanted %.9g\n", got, want);
        fail();
    }
}

static void check_all(int count, const char *name, const struct mp_read *how, int64_t t, int64_t d,
                      uint32_t panes, uint32_t sketch_panes)
{
    int64_t pane = (d + panes - 1) / panes, end = how->settled ? t - LATENESS : t;
    int64_t from, to = INT64_MAX;
    int64_t n = 0, bad = 0, decided = 0, weight = 0, size = 0, low = INT64_MAX, high = 0;
    double latency = 0, square = 0, share = 0;
    if (how->settled) {
        int64_t f = floor_div(end, pane);
        to = f - 1;
        from = floor_div(f * pane - d, pane);
    } else {
        from = floor_div(end - d, pane);
    }
    for (int i = 0; i < count; i++) {
        const struct request *q = &history[i];
        if (strcmp(q->service, name) != 0 || !covered(q, from, to, pane)) continue;
        n++;
        weight += q->weight;
        if (q->bad >= 0) decided += q->weight;
        if (q->bad > 0) bad += q->weight;
        size += q->size * q->weight;
        latency += (double)q->latency * (double)q->weight;
        share += q->share * (double)q->weight;
        if (q->latency < low) low = q->latency;
        if (q->latency > high) high = q->latency;
    }
    assert_int_equal(int_of(how, name, col[A_COUNT]), weight);
    assert_int_equal(int_of(how, name, col[A_BAD_COUNT]), bad);
    assert_int_equal(int_of(how, name, col[A_SUM]), size);
    close_to(num_of(how, name, col[A_RATE]), (double)weight / ((double)d / 1e9), 1e-12);
    if (decided != 0) close_to(num_of(how, name, col[A_RATIO]), (double)bad / (double)decided, 0);
    if (n == 0) {
        assert_false(is_known(how, name, col[A_AVG]));
        assert_false(is_known(how, name, col[A_MIN]));
        return;
    }
    double mean = latency / (double)weight;
    close_to((double)int_of(how, name, col[A_AVG]), mean, 1e-6);
    assert_int_equal(int_of(how, name, col[A_MIN]), low);
    assert_int_equal(int_of(how, name, col[A_MAX]), high);
    close_to(num_of(how, name, col[A_AVG_SHARE]), share / (double)weight, 1e-6);
    for (int i = 0; i < count; i++) {
        const struct request *q = &history[i];
        if (strcmp(q->service, name) != 0 || !covered(q, from, to, pane)) continue;
        square += ((double)q->latency - mean) * ((double)q->latency - mean) * (double)q->weight;
    }
    double variance = square / (double)weight, dev = (double)int_of(how, name, col[A_DEV]);
    close_to(dev * dev, variance, 1e-6 + 3 / (dev + 1));

    /* Sketches have panes of their own. */
    static int64_t sorted[MANY * 4];
    int64_t sketch = (d + sketch_panes - 1) / sketch_panes;
    size_t m = 0, different = 0;
    if (how->settled) {
        int64_t f = floor_div(end, sketch);
        to = f - 1;
        from = floor_div(f * sketch - d, sketch);
    } else {
        from = floor_div(end - d, sketch);
    }
    for (int i = 0; i < count; i++) {
        const struct request *q = &history[i];
        if (strcmp(q->service, name) != 0 || !covered(q, from, to, sketch)) continue;
        for (int64_t k = 0; k < q->weight; k++) sorted[m++] = q->latency;
        bool twice = q->user == NULL;
        for (int k = 0; k < i && !twice; k++) {
            twice = history[k].user != NULL && strcmp(history[k].service, name) == 0 &&
                    covered(&history[k], from, to, sketch) && strcmp(history[k].user, q->user) == 0;
        }
        different += !twice;
    }
    double distinct = (double)int_of(how, name, col[A_DISTINCT]);
    if (different <= 64) assert_true(distinct == (double)different);
    else close_to(distinct, (double)different, 0.12);
    if (m == 0) return;
    qsort(sorted, m, sizeof sorted[0], by_value);
    size_t rank50 = (m * 500 + 999) / 1000, rank99 = (m * 990 + 999) / 1000;
    close_to((double)int_of(how, name, col[A_P50]), (double)sorted[rank50 - 1], 0.0205);
    close_to((double)int_of(how, name, col[A_P99]), (double)sorted[rank99 - 1], 0.0205);
}

static void every_aggregate_equals_its_recomputation(void **state)
{
    uint64_t seed = 0x5eed2026;
    const char *names[] = {"web", "cart", "a-service-with-a-long-name"};
    for (int round = 0; round < 6; round++) {
        printf("seed %llu\n", (unsigned long long)seed);
        int64_t d = (int64_t)(mp_rng_next(&seed) % 12 + 1) * S +
            (int64_t)(mp_rng_next(&seed) % 3) * 333 * MS;
        uint32_t panes = round % 2 ? 60 : 8;
        make_program(d, panes, 6, 1000);
        mp_arena_free(&arena);
        open_window(true);
        int64_t t = 5 * S;
        for (int i = 0; i < MANY; i++) {
            t += (int64_t)(mp_rng_next(&seed) % 30) * MS;
            if (mp_rng_next(&seed) % 500 == 0) t += 7 * S;
            int64_t back = (int64_t)(mp_rng_next(&seed) % 2000) * MS;
            snprintf(users[i], sizeof users[i], "u%u",
                     (unsigned)(mp_rng_next(&seed) % (round < 3 ? 50 : 2000)));
            history[i] = (struct request){
                .at_ns = t - (i % 3 == 0 ? back : 0), .service = names[mp_rng_next(&seed) % 3],
                .bad = (int)(mp_rng_next(&seed) % 3) - 1,
                .latency = (int64_t)(1000 + mp_rng_next(&seed) % 500000) * 1000,
                .size = (int64_t)(mp_rng_next(&seed) % 100000),
                    .weight = (int64_t)(mp_rng_next(&seed) % 4) + 1,
                .share = (double)(mp_rng_next(&seed) % 1000) / 1000,
                .user = i % 5 ? users[i] : NULL};
            assert_int_equal(send_at(t, &history[i]), MP_ADMIT_OK);
            struct mp_read settled = {.settled = true};
            if (i % 37 == 0) {
                if (mp_rng_next(&seed) % 2) {
                    t += (int64_t)(mp_rng_next(&seed) % 1500) * MS;
                    mp_window_advance(window, t);
                }
                for (int k = 0; k < 3; k++) {
                    if (key_of(by_service, names[k]) == MP_NONE) continue;
                    check_all(i + 1, names[k], &now, t, d, panes, 6);
                    check_all(i + 1, names[k], &settled, t, d, panes, 6);
                }
            }
        }
    }
}

static void a_value_moves_only_when_next_change_says_so(void **state)
{
    uint64_t seed = 77;
    for (int i = 0; i < 300; i++) {
        struct request q = {.at_ns = i * 13 * MS, .service = "web", .bad = i % 2,
                            .latency = (int64_t)(mp_rng_next(&seed) % 1000 + 1) * MS};
        send_at(i * 13 * MS, &q);
    }
    const struct mp_read hows[] = {{0}, {.settled = true}, {.since_ns = 1500 * MS},
                                   {.settled = true, .since_ns = 1500 * MS}};
    uint32_t key = key_of(by_service, "web");
    for (size_t h = 0; h < 4; h++) {
        int64_t base = window->now_ns;
        for (int step = 0; step < 40; step++) {
            int64_t next = mp_window_next_change(window, &hows[h], by_service, key);
            if (next == INT64_MAX) break;
            assert_true(next > window->now_ns);
            struct mp_value before[A_SEEN], after;
            bool was[A_SEEN];
            for (uint32_t a = 0; a < A_SEEN; a++) {
                was[a] = read_as(&hows[h], "web", col[a], &before[a]);
            }
            mp_window_advance(window, next - 1);
            for (uint32_t a = 0; a < A_SEEN; a++) {
                assert_int_equal(read_as(&hows[h], "web", col[a], &after), was[a]);
                if (was[a]) assert_memory_equal(&after, &before[a], sizeof after);
            }
            mp_window_advance(window, next);
        }
        assert_true(window->now_ns > base || h > 0);
    }
}

static void a_set_value_replaces_what_is_computed_until_it_is_taken_back(void **state)
{
    struct mp_def_row *def = world_add_def(&world);
    def->type = MP_TYPE_PERCENT;
    def->grouping = by_service;
    uint32_t state_col, value_col;
    /* Columns of by_service must stand together: two of its own become override columns. */
    state_col = col[A_MIN];
    value_col = col[A_MAX];
    world.column[state_col] = (struct mp_column_row){.kind = MP_COL_OVERRIDE, .type = MP_TYPE_INT,
        .agg = MP_NONE, .fn = MP_NONE, .grouping = MP_NONE, .signal = MP_NONE,
            .flags = MP_COL_STATE,
        .walks_at = world_walk(&world, MP_WALK_KEY, 0, MP_NONE, MP_NONE), .walks_count = 1};
    world.column[value_col] = world.column[state_col];
    world.column[value_col].flags = 0;
    world.column[value_col].type = MP_TYPE_PERCENT;
    mp_arena_free(&arena);
    open_window(true);
    struct mp_value web = text("web");
    mp_window_advance(window, S);
    assert_int_equal(mp_window_set_override(window, 0, &web, MP_WINDOW_OVERRIDE_SET,
                                            mp_value_num(0.07)), MP_OK);
    assert_int_equal(int_of(&now, "web", state_col), 1);
    assert_true(num_of(&now, "web", value_col) == 0.07);
    mp_window_advance(window, 100000 * S); /* the key stays */
    assert_int_equal(mp_window_set_override(window, 0, &web, MP_WINDOW_OVERRIDE_UNKNOWN, web),
                     MP_OK);
    assert_int_equal(int_of(&now, "web", state_col), 3);
    assert_false(is_known(&now, "web", value_col));
}

int main(void)
{
#define ALIVE(name) cmocka_unit_test_setup_teardown(name, standard_alive, teardown)
    const struct CMUnitTest tests[] = {
        ALIVE(every_aggregate_equals_its_recomputation),
        ALIVE(a_value_moves_only_when_next_change_says_so),
        ALIVE(a_set_value_replaces_what_is_computed_until_it_is_taken_back),
    };
    return cmocka_run_group_tests_name("window_values", tests, NULL, NULL);
}
