"""What a report says is the same whether it is read quickly or decoded in full.

A name that is written with an escape is not decided quickly, so that one more member of that kind sends a document
through the full decode: the oracle is the product itself, on its other way.
"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tidegate.count._figures import Figures
from tidegate.count.usage_anthropic import MessageReport
from tidegate.count.usage_openai import ChatReport, ResponseReport

UNTIMED = settings(deadline=None, max_examples=150)  # the machine may be busy
CHAT = {
    "id": "chatcmpl-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": 'The "tide"\n潮 🌊'}, "logprobs": None}],
    "usage": {
        "prompt_tokens": 30,
        "completion_tokens": 40,
        "total_tokens": 75,
        "prompt_tokens_details": {"cached_tokens": 7, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 2, "accepted_prediction_tokens": 0},
        "prompt_cache_hit_tokens": 3,
        "num_search_queries": 1,
    },
    "service_tier": "flex",
}
RESPONSE = {
    "id": "resp_1",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "action": None, "content": [{"type": "output_text", "text": "The tide"}]},
    ],
    "usage": {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 9},
        "total_tokens": 70,
    },
    "service_tier": "default",
}
MESSAGE = {
    "type": "message",
    "content": [{"type": "text", "text": "The tide"}],
    "usage": {
        "input_tokens": 30,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 6,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 4},
        "output_tokens": 40,
        "output_tokens_details": {"thinking_tokens": 3},
        "server_tool_use": {"web_search_requests": 2},
        "service_tier": "standard",
        "speed": "fast",
    },
}
KINDS: list[tuple[type[Any], dict[str, Any]]] = [
    (ChatReport, CHAT),
    (ResponseReport, RESPONSE),
    (MessageReport, MESSAGE),
]
KIND = pytest.mark.parametrize(("report", "document"), KINDS, ids=["chat", "responses", "messages"])


def read(report: type[Any], document: bytes) -> Any:
    one = report()
    one.plain(document)
    return None if one.usage is None else structs.asdict(one.usage)


def agree(report: type[Any], document: bytes) -> None:
    before, brace, after = document.partition(b"{")
    more = b"" if after.lstrip(b" \n\t\r")[:1] == b"}" else b","
    assert read(report, document) == read(report, before + brace + b'"\\u0078x":0' * bool(brace) + more + after)


OTHER = st.sampled_from([None, 0, -1, 1.0, 30.5, 10**12, 10**12 + 1, 10**13, 10**30, "x", "flex", True, [], {}])
BYTES = st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"{", b"}", b",", b"0", b"\x00", b"\\ud800", b"e1"])


def mutated(draw: Any, value: Any) -> Any:
    """The same with something in it that is otherwise."""
    if draw(st.integers(0, 6)) == 0:
        return draw(OTHER)
    if isinstance(value, dict):
        named = [(name, mutated(draw, inner)) for name, inner in value.items() if draw(st.integers(0, 8))]
        return dict(draw(st.permutations(named)))
    if isinstance(value, list):
        return [mutated(draw, inner) for inner in value]
    return value


@KIND
@UNTIMED
@given(data=st.data())
def test_documents_of_any_form(report: type[Any], document: dict[str, Any], data: Any) -> None:
    text = json.dumps(
        mutated(data.draw, document),
        ensure_ascii=data.draw(st.booleans()),
        separators=data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")])),
    )
    agree(report, text.encode())


@KIND
@UNTIMED
@given(data=st.data())
def test_documents_with_a_wrong_byte(report: type[Any], document: dict[str, Any], data: Any) -> None:
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode()
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(BYTES)
    agree(report, text[:at] + new + text[at + data.draw(st.integers(0, 2)) :])


@KIND
def test_what_providers_send_is_read_quickly(report: type[Any], document: dict[str, Any]) -> None:
    usage = read(report, json.dumps(document).encode())
    assert usage is not None
    assert (usage["kind"], usage["reasoning_tokens"] > 0) == ("provider", True)


@KIND
@pytest.mark.parametrize(
    ("note", "old", "new"),
    [
        ("usage twice", '"usage":', '"usage":{"prompt_tokens":1,"input_tokens":1},"usage":'),
        ("a number twice", '_tokens":30', '_tokens":30,"input_tokens":7,"prompt_tokens":8'),
        ("a name with an escape", '"usage"', '"us\\u0061ge"'),
        ("a number with a zero before it", ":30", ":030"),
        ("a number with a sign", ":30", ":-30"),
        ("a negative zero", ":30", ":-0"),
        ("a number with a fraction", ":30", ":30.0"),
        ("a number with an exponent", ":30", ":3e1"),
        ("the greatest number", ":30", ":1000000000000"),
        ("a greater one", ":30", ":1000000000001"),
        ("a number as a text", ":30", ':"30"'),
        ("no number", ":30", ":null"),
        ("half a pair of surrogates", "The", "\\ud83c The"),
        ("the other half", "The", "\\udf0a The"),
        ("both", "The", "\\ud83c\\udf0a The"),
        ("an unknown service", '"flex"', '"gold"'),
        ("a service with an escape", '"flex"', '"fl\\u0065x"'),
        ("a service that is no text", '"flex"', '"\x7f"'),
        ("a search", '"reasoning"', '"web_search_call"'),
        ("a search with an escape", '"reasoning"', '"web\\u005fsearch_call"'),
        ("a search that opens a page", '"reasoning"', '"web_search_call","action":{"type":"open_page"}'),
        ("an item with an action", '"reasoning"', '"shell_call","action":{"type":5}'),
        ("an item that is none", '[{"type":"reasoning"', '[5,{"type":"reasoning"'),
        ("Groq's", '"usage"', '"x_groq":{"usage":{"prompt_tokens":9}},"was"'),
        ("nothing of Groq's", '"usage"', '"x_groq":null,"usage"'),
        ("something behind it", "}}", "}} x"),
        ("blanks behind it", "}}", "}} \n"),
    ],
)
def test_what_is_hardly_ever_sent(report: type[Any], document: dict[str, Any], note: str, old: str, new: str) -> None:
    text = json.dumps(document, separators=(",", ":")).replace(old, new)
    agree(report, text.encode().replace(b"\x7f", b"\xff"))


FIGURES = Figures({"a": int, "b": {"c": int, "d": str}, "e": [{"kind": "search"}], "f": None})


@pytest.mark.parametrize(
    ("document", "figures"),
    [
        (b"{}", [None, None, None]),
        (b'{"a":1}', [1, None, None]),
        (b' { "a" : 999999999999 , "b" : { "d" : "x" , "c" : 0 } } ', [999999999999, 0, "x"]),
        (b'{"z":{"a":5},"a":2,"y":[{"a":7}]}', [2, None, None]),
        (b'{"e":[{"kind":"other"},{"kind":null,"a":8},{}],"f":null,"b":null}', [None, None, None]),
    ],
)
def test_figures_in_the_order_in_which_they_were_stated(document: bytes, figures: list[Any]) -> None:
    assert FIGURES.read(document) == figures


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"5", b"{", b'{"a":1', b'{"a":1}}', b'{"a":1,}', b'{"a":01}', b'{"a":1.5}', b'{"a":1000000000000}',
     b'{"a":"1"}', b'{"a":1,"a":1}', b'{"\\u0061":1}', b'{"b":[]}', b'{"b":{"d":5}}', b'{"b":{"d":"\\n"}}',
     b'{"b":{"d":"\xff"}}', b'{"e":{}}', b'{"e":[5]}', b'{"e":[{}', b'{"e":[{},]}', b'{"e":[{"kind":"search"}]}',
     b'{"f":0}', b'{"z":"\\ud800"}', b'{"z":' + b"[" * 70 + b"]" * 70 + b"}"],
)  # fmt: skip
def test_what_only_a_full_decode_can_say(document: bytes) -> None:
    assert FIGURES.read(document) is None


@pytest.mark.parametrize(
    "fields",
    [{"a" * 30: int}, {"": int}, {str(n): int for n in range(17)}, {str(n): str for n in range(3)},
     {str(n): {} for n in range(8)}, {"a": "one", "b": "two"}, {str(n): None for n in range(25)}],
)  # fmt: skip
def test_more_than_can_be_read_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Figures(fields)
