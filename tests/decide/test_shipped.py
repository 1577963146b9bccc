"""The shipped policies: their own tests hold, they decide as their README says, and another engine reads them alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from tidegate import Policy
from tidegate.decide.bundle import Bundle, load, read
from tidegate.decide.input import completed, document
from tidegate.model import Limit
from tidegate.rego.compile import compile_modules
from tidegate.rego.errors import Problem
from tidegate.rego.parser import parse

SHIPPED = Path(__file__).parents[2] / "policies"


def with_tests() -> Bundle:
    problems: list[Problem] = []
    bundle = read(SHIPPED, problems, tests=True)
    assert problems == []
    return bundle


def test_rules() -> list[tuple[str, ...]]:
    """The path of every rule of the tests."""
    modules = [parse(source) for source in with_tests().sources]
    found = {
        (*each.package, rule.head.path.name) for each in modules for rule in each.rules if rule.head.kind == "value"
    }
    return sorted(path for path in found if path[-1].startswith("test_"))


test_rules.__test__ = False  # type: ignore[attr-defined]
TESTS = test_rules()


def test_there_are_tests_beside_each_file() -> None:
    names = {path.name for path in SHIPPED.rglob("*.rego")}
    rules = {name for name in names if not name.endswith("_test.rego")} - {"tenant.rego"}
    assert {name.replace(".rego", "_test.rego") for name in rules} <= names
    assert len(TESTS) >= 9


def test_their_own_tests_hold() -> None:
    bundle = with_tests()
    program = compile_modules(
        list(bundle.sources), bundle.data, entries={"/".join(path): path for path in TESTS}, strict=True
    )
    assert [path for path in TESTS if program.evaluate("/".join(path)) != [{"result": True}]] == []


def test_every_file_opens_with_its_title() -> None:
    for path in SHIPPED.rglob("*.rego"):
        assert path.read_text().startswith("# METADATA\n# title: "), path


def test_the_readme_names_what_there_is() -> None:
    text = (SHIPPED / "README.md").read_text()
    data = json.loads((SHIPPED / "data.json").read_text())
    for name in ("anonymous", *data["defaults"]):
        assert f"`{name}`" in text, name
    for path in SHIPPED.rglob("*.rego"):
        if not path.name.endswith("_test.rego"):
            assert f"`{path.relative_to(SHIPPED)}`" in text, path


SHIPPED_POLICY = Policy.load(SHIPPED)


def call(**request: Any) -> dict[str, Any]:
    told = {"endpoint": "chat.completions", "model": "gpt-4o", "max_tokens": 10, **request}
    return {"caller": {"tenant": "acme", "key": "k1", "mode": "key"}, "request": told}


def test_an_ordinary_call_passes_and_draws() -> None:
    decision = SHIPPED_POLICY.decide(call())
    assert (decision.action, decision.reasons, decision.max_output) == ("allow", (), None)
    assert decision.limits == (
        Limit(name="budget", measure="usd", max=1000, key=("acme",), per="day", tz="UTC"),
        Limit(name="concurrent", measure="concurrent", max=64, key=("acme",), exceed="throttle"),
        Limit(name="requests", measure="requests", max=600, key=("acme", "k1"), per="1m", exceed="throttle"),
        Limit(name="tokens", measure="tokens", max=2_000_000, key=("acme",), per="1m", exceed="throttle"),
    )


DECISIONS: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("nothing is known", {}, "block", ["model_not_allowed"]),
    ("the list of models", {"request": {"endpoint": "models"}}, "allow", []),
    ("without a key", {**call(), "caller": {"tenant": "default", "mode": "anonymous"}}, "allow", []),
    ("too many tokens", call(max_tokens=32769), "block", ["max_tokens_too_high"]),
    ("too many answers", call(n=5), "block", ["too_many_answers"]),
    ("too large", call(bytes=4 * 1024 * 1024 + 1), "block", ["request_too_large"]),
    ("two reasons", call(n=5, max_tokens=32769), "block", ["max_tokens_too_high", "too_many_answers"]),
    ("any tool", call(tools=[{"name": "x"}, {}]), "allow", []),
    ("expensive", {**call(), "estimate": {"usd": 5.01}}, "warn", ["expensive_call"]),
    ("nearly spent", {**call(), "limits": {"budget": {"used": 901}}}, "warn", ["budget_nearly_spent"]),
]


@pytest.mark.parametrize(("told", "action", "codes"), [case[1:] for case in DECISIONS], ids=[c[0] for c in DECISIONS])
def test_decisions(told: dict[str, Any], action: str, codes: list[str]) -> None:
    decision = SHIPPED_POLICY.decide(told)
    assert (decision.action, [reason.code for reason in decision.reasons]) == (action, codes)


def test_a_request_without_a_maximum_gets_one() -> None:
    assert SHIPPED_POLICY.decide(call(max_tokens=None)).max_output == 32768


@pytest.mark.parametrize(("told", "codes"), [(case[1], case[3]) for case in DECISIONS], ids=[c[0] for c in DECISIONS])
def test_another_engine_decides_alike(told: dict[str, Any], codes: list[str]) -> None:
    regorus = pytest.importorskip("regorus", reason="regorus is absent")
    engine = regorus.Engine()
    for source in load(SHIPPED).sources:
        engine.add_policy(source.name, source.text)
    engine.add_data_json((SHIPPED / "data.json").read_text())
    engine.set_input_json(json.dumps(document(completed(told, 0))))
    said = [json.loads(engine.eval_rule_as_json(f"data.tidegate.admission.{rule}")) for rule in ("deny", "warn")]
    assert sorted(reason["code"] for reasons in said for reason in reasons) == codes
