#!/usr/bin/env python3
"""Compares nibble's quantizers with gguf-py's and llama.cpp's on the weights of a checkpoint: bytes, errors, speed.

    pip install gguf numpy && scripts/check_quant.py MODEL.safetensors path/to/libggml-base.so [TYPE ...]

Compiles quant/ into a shared object in a temporary directory (CC, default cc). Per type, over 2-D weights of the file
(widths that 256 divides for k types): whether the bytes are gguf-py's, where that is promised; the ratio of squared
errors to llama.cpp's, plain, by the weights that llama.cpp uses where it has no importance, and with an importance (one
random row a tensor; there weighted by it); MB/s of f32 on one thread, theirs beside.
"""
import ctypes
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEVELS = ["scalar", "avx2", "avx512"]  # core/cpu.h
NAMES = [n.lower() for n in re.findall(r"^    DT_(\w+),", (ROOT / "core/dtype.h").read_text(), re.M)]
MADE = "q8_0 q4_0 q4_1 q5_0 q5_1 iq4_nl mxfp4 q4_k q5_k q6_k iq4_xs q3_k q2_k".split()
ROUNDED = {"q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "mxfp4"}
TENSORS, ROWS = 16, 512  # at most this many, and of each the first rows

pointer, long = ctypes.c_void_p, ctypes.c_int64
QuantizeFn = ctypes.CFUNCTYPE(None, pointer, pointer, long, long, pointer)


def build(folder):
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-w", f"-I{ROOT}", "-c"]
    wide = {"scalar": [], "avx2": ["-mavx2", "-mfma", "-mf16c"]}
    wide["avx512"] = wide["avx2"] + ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
    compiler, objects = os.environ.get("CC", "cc"), []

    def compile(source, name, *more):
        objects.append(f"{folder}/{name}.o")
        subprocess.run([compiler, *flags, *more, "-o", objects[-1], str(source)], check=True)

    for source in sorted((ROOT / "quant").glob("lanes_*.c")):
        for target, more in wide.items():
            compile(source, f"{source.stem}.{target}", f"-DTARGET={target}", *more)
    for source in ("quant/quant.c", "quant/grid_blocks.c", "core/cpu.c", "core/dtype.c", "core/size.c"):
        compile(ROOT / source, pathlib.Path(source).stem)
    stub = pathlib.Path(folder, "kernels.c")  # only plain types use the kernels, and they are not asked for here
    stub.write_text("const void *kernels_get(void) { return 0; }\n")
    compile(stub, "kernels")
    library = f"{folder}/quant.so"
    subprocess.run([compiler, "-shared", "-o", library, *objects, "-lm", "-pthread"], check=True)
    lib = ctypes.CDLL(library)
    lib.quant_function_at.restype = pointer
    return lib


def weights(path):
    """2-D weights of a safetensors file as f32, evenly chosen."""
    data = np.memmap(path, np.uint8, "r")
    size = int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8:8 + size]))
    found = [t for n, t in sorted(header.items()) if n != "__metadata__" and len(t["shape"]) == 2]
    for wide in (True, False):
        some = [t for t in found if (t["shape"][1] % 256 == 0) == wide]
        for t in some[::max(1, len(some) // (TENSORS // 2))]:
            raw = data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]]
            if t["dtype"] == "BF16":
                x = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
            else:
                x = raw.view({"F16": "<f2", "F32": "<f4"}[t["dtype"]]).astype(np.float32)
            yield np.ascontiguousarray(x.reshape(t["shape"])[:ROWS])


def default_weights(name, x):
    if name == "q2_k":
        return abs(x)
    if name not in ("q4_k", "q5_k"):
        return x * x
    blocks = x.reshape(-1, 32)
    return (np.sqrt((blocks**2).mean(1, keepdims=True)) + abs(blocks)).reshape(x.shape)


class Pair:
    """One type, quantized by both; seconds add up over calls, the faster of two each time."""

    def __init__(self, ours, ggml, name, level):
        self.kind, self.ggml = T[name.upper()], ggml
        self.function = QuantizeFn(ours.quant_function_at(level, NAMES.index(name)))
        self.seconds, self.bytes = np.zeros(2), 0

    def __call__(self, x, importance):
        block, size = GGML_QUANT_SIZES[self.kind]
        out = np.zeros((2, len(x), x.shape[1] // block * size), np.uint8)
        w = importance.ctypes.data if importance is not None else None
        calls = [lambda: self.function(x.ctypes.data, out[0].ctypes.data, len(x), x.shape[1], w),
                 lambda: self.ggml.ggml_quantize_chunk(self.kind, x.ctypes.data, out[1].ctypes.data, 0, *x.shape, w)]
        for i, call in enumerate(calls):
            took = []
            for _ in range(2):
                start = time.perf_counter()
                call()
                took.append(time.perf_counter() - start)
            self.seconds[i] += min(took)
        self.bytes += x.nbytes
        return out

    def errors(self, blocks, x, w):
        return [(w * (dequantize(b, self.kind).astype(float) - x) ** 2).sum() for b in blocks]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    ggml = ctypes.CDLL(sys.argv[2])
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, long, long, long, pointer]
    tensors = list(weights(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        ours = build(folder)
        ours.quant_function_at(0, 0)
        level = max(i for i in range(3) if ours.quant_function_at(i, NAMES.index("q8_0")))
        print(f"{len(tensors)} tensors, {LEVELS[level]}; error / llama.cpp's, mean (worst tensor)")
        print(f"{'type':8}{'gguf-py bytes':15}{'plain':18}{'its weights':18}{'importance':18}{'MB/s, llama.cpp':18}with importance")
        for name in sys.argv[3:] or MADE:
            rng = np.random.default_rng(1)
            plain, weighted = Pair(ours, ggml, name, level), Pair(ours, ggml, name, level)
            ratios, same = [], True
            for x in tensors:
                if x.shape[1] % GGML_QUANT_SIZES[plain.kind][0]:
                    continue
                blocks = plain(x, None)
                if name in ROUNDED:
                    same &= np.array_equal(blocks[0], quantize(x, plain.kind))
                importance = np.exp(rng.normal(0, 1, x.shape[1])).astype(np.float32)
                both = weighted(x, importance)
                ratios.append([np.divide(*plain.errors(blocks, x, np.float32(1))),
                               np.divide(*plain.errors(blocks, x, default_weights(name, x))),
                               np.divide(*plain.errors(both, x, importance))])
            if not ratios:
                print(f"{name:8}no width fits")
                continue
            cells = [f"{m:.4f} ({w:.4f})" for m, w in zip(np.mean(ratios, 0), np.max(ratios, 0))]
            speed = ["{:.0f}, {:.0f}".format(*(p.bytes / p.seconds / 1e6)) for p in (plain, weighted)]
            print(f"{name:8}{('equal' if same else 'DIFFER') if name in ROUNDED else '-':15}"
                  + "".join(f"{c:18}" for c in cells + speed), flush=True)


main()
