"""Answers that no provider should give, and requests that some understand as no limit: every call has its end."""

import json
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.ledgers import Said
from tests.gateway import chat, post, running
from tests.providers import RawProvider, always, integration, reply

POLICY = """package tidegate.admission

limit contains {"name": "day", "measure": "tokens", "max": 9000, "per": "day"}

limit contains {"name": "one", "measure": "concurrent", "max": 1}

max_output := 100 if input.request.model == "lowered"
"""
STREAM = """package tidegate.stream

stop contains {"code": "enough", "message": "m"} if input.output.tokens > 20
"""
ANSWERS = """package tidegate.response

deny contains {"code": "c", "message": "m"} if contains(input.output.text, "secret")
"""
USAGE = {"prompt_tokens": 8, "completion_tokens": 500, "total_tokens": 508}


def settings(folder: Path, port: int) -> str:
    (folder / "policy").mkdir()
    (folder / "policy" / "a.rego").write_text(POLICY)
    (folder / "policy" / "b.rego").write_text(STREAM)
    return f'[policy]\npath = "{folder}/policy"\nevery = 1\n\n{integration(port)}'


def nested(answer: dict[str, object]) -> bytes:
    """The same with something in it that a program reads by calling itself."""
    return json.dumps(answer).encode()[:-1] + b',"x":' + b"[" * 1100 + b"]" * 1100 + b"}"


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/v1/chat/completions", {}, {"choices": [{"message": {"content": "hi"}}], "usage": USAGE}),
        ("/v1/messages", {"max_tokens": 9}, {"content": [], "usage": {"input_tokens": 8, "output_tokens": 500}}),
    ],
)
def test_an_answer_nested_without_need_ends_its_call(
    tmp_path: Path, path: str, body: dict[str, object], answer: dict[str, object]
) -> None:
    kind = "anthropic" if path.endswith("messages") else "openai"
    with (
        RawProvider(always(reply(nested(answer)))) as provider,
        running(tmp_path / "gateway", settings(tmp_path, provider.port).replace('"openai"', f'"{kind}"')) as gateway,
    ):
        for _ in range(2):  # of which only one may be under way
            told = gateway.ask(post(chat(**body), path))  # type: ignore[arg-type]
            assert told.status == 200
    outcome = Said(tmp_path / "gateway" / ".tidegate").of[told.fields["x-tidegate-run-id"]][1]
    assert outcome.provider is None
    assert outcome.counted.output > 1000, "what cannot be read is counted as the text that it is"


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_stream_under_another_type_is_metered_and_stopped(tmp_path: Path, kind: str) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":" tide tide tide tide"}}]}\n\n'
    streamed = reply(event * 1000 + b"data: [DONE]\n\n", fields=f"Content-Type: {kind}\r\n")
    with (
        RawProvider(always(streamed)) as provider,
        running(tmp_path / "gateway", settings(tmp_path, provider.port)) as gateway,
    ):
        told = gateway.ask(post(chat(stream=True)))
    assert told.status == 200
    assert told.body.count(b"tide") < 100
    (outcome,) = (
        record for record in Said(tmp_path / "gateway" / ".tidegate").of[told.fields["x-tidegate-run-id"]][1:]
    )
    assert outcome.stopped == "policy"
    assert 20 < outcome.counted.output < 30


