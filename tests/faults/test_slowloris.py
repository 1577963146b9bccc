"""Clients that take their time: what they hold is taken from them by deadlines, and the others never notice.

Deadlines are met up to a second late (see clock.py), so nothing here asserts how long one took, only which one came:
each test sets the deadline it means to one or two seconds and all others far beyond its patience.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.load import Line, allow_files, connected
from tests.faults.source import Source
from tests.faults.test_hang import ask, wait_for
from tests.faults.test_slow_clients import KIB, gateway_before, p99, resident
from tests.gateway import Gateway, chat, post, read_all, read_answer, running

FAR = "idle_timeout = 600\nheader_timeout = 600\nbody_timeout = 600\nstall_timeout = 600\n"
BODY = chat()
HEAD = post(BODY)[: -len(BODY)]
CHUNKED = HEAD.split(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"


def accept(**changed: float) -> str:
    """All deadlines far away but for these."""
    table = dict(line.split(" = ") for line in FAR.splitlines()) | {key: str(value) for key, value in changed.items()}
    return "[accept]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())


def dripped(gateway: Gateway, whole: bytes, rest: bytes) -> bytes:
    """Sends `whole` at once and `rest` again and again, a byte every 50 ms; what comes back until the end."""
    answer = b""
    drops = itertools.cycle(rest)
    deadline = time.monotonic() + 15
    with gateway.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(whole)
        connection.settimeout(0.05)
        while time.monotonic() < deadline:
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                if rest:
                    connection.send(bytes([next(drops)]))
                continue
            if not piece:
                return answer
            answer += piece
    return answer


HEADS = [
    ("a request line", b"", b"POST /v1/chat/" + b"x" * 4000),
    ("header fields", b"POST / HTTP/1.1\r\nHost: x\r\n", b"X-A: 1\r\n"),
    ("nothing behind half a head", HEAD[:-10], b""),
    ("empty lines before a request", b"", b"\r\n"),
    ("a second head on a kept connection", post(BODY), b"POST /v1/chat/" + b"x" * 4000),
    ("half a head behind a whole request", post(BODY) + HEAD[:-10], b"x"),
]
BODIES = [
    ("a body with a length", post(b"{" + b" " * 5000)[:-5000], b" "),
    ("a body behind a head that came in two", HEAD[:-2], b"\r\n" + b" " * 70),
    ("nothing behind a head", HEAD, b""),
    ("nothing behind a head that promises much", post(b" " * 1_000_000)[:500], b""),
    ("a chunked body", CHUNKED + b"ffff\r\n", b" "),
    ("chunk after chunk", CHUNKED, b"1\r\n \r\n"),
    ("an endless chunk size", CHUNKED, b"0"),
    ("trailers", CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-A: 1\r\n"),
    ("a body that was asked for", HEAD.replace(b"\r\n", b"\r\nExpect: 100-continue\r\n", 1), b""),
]


@pytest.mark.parametrize(
    ("deadline", "cases"),
    [({"header_timeout": 1}, HEADS), ({"body_timeout": 1, "body_rate": 1024}, BODIES)],
    ids=["head", "body"],
)
def test_a_dripped_request_is_a_408(
    tmp_path: Path, deadline: dict[str, float], cases: list[tuple[str, bytes, bytes]]
) -> None:
    with running(tmp_path, accept(**deadline)) as gateway, ThreadPoolExecutor(len(cases)) as all_at_once:
        answers = list(all_at_once.map(lambda case: dripped(gateway, *case[1:]), cases))
    for (note, *_), answer in zip(cases, answers, strict=True):
        last = answer[answer.rfind(b"HTTP/1.1") :]
        assert last.startswith(b"HTTP/1.1 408 "), f"{note}: {last!r}"
        assert b"\r\nConnection: close\r\n" in last, note
        assert json.loads(last.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout", note


def test_a_slow_upload_that_is_fast_enough_is_served(tmp_path: Path) -> None:
    """The body's deadline moves with what has arrived: one second for every `body_rate` bytes."""
    with running(tmp_path, accept(body_timeout=1, body_rate=2000)) as gateway:
        request = post(chat(text="x" * 40_000))
        for start in (request[:300], request[:1], b""):  # whole head, split head, nothing
            with gateway.connect() as connection:
                connection.sendall(start)
                rest = request[len(start) :]
                for at in range(0, len(rest), 1000):
                    time.sleep(0.08)
                    connection.sendall(rest[at : at + 1000])
                assert read_answer(connection)[0] == 200


