// Every kernel of every instruction set that this CPU has, one by one, against values found another way: the goldens of
// gguf.quants.dequantize, the scalar twin, exact arithmetic in doubles. After dav1d's checkasm.
//     check_kernels [--no-time] [directory of goldens]
// prints a line for each kernel: what it computes, the set, the largest error (to_f32, from_f32 and act allow none; of
// dots it is relative to the sum of |w * x|), and how much faster than scalar it ran, which decides nothing.
// Rows and vectors end where readable memory does, and start at odd addresses; outputs lie between guards.
// Needs core/cpu.c, core/dtype.c and quant/kernels alone, so that it runs under qemu too (tests/neon.sh).
#include "quant/blocks_decoded.h"
#include "quant/kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 1 << 18, GUARD = 64, TIMED = 1 << 14 };
static const double DOT_TOLERANCE = 1e-6;

// Integer matrix multiplies with inputs of one, two and three digits follow each other.
typedef enum Kind { TO_F32, FROM_F32, DOT_F32, UNPACK, INT8, INT8_TWO, INT8_THREE, GEMV, ACT, DIGITS, KINDS } Kind;
static const char *const kind_names[KINDS] = {"to_f32",  "from_f32", "dot_f32", "unpack", "int8",
                                              "int8 x2", "int8 x3",  "gemv",    "act",    "digits"};

static Kernels scalar;
static const char *goldens = "tests/data/blocks";
static bool timed = true;
static uint8_t *row_end, *x_end; // each followed by a page that cannot be read
static float out[LONGEST + 2 * GUARD], weights[LONGEST];
static char reason[256]; // why the check in hand failed

// ---- input

static uint64_t random_state = 20261;

static uint32_t random_bits(void) { // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1d) >> 32);
}

static float random_float(void) { return (float)((int32_t)random_bits() * 0x1p-31); } // in [-1, 1)

static void random_bytes(void *to, size_t n) {
    for (size_t i = 0; i < n; i++) ((uint8_t *)to)[i] = (uint8_t)random_bits();
}

// Memory of which the last byte is followed by a page that cannot be read; returns that end.
static uint8_t *bounded(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (bytes + page - 1) / page * page;
    uint8_t *p = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + size, page, PROT_NONE) != 0) {
        perror("check_kernels: mmap");
        exit(1);
    }
    return p + size;
}

typedef enum Input { ORDINARY, EXTREME, SAME_CODES, NONFINITE, INPUTS } Input;
static const char *const input_names[INPUTS] = {"ordinary", "extreme", "same codes", "not finite"};

static uint16_t random_half(Input input) {
    static const uint16_t extremes[] = {0, 0x8000, 1, 0x8001, 0x3ff, 0x400, 0x7bff, 0xfbff}; // zeros to the largest
    static const uint16_t others[] = {0x7c00, 0xfc00, 0x7e00, 0xfe01};                       // infinities and NaN
    if (input == EXTREME) return extremes[random_bits() % 8];
    if (input == NONFINITE && random_bits() % 2) return others[random_bits() % 4];
    return (uint16_t)((random_bits() & 0x83ff) | (8 + random_bits() % 8) << 10); // of 2^-7 .. 2
}

// Where a block's half-precision numbers are; returns how many.
static int half_offsets(DType type, size_t at[2]) {
    at[0] = 0;
    at[1] = sizeof(uint16_t);
    switch (type) {
    case DT_Q6_K: at[0] = offsetof(BlockQ6_K, d); return 1;
    case DT_Q3_K: at[0] = offsetof(BlockQ3_K, d); return 1;
    case DT_TQ1_0: at[0] = offsetof(BlockTQ1_0, d); return 1;
    case DT_TQ2_0: at[0] = offsetof(BlockTQ2_0, d); return 1;
    case DT_Q2_K:
        at[0] = offsetof(BlockQ2_K, d);
        at[1] = offsetof(BlockQ2_K, dmin);
        return 2;
    case DT_Q4_1:
    case DT_Q5_1:
    case DT_Q4_K:
    case DT_Q5_K: return 2;
    case DT_MXFP4:
    case DT_NVFP4:
    case DT_IQ1_M: // its half lies in pieces
    case DT_Q8_K: return 0;
    default: return 1;
    }
}

// The scales that are no half: of a size that no sum of weights overflows.
static void random_scale(DType type, uint8_t *block) {
    float d = random_float();
    if (type == DT_Q8_K) memcpy(block, &d, sizeof d);
    if (type == DT_MXFP4) *block = (uint8_t)(100 + *block % 50);
}

