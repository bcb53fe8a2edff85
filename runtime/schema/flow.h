/* SPDX-License-Identifier: Apache-2.0
 * flow.h - the batons: what one stage hands to the next. Read this first, then walk the folders.
 *
 *   bytes ─ingest→ mp_record ─window→ mp_row ─eval→ mp_hits ─decide→ mp_decision ─act→ mp_lease
 *     ─backend→ mesh;   later rows ─verify→ mp_verdict ─act→ …;
 *   every transition → mp_entry ─ledger
 *
 * Stages do not know each other; runtime/engine wires them. Everything here is plain data that
 * borrows from the program, the record or the engine; nothing here is freed.
 */
#ifndef MP_SCHEMA_FLOW_H
#define MP_SCHEMA_FLOW_H

#include "schema/value.h"

struct mp_program;
struct mp_inputs;

/* An operation that is not worth generating, of known operands; `k` is the table row or the small
 * number among them. False: the result is unknown, and *out holds zeros (eval/exec.h). */
typedef bool (*mp_op_helper)(const struct mp_inputs *in, uint32_t k, const struct mp_value *a,
                             const struct mp_value *b, const struct mp_value *c,
                             struct mp_value *out);

/* ingest → window: one event. `field` and `known` have one slot and one bit for every field that
 * the program reads of this signal (program/tables.def: field). */
struct mp_record {
    uint64_t number;    /* in order of arrival, from 1 */
    int64_t time_ns;    /* event time, since the epoch */
    uint32_t signal;    /* row of the program's signal table */
    uint32_t layer;     /* one MP_LAYER_ bit */
    uint32_t source;    /* which input it came from; silence is told per source (R6) */
    int64_t weight;     /* sampling (R9), 1 where the proxy says nothing */
    mp_str refused_by;  /* the rule of ours that refused this request, else empty */
    uint64_t id;        /* keyed hash of the record's `id` (R9), 0: it has none */
    uint64_t *known;
    struct mp_value *field;
};

/* What generated code and the interpreter read. Either pair may be NULL where a function has no
 * such input. JIT reads the members at their offsets: moving one fails the build (eval/exec.h). */
struct mp_inputs {
    const uint64_t *record_known;
    const struct mp_value *record;
    const uint64_t *row_known;
    const struct mp_value *row;
    const struct mp_value *consts;
    const struct mp_value *params;
    const struct mp_program *program;
    void *scratch; /* struct mp_eval_scratch, the memory of `lower`; NULL where nothing needs it */
    const mp_op_helper *helpers; /* mp_exec_helpers, one an op, for generated code */
};

/* What they write: output i is known if bit i of `known` is set; a truth is bit i of `truth` (clear
 * where unknown); any other value is value[i] (zeros where unknown; left alone for a truth).
 * Every word of `known` and `truth` that has an output is written whole. `value` may be NULL if
 * all are truths. */
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

/* ---- decide, act, verify ---- */

/* The most that one lease carries; the compiler refuses what needs more (LIMIT). */
#define MP_LEASE_ARGS_MAX 8
#define MP_LEASE_TEXT_MAX 384 /* bytes of target and text arguments that do not fit in a value */

/* An argument of an action, computed when its incident took the step. */
struct mp_lease_arg {
    mp_str name; /* borrows the program */
    uint32_t type; /* enum mp_type */
    bool known;
    struct mp_value value;
};

/* What an action is done to. `value` is the entity's key, an address, an identity, a number; for
 * kind MP_TARGET_RECORD the record at hand, for MP_TARGET_NONE nothing. */
struct mp_lease_target {
    uint32_t kind;   /* enum mp_target */
    uint32_t entity; /* row of entity, or MP_NONE */
    uint32_t type;   /* enum mp_type */
    struct mp_value value;
    uint32_t bits;   /* of a range (type CIDR): its prefix, as in mp_value_address; 0: one key */
};

/* hits → decide: one rung of one incident asks to be enforced. Nothing of it is in force yet. */
struct mp_decision {
    uint64_t incident;
    uint32_t rule; /* row of rule */
    uint32_t step; /* row of step */
    uint32_t rung; /* from 1 */
    bool shadow;
    int64_t now_ns, mono_ns;
};

/* What is in force, or wants to be: one desired change of the mesh that an incident holds, with an
 * end. Never a command: a backend is told the leases that are to be in force and makes it so.
 * Text in it borrows `text` or the program, so a lease is not moved while somebody reads it. */
struct mp_lease {
    uint64_t id;       /* from 1, in order of decision */
    uint64_t incident; /* id of the incident that holds it */
    uint32_t rule;     /* row of rule; MP_NONE: an operator's decision */
    uint32_t rung;     /* from 1 */
    uint32_t act;      /* row of act, or MP_NONE */
    uint32_t action;   /* row of action: its name is the verb */
    uint32_t class;    /* enum mp_class */
    uint32_t strength;
    int64_t priority;  /* of the rule */
    uint32_t hooks;    /* MP_LAYER_ bits */
    bool shadow;       /* R42: never reaches a backend */
    bool idle;         /* nothing in the mesh carries it now: it takes nothing from others */
    struct mp_lease_target target;
    struct mp_lease_arg args[MP_LEASE_ARGS_MAX]; /* as decided */
    uint32_t arg_count;
    int64_t ttl_ns;    /* from accepted, on the monotonic clock */
    double given_back; /* R27: the part that a ramp has taken back, 0 full strength */
    char text[MP_LEASE_TEXT_MAX];
    uint32_t text_len;
};

/* verify → act. */
enum mp_verdict_kind {
    MP_VERDICT_NONE, /* not yet */
    MP_VERDICT_CONFIRMED,
    MP_VERDICT_FAILED,
    MP_VERDICT_HARMFUL,
    MP_VERDICT_INCONCLUSIVE
};

struct mp_verdict {
    enum mp_verdict_kind kind;
    uint64_t incident;
    int64_t at_ns; /* event time */
};

/* A message on its way out: written to the store first, sent at least once with one `id` (R33). */
struct mp_message {
    uint64_t id;       /* of its own, unique in this ledger: the idempotency key is made of it */
    uint64_t incident; /* 0: of an inline or event rule */
    uint32_t rule;     /* row of rule */
    mp_str verb;       /* `notify`, `page`, `audit` */
    mp_str channel;    /* as the rule names it; empty: the default of the verb */
    mp_str text;
    mp_str key;        /* what the rule ran for */
    mp_str rule_name;
    int64_t time_ns;
};

enum mp_machine { MP_MACHINE_INCIDENT, MP_MACHINE_LEASE };

/* A name and a text, for arguments and causes. */
struct mp_note {
    mp_str name, value;
};

#define MP_ENTRY_NOTES_MAX 16

/* Every transition → ledger. Texts borrow and live until the call returns. `verb` and `target` are
 * empty, `lease` is 0 for an incident. */
struct mp_entry {
    uint64_t seq; /* from 1, no gap; the ledger gives it */
    int64_t time_ns;
    enum mp_machine machine;
    mp_str rule, key;
    uint64_t incident;
    uint32_t rung; /* from 1; 0 before the first */
    uint64_t lease;
    mp_str verb, target;
    struct mp_note args[MP_LEASE_ARGS_MAX];
    uint32_t arg_count;
    mp_str from, to; /* names of states */
    /* the cause in a word: `calm`, `expired`, `cancelled`, `withheld`, ... or empty */
    mp_str why;
    struct mp_note cause[MP_ENTRY_NOTES_MAX]; /* values with units, windows, samples */
    uint32_t cause_count;
    bool shadow;
};

#endif
