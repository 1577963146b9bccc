"""Every case of `cases.py` against a running gateway over raw sockets: whole, and cut in two at every byte."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, NamedTuple, TypeVar

import pytest
import uvloop

from tests.accept.cases import (
    BODY,
    CASES,
    CHUNKED,
    CHUNKS,
    LIMITS,
    SMUGGLED,
    Answer,
    Case,
    get,
    head,
    post,
)
from tests.accept.mirror import mirroring
from tests.gateway import running

SHORT = 1500  # cases above this size are not cut at every byte
PARALLEL = 64  # connections at once: while the others write their first part, the gateway reads ours
PATIENCE = 30.0  # an answer that does not come at all; nothing here measures time
PROBE = get(target="/probe")
T = TypeVar("T")
RESET = struct.pack("ii", 1, 0)  # closing leaves nothing behind: thousands of connections would use up the ports
PASSED_ON = {"host", "accept-encoding", "content-type", "content-length", "authorization", "x-api-key"}
PASSED_ON |= {"anthropic-version", "openai-beta"}  # what the cases send of the fields on the dialects' lists

INTEGRATIONS = """
[integration.one]
provider = "openai"
base_url = "http://127.0.0.1:{port}"
private = true
[integration.two]
provider = "anthropic"
base_url = "http://127.0.0.1:{port}"
private = true
"""


@pytest.fixture(scope="module")
def mirror() -> Iterator[int]:
    with mirroring() as port:
        yield port


@pytest.fixture(scope="module")
def port(mirror: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(tmp_path_factory.mktemp("gateway"), INTEGRATIONS.format(port=mirror)) as gateway:
        yield gateway.port


class Seen(NamedTuple):
    """One answer as it came."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def arrived(self) -> bytes | None:
        """What the provider got for a body."""
        return self.body.partition(b"\r\n\r\n")[2] if self.status == 200 else None

    @property
    def dialect(self) -> str:
        """Whose error shape this is; every key that the dialect's clients look for is there."""
        if self.status == 200:
            return "openai"
        document = json.loads(self.body)
        if "type" in document:
            assert set(document) == {"type", "error", "request_id"}
            assert document["type"] == "error"
            assert set(document["error"]) == {"type", "message", "code", "run"}
            assert document["request_id"] == self.fields["x-tidegate-run-id"]
            return "anthropic"
        assert set(document) == {"error"}
        assert set(document["error"]) == {"message", "type", "param", "code", "run"}
        return "openai"


class Wire:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *parts: bytes) -> None:
        """Each part as a packet of its own, with a turn of the loop between them."""
        for part in parts:
            self._writer.write(part)
            await asyncio.sleep(0)

    async def answer(self, *, empty: bool = False) -> Seen:
        """The next answer; `empty` where the request was HEAD."""
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        version, status = lines[0].split(" ")[:2]
        assert version == "HTTP/1.1"
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            assert name.lower() not in fields, f"{name} stands twice"
            fields[name.lower()] = value
        if int(status) < 200 or empty:
            return Seen(int(status), fields, b"")
        return Seen(int(status), fields, await self._reader.readexactly(int(fields["content-length"])))

    async def closed(self) -> bool:
        """Whether the gateway closes without another byte; where it does not, a probe is answered."""
        self._writer.write(PROBE)
        answer = await self._reader.read(65536)
        assert not answer or b"`/probe`" in answer, answer
        return not answer


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    plain = writer.get_extra_info("socket")
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    try:
        async with asyncio.timeout(PATIENCE):
            yield Wire(reader, writer)
    finally:
        writer.close()


def run(what: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(what)


async def converse(port: int, case: Case, cut: int) -> list[Seen]:
    """Sends a case in two parts; the answers, when they mean what the case states."""
    async with connected(port) as wire:
        await wire.send(*(part for part in (case.sent[:cut], case.sent[cut:]) if part))
        seen = [await wire.answer() for _ in case.answers]
        assert [Answer(one.status, one.arrived, one.dialect) for one in seen] == list(case.answers)
        if case.closes:
            assert await wire.closed()
        else:
            assert not await wire.closed()
        return seen


async def problem(port: int, case: Case, cut: int) -> str | None:
    """What is wrong with a case cut at a byte."""
    try:
        await converse(port, case, cut)
    except (AssertionError, asyncio.IncompleteReadError, TimeoutError, OSError) as error:
        return f"{case.note}, cut at {cut}: {case.sent[:cut][-40:]!r} + {case.sent[cut:][:40]!r}: {error!r}"
    return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.note)
