"""The loop and the clock of a program that has none, or many threads: whoever holds the lock is the loop, for one turn.

    with turns: ...                 one turn; what was put off is done at its end
    turns.take()                    waits for what turns are told of, and takes one; for a thread of its own
    turns.until(evidence, seq)      returns when a record is durable; `await turns.durable(evidence, seq)` in a loop

What a worker of the gateway does in the callbacks of its loop, threads do here in turns: never two at a time, and
nothing in a turn waits.
"""

import asyncio
import os
import select
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final

from tidegate.clock import Watched
from tidegate.errors import StartError, TidegateError
from tidegate.record.evidence import Evidence
from tidegate.record.unrecorded import Unrecorded

SECOND: Final = 1.0

Say = Callable[[str], None]
_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


class Turns:
    """One lock, and what is done under it without being asked for."""

    def __init__(self, say: Say) -> None:
        self.now = time.monotonic()
        self._say = say
        self._forks = _forks
        self._whose = 0  # the thread that has the turn
        self._lock = threading.Lock()
        self._ended = False
        self._soon: list[Callable[[], None]] = []
        self._readers: dict[int, Callable[[], None]] = {}
        self._watched: list[Watched] = []
        self._next = self.now
        self._stop = os.eventfd(0)
        self._poll = select.poll()
        self._poll.register(self._stop, select.POLLIN)

    @property
    def forked(self) -> bool:
        """This process is a child of the one that the turns are taken in."""
        return self._forks != _forks

    @property
    def mine(self) -> bool:
        """This thread is in a turn: something has interrupted it, such as the garbage collector."""
        return self._whose == threading.get_ident()

    def check(self) -> None:
        """Raises StartError in a child."""
        if self._forks != _forks:
            raise StartError("an engine does not survive a fork: make one in the child, with a ledger of its own")

    def __enter__(self) -> None:
        self.check()
        self._lock.acquire()
        self._whose = threading.get_ident()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            while self._soon:
                self._soon.pop()()
        finally:
            self._whose = 0
            self._lock.release()

    # what evidence wants of a loop and of a clock; all of it is called in a turn

    def call_soon(self, callback: Callable[[], None], /) -> None:
        """Calls back at the end of this turn."""
        self._soon.append(callback)

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> None:
        """Calls back in a turn whenever there is something to read."""
        self._readers[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def remove_reader(self, fd: int, /) -> None:
        """No longer."""
        del self._readers[fd]
        self._poll.unregister(fd)

    def watch(self, thing: Watched, /) -> None:
        """Has its `check` called once a second."""
        self._watched.append(thing)

    # the thread's part

    def take(self) -> bool:
        """Waits until there is something to do, at most a second, and does it. False: it is to be stopped."""
        found = [fd for fd, _ in self._poll.poll(max(0.0, self._next - time.monotonic()) * 1000)]
        if self._stop in found:
            return False
        with self:
            self.now = time.monotonic()
            for fd in found:
                if fd in self._readers:
                    self._safely(self._readers[fd])
            if self.now >= self._next:
                self._next = self.now + SECOND
                self._watched = [thing for thing in self._watched if self._safely(partial(thing.check, self.now))]
        return True

    def _safely(self, work: Callable[[], bool | None]) -> bool | None:
        """A bug in one must not leave the others without what is due to them."""
        try:
            return work()
        except Exception as error:
            self._say(f"what the engine does by itself failed: {type(error).__name__}: {error}")
            return True

    def stop(self) -> None:
        """`take` returns False from now on."""
        os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """Nobody takes turns any more."""
        os.close(self._stop)

    def end(self) -> None:
        """Nothing becomes durable any more. In a turn."""
        self._ended = True

    # waiting for a record, outside of any turn

    def until(self, evidence: Evidence, seq: int) -> None:
        """Returns when the record is durable. Raises Unrecorded when it is not."""
        waiting = _Waiting()
        waits = self._wait(evidence, seq, waiting)
        if waits:
            waiting.event.wait()
            if waiting.error is not None:
                raise waiting.error

    async def durable(self, evidence: Evidence, seq: int) -> None:
        """The same, for a coroutine."""
        waiting = _Awaiting(asyncio.get_running_loop())
        waits = self._wait(evidence, seq, waiting)
        if waits:
            await waiting.future

    def _wait(self, evidence: Evidence, seq: int, waiting: "_Waiting | _Awaiting") -> bool:
        with self:
            if self._ended:
                raise Unrecorded("the engine was closed before it was known that the record is durable")
            return evidence.wait(seq, waiting)


class _Waiting:
    """A thread that waits."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.error: TidegateError | None = None

    def release(self) -> None:
        self.event.set()

    def lost(self, error: TidegateError) -> None:
        self.error = error
        self.event.set()


class _Awaiting:
    """A coroutine that waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.future: asyncio.Future[None] = loop.create_future()

    def release(self) -> None:
        self._tell(None)

    def lost(self, error: TidegateError) -> None:
        self._tell(error)

    def _tell(self, error: TidegateError | None) -> None:
        def settle() -> None:
            if not self.future.done():
                if error is None:
                    self.future.set_result(None)
                else:
                    self.future.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:
            pass  # its loop is closed: nobody waits
