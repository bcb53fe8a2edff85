/* SPDX-License-Identifier: Apache-2.0
 * Windows on virtual time: their edges, gauges and counters, other keys' windows, keys that come
 * and go.
 */
#include "bed.h"

#include "window/window_priv.h"

/* ---- edges of windows ---- */

static void a_window_holds_every_pane_that_ends_after_its_left_edge(void **state)
{
    send_one(100 * S, "web", 0); /* pane 100 of 1 s: it ends at 101 s */
    mp_window_advance(window, 110 * S + 999 * MS);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 1);
    mp_window_advance(window, 111 * S - 1);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 1);
    mp_window_advance(window, 111 * S);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 0);
}

static void a_late_record_enters_no_window_and_is_counted(void **state)
{
    send_one(100 * S, "web", 0);
    struct request q = {.at_ns = 98 * S, .service = "web", .bad = 0};
    assert_int_equal(send_at(100 * S, &q), MP_ADMIT_OK); /* exactly lateness ago */
    q.at_ns = 98 * S - 1;
    assert_int_equal(send_at(100 * S, &q), MP_ADMIT_LATE);
    assert_int_equal(int_of(&now, "web", col_bound), 2);
    struct mp_window_counts c;
    mp_window_counts(window, &c);
    assert_int_equal(c.late, 1);
    assert_int_equal(c.records, 2);
}

static void a_record_ahead_of_now_counts_now(void **state)
{
    struct request q = {.at_ns = 101500 * MS, .service = "web", .bad = 0};
    mp_window_advance(window, 100 * S);
    assert_int_equal(send_at(100 * S, &q), MP_ADMIT_OK);
    assert_int_equal(int_of(&now, "web", col_bound), 1);
    mp_window_advance(window, 111 * S);
    struct mp_read how = {0};
    struct mp_value v;
    assert_false(read_as(&how, "web", col[A_RATIO], &v)); /* gone with the pane of 100 s */
}

static void a_settled_read_ends_at_the_watermark(void **state)
{
    struct mp_read settled = {.settled = true};
    send_one(100 * S, "web", 1);
    mp_window_advance(window, 102 * S + 900 * MS); /* watermark 100.9 s: pane 100 has not ended */
    assert_false(is_known(&settled, "web", col[A_RATIO]));
    assert_true(is_known(&now, "web", col[A_RATIO]));
    mp_window_advance(window, 103 * S);
    assert_true(is_known(&settled, "web", col[A_RATIO]));
    mp_window_advance(window, 112 * S); /* now has lost it, the watermark has not */
    assert_false(is_known(&now, "web", col[A_RATIO]));
    assert_true(is_known(&settled, "web", col[A_RATIO]));
    mp_window_advance(window, 113 * S);
    assert_false(is_known(&settled, "web", col[A_RATIO]));
}

static void nothing_before_since_may_vote(void **state)
{
    send_one(100 * S, "web", 1);
    send_one(100 * S + 500 * MS, "web", 1);
    send_one(101 * S, "web", 0);
    struct mp_read harm = {.since_ns = 100 * S + 1};
    assert_true(num_of(&harm, "web", col[A_RATIO]) == 0);
    assert_true(num_of(&now, "web", col[A_RATIO]) == 2.0 / 3);
    /* A count is a lower bound until since + 10 s: only for those who can live with it. */
    assert_false(is_known(&harm, "web", col[A_COUNT]));
    assert_int_equal(int_of(&harm, "web", col_bound), 1);
    struct mp_read verify = {.since_ns = 100 * S + 1, .settled = true};
    mp_window_advance(window, 105 * S);
    assert_false(is_known(&verify, "web", col_bound));
    for (int64_t t = 106; t <= 111; t++) send_one(t * S, "web", 0);
    assert_int_equal(int_of(&harm, "web", col[A_COUNT]), 7);
    send_one(112 * S, "web", 0);
    assert_false(is_known(&verify, "web", col_bound)); /* watermark 110: 1 ns too early */
    mp_window_advance(window, 112 * S + 1);
    assert_int_equal(int_of(&verify, "web", col_bound), 5); /* 101, 106 .. 109: pane 110 is open */
}

