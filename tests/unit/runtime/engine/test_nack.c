/* SPDX-License-Identifier: Apache-2.0
 * What a part of the mesh refuses is an incident of its own, once, until it takes what it is sent.
 */
#include "kept.h"
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define POLICY                                                                                     \
    "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n"
#define SHOP "service/shop/shop-1"
#define MOST 256

static void refuse(struct loop *l, const char *part, const char *type, const char *text)
{
    mp_engine_nack(l->engine, &(struct mp_nack){mp_str_of(part), mp_str_of(type),
                                                MP_STR("mpol-deny"), mp_str_of(text)});
}

/* What is said of all parts whose names begin so. */
struct said {
    const char *part;
    enum mp_nack_end end;
};

static enum mp_nack_end say(void *ctx, mp_str part, mp_str type)
{
    const struct said *s = ctx;
    assert_true(mp_str_eq(type, MP_STR("ecds")) || mp_str_eq(type, MP_STR("eds")));
    return mp_str_starts(part, mp_str_of(s->part)) ? s->end : MP_NACK_STAYS;
}

static void now(struct loop *l, const char *part, enum mp_nack_end end)
{
    struct said s = {part, end};
    mp_engine_nacks(l->engine, &s, say);
}

static uint32_t open_now(const struct loop *l)
{
    struct mp_engine_status s;
    mp_engine_status(l->engine, &s);
    assert_int_equal(s.incidents_open, mp_engine_nack_count(l->engine));
    return s.incidents_open;
}

static void add_line(void *ctx, const struct mp_why_line *line)
{
    mp_why_print(ctx, MP_STR("nack"), MP_STR("KEY"), line);
}

static bool why_says(struct loop *l, const char *key, const char *text)
{
    struct mp_buf b;
    mp_buf_init(&b, &l->arena);
    assert_int_equal(mp_engine_why(l->engine, MP_STR("nack"), mp_str_of(key), &b, add_line), MP_OK);
    return mp_str_contains(mp_buf_view(&b), mp_str_of(text));
}

static bool see(void *ctx, uint64_t seq, mp_str json)
{
    const char **text = ctx;
    (void)seq;
    if (!mp_str_contains(json, mp_str_of(*text))) return true;
    *text = NULL;
    return false;
}

static bool ledger_says(const struct loop *l, const char *text)
{
    assert_int_equal(mp_engine_entries(l->engine, 0, &text, see), MP_OK);
    return text == NULL;
}

static void begin(struct loop *l)
{
    test_loop(l, POLICY);
    loop_at(l, 10);
}

static void it_opens_with_the_first_and_is_told_once(void **state)
{
    (void)state;
    struct loop l;
    begin(&l);
    refuse(&l, SHOP, "ecds", "unknown field");
    assert_int_equal(open_now(&l), 1);
    saw(&l, "incident nack " SHOP ":ecds pending>open nack");
    assert_true(ledger_says(&l, "\"text\":\"unknown field\""));
    assert_true(ledger_says(&l, "\"resource\":\"mpol-deny\""));
    assert_true(why_says(&l, SHOP ":ecds", "nack for KEY: open"));
    assert_true(why_says(&l, SHOP, SHOP ":ecds refused mpol-deny: unknown field"));
    size_t told = l.log_len;
    for (int i = 0; i < 20; i++) refuse(&l, SHOP, "ecds", "unknown field again");
    now(&l, "", MP_NACK_STAYS);
    loop_at(&l, 4000);
    assert_int_equal(l.log_len, told);
    assert_int_equal(open_now(&l), 1);
    loop_close(&l);
}

static void another_type_or_proxy_is_another_one(void **state)
{
    (void)state;
    struct loop l;
    begin(&l);
    refuse(&l, SHOP, "ecds", "one");
    refuse(&l, SHOP, "eds", "two");
    refuse(&l, "service/shop/shop-10", "ecds", "three");
    assert_int_equal(open_now(&l), 3);
    assert_true(why_says(&l, SHOP, "one"));
    assert_true(why_says(&l, SHOP, "two"));
    assert_false(why_says(&l, SHOP, "three"));
    assert_false(why_says(&l, SHOP ":eds", "one"));
    now(&l, "service/shop/shop-10", MP_NACK_GONE);
    saw(&l, "incident nack service/shop/shop-10:ecds open>releasing removed");
    assert_int_equal(open_now(&l), 2);
    loop_close(&l);
}

static void it_ends_when_the_proxy_takes_what_it_is_sent(void **state)
{
    (void)state;
    struct loop l;
    begin(&l);
    refuse(&l, SHOP, "ecds", "no");
    now(&l, SHOP, MP_NACK_ACCEPTED);
    saw_in_order(&l, "nack " SHOP ":ecds pending>open nack", "open>releasing accepted",
                 "releasing>released accepted", "cooldown>idle", NULL);
    assert_int_equal(open_now(&l), 0);
    assert_true(why_says(&l, SHOP, "it refuses nothing"));
    refuse(&l, SHOP, "ecds", "no");
    saw_times(&l, "nack " SHOP ":ecds pending>open", 2);
    assert_int_equal(open_now(&l), 1);
    loop_close(&l);
}

