#!/bin/sh
# Broken models: each is one line on stderr, exit 1, in under a second and with little memory. What nibble says is shown.
# The files' own tests (test_safetensors, test_nib, test_model) have many more cases; these go through the program.
set -u
failed=0
tiny="$PROGRAMS/make_tiny"
model="$TMP/model"

# A gigabyte of address space is enough for whole models, so it must be for broken ones. Sanitizers need terabytes.
"$tiny" "$model"
if { (ulimit -v 1000000 && "$NIBBLE" info "$model"); } >/dev/null 2>&1; then
    limit() { ulimit -v 1000000; }
else
    echo "skip - a limit on memory: not with this build"
    limit() { :; }
fi

# refuses WHAT TEXT COMMAND...: it fails as it should, saying TEXT.
refuses() {
    what=$1 text=$2
    shift 2
    start=$(date +%s%N)
    (limit && exec "$@") >"$TMP/out" 2>"$TMP/err"
    code=$?
    ms=$((($(date +%s%N) - start) / 1000000))
    lines=$(wc -l <"$TMP/err")
    problem=
    [ "$code" = 1 ] || problem="exit status $code instead of 1"
    [ "$lines" = 1 ] || problem="$lines lines instead of one"
    [ -s "$TMP/out" ] && problem="something on stdout"
    grep -qF -- "$text" "$TMP/err" || problem="no \"$text\""
    [ "$ms" -lt 1000 ] || problem="took $ms ms"
    if [ -z "$problem" ]; then
        echo "ok - $what: $(sed "s|$TMP/||g" "$TMP/err")"
    else
        echo "not ok - $what: $problem: $(head -c 600 "$TMP/err")"
        failed=1
    fi
}

# tries WHAT TEXT: opening $model is refused.
tries() { refuses "$1" "$2" "$NIBBLE" info "$model"; }

# length N: eight bytes, little-endian, of a number below 2^32
length() { printf "\\$(printf %03o $(($1 & 255)))\\$(printf %03o $(($1 >> 8 & 255)))\\$(printf %03o $(($1 >> 16 & 255)))\\$(printf %03o $(($1 >> 24 & 255)))\0\0\0\0"; }
weights="$model/model.safetensors"
# header TEXT: a safetensors file that is nothing but this header
header() { { length "$(printf %s "$1" | wc -c)"; printf %s "$1"; } >"$weights"; }
# config FIND REPLACE: a whole model with another config
config() { "$tiny" "$model" && sed "s|$1|$2|" "$model/config.json" >"$TMP/c" && cp "$TMP/c" "$model/config.json"; }

refuses "nothing there" "there is no such file" "$NIBBLE" info "$TMP/nowhere"
mkdir "$TMP/empty"
refuses "an empty directory" "has no config.json" "$NIBBLE" info "$TMP/empty"
refuses "a file of another kind" "neither a .nib file nor a GGUF file nor" "$NIBBLE" info Makefile

# ---- safetensors
"$tiny" "$model"
cp "$weights" "$TMP/whole"
head -c 5 "$TMP/whole" >"$weights"
tries "a file of 5 bytes" "too short"
head -c 1000 "$TMP/whole" >"$weights"
tries "a header cut short" "is the file cut short?"
head -c 20000 "$TMP/whole" >"$weights"
tries "data cut short" "is the file cut short?"
: >"$weights"
tries "an empty file" "too short"
{ length 99999999; printf '{}'; } >"$weights"
tries "a header length beyond the file" "claims 99999999 bytes"
printf '\377\377\377\377\377\377\377\177{}' >"$weights"
tries "an absurd header length" "above the format's limit"
header '{"a":'
tries "malformed JSON" "malformed JSON"
header "$(head -c 100000 /dev/zero | tr '\0' '[')"
tries "very deep JSON" "malformed JSON"
{ length 50000000; head -c 50000000 /dev/zero | tr '\0' '['; } >"$weights"
tries "50 MB of brackets" "more than 1000000 values"
"$tiny" "$model" 'find="data_offsets":[6144,6272]' 'replace="data_offsets":[6016,6144]'
tries "overlapping offsets" "overlap"
"$tiny" "$model" 'find="data_offsets":[0,6144]' 'replace="data_offsets":[60000000,60006144]'
tries "offsets out of range" "outside the file"
"$tiny" "$model" 'find="data_offsets":[0,6144]' 'replace="data_offsets":[6144,0]'
tries "offsets the wrong way round" "in order"
"$tiny" "$model" 'find=[48,32]' 'replace=[4294967296,4294967296]'
tries "a shape that overflows" "overflows"
"$tiny" "$model" 'find=[48,32]' 'replace=[48,33]'
tries "a shape that disagrees with the bytes" "takes 6336 bytes, but its offsets span 6144"
"$tiny" "$model" 'find=[48,32]' 'replace=[32,48]'
tries "a shape that disagrees with the config" "where the config calls for [48, 32]"
"$tiny" "$model" 'find="F32"' 'replace="F31"'
tries "an unknown dtype" "dtype \"F31\" is not supported"
"$tiny" "$model" 'find=model.layers.1.mlp.up_proj.weight' 'replace=model.layers.0.mlp.up_proj.weight'
tries "a tensor twice" "is there twice"
"$tiny" "$model" without=model.norm.weight
tries "a tensor missing" "model.norm.weight is missing"
"$tiny" "$model" find=model.norm.weight replace=model.gnome.weight
tries "a tensor of another model" "is none that the family llama has"

