"""The configurations of scripts/make_family_goldens.py: CASES[name] is a dict of
    config     config.json, in any spelling that transformers reads
    as_given   the golden keeps that spelling (downloads have older ones); else it is as transformers writes it
    rename     [(pattern, replacement)]: tensors' names as downloads have them
    extra      {name: shape}: tensors in downloads that no model uses
    scales     {pattern: (scale, offset)}: instead of what the script chooses by name
    embedding  scale of the embedding
    lengths    of the sequences
    seed       1
Sizes: a width of 48 to 96, 2 to 6 layers, a vocabulary of about 100; every window is shorter than the sequences."""

CASES = {}


def case(name, config, **rest):
    assert name not in CASES
    CASES[name] = {"config": config, **rest}


def decoder(model_type, architecture, changes, **common):
    """What configs of most families have in common, then of one family, then one case; None leaves a key out."""
    config = {
        "architectures": [architecture], "model_type": model_type, "vocab_size": 112, "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        "tie_word_embeddings": False,
    }
    return {key: value for key, value in (config | common | changes).items() if value is not None}


# ---- GPT-2. Downloads lack "transformer." and carry the causal mask (h.N.attn.bias).

def gpt2(**changes):
    return {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 112, "n_positions": 128,
            "n_ctx": 128, "n_embd": 48, "n_layer": 3, "n_head": 4, "layer_norm_epsilon": 1e-5,
            "activation_function": "gelu_new", "bos_token_id": 111, "eos_token_id": 111} | changes


case("gpt2", gpt2())
case("gpt2-hub", gpt2(n_head=3), as_given=True, rename=[(r"^transformer\.", "")],
     extra={f"h.{i}.attn.bias": [1, 1, 128, 128] for i in range(3)})
# an MLP of another width, scores divided by the layer's number, unscaled scores, another activation, an own head
case("gpt2-inverse-layer", gpt2(n_inner=72, scale_attn_by_inverse_layer_idx=True, activation_function="relu",
                                layer_norm_epsilon=0.02))
case("gpt2-unscaled-untied", gpt2(scale_attn_weights=False, tie_word_embeddings=False, activation_function="gelu"),
     scales={"c_attn.weight": (0.15, 0.0)})

# ---- LLaMA

def llama(**changes):
    return decoder("llama", "LlamaForCausalLM", changes)


case("llama", llama(rms_norm_eps=0.02))
case("llama-biases-odd-heads", llama(num_attention_heads=3, num_key_value_heads=3, hidden_size=60, attention_bias=True,
                                     mlp_bias=True, rms_norm_eps=1e-5))
case("llama-llama3-tied", llama(tie_word_embeddings=True, num_attention_heads=6, hidden_size=72, head_dim=16,
                                rope_theta=500000.0, max_position_embeddings=512,
                                rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                              "high_freq_factor": 4.0, "original_max_position_embeddings": 48}),
     as_given=True)
# Llama 1's conversions carry the angular speeds
case("llama-inv-freq", llama(num_key_value_heads=None, rms_norm_eps=1e-6), as_given=True,
     extra={f"model.layers.{i}.self_attn.rotary_emb.inv_freq": [8] for i in range(3)})

# ---- BLOOM. Downloads lack "transformer." and spell the config in older words.

def bloom(**changes):
    return {"architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 112, "hidden_size": 64,
            "n_layer": 3, "n_head": 4, "layer_norm_epsilon": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
            "pad_token_id": 3} | changes


case("bloom", bloom())
case("bloom-3-heads-hub", {"architectures": ["BloomModel"], "model_type": "bloom", "vocab_size": 112, "n_embed": 48,
                           "n_layer": 3, "num_attention_heads": 3, "layer_norm_epsilon": 1e-5, "bos_token_id": 1,
                           "eos_token_id": 2, "unk_token_id": 0, "pad_token_id": 3, "offset_alibi": 100,
                           "seq_length": 2048, "skip_bias_add": True, "skip_bias_add_qkv": False,
                           "attention_softmax_in_fp32": True, "masked_softmax_fusion": True,
                           "bias_dropout_fusion": True, "pretraining_tp": 2, "attention_dropout": 0.0,
                           "hidden_dropout": 0.0, "use_cache": True, "initializer_range": 0.02},
     as_given=True, rename=[(r"^transformer\.", "")])
