#!/bin/sh
# nibble export: what it writes, what it refuses, and what is left when it is killed or the disk is full.
# Environment: NIBBLE (the program), PROGRAMS, TMP (an empty directory). Run from the repository root.
set -u
failed=0
tiny="$PROGRAMS/make_tiny"
kjv=tests/data/kjv

# check WHAT COMMAND...: it succeeds.
check() {
    what=$1
    shift
    if "$@"; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        failed=1
    fi
}
. tests/settle.sh
says() { text=$1; shift; "$@" >"$TMP/said" 2>&1; grep -qF -- "$text" "$TMP/said" || { cat "$TMP/said"; false; }; }
export_() { "$NIBBLE" export -q "$@"; }

# refuses WHAT CODE PATTERN ARGUMENTS...: exits with CODE, says one line that matches; nothing appears in $TMP/out.
mkdir "$TMP/out"
refuses() {
    what=$1 code=$2 pattern=$3
    shift 3
    export_ "$@" >/dev/null 2>"$TMP/said"
    got=$?
    if [ $got = "$code" ] && [ "$(wc -l <"$TMP/said")" = 1 ] && grep -q -e "$pattern" "$TMP/said" &&
        [ -z "$(ls -A "$TMP/out")" ]; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        echo "#   exit $got: $(head -n 2 "$TMP/said") $(ls -A "$TMP/out")"
        rm -rf "$TMP/out"
        mkdir "$TMP/out"
        failed=1
    fi
}

# ---- what it writes
check "GGUF from a directory" says "k.gguf: " export_ $kjv -o "$TMP/k.gguf"
check "it starts as GGUF does" [ "$(head -c 4 "$TMP/k.gguf")" = GGUF ]
"$NIBBLE" convert -q $kjv -o "$TMP/k.nib" >/dev/null
mkdir "$TMP/again"
export_ "$TMP/k.nib" -o "$TMP/again/kjv.gguf" >/dev/null
# They differ in general.name alone ("kjv", "k"), which comes before the tensors.
tail_of() { tail -c 1600000 "$1"; }
same_tail() { tail_of "$TMP/k.gguf" >"$TMP/tail" && tail_of "$TMP/again/kjv.gguf" | cmp - "$TMP/tail"; }
check "the same tensors from a .nib" same_tail
"$NIBBLE" quant -q $kjv -o "$TMP/q.nib" --type q4_0 >/dev/null
check "GGUF from blocks" says "q.gguf: 62" export_ "$TMP/q.nib" -o "$TMP/q.gguf"
# Read back as GGUF, a model says what it said: per-token losses, and ids by the vocabulary inside.
ids() { "$NIBBLE" tokenize "$1" --text tests/data/unicode.txt; }
for pair in "$kjv k.gguf" "$TMP/q.nib q.gguf"; do
    set -- $pair
    "$NIBBLE" eval -q "$1" "$TMP/$2" --text $kjv/heldout.txt --ctx 128 --windows 6 --json "$TMP/back.json" >/dev/null
    check "$2 read back diverges by nothing" grep -qE '"kld_max":[[:space:]]*[0-9.]+e-(0[7-9]|[1-9][0-9])|"kld_max":[[:space:]]*0[,.}]?0*[,}]?$' "$TMP/back.json"
    ids "$1" >"$TMP/ids.1"
    ids "$TMP/$2" >"$TMP/ids.2"
    check "and has the same ids" cmp "$TMP/ids.1" "$TMP/ids.2"
done
check "split" says "5 files" export_ $kjv -o "$TMP/s.gguf" --split-max-size 500KB
check "into numbered files" [ -s "$TMP/s-00001-of-00005.gguf" -a -s "$TMP/s-00005-of-00005.gguf" -a ! -e "$TMP/s.gguf" ]
check "each below the size" [ -z "$(find "$TMP" -name 's-*.gguf' -size +500000c)" ]
check "a size that is enough: one file" sh -c '"$NIBBLE" export -q tests/data/kjv -o "$TMP/s.gguf" --split-max-size 1GB >/dev/null && cmp "$TMP/s.gguf" "$TMP/k.gguf"'
check "a directory" says "hf/: " export_ $kjv -o "$TMP/hf/"
for file in config.json tokenizer.json tokenizer_config.json generation_config.json; do
    check "$file as it was" cmp "$TMP/hf/$file" $kjv/$file
