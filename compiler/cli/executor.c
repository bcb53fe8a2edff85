/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/entries.h"

int cli_use_executor(const struct cli_args *args, struct mp_program *program, bool wait)
{
    static const char *const names[] = {"auto", "interp", "native", NULL};
    int wanted = cli_choice(args, "executor", names);
    if (wanted < 0) return CLI_USAGE;
    if (wanted == 2) return cli_complain(args, "native code is not built into this mpol (libmpol-jit.so)");
    return CLI_OK;
}

void cli_drop_executor(struct mp_program *program) {}
