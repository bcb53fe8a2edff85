/* SPDX-License-Identifier: Apache-2.0
 * Quotas that never round up, guards that fail safe, and an order of leases that no permutation
 * moves.
 */
#include "decide/decide.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEC 1000000000LL

/* ---- a small program by hand ---- */

enum { SERVICE, INSTANCE };
enum { THROTTLE, QUARANTINE, DENY };

static char texts[4096];
static uint32_t texts_at;

static mp_text_ref text(const char *s)
{
    mp_text_ref ref = {texts_at};
    uint32_t len = (uint32_t)strlen(s);
    memcpy(texts + texts_at, &len, sizeof len);
    memcpy(texts + texts_at + sizeof len, s, len);
    texts_at += (uint32_t)sizeof len + len;
    return ref;
}

struct made {
    struct mp_program p;
    struct mp_action_row action[3];
    struct mp_rule_row rule[4];
    struct mp_guard_row guard[2];
    struct mp_quota_row quota[2];
    struct mp_walk_row walk[2];
    struct mp_attr_row attr[1];
    struct mp_observe_row observe[1];
    /* the world */
    const struct mp_lease *live[64];
    uint32_t live_count, members;
    bool set_known;
    enum mp_truth where;
    struct mp_arena arena;
    struct mp_decide *decide;
};

static struct mp_value name(const char *s) { return mp_value_text(mp_str_of(s)); }

static struct mp_value members_of[5];

/* Walk 0: the set of instances; walk 1: the service of an instance, which is its first letter. */
static bool walk(void *ctx, uint32_t walk, struct mp_value target, struct mp_value *out)
{
    struct made *m = ctx;
    if (walk == 0) {
        if (!m->set_known) return false;
        *out = (struct mp_value){{(uintptr_t)members_of, m->members}};
        return true;
    }
    mp_str s = mp_value_as_text(&target);
    *out = mp_value_text((mp_str){s.ptr, 1});
    return true;
}

static bool attr(void *ctx, uint32_t row, struct mp_value key, struct mp_value *out)
{
    struct made *m = ctx;
    (void)row;
    (void)key;
    *out = (struct mp_value){{(uintptr_t)members_of, m->members}};
    return m->set_known;
}

static uint64_t members(void *ctx, uint32_t entity)
{
    (void)entity;
    return ((struct made *)ctx)->members;
}

static enum mp_truth guard(void *ctx, uint32_t row, const struct mp_lease_target *t)
{
    (void)row;
    (void)t;
    return ((struct made *)ctx)->where;
}

static const struct mp_lease *live(void *ctx, bool shadow, uint32_t *cursor)
{
    struct made *m = ctx;
    while (*cursor < m->live_count) {
        const struct mp_lease *l = m->live[(*cursor)++];
        if (l->shadow == shadow) return l;
    }
    return NULL;
}

static bool alive(void *ctx, uint32_t row)
{
    (void)ctx;
    (void)row;
    return true;
}

