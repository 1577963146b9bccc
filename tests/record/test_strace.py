"""Each system call by which the ledger's writer changes files fails once: nothing is then missing, or there twice."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.record.journals import ledger, of_journals, records, write
from tidegate.record.fsck import fsck
from tidegate.record.layout import Layout
from tidegate.record.verify import verify_log

ROOT = Path(__file__).parents[2]
COUNT = 600  # records of each of two workers
CALLS = ("fsync", "fdatasync", "rename", "renameat", "renameat2", "pwrite64", "ftruncate", "unlink", "mkdir", "link")
FOUND = re.compile(r"^\d+ +(\w+)\(", re.M)
PROGRAM = """
import os, sys, threading, time
from pathlib import Path
from tidegate.record.checkpoints import parse_checkpoint
from tidegate.record.notes import split_note
from tidegate.serve.sequencer import run

folder, count = Path(sys.argv[1]), int(sys.argv[2])
read, write = os.pipe()

def stop():
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            text, _ = split_note((folder / "log" / "checkpoint").read_bytes())
            if parse_checkpoint(text).size >= count:
                break
        except Exception:
            pass
        time.sleep(0.05)
    os.close(write)

threading.Thread(target=stop, daemon=True).start()
run(folder, read, lambda words: None)
"""


def filled(folder: Path) -> Layout:
    """A ledger before which two workers' journals lie."""
    folder.mkdir()
    made = ledger(folder)
    for worker in (1, 2):
        write(made.journal, worker, 1, records(worker, 1, COUNT), per_segment=200)
    return made


def traced(layout: Layout, log: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["strace", "-f", "-o", str(log), "-e", f"trace={','.join(CALLS)}", *options]
    command += [sys.executable, "-c", PROGRAM, str(layout.folder), str(2 * COUNT)]
    environ = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=90, check=False)
    if "Operation not permitted" in ran.stderr:
        pytest.skip("tracing is not allowed here")
    return ran


def whole(layout: Layout) -> None:
    """Once more without faults; then all records are there, once and in order."""
    command = [sys.executable, "-c", PROGRAM, str(layout.folder), str(2 * COUNT)]
    subprocess.run(command, cwd=ROOT, timeout=90, check=True)
    report = verify_log(layout.log, layout.verifiers(), store=layout.checkpoints)
    assert report.ok, report.faults
    assert report.checkpoint is not None
    found = of_journals(layout, report.checkpoint.size)
    for worker in (1, 2):
        assert found[worker, 1] == list(range(1, COUNT + 1))
    health = fsck(layout)
    assert not health.findings, health.findings


def sweep(tmp_path: Path, step: int) -> int:
    """Every `step`th of the calls that a run makes fails in a run of its own."""
    if shutil.which("strace") is None:
        pytest.skip("strace is absent")
    clean = filled(tmp_path / "clean")
    assert traced(clean, tmp_path / "calls").returncode == 0
    whole(clean)
    made = Counter(FOUND.findall((tmp_path / "calls").read_text()))
    assert made["fsync"] + made["fdatasync"] > 3
    every = [(call, number) for call, count in sorted(made.items()) for number in range(1, count + 1)]
    failed = 0
    for call, number in every[::step]:
        place = tmp_path / f"{call}-{number}"
        victim = filled(place)
        log = place / "trace"
        traced(victim, log, "-e", f"inject={call}:error={'ENOSPC' if number % 2 else 'EIO'}:when={number}")
        failed += "INJECTED" in log.read_text()
        whole(victim)
        shutil.rmtree(place)
    assert failed > len(every) // step // 2
    return failed


def test_some_calls_fail_once(tmp_path: Path) -> None:
    assert sweep(tmp_path, 31) > 2


@pytest.mark.long
def test_every_call_fails_once(tmp_path: Path) -> None:
    assert sweep(tmp_path, 1) > 30
