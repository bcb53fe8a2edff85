/* SPDX-License-Identifier: Apache-2.0
 * diff.h - one batch of random rules, judged by three executors that must agree.
 *
 *   batch.c    compiles the rules, makes what they run on, plays the events
 *   play.c     one event after the other through the window
 *   judge.c    what is asked of all executors for a record and for a row
 *   compare.c  their answers, bit for bit
 *   shrink.c   the same difference with fewer rules and events
 *   tell.c     a difference for a reader
 *
 * Owns:    struct diff_run, with all that a batch needs; hundreds of kilobytes, so keep it static.
 * Callers: run_diff.c. One thread; several jobs are several processes.
 */
#ifndef MP_TEST_DIFF_H
#define MP_TEST_DIFF_H

#include "driver/driver.h"
#include "eval/eval.h"
#include "gen.h"
#include "window/window.h"

#define DIFF_RULES_MAX 1024
#define DIFF_EVENTS_MAX 1000
#define DIFF_OUTS_MAX 4096
#define DIFF_CELLS_MAX 16384

/* What the command line says. */
struct diff_options {
    uint64_t seed;
    /* `native`: so many of the batches go native too */
    uint32_t batches, native, rules, events, jobs;
    int64_t only; /* this batch alone; -1: all */
    bool verbose;
};

/* What was done, over batches and jobs. Words only: jobs are added up word by word. */
struct diff_totals {
    uint64_t rules, refused, records, truths, values, by_truth[3], unsure, native_ns, native_fns,
        differences;
};

/* All outputs of a function. */
struct diff_answers {
    uint64_t known[DIFF_OUTS_MAX / 64], truth[DIFF_OUTS_MAX / 64];
    struct mp_value value[DIFF_OUTS_MAX];
};

/* What a function reads: a record's fields, or a row's columns. */
struct diff_cells {
    uint64_t known[DIFF_CELLS_MAX / 64];
    struct mp_value cell[DIFF_CELLS_MAX];
};

/* A compiled batch, both ways of looking at it, and what has happened so far. */
struct diff_run {
    struct mp_arena arena, per_event;
    struct mp_compilation *compilation;
    const struct mp_typed *typed;
    struct mp_program *p; /* NULL: the batch did not compile */
    struct mp_inventory *inventory;
    struct mp_window *window;
    struct slow_world world;
    struct gen_event *events;
    const uint8_t *events_out; /* events that are left out; NULL: none */
    struct diff_totals *totals;
    uint64_t rng;
    bool no_native, live;
    /* of the question at hand */
    struct mp_eval_scratch scratch;
    struct diff_cells record, row;
    struct diff_cells with_record;   /* the columns that rules on a record read */
    struct diff_answers interpreted; /* of the function that was asked last */
    struct diff_answers unit;        /* of the unit whose rules are looked at */
    /* the difference that was found, the first one */
    bool differs, of_native;
    uint32_t rule, event;
    char what[2048];
};

/* ---- batch.c ---- */

/* The world of programs here: regular expressions, and a clock that stands still. Once, first. */
void diff_world(void);

/* Compiles and plays a batch. `out`: rules that are left out; grows by those that the compiler
 * refuses. `events_out`: events that are left out, borrowed; NULL: none. False: a difference, told
 * in r. To be ended, if r->p is there. */
bool diff_batch(struct diff_run *r, const struct diff_options *o, uint32_t batch, uint8_t *out,
                const uint8_t *events_out, bool no_native, struct diff_totals *totals);
void diff_batch_end(struct diff_run *r);

/* Which rules a batch has: `out` as above, borrowed. */
struct gen_batch diff_rules(const struct diff_options *o, uint32_t batch, const uint8_t *out);
/* `r17` is rule 17 of its batch. */
mp_str diff_rule_name(const struct diff_run *r, uint32_t rule);
uint32_t diff_rule_number(mp_str name);

/* ---- play.c ---- */

/* The first `events` events, up to a difference. */
void diff_play(struct diff_run *r, uint32_t events);

/* ---- judge.c ---- */

/* The rules that are judged on a record, before the window has it. */
void diff_judge_record(struct diff_run *r, uint32_t event, const struct mp_record *record,
                       const struct slow_record *rec);
/* The rules that are judged on a row; the last three are NULL at a tick. */
void diff_judge_row(struct diff_run *r, uint32_t event, uint32_t grouping, uint32_t key,
                    const struct mp_record *record, const struct mp_outputs *outputs,
                    const struct slow_record *rec);

/* ---- compare.c ---- */

/* Remembers a difference; the first one stays. */
void diff_found(struct diff_run *r, uint32_t rule, uint32_t event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Interpreter and native code: all outputs of a function. They are in r->interpreted then. */
void diff_both(struct diff_run *r, uint32_t fn, const struct mp_inputs *in, uint32_t rule,
               uint32_t event);
/* What the slow evaluator says of a clause, against output `i` of the interpreter's answers. */
void diff_truth(struct diff_run *r, uint32_t rule, uint32_t event, const char *clause,
                enum mp_truth slow, const struct diff_answers *fast, uint32_t i);
/* What the slow evaluator says of an expression, against output 0 of r->interpreted. */
void diff_value(struct diff_run *r, uint32_t rule, uint32_t event, const struct mp_t_expr *e,
                struct slow_value slow);
struct mp_outputs diff_outputs(struct diff_answers *a);

/* ---- shrink.c, tell.c ---- */

/* Adds to both lists what can be spared without losing the difference. `last_event`: the
 * event at which it showed; `rule`: the name of its rule. */
void diff_shrink(const struct diff_options *o, uint32_t batch, uint8_t *out, uint8_t *events_out,
                 uint32_t last_event, mp_str rule, bool no_native);
/* Makes the difference small and prints it. */
void diff_tell(const struct diff_options *o, uint32_t batch, uint8_t *out, uint32_t last_event,
               mp_str rule, bool no_native);

#endif
