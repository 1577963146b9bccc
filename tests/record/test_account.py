"""What is said of a call on its way is in its records: one intent for each time that it leaves, and one outcome."""

import contextlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from tests.record.accounts import ANN, account, drawn, with_evidence
from tidegate.draws import Draws
from tidegate.errors import TidegateError
from tidegate.model import Capture, Decision, Estimate, Outcome, Reason, Usage
from tidegate.record._journal import Journal
from tidegate.record.aborted import abort
from tidegate.record.account import Account
from tidegate.record.evidence import Evidence
from tidegate.record.leaves import MOST_DRAWS, MOST_SEEN, decode, encode
from tidegate.record.records import Aborted, Attempt, Because, Bodies, Cut, Draw, Intent, Record, Seen, Unknown, Used
from tidegate.record.records import Outcome as OutcomeRecord
from tidegate.record.ring import read as read_ring
from tidegate.record.segments import Entry

ALLOWED = Decision(action="allow", digest="ab" * 32)
ESTIMATE = Estimate(30, "exact", 400, 123_456)
HELD = Draw(b"a" * 16, "tokens", 430, 0, 2_000_000_000)
MORE = Draw(b"a" * 16, "tokens", 500, 0, 2_000_000_000)
SETTLED = Draw(b"a" * 16, "tokens", 500, 520, 2_000_000_000)
STOP = (Reason("too_long", "that is enough", "tidegate.stream.stop"),)
FLAG = (Reason("rude", "not so nice", "tidegate.response.flag"),)


def recorded(folder: Path, told: Callable[[Account], object]) -> list[Record | Unknown]:
    """The records of a call that is told of so."""

    async def test(evidence: Evidence, journal: Journal, account: Account) -> None:
        told(account)

    return with_evidence(folder, test)


def outcome_of(records: list[Record | Unknown]) -> OutcomeRecord:
    found = records[-1]
    assert isinstance(found, OutcomeRecord)
    return found


def test_what_a_call_holds_and_is_expected_to_cost_is_known_before_it_leaves(tmp_path: Path) -> None:
    def told(account: Account) -> None:
        account.decided(ALLOWED, ESTIMATE)
        account.routed("openai", "gpt-4o", "cd" * 32)
        account.held(drawn(HELD))
        account.intent(b"asked", ("max_tokens",))
        account.outcome(Outcome(200), None, Usage(30, 90, "exact"), 99, drawn(SETTLED, overdraft=True))

    intent, outcome = recorded(tmp_path, told)
    assert isinstance(intent, Intent)
    assert (intent.draws, intent.cost, intent.estimated) == ((HELD,), 123_456, Used("exact", 30, 400))
    assert isinstance(outcome, OutcomeRecord)
    assert (outcome.draws, outcome.overdraft, outcome.shared) == ((SETTLED,), True, False)
    assert (outcome.cost, outcome.estimated, outcome.edits) == (99, intent.estimated, ("max_tokens",))
    assert outcome.attempts == (Attempt("openai", 0),)


def test_an_estimate_that_knows_only_the_prompt_says_nothing_of_the_rest(tmp_path: Path) -> None:
    def told(account: Account) -> None:
        account.decided(ALLOWED, Estimate(30, "estimated"))
        account.intent(b"", ())

    (intent,) = recorded(tmp_path, told)
    assert isinstance(intent, Intent)
    assert (intent.estimated, intent.cost, intent.draws) == (Used("estimated", 30, 0), 0, ())


def test_more_limits_than_a_leaf_has_room_for_are_an_error(tmp_path: Path) -> None:
    def told(account: Account) -> None:
        account.held(drawn(*(HELD,) * MOST_DRAWS))
        with pytest.raises(ValueError, match="at most 12"):
            account.held(drawn(*(HELD,) * (MOST_DRAWS + 1)))
        account.intent(b"", ())

    (intent,) = recorded(tmp_path, told)
    assert isinstance(intent, Intent)
    assert intent.draws == (HELD,) * MOST_DRAWS


def fall_back(account: Account) -> None:
    """One provider answers badly, one not at all, one well."""
    account.decided(ALLOWED, ESTIMATE)
    account.routed("one", "gpt-4o", "cd" * 32)
    account.held(drawn(HELD))
    account.intent(b"first", ("include_usage",))
    account.came(b"overloaded")
    account.attempted(529, "upstream_overloaded")
    account.routed("two", "gpt-4o", "cd" * 32)
    account.intent(b"second", ())
    account.attempted(0, "upstream_timeout")
    account.routed("three", "claude", "ef" * 32)
    account.held(drawn(MORE))
    account.intent(b"third", ("max_tokens",))
    account.came(b"well")
    account.went(b"well")


