"""A policy that is asked: what it answers, and that it blocks wherever it has no answer."""

import io
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidegate
from tidegate import UNDEFINED, Decision, EvaluationError, Policy, PolicyRefused
from tidegate.decide.bundle import load
from tidegate.decide.cache import Cache
from tidegate.model import Limit

SHIPPED = Policy.load(Path(__file__).parents[2] / "policies")
CALL = {"caller": {"tenant": "acme"}, "request": {"endpoint": "chat.completions", "model": "m"}}


def written(folder: Path, rules: str, package: str = "tidegate.admission", data: object = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{package}.rego").write_text(f"package {package}\n\n{rules}\n")
    (folder / "data.json").write_text(json.dumps({} if data is None else data))
    return folder


def policy(folder: Path, rules: str, **options: Any) -> Policy:
    return Policy.load(written(folder, rules, **options))


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


def message(decision: Decision) -> str:
    """Of a call that was blocked because there is no answer."""
    [reason] = decision.reasons
    assert (decision.action, reason.code, reason.rule) == ("block", "policy_error", "")
    assert (decision.limits, decision.route) == ((), None)
    return reason.message


def test_a_decision(tmp_path: Path) -> None:
    made = policy(
        tmp_path,
        """
deny contains {"code": "model", "message": $"not {input.request.model}"} if not input.request.model in data.models
warn contains {"code": "tenant", "message": "look"} if input.caller.tenant == "acme"
limit contains {"name": "n", "key": [input.caller.tenant], "measure": "usd", "max": data.most, "per": "day"}
capture := "digest" if input.caller.tenant == "acme"
evidence := "strict" if input.caller.tenant == "other"
max_output := 5""",
        data={"models": ["m"], "most": 1000},
    )
    allowed = made.decide(CALL)
    assert (allowed.action, codes(allowed)) == ("warn", ["tenant"])
    assert allowed.limits == (Limit(name="n", measure="usd", max=1000, key=("acme",), per="day"),)
    assert (allowed.capture, allowed.evidence, allowed.max_output) == ("digest", None, 5)
    assert allowed.digest == made.digest
    denied = made.decide({"caller": {"tenant": "x"}, "request": {"model": "other"}})
    assert (denied.action, codes(denied)) == ("block", ["model"])
    assert denied.reasons[0].message == "not other"
    assert denied.reasons[0].rule == "tidegate.admission.deny"
    assert denied.limits[0].key == ("x",)


def test_what_is_absent_is_null(tmp_path: Path) -> None:
    rule = 'deny contains {"code": "null", "message": "m"} if { input.caller.user == null; input.request.tools == [] }'
    assert codes(policy(tmp_path, rule).decide({})) == ["null"]


def test_equal_decisions_are_equal_bytes(tmp_path: Path) -> None:
    rules = 'warn contains {"code": code, "message": "m"} if some code in {"c", "a", "b"}'
    assert codes(policy(tmp_path, rules).decide(CALL)) == ["a", "b", "c"]


def test_the_moment_is_the_one_that_was_told(tmp_path: Path) -> None:
    rules = 'warn contains {"code": "a", "message": input.time.rfc3339} if time.now_ns() == input.time.ns'
    assert policy(tmp_path, rules).decide({"time": {"ns": 0}}).reasons[0].message == "1970-01-01T00:00:00Z"
    assert codes(policy(tmp_path, rules).decide({})) == ["a"]


# it fails closed


def test_without_a_package_for_admission(tmp_path: Path) -> None:
    made = policy(tmp_path, "x := 1", package="app")
    assert message(made.decide(CALL)) == "the policy has no package `tidegate.admission`"


FAILING = {
    "builtin": (
        'deny contains {"code": "a", "message": "m"} if startswith(input.request.model, "x")',
        {"request": {"model": None}},
        "eval_type_error: startswith: operand 1 must be string but got null",
    ),
    "division": ("max_output := 1 / input.request.n", {"request": {"n": 0}}, "eval_builtin_error: div: divide by zero"),
    "conflict": (
        'capture := "full" if input.request.stream\ncapture := "none" if input.request.stream',
        {"request": {"stream": True}},
        "eval_conflict_error: ",
    ),
    "budget": (
        "max_output := count([1 | some x in numbers.range(1, 99999); some y in numbers.range(x, 99999)]) if input.run",
        {"request": {"n": 1}},
        "eval_budget_error: the policy did more work than one evaluation may",
    ),
    "no decision": (
        'deny contains {"code": input.caller.user, "message": "m"}',
        {"caller": {"user": "Not A Code"}},
        "`tidegate.admission.deny.code` must be a code of lower-case letters",
    ),
    "no object": (
        "deny contains input.caller.user",
        {"caller": {"user": "x"}},
        "`tidegate.admission.deny` must be an object, found `x`",
    ),
}


@pytest.mark.parametrize(("rules", "told", "why"), FAILING.values(), ids=FAILING)
def test_without_an_answer_a_call_is_blocked(tmp_path: Path, rules: str, told: object, why: str) -> None:
    assert why in message(policy(tmp_path, rules).decide(told))


SURPRISES = {
    "no object": ([], "`input` must be an object, found an array"),
    "wrong type": ({"request": {"model": 5}}, "`input.request.model` must be a string or null, found `5`"),
    "misspelt": ({"request": {"modle": "m"}}, "`input.request` has no field `modle`: did you mean `model`?"),
    "wrong phase": ({"phase": "never"}, "`input.phase` must be one of"),
    "no value of Rego's": ({"request": {"metadata": {"x": object()}}}, "`input.request.metadata`: "),
}


@pytest.mark.parametrize(("told", "why"), SURPRISES.values(), ids=SURPRISES)
def test_an_input_of_another_shape_is_blocked(tmp_path: Path, told: object, why: str) -> None:
    assert why in message(policy(tmp_path, "max_output := 1").decide(told))


NAMES = ["request", "caller", "model", "tenant", "limits", "budget", "remaining", "estimate", "usd", "time", "ns"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(told=ANYTHING)
def test_whatever_is_told_there_is_a_decision(told: object) -> None:
    decision = SHIPPED.decide(told)
    assert decision.action == "block" or isinstance(told, dict)


def test_nested_input_without_end_is_blocked(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless
    assert message(policy(tmp_path, "max_output := 1").decide({"request": {"metadata": endless}}))


def test_a_fault_of_ours_is_blocked_and_not_quoted(tmp_path: Path) -> None:
    made = policy(tmp_path, "max_output := 1")

    class Broken:
        phases = frozenset({"admission"})

        def said(self, *_: object) -> dict[str, object]:
            raise KeyError("sk-secret")

    made._compiled = Broken()  # type: ignore[assignment]
    assert message(made.decide(CALL)) == "the policy could not be evaluated: KeyError"


def test_what_cannot_be_carried_out(tmp_path: Path) -> None:
    bundle = load(written(tmp_path, 'deny contains {"code": "a", "message": "m"} if false\nmax_output := 5'))
    with pytest.raises(PolicyRefused, match="`max_output` cannot be carried out here"):
        Policy(bundle, carries_out=frozenset({"deny"}))


# phases


def test_the_other_phases(tmp_path: Path) -> None:
    written(tmp_path, 'stop contains {"code": "s", "message": "m"} if input.output.tokens > 5', "tidegate.stream")
    written(
        tmp_path, 'flag contains {"code": "f", "message": "m"} if input.output.finish == "length"', "tidegate.response"
    )
    made = Policy.load(tmp_path)
    assert made.decide({"phase": "stream", "output": {"tokens": 5}}).action == "allow"
    assert codes(made.decide({"phase": "stream", "output": {"tokens": 6}})) == ["s"]
    assert made.decide({"phase": "response", "output": {"finish": "length"}}).action == "warn"
    assert made.decide({"phase": "response"}).action == "allow"
    assert message(made.decide({}))


def test_a_phase_without_a_package_lets_pass(tmp_path: Path) -> None:
    assert policy(tmp_path, "max_output := 1").decide({"phase": "stream"}).action == "allow"


# shadows


DENY_ALL = 'deny contains {"code": "all", "message": "m"}'


def test_a_shadow_is_asked_and_not_obeyed(tmp_path: Path) -> None:
    enforced = written(tmp_path / "a", "max_output := 1")
    shadow = written(tmp_path / "b", DENY_ALL)
    made = Policy.load(enforced, shadow=shadow)
    decision = made.decide(CALL)
    assert (decision.action, codes(decision)) == ("allow", [])
    assert decision.shadow is not None
    assert (decision.shadow.action, codes(decision.shadow)) == ("block", ["all"])
    assert decision.shadow.digest == Policy.load(shadow).digest != decision.digest
    assert made.beside(None).decide(CALL).shadow is None


@pytest.mark.parametrize(("rules", "told", "why"), FAILING.values(), ids=FAILING)
def test_a_shadow_s_errors_stay_in_the_shadow(tmp_path: Path, rules: str, told: object, why: str) -> None:
    made = Policy.load(written(tmp_path / "a", 'capture := "full"'), shadow=written(tmp_path / "b", rules))
    decision = made.decide(told)
    assert (decision.action, decision.capture) == ("allow", "full")
    assert decision.shadow is not None
    assert why in message(decision.shadow)


# loading


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    written(tmp_path, "denny contains 1 if true\ndeny contains x if y", "tidegate.admission")
    written(tmp_path, "x := ", "app")
    with pytest.raises(PolicyRefused) as raised:
        Policy.load(tmp_path)
    found = [(Path(each.source.name).name, each.code) for each in raised.value.problems if each.source]
    contract, unsafe = "tidegate_contract_error", "rego_unsafe_var_error"
    admission = "tidegate.admission.rego"
    assert set(found) == {("app.rego", "rego_parse_error"), (admission, contract), (admission, unsafe)}


def test_an_input_field_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match="modle"):
        policy(tmp_path, 'deny contains {"code": "a", "message": "m"} if input.request.modle == "x"')


def test_input_of_other_policies_is_their_own(tmp_path: Path) -> None:
    made = policy(tmp_path, "x := input.anything.at.all", package="app")
    assert made.query("data.app.x", {"anything": {"at": {"all": [1, {2}]}}}) == [1, [2]]


def local(number: int) -> dict[str, Any]:
    return {"type": "local", "value": number}


def plan(entry: str, name: str) -> dict[str, Any]:
    """What OPA makes of a rule `deny contains {"code": "from_a_plan", "message": "m"} if input.request.stream`."""
    strings = ["result", "code", "from_a_plan", "message", "m", "request", "stream", name]

    def text(string: str) -> dict[str, Any]:
        return {"type": "string_index", "value": strings.index(string)}

    def statement(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, "stmt": {**fields, "file": 0, "row": 1, "col": 1}}

    rule = [
        statement("DotStmt", source=local(0), key=text("request"), target=3),
        statement("DotStmt", source=local(3), key=text("stream"), target=4),
        statement("NotEqualStmt", a=local(4), b={"type": "bool", "value": False}),
        statement("MakeObjectStmt", target=5),
        statement("ObjectInsertStmt", key=text("code"), value=text("from_a_plan"), object=5),
        statement("ObjectInsertStmt", key=text("message"), value=text("m"), object=5),
        statement("SetAddStmt", value=local(5), set=2),
    ]
    whole_package = entry.endswith("admission")
    package = [
        statement("MakeObjectStmt", target=6),
        statement("ObjectInsertStmt", key=text(name), value=local(2), object=6),
    ]
    blocks = [
        {
            "stmts": [
                statement("CallStmt", func="g0.data.rule", args=[local(0), local(1)], result=2),
                *(package if whole_package else []),
                statement("MakeObjectStmt", target=3),
                statement("ObjectInsertStmt", key=text("result"), value=local(6 if whole_package else 2), object=3),
                statement("ResultSetAddStmt", value=3),
            ]
        }
    ]
    made = [{"stmts": [statement("MakeSetStmt", target=2)]}, {"stmts": rule}]
    last = {"stmts": [statement("ReturnLocalStmt", source=2)]}
    function = {"name": "g0.data.rule", "path": ["g0", "rule"], "params": [0, 1], "return": 2, "blocks": [*made, last]}
    return {
        "static": {"strings": [{"value": string} for string in strings], "files": [{"value": "a.rego"}]},
        "plans": {"plans": [{"name": entry, "blocks": blocks}]},
        "funcs": {"funcs": [function]},
    }


def packed(path: Path, made: dict[str, Any]) -> Path:
    content = json.dumps(made).encode()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("/plan.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("entry", ["tidegate/admission/deny", "tidegate/admission"])
def test_a_plan_that_opa_compiled(tmp_path: Path, entry: str) -> None:
    made = Policy.load(packed(tmp_path / "b.tar.gz", plan(entry, "deny")))
    assert codes(made.decide({"request": {"stream": True}})) == ["from_a_plan"]
    assert made.decide({"request": {"stream": False}}).action == "allow"


def test_a_plan_that_says_what_cannot_be_carried_out_is_blocked(tmp_path: Path) -> None:
    bundle = load(packed(tmp_path / "b.tar.gz", plan("tidegate/admission/warn", "warn")))
    made = Policy(bundle, carries_out=frozenset({"deny"}))
    assert message(made.decide({"request": {"stream": True}})) == "`tidegate.admission.warn` cannot be carried out here"
    assert made.decide({"request": {"stream": False}}).action == "allow"


def test_a_plan_for_something_else_is_blocked(tmp_path: Path) -> None:
    made = Policy.load(packed(tmp_path / "b.tar.gz", plan("app/deny", "deny")))
    assert message(made.decide(CALL)) == "the policy has no package `tidegate.admission`"


# queries


QUERIES = [
    ("data.app.x", None, 1),
    ("data.app", None, {"x": 1, "names": ["a", "b"], "user": "u"}),
    ("data.base.list[1]", None, 2),
    ("input.a.b", {"a": {"b": [1, None]}}, [1, None]),
    ("input.a", None, UNDEFINED),
    ("1 + 2 * 3", None, 7),
    ("count(data.app.names) == 2", None, True),
    ("[x | some x in data.base.list; x > 1]", None, [2, 3]),
    ('data.app.user with input as {"user": "v"}', {"user": "u"}, "v"),
    ('startswith(input.user, "u")', {"user": 5}, UNDEFINED),
]


@pytest.mark.parametrize(("query", "told", "value"), QUERIES, ids=[case[0] for case in QUERIES])
def test_queries(tmp_path: Path, query: str, told: object, value: object) -> None:
    rules = 'x := 1\n\nnames contains name if some name in ["b", "a"]\n\nuser := input.user'
    made = policy(tmp_path, rules, package="app", data={"base": {"list": [1, 2, 3]}})
    told = {"user": "u"} if query == "data.app" else told
    assert made.query(query, UNDEFINED if told is None else told) == value


WRONG_QUERIES = [
    ("data.app.", "rego_parse_error"),
    ("", "rego_parse_error"),
    ("x := 1", "a query is one expression"),
    ("1 == 1; 2 == 2", "a query is one expression"),
    ("not true", "a query is one expression"),
    ("nothing", "var `nothing` is unsafe"),
    ("data.app.nothing_here", "undefined ref: `data.app.nothing_here`"),
    ("http.send({})", "may not wait for the network"),
]


@pytest.mark.parametrize(("query", "why"), WRONG_QUERIES, ids=[case[0] for case in WRONG_QUERIES])
def test_wrong_queries(tmp_path: Path, query: str, why: str) -> None:
    with pytest.raises(PolicyRefused, match=why):
        policy(tmp_path, "x := 1", package="app").query(query)


def test_a_query_that_ends_in_an_error(tmp_path: Path) -> None:
    made = policy(tmp_path, "x := 1 if input.a\n\nx := 2 if input.a", package="app")
    with pytest.raises(EvaluationError):
        made.query("data.app.x", {"a": True})


def test_a_plan_answers_no_queries(tmp_path: Path) -> None:
    made = Policy.load(packed(tmp_path / "b.tar.gz", plan("tidegate/admission/deny", "deny")))
    with pytest.raises(PolicyRefused, match="a plan without its modules answers no queries"):
        made.query("1")


def test_queries_are_kept_within_bounds(tmp_path: Path) -> None:
    made = policy(tmp_path, "x := 1", package="app")
    for number in range(70):
        assert made.query(f"data.app.x + {number}") == number + 1
    assert len(made._queries) == 64


# the whole


def test_threads_may_share_a_policy(tmp_path: Path) -> None:
    made = policy(tmp_path, 'deny contains {"code": "a", "message": input.caller.user}')
    wrong: list[str] = []

    def ask(name: str) -> None:
        wrong.extend(name for _ in range(200) if made.decide({"caller": {"user": name}}).reasons[0].message != name)

    threads = [threading.Thread(target=ask, args=(f"user {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_public_names_are_there() -> None:
    for name in tidegate.__all__:
        assert getattr(tidegate, name) is not None
    with pytest.raises(AttributeError, match="`Polcy`"):
        tidegate.Polcy


# the cache


def test_what_was_compiled_is_not_compiled_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = Policy.load(written(tmp_path / "1", 'warn contains {"code": "one", "message": "m"}'), cache=cache)
    [first] = cache.iterdir()
    compiled = first.read_bytes()
    two = Policy.load(written(tmp_path / "2", 'warn contains {"code": "two", "message": "m"}'), cache=cache)
    [second] = set(cache.iterdir()) - {first}
    assert (codes(one.decide(CALL)), codes(two.decide(CALL))) == (["one"], ["two"])
    assert codes(Policy.load(tmp_path / "2", cache=cache).decide(CALL)) == ["two"]
    second.write_bytes(compiled)  # so that what is loaded from there shows
    assert codes(Policy.load(tmp_path / "2", cache=cache).decide(CALL)) == ["one"]
    second.write_bytes(compiled[:-1])
    assert codes(Policy.load(tmp_path / "2", cache=cache).decide(CALL)) == ["two"]


def test_a_compiled_plan_is_kept_too(tmp_path: Path) -> None:
    archive = packed(tmp_path / "b.tar.gz", plan("tidegate/admission/deny", "deny"))
    for _ in range(2):
        made = Policy.load(archive, cache=tmp_path / "cache")
        assert codes(made.decide({"request": {"stream": True}})) == ["from_a_plan"]


def test_what_cannot_be_carried_out_is_not_found_compiled(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    bundle = load(written(tmp_path / "p", "max_output := 5"))
    Policy(bundle, cache=cache)
    with pytest.raises(PolicyRefused, match="`max_output` cannot be carried out here"):
        Policy(bundle, carries_out=frozenset({"deny"}), cache=cache)