done
same_eval() {
    "$NIBBLE" eval -q $kjv "$TMP/hf" --text $kjv/heldout.txt --windows 1 | grep '/hf ' | tail -n 1 |
        grep -q '+0.00000  *[0-9.]* *0.00000 '
}
check "which predicts the same" same_eval
check "a quantized model as a directory" export_ "$TMP/q.nib" -o "$TMP/q-hf" --to hf >"$TMP/said"
check "is bf16 and says so" grep -q '"dtype":[[:space:]]*"bfloat16"' "$TMP/q-hf/config.json"
check "in f16, in shards" says "3 files" export_ "$TMP/q.nib" -o "$TMP/q16/" --dtype f16 --split-max-size 600KB
check "says so" grep -q '"dtype":[[:space:]]*"float16"' "$TMP/q16/config.json"
check "and opens" says "its structure was checked" "$NIBBLE" verify "$TMP/q16"
mkdir "$TMP/empty"
check "an empty directory is taken" says "empty: " export_ $kjv -o "$TMP/empty"

# ---- what it refuses
refuses "no MODEL" 2 "which MODEL" -o "$TMP/out/x.gguf"
refuses "no output" 2 "where to" $kjv
refuses "an output that does not say what it is" 2 "end it with .gguf or with /" $kjv -o "$TMP/out/x"
refuses "another format" 2 "must be gguf, hf, compressed-tensors or gptq" $kjv -o "$TMP/out/x" --to onnx
refuses "a block type" 2 "must be f32, f16 or bf16" $kjv -o "$TMP/out/x.gguf" --dtype q4_0
refuses "no size" 2 "is not a size" $kjv -o "$TMP/out/x.gguf" --split-max-size many
refuses "a size of 0" 2 "is not a size" $kjv -o "$TMP/out/x.gguf" --split-max-size 0
refuses "--pre for a directory" 2 "for GGUF alone" $kjv -o "$TMP/out/x/" --pre llama-bpe
refuses "a size below a tensor's" 1 "alone makes a file of" $kjv -o "$TMP/out/x.gguf" --split-max-size 100KB
refuses "a directory that is not empty" 1 "is not empty" $kjv -o "$TMP/hf/"
refuses "a file as directory" 1 "is not a directory" $kjv -o "$TMP/k.gguf" --to hf
refuses "a directory as file" 1 "is a directory" $kjv -o "$TMP/hf" --to gguf
refuses "a place that is not there" 1 "No such file" $kjv -o "$TMP/none/x.gguf"
refuses "the same for a directory" 1 "No such file" $kjv -o "$TMP/none/x/"
refuses "the model itself" 1 "is the model that is read" "$TMP/k.nib" -o "$TMP/k.nib" --to gguf
"$tiny" "$TMP/model" 2>/dev/null
refuses "a tokenizer.json that is none" 1 "tokenizer.json" "$TMP/model" -o "$TMP/out/x.gguf"
rm "$TMP/model/tokenizer.json"
refuses "no tokenizer.json" 1 "has no tokenizer.json" "$TMP/model" -o "$TMP/out/x.gguf"
check "a directory needs none" export_ "$TMP/model" -o "$TMP/bare/" >/dev/null
cp $kjv/tokenizer.json "$TMP/model/"
refuses "a tokenizer of another model" 1 "but the model has rows for 48 tokens only" "$TMP/model" -o "$TMP/out/x.gguf"
"$tiny" "$TMP/large" dtype=F32 large=model.norm.weight
refuses "a value too large" 1 "model.norm.weight: value 1 (1e+30) is too large for f16" "$TMP/large" -o "$TMP/out/x/" --dtype f16
cp -r $kjv "$TMP/odd" && chmod -R u+w "$TMP/odd"
sed 's/{1,3}/{1,4}/' $kjv/tokenizer.json >"$TMP/odd/tokenizer.json"
refuses "a pre-tokenizer without a name" 1 "give its name with --pre NAME" "$TMP/odd" -o "$TMP/out/x.gguf"
check "--pre names it" export_ "$TMP/odd" -o "$TMP/odd.gguf" --pre qwen2 >/dev/null
cp "$TMP/k.nib" "$TMP/bad.nib"
printf 'X' | dd of="$TMP/bad.nib" bs=1 seek=4000 conv=notrunc 2>/dev/null
refuses "damaged bytes" 1 "do not match their XXH3 hash" "$TMP/bad.nib" -o "$TMP/out/x.gguf"
refuses "damaged bytes, into a directory" 1 "do not match their XXH3 hash" "$TMP/bad.nib" -o "$TMP/out/x/"
refuses "damaged bytes, in several files" 1 "do not match their XXH3 hash" "$TMP/bad.nib" -o "$TMP/out/x.gguf" --split-max-size 500KB

