#!/usr/bin/env python3
"""Trains a small model of another family than Llama's in a few minutes of CPU, for scripts/quality_models.py.

    scripts/train_small.py gpt2|qwen2|qwen3 OUT_DIR [--text FILE ...] [--steps N]

The text is the King James Bible of train_kjv.py (its held-out books left out), and the files given with --text. The models
have 2 to 4 M weights, a vocabulary of 1024 and 2 M tokens behind them: they know which letters and words follow which, and little
more. What they are for is the arithmetic of their family (LayerNorm, biases, learned positions and a plain MLP; norms of
queries and keys; biases of these) with weights that came from training; their widths, 256 and 512, suit every block type.
"""
import argparse
import math
import os

import torch
from train_kjv import (BOS, CONTEXT, EOS, HELD_OUT, mean_nll, read_books, save_tokenizer, train, train_tokenizer,
                       windows_of)
from transformers import (GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

LAYERS, DIM, MLP, HEADS, KV_HEADS = 4, 256, 512, 4, 2


def make_model(family, vocabulary, bos, eos):
    ids = {"vocab_size": vocabulary, "bos_token_id": bos, "eos_token_id": eos}
    if family == "gpt2":
        return GPT2LMHeadModel(GPT2Config(
            n_embd=DIM, n_layer=LAYERS, n_head=HEADS, n_inner=2 * MLP, n_positions=CONTEXT, initializer_range=0.04,
            resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **ids))
    shape = {"hidden_size": DIM, "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
             "num_key_value_heads": KV_HEADS, "max_position_embeddings": CONTEXT, "tie_word_embeddings": True,
             "initializer_range": 0.04}
    if family == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**shape, **ids))
    return Qwen3ForCausalLM(Qwen3Config(head_dim=DIM // HEADS, **shape, **ids))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("family", choices=["gpt2", "qwen2", "qwen3"])
    args.add_argument("out")
    args.add_argument("--text", action="append", default=[])
    args.add_argument("--steps", type=int, default=1000)
    args.add_argument("--batch", type=int, default=4)
    args.add_argument("--lr", type=float, default=3e-3)
    args.add_argument("--threads", type=int, default=1)
    args = args.parse_args()
    torch.manual_seed(1611)
    torch.set_num_threads(args.threads)
    os.makedirs(args.out, exist_ok=True)

    books = read_books()
    texts = [text for name, text in books.items() if name not in HELD_OUT]
    texts += [open(path, encoding="utf-8").read() for path in args.text]
    tokenizer = train_tokenizer(texts)
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    ids = []
    for text in texts:
        ids += tokenizer.encode(text, add_special_tokens=False).ids + [eos]
    ids = torch.tensor(ids)
    held = "\n".join(books[name] for name in HELD_OUT)
    held = windows_of(torch.tensor(tokenizer.encode(held).ids), bos)

    model = make_model(args.family, tokenizer.get_vocab_size(), bos, eos)
    print(f"{args.family}: {sum(p.numel() for p in model.parameters())} parameters, {len(ids)} ids to train on", flush=True)
    train(model, ids, held, bos, args.steps, args.batch, args.lr)
    save_tokenizer(tokenizer, args.out)
    model.to(torch.bfloat16).save_pretrained(args.out)
    print(f"perplexity of the books left out: {math.exp(mean_nll(model.float(), held)):.3f}")


if __name__ == "__main__":
    main()