static size_t row_bytes(DType type, int64_t n) {
    const DTypeInfo *info = dtype_info(type);
    return (size_t)(n / info->block) * info->block_bytes;
}

// A row of n elements that ends `before_end` bytes before its memory does.
static uint8_t *random_row(DType type, int64_t n, Input input, size_t before_end) {
    const DTypeInfo *info = dtype_info(type);
    uint8_t *row = row_end - before_end - row_bytes(type, n);
    random_bytes(row, row_bytes(type, n));
    for (int64_t i = 0; i < n / info->block; i++) {
        uint8_t *at = row + (size_t)i * info->block_bytes;
        if (info->block > 1) {
            static const uint8_t codes[] = {0, 0x0f, 0x80, 0xf0, 0xff};
            if (input == SAME_CODES) memset(at, codes[random_bits() % 5], info->block_bytes);
            size_t halves[2];
            for (int h = 0; h < half_offsets(type, halves); h++) {
                uint16_t d = random_half(input);
                memcpy(at + halves[h], &d, sizeof d);
            }
            random_scale(type, at);
        } else if (type == DT_F16) {
            uint16_t w = random_half(input);
            memcpy(at, &w, sizeof w);
        } else if (type == DT_BF16 || type == DT_F32) {
            static const float others[] = {INFINITY, -INFINITY, NAN, 0};
            float w = random_float() * (input == EXTREME ? 0x1p-126f : 1); // half of them subnormal
            if (input == NONFINITE && random_bits() % 4 == 0) w = others[random_bits() % 4];
            memcpy(at, (const uint8_t *)&w + sizeof w - info->block_bytes, info->block_bytes); // bf16: the upper half
        }
    }
    return row;
}

static float *random_x(int64_t n) {
    float *x = (float *)(void *)x_end - n;
    for (int64_t i = 0; i < n; i++) x[i] = random_float() * (random_bits() % 8 ? 1 : 100);
    return x;
}

// ---- checks: each returns the largest error, and a negative number with a reason on failure

static double fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static double fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return -1;
}

static bool same_float(float a, float b) { return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0; }

// The output's place for n elements of `size` bytes, its guards set; and whether they still are.
static void *guarded_out(void) {
    memset(out, 0xa5, sizeof out);
    return out + GUARD;
}

static bool guards_hold(int64_t n, size_t size) {
    const uint8_t *bytes = (const uint8_t *)out, *end = (const uint8_t *)(out + GUARD) + (size_t)n * size;
    for (size_t i = 0; i < GUARD * sizeof(float); i++)
        if (bytes[i] != 0xa5 || end[i] != 0xa5) return false;
    return true;
}

// The lengths to try: all up to 67 for plain types, up to five blocks for block types.
static int64_t longest(DType type) { return dtype_is_block(type) ? 5 * dtype_info(type)->block : 67; }

static double check_golden(const Kernels *k, DType type) {
    static uint8_t blocks[1 << 16];
    static float values[1 << 16];
    char path[1024];
    size_t sizes[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s.%s", goldens, dtype_name(type), i ? "f32" : "blocks");
        FILE *f = fopen(path, "rb");
        if (f) {
            sizes[i] = fread(i ? (void *)values : blocks, 1, i ? sizeof values : sizeof blocks, f);
            fclose(f);
        }
        if (!sizes[i]) return fail("%s: cannot be read", path);
    }
    int64_t n = (int64_t)(sizes[1] / sizeof *values);
    if (row_bytes(type, n) != sizes[0]) return fail("%s: does not fit its blocks", path);
    float *to = guarded_out();
    k->to_f32[type](blocks, to, n);
    for (int64_t i = 0; i < n; i++)
        if (!same_float(to[i], values[i]))
            return fail("%s: value %lld: %a, not %a", path, (long long)i, (double)to[i], (double)values[i]);
    return guards_hold(n, sizeof *to) ? 0 : fail("%s: writes outside its output", path);
}

// The value of a 16-bit float with `fraction` bits of fraction, from its definition.
static double value_of_half(uint16_t h, int fraction) {
    int exponent = (h & 0x7fff) >> fraction, bits = h & ((1 << fraction) - 1), special = 0x7fff >> fraction;
    int bias = special / 2;
    double sign = h & 0x8000 ? -1 : 1;
    if (exponent == special) return bits ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0) return sign * ldexp(bits, 1 - bias - fraction);
    return sign * ldexp(bits + (1 << fraction), exponent - bias - fraction);
}

