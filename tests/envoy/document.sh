#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The first chapter of docs/ENVOY.md, as somebody would type it: every status that it promises (`# 403`)
# comes, in this order. Where it says `sleep` before it asks, we ask until it is so, or for a minute.
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
trap 'kill -9 $(jobs -p) $holder 2>/dev/null; cd /; rm -rf "$tmp"' EXIT
holder=
cd "$tmp" || exit 2

# Four ports that are ours as long as this runs: bound, not listened on (tests/loopback/port.h).
mkfifo ports
python3 - >ports <<'END' &
import os, signal, socket
held = []
port = 10000 + os.getpid() * 31 % 22000
while len(held) < 4:
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", port))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.append(s)
        print(port, end=" ")
    except OSError:
        s.close()
    port = 10000 + (port - 9999) % 22000
print(flush=True)
signal.pause()
END
holder=$!
disown # the document counts its own jobs
read -r web app admin xds <ports || exit 1

promised() { # STATUS COMMAND…
    local wanted=$1 said= tries
    shift
    for ((tries = 0; tries < 300; tries++)); do
        said=$("$@")
        [ "$said" = "$wanted" ] && break
        sleep 0.2
    done
    printf '%s\n' "$said"
}

mkdir bin
ln -s "$mpol" bin/mpol
printf '#!/bin/sh\nexec "%s" "$@" --concurrency 1 --disable-hot-restart\n' "$envoy" >bin/envoy
chmod +x bin/envoy
PATH=$tmp/bin:$PATH
awk '/^## /{ on = /From nothing/ } on && /^```sh/{ code = 1; next } /^```/{ code = 0 } on && code' \
    "$MPOL_SOURCE_DIR/docs/ENVOY.md" |
    sed "s/8080/@web@/g; s/8081/@app@/g; s/9901/@xds@/g; s/9902/@admin@/g" |
    sed "s/@web@/$web/g; s/@app@/$app/g; s/@xds@/$xds/g; s/@admin@/$admin/g" |
    sed -E 's/^sleep [0-9.]+; (curl .*) # ([0-9]{3})$/promised \2 \1 # \2/' >walk
grep -q '^promised' walk || { echo "FAIL: the document never waits"; exit 1; }
grep -oE '# [0-9]{3}$' walk | tr -d '# ' >wanted
[ "$(wc -l <wanted)" -ge 5 ] || { echo "FAIL: the document promises nothing"; exit 1; }
. ./walk >said 2>errors
grep -xE '[0-9]{3}' said >got
diff -u wanted got && grep -q 'effective' said && exit 0
echo "FAIL: the walk of docs/ENVOY.md ends otherwise"
cat said errors mpol.log envoy.log
exit 1
