"""The sequencer at work: turn after turn until it is told to stop, whatever fails in between.

It may run in a process or in a thread of its own. It answers workers' questions for subjects' keys beside it, because
the two stores have one owner, and because the erasure of a key is stated in the log.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tidegate.errors import TidegateError
from tidegate.record.index import Positions
from tidegate.record.layout import Layout
from tidegate.record.sequencer import Say, Sequencer
from tidegate.record.subject_service import SubjectService
from tidegate.record.witness import Asker

POLL: Final = 0.05  # seconds between turns that left nothing: one of many records costs little more than one of few
AGAIN: Final = 1.0  # seconds after which a failed sequencer is begun anew

Wait = Callable[[float], bool]  # waits for so many seconds, or until it is time to stop; True: stop
Step = Callable[[], None]
Taken = Callable[[Positions], None]  # told how far the journals are in that have not ended


def sequence(
    layout: Layout,
    service: SubjectService,
    wait: Wait,
    say: Say,
    memory: Path | None = None,
    taken: Taken = lambda positions: None,
    calmly: Callable[[Step], None] = lambda step: step(),
) -> None:
    """Brings what journals hold into the log until `wait` says stop, and then once more what is durable by then.

    While it keeps up, turns are taken `calmly`, by whom others go before. The caller holds the ledger (`Layout.hold`).
    What ends the service ends this too, for nobody would answer any more.
    """
    once = _Once(say)
    cosigned: SimpleQueue[str] = SimpleQueue()
    askers = [
        Asker(layout.log, witness, cosigned.put, lambda error: once(error.message)) for witness in layout.witnesses
    ]
    for asker in askers:
        asker.start()
    last = False
    try:
        while True:
            try:
                _work(_Work(Sequencer(layout, memory, say), service, cosigned, once, taken), wait, calmly)
                return
            except (TidegateError, OSError) as error:
                words = error.message if isinstance(error, TidegateError) else f"{error.strerror} (`{error.filename}`)"
                once(f"the ledger is not written: {words}")
            if last:
                return
            last = wait(AGAIN)  # what failed may be well again by now: it is tried once more
    finally:
        for asker in askers:
            asker.stop()


class _Once:
    """Does not repeat what it has just said."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last = ""

    def __call__(self, words: str) -> None:
        if words != self._last:
            self._say(words)
            self._last = words


def _work(work: "_Work", wait: Wait, calmly: Callable[[Step], None]) -> None:
    stop = False
    try:
        while not work.done:
            step = partial(work.turn, stop)
            if stop or work.behind:
                step()
            else:
                calmly(step)
            stop = stop or wait(0 if work.behind else POLL)
    finally:
        work.sequencer.close()


class _Work:
    """What is done turn after turn; it may be another thread's each time."""

    def __init__(
        self, sequencer: Sequencer, service: SubjectService, cosigned: "SimpleQueue[str]", say: Say, taken: Taken
    ) -> None:
        self.sequencer = sequencer
        self.behind = False  # the last turn has left something
        self.done = False
        self._service = service
        self._cosigned = cosigned
        self._say = say
        self._taken = taken
        self._stated: set[int] = set()  # erasures that are in the log, and of which the service does not know it

    def turn(self, stop: bool) -> None:
        """One turn. With `stop` it may be the last: when there is nothing left."""
        sequencer, service = self.sequencer, self._service
        service.check()
        new = sequencer.turn()
        self._taken(sequencer.followed)
        unrecorded = service.unrecorded
        self._stated.intersection_update(number for number, _ in unrecorded)
        erased = [each for each in unrecorded if each[0] not in self._stated]
        sequencer.erased(erased)
        self._stated.update(number for number, _ in erased)
        last = stop and not new and not erased
        if sequencer.due or (last and sequencer.log.size > sequencer.log.signed.size):
            sequencer.checkpoint()
            if self._stated:
                service.recorded(sorted(self._stated))
        while not self._cosigned.empty():
            sequencer.log.cosign(self._cosigned.get())
        indexed = self._indexed()
        self.done = last and indexed
        self.behind = sequencer.behind or not indexed

    def _indexed(self) -> bool:
        try:
            return self.sequencer.catch_up()
        except TidegateError as error:  # whoever holds it lets go some time; it is only an index
            self._say(error.message)
            return True
