"""From journals to the log: everything once and in order, whatever is killed, damaged, deleted or full in between."""

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.record.journals import ledger, of_journals, records, run, said, sequenced, write
from tidegate.errors import StartError, TidegateError
from tidegate.record import segments
from tidegate.record._journal import Journal
from tidegate.record.fsck import fsck
from tidegate.record.index import Index, Positions, Reader
from tidegate.record.layout import Layout, create, find
from tidegate.record.leaves import encode
from tidegate.record.log import LogError
from tidegate.record.records import SEQUENCER, Checkpoint, Gap, Outcome
from tidegate.record.recovery import recover, unended
from tidegate.record.sequencer import Sequencer
from tidegate.record.verify import verify_log
from tidegate.serve.sequencer import run as work


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return ledger(tmp_path)


def verified(layout: Layout) -> int:
    report = verify_log(layout.log, layout.verifiers(), store=layout.checkpoints)
    assert report.faults == []
    assert report.checkpoint is not None
    return report.checkpoint.size


def whole(layout: Layout, counts: dict[tuple[int, int], int]) -> None:
    """The log holds each record of these epochs once and in order, and verifies."""
    found = of_journals(layout, verified(layout))
    own = [key for key in found if key[0] == SEQUENCER]
    assert {key: seqs for key, seqs in found.items() if key not in own} == {
        key: list(range(1, count + 1)) for key, count in counts.items()
    }
    for key in own:
        assert found[key] == list(range(1, len(found[key]) + 1))


def test_all_journals_come_into_the_log_and_their_segments_go(layout: Layout) -> None:
    counts = {(0, 1): 700, (1, 2): 1, (1, 3): 300, (2, 4): 2000}
    for key, count in counts.items():
        write(layout.journal, *key, records(*key, count), per_segment=257)
    size = sequenced(layout)
    assert size == sum(counts.values()) + 1
    whole(layout, counts)
    assert segments.listing(layout.journal) == []


def test_a_second_turn_finds_nothing_and_an_idle_log_does_not_grow(layout: Layout) -> None:
    write(layout.journal, 0, 1, records(0, 1, 10))
    sequencer = Sequencer(layout)
    assert [sequencer.turn(), sequencer.turn(), sequencer.turn()] == [10, 0, 0]
    assert sequencer.due
    sequencer.checkpoint()
    note = sequencer.log.note
    assert not sequencer.due
    sequencer.checkpoint()
    assert sequencer.log.note == note
    sequencer.close()


