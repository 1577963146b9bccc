"""What is seen of the contract before a policy runs: the message, the hint and the place of each mistake."""

import pytest

from tidegate.decide.checks import CODE, check
from tidegate.decide.contract import EVERYTHING
from tidegate.rego.errors import Problem
from tidegate.rego.parser import parse
from tidegate.rego.source import Source

SAID = '{"code": "a", "message": "b"}'


def problems(*modules: str, carried_out: frozenset[str] = EVERYTHING) -> list[Problem]:
    return check([parse(Source(f"{n}.rego", text)) for n, text in enumerate(modules)], carried_out)


def admission(rules: str) -> str:
    return f"package tidegate.admission\n\n{rules}\n"


RIGHT = {
    "every rule": f"""
deny contains {SAID} if input.caller.tenant == "x"
warn contains reason if {{ reason := {SAID} }}
limit contains {{"name": "n", "key": [input.caller.tenant], "measure": "usd", "max": data.most, "per": "day"}}
limit contains {{"name": "n", "measure": "concurrent", "max": 5, "exceed": "throttle"}}
redact contains {{"detector": "d", "with": ""}}
route := {{"integration": "i", "model": input.request.model, "fallback": ["a", "b"]}}
capture := "full" if input.request.stream else := "none"
evidence := data.evidence
guard contains {{"detector": "d", "action": "flag", "window": 100}}
max_output := 100""",
    "helpers": "allowed if input.caller.user\nhelper contains 5 if allowed\nsettings := data.settings\nf(x) := x",
    "an allow that is read": f"deny contains {SAID} if not allow\nallow if input.caller.user",
    "what only runs can tell": """
deny contains x if some x in data.reasons
deny contains object.union(data.reason, {"code": "a"}) if true
deny contains {data.field: "x"} if true
deny contains {"code": data.code, "message": sprintf("%v", [1])} if true
deny contains {"code": "a", "message": $"{input.caller.user} may not"} if true
deny contains x if { x = data.reason }
warn contains {k: v | some k, v in data.reason} if true
limit contains {"name": "n", "measure": data.measure, "max": 1} if true
limit contains {"name": "n", "measure": "usd", "max": 1, "per": data.per, "tz": data.tz} if true""",
}


@pytest.mark.parametrize("rules", RIGHT.values(), ids=RIGHT)
def test_what_is_right_has_no_problem(rules: str) -> None:
    assert problems(admission(rules)) == []


def test_other_packages_are_their_authors_own() -> None:
    assert (
        problems('package app\n\ndeny := "x"\ndenny contains 1 if input.output', "package tidegate.lib\n\nx := 1") == []
    )


def test_a_set_may_be_composed_of_packages_below() -> None:
    below = f"package tidegate.admission.models\n\ndeny contains {SAID}"
    for reading in (
        "deny contains r if some r in data.tidegate.admission.models.deny",
        "deny contains r if { some part; some r in data.tidegate.admission[part].deny }",
    ):
        assert problems(admission(reading), below) == []
    imported = "import data.tidegate.admission.models as m\n\ndeny contains r if some r in m.deny"
    assert problems(admission(imported), below) == []


