"""The writer of the log: what it promises, when, and what it refuses."""

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.record.logs import KEY, LATTICE_KEY, NOW, ORIGIN, WITNESS_KEY, Place, entries, make, public
from tidegate.record import durable, tiles
from tidegate.record._hashes import root_hash
from tidegate.record.checkpoints import Checkpoint, parse_checkpoint
from tidegate.record.keys import PrivateKey
from tidegate.record.log import Log, LogError
from tidegate.record.merkle import EMPTY_ROOT, leaf_hash
from tidegate.record.notes import open_note, sign, split_note
from tidegate.record.store import CheckpointStore, StoreConflict
from tidegate.record.verify import verify_log


def root(size: int) -> bytes:
    return root_hash([leaf_hash(one) for one in entries(0, size)])


def check(place: Place, size: int) -> None:
    """The log is whole and has these entries."""
    report = verify_log(place.log, public(), store=place.store)
    assert report.faults == []
    assert report.checkpoint
    assert report.checkpoint.size == size
    assert report.checkpoint.root == root(size)
    found = []
    for index in range(-(-size // 256)):
        found += tiles.read_bundle(place.log, index, tiles.tile_width("entries", index, size))
    assert found == entries(0, size)


def test_a_new_log_is_empty_and_signed(tmp_path: Path) -> None:
    place = make(tmp_path, [])
    checkpoint = parse_checkpoint(open_note((place.log / "checkpoint").read_bytes(), public()).text)
    assert checkpoint == (ORIGIN, 0, EMPTY_ROOT, ())
    check(place, 0)


SIZES = [[1], [255], [256], [257], [1, 2, 3], [255, 256, 257], [100, 700], [256, 512], [0, 0, 300], [511, 513, 1024]]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_what_was_checkpointed_is_there_and_whole_at_every_size(tmp_path: Path, sizes: list[int]) -> None:
    place = make(tmp_path, [])
    with place.open() as log:
        for size in sizes:
            assert log.append(entries(log.size, size)) == min(log.signed.size, size)
            note = log.checkpoint(NOW)
            assert parse_checkpoint(split_note(note)[0]).root == root(size)
            check(place, size)
    with place.open() as log:
        assert log.size == sizes[-1]


def test_batches_of_any_size_make_the_same_tree(tmp_path: Path) -> None:
    place = make(tmp_path, [])
    with place.open() as log:
        for batch in (1, 2, 253, 1, 300, 0, 600, 7):
            log.append(entries(log.size, log.size + batch))
        log.checkpoint(NOW)
        check(place, 1164)


def test_a_level_of_tiles_above_the_second_is_made_and_found_again(tmp_path: Path) -> None:
    place = make(tmp_path, [65_536, 65_800])
    with place.open() as log:
        assert log.signed.root == root(65_800)
        log.append(entries(65_800, 65_801))
        assert parse_checkpoint(split_note(log.checkpoint(NOW))[0]).root == root(65_801)
    assert (place.log / "tile/1/000").stat().st_size == 8192
    assert (place.log / "tile/2/000.p/1").stat().st_size == 32


def test_the_files_are_those_that_the_specification_asks_for(tmp_path: Path) -> None:
    """The tree of 70,000 entries is the specification's own example, the one of 256 its remark."""
    for size, expected in (
        (256, {"tile/0/000", "tile/1/000.p/1", "tile/entries/000"}),
        (
            70_000,
            {f"tile/{level}/{index:03d}" for level in ("0", "entries") for index in range(273)}
            | {"tile/0/273.p/112", "tile/entries/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"},
        ),
    ):
        place = make(tmp_path / str(size), [size])
        found = {path.relative_to(place.log).as_posix() for path in (place.log / "tile").rglob("*") if path.is_file()}
        assert found == expected


def test_partial_tiles_of_checkpoints_stay_until_the_full_one_is_under_a_checkpoint(tmp_path: Path) -> None:
    place = make(tmp_path, [10, 20])
    partials = place.log / "tile" / "0" / "000.p"
    assert sorted(os.listdir(partials)) == ["10", "20"]
    with place.open() as log:
        log.append(entries(20, 256))
        assert sorted(os.listdir(partials)) == ["10", "20"], "no checkpoint stands on the full tile yet"
        log.checkpoint(NOW)
        assert not partials.exists()
    check(place, 256)


def test_without_news_the_checkpoint_is_the_one_that_there_is(tmp_path: Path) -> None:
    place = make(tmp_path, [5])
    with place.open() as log:
        before = log.note
        assert log.checkpoint(NOW + 100) == before
        assert (place.log / "checkpoint").read_text() == before


def test_what_was_appended_after_the_last_checkpoint_is_forgotten_and_written_over(tmp_path: Path) -> None:
    place = make(tmp_path, [300])
    with place.open() as log:
        log.append([b"never promised"] * 1000)
    for width in (60, 45):  # as a crash between tiles and checkpoint leaves them
        (place.log / f"tile/0/001.p/{width}").write_bytes(b"x" * width * 32)
        (place.log / f"tile/entries/001.p/{width}").write_bytes(b"x" * width)
    check(place, 300)
    with place.open() as log:
        assert log.size == 300
        assert os.listdir(place.log / "tile/0/001.p") == ["44"]
        log.append(entries(300, 700))
        log.checkpoint(NOW)
    check(place, 700)


def test_partial_tiles_that_a_crash_left_further_on_go_when_their_place_is_reached(tmp_path: Path) -> None:
    place = make(tmp_path, [250])
    for path in ("tile/0/001.p/3", "tile/entries/001.p/3"):
        (place.log / path).parent.mkdir()
        (place.log / path).write_bytes(b"left by a crash")
    with place.open() as log:
        log.append(entries(250, 260))
        log.checkpoint(NOW)
    assert os.listdir(place.log / "tile/0/001.p") == ["4"]
    check(place, 260)


def test_entries_that_are_too_long_are_refused_and_none_of_their_batch_is_taken(tmp_path: Path) -> None:
    place = make(tmp_path, [])
    with place.open() as log:
        with pytest.raises(LogError, match="65535"):
            log.append([b"good", b"x" * 65_536])
        assert log.size == 0
        assert log.append([b"x" * 65_535]) == 0
        log.checkpoint(NOW)
    assert tiles.read_bundle(place.log, 0, 1) == [b"x" * 65_535]


def test_both_kinds_of_keys_sign_and_a_new_key_signs_what_is_there_already(tmp_path: Path) -> None:
    place = make(tmp_path, [5])
    with place.open([KEY, LATTICE_KEY]) as log:
        note = log.checkpoint(NOW)
    opened = open_note(note, public([KEY, LATTICE_KEY]))
    assert len(opened.signatures) == 2
    assert parse_checkpoint(opened.text).size == 5
    assert (place.log / "checkpoint").read_text() == (place.store / "checkpoint").read_text() == note


def test_a_log_with_new_keys_alone_opens_when_it_is_told_the_former_ones(tmp_path: Path) -> None:
    place = make(tmp_path, [5])
    new = PrivateKey.generate(ORIGIN)
    with pytest.raises(LogError, match="no known key"):
        place.open([new])
    with Log(place.log, ORIGIN, [new], CheckpointStore(place.store), public()) as log:
        assert open_note(log.checkpoint(NOW), [new.verifier])


# forks


def test_a_log_is_made_once(tmp_path: Path) -> None:
    place = make(tmp_path, [5])
    with pytest.raises(LogError, match="has a log already"):
        Log.create(place.log, ORIGIN, [KEY], CheckpointStore(tmp_path / "other"), NOW)
    with pytest.raises(StoreConflict, match="somebody else"):
        Log.create(tmp_path / "second", ORIGIN, [KEY], CheckpointStore(place.store), NOW)


def test_a_backup_of_the_log_that_was_put_back_does_not_open(tmp_path: Path) -> None:
    place = make(tmp_path, [300])
    backup = place.copy(tmp_path / "backup")
    with place.open() as log:
        log.append(entries(300, 700))
        log.checkpoint(NOW)
    with pytest.raises(LogError, match=r"knows 700 entries.*backup"):
        Place(backup.log, place.store).open()
    with pytest.raises(LogError, match="published a checkpoint of 700 entries and the store knows one of 300"):
        Place(place.log, backup.store).open()


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("tile/0/002.p/188", "the tiles of its edge do not lead to the root"),
        ("tile/1/000.p/2", "the tiles of its edge do not lead to the root"),
        ("tile/entries/002.p/188", "the entries of its last bundle are not those of the tree"),
    ],
)
def test_a_log_that_was_changed_at_its_edge_does_not_open(tmp_path: Path, path: str, complaint: str) -> None:
    """What lies further back is for the verifier to find; no writer reads it."""
    place = make(tmp_path, [700])
    file = place.log / path
    before = file.read_bytes()
    file.write_bytes(before[:40] + bytes([before[40] ^ 1]) + before[41:])
    with pytest.raises(LogError, match=complaint):
        place.open()
    file.unlink()
    with pytest.raises(LogError, match="is missing"):
        place.open()


