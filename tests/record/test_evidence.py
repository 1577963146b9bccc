"""A worker's evidence: who waits is told once and truly, and what finds no room is not forgotten."""

import asyncio
import time
from pathlib import Path

import pytest
from msgspec.structs import astuple, replace

from tests.record.accounts import ANN, CALLER, KEY, account, with_evidence
from tidegate.clock import Clock
from tidegate.errors import TidegateError
from tidegate.model import Caller, Outcome
from tidegate.record._journal import Journal
from tidegate.record.account import Account
from tidegate.record.evidence import MOST_LATE, Evidence, Known
from tidegate.record.records import Gap, PolicyLoaded, Refusals, Who
from tidegate.record.records import Outcome as OutcomeRecord
from tidegate.record.subjects import Kind, Subject, Subjects, identity
from tidegate.record.unrecorded import Unrecorded


class Waiter:
    """What it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def release(self) -> None:
        self.told.append("durable")

    def lost(self, error: TidegateError) -> None:
        self.told.append(error.code)


class Broken(Waiter):
    """Whose connection fails as it is released."""

    def release(self) -> None:
        super().release()
        raise OSError


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


def test_who_waits_is_released_though_its_record_rode_along_before_the_turn_was_over(tmp_path: Path) -> None:
    waiters = [Waiter() for _ in range(3)]

    async def test(evidence: Evidence, journal: Journal, account: Account) -> None:
        for waiter in waiters:
            seq = account.outcome(Outcome(200), None, None, 0)
            assert evidence.wait(seq, waiter)
        while journal.durable < seq:
            time.sleep(0.001)  # the loop does not turn
        assert not any(waiter.told for waiter in waiters)
        await asyncio.sleep(0)
        assert [waiter.told for waiter in waiters] == [["durable"]] * 3

    assert len(with_evidence(tmp_path, test)) == 3


def test_who_waits_for_an_earlier_record_than_others_is_released_all_the_same(tmp_path: Path) -> None:
    early, late, broken = Waiter(), Waiter(), Broken()

    async def test(evidence: Evidence, journal: Journal, account: Account) -> None:
        first = account.intent(b"", ())
        last = account.outcome(Outcome(200), None, None, 0)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        assert evidence.wait(last, broken)
        assert evidence.wait(last, late)
        assert evidence.wait(first, early)
        while not (late.told and early.told):
            await asyncio.sleep(0.001)
            account.outcome(Outcome(200), None, None, 0)
        assert [each.told for each in (early, late, broken)] == [["durable"]] * 3

    with_evidence(tmp_path, test)


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


def test_the_end_of_a_run_that_cannot_even_wait_for_room_is_counted_as_missing(tmp_path: Path) -> None:
    ended = 0

    async def test(evidence: Evidence, journal: Journal, begun: Account) -> None:
        nonlocal ended
        begun.intent(b"", ())
        refused = 0
        while refused < MOST_LATE + 7:  # the loop does not turn, so that nothing becomes durable
            ended += 1
            try:
                account(evidence).outcome(Outcome(200), None, None, 0)
            except Unrecorded:
                refused += 1
        with pytest.raises(Unrecorded):
            begun.outcome(Outcome(200), None, None, 0)  # the intent is there: recovery ends it, so it is not missing
        before = -1
        while journal.appended != before:
            before = journal.appended
            assert journal.drain(5)
            evidence.check(0.0)

    written = with_evidence(tmp_path, test, buffer=65_536)
    assert sum(isinstance(record, OutcomeRecord) for record in written) == ended - 7
    assert [(gap.reason, gap.count) for gap in written if isinstance(gap, Gap)] == [("dropped", 7)]


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


def test_what_is_dropped_is_counted_once_however_often_that_could_not_be_said(tmp_path: Path) -> None:
    ended = 0

    async def test(evidence: Evidence, journal: Journal, _: Account) -> None:
        nonlocal ended
        while journal.dropped < 20:  # the loop does not turn, so that there is no room for what says so either
            account(evidence).outcome(Outcome(200), None, None, 0)
            ended += 1
            if journal.dropped:
                evidence.check(0.0)
        assert journal.drain(5)
        evidence.check(0.0)
        evidence.check(0.0)

    written = with_evidence(tmp_path, test, buffer=65_536, audit="best_effort")
    missing = [record.count for record in written if isinstance(record, Gap)]
    assert sum(isinstance(record, OutcomeRecord) for record in written) + sum(missing) == ended
    assert sum(missing) > 0


def test_a_caller_is_named_as_its_keys_are_and_not_once_they_are_gone(tmp_path: Path) -> None:
    async def test(evidence: Evidence, journal: Journal, _: Account) -> None:
        for _ in range(2):
            known = evidence.at_hand(CALLER)
            assert known is not None
            assert known.who == Who(pseudonyms["tenant"], pseudonyms["key"], ANN.pseudonym)
            session = evidence.at_hand(replace(CALLER, session="s-1"))
            assert session is not None
            assert session.who == Who(*astuple(known.who)[:3], ANN.session("s-1"))
            both = evidence.at_hand(replace(CALLER, session="s-2", parent="r-1"))
            assert both is not None
            assert both.who == Who(*astuple(known.who)[:3], ANN.session("s-2"), ANN.parent("r-1"))
        assert evidence.at_hand(replace(CALLER, user="bob")) is None
        keyless = evidence.at_hand(replace(CALLER, key=None))
        assert keyless is not None
        assert keyless.who == Who(pseudonyms["tenant"], b"", ANN.pseudonym)
        assert evidence.at_hand(CALLER, both) is both, "what was said of the same caller is said again"
        subjects.forget(ANN.identity)
        assert evidence.at_hand(CALLER, both) is None
        assert evidence.at_hand(CALLER) is None
        assert evidence.at_hand(replace(CALLER, user=None)) is not None
        subjects.clear()
        assert evidence.at_hand(replace(CALLER, user=None)) is None

    names: list[tuple[Kind, str]] = [("tenant", ""), ("key", "tg_1")]
    pseudonyms = {kind: Subject(identity("acme", kind, id), KEY).pseudonym for kind, id in names}
    subjects = Subjects(lambda whose, answer: answer(KEY))
    with_evidence(tmp_path, test, subjects=subjects)


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