static void counts_wait_for_a_full_window_averages_do_not(void **state)
{
    send_one(100 * S, "web", 0);
    assert_false(is_known(&now, "web", col[A_COUNT]));
    assert_int_equal(int_of(&now, "web", col_bound), 1);
    assert_true(is_known(&now, "web", col[A_RATIO]));
    struct mp_value nobody = address(0);
    uint32_t key = mp_window_find(window, by_client, &nobody);
    assert_int_equal(mp_window_next_shrink(window, by_client, key), 110 * S); /* it becomes whole */
    send_one(109 * S, "web", 0);
    mp_window_advance(window, 110 * S);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 2);
}

static void a_test_window_is_whole_from_the_start(void **state)
{
    send_one(0, "web", 0);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 1);
    mp_window_advance(window, 3600 * S);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 0);
    assert_false(mp_window_silent(window, requests));
}

static void a_silent_source_makes_everything_unknown(void **state)
{
    send_one(100 * S, "web", 0);
    assert_int_equal(mp_window_next_silence(window), 112 * S + 1);
    mp_window_advance(window, 112 * S);
    assert_false(mp_window_silent(window, requests));
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 0);
    assert_int_equal(int_of(&now, "web", col_stale), 0);
    mp_window_advance(window, 112 * S + 1);
    assert_true(mp_window_silent(window, requests));
    assert_false(is_known(&now, "web", col[A_COUNT]));
    assert_int_equal(int_of(&now, "web", col_stale), 1);
    assert_int_equal(int_of(&now, "web", col_samples), 0);
    mp_window_alive(window, requests, 3);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 0);
}

static void a_closed_source_is_silent_at_once_unless_another_speaks(void **state)
{
    send_one(100 * S, "web", 0); /* source 0 */
    mp_window_alive(window, requests, 1);
    mp_window_source_closed(window, 0);
    assert_false(mp_window_silent(window, requests));
    mp_window_source_closed(window, 1);
    assert_true(mp_window_silent(window, requests));
}

static void an_average_needs_its_samples(void **state)
{
    world.agg[A_RATIO].min_samples = 3;
    send_one(0, "web", 1);
    send_one(0, "web", 1);
    assert_false(is_known(&now, "web", col[A_RATIO]));
    send_one(0, "web", 0);
    assert_true(num_of(&now, "web", col[A_RATIO]) == 2.0 / 3);
    send_one(0, "web", -1); /* unknown: counts in neither */
    assert_true(num_of(&now, "web", col[A_RATIO]) == 2.0 / 3);
    struct mp_window_counts c;
    mp_window_counts(window, &c);
    assert_int_equal(c.undecided, 1);
}

static void weights_count_and_samples_do_not(void **state)
{
    struct request q = {.service = "web", .bad = 1, .weight = 10, .latency = 100 * MS};
    world.agg[A_RATIO].min_samples = 2;
    send_at(0, &q);
    assert_false(is_known(&now, "web", col[A_RATIO]));
    q.bad = 0;
    q.weight = 30;
    q.latency = 200 * MS;
    send_at(0, &q);
    assert_true(num_of(&now, "web", col[A_RATIO]) == 0.25);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 40);
    assert_int_equal(int_of(&now, "web", col_samples), 1);
    assert_int_equal(int_of(&now, "web", col[A_AVG]), 175 * MS);
    assert_true(num_of(&now, "web", col[A_RATE]) == 4.0);
}

static void a_record_with_an_id_counts_once(void **state)
{
    struct mp_touch t[8];
    send_one(100 * S, "web", 0);
    record.id = 7;
    assert_int_equal(mp_window_admit(window, &record), MP_ADMIT_OK);
    mp_window_apply(window, &record, &outputs, t);
    assert_int_equal(mp_window_admit(window, &record), MP_ADMIT_DUPLICATE);
    mp_window_advance(window, 101 * S);
    assert_int_equal(mp_window_admit(window, &record), MP_ADMIT_DUPLICATE);
    record.id = 8;
    assert_int_equal(mp_window_admit(window, &record), MP_ADMIT_OK);
}

