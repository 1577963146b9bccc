"""A ledger in a program of its own, with the same files and the same promises as the gateway's.

    from tidegate import Ledger

    with Ledger("ledger", origin="example.org/ledger") as ledger:
        run = ledger.new_run()
        seq = ledger.append(Outcome(run=run, status=200))
        ledger.wait(seq)                 # no power cut takes it any more; `await ledger.durable(seq)` in a loop
        receipt = ledger.prove(run)      # for whoever does not trust this machine

One process holds a ledger. In it any thread may append: a thread of the journal's writes, one tells who waits, one
brings everything into the log. It does not survive a fork; open it afterwards.
"""

import asyncio
import select
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec.structs import replace

from tidegate.record._runs import RunIds
from tidegate.record.aborted import CLOSED, all_of_it
from tidegate.record.index import IndexUnusable, Place, Reader
from tidegate.record.leaves import encode, raw_run
from tidegate.record.merkle import ProofError
from tidegate.record.receipts import make_receipt
from tidegate.record.records import Aborted, Intent, Outcome, Record
from tidegate.record.subject_service import erase, key_of
from tidegate.record.subjects import Kind, Subject, Subjects, identity
from tidegate.record.unrecorded import Unrecorded
from tidegate.record.writer import Writer

WATCH: Final = 0.2  # seconds between looks at whether the journal is in trouble
MOST_OPEN: Final = 100_000  # runs with an intent and without an outcome
WAIT: Final = 10.0


