/* SPDX-License-Identifier: Apache-2.0
 * Kills an engine with its store at random moments, and once at every point of every durable
 * step, and looks after each death whether the promises hold: nothing acknowledged is lost,
 * nothing reversible is done twice, nothing is in force without an owner, incidents go on where
 * they were, no time grows, and every message that was promised arrives, always under one key.
 *
 *   test_kill_kill [--kills=N] [--seed=N]
 */
#include "kill.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../loopback/folder.h"
#include "driver/driver.h"
#include "ledger/ledger.h"
#include "os/std.h"

#define KILLS 300
#define STEPS_MAX 400

static const char *const point_names[POINT_COUNT] = {
#define X(name) #name,
    POINTS(X)
#undef X
};

static struct shared *shared;
static struct model *model;
static struct mp_os os;
static char dir[512];
static uint64_t seed = 1;
static unsigned long lives, killed, by_plan;

_Noreturn static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "seed %llu, life %lu: %s%s%s\n  state kept in %s\n", (unsigned long long)seed,
            lives, what, detail[0] != '\0' ? ": " : "", detail, dir);
    exit(1);
}

/* ---- the ledger, after a death ---- */

struct reading {
    bool bad;
    const char *why;
};

static bool read_entry(void *ctx, uint64_t seq, int64_t time_ns, mp_str json,
                       const uint8_t hash[32])
{
    struct reading *r = ctx;
    if (mp_ledger_link(&os, json, model->hash) != MP_OK || memcmp(hash, model->hash, 32) != 0) {
        r->why = "the chain is broken";
    } else if (!model_entry(model, seq, json)) {
        r->why = model->problem;
    }
    r->bad = r->why != NULL;
    return !r->bad;
}

static void read_ledger(void)
{
    struct mp_store_reader *reader;
    struct reading r = {false, NULL};
    const char *why = "";
    if (mp_store_reader_open(dir, &reader, &why) != MP_OK) {
        if (atomic_load(&shared->acked) > 0) fail("the store cannot be read", why);
        return; /* killed before there was one */
    }
    enum mp_err err = mp_store_reader_entries(reader, model->seq, &r, read_entry);
    mp_store_reader_close(reader);
    if (r.bad) fail("ledger", r.why);
    if (err != MP_OK && model->seq > 0) fail("ledger", mp_err_text(err));
    if (model->seq < atomic_load(&shared->acked)) fail("an acknowledged entry is lost", "");
    atomic_store(&shared->acked, model->seq); /* somebody has seen it: it may not be lost later */
}

static void verify_everything(void)
{
    model->seq = 0;
    memset(model, 0, sizeof *model);
    read_ledger();
}

/* ---- messages ---- */

static struct sent_message arrived[MODEL_MAX]; /* by id */

/* Those that came since the last look. */
static void check_messages(void)
{
    static uint32_t looked_at;
    for (; looked_at < shared->sent_count; looked_at++) {
        const struct sent_message *m = &shared->sent[looked_at];
        const struct model_lease *told = model_lease(model, m->id);
        struct sent_message *first = &arrived[m->id % MODEL_MAX];
        if (told == NULL || !told->message) fail("a message that is in no ledger was sent", "");
        if (first->id == m->id && first->text != m->text)
            fail("one key stood for two messages", "");
        *first = *m;
    }
}

static void check_that_all_arrived(void)
{
    for (uint64_t i = 0; i < MODEL_MAX; i++) {
        const struct model_lease *l = &model->leases[i];
        if (!l->message || l->id == 0 || l->admitted_seq == 0) continue;
        if (arrived[i].id != l->id) fail("a message never arrived", l->target);
    }
}

/* ---- lives ---- */

static void spin(uint64_t times)
{
    for (volatile uint64_t i = 0; i < times; i++) {
    }
}

/* Waits until the life has gone so far, or has ended. */
static void kill_at_random(pid_t pid, uint64_t *random)
{
    uint64_t ticks = draw(random, 3) == 0 ? draw(random, 400) : draw(random, 6000);
    siginfo_t info;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0)
            return;
        if (atomic_load(&shared->ticks) >= ticks) break;
        sched_yield();
    }
    spin(draw(random, 30000));
    kill(pid, SIGKILL);
}

/* True: it was killed. */
static bool one_life(const struct plan *plan, const mp_str *images, bool at_random,
                     uint64_t *random)
{
    shared->life = ++lives;
    atomic_store(&shared->ticks, 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) fail("fork", strerror(errno));
    if (pid == 0) live(shared, model, plan, dir, images);
    if (at_random) kill_at_random(pid, random);
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) fail("a life", shared->problem);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        fail("a life died of a signal", strsignal(WTERMSIG(status)));
    read_ledger();
    check_messages();
    /* The world goes on while nobody lives. */
    if (draw(random, 4) == 0) shared->now_ns += (int64_t)draw(random, 3000) * MS;
    killed += WIFSIGNALED(status);
    return WIFSIGNALED(status);
}

