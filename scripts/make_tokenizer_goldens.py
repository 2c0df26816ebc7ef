#!/usr/bin/env python3
"""Writes tests/data/tokenizers/: small tokenizer.json files and what the `tokenizers` library (PyPI) makes of text.

    scripts/make_tokenizer_goldens.py

Trained with the library's own trainer on the text below. For each NAME.json there is NAME.golden.json: the ids of
tests/data/unicode.txt and invalid-utf8.txt (read with errors="replace"), what the template puts around them, and the text
that the first and its template decode to; and the ids of newer.txt.
expressions.json holds what Oniguruma finds for expressions that PCRE2 would read differently.
"""
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

DATA = os.path.join(os.path.dirname(__file__), "..", "tests", "data")
OUT = os.path.join(DATA, "tokenizers")

PROSE = """The miller's daughter had never seen the sea, but she knew its sound. Every evening the wheel turned and the water
sang under the wheel, and her father said: that's the sea, calling its children home. She didn't believe him. She'd
counted the sacks of flour, 12 and 120 and 1200, and she had counted the days. When the winter came the wheel stood
still, the water was ice, and there was no song at all. So she took her father's coat, a loaf of bread and 3 candles,
and she went down the river to see what had happened to the sea. They'll say that she was foolish; we've all been told
that. But the river was frozen to the very end, and at the end there was the sea, and it was not frozen, and it sang.
print(f"{x}: {y + 1}") for x, y in enumerate(range(10)) if x != y; return None
""".replace("\n", " ").split(". ")

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")

EXPRESSIONS = [
    (LLAMA3, "They'LL say 12345 \u4f60\u597d!!\r\n\n  x\u180e \u00a0y"),
    (r"\s+", "a\u180eb\u00a0c\u0085d\u200be\u3000f"),
    (r"[^\S\n]+", "a \t\n\u180e b"),
    (r"\w+", "x\u00b2 \u00bd don't \u0939\u093f_1 \u2167\u24b6"),
    (r"[\w]+", "x\u00b2 \u00bd don't \u0939\u093f_1 \u2167\u24b6"),
    (r"\W+", "x\u00b2 \u00bd don't \u0939\u093f_1"),
    (r"\h+", "beef DEAD xyz 0 9g"),
    (r"\v", "a\x0bb\x0cc\u2028d"),
    (r"\b", "it's x\u00e9 1"),
    (r"\B", "abc d"),
    (r"x*", "axxb\u00e9xx"),
    (r"", "ab"),
    (r"(?m:a.b)|c.d", "a\nbc\ndc d"),
    (r"^a|b$", "a\nab\nb\nba"),
    (r"(?i)str\u00e4", "STR\u00c4 str\u00e4 Str\u00e4"),
    (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
     "I'll 1234567 -- x  \n \n\n y  "),
    (r"\d{2}?", "12345"),
    (r"\d{2,3}?", "12345"),
    (r"\d{,2}x", "123x x 1x"),
    (r"(?:ab){2}+", "ababababab"),
    (r"a{x}{", "a{x}{ a"),
    (r"\p{Han}+", "\u4e00\u3005\u3007\u30fc\u3001\u30ab\u5b57"),
    (r"\p{Letter}+|\p{Nd}+", "ab\u00e912 \u0663\u2167"),
    (r"\p{^L}+", "ab12 c"),
    (r"[^\p{L}\P{N}]+", "ab12 \u00bd"),
    (r"[[:punct:]]+", "a$+<=>.,!\u20ac\u00ab b"),
    (r"\p{Punct}+", "a$+<=>.,!\u20ac\u00ab b"),
    (r"[[:alpha:][:digit:]]+", "ab\u0939\u093f12\u0664 \u24b6_"),
    (r" ?[^(\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+", "one, two (three) four|five\u3002six"),
    (r"[]a]+", "]a]b"),
    (r"[a\-z\]\\]+", "a-z]\\b"),
    (r"\u00e9|\x{4e00}|\x41", "\u00e9\u4e00Ae"),
    (r"(?<=a)b|(?<!a)c", "ab cb ac c"),
    (r"(a)b\1", "aba abb"),
    (r"(?<n>a|b)\k<n>", "ab aa bb"),
    (r"(?>a+)b|(?#comment)c", "aab c"),
    (r"\.\\\/\-\ \#", ".\\/- #"),
    # Characters of Unicode 15 and 16, and what was no letter before.
    (r"\p{L}+|\p{N}+", "x\U00010d4ay\u1c89 \U00010d40\U0001e4f0 1 \U0001f6dc\U00031350\U0002ebf0"),
    (r"[^\p{L}\p{N}]+", "x\U00010d4ay \U00010d40\U0001f6dc\U000113d4 !"),
    (r"\p{Han}+|\p{M}+", "\U00031350\U0002ebf0\u4e00 \u0897\U00010d69"),
    (r"\b", "a\U00010d4a \U0001f6dcb"),
    (r"[[:alpha:]]+", "a\u0363\u0c04\U00010d4a \u0f82"),
]


