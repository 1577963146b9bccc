"""Token counts are those of the reference tokenizer, after every part of every text."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from random import Random
from typing import Any

import pytest

from tests.count import agreement, classes, reference, texts
from tests.count.agreement import Build
from tidegate.count import _tokens, vocabulary
from tidegate.count._tokens import Counter

NAMES = [*vocabulary.PUBLISHED, *vocabulary.SHAPES]
KIB = 1024


@cache
def build(name: str) -> Build:
    """A published vocabulary, or for the name of a shape a trained one."""
    return (agreement.published if name in vocabulary.PUBLISHED else agreement.trained)(_tokens, name)


def first(differences: Iterator[agreement.Difference]) -> agreement.Difference | None:
    return next(differences, None)


@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_of_fuzzed_texts_counts_as_the_reference_says(name: str) -> None:
    assert first(agreement.prefixes(build(name), seed=3, wanted=50_000)) is None


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_million_prefixes_count_as_the_reference_says(name: str) -> None:
    assert first(agreement.prefixes(build(name), seed=4, wanted=1_000_000)) is None


@pytest.mark.parametrize("name", NAMES)
def test_white_space_in_every_arrangement(name: str) -> None:
    assert first(agreement.whitespace(build(name))) is None


@pytest.mark.parametrize("name", NAMES)
def test_words_of_ascii_letters_whatever_stands_around_them(name: str) -> None:
    assert first(agreement.words(build(name))) is None


@pytest.mark.parametrize("name", NAMES)
def test_whatever_follows_a_long_piece(name: str) -> None:
    assert first(agreement.ends(build(name))) is None


@pytest.mark.parametrize("name", NAMES)
def test_texts_without_cuts(name: str) -> None:
    assert first(agreement.endless(build(name), seed=5, wanted=250)) is None


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_many_texts_without_cuts(name: str) -> None:
    assert first(agreement.endless(build(name), seed=6, wanted=10_000)) is None


@pytest.mark.parametrize("name", vocabulary.PUBLISHED)
def test_every_code_point_among_others(name: str) -> None:
    for block in range(0, 0x110000, 0x100):
        characters = [chr(code) for code in range(block, block + 0x100) if code not in classes.SURROGATES]
        text = "\n".join(f"a{each}A {each}1{each}{each}!" for each in characters).encode()
        counter = build(name).counter()
        for part in (text[: len(text) // 3], text[len(text) // 3 :]):
            counter.feed(part)
        assert counter.count == build(name).right(text), hex(block)
        assert build(name).agrees(text), hex(block)


@pytest.mark.long
def test_the_class_of_every_code_point_is_the_one_in_the_reference_s_pattern() -> None:
    assert vocabulary.classes() == classes.derived()


@pytest.mark.parametrize("name", vocabulary.PUBLISHED)
def test_bytes_that_are_not_utf_8_count_as_their_replacement(name: str) -> None:
    random = Random(7)
    for _ in range(3000):
        text = texts.invalid(random)
        counter = build(name).counter()
        for part in texts.cuts(text, random):
            counter.feed(part)
        assert counter.count == build(name).right(text), text
        assert build(name).agrees(text), text


def test_a_string_counts_as_its_bytes_and_a_lone_surrogate_as_the_reference_has_it() -> None:
    o200k = build("o200k_base")
    for text in ("", "plain", "naïve 中文 😀", "a\ud83db", "\ud83d\ude00", "\udc00\ud83d"):
        right = len(reference.encoding("o200k_base").encode_ordinary(text))
        counter = o200k.counter()
        counter.feed(text)
        assert (counter.count, o200k.vocabulary.count(text)) == (right, right), ascii(text)


@pytest.mark.parametrize("text", [None, 7, bytearray(b"a"), ["a"]])
def test_what_is_no_text_is_refused(text: Any) -> None:
    o200k = build("o200k_base")
    with pytest.raises(TypeError, match="a text is `str` or `bytes`"):
        o200k.counter().feed(text)
    with pytest.raises(TypeError, match="a text is `str` or `bytes`"):
        o200k.vocabulary.count(text)


@pytest.mark.parametrize("name", vocabulary.PUBLISHED)
def test_the_spelling_of_a_special_token_is_text(name: str) -> None:
    assert build(name).vocabulary.count("<|endoftext|>") == 7


@pytest.mark.parametrize("name", vocabulary.PUBLISHED)
@pytest.mark.parametrize("letter", ["a", " ", "=", "中", "A", "\n"])
def test_a_megabyte_of_one_letter_is_counted_in_constant_memory(name: str, letter: str) -> None:
    counter = Counter(build(name).vocabulary)
    part = (letter * 4000)[:4000].encode()
    sizes = set()
    for fed in range(1, 1_000_000 // len(part) + 1):
        counter.feed(part)
        sizes.add(sys.getsizeof(counter))
        if fed == 3:
            assert counter.count == build(name).right(part * 3)
    assert len(sizes) == 1
    assert max(sizes) <= 12 * KIB


def test_an_ordinary_stream_takes_little_memory() -> None:
    counter = Counter(build("o200k_base").vocabulary)
    for word in texts.WORDS * 20:
        counter.feed(word.encode() + b" ")
    assert sys.getsizeof(counter) <= 1.5 * KIB


def test_the_tables_of_o200k_take_less_than_20_megabytes() -> None:
    assert sys.getsizeof(build("o200k_base").vocabulary) <= 20_000_000


def private_memory() -> int:
    """The bytes of this process that it shares with no other."""
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) * KIB for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))


def test_forked_processes_share_the_tables() -> None:
    o200k = build("o200k_base").vocabulary
    text = " ".join(texts.WORDS) * 400
    expected = o200k.count(text)
    child = os.fork()
    if child == 0:
        before = private_memory()
        agrees = o200k.count(text) == expected
        os._exit(0 if agrees and private_memory() - before < sys.getsizeof(o200k) // 4 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_count_long_texts_at_the_same_time() -> None:
    random = Random(8)
    long_texts = ["".join(texts.prose(random) for _ in range(3000)) for _ in range(8)]
    o200k = build("o200k_base")
    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(o200k.vocabulary.count, long_texts * 4))
    assert counts == [o200k.right(text.encode()) for text in long_texts] * 4
