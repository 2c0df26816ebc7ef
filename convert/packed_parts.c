// compressed-tensors' layout: compressed_tensors/compressors/pack_quantized
// (github.com/vllm-project/compressed-tensors); GPTQ's: gptqmodel/nn_modules/qlinear (github.com/ModelCloud/GPTQModel),
// "checkpoint_format": "gptq".
#include "convert/packed.h"

#include "core/mem.h"
#include <string.h>

static const struct {
    const char *name;
    DType type; // DT_COUNT: the scales'
} parts[PART_COUNT] = {
    [PART_WEIGHT_PACKED] = {"weight_packed", DT_I32},
    [PART_WEIGHT_SCALE] = {"weight_scale", DT_COUNT},
    [PART_WEIGHT_ZERO_POINT] = {"weight_zero_point", DT_I32},
    [PART_WEIGHT_SHAPE] = {"weight_shape", DT_I64},
    [PART_QWEIGHT] = {"qweight", DT_I32},
    [PART_QZEROS] = {"qzeros", DT_I32},
    [PART_SCALES] = {"scales", DT_COUNT},
    [PART_G_IDX] = {"g_idx", DT_I32},
};

const char *packed_part(PackedPart part, int64_t rows, int64_t cols, const GroupGrid *grid, Tensor *out, Error *err) {
    int64_t codes = 32 / grid->bits, groups = cols / grid->group;
    const int64_t shapes[PART_COUNT][2] = {
        [PART_WEIGHT_PACKED] = {rows, cols / codes},
        [PART_WEIGHT_SCALE] = {rows, groups},
        [PART_WEIGHT_ZERO_POINT] = {rows / codes, groups},
        [PART_WEIGHT_SHAPE] = {2, 0},
        [PART_QWEIGHT] = {cols / codes, rows},
        [PART_QZEROS] = {groups, rows / codes},
        [PART_SCALES] = {groups, rows},
        [PART_G_IDX] = {cols, 0},
    };
    out->type = parts[part].type == DT_COUNT ? grid->scale : parts[part].type;
    out->dims = shapes[part][1] ? 2 : 1;
    for (int i = 0; i < out->dims; i++) out->shape[i] = shapes[part][i];
    return tensor_size(out, err) ? parts[part].name : NULL;
}

// ---- words, a row of them at a time; the machine is little-endian, as all that Nibble runs on

// How a part is made of codes: word (i, j) holds those at i * row + j * column + k * step, k from 0 to codes - 1.
typedef struct Words {
    const uint8_t *from;
    int64_t rows, columns, row, column, step;
    int bits, less; // less: what is taken off each code, as GPTQ stores zeros
} Words;

static void fill_words(const Words *w, int64_t i, uint32_t *words) {
    int codes = 32 / w->bits;
    uint32_t mask = (1u << w->bits) - 1;
    for (int64_t j = 0; j < w->columns; j++) {
        const uint8_t *from = w->from + i * w->row + j * w->column;
        uint32_t word = 0;
        for (int k = 0; k < codes; k++) word |= ((uint32_t)(from[k * w->step] - w->less) & mask) << k * w->bits;
        words[j] = word;
    }
}

static bool write_words(const Words *w, ExportSink *sink, void *to, Error *err) {
    uint32_t *words = mem_alloc((size_t)w->columns, sizeof *words, err);
    bool ok = words;
    for (int64_t i = 0; ok && i < w->rows; i++) {
        fill_words(w, i, words);
        ok = sink(to, words, (size_t)w->columns * sizeof *words, err);
    }
    mem_free(words);
    return ok;
}

static bool write_scales_by_group(const Packed *p, ExportSink *sink, void *to, Error *err) {
    int64_t groups = p->cols / p->grid.group;
    uint16_t *line = mem_alloc((size_t)p->rows, sizeof *line, err);
    bool ok = line;
    for (int64_t g = 0; ok && g < groups; g++) {
        for (int64_t r = 0; r < p->rows; r++) line[r] = p->scales[r * groups + g];
        ok = sink(to, line, (size_t)p->rows * sizeof *line, err);
    }
    mem_free(line);
    return ok;
}

static bool write_group_index(const Packed *p, ExportSink *sink, void *to, Error *err) {
    for (int64_t c = 0; c < p->cols; c++) {
        int32_t group = (int32_t)(c / p->grid.group);
        if (!sink(to, &group, sizeof group, err)) return false;
    }
    return true;
}

bool packed_write(const Packed *p, PackedPart part, ExportSink *sink, void *to, Error *err) {
    int64_t groups = p->cols / p->grid.group, codes = 32 / p->grid.bits;
    Words w = {.bits = p->grid.bits};
    switch (part) {
    case PART_WEIGHT_PACKED:
        w.from = p->codes, w.rows = p->rows, w.columns = p->cols / codes;
        w.row = p->cols, w.column = codes, w.step = 1;
        return write_words(&w, sink, to, err);
    case PART_QWEIGHT:
        w.from = p->codes, w.rows = p->cols / codes, w.columns = p->rows;
        w.row = codes, w.column = p->cols, w.step = 1;
        return write_words(&w, sink, to, err);
    case PART_WEIGHT_ZERO_POINT:
        w.from = p->zeros, w.rows = p->rows / codes, w.columns = groups;
        w.row = codes * groups, w.column = 1, w.step = groups;
        return write_words(&w, sink, to, err);
    case PART_QZEROS:
        w.from = p->zeros, w.rows = groups, w.columns = p->rows / codes, w.less = 1;
        w.row = 1, w.column = codes * groups, w.step = groups;
        return write_words(&w, sink, to, err);
    case PART_WEIGHT_SCALE: return sink(to, p->scales, (size_t)(p->rows * groups) * sizeof *p->scales, err);
    case PART_SCALES: return write_scales_by_group(p, sink, to, err);
    case PART_WEIGHT_SHAPE: return sink(to, (const int64_t[]){p->rows, p->cols}, 2 * sizeof(int64_t), err);
    case PART_G_IDX: return write_group_index(p, sink, to, err);
    default: return error_set(err, "no part of a packed tensor");
    }
}
