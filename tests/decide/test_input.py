"""The input document: that it is complete, that what is told is checked, and what its page says."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tidegate.cli.reference import markdown
from tidegate.decide.input import PHASES, Misfit, Time, completed, document, policy_schema
from tidegate.decide.shapes import schema

NOW = 1_795_246_200_123_456_789
DOCS = Path(__file__).parents[2] / "docs"


def complete(told: object) -> dict[str, Any]:
    return document(completed(told, NOW))


def test_the_page_is_the_one_of_the_structs() -> None:
    assert (DOCS / "policy-input.md").read_text() == markdown() + "\n"


def test_nothing_told_is_a_whole_document() -> None:
    assert complete({}) == {
        "version": 1,
        "phase": "admission",
        "time": {"ns": NOW, "rfc3339": "2026-11-21T07:30:00.123456789Z", "weekday": "Saturday", "hour": 7},
        "run": {"id": None, "session": None, "parent": None, "tags": []},
        "caller": {"tenant": None, "key": None, "user": None, "roles": [], "ip": None, "mode": None},
        "request": {
            "endpoint": None,
            "provider": None,
            "integration": None,
            "model": None,
            "stream": None,
            "max_tokens": None,
            "n": None,
            "messages": [],
            "tools": [],
            "metadata": {},
            "bytes": None,
        },
        "estimate": {"prompt_tokens": None, "prompt_kind": None, "output_tokens": None, "usd": None},
        "findings": [],
        "limits": {},
    }


def test_each_phase_has_its_output() -> None:
    assert complete({"phase": "stream"})["output"] == {"tokens": None, "usd": None, "tail": None}
    usage = {"input_tokens": None, "output_tokens": None, "kind": None}
    assert complete({"phase": "response"})["output"] == {"text": None, "usage": usage, "finish": None}


def test_what_is_told_stays_and_the_rest_is_filled_in() -> None:
    made = complete(
        {
            "time": {"ns": 0},
            "caller": {"tenant": "acme", "roles": ("a", "b")},
            "request": {"messages": [{"role": "user"}], "metadata": {"a": {"b": [1.0, Decimal("0.1"), None]}}},
            "limits": {"budget": {"remaining": 2.5}},
        }
    )
    assert made["time"] == {"ns": 0, "rfc3339": "1970-01-01T00:00:00Z", "weekday": "Thursday", "hour": 0}
    assert (made["caller"]["tenant"], made["caller"]["roles"], made["caller"]["key"]) == ("acme", ["a", "b"], None)
    assert made["request"]["messages"] == [{"role": "user", "text": None, "parts": []}]
    assert made["request"]["metadata"] == {"a": {"b": [1, 0.1, None]}}
    assert made["limits"] == {"budget": {"used": None, "remaining": 2.5, "reset_s": None}}


def test_the_moment_is_exact() -> None:
    assert Time.at(1_000_000_000).rfc3339 == "1970-01-01T00:00:01Z"
    assert Time.at(2**63 - 1).rfc3339 == "2262-04-11T23:47:16.854775807Z"


WRONG: list[tuple[str, object, str]] = [
    ("no object", [], "`input` must be an object, found an array"),
    ("no phase", {"phase": "later"}, "`input.phase` must be one of `admission`, `stream`, `response`, found `later`"),
    ("another version", {"version": 2}, "`input.version` must be `1`, found `2`"),
    ("misspelt", {"caler": {}}, "`input` has no field `caler`: did you mean `caller`?"),
    ("misspelt inside", {"caller": {"tennant": "a"}}, "`input.caller` has no field `tennant`: did you mean `tenant`?"),
    ("null for an object", {"caller": None}, "`input.caller` must be an object, found null"),
    ("number for text", {"request": {"model": 5}}, "`input.request.model` must be a string or null, found `5`"),
    ("text for a list", {"caller": {"roles": "a"}}, "`input.caller.roles` must be an array, found `a`"),
    (
        "deep inside",
        {"request": {"messages": [{}, {"parts": [{"text": 1}]}]}},
        "`input.request.messages[1].parts[0].text` must be a string or null, found `1`",
    ),
    ("below zero", {"request": {"n": -1}}, "`input.request.n` must be a whole number, 0 or more or null, found `-1`"),
    (
        "a boolean",
        {"request": {"n": True}},
        "`input.request.n` must be a whole number, 0 or more or null, found `true`",
    ),
    ("no number", {"estimate": {"usd": float("nan")}}, "`input.estimate.usd` must be a number or null, found `nan`"),
    ("no choice", {"caller": {"mode": "x"}}, "`input.caller.mode` must be one of `anonymous`, `byok`, `key` or null"),
    ("half a time", {"time": {"hour": 3}}, "`input.time.ns` is missing: it must be a whole number"),
    ("output too early", {"output": {}}, "`input` has no field `output`"),
    ("no value of Rego's", {"request": {"metadata": {"a": object()}}}, "`input.request.metadata`: "),
]


@pytest.mark.parametrize(("told", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_does_not_fit_is_explained(told: object, message: str) -> None:
    with pytest.raises(Misfit) as raised:
        complete(told)
    assert message in str(raised.value)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(Misfit) as raised:
        complete({"caller": {"tennant": "a"}, "request": {"model": 5}})
    assert len(str(raised.value).split("; ")) == 2


def fields_of(kind: dict[str, Any], place: str = "input") -> set[str]:
    found = {place}
    for name, inner in kind.get("properties", {}).items():
        found |= fields_of(inner, f"{place}.{name}")
    for inner in (kind.get("items"), kind.get("additionalProperties")):
        if isinstance(inner, dict):
            found |= fields_of(inner, f"{place}[]")
    return found


def test_the_schema_has_every_field_and_requires_it() -> None:
    for struct in PHASES.values():
        made = schema(struct)
        assert made["required"] == list(made["properties"])
        assert made["additionalProperties"] is False
    assert fields_of(policy_schema()) == set().union(*(fields_of(schema(struct)) for struct in PHASES.values()))


def test_the_page_names_every_field() -> None:
    page = markdown()
    for field in fields_of(policy_schema()):
        name = field.removesuffix("[]").rpartition(".")[2]
        assert f"`{name}`" in page or f".{name}`" in page, field
