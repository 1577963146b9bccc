"""One answer on its way from a provider to a client.

* A plain answer is held until it is whole (`forward.hold`), so that a broken one becomes a clean 502; a larger one
  goes through piece by piece.
* A stream goes through event by event, unchanged. When it cannot go on, the client gets the dialect's error event and
  a proper end of the body: never a false `[DONE]`, never half an event.
* The first byte and the last ones wait until what they rely on is recorded, where the call's evidence asks for that.
  When it cannot be recorded, the client gets an error in their place.
* A client that does not read stops the upstream's reads (bounded by `accept.write_buffer`); a client that leaves
  cancels the upstream, or lets it run on for its usage.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from tidegate.clock import Clock
from tidegate.errors import TidegateError, UpstreamError, UpstreamMalformed
from tidegate.forward._answer import AnswerHead, frame
from tidegate.model import Call, Outcome
from tidegate.settings import Forward
from tidegate.wire.reply import END_OF_CHUNKS, head, whole

if TYPE_CHECKING:
    from tidegate.forward.upstream import Upstream

CHUNKED = b"Transfer-Encoding: chunked\r\n"
COMMENT = b": keep-alive\n\n"
ELSEWHERE: Final = frozenset((429, 500, 502, 503, 504, 529))  # answers after which a fallback is asked
WITHHELD = 64 * 1024  # bytes that wait for a record before the upstream is paused


class Framer:
    """What reads a stream as it passes, and lets whole events go on. A class and no protocol, so that an event costs no
    look-ups.
    """

    overflow: bool  # an unfinished event is larger than the limit
    judges: bool  # the whole answer is decided about, before its end is passed on
    stopping: TidegateError | None  # why the stream ends here, before the provider ends it

    def feed(self, read: bytes) -> bytes:
        """The bytes that may go on after this read."""
        raise NotImplementedError

    def rest(self) -> bytes:
        """What stands after the last event, when the stream has ended by itself."""
        raise NotImplementedError


class Course(Protocol):
    """What becomes of a call besides its answer: what is counted in it, and what is recorded of it."""

    @property
    def call(self) -> Call: ...

    @property
    def judges(self) -> bool:
        """The whole answer is decided about before its end is passed on, or a shadow is asked about it."""
        ...

    def again(self, status: int, error: str, relay: "Relay") -> bool:
        """The provider does not answer, and the client has heard nothing: whether the relay has another one now."""
        ...

    def lines(self) -> bytes:
        """Lines of the answer's head about the caller's limits."""
        ...

    def alive(self) -> None:
        """The call goes on."""
        ...

    def streams(self) -> Framer:
        """The answer is a stream of events."""
        ...

    def judge_stream(self, done: bool) -> TidegateError | None:
        """What the client is told in place of a stream's end; None where it may pass."""
        ...

    def judge_plain(self, body: bytes) -> TidegateError | None:
        """What the client is told in place of an answer; None where it may pass."""
        ...

    def unjudged(self) -> TidegateError | None:
        """The same for an answer that is too large to be decided about."""
        ...

    def ending(self) -> bytes:
        """The events that end a stream which is stopped here."""
        ...

    def plain(self, body: bytes) -> None:
        """The whole answer."""
        ...

    def piece(self, body: bytes) -> None:
        """A piece of an answer that is too large to hold."""
        ...

    def came(self, body: bytes) -> None:
        """Bytes of an answer that is no stream, from the provider."""
        ...

    def went(self, body: bytes) -> None:
        """Bytes that the client gets: of such an answer, or an event of our own."""
        ...

    def first(self, relay: "Relay") -> bool:
        """Whether the first byte has to wait; then the relay's `release` or `lost` is called, later."""
        ...

    def ended(self, outcome: Outcome, relay: "Relay") -> bool:
        """The call is over, said once; whether the last bytes have to wait, as the first."""
        ...


class Client(Protocol):
    """The side that asked, as a relay sees it."""

    http11: bool
    closing: bool  # this answer is the connection's last

    @property
    def write(self) -> Callable[[bytes], None]:
        """Sends bytes of the answer."""
        ...

    def finish(self) -> None:
        """The answer is complete."""
        ...

    def refuse(self, error: TidegateError, run: bytes, lines: bytes = b"") -> None:
        """Answers with an error instead; nothing was written yet."""
        ...

    def abort(self) -> None:
        """The answer cannot be completed: the connection closes, so that the client sees a broken one."""
        ...


