#!/usr/bin/env python3
"""tests/data/families/: small random checkpoints of every family, and what transformers makes of them, for `make test`
to compare with. A golden is one JSON file without weights: tests/golden_model.h makes them again by the same rule.

    pip install torch transformers safetensors
    scripts/make_family_goldens.py OUT_DIR [--only NAME...]      (NAME: a case, or a family's beginning: gemma)

{"case", "transformers", "config": config.json, "seed", "tensors": [[name, [shape], scale, offset], ...],
 "sequences": [{"ids": [...], "nll": [...]}]}: nll[i] is that of ids[i + 1], from f32 arithmetic with eager attention
(unless the case names another), log-softmax in f64. Checkpoints are those that save_pretrained writes, or have the names
that downloads have.

The rule, for element i (row-major, from 0) of the tensor NAME, in 64 bits that wrap around:
    s = FNV-1a(NAME's bytes) + seed                        basis 0xcbf29ce484222325, prime 0x100000001b3
    z = s + (i + 1) * 0x9e3779b97f4a7c15                   SplitMix64, started at s, after i + 1 steps
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;  z = (z ^ z >> 27) * 0x94d049bb133111eb;  z = z ^ z >> 31
    u = (z >> 40) * 2^-23 - 1                              exact in f32, in [-1, 1)
    value = scale * u + offset                             in f32: the product is rounded, then the sum

For each case the script prints the mean and the spread of the NLL, and how far f32 is from f64 (arithmetic noise: a case
where that is more than 2e-4, for instance because two experts are as good as equal, wants another seed)."""
import argparse
import json
import os
import re
import tempfile

import numpy
import torch
import transformers
from family_cases import CASES
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

MASK = (1 << 64) - 1
LENGTHS = (72, 40, 90)
NOISE = 2e-4


def fnv(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h


def stream(name, seed, count):
    """The upper 24 bits of the first `count` numbers."""
    start = numpy.uint64(fnv(name) + seed & MASK)
    z = numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15) + start
    z = (z ^ z >> numpy.uint64(30)) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> numpy.uint64(27)) * numpy.uint64(0x94D049BB133111EB)
    return (z ^ z >> numpy.uint64(31)) >> numpy.uint64(40)


def values(name, seed, shape, scale, offset):
    f32 = numpy.float32
    u = stream(name, seed, int(numpy.prod(shape, dtype=numpy.int64))).astype(f32) * f32(2.0**-23) - f32(1)
    return torch.from_numpy((u * f32(scale) + f32(offset)).reshape(shape))


def spread(name, shape, case):
    """(scale, offset) of a tensor: sharp attention, peaked predictions, gains and biases that show when forgotten.
    A uniform number in [-1, 1) has a standard deviation of 1 / sqrt 3."""
    for pattern, chosen in case.get("scales", {}).items():
        if re.search(pattern, name):
            return chosen
    last = name.rsplit(".", 1)[-1]
    if "e_score_correction" in name:
        return 0.25, 0.0
    if "sinks" in name:
        return 1.5, 0.5
    if last.endswith("bias"):
        return 0.5, 0.0
    if len(shape) <= 1 or re.search(r"layernorm\.norms|[qk]_norm", name):
        return 0.5, 0.0 if case["config"]["model_type"].startswith("gemma") else 1.0
    if re.search(r"wpe|embed_positions", name):
        return 0.75, 0.0
    if re.search(r"embed_tokens|wte|word_embeddings\.|embed_in", name):
        return case.get("embedding", 1.0), 0.0
    conv1d = re.search(r"c_attn|c_proj|c_fc", name) and case["config"]["model_type"] == "gpt2"
    fan_in = shape[-2] if conv1d or "experts.gate_up_proj" in name or re.search(r"experts\.down_proj$", name) else shape[-1]
    gain = 1.2
    if re.search(r"lm_head|embed_out", name):
        gain = 2.5
    elif re.search(r"\.(gate|router)\.weight", name):
        gain = 2.0
    elif re.search(r"q_proj|k_proj|q_b_proj|query|key|qkv|c_attn|W_pack|kv_b", name):
        gain = 1.7
    return float(f"{gain * (3 / fan_in) ** 0.5:.4g}"), 0.0


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f)


