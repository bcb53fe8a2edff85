/* SPDX-License-Identifier: Apache-2.0
 * bench.h - what the benches share: their one form of output, clocks, compiled policies, records.
 *
 * A bench prints a JSON line a figure: name, value, unit, and with what else of the same run it is
 * compared. Only the ratio says something on a shared machine; run.sh holds it against
 * thresholds.txt. Whatever goes wrong ends the program with status 2: a bench that does not
 * measure is not a result.
 */
#ifndef BENCH_H
#define BENCH_H

#include "engine/engine.h"
#include "ingest/ingest.h"

/* value / other; `vs` names the other, NULL: the figure stands alone. */
void bench_say(const char *name, double value, const char *unit, const char *vs, double ratio);
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

double bench_cpu_ns(void);  /* of this thread */
double bench_wall_ns(void);
double bench_median(double *values, int count); /* sorts them */
double bench_percentile(double *sorted, size_t count, double share);
void bench_sort(double *values, size_t count);
/* Smaller work where the environment has BENCH_QUICK, for the smoke test. */
bool bench_quick(void);

const struct mp_os *bench_os(void);
struct mp_program *bench_compile(const char *policy);
/* Native code of the program, awaited; false: this build has none. */
bool bench_native(struct mp_program *p);
void bench_native_end(struct mp_program *p);

/* Decoded records: everything a line says, owned by the arena. */
struct bench_records {
    struct mp_arena arena;
    struct mp_record *record;
    uint32_t count;
};
/* Decodes `count` lines that `line` writes (its answer is the length). */
void bench_decode(struct bench_records *out, const struct mp_program *p, uint32_t count,
                  size_t (*line)(uint32_t number, char *out, size_t size));
void bench_records_free(struct bench_records *r);

#endif
