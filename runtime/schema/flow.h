/* SPDX-License-Identifier: Apache-2.0
 * flow.h - the batons: what one stage hands to the next. Read this first, then walk the folders.
 *
 *   bytes ─ingest→ mp_record ─window→ mp_row ─eval→ mp_hits ─decide→ mp_decision ─act→ mp_lease
 *     ─backend→ mesh;   later rows ─verify→ mp_verdict ─act→ …;   every transition → mp_entry ─ledger
 *
 * Stages do not know each other; runtime/engine wires them. Everything here is plain data that borrows
 * from the program, the record or the engine; nothing here is freed.
 */
#ifndef MP_SCHEMA_FLOW_H
#define MP_SCHEMA_FLOW_H

#include "schema/value.h"

struct mp_program;

/* ingest → window: one event. `field` and `known` have one slot and one bit for every field that the
 * program reads of this signal (program/tables.def: field). */
struct mp_record {
    uint64_t number;    /* in order of arrival, from 1 */
    int64_t time_ns;    /* event time, since the epoch */
    uint32_t signal;    /* row of the program's signal table */
    uint32_t layer;     /* one MP_LAYER_ bit */
    uint32_t source;    /* which input it came from; silence is told per source (R6) */
    int64_t weight;     /* sampling (R9), 1 where the proxy says nothing */
    mp_str refused_by;  /* the rule of ours that refused this request, else empty */
    uint64_t *known;
    struct mp_value *field;
};

/* What generated code and the interpreter read. Either pair may be NULL where a function has no such
 * input. JIT reads the members at their offsets: moving one fails the build (eval/exec.h). */
struct mp_inputs {
    const uint64_t *record_known;
    const struct mp_value *record;
    const uint64_t *row_known;
    const struct mp_value *row;
    const struct mp_value *consts;
    const struct mp_value *params;
    const struct mp_program *program;
    void *scratch; /* memory of `lower`; reset per call of a unit (eval/exec.h) */
};

/* What they write: output i is known if bit i of `known` is set; a truth is bit i of `truth` (clear
 * where unknown); any other value is value[i] (zeros where unknown). */
struct mp_outputs {
    uint64_t *known;
    uint64_t *truth;
    struct mp_value *value;
};

/* window → eval: the cells of one key of one grouping. */
struct mp_row {
    uint32_t grouping; /* row of the program's grouping table */
    uint32_t key;      /* slot of the key; stable while the key lives */
    uint64_t *known;
    struct mp_value *cell;
};

/* eval → decide: the rules of one unit for one key. Neither bit set in both: unknown. */
struct mp_hits {
    uint32_t unit;
    uint32_t key;
    uint64_t truth;
    uint64_t known;
};

#endif