static void make(struct made *m)
{
    *m = (struct made){.members = 4, .set_known = true, .where = MP_FALSE};
    texts_at = 0;
    mp_text_ref none = text("");
    m->action[THROTTLE] = (struct mp_action_row){
        .name = text("throttle"), .class = MP_CLASS_TRAFFIC, .strength = 20, .share = text("to")};
    m->action[QUARANTINE] = (struct mp_action_row){
        .name = text("quarantine"), .class = MP_CLASS_TRAFFIC, .strength = 30, .share = none};
    m->action[DENY] = (struct mp_action_row){.name = text("deny"), .class = MP_CLASS_TRAFFIC,
                                             .strength = 40, .share = none};
    for (int i = 0; i < 4; i++) {
        m->rule[i] = (struct mp_rule_row){.name = text("rule"), .limit = MP_NONE};
    }
    for (int i = 0; i < 2; i++) {
        m->quota[i] = (struct mp_quota_row){.entity = INSTANCE,
                                            .members = MP_NONE,
                                            .per_entity = MP_NONE,
                                            .per_walk = MP_NONE,
                                            .text = text(i == 0 ? "one" : "two")};
        m->guard[i] = (struct mp_guard_row){.kind = MP_GUARD_MORE_THAN, .verb = text("quarantine"),
                                            .entity = INSTANCE, .quota = 0, .clause = MP_NONE,
                                            .text = text("never quarantine")};
    }
    m->walk[0].type = m->walk[1].type = MP_TYPE_STRING;
    m->attr[0] = (struct mp_attr_row){.entity = SERVICE, .target = INSTANCE, .type = MP_TYPE_STRING,
                                      .is_set = 1};
    m->observe[0] = (struct mp_observe_row){.kind = MP_OBSERVE_MEMBERS, .attr = 0};
    m->p = (struct mp_program){.action = m->action,
                               .action_count = 3,
                               .rule = m->rule,
                               .rule_count = 4,
                               .guard = m->guard,
                               .guard_count = 1,
                               .quota = m->quota,
                               .quota_count = 2,
                               .walk = m->walk,
                               .walk_count = 2,
                               .attr = m->attr,
                               .attr_count = 1,
                               .observe = m->observe,
                               .observe_count = 1,
                               .texts = texts};
    static const char *const instances[] = {"a-1", "a-2", "a-3", "a-4", "a-5"};
    for (int i = 0; i < 5; i++) members_of[i] = name(instances[i]);
    mp_arena_init(&m->arena, NULL, 0);
    assert_int_equal(mp_decide_create(&m->arena, 8, 64, (struct mp_hash_key){1, 2}, &m->decide),
                     MP_OK);
}

static struct mp_lease lease(uint64_t id, int action, uint32_t entity, const char *target)
{
    static const uint32_t strengths[] = {20, 30, 40};
    return (struct mp_lease){.id = id, .action = (uint32_t)action, .class = MP_CLASS_TRAFFIC,
                             .strength = strengths[action], .hooks = MP_LAYER_ALL,
                             .target = {.kind = MP_TARGET_LEASE, .entity = entity,
                                        .type = MP_TYPE_STRING, .value = name(target)}};
}

static bool ask(struct made *m, const struct mp_lease *l, int64_t now, struct mp_admission *out)
{
    struct mp_decide_world w = {m, walk, attr, members, guard, live, alive};
    bool ok = mp_decide_admit(m->decide, &m->p, &w, &l, 1, now, out);
    if (ok) mp_decide_note(m->decide, &m->p, &w, &l, 1, now);
    return ok;
}

static bool admits(struct made *m, const struct mp_lease *l)
{
    struct mp_admission out;
    return ask(m, l, 0, &out);
}

/* ---- arithmetic ---- */

static void a_share_is_rounded_down_and_is_exact(void **state)
{
    (void)state;
    assert_int_equal(mp_decide_share(4, 0.2), 0);
    assert_int_equal(mp_decide_share(5, 0.2), 1);
    assert_int_equal(mp_decide_share(100, 0.29), 29); /* 0.29 * 100 is 28.999999999999996 */
    assert_int_equal(mp_decide_share(0, 1.0), 0);
    assert_int_equal(mp_decide_share(7, 1.0), 7);
    assert_int_equal(mp_decide_share(7, 0), 0);
    assert_int_equal(mp_decide_share(7, -1), 0);
}

static void no_share_of_whole_percents_is_ever_rounded_up(void **state)
{
    (void)state;
    for (uint64_t n = 0; n <= 1000; n++) {
        for (unsigned percent = 0; percent <= 100; percent++) {
            assert_int_equal(mp_decide_share(n, percent / 100.0), n * percent / 100);
        }
    }
}

/* ---- quotas ---- */

static void of_four_instances_a_fifth_is_none(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    m.quota[0].percent = 0.2;
    m.quota[0].members = 0;
    struct mp_lease a = lease(1, QUARANTINE, INSTANCE, "a-1");
    assert_false(admits(&m, &a));
    m.members = 5;
    assert_true(admits(&m, &a));
    m.live[m.live_count++] = &a;
    struct mp_lease b = lease(2, QUARANTINE, INSTANCE, "a-2");
    assert_false(admits(&m, &b));
    /* Once more on the same one is no further member. */
    struct mp_lease again = lease(3, QUARANTINE, INSTANCE, "a-1");
    assert_true(admits(&m, &again));
    mp_arena_free(&m.arena);
}

