"""Whether the parts of a ledger agree, on the machine that keeps it: journals, log, index, and the store of keys.

`verify` needs only the log and a public key, and trusts nobody; this looks at what lies around it, and names what an
operator should know. It changes nothing and may run beside the gateway: it looks at the journals first, so that what
moves into the log meanwhile is seen at least once.
"""

import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct, field

from tidegate.errors import TidegateError
from tidegate.record import keys, ring, segments
from tidegate.record._leaf import head
from tidegate.record.following import log_size
from tidegate.record.index import IndexMissing, IndexUnusable, Positions, Reader, Row
from tidegate.record.layout import Layout
from tidegate.record.records import RecordError
from tidegate.record.rehash import Progress
from tidegate.record.segments import Damaged, Name
from tidegate.record.sequencer import SET_ASIDE
from tidegate.record.statements import Finding, Statements
from tidegate.record.subject_store import SCHEMA as STORE_SCHEMA
from tidegate.record.subjects import KEY
from tidegate.record.verify import verify_log

Steps = Callable[[str], Progress]  # gives a step's name, and is given its progress
NAMED: Final = 100  # rows of the index that differ; there may be more


class Health(Struct):
    """What was found: `findings` are faults, `warnings` what need not be one."""

    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    entries: int = 0
    waiting: int = 0  # records of journals that the log has not got yet


class Held(NamedTuple):
    """What the segments of an epoch hold."""

    key: tuple[int, int]
    place: str
    first: int
    last: int


def fsck(layout: Layout, steps: Steps | None = None, memory: Path | None = None) -> Health:
    """Looks at all parts of a ledger. `memory` is where the rings of its journals are, where they are elsewhere."""
    health = Health()
    step = steps or (lambda name: lambda done, all: None)
    held = _journals(layout, memory or layout.journal, health)
    report = verify_log(layout.log, layout.known(), store=layout.checkpoints, progress=step("tree"))
    health.findings += [
        Finding(str(Path("log", fault.place)), str(fault).partition(": ")[2]) for fault in report.faults
    ]
    health.warnings += [Finding("log", each) for each in report.warnings]
    if report.checkpoint is None:
        return health
    health.entries = report.checkpoint.size
    statements = _statements(layout, health, step("statements"))
    health.findings += statements.findings
    if statements.unnamed:
        health.findings.append(Finding("log", f"{statements.unnamed} more of that kind"))
    health.warnings += [
        Finding("log", f"{count} entries of the kind `{kind}`, which this version does not know")
        for kind, count in statements.unknown.items()
    ]
    _compare(held, statements.positions, health)
    _subjects(layout.subjects, health)
    _private_keys(layout.keys, health)
    return health


# journals


def _journals(layout: Layout, memory: Path, health: Health) -> list[Held]:
    """Every segment is whole, and they follow one another; returns what they hold."""
    if not layout.journal.is_dir():
        health.findings.append(Finding("journal", "it is not there"))
        return []
    for path in layout.journal.glob(f"*{SET_ASIDE}"):
        health.warnings.append(Finding(f"journal/{path.name}", "it could not be read on, and was set aside"))
    epochs: dict[tuple[int, int], list[Name]] = {}
    for name, _ in segments.listing(layout.journal):
        epochs.setdefault((name.worker, name.epoch), []).append(name)
    held = []
    for key, names in epochs.items():
        try:
            held.append(_epoch(layout.journal, memory, key, names, health))
        except FileNotFoundError:
            pass  # dropped meanwhile: the log has it
        except Damaged as error:
            health.findings.append(Finding(f"journal/{error.path.name}", error.message))
        except OSError as error:
            health.findings.append(Finding(f"journal/{names[0]}", f"it cannot be read: {error.strerror}"))
    return held


def _epoch(folder: Path, memory: Path, key: tuple[int, int], names: list[Name], health: Health) -> Held:
    first = last = 0
    said = ring.read(ring.path_of(memory, *key))  # before the segments, which may go on
    for name, then in zip(names, [*names[1:], None], strict=True):
        place = f"journal/{name}"
        found = segments.read(folder / str(name))
        end = found.next if then is None else segments.read_header(folder / str(then)).first
        if end > found.next or (found.sealed is not None and end != found.next):
            what = f"it ends before record {found.next}, and what follows begins with {end}"
            health.findings.append(Finding(place, what))
        if then is None and found.sealed is None and said is not None and said.durable >= found.next:
            if len(segments.listing(folder, *key)) == len(names):  # else it goes on in one that was begun since
                what = f"record {found.next} is not whole, and those up to {said.durable} were durable"
                health.findings.append(Finding(place, what))
        for seq, record in enumerate(found.entries[: end - found.first], found.first):
            _check_stamp(place, key, seq, record, health)
        first, last = first or found.first, end - 1
    return Held(key, f"journal/{names[0]}", first, last)


