"""A provider of raw bytes that knows how much of its answer it could write: backpressure seen from behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

PIECE = b"data: " + b"x" * 4088 + b"\n\n"
EVENT = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = 64 * 1024 * 1024  # of one stream; more than all buffers on its way can hold


class Source:
    """Answers every call with a stream of `LARGE` bytes."""

    def __init__(self) -> None:
        self.written: list[int] = []  # by stream, what the kernel has taken
        self.left = 0  # streams whose reader went away

    @property
    def total(self) -> int:
        return sum(self.written)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Serves while the body runs; the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                await self._stream(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # a test's end is no news, and neither is the gateway's
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        number = len(self.written)
        self.written.append(0)
        writer.transport.set_write_buffer_limits(high=0)  # what is counted as written has left this process
        writer.write(HEAD)
        try:
            while self.written[number] < LARGE:
                writer.write(EVENT)
                await writer.drain()
                self.written[number] += len(PIECE)
            writer.write(b"0\r\n\r\n")
        except ConnectionError:
            self.left += 1
            raise
