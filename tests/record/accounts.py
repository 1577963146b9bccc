"""Calls as the pipeline tells of them, and what their worker's journal then holds."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import astuple

from tidegate.clock import Clock
from tidegate.draws import Draws
from tidegate.model import Call, Caller
from tidegate.record import segments
from tidegate.record._journal import Journal
from tidegate.record._runs import RunIds
from tidegate.record.account import Account
from tidegate.record.evidence import Evidence, Known
from tidegate.record.leaves import decode
from tidegate.record.records import LEAF, Draw, Record, Unknown
from tidegate.record.subjects import Subject, Subjects, identity
from tidegate.wire import openai

Test = Callable[[Evidence, Journal, Account], Awaitable[None]]

RUNS = RunIds()
CALLER = Caller("acme", "key", "tg_1", "ann")
KEY = bytes(range(32))  # of every subject
ANN = Subject(identity("acme", "user", "ann"), KEY)


def drawn(*draws: Draw, overdraft: bool = False) -> Draws:
    """As limits tell what records say of them."""
    return Draws(map(astuple, draws), overdraft)


def account(evidence: Evidence, body: bytes = b"{}") -> Account:
    found: list[Known | None] = []
    evidence.of(CALLER, found.append)
    assert found[0] is not None
    call = Call(RUNS.new(), openai.ROUTES[0], {}, b"", body, None)
    return Account(evidence, call, found[0], "response")


def with_evidence(folder: Path, test: Test, subjects: Subjects | None = None, **options: Any) -> list[Record | Unknown]:
    """Runs a test; then the records of its journal."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(loop)
        journal = Journal(folder, 3, 7, limit=LEAF, **options)
        keys = Subjects(lambda whose, answer: answer(KEY)) if subjects is None else subjects
        evidence = Evidence(journal, keys, 3, 7, loop, clock)
        await test(evidence, journal, account(evidence))
        evidence.close()
        clock.stop()
        assert journal.close()

    asyncio.run(run())
    return [decode(entry.record) for entry in segments.epoch_entries(folder, 3, 7)]
