#!/bin/sh
# The whole path on the checkpoint that the repository carries: convert, quantize, evaluate, generate. `make demo` runs it.
#   NIBBLE=build/release/nibble sh scripts/demo.sh [OUTPUT_DIRECTORY]      (default: build/demo)
set -eu
nibble=${NIBBLE:-build/release/nibble}
out=${1:-build/demo}
model=tests/data/kjv
mkdir -p "$out"

# run COMMAND...: shows the command as one would type it, then runs it.
run() {
    echo
    echo "\$ nibble $*"
    "$nibble" "$@"
}

run convert $model -o "$out/kjv.nib"
run quant "$out/kjv.nib" -o "$out/kjv-q8_0.nib" --type q8_0
run quant "$out/kjv.nib" -o "$out/kjv-q4_0.nib" --type q4_0
run quant "$out/kjv.nib" -o "$out/kjv-iq4_nl.nib" --type iq4_nl
# Most of this model's widths are 128, which the k types' blocks of 256 do not divide: those tensors take q5_0.
run quant "$out/kjv.nib" -o "$out/kjv-q4_k.nib" --type q4_k --fallback q5_0
run verify "$out/kjv.nib" "$out/kjv-q8_0.nib" "$out/kjv-q4_0.nib" "$out/kjv-iq4_nl.nib" "$out/kjv-q4_k.nib"
run eval "$out/kjv.nib" "$out/kjv-q8_0.nib" "$out/kjv-q4_k.nib" "$out/kjv-iq4_nl.nib" "$out/kjv-q4_0.nib" \
    --text $model/heldout.txt --ctx 256
run generate "$out/kjv-q4_k.nib" --prompt "And it came to pass" --tokens 40 --echo
