#!/usr/bin/env python3
"""tests/data/tiny/: small random Llamas in every spelling that config.json has for them, and what transformers makes of
them, for `make test` to compare with.

    pip install torch transformers safetensors
    scripts/make_rope_goldens.py OUT_DIR

A directory each: config.json, model.safetensors (or shards), tokens.txt (ids, one window a line), golden.json
({"nll": [[...]]}: the NLL of every id but a window's first, from f32 arithmetic with log-softmax in f64).
Weights are scaled so that attention is sharp and logits are far from flat: a wrong position shows. For each variant the
script prints how much plain rotary positions would change an NLL at least once and on average."""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

WINDOWS, LENGTH = 2, 96

BASE = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 96, "hidden_size": 32,
    "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "hidden_act": "silu", "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
    "bos_token_id": 0, "eos_token_id": 1,
}
F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16

# name: (config beyond BASE, dtype stored, shards)
VARIANTS = {
    # head_dim derived, every bias, one key-value head
    "plain-biases": ({"rope_theta": 10000.0, "rope_scaling": None, "attention_bias": True, "mlp_bias": True,
                      "num_key_value_heads": 1}, F32, 1),
    # head_dim other than hidden_size / heads, tied head, as many key-value heads as heads, newer spelling
    "plain-head-dim": ({"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "head_dim": 12,
                        "tie_word_embeddings": True, "num_key_value_heads": 4, "rms_norm_eps": 1e-6}, F16, 1),
    "linear-old": ({"rope_theta": 1000.0, "rope_scaling": {"type": "linear", "factor": 4.0}, "head_dim": 16,
                    "attention_bias": True}, BF16, 3),
    "linear-new": ({"rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0},
                    "mlp_bias": True, "tie_word_embeddings": True}, BF16, 1),
    # windows longer than the context: the base grows with the length of the sequence
    "dynamic-long": ({"rope_theta": 10000.0, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
                      "max_position_embeddings": 40, "head_dim": 16}, BF16, 1),
    # and not longer: the same as plain
    "dynamic-short": ({"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0},
                       "head_dim": 16, "tie_word_embeddings": True}, BF16, 1),
    "yarn-old": ({"rope_theta": 10000.0, "head_dim": 16,
                  "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}, BF16, 1),
    # everything yarn may be told; max_position_embeddings is not factor times the original context
    "yarn-new": ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 8.0, "beta_fast": 16.0,
                                      "beta_slow": 2.0, "mscale": 1.5, "mscale_all_dim": 0.8, "truncate": False,
                                      "original_max_position_embeddings": 24},
                  "head_dim": 24, "attention_bias": True, "tie_word_embeddings": True}, BF16, 1),
    # attention_factor given; the original context is max_position_embeddings
    "yarn-factor": ({"rope_theta": 10000.0, "max_position_embeddings": 48,
                     "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "attention_factor": 1.3}}, BF16, 1),
    "llama3-old": ({"rope_theta": 500000.0, "head_dim": 16,
                    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                     "high_freq_factor": 4.0, "original_max_position_embeddings": 32}}, BF16, 1),
    "llama3-new": ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 2000.0, "factor": 32.0,
                                        "low_freq_factor": 0.5, "high_freq_factor": 6.0,
                                        "original_max_position_embeddings": 64},
                    "head_dim": 20, "mlp_bias": True, "tie_word_embeddings": True}, BF16, 1),
}


def fill(model, generator):
    """Random weights that make sharp attention and peaked predictions."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.ndim == 1:
            p.data = 1 + 0.3 * noise if name.endswith("norm.weight") else 0.3 * noise
        elif "embed_tokens" in name:
            p.data = 0.6 * noise
        elif "q_proj" in name or "k_proj" in name:
            p.data = 1.5 * noise / p.shape[1] ** 0.5
        else:
            p.data = 1.2 * noise / p.shape[1] ** 0.5


def save(model, directory, dtype, shards):
    state = {name: w.to(dtype).contiguous() for name, w in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del state["lm_head.weight"]
    if shards == 1:
        save_file(state, f"{directory}/model.safetensors", metadata={"format": "pt"})
        return
    names, where = list(state), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: state[name] for name in names[i::shards]}
        where |= dict.fromkeys(part, file)
        save_file(part, f"{directory}/{file}", metadata={"format": "pt"})
    size = sum(w.numel() * w.element_size() for w in state.values())
    with open(f"{directory}/model.safetensors.index.json", "w") as f:
        json.dump({"metadata": {"total_size": size}, "weight_map": where}, f, indent=1)
        f.write("\n")


@torch.no_grad()
def nll(model, windows):
    """One call a window: dynamic scaling looks at the length of the whole sequence, the last id included."""
    rows = []
    for x in windows:
        logp = model(x[None]).logits[0].double().log_softmax(-1)
        rows.append(-logp[:-1].gather(1, x[1:, None])[:, 0])
    return torch.stack(rows)


def main():
    out = sys.argv[1]
    for seed, (name, (changes, dtype, shards)) in enumerate(VARIANTS.items()):
        directory = os.path.join(out, name)
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/config.json", "w") as f:
            json.dump(BASE | changes, f, indent=1)
            f.write("\n")
        generator = torch.Generator().manual_seed(seed)
        made = LlamaForCausalLM(LlamaConfig.from_pretrained(directory))
        fill(made, generator)
        save(made, directory, dtype, shards)

        model, report = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"]
        model.eval()
        windows = torch.randint(BASE["vocab_size"], (WINDOWS, LENGTH), generator=generator)
        rows = nll(model, windows)
        with open(f"{directory}/tokens.txt", "w") as f:
            f.writelines(" ".join(map(str, x.tolist())) + "\n" for x in windows)
        with open(f"{directory}/golden.json", "w") as f:
            json.dump({"nll": [[round(v, 6) for v in row.tolist()] for row in rows]}, f)
            f.write("\n")

        plain = LlamaConfig.from_pretrained(directory)
        plain.rope_parameters = {"rope_type": "default", "rope_theta": plain.rope_parameters["rope_theta"]}
        other = LlamaForCausalLM(plain).eval()
        other.load_state_dict(model.state_dict())
        change = (nll(other, windows) - rows).abs()
        print(f"{name:15} mean NLL {rows.mean():7.4f}  spread {rows.std():6.4f}  "
              f"plain positions: max {change.max():7.4f}  mean {change.mean():7.4f}")


if __name__ == "__main__":
    main()
