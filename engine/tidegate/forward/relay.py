"""One answer on its way from a provider to a client.

* A plain answer is held until it is whole (`forward.hold`), so that a broken one becomes a clean 502; a larger one
  goes through piece by piece.
* A stream goes through event by event, unchanged. When it cannot go on, the client gets the dialect's error event and
  a proper end of the body: never a false `[DONE]`, never half an event.
* A client that does not read stops the upstream's reads (bounded by `accept.write_buffer`); a client that leaves
  cancels the upstream, or lets it run on for its usage.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tidegate.clock import Clock
from tidegate.errors import TidegateError, UpstreamMalformed
from tidegate.forward._answer import AnswerHead, Events, frame
from tidegate.model import Call, Hold, Outcome
from tidegate.settings import Forward
from tidegate.wire.reply import END_OF_CHUNKS, head, whole

if TYPE_CHECKING:
    from tidegate.forward.upstream import Upstream

CHUNKED = b"Transfer-Encoding: chunked\r\n"
COMMENT = b": keep-alive\n\n"


class Client(Protocol):
    """The side that asked, as a relay sees it."""

    http11: bool
    closing: bool  # this answer is the connection's last

    def write(self, data: bytes) -> None:
        """Sends bytes of the answer."""
        ...

    def finish(self) -> None:
        """The answer is complete."""
        ...

    def refuse(self, error: TidegateError, run: bytes) -> None:
        """Answers with an error instead; nothing was written yet."""
        ...

    def abort(self) -> None:
        """The answer cannot be completed: the connection closes, so that the client sees a broken one."""
        ...


class Relay:
    """Between one upstream connection and one client; `ended` is called exactly once."""

    def __init__(
        self,
        call: Call,
        hold: Hold,
        client: Client,
        settings: Forward,
        clock: Clock,
        ended: Callable[[Call, Hold, Outcome], None],
    ) -> None:
        self.call = call
        self.hold = hold
        self.upstream: Upstream | None = None
        self.over = False
        self._client: Client | None = client
        self._settings = settings
        self._clock = clock
        self._ended = ended
        self._head: AnswerHead | None = None
        self._events: Events | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._sent = False  # the client has the head
        self._paused = False  # the client reads too slowly
        self._left_at = 0.0
        self._spoke = 0.0  # when the client last got a byte of a stream

    # the upstream's side

    def start(self, head: AnswerHead) -> None:
        """The answer's head is read."""
        self._head = head
        if head.events:
            self._events = Events(self._settings.event)
            self._spoke = self._clock.now

    def receive(self, payload: bytes, done: bool) -> None:
        """Bytes of the body; `done` with the last ones."""
        if self._events is not None:
            self._stream(self._events, payload, done)
        elif done and not self._held and not self._sent:
            self._write_whole(payload)
        else:
            self._gather(payload, done)
        if done:
            self._end(None)

    def fail(self, error: TidegateError) -> None:
        """The answer will not come, or not to its end."""
        client = self._client
        if client is not None:
            if not self._sent:
                client.refuse(error, self.call.run)
            elif self._events is not None and self.call.route.stream_error is not None:
                self._write_stream(client, self.call.route.stream_error(error, self.call.run), True)
            else:
                client.abort()
        self._client = None
        self._end(error)

    def check(self, now: float) -> None:
        """The clock's question: is a drain over, is a stream too silent?"""
        client = self._client
        if client is None:
            if now >= self._left_at:
                self._cancel()
        elif self._sent and self._events is not None and not self._paused:
            if 0 < self._settings.comment <= now - self._spoke:
                self._write_stream(client, COMMENT, False)

    # the client's side

    def pause(self) -> None:
        """The client reads too slowly."""
        self._paused = True
        if self.upstream is not None:
            self.upstream.pause()

    def resume(self) -> None:
        """The client has caught up."""
        self._paused = False
        if self.upstream is not None:
            self.upstream.resume()

    def client_left(self) -> None:
        """Nobody reads the answer any more."""
        self._client = None
        if self.over:
            return
        if self._settings.disconnect == "cancel" or self.upstream is None:
            self._cancel()
            return
        drain = self._settings.disconnect_drain
        self._left_at = self._clock.now + drain if drain else float("inf")
        self._pieces.clear()
        self.upstream.resume()

    def shut(self, error: TidegateError) -> None:
        """The gateway ends this answer: the client is told as after a failure, the upstream is cancelled."""
        if not self.over:
            if self.upstream is not None:
                self.upstream.abort()
            self.fail(error)

    # how the answer is written

    def _stream(self, events: Events, payload: bytes, done: bool) -> None:
        passed = events.feed(payload)
        if done:
            passed += events.rest()
        elif events.overflow:
            self.shut(UpstreamMalformed(f"an event is larger than {self._settings.event} bytes"))
            return
        client = self._client
        if client is not None and (passed or done or not self._sent):
            self._write_stream(client, passed, done)

    def _write_stream(self, client: Client, events: bytes, done: bool) -> None:
        chunked = client.http11
        out = events
        if chunked:
            if events:
                out = frame(events)
            if done:
                out += END_OF_CHUNKS
        if not self._sent:
            out = self._start(client, CHUNKED if chunked else b"") + out
        self._spoke = self._clock.now
        client.write(out)
        if done:
            client.finish()

    def _write_whole(self, body: bytes) -> None:
        client, answer = self._client, self._head
        if client is not None and answer is not None:
            client.write(whole(answer.status, answer.kept, self.call.run, body, client.closing))
            client.finish()

    def _gather(self, payload: bytes, done: bool) -> None:
        if self._sent:
            self._write_piece(payload, done)
            return
        self._pieces.append(payload)
        self._held += len(payload)
        if done:
            self._write_whole(b"".join(self._pieces))
        elif self._held > self._settings.hold:
            body = b"".join(self._pieces)
            self._pieces.clear()
            self._write_piece(body, False)

    def _write_piece(self, body: bytes, done: bool) -> None:
        """A plain answer too large to hold: its own length where it has one, else chunks."""
        client, answer = self._client, self._head
        if client is None or answer is None:
            return
        chunked = answer.length < 0 and client.http11
        if not self._sent:
            framing = CHUNKED if chunked else b"Content-Length: %d\r\n" % answer.length if answer.length >= 0 else b""
            client.write(self._start(client, framing))
        if body:
            client.write(frame(body) if chunked else body)
        if done:
            if chunked:
                client.write(END_OF_CHUNKS)
            client.finish()

    def _start(self, client: Client, framing: bytes) -> bytes:
        answer = self._head
        assert answer is not None
        self._sent = True
        if not framing:
            client.closing = True  # the body ends where the connection does
        return head(answer.status, answer.kept, self.call.run, framing, client.closing)

    # how it ends

    def _cancel(self) -> None:
        if self.upstream is not None:
            self.upstream.abort()
        self._end(None)

    def _end(self, error: TidegateError | None) -> None:
        if self.over:
            return
        self.over = True
        left = self._client is None and error is None
        status = error.status if error is not None and not self._sent else self._head.status if self._head else 499
        self._client = self.upstream = None
        self._ended(self.call, self.hold, Outcome(status, error.code if error is not None else None, left))
