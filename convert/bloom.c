// BLOOM and BLOOMZ: LayerNorm, one of them after the embedding, ALiBi, queries, keys and values in one tensor head by
// head. Source: transformers' models/bloom/modeling_bloom.py.
#include "convert/family.h"

#include "convert/parts.h"

static bool bloom_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    bool residual_is_normed = false;
    desc->ffn_dim = FFN_FOUR_TIMES;
    desc->norm_eps = 1e-5;
    desc->tied = true;
    if (!describe_common(config, desc, err) || !refuse_number(config, "n_embed", (double)desc->dim, err) ||
        !json_bool(config, "apply_residual_connection_post_layernorm", &residual_is_normed, err))
        return false;
    describe_default_ids(config, desc, 1, 2);
    desc->ffn_dim = 4 * desc->dim; // n_inner is not read
    desc->activation = ACT_GELU_TANH;
    desc->norm_kind = NORM_LAYER;
    desc->norm_bias = true;
    if (residual_is_normed) desc->norm_place = NORM_THROUGH;
    desc->embed_norm = true;
    desc->positions = POSITIONS_ALIBI;
    desc->plain_mlp = true;
    desc->qkv_bias = desc->attn_output_bias = desc->mlp_bias = true;
    return true;
}

static const NameMap names[] = {
    {"transformer.word_embeddings.weight", "token_embd.weight"},
    {"transformer.word_embeddings_layernorm.weight", "token_embd_norm.weight"},
    {"transformer.word_embeddings_layernorm.bias", "token_embd_norm.bias"},
    {"transformer.ln_f.weight", "output_norm.weight"},
    {"transformer.ln_f.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
    {"transformer.h.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"transformer.h.#.input_layernorm.bias", "blk.#.attn_norm.bias"},
    {"transformer.h.#.self_attention.query_key_value.weight", "blk.#.attn_q.weight", part_head_q},
    {"transformer.h.#.self_attention.query_key_value.weight", "blk.#.attn_k.weight", part_head_k},
    {"transformer.h.#.self_attention.query_key_value.weight", "blk.#.attn_v.weight", part_head_v},
    {"transformer.h.#.self_attention.query_key_value.bias", "blk.#.attn_q.bias", part_head_q},
    {"transformer.h.#.self_attention.query_key_value.bias", "blk.#.attn_k.bias", part_head_k},
    {"transformer.h.#.self_attention.query_key_value.bias", "blk.#.attn_v.bias", part_head_v},
    {"transformer.h.#.self_attention.dense.weight", "blk.#.attn_output.weight"},
    {"transformer.h.#.self_attention.dense.bias", "blk.#.attn_output.bias"},
    {"transformer.h.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"},
    {"transformer.h.#.post_attention_layernorm.bias", "blk.#.ffn_norm.bias"},
    {"transformer.h.#.mlp.dense_h_to_4h.weight", "blk.#.ffn_up.weight"},
    {"transformer.h.#.mlp.dense_h_to_4h.bias", "blk.#.ffn_up.bias"},
    {"transformer.h.#.mlp.dense_4h_to_h.weight", "blk.#.ffn_down.weight"},
    {"transformer.h.#.mlp.dense_4h_to_h.bias", "blk.#.ffn_down.bias"},
    {0},
};

// BigScience's own checkpoints have no "transformer.".
static const NameStart starts[] = {{"", "transformer."}, {NULL, NULL}};

static const NameMap gguf_names[] = {GGUF_QKV_NAMES, {0}};

static bool settle(const Gguf *g, Model *model, Error *err) {
    (void)g;
    (void)err;
    model->desc.positions = POSITIONS_ALIBI;
    model->desc.rope = (Rope){0};
    return true;
}

static const GgufArch gguf = {
    .name = "bloom", .names = gguf_names, .norm_kind = NORM_LAYER, .activation = ACT_GELU_TANH, .settle = settle};

const Family family_bloom = {
    .name = "bloom",
    .architecture = "BloomForCausalLM",
    .names = names,
    .starts = starts,
    .describe = bloom_describe,
    .gguf = &gguf,
};
