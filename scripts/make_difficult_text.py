#!/usr/bin/env python3
"""Writes text that tokenizers find difficult, our own.

    scripts/make_difficult_text.py         tests/data/: unicode.txt, invalid-utf8.txt and newer.txt, which tests use
    scripts/make_difficult_text.py DIR     DIR/: some 15 MB, for scripts/check_tokenizer.py and check_tokenizer_steps.py

Every part of unicode.txt is a line or a few; invalid-utf8.txt is the same idea in bytes that are not UTF-8; newer.txt has
characters that came with Unicode 9 to 17, since libraries differ in the Unicode version that they know.
Of the others, characters.txt has every character beside letters, digits and itself, marks.txt has combining marks out of
order, random.txt mixes scripts, mixed.txt repeats unicode.txt's parts in random order, invalid.txt is that with bytes
changed, and letter.txt, space.txt, digit.txt, newline.txt, dash.txt and emoji.txt are a megabyte of one thing each.
"""
import os
import random
import sys
import unicodedata

DATA = os.path.join(os.path.dirname(__file__), "..", "tests", "data")

PARTS = [
    # plain words, contractions in both apostrophes and cases, a long s that folds to s
    "It's they'll WE'RE I'D you've don't 'tis rock'n'roll it\u2019s THEY\u2019LL '\u017f 'S 'Ll ''s",
    # numbers: grouped, fractions, other scripts, superscripts, Roman, circled
    "0 7 42 123 1234 12345 1,234,567.89 3.14e-10 0x1F \u00bd \u00be x\u00b2 \u2167 \u2460 \u0664\u0662 \u096a\u0968 \uff11\uff12 \U0001d7d8\U0001d7d9 \u4e00\u5343",
    # emoji: plain, skin tones, ZWJ families, flags, keycaps, text and emoji presentation, tags
    "\U0001f600\U0001f603 \U0001f44d\U0001f3fd \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 "
    "\U0001f1e9\U0001f1ea\U0001f1ef\U0001f1f5 1\ufe0f\u20e3 \u2764\ufe0e\u2764\ufe0f \U0001f9d1\U0001f3ff\u200d\U0001f680 "
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    # right to left, with marks and directional controls
    "\u05e9\u05dc\u05d5\u05dd \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u0645\u0631\u062d\u0628\u0627 \u0627\u0644\u0652\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u0629 \u200fabc\u200e \u202eright\u202c \u2067x\u2069 \ufdfa \ufef7",
    # Chinese, Japanese (half and full width), Korean composed and as jamo, Bopomofo, a character beyond the BMP
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01 \u3053\u3093\u306b\u3061\u306f\u30ab\u30bf\u30ab\u30ca\uff76\uff9e\uff80 \u65e5\u672c\u8a9e\u3067\u3059\u3002 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab\u1100\u116e\u11a8 \u3131\u314f \u3105\u3106 \U00020bb7\u91ce\u5bb6 \u8c48\uf900",
    # Indic, Thai, Tibetan, Khmer, Ethiopic, Cherokee
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0995\u09cd\u09b7 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a \u0f56\u0f7c\u0f51\u0f0b \u1780\u17d2\u1798\u17c2\u179a \u12a0\u121b\u122d\u129b \u13a0\u13b9\uab70",
    # combining marks: composed, decomposed, out of order, many, alone, two that compose in another order
    "\u00e9 e\u0301 \u1ec7 e\u0323\u0302 e\u0302\u0323 a\u0315\u0300\u05ae\u0300\u0062 \u0301 z" + "\u0300\u0323\u0316\u0301" * 12 + " \u212b \u00c5 A\u030a \u0344 \u1e9b\u0323",
    # ligatures, widths, compatibility forms, letters whose lower case is special
    "\ufb01 \ufb03 \u0133 \u01c4\u01c5\u01c6 \u33a8 \u2122 \u2126 \u212a \uff21\uff42 \u0130\u0131 \u1e9e\u00df \u03a3\u03c3\u03c2 \u039f\u0394\u039f\u03a3 \u2075 \u3392 \u32ff \u00aa\u00ba",
    # white space of every kind, and characters that look like it or are not seen
    "a\u00a0b\u1680c\u2000d\u2003e\u2009f\u200ag\u202fh\u205fi\u3000j\u0085k\u2028l\u2029m\u180en\u200bo\u200cp\u200dq\u2060r\ufeffs\u00adt",
    # control characters and characters without a place in any script
    "\x01\x02\x07\x08\x0b\x0c\x1b[31mred\x1b[0m\x1f\x7f\x80\x9f \ufffd \ufffe \uffff \U0001ffff \ue000 \U000f0000 \U0010ffff \u0378 \u2fe0",
    # marks that tokenizers use themselves, byte tokens and special tokens written out
    "\u2581 \u2581\u2581x \u0120 \u010a \u00c3\u00a9 <0x41> <0xE2><0x96><0x81> <s> </s> <unk> <|endoftext|> <|im_start|>user <s>x</s>y [INST] <|endoftext|><|endoftext|> <|endoftext <|im_end|>|>",
    # runs
    " " * 70 + "x" + " " * 3 + "y  z" + "\t\t\t" + "a\tb" + " \t \t ",
    "a" * 300 + " " + "ab" * 100 + " " + "!" * 100 + "-" * 65 + "=" * 64 + "_" * 63 + "\u00e9" * 40 + "\U0001f600" * 30 + "0" * 50,
    "trailing space \n\n\n\n \n  \n\t\n x\r\ny\r\r\nz\n\r",
    # code
    "def f(x, *, y=None):\n    return {**x, 'k': [i**2 for i in range(10) if not i % 2]}  # \u2192 r\u00e9sum\u00e9\n\n\nif (a&&b||!c) { p->q[i++] = ~0x7fULL; }\n\t<div class=\"a-b_c\">&amp;</div>\n$\\int_0^\\infty e^{-x^2}\\,dx$ `a`~~b~~ __init__ C++20 C# .NET https://ex\u00e4mple.org/a?b=c&d=%20#e user@host",
    # punctuation of many kinds
    "\u00ab\u00bb\u201eq\u201c\u201d\u2018\u2019\u2026\u2013\u2014\u2012\u00bf\u00a1\u3008\u3009\u300c\u300d\u30fb\uff01\uff1f\u061f\u060c\u0964\u2e2e\u2030\u00a7\u00b6\u2020 \u20ac\u00a3\u00a5\u20b9 +\u2212\u00d7\u00f7\u2260\u2264\u221e\u2211\u222b \u2190\u2191\u2192 \u2500\u2502\u250c \u2588\u2591 \u266a\u266b \u00a9\u00ae",
    "",
    " ends with spaces   ",
]

