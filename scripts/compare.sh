#!/usr/bin/env bash
# nibble beside llama.cpp's tools on the same work, in one run, taking turns.
#
#   scripts/compare.sh MODEL_DIR TEXT [PEERS_DIR]        PEERS_DIR: ../peers, with bin/llama-* and convert_hf_to_gguf
#
# Prints for each job the median seconds and the peak resident memory of both, and the median of the rounds' ratios
# (ours / theirs) with the least and the greatest. Environment:
#   NIBBLE=build/release/nibble  ROUNDS=3  THREADS=2  CTX=512  WINDOWS=40  JOBS="convert quant eval"
#   further jobs: "perplexity" (one model at a time, f32 and int8), "bench" (prefill and decode; llama-bench needed),
#   "imatrix" (quant with an importance matrix, IMATRIX=FILE.gguf of llama-imatrix)
#   TMPDIR: needs 3 GB for a model of 135 M parameters
# "convert" needs PEERS_DIR/convert_hf_to_gguf, which runs `python3`: put one with torch, transformers and gguf first in PATH.
# NIBBLE_CPU caps our instruction set only: to compare on AVX2, build llama.cpp for it as well.
set -euo pipefail
export LC_ALL=C # decimal points in $EPOCHREALTIME

[ $# -ge 2 ] || { sed -n '4,13s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 text=$2 peers=${3:-$(dirname "$0")/../../peers}
nibble=${NIBBLE:-build/release/nibble}
rounds=${ROUNDS:-3} threads=${THREADS:-2} ctx=${CTX:-512} windows=${WINDOWS:-40} jobs=${JOBS:-convert quant eval}
for need in "$nibble" "$peers/bin/llama-quantize" "$peers/bin/llama-perplexity" /usr/bin/time; do
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

# ---- one model at a time, in both programs from the same .gguf
their_perplexity() {
    measure "their_ppl_$model_type" "$peers/bin/llama-perplexity" -m "$work/$model_type.gguf" -f "$text" -c "$ctx" --chunks "$windows" -t "$threads"
}
our_perplexity() {
    measure "our_ppl_${model_type}_$compute" "$nibble" eval -q "$work/$model_type.gguf" --text "$text" --ctx "$ctx" --windows "$windows" --threads "$threads" --compute "$compute"
}

# Tokens a second as seconds a token, so that all of the table is of times.
their_bench() {
    local what
    "$peers/bin/llama-bench" -m "$work/$model_type.gguf" -p 512 -n 64 -t "$threads" -r 2 -o csv > "$work/bench.csv" 2> "$work/bench.log"
    for what in prefill decode; do
        python3 - "$work/bench.csv" $what >> "$work/their_${what}_$model_type.runs" <<'PYTHON'
import csv, sys
for row in csv.DictReader(open(sys.argv[1])):
    if (row["n_prompt"] != "0") == (sys.argv[2] == "prefill"):
        print("%.6f 0" % (1000 / float(row["avg_ts"])))
PYTHON
    done
}
our_bench() {
    "$nibble" bench --quick --models "$work/$model_type.gguf" -p 512 -n 64 -r 2 --threads "$threads" --json "$work/bench.json" > /dev/null 2>&1
    local what
    for what in prefill decode; do
        sed -n "s/.*\"${what}_tokens_per_second\":[[:space:]]*\([0-9.e+]*\).*/\1/p" "$work/bench.json" |
            awk '{ printf "%.6f 0\n", 1000 / $1 }' >> "$work/our_${what}_$model_type.runs"
    done
}

their_imatrix() {
    rm -f "$work/i.gguf"
    measure "their_i_$type" "$peers/bin/llama-quantize" --imatrix "$IMATRIX" "$work/bf16.gguf" "$work/i.gguf" "$peer_type" "$threads"
}
our_imatrix() {
    rm -f "$work/i.nib"
    measure "our_i_$type" "$nibble" quant -q "$work/model.nib" -o "$work/i.nib" --type "$type" --fallback "$fallback" --method importance --stats "$IMATRIX" --threads "$threads"
}
io_time() { # what reading the source and writing a file of the result's size takes, synced
    rm -f "$work/io"
    measure "io_$1" sh -c 'cat "$1" > /dev/null; dd if="$2" of="$3" bs=4M conv=fsync' - "$work/model.nib" "$work/$2.nib" "$work/io"
    rm -f "$work/io"
}

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
want convert || { our_convert; "$nibble" export -q "$work/model.nib" -o "$work/bf16.gguf" > /dev/null; } # the same tensors
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
    if want quant; then io_time q8_0 q8_0; io_time q4_0 q4_0; fi
    if want imatrix; then
        while read -r type peer_type fallback; do both their_imatrix our_imatrix; done <<< $'q4_k Q4_K_S q5_0\nq6_k Q6_K q8_0\niq4_nl IQ4_NL q8_0'
    fi
    if want perplexity || want bench; then
        for model_type in bf16 q8_0 q4_0; do
            [ -f "$work/$model_type.gguf" ] || "$peers/bin/llama-quantize" "$work/bf16.gguf" "$work/$model_type.gguf" "$model_type" "$threads" > /dev/null 2>&1
            if want perplexity; then
                compute=f32
                both their_perplexity our_perplexity
                compute=int8 our_perplexity
            fi
            if want bench; then both their_bench our_bench; fi
        done
    fi
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
if want quant; then
    report "quant q8_0 (read + write, synced)" io_q8_0 our_q8_0
    report "quant q4_0 (read + write, synced)" io_q4_0 our_q4_0
fi
if want imatrix; then
    report "quant q4_k + importance" their_i_q4_k our_i_q4_k
    report "quant q6_k + importance" their_i_q6_k our_i_q6_k
    report "quant iq4_nl + importance" their_i_iq4_nl our_i_iq4_nl
fi
for model_type in bf16 q8_0 q4_0; do
    if want perplexity; then
        report "perplexity $model_type, f32" "their_ppl_$model_type" "our_ppl_${model_type}_f32"
        report "perplexity $model_type, int8" "their_ppl_$model_type" "our_ppl_${model_type}_int8"
    fi
    if want bench; then
        report "prefill 512 $model_type, ms a token" "their_prefill_$model_type" "our_prefill_$model_type"
        report "decode 64 $model_type, ms a token" "their_decode_$model_type" "our_decode_$model_type"
    fi
done
if want eval; then
    report "eval base + q4_0, $windows x $ctx" their_eval our_eval
    echo
    grep -E 'Mean PPL\(Q\)|Mean PPL\(base\)|Mean +KLD' "$work/their_eval.log" | sed 's/^/theirs: /'
    sed 's/^/ours:   /' "$work/our_eval.log"
fi
