#!/usr/bin/env python3
"""What transformers says of a checkpoint and a text, for `make test` to compare with: mean NLL of every window.

    pip install torch transformers
    scripts/make_golden.py MODEL_DIR TEXT CTX WINDOWS OUT.json       (WINDOWS 0: all)

f32 arithmetic, log-softmax in f64. The protocol is nibble eval's (and llama-perplexity's): the text is tokenized once;
windows are consecutive runs of CTX ids; where the tokenizer adds a BOS it replaces the first id of each window; a window
scores its positions CTX/2 .. CTX-2, each predicting the next id."""
import json
import math
import os
import sys

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast


def main():
    directory, text, ctx, limit, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    torch.set_num_threads(2)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(directory, "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with open(text, encoding="utf-8", newline="") as f:
        ids = tokenizer(f.read()).input_ids
    template = tokenizer("").input_ids
    windows = [ids[i:i + ctx] for i in range(0, len(ids) - ctx + 1, ctx)]
    if limit:
        windows = windows[:limit]
    means, total, count = [], 0.0, 0
    with torch.no_grad():
        for window in windows:
            if template:
                window[0] = template[0]
            x = torch.tensor([window])
            logp = model(x).logits[0].double().log_softmax(-1)
            nll = -logp[ctx // 2:-1].gather(1, x[0, ctx // 2 + 1:, None])
            means.append(round(nll.mean().item(), 7))
            total, count = total + nll.sum().item(), count + nll.numel()
    report = {"ctx": ctx, "windows": len(windows), "ids_in_text": len(ids), "bos": template[0] if template else None,
              "first_ids": ids[:16], "scored": count, "mean_nll": round(total / count, 8),
              "ppl": round(math.exp(total / count), 6), "window_nll": means}
    with open(out, "w") as f:
        f.write("{" + ",\n ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in report.items()) + "}\n")
    print(report["mean_nll"], report["ppl"])


if __name__ == "__main__":
    main()
