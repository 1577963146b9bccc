"""One client's connection: HTTP/1.1 in, scripts played out, one after another.

Keep-alive, pipelining (answered in order), bodies with a length or in chunks, `expect: 100-continue`, HTTP/1.0
without chunks. What waits is bounded: a request of more than `REQUEST` bytes, head and body, is a 413, and reading
stops while `PIPELINE` requests wait. A slow client pauses its script; a client that leaves, or ends its side, ends it.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import cast

import httptools

from ...errors import BadMessage, BodyTooLarge, CallerError
from .ledger import Bill, Ledger
from .routes import Request, Script, respond
from .script import End, Step

REQUEST = 64 * 1024 * 1024  # bytes
PIPELINE = 16  # requests
BURST = 32  # unpaced steps before other connections have a turn
FLUSH = 0.005  # seconds that sent bytes have to arrive before a reset overtakes them


class Connection(asyncio.Protocol):
    """A client's connection, from its start to its end."""

    def __init__(self, ledger: Ledger, connections: set["Connection"], seed: int, pace_ms: float) -> None:
        self.ledger = ledger
        self.connections = connections
        self.seed = seed
        self.pace_ms = pace_ms
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: deque[Request] = deque()
        self.script: Script | None = None
        self.steps: Iterator[Step] = iter(())
        self.bill: Bill | None = None
        self.timer: asyncio.Handle | None = None
        self.keep = True
        self.paused = False
        self.deaf = False  # what arrives after a broken request means nothing

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections.add(self)

    def connection_lost(self, reason: Exception | None) -> None:
        self.connections.discard(self)
        self._stop_timer()
        if self.script is not None:
            if self.script.stream:
                self.ledger.streams_abandoned += 1
            self.script = None

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.deaf = True  # the request was answered as if it had asked for no upgrade
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, CallerError) else BadMessage(f"not an HTTP request: {error}"))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.script is not None and self.timer is None:
            self._advance()

    # the parser's side

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []
        self.size = 0

    def on_url(self, url: bytes) -> None:
        self._take(url)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._take(name + value)
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.headers.get("expect", "").lower() == "100-continue" and self.script is None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._take(body)
        self.body.append(body)

    def on_message_complete(self) -> None:
        self._enqueue(
            Request(
                self.parser.get_method().decode("latin-1"),
                self.url.partition(b"?")[0].decode("latin-1"),
                self.headers,
                b"".join(self.body),
                chunks=self.parser.get_http_version() != "1.0",
                keep=self.parser.should_keep_alive() and not self.parser.should_upgrade(),
            )
        )

    def _take(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > REQUEST:
            raise BodyTooLarge(f"the request is larger than {REQUEST} bytes")

    # the answers

    def _refuse(self, error: CallerError) -> None:
        self.deaf = True
        self._enqueue(Request("", "", {}, b"", keep=False, error=error))

    def _enqueue(self, request: Request) -> None:
        self.waiting.append(request)
        if len(self.waiting) == PIPELINE:
            self.transport.pause_reading()
        if self.script is None and self.timer is None:
            self._next()

    def _next(self) -> None:
        """Begin the answer to the request that waited longest."""
        self.timer = None
        if len(self.waiting) == PIPELINE:
            self.transport.resume_reading()
        request = self.waiting.popleft()
        script = respond(request, self.seed, self.pace_ms)
        self.script, self.steps, self.bill, self.keep = script, script.steps, None, request.keep
        self.ledger.calls += 1
        self.ledger.refused += script.status >= 400
        self.ledger.streams_started += script.stream
        if not self.paused:
            self._advance()

    def _advance(self) -> None:
        """Carry out steps until one has to be waited for."""
        self.timer = None
        for _ in range(BURST):
            step = next(self.steps, None)
            if step is None:  # stalled, and the client has only now read all that was written
                return
            if step.wait:
                self.timer = self.loop.call_later(step.wait, self._after_wait, step)
                return
            if not self._carry_out(step):
                return
        self.timer = self.loop.call_soon(self._advance)

    def _after_wait(self, step: Step) -> None:
        self.timer = None
        if self._carry_out(step):
            self._advance()

    def _carry_out(self, step: Step) -> bool:
        """True if the next step may follow at once."""
        if step.data:
            self._charge(step.tokens)
            self.transport.write(step.data)
        if step.end is not None:
            self._end(step.end)
            return False
        return not self.paused

    def _charge(self, tokens: int) -> None:
        script = self.script
        if script is None or script.status != 200:
            return
        if self.bill is None:
            self.bill = self.ledger.open(script.key, script.prompt)
        if tokens:
            self.ledger.charge(self.bill, tokens)

    def _end(self, end: End) -> None:
        if end is End.STALL:
            return
        script, self.script = self.script, None
        if script is not None and script.stream:
            if end is End.KEEP:
                self.ledger.streams_ended += 1
            else:
                self.ledger.streams_broken += 1
        if end is End.RESET:
            self.timer = self.loop.call_later(FLUSH, self._reset)
        elif end is End.CLOSE or not self.keep:
            self.deaf = True
            self.waiting.clear()
            self.transport.close()
        elif self.waiting:
            self.timer = self.loop.call_soon(self._next)

    def _reset(self) -> None:
        """RST in place of FIN, once what was written before is out."""
        if self.transport.get_write_buffer_size():
            self.timer = self.loop.call_later(FLUSH, self._reset)
            return
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
