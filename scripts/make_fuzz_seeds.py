#!/usr/bin/env python3
"""Writes the seeds in tests/fuzz/corpus/WHAT/ (seed-*), which fuzzing starts from: files of tests/data that are small
enough, and smaller ones made here, so that each construct that a reader knows is there. Inputs that found something lie
beside them under other names and are left alone.

    make && make build/release/tests/make_tiny && scripts/make_fuzz_seeds.py [BUILD]

What the inputs are is said at the top of each tests/fuzz/fuzz_WHAT.c. Needs nothing but Python.
"""
import glob
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
DATA = os.path.join(ROOT, "tests", "data")
CORPUS = os.path.join(ROOT, "tests", "fuzz", "corpus")
BUILD = os.path.join(ROOT, sys.argv[1] if len(sys.argv) > 1 else "build/release")
LARGEST = 16384


def read(*path):
    with open(os.path.join(DATA, *path), "rb") as f:
        return f.read()


def seed(what, name, data):
    assert len(data) <= LARGEST, (what, name, len(data))
    os.makedirs(os.path.join(CORPUS, what), exist_ok=True)
    with open(os.path.join(CORPUS, what, "seed-" + name), "wb") as f:
        f.write(data)


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# ---- safetensors

def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else dump(header)
    return struct.pack("<Q", len(text)) + text + data


def make_safetensors():
    seed("safetensors", "kinds", read("torch", "kinds.safetensors"))
    seed("safetensors", "empty", safetensors({}))
    entry = lambda dtype, shape, first, last: {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}
    types = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
             "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "U32": 4, "U64": 8}
    for dtype, width in types.items():
        seed("safetensors", dtype.lower(), safetensors({"a": entry(dtype, [2, 3], 0, 6 * width)}, bytes(6 * width)))
    seed("safetensors", "none", safetensors({"__metadata__": {"format": "pt"}, "a": entry("F32", [], 0, 4),
                                             "b": entry("F32", [0, 7], 4, 4)}, bytes(4)))


# ---- torch

