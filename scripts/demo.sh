#!/bin/sh
# The whole path on the checkpoint that the repository carries: convert, quantize, evaluate, generate. `make demo` runs it
# from the repository's root; what it writes goes to build/demo.
set -eu
program=${NIBBLE:-build/release/nibble}
nibble=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
model=../../tests/data/kjv
mkdir -p build/demo
cd build/demo

# run COMMAND...: shows the command as one would type it, then runs it.
run() {
    printf '\n$ nibble'
    for word; do
        case $word in *\ *) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    echo
    "$nibble" "$@"
}

run convert $model -o kjv.nib
run quant kjv.nib -o kjv-q8_0.nib --type q8_0
run quant kjv.nib -o kjv-q4_0.nib --type q4_0
run quant kjv.nib -o kjv-iq4_nl.nib --type iq4_nl
# Most of this model's widths are 128, which the k types' blocks of 256 do not divide: those tensors take q5_0.
run quant kjv.nib -o kjv-q4_k.nib --type q4_k --fallback q5_0
run verify kjv.nib kjv-q8_0.nib kjv-q4_k.nib kjv-iq4_nl.nib kjv-q4_0.nib
run eval kjv.nib kjv-q8_0.nib kjv-q4_k.nib kjv-iq4_nl.nib kjv-q4_0.nib --text $model/heldout.txt --ctx 256
run generate kjv-q4_k.nib --prompt "And it came to pass" --tokens 40 --echo
