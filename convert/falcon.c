// Falcon: LayerNorm, a plain MLP, queries, keys and values in one tensor. 40B and 11B ("new decoder") have grouped
// heads and parallel blocks; 7B one key and value head; those trained on RefinedWeb alone ("rw") ALiBi and serial
// blocks. Source: transformers' models/falcon/modeling_falcon.py. RefinedWeb (40B) and RefinedWebModel (7B, rw) are the
// names and keys of the first downloads, which came with code of their own.
#include "convert/family.h"

#include "convert/parts.h"
#include <math.h>

typedef struct Decoder {
    bool new, multi_query, parallel, alibi, bias;
    int64_t norms; // of parallel blocks; 0: as many as is usual
} Decoder;

static bool read_decoder(const cJSON *config, Decoder *d, Error *err) {
    return json_bool(config, "new_decoder_architecture", &d->new, err) &&
           json_bool(config, "multi_query", &d->multi_query, err) &&
           json_bool(config, "parallel_attn", &d->parallel, err) && json_bool(config, "alibi", &d->alibi, err) &&
           json_bool(config, "bias", &d->bias, err) &&
           json_int(config, "num_ln_in_parallel_attn", 1, 2, &d->norms, err);
}

// Combinations for which transformers has no code.
static bool check_decoder(const Decoder *d, Error *err) {
    if (d->new && !d->parallel)
        return error_set(err, "\"parallel_attn\": false is not supported with \"new_decoder_architecture\"");
    if (!d->new && d->parallel && d->norms == 2)
        return error_set(err, "\"num_ln_in_parallel_attn\": 2 is not supported without \"new_decoder_architecture\"");
    return true;
}

static bool describe_decoder(const cJSON *config, Decoder decoder, ModelDesc *desc, Error *err) {
    desc->ffn_dim = FFN_FOUR_TIMES;
    desc->norm_eps = 1e-5;
    desc->activation = ACT_GELU;
    desc->tied = true;
    if (!describe_common(config, desc, err) || !refuse_number(config, "n_embed", (double)desc->dim, err) ||
        !json_int(config, "n_head_kv", 1, INT32_MAX, &desc->kv_heads, err) || !read_decoder(config, &decoder, err) ||
        !check_decoder(&decoder, err) || !describe_rope(config, desc, err))
        return false;
    describe_default_ids(config, desc, 11, 11);
    if (!decoder.new) desc->kv_heads = decoder.multi_query ? 1 : desc->heads;
    desc->norm_kind = NORM_LAYER;
    desc->norm_bias = true;
    desc->parallel = decoder.parallel;
    desc->shared_norm = decoder.parallel && (!decoder.new || decoder.norms == 1);
    if (decoder.alibi) { // it is added before the scores are scaled
        desc->positions = POSITIONS_ALIBI;
        desc->alibi_bf16 = true;
        desc->alibi_scale = 1 / sqrt((double)desc->head_dim);
    }
    desc->plain_mlp = true;
    desc->qkv_bias = desc->attn_output_bias = desc->mlp_bias = decoder.bias;
    return true;
}

static bool falcon_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    return describe_decoder(config, (Decoder){.multi_query = true, .parallel = true}, desc, err);
}

static bool refined_web_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    return describe_decoder(config, (Decoder){.new = true, .parallel = true}, desc, err);
}

static bool refined_web_model_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    return describe_decoder(config, (Decoder){0}, desc, err);
}

// Parallel blocks with a norm for attention and one for the MLP have names of their own for them.
static bool has_two_norms(const ModelDesc *d) { return d->parallel && !d->shared_norm; }
static bool has_plain_norms(const ModelDesc *d) { return !has_two_norms(d); }

