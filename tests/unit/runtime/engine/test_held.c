/* SPDX-License-Identifier: Apache-2.0
 * Leases that nothing in the mesh carries: they must not take away what works, and what is carried
 * no more must not be told as if it were.
 */
#include "kept.h"
#include "mesh.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ERRORS \
    "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 10m\n"
#define AND_SLOW ERRORS "rule slow when p99_latency > 1s per svc then quarantine svc for 10m\n"
#define CHECKED                                                                                    \
    "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 10m\n"    \
    "  verify error_rate < 2% for 10s within 1m\n"                                                 \
    "  harm p99_latency > 2s for 2s\n"                                                             \
    "else quarantine svc for 10m\n"

/* A route of service a, by hand. */
static struct mp_manual_answer route(struct loop *l, const char *to, bool look)
{
    struct mp_note args[] = {{MP_STR("to"), mp_str_of(to)}};
    struct mp_manual ask = {.verb = MP_STR("route"),
                            .target = MP_STR("service=a"),
                            .args = args,
                            .arg_count = 1,
                            .look = look};
    struct mp_manual_answer answer;
    mp_engine_decide(l->engine, &ask, &answer);
    assert_int_equal(answer.how, MP_MANUAL_DONE);
    return answer;
}

struct find {
    uint64_t id;
    char state[32], trouble[256];
};

static bool find(void *ctx, const struct mp_lease_view *v)
{
    struct find *f = ctx;
    if (v->lease->id != f->id) return true;
    snprintf(f->state, sizeof f->state, "%.*s", MP_STR_ARG(v->state));
    snprintf(f->trouble, sizeof f->trouble, "%.*s", MP_STR_ARG(v->trouble));
    return false;
}

static void is_in(const struct loop *l, uint64_t id, const char *state, const char *trouble)
{
    struct find f = {.id = id, .state = "gone"};
    mp_engine_leases(l->engine, &f, find);
    if (strcmp(f.state, state) != 0) fprintf(stderr, "%s", l->log);
    assert_string_equal(f.state, state);
    assert_string_equal(f.trouble, trouble);
}

static bool has_fact(const struct mp_manual_answer *a, const char *name, const char *value)
{
    for (uint32_t i = 0; i < a->fact_count; i++) {
        if (mp_str_eq(a->facts[i].name, mp_str_of(name)) &&
            mp_str_eq(a->facts[i].value, mp_str_of(value)))
            return true;
    }
    return false;
}

/* ---- who is held ---- */

static void a_held_lease_takes_nothing_away(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    uint64_t works = route(&l, "pay", false).lease;
    is_in(&l, works, "effective", "");
    m.nobody = "to=nosuch";
    uint64_t typo = route(&l, "nosuch", false).lease;
    is_in(&l, typo, "stuck", "nobody is there");
    is_in(&l, works, "effective", "");
    assert_false(loop_saw(&l, "superseded"));
    assert_string_equal(m.set, "route service a to=pay back=0; route service a to=nosuch back=0; ");
    int applied = m.applied;
    loop_at(&l, 10);
    assert_int_equal(m.applied, applied); /* it waits, and nothing is tried meanwhile */
    loop_close(&l);
}

static void it_wins_as_soon_as_it_can_be_carried(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    uint64_t works = route(&l, "pay", false).lease;
    m.nobody = "to=nosuch";
    uint64_t newer = route(&l, "nosuch", false).lease;
    loop_at(&l, 10);
    m.nobody = NULL; /* the service appears */
    loop_at(&l, 10.5);
    is_in(&l, newer, "effective", "");
    is_in(&l, works, "superseded", "");
    assert_string_equal(m.set, "route service a to=nosuch back=0; ");
    loop_at(&l, 700);
    assert_string_equal(m.set, ""); /* both have an end */
    loop_close(&l);
}

