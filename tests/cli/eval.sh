# nibble eval and nibble generate: their reports, their refusals, transformers' figures where ../shared is there.
# Environment: NIBBLE (the program), TMP (an empty directory). Run from the repository root.
. tests/say.sh
refuses() { # WHAT CODE PATTERN COMMAND...: exits with CODE and one line on stderr that matches
    what=$1 code=$2 pattern=$3
    shift 3
    "$@" >"$TMP/out" 2>"$TMP/said"
    got=$?
    if [ $got = "$code" ] && [ "$(wc -l <"$TMP/said")" = 1 ] && grep -q -e "$pattern" "$TMP/said" && [ ! -s "$TMP/out" ]; then
        ok "$what"
    else
        not_ok "$what" "exit $got: $(head -n 2 "$TMP/said")"
    fi
}
# near WHAT FOUND WANTED WITHIN
near() {
    if awk "BEGIN { d = ($2) - ($3); exit !(d < ($4) && -d < ($4)) }"; then ok "$1: $2 beside $3"; else not_ok "$1" "$2 is not $3"; fi
}
number() { sed -n "s/.*\"$2\":[[:space:]]*\([-0-9.e+]*\).*/\1/p" "$1" | head -n 1; }

kjv=tests/data/kjv
text=$kjv/heldout.txt
tiny=tests/data/tiny/plain-biases

# ---- the carried checkpoint against transformers' figures, and quantized beside itself
windows=$(number $kjv/golden.json windows)
"$NIBBLE" convert -q $kjv -o "$TMP/kjv.nib" >/dev/null
for model in $kjv "$TMP/kjv.nib"; do
    "$NIBBLE" eval -q "$model" --text $text --ctx 256 --windows "$windows" --json "$TMP/a.json" >/dev/null
    near "mean nll of $(basename "$model") as transformers'" "$(number "$TMP/a.json" mean_nll)" "$(number $kjv/golden.json mean_nll)" 1e-5
done
"$NIBBLE" quant -q $kjv -o "$TMP/q8.nib" --type q8_0 >/dev/null
"$NIBBLE" quant -q $kjv -o "$TMP/q4.nib" --type q4_0 >/dev/null
"$NIBBLE" eval -q "$TMP/kjv.nib" "$TMP/q8.nib" "$TMP/q4.nib" --text $text --ctx 128 --windows 40 --json "$TMP/b.json" \
    --per-token "$TMP/b.csv" >"$TMP/table"
if grep -q 'KLD' "$TMP/table" && [ "$(grep -c 'q4.nib' "$TMP/table")" = 2 ]; then ok "a table for people beside the JSON"; else not_ok "a table"; fi
for key in ctx stride windows scored compute path file_bytes tensor_bytes bits_per_weight mean_nll ppl ppl_se window_nll vs_base \
    delta_ln_ppl delta_ln_ppl_se kld_mean kld_se kld_median kld_p99 kld_p999 kld_max top1 rms_dp seconds tokens_per_second peak_rss_bytes; do
    grep -q "\"$key\":" "$TMP/b.json" || not_ok "the JSON has \"$key\""
done
klds=$(sed -n 's/.*"kld_mean":[[:space:]]*\([-0-9.e+]*\).*/\1/p' "$TMP/b.json" | tr '\n' ' ')
if echo "$klds" | awk '{ exit !($1 > 0 && $2 > 10 * $1) }'; then ok "q8_0 diverges, q4_0 over ten times more: $klds"; else not_ok "divergences: $klds"; fi
if [ "$(head -n 1 "$TMP/b.csv")" = "window,position,token,nll_0,nll_1,kld_1,nll_2,kld_2" ] &&
    [ "$(wc -l <"$TMP/b.csv")" = $((40 * 63 + 1)) ] && [ "$(sed -n 2p "$TMP/b.csv" | cut -d, -f1,2)" = 0,65 ]; then
    ok "--per-token: a line for each scored token"
else
    not_ok "--per-token" "$(sed -n 1,2p "$TMP/b.csv")"
fi
mean=$(awk -F, 'NR > 1 { n++; s += $8 } END { printf "%.8f", s / n }' "$TMP/b.csv")
near "the CSV's mean divergence is the report's" "$mean" "$(echo "$klds" | cut -d' ' -f2)" 1e-6
"$NIBBLE" eval -q "$TMP/q4.nib" --base "$TMP/kjv.nib" --text $text --ctx 128 --windows 40 --json - >"$TMP/c.json"
near "--base is what is compared to" "$(number "$TMP/c.json" kld_mean)" "$(echo "$klds" | cut -d' ' -f2)" 1e-12

# ---- the same digits every time, whatever the threads
for n in 1 2 3; do
    "$NIBBLE" eval -q "$TMP/kjv.nib" "$TMP/q4.nib" --text $text --ctx 128 --windows 9 --threads $n --json - |
        grep -v -e seconds -e per_second -e peak_rss >"$TMP/threads.$n"