PIECES = [
    {"content": [{"type": "text", "text": " tide tide tide tide"}]},
    {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": " tide tide tide tide"}]}]},
    {"tool_calls": [{"index": 0, "type": "custom", "custom": {"name": "patch", "input": " tide tide tide tide"}}]},
]


@pytest.mark.parametrize("delta", PIECES, ids=["text", "thought", "custom tool"])
def test_text_in_pieces_is_text(tmp_path: Path, delta: dict[str, object]) -> None:
    event = b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
    streamed = reply(event * 1000 + b"data: [DONE]\n\n", fields="Content-Type: text/event-stream\r\n")
    with (
        RawProvider(always(streamed.replace(b"Content-Type: application/json\r\n", b""))) as provider,
        running(tmp_path / "gateway", settings(tmp_path, provider.port)) as gateway,
    ):
        told = gateway.ask(post(chat(stream=True)))
    assert told.body.count(b"tide") < 100
    outcome = Said(tmp_path / "gateway" / ".tidegate").of[told.fields["x-tidegate-run-id"]][1]
    assert outcome.stopped == "policy"
    assert 20 < outcome.counted.output < 40


def test_what_comes_after_the_end_is_judged_too(tmp_path: Path) -> None:
    def event(text: str) -> bytes:
        return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode()

    def answer(connection: socket.socket, request: object) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for piece in (event("fine"), b"data: [DONE]\n\n", event(" and fine"), event(" but secret")):
            connection.sendall(piece)
            time.sleep(0.2)
        raise StopIteration

    with RawProvider(answer) as provider:
        text = settings(tmp_path, provider.port)
        (tmp_path / "policy" / "c.rego").write_text(ANSWERS)
        with running(tmp_path / "gateway", text) as gateway:
            told = gateway.ask(post(chat(stream=True)))
    assert b"and fine" in told.body
    assert b"secret" not in told.body
    assert b"response_denied" in told.body


def test_a_whole_answer_to_who_asked_for_a_stream_stays_one(tmp_path: Path) -> None:
    answer = json.dumps({"choices": [{"message": {"content": "hi"}}], "usage": USAGE}).encode()
    with (
        RawProvider(always(reply(b"\r\n" + answer))) as provider,
        running(tmp_path / "gateway", settings(tmp_path, provider.port)) as gateway,
    ):
        told = gateway.ask(post(chat(stream=True)))
    assert (told.status, json.loads(told.body)) == (200, json.loads(answer))


@pytest.mark.parametrize("most", [{"max_tokens": 0}, {"max_tokens": 0, "max_completion_tokens": 5}])
def test_no_tokens_at_all_is_not_taken_for_a_limit(tmp_path: Path, most: dict[str, int]) -> None:
    """To some servers it means that there is none."""
    answer = json.dumps({"choices": [{"message": {"content": "hi"}}], "usage": USAGE}).encode()
    with (
        RawProvider(always(reply(answer))) as provider,
        running(tmp_path / "gateway", settings(tmp_path, provider.port)) as gateway,
    ):
        runs = [
            gateway.ask(post(chat(model, **most))).fields["x-tidegate-run-id"]  # type: ignore[arg-type]
            for model in ("plain", "lowered")
        ]
        sent = [json.loads(each.body) for each in provider.requests]
    said = Said(tmp_path / "gateway" / ".tidegate")
    held = [{draw.measure: draw.held for draw in said.of[run][0].draws}["tokens"] for run in runs]
    assert held[0] > 1000
    assert 100 < held[1] < 200
    assert sent[0]["max_tokens"] == 0
    assert sent[1]["max_tokens"] == 100


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"0" * 20 + b"2\r\n\r\n{}",
    ],
)
def test_a_length_that_cannot_be_is_an_answer_that_cannot_be_used(tmp_path: Path, answer: bytes) -> None:
    with (
        RawProvider(always(answer)) as provider,
        running(tmp_path / "gateway", settings(tmp_path, provider.port)) as gateway,
    ):
        told = gateway.ask(post(chat()))
        assert (told.status, told.code) == (502, "upstream_malformed")


def test_a_list_of_models_that_comes_as_events_is_passed_on(tmp_path: Path) -> None:
    events = reply(b"data: {}\n\n", fields="Content-Type: text/event-stream\r\n")
    with (
        RawProvider(always(events)) as provider,
        running(tmp_path / "gateway", settings(tmp_path, provider.port)) as gateway,
    ):
        told = gateway.ask(b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert (told.status, told.body) == (200, b"data: {}\n\n")


def test_a_name_that_cannot_be_is_not_reached(tmp_path: Path) -> None:
    text = settings(tmp_path, 9).replace("http://127.0.0.1:9", "http://a..example:9")
    assert "a..example" in text
    with running(tmp_path / "gateway", text) as gateway:
        for _ in range(2):
            told = gateway.ask(post(chat()))
            assert (told.status, told.code) == (502, "upstream_unreachable")


def test_a_number_too_large_for_a_limit_s_key_is_a_policy_that_has_no_answer(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    rule = (
        'limit contains {"name": "a", "measure": "requests", "max": 9, "per": "1m", "key": [input.request.metadata.n]}'
    )
    (tmp_path / "policy" / "a.rego").write_text(f"package tidegate.admission\n\n{rule}\n")
    with running(tmp_path / "gateway", f'[policy]\npath = "{tmp_path}/policy"\n') as gateway:
        for number, status in ((2**63 - 1, 200), (2**64, 403), (-(2**70), 403)):
            assert gateway.ask(post(chat(metadata={"n": number}))).status == status
