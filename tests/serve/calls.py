"""Processes that do with limits and journals what a gateway's do, without carrying calls: for tests that kill them.

A worker draws, records an intent, grows, records an outcome, settles by it; a supervisor makes the table, ends the
lives of dead workers, and takes journals into the log. All of it in a data directory of its own.
"""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.record.journals import sequenced
from tidegate.limit._draw import Bucket, Hold
from tidegate.model import Limit
from tidegate.record import layout
from tidegate.record._journal import Journal
from tidegate.record.leaves import encode
from tidegate.record.places import Places
from tidegate.record.records import LEAF, Draw, Intent, Outcome
from tidegate.record.totals import of_ledger
from tidegate.serve import ledger as ledgers
from tidegate.serve.limits import SECOND, Lives, Turns, join, open_limits
from tidegate.settings import Limits as Section
from tidegate.settings import Settings

LIMITS = [
    Limit(name="total", measure="tokens", max=10**12, per="total"),
    Limit(name="small", measure="usd", max=0.001, per="total"),
    Limit(name="month", measure="usd", max=10**6, per="month", exceed="warn"),
    Limit(name="rate", measure="tokens", max=10**9, per="1m"),
    Limit(name="calls", measure="concurrent", max=8),
]
BUDGETS = LIMITS[:3]


