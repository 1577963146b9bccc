"""Checks a build of the counter against the reference; each gives the texts on which they differ.

The tests want no difference of Tidegate's own build, and one at least of every build with a fault.
"""

from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from types import ModuleType

import msgspec
import tiktoken

from tests.count import reference, texts
from tidegate.count import vocabulary
from tidegate.count._tokens import Counter

CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
START = r"[^\r\n\p{L}\p{N}]?"
PLAIN = START + r"\p{L}+"
WHITE = r"\s*[\r\n]+|\s+(?!\S)|\s+"

# as their publishers write them
PATTERNS = {
    "cl100k": str(reference.parts("cl100k_base")["pat_str"]),
    "o200k": str(reference.parts("o200k_base")["pat_str"]),
    "llama3": rf"{CONTRACTION}|{PLAIN}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{WHITE}",
    "qwen2": rf"{CONTRACTION}|{PLAIN}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{WHITE}",
    "tekken": vocabulary.TEKKEN_PATTERN,
}


class Build:
    """A compiled `_tokens` module with a vocabulary in it, and the reference's encoding of the same."""

    def __init__(self, module: ModuleType, shape: str, tokens: list[bytes], encoding: tiktoken.Encoding) -> None:
        cut = msgspec.structs.asdict(vocabulary.SHAPES[shape])
        self.counter_of = module.Counter
        self.vocabulary = module.Vocabulary(tokens, vocabulary.classes(), **cut)
        self.encoding = encoding

    def counter(self) -> Counter:
        counter: Counter = self.counter_of(self.vocabulary)
        return counter

    def right(self, text: bytes) -> int:
        return reference.count(self.encoding, text)

    def agrees(self, text: bytes) -> bool:
        count: int = self.vocabulary.count(text)
        return count == self.right(text)


def published(module: ModuleType, name: str) -> Build:
    return Build(module, name.removesuffix("_base"), vocabulary.published_tokens(name), reference.encoding(name))


@cache
def trained_tokens(shape: str) -> list[bytes]:
    """A small vocabulary whose tokens cross all borders."""
    random = Random(shape)
    samples = [texts.edges(random).encode() for _ in range(120)] + [texts.prose(random).encode() for _ in range(40)]
    samples += [(unit * 40)[:40].encode() for unit in texts.UNITS]
    samples += [(unit + after).encode() for unit in texts.CASELESS for after in ("'s", "'re", "'ſ", "AB", "AB's")]
    return reference.trained(samples, 800, random)


def trained(module: ModuleType, shape: str) -> Build:
    tokens = trained_tokens(shape)
    return Build(module, shape, tokens, reference.with_tokens(PATTERNS[shape], tokens))


Difference = tuple[str, bytes]


def prefixes(build: Build, seed: int, wanted: int) -> Iterator[Difference]:
    """Short texts in random parts: the count after every part, and of the whole."""
    random = Random(seed)
    checked = 0
    while checked < wanted:
        text = texts.short(random) if random.random() < 0.85 else texts.invalid(random)
        if not build.agrees(text):
            yield "whole", text
        checked += 1
        counter = build.counter()
        fed = b""
        for part in texts.cuts(text, random):
            counter.feed(part)
            fed += part
            checked += 1
            if counter.count != build.right(fed):
                yield "prefix", fed


def endless(build: Build, seed: int, wanted: int) -> Iterator[Difference]:
    """Texts without cuts: the count at some prefixes, and of the whole, fed in one and in parts."""
    random = Random(seed)
    for _ in range(wanted):
        text = texts.endless(random)
        counter = build.counter()
        fed = b""
        for part in texts.cuts(text, random):
            counter.feed(part)
            fed += part
            if random.random() < 4 * len(part) / len(text) and counter.count != build.right(fed):
                yield "endless prefix", fed
        if counter.count != build.right(text):
            yield "endless", text
        if not build.agrees(text):
            yield "endless whole", text


def ends(build: Build) -> Iterator[Difference]:
    """A long piece before all that can follow it."""
    for unit in texts.UNITS:
        for before in texts.BEFORE:
            for after in texts.AFTER:
                text = (before + (unit * 300)[:300] + after).encode()
                counter = build.counter()
                counter.feed(text[:280])
                counter.feed(text[280:])
                if counter.count != build.right(text):
                    yield "end", text


def whitespace(build: Build) -> Iterator[Difference]:
    for text in texts.whitespace():
        if not build.agrees(text.encode()):
            yield "white space", text.encode()


def words(build: Build) -> Iterator[Difference]:
    """Words of ASCII letters, of about as many as are looked at together, between all that changes where they end."""
    for word in texts.lettered():
        for before in texts.BEFORE_WORDS:
            for after in texts.AFTER_WORDS:
                text = (before + word + after).encode()
                counter = build.counter()
                counter.feed(text[: len(word)])
                if counter.count != build.right(text[: len(word)]):
                    yield "word, cut", text
                counter.feed(text[len(word) :])
                if counter.count != build.right(text) or not build.agrees(text):
                    yield "word", text


CHECKS: tuple[Callable[[Build], Iterator[Difference]], ...] = (
    lambda build: prefixes(build, seed=1, wanted=20_000),
    whitespace,
    words,
    ends,
    lambda build: endless(build, seed=2, wanted=150),
)
