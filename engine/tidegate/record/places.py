"""Where the parts of a ledger are in its folder. Who only writes into a journal needs to know no more.

journal/       what workers have written and the log has not taken over yet
log/           the tree: tiles, entries, checkpoint; may be shown to anybody
keys/          the keys that sign checkpoints
keys.db        the keys of subjects, and `keys.sock`, where workers ask for them
index.db       where in the log each run is; can be deleted
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tidegate.errors import StartError
from tidegate.record import durable, segments


class Places(Struct, frozen=True):
    """The places of one ledger."""

    folder: Path

    @property
    def journal(self) -> Path:
        """Segments, and the rings of their writers."""
        return self.folder / "journal"

    @property
    def log(self) -> Path:
        """Tiles, entries and the published checkpoint."""
        return self.folder / "log"

    @property
    def keys(self) -> Path:
        """Private and public keys of the log."""
        return self.folder / "keys"

    @property
    def subjects(self) -> Path:
        """The store of the keys of subjects."""
        return self.folder / "keys.db"

    @property
    def socket(self) -> Path:
        """Where the process that holds that store answers."""
        return self.folder / "keys.sock"

    @property
    def index(self) -> Path:
        """Where runs are in the log."""
        return self.folder / "index.db"

    def hold(self) -> int:
        """Makes this process the one that writes the ledger, until it closes what is returned."""
        held = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(held)
            raise StartError(f"the ledger `{self.folder}` is written by another process") from None
        return held

    def new_epoch(self) -> int:
        """A number that no journal here had before: a life of a worker. Durable before it is returned.

        What is counted begins with the time, in hundredths of a second: records of a number that is given twice would
        be taken for those that the log has, and a counter can be lost, spoilt, or set back by who wants just that.
        """
        counter = self.journal / "epoch"
        with self._alone(counter.with_name("epoch.lock")):
            try:
                last = int(counter.read_text())
            except (FileNotFoundError, ValueError):
                last = 0
            there = [name.epoch for name, _ in segments.listing(self.journal)]
            epoch = max(int(time.time() * 100), 1 + max([last, *there]))
            durable.write(counter, f"{epoch}\n".encode())
            durable.flush_folder(self.journal)
        return epoch

    @staticmethod
    @contextmanager
    def _alone(path: Path) -> Iterator[None]:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
