"""Where vocabularies come from: published files are proved, an operator's are used or refused with a reason."""

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from random import Random

import pytest

from tests.count import agreement, texts
from tidegate import TokenCounter, count_tokens
from tidegate.count import vocabulary
from tidegate.count._tokens import Vocabulary
from tidegate.count.registry import Registry, Supplied, published_encoding
from tidegate.errors import SettingsError

BYTES = [bytes([byte]) for byte in range(256)]


def ranks(tokens: list[bytes]) -> str:
    return "".join(f"{b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))


def tekken(tokens: list[bytes], pattern: str = vocabulary.TEKKEN_PATTERN, first: int = 0) -> str:
    """As its publisher writes it: ordinary tokens, of which some at the end have no place in the vocabulary."""
    spelled = [b64encode(token).decode() for token in [*tokens, b"beyond"]]
    vocab = [{"rank": rank, "token_bytes": token} for rank, token in enumerate(spelled, first)]
    config = {"pattern": pattern, "default_vocab_size": len(tokens) + 2, "default_num_special_tokens": 2}
    return json.dumps({"config": config, "vocab": vocab})


def test_a_changed_rank_file_is_refused() -> None:
    with pytest.raises(SettingsError, match="`o200k_base` in this installation is not the published one"):
        vocabulary.proved("o200k_base", b"YQ== 0\n")


@pytest.mark.parametrize("suffix", ["tiktoken", "json"])
def test_a_supplied_file_counts_as_the_reference_says(suffix: str, tmp_path: Path) -> None:
    tokens = agreement.trained_tokens("tekken")
    path = tmp_path / f"own.{suffix}"
    path.write_text(ranks(tokens) if suffix == "tiktoken" else tekken(tokens))
    own = vocabulary.supplied(path, "tekken")
    text = "Don't AB中 12345 \n\n /* and 天天中's */"
    assert own.tokens == len(tokens)
    right = agreement.reference.with_tokens(agreement.PATTERNS["tekken"], tokens).encode_ordinary(text)
    assert own.count(text) == len(right)


def test_a_token_that_never_arises_by_merging_counts_where_it_is_a_whole_piece() -> None:
    tokens = [*BYTES, b"abc"]
    own = vocabulary.build(tokens, vocabulary.LLAMA3)
    reference = agreement.reference.with_tokens(agreement.PATTERNS["llama3"], tokens)
    for text in ("abc", "abcd", "xabc", "abc abc", "(abc)", "abc" * 200):
        assert own.count(text) == len(reference.encode_ordinary(text)), text


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [
        (BYTES[1:], "not a token for each byte"),
        ([*BYTES, b"ab", b"ab"], "a token is there twice"),
        ([*BYTES, b""], "empty or longer than 128 bytes"),
        ([*BYTES, b"a" * 129], "empty or longer than 128 bytes"),
        ([*BYTES, b"abc", b"ab"], "merged from later ones"),
    ],
)
def test_what_cannot_be_counted_exactly_is_refused(tokens: list[bytes], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        vocabulary.build(tokens, vocabulary.O200K)


@pytest.mark.parametrize(
    ("name", "text", "shape", "problem"),
    [
        ("absent.tiktoken", None, "llama3", r"cannot read the vocabulary `.*absent.tiktoken`: No such file"),
        ("a.tiktoken", "!!! 0\n", "llama3", "cannot use the vocabulary"),
        ("a.tiktoken", "YQ== 0\nYg== 2\n", "llama3", "the ranks are not the numbers from 0 on"),
        ("a.tiktoken", "YQ== 0\nYg==\n", "llama3", "the last line has no rank"),
        ("a.tiktoken", "YQ== zero\n", "llama3", "cannot use the vocabulary"),
        ("a.tiktoken", "YQ== 0\n", "llama3", "there is not a token for each byte"),
        ("a.json", "{}", "tekken", "cannot use the vocabulary"),
        ("a.json", "{", "tekken", "cannot use the vocabulary"),
        ("a.json", tekken(BYTES, pattern="other"), "tekken", "its pattern is not the one this build knows"),
        ("a.json", tekken(BYTES, first=1), "tekken", "the ranks are not the numbers from 0 on"),
        ("a.json", "[]", "tekken", "cannot use the vocabulary"),
        ("a.tiktoken", "", "gpt9", "`gpt9` is no pattern this build knows; it knows `cl100k`, `o200k`"),
    ],
)
def test_a_supplied_file_that_cannot_be_used(
    name: str, text: str | None, shape: str, problem: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=problem):
        vocabulary.supplied(tmp_path / name, shape)


def test_ranks_may_stand_in_any_order() -> None:
    lines = ranks([*BYTES, b"ab"]).splitlines()
    assert vocabulary.ranked_tokens("\n".join(reversed(lines)).encode()) == [*BYTES, b"ab"]


@pytest.mark.parametrize(
    ("model", "name", "kind"),
    [
        ("gpt-4o", "o200k_base", "exact"),
        ("gpt-4o-mini-2024-07-18", "o200k_base", "exact"),
        ("openai/gpt-4.1-nano", "o200k_base", "exact"),
        ("ft:gpt-4o:acme::x", "o200k_base", "exact"),
        ("gpt-5", "o200k_base", "exact"),
        ("gpt-5.2-codex", "o200k_base", "exact"),
        ("o1-mini", "o200k_base", "exact"),
        ("chatgpt-4o-latest", "o200k_base", "exact"),
        ("gpt-4", "cl100k_base", "exact"),
        ("gpt-4-turbo", "cl100k_base", "exact"),
        ("gpt-35-turbo-16k", "cl100k_base", "exact"),
        ("text-embedding-3-large", "cl100k_base", "exact"),
        ("gpt-4.7", "o200k_base", "estimated"),
        ("gpt-4omega", "o200k_base", "estimated"),
        ("o100", "o200k_base", "estimated"),
        ("claude-sonnet-4-5", "o200k_base", "estimated"),
        ("", "o200k_base", "estimated"),
    ],
)
def test_a_model_s_encoding(model: str, name: str, kind: str) -> None:
    encoding = published_encoding(model)
    assert (encoding.name, encoding.kind) == (name, kind)


def test_an_operator_s_vocabulary_comes_before_the_published_ones(tmp_path: Path) -> None:
    (tmp_path / "own.tiktoken").write_text(ranks(BYTES))
    (tmp_path / "other.tiktoken").write_text(ranks([*BYTES, b"ab"]))
    registry = Registry(
        [
            Supplied("own", tmp_path / "own.tiktoken", "llama3", ("llama-*", "gpt-4o")),
            Supplied("other", tmp_path / "other.tiktoken", "llama3", ("llama-3*",)),
        ]
    )
    registry.load()
    named = {model: registry.encoding(model) for model in ("llama-2", "llama-3.1", "gpt-4o", "gpt-4o-mini")}
    assert {model: encoding.name for model, encoding in named.items()} == {
        "llama-2": "own",
        "llama-3.1": "other",
        "gpt-4o": "own",
        "gpt-4o-mini": "o200k_base",
    }
    assert [registry.vocabulary(encoding).count("ab") for encoding in named.values()] == [2, 1, 2, 1]
    assert {encoding.kind for encoding in named.values()} == {"exact"}


def test_programs_count_by_a_model_s_name() -> None:
    counter = TokenCounter("gpt-4o")
    counter.feed("Hel")
    assert counter.count == 1
    counter.feed(b"lo world")
    assert (counter.count, counter.kind) == (2, "exact")
    count = count_tokens("Hello world", "claude-sonnet-4-5")
    assert (count, count.kind) == (2, "estimated")


@pytest.mark.parametrize("name", vocabulary.PUBLISHED)
def test_tables_that_were_kept_count_as_those_that_are_made(name: str, tmp_path: Path) -> None:
    made = vocabulary.build(vocabulary.published_tokens(name), vocabulary.PUBLISHED[name])
    vocabulary.keep(name, tmp_path)
    kept = vocabulary.kept(name, tmp_path)
    assert kept is not None
    assert kept.tokens == made.tokens
    assert kept.image() == made.image()
    random = Random(1)
    for kind in (texts.prose, texts.edges, texts.scalars, texts.runs, texts.short, texts.invalid, texts.endless):
        for text in [kind(random) for _ in range(20)]:
            assert kept.count(text) == made.count(text), text


def test_the_build_of_this_package_has_kept_all_tables() -> None:
    assert [name for name in vocabulary.PUBLISHED if vocabulary.kept(name) is None] == []


def test_tables_that_are_not_to_the_last_bit_those_of_this_build_are_left_alone(tmp_path: Path) -> None:
    name = "cl100k_base"
    assert vocabulary.kept(name, tmp_path) is None, "a file that is not there"
    vocabulary.keep(name, tmp_path)
    file = tmp_path / f"{name}.tables"
    written = file.read_bytes()
    for at, why in (
        (0, "another build"),
        (40, "another digest"),
        (64, "the first byte"),
        (len(written) - 1, "the last"),
    ):
        file.write_bytes(written[:at] + bytes([written[at] ^ 1]) + written[at + 1 :])
        assert vocabulary.kept(name, tmp_path) is None, why
    for end in (0, 63, 64, len(written) - 1):
        file.write_bytes(written[:end])
        assert vocabulary.kept(name, tmp_path) is None, end
    other = "o200k_base"
    (tmp_path / f"{other}.tables").write_bytes(written)
    assert vocabulary.kept(other, tmp_path) is None, "another vocabulary's"


HELD_BY_A_CYCLE = """
import gc, mmap
from tests.count.test_tokens_vocabulary import BYTES
from tidegate.count import vocabulary
from tidegate.count._tokens import Vocabulary

written = vocabulary.build(BYTES, vocabulary.O200K).image()
image = mmap.mmap(-1, len(written))
image[:] = written
made = Vocabulary.mapped(image)
cycle = [made]
cycle.append(cycle)
del made, cycle
assert gc.collect()
"""


def test_tables_that_lie_elsewhere_are_not_freed_when_a_cycle_ends() -> None:
    assert subprocess.run([sys.executable, "-c", HELD_BY_A_CYCLE], check=False, timeout=60).returncode == 0


def test_an_image_of_another_size_is_refused() -> None:
    image = vocabulary.build(BYTES, vocabulary.O200K).image()
    for wrong in (b"", image[:64], image[:-64], image + bytes(64)):
        with pytest.raises(ValueError, match="no image of a vocabulary"):
            Vocabulary.mapped(wrong)
