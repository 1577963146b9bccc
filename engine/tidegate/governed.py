"""One call of a program that embeds the engine: what it sends, how its answer passes, and its end.

    run.body                                what is to be sent to `run.integration`
    for piece in run.stream(chunks): ...    a stream, governed; `async for piece in run.astream(chunks)`
    run.whole(body, status)                 any other answer; `await run.awhole(body, status)`

Both end the run: they settle and record it, and wait for that as its evidence asks. Who reads a stream in another way
does the same by hand:

    send(run.feed(chunk)), and where `run.stopped` says so, send(run.ending()) and read no further
    send(run.rest()) where the provider has ended it, and run.ending() where that has stopped it
    run.recorded() before the first of it goes on, and run.end(status) before the last; `await run.arecorded()`,
    `await run.aend(status)`

What stands here twice, for threads and for coroutines, differs in the waiting alone.
"""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from tidegate.errors import Abandoned, BadField, TidegateError, UpstreamError, UpstreamMalformed
from tidegate.forward.relay import WITHHELD
from tidegate.forward.request import asks_usage
from tidegate.model import Decision, Outcome, Usage
from tidegate.record.unrecorded import Unrecorded
from tidegate.run import LEFT, Run
from tidegate.wire.dialect import Dialect
from tidegate.wire.reply import RUN, headers

if TYPE_CHECKING:
    from tidegate.engine import Engine

GONE: Final = Outcome(Abandoned.status, Abandoned.code)
CODE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,31}").fullmatch  # as much as a record has room for

Given = TypeVar("Given")
Work = Callable[[], object]  # that may take long
Steps = Generator[int | Work, Any, Given]  # what is to be waited for: the record of a number, or work


class Way(NamedTuple):
    """An integration, as far as a program needs to know it that makes its calls by itself."""

    name: str
    provider: str  # whose tokens and prices are meant
    aliases: dict[str, str]
    include_usage: bool
    dialects: tuple[Dialect, ...] = ()  # that a policy may send there

    def model(self, asked: str) -> str:
        """The provider's own name of a model."""
        return self.aliases.get(asked, asked)


class Ended(NamedTuple):
    """How a run has ended."""

    decision: Decision
    usage: Usage | None  # that was charged; None: the call used nothing
    cost: int  # of it, in micro-cents


class Course:
    """What the engine keeps of a run until it has ended. All of it happens in turns."""

    def __init__(self, run: Run, now: float) -> None:
        self.run = run
        self.began = now
        self.way = Way("", "", {}, False)
        self.model = ""  # as it is asked for, before aliases
        self.fallback: tuple[str, ...] = ()
        self.body = b""
        self.seq = 0  # of the intent
        self.over = False
        self.error: TidegateError | None = None  # why the answer does not go on, beside what the run says of itself

    @property
    def why(self) -> TidegateError | None:
        """Why the answer ends here, before the provider ends it."""
        return self.run.stopping or self.error

    def feed(self, chunk: bytes) -> bytes:
        run = self._streaming()
        if self.why is not None:
            return b""
        passed = run.feed(chunk)
        if run.stopping is None:
            if run.overflow:
                self.error = UpstreamMalformed("an event of the stream is larger than the limit")
            elif run.judges:
                self.error = run.judge_stream(False)
        return b"" if self.error is not None else passed

    def rest(self) -> bytes:
        run = self._streaming()
        if self.why is not None:
            return b""
        passed = run.rest()
        if run.judges:
            self.error = run.judge_stream(True)
        return b"" if self.error is not None else passed

    def _streaming(self) -> Run:
        if self.over:
            raise Abandoned("the run has ended")
        if self.run.meter is None:
            self.run.stream(asks_usage(self.run.call, self.way.include_usage))
        return self.run

    @property
    def complete(self) -> bool:
        """The event has come that ends the stream."""
        meter = self.run.meter
        return meter is not None and meter.done

    def ending(self) -> bytes:
        run = self.run
        if run.stopping is not None:
            return run.ending()
        return self.failed(self.error) if self.error is not None else b""

    def failed(self, error: TidegateError) -> bytes:
        """The event that ends the stream with an error."""
        run = self.run
        event = run.call.route.stream_error(error, run.call.run) if run.call.route.stream_error is not None else b""
        run.account.went(event)
        return event

    def whole(self, body: bytes, status: int) -> None:
        if self.over:
            raise Abandoned("the run has ended")
        run = self.run
        run.came(body)
        if status < 300:
            run.plain(body)
            if run.judges:
                self.error = run.judge_plain(body)
        if self.error is None:
            run.went(body)

    def end(self, ended: Outcome) -> int:
        """Charges what was used and writes the outcome; its number. Raises Unrecorded where that cannot be kept now:
        then it is written as soon as it can be.
        """
        self.over = True
        return self.run.settle(ended)


