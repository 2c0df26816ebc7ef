#!/bin/sh
# Quantized checkpoints as model arguments; their values are in tests/test_encodings.c.
set -u
failed=0
data=tests/data/encodings

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
says() { text=$1; shift; "$@" >"$TMP/said" 2>&1; grep -qF -- "$text" "$TMP/said" || { cat "$TMP/said"; false; }; }
fails() { "$@" >"$TMP/said" 2>&1; [ $? = 1 ] && [ "$(wc -l <"$TMP/said")" = 1 ] || { cat "$TMP/said"; false; }; }
# f32 MODEL NAME: its values, for comparing
f32() { "$NIBBLE" export "$1" -o "$TMP/$2/" --dtype f32 >/dev/null 2>&1; }
alike() { cmp "$TMP/$1/model.safetensors" "$TMP/$2/model.safetensors"; }

check "info says how it was quantized" says "the source's: gptq 4-bit, group 16, act-order" "$NIBBLE" info $data/gptq-4-order
check "... and of a float8 one" says "fp8 e4m3, blocks of 24 x 16" "$NIBBLE" info $data/fp8-blocks
for name in packed-4 gptq-4-order fp8-blocks; do
    check "$name converts" says "$TMP/$name.nib: " "$NIBBLE" convert $data/$name -o "$TMP/$name.nib"
    check "... into a whole file" says "ok, 11 tensors" "$NIBBLE" verify "$TMP/$name.nib"
    f32 $data/$name $name-direct
    f32 "$TMP/$name.nib" $name-nib
    check "... of the same values" alike $name-direct $name-nib
done
check "the .nib says it, too" says "compressed-tensors pack-quantized int4, group 32" "$NIBBLE" info "$TMP/packed-4.nib"
check "its codes stay codes of 4 bits" says "q4_0" "$NIBBLE" info "$TMP/packed-4.nib"

# Out again, as they are: not quantized any more, and config.json says so.
for name in packed-4 gptq-4-order; do
    "$NIBBLE" export "$TMP/$name.nib" -o "$TMP/$name-hf/" >/dev/null 2>&1
    check "$name's export has no quantization_config" sh -c "! grep -q quantization_config '$TMP/$name-hf/config.json'"
    check "... and opens" says "ok" "$NIBBLE" verify "$TMP/$name-hf"
done
check "... in the type that holds the values" says '"dtype":	"float32"' cat "$TMP/gptq-4-order-hf/config.json"
f32 "$TMP/gptq-4-order-hf" again
check "... which are the same" alike again gptq-4-order-nib
check "quant takes one" says "q8_0" "$NIBBLE" quant $data/fp8-blocks --type q8_0 -o "$TMP/q8.nib"
check "--dtype casts one" says "16.0000 bits per weight" sh -c \
    "'$NIBBLE' convert $data/fp8-blocks --dtype bf16 -o '$TMP/bf16.nib' >/dev/null && '$NIBBLE' info '$TMP/bf16.nib'"

cp -r $data/gptq-4-order "$TMP/bad"
chmod -R u+w "$TMP/bad"
sed 's/"gptq",/"quip",/' $data/gptq-4-order/config.json >"$TMP/bad/config.json"
check "another method is an error" fails "$NIBBLE" info "$TMP/bad"
check "... that names it" grep -qF 'the method "quip" (quant_method) is not supported' "$TMP/said"
sed 's/"group_size": 16/"group_size": 8/' $data/gptq-4-order/config.json >"$TMP/bad/config.json"
check "a config that disagrees is an error" fails "$NIBBLE" convert "$TMP/bad" -o "$TMP/bad.nib"
check "... that names file and tensor" grep -q "bad/model.safetensors: tensor model.layers.0." "$TMP/said"
exit $failed