class Relay:
    """Between one upstream connection and one client; its course is told the end exactly once."""

    def __init__(self, course: Course, client: Client, settings: Forward, clock: Clock) -> None:
        self.call = course.call
        self.upstream: Upstream | None = None
        self.over = False
        self.reached = False  # the call has left: a provider may have it
        self._course = course
        self._client: Client | None = client
        self._write = client.write
        self._chunked = False  # a stream goes to the client in chunks
        self._settings = settings
        self._clock = clock
        self._head: AnswerHead | None = None
        self._events: Framer | None = None
        self._unsure = False  # whether it is a stream
        self._pieces: list[bytes] = []
        self._held = 0
        self._begun = False  # the answer's head is written, or waits to be
        self._sent = False  # the client has it
        self._withheld: list[bytes] | None = None  # what waits for a record
        self._waits = 0  # for so many records
        self._stopped = ""  # the error by which a stream was ended
        self._failure: TidegateError | None = None  # what the client is told when they are there
        self._paused = False  # the client reads too slowly
        self._left_at = 0.0
        self._spoke = 0.0  # when the client last got a byte of a stream

    # the upstream's side

    def start(self, head: AnswerHead) -> bool:
        """The answer's head is read; whether the rest of the answer is wanted."""
        if head.status >= 400 and head.status in ELSEWHERE and self._client is not None and not self._begun:
            upstream, self.upstream = self.upstream, None
            if self._course.again(head.status, "", self):
                return False
            self.upstream = upstream
        self._head = head
        if self.call.fields is not None:  # else it is a list that was asked for
            if head.events:
                self._flow()
            else:
                self._unsure = self.call.stream and head.status < 300
        return True

    def _flow(self) -> None:
        """The answer is a stream."""
        self._events = self._course.streams()
        self._chunked = self._client is not None and self._client.http11
        self._spoke = self._clock.now

    def receive(self, payload: bytes, done: bool) -> None:
        """Bytes of the body; `done` with the last ones."""
        try:
            self._receive(payload, done)
        except BaseException:  # ours to mend: the call must have an end all the same
            if not self.over:
                if self.upstream is not None:
                    self.upstream.abort()
                self.fail(TidegateError("the gateway could not read the answer; this is a bug in it"))
            raise

    def _receive(self, payload: bytes, done: bool) -> None:
        if self._unsure and payload:  # a client that asked for a stream reads one under whatever type it comes
            self._unsure = False
            if payload.lstrip()[:1] != b"{":
                self._flow()
        if self._events is not None:
            self._stream(self._events, payload, done)
        elif done and not self._held and not self._begun:
            self._write_whole(payload)
        else:
            self._gather(payload, done)
        if done and not self.over:
            self._end(None)

    def fail(self, error: TidegateError) -> None:
        """The answer will not come, or not to its end."""
        if not self.reached and isinstance(error, UpstreamError) and self._client is not None:
            if self._course.again(0, error.code, self):  # not a byte of the call has left
                return
        if self._sent and self._events is not None and self.call.route.stream_error is not None:
            self._course.went(self.call.route.stream_error(error, self.call.run))
        if self._end(error):
            self._failure = error
        elif self._client is not None:
            self._tell(self._client, error)

    def check(self, now: float) -> None:
        """The clock's question: is a drain over, is a stream too silent?"""
        client = self._client
        self._course.alive()
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
        self.upstream.resume()

    def shut(self, error: TidegateError) -> None:
        """The gateway ends this answer: the client is told as after a failure, the upstream is cancelled."""
        if not self.over:
            if self.upstream is not None:
                self.upstream.abort()
            self.fail(error)
        elif self._client is not None:
            self._tell(self._client, error)

    # the record's side

    def release(self) -> None:
        """One of the records that bytes wait for is there."""
        self._waits -= 1
        client = self._client
        if self._waits > 0 or client is None:
            return
        if self._failure is not None:
            self._tell(client, self._failure)
            return
        waiting, self._withheld = self._withheld, None
        self._sent = True
        self._write(b"".join(waiting or ()))
        if self.over:
            self._finish(client)
        elif not self._paused and self.upstream is not None:
            self.upstream.resume()

    def lost(self, error: TidegateError) -> None:
        """It will not be there."""
        self.shut(error)

    # how the answer is written

    def _stream(self, events: Framer, payload: bytes, done: bool) -> None:
        passed = events.feed(payload)
        if done and events.stopping is None:
            passed += events.rest()
        if events.stopping is not None:
            self._stop(events.stopping, passed)
            return
        if events.overflow and not done:
            self.shut(UpstreamMalformed(f"an event is larger than {self._settings.event} bytes"))
            return
        if events.judges:
            error = self._course.judge_stream(done)
            if error is not None:
                self.shut(error)
                return
        client = self._client
        if client is not None and (passed or done or not self._begun):
            self._write_stream(client, passed, done)

    def _stop(self, error: TidegateError, passed: bytes) -> None:
        """The stream ends here, in the way of its dialect; where it has not begun, as an error."""
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None
        client = self._client
        if client is None:
            self._cancel()
        elif not self._begun and not passed:
            self.fail(error)
        else:
            self._stopped = error.code
            self._write_stream(client, passed + self._course.ending(), True)

    def _write_stream(self, client: Client, events: bytes, done: bool) -> None:
        out = events
        if self._chunked:
            if events:
                out = frame(events)
            if done:
                out += END_OF_CHUNKS
        if not self._begun:
            out = self._start(client, CHUNKED if self._chunked else b"") + out
        self._spoke = self._clock.now
        self._put(client, out, done)

    def _write_whole(self, body: bytes) -> None:
        client, answer = self._client, self._head
        assert answer is not None
        self._course.came(body)
        if answer.status < 300:
            self._course.plain(body)
            error = self._course.judge_plain(body) if self._course.judges else None
            if error is not None:
                self.fail(error)
                return
        self._course.went(body)
        if client is not None:
            limits = self._course.lines() or answer.limits
            self._put(client, whole(answer.status, answer.kept, self.call.run, body, client.closing, limits), True)

    def _gather(self, payload: bytes, done: bool) -> None:
        if self._begun:
            self._course.came(payload)
            self._course.piece(payload)
            self._course.went(payload)
            self._write_piece(payload, done)
            return
        self._pieces.append(payload)
        self._held += len(payload)
        if done:
            self._write_whole(b"".join(self._pieces))
        elif self._held > self._settings.hold:
            body = b"".join(self._pieces)
            self._pieces.clear()
            self._course.came(body)
            self._course.piece(body)
            error = self._course.unjudged() if self._course.judges else None
            if error is not None:
                self.shut(error)
                return
            self._course.went(body)
            self._write_piece(body, False)
            self._begun = True  # also where there is nobody left to write to

    def _write_piece(self, body: bytes, done: bool) -> None:
        """A plain answer too large to hold: its own length where it has one, else chunks."""
        client, answer = self._client, self._head
        if client is None or answer is None:
            return
        chunked = answer.length < 0 and client.http11
        out = frame(body) if chunked and body else body
        if not self._begun:
            framing = CHUNKED if chunked else b"Content-Length: %d\r\n" % answer.length if answer.length >= 0 else b""
            out = self._start(client, framing) + out
        self._put(client, out + END_OF_CHUNKS if done and chunked else out, done)

    def _start(self, client: Client, framing: bytes) -> bytes:
        answer = self._head
        assert answer is not None
        self._begun = True
        if not framing:
            client.closing = True  # the body ends where the connection does
        fields = answer.kept + (self._course.lines() or answer.limits)
        return head(answer.status, fields, self.call.run, framing, client.closing)

    def _put(self, client: Client, out: bytes, last: bool) -> None:
        """Sends bytes of the answer, or keeps them until the record lets them go."""
        if last:
            self._end(None)
        elif not self._sent and self._withheld is None and self._course.first(self):
            self._waits += 1
        if self._waits or self._withheld is not None:
            self._withhold(out)
            return
        self._sent = True
        self._write(out)
        if last:
            self._finish(client)

    def _withhold(self, out: bytes) -> None:
        if self._withheld is None:
            self._withheld = []
        self._withheld.append(out)
        if self.upstream is not None and sum(map(len, self._withheld)) > WITHHELD:
            self.upstream.pause()

    def _tell(self, client: Client, error: TidegateError) -> None:
        """The client gets the error in place of what it has not got yet."""
        self._client = self._withheld = None
        if not self._sent:
            client.refuse(error, self.call.run, self._course.lines())
        elif self._events is not None and self.call.route.stream_error is not None:
            event = self.call.route.stream_error(error, self.call.run)
            self._write(frame(event) + END_OF_CHUNKS if self._chunked else event)
            client.finish()
        else:
            client.abort()

    # how it ends

    def _finish(self, client: Client) -> None:
        self._client = None
        client.finish()

    def _cancel(self) -> None:
        if self.upstream is not None:
            self.upstream.abort()
        self._end(None)

    def _end(self, error: TidegateError | None) -> bool:
        """The call is over; whether the client's last bytes have to wait."""
        if self.over:
            return False
        self.over = True
        left = self._client is None and error is None
        status = error.status if error is not None and not self._sent else self._head.status if self._head else 499
        self.upstream = None
        code = error.code if error is not None else self._stopped or None
        try:
            waits = self._course.ended(Outcome(status, code, left, self.reached), self)
        except BaseException:  # ours to mend: until then nobody waits for what will not come
            if self._client is not None:
                self._client.abort()
            raise
        self._waits += waits
        return waits
