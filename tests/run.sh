#!/bin/sh
# Runs every test that was built, shows what each says, and counts. `make test` calls it; by hand, from the root:
#   sh tests/run.sh BUILD [PATTERN]      for instance: sh tests/run.sh build/release quant
# The last line is "N passed, N failed, N skipped"; the exit status is 1 when anything failed.
# docs/testing.md says what kinds of test there are and what each must print.
set -u
build=$1
pattern=${2:-}
passed=0 failed=0 skipped=0 broken=
log=$(mktemp) || exit 1
status=$(mktemp) || exit 1
trap 'rm -f "$log" "$status"' EXIT
trap 'exit 1' INT TERM
NIBBLE=$(cd "$build" && pwd)/nibble
PROGRAMS=$(cd "$build" && pwd)/tests
export NIBBLE PROGRAMS

# run NAME COMMAND...: runs it, showing its output and keeping it in $log; its exit status goes to $code.
run() {
    name=$1
    shift
    echo "== $name"
    { "$@" 2>&1; echo $? >"$status"; } | tee "$log"
    code=$(cat "$status")
}

# sum EXPRESSION: adds up the number that sed's EXPRESSION takes from each matching line of the log.
sum() { sed -n "$1" "$log" | awk '{ n += $1 } END { print n + 0 }'; }

# count PASSED FAILED SKIPPED: adds to the totals. A failed exit that counted no failure (a crash, a sanitizer) is one.
count() {
    p=$1 f=$2 s=$3
    if [ "$code" = 77 ] && [ "$f" = 0 ]; then
        s=$((s + 1))
    elif [ "$code" != 0 ] && [ "$f" = 0 ]; then
        f=1
    elif [ "$code" = 0 ] && [ $((p + f + s)) = 0 ]; then
        echo "$name: ended without saying what it tested"
        f=1
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    [ "$f" = 0 ] || broken="$broken $name"
}

wanted() { case $1 in *"$pattern"*) return 0 ;; *) return 1 ;; esac; }

# cmocka programs. Each group closes with "[  PASSED  ] 7 test(s)." and, where there are any, the same for the others.
for test in tests/test_*.c; do
    test=$(basename "$test" .c)
    wanted "$test" || continue
    run "$test" "$build/tests/$test"
    count "$(sum 's/^\[  PASSED  ] \([0-9]*\) test(s).*/\1/p')" "$(sum 's/^\[  FAILED  ] \([0-9]*\) test(s).*/\1/p')" \
        "$(sum 's/^\[  SKIPPED ] \([0-9]*\) test(s).*/\1/p')"
done

# Programs and scripts that close with "N passed, N failed"; exit 77: cannot be run here.
closing() {
    run "$@"
    count "$(sum 's/^\([0-9]*\) passed, [0-9]* failed.*/\1/p')" "$(sum 's/^[0-9]* passed, \([0-9]*\) failed.*/\1/p')" 0
}
wanted check_kernels && closing check_kernels "$build/tests/check_kernels" ${NO_TIME:+--no-time}
wanted neon && closing neon sh tests/neon.sh

# Fuzz targets over their committed inputs: "ok - fuzz_gguf: 57 inputs", or a "not ok - " line for each that fails.
for target in tests/fuzz/fuzz_*.c; do
    target=$(basename "$target" .c)
    wanted "$target" || continue
    run "$target" "$build/tests/fuzz/$target" "tests/fuzz/corpus/${target#fuzz_}"
    count "$(grep -c '^ok - ' "$log")" "$(grep -c '^not ok - ' "$log")" 0
done

# Command-line tests: "ok - what", "not ok - what" and "skip - what" lines. Each has an empty directory of its own.
for script in tests/cli/*.sh; do
    wanted "$script" || continue
    TMP=$(mktemp -d) || exit 1
    export TMP
    run "$script" sh "$script"
    rm -rf "$TMP"
    count "$(grep -c '^ok - ' "$log")" "$(grep -c '^not ok - ' "$log")" "$(grep -c '^skip - ' "$log")"
done

echo
[ -z "$broken" ] || echo "failed in:$broken"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