/* A backend that cannot be asked is tried: what works is away for that moment alone. */
static void where_nobody_can_be_asked_it_comes_back_at_once(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, ERRORS);
    uint64_t works = route(&l, "pay", false).lease;
    m.nobody = "to=nosuch";
    uint64_t typo = route(&l, "nosuch", false).lease;
    is_in(&l, typo, "stuck", "nobody is there");
    is_in(&l, works, "effective", "");
    assert_string_equal(m.set, "route service a to=pay back=0; route service a to=nosuch back=0; ");
    m.nobody = NULL;
    loop_at(&l, 10);
    is_in(&l, typo, "effective", "");
    is_in(&l, works, "superseded", "");
    loop_close(&l);
}

static void a_stronger_rule_that_is_held_leaves_the_weaker_its_check(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, CHECKED "rule slow when request_rate > 10/s per svc\n"
                                   "  then quarantine svc for 10m\n",
                   &mesh_asked_ops);
    m.nobody = "quarantine";
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 5);
    loop_set(&l, "request_rate", "a", "20/s");
    saw(&l, "5.000 lease slow a quarantine a applying>stuck input or output failed");
    loop_set(&l, "error_rate", "a", "1%");
    loop_at(&l, 20);
    saw(&l, "15.000 incident errors a verifying>confirmed");
    assert_false(loop_saw(&l, "superseded"));
    m.nobody = NULL;
    loop_at(&l, 21);
    saw(&l, "lease slow a quarantine a accepted>effective");
    saw(&l, "lease errors a throttle a effective>superseded");
    loop_close(&l);
}

/* Of two that nothing carries neither is told as if it were in force, nor lost. */
static void what_is_held_wins_among_the_held_when_all_are_freed(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    m.nobody = "route";
    uint64_t one = route(&l, "pay", false).lease, two = route(&l, "v2", false).lease;
    is_in(&l, one, "stuck", "nobody is there");
    is_in(&l, two, "stuck", "nobody is there");
    m.nobody = NULL;
    loop_at(&l, 1);
    is_in(&l, one, "superseded", "");
    is_in(&l, two, "effective", "");
    assert_string_equal(m.set, "route service a to=v2 back=0; ");
    loop_close(&l);
}

static void what_comes_out_of_the_shade_is_asked_about(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    struct mp_undo undo = {.who = MP_STR("x")};
    mp_str why;
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    uint64_t one = route(&l, "pay", false).lease, two = route(&l, "v2", false).lease;
    undo.lease = route(&l, "v3", false).lease;
    m.nobody = "to=v2"; /* it goes away while a stronger one stands before it */
    loop_at(&l, 5);
    assert_int_equal(mp_engine_undo(l.engine, &undo, NULL, NULL, &why), 1);
    loop_at(&l, 6);
    is_in(&l, one, "effective", "");
    is_in(&l, two, "stuck", "nobody is there");
    loop_close(&l);
}

static void an_operator_is_told_before(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    route(&l, "pay", false);
    m.nobody = "to=nosuch";
    struct mp_manual_answer a = route(&l, "nosuch", true);
    assert_true(has_fact(&a, "mesh", "it would wait: nobody is there"));
    assert_true(has_fact(&a, "lease", "#1 route by manual stays until this one is carried"));
    a = route(&l, "v2", true);
    assert_false(has_fact(&a, "mesh", "it would wait: nobody is there"));
    assert_true(has_fact(&a, "lease", "#1 route by manual waits until this one ends"));
    loop_close(&l);
}

/* Another life, `seconds` later, on a mesh that is new too. */
static void open_next(struct loop *n, struct mesh *m, const char *policy, int seconds)
{
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2},
                                        .pending = true, .now_ns = T0 + seconds * SEC,
                                        .mono_ns = T0 + seconds * SEC};
    options.limits.incidents = options.limits.leases = 256;
    loop_open_with(n, policy, true, &options);
    n->t = T0 + seconds * SEC;
    mesh_init(m);
    assert_int_equal(mp_engine_backend(n->engine, &mesh_asked_ops, m), MP_OK);
}

