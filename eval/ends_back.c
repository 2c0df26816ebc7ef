#include "eval/ends_back.h"

#include "core/mem.h"
#include "eval/block_back.h"
#include <string.h>

bool ends_back_init(EndsBack *e, const Transformer *t, void *panel, Watch *watch, Error *err) {
    const ModelDesc *d = t->desc;
    size_t n = (size_t)t->chunk;
    *e = (EndsBack){.panel = panel, .watch = watch};
    return (e->normed = mem_alloc(n, sizeof(float) * (size_t)d->dim, err)) &&
           (!d->embed_dim || (e->rows = mem_alloc(n, sizeof(float) * (size_t)d->embed_dim, err)));
}

void ends_back_free(EndsBack *e) {
    mem_free(e->normed);
    mem_free(e->rows);
    *e = (EndsBack){0};
}

void ends_final(EndsBack *e, Transformer *t, const float *x, int64_t n, float *hidden) {
    const ModelDesc *d = t->desc;
    float *normed = d->embed_dim ? e->normed : hidden;
    if (d->norm_place != NORM_SUM)
        normalize(t, &t->output_norm, x, n, d->dim, normed);
    else
        memcpy(normed, x, (size_t)(n * d->dim) * sizeof *x);
    if (!d->embed_dim) return;
    if (!e->panel) watch_linear(e->watch, &t->embed_out, normed, NULL, n);
    linear_apply(&t->embed_out, normed, n, hidden, false, t->panel);
}

void ends_final_back(EndsBack *e, Transformer *t, const float *x, int64_t n, const float *d_hidden, float *d) {
    const ModelDesc *desc = t->desc;
    const float *d_normed = d_hidden;
    if (desc->embed_dim) {
        watch_linear(e->watch, &t->embed_out, e->normed, d_hidden, n);
        linear_apply_back(&t->embed_out, d_hidden, n, e->normed, false, e->panel);
        d_normed = e->normed;
    }
    if (desc->norm_place != NORM_SUM)
        normalize_back(&t->output_norm, x, n, desc->dim, d_normed, d, false);
    else
        memcpy(d, d_normed, (size_t)(n * desc->dim) * sizeof *d);
}

// What the norm after the embedding takes, in e->normed.
static void embedding_again(EndsBack *e, Transformer *t, const int32_t *ids, const Chunk *c) {
    const ModelDesc *d = t->desc;
    embedding_rows(t, ids, c->tokens, d->embed_dim ? e->rows : e->normed);
    if (d->embed_dim) linear_apply(&t->embed_in, e->rows, c->tokens, e->normed, false, t->panel);
    for (size_t s = 0; s < c->count; s++)
        for (int64_t i = 0; i < c->spans[s].length; i++)
            embedding_place(t, i, e->normed + (c->spans[s].start - c->first + i) * d->dim);
}

const float *ends_embedding_back(EndsBack *e, Transformer *t, const int32_t *ids, const Chunk *c, float *d) {
    const ModelDesc *desc = t->desc;
    int64_t n = c->tokens;
    if (desc->embed_norm) {
        embedding_again(e, t, ids, c);
        normalize_back(&t->embed_norm, e->normed, n, desc->dim, d, d, false);
    }
    if (desc->embed_scale != 0) t->math->scale(d, n * desc->dim, (float)desc->embed_scale);
    if (!desc->embed_dim) return d;
    embedding_rows(t, ids, n, e->rows);
    watch_linear(e->watch, &t->embed_in, e->rows, d, n);
    linear_apply_back(&t->embed_in, d, n, e->rows, false, e->panel);
    return e->rows;
}
