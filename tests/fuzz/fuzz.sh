#!/bin/sh
# Runs fuzz targets under libFuzzer, each for so many seconds, and says what came of it. `make fuzz` calls it:
#   sh tests/fuzz/fuzz.sh SECONDS fuzz_WHAT...
# What a target finds lies in build/fuzz/found/; put it into tests/fuzz/corpus/WHAT/ with the change that mends it. The
# inputs that reach new code are kept in build/fuzz/corpus/ for the next run. The exit status is 1 where anything was
# found.
set -u
seconds=$1
shift
root=build/fuzz
clang=${CLANG:-clang}

if ! echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n > 9; }' |
    "$clang" -x c -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null; then
    echo "fuzzing needs clang with libFuzzer (CLANG=$clang). On Debian, Ubuntu: sudo apt-get install clang libclang-rt-dev"
    echo "(libclang-rt-14-dev for clang 14); on Fedora: sudo dnf install clang compiler-rt"
    exit 1
fi
binaries=
for target; do
    [ -f "tests/fuzz/$target.c" ] || { echo "there is no fuzz target $target"; exit 1; }
    binaries="$binaries $root/$target"
done
mkdir -p $root/found $root/dictionary $root/log
${MAKE:-make} -s -j"$(nproc)" FUZZ=1 CC="$clang" BUILD=$root OPT=-O1 $binaries || exit 1

# The words that a target's readers look for: the plain string literals in their sources. Between quotation marks for
# JSON; after its length in eight bytes for GGUF.
words() { # WHAT
    case $1 in
    safetensors) set -- json formats/safetensors.c core/dtype.c ;;
    nib) set -- json formats/nib_read.c formats/model_desc.c core/dtype.c formats/model.h ;;
    stats) set -- json formats/stats*.c core/dtype.c ;;
    imatrix) set -- gguf formats/imatrix*.c ;;
    index) set -- json formats/huggingface.c ;;
    config) set -- json convert/*.c formats/model_desc.c ;;
    tokenizer_json) set -- json formats/tokenizer_json*.c ;;
    vocab_merges) set -- json formats/vocab_merges.c formats/tokenizer_config.c ;;
    gguf) set -- gguf formats/gguf*.c formats/tokenizer_gguf*.c convert/*gguf*.c convert/llama.c ;;
    *) set -- plain formats/torch_file.c formats/pickle.c formats/zip.c formats/sentencepiece.c ;;
    esac
    how=$1
    shift
    grep -oh '"[A-Za-z0-9_.<>|#/-]\{2,48\}"' "$@" | tr -d '"' | sort -u | while read -r word; do
        case $how in
        json) printf '"\\"%s\\""\n' "$word" ;;
        gguf) printf '"\\x%02x\\x00\\x00\\x00\\x00\\x00\\x00\\x00%s"\n' ${#word} "$word" ;;
        *) printf '"%s"\n' "$word" ;;
        esac
    done
}

say() { printf '%-22s %11s %8s %6s %7s %9s %9s %9s\n' "$@"; }
number() { sed -n "$1" "$log" | tail -n 1; }

found=0
say target executions a_second edges inputs slowest_s peak_MiB findings
for target; do
    what=${target#fuzz_}
    log=$root/log/$target
    mkdir -p "$root/corpus/$what" "$root/found/$what"
    words "$what" >"$root/dictionary/$what"
    # 512 MiB at once or 1 GiB in all is out of proportion to an input of 16 KiB, and so are ten seconds.
    ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=0} "$root/$target" \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 \
        -print_final_stats=1 -dict="$root/dictionary/$what" -artifact_prefix="$root/found/$what/" \
        "$root/corpus/$what" "tests/fuzz/corpus/$what" >"$log" 2>&1
    status=$?
    [ $status = 0 ] || found=$((found + 1))
    say "$target" "$(number 's/^stat::number_of_executed_units: //p')" "$(number 's/^stat::average_exec_per_sec: *//p')" \
        "$(number 's/.* cov: \([0-9]*\) .*/\1/p')" "$(number 's/.* corp: \([0-9]*\)\/.*/\1/p')" \
        "$(number 's/^stat::slowest_unit_time_sec: *//p')" "$(number 's/^stat::peak_rss_mb: *//p')" \
        "$([ $status = 0 ] && echo none || echo 1)"
    [ $status = 0 ] || { grep -m 3 -e 'ERROR' -e 'SUMMARY' -e 'broken promise' "$log"; ls -t "$root/found/$what"/* | head -n 1; }
done
[ $found = 0 ]
