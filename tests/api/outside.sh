#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what BUILD has built into a folder of its own, builds the project OUTSIDE against it in
# both ways that people know, and runs it.
#
#   outside.sh BUILD OUTSIDE
set -eu
build=$1
outside=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT INT TERM

cmake --install "$build" --prefix "$place/root" >"$place/install.log" ||
  { cat "$place/install.log"; exit 1; }

echo "as a CMake package:"
cmake -G Ninja -S "$outside" -B "$place/cmake" -DCMAKE_PREFIX_PATH="$place/root" \
  >"$place/configure.log" ||
  { cat "$place/configure.log"; exit 1; }
cmake --build "$place/cmake" >"$place/build.log" || { cat "$place/build.log"; exit 1; }
"$place/cmake/embed"
"$place/cmake/embed_cxx"
"$place/cmake/guide" | tail -n 1

echo "by pkg-config:"
pc=$(find "$place/root" -name mpol.pc)
export PKG_CONFIG_PATH=$(dirname "$pc")
flags=$(pkg-config --cflags --libs mpol)
# shellcheck disable=SC2086
cc -std=c11 -Wall -Wextra -Werror "$outside/embed.c" $flags -o "$place/embed"
lib=$(dirname "$(find "$place/root" -name 'libmpol.so' | head -n 1)")
LD_LIBRARY_PATH=$lib "$place/embed"

# The core asks for libc alone, and gives away no name that is not its own.
for so in "$lib"/libmpol.so "$lib"/libmpol-rt.so; do
  needed=$(objdump -p "$so" | awk '/NEEDED/ { print $2 }' | grep -v '^libc\.so\|^ld-linux' || true)
  test -z "$needed" || { echo "$so needs $needed"; exit 1; }
  foreign=$(nm -D --defined-only "$so" | awk '$2 ~ /[TDBR]/ { print $3 }' |
    grep -v '^mpol_' || true)
  test -z "$foreign" || { echo "$so exports $foreign"; exit 1; }
done
echo "libc only, mpol_* only"
