"""The keys in force in one process, and how a change gets there.

The processes of a gateway share one word with the commands (`keyfile.Word`). A call compares it with the value seen
last: one look into memory. Where it has moved, the lines that were added are read and put in force before the call goes
on. So a revocation holds for every request that arrives after its command has returned, and a change costs what it
says, however many keys there are. A call knows one state of the keys from its start to its end: it reads them once.

* A change that was announced and cannot be read may be a revocation: until it can, no key is taken.
* A file that changed without an announcement (a command that was killed before it, an editor) is seen within a second.
  Where it makes no sense, the last good keys stay in force.
"""

import os
from collections.abc import Callable
from pathlib import Path

from tidegate.clock import Clock
from tidegate.errors import KeysError
from tidegate.identify import keyfile
from tidegate.identify.keys import PEPPER, Digester, Key, digester


class Keys:
    """The keys of a data directory; raises KeysError where they cannot be read. After a fork both sides go on alone."""

    def __init__(self, folder: Path, told: Callable[[str], None]) -> None:
        self._folder = folder
        self._path = keyfile.paths(folder)[0]
        self._told = told
        try:
            self.words = keyfile.Word(folder).words
        except OSError as error:
            raise keyfile.unreadable(keyfile.paths(folder)[2], error) from None
        self.failed = ""  # why no key can be taken now
        self.version = 0  # grows with whatever may have changed them: what was proved before must be proved again
        self.keys: dict[bytes, Key] = {}  # by id
        self.digest: Digester = digester(os.urandom(PEPPER))  # where there are none, one is checked with the same work
        self._size = 0
        self._lines = 0
        self._place: tuple[int, int] | None = None
        self._again = False  # what failed may pass by itself
        self._complaint = ""
        self.refresh()
        if self.failed:
            raise KeysError(self.failed)

    def follow(self, clock: Clock, told: Callable[[str], None]) -> None:
        """Looks once a second for changes that were not announced, and says what is wrong."""
        self._told = told
        clock.watch(self)

    def refresh(self) -> None:
        """Puts in force what was announced; where it cannot be read, no key is in force."""
        self.seen = self.words[0]
        self._looked = self._look()
        self._again = False
        self.failed = f"{self._path}: it was not read to its end"  # should a bug of ours end the reading
        try:
            self._read()
            self.failed = ""
        except KeysError as error:
            self.failed = error.message
            self._again = isinstance(error, keyfile.Unreachable)
            self._complain(f"{error.message}; until it can be read no virtual key is taken")

    def check(self, now: float) -> bool:
        """The clock's question."""
        looked = self._look()
        if self.seen != self.words[0] or (self.failed and (self._again or looked != self._looked)):
            self.refresh()
        elif looked != self._looked:
            self._looked = looked
            try:
                self._read()
            except KeysError as error:
                self._complain(f"{error.message}; the keys that were read last stay in force")
        return True

    def _read(self) -> None:
        """Reads what was added; all of it where it is another file."""
        self.version += 1
        announced = self.words[1]
        added = self._added() if self._place is not None else None
        if added is None:
            found = keyfile.read(self._folder, announced)
            self.keys, self._size, self._lines, self._place = found.keys, found.size, found.lines, found.place
            if found.digest is None:
                self._place = None  # not even begun
            else:
                self.digest = found.digest
        else:
            place, self._place = self._place, None  # should a line make no sense, the next look is at all of it
            keyfile.not_short(self._path, self._size + len(added), announced)
            self._lines = keyfile.add(self.keys, self._path, self._lines + 1, added)
            self._size += len(added)
            self._place = place
        self._complaint = ""

    def _added(self) -> bytes | None:
        """The whole lines that are new in the file; None where it is not the same file."""
        try:
            with open(self._path, "rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_dev, status.st_ino) != self._place or status.st_size < self._size:
                    return None
                data = os.pread(file.fileno(), status.st_size - self._size, self._size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise keyfile.unreadable(self._path, error) from None
        return data[: data.rfind(b"\n") + 1]

    def _look(self) -> object:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns

    def _complain(self, words: str) -> None:
        if words != self._complaint:
            self._complaint = words
            self._told(words)
