/* SPDX-License-Identifier: Apache-2.0
 * control.h - a question to a running daemon, by the control socket of its --state folder.
 */
#ifndef MP_CLI_CONTROL_H
#define MP_CLI_CONTROL_H

#include <stddef.h>

#include "cli/cli.h"

/* Sends the words, and copies the answer to standard output, or, where it is that something
 * cannot be done, to standard error. The exit code of the answer; CLI_USAGE after a complaint
 * where there is none. */
int cli_control_ask(const struct cli_args *args, const char *const *words, size_t count);
/* The same, the answer to `to` where it is one. */
int cli_control_ask_to(const struct cli_args *args, const char *const *words, size_t count,
                       FILE *to);

#endif
