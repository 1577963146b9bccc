"""An epoch whose writer died is ended: what was appended stands, what runs without an outcome gets one, once."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tidegate.record import ring, segments
from tidegate.record.recovery import StillWritten, ending, recover, unended
from tidegate.record.segments import Damaged, Entry, epoch_entries

OPTIONS = "segment_size=8192, buffer=20480, limit=4096"


class Died(NamedTuple):
    """What a worker left that was killed at once: 200 records durable, 7 more appended, in folders of its own."""

    disk: Path
    memory: Path


WORKER = """
import os, signal, sys
from pathlib import Path
from tidegate.record._journal import Journal
disk, memory = map(Path, sys.argv[1:3])
journal = Journal(disk, 2, 9, memory=memory, {options})
for number in range(1, 201):
    journal.append(b"%s %d" % (b"intent" if number % 2 else b"outcome", (number + 1) // 2 * 2))
    if not number % 20:
        assert journal.drain(5)
for number in range(201, 208):
    journal.append(b"intent %d" % (2 * number))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Died:
    died = Died(tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("memory"))
    command = [sys.executable, "-c", WORKER.format(options=OPTIONS), *map(str, died)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    return died


@pytest.fixture
def died(original: Died, tmp_path: Path) -> Died:
    """A copy, so that every test may do as it likes."""
    return Died(*(Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in original))


def aborted(entries: Iterable[Entry]) -> Iterator[bytes]:
    """An outcome for every intent that has none."""
    runs: dict[bytes, None] = {}
    for _, record in entries:
        kind, run = record.split()
        if kind == b"intent":
            runs[run] = None
        else:
            del runs[run]
    for run in runs:
        yield b"aborted " + run


APPENDED = [b"%s %d" % (b"intent" if number % 2 else b"outcome", (number + 1) // 2 * 2) for number in range(1, 201)]
APPENDED += [b"intent %d" % (2 * number) for number in range(201, 208)]
ABORTED = [b"aborted %d" % (2 * number) for number in range(201, 208)]


def records(died: Died) -> list[bytes]:
    found = list(epoch_entries(died.disk, 2, 9))
    assert [entry.seq for entry in found] == list(range(1, len(found) + 1))
    return [entry.record for entry in found]


def test_what_a_kill_left_in_the_ring_is_recovered(died: Died) -> None:
    assert unended(died.disk) == [(2, 9)]
    assert recover(died.disk, 2, 9, aborted, memory=died.memory) == 214
    assert records(died) == APPENDED + ABORTED
    assert unended(died.disk) == []
    assert not list(died.memory.iterdir())
    assert {path.suffix for path in died.disk.iterdir()} == {".segment"}
    assert all(segments.read(path).sealed for _, path in segments.listing(died.disk))


def test_after_a_power_cut_the_segments_alone_are_recovered(died: Died) -> None:
    shutil.rmtree(died.memory)
    died.memory.mkdir()
    assert recover(died.disk, 2, 9, aborted, memory=died.memory) == 200
    assert records(died) == APPENDED[:200]


def test_a_ring_of_another_boot_is_not_believed(died: Died) -> None:
    path = ring.path_of(died.memory, 2, 9)
    data = bytearray(path.read_bytes())
    data[32:48] = bytes(16)
    path.write_bytes(data)
    assert recover(died.disk, 2, 9, aborted, memory=died.memory) == 200
    assert records(died) == APPENDED[:200]


def test_only_what_the_ring_calls_durable_is_believed_of_the_last_segment(died: Died) -> None:
    """Records beyond may be copies in the page cache of what a failed flush never wrote."""
    path = segments.listing(died.disk)[-1][1]
    found = segments.read(path)
    with open(path, "r+b") as file:
        file.seek(found.end)
        for number in range(201, 205):
            file.write(segments.entry(segments.key_of(2, 9), number, b"intent %d" % (2 * number)))
    assert recover(died.disk, 2, 9, aborted, memory=died.memory) == 214
    assert segments.read(path).next == 201
    assert records(died) == APPENDED + ABORTED


def test_recovered_again_it_stays_as_it_is(died: Died) -> None:
    def forbidden(entries: Iterator[Entry]) -> Iterable[bytes]:
        raise AssertionError("an epoch that has ended is not read again")

    recover(died.disk, 2, 9, aborted, memory=died.memory)
    before = {path.name: path.read_bytes() for path in died.disk.iterdir()}
    assert recover(died.disk, 2, 9, forbidden, memory=died.memory) == 214
    assert {path.name: path.read_bytes() for path in died.disk.iterdir()} == before


def test_recovery_begins_where_the_oldest_running_call_began(died: Died) -> None:
    path = ring.path_of(died.memory, 2, 9)
    data = bytearray(path.read_bytes())
    data[48:56] = (150).to_bytes(8, "little")
    path.write_bytes(data)
    given: list[Entry] = []

    def note(entries: Iterator[Entry]) -> Iterable[bytes]:
        given.extend(entries)
        return ()

    recover(died.disk, 2, 9, note, memory=died.memory)
    assert given == [Entry(number, APPENDED[number - 1]) for number in range(150, 208)]


def test_the_segments_that_the_log_has_taken_need_not_be_there(died: Died) -> None:
    names = segments.listing(died.disk)
    for _, path in names[:-1]:
        path.unlink()
    recover(died.disk, 2, 9, lambda entries: (), memory=died.memory)
    first = segments.read_header(names[-1][1]).first
    assert [entry.record for entry in epoch_entries(died.disk, 2, 9)] == APPENDED[first - 1 :]


def killed_at(calls: int, died: Died) -> bool:
    """Recovers in another process, which is killed before its so-manieth call that changes a file; whether it was."""
    left = calls

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        left -= event in ("os.truncate", "os.rename", "os.remove") or (event == "open" and arguments[1] != "r")
        if not left:
            left = -1  # the kill is such an event itself
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        sys.addaudithook(count)
        recover(died.disk, 2, 9, aborted, memory=died.memory)
        os._exit(0)
    return bool(os.waitpid(child, 0)[1])


def test_recovery_that_is_killed_is_done_again(original: Died, tmp_path: Path) -> None:
    calls, killed = 0, True
    while killed:
        calls += 1
        died = Died(*(Path(shutil.copytree(folder, tmp_path / str(calls) / folder.name)) for folder in original))
        killed = killed_at(calls, died)
        assert recover(died.disk, 2, 9, aborted, memory=died.memory) == 214
        assert records(died) == APPENDED + ABORTED
    assert calls > 6


@pytest.mark.parametrize("what", ["segment", "ring"])
def test_a_durable_record_that_is_not_whole_is_named_and_nothing_is_cut(died: Died, what: str) -> None:
    path = segments.listing(died.disk)[-1][1] if what == "segment" else ring.path_of(died.memory, 2, 9)
    data = bytearray(path.read_bytes())
    at = segments.HEADER.size + 9 if what == "segment" else ring.ENTRIES_AT + ring.read(path).tail + 9
    data[at] ^= 1
    path.write_bytes(data)
    before = {file.name: len(file.read_bytes()) for file in died.disk.iterdir()}
    with pytest.raises(Damaged, match="is not whole") as refused:
        recover(died.disk, 2, 9, aborted, memory=died.memory)
    assert refused.value.path == path
    if what == "segment":
        assert {file.name: len(file.read_bytes()) for file in died.disk.iterdir()} == before


def test_a_ring_whose_segments_are_gone_is_damage(died: Died) -> None:
    for _, path in segments.listing(died.disk):
        path.unlink()
    with pytest.raises(Damaged, match="has no segment"):
        recover(died.disk, 2, 9, aborted, memory=died.memory)


def test_who_wants_no_more_of_it_ends_it_with_what_the_ring_has(died: Died) -> None:
    for _, path in segments.listing(died.disk):
        path.unlink()
    for _ in range(2):
        assert recover(died.disk, 2, 9, aborted, memory=died.memory, bereft=True) == 214
    [(name, path)] = segments.listing(died.disk)
    assert name.number > 0, "so that one is missing before it"
    assert segments.read(path).first == 201
    assert segments.read(path).entries == APPENDED[200:] + ABORTED
    assert unended(died.disk, died.memory) == []


def test_who_wants_no_more_of_it_ends_it_also_where_a_record_was_changed(died: Died) -> None:
    """What is whole stays where it is, for who reads on; nobody is said to have been aborted who may have ended."""
    _, path = segments.listing(died.disk)[-1]
    data = bytearray(path.read_bytes())
    data[segments.HEADER.size + 9] ^= 1
    path.write_bytes(data)
    for _ in range(2):
        recover(died.disk, 2, 9, aborted, memory=died.memory, bereft=True)
    assert path.read_bytes() == data
    end = segments.read(segments.listing(died.disk)[-1][1])
    assert (end.sealed, end.first, end.entries) == ("end", 201, APPENDED[200:])
    assert unended(died.disk, died.memory) == []


def test_a_segment_whose_name_a_power_cut_took_is_found_by_its_header(died: Died) -> None:
    """Nobody waits until a name is durable; the spare's was, and is there instead."""
    shutil.rmtree(died.memory)
    died.memory.mkdir()
    _, path = segments.listing(died.disk)[-1]
    path.rename(path.with_suffix(".spare"))
    unused = died.disk / "0002-000000000009-00000099.spare"
    unused.write_bytes(bytes(8192))
    assert recover(died.disk, 2, 9, aborted, memory=died.memory) == 200
    assert records(died) == APPENDED[:200]
    assert {each.suffix for each in died.disk.iterdir()} == {".segment"}


def test_an_epoch_of_which_only_a_spare_is_left_is_still_to_be_recovered(died: Died) -> None:
    """Its other segments were dropped, as the log had them; and its last name was lost."""
    shutil.rmtree(died.memory)
    died.memory.mkdir()
    *before, (_, last) = segments.listing(died.disk)
    first = segments.read_header(last).first
    for _, path in before:
        path.unlink()
    for path in died.disk.glob("*.spare"):
        path.unlink()
    last.rename(last.with_suffix(".spare"))
    assert unended(died.disk) == [(2, 9)]
    assert recover(died.disk, 2, 9, memory=died.memory) == 200
    assert [entry.seq for entry in epoch_entries(died.disk, 2, 9)] == list(range(first, 201))
    assert unended(died.disk) == []


def test_a_segment_that_is_being_begun_is_its_writers(died: Died) -> None:
    *_, (_, last) = segments.listing(died.disk)
    spare = last.with_suffix(".spare")
    last.rename(spare)
    with open(spare, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StillWritten):
            recover(died.disk, 2, 9, memory=died.memory)
    assert spare.exists()


def test_a_worker_that_died_before_its_first_segment_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "0002-000000000009.ring").write_bytes(bytes(8192))
    (tmp_path / "0002-000000000009-00000000.spare").write_bytes(bytes(100))
    assert recover(tmp_path, 2, 9) == 0
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("length", [0, 65_536])
def test_an_outcome_that_is_no_record_is_refused_and_nothing_is_added(died: Died, length: int) -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        recover(died.disk, 2, 9, lambda entries: [bytes(length)], memory=died.memory)
    assert unended(died.disk) == [(2, 9)]
    assert recover(died.disk, 2, 9, aborted, memory=died.memory) == 214


def test_segments_that_are_dropped_between_two_looks_are_no_error(died: Died, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the sequencer, which drops what recovery does not need."""
    before = segments.listing(died.disk)
    with monkeypatch.context() as patch:
        patch.setattr(segments, "listing", lambda *_: [*before, (before[0][0], died.disk / "gone")])
        assert unended(died.disk, died.memory) == [(2, 9)]  # its ring is there
        for spare in died.disk.glob("*.spare"):
            spare.unlink()
        assert unended(died.disk) == []
    looks = iter([[(before[0][0], died.disk / "gone"), *before]])
    listing = segments.listing
    monkeypatch.setattr(segments, "listing", lambda *which: next(looks, None) or listing(*which))
    assert recover(died.disk, 2, 9, aborted, memory=died.memory, clear=False) == 214
    looks = iter([[(before[0][0], died.disk / "gone"), *listing(died.disk)]])
    assert [record for _, record in ending(died.disk, 2, 9, died.memory)] == APPENDED + ABORTED
    monkeypatch.setattr(segments, "listing", lambda *_: [(before[0][0], died.disk / "gone")])
    with pytest.raises(FileNotFoundError):
        recover(died.disk, 2, 9, aborted, memory=died.memory)
