#!/usr/bin/env python3
"""Predicted divergence beside measured: weights of one kind after another rounded to TYPE, what a fisher statistics file says
that this costs (1/2 sum_r rho_r E_r H E_r^T, formats/STATS.md, read by the few lines below), and what nibble eval finds on the
same text.

    scripts/check_prediction.py MODEL TEXT [WINDOWS [TYPE [BUILD]]]

MODEL is anything nibble opens, in f32, f16 or bf16. Needs numpy.
"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np

model, text = sys.argv[1:3]
windows, kind, build = (sys.argv[3:] + [None] * 3)[:3]
windows, kind = windows or "16", kind or "q4_0"
nibble = os.path.join(build or "build/release", "nibble")


def run(*args):
    return subprocess.run([nibble, *args, "-q"], check=True, stdout=subprocess.PIPE, text=True).stdout


def container(path):
    data = np.memmap(path, np.uint8)
    start, = struct.unpack("<Q", data[24:32].tobytes())
    return data, json.loads(zlib.decompress(data[start:].tobytes()))


def floats(data, section):
    return data[section["offset"]:section["offset"] + section["bytes"]].view(np.float32)


def tensors(path):
    data, index = container(path)
    return {t["name"]: floats(data, t).reshape(t["shape"]) for t in index["tensors"]}


def symmetric(triangle, n):
    h = np.zeros((n, n))
    h[np.triu_indices(n)] = triangle
    return h + np.triu(h, 1).T


with tempfile.TemporaryDirectory() as d:
    p = lambda name: os.path.join(d, name)
    run("convert", model, "--dtype", "f32", "-o", p("base.nib"))
    run("stats", model, "--calib", text, "--windows", windows, "--no-outputs", "-o", p("stats"))
    base, (data, index) = tensors(p("base.nib")), container(p("stats"))
    part = lambda t, name: floats(data, index["sections"][t[name]]).astype(np.float64)
    entries = {t["name"]: t for t in index["tensors"]}
    kinds = sorted({re.sub(r"^blk\.\d+\.", "", n) for n in entries})
    print("%-24s %10s %10s %6s" % ("rounded to " + kind, "predicted", "measured", "ratio"))
    for name in kinds:
        hit = [n for n in entries if n == name or re.sub(r"^blk\.\d+\.", "", n) == name]
        pattern = r"(^|\.)%s$" % re.escape(name)
        run("quant", p("base.nib"), "-o", p("q.nib"), "--type", "f32", "--embed-type", "f32", "--output-type", "f32",
            "--only", pattern + "=" + kind)
        run("convert", p("q.nib"), "--dtype", "f32", "-o", p("rounded.nib"))
        rounded, predicted = tensors(p("rounded.nib")), 0
        for n in hit:
            e, t = (rounded[n] - base[n]).astype(np.float64), entries[n]
            predicted += 0.5 * float((e @ symmetric(part(t, "hessian"), t["cols"]) * e).sum(1) @ part(t, "row_weights"))
        report = json.loads(run("eval", p("base.nib"), p("q.nib"), "--text", text, "-n", windows, "--json", "-"))
        measured = report["models"][1]["vs_base"]["kld_mean"]
        print("%-24s %10.6f %10.6f %6.2f" % (name, predicted, measured, predicted / measured), flush=True)
