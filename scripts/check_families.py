#!/usr/bin/env python3
"""Every family against other people's code: one configuration or two of each, as a small random checkpoint with the
tokenizer of tests/data/kjv, evaluated, exported to GGUF for llama.cpp and to a directory for transformers.

    pip install torch transformers safetensors tokenizers gguf
    make all programs && scripts/check_families.py [--only NAME...] [--peers ../peers] [--build build/release]

NAME: a case of scripts/family_cases.py that is listed in ROWS below, or how some begin: gemma. PEERS holds bin/llama-perplexity and
llama.cpp's sources (--bin, --llama-cpp: where these are elsewhere). Prints a Markdown table, then notes: why something
was refused, and which keys of llama.cpp's converter are missing or others. Columns:
    golden      worst error of a token's NLL over all goldens of the family (tests/test_families)
    NLL         worst difference of a token's NLL from transformers', over all windows, f32
    GGUF        perplexity by nibble and by llama-perplexity of the exported file (f32 or q8_0), and their relative
                difference; what nibble says of the directory is equal to within 1e-5 or a note says otherwise
    HF          greatest difference of logits that transformers computes from an exported directory, made of the
                original and of its .nib
    tensors     equal in name, shape, type and bytes to those of convert_hf_to_gguf, whose tokenizers are passed over
                (it knows those of downloads alone)
"""
import argparse
import copy
import csv
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import gguf
import numpy
import tokenizers
import torch
import transformers
from family_cases import CASES
from make_family_goldens import load, spread, template, values, write_json
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
KJV = os.path.join(HERE, "../tests/data/kjv")
TEXT = f"{KJV}/heldout.txt"
CTX, WINDOWS = 256, 2
VOCAB, BOS, EOS, PAD = 1024, 0, 1, 1
HEAD_SCALE = 0.25

# What is shown, in this order: (family, case, what is changed in its config so that blocks of 32 fit).
ROWS = [
    ("GPT-2", "gpt2-hub", {"n_embd": 96}),
    ("Llama 1, 2", "llama-inv-freq", {}),
    ("Llama 3.1", "llama-llama3-tied", {"hidden_size": 96}),
    ("BLOOM", "bloom-3-heads-hub", {"n_embed": 96}),
    ("Mistral", "mistral-head-dim-hub", {}),
    ("Mistral, window", "mistral-window", {}),
    ("Mixtral", "mixtral", {}),
    ("Qwen2", "qwen2-hub", {}),
    ("Qwen3", "qwen3-hub", {}),
    ("Qwen3-MoE", "qwen3moe-hub", {"moe_intermediate_size": 64}),
    ("Gemma", "gemma-hub", {}),
    ("Gemma 2", "gemma2-hub", {"query_pre_attn_scalar": 16}),
    ("Gemma 3", "gemma3-hub", {"query_pre_attn_scalar": 24}),
    ("Gemma 3, images", "gemma3-images-hub", {"query_pre_attn_scalar": 16}),
    ("Phi-2", "phi2-hub", {"intermediate_size": 256}),
    ("Phi-3", "phi3-hub", {"original_max_position_embeddings": 2 * CTX, "sliding_window": 2 * CTX}),
    ("Phi-4-mini", "phi3-mini4-hub", {"sliding_window": 2 * CTX}),
    ("GPT-NeoX", "gptneox-hub", {}),
    ("GPT-J", "gptj-hub", {}),
    ("OPT", "opt-decoder-hub", {"hidden_size": 96, "word_embed_proj_dim": 96}),
    ("Falcon 7B", "falcon-7b-hub", {"hidden_size": 96, "num_attention_heads": 6}),
    ("Falcon 40B", "falcon-40b-hub", {}),
    ("Falcon RW", "falcon-rw-hub", {}),
    ("StableLM", "stablelm-hub", {}),
    ("StableLM 2 12B", "stablelm-12b-hub", {}),
    ("StarCoder2", "starcoder2-hub", {"sliding_window": 2 * CTX}),
    ("OLMo", "olmo-hub", {}),
    ("OLMo 2", "olmo2-hub", {}),
    ("SmolLM3", "smollm3", {}),
    ("Granite", "granite-hub", {}),
    ("gpt-oss", "gptoss-hub", {}),
    ("DeepSeek-V2", "deepseek2-lite-hub", {"kv_lora_rank": 32, "qk_nope_head_dim": 24}),
    ("DeepSeek-V3", "deepseek3-hub", {"kv_lora_rank": 32, "q_lora_rank": 32, "qk_nope_head_dim": 24}),
    ("Cohere", "cohere-hub", {}),
    ("Cohere 2", "cohere2-hub", {}),
]


