"""Every disagreement between the parts of a ledger is found and named by its place; a sound one has none."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.record.journals import ledger, records, sequenced, write
from tidegate.record import segments
from tidegate.record._journal import Journal
from tidegate.record.fsck import fsck
from tidegate.record.layout import Layout
from tidegate.record.records import Gap, Outcome
from tidegate.record.statements import Statements
from tidegate.record.subject_store import SubjectStore
from tidegate.record.subjects import identity


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """600 records in the log, and 90 of two epochs that wait in journals."""
    made = ledger(tmp_path)
    write(made.journal, 0, 1, records(0, 1, 400), per_segment=100)
    write(made.journal, 1, 2, records(1, 2, 200))
    store = SubjectStore(made.subjects)
    store.keys([identity("acme", "user", str(each)) for each in range(20)])
    store.close()
    sequenced(made)
    write(made.journal, 0, 3, records(0, 3, 50), per_segment=20)
    write(made.journal, 1, 4, records(1, 4, 40), end=False)
    return made


def test_a_sound_ledger_has_no_fault(layout: Layout) -> None:
    told: dict[str, tuple[int, int]] = {}

    def step(name: str) -> Callable[[int, int], None]:
        return lambda done, whole: told.update({name: (done, whole)})

    health = fsck(layout, step)
    assert health.findings == []
    assert (health.entries, health.waiting) == (601, 90)
    assert told == {"tree": (601, 601), "statements": (601, 601)}
    assert [each.place for each in health.warnings] == ["log"]  # the checkpoints are on the log's disk


def test_looking_changes_nothing(layout: Layout) -> None:
    def state() -> dict[Path, bytes]:
        ignored = {".db-shm", ".db-wal"}
        return {
            path: path.read_bytes()
            for path in layout.folder.rglob("*")
            if path.is_file() and path.suffix not in ignored
        }

    before = state()
    fsck(layout)
    assert state() == before


def test_a_record_of_a_journal_without_an_end_that_was_durable_and_is_changed_is_a_fault(tmp_path: Path) -> None:
    layout, memory = ledger(tmp_path), tmp_path / "memory"
    memory.mkdir()
    sequenced(layout)
    journal = Journal(layout.journal, 0, 3, memory=memory)
    for record in records(0, 3, 50):
        journal.append(record)
    assert journal.drain(10)
    assert fsck(layout, memory=memory).findings == []
    [(_, path)] = segments.listing(layout.journal)
    flip(path, segments.HEADER.size + 9)
    [found] = fsck(layout, memory=memory).findings
    assert found.place == f"journal/{path.name}"
    assert found.what == "record 1 is not whole, and those up to 50 were durable"
    journal.close()


def test_a_ledger_without_journals_is_named(layout: Layout) -> None:
    shutil.rmtree(layout.journal)
    assert [str(each) for each in fsck(layout).findings] == ["journal: it is not there"]


def test_an_older_log_in_the_place_of_a_newer_one_is_seen_by_its_index(layout: Layout, tmp_path: Path) -> None:
    """A checkpoint store on the same disk can be put back with it; the index cannot be before its log."""
    for name in ("log", "checkpoints"):
        shutil.copytree(layout.folder / name, tmp_path / name)
    sequenced(layout)
    assert fsck(layout).findings == []
    for name in ("log", "checkpoints"):
        shutil.rmtree(layout.folder / name)
        shutil.copytree(tmp_path / name, layout.folder / name)
    said = [str(each) for each in fsck(layout).findings]
    assert "index.db: it has 652 entries: an older log is in the place of a newer one" in said


def test_keys_of_subjects_that_are_gone_are_not_called_those_that_will_come(layout: Layout) -> None:
    layout.subjects.unlink()
    [said] = [each for each in fsck(layout).warnings if each.place == "keys.db"]
    assert said.what == "it is not there: no pseudonym can be matched with a name"


def execute(path: Path, statement: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement)
    db.close()


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def folded(path: Path, mode: int = 0o755) -> None:
    path.unlink()
    path.mkdir(mode)


def replaced(layout: Layout, seq: int, record: bytes) -> None:
    entries = records(0, 3, 50)
    entries[seq - 1] = record
    write(layout.journal, 0, 3, entries, per_segment=20)


def name(worker: int, epoch: int, number: int) -> str:
    return str(segments.Name(worker, epoch, number))


FAULTS: list[tuple[str, Callable[[Layout], object], str, str]] = [
    ("an entry is changed", lambda at: flip(at.log / "tile/entries/001", 700), "log/tile/entries/001", "entry"),
    ("a tile is gone", lambda at: (at.log / "tile/0/000").unlink(), "log/tile/0/000", "missing"),
    ("the store is empty", lambda at: (at.checkpoints / "checkpoint").unlink(), "/", "cannot be read: No such file"),
    ("a segment is damaged", lambda at: flip(at.journal / name(0, 3, 1), 60), f"journal/{name(0, 3, 1)}", "not whole"),
    ("a segment is gone", lambda at: (at.journal / name(0, 3, 1)).unlink(), f"journal/{name(0, 3, 0)}",
     "ends before record 21"),
    ("the first segment is gone", lambda at: (at.journal / name(0, 3, 0)).unlink(), f"journal/{name(0, 3, 1)}",
     "neither here nor in the log"),
    ("a header is damaged", lambda at: flip(at.journal / name(1, 4, 0), 3), f"journal/{name(1, 4, 0)}", "no header"),
    ("a record is none", lambda at: replaced(at, 33, b"rubbish"), f"journal/{name(0, 3, 1)}", "record 33"),
    ("a record is another's", lambda at: replaced(at, 33, records(0, 9, 33)[-1]), f"journal/{name(0, 3, 1)}",
     "says that it is 33 of worker 0, epoch 9"),
    ("a run is not in the index", lambda at: execute(at.index, "DELETE FROM run WHERE leaf = 77"), "index.db",
     "entry 77, is not in it"),
    ("the index has more", lambda at: execute(at.index, "INSERT INTO run VALUES (x'00', 5, 'intent', 0, 1, 9)"),
     "index.db", "is in it and not in the log"),
    ("the index has another place", lambda at: execute(at.index, "UPDATE position SET seq = 3 WHERE worker = 0"),
     "index.db", "how far the journals are"),
    ("the index is rubbish", lambda at: at.index.write_bytes(b"rubbish " * 999), "index.db", "can be deleted"),
    ("keys.db is rubbish", lambda at: at.subjects.write_bytes(b"rubbish " * 999), "keys.db", "cannot be read"),
    ("a key is none", lambda at: execute(at.subjects, "UPDATE subject SET key = x'00'"),
     "keys.db", "20 keys are not keys"),
    ("keys.db is open to all", lambda at: at.subjects.chmod(0o644), "keys.db", "read by others"),
    ("a folder is in place of a segment", lambda at: folded(at.journal / name(1, 4, 0)), f"journal/{name(1, 4, 0)}",
     "cannot be read: Is a directory"),
    ("a folder is in place of the index", lambda at: folded(at.index), "index.db", "cannot be opened"),
    ("a folder is in place of keys.db", lambda at: folded(at.subjects, 0o700), "keys.db", "cannot be opened"),
    ("a private key is open to all", lambda at: next(at.keys.glob("*.key")).chmod(0o640), "keys", "read by others"),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "place", "what"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS])
def test_every_disagreement_is_named(layout: Layout, harm: Callable[[Layout], object], place: str, what: str) -> None:
    for end in ("-wal", "-shm"):  # as after a clean end
        layout.index.with_name(layout.index.name + end).unlink(missing_ok=True)
    harm(layout)
    health = fsck(layout)
    assert any(each.place.startswith(place) and what in each.what for each in health.findings), health.findings


@pytest.mark.parametrize("part", ["index.db", "keys.db"])
def test_what_can_be_made_is_only_a_warning_where_it_is_not_there(layout: Layout, part: str) -> None:
    (layout.folder / part).unlink()
    health = fsck(layout)
    assert health.findings == []
    assert part in [each.place for each in health.warnings]


# what the log says of itself


def statements(*leaves: bytes) -> list[str]:
    found = Statements()
    found.take(0, list(leaves))
    return [str(each) for each in found.findings]


def gap(first: int, count: int, reason: str = "missing") -> bytes:
    stated = Gap(worker=10_000, epoch=1, seq=1, of_worker=0, of_epoch=1, first=first, count=count, reason=reason)
    return msgspec.msgpack.encode(stated)


def later(kind: str) -> bytes:
    """The last leaf of a version to come: it has a field more, or is of a kind that nobody knows yet."""
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(Outcome(epoch=1, run=bytes(13))))
    return msgspec.msgpack.encode([kind, 99, *fields[2:4], 1 if kind == "outcome" else 2, *fields[5:], "more"])


ONE, TWO, THREE, FOUR = records(0, 1, 4)


@pytest.mark.parametrize(
    ("leaves", "findings"),
    [
        ([ONE, TWO, THREE], []),
        ([ONE, *records(1, 1, 2), TWO, *records(0, 2, 1), THREE], []),
        ([ONE, THREE], ["entry 1: records 2 to 2 of worker 0, epoch 1 are not there"]),
        ([FOUR], ["entry 0: records 1 to 3 of worker 0, epoch 1 are not there"]),
        ([ONE, TWO, TWO], ["entry 2: it is record 2 of worker 0, epoch 1 after record 2: twice, or out of order"]),
        ([TWO, ONE], ["entry 0: records 1 to 1 of worker 0, epoch 1 are not there",
                      "entry 1: it is record 1 of worker 0, epoch 1 after record 2: twice, or out of order"]),
        ([ONE, gap(2, 2), FOUR], ["entry 1: records 2 to 3 of worker 0, epoch 1 are stated as missing"]),
        ([ONE, gap(2, 1), FOUR], ["entry 1: records 2 to 2 of worker 0, epoch 1 are stated as missing",
                                  "entry 2: records 3 to 3 of worker 0, epoch 1 are not there"]),
        ([ONE, gap(0, 7, "dropped"), TWO], ["entry 1: 7 records of worker 0, epoch 1 were dropped"]),
        ([ONE, b"rubbish", TWO], ["entry 1: not a leaf of this format"]),
        ([msgspec.msgpack.encode(Outcome(epoch=1, seq=1, run=bytes(13), edits=("e" * 32,) * 60))],
         ["entry 0: it has 2135 bytes, and 2048 are allowed"]),
        ([msgspec.msgpack.encode(Outcome(epoch=1, seq=1, run=bytes(13), error="x" * 33)), TWO],
         ["entry 0: a leaf of kind `outcome` has a field that cannot be read"]),
        ([later("outcome"), later("regret")], []),
    ],
)  # fmt: skip
def test_gaps_in_the_numbers_are_findings(leaves: list[bytes], findings: list[str]) -> None:
    assert statements(*leaves) == findings


def test_so_many_findings_are_named_and_the_others_counted() -> None:
    found = Statements()
    found.take(0, [b"rubbish"] * 1500)
    assert (len(found.findings), found.unnamed) == (1000, 500)
