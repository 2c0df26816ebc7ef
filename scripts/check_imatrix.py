#!/usr/bin/env python3
"""Importance matrices beside llama.cpp's own: the same windows through both, both forms, there and back.

    scripts/check_imatrix.py MODEL TEXT LLAMA_BIN [CHUNKS [BUILD]]

MODEL is anything nibble opens; LLAMA_BIN the directory of llama-imatrix and llama-quantize. Needs PyPI's gguf. Prints, for each
comparison, how many entries there are and the worst relative difference of a mean square from the other's (in the entry's
mean), and whether llama-quantize takes ours and makes the same bytes of theirs and of theirs read and written by nibble.
"""
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGUFReader

model, text, llama = sys.argv[1:4]
chunks = sys.argv[4] if len(sys.argv) > 4 else "4"
nibble = os.path.join(sys.argv[5] if len(sys.argv) > 5 else "build/release", "nibble")


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        sys.exit("%s\n%s" % (" ".join(command), done.stdout[-2000:]))
    return done.stdout


def read_gguf(path):
    tensors = {t.name: t.data.astype(np.float64) for t in GGUFReader(path).tensors}
    return {n[:-8]: tensors[n] / tensors[n[:-8] + ".counts"].reshape(-1, 1) for n in tensors if n.endswith(".in_sum2")}


def read_dat(path):
    data, at, out = open(path, "rb").read(), 4, {}
    for _ in range(struct.unpack_from("<i", data)[0]):
        n = struct.unpack_from("<i", data, at)[0]
        name, (calls, count) = data[at + 4:at + 4 + n].decode(), struct.unpack_from("<ii", data, at + 4 + n)
        at += 12 + n
        out[name] = np.frombuffer(data, np.float32, count, at).astype(np.float64) / calls
        at += 4 * count
    return out


def compare(what, ours, theirs):
    missing = sorted(set(theirs) - set(ours))
    worst = max((float(np.abs(ours[n].ravel() - theirs[n].ravel()).max() / theirs[n].mean()), n) for n in theirs if n in ours)
    print("%-34s %4d entries, %d of theirs missing, worst difference %.1e (%s)" % (what, len(theirs), len(missing), *worst))


with tempfile.TemporaryDirectory() as d:
    p = lambda name: os.path.join(d, name)
    run(nibble, "convert", model, "--dtype", "f32", "-q", "-o", p("model.nib"))
    run(nibble, "export", p("model.nib"), "-q", "-o", p("model.gguf"))
    for form in ("gguf", "dat"):
        run(os.path.join(llama, "llama-imatrix"), "-m", p("model.gguf"), "-f", text, "-c", "512", "--chunks", chunks, "-o",
            p("theirs." + form), "--output-format", form, "--no-ppl", "-fa", "off", "-ctk", "f32", "-ctv", "f32",
            "--process-output")
        run(nibble, "stats", model, "--calib", text, "--ctx", "512", "-n", chunks, "-q", "--imatrix", p("ours." + form))
        run(nibble, "stats", p("theirs." + form), p("model.nib"), "-q", "--imatrix", p("again." + form))
        read = read_gguf if form == "gguf" else read_dat
        compare("ours and theirs, .%s" % form, read(p("ours." + form)), read(p("theirs." + form)))
        compare("theirs through nibble, .%s" % form, read(p("again." + form)), read(p("theirs." + form)))
    for form in ("gguf", "dat"):
        made = {}
        for whose in ("ours", "theirs", "again"):
            said = run(os.path.join(llama, "llama-quantize"), "--imatrix", p("%s.%s" % (whose, form)), p("model.gguf"),
                       p("q.gguf"), "IQ4_NL", "2")
            loaded = [line for line in said.splitlines() if "importance matrix entries" in line]
            made[whose] = {t.name: t.data.tobytes() for t in GGUFReader(p("q.gguf")).tensors}
            print("llama-quantize, %s.%s: %s" % (whose, form, loaded[0].split(": ", 1)[1] if loaded else "?"))
        same = sum(made["again"][n] == made["theirs"][n] for n in made["theirs"])
        close = sum(made["ours"][n] == made["theirs"][n] for n in made["theirs"])
        print("tensors of the same bytes as by theirs: through nibble %d, by ours %d, of %d" % (same, close, len(made["theirs"])))
