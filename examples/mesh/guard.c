/* SPDX-License-Identifier: Apache-2.0
 * A proxy's half of mpol, whole: ask before a request goes on, report when it has ended, and let
 * one thread step the loop. Copy it.
 */
#include "guard.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mesh.h"

#define FILES_MAX 4
#define TICK_NS (5 * NS_PER_MS)
#define COSTS 128 /* four steps to a power of two */

static const char *const field_names[] = {"service", "instance", "client.ip", "peer",
                                          "caller",  "method",   "path",      "host",
                                          "scheme",  "mtls",     "status",    "latency"};
enum field {
    SERVICE,
    INSTANCE,
    CLIENT,
    PEER,
    CALLER,
    METHOD,
    PATH,
    HOST,
    SCHEME,
    MTLS,
    STATUS,
    LATENCY,
    FIELDS
};

/* One a thread that answers requests: its reader, and the record of the request at hand. */
struct seat {
    struct mpol_reader *reader;
    struct mpol_record *record;
    char rule[64]; /* that refused it */
};

static struct mpol_world world;
static struct mpol_engine *engine;
static pthread_mutex_t engine_lock = PTHREAD_MUTEX_INITIALIZER; /* verdicts do not take it */
static pthread_key_t seat_of_thread;
static pthread_t ticker;
static atomic_bool running;
static uint32_t fields[FIELDS];
static const char *policy[FILES_MAX], *inventory_file;
static size_t policy_count;
static int64_t policy_time; /* of the newest file, in ns */
static atomic_ulong cost[COSTS]; /* how many verdicts took less than 2^(i/4) ns */
static atomic_uint reload_count;

/* ---- what libmpol is lent ---- */

static void *find(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    void *symbol = handle != NULL ? dlsym(handle, name) : NULL;
    if (symbol == NULL) fprintf(stderr, "mesh: %s\n", dlerror());
    return symbol;
}

/* Digests and regular expressions: rules without a name, and `matches`, need them. */
static void world_open(void)
{
    MPOL_INIT(&world);
#ifdef SHOP_STD
    mpol_world_std_fn fill;
    *(void **)&fill = find(SHOP_STD, "mpol_world_std");
    if (fill != NULL) fill(&world);
#endif
}

/* Native code; without it the interpreter judges the same, a little later. */
static void native_open(void)
{
#ifdef SHOP_JIT
    const void *(*jit)(void);
    *(void **)&jit = find(SHOP_JIT, "mpol_jit");
    if (jit == NULL || mpol_engine_native(engine, jit()) != MPOL_OK) {
        fprintf(stderr, "mesh: going on without native code\n");
    }
#endif
}

/* ---- policy files ---- */

static char *read_file(const char *name, size_t *len)
{
    FILE *f = fopen(name, "rb");
    if (f == NULL) return NULL;
    char *text = calloc(1, 1 << 20);
    *len = text != NULL ? fread(text, 1, (1 << 20) - 1, f) : 0;
    fclose(f);
    return text;
}

static void on_diagnostic(void *ctx, const struct mpol_diagnostic *d)
{
    (void)ctx;
    fprintf(stderr, "%.*s", (int)d->rendered.len, d->rendered.ptr);
}

static bool read_all(struct mpol_source *sources)
{
    bool all = true;
    for (size_t i = 0; i < policy_count; i++) {
        sources[i].name = mpol_text(policy[i]);
        sources[i].text.len = 0;
        sources[i].text.ptr = read_file(policy[i], &sources[i].text.len);
        if (sources[i].text.ptr == NULL) fprintf(stderr, "mesh: cannot read %s\n", policy[i]);
        all = all && sources[i].text.ptr != NULL;
    }
    return all;
}

static struct mpol_program *compile(void)
{
    struct mpol_source sources[FILES_MAX];
    struct mpol_compile_options options;
    struct mpol_program *program = NULL;
    MPOL_INIT(&options);
    options.diagnostic = on_diagnostic;
    options.world = &world;
    if (read_all(sources)) {
        enum mpol_err err = mpol_compile(sources, policy_count, &options, &program);
        if (err != MPOL_OK) fprintf(stderr, "mesh: policy: %s\n", mpol_error_text(err));
    }
    for (size_t i = 0; i < policy_count; i++) free((void *)sources[i].text.ptr);
    return program;
}

