#!/usr/bin/env python3
"""Writes quant/kernels/grids.h: the tables that GGUF's iq1, iq2 and iq3 blocks index, packed.

    pip install gguf numpy && python scripts/make_grids.py

They are part of the format and have no shorter definition; the gguf package (MIT licence, the ggml authors) has them.
"""
import pathlib

import numpy as np
from gguf import quants

NAMES = {"iq2_xxs": quants.IQ2_XXS, "iq2_xs": quants.IQ2_XS, "iq2_s": quants.IQ2_S, "iq3_xxs": quants.IQ3_XXS,
         "iq3_s": quants.IQ3_S, "iq1": quants.IQ1_S}
HEAD = """// Made by scripts/make_grids.py from the gguf package (https://github.com/ggml-org/llama.cpp, gguf-py, MIT licence): the
// tables are part of GGUF's format and have no shorter definition. Each entry is 8 levels of 2 bits, or 4 of 3 bits
// (iq3), the first element lowest.
#ifndef QUANT_GRIDS_H
#define QUANT_GRIDS_H

#include <stdint.h>

// clang-format off
"""


def pack(cls):
    cls.init_grid()
    levels = {float(v): i for i, v in enumerate(cls.grid_map)}
    count, width = cls.grid_shape
    bits = 16 // width if width == 8 else 3
    rows = cls.grid.reshape(count, width)
    return [sum(levels[float(v)] << bits * i for i, v in enumerate(row)) for row in rows]


def main():
    signs = np.frombuffer(quants.IQ2_XXS.ksigns, np.uint8)
    assert all(s == i | (bin(i).count("1") & 1) << 7 for i, s in enumerate(signs))  # computed, so not in the tables
    text = HEAD
    for name, cls in NAMES.items():
        values = pack(cls)
        text += f"static const uint16_t grid_{name}[{len(values)}] = {{\n"
        for at in range(0, len(values), 16):
            text += "    " + " ".join(f"0x{v:04x}," for v in values[at:at + 16]) + "\n"
        text += "};\n\n"
    text += "// clang-format on\n\n#endif\n"
    path = pathlib.Path(__file__).resolve().parent.parent / "quant/kernels/grids.h"
    path.write_text(text)


main()
