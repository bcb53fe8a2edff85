/* SPDX-License-Identifier: Apache-2.0
 * What is promised of values that are not exact: `distinct` up to 64 values and above, quantiles.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "driver/driver.h"
#include "eval/eval.h"
#include "ingest/ingest.h"
#include "os/std.h"
#include "window/window.h"

#define S INT64_C(1000000000)
#define START (INT64_C(1767225600) * S)

static const char policy[] =
    "mpol 1\nuse std.mesh\n"
    "rule r when distinct(requests.path) over 1m > 0 per mesh\n"
    "  then notify \"{distinct(requests.path) over 1m} {p50(requests.latency) over 1m}"
    " {p99(requests.latency) over 1m} {p999(requests.latency) over 1m}\"\n";

static struct {
    struct mp_os os;
    struct mp_arena arena;
    struct mp_compilation *c;
    struct mp_program *p;
    struct mp_inventory *inventory;
    struct mp_window *window;
    struct mp_ingest *ingest;
    int64_t now;
} f;

static void open_window(uint64_t seed)
{
    struct mp_compile_text text = {MP_STR("t.mpol"), mp_str_of(policy), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &f.os};
    struct mp_hash_key key = {seed, 2};
    struct mp_window_limits limits = {
        .keys_max = 64, .sources_max = 1, .ids_max = 64, .always_alive = true};
    struct mp_window_hooks hooks = {0};
    struct mp_inventory_limits inventory_limits = {.text_bytes = 1 << 16};
    const char *why = NULL;
    mp_std_os(&f.os);
    mp_arena_init(&f.arena, NULL, 0);
    assert_int_equal(mp_compile(&text, 1, &options, &f.c), MP_OK);
    assert_int_equal(mp_compilation_errors(f.c), 0);
    mp_str image = mp_compilation_image(f.c);
    assert_int_equal(mp_program_load(image.ptr, image.len, &f.os, &f.p, &why), MP_OK);
    assert_int_equal(mp_inventory_create(&f.arena, f.p, &inventory_limits, key, &f.inventory),
                     MP_OK);
    assert_int_equal(mp_window_create(&f.arena, f.p, &limits, key, f.inventory, &hooks, &f.window),
                     MP_OK);
    assert_int_equal(mp_ingest_create(&f.arena, f.p, key, &f.ingest), MP_OK);
    f.now = START;
}

static void close_window(void)
{
    mp_program_free(f.p);
    mp_compilation_free(f.c);
    mp_arena_free(&f.arena);
}

static void request(const char *path, int64_t latency_ns)
{
    static uint64_t known[8], truth[8];
    static struct mp_value value[512], cells[64];
    static struct mp_eval_scratch scratch;
    struct mp_outputs outputs = {known, truth, value};
    struct mp_field_in in[2] = {{.name = mp_ingest_name(f.ingest, MP_STR("path")),
                                 .kind = MP_FIELD_TEXT,
                                 .text = mp_str_of(path)},
                                {.name = mp_ingest_name(f.ingest, MP_STR("latency")),
                                 .kind = MP_FIELD_INT,
                                 .integer = latency_ns}};
    struct mp_record r;
    struct mp_touch touched[16];
    struct mp_inputs inputs;
    uint64_t row_known[2] = {0};
    struct mp_row row = {.known = row_known, .cell = cells};
    f.now += 1000;
    mp_window_advance(f.window, f.now);
    mp_ingest_fields(f.ingest, mp_ingest_signal(f.ingest, MP_STR("requests")), f.now, 0, in, 2, &r);
    r.number = (uint64_t)(f.now - START);
    mp_window_fill_record(f.window, &r, &row);
    mp_inputs_init(&inputs, f.p, &scratch);
    inputs.record_known = r.known;
    inputs.record = r.field;
    inputs.row_known = row_known;
    inputs.row = cells;
    mp_eval_fn(f.p, f.p->unit[f.p->signal[r.signal].unit].fn, &inputs, &outputs);
    assert_int_equal(mp_window_admit(f.window, &r), MP_ADMIT_OK);
    mp_window_apply(f.window, &r, &outputs, touched);
}

/* The nth value of the rule's message. */
static int64_t hole(uint32_t n)
{
    static uint64_t row_known[2];
    static struct mp_value cells[128];
    const struct mp_rule_row *rule = &f.p->rule[0];
    const struct mp_act_row *act = &f.p->act[f.p->step[rule->steps_at].acts_at];
    struct mp_row row = {.known = row_known, .cell = cells};
    struct mp_inputs inputs;
    struct mp_value out;
    uint32_t key = mp_window_next_key(f.window, rule->grouping, 0);
    mp_window_fill(f.window, &(struct mp_read){0}, rule->grouping, key, &row);
    mp_inputs_init(&inputs, f.p, NULL);
    inputs.row_known = row_known;
    inputs.row = cells;
    for (uint32_t i = act->pieces_at; i < act->pieces_at + act->pieces_count; i++) {
        if (f.p->piece[i].fn == MP_NONE || n-- > 0) continue;
        assert_true(mp_eval_value(f.p, f.p->piece[i].fn, &inputs, &out));
        return mp_value_as_int(out);
    }
    fail_msg("no such hole");
    return 0;
}

static void different_values_are_counted_exactly_up_to_64(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        open_window(seed);
        for (int n = 1; n <= 64; n++) {
            char path[32];
            snprintf(path, sizeof path, "/some/path/%d", n);
            request(path, 1000000);
            request(path, 1000000);
            assert_int_equal(hole(0), n);
        }
        close_window();
    }
}

/* 3.3% standard error: of 60 estimates none may be off by five of those, and their mean hardly. */
static void more_values_are_counted_within_the_promised_error(void **state)
{
    (void)state;
    double sum = 0, worst = 0;
    int count = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        open_window(seed);
        for (int n = 1; n <= 5000; n++) {
            char path[32];
            snprintf(path, sizeof path, "/some/path/%d", n);
            request(path, 1000000);
            if (n != 200 && n != 1000 && n != 5000) continue;
            double off = ((double)hole(0) - n) / n;
            if (fabs(off) > worst) worst = fabs(off);
            sum += off;
            count++;
        }
        close_window();
    }
    print_message("worst %.1f%%, mean %.2f%%\n", 100 * worst, 100 * sum / count);
    assert_true(worst < 0.165);
    assert_true(fabs(sum / count) < 0.02);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void quantiles_are_within_two_percent(void **state)
{
    static const uint32_t permille[] = {500, 990, 999};
    static int64_t all[3000];
    (void)state;
    uint64_t rng = 20261125;
    open_window(1);
    for (int n = 0; n < 3000; n++) {
        /* From 100 us to 60 s, all magnitudes alike. */
        all[n] = (int64_t)(1e5 * pow(6e5, (double)(mp_rng_next(&rng) >> 11) / 0x1p53));
        request("/", all[n]);
    }
    qsort(all, 3000, sizeof *all, by_value);
    for (uint32_t i = 0; i < 3; i++) {
        int64_t exact = all[(3000 * permille[i] + 999) / 1000 - 1], said = hole(1 + i);
        double off = fabs((double)(said - exact)) / (double)exact;
        print_message("p%u: exact %lld, said %lld, off by %.2f%%\n", permille[i], (long long)exact,
                      (long long)said, 100 * off);
        assert_true(off <= 0.0204);
    }
    close_window();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(different_values_are_counted_exactly_up_to_64),
        cmocka_unit_test(more_values_are_counted_within_the_promised_error),
        cmocka_unit_test(quantiles_are_within_two_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
