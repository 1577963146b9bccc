"""What is known of decisions: the rules are asked once for all calls that they could not tell apart."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decide.calls import call, listing
from tidegate.decide.fields import NUMBERS, Field
from tidegate.decide.known import LONGEST, Known
from tidegate.decide.policy import Policy
from tidegate.decide.reading import DOCUMENT, NAMES, PARAMETERS, document
from tidegate.model import Call, Caller, Estimate
from tidegate.rego.generate.asking import Question
from tidegate.rego.generate.typed import Read, Record

NS = 1_763_710_200_000_000_000
SHIPPED = Path(__file__).parents[2] / "policies"
CHAT = call("chat.completions", model="gpt-4o", messages=[], max_tokens=7, n=2, stream=True)
CALLER = Caller("acme", "key", "tg_1", "u", ("ops",), "10.0.0.1", "s", "0" * 26, ("a",), ("one",))
NOBODY = Caller("default", "anonymous")


def fields(record: Record) -> list[str]:
    found: list[str] = []
    for part in record.fields.values():
        if isinstance(part, Record):
            found += fields(part)
        elif isinstance(part, Read):
            found.append(part.text)
    return found


@pytest.mark.parametrize("text", fields(DOCUMENT))
def test_a_field_is_what_its_expression_says(text: str) -> None:
    for one, caller, estimate in [
        (CHAT, CALLER, Estimate(3, "exact", 5, 70_000_000)),
        (listing(), NOBODY, Estimate(3, "estimated")),
    ]:
        values = (one, caller, estimate, NS, "one", dict)
        wanted = eval(text, {**NAMES, **dict(zip(PARAMETERS, values, strict=True))})
        assert Field(text).of(*values) == wanted
        assert type(Field(text).of(*values)) is type(wanted)


def test_no_field_is_read_that_no_expression_names() -> None:
    assert set(NUMBERS) <= {*fields(DOCUMENT)}


BUDGET = {"measure": "usd", "max": 9, "per": "day"}
POLICY = """
package tidegate.admission

import data.most

deny contains {"code": "many", "message": "m"} if input.request.max_tokens > most[input.caller.tenant]
deny contains {"code": "said", "message": sprintf("%v", [input.request.n])} if input.request.n > 2
warn contains {"code": "dear", "message": "m"} if {
	is_number(input.estimate.usd)
	input.estimate.usd > most[input.caller.tenant] / 10
}
warn contains {"code": "spent", "message": "m"} if input.limits.budget.used > most[input.caller.tenant]
warn contains {"code": "large", "message": "m"} if not small
warn contains {"code": "who", "message": "m"} if input.caller.user == input.caller.tenant
small if input.request.bytes <= 60
limit contains {"name": "n", "key": [input.caller.key], "measure": "requests", "max": 5, "per": "1m"}
max_output := most[input.caller.tenant] if input.request.max_tokens == null
capture := "none" if input.estimate.output_tokens != 5
evidence := mode
default mode := "async"
mode := "strict" if {
	some tool in input.request.tools
	tool.name == "pay"
} else := "response" if input.time.hour > 12
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("policy")
    (folder / "p.rego").write_text(POLICY)
    (folder / "data.json").write_text(json.dumps({"most": {"a": 3, "b": 100}, "limits": {"budget": BUDGET}}))
    return Policy.load(folder)


CALLS = st.builds(
    lambda **body: call("chat.completions", **{name: value for name, value in body.items() if value is not None}),
    model=st.sampled_from(["gpt-4o", "other"]),
    messages=st.just([]),
    n=st.sampled_from([None, 1, 2, 3, 9]),
    max_tokens=st.sampled_from([None, 0, 3, 4, 101]),
    tools=st.sampled_from([None, [], [{"name": "pay"}], [{"name": "look"}]]),
    user=st.sampled_from([None, "u" * 40]),
)
CALLERS = st.builds(
    Caller,
    tenant=st.sampled_from(["a", "b", "nobody"]),
    mode=st.sampled_from(["key", "byok"]),
    key=st.sampled_from([None, "k1", "k2"]),
    user=st.sampled_from([None, "a", "b"]),
)
ESTIMATES = st.builds(
    Estimate,
    st.just(11),
    st.just("exact"),
    st.sampled_from([None, 5, 6]),
    st.sampled_from([None, 0, 30_000_000, 30_000_001, 2**62]),
)
LIMITS = st.sampled_from([{}, *({"budget": {"used": used}} for used in (0, 3, 3.5, 101, None))])
HOURS = st.sampled_from([NS, NS + 8 * 3_600_000_000_000])


def test_decisions_are_those_about_the_documents(policy: Policy) -> None:
    @settings(max_examples=1000, deadline=None)
    @given(CALLS, CALLERS, ESTIMATES, HOURS, LIMITS)
    def the_same(given: Call, caller: Caller, estimate: Estimate, ns: int, limits: Any) -> None:
        made = policy.admit(given, caller, estimate, ns, "one", lambda: limits)
        whole = policy.decide(document(given, caller, estimate, ns, "one", lambda: whole_limits(limits)))
        assert msgspec.to_builtins(made) == msgspec.to_builtins(whole)

    the_same()