static void a_restart_does_not_make_it_win(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l, n;
    struct mesh m;
    kept_open(&kept);
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    uint64_t works = route(&l, "pay", false).lease;
    m.nobody = "to=nosuch";
    uint64_t typo = route(&l, "nosuch", false).lease;
    loop_at(&l, 5);
    kept_take(&kept, l.engine);
    loop_close(&l);

    open_next(&n, &m, ERRORS, 20);
    m.nobody = "route"; /* no proxy is there yet */
    kept_restore(&kept, n.engine);
    loop_at(&n, 21);
    is_in(&n, works, "effective", "");
    is_in(&n, typo, "stuck", "nobody is there");
    assert_string_equal(m.set, "route service a to=pay back=0; route service a to=nosuch back=0; ");
    m.nobody = "to=nosuch";
    loop_at(&n, 22);
    is_in(&n, works, "effective", "");
    assert_false(loop_saw(&n, "superseded"));
    m.nobody = NULL;
    loop_at(&n, 23);
    is_in(&n, works, "superseded", "");
    is_in(&n, typo, "effective", "");
    loop_close(&n);
    kept_close(&kept);
}

/* ---- who is refused ---- */

static void a_refused_lease_takes_nothing_away(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, ERRORS);
    uint64_t works = route(&l, "pay", false).lease;
    m.nacks = "to=odd"; /* a proxy says so later */
    uint64_t odd = route(&l, "odd", false).lease;
    loop_at(&l, 0.5);
    is_in(&l, odd, "stuck", "no such thing");
    is_in(&l, works, "effective", "");
    assert_string_equal(m.set, "route service a to=pay back=0; ");
    int restored = loop_count(&l, "superseded>applying restored");
    loop_at(&l, 60); /* it is offered again and again */
    assert_true(loop_count(&l, "stuck>applying retry") >= 3);
    assert_int_equal(loop_count(&l, "superseded>applying restored"), restored);
    is_in(&l, works, "effective", "");
    m.nacks = NULL;
    loop_at(&l, 90);
    is_in(&l, odd, "effective", "");
    is_in(&l, works, "superseded", "");
    assert_string_equal(m.set, "route service a to=odd back=0; ");
    loop_close(&l);
}

static void one_that_is_refused_at_once_takes_nothing_away(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, AND_SLOW);
    loop_set(&l, "error_rate", "a", "8%");
    m.hates = "quarantine service a to=0";
    loop_set(&l, "p99_latency", "a", "2s");
    saw(&l, "lease slow a quarantine a applying>stuck");
    loop_at(&l, 0.5);
    is_in(&l, 1, "effective", "");
    assert_string_equal(m.set, "throttle service a to=0.5 back=0; ");
    m.hates = NULL;
    loop_at(&l, 20);
    is_in(&l, 2, "effective", "");
    is_in(&l, 1, "superseded", "");
    loop_close(&l);
}

/* ---- who is carried no more ---- */

static void where_a_proxy_lets_through_it_is_stuck_again(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    loop_set(&l, "error_rate", "a", "8%");
    is_in(&l, 1, "effective", "");
    loop_at(&l, 20);
    m.nobody = "throttle"; /* who has come does not ask for the filter */
    m.nobody_is = MPOL_EINVAL;
    loop_at(&l, 20.5);
    is_in(&l, 1, "stuck", "nobody is there");
    saw(&l, "20.500 lease errors a throttle a effective>stuck invalid input to:50% burst:0 "
                 "for:10m trouble=nobody is there");
    assert_string_equal(m.set, "throttle service a to=0.5 back=0; "); /* for all others */
    loop_at(&l, 30);
    assert_int_equal(loop_count(&l, "effective>stuck"), 1);
    assert_false(loop_saw(&l, "retry"));
    m.nobody = NULL; /* it has asked, or is gone */
    loop_at(&l, 30.5);
    is_in(&l, 1, "effective", "");
    loop_at(&l, 601);
    /* its end is what it was */
    saw(&l, "600.000 incident errors a holding>releasing expired");
    loop_close(&l);
}

static void where_nobody_is_left_nobody_lets_through(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    loop_set(&l, "error_rate", "a", "8%");
    m.nobody = "throttle";
    loop_at(&l, 20);
    is_in(&l, 1, "effective", "");
    loop_close(&l);
}

