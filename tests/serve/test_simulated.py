"""The simulated provider over raw sockets: HTTP, text and prices, and every fault."""

import asyncio
import gc
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from tests.providers import simulated
from tidegate.errors import StartError
from tidegate.serve.simulated import Provider
from tidegate.serve.simulated.connection import Connection
from tidegate.serve.simulated.ledger import BILLS, Ledger
from tidegate.serve.simulated.text import Sampler

MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "how high is the tide"}]
PROMPT = 7 + 2 * 3  # seven words, two messages
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
ANTHROPIC, COUNT, EMBEDDINGS, MODELS = "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings", "/v1/models"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "simulated", "messages": MESSAGES},
    COMPLETIONS: {"model": "simulated", "prompt": "how high is the tide"},
    RESPONSES: {"model": "simulated", "input": "how high is the tide"},
    ANTHROPIC: {"model": "simulated", "messages": MESSAGES[1:], "max_tokens": 9},
}
QUIET = 0.25  # seconds of silence that count as nothing more to come


@pytest.fixture(scope="module", params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    with simulated(request.param) as provider:
        yield provider


def http_request(path: str, body: bytes | dict[str, Any], *headers: str, version: str = "1.1") -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/{version}", "host: provider", f"content-length: {len(raw)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def talk(provider: Provider, raw: bytes) -> tuple[list[bytes], str]:
    """Send, and return the reads and how they ended: `closed`, `reset` or `quiet`."""
    reads: list[bytes] = []
    with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as client:
        client.sendall(raw)
        client.settimeout(QUIET)
        while True:
            try:
                read = client.recv(1 << 20)
            except TimeoutError:
                return reads, "quiet"
            except ConnectionResetError:
                return reads, "reset"
            if not read:
                return reads, "closed"
            reads.append(read)


def ask(provider: Provider, path: str, body: Any, method: str = "POST", **headers: str) -> tuple[int, Any, Any]:
    """One call through the standard library's client: status, headers, document or text of the stream."""
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=5)
    try:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, raw, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        text = answer.read().decode()
        stream = (answer.getheader("content-type") or "").startswith("text/event-stream")
        return answer.status, answer.headers, text if stream else json.loads(text)
    finally:
        connection.close()


def events(text: str) -> list[Any]:
    """The documents of a stream, `[DONE]` as it is."""
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def said(path: str, document: Any) -> str:
    """The text of a plain answer."""
    pick: dict[str, Callable[[], str]] = {
        CHAT: lambda: document["choices"][0]["message"]["content"],
        COMPLETIONS: lambda: document["choices"][0]["text"],
        RESPONSES: lambda: document["output"][0]["content"][0]["text"],
        ANTHROPIC: lambda: document["content"][0]["text"],
    }
    return pick[path]()


def streamed(path: str, stream: str) -> str:
    """The text of a stream."""
    pick: dict[str, Callable[[Any], str]] = {
        CHAT: lambda e: e["choices"][0]["delta"].get("content") or "" if e != "[DONE]" and e["choices"] else "",
        COMPLETIONS: lambda e: e["choices"][0]["text"] if e != "[DONE]" and e["choices"] else "",
        RESPONSES: lambda e: e["delta"] if e["type"] == "response.output_text.delta" else "",
        ANTHROPIC: lambda e: e["delta"]["text"] if e["type"] == "content_block_delta" else "",
    }
    return "".join(map(pick[path], events(stream)))


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it never happened")


class TestHttp:
    def test_pipelined_requests_are_answered_in_order(self, provider: Provider) -> None:
        """More requests than may wait, longer than one read, with answers longer than one burst."""
        body = BODIES[CHAT] | {"stream_options": {"include_usage": True}, "padding": "x" * 10_000}
        lengths = [n * 5 if n % 2 else 100 for n in range(40)]
        asked = [
            http_request(CHAT, body | {"max_tokens": length, "stream": n % 2 == 0}) for n, length in enumerate(lengths)
        ]
        last = http_request(CHAT, body | {"max_tokens": 1000, "n": 2}, "connection: close")
        reads, end = talk(provider, b"".join([*asked, last]))
        answers = b"".join(reads).decode().split("HTTP/1.1 200 OK\r\n")[1:]
        assert end == "closed"
        assert ["text/event-stream" in answer for answer in answers] == [*[True, False] * 20, False]
        told = [int(re.findall(r'"completion_tokens":(\d+)', answer)[-1]) for answer in answers]
        assert told == [*lengths, 2000]

    def test_a_chunked_body_in_single_bytes_is_read(self, provider: Provider) -> None:
        raw = json.dumps(BODIES[CHAT]).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n".encode()
        sent = head + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, raw[:10], len(raw) - 10, raw[10:])
        with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in sent:
                client.send(bytes([byte]))
            assert client.recv(1 << 20).startswith(b"HTTP/1.1 200 OK\r\n")

    def test_a_client_that_expects_100_continue_is_told_to_go_on(self, provider: Provider) -> None:
        head, _, body = http_request(CHAT, BODIES[CHAT], "expect: 100-continue").partition(b"\r\n\r\n")
        with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as client:
            client.sendall(head + b"\r\n\r\n")
            assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body)
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")

    def test_http_1_0_gets_a_stream_without_chunks(self, provider: Provider) -> None:
        reads, end = talk(provider, http_request(CHAT, BODIES[CHAT] | {"stream": True}, version="1.0"))
        answer = b"".join(reads)
        assert end == "closed"
        assert b"transfer-encoding" not in answer
        assert answer.endswith(b"\n\ndata: [DONE]\n\n")

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            pytest.param(b"NONSENSE\r\n\r\n", b"400", id="not HTTP"),
            pytest.param(
                b"POST / HTTP/1.1\r\ncontent-length: 70000000\r\n\r\n" + b"x" * 67_200_000, b"413", id="too large"
            ),
        ],
    )
    def test_a_broken_request_is_answered_and_the_connection_closed(
        self, provider: Provider, raw: bytes, status: bytes
    ) -> None:
        reads, end = talk(provider, raw)
        assert b"".join(reads).startswith(b"HTTP/1.1 " + status)
        assert end in ("closed", "reset")  # what was sent and not read turns the FIN into an RST

    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "note"),
        [
            ("POST", "/v1/nothing", b"{}", 404, "unknown route"),
            ("GET", "/", b"", 404, "root"),
            ("GET", CHAT, b"", 405, "wrong method"),
            ("POST", CHAT, b"", 400, "no body"),
            ("POST", CHAT, b"{", 400, "not JSON"),
            ("POST", CHAT, b"[" * 100_000, 400, "deeper than the decoder goes"),
            ("POST", CHAT, b'{"model": "m", "messages": []}', 400, "no message"),
            ("POST", CHAT, b'{"model": "m", "messages": [{"role": "user"}], "max_tokens": 0}', 400, "below the least"),
            ("POST", CHAT, b'{"model": "m", "messages": [{"role": "user", "content": "\xff"}]}', 400, "not UTF-8"),
            ("POST", COMPLETIONS, b'{"model": "m", "prompt": []}', 400, "empty prompt"),
            ("POST", EMBEDDINGS, b'{"model": "m", "input": {}}', 400, "neither text nor numbers"),
            (
                "POST",
                ANTHROPIC,
                b'{"model": "m", "messages": [{"role": "user", "content": "a"}]}',
                400,
                "no max_tokens",
            ),
            ("POST", "/v1/messages/nothing", b"{}", 404, "unknown route of Anthropic's"),
        ],
    )
    def test_refusals_have_the_shape_of_the_dialect(
        self, provider: Provider, method: str, path: str, body: bytes, status: int, note: str
    ) -> None:
        got, headers, document = ask(provider, path, body, method)
        assert got == status, note
        assert headers["allow"] == ("POST" if status == 405 else None)
        if path.startswith(ANTHROPIC):
            assert document["type"] == "error"
            assert document["error"].keys() == {"type", "message"}
            assert document["request_id"] == headers["request-id"]
        else:
            assert document["error"].keys() == {"message", "type", "param", "code"}
            assert headers["x-request-id"].startswith("req_")

    def test_unknown_routes_follow_the_anthropic_version_header(self, provider: Provider) -> None:
        assert ask(provider, "/v1/nothing", b"", "GET", anthropic_version="2023-06-01")[2]["type"] == "error"

    def test_models_come_in_the_shape_of_whoever_asks(self, provider: Provider) -> None:
        listed = ask(provider, MODELS, b"", "GET")[2]
        assert listed["object"] == "list"
        assert {"simulated", "gpt-4o-mini"} <= {model["id"] for model in listed["data"]}
        listed = ask(provider, MODELS, b"", "GET", anthropic_version="2023-06-01")[2]
        assert listed["data"][-1]["id"] == listed["last_id"]
        assert listed["has_more"] is False


