# nibble stats: statistics gathered from the carried checkpoint, kept, shown, turned into llama.cpp's importance matrices
# and back; the same bytes with any number of threads; what is refused; kills leave nothing behind.
# Environment: NIBBLE (the program), TMP (an empty directory), PROGRAMS. Run from the repository root.
. tests/say.sh
refuses() { # WHAT CODE PATTERN COMMAND...: exits with CODE, one line on stderr that matches, and writes no output
    what=$1 code=$2 pattern=$3
    shift 3
    rm -f "$TMP/refused"
    "$@" >/dev/null 2>"$TMP/said"
    got=$?
    if [ $got = "$code" ] && [ "$(wc -l <"$TMP/said")" = 1 ] && grep -q -e "$pattern" "$TMP/said" &&
        [ ! -e "$TMP/refused" ]; then
        ok "$what"
    else
        not_ok "$what" "exit $got: $(head -n 2 "$TMP/said")"
    fi
}
kjv=tests/data/kjv
text=$kjv/heldout.txt
stats() { "$NIBBLE" stats -q "$@"; }
has() { # WHAT FILE PATTERN
    if grep -q -e "$3" "$2"; then ok "$1"; else not_ok "$1" "$(head -n 3 "$2")"; fi
}

for method in importance gptq fisher; do
    check "--method $method" stats $kjv --calib $text -n 5 --method $method -o "$TMP/$method.stats"
    stats "$TMP/$method.stats" >"$TMP/$method.txt"
done
has "importance of 29 weights" "$TMP/importance.txt" 'importance statistics of 29 weights'
has "second moments of 29 weights" "$TMP/gptq.txt" 'hessian statistics of 29 weights'
has "fisher's of 30: the embedding's too" "$TMP/fisher.txt" 'fisher statistics of 30 weights'
has "a line for each kind of weight" "$TMP/fisher.txt" '4 x blk\.#\.ffn_down\.weight *\[128, 256\] *2560 tokens, importance, Hessian, rows, outputs'
has "the text" "$TMP/fisher.txt" 'text *heldout.txt, [0-9a-f]\{32\}$'
has "windows" "$TMP/fisher.txt" '2560 in 5 windows of 512; labels drawn with seed 0'
stats "$TMP/gptq.stats" --json "$TMP/gptq.json" >/dev/null
has "as JSON" "$TMP/gptq.json" '"name":.*"blk.3.ffn_up.weight"'

for n in 1 2 3; do
    stats $kjv --calib $text -n 5 --threads $n -o "$TMP/threads$n.stats" >/dev/null
    if cmp -s "$TMP/threads$n.stats" "$TMP/fisher.stats"; then ok "the same bytes with $n threads"; else not_ok "the same bytes with $n threads"; fi
done
stats $kjv --calib $text -n 5 --mem 1KiB -o "$TMP/file.stats" >/dev/null
if cmp -s "$TMP/file.stats" "$TMP/fisher.stats"; then ok "and with inputs in a file"; else not_ok "and with inputs in a file"; fi
stats $kjv --calib $text -n 5 --seed 1 -o "$TMP/seed.stats" >/dev/null
if cmp -s "$TMP/seed.stats" "$TMP/fisher.stats"; then not_ok "other labels, other statistics"; else ok "other labels, other statistics"; fi

# What it keeps is all that choosing types needs, with or without a calibration text.
"$NIBBLE" quant -q $kjv --size 600KiB --stats "$TMP/fisher.stats" --dry-run >"$TMP/dry.txt" 2>&1
has "predictions for choosing types" "$TMP/dry.txt" 'predicted divergence: 0\.0[0-9]* nats a token'

check "on the carried text" stats $kjv --calib default -n 5 -o "$TMP/carried.stats"

# The same model as a .nib is the same model, one in f16 is another.
"$NIBBLE" convert -q $kjv -o "$TMP/kjv.nib" >/dev/null
"$NIBBLE" convert -q $kjv --dtype f16 -o "$TMP/f16.nib" >/dev/null
check "statistics of this model" stats "$TMP/fisher.stats" "$TMP/kjv.nib"
refuses "of another" 1 'of another model than' "$NIBBLE" stats "$TMP/fisher.stats" "$TMP/f16.nib"
stats "$TMP/kjv.nib" --calib - -n 5 -o "$TMP/nib.stats" <$text >/dev/null
tail -c +129 "$TMP/nib.stats" | head -c 2000000 >"$TMP/a.part"
tail -c +129 "$TMP/fisher.stats" | head -c 2000000 >"$TMP/b.part"
if cmp -s "$TMP/a.part" "$TMP/b.part"; then ok "the same statistics of a .nib"; else not_ok "the same statistics of a .nib"; fi

