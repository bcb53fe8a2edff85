#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Measures what mpol promises about speed: prints a JSON line a figure, and exits 1 where one does
# not hold (thresholds.txt), 2 where something cannot be measured.
#
#   bash tests/bench/run.sh [BUILD]     BUILD: a release build, default `build`
#
# BENCH_QUICK=1 makes it short and holds nothing against anything: are all figures still there?
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-${MPOL_BINARY_DIR:-$here/../../build}}
build=$(cd "$build" && pwd) || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT INT TERM

for bench in rules loop verdict command; do
    if [ ! -x "$build/tests/bench/bench_$bench" ]; then
        echo "bench: $build has no bench_$bench" >&2
        exit 2
    fi
done
{
    "$build/tests/bench/bench_rules" &&
    "$build/tests/bench/bench_loop" &&
    "$build/tests/bench/bench_verdict" &&
    "$build/tests/bench/bench_command" "$build/mpol" "$work" || touch "$work/failed"
    if [ -x "$build/tests/bench/bench_als" ]; then
        "$build/tests/bench/bench_als" "$build/mpol" || touch "$work/failed"
    fi
    # With a live Envoy, where there is one (77: there is none).
    with_envoy() {
        [ -x "$1" ] || return 0
        MPOL_BINARY_DIR=$build "$@" >"$work/envoy"
        case $? in
            0) cat "$work/envoy" ;;
            77) sed 's/^/bench: /' "$work/envoy" >&2 ;;
            *) touch "$work/failed" ;;
        esac
    }
    with_envoy "$build/tests/bench/bench_envoy" "$build/mpol" "$build/lib/mpol"
    with_envoy "$build/tests/bench/bench_module" "$build/lib/mpol" "$build/lib/empty"
    with_envoy "$build/tests/bench/bench_addresses" "$build/mpol" "$build/lib/mpol"
    # Many simulated proxies, where the build has the means.
    if [ -x "$build/tests/bench/bench_fleet" ]; then
        "$build/tests/bench/bench_fleet" "$build/mpol" "$work" || touch "$work/failed"
    fi
} | tee "$work/figures"
[ ! -e "$work/failed" ] || exit 2

# Every figure of thresholds.txt that this build has: without LLVM there is none of native code,
# without jq none beside it, without an Envoy none of a mesh.
awk -v quick="${BENCH_QUICK:-}" '
    function member(line, name,    at, rest) {
        at = index(line, "\"" name "\":")
        if (at == 0) return ""
        rest = substr(line, at + length(name) + 3)
        sub(/[,}].*/, "", rest)
        return rest
    }
    BEGIN {
        figure = "^\\{\"name\":\"[a-z0-9_.]+\",\"value\":[-+.e0-9]+,\"unit\":\"[^\"]*\","
        figure = figure "\"vs\":(null|\"[^\"]*\"),\"ratio\":(null|[-+.e0-9]+)\\}$"
    }
    FNR == NR {
        if ($0 !~ /^#/ && NF == 4) { which[$1] = $2; how[$1] = $3; limit[$1] = $4 }
        next
    }
    {
        if ($0 !~ figure) {
            print "bench: not a figure: " $0 > "/dev/stderr"; bad = 1; next
        }
        name = member($0, "name"); gsub(/"/, "", name); seen++
        if (quick != "" || !(name in which)) next
        is = member($0, which[name])
        if (is == "null") next
        holds = how[name] == "<=" ? is + 0 <= limit[name] + 0 : is + 0 >= limit[name] + 0
        if (!holds) {
            promise = how[name] " " limit[name]
            print "bench: " name ": " which[name] " is " is ", must be " promise > "/dev/stderr"
            bad = 1
        }
    }
    END { if (seen < 12) { print "bench: figures are missing" > "/dev/stderr"; bad = 1 } exit bad }
' "$here/thresholds.txt" "$work/figures"
