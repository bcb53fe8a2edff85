#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and passes all tests. Ends with one line:
# "N passed, N failed, N left out".
#
#   bash tests/run.sh [--no-jit] [--only LAYER] [--match REGEX] [--skip LAYERS] [--no-envoy]
#                     [--build FOLDER] [-- CMAKE OPTIONS…]
#
# A test is called LAYER.NAME; LAYER is one of unit golden cli diff sim fault kill daemon
# conformance fuzz api bench tidy examples envoy.
# Tests of layer envoy need an Envoy: it is fetched once; where it cannot be had they are left out
# by name; --no-envoy fetches none. What takes a minute by the clock is left out by name too, and
# run by --only long.
set -u
mpol_root=$(cd "$(dirname "$0")/.." && pwd)
. "$mpol_root/cmake/bootstrap.sh"

build=$mpol_root/build select=() options=() envoy=yes skip=() all=yes
while [ $# -gt 0 ]; do
    case $1 in
        --no-jit) MPOL_JIT=OFF ;;
        --only) select+=(-L "^$2\$"); all=; shift ;;
        --match) select+=(-R "$2"); all=; shift ;;
        --skip) skip+=("$2"); shift ;;
        --no-envoy) envoy= ;;
        --build) build=$mpol_root/$2; shift ;;
        --) shift; options=("$@"); break ;;
        -h | --help) sed -n '3,13p' "$0"; exit 0 ;;
        *) mpol_say "tests/run.sh: unknown option $1; see --help"; exit 2 ;;
    esac
    shift
done

mpol_bootstrap "$build" ${options[@]+"${options[@]}"} || exit 2

[ -n "$envoy" ] && mpol_envoy "$build"

# Whoever asks for a test by its layer or name gets it.
[ -n "$all" ] && skip+=(long)
if [ ${#skip[@]} -gt 0 ]; then select+=(-LE "^($(IFS='|'; echo "${skip[*]}"))\$"); fi
results=$build/test-results.txt
ctest --test-dir "$build" --output-on-failure -j "$(nproc)" ${select[@]+"${select[@]}"} \
    >"$results" 2>&1
status=$?
skipped=$(grep -c '\*\*\*Skipped' "$results")
failed=$(grep -cE '\*\*\*(Failed|Timeout|Exception|Not Run)' "$results")
total=$(grep -cE '^ *[0-9]+/[0-9]+ Test' "$results")
grep -E '^-- left out: ' "$build/bootstrap.log" | sed 's/^-- /mpol: /'
grep '\*\*\*Skipped' "$results" | sed -E 's/^.*Test +#[0-9]+: ([^ ]+).*/mpol: left out: \1/'
long=()
[ -n "$all" ] && mapfile -t long < <(ctest --test-dir "$build" -N -L '^long$' |
    sed -nE 's/^ *Test +#[0-9]+: //p')
for name in ${long[@]+"${long[@]}"}; do printf 'mpol: left out: %s (--only long)\n' "$name"; done
if [ "$status" != 0 ] || [ "$total" = 0 ]; then
    cat "$results"
fi
printf '%d passed, %d failed, %d left out\n' $((total - failed - skipped)) "$failed" \
    $((skipped + ${#long[@]}))
[ "$status" = 0 ] && [ "$total" -gt 0 ]
