# nibble quant --calib: the same bytes whatever the number of threads, statistics kept and used again, and better than
# rounding to nearest; refusals. Environment: NIBBLE (the program), TMP (an empty directory). From the repository root.
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
refuses() { # WHAT PATTERN COMMAND...
    what=$1 pattern=$2
    shift 2
    said=$("$@" 2>&1 >/dev/null)
    status=$?
    if [ $status -ne 0 ] && echo "$said" | grep -q "$pattern"; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        echo "#   exit status $status: $said"
        failures=$((failures + 1))
    fi
}
same() { cmp -s "$1" "$2" && echo same || echo different; }
model=tests/data/kjv/model
[ -d "$model" ] || model=tests/data/kjv
text=tests/data/kjv/heldout.txt

"$NIBBLE" quant -q "$model" -o "$TMP/a.nib" --type q4_0 --calib default --calib-windows 6 --stats "$TMP/s" --threads 1 >/dev/null
check "a model is calibrated on the carried text" $? 0
"$NIBBLE" quant -q "$model" -o "$TMP/b.nib" --type q4_0 --calib default --calib-windows 6 --stats "$TMP/s2" --threads 2 >/dev/null
"$NIBBLE" quant -q "$model" -o "$TMP/c.nib" --type q4_0 --calib default --calib-windows 6 --stats "$TMP/s3" --threads 4 >/dev/null
check "two threads gather the same statistics as one" "$(same "$TMP/s" "$TMP/s2")" same
check "two threads make the same bytes as one" "$(same "$TMP/a.nib" "$TMP/b.nib")" same
check "so do four" "$(same "$TMP/a.nib" "$TMP/c.nib")" same
"$NIBBLE" quant -q "$model" -o "$TMP/d.nib" --type q4_0 --stats "$TMP/s" >/dev/null
check "kept statistics make the same bytes" "$(same "$TMP/a.nib" "$TMP/d.nib")" same
"$NIBBLE" verify -q "$TMP/a.nib" >/dev/null
check "what was made is sound" $? 0

"$NIBBLE" quant -q "$model" -o "$TMP/rtn.nib" --type q4_0 >/dev/null
"$NIBBLE" quant -q "$model" -o "$TMP/imp.nib" --type q4_0 --stats "$TMP/s" --method importance >/dev/null
"$NIBBLE" quant -q "$model" -o "$TMP/gptq.nib" --type q4_0 --calib default --calib-windows 6 --method gptq >/dev/null
"$NIBBLE" eval -q "$model" "$TMP/rtn.nib" "$TMP/imp.nib" "$TMP/gptq.nib" "$TMP/a.nib" --text "$text" --windows 8 --json "$TMP/e.json" >/dev/null
better=$(tr -d ' \n\t' <"$TMP/e.json" | grep -o '"kld_mean":[0-9.e-]*' | cut -d: -f2 | awk '{v[NR]=$1} END {n=NR; print (v[n-3] > v[n-2] && v[n-2] > v[n-1] && v[n-2] > v[n]) ? "yes" : "no " v[n-3] " " v[n-2] " " v[n-1] " " v[n]}')
check "importance is better than nothing, Hessians are better than importance" "$better" yes

dry=$("$NIBBLE" quant -q "$model" --bits 5 --stats "$TMP/s" --dry-run | grep -c "nats a token")
check "a dry run predicts from kept statistics" "$dry" 1

head -c 600 "$text" >"$TMP/short.txt"
refuses "a text that is too short" "calibration needs" "$NIBBLE" quant -q "$model" -o "$TMP/x.nib" --type q4_0 --calib "$TMP/short.txt"
refuses "statistics of another text" "another text" "$NIBBLE" quant -q "$model" -o "$TMP/x.nib" --type q4_0 --stats "$TMP/s" --calib "$text"
refuses "statistics of another model" "another model" "$NIBBLE" quant -q "$TMP/rtn.nib" -o "$TMP/x.nib" --type q4_0 --requantize --stats "$TMP/s"
refuses "statistics that are not there" "is not there" "$NIBBLE" quant -q "$model" -o "$TMP/x.nib" --type q4_0 --stats "$TMP/none"
refuses "a method that statistics do not serve" "cannot do with" sh -c "'$NIBBLE' stats -q '$model' --calib '$text' --method importance --windows 8 -o '$TMP/imp.stats' >/dev/null && '$NIBBLE' quant -q '$model' -o '$TMP/x.nib' --type q4_0 --method gptq --stats '$TMP/imp.stats'"
check "a refusal leaves nothing behind" "$(ls "$TMP"/x* 2>/dev/null)" ""
exit $((failures > 0))
