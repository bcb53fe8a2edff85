/* SPDX-License-Identifier: Apache-2.0
 * verbs.h - the verbs: a table of options and a function each; the list is in verbs.c.
 */
#ifndef MP_CLI_VERBS_H
#define MP_CLI_VERBS_H

#include "cli/cli.h"

#define CLI_VERBS(X)                                                                               \
    X(check) X(lint) X(test) X(replay) X(run) X(why) X(status) X(decisions) X(release)             \
    X(brake) X(reload) X(ledger) X(inspect) X(import) X(envoy) X(explain) X(version)

#define CLI_VERB_DECLARE(name)                                                                     \
    extern const struct cli_option cli_##name##_options[];                                         \
    int cli_##name(const struct cli_args *args);
CLI_VERBS(CLI_VERB_DECLARE)
#undef CLI_VERB_DECLARE

#endif