def test_a_call_that_goes_on_to_other_providers_has_an_intent_for_each_and_one_outcome(tmp_path: Path) -> None:
    def told(account: Account) -> None:
        fall_back(account)
        account.outcome(Outcome(200), None, None, 0, drawn(SETTLED))

    *intents, outcome = recorded(tmp_path, told)
    said = [each for each in intents if isinstance(each, Intent)]
    assert [(each.integration, each.model, each.draws) for each in said] == [
        ("one", "gpt-4o", (HELD,)),
        ("two", "gpt-4o", (HELD,)),
        ("three", "claude", (MORE,)),
    ]
    assert isinstance(outcome, OutcomeRecord)
    run = outcome.run
    assert {each.run for each in said} == {run}
    assert [each.bodies.upstream_request for each in said] == [
        ANN.commitment(run, "upstream_request", body) for body in (b"first", b"second", b"third")
    ]
    assert outcome.attempts == (
        Attempt("one", 529, "upstream_overloaded"),
        Attempt("two", 0, "upstream_timeout"),
        Attempt("three", 200),
    )
    assert (outcome.model, outcome.prices, outcome.edits) == ("claude", b"\xef" * 32, ("max_tokens",))
    assert outcome.bodies == Bodies(
        ANN.commitment(run, "client_request", b"{}"),
        ANN.commitment(run, "upstream_request", b"third"),
        ANN.commitment(run, "upstream_response", b"well"),
        ANN.commitment(run, "client_response", b"well"),
        b"",
    )
    assert outcome.spans.sent < outcome.spans.first_byte


def test_a_call_that_is_refused_on_its_way_to_another_provider_says_where_it_was(tmp_path: Path) -> None:
    def told(account: Account) -> None:
        account.routed("one", "gpt-4o", "")
        account.intent(b"first", ())
        account.came(b"no")
        account.attempted(500, "upstream_error")
        account.routed("two", "dear", "")
        account.refused(TidegateError("it is too dear"), drawn(msgspec.structs.replace(HELD, settled=0)))

    outcome = outcome_of(recorded(tmp_path, told))
    assert outcome.attempts == (Attempt("one", 500, "upstream_error"),)
    assert outcome.draws == (HELD,)
    assert outcome.bodies.upstream_request == ANN.commitment(outcome.run, "upstream_request", b"first")
    assert outcome.bodies.upstream_response == outcome.bodies.client_response == b""


def test_of_several_intents_the_last_is_what_a_dead_worker_s_call_holds(tmp_path: Path) -> None:
    records = recorded(tmp_path, fall_back)
    entries = [Entry(each.seq, encode(each)) for each in records if isinstance(each, Intent)]
    (ended,) = map(decode, abort(3, 7)(iter(entries)))
    assert isinstance(ended, Aborted)
    assert (ended.seq, ended.draws) == (4, (msgspec.structs.replace(MORE, settled=MORE.held),))


def test_segments_are_kept_from_the_last_intent_of_the_oldest_call_on(tmp_path: Path) -> None:
    """What the journal is told to keep: never less than what the calls under way need to be ended."""

    async def test(evidence: Evidence, journal: Journal, first: Account) -> None:
        def kept() -> int:
            evidence.check(0.0)
            found = read_ring(next(tmp_path.glob("*.ring")))
            assert found is not None
            return found.keep

        second = account(evidence)
        assert first.intent(b"", ()) == 1
        assert second.intent(b"", ()) == 2
        assert kept() == 1
        first.attempted(0, "upstream_timeout")
        assert first.intent(b"", ()) == 3
        assert kept() == 2
        second.outcome(Outcome(200), None, None, 0)
        assert kept() == 3
        first.outcome(Outcome(200), None, None, 0)
        assert kept() == 6

    assert len(with_evidence(tmp_path, test)) == 5


@pytest.mark.parametrize(("capture", "kept"), [(None, True), ("digest", True), ("none", False)])
def test_nothing_is_committed_to_where_nothing_is_to_be_captured(
    tmp_path: Path, capture: Capture | None, kept: bool
) -> None:
    warned = Decision(action="warn", reasons=FLAG, capture=capture)

    def told(account: Account) -> None:
        account.decided(warned, ESTIMATE)
        account.intent(b"asked", ())
        account.came(b"answer")
        account.went(b"answer")
        account.flagged(FLAG)
        account.outcome(Outcome(200), None, None, 0)

    intent, outcome = recorded(tmp_path, told)
    assert isinstance(intent, Intent)
    assert isinstance(outcome, OutcomeRecord)
    assert outcome.capture == (capture or "")
    if kept:
        assert all(msgspec.structs.astuple(outcome.bodies))
        assert all(msgspec.structs.astuple(intent.bodies)[:2])
    else:
        assert outcome.bodies == intent.bodies == Bodies()
    assert outcome.decision.reasons == outcome.flags == (Because("rude", "tidegate.response.flag"),)


