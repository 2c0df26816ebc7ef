// Which tensors a description calls for, and whether a model has just those.
#include "formats/model.h"

#include "core/mem.h"
#include <stdio.h>
#include <string.h>

// A tensor's place: outside the layers, in a layer, in an expert or a head of a layer ("%lld" in its name).
typedef enum Scope { MODEL, LAYER, EXPERT, HEAD } Scope;

typedef struct Wanted {
    const char *name; // after "blk.N." for a layer's
    Scope scope;
    int64_t rows; // 0: a vector of `cols`
    int64_t cols;
} Wanted;

enum { WANTED_MAX = 96 };

typedef struct WantedList {
    Wanted items[WANTED_MAX];
    int count;
} WantedList;

static void want(WantedList *list, bool there, const char *name, Scope scope, int64_t rows, int64_t cols) {
    if (there) list->items[list->count++] = (Wanted){name, scope, rows, cols};
}

static void want_ends(WantedList *list, const ModelDesc *d) {
    bool weights = !d->norm_bare, final = d->norm_place != NORM_SUM, bias = d->norm_bias;
    int64_t embed = desc_embed_dim(d), half = desc_rope_dims(d) / 2;
    bool longrope = d->positions == POSITIONS_ROTARY && d->rope.scaling == ROPE_LONGROPE;
    want(list, true, "token_embd.weight", MODEL, d->vocab, embed);
    want(list, d->embed_dim, "embd_in.weight", MODEL, d->dim, embed);
    want(list, d->embed_dim, "embd_out.weight", MODEL, embed, d->dim);
    want(list, d->positions == POSITIONS_LEARNED, "position_embd.weight", MODEL, d->context + d->position_offset,
         d->dim);
    want(list, d->embed_norm && weights, "token_embd_norm.weight", MODEL, 0, d->dim);
    want(list, d->embed_norm && bias, "token_embd_norm.bias", MODEL, 0, d->dim);
    want(list, final && weights, "output_norm.weight", MODEL, 0, d->dim);
    want(list, final && bias, "output_norm.bias", MODEL, 0, d->dim);
    want(list, !d->tied, "output.weight", MODEL, d->vocab, embed);
    want(list, d->head_bias, "output.bias", MODEL, 0, d->vocab);
    want(list, d->positions == POSITIONS_ROTARY && d->rope.scaling == ROPE_FACTORS, "rope_freqs.weight", MODEL, 0,
         half);
    want(list, longrope, "rope_factors_long.weight", MODEL, 0, half);
    want(list, longrope, "rope_factors_short.weight", MODEL, 0, half);
}

static void want_norms(WantedList *list, const ModelDesc *d) {
    bool before = d->norm_place == NORM_BEFORE || d->norm_place == NORM_AROUND || d->norm_place == NORM_THROUGH;
    bool after = d->norm_place == NORM_AROUND || d->norm_place == NORM_AFTER, sum = d->norm_place == NORM_SUM;
    const struct {
        bool there;
        const char *weight, *bias;
    } norms[] = {
        {before || sum, "attn_norm.weight", "attn_norm.bias"},
        {(before || sum) && !d->shared_norm, "ffn_norm.weight", "ffn_norm.bias"},
        {after, "post_attention_norm.weight", "post_attention_norm.bias"},
        {after, "post_ffw_norm.weight", "post_ffw_norm.bias"},
    };
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        want(list, norms[i].there && !d->norm_bare, norms[i].weight, LAYER, 0, d->dim);
        want(list, norms[i].there && d->norm_bias, norms[i].bias, LAYER, 0, d->dim);
    }
}

static void want_latent(WantedList *list, const ModelDesc *d) {
    int64_t rope = desc_rope_dims(d), q = d->heads * d->head_dim, kv = d->latent.kv_rank, low = d->latent.query_rank;
    want(list, !low, "attn_q.weight", LAYER, q, d->dim);
    want(list, low, "attn_q_a.weight", LAYER, low, d->dim);
    want(list, low && d->latent.bias, "attn_q_a.bias", LAYER, 0, low);
    want(list, low, "attn_q_a_norm.weight", LAYER, 0, low);
    want(list, low, "attn_q_b.weight", LAYER, q, low);
    want(list, true, "attn_kv_a_mqa.weight", LAYER, kv + rope, d->dim);
    want(list, d->latent.bias, "attn_kv_a_mqa.bias", LAYER, 0, kv + rope);
    want(list, true, "attn_kv_a_norm.weight", LAYER, 0, kv);
    want(list, !d->latent.split, "attn_kv_b.weight", LAYER, d->heads * (d->head_dim - rope + desc_value_dim(d)), kv);
    want(list, d->latent.split, "attn_k_b.%lld.weight", HEAD, kv, d->head_dim - rope);
    want(list, d->latent.split, "attn_v_b.%lld.weight", HEAD, desc_value_dim(d), kv);
}

