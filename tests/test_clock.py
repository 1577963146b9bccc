"""The clock: everything watched is asked once a second, never too early, and never again once it says so."""

import asyncio
import itertools

import pytest
import uvloop

from tidegate.clock import PHASES, TICK, Clock

SECOND = PHASES * TICK


class Thing:
    """Remembers when it was asked; has enough after so many times."""

    def __init__(self, loop: asyncio.AbstractEventLoop, times: float = float("inf")) -> None:
        self.loop = loop
        self.times = times
        self.asked: list[float] = []
        self.told: list[float] = []

    def check(self, now: float) -> bool:
        self.asked.append(self.loop.time())
        self.told.append(now)
        return len(self.asked) < self.times


async def watched(count: int, seconds: float, times: float = float("inf")) -> list[Thing]:
    """So many things after so long; they were added at different moments of the second."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    things = [Thing(loop, times) for _ in range(count)]
    for thing in things:
        clock.watch(thing)
        await asyncio.sleep(TICK / 4)
    await asyncio.sleep(seconds)
    clock.stop()
    return things


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return request.param


def test_each_thing_is_asked_again_and_again_about_once_a_second(run) -> None:  # type: ignore[no-untyped-def]
    for thing in run(watched(8, 3.5)):
        assert 2 <= len(thing.asked) <= 6
        gaps = [later - sooner for sooner, later in itertools.pairwise(thing.asked)]
        assert all(gap >= SECOND * 0.9 for gap in gaps), "asked too often"


def test_a_thing_that_has_enough_is_not_asked_again(run) -> None:  # type: ignore[no-untyped-def]
    assert [len(thing.asked) for thing in run(watched(5, 3.0, times=1))] == [1] * 5


def test_now_never_runs_ahead_and_never_back(run) -> None:  # type: ignore[no-untyped-def]
    """So a deadline reckoned from it is met late, never early."""
    for thing in run(watched(4, 2.5)):
        assert all(told <= asked for told, asked in zip(thing.told, thing.asked, strict=True))
        assert thing.told == sorted(thing.told)


def test_the_work_of_a_second_is_spread(run) -> None:  # type: ignore[no-untyped-def]
    """Things that come at different moments are not all asked in one tick."""
    things = run(watched(20, 2.5))
    assert len({round(thing.told[0], 6) for thing in things}) >= 4


def test_it_beats_at_every_tick_and_stops(run) -> None:  # type: ignore[no-untyped-def]
    async def count() -> tuple[int, int]:
        beats = []
        clock = Clock(asyncio.get_running_loop(), lambda: beats.append(1))
        await asyncio.sleep(10 * TICK)
        clock.stop()
        stopped = len(beats)
        await asyncio.sleep(3 * TICK)
        return stopped, len(beats)

    stopped, later = run(count())
    assert 3 <= stopped <= 10
    assert later == stopped


def test_a_thing_may_watch_another_while_it_is_asked(run) -> None:  # type: ignore[no-untyped-def]
    """A deadline often opens a connection that has deadlines of its own."""

    async def chain() -> list[Thing]:
        loop = asyncio.get_running_loop()
        clock = Clock(loop)

        class Parent(Thing):
            def check(self, now: float) -> bool:
                clock.watch(child)
                return super().check(now)

        child = Thing(loop)
        parent = Parent(loop, times=1)
        clock.watch(parent)
        await asyncio.sleep(3.5)
        clock.stop()
        return [parent, child]

    parent, child = run(chain())
    assert len(parent.asked) == 1
    assert child.asked
    assert child.asked[0] >= parent.asked[0]


def test_one_failure_stops_neither_the_clock_nor_the_others(run) -> None:  # type: ignore[no-untyped-def]
    """A clock that stands still would hang the worker: its heart would beat no more."""

    async def failing() -> tuple[Thing, int]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        beats = []
        clock = Clock(loop, lambda: beats.append(1))

        class Broken(Thing):
            def check(self, now: float) -> bool:
                raise RuntimeError("broken")

        good = Thing(loop)
        clock.watch(Broken(loop))
        clock.watch(good)
        await asyncio.sleep(3.5)
        clock.stop()
        return good, len(beats)

    good, beats = run(failing())
    assert beats >= 10
    assert len(good.asked) >= 2
