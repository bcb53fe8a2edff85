/* SPDX-License-Identifier: Apache-2.0
 * Which executor judges: the interpreter at once, native code as soon as it is there.
 */
#include "cli/entries.h"

#include <string.h>

#include "jit/jit.h"
#include "program/layout.h"

/* LIMIT: programs with native code at a time: the one in force, and some on their way */
#define PROGRAMS_MAX 8

static struct {
    const struct mp_program *program;
    struct mp_jit_job *job;
} jobs[PROGRAMS_MAX];

static const struct mp_jit_ops *jit_ops(bool quiet)
{
    static const struct mp_jit_ops *ops;
    static bool tried;
    if (tried) return ops;
    tried = true;
    const struct mp_jit_ops *(*entry)(void);
    void *symbol = cli_open_part("libmpol-jit.so", "mpol_jit", quiet);
    memcpy(&entry, &symbol, sizeof entry);
    if (entry != NULL && entry()->layout == mp_layout_mark()) ops = entry();
    return ops;
}

static struct mp_jit_job *begin(const struct mp_jit_ops *ops, const struct mp_program *program)
{
    for (int i = 0; i < PROGRAMS_MAX; i++) {
        if (jobs[i].job != NULL) continue;
        jobs[i].job = ops->start(program);
        jobs[i].program = program;
        return jobs[i].job;
    }
    return NULL;
}

int cli_use_executor(const struct cli_args *args, struct mp_program *program, bool wait)
{
    static const char *const names[] = {"auto", "interp", "native", NULL};
    enum { AUTO, INTERP, NATIVE };
    int wanted = cli_choice(args, "executor", names);
    if (wanted < 0) return CLI_USAGE;
    if (wanted == INTERP) return CLI_OK;
    const struct mp_jit_ops *ops = jit_ops(wanted == AUTO);
    if (ops == NULL && wanted == NATIVE)
        return cli_complain(args, "there is no native code in this mpol");
    struct mp_jit_job *job = ops != NULL ? begin(ops, program) : NULL;
    if (wanted == AUTO) return CLI_OK; /* nothing waits for it */
    const char *why = "out of memory";
    if (job == NULL || (wait && ops->wait(job, &why) != MP_OK)) {
        return cli_complain(args, "native code cannot be made: %s", why);
    }
    return CLI_OK;
}

void cli_drop_executor(const struct mp_program *program)
{
    for (int i = 0; i < PROGRAMS_MAX && program != NULL; i++) {
        if (jobs[i].job == NULL || jobs[i].program != program) continue;
        jit_ops(true)->end(jobs[i].job);
        jobs[i].job = NULL;
    }
}
