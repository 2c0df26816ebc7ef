# nibble quant to a budget: what is landed on, what the reports say, what is refused.
# Environment: NIBBLE (the program), TMP (an empty directory). Run from the repository root.
. tests/say.sh
kjv=tests/data/kjv
quant() { "$NIBBLE" quant -q "$@"; }
refuses() { # WHAT CODE PATTERN OPTIONS...: exits with CODE, one line on stderr that matches, and writes no output
    what=$1 code=$2 pattern=$3
    shift 3
    rm -f "$TMP/refused.nib"
    quant $kjv -o "$TMP/refused.nib" "$@" >/dev/null 2>"$TMP/said"
    got=$?
    if [ $got = "$code" ] && [ "$(wc -l <"$TMP/said")" = 1 ] && grep -q -e "$pattern" "$TMP/said" &&
        [ ! -e "$TMP/refused.nib" ]; then
        ok "$what"
    else
        not_ok "$what" "exit $got: $(head -n 2 "$TMP/said")"
    fi
}
number() { sed -n "s/.*\"$1\":[^0-9]*\([0-9.e-]*\).*/\1/p" "$2" | head -n 1; }
within() { # WHAT BYTES LIMIT: at most the limit, at least 98 % of it (a small model's tensors are few)
    if [ "${2:-0}" -le "$3" ] && [ "$2" -ge $(($3 * 98 / 100)) ]; then ok "$1"; else not_ok "$1" "$2 of $3 bytes"; fi
}

# ---- where it lands
for size in 600 800 1000 1200 1500; do
    quant $kjv -o "$TMP/s.nib" --size ${size}KiB --json "$TMP/s.json" >/dev/null
    within "--size ${size}KiB" "$(number tensor_bytes "$TMP/s.json")" $((size * 1024))
    quant $kjv -o "$TMP/f.nib" --file-size ${size}KiB >/dev/null
    within "--file-size ${size}KiB" "$(wc -c <"$TMP/f.nib")" $((size * 1024))
done
check "its output verifies" "$NIBBLE" verify "$TMP/s.nib"
quant $kjv -o "$TMP/b.nib" --bits 6.5 --json "$TMP/b.json" >/dev/null
bits=$(number bits_per_weight "$TMP/b.json")
if [ "$(echo "$bits" | awk '{ print ($1 <= 6.5 && $1 > 6.4) }')" = 1 ]; then ok "--bits 6.5"; else not_ok "--bits 6.5" "$bits"; fi
quant $kjv -o "$TMP/m.nib" --fit 100MiB --ctx 512 >"$TMP/fit.txt"
if grep -q "100MiB of memory at a context of 512: .* for weights, 512.00 KiB for the cache" "$TMP/fit.txt"; then
    ok "--fit says what the memory goes to"
else
    not_ok "--fit says what the memory goes to" "$(tail -n 2 "$TMP/fit.txt")"
fi

# ---- the same with any number of threads; a dry run says what is done and writes nothing
quant $kjv -o "$TMP/one.nib" --size 900KiB -t 1 --json "$TMP/one.json" >/dev/null
quant $kjv -o "$TMP/many.nib" --size 900KiB -t 3 >/dev/null
if cmp -s "$TMP/one.nib" "$TMP/many.nib"; then ok "3 threads give the bytes of one"; else not_ok "3 threads give the bytes of one"; fi
quant $kjv -o "$TMP/dry.nib" --size 900KiB --dry-run --json "$TMP/dry.json" >"$TMP/dry.txt"
tensors() { tr -d ' \t\n' <"$1" | sed 's/.*"tensors":\(\[{"name".*\]\).*/\1/'; }
if [ ! -e "$TMP/dry.nib" ] && [ "$(tensors "$TMP/dry.json")" = "$(tensors "$TMP/one.json")" ] &&
    grep -q "predicted: a rounding error of" "$TMP/dry.txt" && grep -q '"dry_run":[[:space:]]*true' "$TMP/dry.json"; then
    ok "--dry-run writes nothing, and says the same of each tensor"
else
    not_ok "--dry-run writes nothing, and says the same of each tensor"
fi
quant $kjv -o "$TMP/dry.nib" --type q8_0 --dry-run >"$TMP/dry.txt"
if [ ! -e "$TMP/dry.nib" ] && grep -q "^q8_0 " "$TMP/dry.txt"; then ok "--dry-run with --type"; else not_ok "--dry-run with --type"; fi
if "$NIBBLE" info "$TMP/one.nib" --json - | tr -d ' \n\t' | grep -q '"budget":{"size":"900KiB","bytes":921600,"taken":'; then
    ok "the recipe has what was asked"