@pytest.mark.parametrize("first", [b"", post(BODY)], ids=["new", "kept"])
def test_an_idle_connection_closes_without_a_word(tmp_path: Path, first: bytes) -> None:
    with running(tmp_path, accept(idle_timeout=1)) as gateway, gateway.connect(20) as connection:
        if first:
            connection.sendall(first)
            assert read_answer(connection)[0] == 200
        assert read_all(connection) == b""


def test_a_call_that_waits_for_its_provider_is_not_idle(tmp_path: Path) -> None:
    settings = accept(idle_timeout=1, header_timeout=1, body_timeout=1, stall_timeout=1)
    with running(tmp_path, settings) as gateway, gateway.connect(20) as connection:
        connection.sendall(post(chat("simulated-pace-4000")))
        assert read_answer(connection)[0] == 200
        connection.sendall(post(chat("simulated-pace-400+words-10", stream=True)))
        status, _, body = read_answer(connection)
        assert status == 200
        assert body.endswith(b"data: [DONE]\n\n")


def test_bodies_that_are_only_promised_take_no_room_from_others(tmp_path: Path) -> None:
    """`accept.buffered` counts bytes in memory, so that a few heads cannot use it up."""
    size = 1_000_000
    settings = accept() + f"body = {size}\nbuffered = {4 * size}\n"
    with running(tmp_path, settings) as gateway, connected(gateway, 20) as promises:
        for connection in promises:
            connection.sendall(post(b" " * size)[:200])
        ask(gateway)
        with gateway.connect() as connection:
            request = post(chat(text="x" * 300_000))
            connection.sendall(request[:1000])
            time.sleep(0.2)
            connection.sendall(request[1000:])
            assert read_answer(connection)[0] == 200


def test_the_last_piece_of_a_body_counts_as_the_others_do(tmp_path: Path) -> None:
    size = 1_000_000
    settings = accept() + f"body = {2 * size}\nbuffered = {size}\n"
    request = post(chat(text="x" * (size + 20_000)))
    with running(tmp_path, settings) as gateway:
        with gateway.connect() as connection:
            connection.sendall(request[:-40_000])
            time.sleep(0.2)
            connection.sendall(request[-40_000:])
            assert read_answer(connection)[0] == 503
        ask(gateway)


def test_bodies_count_until_their_calls_have_ended(tmp_path: Path) -> None:
    size = 1_000_000
    settings = accept() + f"body = {2 * size}\nbuffered = {5 * size // 2}\n"
    large = post(chat("simulated-pace-60000", text="x" * size))
    with running(tmp_path, settings) as gateway:
        with gateway.connect(20) as one, gateway.connect(20) as other:
            for connection in (one, other):
                connection.sendall(large)
            wait_for("there is no room", lambda: gateway.ask(post(chat(text="x" * size))).status == 503)
            ask(gateway)  # what comes in one read takes none of that room
        wait_for("there is room", lambda: gateway.ask(post(chat(text="x" * size))).status == 200)


def test_no_more_is_read_behind_a_call_than_there_is_room_for(tmp_path: Path) -> None:
    """The body of a next request, on a connection whose call is under way, waits with the client."""
    size = 16_000_000
    settings = accept() + f"body = {size}\nbuffered = {size // 16}\n"
    with running(tmp_path, settings) as gateway, gateway.connect(2) as connection:
        connection.sendall(post(chat("simulated-pace-10000")))
        time.sleep(0.2)
        with pytest.raises(TimeoutError):
            connection.sendall(post(b" " * size))
        connection.settimeout(20)
        answers = read_all(connection)
        assert [answers.count(b"HTTP/1.1 200"), answers.count(b"HTTP/1.1 503"), answers.count(b"HTTP/1.1")] == [1, 1, 2]
        ask(gateway)


def test_others_are_served_while_many_drip(tmp_path: Path) -> None:
    settings = accept(header_timeout=2, body_timeout=2)
    with running(tmp_path, settings) as gateway, connected(gateway, 300) as slow:
        for number, connection in enumerate(slow):
            connection.sendall((HEAD[:-5], HEAD, CHUNKED + b"9\r\n")[number % 3])
        statuses = {ask(gateway) for _ in range(50)}
        assert statuses == {200}
        answers = [read_all(connection)[:12] for connection in slow]
        assert set(answers) == {b"HTTP/1.1 408"}


# clients that do not read


