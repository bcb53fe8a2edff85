/* SPDX-License-Identifier: Apache-2.0
 * The tables of the two machines, row by row.
 */
#include "act/act.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef const struct mp_fsm_edge *(*edges_fn)(uint32_t *count);

static void each_state_and_event_leads_to_one_place(void **state)
{
    (void)state;
    edges_fn tables[] = {mp_incident_edges, mp_lease_edges};
    for (int t = 0; t < 2; t++) {
        uint32_t count;
        const struct mp_fsm_edge *e = tables[t](&count);
        for (uint32_t i = 0; i < count; i++) {
            for (uint32_t j = i + 1; j < count; j++) {
                assert_false(e[i].state == e[j].state && e[i].event == e[j].event);
            }
        }
    }
}

static void every_edge_is_found_and_no_other(void **state)
{
    (void)state;
    uint32_t count, found = 0;
    const struct mp_fsm_edge *e = mp_incident_edges(&count);
    for (int s = 0; s < MP_INCIDENT_STATE_COUNT; s++) {
        for (int ev = 0; ev < MP_INCIDENT_EVENT_COUNT; ev++) {
            const struct mp_fsm_edge *edge = mp_incident_edge(s, ev);
            found += edge != NULL;
            if (edge != NULL) assert_true(edge >= e && edge < e + count && edge->state == s);
        }
    }
    assert_int_equal(found, count);
    e = mp_lease_edges(&count);
    found = 0;
    for (int s = 0; s < MP_LEASE_STATE_COUNT; s++) {
        for (int ev = 0; ev < MP_LEASE_EVENT_COUNT; ev++) {
            const struct mp_fsm_edge *edge = mp_lease_edge(s, ev);
            found += edge != NULL;
            if (edge != NULL) assert_true(edge >= e && edge < e + count && edge->state == s);
        }
    }
    assert_int_equal(found, count);
}

/* From every state that can be entered there is a way back to idle: nothing stays for ever. */
static void every_incident_can_come_back_to_idle(void **state)
{
    (void)state;
    uint32_t count;
    const struct mp_fsm_edge *e = mp_incident_edges(&count);
    bool home[MP_INCIDENT_STATE_COUNT] = {[MP_INCIDENT_IDLE] = true};
    for (int round = 0; round < MP_INCIDENT_STATE_COUNT; round++) {
        for (uint32_t i = 0; i < count; i++) home[e[i].state] |= home[e[i].next];
    }
    for (int s = 0; s < MP_INCIDENT_STATE_COUNT; s++) assert_true(home[s]);
}

static void every_lease_ends_withdrawn_or_withheld_or_delivered(void **state)
{
    (void)state;
    uint32_t count;
    const struct mp_fsm_edge *e = mp_lease_edges(&count);
    bool over[MP_LEASE_STATE_COUNT] = {[MP_LEASE_WITHDRAWN] = true, [MP_LEASE_WITHHELD] = true};
    for (int round = 0; round < MP_LEASE_STATE_COUNT; round++) {
        for (uint32_t i = 0; i < count; i++) over[e[i].state] |= over[e[i].next];
    }
    for (int s = 0; s < MP_LEASE_STATE_COUNT; s++) assert_true(over[s]);
}

static void leads(enum mp_incident_state s, enum mp_incident_event ev, enum mp_incident_state next,
                  enum mp_incident_effect effect)
{
    const struct mp_fsm_edge *edge = mp_incident_edge(s, ev);
    assert_non_null(edge);
    assert_int_equal(edge->next, next);
    assert_int_equal(edge->effect, effect);
}

static void a_check_has_four_answers(void **state)
{
    (void)state;
#define I(x) MP_INCIDENT_##x
    leads(I(VERIFYING), I(ON_CONFIRMED), I(CONFIRMED), I(DO_NONE));
    leads(I(CONFIRMED), I(ON_REPORTED), I(HOLDING), I(DO_START_HOLDING));
    leads(I(VERIFYING), I(ON_FAILED), I(FAILED), I(DO_NONE));
    leads(I(FAILED), I(ON_NEXT), I(OPEN), I(DO_TAKE_RUNG));
    leads(I(FAILED), I(ON_UNDONE), I(ROLLED_BACK), I(DO_UNDO));
    leads(I(VERIFYING), I(ON_HARMED), I(HARMFUL), I(DO_NONE));
    leads(I(HOLDING), I(ON_HARMED), I(HARMFUL), I(DO_NONE));
    leads(I(HARMFUL), I(ON_UNDONE), I(ROLLED_BACK), I(DO_UNDO));
    leads(I(VERIFYING), I(ON_INCONCLUSIVE), I(INCONCLUSIVE), I(DO_NONE));
}

