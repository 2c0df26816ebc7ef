#include "convert/encoded.h"

#include "core/float8.h"
#include "core/mem.h"
#include <math.h>
#include <string.h>

// A row's codes are unpacked a tile at a time: whole blocks and words, few enough to stay on the stack.
enum { TILE_ROWS = 32, TILE_COLS = 256, BLOCK = 32 };

typedef uint8_t Tile[TILE_ROWS][TILE_COLS];

static const uint8_t awq_nibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

CodeBytes code_bytes(const Tensor *t) {
    return t ? (CodeBytes){t->data, t->bytes, t->file, t->source} : (CodeBytes){0};
}

// ---- numbers, which may lie at any byte

static uint32_t word_at(const uint8_t *words, int64_t i) {
    uint32_t v;
    memcpy(&v, words + i * 4, sizeof v);
    return v;
}

static float float_at(const uint8_t *floats, int64_t i) { return float_of_bits(word_at(floats, i)); }

static uint16_t half_at(const uint8_t *halves, int64_t i) {
    uint16_t v;
    memcpy(&v, halves + i * 2, sizeof v);
    return v;
}

static float number_at(const uint8_t *data, DType type, int64_t i) {
    double wide;
    switch (type) {
    case DT_F32: return float_at(data, i);
    case DT_F16: return f16_to_f32(half_at(data, i));
    case DT_BF16: return bf16_to_f32(half_at(data, i));
    case DT_F8_E4M3: return e4m3_to_f32(data[i]);
    case DT_F8_E5M2: return e5m2_to_f32(data[i]);
    case DT_F8_E8M0: return e8m0_to_f32(data[i]);
    case DT_I8: return (int8_t)data[i];
    default: memcpy(&wide, data + i * 8, sizeof wide); return (float)wide; // F64
    }
}

// ---- scales and zeros

static float scale_at(const Encoded *e, int64_t row, int64_t group) {
    const CodeGrid *s = &e->scales;
    int64_t i = row / e->group_rows * s->row_step + group * s->group_step;
    if (e->nested.map.data)
        return float_at(e->nested.map.data, s->at.data[i]) * float_at(e->nested.scales.data, i / e->nested.group) +
               e->nested.offset;
    float scale = number_at(s->at.data, s->type, i);
    if (e->times.data) scale *= float_at(e->times.data, 0);
    if (e->over.data) scale /= float_at(e->over.data, 0);
    return scale;
}

static bool has_zeros(const Encoded *e) { return e->plain.at.data || e->packed.at.data; }

static uint32_t ones(int bits) { return (1u << bits) - 1; } // of 1 to 8 bits

static int packed_zero(const Encoded *e, int64_t row, int64_t group) {
    const CodeZeros *z = &e->packed;
    const uint8_t *stream = z->at.data + group * z->group_step * 4;
    int64_t bit = row * e->bits, word = bit / 32;
    int shift = z->awq ? 4 * awq_nibble[row % 8] : (int)(bit % 32);
    uint32_t low = word_at(stream, word * z->word_step);
    // A field that was 0 has borrowed from those above it when one was taken away from all: the sum gives it back.
    bool whole = 32 % e->bits == 0;
    if (z->less_one && whole) low += 0xffffffffu / ones(e->bits);
    uint32_t field = low >> shift;
    if (shift + e->bits > 32) field |= word_at(stream, (word + 1) * z->word_step) << (32 - shift);
    if (z->less_one && !whole) field++;
    return (int)(field & ones(e->bits));
}

static int zero_at(const Encoded *e, int64_t row, int64_t group) {
    if (e->packed.at.data) return e->zero + packed_zero(e, row, group);
    if (!e->plain.at.data) return e->zero;
    const CodeGrid *z = &e->plain;
    return e->zero + (int8_t)z->at.data[row / e->group_rows * z->row_step + group * z->group_step];
}

// The group of a column, and where the run of columns ends that are surely in it too.
static int64_t group_of(const Encoded *e, int64_t row, int64_t col, int64_t *end) {
    if (e->column_group.data) {
        *end = col + 1;
        return word_at(e->column_group.data, col);
    }
    int64_t at = e->order == CODES_FLAT ? row * e->cols + col : col, group = at / e->group;
    *end = col + (group + 1) * e->group - at;
    return group;
}

