/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../loopback/folder.h"

#define ARGS_MAX 32
#define ASK_MAX 64
#define ROOM (1u << 20)
#define PAUSE_MS 5
#define RUNS_MAX 8

static const char *command;
static char folder[512], before[512];
static pid_t running[RUNS_MAX];

const char flood_policy[] =
    "use std.mesh\n"
    "rule flood\n"
    "  when count(requests where status == 401) over 5m >= 3 per client.ip max 1k\n"
    "  then deny client.ip for 30m and notify \"flood {client.ip}\" via chat\n";

void harness_command(const char *path)
{
    command = path;
    signal(SIGPIPE, SIG_IGN);
}

/* ---- folders and files ---- */

int folder_make(void **state)
{
    if (!tmp_folder_make(folder, sizeof folder, "daemon")) return -1;
    if (getcwd(before, sizeof before) == NULL) return -1;
    return chdir(folder);
}

static void empty_folder(const char *path)
{
    DIR *d = opendir(path);
    char inner[1024];
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (unlink(inner) == 0) continue;
        empty_folder(inner);
        rmdir(inner);
    }
    if (d != NULL) closedir(d);
}

/* A test that failed leaves its daemon behind. */
static void end_what_runs(void)
{
    for (int i = 0; i < RUNS_MAX; i++) {
        if (running[i] == 0) continue;
        kill(running[i], SIGKILL);
        waitpid(running[i], NULL, 0);
        running[i] = 0;
    }
}

static void note_run(pid_t from, pid_t to)
{
    int i = 0;
    while (i < RUNS_MAX && running[i] != from) i++;
    assert_true(i < RUNS_MAX);
    running[i] = to;
}

int folder_drop(void **state)
{
    end_what_runs();
    if (chdir(before) != 0) return -1;
    empty_folder(folder);
    return rmdir(folder);
}

static void write_file(const char *name, int flags, const void *bytes, size_t len)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

void put_bytes(const char *name, const void *bytes, size_t len)
{
    char fresh[512];
    snprintf(fresh, sizeof fresh, "%s.fresh", name);
    write_file(fresh, O_TRUNC, bytes, len);
    assert_int_equal(rename(fresh, name), 0);
}
void put_file(const char *name, const char *text) { put_bytes(name, text, strlen(text)); }
void cut_file(const char *name) { write_file(name, O_TRUNC, "", 0); }
void add_to_file(const char *name, const char *text)
{
    write_file(name, O_APPEND, text, strlen(text));
}

const char *get_file(const char *name)
{
    static char room[ROOM];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, room, sizeof room - 1) : 0;
    if (fd >= 0) close(fd);
    room[len > 0 ? len : 0] = '\0';
    return room;
}

uint32_t number_at(const char *text, uint32_t max)
{
    char *end = NULL;
    bool digit = text[0] >= '0' && text[0] <= '9';
    errno = 0;
    unsigned long n = digit ? strtoul(text, &end, 10) : 0;
    if (!digit || errno != 0 || n > max || strchr("\n:", *end) == NULL) {
        fail_msg("no number up to %u: %.40s", max, text);
    }
    return (uint32_t)n;
}

const char *failure_line(const char *client)
{
    static char line[200];
    snprintf(line, sizeof line, "{\"service\":\"a\",\"client\":{\"ip\":\"%s\"},\"status\":401}\n",
             client);
    return line;
}

void add_failures(const char *name, const char *client, int count)
{
    for (int i = 0; i < count; i++) add_to_file(name, failure_line(client));
}

/* ---- waiting ---- */

void pause_between(int *waited_ms, const char *what)
{
    poll(NULL, 0, PAUSE_MS);
    *waited_ms += PAUSE_MS;
    if (*waited_ms > WAIT_MS) fail_msg("it never came to: %s", what);
}

/* ---- the daemon ---- */

static pid_t spawn(int in, int out, int err, const char *const *args)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0) return pid;
    int nothing = open("/dev/null", O_RDWR);
    dup2(in >= 0 ? in : nothing, 0);
    dup2(out >= 0 ? out : nothing, 1);
    dup2(err, 2);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is killed leaves nobody behind */
    execv(command, (char *const *)args);
    _exit(127);
}

void run_spawn(struct run *r, int input, const char *const *args)
{
    const char *all[ARGS_MAX] = {command, "run"};
    int pipes[2];
    for (int i = 0; args[i] != NULL && i < ARGS_MAX - 3; i++) all[2 + i] = args[i];
    *r = (struct run){.err = -1};
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    r->pid = spawn(input, -1, pipes[1], all);
    note_run(0, r->pid);
    close(pipes[1]);
    r->err = pipes[0];
    r->log = calloc(1, 1);
    assert_non_null(r->log);
}