class Ledger:
    """Append-only evidence: durable once acknowledged, and provable to strangers a second later."""

    def __init__(self, folder: str | Path, *, origin: str | None = None, checkpoints: str = "checkpoints") -> None:
        """Opens a ledger, or makes one where there is none and an `origin` is given: a name of yours like a URL's.

        What a process before it has begun and not ended is recorded as aborted.
        """
        self.said: list[str] = []
        self._writer = Writer(folder, origin, checkpoints, say=self._say)
        self.layout = self._writer.layout
        self._epoch = self._writer.epoch
        self._journal = self._writer.journal
        self._lock = threading.Lock()
        self._told = threading.Condition(self._lock)
        self._durable = 0
        self._failures = 0
        self._trouble: str | None = None
        self._waiting: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._begun: dict[bytes, Intent] = {}  # runs that have not ended, in their order
        self._runs = RunIds()
        self.subjects = Subjects(lambda whose, answer: answer(key_of(self.layout.socket, whose)))
        self._closing = threading.Event()  # nothing is appended any more
        self._acknowledging = threading.Thread(target=self._acknowledge, name="ledger durable", daemon=True)
        self._acknowledging.start()

    def _say(self, words: str) -> None:
        self.said = [*self.said[-99:], words]

    # writing

    def new_run(self) -> bytes:
        """An id for a run, as its 13 bytes."""
        return raw_run(self._runs.new())

    def append(self, record: Record) -> int:
        """Takes a record; no kill of this process loses it. Returns its number, to wait for.

        Worker, epoch, number and, where it is 0, time are set here. Raises Unrecorded while the journal cannot be
        trusted to keep it.
        """
        with self._lock:
            return self._append(record)

    def _append(self, record: Record) -> int:
        if self._closing.is_set():
            raise Unrecorded("the ledger is closed")
        new = isinstance(record, Intent)
        if isinstance(record, Intent) and record.run not in self._begun and len(self._begun) >= MOST_OPEN:
            raise Unrecorded(f"{MOST_OPEN} runs have begun and not ended")
        seq = self._journal.appended + 1
        stamped = replace(record, worker=0, epoch=self._epoch, seq=seq, time=record.time or time.time_ns())
        self._journal.append(encode(stamped), new)
        if isinstance(record, Intent | Outcome | Aborted):
            self._begun.pop(record.run, None)
        if isinstance(stamped, Intent):
            self._begun[stamped.run] = stamped  # of several the last counts
        first = next(iter(self._begun.values())).seq if self._begun else seq
        self._journal.keep(first)  # what is settled by this record is so after it
        return seq

    def wait(self, seq: int, timeout: float = WAIT) -> None:
        """Returns when the record is durable. Raises Unrecorded when it is not, or not in time: it may be later."""
        until = time.monotonic() + timeout
        with self._told:
            failures = self._failures
            self._want(seq)
            while self._durable < seq:
                self._check(failures)
                if not self._told.wait(until - time.monotonic()) and time.monotonic() >= until:
                    raise Unrecorded(f"record {seq} is not durable after {timeout:g} s")

    async def durable(self, seq: int) -> None:
        """Like `wait`, for a coroutine, and without a time of its own."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._want(seq)
            if self._durable >= seq:
                return
            self._check(self._failures)
            self._waiting.append((seq, loop, future))
        await future

    def _want(self, seq: int) -> None:
        if self._journal.want(seq):
            self._durable = max(self._durable, self._journal.durable)
        self._journal.turn()

    def _check(self, failures: int) -> None:
        if self._failures != failures or self._trouble is not None:
            raise Unrecorded(self._trouble or "a commit to disk has failed")

    def _acknowledge(self) -> None:
        """Tells who waits what has become durable, and what has not."""
        poll = select.poll()
        poll.register(self._journal.fileno(), select.POLLIN)
        while not self._closing.is_set():
            found = poll.poll(WATCH * 1000)
            with self._told:
                if found:
                    self._durable = max(self._durable, self._journal.acknowledge())
                healthy = self._journal.turn()
                failed = self._journal.failures != self._failures
                self._failures = self._journal.failures
                self._trouble = None if healthy else self._journal.trouble or "the disk does not answer"
                self._tell(failed or not healthy)
                self._told.notify_all()
        with self._told:
            self._durable = max(self._durable, self._journal.durable)
            self._tell(True)
            self._told.notify_all()

    def _tell(self, failed: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for seq, loop, future in waiting:
            if seq <= self._durable:
                _call(loop, future, None)
            elif failed:
                _call(loop, future, Unrecorded(self._trouble or f"record {seq} is not durable"))
            else:
                self._waiting.append((seq, loop, future))

    # the log

    def prove(self, run: bytes, timeout: float = WAIT) -> str:
        """A receipt for the last record of a run, as soon as a checkpoint has it."""
        until = time.monotonic() + timeout
        while True:
            places = self._places(run)
            if places:
                return make_receipt(self.layout.log, places[-1].leaf)
            if time.monotonic() >= until:
                raise ProofError(f"the log has no record of the run {run.hex()} after {timeout:g} s")
            time.sleep(0.05)

    def _places(self, run: bytes) -> list[Place]:
        try:
            reader = Reader(self.layout.index)
            try:
                return reader.places(run)
            finally:
                reader.close()
        except IndexUnusable:
            return []  # it is being made

    # subjects

    def subject(self, tenant: str, kind: Kind, id: str = "") -> Subject:
        """Whom records are about: gives pseudonyms and commitments. Its key is made when it is first asked for."""
        found: list[Subject | None] = []
        self.subjects.find(found.append, tenant, kind, id)
        assert found[0] is not None
        return found[0]

    def erase(self, tenant: str, kind: Kind, id: str = "") -> bool:
        """Destroys a subject's key, and records that; False where there was none."""
        whose = identity(tenant, kind, id)
        gone = erase(self.layout.socket, whose) is not None
        self.subjects.forget(whose)
        return gone

    # the end

    def close(self) -> None:
        """Records runs that have not ended as aborted, makes everything durable and brings it into the log."""
        with self._lock:
            if self._closing.is_set():
                return
            for intent in list(self._begun.values()):
                self._append(Aborted(run=intent.run, reason=CLOSED, draws=all_of_it(intent)))
            self._journal.drain(WAIT)
            self._closing.set()
        self._acknowledging.join()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _call(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[None]", error: Unrecorded | None) -> None:
    def settle() -> None:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        pass  # its loop is closed: nobody waits