def test_a_log_does_not_open_with_another_store_or_name(tmp_path: Path) -> None:
    place, other = make(tmp_path / "a", [300]), make(tmp_path / "b", [])
    with other.open() as log:
        log.append([b"another"] * 300)
        log.checkpoint(NOW)
    with pytest.raises(LogError, match="the store is another log's"):
        Place(place.log, other.store).open()
    with pytest.raises(LogError, match="has no checkpoint"):
        Place(place.log, tmp_path / "empty").open()
    with pytest.raises(LogError, match=r"is of the log `.*`, not of `x`"):
        Log(place.log, "x", [PrivateKey.generate("x")], CheckpointStore(place.store), public())
    with pytest.raises(LogError, match="cannot be opened"):
        Place(tmp_path / "nowhere", place.store).open()


def test_of_two_instances_on_copies_of_a_log_one_goes_on_and_the_other_stops(tmp_path: Path) -> None:
    place = make(tmp_path, [300])
    copy = place.copy(tmp_path / "copy")
    with place.open() as one, Place(copy.log, place.store).open() as two:
        two.append([b"another history"] * 10)
        one.append(entries(300, 310))
        one.checkpoint(NOW)
        with pytest.raises(StoreConflict):
            two.checkpoint(NOW)
        with pytest.raises(LogError, match="open it again"):
            two.append([b"more"])
        one.append(entries(310, 320))
        one.checkpoint(NOW)
    check(place, 320)
    assert parse_checkpoint(split_note((copy.log / "checkpoint").read_text())[0]).size == 300, "nothing was shown"
    with pytest.raises(LogError, match="knows 320 entries"):
        Place(copy.log, place.store).open()


