/* SPDX-License-Identifier: Apache-2.0
 * slow.h - the slow and obvious evaluator: what language.md says, over the typed tree, with a plain
 * list of all records. It keeps no window, no pane and no total; every aggregate is counted anew.
 *
 * Owns:    copies of nothing: records and entities belong to the caller, who only adds to them.
 * Callers: tests/diff. One thread.
 * Written apart from compiler/lower and runtime/eval: where they and this file differ, one is
 * wrong.
 */
#ifndef MP_TEST_SLOW_H
#define MP_TEST_SLOW_H

#include "check/typed.h"

/* A value, or unknown. The representation is that of the expression's type. */
struct slow_value {
    bool known;
    struct mp_value v;
};

struct slow_entry {
    mp_str name;
    struct slow_value value;
};
#define SLOW_ENTRIES_MAX 4

/* A field: its value, or for a map its entries. */
struct slow_field {
    struct slow_value value;
    struct slow_entry entries[SLOW_ENTRIES_MAX];
    uint32_t entry_count;
};

struct slow_record {
    uint64_t number;
    const struct mp_t_signal *signal;
    int64_t time_ns;  /* event time */
    int64_t heard_ns; /* now, when it arrived */
    uint32_t layer;
    int64_t weight;
    bool heard;    /* its source counts as alive from here on */
    bool admitted; /* neither late nor a duplicate */
    bool last;     /* late, and of a gauge: only its last value */
    struct slow_value *keys;   /* one a key of the signal */
    struct slow_field *fields; /* one a field of the signal */
};

/* What an inventory line says of one attribute. */
struct slow_attr {
    const struct mp_t_attr *attr;
    struct mp_value key;
    mp_str entry; /* of a map */
    struct slow_value value;
};

struct slow_world {
    const struct mp_typed *typed;
    struct slow_record *records;
    uint32_t record_count;
    struct slow_attr *attrs;
    uint32_t attr_count;
    const struct slow_value *params; /* one a parameter; unknown: as the policy says */
    int64_t now_ns;
    /* keys of a record are those of its arrival: only records up to this one; 0: all */
    uint64_t as_of;
    bool always_alive;
    struct mp_arena *arena; /* for sets and lower-case texts */
    enum mp_match (*regex)(void *ctx, mp_str pattern, mp_str subject);
    void *regex_ctx;
    bool unsure; /* something was asked that this evaluator does not model */
};

/* How windows are read, and for whom. */
struct slow_ask {
    const struct slow_record *record; /* at hand, or NULL */
    const struct slow_value *row;     /* values of the row's keys */
    uint32_t row_count;
    bool settled;     /* verify, until: up to the watermark (R2) */
    int64_t since_ns; /* verify, harm: windows begin here (R39); 0: none */
};

struct slow_value slow_eval(struct slow_world *w, const struct slow_ask *ask,
                            const struct mp_t_expr *e);
enum mp_truth slow_truth(struct slow_world *w, const struct slow_ask *ask,
                         const struct mp_t_expr *e);
/* Where a walk leads. */
struct slow_value slow_walk(struct slow_world *w, const struct slow_ask *ask,
                            const struct mp_t_walk *walk);
/* What a record has for a key of a grouping. */
struct slow_value slow_record_key(struct slow_world *w, const struct slow_record *r,
                                  const struct mp_t_key *key);

/* ---- between the two files ---- */

/* The state of an evaluation that its parts see. */
struct slow_at {
    const struct slow_ask *ask;
    const struct slow_value *member; /* of count(m of SET where ...), or NULL */
    /* R5: larger values of what stands here can only confirm (1), refute (-1), neither (0) */
    int sign;
};
struct slow_value slow_expr(struct slow_world *w, const struct slow_at *at,
                            const struct mp_t_expr *e);
struct slow_value slow_agg(struct slow_world *w, const struct slow_at *at,
                           const struct mp_t_expr *e);
bool slow_agg_absent(struct slow_world *w, const struct slow_at *at, const struct mp_t_expr *e);
bool slow_silent(const struct slow_world *w, const struct mp_t_signal *signal);
struct slow_value slow_way(struct slow_world *w, const struct slow_at *at,
                           const struct mp_t_walk *walk);
enum mp_rep slow_rep(struct mp_t_type t);
bool slow_same(enum mp_rep rep, struct mp_value a, struct mp_value b);

#endif