/* The very first lease is in force and nothing of it is kept: the next life restores none, and
 * must take it away all the same. */
static void kill_with_no_lease_kept(const mp_str *images, uint64_t *random)
{
    struct plan plan = {
        .point = AT_PUT_IN_FORCE, .hit = 1, .seed = draw(random, UINT64_MAX), .steps = STEPS_MAX};
    if (!one_life(&plan, images, false, random)) fail("nothing was ever put in force", "");
    if (shared->mesh_count != 2) fail("not one lease is in force", "");
    if (model_lease(model, shared->mesh[1].id) != NULL) fail("the lease was kept", "");
    struct plan idle = {.seed = draw(random, UINT64_MAX), .steps = 0};
    if (one_life(&idle, images, false, random)) fail("an idle life was killed", "");
    if (shared->mesh_count != 1) fail("what nobody owns is left in force", "");
}

static void kill_at_each_point(const mp_str *images, uint64_t *random)
{
    for (int point = AT_NONE + 1; point < POINT_COUNT; point++) {
        bool hit = false;
        for (uint64_t attempt = 0; attempt < 8 && !hit; attempt++) {
            struct plan plan = {.point = (enum point)point,
                                .seed = draw(random, UINT64_MAX),
                                .steps = STEPS_MAX,
                                .hit = attempt < 4 ? 1 + draw(random, 12) : 1};
            hit = one_life(&plan, images, false, random);
        }
        if (!hit) fail("a point was never reached", point_names[point]);
        by_plan++;
    }
}

/* ---- set-up ---- */

static mp_str compile(const char *policy_text)
{
    struct mp_compile_text text = {MP_STR("kill.mpol"), mp_str_of(policy_text), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &os};
    struct mp_compilation *c;
    if (mp_compile(&text, 1, &options, &c) != MP_OK) fail("compile", "");
    if (mp_compilation_errors(c) > 0) {
        struct mp_arena arena;
        struct mp_buf b;
        mp_arena_init(&arena, NULL, 0);
        mp_buf_init(&b, &arena);
        mp_diags_print_json(mp_compilation_diags(c), mp_compilation_sources(c), &b);
        fprintf(stderr, "%.*s\n", MP_STR_ARG(mp_buf_view(&b)));
        fail("the policy has errors", "");
    }
    mp_str image = mp_compilation_image(c);
    char *copy = malloc(image.len);
    if (copy == NULL) fail("no memory", "");
    memcpy(copy, image.ptr, image.len);
    mp_compilation_free(c);
    return (mp_str){copy, image.len};
}

static void *mapping(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) fail("mmap", strerror(errno));
    return at;
}

static void remove_dir(void)
{
    static const char *const files[] = {"mpol.db", "mpol.db-wal", "mpol.db-shm", "lock"};
    char path[600];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    unsigned long kills = KILLS;
    for (int i = 1; i < argc; i++) {
        if (sscanf(argv[i], "--kills=%lu", &kills) == 1) continue;
        unsigned long long given;
        if (sscanf(argv[i], "--seed=%llu", &given) == 1) seed = given;
    }
    printf("seed %llu, %lu random kills\n", (unsigned long long)seed, kills);
    if (!tmp_folder_make(dir, sizeof dir, "kill")) fail("mkdtemp", strerror(errno));
    mp_std_os(&os);
    shared = mapping(sizeof *shared);
    model = calloc(1, sizeof *model);
    if (model == NULL) fail("no memory", "");
    shared->now_ns = T0;
    /* of a neighbour */
    shared->mesh[0] = (struct mesh_lease){.id = 1u << 30, .content = 1, .ours = false};
    shared->mesh_count = 1;
    const mp_str images[2] = {compile(policy), compile(more_policy)};
    uint64_t random = seed;

    kill_with_no_lease_kept(images, &random);
    kill_at_each_point(images, &random);
    for (unsigned long planned = killed; killed < planned + kills;) {
        struct plan plan = {.seed = draw(&random, UINT64_MAX), .steps = STEPS_MAX};
        (void)one_life(&plan, images, true, &random);
    }
    struct plan last = {.seed = draw(&random, UINT64_MAX), .steps = 50, .finish = true};
    if (one_life(&last, images, false, &random)) fail("the last life was killed", "");
    verify_everything();
    check_messages();
    check_that_all_arrived();
    printf(
        "%lu lives, %lu killed, %lu of them at points; %llu entries, %u leases, %u messages sent\n",
        lives, killed, by_plan, (unsigned long long)model->seq, shared->seen_count,
        shared->sent_count);
    for (int i = 0; i < 2; i++) free((void *)images[i].ptr);
    free(model);
    remove_dir();
    return 0;
}