static double check_all_halves(const Kernels *k, DType type) {
    static uint16_t all[1 << 16];
    for (int i = 0; i < 1 << 16; i++) all[i] = (uint16_t)i;
    float *to = guarded_out();
    k->to_f32[type](all, to, 1 << 16);
    for (int i = 0; i < 1 << 16; i++)
        if (!same_float(to[i], (float)value_of_half((uint16_t)i, type == DT_F16 ? 10 : 7)))
            return fail("0x%04x: gives %a", i, (double)to[i]);
    return 0;
}

static double check_to_f32(const Kernels *k, DType type) {
    for (int64_t n = 0; n <= longest(type); n += dtype_info(type)->block)
        for (Input input = 0; input < INPUTS; input++)
            for (size_t odd = 0; odd < 2; odd++) {
                const uint8_t *row = random_row(type, n, input, odd);
                scalar.to_f32[type](row, weights, n);
                float *to = guarded_out();
                k->to_f32[type](row, to, n);
                for (int64_t i = 0; i < n; i++)
                    if (!same_float(to[i], weights[i]))
                        return fail("%s, n %lld, element %lld: %a, scalar %a", input_names[input], (long long)n,
                                    (long long)i, (double)to[i], (double)weights[i]);
                if (!guards_hold(n, sizeof *to)) return fail("n %lld: writes outside its output", (long long)n);
            }
    if (dtype_is_block(type)) return check_golden(k, type);
    return type == DT_F16 || type == DT_BF16 ? check_all_halves(k, type) : 0;
}

static bool same_half(DType type, uint16_t a, uint16_t b) {
    int infinity = type == DT_F16 ? 0x7c00 : 0x7f80;
    return a == b || ((a & 0x7fff) > infinity && (b & 0x7fff) > infinity);
}

// Around every border between two neighbouring halves: the middle goes to the even one, all else to the nearer.
static double check_rounding(const Kernels *k, DType type) {
    static float cases[LONGEST];
    static uint16_t wanted[LONGEST];
    int n = 0, infinity = type == DT_F16 ? 0x7c00 : 0x7f80, fraction = type == DT_F16 ? 10 : 7;
    for (int h = 0; h < infinity; h++) {
        double low = value_of_half((uint16_t)h, fraction);
        // Infinity lies, for rounding, where the next number would: as far above the largest as that is above its own.
        double high = h + 1 < infinity ? value_of_half((uint16_t)(h + 1), fraction)
                                       : 2 * low - value_of_half((uint16_t)(h - 1), fraction);
        float middle = (float)((low + high) / 2), sign = h % 2 ? 1 : -1;
        uint16_t sign_bit = h % 2 ? 0 : 0x8000;
        const float around[] = {(float)low, nextafterf(middle, 0), middle, nextafterf(middle, INFINITY)};
        const int to[] = {h, h, h + (h & 1), h + 1};
        for (int i = 0; i < 4; i++) {
            cases[n] = sign * around[i];
            wanted[n++] = (uint16_t)(sign_bit | to[i]);
        }
    }
    uint16_t *to = guarded_out();
    k->from_f32[type](cases, to, n);
    for (int i = 0; i < n; i++)
        if (to[i] != wanted[i]) return fail("%a: gives 0x%04x, not 0x%04x", (double)cases[i], to[i], wanted[i]);
    return 0;
}

static double check_from_f32(const Kernels *k, DType type) {
    static uint8_t want[LONGEST];
    size_t size = dtype_info(type)->block_bytes;
    for (int64_t n = 0; n <= 67; n++)
        for (Input input = 0; input < INPUTS; input++) {
            float *x = (float *)(void *)x_end - n;
            for (int64_t i = 0; i < n; i++) {
                uint32_t bits = random_bits();
                memcpy(&x[i], &bits, sizeof bits);
                if (input == ORDINARY) x[i] = random_float();
            }
            scalar.from_f32[type](x, want, n);
            uint8_t *to = guarded_out();
            k->from_f32[type](x, to, n);
            for (int64_t i = 0; i < n; i++) {
                uint16_t a, b;
                memcpy(&a, to + (size_t)i * size, sizeof a);
                memcpy(&b, want + (size_t)i * size, sizeof b);
                bool same = size == 2 ? same_half(type, a, b) : memcmp(to + 4 * i, want + 4 * i, 4) == 0;
                if (!same) return fail("n %lld, element %lld: %a", (long long)n, (long long)i, (double)x[i]);
            }
            if (!guards_hold(n, size)) return fail("n %lld: writes outside its output", (long long)n);
        }
    return size == 2 ? check_rounding(k, type) : 0;
}