def make_torch():
    for name in ("kinds-2", "kinds-4", "deflated", "checkpoint", "legacy"):
        seed("torch", name, read("torch", name + ".pt"))
    small = pickles()["tensor"]
    for name, method in (("small", zipfile.ZIP_STORED), ("small-deflated", zipfile.ZIP_DEFLATED)):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as z:
            for entry, data in (("a/data.pkl", small), ("a/byteorder", b"little"), ("a/data/0", bytes(96))):
                with z.open(zipfile.ZipInfo(entry), "w", force_zip64=name == "small") as f:
                    f.write(data)
        seed("torch", name, out.getvalue())
    # The same with its end in zip64 too, as archives beyond 4 GiB have it.
    with zipfile.ZipFile(out) as z:
        start = z.start_dir
    data, end = out.getvalue()[:-22], out.getvalue()[-22:]
    entries, size = struct.unpack("<HI", end[10:16])
    data += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, entries, entries, size, start)
    data += struct.pack("<IIQI", 0x07064B50, 0, len(data) - 56, 1)
    seed("torch", "zip64", data + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s


def pickles():
    """Pickles put together from opcodes: each is one state dictionary."""
    storage = lambda kind, key, n: (b"(" + text(b"storage") + b"ctorch\n" + kind + b"\n" + text(key) + text(b"cpu") +
                                    b"K" + bytes([n]) + b"tQ")
    rebuilt = lambda kind, key, n, shape, stride: (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(kind, key, n) +
                                                   b"K\0" + shape + stride + b"\x89ccollections\nOrderedDict\n)RtR")
    two = b"K\x02K\x03\x86K\x03K\x01\x86"
    wrap = lambda body: b"\x80\x02}(" + body + b"u."
    tensor = rebuilt(b"FloatStorage", b"0", 24, b"K\x02K\x03\x86", b"K\x03K\x01\x86")
    v3 = (b"ctorch._utils\n_rebuild_tensor_v3\n((" + text(b"storage") + b"ctorch.storage\nUntypedStorage\n" + text(b"5") +
          text(b"cpu") + b"K\x0ctQK\0" + two + b"\x89ccollections\nOrderedDict\n)Rctorch\nuint8\ntR")
    return {
        "tensor": wrap(text(b"a") + tensor),
        "v3": wrap(text(b"a") + v3),
        "permuted": wrap(text(b"a") + rebuilt(b"FloatStorage", b"0", 24, b"K\x02K\x03\x86", b"K\x01K\x02\x86")),
        "parameter": wrap(text(b"a") + b"ctorch._utils\n_rebuild_parameter\n(" + tensor +
                          b"\x89ccollections\nOrderedDict\n)RtR"),
        "checkpoint": wrap(text(b"epoch") + b"K\x03" + text(b"module") + b"}" + text(b"a") + tensor + b"s"),
        "memo": wrap(text(b"a") + tensor + b"q\x05" + text(b"b") + b"h\x05"),
        "values": wrap(text(b"a") + b"]((NKAM\x01\x02J\xff\xff\xff\xffG\0\0\0\0\0\0\0\0\x8a\x02\xff\x7f\x88U\x01xC\x01yle"
                       .replace(b"l", b"t")),
        "frames": b"\x80\x04\x95\x1c\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94\x8c\x05torch\x94\x8c\x07float32\x94\x93\x94u.",
        "calls": b"\x80\x02cos\nsystem\n(" + text(b"true") + b"tR.",
        "cycle": b"\x80\x02}q\0" + text(b"state_dict") + b"h\0s.",
    }


def make_pickle():
    for name in ("kinds-2", "kinds-4", "checkpoint"):
        with zipfile.ZipFile(os.path.join(DATA, "torch", name + ".pt")) as z:
            seed("pickle", name, z.read(name + "/data.pkl"))
    for name, data in pickles().items():
        seed("pickle", name, data)


# ---- GGUF

U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}


def gguf_text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def gguf_value(kind, value):
    return gguf_text(value) if kind == TEXT else struct.pack("<" + PACK[kind], value)