def test_a_client_that_reads_nothing_is_let_go_and_its_upstream_too(tmp_path: Path) -> None:
    async def let_go() -> None:
        source = Source()
        async with gateway_before(source, tmp_path, accept(stall_timeout=1)) as gateway:
            line = await Line.open(gateway.port, window=4 * KIB)
            try:
                await line.send(post(chat("large", stream=True)))
                async with asyncio.timeout(20):
                    while not source.left:
                        await asyncio.sleep(0.05)
            finally:
                line.close()

    asyncio.run(let_go())


class Reader:
    """A client with a small window that reads a plain answer of `size` bytes at its own pace."""

    def __init__(self, gateway: Gateway, size: int, fields: str = "") -> None:
        self.connection = socket.socket()
        self.connection.settimeout(20)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
        self.connection.connect(("127.0.0.1", gateway.port))
        self.connection.sendall(post(chat(f"simulated-bytes-{size}"), fields=fields))
        self.read = 0

    def take(self, most: int) -> bool:
        """Reads about so much; False at the end."""
        end = self.read + most
        while self.read < end:
            data = self.connection.recv(64 * KIB)
            if not data:
                return False
            self.read += len(data)
        return True


HELD = "[forward]\nhold = 67108864\n"  # the whole answer stands in the gateway, its connection to the provider is free
LARGE = 30_000_000


def test_a_client_that_reads_slowly_but_steadily_is_not_let_go(tmp_path: Path) -> None:
    """`stall_timeout` is about a client that takes no byte."""
    with running(tmp_path, accept(stall_timeout=2) + HELD) as gateway:
        reader = Reader(gateway, LARGE)
        with reader.connection:
            for _ in range(14):
                reader.take(LARGE // 20)
                time.sleep(0.4)
            while reader.read < LARGE:
                assert reader.take(1), f"cut off after {reader.read} bytes"


@pytest.mark.parametrize("fields", ["", "Connection: close\r\n"], ids=["kept", "close"])
def test_a_large_answer_is_whole_also_for_a_client_that_pauses(tmp_path: Path, fields: str) -> None:
    """The time given to close after a last answer begins when that answer is out."""
    with running(tmp_path, accept() + HELD) as gateway:
        reader = Reader(gateway, LARGE, fields)
        with reader.connection:
            reader.take(KIB)
            time.sleep(5)
            while reader.read < LARGE:
                assert reader.take(1), f"cut off after {reader.read} bytes"


@pytest.mark.parametrize("size", [1000, LARGE], ids=["small", "large"])
def test_a_client_that_does_not_close_after_its_last_answer_is_let_go(tmp_path: Path, size: int) -> None:
    with running(tmp_path, accept() + HELD) as gateway:
        (worker,) = gateway.worker_pids()
        before = connections(worker, gateway.port)
        reader = Reader(gateway, size, "Connection: close\r\n")
        with reader.connection:
            reader.take(1)
            time.sleep(1)
            while reader.take(64 * KIB):
                pass
            assert reader.read >= size
            wait_for("the worker has closed it", lambda: connections(worker, gateway.port) <= before, 10)


def connections(pid: int, port: int) -> int:
    """How many established or closing connections a port has, the process' own listeners apart."""
    found = 0
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, state, inode = fields[1], fields[3], fields[9]
        found += local.endswith(f":{port:04X}") and state in ("01", "04", "05", "08") and inode != "0"
    return found


# connections that do nothing


async def hold_idle(gateway: Gateway, count: int) -> tuple[float, float, float]:
    """RSS of a kept connection, and the p99 of others without and with them."""
    workers = gateway.worker_pids()
    await p99(gateway)
    alone = await p99(gateway)
    before = sum(map(resident, workers))
    lines = []
    try:
        for _ in range(count):
            line = await Line.open(gateway.port)
            lines.append(line)
            assert (await line.call(post(chat()))).status == 200
        grown = (sum(map(resident, workers)) - before) / count
        beside = await p99(gateway)
        assert not any(line.ended() for line in lines)
    finally:
        for line in lines:
            line.close()
    assert gateway.worker_pids() == workers
    return grown, alone, beside


@pytest.mark.long
def test_ten_thousand_idle_connections(tmp_path: Path) -> None:
    allow_files(12_000)
    with running(tmp_path, workers=2) as gateway:
        grown, alone, beside = asyncio.run(hold_idle(gateway, 10_000))
    print(f"10,000 idle: {grown / KIB:.2f} KiB each; p99 {alone * 1e3:.2f} ms alone, {beside * 1e3:.2f} ms beside them")
    assert grown <= 4 * KIB
