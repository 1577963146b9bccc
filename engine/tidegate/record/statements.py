"""What the leaves of a log say, beyond that they are unchanged: each is a record, and no journal's record is missing.

The tree proves that nothing was altered after it was signed. That nothing was left out before shows in the numbers:
the records of a worker's epoch are 1, 2, 3 and so on in the order of the log, and where one could not be read the
sequencer has said so in its place.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from tidegate.record._leaf import head
from tidegate.record.index import Positions, Row
from tidegate.record.leaves import decode
from tidegate.record.records import LEAF, UNREAD, Gap, RecordError
from tidegate.record.rehash import Progress
from tidegate.record.tiles import TileError, read_bundle, tile_width

BUNDLE: Final = 256
FINDINGS: Final = 1000  # that are named; all are counted


class Finding(Struct, frozen=True):
    """Something that is not as it should be, and where."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class Statements:
    """One pass over the entries of a log, in order.

    `seen` is given what an index has to say of each record of a run, and `positions` is how far each journal is.
    """

    def __init__(self, seen: Callable[[Row], None] | None = None) -> None:
        self.findings: list[Finding] = []
        self.unnamed = 0  # findings beyond those that are named
        self.unknown: dict[str, int] = {}  # how many entries there are of each kind that this version does not know
        self.positions: Positions = {}
        self.size = 0
        self._seen = seen

    def read(self, log: Path, size: int, progress: Progress | None = None) -> None:
        """All entries of a log with so many; a bundle that cannot be read is passed over: verifying names it."""
        for number in range(-(-size // BUNDLE)):
            try:
                self.take(number * BUNDLE, read_bundle(log, number, tile_width("entries", number, size)))
            except TileError as error:
                self._found(error.path, f"its entries are not looked at: {error.message}")
            self.size = min(size, (number + 1) * BUNDLE)
            if progress:
                progress(self.size, size)

    def take(self, first: int, leaves: list[bytes]) -> None:
        """Some entries, the first of which has this index."""
        positions = self.positions
        for at, leaf in enumerate(leaves, first):
            try:
                found = head(leaf)
                run = found.run
            except RecordError as error:
                self._found(f"entry {at}", error.message)
                continue
            key = found.worker, found.epoch
            last = positions.get(key, 0)
            if found.seq != last + 1:
                self._wrong(at, key, last, found.seq)
            positions[key] = found.seq
            if len(leaf) > LEAF:
                self._found(f"entry {at}", f"it has {len(leaf)} bytes, and {LEAF} are allowed")
            if run is not None and self._seen is not None:
                self._seen((run, at, found.kind, *key, found.seq))
            self._look(at, leaf)

    def _wrong(self, at: int, key: tuple[int, int], last: int, seq: int) -> None:
        whose = f"worker {key[0]}, epoch {key[1]}"
        if seq <= last:
            self._found(f"entry {at}", f"it is record {seq} of {whose} after record {last}: twice, or out of order")
        else:
            self._found(f"entry {at}", f"records {last + 1} to {seq - 1} of {whose} are not there")

    def _look(self, at: int, leaf: bytes) -> None:
        """All of it can be read; gaps say what is missing, and are themselves worth naming."""
        try:
            record = decode(leaf)
        except RecordError as error:
            self._found(f"entry {at}", error.message)
            return
        if not isinstance(record, Gap):
            self._count_unknown(record)
            return
        whose = f"worker {record.of_worker}, epoch {record.of_epoch}"
        if record.reason not in UNREAD:
            self._found(f"entry {at}", f"{record.count} records of {whose} were {record.reason}")
            return
        last = record.first + record.count - 1
        self._found(f"entry {at}", f"records {record.first} to {last} of {whose} are stated as {record.reason}")
        self.positions[record.of_worker, record.of_epoch] = last

    def _count_unknown(self, record: object) -> None:
        kind = getattr(record, "kind", None)
        if kind is not None:
            self.unknown[kind] = self.unknown.get(kind, 0) + 1

    def _found(self, place: str, what: str) -> None:
        if len(self.findings) < FINDINGS:
            self.findings.append(Finding(place, what))
        else:
            self.unnamed += 1


def leaves_of(log: Path, size: int, first: int = 0) -> Iterator[tuple[int, bytes]]:
    """The entries of a log with so many, from one on, with their indexes."""
    for number in range(first // BUNDLE, -(-size // BUNDLE)):
        for at, leaf in enumerate(read_bundle(log, number, tile_width("entries", number, size)), number * BUNDLE):
            if at >= first:
                yield at, leaf
