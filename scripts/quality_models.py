#!/usr/bin/env python3
"""Divergence at llama.cpp's sizes, for several models and texts: nibble's models, calibrated on the text that nibble
carries, beside llama.cpp's with an importance matrix of the same text. Losses are in the table as well.

    scripts/quality_models.py NAME=MODEL_DIR ... -- TEXT ...

For each of llama-quantize's types, as far as it takes the model's widths, a model of ours of at most as many bytes of tensors
(norms count as llama.cpp stores them, in f32). All are measured by nibble eval in f32. Writes models.md and models.csv into
WORK and the table to standard output; what was measured stays in WORK/NAME and is not measured again. Environment as for
quality_curve.py, with other defaults where a small job asks for them:
    WORK=build/models  PEERS=../peers  NIBBLE=build/release/nibble  THREADS=2  CTX=512  WINDOWS=20
    CALIBRATION=data/calibration.txt   CALIBRATION_WINDOWS=64  (the first so many, of both tools)
    TYPES="Q3_K_M Q4_0 IQ4_NL Q4_K_M Q5_K_S"   LABEL=nibble   QUANT=""  (options of nibble quant)
"""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from quality_curve import Curve, say

for _name, _value in [("WORK", "build/models"), ("WINDOWS", "20"), ("CALIBRATION_WINDOWS", "64"),
                      ("TYPES", "Q3_K_M Q4_0 IQ4_NL Q4_K_M Q5_K_S")]:
    os.environ.setdefault(_name, _value)
CALIBRATION = os.environ.get("CALIBRATION", str(Path(__file__).parent / "../data/calibration.txt"))


class SameSizes(Curve):
    """One model: a WORK directory of its own, all texts."""

    def __init__(self, name, model, texts, peers):
        super().__init__(model, CALIBRATION, texts[0], peers, Path(os.environ["WORK"]) / name)
        self.name, self.texts = name, texts
        self.impossible = []

    def make_base(self):
        """By nibble, whose exports engines read: convert_hf_to_gguf does not know the tokenizers of small models."""
        first = self.once("first.nib", self.nibble, "convert", "-q", self.model, "-o", "@")
        self.base = self.once("base.gguf", self.nibble, "export", "-q", first, "-o", "@")
        self.source = self.once("base.nib", self.nibble, "convert", "-q", self.base, "-o", "@")

    def make_theirs(self):
        types = self.types
        for kind in types:
            self.types = [kind]
            try:
                super().make_theirs()
            except SystemExit as failure:
                say(failure)
                self.impossible.append((kind, "llama-quantize"))

    def tensor_bytes(self, model):
        report = subprocess.run([self.nibble, "info", str(model), "--json", "-"], capture_output=True, text=True, check=True)
        return json.loads(report.stdout)["tensor_bytes"]

    def make_ours(self):
        self.sizes = {point[3]: self.tensor_bytes(point[2]) for point in self.points}
        for size in sorted(set(self.sizes.values())):
            name = f"{self.label}-{size}"
            try:
                model = self.once(name + ".nib", self.nibble, "quant", "-q", self.source, "-o", "@", "--size", size,
                                  "--calib", "default", "--calib-windows", self.calibration_windows, "--stats",
                                  self.path("base.stats"), "--threads", self.threads, *self.quant)
            except SystemExit as failure:
                say(failure)
                self.impossible.append((f"{size / 2**20:.2f} MiB", self.label))
                continue
            self.sizes[name] = size
            self.points.append((self.label, size, model, name))

    def measure(self):
        points = self.points
        for text in self.texts:
            self.text = text
            self.points = [(tool, what, model, f"{name}.{text.stem}") for tool, what, model, name in points]
            self.measure_ours()
            if self.path("base.json").exists():
                self.path("base.json").rename(self.path(f"base.{text.stem}.json"))
        self.points = points

    def result(self, name, text):
        return json.loads(self.path(f"{name}.{text.stem}.json").read_text())

    def rows(self):
        """One for each of llama.cpp's models: beside its own divergence the least of its models of at most that size."""
        ours = {size: name for tool, size, _, name in self.points if tool == self.label}
        theirs = [(self.sizes[name], what, name) for tool, what, _, name in self.points if tool == "llama.cpp"]
        for size, what, name in sorted(theirs):
            row = {"model": self.name, "type": what.partition(" ")[0], "MiB": size / 2**20, "ours": size in ours}
            for text in self.texts:
                def kld(model):
                    return self.result(model, text)["vs_base"]["kld_mean"]
                row["theirs " + text.stem] = kld(name)
                row["their best " + text.stem] = min(kld(n) for s, _, n in theirs if s <= size)
                row["ours " + text.stem] = kld(ours[size]) if size in ours else None
                row["ratio " + text.stem] = row["their best " + text.stem] / kld(ours[size]) if size in ours else None
            if size in ours:
                row["our MiB"] = self.result(ours[size], self.texts[0])["tensor_bytes"] / 2**20
            yield row


def report(models, texts):
    rows = [row for model in models for row in model.rows()]
    work = Path(os.environ["WORK"])
    with open(work / "models.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, list(dict.fromkeys(k for r in rows for k in r)), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)
    lines = []
    for model in models:
        base = [model.result("base", text) for text in texts]
        lines.append(f"{model.name}: {base[0]['tensor_bytes'] / 2**20:.2f} MiB; perplexity "
                     + ", ".join(f"{b['ppl']:.2f} ({t.stem})" for b, t in zip(base, texts))
                     + "".join(f"; no {what} by {tool}" for what, tool in model.impossible) + ".  ")
    lines += ["", "| model | MiB | llama.cpp's type | " + " | ".join(t.stem for t in texts) + " |",
              "|---|---:|---|" + "---:|" * len(texts)]
    for r in rows:
        cells = []
        for t in texts:
            if r["ours"]:
                cells.append(f"{r['theirs ' + t.stem]:.5f} / {r['ours ' + t.stem]:.5f} = {r['ratio ' + t.stem]:.2f}")
                if r["their best " + t.stem] < r["theirs " + t.stem]:
                    cells[-1] = cells[-1].replace(" =", f", best {r['their best ' + t.stem]:.5f}:")
                if r["ratio " + t.stem] < 1:
                    cells[-1] = f"**{cells[-1]}**"
            else:
                cells.append(f"{r['theirs ' + t.stem]:.5f} / -")
        lines.append(f"| {r['model']} | {r['MiB']:.3f} | {r['type']} | " + " | ".join(cells) + " |")
    table = "\n".join(lines) + "\n"
    (work / "models.md").write_text(table)
    print(table, end="")


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    cut = sys.argv.index("--")
    models, texts = [a.partition("=") for a in sys.argv[1:cut]], [Path(a) for a in sys.argv[cut + 1:]]
    if not models or not texts or not all(path for _, _, path in models):
        sys.exit(__doc__)
    curves = []
    for name, _, path in models:
        curve = SameSizes(name, path, texts, os.environ.get("PEERS", Path(__file__).parent / "../../peers"))
        curve.make_base()
        curve.make_theirs()
        curve.make_ours()
        curve.measure()
        curves.append(curve)
    report(curves, texts)


if __name__ == "__main__":
    main()