# ---- importance matrices
check "an importance matrix alone" stats $kjv --calib $text -n 5 --imatrix "$TMP/a.gguf"
check "in the older form" stats "$TMP/importance.stats" --imatrix "$TMP/a.dat"
check "of kept statistics" stats "$TMP/importance.stats" --imatrix "$TMP/b.gguf"
if cmp -s "$TMP/a.gguf" "$TMP/b.gguf"; then ok "the same either way"; else not_ok "the same either way"; fi
stats "$TMP/a.gguf" >"$TMP/a.txt"
has "what one holds" "$TMP/a.txt" 'importance statistics of 29 weights'
has "its windows" "$TMP/a.txt" '2560 in 5 windows of 512$'
stats "$TMP/a.dat" --imatrix "$TMP/c.gguf" >"$TMP/c.txt"
has "what the older form holds" "$TMP/c.txt" 'heldout.txt, ids not known'

# An importance matrix knows no rows, and rounding needs none; its sums are means again but for the last bit. Tensors
# come first in a .nib.
tensors() { tail -c +4097 "$1" | head -c 400000; }
for stats in importance.stats a.gguf a.dat; do
    "$NIBBLE" quant -q $kjv --type q4_0 --method importance --stats "$TMP/$stats" -o "$TMP/q.nib" >"$TMP/q.txt"
    has "$stats serves all linear layers but the embedding" "$TMP/q.txt" 'for want of statistics: 1 tensor$'
    tensors "$TMP/q.nib" >"$TMP/q.$stats"
done
"$NIBBLE" quant -q $kjv --type q4_0 --method rtn -o "$TMP/q.nib" >/dev/null
tensors "$TMP/q.nib" >"$TMP/q.rtn"
differ() { cmp -l "$TMP/q.$1" "$TMP/q.$2" | wc -l; } # bytes
if [ "$(differ a.gguf a.dat)" = 0 ]; then ok "the same blocks by either form"; else not_ok "the same blocks by either form"; fi
few=$(differ importance.stats a.gguf) many=$(differ importance.stats rtn)
if [ "$few" -lt 2000 ]; then ok "nearly those of the statistics"; else not_ok "nearly those of the statistics" "$few"; fi
if [ "$many" -gt 40000 ]; then ok "and not those without"; else not_ok "and not those without" "$many"; fi

# ---- refusals
refuses "a text that is too short" 1 'has 1024 tokens in 2 windows.*at least 2048' \
    "$NIBBLE" stats $kjv --calib $text -n 2 -o "$TMP/refused"
check "which is enough for importance" stats $kjv --calib $text -n 2 --method importance -o "$TMP/few.stats"
printf 'In the beginning' >"$TMP/short.txt"
refuses "less than a window" 1 'fewer than one window' "$NIBBLE" stats $kjv --calib "$TMP/short.txt" -o "$TMP/refused"
refuses "a text that is not there" 1 'nowhere.txt' "$NIBBLE" stats $kjv --calib nowhere.txt -o "$TMP/refused"
refuses "a model that is not there" 1 'nowhere' "$NIBBLE" stats nowhere --calib $text -o "$TMP/refused"
refuses "a place that is not there" 1 '/nowhere/' "$NIBBLE" stats $kjv --calib $text -n 5 -o "$TMP/nowhere/refused"
refuses "neither statistics nor a text" 1 'give --calib TEXT' "$NIBBLE" stats $kjv/config.json
head -c 5000 "$TMP/fisher.stats" >"$TMP/cut.stats"
refuses "a file that was cut" 1 'cut short' "$NIBBLE" stats "$TMP/cut.stats"
refuses "no operand" 2 'which MODEL' "$NIBBLE" stats
refuses "no place to write" 2 'give -o' "$NIBBLE" stats $kjv --calib $text
refuses "a method that is none" 2 'importance, gptq or fisher' "$NIBBLE" stats $kjv --calib $text --method best -o "$TMP/refused"
refuses "an option without a text" 2 'give --calib' "$NIBBLE" stats "$TMP/fisher.stats" --windows 3

# Killed at any moment, it leaves what was there before.
rm -rf "$TMP/kill"
mkdir "$TMP/kill"
for wait in 0.05 0.15 0.3; do
    "$NIBBLE" stats -q $kjv --calib $text -n 40 -o "$TMP/kill/a.stats" >/dev/null 2>&1 &
    pid=$!
    sleep $wait
    kill -TERM $pid 2>/dev/null
    wait $pid 2>/dev/null
done
left=$(find "$TMP/kill" -name '*.tmp*' | wc -l)
if [ "$left" = 0 ] && { [ ! -e "$TMP/kill/a.stats" ] || stats "$TMP/kill/a.stats" >/dev/null; }; then
    ok "killed, it leaves nothing half-written"
else
    not_ok "killed, it leaves nothing half-written" "$(ls "$TMP/kill")"
fi
[ $failures = 0 ]
