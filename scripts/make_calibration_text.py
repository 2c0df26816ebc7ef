#!/usr/bin/env python3
"""How data/calibration.txt was made: the text that `nibble` calibrates on when it is given none.

    scripts/make_calibration_text.py ARCHIVES OUT

ARCHIVES is a directory with the packages that scripts/calibration_sources.py names (with the commands that fetch them);
their hashes are checked. Needs dpkg-deb, tar and git. The same archives give the same bytes.

Works are cut at ends of paragraphs into pieces of about 2 KB, taken evenly from the whole of each work, and the pieces are
interleaved so that every prefix holds the kinds (SHARES), and the works of a kind, in nearly the same proportion as the
whole: a calibration takes the first so many windows. Where a text came from and why it may be used: data/CALIBRATION.md."""
import re
import sys
import unicodedata
from pathlib import Path

from calibration_numbers import numbers
from calibration_sources import SOURCES, Source

SHARES = {"english": 0.50, "languages": 0.26, "code": 0.21, "tables": 0.03}
PIECE = 2000  # bytes; a piece ends with the first paragraph that reaches it
LONGEST = 2600  # a paragraph that would make a piece longer than this is cut at a sentence's or a line's end

# Tokens of control would split differently with every tokenizer, and say something that no text says.
SPECIAL = re.compile(r"<\|| \|>|</?s>|</?(bos|eos|pad|unk|mask|sep|cls|think|tool_call|start_of_turn|end_of_turn|begin|end)>"
                     r"|\[/?(INST|CLS|SEP|MASK|PAD|UNK|BOS|EOS)\]|<<SYS>>|<0x[0-9A-Fa-f]{2}>|<｜|<unused")
# What a distributor adds to a work, and the addresses that transcriptions carry.
ADDED = re.compile(r"Project Gutenberg|Gutenberg-tm|[Tt]ranscriber|Distributed Proofread|E-?[Bb]ook|https?://|\[Greek")


def size(text: str) -> int:
    return len(text.encode())


def tidy(text: str, shape: str) -> str:
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\ufeff", "").replace("\u00ad", ""))
    if shape in ("prose", "wrapped", "verse"):
        text = re.sub(r"[ \t\u3000]+$", "", text, flags=re.M)
        text = re.sub(r"_([^_]+)_", r"\1", text)  # italics of plain-text editions
        text = re.sub(r"^\[(Illustration|Footnote|Pg|Sidenote).*?\]\s*$", "", text, flags=re.M)
        text = re.sub(r"\n{3,}", "\n\n", text)
    if shape == "prose":
        blocks = re.split(r"\n{2,}", text)
        text = "\n\n".join(re.sub(r"\s*\n\s*", " ", block.strip()) for block in blocks)
    return text.strip("\n")


def shorter(block: str, separator: str) -> list[str]:
    """A block cut into runs of at most PIECE bytes, at ends of lines or, in one long line, of sentences."""
    if size(block) <= PIECE:
        return [block]
    parts = block.split("\n") if "\n" in block else re.split(r"(?<=[.!?;։。！？»”])\s+|(?<=[。！？])", block)
    joint = "\n" if "\n" in block else separator
    runs, run = [], ""
    for part in parts:
        if run and size(run) + size(part) >= PIECE:
            runs.append(run)
            run = part
        else:
            run = run + joint + part if run else part
    return runs + [run]


def cut(source: Source, text: str) -> list[str]:
    if source.shape == "pieces":
        return [piece.strip("\n") for piece in re.split(r"^%%$", text, flags=re.M)]
    spaced = "" if re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text) else " "
    paragraphs = [run for block in re.split(r"\n{2,}", text) for run in shorter(block, spaced)]
    if len(paragraphs) > 1 and "\n\n" not in text:  # a work with a paragraph a line
        joint = "\n"
    else:
        joint = "\n\n"
    pieces, piece = [], ""
    for paragraph in paragraphs:
        if piece and size(piece) + size(paragraph) > LONGEST:
            pieces.append(piece)
            piece = ""
        piece = piece + joint + paragraph if piece else paragraph
        if size(piece) >= PIECE:
            pieces.append(piece)
            piece = ""
    return pieces + ([piece] if size(piece) > PIECE / 2 or not pieces else [])


def choose(source: Source, pieces: list[str]) -> list[str]:
    """As many pieces as the source's size asks for, spread evenly over the work; a work's ends are left for others."""
    pieces = [piece for piece in pieces if not SPECIAL.search(piece) and not ADDED.search(piece)]
    mean = sum(map(size, pieces)) / len(pieces)
    count = max(1, min(len(pieces), round(source.size / mean)))
    return [pieces[int((i + 0.5) * len(pieces) / count)] for i in range(count)]


def interleave(queues: list[tuple[float, list[str]]]) -> list[str]:
    """Pieces of several queues with weights: always from the queue that is furthest behind its share, first on a tie."""
    total = sum(weight for weight, _ in queues)
    given, at, out = [0] * len(queues), [0] * len(queues), []
    while True:
        left = [q for q in range(len(queues)) if at[q] < len(queues[q][1])]
        if not left:
            return out
        done = sum(given) + PIECE
        q = max(left, key=lambda i: (done * queues[i][0] / total - given[i]) - size(queues[i][1][at[i]]) / 2)
        out.append(queues[q][1][at[q]])
        given[q] += size(out[-1])
        at[q] += 1


def main() -> None:
    archives, out = Path(sys.argv[1]), Path(sys.argv[2])
    kinds: dict[str, list[tuple[float, list[str]]]] = {kind: [] for kind in SHARES}
    for source in SOURCES:
        pieces = choose(source, cut(source, tidy(source.load(archives), source.shape)))
        taken = sum(map(size, pieces))
        kinds[source.kind].append((taken, pieces))
        print(f"{taken:>8} bytes {len(pieces):>4} pieces  {source.kind:<10} {source.name}")
    figures = numbers()
    kinds["tables"].append((sum(map(size, figures)), figures))
    print(f"{sum(map(size, figures)):>8} bytes {len(figures):>4} pieces  tables     Numbers, generated")
    # Mixed by what the kinds really hold, so that all of them last to the end.
    mixed = [(sum(weight for weight, _ in kind), interleave(kind)) for kind in kinds.values()]
    whole = sum(weight for weight, _ in mixed)
    for (kind, share), (weight, _) in zip(SHARES.items(), mixed):
        print(f"{kind:<10} {weight / whole:6.1%}, wanted {share:.0%}")
    text = unicodedata.normalize("NFC", "\n\n".join(interleave(mixed)) + "\n")
    bad = SPECIAL.search(text) or ADDED.search(text) or re.search(r"[\x00-\x08\x0b-\x1f\x7f\ufffd]", text)
    if bad:
        raise SystemExit(f"the text holds {bad.group()!r}: ...{text[max(0, bad.start() - 60):bad.end() + 60]!r}")
    out.write_text(text, encoding="utf-8", newline="\n")
    print(f"{size(text)} bytes in {out}")


if __name__ == "__main__":
    main()
