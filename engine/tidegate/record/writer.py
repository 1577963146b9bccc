"""A ledger that this process writes: it holds the folder, has a journal in it, and brings that into the log.

    writer = Writer(folder, origin, checkpoints, end)
    writer.journal, writer.epoch        where records go; one thread at a time
    writer.close()                      everything is durable and in the log

What a process before it has begun and not ended comes to its end first: `end` says how.
"""

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from tidegate.errors import StartError
from tidegate.record import layout as layouts
from tidegate.record._journal import Journal
from tidegate.record.aborted import abort
from tidegate.record.layout import Layout
from tidegate.record.records import LEAF
from tidegate.record.recovery import recover, unended
from tidegate.record.sequencing import sequence
from tidegate.record.subject_service import SubjectService
from tidegate.record.subject_store import SubjectStore

End = Callable[[Layout], None]
Say = Callable[[str], None]


def end_all(layout: Layout) -> None:
    """Ends every epoch; a call without an outcome is aborted, and charged all that it held."""
    for worker, epoch in unended(layout.journal):
        recover(layout.journal, worker, epoch, abort(worker, epoch), bereft=True)


class Writer:
    """One process writes a ledger at a time: StartError for a second one. It does not survive a fork."""

    def __init__(
        self,
        folder: str | Path,
        origin: str | None,
        checkpoints: str,
        end: End = end_all,
        say: Say = lambda words: None,
        *,
        audit: Literal["required", "best_effort"] = "required",
        stale: float = 2.0,
    ) -> None:
        """Opens a ledger, or makes one where there is none and an `origin` is given."""
        place = Path(folder)
        if origin is not None and not (place / layouts.NAME).exists():
            layouts.create(place, origin, checkpoints)
        self.layout = layouts.find(place)
        if origin not in (None, self.layout.origin):
            raise StartError(f"the ledger `{place}` is that of `{self.layout.origin}`, and not of `{origin}`")
        self._say = say
        with ExitStack() as undone:
            self._held = self.layout.hold()
            undone.callback(os.close, self._held)
            end(self.layout)
            self.epoch = self.layout.new_epoch()
            self.service = SubjectService(lambda: SubjectStore(self.layout.subjects), self.layout.socket)
            undone.callback(self.service.stop)
            self.journal = Journal(self.layout.journal, 0, self.epoch, limit=LEAF, audit=audit, stale=stale)
            undone.pop_all()
        self.ended = threading.Event()  # the journal has
        self._sequencer = threading.Thread(target=self._sequence, name="ledger sequencer", daemon=True)
        self._sequencer.start()

    def _sequence(self) -> None:
        try:
            sequence(self.layout, self.service, self.ended.wait, self._say)
        except Exception as error:
            self._say(f"the ledger is not written any more: {type(error).__name__}: {error}")
            raise

    def close(self, seal: bool = True) -> None:
        """Makes everything durable and brings it into the log. Without `seal` the epoch is left to who recovers it."""
        if seal:
            self.journal.close()
        self.ended.set()
        self._sequencer.join()
        self.service.stop()
        os.close(self._held)
