# nibble quant: what it writes, what it refuses, and that nothing it does depends on threads or on being killed.
# Environment: NIBBLE (the program), TMP (an empty directory). Run from the repository root.
. tests/say.sh
refuses() { # WHAT CODE PATTERN COMMAND...: exits with CODE, one line on stderr that matches, and writes no output
    what=$1 code=$2 pattern=$3
    shift 3
    rm -f "$TMP/refused.nib"
    "$@" -o "$TMP/refused.nib" >/dev/null 2>"$TMP/said"
    got=$?
    if [ $got = "$code" ] && [ "$(wc -l <"$TMP/said")" = 1 ] && grep -q -e "$pattern" "$TMP/said" &&
        [ ! -e "$TMP/refused.nib" ]; then
        ok "$what"
    else
        not_ok "$what" "exit $got: $(head -n 2 "$TMP/said")"
    fi
}
own=tests/data/tiny/plain-biases    # f32, a head of its own, biases; all widths suit 32
tied=tests/data/tiny/plain-head-dim # f16, tied; attn_output is 48 wide
quant() { "$NIBBLE" quant -q "$@"; }

# ---- what it writes
check "a directory in one pass" quant $own -o "$TMP/a.nib" --type q4_0
check "its output verifies" "$NIBBLE" verify "$TMP/a.nib"
"$NIBBLE" convert -q $own -o "$TMP/base.nib" >/dev/null
check "a .nib" quant "$TMP/base.nib" -o "$TMP/b.nib" --type q4_0
# Their indices differ (one recipe has a step more), their tensors must not: those come first, from byte 128 on.
bytes=$(quant "$TMP/base.nib" -o "$TMP/b.nib" --type q4_0 --json - | sed -n 's/.*"tensor_bytes":[^0-9]*\([0-9]*\).*/\1/p')
region() { tail -c +129 "$1" | head -c "$bytes"; }
region "$TMP/a.nib" >"$TMP/a.region"
region "$TMP/b.nib" >"$TMP/b.region"
if [ "${bytes:-0}" -gt 10000 ] && cmp -s "$TMP/a.region" "$TMP/b.region"; then
    ok "the same tensors either way"
else
    not_ok "the same tensors either way"
fi
for type in q8_0 q4_0 q4_1 q5_0 q5_1 iq4_nl mxfp4 f16 bf16 f32; do
    quant $own -o "$TMP/t.nib" --type $type --json "$TMP/t.json" >/dev/null &&
        "$NIBBLE" verify "$TMP/t.nib" >/dev/null && grep -q "\"type\":[[:space:]]*\"$type\"" "$TMP/t.json" &&
        ok "--type $type" || not_ok "--type $type"
done
(cd "$TMP" && "$NIBBLE" quant -q base.nib >/dev/null)
if [ -e "$TMP/base-q8_0.nib" ]; then ok "defaults: q8_0, MODEL-TYPE.nib"; else not_ok "defaults: q8_0, MODEL-TYPE.nib"; fi
quant $own -o "$TMP/only.nib" --type q4_0 --only 'blk=q5_0' --only 'layers\.1\..*up_proj=q8_0' --only 'norm=f16' >/dev/null
"$NIBBLE" info "$TMP/only.nib" --tensors >"$TMP/only.list"
types() { grep -E "$1" "$TMP/only.list" | grep -c -w "$2"; }
if [ "$(types 'ffn_up\.weight' q8_0)$(types 'ffn_up\.weight' q5_0)$(types 'norm\.weight' f16)" = 115 ] &&
    [ "$(types '\.bias' f32)" = 14 ]; then
    ok "--only by internal and by source name, the last match wins, vectors only to plain types"
else
    not_ok "--only by internal and by source name, the last match wins, vectors only to plain types"
fi

