"""What a call draws, between who takes it and who records it."""

from typing import Any

import pytest

from tidegate.draws import MEASURES, Draws

EVERY = [(bytes([at]) * 16, measure, 2**53 + at, 2**62, at) for at, measure in enumerate(MEASURES)]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 12])
def test_what_is_told_is_what_is_read(count: int) -> None:
    told = (EVERY * 3)[:count]
    draws = Draws(told, overdraft=True)
    assert (list(draws), len(draws), draws.overdraft) == (told, count, True)
    draws.__init__(told[:1])  # type: ignore[misc]
    assert (list(draws), draws.overdraft) == (told[:1], False)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ((b"key",), ValueError),
        ((b"short", "usd", 1, 0, 0), ValueError),
        (("k" * 16, "usd", 1, 0, 0), TypeError),
        ((b"k" * 16, "minutes", 1, 0, 0), ValueError),
        ((b"k" * 16, "usd", None, 0, 0), TypeError),
        ((b"k" * 16, "usd", -1, 0, 0), ValueError),
        ((b"k" * 16, "usd", 0, -1, 0), ValueError),
        ((b"k" * 16, "usd", 0, 0, -1), ValueError),
        ((b"k" * 16, "usd", 2**63, 0, 0), OverflowError),
    ],
)
def test_what_cannot_be_drawn_is_an_error(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Draws([EVERY[0], wrong])


def test_a_record_s_number_settles_nothing_where_nothing_is_held() -> None:
    draws = Draws(EVERY)
    draws.recorded(7)
    assert list(draws) == EVERY