class GovernedRun:
    """A call that may be made. One thread or task at a time works with it. Dropped without an end it counts as failed:
    what is known of its usage is charged, and the record says `abandoned`.
    """

    def __init__(self, engine: "Engine", course: Course) -> None:
        self._engine = engine
        self._course = course

    def __del__(self) -> None:
        if not self._course.over:
            self._engine.dropped.append((self._course, GONE))  # any thread may be here, in the middle of anything

    def __repr__(self) -> str:
        return f"GovernedRun({self.id})"

    # what is to be sent

    @property
    def id(self) -> str:
        """What records and errors call the run: 26 hexadecimal digits."""
        return self._course.run.call.run.decode()

    @property
    def body(self) -> bytes:
        """The body to send: the caller's own, with the edits that the decision and the counting need."""
        return self._course.body

    @property
    def integration(self) -> str:
        """Where it is to be sent; another one than was named where a policy routes the call."""
        return self._course.way.name

    @property
    def provider(self) -> str:
        """Whose tokens and prices are meant."""
        return self._course.way.provider

    @property
    def decision(self) -> Decision:
        """What the policies said."""
        return self._course.run.decision

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What the gateway would add to the head of the answer: the run, and where the caller's limits stand."""
        with self._engine.turns:
            return headers(RUN + self._course.run.call.run + b"\r\n" + self._course.run.lines())

    def fall_back(self, status: int = 0, error: str = UpstreamError.code) -> bool:
        """The provider did not answer (status 0), or with this status: whether there is another one to be asked, whose
        body and integration stand here now. False: the caller is to be told. Raises what refuses the call there.
        """
        _check(status, error)
        return self._engine.wait(self._engine.again(self._course, status, error))

    async def afall_back(self, status: int = 0, error: str = UpstreamError.code) -> bool:
        """The same, for a coroutine."""
        _check(status, error)
        return await self._engine.await_(self._engine.again(self._course, status, error))

    # a stream

    @property
    def stopped(self) -> bool:
        """The stream ends here, before the provider ends it: `ending` has its last events."""
        return self._course.why is not None

    @property
    def error(self) -> TidegateError | None:
        """Why it does."""
        return self._course.why

    def feed(self, chunk: bytes) -> bytes:
        """The bytes that may go on after this read of the provider's stream."""
        with self._engine.turns:
            return self._course.feed(chunk)

    def ending(self) -> bytes:
        """The events that end a stream which is stopped here, in the way of its dialect."""
        with self._engine.turns:
            return self._course.ending()

    def rest(self) -> bytes:
        """What stands after the last event, when the provider has ended the stream."""
        with self._engine.turns:
            return self._course.rest()

    def recorded(self) -> None:
        """Returns when it is on record that the call was to leave, if its evidence asks for that: before the first
        bytes of an answer go on. Raises Unrecorded where that cannot be kept.
        """
        self._engine.wait(self._engine.recorded(self._course))

    async def arecorded(self) -> None:
        """The same, for a coroutine."""
        await self._engine.await_(self._engine.recorded(self._course))

    def stream(self, chunks: Iterable[bytes], status: int = 200) -> Iterator[bytes]:
        """The provider's stream as it may go on, to its end or to where a limit or a policy ends it, and the run's end.

        Under evidence `response` and `strict` the first bytes wait until the intent is durable and the last ones for
        the outcome; where that cannot be kept they are an error event, or, of the first, an Unrecorded. Closed before
        its end, the stream counts as one whose client left. An error of `chunks` is passed on when it is recorded.
        Nothing is read after the end, and behind the event that ends an answer no more than 64 KiB; closing the
        connection to the provider is left to who opened it.
        """
        _check(status)
        passing = _Passing(self)
        try:
            for chunk in chunks:
                out = passing.take(chunk)
                if out:
                    if passing.first():
                        self.recorded()
                    yield out
                if passing.over:
                    break
            last = passing.last()
            try:
                self.end(status)
            except Unrecorded as error:
                last = passing.unrecorded(error)
            if last:
                yield last
        except BaseException as error:
            self._broken(status, error)
            raise

    async def astream(self, chunks: AsyncIterable[bytes], status: int = 200) -> AsyncIterator[bytes]:
        """The same, for a coroutine."""
        _check(status)
        passing = _Passing(self)
        try:
            async for chunk in chunks:
                out = passing.take(chunk)
                if out:
                    if passing.first():
                        await self.arecorded()
                    yield out
                if passing.over:
                    break
            last = passing.last()
            try:
                await self.aend(status)
            except Unrecorded as error:
                last = passing.unrecorded(error)
            if last:
                yield last
        except BaseException as error:
            self._broken(status, error)
            raise

    # any other answer

    def whole(self, body: bytes, status: int = 200) -> bytes:
        """The whole answer, and the run's end: the body that may go on. Raises ResponseDenied or PolicyFailed where a
        policy says no to it, and Unrecorded where it must not go on because it is not on record.
        """
        return self._engine.wait(self._whole(body, status))

    async def awhole(self, body: bytes, status: int = 200) -> bytes:
        """The same, for a coroutine."""
        return await self._engine.await_(self._whole(body, status))

    def _whole(self, body: bytes, status: int) -> Steps[bytes]:
        _check(status)
        with self._engine.turns:
            self._course.whole(body, status)
        error = self._course.error
        if error is not None:
            error.run = self.id
            yield from self._end(Outcome(error.status, error.code))
            raise error
        yield from self._end(Outcome(status))
        return body

    # its end

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._course.over

    def end(self, status: int = 200, *, error: str = "", left: bool = False, reached: bool = True) -> Ended:
        """The run is over: it is charged for what it used, and recorded, which this waits for unless evidence is
        `async` or the client `left`. `status` is what the client was told, `error` the code of what went wrong, which
        has at most 32 characters. `reached=False` says that nothing left, so that nothing was used. Raises Unrecorded
        where the record cannot be kept: then the answer must not be completed. What has ended stays as it is. Raises
        BadField, and ends nothing, for a status or a code that is none: records have no words of anybody's.
        """
        _check(status, error)
        return self._engine.wait(self._end(self._outcome(status, error, left, reached)))

    async def aend(self, status: int = 200, *, error: str = "", left: bool = False, reached: bool = True) -> Ended:
        """The same, for a coroutine."""
        _check(status, error)
        return await self._engine.await_(self._end(self._outcome(status, error, left, reached)))

    def _outcome(self, status: int, error: str, left: bool, reached: bool) -> Outcome:
        why = self._course.why
        return Outcome(status, error or (why.code if why is not None else None), left, reached)

    def _end(self, ended: Outcome) -> Steps[Ended]:
        engine, course = self._engine, self._course
        with engine.turns:
            seq = engine.end(course, ended) if not course.over else 0
        if seq and not ended.client_left and course.run.account.mode != "async":
            yield seq
        return Ended(course.run.decision, course.run.usage, course.run.cost)

    def _broken(self, status: int, error: BaseException, code: str = UpstreamError.code) -> None:
        """The answer did not come to its end; nobody waits for the record of that."""
        left = _left(error)
        if isinstance(error, TidegateError) and CODE(error.code) is not None:  # a program may have errors of its own
            code = error.code
        self._engine.fail(self._course, self._outcome(status, "" if left else code, left, True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._engine.fail(self._course, GONE)
        else:
            self._broken(LEFT if _left(error) else Abandoned.status, error, Abandoned.code)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)


def _check(status: int, error: str = "") -> None:
    """Whether a program says of its call what a record can have."""
    if not 0 <= status <= 999:
        raise BadField("`status` is none of HTTP's")
    if error and CODE(error) is None:
        raise BadField("`error` is not a code: at most 32 lower-case letters, digits, `_`, `.` and `-`")


def _left(error: BaseException) -> bool:
    """Nobody waits for the answer any more."""
    return isinstance(error, GeneratorExit | asyncio.CancelledError | KeyboardInterrupt)


class _Passing:
    """A stream on its way through: what of it may go on when."""

    def __init__(self, run: GovernedRun) -> None:
        self._run = run
        self._kept = b""  # the end of the stream, which waits for the record
        self._behind = 0  # bytes of it that came after the event that ends the answer: nobody needs many of them
        self._begun = False
        self.over = False

    def take(self, chunk: bytes) -> bytes:
        """What of a read goes on at once."""
        run = self._run
        out = run.feed(chunk)
        if self._kept:
            self._behind += len(out)
        self.over = run.stopped or self._behind > WITHHELD
        if self.over or self._kept or run._course.complete:
            self._kept += out
            return b""
        return out

    def first(self) -> bool:
        """Whether these are the first bytes that go on."""
        first, self._begun = not self._begun, True
        return first

    def last(self) -> bytes:
        """What goes on when the end is on record."""
        run = self._run
        if not self.over:
            self._kept += run.rest()
        return self._kept + run.ending() if run.stopped else self._kept

    def unrecorded(self, error: Unrecorded) -> bytes:
        """What goes on where it is not. Raises the error where nothing has gone on yet."""
        if not self._begun:
            raise error
        with self._run._engine.turns:
            return self._run._course.failed(error)
