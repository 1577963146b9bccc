"""Where vocabularies come from: the published ones in this package, and files that an operator supplies.

A vocabulary is loaded once in the process that forks the workers, which then share its tables. Rank files are checked
against the SHA-256 that their publisher pins, so that nobody who carried them here need be trusted.
"""

import gzip
import json
from binascii import Error as Base64Error
from binascii import a2b_base64
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

from tidegate.count._tokens import Vocabulary
from tidegate.errors import SettingsError

_DATA = files("tidegate.count") / "data"


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
    return build(published_tokens(name), PUBLISHED[name])


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
