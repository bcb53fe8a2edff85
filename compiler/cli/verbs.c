/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

const struct cli_verb cli_verbs[] = {
    {"check", "[OPTIONS] PATH...", "tell every mistake in policies", cli_check_options,
     "  mpol check policies/\n  mpol check --list policy.mpol\n", cli_check},
    {"lint", "[OPTIONS] PATH...", "advice on policies that are legal", cli_lint_options,
     "  mpol lint policies/\n  mpol lint --level=info --deny-warnings policy.mpol\n", cli_lint},
    {"test", "[OPTIONS] PATH...", "run the tests that policies contain, on a virtual clock",
     cli_test_options, "  mpol test policies/\n  mpol test --format=junit policies/ > report.xml\n",
     cli_test},
    {"replay", "[OPTIONS] POLICY... --telemetry=FILE",
     "what policies would have done to recorded telemetry", cli_replay_options,
     "  mpol replay policy.mpol --telemetry=requests.jsonl\n"
     "  zcat log.gz | mpol replay policy.mpol --telemetry=- --format=json\n",
     cli_replay},
    {"run", "[OPTIONS] POLICY... --state=DIR",
     "the daemon: follow telemetry, act, verify, keep the ledger", cli_run_options,
     "  mpol run policies/ --telemetry=/var/log/mesh.jsonl --state=/var/lib/mpol "
     "--listen=127.0.0.1:9900\n",
     cli_run},
    {"why", "RULE KEY --state=DIR", "why a rule does or does not fire for a key, clause by clause",
     cli_why_options, "  mpol why checkout_errors checkout --state=/var/lib/mpol\n", cli_why},
    {"status", "--state=DIR", "what the daemon knows and what is in force", cli_status_options,
     NULL, cli_status},
    {"decisions", "list | add VERB KIND=KEY [NAME=VALUE...] | delete KIND=KEY|#ID --state=DIR",
     "leases by hand: what is in force, one more, one less", cli_decisions_options,
     "  mpol decisions list --state=/var/lib/mpol\n"
     "  mpol decisions add deny client.ip=10.0.0.7 --on=ingress --for=5m --reason='stuffing' "
     "--state=/var/lib/mpol\n"
     "  mpol decisions add throttle service=checkout to=50% --yes --state=/var/lib/mpol\n"
     "  mpol decisions delete client.ip=10.0.0.7 --yes --state=/var/lib/mpol\n",
     cli_decisions},
    {"release", "INCIDENT | RULE KEY | --all --state=DIR",
     "take back what an incident has in force", cli_release_options,
     "  mpol release 17 --state=/var/lib/mpol\n", cli_release},
    {"brake", "on|off|status --state=DIR",
     "on: nothing new is enforced; what is in force keeps its end", cli_brake_options, NULL,
     cli_brake},
    {"reload", "--state=DIR", "read the policies again; one error keeps all that is in force",
     cli_reload_options, NULL, cli_reload},
    {"ledger", "verify|show|export|prune --state=DIR", "the chain of everything that was decided",
     cli_ledger_options,
     "  mpol ledger show --rule=checkout_errors --state=/var/lib/mpol\n"
     "  mpol ledger prune --before=2026-11-01T00:00:00Z --state=/var/lib/mpol\n",
     cli_ledger},
    {"inspect", "--telemetry=FILE", "what is in telemetry: signals, fields, keys, gaps, lateness",
     cli_inspect_options, "  mpol inspect --telemetry=requests.jsonl\n", cli_inspect},
    {"import", "--from=FORMAT [FILE...]", "access logs that people have, as telemetry lines",
     cli_import_options,
     "  mpol import --from=combined access.log > requests.jsonl\n"
     "  kubectl logs -l app=web -c istio-proxy | mpol import --from=envoy-json > requests.jsonl\n",
     cli_import},
    {"envoy", "bootstrap|snippet [OPTIONS] --xds=HOST:PORT",
     "what an Envoy must be told to obey `mpol run --xds`", cli_envoy_options,
     "  mpol envoy bootstrap --layer=service --service=checkout --instance=checkout-1 "
     "--listen=0.0.0.0:8080 --upstream=127.0.0.1:8081 --xds=10.0.0.5:9901 > envoy.json\n",
     cli_envoy},
    {"explain", "[CODE]", "what a message means and how it is mended; without CODE: all of them",
     cli_explain_options, "  mpol explain E0301\n", cli_explain},
    {"version", "[OPTIONS]", "which mpol this is", cli_version_options, "  mpol version --json\n",
     cli_version},
    {0},
};
