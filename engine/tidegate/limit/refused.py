"""A refusal of the limits in words: the error that a caller gets, with all that its client needs to do the right thing.

    exceeded(refusal)   the call does not leave; nothing was drawn
    reached(refusal)    a stream cannot draw more and ends

The message has a clause for each limit that refused; `rule`, `remaining` and `measure` are those of the strongest.
"""

from decimal import Decimal
from typing import Final

from tidegate.errors import BudgetExceeded, LimitExceeded, LimitReached, LimitThrottled
from tidegate.limit.headers import SECOND, again, duration, refusal
from tidegate.limit.refusal import Exceeded, Refusal
from tidegate.limit.units import MICRO_CENTS
from tidegate.model import CALENDAR, Limit

PRECISE: Final = 10 * SECOND  # shorter times are told to the millisecond


def exceeded(refused: Refusal, standing: bytes = b"") -> LimitExceeded:
    """What the caller of a refused call is told; `standing` are header lines about the limits that it asked."""
    strongest = refused.exceeded[0]
    kind = LimitExceeded
    if refused.action == "throttle":
        kind = LimitThrottled
    elif strongest.limit.per in CALENDAR:
        kind = BudgetExceeded
    error = kind(
        _message(refused, "this call pass"),
        rule=strongest.limit.name,
        remaining=left(strongest),
        lines=refusal(refused) + standing,
        measure=strongest.limit.measure,
    )
    error.retry = again(refused)
    return error


def reached(refused: Refusal) -> LimitReached:
    """What the caller is told whose stream ends because a step of its hold was refused."""
    strongest = refused.exceeded[0]
    return LimitReached(
        _message(refused, "this answer go on"),
        rule=strongest.limit.name,
        remaining=left(strongest),
        measure=strongest.limit.measure,
    )


def left(one: Exceeded) -> int | str:
    """What a limit has left: calls or tokens, or dollars as text."""
    return dollars(one.remaining) if one.limit.measure == "usd" else one.remaining


def dollars(micro_cents: int) -> str:
    """Money as a decimal number of dollars, exactly: `0.0123`."""
    return _plain(Decimal(micro_cents) / MICRO_CENTS)


def _message(refused: Refusal, what: str) -> str:
    return "; ".join(_clause(one, what) for one in refused.exceeded)


def _clause(one: Exceeded, what: str) -> str:
    limit = one.limit
    described = f"the {'budget' if limit.per in CALENDAR else 'limit'} `{limit.name}` of {_size(limit)}"
    if one.never:
        return f"{described} never lets as much through at once as is asked for"
    return f"{described} does not let {what}: {_amount(limit, str(left(one)))} left{_back(one)}"


def _size(limit: Limit) -> str:
    most = _amount(limit, _plain(Decimal(str(limit.max))))
    if limit.measure == "concurrent":
        return f"{most} at once"
    return f"{most} in total" if limit.per == "total" else f"{most} per {limit.per}"


def _amount(limit: Limit, number: str) -> str:
    if limit.measure == "usd":
        return f"${number}"
    unit = "token" if limit.measure == "tokens" else "call"
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def _back(one: Exceeded) -> str:
    """When there is more, as far as that is known."""
    if one.retry is None:
        return "" if one.limit.per is not None else ", more as soon as other calls end"
    time = one.retry if one.retry < PRECISE else -(-one.retry // SECOND) * SECOND
    when = duration(time).decode()
    return f", anew in {when}" if one.limit.per in CALENDAR else f", enough in {when}"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
