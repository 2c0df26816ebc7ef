#!/usr/bin/env python3
"""Makes a Llama of 1B weights that learnt nothing, to measure time and memory on a size that nobody has to download.

    scripts/make_llama_1b.py TOKENIZER_DIR OUT_DIR [--layers 16] [--dim 2048] [--mlp 8192] [--heads 32] [--kv-heads 8]

TOKENIZER_DIR is any Hugging Face model of the Llama kind, whose tokenizer.json, tokenizer_config.json and vocabulary's size
are taken over. Writes config.json and bf16 shards with their index; needs numpy alone and the memory of one tensor.

Weights are normal, seeded by tensor's name: 1 / sqrt(inputs) for what reads the residual stream, that over sqrt(2 layers) for
what writes to it, so that activations stay of order one through all layers; 0.05 for the embedding, which is the head as well:
logits then have a spread of about two, and divergences to the model are neither zero nor those of noise. A few channels of each
norm are ten times the others, as in trained models: their columns of the Hessians stand out.
"""
import argparse
import json
import math
import shutil
import zlib
from pathlib import Path

import numpy as np

CHUNK = 1 << 22  # values drawn at a time


def bf16(x):
    """The upper halves of f32, rounded to nearest even."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_normal(out, name, shape, scale):
    draw = np.random.Generator(np.random.SFC64(zlib.crc32(name.encode())))
    left = math.prod(shape)
    while left:
        n = min(left, CHUNK)
        x = draw.standard_normal(n, dtype=np.float32)
        x *= np.float32(scale)
        out.write(bf16(x).tobytes())
        left -= n


def write_gains(out, name, width):
    draw = np.random.Generator(np.random.SFC64(zlib.crc32(name.encode())))
    gains = 0.5 * np.exp(0.2 * draw.standard_normal(width, dtype=np.float32))
    gains[draw.choice(width, max(width // 500, 1), replace=False)] *= 10
    out.write(bf16(gains.astype(np.float32)).tobytes())


def tensors_of(a, vocabulary):
    """One list of (name, shape, scale; None: a norm) for each shard: ends first, then two layers a shard."""
    yield [("model.embed_tokens.weight", (vocabulary, a.dim), 0.05), ("model.norm.weight", (a.dim,), None)]
    kv = a.dim // a.heads * a.kv_heads
    deep = 1 / math.sqrt(2 * a.layers)
    shard = []
    for i in range(a.layers):
        p = f"model.layers.{i}."
        shard += [(p + "input_layernorm.weight", (a.dim,), None),
                  (p + "self_attn.q_proj.weight", (a.dim, a.dim), a.dim**-0.5),
                  (p + "self_attn.k_proj.weight", (kv, a.dim), a.dim**-0.5),
                  (p + "self_attn.v_proj.weight", (kv, a.dim), a.dim**-0.5),
                  (p + "self_attn.o_proj.weight", (a.dim, a.dim), a.dim**-0.5 * deep),
                  (p + "post_attention_layernorm.weight", (a.dim,), None),
                  (p + "mlp.gate_proj.weight", (a.mlp, a.dim), a.dim**-0.5),
                  (p + "mlp.up_proj.weight", (a.mlp, a.dim), a.dim**-0.5),
                  (p + "mlp.down_proj.weight", (a.dim, a.mlp), a.mlp**-0.5 * deep)]
        if i % 2 or i == a.layers - 1:
            yield shard
            shard = []


def write_shard(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, _ in tensors:
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name, shape, scale in tensors:
            if scale is None:
                write_gains(out, name, shape[0])
            else:
                write_normal(out, name, shape, scale)
    return at


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("tokenizer", type=Path)
    args.add_argument("out", type=Path)
    for name, value in [("layers", 16), ("dim", 2048), ("mlp", 8192), ("heads", 32), ("kv-heads", 8)]:
        args.add_argument("--" + name, type=int, default=value)
    a = args.parse_args()
    theirs = json.loads((a.tokenizer / "config.json").read_text())
    a.out.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(a.tokenizer / name, a.out / name)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_act": "silu",
              "hidden_size": a.dim, "intermediate_size": a.mlp, "num_hidden_layers": a.layers, "num_attention_heads": a.heads,
              "num_key_value_heads": a.kv_heads, "head_dim": a.dim // a.heads, "vocab_size": theirs["vocab_size"],
              "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "tie_word_embeddings": True,
              "attention_bias": False, "mlp_bias": False,
              "bos_token_id": theirs.get("bos_token_id"), "eos_token_id": theirs.get("eos_token_id")}
    (a.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shards = list(tensors_of(a, theirs["vocab_size"]))
    where, total = {}, 0
    for i, tensors in enumerate(shards):
        name = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        total += write_shard(a.out / name, tensors)
        where.update((t[0], name) for t in tensors)
        print(f"{name}: {total / 2**30:.2f} GiB so far", flush=True)
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (a.out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    print(f"{total // 2} weights in {a.out}")


if __name__ == "__main__":
    main()
