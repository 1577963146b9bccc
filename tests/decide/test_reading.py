"""The gateway's own values as the `input` document: the same document, whichever way a policy reads it."""

from typing import Any

import msgspec
import pytest

from tests.decide.calls import call, listing
from tidegate.decide.input import Admission
from tidegate.decide.reading import DOCUMENT, document
from tidegate.decide.shapes import schema
from tidegate.model import Call, Caller, Estimate
from tidegate.rego.generate.typed import Known, Read, Record

NS = 1_763_710_200_123_456_789
ESTIMATE = Estimate(42, "exact")
CALLER = Caller("acme", "key", "tg_123456789012", "u1", ("ops",), "10.0.0.1", "s1", "0" * 26, ("a", "b"), ("one",))
NOBODY = Caller("default", "anonymous")
PARTS = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
CHAT = call(
    "chat.completions",
    model="gpt-4o",
    messages=[
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}],
        },
    ],
    max_completion_tokens=7,
    n=2,
    stream=True,
    user="u1",
    metadata={"team": "x"},
    tools=[{"type": "function", "function": {"name": "search", "parameters": {}}}, {"type": "web_search"}],
)
CALLS = {
    "chat": CHAT,
    "completion": call("completions", model="m", prompt=["a", "b"]),
    "tokens as a prompt": call("completions", model="m", prompt=[1, 2, 3]),
    "embedding": call("embeddings", model="m", input="text"),
    "responses": call("responses", model="m", input="hi", instructions="be brief", max_output_tokens=5),
    "messages": call("messages", model="c", max_tokens=9, system="s", messages=[{"role": "user", "content": "q"}]),
    "models": listing(),
}
NAMES = {str: "string", type(None): "null"}
WORDS = {"string": "string", "number": "integer", "boolean": "boolean", "array": "array", "object": "object"}


def leaves(record: Record, path: str = "input") -> dict[str, Known | Read]:
    found: dict[str, Known | Read] = {}
    for name, part in record.fields.items():
        found |= leaves(part, f"{path}.{name}") if isinstance(part, Record) else {f"{path}.{name}": part}
    return found


def fields(node: dict[str, Any], path: str = "input") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, inner in node["properties"].items():
        found |= fields(inner, f"{path}.{name}") if "properties" in inner else {f"{path}.{name}": inner}
    return found


def test_every_field_of_the_document_can_be_read_and_no_other() -> None:
    assert sorted(leaves(DOCUMENT)) == sorted(fields(schema(Admission)))


def kinds(node: dict[str, Any]) -> set[str]:
    """The types that a schema allows, null apart."""
    found: set[str] = set()
    for inner in node.get("anyOf", [node]):
        found |= {inner["type"]} if "type" in inner else {NAMES[type(value)] for value in inner["enum"]}
    return found - {"null"}


def test_a_type_that_is_promised_is_the_documents_only_one() -> None:
    documented = fields(schema(Admission))
    promised = {
        place: part for place, part in leaves(DOCUMENT).items() if isinstance(part, Read) and part.kind != "any"
    }
    assert {place: kinds(documented[place]) for place in promised} == {
        place: {WORDS[part.kind]} for place, part in promised.items()
    }


@pytest.mark.parametrize("given", CALLS.values(), ids=CALLS)
def test_the_document_is_of_the_shape_that_is_documented(given: Call) -> None:
    made = document(given, CALLER, ESTIMATE, NS)
    assert msgspec.to_builtins(msgspec.convert(made, Admission)) == made


def test_what_a_chat_says() -> None:
    made = document(CHAT, CALLER, ESTIMATE, NS)
    assert made["time"] == {
        "ns": NS,
        "rfc3339": "2025-11-21T07:30:00.123456789Z",
        "weekday": "Friday",
        "hour": 7,
    }
    assert made["caller"] == {
        "tenant": "acme",
        "key": "tg_123456789012",
        "user": "u1",
        "roles": ["ops"],
        "ip": "10.0.0.1",
        "mode": "key",
    }
    assert made["run"] == {"id": "01" * 13, "session": "s1", "parent": "0" * 26, "tags": ["a", "b"]}
    nobody = document(CHAT, NOBODY, ESTIMATE, NS)
    assert nobody["caller"].pop("tenant") == "default"
    assert nobody["caller"] == {"key": None, "user": None, "roles": [], "ip": None, "mode": "anonymous"}
    assert nobody["run"] == {"id": "01" * 13, "session": None, "parent": None, "tags": []}
    request = made["request"]
    assert request["messages"] == [
        {"role": "system", "text": "Be kind.", "parts": []},
        {
            "role": "user",
            "text": "a\nb",
            "parts": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "text": None},
                {"type": "text", "text": "b"},
            ],
        },
    ]
    assert request["tools"] == [{"name": "search"}, {"name": None}]
    assert request["metadata"] == {"team": "x"}
    assert {name: request[name] for name in ("endpoint", "provider", "model", "stream", "max_tokens", "n")} == {
        "endpoint": "chat.completions",
        "provider": "openai",
        "model": "gpt-4o",
        "stream": True,
        "max_tokens": 7,
        "n": 2,
    }
    assert request["bytes"] == len(CHAT.body)


