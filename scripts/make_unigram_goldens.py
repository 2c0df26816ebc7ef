#!/usr/bin/env python3
"""Writes tests/data/tokenizers/unigram.json, unigram-bytes.json, their goldens (as make_tokenizer_goldens.py does) and
unigram.model with unigram.model.json: Unigram models with compiled normalization rules.

    pip install sentencepiece tokenizers protobuf && scripts/make_unigram_goldens.py

Trained by SentencePiece on that script's text. The rules are a few of NFKC's and some of our own, since the compiled
whole would be 240 kB. unigram.model.json has SentencePiece's own ids for texts where it and `tokenizers` agree.
"""
import json
import os
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

import make_tokenizer_goldens as goldens

RULES = {"\u00e9": "e", "e\u0301": "e", "\ufb01": "fi", "\ufb03": "ffi", "\u00bd": "1/2", "\u2122": "TM", "\uff21": "A",
         "\uff42": "b", "\uff0c": ",", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\r": " ", "\u0001": "", "\u200b": "",
         "\u2126": "\u03a9", "\u212b": "A", "\ufdfa": "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647", "\uff76\uff9e": "\u30ac",
         "\U0001d7d8": "0", "\u0344": "\u0308\u0301", "z\u0300": "Z"}
TEXTS = ["The miller's daughter had never seen the sea.", "", " ", "  two  spaces  and more   ", "caf\u00e9 \ufb01ne \u00bd, \uff21\uff42",
         "x\ty\nz \u4f60\u597d \U0001f600\U0001f601 12345", "unknown\u0416\u0416\u0416 \u0416\u0416", "\u0001abc\u200bdef", "sea" * 40]


def train(directory, name, **options):
    rules = os.path.join(directory, "rules.tsv")
    with open(rules, "w") as f:
        for key, value in RULES.items():
            f.write(" ".join(f"{ord(c):X}" for c in key) + "\t" + " ".join(f"{ord(c):X}" for c in value) + "\n")
    path = os.path.join(directory, name)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(goldens.PROSE), model_prefix=path, model_type="unigram", normalization_rule_tsv=rules,
        num_threads=1, minloglevel=2, hard_vocab_limit=False, **options)
    with open(path + ".model", "rb") as f:
        data = f.read()
    return data, sentencepiece_model_pb2.ModelProto.FromString(data)


def tokenizer(proto, byte_fallback, pre_tokenizer):
    pieces = [(p.piece, p.score) for p in proto.pieces]
    t = Tokenizer(models.Unigram(pieces, unk_id=proto.trainer_spec.unk_id, byte_fallback=byte_fallback))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
                                         normalizers.Strip(left=False, right=True),
                                         normalizers.Replace(Regex(" {2,}"), "\u2581")])
    t.pre_tokenizer = pre_tokenizer
    t.decoder = decoders.Metaspace()
    return t


def main():
    with tempfile.TemporaryDirectory() as directory:
        data, proto = train(directory, "words", vocab_size=220)
        _, bytes_proto = train(directory, "bytes", vocab_size=480, byte_fallback=True)
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    goldens.write("unigram", tokenizer(proto, False, words), False)
    goldens.write("unigram-bytes", tokenizer(bytes_proto, True, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
                  False)
    path = os.path.join(goldens.OUT, "unigram.model")
    with open(path, "wb") as f:
        f.write(data)
    own = sentencepiece.SentencePieceProcessor(model_proto=data)
    with open(path + ".json", "w", encoding="utf-8") as f:
        json.dump([{"text": text, "ids": own.encode(text)} for text in TEXTS], f, indent=0)


main()
