"""kill -9 of a worker: what was in flight on it is lost and nothing else.

The load runs on the loop that kills, so what is under way at the kill is known exactly: nothing is sent between the
signal and the moment at which the kernel has closed the victim's sockets.
"""

import asyncio
import os
import select
import signal
import time
from pathlib import Path

import pytest

from tests.faults.load import Caller, Line, Tally, calling
from tests.gateway import Gateway, chat, post, running

EVERY = 0.5
PLAIN = post(chat())
SLOW = post(chat("simulated-pace-40"))
STREAM = post(chat("simulated-pace-5+words-20", stream=True))
DONE = b"data: [DONE]\n\n\r\n0\r\n\r\n"


def callers(port: int, tally: Tally) -> list[Caller]:
    """About 500 calls a second where the machine allows: kept and new connections, plain, slow and streamed."""
    return [
        *(Caller(port, PLAIN, tally, pause=0.015) for _ in range(6)),
        *(Caller(port, PLAIN, tally, pause=0.03, fresh=True) for _ in range(4)),
        *(Caller(port, SLOW, tally) for _ in range(2)),
        *(Caller(port, STREAM, tally, ending=DONE) for _ in range(3)),
        Caller(port, STREAM, tally, ending=DONE, fresh=True),
    ]


def kill_and_wait(pid: int) -> None:
    """Returns when the process is dead and its sockets are closed, without a turn of the loop."""
    dead = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([dead], [], [], 10)[0], "the worker survived SIGKILL"
    finally:
        os.close(dead)


async def replaced(gateway: Gateway, victim: int) -> float:
    """Seconds until all workers are ready again."""
    start = time.monotonic()
    while time.monotonic() < start + 10:
        pids = gateway.worker_pids()
        if victim not in pids and len(pids) == gateway.workers:
            _, state = await asyncio.to_thread(gateway.ask_admin, "/readyz")
            if state["workers"] == gateway.workers:
                return time.monotonic() - start
        await asyncio.sleep(0.01)
    raise AssertionError(f"no replacement:\n{gateway.log}")


async def kill_under_load(gateway: Gateway, seconds: float) -> tuple[Tally, list[float]]:
    tally, took = Tally(), []
    async with calling(callers(gateway.port, tally)):
        await asyncio.sleep(EVERY)
        for number in range(int(seconds / EVERY)):
            next_kill = time.monotonic() + EVERY
            victim = gateway.worker_pids()[number % gateway.workers]
            in_flight, before = set(tally.under_way), len(tally.lost)
            kill_and_wait(victim)
            took.append(await replaced(gateway, victim))
            await asyncio.sleep(max(0.0, next_kill - time.monotonic()))
            explain_losses(tally.lost[before:], in_flight)
    return tally, took


def explain_losses(lost: list[Line], in_flight: set[Line]) -> None:
    """A loss was in flight at the kill, and all that were not just connecting were on one worker."""
    assert set(lost) <= in_flight, "requests were lost that were not in flight"
    assert len({line.worker for line in lost} - {b""}) <= 1, "a kill took down connections of another worker"


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.long)])
def test_a_killed_worker_loses_only_what_was_in_flight_on_it(tmp_path: Path, seconds: float) -> None:
    with running(tmp_path, workers=2) as gateway:
        tally, took = asyncio.run(kill_under_load(gateway, seconds))
        print(f"{len(took)} kills: {tally}; replaced within {max(took):.3f} s")
        assert tally.answered > 20 * seconds
        assert not tally.wrong
        assert not tally.refused
        # required: within 1 s; asserted with slack for machines of CI that stand still for a while
        assert max(took) < 5


def test_the_only_worker_can_be_killed_and_nobody_is_refused(tmp_path: Path) -> None:
    """While no worker lives, connections wait in the supervisor's sockets for the next one."""
    with running(tmp_path, workers=1) as gateway:
        for _ in range(3):
            (victim,) = gateway.worker_pids()
            kill_and_wait(victim)
            tally = asyncio.run(one_call(gateway.port))
            assert tally.clean, str(tally)
            assert not tally.refused
            asyncio.run(replaced(gateway, victim))


async def one_call(port: int) -> Tally:
    tally = Tally()
    async with calling([Caller(port, PLAIN, tally, fresh=True, pause=0.05)]):
        while not (tally.answered or tally.lost or tally.wrong or tally.refused):
            await asyncio.sleep(0.01)
    return tally
