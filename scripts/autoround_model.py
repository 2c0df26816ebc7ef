#!/usr/bin/env python3
"""A model by AutoRound (PyPI auto-round), on the CPU: 4 bits in groups of 32, symmetric, calibrated on a text of one's own.

    scripts/autoround_model.py MODEL_DIR CALIBRATION_TEXT OUT_DIR ITERATIONS [WINDOWS [CTX [BATCH]]]

OUT_DIR becomes a directory in GPTQ's packing, which nibble reads exactly (as q4_0); embedding and norms stay as they were.
scripts/quality_curve.py takes it as OTHERS="AutoRound=OUT_DIR". Needs torch, transformers and auto-round. Environment: THREADS=2
"""
import os
import sys
import time
from pathlib import Path

import torch
from auto_round import AutoRound
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    model_dir, text, out, iterations = sys.argv[1:5]
    windows, ctx, batch = [int(a) for a in sys.argv[5:8]] + [128, 512, 8][len(sys.argv) - 5:]
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    ids = tokenizer(Path(text).read_text(encoding="utf-8"), return_tensors="pt").input_ids[0]
    if len(ids) < windows * ctx:
        sys.exit(f"{text} has only {len(ids) // ctx} windows of {ctx} tokens, not {windows}")
    samples = [ids[i * ctx:(i + 1) * ctx].unsqueeze(0) for i in range(windows)]
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.bfloat16)
    start = time.time()
    rounding = AutoRound(model, tokenizer, scheme="W4A16", group_size=32, sym=True, dataset=samples, iters=int(iterations),
                         seqlen=ctx, nsamples=windows, batch_size=batch, device_map="cpu", low_gpu_mem_usage=False, seed=42)
    rounding.quantize_and_save(out, format="auto_gptq")
    print(f"{out}: {iterations} iterations, {windows} windows of {ctx}, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
