"""Streams as a provider really writes them, and whole answers: both count as the texts they hold."""

import json
from random import Random
from typing import Any

import pytest

from tests.count import documents, metered, wire
from tidegate.count._meter import Meter
from tidegate.count.answers import answer_tokens
from tidegate.count.usage_reports import report
from tidegate.count.vocabulary import published
from tidegate.serve.simulated.routes import Request, respond

O200K = published("o200k_base")
PATHS = {
    "chat.completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
SCHEMA |= {"required": ["city", "days"]}
ASKED: dict[str, list[dict[str, Any]]] = {
    "chat.completions": [
        {"messages": [{"role": "user", "content": "tides"}]},
        {"messages": [{"role": "user", "content": "tides"}], "n": 3},
        {
            "messages": [{"role": "user", "content": "rain"}],
            "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}],
        },
    ],
    "completions": [{"prompt": "tides"}, {"prompt": ["tides", "rain"], "n": 2}],
    "responses": [
        {"input": "tides"},
        {"input": "tides", "max_output_tokens": 5},
        {"input": "rain", "tools": [{"type": "function", "name": "get_weather", "parameters": SCHEMA}]},
    ],
    "messages": [
        {"messages": [{"role": "user", "content": "tides"}], "max_tokens": 50},
        {
            "messages": [{"role": "user", "content": "rain"}],
            "max_tokens": 50,
            "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
        },
    ],
}
CALLS = [(endpoint, fields) for endpoint, calls in ASKED.items() for fields in calls]
FAULTS = ("", "malformed-sse", "split-utf8", "malformed-sse+split-utf8", "huge-line-100000", "error-5", "close-4")


def answered(endpoint: str, fields: dict[str, Any], fault: str = "") -> list[bytes]:
    """The body of the simulated provider's answer, as it writes it."""
    body = json.dumps({"model": "simulated", **fields}).encode()
    headers = {"x-simulate": fault} if fault else {}
    script = respond(Request("POST", PATHS[endpoint], headers, body, chunks=False), seed=1, pace_ms=0)
    assert script.status == 200
    head, *writes = [step.data for step in script.steps]
    _, _, rest = head.partition(b"\r\n\r\n")
    return [rest, *writes]


def text_of(endpoint: str, document: dict[str, Any]) -> list[str]:
    """The texts of a whole answer; for tools the arguments as they stream, which is without white space."""
    match endpoint:
        case "chat.completions":
            messages = [choice["message"] for choice in document["choices"]]
            calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
            return [
                *(message["content"] or "" for message in messages),
                *(text for call in calls for text in (call["name"], call["arguments"])),
            ]
        case "completions":
            return [choice["text"] for choice in document["choices"]]
        case "responses":
            items = document["output"]
            parts = [part["text"] for item in items for part in item.get("content", ())]
            return [*parts, *(item[name] for item in items for name in ("name", "arguments") if name in item)]
    blocks = document["content"]
    called = [block for block in blocks if block["type"] == "tool_use"]
    arguments = [json.dumps(block["input"], separators=(",", ":"), ensure_ascii=False) for block in called]
    return [*(block.get("text", "") for block in blocks), *(block["name"] for block in called), *arguments]


def tokens(texts: list[str]) -> int:
    return sum(map(wire.tokens, texts))


@pytest.mark.parametrize(("endpoint", "fields"), CALLS)
def test_a_stream_counts_what_the_whole_answer_holds(endpoint: str, fields: dict[str, Any]) -> None:
    document = json.loads(b"".join(answered(endpoint, fields)))
    meter = Meter(endpoint, O200K, limit=1 << 20)
    for written in answered(endpoint, {**fields, "stream": True}):
        assert meter.feed(written) is written
    assert meter.tokens == tokens(text_of(endpoint, document)) > 5
    assert meter.done
    assert meter.choices == len(document.get("choices", "1"))
    assert sum(map(meter.tokens_of, range(meter.choices))) == meter.tokens


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("endpoint", "fields"), CALLS)
def test_streams_with_faults_count_as_the_oracle_says(endpoint: str, fields: dict[str, Any], fault: str) -> None:
    writes = answered(endpoint, {**fields, "stream": True}, fault)
    stream, random = b"".join(writes), Random(fault)
    for reads in (writes, documents.reads(stream, random), documents.reads(stream, random)):
        assert metered.difference(Meter, endpoint, stream, reads) is None


