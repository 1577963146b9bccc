"""Whatever an account is told, its leaves are byte for byte those that the plain encoder makes of the same records."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.record.accounts import CALLER, KEY, RUNS, drawn
from tests.record.plainly import PlainAccount
from tidegate.clock import Clock
from tidegate.draws import MEASURES
from tidegate.model import Call, Decision, Estimate, Outcome, Reason, Usage
from tidegate.record import segments
from tidegate.record._journal import Journal
from tidegate.record.account import Account
from tidegate.record.evidence import Evidence
from tidegate.record.leaves import decode, encode
from tidegate.record.records import LEAF, Draw, Intent, Seen
from tidegate.record.records import Outcome as OutcomeRecord
from tidegate.record.subjects import Subjects
from tidegate.wire import anthropic, openai

Told = list[tuple[str, tuple[Any, ...]]]

EDGES = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 2**32 - 1, 2**32, 2**63 - 1]
counts = st.sampled_from(EDGES) | st.integers(0, 2**63 - 1)
words = st.text("abcdefghijklmnopqrstuvwxyz_.", max_size=32)
names = st.text('abc_.:/@[]"*+-XYZ09', max_size=100) | st.text(max_size=20)
reasons = st.lists(st.builds(Reason, names, st.text(max_size=9), names), max_size=10).map(tuple)
digests = st.sampled_from(["", "ab" * 32, "sha256:" + "cd" * 32])
kinds: Any = st.sampled_from(["exact", "calibrated", "estimated", "provider"])
shadows = st.builds(Decision, action=st.just("block"), reasons=reasons, digest=digests)
decisions = st.builds(
    Decision, action=st.sampled_from(["allow", "warn"]), reasons=reasons, digest=digests,
    evidence=st.sampled_from([None, "async", "strict"]), capture=st.sampled_from([None, "digest", "none"]),
    shadow=st.none() | shadows,
)  # fmt: skip
estimates = st.builds(Estimate, counts, kinds, st.none() | counts, st.none() | counts)
usages = st.none() | st.builds(Usage, counts, counts, kinds, *[counts] * 9, names)
draws = st.lists(
    st.builds(Draw, st.binary(min_size=16, max_size=16), st.sampled_from(MEASURES), *[counts] * 3),
    max_size=12,
).map(tuple)
states = st.lists(st.builds(Seen, names, counts, counts | st.just(-1), counts), max_size=14).map(tuple)
contents = st.binary(max_size=300)
bodies = st.binary(max_size=200) | st.integers(50, 70).map(bytes)
edits = st.lists(words, max_size=20).map(tuple)

steps: st.SearchStrategy[Told] = st.lists(
    st.tuples(st.just("seen"), st.tuples(states))
    | st.tuples(st.just("routed"), st.tuples(names, names, digests))
    | st.tuples(st.just("held"), st.tuples(draws))
    | st.tuples(st.just("intent"), st.tuples(bodies, edits))
    | st.tuples(st.just("attempted"), st.tuples(st.integers(0, 599), words))
    | st.tuples(st.just("came"), st.tuples(contents))
    | st.tuples(st.just("went"), st.tuples(contents))
    | st.tuples(st.just("stopped"), st.tuples(st.sampled_from(["limit", "policy"]), reasons))
    | st.tuples(st.just("flagged"), st.tuples(reasons)),
    max_size=12,
)
once = st.lists(st.tuples(st.just("decided"), st.tuples(decisions, estimates)), max_size=1)  # and before all else
later = st.lists(st.tuples(st.just("shadowed"), st.tuples(shadows)), max_size=2)  # of a call that was decided about
ends = st.tuples(
    st.builds(Outcome, st.integers(100, 599), st.none() | words, st.booleans()), usages, usages, counts, draws,
    st.booleans(),
)  # fmt: skip


def leaves(folder: Path, tell: Callable[[Evidence], None]) -> list[bytes]:
    """What a journal holds after it was told."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(loop)
        journal = Journal(folder, 3, 7, limit=LEAF)
        evidence = Evidence(journal, Subjects(lambda whose, answer: answer(KEY)), 3, 7, loop, clock)
        tell(evidence)
        await asyncio.sleep(0)
        evidence.close()
        clock.stop()
        assert journal.close()

    asyncio.run(run())
    return [entry.record for entry in segments.epoch_entries(folder, 3, 7)]


@settings(max_examples=120, deadline=None)
@given(once, steps, later, ends, bodies, st.none() | names, names.filter(bool), st.booleans())
def test_a_leaf_is_what_the_plain_encoder_makes_of_it(
    decided: Told,
    told: Told,
    shadowed: Told,
    end: tuple[Any, ...],
    body: bytes,
    session: str | None,
    model: str,
    stream: bool,
) -> None:
    same(decided + told + (shadowed if decided else []), end, body, session, model, stream)


LONG = (Reason("c" * 64, "m", "r" * 64),) * 10


