/* SPDX-License-Identifier: Apache-2.0
 * What the engine asks of a backend, and what it makes of the answers.
 */
#include "kept.h"
#include "mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct notes {
    char text[2048];
    size_t len;
};

static void note(void *ctx, const struct mp_why_line *line)
{
    struct notes *n = ctx;
    n->len += (size_t)snprintf(n->text + n->len, sizeof n->text - n->len, "%.*s\n",
                               MP_STR_ARG(line->text));
}

static void why_says(struct loop *l, const char *key, const char *text)
{
    struct notes n = {.len = 0};
    assert_int_equal(mp_engine_why(l->engine, MP_STR("errors"), mp_str_of(key), &n, note), MP_OK);
    if (strstr(n.text, text) == NULL) fail_msg("not in why: %s\n%s", text, n.text);
}

static const char *const plain =
    "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n";

static void the_set_is_the_whole_truth(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    loop_set(&l, "error_rate", "a", "8%");
    assert_string_equal(m.set, "throttle service a to=0.5 back=0; ");
    loop_at(&l, 10);
    loop_set(&l, "error_rate", "b", "8%");
    assert_string_equal(m.set,
                        "throttle service a to=0.5 back=0; throttle service b to=0.5 back=0; ");
    int applied = m.applied;
    loop_at(&l, 50);
    assert_int_equal(m.applied, applied); /* nothing changed, nothing is said */
    loop_at(&l, 61);
    assert_string_equal(m.set, "throttle service b to=0.5 back=0; ");
    loop_at(&l, 100);
    assert_string_equal(m.set, "");
    loop_close(&l);
    assert_int_equal(m.closed, 1);
}

/* Nothing else is there: what its lease and its incident tell of the end, in seconds from T0. */
static bool keep_lease_end(void *ctx, const struct mp_lease_view *v)
{
    *(double *)ctx = (double)(v->ends_ns - T0) / SEC;
    return true;
}

static bool keep_incident_end(void *ctx, const struct mp_incident_view *i)
{
    *(double *)ctx = (double)(i->ends_ns - T0) / SEC;
    return true;
}

static void ends_at(struct loop *l, double seconds)
{
    double lease = 0, incident = 0;
    mp_engine_leases(l->engine, &lease, keep_lease_end);
    mp_engine_incidents(l->engine, &incident, keep_incident_end);
    if (lease != seconds || incident != seconds)
        fail_msg("it ends at %.9g, its incident at %.9g, not at %.9g", lease, incident, seconds);
}

static void a_ramp_gives_back_step_by_step(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(
        &l, &m,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% "
        "for 1m ramp 40% every 10s\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 59);
    ends_at(&l, 60);
    loop_at(&l, 61);
    assert_string_equal(m.set, "throttle service a to=0.5 back=0.4; ");
    ends_at(&l, 80);
    loop_at(&l, 71);
    assert_string_equal(m.set, "throttle service a to=0.5 back=0.8; ");
    ends_at(&l, 80);
    loop_at(&l, 81);
    assert_string_equal(m.set, "");
    loop_close(&l);
}

static void accepted_but_not_obeyed_is_stuck_until_it_is(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.obeys = false;
    m.trouble_text = "proxy service/a/a-1 has taken and does not obey mpol-share";
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "0.000 lease errors a throttle a applying>accepted");
    loop_at(&l, 4.9);
    assert_false(loop_saw(&l, "stuck"));
    loop_at(&l, 6);
    saw(&l, "5.000 lease errors a throttle a accepted>stuck not effective in time");
    why_says(&l, "a",
             "throttle a is stuck: proxy service/a/a-1 has taken and does not obey mpol-share\n");
    m.obeys = true;
    loop_at(&l, 7);
    saw(&l, "throttle a stuck>effective");
    loop_at(&l, 70);
    saw(&l, "60.000 incident errors a holding>releasing expired"); /* from accepted */
    loop_close(&l);
}

static void a_mesh_that_is_away_is_asked_with_growing_pauses(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.answer = MPOL_EIO;
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "0.000 lease errors a throttle a applying>stuck input or output failed");
    loop_at(&l, 8);
    m.answer = MPOL_OK;
    loop_at(&l, 14.5);
    assert_false(loop_saw(&l, "accepted"));
    loop_at(&l, 15.5);
    saw(&l, "15.000 lease errors a throttle a applying>accepted");
    loop_close(&l);
}

