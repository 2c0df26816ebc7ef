#!/usr/bin/env python3
"""Writes tests/data/torch/: what torch.save (PyPI `torch`) makes of some tensors, and the same tensors as safetensors.

    scripts/make_torch_goldens.py

kinds.safetensors (PyPI `safetensors`) holds what must be read from each of kinds-2.pt and kinds-4.pt (by pickle protocol),
deflated.pt (the first, its archive packed anew) and checkpoint.pt (a training checkpoint around the same dictionary).
legacy.pt is in the format from before PyTorch 1.6.
"""
import collections
import os
import zipfile

import torch
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(__file__), "..", "tests", "data", "torch")


def tensors():
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    cube = torch.randn(2, 3, 4).half()
    linear = torch.nn.Linear(3, 2)
    return collections.OrderedDict(
        f32=base, tied=base, rows=base[1:3], transposed=base.t(), scalar=torch.tensor(3.5), empty=torch.zeros(0, 3),
        f16=cube, permuted=cube.permute(2, 0, 1), one=torch.randn(1, 5)[:, 1:3], parameter=torch.nn.Parameter(torch.randn(3)),
        bf16=torch.randn(3, 2).bfloat16(), f64=torch.randn(2).double(), i8=torch.arange(-2, 2, dtype=torch.int8),
        i16=torch.arange(300, 303, dtype=torch.int16), i32=torch.arange(3, dtype=torch.int32), i64=torch.arange(-1, 2),
        u8=torch.arange(250, 256, dtype=torch.uint8), bool=torch.tensor([True, False, True]), **linear.state_dict())


def main():
    os.makedirs(OUT, exist_ok=True)
    path = lambda name: os.path.join(OUT, name)
    kinds = tensors()
    kinds._metadata = torch.nn.Linear(1, 1).state_dict()._metadata  # an attribute of the dictionary, as modules have it
    save_file({k: v.detach().clone().contiguous() for k, v in kinds.items()}, path("kinds.safetensors"))
    for protocol in (2, 4):
        torch.save(kinds, path(f"kinds-{protocol}.pt"), pickle_protocol=protocol)
    torch.save({"epoch": 3, "args": [None, 1.5, "x"], "state_dict": kinds}, path("checkpoint.pt"))
    torch.save({"a": torch.ones(2)}, path("legacy.pt"), _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(path("kinds-2.pt")) as stored, \
            zipfile.ZipFile(path("deflated.pt"), "w", zipfile.ZIP_DEFLATED) as deflated:
        for entry in stored.infolist():
            deflated.writestr(zipfile.ZipInfo(entry.filename), stored.read(entry), zipfile.ZIP_DEFLATED)


main()