static void no_member_known_means_withheld(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    m.quota[0].percent = 1.0;
    m.quota[0].members = 0;
    struct mp_lease a = lease(1, QUARANTINE, INSTANCE, "a-1");
    m.set_known = false;
    assert_false(admits(&m, &a));
    m.set_known = true;
    m.members = 0;
    assert_false(admits(&m, &a));
    mp_arena_free(&m.arena);
}

static void a_lease_on_a_service_counts_as_its_instances(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    m.quota[0].count = 4;
    struct mp_lease service = lease(1, QUARANTINE, SERVICE, "a"),
                    other = lease(2, QUARANTINE, INSTANCE, "b-1");
    struct mp_lease inside = lease(3, QUARANTINE, INSTANCE, "a-2");
    m.live[m.live_count++] = &service;
    assert_false(admits(&m, &other));
    assert_true(admits(&m, &inside));
    mp_arena_free(&m.arena);
}

static void a_quota_counts_per_group(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    m.quota[0].count = 1;
    m.quota[0].per_walk = 1;
    struct mp_lease a1 = lease(1, QUARANTINE, INSTANCE, "a-1"),
                    a2 = lease(2, QUARANTINE, INSTANCE, "a-2");
    struct mp_lease b1 = lease(3, QUARANTINE, INSTANCE, "b-1");
    m.live[m.live_count++] = &a1;
    assert_false(admits(&m, &a2));
    assert_true(admits(&m, &b1));
    mp_arena_free(&m.arena);
}

static void another_verb_and_another_kind_are_not_counted(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    m.quota[0].count = 1;
    struct mp_lease deny = lease(1, DENY, INSTANCE, "a-1"),
                    throttle = lease(2, THROTTLE, INSTANCE, "a-2");
    m.live[m.live_count++] = &deny;
    assert_true(admits(&m, &throttle));
    struct mp_lease q = lease(3, QUARANTINE, INSTANCE, "a-3");
    assert_true(admits(&m, &q));
    mp_arena_free(&m.arena);
}

static void shadow_counts_for_itself_alone(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    m.quota[0].count = 1;
    struct mp_lease shadow = lease(1, QUARANTINE, INSTANCE, "a-1"),
                    real = lease(2, QUARANTINE, INSTANCE, "a-2");
    shadow.shadow = true;
    m.live[m.live_count++] = &shadow;
    assert_true(admits(&m, &real));
    struct mp_lease second = lease(3, QUARANTINE, INSTANCE, "a-3");
    second.shadow = true;
    assert_false(admits(&m, &second));
    mp_arena_free(&m.arena);
}

static void a_quota_with_a_time_slides(void **state)
{
    (void)state;
    struct made m;
    struct mp_admission out;
    make(&m);
    m.quota[0].count = 2;
    m.quota[0].per_ns = 600 * SEC;
    struct mp_lease a = lease(1, QUARANTINE, INSTANCE, "a-1"),
                    b = lease(2, QUARANTINE, INSTANCE, "a-2");
    struct mp_lease c = lease(3, QUARANTINE, INSTANCE, "a-3");
    assert_true(ask(&m, &a, 0, &out));
    assert_true(ask(&m, &b, 100 * SEC, &out));
    assert_false(ask(&m, &c, 599 * SEC, &out));
    assert_int_equal(out.count, 3);
    assert_int_equal(out.allowed, 2);
    assert_true(ask(&m, &b, 599 * SEC, &out)); /* counts once */
    assert_true(ask(&m, &c, 600 * SEC, &out));
    mp_arena_free(&m.arena);
}

static void what_can_no_longer_be_counted_is_withheld(void **state)
{
    (void)state;
    struct made m;
    struct mp_admission out;
    make(&m);
    m.quota[0].count = 1000;
    m.quota[0].per_ns = 600 * SEC;
    char names[20][8];
    struct mp_lease leases[20];
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof names[i], "x-%d", i);
        leases[i] = lease((uint64_t)i + 1, QUARANTINE, INSTANCE, names[i]);
    }
    int admitted = 0;
    while (admitted < 20 && ask(&m, &leases[admitted], admitted * SEC, &out)) admitted++;
    assert_int_equal(admitted, 9); /* eight are remembered; the ninth made the first be forgotten */
    assert_int_equal(out.why, MP_DECIDE_FULL);
    mp_arena_free(&m.arena);
}

