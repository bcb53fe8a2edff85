/* SPDX-License-Identifier: Apache-2.0
 * run_diff.c - three executors on random policies and records: the slow evaluator, the
 * interpreter, and native code where it was built. They must agree on every truth and every
 * value, bit for bit.
 *
 *   test_diff_executors [--seed N] [--batches N] [--native N] [--rules N] [--events N] [--only
 *   BATCH] [--jobs N]
 *
 * A difference is made small (one rule, as few records as will do) and printed with the command
 * that repeats it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff.h"

#define JOBS_MAX 64

static void batch(const struct diff_options *o, uint32_t number, struct diff_totals *totals)
{
    static struct diff_run r;
    static uint8_t out[DIFF_RULES_MAX];
    memset(out, 0, sizeof out);
    bool ok = diff_batch(&r, o, number, out, NULL, number >= o->native, totals);
    uint32_t left = 0;
    for (uint32_t i = 0; i < o->rules; i++) left += out[i];
    totals->rules += o->rules - left;
    totals->refused += left;
    if (r.p == NULL) {
        printf("diff: seed %llu batch %u: %s\n", (unsigned long long)o->seed, number, r.what);
        totals->differences++;
        return;
    }
    char name[32];
    snprintf(name, sizeof name, "%.*s", MP_STR_ARG(diff_rule_name(&r, r.rule)));
    bool no_native = !r.of_native;
    if (!ok) {
        printf("diff: seed %llu batch %u rule %s event %u: %s\n", (unsigned long long)o->seed,
               number, name, r.event, r.what);
        fflush(stdout);
    }
    diff_batch_end(&r);
    if (ok) return;
    totals->differences++;
    diff_tell(o, number, out, r.event, mp_str_of(name), no_native);
}

static uint64_t number(int argc, char **argv, const char *name, uint64_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) return strtoull(argv[i + 1], NULL, 0);
    }
    return otherwise;
}

static void work(const struct diff_options *o, uint32_t job, struct diff_totals *totals)
{
    for (uint32_t b = job; b < o->batches && totals->differences < 5; b += o->jobs) {
        if (o->only >= 0 && b != (uint32_t)o->only) continue;
        if (o->verbose) fprintf(stderr, "batch %u\n", b);
        batch(o, b, totals);
    }
}

static void add(struct diff_totals *to, const struct diff_totals *from)
{
    const uint64_t *a = (const uint64_t *)(const void *)from;
    uint64_t *b = (uint64_t *)(void *)to;
    for (size_t i = 0; i < sizeof *to / sizeof *b; i++) b[i] += a[i];
}

static bool run_jobs(const struct diff_options *o, struct diff_totals *totals)
{
    int pipes[JOBS_MAX];
    pid_t pids[JOBS_MAX];
    for (uint32_t j = 0; j < o->jobs; j++) {
        int ends[2];
        if (pipe(ends) != 0) return false;
        fflush(stdout);
        pids[j] = fork();
        if (pids[j] < 0) return false;
        if (pids[j] == 0) {
            struct diff_totals mine = {0};
            close(ends[0]);
            work(o, j, &mine);
            fflush(stdout);
            _exit(write(ends[1], &mine, sizeof mine) == (ssize_t)sizeof mine ? 0 : 1);
        }
        close(ends[1]);
        pipes[j] = ends[0];
    }
    bool ok = true;
    for (uint32_t j = 0; j < o->jobs; j++) {
        struct diff_totals one = {0};
        int status = 0;
        ok &= read(pipes[j], &one, sizeof one) == (ssize_t)sizeof one;
        ok &= waitpid(pids[j], &status, 0) == pids[j] && status == 0;
        if (status != 0) printf("diff: a job ended with status 0x%x\n", (unsigned)status);
        add(totals, &one);
    }
    return ok;
}

int main(int argc, char **argv)
{
    struct diff_options o = {
        .seed = number(argc, argv, "--seed", 1),
        .batches = (uint32_t)number(argc, argv, "--batches", 180),
        .native = (uint32_t)number(argc, argv, "--native", 170),
        .rules = (uint32_t)number(argc, argv, "--rules", 120),
        .events = (uint32_t)number(argc, argv, "--events", 110),
        .jobs = (uint32_t)number(argc, argv, "--jobs", 2),
        .only = (int64_t)number(argc, argv, "--only", UINT64_MAX),
        .verbose = getenv("DIFF_VERBOSE") != NULL,
    };
    if (o.rules > DIFF_RULES_MAX || o.events > DIFF_EVENTS_MAX) return 2;
    if (o.jobs < 1 || o.jobs > JOBS_MAX) return 2;
    if (o.only >= 0) {
        o.jobs = 1;
        o.batches = (uint32_t)o.only + 1;
    }
    struct diff_totals t = {0};
    bool ok = true;
    diff_world();
    printf("diff: seed %llu\n", (unsigned long long)o.seed);
    if (o.only >= 0) work(&o, 0, &t);
    else ok = run_jobs(&o, &t);
#ifndef MP_DIFF_JIT
    printf("diff: built without native code: it is left out, two executors agree\n");
#endif
    printf(
        "diff: %llu programs (%llu refused by the compiler), %llu records, %llu truths "
        "(%llu false, %llu true, %llu unknown), %llu values, %llu not modelled, "
        "%llu functions native in %.1f s, %llu differences\n",
        (unsigned long long)t.rules, (unsigned long long)t.refused, (unsigned long long)t.records,
        (unsigned long long)t.truths, (unsigned long long)t.by_truth[0],
        (unsigned long long)t.by_truth[1], (unsigned long long)t.by_truth[2],
        (unsigned long long)t.values, (unsigned long long)t.unsure,
        (unsigned long long)t.native_fns, (double)t.native_ns / 1e9,
        (unsigned long long)t.differences);
    return ok && t.differences == 0 ? 0 : 1;
}