def test_checkpoints_are_due_a_second_apart_and_the_first_at_once(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("tidegate.record.sequencer.time.monotonic", lambda: now)
    sequencer = Sequencer(layout)
    due = []
    for epoch in range(1, 6):
        write(layout.journal, 0, epoch, records(0, epoch, 1))
        sequencer.turn()
        due.append(sequencer.due)
        if sequencer.due:
            sequencer.checkpoint()
        now += 0.4
    assert due == [True, False, False, True, False]
    assert not sequencer.due or sequencer.log.size > sequencer.log.signed.size
    sequencer.close()


def test_each_beginning_is_stated_with_the_tree_that_was_found(layout: Layout) -> None:
    write(layout.journal, 0, 1, records(0, 1, 10))
    sequenced(layout)
    sequencer = Sequencer(layout)
    before = sequencer.log.signed
    sequencer.checkpoint()
    sequencer.close()
    *_, last = said(layout, verified(layout))
    assert isinstance(last, Checkpoint)
    assert (last.worker, last.epoch, last.seq) == (SEQUENCER, 2, 1)
    assert (last.size, last.root) == (before.size, before.root)


def test_there_is_one_sequencer(layout: Layout) -> None:
    first = Sequencer(layout)
    with pytest.raises(LogError, match="open in another process"):
        Sequencer(layout)
    first.close()
    Sequencer(layout).close()


def test_what_was_appended_and_not_signed_is_read_again(layout: Layout) -> None:
    write(layout.journal, 0, 1, records(0, 1, 1000), per_segment=100)
    for _ in range(3):
        sequencer = Sequencer(layout)
        assert sequencer.turn() > 0
        sequencer.close()
    assert len(segments.listing(layout.journal)) == 10
    sequenced(layout)
    whole(layout, {(0, 1): 1000})


def test_segments_that_came_back_are_not_taken_twice(layout: Layout) -> None:
    paths = write(layout.journal, 0, 1, records(0, 1, 1000), per_segment=100)
    copies = {path: path.read_bytes() for path in paths}
    sequenced(layout)
    for path, data in copies.items():  # as if the deletion had not reached the disk
        path.write_bytes(data)
    sequenced(layout)
    whole(layout, {(0, 1): 1000})
    assert segments.listing(layout.journal) == []


def test_an_epoch_without_an_end_waits_for_its_recovery(layout: Layout) -> None:
    [path] = write(layout.journal, 0, 1, records(0, 1, 10), end=False)
    sequenced(layout)
    whole(layout, {})
    assert path.exists()
    write(layout.journal, 0, 1, records(0, 1, 10))
    sequenced(layout)
    whole(layout, {(0, 1): 10})


def test_a_living_writer_keeps_the_segments_that_its_recovery_would_need(layout: Layout) -> None:
    journal = Journal(layout.journal, 0, 1, segment_size=8192, buffer=8192, limit=2040)
    sequencer = Sequencer(layout)
    entries = iter(records(0, 1, 2000))
    firsts = []
    for keep in (1, 1, 150, 400, 400, 600):
        for record in itertools.islice(entries, 100):
            journal.append(record)
            journal.drain(10)
        journal.keep(keep)
        while sequencer.turn():
            pass
        sequencer.checkpoint()
        there = [segments.read_header(path).first for _, path in segments.listing(layout.journal)]
        firsts.append(there[0])
        assert there[0] <= keep
        assert len(there) == 1 or there[1] > min(keep, 1 + sequencer.positions[0, 1])
    assert firsts[0] == firsts[1] == 1
    assert len(set(firsts)) == 4
    assert journal.close()
    while sequencer.turn():
        pass
    sequencer.checkpoint()
    assert segments.listing(layout.journal) == []
    sequencer.close()
    whole(layout, {(0, 1): 600})


def test_what_was_not_read_yet_is_not_dropped_whatever_recovery_needs(layout: Layout) -> None:
    journal = Journal(layout.journal, 0, 1, segment_size=8192, buffer=8192, limit=2040)
    sequencer = Sequencer(layout)
    for seq, record in enumerate(records(0, 1, 500), 1):
        journal.append(record)
        journal.drain(10)
        while seq == 100 and sequencer.turn():
            pass
    journal.keep(500)
    sequencer.checkpoint()
    assert segments.read_header(segments.listing(layout.journal)[0][1]).first <= 101
    while sequencer.turn():
        pass
    journal.close()
    sequencer.close()
    sequenced(layout)
    whole(layout, {(0, 1): 500})


# damage


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def gaps(layout: Layout) -> list[tuple[int, int, int, int, str]]:
    return [
        (each.of_worker, each.of_epoch, each.first, each.count, each.reason)
        for each in said(layout, verified(layout))
        if isinstance(each, Gap)
    ]


@pytest.mark.parametrize(("byte", "lost"), [(segments.ENTRY.size + 3, 1), (0, 60)], ids=["a record's", "a length's"])
def test_damage_is_stated_once_and_what_stands_around_it_is_saved(layout: Layout, byte: int, lost: int) -> None:
    """Behind it too, unless it is an entry's length that was changed: then nobody knows where the next one is."""
    paths = write(layout.journal, 3, 7, records(3, 7, 300), per_segment=100)
    entries = records(3, 7, 300)
    at = segments.HEADER.size + sum(segments.ENTRY.size + len(each) for each in entries[100:140])
    flip(paths[1], at + byte)
    write(layout.journal, 4, 8, records(4, 8, 50))
    words: list[str] = []
    sequenced(layout, say=words.append)
    assert gaps(layout) == [(3, 7, 141, lost, "missing")]
    assert "record 141 is not whole" in words[0]
    found = of_journals(layout, verified(layout))
    assert found[3, 7] == [*range(1, 141), *range(141 + lost, 301)]
    assert found[4, 8] == [*range(1, 51)]
    assert [path.name for path in layout.journal.glob("*.damaged")] == [paths[1].name + ".damaged"]
    sequenced(layout)
    assert gaps(layout) == [(3, 7, 141, lost, "missing")]


def test_records_that_were_changed_one_here_and_one_there_are_each_stated(layout: Layout) -> None:
    """Also behind the zeros before a block that an entry begins."""
    entries = records(3, 7, 60)
    key, data, places = segments.key_of(3, 7), bytearray(bytes(segments.Header(3, 7, 0, 1))), []
    for seq, each in enumerate(entries, 1):
        if seq % 20 == 0:
            data += bytes(-len(data) % segments.BLOCK)
        places.append(len(data))
        data += segments.entry(key, seq, each)
    data += segments.seal(key, 61, False)
    for seq in (7, 20, 40, 41, 60):
        data[places[seq - 1] + segments.ENTRY.size] ^= 1
    name = segments.Name(3, 7, 0)
    (layout.journal / str(name)).write_bytes(data)
    end = bytes(segments.Header(3, 7, 1, 61)) + segments.seal(key, 61, True)
    (layout.journal / str(name._replace(number=1))).write_bytes(end)
    sequenced(layout)
    assert gaps(layout) == [(3, 7, seq, count, "missing") for seq, count in ((7, 1), (20, 1), (40, 2), (60, 1))]
    missing = {7, 20, 40, 41, 60}
    assert of_journals(layout, verified(layout))[3, 7] == [seq for seq in range(1, 61) if seq not in missing]


def test_a_segment_that_is_gone_is_stated(layout: Layout) -> None:
    paths = write(layout.journal, 3, 7, records(3, 7, 300), per_segment=100)
    paths[1].unlink()
    sequenced(layout)
    assert gaps(layout) == [(3, 7, 101, 100, "missing")]
    assert of_journals(layout, verified(layout))[3, 7] == [*range(1, 101), *range(201, 301)]
    assert segments.listing(layout.journal) == []


def test_the_first_segments_that_are_gone_are_stated(layout: Layout) -> None:
    """Nothing tells how far they went but what follows."""
    paths = write(layout.journal, 3, 7, records(3, 7, 300), per_segment=100)
    for each in paths[:2]:
        each.unlink()
    sequenced(layout)
    assert gaps(layout) == [(3, 7, 1, 200, "missing")]
    assert of_journals(layout, verified(layout))[3, 7] == [*range(201, 301)]
    assert list(layout.journal.glob("*.damaged")) == []


def test_a_segment_that_is_deleted_while_it_is_written_and_read_takes_nothing_with_it(layout: Layout) -> None:
    journal = Journal(layout.journal, 0, 1)
    sequencer = Sequencer(layout)
    entries = iter(records(0, 1, 400))

    def append(count: int) -> None:
        for record in itertools.islice(entries, count):
            journal.append(record)
        assert journal.drain(10)

    append(100)
    assert sequencer.turn() >= 100
    for _ in range(2):  # the next one, too
        segments.listing(layout.journal)[-1][1].unlink()
        append(50)
        sequencer.turn()
        time.sleep(1.1)
        append(50)
        sequencer.turn()
        sequencer.checkpoint()
        assert len(segments.listing(layout.journal)) == 1, "it goes on in another"
    assert journal.close()
    while sequencer.turn():
        pass
    sequencer.checkpoint()
    sequencer.close()
    assert gaps(layout) == []
    whole(layout, {(0, 1): 300})


def test_what_was_lost_with_a_segment_that_nobody_had_read_is_stated(layout: Layout) -> None:
    journal = Journal(layout.journal, 0, 1)
    entries = iter(records(0, 1, 300))
    for record in itertools.islice(entries, 100):
        journal.append(record)
    assert journal.drain(10)
    segments.listing(layout.journal)[-1][1].unlink()
    time.sleep(1.1)
    for record in entries:
        journal.append(record)
    assert journal.close()
    sequenced(layout)
    assert gaps(layout) == [(0, 1, 1, 100, "missing")]
    assert of_journals(layout, verified(layout))[0, 1] == [*range(101, 301)]


def test_a_segment_with_a_damaged_header_keeps_its_records(layout: Layout) -> None:
    paths = write(layout.journal, 3, 7, records(3, 7, 300), per_segment=100)
    flip(paths[1], 3)
    words: list[str] = []
    sequenced(layout, say=words.append)
    assert "no header" in words[0]
    assert gaps(layout) == []
    whole(layout, {(3, 7): 300})
    assert [path.name for path in layout.journal.glob("*.damaged")] == [paths[1].name + ".damaged"]


def test_damage_at_the_end_of_a_journal_is_said_and_nothing_is_dropped(layout: Layout) -> None:
    [path] = write(layout.journal, 3, 7, records(3, 7, 30))
    good = path.read_bytes()
    flip(path, 60)
    words: list[str] = []
    sequencer = Sequencer(layout, say=words.append)
    sequencer.turn()
    sequencer.turn()
    assert len(words) == 1
    path.write_bytes(good)
    sequencer._stuck[3, 7] = sequencer._stuck[3, 7][0], 0.0  # a second later
    assert sequencer.turn() == 30
    sequencer.checkpoint()
    sequencer.close()
    whole(layout, {(3, 7): 30})


@pytest.mark.parametrize(
    "odd",
    [
        b"not a record",
        encode(Outcome(worker=9, epoch=7, seq=5, run=run(1))),
        encode(Outcome(worker=3, epoch=8, seq=5, run=run(1))),
        encode(Outcome(worker=3, epoch=7, seq=6, run=run(1))),
    ],
    ids=["no record", "another worker's", "another epoch's", "another number"],
)
def test_a_record_that_is_not_what_its_journal_says_is_stated_and_kept_out(layout: Layout, odd: bytes) -> None:
    entries = records(3, 7, 10)
    entries[4] = odd
    paths = write(layout.journal, 3, 7, entries)
    copy = paths[0].read_bytes()
    sequenced(layout)
    assert gaps(layout) == [(3, 7, 5, 1, "unreadable")]
    assert of_journals(layout, verified(layout))[3, 7] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    paths[0].write_bytes(copy)
    sequenced(layout)
    assert gaps(layout) == [(3, 7, 5, 1, "unreadable")]


def test_an_unreadable_last_record_is_not_stated_again_after_a_restart(layout: Layout) -> None:
    entries = [*records(3, 7, 9), b"rubbish"]
    [path] = write(layout.journal, 3, 7, entries)
    copy = path.read_bytes()
    sequenced(layout)
    path.write_bytes(copy)
    sequenced(layout)
    assert gaps(layout) == [(3, 7, 10, 1, "unreadable")]


# the index


def contents(layout: Layout) -> tuple[object, ...]:
    reader = Reader(layout.index)
    try:
        return reader.size, set(reader.rows()), reader.positions(), reader.kinds(), reader.open_runs()
    finally:
        reader.close()


def fill(layout: Layout) -> None:
    for key, count in {(0, 1): 701, (1, 2): 300}.items():
        write(layout.journal, *key, records(*key, count), per_segment=100)
    sequenced(layout)


def test_the_index_says_where_every_record_of_a_run_is(layout: Layout) -> None:
    fill(layout)
    size = verified(layout)
    expected = {
        (each.run, at, str(each.__struct_config__.tag), each.worker, each.epoch, each.seq)
        for at, each in enumerate(said(layout, size))
        if not isinstance(each, Checkpoint)
    }
    found = contents(layout)
    assert found[:2] == (size, expected)
    assert found[2] == {(0, 1): 701, (1, 2): 300, (SEQUENCER, 1): 1}
    assert found[4] == 1
    reader = Reader(layout.index)
    assert [place[1:] for place in reader.places(run((1 << 64) + (2 << 32) + 5))] == [
        ("intent", 1, 2, 9),
        ("outcome", 1, 2, 10),
    ]
    reader.close()


def rebuilt(layout: Layout) -> tuple[object, ...]:
    log = layout.open()
    index = Index(layout.index, layout.log, log.size)
    while not index.catch_up(log.size):
        pass
    index.close()
    log.close()
    return contents(layout)


def test_a_deleted_index_comes_back_equal(layout: Layout) -> None:
    fill(layout)
    before = contents(layout)
    for path in layout.folder.glob("index.db*"):
        path.unlink()
    assert rebuilt(layout) == before


@pytest.mark.parametrize("damage", ["rubbish", "another log's", "ahead", "another schema"])
def test_an_index_that_is_not_this_log_s_is_made_anew(layout: Layout, tmp_path: Path, damage: str) -> None:
    fill(layout)
    before = contents(layout)
    if damage == "rubbish":
        layout.index.write_bytes(os.urandom(40_000))
    elif damage == "another log's":
        other = ledger(tmp_path / "other")
        write(other.journal, 5, 5, records(5, 5, 600))
        sequenced(other)
        layout.index.write_bytes(other.index.read_bytes())
    else:
        db = sqlite3.connect(layout.index, isolation_level=None)
        db.execute("UPDATE state SET size = size + 1" if damage == "ahead" else "UPDATE state SET schema = 9")
        db.close()
    assert rebuilt(layout) == before


def test_an_index_that_was_set_forward_hides_no_record(layout: Layout) -> None:
    """Of a journal that goes on the log itself says how far it is in it."""
    write(layout.journal, 0, 1, records(0, 1, 11), per_segment=10, end=False)  # of the last nobody knows if it counts
    sequenced(layout)
    assert of_journals(layout, verified(layout))[0, 1] == list(range(1, 11))
    db = sqlite3.connect(layout.index, isolation_level=None)
    db.execute("UPDATE position SET seq = 1000000")
    db.close()
    write(layout.journal, 0, 1, records(0, 1, 300), per_segment=10)
    sequenced(layout)
    whole(layout, {(0, 1): 300})


def test_an_index_deleted_or_locked_under_a_running_sequencer_harms_nothing(layout: Layout) -> None:
    write(layout.journal, 0, 1, records(0, 1, 100))
    sequencer = Sequencer(layout)
    sequencer.turn()
    sequencer.checkpoint()
    assert sequencer.catch_up()
    other = sqlite3.connect(layout.index, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    write(layout.journal, 0, 2, records(0, 2, 100))
    assert sequencer.turn() == 100
    sequencer.checkpoint()
    with pytest.raises(TidegateError, match="locked"):
        sequencer.catch_up()
    assert segments.listing(layout.journal) == []
    other.execute("ROLLBACK")
    other.close()
    assert sequencer.catch_up()
    whole(layout, {(0, 1): 100, (0, 2): 100})
    before = contents(layout)
    for path in layout.folder.glob("index.db*"):
        path.unlink()
    assert sequencer.catch_up()
    assert contents(layout) == before
    sequencer.close()


# kill -9

KILLED = """
import sys, time
from pathlib import Path
from tests.record.journals import records, write
from tidegate.record.layout import find
from tidegate.record.sequencer import Sequencer
layout = find(Path(sys.argv[1]))
sequencer = Sequencer(layout)
sequencer._next = 0
while True:
    sequencer.turn()
    sequencer.checkpoint()
    sequencer.catch_up()
"""


def killed_at_random(layout: Layout, kills: int, seed: int) -> None:
    """Journals grow while sequencers are killed; afterwards the log has every record once."""
    chance = random.Random(seed)
    counts: dict[tuple[int, int], int] = {}
    for epoch in range(1, kills + 1):
        for worker in range(2):
            count = chance.randrange(1, 3000)
            write(layout.journal, worker, epoch, records(worker, epoch, count), per_segment=chance.choice([64, 999]))
            counts[worker, epoch] = count
        sequencer = subprocess.Popen([sys.executable, "-c", KILLED, str(layout.folder)])
        size = (layout.log / "checkpoint").read_bytes()
        while chance.random() < 0.7 and (layout.log / "checkpoint").read_bytes() == size:
            time.sleep(0.01)  # most are killed after their first checkpoint, some before
        time.sleep(chance.random() * 0.1)
        sequencer.send_signal(signal.SIGKILL)
        sequencer.wait()
    sequenced(layout)
    whole(layout, counts)
    assert segments.listing(layout.journal) == []
    before = contents(layout)
    for path in layout.folder.glob("index.db*"):
        path.unlink()
    assert rebuilt(layout) == before


def test_sequencers_that_are_killed_lose_nothing_and_take_nothing_twice(layout: Layout) -> None:
    killed_at_random(layout, 12, 1)


@pytest.mark.long
def test_two_hundred_kills_lose_nothing(layout: Layout) -> None:
    killed_at_random(layout, 200, 2)


WRITER = """
import sys
from pathlib import Path
from tests.record.journals import records
from tidegate.record._journal import Journal
from tidegate.record.layout import find
layout = find(Path(sys.argv[1]))
epoch = layout.new_epoch()
journal = Journal(layout.journal, int(sys.argv[2]), epoch, segment_size=65536, buffer=65536, limit=2048)
count = 0
for record in records(int(sys.argv[2]), epoch, 20000):
    count = journal.append(record)
    journal.keep(count)
    if count % 50 == 0:
        journal.drain(10)
        print(epoch, count, flush=True)
        if sys.stdin.read(1) == "":
            break
journal.close()
"""
PROCESS = """
import sys
from pathlib import Path
from tidegate.serve.sequencer import run
run(Path(sys.argv[1]), 0, lambda words: None)
"""


def test_workers_write_and_die_while_sequencers_are_killed(layout: Layout) -> None:
    """The processes of a gateway: what a worker was told is durable is in the log once, whoever is killed and when."""
    chance = random.Random(3)
    durable: dict[tuple[int, int], int] = {}
    for _ in range(4):
        commands = [[sys.executable, "-c", WRITER, str(layout.folder), str(worker)] for worker in range(2)]
        writers = [subprocess.Popen(each, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for each in commands]
        sequencer = subprocess.Popen([sys.executable, "-c", PROCESS, str(layout.folder)], stdin=subprocess.PIPE)
        for _ in range(chance.randrange(2, 30)):
            for worker, writer in enumerate(writers):
                assert writer.stdout is not None
                assert writer.stdin is not None
                epoch, count = map(int, writer.stdout.readline().split())
                durable[worker, epoch] = count
                writer.stdin.write(b"x")
                writer.stdin.flush()
        for process in (sequencer, *writers):
            process.kill()
            process.communicate()
    for worker, epoch in unended(layout.journal):
        recover(layout.journal, worker, epoch)
    sequenced(layout)
    found = of_journals(layout, verified(layout))
    for key, count in durable.items():
        assert found[key] == list(range(1, len(found[key]) + 1))
        assert len(found[key]) >= count
    assert segments.listing(layout.journal) == []
    health = fsck(layout)
    assert health.findings == []


def test_who_keeps_up_is_calm_and_who_has_something_to_make_up_for_is_not(layout: Layout) -> None:
    """Others go before a turn on a busy core, unless the one before it has left something."""
    write(layout.journal, 0, 1, records(0, 1, 30_000), per_segment=30_000)
    calm: list[bool] = []
    stop, end = os.pipe()

    def taken(positions: Positions) -> None:
        calm.append(threading.current_thread() is not threading.main_thread())
        if calm[-2:] == [False, True]:
            os.close(end)

    with ThreadPoolExecutor(1) as thread:
        work(layout.folder, stop, pytest.fail, taken=taken, calmly=lambda step: thread.submit(step).result())
    os.close(stop)
    made_up = calm.index(True, 1) - 1
    assert made_up >= 2
    assert calm[: made_up + 2] == [True] + [False] * made_up + [True]
    assert not any(calm[made_up + 2 :])  # who is to stop is not to be waited for
    assert of_journals(layout, verified(layout))[0, 1] == list(range(1, 30_001))


# the ledger's folder


def test_epochs_are_never_given_twice(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.125)
    given = [layout.new_epoch() for _ in range(3)]
    write(layout.journal, 0, 41, records(0, 41, 1))
    given += [find(layout.folder).new_epoch(), layout.new_epoch()]
    assert given == [12, 13, 14, 42, 43]


@pytest.mark.parametrize("counter", [None, b"", b"0\n", b"1", b"-5\n", b"\xff\n"])
def test_epochs_are_not_given_again_by_a_counter_that_was_lost_or_set_back(
    layout: Layout, counter: bytes | None
) -> None:
    """Records of one that is would not be taken: the log has those numbers."""
    file = layout.journal / "epoch"
    for count in (9, 5):
        epoch = layout.new_epoch()
        write(layout.journal, 0, epoch, records(0, epoch, count))
        sequenced(layout)
        assert segments.listing(layout.journal) == []
        assert of_journals(layout, verified(layout))[0, epoch] == list(range(1, count + 1))
        file.unlink() if counter is None else file.write_bytes(counter)
        time.sleep(0.02)


def test_making_a_ledger_that_was_cut_off_goes_on_with_the_same_keys(layout: Layout) -> None:
    before = layout.verifiers()
    (layout.folder / "ledger.json").unlink()  # it is written last
    with pytest.raises(StartError, match="has no ledger"):
        find(layout.folder)
    again = ledger(layout.folder.parent)
    assert [str(key) for key in again.verifiers()] == [str(key) for key in before]
    sequenced(again)
    whole(again, {})
    (layout.folder / "ledger.json").unlink()
    with pytest.raises(TidegateError, match=r"example\.org/other"):
        create(layout.folder, "example.org/other")
    assert not (layout.folder / "ledger.json").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not what it should be"),
        ('{"version": 1}', "`origin`"),
        ('{"version": 1, "origin": "a", "other": 2}', "`other`"),
        ('{"version": 2, "origin": "a"}', "version 2"),
    ],
)
def test_a_ledger_that_says_something_else_is_refused(layout: Layout, text: str, said: str) -> None:
    (layout.folder / "ledger.json").write_text(text)
    with pytest.raises(StartError, match=said):
        find(layout.folder)
