// Two passes over the vocabulary. The first finds every token's log Z and draws its label y; the second has
// p = exp(logit - log Z) and adds up
//   d = sum over v of (p_v - [v = y]) w_v,
// through cap and scale of the logits where there are any.
//
// A label is drawn while tiles pass: with s the sum of exp(logit) over a tile and S that over all tiles so far, the
// label moves into the tile with probability s / S, to a place there drawn by exp(logit). Then y is distributed as p.
#include "eval/head_back.h"

#include "core/mem.h"
#include "core/threads.h"
#include "eval/panel.h"
#include "eval/vector.h"
#include "eval/vector_back.h"
#include <math.h>
#include <omp.h>
#include <string.h>

enum { TILE = 1024, ROWS = 128 }; // vocabulary rows in a tile; tokens in one task
_Static_assert(TILE % GEMM_COLS == 0, "a tile is whole pieces");

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct TokenState {
    double sum;   // of exp(logit - max)
    double log_z; // max + log(sum), after the first pass
    double nll;
    float max;
} TokenState;

typedef struct Pass {
    HeadBack *b;
    void *memory, *memory_back; // of a tile's panels
    TokenState *tokens;         // [n]
    float *logits;              // [threads][ROWS, TILE]
    float *row_spread;          // [tasks][TILE]: one tile's, added up in order afterwards
} Pass;

