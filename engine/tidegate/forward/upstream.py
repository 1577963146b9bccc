"""One connection to a provider: carries one call at a time and gives its relay the answer, read by read.

A connection is used again only after an answer that ended exactly where its framing says. Anything else closes it:
the bytes behind would be read as somebody else's answer.
"""

import asyncio
from typing import TYPE_CHECKING

from tidegate.clock import NEVER
from tidegate.errors import UpstreamError, UpstreamMalformed, UpstreamTimeout, UpstreamTruncated
from tidegate.forward._answer import AnswerHead, Body, copied, found
from tidegate.forward.answer import HeadReader

if TYPE_CHECKING:
    from tidegate.forward.origin import Origin
    from tidegate.forward.relay import Relay

WHOLE = 16 * 1024  # head and body are joined up to this size; above it a copy costs more than a gathered write


class Upstream:
    """An asyncio protocol, a buffered one; its origin makes it and takes it back.

    Reads go into one buffer of the origin's, so that one read, which may have to wait for a slow client, has a bound
    (uvloop's own buffer is 256 kB).
    """

    def __init__(self, origin: "Origin") -> None:
        self.origin = origin
        self._clock = origin.clock
        self._buffer = origin.buffer
        settings = origin.settings
        self._head_limit = settings.response_head
        self._first_byte = settings.first_byte_timeout
        self._idle = settings.idle_timeout
        self._longest = settings.total_timeout
        self._keep_alive = settings.keep_alive
        self.relay: Relay | None = None
        self.closed = False
        self._kept = False  # it was kept for the next call
        self._deadline = NEVER
        self._total = NEVER
        self._request = b""  # that is still to be sent
        self._long_body = b""  # and stands beside it
        self._head: AnswerHead | None = None
        self._body: Body | None = None
        self._reader: HeadReader | None = None

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._is_closing = transport.is_closing
        transport.set_write_buffer_limits(high=0)  # what is written goes out at once: `send` knows when that is
        self._clock.watch(self)

    def get_buffer(self, hint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        relay = self.relay
        if relay is None:
            self.abort()  # bytes nobody asked for
            return
        if self._request:
            self._transport.abort()  # the same: the call is still to be sent, and goes another way
            return
        self._deadline = min(self._clock.now + self._idle, self._total)
        body, read, offset = self._body, self._buffer, 0
        if body is None:
            head = found(self._buffer, size) if self._reader is None else None  # nearly always whole and plain
            if head is None:
                try:
                    whole = self._read_head(copied(self._buffer, size))
                except UpstreamError as error:
                    self._fail(error)
                    return
                if whole is None:
                    return
                head, data, offset = whole
                read, size = bytearray(data), len(data)
            else:
                offset = head.size
            if head.coded:
                self._fail(UpstreamMalformed("the upstream compressed its answer though it was asked not to"))
                return
            self._head = head
            if not relay.start(head):
                self.abort()  # another provider is asked
                return
            if head.whole is not None and offset + len(head.whole) == size:  # as most plain answers are
                self._release()
                relay.receive(head.whole, True)
                return
            body = self._body = Body(head)
        payload = body.take(read, offset, size)
        if body.broken:
            if payload:
                relay.receive(payload, False)  # what came before the break
            if self.relay is not None:
                self._fail(UpstreamMalformed("the upstream's answer breaks its framing"))
        elif body.done:
            self._release()
            relay.receive(payload, True)
        else:
            relay.receive(payload, False)

    def eof_received(self) -> None:
        """The transport closes; connection_lost says the rest."""

    def pause_writing(self) -> None:
        """The request is in memory already: there is nothing to hold back."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.origin.lost(self)
        relay, body = self.relay, self._body
        if relay is None:
            return
        self.relay = None
        if body is not None and body.until_close and error is None:
            relay.receive(b"", True)
        else:
            relay.fail(UpstreamTruncated("the upstream closed before its answer was complete"))

    # what the origin, the relay and the clock ask for

    def usable(self) -> bool:
        """Nothing was seen that speaks against sending a call this way."""
        return not self.closed and not self._is_closing()

    def carry(self, relay: "Relay", head: bytes, body: bytes) -> None:
        """Takes a call, which the origin has sent at the end of this turn of the loop; its answer goes to `relay`."""
        now = self._clock.now
        self.relay = relay
        relay.upstream = self
        self._total = now + self._longest
        self._deadline = now + self._first_byte
        if len(body) > WHOLE:
            self._request, self._long_body = head, body
        else:
            self._request = head + body
        self.origin.leaves(self)

    def send(self) -> None:
        """Sends the call, if it has not been given up in the same turn. A kept connection that was seen closed in it
        has got nothing: the call goes over another one.
        """
        request, body, relay = self._request, self._long_body, self.relay
        self._request = self._long_body = b""
        if relay is None:
            return
        if self._is_closing():
            if self._kept:
                self.relay = relay.upstream = None
                self.origin.send(relay, request, body)
            return
        relay.reached = True
        if body:
            self._transport.writelines((request, body))
        else:
            self._write(request)

    def pause(self) -> None:
        """The client is slow: nothing more is read, and silence is not the provider's fault."""
        if not self.closed:
            self._transport.pause_reading()
            self._deadline = self._total

    def resume(self) -> None:
        """The client has caught up."""
        if not self.closed:
            self._transport.resume_reading()
            wait = self._first_byte if self._head is None else self._idle
            self._deadline = min(self._clock.now + wait, self._total)

    def abort(self) -> None:
        """Closes at once, whatever is under way; the relay hears nothing more."""
        self.relay = None
        self.closed = True
        self._transport.abort()

    def keep(self) -> None:
        """It may carry another call, for some time."""
        self._kept = True
        self._deadline = self._clock.now + self._keep_alive
        self.origin.free(self)

    def check(self, now: float) -> bool:
        """The clock's question."""
        if self.closed:
            return False
        relay = self.relay
        if now >= self._deadline:
            if relay is None:
                self.abort()
            else:
                late = "answer" if self._head is None else "go on"
                self._fail(UpstreamTimeout(f"the upstream did not {late} in time"))
            return False
        if relay is not None:
            relay.check(now)
        return True

    def _read_head(self, data: bytes) -> tuple[AnswerHead, bytes, int] | None:
        """One that is not plain, or not whole yet."""
        if self._reader is None:
            self._reader = HeadReader(self._head_limit)
        read = self._reader.read(data)
        if read is not None:
            self._reader = None
        return read

    def _release(self) -> None:
        head, relay = self._head, self.relay
        if relay is not None:
            relay.upstream = None  # what the client does from now on is no concern of this connection
        self.relay = self._head = self._body = None
        if head is not None and head.keep_alive:
            self.keep()
        else:
            self.closed = True
            self._transport.close()

    def _fail(self, error: UpstreamError) -> None:
        relay = self.relay
        self.abort()
        if relay is not None:
            relay.fail(error)
