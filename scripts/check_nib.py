#!/usr/bin/env python3
"""A second reader of .nib, written from formats/NIB.md alone, that compares a file with the checkpoint it was made from.

    pip install safetensors numpy ml_dtypes xxhash
    scripts/check_nib.py MODEL.nib [HUGGING_FACE_DIRECTORY]

Checks all that the specification tells a reader to check; with a directory, that tensors of unchanged type have the bytes
that the safetensors library reads, and that the embedded files are the directory's.
"""
import json, os, struct, sys, zlib
import xxhash

BLOCKS = {"f32": (1, 4), "i32": (1, 4), "f16": (1, 2), "bf16": (1, 2), "i16": (1, 2), "f64": (1, 8), "i64": (1, 8),
          "i8": (1, 1), "u8": (1, 1), "bool": (1, 1), "q8_0": (32, 34), "q4_0": (32, 18), "iq4_nl": (32, 18), "q4_1": (32, 20),
          "q5_0": (32, 22), "q5_1": (32, 24), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210)}


def must(condition, what):
    if not condition:
        sys.exit(f"not a valid .nib: {what}")


def read(path):
    data = memoryview(open(path, "rb").read())
    must(len(data) >= 128 and bytes(data[:8]) == b"\x89NIB\r\n\x1a\n", "magic")
    must(xxhash.xxh3_128_digest(data[:64]) == bytes(data[64:80]) and not any(data[80:128]), "header")
    version, flags, size, offset, stored, raw = struct.unpack("<IIQQQQ", data[8:48])
    must((version, flags) == (1, 0), "version")
    must(size == len(data) and offset % 64 == 0 and offset + stored == size, "sizes")
    must(xxhash.xxh3_128_digest(data[offset:]) == bytes(data[48:64]), "index hash")
    must(raw <= min(64 << 20, 1032 * stored), "index size")
    text = zlib.decompress(data[offset:])
    must(len(text) == raw, "index size")
    index = json.loads(text)
    must(index["format"] == "nib", "format")

    at = 128
    for part in index["tensors"] + index["files"] + [{"offset": offset, "name": "index"}]:
        start, length = part["offset"], part.get("stored", part.get("bytes", 0))
        must(start == (at + 63) // 64 * 64 and start + length <= offset, f"place of {part['name']}")
        must(not any(data[at:start]), f"padding before {part['name']}")
        if part["name"] != "index":
            must(xxhash.xxh3_128_hexdigest(data[start:start + length]) == part["xxh3"], f"hash of {part['name']}")
        at = start + length
    for tensor in index["tensors"]:
        block, size = BLOCKS[tensor["type"]]
        *rows, width = tensor["shape"] or [1]
        must(width % block == 0, f"width of {tensor['name']}")
        count = width // block * size
        for n in rows:
            count *= n
        must(count == tensor["bytes"], f"bytes of {tensor['name']}")
    return data, index


def main():
    data, index = read(sys.argv[1])
    print(f"{sys.argv[1]}: valid, {len(index['tensors'])} tensors, {len(index['files'])} files")
    if len(sys.argv) < 3:
        return
    import ml_dtypes  # lets numpy hold bfloat16
    import safetensors.numpy
    directory, source = sys.argv[2], {}
    for entry in index["sources"]:
        path = os.path.join(directory, entry["file"])
        must(xxhash.xxh3_128_hexdigest(open(path, "rb").read()) == entry["xxh3"], f"hash of {path}")
        source.update(safetensors.numpy.load_file(path))
    same = 0
    for tensor in index["tensors"]:
        array = source[tensor["source"]]
        must(list(array.shape) == tensor["shape"], f"shape of {tensor['name']}")
        kind = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}.get(array.dtype.name, array.dtype.name)
        if kind == tensor["type"]:
            part = data[tensor["offset"]:tensor["offset"] + tensor["bytes"]]
            must(array.tobytes() == bytes(part), f"values of {tensor['name']}")
            same += 1
    for entry in index["files"]:
        raw = zlib.decompress(data[entry["offset"]:entry["offset"] + entry["stored"]])
        must(len(raw) == entry["bytes"], f"size of {entry['name']}")
        must(raw == open(os.path.join(directory, entry["name"]), "rb").read(), f"contents of {entry['name']}")
    print(f"{same} tensors and {len(index['files'])} files equal to {directory}'s; source hashes match")


main()