static void silence_never_escalates(void **state)
{
    (void)state;
    assert_null(mp_incident_edge(MP_INCIDENT_INCONCLUSIVE, MP_INCIDENT_ON_NEXT));
    assert_null(mp_incident_edge(MP_INCIDENT_VERIFYING, MP_INCIDENT_ON_NEXT));
    assert_null(mp_incident_edge(MP_INCIDENT_HARMFUL, MP_INCIDENT_ON_NEXT));
}

static void ends_lead_to_releasing_and_then_home(void **state)
{
    (void)state;
    leads(I(OPEN), I(ON_RELEASE), I(RELEASING), I(DO_START_RELEASE));
    leads(I(VERIFYING), I(ON_RELEASE), I(RELEASING), I(DO_START_RELEASE));
    leads(I(HOLDING), I(ON_RELEASE), I(RELEASING), I(DO_START_RELEASE));
    leads(I(RELEASING), I(ON_AGAIN), I(OPEN), I(DO_REAPPLY));
    leads(I(RELEASING), I(ON_FREED), I(RELEASED), I(DO_NONE));
    leads(I(RELEASED), I(ON_COOLS), I(COOLDOWN), I(DO_START_COOLDOWN));
    leads(I(ROLLED_BACK), I(ON_COOLS), I(COOLDOWN), I(DO_START_COOLDOWN));
    leads(I(COOLDOWN), I(ON_COOLED), I(IDLE), I(DO_FORGET));
#undef I
}

static void a_lease_is_accepted_before_it_is_effective(void **state)
{
    (void)state;
    assert_null(mp_lease_edge(MP_LEASE_APPLYING, MP_LEASE_ON_OBSERVED));
    assert_int_equal(mp_lease_edge(MP_LEASE_APPLYING, MP_LEASE_ON_ACKNOWLEDGED)->next,
                     MP_LEASE_ACCEPTED);
    assert_int_equal(mp_lease_edge(MP_LEASE_ACCEPTED, MP_LEASE_ON_OBSERVED)->next,
                     MP_LEASE_EFFECTIVE);
    assert_int_equal(mp_lease_edge(MP_LEASE_SUPERSEDED, MP_LEASE_ON_RESTORE)->next,
                     MP_LEASE_APPLYING);
    /* What was withheld is over: nothing brings it back. */
    for (int ev = 0; ev < MP_LEASE_EVENT_COUNT; ev++) {
        assert_null(mp_lease_edge(MP_LEASE_WITHHELD, ev));
        assert_null(mp_lease_edge(MP_LEASE_WITHDRAWN, ev));
    }
}

static void states_have_the_words_of_the_language(void **state)
{
    (void)state;
    assert_true(mp_str_eq(mp_incident_state_word(MP_INCIDENT_ROLLED_BACK), MP_STR("rolled_back")));
    assert_true(
        mp_str_eq(mp_incident_state_word(MP_INCIDENT_INCONCLUSIVE), MP_STR("inconclusive")));
    assert_true(mp_str_eq(mp_lease_state_word(MP_LEASE_WITHDRAWN), MP_STR("withdrawn")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_and_event_leads_to_one_place),
        cmocka_unit_test(every_edge_is_found_and_no_other),
        cmocka_unit_test(every_incident_can_come_back_to_idle),
        cmocka_unit_test(every_lease_ends_withdrawn_or_withheld_or_delivered),
        cmocka_unit_test(a_check_has_four_answers),
        cmocka_unit_test(silence_never_escalates),
        cmocka_unit_test(ends_lead_to_releasing_and_then_home),
        cmocka_unit_test(a_lease_is_accepted_before_it_is_effective),
        cmocka_unit_test(states_have_the_words_of_the_language),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