class Place:
    """A data directory with its part of shared memory, `memory`, which is a folder too."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder = folder
        self.workers = workers
        self.said: list[str] = []
        (folder / "shm").mkdir(parents=True, exist_ok=True)
        self.settings = Settings(data=str(folder / "data"), limits=Section(slots=64))

    def open(self) -> "Place":
        """What a supervisor does at its start."""
        ledgers.SHARED = self.folder / "shm"  # type: ignore[misc]
        self.ledger: Places = ledgers.ledger_of(self.settings)
        self.lives = Lives(self.ledger, self.said.append)
        self.limits = open_limits(self.settings, self.ledger, self.workers, self.said.append)
        return self

    @property
    def memory(self) -> Path:
        found = ledgers.memory_of(self.ledger)
        assert found is not None
        return found

    @property
    def table(self) -> Path:
        assert self.limits.path is not None
        return self.limits.path

    def copy(self, to: Path) -> "Place":
        """All of it once more, as it is on the disk and in memory at this moment."""
        shutil.copytree(self.folder, to)
        other = Place(to, self.workers)
        ledgers.SHARED = to / "shm"  # type: ignore[misc]
        other.ledger = ledgers.ledger_of(other.settings)
        memory = other.memory
        memory.rmdir()
        (to / "shm" / self.memory.name).rename(memory)
        return other

    def sequence(self) -> None:
        """The log takes in what is durable, and what is not needed any more is dropped."""
        sequenced(layout.find(self.ledger.folder), memory=self.memory)

    def settled(self) -> dict[str, int]:
        """What the table says of budgets that were drawn from."""
        buckets = [self.limits.prepare(each) for each in BUDGETS]
        assert [bucket.held() for bucket in buckets] == [0] * len(buckets)
        return {bucket.limit.name: bucket.settled() for bucket in buckets}

    def recorded(self) -> dict[str, int]:
        """What the records say of them, while nobody writes."""
        found = {each.bucket: (each.settled, each.end) for each in of_ledger(self.ledger, self.said.append).current()}
        names = {each.name: self.limits.prepare(each) for each in BUDGETS}
        assert found.keys() <= {bucket.key for bucket in names.values()}
        for bucket in names.values():
            assert bucket.key not in found or found[bucket.key][1] == bucket.ends // SECOND
        return {name: found.get(bucket.key, (0, 0))[0] for name, bucket in names.items()}

    def start(self, worker: int, work: "Callable[[Worker], None]") -> int:
        """A worker, whose journal has a new epoch; returns its process."""
        epoch = self.ledger.new_epoch()
        return forked(lambda: work(Worker(self, worker, epoch)))


class Worker:
    """One of them: every step is a method."""

    def __init__(self, place: Place, number: int, epoch: int) -> None:
        self.number, self.epoch, self.limits = number, epoch, place.limits
        memory = ledgers.memory_of(place.ledger)
        self.journal = Journal(
            place.ledger.journal, number, epoch, memory=memory, limit=LEAF, segment_size=32768, buffer=65536
        )
        join(self.limits, number, epoch)
        self.turns = Turns(self.limits)
        self.begun: dict[bytes, int] = {}

    def draw(self, *draws: tuple[Limit, int]) -> Hold | None:
        pairs: list[tuple[Bucket, int]] = [(self.limits.prepare(limit), amount) for limit, amount in draws]
        got = self.limits.acquire(pairs)
        return got if isinstance(got, Hold) else None

    def head(self) -> dict[str, Any]:
        seq = self.journal.appended + 1
        return {"worker": self.number, "epoch": self.epoch, "seq": seq, "time": time.time_ns()}

    def intend(self, hold: Hold) -> bytes:
        run = self.epoch.to_bytes(5, "big") + (self.journal.appended + 1).to_bytes(8, "big")
        draws = tuple(Draw(key, measure, held, 0, end) for key, measure, held, end in hold.drawn)
        self.begun[run] = self.journal.append(encode(Intent(**self.head(), run=run, draws=draws)), True)
        return run

    def record(self, run: bytes, hold: Hold, actual: list[int]) -> int:
        draws = tuple(
            Draw(key, measure, held, 0 if measure == "concurrent" else used, end)
            for (key, measure, held, end), used in zip(hold.drawn, actual, strict=True)
        )
        return self.journal.append(encode(Outcome(**self.head(), run=run, draws=draws)))

    def end(self, run: bytes, hold: Hold, actual: list[int]) -> None:
        hold.settle(actual, self.record(run, hold, actual))
        del self.begun[run]

    def turn(self) -> None:
        self.turns.check(0.0)
        self.journal.turn()
        self.journal.keep(next(iter(self.begun.values()), self.journal.appended + 1))


def busy(seed: int) -> Callable[[Worker], None]:
    """Calls at random, for ever."""

    def work(worker: Worker) -> None:
        chance = random.Random(seed)
        waiting: list[Hold] = []  # drawn, and not recorded yet
        calls: list[tuple[bytes, Hold]] = []
        while True:
            choice = chance.random()
            if choice < 0.3:
                some = chance.sample(LIMITS, chance.randint(1, len(LIMITS)))
                hold = worker.draw(*((limit, chance.choice([0, 1, 7, 40])) for limit in some))
                if hold is not None:
                    waiting.append(hold)
            elif choice < 0.55 and waiting:
                hold = waiting.pop(chance.randrange(len(waiting)))
                if chance.random() < 0.2:
                    hold.release()
                else:
                    calls.append((worker.intend(hold), hold))
            elif choice < 0.7 and calls:
                _, hold = chance.choice(calls)
                hold.grow([amount + chance.randint(0, 30) for amount in hold.amounts])
            elif choice < 0.95 and calls:
                run, hold = calls.pop(chance.randrange(len(calls)))
                worker.end(run, hold, [chance.randint(0, amount + 5) for amount in hold.amounts])
            else:
                worker.turn()
                time.sleep(0.0005)
                if worker.journal.appended > worker.journal.durable + 60:  # a slow disk refuses more than its buffer
                    worker.journal.drain(10)

    return work


def forked(work: Callable[[], None]) -> int:
    """A child that does this and ends."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Its exit code; -9: it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(child: int) -> int:
    """Kills a child; returns -9, or its exit code where it had ended before."""
    os.kill(child, signal.SIGKILL)
    return ended(child)


def killed_before(line: tuple[str, int], work: Callable[[], None]) -> int:
    """Does this in a child that is killed just before it comes to a line of a file for the first time."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename != line[0]:
            return None
        if event == "line" and frame.f_lineno == line[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def traced() -> None:
        sys.settrace(trace)
        work()

    return ended(forked(traced))


def lines_of(work: Callable[[], None], files: set[str]) -> list[tuple[str, int]]:
    """The lines of these files that this comes to, in the order in which it does for the first time."""
    seen: dict[tuple[str, int], None] = {}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_filename
        if name not in files:
            return None
        if event == "line":
            seen[name, frame.f_lineno] = None
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return list(seen)