@pytest.mark.parametrize(("endpoint", "fields"), CALLS)
def test_streams_report_what_the_whole_answer_reports(endpoint: str, fields: dict[str, Any]) -> None:
    plain = report(endpoint)
    assert plain is not None
    plain.plain(b"".join(answered(endpoint, fields)))
    meter = Meter(endpoint, O200K, limit=1 << 20)
    asked = {"stream_options": {"include_usage": True}} if "completions" in endpoint else {}
    for written in answered(endpoint, {**fields, "stream": True, **asked}):
        meter.feed(written)
    assert meter.usage is not None
    assert plain.usage is not None
    assert (meter.usage.input_tokens, meter.usage.output_tokens) == (
        plain.usage.input_tokens,
        plain.usage.output_tokens,
    )


@pytest.mark.parametrize(("endpoint", "fields"), [call for call in CALLS if "completions" in call[0]])
@pytest.mark.parametrize("fault", ["", "split-utf8"])
def test_a_client_that_did_not_ask_gets_no_usage(endpoint: str, fields: dict[str, Any], fault: str) -> None:
    asked = answered(endpoint, {**fields, "stream": True, "stream_options": {"include_usage": True}}, fault)
    unasked = answered(endpoint, {**fields, "stream": True})
    meter = Meter(endpoint, O200K, limit=1 << 20, strip_usage=True)
    passed = b"".join(map(meter.feed, asked)) + meter.rest()
    # ids are made from the request's bytes, which differ
    assert without_ids(passed) == without_ids(b"".join(unasked))
    assert meter.usage is not None


def without_ids(stream: bytes) -> list[Any]:
    documents = [json.loads(line[6:]) for line in stream.split(b"\n\n") if line.startswith(b"data: {")]
    return [
        [(name, value) for name, value in one.items() if name not in ("id", "created")]
        for one in without_calls(documents)
    ]


def without_calls(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for one in documents:
        for choice in one["choices"]:
            for call in choice.get("delta", {}).get("tool_calls", ()):
                call.pop("id", None)
    return documents


@pytest.mark.parametrize(("endpoint", "fields"), CALLS)
def test_a_whole_answer_counts_its_texts(endpoint: str, fields: dict[str, Any]) -> None:
    body = b"".join(answered(endpoint, fields))
    texts = text_of(endpoint, json.loads(body))
    if endpoint == "messages" and "tools" in fields:
        texts[-1] = json.dumps(json.loads(texts[-1]))
    assert answer_tokens(endpoint, body, O200K) == tokens(texts)


@pytest.mark.parametrize(
    ("endpoint", "document", "texts"),
    [
        (
            "chat.completions",
            {"choices": [{"message": {"content": "a b", "reasoning_content": "c d"}}]},
            ["a b", "c d"],
        ),
        ("chat.completions", {"choices": [{"message": {"reasoning": "c d", "reasoning_content": "c d"}}]}, ["c d"]),
        ("chat.completions", {"choices": [{"message": {"content": None, "refusal": "I won't"}}, {}]}, ["I won't"]),
        ("chat.completions", {"choices": [{"message": {"content": "a \ud83d"}}, 5]}, ["a \ufffd"]),
        ("completions", {"choices": [{"text": "a b", "index": 0}, {"text": "a b", "index": 0}]}, ["a b", "a b"]),
        (
            "responses",
            {
                "output": [
                    {"type": "reasoning", "summary": [{"text": "a b"}], "content": [{"text": "c d"}]},
                    {"type": "message", "content": [{"text": "e f"}, {"refusal": "I won't"}]},
                    {"type": "custom_tool_call", "name": "g h", "input": "i j", "call_id": "no"},
                    {"type": "mcp_call", "name": "k l", "arguments": "{}", "output": "no"},
                    {"type": "code_interpreter_call", "code": "m n"},
                ]
            },
            ["a b", "c d", "e f", "I won't", "g h", "i j", "k l", "{}", "m n"],
        ),
        (
            "messages",
            {
                "content": [
                    {"type": "thinking", "thinking": "a b", "signature": "no"},
                    {"type": "text", "text": "c d"},
                    {"type": "tool_use", "name": "e", "input": {"city": "Köln", "days": [1, 2]}},
                    {"type": "tool_use", "name": "e", "input": {}},
                    {"type": "web_search_tool_result", "content": [{"text": "no"}]},
                ]
            },
            ["a b", "c d", "e", '{"city": "Köln", "days": [1, 2]}', "e"],
        ),
        ("embeddings", {"data": [{"embedding": [1, 2]}]}, []),
        ("models", {"data": [{"id": "a"}]}, []),
        ("messages", {}, []),
        ("messages", {"content": "odd"}, []),
    ],
)
def test_the_texts_of_whole_answers(endpoint: str, document: dict[str, Any], texts: list[str]) -> None:
    assert answer_tokens(endpoint, json.dumps(document).encode(), O200K) == tokens(texts)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"a"', b"\xff", b"[" * 100_000])
def test_of_what_is_no_answer_nothing_is_known(body: bytes) -> None:
    assert answer_tokens("chat.completions", body, O200K) is None