# ---- what came out of a GGUF
"$NIBBLE" convert -q "$TMP/k.gguf" -o "$TMP/g.nib" >/dev/null
check "back into GGUF" export_ "$TMP/g.nib" -o "$TMP/g.gguf" >/dev/null
check "its tensors are the same" sh -c 'tail -c 1600000 "$TMP/k.gguf" >"$TMP/tail" && tail -c 1600000 "$TMP/g.gguf" | cmp - "$TMP/tail"'
check "and as many bytes of metadata" [ "$(wc -c <"$TMP/k.gguf")" = "$(wc -c <"$TMP/g.gguf")" ]
check "a name of the pre-tokenizer in its place" export_ "$TMP/k.gguf" -o "$TMP/pre.gguf" --pre gpt-2 >/dev/null
check "which is read back" "$NIBBLE" tokenize "$TMP/pre.gguf" --text tests/data/unicode.txt >/dev/null
check "in several files" says "5 files" export_ "$TMP/k.gguf" -o "$TMP/parts.gguf" --split-max-size 500KB
check "as a directory" says "g-hf/: " export_ "$TMP/g.nib" -o "$TMP/g-hf/"
ids $kjv >"$TMP/ids.1"
ids "$TMP/g-hf" >"$TMP/ids.2"
check "whose tokenizer.json gives the same ids" cmp "$TMP/ids.1" "$TMP/ids.2"
"$NIBBLE" eval -q $kjv "$TMP/g-hf" --text $kjv/heldout.txt --ctx 128 --windows 4 --json "$TMP/back.json" >/dev/null 2>&1
check "and which diverges by nothing" grep -qE '"kld_max":[[:space:]]*[0-9.]+e-(0[7-9]|[1-9][0-9])|"kld_max":[[:space:]]*0[,.}]?0*[,}]?$' "$TMP/back.json"

