#include "eval/layer.h"

#include "core/heads.h"
#include "core/mem.h"
#include "quant/kernels/kernels.h"
#include <stdio.h>
#include <string.h>

// "blk.3.attn_q" or, with an ending, "blk.3.attn_q.weight".
typedef struct Name {
    char text[MODEL_NAME];
} Name;

static Name name_of(int64_t layer, const char *rest) {
    Name name;
    snprintf(name.text, sizeof name.text, "blk.%lld.%s", (long long)layer, rest);
    return name;
}

static const Tensor *find(const Model *model, const char *name, const char *ending) {
    char full[MODEL_NAME];
    snprintf(full, sizeof full, "%.200s.%s", name, ending);
    return model_tensor(model, full);
}

static bool missing(const Model *model, const char *name, Error *err) {
    return error_set(err, "%s: there is no tensor %s.weight", model->path, name);
}

bool linear_find(Linear *linear, const Model *model, const char *name, Error *err) {
    const Tensor *weight = find(model, name, "weight");
    if (!weight) return missing(model, name, err);
    return linear_open(linear, weight, find(model, name, "bias"), model->compute, err) ||
           error_prefix(err, "%s", model->path);
}

// ---- norms

static float *ones(int64_t n, Error *err) {
    float *values = mem_alloc((size_t)n, sizeof *values, err);
    for (int64_t i = 0; values && i < n; i++) values[i] = 1;
    return values;
}

bool norm_open(Norm *norm, const Model *model, const char *name, Error *err) {
    const ModelDesc *d = &model->desc;
    const Tensor *weight = find(model, name, "weight"), *bias = find(model, name, "bias");
    *norm = (Norm){.kind = d->norm_kind, .eps = (float)d->norm_eps};
    if (!weight && !d->norm_bare) return missing(model, name, err);
    norm->width = weight ? tensor_elements(weight) : d->dim;
    norm->gain = weight ? vector_load(weight, err) : ones(norm->width, err);
    if (!norm->gain) return false;
    for (int64_t i = 0; weight && d->norm_plus_one && i < norm->width; i++) norm->gain[i] += 1;
    return !bias || (norm->bias = vector_load(bias, err));
}

void norm_close(Norm *norm) {
    mem_free(norm->gain);
    mem_free(norm->bias);
    *norm = (Norm){0};
}

// ---- one layer

static bool open_norms(Layer *l, const Model *m, int64_t i, Error *err) {
    const ModelDesc *d = &m->desc;
    bool before = d->norm_place == NORM_BEFORE || d->norm_place == NORM_AROUND || d->norm_place == NORM_THROUGH;
    bool after = d->norm_place == NORM_AROUND || d->norm_place == NORM_AFTER, sum = d->norm_place == NORM_SUM;
    const struct {
        bool there;
        Norm *norm;
        const char *name;
    } norms[] = {
        {before, &l->attn_norm, "attn_norm"},
        {before && !d->shared_norm, &l->ffn_norm, "ffn_norm"},
        {after, &l->attn_post_norm, "post_attention_norm"},
        {after, &l->ffn_post_norm, "post_ffw_norm"},
        {sum, &l->attn_post_norm, "attn_norm"},
        {sum, &l->ffn_post_norm, "ffn_norm"},
        {d->qk_norm, &l->q_norm, "attn_q_norm"},
        {d->qk_norm, &l->k_norm, "attn_k_norm"},
        {d->latent.query_rank, &l->q_a_norm, "attn_q_a_norm"},
        {d->latent.kv_rank, &l->kv_a_norm, "attn_kv_a_norm"},
    };
    for (size_t k = 0; k < sizeof norms / sizeof *norms; k++)
        if (norms[k].there && !norm_open(norms[k].norm, m, name_of(i, norms[k].name).text, err)) return false;
    if (d->latent.norm_eps != 0) l->q_a_norm.eps = l->kv_a_norm.eps = (float)d->latent.norm_eps;
    return true;
}

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }

static bool join_heads(const Model *m, Layer *l, const Tensor **keys, const Tensor **values, int64_t heads,
                       Error *err) {
    Tensor kv_b;
    for (int64_t h = 0; h < heads; h++)
        if (!tensor_verify(keys[h], err) || !tensor_verify(values[h], err)) return false;
    return heads_join(keys, values, heads, widen, &kv_b, &l->kv_b_heads, err) &&
           linear_open(&l->kv_b, &kv_b, NULL, m->compute, err); // which keeps a copy
}

static bool open_heads(Layer *l, const Model *m, int64_t i, Error *err) {
    int64_t heads = m->desc.heads;
    const Tensor **pairs = mem_alloc(2 * (size_t)heads, sizeof *pairs, err);
    bool ok = pairs;
    for (int64_t h = 0; ok && h < 2 * heads; h++) {
        char rest[64];
        snprintf(rest, sizeof rest, h < heads ? "attn_k_b.%lld" : "attn_v_b.%lld", (long long)(h % heads));
        pairs[h] = find(m, name_of(i, rest).text, "weight");
        ok = pairs[h] || missing(m, name_of(i, rest).text, err);
    }
    ok = ok && (join_heads(m, l, pairs, pairs + heads, heads, err) || error_prefix(err, "%s", m->path));
    mem_free(pairs);
    return ok;
}

static bool open_attention(Layer *l, const Model *m, int64_t i, Error *err) {
    const ModelDesc *d = &m->desc;
    bool latent = d->latent.kv_rank, low = d->latent.query_rank;
    const struct {
        bool there;
        Linear *linear;
        const char *name;
    } linears[] = {
        {!low, &l->q, "attn_q"},
        {!latent, &l->k, "attn_k"},
        {!latent, &l->v, "attn_v"},
        {true, &l->o, "attn_output"},
        {low, &l->q_a, "attn_q_a"},
        {low, &l->q_b, "attn_q_b"},
        {latent, &l->kv_a, "attn_kv_a_mqa"},
        {latent && !d->latent.split, &l->kv_b, "attn_kv_b"},
    };
    for (size_t k = 0; k < sizeof linears / sizeof *linears; k++)
        if (linears[k].there && !linear_find(linears[k].linear, m, name_of(i, linears[k].name).text, err)) return false;
    if (d->latent.split && !open_heads(l, m, i, err)) return false;
    if (!d->sinks) return true;
    const Tensor *sinks = find(m, name_of(i, "attn_sinks").text, "weight");
    if (!sinks) return missing(m, name_of(i, "attn_sinks").text, err);
    return (l->sinks = vector_load(sinks, err));
}

// ending: what comes after "ffn_gate": "", "_shexp", ".7".
static bool open_mlp(Mlp *mlp, const Model *m, int64_t i, const char *ending, Error *err) {
    char gate[64], up[64], down[64];
    snprintf(gate, sizeof gate, "ffn_gate%s", ending);
    snprintf(up, sizeof up, "ffn_up%s", ending);
    snprintf(down, sizeof down, "ffn_down%s", ending);
    return (m->desc.plain_mlp || linear_find(&mlp->gate, m, name_of(i, gate).text, err)) &&
           linear_find(&mlp->up, m, name_of(i, up).text, err) && linear_find(&mlp->down, m, name_of(i, down).text, err);
}

static bool open_experts(Layer *l, const Model *m, int64_t i, Error *err) {
    const Experts *e = &m->desc.experts;
    if (!linear_find(&l->router, m, name_of(i, "ffn_gate_inp").text, err)) return false;
    if (e->correction) {
        const Tensor *correction = find(m, name_of(i, "exp_probs_b").text, "bias");
        if (!correction) return missing(m, name_of(i, "exp_probs_b").text, err);
        if (!(l->correction = vector_load(correction, err))) return false;
    }
    if (e->shared_dim && !open_mlp(&l->mlp, m, i, "_shexp", err)) return false;
    if (e->shared_gate && !linear_find(&l->shared_gate, m, name_of(i, "ffn_gate_inp_shexp").text, err)) return false;
    if (!(l->experts = mem_alloc((size_t)e->count, sizeof *l->experts, err))) return false;
    l->expert_count = e->count;
    for (int64_t k = 0; k < e->count; k++) {
        char ending[32];
        snprintf(ending, sizeof ending, ".%lld", (long long)k);
        if (!open_mlp(&l->experts[k], m, i, ending, err)) return false;
    }
    return true;
}

