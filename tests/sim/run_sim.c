/* SPDX-License-Identifier: Apache-2.0
 * run_sim.c - seeds, each three times: interpreted, native, switched in between.
 *
 *   test_sim_loop [--from N] [--seeds N] [--seed N] [--jobs N] [--verbose]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "driver/driver.h"
#include "policies.h"
#include "sim.h"
#ifdef MP_SIM_JIT
#include "jit/jit.h"
#endif

/* Under a trap nothing asks for memory but creating, restarting and reloading. */
#ifdef MP_SIM_TRAP
#include "trap.h"
#define FORBID(on) (trap.forbidden = (on))
#else
#define FORBID(on) ((void)(on))
#endif

#define STEP_NS (100 * SIM_MS)
#define TROUBLED_STEPS 1800 /* three minutes in which anything may happen */
#define CALM_NS (900 * SIM_S)

static bool verbose;
static struct mp_os std_os;

static int64_t wall(void *ctx) { return ((struct sim *)ctx)->now_ns; }
static int64_t mono(void *ctx) { return ((struct sim *)ctx)->mono_ns; }

/* ---- programs, once ---- */

static struct mp_program *compile(const char *text)
{
    struct mp_compile_text file = {MP_STR("sim.mpol"), mp_str_of(text), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &std_os};
    struct mp_compilation *c = NULL;
    struct mp_program *p = NULL;
    const char *why = "it has errors";
    enum mp_err err = mp_compile(&file, 1, &options, &c);
    if (err == MP_OK && mp_compilation_errors(c) == 0) {
        mp_str image = mp_compilation_image(c);
        err = mp_program_load(image.ptr, image.len, &std_os, &p, &why);
    }
    if (p == NULL) fprintf(stderr, "sim: a policy does not compile: %s\n%s\n", why, text);
    MP_ASSERT(p != NULL);
    mp_compilation_free(c);
    return p;
}

static struct sim_program made[SIM_SETS][2];

static void make_programs(void)
{
    for (size_t i = 0; i < SIM_SETS; i++) {
        for (int k = 0; k < 2; k++) {
            struct sim_program *out = &made[i][k];
            out->p = compile(sim_policies[i][k]);
#ifdef MP_SIM_JIT
            const char *why = "no memory";
            out->job = mpol_jit()->start(out->p);
            enum mp_err err = out->job == NULL ? MP_ENOMEM : mpol_jit()->wait(out->job, &why);
            if (err != MP_OK) fprintf(stderr, "sim: native code: %s\n", why);
            MP_ASSERT(err == MP_OK);
            out->native = mp_exec_switch(out->p, NULL);
#endif
        }
    }
}

static void free_programs(void)
{
    for (size_t i = 0; i < SIM_SETS; i++) {
        for (int k = 0; k < 2; k++) {
#ifdef MP_SIM_JIT
            mp_exec_switch(made[i][k].p, made[i][k].native);
            mpol_jit()->end(made[i][k].job);
#endif
            mp_program_free(made[i][k].p);
        }
    }
}

static void choose_executor(struct sim *s)
{
    bool native =
        s->mode == SIM_NATIVE || (s->mode == SIM_SWITCHED && sim_below(&s->switch_rng, 2) == 0);
    for (int k = 0; k < 2; k++)
        mp_exec_switch(s->programs[k].p, native ? s->programs[k].native : NULL);
}

/* ---- a run ---- */

static void on_entry(void *ctx, const struct mp_entry *entry, mp_str json)
{
    if (verbose) printf("  %.*s\n", MP_STR_ARG(json));
    sim_check_entry(ctx, entry, json);
}

static enum mp_err on_message(void *ctx, const struct mp_message *message)
{
    struct sim *s = ctx;
    (void)message;
    s->check.messages++;
    return sim_below(&s->rng, 5) == 0 ? MP_EIO : MP_OK;
}

