# nibble eval --shard and --state, nibble merge, the scripts for clusters, --compute int8, --mem, nibble bench.
# Environment: NIBBLE (the program), TMP (an empty directory). Run from the repository root.
. tests/say.sh
refuses() { # WHAT CODE PATTERN COMMAND...: exits with CODE and one line on stderr that matches
    what=$1 code=$2 pattern=$3
    shift 3
    "$@" >"$TMP/out" 2>"$TMP/said"
    got=$?
    if [ $got = "$code" ] && [ "$(wc -l <"$TMP/said")" = 1 ] && grep -q -e "$pattern" "$TMP/said"; then
        ok "$what"
    else
        not_ok "$what" "exit $got: $(head -n 2 "$TMP/said")"
    fi
}
number() { sed -n "s/.*\"$2\":[[:space:]]*\([-0-9.e+]*\).*/\1/p" "$1" | head -n 1; }
digits() { grep -v -e seconds -e per_second -e peak_rss "$1"; } # what does not depend on the run

kjv=tests/data/kjv
text=$kjv/heldout.txt
"$NIBBLE" convert -q $kjv -o "$TMP/kjv.nib" >/dev/null
"$NIBBLE" quant -q $kjv -o "$TMP/q4.nib" --type q4_0 >/dev/null
evaluate() { "$NIBBLE" eval -q "$TMP/kjv.nib" "$TMP/q4.nib" --text $text --ctx 96 --windows 11 "$@"; }

# ---- shards, merged in any order, are one run, in each arithmetic
for compute in f32 int8; do
    evaluate --compute $compute --json "$TMP/one.json" --per-token "$TMP/one.csv" >/dev/null
    for i in 0 1 2; do evaluate --compute $compute --shard $i/3 --json "$TMP/part$i.json" >/dev/null; done
    "$NIBBLE" merge "$TMP/part1.json" "$TMP/part2.json" "$TMP/part0.json" --json "$TMP/merged.json" --per-token "$TMP/merged.csv" >"$TMP/table"
    if digits "$TMP/one.json" >"$TMP/a" && digits "$TMP/merged.json" | cmp -s - "$TMP/a" && cmp -s "$TMP/one.csv" "$TMP/merged.csv"; then
        ok "$compute: three shards merged are one run, digit for digit: KLD $(number "$TMP/merged.json" kld_mean)"
    else
        not_ok "$compute: shards merged" "$(digits "$TMP/merged.json" | diff - "$TMP/a" | head -n 4)"
    fi
done
if grep -q "q4.nib" "$TMP/table"; then ok "merge prints the table"; else not_ok "merge prints the table"; fi
refuses "a shard that is missing" 1 "shard 1 of 3 is missing" "$NIBBLE" merge "$TMP/part0.json" "$TMP/part2.json"
refuses "a shard that is there twice" 1 "twice" "$NIBBLE" merge "$TMP/part0.json" "$TMP/part0.json" "$TMP/part2.json"
evaluate --shard 1/3 --json "$TMP/f32.json" >/dev/null
refuses "a shard in another arithmetic" 1 "not the same --compute" "$NIBBLE" merge "$TMP/part0.json" "$TMP/f32.json" "$TMP/part2.json"
refuses "a report that is no shard" 1 "no part of an evaluation" "$NIBBLE" merge "$TMP/one.json"
head -c 2000 "$TMP/part0.json" >"$TMP/cut.json"
refuses "a shard that was cut off" 1 "cut.json" "$NIBBLE" merge "$TMP/cut.json"
sed 's/"lengths": \[96/"lengths": [9600000/' "$TMP/part0.json" >"$TMP/huge.json"
refuses "a shard whose windows are too long" 1 "huge.json" "$NIBBLE" merge "$TMP/huge.json"
sed 's/"scores": \[[^,]*/"scores": ["x"/' "$TMP/part0.json" >"$TMP/words.json"
refuses "a shard with words for numbers" 1 "words.json" "$NIBBLE" merge "$TMP/words.json"
for wrong in 3/3 -1/3 1 a/b 0/0 1/2x; do refuses "--shard $wrong" 2 "shard" evaluate --shard "$wrong" --json "$TMP/x.json"; done
refuses "--shard without --json" 2 "json" evaluate --shard 0/2
refuses "more shards than windows" 1 "too few" evaluate --shard 0/50 --json "$TMP/x.json"