@pytest.mark.parametrize("attempts", [0, 1, 16])
def test_a_leaf_that_would_be_too_long_is_shortened_by_the_one_rule(attempts: int) -> None:
    usage = Usage(2**62, 2**62, "calibrated", *[2**62] * 9, "priority")
    draws = (Draw(b"b" * 16, "concurrent", 2**62, 2**62, 2**32),) * 12
    shadow = Decision(action="block", reasons=LONG)
    told: Told = [
        ("decided", (Decision(action="warn", reasons=LONG, shadow=shadow, digest="ab" * 32), Estimate(2**62, "exact"))),
        ("seen", ((Seen("n" * 96, 2**62, 2**62, 2**62),) * 14,)),
        ("routed", ("i" * 63, "m" * 96, "cd" * 32)),
        ("held", (draws,)),
        *[("attempted", (503, "e" * 32))] * attempts,
        ("intent", (b"body", ("include_usage", "max_tokens"))),
        ("stopped", ("policy", LONG)),
    ]
    leaf = same(told, (Outcome(200, "e" * 32), usage, usage, 2**62, draws, True), b"", "s", "m", True)[-1]
    assert LEAF - 200 < len(leaf) <= LEAF


@pytest.mark.parametrize(("status", "error"), [(200, None), (200, "late"), (429, None), (503, "e")])
def test_a_leaf_says_what_went_unless_an_error_took_its_place(status: int, error: str | None) -> None:
    told: Told = [("intent", (b"body", ())), ("came", (b"answer",)), ("went", (b"answer",))]
    end = (Outcome(status, error), None, None, 0, (), False)
    outcome = decode(same(told, end, b"", None, "m", False)[-1])
    assert isinstance(outcome, OutcomeRecord)
    assert bool(outcome.bodies.client_response) is not (status >= 400 and error is not None)


def same(told: Told, end: tuple[Any, ...], body: bytes, session: str | None, model: str, stream: bool) -> list[bytes]:
    """The leaves of a call that is told of so, which are as they should be."""
    caller = msgspec.structs.replace(CALLER, session=session)
    route = (openai if len(body) % 2 else anthropic).ROUTES[0]
    asked = {"model": model, "messages": [], "max_tokens": 1, "stream": stream}
    assert route.body is not None
    call = Call(RUNS.new(), route, {}, b"", body, msgspec.json.decode(msgspec.json.encode(asked), type=route.body))
    expected: list[Callable[[dict[str, int], OutcomeRecord | Intent], Any]] = []

    def tell(evidence: Evidence) -> None:
        assert evidence.of(caller, lambda known: None) is None
        known = evidence.at_hand(caller)
        assert known is not None
        account, plain = Account(evidence, call, known, "response"), PlainAccount(call, known, "response")
        for what, values in told:
            getattr(account, what)(*([drawn(*values[0])] if what == "held" else values))
            getattr(plain, what)(*values)
            if what == "intent":
                expected.append(lambda at, found, made=plain.intent_record({}): msgspec.structs.replace(made, **at))
        ended, provider, counted, cost, draws, overdraft = end
        account.outcome(ended, provider, counted, cost, drawn(*draws, overdraft=overdraft))
        settled = {"draws": draws, "overdraft": overdraft}

        def outcome(at: dict[str, int], found: OutcomeRecord | Intent) -> OutcomeRecord:
            assert isinstance(found, OutcomeRecord)
            return plain.outcome_record(at, found.began, found.spans, ended, (provider, counted), cost, **settled)

        expected.append(outcome)

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        written = leaves(Path(folder), tell)
    assert len(written) == len(expected)
    for seq, (leaf, make) in enumerate(zip(written, expected, strict=True), 1):
        found = decode(leaf)
        assert isinstance(found, OutcomeRecord | Intent)
        assert leaf == encode(make({"worker": 3, "epoch": 7, "seq": seq, "time": found.time}, found))
    return written


@pytest.mark.parametrize(
    "wrong",
    [
        lambda account: account.decided("allow", Estimate(1, "exact")),
        lambda account: account.decided(Decision(action="allow"), None),
        lambda account: account.shadowed(Decision(action="allow")),
        lambda account: [account.decided(Decision(action="allow"), Estimate(1, "exact")), account.shadowed("block")],
        lambda account: account.outcome("ended", None, None, 0),
        lambda account: account.outcome(Outcome(200), Outcome(200), None, 0),
        lambda account: account.outcome(Outcome(200), None, None, None),
        lambda account: account.outcome(Outcome(200), None, None, 2**64),
        lambda account: account.outcome(Outcome(200), None, None, 0, (b"draw",)),
        lambda account: account.outcome(Outcome(200, 404), None, None, 0),
        lambda account: [account.flagged(("rude",)), account.outcome(Outcome(200), None, None, 0)],
        lambda account: [account.seen((3,)), account.outcome(Outcome(200), None, None, 0)],
    ],
)
def test_what_is_of_another_kind_is_an_error_and_no_leaf(tmp_path: Path, wrong: Callable[[Any], object]) -> None:
    def tell(evidence: Evidence) -> None:
        evidence.of(CALLER, lambda known: None)
        known = evidence.at_hand(CALLER)
        assert known is not None
        account = Account(evidence, Call(RUNS.new(), openai.ROUTES[0], {}, b"", b"", None), known, "response")
        with pytest.raises((TypeError, OverflowError, AttributeError)):
            wrong(account)

    assert leaves(tmp_path, tell) == []


def test_a_run_s_id_that_is_none_is_an_error(tmp_path: Path) -> None:
    def tell(evidence: Evidence) -> None:
        evidence.of(CALLER, lambda known: None)
        known = evidence.at_hand(CALLER)
        assert known is not None
        for run in (b"", b"0" * 25, b"0" * 25 + b"g", b"0" * 27):
            with pytest.raises(ValueError, match="26 hexadecimal digits"):
                Account(evidence, Call(run, openai.ROUTES[0], {}, b"", b"", None), known, "response")

    assert leaves(tmp_path, tell) == []
