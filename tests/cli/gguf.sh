# GGUF files as model arguments, vocabularies alone; whole models are in tests/test_gguf_model.c.
# Environment: NIBBLE (the program). Run from the repository root.
failures=0
check() { # WHAT GOT EXPECTED
    if [ "$2" = "$3" ]; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        echo "#   $2 instead of $3"
        failures=$((failures + 1))
    fi
}
# ids NAME: what nibble makes of the text; golden NAME: what tokenizers or sentencepiece made of it, after the prefix.
ids() { "$NIBBLE" tokenize "tests/data/gguf/$1.gguf" --text tests/data/unicode.txt | tr ' ' ,; }
golden() {
    sed 's/.*"text":\[\([0-9,]*\)\],"prefix":\[\([0-9]*\)\].*/\2,\1/; s/^,//' "tests/data/gguf/$1.golden.json"
}
for name in gpt-2 smollm llama-bpe qwen2 tekken llama; do
    check "the vocabulary of $name" "$(ids $name | cksum)" "$(golden $name | cksum)"
done
"$NIBBLE" tokenize tests/data/gguf/smollm.gguf --text tests/data/kjv/heldout.txt --no-bos >"$TMP/ids"
check "and back" "$("$NIBBLE" tokenize tests/data/gguf/smollm.gguf --text "$TMP/ids" --decode | cksum)" \
    "$(cksum <tests/data/kjv/heldout.txt)"
cp tests/data/gguf/llama.gguf "$TMP/without-extension"
check "by content, not by name" "$("$NIBBLE" tokenize "$TMP/without-extension" --text - --no-bos </dev/null)" ""
[ $failures = 0 ]
