/* SPDX-License-Identifier: Apache-2.0
 * The example of docs/EMBEDDING.md: two threads answer requests, one steps the loop; messages and
 * one verb go to code of our own. Prints what happened; exit 0 if the loop closed.
 */
#include <mpol/mpol.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

static const char policy[] =
    "mpol 1\n"
    "package guide\n"
    "use std.mesh\n"
    "rule guesses \"Many failed logins from one address\"\n"
    "  when count(requests where path == \"/login\" and status == 401) over 10s >= 10\n"
    "    per client.ip max 10k\n"
    "  then deny client.ip for 1m and notify \"guesses from {client.ip}\" via chat\n"
    "    verify count(requests where path == \"/login\" and status == 401) "
    "over 1s == 0 within 10s\n"
    "rule slow when p99_latency > 500ms for 2s\n"
    "  then cap svc to 10 for 1m\n"
    "never deny request where request.path == \"/healthz\"\n";

static struct mpol_engine *engine;
static pthread_mutex_t engine_lock = PTHREAD_MUTEX_INITIALIZER; /* verdicts never take it */
static uint32_t service, client, path, status, latency;
static atomic_bool running = true;
static atomic_uint reached[2], refused[2], messages, caps;

static void must(enum mpol_err err, const char *what)
{
    if (err == MPOL_OK) return;
    fprintf(stderr, "%s: %s\n", what, mpol_error_text(err));
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int64_t mono(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* ---- a channel: must not block, so a real one puts the text into a queue and answers
 * MPOL_EAGAIN ---- */

static enum mpol_err chat(void *ctx, const struct mpol_message *m)
{
    (void)ctx;
    printf("chat: %.*s [%.*s]\n", (int)m->text.len, m->text.ptr, (int)m->idempotency_key.len,
           m->idempotency_key.ptr);
    atomic_fetch_add(&messages, 1);
    return MPOL_OK;
}

/* ---- a backend: told the whole set each time, changes what differs ---- */

static struct {
    uint64_t revision;
    size_t caps;
} pool;

static enum mpol_err pool_apply(void *backend, const struct mpol_desired *set)
{
    (void)backend;
    for (size_t i = 0; i < set->lease_count; i++) {
        const struct mpol_lease *l = &set->leases[i];
        printf("pool: %.*s may have %lld at a time\n", (int)l->target.len, l->target.ptr,
               (long long)l->args[0].integer);
    }
    pool.caps = set->lease_count;
    pool.revision = set->revision;
    if (set->lease_count > 0) atomic_store(&caps, 1);
    return MPOL_OK;
}

static enum mpol_err pool_progress(void *backend, struct mpol_progress *out)
{
    (void)backend;
    out->accepted = out->effective = pool.revision;
    out->trouble = MPOL_OK;
    return MPOL_OK;
}

static const struct mpol_capability pool_can[] = {{"cap", "service", MPOL_ANY_LAYER, 0}};
static const struct mpol_backend_ops pool_ops = {
    .size = sizeof pool_ops, .name = "pool", .flags = MPOL_BACKEND_UNPROVEN,
    .capabilities = pool_can, .capability_count = 1, .apply = pool_apply, .progress = pool_progress,
};

/* ---- the thread that steps ---- */

static void *step(void *ctx)
{
    (void)ctx;
    while (atomic_load(&running)) {
        pthread_mutex_lock(&engine_lock);
        must(mpol_engine_step(engine, now()), "step");
        pthread_mutex_unlock(&engine_lock);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return NULL;
}

/* ---- threads that answer requests ---- */

static void one_request(struct mpol_reader *reader, struct mpol_record *r, int who,
                        const char *from)
{
    struct mpol_verdict verdict;
    MPOL_INIT(&verdict);
    must(mpol_record_begin(r, "requests", now(), MPOL_SERVICE), "begin");
    must(mpol_record_text(r, service, mpol_text("account")), "service");
    must(mpol_record_text(r, client, mpol_text(from)), "client");
    must(mpol_record_text(r, path, mpol_text("/login")), "path");
    must(mpol_verdict(reader, r, &verdict), "verdict");
    if (verdict.allow) {
        atomic_fetch_add(&reached[who], 1);
        must(mpol_record_int(r, status, who == 0 ? 401 : 200), "status");
        must(mpol_record_int(r, latency, who == 0 ? 1000000 : 800000000), "latency");
    } else {
        atomic_fetch_add(&refused[who], 1);
        must(mpol_record_refused(r, verdict.rule), "refused");
    }
    mpol_reader_report(reader, r); /* full ring: dropped and counted, never a wait */
}

static void *serve(void *ctx)
{
    int who = *(int *)ctx;
    struct mpol_reader *reader = NULL;
    struct mpol_record *record = NULL;
    pthread_mutex_lock(&engine_lock);
    must(mpol_reader_open(engine, &reader), "reader");
    must(mpol_record_create(engine, &record), "record");
    pthread_mutex_unlock(&engine_lock);
    while (atomic_load(&running)) {
        one_request(reader, record, who, who == 0 ? "203.0.113.9" : "198.51.100.7");
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    pthread_mutex_lock(&engine_lock);
    mpol_reader_close(reader);
    mpol_record_destroy(record);
    pthread_mutex_unlock(&engine_lock);
    return NULL;
}

/* ---- life ---- */

static void on_diagnostic(void *ctx, const struct mpol_diagnostic *d)
{
    (void)ctx;
    fprintf(stderr, "%.*s", (int)d->rendered.len, d->rendered.ptr);
}

static void on_entry(void *ctx, const struct mpol_entry *e)
{
    (void)ctx;
    if (e->lease != 0) return;
    printf("%.*s %.*s: %.*s -> %.*s\n", (int)e->rule.len, e->rule.ptr, (int)e->key.len, e->key.ptr,
           (int)e->from.len, e->from.ptr, (int)e->to.len, e->to.ptr);
}

static void start(void)
{
    struct mpol_world world;
    struct mpol_compile_options compile;
    struct mpol_engine_options options;
    struct mpol_source source = {mpol_text("guide.mpol"), mpol_text(policy)};
    struct mpol_program *program = NULL;
    struct mpol_text verb;
    MPOL_INIT(&world);
    world.mono_ns = mono;
    MPOL_INIT(&compile);
    compile.diagnostic = on_diagnostic;
    compile.world = &world;
    must(mpol_compile(&source, 1, &compile, &program), "compile");
    MPOL_INIT(&options);
    MPOL_INIT(&options.limits);
    options.limits.keys_max = 10000;
    options.world = &world;
    options.start_wall_ns = now();
    must(mpol_engine_create(&options, program, &engine), "create");
    must(mpol_engine_backend(engine, &pool_ops, NULL), "backend");
    must(mpol_engine_channel(engine, "chat", chat, NULL), "channel");
    must(mpol_engine_unsupported(engine, &verb), "an action that nobody can do");
    must(mpol_engine_watch(engine, on_entry, NULL), "watch");
    must(mpol_field(engine, "service", &service), "field");
    must(mpol_field(engine, "client.ip", &client), "field");
    must(mpol_field(engine, "path", &path), "field");
    must(mpol_field(engine, "status", &status), "field");
    must(mpol_field(engine, "latency", &latency), "field");
}

int main(void)
{
    pthread_t threads[3];
    int who[2] = {0, 1};
    start();
    pthread_create(&threads[0], NULL, step, NULL);
    for (int i = 0; i < 2; i++) pthread_create(&threads[i + 1], NULL, serve, &who[i]);
    for (int i = 0; i < 2000 && (atomic_load(&refused[0]) < 5 || !atomic_load(&caps)); i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    atomic_store(&running, false);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    mpol_engine_destroy(engine);
    printf("guide: %u guesses reached the service, %u were refused; the other client: %u and %u\n",
           atomic_load(&reached[0]), atomic_load(&refused[0]), atomic_load(&reached[1]),
           atomic_load(&refused[1]));
    bool closed = atomic_load(&refused[0]) >= 5 && atomic_load(&refused[1]) == 0 &&
                  atomic_load(&messages) == 1 && atomic_load(&caps) == 1;
    return closed ? 0 : 1;
}
