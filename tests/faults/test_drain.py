"""SIGTERM: what is under way finishes or is ended honestly, nothing new begins, and the exit code is 0.

One race cannot be closed from the server's side and is kept out of these loads: a client that opens a connection in
the microseconds between a worker's last look at its socket and the socket's end is reset (it may send again: nothing
of its request was read), and so is one that uses a connection again, after a second of silence, just as it closes.
"""

import asyncio
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.load import Caller, Tally, calling, connected
from tests.faults.test_hang import wait_for
from tests.gateway import Gateway, chat, post, read_all, read_answer, running

DONE = b"data: [DONE]\n\n\r\n0\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"
MESSAGE = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 500}


@contextlib.contextmanager
def ending(folder: Path, drain: float, workers: int = 1) -> Iterator[Gateway]:
    """A gateway that the body tells to end, and that must end well."""
    gateway = Gateway(folder, f"drain = {drain}\n#rest\n", workers=workers)
    try:
        yield gateway.start()
        assert gateway.process.wait(30) == 0, gateway.log
    finally:
        gateway.process.kill()
        gateway.process.wait()


def begin_drain(gateway: Gateway, number: signal.Signals = signal.SIGTERM) -> None:
    """The signal, and until it has had its effect."""
    gateway.process.send_signal(number)
    wait_for("it drains", lambda: "draining" in gateway.log)


def begin(connection: socket.socket, request: bytes) -> bytes:
    """Sends a call; the first bytes of its answer."""
    connection.sendall(request)
    return connection.recv(65536)


def events(body: bytes) -> list[tuple[str, dict[str, object]]]:
    """Name and document of every event of a chunked answer, head included."""
    raw = http.client.HTTPResponse(_Whole(body))  # type: ignore[arg-type]
    raw.begin()
    found = []
    for block in raw.read().decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields and fields["data"] != "[DONE]":
            found.append((fields.get("event", ""), json.loads(fields["data"])))
    return found