// Compares a dot product with the exact one, relative to what it adds up; keeps the largest error in *worst. Sums below
// the normal numbers have an absolute precision instead.
static bool dot_close(float got, double exact, double magnitude, double *worst) {
    if (!isfinite(got) || !isfinite(exact)) return !isfinite(got) && !isfinite(exact);
    double error = fabs((double)got - exact) / (magnitude + (double)FLT_MIN);
    *worst = fmax(*worst, error);
    return error <= DOT_TOLERANCE;
}

static double check_dot_f32(const Kernels *k, DType type) {
    double worst = 0;
    int64_t block = dtype_info(type)->block;
    for (int64_t n = 0; n <= longest(type) + block; n += block) {
        int64_t length = n <= longest(type) ? n : 40 * SUPER; // and one long row
        for (Input input = 0; input < INPUTS; input++)
            for (size_t odd = 0; odd < 2; odd++) {
                const uint8_t *row = random_row(type, length, input, odd);
                const float *x = random_x(length);
                scalar.to_f32[type](row, weights, length);
                double exact = 0, magnitude = 0;
                for (int64_t i = 0; i < length; i++) {
                    exact += (double)weights[i] * x[i];
                    magnitude += fabs((double)weights[i] * x[i]);
                }
                float got = k->dot_f32[type](row, x, length);
                if (!dot_close(got, exact, magnitude, &worst))
                    return fail("%s, n %lld: %a, not %a", input_names[input], (long long)length, (double)got, exact);
            }
    }
    return worst;
}

static bool act_right(const float *x, const BlockAct *a) {
    double largest = 0, sum = 0;
    bool finite = true;
    for (int i = 0; i < BLOCK; i++) {
        finite = finite && isfinite(x[i]);
        largest = fmax(largest, fabs((double)x[i]));
        sum += a->q[i];
    }
    if (!finite) return isnan(a->d) && isnan(a->sum) && sum == 0;
    if (largest < 0x1p-119) return a->d == 0 && a->sum == 0 && sum == 0;
    if (fabs(a->d - largest / 127) > 1e-6 * a->d || fabs(a->sum - a->d * sum) > 1e-6 * fabs((double)a->sum))
        return false;
    for (int i = 0; i < BLOCK; i++)
        if (fabs((double)x[i] - (double)a->d * a->q[i]) > a->d * 0.50001 || a->q[i] < -127) return false;
    return true;
}

static double check_act(const Kernels *k, DType type) {
    (void)type;
    static BlockAct want[8];
    for (int round = 0; round < 400; round++) {
        int64_t n = round % 6 * BLOCK;
        float *x = random_x(n);
        for (int64_t i = 0; i < n; i++) {
            float tie = (float)(int)(random_bits() % 253) / 2 - 63; // under a largest of 127 codes are x itself: ties
            if (round % 5 == 1) x[i] = i % BLOCK ? tie : 127;
            if (round % 5 == 2) x[i] *= ldexpf(1, -(int)(random_bits() % 60) - 90);
            if (round % 5 == 3) x[i] *= 0x1p120f;
            if (round % 5 == 4 && random_bits() % 40 == 0) x[i] = random_bits() % 2 ? NAN : -INFINITY;
        }
        scalar.act(x, want, n);
        BlockAct *to = guarded_out();
        k->act(x, to, n);
        for (int64_t b = 0; b < n / BLOCK; b++) {
            if (!same_float(to[b].d, want[b].d) || !same_float(to[b].sum, want[b].sum) ||
                memcmp(to[b].starts, want[b].starts, sizeof want[b].starts) != 0 ||
                memcmp(to[b].q, want[b].q, BLOCK) != 0)
                return fail("round %d, block %lld: not as scalar", round, (long long)b);
            if (!act_right(x + b * BLOCK, &to[b])) return fail("round %d, block %lld: wrong", round, (long long)b);
        }
        if (!guards_hold(n / BLOCK, sizeof *to)) return fail("writes outside its output");
    }
    return 0;
}

