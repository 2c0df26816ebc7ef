#!/usr/bin/env python3
"""Writes tests/data/gguf/: small vocabulary-only GGUF files, as the gguf package writes them, and the ids that other
people's code makes of text: `tokenizers` for model gpt2 under several pre-tokenizers, `sentencepiece` for model llama.

    pip install gguf numpy sentencepiece tokenizers && scripts/make_gguf_goldens.py

NAME.gguf beside NAME.golden.json: {"text": ids of tests/data/unicode.txt, "prefix": what goes before a text}.
"""
import json
import pathlib
import tempfile

import gguf
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/data"
OUT = DATA / "gguf"
TEXT = (DATA / "unicode.txt").read_bytes().decode()
PROSE = (DATA / "kjv/heldout.txt").read_text()[:60000]
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated")


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
# As in the tokenizer.json files of these models.
PRES = {
    "gpt-2": [WORDS],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), WORDS],
    "llama-bpe": [split(rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}{{1,3}}|{OTHERS}|{SPACES}"), BYTES],
    "qwen2": [split(rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}|{OTHERS}|{SPACES}"), BYTES],
    "tekken": [split(rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}|"
                     rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{SPACES}"), BYTES],
}
ADDED = [AddedToken("<|begin|>", special=True, normalized=False), AddedToken("<|end|>", special=True, normalized=False),
         AddedToken("LORD", special=False, normalized=False)]


def write(name, model, tokens, types, **more):
    w = gguf.GGUFWriter(OUT / f"{name}.gguf", "llama")
    w.add_tokenizer_model(model)
    w.add_token_list(tokens)
    w.add_token_types(types)
    for key, value in more.items():
        getattr(w, f"add_{key}")(value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def golden(name, ids, prefix):
    (OUT / f"{name}.golden.json").write_text(json.dumps({"text": ids, "prefix": prefix}, separators=(",", ":")) + "\n")


def byte_level():
    for name, steps in PRES.items():
        t = Tokenizer(models.BPE(ignore_merges=name in ("llama-bpe", "tekken")))
        t.pre_tokenizer = pre_tokenizers.Sequence(steps)
        t.decoder = decoders.ByteLevel()
        if name == "qwen2":
            t.normalizer = normalizers.NFC()
        trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False, special_tokens=ADDED[:2],
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        t.train_from_iterator([PROSE, TEXT], trainer)
        t.add_tokens(ADDED[2:])
        spec = json.loads(t.to_str())
        vocab = sorted(t.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
        assert [i for _, i in vocab] == list(range(len(vocab)))
        kinds = {a["content"]: 3 if a["special"] else 4 for a in spec["added_tokens"]}
        merges = [" ".join(m) for m in spec["model"]["merges"]]
        write(name, "gpt2", [v for v, _ in vocab], [kinds.get(v, 1) for v, _ in vocab], tokenizer_pre=name,
              token_merges=merges, bos_token_id=0, eos_token_id=1, add_bos_token=name == "smollm")
        golden(name, t.encode(TEXT, add_special_tokens=False).ids, [0] if name == "smollm" else [])


def by_score():
    with tempfile.TemporaryDirectory() as tmp:
        (pathlib.Path(tmp) / "text").write_text(PROSE + "\n" + TEXT)
        sentencepiece.SentencePieceTrainer.train(
            input=f"{tmp}/text", model_prefix=f"{tmp}/m", model_type="bpe", vocab_size=700, byte_fallback=True,
            character_coverage=0.99, normalization_rule_name="identity", remove_extra_whitespaces=False,
            add_dummy_prefix=True, split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2,
            unk_piece="[unk]", bos_piece="[bos]", eos_piece="[eos]")  # names that are not in the text: it takes them apart
        sp = sentencepiece.SentencePieceProcessor(model_file=f"{tmp}/m.model")
    n = sp.get_piece_size()
    types = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1 for i in range(n)]
    write("llama", "llama", [sp.id_to_piece(i) for i in range(n)], types,
          token_scores=[sp.get_score(i) for i in range(n)], unk_token_id=sp.unk_id(), bos_token_id=sp.bos_id(),
          eos_token_id=sp.eos_id())
    golden("llama", sp.encode(TEXT), [sp.bos_id()])


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    byte_level()
    by_score()


main()
