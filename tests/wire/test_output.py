"""The limit of an answer is lowered in its body: that field changes, or comes in, and every other byte stays."""

import json
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire import anthropic, openai
from tidegate.wire.dialect import Route
from tidegate.wire.splice import splice

ROUTES = {route.endpoint: route for route in (*openai.ROUTES, *anthropic.ROUTES)}
CHAT, COMPLETION, RESPONSES, MESSAGES = (
    ROUTES[endpoint] for endpoint in ("chat.completions", "completions", "responses", "messages")
)
NAMES = {
    "chat.completions": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
M = b'"model":"m"'


def lowered(route: Route, body: bytes, most: int, provider: str = "openai") -> bytes:
    assert route.lower_output is not None
    return splice(body, route.lower_output(body, most, provider))


@pytest.mark.parametrize(
    ("route", "provider", "body", "after", "note"),
    [
        (CHAT, "openai", b'{%b,"max_tokens":500}' % M, b'{%b,"max_tokens":100}' % M, "lowered under its name"),
        (CHAT, "openai", b'{%b,"max_tokens":100}' % M, b'{%b,"max_tokens":100}' % M, "as much as it may"),
        (CHAT, "openai", b'{%b,"max_tokens":9}' % M, b'{%b,"max_tokens":9}' % M, "never raised"),
        (CHAT, "openai", b'{%b,"max_tokens":0}' % M, b'{%b,"max_tokens":100}' % M, "zero is none to some servers"),
        (
            CHAT,
            "openai",
            b'{ %b , "n":4, "max_tokens" : 500 }' % M,
            b'{ %b , "n":4, "max_tokens" : 100 }' % M,
            "spaces, n",
        ),
        (CHAT, "openai", b"{%b}" % M, b'{"max_completion_tokens":100,%b}' % M, "none stated"),
        (CHAT, "azure", b"{%b}" % M, b'{"max_completion_tokens":100,%b}' % M, "none stated"),
        (CHAT, "home", b"\n{ %b}" % M, b'\n{"max_tokens":100, %b}' % M, "none stated, of a compatible server"),
        (
            CHAT,
            "openai",
            b'{%b,"max_tokens":null}' % M,
            b'{"max_completion_tokens":100,%b,"max_tokens":null}' % M,
            "null",
        ),
        (CHAT, "home", b'{%b,"max_tokens":null}' % M, b'{%b,"max_tokens":100}' % M, "null under the name that counts"),
        (
            CHAT,
            "home",
            b'{"max_completion_tokens":null,"max_tokens":null,%b}' % M,
            b'{"max_completion_tokens":null,"max_tokens":100,%b}' % M,
            "both null",
        ),
        (
            CHAT,
            "home",
            b'{"max_tokens":700,%b,"max_completion_tokens":800}' % M,
            b'{"max_tokens":100,%b,"max_completion_tokens":100}' % M,
            "both: whichever wins is lowered",
        ),
        (
            CHAT,
            "openai",
            b'{"max_tokens":700,%b,"max_completion_tokens":8}' % M,
            b'{"max_tokens":100,%b,"max_completion_tokens":8}' % M,
            "both, one is low",
        ),
        (
            CHAT,
            "openai",
            b'{"max_tokens":null,%b,"max_completion_tokens":800}' % M,
            b'{"max_tokens":null,%b,"max_completion_tokens":100}' % M,
            "both, one is null",
        ),
        (
            CHAT,
            "openai",
            b'{"metadata":{"max_tokens":900},"user":"max_tokens",%b,"max\\u005ftokens":500}' % M,
            b'{"metadata":{"max_tokens":900},"user":"max_tokens",%b,"max\\u005ftokens":100}' % M,
            "the words elsewhere, an escaped name",
        ),
        (COMPLETION, "home", b"{%b}" % M, b'{"max_tokens":100,%b}' % M, "none stated"),
        (COMPLETION, "openai", b"{%b}" % M, b"{%b}" % M, "the provider's own default is 16"),
        (COMPLETION, "openai", b'{%b,"max_tokens":null}' % M, b'{%b,"max_tokens":null}' % M, "so is that of null"),
        (COMPLETION, "openai", b'{%b,"max_tokens":500}' % M, b'{%b,"max_tokens":100}' % M, "stated"),
        (RESPONSES, "openai", b'{%b,"max_output_tokens":500}' % M, b'{%b,"max_output_tokens":100}' % M, "stated"),
        (RESPONSES, "openai", b"{%b}" % M, b'{"max_output_tokens":100,%b}' % M, "none stated"),
        (RESPONSES, "x", b'{%b,"max_output_tokens":null}' % M, b'{%b,"max_output_tokens":100}' % M, "null"),
        (MESSAGES, "anthropic", b'{%b,"max_tokens":500}' % M, b'{%b,"max_tokens":100}' % M, "stated"),
        (MESSAGES, "anthropic", b"{%b}" % M, b'{"max_tokens":100,%b}' % M, "left out"),
    ],
)
def test_the_edit(route: Route, provider: str, body: bytes, after: bytes, note: str) -> None:
    assert lowered(route, body, 100, provider) == after, note


def test_a_default_that_is_higher_than_may_be_does_not_stay() -> None:
    assert lowered(COMPLETION, b"{%b}" % M, 15) == b'{"max_tokens":15,%b}' % M


def test_what_has_no_output_has_nothing_to_lower() -> None:
    without = {endpoint for endpoint, route in ROUTES.items() if route.lower_output is None}
    assert without == {"embeddings", "models", "messages.count_tokens"}


def test_it_goes_together_with_the_other_edits() -> None:
    body = b"{%b}" % M
    assert CHAT.ask_usage is not None
    assert CHAT.lower_output is not None
    both = splice(body, [CHAT.ask_usage(body), *CHAT.lower_output(body, 5, "home")])
    assert json.loads(both) == {"model": "m", "stream_options": {"include_usage": True}, "max_tokens": 5}


amounts = st.none() | st.integers(0, 9) | st.integers(0, 10**9)
others = st.dictionaries(
    st.text(max_size=6),
    st.none() | st.integers(-9, 9) | st.text(max_size=4) | st.lists(st.none(), max_size=2),
    max_size=4,
)


@given(
    st.sampled_from([CHAT, COMPLETION, RESPONSES, MESSAGES]),
    st.data(),
    others,
    st.integers(1, 10**9) | st.integers(1, 20),
    st.sampled_from(["openai", "azure", "anthropic", "home"]),
    st.sampled_from([None, 1, 4]),
)
def test_any_body_asks_for_no_more_and_is_otherwise_the_same(
    route: Route, data: st.DataObject, rest: dict[str, Any], most: int, provider: str, indent: int | None
) -> None:
    names = NAMES[route.endpoint]
    stated = data.draw(st.dictionaries(st.sampled_from(names), amounts))
    document = dict(
        data.draw(st.permutations(list(({"model": "m", "messages": [], "prompt": "p"} | rest | stated).items())))
    )
    body = json.dumps(document, indent=indent).encode()
    after = json.loads(lowered(route, body, most, provider))
    before = {name: document.pop(name, None) for name in names}
    now = {name: after.pop(name, None) for name in names}
    assert after == document
    assert list(after) == list(document)  # in the same order
    for name in names:
        if before[name] is not None:
            assert now[name] == (min(before[name], most) if before[name] else most)
    if all(value is None for value in before.values()):
        set_now = [value for value in now.values() if value is not None]
        default = route is COMPLETION and provider in ("openai", "azure") and most >= 16
        assert set_now == ([] if default else [most])
    else:
        assert {name for name in names if now[name] is None} == {name for name in names if before[name] is None}


@given(
    st.sampled_from([CHAT, RESPONSES, MESSAGES]), st.dictionaries(st.sampled_from(NAMES["chat.completions"]), amounts)
)
def test_the_gateway_reads_the_lowered_limit(route: Route, stated: dict[str, int | None]) -> None:
    assert route.body is not None
    read = partial(msgspec.json.decode, type=route.body)
    body = json.dumps({"model": "m", "messages": [], "input": "x"} | stated).encode()
    before, after = read(body).output_limit, read(lowered(route, body, 100)).output_limit
    assert after == (min(before, 100) if before else 100)
