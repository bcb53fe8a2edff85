#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The repository checks itself. Each check names what is wrong and where; none of them repairs
# anything.
#
#   run.sh SOURCE BUILD
set -u
shopt -s lastpipe # so that a complaint at the end of a pipe is remembered
source_dir=$1 build=$2
cd "$source_dir" || exit 2
failed=0
sanitized=$(grep -E '^MPOL_SANITIZE:[A-Z]+=.*(address|thread)' "$build/CMakeCache.txt")

complain() { # CHECK, findings on standard input
    local found
    found=$(cat)
    [ -z "$found" ] && return
    printf '== %s\n%s\n' "$1" "$found" | head -n 40
    failed=1
}

files() { # GLOB… → tracked and new files, not ignored ones
    git ls-files --cached --others --exclude-standard -- "$@" |
        while read -r f; do [ -e "$f" ] && echo "$f"; done
}

code=$(files '*.c' '*.h' '*.re' '*.y' '*.def')

# ---- text ----
for f in $code $(files '*.sh' '*.cmake' 'CMakeLists.txt'); do
    case $f in */CMakeLists.txt) continue ;; esac
    head -n 5 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$f"
done | complain "no SPDX line"

# A line has 100 columns. These tables are as wide as their rows, and a row of a test may be a whole
# policy; an expression for sed is one line; the folders around Envoy are at least no wider than
# they were.
free='^tests/.*\.def$|^tests/golden/replay/run\.sh$'
wide='^runtime/program/(ops|aggs|enums)\.def$'
wide+='|^(runtime/(backends|daemon)|tests/(conformance|envoy|envoy_mod))/'
wide+='|^runtime/engine/(message|inline|manual[a-z_]*)\.c$'
wide+='|^compiler/(check/check_act|cli/verb_envoy|cli/envoy/.*)\.[ch]$'
lined=$(printf '%s\n' $code $(files '*.sh') | grep -vE "$free")
wider() { # COLUMNS FILE… → FILE:LINE
    LC_ALL=C.UTF-8 grep -HnE "^.{$(($1 + 1)),}" -- "${@:2}" | cut -d: -f1,2
}
{
    wider 100 $(printf '%s\n' $lined | grep -vE "$wide")
    wider 125 $(printf '%s\n' $lined | grep -E "$wide")
} | complain "a line over 100 columns (125 in tables and around Envoy)"

