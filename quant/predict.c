#include "quant/predict.h"

#include "core/mem.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"
#include "quant/scan.h"

typedef struct Sample {
    float *values, *rounded; // [rows, cols]
    uint8_t *source;         // a row, where rows are put together
    uint8_t *blocks;         // the sample in a type of at most 4 bytes an element
    int64_t rows, cols;
} Sample;

static void sample_free(Sample *s) {
    mem_free(s->values);
    mem_free(s->rounded);
    mem_free(s->source);
    mem_free(s->blocks);
}

static bool sample_take(const Tensor *t, Sample *s, Error *err) {
    int64_t rows = tensor_rows(t);
    *s = (Sample){.rows = rows < PREDICT_ROWS ? rows : PREDICT_ROWS, .cols = tensor_cols(t)};
    size_t n = (size_t)(s->rows * s->cols);
    s->values = mem_alloc(n, sizeof *s->values, err);
    s->rounded = s->values ? mem_alloc(n, sizeof *s->rounded, err) : NULL;
    s->blocks = s->rounded ? mem_alloc(n, sizeof(float), err) : NULL;
    s->source = s->blocks ? mem_alloc(tensor_row_bytes(t), 1, err) : NULL;
    if (!s->source) return false;
    for (int64_t i = 0; i < s->rows; i++) {
        const void *row = tensor_read(t, i * rows / s->rows, 1, s->source);
        kernels_get()->to_f32[t->type](row, s->values + i * s->cols, s->cols);
    }
    scan_clear_nonfinite(s->values, (int64_t)n);
    return true;
}

static double squares(const Sample *s) {
    double sum = 0;
    for (int64_t i = 0; i < s->rows * s->cols; i++) sum += (double)s->values[i] * s->values[i];
    return sum;
}

static double distance(const Sample *s) {
    double sum = 0;
    for (int64_t i = 0; i < s->rows * s->cols; i++) {
        double d = (double)s->rounded[i] - s->values[i];
        sum += d * d;
    }
    return sum;
}

bool predict_errors(const Tensor *t, const DType *types, size_t count, double *error, Error *err) {
    Sample s;
    bool ok = sample_take(t, &s, err);
    double all = ok ? squares(&s) : 0;
    for (size_t i = 0; ok && i < count; i++) {
        quant_function(types[i])(s.values, s.blocks, s.rows, s.cols, NULL);
        kernels_get()->to_f32[types[i]](s.blocks, s.rounded, s.rows * s.cols);
        error[i] = all > 0 ? distance(&s) / all : 0;
    }
    sample_free(&s);
    return ok;
}
