"""A disk that fails: never an acknowledgement after a failed flush, all are told, service resumes by itself."""

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faketime import movable_clock
from tests.record.disks import ROOT, quick_folder, read_log, run
from tidegate.record.recovery import recover
from tidegate.record.segments import epoch_entries

# what every process here begins with
START = """
import ctypes, errno, json, os, select, sys, time
from pathlib import Path
from tidegate.record._journal import Journal
from tidegate.record.unrecorded import Unrecorded
preloaded = ctypes.CDLL(None)
def opened(**options):
    options = {"memory": Path(sys.argv[2]), "segment_size": 8192, "buffer": 32768, "limit": 1024} | options
    return Journal(Path(sys.argv[1]), 1, 1, **options)
def until(true, within=10):
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "this never came true"
        select.select([], [], [], 0.001)
def acked(journal, seq):
    "Waits until the record is durable, or a commit has failed; whether it is durable then."
    failures = journal.failures
    if journal.want(seq):
        return True
    journal.turn()
    while (durable := journal.acknowledge()) < seq and journal.failures == failures:
        assert select.select([journal], [], [], 10)[0]
    return durable >= seq
def refused(journal):
    try:
        journal.append(b"new", new=True)
    except Unrecorded as why:
        return str(why)
"""


@pytest.fixture(params=["requests", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds where the kernel takes a write and its flush as one request, and where it does not."""
    if request.param == "plain":
        monkeypatch.setenv("DISK_PLAIN", "1")


@pytest.fixture
def place(way: None) -> Iterator[tuple[Path, Path]]:
    """Folders of the disk and of the ring."""
    with quick_folder() as folder:
        (folder / "disk").mkdir()
        (folder / "memory").mkdir()
        yield folder / "disk", folder / "memory"


def told(code: str, place: tuple[Path, Path], *arguments: object, **options: Any) -> Any:
    """What a process says, as JSON."""
    return json.loads(run(START + code, *place, *arguments, **options))


def records(place: tuple[Path, Path]) -> list[bytes]:
    found = list(epoch_entries(place[0], 1, 1))
    assert [entry.seq for entry in found] == list(range(1, len(found) + 1))
    return [entry.record for entry in found]


FAILED_FLUSH = """
journal = opened()
journal.append(b"before")
assert acked(journal, 1)
def quiet():
    calls = preloaded.disk_calls(b"pwrite")
    time.sleep(0.05)
    return preloaded.disk_calls(b"pwrite") == calls
until(quiet)  # the next segment is filled beside: its writes are not those that are to fail
preloaded.disk_fail(sys.argv[3].encode(), 0, int(sys.argv[5]), int(sys.argv[4]))
journal.append(b"while it fails")
first = acked(journal, 2)
trouble, failures, why, other = journal.trouble, journal.failures, refused(journal), journal.append(b"its outcome")
until(lambda: journal.durable == other)
until(lambda: journal.trouble is None)
after = acked(journal, journal.append(b"after", new=True))
print(json.dumps([first, trouble, failures, why, after, journal.close()]))
"""


@pytest.mark.parametrize(
    ("function", "error", "times"),
    [
        pytest.param("fdatasync", errno.EIO, 1, id="a flush fails once"),
        pytest.param("fdatasync", errno.EIO, 5, id="flushes fail for some time"),
        pytest.param("pwrite", errno.ENOSPC, 1, id="a write finds no space"),
        pytest.param("pwrite", errno.EIO, 4, id="writes fail for some time"),
    ],
)
def test_a_failed_write_is_never_acknowledged_and_service_resumes(
    place: tuple[Path, Path], tmp_path: Path, function: str, error: int, times: int
) -> None:
    log = tmp_path / "log"
    first, trouble, failures, why, after, closed = told(FAILED_FLUSH, place, function, error, times, log=log)
    assert not first  # whoever waited was told, and not that it is durable
    assert trouble == why
    assert "failed" in trouble
    assert failures >= 1
    assert after
    assert closed
    assert records(place) == [b"before", b"while it fails", b"its outcome", b"after"]
    ops = read_log(log)
    (poisoned,) = {op.name.replace("spare", "segment") for op in ops if op.kind in "wq" and b"before" in op.data}
    assert not any(op.kind in "wq" and op.name == poisoned and b"outcome" in op.data for op in ops)


def test_half_a_write_is_completed(place: tuple[Path, Path]) -> None:
    code = """
journal = opened()
preloaded.disk_fail(b"pwrite", 0, 3, -1)
seqs = [journal.append(b"x" * 500) for _ in range(10)]
print(json.dumps([acked(journal, 10), journal.failures, journal.close()]))
"""
    assert told(code, place) == [True, 0, True]
    assert records(place) == [b"x" * 500] * 10


def test_a_file_system_that_wants_its_page_cache_gets_it(place: tuple[Path, Path]) -> None:
    """Some take the flag that goes past it, and refuse the first write."""
    code = """
preloaded.disk_fail(b"pwrite", 0, 1, errno.EINVAL)
journal = opened()
journal.append(b"one")
print(json.dumps([acked(journal, 1), journal.failures, journal.close()]))
"""
    assert told(code, place) == [True, 0, True]
    assert records(place) == [b"one"]


SWEPT = """
journal = opened()
function, number, error = sys.argv[3].encode(), int(sys.argv[4]), int(sys.argv[5])
preloaded.disk_fail(function, number, 1, error)
for batch in range(8):
    for number in range(6):
        seq = journal.append(b"record %d" % (journal.appended + 1) + b"." * 500)
    acked(journal, seq)
    until(lambda: journal.durable == seq)
until(lambda: journal.trouble is None)
calls = preloaded.disk_calls(function)
print(json.dumps([journal.failures, calls, journal.close()]))
"""


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "function", ["openat", "pwrite", "fdatasync", "fsync", "renameat", "ftruncate", "unlinkat", "io_submit"]
)
def test_every_call_of_the_writer_may_fail_once(function: str) -> None:
    number = failures = 0
    calls = 1
    while number < calls:
        with quick_folder() as folder:
            place = folder / "disk", folder / "memory"
            for each in place:
                each.mkdir()
            failed, calls, closed = told(SWEPT, place, function, number, errno.EIO)
            failures += failed
            if not closed:
                recover(place[0], 1, 1, memory=place[1])
            assert records(place) == [b"record %d" % seq + b"." * 500 for seq in range(1, 49)]
            assert not list(place[1].iterdir())
        number += 1
    # the preparer tries again unseen, and what is not taken as a request is written and flushed
    assert failures or function in ("openat", "unlinkat", "fsync", "ftruncate", "io_submit")


def test_a_disk_that_takes_too_long_refuses_new_calls_until_it_is_back(place: tuple[Path, Path]) -> None:
    code = """
journal = opened(stale=0.2)
preloaded.disk_slow(2000)
seq = journal.append(b"slow")
journal.want(seq)
until(lambda: not journal.turn())
why, outcome = refused(journal), journal.append(b"its outcome")
preloaded.disk_slow(0)
until(lambda: journal.turn() and journal.durable >= seq)
until(lambda: journal.turn() and refused(journal) is None)
print(json.dumps([why, journal.failures, outcome, journal.close()]))
"""
    assert told(code, place) == ["the disk has not taken a write for 0.2 s", 0, 2, True]
    assert records(place) == [b"slow", b"its outcome", b"new"]


def test_best_effort_goes_on_and_counts_what_finds_no_place(place: tuple[Path, Path]) -> None:
    code = """
journal = opened(audit="best_effort")
preloaded.disk_fail(b"fdatasync", 0, 1 << 30, errno.EIO)
taken = sum(journal.append(b"%d" % number * 100, new=True) > 0 for number in range(1000))
journal.want(taken)
journal.turn()
until(lambda: journal.failures)
dropped, trouble = journal.dropped, journal.trouble
preloaded.disk_fail(b"", 0, 0, 0)
until(lambda: journal.durable == taken)
print(json.dumps([taken, dropped, trouble, journal.append(b"again", new=True), journal.close()]))
"""
    taken, dropped, trouble, seq, closed = told(code, place)
    assert taken + dropped == 1000
    assert dropped > 0
    assert "Input/output error" in trouble
    assert seq == taken + 1
    assert closed
    assert len(records(place)) == taken + 1


FULL = """
journal = opened()
taken = 0
while not (why := refused(journal)):
    taken += 1
    journal.append(b"." * 600)
    acked(journal, journal.appended)
outcomes = [journal.append(b"outcome") for _ in range(20)]
ended = acked(journal, outcomes[-1])
held = journal.durable
{make_room}
until(lambda: journal.trouble is None)
until(lambda: (journal.turn(), journal.durable == outcomes[-1]))
print(json.dumps([why, taken, ended, acked(journal, journal.append(b"after", new=True)), journal.close()]))
"""


def test_a_full_disk_refuses_new_calls_while_those_that_run_still_end(place: tuple[Path, Path]) -> None:
    opening = """
probe = Path(sys.argv[1], "probe")
try:
    os.close(os.open(probe, os.O_CREAT | os.O_RDWR | os.O_DIRECT))
    calls = 1  # for the first segment; a file system with nothing but its page cache is asked twice
except OSError:
    calls = 2
probe.unlink(missing_ok=True)
preloaded.disk_fail(b"openat", calls, 1 << 30, errno.ENOSPC)
before = preloaded.disk_calls(b"openat")
journal = opened()
until(lambda: preloaded.disk_calls(b"openat") >= before + calls + 3)  # the next segment has been tried more than once
"""
    make_room = "preloaded.disk_fail(b'', 0, 0, 0)"
    full = FULL.replace("journal = opened()\n", opening).format(make_room=make_room)
    why, taken, ended, after, closed = told(full, place)
    assert why == "the disk has no room for the next segment: No space left on device"
    assert taken > 5
    assert ended
    assert after
    assert closed
    assert len(records(place)) == 2 * taken + 21


def test_a_full_file_system_refuses_new_calls_and_resumes(tmp_path: Path) -> None:
    """The same on a file system of 256 KiB that is really full."""
    disk, memory = tmp_path / "disk", tmp_path / "memory"
    disk.mkdir()
    memory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    try:
        room = "os.unlink(Path(sys.argv[1], 'ballast'))"
        (disk / "ballast").write_bytes(bytes(200_000))
        why, taken, _, after, closed = told(FULL.format(make_room=room), (disk, memory))
        assert "No space left on device" in why
        assert after
        assert closed
        assert len(records((disk, memory))) == 2 * taken + 21
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_journal_that_does_not_fit_is_not_opened(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    try:
        for options in ("buffer=1 << 20", "segment_size=1 << 20"):
            code = f"""
try: opened({options})
except OSError as why: print(json.dumps([why.errno, os.listdir(sys.argv[1]), os.listdir(sys.argv[2])]))
"""
            assert told(code, (disk, disk)) == [errno.ENOSPC, [], []]
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        code = """
try: opened(buffer=1 << 20)
except OSError as why: print(json.dumps([why.errno, why.filename]))
"""
        assert told(code, (elsewhere, disk)) == [errno.ENOSPC, str(disk)]  # it is the ring that does not fit
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_close_leaves_to_recovery_what_it_cannot_write(place: tuple[Path, Path]) -> None:
    code = """
journal = opened()
journal.append(b"durable")
assert acked(journal, 1)
preloaded.disk_fail(b"fdatasync", 0, 1 << 30, errno.EIO)
journal.append(b"only in the ring")
print(json.dumps(journal.close()))
"""
    assert told(code, place) is False
    assert recover(place[0], 1, 1, memory=place[1]) == 2
    assert records(place) == [b"durable", b"only in the ring"]


def test_close_does_not_wait_for_a_disk_that_hangs(place: tuple[Path, Path]) -> None:
    code = """
journal = opened()
preloaded.disk_slow(3000)
journal.append(b"one")
print(json.dumps(journal.close(0.05)))
sys.stdout.flush()
os._exit(0)
"""
    assert told(code, place) is False
    assert recover(place[0], 1, 1, memory=place[1]) == 1
    assert records(place) == [b"one"]


@pytest.mark.parametrize(
    ("call", "error", "when"),
    [
        ("fdatasync", "EIO", "12+7"),
        ("pwrite64", "EIO", "12+7"),
        ("pwrite64", "ENOSPC", "9+5"),
        ("renameat", "EIO", "2+2"),
        ("fsync", "EIO", "2+2"),
        ("ftruncate", "EIO", "1+2"),
        ("fallocate", "ENOSPC", "3+2"),
    ],
)  # fmt: skip
def test_a_call_that_the_kernel_fails_is_never_taken_for_done(tmp_path: Path, call: str, error: str, when: str) -> None:
    """The same as above by another way: strace makes system calls fail."""
    if shutil.which("strace") is None:
        pytest.skip("strace is absent")
    disk, memory = tmp_path / "disk", tmp_path / "memory"
    disk.mkdir()
    memory.mkdir()
    code = START + """
journal = opened()
said = []
for number in range(1, 31):
    said.append(acked(journal, journal.append(b"%d." % number + b"." * 900)))
    until(lambda: journal.durable == number)
os.pwritev(1, [json.dumps([said, journal.failures, journal.close()]).encode()], 0)
"""  # fmt: skip
    trace = ["strace", "-f", "-o", str(tmp_path / "trace"), "-e", f"trace={call},io_setup"]
    trace += ["-e", "inject=io_setup:error=ENOSYS"]  # it cannot make a request fail that was taken
    command = [*trace, "-e", f"inject={call}:error={error}:when={when}"]
    with open(tmp_path / "said", "wb") as file:
        command += [sys.executable, "-c", code, str(disk), str(memory)]
        ran = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, cwd=ROOT, timeout=60, check=False)
    if b"Operation not permitted" in ran.stderr:
        pytest.skip("tracing is not allowed here")
    assert ran.returncode == 0, ran.stderr
    said, failures, closed = json.loads((tmp_path / "said").read_text())
    injected = sum("INJECTED" in line for line in (tmp_path / "trace").read_text().splitlines() if f" {call}" in line)
    assert injected
    assert said.count(False) <= failures
    if call not in ("fsync", "ftruncate", "fallocate"):  # the preparer's: no commit fails for one, or more than once
        assert 0 < failures <= injected
    if not closed:
        recover(disk, 1, 1, memory=memory)
    assert records((disk, memory)) == [b"%d." % number + b"." * 900 for number in range(1, 31)]


@pytest.mark.parametrize("jump", ["-3600", "+3600", "-10"])
def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, jump: str) -> None:
    clock, environment = movable_clock(tmp_path)
    (tmp_path / "disk").mkdir()
    code = START + f"""
journal = opened(stale=1.0)
for number in range(1, 41):
    if number == 20:
        Path({str(clock)!r}).write_text("{jump}")
    journal.append(b"%d" % number, new=True)
    if number % 2:
        assert acked(journal, number)
    else:
        until(lambda: journal.turn() and journal.durable == number)
print(journal.failures, journal.close())
"""  # fmt: skip
    command = [sys.executable, "-c", code, str(tmp_path / "disk"), str(tmp_path / "disk")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert ran.stdout == "0 True\n", ran.stderr
    assert records((tmp_path / "disk", tmp_path)) == [b"%d" % number for number in range(1, 41)]