def train(tokenizer, size, **options):
    tokenizer.train_from_iterator(PROSE * 2, trainers.BpeTrainer(vocab_size=size, show_progress=False, **options))
    return json.loads(tokenizer.to_str())


def llama3():
    """Byte-level, split by an expression, ignore_merges, a template at both ends, added tokens in odd settings."""
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    j = train(t, 400, special_tokens=["<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    # Words that no merge reaches: only ignore_merges finds them.
    for word in ("\u0120Cherokee", "rock", "\u0120quick"):
        j["model"]["vocab"][word] = len(j["model"]["vocab"])
    t = Tokenizer.from_str(json.dumps(j))
    t.add_tokens([AddedToken("<|endoftext|>", special=True, normalized=False, rstrip=True),
                  AddedToken("ends", single_word=True, normalized=True), AddedToken("y", single_word=True, lstrip=True),
                  AddedToken("\t\t", normalized=False), AddedToken("<|im_", normalized=False, lstrip=True, rstrip=True)])
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin|> $A <|end|>", pair="<|begin|> $A <|end|> $B:1",
                                      special_tokens=[("<|begin|>", 0), ("<|end|>", 1)])])
    return t


def llama2():
    """SentencePiece-style: the whole text is one piece, bytes for what is unknown, merges as one string each."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    j = train(t, 480, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)])
    j["added_tokens"] = j["added_tokens"][:3]
    j["pre_tokenizer"] = None
    j["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    j["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    t = Tokenizer.from_str(json.dumps(j))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    return t


def mixed():
    """Everything else: normalizers, Metaspace after splits, unknown characters one by one, normalized added tokens."""
    t = Tokenizer(models.BPE(unk_token="[?]"))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    j = train(t, 300, special_tokens=["[?]"])
    j["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFKC"}, {"type": "Lowercase"},
        {"type": "Replace", "pattern": {"Regex": "\\p{M}+"}, "content": ""}, {"type": "NFD"}]}
    j["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"String": "\n"}, "behavior": "MergedWithPrevious", "invert": False},
        {"type": "Digits", "individual_digits": False}, {"type": "Punctuation", "behavior": "Contiguous"},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}]}
    j["decoder"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
    t = Tokenizer.from_str(json.dumps(j))
    t.add_tokens([AddedToken("CAF\u00c9", normalized=True), AddedToken("SHALOM", normalized=False, special=True),
                  AddedToken("user", normalized=True, lstrip=True), AddedToken("1\ufe0f\u20e3", normalized=False)])
    return t


def write(name, tokenizer, old_merges):
    j = json.loads(tokenizer.to_str())
    if old_merges:
        j["model"]["merges"] = [" ".join(pair) for pair in j["model"]["merges"]]
    text = json.dumps(j, ensure_ascii=False, separators=(",", ":"))
    with open(os.path.join(OUT, name + ".json"), "w", encoding="utf-8") as f:
        f.write(text)
    tokenizer = Tokenizer.from_str(text)
    read = lambda file: open(os.path.join(DATA, file), "rb").read().decode("utf-8", errors="replace")
    ids = tokenizer.encode(read("unicode.txt")).ids
    plain = tokenizer.encode(read("unicode.txt"), add_special_tokens=False).ids
    before = next(i for i in range(len(ids)) if ids[i:i + len(plain)] == plain)
    golden = {"unicode": plain, "prefix": ids[:before], "suffix": ids[before + len(plain):],
              "invalid": tokenizer.encode(read("invalid-utf8.txt"), add_special_tokens=False).ids,
              "newer": tokenizer.encode(read("newer.txt"), add_special_tokens=False).ids,
              "decoded": tokenizer.decode(ids, skip_special_tokens=True),
              "decoded_special": tokenizer.decode(ids, skip_special_tokens=False)}
    with open(os.path.join(OUT, name + ".golden.json"), "w", encoding="utf-8") as f:
        json.dump(golden, f, ensure_ascii=False, separators=(",", ":"))


def matches(pattern, text):
    """The matches that are not empty, and what is between matches (an empty one cuts too)."""
    every = pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(text)
    between = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text)
    spans = {span for _, span in between}
    return [piece for piece, span in every if span not in spans], [piece for piece, _ in between]


def main():
    os.makedirs(OUT, exist_ok=True)
    write("llama3", llama3(), False)
    write("llama2", llama2(), True)
    write("mixed", mixed(), False)
    cases = []
    for pattern, text in EXPRESSIONS:
        found, between = matches(pattern, text)
        cases.append({"pattern": pattern, "text": text, "matches": found, "between": between})
    with open(os.path.join(OUT, "expressions.json"), "w", encoding="utf-8") as f:
        json.dump(cases, f, ensure_ascii=True, indent=0)


if __name__ == "__main__":
    main()
