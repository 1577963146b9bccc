"""A provider that returns what it was sent, head and body, so that a test sees what a request became.

It reads nothing but the one form that the gateway writes (our own head, a stated length), so that whatever else
arrives shows as a failure and never as a second meaning.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator

LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n").search


class Mirror(asyncio.Protocol):
    """One connection."""

    def __init__(self, open_now: set[asyncio.Transport]) -> None:
        self._open_now = open_now
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_now.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._open_now.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        stated = LENGTH(self._buffer, 0, end)
        size = end + (int(stated[1]) if stated is not None else 0)
        if len(self._buffer) >= size:
            seen, self._buffer = self._buffer[:size], self._buffer[size:]
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: %d\r\n\r\n%b" % (size, seen)
            )


@contextlib.contextmanager
def mirroring() -> Iterator[int]:
    """A mirror in a thread of its own; its port."""
    loop = asyncio.new_event_loop()
    open_now: set[asyncio.Transport] = set()
    server = loop.run_until_complete(loop.create_server(lambda: Mirror(open_now), "127.0.0.1", 0))

    def end() -> None:
        server.close()
        for transport in open_now:
            transport.abort()
        loop.call_soon(loop.stop)  # behind the callbacks that close the sockets

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(end)
        thread.join()
        loop.close()
