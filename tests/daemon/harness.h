/* SPDX-License-Identifier: Apache-2.0
 * harness.h - drives `mpol run` and asks it, in a folder of its own. Every wait is for something to
 * happen and has a bound; none is for time to pass.
 */
#ifndef TEST_DAEMON_HARNESS_H
#define TEST_DAEMON_HARNESS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <sys/types.h>

#include <cmocka.h>

#define WAIT_MS 60000 /* LIMIT: of one wait, on a machine that is busy */

/* Where the command is, from argv. */
void harness_command(const char *path);

/* Fixtures: a folder in $TMPDIR that is the working folder of the test and of what it starts. */
int folder_make(void **state);
int folder_drop(void **state);

/* Whole at once: whoever looks meanwhile sees the old text or the new. */
void put_file(const char *name, const char *text);
void cut_file(const char *name); /* to nothing, for whoever has it open too */
void add_to_file(const char *name, const char *text); /* appended */
void put_bytes(const char *name, const void *bytes, size_t len);
/* The file as text, "" where there is none; lives until the next call. */
const char *get_file(const char *name);
/* The decimal number at `text`, up to a colon or the end of its line. Fails the test where there is
 * anything else, or more than `max`. */
uint32_t number_at(const char *text, uint32_t max);
/* `count` failed logins of a client, as lines. */
void add_failures(const char *name, const char *client, int count);
const char *failure_line(const char *client);

/* Refuses a client after three failures within five minutes, and tells `chat`. */
extern const char flood_policy[];

struct run {
    pid_t pid;
    int err;        /* what it says on standard error */
    char *log;      /* all of it so far */
    size_t len, at; /* at: up to here it has been waited for */
    bool ended;
    int code;       /* exit code, or 128 + signal */
    int port;       /* of --listen, when it has been told */
};

/* Starts `mpol run ARGS... ` (ends with NULL) and waits until it is ready. */
void run_start(struct run *r, ...);
/* The same without waiting; `input` becomes standard input, -1: /dev/null. */
void run_spawn(struct run *r, int input, const char *const *args);
/* Until the log has a further line with this in it. */
void run_wait(struct run *r, const char *text);
/* Has the log this somewhere? Reads what is there. */
bool run_said(struct run *r, const char *text);
/* Until it has ended; its exit code. */
int run_end(struct run *r);
/* SIGTERM, and until it has ended. */
int run_stop(struct run *r);
void run_kill(struct run *r); /* SIGKILL */
void run_free(struct run *r);

/* `mpol ARGS...` (ends with NULL) to its end: exit code; *out is what it printed, on both
 * streams. */
int ask(const char **out, ...);
int ask_words(const char **out, const char *const *words); /* ends with NULL */
/* Asks `status` of ./state until it has this in it. */
void wait_status(const char *text);
bool status_says(const char *text);
/* Until the file has this in it. */
void wait_file(const char *name, const char *text);

/* GET http://127.0.0.1:port/path: the status; *body lives until the next call. */
int get(int port, const char *path, const char **body);
void wait_get(int port, const char *path, int status, const char *text);

/* A short pause between two looks; fails the test when `tries` is used up. */
void pause_between(int *waited_ms, const char *what);

#endif