class Failed(Exception):
    pass


def run(command, **environment):
    """Its output. Failed with the line that says why."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, errors="replace",
                              env=os.environ | environment)
    except subprocess.TimeoutExpired:
        raise Failed(f"{os.path.basename(command[0])}: no end after ten minutes")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        told = [line for line in lines if re.search("error", line, re.I)] or lines or [f"exit code {done.returncode}"]
        raise Failed(told[-1])
    return done.stdout + done.stderr


# ---- the checkpoint

def adapt(name, changes):
    """The case with kjv's vocabulary and positions enough for its windows."""
    case = copy.deepcopy(CASES[name])
    config = case["config"].get("text_config", case["config"])
    config |= changes | {"vocab_size": VOCAB}
    for key, value in (("bos_token_id", BOS), ("eos_token_id", EOS), ("pad_token_id", PAD), ("unk_token_id", PAD)):
        for holder in (case["config"], config):
            if key in holder:
                holder[key] = value
    for key in ("n_positions", "n_ctx", "max_position_embeddings"):
        if key in config:
            config[key] = max(config[key], 2 * CTX)
    return case


def make(case, directory):
    """By the rule of make_family_goldens.py, but for the head, which is less sure of itself: of ten times as many tokens
    more are near the greatest logit, and a perplexity of millions says little."""
    os.mkdir(directory)
    with tempfile.TemporaryDirectory() as other:
        config, shapes = template(case, other)
    head = r"lm_head|embed_out" if any(re.search("lm_head|embed_out", name) for name in shapes) else \
        r"embed_tokens|wte|word_embeddings\.|embed_in"
    weights = {}
    for name, shape in shapes.items():
        scale, offset = spread(name, shape, case)
        scale *= HEAD_SCALE if re.search(head, name) else 1
        weights[name] = values(name, case.get("seed", 1), list(shape), scale, offset)
    write_json(f"{directory}/config.json", config)
    save_file(weights, f"{directory}/model.safetensors", metadata={"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{KJV}/{name}", directory)


def windows():
    tokenizer = tokenizers.Tokenizer.from_file(f"{KJV}/tokenizer.json")
    with open(TEXT, encoding="utf-8") as f:
        ids = tokenizer.encode(f.read()).ids
    return torch.tensor([[BOS, *ids[CTX * w + 1:CTX * (w + 1)]] for w in range(WINDOWS)])


@torch.no_grad()
def logits(directory, case, ids):
    model, report = load(directory, torch.float32, case.get("attention", "eager"))
    if report["missing_keys"]:
        raise Failed(f"transformers misses {sorted(report['missing_keys'])[0]}")
    return torch.stack([model(row[None]).logits[0] for row in ids])


# ---- nibble and llama.cpp

class Tools:
    def __init__(self, options):
        self.nibble = f"{options.build}/nibble"
        self.tests = f"{options.build}/tests/test_families"
        self.perplexity = f"{options.bin or options.peers + '/bin'}/llama-perplexity"
        found = glob.glob(options.llama_cpp or f"{options.peers}/llama_cpp_python-*/vendor/llama.cpp")
        self.converter = found[0] if found else None
        for path in (self.nibble, self.tests, self.perplexity):
            if not os.access(path, os.X_OK):
                raise SystemExit(f"check_families.py: {path} is not there (make all programs; --build, --peers, --bin)")
        if not self.converter:
            raise SystemExit("check_families.py: llama.cpp's sources are not there (--llama-cpp)")

    def evaluate(self, path, rows=None):
        out = run([self.nibble, "eval", "-q", path, "--text", TEXT, "--ctx", str(CTX), "--windows", str(WINDOWS),
                   "--json", "-", *(["--per-token", rows] if rows else [])])
        return json.loads(out)["models"][0]["ppl"]

    def export(self, model, output, *options):
        run([self.nibble, "export", "-q", model, "-o", output, *options])
        return output

    def their_ppl(self, path):
        """After the last window. The end of what it says is at times lost when it ends."""
        for _ in range(8):
            out = run([self.perplexity, "-m", path, "-f", TEXT, "-c", str(CTX), "-b", str(CTX), "--chunks",
                       str(WINDOWS), "-t", "2", "-ctk", "f32", "-ctv", "f32", "-fa", "off"])
            found = re.search(rf"\[{WINDOWS}\](\d+\.\d+)", out)
            if found:
                return float(found[1])
        raise Failed("llama-perplexity gave no perplexity")

    def their_gguf(self, directory, output):
        """By convert_hf_to_gguf without the tokenizer, which for some families must be that of the downloads."""
        script = ("import sys, runpy; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/gguf-py']\n"
                  "import conversion\n"
                  "find = conversion.get_model_class\n"
                  "def found(*rest, **more):\n"
                  "    model = find(*rest, **more)\n"
                  "    model.set_vocab = lambda self: None\n"
                  "    return model\n"
                  "conversion.get_model_class = found\n"
                  "sys.argv = [sys.argv[1] + '/convert_hf_to_gguf.py', *sys.argv[2:]]\n"
                  "runpy.run_path(sys.argv[0], run_name='__main__')\n")
        run([sys.executable, "-c", script, self.converter, directory, "--outtype", "f32", "--outfile", output])
        return output

    def golden_errors(self):
        """{family: (worst error, goldens)}; a golden that fails counts as infinite."""
        out = subprocess.run([self.tests], capture_output=True, text=True).stdout
        worst = {os.path.basename(p)[:-5]: float("inf") for p in glob.glob(f"{HERE}/../tests/data/families/*.json")}
        worst |= {name: float(error) for name, error in re.findall(r"^(\S+) +worst (\S+) \(", out, re.M)}
        errors = {}
        for name, error in worst.items():
            errors.setdefault(name.split("-")[0], []).append(error)
        return {family: (max(each), len(each)) for family, each in errors.items()}


# ---- one row

def off(a, b):
    """How far numbers of one shape are from each other, as text; or what else differs."""
    if not a or not b:
        return " (there alone)" if b else " (here alone)"
    if list(a.shape) != list(b.shape):
        return f" {list(a.shape)}, {list(b.shape)}"
    if a.tensor_type != b.tensor_type:
        return f" {a.tensor_type.name}, {b.tensor_type.name}"
    return f" (by up to {numpy.abs(a.data / b.data - 1).max():.0e} of the value)"


class Row:
    def __init__(self, tools, family, name, changes, notes):
        self.tools, self.family, self.name, self.notes = tools, family, name, notes
        self.case = adapt(name, changes)

    def note(self, text):
        text = re.sub(r"/tmp/\w+/", "", re.sub(r"^(error|ERROR): *", "", text))
        self.notes.append(f"{self.name}: {text}")
        return f"[{len(self.notes)}]"

    def cells(self, method, count):
        """Those of a method, or where it failed why, in the first of them."""
        try:
            return method()
        except Exception as error:
            kind = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
            return [f"no {self.note(kind + str(error))}"] + ["-"] * (count - 1)

    def against_transformers(self):
        self.ids = windows()
        self.logits = logits(self.directory, self.case, self.ids)
        rows = f"{self.work}/tokens.csv"
        self.ppl = self.tools.evaluate(self.directory, rows)
        nll, worst = -self.logits.double().log_softmax(-1), 0
        with open(rows) as f:
            scored = list(csv.DictReader(f))
        for row in scored:
            w, p, token = (int(row[key]) for key in ("window", "position", "token"))
            if self.ids[w, p] != token:
                raise Failed(f"token {token} at {w}, {p} is not that of the tokenizers library")
            worst = max(worst, abs(nll[w, p - 1, token].item() - float(row["nll_0"])))
        return [f"{worst:.0e}"]

    def both(self, path):
        ours, theirs = self.tools.evaluate(path), self.tools.their_ppl(path)
        return ours, [f"{ours:.4f} / {theirs:.4f}", f"{(theirs - ours) / ours:+.0e}"]

    def gguf(self):
        self.exported = self.tools.export(self.directory, f"{self.work}/x.gguf", "--dtype", "f32")
        ours, cells = self.both(self.exported)
        if abs(ours / self.ppl - 1) > 1e-5:
            cells[0] += f" {self.note(f'the GGUF has perplexity {ours:.5f}, the directory {self.ppl:.5f}')}"
        return cells

    def gguf_q8(self):
        q8 = f"{self.work}/q8.nib"
        run([self.tools.nibble, "quant", "-q", self.nib, "-o", q8, "--type", "q8_0"])
        return self.both(self.tools.export(q8, f"{self.work}/q8.gguf"))[1]

    def huggingface(self):
        worst = 0
        for source, output in ((self.directory, f"{self.work}/hf/"), (self.nib, f"{self.work}/hf-nib/")):
            self.tools.export(source, output)
            off = (logits(output, self.case, self.ids[:1]) - self.logits[:1]).abs().max().item()
            worst = max(worst, off)
        return [f"{worst:.0e}" if worst else "0"]

    def tensors(self):
        theirs = gguf.GGUFReader(self.tools.their_gguf(self.directory, f"{self.work}/theirs.gguf"))
        ours = gguf.GGUFReader(self.exported)
        a, b = ({t.name: t for t in reader.tensors} for reader in (ours, theirs))
        same = [name for name in a if name in b and a[name].tensor_type == b[name].tensor_type
                and list(a[name].shape) == list(b[name].shape) and numpy.array_equal(a[name].data, b[name].data)]
        cell = f"{len(same)} of {len(b)}"
        unlike = [name + off(a.get(name), b.get(name)) for name in {**a, **b} if name not in same]
        if unlike:
            cell += f" {self.note('tensors that differ: ' + ', '.join(unlike[:4]))}"
        keys = self.keys(ours, theirs)
        if keys:
            cell += f" {self.note('keys (here, there): ' + '; '.join(keys))}"
        return [cell]

    def keys(self, ours, theirs):
        """Theirs that ours lack or say otherwise, but for what names the model."""
        out, free = [], re.compile(r"GGUF\.|general\.(?!architecture)|tokenizer\.")
        for key in theirs.fields:
            x, y = (reader.fields[key].contents() if key in reader.fields else None for reader in (ours, theirs))
            if x != y and not free.match(key):
                out.append(f"{key} {str(x)[:40]}, {str(y)[:40]}")
        return out

    def run(self, errors):
        error, count = errors.get(self.name.split("-")[0], (None, 0))
        head = [self.family, self.name, f"{error:.0e} ({count})" if count else "none"]
        with tempfile.TemporaryDirectory() as self.work:
            self.directory, self.nib, self.exported = f"{self.work}/model", f"{self.work}/model.nib", None
            make(self.case, self.directory)
            cells = self.cells(self.against_transformers, 1)
            if cells[0].startswith("no"):
                return head + cells + ["-"] * 6
            run([self.tools.nibble, "convert", "-q", self.directory, "-o", self.nib])
            cells += self.cells(self.gguf, 2)
            cells += self.cells(self.gguf_q8, 2) if self.exported else ["-"] * 2
            cells += self.cells(self.huggingface, 1)
            cells += self.cells(self.tensors, 1) if self.exported else ["-"]
        return head + cells


HEAD = ["family", "configuration", "golden (number)", "NLL", "GGUF f32: ours / llama.cpp", "difference",
        "GGUF q8_0: ours / llama.cpp", "difference", "HF logits", "tensors"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[""])
    parser.add_argument("--peers", default=f"{HERE}/../../peers")
    parser.add_argument("--bin", help="where llama-perplexity is, if not in PEERS/bin")
    parser.add_argument("--llama-cpp", help="llama.cpp's sources")
    parser.add_argument("--build", default="build/release")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    tools = Tools(options)
    errors, notes = tools.golden_errors(), []
    for line in (HEAD, ["---"] * len(HEAD)):
        print("| " + " | ".join(line) + " |", flush=True)
    for family, name, changes in ROWS:
        if any(name.startswith(only) for only in options.only):
            row = Row(tools, family, name, changes, notes)
            print("| " + " | ".join(row.cells(lambda: row.run(errors), len(HEAD))) + " |", flush=True)
    print("\n" + "\n".join(f"{i}. {text}" for i, text in enumerate(notes, 1)))


if __name__ == "__main__":
    main()
