#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Documents say what is there: pictures are those of the tables, quoted code is that of the file,
# and what the vocabulary, the command and the metrics have is explained.
#
#   documents.sh SOURCE
set -u
shopt -s lastpipe # so that a complaint at the end of a pipe is remembered
cd "$1" || exit 2
failed=0

complain() { # CHECK, findings on standard input
    local found
    found=$(cat)
    [ -z "$found" ] && return
    printf '== %s\n%s\n' "$1" "$found" | head -n 40
    failed=1
}

# The code block that follows line $2 of document $1.
block() {
    awk -v from="$2" 'NR <= from { next } /^```/ { if (open) exit; open = 1; next } open' "$1"
}

# `<!-- picture of TABLE.def -->` and then a block: what docs/fsm.awk makes of the table.
grep -n '^<!-- picture of ' docs/*.md | while IFS=: read -r doc line text; do
    table=$(printf '%s' "$text" | sed 's/^<!-- picture of \(.*\) -->$/\1/')
    [ "$(block "$doc" "$line")" = "$(awk -f docs/fsm.awk "$table")" ] ||
        echo "$doc:$line: not what awk -f docs/fsm.awk $table prints"
done | complain "a picture that is not that of its table"
for table in runtime/act/*_fsm.def; do
    grep -qF "<!-- picture of $table -->" docs/ARCHITECTURE.md || echo "$table"
done | complain "a state machine without a picture in docs/ARCHITECTURE.md"

# `<!-- part of FILE -->` and then a block: these lines stand in the file, together and in this
# order.
grep -n '^<!-- part of ' docs/*.md | while IFS=: read -r doc line text; do
    file=$(printf '%s' "$text" | sed 's/^<!-- part of \(.*\) -->$/\1/')
    part=$(block "$doc" "$line")
    [ -n "$part" ] && case $(cat "$file") in *"$part"*) continue ;; esac
    echo "$doc:$line: not in $file"
done | complain "quoted code that has changed"

# Every verb, metric, field and action that there is.
sed -n 's/^    {"\([a-z]*\)", .*/\1/p' compiler/cli/verbs.c | while read -r verb; do
    grep -qE "mpol $verb\b" README.md docs/*.md || echo "mpol $verb"
done | complain "a verb that no document explains"

grep -oE '"mpol_[a-z_]+"' runtime/daemon/metrics.c | tr -d '"' | sort -u | while read -r metric; do
    grep -qE "$metric(_total)?\b" docs/OPERATING.md || echo "$metric"
done | complain "a metric that docs/OPERATING.md does not explain"

sed -n '/^signal /,/^}/s/^  \([a-z_0-9]*\): .*/\1/p' stdlib/mesh.mpol | sort -u |
    while read -r field; do
    grep -qE "\b$field\b" docs/OPERATING.md || echo "$field"
done | complain "a field that docs/OPERATING.md does not name"

sed -n 's/^action \([a-z]*\)(.*/\1/p' stdlib/mesh.mpol | sort -u | while read -r verb; do
    grep -qE "\`$verb\b" docs/LANGUAGE.md || echo "$verb"
done | complain "an action that docs/LANGUAGE.md does not name"

# A folder's README is short: job, not-job, files in reading order, how to test only this.
git ls-files '*/README.md' | while read -r f; do
    [ "$(wc -l <"$f")" -le 60 ] || echo "$f: $(wc -l <"$f") lines"
done | complain "a README of a folder that nobody will read"
exit $failed
