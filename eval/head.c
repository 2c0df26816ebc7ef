// For every position and model the running maximum m of its logits, S = sum exp(logit - m) and, against the first model
// (logits a, maximum m0), T = sum exp(a - m0) (a - b) are kept while tiles of the vocabulary pass. Then
//   log Z = m + log S,   -log p(y) = log Z - logit(y),   KL(p0 | p) = T / S0 - (log Z0 - log Z).
#include "eval/head.h"

#include "core/mem.h"
#include "core/size.h"
#include "core/threads.h"
#include "eval/panel.h"
#include "eval/vector.h"
#include "quant/kernels/kernels.h"
#include <math.h>
#include <omp.h>
#include <string.h>

enum { TILE = 1024, ROWS = 96 }; // vocabulary rows in a tile; positions multiplied in one task

typedef struct Running {
    double sum;  // S
    double mean; // T
    float max;   // m
    float right; // the right token's logit
    int32_t top;
} Running;

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct Pass {
    const HeadInput *models;
    int count;
    const int32_t *targets;
    int64_t vocab;
    uint8_t *memory;  // of each model's tile
    BlockAct **acts;  // [models] or NULL: hidden states, rounded, where integers multiply
    Running *running; // [positions, models]
    float *logits;    // [threads][models][ROWS, TILE]
} Pass;

// One row of one model's tile: moves the maximum, notes top and right token.
static void row_begin(Running *r, const VectorMath *m, const float *logits, int64_t first, int64_t n, int32_t target) {
    if (target >= first && target < first + n) r->right = logits[target - first];
    float top = m->max(logits, n);
    if (!(top > r->max)) return;
    double shrink = exp((double)r->max - (double)top);
    r->sum *= shrink;
    r->max = top;
    int64_t at = 0;
    while (logits[at] != top) at++;
    r->top = (int32_t)(first + at);
}

static void rows_add(const Pass *p, float *logits, int64_t row0, int64_t rows, int64_t first, int64_t n) {
    const VectorMath *m = vector_math();
    float base[TILE];
    for (int64_t i = 0; i < rows; i++) {
        Running *r = p->running + (row0 + i) * p->count;
        float *a = logits + i * TILE;
        int32_t target = p->targets[row0 + i];
        float old = r->max;
        row_begin(r, m, a, first, n, target);
        double shrink = exp((double)old - (double)r->max); // the base's maximum scales every model's T
        if (p->count > 1) memcpy(base, a, (size_t)n * sizeof *base);
        r->sum += (double)m->exp_sum(a, n, r->max); // a is now exp(a - m0)
        for (int k = 1; k < p->count; k++) {
            float *b = logits + ((int64_t)k * ROWS + i) * TILE;
            row_begin(&r[k], m, b, first, n, target);
            r[k].mean = r[k].mean * shrink + (double)m->weighted_difference(a, base, b, n);
            r[k].sum += (double)m->exp_sum(b, n, r[k].max);
        }
    }
}

static const Tensor *weight_of(const HeadInput *model) { return model->head->output.weight; }

static size_t tile_bytes(const HeadInput *model) {
    return size_align(panel_bytes(TILE, tensor_cols(weight_of(model))), 64);
}

void head_finish(const Head *h, float *logits, int64_t first, int64_t n) {
    const float *bias = h->output.bias;
    const VectorMath *m = vector_math();
    if (bias)
        for (int64_t i = 0; i < n; i++) logits[i] += bias[first + i];
    if (h->scale != 0) m->scale(logits, n, h->scale);
    if (h->cap != 0) m->soft_cap(logits, n, h->cap);
}

// Rounds a model's hidden states, for all tiles.
static bool inputs_round(const HeadInput *model, int64_t positions, BlockAct **acts, Error *err) {
    const int digits = linear_digits(&model->head->output);
    if (!digits) return true;
    int64_t cols = tensor_cols(weight_of(model));
    *acts = mem_alloc(linear_input_bytes(positions, cols, digits), 1, err);
    if (*acts) linear_round(model->hidden, positions, cols, digits, *acts);
    return *acts;
}

// y [rows, TILE] of positions row .. row + rows - 1.
static void panel_logits(const Pass *p, int k, const Panel *panel, int64_t row, int64_t rows, float *y) {
    if (panel->digits)
        panel_multiply_acts(panel, p->acts[k] + row * (panel->cols / BLOCK) * panel->digits, rows, 0, panel->rows, y,
                            TILE, false);
    else
        panel_multiply(panel, p->models[k].hidden + row * panel->cols, rows, y, TILE, false);
}