# ---- what it refuses
refuses "no MODEL" 2 "which MODEL" quant
refuses "an unknown type" 2 "no such type" quant $own --type q3_0
refuses "a type that is no weight's" 2 "no such type" quant $own --type i32
refuses "--only without a type" 2 "REGEX=TYPE" quant $own --only blk
refuses "--only that matches nothing" 1 "matches no tensor" quant $own --only 'blk.9=q4_0'
refuses "--only that matches vectors alone" 1 "matches only vectors" quant $own --only 'bias=q4_0'
refuses "--only that is no expression" 1 "not a regular expression" quant $own --only '(=q4_0'
refuses "--output-type on a tied head" 1 "tied" quant $tied --type f16 --output-type q8_0
refuses "a width that does not suit" 1 "2 tensors: blk.0.attn_output.weight .32, 48.*--fallback" quant $tied --type q4_0
refuses "a fallback that does not suit either" 1 "does not divide the width of 2 tensors either" \
    quant $tied --type q4_0 --fallback q8_0
refuses "what is quantized already" 1 "requantize" quant "$TMP/a.nib" --type q5_0
check "unless --requantize" quant "$TMP/a.nib" -o "$TMP/t.nib" --type q5_0 --requantize
refuses "a model that is not there" 1 "nowhere" quant "$TMP/nowhere.nib"
quant "$TMP/base.nib" -o "$TMP/base.nib" >/dev/null 2>"$TMP/said"
if [ $? = 1 ] && grep -q "is the model that is read" "$TMP/said" && "$NIBBLE" verify "$TMP/base.nib" >/dev/null; then
    ok "its own input as output"
else
    not_ok "its own input as output" "$(cat "$TMP/said")"
fi

# ---- fallback
quant $tied -o "$TMP/fall.nib" --type q4_0 --fallback f16 --json "$TMP/fall.json" >"$TMP/fall.txt"
if grep -q "fell back: 2 tensors" "$TMP/fall.txt" && grep -q "2 x blk.#.attn_output.weight .*q4_0 -> f16" "$TMP/fall.txt" &&
    grep -q '"blk.1.attn_output.weight"' "$TMP/fall.json" &&
    "$NIBBLE" info "$TMP/fall.nib" --json - | tr -d ' \n\t' | grep -q '"fallback":{"type":"f16","tensors":\["blk.0.attn'; then
    ok "what fell back is listed and counted, in the output, the JSON and the recipe"
else
    not_ok "what fell back is listed and counted, in the output, the JSON and the recipe"
fi