def template(case, directory):
    """The config as it goes into the golden, and the tensors' names and shapes."""
    write_json(f"{directory}/config.json", case["config"])
    config = AutoConfig.from_pretrained(directory)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(f"{directory}/saved")
    with safe_open(f"{directory}/saved/model.safetensors", "pt") as f:
        shapes = {name: f.get_slice(name).get_shape() for name in f.keys()}
    for pattern, replacement in case.get("rename", ()):
        shapes = {re.sub(pattern, replacement, name): shape for name, shape in shapes.items()}
    shapes |= case.get("extra", {})
    if case.get("as_given"):
        return case["config"], shapes
    with open(f"{directory}/saved/config.json") as f:
        return json.load(f), shapes


@torch.no_grad()
def nll(model, sequences):
    """One call a sequence: some rotary scalings look at the length."""
    rows = []
    for ids in sequences:
        x = torch.tensor(ids)
        logp = model(x[None]).logits[0].double().log_softmax(-1)
        rows.append(-logp[:-1].gather(1, x[1:, None])[:, 0])
    return rows


def load(directory, dtype, attention):
    model, report = AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation=attention, experts_implementation="eager", output_loading_info=True)
    return model.eval(), report


def make(name, case):
    with tempfile.TemporaryDirectory() as directory:
        config, shapes = template(case, directory)
        seed = case.get("seed", 1)
        tensors = [[tensor, list(shape), *spread(tensor, shape, case)] for tensor, shape in shapes.items()]
        write_json(f"{directory}/config.json", config)
        save_file({t[0]: values(t[0], seed, *t[1:]) for t in tensors}, f"{directory}/model.safetensors",
                  metadata={"format": "pt"})
        attention = case.get("attention", "eager")
        model, report = load(directory, torch.float32, attention)
        extra = set(case.get("extra", {}))
        assert not report["missing_keys"] and not report["mismatched_keys"], report
        assert not set(report["unexpected_keys"]) - extra, report["unexpected_keys"]
        text = getattr(model.config, "text_config", model.config)
        sequences = [(stream(f"ids {k}", seed, length) % numpy.uint64(text.vocab_size)).tolist()
                     for k, length in enumerate(case.get("lengths", LENGTHS))]
        rows = nll(model, sequences)
        exact = nll(load(directory, torch.float64, attention)[0], sequences)
    every = torch.cat(rows)
    noise = (every - torch.cat(exact)).abs().max().item()
    golden = {"case": name, "transformers": transformers.__version__, "config": config, "seed": seed,
              "tensors": tensors,
              "sequences": [{"ids": ids, "nll": [float(f"{v:.8g}") for v in row.tolist()]}
                            for ids, row in zip(sequences, rows)]}
    print(f"{name:28} mean NLL {every.mean():7.4f}  spread {every.std():6.4f}  f32 - f64 {noise:.1e}"
          f"  {sum(numpy.prod(t[1]) for t in tensors) / 1e3:6.0f} k weights"
          f"{'  TOO FLAT' if every.std() < 1 else ''}{'  NOISY' if noise > NOISE else ''}", flush=True)
    return golden


def dump(golden, path):
    """One tensor a line, so that a change shows in a diff."""
    one = lambda value: json.dumps(value, separators=(",", ":"))
    with open(path, "w") as f:
        f.write("{" + ",\n".join(f"{one(k)}:{one(golden[k])}" for k in ("case", "transformers", "config", "seed")))
        for key in ("tensors", "sequences"):
            f.write(f',\n"{key}":[\n' + ",\n".join(map(one, golden[key])) + "]")
        f.write("}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[""])
    parser.add_argument("out", metavar="OUT_DIR")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    os.makedirs(options.out, exist_ok=True)
    failed = []
    for name, case in CASES.items():
        if any(name.startswith(only) for only in options.only):
            try:
                dump(make(name, case), f"{options.out}/{name}.json")
            except Exception as error:
                failed.append(name)
                print(f"{name:28} {type(error).__name__}: {error}", flush=True)
    if failed:
        raise SystemExit(f"not made: {' '.join(failed)}")


if __name__ == "__main__":
    main()