/* A metric that a known hole decides is no verdict on the measure. */
static void its_check_stops_and_starts_anew(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, CHECKED, &mesh_asked_ops);
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "0.000 incident errors a open>verifying");
    loop_at(&l, 20);
    m.nobody = "throttle";
    m.nobody_is = MPOL_EINVAL;
    loop_at(&l, 20.5);
    saw(&l, "20.500 incident errors a verifying>open lost");
    loop_at(&l, 100);
    assert_false(loop_saw(&l, "failed")); /* the minute is over, and nothing escalates */
    m.nobody = NULL;
    loop_at(&l, 100.5);
    saw(&l, "100.500 incident errors a open>verifying");
    loop_at(&l, 110);
    loop_set(&l, "error_rate", "a", "1%");
    loop_at(&l, 121);
    saw(&l, "120.000 incident errors a verifying>confirmed");
    m.nobody = "throttle";
    loop_at(&l, 130);
    is_in(&l, 1, "stuck", "nobody is there");
    assert_false(loop_saw(&l, "holding>open")); /* what was confirmed was */
    loop_close(&l);
}

/* Where it is in force it can do harm. */
static void harm_is_looked_for_all_the_while(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, CHECKED, &mesh_asked_ops);
    loop_set(&l, "p99_latency", "a", "100ms");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 10);
    m.nobody = "throttle";
    m.nobody_is = MPOL_EINVAL;
    loop_at(&l, 20);
    saw(&l, "verifying>open lost");
    loop_set(&l, "p99_latency", "a", "3s");
    loop_at(&l, 25);
    saw(&l, "22.000 incident errors a open>harmful");
    saw(&l, "22.000 incident errors a harmful>rolled_back harmful");
    assert_string_equal(m.set, "");
    loop_close(&l);
}

static void what_it_had_taken_comes_back(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m, ERRORS, &mesh_asked_ops);
    uint64_t one = route(&l, "pay", false).lease, two = route(&l, "v2", false).lease;
    is_in(&l, one, "superseded", "");
    loop_at(&l, 5);
    m.nobody = "to=v2";
    m.nobody_is = MPOL_EINVAL;
    loop_at(&l, 6);
    is_in(&l, two, "stuck", "nobody is there");
    is_in(&l, one, "effective", "");
    assert_string_equal(m.set, "route service a to=pay back=0; route service a to=v2 back=0; ");
    m.nobody = NULL;
    loop_at(&l, 7);
    is_in(&l, two, "effective", "");
    is_in(&l, one, "superseded", "");
    loop_close(&l);
}

static void a_release_of_it_has_its_steps(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open_with(&l, &m,
                   "use std.mesh\nrule errors when error_rate > 5% per svc\n"
                   "  then throttle svc to 50% for 1m ramp 50% every 10s\n",
                   &mesh_asked_ops);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 10);
    m.nobody = "throttle";
    m.nobody_is = MPOL_EINVAL;
    loop_at(&l, 61);
    assert_string_equal(m.set, "throttle service a to=0.5 back=0.5; ");
    loop_at(&l, 71);
    assert_string_equal(m.set, "");
    loop_close(&l);
}

static void a_restart_knows_of_it(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l, n;
    struct mesh m;
    kept_open(&kept);
    mesh_open_with(&l, &m, CHECKED, &mesh_asked_ops);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 5);
    m.nobody = "throttle";
    m.nobody_is = MPOL_EINVAL;
    loop_at(&l, 6);
    kept_take(&kept, l.engine);
    loop_close(&l);

    open_next(&n, &m, CHECKED, 10);
    m.nobody = "throttle"; /* nobody is there yet */
    kept_restore(&kept, n.engine);
    loop_at(&n, 11);
    is_in(&n, 1, "stuck", "nobody is there");
    m.nobody_is = MPOL_EINVAL;
    loop_at(&n, 12);
    is_in(&n, 1, "stuck", "nobody is there");
    m.nobody = NULL;
    loop_at(&n, 13);
    is_in(&n, 1, "effective", "");
    saw(&n, "13.000 incident errors a open>verifying");
    loop_close(&n);
    kept_close(&kept);
}