/* When the newest file was written; 0 while one is missing, as for a moment when an editor saves
 * it. */
static int64_t newest(void)
{
    int64_t time = 0;
    struct stat s;
    for (size_t i = 0; i < policy_count; i++) {
        if (stat(policy[i], &s) != 0) return 0;
        int64_t written = (int64_t)s.st_mtim.tv_sec * NS_PER_S + s.st_mtim.tv_nsec;
        if (written > time) time = written;
    }
    return time;
}

/* Under the lock, or before the loop runs. */
static bool inventory_read(void)
{
    size_t len = 0;
    char *text = read_file(inventory_file, &len), *rest = NULL;
    if (text == NULL) return false;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (mpol_engine_feed_line(engine, line, strlen(line)) != MPOL_OK) {
            fprintf(stderr, "mesh: %s: not an inventory line: %s\n", inventory_file, line);
        }
    }
    free(text);
    return true;
}

/* Compiling takes milliseconds and needs no lock; only the swap does. */
static void reload_if_edited(void)
{
    int64_t time = newest();
    if (time == 0 || time == policy_time) return;
    policy_time = time;
    struct mpol_program *program = compile();
    if (program == NULL) return; /* the old program stays in force */
    const char *why = "";
    pthread_mutex_lock(&engine_lock);
    enum mpol_err err = mpol_engine_reload(engine, program, &why);
    inventory_read(); /* the new program may ask for more of it */
    pthread_mutex_unlock(&engine_lock);
    if (err == MPOL_OK) atomic_fetch_add(&reload_count, 1);
    if (err != MPOL_OK) fprintf(stderr, "mesh: reload: %s\n", why);
}

/* ---- one request ---- */

static struct seat *seat(void)
{
    struct seat *s = pthread_getspecific(seat_of_thread);
    if (s != NULL) return s;
    s = calloc(1, sizeof *s);
    pthread_mutex_lock(&engine_lock);
    if (mpol_reader_open(engine, &s->reader) != MPOL_OK) abort();
    if (mpol_record_create(engine, &s->record) != MPOL_OK) abort();
    pthread_mutex_unlock(&engine_lock);
    pthread_setspecific(seat_of_thread, s);
    return s;
}

static void seat_leave(void *ctx)
{
    struct seat *s = ctx;
    pthread_mutex_lock(&engine_lock);
    mpol_reader_close(s->reader);
    mpol_record_destroy(s->record);
    pthread_mutex_unlock(&engine_lock);
    free(s);
}

static void cost_note(int64_t ns)
{
    int i = 0;
    while (i < COSTS - 1 && (int64_t)((UINT64_C(4) + (unsigned)i % 4) << (i / 4) >> 2) < ns) i++;
    atomic_fetch_add(&cost[i], 1);
}

static void set(struct mpol_record *r, enum field field, const char *text)
{
    if (text != NULL) mpol_record_text(r, fields[field], mpol_text(text));
}

struct guard_answer guard_ask(const struct guard_request *q)
{
    struct seat *s = seat();
    struct mpol_verdict verdict;
    MPOL_INIT(&verdict);
    int64_t before = tell_now_ns();
    mpol_record_begin(s->record, "requests", before, q->layer);
    set(s->record, SERVICE, q->service);
    set(s->record, INSTANCE, q->instance);
    set(s->record, CLIENT, q->client);
    set(s->record, PEER, q->peer);
    set(s->record, CALLER, q->caller);
    set(s->record, METHOD, q->method);
    set(s->record, PATH, q->path);
    set(s->record, HOST, q->host);
    set(s->record, SCHEME, "http");
    mpol_record_int(s->record, fields[MTLS], q->peer != NULL);
    mpol_verdict(s->reader, s->record, &verdict);
    cost_note(tell_now_ns() - before);

    struct guard_answer answer = {.allow = verdict.allow, .status = verdict.status,
                                  .retry_after_ns = verdict.retry_after_ns};
    int len = verdict.allow ? 0 : (int)verdict.rule.len;
    snprintf(answer.rule, sizeof answer.rule, "%.*s", len, verdict.rule.ptr);
    memcpy(s->rule, answer.rule, sizeof s->rule);
    return answer;
}

