# nibble fit: one command from a checkpoint to the files; what it writes, says, refuses, and leaves behind.
# Environment: NIBBLE (the program), TMP (an empty directory). Run from the repository root.
. tests/say.sh
kjv=tests/data/kjv
out="$TMP/out"
mkdir "$out"
few="--calib-windows 6 --eval-windows 4"
fit() { "$NIBBLE" fit -q "$@"; }
says() { # WHAT PATTERN FILE
    if grep -q -e "$2" "$3"; then ok "$1"; else not_ok "$1" "$(tail -n 3 "$3")"; fi
}
bytes() { # FILE: of its tensors
    "$NIBBLE" eval -q "$1" --text $kjv/heldout.txt --windows 1 --json - | sed -n 's/.*"tensor_bytes":[^0-9]*\([0-9]*\).*/\1/p'
}
refuses() { # WHAT CODE PATTERN OPTIONS...: one line on stderr that matches, and nothing in the directory
    what=$1 code=$2 pattern=$3
    shift 3
    fit "$@" >/dev/null 2>"$TMP/said"
    got=$?
    if [ $got = "$code" ] && [ "$(wc -l <"$TMP/said")" = 1 ] && grep -q -e "$pattern" "$TMP/said" && [ -z "$(ls -A "$out")" ]; then
        ok "$what"
    else
        not_ok "$what" "exit $got: $(head -n 2 "$TMP/said") $(ls -A "$out")"
        rm -f "$out"/*
    fi
}

# ---- nothing is written
fit $kjv --size 700KiB $few --out "$out/dry" --dry-run >"$TMP/dry.txt"
check "--dry-run ends well and writes nothing" [ $? = 0 -a -z "$(ls -A "$out")" ]
says "and predicts" "predicted divergence: [0-9.]* nats a token" "$TMP/dry.txt"
refuses "no size" 2 "how large" $kjv --out "$out/x"
refuses "two sizes" 2 "--size and --ram: give one of them" $kjv --size 700KiB --ram 1GiB --out "$out/x"
refuses "a size that is none" 2 "--ram much: is not a size" $kjv --ram much --out "$out/x"
refuses "--ctx without --ram" 2 "for --ram alone" $kjv --size 700KiB --ctx 512 --out "$out/x"
refuses "a size too small" 1 "below the smallest possible" $kjv --size 100KiB $few --out "$out/x"
refuses "memory too small for the engine" 1 "--ram 50MiB: at a context of 512" $kjv --ram 50MiB --out "$out/x"
refuses "a directory that is not there" 1 "can be written to" $kjv --size 700KiB --out "$TMP/nowhere/x"
refuses "a model that is not there" 1 "nothing.nib" "$TMP/nothing.nib" --size 700KiB --out "$out/x"
head -c 600 $kjv/heldout.txt >"$TMP/short.txt"
refuses "a calibration text that is too short" 1 "calibration needs" $kjv --size 700KiB --calib "$TMP/short.txt" --out "$out/x"
refuses "an evaluation text that is too short, before the work" 1 "short.txt: the text has" $kjv --size 700KiB --eval-text "$TMP/short.txt" --out "$out/x"
head -c 9000 $kjv/heldout.txt >"$TMP/used.txt"
refuses "a text that calibration takes whole" 1 "leaves none to evaluate on" $kjv --size 700KiB --calib "$TMP/used.txt" --eval-text "$TMP/used.txt" --calib-windows 5 --out "$out/x"

# ---- the whole way
fit $kjv --size 700KiB $few --out "$out/kjv" --stats "$TMP/s" >"$TMP/fit.txt"
check "fit" [ $? = 0 ]
check "two files and nothing else" [ "$(ls -A "$out" | tr '\n' ' ')" = "kjv.gguf kjv.nib " ]
check "one verifies" "$NIBBLE" verify "$out/kjv.nib"
check "the other opens" "$NIBBLE" info "$out/kjv.gguf"
got=$(bytes "$out/kjv.nib")
check "tensors take 98 to 100 % of the size" [ "${got:-0}" -le $((700 * 1024)) -a "${got:-0}" -ge $((700 * 1024 * 98 / 100)) ]
says "the table" "^against $kjv" "$TMP/fit.txt"
says "a prediction before it" "predicted divergence: .* (fisher, 6 windows)" "$TMP/fit.txt"
says "what was measured on was not calibrated on" "on windows 1 to 6 of the carried text, evaluated on its windows 7 to 10," "$TMP/fit.txt"
says "the time" "s in all: .* calibration, .* quantization, .* evaluation" "$TMP/fit.txt"
"$NIBBLE" quant -q $kjv -o "$TMP/q.nib" --size 700KiB --calib default --calib-windows 6 >/dev/null
"$NIBBLE" eval -q "$TMP/q.nib" "$out/kjv.nib" "$out/kjv.gguf" --text $kjv/heldout.txt --windows 2 --json - | tr -d ' \n\t' >"$TMP/same.json"
if [ "$(grep -o '"kld_max":[^,]*' "$TMP/same.json" | awk -F: '$2 < 1e-6' | wc -l)" = 2 ]; then
    ok "the same model as by nibble quant, in both files"
else
    not_ok "the same model as by nibble quant, in both files" "$(grep -o '"kld_max":[^,]*' "$TMP/same.json" | tr '\n' ' ')"
fi

# ---- kept statistics know what they saw; another text; a .nib and a GGUF as source; a type that is asked for
fit $kjv --size 800KiB --stats "$TMP/s" --eval-windows 4 --out "$out/again" >"$TMP/fit.txt"
says "kept statistics" "on windows 1 to 6 of the carried text, evaluated on its windows 7 to 10," "$TMP/fit.txt"
"$NIBBLE" convert -q $kjv -o "$TMP/k.nib" >/dev/null
fit "$TMP/k.nib" --file-size 800KiB --stats "$TMP/s" --eval-text $kjv/heldout.txt --eval-windows 4 --out "$out/text.nib" >"$TMP/fit.txt"
says "another text" "calibrated on default, evaluated on windows 1 to 4 of $kjv/heldout.txt" "$TMP/fit.txt"
check "--file-size, of a .nib, NAME with an ending" [ "$(wc -c <"$out/text.nib")" -le $((800 * 1024)) -a -e "$out/text.gguf" ]
"$NIBBLE" export -q $kjv -o "$TMP/k.gguf" >/dev/null
check "a GGUF" fit "$TMP/k.gguf" --size 700KiB --allow q8_0,q4_0 $few --out "$out/g"
"$NIBBLE" info "$out/g.nib" --tensors >"$TMP/list"
check "--allow" [ "$(grep -c -w -e q5_0 -e q5_1 -e q4_1 -e iq4_nl "$TMP/list")" = 0 -a "$(grep -c -w q4_0 "$TMP/list")" -gt 0 ]
(cd "$TMP" && fit k.nib --size 700KiB $few >/dev/null)
check "outputs are named after model and size" [ -e "$TMP/k-700KiB.nib" -a -e "$TMP/k-700KiB.gguf" ]
rm -f "$out"/*
fit "$TMP/k.gguf" --size 700KiB $few --out "$TMP/k" >/dev/null 2>"$TMP/said"
says "the model is not written over" "k.gguf: is the model that is read" "$TMP/said"
refuses "what is quantized already" 1 "quantized already (.*--requantize" "$TMP/q.nib" --size 650KiB --out "$out/x"

# ---- a model that fits as it is
fit $kjv --ram 110MiB --eval-windows 2 --out "$out/whole" >"$TMP/fit.txt"
says "a model that fits" "fits as it is: 1.63 MiB of tensors" "$TMP/fit.txt"
check "stays as it is" [ "$(bytes "$out/whole.nib")" = "$(bytes $kjv)" -a -e "$out/whole.gguf" ]
rm -f "$out"/*

# ---- a tokenizer that GGUF's engines have no name for
mkdir "$TMP/odd"
cp $kjv/* "$TMP/odd"
sed 's/{1,3}/{1,4}/' $kjv/tokenizer.json >"$TMP/odd/tokenizer.json"
"$NIBBLE" fit -q "$TMP/odd" --size 700KiB $few --out "$out/odd" >"$TMP/fit.txt" 2>"$TMP/warned"
check "no GGUF where there is none" [ $? = 0 -a "$(ls -A "$out")" = odd.nib ]
says "and the reason" "odd.gguf: not written: .*" "$TMP/fit.txt"
says "which is said before the work, too" "there will be no GGUF" "$TMP/warned"
rm -f "$out"/*

# ---- stopped at any moment: what is there is whole
whole=1
for wait in 0.05 0.1 0.2 0.3 0.5 0.8; do
    fit $kjv --size 700KiB --calib-windows 12 --eval-windows 8 --out "$out/k" >/dev/null 2>&1 &
    sleep $wait
    kill -TERM $! 2>/dev/null
    wait $! 2>/dev/null
    for file in "$out"/* "$out"/.[!.]*; do
        case $file in
        *'*' | *'[!.]'*) ;;
        "$out/k.nib") "$NIBBLE" verify -q "$file" >/dev/null 2>&1 || whole=0 ;;
        "$out/k.gguf") "$NIBBLE" info "$file" >/dev/null 2>&1 || whole=0 ;;
        *) whole=0 ;;
        esac
    done
    rm -f "$out"/*
done
check "an interrupt leaves whole files or none" [ $whole = 1 ]
exit $((failures > 0))