/* ---- whatever happens ---- */

/* Who waits, and for how many that have an effect. */
struct fair {
    const struct mesh *m;
    uint32_t waiting, working;
};

static bool is_in_set(const struct mesh *m, uint64_t id)
{
    size_t i = 0;
    while (i < m->count && m->last[i].id != id) i++;
    return i < m->count;
}

static bool look(void *ctx, const struct mp_lease_view *v)
{
    struct fair *f = ctx;
    bool stuck = mp_str_eq(v->state, MP_STR("stuck"));
    f->waiting += mp_str_eq(v->state, MP_STR("superseded"));
    f->working += v->in_force && !stuck && is_in_set(f->m, v->lease->id);
    return true;
}

static void somebody_works_as_long_as_somebody_can(void **state)
{
    (void)state;
    static const char *const to[] = {"pay", "v2", "v3", "v4"};
    static const char *const nobody[] = {"to=pay", "to=v", "to=v3", "route", NULL};
    uint64_t rng = 20261126;
    print_message("seed %llu\n", (unsigned long long)rng);
    for (int life = 0; life < 40; life++) {
        struct loop l;
        struct mesh m;
        bool asks = life % 2 == 0;
        mesh_open_with(&l, &m, ERRORS, asks ? &mesh_asked_ops : &mesh_ops);
        m.nacks = life % 3 == 0 ? "to=v4" : NULL;
        double t = 0;
        for (int i = 0; i < 60; i++) {
            uint64_t r = mp_rng_next(&rng) >> 8;
            if (r % 2 == 0) route(&l, to[r >> 8 & 3], false);
            if (r % 2 == 1) m.nobody = nobody[(r >> 8) % 5];
            if (r % 2 == 1) m.nobody_is = (r >> 16) % 2 == 0 ? MPOL_EIO : MPOL_EINVAL;
            t += (double)(mp_rng_next(&rng) % 4000) / 1000;
            loop_at(&l, t);
            loop_at(&l, t += 0.02);
            struct fair f = {.m = &m};
            mp_engine_leases(l.engine, &f, look);
            if (f.waiting > 0 && f.working == 0) {
                fprintf(stderr, "%s", l.log);
                fail_msg("life %d, step %d: %u wait for nobody", life, i, f.waiting);
            }
        }
        m.nobody = m.nacks = NULL;
        loop_at(&l, t + 2000);
        struct mp_engine_status s;
        mp_engine_status(l.engine, &s);
        assert_int_equal(s.leases_live, 0);
        assert_string_equal(m.set, "");
        loop_close(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_held_lease_takes_nothing_away),
        cmocka_unit_test(it_wins_as_soon_as_it_can_be_carried),
        cmocka_unit_test(where_nobody_can_be_asked_it_comes_back_at_once),
        cmocka_unit_test(a_stronger_rule_that_is_held_leaves_the_weaker_its_check),
        cmocka_unit_test(what_is_held_wins_among_the_held_when_all_are_freed),
        cmocka_unit_test(what_comes_out_of_the_shade_is_asked_about),
        cmocka_unit_test(an_operator_is_told_before),
        cmocka_unit_test(a_restart_does_not_make_it_win),
        cmocka_unit_test(a_refused_lease_takes_nothing_away),
        cmocka_unit_test(one_that_is_refused_at_once_takes_nothing_away),
        cmocka_unit_test(where_a_proxy_lets_through_it_is_stuck_again),
        cmocka_unit_test(where_nobody_is_left_nobody_lets_through),
        cmocka_unit_test(its_check_stops_and_starts_anew),
        cmocka_unit_test(harm_is_looked_for_all_the_while),
        cmocka_unit_test(what_it_had_taken_comes_back),
        cmocka_unit_test(a_release_of_it_has_its_steps),
        cmocka_unit_test(a_restart_knows_of_it),
        cmocka_unit_test(somebody_works_as_long_as_somebody_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
