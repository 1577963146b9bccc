"""One client connection: bytes become requests, one at a time; answers go back in the same order.

A request whose head is plain and whole in one read (nearly all) takes the short way: scan, take the body, call. All
else goes through the strict parser. While a call is under way further bytes are parsed and wait, at most
`accept.pipeline` requests; then the connection is not read until they are answered.

Where the framing of the next message is in doubt the connection closes after the answer, lingering a moment so that
the client can read it: closing with unread bytes would send a reset, which can overtake the answer.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from tidegate.accept._head import Last, Request, scan
from tidegate.accept.routes import admit, dialect_of
from tidegate.accept.strict import StrictParser
from tidegate.clock import NEVER, Clock
from tidegate.errors import BodyTooLarge, Draining, Overloaded, RequestTimeout, TidegateError
from tidegate.settings import Accept
from tidegate.wire.reply import CONTINUE, JSON, told, whole

LINGER = 2.0  # seconds for the client to read a last answer and close; nginx waits 5
LINGER_BYTES = 1024 * 1024


class Answering(Protocol):
    """The answer under way, as its connection sees it."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def client_left(self) -> None: ...
    def shut(self, error: TidegateError) -> None: ...


class Gate(Protocol):
    """What a connection needs of the pipeline behind it."""

    clock: Clock
    limits: Accept
    draining: bool

    def begin(self, client: "Connection", request: Request) -> None:
        """Starts a call; its answer comes through the client's methods, perhaps before this returns."""
        ...

    def new_run(self) -> bytes:
        """An id for an answer without a call."""
        ...

    def refused(self, error: TidegateError) -> None:
        """Counts a request that was refused before a call was made of it."""
        ...

    def opened(self, client: "Connection") -> bool:
        """Counts a connection; False when there are too many."""
        ...

    def closed(self, client: "Connection") -> None:
        """Counts it out."""
        ...

    def buffer(self, size: int) -> bool:
        """Counts bytes of bodies in (or out, below zero); False when there are too many."""
        ...


