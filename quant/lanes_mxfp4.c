// mxfp4: w = d * c, d a power of two and c a doubled E2M1 number.
// Without importance the rounding of gguf-py (gguf/quants.py), byte for byte, where the largest weight is at least
// 2^-125; below, where gguf-py's exponent turns over into a large one, d is the smallest that there is. With importance
// the powers beside that one are tried too.
#include "quant/blocks_decoded.h"
#include "quant/lanes_e2m1.h"
#include "quant/lanes_table.h"

enum { LARGEST_E = 253, SIX = 5 }; // from 2^(253 - 128) on, levels above 6 are infinite

// floor(log2(top)) - 2 + 127, the logarithm rounded to an f32 as numpy's is: for the numbers just below a power of two,
// 2^k, it is k already.
static inline I first_exponent(V top) {
    I bits = i_bits(top), k = (bits >> 23) - 126, below = 0x800000 - (bits & 0x7fffff);
    V size = __builtin_convertvector(k, V);
    // The spacing of f32 below k, of which half is rounded up, in units of 2^-23: that of the power of two below |k|.
    V spacing = v_bits(i_bits(v_select(v_less(v_all(0), size), size - 0.5f, -size)) & 0x7f800000);
    const float ln2 = 0.69314718f;
    V whole = __builtin_convertvector(v_int(spacing * ln2), V), distance = __builtin_convertvector(below, V);
    I e = k - 3 + 127 + i_select(v_less_equal(distance, whole), i_all(1), i_all(0));
    return i_select(v_less(__builtin_convertvector(e, V), v_all(0)), i_all(0), e);
}

static inline V power(I e) { // 2^(e - 128), of which the two smallest are below the normal numbers
    I small =
        i_all(0x00200000) + i_select(v_less(__builtin_convertvector(e, V), v_all(1)), i_all(0), i_all(0x00200000));
    return v_bits(i_select(v_less(__builtin_convertvector(e, V), v_all(2)), small, (e - 1) << 23));
}

static inline I magnitude(V x, V d, M huge) {
    I code = e2m1_magnitude(x / d);
    M over = v_less(v_all(SIX), __builtin_convertvector(code, V));
    return i_select(huge & over, i_all(SIX), code);
}

static inline M is_huge(I e) { return v_less_equal(v_all(LARGEST_E), __builtin_convertvector(e, V)); }

// The best of e and its neighbours. Errors are counted in units of the first power, so that they are finite.
static inline I search(const V x[BLOCK], const V w[BLOCK], I first) {
    I best = first;
    V unit = power(first), least = v_all(INFINITY);
    for (int move = 0; move < 3; move++) {
        V wanted = __builtin_convertvector(first + (move == 2 ? -1 : move), V);
        I e = v_int(v_clamp(wanted, 0, LARGEST_E));
        V d = power(e), ratio = d / unit, error = {0};
        M huge = is_huge(e);
        for (int i = 0; i < BLOCK; i++) {
            V off = v_abs(x[i]) / unit - e2m1_value(magnitude(x[i], d, huge)) * ratio;
            error += w[i] * off * off;
        }
        M better = v_less(error, least);
        best = i_select(better, e, best);
        least = v_select(better, error, least);
    }
    return best;
}

static void quantize_mxfp4(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    BlockMXFP4 *out = blocks;
    int64_t row_blocks = cols / BLOCK, count = rows * row_blocks;
    for (int64_t first = 0; first < count; first += LANES) {
        LaneBlocks at = lanes_at(x, importance, first, count, BLOCK, row_blocks);
        V t[BLOCK], w[BLOCK];
        lanes_load(at.x, BLOCK, t);
        I e = first_exponent(v_abs(v_extreme(t, BLOCK)));
        if (importance) {
            lanes_weights(at.importance, BLOCK, w);
            e = search(t, w, e);
        }
        V d = power(e);
        M huge = is_huge(e);
        I code[BLOCK], words[4];
        for (int i = 0; i < BLOCK; i++) {
            I size = magnitude(t[i], d, huge);
            M minus = v_less(t[i], v_all(0)) & v_less(v_all(0), __builtin_convertvector(size, V));
            code[i] = i_select(minus, size + 8, size);
        }
        lanes_pack_nibbles(code, words);
        for (int l = 0; l < at.count; l++) {
            int32_t q[4] = {words[0][l], words[1][l], words[2][l], words[3][l]};
            out[first + l].e = (uint8_t)e[l];
            memcpy(out[first + l].q, q, sizeof q);
        }
    }
}

void TARGET_NAME(lanes_mxfp4)(QuantizeFn table[DT_COUNT]) { table[DT_MXFP4] = quantize_mxfp4; }
