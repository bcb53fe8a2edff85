/* SPDX-License-Identifier: Apache-2.0
 * test_run.h - one `test` of a policy on the virtual clock: what it sets and sends, what then
 * happened, and which expectations were met (language.md R46, R47).
 */
#ifndef MP_CLI_TEST_RUN_H
#define MP_CLI_TEST_RUN_H

#include "base/vec.h"
#include "cli/cli.h"
#include "engine/engine.h"

enum test_seen_kind { SEEN_STATE, SEEN_LEASE, SEEN_MESSAGE, SEEN_INLINE };

/* Something that happened. All texts lie in the run's arena. */
struct test_seen {
    enum test_seen_kind kind;
    int64_t at_ns; /* from the start of the test */
    mp_str word;   /* the state, or the verb */
    mp_str why;    /* the cause in a word */
    mp_str rule, key, target;
    struct mp_note *args;
    uint32_t arg_count;
    bool shadow;
    mp_str line; /* as shown in a time line */
};

struct test_miss {
    uint32_t line;  /* row of test_line */
    mp_str nearest; /* what came closest, as shown; empty: nothing of its kind happened */
    int64_t near_ns; /* where in the time line to look */
};

struct test_result {
    mp_str package, name, file;
    uint32_t file_line;
    MP_VEC(struct test_seen) seen;
    MP_VEC(struct test_miss) misses;
};

/* Runs row `test` of an image. Everything lies in `arena`. MP_ENOMEM, MP_ELIMIT. */
enum mp_err test_run(mp_str image, const struct mp_os *os, uint32_t test, struct mp_arena *arena,
                     struct mp_program **program, struct test_result *out);

/* `1m30s`, `250ms`: a time from the start of a test. */
void test_time_text(struct mp_buf *out, int64_t ns);

#endif
