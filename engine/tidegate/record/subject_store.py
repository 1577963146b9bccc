"""keys.db: the keys of subjects, and the only place where they are on disk.

One process holds it open, by a lock on `keys.db.lock`, with one connection. A key is durable before anybody is given
it, since what it named could never be opened again without it.

Erasure is why its SQLite is set as it is. `secure_delete` writes zeros over what is deleted. The journal is a rollback
journal that is truncated, and synced, at the end of every transaction: after one no file holds the deleted row, and
after a power cut the old row cannot come back. A write-ahead log would keep it until some later checkpoint. Without one
the bug of SQLite before 3.51.3 that resets such a log wrongly has no place here either. What neither can reach is the
medium below the file system, and copies: keep backups of this one file as short as erasure may take.

The store knows no ids. A row is found by HMAC(secret, identity), and the secret is beside it only to keep two stores of
the same subjects unlike each other.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from hmac import digest
from pathlib import Path
from typing import Final

from tidegate.errors import StartError, TidegateError
from tidegate.record.subjects import KEY, Subject

SCHEMA: Final = 1
TABLES: Final = """
BEGIN EXCLUSIVE;
CREATE TABLE store (schema INTEGER NOT NULL, secret BLOB NOT NULL, erasures INTEGER NOT NULL);
CREATE TABLE subject (name BLOB PRIMARY KEY NOT NULL, key BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE unrecorded (number INTEGER PRIMARY KEY, pseudonym BLOB NOT NULL);
"""
SETTINGS: Final = """
PRAGMA journal_mode = TRUNCATE;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
PRAGMA mmap_size = 0;
PRAGMA trusted_schema = OFF;
"""


class SubjectStoreError(TidegateError):
    """keys.db cannot be read or written."""

    code = "subject_keys"
    status = 503


class SubjectStore:
    """The keys of all subjects. Every method is all or nothing, and durable when it returns."""

    def __init__(self, path: Path) -> None:
        self._lock = _alone(path)
        try:
            self._db = _opened(path)
            self._secret, self.erasures = self._db.execute("SELECT secret, erasures FROM store").fetchone()
        except (sqlite3.Error, TypeError, OSError) as error:
            os.close(self._lock)
            raise StartError(f"{path}: cannot be used: {error}") from None

    def keys(self, identities: Sequence[bytes]) -> list[bytes]:
        """The key of each, made now where there is none."""
        names = [digest(self._secret, each, "sha256") for each in identities]
        found = {name: key for name in names for key in self._select(name)}
        missing = {name: os.urandom(KEY) for name in names if name not in found}
        if missing:
            self._write("INSERT INTO subject VALUES (?, ?)", missing.items())
            found |= missing
        return [found[name] for name in names]

    def _select(self, name: bytes) -> list[bytes]:
        try:
            return [key for (key,) in self._db.execute("SELECT key FROM subject WHERE name = ?", (name,))]
        except sqlite3.Error as error:
            raise SubjectStoreError(f"the keys of subjects cannot be read: {error}") from None

    def erase(self, identity: bytes) -> bytes | None:
        """Destroys a key; returns the pseudonym that now belongs to nobody, or None where there was no key."""
        name = digest(self._secret, identity, "sha256")
        for key in self._select(name):
            pseudonym = Subject(identity, key).pseudonym
            with self._transaction() as db:
                db.execute("DELETE FROM subject WHERE name = ?", (name,))
                db.execute("UPDATE store SET erasures = erasures + 1")
                db.execute("INSERT INTO unrecorded VALUES (?, ?)", (self.erasures + 1, pseudonym))
            self.erasures += 1
            return pseudonym
        return None

    def unrecorded(self) -> list[tuple[int, bytes]]:
        """Number and pseudonym of each erasure of which the ledger may not know yet."""
        return self._db.execute("SELECT number, pseudonym FROM unrecorded ORDER BY number").fetchall()

    def recorded(self, numbers: Iterable[int]) -> None:
        """The ledger has these."""
        self._write("DELETE FROM unrecorded WHERE number = ?", [(number,) for number in numbers])

    def __len__(self) -> int:
        [(count,)] = self._db.execute("SELECT count(*) FROM subject")
        return int(count)

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        with self._transaction() as db:
            db.executemany(statement, rows)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)

    def close(self) -> None:
        """Lets go of the file; another process may open it."""
        self._db.close()
        os.close(self._lock)


def lookup(path: Path, identities: Sequence[bytes]) -> list[bytes | None]:
    """The key of each that has one, from beside the process that holds the store, and changing nothing.

    SubjectStoreError where it cannot be read now: there is none, or a crash left it to be repaired by who holds it.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
            [(secret,)] = db.execute("SELECT secret FROM store")
            names = [digest(secret, each, "sha256") for each in identities]
            rows = [db.execute("SELECT key FROM subject WHERE name = ?", (name,)).fetchone() for name in names]
    except (sqlite3.Error, ValueError) as error:
        raise SubjectStoreError(f"{path}: the keys of subjects cannot be read: {error}") from None
    return [row and row[0] for row in rows]


class _Transaction:
    """All of it or nothing, whatever fails."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        self._try("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._try("COMMIT")
            return
        self._undo()
        if isinstance(error, sqlite3.Error):
            raise SubjectStoreError(f"the keys of subjects cannot be written: {error}") from None

    def _try(self, statement: str) -> None:
        try:
            self._db.execute(statement)
        except sqlite3.Error as error:
            self._undo()
            raise SubjectStoreError(f"the keys of subjects cannot be written: {error}") from None

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _alone(path: Path) -> int:
    held = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise StartError(f"{path}: the keys of subjects are held by another process") from None
    return held


def _opened(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would ask the umask
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(SETTINGS)
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        db.executescript(TABLES)
        db.execute("INSERT INTO store VALUES (?, ?, 0)", (SCHEMA, os.urandom(32)))
        db.execute("COMMIT")
    [(schema,)] = db.execute("SELECT schema FROM store")
    if schema != SCHEMA:
        raise sqlite3.DatabaseError(f"it has schema {schema}, and this version knows {SCHEMA}")
    return db
