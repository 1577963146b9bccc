"""A decision read straight from a call is the decision about its document."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decide.calls import call, listing
from tidegate.decide.policy import Policy
from tidegate.decide.reading import document
from tidegate.model import Call, Caller, Decision, Estimate

NS = 1_763_710_200_000_000_000
ESTIMATE = Estimate(11, "exact")
SHIPPED = Path(__file__).parents[2] / "policies"
EVERY_FIELD = """
package tidegate.admission

import data.words

deny contains {"code": "words", "message": m.text} if {
	some m in input.request.messages
	some word in words
	contains(lower(m.text), word)
}
deny contains {"code": "many", "message": sprintf("%d tools", [tools])} if {
	tools := count(input.request.tools)
	tools > 1
}
deny contains {"code": "team", "message": input.request.metadata.team} if input.request.metadata.team != "ok"
deny contains {"code": "late", "message": input.time.rfc3339} if input.time.hour > 12
warn contains {"code": "who", "message": sprintf("%v", [input.caller])} if input.caller.user
warn contains {"code": "ops", "message": concat(",", input.run.tags)} if "ops" in input.caller.roles
warn contains {"code": "run", "message": sprintf("%v", [[input.run.session, input.caller.ip, input.caller.key]])}
warn contains {"code": "whole", "message": json.marshal(input.request)} if input.request.n == 2
warn contains {"code": "first", "message": input.request.messages[0].text} if input.request.messages[0].role == "system"
warn contains {"code": "nulls", "message": "x"} if {
	input.estimate.usd == null
	input.run.session == null
	input.findings == []
}
limit contains {
	"name": "a",
	"key": [input.caller.tenant, input.request.model],
	"measure": "tokens",
	"max": 5,
	"per": "1m",
}
limit contains {"name": "b", "key": [input.caller.user], "measure": "usd", "max": size, "per": "day"} if {
	size := count(input.request.messages)
}
route := {"integration": "eu", "model": input.request.model} if {
	is_string(input.request.model)
	startswith(input.request.model, "gpt")
}
warn contains {"code": "long", "message": input.estimate.prompt_kind} if input.estimate.prompt_tokens > 10
max_output := 10 * input.request.n if is_number(input.request.n)
capture := "none" if input.request.stream
with_other if input.caller.tenant == "acme" with input.caller.tenant as "acme"
deny contains {"code": "with", "message": "never"} if not with_other
redact contains {"detector": d, "with": "x"} if some d in ["b", "a", "b"]
"""


def policy_of(folder: Path, rules: str) -> Policy:
    (folder / "p.rego").write_text(rules)
    (folder / "data.json").write_text('{"words": ["secret", "key"]}')
    return Policy.load(folder)


def plainly(policy: Policy, given: Call, caller: Caller) -> Decision:
    return policy.decide(document(given, caller, ESTIMATE, NS))


def shown(decision: Decision) -> object:
    """A decision as something that can be compared. Of several things wrong in it, either way may name others."""
    made = msgspec.to_builtins(decision)
    return "policy_error" if any(reason.code == "policy_error" for reason in decision.reasons) else made


MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "system"]),
        "content": st.sampled_from(["hi", "my SECRET", "", [{"type": "text", "text": "Key"}]]),
    }
)
CALLS = st.one_of(
    st.builds(
        lambda **body: call("chat.completions", **{name: value for name, value in body.items() if value is not None}),
        model=st.sampled_from(["gpt-4o", "other", "gpt"]),
        messages=st.lists(MESSAGE, max_size=3),
        n=st.sampled_from([None, 1, 2, 9]),
        user=st.sampled_from([None, "u", ""]),
        stream=st.sampled_from([None, True, False]),
        max_tokens=st.sampled_from([None, 0, 40_000]),
        metadata=st.sampled_from([None, {}, {"team": "ok"}, {"team": "x"}, {"team": 1}]),
        tools=st.sampled_from([None, [], [{"function": {"name": "f"}}], [{"name": "a"}, {"name": "b"}]]),
    ),
    st.builds(lambda model: call("embeddings", model=model, input="a secret"), st.sampled_from(["m", "gpt-e"])),
    st.just(listing()),
)
FULL = Caller("acme", "key", "tg_123456789012", "u", ("ops",), "10.0.0.1", "s", "0" * 26, ("a", "b"), ("one",))
CALLERS = st.sampled_from([FULL, Caller("acme", "key"), Caller("default", "anonymous"), Caller("default", "byok")])


@pytest.mark.parametrize("rules", ["shipped", EVERY_FIELD], ids=["shipped", "every field"])
def test_with_and_without_a_document(rules: str, tmp_path: Path) -> None:
    policy = Policy.load(SHIPPED) if rules == "shipped" else policy_of(tmp_path, rules)

    @settings(max_examples=300, deadline=None)
    @given(CALLS, CALLERS)
    def the_same(given: Call, caller: Caller) -> None:
        assert shown(policy.admit(given, caller, ESTIMATE, NS)) == shown(plainly(policy, given, caller))

    the_same()


KEYED = """
package tidegate.admission