# ---- NaN, infinity, values that are too large. Offsets are from the file's own header.
cp -r $own "$TMP/bad"
weights=$TMP/bad/model.safetensors
header=$(od -An -tu4 -N4 "$weights" | tr -d ' ')
start=$(head -c $((8 + header)) "$weights" | tail -c "$header" |
    sed 's/.*"model.layers.0.mlp.up_proj.weight":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
poke() { printf "$1" | dd of="$weights" bs=1 seek=$((8 + header + start + $2)) conv=notrunc 2>/dev/null; } # f32 bytes
poke '\000\000\300\177' 264 # a NaN at row 2, column 2
poke '\000\000\200\377' 516 # an infinity at row 4, column 1
refuses "a NaN" 1 "blk.0.ffn_up.weight: has a NaN or infinity at row 2, column 2;.*--allow-nonfinite" quant "$TMP/bad"
quant "$TMP/bad" -o "$TMP/t.nib" --type q4_0 --allow-nonfinite >"$TMP/t.txt"
if grep -q "2 values became zero" "$TMP/t.txt" && grep -q "2 in blk.0.ffn_up.weight" "$TMP/t.txt" &&
    "$NIBBLE" info "$TMP/t.nib" --json - | tr -d ' \n\t' | grep -q '"nonfinite_cleared":\[{"tensor":"blk.0.ffn_up.weight","values":2}'; then
    ok "--allow-nonfinite makes them zero, and lists and counts them"
else
    not_ok "--allow-nonfinite makes them zero, and lists and counts them" "$(tail -n 2 "$TMP/t.txt")"
fi
poke '\000\000\000\000' 264
poke '\000\000\000\177' 516 # 1.7e38
refuses "a value beyond a block's scale" 1 "ffn_up.weight: has values up to 1.70.*too large for q4_0" quant "$TMP/bad" --type q4_0
refuses "a value beyond f16" 1 "too large for f16" quant "$TMP/bad" --type f16
check "which bf16 holds" quant "$TMP/bad" -o "$TMP/t.nib" --type bf16

# ---- a flipped bit in a .nib is found when its tensor is read
cp "$TMP/base.nib" "$TMP/flip.nib"
printf '\125' | dd of="$TMP/flip.nib" bs=1 seek=20000 conv=notrunc 2>/dev/null
refuses "a .nib with a changed byte" 1 "do not match their XXH3 hash" quant "$TMP/flip.nib"

# ---- blocks of 256, and on to GGUF: what is exported is what was made
for type in q4_k q5_k q6_k iq4_xs q3_k q2_k; do
    quant tests/data/kjv -o "$TMP/k.nib" --type q8_0 --only ffn_down=$type >/dev/null &&
        "$NIBBLE" export -q "$TMP/k.nib" -o "$TMP/k.gguf" >/dev/null &&
        "$NIBBLE" info "$TMP/k.gguf" --tensors >"$TMP/k.list" && [ "$(grep 'ffn_down' "$TMP/k.list" | grep -c -w $type)" -gt 0 ] &&
        ok "--only ffn_down=$type, exported" || not_ok "--only ffn_down=$type, exported"
done

# ---- the same bytes with any number of threads and on any instruction set; this model has several slices to a tensor
big=tests/data/kjv
quant $big -o "$TMP/one.nib" --type q4_k --fallback q5_0 -t 1 >/dev/null
for threads in 2 3 8; do
    quant $big -o "$TMP/many.nib" --type q4_k --fallback q5_0 -t $threads >/dev/null
    if cmp -s "$TMP/one.nib" "$TMP/many.nib"; then ok "$threads threads give the bytes of one"; else not_ok "$threads threads give the bytes of one"; fi
done
for cpu in scalar avx2 avx512 neon; do # a cap above what this CPU has changes nothing
    NIBBLE_CPU=$cpu "$NIBBLE" quant -q $big -o "$TMP/many.nib" --type q4_k --fallback q5_0 >/dev/null
    if cmp -s "$TMP/one.nib" "$TMP/many.nib"; then ok "NIBBLE_CPU=$cpu gives the same bytes"; else not_ok "NIBBLE_CPU=$cpu gives the same bytes"; fi
done

# ---- killed at any moment: the old file or the new one
mkdir "$TMP/kill"
cp "$TMP/a.nib" "$TMP/kill/out.nib"
quant $big -o "$TMP/new.nib" --type iq4_nl >/dev/null
torn=0
for delay in 0 0.002 0.004 0.006 0.008 0.01 0.015 0.02 0.03 0.04 0.06 0.08; do
    "$NIBBLE" quant -q $big -o "$TMP/kill/out.nib" --type iq4_nl >/dev/null 2>&1 &
    pid=$!
    sleep $delay
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    cmp -s "$TMP/kill/out.nib" "$TMP/a.nib" || cmp -s "$TMP/kill/out.nib" "$TMP/new.nib" || torn=$((torn + 1))
done
if [ $torn = 0 ]; then ok "killed at twelve moments: the old file or the new one"; else not_ok "killed: $torn torn files"; fi

# ---- nowhere to write
quant $own -o "$TMP/none/x.nib" >/dev/null 2>"$TMP/said"
if [ $? = 1 ] && grep -q "none/x.nib: cannot be written" "$TMP/said"; then
    ok "an output in a directory that is not there"
else
    not_ok "an output in a directory that is not there" "$(cat "$TMP/said")"
fi
exit $((failures > 0))
