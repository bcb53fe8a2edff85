# SPDX-License-Identifier: Apache-2.0
# Finds the fallback trap in a Lemon grammar.
#
# awk -f lemon-trap.awk mpol.y mpol.out     (mpol.out from lemon -c -p: tables not compressed)
#
# A word under `%fallback ID` is a name wherever the grammar does not want the word. Lemon's tables turn
# the most frequent reduction of a state into its default, and the parser tries the fallback before the
# default: where such a word should end a phrase (reduce) and a name could go on (shift), the word is
# silently taken for a name. So: no state may shift the fallback's token and reduce on one of its words.

# The grammar: the words of each %fallback, without comments.
FNR == NR {
    line = $0
    sub(/\/\/.*/, "", line)
    gsub(/\/\*[^*]*\*\//, "", line)
    if (line ~ /^[ \t]*%fallback/) { inside = 1; target = ""; sub(/^[ \t]*%fallback/, "", line) }
    if (inside) {
        ended = index(line, ".")
        if (ended > 0) line = substr(line, 1, ended - 1)
        n = split(line, words, /[ \t]+/)
        for (i = 1; i <= n; i++) {
            if (words[i] == "") continue
            if (target == "") { target = words[i]; continue }
            soft[words[i]] = target
            soft_count++
        }
        if (ended > 0) inside = 0
    }
    next
}

function judge(    word, name) {
    for (word in reduced) {
        name = soft[word]
        if (name in shifted) {
            printf "%s: state %s reduces on %s and shifts %s: the word would be taken for a name; make it a hard word\n",
                   FILENAME, state, word, name
            bad++
        }
    }
    split("", reduced)
    split("", shifted)
}

/^State [0-9]+:/ { judge(); state = $2; sub(/:$/, "", state); next }
/^----/          { judge(); state = ""; next }
state == ""      { next }
$2 == "shift" || $2 == "shift-reduce" { shifted[$1] = 1; next }
$2 == "reduce" && ($1 in soft)        { reduced[$1] = 1; next }

END {
    judge()
    if (bad > 0) exit 1
}
