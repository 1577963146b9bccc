"""The header lines about a call's limits in plain Python: what the compiled ones are held against."""

import time
from collections.abc import Iterable
from math import inf
from typing import Protocol

from tidegate.limit.headers import LINES, MEASURES, SECOND, Form, duration
from tidegate.limit.refusal import State
from tidegate.model import Limit


class Bucket(Protocol):
    """A prepared limit."""

    @property
    def limit(self) -> Limit: ...
    @property
    def max(self) -> int: ...


def standing(form: Form, states: Iterable[tuple[Bucket, State]], now: int | None = None) -> bytes:
    """The lines for the buckets that a call draws from; `now` is Unix time in nanoseconds."""
    nearest: dict[str, tuple[Bucket, State]] = {}
    for bucket, state in states:
        measure = bucket.limit.measure
        if measure in MEASURES and (measure not in nearest or _nearer((bucket, state), nearest[measure])):
            nearest[measure] = (bucket, state)
    lines = b""
    for measure in MEASURES:
        if measure in nearest:
            bucket, state = nearest[measure]
            if form == "openai":
                reset = duration(state.reset)
            else:
                reset = instant((time.time_ns() if now is None else now) + state.reset)
            told = LINES[form, measure] % (bucket.max, max(0, state.remaining), reset)
            lines += b"".join(told.splitlines(keepends=True)[:2]) if bucket.limit.per == "total" else told
    return lines


def instant(nanoseconds: int) -> bytes:
    """Unix time as RFC 3339 writes it, in whole seconds of UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(-(-nanoseconds // SECOND))).encode()


def _nearer(one: tuple[Bucket, State], other: tuple[Bucket, State]) -> bool:
    return (one[1].remaining, -_reset(*one)) < (other[1].remaining, -_reset(*other))


def _reset(bucket: Bucket, state: State) -> float:
    """What is used of a total comes back at no time."""
    return inf if bucket.limit.per == "total" else state.reset
