/* SPDX-License-Identifier: Apache-2.0 */
#include "jit/jit_priv.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mp_jit_job {
    const struct mp_program *p;
    pthread_t thread;
    bool joined;
    struct jit_code *code;
    struct mp_native native;
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

static void *run(void *arg)
{
    struct mp_jit_job *job = arg;
    int64_t from = now_ns();
    const mp_native_fn *fns = NULL;
    job->code = jit_native(job->p, &fns, &job->why);
    if (job->code != NULL) {
        job->native = (struct mp_native){.fn_count = job->p->fn_count, .fns = fns, .owner = job};
        job->compile_ns = now_ns() - from;
        atomic_store_explicit(&job->p->exec->native, &job->native, memory_order_release);
    }
    atomic_store(&job->ended, true);
    return NULL;
}

static struct mp_jit_job *start(const struct mp_program *p)
{
    struct mp_jit_job *job = calloc(1, sizeof *job);
    if (job == NULL) return NULL;
    job->p = p;
    if (pthread_create(&job->thread, NULL, run, job) != 0) {
        free(job);
        return NULL;
    }
    return job;
}

static void join(struct mp_jit_job *job)
{
    if (!job->joined) pthread_join(job->thread, NULL);
    job->joined = true;
}

static enum mp_err wait_for(struct mp_jit_job *job, const char **why)
{
    join(job);
    if (job->code != NULL) return MP_OK;
    if (why != NULL) *why = job->why != NULL ? job->why : "out of memory";
    return MP_EUNSUPPORTED;
}

static bool ended(struct mp_jit_job *job, int64_t *compile_ns)
{
    if (!atomic_load(&job->ended)) return false;
    if (compile_ns != NULL) *compile_ns = job->compile_ns;
    return true;
}

static void end(struct mp_jit_job *job)
{
    if (job == NULL) return;
    join(job);
    const struct mp_native *ours = &job->native;
    atomic_compare_exchange_strong(&job->p->exec->native, &ours, NULL);
    jit_native_free(job->code);
    free(job->why);
    free(job);
}

const struct mp_jit_ops *mpol_jit(void)
{
    static struct mp_jit_ops ops = {.start = start, .wait = wait_for, .ended = ended, .end = end};
    ops.layout = mp_layout_mark();
    return &ops;
}