def whole_limits(limits: Any) -> Any:
    """What a document must have of a limit."""
    return {name: {"remaining": 1, "reset_s": 1.5, **each} for name, each in limits.items()}


def test_the_shipped_policies_ask_about_numbers_alone() -> None:
    policy = Policy.load(SHIPPED)
    first = policy.admit(CHAT, CALLER, Estimate(11, "exact", 7, 1000), NS, "one", lambda: {"budget": {"used": 2.5}})
    other = call("chat.completions", model="gpt-4o", messages=["x"], max_tokens=70, n=1, stream=True)
    limits = {"budget": {"used": 7}}
    assert policy.admit(other, CALLER, Estimate(999, "exact", 9, 7), NS + 5, "two", lambda: limits) is first
    limits["budget"]["used"] = 901
    warned = policy.admit(other, CALLER, Estimate(999, "exact", 9, 7), NS + 5, "two", lambda: limits)
    assert [reason.message for reason in warned.reasons] == ["of today's 1000 dollars 99 are left"]


def asked(text: str, answer: bool, reach: set[int], test: str = "gt") -> tuple[Question, int, bool]:
    return QUESTIONS.setdefault((text, test), Question(text, (), test, frozenset(reach))), 5, answer


QUESTIONS: dict[tuple[str, str], Question] = {}


def find(known: Known, most: int | None, n: int | None, caller: Caller = CALLER) -> Any:
    return known.find(*values(most, n, caller))


def values(most: int | None, n: int | None, caller: Caller = CALLER) -> Any:
    given = call("chat.completions", model="m", messages=[], **{"max_tokens": most} if most else {}, n=n)
    return given, caller, Estimate(1, "exact"), NS, "one", dict


def test_a_way_is_found_by_its_answers() -> None:
    known = Known(["caller.tenant"])
    assert find(known, 9, 9) is None
    both = known.keep(*values(9, 9), ("both",), [asked("call.most", True, {0}), asked("call.n", True, {0})])
    assert find(known, 6, 7) is both
    assert find(known, 6, 1) is None
    assert find(known, None, 9) is None
    none = known.keep(*values(None, 9), ("none",), [asked("call.most", False, {0})])
    assert find(known, 1, 1) is none
    assert find(known, 6, 7) is both
    assert find(known, 6, 7, NOBODY) is None


def test_rules_that_ask_for_anything_are_evaluated_again() -> None:
    known = Known([])
    notes = [asked("call.most", True, {0}), asked("", True, {0, 2}, "anything"), asked("call.n", True, {2})]
    told = known.keep(*values(9, 9), ("x",), notes)
    assert (told.rules, told.said) == ({0, 2}, ("x",))
    assert find(known, 9, 1) is told  # what was asked behind it is asked again with them
    assert find(known, 1, 1) is None  # what was asked before it leads elsewhere
    many = [asked("call.n", True, {n}) for n in range(LONGEST + 1)]
    assert Known([]).keep(*values(9, 9), ("x",), many).rules == {0}


def test_what_is_kept_is_bounded_in_bytes() -> None:
    """However long the words are that callers write, and that the policy says of them."""
    known, given = Known(["caller.tenant"]), values(9, 9)
    tracemalloc.start()
    try:
        for number in range(1000):
            caller = Caller(f"{number:010}" * 6000, "key", "k")
            said = ({f"{number:010}" * 6000: frozenset((f"{number:010}" * 6000,))},)
            assert known.keep(given[0], caller, *given[2:], said, [asked("call.most", True, {0})]).said is said
        assert 2**20 < tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()
    assert find(known, 9, 9, caller) is not None


def test_more_than_is_kept() -> None:
    policy = Policy.load(SHIPPED)
    for number in range(13_000):
        caller = Caller("t", "key", f"k{number % 12_500}")
        limit = policy.admit(CHAT, caller, Estimate(1, "exact"), NS).limits
        assert {each.key for each in limit} == {("t",), ("t", caller.key)}


LEFT = """
package tidegate.admission

capture := "none" if input.time.hour > 30
deny contains {"code": "x", "message": upper(data.numbers[input.caller.tenant])} if not spoken
spoken if some message in input.request.messages
"""


def test_a_rule_that_is_left_in_its_middle_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text(LEFT)
    (tmp_path / "data.json").write_text('{"numbers": {"acme": 5}}')
    policy = Policy.load(tmp_path)
    said = call("chat.completions", model="m", messages=[{"role": "user", "content": "hi"}])
    for _ in range(3):
        assert policy.admit(said, CALLER, Estimate(1, "exact"), NS).action == "allow"
        [reason] = policy.admit(CHAT, CALLER, Estimate(1, "exact"), NS).reasons
        assert reason.code == "policy_error"