// ---- codes

// Of one row, from column `col` on, which is a multiple of 8.
static void unpack_row(const uint8_t *row, int bits, int64_t col, int64_t n, uint8_t *out) {
    const uint8_t *from = row + col * bits / 8;
    if (bits == 8) {
        memcpy(out, from, (size_t)n);
        return;
    }
    for (int64_t i = 0, bit = 0; i < n; i++, bit += bits) {
        uint32_t v = from[bit / 8];
        if (bit % 8 + bits > 8) v |= (uint32_t)from[bit / 8 + 1] << 8;
        out[i] = (uint8_t)(v >> bit % 8 & ones(bits));
    }
}

static void unpack_columns(const Encoded *e, int64_t row, int64_t rows, int64_t col, int64_t cols, Tile out) {
    for (int64_t c = 0; c < cols; c++) {
        int64_t bit = (col + c) * e->bits;
        int shift = (int)(bit % 32);
        const uint8_t *words = e->codes.data + (bit / 32 * e->rows + row) * 4, *next = words + e->rows * 4;
        for (int64_t r = 0; r < rows; r++) {
            uint32_t v = word_at(words, r) >> shift;
            if (shift + e->bits > 32) v |= word_at(next, r) << (32 - shift);
            out[r][c] = (uint8_t)(v & ones(e->bits));
        }
    }
}

static void unpack_awq(const Encoded *e, int64_t row, int64_t rows, int64_t col, int64_t cols, Tile out) {
    for (int64_t c = 0; c < cols; c++) {
        const uint8_t *words = e->codes.data + (col + c) * (e->rows / 8) * 4;
        for (int64_t r = 0; r < rows; r++)
            out[r][c] = (uint8_t)(word_at(words, (row + r) / 8) >> 4 * awq_nibble[(row + r) % 8] & 15);
    }
}

static void unpack_flat(const Encoded *e, int64_t row, int64_t col, int64_t n, uint8_t *out) {
    for (int64_t i = 0, at = row * e->cols + col; i < n; i++, at++)
        out[i] = at % 2 ? e->codes.data[at / 2] & 15 : e->codes.data[at / 2] >> 4;
}

static void unpack(const Encoded *e, int64_t row, int64_t rows, int64_t col, int64_t cols, Tile out) {
    if (e->order == CODES_COLUMNS) unpack_columns(e, row, rows, col, cols, out);
    if (e->order == CODES_AWQ) unpack_awq(e, row, rows, col, cols, out);
    size_t row_bytes = e->codes.bytes / (size_t)e->rows;
    for (int64_t r = 0; r < rows; r++) {
        if (e->order == CODES_ROWS)
            unpack_row(e->codes.data + (size_t)(row + r) * row_bytes, e->bits, col, cols, out[r]);
        if (e->order == CODES_FLAT) unpack_flat(e, row + r, col, cols, out[r]);
    }
}

static void fill_levels(const Encoded *e, float levels[256]) {
    for (int i = 0; i < 256; i++) {
        uint8_t code = (uint8_t)i;
        switch (e->levels) {
        case LEVELS_UNSIGNED: levels[i] = code; break;
        case LEVELS_SIGNED: levels[i] = (int8_t)code; break;
        case LEVELS_E4M3: levels[i] = e4m3_to_f32(code); break;
        case LEVELS_E5M2: levels[i] = e5m2_to_f32(code); break;
        case LEVELS_E2M1: levels[i] = e2m1_to_f32(code); break;
        case LEVELS_MAP: levels[i] = float_at(e->map.data, i % 16); break;
        }
    }
}

// ---- rows of values

static void value_row(const Encoded *e, const float levels[256], int64_t row, int64_t col, int64_t n,
                      const uint8_t *codes, uint8_t *out) {
    for (int64_t i = 0, end; i < n;) {
        int64_t group = group_of(e, row, col + i, &end);
        float scale = scale_at(e, row, group), zero = (float)zero_at(e, row, group), w;
        for (end = min(end - col, n); i < end; i++) {
            w = (levels[codes[i]] - zero) * scale;
            if (e->after != 0) w *= e->after;
            memcpy(out + i * 4, &w, sizeof w);
        }
    }
}

