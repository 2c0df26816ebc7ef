#!/usr/bin/env python3
"""Writes eval/newer_characters.h: characters that came with Unicode 15 to 16, each run with an older character like it.

    pip install tokenizers && python3.11 scripts/make_newer_characters.py

PCRE2 10.42 (Debian 12's) knows Unicode 14, the `tokenizers` library's Oniguruma Unicode 16. What is newer is what
Oniguruma gives a category and Python 3.11, whose unicodedata is Unicode 14 too, does not. "Like it" is: the same
category, the same answer to the properties below, as many bytes in UTF-8; of those the nearest, so that it is mostly
in the same block as well.
"""
import bisect
import pathlib
import unicodedata

from tokenizers import Regex, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cf".split()
# Those that tokenizers' expressions ask for; the scripts are the least of them, and given up first.
PROPERTIES = "Alphabetic Uppercase Lowercase Ideographic Extended_Pictographic Emoji Han".split()
SCRIPTS = "Latin Greek Cyrillic Arabic Hebrew Devanagari Bengali Thai Hangul Hiragana Katakana Common Inherited".split()
HEAD = """// Made by scripts/make_newer_characters.py: runs of characters of Unicode 15 to 16 (first, last), and a character of
// Unicode 14 that has the same category and properties and as many bytes.
#ifndef EVAL_NEWER_CHARACTERS_H
#define EVAL_NEWER_CHARACTERS_H

#include <stdint.h>

static const struct NewerCharacters {
    uint32_t first, last, like;
} newer_characters[] = {
    // clang-format off
"""

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
TEXT = "".join(map(chr, POINTS))


def members(name):
    found, split = set(), pre_tokenizers.Split(Regex(f"\\p{{{name}}}+"), "removed", invert=True)
    for run, _ in split.pre_tokenize_str(TEXT):
        found.update(map(ord, run))
    return found


def signatures(names):
    sets = [members(name) for name in names]
    return lambda c: tuple(c in s for s in sets)


def main():
    assert unicodedata.unidata_version == "14.0.0", "run it with Python 3.11"
    category = {c: name for name in CATEGORIES for c in members(name)}
    properties, scripts = signatures(PROPERTIES), signatures(SCRIPTS)
    width = lambda c: len(chr(c).encode())
    old, newer = {}, []
    for c in sorted(category):
        if unicodedata.category(chr(c)) == category[c]:
            key = (category[c], width(c), properties(c))
            old.setdefault(key, []).append(c)
            old.setdefault((key, scripts(c)), []).append(c)
        else:
            newer.append(c)
    runs = []
    for c in newer:
        key = (category[c], width(c), properties(c))
        candidates = old.get((key, scripts(c))) or old[key]
        at = bisect.bisect(candidates, c)
        like = min(candidates[max(0, at - 1):at + 1], key=lambda o: abs(o - c))
        kind = (key, scripts(c))
        if runs and runs[-1][1] == c - 1 and runs[-1][3] == kind:
            runs[-1][1] = c
        else:
            runs.append([c, c, like, kind])
    rows = [f"{{0x{a:X}, 0x{b:X}, 0x{like:X}}}," for a, b, like, _ in runs]
    text = HEAD
    for at in range(0, len(rows), 4):
        text += "    " + " ".join(rows[at:at + 4]) + "\n"
    text += "    // clang-format on\n};\n\n#endif\n"
    pathlib.Path(__file__).resolve().parent.parent.joinpath("eval/newer_characters.h").write_text(text)
    print(f"{len(newer)} characters in {len(runs)} runs")


main()