# ---- a state: an evaluation that is killed goes on where it was, to the same digits
long() { "$NIBBLE" eval "$TMP/kjv.nib" "$TMP/q4.nib" --text $text --ctx 32 --windows 300 "$@"; }
long -q --json "$TMP/whole.json" >/dev/null
long -q --state "$TMP/state" --json "$TMP/resumed.json" >/dev/null 2>&1 &
evaluation=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s "$TMP/state" ] && break
    sleep 0.1
done
kill -9 $evaluation 2>/dev/null
wait $evaluation 2>/dev/null
if [ -s "$TMP/state" ]; then
    refuses "a state of another evaluation" 1 "another evaluation" evaluate --state "$TMP/state"
    long --state "$TMP/state" --json "$TMP/resumed.json" >/dev/null 2>"$TMP/said"
    if grep -q "of 300 windows are done" "$TMP/said"; then ok "goes on: $(grep -o '[0-9]* of 300 windows are done' "$TMP/said")"; else not_ok "goes on" "$(head -n 2 "$TMP/said")"; fi
else
    long -q --state "$TMP/state" --json "$TMP/resumed.json" >/dev/null # it was over before it could be killed
fi
if digits "$TMP/whole.json" >"$TMP/a" && digits "$TMP/resumed.json" | cmp -s - "$TMP/a"; then ok "the same digits"; else not_ok "the same digits"; fi
if [ -e "$TMP/state" ]; then not_ok "the state is removed at the end"; else ok "the state is removed at the end"; fi
printf 'not json' >"$TMP/state"
refuses "a state that is none" 1 "state" evaluate --state "$TMP/state"

# ---- quantizing in parts, and after an interruption: the bytes of one run
head -c 60000 $text >"$TMP/calib.txt"
"$NIBBLE" stats -q "$TMP/kjv.nib" --calib "$TMP/calib.txt" --windows 16 --ctx 128 -o "$TMP/k.stats" >/dev/null
quantize() { "$NIBBLE" quant -q "$TMP/kjv.nib" --type q4_0 --stats "$TMP/k.stats" "$@"; }
quantize -o "$TMP/whole.nib" >/dev/null
for i in 0 2 1; do quantize --state "$TMP/parts" --shard $i/3 -o "$TMP/none.nib"; done >/dev/null
kept=$(find "$TMP/parts" -name '*.blocks' | wc -l)
if [ "$kept" -gt 5 ] && [ ! -e "$TMP/none.nib" ]; then ok "three shards rounded $kept tensors"; else not_ok "shards of quant" "$kept kept"; fi
find "$TMP/parts" -name '*.blocks' | head -n 2 | while read -r f; do printf 'x' >"$f"; done # as if cut off: made again
quantize --state "$TMP/parts" -o "$TMP/joined.nib" >/dev/null
if cmp -s "$TMP/whole.nib" "$TMP/joined.nib"; then ok "and give the bytes of one run"; else not_ok "and give the bytes of one run"; fi
if [ -e "$TMP/parts" ]; then not_ok "what was kept is removed at the end"; else ok "what was kept is removed at the end"; fi
refuses "quant --shard without --state" 2 "state" quantize --shard 0/2
refuses "quant --state without statistics" 2 "stats" "$NIBBLE" quant -q "$TMP/kjv.nib" --type q4_0 --state "$TMP/parts"
refuses "quant --shard that is none" 2 "shard" quantize --state "$TMP/parts" --shard 2/2

# ---- memory: less of it gives the same digits
evaluate --json "$TMP/one.json" >/dev/null
evaluate --mem 1MiB --json "$TMP/small.json" >/dev/null
if digits "$TMP/one.json" >"$TMP/a" && digits "$TMP/small.json" | cmp -s - "$TMP/a"; then ok "--mem 1MiB: the same digits"; else not_ok "--mem 1MiB"; fi
refuses "--mem that is no size" 2 "mem" evaluate --mem much