FIELDS = "its fields are `code`, `message`"
NOT_DENIED = "a call passes unless it is denied: write `deny contains {...} if ...`"
SET = 'write `deny contains {"code": ..., "message": ...} if ...`'
PERIOD = "a time such as `10s`, `1m`, `1h`, `30d`, or one of `day`, `week`, `month`, `total` or null"
LIMIT = 'limit contains {"name": "n", "measure": "usd", "max": 1'
WRONG: list[tuple[str, str, tuple[str, int, int, str | None]]] = [
    (
        "misspelt rule",
        f"denny contains {SAID}",
        ("`denny` has no effect in package `tidegate.admission`", 3, 1, "did you mean `deny`?"),
    ),
    (
        "another engine's rule",
        "allow if true",
        ("`allow` has no effect in package `tidegate.admission`", 3, 1, NOT_DENIED),
    ),
    (
        "another engine's default",
        "default allow := false",
        ("`allow` has no effect in package `tidegate.admission`", 3, 9, NOT_DENIED),
    ),
    (
        "another phase's rule",
        f"stop contains {SAID}",
        ("`stop` has no effect in package `tidegate.admission`", 3, 1, "it belongs to package `tidegate.stream`"),
    ),
    ("a value for a set", "deny := true", ("`deny` is a set", 3, 1, SET)),
    ("a condition for a set", "deny if true", ("`deny` is a set", 3, 1, SET)),
    ("a map for a set", 'deny["x"] := 1', ("`deny` is a set", 3, 1, SET)),
    ("a function for a set", "deny(x) := x", ("`deny` is a set", 3, 1, SET)),
    ("a default for a set", "default deny := []", ("`deny` is a set", 3, 9, SET)),
    (
        "a set for a value",
        'capture contains "full"',
        ("`capture` has one value", 3, 1, "write `capture := ... if ...`"),
    ),
    ("text", 'deny contains "no" if true', ("`deny` must be an object", 3, 15, FIELDS)),
    ("text in a variable", 'deny contains x if { x := "no" }', ("`deny` must be an object", 3, 27, FIELDS)),
    ("an array", 'deny contains ["no"] if true', ("`deny` must be an object", 3, 15, FIELDS)),
    ("a template", 'deny contains $"no {input.caller.user}" if true', ("`deny` must be an object", 3, 15, FIELDS)),
    (
        "misspelt field",
        'warn contains {"cod": "a", "code": "a", "message": "b"} if true',
        ("`warn` has no field `cod`", 3, 16, "did you mean `code`?"),
    ),
    (
        "strange field",
        'warn contains {"status": 403, "code": "a", "message": "b"} if true',
        ("`warn` has no field `status`", 3, 16, FIELDS),
    ),
    (
        "missing field",
        'deny contains {"code": "a"} if true',
        ("`deny.message` is missing", 3, 15, "it must be a text of 1 to 4096 characters"),
    ),
    (
        "missing field in a variable",
        'deny contains x if {\n\tx := {"message": "b"}\n}',
        ("`deny.code` is missing", 4, 7, "it must be a code of lower-case letters, digits, `_`, `.` and `-`"),
    ),
    (
        "no code",
        'deny contains {"code": "A b", "message": "b"} if true',
        ("`deny.code` must be a code of lower-case letters, digits, `_`, `.` and `-`, found `A b`", 3, 24, None),
    ),
    (
        "a number for text",
        'deny contains {"code": "a", "message": 5} if true',
        ("`deny.message` must be a text of 1 to 4096 characters, found `5`", 3, 40, None),
    ),
    ("period", LIMIT + ', "per": "1x"}', (f"`limit.per` must be {PERIOD}, found `1x`", 3, 65, None)),
    ("long period", LIMIT + ', "per": "999d"}', ("`limit`: `per` must be at most `366d`, found `999d`", 3, 16, None)),
    ("no period", LIMIT + "}", ("`limit`: a limit of `usd` needs `per`", 3, 16, None)),
    (
        "zone of a rolling period, other fields unknown",
        'limit contains {"name": data.n, "key": [data.k], "measure": "usd", "max": data.m, "per": "1m", "tz": "UTC"}',
        ("`limit`: `tz` belongs to a calendar `per` such as `day`", 3, 16, None),
    ),
    (
        "no zone",
        LIMIT + ', "per": "day", "tz": "Mars"}',
        ("`limit`: `tz` must be the name of a time zone such as `Europe/Berlin`, found `Mars`", 3, 16, None),
    ),
    (
        "a word for a number",
        'limit contains {"name": "n", "measure": "usd", "per": "day", "max": "1000"}',
        ("`limit.max` must be a number from 0 to 1e15, found `1000`", 3, 69, None),
    ),
    (
        "nested key",
        LIMIT + ', "per": "day", "key": "tenant"}',
        ("`limit.key` must be an array of strings, numbers and booleans, found `tenant`", 3, 79, None),
    ),
    (
        "choice",
        'capture := "all"',
        ("`capture` must be one of `digest`, `full`, `none`, `redacted`, found `all`", 3, 12, None),
    ),
    (
        "choice in an else",
        'evidence := "async" if false else := "sync"',
        ("`evidence` must be one of `async`, `response`, `strict`, found `sync`", 3, 38, None),
    ),
    (
        "choice by default",
        'default evidence := "no"',
        ("`evidence` must be one of `async`, `response`, `strict`, found `no`", 3, 21, None),
    ),
    (
        "no output",
        "max_output := 0",
        ("`max_output` must be a whole number of tokens from 1 to 1e9, found `0`", 3, 15, None),
    ),
    ("route", "route := {}", ("`route`: a `route` needs `integration`, `model` or `fallback`", 3, 10, None)),
    (
        "route as text",
        'route := "eu"',
        ("`route` must be an object", 3, 10, "its fields are `integration`, `model`, `fallback`"),
    ),
    (
        "output before there is one",
        f"deny contains {SAID} if input.output.tokens > 5",
        (
            "`input.output` is not there before the call leaves",
            3,
            48,
            "it is in `tidegate.stream` and `tidegate.response`",
        ),
    ),
]


