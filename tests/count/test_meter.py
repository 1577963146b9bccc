"""A meter says of every stream what a full parse and the reference tokenizer say, after every read."""

from collections.abc import Iterator

import pytest

from tests.count import metered
from tidegate.count._meter import Meter


def first(differences: Iterator[metered.Difference]) -> metered.Difference | None:
    return next(differences, None)


def test_ordinary_streams_of_all_endpoints() -> None:
    assert first(metered.streams(Meter, seed=1, wanted=600, odd=0.0)) is None


def test_odd_streams_of_all_endpoints() -> None:
    assert first(metered.streams(Meter, seed=2, wanted=1_000, odd=0.5)) is None


def test_documents_in_odd_spellings() -> None:
    assert first(metered.single(Meter, seed=3, wanted=20_000)) is None


def test_events_that_are_much_alike() -> None:
    assert first(metered.alike(Meter, seed=5, wanted=1_500)) is None


def test_what_chance_seldom_finds() -> None:
    assert first(metered.rare(Meter)) is None


def test_streams_cut_at_every_byte() -> None:
    assert first(metered.cut_everywhere(Meter, seed=4, wanted=12)) is None


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_many_streams_and_documents(seed: int) -> None:
    assert first(metered.streams(Meter, seed=100 + seed, wanted=10_000, odd=0.5)) is None
    assert first(metered.single(Meter, seed=200 + seed, wanted=50_000)) is None
    assert first(metered.alike(Meter, seed=400 + seed, wanted=20_000)) is None
    assert first(metered.cut_everywhere(Meter, seed=300 + seed, wanted=100)) is None