{rule}

warn contains {{"code": "kept", "message": json.marshal(kept)}} if count(kept) > 0
"""


@pytest.mark.parametrize(
    "rule",
    [
        "kept[input.caller.tenant] := upper(input.request.model)",
        "kept[[input.caller.tenant]] := upper(input.request.model)",
        "kept[{input.caller.tenant}] := upper(input.request.model)",
        "kept[input.request.model] := lower(input.caller.tenant)",
        "kept contains [input.caller.tenant, upper(input.request.model)]",
    ],
)
def test_results_are_kept_by_what_a_rule_reads(rule: str, tmp_path: Path) -> None:
    policy = policy_of(tmp_path, KEYED.format(rule=rule))
    for model, tenant in [("a", "b"), ("b", "a"), ("a", "a"), ("b", "b"), ("a", "b"), ("b", "a")]:
        given, caller = call("chat.completions", model=model, messages=[]), Caller(tenant, "key")
        decision = policy.admit(given, caller, ESTIMATE, NS)
        assert shown(decision) == shown(plainly(policy, given, caller))
        assert [reason.code for reason in decision.reasons] == ["kept"]


FAILING = [
    ("an error of a builtin", 'deny contains {"code": "x", "message": upper(input.request.metadata.n)}', "upper"),
    ("two values for one rule", 'capture := "none"\ncapture := "full" if input.request.bytes > 1', "multiple outputs"),
    (
        "a budget that is exhausted",
        "max_output := count([1 | some a in xs; some b in xs; some c in xs])\n"
        "xs := numbers.range(1, input.request.bytes * 10)",
        "more work",
    ),
    ("a decision that is none", 'deny contains {"code": input.request.model, "message": "x"}', "a code of"),
    ("a set that is none", "redact contains input.request.model", "must be an object"),
]


@pytest.mark.parametrize(("rules", "words"), [case[1:] for case in FAILING], ids=[case[0] for case in FAILING])
def test_a_policy_without_an_answer_blocks(rules: str, words: str, tmp_path: Path) -> None:
    policy = policy_of(tmp_path, f"package tidegate.admission\n\n{rules}\n")
    given = call("chat.completions", model="Not A Code", messages=[], metadata={"n": 1})
    for decision in (policy.admit(given, Caller("t", "key"), ESTIMATE, NS), plainly(policy, given, Caller("t", "key"))):
        assert (decision.action, [reason.code for reason in decision.reasons]) == ("block", ["policy_error"])
        assert words in decision.reasons[0].message


def test_without_the_package_every_call_is_blocked(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, "package tidegate.stream\n\nstop contains x if { some x in [] }\n")
    decision = policy.admit(listing(), Caller("t", "key"), ESTIMATE, NS)
    assert (decision.action, decision.reasons[0].message) == ("block", "the policy has no package `tidegate.admission`")


def test_a_shadow_is_asked_and_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shadow = policy_of(
        tmp_path / "other", 'package tidegate.admission\n\ndeny contains {"code": "no", "message": "no"}\n'
    )
    decision = Policy.load(SHIPPED).beside(shadow).admit(listing(), Caller("default", "key"), ESTIMATE, NS)
    assert (decision.action, decision.shadow and decision.shadow.action) == ("allow", "block")


def test_what_was_kept_from_a_call_is_not_taken_for_another(tmp_path: Path) -> None:
    rules = """
