/* SPDX-License-Identifier: Apache-2.0
 * The command as a process: telemetry as text through `replay`, and `check`.
 *
 *   bench_command MPOL FOLDER     FOLDER: where files of this run may lie
 *
 * Times are of the processes themselves (user and system), so neighbours on the machine count less.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "bench.h"

enum { PATH_BYTES = 4096, CHECK_RULES = 10000, ROUNDS = 5, SMALL_ROUNDS = 31, PIPE_BYTES = 4096 };

static const char *mpol, *folder;

static void file_path(const char *name, char out[PATH_BYTES])
{
    if (snprintf(out, PATH_BYTES, "%s/%s", folder, name) >= PATH_BYTES)
        bench_fail("the path is too long");
}

static FILE *create(const char *name, char path[PATH_BYTES])
{
    file_path(name, path);
    FILE *f = fopen(path, "w");
    if (f == NULL) bench_fail("cannot write %s", path);
    return f;
}

static void finish(FILE *f)
{
    if (fclose(f) != 0) bench_fail("cannot write: the disk is full");
}

/* Both outputs of the child go to `out`, or nowhere where it is below 0. */
static pid_t start(const char *const argv[], int out)
{
    pid_t pid = fork();
    if (pid < 0) bench_fail("cannot fork");
    if (pid > 0) return pid;
    int to = out >= 0 ? out : open("/dev/null", O_WRONLY);
    dup2(to, STDOUT_FILENO);
    dup2(to, STDERR_FILENO);
    execvp(argv[0], (char *const *)(uintptr_t)argv); /* it writes to none of them */
    _exit(127);
}

/* Processor time of the whole process in ns; below 0: there is no such program. */
static double run(const char *const argv[], int want_status)
{
    struct rusage use;
    int status;
    pid_t pid = start(argv, -1);
    if (wait4(pid, &status, 0, &use) != pid) bench_fail("cannot wait");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != want_status) {
        bench_fail("%s %s ended with status %d", argv[0], argv[1], WEXITSTATUS(status));
    }
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e9 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e3;
}

/* ---- telemetry as text ---- */

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    return (uint32_t)(mp_rng_next(seed) >> 33) % below;
}

static void write_telemetry(const char *path_name, uint32_t lines, char path[PATH_BYTES])
{
    static const char *const paths[] = {"/",      "/api/v1/cart?id=7", "/api/v1/orders",
                                        "/login", "/static/app.js",    "/pay"};
    FILE *f = create(path_name, path);
    uint64_t seed = 5;
    for (uint32_t i = 0; i < lines; i++) {
        uint32_t service = draw(&seed, 200);
        fprintf(
            f,
            "{\"signal\":\"requests\",\"time\":\"2026-11-23T10:%02u:%02u.%06uZ\","
            "\"service\":\"svc-%u\","
            "\"instance\":\"svc-%u-%u\",\"client\":{\"ip\":\"10.%u.%u.%u\"},"
            "\"method\":\"%s\",\"path\":\"%s\","
            "\"host\":\"shop\",\"status\":%u,\"latency\":\"%u.%ums\",\"bytes_in\":%u,"
            "\"bytes_out\":%u,"
            "\"peer\":\"spiffe://shop/ns/web/sa/web\",\"mtls\":true}\n",
            i / 10000 / 60 % 60, i / 10000 % 60, i % 10000 * 100, service, service, draw(&seed, 4),
            draw(&seed, 4), draw(&seed, 4), draw(&seed, 256), draw(&seed, 10) < 3 ? "POST" : "GET",
            paths[draw(&seed, 6)], draw(&seed, service < 2 ? 8 : 200) == 0 ? 503 : 200,
            draw(&seed, 200), draw(&seed, 10), draw(&seed, 8000), draw(&seed, 60000));
    }
    finish(f);
}

static void write_policy(char path[PATH_BYTES])
{
    FILE *f = create("replay.mpol", path);
    fputs(
        "mpol 1\npackage bench.replay\nuse std.mesh\n"
        "rule failing when error_rate > 5% for 10s per svc then throttle svc to 50% for 5m\n"
        "  verify error_rate < 1% for 15s within 1m settle 5s\n"
        "  else quarantine svc for 10m\n"
        "rule slow when p99(requests.latency) over 1m > 2s per svc then notify \"{svc} is slow\"\n"
        "rule flood at service when count(requests where path == \"/login\") over 30s > 500 "
        "per client.ip max 50k\n"
        "  then deny client.ip for 2m\n"
        "rule console at service when request.path starts with \"/admin\" "
        "and request.mtls is false then deny request\n"
        "rule big at service when request.method == \"POST\" and request.bytes_in > 64MiB "
        "then deny request\n",
        f);
    finish(f);
}

