// The nearest codes of a grid, for weights of which each has its own step and offset.
#include "quant/lanes_grid.h"

#include "quant/lanes_e2m1.h"
#include "quant/lanes_iq4.h"

// Integers from 0 to 255 as bytes.
static inline void store_codes(I code, uint8_t *to) {
#if defined(__SSE2__) && !defined(__AVX512F__) // gcc 12 goes through memory
    __m128i parts[LANES / 4];
    memcpy(parts, &code, sizeof parts);
    __m128i words = _mm_packs_epi32(parts[0], parts[LANES / 4 - 1]), bytes = _mm_packus_epi16(words, words);
    memcpy(to, &bytes, LANES);
#else
    typedef uint8_t Bytes __attribute__((vector_size(LANES)));
    Bytes bytes = __builtin_convertvector(code, Bytes);
    memcpy(to, &bytes, LANES);
#endif
}

typedef struct Nearest {
    V level;
    I code;
} Nearest;

static inline Nearest nearest_uniform(const Grid *grid, V t) {
    V level = v_clamp(v_round(t), grid->low, grid->low + (float)(grid->codes - 1));
    return (Nearest){level, v_int(level - grid->low)};
}

static inline Nearest nearest_iq4(const Grid *grid, V t) {
    (void)grid;
    I code = iq4_nearest(t);
    return (Nearest){lookup16(iq4_level, code), code};
}

// Codes are in the order of the levels: 7 is 0.
static inline Nearest nearest_e2m1(const Grid *grid, V t) {
    (void)grid;
    I magnitude = e2m1_magnitude(t);
    V size = e2m1_value(magnitude);
    M minus = v_less(t, v_all(0));
    return (Nearest){v_select(minus, -size, size), i_select(minus, 7 - magnitude, 7 + magnitude)};
}

#define INLINE static inline __attribute__((always_inline)) // so that `nearest` is known and inlined too

typedef Nearest NearestFn(const Grid *grid, V t);

INLINE void round_lanes(const Grid *grid, NearestFn *nearest, const float *x, const float *step, const float *offset,
                        uint8_t *codes, float *values) {
    V vx, vs, vo;
    memcpy(&vx, x, sizeof vx);
    memcpy(&vs, step, sizeof vs);
    memcpy(&vo, offset, sizeof vo);
    V t = v_select(v_less(v_all(0), v_abs(vs)), (vx - vo) / vs, v_all(0));
    Nearest found = nearest(grid, t);
    V value = vs * found.level + vo;
    store_codes(found.code, codes);
    memcpy(values, &value, sizeof value);
}

INLINE void round_all(const Grid *grid, NearestFn *nearest, const float *x, const float *step, const float *offset,
                      int n, uint8_t *codes, float *values) {
    int i = 0;
    for (; i + LANES <= n; i += LANES) round_lanes(grid, nearest, x + i, step + i, offset + i, codes + i, values + i);
    if (i == n) return;
    float in[3][LANES] = {{0}}, out[LANES];
    uint8_t code[LANES];
    size_t bytes = (size_t)(n - i) * sizeof(float);
    memcpy(in[0], x + i, bytes);
    memcpy(in[1], step + i, bytes);
    memcpy(in[2], offset + i, bytes);
    round_lanes(grid, nearest, in[0], in[1], in[2], code, out);
    memcpy(codes + i, code, (size_t)(n - i));
    memcpy(values + i, out, bytes);
}

void TARGET_NAME(lanes_grid)(const Grid *grid, const float *x, const float *step, const float *offset, int n,
                             uint8_t *codes, float *values) {
    if (!grid->levels)
        round_all(grid, nearest_uniform, x, step, offset, n, codes, values);
    else if (grid->power)
        round_all(grid, nearest_e2m1, x, step, offset, n, codes, values);
    else
        round_all(grid, nearest_iq4, x, step, offset, n, codes, values);
}
