# nibble tokenize: ids out, text back, what it refuses.
# Environment: NIBBLE (the program), TMP (an empty directory). Run from the repository root.
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
refuses() { # WHAT CODE PATTERN COMMAND...: exits with CODE, one line on stderr that matches, nothing on stdout
    what=$1 code=$2 pattern=$3
    shift 3
    "$@" >"$TMP/out" 2>"$TMP/said" </dev/null
    check "$what" "$?, $(wc -l <"$TMP/said") line, $(grep -c -e "$pattern" "$TMP/said") matching, $(wc -c <"$TMP/out") bytes" \
        "$code, 1 line, 1 matching, 0 bytes"
}
llama2=tests/data/tokenizers/llama2.json # adds a BOS (1)
llama3=tests/data/tokenizers/llama3.json # adds an id at both ends (0 and 1)
tokenize() { "$NIBBLE" tokenize "$@"; }

# A directory with nothing but a tokenizer, the file itself, standard input.
mkdir "$TMP/model"
cp $llama2 "$TMP/model/tokenizer.json"
printf 'the sea' >"$TMP/text"
ids=$(tokenize "$TMP/model" --text "$TMP/text")
check "ids and a newline" "$(echo "$ids" | grep -c -E '^1( [0-9]+)+$')" 1
check "the file tokenizer.json" "$(tokenize $llama2 --text "$TMP/text")" "$ids"
check "standard input" "$(printf 'the sea' | tokenize $llama2 --text -)" "$ids"
check "--no-bos" "1 $(tokenize $llama2 --text "$TMP/text" --no-bos)" "$ids"
check "--count" "$(tokenize $llama2 --text "$TMP/text" --count)" "$(echo "$ids" | wc -w | tr -d ' ')"
check "an empty text" "$(tokenize $llama2 --text /dev/null)$(tokenize $llama2 --text - --no-bos </dev/null | od -c -An | tr -d ' ')" \
    '1\n'
check "a pipe by its name" "$(printf 'the sea' | tokenize $llama2 --text /dev/stdin)" "$ids"
check "both ends of a template" "$(tokenize $llama3 --text - </dev/null)" "0 1"

# There and back.
tokenize $llama3 --text tests/data/unicode.txt --no-bos >"$TMP/ids"
tokenize $llama3 --text "$TMP/ids" --decode --keep-special >"$TMP/back"
tokenize $llama3 --text "$TMP/back" --no-bos >"$TMP/again"
check "decoded text has the same ids" "$(cmp "$TMP/ids" "$TMP/again" 2>&1)$([ "$(wc -w <"$TMP/ids")" -gt 1000 ] && echo many)" many
tokenize $llama2 --text scripts/demo.sh --no-bos | tokenize $llama2 --text - --decode >"$TMP/back"
check "text comes back" "$(cmp scripts/demo.sh "$TMP/back" 2>&1)" ""
check "special tokens" "$(echo 1 2 | tokenize $llama2 --text - --decode | wc -c | tr -d ' ')$(echo 1 2 | tokenize $llama2 --text - --decode --keep-special)" \
    "0<s></s>"

# Refusals.
refuses "no model" 2 'name one model' "$NIBBLE" tokenize --text "$TMP/text"
refuses "no text" 2 'give a --text' "$NIBBLE" tokenize $llama2
refuses "--decode with --count" 2 'do not go with' "$NIBBLE" tokenize $llama2 --text "$TMP/text" --decode --count
refuses "--keep-special alone" 2 'goes with --decode' "$NIBBLE" tokenize $llama2 --text "$TMP/text" --keep-special
refuses "a model that is not there" 1 'nowhere' "$NIBBLE" tokenize "$TMP/nowhere" --text "$TMP/text"
refuses "a text that is not there" 1 'nothing.txt' "$NIBBLE" tokenize $llama2 --text "$TMP/nothing.txt"
mkdir "$TMP/empty"
refuses "a directory without a tokenizer" 1 'has no tokenizer.json' "$NIBBLE" tokenize "$TMP/empty" --text "$TMP/text"
head -c 5000 $llama2 >"$TMP/model/tokenizer.json"
refuses "half a tokenizer.json" 1 'model: tokenizer.json: malformed JSON' "$NIBBLE" tokenize "$TMP/model" --text "$TMP/text"
echo "1 2 99999" >"$TMP/ids"
refuses "an id out of range" 1 'ids: id 99999, number 2, is not in the vocabulary' "$NIBBLE" tokenize $llama2 --text "$TMP/ids" --decode
echo "1 -2" >"$TMP/ids"
refuses "a negative id" 1 'ids: byte 2 ' "$NIBBLE" tokenize $llama2 --text "$TMP/ids" --decode
echo "1 2x" >"$TMP/ids"
refuses "not an id" 1 'ids: byte 2 ' "$NIBBLE" tokenize $llama2 --text "$TMP/ids" --decode
if [ -w /dev/full ]; then
    "$NIBBLE" tokenize $llama2 --text tests/data/unicode.txt >/dev/full 2>"$TMP/said"
    check "no room for the output" "$? $(grep -c 'standard output: cannot be written' "$TMP/said")" "1 1"
else
    echo "skip - no room for the output: there is no /dev/full"
fi
[ $failures = 0 ]