void run_start(struct run *r, ...)
{
    const char *args[ARGS_MAX] = {NULL};
    va_list list;
    va_start(list, r);
    for (int i = 0; i < ARGS_MAX - 1 && (args[i] = va_arg(list, const char *)) != NULL; i++) {
    }
    va_end(list);
    run_spawn(r, -1, args);
    run_wait(r, "ready: ");
    const char *port = strstr(r->log, "listening on port ");
    if (port != NULL) r->port = (int)number_at(port + strlen("listening on port "), UINT16_MAX);
}

/* False: nothing came within the time; at its end `ended` is set. */
static bool read_more(struct run *r, int wait_ms)
{
    char room[65536];
    struct pollfd p = {.fd = r->err, .events = POLLIN};
    if (r->err < 0 || poll(&p, 1, wait_ms) <= 0) return false;
    ssize_t got = read(r->err, room, sizeof room);
    if (got <= 0) {
        close(r->err);
        r->err = -1;
        return false;
    }
    r->log = realloc(r->log, r->len + (size_t)got + 1);
    assert_non_null(r->log);
    for (ssize_t i = 0; i < got; i++) r->log[r->len + (size_t)i] = room[i] != '\0' ? room[i] : '@';
    r->len += (size_t)got;
    r->log[r->len] = '\0';
    return true;
}

_Noreturn static void never(struct run *r, const char *text)
{
    fprintf(stderr, "%s", r->log);
    fail_msg("the log never said: %s", text);
    abort();
}

void run_wait(struct run *r, const char *text)
{
    for (;;) {
        const char *found = strstr(r->log + r->at, text);
        if (found != NULL) {
            r->at = (size_t)(found - r->log) + strlen(text);
            return;
        }
        if (!read_more(r, WAIT_MS)) never(r, text);
    }
}

bool run_said(struct run *r, const char *text)
{
    while (read_more(r, 0)) {
    }
    return strstr(r->log, text) != NULL;
}

int run_end(struct run *r)
{
    int status;
    while (r->err >= 0) {
        if (!read_more(r, WAIT_MS) && r->err >= 0) never(r, "(its end)");
    }
    if (!r->ended) {
        assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
        note_run(r->pid, 0);
        r->ended = true;
        r->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return r->code;
}

int run_stop(struct run *r)
{
    kill(r->pid, SIGTERM);
    int code = run_end(r);
    if (code != 0) fprintf(stderr, "%s", r->log);
    return code;
}

void run_kill(struct run *r)
{
    kill(r->pid, SIGKILL);
    run_end(r);
}

void run_free(struct run *r)
{
    if (!r->ended) run_kill(r);
    free(r->log);
    r->log = NULL;
}

/* ---- questions ---- */

int ask_words(const char **out, const char *const *words)
{
    static char room[ROOM];
    const char *args[ASK_MAX] = {command};
    int pipes[2], status;
    for (int i = 1; i < ASK_MAX - 1 && (args[i] = words[i - 1]) != NULL; i++) {
    }
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = spawn(-1, pipes[1], pipes[1], args);
    close(pipes[1]);
    size_t len = 0;
    ssize_t got;
    while (len < sizeof room - 1 && (got = read(pipes[0], room + len, sizeof room - 1 - len)) > 0)
        len += (size_t)got;
    room[len] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (out != NULL) *out = room;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int ask(const char **out, ...)
{
    const char *words[ARGS_MAX] = {NULL};
    va_list list;
    va_start(list, out);
    for (int i = 0; i < ARGS_MAX - 1 && (words[i] = va_arg(list, const char *)) != NULL; i++) {
    }
    va_end(list);
    return ask_words(out, words);
}

bool status_says(const char *text)
{
    const char *out;
    return ask(&out, "status", "--state=state", NULL) == 0 && strstr(out, text) != NULL;
}

void wait_status(const char *text)
{
    int waited = 0;
    while (!status_says(text)) pause_between(&waited, text);
}

void wait_file(const char *name, const char *text)
{
    int waited = 0;
    while (strstr(get_file(name), text) == NULL) pause_between(&waited, text);
}

/* ---- HTTP ---- */

int get(int port, const char *path, const char **body)
{
    static char room[ROOM];
    char request[512];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    int asked = snprintf(request, sizeof request,
                         "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(write(fd, request, (size_t)asked), asked);
    size_t len = 0;
    ssize_t got;
    while (len < sizeof room - 1 && (got = read(fd, room + len, sizeof room - 1 - len)) > 0)
        len += (size_t)got;
    room[len] = '\0';
    close(fd);
    assert_int_equal(sscanf(room, "HTTP/1.1 %d", &status), 1);
    const char *end = strstr(room, "\r\n\r\n");
    assert_non_null(end);
    if (body != NULL) *body = end + 4;
    return status;
}

void wait_get(int port, const char *path, int status, const char *text)
{
    const char *body;
    int waited = 0;
    while (get(port, path, &body) != status || strstr(body, text) == NULL)
        pause_between(&waited, text);
}