INVALID = (b"plain \xff\xfe \x80 \xbf\xbf \xc0\xaf \xc1\x81 \xc2 \xc3( \xe0\x80\xaf \xe2\x82 \xe2\x28\xa1 \xed\xa0\x80 \xed\xa0\xbd\xed\xb8\x80 "
           b"\xf0\x80\x80\xaf \xf0\x9f\x98 \xf0\x9f\x98( \xf4\x90\x80\x80 \xf5\x80\x80\x80 \xfc\x80\x80\x80\x80\xaf "
           b"caf\xe9 latin-1 \xc3\xa9 fine \xf0\x9f\x98\x80 fine \xe2\x96\x81\xe2\x96 cut\n\xef\xbb\xbfbom \x00 nul \xf0\x9f\x98")


# Letters with case, digits, punctuation and marks of Unicode 9 to 17.
NEWER = ([0x7FD, 0x897, 0x898, 0x8D4, 0x9FD, 0x9FE, 0xC77, 0xCF3, 0xECE, 0x166D, 0x1ACE, 0x1B4E, 0x1B7D, 0x1C89, 0x1C8A, 0x1DF6,
          0x2427, 0x2E43, 0x2E5D, 0x2FFC, 0x31E4, 0x32FF, 0xA7CB, 0xA7CC, 0xA7CE, 0xA7DA, 0xA7DC, 0xA7F1, 0xAB69]
         + [0x105C0, 0x105C9, 0x10D40, 0x10D4A, 0x10D50, 0x10D69, 0x10D6E, 0x10D70, 0x10EC2, 0x10EFD, 0x111C9, 0x11241, 0x11380,
            0x113C2, 0x113D4, 0x116D0, 0x1171E, 0x11BC0, 0x11BF0, 0x11DE0, 0x11F00, 0x11F02, 0x11F43, 0x11F50, 0x13430, 0x16121,
            0x16D40, 0x16D6E, 0x16D70, 0x16EA0, 0x16FF4, 0x1CC00, 0x1CCF0, 0x1D2C0, 0x1DF25, 0x1E030, 0x1E08F, 0x1E4D0,
            0x1E4EC, 0x1E4F0, 0x1E5D0, 0x1E5F1, 0x1E5FF, 0x1F6DC, 0x1FA75, 0x1FAE9, 0x1FBF0, 0x2B739, 0x2EBF0, 0x31350, 0x323AF])