// What a block of several digits says of x, and whether it says it of itself alike.
static bool digits_right(const float *x, const BlockAct *a, int digits) {
    const double unit = a[digits - 1].d, most = digits == 2 ? 0x7f7f : 0x7f7f7f;
    double largest = 0, sum = 0;
    bool finite = true;
    for (int i = 0; i < BLOCK; i++) {
        finite = finite && isfinite(x[i]);
        largest = fmax(largest, fabs((double)x[i]));
    }
    for (int i = 0; i < BLOCK; i++) {
        double code = 0;
        for (int k = 0; k < digits; k++) code = 256 * code + a[k].q[i];
        sum += code;
        if (a[0].q[i] == -128 || (digits == 2 && a[1].q[i] == -128)) return false;
        double half = digits == 2 && a[1].q[i] == 127 ? 1.5 : 0.5; // where the nearest would have that digit -128
        if (finite && unit > 0 && fabs((double)x[i] - unit * code) > half * unit) return false;
    }
    if (!finite) return isnan(a->d) && isnan(unit) && isnan(a->sum) && isnan(a->exponent) && sum == 0;
    if (unit == 0) return a->d == 0 && a->sum == 0 && sum == 0 && largest < 0x1p-100;
    bool scales = true;
    for (int k = 0; k < digits; k++)
        scales = scales && a[k].d == exp2f(a[k].exponent) && a[k].d == (float)(unit * exp2(8 * (digits - 1 - k)));
    return scales && largest <= unit * most && largest > unit * most / 2.01 && a[digits - 1].sum == 0 &&
           fabs(a->sum - unit * sum) <= 1e-6 * fabs((double)a->sum);
}

static double check_digits(const Kernels *k, DType type) {
    (void)type;
    static BlockAct want[8 * ACT_DIGITS];
    for (int round = 0; round < 800; round++) {
        const int digits = 2 + round / 400;
        int64_t n = round % 6 * BLOCK;
        float *x = random_x(n);
        for (int64_t i = 0; i < n; i++) {
            if (round % 5 == 1) x[i] = i % BLOCK ? ldexpf((float)(random_bits() % 65279), -1) - 16320 : 32639; // ties
            if (round % 5 == 2) x[i] *= ldexpf(1, -(int)(random_bits() % 60) - 70);
            if (round % 5 == 3) x[i] *= 0x1p127f;
            if (round % 5 == 4 && random_bits() % 40 == 0) x[i] = random_bits() % 2 ? NAN : -INFINITY;
        }
        scalar.digits(x, want, n, digits);
        BlockAct *to = guarded_out();
        k->digits(x, to, n, digits);
        for (int64_t b = 0; b < n / BLOCK * digits; b++)
            if (!same_float(to[b].d, want[b].d) || !same_float(to[b].sum, want[b].sum) ||
                !same_float(to[b].exponent, want[b].exponent) ||
                memcmp(to[b].starts, want[b].starts, sizeof want[b].starts) != 0 ||
                memcmp(to[b].q, want[b].q, BLOCK) != 0)
                return fail("round %d, block %lld: not as scalar", round, (long long)b);
        for (int64_t b = 0; b < n / BLOCK; b++)
            if (!digits_right(x + b * BLOCK, to + b * digits, digits))
                return fail("round %d, block %lld: wrong", round, (long long)b);
        if (!guards_hold(n / BLOCK * digits, sizeof *to)) return fail("writes outside its output");
    }
    return 0;
}

static double check_unpack(const Kernels *k, DType type) {
    for (int64_t n = dtype_info(type)->block; n <= SUPER; n += dtype_info(type)->block)
        for (Input input = 0; input < INPUTS; input++) {
            static Unpacked want, got;
            memset(&want, 0, sizeof want);
            memset(&got, 0, sizeof got);
            const uint8_t *row = random_row(type, n, input, 1);
            scalar.unpack[type](row, n, &want);
            k->unpack[type](row, n, &got);
            if (memcmp(got.codes, want.codes, sizeof got.codes) != 0) return fail("n %lld: codes", (long long)n);
            for (int g = 0; g < SUPER / BLOCK; g++)
                if (!same_float(got.d[2 * g], want.d[2 * g]) || !same_float(got.d[2 * g + 1], want.d[2 * g + 1]) ||
                    !same_float(got.m[g], want.m[g]))
                    return fail("n %lld, group %d: scales", (long long)n, g);
        }
    return 0;
}

