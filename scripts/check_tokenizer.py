#!/usr/bin/env python3
"""Compares `nibble tokenize` with the `tokenizers` library (PyPI) over whole files, and prints a table.

    scripts/check_tokenizer.py MODEL... -- TEXT...

A MODEL is a directory with a tokenizer.json, or that file. For each text: how many ids were compared (with what the
template puts around them), how many differ, whether decoding gives the library's text, and the speed of both on one
thread by the processor time that encoding took (the best of three runs, the library's one). The program is $NIBBLE, or
build/release/nibble. Exits 1
when anything differs.

scripts/get_tokenizers.sh gets real tokenizers, scripts/make_difficult_text.py DIR writes texts to try them on.
"""
import os
import re
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer

NIBBLE = os.environ.get("NIBBLE", "build/release/nibble")
ROW = "{:12} {:20} {:>9} {:>5} {:>7} {:>8} {:>10}"
BYTES_TO_TIME = 100000  # less takes too short a time to tell


def nibble(model, data, *options):
    """What it prints, and the seconds of processor time that encoding took."""
    done = subprocess.run([NIBBLE, "tokenize", "-v", model, "--text", "-", *options], input=data, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())
    seconds = re.search(rb"ids in ([0-9.]+) s of processor time", done.stderr)
    return done.stdout, float(seconds[1]) if seconds else 0


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def check(model, tokenizer, path, quiet=False):
    raw = open(path, "rb").read()
    text = raw.decode("utf-8", errors="replace")
    start = time.process_time()
    theirs = tokenizer.encode(text).ids
    their_time = time.process_time() - start
    printed, our_time = nibble(model, raw)
    big = len(raw) >= BYTES_TO_TIME
    if big and not quiet:
        our_time = min(our_time, *(nibble(model, raw, "--count")[1] for _ in range(2)))
    ours = [int(i) for i in printed.split()]
    differences = sum(x != y for x, y in zip(ours, theirs)) + abs(len(ours) - len(theirs))
    back, _ = nibble(model, printed, "--decode")
    same_text = back == tokenizer.decode(ours, skip_special_tokens=True).encode()
    speed = lambda seconds: f"{len(raw) / 1e6 / max(seconds, 1e-9):.1f}" if big else ""
    name = os.path.basename(os.path.dirname(model) if model.endswith("tokenizer.json") else os.path.normpath(model))
    if not quiet or differences or not same_text:
        print(ROW.format(name, os.path.basename(path), len(theirs), differences, "same" if same_text else "DIFFERS",
                         speed(our_time), speed(their_time)), flush=True)
    if differences:
        at = first_difference(ours, theirs)
        print(f"  first at id {at}: ours {ours[at:at + 8]}, theirs {theirs[at:at + 8]}, "
              f"after {tokenizer.decode(theirs[max(0, at - 8):at])!r}")
    return not differences and same_text


def heading():
    print(ROW.format("tokenizer", "text", "ids", "diff", "decoded", "MB/s", "library's"))


def main():
    arguments = sys.argv[1:]
    if "--" not in arguments[1:-1]:
        sys.exit(__doc__)
    at = arguments.index("--")
    good = True
    heading()
    for model in arguments[:at]:
        tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json") if os.path.isdir(model) else model)
        tokenizer.no_truncation()
        for path in arguments[at + 1:]:
            good &= check(model, tokenizer, path)
    sys.exit(not good)


if __name__ == "__main__":
    main()