CHARACTERS = [c for c in [*range(0x20000), *range(0x20000, 0x2A000, 7), *range(0x2A000, 0x33500), *range(0xE0000, 0xE0200),
                          *range(0xF0000, 0x110000, 4099)] if not 0xD800 <= c <= 0xDFFF]
RUNS = {"letter": "a", "space": " ", "digit": "7", "newline": "\n", "dash": "-", "emoji": "\U0001f600"}
RUN_BYTES = 1000000


def write(directory, name, text):
    with open(os.path.join(directory, name), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())


def beside(characters):
    return "".join(f"x{c}y {c}1{c}{c}.{c}\n" for c in map(chr, characters))


def marks():
    out = []
    for point in range(0x300, 0x1F000):
        c = chr(point)
        if unicodedata.category(c) in ("Cn", "Mn", "Mc", "Me"):
            out.append(f"a\u0315{c}b\u0301{c}\u0316{c}\u0327x{c}\u0345{c}\n")
    return "".join(out)


def scripts_mixed(draw, lines):
    plain = [chr(c) for c in range(32, 127)] + ["\n", "\t", " ", " ", "\r\n", "'s", "'LL", "  "]
    out = []
    for _ in range(lines):
        near = draw.choice(CHARACTERS)
        for _ in range(draw.randint(1, 12)):
            kind, point = draw.random(), near + draw.randint(-40, 40)
            if kind < 0.4:
                out.append(draw.choice(plain))
            elif kind < 0.8:
                out.append(chr(point) if 0 <= point < 0x110000 and not 0xD800 <= point <= 0xDFFF else "")
            else:
                out.append(chr(draw.choice(CHARACTERS)))
        out.append(draw.choice("\n "))
    return "".join(out)


def damaged(draw, text):
    data = bytearray(text.encode())
    for _ in range(len(data) // 50):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data)


def write_corpus(directory):
    draw = random.Random(5)
    os.makedirs(directory, exist_ok=True)
    mixed = "".join(part + draw.choice(["\n", " ", ""]) for _ in range(40) for part in draw.sample(PARTS, len(PARTS)))
    write(directory, "characters.txt", beside(CHARACTERS))
    write(directory, "marks.txt", marks())
    write(directory, "random.txt", scripts_mixed(draw, 60000))
    write(directory, "mixed.txt", mixed)
    write(directory, "invalid.txt", damaged(draw, mixed))
    for name, unit in RUNS.items():
        write(directory, name + ".txt", unit * (RUN_BYTES // len(unit.encode())))


def main():
    if len(sys.argv) > 1:
        return write_corpus(sys.argv[1])
    write(DATA, "newer.txt", beside(NEWER) + "".join(f"a\u0315{c}\u0301{c}\n" for c in map(chr, NEWER)))
    with open(os.path.join(DATA, "unicode.txt"), "w", encoding="utf-8", newline="") as f:
        f.write("\n".join(PARTS))
    with open(os.path.join(DATA, "invalid-utf8.txt"), "wb") as f:
        f.write(INVALID)


if __name__ == "__main__":
    main()
