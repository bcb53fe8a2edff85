/* SPDX-License-Identifier: Apache-2.0 */
#include "act/act.h"

#include "base/assert.h"

static const struct mp_fsm_edge incident_edges[] = {
#define INCIDENT_EDGE(s, e, n, f)                                                                  \
    {MP_INCIDENT_##s, MP_INCIDENT_ON_##e, MP_INCIDENT_##n, MP_INCIDENT_DO_##f},
#include "act/incident_fsm.def"
};

static const struct mp_fsm_edge lease_edges[] = {
#define LEASE_EDGE(s, e, n, f) {MP_LEASE_##s, MP_LEASE_ON_##e, MP_LEASE_##n, MP_LEASE_DO_##f},
#include "act/lease_fsm.def"
};

static const mp_str incident_words[] = {
#define INCIDENT_STATE(name, word) MP_STR_INIT(word),
#include "act/incident_fsm.def"
};

static const mp_str lease_words[] = {
#define LEASE_STATE(name, word) MP_STR_INIT(word),
#include "act/lease_fsm.def"
};

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

/* Some thirty rows, read a few times an incident: looking through them is fast enough. */
static const struct mp_fsm_edge *find(const struct mp_fsm_edge *edges, uint32_t count,
                                      uint32_t state, uint32_t event)
{
    for (uint32_t i = 0; i < count; i++) {
        if (edges[i].state == state && edges[i].event == event) return &edges[i];
    }
    return NULL;
}

const struct mp_fsm_edge *mp_incident_edge(enum mp_incident_state s, enum mp_incident_event ev)
{
    return find(incident_edges, COUNT(incident_edges), s, ev);
}

const struct mp_fsm_edge *mp_lease_edge(enum mp_lease_state s, enum mp_lease_event ev)
{
    return find(lease_edges, COUNT(lease_edges), s, ev);
}

mp_str mp_incident_state_word(enum mp_incident_state s)
{
    MP_ASSERT((unsigned)s < MP_INCIDENT_STATE_COUNT);
    return incident_words[s];
}

mp_str mp_lease_state_word(enum mp_lease_state s)
{
    MP_ASSERT((unsigned)s < MP_LEASE_STATE_COUNT);
    return lease_words[s];
}

const struct mp_fsm_edge *mp_incident_edges(uint32_t *count)
{
    *count = COUNT(incident_edges);
    return incident_edges;
}

const struct mp_fsm_edge *mp_lease_edges(uint32_t *count)
{
    *count = COUNT(lease_edges);
    return lease_edges;
}