// ---- rows of blocks (GGUF's layouts: core/dtype.h), whose columns are in order and whose groups are whole blocks

static size_t put_half(uint8_t *out, float scale) {
    uint16_t h = f16_from_f32(scale);
    memcpy(out, &h, sizeof h);
    return sizeof h;
}

// Nibbles, element i beside element i + 16.
static void put_nibbles(const uint8_t *q, uint8_t *out) {
    for (int i = 0; i < BLOCK / 2; i++) out[i] = (uint8_t)((q[i] & 15) | q[i + BLOCK / 2] << 4);
}

static void put_block(const Encoded *e, DType type, int64_t row, int64_t group, const uint8_t *codes, uint8_t *out) {
    if (type == DT_MXFP4) {
        *out = e->scales.at.data[row * e->scales.row_step + group * e->scales.group_step];
        put_nibbles(codes, out + 1);
        return;
    }
    uint8_t q[BLOCK];
    uint32_t high = 0;
    int add = type == DT_Q4_0 ? 8 : type == DT_Q5_0 ? 16 : 0, zero = zero_at(e, row, group) - add;
    for (int i = 0; i < BLOCK; i++) {
        q[i] = (uint8_t)((e->levels == LEVELS_SIGNED ? (int8_t)codes[i] : codes[i]) - zero);
        high |= (uint32_t)(q[i] >> 4 & 1) << i;
    }
    out += put_half(out, scale_at(e, row, group));
    if (type == DT_Q8_0) {
        memcpy(out, q, sizeof q);
        return;
    }
    if (type == DT_Q5_0) {
        memcpy(out, &high, sizeof high);
        out += sizeof high;
    }
    put_nibbles(q, out);
}

static void block_row(const Encoded *e, DType type, int64_t row, int64_t col, int64_t n, const uint8_t *codes,
                      uint8_t *out) {
    for (int64_t i = 0; i < n; i += BLOCK, out += dtype_info(type)->block_bytes)
        put_block(e, type, row, (col + i) / e->group, codes + i, out);
}

// ---- the layout

typedef struct EncodedLayout {
    TensorLayout layout;
    Encoded e;
    DType type;
    size_t row_bytes; // of the result
} EncodedLayout;

static void read_rows(const TensorLayout *layout, int64_t first, int64_t count, uint8_t *out) {
    const EncodedLayout *l = (const EncodedLayout *)layout;
    const DTypeInfo *type = dtype_info(l->type);
    float levels[256];
    Tile tile;
    fill_levels(&l->e, levels);
    for (int64_t row = first, rows; row < first + count; row += rows, out += (size_t)rows * l->row_bytes) {
        rows = min(TILE_ROWS, first + count - row);
        for (int64_t col = 0, cols; col < l->e.cols; col += cols) {
            cols = min(TILE_COLS, l->e.cols - col);
            unpack(&l->e, row, rows, col, cols, tile);
            for (int64_t r = 0; r < rows; r++) {
                uint8_t *to = out + (size_t)r * l->row_bytes + (size_t)(col / type->block) * type->block_bytes;
                if (l->type == DT_F32)
                    value_row(&l->e, levels, row + r, col, cols, tile[r], to);
                else
                    block_row(&l->e, l->type, row + r, col, cols, tile[r], to);
            }
        }
    }
}

// Of codes that lie row by row, those rows; of others, whose pages each piece touches, all after the last.
static void release_rows(const TensorLayout *layout, int64_t first, int64_t count) {
    const EncodedLayout *l = (const EncodedLayout *)layout;
    const CodeBytes *c = &l->e.codes;
    if (l->e.order == CODES_ROWS || l->e.order == CODES_FLAT) {
        size_t row = c->bytes / (size_t)l->e.rows; // FLAT: rounded down, and so are the pages
        file_release(c->file, c->data + (size_t)first * row, (size_t)count * row);
    } else if (first + count == l->e.rows) {
        file_release(c->file, c->data, c->bytes);
    }
}

// ---- checks, and the type that it is given

// What is known of all scales and zeros.
typedef struct Survey {
    bool halves;     // each scale is exact in binary16
    int least, most; // zero
} Survey;

