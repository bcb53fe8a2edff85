#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What policies do to telemetry: NAME.mpol, NAME.ndjson (and NAME.inventory) give NAME.out, one line
# a transition, without what a wording may change.
#
#   run.sh MPOL [--bless] [NAME...]
set -u
mpol=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
bless=0
if [ "${1-}" = --bless ]; then
    bless=1
    shift
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

short() { # JSON lines → what matters of each
    sed -nE \
        -e 's/.*"time":"[^"]*T([^"]*)Z","machine":"incident","rule":"([^"]*)","key":"([^"]*)".*"from":"([^"]*)","to":"([^"]*)".*"why":"([^"]*)".*/\1 \2 \3: \4 > \5 (\6)/p;t' \
        -e 's/.*"time":"[^"]*T([^"]*)Z","machine":"incident","rule":"([^"]*)","key":"([^"]*)".*"from":"([^"]*)","to":"([^"]*)".*/\1 \2 \3: \4 > \5/p;t' \
        -e 's/.*"time":"[^"]*T([^"]*)Z","machine":"lease","rule":"([^"]*)","key":"([^"]*)".*"verb":"([^"]*)","target":"([^"]*)","args":(\{[^}]*\}).*"to":"(effective|withheld|superseded|withdrawn)","cause":(\{.*\})\}/\1 \2 \3: \7 \4 \5 \6 \8/p;t' \
        -e 's/.*"message":.*"time":"[^"]*T([^"]*)Z".*"rule":"([^"]*)","key":"([^"]*)","verb":"([^"]*)".*"text":"(([^"\\]|\\.)*)".*/\1 \2 \3: \4 "\5"/p;t' \
        -e 's/^\{"summary":(.*)\}$/\1/p'
}

for policy in "$here"/*.mpol; do
    name=$(basename "$policy" .mpol)
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    args=("$policy" --telemetry="$here/$name.ndjson" --executor=interp --format=json)
    [ -f "$here/$name.inventory" ] && args+=(--inventory="$here/$name.inventory")
    drain=$(sed -nE 's/^# drain: (.*)/\1/p' "$policy")
    [ -n "$drain" ] && args+=(--drain="$drain")
    "$mpol" replay "${args[@]}" >"$tmp/json" 2>"$tmp/err"
    short <"$tmp/json" >"$tmp/out"
    sed 's/^/! /' "$tmp/err" | sed "s|$here/||g" >>"$tmp/out"
    if [ $bless = 1 ]; then
        cp "$tmp/out" "$here/$name.out"
    elif ! diff -u "$here/$name.out" "$tmp/out"; then
        printf 'FAIL %s\n' "$name"
        failed=1
    fi
done
exit $failed
