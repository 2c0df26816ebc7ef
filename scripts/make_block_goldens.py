#!/usr/bin/env python3
"""Writes tests/data/blocks/: for every block type, some blocks and the f32 values that gguf.quants.dequantize gives.

    pip install gguf numpy && python scripts/make_block_goldens.py

TYPE.blocks holds the blocks' bytes one after another, TYPE.f32 their values, little-endian. The blocks: random codes
under ordinary scales; random codes under the extremes of half precision (zeros, subnormals, the largest, infinity, NaN);
every byte the same; every bit random, scales included.
"""
import pathlib
import sys
import warnings

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Where the half-precision numbers of a block are.
HALVES = {
    T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.IQ4_NL: [0],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q8_1: [0, 2], T.Q8_K: [], T.Q1_0: [0], T.IQ4_XS: [0], T.TQ1_0: [52],
    T.TQ2_0: [64], T.MXFP4: [], T.NVFP4: [], T.IQ1_S: [0], T.IQ1_M: [], T.IQ2_XXS: [0], T.IQ2_XS: [0], T.IQ2_S: [0],
    T.IQ3_XXS: [0], T.IQ3_S: [0],
}
# Of ggml's 36 bytes (d, sum, 32 codes) the package's table makes 40.
SIZES = {**GGML_QUANT_SIZES, T.Q8_1: (32, 36)}
EXTREME = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]


def plain_values(blocks, kind):
    """What dequantize lacks, from ggml-common.h's definitions."""
    half = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    if kind == T.Q8_1:
        return half * blocks[:, 4:].view(np.int8).astype(np.float32)
    if kind == T.Q8_K:
        return blocks[:, :4].copy().view(np.float32) * blocks[:, 4:260].view(np.int8).astype(np.float32)
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little")
    return np.where(bits == 1, half, -half)


def blocks_of(kind, rng):
    size = SIZES[kind][1]

    def random(count):
        return rng.integers(0, 256, (count, size), dtype=np.uint8)

    def put(blocks, at, halves):
        blocks[:, at:at + 2] = np.asarray(halves, np.uint16).reshape(-1, 1).view(np.uint8)

    ordinary = random(16)
    for at in HALVES[kind]:
        put(ordinary, at, rng.normal(0, 0.02, 16).astype(np.float16).view(np.uint16))
    extreme = random(len(EXTREME))
    for i, at in enumerate(HALVES[kind]):
        put(extreme, at, np.roll(EXTREME, 3 * i))
    same = np.repeat(np.array([0x00, 0x0F, 0xF0, 0x80, 0xFF], np.uint8), size).reshape(-1, size)
    for at in HALVES[kind]:
        put(same, at, [0x3C01] * len(same))
    return np.concatenate([ordinary, extreme, same, random(8)])


def main():
    to = pathlib.Path(__file__).resolve().parent.parent / "tests/data/blocks"
    to.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20261)
    warnings.simplefilter("ignore", RuntimeWarning)  # infinity times zero is wanted
    for kind in HALVES:
        blocks = blocks_of(kind, rng)
        values = (plain_values if kind in (T.Q8_1, T.Q8_K, T.Q1_0) else dequantize)(blocks, kind)
        (to / f"{kind.name.lower()}.blocks").write_bytes(blocks.tobytes())
        (to / f"{kind.name.lower()}.f32").write_bytes(values.astype("<f4").tobytes())
        print(f"{kind.name}: {len(blocks)} blocks, {values.size} values", file=sys.stderr)


main()