class Connection:
    """An asyncio protocol over one client's transport."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._clock = gate.clock
        self.met: object = None  # what the pipeline remembers of this connection's callers
        self.http11 = True
        self.ip: str | None = None  # of the client; None on a Unix socket
        self.closing = False  # the answer under way is this connection's last
        self.answering: Answering | None = None
        self._limits: Accept | None = None  # what the next ones are of
        self._line = self._headers = self._count = self._most = 0
        self._idle = 0.0
        self._last: Last | None = None  # the head of the last plain request
        self._current: Request | None = None  # whose answer is under way
        self._busy = False
        self._pending: Request | None = None  # a plain head was read, its body is not whole
        self._parts: list[bytes] = []
        self._need = 0
        self._parser: StrictParser | None = None
        self._held = 0  # what the gate's count of bodies has of this connection
        self._began = 0.0  # when the message being parsed began
        self._stopped = False  # nothing is read, for there is enough behind the call under way
        self._paused = False
        self._waiting = 0  # bytes that the client had not taken when it was last looked at
        self._ending = False  # the last answer is written; input is only thrown away
        self._discarded = 0
        self._gone = False
        self._deadline = NEVER

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:
        gate = self.gate
        self._transport = transport
        self.write: Callable[[bytes], None] = transport.write
        self.ip = address_of(transport.get_extra_info("peername"))
        transport.set_write_buffer_limits(high=gate.limits.write_buffer)
        self._use(gate.limits)
        self._deadline = self._clock.now + self._idle
        self._clock.watch(self)
        if not gate.opened(self):
            self._refuse_and_close(Overloaded("too many connections"))

    def data_received(self, data: bytes) -> None:
        while data and not self._ending:
            if self._pending is not None:
                data = self._gather(self._pending, data)
            elif self._busy or self._paused or (self._parser is not None and self._parser.begun):
                self._feed(data)
                return
            else:
                if self.gate.limits is not self._limits:
                    self._use(self.gate.limits)
                request = self._last.again(data) if self._last is not None else None
                if request is None:
                    request = scan(data, self._line, self._headers, self._count)
                if request is None:
                    self._feed(data)
                    return
                data = self._take(request, data)
        if self._ending:
            self._discard(data)

    def eof_received(self) -> None:
        """A client that closes its side has left: a cancelled call looks exactly so."""

    def pause_writing(self) -> None:
        self._paused = True
        self._waiting = self._transport.get_write_buffer_size()
        self._deadline = self._clock.now + self.gate.limits.stall_timeout
        if self.answering is not None:
            self.answering.pause()

    def resume_writing(self) -> None:
        self._paused = False
        self._deadline = self._clock.now + LINGER if self._ending else NEVER
        if self.answering is not None:
            self.answering.resume()
        elif not self._busy and not self._ending:
            self._rest()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone = True
        self._hold(0)
        self.gate.closed(self)
        answering = self.answering
        if answering is not None:
            self.answering = None
            answering.client_left()

    # what the answer, the pipeline and the clock ask for

    def finish(self) -> None:
        """The answer under way is complete: the next request's turn."""
        self.answering = self._current = None
        self._busy = False
        if self._held:
            self._hold(self._bodies())
        if self._gone:
            return
        if self.closing:
            self._end()
        elif not self._paused:
            self._rest()

    def refuse(self, error: TidegateError, run: bytes, lines: bytes = b"") -> None:
        """Answers with an error, in the shape of the request's dialect; `lines` are further ones of the head."""
        if self._gone:
            return
        body = dialect_of(self._current).error(error, run)
        answer = whole(error.status, told(error) + lines, run, body, self.closing)
        if self._current is not None and self._current.method == b"HEAD":
            answer = answer[: -len(body)]
        self.write(answer)
        self.finish()

    def reply(self, body: bytes, run: bytes, lines: bytes) -> None:
        """Answers with a JSON document of our own; `lines` are further ones of the head."""
        if not self._gone:
            self.write(whole(200, JSON + lines, run, body, self.closing))
            self.finish()

    def abort(self) -> None:
        """The answer cannot be completed: the client must see that it is broken."""
        self._transport.abort()

    def drain(self) -> None:
        """No further call begins here: an idle connection closes, a busy one after its answer."""
        self.closing = True
        if not self._busy and not self._reading:
            self._transport.close()

    def shut(self) -> None:
        """The time to drain is over."""
        if self.answering is not None:
            self.closing = True
            self.answering.shut(Draining("the gateway is shutting down"))
        elif not self._gone:
            self._transport.close()

    def check(self, now: float) -> bool:
        """The clock's question."""
        if self._paused and not self._gone:
            waiting = self._transport.get_write_buffer_size()
            if waiting < self._waiting:  # it takes its answer, however slowly
                self._deadline = now + self.gate.limits.stall_timeout
            self._waiting = waiting
        if not self._gone and now >= self._deadline:
            if self._busy or self._paused:
                self._transport.abort()  # it takes nothing of its answer
            elif self._reading and not self._ending:
                self._refuse_and_close(RequestTimeout("the request did not arrive in time"))
            else:
                self._transport.close()
        return not self._gone

    # from bytes to requests

    @property
    def _reading(self) -> bool:
        """A request has begun to arrive."""
        return self._pending is not None or (self._parser is not None and self._parser.begun)

    def _use(self, limits: Accept) -> None:
        """Reads heads within other limits from now on."""
        self._limits = limits
        self._line = limits.line
        self._headers = limits.headers
        self._count = limits.header_count
        self._most = limits.body
        self._idle = limits.idle_timeout
        self._last = self._parser = None

    def _take(self, request: Request, data: bytes) -> bytes:
        """Begins the plain request at the start of `data`, or waits for its body; what stands behind it."""
        if request.route is None:  # else its head is the last one's
            admit(request)
            if request.refusal is None:
                self._last = Last(request, data, self._headers)
        if request.length > self._most:
            self._refuse_and_close(BodyTooLarge(f"the body is larger than {self._most} bytes"), request)
            return b""
        end = request.size + request.length
        if request.whole:
            self._begin(request)
            return data[end:] if end < len(data) else b""
        self._pending = request
        self._parts = [data[request.size :]]
        self._need = end - len(data)
        self._began = self._clock.now
        self._deadline = self._began + self.gate.limits.body_timeout
        self._hold(len(data) - request.size)
        return b""

    def _gather(self, request: Request, data: bytes) -> bytes:
        """Adds to the body of a plain request; what stands behind it."""
        need = self._need
        if len(data) < need:
            limits = self.gate.limits
            self._parts.append(data)
            self._need = need - len(data)
            self._deadline = self._began + limits.body_timeout + (request.length - self._need) / limits.body_rate
            self._hold(request.length - self._need)
            return b""
        self._hold(request.length)
        if self._ending:
            return b""  # that was too much
        self._parts.append(data[:need])
        request.body = b"".join(self._parts)
        self._pending = None
        self._parts = []
        self._begin(request)
        self._hold(self._bodies())
        return data[need:]

    def _feed(self, data: bytes) -> None:
        limits, now = self.gate.limits, self._clock.now
        parser = self._parser
        if parser is None:
            parser = self._parser = StrictParser(limits)
        if not parser.begun:
            self._began = now
        parser.feed(data)
        self._hold(self._bodies())
        if self._busy or self._paused:
            if parser.requests:
                self._stop_reading()
        elif not self._ending:
            self._rest()

    def _rest(self) -> None:
        """Nothing is under way: starts the request that waits, says what is wrong with the next, or reads on."""
        parser = self._parser
        self._deadline = self._clock.now + self._idle
        if parser is not None and parser.requests:
            request = parser.requests.popleft()
            if not parser.requests:
                self._read_on()
            self._begin(request)
            self._hold(self._bodies())
        elif parser is not None and parser.error is not None:
            self._refuse_and_close(parser.error, parser.request)
        else:
            self._read_on()
            if parser is not None and parser.begun:
                self._wait_for(parser)

    def _wait_for(self, parser: StrictParser) -> None:
        """The rest of a request is to come."""
        limits, pending = self.gate.limits, parser.request
        if pending is None:
            self._deadline = self._began + limits.header_timeout
            return
        self._deadline = self._began + limits.body_timeout + parser.received / limits.body_rate
        if parser.awaits_continue:
            if pending.refusal is not None:
                self._refuse_and_close(pending.refusal, pending)
            else:
                parser.awaits_continue = False
                self.write(CONTINUE)

    def _stop_reading(self) -> None:
        self._stopped = True
        self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._stopped:
            self._stopped = False
            self._transport.resume_reading()

    def _begin(self, request: Request) -> None:
        self._busy = True
        self._current = request
        self._deadline = NEVER
        self.http11 = request.http11
        if not request.keep_alive or self.gate.draining:
            self.closing = True
        if request.refusal is not None:
            self.gate.refused(request.refusal)
            self.refuse(request.refusal, self.gate.new_run())
        else:
            self.gate.begin(self, request)

    def _bodies(self) -> int:
        """Bytes of the bodies that are here: of the call under way, and of requests behind it."""
        size = self._parser.held if self._parser is not None else 0
        return size + len(self._current.body) if self._current is not None else size

    def _hold(self, size: int) -> None:
        """Keeps the gate's count of bytes of bodies true for this connection. Where they are too many nothing more is
        read behind a call under way; else what is coming in is refused.
        """
        change = size - self._held
        self._held = size
        if change and not self.gate.buffer(change) and not self._gone:
            if self._busy:
                self._stop_reading()
            else:
                self._refuse_and_close(Overloaded("too many request bodies are in memory"))

    # the end

    def _refuse_and_close(self, error: TidegateError, request: Request | None = None) -> None:
        self._current = request if request is not None else self._pending
        self.closing = True
        self.gate.refused(error)
        self.refuse(error, self.gate.new_run())

    def _end(self) -> None:
        """The last answer is written: closes, leaving the client the time to read it."""
        self._ending = True
        self._pending = None
        transport = self._transport
        if not transport.can_write_eof():
            transport.close()
            return
        if not self._paused:  # else its time begins when the answer is out
            self._deadline = self._clock.now + LINGER
        transport.write_eof()
        transport.resume_reading()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self._transport.close()


def address_of(peer: object) -> str | None:
    """The IP address of a socket's other end; an IPv4 one that an IPv6 socket accepted is written as such."""
    return str(peer[0]).removeprefix("::ffff:") if isinstance(peer, tuple) else None
