#!/usr/bin/env bash
# nibble beside llama.cpp's tools on the same work, in one run, taking turns.
#
#   scripts/compare.sh MODEL_DIR TEXT [PEERS_DIR]        PEERS_DIR: ../peers, with bin/llama-* and convert_hf_to_gguf
#
# Prints for each job the median seconds and the peak resident memory of both, and the median of the rounds' ratios
# (ours / theirs) with the least and the greatest. Environment:
#   NIBBLE=build/release/nibble  ROUNDS=3  THREADS=2  CTX=512  WINDOWS=40  JOBS="convert quant eval"
#   TMPDIR: needs 3 GB for a model of 135 M parameters
# convert_hf_to_gguf runs `python3`: put one with torch, transformers and gguf first in PATH.
# NIBBLE_CPU caps our instruction set only: to compare on AVX2, build llama.cpp for it as well.
set -euo pipefail
export LC_ALL=C # decimal points in $EPOCHREALTIME

[ $# -ge 2 ] || { sed -n '4,11s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 text=$2 peers=${3:-$(dirname "$0")/../../peers}
nibble=${NIBBLE:-build/release/nibble}
rounds=${ROUNDS:-3} threads=${THREADS:-2} ctx=${CTX:-512} windows=${WINDOWS:-40} jobs=${JOBS:-convert quant eval}
for need in "$nibble" "$peers/bin/llama-quantize" "$peers/bin/llama-perplexity" "$peers/convert_hf_to_gguf" /usr/bin/time; do
    [ -x "$need" ] || { echo "compare.sh: $need is not there (apt-get install time; PEERS_DIR; NIBBLE)" >&2; exit 1; }
done
nibble=$(realpath "$nibble") peers=$(realpath "$peers")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# measure LABEL COMMAND...: appends "seconds peak_KB" to $work/LABEL.runs; the command's own output goes to LABEL.log.
measure() {
    local label=$1 from to
    shift
    from=$EPOCHREALTIME
    /usr/bin/time -f %M -o "$work/rss" "$@" > "$work/$label.log" 2>&1 ||
        { echo "compare.sh: failed: $*" >&2; tail -n 5 "$work/$label.log" >&2; exit 1; }
    to=$EPOCHREALTIME
    awk -v from="$from" -v to="$to" '{ printf "%.4f %d\n", to - from, $1 }' "$work/rss" >> "$work/$label.runs"
}

# report NAME THEIRS OURS: one line of the table.
report() {
    paste -d' ' "$work/$2.runs" "$work/$3.runs" | awk -v name="$1" '
        function median(v, n,   i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
        }
        { theirs[NR] = $1; ours[NR] = $3; ratio[NR] = $3 / $1; if ($2 > tm) tm = $2; if ($4 > om) om = $4 }
        END {
            r = median(ratio, NR)
            spread = sprintf("%.3f (%.3f .. %.3f)", r, ratio[1], ratio[NR])
            printf "| %-32s | %8.3f | %6.0f | %8.3f | %6.0f | %-24s | %6.2f |\n",
                name, median(theirs, NR), tm / 1024, median(ours, NR), om / 1024, spread, 1 / r
        }'
}

# both THEIRS OURS: runs the two functions, the first to go changing from round to round.
both() {
    if [ $((round % 2)) = 1 ]; then "$1"; "$2"; else "$2"; "$1"; fi
}

want() { [[ " $jobs " == *" $1 "* ]]; }

their_convert() {
    rm -f "$work/bf16.gguf"
    measure their_convert "$peers/convert_hf_to_gguf" "$model" --outtype bf16 --outfile "$work/bf16.gguf"
}
our_convert() {
    rm -f "$work/model.nib"
    measure our_convert "$nibble" convert -q "$model" -o "$work/model.nib"
}
plain_copy() {
    measure plain_copy cp --reflink=never "$model"/*.safetensors "$work/copy/"
    rm -f "$work/copy"/*
}
synced_copy() {
    measure synced_copy sh -c 'cp --reflink=never "$1"/*.safetensors "$2" && sync "$2"/*' - "$model" "$work/copy/"
    rm -f "$work/copy"/*
}

their_quant() {
    rm -f "$work/$type.gguf"
    measure "their_$type" "$peers/bin/llama-quantize" "$work/bf16.gguf" "$work/$type.gguf" "$peer_type" "$threads"
}
our_quant() {
    local fallback=()
    [ "$type" = q4_k ] && fallback=(--fallback q5_0)
    rm -f "$work/$type.nib"
    measure "our_$type" "$nibble" quant -q "$work/model.nib" -o "$work/$type.nib" --type "$type" "${fallback[@]}" --threads "$threads"
}

# llama.cpp measures a quantized model in two runs, through a file of logits.
their_eval() {
    rm -f "$work/logits"
    measure their_eval bash -c 'set -e; tool=$1 base=$2 quantized=$3 text=$4 logits=$5; shift 5
        "$tool" -m "$base" -f "$text" --kl-divergence-base "$logits" "$@"
        "$tool" -m "$quantized" --kl-divergence-base "$logits" --kl-divergence "$@"' - \
        "$peers/bin/llama-perplexity" "$work/bf16.gguf" "$work/q4_0.gguf" "$text" "$work/logits" -c "$ctx" --chunks "$windows" -t "$threads"
    rm -f "$work/logits"
}
our_eval() {
    measure our_eval "$nibble" eval -q "$work/model.nib" "$work/q4_0.nib" --text "$text" --ctx "$ctx" --windows "$windows" --threads "$threads"
}

mkdir "$work/copy"
cat "$model"/*.safetensors "$text" > /dev/null # into the page cache, for everyone
round=0
want convert || { their_convert; our_convert; }
for ((round = 1; round <= rounds; round++)); do
    if want convert; then
        both their_convert our_convert
        both plain_copy synced_copy
    fi
    if want quant || want eval; then
        while read -r type peer_type; do
            if want quant || { [ "$type" = q4_0 ] && [ "$round" = 1 ]; }; then both their_quant our_quant; fi
        done <<< $'q8_0 Q8_0\nq4_0 Q4_0\nq4_k Q4_K_S'
    fi
    if want eval; then both their_eval our_eval; fi
done

echo "$("$nibble" --version 2> /dev/null || echo nibble), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-), $threads threads, $rounds rounds, $(basename "$model")"
echo
echo "| job                              | theirs s |     MB |   ours s |     MB | ours/theirs (min .. max) | faster |"
echo "|----------------------------------|----------|--------|----------|--------|--------------------------|--------|"
if want convert; then
    report "convert (convert_hf_to_gguf)" their_convert our_convert
    report "convert (cp)" plain_copy our_convert
    report "convert (cp, synced to disk)" synced_copy our_convert
fi
if want quant; then
    report "quant q8_0 (Q8_0)" their_q8_0 our_q8_0
    report "quant q4_0 (Q4_0)" their_q4_0 our_q4_0
    report "quant q4_k (Q4_K_S)" their_q4_k our_q4_k
fi
if want eval; then
    report "eval base + q4_0, $windows x $ctx" their_eval our_eval
    echo
    grep -E 'Mean PPL\(Q\)|Mean PPL\(base\)|Mean +KLD' "$work/their_eval.log" | sed 's/^/theirs: /'
    sed 's/^/ours:   /' "$work/our_eval.log"
fi
