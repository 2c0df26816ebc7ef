// Rows of a NameMap that many families have in common: transformers' names since Llama.
#ifndef CONVERT_NAMES_USUAL_H
#define CONVERT_NAMES_USUAL_H

// clang-format off
#define NAMES_ENDS \
    {"model.embed_tokens.weight", "token_embd.weight"}, \
    {"model.norm.weight", "output_norm.weight"}, \
    {"lm_head.weight", "output.weight"}

#define NAMES_QKV \
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"}, \
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"}, \
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"}, \
    {"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias"}, \
    {"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias"}, \
    {"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias"}

#define NAMES_ATTENTION \
    NAMES_QKV, \
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"}, \
    {"model.layers.#.self_attn.o_proj.bias", "blk.#.attn_output.bias"}

#define NAMES_GATED_MLP \
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"}, \
    {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"}, \
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"}

// Speeds of the rotary positions, which older files carry; they follow from the config.
#define NAMES_SPEEDS \
    {"model.layers.#.self_attn.rotary_emb.inv_freq", NULL}, \
    {"model.rotary_emb.inv_freq", NULL}
// clang-format on

#endif