static void seen_is_true_at_the_instant_only(void **state)
{
    send_one(0, "web", 1);
    struct mp_read at = {.record = &record, .outputs = &outputs};
    assert_int_equal(int_of(&at, "web", col[A_SEEN]), 1);
    assert_int_equal(int_of(&now, "web", col[A_SEEN]), 0);
    send_one(0, "web", 0);
    assert_int_equal(int_of(&at, "web", col[A_SEEN]), 0);
}

/* ---- gauges and counters ---- */

static bool instance_read(const char *name, uint32_t c, struct mp_value *out)
{
    return mp_window_read(window, &now, by_instance, key_of(by_instance, name), c, out);
}

static void a_gauge_is_known_until_its_period_and_lateness_after_it(void **state)
{
    struct mp_value v;
    gauge(cpu, 100 * S, "i-1", mp_value_num(0.5));
    assert_true(instance_read("i-1", col_cpu, &v));
    assert_true(mp_value_as_num(v) == 0.5);
    uint32_t key = key_of(by_instance, "i-1");
    assert_int_equal(mp_window_next_shrink(window, by_instance, key), 105 * S + 1);
    gauge(cpu, 104 * S, "i-2", mp_value_num(0.1)); /* the source lives on */
    mp_window_advance(window, 105 * S);
    assert_true(instance_read("i-1", col_cpu, &v));
    mp_window_advance(window, 105 * S + 1);
    assert_false(instance_read("i-1", col_cpu, &v));
    assert_true(instance_read("i-1", col_cpu_max, &v)); /* the window still holds it */
}

static enum mp_admit late_gauge(int64_t at_ns, const char *name, double v)
{
    known[0] = 3;
    field[0] = text(name);
    field[1] = mp_value_num(v);
    record = (struct mp_record){.number = ++number, .time_ns = at_ns, .signal = cpu, .weight = 1,
                                .layer = MP_LAYER_SERVICE, .known = known, .field = field};
    out_known[0] = 1;
    out_truth[0] = 0;
    out_value[0] = field[1];
    enum mp_admit admit = mp_window_admit(window, &record);
    if (admit == MP_ADMIT_LAST) mp_window_apply_last(window, &record, &outputs, touched);
    return admit;
}

static void a_late_gauge_is_the_last_value_if_none_is_newer_and_enters_no_window(void **state)
{
    struct mp_value v;
    gauge(cpu, 100 * S, "i-1", mp_value_num(0.5));
    assert_int_equal(late_gauge(98 * S, "i-1", 0.9), MP_ADMIT_LAST);
    assert_int_equal(late_gauge(98 * S, "i-2", 0.8), MP_ADMIT_LAST);
    assert_int_equal(late_gauge(95 * S - 1, "i-3", 0.7), MP_ADMIT_LATE);
    assert_true(instance_read("i-1", col_cpu, &v));
    assert_true(mp_value_as_num(v) == 0.5);
    assert_true(instance_read("i-2", col_cpu, &v));
    assert_true(mp_value_as_num(v) == 0.8);
    assert_false(instance_read("i-2", col_cpu_max, &v));
}

static void live_a_gauge_is_in_time_for_its_period(void **state)
{
    struct mp_value v;
    gauge(cpu, 100 * S, "i-1", mp_value_num(0.5));
    assert_int_equal(late_gauge(95 * S - 2, "i-2", 0.8), MP_ADMIT_LATE);
    assert_int_equal(late_gauge(95 * S, "i-2", 0.8), MP_ADMIT_OK);
    assert_int_equal(late_gauge(98 * S, "i-2", 0.8), MP_ADMIT_OK);
    assert_int_equal(mp_window_apply(window, &record, &outputs, touched) > 0, 1);
    assert_true(instance_read("i-2", col_cpu_max, &v));
}

