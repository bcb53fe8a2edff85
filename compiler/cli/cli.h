/* SPDX-License-Identifier: Apache-2.0
 * cli.h - the command `mpol`: one file a verb, one table of options a verb.
 *
 * The table is the single source of what is accepted and of `--help`. A verb's function gets what
 * was written and answers with an exit code; it prints results to standard output, complaints to
 * standard error.
 */
#ifndef MP_CLI_CLI_H
#define MP_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/os.h"
#include "base/str.h"
#include "driver/driver.h"

/* The one law of exit codes (all verbs, all formats). */
enum cli_exit {
    CLI_OK = 0,       /* nothing to report; warnings alone are that too */
    CLI_FINDINGS = 1, /* findings, a failed test, "would change" */
    CLI_USAGE = 2,    /* usage; input that is missing, unreadable or invalid */
    CLI_INTERNAL = 3  /* a bug of ours */
};

struct cli_option {
    const char *name;  /* long, without the dashes */
    const char *value; /* what it takes, for the help; NULL: a flag */
    const char *help;  /* NULL: told with another option */
    bool many;         /* may be repeated */
};

struct cli_args;

struct cli_verb {
    const char *name, *operands, *summary;
    const struct cli_option *options; /* ends with a NULL name; `--help` and `--color` are added */
    const char *examples;             /* lines, each with its own line end */
    int (*run)(const struct cli_args *args);
};

/* Verbs, in the order of the help; ends with a NULL name. */
extern const struct cli_verb cli_verbs[];

/* ---- what was written (args.c) ---- */
bool cli_flag(const struct cli_args *args, const char *name);
/* Says which option that is not to be repeated is, and what comes of that. False: none is. */
bool cli_given_twice(const struct cli_args *args, const char *then);
/* The last value given, or `fallback`. */
const char *cli_value(const struct cli_args *args, const char *name, const char *fallback);
/* All values given, in order; *count is 0 where there is none. */
const char *const *cli_values(const struct cli_args *args, const char *name, size_t *count);
const char *const *cli_operands(const struct cli_args *args, size_t *count);
/* The index of the value of `name` in `words` (ends with NULL; index 0 where it was not given),
 * or -1 after one line on standard error that names what is possible. */
int cli_choice(const struct cli_args *args, const char *name, const char *const *words);
/* May what goes to this stream carry colour? --color, NO_COLOR, CLICOLOR_FORCE, TERM, is it a
 * terminal. */
bool cli_colour(const struct cli_args *args, FILE *stream);

/* What stands behind `mpol`. */
const char *cli_verb_name(const struct cli_args *args);
/* One line on standard error: `mpol VERB: …`. The answer is CLI_USAGE. */
int cli_complain(const struct cli_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for memory that cannot be had. */
int cli_no_memory(const struct cli_args *args);

/* Runs a command line; the answer is the exit code. */
int cli_main(int argc, char **argv);

/* ---- files (files.c) ---- */
struct cli_file {
    mp_str name, text; /* text has a NUL behind it that is not counted */
};

struct cli_files {
    struct cli_file *ptr;
    size_t len, cap;
};

/* LIMIT: bytes of one file of policy, and of all that a folder holds. */
#define CLI_POLICY_BYTES (10u * 1024 * 1024)

/* Reads a file, or all *.mpol of a folder and its folders in order of their names; `-` is
 * standard input, which is called `stdin_name`. MP_EXIT codes as above after a complaint. */
int cli_read_policies(const struct cli_args *args, const char *path, const char *stdin_name,
                      struct mp_arena *arena, struct cli_files *out);

/* ---- the world (world.c) ---- */
/* Clocks, digests and regular expressions. libmpol-std is opened when the first of them is asked
 * for: a policy that needs none costs no more than its text. Where it cannot be opened, digests
 * fail and `matches` is refused, with its reason on standard error once. */
const struct mp_os *cli_world(void);
/* The same with the library opened now: what cannot be had is NULL, so an engine without digests
 * keeps its ledger without a chain. */
const struct mp_os *cli_world_open(void);
/* Opens a loadable part (`libmpol-daemon.so`) and finds its entry point; NULL after one line that
 * says what is missing (none where `quiet`). */
void *cli_open_part(const char *library, const char *entry, bool quiet);

/* ---- policies (policies.c) ---- */
/* What a verb that needs policies was given: every operand, and `-I` folders where the verb has
 * that. */
struct cli_policies {
    struct mp_arena arena;
    struct cli_files files;
    struct mp_compilation *compilation;
};

/* Reads and compiles. CLI_OK also where there are errors in the policy. Free in every case. */
int cli_compile(const struct cli_args *args, size_t first_operand, enum mp_compile_goal goal,
                bool with_tests, struct cli_policies *out);
void cli_policies_free(struct cli_policies *p);
/* Writes the messages as text to standard error. */
void cli_print_messages(const struct cli_args *args, struct cli_policies *p);
/* For verbs that cannot go on with errors: compiles to an image, prints all messages where there
 * is an error, and loads. CLI_USAGE for a policy with errors. */
int cli_load(const struct cli_args *args, size_t first_operand, bool with_tests,
             struct cli_policies *p, struct mp_program **out);

#endif
