#!/usr/bin/env python3
"""Writes tests/data/encodings/: small Llamas, or matrices of one, and experts of gpt-oss as quantized checkpoints hold them, and golden.json.

    pip install torch transformers safetensors compressed-tensors bitsandbytes
    scripts/make_encoding_goldens.py

golden.json: for each directory and tensor the shape, the CRC-32 of its values as float32 (-0 made 0), decoded by other people's code
(encodings_reference.py), and, where the tensor comes out in blocks, which.
"""
import json, os, zlib
import torch
from safetensors.torch import save_file
import encodings_reference as E

OUT = os.path.join(os.path.dirname(__file__), "..", "tests", "data", "encodings")
TYPES = {"gptq-4": "q4_0", "gptq-4-order": "f32", "gptq-8": "q8_0", "gptq-3": "q4_0", "awq": "q5_0", "packed-4": "q4_0",
         "packed-4-asymmetric": "f32", "packed-4-order": "f32", "int-quantized": "q8_0", "float-quantized": "f32", "nvfp4": "f32",
         "mxfp4": "mxfp4", "fp8-blocks": "f32", "f8-e5m2": "f8_e5m2", "bnb-nf4": "f32", "bnb-fp4": "f32", "bnb-int8": "f32"}
WHOLE = ["gptq-4-order", "packed-4", "fp8-blocks"]


def entry(value, kind):
    return {"shape": list(value.shape), "type": kind, "crc32": zlib.crc32((value.float() + 0.0).contiguous().numpy().tobytes())}


def write(name, tensors, config):
    os.makedirs(f"{OUT}/{name}", exist_ok=True)
    save_file(tensors, f"{OUT}/{name}/model.safetensors")
    with open(f"{OUT}/{name}/config.json", "w") as f:
        json.dump(config, f, indent=1)
        f.write("\n")


def main():
    kinds, golden = E.kinds(), {}
    for name, kind in TYPES.items():
        config, weights = E.tiny_llama(32, 64, 1, 16)
        if name not in WHOLE:  # some matrices are enough
            weights = {k: w for k, w in weights.items() if "k_proj" in k or "down_proj" in k}
        tensors, config, values = E.encode(weights, kinds[name][0], config, kinds[name][1])
        write(name, tensors, config)
        golden[name] = {k: entry(v, kind if "_proj" in k else "bf16") for k, v in values.items()}
    config = {"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}}
    tensors, golden["gpt-oss"] = {}, {}
    for i, (part, shape) in enumerate((("gate_up_proj", (2, 6, 64)), ("down_proj", (2, 5, 32)))):
        stem = "model.layers.0.mlp.experts." + part
        tensors[stem + "_blocks"], tensors[stem + "_scales"], value = E.mxfp4_blocks(shape, i)
        golden["gpt-oss"][stem] = entry(value, "mxfp4")
    write("gpt-oss", tensors, config)
    with open(f"{OUT}/golden.json", "w") as f:
        json.dump(golden, f, indent=0)
        f.write("\n")


if __name__ == "__main__":
    main()