// A weight [rows, cols], packed by this set.
static void *pack_int8(const Kernels *k, DType type, const uint8_t *weight, int64_t rows, int64_t cols) {
    void *packed = aligned_alloc(64, gemm_int8_bytes(rows, cols));
    for (int64_t r = 0; r < rows; r += INT8_ROWS) gemm_int8_pack(k->int8, type, weight, r, rows, cols, packed);
    return packed;
}

// The whole multiplication, edges and all: each result the scalar set's to the last bit, and that within the tolerance
// of the sum over the rounded inputs.
static double check_int8_of(const Kernels *k, DType type, int digits, int64_t n, int64_t rows, int64_t cols,
                            Input input) {
    enum { STRIDE_MORE = 3 };
    const int64_t blocks = cols / BLOCK * digits;
    int64_t stride = rows + STRIDE_MORE;
    double worst = 0;
    const uint8_t *weight = random_row(type, rows * cols, input, 0);
    const float *x = random_x(n * cols);
    void *theirs = pack_int8(&scalar, type, weight, rows, cols), *ours = pack_int8(k, type, weight, rows, cols);
    float *want = calloc((size_t)(n * stride), sizeof *want), *got = calloc((size_t)(n * stride), sizeof *got);
    BlockAct *acts = aligned_alloc(64, (size_t)((n + INT8_TOKENS_MOST) * blocks) * sizeof *acts);
    memset(acts, 0, (size_t)((n + INT8_TOKENS_MOST) * blocks) * sizeof *acts);
    for (int64_t i = 0; i < n; i++)
        if (digits == 1)
            scalar.act(x + i * cols, acts + i * blocks, cols);
        else
            scalar.digits(x + i * cols, acts + i * blocks, cols, digits);
    for (int add = 0; add < 2 && worst >= 0; add++) {
        gemm_int8_multiply(scalar.int8, type, digits, acts, n, theirs, 0, rows, cols, want, stride, add);
        gemm_int8_multiply(k->int8, type, digits, acts, n, ours, 0, rows, cols, got, stride, add);
        for (int64_t i = 0; i < n * stride && worst >= 0; i++)
            if (!same_float(got[i], want[i]))
                worst =
                    fail("%s, n %lld, rows %lld, cols %lld: %a at %lld, scalar %a", input_names[input], (long long)n,
                         (long long)rows, (long long)cols, (double)got[i], (long long)i, (double)want[i]);
        for (int64_t i = 0; i < n && !add && worst >= 0; i++) {
            const BlockAct *in = acts + i * blocks;
            for (int64_t r = 0; r < rows && worst >= 0; r++) {
                scalar.to_f32[type](weight + (size_t)r * row_bytes(type, cols), weights, cols);
                double exact = 0, magnitude = 0;
                for (int64_t c = 0; c < cols; c++) {
                    double value = 0;
                    for (int d = 0; d < digits; d++) {
                        const BlockAct *digit = &in[c / BLOCK * digits + d];
                        value += (double)digit->d * digit->q[c % BLOCK];
                    }
                    exact += (double)weights[c] * value;
                    magnitude += fabs((double)weights[c] * value);
                }
                // With a minimum, d * code and m may cancel in a weight, but not in the two sums.
                if (type == DT_Q4_1 || type == DT_Q5_1 || type == DT_Q4_K || type == DT_Q5_K) magnitude *= 64;
                if (!dot_close(want[i * stride + r], exact, magnitude + 1e-30, &worst))
                    worst = fail("%s, n %lld, row %lld: %a, not %a", input_names[input], (long long)n, (long long)r,
                                 (double)want[i * stride + r], exact);
            }
        }
    }
    free(theirs);
    free(ours);
    free(want);
    free(got);
    free(acts);
    return worst;
}

static double check_int8_digits(const Kernels *k, DType type, int digits) {
    static const struct {
        int64_t n, rows, cols; // in super-blocks or single ones
    } shapes[] = {{1, 1, 1}, {6, 32, 3}, {4, 64, 1}, {13, 33, 2}, {17, 95, 5}, {2, 31, 9}};
    double worst = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (Input input = 0; input < INPUTS; input++) {
            double error = check_int8_of(k, type, digits, shapes[s].n, shapes[s].rows,
                                         shapes[s].cols * dtype_info(type)->block, input);
            if (error < 0) return error;
            worst = fmax(worst, error);
        }
    return worst;
}

