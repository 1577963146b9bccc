"""What policies are told of limits: the buckets as they stand, the same however it is asked for, and on record."""

from pathlib import Path
from typing import Any

import pytest

from tests.decide.calls import call
from tests.record.accounts import CALLER, account, with_evidence
from tidegate.decide.declared import declared
from tidegate.limit.hold import Holder
from tidegate.limit.limits import Limits
from tidegate.model import Caller, Limit, Outcome
from tidegate.record.records import Outcome as OutcomeRecord
from tidegate.rego.values import UNDEFINED
from tidegate.standings import Told

DATA = {
    "limits": {
        "money": {"key": ["caller.tenant"], "measure": "usd", "max": 10, "per": "day", "tz": "UTC"},
        "words": {"key": ["caller.user", "team"], "measure": "tokens", "max": 100, "per": "total"},
        "calls": {"key": [], "measure": "concurrent", "max": 3},
    }
}
CALL = call("chat.completions", model="m", messages=[])


def told(holder: Holder, kept: Any, caller: Caller = CALLER, kinds: Any = None) -> Told:
    made = Told.__new__(Told)
    made.begin(declared(DATA) if kinds is None else kinds, CALL, caller, holder, kept)
    return made


def test_a_field_is_that_of_the_document_and_all_is_recorded(tmp_path: Path) -> None:
    limits = Limits()
    holder = Holder(limits)
    budget = Limit(name="money", key=("acme",), measure="usd", max=10, per="day", tz="UTC")
    hold: Any = limits.acquire([(limits.prepare(budget, "acme"), 250_000_000)])

    async def test(evidence: Any, journal: Any, kept: Any) -> None:
        document = told(holder, account(evidence))()
        assert document["money"] | {"reset_s": 0} == {"used": 2.5, "remaining": 7.5, "reset_s": 0}
        assert document["words"] == {"used": 0, "remaining": 100, "reset_s": 0}
        assert document["calls"] == {"used": 0, "remaining": 3, "reset_s": 0}
        one = told(holder, kept)
        for name in ("used", "remaining"):
            assert one.at(("money", name)) == document["money"][name]
            assert type(one.at(("words", name))) is int
        assert 0 < one.at(("money", "reset_s")) <= 86_400
        assert one.at(("money",)) == one()["money"]
        assert one.at(()) == one()
        for path in (("other", "used"), ("money", "left"), ("money", "used", "x"), ("x",)):
            assert one.at(path) is UNDEFINED
        kept.outcome(Outcome(200), None, None, 0)

    [outcome] = with_evidence(tmp_path, test)
    assert isinstance(outcome, OutcomeRecord)
    assert [(each.name, each.used, each.remaining) for each in outcome.seen] == [
        ("money", 250_000_000, 750_000_000),
        ("words", 0, 100),
        ("calls", 0, 3),
    ]
    hold.release()


def test_who_asks_twice_is_told_the_same(tmp_path: Path) -> None:
    limits = Limits()
    bucket = limits.prepare(Limit(name="calls", key=(), measure="concurrent", max=3), "acme")

    async def test(evidence: Any, journal: Any, kept: Any) -> None:
        one, kinds = told(Holder(limits), kept), declared(DATA)
        assert one.at(("calls", "used")) == 0
        hold: Any = limits.acquire([(bucket, 2)])
        assert (one.at(("calls", "used")), one()["calls"]["used"]) == (0, 0)
        assert told(Holder(limits), kept, kinds=kinds).at(("calls", "used")) == 2
        hold.release()

    with_evidence(tmp_path, test)


def test_one_declaration_is_many_buckets(tmp_path: Path) -> None:
    """By the caller, and by whose limits they are."""
    kinds, first, second = declared(DATA), Limits(), Limits()
    acme = first.prepare(Limit(name="words", key=("ann", "team"), measure="tokens", max=100, per="total"), "acme")
    hold: Any = first.acquire([(acme, 40)])

    async def test(evidence: Any, journal: Any, kept: Any) -> None:
        for _ in range(2):
            for limits, user, wanted in ((first, "ann", 40), (second, "ann", 0), (first, "bob", 0)):
                caller = Caller("acme", "key", "tg_1", user)
                assert told(Holder(limits), kept, caller, kinds).at(("words", "used")) == wanted

    with_evidence(tmp_path, test)
    hold.release()


@pytest.mark.parametrize("caller", [Caller("acme", "key"), Caller("other", "anonymous")])
def test_what_a_caller_does_not_say_is_null_in_the_key(caller: Caller) -> None:
    kinds = declared(DATA)
    assert kinds["words"].of(CALL, caller).limit.key == (None, "team")
    assert kinds["money"].of(CALL, caller).limit.key == (caller.tenant,)
    assert kinds["calls"].of(CALL, caller) is kinds["calls"].of(CALL, CALLER)
