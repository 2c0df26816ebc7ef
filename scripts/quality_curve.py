#!/usr/bin/env python3
"""Divergence against size: nibble's models beside llama.cpp's of every type, on the same windows of the same text.

    scripts/quality_curve.py MODEL_DIR CALIBRATION_TEXT TEST_TEXT [PEERS_DIR]

PEERS_DIR (default: ../peers) has bin/llama-* and convert_hf_to_gguf, as shared/tools/peers.sh makes it. Each model is a
GGUF file, measured twice: its weights alone by nibble eval (f32), and by llama-perplexity, which rounds activations to
8 bits as engines do. Writes curve.md and curve.csv into WORK and the table to standard output. Environment:
    WORK=build/curve   what was measured stays here, and is not measured again
    NIBBLE=build/release/nibble  THREADS=2  CTX=512  WINDOWS=40  CALIBRATION_WINDOWS=100
    TYPES="Q4_0 ..."   llama-quantize's types; TYPE:plain without imatrix, TYPE/EMBEDDING with another type for the embedding
    SIZES="85.8 ..."   of our models, tensors' MiB; none: only llama.cpp's side is made
    LABEL=nibble       ... their name: results are kept by it, so another recipe needs another label
    QUANT="--stats F"  ... options of nibble quant beside --size; {calibration} is replaced by the calibration text's path
    OTHERS="name=PATH ..."  further models (.gguf, .nib or directories), for instance other tools'
convert_hf_to_gguf runs `python3`: put one with torch, transformers and gguf first in PATH.
"""
import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

LLAMA_TYPES = ("IQ1_S IQ2_XS IQ2_M Q2_K_S Q2_K IQ3_XXS IQ3_S IQ3_M Q3_K_S Q3_K_M Q3_K_L IQ4_XS IQ4_NL Q4_0 Q4_1 Q4_K_S Q4_K_M "
               "Q5_0 Q5_1 Q5_K_S Q5_K_M Q6_K Q8_0 Q4_0:plain Q4_1:plain IQ4_NL/Q5_0 IQ4_NL/Q5_1 Q5_0/Q5_0 Q5_1/Q5_1 Q8_0/Q5_1")
MODELS_AT_ONCE = 6  # of one nibble eval, which runs the base once for all of them


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def run(command, log):
    """Runs a command; what it prints goes to the file `log`. Ends the program when it fails."""
    with open(log, "w") as out:
        code = subprocess.run([str(c) for c in command], stdout=out, stderr=subprocess.STDOUT).returncode
    if code:
        tail = "\n".join(Path(log).read_text(errors="replace").splitlines()[-5:])
        sys.exit(f"quality_curve.py: failed ({code}): {shlex.join(map(str, command))}\n{tail}")


