#!/usr/bin/env python3
"""Reads a directory that `nibble export --to compressed-tensors` or `--to gptq` wrote, with other people's code.

    pip install torch transformers compressed-tensors safetensors
    scripts/check_packed.py DIRECTORY SOURCE [--exact] [--dense OUT] [--text FILE [--nibble PROGRAM]]

DIRECTORY's matrices are unpacked by the package compressed-tensors; for GPTQ by the few lines below, which follow
GPTQModel's nn_modules/qlinear/__init__.py (or, where gptqmodel can be imported, by that too). SOURCE is a Hugging Face
directory of what was packed. Printed: the error relative to the weights, and to that of the packages' own rounding (the
range of each group, without a search). --exact: the values must equal SOURCE's bit for bit (packed from q4_0 or q8_0, SOURCE
being `nibble export --to hf --dtype f16` of the same). All that is not packed must equal SOURCE's, rounded to the type.
--dense writes a directory with the unpacked values as plain tensors. --text: DIRECTORY as transformers loads it (for GPTQ:
the plain one) predicts FILE, with the mean NLL of its tokens; with --nibble the plain directory must say the same there.
"""
import argparse
import glob
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import save_file

CONTEXT, WINDOWS = 256, 4


def read_directory(directory):
    tensors = {}
    for path in sorted(glob.glob(os.path.join(directory, "*.safetensors"))):
        with safe_open(path, "pt") as f:
            tensors.update({name: f.get_tensor(name) for name in f.keys()})
    return tensors


# ---- compressed-tensors: its own code

def scheme_of(config):
    from compressed_tensors.quantization import QuantizationConfig
    group, = QuantizationConfig.model_validate(config).config_groups.values()
    return group


def unpack_compressed(parts, config):
    from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
    return PackedQuantizationCompressor.decompress(dict(parts), scheme_of(config))["weight"]


def own_rounding(weight, config, dtype):
    """The range of each group becomes all codes: what the package does by itself, with the same settings."""
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
    from compressed_tensors.quantization.utils import calculate_qparams
    if config["quant_method"] == "gptq":
        args = dict(num_bits=config["bits"], group_size=config["group_size"], symmetric=config["sym"])
    else:
        args = {k: v for k, v in config["config_groups"]["group_0"]["weights"].items()
                if k in ("num_bits", "group_size", "symmetric")}
    args = QuantizationArgs(strategy="group", type="int", **args)
    groups = weight.float().reshape(weight.shape[0], -1, args.group_size)
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
    scale = scale.to(dtype).float()
    return dequantize(quantize(weight.float(), scale, zero, args, dtype=torch.int8), scale, zero, args)


# ---- GPTQ, version 1

def unpack_gptq(parts, config):
    bits = config["bits"]
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    mask = (1 << bits) - 1
    codes = (parts["qweight"].unsqueeze(1) >> shifts.view(1, -1, 1) & mask).flatten(0, 1)  # [cols, rows]
    zeros = (parts["qzeros"].unsqueeze(2) >> shifts.view(1, 1, -1) & mask).flatten(1) + 1  # [groups, rows]
    assert zeros.max() <= mask, "a zero that overflows into its neighbour when 1 is added"
    group = parts["g_idx"].long()
    return (parts["scales"][group] * (codes - zeros[group])).T.contiguous()


def unpack_gptqmodel(parts, config):
    """By GPTQModel itself; None where it is not installed."""
    try:
        from gptqmodel.nn_modules.qlinear.torch import TorchLinear
        from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module
    except ImportError:
        return None
    module = TorchLinear(bits=config["bits"], group_size=config["group_size"], sym=config["sym"], desc_act=False,
                         in_features=len(parts["g_idx"]), out_features=parts["scales"].shape[1])
    for name, value in parts.items():
        getattr(module, name).copy_(value)
    convert_gptq_v1_to_v2_format_module(module, bits=config["bits"], pack_dtype=torch.int32)
    module.eval()
    return module.dequantize_weight().T.contiguous()


def unpack_all(tensors, config):
    """(plain tensors, unpacked matrices), and what checked GPTQ's."""
    gptq = config["quant_method"] == "gptq"
    pattern = r"(.*)\.(qweight|qzeros|scales|g_idx)" if gptq else r"(.*)\.(weight_(?:packed|scale|shape|zero_point))"
    plain, parts = {}, {}
    for name, tensor in tensors.items():
        found = re.fullmatch(pattern, name)
        if found:
            parts.setdefault(found[1], {})[found[2]] = tensor
        else:
            plain[name] = tensor
    unpacked, checked = {}, 0
    for module, p in parts.items():
        value = unpack_gptq(p, config) if gptq else unpack_compressed(p, config)
        other = unpack_gptqmodel(p, config) if gptq else None
        if other is not None:
            assert torch.equal(other, value), f"{module}: GPTQModel reads other values"
            checked += 1
        unpacked[module + ".weight"] = value
    if gptq:
        print(f"GPTQModel itself read {checked} of {len(parts)} matrices, with the same values")
    return plain, unpacked


