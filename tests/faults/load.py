"""A client for fault tests: raw sockets on asyncio, and an account of what became of every request.

What counts: a request is *under way* from its first byte written to its answer's last byte read. A connection that
ends then has *lost* it. A connection that ends while nothing is under way is *stale*, which HTTP allows at any time;
so is one that ends before its first request was sent. Before every use the kernel is asked whether the connection has
ended, so the two are never confused, except where the other side closes in the microseconds between the question and
the write.
"""

import asyncio
import contextlib
import re
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from tests.gateway import Gateway

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
RUN = re.compile(rb"\r\nx-tidegate-run-id: *(\w+)\r\n", re.IGNORECASE)
PATIENCE = 30.0  # seconds until an answer that does not come fails the test


class Lost(Exception):
    """The connection ended before the answer was whole."""


class Answer(NamedTuple):
    """What came back; `body` is still framed in chunks where it came so."""

    status: int
    head: bytes
    body: bytes

    @property
    def last(self) -> bool:
        """The server closes the connection after it."""
        return b"\r\nconnection: close\r\n" in self.head.lower()

    @property
    def worker(self) -> bytes:
        """What tells workers apart in their run ids."""
        found = RUN.search(self.head)
        return found[1][-8:] if found else b""


class Line:
    """One client connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.worker = b""  # who serves it; unknown before its first answer
        self._rest = b""

    @classmethod
    async def open(cls, port: int, *, window: int = 0) -> "Line":
        """Connects; `window` bounds what the kernel takes in for a slow reader."""
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def ended(self) -> bool:
        """The other side has closed it."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def send(self, data: bytes) -> None:
        """Writes all of it."""
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    async def read(self, most: int = 65536) -> bytes:
        """What is there; nothing at the end."""
        return await asyncio.get_running_loop().sock_recv(self.connection, most)

    async def call(self, request: bytes) -> Answer:
        """One request and its answer."""
        try:
            await self.send(request)
            head = await self._until(b"\r\n\r\n")
            length = LENGTH.search(head)
            if length:
                body = await self._exactly(int(length[1]))
            elif b"\r\ntransfer-encoding: chunked\r\n" in head.lower():
                body = await self._chunks()
            else:
                body = b""
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise Lost(type(error).__name__) from None
        answer = Answer(int(head[9:12]), head, body)
        self.worker = answer.worker
        return answer

    def close(self) -> None:
        """Hangs up."""
        self.connection.close()

    async def _chunks(self) -> bytes:
        pieces = []
        while True:
            line = await self._until(b"\r\n")
            size = int(line, 16)
            piece = await self._exactly(size + 2)
            pieces += line, piece
            if not size:
                return b"".join(pieces)

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            await self._more()
        found, _, self._rest = self._rest.partition(mark)
        return found + mark

    async def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            await self._more()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    async def _more(self) -> None:
        data = await self.read()
        if not data:
            raise asyncio.IncompleteReadError(self._rest, None)
        self._rest += data


@dataclass
class Tally:
    """What became of the requests of many callers."""

    answered: int = 0
    wrong: list[str] = field(default_factory=list)  # whole answers that should have been others, and none in time
    lost: list[Line] = field(default_factory=list)
    stale: int = 0
    refused: int = 0  # connections
    under_way: set[Line] = field(default_factory=set)

    @property
    def clean(self) -> bool:
        """Every request was answered, and well."""
        return bool(self.answered) and not (self.wrong or self.lost)

    def __str__(self) -> str:
        return (
            f"{self.answered} answered, {len(self.wrong)} wrong {self.wrong[:3]}, {len(self.lost)} lost, "
            f"{self.stale} stale, {self.refused} refused"
        )


@dataclass
class Caller:
    """Calls again and again: over one connection as long as it lasts, or over a new one each time."""

    port: int
    request: bytes
    tally: Tally
    fresh: bool = False
    pause: float = 0.0  # seconds between calls
    ending: bytes = b""  # what a good answer's body ends with

    async def run(self, over: asyncio.Event) -> None:
        """Until it is over."""
        line = None
        try:
            while not over.is_set():
                line = await self._turn(line)
        finally:
            if line is not None:
                line.close()

    async def _turn(self, line: Line | None) -> Line | None:
        """One call, over `line` or a new connection; the one for the next call."""
        if line is None:
            try:
                line = await Line.open(self.port)
            except OSError:
                self.tally.refused += 1
                await asyncio.sleep(0.01)
                return None
        if line.ended():
            self.tally.stale += 1
            line.close()
            return None
        try:
            usable = await self._call(line) and not self.fresh
        except BaseException:
            line.close()
            raise
        if not usable:
            line.close()
        await asyncio.sleep(self.pause)
        return line if usable else None

    async def _call(self, line: Line) -> bool:
        """Whether the connection can be used again."""
        tally = self.tally
        tally.under_way.add(line)
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await line.call(self.request)
        except Lost:
            tally.lost.append(line)
            return False
        except TimeoutError:
            tally.wrong.append("no answer in time")
            return False
        finally:
            tally.under_way.discard(line)
        if answer.status == 200 and answer.body.endswith(self.ending):
            tally.answered += 1
        else:
            tally.wrong.append(f"{answer.status} {answer.body[-200:]!r}")
        return not answer.last


def allow_files(count: int) -> None:
    """Raises this process' limit of open files, which what it starts inherits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"the limit of open files is {hard}, and {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


@contextlib.contextmanager
def connected(gateway: Gateway, count: int) -> Iterator[list[socket.socket]]:
    """So many raw connections."""
    with contextlib.ExitStack() as open_ones:
        yield [open_ones.enter_context(gateway.connect(20)) for _ in range(count)]


@contextlib.asynccontextmanager
async def calling(callers: list[Caller]) -> AsyncIterator[None]:
    """They call while the body runs, and finish what is under way."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for caller in callers:
            tasks.create_task(caller.run(over))
        yield
        over.set()