static bool survey(const Encoded *e, Survey *s, Error *err) {
    bool flat = e->order == CODES_FLAT;
    int64_t runs = flat ? 1 : (e->rows + e->group_rows - 1) / e->group_rows;
    *s = (Survey){true, e->zero, e->zero};
    if (has_zeros(e)) *s = (Survey){true, INT16_MAX, INT16_MIN};
    for (int64_t run = 0; run < runs; run++)
        for (int64_t g = 0; g < e->groups; g++) {
            float scale = scale_at(e, run * e->group_rows, g);
            if (!isfinite(scale))
                return error_set(err, "tensor %s: the scale of row %lld, group %lld is %s", e->scales.at.name,
                                 (long long)(run * e->group_rows), (long long)g, isnan(scale) ? "NaN" : "infinite");
            s->halves = s->halves && f16_to_f32(f16_from_f32(scale)) == scale;
            if (!has_zeros(e)) continue;
            int zero = zero_at(e, run * e->group_rows, g);
            if (zero < s->least) s->least = zero;
            if (zero > s->most) s->most = zero;
        }
    file_release(e->scales.at.file, e->scales.at.data, e->scales.at.bytes);
    return true;
}

// Whether a column's group is what it would be in order, too.
static bool check_column_groups(Encoded *e, Error *err) {
    bool in_order = true;
    for (int64_t c = 0; e->column_group.data && c < e->cols; c++) {
        uint32_t group = word_at(e->column_group.data, c);
        if (group >= e->groups)
            return error_set(err, "tensor %s: column %lld is in group %d, but there are %lld groups",
                             e->column_group.name, (long long)c, (int)group, (long long)e->groups);
        in_order = in_order && group == c / e->group;
    }
    if (in_order) e->column_group.data = NULL;
    return true;
}

static bool check_map(const Encoded *e, Error *err) {
    for (int i = 0; e->levels == LEVELS_MAP && i < 16; i++)
        if (!isfinite(float_at(e->map.data, i)))
            return error_set(err, "tensor %s: value %d is not finite", e->map.name, i);
    return true;
}

static DType block_type(const Encoded *e, const Survey *s) {
    bool blocks = e->cols % BLOCK == 0 && (e->group % BLOCK == 0 || e->group >= e->cols) && !e->column_group.data &&
                  e->order != CODES_FLAT && e->after == 0;
    if (!blocks || !s->halves || (e->levels != LEVELS_UNSIGNED && e->levels != LEVELS_SIGNED)) return DT_F32;
    int low = (e->levels == LEVELS_SIGNED ? -128 : 0) - s->most;
    int high = (e->levels == LEVELS_SIGNED ? 127 : (int)ones(e->bits)) - s->least;
    if (low >= -8 && high <= 7) return DT_Q4_0;
    if (low >= -16 && high <= 15) return DT_Q5_0;
    return low >= -128 && high <= 127 ? DT_Q8_0 : DT_F32;
}

static bool choose_type(const Encoded *e, DType *type, Error *err) {
    Survey s;
    *type = DT_MXFP4; // as it is, whatever its scales
    if (e->levels == LEVELS_E2M1 && e->scales.type == DT_F8_E8M0 && e->group == BLOCK && e->cols % BLOCK == 0 &&
        !e->times.data && !e->over.data)
        return true;
    if (!survey(e, &s, err)) return false;
    *type = block_type(e, &s);
    return true;
}

bool encoded_tensor(const Encoded *e, int dims, const int64_t *shape, Tensor *out, void **owned, Error *err) {
    EncodedLayout *l = mem_alloc(1, sizeof *l, err);
    if (!l) return false;
    *l = (EncodedLayout){.layout = {read_rows, release_rows}, .e = *e};
    *out = (Tensor){.dims = dims, .layout = &l->layout, .source = out->source};
    memcpy(out->shape, shape, (size_t)dims * sizeof *shape);
    if (!check_column_groups(&l->e, err) || !check_map(e, err) || !choose_type(&l->e, &l->type, err)) {
        mem_free(l);
        return false;
    }
    out->type = l->type;
    if (!tensor_size(out, err)) {
        mem_free(l);
        return false;
    }
    l->row_bytes = tensor_row_bytes(out);
    *owned = l;
    return true;
}