# A file has 900 lines, one of tests 1000. A grammar is one file.
long='^grammar/mpol\.y$'
for f in $code; do
    lines=$(wc -l <"$f")
    case $f in tests/*) limit=1000 ;; *) limit=900 ;; esac
    if [[ $f =~ $long ]]; then
        [ "$lines" -gt $limit ] || echo "$f: no exception is needed"
    elif [ "$lines" -gt $limit ]; then
        echo "$f: $lines lines, over $limit"
    fi
done | complain "a file that is too long"

banned='strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca|atoi'
grep -nE "(^|[^A-Za-z0-9_.>])($banned)[ \t]*\(" $(printf '%s\n' $code | grep -vE '^tests/envoy') |
    complain "a banned function"

grep -nE '(^|[^A-Za-z])(TODO|FIXME|XXX)([^A-Za-z(]|$)' $code |
    complain "something to do that names no issue"

git grep -nIE '(^|[^A-Za-z0-9_.])/(work|farm|home/[a-z]+)/' -- . ':!tests/tidy/run.sh' |
    complain "a path of some machine"

# Only these may ask the world by themselves (the module in a proxy has nobody to ask it for);
# everybody else is handed a struct mp_os.
may='^runtime/(os|file|store|daemon|crypto|base|tls|grpc|backends/envoy_(prove|mod))/'
may+='|^compiler/(cli|jit|driver)'
asks='(clock_gettime|gettimeofday|time\(NULL\)|fopen|open\(|socket\(|getrandom|rand\()'
grep -lE '#include <(time|sys/time|unistd|fcntl|sys/socket|stdio)\.h>' \
    $(files 'runtime/*.c' 'compiler/*.c') | grep -vE "$may" |
    while read -r f; do
        grep -qE "$asks" "$f" && echo "$f"
    done | complain "a stage that asks the world by itself"

grep -lE '#include [<"]llvm-c/' $code | grep -v '^compiler/jit/' |
    complain "LLVM outside of compiler/jit"
# Examples are programs of their own.
grep -lE '#include <openssl/' $code | grep -vE '^runtime/(crypto|os|tls)/|^tests/|^examples/' |
    complain "OpenSSL outside of runtime/crypto and runtime/tls"
grep -nE '#include "(compiler|driver|check|parse|lower|ast|diag|emit|ir)/' \
    $(files 'runtime/*.[ch]') | complain "the runtime includes the compiler"

# ---- files ----
git ls-files | grep -E '\.(o|so|a)$|/mpol_tokens\.h$|\.re\.c$' | complain "a generated file in git"

top='CMakeLists.txt|compiler|runtime|stdlib|grammar|examples|tests|README.md|docs|cmake|LICENSE'
top+='|CHANGELOG.md|CMakePresets.json|SECURITY.md|CONTRIBUTING.md|\..*'
git ls-files | cut -d/ -f1 | sort -u | grep -vxE "$top" |
    complain "not meant for the top level"

# A C file that no target compiles is dead; some are compiled only with LLVM, or by no sanitizer.
left_out='^$'
[ -e "$build/lib/mpol/libmpol-jit.so" ] || left_out+='|^compiler/jit/|/jit/|^tests/bench/'
[ -z "$sanitized" ] || left_out+='|^tests/api/test_memory'
for f in $(files '*.c' | grep -vE '^tests/api/outside'); do
    grep -qF "$f" "$build/compile_commands.json" || echo "$f"
done | grep -vE "$left_out" | complain "a file that no target compiles"

# ---- headers compile alone, in C11 and, the public ones, in C++17 ----
includes=$(for d in "$build"/stage/*; do printf -- '-I%s ' "$d"; done)
for h in $(files 'runtime/*.h' 'compiler/*.h' | grep -v '_priv\.h$' | grep -v '^compiler/jit/'); do
    cc -std=c11 -D_GNU_SOURCE -fsyntax-only $includes -Iruntime/include -x c "$h" \
        2>/dev/null || echo "$h"
done | complain "a header that does not compile alone"
if command -v c++ >/dev/null 2>&1; then
    for h in $(files 'runtime/include/*.h'); do
        c++ -std=c++17 -fsyntax-only -Iruntime/include -x c++ "$h" 2>/dev/null || echo "$h"
    done | complain "a public header that is no C++17"
fi

# ---- documents ----
for doc in $(files '*.md'); do
    grep -oE '\]\([^)#]+' "$doc" | sed 's/^](//' | grep -vE '^[a-z]+:' | while read -r link; do
        [ -e "$(dirname "$doc")/$link" ] || echo "$doc: $link"
    done
done | complain "a link that leads nowhere"

# These come with budgets and with proofs.
later='^(E0702|E0703|E0801|E0802)$'
sed -nE 's/^(DIAG\(|.*DIAG\()(E[0-9]+).*/\2/p' compiler/diag/diags.def | sort -u |
    grep -vE "$later" | while read -r word; do
    grep -rqlE "\b$word\b" tests/golden tests/unit/compiler compiler \
        --include='*.diag' --include='*.c' || echo "$word"
done | complain "an error code that nothing gives and nothing tests"

# ---- a sanitizer that was asked for is really there ----
if [ -n "$sanitized" ] && [ -e "$build/mpol" ]; then
    { nm "$build/mpol" 2>/dev/null | grep -qE '__(asan|tsan)_init' || echo "$build/mpol"; } |
        complain "no sanitizer in a sanitized build"
fi
exit $failed
