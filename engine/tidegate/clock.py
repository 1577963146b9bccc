"""The one clock of a worker: a coarse `now`, and the deadlines of everything that may take too long.

A timer for each connection would cost more than the request it guards (call_later and cancel are 1.4 us). Instead all
watched things are asked once a second, a tenth of them every tick, whether their time is up. A deadline is therefore
met up to a second late, never early.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

TICK: Final = 0.1
PHASES: Final = 10
NEVER: Final = float("inf")


class Watched(Protocol):
    """Something with deadlines."""

    def check(self, now: float) -> bool:
        """Acts on what is overdue; False when it need not be asked again."""
        ...


class Clock:
    """Ticks on a loop; `now` is the loop's time at the last tick."""

    def __init__(self, loop: asyncio.AbstractEventLoop, beat: Callable[[], None] | None = None) -> None:
        self.now = loop.time()
        self.loop = loop
        self._beat = beat
        self._phases: list[list[Watched]] = [[] for _ in range(PHASES)]
        self._phase = 0
        self._next = loop.call_later(TICK, self._tick)

    def watch(self, thing: Watched) -> None:
        """Asks `thing` about once a second from now on."""
        self._phases[self._phase].append(thing)

    def stop(self) -> None:
        """No more ticks."""
        self._next.cancel()

    def _tick(self) -> None:
        self._next = self.loop.call_later(TICK, self._tick)
        now = self.now = self.loop.time()
        if self._beat is not None:
            self._beat()
        self._phase = (self._phase + 1) % PHASES
        due = self._phases[self._phase]
        if due:
            self._phases[self._phase] = []
            self._phases[self._phase] += [thing for thing in due if self._ask(thing, now)]

    def _ask(self, thing: Watched, now: float) -> bool:
        try:
            return thing.check(now)
        except Exception as error:  # a bug in one must not leave the others without deadlines
            self.loop.call_exception_handler({"message": "a deadline's check failed", "exception": error})
            return False