static void a_counter_grows_and_starts_anew(void **state)
{
    struct mp_value v;
    const int64_t values[] = {1000, 1005, 1009, 3, 4};
    for (int i = 0; i < 5; i++) gauge(total_sent, (i + 1) * S, "i-1", mp_value_int(values[i]));
    gauge(total_sent, 5 * S, "i-2", mp_value_int(77777));
    assert_true(instance_read("i-1", col_sent, &v));
    assert_int_equal(mp_value_as_int(v), 5 + 4 + 3 + 1);
    assert_true(instance_read("i-2", col_sent, &v));
    assert_int_equal(mp_value_as_int(v), 0);
}

/* ---- other keys ---- */

static void line(uint32_t entity, const char *key, uint32_t attr, struct mp_value v)
{
    struct mp_entity_line l = {.entity = entity, .key = text(key), .attr_count = 1};
    l.attrs[0] = (struct mp_entity_attr){attr, true, v};
    assert_int_equal(mp_inventory_put(inventory, &l), MP_OK);
    mp_window_inventory_changed(window, NULL, NULL);
}

static void a_pool_is_the_events_of_all_members_together(void **state)
{
    struct mp_value callers[2] = {text("web"), text("cart")};
    line(service, "checkout", attr_callers, (struct mp_value){{(uint64_t)(uintptr_t)callers, 2}});
    for (int i = 0; i < 4; i++) send_one(0, "web", i == 0);
    for (int i = 0; i < 6; i++) send_one(0, "cart", 0);
    send_one(0, "admin", 1);
    assert_true(num_of(&now, "checkout", col_pooled) == 0.1);
    /* It is published for 100 ms. */
    send_one(50 * MS, "web", 1);
    assert_true(num_of(&now, "checkout", col_pooled) == 0.1);
    mp_window_advance(window, 100 * MS);
    assert_true(num_of(&now, "checkout", col_pooled) == 2.0 / 11);
    assert_int_equal(mp_window_next_change(window, &now, by_service,
                                           key_of(by_service, "checkout")), 200 * MS);
    assert_false(is_known(&now, "web", col_pooled)); /* the set is not known */
}

static void members_are_observed_and_counted(void **state)
{
    struct request q = {.service = "web", .instance = "web-1", .bad = 0};
    send_at(0, &q);
    mp_inventory_observe(inventory, &record, 0);
    q.instance = "web-2";
    send_at(0, &q);
    mp_inventory_observe(inventory, &record, 0);
    gauge(cpu, 0, "web-1", mp_value_num(0.95));
    gauge(cpu, 0, "web-2", mp_value_num(0.5));
    assert_int_equal(int_of(&now, "web", col_set_size), 2);
    assert_int_equal(int_of(&now, "web", col_members), 1);
    struct mp_value v;
    assert_true(instance_read("web-1", col_reached, &v)); /* the count of its service */
    assert_int_equal(mp_value_as_int(v), 2);
    mp_window_advance(window, 600 * S); /* 10 min later nobody belongs there */
    struct mp_read how = {0};
    assert_false(is_known(&how, "web", col_set_size));
}

static void an_attribute_is_a_cell_and_a_key_is_one_too(void **state)
{
    line(service, "web", attr_tier, text("critical"));
    struct mp_value v;
    assert_true(read_as(&now, "web", col_tier, &v));
    assert_true(mp_value_text_eq(v, text("critical")));
    assert_true(read_as(&now, "web", col_key, &v));
    assert_true(mp_value_text_eq(v, text("web")));
    send_one(0, "other", 0);
    assert_false(read_as(&now, "other", col_tier, &v));
}

/* ---- keys ---- */

static void the_least_recently_active_idle_key_gives_way_at_the_cap(void **state)
{
    make_program(10 * S, 10, 6, 3);
    mp_arena_free(&arena);
    open_window(true);
    struct request q = {.service = "web", .bad = 0};
    for (uint32_t c = 1; c <= 3; c++) {
        q.client = c;
        send_at(0, &q);
    }
    struct mp_value first = address(1), second = address(2), third = address(3),
        fourth = address(4);
    q.client = 1;
    send_at(0, &q); /* 2 is the oldest now */
    mp_window_pin(window, by_client, mp_window_find(window, by_client, &second));
    q.client = 4;
    send_at(0, &q); /* 2 is pinned, so 3 goes */
    assert_int_equal(forgotten, 1);
    assert_int_equal(mp_window_find(window, by_client, &third), MP_NONE);
    assert_int_not_equal(mp_window_find(window, by_client, &first), MP_NONE);
    mp_window_pin(window, by_client, mp_window_find(window, by_client, &first));
    mp_window_pin(window, by_client, mp_window_find(window, by_client, &fourth));
    q.client = 5;
    send_at(0, &q);
    struct mp_window_counts c;
    mp_window_counts(window, &c);
    assert_int_equal(c.keys_refused, 1);
    assert_int_equal(c.keys_evicted, 1);
    mp_window_unpin(window, by_client, mp_window_find(window, by_client, &second));
    send_at(0, &q);
    assert_int_equal(mp_window_find(window, by_client, &second), MP_NONE);
}

