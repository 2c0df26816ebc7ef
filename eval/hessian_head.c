#include "eval/hessian_head.h"

#include "core/mem.h"
#include "eval/vector_squares.h"
#include <string.h>

void hessian_head_init(HessianHead *hh, StatsKind kind, double logit_scale) {
    *hh = (HessianHead){.kind = kind, .logit_scale = logit_scale != 0 ? logit_scale : 1};
}

void hessian_head_close(HessianHead *hh) {
    mem_free(hh->squares);
    mem_free(hh->h);
    mem_free(hh->row_spread);
    mem_free(hh->g);
    mem_free(hh->row_squares);
    *hh = (HessianHead){0};
}

static bool head_open(HessianHead *hh, const Tensor *weight, Error *err) {
    size_t width = (size_t)tensor_cols(weight), vocab = (size_t)tensor_rows(weight);
    hh->head = weight;
    return (hh->squares = mem_alloc(width, sizeof *hh->squares, err)) &&
           (hh->kind == STATS_IMPORTANCE || (hh->h = mem_alloc(width, width * sizeof *hh->h, err))) &&
           (hh->kind != STATS_FISHER || (hh->row_spread = mem_alloc(vocab, sizeof *hh->row_spread, err)));
}

bool hessian_head_add(HessianHead *hh, const HeadSeen *s, HessianWork *work, Error *err) {
    int64_t width = tensor_cols(s->weight), vocab = tensor_rows(s->weight);
    if (!hh->head && !head_open(hh, s->weight, err)) return false;
    if (hh->kind == STATS_FISHER && !(s->token_spread && s->row_spread))
        return error_set(err, "tensor %s: there are no gradients of it", tensor_label(s->weight));
    hh->head_tokens += (double)s->n;
    squares_add(hh->squares, s->hidden, s->n, width);
    for (int64_t v = 0; hh->row_spread && v < vocab; v++) hh->row_spread[v] += s->row_spread[v];
    const float *weight = hh->kind == STATS_FISHER ? s->token_spread : NULL;
    return !hh->h || gram_add(&work->gram, s->hidden, s->n, width, weight, hh->h, err);
}

bool hessian_embedding_add(HessianHead *hh, const EmbeddingSeen *s, HessianWork *work, Error *err) {
    size_t width = (size_t)tensor_cols(s->weight), vocab = (size_t)tensor_rows(s->weight);
    if (!hh->embedding) {
        hh->embedding = s->weight;
        if (!(hh->g = mem_alloc(width, width * sizeof *hh->g, err)) ||
            !(hh->row_squares = mem_alloc(vocab, sizeof *hh->row_squares, err)))
            return false;
    }
    hh->embedding_tokens += (double)s->n;
    for (int64_t t = 0; t < s->n; t++)
        hh->row_squares[s->ids[t]] +=
            (double)vector_squares()->sum(NULL, s->gradient + (size_t)t * width, (int64_t)width);
    return gram_add(&work->gram, s->gradient, s->n, (int64_t)width, NULL, hh->g, err);
}

static double trace(const float *h, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)h[i * n + i];
    return sum;
}

// rho += share * values / their sum
static void add_share(float *rho, const double *values, int64_t n, double share) {
    double sum = 0;
    for (int64_t v = 0; v < n; v++) sum += values[v];
    for (int64_t v = 0; sum > 0 && v < n; v++) rho[v] += (float)(share * values[v] / sum);
}

static void entry_start(StatsTensor *e, const Tensor *weight, double tokens) {
    *e =
        (StatsTensor){.name = weight->name, .rows = tensor_rows(weight), .cols = tensor_cols(weight), .tokens = tokens};
    stats_no_losses(e->loss);
}

static bool finish_head(HessianHead *hh, StatsTensor *e, Error *err) {
    bool tied = hh->g && hh->embedding && strcmp(hh->embedding->name, hh->head->name) == 0;
    entry_start(e, hh->head, hh->head_tokens);
    e->importance = mean_of(hh->squares, e->cols, hh->head_tokens, err);
    if (!e->importance) return false;
    if (hh->row_spread) {
        e->row_weights = mem_alloc((size_t)e->rows, sizeof *e->row_weights, err);
        if (!e->row_weights) return false;
        double of_head = trace(hh->h, e->cols), of_embedding = tied ? trace(hh->g, e->cols) : 0;
        double all = of_head + of_embedding;
        add_share(e->row_weights, hh->row_spread, e->rows, all > 0 ? of_head / all : 1);
        if (tied) {
            add_share(e->row_weights, hh->row_squares, e->rows, all > 0 ? of_embedding / all : 0);
            gram_sum(hh->h, hh->g, e->cols);
        }
    }
    e->hessian = hh->h;
    e->has_hessian = hh->h;
    hh->h = NULL;
    if (tied) hh->embedding = NULL; // it is done with
    return true;
}

static bool finish_embedding(HessianHead *hh, StatsTensor *e, Error *err) {
    entry_start(e, hh->embedding, hh->embedding_tokens);
    e->importance = mem_alloc((size_t)e->cols, sizeof *e->importance, err);
    e->row_weights = e->importance ? mem_alloc((size_t)e->rows, sizeof *e->row_weights, err) : NULL;
    if (!e->row_weights) return false;
    for (int64_t j = 0; j < e->cols; j++) e->importance[j] = hh->g[j * e->cols + j];
    add_share(e->row_weights, hh->row_squares, e->rows, 1);
    e->hessian = hh->g;
    e->has_hessian = true;
    hh->g = NULL;
    return true;
}

bool hessian_head_finish(HessianHead *hh, double tokens, StatsTensor entries[2], int *count, Error *err) {
    bool ok = true;
    float c2 = (float)(hh->kind == STATS_FISHER ? hh->logit_scale * hh->logit_scale : 1);
    *count = 0;
    if (hh->h) gram_finish(hh->h, tensor_cols(hh->head), c2 / (float)tokens);
    if (hh->g) gram_finish(hh->g, tensor_cols(hh->embedding), 1 / (float)tokens);
    if (hh->head) {
        ok = finish_head(hh, &entries[0], err);
        ++*count;
    }
    if (ok && hh->embedding) {
        ok = finish_embedding(hh, &entries[*count], err);
        ++*count;
    }
    for (int i = 0; i < *count; i++) {
        // What was summed in upper triangles is whole.
        if (ok && entries[i].hessian) gram_finish(entries[i].hessian, entries[i].cols, 1);
        if (!ok) hessian_entry_free(&entries[i]);
    }
    return ok;
}