def test_a_refused_call_of_which_nothing_is_to_be_captured_has_no_commitment(tmp_path: Path) -> None:
    def told(account: Account) -> None:
        account.decided(Decision(action="block", reasons=STOP, capture="none"), ESTIMATE)
        account.refused(TidegateError("no"))

    assert outcome_of(recorded(tmp_path, told)).bodies == Bodies()


def test_what_stopped_an_answer_is_said_and_its_words_are_committed_to(tmp_path: Path) -> None:
    def told(account: Account) -> None:
        account.decided(Decision(action="warn", reasons=FLAG), ESTIMATE)
        account.intent(b"asked", ())
        account.stopped("policy", STOP)
        account.flagged(FLAG)
        account.outcome(Outcome(200), None, Usage(3, 64, "exact"), 1)

    outcome = outcome_of(recorded(tmp_path, told))
    assert outcome.stopped == "policy"
    assert outcome.flags == (Because("too_long", "tidegate.stream.stop"), Because("rude", "tidegate.response.flag"))
    assert outcome.counted == Used("exact", 3, 64)
    document = b'{"reasons":["not so nice"],"flags":["that is enough","not so nice"]}'
    salt = ANN.salt(outcome.run, "document")
    assert outcome.bodies.document == sha256(salt + document).digest()
    assert b"enough" not in encode(outcome)


def test_what_was_seen_of_limits_is_recorded_and_more_than_there_is_room_for_is_counted(tmp_path: Path) -> None:
    states = tuple([Seen(f"limit_{each}", each, 100 - each, 10**9) for each in range(MOST_SEEN + 3)])

    def told(account: Account) -> None:
        account.seen(states)
        account.stopped("limit", STOP * 9)
        account.outcome(Outcome(200), None, None, 0)

    outcome = outcome_of(recorded(tmp_path, told))
    assert outcome.seen == states[:MOST_SEEN]
    assert (outcome.stopped, len(outcome.flags)) == ("limit", 8)
    assert outcome.cut == Cut(flags=1, seen=3)


class Told(Draws):
    """Keeps the numbers that it is told."""

    def __init__(self, told: list[int]) -> None:
        super().__init__()
        self.told = told

    def recorded(self, seq: int) -> None:
        self.told.append(seq)


def test_who_settles_by_the_record_is_told_its_number_at_once_or_later(tmp_path: Path) -> None:
    told: list[int] = []

    async def test(evidence: Evidence, journal: Journal, call: Account) -> None:
        assert call.outcome(Outcome(200), None, None, 0, Told(told)) == 1
        assert told == [1]
        for _ in range(100):
            with contextlib.suppress(TidegateError):
                while True:
                    account(evidence).outcome(Outcome(200), None, None, 0)
            late = account(evidence)
            told.clear()
            try:
                late.outcome(Outcome(200), None, None, 0, Told(told))
            except TidegateError:
                break
            assert journal.drain(5)
        assert not told
        assert journal.drain(5)
        last = journal.appended
        evidence.check(0.0)
        assert len(told) == 1
        assert told[0] > last

    with_evidence(tmp_path, test, buffer=65_536)


def test_what_is_recorded_later_says_the_same_but_how_it_ended(tmp_path: Path) -> None:
    """An outcome that finds no room is written when there is some, with what was true when it ended."""

    async def test(evidence: Evidence, journal: Journal, _: Account) -> None:
        for _ in range(100):  # until the writer does not make room between two calls
            call = account(evidence)
            fall_back(call)
            with contextlib.suppress(TidegateError):
                while True:  # the loop does not turn
                    account(evidence).outcome(Outcome(200), None, None, 0)
            try:
                call.outcome(Outcome(200), None, None, 7, drawn(SETTLED, overdraft=True))
            except TidegateError:
                break
            assert journal.drain(5)
        assert journal.drain(5)
        evidence.check(0.0)

    records = with_evidence(tmp_path, test, buffer=65_536)
    last = [each for each in records if isinstance(each, Intent)][-1]
    (outcome,) = [each for each in records if isinstance(each, OutcomeRecord) and each.run == last.run]
    assert (outcome.error, outcome.cost, outcome.draws, outcome.overdraft) == ("unrecorded", 7, (SETTLED,), True)
    assert [each.error for each in outcome.attempts] == ["upstream_overloaded", "upstream_timeout", "unrecorded"]
    assert outcome.bodies.client_response == ANN.commitment(last.run, "client_response", b"well")
    assert outcome.time >= last.time
    assert outcome.seq > last.seq
