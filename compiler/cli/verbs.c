/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

const struct cli_verb cli_verbs[] = {
    {"check", "[OPTIONS] PATH...", "tell every mistake in policies", cli_check_options,
     "  mpol check policies/\n  mpol check --list policy.mpol\n", cli_check},
    {"test", "[OPTIONS] PATH...", "run the tests that policies contain, on a virtual clock",
     cli_test_options, "  mpol test policies/\n  mpol test --format=junit policies/ > report.xml\n",
     cli_test},
    {"replay", "[OPTIONS] POLICY... --telemetry=FILE", "what policies would have done to recorded telemetry",
     cli_replay_options,
     "  mpol replay policy.mpol --telemetry=requests.jsonl\n"
     "  zcat log.gz | mpol replay policy.mpol --telemetry=- --format=json\n",
     cli_replay},
    {"explain", "[CODE]", "what a message means and how it is mended; without CODE: all of them",
     cli_explain_options, "  mpol explain E0301\n", cli_explain},
    {"version", "[OPTIONS]", "which mpol this is", cli_version_options, "  mpol version --json\n",
     cli_version},
    {0},
};