@pytest.mark.parametrize(("rules", "told"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_mistake_is_told_where_it_stands(rules: str, told: tuple[str, int, int, str | None]) -> None:
    [problem] = problems(admission(rules))
    assert (problem.message, problem.line, problem.column, problem.hint) == told
    assert (problem.code, problem.warning) == (CODE, False)


ELSEWHERE = {
    "misspelt package": "package tidegate.admision",
    "package below": "package tidegate.admission.models",
    "package above": "package tidegate",
}


@pytest.mark.parametrize("package", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_decision_where_nobody_looks_is_told(package: str) -> None:
    [problem] = problems(f"{package}\n\ndeny contains {SAID}")
    name = package.removeprefix("package ")
    assert problem.message == f"`deny` has no effect in package `{name}`"
    assert problem.hint == "Tidegate reads `data.tidegate.admission.deny`: did you mean package `tidegate.admission`?"


def test_a_test_that_reads_a_rule_gives_it_no_effect() -> None:
    module = parse(Source("a.rego", f"package tidegate.admission.models\n\ndeny contains {SAID}"))
    reader = "package models_test\n\nimport data.tidegate.admission.models\n\ntest_it if count(models.deny) == 1"
    assert len(check([module, parse(Source("a_test.rego", reader))])) == 1
    assert check([module, parse(Source("b.rego", reader))]) == []


@pytest.mark.parametrize(
    ("phase", "field", "fields"),
    [("stream", "text", "`tokens`, `usd`, `tail`"), ("response", "tail", "`text`, `usage`, `finish`")],
)
def test_each_phase_has_its_own_output(phase: str, field: str, fields: str) -> None:
    rule = "stop" if phase == "stream" else "flag"
    [problem] = problems(f"package tidegate.{phase}\n\n{rule} contains {SAID} if input.output.{field} != null")
    assert (problem.message, problem.hint) == (f"`input.output` has no field `{field}`", f"its fields are {fields}")


def test_what_cannot_be_carried_out_is_told() -> None:
    rules = admission(f'deny contains {SAID} if true\ncapture := "full"')
    [problem] = problems(rules, carried_out=frozenset({"deny"}))
    assert (problem.message, problem.line) == ("`capture` cannot be carried out here", 4)


def test_everything_wrong_is_told_at_once() -> None:
    found = problems(admission(f'denny contains {SAID}\ndeny contains {{"cod": "A", "message": 5}} if true'))
    assert [problem.line for problem in found] == [3, 4, 4, 4]


def test_a_value_that_cannot_be_carried_out_is_told() -> None:
    rules = admission('capture := "full" if input.request.stream\n\ncapture := "none" if not input.request.stream')
    [problem] = problems(rules, carried_out=frozenset({"capture.digest", "capture.none"}))
    assert (problem.message, problem.line) == ("`capture` cannot be carried out here as `full`", 3)
