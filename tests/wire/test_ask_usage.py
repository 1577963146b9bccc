"""A stream is made to report usage: the body says so afterwards, and is otherwise the same to the byte."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.openai import Chat, ask_usage
from tidegate.wire.splice import splice

OTHERS = b'"model":"m","messages":[]'


def asked(body: bytes) -> bytes:
    return splice(body, [ask_usage(body)])


@pytest.mark.parametrize(
    ("body", "after", "note"),
    [
        (b"{%b}" % OTHERS, b'{"stream_options":{"include_usage":true},%b}' % OTHERS, "no options"),
        (b" { \n%b}" % OTHERS, b' {"stream_options":{"include_usage":true}, \n%b}' % OTHERS, "white space stays"),
        (b'{"stream_options":null,%b}' % OTHERS, b'{"stream_options":{"include_usage":true},%b}' % OTHERS, "null"),
        (b'{"stream_options":{},%b}' % OTHERS, b'{"stream_options":{"include_usage":true},%b}' % OTHERS, "empty"),
        (b'{%b,"stream_options":{ }}' % OTHERS, b'{%b,"stream_options":{"include_usage":true }}' % OTHERS, "a space"),
        (
            b'{%b,"stream_options":{"include_obfuscation":false}}' % OTHERS,
            b'{%b,"stream_options":{"include_usage":true,"include_obfuscation":false}}' % OTHERS,
            "another option",
        ),
        (
            b'{%b,"stream_options":{"include_usage" : null}}' % OTHERS,
            b'{%b,"stream_options":{"include_usage" : true}}' % OTHERS,
            "null inside",
        ),
        (
            b'{"user":"stream_options","metadata":{"stream_options":{}},%b}' % OTHERS,
            b'{"stream_options":{"include_usage":true},"user":"stream_options","metadata":{"stream_options":{}},%b}'
            % OTHERS,
            "the words elsewhere",
        ),
        (
            b'{"stream\\u005foptions":{},%b}' % OTHERS,
            b'{"stream\\u005foptions":{"include_usage":true},%b}' % OTHERS,
            "an escaped name",
        ),
    ],
)
def test_the_edit(body: bytes, after: bytes, note: str) -> None:
    assert asked(body) == after, note


values = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.lists(st.integers(0, 9), max_size=2)
options = st.none() | st.dictionaries(st.sampled_from(["include_obfuscation", "x", "é"]), values, max_size=3)


@given(st.dictionaries(st.text(max_size=6), values, max_size=4), options, st.booleans(), st.sampled_from([None, 1, 4]))
def test_any_body_says_so_and_nothing_else(others: dict[str, Any], said: Any, null: bool, indent: int | None) -> None:
    others.pop("stream_options", None)
    if said is not None and null:
        said["include_usage"] = None
    document = {"model": "m", **others, **({"stream_options": said} if said is not None or null else {})}
    after = json.loads(asked(json.dumps(document, indent=indent).encode()))
    assert after.pop("stream_options") == {**(said or {}), "include_usage": True}
    document.pop("stream_options", None)
    assert after == document


@pytest.mark.parametrize(
    ("options", "says"),
    [("null", None), ("{}", None), ('{"include_usage":null}', None), ('{"include_usage":false}', False),
     ('{"include_usage":true}', True)],
)  # fmt: skip
def test_what_the_caller_says(options: str, says: bool | None) -> None:
    body = '{"model":"m","messages":[],"stream_options":%s}' % options  # noqa: UP031
    assert msgspec.json.decode(body, type=Chat).says_usage is says