void guard_report(int status, int64_t latency_ns)
{
    struct seat *s = seat();
    if (s->rule[0] != '\0') {
        mpol_record_refused(s->record, mpol_text(s->rule));
    } else {
        mpol_record_int(s->record, fields[STATUS], status);
        mpol_record_int(s->record, fields[LATENCY], latency_ns);
    }
    /* Before the answer goes out: what this request changes is in force for the client's next
     * one. */
    pthread_mutex_lock(&engine_lock);
    mpol_engine_feed(engine, s->record);
    mpol_engine_step(engine, tell_now_ns());
    pthread_mutex_unlock(&engine_lock);
}

/* ---- the loop ---- */

static void *tick(void *ctx)
{
    (void)ctx;
    for (unsigned n = 0; atomic_load(&running); n++) {
        pthread_mutex_lock(&engine_lock);
        mpol_engine_step(engine, tell_now_ns());
        pthread_mutex_unlock(&engine_lock);
        if (n % 20 == 0) reload_if_edited();
        tell_sleep_ns(TICK_NS);
    }
    return NULL;
}

bool guard_start(const char *const *files, const char *inventory, mpol_entry_fn entry)
{
    while (policy_count < FILES_MAX && files[policy_count] != NULL) {
        policy[policy_count] = files[policy_count];
        policy_count++;
    }
    policy_time = newest();
    world_open();
    struct mpol_program *program = compile();
    if (program == NULL) return false;
    struct mpol_engine_options options;
    MPOL_INIT(&options);
    MPOL_INIT(&options.limits);
    options.limits.readers_max = 512; /* a connection, a thread, a reader */
    options.limits.ring_records = 4;  /* records are fed at once, rings are not used here */
    options.limits.incidents_max = options.limits.leases_max = options.limits.inventory_items = 256;
    options.limits.keys_max = 4096;
    options.world = &world;
    options.start_wall_ns = tell_now_ns();
    options.owner = mpol_text("shop");
    enum mpol_err err = mpol_engine_create(&options, program, &engine);
    if (err != MPOL_OK) {
        fprintf(stderr, "mesh: engine: %s\n", mpol_error_text(err));
        return false;
    }
    struct mpol_text verb;
    if (mpol_engine_unsupported(engine, &verb) != MPOL_OK) {
        fprintf(stderr, "mesh: nobody here can %.*s\n", (int)verb.len, verb.ptr);
        return false;
    }
    for (int i = 0; i < FIELDS; i++) mpol_field(engine, field_names[i], &fields[i]);
    mpol_engine_watch(engine, entry, NULL);
    inventory_file = inventory;
    if (!inventory_read()) return false;
    native_open();
    pthread_key_create(&seat_of_thread, seat_leave);
    atomic_store(&running, true);
    return pthread_create(&ticker, NULL, tick, NULL) == 0;
}

void guard_stop(void)
{
    atomic_store(&running, false);
    pthread_join(ticker, NULL);
    mpol_engine_destroy(engine);
}

void guard_why(const char *rule, const char *key, mpol_write_fn write, void *ctx)
{
    pthread_mutex_lock(&engine_lock);
    mpol_engine_why(engine, mpol_text(rule), mpol_text(key), write, ctx);
    pthread_mutex_unlock(&engine_lock);
}

struct mpol_status guard_status(void)
{
    struct mpol_status status;
    MPOL_INIT(&status);
    pthread_mutex_lock(&engine_lock);
    mpol_engine_status(engine, &status);
    pthread_mutex_unlock(&engine_lock);
    return status;
}

unsigned guard_reloads(void) { return atomic_load(&reload_count); }

uint64_t guard_cost_ns(double share)
{
    unsigned long all = 0, some = 0;
    for (int i = 0; i < COSTS; i++) all += atomic_load(&cost[i]);
    for (int i = 0; i < COSTS; i++) {
        some += atomic_load(&cost[i]);
        if ((double)some >= share * (double)all)
            return (UINT64_C(4) + (unsigned)i % 4) << (i / 4) >> 2;
    }
    return 0;
}
