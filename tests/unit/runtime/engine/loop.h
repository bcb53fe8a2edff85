/* SPDX-License-Identifier: Apache-2.0
 * loop.h - a closed loop for tests: policy text in, records in, transitions out, on a virtual
 * clock.
 */
#ifndef TEST_LOOP_H
#define TEST_LOOP_H

#include "driver/driver.h"
#include "engine/engine.h"
#include "ingest/ingest.h"

#define SEC 1000000000LL
#define T0 (1700000000LL * SEC)

struct loop {
    struct mp_os os;
    struct mp_arena arena;
    struct mp_program *program, *old;
    struct mp_engine *engine;
    struct mp_ingest *ingest;
    char *log; /* one line a transition: `12.5 incident RULE KEY from>to why` */
    size_t log_len;
    int inline_done, inline_passed; /* actions of inline rules, carried out or passed over */
    int64_t t; /* seconds since T0, in ns */
};

/* A ladder of two rungs, whose checks may fail: what the closed loop is about. */
extern const char *const loop_ladder;

/* Compiles and starts; fails the test with the messages where the policy has errors. */
void loop_open(struct loop *l, const char *policy, bool with_tests, enum mp_engine_clock clock);
void loop_open_with(struct loop *l, const char *policy, bool with_tests,
                    const struct mp_engine_options *options);
/* Compiles another policy; the caller swaps it in. */
struct mp_program *loop_compile(struct loop *l, const char *policy, bool with_tests);
void loop_close(struct loop *l);
/* Time goes to `seconds` after T0. */
void loop_at(struct loop *l, double seconds);
/* A line of telemetry or inventory, with its time filled in: a JSON object without `time`. */
void loop_line(struct loop *l, const char *json);
/* `count` requests to `service` spread over [from, to), `bad` of every 100 with status 503. */
void loop_traffic(struct loop *l, const char *service, const char *client, double from, double to,
                  int per_second, int bad_percent);
/* Sets a def or gauge for a key from now on (the policy was compiled with tests): a literal of
 * its type, or `absent`, or `unknown`. */
void loop_set(struct loop *l, const char *def, const char *key, const char *value);
/* Does a line of the log contain all of this text? */
bool loop_saw(const struct loop *l, const char *text);
/* How many lines do. */
int loop_count(const struct loop *l, const char *text);
/* Text and place where it first occurs after `after`; NULL: nowhere. */
const char *loop_after(const char *after, const char *text);
/* The test fails, and shows the log, where a line that contains this is not there, is there, is not
 * there so often; or where the texts, the last of them NULL, do not come in this order. */
void saw(const struct loop *l, const char *text);
void saw_not(const struct loop *l, const char *text);
void saw_times(const struct loop *l, const char *text, int times);
void saw_in_order(const struct loop *l, ...);
/* The same with words of the caller's. */
_Noreturn void missing(const struct loop *l, const char *how, const char *wanted);

/* Opens one whose values are set by hand. */
void test_loop(struct loop *l, const char *policy);
/* Another program is in force from now on. */
void swap(struct loop *l, const char *policy);

#endif
