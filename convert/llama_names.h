// Tensor names that many families have taken over from Llama, as entries of a NameMap.
#ifndef CONVERT_LLAMA_NAMES_H
#define CONVERT_LLAMA_NAMES_H

// Outside the layers; and the angular speeds that old conversions saved.
#define LLAMA_END_NAMES                                                                                                \
    {"model.embed_tokens.weight", "token_embd.weight"}, {"model.norm.weight", "output_norm.weight"},                   \
        {"lm_head.weight", "output.weight"}, {"model.layers.#.self_attn.rotary_emb.inv_freq", NULL}, {                 \
        "model.rotary_emb.inv_freq", NULL                                                                              \
    }

#define LLAMA_NORM_NAMES                                                                                               \
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"}, {                                             \
        "model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"                                      \
    }

#define LLAMA_ATTENTION_NAMES                                                                                          \
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},                                                 \
        {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},                                             \
        {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},                                             \
        {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},                                        \
        {"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias"},                                                 \
        {"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias"},                                                 \
        {"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias"}, {                                               \
        "model.layers.#.self_attn.o_proj.bias", "blk.#.attn_output.bias"                                               \
    }

// Norms of queries and keys: Qwen 3, OLMo 2.
#define LLAMA_QK_NORM_NAMES                                                                                            \
    {"model.layers.#.self_attn.q_norm.weight", "blk.#.attn_q_norm.weight"}, {                                          \
        "model.layers.#.self_attn.k_norm.weight", "blk.#.attn_k_norm.weight"                                           \
    }

#define LLAMA_MLP_NAMES                                                                                                \
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"},                                                  \
        {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"},                                                  \
        {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},                                              \
        {"model.layers.#.mlp.gate_proj.bias", "blk.#.ffn_gate.bias"},                                                  \
        {"model.layers.#.mlp.up_proj.bias", "blk.#.ffn_up.bias"}, {                                                    \
        "model.layers.#.mlp.down_proj.bias", "blk.#.ffn_down.bias"                                                     \
    }

// Checkpoints of the bare model have no "model.".
#define LLAMA_STARTS                                                                                                   \
    { "", "model." }

// GGUF's stacks of experts.
#define GGUF_EXPERT_NAMES                                                                                              \
    {"blk.#.ffn_gate_exps.weight", "blk.#.ffn_gate.#.weight"}, {"blk.#.ffn_up_exps.weight", "blk.#.ffn_up.#.weight"},  \
    {                                                                                                                  \
        "blk.#.ffn_down_exps.weight", "blk.#.ffn_down.#.weight"                                                        \
    }

// Llama's architecture in GGUF, which Mistral and Mixtral share.
extern const GgufArch gguf_llama;

#endif
