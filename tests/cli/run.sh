#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command as a script sees it: exit codes, what goes to which stream, no colour in a pipe.
#
#   run.sh MPOL
set -u
mpol=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

good=$root/examples/02-contain-and-verify/policy.mpol
trace=$root/examples/02-contain-and-verify/trace.jsonl
printf 'use std.mesh\nrule a when eror_rate > 5%% per svc then quarantine svc\n' >"$tmp/bad.mpol"
printf 'use std.mesh\nrule a when error_rate > 5%% per svc then quarantine svc\n' \
    >"$tmp/untested.mpol"
{
    cat "$tmp/untested.mpol"
    printf 'test "no" { 0s: error_rate of "x" = 9%% expect no quarantine "x" ever }\n'
} >"$tmp/failing.mpol"
printf 'garbage\n{"service":"a"}\n' >"$tmp/bad.jsonl"
mkdir "$tmp/empty"

expect() { # CODE WORDS… : the exit code, and nothing of a crash
    local wanted=$1 code
    shift
    "$mpol" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    code=$?
    if [ "$code" != "$wanted" ]; then
        printf 'FAIL mpol %s: exit %s, not %s\n' "$*" "$code" "$wanted"
        head -n 5 "$tmp/err"
        failed=1
    fi
    if grep -q $'\033' "$tmp/out" "$tmp/err"; then
        printf 'FAIL mpol %s: colour in a pipe\n' "$*"
        failed=1
    fi
}

said() { # STREAM PATTERN : what the last one said
    grep -qE -- "$2" "$tmp/$1" && return
    printf 'FAIL: %s does not say /%s/:\n' "$1" "$2"
    head -n 5 "$tmp/$1"
    failed=1
}

# 0: nothing to report
expect 0 --help;                        said out 'replay'
expect 0 --version;                     said out '^mpol [0-9]'
expect 0 version --json;                said out '^\{"version":'
expect 0 check "$good"
expect 0 check --list "$good";          said out 'loop .*failing_service'
expect 0 test "$good";                  said out '^[0-9]+ passed, 0 failed$'
expect 0 explain E0301;                 said out 'E0301'
expect 0 explain e0301
expect 0 -h;                            said out 'replay'
expect 0 check -h;                      said out 'mpol check'
# What clients chose can neither end a line nor speak to a terminal.
printf '{"time":1,"service":"a\\u001b[31m\\nb","status":500}\n' >"$tmp/escape.jsonl"
printf 'use std.mesh\nrule r when count(requests) over 5s > 0 per svc then notify "{svc}!"\n' \
    >"$tmp/escape.mpol"
expect 0 replay "$tmp/escape.mpol" "--telemetry=$tmp/escape.jsonl" --executor=interp
said out 'a.\[31m.b!$'
# Hops of one request share the id that Envoy gives it; each is a record.
hop='{"start_time":"2026-11-23T10:00:00Z","response_code":503,"request_id":"x",'
printf "$hop"'"upstream_cluster":"%s"}\n' a b >"$tmp/hops.json"
expect 0 import --from=envoy-json "$tmp/hops.json"; cp "$tmp/out" "$tmp/hops.jsonl"
expect 0 replay "$tmp/escape.mpol" "--telemetry=$tmp/hops.jsonl" --executor=interp
said out 'r +matched 2 '
expect 0 replay "$good" "--telemetry=$trace" --executor=interp; said out 'pending → open'
# A gauge that comes exactly when its last value ends is neither late nor missed.
gauge='"signal":"cert_expires_in","service":"pay","value":"144h"'
printf '{"time":"2026-11-23T10:0%d:00.5Z",'"$gauge"'}\n' 0 1 2 >"$tmp/gauge.jsonl"
expect 0 replay "$root/examples/08-mtls-posture/policy.mpol" --telemetry="$tmp/gauge.jsonl"
said out '3 records, 0 bad lines, 0 late'
expect 0 replay "$good" "--telemetry=$tmp/bad.jsonl" --executor=interp
said err 'bad.jsonl:1: .*skipped'
for verb in check lint test replay run why status release brake reload ledger inspect import envoy \
    decisions explain version; do
    "$mpol" --help | grep -q "^  $verb " || continue
    expect 0 $verb --help
    [ "$(wc -l <"$tmp/out")" -le 25 ] || { echo "FAIL $verb --help: over 25 lines"; failed=1; }
done

# A misspelt signal, field or value is counted where its author looks.
printf '%s\n' '{"time":1,"signal":"request","service":"a"}' \
    '{"time":1,"service":"a","status":"bogus","pth":"/"}' >"$tmp/misspelt.jsonl"
expect 0 replay "$tmp/untested.mpol" "--telemetry=$tmp/misspelt.jsonl"
said out '^1 lines of a signal .*, 1 values'
expect 0 replay "$tmp/untested.mpol" "--telemetry=$tmp/misspelt.jsonl" --format=json
said out '"unread_lines":1,"unread_fields":1,"bad_values":1'