# ---- int8: near f32, not equal to it, and the report says which
evaluate --compute int8 --json "$TMP/int8.json" >"$TMP/table"
if awk "BEGIN { d = $(number "$TMP/int8.json" mean_nll) - $(number "$TMP/one.json" mean_nll); exit !(d < 0.02 && d > -0.02) }" &&
    [ "$(sed -n 's/.*"kld_mean":[[:space:]]*//p' "$TMP/int8.json")" != "$(sed -n 's/.*"kld_mean":[[:space:]]*//p' "$TMP/one.json")" ] &&
    grep -q '"compute":[[:space:]]*"int8"' "$TMP/int8.json" && grep -q 'scored, int8;' "$TMP/table"; then
    ok "int8: mean nll $(number "$TMP/int8.json" mean_nll) beside $(number "$TMP/one.json" mean_nll)"
else
    not_ok "int8" "$(number "$TMP/int8.json" mean_nll) beside $(number "$TMP/one.json" mean_nll)"
fi
"$NIBBLE" generate -q "$TMP/q4.nib" --prompt "And God said" -n 20 --compute int8 >"$TMP/g1"
"$NIBBLE" generate -q "$TMP/q4.nib" --prompt "And God said" -n 20 --compute int8 --threads 1 >"$TMP/g2"
if [ -s "$TMP/g1" ] && cmp -s "$TMP/g1" "$TMP/g2"; then ok "generate in int8: $(head -n 1 "$TMP/g1" | cut -c1-50)"; else not_ok "generate in int8"; fi

# ---- several machines: the scripts' ranks, here processes side by side
for i in 0 1; do SLURM_ARRAY_TASK_ID=$i SLURM_ARRAY_TASK_COUNT=2 NIBBLE=$NIBBLE sh scripts/cluster/eval.sh "$TMP/slurm" "$TMP/kjv.nib" "$TMP/q4.nib" --text $text --ctx 96 --windows 11 >/dev/null 2>"$TMP/said" || cat "$TMP/said"; done
if "$NIBBLE" merge "$TMP"/slurm/shard-*.json --json "$TMP/merged.json" >/dev/null && digits "$TMP/merged.json" | cmp -s - "$TMP/a"; then ok "scripts/cluster/eval.sh as tasks of an array"; else not_ok "scripts/cluster/eval.sh as tasks of an array"; fi
if command -v mpirun >/dev/null; then
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 NIBBLE=$NIBBLE mpirun -n 4 --oversubscribe sh scripts/cluster/eval.sh "$TMP/mpi" "$TMP/kjv.nib" "$TMP/q4.nib" --text $text --ctx 96 --windows 11 >/dev/null 2>"$TMP/said"
    if "$NIBBLE" merge "$TMP"/mpi/shard-*.json --json "$TMP/merged.json" >/dev/null && digits "$TMP/merged.json" | cmp -s - "$TMP/a"; then ok "mpirun -n 4 is one run, digit for digit"; else not_ok "mpirun -n 4" "$(head -n 3 "$TMP/said")"; fi
else
    echo "skip - mpirun is not installed (Debian: openmpi-bin)"
fi

# ---- bench
"$NIBBLE" bench --quick "$TMP/q4.nib" --models --prompt 32 --gen 8 --repeat 1 --json "$TMP/bench.json" >"$TMP/table"
for key in instruction_set threads read_gb_per_second gflops prefill_tokens_per_second decode_tokens_per_second decode_share_of_bandwidth; do
    grep -q "\"$key\":" "$TMP/bench.json" || not_ok "the JSON has \"$key\""
done
if grep -q "q4.nib, int8: prefill 32" "$TMP/table"; then ok "bench: $(grep -o 'prefill.*' "$TMP/table")"; else not_ok "bench"; fi
refuses "bench --models without any" 2 "models" "$NIBBLE" bench --models
refuses "bench of a model that is not there" 1 "no-such" "$NIBBLE" bench --quick --models "$TMP/no-such.nib"
[ $failures = 0 ]
