"""The reference tokenizer, tiktoken, over the rank files of this package: by itself it would fetch them."""

from collections.abc import Iterable
from functools import cache
from random import Random
from unittest.mock import patch

import tiktoken
import tiktoken_ext.openai_public as published

from tidegate.count import vocabulary

LONGEST = 64  # bytes of a trained token


def ranks(url: str, expected_hash: str) -> dict[bytes, int]:
    """Stands where tiktoken fetches a file; the hash is what it pins."""
    name = url.rpartition("/")[2].removesuffix(".tiktoken")
    assert vocabulary.pins()[name] == expected_hash
    return {token: rank for rank, token in enumerate(vocabulary.published_tokens(name))}


def parts(name: str) -> dict[str, object]:
    """What tiktoken makes the encoding from: its pattern, ranks and special tokens."""
    with patch.object(published, "load_tiktoken_bpe", ranks):
        return published.ENCODING_CONSTRUCTORS[name]()


@cache
def encoding(name: str) -> tiktoken.Encoding:
    return tiktoken.Encoding(**parts(name))


def count(encoding: tiktoken.Encoding, text: bytes) -> int:
    return len(encoding.encode_ordinary(text.decode("utf-8", "replace")))


def with_tokens(pattern: str, tokens: Iterable[bytes]) -> tiktoken.Encoding:
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return tiktoken.Encoding("test", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def trained(samples: list[bytes], merges: int, random: Random) -> list[bytes]:
    """A vocabulary learnt from samples that no pattern cut, so that its tokens cross every border: a wrong cut, which
    published vocabularies would mostly hide, changes the count."""
    tokens = [bytes([byte]) for byte in range(256)]
    corpus = [[bytes([byte]) for byte in sample] for sample in samples]
    while len(tokens) < 256 + merges:
        line = random.choice([line for line in corpus if len(line) > 1])
        at = random.randrange(len(line) - 1)
        left, right = line[at : at + 2]
        if len(left + right) > LONGEST:
            continue
        tokens.append(left + right)
        for line in corpus:
            merge(line, left, right)
    return tokens


def merge(line: list[bytes], left: bytes, right: bytes) -> None:
    """Merges the pair wherever it stands, from the left."""
    at = 0
    while at < len(line) - 1:
        if line[at] == left and line[at + 1] == right:
            line[at : at + 2] = [left + right]
        at += 1