static double check_int8(const Kernels *k, DType type) { return check_int8_digits(k, type, 1); }
static double check_int8_two(const Kernels *k, DType type) { return check_int8_digits(k, type, 2); }
static double check_int8_three(const Kernels *k, DType type) { return check_int8_digits(k, type, 3); }

// A panel of repacked rows times a vector: the digits of the scalar set's integer matrix multiply.
static double check_gemv(const Kernels *k, DType type) {
    enum { MORE = 2 };
    for (int64_t blocks = 1; blocks <= 9; blocks++)
        for (Input input = 0; input < INPUTS; input++)
            for (int64_t rows = GEMV_ROWS - MORE; rows <= GEMV_ROWS; rows += MORE) {
                int64_t cols = blocks * dtype_info(type)->block;
                const uint8_t *weight = random_row(type, rows * cols, input, 1);
                const float *x = random_x(cols);
                float want[GEMV_ROWS], got[GEMV_ROWS];
                void *packed = pack_int8(&scalar, type, weight, rows, cols);
                uint8_t *panel = malloc(gemv_panel_bytes(type, cols));
                BlockAct *inputs = aligned_alloc(64, (size_t)(cols / BLOCK) * sizeof *inputs);
                k->act(x, inputs, cols);
                gemm_int8_multiply(scalar.int8, type, 1, inputs, 1, packed, 0, rows, cols, want, rows, false);
                gemv_pack(type, weight, 0, rows, cols, panel);
                k->gemv[type](panel, cols / BLOCK, inputs, got);
                bool same = true;
                for (int64_t r = 0; r < rows; r++) same = same && same_float(got[r], want[r]);
                free(packed);
                free(panel);
                free(inputs);
                if (!same)
                    return fail("%s, cols %lld: %a, not %a", input_names[input], (long long)cols, (double)got[0],
                                (double)want[0]);
            }
    return 0;
}

static double (*const checks[KINDS])(const Kernels *, DType) = {
    [TO_F32] = check_to_f32, [FROM_F32] = check_from_f32, [DOT_F32] = check_dot_f32,       [UNPACK] = check_unpack,
    [INT8] = check_int8,     [INT8_TWO] = check_int8_two, [INT8_THREE] = check_int8_three, [GEMV] = check_gemv,
    [ACT] = check_act,       [DIGITS] = check_digits,
};

// ---- timing and the table

typedef void (*Entry)(void); // any kernel, for comparing

static Entry entry_of(const Kernels *k, Kind kind, DType type) {
    switch (kind) {
    case TO_F32: return (Entry)k->to_f32[type];
    case FROM_F32: return (Entry)k->from_f32[type];
    case DOT_F32: return (Entry)k->dot_f32[type];
    case UNPACK: return (Entry)k->unpack[type];
    case INT8:
    case INT8_TWO:
    case INT8_THREE: return (Entry)k->int8->tile[1 + kind - INT8][type];
    case GEMV: return (Entry)k->gemv[type];
    case ACT: return type == 0 ? (Entry)k->act : NULL; // one for all types
    default: return type == 0 ? (Entry)k->digits : NULL;
    }
}

static volatile float sink; // keeps a timed result in use

// Operands of a timed tile, of zeros; the scalar set's has one input, ours as many as it takes.
static Int8Tile timed_tile[2];
static double timed_tokens[2];

static void prepare_tile(const Kernels *k) {
    enum { COLS = 1024 };
    static uint8_t *zeros;
    static BlockAct inputs[INT8_TOKENS_MOST * ACT_DIGITS * COLS / BLOCK];
    static int16_t wide[INT8_TOKENS_MOST * COLS];
    if (!zeros) zeros = aligned_alloc(64, gemm_int8_bytes(INT8_ROWS, COLS));
    memset(zeros, 0, gemm_int8_bytes(INT8_ROWS, COLS));
    timed_tile[k == &scalar] = (Int8Tile){.weights = zeros,
                                          .panel = gemm_int8_bytes(INT8_ROWS, COLS) / 2,
                                          .groups = COLS / BLOCK,
                                          .inputs = inputs,
                                          .wide = wide,
                                          .y = out,
                                          .stride = INT8_ROWS};
    timed_tokens[k == &scalar] = k->int8->tokens;
}

