"""One upstream origin: its addresses, its connections, and the calls that wait for one.

This is the one place that opens connections to providers, and so the one place of the SSRF guard: the name is
resolved here, every address is checked, and the checked address is the one that is dialled.

A call is sent a second time only when the connection it was meant for was seen closed before a byte of it was
written. After that byte a POST may have been billed, so the answer is 502 and the client decides.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast

from tidegate.clock import Clock
from tidegate.errors import AddressRefused, Overloaded, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from tidegate.forward.guard import refusal
from tidegate.forward.relay import Relay
from tidegate.forward.upstream import Upstream
from tidegate.settings import Forward

READ = 32 * 1024  # the most bytes of one read


class Waiting(NamedTuple):
    """A call for which no connection is free."""

    relay: Relay
    head: bytes
    body: bytes
    deadline: float


class Origin:
    """All connections of this worker to one scheme, host and port."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, private: bool, settings: Forward, clock: Clock
    ) -> None:
        self.host = host
        self.port = port
        self.private = private
        self.settings = settings
        self.clock = clock
        self.buffer = bytearray(READ)  # for the read of any of its connections; emptied before the next one
        self._tls = tls
        self._idle: list[Upstream] = []
        self._leaving: list[Upstream] = []
        self._open = 0
        self._waiting: deque[Waiting] = deque()
        self._closed = False
        self._addresses: tuple[str, ...] = ()
        self._resolve_at = 0.0
        self._dialling: dict[asyncio.Task[None], Relay] = {}
        clock.watch(self)

    def send(self, relay: Relay, head: bytes, body: bytes) -> None:
        """Sends a call over a kept connection, a new one, or the next one that is free."""
        idle = self._idle
        while idle:
            upstream = idle.pop()
            if upstream.usable():
                upstream.carry(relay, head, body)
                return
        if self._open < self.settings.connections:
            self._open += 1
            task = self.clock.loop.create_task(self._dial(relay, head, body))
            self._dialling[task] = relay
            task.add_done_callback(self._dialling.pop)
        elif len(self._waiting) < self.settings.waiters:
            self._waiting.append(Waiting(relay, head, body, self.clock.now + self.settings.wait_timeout))
        else:
            relay.fail(Overloaded("every connection to the upstream is busy and too many calls wait"))

    def leaves(self, upstream: Upstream) -> None:
        """A call is about to leave over a connection. All calls of a turn of the loop leave at its end, one after the
        other: a provider on this machine, or a proxy before it, is woken once for all of them.
        """
        if not self._leaving:
            self.clock.loop.call_soon(self._send_all)  # to ask for the running loop is a system call
        self._leaving.append(upstream)

    def _send_all(self) -> None:
        leaving, self._leaving = self._leaving, []
        for upstream in leaving:
            upstream.send()

    def free(self, upstream: Upstream) -> None:
        """A connection has done its work."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.relay.over:
                upstream.carry(waiting.relay, waiting.head, waiting.body)
                return
        if self._closed:
            upstream.abort()
        else:
            self._idle.append(upstream)

    def lost(self, upstream: Upstream) -> None:
        """A connection is gone; whoever waits gets a new one in its place."""
        self._open -= 1
        if upstream in self._idle:
            self._idle.remove(upstream)
        self._place_free()

    def close(self) -> None:
        """No more calls will come: kept connections close now, busy ones when their answer ends."""
        self._closed = True
        for upstream in self._idle:
            upstream.abort()
        self._idle.clear()

    def check(self, now: float) -> bool:
        """The clock's question: who has waited too long? Who waits keeps what the call holds."""
        while self._waiting and self._waiting[0].deadline <= now:
            waiting = self._waiting.popleft()
            if not waiting.relay.over:
                waiting.relay.fail(Overloaded("no connection to the upstream became free in time"))
        for relay in (*self._dialling.values(), *(waiting.relay for waiting in self._waiting)):
            if not relay.over:
                relay.check(now)
        return bool(self._waiting or self._dialling) or not self._closed

    def _place_free(self) -> None:
        """Whoever waits gets a new connection."""
        while self._waiting and self._open < self.settings.connections:
            waiting = self._waiting.popleft()
            if not waiting.relay.over:
                self.send(waiting.relay, waiting.head, waiting.body)

    async def _dial(self, relay: Relay, head: bytes, body: bytes) -> None:
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                upstream = await self._connect()
        except TimeoutError:
            self._failed(relay, UpstreamTimeout(f"`{self.host}` did not take a connection in time"))
        except UpstreamError as error:
            self._failed(relay, error)
        else:
            if not upstream.usable():  # not a byte was written, but dialling again could go on for ever
                if not relay.over:
                    relay.fail(UpstreamUnreachable(f"`{self.host}` took a connection and closed it"))
            elif relay.over:
                upstream.keep()
            else:
                upstream.carry(relay, head, body)

    def _failed(self, relay: Relay, error: UpstreamError) -> None:
        self._open -= 1
        self._resolve_at = 0.0
        if not relay.over:
            relay.fail(error)
        self._place_free()

    async def _connect(self) -> Upstream:
        reason = "no address"
        protocol = cast("Callable[[], asyncio.Protocol]", lambda: Upstream(self))
        for address in await self._resolve():
            try:
                _, upstream = await self.clock.loop.create_connection(
                    protocol,
                    address,
                    self.port,
                    ssl=self._tls,
                    server_hostname=self.host if self._tls is not None else None,
                )
            except ssl.SSLError as error:
                reason = f"TLS failed: {error.reason or 'handshake'}"
            except OSError as error:
                reason = error.strerror or type(error).__name__
            else:
                return cast("Upstream", upstream)
        raise UpstreamUnreachable(f"`{self.host}` could not be reached: {reason.lower()}")

    async def _resolve(self) -> tuple[str, ...]:
        """The host's addresses, all of them allowed; asked for again every `forward.resolve` seconds."""
        if self.clock.now < self._resolve_at and self._addresses:
            return self._addresses
        try:
            found = await self.clock.loop.getaddrinfo(self.host, self.port, type=1)
        except (OSError, UnicodeError):  # no such name, or none that could be
            raise UpstreamUnreachable(f"the name `{self.host}` does not resolve") from None
        addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            reason = refusal(address, self.private)
            if reason is not None:
                raise AddressRefused(f"`{self.host}` resolves to an address that is not dialled: {reason}")
        self._addresses = addresses
        self._resolve_at = self.clock.now + self.settings.resolve
        return addresses
