"""A worker's evidence: who waits is told once and truly, and what finds no room is not forgotten."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from tidegate.clock import Clock
from tidegate.errors import TidegateError
from tidegate.model import Call, Caller, Outcome
from tidegate.record import segments
from tidegate.record._journal import Journal
from tidegate.record._runs import RunIds
from tidegate.record.account import Account
from tidegate.record.evidence import Evidence, Known
from tidegate.record.leaves import decode
from tidegate.record.records import LEAF, PolicyLoaded, Record, Refusals, Unknown
from tidegate.record.records import Outcome as OutcomeRecord
from tidegate.record.subjects import Subjects
from tidegate.record.unrecorded import Unrecorded
from tidegate.wire import openai

Test = Callable[[Evidence, Journal, Account], Awaitable[None]]
RUNS = RunIds()


class Waiter:
    """What it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def release(self) -> None:
        self.told.append("durable")

    def lost(self, error: TidegateError) -> None:
        self.told.append(error.code)


def account(evidence: Evidence) -> Account:
    found: list[Known | None] = []
    evidence.of(Caller("acme", "key", "tg_1", "ann"), found.append)
    assert found[0] is not None
    call = Call(RUNS.new(), openai.ROUTES[0], {}, b"", b"{}", None)
    return Account(evidence, call, found[0], "response")


def with_evidence(folder: Path, test: Test, **options: int) -> list[Record | Unknown]:
    """Runs a test; then the records of its journal."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(loop)
        journal = Journal(folder, 3, 7, limit=LEAF, **options)
        keys = Subjects(lambda whose, answer: answer(os.urandom(32)))
        evidence = Evidence(journal, keys, 3, 7, loop, clock)
        await test(evidence, journal, account(evidence))
        evidence.close()
        clock.stop()
        assert journal.close()

    asyncio.run(run())
    return [decode(entry.record) for entry in segments.epoch_entries(folder, 3, 7)]


def test_who_waits_is_released_when_its_record_is_durable_and_not_before(tmp_path: Path) -> None:
    waiters = [Waiter() for _ in range(50)]

    async def test(evidence: Evidence, journal: Journal, account: Account) -> None:
        for waiter in waiters:
            seq = account.outcome(Outcome(200), None, None, 0)
            assert evidence.wait(seq, waiter)
            assert journal.durable < seq
            assert not waiter.told
        while not all(waiter.told for waiter in waiters):
            await asyncio.sleep(0.001)
        assert journal.durable == 50
        assert not evidence.wait(50, Waiter())  # nothing is to be waited for any more

    written = with_evidence(tmp_path, test)
    assert [waiter.told for waiter in waiters] == [["durable"]] * 50
    assert [record.seq for record in written] == list(range(1, 51))


def test_the_end_of_a_run_that_finds_no_room_is_recorded_later(tmp_path: Path) -> None:
    ended = 0

    async def test(evidence: Evidence, journal: Journal, account_: Account) -> None:
        nonlocal ended
        while True:  # the loop does not turn, so that nothing becomes durable
            ended += 1
            try:
                account(evidence).outcome(Outcome(200), None, None, 0)
            except Unrecorded:
                break
        while journal.durable < ended - 1:
            await asyncio.sleep(0.001)
        evidence.check(0.0)

    written = [record for record in with_evidence(tmp_path, test, buffer=65_536) if isinstance(record, OutcomeRecord)]
    assert len(written) == ended
    assert len({record.run for record in written}) == ended
    assert [record.error for record in written] == [""] * (ended - 1) + ["unrecorded"]


def test_refusals_are_counted_together_and_codes_are_bounded(tmp_path: Path) -> None:
    async def test(evidence: Evidence, journal: Journal, account: Account) -> None:
        for number in range(500):
            evidence.refused(f"code-{number}" if number % 2 else "not_found")

    (written,) = with_evidence(tmp_path, test)
    assert isinstance(written, Refusals)
    assert dict(written.counts)["not_found"] == 250
    assert sum(count for _, count in written.counts) + written.others == 500


def test_policies_are_said_once_each(tmp_path: Path) -> None:
    async def test(evidence: Evidence, journal: Journal, account: Account) -> None:
        for digests in [("", ""), ("a" * 64, ""), ("a" * 64, ""), ("b" * 64, "c" * 64), ("b" * 64, "")]:
            evidence.policies(digests)

    written = with_evidence(tmp_path, test)
    said = [(each.role, each.before[:1], each.policy[:1]) for each in written if isinstance(each, PolicyLoaded)]
    assert said == [
        ("enforced", b"", b"\xaa"),
        ("enforced", b"\xaa", b"\xbb"),
        ("shadow", b"", b"\xcc"),
        ("shadow", b"\xcc", b""),
    ]


def test_a_caller_without_keys_is_nobody(tmp_path: Path) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        journal = Journal(tmp_path, 3, 7)
        evidence = Evidence(journal, Subjects(lambda whose, answer: answer(None)), 3, 7, loop, Clock(loop))
        found: list[Known | None] = []
        caller = Caller("acme", "anonymous")
        assert evidence.at_hand(caller) is None
        evidence.of(caller, found.append)
        assert found == [None]
        evidence.close()
        journal.close()

    asyncio.run(run())
