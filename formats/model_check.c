// Which tensors a description calls for, and whether a model has just those.
#include "formats/model.h"

#include "core/mem.h"
#include <stdio.h>
#include <string.h>

typedef struct Wanted {
    const char *name; // after "blk.N." for a layer's
    bool layer;
    int64_t rows; // 0: a vector of `cols`
    int64_t cols;
} Wanted;

enum { WANTED_MAX = 32 };

// The tensors outside the layers, and those of one layer.
static int wanted_list(const ModelDesc *d, Wanted out[WANTED_MAX]) {
    int64_t q = d->heads * d->head_dim, kv = d->kv_heads * d->head_dim;
    const struct {
        Wanted tensor;
        bool there;
    } all[] = {
        {{"token_embd.weight", false, d->vocab, d->dim}, true},
        {{"output_norm.weight", false, 0, d->dim}, true},
        {{"output.weight", false, d->vocab, d->dim}, !d->tied},
        {{"rope_freqs.weight", false, 0, d->head_dim / 2}, d->rope.scaling == ROPE_FACTORS},
        {{"attn_norm.weight", true, 0, d->dim}, true},
        {{"attn_q.weight", true, q, d->dim}, true},
        {{"attn_k.weight", true, kv, d->dim}, true},
        {{"attn_v.weight", true, kv, d->dim}, true},
        {{"attn_output.weight", true, d->dim, q}, true},
        {{"attn_q.bias", true, 0, q}, d->qkv_bias},
        {{"attn_k.bias", true, 0, kv}, d->qkv_bias},
        {{"attn_v.bias", true, 0, kv}, d->qkv_bias},
        {{"attn_output.bias", true, 0, d->dim}, d->attn_output_bias},
        {{"ffn_norm.weight", true, 0, d->dim}, true},
        {{"ffn_gate.weight", true, d->ffn_dim, d->dim}, true},
        {{"ffn_up.weight", true, d->ffn_dim, d->dim}, true},
        {{"ffn_down.weight", true, d->dim, d->ffn_dim}, true},
        {{"ffn_gate.bias", true, 0, d->ffn_dim}, d->mlp_bias},
        {{"ffn_up.bias", true, 0, d->ffn_dim}, d->mlp_bias},
        {{"ffn_down.bias", true, 0, d->dim}, d->mlp_bias},
    };
    int n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].there) out[n++] = all[i].tensor;
    return n;
}

static void wanted_name(const Wanted *w, int64_t layer, char name[MODEL_NAME]) {
    if (w->layer)
        snprintf(name, MODEL_NAME, "blk.%lld.%s", (long long)layer, w->name);
    else
        snprintf(name, MODEL_NAME, "%s", w->name);
}

bool model_missing(const Model *model, char name[MODEL_NAME]) {
    Wanted list[WANTED_MAX];
    int n = wanted_list(&model->desc, list);
    for (int64_t layer = 0; layer < model->desc.layers; layer++)
        for (int i = 0; i < n; i++) {
            if (!list[i].layer && layer > 0) continue;
            wanted_name(&list[i], layer, name);
            if (!model_tensor(model, name)) return true;
        }
    return false;
}

static bool shape_fits(const Wanted *w, const Tensor *t) {
    if (!w->rows) return t->dims == 1 && t->shape[0] == w->cols;
    return t->dims == 2 && t->shape[0] == w->rows && t->shape[1] == w->cols;
}

static bool check_shape(const Model *model, const Wanted *w, const Tensor *t, Error *err) {
    if (shape_fits(w, t)) return true;
    char found[96], called[96];
    Tensor like = {.dims = w->rows ? 2 : 1, .shape = {w->rows ? w->rows : w->cols, w->cols}};
    return error_set(err, "%s: tensor %s has shape %s where the config calls for %s", model->path, tensor_label(t),
                     tensor_shape_text(t, found), tensor_shape_text(&like, called));
}

bool model_check(const Model *model, Error *err) {
    char name[MODEL_NAME];
    if (!model_desc_check(&model->desc, err)) return error_prefix(err, "%s", model->path);
    if (model_missing(model, name)) return error_set(err, "%s: tensor %s is missing", model->path, name);

    Wanted list[WANTED_MAX];
    int n = wanted_list(&model->desc, list);
    bool *known = mem_alloc(model->tensor_count, sizeof *known, err), ok = known != NULL;
    for (int64_t layer = 0; ok && layer < model->desc.layers; layer++)
        for (int i = 0; ok && i < n; i++) {
            if (!list[i].layer && layer > 0) continue;
            wanted_name(&list[i], layer, name);
            const Tensor *t = model_tensor(model, name);
            known[t - model->tensors] = true;
            ok = check_shape(model, &list[i], t, err);
        }
    for (size_t i = 0; ok && i < model->tensor_count; i++)
        if (!known[i]) {
            const Tensor *t = &model->tensors[i];
            ok = error_set(err, "%s: tensor %s is none that the config calls for", model->path, tensor_label(t));
        }
    mem_free(known);
    return ok;
}
