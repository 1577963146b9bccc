"""What a limit's numbers are in whole numbers: calls, tokens, micro-cents, nanoseconds.

Nothing is ever rounded in the caller's favour: `max` and `burst` are rounded down and the time that an amount costs is
rounded up. Numbers beyond `MOST` stand for it; nobody draws so much.
"""

from fractions import Fraction
from typing import Final

from msgspec import Struct

from tidegate.model import Limit, Measure

MICRO_CENTS: Final = 100_000_000  # of a dollar
MOST: Final = 2**62
MOST_AMOUNT: Final = 2**53  # of one draw: 90 million dollars
SECOND: Final = 1_000_000_000
COARSE: Final = 1_000_000  # where one unit takes so many ns, a whole number of them: a burst is the same in any parts


class Rate(Struct, frozen=True):
    """An amount `n` costs ceil(n * `ahead` / `units`) nanoseconds, of which `depth` may be owed."""

    ahead: int
    units: int
    depth: int


def micro_cents(usd: float) -> int:
    """Dollars as they are written, in micro-cents, rounded up: for estimates and prices."""
    return -int(-_exact(usd) * MICRO_CENTS // 1)


def whole(measure: Measure, number: float) -> int:
    """A limit's `max` or `burst` in its unit."""
    return min(int(_exact(number) * (MICRO_CENTS if measure == "usd" else 1)), MOST)


def rate(limit: Limit) -> Rate:
    """The numbers of a rolling limit. One of nothing, `max` = 0, is as slow as a number can say."""
    assert limit.seconds is not None
    scale = MICRO_CENTS if limit.measure == "usd" else 1
    most = _exact(limit.max) * scale
    if not most:
        return Rate(MOST, 1, 0)
    step = limit.seconds * SECOND / most
    ahead, units = step.numerator, step.denominator
    if ahead // units >= COARSE:
        ahead, units = -(-ahead // units), 1
    while units > 1 and (ahead > MOST or units > MOST):  # a fraction of so many digits becomes a slightly slower one
        ahead, units = -(-ahead >> 1), units >> 1
    ahead = min(ahead, MOST)
    burst = whole(limit.measure, limit.max if limit.burst is None else limit.burst)
    return Rate(ahead, units, min(-(-burst * ahead // units), MOST))


def _exact(number: float) -> Fraction:
    """A number as it is written: 0.1 is a tenth."""
    return Fraction(str(number)) if isinstance(number, float) else Fraction(number)