class _Whole:
    """An answer that was read already, as http.client wants to read it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._answer)


def test_streams_that_end_within_the_drain_are_whole(tmp_path: Path) -> None:
    request = post(chat("simulated-pace-50+words-40", stream=True))
    with ending(tmp_path, 20, workers=2) as gateway, connected(gateway, 6) as streams:
        begun = [begin(connection, request) for connection in streams]
        begin_drain(gateway)
        for connection, first in zip(streams, begun, strict=True):
            answer = first + read_all(connection)
            assert answer.endswith(DONE)
            assert b'"error"' not in answer


def test_a_call_that_waits_for_its_answer_gets_it(tmp_path: Path) -> None:
    with ending(tmp_path, 20) as gateway, gateway.connect(20) as connection:
        connection.sendall(post(chat("simulated-pace-1500")))
        time.sleep(0.2)
        begin_drain(gateway)
        status, fields, _ = read_answer(connection)
        assert (status, fields["connection"]) == (200, "close")
        assert read_all(connection) == b""


LATE = [
    ("/v1/chat/completions", {}, "", lambda event: event["error"]["code"], "draining"),
    ("/v1/completions", {"prompt": "Hello"}, "", lambda event: event["error"]["code"], "draining"),
    ("/v1/responses", {"input": "Hello"}, "error", lambda event: event["code"], "draining"),
    ("/v1/messages", {"max_tokens": 500}, "error", lambda event: event["error"]["type"], "overloaded_error"),
]


def test_streams_that_do_not_end_get_their_dialect_s_error_event_and_a_proper_end(tmp_path: Path) -> None:
    with ending(tmp_path, 1) as gateway, connected(gateway, len(LATE)) as streams:
        begun = [
            begin(connection, post(chat("simulated-stall-3", stream=True, **fields), path))
            for connection, (path, fields, *_) in zip(streams, LATE, strict=True)
        ]
        begin_drain(gateway)
        for connection, first, (path, _, name, code, expected) in zip(streams, begun, LATE, strict=True):
            answer = first + read_all(connection)
            assert b"[DONE]" not in answer, path
            assert answer.endswith(LAST_CHUNK), path
            kind, document = events(answer)[-1]
            assert (kind, code(document)) == (name, expected), path
            assert not any(word in answer for word in (b"message_stop", b"response.completed")), path


def test_a_plain_call_that_does_not_end_is_a_clean_503(tmp_path: Path) -> None:
    with ending(tmp_path, 1) as gateway, gateway.connect(20) as connection:
        connection.sendall(post(chat("simulated-no-head")))
        time.sleep(0.2)
        begin_drain(gateway)
        status, fields, body = read_answer(connection)
        assert (status, json.loads(body)["error"]["code"]) == (503, "draining")
        assert "x-tidegate-run-id" in fields


def test_a_client_that_does_not_read_cannot_hold_up_the_end(tmp_path: Path) -> None:
    with ending(tmp_path, 1) as gateway, gateway.connect(20) as connection:
        begin(connection, post(chat("simulated-words-2000000", stream=True)))
        time.sleep(1.0)
        begin_drain(gateway)
        gateway.process.wait(30)
    assert "killed" not in gateway.log


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/chat/completions HT", post(chat())[:-3]], ids=["none", "head", "body"]
)
def test_a_connection_without_a_whole_request_closes(tmp_path: Path, sent: bytes) -> None:
    with ending(tmp_path, 2) as gateway, gateway.connect(20) as connection:
        connection.sendall(post(chat()))
        assert read_answer(connection)[0] == 200
        connection.sendall(sent)
        time.sleep(0.1)
        begin_drain(gateway)
        assert b" 200 " not in read_all(connection)


def test_a_request_on_its_way_when_the_drain_begins_is_answered(tmp_path: Path) -> None:
    """A kept connection stays open for a moment: its client cannot know yet."""
    with ending(tmp_path, 5) as gateway, gateway.connect(20) as connection:
        connection.sendall(post(chat()))
        assert read_answer(connection)[0] == 200
        begin_drain(gateway)
        connection.sendall(post(chat()))
        assert read_answer(connection)[0] == 200
        assert read_all(connection) == b""


def test_who_has_connected_before_the_drain_is_served(tmp_path: Path) -> None:
    """Also connections that no worker has accepted yet."""
    with ending(tmp_path, 10) as gateway:
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        with connected(gateway, 20) as waiting:
            for connection in waiting:
                connection.sendall(post(chat()))
            begin_drain(gateway)
            os.kill(worker, signal.SIGCONT)
            assert [read_answer(connection)[0] for connection in waiting] == [200] * 20


def test_new_connections_are_refused_once_it_drains(tmp_path: Path) -> None:
    with ending(tmp_path, 10, workers=2) as gateway, gateway.connect(20) as connection:
        begin(connection, post(chat("simulated-stall-3", stream=True)))
        begin_drain(gateway)
        wait_for("new connections are refused", lambda: refuses(gateway))
        assert gateway.ask_admin("/readyz")[0] == 503
        connection.close()


def refuses(gateway: Gateway) -> bool:
    """Whether nobody listens."""
    try:
        gateway.connect(5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(tmp_path: Path, first: signal.Signals) -> None:
    with ending(tmp_path, 600, workers=2) as gateway, gateway.connect(20) as connection:
        workers = gateway.worker_pids()
        begun = begin(connection, post(chat("simulated-stall-3", stream=True)))
        begin_drain(gateway, first)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(20)
        answer = begun + read_all(connection)
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        assert b"[DONE]" not in answer
        assert not answer.endswith(LAST_CHUNK)


async def drain_under_load(gateway: Gateway, callers: list[Caller]) -> None:
    async with calling(callers):
        await asyncio.sleep(1.0)
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(gateway.process.wait, 30)


@pytest.mark.parametrize("turn", range(3))
def test_a_drain_under_load_fails_no_request(tmp_path: Path, turn: int) -> None:
    """Kept connections, back to back and with pauses shorter than the grace; refused connections are as they should."""
    tally = Tally()
    with ending(tmp_path, 10, workers=2) as gateway:
        callers = [
            *(Caller(gateway.port, post(chat()), tally) for _ in range(6)),
            *(Caller(gateway.port, post(chat()), tally, pause=0.1) for _ in range(6)),
            *(Caller(gateway.port, post(chat("simulated-pace-5+words-40", stream=True)), tally) for _ in range(4)),
        ]
        asyncio.run(drain_under_load(gateway, callers))
    print(f"drain {turn}: {tally}")
    assert tally.clean, str(tally)
    assert tally.refused


def test_what_was_counted_last_is_recorded_without_a_complaint(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        for body in (b"{}", b"[]", b"{"):
            assert gateway.ask(post(body)).status == 400
