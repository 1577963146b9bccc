"""The newest checkpoint of a log, kept in a folder apart from the log, and changed only by who knows what it was.

A log must never sign two trees of which neither is the beginning of the other. Its own files cannot guarantee that: a
backup may be put back, or a second instance started on a copy, and each would go on from where it believes to be. So
the log asks here before it publishes anything, and a swap whose old checkpoint is not the one in store is refused.

The promise holds as long as this folder is not put back together with the log. Keep it on another disk, out of the
backups of the log.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidegate.errors import TidegateError
from tidegate.record import durable
from tidegate.record.checkpoints import Checkpoint, parse_checkpoint
from tidegate.record.notes import NOTE_MAX, split_note


class StoreConflict(TidegateError):
    """The store has another checkpoint than the one that was to be replaced: somebody else writes this log."""

    code = "ledger_forked"


class CheckpointStore:
    """A folder with one file, `checkpoint`. Processes of one machine take turns by a lock that dies with its holder.

    After `swap` has returned the new checkpoint is on the disk. If it raises `StoreConflict` nothing has changed; if it
    raises anything else either checkpoint may be there, whole, and `newest` tells which.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for changed in durable.make_folder(folder):
            durable.flush_folder(changed)

    def newest(self) -> str | None:
        """The checkpoint in store, as a note; None before the first."""
        try:
            with (self.folder / "checkpoint").open("rb") as file:
                return file.read(NOTE_MAX + 1).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def swap(self, old: str | None, new: str) -> None:
        """Puts `new` in the place of `old`."""
        with self._locked():
            stored = self.newest()
            if stored != old:
                raise StoreConflict(f"the store has {_said(stored)}, not {_said(old)}: somebody else writes this log")
            if stored is not None:
                _check_growth(_parse(stored), _parse(new))
            durable.write(self.folder / "checkpoint", new.encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _parse(note: str) -> Checkpoint:
    return parse_checkpoint(split_note(note)[0])


def _said(note: str | None) -> str:
    if note is None:
        return "no checkpoint"
    try:
        checkpoint = _parse(note)
    except TidegateError:
        return "something that is no checkpoint"
    return f"the checkpoint of {checkpoint.size} entries with the root {checkpoint.root.hex()[:16]}"


def _check_growth(old: Checkpoint, new: Checkpoint) -> None:
    """A log keeps its origin, and does not shrink; that it grows out of what it was is for its writer to see to."""
    if old.origin != new.origin:
        raise StoreConflict(f"the store belongs to the log `{old.origin}`, not to `{new.origin}`")
    if new.size < old.size or (new.size == old.size and new.root != old.root):
        raise StoreConflict(f"a checkpoint of {new.size} entries cannot follow that of {old.size} in store")