# ---- shards
"$tiny" "$model" shards=3
rm "$model/model-00002-of-00003.safetensors"
tries "a missing shard" "model-00002-of-00003.safetensors: cannot be opened"
"$tiny" "$model" shards=3
sed 's|model-00002|../model-00002|' "$model/model.safetensors.index.json" >"$TMP/i" && cp "$TMP/i" "$model/model.safetensors.index.json"
tries "an index that leads elsewhere" "leads outside the directory"
"$tiny" "$model"
rm "$weights"
tries "no weights" "has no weights"
: >"$model/pytorch_model.bin"
tries "PyTorch weights that are none" "does not start as a zip archive"
cp tests/data/torch/legacy.pt "$model/pytorch_model.bin"
tries "PyTorch weights of old" "in the format of PyTorch before 1.6"
head -c 3000 tests/data/torch/kinds-2.pt >"$model/pytorch_model.bin"
tries "PyTorch weights cut short" "has no zip end record: is the file cut short?"
cp tests/data/torch/kinds-2.pt "$model/pytorch_model.bin"
tries "PyTorch weights of another model" "tensor f32 is none that the family llama has"

# ---- config
config '"llama"' '"mamba2"'
tries "an unsupported family" 'the family "mamba2" is not supported; those supported are: llama'
config '"hidden_size": 32' '"hidden_size": 64'
tries "a config of another size" "where the config calls for [48, 64]"
config '"num_hidden_layers": 2' '"num_hidden_layers": 2000000000'
tries "absurd numbers" "outside 1 to 4096"
config '"num_attention_heads": 2' '"num_attention_heads": 0'
tries "no heads" '"num_attention_heads" is 0'
config '"hidden_act": "silu"' '"hidden_act": "silu", "rope_scaling": {"type": "shortrope"}'
tries "an unknown rotary scaling" '"shortrope" is not supported'
config '"hidden_act"' 'hidden_act'
tries "a malformed config" "config.json: malformed JSON"
{ printf '{"a":'; head -c 60000 /dev/zero | tr '\0' '['; } >"$model/config.json"
tries "a deep config" "config.json: malformed JSON"

# ---- .nib
"$tiny" "$model"
"$NIBBLE" convert "$model" -o "$TMP/good.nib" >/dev/null || { echo "not ok - convert"; exit 1; }
bad="$TMP/bad.nib"
size=$(wc -c <"$TMP/good.nib")
# damaged AT: one bit of the good file flipped there
damaged() {
    cp "$TMP/good.nib" "$bad"
    byte=$(od -An -tu1 -j "$1" -N 1 "$bad" | tr -d ' ')
    printf "\\$(printf %03o $((byte ^ 16)))" | dd of="$bad" bs=1 seek="$1" conv=notrunc 2>/dev/null
}
damaged 20
refuses "a .nib with a bit flipped in its header" "header is damaged" "$NIBBLE" verify "$bad"
damaged 200
refuses "... in a tensor" "tensor model.embed_tokens.weight: its bytes do not match" "$NIBBLE" verify "$bad"
refuses "... and found on load" "tensor model.embed_tokens.weight: its bytes do not match" "$NIBBLE" convert "$bad" -o "$TMP/x.nib"
damaged $((size - 20))
refuses "... in its index" "index is damaged" "$NIBBLE" info "$bad"
head -c $((size / 2)) "$TMP/good.nib" >"$bad"
refuses "a .nib cut short" "is it cut short?" "$NIBBLE" verify "$bad"
head -c 50 "$TMP/good.nib" >"$bad"
refuses "a .nib cut in its header" "is it cut short?" "$NIBBLE" info "$bad"

# ---- GGUF
gguf="$TMP/x.gguf"
vocabulary=tests/data/gguf/llama.gguf
refuses "a GGUF with a vocabulary alone" "only a vocabulary" "$NIBBLE" info $vocabulary
head -c 5000 $vocabulary >"$gguf"
refuses "a GGUF cut short" "ends inside its metadata" "$NIBBLE" tokenize "$gguf" --text /dev/null
printf 'GGUF\0\0\0\003\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >"$gguf"
refuses "a big-endian GGUF" "is big-endian" "$NIBBLE" info "$gguf"
printf 'GGUF\003\0\0\0\377\377\377\377\377\377\377\177\0\0\0\0\0\0\0\0' >"$gguf"
refuses "a GGUF with a count that lies" "tensors, above the limit" "$NIBBLE" info "$gguf"
# Six million texts, and more than that claimed.
{
    printf 'GGUF\003\0\0\0\0\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0\025\0\0\0\0\0\0\0tokenizer.ggml.tokens\011\0\0\0\010\0\0\0'
    printf '\377\377\377\377\377\0\0\0'
    head -c 50000000 /dev/zero
} >"$gguf"
refuses "a GGUF of 50 MB of empty texts" "ends inside its metadata" "$NIBBLE" tokenize "$gguf" --text /dev/null

# ---- output
refuses "an output that is a directory" "is a directory" "$NIBBLE" convert "$model" -o "$TMP/empty"
refuses "an output in no directory" "cannot be written" "$NIBBLE" convert "$model" -o "$TMP/no/such/x.nib"
refuses "its own input as output" "is the model that is read" "$NIBBLE" convert "$TMP/good.nib" -o "$TMP/good.nib"
"$tiny" "$model" large=model.norm.weight
refuses "a value too large for f16" "tensor model.norm.weight: value 1 (1e+30) is too large for f16" \
    "$NIBBLE" convert "$model" --dtype f16 -o "$TMP/x.nib"
if [ -e "$TMP/x.nib" ]; then
    echo "not ok - a failed conversion left an output"
    failed=1
else
    echo "ok - failed conversions left nothing"
fi
exit $failed