static void tile_score(const Pass *p, int64_t positions, int64_t first, int64_t n) {
    Panel panels[p->count];
    uint8_t *memory = p->memory;
    for (int k = 0; k < p->count; k++) {
        const Linear *output = &p->models[k].head->output;
        panels[k] = panel_load(output->weight, output->compute, linear_digits(output), first, n, memory);
        memory += tile_bytes(&p->models[k]);
    }
#pragma omp parallel for schedule(dynamic)
    for (int64_t row = 0; row < positions; row += ROWS) {
        int64_t rows = min(ROWS, positions - row);
        float *logits = p->logits + (int64_t)omp_get_thread_num() * p->count * ROWS * TILE;
        for (int k = 0; k < p->count; k++) {
            float *own = logits + k * ROWS * TILE;
            panel_logits(p, k, &panels[k], row, rows, own);
            for (int64_t i = 0; i < rows; i++) head_finish(p->models[k].head, own + i * TILE, first, n);
        }
        rows_add(p, logits, row, rows, first, n);
    }
    for (int k = 0; k < p->count; k++) tensor_release(weight_of(&p->models[k]), first, n);
}

static bool scores_finish(const Pass *p, int64_t positions, Error *err) {
    for (int64_t i = 0; i < positions; i++) {
        const Running *r = p->running + i * p->count;
        double log_z0 = (double)r->max + log(r->sum);
        for (int k = 0; k < p->count; k++) {
            double log_z = (double)r[k].max + log(r[k].sum), nll = log_z - (double)r[k].right;
            double kld = k ? r[k].mean / r->sum - (log_z0 - log_z) : 0;
            if (!isfinite(nll) || !isfinite(kld))
                return error_set(err,
                                 "model %d gives logits that are not finite: its weights hold NaN, infinity or "
                                 "values too large",
                                 k + 1);
            p->models[k].scores[i] = (TokenScore){nll, kld > 0 ? kld : 0, r[k].top};
        }
    }
    return true;
}

static const Tensor *head_weight(const Model *model) {
    return model_tensor(model, model->desc.tied ? "token_embd.weight" : "output.weight");
}

size_t head_hidden_bytes(const Model *model) {
    const Tensor *weight = head_weight(model);
    int digits = weight ? panel_digits(weight, model->compute, true) : 0;
    return sizeof(float) + (size_t)digits * sizeof(BlockAct) / BLOCK;
}

bool head_open(Head *head, const Model *model, Error *err) {
    const ModelDesc *d = &model->desc;
    const Tensor *weight = head_weight(model);
    *head = (Head){.scale = (float)d->logit_scale, .cap = (float)d->logit_cap};
    if (!weight) return error_set(err, "%s: the head is missing", model->path);
    if (!linear_open(&head->output, weight, model_tensor(model, "output.bias"), model->compute, err) ||
        !linear_take(&head->output, err))
        return false;
    head->output.fine = true; // logits show its rounding as it is: a fourth of what all of int8 arithmetic costs
    return true;
}

void head_close(Head *head) { linear_close(&head->output); }

size_t head_memory(const Model *model) {
    int64_t width = desc_embed_dim(&model->desc);
    return linear_panel_bytes(model->desc.vocab, width) + linear_input_bytes(1, width, ACT_DIGITS);
}

void head_logits(const Head *head, const float *hidden, float *logits, void *memory) {
    Linear output = head->output;
    output.bias = NULL; // added with the rest
    linear_apply(&output, hidden, 1, logits, false, memory);
    head_finish(head, logits, 0, tensor_rows(output.weight));
}

bool head_score(const HeadInput *models, int count, int64_t positions, const int32_t *targets, Error *err) {
    Pass p = {.models = models, .count = count, .targets = targets, .vocab = tensor_rows(weight_of(&models[0]))};
    size_t tiles = 0;
    for (int k = 0; k < count; k++) tiles += tile_bytes(&models[k]);
    p.memory = mem_alloc(tiles, 1, err);
    p.running = mem_alloc((size_t)(positions * count), sizeof *p.running, err);
    p.logits = mem_alloc((size_t)threads_count() * (size_t)count, sizeof(float) * ROWS * TILE, err);
    p.acts = mem_alloc((size_t)count, sizeof *p.acts, err);
    bool ok = p.memory && p.running && p.logits && p.acts;
    for (int k = 0; ok && k < count; k++) ok = inputs_round(&models[k], positions, &p.acts[k], err);
    for (int64_t i = 0; ok && i < positions * count; i++) p.running[i] = (Running){.max = -INFINITY, .right = NAN};
    for (int64_t first = 0; ok && first < p.vocab; first += TILE)
        tile_score(&p, positions, first, min(TILE, p.vocab - first));
    ok = ok && scores_finish(&p, positions, err);
    for (int k = 0; p.acts && k < count; k++) mem_free(p.acts[k]);
    mem_free(p.acts);
    mem_free(p.memory);
    mem_free(p.running);
    mem_free(p.logits);
    return ok;
}
