/* SPDX-License-Identifier: Apache-2.0
 * act.h - the two state machines, as tables: (state, event) → (next state, effect).
 *
 * Owns:    nothing; the tables are incident_fsm.def and lease_fsm.def.
 * Callers: engine, which keeps the states and carries the effects out.
 * Threads: pure functions. Memory: none.
 */
#ifndef MP_ACT_ACT_H
#define MP_ACT_ACT_H

#include "base/str.h"

enum mp_incident_state {
#define INCIDENT_STATE(name, word) MP_INCIDENT_##name,
#include "act/incident_fsm.def"
    MP_INCIDENT_STATE_COUNT
};

enum mp_incident_event {
#define INCIDENT_EVENT(name, doc) MP_INCIDENT_ON_##name,
#include "act/incident_fsm.def"
    MP_INCIDENT_EVENT_COUNT
};

enum mp_incident_effect {
#define INCIDENT_EFFECT(name, doc) MP_INCIDENT_DO_##name,
#include "act/incident_fsm.def"
    MP_INCIDENT_EFFECT_COUNT
};

enum mp_lease_state {
#define LEASE_STATE(name, word) MP_LEASE_##name,
#include "act/lease_fsm.def"
    MP_LEASE_STATE_COUNT
};

enum mp_lease_event {
#define LEASE_EVENT(name, doc) MP_LEASE_ON_##name,
#include "act/lease_fsm.def"
    MP_LEASE_EVENT_COUNT
};

enum mp_lease_effect {
#define LEASE_EFFECT(name, doc) MP_LEASE_DO_##name,
#include "act/lease_fsm.def"
    MP_LEASE_EFFECT_COUNT
};

/* One row of a table; the enums as small numbers. */
struct mp_fsm_edge {
    uint8_t state, event, next, effect;
};

/* The row for an event in a state, or NULL where it cannot happen. */
const struct mp_fsm_edge *mp_incident_edge(enum mp_incident_state s, enum mp_incident_event ev);
const struct mp_fsm_edge *mp_lease_edge(enum mp_lease_state s, enum mp_lease_event ev);

/* The words of ledger, tests and docs. */
mp_str mp_incident_state_word(enum mp_incident_state s);
mp_str mp_lease_state_word(enum mp_lease_state s);

/* All rows, for docs and tests. */
const struct mp_fsm_edge *mp_incident_edges(uint32_t *count);
const struct mp_fsm_edge *mp_lease_edges(uint32_t *count);

#endif
