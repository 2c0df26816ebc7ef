#!/usr/bin/env python3
"""Quantized Hugging Face checkpoints in, against other people's decoding: a table, encoding x (type, differences).

    pip install torch transformers safetensors compressed-tensors bitsandbytes
    scripts/check_encodings.py NIBBLE                              random Llamas in every encoding; every value, bit for bit
    scripts/check_encodings.py NIBBLE MODEL TEXT [KIND...]         a Llama's directory in some encodings, rounded to nearest:
                                                                   nibble's loss against transformers' on the decoded weights

GPTQMODEL and AUTOAWQ: see encodings.py. Values are read from what nibble exports in f32: once from the checkpoint, once from the .nib.
"""
import json, os, subprocess, sys, tempfile
import torch
from safetensors.torch import load_file, save_file
import encodings_reference as E


def run(*args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(args)}\n{done.stderr}")
    return done.stdout


def write(directory, tensors, config):
    os.makedirs(directory)
    save_file(tensors, f"{directory}/model.safetensors")
    json.dump(config, open(f"{directory}/config.json", "w"), indent=1)


def same(a, b, zeros_alike):
    """Elements that differ in a bit; NaNs are alike, and so are zeros in mxfp4, of which GGUF knows one."""
    differ = (a.view(torch.int32) != b.view(torch.int32)) & ~(a.isnan() & b.isnan())
    return int((differ & ~((a == 0) & (b == 0))).sum() if zeros_alike else differ.sum())


def exported(nibble, model, at):
    run(nibble, "export", model, "-o", at + "/", "--dtype", "f32", "-q")
    config = json.load(open(f"{at}/config.json"))
    assert "quantization_config" not in config and config["dtype"] == "float32", config
    return load_file(f"{at}/model.safetensors")


def check_kind(nibble, name, make, quantization, scratch):
    differences = values_seen = 0
    types, text = set(), ""
    for seed, (dim, ffn) in enumerate(((64, 96), (256, 352), (320, 288))):
        config, weights = E.tiny_llama(dim, ffn, 2, 64, seed=seed)
        tensors, config, values = E.encode(weights, make, config, quantization)
        source = f"{scratch}/{name}-{seed}"
        write(source, tensors, config)
        run(nibble, "convert", source, "-o", source + ".nib", "-q")
        info = json.loads(run(nibble, "info", source + ".nib", "--json", "-"))
        text = info.get("source_encoding", "-")
        types |= {t["type"] for t in info["tensors"] if "_proj" in t["source"]}
        for model in (source, source + ".nib"):
            got = exported(nibble, model, model + "-out")
            assert got.keys() == values.keys(), got.keys() ^ values.keys()
            for key, want in values.items():
                differences += same(got[key], want, types == {"mxfp4"})
                values_seen += want.numel()
    print(f"{name:26} {values_seen:9} {differences:11}  {', '.join(sorted(types)):14} {text}", flush=True)
    return differences


def check_all(nibble, wanted=()):
    print(f"{'encoding':26} {'values':>9} {'differences':>11}  {'types':14} as `nibble info` says it")
    with tempfile.TemporaryDirectory() as scratch:
        bad = sum(check_kind(nibble, name, make, quantization, scratch) for name, (make, quantization) in E.kinds().items()
                  if not wanted or name in wanted)
    print("differences:", bad)
    return bad


def check_model(nibble, model, text, kinds):
    """Negative log-likelihoods of the first windows of the text, nibble's and transformers'."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    import shutil
    weights = load_file(f"{model}/model.safetensors")
    config = json.load(open(f"{model}/config.json"))
    every = E.kinds()
    every["fp8-blocks"] = E.float8_blocks([128, 128])
    every["gptq-4"] = E.gptq(4, 32, True, True, False)
    ids = AutoTokenizer.from_pretrained(model)(open(text).read())["input_ids"]
    context, windows = 256, len(ids) // 256
    worst = 0
    for kind in kinds or ["gptq-4", "gptq-4-order", "fp8-blocks", "packed-4", "bnb-nf4"]:
        tensors, with_quantization, values = E.encode(weights, *every[kind][:1], config, every[kind][1])
        with tempfile.TemporaryDirectory() as scratch:
            source = f"{scratch}/model"
            write(source, tensors, with_quantization)
            for name in os.listdir(model):
                if not os.path.exists(f"{source}/{name}") and not name.endswith(".safetensors"):
                    shutil.copy(f"{model}/{name}", source)
            run(nibble, "convert", source, "-o", source + ".nib", "-q")
            size = os.path.getsize(source + ".nib")
            report = json.loads(run(nibble, "eval", source + ".nib", "--text", text, "--ctx", str(context), "-q", "--json", "-"))
        hf = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model), dtype=torch.float32)
        hf.load_state_dict(values, strict=False)
        hf.tie_weights()
        total = count = 0
        with torch.no_grad():
            for i in range(windows):
                window = torch.tensor([ids[i * context:(i + 1) * context]])
                logp = hf(window).logits[0].log_softmax(-1)
                scored = range(context // 2, context - 1)
                total -= sum(float(logp[p, window[0, p + 1]]) for p in scored)
                count += len(scored)
        nll = find(report, "mean_nll")
        print(f"{kind:20} {size / 2**20:7.1f} MiB  nibble {nll:.6f}  transformers {total / count:.6f}  "
              f"difference {abs(nll - total / count):.2g}", flush=True)
        worst = max(worst, abs(nll - total / count))
    return worst > 1e-3


def find(report, key):
    if isinstance(report, dict):
        if key in report:
            return report[key]
        report = list(report.values())
    for item in report if isinstance(report, list) else []:
        found = find(item, key)
        if found is not None:
            return found
    return None


if __name__ == "__main__":
    nibble = sys.argv[1] if len(sys.argv) > 1 else "build/release/nibble"
    sys.exit(bool(check_all(nibble, sys.argv[2:]) if len(sys.argv) < 4 or not os.path.isdir(sys.argv[2]) else check_model(nibble, sys.argv[2], sys.argv[3], sys.argv[4:])))
