#!/usr/bin/env python3
"""Makes tests/data/packed: one matrix of codes, scales and zeros as compressed-tensors and GPTQModel pack it.

    pip install torch compressed-tensors gptqmodel && scripts/make_packed_goldens.py

For each of 4 and 8 bits, ROWS x COLS in groups of GROUP: codes.BITS, scales.BITS (f16) and zeros.BITS are random; the others are
what the packages make of them, in the files' own order: weight_packed, weight_zero_point, qweight, qzeros (version 1), scales,
g_idx.
"""
import pathlib
import types

import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module

ROWS, COLS, GROUP = 32, 64, 32
OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/packed"


def put(name, tensor):
    (OUT / name).write_bytes(tensor.contiguous().numpy().tobytes())


def make(bits):
    generator = torch.Generator().manual_seed(bits)
    top = (1 << bits) - 1
    codes = torch.randint(0, top + 1, (ROWS, COLS), generator=generator)
    zeros = torch.randint(1, top + 1, (ROWS, COLS // GROUP), generator=generator)
    scales = (torch.rand(ROWS, COLS // GROUP, generator=generator) * 0.02 + 0.001).half()
    put(f"codes.{bits}", codes.to(torch.uint8))
    put(f"zeros.{bits}", zeros.to(torch.uint8))
    put(f"scales.{bits}", scales)

    half = 1 << (bits - 1)
    put(f"weight_packed.{bits}", pack_to_int32((codes - half).to(torch.int8), bits))
    put(f"weight_zero_point.{bits}", pack_to_int32((zeros - half).to(torch.int8), bits, packed_dim=0))

    group = torch.arange(COLS, dtype=torch.int32) // GROUP
    linear = torch.nn.Linear(COLS, ROWS, bias=False)
    linear.weight.data = (codes - zeros[:, group]) * scales.float()[:, group]
    module = TorchLinear(bits=bits, group_size=GROUP, sym=False, desc_act=False, in_features=COLS, out_features=ROWS)
    module.pack(linear, scales.float(), zeros.float(), group)
    convert_gptq_v2_to_v1_format_module(module, quantize_config=types.SimpleNamespace(bits=bits, pack_dtype=torch.int32))
    for name in ("qweight", "qzeros", "scales", "g_idx"):
        put(f"gptq_{name}.{bits}", getattr(module, name))


OUT.mkdir(parents=True, exist_ok=True)
for b in (4, 8):
    make(b)