else
    not_ok "the recipe has what was asked"
fi

# ---- a larger budget never predicts worse
last=inf worse=0
for size in 520 560 600 640 700 760 830 900 980 1060 1150 1250 1400 1600; do
    quant $kjv --size ${size}KiB --dry-run --json "$TMP/p.json" >/dev/null
    loss=$(number predicted_loss "$TMP/p.json")
    [ "$(echo "$loss $last" | awk '{ print ($2 == "inf" || $1 + 0 <= $2 + 0) }')" = 1 ] || worse=$((worse + 1))
    last=$loss
done
if [ $worse = 0 ] && [ "$last" != inf ]; then ok "a larger size never predicts worse"; else not_ok "a larger size never predicts worse" "$worse"; fi

# ---- what is chosen from
quant $kjv --size 700KiB --allow q8_0,q4_0 --dry-run --json "$TMP/a.json" >/dev/null
if [ "$(tr -d ' \t\n' <"$TMP/a.json" | grep -o '"types":\[[^]]*\]' | grep -o '"type":"[a-z0-9_]*"' | sort -u | tr '\n' ' ')" = \
    '"type":"bf16" "type":"q4_0" "type":"q8_0" ' ]; then
    ok "--allow"
else
    not_ok "--allow" "$(tr -d ' \t\n' <"$TMP/a.json" | grep -o '"types":\[[^]]*\]')"
fi
quant $kjv -o "$TMP/p.nib" --size 1000KiB --only 'attn_k=q8_0' --only token_embd=q4_0 --json "$TMP/p.json" >/dev/null
"$NIBBLE" info "$TMP/p.nib" --tensors >"$TMP/p.list"
if [ "$(grep '^  blk.*attn_k\.weight' "$TMP/p.list" | grep -c -w q8_0)$(grep '^  token_embd' "$TMP/p.list" | grep -c -w q4_0)" = 41 ]; then
    ok "--only has its way within a budget"
else
    not_ok "--only has its way within a budget"
fi
within "which counts it" "$(number tensor_bytes "$TMP/p.json")" $((1000 * 1024))

# ---- refusals
refuses "a size below the smallest possible" 1 "below the smallest possible: they take [0-9.]* KiB to 1.63 MiB" --size 100KiB
refuses "a size above the source" 1 "above what it has now, 1.63 MiB" --size 2MiB
refuses "bits below" 1 "below the smallest possible: they take 4.[0-9]* bits to 16.000 bits" --bits 3
refuses "bits above" 1 "17.000 bits is above what it has now, 16.000 bits" --bits 17
refuses "a file too small" 1 "below the smallest possible" --file-size 1KiB
refuses "memory too small for the engine alone" 1 "give less context or more memory" --fit 50MiB --ctx 512
refuses "memory too small for the weights" 1 "below the smallest possible" --fit 101800KiB --ctx 1
refuses "--fit without --ctx" 2 "needs --ctx" --fit 1GiB
refuses "--ctx without --fit" 2 "for --fit alone" --ctx 512
refuses "two budgets" 2 "give one of them" --size 1MiB --bits 5
refuses "a budget and a type" 2 "chosen to a budget or asked for by name" --size 1MiB --type q4_0
refuses "a size that is none" 2 "is not a size" --size many
refuses "no size at all" 2 "is not a size" --size 0
refuses "--allow without a budget" 2 "is for choosing types" --allow q4_0
refuses "--allow of no type" 2 "no such type" --size 1MiB --allow q4_0,q3_0
refuses "--allow of nothing" 2 "no such type" --size 1MiB --allow ''
refuses "a method that is none" 2 "must be rtn, importance, gptq or fisher" --method best
refuses "a method without statistics" 2 "give --calib TEXT or --stats FILE" --method gptq
refuses "windows of no text" 2 "is for --calib" --calib-windows 5
refuses "statistics that are not there" 1 "nowhere" --size 1MiB --method rtn --stats "$TMP/nowhere"
quant "$TMP/one.nib" -o "$TMP/again.nib" --size 600KiB >/dev/null 2>"$TMP/said"
if [ $? = 1 ] && [ ! -e "$TMP/again.nib" ] && grep -q "requantize" "$TMP/said"; then
    ok "what is quantized already"
else
    not_ok "what is quantized already" "$(cat "$TMP/said")"
fi
check "unless --requantize" quant "$TMP/one.nib" -o "$TMP/again.nib" --size 600KiB --requantize
exit $((failures > 0))
