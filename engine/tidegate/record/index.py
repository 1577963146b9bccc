"""index.db: where in the log the records of a run are, and how far each journal is in it.

It says nothing that the log does not say, and is made from the log's files alone: delete it, and it comes back equal.
The sequencer is its only writer, through one connection. That is why the bug of SQLite before 3.51.3, for which two
must write or checkpoint one write-ahead log, cannot happen here; readers open it read-only and can do neither. A power
cut may take the last commits (`synchronous = NORMAL`); they are made again.
"""

import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tidegate.errors import StartError, TidegateError
from tidegate.record._leaf import head
from tidegate.record.leaves import decode
from tidegate.record.merkle import TILE_WIDTH, leaf_hash
from tidegate.record.records import UNREAD, Gap, RecordError
from tidegate.record.tiles import TileError, read_bundle, tile_width

SCHEMA: Final = 1
TABLES: Final = """
BEGIN;
CREATE TABLE state (schema INTEGER NOT NULL, size INTEGER NOT NULL, last BLOB NOT NULL);
CREATE TABLE run (
    run BLOB NOT NULL, leaf INTEGER NOT NULL, kind TEXT NOT NULL,
    worker INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (run, leaf)
) WITHOUT ROWID;
CREATE TABLE position (
    worker INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (worker, epoch)
) WITHOUT ROWID;
"""
SLICE: Final = 64  # bundles taken in by one call and one commit, so that its caller can do other things in between

Row = tuple[bytes, int, str, int, int, int]
Positions = dict[tuple[int, int], int]  # by worker and epoch: the last record that the log has


class IndexUnusable(TidegateError):
    """index.db cannot be read or written now; the log is not harmed."""

    code = "ledger_index"


class IndexMissing(IndexUnusable):
    """There is no index, or it is being made."""


class Place(NamedTuple):
    """Where a record of a run is in the log, and where it was in a journal."""

    leaf: int
    kind: str
    worker: int
    epoch: int
    seq: int


