# data/calibration.txt: that it is text, that it comes through a tokenizer whole, that nothing in it looks like a special
# token, and that every part of it is a mix.
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
text=data/calibration.txt
check "UTF-8" "$(iconv -f UTF-8 -t UTF-8 $text | cmp - $text && echo whole)" whole
check "no control characters but newlines and tabs" "$(LC_ALL=C tr -d '\n\t\040-\176\200-\377' <$text | wc -c | tr -d ' ')" 0
check "no special tokens" "$(LC_ALL=C grep -c -E '<\||\|>|</?s>|<(bos|eos|pad|unk|mask)>|\[/?INST\]|<0x[0-9A-F]{2}>' $text)" 0
check "no distributor's notes" "$(grep -c -i -E 'project gutenberg|https?://' $text)" 0
check "there and back through a tokenizer" "$("$NIBBLE" tokenize tests/data/kjv --text $text --no-bos |
    "$NIBBLE" tokenize tests/data/kjv --text - --decode | cmp - $text && echo whole)" whole
# Every 64 KB hold code, prose, and letters that are not ASCII.
split -b 65536 $text "$TMP/part."
parts=0 mixed=0
for part in "$TMP"/part.*; do
    parts=$((parts + 1))
    grep -q -E '^ *(return|if \(|def |#include)' "$part" && grep -q -i -w 'which' "$part" &&
        [ "$(LC_ALL=C tr -d '\000-\177' <"$part" | wc -c)" -gt 2000 ] && mixed=$((mixed + 1))
done
check "parts of 64 KB that are mixed" "$mixed" "$parts"
[ $failures = 0 ]