static void not_now_is_no_trouble(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.answer = MPOL_EAGAIN;
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 1);
    assert_false(loop_saw(&l, "stuck"));
    m.answer = MPOL_OK;
    loop_at(&l, 1.02);
    saw(&l, "accepted>effective");
    loop_close(&l);
}

static void one_too_many_does_not_hold_up_the_rest(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.room = 2;
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 10);
    loop_set(&l, "error_rate", "b", "8%");
    loop_at(&l, 20);
    loop_set(&l, "error_rate", "c", "8%");
    saw(&l, "throttle c applying>stuck a declared limit is reached");
    assert_string_equal(m.set,
                        "throttle service a to=0.5 back=0; throttle service b to=0.5 back=0; ");
    loop_at(&l, 75); /* a has gone: there is room */
    saw(&l, "throttle c accepted>effective");
    assert_non_null(strstr(m.set, "service c"));
    loop_close(&l);
}

/* Who comes later must not wait for it, and must not share its fate when it is offered again. */
static void one_that_can_never_be_holds_up_nobody(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.hates = "b";
    loop_set(&l, "error_rate", "a", "8%");
    loop_set(&l, "error_rate", "b", "8%");
    saw(&l, "throttle b applying>stuck");
    loop_set(&l, "error_rate", "c", "8%");
    saw(&l, "0.000 lease errors c throttle c accepted>effective");
    loop_at(&l, 5);
    loop_set(&l, "error_rate", "d", "8%");
    saw(&l, "5.000 lease errors d throttle d accepted>effective");
    loop_at(&l, 30);
    assert_false(loop_saw(&l, "throttle a applying>stuck"));
    assert_false(loop_saw(&l, "throttle c applying>stuck"));
    assert_false(loop_saw(&l, "throttle d applying>stuck"));
    assert_true(loop_count(&l, "throttle b stuck>applying retry") >= 3);
    assert_true(loop_count(&l, "throttle b stuck>applying retry") <= 5); /* with growing pauses */
    m.hates = NULL;
    loop_at(&l, 58);
    saw(&l, "throttle b accepted>effective");
    loop_close(&l);
}

static void an_operator_is_told_what_can_never_be(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    struct mp_manual_answer answer;
    struct mp_engine_status s;
    struct mp_manual ask = {.verb = MP_STR("quarantine"), .target = MP_STR("service=b")};
    mesh_open(&l, &m, plain);
    m.hates = "b";
    mp_engine_decide(l.engine, &ask, &answer);
    assert_int_equal(answer.how, MP_MANUAL_BAD);
    assert_true(mp_str_eq(answer.why, MP_STR("b is not liked here")));
    ask.verb = MP_STR("deny");
    ask.target = MP_STR("client=10.0.0.7");
    mp_engine_decide(l.engine, &ask, &answer);
    assert_int_equal(answer.how, MP_MANUAL_BAD);
    assert_true(mp_str_eq(answer.why, MP_STR("no backend here can carry out `deny` on `client`")));
    mp_engine_status(l.engine, &s);
    assert_int_equal(s.entries, 0);
    loop_close(&l);
}

static void of_several_that_were_refused_later_only_one_stays_out(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.nacks = "b";
    m.accepts = false;
    loop_set(&l, "error_rate", "a", "8%");
    loop_set(&l, "error_rate", "b", "8%");
    loop_set(&l, "error_rate", "c", "8%");
    m.accepts = true;
    loop_at(&l, 1);
    loop_at(&l, 20);
    saw(&l, "throttle a accepted>effective");
    saw(&l, "throttle c accepted>effective");
    assert_false(loop_saw(&l, "throttle b applying>accepted"));
    loop_set(&l, "error_rate", "d", "8%");
    loop_at(&l, 21);
    saw(&l, "throttle d accepted>effective");
    saw(&l, "trouble=no such thing");
    loop_close(&l);
}

