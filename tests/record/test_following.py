"""Whoever follows a ledger sees every record once, in the order of each journal, whatever happens to the files."""

import threading
import time
from pathlib import Path

import pytest

from tests.record.journals import ledger, records, sequenced, write
from tidegate import Ledger
from tidegate.record import following, segments
from tidegate.record._journal import Journal
from tidegate.record.following import Follower, waiting
from tidegate.record.layout import Layout
from tidegate.record.records import SEQUENCER, Outcome, Record, Unknown

Seen = list[tuple[int, int, int]]


def places(found: list[Record | Unknown]) -> Seen:
    return [(each.worker, each.epoch, each.seq) for each in found if each.worker != SEQUENCER]


def expected(*journals: tuple[int, int, int]) -> Seen:
    return [(worker, epoch, seq) for worker, epoch, count in journals for seq in range(1, count + 1)]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return ledger(tmp_path)


def test_what_is_in_a_journal_is_seen_once(layout: Layout) -> None:
    follower = Follower(layout)
    assert list(follower.new()) == []
    write(layout.journal, 0, 1, records(0, 1, 10))
    assert places(list(follower.new())) == expected((0, 1, 10))
    sequenced(layout)
    assert places(list(follower.new())) == []
    write(layout.journal, 0, 2, records(0, 2, 3))
    write(layout.journal, 1, 3, records(1, 3, 2))
    assert places(list(follower.new())) == expected((0, 2, 3), (1, 3, 2))
    follower.close()


def test_what_was_there_before_is_the_past(layout: Layout) -> None:
    write(layout.journal, 0, 1, records(0, 1, 600))
    sequenced(layout)
    write(layout.journal, 1, 2, records(1, 2, 4))
    follower = Follower(layout)
    past = follower.past(5, lambda record: isinstance(record, Outcome))
    assert places(past) == [(0, 1, seq) for seq in (592, 594, 596, 598, 600)]
    assert places(list(follower.new())) == expected((1, 2, 4))
    assert follower.past(0, lambda record: True) == []
    follower.close()


def test_the_past_is_whole_without_an_index(layout: Layout) -> None:
    write(layout.journal, 0, 1, records(0, 1, 300))
    sequenced(layout)
    for each in layout.folder.glob("index.db*"):
        each.unlink()
    write(layout.journal, 0, 1, records(0, 1, 300))  # not dropped yet
    write(layout.journal, 0, 2, records(0, 2, 1))
    follower = Follower(layout)
    assert len(follower.past(1000, lambda record: record.worker == 0)) == 300
    assert places(list(follower.new())) == [(0, 2, 1)]
    follower.close()


def test_what_journals_have_no_more_comes_from_the_log(layout: Layout) -> None:
    """A worker lived and died, and the log took it over, between two looks."""
    follower = Follower(layout)
    write(layout.journal, 0, 1, records(0, 1, 700), per_segment=100)
    sequenced(layout)
    assert not list(layout.journal.glob("*.segment"))
    assert places(list(follower.new())) == expected((0, 1, 700))
    follower.close()


def test_segments_that_go_while_they_are_read_lose_nothing(layout: Layout) -> None:
    follower = Follower(layout)
    paths = write(layout.journal, 0, 1, records(0, 1, 400), per_segment=100, end=False)
    kept = paths[3].read_bytes()
    paths[3].unlink()
    paths[2].rename(paths[2].with_suffix(".away"))
    seen = places(list(follower.new()))
    assert seen == expected((0, 1, 200))
    paths[2].with_suffix(".away").rename(paths[2])
    paths[3].write_bytes(kept)
    for each in paths:
        each.unlink()
    write(layout.journal, 0, 1, records(0, 1, 400), per_segment=100)
    sequenced(layout)
    seen += places(list(follower.new()))
    assert seen == expected((0, 1, 400))
    follower.close()


def test_a_log_that_is_faster_than_the_journal_repeats_nothing(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records become durable, and are taken over, between the look at the journal and that at the log."""
    follower = Follower(layout)
    made = write(layout.journal, 0, 1, records(0, 1, 300), per_segment=100, end=False)
    later = {path: path.read_bytes() for path in made[1:]}
    for path in later:
        path.unlink()
    size = following.log_size

    def meanwhile(log: Path) -> int:
        for path, data in later.items():
            path.write_bytes(data)
        sequenced(layout)
        return size(log)

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(following, "log_size", meanwhile)
        seen += follower.new()
    seen += follower.new()
    assert places(seen) == expected((0, 1, 200))  # of the last segment nobody knows what is durable
    follower.close()


def test_a_damaged_segment_holds_nobody_up(layout: Layout) -> None:
    follower = Follower(layout)
    [path] = write(layout.journal, 0, 1, records(0, 1, 10))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    write(layout.journal, 1, 2, records(1, 2, 3))
    for _ in range(2):
        list(follower.new())
    write(layout.journal, 1, 3, records(1, 3, 2))
    assert places(list(follower.new())) == expected((1, 3, 2))
    follower.close()


def test_a_ledger_that_grows_and_begins_anew_is_followed(tmp_path: Path) -> None:
    """With its real writer and sequencer, through two lives: every record once, in its order."""
    made = 0
    first = Ledger(tmp_path / "ledger", origin="example.org/x")
    follower = Follower(first.layout)
    seen: list[Record | Unknown] = []
    stop = threading.Event()

    def follow() -> None:
        while not stop.is_set():
            seen.extend(follower.new())
            time.sleep(0.01)
        seen.extend(follower.new())

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        for life in (first, None):
            with life or Ledger(tmp_path / "ledger") as ledger:
                for _ in range(300):
                    made += 1
                    ledger.append(Outcome(run=ledger.new_run()))
                    time.sleep(0.001)
    finally:
        stop.set()
        thread.join()
    found = places(seen)
    assert len(found) == made == len(set(found))
    for epoch in {epoch for _, epoch, _ in found}:
        assert [seq for _, each, seq in found if each == epoch] == list(range(1, 301))
    follower.close()


def test_what_waits_is_read_from_segments_and_from_memory(layout: Layout, tmp_path: Path) -> None:
    """A record is there as soon as it is appended, durable or not; the writer is not disturbed."""
    memory = tmp_path / "memory"
    memory.mkdir()
    journal = Journal(layout.journal, 3, 7, memory=memory)
    made = records(3, 7, 500)
    for seq, each in enumerate(made, 1):
        assert journal.append(each) == seq
        if seq % 100 == 0:
            assert places(list(waiting(layout, memory))) == expected((3, 7, seq))
    assert journal.drain(10)
    assert places(list(waiting(layout, memory))) == expected((3, 7, 500))
    assert journal.close()
    assert places(list(waiting(layout, memory))) == expected((3, 7, 500))


def test_what_becomes_durable_while_it_is_looked_for_is_there(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments have nothing of it yet when they are read; then it leaves the memory."""
    memory = tmp_path / "memory"
    memory.mkdir()
    journal = Journal(layout.journal, 3, 7, memory=memory)
    read = segments.read

    def meanwhile(path: Path) -> segments.Segment:
        found = read(path)
        assert journal.drain(10)
        return found

    monkeypatch.setattr(segments, "read", meanwhile)
    for seq, each in enumerate(records(3, 7, 50), 1):
        assert journal.append(each) == seq
        assert places(list(waiting(layout, memory))) == expected((3, 7, seq))
    assert journal.close()