# What telemetry calls its signals must not speak to a terminal.
printf '{"signal":"a\\u001b[31m","time":1,"service":"x"}\n' >"$tmp/escape.jsonl"
expect 0 inspect "--telemetry=$tmp/escape.jsonl"; said out '^signal a\?'

mkdir "$tmp/packages"
printf 'package ops.limits\nuse std.mesh\nlet much: percent = 5%%\n' >"$tmp/packages/limits.mpol"
printf 'use std.mesh\nuse ops.limits\nrule a when error_rate > much per svc then quarantine svc\n' \
    >"$tmp/uses.mpol"
expect 0 check -I "$tmp/packages" "$tmp/uses.mpol"
expect 0 check "--include=$tmp/packages" "$tmp/uses.mpol"
expect 1 check "$tmp/uses.mpol";        said err 'E0111'

# A file without a package is one of its own: its tests do not wake the rules of another.
printf 'use std.mesh\nrule one when error_rate > 5%% per svc then quarantine svc for 1m\n' \
    >"$tmp/one.mpol"
printf '%s\n' 'use std.mesh' \
    'test "alone" { 0s..1m: error_rate of "x" = 10% expect no quarantine "x" ever }' \
    >"$tmp/two.mpol"
expect 0 test "$tmp/one.mpol" "$tmp/two.mpol"

# 1: findings, a failed test
expect 1 check "$tmp/bad.mpol";         said err 'E0101'
expect 1 check --format=json "$tmp/bad.mpol"; said out '"code":"E0101"'
expect 1 check "$tmp/bad.mpol" "$good"
expect 1 test "$tmp/failing.mpol";      said out '^0 passed, 1 failed$'
expect 1 test --format=json "$tmp/failing.mpol";  said out '"failed":1'
expect 1 test --format=junit "$tmp/failing.mpol"; said out '<failure'

# 2: usage, input that is missing, unreadable or invalid
expect 2;                               said err 'say what to do'
expect 2 chekc;                         said err 'did you mean'
expect 2 check
expect 2 check /nonexistent;            said err 'No such file'
expect 2 check "$tmp/empty";            said err 'no \*\.mpol'
expect 2 check --fromat=json "$good";   said err 'no option --fromat'
expect 2 check --format=xml "$good";    said err 'text json'
expect 2 check --format
expect 2 test "$tmp/bad.mpol";          said err 'E0101'
expect 2 test "$tmp/untested.mpol";     said err 'no test'
expect 2 replay "$good";                said err 'telemetry'
expect 2 replay "$good" --telemetry=/nonexistent
expect 2 replay "$tmp/bad.mpol" "--telemetry=$trace"
expect 2 replay "$good" "--telemetry=$tmp/bad.jsonl" --strict
expect 2 replay "$good" "--telemetry=$trace" --set=trip;       said err 'NAME=VALUE'
expect 2 replay "$good" "--telemetry=$trace" --set=nothing=1%; said err 'no param'
expect 2 replay "$good" "--telemetry=$trace" --set=trip=90%;   said err 'range'
expect 2 replay "$good" "--telemetry=$trace" --drain=soon;     said err 'no duration'
expect 2 explain E9999;                 said err 'no code'
expect 2 run "$good";                   said err '--state'
expect 2 run "$good" --state=a --state=b;   said err 'state is given twice: a and b$'
expect 2 run "$good" "--state=$tmp/s" --module-socket=/nope/dir/x
said err 'module-socket=/nope/dir/x: the folder is not there'
expect 2 decisions add deny client=1.2.3.4 --on=ingress --on=service "--state=$tmp/empty"
said err 'on is given twice: ingress and service'
expect 2 status "--state=$tmp/empty";   said err 'no daemon'
expect 2 why a b "--state=$tmp/empty"
expect 2 brake "--state=$tmp/empty"
expect 2 ledger verify "--state=$tmp/empty"

# What an Envoy is told: every name that both sides must agree on, whole JSON, and no half of a
# thing.
who=(--layer=service --service=checkout --instance=checkout-1 --listen=127.0.0.1:8080
    --xds=127.0.0.1:9901)
expect 0 envoy bootstrap "${who[@]}" --upstream=localhost:8081 --admin=127.0.0.1:9902
cp "$tmp/out" "$tmp/service.json"
expect 0 envoy bootstrap "${who[@]}" --layer=ingress --route=/=checkout --route=/=checkout@v2 \
    --route=/pay=pay
said out '"cluster": "ingress|"id": "ingress/checkout/checkout-1"'
said out '"name": "checkout@v2"'
cat "$tmp/out" >>"$tmp/service.json"
names=$root/runtime/backends/envoy_xds/names.h
for name in DENY ALLOW THROTTLE SHARE RUNTIME_LAYER RUNTIME KEY_SHARE ROUTES ACCESS_LOG \
    CONTROL_CLUSTER OWN_PATH; do
    word=$(sed -nE "s/^#define MP_ENVOY_$name \"(.*)\"$/\1/p" "$names")
    [ -n "$word" ] && grep -qF "\"$word\"" "$tmp/service.json" && continue
    echo "FAIL: mpol envoy bootstrap does not say MP_ENVOY_$name ($word)"
    failed=1
