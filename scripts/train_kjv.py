#!/usr/bin/env python3
"""How tests/data/kjv was made: a small Llama trained on the King James Bible, from nothing, on a CPU.

    apt-get install bible-kjv bible-kjv-text        (the text; 4.38 was used)
    pip install torch transformers tokenizers safetensors gguf numpy
    scripts/train_kjv.py OUT_DIR [--steps N]

Writes a Hugging Face directory (bf16), and heldout.txt: whole books that neither the tokenizer nor the model saw.
At the end it prints the perplexity on them of the f32 weights, of the bf16 ones that it saved, and of those rounded to
Q8_0 and Q4_0 by PyPI gguf (linear layers; embedding and head at Q8_0, as nibble does by default).
The seeds are fixed; another version of torch, CPU or thread count rounds differently and gives another, equal model."""
import argparse
import json
import math
import os
import re
import subprocess
import time

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

HELD_OUT = ["Ruth", "Est", "Jonah", "Mic", "Eph", "Phi", "Jas"]  # 100 KB of history, prophets and letters
BOS, EOS = "<|begin|>", "<|end|>"
CONTEXT = 512
# Llama 3's split expression.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


def read_books():
    """{book: text}: a verse a line without its reference, an empty line between chapters."""
    lines = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True).stdout
    books, last = {}, None
    for line in lines.splitlines():
        book, chapter, verse = re.match(r"(\d?[A-Za-z]+)(\d+):\d+ (.*)", line).groups()
        text = books.get(book, "")
        if text and chapter != last:
            text += "\n"
        books[book] = text + verse.strip() + "\n"
        last = chapter
    assert len(books) == 66
    return books


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1024, special_tokens=[BOS, EOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
    return tokenizer


def windows_of(ids, bos):
    """Consecutive windows, the first id of each replaced by BOS: the protocol of nibble eval."""
    x = ids[:len(ids) // CONTEXT * CONTEXT].view(-1, CONTEXT).clone()
    x[:, 0] = bos
    return x


@torch.no_grad()
def mean_nll(model, windows):
    model.eval()
    total, count = 0.0, 0
    for x in windows.split(8):
        logp = model(x).logits.double().log_softmax(-1)
        nll = -logp[:, CONTEXT // 2:-1].gather(2, x[:, CONTEXT // 2 + 1:, None])
        total, count = total + nll.sum().item(), count + nll.numel()
    return total / count


def rounded(model, linear, ends):
    """A copy with weights rounded to block types: linear layers, and embedding and head."""
    copy = LlamaForCausalLM(model.config)
    state = {}
    for name, w in model.state_dict().items():
        if w.ndim == 2:
            kind = ends if "embed_tokens" in name or "lm_head" in name else linear
            w = torch.from_numpy(dequantize(quantize(w.float().numpy(), kind), kind).astype(np.float32))
        state[name] = w
    copy.load_state_dict(state)
    return copy


def train(model, ids, held, bos, steps, batch, lr):
    """Minimizes the mean loss over windows drawn from ids; their first id is bos."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=lr, betas=(0.9, 0.95))
    warmup = 200

    def rate(step):
        progress = step / steps
        return min((step + 1) / warmup, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    start, smooth = time.time(), 0.0
    for step in range(steps):
        model.train()
        at = torch.randint(len(ids) - CONTEXT, (batch,))
        x = torch.stack([ids[i:i + CONTEXT] for i in at])
        x[:, 0] = bos
        loss = model(x, labels=x).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
        if (step + 1) % 500 == 0:
            print(f"step {step + 1}  train {smooth:.4f}  held out {mean_nll(model, held):.4f}  "
                  f"{time.time() - start:.0f} s", flush=True)
    print(f"trained in {time.time() - start:.0f} s, {steps * batch * CONTEXT} ids", flush=True)


def save_tokenizer(tokenizer, out):
    tokenizer.save(out + "/tokenizer.json")
    with open(out + "/tokenizer_config.json", "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS,
                   "model_max_length": CONTEXT, "clean_up_tokenization_spaces": False}, f, indent=2)
        f.write("\n")


def main():
    args = argparse.ArgumentParser()
    args.add_argument("out")
    args.add_argument("--steps", type=int, default=4500)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--lr", type=float, default=4e-3)
    args = args.parse_args()
    torch.manual_seed(1611)
    torch.set_num_threads(1)
    os.makedirs(args.out, exist_ok=True)

    books = read_books()
    kept = {name: text for name, text in books.items() if name not in HELD_OUT}
    heldout = "\n".join(books[name] for name in HELD_OUT)
    tokenizer = train_tokenizer(kept.values())
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    ids = []
    for text in kept.values():
        ids += tokenizer.encode(text, add_special_tokens=False).ids + [eos]
    ids = torch.tensor(ids)
    held = windows_of(torch.tensor(tokenizer.encode(heldout).ids), bos)
    print(f"{len(ids)} ids to train on, {held.numel()} held out", flush=True)

    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5,
        tie_word_embeddings=False, initializer_range=0.05, bos_token_id=bos, eos_token_id=eos, pad_token_id=None)
    model = LlamaForCausalLM(config)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters", flush=True)

    train(model, ids, held, bos, args.steps, args.batch, args.lr)

    save_tokenizer(tokenizer, args.out)
    with open(args.out + "/heldout.txt", "w") as f:
        f.write(heldout)
    f32 = mean_nll(model, held)
    model.to(torch.bfloat16).save_pretrained(args.out)
    model = LlamaForCausalLM.from_pretrained(args.out, dtype=torch.float32)
    q8 = rounded(model, Type.Q8_0, Type.Q8_0)
    q4 = rounded(model, Type.Q4_0, Type.Q8_0)
    for name, nll in [("f32", f32), ("bf16", mean_nll(model, held)), ("q8_0", mean_nll(q8, held)),
                      ("q4_0", mean_nll(q4, held))]:
        print(f"{name:5} mean NLL {nll:.5f}  perplexity {math.exp(nll):.4f}")


if __name__ == "__main__":
    main()
