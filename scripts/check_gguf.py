#!/usr/bin/env python3
"""Reads a GGUF that `nibble export` wrote with other people's code and compares it with what it was made from.

    pip install gguf safetensors torch numpy
    scripts/check_gguf.py X.gguf DIRECTORY                  every tensor's values against a Hugging Face directory
    scripts/check_gguf.py X.gguf DIRECTORY REFERENCE.gguf   and all keys and bytes against llama.cpp's convert_hf_to_gguf

X may be the first of several files. For a quantized model the directory is the one that `nibble export MODEL.nib -o DIRECTORY/
--dtype f32` makes: the blocks, dequantized by the gguf package, must then equal nibble's own dequantization.
Differences in keys are listed and not judged; a difference in a tensor fails.
"""
import glob, json, os, re, sys
import gguf
import numpy as np
import torch
from safetensors import safe_open

NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
         "output.weight": "lm_head.weight"}
PARTS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def source_name(name):
    if name in NAMES:
        return NAMES[name]
    layer, part, kind = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name).groups()
    return f"model.layers.{layer}.{PARTS[part]}.{kind}"


def read_all(path):
    """The readers of all files of a model, the first one's metadata first."""
    paths = sorted(glob.glob(re.sub(r"-00001-of-", "-*-of-", path))) if "-00001-of-" in path else [path]
    return [gguf.GGUFReader(p) for p in paths]


def tensors_of(readers):
    return {t.name: t for r in readers for t in r.tensors}


def load_directory(directory):
    out = {}
    for path in sorted(glob.glob(os.path.join(directory, "*.safetensors"))):
        with safe_open(path, "pt") as f:
            for name in f.keys():
                out[name] = f.get_tensor(name)
    return out


def check_values(readers, directory):
    config, source = json.load(open(os.path.join(directory, "config.json"))), load_directory(directory)
    heads, kv = config["num_attention_heads"], config.get("num_key_value_heads", config["num_attention_heads"])
    used, bad, types = set(), 0, {}
    for name, t in tensors_of(readers).items():
        if name == "rope_freqs.weight":
            continue
        want = source[source_name(name)]
        used.add(source_name(name))
        for part, n in ((".attn_q.", heads), (".attn_k.", kv)):
            if part in name:  # halves of a head become neighbours
                want = torch.stack(want.reshape(n, 2, -1, *want.shape[1:]).unbind(1), 2).reshape(want.shape)
        got = gguf.quants.dequantize(t.data, t.tensor_type)
        same = got.shape == tuple(want.shape) and np.array_equal(got, want.float().numpy())
        bad += not same
        types[t.tensor_type.name] = types.get(t.tensor_type.name, 0) + 1
        if not same:
            print(f"  {name} differs ({t.tensor_type.name}, {got.shape}, {tuple(want.shape)})")
    missing = {n for n in source if n not in used}
    print(f"{len(used)} tensors ({', '.join(f'{n} {t}' for t, n in types.items())}), {bad} differ, missing: {missing or 'none'}")
    return bad == 0 and not missing


def check_reference(readers, reference):
    a, b = readers[0].fields, gguf.GGUFReader(reference).fields
    for key in dict.fromkeys([*a, *b]):
        x, y = (f[key].contents() if key in f else None for f in (a, b))
        if x != y:
            print(f"  {key}: {str(x)[:60]} here, {str(y)[:60]} there")
        elif a[key].types != b[key].types:
            print(f"  {key}: another type")
    ours, theirs = tensors_of(readers), tensors_of(read_all(reference))
    same = sum(ours[n].tensor_type == theirs[n].tensor_type and list(ours[n].shape) == list(theirs[n].shape)
               and np.array_equal(ours[n].data, theirs[n].data) for n in ours if n in theirs)
    print(f"{same} of {len(ours)} tensors have the reference's bytes ({len(theirs)} there)")
    return same == len(ours) == len(theirs)


def main():
    readers = read_all(sys.argv[1])
    ok = check_values(readers, sys.argv[2])
    if len(sys.argv) > 3:
        ok = check_reference(readers, sys.argv[3]) and ok
    sys.exit(not ok)


main()
