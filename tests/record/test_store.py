"""The checkpoint store: it changes for who knows what it has, and for nobody else."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.record.logs import KEY, NOW, ORIGIN
from tidegate.record import durable
from tidegate.record.checkpoints import Checkpoint
from tidegate.record.merkle import EMPTY_ROOT
from tidegate.record.notes import sign
from tidegate.record.store import CheckpointStore, StoreConflict


def note(size: int, root: bytes = EMPTY_ROOT, origin: str = ORIGIN) -> str:
    return sign(Checkpoint(origin, size, root).text, [KEY], NOW)


def test_a_swap_is_kept_and_seen_by_others(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "a" / "store")
    assert store.newest() is None
    store.swap(None, note(0))
    store.swap(note(0), note(5))
    assert CheckpointStore(store.folder).newest() == note(5)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (None, note(9), "the store has the checkpoint of 5 entries with the root e3b0c44298fc1c14, not no checkpoint"),
        (note(4), note(9), "not the checkpoint of 4 entries"),
        (note(5, bytes(32)), note(9), "not the checkpoint of 5 entries with the root 0000"),
        (note(5), note(4), "a checkpoint of 4 entries cannot follow that of 5"),
        (note(5), note(5, bytes(32)), "a checkpoint of 5 entries cannot follow that of 5"),
        (note(5), note(9, origin="x"), "belongs to the log"),
    ],
)
def test_other_swaps_are_refused_and_change_nothing(tmp_path: Path, old: str | None, new: str, complaint: str) -> None:
    store = CheckpointStore(tmp_path)
    store.swap(None, note(5))
    with pytest.raises(StoreConflict, match=complaint):
        store.swap(old, new)
    assert store.newest() == note(5)


def test_a_store_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    for content in (b"hello", b"\xff\xfe", b""):
        (tmp_path / "checkpoint").write_bytes(content)
        with pytest.raises(StoreConflict, match="the store has something that is no checkpoint, not no checkpoint"):
            CheckpointStore(tmp_path).swap(None, note(0))
        assert (tmp_path / "checkpoint").read_bytes() == content


def test_of_many_processes_that_swap_at_once_one_wins_each_time(tmp_path: Path) -> None:
    """Every process counts its successful swaps; the size in store is their sum."""
    code = """
import sys
from pathlib import Path
from tests.record.test_store import note
from tidegate.record.checkpoints import parse_checkpoint
from tidegate.record.notes import split_note
from tidegate.record.store import CheckpointStore, StoreConflict
store, won = CheckpointStore(Path(sys.argv[1])), 0
for _ in range(100):
    old = store.newest()
    try:
        store.swap(old, note(parse_checkpoint(split_note(old)[0]).size + 1))
        won += 1
    except StoreConflict:
        pass
print(won)
"""
    CheckpointStore(tmp_path).swap(None, note(0))
    running = [subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) for _ in range(3)]
    won = [int(process.communicate(timeout=100)[0]) for process in running]
    assert sum(won) >= 100
    assert CheckpointStore(tmp_path).newest() == note(sum(won))


@pytest.mark.parametrize(("name", "number"), [("write", errno.ENOSPC), ("fsync", errno.EIO), ("rename", errno.EROFS)])
def test_after_a_failed_swap_one_or_the_other_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    store = CheckpointStore(tmp_path)
    store.swap(None, note(5))

    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, name, fail)
        with pytest.raises(OSError, match=os.strerror(number)):
            store.swap(note(5), note(6))
    assert CheckpointStore(tmp_path).newest() == note(5)
    store.swap(note(5), note(7))
    assert store.newest() == note(7)
