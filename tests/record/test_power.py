"""Power cuts: whatever the disk has at any instant, every record that was acknowledged is recovered, without a gap."""

import random
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.record.disks import Disk, Op, quick_folder, read_log, run
from tidegate.record.recovery import recover
from tidegate.record.segments import Damaged, epoch_entries

# one worker's life: records of all lengths in batches of all sizes; acknowledgements are marked in the log
LIFE = """
import ctypes, errno, random, select, sys, tempfile
from pathlib import Path
from tidegate.record._journal import Journal
disk, memory, seed, faulty = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
preloaded, chance = ctypes.CDLL(None), random.Random(seed)
size = chance.choice((4096, 8192, 1 << 15, 1 << 16))
journal = Journal(disk, 1, 1, memory=memory, segment_size=size, buffer=16384, limit=700)
seq = 0
for batch in range(40):
    if faulty and not chance.randrange(4):
        name, error = chance.choice((
            ("fdatasync", errno.EIO), ("pwrite", errno.EIO), ("pwrite", -1), ("openat", errno.ENOSPC),
            ("renameat", errno.EIO), ("fsync", errno.EIO), ("ftruncate", errno.EIO), ("io_submit", errno.EAGAIN),
            ("pwrite", errno.EAGAIN),
        ))
        preloaded.disk_fail(name.encode(), chance.randrange(3), chance.randrange(1, 3), error)
    for _ in range(chance.choice((1, 1, 2, 5, 12))):
        seq += 1
        journal.append(b"%d:" % seq + b"." * chance.choice((0, 5, 90, 300, 600)))
    journal.want(seq)
    journal.turn()
    while journal.durable < seq and chance.randrange(4):  # or not: then commits are under way together
        select.select([journal], [], [], 1)
        preloaded.disk_mark(ctypes.c_uint64(journal.acknowledge()))
    preloaded.disk_mark(ctypes.c_uint64(journal.acknowledge()))
preloaded.disk_fail(b"", 0, 0, 0)
print(journal.failures, preloaded.disk_most())
if chance.randrange(2):
    journal.close()
else:
    for seq in range(seq + 1, seq + 6):
        journal.append(b"%d:" % seq)
"""

# what the supervisor does then, now and then twice; the outcomes that it adds are acknowledged too
RECOVERY = """
import ctypes, errno, sys
from pathlib import Path
from tidegate.record.recovery import recover
def aborted(entries):
    *_, last = entries
    return [b"%d:aborted" % seq for seq in range(last.seq + 1, last.seq + 4)]
preloaded = ctypes.CDLL(None)
if int(sys.argv[3]) % 3 == 1:
    preloaded.disk_fail(b"fsync", 0, 1, errno.EIO)  # as if it were killed before the last flush of the folder
    try:
        recover(Path(sys.argv[1]), 1, 1, aborted, memory=Path(sys.argv[2]))
    except OSError:
        pass
last = recover(Path(sys.argv[1]), 1, 1, aborted, memory=Path(sys.argv[2]))
preloaded.disk_mark(ctypes.c_uint64(last))
"""


class Life(NamedTuple):
    """What a worker, and who recovered its epoch, did to their disk, how often a commit failed, and how many requests
    were under way at once.
    """

    ops: list[Op]
    failures: int
    most: int


def live(folder: Path, seed: int, faulty: bool = False, lies: str = "") -> Life:
    disk, memory = folder / "disk", folder / "memory"
    disk.mkdir(parents=True)
    memory.mkdir()
    plain = seed % 4 > 1
    failures, most = run(LIFE, disk, memory, seed, int(faulty), log=folder / "log", lies=lies, plain=plain).split()
    run(RECOVERY, disk, memory, seed, log=folder / "log", lies=lies)
    return Life(read_log(folder / "log"), int(failures), int(most))


def lost(folder: Path, ops: list[Op], chance: random.Random, at_the_end: bool = False) -> int:
    """Cuts the power somewhere, recovers; how many acknowledged records are gone."""
    cut = chance.randrange(len(ops) + 1) if chance.randrange(4) else len(ops) - chance.randrange(20)
    cut = len(ops) if at_the_end else cut
    disk = Disk(ops[:cut])
    folder.mkdir()
    disk.build(folder, chance)
    memory = folder / "memory"
    memory.mkdir()
    last = recover(folder, 1, 1, memory=memory)
    found = list(epoch_entries(folder, 1, 1)) if last else []
    assert [seq for seq, _ in found] == list(range(1, last + 1))
    assert all(record.startswith(b"%d:" % seq) for seq, record in found)
    return max(0, disk.acked - last)


def cut_power(seeds: range, cuts: int) -> None:
    """Of two lives one has a disk that fails now and then; two of four, one that takes no requests."""
    failures = together = 0
    for seed in seeds:
        chance = random.Random(seed)
        with quick_folder() as folder:
            life = live(folder, seed, faulty=bool(seed % 2))
            failures += life.failures
            together += life.most > 1
            for number in range(cuts):
                assert lost(folder / str(number), life.ops, chance) == 0, f"seed {seed}, cut {number}"
    assert failures > len(seeds) // 4  # how many depends on how the disk and its worker take turns
    assert together > len(seeds) // 8


def test_no_power_cut_loses_what_was_acknowledged() -> None:
    cut_power(range(10), cuts=100)


def test_recovery_that_was_stopped_before_its_last_flush_is_durable_when_done_again() -> None:
    for seed in (1, 4, 7, 10):
        chance = random.Random(seed)
        with quick_folder() as folder:
            life = live(folder, seed)
            assert not any(lost(folder / str(number), life.ops, chance, at_the_end=True) for number in range(30))


@pytest.mark.long
def test_no_power_cut_of_twenty_thousand_loses_what_was_acknowledged() -> None:
    cut_power(range(100, 150), cuts=400)


@pytest.mark.parametrize("lies", ["fdatasync", "fsync"])
def test_a_disk_that_lies_about_flushes_is_seen_to_lose(lies: str) -> None:
    """The harness can see a loss: the same journal, acknowledging before the file or its name is flushed."""
    losses, chance = 0, random.Random(1)
    with quick_folder() as folder:
        life = live(folder, 1, lies=lies)
        for number in range(100):
            try:
                losses += bool(lost(folder / str(number), life.ops, chance))
            except Damaged:
                losses += 1
    assert losses > 10