def test_every_message_has_its_meaning(port: int, case: Case) -> None:
    seen = run(converse(port, case, 0))
    runs = {one.fields["x-tidegate-run-id"] for one in seen}
    assert len(runs) == len(seen)
    for one in seen:
        assert one.fields["x-tidegate-tracked"] == "true"
        assert (one.fields.get("connection") == "close") == (case.closes and one is seen[-1])
        assert ("allow" in one.fields) == (one.status == 405)
        if one.status == 200:
            check_upstream_head(one.body)


def check_upstream_head(request: bytes) -> None:
    """Our own framing, and no field that is not on a list."""
    first, *lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    names = [line.partition(": ")[0].lower() for line in lines]
    assert first.startswith(("GET /v1/", "POST /v1/"))
    assert first.endswith(" HTTP/1.1")
    assert len(names) == len(set(names))
    assert set(names) <= PASSED_ON


def test_every_cut_in_two_means_the_same(port: int) -> None:
    cuts = iter([(case, cut) for case in CASES if len(case.sent) < SHORT for cut in range(1, len(case.sent))])
    problems = []

    async def client() -> None:
        for case, cut in cuts:
            fault = await problem(port, case, cut)
            if fault is not None:
                problems.append(fault)

    async def clients() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(client())

    run(clients())
    assert not problems, f"{len(problems)}:\n" + "\n".join(problems[:20])


def test_http10_is_told_when_its_connection_stays(port: int) -> None:
    """Its clients know of no other sign (RFC 9112 C.2.2): without it they wait for a close that does not come."""

    async def ask() -> tuple[str | None, bool]:
        async with connected(port) as wire:
            await wire.send(post("Connection: keep-alive\r\n", version="1.0"))
            return (await wire.answer()).fields.get("connection"), await wire.closed()

    connection, closed = run(ask())
    assert (connection, closed) in (("keep-alive", False), ("close", True))


def test_an_answer_to_head_has_no_body(port: int) -> None:
    """RFC 9110 9.3.2: what stood there would be read as the next answer."""

    async def ask() -> list[int]:
        async with connected(port) as wire:
            await wire.send(get().replace(b"GET", b"HEAD"))
            first = await wire.answer(empty=True)
            await wire.send(post())
            return [first.status, (await wire.answer()).status]

    assert run(ask()) == [405, 200]


EXPECT = "Expect: 100-continue\r\n"
LENGTH = f"Content-Length: {len(BODY)}\r\n"