static void there_is_an_end_to_how_many(void **state)
{
    (void)state;
    struct loop l;
    struct mp_engine_status s;
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2},
                                        .now_ns = T0, .mono_ns = SEC};
    char part[200];
    loop_open_with(&l, POLICY, true, &options);
    for (int i = 0; i < MOST + 3; i++) {
        snprintf(part, sizeof part, "service/shop/shop-%d", i);
        refuse(&l, part, "ecds", "no");
    }
    assert_int_equal(open_now(&l), MOST);
    memset(part, 'x', sizeof part - 1);
    part[sizeof part - 1] = '\0';
    refuse(&l, part, "ecds", "no");
    mp_engine_status(l.engine, &s);
    assert_int_equal(s.refused_incidents, 4);
    now(&l, "", MP_NACK_GONE);
    assert_int_equal(open_now(&l), 0);
    refuse(&l, SHOP, "ecds", "no");
    assert_int_equal(open_now(&l), 1);
    loop_close(&l);
}

/* A person may end what he has seen; the next refusal is told anew. */
static void an_operator_may_release_it(void **state)
{
    (void)state;
    struct loop l;
    begin(&l);
    refuse(&l, SHOP, "ecds", "no");
    assert_int_equal(mp_engine_release_rule(l.engine, MP_STR("nack"), MP_STR(SHOP ":ecds")), MP_OK);
    saw(&l, "nack " SHOP ":ecds open>releasing cancelled");
    assert_int_equal(open_now(&l), 0);
    refuse(&l, SHOP, "ecds", "no");
    assert_int_equal(open_now(&l), 1);
    loop_close(&l);
}

/* ---- kept ---- */

static void another_life(struct loop *l, const struct kept *kept, int64_t seconds)
{
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST,
                                        .hash_key = {1, 2},
                                        .pending = true,
                                        .now_ns = T0 + seconds * SEC,
                                        .mono_ns = 5 * SEC};
    options.limits.incidents = options.limits.leases = 256;
    loop_open_with(l, POLICY, true, &options);
    l->t = T0 + seconds * SEC;
    kept_restore(kept, l->engine);
}

static void a_restart_keeps_it_and_tells_it_not_again(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l, m;
    kept_open(&kept);
    begin(&l);
    refuse(&l, SHOP, "ecds", "unknown field");
    refuse(&l, "service/shop/shop-2", "ecds", "no");
    now(&l, "service/shop/shop-2", MP_NACK_ACCEPTED);
    kept_take(&kept, l.engine);
    loop_close(&l);

    another_life(&m, &kept, 70);
    assert_int_equal(open_now(&m), 1);
    saw_not(&m, "nack");
    assert_true(why_says(&m, SHOP, "refused mpol-deny: unknown field"));
    refuse(&m, SHOP, "ecds", "unknown field");
    saw_not(&m, "nack");
    now(&m, SHOP, MP_NACK_ACCEPTED);
    saw(&m, "nack " SHOP ":ecds open>releasing accepted");
    assert_int_equal(open_now(&m), 0);
    kept_take(&kept, m.engine);
    loop_close(&m);
    for (uint32_t i = 0; i < kept.count; i++) {
        if (kept.row[i].kind == MP_ROW_META) continue;
        if (kept.row[i].bytes.len != 0) fail_msg("a row of kind %d is left", (int)kept.row[i].kind);
    }
    kept_close(&kept);
}

static void a_reload_keeps_it(void **state)
{
    (void)state;
    struct loop l;
    begin(&l);
    refuse(&l, SHOP, "ecds", "unknown field");
    swap(&l, "use std.mesh\nrule other when error_rate > 6% per svc then throttle svc to 50%\n");
    assert_int_equal(open_now(&l), 1);
    assert_true(why_says(&l, SHOP, "refused mpol-deny: unknown field"));
    saw_not(&l, "open>releasing");
    now(&l, "", MP_NACK_ACCEPTED);
    assert_int_equal(open_now(&l), 0);
    loop_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_opens_with_the_first_and_is_told_once),
        cmocka_unit_test(another_type_or_proxy_is_another_one),
        cmocka_unit_test(it_ends_when_the_proxy_takes_what_it_is_sent),
        cmocka_unit_test(there_is_an_end_to_how_many),
        cmocka_unit_test(an_operator_may_release_it),
        cmocka_unit_test(a_restart_keeps_it_and_tells_it_not_again),
        cmocka_unit_test(a_reload_keeps_it),
    };
    return cmocka_run_group_tests_name("engine_nack", tests, NULL, NULL);
}