def gguf(pairs, tensors=(), version=3, align=32):
    """pairs: (key, kind, value), a list being an array; tensors: (name, shape outermost first, type, bytes)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, kind, value in pairs:
        out += gguf_text(key)
        if isinstance(value, list):
            out += struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(gguf_value(kind, v) for v in value)
        else:
            out += struct.pack("<I", kind) + gguf_value(kind, value)
    data = b""
    for name, shape, kind, values in tensors:
        data += bytes(-len(data) % align)
        out += gguf_text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape[::-1])
        out += struct.pack("<IQ", kind, len(data))
        data += values
    return out + (bytes(-len(out) % align) + data if tensors else b"")


def tiny_llama(type_number=0, block=1, block_bytes=4, dim=8, extra=()):
    def tensor(name, *shape):
        vector = len(shape) == 1
        rows = 1 if vector else shape[0]
        size = shape[-1] * 4 if vector else rows * shape[1] // block * block_bytes
        return name, shape, 0 if vector else type_number, bytes(i % 251 for i in range(size))
    layer = lambda name, *shape: tensor("blk.0." + name, *shape)
    tokens = ["<unk>", "<s>", "</s>", "\u2581", "a", "b", "\u2581a", "<0x0A>"]
    pairs = [("general.architecture", TEXT, "llama"), ("general.type", TEXT, "model"), ("llama.block_count", U32, 1),
             ("llama.context_length", U32, 64), ("llama.embedding_length", U32, dim),
             ("llama.feed_forward_length", U32, dim), ("llama.attention.head_count", U32, 2),
             ("llama.attention.head_count_kv", U32, 1), ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
             ("llama.rope.dimension_count", U32, dim // 2), ("llama.rope.freq_base", F32, 1e4),
             ("llama.vocab_size", U32, len(tokens)), ("tokenizer.ggml.model", TEXT, "llama"),
             ("tokenizer.ggml.tokens", TEXT, tokens), ("tokenizer.ggml.scores", F32, [-float(i) for i in range(8)]),
             ("tokenizer.ggml.token_type", I32, [2, 3, 3, 1, 1, 1, 1, 6]), ("tokenizer.ggml.bos_token_id", U32, 1),
             ("tokenizer.ggml.add_bos_token", BOOL, True), *extra]
    return pairs, [tensor("token_embd.weight", 8, dim), tensor("output_norm.weight", dim), layer("attn_norm.weight", dim),
                   layer("attn_q.weight", dim, dim), layer("attn_k.weight", dim // 2, dim),
                   layer("attn_v.weight", dim // 2, dim), layer("attn_output.weight", dim, dim),
                   layer("ffn_norm.weight", dim), layer("ffn_gate.weight", dim, dim), layer("ffn_up.weight", dim, dim),
                   layer("ffn_down.weight", dim, dim)]


def make_gguf():
    for path in glob.glob(os.path.join(DATA, "gguf", "*.gguf")):
        seed("gguf", "vocabulary-" + os.path.basename(path)[:-5], read("gguf", os.path.basename(path)))
    seed("gguf", "model", gguf(*tiny_llama()))
    seed("gguf", "model-2", gguf(*tiny_llama(type_number=30, block_bytes=2), version=2))
    seed("gguf", "model-q4_0", gguf(*tiny_llama(2, 32, 18, 32)))
    scaling = [("llama.rope.scaling.type", TEXT, "yarn"), ("llama.rope.scaling.factor", F32, 4.0),
               ("llama.rope.scaling.original_context_length", U32, 16), ("general.alignment", U32, 64)]
    seed("gguf", "model-yarn", gguf(*tiny_llama(extra=scaling), align=64))
    kinds = [("k%d" % kind, kind, "x" if kind == TEXT else 1) for kind in PACK] + \
            [("a%d" % kind, kind, ["x"] if kind == TEXT else [1, 0]) for kind in [TEXT, *PACK]]
    sizes = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
             10: (256, 84), 14: (256, 210), 16: (256, 66), 20: (32, 18), 24: (1, 1), 28: (1, 8), 30: (1, 2), 34: (256, 54),
             39: (32, 17)}
    tensors = [("t%d" % number, (block,), number, bytes(size)) for number, (block, size) in sizes.items()]
    seed("gguf", "kinds", gguf(kinds, tensors))
    seed("gguf", "part", gguf([("split.no", U16, 0), ("split.count", U16, 2), ("split.tensors.count", I32, 1)]))
    seed("gguf", "empty", gguf([]))
    bpe = [("general.architecture", TEXT, "llama"), ("tokenizer.ggml.model", TEXT, "gpt2"),
           ("tokenizer.ggml.pre", TEXT, "llama-bpe"), ("tokenizer.ggml.tokens", TEXT, ["a", "b", "ab", "\u0120", "<x>"]),
           ("tokenizer.ggml.token_type", I32, [1, 1, 1, 1, 4]), ("tokenizer.ggml.merges", TEXT, ["a b"]),
           ("tokenizer.ggml.bos_token_id", U32, 4), ("tokenizer.chat_template", TEXT, "{{ x }}")]
    seed("gguf", "bpe", gguf(bpe))


# ---- tokenizers

def tokenizer(**members):
    """A tokenizer.json with a vocabulary of a few tokens."""
    vocab = {t: i for i, t in enumerate(["<unk>", "a", "b", "ab", " ", "\u0120", "\u2581", "\u2581a", "<0x0A>", "1"])}
    model = {"type": "BPE", "unk_token": "<unk>", "vocab": vocab, "merges": [["a", "b"], ["\u2581", "a"]]}
    model.update(members.pop("model", {}))
    return dump({"version": "1.0", "model": model, **members})


def make_tokenizer_json():
    for name in ("llama2", "llama3", "mixed"):
        seed("tokenizer_json", name, read("tokenizers", name + ".json"))
    seed("tokenizer_json", "plain", tokenizer())
    seed("tokenizer_json", "old-merges", tokenizer(model={"merges": ["a b"], "byte_fallback": True, "fuse_unk": True,
                                                           "ignore_merges": True, "dropout": None}))
    seed("tokenizer_json", "unigram", tokenizer(model={"type": "Unigram", "unk_id": 0, "byte_fallback": True,
                                                        "vocab": [["<unk>", 0], ["a", -1.5], ["ab", -2], ["<0x0A>", -3]]}))
    flags = [dict(zip(("single_word", "lstrip", "rstrip", "normalized", "special"), bits))
             for bits in ((1, 0, 0, 1, 0), (0, 1, 1, 0, 1), (0, 0, 0, 0, 0))]
    added = [{"id": i, "content": text, **{k: bool(v) for k, v in f.items()}}
             for i, text, f in zip((10, 11, 3), ("<s>", "</s>", "ab"), flags)]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                         {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [10], "tokens": ["<s>"]}}}
    seed("tokenizer_json", "added", tokenizer(added_tokens=added, post_processor=template))
    literal, regex = {"String": "a"}, {"Regex": "a+|\\s+(?!\\S)|\\p{L}"}
    charsmap = {"type": "Precompiled", "precompiled_charsmap": "CAAAAAAAAAAAAAAAYQBiAA=="}
    normalizers = [{"type": t} for t in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")] + [
        {"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": literal, "content": "\u2581"},
        {"type": "Replace", "pattern": regex, "content": "b"}, {"type": "Strip", "strip_left": True, "strip_right": True},
        charsmap]
    pre = [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
           {"type": "Digits", "individual_digits": True}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
           {"type": "Punctuation", "behavior": "Contiguous"},
           {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}] + [
        {"type": "Split", "pattern": regex, "behavior": b, "invert": b == "Removed"}
        for b in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")]
    decoders = [{"type": t} for t in ("ByteLevel", "ByteFallback", "Fuse")] + [
        {"type": "Replace", "pattern": literal, "content": " "},
        {"type": "Strip", "content": " ", "start": 1, "stop": 1},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]
    for key, list_key, steps in (("normalizer", "normalizers", normalizers), ("pre_tokenizer", "pretokenizers", pre),
                                 ("decoder", "decoders", decoders)):
        for i, step in enumerate(steps):
            seed("tokenizer_json", "%s-%d" % (key.replace("_", "-"), i), tokenizer(**{key: step}))
        seed("tokenizer_json", key.replace("_", "-") + "s", tokenizer(**{key: {"type": "Sequence", list_key: steps}}))
    with open(os.path.join(DATA, "tokenizers", "expressions.json"), encoding="utf-8") as f:
        expressions = json.load(f)
    found = sorted(set(strings_under(expressions, "expression") + strings_under(expressions, "pattern")), key=lambda s: (len(s), s))
    for i, expression in enumerate(found[-12:]):
        step = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
        seed("tokenizer_json", "expression-%d" % i, tokenizer(pre_tokenizer=step))


def strings_under(value, key):
    """Every string that is a member of that name, anywhere."""
    if isinstance(value, list):
        return [s for v in value for s in strings_under(v, key)]
    if isinstance(value, dict):
        own = [value[key]] if isinstance(value.get(key), str) else []
        return own + [s for v in value.values() for s in strings_under(v, key)]
    return []


def message(*fields):
    """A protobuf message of (number, value) with values as bytes, int or float."""
    out = b""
    for number, value in fields:
        if isinstance(value, bytes):
            out += bytes([number << 3 | 2, len(value)]) + value
        elif isinstance(value, float):
            out += bytes([number << 3 | 5]) + struct.pack("<f", value)
        else:
            out += bytes([number << 3, value])
    return out


def make_tokenizer_model():
    for name in ("tokenizer", "strip"):
        seed("tokenizer_model", name, read("sentencepiece", name + ".model"))
    piece = lambda text, score, kind: (1, message((1, text.encode()), (2, score), (3, kind)))
    pieces = [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3), piece("<0x0A>", 0.0, 6),
              piece("<u>", 0.0, 4), piece("\u2581a", -1.0, 1), piece("\u2581", -2.0, 1), piece("a", -3.0, 1), piece("b", -4.0, 1)]
    for kind, name in ((2, "bpe"), (1, "unigram")):
        trainer = (2, message((3, kind)))
        normalizer = (3, message((1, b"identity"), (3, 1), (4, 0), (5, 1)))
        data = message(*pieces, trainer, normalizer)
        seed("tokenizer_model", name, data)
        seed("tokenizer_model", name + "-legacy", b"0" + data)
        seed("tokenizer_model", name + "-config", b"1" + data)


def make_vocab_merges():
    vocab, merges = read("vocab-merges", "vocab.json"), read("vocab-merges", "merges.txt")
    for name, config in (("gpt2", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}),
                         ("qwen2", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|endoftext|>"})):
        seed("vocab_merges", name, b"\0".join((vocab, merges, dump(config))))
    small = dump({"a": 0, "b": 1, "ab": 2, "\u0120": 3, "<|endoftext|>": 4})
    added = {"5": {"content": "<x>", "special": True, "lstrip": True, "normalized": False}}
    config = {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": added, "add_bos_token": True,
              "bos_token": {"content": "<|endoftext|>"}}
    seed("vocab_merges", "small", b"\0".join((small, b"#version: 0.2\na b\n", dump(config))))
    seed("vocab_merges", "no-config", b"\0".join((small, b"a b\n")))


# ---- config, .nib

def make_config():
    for path in sorted(glob.glob(os.path.join(DATA, "**", "config.json"), recursive=True)):
        weights = os.path.join(os.path.dirname(path), "model.safetensors")
        if not os.path.exists(weights):
            continue
        with open(path, "rb") as f, open(weights, "rb") as w:
            config, length = f.read(), struct.unpack("<Q", w.read(8))[0]
            header = w.read(length) if length < LARGEST else b"{}"
            w.seek(0, 2)
            size = w.tell() - 8 - length
        name = os.path.relpath(os.path.dirname(path), DATA).replace(os.sep, "-")
        # Above its limit the target makes no data: the config alone is what such a seed is about.
        if size > 1 << 20 or len(config) + len(header) > LARGEST:
            seed("config", name, config)
        else:
            seed("config", name, config + b"\0" + header)
    with tempfile.TemporaryDirectory() as d:
        for name, options in (("small", ["small=1"]), ("untied", ["small=1", "untied=1", "bias=1"])):
            subprocess.run([BUILD + "/tests/make_tiny", d + "/m", *options], check=True)
            with open(d + "/m/config.json", "rb") as f, open(d + "/m/model.safetensors", "rb") as w:
                seed("config", name, f.read() + b"\0" + w.read(struct.unpack("<Q", w.read(8))[0]))


def make_index():
    for name, shards in (("two", {"a": "a.safetensors", "b": "b.safetensors"}), ("one", {"a": "a.safetensors"}),
                         ("outside", {"a": "../a.safetensors"}), ("absolute", {"a": "/dev/null"}),
                         ("missing", {"a": "c.safetensors"}), ("wrong", {"b": "a.safetensors"})):
        seed("index", name, dump({"metadata": {"total_size": 2}, "weight_map": shards}))


def make_nib():
    with tempfile.TemporaryDirectory() as d:
        for name, options in (("small", []), ("untied", ["untied=1", "bias=1"]), ("bf16", ["dtype=BF16"])):
            subprocess.run([BUILD + "/tests/make_tiny", d + "/m", "small=1", *options], check=True)
            subprocess.run([BUILD + "/nibble", "convert", d + "/m", "-o", d + "/m.nib", "-q"], check=True)
            with open(d + "/m.nib", "rb") as f:
                data = f.read()
            seed("nib", name + "-file", data)
            index = struct.unpack("<Q", data[24:32])[0]
            seed("nib", name, zlib.decompress(data[index:]) + b"\0" + data[128:index])


# ---- statistics and importance matrices

def make_stats():
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([BUILD + "/nibble", "stats", os.path.join(DATA, "kjv"), "--calib", os.path.join(DATA, "kjv", "heldout.txt"),
                        "--windows", "1", "--method", "importance", "-o", d + "/s", "-q"], check=True, stdout=subprocess.DEVNULL)
        with open(d + "/s", "rb") as f:
            data = f.read()
    seed("stats", "file", data)
    index = struct.unpack("<Q", data[24:32])[0]
    seed("stats", "importance", zlib.decompress(data[index:]) + b"\0" + data[128:index])
    body, sections = b"", []
    for values in ([1.0, 2.0, 0.5], [1.0, 0.25, -1.0, 2.0, 0.0, 3.0], [0.5, 1.5], [1.0, -0.5, 4.0]):
        body += bytes(-len(body) % 64)
        sections.append({"offset": 128 + len(body), "bytes": 4 * len(values), "xxh3": "0" * 32})
        body += struct.pack("<%df" % len(values), *values)
    one = lambda name, **more: {"name": name, "rows": 2, "cols": 3, "tokens": 4, "importance": 0, **more}
    for kind, tensors in (("hessian", [one("blk.0.attn_q.weight", hessian=1), one("blk.0.attn_k.weight", hessian=1)]),
                          ("fisher", [one("blk.0.ffn_up.%d.weight" % e, hessian=1, row_weights=2, output=3,
                                          loss={"q4_0": 0.1, "f16": 0}) for e in (0, 3)])):
        used = sections if kind == "fisher" else sections[:2]
        end = used[-1]["offset"] + used[-1]["bytes"] - 128
        index = {"format": "stats", "kind": kind, "model": "0" * 32, "text": "1" * 32, "text_name": "a.txt", "windows": 1,
                 "ctx": 4, "tokens": 4, "experts": 4, "seed": "7", "sections": used, "tensors": tensors}
        seed("stats", kind, dump(index) + b"\0" + body[:end])


def make_imatrix():
    floats = lambda *v: struct.pack("<%df" % len(v), *v)
    pairs = [("general.type", TEXT, "imatrix"), ("imatrix.datasets", TEXT, ["dir/a.txt"]), ("imatrix.chunk_count", U32, 1),
             ("imatrix.chunk_size", U32, 8)]
    tensors = []
    for name, counts, cols in (("blk.0.attn_q.weight", [8], 2), ("blk.0.attn_qkv.weight", [8], 2),
                               ("blk.0.ffn_up_exps.weight", [5, 0, 3], 2)):
        tensors += [(name + ".counts", (len(counts), 1), 0, floats(*counts)),
                    (name + ".in_sum2", (len(counts), cols), 0, floats(*range(1, 1 + cols * len(counts))))]
    seed("imatrix", "gguf", b"\3" + gguf(pairs, tensors))
    entry = lambda name, calls, *v: struct.pack("<i", len(name)) + name + struct.pack("<ii", calls, len(v)) + floats(*v)
    dat = struct.pack("<i", 2) + entry(b"blk.0.attn_qkv.weight", 1, 1, 2) + entry(b"blk.0.ffn_up_exps.weight", 2, 1, 2, 3, 4)
    seed("imatrix", "dat", b"\2" + dat + struct.pack("<ii", 2, 9) + b"dir/a.txt")
    seed("imatrix", "dat-bare", b"\2" + dat)


def main():
    for old in glob.glob(os.path.join(CORPUS, "*", "seed-*")):
        os.remove(old)
    for make in (make_safetensors, make_torch, make_pickle, make_gguf, make_tokenizer_json, make_tokenizer_model,
                 make_vocab_merges, make_config, make_index, make_nib, make_stats,
                 make_imatrix):
        make()


main()