static void create_engine(struct sim *s)
{
    struct mp_engine_options options = {.clock = MP_ENGINE_LIVE,
                                        .hash_key = s->key,
                                        .now_ns = s->now_ns,
                                        .mono_ns = s->mono_ns,
                                        .store = s->store};
    options.limits = (struct mp_engine_limits){.keys = 64,
                                               .incidents = 128,
                                               .leases = 128,
                                               .holds = 128,
                                               .messages = 64,
                                               .admissions = 256,
                                               .truths = 64,
                                               .ledger_bytes = 1 << 18};
    struct mp_engine_sinks sinks = {.ctx = s, .entry = on_entry, .message = on_message};
    enum mp_err err =
        mp_engine_create(s->programs[s->current].p, &s->os, &options, &sinks, &s->engine);
    if (err == MP_OK) err = mp_engine_backend(s->engine, &s->backend.ops, &s->backend);
    MP_ASSERT(err == MP_OK);
    sim_inventory(s);
}

static void create_mesh(struct sim *s)
{
    struct mp_inproc *real = NULL;
    enum mp_err err = mp_inproc_create(
        &s->arena, (struct mp_inproc_limits){.leases = 256, .readers = 1}, s->key, &real);
    if (err == MP_OK) err = mp_inproc_reader_open(real, &s->reader);
    if (err == MP_OK) err = mp_verdict_buckets_create(&s->arena, 64, s->key, &s->buckets);
    for (int k = 0; k < 2 && err == MP_OK; k++) {
        err = mp_verdict_plan_create(&s->arena, s->programs[k].p, real, s->buckets, &s->plan[k],
                                     NULL);
        if (err == MP_OK) err = mp_verdict_scratch_create(&s->arena, s->plan[k], &s->scratch[k]);
        if (err == MP_OK)
            err = mp_ingest_create(&s->arena, s->programs[k].p, s->key, &s->ingest[k]);
    }
    MP_ASSERT(err == MP_OK);
    sim_backend_init(&s->backend, real, &s->now_ns);
}

static void advance(struct sim *s, int64_t ns)
{
    s->now_ns += ns;
    s->mono_ns += ns;
    mp_engine_advance(s->engine, s->now_ns, s->mono_ns);
    sim_check_step(s);
}

/* ---- restarts ---- */

static void keep_row(void *ctx, const struct mp_state_row *row)
{
    struct sim *s = ctx;
    uint32_t i = 0;
    while (i < s->rows.count && (s->rows.row[i].kind != row->kind || s->rows.row[i].id != row->id))
        i++;
    if (i == s->rows.count) {
        MP_ASSERT(s->rows.count < s->rows.cap);
        s->rows.count++;
    }
    s->rows.row[i] = *row;
    s->rows.row[i].bytes = mp_arena_str(&s->rows.arena, row->bytes);
}

/* What is so now is durable: entries and rows are one transaction. */
static void keep_all(struct sim *s)
{
    struct mp_engine_status status;
    mp_engine_changes(s->engine, s, keep_row);
    mp_engine_status(s->engine, &status);
    mp_engine_chain(s->engine, s->durable.hash);
    s->durable.entries = status.entries;
    s->durable.check = s->check;
    if (s->store) mp_engine_committed(s->engine, status.entries);
}

static void commit(struct sim *s)
{
    FORBID(false);
    keep_all(s);
    FORBID(true);
}

/* Without a store the engine stops in good order; with one it crashes, and begins with what was
 * durable. */
static void restart(struct sim *s)
{
    if (!s->store) keep_all(s);
    uint32_t messages = s->check.messages;
    s->check = s->durable.check;
    s->check.messages = messages;
    s->backend.leftovers = s->store;
    mp_engine_destroy(s->engine);
    s->now_ns += (int64_t)sim_below(&s->rng, 8) * SIM_S;
    s->mono_ns = (int64_t)sim_below(&s->rng, 1000) * SIM_S; /* another machine's clock */
    s->pending_count = 0;
    create_engine(s);
    for (uint32_t i = 0; i < s->rows.count; i++) {
        if (s->rows.row[i].bytes.len == 0) continue;
        enum mp_err err = mp_engine_restore(s->engine, &s->rows.row[i]);
        if (err != MP_OK) sim_fail(s, "a row of its own does not come back: %s", mp_err_text(err));
    }
    enum mp_err err = mp_engine_resume(s->engine, s->durable.entries, s->durable.hash);
    if (err != MP_OK) sim_fail(s, "resume: %s", mp_err_text(err));
    mp_engine_brake(s->engine, s->braked);
}

