#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A live story goes by the clock, on a machine that may stand still for a moment: one that fails is
# shown and told once more, and fails when it fails twice.
#
#   story.sh COMMAND…
set -u
"$@"
code=$?
case $code in 0 | 77) exit "$code" ;; esac
printf '== exit code %d: told once more\n' "$code"
exec "$@"