# ---- integers in groups
pack="--to compressed-tensors --group 32"
check "compressed-tensors" says "matrices are int4 in groups of 32, symmetric" export_ $kjv -o "$TMP/ct/" $pack
check "says so in config.json" grep -q '"pack-quantized"' "$TMP/ct/config.json"
check "with zero points, 8 bits" says "int8 in groups of 64, with zero points" export_ $kjv -o "$TMP/ct8/" --to compressed-tensors --bits 8 --group 64 --asymmetric
check "GPTQ" says "int4 in groups of 128" export_ $kjv -o "$TMP/gptq/" --to gptq
check "has a quantize_config.json" grep -q '"checkpoint_format":[[:space:]]*"gptq"' "$TMP/gptq/quantize_config.json"
check "q4_0 is carried over" says "were carried over as they were" export_ "$TMP/q.nib" -o "$TMP/carried/" $pack
check "several files of them" says " files, " export_ $kjv -o "$TMP/ct-split/" $pack --split-max-size 500KB
check "rows of a GGUF's model are put back" sh -c '"$NIBBLE" export -q "$TMP/g.nib" -o "$TMP/g-ct/" --to compressed-tensors --group 32 >/dev/null && cmp "$TMP/g-ct/model.safetensors" "$TMP/ct/model.safetensors"'
refuses "blocks that would be rounded again" 1 "--requantize rounds it again" "$TMP/q.nib" -o "$TMP/out/x/" $pack --bits 8
check "--requantize rounds them" export_ "$TMP/q.nib" -o "$TMP/again8/" $pack --bits 8 --requantize >/dev/null
"$tiny" "$TMP/narrow"
"$tiny" "$TMP/broken" infinite=model.layers.0.mlp.up_proj.weight
refuses "groups that do not divide a width" 1 "groups of 64 do not divide its width" "$TMP/narrow" -o "$TMP/out/x/" --to gptq --group 64
check "--keep-undivided leaves them" says "12 matrices that groups do not divide stay in f16" export_ "$TMP/narrow" -o "$TMP/kept/" --to gptq --group 64 --keep-undivided
check "and names them" grep -q '"-:^model\\\\.layers\\\\.1\\\\.mlp\\\\.up_proj\$"' "$TMP/kept/quantize_config.json"
check "in ignore, too" sh -c '"$NIBBLE" export -q "$TMP/narrow" -o "$TMP/kept-ct/" --to compressed-tensors --group 64 --keep-undivided >/dev/null && grep -q "\"ignore\".*layers.1.mlp.up_proj.*lm_head" "$TMP/kept-ct/config.json"'
refuses "nothing that could be packed" 1 "no linear layers that can be packed" "$TMP/narrow" -o "$TMP/out/x/" --to gptq --group 128 --keep-undivided
refuses "a NaN or infinity" 1 "NaN or infinity at row 0" "$TMP/broken" -o "$TMP/out/x/" $pack
refuses "3 bits" 2 "must be" $kjv -o "$TMP/out/x/" --to gptq --bits 3
refuses "5 bits" 2 "must be 4 or 8" $kjv -o "$TMP/out/x/" --to gptq --bits 5
refuses "groups of 48" 2 "must be 32, 64 or 128" $kjv -o "$TMP/out/x/" --to gptq --group 48
refuses "--bits for a GGUF" 2 "are for --to compressed-tensors" $kjv -o "$TMP/out/x.gguf" --bits 4
refuses "f32 beside integers" 2 "must be f16 or bf16" $kjv -o "$TMP/out/x/" $pack --dtype f32
refuses "bf16 in GPTQ" 2 "GPTQ has f16" $kjv -o "$TMP/out/x/" --to gptq --dtype bf16
refuses "damaged bytes, packed" 1 "do not match their XXH3 hash" "$TMP/bad.nib" -o "$TMP/out/x/" $pack

# ---- killed at any moment: the old output or the new one, and nothing beside it
cp "$TMP/q.gguf" "$TMP/out/k.gguf"
whole=1
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    "$NIBBLE" export -q "$TMP/k.nib" -o "$TMP/out/k.gguf" >/dev/null 2>&1 &
    sleep "0.00$((try % 8))"
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    settle "$TMP/out"
    { cmp -s "$TMP/out/k.gguf" "$TMP/again/kjv.gguf" || cmp -s "$TMP/out/k.gguf" "$TMP/q.gguf"; } &&
        [ "$(ls -A "$TMP/out")" = k.gguf ] || whole=0
done
check "kill -9 leaves the old GGUF or the new one" [ $whole = 1 ]

# A directory is there whole or not at all; an interrupt also takes the temporary one away.
whole=1 clean=1
for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
    for signal in KILL TERM; do
        dir="$TMP/dir.$try.$signal" # its own: what a killed program's child still moves disturbs no other
        mkdir "$dir"
        "$NIBBLE" export -q "$TMP/k.nib" -o "$dir/hf/" >/dev/null 2>&1 &
        sleep "0.00$((try % 8))"
        kill -$signal $! 2>/dev/null
        wait $! 2>/dev/null
        [ ! -e "$dir/hf" ] || diff -r "$dir/hf" "$TMP/hf" >/dev/null || whole=0
        [ $signal = KILL ] || [ -z "$(ls -A "$dir" | grep tmp)" ] || clean=0
    done
done
check "a killed export leaves a whole directory or none" [ $whole = 1 ]
check "an interrupted one leaves nothing beside it" [ $clean = 1 ]

# A full disk, as a limit on a file's size.
full() { (ulimit -f 64 && trap '' XFSZ && export_ $kjv -o "$1" ${2:-} ${3:-} >/dev/null 2>"$TMP/said"); }
rm -rf "$TMP/out" && mkdir "$TMP/out"
for target in "$TMP/out/x.gguf" "$TMP/out/x/"; do
    if full "$target"; then
        echo "not ok - a full disk was not noticed"
        failed=1
    else
        check "a full disk is one line" grep -q "cannot be written: File too large" "$TMP/said"
        check "and leaves nothing" [ -z "$(ls -A "$TMP/out")" ]
    fi
done

exit $failed