case("bloom-6-heads-residual", bloom(n_head=6, hidden_size=72, apply_residual_connection_post_layernorm=True,
                                   layer_norm_epsilon=0.02))
case("bloom-untied", bloom(n_head=5, hidden_size=80, tie_word_embeddings=False))

# ---- Mistral, Mixtral

def mistral(**changes):
    return decoder("mistral", "MistralForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-5)


case("mistral-window", mistral(sliding_window=20, rms_norm_eps=0.02))
case("mistral-head-dim-hub", mistral(head_dim=24, rope_theta=1e6, num_key_value_heads=1) | {"sliding_window": None},
     as_given=True)
case("mistral-window-tied", mistral(sliding_window=33, tie_word_embeddings=True, num_attention_heads=3, hidden_size=48,
                                    num_key_value_heads=3))


def mixtral(**changes):
    return decoder("mixtral", "MixtralForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-5, rope_theta=1e6,
                   num_local_experts=6, num_experts_per_tok=2, output_router_logits=False)


case("mixtral", mixtral(rms_norm_eps=0.02))
case("mixtral-window-3-of-5-hub", mixtral(sliding_window=24, head_dim=12, num_local_experts=5,
                                          num_experts_per_tok=3), as_given=True)

# ---- Qwen

def qwen2(**changes):
    return decoder("qwen2", "Qwen2ForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-6)


case("qwen2-hub", qwen2(use_sliding_window=False, sliding_window=32, max_window_layers=1, rope_theta=1e6),
     as_given=True)
case("qwen2-tied", qwen2(tie_word_embeddings=True, num_attention_heads=6, hidden_size=72, num_key_value_heads=2,
                         rms_norm_eps=0.02))
case("qwen2-window", qwen2(use_sliding_window=True, sliding_window=17, max_window_layers=2, num_hidden_layers=4,
                           num_key_value_heads=1))
case("qwen2-window-hub", qwen2(use_sliding_window=True, sliding_window=25, max_window_layers=1, num_hidden_layers=3),
     as_given=True)


def qwen3(**changes):
    return decoder("qwen3", "Qwen3ForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-6)


case("qwen3-hub", qwen3(head_dim=24, rope_theta=1e6, use_sliding_window=False, sliding_window=None,
                        max_window_layers=3, attention_bias=False), as_given=True)
case("qwen3-tied-bias-window", qwen3(head_dim=16, tie_word_embeddings=True, attention_bias=True,
                                     use_sliding_window=True, sliding_window=19, max_window_layers=1, rms_norm_eps=0.05))


def qwen3_moe(**changes):
    return decoder("qwen3_moe", "Qwen3MoeForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-6, head_dim=16,
                   moe_intermediate_size=40, num_experts_per_tok=3)


case("qwen3moe-hub", qwen3_moe(num_experts=8, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[],
                               rope_theta=1e6), as_given=True)
case("qwen3moe-no-norm-mlp-layer", qwen3_moe(num_experts=6, norm_topk_prob=False, mlp_only_layers=[1],
                                             tie_word_embeddings=True, rms_norm_eps=0.05))
case("qwen3moe-sparse-step", qwen3_moe(num_experts=5, norm_topk_prob=True, decoder_sparse_step=2, num_hidden_layers=4,
                                       attention_bias=True, num_key_value_heads=4))
case("qwen3moe-window", qwen3_moe(num_experts=6, norm_topk_prob=True, use_sliding_window=True, sliding_window=21,
                                  max_window_layers=1))

# ---- Gemma. The embedding is multiplied by sqrt(width).

def gemma(n, architecture, **changes):
    return decoder(n, architecture, changes, tie_word_embeddings=True, head_dim=24, bos_token_id=2, eos_token_id=1,
                   rms_norm_eps=1e-6)


case("gemma-hub", gemma("gemma", "GemmaForCausalLM", hidden_act="gelu", hidden_activation=None,
                        num_key_value_heads=1, tie_word_embeddings=None, rope_theta=10000.0), embedding=0.5,
     as_given=True)
case("gemma-as-many-kv-heads", gemma("gemma", "GemmaForCausalLM", num_key_value_heads=4, head_dim=16,
                                      rms_norm_eps=0.3), embedding=0.5)

GEMMA2 = {"query_pre_attn_scalar": 18, "sliding_window": 20, "num_hidden_layers": 4,
          "hidden_activation": "gelu_pytorch_tanh"}
case("gemma2", gemma("gemma2", "Gemma2ForCausalLM", **GEMMA2, attn_logit_softcapping=3.0, final_logit_softcapping=6.0,
                      rms_norm_eps=0.3),
     embedding=0.5)
case("gemma2-hub", gemma("gemma2", "Gemma2ForCausalLM", **GEMMA2, attn_logit_softcapping=50.0, head_dim=16,
                         final_logit_softcapping=30.0, hidden_act="gelu_pytorch_tanh", cache_implementation="hybrid",
                         tie_word_embeddings=None, rope_theta=10000.0, num_key_value_heads=4) | {"sliding_window": 33},
     embedding=0.5, as_given=True)

GEMMA3 = {"query_pre_attn_scalar": 20, "sliding_window": 18, "num_hidden_layers": 5,
          "hidden_activation": "gelu_pytorch_tanh"}
case("gemma3", gemma("gemma3_text", "Gemma3ForCausalLM", **GEMMA3, layer_types=[
    "sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    rms_norm_eps=0.3), embedding=0.5)
case("gemma3-hub", gemma("gemma3_text", "Gemma3ForCausalLM", **GEMMA3, rope_theta=1e6, rope_local_base_freq=1000.0,
                         sliding_window_pattern=3, attn_logit_softcapping=None, final_logit_softcapping=None,
                         tie_word_embeddings=None, num_key_value_heads=1, attention_bias=False,
                         rope_scaling={"factor": 8.0, "rope_type": "linear"}), embedding=0.5, as_given=True)
# seven layers with the default pattern of six
case("gemma3-default-pattern", gemma("gemma3_text", "Gemma3ForCausalLM", **GEMMA3 | {"num_hidden_layers": 7}),
     embedding=0.5)

# Gemma 3 with images, as the larger ones are: the text model's config and names are nested. "vision_model." is in the
# names of downloads alone.
case("gemma3-images-hub", {
    "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "boi_token_index": 255999,
    "eoi_token_index": 256000, "image_token_index": 262144, "mm_tokens_per_image": 1, "eos_token_id": [1, 106],
    "text_config": {"model_type": "gemma3_text", "vocab_size": 112, "hidden_size": 64, "intermediate_size": 96,
                    "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
                    "query_pre_attn_scalar": 12, "sliding_window": 22, "max_position_embeddings": 1024,
                    "rope_scaling": {"factor": 8.0, "rope_type": "linear"}},
    "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 16,
                      "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
                      "vision_use_head": False}},
     embedding=0.5, as_given=True, rename=[(r"^vision_tower\.", "vision_tower.vision_model.")])

# ---- Phi

def phi(**changes):
    return decoder("phi", "PhiForCausalLM", changes, num_key_value_heads=None, hidden_act="gelu_new",
                   layer_norm_eps=1e-5)


case("phi2-hub", phi(partial_rotary_factor=0.5, rope_theta=10000.0, qk_layernorm=False), as_given=True)
case("phi2-partial", phi(partial_rotary_factor=0.25, num_attention_heads=3, hidden_size=72, layer_norm_eps=0.02))
case("phi2-qk-norm-grouped", phi(qk_layernorm=True, layer_norm_eps=0.05, partial_rotary_factor=0.5, num_key_value_heads=2))


def phi3(**changes):
    return decoder("phi3", "Phi3ForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-5)


case("phi3-hub", phi3(sliding_window=23, rope_scaling=None, rope_theta=10000.0, num_key_value_heads=4,
                      original_max_position_embeddings=256), as_given=True)
SHORT = [1.0, 1.02, 1.05, 1.1, 1.2, 1.35, 1.6, 2.0]
LONG = [1.1, 1.3, 1.8, 2.5, 4.0, 7.0, 12.0, 20.0]
# sequences on both sides of the original context of 64
case("phi3-longrope-hub", phi3(original_max_position_embeddings=64, rope_theta=10000.0,
                               rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": LONG}),
     as_given=True, lengths=(64, 40, 90, 65))
case("phi3-mini4-hub", phi3(tie_word_embeddings=True, partial_rotary_factor=0.75, sliding_window=200,
                            original_max_position_embeddings=48, rope_theta=10000.0, num_attention_heads=4,
                            rope_scaling={"type": "longrope", "short_factor": SHORT[:6], "long_factor": LONG[2:]}),
     as_given=True, lengths=(48, 30, 80))
case("phi3-longrope-new", phi3(original_max_position_embeddings=50, partial_rotary_factor=0.5, sliding_window=30,
                               rms_norm_eps=0.02,
                               rope_parameters={"rope_type": "longrope", "rope_theta": 5000.0, "short_factor": SHORT[:4],
                                                "long_factor": LONG[2:6], "partial_rotary_factor": 0.5}),
     lengths=(72, 40, 50))

# ---- GPT-NeoX. Downloads carry masks and angular speeds.

def gpt_neox(**changes):
    return decoder("gpt_neox", "GPTNeoXForCausalLM", changes, num_key_value_heads=None, layer_norm_eps=1e-5,
                   hidden_act="gelu")


case("gptneox-hub", gpt_neox(use_parallel_residual=True, rotary_pct=0.25, rotary_emb_base=10000), as_given=True,
     extra={f"gpt_neox.layers.{i}.attention.{name}": shape for i in range(3) for name, shape in
            (("bias", [1, 1, 128, 128]), ("masked_bias", []), ("rotary_emb.inv_freq", [2]))})
case("gptneox-serial", gpt_neox(use_parallel_residual=False, rotary_pct=1.0, num_attention_heads=3, hidden_size=60,
                                hidden_act="gelu_fast", layer_norm_eps=0.02))
case("gptneox-no-attention-bias-tied", gpt_neox(use_parallel_residual=True, rotary_pct=0.5, attention_bias=False,
                                                tie_word_embeddings=True))

# ---- GPT-J

def gptj(**changes):
    return {"architectures": ["GPTJForCausalLM"], "model_type": "gptj", "vocab_size": 112, "n_positions": 128,
            "n_embd": 64, "n_layer": 3, "n_head": 4, "rotary_dim": 8, "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5, "bos_token_id": 111, "eos_token_id": 111, "tie_word_embeddings": False} | changes


case("gptj", gptj(layer_norm_epsilon=0.02))
case("gptj-hub", gptj(n_inner=None, rotary_dim=16, n_head=2, rotary=True), as_given=True,
     extra={f"transformer.h.{i}.attn.{name}": shape for i in range(3) for name, shape in
            (("bias", [1, 1, 128, 128]), ("masked_bias", []))})
case("gptj-inner", gptj(n_inner=80, n_head=3, n_embd=48, rotary_dim=12))

# ---- OPT. Downloads are named "decoder." or "model.decoder.".

def opt(**changes):
    return {"architectures": ["OPTForCausalLM"], "model_type": "opt", "vocab_size": 112, "hidden_size": 64,
            "num_hidden_layers": 3, "num_attention_heads": 4, "ffn_dim": 96, "max_position_embeddings": 128,
            "word_embed_proj_dim": 64, "do_layer_norm_before": True, "activation_function": "relu",
            "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 1} | changes


case("opt", opt())
case("opt-decoder-hub", opt(num_attention_heads=3, hidden_size=60, word_embed_proj_dim=60, prefix="</s>",
                            _remove_final_layer_norm=False), as_given=True, rename=[(r"^model\.", "")])
case("opt-350m", opt(do_layer_norm_before=False, word_embed_proj_dim=40))
case("opt-projected-before", opt(word_embed_proj_dim=32, num_attention_heads=2))
case("opt-no-bias-no-affine", opt(enable_bias=False, layer_norm_elementwise_affine=False, tie_word_embeddings=False,
                                  activation_function="gelu"))

# ---- Falcon

# With ALiBi, transformers 5.23's eager attention adds it twice, once to the scores and once with the mask; its default,
# sdpa, does so once, as the models were trained.
def falcon(**changes):
    return {"architectures": ["FalconForCausalLM"], "model_type": "falcon", "vocab_size": 112, "hidden_size": 64,
            "num_hidden_layers": 3, "num_attention_heads": 4, "layer_norm_epsilon": 1e-5, "bos_token_id": 11,
            "eos_token_id": 11, "bias": False, "alibi": False, "parallel_attn": True, "multi_query": True,
            "new_decoder_architecture": False, "apply_residual_connection_post_layernorm": False} | changes


case("falcon-7b-hub", falcon(hidden_size=72, num_attention_heads=9), as_given=True)
case("falcon-40b-hub", falcon(new_decoder_architecture=True, num_kv_heads=2), as_given=True)
case("falcon-11b", falcon(new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1,
                          tie_word_embeddings=False, ffn_hidden_size=128, rope_theta=500042.0,
                          layer_norm_epsilon=0.02))
case("falcon-rw-hub", falcon(alibi=True, bias=True, parallel_attn=False, multi_query=False), as_given=True,
     attention="sdpa")
# six heads have slopes that are no powers of two, which Falcon (not BLOOM) rounds to bf16, and their products too
case("falcon-rw-6-heads", falcon(alibi=True, bias=True, parallel_attn=False, multi_query=False, num_attention_heads=6,
                                 hidden_size=72), attention="sdpa")
case("falcon-serial-multi-query", falcon(parallel_attn=False, bias=True, layer_norm_epsilon=0.02))
case("falcon-alibi-parallel", falcon(alibi=True, multi_query=True, hidden_size=48), attention="sdpa")
case("falcon-new-alibi-bias", falcon(new_decoder_architecture=True, num_kv_heads=1, alibi=True, bias=True),
     attention="sdpa")

# ---- StableLM

def stablelm(**changes):
    return decoder("stablelm", "StableLmForCausalLM", changes, hidden_act="silu", layer_norm_eps=1e-5)


case("stablelm-hub", stablelm(partial_rotary_factor=0.25, rope_theta=10000, use_qkv_bias=False,
                              num_key_value_heads=4), as_given=True)
case("stablelm-qkv-bias", stablelm(partial_rotary_factor=0.5, use_qkv_bias=True, tie_word_embeddings=True,
                                    layer_norm_eps=0.02))
case("stablelm-12b-hub", stablelm(partial_rotary_factor=0.25, qk_layernorm=True, use_parallel_residual=True,
                                  use_qkv_bias=False, rope_theta=10000, layer_norm_eps=0.02), as_given=True)

# ---- StarCoder2

def starcoder2(**changes):
    return decoder("starcoder2", "Starcoder2ForCausalLM", changes, hidden_act="gelu_pytorch_tanh", norm_epsilon=1e-5,
                   tie_word_embeddings=None)


case("starcoder2-hub", starcoder2(sliding_window=22, use_bias=True, rope_theta=999999.4420358813,
                                  mlp_type="default", norm_type="layer_norm"), as_given=True)
case("starcoder2-no-bias", starcoder2(use_bias=False, tie_word_embeddings=False, num_attention_heads=3,
                                      num_key_value_heads=1, hidden_size=48, norm_epsilon=0.02))

# ---- OLMo

def olmo(**changes):
    return decoder("olmo", "OlmoForCausalLM", changes, hidden_act="silu")


case("olmo-hub", olmo(clip_qkv=1.5, rope_theta=10000.0, attention_bias=False, num_key_value_heads=4), as_given=True)
case("olmo-tied", olmo(tie_word_embeddings=True))


def olmo2(**changes):
    return decoder("olmo2", "Olmo2ForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-6)


case("olmo2-hub", olmo2(rope_theta=500000, num_key_value_heads=4, attention_bias=False), as_given=True)
case("olmo2-grouped-tied", olmo2(tie_word_embeddings=True, num_attention_heads=6, num_key_value_heads=3, hidden_size=48,
                                 rms_norm_eps=0.05))

# ---- SmolLM3

def smollm3(**changes):
    return decoder("smollm3", "SmolLM3ForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-6,
                   tie_word_embeddings=True, num_hidden_layers=5)


case("smollm3", smollm3(rms_norm_eps=0.02))
case("smollm3-hub", smollm3(no_rope_layers=[1, 0, 1, 1, 0], no_rope_layer_interval=4, rope_theta=5000000.0,
                            layer_types=["full_attention"] * 5, use_sliding_window=False, attention_bias=False,
                            mlp_bias=False), as_given=True)
case("smollm3-window-biases", smollm3(use_sliding_window=True, sliding_window=20, no_rope_layer_interval=2,
                                      attention_bias=True, mlp_bias=True, tie_word_embeddings=False))

# ---- Granite

def granite(**changes):
    return decoder("granite", "GraniteForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-5)


case("granite-hub", granite(embedding_multiplier=12.0, logits_scaling=4.0, residual_multiplier=0.22, head_dim=None,
                            attention_multiplier=0.3, tie_word_embeddings=True, rope_theta=10000, rope_scaling=None,
                            attention_bias=False, mlp_bias=False), embedding=0.5, as_given=True,
     scales={"embed_tokens": (1.5, 0.0)})
case("granite-biases", granite(embedding_multiplier=3.0, logits_scaling=0.5, residual_multiplier=0.7,
                               attention_multiplier=0.1, attention_bias=True, mlp_bias=True, num_attention_heads=3,
                               num_key_value_heads=1, hidden_size=48, rms_norm_eps=0.05))

# ---- gpt-oss, experts unquantized as transformers saves them

def gpt_oss(**changes):
    return decoder("gpt_oss", "GptOssForCausalLM", changes, hidden_act="silu", rms_norm_eps=1e-5, head_dim=16,
                   num_experts_per_tok=3, sliding_window=18, num_hidden_layers=4, num_local_experts=6, pad_token_id=None)


YARN = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 64}
case("gptoss-hub", gpt_oss(rope_theta=150000, rope_scaling=YARN, attention_bias=True, swiglu_limit=7.0,
                           initial_context_length=64, experts_per_token=3, max_position_embeddings=2048,
                           layer_types=["sliding_attention", "full_attention"] * 2), as_given=True)
case("gptoss-no-bias-limit", gpt_oss(attention_bias=False, swiglu_limit=1.5, rms_norm_eps=0.02, swiglu_alpha=1.3, num_key_value_heads=1,
                                     num_experts_per_tok=2, num_local_experts=5, num_hidden_layers=3,
                                     tie_word_embeddings=True, rope_parameters=YARN | {"rope_theta": 10000.0, "beta_fast": 4.0}))

# ---- DeepSeek

DEEPSEEK = {"kv_lora_rank": 24, "qk_nope_head_dim": 12, "qk_rope_head_dim": 8, "v_head_dim": 16,
            "moe_intermediate_size": 32, "num_key_value_heads": 4, "hidden_act": "silu", "num_experts_per_tok": 3,
            "rms_norm_eps": 1e-6, "first_k_dense_replace": 1}
DEEPSEEK_YARN = {"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707,
                 "mscale_all_dim": 0.707, "original_max_position_embeddings": 64}


def deepseek_v2(**changes):
    return decoder("deepseek_v2", "DeepseekV2ForCausalLM", changes, **DEEPSEEK)


case("deepseek2-lite-hub", deepseek_v2(n_routed_experts=6, n_shared_experts=2, topk_method="greedy", n_group=1,
                                       topk_group=1, routed_scaling_factor=1.0, norm_topk_prob=False, rope_theta=10000,
                                       rope_scaling=DEEPSEEK_YARN, max_position_embeddings=2560, moe_layer_freq=1,
                                       scoring_func="softmax", seq_aux=True, aux_loss_alpha=0.001, ep_size=1,
                                       attention_bias=False) | {"q_lora_rank": None}, as_given=True)
case("deepseek2-groups", deepseek_v2(n_routed_experts=9, n_shared_experts=1, topk_method="group_limited_greedy",
                                     n_group=3, topk_group=2, routed_scaling_factor=2.5, q_lora_rank=32, rms_norm_eps=0.02))
case("deepseek2-biases", deepseek_v2(n_routed_experts=4, n_shared_experts=1, topk_method="greedy", q_lora_rank=20,
                                     attention_bias=True, tie_word_embeddings=True, num_experts_per_tok=2,
                                     first_k_dense_replace=0))


def deepseek_v3(**changes):
    return decoder("deepseek_v3", "DeepseekV3ForCausalLM", changes, **DEEPSEEK)


case("deepseek3-hub", deepseek_v3(n_routed_experts=8, n_shared_experts=1, n_group=4, topk_group=2, q_lora_rank=28,
                                  routed_scaling_factor=2.5, norm_topk_prob=True, rope_theta=10000,
                                  rope_scaling=DEEPSEEK_YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
                                  max_position_embeddings=2560, scoring_func="sigmoid", topk_method="noaux_tc",
                                  moe_layer_freq=1, num_nextn_predict_layers=0, ep_size=1, attention_bias=False),
     as_given=True)
case("deepseek3-plain", deepseek_v3(n_routed_experts=6, n_shared_experts=2, n_group=1, topk_group=1,
                                    routed_scaling_factor=1.5, norm_topk_prob=False, rope_interleave=False,
                                    num_experts_per_tok=2, tie_word_embeddings=True, attention_bias=True, rms_norm_eps=0.02)
     | {"q_lora_rank": None})

# ---- Cohere

def cohere(model_type, architecture, **changes):
    return decoder(model_type, architecture, changes, hidden_act="silu", layer_norm_eps=1e-5,
                   tie_word_embeddings=None, bos_token_id=5, eos_token_id=3)


case("cohere-hub", cohere("cohere", "CohereForCausalLM", logit_scale=0.5, use_qk_norm=False, rope_theta=8000000.0,
                          num_key_value_heads=4, attention_bias=False), as_given=True)
case("cohere-qk-norm", cohere("cohere", "CohereForCausalLM", logit_scale=0.8333, use_qk_norm=True,
                                layer_norm_eps=0.05))
case("cohere-bias-untied", cohere("cohere", "CohereForCausalLM", logit_scale=1.0, attention_bias=True,
                                  tie_word_embeddings=False))
case("cohere2-hub", cohere("cohere2", "Cohere2ForCausalLM", logit_scale=0.5, sliding_window=20, head_dim=16,
                           sliding_window_pattern=4, rope_theta=50000, num_hidden_layers=5, attention_bias=False,
                           layer_switch=4, order_of_interleaved_layers="local_attn_first", use_qk_norm=False,
                           position_embedding_type="rope_gptj", rotary_pct=1.0), as_given=True)
case("cohere2-layer-types", cohere("cohere2", "Cohere2ForCausalLM", logit_scale=0.7, sliding_window=25, head_dim=24,
                                   num_hidden_layers=3, attention_bias=True, num_key_value_heads=1, layer_norm_eps=0.02,
                                   layer_types=["full_attention", "sliding_attention", "full_attention"]))