class TestServer:
    def test_it_serves_on_a_socket_that_is_bound_already(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound, simulated(sock=bound) as provider:
            assert provider.port == bound.getsockname()[1]
            assert ask(provider, MODELS, b"", "GET")[0] == 200

    def test_a_taken_port_is_told(self, provider: Provider) -> None:
        with pytest.raises(StartError, match=f"cannot listen on `127.0.0.1:{provider.port}`"):
            asyncio.run(Provider.start(port=provider.port))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_program_says_where_it_listens_and_ends_on_a_signal(self, number: signal.Signals) -> None:
        code = "from tidegate.serve.simulated import run; run('127.0.0.1', 0, 7, 0.0)"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
            try:
                assert program.stdout is not None
                line = program.stdout.readline()
                told = re.fullmatch(r"simulated provider listens on http://127\.0\.0\.1:(\d+) .*seed 7.*\n", line)
                assert told is not None, line
                with socket.create_connection(("127.0.0.1", int(told[1])), timeout=5):
                    program.send_signal(number)
                    assert program.wait(10) == 0
                assert program.stdout.read() == ""
            finally:
                program.kill()


class TestText:
    @pytest.mark.parametrize("path", BODIES)
    def test_the_same_request_is_answered_the_same_and_streamed_the_same(self, provider: Provider, path: str) -> None:
        plain = ask(provider, path, BODIES[path])[2]
        assert ask(provider, path, BODIES[path])[2] == plain
        stream = BODIES[path] | {"stream": True}
        assert ask(provider, path, stream)[2] == ask(provider, path, stream)[2]
        assert streamed(path, ask(provider, path, stream)[2]) == said(path, plain)

    def test_the_seed_changes_words_and_ids(self, provider: Provider) -> None:
        with simulated(seed=1) as other:
            ours, theirs = (ask(one, CHAT, BODIES[CHAT])[2] for one in (provider, other))
        assert said(CHAT, ours) != said(CHAT, theirs)
        assert ours["id"] != theirs["id"]

    def test_long_texts_hold_characters_of_every_width(self) -> None:
        sampler = Sampler(0, b"")
        text = sampler.write(0, 1000).text
        assert len(text.split()) == 1000
        assert {len(character.encode()) for character in text} == {1, 2, 3, 4}

    def test_natural_lengths_stay_in_their_bounds_and_differ(self) -> None:
        sampler = Sampler(0, b"")
        lengths = {sampler.write(choice, None).tokens for choice in range(500)}
        assert min(lengths) >= 12
        assert max(lengths) <= 60
        assert len(lengths) > 30

    @pytest.mark.parametrize(
        ("path", "fields", "words", "finish"),
        [
            (CHAT, {"max_tokens": 5}, 5, "length"),
            (CHAT, {"max_completion_tokens": 4, "max_tokens": 9}, 4, "length"),
            (CHAT, {"model": "simulated-words-7", "max_tokens": 5}, 7, "stop"),
            (COMPLETIONS, {"max_tokens": 1}, 1, "length"),
            (RESPONSES, {"max_output_tokens": 5}, 5, "incomplete"),
            (RESPONSES, {"model": "simulated-words-100"}, 100, "completed"),
            (ANTHROPIC, {"max_tokens": 200}, 200, "max_tokens"),
            (ANTHROPIC, {"model": "simulated-words-3"}, 3, "end_turn"),
        ],
    )
    def test_length_and_finish(
        self, provider: Provider, path: str, fields: dict[str, Any], words: int, finish: str
    ) -> None:
        document = ask(provider, path, BODIES[path] | fields)[2]
        choice = document["choices"][0] if "choices" in document else document
        assert len(said(path, document).split()) == words
        assert finish in (choice.get("finish_reason"), choice.get("stop_reason"), choice.get("status"))
        usage = document["usage"]
        assert words == usage.get("completion_tokens", usage.get("output_tokens"))

    @pytest.mark.parametrize(
        ("path", "body", "tokens", "note"),
        [
            (CHAT, {"messages": MESSAGES}, PROMPT, "two messages"),
            (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a b"}] * 2}]}, 7, "parts"),
            (CHAT, {"messages": [{"role": "user", "content": None}]}, 3, "nothing said"),
            (COMPLETIONS, {"prompt": ["a b", "c"]}, 3, "several prompts"),
            (COMPLETIONS, {"prompt": [17, 4, 9]}, 3, "token numbers"),
            (COMPLETIONS, {"prompt": [[17, 4], [9]]}, 3, "several prompts of token numbers"),
            (EMBEDDINGS, {"input": ["a b c", "d"]}, 4, "embeddings"),
            (RESPONSES, {"input": "a b", "instructions": "c"}, 3 + 6, "instructions are a message"),
            (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]}, 4, "items"),
            (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c", "output": "a b"}]}, 5, "a result"),
            (ANTHROPIC, {"messages": MESSAGES[1:], "max_tokens": 1, "system": "a b"}, 5 + 2 + 6, "a system prompt"),
            (COUNT, {"messages": MESSAGES[1:], "system": [{"type": "text", "text": "a b"}]}, 5 + 2 + 6, "counted"),
        ],
    )
    def test_prompts_cost_their_words_and_a_fixed_number_a_message(
        self, provider: Provider, path: str, body: dict[str, Any], tokens: int, note: str
    ) -> None:
        document = ask(provider, path, body | {"model": "m"})[2]
        usage = document.get("usage", document)
        assert usage.get("prompt_tokens", usage.get("input_tokens")) == tokens, note

    @pytest.mark.parametrize(
        ("options", "values"),
        [(None, "absent"), ({"include_usage": False}, "absent"), ({"include_usage": True}, "null and one last")],
    )
    def test_a_chat_stream_has_usage_only_if_asked(self, provider: Provider, options: Any, values: str) -> None:
        body = BODIES[CHAT] | {"stream": True, "stream_options": options, "max_tokens": 6}
        *chunks, done = events(ask(provider, CHAT, body)[2])
        assert done == "[DONE]"
        if values == "absent":
            assert not any("usage" in chunk for chunk in chunks)
            return
        last = chunks.pop()
        assert [chunk["usage"] for chunk in chunks] == [None] * (6 + 2)
        assert last["choices"] == []
        assert last["usage"]["prompt_tokens"] == PROMPT
        assert last["usage"]["completion_tokens"] == 6

    def test_responses_events_come_in_order_with_numbers(self, provider: Provider) -> None:
        stream = ask(provider, RESPONSES, BODIES[RESPONSES] | {"stream": True, "max_output_tokens": 2})[2]
        names = [line.removeprefix("event: ") for line in stream.split("\n") if line.startswith("event: ")]
        assert names == [event["type"] for event in events(stream)]
        assert [name.removeprefix("response.") for name in names] == [
            *("created", "in_progress", "output_item.added", "content_part.added"),
            *("output_text.delta", "output_text.delta"),
            *("output_text.done", "content_part.done", "output_item.done", "incomplete"),
        ]
        assert [event["sequence_number"] for event in events(stream)] == list(range(10))
        assert "[DONE]" not in stream

    def test_anthropic_events_come_in_order_with_cumulative_usage(self, provider: Provider) -> None:
        stream = ask(provider, ANTHROPIC, BODIES[ANTHROPIC] | {"stream": True, "max_tokens": 2})[2]
        names = [line.removeprefix("event: ") for line in stream.split("\n") if line.startswith("event: ")]
        assert names == [event["type"] for event in events(stream)]
        assert names == [
            *("message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta"),
            *("content_block_stop", "message_delta", "message_stop"),
        ]
        first, last = events(stream)[0]["message"]["usage"], events(stream)[-2]["usage"]
        assert (first["input_tokens"], first["output_tokens"]) == (8, 0)
        assert (last["input_tokens"], last["output_tokens"]) == (8, 2)


def struck(path: str, fault: str, provider: Provider, stream: bool = True, **fields: Any) -> tuple[bytes, str]:
    body = BODIES[path] | {"model": f"simulated-{fault}", "stream": stream} | fields
    reads, end = talk(provider, http_request(path, body, "connection: close"))
    return b"".join(reads), end


class TestFaults:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
    @pytest.mark.parametrize("path", BODIES)
    @pytest.mark.parametrize("stream", [False, True])
    def test_status(self, provider: Provider, path: str, status: int, stream: bool) -> None:
        body = BODIES[path] | {"model": f"simulated-status-{status}", "stream": stream}
        got, headers, document = ask(provider, path, body)
        assert got == status
        assert ("type" in document) == (path == ANTHROPIC)
        assert (headers["retry-after"], headers["retry-after-ms"]) == (("1", "1000") if status == 429 else (None, None))
        if status == 529 and path == ANTHROPIC:
            assert document["error"]["type"] == "overloaded_error"

    @pytest.mark.parametrize("path", BODIES)
    @pytest.mark.parametrize(("fault", "end"), [("stall", "quiet"), ("reset", "reset"), ("close", "closed")])
    @pytest.mark.parametrize("position", [0, 1, 4])
    def test_a_stream_that_stops_sends_exactly_the_events_before(
        self, provider: Provider, path: str, fault: str, end: str, position: int
    ) -> None:
        answer, ended = struck(path, f"{fault}-{position}", provider)
        assert ended == end
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert len(events(answer.decode())) == position
        assert not answer.endswith(b"0\r\n\r\n")

    @pytest.mark.parametrize(("fault", "end"), [("stall", "quiet"), ("reset", "reset"), ("close", "closed")])
    def test_a_plain_answer_stops_before_its_head_or_inside_its_body(
        self, provider: Provider, fault: str, end: str
    ) -> None:
        assert struck(CHAT, f"{fault}-0", provider, stream=False) == (b"", end)
        answer, ended = struck(CHAT, f"{fault}-1", provider, stream=False)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert ended == end
        assert len(body) == int(head.rpartition(b"content-length: ")[2]) // 2

    def test_a_position_behind_the_end_never_strikes(self, provider: Provider) -> None:
        answer, _ = struck(CHAT, "reset-1000", provider)
        assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    @pytest.mark.parametrize(
        ("fault", "amiss", "end"),
        [("truncate", 10, "closed"), ("long-length", 10, "quiet"), ("short-length", -10, "closed")],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_content_length_is_wrong(self, provider: Provider, fault: str, amiss: int, end: str, stream: bool) -> None:
        answer, ended = struck(CHAT, fault, provider, stream)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        assert ended == end
        assert int(length.split()[1]) == len(body) + amiss

    @pytest.mark.parametrize("stream", [False, True])
    def test_the_second_chunk_is_broken(self, provider: Provider, stream: bool) -> None:
        answer, end = struck(CHAT, "bad-chunk", provider, stream)
        body = answer.partition(b"\r\n\r\n")[2]
        size = int(body.split(b"\r\n")[0], 16)
        assert body[len(f"{size:x}") + 2 + size :].startswith(b"\r\nnot-a-size\r\n")
        assert end == "closed"

    def test_malformed_events_stand_between_good_ones(self, provider: Provider) -> None:
        stream = ask(provider, CHAT, BODIES[CHAT] | {"model": "simulated-malformed-sse", "stream": True})[2]
        for rubbish in (": a comment", "{not json", 'data{"no"', "retry: soon", "\r\n\r\n", "\r\r"):
            assert rubbish in stream
        lines = [line for line in stream.splitlines() if line.startswith("data: {") and line != "data: {not json"]
        good = "".join(json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in lines)
        assert good == said(CHAT, ask(provider, CHAT, BODIES[CHAT])[2])

    @pytest.mark.parametrize("path", BODIES)
    @pytest.mark.parametrize("stream", [False, True])
    def test_writes_split_characters_and_the_ends_of_events(self, provider: Provider, path: str, stream: bool) -> None:
        fields = {"stream": stream, "max_tokens": 40, "max_output_tokens": 40}
        body = BODIES[path] | fields | {"model": "simulated-split-utf8"}
        reads, _ = talk(provider, http_request(path, body, "connection: close"))
        pieces = [read.partition(b"\r\n\r\n")[2] if n == 0 else read for n, read in enumerate(reads)]
        if stream:
            pieces = b"".join(pieces).split(b"\r\n")[1::2]
            assert any(piece.endswith(b"\n") and not piece.endswith(b"\n\n") for piece in pieces)
            assert not any(piece.endswith(b"\n\n") and len(piece) > 2 for piece in pieces[:-2])
        assert sum(_splits_a_character(piece) for piece in pieces) > 1
        whole = b"".join(pieces).decode()
        clean = said(path, ask(provider, path, BODIES[path] | fields | {"stream": False})[2])
        assert clean == (streamed(path, whole) if stream else said(path, json.loads(whole)))

    def test_one_event_is_huge(self, provider: Provider) -> None:
        stream = ask(provider, CHAT, BODIES[CHAT] | {"model": "simulated-huge-line-100000", "stream": True})[2]
        assert [len(event) + 2 for event in stream.split("\n\n") if len(event) > 1000] == [100_000]
        answer, _ = struck(CHAT, "huge-line", provider)
        assert 10 << 20 < len(answer) < 11 << 20

    @pytest.mark.parametrize("size", [5_000, 3_000_000])
    def test_a_plain_answer_is_padded(self, provider: Provider, size: int) -> None:
        answer, _ = struck(CHAT, f"bytes-{size}", provider, stream=False)
        assert len(answer.partition(b"\r\n\r\n")[2]) == size

    @pytest.mark.parametrize("stream", [False, True])
    def test_the_head_is_dripped(self, provider: Provider, stream: bool) -> None:
        reads, _ = talk(
            provider, http_request(CHAT, BODIES[CHAT] | {"model": "simulated-slow-head-300", "stream": stream})
        )
        head = b"".join(reads).partition(b"\r\n\r\n")[0]
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(reads) > 20

    def test_no_head_is_never_answered(self, provider: Provider) -> None:
        assert struck(CHAT, "no-head", provider) == (b"", "quiet")

    @pytest.mark.parametrize("path", BODIES)
    def test_an_error_in_mid_stream_takes_the_form_of_the_dialect(self, provider: Provider, path: str) -> None:
        status, _, stream = ask(provider, path, BODIES[path] | {"model": "simulated-error-3", "stream": True})
        *before, last = events(stream)
        assert status == 200
        assert len(before) == 3
        match path:
            case "/v1/responses":
                assert "\n\nevent: error\n" in stream
                assert (last["type"], last["sequence_number"], last["code"]) == ("error", 3, "server_error")
            case "/v1/messages":
                assert "\n\nevent: error\n" in stream
                assert last["error"]["type"] == "overloaded_error"
            case _:
                assert last["error"]["type"] == "server_error"

    def test_a_plain_answer_with_an_error_is_a_500(self, provider: Provider) -> None:
        assert ask(provider, CHAT, BODIES[CHAT], x_simulate="error-3")[0] == 500

    def test_faults_are_joined_and_the_header_wins_over_the_model(self, provider: Provider) -> None:
        body = BODIES[CHAT] | {"model": "simulated-words-30+stall-3", "stream": True, "max_tokens": 2}
        reads, end = talk(provider, http_request(CHAT, body, "x-simulate: stall-8+pace-1"))
        assert end == "quiet"
        assert len(events(b"".join(reads).decode())) == 8

    @pytest.mark.parametrize(
        ("fault", "note"),
        [
            ("rain", "not a fault"),
            ("stall", "needs a number"),
            ("truncate-3", "takes no number"),
            ("status-418", "not one of the statuses"),
            ("stall-1.5", "events are whole"),
            ("bytes-99999999999", "above the bound"),
            ("", "empty"),
            ("stall-3+", "nothing behind the plus"),
            ("pace-99999999", "longer than an hour"),
        ],
    )
    @pytest.mark.parametrize("by", ["model", "header"])
    def test_a_fault_that_is_none_is_refused(self, provider: Provider, fault: str, note: str, by: str) -> None:
        body = BODIES[CHAT] | ({"model": f"simulated-{fault}"} if by == "model" else {})
        status, _, document = ask(provider, CHAT, body, **({"x_simulate": fault} if by == "header" else {}))
        assert status == 400, note
        assert "fault" in document["error"]["message"]

    def test_an_unknown_fault_is_told_the_known_ones(self, provider: Provider) -> None:
        message = ask(provider, CHAT, BODIES[CHAT], x_simulate="rain")[2]["error"]["message"]
        assert "`rain`" in message
        assert "stall-N" in message
        assert "split-utf8" in message

    @pytest.mark.parametrize(
        ("model", "headers", "paced"),
        [
            ("simulated", {}, True),
            ("simulated-fast", {}, False),
            ("simulated-pace-0", {}, False),
            ("simulated-pace-400", {"x_simulate_pace": "0"}, False),
            ("simulated", {"x_simulate_pace": "0.0"}, False),
        ],
    )
    def test_pace_is_set_by_the_provider_the_model_or_the_header(
        self, model: str, headers: dict[str, str], paced: bool
    ) -> None:
        with simulated(pace_ms=60_000) as slow:
            body = json.dumps(BODIES[CHAT] | {"model": model, "stream": True}).encode()
            lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            reads, _ = talk(slow, http_request(CHAT, body, *lines))
        assert b"".join(reads).endswith(b"0\r\n\r\n") is not paced

    def test_paced_events_arrive_one_by_one(self, provider: Provider) -> None:
        body = BODIES[CHAT] | {"model": "simulated-pace-10+words-10", "stream": True}
        reads, _ = talk(provider, http_request(CHAT, body))
        assert len(reads) > 8  # thirteen events; a slow machine may join some


def _splits_a_character(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return True
    return False


class TestLedger:
    @pytest.mark.parametrize("path", BODIES)
    @pytest.mark.parametrize("stream", [False, True])
    def test_the_bill_is_the_usage(self, path: str, stream: bool) -> None:
        body = BODIES[path] | {"stream": stream, "stream_options": {"include_usage": True}}
        with simulated() as provider:
            _, headers, answer = ask(provider, path, body)
            bill = provider.ledger.billed(headers["request-id"] or headers["x-request-id"])
        if stream:
            found = [
                event.get("usage") or event.get("response", {}).get("usage")
                for event in events(answer)[-3:]
                if event != "[DONE]"
            ]
            usage = next(one for one in found if one)
        else:
            usage = answer["usage"]
        assert bill is not None
        assert bill.prompt == usage.get("prompt_tokens", usage.get("input_tokens"))
        assert bill.output == usage.get("completion_tokens", usage.get("output_tokens"))
        assert bill.output > 0

    @pytest.mark.parametrize("path", [CHAT, RESPONSES, ANTHROPIC])
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_tool_call_is_billed_its_name_and_its_pieces(self, path: str, stream: bool) -> None:
        schema = {"type": "object", "properties": {"city": {"enum": ["Ålesund"]}}, "required": ["city"]}
        tool = {
            CHAT: {"type": "function", "function": {"name": "tide", "parameters": schema}},
            RESPONSES: {"type": "function", "name": "tide", "parameters": schema},
            ANTHROPIC: {"name": "tide", "input_schema": schema},
        }[path]
        body = BODIES[path] | {"tools": [tool], "stream": stream}
        with simulated() as provider:
            headers = ask(provider, path, body)[1]
            bill = provider.ledger.billed(headers["request-id"] or headers["x-request-id"])
        assert bill is not None
        assert bill.output == 1 + 3  # `{"city":"Ålesund"}` has 18 characters

    def test_a_client_that_leaves_pays_for_what_was_sent(self) -> None:
        with simulated() as provider:
            body = BODIES[CHAT] | {"model": "simulated-stall-5", "stream": True}
            answer, _ = talk(provider, http_request(CHAT, body))
            until(lambda: provider.ledger.streams_abandoned == 1)
            ledger = provider.ledger
            assert len(events(b"".join(answer).decode())) == 5
            assert (ledger.streams_started, ledger.streams_ended, ledger.streams_broken) == (1, 0, 0)
            assert (ledger.prompt_tokens, ledger.output_tokens) == (PROMPT, 4)  # the first event is the role's

    def test_a_client_that_leaves_stops_a_paced_stream(self) -> None:
        with simulated() as provider:
            body = BODIES[CHAT] | {"model": "simulated-pace-5+words-100000", "stream": True}
            with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as client:
                client.sendall(http_request(CHAT, body))
                client.recv(1)
            until(lambda: provider.ledger.streams_abandoned == 1)
            sent = provider.ledger.output_tokens
            until(lambda: gc.collect() >= 0 and not [one for one in gc.get_objects() if type(one) is Connection])
            assert provider.ledger.output_tokens == sent

    @pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
    def test_a_client_that_does_not_read_pauses_its_stream(self, loop: Any) -> None:
        with simulated(loop) as provider, socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(5)
            client.connect(("127.0.0.1", provider.port))
            words = 60_000
            body = BODIES[CHAT] | {"model": f"simulated-words-{words}", "stream": True}
            client.sendall(http_request(CHAT, body, "connection: close"))
            settled = -1
            while settled != (settled := provider.ledger.output_tokens) or not settled:
                time.sleep(0.2)
            assert settled < words
            answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
            assert answer.count(b"data: ") == words + 3
            assert provider.ledger.output_tokens == words

    @pytest.mark.parametrize("fault", ["reset-3", "close-3", "truncate", "bad-chunk"])
    def test_a_stream_that_a_fault_ended_is_broken(self, fault: str) -> None:
        with simulated() as provider:
            struck(CHAT, fault, provider)
            ledger = provider.ledger
            assert (ledger.streams_started, ledger.streams_broken, ledger.streams_abandoned) == (1, 1, 0)

    def test_refusals_cost_nothing(self) -> None:
        with simulated() as provider:
            for body in (BODIES[CHAT] | {"model": "simulated-status-500"}, b"{"):
                ask(provider, CHAT, body)
            ledger = provider.ledger
            assert (ledger.calls, ledger.refused, ledger.prompt_tokens, ledger.bills) == (2, 2, 0, {})

    def test_repeated_calls_share_a_bill_and_the_oldest_bills_go(self) -> None:
        ledger = Ledger()
        for number in [*range(BILLS), 0, BILLS, 0]:
            ledger.charge(ledger.open(f"{number:024}", 1), 2)
        assert len(ledger.bills) == BILLS
        assert ledger.billed(f"req_{1:024}") is None
        bill = ledger.billed(f"chatcmpl-{0:024}")
        assert bill is not None
        assert (bill.calls, bill.prompt, bill.output) == (3, 3, 6)
        assert ledger.output_tokens == 2 * (BILLS + 3)
