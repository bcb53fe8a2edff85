/* SPDX-License-Identifier: Apache-2.0 */
#include "jit/jit_priv.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* LIMIT: ops of functions that are asked for every record; larger programs stay with code that
 * was made fast: more would keep a processor busy for seconds. */
#define HOT_OPS_MAX 40000u

/* Two steps: at first all functions, as fast as they can be compiled; then those that every
 * record asks for, as well as is worth while. Both stay until the job ends, since somebody may be
 * inside. */
struct step {
    struct jit_code *code;
    struct mp_native native;
};

struct mp_jit_job {
    const struct mp_program *p;
    pthread_t thread;
    bool joined;
    struct step first, second;
    bool *wanted;
    mp_native_fn *merged; /* the table of the second step */
    char *why;
    _Atomic bool ended;
    int64_t compile_ns;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void put_in_force(struct mp_jit_job *job, struct step *step, const mp_native_fn *fns)
{
    step->native = (struct mp_native){.fn_count = job->p->fn_count, .fns = fns, .owner = job};
    atomic_store_explicit(&job->p->exec->native, &step->native, memory_order_release);
}

/* The functions of units, holds and columns; clauses are asked for open incidents only. */
static uint32_t mark_hot(const struct mp_program *p, bool *hot)
{
    uint32_t ops = 0;
    memset(hot, 0, p->fn_count * sizeof *hot);
    for (uint32_t i = 0; i < p->unit_count; i++) hot[p->unit[i].fn] = true;
    for (uint32_t i = 0; i < p->hold_count; i++) hot[p->hold[i].fn] = true;
    for (uint32_t i = 0; i < p->column_count; i++) {
        if (p->column[i].fn != MP_NONE) hot[p->column[i].fn] = true;
    }
    for (uint32_t i = 0; i < p->fn_count; i++) ops += hot[i] ? p->fn[i].ops_count : 0;
    return ops;
}

static void first_step(struct mp_jit_job *job)
{
    const mp_native_fn *fns = NULL;
    memset(job->wanted, 1, job->p->fn_count * sizeof *job->wanted);
    job->first.code = jit_native(job->p, job->wanted, false, &fns, &job->why);
    if (job->first.code != NULL) put_in_force(job, &job->first, fns);
}

/* Where it fails, what the first step made stays in force. */
static void second_step(struct mp_jit_job *job)
{
    const mp_native_fn *fns = NULL;
    char *why = NULL;
    if (job->first.code == NULL || mark_hot(job->p, job->wanted) > HOT_OPS_MAX) return;
    job->second.code = jit_native(job->p, job->wanted, true, &fns, &why);
    free(why);
    if (job->second.code == NULL) return;
    for (uint32_t i = 0; i < job->p->fn_count; i++) {
        job->merged[i] = fns[i] != NULL ? fns[i] : job->first.native.fns[i];
    }
    put_in_force(job, &job->second, job->merged);
}

static void *run(void *arg)
{
    struct mp_jit_job *job = arg;
    int64_t from = now_ns();
    first_step(job);
    second_step(job);
    if (job->first.code != NULL) job->compile_ns = now_ns() - from;
    atomic_store(&job->ended, true);
    return NULL;
}

static void release(struct mp_jit_job *job)
{
    jit_native_free(job->second.code);
    jit_native_free(job->first.code);
    free(job->merged);
    free(job->wanted);
    free(job->why);
    free(job);
}

static struct mp_jit_job *start(const struct mp_program *p)
{
    struct mp_jit_job *job = calloc(1, sizeof *job);
    if (job == NULL) return NULL;
    job->p = p;
    job->wanted = calloc(p->fn_count + 1, sizeof *job->wanted);
    job->merged = calloc(p->fn_count + 1, sizeof *job->merged);
    bool room = job->wanted != NULL && job->merged != NULL;
    if (room && pthread_create(&job->thread, NULL, run, job) == 0) return job;
    release(job);
    return NULL;
}

static void join(struct mp_jit_job *job)
{
    if (!job->joined) pthread_join(job->thread, NULL);
    job->joined = true;
}

static enum mp_err wait_for(struct mp_jit_job *job, const char **why)
{
    join(job);
    if (job->first.code != NULL) return MP_OK;
    if (why != NULL) *why = job->why != NULL ? job->why : "out of memory";
    return MP_EUNSUPPORTED;
}

static bool ended(struct mp_jit_job *job, int64_t *compile_ns)
{
    if (!atomic_load(&job->ended)) return false;
    if (compile_ns != NULL) *compile_ns = job->compile_ns;
    return true;
}

static void take_out(struct mp_jit_job *job, const struct mp_native *ours)
{
    atomic_compare_exchange_strong(&job->p->exec->native, &ours, NULL);
}

static void end(struct mp_jit_job *job)
{
    if (job == NULL) return;
    join(job);
    take_out(job, &job->first.native);
    take_out(job, &job->second.native);
    release(job);
}

const struct mp_jit_ops *mpol_jit(void)
{
    static struct mp_jit_ops ops = {.start = start, .wait = wait_for, .ended = ended, .end = end};
    ops.layout = mp_layout_mark();
    return &ops;
}
