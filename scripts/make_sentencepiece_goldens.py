#!/usr/bin/env python3
"""Writes tests/data/sentencepiece/ and tests/data/vocab-merges/: vocabularies without a tokenizer.json, and their ids.

    pip install sentencepiece protobuf transformers && scripts/make_sentencepiece_goldens.py

tokenizer.model (PyPI `sentencepiece`) is trained on tests/data/kjv/heldout.txt: BPE with byte fallback and the identity as
normalization, as Llama's. strip.model leaves out extra spaces. vocab.json and merges.txt are of a byte-level BPE.
golden.json lists for some a tokenizer_config.json and a text with the ids: of transformers' tokenizer, made from that
directory ("transformers"), or of SentencePiece itself ("sentencepiece", for texts without control symbols, which it does
not look for). The text is written out, or is the name of a file in tests/data.
"""
import json
import os
import shutil
import tempfile

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data")
HELDOUT = os.path.join(DATA, "kjv", "heldout.txt")
TEXTS = ["unicode.txt", "", " ", "In the beginning", "  two  spaces  ", "a <s>b</s> c <pad>d <unk> x\tend"]
ADDED = {"1": {"content": "<s>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False, "special": True},
         "800": {"content": "<pad>", "lstrip": True, "rstrip": False, "normalized": True, "single_word": False,
                 "special": False}}
LLAMA = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}
LLAMA_CONFIGS = [LLAMA, {**LLAMA, "legacy": True}, {**LLAMA, "added_tokens_decoder": ADDED},
                 {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_prefix_space": False, "add_bos_token": False,
                  "add_eos_token": True}]
GPT2 = {"tokenizer_class": "GPT2Tokenizer"}
QWEN2 = {"tokenizer_class": "Qwen2TokenizerFast",
         "added_tokens_decoder": {"400": {**ADDED["1"], "content": "<|im_start|>", "rstrip": False}}}


def read(text):
    return open(os.path.join(DATA, text), encoding="utf-8", newline="").read() if text.endswith(".txt") else text


def train(path, **options):
    prefix = path[:-len(".model")]
    sentencepiece.SentencePieceTrainer.train(
        input=HELDOUT, model_prefix=prefix, model_type="bpe", byte_fallback=True, minloglevel=2,
        normalization_rule_name="identity", num_threads=1, **options)
    os.remove(prefix + ".vocab")


def transformers_cases(files, model_type, configs):
    for config in configs:
        with tempfile.TemporaryDirectory() as directory:
            for file in files:
                shutil.copy(file, directory)
            for name, value in (("tokenizer_config.json", config), ("config.json", {"model_type": model_type})):
                with open(os.path.join(directory, name), "w") as f:
                    json.dump(value, f)
            tokenizer = AutoTokenizer.from_pretrained(directory)
            for text in TEXTS[config is not configs[0]:]:
                yield {"by": "transformers", "config": config, "text": text, "ids": tokenizer(read(text))["input_ids"]}


def write(directory, cases):
    with open(os.path.join(directory, "golden.json"), "w", encoding="utf-8") as f:
        f.write("[" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]\n")


def sentencepiece_files():
    out = os.path.join(DATA, "sentencepiece")
    os.makedirs(out, exist_ok=True)
    model, strip = os.path.join(out, "tokenizer.model"), os.path.join(out, "strip.model")
    train(model, vocab_size=800, remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True)
    train(strip, vocab_size=400, remove_extra_whitespaces=True)
    cases = list(transformers_cases([model], "llama", LLAMA_CONFIGS))
    for file, texts in ((model, ["In the beginning", "tab\tand\n\nline"]), (strip, ["  two  spaces  ", "   ", "one ", "x"])):
        processor = sentencepiece.SentencePieceProcessor(model_file=file)
        for text in texts:
            cases.append({"by": "sentencepiece", "model": os.path.basename(file),
                          "config": {"add_bos_token": False}, "text": text, "ids": processor.encode(text)})
    write(out, cases)


def byte_level_files():
    out = os.path.join(DATA, "vocab-merges")
    os.makedirs(out, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train([HELDOUT], trainers.BpeTrainer(vocab_size=400, show_progress=False, special_tokens=["<|endoftext|>"],
                                                   initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.model.save(out)
    files = [os.path.join(out, name) for name in ("vocab.json", "merges.txt")]
    write(out, [*transformers_cases(files, "gpt2", [GPT2, {**GPT2, "add_prefix_space": True}]),
                *transformers_cases(files, "qwen2", [QWEN2])])


sentencepiece_files()
byte_level_files()