static void reload(struct sim *s)
{
    const char *why = "";
    keep_all(s);
    enum mp_err err = mp_engine_swap(s->engine, s->programs[!s->current].p, &why);
    if (err != MP_OK) sim_fail(s, "reload: %s", why);
    s->current = !s->current;
    s->pending_count = 0;
    sim_inventory(s);
    s->check.limited_count = 0;
}

/* ---- trouble ---- */

#define WORDS 22 /* kinds of trouble */

static void say(const struct sim *s, const char *what)
{
    if (verbose) printf("  -- at %.1f s: %s\n", (double)(s->now_ns - SIM_START) / 1e9, what);
}

/* Somebody decides by hand, on what rules act on too, so that the two compete. */
static void decide(struct sim *s)
{
    static const char *const words[][3] = {
        {"deny", "client.ip=10.0.0.1", ""},      {"deny", "client.ip=192.0.2.66", ""},
        {"deny", "client.ip=192.0.2.64/28", ""}, {"exempt", "client.ip=192.0.2.66", ""},
        {"throttle", "service=pay", "50%"},      {"throttle", "service=web", "5/s"},
        {"quarantine", "service=cart", ""},      {"quarantine", "instance=web-1", ""}};
    static const char *const spans[] = {"2s", "10s", "40s"};
    const char *const *w = words[sim_below(&s->rng, sizeof words / sizeof *words)];
    struct mp_note args[] = {{MP_STR("for"), mp_str_of(spans[sim_below(&s->rng, 3)])},
                             {MP_STR("to"), mp_str_of(w[2])}};
    struct mp_manual ask = {.verb = mp_str_of(w[0]), .target = mp_str_of(w[1]), .args = args,
                            .arg_count = w[2][0] != '\0' ? 2 : 1, .who = MP_STR("somebody")};
    struct mp_manual_answer answer;
    mp_engine_decide(s->engine, &ask, &answer);
    if (answer.how == MP_MANUAL_BAD) sim_fail(s, "%s %s: %.*s", w[0], w[1], MP_STR_ARG(answer.why));
}

static void undo(struct sim *s)
{
    static const char *const targets[] = {"client.ip=192.0.2.66", "service=pay", "service=web",
                                          "instance=web-1"};
    struct mp_undo ask = {.target = mp_str_of(targets[sim_below(&s->rng, 4)]),
                          .who = MP_STR("somebody")};
    mp_str why;
    mp_engine_undo(s->engine, &ask, NULL, NULL, &why);
    if (why.len > 0) sim_fail(s, "undo: %.*s", MP_STR_ARG(why));
}

static void trouble(struct sim *s)
{
    static const char *const words[WORDS] = {
        "the wire is slow", "the wire refuses", "the wire is busy", "somebody lacks a filter",
        "the wire is good", "the wire is good", "silence",          "silence",
        "telemetry",        "telemetry",        "telemetry",        "telemetry",
        "the brake",        "no brake",         "release all",      "release one",
        "restart",          "reload",           "by hand",          "by hand",
        "by hand",          "taken back"};
    static const uint32_t rarely[] = {200, 600, 1500, 6000};
    uint32_t what = sim_below(&s->rng, rarely[s->seed / (2 * SIM_SETS) % 4]);
    if (what < WORDS) say(s, words[what]);
    switch (what) {
    case 0: s->backend.wire = SIM_WIRE_SLOW; break;
    case 1: s->backend.wire = SIM_WIRE_REFUSES; break;
    case 2: s->backend.wire = SIM_WIRE_BUSY; break;
    case 3: s->backend.wire = SIM_WIRE_LACKS; break;
    case 4:
    case 5: s->backend.wire = SIM_WIRE_GOOD; break;
    case 6:
    case 7: s->silent = true; break;
    case 8:
    case 9:
    case 10:
    case 11: s->silent = false; break;
    case 12:
        s->braked = !s->braked;
        mp_engine_brake(s->engine, s->braked);
        break;
    case 13:
        s->braked = false;
        mp_engine_brake(s->engine, false);
        break;
    case 14: mp_engine_release_all(s->engine); break;
    case 15: mp_engine_release(s->engine, 1 + sim_below(&s->rng, 20)); break;
    case 16:
        FORBID(false);
        restart(s);
        FORBID(true);
        break;
    case 17:
        FORBID(false);
        reload(s);
        FORBID(true);
        break;
    case 18:
    case 19:
    case 20: decide(s); break;
    case 21: undo(s); break;
    default: break;
    }
    bool was_silent = s->check.silent_since_ns != INT64_MAX;
    if (s->silent && !was_silent) s->check.silent_since_ns = s->now_ns;
    if (!s->silent) s->check.silent_since_ns = INT64_MAX;
}