static void want_attention(WantedList *list, const ModelDesc *d) {
    int64_t q = d->heads * d->head_dim, k = d->kv_heads * d->head_dim, v = d->kv_heads * desc_value_dim(d);
    bool plain = !d->latent.kv_rank;
    if (!plain) want_latent(list, d);
    want(list, plain, "attn_q.weight", LAYER, q, d->dim);
    want(list, plain, "attn_k.weight", LAYER, k, d->dim);
    want(list, plain, "attn_v.weight", LAYER, v, d->dim);
    want(list, d->qkv_bias, "attn_q.bias", LAYER, 0, q);
    want(list, d->qkv_bias, "attn_k.bias", LAYER, 0, k);
    want(list, d->qkv_bias, "attn_v.bias", LAYER, 0, v);
    want(list, d->qk_norm, "attn_q_norm.weight", LAYER, 0, d->qk_norm == QK_NORM_HEAD ? d->head_dim : q);
    want(list, d->qk_norm, "attn_k_norm.weight", LAYER, 0, d->qk_norm == QK_NORM_HEAD ? d->head_dim : k);
    want(list, d->qk_norm_bias, "attn_q_norm.bias", LAYER, 0, d->head_dim);
    want(list, d->qk_norm_bias, "attn_k_norm.bias", LAYER, 0, d->head_dim);
    want(list, d->sinks, "attn_sinks.weight", LAYER, 0, d->heads);
    want(list, true, "attn_output.weight", LAYER, d->dim, d->heads * desc_value_dim(d));
    want(list, d->attn_output_bias, "attn_output.bias", LAYER, 0, d->dim);
}

static void want_mlp(WantedList *list, const ModelDesc *d) {
    bool gated = !d->plain_mlp;
    want(list, gated, "ffn_gate.weight", LAYER, d->ffn_dim, d->dim);
    want(list, true, "ffn_up.weight", LAYER, d->ffn_dim, d->dim);
    want(list, true, "ffn_down.weight", LAYER, d->dim, d->ffn_dim);
    want(list, gated && d->mlp_bias, "ffn_gate.bias", LAYER, 0, d->ffn_dim);
    want(list, d->mlp_bias, "ffn_up.bias", LAYER, 0, d->ffn_dim);
    want(list, d->mlp_bias, "ffn_down.bias", LAYER, 0, d->dim);
}

static void want_experts(WantedList *list, const ModelDesc *d) {
    const Experts *e = &d->experts;
    bool gated = !d->plain_mlp, shared = e->shared_dim > 0;
    want(list, true, "ffn_gate_inp.weight", LAYER, e->count, d->dim);
    want(list, e->router_bias, "ffn_gate_inp.bias", LAYER, 0, e->count);
    want(list, e->correction, "exp_probs_b.bias", LAYER, 0, e->count);
    want(list, gated, "ffn_gate.%lld.weight", EXPERT, e->ffn_dim, d->dim);
    want(list, true, "ffn_up.%lld.weight", EXPERT, e->ffn_dim, d->dim);
    want(list, true, "ffn_down.%lld.weight", EXPERT, d->dim, e->ffn_dim);
    want(list, gated && e->bias, "ffn_gate.%lld.bias", EXPERT, 0, e->ffn_dim);
    want(list, e->bias, "ffn_up.%lld.bias", EXPERT, 0, e->ffn_dim);
    want(list, e->bias, "ffn_down.%lld.bias", EXPERT, 0, d->dim);
    want(list, shared && gated, "ffn_gate_shexp.weight", LAYER, e->shared_dim, d->dim);
    want(list, shared, "ffn_up_shexp.weight", LAYER, e->shared_dim, d->dim);
    want(list, shared, "ffn_down_shexp.weight", LAYER, d->dim, e->shared_dim);
    want(list, shared && e->shared_gate, "ffn_gate_inp_shexp.weight", LAYER, 1, d->dim);
}