def _compare(held: list[Held], positions: Positions, health: Health) -> None:
    """Together with the log the journals have every record from the first to the last."""
    for each in held:
        known = positions.get(each.key, 0)
        if each.first > known + 1:
            what = f"it begins with record {each.first}, and {known + 1} is neither here nor in the log"
            health.findings.append(Finding(each.place, what))
        health.waiting += max(0, each.last - known)


def _check_stamp(place: str, key: tuple[int, int], seq: int, record: bytes, health: Health) -> None:
    try:
        found = head(record)
    except RecordError as error:
        health.findings.append(Finding(place, f"record {seq}: {error.message}"))
        return
    if (found.worker, found.epoch, found.seq) != (*key, seq):
        what = f"record {seq} says that it is {found.seq} of worker {found.worker}, epoch {found.epoch}"
        health.findings.append(Finding(place, what))


# the index


def _statements(layout: Layout, health: Health, progress: Progress) -> Statements:
    """Reads the log's entries, and holds the index against them; where there is none, it will be made."""
    try:
        reader = Reader(layout.index)
    except IndexUnusable as error:
        if isinstance(error, IndexMissing):
            health.warnings.append(Finding("index.db", error.message))
        else:
            health.findings.append(Finding("index.db", f"{error.message}; it can be deleted, and is made anew"))
        statements = Statements()
        statements.read(layout.log, health.entries, progress)
        return statements
    try:
        with reader.still(), closing(reader.rows()) as rows:
            beside = Beside(rows, min(reader.size, health.entries))
            statements = Statements(beside.seen)
            statements.read(layout.log, health.entries, progress)
            beside.rest()
            if reader.size == health.entries and reader.positions() != statements.positions:
                beside.findings.append("how far the journals are in the log is not what the log says")
            if reader.size > max(health.entries, _published(layout)):  # asked after it: no index is before its log
                beside.findings.append(f"it has {reader.size} entries: an older log is in the place of a newer one")
        health.findings += [Finding("index.db", what) for what in beside.findings]
    except IndexUnusable as error:
        health.findings.append(Finding("index.db", f"{error.message}; it can be deleted, and is made anew"))
        statements = Statements()
        statements.read(layout.log, health.entries, progress)
    finally:
        reader.close()
    return statements


def _published(layout: Layout) -> int:
    try:
        return log_size(layout.log)
    except (TidegateError, OSError):
        return 0


class Beside:
    """The rows of an index, in step with those of the log; both in the log's order, and up to a size."""

    def __init__(self, rows: Iterator[Row], size: int) -> None:
        self.findings: list[str] = []
        self._rows = rows
        self._size = size
        self._row = next(rows, None)

    def seen(self, row: Row) -> None:
        """The log has this."""
        if row[1] >= self._size:
            return
        self._strange(row[1])
        if self._row == row:
            self._row = next(self._rows, None)
        else:
            self._named(row, "is not in it")

    def rest(self) -> None:
        """The log has no more."""
        self._strange(self._size)

    def _strange(self, leaf: int) -> None:
        """Passes over what the index has before this entry."""
        while self._row is not None and self._row[1] < leaf:
            self._named(self._row, "is in it and not in the log")
            self._row = next(self._rows, None)

    def _named(self, row: Row, what: str) -> None:
        if len(self.findings) < NAMED:
            self.findings.append(f"the {row[2]} of run {row[0].hex()}, entry {row[1]}, {what}")


# keys


def _subjects(path: Path, health: Health) -> None:
    """keys.db is whole, and its owner's alone."""
    if not path.exists():
        what = "it is not there: no pseudonym can be matched with a name" if health.entries else "there are no keys yet"
        health.warnings.append(Finding(path.name, what))
        return
    if mode := stat.S_IMODE(path.stat().st_mode) & 0o077:
        health.findings.append(Finding(path.name, f"it may be read by others (mode bits {mode:03o})"))
    where = f"{path.absolute().as_uri()}?mode=ro"
    try:
        db = sqlite3.connect(where, uri=True, isolation_level=None, timeout=5)
    except sqlite3.Error as error:
        health.findings.append(Finding(path.name, f"it cannot be opened: {error}"))
        return
    try:
        for (said,) in db.execute("PRAGMA integrity_check"):
            if said != "ok":
                health.findings.append(Finding(path.name, said))
        [(schema, secret)] = db.execute("SELECT schema, length(secret) FROM store")
        [(short,)] = db.execute("SELECT count(*) FROM subject WHERE length(key) != ? OR length(name) != 32", (KEY,))
        if schema != STORE_SCHEMA or secret != 32:
            health.findings.append(Finding(path.name, f"schema {schema} is not {STORE_SCHEMA}, or its secret is gone"))
        if short:
            health.findings.append(Finding(path.name, f"{short} keys are not keys"))
    except (sqlite3.Error, ValueError) as error:
        health.findings.append(Finding(path.name, f"it cannot be read: {error}"))
    finally:
        db.close()


def _private_keys(folder: Path, health: Health) -> None:
    try:
        keys.load(folder)
    except (TidegateError, OSError) as error:
        health.findings.append(Finding("keys", str(error)))
