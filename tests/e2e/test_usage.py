"""Streams are asked for usage that their callers do not see."""

import contextlib
import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.place import Place, wire
from tests.gateway import Gateway, post, running
from tests.providers import RawProvider, integration
from tidegate.wire.openai import ask_usage
from tidegate.wire.splice import splice

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "how high is the tide"}], "max_tokens": 20},
    COMPLETIONS: {"prompt": "how high is the tide", "max_tokens": 20},
}


def body(path: str, **more: object) -> bytes:
    return json.dumps(BODIES[path] | {"model": "simulated", "stream": True} | more).encode()


def silent(stream: bytes) -> bytes:
    """The stream without what was asked for."""
    events = [event.replace(b',"usage":null', b"") for event in stream.split(b"\n\n")]
    return b"\n\n".join(event for event in events if b'"usage"' not in event)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {}}], ids=str)
@pytest.mark.parametrize("n", [1, 3])
def test_who_did_not_ask_gets_the_stream_of_a_provider_that_was_not_asked(
    place: Place, path: str, options: dict[str, Any], n: int
) -> None:
    asked = body(path, n=n, **options)
    passed = wire(place.gateway.port, path, asked)
    direct = wire(place.provider.port, path, splice(asked, [ask_usage(asked)]))  # as the provider was asked
    assert b'"usage":{' in direct.body
    assert passed.body == silent(direct.body)
    assert b"usage" not in wire(place.provider.port, path, asked).body
    assert b"usage" not in passed.body
    assert passed.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("path", BODIES)
def test_who_asked_gets_it(place: Place, path: str) -> None:
    asked = body(path, stream_options={"include_usage": True})
    passed = wire(place.gateway.port, path, asked)
    assert passed.body == wire(place.provider.port, path, asked).body
    assert b'"usage":{' in passed.body
    assert b'"usage":null' in passed.body


class Ways(NamedTuple):
    gateway: Gateway
    asks: RawProvider
    lets_be: RawProvider


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    with contextlib.ExitStack() as stack:
        asks, lets_be = (stack.enter_context(RawProvider()) for _ in range(2))
        settings = integration(asks.port, name="asks", models=["m"], aliases={"other": "m2"})
        settings += integration(lets_be.port, name="lets-be", include_usage=False)
        yield Ways(stack.enter_context(running(tmp_path_factory.mktemp("ways"), settings)), asks, lets_be)


SAID = b'{"model":"m","messages":[],"stream":true%b}'


@pytest.mark.parametrize(
    ("sent", "arrives", "note"),
    [
        (SAID % b"", b'{"stream_options":{"include_usage":true},"model":"m","messages":[],"stream":true}', "not said"),
        (SAID % b',"stream_options":{"include_usage":false}', None, "refused"),
        (SAID % b',"stream_options":{"include_usage":true}', None, "asked for"),
        (b'{"model":"m","messages":[]}', None, "no stream"),
        (b'{"model":"m","messages":[],"stream":false}', None, "no stream, and said so"),
        (
            SAID.replace(b'"m"', b'"other"') % b"",
            b'{"stream_options":{"include_usage":true},"model":"m2","messages":[],"stream":true}',
            "together with another edit",
        ),
    ],
)
def test_what_the_provider_is_asked(ways: Ways, sent: bytes, arrives: bytes | None, note: str) -> None:
    ways.asks.requests.clear()
    assert ways.gateway.ask(post(sent, CHAT)).status == 200
    (received,) = ways.asks.requests
    assert received.body == (sent if arrives is None else arrives), note


def test_an_integration_can_be_let_be(ways: Ways) -> None:
    sent = SAID.replace(b'"m"', b'"whatever"') % b""
    ways.lets_be.requests.clear()
    assert ways.gateway.ask(post(sent, CHAT)).status == 200
    (received,) = ways.lets_be.requests
    assert received.body == sent


def test_other_streams_are_not_touched(place: Place) -> None:
    for path in (RESPONSES, MESSAGES):
        asked = json.dumps(
            {"model": "simulated", "stream": True, "max_tokens": 9, "input": "hi", "messages": []}
            | ({"messages": [{"role": "user", "content": "hi"}]} if path == MESSAGES else {})
        ).encode()
        assert wire(place.gateway.port, path, asked).body == wire(place.provider.port, path, asked).body


def test_a_vocabulary_of_the_operator_s(tmp_path: Path) -> None:
    """Its models are served; a file that is none keeps the gateway from starting, and says so."""
    tokens = (b64encode(bytes([value])) for value in range(256))
    ranks = b"".join(b"%b %d\n" % (token, rank) for rank, token in enumerate(tokens))
    (tmp_path / "own.tiktoken").write_bytes(ranks)
    settings = '[vocabulary.own]\npath = "own.tiktoken"\nshape = "llama3"\nmodels = ["simulated*"]\n'
    with running(tmp_path, settings) as gateway:
        told = gateway.ask(post(json.dumps(BODIES[CHAT] | {"model": "simulated"}).encode(), CHAT))
        assert told.status == 200


def test_long_prompts_are_counted_beside_the_loop(place: Place) -> None:
    """Short calls are answered between them; who leaves meanwhile is not sent on."""
    long = json.dumps({"model": "simulated", "messages": [{"role": "user", "content": "tide " * 400_000}]}).encode()
    before = place.ledger.calls
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(place.gateway.ask, [post(each, CHAT) for each in [long, body(CHAT)] * 3]))
        assert [answer.status for answer in answers] == [200] * 6
    assert place.ledger.calls == before + 6
    for _ in range(3):
        with place.gateway.connect() as client:
            client.sendall(post(long, CHAT))
    assert place.gateway.ask(post(body(CHAT), CHAT)).status == 200