static void trouble_told_later_counts_too(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.accepts = false;
    m.trouble = MPOL_ETIMEDOUT;
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "throttle a applying>stuck timed out");
    m.trouble = MPOL_OK;
    m.accepts = true;
    loop_at(&l, 2);
    saw(&l, "throttle a accepted>effective");
    loop_close(&l);
}

static void what_the_mesh_says_is_in_the_ledger(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.accepts = false;
    m.trouble = MPOL_EINVAL;
    m.trouble_text = "proxy service/a/a-1 refused mpol-deny (ecds): no";
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "throttle a applying>stuck invalid input to:50% burst:0 for:1m "
            "trouble=proxy service/a/a-1 refused mpol-deny (ecds): no");
    why_says(&l, "a", "throttle a is stuck: proxy service/a/a-1 refused mpol-deny (ecds): no\n");
    assert_string_equal(m.set, ""); /* taken back: the mesh keeps the last good set */
    loop_close(&l);
}

static void a_lease_that_nobody_can_carry_waits_alone(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, plain);
    m.held =
        (struct mpol_lease_trouble){1, MPOL_EIO, mpol_text("no proxy of service a is connected")};
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "0.000 lease errors a throttle a applying>stuck input or output failed "
            "to:50% burst:0 for:1m trouble=no proxy of service a is connected");
    why_says(&l, "a", "throttle a is stuck: no proxy of service a is connected\n");
    assert_non_null(strstr(m.set, "service a")); /* who comes gets it at once */
    loop_set(&l, "error_rate", "b", "8%");
    saw(&l, "throttle b accepted>effective");
    loop_at(&l, 5);
    assert_false(loop_saw(&l, "throttle a applying>accepted"));
    int applied = m.applied;
    loop_at(&l, 10);
    assert_int_equal(m.applied, applied); /* nothing to try again */
    m.held.lease = 0;
    loop_at(&l, 10.5);
    saw(&l, "throttle a stuck>applying retry");
    saw(&l, "throttle a accepted>effective");
    loop_close(&l);
}

/* What is held stands for no other: each of them is asked for by itself. */
static void a_held_lease_stands_for_nobody(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, "use std.mesh\n"
                      "rule one when error_rate > 5% per svc then throttle svc to 50% for 5m\n"
                      "rule two when p99_latency > 1s per svc then throttle svc to 20% for 5m\n"
                      "rule three when request_rate > 10/s per svc\n"
                      "  then throttle svc to 80% for 5m\n");
    m.nobody = "throttle";
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "throttle a applying>stuck input or output failed to:50%");
    loop_at(&l, 10);
    loop_set(&l, "p99_latency", "a", "2s");
    loop_set(&l, "request_rate", "a", "20/s");
    loop_at(&l, 20);
    assert_string_equal(m.set, "throttle service a to=0.5 back=0; "
                               "throttle service a to=0.2 back=0; "
                               "throttle service a to=0.8 back=0; ");
    assert_false(loop_saw(&l, "accepted>effective"));
    saw(&l, "lease three a throttle a applying>stuck");
    m.nobody = NULL;
    loop_at(&l, 21);
    assert_string_equal(m.set, "throttle service a to=0.2 back=0; ");
    saw(&l, "lease one a throttle a accepted>effective");
    saw(&l, "lease two a throttle a accepted>effective");
    saw(&l, "lease three a throttle a accepted>effective");
    loop_close(&l);
}

static void the_stricter_of_two_stands_for_both(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m, "use std.mesh\n"
                      "rule one when error_rate > 5% per svc then throttle svc to 50% for 5m\n"
                      "rule two when p99_latency > 1s per svc then throttle svc to 20% for 1m\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 10);
    loop_set(&l, "p99_latency", "a", "2s");
    assert_string_equal(m.set, "throttle service a to=0.2 back=0; ");
    assert_false(loop_saw(&l, "superseded"));
    loop_at(&l, 75);
    assert_string_equal(m.set, "throttle service a to=0.5 back=0; ");
    saw(&l, "70.000 lease two a throttle a withdrawing>withdrawn");
    loop_at(&l, 301);
    assert_string_equal(m.set, "");
    loop_close(&l);
}