static void a_limit_counts_its_own_rule(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    m.p.guard_count = 0;
    m.quota[1].count = 1;
    m.rule[1].limit = 1;
    struct mp_lease other = lease(1, QUARANTINE, INSTANCE, "a-1"),
                    own = lease(2, QUARANTINE, INSTANCE, "a-2");
    struct mp_lease next = lease(3, QUARANTINE, INSTANCE, "a-3");
    own.rule = next.rule = 1;
    m.live[m.live_count++] = &other;
    assert_true(admits(&m, &own));
    m.live[m.live_count++] = &own;
    assert_false(admits(&m, &next));
    mp_arena_free(&m.arena);
}

static void a_condition_that_is_unknown_forbids(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    m.guard[0].kind = MP_GUARD_WHERE_LEASE;
    struct mp_lease a = lease(1, QUARANTINE, INSTANCE, "a-1");
    assert_true(admits(&m, &a));
    m.where = MP_UNKNOWN;
    assert_false(admits(&m, &a));
    m.where = MP_TRUE;
    assert_false(admits(&m, &a));
    mp_arena_free(&m.arena);
}

static void one_of_a_step_withholds_all_of_it(void **state)
{
    (void)state;
    struct made m;
    struct mp_admission out;
    make(&m);
    m.quota[0].count = 1;
    struct mp_lease a = lease(1, QUARANTINE, INSTANCE, "a-1"),
                    b = lease(2, QUARANTINE, INSTANCE, "a-2");
    const struct mp_lease *step[] = {&a, &b};
    struct mp_decide_world w = {&m, walk, attr, members, guard, live, alive};
    assert_false(mp_decide_admit(m.decide, &m.p, &w, step, 2, 0, &out));
    assert_true(mp_decide_admit(m.decide, &m.p, &w, step, 1, 0, &out));
    mp_arena_free(&m.arena);
}

/* ---- arbitration ---- */

static struct mp_lease with_arg(struct mp_lease l, enum mp_type type, double v)
{
    l.args[l.arg_count++] = (struct mp_lease_arg){MP_STR("to"), type, true, mp_value_num(v)};
    return l;
}

static void the_strongest_wins_and_the_others_wait(void **state)
{
    (void)state;
    struct made m;
    enum mp_standing s[3];
    make(&m);
    struct mp_lease a = with_arg(lease(1, THROTTLE, SERVICE, "a"), MP_TYPE_PERCENT, 0.5);
    struct mp_lease b = lease(2, QUARANTINE, SERVICE, "a"), c = lease(3, DENY, SERVICE, "a");
    const struct mp_lease *all[] = {&a, &b, &c};
    mp_decide_arbitrate(&m.p, all, 3, s);
    assert_int_equal(s[0], MP_STANDING_SUPERSEDED);
    assert_int_equal(s[1], MP_STANDING_SUPERSEDED);
    assert_int_equal(s[2], MP_STANDING_CARRIED);
    mp_arena_free(&m.arena);
}

static void equal_verbs_join_to_the_stricter(void **state)
{
    (void)state;
    struct made m;
    enum mp_standing s[2];
    make(&m);
    struct mp_lease a = with_arg(lease(1, THROTTLE, SERVICE, "a"), MP_TYPE_PERCENT, 0.5);
    struct mp_lease b = with_arg(lease(2, THROTTLE, SERVICE, "a"), MP_TYPE_PERCENT, 0.3);
    const struct mp_lease *all[] = {&a, &b};
    mp_decide_arbitrate(&m.p, all, 2, s);
    assert_int_equal(s[0], MP_STANDING_JOINED);
    assert_int_equal(s[1], MP_STANDING_CARRIED);
    /* A ramp that has given most of it back makes the other one the stricter. */
    b.given_back = 0.75; /* admits 82.5% */
    mp_decide_arbitrate(&m.p, all, 2, s);
    assert_int_equal(s[0], MP_STANDING_CARRIED);
    assert_int_equal(s[1], MP_STANDING_JOINED);
    mp_arena_free(&m.arena);
}