bool layer_open(Layer *l, const Model *m, int64_t i, Error *err) {
    return open_norms(l, m, i, err) && open_attention(l, m, i, err) &&
           (desc_layer_has_experts(&m->desc, i) ? open_experts(l, m, i, err) : open_mlp(&l->mlp, m, i, "", err));
}

static void mlp_close(Mlp *mlp) {
    linear_close(&mlp->gate);
    linear_close(&mlp->up);
    linear_close(&mlp->down);
}

enum { LINEARS = 13 };

// All but the experts'; those that are not there have no weight.
static void linears_of(Layer *l, Linear *list[LINEARS]) {
    Linear *const all[LINEARS] = {&l->q,        &l->k,      &l->v,          &l->o,        &l->q_a,
                                  &l->q_b,      &l->kv_a,   &l->kv_b,       &l->mlp.gate, &l->mlp.up,
                                  &l->mlp.down, &l->router, &l->shared_gate};
    memcpy(list, all, sizeof all);
}

void layer_close(Layer *l) {
    Norm *const norms[] = {&l->attn_norm, &l->ffn_norm, &l->attn_post_norm, &l->ffn_post_norm,
                           &l->q_norm,    &l->k_norm,   &l->q_a_norm,       &l->kv_a_norm};
    Linear *linears[LINEARS];
    linears_of(l, linears);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) norm_close(norms[i]);
    for (int i = 0; i < LINEARS; i++) linear_close(linears[i]);
    for (int64_t i = 0; i < l->expert_count; i++) mlp_close(&l->experts[i]);
    mem_free(l->experts);
    mem_free(l->kv_b_heads);
    mem_free(l->sinks);
    mem_free(l->correction);
}

bool layer_take(Layer *l, Error *err) {
    Linear *linears[LINEARS];
    linears_of(l, linears);
    for (int i = 0; i < LINEARS; i++)
        if (linears[i]->weight && !linear_take(linears[i], err)) return false;
    return true;
}

void layer_drop(Layer *l) {
    Linear *linears[LINEARS];
    linears_of(l, linears);
    for (int i = 0; i < LINEARS; i++)
        if (linears[i]->weight) linear_drop(linears[i]);
}

void layer_prefetch(Layer *l) {
    Linear *linears[LINEARS];
    linears_of(l, linears);
    for (int i = 0; i < LINEARS; i++)
        if (linears[i]->weight) tensor_prefetch(linears[i]->weight);
}

bool layer_repack(Layer *l, Error *err) {
    Linear *linears[LINEARS];
    linears_of(l, linears);
    for (int i = 0; i < LINEARS; i++)
        if (linears[i]->weight && !linear_repack(linears[i], err)) return false;
    return true;
}

bool mlp_repack(Mlp *mlp, Error *err) {
    return (!mlp->gate.weight || linear_repack(&mlp->gate, err)) && linear_repack(&mlp->up, err) &&
           linear_repack(&mlp->down, err);
}

bool mlp_take(Mlp *mlp, Error *err) {
    return (!mlp->gate.weight || linear_take(&mlp->gate, err)) && linear_take(&mlp->up, err) &&
           linear_take(&mlp->down, err);
}

void mlp_drop(Mlp *mlp) {
    if (mlp->gate.weight) linear_drop(&mlp->gate);
    linear_drop(&mlp->up);
    linear_drop(&mlp->down);
}