static void want_layer(WantedList *list, const ModelDesc *d, int64_t layer) {
    want_norms(list, d);
    want_attention(list, d);
    if (desc_layer_has_experts(d, layer))
        want_experts(list, d);
    else
        want_mlp(list, d);
}

// Called with each tensor that a description calls for; false ends the walk.
typedef bool Visit(void *context, const char *name, const Wanted *wanted);

static bool walk_list(const ModelDesc *d, const WantedList *list, int64_t layer, Visit *visit, void *context) {
    char name[MODEL_NAME], rest[64];
    for (int i = 0; i < list->count; i++) {
        const Wanted *w = &list->items[i];
        const char *dot = strchr(w->name, '%');
        int64_t count = w->scope == EXPERT ? d->experts.count : w->scope == HEAD ? d->heads : 1;
        for (int64_t k = 0; k < count; k++) {
            if (dot)
                snprintf(rest, sizeof rest, "%.*s%lld%s", (int)(dot - w->name), w->name, (long long)k,
                         dot + strlen("%lld"));
            if (w->scope == MODEL)
                snprintf(name, sizeof name, "%s", w->name);
            else
                snprintf(name, sizeof name, "blk.%lld.%s", (long long)layer, dot ? rest : w->name);
            if (!visit(context, name, w)) return false;
        }
    }
    return true;
}

static bool walk(const ModelDesc *d, Visit *visit, void *context) {
    WantedList list = {.count = 0};
    want_ends(&list, d);
    bool on = walk_list(d, &list, 0, visit, context);
    for (int64_t layer = 0; on && layer < d->layers; layer++) {
        list.count = 0;
        want_layer(&list, d, layer);
        on = walk_list(d, &list, layer, visit, context);
    }
    return on;
}

typedef struct Search {
    const Model *model;
    char *name;
} Search;

static bool is_there(void *context, const char *name, const Wanted *w) {
    const Search *s = context;
    (void)w;
    if (model_tensor(s->model, name)) return true;
    snprintf(s->name, MODEL_NAME, "%s", name);
    return false;
}

bool model_missing(const Model *model, char name[MODEL_NAME]) {
    Search search = {model, name};
    return !walk(&model->desc, is_there, &search);
}

static bool shape_fits(const Wanted *w, const Tensor *t) {
    if (!w->rows) return t->dims == 1 && t->shape[0] == w->cols;
    return t->dims == 2 && t->shape[0] == w->rows && t->shape[1] == w->cols;
}

typedef struct Check {
    const Model *model;
    bool *known; // which of its tensors are called for
    Error *err;
} Check;

static bool check_one(void *context, const char *name, const Wanted *w) {
    const Check *c = context;
    const Tensor *t = model_tensor(c->model, name);
    char found[96], called[96];
    c->known[t - c->model->tensors] = true;
    if (shape_fits(w, t)) return true;
    Tensor like = {.dims = w->rows ? 2 : 1, .shape = {w->rows ? w->rows : w->cols, w->cols}};
    return error_set(c->err, "%s: tensor %s has shape %s where the config calls for %s", c->model->path,
                     tensor_label(t), tensor_shape_text(t, found), tensor_shape_text(&like, called));
}

bool model_check(const Model *model, Error *err) {
    char name[MODEL_NAME];
    if (!model_desc_check(&model->desc, err)) return error_prefix(err, "%s", model->path);
    if (model_missing(model, name)) return error_set(err, "%s: tensor %s is missing", model->path, name);

    Check check = {model, mem_alloc(model->tensor_count, sizeof(bool), err), err};
    bool ok = check.known && walk(&model->desc, check_one, &check);
    for (size_t i = 0; ok && i < model->tensor_count; i++)
        if (!check.known[i]) {
            const Tensor *t = &model->tensors[i];
            ok = error_set(err, "%s: tensor %s is none that the config calls for", model->path, tensor_label(t));
        }
    mem_free(check.known);
    return ok;
}