static void joined_actions_are_one(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(
        &l, &m,
        "use std.mesh\nlist core: service = [\"b\"]\n"
        "rule errors when error_rate > 5% per svc then throttle svc to 50% for 1m "
        "and cap svc to 5 for 2m\n"
        "never cap svc where svc in core\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_set(&l, "error_rate", "b", "8%");
    assert_string_equal(m.set, "throttle service a to=0.5 back=0; cap service a to=0 back=0; ");
    saw(&l, "cap b proposed>withheld guard");
    saw(&l, "throttle b proposed>withheld joined");
    loop_at(&l, 90);
    saw(&l, "60.000 lease errors a throttle a effective>withdrawing expired");
    assert_false(loop_saw(&l, "incident errors a holding>releasing"));
    loop_at(&l, 130);
    saw(&l, "120.000 incident errors a holding>releasing expired");
    loop_close(&l);
}

static void what_nobody_can_do_is_named(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m,
              "use std.mesh\nrule errors when error_rate > 5% per svc then exempt svc for 1m\n");
    uint32_t action = mp_engine_unsupported(l.engine);
    assert_int_not_equal(action, MP_NONE);
    assert_true(
        mp_str_eq(mp_program_text(l.program, l.program->action[action].name), MP_STR("exempt")));
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "exempt a proposed>withheld no backend can do it");
    loop_close(&l);
}

static void a_cut_stands_beside_a_quarantine(void **state)
{
    (void)state;
    struct loop l;
    struct mesh m;
    mesh_open(&l, &m,
              "use std.mesh\nrule errors when error_rate > 5% per svc\n"
              "  then quarantine svc for 10m and cut svc\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 1);
    assert_string_equal(m.set, "quarantine service a to=0 back=0; cut service a to=0 back=0; ");
    loop_at(&l, 70);
    assert_string_equal(m.set, "quarantine service a to=0 back=0; "); /* a minute, by itself */
    loop_close(&l);
}

static void a_lease_begins_once_over_all_lives(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l, n;
    struct mesh m;
    kept_open(&kept);
    mesh_open(&l, &m, plain);
    loop_at(&l, 3);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 4);
    int64_t began = m.begins_ns;
    assert_int_equal(began, T0 + 3 * SEC);
    loop_set(&l, "error_rate", "b", "8%");
    loop_at(&l, 5);
    assert_int_equal(m.begins_ns, began); /* in every set */
    kept_take(&kept, l.engine);
    loop_close(&l);

    struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2},
                                        .pending = true, .now_ns = T0 + 20 * SEC,
                                        .mono_ns = 5 * SEC};
    options.limits.incidents = options.limits.leases = 256;
    loop_open_with(&n, plain, true, &options);
    mesh_init(&m);
    assert_int_equal(mp_engine_backend(n.engine, &mesh_ops, &m), MP_OK);
    kept_restore(&kept, n.engine);
    mp_engine_advance(n.engine, T0 + 21 * SEC, 6 * SEC);
    assert_int_equal(m.begins_ns, began);
    loop_close(&n);
    kept_close(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_set_is_the_whole_truth),
        cmocka_unit_test(a_ramp_gives_back_step_by_step),
        cmocka_unit_test(accepted_but_not_obeyed_is_stuck_until_it_is),
        cmocka_unit_test(a_mesh_that_is_away_is_asked_with_growing_pauses),
        cmocka_unit_test(not_now_is_no_trouble),
        cmocka_unit_test(one_too_many_does_not_hold_up_the_rest),
        cmocka_unit_test(one_that_can_never_be_holds_up_nobody),
        cmocka_unit_test(an_operator_is_told_what_can_never_be),
        cmocka_unit_test(of_several_that_were_refused_later_only_one_stays_out),
        cmocka_unit_test(trouble_told_later_counts_too),
        cmocka_unit_test(what_the_mesh_says_is_in_the_ledger),
        cmocka_unit_test(a_lease_that_nobody_can_carry_waits_alone),
        cmocka_unit_test(a_held_lease_stands_for_nobody),
        cmocka_unit_test(the_stricter_of_two_stands_for_both),
        cmocka_unit_test(joined_actions_are_one),
        cmocka_unit_test(what_nobody_can_do_is_named),
        cmocka_unit_test(a_cut_stands_beside_a_quarantine),
        cmocka_unit_test(a_lease_begins_once_over_all_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
