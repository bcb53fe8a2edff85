# SPDX-License-Identifier: Apache-2.0
# Sourced by examples/run.sh and tests/run.sh: installs what is missing, configures, builds.
#
#   mpol_bootstrap BUILD_FOLDER [cmake options…]      sets MPOL_JIT=ON|OFF in the environment before
#
# Works on Debian 12 as root or by sudo; on other systems it names what is missing and stops. What can
# be done without (LLVM) is left out with one plain line.

mpol_needs="gcc g++ libc6-dev cmake ninja-build pkg-config re2c lemon mawk git ca-certificates
libssl-dev libpcre2-dev libsqlite3-dev libuv1-dev libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev
libnghttp2-dev libcmocka-dev libprotobuf-c-dev protobuf-c-compiler"
mpol_needs_llvm="llvm-19-dev"

mpol_say() { printf '%s\n' "$*" >&2; }

mpol_missing() { # PACKAGE… → those that are not installed
    local name
    for name in "$@"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' || printf '%s ' "$name"
    done
}

mpol_as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        return 1
    fi
}

mpol_apt() { # PACKAGE…
    local log
    log=$(mktemp)
    if [ -z "${mpol_apt_updated:-}" ]; then
        mpol_as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >"$log" 2>&1 || true
        mpol_apt_updated=1
    fi
    if ! mpol_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
            >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

mpol_install() {
    local missing
    if ! command -v dpkg-query >/dev/null 2>&1; then
        mpol_say "mpol: this is no Debian; the packages it needs are called there: $mpol_needs $mpol_needs_llvm"
        return 0
    fi
    missing=$(mpol_missing $mpol_needs)
    if [ -n "$missing" ]; then
        mpol_say "mpol: installing $missing"
        mpol_apt $missing || { mpol_say "mpol: cannot install these; install them and run this again"; return 1; }
    fi
    if [ "${MPOL_JIT:-ON}" = ON ]; then
        missing=$(mpol_missing $mpol_needs_llvm)
        if [ -n "$missing" ]; then
            mpol_say "mpol: installing $missing (native code, about 150 MB; --no-jit goes without)"
            if ! mpol_apt $missing; then
                mpol_say "mpol: LLVM 19 cannot be installed: going on without native code, policies are interpreted"
                MPOL_JIT=OFF
            fi
        fi
    fi
}

mpol_bootstrap() {
    local folder=$1 log
    shift
    mpol_install || return 2
    mkdir -p "$folder"
    log=$folder/bootstrap.log
    if ! cmake -S "$mpol_root" -B "$folder" -G Ninja -DMPOL_JIT="${MPOL_JIT:-ON}" "$@" >"$log" 2>&1; then
        cat "$log" >&2
        return 2
    fi
    if ! cmake --build "$folder" >>"$log" 2>&1; then
        grep -E 'error|FAILED|warning' "$log" | head -n 40 >&2
        mpol_say "mpol: the build failed; all of it is in $log"
        return 2
    fi
}