// A number in [0, 1): SplitMix64's output at a place that seed and counter say.
static double uniform(uint64_t seed, uint64_t counter) {
    uint64_t z = seed + (counter + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

// The logits [rows, TILE] of tokens row .. row + rows - 1 over one tile; the calling thread's own.
static float *logits_make(const Pass *p, const Panel *panel, int64_t row, int64_t rows, int64_t first) {
    float *logits = p->logits + (int64_t)omp_get_thread_num() * ROWS * TILE;
    panel_multiply(panel, p->b->hidden + row * panel->cols, rows, logits, TILE, false);
    for (int64_t i = 0; i < rows; i++) head_finish(p->b->head, logits + i * TILE, first, panel->rows);
    return logits;
}

// ---- the first pass

// e [n]: exp(logit - max) over a tile that starts at `first`, `sum` its sum.
static void label_draw(const HeadBack *b, int64_t token, const TokenState *s, const float *e, int64_t first, int64_t n,
                       double sum) {
    uint64_t counter = (uint64_t)(b->first + token) << 32 | (uint64_t)(first / TILE) << 1;
    if (uniform(b->seed, counter) * s->sum >= sum) return;
    double rest = uniform(b->seed, counter + 1) * sum;
    int64_t at = 0, top = 0;
    for (; at < n; at++) {
        if ((rest -= (double)e[at]) < 0) break;
        if (e[at] > e[top]) top = at;
    }
    b->labels[token] = (int32_t)(first + (at < n ? at : top)); // a rounding error may leave a rest
}

static void token_add(const HeadBack *b, int64_t token, TokenState *s, float *logits, int64_t first, int64_t n) {
    const VectorMath *m = vector_math();
    float top = m->max(logits, n);
    if (top > s->max) {
        s->sum *= exp((double)s->max - (double)top);
        s->max = top;
    }
    double sum = (double)m->exp_sum(logits, n, s->max);
    s->sum += sum;
    if (b->draw) label_draw(b, token, s, logits, first, n, sum);
}

static void tile_add(const Pass *p, int64_t first, int64_t n) {
    Panel panel = panel_load(p->b->head->output.weight, COMPUTE_F32, 0, first, n, p->memory);
#pragma omp parallel for schedule(dynamic)
    for (int64_t row = 0; row < p->b->n; row += ROWS) {
        int64_t rows = min(ROWS, p->b->n - row);
        float *logits = logits_make(p, &panel, row, rows, first);
        for (int64_t i = 0; i < rows; i++) token_add(p->b, row + i, &p->tokens[row + i], logits + i * TILE, first, n);
    }
}

static bool tokens_settle(const Pass *p, Error *err) {
    const HeadBack *b = p->b;
    for (int64_t i = 0; i < b->n; i++) {
        TokenState *s = &p->tokens[i];
        s->log_z = (double)s->max + log(s->sum);
        if (!isfinite(s->log_z))
            return error_set(err, "the model gives logits that are not finite: its weights hold NaN, infinity or "
                                  "values too large");
    }
    return true;
}

// ---- the second pass

// One token's logits in a tile become the gradients at what head_finish took.
static void token_back(const Pass *p, int64_t token, float *logits, int64_t first, int64_t n, float *row_spread) {
    const HeadBack *b = p->b;
    TokenState *s = &p->tokens[token];
    const Head *head = b->head;
    int64_t right = b->labels[token] - first;
    bool here = right >= 0 && right < n;
    float capped[TILE];
    if (head->cap != 0) memcpy(capped, logits, (size_t)n * sizeof *logits);
    if (here) s->nll = s->log_z - (double)logits[right];
    vector_math()->exp_sum(logits, n, (float)s->log_z);
    b->token_spread[token] += vector_back()->spread(logits, row_spread, n);
    if (b->labels[token] < 0) memset(logits, 0, (size_t)n * sizeof *logits);
    if (here) logits[right] -= 1;
    if (head->cap != 0) vector_back()->soft_cap(capped, logits, n, head->cap);
    if (head->scale != 0) vector_math()->scale(logits, n, head->scale);
}

static void tile_back(const Pass *p, int64_t first, int64_t n) {
    const HeadBack *b = p->b;
    const Tensor *weight = b->head->output.weight;
    Panel panel = panel_load(weight, COMPUTE_F32, 0, first, n, p->memory);
    Panel back = panel_load_back(weight, first, n, p->memory_back);
#pragma omp parallel for schedule(dynamic)
    for (int64_t row = 0; row < b->n; row += ROWS) {
        int64_t rows = min(ROWS, b->n - row);
        float *logits = logits_make(p, &panel, row, rows, first), *spread = p->row_spread + row / ROWS * TILE;
        memset(spread, 0, TILE * sizeof *spread);
        for (int64_t i = 0; i < rows; i++) token_back(p, row + i, logits + i * TILE, first, n, spread);
        panel_multiply_back(&back, logits, TILE, rows, b->d + row * panel.cols, first > 0);
    }
    for (int64_t task = 0; task * ROWS < b->n; task++)
        for (int64_t i = 0; i < n; i++) b->row_spread[first + i] += (double)p->row_spread[task * TILE + i];
    tensor_release(weight, first, n);
}

bool head_back(HeadBack *b, Error *err) {
    const Tensor *weight = b->head->output.weight;
    int64_t vocab = tensor_rows(weight), cols = tensor_cols(weight), tasks = (b->n + ROWS - 1) / ROWS;
    Pass p = {.b = b};
    p.memory = mem_alloc(1, panel_bytes(TILE, cols), err);
    p.memory_back = mem_alloc(1, panel_back_bytes(TILE, cols), err);
    p.tokens = mem_alloc((size_t)b->n, sizeof *p.tokens, err);
    p.logits = mem_alloc((size_t)threads_count(), sizeof(float) * ROWS * TILE, err);
    p.row_spread = mem_alloc((size_t)tasks, sizeof(float) * TILE, err);
    bool ok = p.memory && p.memory_back && p.tokens && p.logits && p.row_spread;
    b->nll = 0;
    b->tokens = 0;
    memset(b->token_spread, 0, (size_t)b->n * sizeof *b->token_spread);
    memset(b->row_spread, 0, (size_t)vocab * sizeof *b->row_spread);
    for (int64_t i = 0; ok && i < b->n; i++) p.tokens[i] = (TokenState){.max = -INFINITY};
    for (int64_t first = 0; ok && first < vocab; first += TILE) tile_add(&p, first, min(TILE, vocab - first));
    ok = ok && tokens_settle(&p, err);
    for (int64_t first = 0; ok && first < vocab; first += TILE) tile_back(&p, first, min(TILE, vocab - first));
    for (int64_t i = 0; ok && i < b->n; i++) {
        b->tokens += b->labels[i] >= 0;
        b->nll += p.tokens[i].nll;
    }
    mem_free(p.memory);
    mem_free(p.memory_back);
    mem_free(p.tokens);
    mem_free(p.logits);
    mem_free(p.row_spread);
    return ok;
}
