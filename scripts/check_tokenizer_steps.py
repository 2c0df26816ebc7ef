#!/usr/bin/env python3
"""Compares the steps of a tokenizer one by one with the `tokenizers` library's, over every character there is.

    scripts/make_difficult_text.py DIR && scripts/check_tokenizer_steps.py DIR

Normalizers, pre-tokenizers and the properties that expressions ask for depend on Unicode tables, and each library has
its own version of them. DIR gets a small tokenizer.json for each step. Exits 1 when anything differs. $NIBBLE as in
check_tokenizer.py.
"""
import copy
import json
import os
import sys

import check_tokenizer
from tokenizers import Tokenizer

TEXTS = ["characters.txt", "marks.txt", "random.txt"]
BYTES = {f"<0x{b:02X}>": b + 1 for b in range(256)}
BASE = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {"<unk>": 0, **BYTES, "|": 257}, "merges": []}}


def normalizer(type, **options):
    return {"normalizer": {"type": type, **options}}


def pre_tokenizer(type, **options):
    """A | before each piece makes visible where it starts."""
    show = {"type": "Metaspace", "replacement": "|", "prepend_scheme": "always", "split": False}
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": type, **options}, show]}}


STEPS = {name: normalizer(name) for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")}
STEPS |= {"Strip": normalizer("Strip", strip_left=True, strip_right=True),
          "Digits": pre_tokenizer("Digits", individual_digits=True),
          "Punctuation": pre_tokenizer("Punctuation", behavior="Isolated"),
          "Whitespace": pre_tokenizer("Whitespace"), "WhitespaceSplit": pre_tokenizer("WhitespaceSplit")}
for number, expression in enumerate([r"\p{L}+|\p{N}+", r"\p{Lu}+|\p{Lt}+|\p{Lm}+", r"\p{M}+|\p{P}+|\p{S}+", r"\p{Han}+",
                                     r"\w+", r"\W+", r"\s+", r"[^\s]+", r"[[:alpha:]]+", r"[[:punct:]]+", r"\d"]):
    STEPS[f"Split{number}"] = pre_tokenizer("Split", pattern={"Regex": expression}, behavior="Isolated", invert=False)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    good = True
    check_tokenizer.heading()
    for name, step in STEPS.items():
        path = os.path.join(sys.argv[1], name + ".json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({**copy.deepcopy(BASE), **step}, f)
        tokenizer = Tokenizer.from_file(path)
        for text in TEXTS:
            good &= check_tokenizer.check(path, tokenizer, os.path.join(sys.argv[1], text))
    sys.exit(not good)


main()
