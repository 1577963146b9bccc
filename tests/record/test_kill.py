"""kill -9 at any moment: nothing that was appended is lost, and so nothing that was acknowledged."""

import os
import random
import select
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.record.disks import ROOT
from tidegate.record.recovery import recover
from tidegate.record.segments import Tail, epoch_entries

# says after every append, and for every acknowledgement, what it has: through a pipe, so that it is said before it dies
LOAD = """
import os, random, struct, sys
from pathlib import Path
from tidegate.record._journal import Journal
disk, memory, epoch = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
chance = random.Random(epoch)
journal = Journal(disk, 1, epoch, memory=memory, segment_size=1 << 16, buffer=1 << 16, limit=1024)
say = struct.Struct("<cQ")
while True:
    for _ in range(chance.randrange(1, 20)):
        seq = journal.append(b"%d:" % (journal.appended + 1) + b"." * chance.randrange(900))
        os.write(1, say.pack(b"a", seq))
    if chance.randrange(3):
        journal.want(seq)
    journal.turn()
    os.write(1, say.pack(b"d", journal.acknowledge()))
    if journal.appended - journal.durable > 40:
        journal.drain(5)
"""


def kill(disk: Path, memory: Path, epoch: int, after: int) -> dict[bytes, int]:
    """Kills a worker after it said so much; the last it said it had appended, and had been told is durable."""
    command = [sys.executable, "-c", LOAD, str(disk), str(memory), str(epoch)]
    said = b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as worker:
        assert worker.stdout is not None
        while len(said) < after:
            assert select.select([worker.stdout], [], [], 20)[0]
            piece = os.read(worker.stdout.fileno(), 1 << 16)
            assert piece, "it died by itself"
            said += piece
        worker.send_signal(signal.SIGKILL)
        said += worker.stdout.read()
    return {b"a": 0, b"d": 0} | dict(struct.iter_unpack("<cQ", said[: len(said) // 9 * 9]))


def kill_often(tmp_path: Path, kills: int) -> None:
    disk, memory = tmp_path / "disk", tmp_path / "memory"
    disk.mkdir()
    memory.mkdir()
    chance = random.Random(kills)
    acknowledged = 0
    for epoch in range(kills):
        said = kill(disk, memory, epoch, after=chance.randrange(100, 60_000))
        follower = Tail(disk, 1, epoch, memory)
        followed = [entry for _ in range(50) for entry in follower.read()]
        follower.close()
        last = recover(disk, 1, epoch, memory=memory)
        found = list(epoch_entries(disk, 1, epoch))
        assert [seq for seq, _ in found] == list(range(1, last + 1))
        assert all(record.startswith(b"%d:" % seq) for seq, record in found)
        assert found[: len(followed)] == followed
        assert said[b"d"] <= said[b"a"] <= last
        acknowledged += said[b"d"]
    assert acknowledged > 100 * kills
    assert not list(memory.iterdir())


def test_a_kill_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    kill_often(tmp_path, kills=12)


@pytest.mark.long
def test_a_thousand_kills_lose_nothing_that_was_appended(tmp_path: Path) -> None:
    kill_often(tmp_path, kills=1000)
