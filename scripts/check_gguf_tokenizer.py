#!/usr/bin/env python3
"""Compares `nibble tokenize` with llama.cpp's llama-tokenize on one byte-level vocabulary under every pre-tokenizer.

    pip install gguf && scripts/check_gguf_tokenizer.py MODEL.gguf TEXT...

MODEL.gguf has a vocabulary of model gpt2, which is written again under each name. The programs are $NIBBLE, or
build/release/nibble, and $LLAMA_TOKENIZE, or llama-tokenize. Of qwen2 and stablelm2 ids differ where text is not in
Unicode's form C: llama.cpp leaves that out, their tokenizer.json and nibble do not.
"""
import os
import re
import subprocess
import sys
import tempfile

import gguf

NIBBLE = os.environ.get("NIBBLE", "build/release/nibble")
LLAMA = os.environ.get("LLAMA_TOKENIZE", "llama-tokenize")
NAMES = ("default gpt-2 smollm llama-bpe dbrx chatglm-bpe glm4 qwen2 stablelm2 deepseek-r1-qwen tekken gpt-4o deepseek-v3 "
         "falcon bloom viking seed-coder").split()


def write(path, name, fields):
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(name)
    w.add_token_list(fields["tokenizer.ggml.tokens"])
    w.add_token_types(fields["tokenizer.ggml.token_type"])
    w.add_token_merges(fields["tokenizer.ggml.merges"])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(False)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode(errors="replace")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    fields = {k: f.contents() for k, f in gguf.GGUFReader(sys.argv[1]).fields.items() if k.startswith("tokenizer")}
    differ = 0
    with tempfile.TemporaryDirectory() as tmp:
        path = f"{tmp}/vocabulary.gguf"
        for name in NAMES:
            write(path, name, fields)
            for text in sys.argv[2:]:
                ours = [int(i) for i in run([NIBBLE, "tokenize", path, "--text", text]).split()]
                printed = run([LLAMA, "-m", path, "-f", text, "--ids", "--log-disable"])
                theirs = [int(i) for i in re.search(r"\[([0-9, ]*)\]\s*$", printed).group(1).split(",")]
                at = next((i for i, (x, y) in enumerate(zip(ours, theirs)) if x != y), min(len(ours), len(theirs)))
                same = ours == theirs
                differ += not same
                print(f"{name:18} {text}: {len(ours)} ids, {'the same' if same else f'different from id {at} on'}")
    sys.exit(differ > 0)


main()
