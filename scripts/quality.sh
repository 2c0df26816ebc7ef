#!/usr/bin/env bash
# What each block type costs: nibble's rounding beside llama.cpp's, on the same windows of the same text.
#
#   scripts/quality.sh MODEL_DIR TEXT [PEERS_DIR]        PEERS_DIR: ../peers, with bin/llama-* and convert_hf_to_gguf
#
# Three measurements of each type: our weights by nibble eval (f32); llama.cpp's file by llama-perplexity (which rounds
# activations to 8 bits); llama.cpp's weights by nibble eval, which compares the weights alone. Environment:
#   NIBBLE=build/release/nibble  THREADS=2  CTX=512  WINDOWS=40
#   TYPES="ours:theirs:fallback ..."  widths that a k-type does not divide fall back, ours to the type named here
#   WORK=DIR  keep the intermediate files there (8 GB for 135 M parameters) and use again those of an earlier run
# `python3` needs torch, transformers, gguf and safetensors (convert_hf_to_gguf, scripts/gguf_to_hf.py).
set -euo pipefail

[ $# -ge 2 ] || { sed -n '4,12s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 text=$2 peers=${3:-$(dirname "$0")/../../peers}
here=$(dirname "$0") nibble=${NIBBLE:-build/release/nibble}
threads=${THREADS:-2} ctx=${CTX:-512} windows=${WINDOWS:-40}
types=${TYPES:-q8_0:Q8_0:- q6_k:Q6_K:q8_0 q5_k:Q5_K_S:q5_1 q5_1:Q5_1:- q5_0:Q5_0:- q4_k:Q4_K_S:q5_0 q4_1:Q4_1:- iq4_nl:IQ4_NL:- q4_0:Q4_0:-}
if [ -n "${WORK:-}" ]; then
    work=$WORK
    mkdir -p "$work"
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi

# once FILE COMMAND...: makes FILE, as FILE.part first, unless it is there; the command's output goes to FILE.log.
once() {
    local file=$1
    shift
    [ -e "$file" ] && return
    rm -rf "$file.part"
    "${@//@/$file.part}" > "$file.log" 2>&1 || { echo "quality.sh: failed: $*" >&2; tail -n 5 "$file.log" >&2; exit 1; }
    mv "$file.part" "$file"
}

if [ -e "$work/base.gguf" ]; then
    stale=$(find -L "$model" -maxdepth 1 -type f -newer "$work/base.gguf")
    [ -z "$stale" ] || { echo "quality.sh: $model is newer than what $work holds; empty $work first" >&2; exit 1; }
fi

perplexity=("$peers/bin/llama-perplexity" -c "$ctx" --chunks "$windows" -t "$threads")
once "$work/base.gguf" "$peers/convert_hf_to_gguf" "$model" --outtype bf16 --outfile @
once "$work/logits" "${perplexity[@]}" -m "$work/base.gguf" -f "$text" --kl-divergence-base @
for entry in $types; do
    IFS=: read -r _ theirs _ <<< "$entry"
    once "$work/$theirs.gguf" "$peers/bin/llama-quantize" "$work/base.gguf" @ "$theirs" "$threads"
    once "$work/$theirs.hf" python3 "$here/gguf_to_hf.py" "$work/$theirs.gguf" "$model" @
    [ -e "$work/$theirs.kld" ] || "${perplexity[@]}" -m "$work/$theirs.gguf" --kl-divergence-base "$work/logits" \
        --kl-divergence > "$work/$theirs.kld.part" 2> "$work/$theirs.kld.log"
    [ -e "$work/$theirs.kld" ] || mv "$work/$theirs.kld.part" "$work/$theirs.kld"
done

# Ours are always made anew: they are what changes.
"$nibble" convert -q "$model" -o "$work/base.nib" > "$work/base.nib.log"
models=()
for entry in $types; do
    IFS=: read -r ours theirs fallback <<< "$entry"
    options=()
    [ "$fallback" = - ] || options=(--fallback "$fallback")
    "$nibble" quant -q "$work/base.nib" -o "$work/$ours.nib" --type "$ours" "${options[@]}" --threads "$threads" > "$work/$ours.log"
    models+=("$work/$ours.nib" "$work/$theirs.hf")
done
"$nibble" eval -q "$work/base.nib" "${models[@]}" --text "$text" --ctx "$ctx" --windows "$windows" --threads "$threads" \
    --json "$work/eval.json" > "$work/eval.log"

python3 - "$work" "$types" << 'EOT'
import json, re, sys
work, types = sys.argv[1], [entry.split(":") for entry in sys.argv[2].split()]
report = json.load(open(f"{work}/eval.json"))
models = report["models"]
def found(pattern, text):
    return float(re.search(pattern, text)[1])
print(f"base: perplexity {models[0]['ppl']:.5f}, {models[0]['tensor_bytes'] / 2**20:.2f} MiB; "
      f"{report['protocol']['windows']} windows of {report['protocol']['ctx']}")
print()
print("| ours | MiB | PPL | KLD (se) | top-1 % | llama.cpp | MiB | PPL | KLD | top-1 % | its weights in f32: PPL | KLD (se) | ours/its KLD |")
print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
for i, (ours, theirs, _) in enumerate(types):
    a, b = models[1 + 2 * i], models[2 + 2 * i]
    va, vb = a["vs_base"], b["vs_base"]
    log = open(f"{work}/{theirs}.kld").read()
    size = int(open(f"{work}/{theirs}.hf.log").read().split()[-1])
    print(f"| {ours} | {a['tensor_bytes'] / 2**20:.2f} | {a['ppl']:.3f} | {va['kld_mean']:.5f} ({va['kld_se']:.5f}) | {100 * va['top1']:.2f} "
          f"| {theirs} | {size / 2**20:.2f} | {found(r'Mean PPL.Q. +: +([0-9.]+)', log):.3f} | {found(r'Mean +KLD: +([-0-9.]+)', log):.5f} "
          f"| {found(r'Same top p: +([0-9.]+)', log):.2f} | {b['ppl']:.3f} | {vb['kld_mean']:.5f} ({vb['kld_se']:.5f}) "
          f"| {va['kld_mean'] / vb['kld_mean']:.3f} |")
EOT