done
if cmp -s "$TMP/threads.1" "$TMP/threads.2" && cmp -s "$TMP/threads.1" "$TMP/threads.3"; then ok "the same digits with 1, 2 and 3 threads"; else not_ok "threads agree"; fi

# ---- protocols
"$NIBBLE" eval -q $tiny --tokens $tiny/tokens.txt --json "$TMP/t.json" >/dev/null
if [ "$(number "$TMP/t.json" scored)" -gt 0 ] && grep -q '"ctx":[[:space:]]*null' "$TMP/t.json"; then ok "--tokens"; else not_ok "--tokens"; fi
head -c 20000 $text >"$TMP/short.txt"
ids=$("$NIBBLE" tokenize $kjv --text "$TMP/short.txt" --count)
"$NIBBLE" eval -q $kjv --text "$TMP/short.txt" --ctx 128 --stride 64 --json "$TMP/s.json" >/dev/null
near "--stride scores every token but the first" "$(number "$TMP/s.json" scored)" "$((ids - 1))" 0.5
check "text from standard input" sh -c "\"$NIBBLE\" eval -q $kjv --text - --ctx 64 <\"$TMP/short.txt\""

# ---- refusals
printf 'short' >"$TMP/five.txt"
: >"$TMP/empty.txt"
printf '1 2 nonsense\n' >"$TMP/bad.ids"
printf '1 2 99999999\n' >"$TMP/far.ids"
refuses "no model" 2 "name at least one model" "$NIBBLE" eval --text $text
refuses "no text" 2 "text FILE or --tokens" "$NIBBLE" eval $kjv
refuses "an empty text" 1 "is empty" "$NIBBLE" eval $kjv --text "$TMP/empty.txt"
refuses "a context longer than the text" 1 "fewer than one window" "$NIBBLE" eval $kjv --text "$TMP/five.txt"
refuses "a missing text" 1 "no-such.txt" "$NIBBLE" eval $kjv --text "$TMP/no-such.txt"
refuses "a missing model" 1 "no-such-model" "$NIBBLE" eval "$TMP/no-such-model" --text $text
refuses "ids that are no numbers" 1 "line 1" "$NIBBLE" eval $kjv --tokens "$TMP/bad.ids"
refuses "ids beyond the vocabulary" 1 "99999999" "$NIBBLE" eval $kjv --tokens "$TMP/far.ids"
refuses "other vocabularies" 1 "vocabulary" "$NIBBLE" eval $kjv $tiny --tokens $tiny/tokens.txt
refuses "an unknown option" 2 "no option" "$NIBBLE" eval $kjv --text $text --frobnicate
refuses "a number that is none" 2 "whole number" "$NIBBLE" eval $kjv --text $text --ctx many
refuses "another arithmetic" 2 "f32" "$NIBBLE" eval $kjv --text $text --compute f64
refuses "an unwritable report" 1 "no-such-dir" "$NIBBLE" eval -q $kjv --text $text --windows 1 --json "$TMP/no-such-dir/r.json"
cp "$TMP/kjv.nib" "$TMP/flipped.nib"
printf '\377\377' | dd of="$TMP/flipped.nib" bs=1 seek=5000 conv=notrunc 2>/dev/null
refuses "a tensor whose bytes changed" 1 "hash" "$NIBBLE" eval -q "$TMP/flipped.nib" --text $text --windows 1

# ---- generate
"$NIBBLE" generate -q $kjv --prompt "And God said" -n 20 >"$TMP/g1"
"$NIBBLE" generate -q "$TMP/kjv.nib" --prompt "And God said" -n 20 --threads 1 >"$TMP/g2"
if [ -s "$TMP/g1" ] && cmp -s "$TMP/g1" "$TMP/g2"; then ok "greedy text: $(head -n 1 "$TMP/g1" | cut -c1-50)"; else not_ok "greedy text"; fi
for seed in 5 5 6; do "$NIBBLE" generate -q $kjv --prompt "And God said" -n 30 --temp 1 --top-p 0.95 --seed $seed >>"$TMP/seed.$seed"; done
half=$(($(wc -c <"$TMP/seed.5") / 2))
if [ "$(head -c $half "$TMP/seed.5")" = "$(tail -c $half "$TMP/seed.5")" ] && [ "$(head -c $half "$TMP/seed.5")" != "$(cat "$TMP/seed.6")" ]; then
    ok "the same seed, the same text; another seed, another"
else
    not_ok "seeds"
fi
refuses "no prompt" 2 "prompt" "$NIBBLE" generate $kjv
refuses "a model without a tokenizer" 1 "tokenizer" "$NIBBLE" generate $tiny --prompt x

# ---- models beside the repository
shared=../shared
if [ -d $shared/models/stories260K ]; then
    "$NIBBLE" eval -q $shared/models/stories260K --text $shared/data/stories.txt --ctx 256 --windows 60 --json "$TMP/st.json" >/dev/null
    near "stories260K: mean nll as transformers'" "$(number "$TMP/st.json" mean_nll)" "$(number $shared/golden/stories260K.json mean_nll)" 1e-5
else
    echo "skip - stories260K: there is no $shared"
fi
[ $failures = 0 ]
