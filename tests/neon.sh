#!/bin/sh
# The NEON kernels on any machine: cross-compiled and run under qemu-user, on a CPU with I8MM, on one with dot products
# alone and on one with neither.
# Arguments go to check_kernels. Exit 77: skipped, since a tool is missing (Debian: gcc-aarch64-linux-gnu, qemu-user).
set -eu
CROSS=${CROSS:-aarch64-linux-gnu-gcc}
QEMU=${QEMU:-qemu-aarch64}
BUILD=${BUILD:-build/neon}

for tool in "$CROSS" "$QEMU"; do
    command -v "$tool" >/dev/null || {
        echo "skipped: $tool is not installed (Debian packages: gcc-aarch64-linux-gnu, qemu-user)"
        exit 77
    }
done

mkdir -p "$BUILD"
"$CROSS" -O2 -g -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion \
    -I. -static -o "$BUILD/check_kernels" \
    quant/kernels/*_scalar.c quant/kernels/*_neon.c quant/kernels/gem?_int8.c quant/kernels/table.c quant/kernels/scratch.c core/cpu.c core/dtype.c \
    tests/check_kernels.c -lm -lpthread
for cpu in max neoverse-n1 cortex-a72; do # with smmla, with sdot alone, with neither
    echo "on $cpu:"
    "$QEMU" -cpu help | grep -qw "$cpu" || { echo "this qemu has none"; continue; } # before 7.1: no neoverse-n1
    "$QEMU" -cpu "$cpu" "$BUILD/check_kernels" --no-time "$@"
done