package tidegate.admission

deny contains {"code": "model", "message": sprintf("%v of %v", [input.request.model, input.caller.tenant])} if {
	input.request.model in {"bad", "worse"}
	not input.caller.tenant == "trusted"
}
limit contains {"name": "n", "key": [input.caller.tenant], "measure": "requests", "max": 5, "per": "1m"}
"""
    policy = policy_of(tmp_path, rules)
    for _ in range(3):
        for model in ("good", "bad", "worse"):
            for tenant in ("a", "b", "trusted"):
                given = call("chat.completions", model=model, messages=[])
                decision = policy.admit(given, Caller(tenant, "key"), ESTIMATE, NS)
                wanted = [] if model == "good" or tenant == "trusted" else [f"{model} of {tenant}"]
                assert [reason.message for reason in decision.reasons] == wanted
                assert [limit.key for limit in decision.limits] == [(tenant,)]


READ = [
    ("counted once", 'warn contains {"code": "w", "message": "m"} if count(deny) > 0'),
    ("read once", 'warn contains {"code": "w", "message": d.message} if some d in deny'),
    ("passed on", "warn contains d if some d in deny"),
    ("read twice", "n := count(deny)\nm := count(deny)\nmax_output := (n + m) + 1"),
    ("under a with", 'capture := "none" if count(deny) == 0 with input.request.model as "other"'),
]


@pytest.mark.parametrize("rules", [case[1] for case in READ], ids=[case[0] for case in READ])
def test_a_set_of_the_contract_that_other_rules_read(rules: str, tmp_path: Path) -> None:
    deny = 'deny contains {"code": "x", "message": input.request.model} if input.request.model == "gpt"'
    policy = policy_of(tmp_path, f"package tidegate.admission\n\n{deny}\n{rules}\n")
    for model in ("gpt", "other"):
        given = call("chat.completions", model=model, messages=[])
        decision = policy.admit(given, Caller("t", "key"), ESTIMATE, NS)
        assert shown(decision) == shown(plainly(policy, given, Caller("t", "key"))) != "policy_error"
        assert ("x" in [reason.code for reason in decision.reasons]) is (model == "gpt")


REFUSED = [
    ("a constant message", 'warn contains {"code": "c", "message": input.findings} if input.request.stream'),
    ("a constant set", 'warn contains {"code": "c", "message": data.words}'),
    ("a value", "max_output := input.caller.roles if input.request.stream"),
]


@pytest.mark.parametrize("rules", [case[1] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_decision_is_one_only_where_it_is_said(rules: str, tmp_path: Path) -> None:
    policy = policy_of(tmp_path, f"package tidegate.admission\n\n{rules}\n")
    for stream in (True, False):
        given = call("chat.completions", model="m", messages=[], stream=stream)
        decision = policy.admit(given, Caller("t", "key"), ESTIMATE, NS)
        assert shown(decision) == shown(plainly(policy, given, Caller("t", "key")))
        assert (decision.action == "block") is (stream or "data.words" in rules)


def test_more_tenants_than_are_kept(tmp_path: Path) -> None:
    policy = Policy.load(SHIPPED)
    given = listing()
    for number in range(5000):
        decision = policy.admit(given, Caller(f"t{number}", "key"), ESTIMATE, NS)
        assert decision.limits[0].key == (f"t{number}",)
