"""Any process may be killed at any moment under load: what was answered is on record, once, and the ledger verifies."""

import asyncio
import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.ledgers import Said
from tests.faketime import movable_clock
from tests.faults.load import RUN, Line, Lost
from tests.gateway import Gateway, chat, children, post, running

PLAIN = post(chat())
STREAM = post(chat("simulated-pace-2+words-10", stream=True))


async def calls(gateway: Gateway, request: bytes, answered: set[str], over: asyncio.Event) -> None:
    """Calls until it is over; whoever is cut off begins anew."""
    while not over.is_set():
        with contextlib.suppress(Lost, OSError):
            line = await Line.open(gateway.port)
            try:
                while not over.is_set():
                    answer = await line.call(request)
                    found = RUN.search(answer.head)
                    assert found is not None
                    if answer.status == 200 and (b"[DONE]" in answer.body or request is PLAIN):
                        answered.add(found[1].decode())
                    else:
                        assert answer.status in (200, 502, 503), answer
                    if answer.last:
                        break
            finally:
                line.close()
        await asyncio.sleep(0.01)


async def kills(gateway: Gateway, seconds: float, answered: set[str]) -> int:
    """Workers and the writer of the ledger, at random moments; how many."""
    over, chance, killed = asyncio.Event(), random.Random(7), 0
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(calls(gateway, STREAM if number % 4 == 0 else PLAIN, answered, over))
        while time.monotonic() < until:
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            victims = children(gateway.process.pid, chance.choice(["tidegate-w", "tidegate-ledger"]))
            if victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
                killed += 1
        over.set()
    return killed


def kill_everything(gateway: Gateway) -> None:
    pids = [gateway.process.pid, *children(gateway.process.pid, "tidegate-")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    gateway.process.wait()


@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=pytest.mark.long)])
def test_what_was_answered_is_on_record_whatever_is_killed(tmp_path: Path, rounds: int) -> None:
    answered: set[str] = set()
    killed = 0
    gateway = Gateway(tmp_path, workers=2)
    try:
        for _ in range(rounds):
            gateway.start()
            killed += asyncio.run(kills(gateway, 2.0, answered))
            kill_everything(gateway)  # the supervisor too
        gateway.start()
        assert gateway.stop() == 0, gateway.log
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()
    assert killed >= rounds
    assert len(answered) > 50 * rounds
    said = Said(tmp_path / ".tidegate")
    wrong = {run: said.kinds(run) for run in answered if said.kinds(run) != ["Intent", "Outcome"]}
    assert not wrong
    ended = [kinds for kinds in map(said.kinds, said.of) if kinds not in (["Intent", "Outcome"], ["Intent", "Aborted"])]
    assert not [kinds for kinds in ended if kinds != ["Outcome"]], "a call without an end, or with two"


def test_clocks_that_jump_change_nothing(tmp_path: Path) -> None:
    """The wall clock of all processes, an hour and a day there and back, while calls are answered and recorded."""
    clock, environ = movable_clock(tmp_path)
    runs = []
    with running(tmp_path, workers=2, env=environ) as gateway:
        for jump in ("+0", "+3600", "-3600", "-10", "+86400", "+0"):
            clock.write_text(jump)
            for request in (PLAIN, STREAM) * 5:
                answer = gateway.ask(request)
                assert answer.status == 200
                runs.append(answer.fields["x-tidegate-run-id"])
            time.sleep(1.1)  # for a checkpoint at that time
    said = Said(tmp_path / ".tidegate")
    assert [said.kinds(run) for run in runs] == [["Intent", "Outcome"]] * len(runs)
    for run in runs:
        spans = said.outcome(run).spans
        assert 0 < spans.decided <= spans.sent <= spans.first_byte <= spans.last_byte < 60_000_000_000