// One key and value head for all queries, or one for each, are groups too: of all heads, of one.
static const NameMap names[] = {
    {"transformer.word_embeddings.weight", "token_embd.weight"},
    {"transformer.ln_f.weight", "output_norm.weight"},
    {"transformer.ln_f.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
    {"transformer.h.#.input_layernorm.weight", "blk.#.attn_norm.weight", .when = has_plain_norms},
    {"transformer.h.#.input_layernorm.bias", "blk.#.attn_norm.bias", .when = has_plain_norms},
    {"transformer.h.#.ln_attn.weight", "blk.#.attn_norm.weight", .when = has_two_norms},
    {"transformer.h.#.ln_attn.bias", "blk.#.attn_norm.bias", .when = has_two_norms},
    {"transformer.h.#.self_attention.query_key_value.weight", "blk.#.attn_q.weight", part_group_q},
    {"transformer.h.#.self_attention.query_key_value.weight", "blk.#.attn_k.weight", part_group_k},
    {"transformer.h.#.self_attention.query_key_value.weight", "blk.#.attn_v.weight", part_group_v},
    {"transformer.h.#.self_attention.query_key_value.bias", "blk.#.attn_q.bias", part_group_q},
    {"transformer.h.#.self_attention.query_key_value.bias", "blk.#.attn_k.bias", part_group_k},
    {"transformer.h.#.self_attention.query_key_value.bias", "blk.#.attn_v.bias", part_group_v},
    {"transformer.h.#.self_attention.dense.weight", "blk.#.attn_output.weight"},
    {"transformer.h.#.self_attention.dense.bias", "blk.#.attn_output.bias"},
    {"transformer.h.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight", .when = has_plain_norms},
    {"transformer.h.#.post_attention_layernorm.bias", "blk.#.ffn_norm.bias", .when = has_plain_norms},
    {"transformer.h.#.ln_mlp.weight", "blk.#.ffn_norm.weight", .when = has_two_norms},
    {"transformer.h.#.ln_mlp.bias", "blk.#.ffn_norm.bias", .when = has_two_norms},
    {"transformer.h.#.mlp.dense_h_to_4h.weight", "blk.#.ffn_up.weight"},
    {"transformer.h.#.mlp.dense_h_to_4h.bias", "blk.#.ffn_up.bias"},
    {"transformer.h.#.mlp.dense_4h_to_h.weight", "blk.#.ffn_down.weight"},
    {"transformer.h.#.mlp.dense_4h_to_h.bias", "blk.#.ffn_down.bias"},
    {0},
};

// Of two norms GGUF's attn_norm is the MLP's.
static const NameMap gguf_names[] = {
    GGUF_QKV_NAMES,
    {"blk.#.attn_norm_2.weight", "blk.#.attn_norm.weight", .when = has_two_norms},
    {"blk.#.attn_norm_2.bias", "blk.#.attn_norm.bias", .when = has_two_norms},
    {"blk.#.attn_norm.weight", "blk.#.ffn_norm.weight", .when = has_two_norms},
    {"blk.#.attn_norm.bias", "blk.#.ffn_norm.bias", .when = has_two_norms},
    {0},
};

// Engines know parallel blocks and rotary positions of whole heads alone, and no biases of linear layers.
static bool settle(const Gguf *g, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    (void)g;
    d->parallel = true;
    d->shared_norm = !model_layer_tensor(model, d->layers - 1, "attn_norm_2.weight");
    if (d->qkv_bias || d->attn_output_bias || d->mlp_bias)
        return error_set(err, "has biases of linear layers, which engines do not know for falcon");
    if (d->rope.dims)
        return error_set(err, "turns %lld dimensions of a head; engines know heads turned as a whole for falcon",
                         (long long)d->rope.dims);
    return gguf_refuse_rope_factors(model, "falcon", err);
}

// Engines compute GELU's tanh form for all; Falcon has the erf form, and that is what a file means which says nothing.
static const GgufArch gguf = {.name = "falcon",
                              .names = gguf_names,
                              .norm_kind = NORM_LAYER,
                              .activation = ACT_GELU,
                              .keys = GGUF_KEY_GELU,
                              .settle = settle};

const Family family_falcon = {
    .name = "falcon",
    .architecture = "FalconForCausalLM",
    .names = names,
    .describe = falcon_describe,
    .gguf = &gguf,
};

const Family family_refined_web = {
    .name = "RefinedWeb",
    .architecture = "RWForCausalLM",
    .names = names,
    .describe = refined_web_describe,
    .gguf = &gguf,
};

const Family family_refined_web_model = {
    .name = "RefinedWebModel",
    .architecture = "RWForCausalLM",
    .names = names,
    .describe = refined_web_model_describe,
    .gguf = &gguf,
};