static void live(struct sim *s)
{
    for (int i = 0; i < TROUBLED_STEPS && s->failure[0] == '\0'; i++) {
        trouble(s);
        if (s->mode == SIM_SWITCHED && i % 16 == 0) choose_executor(s);
        advance(s, STEP_NS);
        sim_mesh_step(s, STEP_NS, false);
        if (s->store && sim_below(&s->rng, 4) == 0) commit(s);
    }
    /* All is well again, and stays so. */
    s->backend.wire = SIM_WIRE_GOOD;
    s->silent = false;
    s->check.silent_since_ns = INT64_MAX;
    mp_engine_brake(s->engine, false);
    for (int i = 0; i < 300 && s->failure[0] == '\0'; i++) {
        advance(s, STEP_NS);
        sim_mesh_step(s, STEP_NS, true);
        if (s->store) commit(s);
    }
    for (int64_t t = 0; t < CALM_NS && s->failure[0] == '\0'; t += 5 * SIM_S) {
        advance(s, 5 * SIM_S);
        if (s->store) commit(s);
    }
    sim_check_end(s);
}

static void run(struct sim *s, uint64_t seed, enum sim_native mode)
{
    memset(s, 0, sizeof *s);
    s->seed = seed;
    s->rng = seed * 0x9e3779b97f4a7c15u + 1;
    s->switch_rng = seed * 0xbf58476d1ce4e5b9u + 7;
    s->mode = mode;
    s->programs = made[seed % SIM_SETS];
    s->current = (int)(seed / SIM_SETS % 2);
    s->store = seed / (8 * SIM_SETS) % 2 == 1;
    s->os = std_os;
    s->os.ctx = s;
    s->os.wall_ns = wall;
    s->os.mono_ns = mono;
    s->now_ns = SIM_START;
    s->mono_ns = 5 * SIM_S;
    s->key = (struct mp_hash_key){seed, 0x73696d};
    s->check.silent_since_ns = INT64_MAX;
    mp_arena_init(&s->arena, NULL, 0);
    mp_arena_init(&s->rows.arena, NULL, 0);
    s->rows.cap = 4096;
    s->rows.row = MP_NEW(&s->rows.arena, struct mp_state_row, s->rows.cap);
    MP_ASSERT(s->rows.row != NULL);
    choose_executor(s);
    create_mesh(s);
    create_engine(s);
    sim_mesh_begin(s);
    commit(s);
    live(s);
    FORBID(false);
    mp_engine_destroy(s->engine);
    mp_arena_free(&s->rows.arena);
    mp_arena_free(&s->arena);
}

/* ---- seeds ---- */

struct totals {
    uint64_t runs, failures, entries, opened, effective, withheld, confirmed, failed, rolled_back,
        inconclusive, harmful, messages, allowed, refused;
};

static void add(struct totals *t, const struct sim *s)
{
    const struct sim_check *c = &s->check;
    t->runs++;
    t->entries += c->entries;
    t->opened += c->opened;
    t->effective += c->effective;
    t->withheld += c->withheld;
    t->confirmed += c->confirmed;
    t->failed += c->failed;
    t->rolled_back += c->rolled_back;
    t->inconclusive += c->inconclusive;
    t->harmful += c->harmful;
    t->messages += c->messages;
    t->allowed += s->allowed;
    t->refused += s->refused;
}

static bool one_seed(uint64_t seed, struct totals *t)
{
    static const char *const words[] = {"interpreted", "native", "switched"};
    static struct sim s;
    uint8_t first[MP_LEDGER_HASH];
    uint64_t entries = 0;
    for (int mode = SIM_INTERPRETED; mode <= SIM_SWITCHED; mode++) {
        run(&s, seed, (enum sim_native)mode);
        add(t, &s);
        if (s.failure[0] != '\0') {
            printf("sim: seed %llu (%s): %s\n", (unsigned long long)seed, words[mode], s.failure);
            return false;
        }
        if (mode == SIM_INTERPRETED) {
            memcpy(first, s.check.hash, sizeof first);
            entries = s.check.entries;
        } else if (memcmp(first, s.check.hash, sizeof first) != 0) {
            printf("sim: seed %llu: the ledger of the %s run is another one "
                   "(%llu entries, not %llu)\n",
                   (unsigned long long)seed, words[mode], (unsigned long long)s.check.entries,
                   (unsigned long long)entries);
            return false;
        }
    }
    return true;
}

