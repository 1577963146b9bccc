"""The journal of one worker: what it takes it keeps, what it calls durable is on the disk, what it refuses it says."""

import contextlib
import ctypes
import os
import platform
import re
import select
import struct
import time
from collections.abc import Callable, Iterator
from mmap import ACCESS_COPY, mmap
from pathlib import Path

import pytest

from tidegate.record import ring, segments
from tidegate.record._journal import Journal
from tidegate.record.recovery import StillWritten, recover
from tidegate.record.segments import Tail, epoch_entries
from tidegate.record.unrecorded import Unrecorded

Open = Callable[..., Journal]
SMALL = {"segment_size": 8192, "buffer": 20480, "limit": 4096}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens journals in `tmp_path`, and closes them."""
    journals: list[Journal] = []

    def open_one(worker: int = 1, epoch: int = 1, **options) -> Journal:
        journals.append(Journal(tmp_path, worker, epoch, **{**SMALL, **options}))
        return journals[-1]

    yield open_one
    for journal in journals:
        journal.close()


def record(number: int) -> bytes:
    return (b"%d " % number) * (number % 37 + 1)


def readable(journal: Journal, timeout: float = 5) -> bool:
    return bool(select.select([journal], [], [], timeout)[0])


def eventually(true: Callable[[], bool], within: float = 5) -> bool:
    until = time.monotonic() + within
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


def direct(folder: Path) -> bool:
    """Whether files can be written past the page cache."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    return True


def fill(journal: Journal, new: bool) -> int:
    """How many records of 1,000 bytes are taken before one is refused."""
    for taken in range(1000):
        try:
            journal.append(bytes(1000), new=new)
        except Unrecorded:
            return taken
    raise AssertionError("it takes whatever comes")


