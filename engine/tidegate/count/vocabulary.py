"""Where vocabularies come from: the published ones in this package, and files that an operator supplies.

Rank files are checked against the SHA-256 that their publisher pins, so that nobody who carried them here need be
trusted. Making the tables of one takes 0.1 s and more, so the build of the package keeps those of the published ones
beside their rank files, as they are in memory: processes map them, and share what they touch. Where such a file is
missing, is of another build or has changed, the tables are made of the ranks again.
"""

import gzip
import json
import mmap
from binascii import Error as Base64Error
from binascii import a2b_base64
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

from tidegate.count import _tokens
from tidegate.count._tokens import Vocabulary
from tidegate.errors import SettingsError

_DATA = Path(__file__).with_name("data")
HEAD: Final = 64  # bytes before the tables in their file: the SHA-256 of what they were made of, and of themselves


class Shape(Struct, frozen=True):
    """How a pattern cuts texts into pieces; pieces.h says what each field changes."""

    cased: bool
    contractions: bool
    digits: int
    whole_end: bool = False


CL100K = Shape(cased=False, contractions=True, digits=3, whole_end=True)
O200K = Shape(cased=True, contractions=True, digits=3)
LLAMA3 = Shape(cased=False, contractions=True, digits=3)
QWEN2 = Shape(cased=False, contractions=True, digits=1)
TEKKEN = Shape(cased=True, contractions=False, digits=1)

SHAPES = {"cl100k": CL100K, "o200k": O200K, "llama3": LLAMA3, "qwen2": QWEN2, "tekken": TEKKEN}


# a tekken file has its pattern in it; this is the one that the shape stands for
TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

PUBLISHED = {"o200k_base": O200K, "cl100k_base": CL100K}


@cache
def pins() -> dict[str, str]:
    """The SHA-256 that the publisher of each rank file gives; a build checks them too."""
    lines = (_DATA / "SHA256SUMS").read_text().splitlines()
    return {name.removesuffix(".tiktoken"): digest for digest, name in map(str.split, lines)}


def proved(name: str, text: bytes) -> bytes:
    """The text of a rank file, if it is the one its publisher pins."""
    if sha256(text).hexdigest() != pins()[name]:
        raise SettingsError(f"the rank file of `{name}` in this installation is not the published one")
    return text


def published_tokens(name: str) -> list[bytes]:
    """The tokens of a published encoding in the order of their ranks."""
    return ranked_tokens(proved(name, gzip.decompress((_DATA / f"{name}.tiktoken.gz").read_bytes())))


def ranked_tokens(text: bytes) -> list[bytes]:
    """The tokens of a .tiktoken file, lines of base64 and rank, in the order of the ranks, which must have no gaps."""
    words = text.split()
    ranks = list(map(int, words[1::2]))
    tokens = list(map(a2b_base64, words[::2]))
    if len(tokens) != len(ranks):
        raise ValueError("the last line has no rank")
    if ranks != list(range(len(ranks))):
        tokens = [token for _, token in sorted(zip(ranks, tokens, strict=True))]
        if sorted(ranks) != list(range(len(ranks))):
            raise ValueError("the ranks are not the numbers from 0 on")
    return tokens


def tekken_tokens(text: bytes) -> list[bytes]:
    """The ordinary tokens of a tekken file; the special ones take numbers that merging never yields."""
    document = json.loads(text)
    config = document["config"]
    if config["pattern"] != TEKKEN_PATTERN:
        raise ValueError("its pattern is not the one this build knows")
    vocab = document["vocab"][: config["default_vocab_size"] - config["default_num_special_tokens"]]
    if [entry["rank"] for entry in vocab] != list(range(len(vocab))):
        raise ValueError("the ranks are not the numbers from 0 on")
    return [a2b_base64(entry["token_bytes"]) for entry in vocab]


def classes() -> bytes:
    """The class of every code point, as the published patterns see it."""
    return gzip.decompress((_DATA / "classes.gz").read_bytes())


def build(tokens: list[bytes], shape: Shape) -> Vocabulary:
    return Vocabulary(
        tokens,
        classes(),
        cased=shape.cased,
        contractions=shape.contractions,
        digits=shape.digits,
        whole_end=shape.whole_end,
    )


@cache
def published(name: str) -> Vocabulary:
    """A published encoding, loaded once a process and shared with those forked from it."""
    return kept(name) or build(published_tokens(name), PUBLISHED[name])


def keep(name: str, folder: Path = _DATA) -> None:
    """Writes the tables of a published encoding for `kept`. Readers see all of them or none."""
    image = build(published_tokens(name), PUBLISHED[name]).image()
    unfinished = folder / f"{name}.unfinished"
    unfinished.write_bytes(_origin(name) + sha256(image).digest() + image)
    unfinished.replace(folder / f"{name}.tables")


def kept(name: str, folder: Path = _DATA) -> Vocabulary | None:
    """A published encoding by its tables on disk; None where they are not those that `keep` writes, to the last bit."""
    try:
        with open(folder / f"{name}.tables", "rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    except (OSError, ValueError):  # there is none, or it is empty
        return None
    image = mapped[HEAD:]
    if mapped[:HEAD] != _origin(name) + sha256(image).digest():
        return None
    return Vocabulary.mapped(image)


def _origin(name: str) -> bytes:
    """What decides how the tables are: tokens, characters, shape, and the compiled code that lays them out."""
    made_of = [pins()[name].encode(), repr(PUBLISHED[name]).encode()]
    made_of += [sha256(file.read_bytes()).digest() for file in (_DATA / "classes.gz", Path(_tokens.__file__))]
    return sha256(b"".join(made_of)).digest()


def supplied(path: Path, shape: str) -> Vocabulary:
    """A vocabulary from an operator's file: .tiktoken ranks or a tekken .json. `shape` names how it cuts texts."""
    if shape not in SHAPES:
        raise SettingsError(f"`{shape}` is no pattern this build knows; it knows `{'`, `'.join(SHAPES)}`")
    try:
        text = path.read_bytes()
        return build(tekken_tokens(text) if path.suffix == ".json" else ranked_tokens(text), SHAPES[shape])
    except OSError as error:
        raise SettingsError(f"cannot read the vocabulary `{path}`: {error.strerror}") from error
    except (ValueError, Base64Error, KeyError, TypeError) as error:
        raise SettingsError(f"cannot use the vocabulary `{path}`: {error}") from error


def main() -> None:
    """Keeps the tables of the published encodings, as the last step of a build."""
    for name in PUBLISHED:
        keep(name)


if __name__ == "__main__":
    main()