SAID = {
    "completion": [("user", "a"), ("user", "b")],
    "tokens as a prompt": [("user", None)],
    "embedding": [("user", "text")],
    "responses": [("system", "be brief"), ("user", "hi")],
    "messages": [("system", "s"), ("user", "q")],
    "models": [],
}


@pytest.mark.parametrize(("name", "said"), SAID.items(), ids=SAID)
def test_every_dialects_messages(name: str, said: list[tuple[str, str | None]]) -> None:
    messages = document(CALLS[name], CALLER, ESTIMATE, NS)["request"]["messages"]
    assert [(message["role"], message["text"]) for message in messages] == said


X = "project HALCYON"
BLOCK = {"type": "text", "text": X}
TOLD: list[tuple[str, dict[str, Any]]] = [
    ("chat.completions", {"messages": [{"role": "user", "content": ["a", X]}]}),
    ("chat.completions", {"messages": [{"role": "assistant", "refusal": X}]}),
    ("chat.completions", {"messages": [{"role": "assistant", "content": [{"type": "refusal", "refusal": X}]}]}),
    ("chat.completions", {"messages": [{"tool_calls": [{"id": "1", "function": {"name": "x", "arguments": X}}]}]}),
    ("chat.completions", {"messages": [{"tool_calls": [{"id": "1", "custom": {"name": "x", "input": X}}]}]}),
    ("chat.completions", {"messages": [{"function_call": {"name": "x", "arguments": X}}]}),
    ("chat.completions", {"messages": [{"role": "user", "name": X, "content": "hi"}]}),
    ("chat.completions", {"messages": [{"role": "assistant", "content": "a", "reasoning_content": X}]}),
    ("completions", {"prompt": "a", "suffix": X}),
    ("completions", {"prompt": [1, {"role": "user", "content": X}]}),
    ("responses", {"input": [{"type": "function_call_output", "call_id": "1", "output": X}]}),
    ("responses", {"input": [{"type": "function_call_output", "call_id": "1", "output": [BLOCK]}]}),
    ("responses", {"input": [{"type": "custom_tool_call_output", "call_id": "1", "output": X}]}),
    ("responses", {"input": [{"type": "function_call", "call_id": "1", "name": "x", "arguments": X}]}),
    ("responses", {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": X}]}]}),
    ("responses", {"input": "a", "prompt": {"id": "p", "variables": {"id": X}}}),
    ("messages", {"messages": [], "system": [BLOCK]}),
    ("messages", {"messages": [{"content": [{"type": "tool_result", "tool_use_id": "1", "content": X}]}]}),
    ("messages", {"messages": [{"content": [{"type": "tool_result", "tool_use_id": "1", "content": [BLOCK]}]}]}),
    ("messages", {"messages": [{"content": [{"type": "tool_use", "id": "1", "input": {"url": [X]}}]}]}),
    ("messages", {"messages": [{"content": [{"type": "document", "source": {"type": "text", "data": X}}]}]}),
    ("messages", {"messages": [{"content": [{"type": "document", "source": {"content": [BLOCK]}}]}]}),
    ("messages", {"messages": [{"content": [{"type": "document", "context": X}]}]}),
    ("messages", {"messages": [{"content": [{"type": "search_result", "title": "a", "content": [BLOCK]}]}]}),
    ("messages", {"messages": [{"content": [{"type": "thinking", "thinking": X, "signature": "s"}]}]}),
]


@pytest.mark.parametrize(("endpoint", "body"), TOLD)
def test_every_text_that_a_model_is_told_is_in_a_message(endpoint: str, body: dict[str, Any]) -> None:
    given = call(endpoint, model="m", **body)
    said = document(given, CALLER, ESTIMATE, NS)["request"]["messages"]
    assert any(X in (message["text"] or "").split("\n") for message in said)
    for message in said:
        assert all(part["text"] in message["text"] for part in message["parts"] if part["text"] is not None)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "redacted_thinking", "data": "AAAA"},
    ],
)
def test_what_is_no_text_is_not_taken_for_one(part: dict[str, Any]) -> None:
    given = call("chat.completions", model="m", messages=[{"role": "user", "content": [part]}])
    (message,) = document(given, CALLER, ESTIMATE, NS)["request"]["messages"]
    assert message == {"role": "user", "text": None, "parts": [{"type": part["type"], "text": None}]}


def test_tools_have_their_names_in_every_form() -> None:
    offered = [{"type": "function", "function": {"name": "a"}}, {"type": "custom", "custom": {"name": "b"}}]
    given = call("chat.completions", model="m", messages=[], tools=[*offered, {"name": "c"}], functions=[{"name": "d"}])
    assert [tool["name"] for tool in document(given, CALLER, ESTIMATE, NS)["request"]["tools"]] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("metadata", ["x", None, [1], 5])
def test_metadata_that_is_no_object_is_empty(metadata: Any) -> None:
    given = call("chat.completions", model="m", messages=[], metadata=metadata)
    assert document(given, CALLER, ESTIMATE, NS)["request"]["metadata"] == {}