static void a_share_and_a_rate_hold_side_by_side(void **state)
{
    (void)state;
    struct made m;
    enum mp_standing s[2];
    make(&m);
    struct mp_lease a = with_arg(lease(1, THROTTLE, SERVICE, "a"), MP_TYPE_PERCENT, 0.5);
    struct mp_lease b = with_arg(lease(2, THROTTLE, SERVICE, "a"), MP_TYPE_RATE, 5);
    const struct mp_lease *all[] = {&a, &b};
    mp_decide_arbitrate(&m.p, all, 2, s);
    assert_int_equal(s[0], MP_STANDING_CARRIED);
    assert_int_equal(s[1], MP_STANDING_CARRIED);
    mp_arena_free(&m.arena);
}

static void priority_decides_where_arguments_do_not_join(void **state)
{
    (void)state;
    struct made m;
    enum mp_standing s[2];
    make(&m);
    struct mp_lease a = lease(1, QUARANTINE, SERVICE, "a"), b = lease(2, QUARANTINE, SERVICE, "a");
    a.args[a.arg_count++] = (struct mp_lease_arg){MP_STR("to"), MP_TYPE_STRING, true, name("x")};
    b.args[b.arg_count++] = (struct mp_lease_arg){MP_STR("to"), MP_TYPE_STRING, true, name("y")};
    b.priority = 5;
    const struct mp_lease *all[] = {&a, &b};
    mp_decide_arbitrate(&m.p, all, 2, s);
    assert_int_equal(s[0], MP_STANDING_SUPERSEDED);
    assert_int_equal(s[1], MP_STANDING_CARRIED);
    mp_arena_free(&m.arena);
}

static void other_hooks_are_another_place(void **state)
{
    (void)state;
    struct made m;
    enum mp_standing s[2];
    make(&m);
    struct mp_lease a = lease(1, DENY, SERVICE, "a"), b = lease(2, QUARANTINE, SERVICE, "a");
    a.hooks = MP_LAYER_INGRESS;
    b.hooks = MP_LAYER_SERVICE;
    const struct mp_lease *all[] = {&a, &b};
    mp_decide_arbitrate(&m.p, all, 2, s);
    assert_int_equal(s[0], MP_STANDING_CARRIED);
    assert_int_equal(s[1], MP_STANDING_CARRIED);
    mp_arena_free(&m.arena);
}

/* What has no effect itself takes none from others. */
static void an_idle_lease_beats_nobody_and_stands_for_nobody(void **state)
{
    (void)state;
    struct made m;
    enum mp_standing s[3];
    make(&m);
    struct mp_lease a = with_arg(lease(1, THROTTLE, SERVICE, "a"), MP_TYPE_PERCENT, 0.5);
    struct mp_lease b = with_arg(lease(2, THROTTLE, SERVICE, "a"), MP_TYPE_PERCENT, 0.3);
    struct mp_lease c = lease(3, DENY, SERVICE, "a");
    const struct mp_lease *all[] = {&a, &b, &c};
    b.idle = c.idle = true;
    mp_decide_arbitrate(&m.p, all, 3, s);
    assert_int_equal(s[0], MP_STANDING_CARRIED);
    assert_int_equal(s[1], MP_STANDING_CARRIED);
    assert_int_equal(s[2], MP_STANDING_CARRIED);
    c.idle = false; /* it is met by others as it always was */
    mp_decide_arbitrate(&m.p, all, 3, s);
    assert_int_equal(s[0], MP_STANDING_SUPERSEDED);
    assert_int_equal(s[1], MP_STANDING_SUPERSEDED);
    assert_int_equal(s[2], MP_STANDING_CARRIED);
    mp_arena_free(&m.arena);
}

static struct mp_lease any_lease(uint64_t id, uint64_t *rng)
{
    struct mp_lease l = lease(id, (int)(mp_rng_next(rng) % 3), SERVICE, "a");
    l.rule = (uint32_t)(mp_rng_next(rng) % 4);
    l.priority = (int64_t)(mp_rng_next(rng) % 2);
    l.given_back = (double)(mp_rng_next(rng) % 2) / 4;
    l.hooks = 1u << mp_rng_next(rng) % 3 | 1u << mp_rng_next(rng) % 3;
    l.idle = mp_rng_next(rng) % 4 == 0;
    if (l.action == THROTTLE) {
        bool rate = mp_rng_next(rng) % 3 == 0;
        double v = (double)(1 + mp_rng_next(rng) % 4) / 10;
        l = with_arg(l, rate ? MP_TYPE_RATE : MP_TYPE_PERCENT, rate ? v * 100 : v);
    }
    return l;
}

