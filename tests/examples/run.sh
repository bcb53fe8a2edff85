#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every example does what it says: checks without an error, passes its own tests, and replays its
# trace to what expect.txt has, with every executor there is.
#
#   run.sh MPOL [--bless]      --bless writes expect.txt anew: read the difference before you commit
set -u
mpol=$1 bless=${2:-}
root=$(cd "$(dirname "$0")/../.." && pwd)
failed=0

fail() {
    printf 'FAIL %s\n' "$*"
    failed=1
}

replay() { # FOLDER [OPTIONS…]
    local folder=$1
    shift
    (cd "$folder" && "$mpol" replay policy.mpol --telemetry=trace.jsonl \
        $([ -e inventory.jsonl ] && echo --inventory=inventory.jsonl) --drain=20m "$@" 2>&1)
}

for folder in "$root"/examples/[0-9]*/; do
    name=$(basename "$folder")
    "$mpol" check "$folder/policy.mpol" || fail "$name: check"
    "$mpol" test "$folder/policy.mpol" >/dev/null || fail "$name: test"
    [ -z "$bless" ] || replay "$folder" --executor=interp >"$folder/expect.txt"
    replay "$folder" --executor=interp | diff -u "$folder/expect.txt" - || fail "$name: replay"
    if native=$(replay "$folder" --executor=native); then
        [ "$native" = "$(cat "$folder/expect.txt")" ] || fail "$name: native code differs"
    fi
done
# A policy that stands alone in a folder is an example as well.
for policy in "$root"/examples/mesh/*.mpol "$root"/examples/envoy/*.mpol; do
    "$mpol" check "$policy" || fail "$policy: check"
    "$mpol" test "$policy" >/dev/null || fail "$policy: test"
done
# And so is what documents show: every block of ```mpol is a policy.
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
awk -v to="$pages" '
    /^```mpol/ { n++; file = to "/" n ".mpol"; next }
    /^```/ { file = "" }
    file { print >file }' "$root"/docs/*.md
for policy in "$pages"/*.mpol; do
    "$mpol" check "$policy" || { fail "a policy in docs/"; cat "$policy"; }
    grep -q '^test ' "$policy" && { "$mpol" test "$policy" || fail "a test in docs/"; }
done
exit $failed
