#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The first chapter of docs/ENVOY.md, as somebody would type it: every status that it promises (`# 403`)
# comes, in this order.
#
#   document.sh MPOL
set -mu
mpol=$1
envoy=${MPOL_ENVOY:-$MPOL_BINARY_DIR/envoy/envoy}
if ! [ -x "$envoy" ]; then echo "left out: there is no Envoy ($envoy)"; exit 77; fi
for tool in python3 curl; do
    command -v "$tool" >/dev/null || { echo "left out: there is no $tool"; exit 77; }
done
tmp=$(mktemp -d)
trap 'kill -9 $(jobs -p) 2>/dev/null; cd /; rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2

free_port() { # below those that connections take
    local port
    for port in $(seq $((12000 + ($$ * 31 + $1 * 997) % 19000)) 31999); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

mkdir bin
ln -s "$mpol" bin/mpol
printf '#!/bin/sh\nexec "%s" "$@" --concurrency 1 --disable-hot-restart\n' "$envoy" >bin/envoy
chmod +x bin/envoy
PATH=$tmp/bin:$PATH
awk '/^## /{ on = /From nothing/ } on && /^```sh/{ code = 1; next } /^```/{ code = 0 } on && code' \
    "$MPOL_SOURCE_DIR/docs/ENVOY.md" |
    sed "s/8080/$(free_port 1)/g; s/8081/$(free_port 2)/g; s/9901/$(free_port 3)/g; s/9902/$(free_port 4)/g" >walk
grep -oE '# [0-9]{3}$' walk | tr -d '# ' >wanted
[ "$(wc -l <wanted)" -ge 5 ] || { echo "FAIL: the document promises nothing"; exit 1; }
. ./walk >said 2>errors
grep -xE '[0-9]{3}' said >got
diff -u wanted got && grep -q 'effective' said && exit 0
echo "FAIL: the walk of docs/ENVOY.md ends otherwise"
cat said errors mpol.log envoy.log
exit 1
