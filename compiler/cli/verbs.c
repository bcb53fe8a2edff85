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
    {"run", "[OPTIONS] POLICY... --state=DIR", "the daemon: follow telemetry, act, verify, keep the ledger",
     cli_run_options,
     "  mpol run policies/ --telemetry=/var/log/mesh.jsonl --state=/var/lib/mpol --listen=127.0.0.1:9900\n",
     cli_run},
    {"why", "RULE KEY --state=DIR", "why a rule does or does not fire for a key, clause by clause",
     cli_why_options, "  mpol why checkout_errors checkout --state=/var/lib/mpol\n", cli_why},
    {"status", "--state=DIR", "what the daemon knows and what is in force", cli_status_options, NULL,
     cli_status},
    {"release", "INCIDENT | RULE KEY | --all --state=DIR", "take back what an incident has in force",
     cli_release_options, "  mpol release 17 --state=/var/lib/mpol\n", cli_release},
    {"brake", "on|off|status --state=DIR", "on: nothing new is enforced; what is in force keeps its end",
     cli_brake_options, NULL, cli_brake},
    {"reload", "--state=DIR", "read the policies again; one error keeps all that is in force",
     cli_reload_options, NULL, cli_reload},
    {"ledger", "verify|show|export|prune --state=DIR", "the chain of everything that was decided",
     cli_ledger_options,
     "  mpol ledger show --rule=checkout_errors --state=/var/lib/mpol\n"
     "  mpol ledger prune --before=2026-11-01T00:00:00Z --state=/var/lib/mpol\n",
     cli_ledger},
    {"explain", "[CODE]", "what a message means and how it is mended; without CODE: all of them",
     cli_explain_options, "  mpol explain E0301\n", cli_explain},
    {"version", "[OPTIONS]", "which mpol this is", cli_version_options, "  mpol version --json\n",
     cli_version},
    {0},
};
