#!/usr/bin/env bash
# How fast llama.cpp runs a mix of types that nibble chose, beside another GGUF file of about its size: tokens a second of
# llama-bench's prefill and decode, the two taking turns.
#
#   scripts/compare_speed_of_mix.sh OURS.gguf THEIRS.gguf [PEERS_DIR]        PEERS_DIR: ../peers, with bin/llama-bench
#
# Prints the medians over the rounds, and the median of the rounds' ratios (ours / theirs) with the least and the greatest.
# Environment: ROUNDS=5  THREADS=2  PREFILL=512  DECODE=64  REPEATS=2 (of llama-bench, after its warm-up, in each round)
set -euo pipefail
export LC_ALL=C

[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
ours=$1 theirs=$2 bench=${3:-$(dirname "$0")/../../peers}/bin/llama-bench
rounds=${ROUNDS:-5} threads=${THREADS:-2} prefill=${PREFILL:-512} decode=${DECODE:-64} repeats=${REPEATS:-2}
for need in "$ours" "$theirs" "$bench"; do
    [ -r "$need" ] || { echo "compare_speed_of_mix.sh: $need is not there" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# measure LABEL MODEL: appends "prefill decode" in tokens a second to $work/LABEL.runs.
measure() {
    "$bench" -m "$2" -p "$prefill" -n "$decode" -t "$threads" -r "$repeats" -o jsonl > "$work/out" 2> "$work/log" ||
        { echo "compare_speed_of_mix.sh: llama-bench failed on $2" >&2; tail -n 5 "$work/log" >&2; exit 1; }
    awk 'match($0, /"avg_ts": *[0-9.]+/) { v = substr($0, RSTART, RLENGTH); sub(/.*: */, "", v); printf "%s ", v } END { print "" }' \
        "$work/out" >> "$work/$1.runs"
}

# report NAME COLUMN: one line of the table.
report() {
    paste -d' ' "$work/ours.runs" "$work/theirs.runs" | awk -v name="$1" -v column="$2" '
        function median(v, n,   i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
        }
        NF != 4 { print "compare_speed_of_mix.sh: llama-bench said something else than two speeds" > "/dev/stderr"; failed = 1; exit 1 }
        { ours[NR] = $column; theirs[NR] = $(column + 2); ratio[NR] = $column / $(column + 2) }
        END {
            if (failed) exit 1
            r = median(ratio, NR)
            printf "| %-12s | %9.1f | %9.1f | %.3f (%.3f .. %.3f) |\n", name, median(ours, NR), median(theirs, NR), r, ratio[1], ratio[NR]
        }'
}

cat "$ours" "$theirs" > /dev/null # into the page cache
for ((round = 1; round <= rounds; round++)); do
    if [ $((round % 2)) = 1 ]; then
        measure ours "$ours"; measure theirs "$theirs"
    else
        measure theirs "$theirs"; measure ours "$ours"
    fi
done
echo "ours: $ours, $(stat -Lc %s "$ours" | awk '{ printf "%.2f MiB", $1 / 2^20 }')"
echo "theirs: $theirs, $(stat -Lc %s "$theirs" | awk '{ printf "%.2f MiB", $1 / 2^20 }')"
echo "$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | sed 's/^ *//'), $threads threads, $rounds rounds of $repeats"
echo
echo "| tokens/s     |      ours |    theirs | ours/theirs (min .. max) |"
echo "|--------------|-----------|-----------|--------------------------|"
report "prefill $prefill" 1
report "decode $decode" 2