static void run_once(const Kernels *k, Kind kind, DType type, const uint8_t *row, const float *x, BlockAct *act) {
    switch (kind) {
    case TO_F32: k->to_f32[type](row, out, TIMED); break;
    case FROM_F32: k->from_f32[type](x, out, TIMED); break;
    case DOT_F32: sink = k->dot_f32[type](row, x, TIMED); break;
    case UNPACK:
        for (int64_t i = 0; i < TIMED; i += SUPER) {
            Unpacked u;
            k->unpack[type](row + row_bytes(type, i), SUPER, &u);
            sink = (float)u.codes[0];
        }
        break;
    case INT8:
    case INT8_TWO:
    case INT8_THREE: k->int8->tile[1 + kind - INT8][type](&timed_tile[k == &scalar]); break;
    case GEMV: {
        static BlockAct inputs[16];
        k->gemv[type](timed_tile[k == &scalar].weights, 16, inputs, out);
        break;
    }
    case ACT: k->act(x, act, TIMED); break;
    default: k->digits(x, act, TIMED, 3); break;
    }
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Seconds of one run, the best of some.
static double time_of(const Kernels *k, Kind kind, DType type) {
    const uint8_t *row = random_row(type, TIMED, ORDINARY, 0);
    const float *x = random_x(TIMED);
    static BlockAct act[TIMED / BLOCK * ACT_DIGITS];
    double best = INFINITY, start = seconds_now();
    prepare_tile(k);
    for (int runs = 0; runs < 3 || seconds_now() - start < 2e-3; runs++) {
        double from = seconds_now();
        run_once(k, kind, type, row, x, act);
        best = fmin(best, seconds_now() - from);
    }
    return kind >= INT8 && kind <= INT8_THREE ? best / timed_tokens[k == &scalar] : best;
}

typedef struct Set {
    const char *name;
    Cpu cpu;
} Set;

// Every set that this CPU has, single features apart.
static int list_sets(Set sets[10]) {
    const Cpu *cpu = cpu_get();
    int n = 0;
    sets[n++] = (Set){"scalar", {.level = CPU_SCALAR}};
    if (cpu_has_level(CPU_AVX2)) sets[n++] = (Set){"avx2", {.level = CPU_AVX2}};
    if (cpu->avx_vnni) sets[n++] = (Set){"avx2 vnni", {.level = CPU_AVX2, .avx_vnni = true}};
    if (cpu_has_level(CPU_AVX512)) sets[n++] = (Set){"avx512", {.level = CPU_AVX512}};
    if (cpu->vnni) sets[n++] = (Set){"avx512 vnni", {.level = CPU_AVX512, .vnni = true}};
    if (cpu->bf16) sets[n++] = (Set){"avx512 bf16", {.level = CPU_AVX512, .bf16 = true}};
    if (cpu_has_level(CPU_NEON)) sets[n++] = (Set){"neon", {.level = CPU_NEON}};
    if (cpu->dotprod) sets[n++] = (Set){"neon dotprod", {.level = CPU_NEON, .dotprod = true}};
    if (cpu->i8mm) sets[n++] = (Set){"neon i8mm", {.level = CPU_NEON, .i8mm = true}};
    return n;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-time") == 0)
            timed = false;
        else
            goldens = argv[i];
    }
    row_end = bounded(LONGEST * sizeof(double));
    x_end = bounded(LONGEST * sizeof(float));

    Set sets[10];
    static Kernels tables[10];
    int set_count = list_sets(sets), passed = 0, failed = 0;
    kernels_fill(&(Cpu){.level = CPU_SCALAR}, &scalar);
    printf("%-16s %-14s %10s  %s\n", "kernel", "set", "max error", timed ? "speed-up over scalar" : "");
    for (int s = 0; s < set_count; s++) {
        kernels_fill(&sets[s].cpu, &tables[s]);
        for (Kind kind = 0; kind < KINDS; kind++)
            for (DType type = 0; type < DT_COUNT; type++) {
                Entry entry = entry_of(&tables[s], kind, type);
                bool known = entry == NULL;
                for (int before = 0; before < s && !known; before++)
                    known = entry == entry_of(&tables[before], kind, type);
                if (known) continue;
                double error = checks[kind](&tables[s], type);
                printf("%-8s %-7s %-14s ", kind_names[kind], kind >= ACT ? "" : dtype_name(type), sets[s].name);
                if (error < 0)
                    printf("FAILED: %s\n", reason);
                else if (timed)
                    printf("%10.2g  %.1fx\n", error, time_of(&scalar, kind, type) / time_of(&tables[s], kind, type));
                else
                    printf("%10.2g\n", error);
                fflush(stdout);
                error < 0 ? failed++ : passed++;
            }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
