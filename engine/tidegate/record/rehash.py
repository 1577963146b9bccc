"""One pass over the files of a log: the tree is built again from the entries, and every tile is held against it.

Where a tile and what it covers disagree, one of them was changed. The tile above knows which: its hash is that of the
one or of the other. At the edge of the tree, where no tile is above, the signed root decides in the same way. The pass
goes on with the side that is right, so that a change is named once, where it was made.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from tidegate.record._hashes import root_hash
from tidegate.record.checkpoints import Checkpoint
from tidegate.record.merkle import HASH_SIZE, TILE_WIDTH, Edge
from tidegate.record.tiles import (
    Level,
    TileError,
    find_bundle,
    parse_tile_path,
    read_bundle,
    read_tile,
    tile_path,
    tile_width,
)

NAMED_MAX: Final = 8  # changed entries of one bundle that are named one by one
FAULTS_MAX: Final = 10_000  # faults that are named; all are counted
HOLE_MAX: Final = 2_000  # bundles on end of which there is nothing; whatever a checkpoint says, the log ends there
UNKNOWN: Final = bytes(HASH_SIZE)  # stands for the hash of an entry that is missing

Progress = Callable[[int, int], None]  # entries done, and all of them
Seen = Callable[[str, int, list[bytes]], None]  # the path of a bundle, the index of its first entry, its entries


class Fault(NamedTuple):
    """Something is not as it was signed: the file, by its path in the log's folder, and the first entry it is about."""

    place: str
    entry: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" if self.entry is None else f"{self.place}: entry {self.entry}: {self.what}"


class _Dispute(NamedTuple):
    """A tile at the edge that disagrees with what it covers: both rows, and the faults when either is wrong."""

    level: int
    derived: list[bytes]
    stored: list[bytes]
    tile_wrong: list[Fault]
    below_wrong: list[Fault]