def test_records_are_read_back_as_they_were_appended(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    for number in range(1, 2001):
        assert journal.append(record(number)) == number
        if not number % 50:
            assert journal.drain(5)
    assert journal.close()
    assert list(epoch_entries(tmp_path, 1, 1)) == [(number, record(number)) for number in range(1, 2001)]
    assert len(segments.listing(tmp_path)) > 5
    assert {path.suffix for path in tmp_path.iterdir()} == {".segment"}


def test_the_writer_makes_the_golden_segment(opened: Open, tmp_path: Path) -> None:
    journal = opened(worker=3, epoch=42)
    for number in range(12):
        journal.append(bytes([65 + number]) * (7 * number + 1))
    journal.close()
    golden = Path(__file__).parent / "golden" / "written"
    assert (tmp_path / "0003-000000000042-00000000.segment").read_bytes() == golden.read_bytes()


@pytest.mark.parametrize("length", [*range(1, 200, 7), 63, 64, 79, 80, 81, 127, 128, 129, 1000, 4095, 4096])
def test_a_checksum_is_that_of_zlib_at_every_length(opened: Open, tmp_path: Path, length: int) -> None:
    journal = opened()
    journal.append(os.urandom(length))
    journal.close()
    assert [len(entry.record) for entry in epoch_entries(tmp_path, 1, 1)] == [length]


def test_entries_go_round_the_ring(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    for number in range(60):
        assert journal.append(bytes([number]) * 1500) == number + 1
        assert journal.drain(5)
    journal.close()
    assert [entry.record for entry in epoch_entries(tmp_path, 1, 1)] == [bytes([number]) * 1500 for number in range(60)]


def test_somebody_who_waits_is_told_once_the_record_is_durable(opened: Open) -> None:
    journal = opened()
    seq = journal.append(b"waited for")
    assert not journal.want(seq)
    assert journal.turn()
    assert journal.durable == seq or readable(journal)  # on a slow machine it has ridden along by then
    assert journal.acknowledge() == seq
    assert journal.want(seq)
    assert not readable(journal, 0)


def test_who_comes_while_a_commit_is_under_way_does_not_wait_for_it(opened: Open, tmp_path: Path) -> None:
    """A second one is begun, in a block of its own; a follower and a reader find everything in its order."""
    journal, tail = opened(segment_size=1 << 20, buffer=1 << 20), Tail(tmp_path, 1, 1)
    followed, appended = [], [record(number) for number in range(1, 401)]
    for number, each in enumerate(appended, 1):
        assert journal.append(each) == number
        journal.want(number)
        assert journal.turn()
        if number % 10 == 0:
            assert journal.drain(5)
            while entries := tail.read():
                followed += [entry.record for entry in entries]
            assert len(followed) == number
    tail.close()
    assert followed == appended
    (segment,) = tmp_path.glob("*.segment")
    found = segments.read(segment)
    assert found.entries == appended
    if direct(tmp_path):
        assert found.end > segments.HEADER.size + sum(segments.ENTRY.size + len(each) for each in appended)


def test_what_nobody_waits_for_becomes_durable_too(opened: Open) -> None:
    journal = opened()
    journal.append(b"rides along")
    journal.turn()
    assert eventually(lambda: journal.durable == 1)
    assert not readable(journal, 0)  # and nobody is told


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"worker": 10_000}, "names of the files"),
        ({"worker": -1}, "names of the files"),
        ({"epoch": 10**12}, "names of the files"),
        ({"limit": 0}, "1 to 65535"),
        ({"limit": 65_536}, "1 to 65535"),
        ({"segment_size": 4096}, "holds a record"),
        ({"segment_size": 9000}, "multiple of 4096"),
        ({"buffer": 5000}, "multiple of 4096"),
        ({"buffer": 8192}, "four records"),
        ({"audit": "perhaps"}, "best_effort"),
    ],
)
def test_wrong_options_are_refused(opened: Open, options: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        opened(**options)


@pytest.mark.parametrize("length", [0, 4097])
def test_a_record_of_a_wrong_length_is_refused_and_nothing_is_lost(opened: Open, length: int) -> None:
    journal = opened()
    with pytest.raises(ValueError, match="1 to 4096"):
        journal.append(bytes(length))
    assert journal.append(b"next") == 1


def test_a_record_that_was_not_appended_cannot_be_waited_for(opened: Open) -> None:
    journal = opened()
    with pytest.raises(ValueError, match="has not been appended"):
        journal.want(1)


def test_a_closed_journal_takes_nothing(opened: Open) -> None:
    journal = opened()
    assert journal.close()
    assert journal.close()
    with pytest.raises(ValueError, match="closed"):
        journal.append(b"late")


def test_a_child_does_not_write_into_its_parents_journal(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    journal.append(b"the parent's")
    child = os.fork()
    if not child:
        try:
            journal.append(b"the child's")
        except ValueError:
            os._exit(not journal.close())
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert journal.append(b"the parent's") == 2
    assert journal.close()
    assert [entry.record for entry in epoch_entries(tmp_path, 1, 1)] == [b"the parent's"] * 2


def test_an_epoch_is_written_once(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    with pytest.raises(FileExistsError):
        opened()
    journal.append(b"still good")
    assert journal.drain(5)
    journal.close()
    with pytest.raises(FileExistsError):
        opened()
    assert len(list(epoch_entries(tmp_path, 1, 1))) == 1


def test_a_journal_that_cannot_begin_says_why_and_leaves_no_ring(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        Journal(tmp_path / "absent", 1, 1, memory=tmp_path)
    with pytest.raises(FileNotFoundError, match="cannot be opened"):
        Journal(tmp_path, 1, 1, memory=tmp_path / "absent")
    assert not list(tmp_path.iterdir())


def test_the_ring_is_where_it_is_asked_for(tmp_path: Path) -> None:
    (disk, memory) = (tmp_path / "disk", tmp_path / "memory")
    disk.mkdir()
    memory.mkdir()
    journal = Journal(disk, 1, 1, memory=memory, **SMALL)
    assert [path.name for path in memory.iterdir()] == ["0001-000000000001.ring"]
    journal.append(b"one")
    assert journal.drain(5)
    tail = Tail(disk, 1, 1, memory)
    assert tail.read() == [(1, b"one")]
    journal.append(b"two")
    assert journal.close()
    assert tail.read() == [(2, b"two")]
    assert not list(memory.iterdir())


def test_a_follower_sees_everything_once_and_nothing_early(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    tail, seen = Tail(tmp_path, 1, 1), []
    for number in range(1, 801):
        journal.append(record(number))
        if not number % 40:
            assert journal.drain(5)
        new = tail.read()
        assert not new or new[-1].seq <= journal.durable
        seen += new
    journal.close()
    while not tail.ended:
        seen += tail.read()
    assert seen == [(number, record(number)) for number in range(1, 801)]


def test_what_recovery_needs_is_said_in_the_ring(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    path = ring.path_of(tmp_path, 1, 1)
    assert ring.read(path).keep == 1
    journal.keep(17)
    assert ring.read(path).keep == 17


def test_a_ring_that_is_being_made_says_nothing(tmp_path: Path) -> None:
    path = ring.path_of(tmp_path, 1, 1)
    path.write_bytes(struct.pack("<8sIIQQ16s", bytes(8), 1, 0, 1, 4096, ring.boot()) + bytes(8192))
    assert ring.read(path) is None


def test_nobody_recovers_what_is_still_written(opened: Open, tmp_path: Path) -> None:
    journal = opened(memory=None)
    journal.append(b"one")
    with pytest.raises(StillWritten):
        recover(tmp_path, 1, 1)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(StillWritten):  # also not whoever looks for the ring in another place
        recover(tmp_path, 1, 1, memory=tmp_path / "elsewhere")
    assert journal.drain(5)


def test_a_journal_that_is_not_written_away_fills_up(opened: Open) -> None:
    """Without a turn the writer sleeps: new records get three quarters of the ring, the others all of it."""
    journal = opened()
    assert (Unrecorded.status, Unrecorded.code) == (503, "unrecorded")
    assert fill(journal, new=True) == 15
    assert fill(journal, new=False) == 5
    assert journal.drain(5)
    assert journal.append(bytes(1000), new=True) == 21


def test_who_follows_a_journal_leaves_nothing_of_it_in_the_page_cache(opened: Open, tmp_path: Path) -> None:
    """There a page that is being read is locked, and a commit waits for it."""
    if not direct(tmp_path):
        pytest.skip("this file system has nothing but its page cache")
    journal, tail = opened(), Tail(tmp_path, 1, 1)
    followed = []
    for number in range(1, 41):
        assert journal.append(b"%d." % number + bytes(400)) == number
        assert journal.drain(5)
        followed += tail.read()
        assert [path.name for _, path in segments.listing(tmp_path) if cached(path)] == []
    tail.close()
    assert [seq for seq, _ in followed] == list(range(1, 41))


def test_who_commits_takes_short_turns_of_its_core(opened: Open) -> None:
    kernel = re.match(r"(\d+)\.(\d+)", platform.release())
    if kernel is None or (int(kernel[1]), int(kernel[2])) < (6, 12):
        pytest.skip("this kernel gives all threads the same turns")

    def turns() -> dict[str, str]:
        found = {}
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):  # a thread that has ended
                found[task] = re.search(r"se.slice *: *(\d+)", Path("/proc/self/task", task, "sched").read_text())
        return {task: match[1] for task, match in found.items() if match}

    before = turns()
    if not before:
        pytest.skip("this kernel does not say which turns a thread takes")
    opened()
    assert eventually(lambda: "100000" in [turn for task, turn in turns().items() if task not in before])
    assert before.items() >= {task: turn for task, turn in turns().items() if task in before}.items()


def cached(path: Path) -> int:
    """How many pages of a file are in the page cache."""
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_COPY) as whole:
        pages = ctypes.create_string_buffer(-(-len(whole) // 4096))
        start = ctypes.c_char.from_buffer(whole)
        assert ctypes.CDLL(None).mincore(ctypes.byref(start), ctypes.c_size_t(len(whole)), pages) == 0
        del start
    return sum(page & 1 for page in pages.raw)


def test_best_effort_counts_what_it_drops(opened: Open, tmp_path: Path) -> None:
    journal = opened(audit="best_effort")
    seqs = [journal.append(bytes(1000), new=True) for _ in range(50)]
    assert seqs == [*range(1, 21), *[0] * 30]
    assert journal.dropped == 30
    assert journal.drain(5)
    assert journal.append(b"again", new=True) == 21
    journal.close()
    assert len(list(epoch_entries(tmp_path, 1, 1))) == 21