def test_a_second_process_cannot_open_the_same_folder(tmp_path: Path) -> None:
    place = make(tmp_path, [5])
    code = "import sys, pathlib, tests.record.logs as logs; logs.Place(*map(pathlib.Path, sys.argv[1:])).open()"
    with place.open():
        with pytest.raises(LogError, match="open in another process"):
            place.open()
        ran = subprocess.run([sys.executable, "-c", code, *place], capture_output=True, text=True, timeout=60)
        assert "is open in another process" in ran.stderr
    place.open().close()


RACER = """
import sys
from pathlib import Path
from tests.record.logs import Place, NOW
from tidegate.errors import TidegateError
log = Place(Path(sys.argv[1]), Path(sys.argv[2])).open()
print("ready", flush=True)
sys.stdin.readline()
done = 0
try:
    for turn in range(200):
        log.append([sys.argv[3].encode()] * 3)
        log.checkpoint(NOW)
        done += 1
except TidegateError as error:
    print(error.code, done, flush=True)
else:
    print("won", done, flush=True)
"""


def test_of_two_processes_that_race_for_one_store_one_wins_and_the_log_does_not_fork(tmp_path: Path) -> None:
    place = make(tmp_path, [10])
    copy = place.copy(tmp_path / "copy")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, folder, place.store, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder, name in ((place.log, "one"), (copy.log, "two"))
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ended = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert sorted(ended) == [["ledger_forked", "0"], ["won", "200"]]
    winner = [place.log, copy.log][ended.index(["won", "200"])]
    report = verify_log(winner, public(), store=place.store)
    assert report.ok, report.faults
    assert report.checkpoint
    assert report.checkpoint.size == 610


