/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shop.h"

#define LOOK_NS (5 * NS_PER_MS)
#define RUN_NS (60 * NS_PER_S)

static void point(int fd, const char *file)
{
    char path[SHOP_PATH];
    const char *name = file != NULL ? shop_path(path, "%s", file) : "/dev/null";
    int to = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (to >= 0) dup2(to, fd);
}

/* In the child: it must not outlive us, whatever happens to us. */
static void become(const char *const *argv, const char *out_file, const char *log_file, int log_fd,
                   int parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    point(STDOUT_FILENO, out_file);
    if (log_fd >= 0) {
        dup2(log_fd, STDERR_FILENO);
    } else {
        point(STDERR_FILENO, log_file);
    }
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

bool child_start(struct child *child, const char *const *argv, const char *out_file,
                 const char *log_file)
{
    int ends[2] = {-1, -1};
    *child = (struct child){.out = -1};
    if (log_file == NULL && pipe2(ends, O_CLOEXEC) != 0) return false;
    int parent = getpid(), pid = fork();
    if (pid == 0) become(argv, out_file, log_file, ends[1], parent);
    if (ends[1] >= 0) close(ends[1]);
    if (pid < 0) {
        if (ends[0] >= 0) close(ends[0]);
        return false;
    }
    child->pid = pid;
    child->out = ends[0];
    return true;
}

bool child_alive(struct child *child)
{
    if (child->pid != 0 && waitpid(child->pid, NULL, WNOHANG) != 0) child->pid = 0;
    return child->pid != 0;
}

static bool gone_by(struct child *child, int64_t until_ns)
{
    while (child_alive(child)) {
        if (tell_now_ns() > until_ns) return false;
        tell_sleep_ns(LOOK_NS);
    }
    return true;
}

void child_stop(struct child *child, int64_t patience_ns)
{
    if (!child_alive(child)) return;
    kill(child->pid, SIGTERM);
    if (!gone_by(child, tell_now_ns() + patience_ns)) child_kill(child);
}

void child_kill(struct child *child)
{
    if (!child_alive(child)) return;
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {}
    child->pid = 0;
}

int child_run(const char *const *argv, const char *out_file)
{
    struct child child;
    int status = 0, got = 0;
    if (!child_start(&child, argv, out_file, "run.log")) return -1;
    for (int64_t until = tell_now_ns() + RUN_NS; tell_now_ns() < until; tell_sleep_ns(LOOK_NS)) {
        got = waitpid(child.pid, &status, WNOHANG);
        if (got != 0) break;
    }
    if (got == 0) child_kill(&child);
    return got > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