static void measure_replay(void)
{
    char telemetry[PATH_BYTES], policy[PATH_BYTES];
    uint32_t lines = bench_quick() ? 2000 : 600000;
    double ours[ROUNDS], jq[ROUNDS], ratio[ROUNDS];
    write_telemetry("replay.ndjson", lines, telemetry);
    write_policy(policy);
    const char *const replay_args[] = {mpol,      "replay",        policy, "--telemetry",
                                       telemetry, "--format=json", NULL};
    const char *const jq_args[] = {"jq", "-c", ".status", telemetry, NULL};
    for (int i = 0; i < ROUNDS; i++) {
        ours[i] = run(replay_args, 0);
        jq[i] = run(jq_args, 0);
        ratio[i] = jq[i] / ours[i];
    }
    double rate = lines / bench_median(ours, ROUNDS) * 1e9;
    if (jq[0] < 0) {
        fputs("bench: no jq here: replay is compared with nothing\n", stderr);
        bench_say("replay", rate, "lines/s", NULL, 0);
    } else {
        bench_say("replay", rate, "lines/s", "jq -c .status", bench_median(ratio, ROUNDS));
    }
    unlink(telemetry);
    unlink(policy);
}

/* ---- check ---- */

static void measure_check_many(void)
{
    char path[PATH_BYTES];
    double ns[ROUNDS];
    int rules = bench_quick() ? 500 : CHECK_RULES;
    FILE *f = create("many.mpol", path);
    fputs("mpol 1\npackage bench.many\nuse std.mesh\n", f);
    for (int i = 0; i < rules; i++) {
        fprintf(
            f,
            "rule r%05d \"Rule number %d\"\n  at service\n"
            "  when error_rate > %d%% for %ds per svc unless svc.tier is batch\n"
            "  then throttle svc to %d%% for 5m\n"
            "    verify error_rate < 1%% for 15s within 1m settle 5s\n"
            "  else quarantine svc for 10m\n  until error_rate < 0.5%% for 2m\n  cooldown 5m\n",
            i, i, 2 + i % 90, 10 + i % 50, 10 + i % 80);
    }
    finish(f);
    const char *const args[] = {mpol, "check", path, NULL};
    for (int i = 0; i < ROUNDS; i++) ns[i] = run(args, 0);
    bench_say("check.rules", bench_median(ns, ROUNDS) / 1e9, "s", "a second",
              bench_median(ns, ROUNDS) / 1e9);
    unlink(path);
}

static void measure_check_small(void)
{
    char path[PATH_BYTES];
    double ours[SMALL_ROUNDS], more[SMALL_ROUNDS], ratio[SMALL_ROUNDS];
    FILE *f = create("small.mpol", path);
    fputs("use std.mesh\nparam x: percent = 5%\nwhen error_rate > x then quarantine svc\n", f);
    finish(f);
    const char *const args[] = {mpol, "check", path, NULL}, *const empty[] = {"true", "", NULL};
    for (int i = 0; i < SMALL_ROUNDS; i++) {
        double nothing = run(empty, 0);
        ours[i] = run(args, 0);
        more[i] = ours[i] - nothing;
        ratio[i] = ours[i] / (nothing > 0 ? nothing : 1e3);
    }
    bench_say("check.small", bench_median(more, SMALL_ROUNDS) / 1e6, "ms",
              "an empty process (value: what it takes more)", bench_median(ratio, SMALL_ROUNDS));
    unlink(path);
}

/* ---- what is mapped ---- */

static bool mapped(pid_t pid, char *what, size_t size)
{
    static const char *const heavy[] = {"LLVM",    "libcrypto", "libssl",
                                        "libcurl", "libsqlite", "libmicrohttpd",
                                        "libuv",   "nghttp2",   "libmpol-"};
    char path[64], line[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%ld/maps", (long)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) bench_fail("cannot read %s", path);
    int lines = 0;
    bool found = false;
    while (fgets(line, sizeof line, f) != NULL) {
        lines++;
        for (size_t i = 0; i < sizeof heavy / sizeof heavy[0] && !found; i++) {
            found = strstr(line, heavy[i]) != NULL;
            if (found) snprintf(what, size, "%s", heavy[i]);
        }
    }
    fclose(f);
    if (lines < 5) bench_fail("%s says nothing", path);
    return found;
}

/* Its messages fill a pipe that nobody reads: there it stands still, all its work behind it, and
 * can be looked at without a debugger. */
static void look_at_maps(void)
{
    char path[PATH_BYTES], what[32] = "";
    int ends[2], waiting = 0;
    FILE *f = create("wrong.mpol", path);
    fputs("use std.mesh\n", f);
    for (int i = 0; i < 200; i++)
        fprintf(f, "rule r%d when nothing_like_%d > 5%% then quarantine svc\n", i, i);
    finish(f);
    if (pipe(ends) != 0) bench_fail("no pipe");
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
    const char *const args[] = {mpol, "check", path, NULL};
    pid_t pid = start(args, ends[1]);
    close(ends[1]);
    for (int i = 0; i < 10000 && waiting < PIPE_BYTES / 2; i++) {
        struct timespec moment = {.tv_nsec = 1000000};
        nanosleep(&moment, NULL);
        ioctl(ends[0], FIONREAD, &waiting);
    }
    if (waiting < PIPE_BYTES / 2) bench_fail("check says too little about a broken policy");
    bool found = mapped(pid, what, sizeof what);
    close(ends[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlink(path);
    if (found) bench_fail("check has mapped %s", what);
    bench_say("check.heavy_libraries", 0, "mapped", NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc != 3) bench_fail("bench_command MPOL FOLDER");
    mpol = argv[1];
    folder = argv[2];
    measure_check_small();
    look_at_maps();
    measure_check_many();
    measure_replay();
    return 0;
}
