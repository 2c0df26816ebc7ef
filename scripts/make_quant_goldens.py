#!/usr/bin/env python3
"""Writes tests/data/quant/: rows of weights, and what gguf-py and llama.cpp make of them.

    pip install gguf numpy && python scripts/make_quant_goldens.py path/to/libggml-base.so

rows.f32: ROWS rows of 512, the first ORDINARY of them as weights are, the others extreme. importance.f32: one row.
TYPE.blocks: for q8_0, q4_0, q4_1, q5_0, q5_1, mxfp4 the bytes of gguf.quants.quantize for all rows; for the others
those of llama.cpp's ggml_quantize_chunk for the ordinary rows. importance.txt: for each type the squared error of
llama.cpp's blocks of the ordinary rows made with that importance: weighted by it, relative to the row's weighted squares,
mean over rows.
"""
import ctypes
import pathlib
import sys
import warnings

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

COLS, ORDINARY = 512, 16
ROUNDED = [T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.MXFP4]
SEARCHED = [T.IQ4_NL, T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_XS, T.Q3_K, T.Q2_K]


def ordinary_rows(rng):
    def bf16(x):  # as checkpoints store them
        return (x.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)

    shape = (4, COLS)
    return np.concatenate([
        bf16(rng.normal(0, 0.02, shape)),
        rng.laplace(0, 0.03, shape),
        rng.standard_t(4, shape) * 0.05,
        rng.normal(0, 0.02, shape) * np.repeat(np.exp(rng.normal(0, 0.7, (4, COLS // 32))), 32, axis=1),
    ]).astype(np.float32)


def extreme_rows(rng):
    f32 = np.finfo(np.float32)

    def normal(scale=1.0):
        return (rng.normal(0, 1, COLS) * scale).astype(np.float32)

    def blockwise(values):  # one value a block of 32, repeated when there are fewer than blocks
        return np.repeat(np.resize(np.array(values, np.float32), COLS // 32), 32)

    zeros = np.zeros(COLS, np.float32)
    sparse = zeros.copy()
    sparse[::37] = normal()[::37]
    outlier = normal(0.01)
    outlier[5::64] = 3.0
    ties = np.resize(np.array([8, -8, 7, -7, 0.5, -0.5, 1.5, 2.5, 0, -0.0], np.float32), COLS)
    return np.stack([
        zeros, -zeros, np.where(rng.random(COLS) < 0.5, 0, -zeros), rng.choice(np.float32([0, -0.0, 1]), COLS),
        abs(normal()), -abs(normal()), 5 + normal(0.01), blockwise([1, -1, 0.1, -1e-3, 7e4, -1e30, 1e-40, 0]),
        sparse, outlier, ties, rng.choice(np.float32([-1, 1]), COLS),
        normal(1e-8), normal(2e-7), normal(1e-38), normal(1e-40), rng.choice(np.float32([0, 1, -3]), COLS) * f32.smallest_subnormal,
        normal(6e4), normal(6e5), normal(1e30), rng.choice(np.float32([-1, 1, 0.5]), COLS) * f32.max,
        rng.choice(np.float32([1e-30, 1, 1e30]), COLS), blockwise(10.0 ** np.arange(-44, 37, 5)) * normal(),
    ]).astype(np.float32)


def main():
    to = pathlib.Path(__file__).resolve().parent.parent / "tests/data/quant"
    to.mkdir(parents=True, exist_ok=True)
    ggml = ctypes.CDLL(sys.argv[1])
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    pointer, long = ctypes.c_void_p, ctypes.c_int64
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, long, long, long, pointer]

    def llama(x, kind, importance=None):
        block, size = GGML_QUANT_SIZES[kind]
        out = np.zeros((len(x), x.shape[1] // block * size), np.uint8)
        weights = importance.ctypes.data if importance is not None else None
        ggml.ggml_quantize_chunk(kind, x.ctypes.data, out.ctypes.data, 0, len(x), x.shape[1], weights)
        return out

    rng = np.random.default_rng(20262)
    warnings.simplefilter("ignore", RuntimeWarning)  # the extreme rows overflow, as they should
    usual = ordinary_rows(rng)
    rows = np.concatenate([usual, extreme_rows(rng)])
    importance = np.exp(rng.normal(0, 1, COLS)).astype(np.float32)
    (to / "rows.f32").write_bytes(rows.tobytes())
    (to / "importance.f32").write_bytes(importance.tobytes())
    for kind in ROUNDED:
        (to / f"{kind.name.lower()}.blocks").write_bytes(quantize(rows, kind).tobytes())
    for kind in SEARCHED:
        (to / f"{kind.name.lower()}.blocks").write_bytes(llama(usual, kind).tobytes())
    with open(to / "importance.txt", "w") as f:
        for kind in ROUNDED + SEARCHED:
            squares = (dequantize(llama(usual, kind, importance), kind).astype(float) - usual) ** 2
            relative = (importance * squares).sum(1) / (importance * usual.astype(float) ** 2).sum(1)
            f.write(f"{kind.name.lower()} {relative.mean():.9g}\n")
    print(f"{len(rows)} rows, {sum(p.stat().st_size for p in to.iterdir())} bytes", file=sys.stderr)


main()