class Curve:
    def __init__(self, model, calibration, text, peers, work=None):
        env = os.environ.get
        self.model, self.calibration, self.text = Path(model), Path(calibration), Path(text)
        self.peers = Path(peers)
        self.nibble = env("NIBBLE", "build/release/nibble")
        self.work = Path(work or env("WORK", "build/curve"))
        self.threads, self.ctx, self.windows = env("THREADS", "2"), env("CTX", "512"), env("WINDOWS", "40")
        self.calibration_windows = env("CALIBRATION_WINDOWS", "100")
        self.types = env("TYPES", LLAMA_TYPES).split()
        self.sizes, self.label = env("SIZES", "").split(), env("LABEL", "nibble")
        self.quant = [o.replace("{calibration}", str(calibration)) for o in shlex.split(env("QUANT", ""))]
        self.others = [o.partition("=") for o in env("OTHERS", "").split()]
        self.work.mkdir(parents=True, exist_ok=True)
        self.check_protocol()
        self.points = []  # (tool, what it is, model's path, name of its results)

    def path(self, name):
        return self.work / name

    def check_protocol(self):
        """Results measured otherwise, or of another model, must not be taken for these."""
        now = {"model": str(self.model.resolve()), "calibration": str(self.calibration.resolve()), "text": str(self.text.resolve()),
               "ctx": self.ctx, "windows": self.windows, "calibration_windows": self.calibration_windows}
        kept = self.path("protocol.json")
        if kept.exists() and json.loads(kept.read_text()) != now:
            sys.exit(f"quality_curve.py: {self.work} holds results of another protocol ({kept}); name another WORK or empty it")
        base = self.path("base.gguf")
        if base.exists() and any(f.stat().st_mtime > base.stat().st_mtime for f in self.model.iterdir()):
            sys.exit(f"quality_curve.py: {self.model} is newer than what {self.work} holds; empty {self.work} first")
        kept.write_text(json.dumps(now, indent=1) + "\n")

    def once(self, name, *command):
        """Makes the file `name` by a command in which @ stands for it, unless it is there; under a passing name first."""
        target = self.path(name)
        if target.exists():
            return target
        say("making", name)
        part = self.path("part-" + name)  # the ending stays: tools tell formats by it
        run([part if c == "@" else c for c in command], self.path(name + ".log"))
        part.rename(target)
        return target

    def tool(self, name):
        return self.peers / "bin" / ("llama-" + name)

    def perplexity(self, model, *options):
        return [self.tool("perplexity"), "-m", model, "-c", self.ctx, "--chunks", self.windows, "-t", self.threads, *options]

    def make_base(self):
        self.base = self.once("base.gguf", self.peers / "convert_hf_to_gguf", self.model, "--outtype", "bf16", "--outfile", "@")
        self.logits = self.once("logits", *self.perplexity(self.base, "-f", self.text, "--kl-divergence-base", "@"))

    def make_theirs(self):
        imatrix = self.once("imatrix.gguf", self.tool("imatrix"), "-m", self.base, "-f", self.calibration, "-c", self.ctx, "--chunks",
                            self.calibration_windows, "-t", self.threads, "--no-ppl", "--output-format", "gguf", "-o", "@")
        for entry in self.types:
            kind, _, plain = entry.partition(":")
            kind, _, embedding = kind.partition("/")
            options = [] if plain else ["--imatrix", imatrix]
            if embedding:  # a tied embedding is the output as well
                options += ["--token-embedding-type", embedding, "--output-tensor-type", embedding]
            name = "llama.cpp-" + entry.replace(":", "-").replace("/", "-embedding-")
            model = self.once(name + ".gguf", self.tool("quantize"), *options, self.base, "@", kind, self.threads)
            words = kind + (f", embedding {embedding}" if embedding else "") + ("" if plain else " + imatrix")
            self.points.append(("llama.cpp", words, model, name))

    def make_ours(self):
        if not self.sizes:
            return
        source = self.once("base.nib", self.nibble, "convert", "-q", self.model, "-o", "@")
        for size in self.sizes:
            name = f"{self.label}-{size}"
            model = self.once(name + ".nib", self.nibble, "quant", "-q", source, "-o", "@", "--size", size + "MiB", "--threads",
                              self.threads, *self.quant)
            model = self.once(name + ".gguf", self.nibble, "export", "-q", model, "-o", "@")
            self.points.append((self.label, size + " MiB", model, name))

    def measure_theirs(self):
        """llama-perplexity's figures of each GGUF file: NAME.kld"""
        for _, _, model, name in self.points:
            if Path(model).suffix == ".gguf" and not self.path(name + ".kld").exists():
                say("llama-perplexity of", name)
                part = self.path("part-" + name + ".kld")
                run(self.perplexity(model, "--kl-divergence-base", self.logits, "--kl-divergence"), part)
                part.rename(self.path(name + ".kld"))

    def measure_ours(self):
        """nibble eval's figures: NAME.json"""
        missing = [p for p in self.points if not self.path(p[3] + ".json").exists()]
        for start in range(0, len(missing), MODELS_AT_ONCE):
            some = missing[start:start + MODELS_AT_ONCE]
            say("nibble eval of", *(p[3] for p in some))
            report = self.path("part-eval.json")
            run([self.nibble, "eval", "-q", self.base, *(p[2] for p in some), "--text", self.text, "--ctx", self.ctx, "--windows",
                 self.windows, "--threads", self.threads, "--json", report], self.path("eval.log"))
            models = json.loads(report.read_text())["models"]
            self.path("base.json").write_text(json.dumps(models[0]) + "\n")
            for (_, _, _, name), result in zip(some, models[1:], strict=True):
                self.path(name + ".json").write_text(json.dumps(result) + "\n")
            report.unlink()

    def row(self, tool, what, name):
        ours = json.loads(self.path(name + ".json").read_text())
        log = self.path(name + ".kld")
        log = log.read_text(errors="replace") if log.exists() else ""

        def found(pattern):
            match = re.search(pattern, log)
            return float(match[1]) if match else None
        return {"tool": tool, "what": what, "MiB": ours["tensor_bytes"] / 2**20, "bits_per_weight": ours["bits_per_weight"],
                "kld": ours["vs_base"]["kld_mean"], "kld_se": ours["vs_base"]["kld_se"], "kld_llama": found(r"Mean +KLD: +([-0-9.]+)"),
                "top1": 100 * ours["vs_base"]["top1"], "ppl": ours["ppl"], "ppl_llama": found(r"Mean PPL.Q. +: +([0-9.]+)")}

    def report(self):
        rows = sorted((self.row(tool, what, name) for tool, what, _, name in self.points), key=lambda r: (r["MiB"], -r["kld"]))
        with open(self.path("curve.csv"), "w", newline="") as out:
            writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)
        base = json.loads(self.path("base.json").read_text())
        lines = [f"{self.model.name}: {base['tensor_bytes'] / 2**20:.2f} MiB, perplexity {base['ppl']:.4f}; {self.windows} windows of "
                 f"{self.ctx} of {self.text.name}; imatrix of {self.calibration_windows} windows of {self.calibration.name}", "",
                 "| tool | type or size | MiB | bits/w | KLD, f32 (se) | KLD, llama-perplexity | top-1 % | PPL | llama.cpp's best of that size / this |",
                 "|---|---|---|---|---|---|---|---|---|"]
        best = None  # llama.cpp's least divergence of those so far, which are smaller
        for r in rows:
            ratio = ""
            if r["tool"] == "llama.cpp":
                best = r["kld"] if best is None else min(best, r["kld"])
            elif best is not None:
                ratio = f"{best / r['kld']:.2f}"
            theirs = "" if r["kld_llama"] is None else f"{r['kld_llama']:.5f}"
            lines.append(f"| {r['tool']} | {r['what']} | {r['MiB']:.2f} | {r['bits_per_weight']:.3f} | {r['kld']:.5f} ({r['kld_se']:.5f}) "
                         f"| {theirs} | {r['top1']:.2f} | {r['ppl']:.3f} | {ratio} |")
        table = "\n".join(lines) + "\n"
        self.path("curve.md").write_text(table)
        print(table, end="")


def main():
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    curve = Curve(*sys.argv[1:4], sys.argv[4] if len(sys.argv) == 5 else Path(__file__).parent / "../../peers")
    curve.make_base()
    curve.make_theirs()
    curve.make_ours()
    curve.points += [(name, "", path, name) for name, _, path in curve.others]
    curve.measure_ours()
    curve.measure_theirs()
    curve.report()


if __name__ == "__main__":
    main()
