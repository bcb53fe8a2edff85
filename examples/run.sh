#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs the main job: a small shop mesh on loopback in which
# things go wrong, and a policy that sees it, acts, checks that it helped, and lets go. Ends by
# itself in under a minute; exit 0 only if every loop closed as the policy says.
#
#   bash examples/run.sh [--no-jit] [--seed N] [--policy FILE]
#   bash examples/run.sh --envoy [--no-jit] [--seed N] [--story N]
#
# --envoy: the same behind unmodified Envoys (fetched once, 36 MB), with `mpol run` as their control
# plane; seven things go wrong, it takes about a minute and a half.
set -u
mpol_root=$(cd "$(dirname "$0")/.." && pwd)
. "$mpol_root/cmake/bootstrap.sh"

arguments=() envoy=
while [ $# -gt 0 ]; do
    case $1 in
        --no-jit) MPOL_JIT=OFF ;;
        --envoy) envoy=yes ;;
        -h | --help) sed -n '3,11p' "$0"; exit 0 ;;
        *) arguments+=("$1") ;;
    esac
    shift
done

mpol_bootstrap "$mpol_root/build" || exit 2
if [ "${MPOL_JIT:-ON}" = OFF ]; then
    mpol_say "mpol: without native code: policies are interpreted"
fi
if [ -n "$envoy" ]; then
    mpol_envoy "$mpol_root/build" || {
        mpol_say "mpol: left out without an Envoy: the seven stories of --envoy"
        exit 1
    }
    exec "$mpol_root/build/examples/envoy/envoy_shop" ${arguments[@]+"${arguments[@]}"}
fi
exec "$mpol_root/build/examples/mesh/mesh" ${arguments[@]+"${arguments[@]}"}