# ---- what it predicts

def nll(model, ids):
    model.eval()
    total = count = 0
    with torch.no_grad():
        for window in ids:
            logits = model(window[None]).logits[0].float()
            half = len(window) // 2  # llama-perplexity's protocol
            total += torch.nn.functional.cross_entropy(logits[half:-1], window[half + 1:], reduction="sum").item()
            count += len(window) - half - 1
    return total / count


def windows_of(directory, path):
    from transformers import AutoTokenizer
    text = open(path, encoding="utf-8").read(CONTEXT * WINDOWS * 8)
    ids = AutoTokenizer.from_pretrained(directory)(text, add_special_tokens=False)["input_ids"]
    ids = torch.tensor(ids[:CONTEXT * WINDOWS])
    return ids[:len(ids) // CONTEXT * CONTEXT].view(-1, CONTEXT)


def write_dense(directory, tensors, out):
    os.makedirs(out, exist_ok=True)
    for path in glob.glob(os.path.join(directory, "*")):
        if not re.search(r"safetensors|quantize_config", path):
            shutil.copy(path, out)
    config = json.load(open(os.path.join(directory, "config.json")))
    del config["quantization_config"]
    json.dump(config, open(os.path.join(out, "config.json"), "w"))
    save_file(tensors, os.path.join(out, "model.safetensors"), {"format": "pt"})


def predict(args, config, dense):
    from transformers import AutoModelForCausalLM, logging
    logging.disable_progress_bar()
    ids = windows_of(args.directory, args.text)

    def load(directory):
        """In the directory's own type, which its products are rounded to; then all arithmetic in f32."""
        model = AutoModelForCausalLM.from_pretrained(directory, dtype="auto")
        with torch.no_grad():
            model(ids[:1, :2])  # compressed-tensors unpacks at first use
        return torch.nn.Module.float(model)

    plain = nll(load(dense), ids)
    print(f"NLL in transformers: plain values {plain:.6f}", end="")
    if config["quant_method"] != "gptq":
        packed = nll(load(args.directory), ids)
        print(f", the packed directory {packed:.6f}", end="")
        assert abs(packed - plain) < 1e-4, "they differ"
    print(f", SOURCE {nll(load(args.source), ids):.6f} ({ids.numel()} ids)")
    if args.nibble:
        out = subprocess.run([args.nibble, "eval", "-q", dense, "--text", args.text, "--ctx", str(CONTEXT), "--windows",
                              str(len(ids)), "--json", "-"], capture_output=True, text=True, check=True).stdout
        report = json.loads(out)
        ppl = report["models"][0]["ppl"]
        print(f"NLL in nibble: plain values {math.log(ppl):.6f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("source")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--dense")
    parser.add_argument("--text")
    parser.add_argument("--nibble")
    args = parser.parse_args()
    config = json.load(open(os.path.join(args.directory, "config.json")))["quantization_config"]
    source = read_directory(args.source)
    plain, unpacked = unpack_all(read_directory(args.directory), config)
    assert set(plain) | set(unpacked) == set(source), "tensors are missing or new"
    for name, tensor in plain.items():
        assert torch.equal(tensor, source[name].to(tensor.dtype)), f"{name} is not the source's"
    ours = theirs = squares = equal = 0
    for name, tensor in unpacked.items():
        wanted = source[name]
        equal += torch.equal(tensor, wanted.to(tensor.dtype))
        squares += wanted.double().square().sum().item()
        ours += (tensor.double() - wanted.double()).square().sum().item()
        theirs += (own_rounding(wanted, config, tensor.dtype).double() - wanted.double()).square().sum().item()
    print(f"{len(unpacked)} matrices unpacked, {equal} equal to SOURCE bit for bit, {len(plain)} plain tensors equal; "
          f"RMS error {math.sqrt(ours / squares):.5f} of the weights, own rounding {math.sqrt(theirs / squares):.5f}")
    if args.exact and equal != len(unpacked):
        sys.exit(f"{len(unpacked) - equal} matrices differ")
    with tempfile.TemporaryDirectory() as temporary:
        dense = args.dense or temporary
        write_dense(args.directory, {**plain, **unpacked}, dense)
        if args.text:
            predict(args, config, dense)


main()
