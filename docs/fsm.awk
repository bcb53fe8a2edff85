# SPDX-License-Identifier: Apache-2.0
# The picture of a state machine, from its table (runtime/act/*_fsm.def), as a Mermaid diagram:
#
#   awk -f docs/fsm.awk runtime/act/lease_fsm.def
#
# tests/tidy/documents.sh compares it with what docs/ARCHITECTURE.md shows.
function cells(line) { sub(/^[A-Z]+_[A-Z]+\(/, "", line); sub(/\).*$/, "", line); gsub(/[ "]/, "", line); return line }
BEGIN { print "stateDiagram-v2" }
/^(INCIDENT|LEASE)_STATE\(/ { split(cells($0), c, ","); word[c[1]] = c[2]; if (!first++) print "    [*] --> " c[2] }
/^(INCIDENT|LEASE)_EDGE\(/ {
    split(cells($0), c, ",")
    printf "    %s --> %s : %s\n", word[c[1]], word[c[3]], tolower(c[2])
    leaves[c[1]] = 1
    if (!(c[1] in seen)) order[++n] = c[1]
    seen[c[1]] = 1; if (!(c[3] in seen)) order[++n] = c[3]; seen[c[3]] = 1
}
END { for (i = 1; i <= n; i++) if (!(order[i] in leaves)) print "    " word[order[i]] " --> [*]" }