static void no_order_changes_who_wins(void **state)
{
    (void)state;
    enum { N = 6 };
    struct made m;
    make(&m);
    uint64_t rng = 20261125;
    print_message("seed %llu\n", (unsigned long long)rng);
    for (int round = 0; round < 2000; round++) {
        struct mp_lease l[N];
        const struct mp_lease *order[N];
        enum mp_standing want[N], got[N];
        for (int i = 0; i < N; i++) {
            l[i] = any_lease((uint64_t)i + 1, &rng);
            order[i] = &l[i];
        }
        mp_decide_arbitrate(&m.p, order, N, want);
        bool carried = false;
        for (int i = 0; i < N; i++) carried |= want[i] == MP_STANDING_CARRIED;
        assert_true(carried);
        /* Idle ones change nothing for the others. */
        int busy = 0;
        for (int i = 0; i < N; i++) {
            if (!l[i].idle) order[busy++] = &l[i];
        }
        mp_decide_arbitrate(&m.p, order, (uint32_t)busy, got);
        for (int i = 0; i < busy; i++) assert_int_equal(got[i], want[order[i]->id - 1]);
        for (int i = 0; i < N; i++) order[i] = &l[i];
        for (int shuffle = 0; shuffle < 10; shuffle++) {
            for (int i = N - 1; i > 0; i--) {
                int j = (int)(mp_rng_next(&rng) % (uint64_t)(i + 1));
                const struct mp_lease *t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
            mp_decide_arbitrate(&m.p, order, N, got);
            for (int i = 0; i < N; i++) assert_int_equal(got[i], want[order[i]->id - 1]);
        }
    }
    mp_arena_free(&m.arena);
}

static void a_ramp_gives_back_what_the_rule_says(void **state)
{
    (void)state;
    struct mp_lease l = {.class = MP_CLASS_TRAFFIC, .given_back = 0.5};
    struct mp_lease_arg percent = {
        .type = MP_TYPE_PERCENT, .known = true, .value = mp_value_num(0.5)};
    struct mp_lease_arg rate = {.type = MP_TYPE_RATE, .known = true, .value = mp_value_num(10)};
    assert_true(mp_decide_given_back(&l, &percent) == 0.75);
    assert_true(mp_decide_given_back(&l, &rate) == 20);
    l.class = MP_CLASS_ROUTING;
    assert_true(mp_decide_given_back(&l, &percent) == 0.25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_rounded_down_and_is_exact),
        cmocka_unit_test(no_share_of_whole_percents_is_ever_rounded_up),
        cmocka_unit_test(of_four_instances_a_fifth_is_none),
        cmocka_unit_test(no_member_known_means_withheld),
        cmocka_unit_test(a_lease_on_a_service_counts_as_its_instances),
        cmocka_unit_test(a_quota_counts_per_group),
        cmocka_unit_test(another_verb_and_another_kind_are_not_counted),
        cmocka_unit_test(shadow_counts_for_itself_alone),
        cmocka_unit_test(a_quota_with_a_time_slides),
        cmocka_unit_test(what_can_no_longer_be_counted_is_withheld),
        cmocka_unit_test(a_limit_counts_its_own_rule),
        cmocka_unit_test(a_condition_that_is_unknown_forbids),
        cmocka_unit_test(one_of_a_step_withholds_all_of_it),
        cmocka_unit_test(the_strongest_wins_and_the_others_wait),
        cmocka_unit_test(equal_verbs_join_to_the_stricter),
        cmocka_unit_test(a_share_and_a_rate_hold_side_by_side),
        cmocka_unit_test(priority_decides_where_arguments_do_not_join),
        cmocka_unit_test(other_hooks_are_another_place),
        cmocka_unit_test(an_idle_lease_beats_nobody_and_stands_for_nobody),
        cmocka_unit_test(no_order_changes_who_wins),
        cmocka_unit_test(a_ramp_gives_back_what_the_rule_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
