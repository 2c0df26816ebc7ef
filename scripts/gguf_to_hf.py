#!/usr/bin/env python3
"""The weights of a llama.cpp GGUF (Llama family), dequantized into a Hugging Face directory in f32, so that nibble eval can
measure them alone, without llama.cpp's rounding of activations.

    pip install gguf safetensors numpy
    scripts/gguf_to_hf.py MODEL.gguf SOURCE_DIR OUT_DIR       SOURCE_DIR: the directory that the GGUF was converted from

Config and tokenizer are the source's. Prints the bytes of the GGUF's tensors."""
import json
import os
import re
import shutil
import sys

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import save_file

NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
IN_LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def source_name(name):
    stem, kind = name.rsplit(".", 1)
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    if layer:
        return f"model.layers.{layer[1]}.{IN_LAYER[layer[2]]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def halves(w, heads):
    """GGUF's rows of q and k have the rotary pairs side by side; Hugging Face keeps first and second halves apart."""
    return w.reshape(heads, w.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)


def main():
    path, source, out = sys.argv[1:4]
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(source, "config.json")) as f:
        config = json.load(f)
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads", heads)
    tensors, size = {}, 0
    for t in GGUFReader(path).tensors:
        size += int(t.n_bytes)
        if t.name == "rope_freqs.weight":
            continue  # made from the config's rope_scaling, which goes along
        shape = tuple(int(n) for n in reversed(t.shape))
        w = dequantize(t.data, t.tensor_type).astype(np.float32).reshape(shape)
        if ".attn_q." in t.name:
            w = halves(w, heads)
        elif ".attn_k." in t.name:
            w = halves(w, kv_heads)
        tensors[source_name(t.name)] = np.ascontiguousarray(w)
    save_file(tensors, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    for name in os.listdir(source):
        if not name.startswith("model") and name.endswith((".json", ".jinja", ".model")):
            shutil.copy(os.path.join(source, name), out)
    print(size)


if __name__ == "__main__":
    main()