class Index:
    """The writer's side. `size` says how many entries of the log are in."""

    def __init__(self, path: Path, log: Path, size: int) -> None:
        """Opens the index of a log that has `size` entries; one of another log, or a broken one, is made anew."""
        self._path = path
        self._log = log
        self.size = 0
        try:
            self._open(size)
        except (sqlite3.DatabaseError, RecordError, TileError) as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or not writable: not a reason to delete it
                raise StartError(f"{path}: cannot be used: {error}") from None
            _remove(path)
            self._open(size)

    def _open(self, size: int) -> None:
        # one thread uses it at a time, and not always the same
        self._db = db = sqlite3.connect(self._path, isolation_level=None, timeout=0, check_same_thread=False)
        try:
            db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;")
            if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                db.executescript(TABLES)
                db.execute("INSERT INTO state VALUES (?, 0, x'')", (SCHEMA,))
                db.execute("COMMIT")
            [(schema, self.size, last)] = db.execute("SELECT schema, size, last FROM state")
            if schema != SCHEMA or self.size > size or self._last(self.size, size) != last:
                raise sqlite3.DatabaseError("it is not of this log")
            self._made = os.stat(self._path).st_ino
        except BaseException:
            db.close()
            raise

    def _reopen(self, size: int) -> None:
        try:
            self._open(size)
        except (sqlite3.Error, RecordError) as error:
            raise IndexUnusable(f"{self._path}: cannot be used: {error}") from None

    def _last(self, count: int, size: int) -> bytes:
        """What the last of the first `count` entries hashes to."""
        return leaf_hash(self._bundle((count - 1) // TILE_WIDTH, size)[(count - 1) % TILE_WIDTH]) if count else b""

    def _bundle(self, number: int, size: int) -> list[bytes]:
        return read_bundle(self._log, number, tile_width("entries", number, size))

    def catch_up(self, size: int) -> bool:
        """Takes in some of what the log has beyond `self.size`; True when nothing is left. All of it or none."""
        if not self._is_there():
            self.close()
            self._reopen(size)
        if self.size >= size:
            return True
        rows: list[Row] = []
        positions: Positions = {}
        first, last = self.size // TILE_WIDTH, -(-size // TILE_WIDTH)
        upto, leaf = self.size, b""
        for number in range(first, min(last, first + SLICE)):
            bundle = self._bundle(number, size)
            skip = max(0, self.size - number * TILE_WIDTH)
            for at, leaf in enumerate(bundle[skip:], number * TILE_WIDTH + skip):
                self._take(at, leaf, rows, positions)
            upto = number * TILE_WIDTH + len(bundle)
        self._commit(rows, positions, upto, leaf_hash(leaf))
        return self.size >= size

    def _take(self, at: int, leaf: bytes, rows: list[Row], positions: Positions) -> None:
        try:
            found = head(leaf)
            run = found.run
        except RecordError:
            return  # not a record: `fsck` names it
        positions[found.worker, found.epoch] = found.seq
        if run is not None:
            rows.append((run, at, found.kind, found.worker, found.epoch, found.seq))
        elif found.kind == "gap":
            gap = decode(leaf)
            if isinstance(gap, Gap) and gap.reason in UNREAD:
                positions[gap.of_worker, gap.of_epoch] = gap.first + gap.count - 1

    def _commit(self, rows: list[Row], positions: Positions, size: int, last: bytes) -> None:
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?)", rows)
            places = [(*key, seq) for key, seq in positions.items()]
            db.executemany("INSERT OR REPLACE INTO position VALUES (?, ?, ?)", places)
            db.execute("UPDATE state SET size = ?, last = ?", (size, last))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise IndexUnusable(f"{self._path}: cannot be written: {error}") from None
        self.size = size

    def _is_there(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._made
        except FileNotFoundError:
            return False

    def positions(self) -> Positions:
        """How far each journal is in, as of `size`."""
        try:
            rows = self._db.execute("SELECT worker, epoch, seq FROM position").fetchall()
        except sqlite3.Error as error:
            raise IndexUnusable(f"{self._path}: cannot be read: {error}") from None
        return {(worker, epoch): seq for worker, epoch, seq in rows}

    def close(self) -> None:
        self._db.close()


class Reader:
    """Anybody else's side; it never makes the writer wait."""

    def __init__(self, path: Path) -> None:
        missing = IndexMissing(f"{path}: there is no index; it is made by whoever opens the ledger to write")
        if not path.exists():
            raise missing
        self._path = path
        log = path.with_name(path.name + "-wal")
        # to read a database at rest SQLite makes files beside it, for which a medium that nobody writes to has no place
        at_rest = "" if log.exists() or os.access(path.parent, os.W_OK) else "&immutable=1"
        where = f"{path.absolute().as_uri()}?mode=ro{at_rest}"
        try:
            self._db = sqlite3.connect(where, uri=True, isolation_level=None, timeout=5)
        except sqlite3.Error as error:
            raise IndexUnusable(f"{path}: cannot be opened: {error}") from None
        try:
            if not self._all("SELECT 1 FROM sqlite_master"):
                raise missing  # it is being made
        except IndexUnusable:
            self._db.close()
            raise

    @property
    def size(self) -> int:
        """How many entries of the log are in."""
        return int(self._all("SELECT size FROM state")[0][0])

    def places(self, run: bytes) -> list[Place]:
        """Where the records of a run are, in the order of the log; `run` is the 13 bytes of its id."""
        found = self._all("SELECT leaf, kind, worker, epoch, seq FROM run WHERE run = ? ORDER BY leaf", run)
        return [Place(*row) for row in found]

    def positions(self) -> Positions:
        """How far each journal is in, as of `size`."""
        return {(row[0], row[1]): row[2] for row in self._all("SELECT worker, epoch, seq FROM position")}

    def rows(self) -> Generator[Row, None, None]:
        """All that it says of runs, in the order of the log, as it is when the first is asked for."""
        try:
            yield from self._db.execute("SELECT run, leaf, kind, worker, epoch, seq FROM run ORDER BY leaf")
        except sqlite3.Error as error:
            raise IndexUnusable(f"{self._path}: cannot be read: {error}") from None

    @contextmanager
    def still(self) -> Iterator[None]:
        """Inside it the index is as it was, whatever its writer does."""
        self._all("BEGIN")
        try:
            yield
        finally:
            self._db.rollback()

    def open_runs(self) -> int:
        """How many runs have an intent and neither an outcome nor the record that they were aborted."""
        [(count,)] = self._all(
            "SELECT count(DISTINCT run) FROM run AS one WHERE kind = 'intent' AND NOT EXISTS"
            " (SELECT 1 FROM run WHERE run = one.run AND kind IN ('outcome', 'aborted'))"
        )
        return int(count)

    def kinds(self) -> dict[str, int]:
        """How many records of runs there are of each kind."""
        return dict(self._all("SELECT kind, count(*) FROM run GROUP BY kind ORDER BY kind"))

    def _all(self, statement: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise IndexUnusable(f"{self._path}: cannot be read: {error}") from None

    def close(self) -> None:
        self._db.close()


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