static uint64_t number(int argc, char **argv, const char *name, uint64_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) return strtoull(argv[i + 1], NULL, 0);
    }
    return otherwise;
}

/* Found a fault once. */
static const uint64_t memorable[] = {2208, 2832};

/* Threads do not survive a fork, so every job makes its own programs. */
static void work(uint64_t from, uint64_t seeds, uint64_t job, uint64_t jobs, struct totals *t)
{
    make_programs();
    for (uint64_t i = job; i < seeds && t->failures < 5; i += jobs)
        t->failures += !one_seed(from + i, t);
    for (size_t i = 0; i < sizeof memorable / sizeof *memorable && job == 0 && seeds > 1; i++) {
        t->failures += !one_seed(memorable[i], t);
    }
    free_programs();
}

static bool run_jobs(uint64_t from, uint64_t seeds, uint64_t jobs, struct totals *total)
{
    int pipes[64];
    pid_t pids[64];
    bool ok = true;
    for (uint64_t j = 0; j < jobs; j++) {
        int ends[2];
        fflush(stdout);
        if (pipe(ends) != 0 || (pids[j] = fork()) < 0) return false;
        if (pids[j] == 0) {
            struct totals mine = {0};
            work(from, seeds, j, jobs, &mine);
            fflush(stdout);
            _exit(write(ends[1], &mine, sizeof mine) == (ssize_t)sizeof mine ? 0 : 1);
        }
        close(ends[1]);
        pipes[j] = ends[0];
    }
    for (uint64_t j = 0; j < jobs; j++) {
        struct totals one = {0};
        int status = 0;
        ok &= read(pipes[j], &one, sizeof one) == (ssize_t)sizeof one;
        ok &= waitpid(pids[j], &status, 0) == pids[j] && status == 0;
        if (status != 0) printf("sim: a job ended with status 0x%x\n", (unsigned)status);
        const uint64_t *a = (const uint64_t *)(const void *)&one;
        uint64_t *b = (uint64_t *)(void *)total;
        for (size_t i = 0; i < sizeof one / sizeof *a; i++) b[i] += a[i];
    }
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t one = number(argc, argv, "--seed", 0), from = number(argc, argv, "--from", 1);
    uint64_t seeds = number(argc, argv, "--seeds", 500), jobs = number(argc, argv, "--jobs", 2);
    struct totals t = {0};
    bool ok = true;
    for (int i = 1; i < argc; i++) verbose |= strcmp(argv[i], "--verbose") == 0;
    mp_std_os(&std_os);
    if (jobs < 1 || jobs > 64) return 2;
    if (one != 0) work(one, 1, 0, 1, &t);
    else ok = run_jobs(from, seeds, jobs, &t);
#ifndef MP_SIM_JIT
    printf("sim: built without native code, which is left out\n");
#endif
    printf(
        "sim: seeds %llu.., %llu runs, %llu entries, %llu opened, %llu effective, %llu withheld, "
        "%llu confirmed, %llu failed, %llu inconclusive, %llu harmful, %llu rolled back, "
        "%llu messages, %llu requests let through, %llu refused, %llu failures\n",
        (unsigned long long)(one != 0 ? one : from), (unsigned long long)t.runs,
        (unsigned long long)t.entries, (unsigned long long)t.opened,
        (unsigned long long)t.effective, (unsigned long long)t.withheld,
        (unsigned long long)t.confirmed, (unsigned long long)t.failed,
        (unsigned long long)t.inconclusive, (unsigned long long)t.harmful,
        (unsigned long long)t.rolled_back, (unsigned long long)t.messages,
        (unsigned long long)t.allowed, (unsigned long long)t.refused,
        (unsigned long long)t.failures);
    return ok && t.failures == 0 ? 0 : 1;
}