static void an_idle_key_is_forgotten_and_starts_from_nothing(void **state)
{
    send_one(0, "web", 1);
    send_one(0, "a-name-that-does-not-fit-in-a-value", 1);
    assert_int_not_equal(key_of(by_service, "a-name-that-does-not-fit-in-a-value"), MP_NONE);
    mp_window_advance(window, 59 * S);
    assert_int_not_equal(key_of(by_service, "web"), MP_NONE);
    mp_window_advance(window, 60 * S);
    assert_int_equal(key_of(by_service, "web"), MP_NONE);
    assert_int_equal(window->texts.used_bytes, 0);
    send_one(60 * S, "web", 0);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 1);
    assert_true(touched[0].fresh);
}

static void keys_of_a_million_clients_stay_within_their_table(void **state)
{
    struct request q = {.service = "web", .bad = 0};
    for (uint32_t i = 0; i < 20000; i++) {
        q.client = i * 7919u;
        q.at_ns = i * MS;
        send_at(i * MS, &q);
    }
    assert_int_equal(mp_window_key_count(window, by_client), 1000);
    for (uint32_t i = 19990; i < 20000; i++) {
        struct mp_value v = address((i * 7919u) & 0xffffff);
        assert_int_not_equal(mp_window_find(window, by_client, &v), MP_NONE);
    }
}

static void every_row_that_a_record_changes_is_touched(void **state)
{
    send_one(0, "web", 0);
    assert_int_equal(touched_count, 4);
    assert_int_equal(touched[3].grouping, by_mesh);
    assert_int_equal(touched[3].key, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, standard, teardown)
#define ALIVE(name) cmocka_unit_test_setup_teardown(name, standard_alive, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_late_record_enters_no_window_and_is_counted),
        CASE(a_record_ahead_of_now_counts_now),
        CASE(nothing_before_since_may_vote),
        CASE(counts_wait_for_a_full_window_averages_do_not),
        CASE(a_silent_source_makes_everything_unknown),
        CASE(a_closed_source_is_silent_at_once_unless_another_speaks),
        CASE(a_record_with_an_id_counts_once),
        ALIVE(a_window_holds_every_pane_that_ends_after_its_left_edge),
        ALIVE(a_settled_read_ends_at_the_watermark),
        ALIVE(a_test_window_is_whole_from_the_start),
        ALIVE(an_average_needs_its_samples),
        ALIVE(weights_count_and_samples_do_not),
        ALIVE(seen_is_true_at_the_instant_only),
        ALIVE(a_gauge_is_known_until_its_period_and_lateness_after_it),
        ALIVE(a_late_gauge_is_the_last_value_if_none_is_newer_and_enters_no_window),
        cmocka_unit_test_setup_teardown(live_a_gauge_is_in_time_for_its_period, standard_live,
                                        teardown),
        ALIVE(a_counter_grows_and_starts_anew),
        ALIVE(a_pool_is_the_events_of_all_members_together),
        ALIVE(members_are_observed_and_counted),
        ALIVE(an_attribute_is_a_cell_and_a_key_is_one_too),
        ALIVE(the_least_recently_active_idle_key_gives_way_at_the_cap),
        ALIVE(an_idle_key_is_forgotten_and_starts_from_nothing),
        ALIVE(keys_of_a_million_clients_stay_within_their_table),
        ALIVE(every_row_that_a_record_changes_is_touched),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