done
expect 0 envoy snippet --xds=127.0.0.1:9901; said out '"mpol-deny"'
expect 0 envoy snippet --xds=:9901 --xff-hops=2;               said out 'xff_num_trusted_hops: 2'
expect 2 envoy snippet --xds=:9901 --upstream=:8081;           said err 'is of .bootstrap.'
expect 2 envoy snippet --xds=:9901 --http2;                    said err 'is of .bootstrap.'
expect 2 envoy snippet --xds=:9901 --for=istio --xff-hops=2;   said err 'numTrustedProxies'
expect 0 envoy bootstrap "${who[@]}" --upstream=:8081 --instance='say "hi"'; said out 'say ..hi.."'
expect 2 envoy;                                                     said err 'bootstrap, or snippet'
expect 2 envoy bootstrap "${who[@]}"
said err '--upstream, or --route'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --route=/=b
said err '--upstream, or --route'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --layer=other;  said err 'service ingress edge'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:70000;            said err 'HOST:PORT'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --listen=b:1;   said err 'numeric ADDR:PORT'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --service=a/b
said err 'without further slashes'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --tls-cert=x;   said err 'belong together'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --log-header=:path
said err 'log-header=:path: no name of a header'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --log-header='x y'
said err 'no name of a header'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --log-header=
said err 'no name of a header'
expect 2 envoy bootstrap "${who[@]}" --upstream=a:1 --tls-cert= --tls-key=x --tls-ca=y
said err 'tls-cert= names no file'
expect 0 envoy bootstrap "${who[@]}" --upstream=a:1 "--tls-cert=$good" --tls-key=none.key \
    "--tls-ca=$good"
said err '--tls-key=none.key: No such file'; said out 'none.key'
expect 2 envoy bootstrap "${who[@]}" --route=pay=checkout;          said err '/PREFIX=SERVICE'
expect 2 envoy bootstrap "${who[@]}" --route=/.mpol/x=checkout;     said err "mpol's own"
expect 0 envoy bootstrap "${who[@]}" --upstream=a:1 --upstream=b:1
said err 'upstream is given twice: a:1 and b:1; the last one counts'
expect 2 envoy bootstrap --layer=service;                           said err 'needs --service'
printf '%s\n' 'use std.mesh' 'rule a when count(requests) over 5s > 9 per client.ip' \
    'then challenge client.ip for 1m' >"$tmp/ask.mpol"
expect 2 run "$tmp/ask.mpol" --xds=127.0.0.1:0 "--state=$tmp/never"; said err 'E0701'

# Certificates for the port that are not whole, or none.
printf 'use std.mesh\nrule a when count(requests) over 5s > 9 per client.ip then notify "x"\n' \
    >"$tmp/tell.mpol"
port=(run "$tmp/tell.mpol" --xds=127.0.0.1:0 "--state=$tmp/port")
expect 2 "${port[@]}" "--xds-cert=$tmp/none";                       said err 'all three'
expect 2 "${port[@]}" --xds-key=x --xds-ca=y;                       said err 'all three'
expect 2 "${port[@]}" "--xds-cert=$tmp/tell.mpol" --xds-key=x --xds-ca=y
said err 'no certificate in PEM'

expect 2 run "$tmp/tell.mpol" "--state=$tmp/port" --xds-cert=x
said err '--xds-cert is of the port of --xds'
expect 2 run "$tmp/tell.mpol" "--state=$tmp/port" --sds=x
said err '--sds is of the port of --xds'

# The same answer where nobody reads it to the end.
"$mpol" check --format=json "$tmp/bad.mpol" 2>/dev/null | head -c 1 >/dev/null
[ "${PIPESTATUS[0]}" = 1 ] ||
    { echo "FAIL check: another exit code when its reader goes away"; failed=1; }

# Standard input, with a name.
"$mpol" check --stdin-filename=named.mpol - <"$tmp/bad.mpol" 2>"$tmp/err"
said err 'named.mpol:2:'

# Colour where it is asked for, and never against NO_COLOR.
CLICOLOR_FORCE=1 "$mpol" check "$tmp/bad.mpol" 2>&1 | grep -q $'\033' ||
    { echo "FAIL: CLICOLOR_FORCE"; failed=1; }
CLICOLOR_FORCE=1 NO_COLOR=1 "$mpol" check "$tmp/bad.mpol" 2>&1 | grep -q $'\033' &&
    { echo "FAIL: NO_COLOR"; failed=1; }

# What every replay says, it says again.
"$mpol" replay "$good" "--telemetry=$trace" --executor=interp --format=json >"$tmp/a"
"$mpol" replay "$good" "--telemetry=$trace" --executor=interp --format=json >"$tmp/b"
cmp -s "$tmp/a" "$tmp/b" || { echo "FAIL: two replays differ"; failed=1; }
exit $failed