@pytest.mark.parametrize(
    ("note", "first", "body", "statuses"),
    [
        ("a length", head(EXPECT + LENGTH), [BODY], [100, 200]),
        ("chunks", head(EXPECT + CHUNKED), [CHUNKS], [100, 200]),
        ("spelt otherwise", head("expect: 100-Continue\r\n" + LENGTH), [BODY], [100, 200]),
        ("asked for once", head(EXPECT + CHUNKED), [CHUNKS[i : i + 1] for i in range(len(CHUNKS))], [100, 200]),
        ("in its turn", post() + head(EXPECT + LENGTH), [BODY], [200, 100, 200]),
        ("an empty body is there already", head(EXPECT + "Content-Length: 0\r\n"), [], [400]),
        ("the body came along", head(EXPECT + LENGTH) + BODY, [], [200]),
        ("HTTP/1.0 does not know it", head(EXPECT + LENGTH, version="1.0") + BODY, [], [200]),
        ("an unknown path", head(EXPECT + LENGTH, target="/x"), [], [404]),
        ("an unknown parameter", head(EXPECT + LENGTH, target="/v1/chat/completions?x=1"), [], [404]),
        ("a method that is refused", head(EXPECT + LENGTH, target="/v1/models"), [], [405]),
        ("a page in a browser", head(EXPECT + LENGTH + "Origin: null\r\n"), [], [403]),
        ("a compressed body", head(EXPECT + LENGTH + "Content-Encoding: gzip\r\n"), [], [415]),
        ("a form", head(EXPECT + LENGTH, media="Content-Type: text/plain\r\n"), [], [415]),
        ("too large", head(f"{EXPECT}Content-Length: {LIMITS.body + 1}\r\n"), [], [413]),
        ("two lengths", head(EXPECT + LENGTH + CHUNKED), [], [400]),
    ],
)
def test_a_body_is_asked_for_only_when_it_will_be_read(
    port: int, note: str, first: bytes, body: list[bytes], statuses: list[int]
) -> None:
    async def ask() -> tuple[list[int], bool]:
        seen: list[int] = []
        async with connected(port) as wire:
            await wire.send(first)
            while (not seen or seen[-1] != 100) and len(seen) < len(statuses):
                seen.append((await wire.answer()).status)
            for part in body:
                await wire.send(part)
                await asyncio.sleep(0.001)  # as packets of their own, most of the time
            seen += [(await wire.answer()).status for _ in statuses[len(seen) :]]
            return seen, await wire.closed()

    seen, closed = run(ask())
    assert seen == statuses
    refused_before_its_body = not body and seen[-1] >= 400 and b"Content-Length: 0" not in first
    assert closed == (refused_before_its_body or b"HTTP/1.0" in first)


def test_only_so_many_requests_may_wait(port: int) -> None:
    waiting = LIMITS.pipeline
    answers = (*[Answer(200, BODY)] * (1 + waiting), Answer(429))
    case = Case("one more than may wait", post() * (waiting + 2) + SMUGGLED, answers, True)
    run(converse(port, case, 0))
    run(converse(port, Case("as many", post() * (waiting + 1), answers[:-1]), 0))


NARROW = """
[accept]
line = 64
headers = 200
header_count = 6
body = 40
depth = 3
pipeline = 2
"""


def deep(levels: int) -> bytes:
    return b'{"model":"m","messages":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "case",
    [
        Case("the largest body", post(body=BODY + b" " * 13), (Answer(200, BODY + b" " * 13),)),
        Case("a larger body", post(body=BODY + b" " * 14), (Answer(413),), True),
        Case("chunks that are larger", head(CHUNKED) + CHUNKS[:-5] + b"e\r\n" + b" " * 14, (Answer(413),), True),
        Case(
            "larger, Anthropic's", post(body=b" " * 41, target="/v1/messages"), (Answer(413, None, "anthropic"),), True
        ),
        Case("the longest line", get(target="/v1/models?" + "&" * 40), (Answer(200, b""),)),
        Case("a longer line", get(target="/" + "a" * 64), (Answer(414),), True),
        Case("six fields", get("X: 1\r\n" * 5), (Answer(200, b""),)),
        Case("seven fields", get("X: 1\r\n" * 6), (Answer(431),), True),
        Case("seven fields of a call", post("X: 1\r\n" * 4), (Answer(431),), True),
        Case("large fields", get("X: " + "a" * 150 + "\r\n"), (Answer(200, b""),)),
        Case("larger fields", get("X: " + "a" * 200 + "\r\n"), (Answer(431),), True),
        Case("the deepest body", post(body=deep(3)), (Answer(200, deep(3)),)),
        Case("a deeper body", post(body=deep(4)), (Answer(400),)),
        Case("three at once", post() * 3, (Answer(200, BODY),) * 3),
        Case("four at once", post() * 4, (*[Answer(200, BODY)] * 3, Answer(429)), True),
    ],
    ids=lambda case: case.note,
)
def test_limits_are_settings(narrow: int, case: Case) -> None:
    run(converse(narrow, case, 0))


@pytest.fixture(scope="module")
def narrow(mirror: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(tmp_path_factory.mktemp("narrow"), NARROW + INTEGRATIONS.format(port=mirror)) as gateway:
        yield gateway.port