class Rehash:
    """The pass: `faults` are what it has found, `agrees` says which earlier checkpoints are of this history."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, earlier: Sequence[Checkpoint] = ()) -> None:
        self.faults: list[Fault] = []
        self.unnamed = 0  # faults beyond `FAULTS_MAX`
        self.agrees: dict[Checkpoint, bool] = {}
        self._folder = folder
        self._signed = checkpoint
        self._earlier = sorted(set(earlier), key=lambda one: one.size, reverse=True)
        self._taken = 0  # entries
        self._rows: list[list[bytes]] = [[]]  # at each level, what the tile that is not complete yet has to hold
        self._tiles: dict[int, tuple[int, list[bytes] | None]] = {}  # at each level, the tile that was read last
        self._wrong: set[tuple[int, int]] = set()  # tiles below which a fault is known: those above do not repeat it
        self._disputes: list[_Dispute] = []
        self._hole = 0  # bundles missing on end

    def run(self, seen: Seen, progress: Progress | None = None) -> None:
        """Goes through the whole log; `seen` is given every bundle."""
        size = self._signed.size
        self._hold_earlier([])
        for index in range(-(-size // TILE_WIDTH)):
            self._bundle(index, seen)
            if progress:
                progress(self._taken, size)
            if self._hole == HOLE_MAX:
                what = f"after {HOLE_MAX} bundles of which nothing is there, no more were looked for"
                self._found(Fault(tile_path("entries", index + 1), self._taken, what))
                return
        for level, row in enumerate(self._rows):
            if level and row:
                self._rows[level] = self._settle(level, (size >> 8 * level) // TILE_WIDTH, row)
        self._judge()
        self._superseded()

    def _bundle(self, index: int, seen: Seen) -> None:
        """Takes the entries of a bundle into the tree."""
        width = tile_width("entries", index, self._signed.size)
        tile = self._tile(0, index)
        path, entries, expected = self._open(index, width)
        seen(path, self._taken, entries)
        # by other code than the writer's: what it got wrong is seen here
        row = [sha256(b"\x00" + entry).digest() for entry in entries[:width]]
        if len(entries) != expected:
            astray = (at for at, (one, other) in enumerate(zip(row, tile or row, strict=False)) if one != other)
            what = f"the bundle has {len(entries)} entries instead of {expected}, others from here on"
            self._found(Fault(path, self._taken + next(astray, len(row)), what))
            self._wrong.add((0, index))
        row += [UNKNOWN] * (width - len(row))
        settled = self._settle(0, index, row, path)
        self._hold_earlier(row, settled, tile or row)
        self._rows[0] = settled
        self._taken += width
        self._rise()

    def _open(self, index: int, width: int) -> tuple[str, list[bytes], int]:
        """The path of a bundle, its entries, and how many it should have; of one that cannot be read, none."""
        try:
            found = find_bundle(self._folder, index, width)
            self._hole = 0
        except TileError as error:
            found = error.path, [], 0
            self._hole = 0 if self._tile(0, index) else self._hole + 1
            self._found(
                Fault(error.path, self._taken, f"{error.what}; it has the entries to {self._taken + width - 1}")
            )
            self._wrong.add((0, index))
        return found

    def _rise(self) -> None:
        """Takes the root of each row that is complete into the row above, which is settled when that completes it."""
        level = 0
        while len(self._rows[level]) == TILE_WIDTH:
            root, self._rows[level] = root_hash(self._rows[level]), []
            level += 1
            if level == len(self._rows):
                self._rows.append([])
            self._rows[level].append(root)
            if len(self._rows[level]) == TILE_WIDTH:
                index = (self._taken >> 8 * (level + 1)) - 1
                self._rows[level] = self._settle(level, index, self._rows[level])

    def _hold_earlier(self, *rows: list[bytes]) -> None:
        """Compares the checkpoints of up to this bundle, with the tree that ends within it at their size."""
        while self._earlier and self._earlier[-1].size <= self._taken + len(rows[0]):
            one = self._earlier.pop()
            above = self._rows[1:]
            trees = (Edge(one.size, [row[: one.size - self._taken], *above]) for row in rows)
            self.agrees[one] = any(tree.root() == one.root for tree in trees)

    def _settle(self, level: int, index: int, derived: list[bytes], below: str = "") -> list[bytes]:
        """The row that is right: what the entries lead to, or what the tile says where that is what was signed."""
        stored = self._tile(level, index)
        if stored is None or stored == derived:
            return derived
        changed = [at for at, (one, other) in enumerate(zip(derived, stored, strict=True)) if one != other]
        path = tile_path(level, index, len(derived))
        first = (index * TILE_WIDTH + changed[0]) << 8 * level
        tile_wrong = [Fault(path, first, f"hash {changed[0]} of the tile is not that of what it covers")]
        below_wrong = [] if (level, index) in self._wrong else [*self._below(level, index, changed, path, below)]
        above = self._parent(level, index)
        if above == root_hash(derived):
            self._found(*tile_wrong)
            return derived
        if len(derived) < TILE_WIDTH and (level, index) not in self._wrong:
            self._disputes.append(_Dispute(level, derived, stored, tile_wrong, below_wrong))
            return derived
        self._found(*below_wrong)
        return stored if above in (None, root_hash(stored)) else derived

    def _below(self, level: int, index: int, changed: list[int], path: str, bundle: str) -> Iterator[Fault]:
        """The faults when the tile is right, and what it covers at these hashes was changed."""
        first = index * TILE_WIDTH
        if level == 0:
            for at in changed[:NAMED_MAX]:
                yield Fault(bundle, first + at, f"is not the entry that `{path}` has the hash of")
            if len(changed) > NAMED_MAX:
                more = len(changed) - NAMED_MAX
                yield Fault(bundle, first + changed[NAMED_MAX], f"nor are this one and the {more - 1} that follow")
            return
        for at in changed:
            what = f"the tile and what it covers were changed together: they are not what hash {at} of `{path}` says"
            yield Fault(tile_path(level - 1, first + at), first + at << 8 * level, what)

    def _judge(self) -> None:
        """Finds the rows at the edge that lead to the signed root; where none do, something else was signed."""
        for rights in itertools.product((False, True), repeat=len(self._disputes)):
            rows = list(self._rows)
            for dispute, tile_is_right in zip(self._disputes, rights, strict=True):
                rows[dispute.level] = dispute.stored if tile_is_right else dispute.derived
            if Edge(self._taken, rows).root() == self._signed.root:
                for dispute, tile_is_right in zip(self._disputes, rights, strict=True):
                    self._found(*(dispute.below_wrong if tile_is_right else dispute.tile_wrong))
                return
        for dispute in self._disputes:
            self._found(*dispute.below_wrong)
        self._found(Fault("checkpoint", None, f"the {self._taken} entries do not lead to the root that was signed"))

    def _superseded(self) -> None:
        """Compares partial tiles that were left with what followed them, unless that was found to be wrong itself."""
        wrong = {fault.place for fault in self.faults}
        for path, level, index, width in self._partials():
            now = tile_width(level, index, self._signed.size)
            if width < now and tile_path(level, index, now) not in wrong and not self._begins(level, index, width, now):
                first = index * TILE_WIDTH << 8 * (0 if level == "entries" else level)
                self._found(Fault(path, first, "is not the beginning of the tile that followed it"))

    def _partials(self) -> Iterator[tuple[str, Level, int, int]]:
        """All partial tiles that are there, by path, level, index and width."""
        for name, _, files in os.walk(self._folder / "tile"):
            for file in files if name.endswith(".p") else ():
                path = f"{Path(name).relative_to(self._folder).as_posix()}/{file}"
                with contextlib.suppress(TileError):  # other files are in nobody's way
                    yield path, *parse_tile_path(path)

    def _begins(self, level: Level, index: int, width: int, now: int) -> bool:
        """Whether the partial tile of a width is the beginning of the tile that there is now."""
        try:
            if level == "entries":
                part, whole = (read_bundle(self._folder, index, wide) for wide in (width, now))
            else:
                part, whole = (read_tile(self._folder, level, index, wide) for wide in (width, now))
        except TileError:
            return False
        return part == whole[:width]

    def _parent(self, level: int, index: int) -> bytes | None:
        """What the tile above says of a full tile."""
        if tile_width(level, index, self._signed.size) < TILE_WIDTH:
            return None
        above = self._tile(level + 1, index // TILE_WIDTH)
        return above[index % TILE_WIDTH] if above else None

    def _tile(self, level: int, index: int) -> list[bytes] | None:
        """What a tile says; nothing, and a fault, where it cannot be read."""
        if self._tiles.get(level, (-1, None))[0] != index:
            try:
                row = read_tile(self._folder, level, index, tile_width(level, index, self._signed.size))
            except TileError as error:
                row = None
                self._found(Fault(error.path, index * TILE_WIDTH << 8 * level, error.what))
            self._tiles[level] = (index, row)
        return self._tiles[level][1]

    def _found(self, *faults: Fault) -> None:
        for fault in faults:
            if len(self.faults) < FAULTS_MAX:
                self.faults.append(fault)
            else:
                self.unnamed += 1
