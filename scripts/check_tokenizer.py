#!/usr/bin/env python3
"""Compares `nibble tokenize` with the `tokenizers` library (PyPI) over whole files.

    scripts/check_tokenizer.py MODEL TEXT...

MODEL is a directory with a tokenizer.json, or that file. Prints for each text how many ids were compared, how many
differ, whether decoding gives the library's text, and the speed of both on one thread (without
loading; for texts long enough to tell). The program is
$NIBBLE, or build/release/nibble. Exits 1 when anything differs.
"""
import os
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer

NIBBLE = os.environ.get("NIBBLE", "build/release/nibble")


def nibble(model, data, *options):
    start = time.perf_counter()
    done = subprocess.run([NIBBLE, "tokenize", model, "--text", "-", *options], input=data, stdout=subprocess.PIPE, check=True)
    return done.stdout, time.perf_counter() - start


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def check(model, tokenizer, path):
    raw = open(path, "rb").read()
    text = raw.decode("utf-8", errors="replace")
    start = time.perf_counter()
    theirs = tokenizer.encode(text).ids
    their_time = time.perf_counter() - start
    load_time = min(nibble(model, b"", "--count")[1] for _ in range(5))
    printed, _ = nibble(model, raw)
    our_time = min(nibble(model, raw, "--count")[1] for _ in range(3)) - load_time
    ours = [int(i) for i in printed.split()]
    differences = sum(x != y for x, y in zip(ours, theirs)) + abs(len(ours) - len(theirs))
    back, _ = nibble(model, printed, "--decode")
    same_text = back == tokenizer.decode(ours, skip_special_tokens=True).encode()
    size = len(raw) / 1e6
    speed = f", {size / our_time:.1f} MB/s against {size / their_time:.2f} MB/s" if size > 0.5 else ""
    print(f"{path}: {len(theirs)} ids, {differences} differences, "
          f"decoded {'the same' if same_text else 'DIFFERENTLY'}{speed}")
    if differences:
        at = first_difference(ours, theirs)
        print(f"  first at id {at}: ours {ours[at:at + 8]}, theirs {theirs[at:at + 8]}, "
              f"after {tokenizer.decode(theirs[max(0, at - 8):at])!r}")
    return not differences and same_text


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model = sys.argv[1]
    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json") if os.path.isdir(model) else model)
    tokenizer.no_truncation()
    sys.exit(not all([check(model, tokenizer, path) for path in sys.argv[2:]]))


if __name__ == "__main__":
    main()