def test_a_store_in_the_folder_of_the_log_and_keys_of_another_name_are_refused(tmp_path: Path) -> None:
    for inside in (tmp_path / "log", tmp_path / "log" / "store"):
        with pytest.raises(LogError, match="put back together with it"):
            Log.create(tmp_path / "log", ORIGIN, [KEY], CheckpointStore(inside), NOW)
    for signers in ([], [WITNESS_KEY], [KEY, WITNESS_KEY]):
        with pytest.raises(LogError, match="have its name"):
            Log.create(tmp_path / "log", ORIGIN, signers, CheckpointStore(tmp_path / "store"), NOW)


def test_only_checkpoints_of_the_log_are_published_with_cosignatures(tmp_path: Path) -> None:
    place = make(tmp_path, [5])
    with place.open() as log:
        for other in (Checkpoint("x", 5, bytes(32)), Checkpoint(ORIGIN, 6, bytes(32))):
            with pytest.raises(LogError, match="has not signed"):
                log.cosign(sign(other.text, [WITNESS_KEY], NOW))
        log.cosign(log.note)


def test_closing_twice_closes_nothing_else(tmp_path: Path) -> None:
    log = make(tmp_path, [5]).open()
    log.close()
    with (tmp_path / "other").open("w") as other:
        log.close()
        other.write("still open")
    with pytest.raises(LogError, match="closed"):
        log.append([b"x"])


# a disk that fails


def failing(real: Callable[..., Any], at: int, error: int) -> Callable[..., Any]:
    """A call that fails the `at`-th time; a write then has written one byte."""
    calls = itertools.count(1)

    def call(*arguments: Any) -> Any:
        if next(calls) != at:
            return real(*arguments)
        if real.__name__ == "write":
            real(arguments[0], arguments[1][:1])
        raise OSError(error, os.strerror(error))

    return call


def test_a_disk_that_takes_little_at_a_time_gets_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(durable.os, "write", lambda file, left: real(file, left[:1000]))
    check(make(tmp_path, [300, 700]), 700)


def attempt(log: Log) -> str:
    """What goes wrong when the log grows to 260 entries."""
    try:
        log.append(entries(250, 260))
        log.checkpoint(NOW)
    except LogError as error:
        return error.message
    return ""


def test_after_a_failed_write_nothing_was_promised_and_the_log_opens_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write, flush and rename of a checkpoint fails once; short writes come before the disk is full."""
    base = make(tmp_path / "base", [250])
    for name, number in (("write", errno.ENOSPC), ("fsync", errno.EIO), ("rename", errno.EIO), ("open", errno.EMFILE)):
        for at in itertools.count(1):
            place = base.copy(tmp_path / f"{name}{at}")
            log = place.open()
            with monkeypatch.context() as patch:
                patch.setattr(durable.os, name, failing(getattr(os, name), at, number))
                failed = attempt(log)
            if not failed:
                break
            assert os.strerror(number) in failed
            with pytest.raises(LogError, match="open it again"):
                log.checkpoint(NOW)
            log.close()
            with place.open() as log:
                assert log.size in (250, 260), "the store has one checkpoint or the other"
                log.append(entries(log.size, 270))
                log.checkpoint(NOW)
            check(place, 270)
        assert at > 5, "there was something to fail"


@pytest.mark.parametrize("small", ["log", "store"])
def test_a_full_disk_loses_nothing_and_the_log_goes_on_when_there_is_room(tmp_path: Path, small: str) -> None:
    """A real one: a file system of 2 MB, which only a process with a mount namespace of its own can see."""
    for alone in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        if not subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True).returncode:
            command = [*alone, sys.executable, "-m", "tests.record.full_disk", tmp_path, small]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert ran.returncode == 0, ran.stderr
            return
    pytest.skip("mounting a tmpfs is not permitted here")
